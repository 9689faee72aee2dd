package disk

import "os"

// names are those of the files in a folder, by their hashes. They are looked at
// and not the folder's time, which clocks make coarse and file systems late.
type names struct {
	buf        []byte
	known, now map[uint64]struct{}
}

func newNames() names {
	return names{buf: make([]byte, 8<<10), known: make(map[uint64]struct{}), now: make(map[uint64]struct{})}
}

// look reports whether there are names that are not known to be safe.
func (n *names) look(d *os.File) (fresh bool, err error) {
	clear(n.now)
	err = eachName(d, n.buf, func(name []byte) {
		h := uint64(14695981039346656037) // FNV-1a
		for _, c := range name {
			h = (h ^ uint64(c)) * 1099511628211
		}
		n.now[h] = struct{}{}
		if _, ok := n.known[h]; !ok {
			fresh = true
		}
	})
	if err == nil && !fresh {
		n.safe()
	}
	return fresh, err
}

// safe notes that what was looked at is synced.
func (n *names) safe() { n.known, n.now = n.now, n.known }
