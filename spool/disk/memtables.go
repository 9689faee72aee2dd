package disk

import (
	"fmt"
	"os"
)

// memTableSize is that of the options, or for this one life a larger one: Badger
// reads each log that a crash left into a memtable of the size it is opened with,
// and ends the process when that is too small. So it is after the profile, or what
// this version takes it for, has become smaller.
func (o *Options) memTableSize() (int64, error) {
	logs, _, err := logsToHold(o.Dir)
	if err != nil {
		return 0, err
	}
	size := o.MemTableSize
	for _, path := range logs {
		info, err := os.Stat(path)
		if err != nil {
			return 0, fmt.Errorf("look at log: %w", err)
		}
		size = max(size, memTableOf(info.Size()))
	}
	return size, nil
}

// memTableOf is the size of the memtable that a log of some bytes belongs to. It is
// made twice as large; one that an opening has cut to what it holds, which leaves no
// full megabytes, may have filled it all.
func memTableOf(log int64) int64 {
	if log%(1<<20) == 0 {
		return log / 2
	}
	return log
}
