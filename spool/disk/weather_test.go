package disk

import (
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/dgraph-io/badger/v4/y"

	"leveret/spool"
)

// illGround is a twin whose engine does not open.
type illGround struct {
	*twin
	err error
}

func (g illGround) open(*Options) (engine, error) { return nil, g.err }

// TestWeatherIsNotHeldAgainstTheSpool: a disk that is full, away or ill for a
// while says nothing against a folder, in whatever words it reaches us; what is
// wrong with the files does.
func TestWeatherIsNotHeldAgainstTheSpool(t *testing.T) {
	io := &fs.PathError{Op: "read", Path: "/spool/00003.mem", Err: syscall.EIO}
	for _, c := range []struct {
		err   error
		aside bool
	}{
		{io, false},
		{y.Wrapf(io, "while opening fid: %d", 3), false}, // Badger keeps only the text
		{y.Wrap(y.Wrap(&fs.PathError{Op: "open", Path: "/spool/DISCARD", Err: syscall.EROFS}, "file"), "db"), false},
		{y.Wrap(syscall.ENOSPC, "while creating"), false},
		{y.Wrap(syscall.ENODEV, "while mapping"), false},
		{y.Wrap(syscall.EACCES, "while opening"), false},
		{fmt.Errorf("badger: sync value log: %v", syscall.EIO), false},
		{y.Wrap(syscall.EISDIR, "while opening"), true},
		{y.Wrap(y.ErrEOF, "while reading"), true},
		{fmt.Errorf("%w: table 7 fails its checksum", spool.ErrCorrupt), true},
		{os.ErrNotExist, true},
	} {
		d := newTwin(rand.New(rand.NewPCG(1, 1)))
		o := twinOptions(d)
		o.on = illGround{d, c.err}
		for range startsMax {
			if _, err := Open(o); err == nil || !strings.Contains(err.Error(), c.err.Error()) {
				t.Fatalf("Open = %v, want %v", err, c.err)
			}
		}
		if st := readStarts(d, o.Dir, false); st.spent() != c.aside {
			t.Errorf("after %q the folder is set aside: %v, want %v", c.err, st.spent(), c.aside)
		}
	}
}
