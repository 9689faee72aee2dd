package disk

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"sort"
	"strings"
	"time"
)

// twin is a ground in memory with a power switch. Its engine's commits are there
// or not; its files follow the strict rules: what was not synced is old, new or
// torn, and names are as of the last sync of their folder, or later.
type twin struct {
	rng   *rand.Rand
	keys  []pair               // the engine's
	names map[string]*twinFile // as programs see them
	safe  map[string]*twinFile // names that are durable

	starts int   // of the machine
	steps  int   // operations so far
	cutAt  int   // the operation in which the power goes; 0: none
	failAt int   // the operation that fails once; 0: none
	off    bool  // the power is off
	free   int64 // on the volume
	used   int64 // by the engine
	tables int64 // of that, what a compaction would write
	max    limits

	// On a volume with a size what is free is what the keys and others leave.
	total, others int64
	dead          int64  // values that are deleted, and there until a sweep
	ballast       int64  // whose files are solid
	burst         bool   // more was written than there was space for
	asked         func() // called when somebody looks at the volume; may be nil
}

type pair struct{ key, value []byte }

type twinFile struct{ now, synced []byte }

var (
	errOff = errors.New("the power is off")
	errIll = errors.New("the disk is ill")
)

func newTwin(rng *rand.Rand) *twin {
	return &twin{
		rng: rng, names: make(map[string]*twinFile), safe: make(map[string]*twinFile), free: 1 << 40,
		max: limits{pointed: 256, bytes: 2 << 10, changes: 20},
	}
}

// step is one operation. half tells that the power goes in the middle of it.
func (d *twin) step() (half bool, err error) {
	d.steps++
	switch {
	case d.off:
		return false, errOff
	case d.steps == d.cutAt:
		d.off = true
		return true, errOff
	case d.steps == d.failAt:
		return false, errIll
	}
	return false, nil
}

// boot is what a power cut leaves; loss is false for a process that was killed.
func (d *twin) reboot(loss bool) {
	d.off, d.cutAt, d.failAt, d.free, d.used = false, 0, 0, 1<<40, 0
	if !loss {
		return
	}
	d.starts++
	folders := make(map[string]bool) // decided for each folder: the old names, or the new
	for _, m := range []map[string]*twinFile{d.names, d.safe} {
		for path := range m {
			folders[filepath.Dir(path)] = false
		}
	}
	order := slices.Sorted(func(yield func(string) bool) {
		for f := range folders {
			if !yield(f) {
				return
			}
		}
	})
	for _, f := range order {
		folders[f] = d.rng.IntN(2) == 0
	}
	left := make(map[string]*twinFile)
	for path, f := range d.safe {
		if !folders[filepath.Dir(path)] {
			left[path] = f
		}
	}
	for path, f := range d.names {
		if folders[filepath.Dir(path)] {
			left[path] = f
		}
	}
	paths := make([]string, 0, len(left))
	for path := range left {
		paths = append(paths, path)
	}
	slices.Sort(paths)
	for _, path := range paths {
		f := left[path]
		f.now = d.torn(f)
		f.synced = f.now
	}
	d.names, d.safe = left, make(map[string]*twinFile)
	for path, f := range left {
		d.safe[path] = f
	}
}

func (d *twin) torn(f *twinFile) []byte {
	if bytes.Equal(f.now, f.synced) {
		return f.now
	}
	switch d.rng.IntN(3) {
	case 0:
		return f.synced
	case 1:
		return f.now
	}
	k := d.rng.IntN(len(f.now) + 1)
	return append(slices.Clone(f.now[:k]), f.synced[min(k, len(f.synced)):]...)
}

func (d *twin) mkdir(string) error { return nil }

func (d *twin) list(dir string) (map[string]int64, error) {
	sizes := make(map[string]int64)
	for path, f := range d.names {
		if rest, ok := strings.CutPrefix(path, dir+"/"); ok && !strings.Contains(rest, "/") {
			sizes[rest] = int64(len(f.now))
		}
	}
	return sizes, nil
}

