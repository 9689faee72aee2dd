package disk

const (
	refPageSize = 1024
	refParts    = 1 << 31 // the chunk has further parts
	refPresent  = 1 << 30 // recovery: the chunk's key is there
	refCount    = refPresent - 1
)

// refs counts for each chunk the index entries that refer to it: 4 bytes a
// chunk, in pages that go when all their chunks are gone.
type refs struct {
	pages map[uint64]*refPage
}

type refPage struct {
	n    [refPageSize]uint32
	used int
}

func newRefs() refs { return refs{pages: make(map[uint64]*refPage)} }

func (r refs) get(chunk uint64) uint32 {
	if p := r.pages[chunk/refPageSize]; p != nil {
		return p.n[chunk%refPageSize]
	}
	return 0
}

func (r refs) set(chunk uint64, v uint32) {
	p := r.pages[chunk/refPageSize]
	if p == nil {
		if v == 0 {
			return
		}
		p = new(refPage)
		r.pages[chunk/refPageSize] = p
	}
	old := &p.n[chunk%refPageSize]
	switch {
	case *old == 0 && v != 0:
		p.used++
	case *old != 0 && v == 0:
		p.used--
	}
	*old = v
	if p.used == 0 {
		delete(r.pages, chunk/refPageSize)
	}
}

// drop takes one reference away. last reports that none is left; the chunk is
// then forgotten.
func (r refs) drop(chunk uint64) (last, parts bool) {
	v := r.get(chunk)
	if v&refCount > 1 {
		r.set(chunk, v-1)
		return false, false
	}
	r.set(chunk, 0)
	return v&refCount == 1, v&refParts != 0
}
