package disk_test

import (
	"bytes"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"leveret/spool"
	"leveret/spool/disk"
)

// flips is how many files are damaged in a round, one in a copy of its own. With the
// race detector each takes a second or two.
func flips() int {
	if disk.Raced {
		return 30
	}
	return 100
}

var flipSeed = flag.Uint64("flip.seed", 0, "play only this seed of the damages")

// flipSeeds is how many rounds are played; FLIP_SEEDS asks for more, from a random
// one on.
func flipSeeds(t *testing.T) (first, n uint64) {
	if *flipSeed != 0 {
		return *flipSeed, 1
	}
	if s := os.Getenv("FLIP_SEEDS"); s != "" {
		n, err := strconv.ParseUint(s, 10, 32)
		if err != nil {
			t.Fatalf("FLIP_SEEDS=%s: %v", s, err)
		}
		return rand.Uint64(), n
	}
	return 1, 1
}

type damage struct {
	name string
	do   func(r *rand.Rand, b []byte) []byte
}

// on damages what was written to a file; zeros behind it are a hole.
func (d damage) on(r *rand.Rand) func([]byte) []byte {
	return func(b []byte) []byte {
		used := len(bytes.TrimRight(b, "\x00"))
		if used == 0 {
			used = min(len(b), 64)
		}
		left := d.do(r, b[:used:used])
		if len(left) == 0 {
			return nil
		}
		return append(left, b[used:]...)
	}
}

// damages are what may become of a file. Half of them are one bit; nil stands for a
// file that is gone.
var damages = []damage{
	{"a bit is another", anotherBit},
	{"a bit is another", anotherBit},
	{"a bit is another", anotherBit},
	{"a bit is another", anotherBit},
	{"a bit is another", anotherBit},
	{"a bit of the beginning is another", func(r *rand.Rand, b []byte) []byte {
		return append(anotherBit(r, b[:min(32, len(b))]), b[min(32, len(b)):]...)
	}},
	{"nothing is left in it", func(*rand.Rand, []byte) []byte { return []byte{} }},
	{"it is gone", nil},
	{"the end is cut", func(r *rand.Rand, b []byte) []byte { return b[:r.IntN(len(b)+1)] }},
	{"a sector is zero", func(r *rand.Rand, b []byte) []byte {
		at := r.IntN(len(b)+1) / 512 * 512
		clear(b[at:min(at+512, len(b))])
		return b
	}},
	{"a sector is noise", func(r *rand.Rand, b []byte) []byte {
		at := r.IntN(len(b)+1) / 512 * 512
		for i := range b[at:min(at+512, len(b))] {
			b[at+i] = byte(r.Uint32())
		}
		return b
	}},
}

func anotherBit(r *rand.Rand, b []byte) []byte {
	if len(b) == 0 {
		return b
	}
	b[r.IntN(len(b))] ^= 1 << r.IntN(8)
	return b
}

// TestDamagedFiles damages one file after the other, of each kind that there is,
// in a spool that was stopped and in one that was killed. The spool opens, or an
// offline export reads it; nothing is fatal, every message reads as it was written
// or as an error, and what is missing was told.
//
// Each case has a process of its own: the worst that could happen is a panic in
// one of Badger's goroutines.
func TestDamagedFiles(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	stopped := filled(t)
	killed := small(filepath.Join(t.TempDir(), "spool"))
	l := start(t, stopped)
	for pos := spool.Pos(300); pos < 400; pos++ {
		body := childBody(pos)
		appendAwait(t, l, &spool.Batch{Enters: []spool.Enter{{Record: body, Size: len(body), To: []spool.Dest{{Queue: 1, Pos: pos}}}}})
	}
	l.crash(t, killed.Dir)
	if kindsOf(t, killed.Dir)[".mem"] == nil {
		t.Fatal("the killed spool has no log")
	}
	stopped = filled(t)
	first, n := flipSeeds(t)
	for seed := first; seed != first+n; seed++ {
		random := rand.New(rand.NewPCG(seed, 1))
		for i := range flips() {
			from := []string{stopped.Dir, killed.Dir}[i%2]
			kinds := kindsOf(t, from)
			kind := slices.Sorted(maps.Keys(kinds))[i/2%len(kinds)]
			file := kinds[kind][random.IntN(len(kinds[kind]))]
			damage := damages[random.IntN(len(damages))]
			dir := filepath.Join(t.TempDir(), "spool")
			copyFolder(t, from, dir)
			if damage.do == nil {
				if err := os.Remove(filepath.Join(dir, file)); err != nil {
					t.Fatal(err)
				}
			} else {
				change(t, filepath.Join(dir, file), damage.on(random))
			}
			cmd := exec.Command(self, "-test.run=^$")
			cmd.Env = append(os.Environ(), lookEnv+"="+dir)
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Errorf("%s: %s, case %d of seed %d: %v\n%s", file, damage.name, i, seed, err, out[:min(len(out), 3000)])
			}
			os.RemoveAll(filepath.Dir(dir))
		}
	}
}

// kindsOf sorts the files of a spool by what they are.
func kindsOf(t *testing.T, dir string) map[string][]string {
	t.Helper()
	kinds := make(map[string][]string)
	for name := range listing(dir) {
		switch kind := filepath.Ext(name); {
		case name == "owner", strings.HasPrefix(name, "quarantine/"):
		case kind == "":
			kinds[name] = []string{name}
		default:
			kinds[kind] = append(kinds[kind], name)
		}
	}
	for kind, names := range kinds {
		slices.Sort(names)
		kinds[kind] = names
	}
	for _, must := range []string{
		".sst", ".vlog", "MANIFEST", "DISCARD", "KEYREGISTRY",
		"guard/MANIFEST", "guard/definitions", "guard/highwater", "guard/jotted", "guard/starts",
	} {
		if kinds[must] == nil {
			t.Fatalf("there is no %s in %q", must, kinds)
		}
	}
	return kinds
}

const lookEnv = "LEVERET_SPOOL_LOOK"

// look is the child of TestDamagedFiles.
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
	good := 0
	for _, q := range []spool.QueueID{1, 2} {
		items := make([]spool.Item, 1000)
		n, err := s.Read(q, 0, items, 1<<30)
		if err != nil {
			return err
		}
		for _, it := range items[:n] {
			if it.Err == nil && !bytes.Equal(it.Data, childBody(it.Pos)) {
				return fmt.Errorf("message %d of queue %d reads %.40q", it.Pos, q, it.Data)
			}
			if it.Err == nil && it.Pos%3 != 0 && it.Pos < 300 && q == 1 {
				good++
			}
		}
	}
	if st := s.Stats(); good < 200 && st.Corrupt == 0 && st.Lost == 0 && len(told.names()) == 0 {
		return fmt.Errorf("%d of 200 messages are there, and nothing was told: %+v", good, st)
	}
	return nil
}
