package disk

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"leveret/spool"
)

// fill commits definitions until the memtable becomes a table, and answers its log as
// it was at the end.
func (l *ledger) fill() (name string, log []byte) {
	l.t.Helper()
	logs := func() []string {
		list, err := logsIn(l.o.Dir, ".mem")
		if err != nil {
			l.t.Fatal(err)
		}
		return list
	}
	first := logs()[0]
	for n := 0; ; n++ {
		b, err := os.ReadFile(first)
		if err != nil {
			l.t.Fatal(err)
		}
		var x spool.Batch
		for i := range 10 {
			x.Puts = append(x.Puts, spool.Put{Key: fmt.Sprint("d", n, " ", i), Value: make([]byte, 3000)})
		}
		if _, err := l.s.Append(&x); err != nil {
			l.t.Fatal(err)
		}
		if err := l.c.commit(); err != nil {
			l.t.Fatal(err)
		}
		if now := logs(); now[len(now)-1] != first {
			return filepath.Base(first), b
		}
	}
}

// TestOldLogBringsNothingBack: two logs were about to be deleted, and the older one
// is still there. What left by the newer one stays away.
func TestOldLogBringsNothingBack(t *testing.T) {
	l := newLedger(t)
	l.open()
	for range 20 {
		if err := l.commit(3000, 0); err != nil {
			t.Fatal(err)
		}
	}
	name, log := l.fill()
	if err := l.commit(10, 20); err != nil {
		t.Fatal(err)
	}
	if err := l.c.reclaim(); err != nil {
		t.Fatal(err)
	}
	if err := l.c.janitor.wait(nil); err != nil {
		t.Fatal(err)
	}
	if err := l.commit(20, 0); err != nil { // which is in a log alone
		t.Fatal(err)
	}
	l.die()
	if err := os.WriteFile(filepath.Join(l.o.Dir, name), log, 0o600); err != nil {
		t.Fatal(err)
	}
	l.open()
	l.check()
	if err := l.s.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestOldLogStandsInForATable: where the manifest had to be put right a log stays,
// however far the tables have come.
func TestOldLogStandsInForATable(t *testing.T) {
	l := newLedger(t)
	l.open()
	for range 20 {
		if err := l.commit(3000, 0); err != nil {
			t.Fatal(err)
		}
	}
	name, log := l.fill()
	l.crowd() // more tables come
	l.die()
	there, err := tablesIn(l.o.Dir)
	if err != nil {
		t.Fatal(err)
	}
	first := ^uint64(0)
	for id := range there {
		first = min(first, id)
	}
	// The first table's name was never safe, and the copy is older than it.
	old := newManifest()
	old.magic = manifestHeader()
	if err := old.copyTo(l.o.Dir); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(l.o.Dir, tableName(first))); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(l.o.Dir, name), log, 0o600); err != nil {
		t.Fatal(err)
	}
	l.open()
	l.check()
	if err := l.s.Close(); err != nil {
		t.Fatal(err)
	}
}
