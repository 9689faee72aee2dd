package disk_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"leveret/spool"
	"leveret/spool/disk"
)

// told collects troubles by name.
type told struct {
	mu   sync.Mutex
	text map[string]string
}

func (t *told) trouble(name, text string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.text == nil {
		t.text = make(map[string]string)
	}
	if text == "" {
		delete(t.text, name)
	} else {
		t.text[name] = text
	}
}

func (t *told) names() []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.Sorted(maps.Keys(t.text))
}

func change(t *testing.T, path string, how func([]byte) []byte) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, how(b), 0o600); err != nil {
		t.Fatal(err)
	}
}

func flip(at int) func([]byte) []byte {
	return func(b []byte) []byte {
		b = bytes.Clone(b)
		b[(at+len(b))%len(b)] ^= 0x10
		return b
	}
}

func cut(n int) func([]byte) []byte { return func(b []byte) []byte { return b[:max(0, len(b)-n)] } }

// TestDamagedManifest: whatever happens to Badger's manifest, with or without
// its copy, every message is there afterwards.
func TestDamagedManifest(t *testing.T) {
	for name, how := range map[string]func([]byte) []byte{
		"missing":         nil,
		"empty":           func([]byte) []byte { return nil },
		"lost 3 bytes":    cut(3),
		"lost a half":     func(b []byte) []byte { return b[:len(b)/2] },
		"lost all tables": func(b []byte) []byte { return b[:8] },
		"flipped early":   flip(13),
		"flipped late":    flip(-2),
		"wrong magic":     flip(1),
	} {
		for _, copied := range []bool{true, false} {
			if name == "lost all tables" && !copied {
				continue // a manifest without tables is what a new spool has
			}
			t.Run(fmt.Sprintf("%s, copy %v", name, copied), func(t *testing.T) {
				o := written(t, 3000)
				manifest := filepath.Join(o.Dir, "MANIFEST")
				if !copied {
					if err := os.Remove(filepath.Join(o.Dir, "guard", "MANIFEST")); err != nil {
						t.Fatal(err)
					}
				}
				if how == nil {
					if err := os.Remove(manifest); err != nil {
						t.Fatal(err)
					}
				} else {
					change(t, manifest, how)
				}
				var told told
				o.Trouble = told.trouble
				l := start(t, o)
				defer l.stop(t)
				if n := drained(t, l, 1); n != 3000 {
					t.Errorf("%d messages are there, want 3000", n)
				}
				if !slices.Contains(told.names(), "spool repaired") {
					t.Errorf("told %q, want a word about the repair", told.names())
				}
			})
		}
	}
}

// TestDamagedTable: a table that would end the process inside Badger is taken
// out, and what it said is found in the value logs.
func TestDamagedTable(t *testing.T) {
	for name, how := range map[string]func([]byte) []byte{
		"empty":         func([]byte) []byte { return nil },
		"lost a byte":   cut(1),
		"lost a half":   func(b []byte) []byte { return b[:len(b)/2] },
		"flipped index": flip(-60),
		"flipped end":   flip(-1),
	} {
		t.Run(name, func(t *testing.T) {
			o := written(t, 3000)
			tables, _ := filepath.Glob(filepath.Join(o.Dir, "*.sst"))
			if len(tables) == 0 {
				t.Fatal("there is no table")
			}
			change(t, tables[0], how)
			var told told
			o.Trouble = told.trouble
			l := start(t, o)
			defer l.stop(t)
			if n := drained(t, l, 1); n != 3000 {
				t.Errorf("%d messages are there, want 3000", n)
			}
			if !slices.Contains(told.names(), "spool repaired") {
				t.Errorf("told %q, want a word about the repair", told.names())
			}
			aside, _ := filepath.Glob(filepath.Join(o.Dir, "quarantine", "*.sst"))
			if len(aside) != 1 {
				t.Errorf("set aside are %q, want the table", aside)
			}
		})
	}
}

// TestLostEndIsTold: Badger drops the end of a damaged log and says nothing;
// the mark that was jotted down apart tells to the commit how much. Without it the
// one that was noted tells most of it.
func TestLostEndIsTold(t *testing.T) {
	for name, c := range map[string]struct {
		jotted func([]byte) []byte
		within int
	}{
		"jotted":       {func(b []byte) []byte { return b }, 0},
		"a torn jot":   {func(b []byte) []byte { b[3+64*newerJot(b)] ^= 1; return b }, 1},
		"no jots":      {func(b []byte) []byte { return make([]byte, len(b)) }, disk.MarkEvery},
		"garbled jots": {func(b []byte) []byte { return bytes.Repeat([]byte("jot"), 99) }, disk.MarkEvery},
		"short jots":   {func(b []byte) []byte { return b[:7] }, disk.MarkEvery},
	} {
		t.Run(name, func(t *testing.T) { testLostEnd(t, c.jotted, c.within) })
	}
}

