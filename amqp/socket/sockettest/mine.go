// Package sockettest has sockets that go wrong, for the tests of those who use
// them.
package sockettest

import (
	"net"
	"sync/atomic"
	"syscall"
)

// Mined is a socket that panics where it is told to, as a mistake of ours at
// that place would.
type Mined struct {
	*net.TCPConn
	// Direct lets reads and writes be tried without waiting, as those of a socket
	// of the kernel; set it before the first use.
	Direct bool
	// OnRead and OnWrite are the mines.
	OnRead, OnWrite atomic.Bool
}

// Read panics after it has read.
func (m *Mined) Read(b []byte) (int, error) {
	n, err := m.TCPConn.Read(b)
	if m.OnRead.Load() {
		panic("mine in Read")
	}
	return n, err
}

// Write panics instead.
func (m *Mined) Write(b []byte) (int, error) {
	if m.OnWrite.Load() {
		panic("mine in Write")
	}
	return m.TCPConn.Write(b)
}

// SyscallConn is mined too.
func (m *Mined) SyscallConn() (syscall.RawConn, error) {
	raw, err := m.TCPConn.SyscallConn()
	if !m.Direct {
		return nil, syscall.ENOTSUP
	}
	return &minedRaw{raw, m}, err
}

type minedRaw struct {
	syscall.RawConn
	m *Mined
}

func (r *minedRaw) Write(f func(uintptr) bool) error {
	if r.m.OnWrite.Load() {
		panic("mine in a write that does not wait")
	}
	return r.RawConn.Write(f)
}

func (r *minedRaw) Read(f func(uintptr) bool) error {
	err := r.RawConn.Read(f)
	if r.m.OnRead.Load() {
		panic("mine in a read")
	}
	return err
}
