package disk

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"

	"leveret/spool"
)

// An export is a file of frames, each u8 kind, u32 length, payload, u32 CRC-32C
// of all before:
//
//	'L'  "leveret spool", u8 format 1: the first frame
//	'd'  uv length, name, value: a definition
//	'c'  u64 chunk, then for each message uv queues, for each uv queue, uv
//	     position; uv payload size, uv length, stored form
//	'z'  u64 chunks, u64 messages in the whole file: the last frame
//
// Chunks come in an order that is the same each time, so a file that was cut
// short can be continued behind its last one.
const (
	frameHead       = 'L'
	frameDefinition = 'd'
	frameChunk      = 'c'
	frameEnd        = 'z'

	exportTitle  = "leveret spool\x01"
	frameMax     = recordBytesMax + 64<<20
	frameAround  = 1 + 4 + 4
	chunkHeading = 8
)

// frames reads an export.
type frames struct {
	in  *bufio.Reader
	at  int64  // behind the last sound frame
	sum uint32 // of all frames' checksums so far: tells one export from another
	buf []byte
}

// errTorn is the end of an export that was cut short, or is damaged there.
var errTorn = errors.New("the export ends in the middle")

// next reads one frame; the payload is valid until the next. io.EOF is an end
// between two frames.
func (f *frames) next() (kind byte, payload []byte, err error) {
	var head [5]byte
	if _, err := io.ReadFull(f.in, head[:]); err != nil {
		if errors.Is(err, io.ErrUnexpectedEOF) {
			err = errTorn
		}
		return 0, nil, err
	}
	n := int64(be.Uint32(head[1:]))
	if n > frameMax {
		return 0, nil, errTorn
	}
	// What is announced is believed as it comes.
	f.buf = f.buf[:0]
	for int64(len(f.buf)) < n+4 {
		step := min(n+4-int64(len(f.buf)), 1<<20)
		at := len(f.buf)
		f.buf = append(f.buf, make([]byte, step)...)
		if _, err := io.ReadFull(f.in, f.buf[at:]); err != nil {
			if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
				err = errTorn
			}
			return 0, nil, err
		}
	}
	if crc32.Update(crc32.Checksum(head[:], castagnoli), castagnoli, f.buf[:n]) != be.Uint32(f.buf[n:]) {
		return 0, nil, errTorn
	}
	f.at += n + frameAround
	f.sum = crc32.Update(f.sum, castagnoli, f.buf[n:])
	return head[0], f.buf[:n], nil
}

func appendFrame(dst []byte, kind byte, payload []byte) []byte {
	start := len(dst)
	dst = append(dst, kind)
	dst = be.AppendUint32(dst, uint32(len(payload)))
	dst = append(dst, payload...)
	return be.AppendUint32(dst, crc32.Checksum(dst[start:], castagnoli))
}

// exported is how far a file has come.
type exported struct {
	chunk            uint64 // the last one
	chunks, messages uint64
	begun, ended     bool
}

func (e *exported) take(kind byte, payload []byte) error {
	switch {
	case !e.begun:
		title, version := exportTitle[:len(exportTitle)-1], exportTitle[len(exportTitle)-1]
		if kind != frameHead || len(payload) != len(exportTitle) || string(payload[:len(title)]) != title {
			return errors.New("this is no export of a spool")
		}
		if v := payload[len(title)]; v > version {
			return fmt.Errorf("%w: export of format %d, known are formats up to %d", spool.ErrNewer, v, version)
		}
		e.begun = true
	case kind == frameChunk:
		list, id, err := decodeChunkFrame(payload)
		if err != nil {
			return err
		}
		e.chunk, e.chunks, e.messages = id, e.chunks+1, e.messages+uint64(len(list))
	case kind == frameEnd:
		e.ended = true
	}
	return nil
}

