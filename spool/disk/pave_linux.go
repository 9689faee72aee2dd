package disk

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"syscall"
)

// Badger's write-ahead log is a file with a hole where nothing was written yet.
// A commit that reaches a new page of it makes the file system allocate a block
// and write its journal: 16 to 20 kB for a small commit of one page. So zeros are
// written ahead, many pages at a time, and a commit writes its page and nothing
// else. The writer does it after a commit, when nobody writes to the log, and
// only into the hole, which reads as zeros anyway.

const (
	// paveBytes are written at a time, with one entry of the journal for all.
	paveBytes = 128 << 10
	pageBytes = 4 << 10
	// paveMargin is how many bytes before the end of the zeros the next ones are due.
	paveMargin = 2 * pageBytes
)

type paver struct {
	dir   string
	f     *os.File // the log that Badger writes to; nil: none
	stale bool     // there may be a newer one
	end   int64    // of the zeros
	left  int64    // bytes after which to look
	page  [pageBytes]byte
}

// pave is told how many bytes went to the write-ahead log, at most.
func (p *paver) pave(logged int64) error {
	if p.stale {
		if err := p.follow(); err != nil {
			return fmt.Errorf("find write-ahead log: %w", err)
		}
	}
	if p.left -= logged; p.left > 0 || p.f == nil {
		return nil
	}
	used, err := p.used()
	if err == nil && !used {
		p.left = pageBytes
		return nil
	}
	if err == nil {
		err = p.extend()
	}
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		p.left = paveBytes // it works without, too
		return nil
	}
	if err != nil {
		return fmt.Errorf("write ahead in %s: %w", filepath.Base(p.f.Name()), err)
	}
	return nil
}

// follow opens the newest log.
func (p *paver) follow() error {
	p.stale = false
	logs, err := logsIn(p.dir, ".mem")
	if err != nil || len(logs) == 0 {
		return err
	}
	newest := logs[len(logs)-1]
	if p.f != nil && p.f.Name() == newest {
		return nil
	}
	if err := p.close(); err != nil {
		return err
	}
	if p.f, err = os.OpenFile(newest, os.O_RDWR, 0); err != nil {
		p.f = nil
		return err
	}
	p.end, p.left = 0, 0
	return nil
}

// used reports that Badger has come near the end of the zeros.
func (p *paver) used() (bool, error) {
	at := p.end - paveMargin
	if at < 0 {
		return true, nil
	}
	if _, err := p.f.ReadAt(p.page[:], at); err != nil && !errors.Is(err, io.EOF) {
		return false, err
	}
	return len(bytes.Trim(p.page[:], "\x00")) > 0, nil
}

// extend writes zeros where the hole begins. Page by page: the page cache would
// keep more than a page at once as one piece, and write it as one, again and
// again.
func (p *paver) extend() error {
	hole, told, err := nextHole(p.f, p.end)
	if err != nil {
		return err
	}
	if !told {
		return p.close() // it works without
	}
	info, err := p.f.Stat()
	if err != nil {
		return err
	}
	begin := (hole + pageBytes - 1) / pageBytes * pageBytes
	end := min(begin+paveBytes, info.Size()/pageBytes*pageBytes)
	clear(p.page[:])
	for at := begin; at < end; at += pageBytes {
		if _, err := p.f.WriteAt(p.page[:], at); err != nil {
			return err
		}
	}
	p.end, p.left = max(begin, end), paveBytes-paveMargin
	return nil
}

func (p *paver) close() error {
	if p.f == nil {
		return nil
	}
	defer func() { p.f = nil }()
	return p.f.Close()
}
