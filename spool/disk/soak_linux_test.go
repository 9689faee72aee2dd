//go:build soak

package disk_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"leveret/spool"
	"leveret/spool/disk"
)

// TestFullVolume fills a volume of 40 MB and frees it, again and again, also
// before the spool is opened. A mapped file on a full volume ends the process,
// so that it lives is most of what is shown. It needs root for the mount.
func TestFullVolume(t *testing.T) {
	mount := t.TempDir()
	if err := unix.Mount("tmpfs", mount, "tmpfs", 0, "size=40m"); err != nil {
		t.Fatalf("mount: %v", err)
	}
	defer unix.Unmount(mount, unix.MNT_DETACH)
	o := small(filepath.Join(mount, "spool"))
	o.NoCompression = true
	o.StageBytesMax = 1 << 20
	next, first := spool.Pos(0), spool.Pos(0)
	for round := range 20 {
		others := filepath.Join(mount, "others")
		if round%2 == 1 {
			fillVolume(t, mount, others, 6<<20) // full at boot
		}
		l := start(t, o)
		next = publishUntilFull(t, l, next)
		if err := os.Remove(others); err != nil && !errors.Is(err, os.ErrNotExist) {
			t.Fatal(err)
		}
		if got := drained(t, l, 1); got != int(next-first) {
			t.Fatalf("round %d: %d messages are there, want %d", round, got, next-first)
		}
		b := spool.Batch{Purges: []spool.Purge{{Queue: 1, To: next}}}
		lsn, err := l.Append(&b)
		if err != nil {
			t.Fatal(err)
		}
		await(t, l, lsn)
		first = next
		resumes(t, l)
		if err := l.stop(t); err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
	}
}

// fillVolume leaves so many bytes free.
func fillVolume(t *testing.T, dir, file string, leave int64) {
	t.Helper()
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		t.Fatal(err)
	}
	n := int64(st.Bavail)*int64(st.Bsize) - leave
	if n <= 0 {
		return
	}
	if err := os.WriteFile(file, make([]byte, n), 0o600); err != nil {
		t.Fatal(err)
	}
}

func publishUntilFull(t *testing.T, l *life, pos spool.Pos) spool.Pos {
	t.Helper()
	for {
		var b spool.Batch
		for range 50 {
			b.Enters = append(b.Enters, spool.Enter{Record: marked(1), Size: 1601, To: []spool.Dest{{Queue: 1, Pos: pos + spool.Pos(len(b.Enters))}}})
		}
		lsn, err := l.Append(&b)
		if errors.Is(err, spool.ErrFull) {
			return pos
		}
		if err != nil {
			t.Fatal(err)
		}
		await(t, l, lsn)
		pos += 50
	}
}

// resumes waits until there is room again, which must come by itself.
func resumes(t *testing.T, l *life) {
	t.Helper()
	for late := time.After(time.Minute); ; {
		room := l.Room()
		if room == nil {
			return
		}
		select {
		case <-room:
		case <-late:
			t.Fatal("there is no room after everything left")
		}
	}
}

// TestFullVolumeOfOthers: somebody else fills the volume while the spool has
// work of its own to do. It lives, comes to a clean end, and opens again.
func TestFullVolumeOfOthers(t *testing.T) {
	mount := t.TempDir()
	if err := unix.Mount("tmpfs", mount, "tmpfs", 0, "size=80m"); err != nil {
		t.Fatalf("mount: %v", err)
	}
	defer unix.Unmount(mount, unix.MNT_DETACH)
	o := disk.Tiny()
	o.Dir, o.NoCompression, o.ReclaimBytes = filepath.Join(mount, "spool"), true, 8<<20
	l := start(t, o)
	const n, size = 8000, 1000
	var b spool.Batch
	for pos := spool.Pos(1); pos <= n; pos++ {
		b.Enters = append(b.Enters, spool.Enter{Record: numbered(1, pos, size), Size: size, To: []spool.Dest{{Queue: 1, Pos: pos}}})
		if pos%200 == 0 {
			appendAwait(t, l, &b)
			b.Reset()
		}
	}
	b.Puts = []spool.Put{{Key: "to be copied", Value: []byte("soon")}}
	var want []spool.Pos
	for pos := spool.Pos(1); pos <= n; pos++ {
		if pos%10 == 0 {
			want = append(want, pos)
		} else {
			b.Leaves = append(b.Leaves, spool.Leave{Queue: 1, Pos: pos, Size: size})
		}
	}
	appendAwait(t, l, &b)
	fillVolume(t, mount, filepath.Join(mount, "others"), 0)
	time.Sleep(8 * time.Second) // a merge, a reclaim and the copy become due
	checkNumbered(t, l, 1, size, want)
	if err := l.stop(t); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(mount, "others")); err != nil {
		t.Fatal(err)
	}
	l = start(t, o)
	checkNumbered(t, l, 1, size, want)
	if err := l.stop(t); err != nil {
		t.Fatal(err)
	}
}
