package spooltest

import (
	"testing"

	"leveret/spool"
)

func purge(q, from int, to spool.Pos) spool.Batch {
	return spool.Batch{Purges: []spool.Purge{{Queue: spool.QueueID(q), From: spool.Pos(from), To: to}}}
}

func testPurge(t *testing.T, h *Harness) {
	for q := 1; q <= 3; q++ {
		h.fill(t, q, 1, 2, 3)
		h.Sync(t)
		h.fill(t, q, 4, 5, 6)
		h.Sync(t)
		h.fill(t, q, 7, 8, 9)
		h.Sync(t)
	}
	h.append(t, purge(1, 0, 5))            // up to the middle of a commit
	h.append(t, purge(2, 5, 7))            // from the middle to the middle
	h.append(t, purge(3, 0, spool.MaxPos)) // a deleted queue
	check := func() {
		t.Helper()
		h.holds(t, 1, 6, 7, 8, 9)
		h.holds(t, 2, 1, 2, 3, 4, 8, 9)
		h.holds(t, 3)
	}
	check()
	h.Sync(t)
	check()
	if got := h.Log.Stats().Records; got != 10 {
		t.Errorf("Records = %d, want 10", got)
	}
	h.Reopen(t)
	check()
	l := h.load(t)
	l.depth(t, 1, 4, 12, 6, 9)
	l.depth(t, 2, 6, 18, 1, 9)
	h.append(t, purge(2, 2, 3)) // inside one commit
	h.append(t, purge(2, 4, 4))
	h.append(t, purge(7, 0, spool.MaxPos)) // of nothing
	h.holds(t, 2, 1, 8, 9)
	h.Reopen(t)
	h.holds(t, 2, 1, 8, 9)
	h.load(t).depth(t, 2, 3, 9, 1, 9)
}

// testPurgeLarge purges more commits than one step does.
func testPurgeLarge(t *testing.T, h *Harness) {
	const n = 1500
	for p := 1; p <= n; p++ {
		h.fill(t, 1, p)
		h.fill(t, 2, p)
		h.Sync(t)
	}
	h.append(t, purge(1, 100, n-1))
	want := append(upTo(99), n)
	h.holds(t, 1, want...)
	h.fill(t, 1, n+1)
	h.append(t, purge(2, 0, 1400))
	h.append(t, purge(2, 0, 1450))
	h.holds(t, 1, append(want, n+1)...)
	h.Sync(t)
	h.holds(t, 1, append(want, n+1)...)
	h.Crash(t)
	h.holds(t, 1, append(want, n+1)...)
	if got := h.read(t, 2, 0, 100); len(got) != 50 || got[0] != "1451=2/1451" {
		t.Errorf("queue 2 holds %s", short(got))
	}
	l := h.load(t)
	if d := l.depths[1]; d.Count != 101 || d.First != 1 || d.Last != n+1 {
		t.Errorf("depth %+v", d)
	}
	h.append(t, purge(1, 0, spool.MaxPos))
	h.append(t, purge(2, 0, spool.MaxPos))
	h.Reopen(t)
	if l := h.load(t); len(l.depths) != 0 {
		t.Errorf("depths %+v", l.depths)
	}
}

func testPurgeStaged(t *testing.T, h *Harness) {
	b := purge(1, 0, 2) // applied after the Enters of its batch
	b.Enters = []spool.Enter{enter(body(1, 1), dest(1, 1)), enter(body(1, 2), dest(1, 2)), enter(body(1, 3), dest(1, 3))}
	h.append(t, b)
	h.fill(t, 1, 4, 5)
	h.append(t, purge(1, 4, 4))
	h.holds(t, 1, 3, 5)
	h.leave(t, 1, 3)
	h.fill(t, 1, 6)
	h.holds(t, 1, 5, 6)
	h.Sync(t)
	h.holds(t, 1, 5, 6)
	h.Crash(t)
	h.holds(t, 1, 5, 6)
}

func testAnew(t *testing.T, h *Harness) {
	h.fill(t, 1, 10, 11, 12)
	h.Sync(t)
	h.append(t, purge(1, 0, spool.MaxPos))
	h.fill(t, 1, 10, 11)
	h.holds(t, 1, 10, 11)
	h.Sync(t)
	h.holds(t, 1, 10, 11)
	h.leave(t, 1, 10, 11)
	h.fill(t, 1, 1, 2)
	h.holds(t, 1, 1, 2)
	h.leave(t, 1, 1)
	h.Crash(t)
	h.Reopen(t)
	h.append(t, purge(1, 0, spool.MaxPos))
	h.fill(t, 1, 5)
	h.Reopen(t)
	h.holds(t, 1, 5)
}
