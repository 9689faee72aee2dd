//go:build soak

package disk_test

import (
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"leveret/spool"
	"leveret/spool/disk"
)

// TestRoomOnVolumes fills real small volumes with batches of random sizes, with
// somebody else who fills and frees them too. What was taken is there, order and
// all, the spool goes on by itself whenever there is space, and when it is empty it
// takes the largest batch that it says is possible. That the process lives is most
// of what is shown. It needs root for the mounts.
func TestRoomOnVolumes(t *testing.T) {
	for name, o := range map[string]disk.Options{"tiny": disk.Tiny(), "small": disk.Small(), "least": small("")} {
		for _, megabytes := range []int64{24, 40, 100} {
			t.Run(fmt.Sprintf("%s/%d MB", name, megabytes), func(t *testing.T) {
				mount := t.TempDir()
				if err := unix.Mount("tmpfs", mount, "tmpfs", 0, fmt.Sprintf("size=%dm", megabytes)); err != nil {
					t.Fatalf("mount: %v", err)
				}
				defer unix.Unmount(mount, unix.MNT_DETACH)
				o.Dir, o.NoCompression, o.CommitsPerSecond = filepath.Join(mount, "spool"), true, 0
				r := &onReal{rng: rand.New(rand.NewPCG(uint64(megabytes), 23)), mount: mount, next: 1, between: make(chan func())}
				o.Now = r.now
				r.l = start(t, o)
				for range 6 {
					r.round(t)
				}
				if err := r.l.stop(t); err != nil {
					t.Error(err)
				}
			})
		}
	}
}

type onReal struct {
	rng   *rand.Rand
	mount string
	l     *life
	held  []spool.Pos // in queue 1
	sizes map[spool.Pos]int
	next  spool.Pos

	between chan func() // done by the writer
}

// now is the writer's look at the clock, which it never has in the middle of a
// write.
func (r *onReal) now() time.Time {
	select {
	case do := <-r.between:
		do()
	default:
	}
	return time.Now()
}

// round fills the volume until nothing more is taken, while somebody else takes
// some of it and gives it back, and empties it.
func (r *onReal) round(t *testing.T) {
	t.Helper()
	others := filepath.Join(r.mount, "others")
	if r.sizes == nil {
		r.sizes = make(map[spool.Pos]int)
	}
	most, refused, large := r.l.Most(), 0, 0
	for refused < 40 {
		if r.rng.IntN(30) == 0 && !exists(others) {
			r.fill(t, others, 2<<20+r.rng.Int64N(3<<20))
		} else if r.rng.IntN(8) == 0 {
			_ = os.Remove(others)
		}
		size := r.rng.IntN(1 << (6 + r.rng.IntN(20)))
		b := &spool.Batch{}
		for i := range 1 + r.rng.IntN(3) {
			pos := r.next + spool.Pos(i)
			b.Enters = append(b.Enters, spool.Enter{Record: numbered(1, pos, size), Size: size, To: []spool.Dest{{Queue: 1, Pos: pos}}})
		}
		if n := len(r.held); n > 0 && r.rng.IntN(4) == 0 {
			r.leave(t, r.rng.IntN(n+1)/4)
		}
		lsn, err := r.l.Append(b)
		switch {
		case errors.Is(err, spool.ErrLarge):
			if large++; int64(len(b.Enters)*(size+100)) <= most {
				t.Fatalf("%d records of %d bytes, %d are possible: %v", len(b.Enters), size, most, err)
			}
			continue
		case errors.Is(err, spool.ErrFull):
			refused++
			time.Sleep(5 * time.Millisecond)
			continue
		case err != nil:
			t.Fatal(err)
		}
		for i := range b.Enters {
			r.held = append(r.held, r.next+spool.Pos(i))
			r.sizes[r.next+spool.Pos(i)] = size
		}
		r.next += spool.Pos(len(b.Enters))
		if r.rng.IntN(4) == 0 && !exists(others) {
			await(t, r.l, lsn)
		}
	}
	_ = os.Remove(others)
	r.durable(t)
	r.check(t)
	r.leave(t, len(r.held))
	r.durable(t)

	size := int(most) - 200
	b := &spool.Batch{Enters: []spool.Enter{{Record: numbered(1, r.next, size), Size: size, To: []spool.Dest{{Queue: 1, Pos: r.next}}}}}
	for late := time.Now().Add(time.Minute); ; time.Sleep(50 * time.Millisecond) {
		lsn, err := r.l.Append(b)
		if err == nil {
			await(t, r.l, lsn)
			break
		}
		if !errors.Is(err, spool.ErrFull) || time.Now().After(late) {
			t.Fatalf("the largest batch, of %d bytes, in an empty spool: %v\n%s", size, err, occupants(r.l.opts.Dir))
		}
	}
	t.Logf("%d messages, %d too large (more than %d bytes)", r.next, large, most)
	r.held, r.sizes[r.next] = []spool.Pos{r.next}, size
	r.next++
	r.check(t)
	r.leave(t, 1)
}

