package front

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/binary"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// v2 is a version 2 header.
func v2(command, family byte, rest string) string {
	head := append([]byte(proxySignature), command, family)
	return string(binary.BigEndian.AppendUint16(head, uint16(len(rest)))) + rest
}

const (
	four = "\xc0\x00\x02\x01\xc0\x00\x02\x02\xdc\x04\x07\x5b" // 192.0.2.1:56324 to 192.0.2.2:1883
	six  = "\x20\x01\x0d\xb8\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01" +
		"\x20\x01\x0d\xb8\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\xdc\x04\x07\x5b"
)

func TestReadProxyHeader(t *testing.T) {
	for _, c := range []struct{ name, header, want string }{
		{"v2 over IPv4", v2(0x21, 0x11, four), "192.0.2.1:56324"},
		{"v2 over IPv6", v2(0x21, 0x21, six), "[2001:db8::1]:56324"},
		{"v2 with more", v2(0x21, 0x11, four+"\x04\x00\x01x"), "192.0.2.1:56324"},
		{"v2 of the proxy itself", v2(0x20, 0x11, four), "none"},
		{"v2 of nobody known", v2(0x21, 0x00, ""), "none"},
		{"v2 over UDP", v2(0x21, 0x12, four), "family and transport 0x12"},
		{"v2 over a Unix socket", v2(0x21, 0x31, strings.Repeat("x", 216)), "family and transport 0x31"},
		{"v2 with too few bytes", v2(0x21, 0x11, four[:11]), "11 bytes of addresses"},
		{"v2 of version 3", v2(0x31, 0x11, four), "version and command 0x31"},
		{"v2 of an unknown command", v2(0x22, 0x11, four), "version and command 0x22"},
		{"v2 cut short", v2(0x21, 0x11, four)[:20], "cut short"},
		{"v2 with much more", v2(0x21, 0x11, four+strings.Repeat("x", proxyExtraMax)), "at most 4096"},
		{"v1 over IPv4", "PROXY TCP4 192.0.2.1 192.0.2.2 56324 1883\r\n", "192.0.2.1:56324"},
		{"v1 over IPv6", "PROXY TCP6 2001:db8::1 2001:db8::2 56324 1883\r\n", "[2001:db8::1]:56324"},
		{"v1 of nobody known", "PROXY UNKNOWN\r\n", "none"},
		{"v1 of nobody known, with more", "PROXY UNKNOWN ffff:f...f:ffff 65535\r\n", "none"},
		{"v1 of the wrong family", "PROXY TCP4 2001:db8::1 2001:db8::2 1 2\r\n", "no address"},
		{"v1 with a zone", "PROXY TCP6 fe80::1%eth0 fe80::2 1 2\r\n", "no address"},
		{"v1 with a bad port", "PROXY TCP4 192.0.2.1 192.0.2.2 65536 1883\r\n", "no address"},
		{"v1 over UDP", "PROXY UDP4 192.0.2.1 192.0.2.2 56324 1883\r\n", "not of TCP4"},
		{"v1 that does not end", "PROXY TCP4 " + strings.Repeat("1", 200), "too long"},
		{"v1 cut short", "PROXY TCP4 192.0.2.1", "cut short"},
		{"MQTT", "\x10\x0c\x00\x04MQTT\x04\x02\x00\x00\x00\x00", "does not begin"},
		{"AMQP", "AMQP\x00\x00\x09\x01", "does not begin"},
		{"half a signature", "\r\n\r\n\x00\r\nQUIZ\n\x21\x11\x00\x00", "does not begin"},
		{"nothing", "", "does not begin"},
	} {
		r := strings.NewReader(c.header + "client's own")
		if strings.Contains(c.want, "cut short") || c.header == "" {
			r = strings.NewReader(c.header)
		}
		client, err := readProxyHeader(r)
		got := "none"
		if client != nil {
			got = client.String()
		}
		if err != nil {
			got = err.Error()
		}
		if !strings.Contains(got, c.want) {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
		if rest, _ := io.ReadAll(r); err == nil && string(rest) != "client's own" {
			t.Errorf("%s: %q is left for the client, want all that is its own", c.name, rest)
		}
	}
}

func FuzzProxyHeader(f *testing.F) {
	f.Add([]byte(v2(0x21, 0x11, four)))
	f.Add([]byte(v2(0x21, 0x21, six)))
	f.Add([]byte("PROXY TCP4 192.0.2.1 192.0.2.2 56324 1883\r\n"))
	f.Fuzz(func(t *testing.T, input []byte) {
		r := bytes.NewReader(input)
		client, err := readProxyHeader(r)
		if read := len(input) - r.Len(); read > proxyFixed+proxyExtraMax {
			t.Fatalf("%d bytes were read", read)
		}
		if client == nil {
			return
		}
		if err != nil {
			t.Fatalf("client %s with the error %v", client, err)
		}
		if _, err := netip.ParseAddrPort(client.String()); err != nil {
			t.Fatalf("client %q is no address: %v", client, err)
		}
	})
}

// listening is a proxied listener on loopback.
func listening(t *testing.T, from ...string) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var networks []netip.Prefix
	for _, n := range from {
		networks = append(networks, netip.MustParsePrefix(n))
	}
	p := Proxied(l, networks, slog.New(slog.DiscardHandler))
	t.Cleanup(func() { p.Close() })
	return p
}

func connecting(t *testing.T, l net.Listener, send string) net.Conn {
	t.Helper()
	nc, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { nc.Close() })
	if _, err := io.WriteString(nc, send); err != nil {
		t.Fatal(err)
	}
	return nc
}

