package edge

import (
	"bytes"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"
)

// openStatm stays open: to read it again costs a microsecond or two.
func openStatm() *os.File {
	f, err := os.Open("/proc/self/statm")
	if err != nil {
		return nil
	}
	return f
}

// anonymous is the memory that is resident and belongs to no file; 0 is unknown.
func (g *memoryGauge) anonymous() int64 {
	if g.statm == nil {
		return 0
	}
	var buf [128]byte
	n, _ := g.statm.ReadAt(buf[:], 0)
	// size resident shared ..., in pages
	fields := bytes.Fields(buf[:n])
	if len(fields) < 3 {
		return 0
	}
	resident, err := strconv.ParseInt(string(fields[1]), 10, 64)
	shared, err2 := strconv.ParseInt(string(fields[2]), 10, 64)
	if err != nil || err2 != nil {
		return 0
	}
	return (resident - shared) * int64(os.Getpagesize())
}

// socketMemory is what the sockets of the process's control group hold: in
// version 2 it counts towards the group's limit, and what peers do not read
// cannot be taken back. 0 is none, or unknown.
func socketMemory(membership, mount string) int64 {
	data, err := os.ReadFile(membership)
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(data)) {
		group, v2 := strings.CutPrefix(strings.TrimSpace(line), "0::")
		if !v2 {
			continue
		}
		stat, err := os.ReadFile(filepath.Join(mount, path.Clean("/"+group), "memory.stat"))
		if err != nil {
			return 0
		}
		for line := range strings.Lines(string(stat)) {
			if value, ok := strings.CutPrefix(line, "sock "); ok {
				n, _ := strconv.ParseInt(strings.TrimSpace(value), 10, 64)
				return n
			}
		}
	}
	return 0
}
