package disk

import (
	"bytes"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// TestPave: the log has blocks ahead of what is written to it, and what is
// written stays as it is, however large the steps are.
func TestPave(t *testing.T) {
	dir := t.TempDir()
	log := filepath.Join(dir, "00001.mem")
	f, err := os.Create(log)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	const size = 2 << 20
	if err := f.Truncate(size); err != nil {
		t.Fatal(err)
	}
	p := paver{dir: dir, stale: true}
	defer p.close()
	var want []byte
	for i := 0; len(want) < size-300_000; i++ {
		step := bytes.Repeat([]byte{byte(i%255) + 1}, 1+i*i%9000)
		if i%50 == 49 {
			step = bytes.Repeat([]byte{255}, paveBytes+12345) // jumps over all zeros
		}
		if _, err := f.WriteAt(step, int64(len(want))); err != nil {
			t.Fatal(err)
		}
		want = append(want, step...)
		if err := p.pave(int64(len(step))); err != nil {
			t.Fatal(err)
		}
		if p.end < int64(len(want)) {
			t.Fatalf("after %d bytes there are zeros up to %d", len(want), p.end)
		}
	}
	if err := p.pave(size); err != nil {
		t.Errorf("at the end of the file: %v", err)
	}
	got := make([]byte, size)
	if _, err := f.ReadAt(got, 0); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, append(want, make([]byte, size-len(want))...)) {
		t.Error("the log does not read as it was written")
	}
	var st syscall.Stat_t
	if err := syscall.Stat(log, &st); err != nil {
		t.Fatal(err)
	}
	if st.Size != size {
		t.Errorf("the log has %d bytes, had %d", st.Size, size)
	}

	next := filepath.Join(dir, "00002.mem")
	if err := os.WriteFile(next, []byte("begun"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(next, size); err != nil {
		t.Fatal(err)
	}
	p.stale = true
	if err := p.pave(0); err != nil {
		t.Fatal(err)
	}
	if p.f.Name() != next || p.end < paveBytes {
		t.Errorf("the next log %s has zeros up to %d", p.f.Name(), p.end)
	}
	if b, err := os.ReadFile(next); err != nil || !bytes.HasPrefix(b, []byte("begun\x00")) || len(b) != size {
		t.Errorf("the next log begins with %.8q and has %d bytes (%v)", b, len(b), err)
	}
}

// TestPaveWithoutHoles: a file system that tells nothing of holes is left alone.
func TestPaveWithoutHoles(t *testing.T) {
	f, err := os.Open("/proc/self/maps") // as of such a file system
	if err != nil {
		t.Fatal(err)
	}
	p := paver{f: f}
	for range 3 {
		if err := p.pave(1 << 20); err != nil {
			t.Fatalf("pave = %v, want that it does without", err)
		}
	}
	if p.f != nil {
		t.Error("it is tried again and again")
	}
}
