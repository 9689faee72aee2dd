package amqptest

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestWhatIsShownIsThere reads the table of what shows each feature: every row
// names something, and everything named is there.
func TestWhatIsShownIsThere(t *testing.T) {
	const root = "../.."
	text, err := os.ReadFile(filepath.Join(root, ".ci/amqp091.md"))
	if err != nil {
		t.Fatal(err)
	}
	tests := testsBelow(t, root)
	named := regexp.MustCompile("`([^`]+)`")
	rows := 0
	for line := range strings.Lines(string(text)) {
		cells := strings.Split(strings.TrimSpace(line), " | ")
		if len(cells) != 2 || cells[0] == "| what" || strings.HasPrefix(cells[0], "| ---") {
			continue
		}
		rows++
		refs := named.FindAllStringSubmatch(cells[1], -1)
		if len(refs) == 0 {
			t.Errorf("%q names nothing", line)
		}
		for _, ref := range refs {
			if !there(t, root, tests, ref[1]) {
				t.Errorf("%s: there is no %s", strings.TrimPrefix(cells[0], "| "), ref[1])
			}
		}
	}
	if rows < 80 {
		t.Errorf("the table has %d rows", rows)
	}
}

func there(t *testing.T, root string, tests map[string]bool, ref string) bool {
	switch {
	case strings.HasPrefix(ref, "Test"):
		return tests[ref]
	case strings.HasSuffix(ref, ".txt"):
		_, err := os.Stat(filepath.Join(root, "amqp/broker/testdata", ref))
		return err == nil
	}
	pattern := "^" + strings.ReplaceAll(regexp.QuoteMeta(ref), `\*`, ".*") + "$"
	like, err := regexp.Compile(pattern)
	if err != nil {
		t.Fatal(err)
	}
	return slices.ContainsFunc(All(), func(c Conversation) bool { return like.MatchString(c.Name) })
}

// testsBelow are the names of all test functions.
func testsBelow(t *testing.T, root string) map[string]bool {
	found := make(map[string]bool)
	declared := regexp.MustCompile(`(?m)^func (Test\w+)\(`)
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && d.Name() != ".ci" && d.Name() != ".." && strings.HasPrefix(d.Name(), "."):
			return fs.SkipDir
		case !strings.HasSuffix(path, "_test.go"):
			return nil
		}
		text, err := os.ReadFile(path)
		for _, m := range declared.FindAllSubmatch(text, -1) {
			found[string(m[1])] = true
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}
