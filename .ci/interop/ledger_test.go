package interop

import (
	"fmt"
	"hash/crc32"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// reading is one message of a sensor: numbered from 1 and checksummed, so that
// whoever receives it can tell what is missing, twice, late, damaged or made up.
type reading struct {
	sensor string
	n      int
}

// String is the form on the wire: sensor, number, padding, CRC-32 of what
// stands before it. clients/sensors.py writes the same.
func (r reading) String() string {
	text := fmt.Sprintf("%s %d %s", r.sensor, r.n, strings.Repeat("x", r.n*7%90))
	return fmt.Sprintf("%s %08x", text, crc32.ChecksumIEEE([]byte(text)))
}

// parseReading reports false for a text that no sensor wrote like that.
func parseReading(s string) (reading, bool) {
	f := strings.Split(s, " ")
	if len(f) != 4 {
		return reading{}, false
	}
	n, err := strconv.Atoi(f[1])
	if err != nil {
		return reading{}, false
	}
	r := reading{f[0], n}
	return r, r.String() == s
}

// ledger is what the publishers were promised.
type ledger struct {
	mu       sync.Mutex // protects the fields below
	promised map[reading]bool
	settled  map[reading]bool // a consumer may have acknowledged them: they may be gone
	offered  map[string]int   // highest number each sensor may have sent
}

func newLedger() *ledger {
	return &ledger{promised: map[reading]bool{}, settled: map[reading]bool{}, offered: map[string]int{}}
}

// offer announces that the sensor may send numbers up to n.
func (l *ledger) offer(sensor string, n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.offered[sensor] = max(l.offered[sensor], n)
}

// promise records an acknowledgement by the broker.
func (l *ledger) promise(r reading) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.promised[r] = true
}

// settle records that a consumer is about to acknowledge the reading.
func (l *ledger) settle(r reading) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.settled[r] = true
}

// note records a line of a writer in a process of its own: "acked SENSOR
// NUMBER" or "settled SENSOR NUMBER". Other lines are for people.
func (l *ledger) note(line string) {
	f := strings.Fields(line)
	if len(f) != 3 {
		return
	}
	n, err := strconv.Atoi(f[2])
	if err != nil {
		return
	}
	switch f[0] {
	case "acked":
		l.promise(reading{f[1], n})
	case "settled":
		l.settle(reading{f[1], n})
	}
}

func (l *ledger) has(r reading) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.promised[r]
}

func (l *ledger) count() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.promised)
}

// arrivals is what one receiver saw, in order.
type arrivals struct {
	mu   sync.Mutex // protects the fields below
	text []string
}

func (a *arrivals) add(text string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.text = append(a.text, text)
}

func (a *arrivals) count() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.text)
}

// covers reports whether everything promised has arrived.
func (a *arrivals) covers(l *ledger) bool { return l.judge(a).lost == 0 }

// verdict compares promises and arrivals.
type verdict struct {
	promised, arrived int
	lost              int // promised, never seen
	damaged           int // not as any sensor wrote it
	phantom           int // well-formed, but never sent
	duplicate         int // seen again
	disordered        int // first seen after a later one of the same sensor
}

func (v verdict) String() string {
	return fmt.Sprintf("promised %d, arrived %d, lost %d, damaged %d, phantom %d, duplicate %d, out of order %d",
		v.promised, v.arrived, v.lost, v.damaged, v.phantom, v.duplicate, v.disordered)
}

// check fails the test on anything but duplicates, of which there may be some.
func (v verdict) check(t testing.TB, who string, duplicateMax int) {
	t.Helper()
	t.Logf("%s: %v", who, v)
	if v.lost+v.damaged+v.phantom+v.disordered > 0 {
		t.Errorf("%s: %v; nothing may be lost, damaged, phantom or out of order", who, v)
	}
	if v.duplicate > duplicateMax {
		t.Errorf("%s: %d duplicates, at most %d can be explained", who, v.duplicate, duplicateMax)
	}
}

func (l *ledger) judge(a *arrivals) verdict {
	l.mu.Lock()
	defer l.mu.Unlock()
	a.mu.Lock()
	defer a.mu.Unlock()
	v := verdict{promised: len(l.promised), arrived: len(a.text)}
	seen := map[reading]bool{}
	last := map[string]int{}
	for _, text := range a.text {
		r, ok := parseReading(text)
		switch {
		case !ok:
			v.damaged++
		case r.n < 1 || r.n > l.offered[r.sensor]:
			v.phantom++
		case seen[r]:
			v.duplicate++
		case r.n < last[r.sensor]:
			v.disordered++
			seen[r] = true
		default:
			seen[r] = true
			last[r.sensor] = r.n
		}
	}
	for r := range l.promised {
		if !seen[r] && !l.settled[r] {
			v.lost++
		}
	}
	return v
}

// The checker itself must see each fault, or a green run says nothing.
func TestLedgerFindsEachFault(t *testing.T) {
	text := func(n int) string { return reading{"s", n}.String() }
	flipped := strings.Replace(text(2), "x", "y", 1)
	tests := []struct {
		name    string
		arrived []string
		want    verdict
	}{
		{"all in order", []string{text(1), text(2), text(3)}, verdict{arrived: 3}},
		{"one lost", []string{text(1), text(3)}, verdict{arrived: 2, lost: 1}},
		{"one twice", []string{text(1), text(2), text(1), text(3)}, verdict{arrived: 4, duplicate: 1}},
		{"one late", []string{text(1), text(3), text(2)}, verdict{arrived: 3, disordered: 1}},
		{"one damaged", []string{text(1), flipped, text(3)}, verdict{arrived: 3, lost: 1, damaged: 1}},
		{"one made up", []string{text(1), text(2), text(3), text(4)}, verdict{arrived: 4, phantom: 1}},
		{"another's", []string{text(1), text(2), text(3), reading{"z", 1}.String()}, verdict{arrived: 4, phantom: 1}},
	}
	for _, tt := range tests {
		l := newLedger()
		l.offer("s", 3)
		for n := range 3 {
			l.note(fmt.Sprintf("acked s %d", n+1))
		}
		tt.want.promised = 3
		if got := l.judge(&arrivals{text: tt.arrived}); got != tt.want {
			t.Errorf("%s: %v, want %v", tt.name, got, tt.want)
		}
	}
}
