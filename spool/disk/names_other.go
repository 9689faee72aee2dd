//go:build !linux

package disk

import (
	"fmt"
	"os"
)

func eachName(d *os.File, _ []byte, fn func(name []byte)) error {
	_, err := d.Seek(0, 0)
	if err == nil {
		var names []string
		names, err = d.Readdirnames(-1)
		for _, name := range names {
			fn([]byte(name))
		}
	}
	if err != nil {
		return fmt.Errorf("list %s: %w", d.Name(), err)
	}
	return nil
}
