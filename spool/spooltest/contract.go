package spooltest

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"slices"
	"testing"

	"leveret/spool"
)

func testEmpty(t *testing.T, h *Harness) {
	l := h.load(t)
	if len(l.keys) != 0 || len(l.depths) != 0 {
		t.Errorf("Load gave %+v", l)
	}
	if lsn := h.append(t, spool.Batch{}); lsn != 0 {
		t.Errorf("Append of nothing = %d, want 0", lsn)
	}
	if d, _, err := h.Log.Durable(); d != 0 || err != nil {
		t.Errorf("Durable() = %d, %v, want 0", d, err)
	}
	if h.Log.Room() != nil {
		t.Error("there is no room")
	}
	h.holds(t, 1)
}

func testLSN(t *testing.T, h *Harness) {
	_, moved, _ := h.Log.Durable()
	for want := spool.LSN(1); want <= 10; want++ {
		if got := h.append(t, spool.Batch{Enters: []spool.Enter{enter("x", dest(1, int(want)))}}); got != want {
			t.Fatalf("Append = %d, want %d", got, want)
		}
	}
	if got := h.append(t, spool.Batch{}); got != 10 {
		t.Errorf("Append of nothing = %d, want 10", got)
	}
	h.Sync(t)
	<-moved
	h.await(t, 10)
	h.Reopen(t)
	h.load(t)
	if got := h.append(t, spool.Batch{Puts: []spool.Put{{Key: "k", Value: []byte("v")}}}); got != 1 {
		t.Errorf("first Append after an open = %d, want 1", got)
	}
}

func testOrder(t *testing.T, h *Harness) {
	positions := []int{0, 3, 4, 5, 900, 901, 1 << 30, 1<<30 + 1, 1<<31 - 1}
	h.fill(t, 1, positions[:3]...)
	h.Sync(t)
	h.fill(t, 1, positions[3:6]...)
	h.Sync(t)
	h.fill(t, 1, positions[6:]...)
	h.holds(t, 1, positions...)
	h.Sync(t)
	h.holds(t, 1, positions...)
	h.Reopen(t)
	h.holds(t, 1, positions...)
}

func testFanOut(t *testing.T, h *Harness) {
	b := spool.Batch{}
	for i := 1; i <= 50; i++ {
		b.Enters = append(b.Enters, enter(fmt.Sprintf("shared %d", i), dest(1, i), dest(2, 2*i), dest(3, i)))
	}
	h.append(t, b)
	if got := h.Log.Stats().Records; got != 150 {
		t.Errorf("Records = %d, want 150", got)
	}
	h.Sync(t)
	h.Reopen(t)
	l := h.load(t)
	for q := 1; q <= 3; q++ {
		step := 1
		if q == 2 {
			step = 2
		}
		var want []string
		for i := 1; i <= 50; i++ {
			want = append(want, fmt.Sprintf("%d=shared %d", i*step, i))
		}
		if got := h.read(t, spool.QueueID(q), 0, 8); !slices.Equal(got, want) {
			t.Errorf("queue %d holds %s, want %s", q, short(got), short(want))
		}
		if l.depths[spool.QueueID(q)].Count != 50 {
			t.Errorf("depth of queue %d is %+v", q, l.depths[spool.QueueID(q)])
		}
	}
}

func testPartialLeave(t *testing.T, h *Harness) {
	shared := func(i int) spool.Enter { return enter(body(2, i), dest(1, i), dest(2, i)) }
	h.append(t, spool.Batch{Enters: []spool.Enter{shared(1), shared(2), shared(3)}})
	h.leave(t, 1, 1) // staged
	h.Sync(t)
	h.leave(t, 1, 2) // stored
	h.Sync(t)
	h.holds(t, 2, 1, 2, 3)
	if got, want := h.read(t, 1, 0, 8), []string{"3=2/3"}; !slices.Equal(got, want) {
		t.Errorf("queue 1 holds %q, want %q", got, want)
	}
	h.Reopen(t)
	h.load(t).depth(t, 1, 1, 3, 3, 3)
	h.holds(t, 2, 1, 2, 3)
	h.leave(t, 2, 1, 2, 3)
	h.leave(t, 1, 3)
	h.Sync(t)
	h.holds(t, 1)
	h.holds(t, 2)
	if got := h.Log.Stats().Records; got != 0 {
		t.Errorf("Records = %d, want 0", got)
	}
	h.Reopen(t)
	if l := h.load(t); len(l.depths) != 0 {
		t.Errorf("depths %+v are left", l.depths)
	}
}

