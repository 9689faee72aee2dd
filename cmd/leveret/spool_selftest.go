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
const selftestBlind = "NOT TOLD: whether a disk that takes its time has written to the flash, or to a cache that dies with the power; pull the plug while \"leveret run\" acknowledges, and count"

func spoolSelftestCommand() *cobra.Command {
	var t spoolTool
	n := selftestSyncs
	c := &cobra.Command{
		Use:   "selftest",
		Short: "Measure how the disk syncs, and whether it can be believed",
		Long: `Selftest writes and syncs a small file many times beside the spool, which may be in
use. It tells how long a sync takes and what the device wrote for it, and says
when that cannot be true. A disk that lies well is only found by pulling the plug.`,
		Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if n < 1 || n > selftestSyncsMax {
				return usageErrorf("--syncs must be from 1 to %d", selftestSyncsMax)
			}
			dir, err := t.folder()
			if err != nil {
				return err
			}
			if t.dir == "" {
				dir = filepath.Dir(dir) // the spool's own folder is looked at with each commit
			}
			r, err := disk.Probe(dir, n)
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
		},
	}
	t.flags(c)
	c.Flags().IntVar(&n, "syncs", n, "how `MANY` times to write and sync")
	return c
}
