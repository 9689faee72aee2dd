package disk_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"leveret/spool"
	"leveret/spool/disk"
)

const (
	childEnv = "LEVERET_SPOOL_CHILD"
	cutEnv   = "LEVERET_SPOOL_CUT" // "copy" leaves the disk as it is
	earlyEnv = "LEVERET_SPOOL_EARLY"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(childEnv); dir != "" {
		if err := child(dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	if os.Getenv(cutEnv) != "" {
		if err := verifyCut(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	if dir := os.Getenv(lookEnv); dir != "" {
		if err := look(dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// childBody is message pos; some are large enough for the value log.
func childBody(pos spool.Pos) raw {
	return raw(strings.Repeat(fmt.Sprintf("message %d.", pos), 1+int(pos%37)*int(pos%11)))
}

// child publishes to queue 1 and takes every third message out again, and
// prints what is durable: the highest position that entered and the highest
// that left. It goes on until it is killed.
func child(dir string) error {
	o := small(dir)
	o.ReclaimBytes = 1 << 20
	if os.Getenv(earlyEnv) != "" {
		fmt.Println(0) // so that the cut comes while it opens, too
		if err := anotherBoot(dir); err != nil {
			return err
		}
	}
	s, err := disk.Open(o)
	if err != nil {
		return err
	}
	ended := make(chan error, 1)
	go func() { ended <- s.Run(context.Background()) }()
	pos := spool.Pos(0)
	err = s.Load(func(string, []byte) error { return nil }, func(d spool.Depth) error {
		pos = d.Last
		return nil
	})
	if err != nil {
		return err
	}
	for {
		var b spool.Batch
		for range 40 {
			pos++
			body := childBody(pos)
			b.Enters = append(b.Enters, spool.Enter{Record: body, Size: len(body), To: []spool.Dest{{Queue: 1, Pos: pos}}})
			if old := pos - 1000; pos > 1000 && old%3 == 0 {
				b.Leaves = append(b.Leaves, spool.Leave{Queue: 1, Pos: old, Size: len(childBody(old))})
			}
		}
		lsn, err := s.Append(&b)
		if err != nil {
			return err
		}
		for durable := spool.LSN(0); durable < lsn; {
			var moved <-chan struct{}
			if durable, moved, err = s.Durable(); err != nil {
				return err
			}
			if durable < lsn {
				<-moved
			}
		}
		fmt.Println(pos)
	}
}

// TestKill kills a writer again and again: whatever it had said to be durable
// must be there, in order and as it was written.
func TestKill(t *testing.T) {
	dir := t.TempDir()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	promised := spool.Pos(0)
	for round := range 6 {
		cmd := exec.Command(self, "-test.run=^$")
		cmd.Env = append(os.Environ(), childEnv+"="+dir)
		cmd.Stderr = os.Stderr
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(out)
		began := time.Now()
		for n := 1; lines.Scan(); n++ {
			if _, err := fmt.Sscan(lines.Text(), &promised); err != nil {
				t.Fatalf("child says %q", lines.Text())
			}
			if n > 10 && time.Since(began) > time.Duration(100+60*round)*time.Millisecond {
				cmd.Process.Kill()
			}
		}
		if err := cmd.Wait(); err == nil || !strings.Contains(err.Error(), "killed") {
			t.Fatalf("child: %v", err)
		}
		checkPromise(t, dir, promised)
	}
	if promised < 1000 {
		t.Errorf("only %d messages were promised: the test is too short", promised)
	}
}

func checkPromise(t *testing.T, dir string, promised spool.Pos) {
	t.Helper()
	if files, _ := filepath.Glob(filepath.Join(dir, "*")); len(files) == 0 {
		t.Fatal("nothing was written")
	}
	copied := t.TempDir()
	copyFolder(t, dir, copied)
	if err := kept(copied, promised); err != nil {
		t.Fatal(err)
	}
}

// kept opens a spool that child wrote and looks for everything up to promised.
func kept(dir string, promised spool.Pos) (err error) {
	var told told
	o := small(dir)
	o.Trouble = told.trouble
	defer func() {
		if err != nil && len(told.text) > 0 {
			err = fmt.Errorf("%w; told was %q", err, told.text)
		}
	}()
	s, err := disk.Open(o)
	if err != nil {
		return err
	}
	defer s.Close()
	items := make([]spool.Item, 200)
	at := spool.Pos(0)
	for {
		n, err := s.Read(1, at+1, items, 1<<20)
		if err != nil {
			return err
		}
		if n == 0 {
			break
		}
		for _, it := range items[:n] {
			for at++; at < it.Pos; at++ {
				if at%3 != 0 {
					return fmt.Errorf("message %d of %d promised is lost", at, promised)
				}
			}
			if it.Err != nil || string(it.Data) != string(childBody(it.Pos)) {
				return fmt.Errorf("message %d: %v, %.40q", it.Pos, it.Err, it.Data)
			}
			if it.Pos%3 == 0 && it.Pos+1000 <= promised {
				return fmt.Errorf("message %d left and is back", it.Pos)
			}
		}
	}
	if at < promised {
		return fmt.Errorf("%d was promised, %d is the last", promised, at)
	}
	if st := s.Stats(); st.Lost > 0 || st.Corrupt > 0 {
		return fmt.Errorf("all is there, and the spool tells of damage: %+v", st)
	}
	return nil
}

// verifyCut is the verifier of a power cut that another program makes: $DIR is
// the disk, $ACKS the file of what child printed.
func verifyCut() error {
	b, err := os.ReadFile(os.Getenv("ACKS"))
	if err != nil {
		return err
	}
	promised := spool.Pos(0)
	for line := range strings.Lines(string(b)) {
		if whole, ok := strings.CutSuffix(line, "\n"); ok {
			pos := spool.Pos(0)
			if _, err := fmt.Sscan(whole, &pos); err != nil {
				return fmt.Errorf("promise %q: %w", line, err)
			}
			promised = max(promised, pos)
		}
	}
	dir := filepath.Join(os.Getenv("DIR"), "spool")
	if os.Getenv(cutEnv) == "copy" {
		to, err := os.MkdirTemp("", "spool")
		if err != nil {
			return err
		}
		defer os.RemoveAll(to)
		if err := os.CopyFS(to, os.DirFS(dir)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		if err := anotherBoot(to); err != nil {
			return err
		}
		dir = to
	}
	return kept(dir, promised)
}

// anotherBoot has a start that was cut short not count as failed, as after a real
// power cut.
func anotherBoot(dir string) error {
	err := os.Remove(filepath.Join(dir, "guard", "starts"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}
