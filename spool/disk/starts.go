package disk

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// A panic in one of Badger's goroutines ends the process and cannot be caught,
// and the next start would meet the same bytes. So starts are counted before
// Badger is opened, and a folder that failed too often is set aside: an empty
// spool that serves is worth more than a full one that does not.

const (
	// startsMax is how many starts in a row may fail.
	startsMax = 2
	// asideMax bounds the folders that were set aside. They hold what was
	// confirmed, so none is ever deleted; beyond it the start fails.
	asideMax  = 4
	asideMark = ".bad-" // between the folder's name and the time
	// settledAfter is how long a store has run when its start was good.
	settledAfter = time.Minute
)

// starts is the counter. Its file holds the boot, a phase, and how many starts
// of that boot have failed so far, this one included.
type starts struct {
	on     ground
	dir    string
	boot   string
	failed int
	phase  string
}

const (
	phaseOpening = "opening" // died while Badger was being opened
	phaseOpen    = "open"    // died later
)

// readStarts tells what became of the starts before this one. Only those of
// the same boot count: a power cut says nothing against the files. crashed
// tells that the last process ended by a mistake in the store and not by a
// signal, so that its start was a failure even though the spool did open.
func readStarts(on ground, dir string, crashed bool) starts {
	s := starts{on: on, dir: dir, boot: on.boot()}
	b, err := on.read(guardFile(dir, "starts"))
	if err != nil {
		return s // none yet
	}
	var boot, phase string
	var failed int
	if _, err := fmt.Sscan(string(b), &boot, &phase, &failed); err != nil || boot != s.boot {
		return s
	}
	if phase == phaseOpening || crashed {
		s.failed = failed
	}
	return s
}

func (s *starts) spent() bool { return s.failed >= startsMax }

// begin counts a start as failed until it is proven good.
func (s *starts) begin() error {
	s.failed++
	return s.note(phaseOpening)
}

// opened notes that Badger is open.
func (s *starts) opened() error { return s.note(phaseOpen) }

// forget takes this start back: it failed for a reason that is none of the
// spool's.
func (s *starts) forget() error {
	s.failed--
	return s.note(phaseOpening)
}

// good forgets all failures.
func (s *starts) good() error {
	was := s.failed
	if was == 0 {
		return nil
	}
	s.failed = 0
	err := s.note(phaseOpen)
	if err != nil {
		s.failed = was // so that it is tried again
	}
	return err
}

func (s *starts) note(phase string) error {
	s.phase = phase
	return keep(s.on, guardFile(s.dir, "starts"), fmt.Appendf(nil, "%s %s %d\n", s.boot, phase, s.failed))
}

// bootID tells boots apart; "-" where the kernel does not say.
func bootID() string {
	b, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if id := strings.TrimSpace(string(b)); err == nil && id != "" {
		return id
	}
	return "-"
}

// setAside renames the folder and makes an empty one in its place.
func setAside(on files, dir string, now time.Time) (to string, err error) {
	dir = filepath.Clean(dir)
	beside, err := on.list(filepath.Dir(dir))
	if err != nil {
		return "", fmt.Errorf("set spool aside: %w", err)
	}
	earlier := 0
	for name := range beside {
		if strings.HasPrefix(name, filepath.Base(dir)+asideMark) {
			earlier++
		}
	}
	if earlier >= asideMax {
		return "", fmt.Errorf("spool %s failed %d times, and %d spools stand aside already: look at the disk, and salvage or remove them",
			dir, startsMax, earlier)
	}
	to = dir + asideMark + now.UTC().Format("20060102-150405")
	if _, there := beside[filepath.Base(to)]; there {
		to += fmt.Sprintf("-%d", earlier)
	}
	if err := on.rename(dir, to); err != nil {
		return "", fmt.Errorf("set spool aside: %w", err)
	}
	return to, errors.Join(on.mkdir(dir), on.syncFolder(filepath.Dir(dir)))
}