func testCancel(t *testing.T, h *Harness) {
	b := spool.Batch{}
	for i := 1; i <= 100; i++ {
		b.Enters = append(b.Enters, enter(body(1, i), dest(1, i)))
		b.Leaves = append(b.Leaves, leaveOf(1, i, body(1, i)))
	}
	lsn := h.append(t, b)
	h.Sync(t)
	h.await(t, lsn)
	st := h.Log.Stats()
	if st.Written != 0 || st.Skipped != 100 || st.Records != 0 {
		t.Errorf("written %d, skipped %d, records %d; want 0, 100, 0", st.Written, st.Skipped, st.Records)
	}
	h.holds(t, 1)
	h.Crash(t)
	if l := h.load(t); len(l.depths) != 0 {
		t.Errorf("depths %+v", l.depths)
	}
}

func testLeaves(t *testing.T, h *Harness) {
	h.fill(t, 1, upTo(100)...)
	h.Sync(t)
	h.leave(t, 1, 50, 1, 100, 49, 51, 51, 7777, 2, 3) // out of order, twice, never there
	var want []int
	for _, p := range upTo(100) {
		if !slices.Contains([]int{50, 1, 100, 49, 51, 2, 3}, p) {
			want = append(want, p)
		}
	}
	h.holds(t, 1, want...)
	h.Sync(t)
	h.holds(t, 1, want...)
	h.Reopen(t)
	h.holds(t, 1, want...)
	if got := h.Log.Stats().Records; got != 93 {
		t.Errorf("Records = %d, want 93", got)
	}
	h.leave(t, 1, 4)
	h.leave(t, 1, 99)
	h.holds(t, 1, want[1:len(want)-1]...)
	h.Reopen(t)
	h.holds(t, 1, want[1:len(want)-1]...)
}

func testVolatile(t *testing.T, h *Harness) {
	var b spool.Batch
	var all, kept []int
	for i := 1; i <= 40; i++ {
		e := enter(body(1, i), dest(1, i))
		e.Volatile = i%3 == 0
		all = append(all, i)
		if !e.Volatile {
			kept = append(kept, i)
		}
		b.Enters = append(b.Enters, e)
	}
	e := enter("gone", dest(2, 1))
	e.Volatile = true
	b.Enters = append(b.Enters, e)
	h.append(t, b)
	h.Sync(t)
	h.holds(t, 1, all...)
	h.leave(t, 1, 3, 4)
	all = slices.Delete(all, 2, 4)
	kept = slices.DeleteFunc(kept, func(p int) bool { return p == 4 })
	h.holds(t, 1, all...)
	h.Reopen(t)
	h.holds(t, 1, kept...)
	h.holds(t, 2)
	l := h.load(t)
	if d := l.depths[1]; d.Count != len(kept) || len(l.depths) != 1 {
		t.Errorf("depths %+v, want %d messages", l.depths, len(kept))
	}
	h.Reopen(t)
	h.holds(t, 1, kept...)
}

func testDefinitions(t *testing.T, h *Harness) {
	put := func(k string, v []byte) spool.Put { return spool.Put{Key: k, Value: v} }
	big := repeat("definition ", 20_000)
	h.append(t, spool.Batch{Puts: []spool.Put{
		put("b", []byte("1")), put("a", []byte("2")), put("c", []byte{}), put("gone", []byte("x")), put("big", []byte(big)),
	}})
	h.append(t, spool.Batch{Puts: []spool.Put{put("a", []byte("3")), put("gone", nil), put("never", nil)}})
	want := map[string]string{"a": "3", "b": "1", "c": "", "big": big}
	check := func() {
		t.Helper()
		l := h.load(t)
		if len(l.defs) != len(want) {
			t.Errorf("definitions %.80q", l.keys)
		}
		for k, v := range want {
			if got, ok := l.defs[k]; !ok || got != v {
				t.Errorf("definition %q is %.40q (%t), want %.40q", k, got, ok, v)
			}
		}
	}
	h.Sync(t)
	h.Crash(t)
	check()
	h.append(t, spool.Batch{Puts: []spool.Put{put("a", nil), put("d", []byte("4")), put("d", []byte("5"))}})
	delete(want, "a")
	want["d"] = "5"
	h.Reopen(t)
	check()
}

