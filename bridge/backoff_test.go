package bridge

import (
	"math"
	"slices"
	"testing"
	"time"
)

func fixed(x float64) func() float64 { return func() float64 { return x } }

func delays(b *Backoff, n int) []time.Duration {
	var all []time.Duration
	for range n {
		all = append(all, b.Next())
	}
	return all
}

func TestBackoffDoublesItsCeilingUpToMax(t *testing.T) {
	const s = time.Second
	for _, c := range []struct {
		name     string
		min, max time.Duration
		random   float64
		want     []time.Duration
	}{
		{"highest draw", s, 20 * s, 1, []time.Duration{2 * s, 4 * s, 8 * s, 16 * s, 20 * s, 20 * s}},
		{"lowest draw", s, 20 * s, 0, []time.Duration{s, s, s, s, s}},
		{"middle draw", s, 9 * s, 0.5, []time.Duration{1500 * time.Millisecond, 2500 * time.Millisecond, 4500 * time.Millisecond, 5 * s}},
		{"max below min", 5 * s, 2 * s, 1, []time.Duration{5 * s, 5 * s}},
		{"max equals min", s, s, 0.7, []time.Duration{s, s}},
		{"defaults", 0, 0, 1, []time.Duration{2 * s, 4 * s, 8 * s, 16 * s, 32 * s, 60 * s, 60 * s}},
		{"min above the default max", 90 * s, 0, 1, []time.Duration{90 * s, 90 * s}},
	} {
		b := Backoff{Min: c.min, Max: c.max, Rand: fixed(c.random)}
		if got := delays(&b, len(c.want)); !slices.Equal(got, c.want) {
			t.Errorf("%s: delays %v, want %v", c.name, got, c.want)
		}
	}
}

func TestBackoffStartsAnewAfterReset(t *testing.T) {
	b := Backoff{Min: time.Second, Max: time.Hour, Rand: fixed(1)}
	first := delays(&b, 5)
	b.Reset()
	if again := delays(&b, 5); !slices.Equal(first, again) {
		t.Errorf("after Reset delays %v, want %v", again, first)
	}
}

func TestBackoffDoesNotOverflow(t *testing.T) {
	b := Backoff{Min: time.Second, Max: math.MaxInt64, Rand: fixed(0.5)}
	for i, d := range delays(&b, 200) {
		if d < b.Min {
			t.Fatalf("delay %d is %v", i, d)
		}
	}
}

func TestBackoffDrawsFromItsWholeRange(t *testing.T) {
	b := Backoff{Min: time.Second, Max: 2 * time.Second}
	drawn := delays(&b, 1000)
	if least := slices.Min(drawn); least < time.Second || least > 1100*time.Millisecond {
		t.Errorf("least of 1000 delays is %v, want just above 1s", least)
	}
	if most := slices.Max(drawn); most > 2*time.Second || most < 1900*time.Millisecond {
		t.Errorf("greatest of 1000 delays is %v, want just below 2s", most)
	}
}
