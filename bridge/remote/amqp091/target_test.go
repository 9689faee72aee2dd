package amqp091

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"leveret/amqp"
	"leveret/bridge"
	"leveret/bridge/remote/remotetest"
)

// TestHostileWhileOpening: whatever listens at the address, Dial answers in
// its time, with an error that does not hold our password.
func TestHostileWhileOpening(t *testing.T) {
	tests := []struct {
		name   string
		script func(*peer)
		want   string
	}{
		{"never answers", func(p *peer) { _, _ = io.Copy(io.Discard, p.r) }, "no answer in time"},
		{"closes at once", func(*peer) {}, ""},
		{"speaks HTTP", func(p *peer) { p.say("HTTP/1.1 400 Bad Request\r\n\r\n") }, "not AMQP 0-9-1"},
		{"speaks another AMQP", func(p *peer) { p.say("AMQP\x00\x01\x00\x00") }, "not AMQP 0-9-1"},
		{"starts with a huge frame", func(p *peer) { p.say("\x01\x00\x00\x7f\xff\xff\xff\x00") }, "not AMQP 0-9-1"},
		{"refuses the login silently", func(p *peer) { _ = p.greet() }, "are user and password right?"},
		{"refuses the login and repeats it", func(p *peer) {
			if p.greet() == nil {
				p.send(frameMethod, 0, method(10, 50, uint16(403), "ACCESS_REFUSED - not "+secret, uint16(0), uint16(0)))
			}
		}, "403 ACCESS_REFUSED - not ***"},
		{"never tunes", func(p *peer) {
			if p.greet() == nil {
				_, _ = io.Copy(io.Discard, p.r)
			}
		}, "no answer in time"},
		{"asks for more than a login", func(p *peer) {
			if p.greet() == nil {
				p.send(frameMethod, 0, method(10, 20, []byte("challenge")))
			}
		}, ""},
		{"refuses the vhost", func(p *peer) {
			if p.greet() != nil {
				return
			}
			p.send(frameMethod, 0, method(10, 30, uint16(0), uint32(1), uint16(0)))
			if _, err := p.expect(10, 40); err == nil {
				p.send(frameMethod, 0, method(10, 50, uint16(530), "NOT_ALLOWED - vhost site not found", uint16(10), uint16(40)))
			}
		}, "530 NOT_ALLOWED - vhost site not found"},
		{"never opens the channel", func(p *peer) {
			if p.greet() != nil {
				return
			}
			p.send(frameMethod, 0, method(10, 30, uint16(0), uint32(0), uint16(0)))
			if _, err := p.expect(10, 40); err == nil {
				p.send(frameMethod, 0, method(10, 41, ""))
				_, _ = io.Copy(io.Discard, p.r)
			}
		}, "no answer in time"},
		{"knows no confirms", func(p *peer) {
			if p.greet() != nil {
				return
			}
			p.send(frameMethod, 0, method(10, 30, uint16(0), uint32(0), uint16(0)))
			_, _ = p.expect(10, 40)
			p.send(frameMethod, 0, method(10, 41, ""))
			_, _ = p.expect(20, 10)
			p.send(frameMethod, 1, method(20, 11, []byte(nil)))
			_, _ = p.expect(85, 10)
			p.send(frameMethod, 0, method(10, 50, uint16(540), "NOT_IMPLEMENTED", uint16(85), uint16(10)))
			_, _ = p.expect(10, 51)
		}, "540 NOT_IMPLEMENTED"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			began := time.Now()
			limit := longMax
			if tt.want == errNoAnswer.Error() {
				limit = 700 * time.Millisecond
			}
			target, l, err := dial(t, TargetOptions{Options: Options{DialTimeout: limit}}, tt.script)
			if err == nil {
				t.Fatalf("Dial = %v", l)
			}
			if !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), target.String()) {
				t.Errorf("Dial = %v, want ... %s", err, tt.want)
			}
			if strings.Contains(err.Error(), secret) {
				t.Errorf("Dial = %v", err)
			}
			if took := time.Since(began); took > longMax {
				t.Errorf("Dial took %v", took)
			}
		})
	}
}

