// Package spooltest is the suite that every spool.Log passes: each sentence of
// the contract as a test, and a random one that compares the log with a model
// so simple that it is plainly right.
//
// A log's own tests call Run with a function that opens an empty log. Crash and
// Reopen of the harness are the log's business; the suite only says when.
package spooltest

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"leveret/spool"
)

// Harness is one log under test, through all its lives.
type Harness struct {
	// Log is the open log. Reopen and Crash replace it.
	Log spool.Log
	// Sync returns when everything appended is durable.
	Sync func(testing.TB)
	// Reopen closes the log, which makes everything appended durable, and opens
	// it again.
	Reopen func(testing.TB)
	// Crash stops the log where it is, as a power cut would, and opens what is
	// left. What is durable is there; of later batches the first few may be.
	Crash func(testing.TB)
	// SetFull spends the budget, or gives it back.
	SetFull func(testing.TB, bool)
	// SetMost makes the log such a small one that it never takes records of so
	// many bytes or more in one batch, and takes one of a few bytes; 0 takes that
	// back.
	SetMost func(testing.TB, int64)
	// Fail makes the log fail for good.
	Fail func(testing.TB, error)
}

// Run runs the suite. open answers a harness with an empty log; what it opened
// it closes with t.Cleanup.
func Run(t *testing.T, open func(testing.TB) *Harness) {
	for _, c := range []struct {
		name string
		test func(*testing.T, *Harness)
	}{
		{"an empty log", testEmpty},
		{"LSNs have no gaps and become durable", testLSN},
		{"order and gaps of positions", testOrder},
		{"a fan-out shares one record", testFanOut},
		{"leaving one of several queues", testPartialLeave},
		{"cancelled work is never written", testCancel},
		{"leaves of every kind", testLeaves},
		{"purges", testPurge},
		{"a purge of many chunks", testPurgeLarge},
		{"a purge reaches what is staged", testPurgeStaged},
		{"positions begin anew in an empty queue", testAnew},
		{"volatile records are gone after an open", testVolatile},
		{"definitions", testDefinitions},
		{"depths are exact after an open", testDepth},
		{"read stops at its bounds", testBounds},
		{"read from anywhere", testFrom},
		{"large records", testLarge},
		{"many queues in one chunk", testManyQueues},
		{"a batch larger than a transaction", testHugeBatch},
		{"a crash keeps what is durable", testCrash},
		{"full refuses records only", testFull},
		{"what is too large is never taken", testTooLarge},
		{"failed is for good", testFail},
		{"the caller may reuse a batch", testReuse},
		{"appenders and readers at once", testConcurrent},
		{"random", testRandom},
	} {
		t.Run(strings.ReplaceAll(c.name, " ", "_"), func(t *testing.T) { c.test(t, open(t)) })
	}
}

// text is a record that is stored as it is.
type text string

func (r text) AppendTo(dst []byte) []byte { return append(dst, r...) }
func (r text) Size() int                  { return len(r) }

func dest(q, pos int) spool.Dest { return spool.Dest{Queue: spool.QueueID(q), Pos: spool.Pos(pos)} }

func enter(body string, to ...spool.Dest) spool.Enter {
	return spool.Enter{Record: text(body), Size: len(body), To: to}
}

func leaveOf(q, pos int, body string) spool.Leave {
	return spool.Leave{Queue: spool.QueueID(q), Pos: spool.Pos(pos), Size: len(body)}
}

func (h *Harness) append(t testing.TB, b spool.Batch) spool.LSN {
	t.Helper()
	lsn, err := h.Log.Append(&b)
	if err != nil {
		t.Fatalf("Append: %v", err)
	}
	return lsn
}

// fill puts bodies "q/pos" at the given positions of q.
func (h *Harness) fill(t testing.TB, q int, positions ...int) {
	t.Helper()
	var b spool.Batch
	for _, p := range positions {
		b.Enters = append(b.Enters, enter(body(q, p), dest(q, p)))
	}
	h.append(t, b)
}

func body(q, pos int) string { return fmt.Sprintf("%d/%d", q, pos) }

func (h *Harness) leave(t testing.TB, q int, positions ...int) {
	t.Helper()
	var b spool.Batch
	for _, p := range positions {
		b.Leaves = append(b.Leaves, leaveOf(q, p, body(q, p)))
	}
	h.append(t, b)
}

func upTo(n int) (list []int) {
	for i := 1; i <= n; i++ {
		list = append(list, i)
	}
	return list
}

// read gives everything of a queue at or above from, a few at a time.
func (h *Harness) read(t testing.TB, q spool.QueueID, from spool.Pos, window int) []string {
	t.Helper()
	var all []string
	items := make([]spool.Item, window)
	for {
		n, err := h.Log.Read(q, from, items, 1<<20)
		if err != nil {
			t.Fatalf("Read(%d, %d): %v", q, from, err)
		}
		if n == 0 {
			return all
		}
		for _, it := range items[:n] {
			if it.Err != nil {
				t.Fatalf("Read(%d, %d): item %d: %v", q, from, it.Pos, it.Err)
			}
			if it.Pos < from {
				t.Fatalf("Read(%d, %d) gave position %d", q, from, it.Pos)
			}
			all = append(all, fmt.Sprintf("%d=%s", it.Pos, content(it)))
			from = it.Pos + 1
		}
	}
}

func content(it spool.Item) []byte {
	if it.Live != nil {
		return it.Live.AppendTo(nil)
	}
	return it.Data
}

