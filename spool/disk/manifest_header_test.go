package disk_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"leveret/spool"
	"leveret/spool/disk"
)

// TestDamagedManifestHeader flips every bit of the 8 bytes that begin Badger's
// manifest, and without its copy one of each byte. All messages are there afterwards,
// and nothing comes twice.
func TestDamagedManifestHeader(t *testing.T) {
	whole := written(t, 500)
	for _, copied := range []bool{true, false} {
		for bit := range 8 * 8 {
			if !copied && bit%9 != 0 {
				continue
			}
			t.Run(fmt.Sprintf("bit %d, copy %v", bit, copied), func(t *testing.T) {
				o := small(filepath.Join(t.TempDir(), "spool"))
				copyFolder(t, whole.Dir, o.Dir)
				if !copied {
					if err := os.Remove(filepath.Join(o.Dir, "guard", "MANIFEST")); err != nil {
						t.Fatal(err)
					}
				}
				change(t, filepath.Join(o.Dir, "MANIFEST"), func(b []byte) []byte {
					b[bit/8] ^= 1 << (bit % 8)
					return b
				})
				var told told
				o.Trouble = told.trouble
				l := start(t, o)
				defer l.stop(t)
				if n := drained(t, l, 1); n != 500 {
					t.Errorf("%d messages are there, want 500", n)
				}
				if got := told.names(); !slices.Equal(got, []string{"spool repaired"}) {
					t.Errorf("told %q, want a word about the repair and no more", got)
				}
			})
		}
	}
}

// TestDamagedManifestCopyHeader: the manifest itself is right, so nothing is said.
func TestDamagedManifestCopyHeader(t *testing.T) {
	o := written(t, 500)
	change(t, filepath.Join(o.Dir, "guard", "MANIFEST"), flip(5))
	var told told
	o.Trouble = told.trouble
	l := start(t, o)
	defer l.stop(t)
	if n := drained(t, l, 1); n != 500 || len(told.names()) > 0 {
		t.Errorf("%d messages are there and %q was told, want 500 and nothing", n, told.names())
	}
}

// TestNewerManifestIsLeftAlone: what both the manifest and its copy say is no
// damage. The folder is refused, with all that is in it.
func TestNewerManifestIsLeftAlone(t *testing.T) {
	for name, at := range map[string]int{"product": 4, "layout": 6} {
		t.Run(name, func(t *testing.T) {
			o := written(t, 500)
			for _, path := range []string{"MANIFEST", "guard/MANIFEST"} {
				change(t, filepath.Join(o.Dir, path), func(b []byte) []byte {
					binary.BigEndian.PutUint16(b[at:], binary.BigEndian.Uint16(b[at:])+1)
					return b
				})
			}
			// A table of another layout would be damage for who knows only this one.
			tables, err := filepath.Glob(filepath.Join(o.Dir, "*.sst"))
			if err != nil || len(tables) == 0 {
				t.Fatalf("there is no table: %v", err)
			}
			change(t, tables[0], flip(-1))
			before := contents(t, o.Dir)
			for range 4 { // more than starts may fail
				if _, err := disk.Open(o); !errors.Is(err, spool.ErrNewer) {
					t.Fatalf("Open = %v, want ErrNewer", err)
				}
			}
			if _, err := disk.OpenOffline(o.Dir); !errors.Is(err, spool.ErrNewer) {
				t.Errorf("OpenOffline = %v, want ErrNewer", err)
			}
			for path, now := range contents(t, o.Dir) {
				if path != "owner" && !bytes.Equal(now, before[path]) {
					t.Errorf("%s was changed", path)
				}
			}
		})
	}
}

func contents(t *testing.T, dir string) map[string][]byte {
	t.Helper()
	all := make(map[string][]byte)
	for path := range listing(dir) {
		b, err := os.ReadFile(filepath.Join(dir, path))
		if err != nil {
			t.Fatal(err)
		}
		all[path] = b
	}
	return all
}
