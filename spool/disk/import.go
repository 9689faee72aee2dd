package disk

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"leveret/spool"
)

// Imported is what an import did.
type Imported struct {
	Definitions, Messages int
	Complete              bool // the file was; else it ends in the middle
}

// storedForm is a record that is stored already.
type storedForm []byte

func (s storedForm) AppendTo(dst []byte) []byte { return append(dst, s...) }
func (s storedForm) Size() int                  { return len(s) }

// Import brings an export into the spool that o describes, which no other
// process may have open. Definitions that are there already stay. Messages go
// behind those that their queues hold, in their order. When it is broken off it
// goes on, called again, behind the last chunk that is known to be in; at most
// that one comes twice.
func Import(ctx context.Context, o Options, f *os.File) (done Imported, err error) {
	s, err := Open(o)
	if err != nil {
		return done, err
	}
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	defer func() {
		cancel()
		err = errors.Join(err, <-ended, s.Close())
	}()
	m := importer{s: s, next: make(map[spool.QueueID]spool.Pos), defs: make(map[string]bool)}
	if err := m.begin(f); err != nil {
		return done, err
	}
	err = m.run(ctx, f)
	return m.done, err
}

type importer struct {
	s     *Store
	defs  map[string]bool
	next  map[spool.QueueID]spool.Pos
	after uint64 // chunks up to this one are in; 0: from here on none is
	done  Imported
}

// importPath is the file that says how far an import has come: u64 chunk, u32
// sum of the frames up to its own.
func importPath(dir string) string { return guardFile(dir, "import") }

const importMarkBytes = 12

func (m *importer) begin(f *os.File) error {
	b, err := m.s.opts.on.read(importPath(m.s.opts.Dir))
	if err == nil && len(b) == importMarkBytes {
		if m.after, err = cameTo(f, be.Uint64(b), be.Uint32(b[8:])); err != nil {
			return fmt.Errorf("import: %w", err)
		}
	}
	return m.s.Load(func(name string, _ []byte) error {
		m.defs[name] = true
		return nil
	}, func(d spool.Depth) error {
		m.next[d.Queue] = d.Last + 1
		return nil
	})
}

// cameTo answers chunk when the file is the one whose import came that far, and
// 0 for another one, which has chunks of the same numbers.
func cameTo(f *os.File, chunk uint64, sum uint32) (uint64, error) {
	in := frames{in: bufio.NewReaderSize(f, 256<<10)}
	same := false
	for !same {
		kind, payload, err := in.next()
		if errors.Is(err, io.EOF) || errors.Is(err, errTorn) {
			break
		}
		if err != nil {
			return 0, err
		}
		same = in.sum == sum && kind == frameChunk && len(payload) >= chunkHeading && be.Uint64(payload) == chunk
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil || !same {
		return 0, err
	}
	return chunk, nil
}

func (m *importer) run(ctx context.Context, f *os.File) error {
	if known, err := knows(f, m.after); err != nil {
		return fmt.Errorf("import: %w", err)
	} else if !known {
		m.after = 0 // of another file
	}
	in := frames{in: bufio.NewReaderSize(f, 256<<10)}
	var seen exported
	for !seen.ended {
		kind, payload, err := in.next()
		if errors.Is(err, io.EOF) || errors.Is(err, errTorn) {
			if !seen.begun {
				return errors.New("import: the file is no export of a spool")
			}
			return nil // what came before is in
		}
		if err == nil {
			err = seen.take(kind, payload)
		}
		if err == nil {
			err = m.frame(ctx, kind, payload, in.sum)
		}
		if err != nil {
			return fmt.Errorf("import: %w", err)
		}
	}
	m.done.Complete = true
	err := m.s.opts.on.remove(importPath(m.s.opts.Dir))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("import: %w", err)
	}
	return nil
}

// knows reports whether an export has a certain chunk, and goes back to where
// the file was.
func knows(f *os.File, chunk uint64) (known bool, err error) {
	if chunk == 0 {
		return false, nil
	}
	start, err := f.Seek(0, io.SeekCurrent)
	if err != nil {
		return false, err
	}
	in := frames{in: bufio.NewReaderSize(f, 256<<10)}
	for !known {
		kind, payload, err := in.next()
		if errors.Is(err, io.EOF) || errors.Is(err, errTorn) {
			break
		}
		if err != nil {
			return false, err
		}
		known = kind == frameChunk && len(payload) >= chunkHeading && be.Uint64(payload) == chunk
	}
	_, err = f.Seek(start, io.SeekStart)
	return known, err
}

func (m *importer) frame(ctx context.Context, kind byte, payload []byte, sum uint32) error {
	switch kind {
	case frameDefinition:
		return m.definition(ctx, payload)
	case frameChunk:
		return m.chunk(ctx, payload, sum)
	}
	return nil
}

func (m *importer) definition(ctx context.Context, payload []byte) error {
	u := uvarints{b: payload}
	name := string(u.bytes())
	if u.bad || name == "" {
		return fmt.Errorf("%w: frame of a definition", spool.ErrCorrupt)
	}
	if m.defs[name] {
		return nil
	}
	m.defs[name] = true
	m.done.Definitions++
	return m.append(ctx, &spool.Batch{Puts: []spool.Put{{Key: name, Value: append([]byte{}, u.b...)}}})
}

func (m *importer) chunk(ctx context.Context, payload []byte, sum uint32) error {
	list, id, err := decodeChunkFrame(payload)
	if err != nil {
		return err
	}
	if m.after != 0 {
		if id == m.after {
			m.after = 0
		}
		return nil
	}
	var b spool.Batch
	for _, r := range list {
		for i, d := range r.To {
			// Messages of one queue come with rising positions, unless two
			// chunks were brought back that hold the same ones.
			r.To[i].Pos = max(d.Pos, m.next[d.Queue])
			m.next[d.Queue] = r.To[i].Pos + 1
		}
		b.Enters = append(b.Enters, spool.Enter{Record: storedForm(append([]byte{}, r.Data...)), Size: r.Size, To: r.To})
	}
	if err := m.append(ctx, &b); err != nil {
		return err
	}
	m.done.Messages += len(list)
	return keep(m.s.opts.on, importPath(m.s.opts.Dir), be.AppendUint32(be.AppendUint64(nil, id), sum))
}

// append waits until the batch is durable.
func (m *importer) append(ctx context.Context, b *spool.Batch) error {
	lsn, err := m.s.Append(b)
	if err != nil {
		return err
	}
	for {
		durable, moved, err := m.s.Durable()
		if err != nil || durable >= lsn {
			return err
		}
		select {
		case <-moved:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