// holds checks that a queue has exactly these positions, filled by fill.
func (h *Harness) holds(t testing.TB, q int, positions ...int) {
	t.Helper()
	var want []string
	for _, p := range positions {
		want = append(want, fmt.Sprintf("%d=%s", p, body(q, p)))
	}
	for _, window := range []int{1, 7, 1000} {
		if window == 1 && len(positions) > 300 {
			continue
		}
		if got := h.read(t, spool.QueueID(q), 0, window); !slices.Equal(got, want) {
			t.Fatalf("queue %d, read by %d: %s, want %s", q, window, short(got), short(want))
		}
	}
}

func short(list []string) string {
	if len(list) > 12 {
		return fmt.Sprintf("%d items %.200q", len(list), list[:12])
	}
	return fmt.Sprintf("%.60q", list)
}

// loaded is what Load gave.
type loaded struct {
	keys   []string
	defs   map[string]string
	depths map[spool.QueueID]spool.Depth
}

func (h *Harness) load(t testing.TB) loaded {
	t.Helper()
	l := loaded{defs: make(map[string]string), depths: make(map[spool.QueueID]spool.Depth)}
	err := h.Log.Load(func(k string, v []byte) error {
		if len(l.depths) > 0 {
			t.Errorf("definition %q came after a depth", k)
		}
		l.keys = append(l.keys, k)
		l.defs[k] = string(v)
		return nil
	}, func(d spool.Depth) error {
		if _, twice := l.depths[d.Queue]; twice {
			t.Errorf("depth of queue %d came twice", d.Queue)
		}
		l.depths[d.Queue] = d
		return nil
	})
	if err != nil {
		t.Fatalf("Load: %v", err)
	}
	if !slices.IsSorted(l.keys) {
		t.Errorf("definitions came as %q", l.keys)
	}
	return l
}

func (l loaded) depth(t testing.TB, q, count int, bytes int64, first, last spool.Pos) {
	t.Helper()
	want := spool.Depth{Queue: spool.QueueID(q), Count: count, Bytes: bytes, First: first, Last: last}
	if got := l.depths[want.Queue]; got != want {
		t.Errorf("depth of queue %d is %+v, want %+v", q, got, want)
	}
}

// await waits for lsn, but not for ever.
func (h *Harness) await(t testing.TB, lsn spool.LSN) {
	t.Helper()
	late := time.After(20 * time.Second)
	for {
		durable, moved, err := h.Log.Durable()
		if err != nil {
			t.Fatalf("Durable: %v", err)
		}
		if durable >= lsn {
			return
		}
		select {
		case <-moved:
		case <-late:
			t.Fatalf("still at %d, waiting for %d", durable, lsn)
		}
	}
}

// model is what a log should hold.
type model struct {
	queues map[spool.QueueID]map[spool.Pos]message
	defs   map[string]string
}

type message struct {
	body     string
	volatile bool
}

func newModel() *model {
	return &model{queues: make(map[spool.QueueID]map[spool.Pos]message), defs: make(map[string]string)}
}

func (m *model) clone() *model {
	c := newModel()
	for q, msgs := range m.queues {
		c.queues[q] = maps.Clone(msgs)
	}
	c.defs = maps.Clone(m.defs)
	return c
}

func (m *model) apply(b *spool.Batch) {
	for _, e := range b.Enters {
		for _, d := range e.To {
			if m.queues[d.Queue] == nil {
				m.queues[d.Queue] = make(map[spool.Pos]message)
			}
			m.queues[d.Queue][d.Pos] = message{string(e.Record.(text)), e.Volatile}
		}
	}
	for _, l := range b.Leaves {
		delete(m.queues[l.Queue], l.Pos)
	}
	for _, p := range b.Puts {
		if p.Value == nil {
			delete(m.defs, p.Key)
		} else {
			m.defs[p.Key] = string(p.Value)
		}
	}
	for _, p := range b.Purges {
		maps.DeleteFunc(m.queues[p.Queue], func(pos spool.Pos, _ message) bool { return p.From <= pos && pos <= p.To })
	}
}

// reopen drops what does not outlive an open.
func (m *model) reopen() *model {
	for _, msgs := range m.queues {
		maps.DeleteFunc(msgs, func(_ spool.Pos, m message) bool { return m.volatile })
	}
	return m
}

func (m *model) list(q spool.QueueID, from spool.Pos) (list []string) {
	for _, p := range slices.Sorted(maps.Keys(m.queues[q])) {
		if p >= from {
			list = append(list, fmt.Sprintf("%d=%s", p, m.queues[q][p].body))
		}
	}
	return list
}

// differs compares what was loaded and can be read with the model.
func (m *model) differs(t testing.TB, h *Harness, l loaded, queues int) error {
	if !maps.Equal(l.defs, m.defs) {
		return fmt.Errorf("definitions %v, want %v", l.defs, m.defs)
	}
	for q := spool.QueueID(1); q <= spool.QueueID(queues); q++ {
		want := m.list(q, 0)
		if got := h.read(t, q, 0, 64); !slices.Equal(got, want) {
			return fmt.Errorf("queue %d holds %s, want %s", q, short(got), short(want))
		}
		d := spool.Depth{Queue: q}
		for _, p := range slices.Sorted(maps.Keys(m.queues[q])) {
			if d.Count == 0 {
				d.First = p
			}
			d.Last = p
			d.Count++
			d.Bytes += int64(len(m.queues[q][p].body))
		}
		if d.Count == 0 {
			d = spool.Depth{}
		}
		if got := l.depths[q]; got != d {
			return fmt.Errorf("depth of queue %d is %+v, want %+v", q, got, d)
		}
	}
	return nil
}

var errBoom = errors.New("boom")

func repeat(s string, n int) string { return string(bytes.Repeat([]byte(s), n)) }
