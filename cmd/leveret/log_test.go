package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"syscall"
	"testing"

	"leveret/edge/config"
	"leveret/spool"
)

// written gives what f writes into a file, as the journal's connection or not.
func written(t *testing.T, journal bool, f func(*os.File)) string {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	var stat syscall.Stat_t
	if err := syscall.Fstat(int(w.Fd()), &stat); err != nil {
		t.Fatal(err)
	}
	stream := fmt.Sprintf("%d:%d", stat.Dev, stat.Ino+1) // inherited, of another file
	if journal {
		stream = fmt.Sprintf("%d:%d", stat.Dev, stat.Ino)
	}
	t.Setenv("JOURNAL_STREAM", stream)
	f(w)
	w.Close()
	text, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func logAll(log *slog.Logger) {
	log = log.With("part", "test")
	log.Debug("one")
	log.Info("two\nlines", "level", "kept")
	log.WithGroup("g").Warn("three", "time", 3)
	log.Error("four")
}

func TestJournalLines(t *testing.T) {
	got := written(t, true, func(f *os.File) {
		log, level := newLogger(f, slog.LevelInfo)
		logAll(log)
		level.Set(slog.LevelDebug)
		log.Debug("five")
	})
	want := `<6>msg="two\nlines" part=test
<4>msg=three part=test g.time=3
<3>msg=four part=test
<7>msg=five
`
	if got != want {
		t.Errorf("the journal gets\n%s\nwant\n%s", got, want)
	}
}

func TestTerminalLines(t *testing.T) {
	got := written(t, false, func(f *os.File) {
		log, _ := newLogger(f, slog.LevelWarn)
		logAll(log)
	})
	lines := strings.Split(strings.TrimSpace(got), "\n")
	if len(lines) != 2 || !strings.HasPrefix(lines[0], "time=") || !strings.Contains(lines[0], "level=WARN msg=three") {
		t.Errorf("a terminal gets\n%s", got)
	}
}

func TestExitCodes(t *testing.T) {
	for _, c := range []struct {
		err  error
		want int
	}{
		{nil, 0},
		{errors.New("x"), 1},
		{usageErrorf("x"), 2},
		{fmt.Errorf("open: %w", spool.ErrLocked), 75},
		{fmt.Errorf("open: %w", spool.ErrNewer), 78},
		{config.Problems{{Text: "x"}}, 78},
		{fmt.Errorf("%w: x", spool.ErrFailed), 1},
	} {
		if got := exitCode(c.err); got != c.want {
			t.Errorf("exitCode(%v) = %d, want %d", c.err, got, c.want)
		}
	}
}

func TestReport(t *testing.T) {
	problems := config.Problems{{File: "f", Line: 1, Column: 2, Text: "x"}, {File: "f", Line: 3, Column: 4, Key: "k", Text: "y"}}
	for _, c := range []struct {
		err     error
		journal bool
		want    string
	}{
		{errors.New("x"), false, "leveret: x\n"},
		{errors.New("x"), true, "<3>leveret: x\n"},
		{problems, false, "f:1:2: x\nf:3:4: k: y\n"},
		{problems, true, "<3>f:1:2: x\n<3>f:3:4: k: y\n"},
		{usageErrorf("x"), false, "leveret: x\nsee \"leveret run --help\"\n"},
	} {
		if got := written(t, c.journal, func(f *os.File) { report(f, "leveret run", c.err) }); got != c.want {
			t.Errorf("report(%v) = %q, want %q", c.err, got, c.want)
		}
	}
}

func TestPrintable(t *testing.T) {
	for text, want := range map[string]string{
		"plain": "plain", "plän 7": "plän 7", "a\x1b[2Jb": `"a\x1b[2Jb"`, "a\nb": `"a\nb"`, "a\tb": `"a\tb"`, "\u202e": `"\u202e"`,
	} {
		if got := printable(text); got != want {
			t.Errorf("printable(%q) = %s, want %s", text, got, want)
		}
	}
	var out bytes.Buffer
	s := newSheet("A", "B")
	s.print(&out)
	s.row("x\x00", byteCount(1536<<10))
	s.print(&out)
	if want := "\nA        B\n\"x\\x00\"  1.5 MiB\n"; out.String() != want {
		t.Errorf("the sheet is %q, want %q", out.String(), want)
	}
}
