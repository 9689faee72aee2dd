package disk

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"

	"github.com/dgraph-io/badger/v4/table"
	"github.com/dgraph-io/badger/v4/y"

	"leveret/spool"
)

// Offline is a spool read from its files, without Badger's database: it works
// where that will not open, and changes nothing. In memory stands one place
// for each key.
type Offline struct {
	dir  string
	lock io.Closer
	zip  *zipper
	keys map[string]place
	open map[string]*os.File // value logs

	// Damaged are the files, and places in them, that did not read.
	Damaged []string
	suspect bool // keys may be missing
}

// place is where the newest version of a key was found.
type place struct {
	version uint64
	deleted bool
	value   []byte // what was found beside the key
	log     string // or the value log with it
	offset  int64
}

// OpenOffline reads the keys of the spool in dir. No other process may have it
// open.
func OpenOffline(dir string) (*Offline, error) {
	if _, err := os.Stat(dir); err != nil {
		return nil, fmt.Errorf("read spool: %w", err)
	}
	lock, err := takeLock(dir)
	if err != nil {
		return nil, err
	}
	o := &Offline{dir: dir, lock: lock, keys: make(map[string]place), open: make(map[string]*os.File)}
	o.zip, err = newZipper(true)
	for _, step := range []func() error{func() error { return newerManifest(dir) }, o.readTables, o.readMemLogs, o.schema, o.readValueLogs} {
		if err == nil {
			err = step()
		}
	}
	if err != nil {
		return nil, errors.Join(err, o.Close())
	}
	return o, nil
}

// schema refuses a newer format; where the record is damaged the pieces tell.
func (o *Offline) schema() error {
	b, err := o.value(string(rune(classSchema)))
	if err != nil {
		return err
	}
	if v, err := decodeSchema(b); err == nil && v > format {
		return newerFolder(v)
	}
	return nil
}

// Close gives the folder back.
func (o *Offline) Close() error {
	if o.zip != nil {
		o.zip.close()
	}
	var errs []error
	for _, f := range o.open {
		errs = append(errs, f.Close())
	}
	return errors.Join(append(errs, o.lock.Close())...)
}

func (o *Offline) damaged(format string, args ...any) {
	o.suspect = true
	o.Damaged = append(o.Damaged, fmt.Sprintf(format, args...))
}

// note keeps the newest version of a key. One version may be in two value logs,
// when the older one was being rewritten; the newer one is whole.
func (o *Offline) note(key []byte, p place) {
	old, ok := o.keys[string(key)]
	if !ok || p.version > old.version || p.version == old.version && p.log >= old.log {
		o.keys[string(key)] = p
	}
}

// pointed is a value that lies in a value log: u32 log, u32 length, u32 offset,
// as the machine that wrote it orders bytes; all of ours put the low one first.
func (o *Offline) pointed(p place, v []byte) place {
	if len(v) < 12 {
		return p
	}
	p.log = filepath.Join(o.dir, fmt.Sprintf("%06d.vlog", le.Uint32(v)))
	p.offset = int64(le.Uint32(v[8:]))
	return p
}

func (o *Offline) readTables() error {
	there, err := tablesIn(o.dir)
	if err != nil {
		return err
	}
	for id := range there {
		path := filepath.Join(o.dir, fmt.Sprintf("%06d.sst", id))
		err := checkTable(path)
		if err == nil {
			err = o.readTable(path)
		}
		if errors.Is(err, spool.ErrCorrupt) {
			o.damaged("%s: %v", filepath.Base(path), err)
		} else if err != nil {
			return err
		}
	}
	return nil
}

// readTable reads what is sound in a table.
func (o *Offline) readTable(path string) error {
	if err := verifyTable(path); err != nil {
		o.damaged("%s: %v", filepath.Base(path), err)
	}
	return withTable(path, func(t *table.Table) error {
		goodKeys(t, func(key []byte, v y.ValueStruct) {
			p := place{version: y.ParseTs(key), deleted: v.Meta&metaDelete != 0}
			if v.Meta&metaPointer != 0 {
				p = o.pointed(p, v.Value)
			} else {
				p.value = slices.Clone(v.Value)
			}
			o.note(y.ParseKey(key), p)
		})
		return nil
	})
}

