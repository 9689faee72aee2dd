package interop

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"
)

const (
	// secondTriesMax is how many cases of a suite may be tried again: when more
	// fail it is not the machine.
	secondTriesMax = 5

	downloadTries = 3
	downloadPause = 5 * time.Second
)

// goSuite is the tests that another module has for itself, which are cases of
// ours.
type goSuite struct {
	dir   string
	env   []string
	args  []string // of go test, before the package
	limit time.Duration
	cases int // at least so many of its tests run, or they were not found
}

// goTestCase is one top-level test, example or fuzz target of another module.
type goTestCase struct {
	verdict string // pass, fail, skip; empty if it never ended
	output  strings.Builder
}

// check runs the suite. Its tests have limits of time of their own, which a
// machine that is busy for a moment breaks: those that failed are run once more,
// alone, and it is said when they pass then.
func (s goSuite) check(t *testing.T) {
	t.Helper()
	// What it needs is here before its time is measured.
	_, err := goCommand(s.dir, s.env, append([]string{"list", "-deps", "-test"}, s.buildArgs()...)...)
	must(t, err)
	cases, code, out := s.run(t)
	failed := failedCases(cases)
	switch {
	case code == 0:
	case len(cases) < s.cases: // it died on its way
		secondTry(t, "the whole suite", fmt.Sprintf("not passed: %q\n%s", failed, tailOf(out)))
		cases, code, out = s.run(t)
	case len(failed) <= secondTriesMax:
		var again map[string]*goTestCase
		again, code, out = s.run(t, "-run=^("+strings.Join(failed, "|")+")$")
		for _, name := range failed {
			if c := again[name]; c != nil && c.verdict == "pass" {
				secondTry(t, name, cases[name].output.String())
				cases[name] = c
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(cases)) {
		t.Run(name, func(t *testing.T) {
			if c := cases[name]; c.verdict != "pass" {
				t.Errorf("verdict %q:\n%s", c.verdict, c.output.String())
			}
		})
	}
	if len(cases) < s.cases {
		t.Errorf("%d tests ran, want at least %d", len(cases), s.cases)
	}
	if code != 0 {
		t.Errorf("go test ended with code %d:\n%s", code, tailOf(out))
	}
}

func (s goSuite) buildArgs() (build []string) {
	for _, arg := range s.args {
		if strings.HasPrefix(arg, "-mod=") || strings.HasPrefix(arg, "-tags=") {
			build = append(build, arg)
		}
	}
	return append(build, ".")
}

func (s goSuite) run(t *testing.T, more ...string) (cases map[string]*goTestCase, code int, out string) {
	t.Helper()
	// A test that stands still is ended by go test itself, which says where.
	args := slices.Concat([]string{"test", "-count=1", "-json", fmt.Sprint("-timeout=", s.limit/2)}, s.args, more, []string{"."})
	cmd := exec.Command("go", args...)
	cmd.Dir, cmd.Env = s.dir, append(os.Environ(), s.env...)
	out, code = runCommand(t, s.limit, "", cmd)
	return goTestCases(out), code, out
}

// goTestCases reads what `go test -json` wrote. A test inside a test counts
// for the one around it.
func goTestCases(out string) map[string]*goTestCase {
	cases := map[string]*goTestCase{}
	for line := range strings.Lines(out) {
		var event struct{ Action, Test, Output string }
		if json.Unmarshal([]byte(line), &event) != nil || event.Test == "" {
			continue // the compiler's words, or those of the package as a whole
		}
		name, _, inner := strings.Cut(event.Test, "/")
		c := cases[name]
		if c == nil {
			c = &goTestCase{}
			cases[name] = c
		}
		switch event.Action {
		case "output":
			c.output.WriteString(event.Output)
		case "pass", "fail", "skip":
			if !inner {
				c.verdict = event.Action
			}
		}
	}
	return cases
}

func failedCases(cases map[string]*goTestCase) (names []string) {
	for _, name := range slices.Sorted(maps.Keys(cases)) {
		if cases[name].verdict != "pass" {
			names = append(names, name)
		}
	}
	return names
}

// secondTry says for everybody to see that a case of somebody else's suite passed
// only when it was tried again. Nothing that shows what is promised about data
// has a second try.
func secondTry(t *testing.T, name, first string) {
	t.Helper()
	t.Logf("SECOND TRY: %s of %s failed at first and was tried again; it had said:\n%s", name, t.Name(), first)
}

// tailOf is the end of a program's long output.
func tailOf(out string) string {
	lines := strings.Split(strings.TrimSpace(out), "\n")
	return strings.Join(lines[max(0, len(lines)-tailLinesMax):], "\n")
}

// goCommand runs the go command where it may have to ask for modules, which now
// and then takes more than one try, and returns what it wrote.
func goCommand(dir string, env []string, args ...string) (out []byte, err error) {
	for try := range downloadTries {
		if try > 0 {
			time.Sleep(downloadPause)
		}
		cmd := exec.Command("go", args...)
		cmd.Dir, cmd.Env = dir, append(os.Environ(), env...)
		if out, err = cmd.Output(); err == nil {
			return out, nil
		}
		said := ""
		if exit, ok := errors.AsType[*exec.ExitError](err); ok {
			said = string(exit.Stderr)
		}
		err = fmt.Errorf("go %s in %s: %w: %s%s", strings.Join(args, " "), dir, err, out, said)
	}
	return nil, err
}
