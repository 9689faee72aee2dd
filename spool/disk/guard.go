package disk

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"leveret/spool"
)

// lockName is the file that keeps a second process out of the folder. Badger
// has a lock too, but says nothing useful when it is taken.
const lockName = "owner"

// takeLock locks the folder for this process; the lock goes with the file.
func takeLock(dir string) (io.Closer, error) {
	f, err := os.OpenFile(filepath.Join(dir, lockName), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock spool %s: %w", dir, err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		defer f.Close()
		if !errors.Is(err, unix.EWOULDBLOCK) {
			return nil, fmt.Errorf("lock spool %s: %w", dir, err)
		}
		pid, _ := io.ReadAll(io.LimitReader(f, 20)) // may be empty: the holder is just starting
		return nil, fmt.Errorf("%w: %s is held by process %s", spool.ErrLocked, dir, strings.TrimSpace(string(pid)))
	}
	if err = f.Truncate(0); err == nil {
		_, err = fmt.Fprintf(f, "%d\n", os.Getpid())
	}
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("lock spool %s: %w", dir, err)
	}
	return f, nil
}

// roomToOpen refuses to open on a volume that is too full for it, after the
// ballast was given up.
func roomToOpen(o *Options) error {
	need, err := o.on.wanted(o)
	if err != nil {
		return err
	}
	free, _, err := o.on.volume(o.Dir)
	if err != nil || free >= need {
		return err
	}
	had, err := dropBallast(o.on, o.Dir)
	if err != nil {
		return err
	}
	if had {
		o.Log.Warn("the volume is full: ballast given up", "dir", o.Dir, "free", free)
	}
	if free, _, err = o.on.volume(o.Dir); err != nil {
		return err
	}
	if free < need {
		return fmt.Errorf("open spool %s: %d bytes are free on the volume, %d are needed", o.Dir, free, need)
	}
	return nil
}

// volume tells how many bytes are free for us, and in all, where dir lies.
func volume(dir string) (free, total int64, err error) {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return 0, 0, fmt.Errorf("ask for free space of %s: %w", dir, err)
	}
	return int64(st.Bavail) * int64(st.Bsize), int64(st.Blocks) * int64(st.Bsize), nil
}

// folder watches the files: it syncs the folder when their names change and
// knows how much they occupy.
type folder struct {
	dir      string
	d        *os.File
	names    names        // those that are safe
	restless bool         // there were new ones when it was last looked at
	moved    atomic.Int64 // bytes that went through the mapped files
	ahead    paver        // the writer's, as anchor is
	anchor   *anchor
	manifest struct { // as last copied
		size    int64
		changed time.Time
	}

	mu    sync.Mutex // protects the fields below
	bytes int64      // allocated, as last measured
	since int64      // written since
}

func openFolder(dir string) (*folder, error) {
	d, err := os.Open(dir)
	if err != nil {
		return nil, fmt.Errorf("open spool folder: %w", err)
	}
	return &folder{dir: dir, d: d, names: newNames(), ahead: paver{dir: dir, stale: true}}, nil
}

// names are those of the files in a folder, by their hashes. They are looked at
// and not the folder's time, which clocks make coarse and file systems late.
type names struct {
	buf        []byte
	known, now map[uint64]struct{}
}

func newNames() names {
	return names{buf: make([]byte, 8<<10), known: make(map[uint64]struct{}), now: make(map[uint64]struct{})}
}

// look reports whether there are names that are not known to be safe.
func (n *names) look(d *os.File) (fresh bool, err error) {
	clear(n.now)
	err = eachName(d, n.buf, func(name []byte) {
		h := uint64(14695981039346656037) // FNV-1a
		for _, c := range name {
			h = (h ^ uint64(c)) * 1099511628211
		}
		n.now[h] = struct{}{}
		if _, ok := n.known[h]; !ok {
			fresh = true
		}
	})
	if err == nil && !fresh {
		n.safe()
	}
	return fresh, err
}

// safe notes that what was looked at is synced.
func (n *names) safe() { n.known, n.now = n.now, n.known }

// measureEvery is how many bytes are written between two looks at the files.
const measureEvery = 4 << 20

// settle is called when wrote bytes were written and before anything is
// promised about them: a new file is only safe when its name is.
func (f *folder) settle(wrote int64) error {
	f.moved.Add(wrote)
	f.mu.Lock()
	f.since += wrote
	grown := f.since >= measureEvery
	f.mu.Unlock()
	copied, err := f.followManifest()
	if err != nil {
		return err
	}
	if f.restless, err = f.names.look(f.d); err != nil {
		return err
	}
	if f.restless {
		if err := f.anchor.move(f.d.Sync); err != nil {
			return fmt.Errorf("sync spool folder: %w", err)
		}
		f.names.safe()
		f.ahead.stale = true
		adviseRandom(f.dir)
		grown = true
	}
	if err := copied(); err != nil {
		return err
	}
	if grown {
		return f.measure()
	}
	return nil
}

// followManifest reads the manifest when it has changed. What it answers writes
// the copy, when the names of all tables that were read are safe.
func (f *folder) followManifest() (write func() error, err error) {
	nothing := func() error { return nil }
	info, err := os.Stat(filepath.Join(f.dir, manifestName))
	if errors.Is(err, fs.ErrNotExist) {
		return nothing, nil // it is being replaced
	}
	if err != nil {
		return nil, fmt.Errorf("look at manifest: %w", err)
	}
	if info.Size() == f.manifest.size && info.ModTime().Equal(f.manifest.changed) {
		return nothing, nil
	}
	m, err := readManifest(filepath.Join(f.dir, manifestName))
	if err != nil {
		return nil, err
	}
	return func() error {
		if err := m.copyTo(f.dir); err != nil {
			return err
		}
		f.manifest.size, f.manifest.changed = info.Size(), info.ModTime()
		return nil
	}, nil
}

// measure counts blocks, not sizes: Badger's files have holes.
func (f *folder) measure() error {
	list, err := os.ReadDir(f.dir)
	if err != nil {
		return fmt.Errorf("measure spool: %w", err)
	}
	var n int64
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
		}
	}
	f.mu.Lock()
	f.bytes, f.since = n, 0
	f.mu.Unlock()
	return nil
}

func (f *folder) used() int64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.bytes + f.since
}

func (f *folder) close() error { return errors.Join(f.ahead.close(), f.d.Close()) }
