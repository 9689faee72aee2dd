package disk

import (
	"bufio"
	"bytes"
	"os"
	"strconv"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Badger writes and reads its files through mappings and offers no way to
// advise the kernel about them. Without advice a small write makes whole large
// folios of the page cache dirty: ten times the bytes on the flash. So the
// mappings are looked up and advised from outside.
//
// No advice used here loses anything when a mapping has vanished meanwhile and
// its addresses are used for something else. Never use MADV_DONTNEED here: it
// would throw the heap away.

// adviseRandom turns readahead off for the mapped files of dir.
func adviseRandom(dir string) { advise(dir, unix.MADV_RANDOM) }

// pageOut asks the kernel to take the mapped files of dir out of memory while
// more than limit bytes of files are in it. It reports whether they were.
func pageOut(dir string, limit int64) bool {
	if residentFiles() <= limit {
		return false
	}
	advise(dir, unix.MADV_PAGEOUT)
	return true
}

func advise(dir string, advice int) {
	f, err := os.Open("/proc/self/maps")
	if err != nil {
		return // no /proc: the files work all the same
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	prefix := []byte(dir + "/")
	for lines.Scan() {
		line := lines.Bytes()
		i := bytes.IndexByte(line, '/')
		if i < 0 || !bytes.HasPrefix(line[i:], prefix) {
			continue
		}
		begin, end, ok := mapping(line)
		if ok {
			// An error means that the mapping is gone: nothing to advise.
			_, _, _ = unix.Syscall(unix.SYS_MADVISE, begin, end-begin, uintptr(advice))
		}
	}
}

// pull has mapped bytes read in one go, where touching them would take one
// read for each page, because readahead is off.
func pull(b []byte) {
	if len(b) >= pullMin {
		adviseOn(b, unix.MADV_WILLNEED) // without effect the pages come one by one
	}
}

// letPagesGo takes mapped bytes out of memory, with the rest of the pages that
// they begin and end in.
func letPagesGo(b []byte) { adviseOn(b, unix.MADV_PAGEOUT) }

// readAhead has the kernel begin to read a part of a file. Without effect it comes
// when it is wanted.
func readAhead(f *os.File, at, bytes int64) {
	_ = unix.Fadvise(int(f.Fd()), at, bytes, unix.FADV_WILLNEED)
}

func adviseOn(b []byte, advice int) {
	page := uintptr(os.Getpagesize())
	begin := uintptr(unsafe.Pointer(unsafe.SliceData(b)))
	end := (begin + uintptr(len(b)) + page - 1) &^ (page - 1)
	begin &^= page - 1
	_, _, _ = unix.Syscall(unix.SYS_MADVISE, begin, end-begin, uintptr(advice))
}

// mapping reads the addresses at the start of a line of maps.
func mapping(line []byte) (begin, end uintptr, ok bool) {
	from, rest, ok := bytes.Cut(line, []byte{'-'})
	if !ok {
		return 0, 0, false
	}
	to, _, ok := bytes.Cut(rest, []byte{' '})
	if !ok {
		return 0, 0, false
	}
	b, err := strconv.ParseUint(string(from), 16, strconv.IntSize)
	if err != nil {
		return 0, 0, false
	}
	e, err := strconv.ParseUint(string(to), 16, strconv.IntSize)
	return uintptr(b), uintptr(e), err == nil && e > b
}

// residentFiles is how much memory of this process is backed by files; 0 when
// nobody knows.
func residentFiles() int64 {
	b, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return 0
	}
	fields := bytes.Fields(b)
	if len(fields) < 3 {
		return 0
	}
	pages, err := strconv.ParseInt(string(fields[2]), 10, 64)
	if err != nil {
		return 0
	}
	return pages * int64(os.Getpagesize())
}
