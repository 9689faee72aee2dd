package spooltest

import (
	"sync"
	"testing"

	"leveret/spool"
)

// testConcurrent has a publisher and a consumer for each of some queues. The
// consumer must see every message once, in order, wherever it is just then.
func testConcurrent(t *testing.T, h *Harness) {
	const queues, each = 4, 3000
	var wg sync.WaitGroup
	stop := make(chan struct{})
	for q := 1; q <= queues; q++ {
		wg.Go(func() {
			for p := 1; p <= each; p++ {
				b := spool.Batch{Enters: []spool.Enter{enter(body(q, p), dest(q, p))}}
				if _, err := h.Log.Append(&b); err != nil {
					t.Errorf("Append: %v", err)
					return
				}
				if p%100 == 0 {
					h.Sync(t)
				}
			}
		})
		wg.Go(func() { consume(t, h, q, each) })
	}
	var watch sync.WaitGroup
	watch.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
				h.Log.Stats()
				h.Log.Room()
				h.Log.Durable()
			}
		}
	})
	wg.Wait()
	close(stop)
	watch.Wait()
	h.Sync(t)
	for q := 1; q <= queues; q++ {
		h.holds(t, q)
	}
	if got := h.Log.Stats().Records; got != 0 {
		t.Errorf("Records = %d, want 0", got)
	}
}

func consume(t *testing.T, h *Harness, q, each int) {
	items := make([]spool.Item, 16)
	next := 1
	for next <= each {
		n, err := h.Log.Read(spool.QueueID(q), spool.Pos(next), items, 1<<20)
		if err != nil {
			t.Errorf("Read: %v", err)
			return
		}
		var b spool.Batch
		for _, it := range items[:n] {
			if int(it.Pos) != next || it.Err != nil || string(content(it)) != body(q, next) {
				t.Errorf("queue %d: got %d=%s (%v), want %d", q, it.Pos, content(it), it.Err, next)
				return
			}
			b.Leaves = append(b.Leaves, leaveOf(q, next, body(q, next)))
			next++
		}
		if _, err := h.Log.Append(&b); err != nil {
			t.Errorf("Append: %v", err)
			return
		}
		if n > 0 {
			first := spool.Pos(next - n)
			if m, err := h.Log.Read(spool.QueueID(q), first, items[:1], 1); err != nil || m > 0 && int(items[0].Pos) < next {
				t.Errorf("queue %d: %d is still there (%v)", q, items[0].Pos, err)
				return
			}
		}
	}
}
