package disk

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sync/atomic"
	"time"
)

// Badger reads through mappings, so all that was read stays in memory as pages
// of its value logs until somebody takes them out. In a drain that is as much as
// is delivered from one commit to the next, far more than all else the process
// holds. So where memory is bounded a chunk is given back as soon as it was
// copied or unpacked; the cache has it for the other queues that lie in it.
//
// Before Badger drops a value log that is dead it reads all of it, from the disk
// by then and, as readahead is off, page by page. So the kernel is told to read it
// a piece at a time; and as nobody can give back behind Badger what it maps of that,
// somebody does it at every piece. What else Badger reads and writes is little; rest
// finds it.

const (
	// aheadBytes of a value log that Badger is about to read are read every
	// aheadEvery: as fast as any disk of a small board, and no more than that is
	// mapped from one look to the next.
	aheadBytes = 1 << 20
	aheadEvery = 2 * time.Millisecond
)

// pullMin is from where on it pays to ask for a value's pages, and to give them back.
const pullMin = 16 << 10

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

// sweep runs Badger's rewriting of a value log of which so large a share is dead,
// brings in what it is about to read and gives back what it has read. The one
// goroutine that it needs has ended when it returns.
func (p *pager) sweep(share float64, work func() error) error {
	if p.limit <= 0 {
		return work()
	}
	f, size, err := p.swept(share)
	if err != nil {
		return err
	}
	if f == nil {
		return work() // which reads nothing
	}
	ended, stopped := make(chan struct{}), make(chan struct{})
	readAhead(f, 0, aheadBytes)
	go func() {
		defer close(stopped)
		defer f.Close()
		tick := time.NewTicker(aheadEvery)
		defer tick.Stop()
		for at := int64(aheadBytes); ; at += aheadBytes {
			select {
			case <-tick.C:
				pageOut(p.dir, p.limit)
				if at < size {
					readAhead(f, at, aheadBytes)
				}
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

// swept opens the value log that Badger would rewrite; nil for none.
func (p *pager) swept(share float64) (f *os.File, size int64, err error) {
	path, dead, err := deadest(p.dir)
	if path == "" || err != nil {
		return nil, 0, err
	}
	f, err = os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, 0, nil // Badger forgets it when it looks
	}
	var info os.FileInfo
	if err == nil {
		info, err = f.Stat()
	}
	if err != nil {
		f.Close()
		return nil, 0, fmt.Errorf("read value log ahead: %w", err)
	}
	if float64(dead) < share*float64(info.Size()) {
		return nil, 0, f.Close()
	}
	return f, info.Size(), nil
}
