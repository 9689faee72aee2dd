package config

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/fsnotify/fsnotify"
)

const (
	// quietFor is how long a file must be left alone before it counts as
	// changed: editors and installers write in several steps.
	quietFor = 200 * time.Millisecond
	// waitMax bounds the wait for quiet.
	waitMax = 2 * time.Second
	// retryEvery is how often a folder that went away is looked for.
	retryEvery = time.Second
)

// Watch calls onChange, from its own goroutine and never twice at once,
// at first and whenever the file at path may have changed: written, replaced, deleted, made
// again, or a link in its place turned to another file. It runs until ctx ends,
// or fails when the system gives it no watch.
//
// What is watched is the folder: most editors replace the file, and a watch of
// the file itself would end there. A folder that is removed is waited for.
func Watch(ctx context.Context, path string, onChange func()) error {
	fsw, err := fsnotify.NewWatcher()
	if err != nil {
		return fmt.Errorf("watch %s: %w", path, err)
	}
	defer fsw.Close()
	w := &watcher{fs: fsw, path: filepath.Clean(path), folder: filepath.Dir(path)}
	w.target, _ = filepath.EvalSymlinks(w.path)
	if err := fsw.Add(w.folder); err != nil {
		return fmt.Errorf("watch folder %s: %w", w.folder, err)
	}
	return w.run(ctx, onChange)
}

type watcher struct {
	fs     *fsnotify.Watcher
	path   string
	folder string
	target string // what path leads to, over links
}

func (w *watcher) run(ctx context.Context, onChange func()) error {
	var quiet, retry <-chan time.Time // nil while there is nothing to wait for
	var since time.Time               // when the first change was seen
	changed := func() {
		if quiet == nil {
			since = time.Now()
		}
		if quiet == nil || time.Since(since) < waitMax {
			quiet = time.After(quietFor)
		}
	}
	changed() // it may have been, between its reading and the watch
	for {
		select {
		case <-ctx.Done():
			return nil
		case e, ok := <-w.fs.Events:
			if !ok {
				return errors.New("watch of the configuration ended")
			}
			if w.concerns(e) {
				changed()
			}
			if e.Name == w.folder && e.Has(fsnotify.Remove|fsnotify.Rename) {
				w.fs.Remove(w.folder) // a renamed folder would be watched at its new place
				retry = time.After(retryEvery)
			}
		case <-w.fs.Errors:
			changed() // events may be lost: look rather than miss one
		case <-retry:
			if retry = nil; w.fs.Add(w.folder) != nil {
				retry = time.After(retryEvery)
			} else {
				changed()
			}
		case <-quiet:
			quiet = nil
			onChange()
		}
	}
}

// concerns reports whether an event in the folder may be about the file.
func (w *watcher) concerns(e fsnotify.Event) bool {
	if filepath.Clean(e.Name) == w.path {
		w.target, _ = filepath.EvalSymlinks(w.path)
		return true
	}
	// The file may be a link into a folder that is itself a link, which is
	// turned to a new folder with all files at once.
	if info, err := os.Lstat(w.path); err != nil || info.Mode()&os.ModeSymlink == 0 {
		return false
	}
	target, _ := filepath.EvalSymlinks(w.path)
	moved := target != w.target
	w.target = target
	return moved
}
