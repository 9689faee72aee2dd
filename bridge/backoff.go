package bridge

import (
	"math/rand/v2"
	"time"
)

// Bounds of a Backoff whose fields are zero.
const (
	backoffMinDefault = time.Second
	backoffMaxDefault = time.Minute
)

// Backoff says how long to wait before the next attempt. A delay is drawn
// evenly between Min and a ceiling that doubles from twice Min up to Max. The
// whole range is drawn from, so that a thousand gateways which lost the same
// cloud at the same moment do not come back at the same moment; Min stays the
// floor, so that a peer which refuses at once is not hammered.
//
// The zero value waits between a second and a minute. A Backoff belongs to one
// goroutine.
type Backoff struct {
	Min  time.Duration  // least delay; 0 means a second
	Max  time.Duration  // greatest delay; 0 means a minute, less than Min means Min
	Rand func() float64 // in [0, 1); nil means the runtime's generator

	ceiling time.Duration // of the last delay; 0 before the first
}

// Next is the delay before the next attempt.
func (b *Backoff) Next() time.Duration {
	least, most := b.bounds()
	// Compared by halves: doubling a long ceiling must not overflow.
	last := max(b.ceiling, least)
	b.ceiling = most
	if last < most/2 {
		b.ceiling = 2 * last
	}
	random := b.Rand
	if random == nil {
		random = rand.Float64
	}
	return least + time.Duration(random()*float64(b.ceiling-least))
}

// Reset makes the next delay a short one again: the link has been up.
func (b *Backoff) Reset() { b.ceiling = 0 }

func (b *Backoff) bounds() (least, most time.Duration) {
	least, most = b.Min, b.Max
	if least <= 0 {
		least = backoffMinDefault
	}
	if most <= 0 {
		most = backoffMaxDefault
	}
	return least, max(least, most)
}
