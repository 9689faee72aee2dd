package disk_test

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"leveret/spool/disk"
)

// cutNumbers are enough for each file to be begun anew or written over.
const cutNumbers = 560

// tryUntil writes records up to a number and leaves the files there.
func tryUntil(t *testing.T, dir string, last uint64, told func(uint64)) {
	t.Helper()
	u, err := disk.BeginUntilCut(dir, "")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	err = u.Run(ctx, func(n uint64) {
		if told != nil {
			told(n)
		}
		if n == last {
			stop()
		}
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("Run = %v", err)
	}
	if err := u.Close(); err != nil {
		t.Error(err)
	}
}

func afterCut(t *testing.T, dir string, promised uint64) disk.CutFound {
	t.Helper()
	found, err := disk.AfterCut(dir, "", promised)
	if err != nil {
		t.Fatalf("AfterCut(%d): %v", promised, err)
	}
	return found
}

func sum(f disk.CutFound) (checked, missing, damaged int) {
	for _, w := range f.Ways {
		checked, missing, damaged = checked+w.Checked, missing+w.Missing, damaged+w.Damaged
	}
	return checked, missing, damaged
}

// An honest disk is not called a liar, whenever the cut comes, and whatever it
// makes of the record that was under way.
func TestHonestDiskKeepsAtEachMoment(t *testing.T) {
	dir := t.TempDir()
	tryUntil(t, dir, cutNumbers, func(n uint64) {
		if n > 70 && n < 505 && n%19 != 0 {
			return // no place is written for a second time, no file begun anew
		}
		for _, promised := range []uint64{0, n - 1, n} { // the operator may have seen one less
			if f := afterCut(t, dir, promised); !f.Kept() || f.Newest != n {
				t.Errorf("at %d, promised %d: %+v", n, promised, f)
			}
		}
		path, at, size := disk.CutPlace(dir, n+1)
		if at == 0 && strings.Contains(path, "append") {
			os.Remove(path) // it may not be there yet
		} else if !strings.Contains(path, "append") {
			scribble(t, path, at, size/2)
		}
		if f := afterCut(t, dir, n); !f.Kept() {
			t.Errorf("at %d, while the next one is written: %+v", n, f)
		}
	})
	checked, _, _ := sum(afterCut(t, dir, cutNumbers))
	if checked < cutNumbers/2 {
		t.Errorf("%d of %d are looked at", checked, cutNumbers)
	}
	var size int64
	must(t, filepath.WalkDir(dir, func(_ string, e fs.DirEntry, err error) error {
		if info, ierr := e.Info(); ierr == nil {
			size += info.Size()
		}
		return err
	}))
	if size > 1<<20 {
		t.Errorf("it takes %d bytes", size)
	}
	must(t, disk.RemoveCut(dir, ""))
	if left, _ := os.ReadDir(dir); len(left) > 0 {
		t.Errorf("it left %v", left)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// scribble is what a torn write may leave.
func scribble(t *testing.T, path string, at int64, size int) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	must(t, err)
	_, err = f.WriteAt(slices.Repeat([]byte{0xa5}, size), at)
	must(t, errors.Join(err, f.Close()))
}

func TestLyingDiskIsFound(t *testing.T) {
	whole, early := t.TempDir(), t.TempDir()
	tryUntil(t, whole, cutNumbers, func(n uint64) {
		if n == cutNumbers-60 {
			must(t, os.CopyFS(early, os.DirFS(whole)))
		}
	})
	for _, tt := range []struct {
		name     string
		lie      func(t *testing.T, dir string)
		promised uint64
		// want is what is missing and damaged.
		missing, damaged int
		kept             bool
	}{
		{"none", func(*testing.T, string) {}, cutNumbers, 0, 0, true},
		{"all from some moment on, nobody looked", earlier(early, ""), 0, 0, 0, true},
		{"all from some moment on", earlier(early, ""), cutNumbers, 60, 0, false},
		{"more than that was promised", func(*testing.T, string) {}, cutNumbers + 1, 1, 0, false},
		{"one file of the log", earlier(early, "append-0"), 0, 3, 0, false},
		{"mapped pages", earlier(early, "mapped-0"), 0, 15, 0, false},
		{"pages that were there", earlier(early, "preallocated-0"), 0, 14, 0, false},
		{"a name", func(t *testing.T, dir string) {
			path, _, _ := disk.CutPlace(dir, cutNumbers-1)
			must(t, os.Remove(path))
		}, 0, 1, 0, false},
		{"the page of a record", func(t *testing.T, dir string) {
			path, at, _ := disk.CutPlace(dir, cutNumbers-4)
			scribble(t, path, at+4096, 100)
		}, 0, 0, 1, false},
		{"the end of the log", func(t *testing.T, dir string) {
			path, at, _ := disk.CutPlace(dir, cutNumbers-3)
			must(t, os.Truncate(path, at+10))
		}, 0, 0, 1, false},
		{"what came before all", func(t *testing.T, dir string) {
			must(t, os.Remove(filepath.Join(dir, disk.CutFolder, "begun")))
		}, cutNumbers, 0, 288, false},
		{"what came before all, nobody looked", func(t *testing.T, dir string) {
			must(t, os.Truncate(filepath.Join(dir, disk.CutFolder, "begun"), 10))
		}, 0, 0, 0, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			must(t, os.CopyFS(dir, os.DirFS(whole)))
			tt.lie(t, dir)
			f := afterCut(t, dir, tt.promised)
			if _, missing, damaged := sum(f); f.Kept() != tt.kept || missing != tt.missing || damaged != tt.damaged {
				t.Errorf("%+v, want %d missing, %d damaged, kept: %v", f, tt.missing, tt.damaged, tt.kept)
			}
		})
	}
}

// earlier puts files back as they once were; "" stands for all.
func earlier(from, name string) func(*testing.T, string) {
	return func(t *testing.T, dir string) {
		if name == "" {
			must(t, os.RemoveAll(dir))
			must(t, os.CopyFS(dir, os.DirFS(from)))
			return
		}
		b, err := os.ReadFile(filepath.Join(from, disk.CutFolder, name))
		must(t, err)
		must(t, os.WriteFile(filepath.Join(dir, disk.CutFolder, name), b, 0o600))
	}
}

func TestNothingIsLeftOfACut(t *testing.T) {
	dir := t.TempDir()
	if _, err := disk.AfterCut(dir, "", 0); !errors.Is(err, disk.ErrNoCut) {
		t.Errorf("AfterCut = %v, want %v", err, disk.ErrNoCut)
	}
	if f := afterCut(t, dir, 12); f.Kept() || !f.Gone {
		t.Errorf("12 were promised, and all is gone: %+v", f)
	}
	if _, err := disk.AfterCut(filepath.Join(dir, "elsewhere"), "", 12); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a disk that is not mounted: %v", err)
	}
}

func TestUntilCutOverwritesNothing(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "mine")
	must(t, os.WriteFile(file, []byte("mine"), 0o600))
	for _, tt := range []struct{ dir, witness, want string }{
		{filepath.Join(dir, "none"), "", "make the folder first"},
		{file, "", "is no folder"},
		{dir, file, "is there already"},
		{dir, filepath.Join(dir, "w"), "is on the disk that it shall tell of"},
	} {
		if _, err := disk.BeginUntilCut(tt.dir, tt.witness); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("BeginUntilCut(%s, %s) = %v, want %q", tt.dir, tt.witness, err, tt.want)
		}
	}
	tryUntil(t, dir, 1, nil)
	if _, err := disk.BeginUntilCut(dir, ""); err == nil || !strings.Contains(err.Error(), "--after-cut") {
		t.Errorf("BeginUntilCut over an earlier test = %v", err)
	}
	if b, err := os.ReadFile(file); err != nil || string(b) != "mine" {
		t.Errorf("the file of another says %q, %v", b, err)
	}
}
