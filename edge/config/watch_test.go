package config

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// watching starts a Watch of path and gives a function that waits for a change
// and one that makes sure that there is none.
func watching(t *testing.T, path string) (changed, quiet func(string)) {
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
	changed = func(after string) {
		t.Helper()
		select {
		case <-changes:
		case <-time.After(10 * time.Second):
			t.Fatalf("no change after %s", after)
		}
	}
	quiet = func(after string) {
		t.Helper()
		select {
		case <-changes:
			t.Fatalf("a change too many after %s", after)
		case <-time.After(2 * quietFor):
		}
	}
	// The watch is on when a change of the folder comes through.
	for on := false; !on; {
		write(t, path, "begin")
		select {
		case <-changes:
			on = true
		case <-time.After(2 * quietFor):
		}
	}
	return changed, quiet
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
	folder := t.TempDir()
	path := filepath.Join(folder, "leveret.toml")
	changed, quiet := watching(t, path)

	for range 5 { // one after the other, faster than quietFor
		write(t, path, "a")
	}
	changed("five writes")
	quiet("five writes")

	write(t, filepath.Join(folder, "other"), "b")
	quiet("a write to a neighbour")

	write(t, path+".new", "c")
	must(t, os.Rename(path+".new", path))
	changed("a replacement by rename")

	must(t, os.Remove(path))
	changed("a deletion")
	write(t, path, "d")
	changed("a new file of the name")
	write(t, path, "e")
	changed("a write to the new file")
	quiet("all")
}

func TestWatchOutlivesItsFolder(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "etc")
	must(t, os.Mkdir(folder, 0o700))
	path := filepath.Join(folder, "leveret.toml")
	changed, _ := watching(t, path)
	must(t, os.RemoveAll(folder))
	changed("the folder's deletion")
	must(t, os.Mkdir(folder, 0o700))
	write(t, path, "b")
	changed("a new folder with a new file")
	write(t, path, "c")
	changed("a write in the new folder")
}

func TestWatchFollowsLinks(t *testing.T) {
	folder := t.TempDir()
	for _, version := range []string{"v1", "v2"} {
		must(t, os.Mkdir(filepath.Join(folder, version), 0o700))
		write(t, filepath.Join(folder, version, "leveret.toml"), version)
	}
	must(t, os.Symlink("v1", filepath.Join(folder, "current")))
	path := filepath.Join(folder, "leveret.toml")
	changed, _ := watching(t, path)
	must(t, os.Remove(path))
	must(t, os.Symlink("current/leveret.toml", path))
	changed("a link in place of the file")
	must(t, os.Symlink("v2", filepath.Join(folder, "next")))
	must(t, os.Rename(filepath.Join(folder, "next"), filepath.Join(folder, "current")))
	changed("the folder's link turned")
}

func TestWatchFailsWithoutAFolder(t *testing.T) {
	if err := Watch(context.Background(), filepath.Join(t.TempDir(), "none", "leveret.toml"), func() {}); err == nil {
		t.Error("watches a folder that is not there")
	}
}
