package disk

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// CutFound is what a power cut left of a test that UntilCut began.
type CutFound struct {
	// SameBoot: the machine has not been started since.
	SameBoot bool
	// Unbegun: what was synced before all else is not there, or damaged.
	Unbegun bool
	// Gone: nothing is there at all.
	Gone bool
	// Newest is the highest number on the disk; 0: none.
	Newest uint64
	// Promised is the highest number that somebody saw or noted; 0: nobody did.
	Promised uint64
	// Ways tell of the records that must be there.
	Ways []CutWay
}

// CutWay is what became of the records that were written in one way.
type CutWay struct {
	Name                      string
	Checked, Missing, Damaged int
}

// ErrNoCut is returned where no test has left anything.
var ErrNoCut = errors.New("no test was begun here")

// AfterCut reads what a test in dir has left and removes nothing. witness is the
// name of its file, or ""; promised is the highest number that was seen, or 0.
func AfterCut(dir, witness string, promised uint64) (c CutFound, err error) {
	dir = filepath.Join(dir, cutFolder)
	c.Promised = promised
	var run uint64
	if witness != "" {
		noted, err := readWitness(witness)
		if err != nil {
			return c, fmt.Errorf("selftest: witness: %w", err)
		}
		run, c.Promised = noted.records, max(promised, noted.commits)
	}
	begun, err := readBegun(dir)
	switch {
	case err != nil:
		return c, fmt.Errorf("selftest: %w", err)
	case begun.run == 0:
		c.Unbegun = true
	case witness != "" && begun.run != run:
		return c, fmt.Errorf("selftest: witness %s tells of another test than the one in %s", witness, dir)
	default:
		run = begun.run
		c.SameBoot = begun.boot == bootID() && begun.boot != "-"
	}
	c.Gone = c.Unbegun && !anyIn(dir)
	if c.Gone && c.Promised == 0 {
		return c, fmt.Errorf("selftest: %w in %s, or the disk has lost all of it: that is told by the last number that was seen (--promised) or a witness",
			ErrNoCut, filepath.Dir(dir))
	}
	c.look(dir, run)
	return c, nil
}

// readBegun answers the zero value where what the file says is lost or damaged.
func readBegun(dir string) (cutBegun, error) {
	if _, err := os.Stat(filepath.Dir(dir)); err != nil {
		return cutBegun{}, err // the disk is not mounted, or it was another folder
	}
	text, err := os.ReadFile(filepath.Join(dir, "begun"))
	if errors.Is(err, fs.ErrPermission) {
		return cutBegun{}, err
	}
	b, ok := decodeBegun(text)
	if err != nil || !ok {
		return cutBegun{}, nil
	}
	return b, nil
}

// anyIn reports files that are made after all else.
func anyIn(dir string) bool {
	list, err := os.ReadDir(dir)
	for _, f := range list {
		if f.Name() != "begun.new" { // the first of all names
			return true
		}
	}
	return err != nil && !errors.Is(err, fs.ErrNotExist)
}

func readWitness(path string) (mark, error) {
	f, err := os.Open(path)
	if err != nil {
		return mark{}, err
	}
	defer f.Close()
	m, _, err := newestMark(f, markSlot)
	if err == nil && m.records == 0 {
		err = fmt.Errorf("%s is none, or damaged", path)
	}
	return m, err
}

// look compares what must be there with what is.
func (c *CutFound) look(dir string, run uint64) {
	all := make([]cutContent, len(cutWays))
	for i, w := range cutWays {
		all[i] = readCutWay(w, dir, i, run)
		for n := range all[i].sound {
			c.Newest = max(c.Newest, n)
		}
	}
	// The record after the last one may have been under way, and nothing after it.
	top := max(c.Newest, c.Promised)
	for i, w := range cutWays {
		found := CutWay{Name: w.name}
		for _, n := range mustBe(i, w, top) {
			found.Checked++
			if all[i].sound[n] {
				continue
			}
			_, k := cutPlace(n)
			if all[i].torn[k%(w.files*w.slots)] {
				found.Damaged++
			} else {
				found.Missing++
			}
		}
		c.Ways = append(c.Ways, found)
	}
}

// mustBe lists the numbers of a way that are on an honest disk when all up to top
// were synced and top+1 may have been begun.
func mustBe(i int, w cutWay, top uint64) (numbers []uint64) {
	if cutNumber(i, 0) > top {
		return nil
	}
	begun := (top + 1 - cutNumber(i, 0)) / uint64(len(cutWays)) // the last of this way
	for k := begun - min(begun, w.keeps); k <= begun; k++ {
		if n := cutNumber(i, k); n <= top {
			numbers = append(numbers, n)
		}
	}
	return numbers
}

// cutContent is what is in the files of a way.
type cutContent struct {
	sound map[uint64]bool // numbers of records
	torn  map[uint64]bool // places with something else
}

func readCutWay(w cutWay, dir string, way int, run uint64) cutContent {
	c := cutContent{map[uint64]bool{}, map[uint64]bool{}}
	b, zeros := make([]byte, w.bytes), make([]byte, w.bytes)
	for file := range w.files {
		f, err := os.Open(w.path(dir, file))
		if err != nil {
			continue // each of its records is missed
		}
		for slot := range w.slots {
			place := file*w.slots + slot
			clear(b)
			n, err := f.ReadAt(b, int64(slot)*w.step)
			number := cutRecordNumber(run, b)
			at, k := cutPlace(number)
			switch {
			case number > 0 && at == way && k%(w.files*w.slots) == place:
				c.sound[number] = true
			case !bytes.Equal(b[:n], zeros[:n]), err != nil && !errors.Is(err, io.EOF):
				c.torn[place] = true
			}
		}
		f.Close() // it was only read
	}
	return c
}

// Kept reports that all is there that must be.
func (c CutFound) Kept() bool {
	if c.Unbegun {
		return false
	}
	for _, w := range c.Ways {
		if w.Missing+w.Damaged > 0 {
			return false
		}
	}
	return true
}
