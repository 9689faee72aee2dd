package disk

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sort"
	"syscall"
)

// Info is what can be told of a spool without reading it.
type Info struct {
	Kinds            []FileKind
	Commits, Records uint64 // ever written, as noted last
	Aside            []string
}

// FileKind is one kind of files.
type FileKind struct {
	Name  string
	Count int
	Bytes int64 // allocated
}

// Inspect looks at the files of a spool, which may be in use.
func Inspect(dir string) (Info, error) {
	var in Info
	if _, err := os.Stat(dir); err != nil {
		return in, fmt.Errorf("look into spool: %w", err)
	}
	kinds := map[string]string{".vlog": "value logs", ".sst": "tables", ".mem": "logs"}
	at := map[string]int{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return ignoreGone(err)
		}
		info, err := d.Info()
		if err != nil {
			return ignoreGone(err)
		}
		name := kinds[filepath.Ext(path)]
		switch parent := filepath.Base(filepath.Dir(path)); {
		case parent == guardName, parent == quarantineName:
			name = parent
		case name == "":
			name = "other"
		}
		i, ok := at[name]
		if !ok {
			i = len(in.Kinds)
			at[name] = i
			in.Kinds = append(in.Kinds, FileKind{Name: name})
		}
		in.Kinds[i].Count++
		if st, ok := info.Sys().(*syscall.Stat_t); ok {
			in.Kinds[i].Bytes += st.Blocks * 512
		}
		return nil
	})
	if err != nil {
		return in, fmt.Errorf("look into spool: %w", err)
	}
	sort.Slice(in.Kinds, func(i, j int) bool { return in.Kinds[i].Bytes/512 > in.Kinds[j].Bytes/512 })
	if m, err := notedMark(dir); err == nil {
		in.Commits, in.Records = m.commits, m.records
	}
	in.Aside, err = filepath.Glob(filepath.Clean(dir) + asideMark + "*")
	return in, err
}

func ignoreGone(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}
