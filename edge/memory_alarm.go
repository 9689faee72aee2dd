package edge

import (
	"context"
	"fmt"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"leveret/spool"
)

// memoryAlarm is the log as the doors see it: while the process has more memory
// than it should, there is no room for what publishers bring, whatever the disk
// has. Everything that can grow has a bound, so that this is for the sum of them
// on a machine, or in a control group, that is smaller than its profile.
//
// Memory grows by what publishers bring, and faster than any clock that would be
// worth its wakeups: 70 MiB are full in a fifth of a second. So it is they who
// look, since each of them asks for room before or after each batch. A process
// that is idle is not woken.
type memoryAlarm struct {
	spool.Log
	most  int64        // bytes from which it rings; 0: never
	used  func() int64 // bytes; one call at a time
	tell  func(text string)
	began time.Time

	looked atomic.Int64  // when somebody last looked, after began
	rang   chan struct{} // a note that it has begun to ring

	mu   sync.Mutex    // protects the fields below, and used
	over chan struct{} // closed when it is over; nil: all is well
	left bool          // run has ended: nobody would end the alarm
}

// troubleMemory names the alarm in health and status.
const troubleMemory = "memory"

const (
	// memoryHigh and memoryCalm are shares, in percent, of what the process may
	// use: where the alarm begins and ends. The collector is told to stay under
	// the second, so that what is above it is in use and no garbage.
	memoryHigh = 60
	memoryCalm = 50
	// memoryLook is how often publishers look, all together. A gigabyte a second,
	// far more than small machines can take, is 2 MiB in it.
	memoryLook = 2 * time.Millisecond
	// memoryWait is how soon it is looked whether the alarm is over, and
	// memoryWaitMax how seldom it comes to be: each look collects all garbage.
	memoryWait    = time.Second
	memoryWaitMax = 4 * time.Second
)

func newMemoryAlarm(log spool.Log, available int64, used func() int64, tell func(text string)) *memoryAlarm {
	return &memoryAlarm{
		Log: log, most: share(available, memoryHigh), used: used, tell: tell,
		began: time.Now(), rang: make(chan struct{}, 1),
	}
}

func share(of int64, percent int64) int64 { return of / 100 * percent }

// Room implements spool.Log.
func (m *memoryAlarm) Room() <-chan struct{} {
	m.lookAgain()
	m.mu.Lock()
	over := m.over
	m.mu.Unlock()
	if over != nil {
		return over
	}
	return m.Log.Room()
}

// NoRoom is why there is none, in RabbitMQ's words; "" when it is for the disk's
// sake.
func (m *memoryAlarm) NoRoom() string {
	m.lookAgain()
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.over != nil {
		return "low on memory"
	}
	return ""
}

// lookAgain looks unless somebody has just looked.
func (m *memoryAlarm) lookAgain() {
	now, last := int64(time.Since(m.began)), m.looked.Load()
	if m.most == 0 || now-last < int64(memoryLook) || !m.looked.CompareAndSwap(last, now) {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.over != nil || m.left || m.used() < m.most {
		return
	}
	m.over = make(chan struct{})
	select {
	case m.rang <- struct{}{}:
	default: // the note of the time before was not read yet
	}
}

// run ends what publishers have begun.
func (m *memoryAlarm) run(ctx context.Context) error {
	defer m.leave()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-m.rang:
			m.ring(ctx)
		}
	}
}

// ring holds publishers until there is clearly less in use. Nobody is told of
// what turns out to be garbage that the collector had not come to.
func (m *memoryAlarm) ring(ctx context.Context) {
	used, calm := m.collect()
	if calm {
		return
	}
	m.tell(fmt.Sprintf("%d MiB of memory are in use, from %d MiB on publishers wait until something is consumed", used>>20, m.most>>20))
	defer m.tell("")
	for wait := memoryWait; !calm; wait = min(2*wait, memoryWaitMax) {
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
			_, calm = m.collect()
		}
	}
}

// collect looks at what is in use without the garbage, and ends the alarm when
// it is little enough. With publishers held nobody else would have it collected.
func (m *memoryAlarm) collect() (used int64, calm bool) {
	debug.FreeOSMemory()
	m.mu.Lock()
	defer m.mu.Unlock()
	used = m.used()
	if calm = used < m.most/memoryHigh*memoryCalm; calm {
		m.endLocked()
	}
	return used, calm
}

// leave ends the alarm for good: the doors close, and nobody is to wait.
func (m *memoryAlarm) leave() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.left = true
	m.endLocked()
}

func (m *memoryAlarm) endLocked() {
	if m.over != nil {
		close(m.over)
		m.over = nil
	}
}
