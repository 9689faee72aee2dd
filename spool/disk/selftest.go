package disk

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// SelfTest is what Probe found out about a disk.
type SelfTest struct {
	Syncs            int
	Median, P99, Max time.Duration // of a write of 4 kB and its sync
	// BytesPerSync is what the device wrote for each; -1: unknown.
	BytesPerSync int64
	// FlashBlind: syncs were faster than any flash can be.
	FlashBlind bool
	// WriteBack tells what the kernel knows of a cache in the device; "" when
	// it does not say.
	WriteBack string
}

const (
	probeBytes = 4096
	// flashMin is less than the program time of one page of NAND flash: who is
	// faster has not written, but kept the bytes in a cache. A cache with a
	// battery is right to do so, a card is not.
	flashMin = 100 * time.Microsecond
)

// Probe writes and syncs a small file in dir n times and measures.
func Probe(dir string, n int) (r SelfTest, err error) {
	path := filepath.Join(dir, "leveret-selftest")
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return r, fmt.Errorf("selftest: %w", err)
	}
	defer func() { err = errors.Join(err, f.Close(), os.Remove(path)) }()
	page := make([]byte, probeBytes)
	before := readWrites(dir)
	took := make([]time.Duration, n)
	for i := range took {
		for k := range page {
			page[k] = byte(i*31 + k*7) // no two are alike
		}
		begun := time.Now()
		if _, err := f.Write(page); err != nil {
			return r, fmt.Errorf("selftest: %w", err)
		}
		if err := f.Sync(); err != nil {
			return r, fmt.Errorf("selftest: %w", err)
		}
		took[i] = time.Since(begun)
	}
	after := readWrites(dir)
	slices.Sort(took)
	r = SelfTest{Syncs: n, Median: took[n/2], P99: took[n*99/100], Max: took[n-1], BytesPerSync: -1, WriteBack: writeCache(dir)}
	if written := since(before.device, after.device); written >= 0 {
		r.BytesPerSync = written / int64(n)
	}
	r.FlashBlind = r.Median < flashMin
	return r, nil
}

// Verdict says in words how far the disk can be believed.
func (r SelfTest) Verdict() string {
	switch {
	case r.BytesPerSync == 0:
		return "SUSPECT: the device has written nothing for the syncs; what is confirmed may be lost in a power cut"
	case r.FlashBlind && r.WriteBack == "write through":
		return "SUSPECT: syncs are faster than flash can be, and the device says that it has no cache"
	case r.FlashBlind:
		return "UNSURE: syncs are faster than flash can be; that is right for a disk with a protected cache, and a lie of a card"
	}
	return "PLAUSIBLE: syncs take as long as flash needs; only a real power cut can prove more"
}