// Export writes everything that can be read to a file. One that was cut short
// is continued; a complete one is left as it is.
func (o *Offline) Export(f *os.File) (messages uint64, err error) {
	done, at, err := scanExport(f)
	if err != nil || done.ended {
		return done.messages, err
	}
	if err := f.Truncate(at); err != nil {
		return 0, fmt.Errorf("continue export: %w", err)
	}
	if _, err := f.Seek(at, io.SeekStart); err != nil {
		return 0, fmt.Errorf("continue export: %w", err)
	}
	out := bufio.NewWriterSize(f, 256<<10)
	var frame, payload []byte
	put := func(kind byte) error {
		frame = appendFrame(frame[:0], kind, payload)
		_, err := out.Write(frame)
		return err
	}
	if done.chunks == 0 {
		// Definitions come again when the file broke off in them: they replace
		// each other.
		if !done.begun {
			payload = append(payload[:0], exportTitle...)
			if err := put(frameHead); err != nil {
				return 0, fmt.Errorf("export: %w", err)
			}
		}
		err = o.Definitions(func(name string, value []byte) error {
			payload = binary.AppendUvarint(payload[:0], uint64(len(name)))
			payload = append(append(payload, name...), value...)
			return put(frameDefinition)
		})
		if err != nil {
			return 0, fmt.Errorf("export: %w", err)
		}
	}
	err = o.Chunks(done.chunk, func(id uint64, list []Stored) error {
		payload = appendChunkFrame(payload[:0], id, list)
		done.chunks, done.messages = done.chunks+1, done.messages+uint64(len(list))
		return put(frameChunk)
	})
	if err == nil {
		payload = be.AppendUint64(be.AppendUint64(payload[:0], done.chunks), done.messages)
		err = put(frameEnd)
	}
	if err == nil {
		err = out.Flush()
	}
	if err == nil {
		err = f.Sync()
	}
	if err != nil {
		return done.messages, fmt.Errorf("export: %w", err)
	}
	return done.messages, nil
}

// scanExport finds out how far a file has come and where its sound part ends.
func scanExport(f *os.File) (done exported, at int64, err error) {
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return done, 0, fmt.Errorf("read export: %w", err)
	}
	in := frames{in: bufio.NewReaderSize(f, 256<<10)}
	for !done.ended {
		at = in.at
		kind, payload, err := in.next()
		if errors.Is(err, io.EOF) || errors.Is(err, errTorn) {
			if at == 0 && !errors.Is(err, io.EOF) {
				return done, 0, fmt.Errorf("read export: %w", errors.New("the file is not empty and no export"))
			}
			return done, at, nil
		}
		if err == nil {
			err = done.take(kind, payload)
		}
		if err != nil {
			return done, 0, fmt.Errorf("read export: %w", err)
		}
	}
	return done, in.at, nil
}

func appendChunkFrame(b []byte, id uint64, list []Stored) []byte {
	b = be.AppendUint64(b, id)
	for _, m := range list {
		b = binary.AppendUvarint(b, uint64(len(m.To)))
		for _, d := range m.To {
			b = binary.AppendUvarint(b, uint64(d.Queue))
			b = binary.AppendUvarint(b, uint64(d.Pos))
		}
		b = binary.AppendUvarint(b, uint64(m.Size))
		b = binary.AppendUvarint(b, uint64(len(m.Data)))
		b = append(b, m.Data...)
	}
	return b
}

// decodeChunkFrame reads a frame; data is part of b.
func decodeChunkFrame(b []byte) (list []Stored, id uint64, err error) {
	if len(b) < chunkHeading {
		return nil, 0, fmt.Errorf("%w: frame of a chunk", spool.ErrCorrupt)
	}
	id = be.Uint64(b)
	for u := (uvarints{b: b[chunkHeading:]}); len(u.b) > 0; {
		var m Stored
		n := u.next()
		if u.bad || n > uint64(len(u.b))/2 { // a queue takes 2 bytes at least
			return nil, 0, fmt.Errorf("%w: frame of chunk %d", spool.ErrCorrupt, id)
		}
		for range n {
			m.To = append(m.To, spool.Dest{Queue: spool.QueueID(u.next()), Pos: spool.Pos(u.next())})
		}
		m.Size = int(u.next())
		m.Data = u.bytes()
		if u.bad {
			return nil, 0, fmt.Errorf("%w: frame of chunk %d", spool.ErrCorrupt, id)
		}
		list = append(list, m)
	}
	return list, id, nil
}