func testDepth(t *testing.T, h *Harness) {
	var b spool.Batch
	for i := 1; i <= 200; i++ {
		e := enter(body(1, i), dest(1, i))
		e.Size = i
		b.Enters = append(b.Enters, e)
	}
	h.append(t, b)
	h.Sync(t)
	var bytes int64
	for i := 1; i <= 200; i++ {
		if i%2 == 0 || i < 50 {
			h.append(t, spool.Batch{Leaves: []spool.Leave{{Queue: 1, Pos: spool.Pos(i), Size: i}}})
		} else {
			bytes += int64(i)
		}
	}
	h.Reopen(t)
	h.load(t).depth(t, 1, 75, bytes, 51, 199)
	h.append(t, purge(1, 0, 101))
	for i := 51; i <= 101; i += 2 {
		bytes -= int64(i)
	}
	h.Reopen(t)
	h.load(t).depth(t, 1, 49, bytes, 103, 199)
}

func testBounds(t *testing.T, h *Harness) {
	var b spool.Batch
	for i := 1; i <= 30; i++ {
		b.Enters = append(b.Enters, enter(repeat("x", 1000), dest(1, i)))
	}
	h.append(t, b)
	items := make([]spool.Item, 100)
	check := func(where string) {
		t.Helper()
		for _, c := range []struct{ items, bytes, min, max int }{
			{100, 1 << 20, 30, 30}, {5, 1 << 20, 5, 5}, {100, 10_000, 10, 10}, {100, 1, 1, 1}, {100, 0, 1, 1}, {100, 2500, 3, 3}, {0, 1, 0, 0},
		} {
			n, err := h.Log.Read(1, 0, items[:c.items], c.bytes)
			if err != nil || n < c.min || n > c.max {
				t.Errorf("%s: Read of %d items and %d bytes = %d, %v; want %d", where, c.items, c.bytes, n, err, c.min)
			}
		}
	}
	check("staged")
	h.Sync(t)
	check("stored")
	h.Reopen(t)
	check("after an open")
}

func testFrom(t *testing.T, h *Harness) {
	positions := []int{5, 6, 7, 20, 21, 40}
	h.fill(t, 1, positions[:3]...)
	h.fill(t, 2, 1, 2, 3, 4, 5, 6)
	h.Sync(t)
	h.fill(t, 1, positions[3:5]...)
	h.Sync(t)
	h.fill(t, 1, positions[5:]...)
	for from := 0; from <= 42; from++ {
		var want []string
		for _, p := range positions {
			if p >= from {
				want = append(want, fmt.Sprintf("%d=%s", p, body(1, p)))
			}
		}
		if got := h.read(t, 1, spool.Pos(from), 2); !slices.Equal(got, want) {
			t.Errorf("read from %d: %q, want %q", from, got, want)
		}
	}
	if n, err := h.Log.Read(1, spool.MaxPos, make([]spool.Item, 1), 1); n != 0 || err != nil {
		t.Errorf("Read from MaxPos = %d, %v", n, err)
	}
	if n, err := h.Log.Read(3, 0, make([]spool.Item, 1), 1); n != 0 || err != nil {
		t.Errorf("Read of no queue = %d, %v", n, err)
	}
}

func testLarge(t *testing.T, h *Harness) {
	large := make([]byte, 20<<20)
	for i := range large {
		large[i] = byte(i * i >> 8)
	}
	h.append(t, spool.Batch{Enters: []spool.Enter{
		enter("before", dest(1, 1)), enter(string(large), dest(1, 2), dest(2, 1)), enter("after", dest(1, 3)), enter("", dest(1, 4)),
	}})
	h.Sync(t)
	h.Reopen(t)
	h.load(t).depth(t, 1, 4, int64(len(large))+11, 1, 4)
	items := make([]spool.Item, 4)
	got := [][]byte{}
	for from := spool.Pos(1); len(got) < 4; {
		n, err := h.Log.Read(1, from, items, 1<<20)
		if err != nil || n == 0 {
			t.Fatalf("Read(1, %d) = %d, %v", from, n, err)
		}
		for _, it := range items[:n] {
			if it.Err != nil {
				t.Fatalf("item %d: %v", it.Pos, it.Err)
			}
			got = append(got, it.Data)
			from = it.Pos + 1
		}
	}
	for i, want := range [][]byte{[]byte("before"), large, []byte("after"), {}} {
		if !bytes.Equal(got[i], want) {
			t.Errorf("message %d has %d bytes, want %d", i+1, len(got[i]), len(want))
		}
	}
	h.leave(t, 1, 1, 2, 3, 4)
	h.append(t, spool.Batch{Leaves: []spool.Leave{{Queue: 2, Pos: 1, Size: len(large)}}})
	h.Reopen(t)
	if l := h.load(t); len(l.depths) != 0 {
		t.Errorf("depths %+v", l.depths)
	}
}

