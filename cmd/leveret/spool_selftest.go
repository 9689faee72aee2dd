package main

import (
	"fmt"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"leveret/spool/disk"
)

const (
	selftestSyncs    = 200
	selftestSyncsMax = 100_000
)

// selftestBlind is said whatever was found.
const selftestBlind = "NOT TOLD: whether a disk that takes its time has written to the flash, or to a cache that dies with the power; \"leveret spool selftest --until-cut\" finds out"

// selftest is a call of the command, by its flags.
type selftest struct {
	spoolTool
	syncs     int
	untilCut  bool
	afterCut  bool
	length    time.Duration
	witness   string
	promised  uint64
	diskAlone bool
}

func spoolSelftestCommand() *cobra.Command {
	t := selftest{syncs: selftestSyncs, length: cutLength}
	c := &cobra.Command{
		Use:   "selftest [DIR]",
		Short: "Measure how the disk syncs, and find out whether it keeps what it has synced",
		Long: `Selftest writes and syncs a small file many times beside the spool, which may be in
use, or in the folder DIR. It tells how long a sync takes and what the device wrote
for it, and says when that cannot be true.

A disk that lies well is only found by pulling the plug:

  leveret spool selftest --until-cut DIR
      writes numbered records in the ways that the spool writes, and shows each
      number when the disk says that it has it. Look on from another machine, over
      ssh or a serial line, where the last number stays, and pull the plug of this
      one while the numbers run: an ordinary shutdown shows nothing. Or name a file
      on another disk, like a USB stick, with --witness. It ends by itself after
      --for, and takes a megabyte in DIR/leveret-until-cut.

  leveret spool selftest --after-cut DIR --promised N
      says after the start KEPT (and ends with 0) or LIES (with 1), and removes what
      is left. N is the last number that was seen; a witness takes its place. Without
      either it still finds gaps: a record that is lost though a later one is there.
      A disk that loses all from some moment on leaves no gap.

One cut is one sample: a disk that kept everything three times can be trusted a
little. A cut of the disk's power alone is judged with --disk-alone.`,
		Args: atMostOne,
		RunE: func(c *cobra.Command, args []string) error {
			if err := t.check(c, args); err != nil {
				return err
			}
			dir, err := t.on(args)
			switch {
			case err != nil:
				return err
			case t.untilCut:
				return t.writeUntilCut(c, dir)
			case t.afterCut:
				return t.lookAfterCut(c, dir)
			}
			return t.probe(c, dir)
		},
	}
	t.flags(c)
	f := c.Flags()
	f.IntVar(&t.syncs, "syncs", t.syncs, "how `MANY` times to write and sync")
	f.BoolVar(&t.untilCut, "until-cut", false, "write until the power is cut")
	f.DurationVar(&t.length, "for", t.length, "with --until-cut: end after so much `TIME` without a cut")
	f.BoolVar(&t.afterCut, "after-cut", false, "tell what the cut has left")
	f.StringVar(&t.witness, "witness", "", "with either: `FILE` on another disk that notes the numbers")
	c.MarkFlagFilename("witness")
	f.Uint64Var(&t.promised, "promised", 0, "with --after-cut: the last `NUMBER` that was seen")
	f.BoolVar(&t.diskAlone, "disk-alone", false, "with --after-cut: the disk was without power, the machine was not")
	return c
}

// check refuses flags that do not go together.
func (t *selftest) check(c *cobra.Command, args []string) error {
	for _, f := range []struct {
		flag string
		ok   bool
		with string
	}{
		{"syncs", !t.untilCut && !t.afterCut, "neither --until-cut nor --after-cut"},
		{"until-cut", !t.afterCut, "--after-cut at another time: the power is cut in between"},
		{"for", t.untilCut, "--until-cut"},
		{"witness", t.untilCut || t.afterCut, "--until-cut or --after-cut"},
		{"promised", t.afterCut, "--after-cut"},
		{"disk-alone", t.afterCut, "--after-cut"},
		{"dir", len(args) == 0, "no other folder beside it"},
	} {
		if c.Flags().Changed(f.flag) && !f.ok {
			return usageErrorf("--%s goes with %s", f.flag, f.with)
		}
	}
	if t.syncs < 1 || t.syncs > selftestSyncsMax {
		return usageErrorf("--syncs must be from 1 to %d", selftestSyncsMax)
	}
	if t.length <= 0 || t.length > cutLengthMax {
		return usageErrorf("--for must be more than 0s and at most %s", cutLengthMax)
	}
	return nil
}

// on is the folder that is tried: one that was named, or that of the spool's.
func (t *selftest) on(args []string) (string, error) {
	if len(args) > 0 {
		return args[0], nil
	}
	dir, err := t.folder()
	if t.dir == "" {
		dir = filepath.Dir(dir) // the spool's own folder is looked at with each commit
	}
	return dir, err
}

func (t *selftest) probe(c *cobra.Command, dir string) error {
	r, err := disk.Probe(dir, t.syncs)
	if err != nil {
		return err
	}
	written := "unknown"
	if r.BytesPerSync >= 0 {
		written = byteCount(r.BytesPerSync)
	}
	to := c.OutOrStdout()
	round := func(d time.Duration) time.Duration { return d.Round(time.Microsecond) }
	fmt.Fprintf(to, "%d syncs of 4 kB: median %s, 99 %% within %s, longest %s\n", r.Syncs, round(r.Median), round(r.P99), round(r.Max))
	fmt.Fprintf(to, "the device wrote %s for each (all that went on meanwhile counts)\n%s\n%s\n", written, r.Verdict(), selftestBlind)
	return nil
}
