package front

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"time"
)

// A proxy in front of a door says with the first bytes of each connection who
// the client is, in the PROXY protocol: version 2 (binary) or 1 (a line).
//
//	v2  signature, 12 bytes | 0x2 and command | family and transport | length,
//	    2 bytes | addresses | more, which is passed over
//	v1  PROXY TCP4 192.0.2.1 192.0.2.2 56324 1883\r\n
const (
	proxySignature = "\r\n\r\n\x00\r\nQUIT\n"
	proxyLine      = "PROXY "

	proxyFixed    = len(proxySignature) + 4
	proxyLineMax  = 107     // with its end, as the specification has it
	proxyExtraMax = 4 << 10 // of addresses and what follows them
	// proxyTimeout is for the whole header: a proxy sends it at once. It is part of
	// the time that the door gives until the login.
	proxyTimeout = 5 * time.Second
	// proxyPendingMax bounds the connections whose header is not here yet.
	proxyPendingMax = 256
)

var errProxyHeader = errors.New("connection does not begin with a PROXY protocol header")

// Proxied makes a listener of one that only proxies connect to. What it accepts
// has the addresses of the clients. Connections from outside the networks are
// closed, as are those without a header; it must be the innermost listener.
// Unix sockets are trusted.
func Proxied(l net.Listener, from []netip.Prefix, log *slog.Logger) net.Listener {
	p := &proxied{
		Listener: l, from: from, log: log,
		ready: make(chan net.Conn), failed: make(chan error, 1), closed: make(chan struct{}),
		places: make(chan struct{}, proxyPendingMax), pending: make(map[net.Conn]struct{}),
	}
	p.running.Go(p.accept)
	return p
}

type proxied struct {
	net.Listener
	from []netip.Prefix
	log  *slog.Logger

	ready   chan net.Conn
	failed  chan error // 1 slot: the listener's end
	closed  chan struct{}
	once    sync.Once
	running sync.WaitGroup
	places  chan struct{} // one for each connection whose header is read

	mu      sync.Mutex // protects pending
	pending map[net.Conn]struct{}
}

