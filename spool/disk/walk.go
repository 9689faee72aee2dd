package disk

import (
	"bufio"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Badger's logs, .vlog and .mem, can be read without Badger: 20 bytes of
// header, then records, each u8 meta, u8 user meta, uv key length, uv value
// length, uv expiry, key, value, u32 CRC-32C of all before. The last 8 bytes of a
// key are its version.

const (
	logHeader     = 20
	logKeyMax     = 1 << 16
	logVersion    = 8
	metaDelete    = 1 << 0
	metaPointer   = 1 << 1
	metaEndOfTxn  = 1 << 7
	logRecordHead = 2 + 3*binary.MaxVarintLen64
	// recordBytesMin is the least that a chunk's record has beside it.
	recordBytesMin = 2 + 4 + 9 + logVersion + 4
)

// logRecord is one record of a log. key and value are valid until the next.
type logRecord struct {
	key     []byte // without its version
	version uint64
	value   []byte
	deleted bool
	pointer bool // the value is in a value log
	offset  int64
}

// logsIn lists the logs of one kind, oldest first.
func logsIn(dir, ext string) ([]string, error) {
	list, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("list logs: %w", err)
	}
	var names []string
	for _, f := range list {
		if strings.HasSuffix(f.Name(), ext) && f.Type().IsRegular() { // of all else Badger will say what it thinks
			names = append(names, filepath.Join(dir, f.Name()))
		}
	}
	slices.SortFunc(names, func(a, b string) int { // numbers have five digits, or more
		return cmp.Or(len(a)-len(b), strings.Compare(a, b))
	})
	return names, nil
}

// walkLog calls fn with each sound record of a log. After damage it looks for the
// next one that is sound; damaged is how many times it had to.
func walkLog(path string, fn func(*logRecord) error) (damaged int, err error) {
	f, err := os.Open(path)
	if err != nil {
		return 0, fmt.Errorf("walk log: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return 0, fmt.Errorf("walk log: %w", err)
	}
	w := logWalker{f: f, size: info.Size(), at: logHeader}
	for w.at < w.size {
		next, err := w.record()
		if errors.Is(err, errNoRecord) {
			sound, err := w.seek()
			if err != nil {
				return damaged, fmt.Errorf("walk %s: %w", filepath.Base(path), err)
			}
			if !sound {
				break
			}
			damaged++
			continue
		}
		if err != nil {
			return damaged, fmt.Errorf("walk %s: %w", filepath.Base(path), err)
		}
		if len(w.rec.key) > 0 {
			if err := fn(&w.rec); err != nil {
				return damaged, err
			}
		}
		w.at = next
	}
	return damaged, nil
}

var errNoRecord = errors.New("no sound record here")

type logWalker struct {
	f    *os.File
	size int64
	at   int64
	buf  []byte
	rec  logRecord
}

// record reads the record at w.at and says where the next one begins.
func (w *logWalker) record() (next int64, err error) {
	var head [logRecordHead]byte
	n, err := w.f.ReadAt(head[:], w.at)
	if err != nil && !errors.Is(err, io.EOF) {
		return 0, err
	}
	u := uvarints{b: head[min(2, n):n]}
	klen, vlen := u.next(), u.next()
	u.next() // expiry: never used here
	hlen := int64(n - len(u.b))
	if u.bad || klen < logVersion || klen > logKeyMax || vlen > uint64(w.size) ||
		w.at+hlen+int64(klen+vlen)+4 > w.size {
		return 0, errNoRecord
	}
	whole := int(hlen) + int(klen+vlen) + 4
	if cap(w.buf) < whole {
		w.buf = make([]byte, whole+whole/4)
	}
	b := w.buf[:whole]
	if _, err := w.f.ReadAt(b, w.at); err != nil {
		return 0, err
	}
	if crc32.Checksum(b[:whole-4], castagnoli) != be.Uint32(b[whole-4:]) {
		return 0, errNoRecord
	}
	key := b[hlen : hlen+int64(klen)]
	w.rec = logRecord{
		value: b[hlen+int64(klen) : whole-4], offset: w.at,
		deleted: b[0]&metaDelete != 0, pointer: b[0]&metaPointer != 0,
		version: ^be.Uint64(key[klen-logVersion:]), key: key[:klen-logVersion],
	}
	if b[0]&metaEndOfTxn != 0 {
		w.rec.key = nil // it only closes a transaction
	}
	return w.at + int64(whole), nil
}

// seek moves to the next place where a sound record begins. A log is filled
// with zeros behind its end, but values may hold many, too: where there is a page of
// them no record is looked for until they end.
func (w *logWalker) seek() (bool, error) {
	const page = 4096
	from := w.at + 1
	in := bufio.NewReaderSize(io.NewSectionReader(w.f, from, w.size-from), page)
	zeros := 0
	for at := from; at < w.size; at++ {
		b, err := in.ReadByte()
		if errors.Is(err, io.EOF) {
			return false, nil
		}
		if err != nil {
			return false, err
		}
		first := at
		if b != 0 {
			if zeros > page {
				first = at - 2 // a record may begin with two
			}
			zeros = 0
		} else if zeros++; zeros > page {
			continue
		}
		for ; first <= at; first++ {
			if first == at && b&^(metaDelete|metaPointer|metaEndOfTxn|1<<2|1<<6) != 0 {
				break // no record has these bits
			}
			if sound, err := w.begins(first); sound || err != nil {
				return sound, err
			}
		}
	}
	return false, nil
}

// begins reports whether a sound record is at some place, and moves there.
func (w *logWalker) begins(at int64) (bool, error) {
	was := w.at
	w.at = at
	_, err := w.record()
	if errors.Is(err, errNoRecord) {
		w.at = was
		return false, nil
	}
	return err == nil, err
}
