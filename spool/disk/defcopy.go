package disk

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"strings"
	"time"

	"leveret/spool"
)

// Definitions are few and precious: without its queue a message cannot be
// reached. So a copy of them is kept in a file, from which a damaged one is
// taken, and with which a fresh spool begins when the old one was set aside.
//
// Minor ones (see [spool.Minor]) are not: they would crowd the others out, and
// have the file written again and again.
//
// The file: u8 format, then for each definition uv length, name, uv length,
// value, then u32 CRC-32C of all before.

const (
	// defCopyMax bounds the copy; retained values are definitions too, and
	// those that do not fit are left out.
	defCopyMax = 1 << 20
	// defValueMax is the largest value that is copied.
	defValueMax = 16 << 10
	// defCopyEvery is how old the copy may be: it is written anew when
	// something was defined meanwhile, and at each clean stop.
	defCopyEvery = 10 * time.Minute
	// defCopySoon is when the first change after a start is copied.
	defCopySoon = 5 * time.Second
)

// copied reports whether a definition belongs into the copy.
func copied(p spool.Put) bool { return !strings.HasPrefix(p.Key, spool.Minor) }

func defCopyPath(dir string) string { return guardFile(dir, "definitions") }

// copyDefs writes the copy.
func (s *Store) copyDefs() error {
	b := []byte{format}
	at := s.engine.now()
	defer at.close()
	err := list(at, classDef, func(it item) error {
		if len(b) >= defCopyMax {
			return nil
		}
		name := string(it.Key()[1:])
		if !copied(spool.Put{Key: name}) {
			return nil
		}
		err := it.Value(func(v []byte) error {
			value, err := decodeDef(name, v)
			if err != nil || len(value) > defValueMax {
				return nil // a damaged one was told at the start
			}
			b = binary.AppendUvarint(b, uint64(len(name)))
			b = append(b, name...)
			b = binary.AppendUvarint(b, uint64(len(value)))
			b = append(b, value...)
			return nil
		})
		if err != nil {
			return fmt.Errorf("copy definition %q: %w", name, err)
		}
		return nil
	})
	if err != nil {
		return err
	}
	return keep(s.opts.on, defCopyPath(s.opts.Dir), be.AppendUint32(b, crc32.Checksum(b, castagnoli)))
}

// readDefCopy gives the copied definitions of a folder; a copy that is not
// there, or damaged, has none.
func readDefCopy(on files, dir string) (map[string][]byte, error) {
	b, err := on.read(defCopyPath(dir))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read copy of definitions: %w", err)
	}
	if len(b) < 5 || b[0] != format || be.Uint32(b[len(b)-4:]) != crc32.Checksum(b[:len(b)-4], castagnoli) {
		return nil, nil
	}
	defs := make(map[string][]byte)
	for u := (uvarints{b: b[1 : len(b)-4]}); len(u.b) > 0 && !u.bad; {
		name, value := u.bytes(), u.bytes()
		if !u.bad {
			defs[string(name)] = value
		}
	}
	return defs, nil
}

// bequeath gives a fresh spool the definitions of the one that was set aside.
func (s *Store) bequeath(from string) error {
	defs, err := readDefCopy(s.opts.on, from)
	if err != nil || len(defs) == 0 {
		return err
	}
	list := make([]change, 0, len(defs))
	for name, value := range defs {
		list = append(list, change{defKey(name), defValue(name, value)})
	}
	if err := s.out.write(list); err != nil {
		return fmt.Errorf("take over %d definitions: %w", len(list), err)
	}
	s.refresh(func() {})
	s.opts.Log.Info("definitions taken over", "from", from, "count", len(list))
	return nil
}

// recallDefs brings back the definitions that went with a damaged table.
func (s *Store) recallDefs() error {
	defs, err := readDefCopy(s.opts.on, s.opts.Dir)
	if err != nil {
		return err
	}
	at := s.engine.now()
	defer at.close()
	var list []change
	for name, value := range defs {
		there, err := has(at, defKey(name))
		if err != nil {
			return fmt.Errorf("look for definition %q: %w", name, err)
		}
		if !there {
			list = append(list, change{defKey(name), defValue(name, value)})
		}
	}
	if len(list) == 0 {
		return nil
	}
	s.tell(troubleDamage, fmt.Sprintf("%d definitions were brought back from their copy", len(list)))
	return s.out.write(list)
}

// restoreDef answers a damaged definition: from the copy, or nil.
func (s *Store) restoreDef(name string, stored []byte) ([]byte, error) {
	s.bury(fmt.Sprintf("definition-%08x", crc32.Checksum([]byte(name), castagnoli)), append([]byte(name+"\n"), stored...))
	s.mu.Lock()
	s.stats.Corrupt++
	s.mu.Unlock()
	defs, err := readDefCopy(s.opts.on, s.opts.Dir)
	if err != nil {
		return nil, err
	}
	value, ok := defs[name]
	if !ok && !copied(spool.Put{Key: name}) {
		s.opts.Log.Warn("damaged definition given up", "name", name)
		return nil, nil
	}
	if !ok {
		s.tell(troubleLost, fmt.Sprintf("definition %q is damaged and there is no copy of it; messages of unknown queues are kept", name))
		return nil, nil
	}
	s.opts.Log.Warn("damaged definition restored from its copy", "name", name)
	if err := s.out.write([]change{{defKey(name), defValue(name, value)}}); err != nil {
		return nil, fmt.Errorf("restore definition %q: %w", name, err)
	}
	return value, nil
}
