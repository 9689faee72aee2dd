package config

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// fileBytesMax bounds the file: what is longer is not a configuration but a
// disk image in the wrong place.
const fileBytesMax = 1 << 20

// Load reads the file at path, lays the sets ("amqp.listen=127.0.0.1:0") over
// it and checks everything. Without a path it starts from the defaults. The
// error is of type Problems.
func Load(path string, sets []string) (*Config, error) {
	if path == "" {
		return Parse("", nil, sets)
	}
	data, err := readAtMost(path, fileBytesMax)
	if err != nil {
		return nil, Problems{{File: path, Text: "cannot be read: " + reason(err)}}
	}
	return Parse(path, data, sets)
}

// Parse is Load with the file's bytes at hand; name is what problems call the
// file, and relative paths of secrets start in its folder.
func Parse(name string, data []byte, sets []string) (*Config, error) {
	found := &collector{}
	root := readTree(name, data, found)
	for _, s := range sets {
		applySet(root, s, found)
	}
	d := &decoder{found: found, folder: filepath.Dir(name)}
	c := d.config(root)
	if err := found.problems(); err != nil {
		return nil, err
	}
	return c, nil
}

// readAtMost reads a file of at most limit bytes.
func readAtMost(path string, limit int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err == nil && int64(len(data)) > limit {
		err = fmt.Errorf("longer than %s", Size(limit))
	}
	return data, err
}

// reason is why a file could not be read, without its path, which the reader is
// told anyway.
func reason(err error) string {
	if p, ok := errors.AsType[*fs.PathError](err); ok {
		err = p.Err
	}
	return err.Error()
}
