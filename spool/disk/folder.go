package disk

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"syscall"
)

// folder watches Badger's files: it syncs the folder when their names change,
// keeps the copy of the manifest, and knows how much they occupy. It belongs to
// the writer, but for pages and what mu protects.
type folder struct {
	dir      string
	d        *os.File
	names    names // those that are safe
	restless bool  // there were new ones when it was last looked at
	pages    pager
	ahead    paver
	anchor   *anchor
	log      *slog.Logger

	compacting bool // what is replaced is kept, and the copy stays as it is
	copied     stamp
	behind     bool // there was no room for a copy
	owing      bool // the newest anchor holds what it needs no more
	level0     int  // tables that lie over each other, when it was last copied

	mu     sync.Mutex // protects the fields below
	bytes  int64      // allocated, as last measured
	tables int64      // of these, by tables
	since  int64      // written since
}

func openFolder(dir string, log *slog.Logger) (*folder, error) {
	d, err := os.Open(dir)
	if err != nil {
		return nil, fmt.Errorf("open spool folder: %w", err)
	}
	return &folder{dir: dir, d: d, log: log, names: newNames(), ahead: paver{dir: dir, stale: true}}, nil
}

// measureEvery is how many bytes are written between two looks at the files.
const measureEvery = 4 << 20

// settle is called when wrote bytes were written and before anything is
// promised about them: a new file is only safe when its name is.
//
// The order matters. The manifest is read before the names are looked at, so that
// its tables' names are safe when the copy is written; and the anchors go last,
// since what they keep is what a start goes back to by the copy.
func (f *folder) settle(wrote int64) error {
	f.pages.moved.Add(wrote)
	f.mu.Lock()
	f.since += wrote
	grown := f.since >= measureEvery
	f.mu.Unlock()
	now, at, err := f.manifest()
	if err != nil {
		return err
	}
	if f.restless, err = f.names.look(f.d); err != nil {
		return err
	}
	if f.restless || f.owing {
		f.owing = false
		f.anchor.cast()
		if err := f.d.Sync(); err != nil {
			return fmt.Errorf("sync spool folder: %w", err)
		}
		f.names.safe()
		f.ahead.stale = true
		adviseRandom(f.dir)
		grown = true
	}
	if !f.compacting {
		current, err := f.copy(now, at)
		if err != nil {
			return err
		}
		if current {
			f.anchor.slip()
		}
	}
	if grown {
		return f.measure()
	}
	return nil
}

// pending reports that another look may let something go.
func (f *folder) pending() bool { return f.restless || f.owing || f.anchor.dead }

// manifest reads Badger's when it is not as it was copied; nil when it is.
func (f *folder) manifest() (*manifest, stamp, error) {
	at, err := stampOf(f.dir)
	if err != nil || f.compacting || at == f.copied {
		return nil, at, err
	}
	m, err := readManifest(filepath.Join(f.dir, manifestName))
	return m, at, err
}

// copy writes the copy of a manifest and reports whether there is one of what
// Badger goes by. A full volume is no harm: the older copy then still holds, with
// all that it names, and the next call tries again.
func (f *folder) copy(m *manifest, at stamp) (current bool, err error) {
	if m == nil {
		return true, nil
	}
	f.level0 = m.level0()
	err = m.copyTo(f.dir)
	was := f.behind
	if f.behind = noRoom(err); f.behind {
		if !was {
			f.log.Warn("no room for a copy of the spool's MANIFEST; what it names is kept until there is", "err", err)
		}
		return false, nil
	}
	if err != nil {
		return false, err
	}
	f.copied, f.owing = at, was
	return true, nil
}

// measure counts blocks, not sizes: Badger's files have holes.
func (f *folder) measure() error {
	list, err := os.ReadDir(f.dir)
	if err != nil {
		return fmt.Errorf("measure spool: %w", err)
	}
	var n, tables int64
	for _, e := range list {
		info, err := e.Info()
		if errors.Is(err, fs.ErrNotExist) {
			continue // Badger removed it meanwhile
		}
		if err != nil {
			return fmt.Errorf("measure spool: %w", err)
		}
		if st, ok := info.Sys().(*syscall.Stat_t); ok {
			n += st.Blocks * 512
			if filepath.Ext(e.Name()) == ".sst" {
				tables += st.Blocks * 512
			}
		}
	}
	f.mu.Lock()
	f.bytes, f.tables, f.since = n, tables, 0
	f.mu.Unlock()
	return nil
}

func (f *folder) used() int64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.bytes + f.since
}

func (f *folder) tabled() int64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.tables
}

func (f *folder) close() error { return errors.Join(f.ahead.close(), f.d.Close()) }
