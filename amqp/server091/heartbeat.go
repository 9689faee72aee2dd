package server091

import (
	"errors"
	"time"
)

const (
	// silentTicksMax is two intervals, in ticks of half of one.
	silentTicksMax = 4
	// writeTimeout is for a connection without heartbeats.
	writeTimeout = time.Minute
)

var errSilent = errors.New("the client was silent for two heartbeat intervals")

// heartbeat watches both directions of a connection, twice in each interval. It
// belongs to the writer.
type heartbeat struct {
	interval time.Duration // 0: none
	in       *meter
	reads    uint64 // of the meter at the last tick
	silent   int    // ticks without bytes from the peer
	wrote    bool   // since the last tick
}

func (h *heartbeat) tick() time.Duration { return h.interval / 2 }

// patience is how long a write may go on without progress.
func (h *heartbeat) patience() time.Duration {
	if h.interval == 0 {
		return writeTimeout
	}
	return 2 * h.interval
}

// beat is called at each tick: send says that a heartbeat is due, the error
// that the peer is gone. While the reader does not listen, silence is no sign.
func (h *heartbeat) beat() (send bool, err error) {
	send, h.wrote = !h.wrote, false
	if h.interval == 0 {
		return false, nil
	}
	reads := h.in.reads.Load()
	if reads != h.reads || h.in.paused.Load() {
		h.reads, h.silent = reads, 0
		return send, nil
	}
	if h.silent++; h.silent >= silentTicksMax {
		return false, errSilent
	}
	return send, nil
}
