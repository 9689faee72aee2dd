package config

import (
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// AvailableMemory is how many bytes this process may use: the least of the
// machine's memory and the limits of its control groups. 0 is unknown.
//
// It does not read /proc/meminfo, which a service's sandbox may hide.
func AvailableMemory() int64 {
	memory := groupMemory("/proc/self/cgroup", "/sys/fs/cgroup")
	var info syscall.Sysinfo_t
	if syscall.Sysinfo(&info) != nil {
		return memory
	}
	machine := int64(info.Totalram) * int64(info.Unit)
	if memory == 0 {
		return machine
	}
	return min(memory, machine)
}

// groupMemory is the least limit of the control groups that membership (the
// file) names below mount, for version 2 and version 1; 0 is none.
func groupMemory(membership, mount string) int64 {
	data, err := os.ReadFile(membership)
	if err != nil {
		return 0
	}
	least := int64(0)
	note := func(file string) {
		text, err := os.ReadFile(file)
		if err != nil {
			return
		}
		n, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64) // "max" is none
		if err == nil && n > 0 && (least == 0 || n < least) {
			least = n
		}
	}
	for line := range strings.Lines(string(data)) {
		// hierarchy:controllers:path
		parts := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(parts) != 3 {
			continue
		}
		// A limit holds for all the groups below it, so the way up counts.
		for group := path.Clean("/" + parts[2]); ; group = path.Dir(group) {
			switch parts[1] {
			case "":
				note(filepath.Join(mount, group, "memory.max"))
				note(filepath.Join(mount, group, "memory.high"))
			case "memory":
				note(filepath.Join(mount, "memory", group, "memory.limit_in_bytes"))
			}
			if group == "/" {
				break
			}
		}
	}
	return least
}
