package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"leveret/spool/disk"
)

const (
	cutLength    = 10 * time.Minute
	cutLengthMax = 24 * time.Hour
	// cutShownEvery is how often a number is shown at most: what waits in a
	// socket to the operator is lost in the cut.
	cutShownEvery = 20 * time.Millisecond
)

// errUncut ends a test whose time is over.
var errUncut = errors.New("nobody cut the power in time: nothing was found out")

func (t *selftest) writeUntilCut(c *cobra.Command, dir string) error {
	u, err := disk.BeginUntilCut(dir, t.witness)
	if err != nil {
		return err
	}
	// An ordinary shutdown sends a signal first, and is no cut.
	ctx, stop := signal.NotifyContext(c.Context(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	ctx, cancel := context.WithTimeoutCause(ctx, t.length, errUncut)
	defer cancel()
	to := c.OutOrStdout()
	fmt.Fprintf(to, "PULL THE PLUG while the numbers run; what is shown as promised is on the disk, says the disk.\n"+
		"Then start again and call: leveret spool selftest --after-cut%s %s\n", t.proof(), printable(dir))
	show := numberShower(to)
	err = u.Run(ctx, show.number)
	show.end()
	uncut := ctx.Err() != nil && errors.Is(err, context.Cause(ctx))
	if err = errors.Join(err, u.Close()); !uncut {
		return fmt.Errorf("%w\nif that was the cut, look what it has left; if not, the disk or the witness is ill (what was written stays in %s)", err, printable(dir))
	}
	if !errors.Is(err, errUncut) {
		err = fmt.Errorf("%w before the power was cut: nothing was found out", err)
	}
	return errors.Join(err, disk.RemoveCut(dir, t.witness))
}

// proof is what tells the next call how far this one came.
func (t *selftest) proof() string {
	if t.witness != "" {
		return " --witness " + printable(t.witness)
	}
	return " --promised NUMBER-SEEN-LAST"
}

// shower shows the newest number, on a terminal in one line.
type shower struct {
	to     io.Writer
	format string
	newest uint64
	shown  uint64
	at     time.Time
}

func numberShower(to io.Writer) *shower {
	s := &shower{to: to, format: "promised %d\n"}
	if f, ok := to.(*os.File); ok {
		if _, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS); err == nil {
			s.format = "\rpromised %d "
		}
	}
	return s
}

func (s *shower) number(n uint64) {
	s.newest = n
	if now := time.Now(); now.Sub(s.at) >= cutShownEvery {
		s.at = now
		s.show()
	}
}

func (s *shower) show() {
	fmt.Fprintf(s.to, s.format, s.newest)
	s.shown = s.newest
}

func (s *shower) end() {
	if s.shown < s.newest {
		s.show()
	}
	fmt.Fprintln(s.to)
}

// errLies is the verdict that ends with 1; its text was said before.
var errLies = errors.New("the disk does not keep what it says to have synced")

func (t *selftest) lookAfterCut(c *cobra.Command, dir string) error {
	found, err := disk.AfterCut(dir, t.witness, t.promised)
	if err != nil {
		return err
	}
	if found.SameBoot && !t.diskAlone {
		return errors.New("the machine was not started since the test was begun, so that nothing can be said yet: pull the plug; " +
			"if the disk alone was without power, add --disk-alone")
	}
	to := c.OutOrStdout()
	tellCut(to, found)
	if found.Gone {
		// It may only be mounted elsewhere, so the witness stays too.
		return errLies
	}
	if err := disk.RemoveCut(dir, t.witness); err != nil {
		return err
	}
	switch {
	case !found.Kept():
		return errLies
	case max(found.Newest, found.Promised) == 0:
		return errors.New("the cut came before the first number: nothing was found out, try again")
	}
	return nil
}

// tellCut says what was found, what to do, and what nobody can know.
func tellCut(to io.Writer, f disk.CutFound) {
	fmt.Fprintf(to, "newest record on the disk: %d; promised: %s\n", f.Newest, numberOr(f.Promised, "not known"))
	checked, missing, damaged := 0, 0, 0
	s := newSheet("WAY", "CHECKED", "MISSING", "DAMAGED")
	for _, w := range f.Ways {
		s.row(w.Name, w.Checked, w.Missing, w.Damaged)
		checked, missing, damaged = checked+w.Checked, missing+w.Missing, damaged+w.Damaged
	}
	s.print(to)
	fmt.Fprintln(to)
	switch {
	case f.Gone:
		fmt.Fprintln(to, "LIES: nothing is here, not even the folder, which was synced before the first number. First make sure that this is the disk, and mounted.")
	case !f.Kept():
		fmt.Fprintf(to, "LIES: of %d records that it had synced and must have, %d are missing and %d damaged.\n", checked, missing, damaged)
		if f.Unbegun {
			fmt.Fprintln(to, "What was synced before all of them is lost as well.")
		}
	case f.Newest == 0:
		return
	default:
		fmt.Fprintf(to, "KEPT: the %d records that must be there are, and whole.\n", checked)
		if f.Promised == 0 {
			fmt.Fprintf(to, "NOT TOLD: whether records after %d were promised. If the last number that you saw is higher, the disk LIES.\n", f.Newest)
		}
		fmt.Fprintln(to, "NOT TOLD: what the next cut does: try it three times or more, and with the power supply that it will have.")
		return
	}
	fmt.Fprintln(to, "Acknowledged messages will be lost on it in power cuts. Look whether it is mounted with nobarrier or barrier=0, and whether its\n"+
		"write cache can be turned off (hdparm -W 0); then try again. Else take another disk or card.")
}

func numberOr(n uint64, none string) string {
	if n == 0 {
		return none
	}
	return fmt.Sprint(n)
}
