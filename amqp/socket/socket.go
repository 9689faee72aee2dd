// Package socket lets a connection cost little while nothing happens. A read
// waits for bytes before it takes memory for them, so that an idle connection
// holds no buffer; and a write may be tried without waiting, so that whoever has
// something to say can say it itself and no other goroutine is woken for it.
//
// Both need a socket of the kernel. For any other connection, such as TLS or
// WebSocket, [Of] gives one that reads and writes as it always did.
package socket

import (
	"io"
	"math/bits"
	"net"
	"os"
	"sync"
	"syscall"
)

// Socket is a connection. One goroutine may read while another writes.
type Socket struct {
	net.Conn
	raw syscall.RawConn // nil: not a socket of the kernel

	// The read and the write under way; the functions are made once.
	in        transfer
	size      int
	out       transfer
	tryRead   func(fd uintptr) bool
	tryToSend func(fd uintptr) bool
}

type transfer struct {
	buf []byte
	n   int
	err error
}

// Of makes a socket of a connection.
func Of(nc net.Conn) *Socket {
	s := &Socket{Conn: nc}
	if k, ok := nc.(syscall.Conn); ok {
		if raw, err := k.SyscallConn(); err == nil {
			s.raw = raw
		}
	}
	s.tryRead, s.tryToSend = s.readNow, s.writeNow
	return s
}

// Direct reports whether Try can send anything.
func (s *Socket) Direct() bool { return s.raw != nil }

// ReadLent waits for bytes, then lends a buffer of size octets, rounded up to a
// power of two, that n of them have been read into. GiveBack takes it back. With
// an error there is no buffer.
func (s *Socket) ReadLent(size int) (buf []byte, n int, err error) {
	if s.raw == nil {
		buf = lend(size)
		if n, err = s.Read(buf); n == 0 {
			s.GiveBack(buf)
			return nil, 0, err
		}
		return buf, n, nil // an error will come again
	}
	s.size = size
	err = s.raw.Read(s.tryRead)
	got := s.in
	s.in = transfer{}
	switch {
	case err != nil: // from the wait: a deadline, or the end of the socket
		return nil, 0, err
	case got.err != nil:
		return nil, 0, &net.OpError{Op: "read", Net: s.LocalAddr().Network(), Source: s.LocalAddr(), Addr: s.RemoteAddr(), Err: got.err}
	case got.n == 0:
		return nil, 0, io.EOF
	}
	return got.buf, got.n, nil
}

// readNow reads what is there; false is that nothing is.
func (s *Socket) readNow(fd uintptr) bool {
	buf := lend(s.size)
	n, err := retried(syscall.Read, fd, buf)
	if n > 0 {
		s.in = transfer{buf: buf, n: n}
		return true
	}
	s.GiveBack(buf)
	if err == syscall.EAGAIN {
		return false
	}
	s.in = transfer{err: syscallError("read", err)}
	return true
}

// Try sends as much of b as can go without waiting. An error other than a full
// socket will show at the next Write too.
func (s *Socket) Try(b []byte) (n int, err error) {
	if s.raw == nil {
		return 0, nil
	}
	s.out.buf = b
	err = s.raw.Write(s.tryToSend)
	done := s.out
	s.out = transfer{}
	if err == nil {
		err = done.err
	}
	return done.n, err
}

func (s *Socket) writeNow(fd uintptr) bool {
	n, err := retried(syscall.Write, fd, s.out.buf)
	s.out.n = max(n, 0)
	if err != syscall.EAGAIN {
		s.out.err = syscallError("write", err)
	}
	return true
}

func retried(call func(int, []byte) (int, error), fd uintptr, b []byte) (n int, err error) {
	for {
		if n, err = call(int(fd), b); err != syscall.EINTR {
			return n, err
		}
	}
}

// syscallError is nil for no error, which os.NewSyscallError is not sure of
// when it is given a typed one.
func syscallError(call string, err error) error {
	if err == nil {
		return nil
	}
	return os.NewSyscallError(call, err)
}

// Buffers are pooled by their size, a power of two.
const (
	lentBitsMin = 10 // 1 KiB
	lentBitsMax = 16 // 64 KiB; larger ones are not kept
)

var pools [lentBitsMax - lentBitsMin + 1]sync.Pool

// lend gives a buffer of at least size octets.
func lend(size int) []byte {
	class := max(bits.Len(uint(size-1)), lentBitsMin)
	if class > lentBitsMax {
		return make([]byte, size)
	}
	if p, ok := pools[class-lentBitsMin].Get().(*byte); ok {
		return sliceOf(p, 1<<class)
	}
	return make([]byte, 1<<class)
}

// GiveBack takes a buffer that nobody uses any more. It may come from elsewhere.
func (s *Socket) GiveBack(buf []byte) {
	size := cap(buf)
	class := bits.Len(uint(size)) - 1
	if size == 0 || size != 1<<class || class < lentBitsMin || class > lentBitsMax {
		return
	}
	pools[class-lentBitsMin].Put(startOf(buf))
}
