package edge

import (
	"os"
	"runtime/metrics"
	"time"
)

// memoryGauge tells what the process has of the memory that it may use and that
// nobody can take back from it. The spool's files, which are mapped, are not of
// it: the kernel drops what is in them when it needs to.
type memoryGauge struct {
	runtime [2]metrics.Sample
	statm   *os.File // nil where the system has none

	sockets   int64 // bytes, as they were at socketsAt
	socketsAt time.Time
}

// socketsLook is how often the control group is asked, which has to add up what
// each processor has counted.
const socketsLook = 100 * time.Millisecond

func newMemoryGauge() *memoryGauge {
	g := &memoryGauge{runtime: [2]metrics.Sample{{Name: "/memory/classes/total:bytes"}, {Name: "/memory/classes/heap/released:bytes"}}}
	g.statm = openStatm()
	return g
}

// used is in bytes. Only one may call it at a time.
func (g *memoryGauge) used() int64 {
	metrics.Read(g.runtime[:])
	mapped := int64(g.runtime[0].Value.Uint64() - g.runtime[1].Value.Uint64())
	if now := time.Now(); now.Sub(g.socketsAt) >= socketsLook {
		g.sockets, g.socketsAt = socketMemory("/proc/self/cgroup", "/sys/fs/cgroup"), now
	}
	// The runtime does not know of pages that the kernel gave beyond those asked
	// for, and the kernel not of those that will be touched next.
	return max(mapped, g.anonymous()) + g.sockets
}
