package edge

import (
	"context"
	"fmt"
	"runtime/debug"
	"runtime/metrics"
	"sync"
	"time"

	"leveret/spool"
)

// memoryAlarm is the log as the doors see it: while the process has more memory
// than it should, there is no room for what publishers bring, whatever the disk
// has. Everything that can grow has a bound, so that this is for the sum of them
// on a machine, or in a control group, that is smaller than its profile.
type memoryAlarm struct {
	spool.Log
	most int64        // bytes from which it rings; 0: never
	used func() int64 // bytes
	tell func(text string)

	mu   sync.Mutex    // protects the field below
	over chan struct{} // closed when it is over; nil: all is well
}

// troubleMemory names the alarm in health and status.
const troubleMemory = "memory"

const (
	// memoryHigh and memoryCalm are shares, in percent, of what the process may
	// use: where the alarm begins and ends.
	memoryHigh = 60
	memoryCalm = 50
	memoryLook = time.Second
)

// Room implements spool.Log.
func (m *memoryAlarm) Room() <-chan struct{} {
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
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.over != nil {
		return "low on memory"
	}
	return ""
}

// run looks every second.
func (m *memoryAlarm) run(ctx context.Context) error {
	defer m.set(false, 0)
	look := time.NewTicker(memoryLook)
	defer look.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-look.C:
			m.look()
		}
	}
}

func (m *memoryAlarm) look() {
	if m.most == 0 {
		return
	}
	used := m.used()
	if used >= m.most {
		debug.FreeOSMemory() // it may be garbage alone
		used = m.used()
	}
	switch {
	case used >= m.most:
		m.set(true, used)
	case used < m.most/memoryHigh*memoryCalm:
		m.set(false, used)
	}
}

func (m *memoryAlarm) set(high bool, used int64) {
	m.mu.Lock()
	was := m.over != nil
	switch {
	case high && !was:
		m.over = make(chan struct{})
	case !high && was:
		close(m.over)
		m.over = nil
	}
	m.mu.Unlock()
	switch {
	case high && !was:
		m.tell(fmt.Sprintf("%d MiB of memory are in use, from %d MiB on publishers wait until something is consumed", used>>20, m.most>>20))
	case !high && was:
		m.tell("")
	}
}

// runtimeMemory is what the process has of the machine's memory, without the
// spool's files, which the kernel takes back when it needs to.
func runtimeMemory() int64 {
	s := []metrics.Sample{{Name: "/memory/classes/total:bytes"}, {Name: "/memory/classes/heap/released:bytes"}}
	metrics.Read(s)
	return int64(s[0].Value.Uint64() - s[1].Value.Uint64())
}
