package disk_test

import (
	"testing"
	"time"

	"leveret/spool/disk"
)

func TestWearEstimate(t *testing.T) {
	begin := time.Unix(1e9, 0)
	const gb = int64(1e9)
	for _, c := range []struct {
		name      string
		wear      disk.Wear
		after     time.Duration
		years     float64
		amplified float64
	}{
		{"a GB a day", disk.Wear{Since: begin, Payload: 5e8, Process: gb, Device: -1}, 24 * time.Hour, 27.379, 2},
		{"the device knows better", disk.Wear{Since: begin, Payload: 5e8, Process: gb, Device: 2 * gb}, 24 * time.Hour, 13.689, 4},
		{"too early to say", disk.Wear{Since: begin, Payload: 5e8, Process: gb, Device: -1}, time.Minute, 0, 2},
		{"unknown", disk.Wear{Since: begin, Payload: 5e8, Process: -1, Device: -1}, 24 * time.Hour, 0, 0},
	} {
		got, amp := c.wear.Years(10_000*gb, begin.Add(c.after)), c.wear.Amplification()
		if diff := got - c.years; diff > 0.01 || diff < -0.01 {
			t.Errorf("%s: %v years, want %v", c.name, got, c.years)
		}
		if amp != c.amplified {
			t.Errorf("%s: amplification %v, want %v", c.name, amp, c.amplified)
		}
	}
}

func TestWearCountsWhatIsWritten(t *testing.T) {
	l := start(t, small(t.TempDir()))
	defer l.stop(t)
	fillQueue(t, l, 5000)
	w := l.Wear()
	if w.Commits == 0 || w.Payload == 0 || w.CommitsPerHour(time.Now()) <= 0 {
		t.Errorf("Wear = %+v, want commits and payload", w)
	}
}
