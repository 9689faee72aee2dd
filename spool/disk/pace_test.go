package disk_test

import (
	"testing"
	"time"

	"leveret/spool"
)

// TestCommitsPerSecond: a publisher that waits for each answer gets its first
// ones at once and is then held to the rate.
func TestCommitsPerSecond(t *testing.T) {
	o := small(t.TempDir())
	o.CommitsPerSecond, o.MergeChunks = 20, -1 // 200 at once
	l := start(t, o)
	defer l.stop(t)
	begun := time.Now()
	for pos := range spool.Pos(210) {
		lsn, err := l.Append(&spool.Batch{Enters: []spool.Enter{{
			Record: raw("reading"), Size: 7, To: []spool.Dest{{Queue: 1, Pos: pos}},
		}}})
		if err != nil {
			t.Fatal(err)
		}
		await(t, l, lsn)
	}
	took := time.Since(begun)
	commits := l.Stats().Commits
	if limit := uint64(200 + 20*took.Seconds() + 2); commits > limit {
		t.Errorf("%d commits in %v, want at most %d", commits, took, limit)
	}
	if took < 300*time.Millisecond {
		t.Errorf("%d commits took %v: nobody was held back", commits, took)
	}
}