func (d *twin) size(path string) (int64, error) {
	b, err := d.read(path)
	return int64(len(b)), err
}

func (d *twin) read(path string) ([]byte, error) {
	f := d.names[path]
	if f == nil {
		return nil, fs.ErrNotExist
	}
	return slices.Clone(f.now), nil
}

func (d *twin) create(path string) (file, error) {
	if _, err := d.step(); err != nil {
		return nil, err
	}
	f := d.names[path]
	if f == nil {
		f = new(twinFile)
		d.names[path] = f
	}
	f.now = nil
	return &twinHandle{d, f}, nil
}

func (d *twin) edit(path string) (file, error) {
	if d.names[path] == nil {
		return d.create(path)
	}
	return &twinHandle{d, d.names[path]}, nil
}

func (d *twin) rename(from, to string) error {
	half, err := d.step()
	if err != nil && !half {
		return err
	}
	if d.names[from] == nil {
		return fs.ErrNotExist
	}
	d.names[to] = d.names[from]
	delete(d.names, from)
	return err
}

func (d *twin) remove(path string) error {
	if _, err := d.step(); err != nil {
		return err
	}
	if d.names[path] == nil {
		return fs.ErrNotExist
	}
	delete(d.names, path)
	return nil
}

func (d *twin) syncFolder(dir string) error {
	if _, err := d.step(); err != nil {
		return err
	}
	for path := range d.safe {
		if filepath.Dir(path) == dir {
			delete(d.safe, path)
		}
	}
	for path, f := range d.names {
		if filepath.Dir(path) == dir {
			d.safe[path] = f
		}
	}
	return nil
}

// solid makes the ballast, the one file that occupies something on the volume.
func (d *twin) solid(path string, size int64) (bool, error) {
	if d.total == 0 {
		return false, nil
	}
	f := &twinFile{now: make([]byte, size)}
	f.synced = f.now
	d.names[path], d.ballast = f, size
	return true, nil
}

func (d *twin) lock(string) (io.Closer, error) { return io.NopCloser(nil), nil }

func (d *twin) volume(string) (free, total int64, err error) {
	if d.asked != nil {
		d.asked()
	}
	if d.total == 0 {
		return d.free, 1 << 41, nil
	}
	return d.total - d.taken(), d.total, nil
}

// taken is what is occupied of a volume that has a size.
func (d *twin) taken() int64 {
	n := d.others + d.dead
	if d.names["/spool/guard/ballast"] != nil {
		n += d.ballast
	}
	for _, p := range d.keys {
		n += int64(len(p.key) + len(p.value))
	}
	return n
}

func (d *twin) boot() string { return strings.Repeat("x", d.starts+1) }

func (d *twin) mend(*Options) (mended, error) { return mended{}, nil }

func (d *twin) wanted(*Options) (int64, error) { return 0, nil }

func (d *twin) open(*Options) (engine, error) {
	_, err := d.step()
	return &twinEngine{d}, err
}

type twinHandle struct {
	d *twin
	f *twinFile
}

func (h *twinHandle) Write(b []byte) (int, error) { return h.WriteAt(b, int64(len(h.f.now))) }

func (h *twinHandle) WriteAt(b []byte, at int64) (int, error) {
	if half, err := h.d.step(); err != nil && !half {
		return 0, err
	}
	now := slices.Clone(h.f.now)
	if n := int(at) + len(b); n > len(now) {
		now = append(now, make([]byte, n-len(now))...)
	}
	copy(now[at:], b)
	h.f.now = now
	return len(b), nil
}

func (h *twinHandle) ReadAt(b []byte, at int64) (int, error) {
	if at >= int64(len(h.f.now)) {
		return 0, io.EOF
	}
	n := copy(b, h.f.now[at:])
	if n < len(b) {
		return n, io.EOF
	}
	return n, nil
}