// newerJot is the place of the mark that was jotted down last.
func newerJot(b []byte) int {
	if binary.BigEndian.Uint64(b) > binary.BigEndian.Uint64(b[64:]) {
		return 0
	}
	return 1
}

func testLostEnd(t *testing.T, jotted func([]byte) []byte, within int) {
	o := small(t.TempDir())
	l := start(t, o)
	const commits = 2*disk.MarkEvery + 20 // the last ones are not noted
	for i := range commits {
		lsn, err := l.Append(&spool.Batch{Enters: []spool.Enter{{
			Record: raw("reading"), Size: 7, To: []spool.Dest{{Queue: 1, Pos: spool.Pos(i)}},
		}}})
		if err != nil {
			t.Fatal(err)
		}
		await(t, l, lsn)
	}
	crashed := small(t.TempDir())
	l.crash(t, crashed.Dir)
	logs, _ := filepath.Glob(filepath.Join(crashed.Dir, "*.mem"))
	if len(logs) != 1 {
		t.Fatalf("logs are %q, want one", logs)
	}
	change(t, logs[0], func(b []byte) []byte { b[2000] ^= 1; return b })
	change(t, filepath.Join(crashed.Dir, "guard", "jotted"), jotted)
	var told told
	crashed.Trouble = told.trouble
	l = start(t, crashed)
	n := drained(t, l, 1)
	lost := l.Stats().Lost
	if n >= disk.MarkEvery {
		t.Fatalf("%d messages are there: nothing was damaged", n)
	}
	if got := int(lost) + n; got < commits-within || got > commits {
		t.Errorf("%d are there and %d lost, want %d within %d in all", n, lost, commits, within)
	}
	if !slices.Contains(told.names(), "spool lost") {
		t.Errorf("told %q, want the loss", told.names())
	}
	if err := l.stop(t); err != nil {
		t.Fatal(err)
	}
	l = start(t, crashed)
	defer l.stop(t)
	if got := l.Stats().Lost; got != 0 {
		t.Errorf("the next start tells of %d lost once more", got)
	}
}

func TestFailingFolderIsSetAside(t *testing.T) {
	o := small(t.TempDir() + "/spool")
	l := start(t, o)
	lsn, err := l.Append(&spool.Batch{Puts: []spool.Put{{Key: "queue/a", Value: []byte("kept")}}})
	if err != nil {
		t.Fatal(err)
	}
	await(t, l, lsn)
	if err := l.stop(t); err != nil {
		t.Fatal(err)
	}
	// What nobody can repair: a folder where a log should be.
	if err := os.Mkdir(filepath.Join(o.Dir, "00099.mem"), 0o700); err != nil {
		t.Fatal(err)
	}
	for i := range 2 {
		if s, err := disk.Open(o); err == nil {
			s.Close()
			t.Fatalf("start %d succeeded", i)
		}
	}
	var told told
	o.Trouble = told.trouble
	l = start(t, o)
	defer l.stop(t)
	if !slices.Contains(told.names(), "spool set aside") {
		t.Errorf("told %q, want that it was set aside", told.names())
	}
	aside, _ := filepath.Glob(o.Dir + ".bad-*")
	if len(aside) != 1 {
		t.Errorf("%q stand aside, want one folder", aside)
	}
	defs := map[string]string{}
	err = l.Load(func(k string, v []byte) error { defs[k] = string(v); return nil }, func(spool.Depth) error { return nil })
	if err != nil || defs["queue/a"] != "kept" {
		t.Errorf("definitions are %q, %v: they did not come along", defs, err)
	}
	fillQueue(t, l, 10)
}

// TestCrashesAreCounted: a spool that opens, and then ends the process from
// one of Badger's goroutines, is set aside too; a kill is not held against it.
func TestCrashesAreCounted(t *testing.T) {
	for _, crashed := range []bool{true, false} {
		o := small(t.TempDir() + "/spool")
		o.Crashed = crashed
		for range 3 {
			s, err := disk.Open(o)
			if err != nil {
				t.Fatal(err)
			}
			s.Fail(os.ErrInvalid) // so that Close leaves no word of a clean stop
			s.Close()
		}
		aside, _ := filepath.Glob(o.Dir + ".bad-*")
		if got := len(aside) > 0; got != crashed {
			t.Errorf("crashed %v: set aside are %q", crashed, aside)
		}
	}
}

