package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"leveret/edge"
	"leveret/spool/disk"
)

// spoolTool is what the spool commands share: where the spool is.
type spoolTool struct {
	settings
	dir string
}

func (t *spoolTool) flags(c *cobra.Command) {
	t.settings.flags(c)
	c.Flags().StringVar(&t.dir, "dir", "", "`FOLDER` of the spool, e.g. one that was set aside; else that of the configuration")
	c.MarkFlagDirname("dir")
}

// folder is where the spool is.
func (t *spoolTool) folder() (string, error) {
	if t.dir != "" {
		return t.dir, nil
	}
	cfg, err := t.load()
	if err != nil {
		return "", err
	}
	return filepath.Join(cfg.DataDir, "spool"), nil
}

func spoolCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "spool",
		Short: "Look into a spool, check it, and carry its messages elsewhere",
		Long: `The spool commands work on the files of an instance that is stopped, or on a
spool that was set aside. All but import change nothing in it, and they read what
is left where the spool itself does not open any more. Selftest tries the disk.`,
		Args: knownCommand,
		Run:  func(c *cobra.Command, _ []string) { c.Help() },
	}
	c.AddCommand(spoolInfoCommand(), spoolVerifyCommand(), spoolExportCommand(), spoolImportCommand(), spoolSelftestCommand())
	return c
}

func spoolInfoCommand() *cobra.Command {
	var t spoolTool
	c := &cobra.Command{
		Use:   "info",
		Short: "Tell what is in the spool's folder",
		Args:  noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			dir, err := t.folder()
			if err != nil {
				return err
			}
			return spoolInfo(c.OutOrStdout(), dir)
		},
	}
	t.flags(c)
	return c
}

func spoolInfo(to io.Writer, dir string) error {
	in, err := disk.Inspect(dir)
	if err != nil {
		return err
	}
	fmt.Fprintf(to, "spool %s\n", printable(dir))
	files := newSheet("FILES", "COUNT", "ON DISK")
	for _, k := range in.Kinds {
		files.row(k.Name, k.Count, byteCount(k.Bytes))
	}
	files.print(to)
	fmt.Fprintf(to, "\ncommits %d, records %d ever written, as noted last\n", in.Commits, in.Records)
	for _, a := range in.Aside {
		fmt.Fprintf(to, "set aside: %s\n", printable(a))
	}
	return nil
}

func spoolVerifyCommand() *cobra.Command {
	var t spoolTool
	c := &cobra.Command{
		Use:   "verify",
		Short: "Read everything and tell what is damaged",
		Args:  noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			return t.offline(func(o *disk.Offline) error {
				sum, err := o.Verify()
				if err != nil {
					return err
				}
				fmt.Fprintln(c.OutOrStdout(), sum)
				return damageError(o)
			})
		},
	}
	t.flags(c)
	return c
}

// offline reads the spool's files.
func (t *spoolTool) offline(do func(*disk.Offline) error) error {
	dir, err := t.folder()
	if err != nil {
		return err
	}
	o, err := disk.OpenOffline(dir)
	if err != nil {
		return err
	}
	return errors.Join(do(o), o.Close())
}

// damageShown bounds the list of damage on a terminal.
const damageShown = 20

// damageError tells what did not read.
func damageError(o *disk.Offline) error {
	if len(o.Damaged) == 0 {
		return nil
	}
	text := fmt.Sprintf("%d things are damaged:", len(o.Damaged))
	for _, d := range o.Damaged[:min(len(o.Damaged), damageShown)] {
		text += "\n  " + printable(d)
	}
	return errors.New(text)
}

func spoolExportCommand() *cobra.Command {
	var t spoolTool
	c := &cobra.Command{
		Use:   "export FILE",
		Short: "Write all messages and definitions that can be read to a file",
		Long: `Export writes a file of checksummed frames. A file that was cut short is continued
where it ends. What is damaged is left out and told; the rest is in the file.`,
		Args: oneFile,
		RunE: func(c *cobra.Command, args []string) error {
			return t.offline(func(o *disk.Offline) error {
				f, err := os.OpenFile(args[0], os.O_RDWR|os.O_CREATE, 0o600)
				if err != nil {
					return fmt.Errorf("export: %w", err)
				}
				n, err := o.Export(f)
				if err = errors.Join(err, f.Close()); err != nil {
					return err
				}
				fmt.Fprintf(c.OutOrStdout(), "%d messages exported\n", n)
				return damageError(o)
			})
		},
	}
	t.flags(c)
	return c
}

func oneFile(_ *cobra.Command, args []string) error {
	if len(args) != 1 {
		return usageErrorf("one FILE must be named")
	}
	return nil
}

func spoolImportCommand() *cobra.Command {
	var t spoolTool
	c := &cobra.Command{
		Use:   "import FILE",
		Short: "Put the messages of an export into the spool, behind those that are there",
		Long: `Import needs the instance to be stopped. Definitions that are there already stay as
they are. When it is broken off, call it again: it goes on where it was.`,
		Args: oneFile,
		RunE: func(c *cobra.Command, args []string) error {
			cfg, err := t.load()
			if err != nil {
				return err
			}
			o := edge.SpoolOptions(cfg)
			if t.dir != "" {
				o.Dir = t.dir
			}
			f, err := os.Open(args[0])
			if err != nil {
				return fmt.Errorf("import: %w", err)
			}
			defer f.Close()
			done, err := disk.Import(c.Context(), o, f)
			fmt.Fprintf(c.OutOrStdout(), "%d messages and %d definitions imported\n", done.Messages, done.Definitions)
			if err == nil && !done.Complete {
				err = errors.New("import: the file ends in the middle; what came before is in")
			}
			return err
		},
	}
	t.flags(c)
	return c
}