func (h *twinHandle) Sync() error {
	if _, err := h.d.step(); err != nil {
		return err
	}
	h.f.synced = h.f.now
	return nil
}

func (h *twinHandle) Close() error { return nil }

type twinEngine struct{ d *twin }

func (e *twinEngine) limits() limits { return e.d.max }

// commit copies the keys, so that moments stay as they are.
func (e *twinEngine) commit(changes []change) error {
	half, err := e.d.step()
	if err != nil && (!half || e.d.rng.IntN(2) == 0) {
		if !errors.Is(err, errIll) || e.d.rng.IntN(2) == 0 {
			return err
		}
	}
	byKey := make(map[string][]byte, len(changes))
	for _, c := range changes {
		byKey[string(c.key)] = c.value
	}
	next := make([]pair, 0, len(e.d.keys)+len(changes))
	for _, p := range e.d.keys {
		if _, ok := byKey[string(p.key)]; !ok {
			next = append(next, p)
		} else if e.d.total > 0 {
			e.d.dead += int64(len(p.value))
		}
	}
	for k, v := range byKey {
		if v != nil {
			next = append(next, pair{[]byte(k), slices.Clone(v)})
		}
	}
	slices.SortFunc(next, func(a, b pair) int { return bytes.Compare(a.key, b.key) })
	e.d.keys = next
	e.d.burst = e.d.burst || e.d.total > 0 && e.d.taken() > e.d.total
	return err
}

func (e *twinEngine) now() moment { return twinMoment(e.d.keys) }

func (e *twinEngine) flush(scratch []byte) error {
	return e.commit([]change{{scratch, nil}})
}

func (e *twinEngine) crowded() bool                               { return false }
func (e *twinEngine) compacts() int64                             { return e.d.tables }
func (e *twinEngine) hold() error                                 { return nil }
func (e *twinEngine) compact() error                              { return nil }
func (e *twinEngine) prove() error                                { return nil }
func (e *twinEngine) sweep([]float64) (bool, error)               { e.d.dead = 0; return false, nil }
func (e *twinEngine) remains(func(key, value []byte) error) error { return nil }
func (e *twinEngine) sweeps() (int64, error)                      { return 0, nil }
func (e *twinEngine) used() int64                                 { return e.d.used }
func (e *twinEngine) measure() error                              { return nil }
func (e *twinEngine) rest(time.Time) (time.Time, error)           { return time.Time{}, nil }
func (e *twinEngine) fault() error                                { return nil }
func (e *twinEngine) close(bool) error                            { return nil }

type twinMoment []pair

func (m twinMoment) find(key []byte) int {
	return sort.Search(len(m), func(i int) bool { return bytes.Compare(m[i].key, key) >= 0 })
}

func (m twinMoment) get(key []byte, fn func([]byte) error) error {
	i := m.find(key)
	if i == len(m) || !bytes.Equal(m[i].key, key) {
		return errNoKey
	}
	if fn == nil {
		return nil
	}
	return fn(m[i].value)
}

func (m twinMoment) each(prefix, from []byte, fn func(item) bool) {
	if bytes.Compare(from, prefix) < 0 {
		from = prefix
	}
	for i := m.find(from); i < len(m) && bytes.HasPrefix(m[i].key, prefix) && fn(&m[i]); i++ {
	}
}

func (m twinMoment) back(prefix []byte) backward { return twinBackward{m, prefix} }
func (m twinMoment) close()                      {}

func (p *pair) Key() []byte                             { return p.key }
func (p *pair) Value(fn func(value []byte) error) error { return fn(p.value) }

type twinBackward struct {
	m      twinMoment
	prefix []byte
}

func (b twinBackward) floor(key []byte) []byte {
	i := b.m.find(key)
	if i == len(b.m) || !bytes.Equal(b.m[i].key, key) {
		i--
	}
	if i < 0 || !bytes.HasPrefix(b.m[i].key, b.prefix) {
		return nil
	}
	return bytes.Clone(b.m[i].key)
}

func (b twinBackward) close() {}
