package disk

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// writeCache is what the kernel believes of the device's cache: "write back",
// "write through", or "".
func writeCache(dir string) string {
	major, minor, ok := deviceOf(dir)
	if !ok {
		return ""
	}
	at, err := filepath.EvalSymlinks(fmt.Sprintf("/sys/dev/block/%d:%d", major, minor))
	if err != nil {
		return ""
	}
	for _, d := range []string{at, filepath.Dir(at)} { // a partition's disk is above it
		if b, err := os.ReadFile(filepath.Join(d, "queue", "write_cache")); err == nil {
			return strings.TrimSpace(string(b))
		}
	}
	return ""
}
