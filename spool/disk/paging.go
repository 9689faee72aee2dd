package disk

import (
	"sync/atomic"
	"time"
)

// Badger reads through mappings, so all that was read stays in memory as pages
// of its value logs until somebody takes them out. In a drain that is as much as
// is delivered from one commit to the next, far more than all else the process
// holds. So where memory is bounded a chunk is given back as soon as it was
// copied or unpacked; the cache has it for the other queues that lie in it.
//
// Before Badger drops a value log that is dead it reads all of it. Nobody can
// give that back behind it, so somebody looks every few milliseconds meanwhile.
// What else Badger reads and writes is little; rest finds it.

// watchEvery is how often memory is looked at while Badger reads by itself: a
// disk of 100 MB/s has brought in a megabyte by then.
const watchEvery = 2 * time.Millisecond

// pager keeps the mapped files of a folder from filling the memory.
type pager struct {
	dir   string
	limit int64        // of bytes of files in memory; 0: none
	moved atomic.Int64 // bytes written and read that may still be there
}

// read has a mapped value brought in, hands it to fn, and lets it go. Any
// goroutine may call it.
func (p *pager) read(value []byte, fn func([]byte) error) error {
	pull(value)
	if p.limit > 0 && len(value) >= pullMin {
		defer letPagesGo(value)
	} else {
		p.moved.Add(int64(len(value)))
	}
	return fn(value)
}

// watch runs work of Badger's and gives back meanwhile what it brings in. The
// one goroutine that it needs has ended when it returns.
func (p *pager) watch(work func() error) error {
	if p.limit <= 0 {
		return work()
	}
	ended, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		tick := time.NewTicker(watchEvery)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				pageOut(p.dir, p.limit)
			case <-ended:
				pageOut(p.dir, p.limit)
				return
			}
		}
	}()
	defer func() {
		close(ended)
		<-stopped
	}()
	return work()
}
