package disk

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
)

// UntilCut finds out what no measurement tells: whether the disk has what it said
// to have synced when the power goes. It writes numbered records, one after the
// other, each in one of the ways in which the spool writes; none is begun before
// the one before it was synced. So whatever a power cut leaves must be without a
// gap, even to one who knows nothing else: where a record is there, a disk that
// is honest has all before it. A disk that loses everything from some moment on
// leaves no gap. It is found out only by a witness that the cut spares: the
// numbers on the operator's screen, or a file on another disk.
//
// The folder cutFolder holds
//
//	begun          text: run, boot, crc of both; synced before all else
//	append-0, -1   records, one after the other; each file is begun anew in turn
//	mapped         records in places of their own, over and over
//	preallocated   the same, of several pages each
//	renamed-0 ...  one record each
//
// and never more than a megabyte. Each file of zeros was written and synced before
// the first record, so that a full volume cannot end the process.
type UntilCut struct {
	dir     string
	run     uint64 // tells this test from all others
	next    uint64 // number of the record that comes
	ways    []cutWriter
	witness *highWater // nil: none
}

const cutFolder = "leveret-until-cut"

// BeginUntilCut makes the files of a test in dir, and the witness, the name of a
// file, unless it is "".
func BeginUntilCut(dir, witness string) (u *UntilCut, err error) {
	var random [8]byte
	rand.Read(random[:])
	u = &UntilCut{dir: filepath.Join(dir, cutFolder), run: be.Uint64(random[:]) | 1, next: 1} // 0 would be zeros
	if err := u.vacant(dir, witness); err != nil {
		return nil, fmt.Errorf("selftest: %w", err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("selftest: %w", err), u.Close(), RemoveCut(dir, witness))
		}
	}()
	if err := makeFolder(osFiles{}, u.dir); err != nil {
		return u, err
	}
	if err := keep(osFiles{}, filepath.Join(u.dir, "begun"), cutBegun{u.run, bootID()}.encode()); err != nil {
		return u, err
	}
	if witness != "" {
		f, err := (osFiles{}).edit(witness)
		if err != nil {
			return u, err
		}
		u.witness = &highWater{f: f}
		if err := errors.Join(u.witness.note(mark{records: u.run}), syncFolder(filepath.Dir(witness))); err != nil {
			return u, fmt.Errorf("witness: %w", err)
		}
	}
	for _, w := range cutWays {
		writer, err := w.open(w, u.dir)
		if err != nil {
			return u, err
		}
		u.ways = append(u.ways, writer)
	}
	return u, syncFolder(u.dir)
}

// vacant makes sure that nothing is overwritten, and that the witness is not cut
// off with what it shall tell of.
func (u *UntilCut) vacant(dir, witness string) error {
	if info, err := os.Stat(dir); err != nil {
		return fmt.Errorf("%w: make the folder first, or name another one on that disk", err)
	} else if !info.IsDir() {
		return fmt.Errorf("%s is no folder", dir)
	}
	if _, err := os.Lstat(u.dir); !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s is there: an earlier test was not looked at; do that with --after-cut, or remove the folder", u.dir)
	}
	if witness == "" {
		return nil
	}
	if _, err := os.Lstat(witness); !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("witness %s is there already: name a new file", witness)
	}
	if sameDisk(dir, filepath.Dir(witness)) {
		return fmt.Errorf("witness %s is on the disk that it shall tell of: put it on another one", witness)
	}
	return nil
}

// Run writes until ctx ends or the disk fails. It calls told with each number
// that is promised, in its own goroutine; another one, which ends with Run, brings
// the newest of them to the witness.
func (u *UntilCut) Run(ctx context.Context, told func(uint64)) error {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	newest := make(chan uint64, 1)
	var wg sync.WaitGroup
	wg.Go(func() { stop(u.testify(newest)) })
	err := u.write(ctx, func(number uint64) {
		select { // what the witness has not taken is out of date
		case <-newest:
		default:
		}
		newest <- number
		told(number)
	})
	close(newest)
	wg.Wait()
	return err
}

// testify notes numbers until there are no more. How long the witness's own disk
// takes does not hold up the one that is tried.
func (u *UntilCut) testify(numbers <-chan uint64) error {
	for n := range numbers {
		if u.witness == nil {
			continue
		}
		if err := u.witness.note(mark{commits: n, records: u.run}); err != nil {
			return fmt.Errorf("selftest: witness: %w", err)
		}
	}
	return nil
}

func (u *UntilCut) write(ctx context.Context, promised func(uint64)) error {
	for ; ctx.Err() == nil; u.next++ {
		i, k := cutPlace(u.next)
		if err := u.ways[i].write(k, cutRecord(u.run, u.next, cutWays[i].bytes)); err != nil {
			return fmt.Errorf("selftest: record %d: %s: %w", u.next, cutWays[i].name, err)
		}
		promised(u.next)
	}
	return context.Cause(ctx)
}

// Close lets go of the files and leaves them there.
func (u *UntilCut) Close() error {
	var errs []error
	for _, w := range u.ways {
		errs = append(errs, w.close())
	}
	if u.witness != nil {
		errs = append(errs, u.witness.close())
	}
	u.ways, u.witness = nil, nil
	return errors.Join(errs...)
}

// RemoveCut removes what a test left.
func RemoveCut(dir, witness string) error {
	err := os.RemoveAll(filepath.Join(dir, cutFolder))
	if witness != "" {
		if gone := os.Remove(witness); !errors.Is(gone, fs.ErrNotExist) {
			err = errors.Join(err, gone)
		}
	}
	if err != nil {
		return fmt.Errorf("selftest: remove what is left: %w", err)
	}
	return nil
}

// cutBegun is what the file "begun" says.
type cutBegun struct {
	run  uint64
	boot string
}

func (b cutBegun) encode() []byte {
	text := fmt.Appendf(nil, "%016x %s", b.run, b.boot)
	return fmt.Appendf(text, " %08x\n", crc32.Checksum(text, castagnoli))
}

// decodeBegun reports false when it is damaged.
func decodeBegun(text []byte) (b cutBegun, ok bool) {
	words := strings.Fields(string(text))
	if len(words) < 2 {
		return b, false
	}
	run, err := strconv.ParseUint(words[0], 16, 64)
	if err != nil {
		return b, false
	}
	b = cutBegun{run, words[1]}
	return b, string(b.encode()) == string(text)
}
