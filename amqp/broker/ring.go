package broker

// ring is a double-ended queue in one slice that grows by doubling. It gives
// memory back when it is emptied after having been large.
type ring[T any] struct {
	buf  []T
	head int
	n    int
}

const ringKeep = 512 // elements of memory that an emptied ring keeps

func (r *ring[T]) len() int    { return r.n }
func (r *ring[T]) at(i int) *T { return &r.buf[(r.head+i)&(len(r.buf)-1)] }
func (r *ring[T]) front() *T   { return r.at(0) }
func (r *ring[T]) back() *T    { return r.at(r.n - 1) }

func (r *ring[T]) pushBack(v T) {
	r.grow()
	r.n++
	*r.back() = v
}

func (r *ring[T]) pushFront(v T) {
	r.grow()
	r.head = (r.head - 1) & (len(r.buf) - 1)
	r.n++
	*r.front() = v
}

func (r *ring[T]) popFront() T {
	var zero T
	v := *r.front()
	*r.front() = zero
	r.head = (r.head + 1) & (len(r.buf) - 1)
	r.n--
	if r.n == 0 {
		r.head = 0
		if len(r.buf) > ringKeep {
			r.buf = nil
		}
	}
	return v
}

func (r *ring[T]) popBack() T {
	var zero T
	v := *r.back()
	*r.back() = zero
	r.n--
	return v
}

// search finds an element in a ring that is sorted by what cmp compares to.
func (r *ring[T]) search(cmp func(*T) int) (int, bool) {
	lo, hi := 0, r.n
	for lo < hi {
		if mid := (lo + hi) / 2; cmp(r.at(mid)) < 0 {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	return lo, lo < r.n && cmp(r.at(lo)) == 0
}

// insert puts v before the element at i.
func (r *ring[T]) insert(i int, v T) {
	r.pushBack(v)
	for j := r.n - 1; j > i; j-- {
		*r.at(j) = *r.at(j - 1)
	}
	*r.at(i) = v
}

// remove takes the element at i out.
func (r *ring[T]) remove(i int) {
	for ; i > 0; i-- {
		*r.at(i) = *r.at(i - 1)
	}
	r.popFront()
}

func (r *ring[T]) grow() {
	if r.n < len(r.buf) {
		return
	}
	bigger := make([]T, max(8, 2*len(r.buf)))
	for i := range r.n {
		bigger[i] = *r.at(i)
	}
	r.buf, r.head = bigger, 0
}
