package metrics

import (
	"bytes"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// ticksPerSecond is the unit of times in /proc/self/stat, the same on every
// Linux that Go runs on (USER_HZ).
const ticksPerSecond = 100

// system writes what the kernel counts for the process (proc(5)). What cannot
// be read is left out.
func (w *Writer) system() {
	if stat, err := os.ReadFile("/proc/self/stat"); err == nil {
		w.stat(stat)
	}
	if fds, err := os.ReadDir("/proc/self/fd"); err == nil {
		w.Gauge("process_open_fds", "Open file descriptors.", float64(len(fds)-1)) // one is the reading's own
	}
	var limit unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_NOFILE, &limit) == nil {
		w.Gauge("process_max_fds", "How many file descriptors may be open.", float64(limit.Cur))
	}
	if io, err := os.ReadFile("/proc/self/io"); err == nil {
		if n, ok := field(io, "write_bytes:"); ok {
			w.Counter("process_io_storage_written_bytes_total", "Bytes that the process had written to storage.", n)
		}
	}
}

// stat reads the fields behind the program's name, which may hold anything.
func (w *Writer) stat(stat []byte) {
	end := bytes.LastIndexByte(stat, ')')
	if end < 0 {
		return
	}
	const utime, stime, vsize, rss = 11, 12, 20, 21 // counted from the state
	fields := bytes.Fields(stat[end+1:])
	if len(fields) <= rss {
		return
	}
	n := func(i int) float64 {
		v, _ := strconv.ParseFloat(string(fields[i]), 64)
		return v
	}
	w.sample("counter", "process_cpu_seconds_total", "CPU time used.", (n(utime)+n(stime))/ticksPerSecond, nil)
	w.Gauge("process_virtual_memory_bytes", "Address space.", n(vsize))
	w.Gauge("process_resident_memory_bytes", "Memory that is resident, mapped files included.", n(rss)*float64(os.Getpagesize()))
}

func field(text []byte, name string) (uint64, bool) {
	for line := range bytes.Lines(text) {
		if rest, ok := bytes.CutPrefix(line, []byte(name)); ok {
			n, err := strconv.ParseUint(string(bytes.TrimSpace(rest)), 10, 64)
			return n, err == nil
		}
	}
	return 0, false
}