// TestMinorDefinitionsCrowdNobodyOut: megabytes of them leave the copy of the
// others whole, and are there after a start all the same.
func TestMinorDefinitionsCrowdNobodyOut(t *testing.T) {
	o := small(t.TempDir())
	l := start(t, o)
	puts := []spool.Put{{Key: "queue/z", Value: []byte("kept")}}
	for i := range 2000 {
		puts = append(puts, spool.Put{Key: fmt.Sprint(spool.Minor, "note/", i), Value: bytes.Repeat([]byte("n"), 1000)})
	}
	lsn, err := l.Append(&spool.Batch{Puts: puts})
	if err != nil {
		t.Fatal(err)
	}
	await(t, l, lsn)
	if err := l.stop(t); err != nil {
		t.Fatal(err)
	}
	copied, err := os.ReadFile(filepath.Join(o.Dir, "guard", "definitions"))
	if err != nil || !bytes.Contains(copied, []byte("queue/z")) || len(copied) > 1000 {
		t.Errorf("the copy has %d bytes: %v", len(copied), err)
	}
	l = start(t, o)
	defer l.stop(t)
	n := 0
	if err := l.Load(func(string, []byte) error { n++; return nil }, func(spool.Depth) error { return nil }); err != nil || n != len(puts) {
		t.Errorf("%d definitions after a start, %v, want %d", n, err, len(puts))
	}
}

func TestDamagedDefinitionComesFromItsCopy(t *testing.T) {
	for _, copied := range []bool{true, false} {
		o := small(t.TempDir())
		value := bytes.Repeat([]byte("definition"), 3)
		l := start(t, o)
		lsn, err := l.Append(&spool.Batch{Puts: []spool.Put{{Key: "queue/a", Value: value}, {Key: "queue/b", Value: []byte("b")}}})
		if err != nil {
			t.Fatal(err)
		}
		await(t, l, lsn)
		if err := l.stop(t); err != nil {
			t.Fatal(err)
		}
		found := 0
		tables, _ := filepath.Glob(filepath.Join(o.Dir, "*.sst"))
		for _, f := range tables {
			change(t, f, func(b []byte) []byte {
				if i := bytes.Index(b, value); i >= 0 {
					found++
					b[i+5] ^= 1
				}
				return b
			})
		}
		if found != 1 {
			t.Fatalf("the definition is in %d tables", found)
		}
		if !copied {
			os.Remove(filepath.Join(o.Dir, "guard", "definitions"))
		}
		var told told
		o.Trouble = told.trouble
		l = start(t, o)
		defs := map[string][]byte{}
		err = l.Load(func(k string, v []byte) error { defs[k] = v; return nil }, func(spool.Depth) error { return nil })
		if err != nil {
			t.Fatalf("Load: %v, %q", err, defs)
		}
		if copied && (!bytes.Equal(defs["queue/a"], value) || string(defs["queue/b"]) != "b") {
			t.Errorf("definitions are %q", defs)
		}
		if v, there := defs[""]; !there || v != nil {
			t.Errorf("copy %v: nothing says that definitions may be missing", copied)
		}
		if !slices.Contains(told.names(), "spool repaired") {
			t.Errorf("copy %v: told %q", copied, told.names())
		}
		if err := l.stop(t); err != nil {
			t.Fatal(err)
		}
	}
}

func TestBallastIsGivenUpAndLaidAgain(t *testing.T) {
	o := small(t.TempDir())
	l := start(t, o)
	ballast := filepath.Join(o.Dir, "guard", "ballast")
	late := time.Now().Add(time.Minute)
	for {
		fillQueue(t, l, 1)
		if info, err := os.Stat(ballast); err == nil && info.Size() > 0 {
			break
		}
		if time.Now().After(late) {
			t.Fatal("no ballast was laid")
		}
	}
	if err := l.stop(t); err != nil {
		t.Fatal(err)
	}
	o.MemTableSize = 1 << 50
	if _, err := disk.Open(o); err == nil {
		t.Fatal("Open succeeded on a volume that is too small")
	}
	if _, err := os.Stat(ballast); !os.IsNotExist(err) {
		t.Errorf("the ballast is still there: %v", err)
	}
}

// TestDamagedRegistry: Badger's file of keys holds none, and is made anew.
func TestDamagedRegistry(t *testing.T) {
	for name, how := range map[string]func([]byte) []byte{
		"flipped": flip(20), "short": cut(5), "longer": func(b []byte) []byte { return append(b, 1, 2, 3) },
	} {
		t.Run(name, func(t *testing.T) {
			o := written(t, 500)
			change(t, filepath.Join(o.Dir, "KEYREGISTRY"), how)
			l := start(t, o)
			defer l.stop(t)
			if n := drained(t, l, 1); n != 500 {
				t.Errorf("%d messages are there, want 500", n)
			}
		})
	}
}