// Those who send no header hold nobody up, and what is behind it is whole.
func TestProxiedListener(t *testing.T) {
	l := listening(t, "127.0.0.0/8")
	for range 50 {
		connecting(t, l, "") // silent
	}
	stray := connecting(t, l, "\x10\x0c\x00\x04MQTT")
	if _, err := stray.Read(make([]byte, 1)); err == nil {
		t.Error("a connection without a header was not closed")
	}
	for i := range 10 {
		connecting(t, l, v2(0x21, 0x11, four)+fmt.Sprint("hello ", i))
		nc, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		if got := nc.RemoteAddr().String(); got != "192.0.2.1:56324" {
			t.Errorf("the client is %s", got)
		}
		if nc.RemoteAddr() != nc.RemoteAddr() {
			t.Error("the address is another one each time")
		}
		got := make([]byte, 7)
		if _, err := io.ReadFull(nc, got); err != nil || string(got) != fmt.Sprint("hello ", i) {
			t.Errorf("read %q, %v behind the header", got, err)
		}
		nc.Close()
	}
	connecting(t, l, "PROXY UNKNOWN\r\n")
	nc, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(nc.RemoteAddr().String(), "127.0.0.1:") {
		t.Errorf("an unknown client is %s, want the proxy itself", nc.RemoteAddr())
	}
	nc.Close()
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	for range 2 {
		if _, err := l.Accept(); err == nil {
			t.Error("a closed listener accepts")
		}
	}
}

func TestProxiedListenerTrustsProxiesAlone(t *testing.T) {
	nc := connecting(t, listening(t, "192.0.2.0/24"), v2(0x21, 0x11, four))
	if _, err := nc.Read(make([]byte, 1)); err == nil {
		t.Error("a stranger's header was believed")
	}
}

// pipes accepts the one end of a pipe, once.
type pipes struct {
	conns chan net.Conn
	end   chan struct{}
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case nc := <-p.conns:
		return nc, nil
	case <-p.end:
		return nil, net.ErrClosed
	}
}
func (p *pipes) Close() error   { close(p.end); return nil }
func (p *pipes) Addr() net.Addr { return &net.UnixAddr{Name: "p", Net: "unix"} }

type overUnix struct{ net.Conn }

func (overUnix) RemoteAddr() net.Addr { return &net.UnixAddr{Net: "unix"} }

// A header that comes too slowly ends the connection in time.
func TestProxiedListenerIsNotWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &pipes{conns: make(chan net.Conn), end: make(chan struct{})}
		l := Proxied(p, nil, slog.New(slog.DiscardHandler))
		near, far := net.Pipe()
		p.conns <- overUnix{far}
		start := time.Now()
		header := v2(0x21, 0x11, four)
		var err error
		for i := 0; err == nil && i < len(header); i++ {
			time.Sleep(time.Second)
			_, err = near.Write([]byte{header[i]})
		}
		if took := time.Since(start); err == nil || took > proxyTimeout+time.Second {
			t.Errorf("a slow header was read for %v: %v", took, err)
		}
		l.Close()
	})
}

// lateListener accepts one connection when it has been closed already.
type lateListener struct {
	net.Listener
	closed chan struct{}
	late   net.Conn
}

func (l *lateListener) Close() error { close(l.closed); return nil }

func (l *lateListener) Accept() (net.Conn, error) {
	<-l.closed
	time.Sleep(50 * time.Millisecond)
	nc := l.late
	if l.late = nil; nc == nil {
		return nil, net.ErrClosed
	}
	return fromUnix{nc}, nil
}

type fromUnix struct{ net.Conn }

func (fromUnix) RemoteAddr() net.Addr { return &net.UnixAddr{Net: "unix"} }

// Close does not wait for the header of who came in the last moment.
func TestProxiedClosesWhoComesLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := net.Pipe()
		defer near.Close()
		p := Proxied(&lateListener{closed: make(chan struct{}), late: far}, nil, slog.New(slog.DiscardHandler))
		start := time.Now()
		if err := p.Close(); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(start); took > proxyTimeout/2 {
			t.Errorf("Close took %v", took)
		}
	})
}

// TestASlowProxyHeaderIsNoExtraTime: the door gives all its time once, from the
// accept on, also behind TLS.
func TestASlowProxyHeaderIsNoExtraTime(t *testing.T) {
	for name, wrap := range map[string]func(net.Listener) net.Listener{
		"plain": func(l net.Listener) net.Listener { return l },
		"TLS": func(l net.Listener) net.Listener {
			return tls.NewListener(l, &tls.Config{Certificates: []tls.Certificate{{}}})
		},
	} {
		synctest.Test(t, func(t *testing.T) {
			inner := &pipes{conns: make(chan net.Conn), end: make(chan struct{})}
			l := wrap(Proxied(inner, nil, slog.New(slog.DiscardHandler)))
			f := New(Options{Listeners: []net.Listener{l}, Serve091: echo, Log: slog.New(slog.DiscardHandler)})
			ctx, stop := context.WithCancel(t.Context())
			done := make(chan error, 1)
			go func() { done <- f.Run(ctx) }()
			ours, theirs := net.Pipe()
			began := time.Now()
			inner.conns <- overUnix{theirs}
			time.Sleep(4 * time.Second)
			if _, err := io.WriteString(ours, v2(0x21, 0x11, four)); err != nil {
				t.Fatal(err)
			}
			if _, err := io.Copy(io.Discard, ours); err != nil {
				t.Fatal(err)
			}
			if took := time.Since(began); took != handshakeTimeout {
				t.Errorf("%s: a client that says nothing was let stay %v, want %v", name, took, handshakeTimeout)
			}
			stop()
			if err := <-done; err != nil {
				t.Error(err)
			}
		})
	}
}
