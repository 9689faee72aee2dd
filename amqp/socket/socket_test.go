package socket

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"testing"
	"time"
)

// pair is both ends of a connection over loopback.
func pair(t testing.TB) (ours *Socket, theirs net.Conn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if theirs, err = net.Dial("tcp", l.Addr().String()); err != nil {
		t.Fatal(err)
	}
	nc, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { nc.Close(); theirs.Close() })
	return Of(nc), theirs
}

func TestReadLent(t *testing.T) {
	ours, theirs := pair(t)
	for size, want := range map[int]int{1: 1 << 10, 1 << 10: 1 << 10, 1025: 2 << 10, 64 << 10: 64 << 10, 65<<10 + 1: 65<<10 + 1} {
		if _, err := theirs.Write([]byte("hello")); err != nil {
			t.Fatal(err)
		}
		buf, n, err := ours.ReadLent(size)
		if err != nil || string(buf[:n]) != "hello" || len(buf) != want {
			t.Fatalf("ReadLent(%d) = %q of %d, %v; want a buffer of %d", size, buf[:n], len(buf), err, want)
		}
		ours.GiveBack(buf)
	}
	_ = ours.SetReadDeadline(time.Now().Add(time.Millisecond))
	if _, _, err := ours.ReadLent(100); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("at the deadline: %v", err)
	}
	_ = ours.SetReadDeadline(time.Time{})
	theirs.Close()
	if _, _, err := ours.ReadLent(100); err != io.EOF {
		t.Errorf("at the end: %v", err)
	}
	ours.Close()
	if _, _, err := ours.ReadLent(100); !errors.Is(err, net.ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
}

// A peer that reads nothing takes what fits into the sockets, and nobody waits.
func TestTryDoesNotWait(t *testing.T) {
	ours, theirs := pair(t)
	chunk, sent := make([]byte, 64<<10), 0
	for {
		n, err := ours.Try(chunk)
		if err != nil {
			t.Fatal(err)
		}
		if sent += n; n < len(chunk) {
			break
		}
	}
	if n, err := ours.Try(chunk); n > 0 || err != nil {
		t.Errorf("into a full socket Try = %d, %v", n, err)
	}
	if n, err := io.CopyN(io.Discard, theirs, int64(sent)); err != nil {
		t.Errorf("%d of %d came: %v", n, sent, err)
	}
	ours.Close()
	if _, err := ours.Try(chunk); !errors.Is(err, net.ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
}

func TestOtherConnections(t *testing.T) {
	a, b := net.Pipe()
	s := Of(a)
	if n, err := s.Try([]byte("x")); s.Direct() || n != 0 || err != nil {
		t.Errorf("Direct() = %v, Try = %d, %v", s.Direct(), n, err)
	}
	go func() { _, _ = b.Write([]byte("hello")); b.Close() }()
	if buf, n, err := s.ReadLent(100); err != nil || !bytes.Equal(buf[:n], []byte("hello")) {
		t.Errorf("ReadLent = %q, %v", buf[:n], err)
	}
	if _, _, err := s.ReadLent(100); err != io.EOF {
		t.Errorf("at the end: %v", err)
	}
}

func TestNothingIsAllocated(t *testing.T) {
	ours, theirs := pair(t)
	word := []byte("word")
	allocs := testing.AllocsPerRun(200, func() {
		if _, err := ours.Try(word); err != nil {
			t.Fatal(err)
		}
		if _, err := theirs.Write(word); err != nil {
			t.Fatal(err)
		}
		buf, _, err := ours.ReadLent(1024)
		if err != nil {
			t.Fatal(err)
		}
		ours.GiveBack(buf)
	})
	if allocs > 0.1 && !raceEnabled { // the collector may empty a pool
		t.Errorf("%v allocations for a read and a write", allocs)
	}
}
