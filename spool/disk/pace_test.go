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

// TestBurstIsNotOwed: groups that were too full to wait do not hold up the
// small one that comes after them.
func TestBurstIsNotOwed(t *testing.T) {
	o := small(t.TempDir())
	o.CommitsPerSecond, o.CommitBytesMax, o.MergeChunks, o.NoCompression = 1, 1<<10, -1, true
	l := start(t, o)
	defer l.stop(t)
	for pos := range spool.Pos(40) { // 30 s more than may come at once
		fillOne(t, l, pos)
	}
	begun := time.Now()
	lsn, err := l.Append(&spool.Batch{Enters: []spool.Enter{{Record: raw("x"), Size: 1, To: []spool.Dest{{Queue: 1, Pos: 100}}}}})
	if err != nil {
		t.Fatal(err)
	}
	await(t, l, lsn)
	if took := time.Since(begun); took > 15*time.Second {
		t.Errorf("a small group waited %v after a burst", took)
	}
}

func fillOne(t *testing.T, l *life, pos spool.Pos) {
	t.Helper()
	lsn, err := l.Append(&spool.Batch{Enters: []spool.Enter{{Record: marked(1), Size: 1601, To: []spool.Dest{{Queue: 1, Pos: pos}}}}})
	if err != nil {
		t.Fatal(err)
	}
	await(t, l, lsn)
}
