//go:build soak

package disk_test

import (
	"errors"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"leveret/spool"
	"leveret/spool/disk"
)

// TestTrickleOnVolume fills a small volume with small commits, beside definitions,
// and takes all messages out: there is space again.
func TestTrickleOnVolume(t *testing.T) {
	for _, megabytes := range []int64{24, 40} {
		for _, defs := range []int{0, 1000, 2000} {
			t.Run(fmt.Sprintf("%d MB, %d definitions", megabytes, defs), func(t *testing.T) {
				mount := t.TempDir()
				if err := unix.Mount("tmpfs", mount, "tmpfs", 0, fmt.Sprintf("size=%dm", megabytes)); err != nil {
					t.Fatalf("mount: %v", err)
				}
				defer unix.Unmount(mount, unix.MNT_DETACH)
				o := disk.Tiny()
				o.Dir, o.NoCompression, o.CommitsPerSecond, o.CommitWindow = filepath.Join(mount, "spool"), true, 0, 0
				l := start(t, o)
				for i := range defs {
					lsn, err := l.Append(&spool.Batch{Puts: []spool.Put{{Key: fmt.Sprintf("queue/%d", i), Value: make([]byte, 3000)}}})
					if err != nil {
						t.Fatal(err)
					}
					if i%50 == 0 {
						await(t, l, lsn)
					}
				}
				next := spool.Pos(1)
				enter := func(size int) error {
					b := &spool.Batch{}
					for range 10 {
						b.Enters = append(b.Enters, spool.Enter{Record: numbered(1, next, size), Size: size, To: []spool.Dest{{Queue: 1, Pos: next}}})
						next++
					}
					lsn, err := l.Append(b)
					if err != nil {
						next -= 10
						return err
					}
					await(t, l, lsn)
					return nil
				}
				began := time.Now()
				for refused := 0; refused < 40; {
					if err := enter(300); errors.Is(err, spool.ErrFull) {
						refused++
						time.Sleep(5 * time.Millisecond)
					} else if err != nil {
						t.Fatal(err)
					}
				}
				t.Logf("full after %d messages, %v\n%s", next, time.Since(began), occupants(o.Dir))
				var last spool.LSN
				for pos := spool.Pos(1); pos < next; {
					b := &spool.Batch{}
					for range 500 {
						if pos < next {
							b.Leaves = append(b.Leaves, spool.Leave{Queue: 1, Pos: pos, Size: 300})
							pos++
						}
					}
					lsn, err := l.Append(b)
					if err != nil {
						t.Fatal(err)
					}
					last = lsn
				}
				await(t, l, last)
				for late := time.Now().Add(45 * time.Second); ; time.Sleep(50 * time.Millisecond) {
					if err := enter(20_000); err == nil {
						break
					} else if !errors.Is(err, spool.ErrFull) || time.Now().After(late) {
						t.Fatalf("an empty spool: %v\n%s", err, occupants(o.Dir))
					}
				}
				if err := l.stop(t); err != nil {
					t.Error(err)
				}
			})
		}
	}
}
