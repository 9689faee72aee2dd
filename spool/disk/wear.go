package disk

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"time"
)

// Wear is what was written to the flash since the store was opened.
type Wear struct {
	Since   time.Time
	Commits uint64
	// Payload is the bytes that were handed to the store.
	Payload uint64
	// Process is what the kernel counted for this process; -1: unknown.
	Process int64
	// Device is what reached the block device, whoever wrote it; -1: unknown.
	Device int64
}

// writes is a reading of the kernel's counters.
type writes struct{ process, device int64 }

// Wear reads the counters.
func (s *Store) Wear() Wear {
	now := readWrites(s.opts.Dir)
	st := s.Stats()
	return Wear{
		Since: s.opened, Commits: st.Commits, Payload: st.BytesIn,
		Process: since(s.writes.process, now.process), Device: since(s.writes.device, now.device),
	}
}

func since(then, now int64) int64 {
	if then < 0 || now < then {
		return -1
	}
	return now - then
}

func readWrites(dir string) writes {
	w := writes{-1, -1}
	if b, err := os.ReadFile("/proc/self/io"); err == nil {
		for line := range bytes.Lines(b) {
			if v, ok := bytes.CutPrefix(line, []byte("write_bytes: ")); ok {
				if n, err := strconv.ParseInt(string(bytes.TrimSpace(v)), 10, 64); err == nil {
					w.process = n
				}
			}
		}
	}
	// sectors of 512 bytes written are the seventh figure
	if major, minor, ok := deviceOf(dir); ok {
		b, err := os.ReadFile(fmt.Sprintf("/sys/dev/block/%d:%d/stat", major, minor))
		if fields := bytes.Fields(b); err == nil && len(fields) > 6 {
			if n, err := strconv.ParseInt(string(fields[6]), 10, 64); err == nil {
				w.device = n * 512
			}
		}
	}
	return w
}

// Amplification is how many bytes were written for each byte of payload: by
// the device's count, else by the process's; 0 when nobody knows.
func (w Wear) Amplification() float64 {
	written := w.written()
	if written < 0 || w.Payload == 0 {
		return 0
	}
	return float64(written) / float64(w.Payload)
}

func (w Wear) written() int64 {
	if w.Device >= 0 {
		return w.Device
	}
	return w.Process
}

// CommitsPerHour is the mean since the store was opened.
func (w Wear) CommitsPerHour(now time.Time) float64 {
	hours := now.Sub(w.Since).Hours()
	if hours <= 0 {
		return 0
	}
	return float64(w.Commits) / hours
}

// lifeAfter is how long must have been measured for an estimate.
const lifeAfter = time.Hour

// Years is how long a card that stands so many bytes lasts at the rate since
// the store was opened; 0 when nobody can say yet.
func (w Wear) Years(endurance int64, now time.Time) float64 {
	passed, written := now.Sub(w.Since), w.written()
	if endurance <= 0 || passed < lifeAfter || written <= 0 {
		return 0
	}
	const year = 365.25 * 24 // hours
	return float64(endurance) / float64(written) * passed.Hours() / year
}