// Accept gives the next connection whose client is known.
func (p *proxied) Accept() (net.Conn, error) {
	select {
	case nc := <-p.ready:
		return nc, nil
	case err := <-p.failed:
		p.failed <- err // for whoever asks again
		return nil, err
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

// Close ends the listener and the connections whose client is not known yet.
func (p *proxied) Close() error {
	err := p.Listener.Close()
	p.once.Do(func() { close(p.closed) })
	p.mu.Lock()
	for nc := range p.pending {
		_ = nc.Close()
	}
	p.mu.Unlock()
	p.running.Wait()
	return err
}

func (p *proxied) accept() {
	for {
		nc, err := p.Listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			p.failed <- err
			return
		}
		if err != nil { // as when the process is out of descriptors
			p.log.Warn("cannot accept proxied connections for now", "err", err)
			select {
			case <-time.After(100 * time.Millisecond):
				continue
			case <-p.closed:
				p.failed <- net.ErrClosed
				return
			}
		}
		if !p.trusts(nc.RemoteAddr()) {
			p.log.Warn("connection is from no proxy and closed", "peer", nc.RemoteAddr().String())
			_ = nc.Close()
			continue
		}
		select {
		case p.places <- struct{}{}:
			p.running.Go(func() { p.greet(nc, time.Now()) })
		default: // a proxy sends its header at once: so many at a time are none
			_ = nc.Close()
		}
	}
}

func (p *proxied) trusts(peer net.Addr) bool {
	if _, unix := peer.(*net.UnixAddr); unix {
		return true
	}
	at, err := netip.ParseAddrPort(peer.String())
	for _, n := range p.from {
		if err == nil && n.Contains(at.Addr().Unmap()) {
			return true
		}
	}
	return false
}

// greet reads a connection's header and hands it on.
func (p *proxied) greet(nc net.Conn, since time.Time) {
	defer func() { <-p.places }()
	p.mu.Lock()
	p.pending[nc] = struct{}{}
	select {
	case <-p.closed: // and those that were pending, too
		_ = nc.Close()
	default:
	}
	p.mu.Unlock()
	_ = nc.SetReadDeadline(since.Add(proxyTimeout))
	client, err := readProxyHeader(nc)
	_ = nc.SetReadDeadline(time.Time{})
	if err != nil {
		p.log.Warn("proxied connection closed", "peer", nc.RemoteAddr().String(), "err", err)
		_ = nc.Close()
	}
	if err == nil {
		if client == nil {
			client = nc.RemoteAddr()
		}
		select {
		case p.ready <- &proxiedConn{nc, client, since}:
		case <-p.closed:
			_ = nc.Close()
		}
	}
	p.mu.Lock()
	delete(p.pending, nc)
	p.mu.Unlock()
}

// proxiedConn has the address of the client behind the proxy.
type proxiedConn struct {
	net.Conn
	client net.Addr
	since  time.Time // it was accepted, before the header
}

// Since counts in the time that the header took.
func (c *proxiedConn) Since() time.Time { return c.since }

func (c *proxiedConn) RemoteAddr() net.Addr { return c.client }

// readProxyHeader reads a header and not a byte more. No client means that the
// proxy speaks for itself (a health check), or does not know.
func readProxyHeader(r io.Reader) (client net.Addr, err error) {
	var head [proxyFixed]byte
	if _, err := io.ReadFull(r, head[:len(proxyLine)]); err != nil {
		return nil, fmt.Errorf("%w: %w", errProxyHeader, err)
	}
	switch {
	case string(head[:len(proxyLine)]) == proxyLine:
		return readProxyLine(r)
	case !strings.HasPrefix(proxySignature, string(head[:len(proxyLine)])):
		return nil, errProxyHeader
	}
	if _, err := io.ReadFull(r, head[len(proxyLine):]); err != nil {
		return nil, fmt.Errorf("%w: %w", errProxyHeader, err)
	}
	if string(head[:len(proxySignature)]) != proxySignature {
		return nil, errProxyHeader
	}
	command, family := head[12], head[13]
	size := int(binary.BigEndian.Uint16(head[14:]))
	if command>>4 != 2 || command&15 > 1 {
		return nil, fmt.Errorf("PROXY header of version and command %#x", command)
	}
	if size > proxyExtraMax {
		return nil, fmt.Errorf("PROXY header of %d bytes, at most %d are taken", size, proxyExtraMax)
	}
	rest := make([]byte, size)
	if _, err := io.ReadFull(r, rest); err != nil {
		return nil, fmt.Errorf("PROXY header cut short: %w", err)
	}
	if command&15 == 0 { // LOCAL
		return nil, nil
	}
	return proxyAddress(family, rest)
}

// proxyAddress takes the client's address out of a version 2 header.
func proxyAddress(family byte, rest []byte) (net.Addr, error) {
	var n int // bytes of an IP address
	switch family {
	case 0x00: // unspecified
		return nil, nil
	case 0x11: // TCP over IPv4
		n = net.IPv4len
	case 0x21: // TCP over IPv6
		n = net.IPv6len
	default:
		return nil, fmt.Errorf("PROXY header of family and transport %#x, TCP alone is taken", family)
	}
	if len(rest) < 2*n+4 {
		return nil, fmt.Errorf("PROXY header with %d bytes of addresses, %d are needed", len(rest), 2*n+4)
	}
	return &net.TCPAddr{IP: bytes.Clone(rest[:n]), Port: int(binary.BigEndian.Uint16(rest[2*n:]))}, nil
}

// readProxyLine reads the rest of a version 1 header, byte by byte: what follows
// it is the client's.
func readProxyLine(r io.Reader) (net.Addr, error) {
	var line []byte
	var one [1]byte
	for !bytes.HasSuffix(line, []byte("\r\n")) {
		if len(line) == proxyLineMax-len(proxyLine) {
			return nil, errors.New("PROXY line is too long")
		}
		if _, err := io.ReadFull(r, one[:]); err != nil {
			return nil, fmt.Errorf("PROXY line cut short: %w", err)
		}
		line = append(line, one[0])
	}
	words := strings.Split(string(line[:len(line)-2]), " ")
	if words[0] == "UNKNOWN" {
		return nil, nil
	}
	if len(words) != 5 || words[0] != "TCP4" && words[0] != "TCP6" {
		return nil, errors.New("PROXY line is not of TCP4 or TCP6 with two addresses and two ports")
	}
	ip, err := netip.ParseAddr(words[1])
	port, bad := strconv.ParseUint(words[3], 10, 16)
	if err != nil || bad != nil || ip.Is4() != (words[0] == "TCP4") || ip.Zone() != "" {
		return nil, errors.New("PROXY line with what is no address")
	}
	return net.TCPAddrFromAddrPort(netip.AddrPortFrom(ip, uint16(port))), nil
}
