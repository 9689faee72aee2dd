package edge

import (
	"os"
	"path/filepath"
	"testing"
)

func TestSocketMemory(t *testing.T) {
	for _, c := range []struct {
		name, membership, stat string
		want                   int64
	}{
		{"version 2", "0::/a/b\n", "anon 5\nsock 4096\nshmem 7\n", 4096},
		{"no sockets", "0::/a/b\n", "anon 5\n", 0},
		{"version 1", "4:memory:/a/b\n", "sock 4096\n", 0},
		{"another group", "0::/a\n", "sock 4096\n", 0},
		{"odd", "0::/a/b\n", "sock many\n", 0},
	} {
		mount := t.TempDir()
		if err := os.MkdirAll(filepath.Join(mount, "a/b"), 0o700); err != nil {
			t.Fatal(err)
		}
		for file, text := range map[string]string{filepath.Join(mount, "a/b/memory.stat"): c.stat, filepath.Join(mount, "membership"): c.membership} {
			if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if got := socketMemory(filepath.Join(mount, "membership"), mount); got != c.want {
			t.Errorf("%s: socketMemory = %d, want %d", c.name, got, c.want)
		}
	}
	if got := socketMemory(filepath.Join(t.TempDir(), "none"), "/"); got != 0 {
		t.Errorf("without a group: %d", got)
	}
}