func testManyQueues(t *testing.T, h *Harness) {
	const queues, each = 100, 30
	for round := range 3 {
		var b spool.Batch
		for i := range each / 3 {
			for q := 1; q <= queues; q++ {
				p := round*each/3 + i + 1
				b.Enters = append(b.Enters, enter(body(q, p), dest(q, p)))
			}
		}
		h.append(t, b)
		h.Sync(t)
	}
	for q := 1; q <= queues; q++ {
		h.holds(t, q, upTo(each)...)
	}
	for q := 1; q <= queues; q += 2 {
		h.leave(t, q, upTo(each)...)
	}
	h.Reopen(t)
	l := h.load(t)
	if len(l.depths) != queues/2 {
		t.Errorf("%d queues are left, want %d", len(l.depths), queues/2)
	}
	for q := 2; q <= queues; q += 2 {
		h.holds(t, q, upTo(each)...)
	}
}

// testHugeBatch changes more keys at once than one transaction holds.
func testHugeBatch(t *testing.T, h *Harness) {
	const n = 8000
	b := spool.Batch{}
	for i := 1; i <= n; i++ {
		b.Puts = append(b.Puts, spool.Put{Key: fmt.Sprintf("definition/%05d", i), Value: []byte(repeat("v", 100))})
		b.Enters = append(b.Enters, enter(body(i, 1), dest(i, 1)))
	}
	h.append(t, b)
	h.Sync(t)
	h.Crash(t)
	l := h.load(t)
	if len(l.defs) != n || len(l.depths) != n {
		t.Fatalf("%d definitions and %d queues, want %d", len(l.defs), len(l.depths), n)
	}
	h.holds(t, 1, 1)
	h.holds(t, n, 1)
	var gone spool.Batch
	for i := 1; i <= n; i++ {
		gone.Leaves = append(gone.Leaves, leaveOf(i, 1, body(i, 1)))
	}
	h.append(t, gone)
	h.Sync(t)
	h.Crash(t)
	if l := h.load(t); len(l.depths) != 0 || len(l.defs) != n {
		t.Errorf("%d definitions and %d queues, want %d and 0", len(l.defs), len(l.depths), n)
	}
}

func testCrash(t *testing.T, h *Harness) {
	h.fill(t, 1, 1, 2, 3)
	h.leave(t, 1, 2)
	h.Sync(t)
	for i := 4; i < 50; i++ {
		h.fill(t, 1, i)
	}
	h.Crash(t)
	got := h.read(t, 1, 0, 100)
	if len(got) < 2 || got[0] != "1=1/1" || got[1] != "3=1/3" {
		t.Fatalf("after the crash: %s", short(got))
	}
	for i, g := range got[2:] { // of what was not durable a beginning may be there
		if want := fmt.Sprintf("%d=1/%d", i+4, i+4); g != want {
			t.Errorf("after the crash: %q at %d, want %q", g, i+2, want)
		}
	}
}

func testFull(t *testing.T, h *Harness) {
	h.fill(t, 1, 1, 2, 3)
	h.Sync(t)
	h.SetFull(t, true)
	b := spool.Batch{Enters: []spool.Enter{enter("x", dest(1, 4))}, Puts: []spool.Put{{Key: "k", Value: []byte("v")}}}
	if _, err := h.Log.Append(&b); !errors.Is(err, spool.ErrFull) {
		t.Fatalf("Append = %v, want ErrFull", err)
	}
	if err := h.Log.Takes(&b); !errors.Is(err, spool.ErrFull) {
		t.Fatalf("Takes = %v, want ErrFull", err)
	}
	b.Moves = true
	if err := h.Log.Takes(&b); err != nil {
		t.Errorf("Takes of what changes its place = %v", err)
	}
	if err := h.Log.Takes(&spool.Batch{Leaves: []spool.Leave{leaveOf(1, 1, "")}}); err != nil {
		t.Errorf("Takes of a leave = %v", err)
	}
	room := h.Log.Room()
	if room == nil {
		t.Fatal("Room() = nil while full")
	}
	h.leave(t, 1, 1)
	h.append(t, spool.Batch{Puts: []spool.Put{{Key: "l", Value: []byte("w")}}})
	h.append(t, spool.Batch{ // a message that only changes its place needs no room
		Moves:  true,
		Enters: []spool.Enter{enter("2/1", dest(2, 1))},
		Leaves: []spool.Leave{{Queue: 1, Pos: 2, Size: 3}},
	})
	h.Sync(t)
	h.holds(t, 1, 3)
	h.SetFull(t, false)
	<-room
	if h.Log.Room() != nil {
		t.Error("there is still no room")
	}
	h.fill(t, 1, 4)
	h.Reopen(t)
	if l := h.load(t); l.defs["k"] != "" || l.defs["l"] != "w" {
		t.Errorf("definitions %v: something of the refused batch was taken", l.defs)
	}
	h.holds(t, 1, 3, 4)
	h.holds(t, 2, 1)
}

