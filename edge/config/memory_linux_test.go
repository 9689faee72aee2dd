package config

import (
	"os"
	"path/filepath"
	"testing"
)

func TestGroupMemoryIsTheLeastLimitOnTheWayUp(t *testing.T) {
	for _, c := range []struct {
		name, membership string
		files            map[string]string
		want             int64
	}{
		{"no group", "", nil, 0},
		{"no limit", "0::/a/b\n", map[string]string{"a/b/memory.max": "max\n"}, 0},
		{"own limit", "0::/a/b\n", map[string]string{"a/b/memory.max": "1000\n", "a/memory.max": "2000\n"}, 1000},
		{"limit above", "0::/a/b\n", map[string]string{"a/b/memory.max": "max\n", "a/memory.max": "2000\n"}, 2000},
		{"throttled first", "0::/a\n", map[string]string{"a/memory.max": "2000\n", "a/memory.high": "1500\n"}, 1500},
		{"version 1", "5:cpu:/x\n4:memory:/a\n", map[string]string{"memory/a/memory.limit_in_bytes": "3000\n"}, 3000},
		{"seen from inside", "0::/\n", map[string]string{"memory.max": "400\n"}, 400},
		{"odd lines", "x\n0::\n", map[string]string{"memory.max": "-5\n"}, 0},
	} {
		mount := t.TempDir()
		for name, text := range c.files {
			must(t, os.MkdirAll(filepath.Dir(filepath.Join(mount, name)), 0o700))
			write(t, filepath.Join(mount, name), text)
		}
		membership := filepath.Join(t.TempDir(), "cgroup")
		write(t, membership, c.membership)
		if got := groupMemory(membership, mount); got != c.want {
			t.Errorf("%s: groupMemory = %d, want %d", c.name, got, c.want)
		}
	}
	if got := groupMemory(filepath.Join(t.TempDir(), "none"), "/"); got != 0 {
		t.Errorf("without a group: %d", got)
	}
	if AvailableMemory() <= 0 {
		t.Error("this machine has no memory")
	}
}

func TestProfileFor(t *testing.T) {
	for memory, want := range map[int64]Profile{
		0: Small, 256 << 20: Tiny, 490 << 20: Tiny, 700 << 20: Small, 980 << 20: Small, 1 << 30: Small, 3 << 29: Server, 8 << 30: Server,
	} {
		if got := ProfileFor(memory); got != want {
			t.Errorf("ProfileFor(%d) = %s, want %s", memory, got, want)
		}
	}
}
