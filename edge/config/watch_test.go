package config

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// watched is a Watch that has come to rest.
type watched struct {
	t       *testing.T
	changes chan struct{}
}

// watching starts a Watch of path. Those who do rest for most of the time.
func watching(t *testing.T, path string) *watched {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	changes, ended := make(chan struct{}, 100), make(chan error, 1)
	go func() { ended <- Watch(ctx, path, func() { changes <- struct{}{} }) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Errorf("Watch ended with %v", err)
		}
	})
	w := &watched{t, changes}
	// The watch is on when a change of the folder comes through.
	for on := false; !on; {
		write(t, path, "begin")
		on = !w.quiet()
	}
	for !w.quiet() { // on a busy machine there may be one for each write
	}
	return w
}

// changed waits for a change.
func (w *watched) changed(after string) {
	w.t.Helper()
	select {
	case <-w.changes:
	case <-time.After(time.Minute):
		w.t.Fatalf("no change after %s", after)
	}
}

// quiet reports whether there is no change for a while.
func (w *watched) quiet() bool {
	select {
	case <-w.changes:
		return false
	case <-time.After(2 * quietFor):
		return true
	}
}

// once makes sure that there is one change after what act does, in one of some
// attempts: on a busy machine the steps of one change may lie so far apart that
// they are two.
func (w *watched) once(after string, act func()) {
	w.t.Helper()
	for range 5 {
		act()
		w.changed(after)
		if w.quiet() {
			return
		}
		for !w.quiet() {
		}
	}
	w.t.Fatalf("a change too many after %s", after)
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestWatchSeesEveryWayToChangeAFile(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	path := filepath.Join(folder, "leveret.toml")
	w := watching(t, path)

	w.once("five writes", func() {
		for range 5 { // one after the other, faster than quietFor
			write(t, path, "a")
		}
	})

	write(t, filepath.Join(folder, "other"), "b")
	if !w.quiet() {
		t.Error("a write to a neighbour is a change")
	}

	write(t, path+".new", "c")
	must(t, os.Rename(path+".new", path))
	w.changed("a replacement by rename")

	must(t, os.Remove(path))
	w.changed("a deletion")
	write(t, path, "d")
	w.changed("a new file of the name")
	for !w.quiet() {
	}
	w.once("a write to the new file", func() { write(t, path, "e") })
}

func TestWatchOutlivesItsFolder(t *testing.T) {
	t.Parallel()
	folder := filepath.Join(t.TempDir(), "etc")
	must(t, os.Mkdir(folder, 0o700))
	path := filepath.Join(folder, "leveret.toml")
	w := watching(t, path)
	must(t, os.RemoveAll(folder))
	w.changed("the folder's deletion")
	must(t, os.Mkdir(folder, 0o700))
	write(t, path, "b")
	w.changed("a new folder with a new file")
	write(t, path, "c")
	w.changed("a write in the new folder")
}

func TestWatchFollowsLinks(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	for _, version := range []string{"v1", "v2"} {
		must(t, os.Mkdir(filepath.Join(folder, version), 0o700))
		write(t, filepath.Join(folder, version, "leveret.toml"), version)
	}
	must(t, os.Symlink("v1", filepath.Join(folder, "current")))
	path := filepath.Join(folder, "leveret.toml")
	w := watching(t, path)
	must(t, os.Remove(path))
	must(t, os.Symlink("current/leveret.toml", path))
	w.changed("a link in place of the file")
	must(t, os.Symlink("v2", filepath.Join(folder, "next")))
	must(t, os.Rename(filepath.Join(folder, "next"), filepath.Join(folder, "current")))
	w.changed("the folder's link turned")
}

func TestWatchFailsWithoutAFolder(t *testing.T) {
	if err := Watch(context.Background(), filepath.Join(t.TempDir(), "none", "leveret.toml"), func() {}); err == nil {
		t.Error("watches a folder that is not there")
	}
}
