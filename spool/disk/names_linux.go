package disk

import (
	"bytes"
	"fmt"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// eachName calls fn with the names in a folder, without an allocation: it is
// done with each commit. A name is valid during the call.
func eachName(d *os.File, buf []byte, fn func(name []byte)) error {
	if _, err := d.Seek(0, 0); err != nil {
		return fmt.Errorf("list %s: %w", d.Name(), err)
	}
	for {
		n, err := unix.ReadDirent(int(d.Fd()), buf)
		if err != nil {
			return fmt.Errorf("list %s: %w", d.Name(), err)
		}
		if n == 0 {
			return nil
		}
		for b := buf[:n]; len(b) > 0; {
			e := (*unix.Dirent)(unsafe.Pointer(unsafe.SliceData(b)))
			name := b[unsafe.Offsetof(e.Name):e.Reclen]
			if i := bytes.IndexByte(name, 0); i >= 0 {
				name = name[:i]
			}
			fn(name)
			b = b[e.Reclen:]
		}
	}
}