// fill leaves so many bytes free, or about: Badger may be compacting. It does so
// while the writer looks away: nothing helps a process whose space is taken between
// its look at the volume and its write.
func (r *onReal) fill(t *testing.T, path string, leave int64) {
	t.Helper()
	if _, err := r.l.Append(&spool.Batch{Puts: []spool.Put{{Key: "others", Value: []byte("come")}}}); err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	r.between <- func() {
		defer close(done)
		r.occupy(t, path, leave)
	}
	<-done
}

func (r *onReal) occupy(t *testing.T, path string, leave int64) {
	var st unix.Statfs_t
	if err := unix.Statfs(r.mount, &st); err != nil {
		t.Error(err)
	}
	n := max(0, int64(st.Bavail)*int64(st.Bsize)-leave)
	if err := os.WriteFile(path, make([]byte, n), 0o600); err != nil && !errors.Is(err, unix.ENOSPC) {
		t.Error(err)
	}
}

// occupants lists what a folder's files take.
func occupants(dir string) (text string) {
	filepath.WalkDir(dir, func(path string, f fs.DirEntry, err error) error {
		if err == nil && f.Type().IsRegular() {
			if info, err := f.Info(); err == nil {
				text += fmt.Sprintf("%10d %s\n", info.Sys().(*syscall.Stat_t).Blocks*512, path)
			}
		}
		return nil
	})
	return text
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// leave takes the first n messages out.
func (r *onReal) leave(t *testing.T, n int) {
	t.Helper()
	b := &spool.Batch{}
	for _, pos := range r.held[:n] {
		b.Leaves = append(b.Leaves, spool.Leave{Queue: 1, Pos: pos, Size: r.sizes[pos]})
		delete(r.sizes, pos)
	}
	r.held = r.held[n:]
	if _, err := r.l.Append(b); err != nil {
		t.Fatal(err)
	}
}

func (r *onReal) durable(t *testing.T) {
	t.Helper()
	lsn, err := r.l.Append(&spool.Batch{})
	if err != nil {
		t.Fatal(err)
	}
	await(t, r.l, lsn)
}

func (r *onReal) check(t *testing.T) {
	t.Helper()
	items, got := make([]spool.Item, 64), []spool.Pos(nil)
	for from := spool.Pos(0); ; {
		n, err := r.l.Read(1, from, items, 1<<20)
		if err != nil {
			t.Fatal(err)
		}
		if n == 0 {
			break
		}
		for _, it := range items[:n] {
			if it.Err != nil {
				t.Fatal(it.Err)
			}
			if it.Live == nil && string(it.Data) != string(numbered(1, it.Pos, r.sizes[it.Pos]).AppendTo(nil)) {
				t.Fatalf("message %d is another one", it.Pos)
			}
			got, from = append(got, it.Pos), it.Pos+1
		}
	}
	if !slices.Equal(got, r.held) {
		t.Fatalf("the queue holds %v, want %v", got, r.held)
	}
}