// claim is a record that says how large it is and must never be asked for more.
type claim int

func (c claim) Size() int { return int(c) }
func (c claim) AppendTo([]byte) []byte {
	panic("a record that is too large was taken")
}

// testTooLarge: the refusal is another one than that of a full log, whether the
// log is full or not, and of the batch nothing is taken.
func testTooLarge(t *testing.T, h *Harness) {
	const most = 64 << 20
	h.fill(t, 1, 1)
	h.Sync(t)
	of := func(sizes ...int) *spool.Batch {
		b := &spool.Batch{Puts: []spool.Put{{Key: "k", Value: []byte("v")}}, Leaves: []spool.Leave{leaveOf(1, 1, body(1, 1))}}
		for i, n := range sizes {
			b.Enters = append(b.Enters, spool.Enter{Record: claim(n), Size: n, To: []spool.Dest{dest(2, i+1)}})
		}
		return b
	}
	refused := func(why string, b *spool.Batch) {
		t.Helper()
		for name, ask := range map[string]func(*spool.Batch) error{
			"Append": func(b *spool.Batch) error { _, err := h.Log.Append(b); return err },
			"Takes":  h.Log.Takes,
		} {
			if err := ask(b); !errors.Is(err, spool.ErrLarge) || errors.Is(err, spool.ErrFull) || errors.Is(err, spool.ErrFailed) {
				t.Errorf("%s of %s = %v, want ErrLarge alone", name, why, err)
			}
		}
	}
	refused("a record beyond all bounds", of(math.MaxInt32))
	moves := of(math.MaxInt32)
	moves.Moves = true
	refused("such a record that only changes its place", moves)
	refused("small records beyond all bounds", of(slices.Repeat([]int{1 << 20}, 1<<16)...))

	h.SetMost(t, most)
	refused("one record", of(most))
	refused("records that are too large together", of(slices.Repeat([]int{most / 16}, 16)...))
	h.fill(t, 1, 2)
	h.SetMost(t, 0)
	h.SetFull(t, true)
	refused("a record beyond all bounds, of a full log", of(math.MaxInt32))
	h.SetFull(t, false)

	if got := h.append(t, spool.Batch{}); got != 2 {
		t.Errorf("the newest LSN is %d, want 2: a refused batch was counted", got)
	}
	h.Reopen(t)
	if l := h.load(t); len(l.defs) > 0 || len(l.depths) != 1 {
		t.Errorf("definitions %v, depths %v: something of a refused batch was taken", l.defs, l.depths)
	}
	h.holds(t, 1, 1, 2)
}

func testFail(t *testing.T, h *Harness) {
	h.fill(t, 1, 1)
	h.Sync(t)
	_, moved, _ := h.Log.Durable()
	h.Fail(t, errBoom)
	<-moved
	for range 2 {
		b := spool.Batch{Leaves: []spool.Leave{leaveOf(1, 1, "")}}
		if _, err := h.Log.Append(&b); !errors.Is(err, spool.ErrFailed) || !errors.Is(err, errBoom) {
			t.Errorf("Append = %v, want ErrFailed and its cause", err)
		}
		if err := h.Log.Takes(&b); !errors.Is(err, spool.ErrFailed) {
			t.Errorf("Takes = %v, want ErrFailed", err)
		}
		if _, _, err := h.Log.Durable(); !errors.Is(err, spool.ErrFailed) || !errors.Is(err, errBoom) {
			t.Errorf("Durable = %v, want ErrFailed and its cause", err)
		}
	}
}

func testReuse(t *testing.T, h *Harness) {
	var b spool.Batch
	for i := 1; i <= 20; i++ {
		b.Reset()
		b.Enters = append(b.Enters, enter(body(1, i), dest(1, i)))
		b.Puts = append(b.Puts, spool.Put{Key: fmt.Sprint(i), Value: []byte("v")})
		if i > 5 {
			b.Leaves = append(b.Leaves, leaveOf(1, i-5, body(1, i-5)))
		}
		b.Purges = append(b.Purges, spool.Purge{Queue: 2, To: spool.MaxPos})
		if _, err := h.Log.Append(&b); err != nil {
			t.Fatalf("Append: %v", err)
		}
	}
	h.Reopen(t)
	h.holds(t, 1, 16, 17, 18, 19, 20)
	if l := h.load(t); len(l.defs) != 20 {
		t.Errorf("%d definitions, want 20", len(l.defs))
	}
}
