package interop

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"testing"
	"time"
)

const (
	// strangersMax is as many as there are places for connections in profile tiny.
	strangersMax = 1000
	// strangersBytesMax is 16 KiB for each, which those need that have become a
	// WebSocket, and as much again of what the collector has not come to yet.
	strangersBytesMax = strangersMax * 32 << 10
)

// TestStrangersTakeNoPlaces: however many sockets stop on the way to a login,
// and wherever they do, a good client gets in, and memory stays.
func TestStrangersTakeNoPlaces(t *testing.T) {
	web := freeAddr()
	g := openGateway(t, fmt.Sprintf("profile = \"tiny\"\n[mqtt]\nwebsocket_listen = %q\n", web))
	good := watchGoodClient(t, g)
	good.check(t)
	for _, tt := range []struct {
		name, addr string
		begin      func(t *testing.T, conn net.Conn)
	}{
		{"AMQP, nothing", g.doors["amqp"], nothing},
		{"AMQP, header", g.doors["amqp"], saying("AMQP\x00\x00\x09\x01")},
		{"AMQP, half a frame", g.doors["amqp"], saying("AMQP\x00\x00\x09\x01\x01\x00\x00\x00\x00\x10\x00\x00\x0a\x00\x0b")},
		{"MQTT, nothing", g.doors["mqtt"], nothing},
		{"MQTT, half a CONNECT", g.doors["mqtt"], saying("\x10\x20\x00\x04MQTT\x04")},
		{"WebSocket, nothing", web, nothing},
		{"WebSocket, half a request", web, saying("GET /mqtt HTTP/1.1\r\nHost: x\r\n")},
		{"WebSocket, no CONNECT", web, upgrading},
	} {
		t.Run(tt.name, func(t *testing.T) {
			before := g.proc.memory("VmRSS")
			for range strangersMax {
				conn, err := net.Dial("tcp", tt.addr)
				must(t, err)
				defer conn.Close()
				tt.begin(t, conn)
			}
			good.check(t)
			page, err := net.Dial("tcp", web)
			must(t, err)
			defer page.Close()
			upgrading(t, page)
			grown := g.proc.memory("VmRSS") - before
			if t.Logf("memory grew by %d KiB", grown>>10); grown > strangersBytesMax {
				t.Errorf("that is more than %d KiB", strangersBytesMax>>10)
			}
		})
	}
	must(t, g.alive())
	good.stop(t)
	g.mustStop(t)
}

func nothing(*testing.T, net.Conn) {}

func saying(words string) func(*testing.T, net.Conn) {
	return func(t *testing.T, conn net.Conn) {
		_, err := conn.Write([]byte(words))
		must(t, err)
	}
}

// upgrading becomes a WebSocket and then says nothing.
func upgrading(t *testing.T, conn net.Conn) {
	saying("GET /mqtt HTTP/1.1\r\nHost: "+conn.RemoteAddr().String()+"\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"+
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: mqtt\r\n\r\n")(t, conn)
	_ = conn.SetReadDeadline(time.Now().Add(answerMax))
	answer, err := http.ReadResponse(bufio.NewReader(conn), nil)
	must(t, err)
	if answer.StatusCode != http.StatusSwitchingProtocols {
		t.Fatalf("the upgrade was answered by %s", answer.Status)
	}
}