func (o *Offline) readMemLogs() error {
	return o.readLogs(".mem", func(_ string, r *logRecord) {
		p := place{version: r.version, deleted: r.deleted}
		if r.pointer {
			p = o.pointed(p, r.value)
		} else {
			p.value = slices.Clone(r.value)
		}
		o.note(r.key, p)
	})
}

// readValueLogs finds the chunks whose keys are lost. Where all keys were read,
// those that only the value logs know were deleted.
func (o *Offline) readValueLogs() error {
	suspect := o.suspect
	return o.readLogs(".vlog", func(path string, r *logRecord) {
		if _, known := o.keys[string(r.key)]; known || !suspect || r.deleted || len(r.key) < 9 || r.key[0] != classChunk {
			return
		}
		o.keys[string(r.key)] = place{version: r.version, log: path, offset: r.offset}
	})
}

func (o *Offline) readLogs(ext string, fn func(path string, r *logRecord)) error {
	logs, err := logsIn(o.dir, ext)
	if err != nil {
		return err
	}
	if ext == ".mem" {
		held, err := heldLogs(o.dir)
		if err != nil {
			return err
		}
		for _, path := range held {
			if _, err := os.Stat(path); err == nil { // else it was put back
				logs = append(logs, path)
			}
		}
	}
	for _, path := range logs {
		holes, err := walkLog(path, func(r *logRecord) error {
			fn(path, r)
			return nil
		})
		if err != nil {
			return err
		}
		if holes > 0 {
			o.damaged("%s: %d stretches do not read", filepath.Base(path), holes)
		}
	}
	return nil
}

// value reads the newest value of a key; nil when it is deleted or damaged.
func (o *Offline) value(key string) ([]byte, error) {
	p := o.keys[key]
	if p.deleted || p.log == "" {
		return p.value, nil
	}
	f := o.open[p.log]
	if f == nil {
		var err error
		if f, err = os.Open(p.log); errors.Is(err, os.ErrNotExist) {
			return nil, nil
		} else if err != nil {
			return nil, fmt.Errorf("read value log: %w", err)
		}
		o.open[p.log] = f
	}
	info, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("read value log: %w", err)
	}
	w := logWalker{f: f, size: info.Size(), at: p.offset}
	if _, err := w.record(); errors.Is(err, errNoRecord) {
		return nil, nil
	} else if err != nil {
		return nil, fmt.Errorf("read value log: %w", err)
	}
	return w.rec.value, nil
}

// sorted lists the live keys of a class.
func (o *Offline) sorted(class byte) []string {
	var list []string
	for k, p := range o.keys {
		if k != "" && k[0] == class && !p.deleted {
			list = append(list, k)
		}
	}
	slices.SortFunc(list, func(a, b string) int { return cmp.Compare(a, b) })
	return list
}

// Definitions calls fn with each definition that is sound, or has a copy.
func (o *Offline) Definitions(fn func(name string, value []byte) error) error {
	copies, err := readDefCopy(osFiles{}, o.dir)
	if err != nil {
		return err
	}
	seen := make(map[string]bool)
	for _, k := range o.sorted(classDef) {
		stored, err := o.value(k)
		if err != nil {
			return err
		}
		name := k[1:]
		seen[name] = true
		value, err := decodeDef(name, stored)
		if err != nil {
			o.damaged("definition %q: %v", name, err)
			if value = copies[name]; value == nil {
				continue
			}
		}
		if err := fn(name, value); err != nil {
			return err
		}
	}
	if !o.suspect {
		return nil
	}
	for name, value := range copies {
		if _, deleted := o.keys[string(defKey(name))]; !seen[name] && !deleted {
			if err := fn(name, value); err != nil {
				return err
			}
		}
	}
	return nil
}
