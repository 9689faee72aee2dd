package disk

import (
	"errors"
	"math/rand/v2"
	"reflect"
	"testing"

	"leveret/spool"
)

// TestNewerFormatsAreRefused: each piece that says its format does so first, so
// that nothing behind it is misread.
func TestNewerFormatsAreRefused(t *testing.T) {
	z, err := newZipper(true)
	if err != nil {
		t.Fatal(err)
	}
	defer z.close()
	chunk := make([]byte, chunkHeader+100)
	chunk[0] = chunkFormat + 1
	e := entry{queue: 1, first: 2, chunk: 7, runs: []run{{2, 0, 1, false}}}
	value := e.encode()
	value[0]++
	redo := encodeRedo([]change{{[]byte("k"), []byte("v")}})[0]
	redo[0]++
	title := []byte(exportTitle)
	title[len(title)-1]++
	for piece, decode := range map[string]func() error{
		"chunk":         func() error { _, err := decodeChunk(7, chunk, z); return err },
		"index entry":   func() error { _, err := decodeEntry(entryKey(1, 2), value); return err },
		"redo list":     func() error { _, err := decodeRedo(redo); return err },
		"export":        func() error { return new(exported).take(frameHead, title) },
		"format record": func() error { _, err := openedAs(format + 1); return err },
	} {
		if err := decode(); !errors.Is(err, spool.ErrNewer) {
			t.Errorf("%s: %v, want ErrNewer", piece, err)
		}
	}
}

// TestNewerSpoolIsLeftAlone: the refusal changes no key, and however often it
// happens the folder is not set aside.
func TestNewerSpoolIsLeftAlone(t *testing.T) {
	d, err := openedAs(format + 1)
	if !errors.Is(err, spool.ErrNewer) {
		t.Fatal(err)
	}
	before := d.keys
	for range startsMax + 2 {
		if _, err := Open(twinOptions(d)); !errors.Is(err, spool.ErrNewer) {
			t.Fatalf("Open = %v, want ErrNewer", err)
		}
	}
	if !reflect.DeepEqual(d.keys, before) {
		t.Error("keys were changed")
	}
}

// openedAs makes a spool, gives it a format and opens it.
func openedAs(version byte) (*twin, error) {
	d := newTwin(rand.New(rand.NewPCG(1, 1)))
	s, err := Open(twinOptions(d))
	if err != nil {
		return d, err
	}
	if err := s.Close(); err != nil {
		return d, err
	}
	if err := (&twinEngine{d}).commit([]change{{[]byte{classSchema}, schemaValue(version)}}); err != nil {
		return d, err
	}
	_, err = Open(twinOptions(d))
	return d, err
}

func twinOptions(d *twin) Options {
	o := Tiny()
	o.Dir, o.on = "/spool", d
	return o
}
