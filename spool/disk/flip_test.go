package disk_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"leveret/spool"
	"leveret/spool/disk"
)

// flips is how many bytes are changed, one in a copy of its own.
const flips = 100

// TestFlippedBytes changes one byte of some file after the other. The spool
// opens, or an offline export reads it; nothing is fatal, every message reads
// as it was written or as an error, and what is missing was told.
//
// Each case has a process of its own: the worst that could happen is a panic in
// one of Badger's goroutines.
func TestFlippedBytes(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	o := filled(t)
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 1))
	files := spoolFiles(o.Dir)
	if len(files) < 6 {
		t.Fatalf("only %q are there", files)
	}
	for i := range flips {
		dir := filepath.Join(t.TempDir(), "spool")
		copyFolder(t, o.Dir, dir)
		file := files[i%len(files)]
		at := 0
		change(t, filepath.Join(dir, file), func(b []byte) []byte {
			used := len(bytes.TrimRight(b, "\x00"))
			if used == 0 {
				return b
			}
			at = random.IntN(used)
			b[at] ^= 1 << random.IntN(8)
			return b
		})
		cmd := exec.Command(self, "-test.run=^$")
		cmd.Env = append(os.Environ(), lookEnv+"="+dir)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%s, byte %d: %v\n%s", file, at, err, out[:min(len(out), 3000)])
		}
	}
}

func spoolFiles(dir string) (list []string) {
	for name := range listing(dir) {
		if name != "owner" && !strings.HasSuffix(name, "ballast") {
			list = append(list, name)
		}
	}
	slices.Sort(list)
	return list
}

const lookEnv = "LEVERET_SPOOL_LOOK"

// look is the child of TestFlippedBytes.
func look(dir string) error {
	var told told
	o := small(dir)
	o.Trouble = told.trouble
	s, err := disk.Open(o)
	if err != nil {
		// Not every damage can be repaired; then it is told, and the rest is
		// exported.
		off, oerr := disk.OpenOffline(dir)
		if oerr != nil {
			return oerr
		}
		defer off.Close()
		sum, verr := off.Verify()
		if verr != nil || sum.Messages < 60 {
			return fmt.Errorf("open says %v, offline %v, %v", err, sum, verr)
		}
		return nil
	}
	defer s.Close()
	if err := s.Load(func(string, []byte) error { return nil }, func(spool.Depth) error { return nil }); err != nil {
		return err
	}
	items := make([]spool.Item, 1000)
	n, err := s.Read(1, 0, items, 1<<30)
	if err != nil {
		return err
	}
	good := 0
	for _, it := range items[:n] {
		if it.Err == nil && !bytes.Equal(it.Data, childBody(it.Pos)) {
			return fmt.Errorf("message %d reads %.40q", it.Pos, it.Data)
		}
		if it.Err == nil && it.Pos%3 != 0 {
			good++
		}
	}
	if st := s.Stats(); good < 200 && st.Corrupt == 0 && st.Lost == 0 && len(told.names()) == 0 {
		return fmt.Errorf("%d of 200 messages are there, and nothing was told: %+v", good, st)
	}
	return nil
}