func TestAFrameMaxOfOneStillCarriesMessages(t *testing.T) {
	got := make(chan published, 1)
	_, l, err := dial(t, TargetOptions{}, func(p *peer) {
		if p.open(1) != nil {
			return
		}
		if m, err := p.receive(); err == nil {
			got <- m
			p.ack(1, 0)
			p.goodbye()
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	body := strings.Repeat("x", 10_000)
	send(t, l, message("k", body))
	remotetest.Answers(t, l, 1)
	if m := <-got; string(m.body) != body || !m.mandatory || m.exchange != "up" || m.key != "k" {
		t.Errorf("%d octets came, mandatory %v, to %q with %q", len(m.body), m.mandatory, m.exchange, m.key)
	}
}

func TestDialEndsWithItsContext(t *testing.T) {
	address := listen(t, func(p *peer) { _, _ = io.Copy(io.Discard, p.r) })
	target, err := NewTarget(TargetOptions{Options: Options{URL: "amqp://" + address}, Exchange: "up"})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	time.AfterFunc(50*time.Millisecond, cancel)
	began := time.Now()
	if _, err := target.Dial(ctx, 1); err == nil || !strings.Contains(err.Error(), "canceled") {
		t.Errorf("Dial = %v", err)
	}
	if took := time.Since(began); took > longMax {
		t.Errorf("Dial took %v after its context had ended", took)
	}
}

func TestTLSIsVerified(t *testing.T) {
	server := httptest.NewTLSServer(nil) // for its certificate
	defer server.Close()
	roots := x509.NewCertPool()
	roots.AddCert(server.Certificate())
	address := listen(t, func(p *peer) {
		c := tls.Server(p.Conn, &tls.Config{Certificates: server.TLS.Certificates})
		s := &peer{Conn: c, r: bufio.NewReader(c)}
		if s.open(0) == nil {
			s.goodbye()
		}
	})
	tests := []struct {
		name   string
		config *tls.Config
		ok     bool
	}{
		{"system roots", nil, false},
		{"our roots", &tls.Config{RootCAs: roots}, true},
		{"our roots, another name", &tls.Config{RootCAs: roots, ServerName: "elsewhere.invalid"}, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			target, err := NewTarget(TargetOptions{Options: Options{URL: "amqps://gw:" + secret + "@" + address, TLS: tt.config}, Exchange: "up"})
			if err != nil {
				t.Fatal(err)
			}
			l, err := target.Dial(context.Background(), 1)
			if (err == nil) != tt.ok {
				t.Errorf("Dial = %v", err)
			}
			if err == nil {
				l.Close()
			}
		})
	}
}

func TestNewTargetRefuses(t *testing.T) {
	long := strings.Repeat("k", 256)
	tests := []struct {
		name string
		o    TargetOptions
	}{
		{"no url", TargetOptions{Exchange: "x"}},
		{"another scheme", TargetOptions{Options: Options{URL: "http://u:" + secret + "@h/"}, Exchange: "x"}},
		{"an unescaped slash in the password", TargetOptions{Options: Options{URL: "amqp://u:" + secret + "/x@h/"}, Exchange: "x"}},
		{"an unescaped hash", TargetOptions{Options: Options{URL: "amqp://u:" + secret + "#x@h/"}, Exchange: "x"}},
		{"a space", TargetOptions{Options: Options{URL: "amqp://u:" + secret + " x@h/"}, Exchange: "x"}},
		{"a query", TargetOptions{Options: Options{URL: "amqp://u:" + secret + "@h/?heartbeat=0"}, Exchange: "x"}},
		{"a port out of range", TargetOptions{Options: Options{URL: "amqp://u:" + secret + "@h:99999/"}, Exchange: "x"}},
		{"no verification", TargetOptions{Options: Options{URL: "amqps://h", TLS: &tls.Config{InsecureSkipVerify: true}}, Exchange: "x"}},
		{"a long exchange", TargetOptions{Options: Options{URL: "amqp://h"}, Exchange: long}},
		{"a long key", TargetOptions{Options: Options{URL: "amqp://h"}, Key: long}},
		{"neither exchange nor key", TargetOptions{Options: Options{URL: "amqp://h"}}},
	}
	for _, tt := range tests {
		if _, err := NewTarget(tt.o); err == nil || strings.Contains(err.Error(), secret) {
			t.Errorf("%s: NewTarget = %v", tt.name, err)
		}
	}
}

func TestURLs(t *testing.T) {
	tests := []struct{ url, shown, address, vhost, user string }{
		{"amqp://h", "amqp://h:5672/%2F", "h:5672", "/", "guest"},
		{"amqps://u:p%40%2F@h", "amqps://u@h:5671/%2F", "h:5671", "/", "u"},
		{"amqp://u:" + secret + "@[::1]:7000/a%2Fb", "amqp://u@[::1]:7000/a%2Fb", "[::1]:7000", "a/b", "u"},
	}
	for _, tt := range tests {
		r, err := parseURL(tt.url)
		if err != nil || r.String() != tt.shown || r.address() != tt.address || r.vhost != tt.vhost || r.user != tt.user {
			t.Errorf("parseURL(%q) = %v, %v, %q, %q, %q", tt.url, err, r, r.address(), r.vhost, r.user)
		}
	}
}

func TestDialErrorNamesTheTarget(t *testing.T) {
	target, err := NewTarget(TargetOptions{Exchange: "up", Options: Options{
		URL: "amqp://gw:" + secret + "@cloud.example",
		Dial: func(context.Context, string, string) (net.Conn, error) {
			return nil, errors.New("network is unreachable")
		},
	}})
	if err != nil {
		t.Fatal(err)
	}
	const want = "connect to amqp://gw@cloud.example:5672/%2F: network is unreachable"
	if _, err := target.Dial(context.Background(), 1); err == nil || err.Error() != want {
		t.Errorf("Dial = %v, want %s", err, want)
	}
}

// TestTheFarSideIsToldOurNode: without it one of our kind would not believe us
// where messages have been.
func TestTheFarSideIsToldOurNode(t *testing.T) {
	told := make(chan amqp.Table, 1)
	_, _, _ = dial(t, TargetOptions{Options: Options{Node: "box-7", DialTimeout: 5 * time.Second}}, func(p *peer) {
		if _, err := io.ReadFull(p.r, make([]byte, 8)); err != nil {
			return
		}
		p.send(frameMethod, 0, method(10, 10, uint8(0), uint8(9), []byte(nil), []byte("PLAIN"), []byte("en_US")))
		if f, err := p.expect(10, 11); err == nil {
			properties, _, _ := amqp.ParseTable(f.payload[4:])
			told <- properties
		}
	})
	if node, _ := (<-told).Get(bridge.UserNode); node != "box-7" {
		t.Errorf("we are %v", node)
	}
}
