package broker

import (
	"fmt"
	"testing"

	"leveret/amqp"
)

// spread counts which queue each of n keys goes to.
func spread(t *testing.T, r routes, n int) (counts map[string]int, of map[string]string) {
	t.Helper()
	counts, of = make(map[string]int), make(map[string]string)
	for i := range n {
		key := fmt.Sprintf("device.%d", i)
		found := r.match(key, nil, nil)
		if len(found) != 1 {
			t.Fatalf("match(%q) found %d bindings, want 1", key, len(found))
		}
		counts[found[0].queue.name]++
		of[key] = found[0].queue.name
	}
	return counts, of
}

func hashed(t *testing.T, args amqp.Table, weights map[string]string) *hashRoutes {
	t.Helper()
	h, err := newHashRoutes(args)
	if err != nil {
		t.Fatal(err)
	}
	for name, weight := range weights {
		h.add(&binding{queue: &queue{name: name}, key: weight})
	}
	return h
}

func TestConsistentHash(t *testing.T) {
	const n = 12_000
	h := hashed(t, nil, map[string]string{"a": "1", "b": "1", "c": "2", "none": "0"})
	counts, of := spread(t, h, n)
	for name, want := range map[string]int{"a": n / 4, "b": n / 4, "c": n / 2, "none": 0} {
		if got := counts[name]; got < want*9/10 || got > want*11/10 {
			t.Errorf("queue %s has %d of %d messages, want about %d", name, got, n, want)
		}
	}
	if _, again := spread(t, hashed(t, nil, map[string]string{"a": "1", "b": "1", "c": "2"}), n); fmt.Sprint(again) != fmt.Sprint(of) {
		t.Error("the same bindings, made anew, choose otherwise")
	}

	h.add(&binding{queue: &queue{name: "d"}, key: "1"})
	_, after := spread(t, h, n)
	moved := 0
	for key, queue := range after {
		if queue == of[key] {
			continue
		}
		if moved++; queue != "d" {
			t.Fatalf("%s moved from %s to %s when d came", key, of[key], queue)
		}
	}
	if moved < n/5*9/10 || moved > n/5*11/10 {
		t.Errorf("%d of %d keys moved when one of five weights came, want about %d", moved, n, n/5)
	}
}

func TestHashOfHeaderAndProperty(t *testing.T) {
	weights := map[string]string{"a": "1", "b": "1", "c": "1"}
	header := hashed(t, amqp.Table{{Key: argHashHeader, Value: "device"}}, weights)
	property := hashed(t, amqp.Table{{Key: argHashProperty, Value: "message_id"}}, weights)
	reached := map[string]bool{}
	for i := range 50 {
		l := amqp.PropertyList{Headers: amqp.Table{{Key: "device", Value: int32(i)}}, MessageID: fmt.Sprint(i)}
		for _, h := range []*hashRoutes{header, property} {
			one, other := h.match("x", l.Encode(), nil), h.match("y", l.Encode(), nil)
			if one[0] != other[0] {
				t.Errorf("message %d: the routing key decides, want %q %q to", i, h.header, h.property)
			}
			reached[h.header+one[0].queue.name] = true
		}
	}
	if len(reached) != 6 {
		t.Errorf("only %d of 6 queues were reached", len(reached))
	}
	for _, args := range []amqp.Table{
		{{Key: argHashHeader, Value: int32(1)}},
		{{Key: argHashProperty, Value: "colour"}},
		{{Key: argHashHeader, Value: "h"}, {Key: argHashProperty, Value: "message_id"}},
	} {
		if _, err := newHashRoutes(args); err == nil {
			t.Errorf("newHashRoutes(%v) took it", args)
		}
	}
	for _, key := range []string{"", "x", "-1", "1.5", "99999999"} {
		if checkWeight(key) == nil {
			t.Errorf("checkWeight(%q) took it", key)
		}
	}
}

func TestRandom(t *testing.T) {
	var r randomRoutes
	if found := r.match("k", nil, nil); len(found) != 0 {
		t.Fatalf("no bindings, but %d found", len(found))
	}
	for _, name := range []string{"a", "b", "c"} {
		r.add(&binding{queue: &queue{name: name}})
	}
	counts, _ := spread(t, &r, 3000)
	for _, name := range []string{"a", "b", "c"} {
		if counts[name] < 800 || counts[name] > 1200 {
			t.Errorf("queue %s has %d of 3000 messages, want about 1000", name, counts[name])
		}
	}
}

func BenchmarkHashMatch(b *testing.B) {
	h := &hashRoutes{}
	for i := range 10 {
		h.add(&binding{queue: &queue{name: fmt.Sprint(i)}, key: "1"})
	}
	var found []*binding
	b.ReportAllocs()
	for b.Loop() {
		found = h.match("site.500.kitchen.temp", nil, found[:0])
	}
}
