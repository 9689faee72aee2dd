package mqtt

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/coder/websocket"

	"leveret/bridge/mqttwire"
)

// listenWeb is a door behind WebSocket on loopback, and its address.
func listenWeb(t *testing.T, origins ...string) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	serveOn(t, WebSocketListener(l, origins, slog.New(slog.DiscardHandler)))
	return "ws://" + l.Addr().String() + "/mqtt"
}

func dialWeb(t *testing.T, url string, o *websocket.DialOptions) (*websocket.Conn, *http.Response, error) {
	t.Helper()
	ctx, stop := context.WithTimeout(context.Background(), time.Minute)
	defer stop()
	return websocket.Dial(ctx, url, o)
}

func TestWebSocket(t *testing.T) {
	url := listenWeb(t)
	ws, _, err := dialWeb(t, url, &websocket.DialOptions{Subprotocols: []string{"mqtt"}})
	if err != nil {
		t.Fatal(err)
	}
	c := websocket.NetConn(t.Context(), ws, websocket.MessageBinary)
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(time.Minute))
	hello, err := mqttwire.AppendConnect(nil, &mqttwire.Connect{Version: mqttwire.V5, ClientID: "page", CleanStart: true})
	if err != nil {
		t.Fatal(err)
	}
	// Frames are no borders of packets.
	for _, part := range [][]byte{hello[:5], append(hello[5:len(hello):len(hello)], 0xC0)} {
		if _, err := c.Write(part); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := c.Write([]byte{0, 0xF0, 0}); err != nil { // and an AUTH that ends it
		t.Fatal(err)
	}
	r := mqttwire.NewReader(c, 1<<16)
	r.SetVersion(mqttwire.V5)
	for _, want := range []string{"CONNACK success", "PINGRESP", "DISCONNECT protocol error"} {
		p, err := r.Next()
		if err != nil {
			t.Fatalf("want %s: %v", want, err)
		}
		if got := describe(p, mqttwire.V5); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

func TestWebSocketRefusals(t *testing.T) {
	url := listenWeb(t, "panel.example")
	mqtt := []string{"mqtt"}
	for _, tc := range []struct {
		name, origin string
		protocols    []string
		let          bool
	}{
		{"no origin", "", mqtt, true},
		{"an origin that is allowed", "https://panel.example", mqtt, true},
		{"a strange origin", "https://evil.example", mqtt, false},
	} {
		o := &websocket.DialOptions{Subprotocols: tc.protocols, HTTPHeader: http.Header{}}
		if tc.origin != "" {
			o.HTTPHeader.Set("Origin", tc.origin)
		}
		ws, answer, err := dialWeb(t, url, o)
		if (err == nil) != tc.let {
			t.Errorf("%s: %v", tc.name, err)
		}
		if err == nil {
			_ = ws.CloseNow()
		} else if answer.StatusCode != http.StatusForbidden {
			t.Errorf("%s: status %d", tc.name, answer.StatusCode)
		}
	}
	ws, _, err := dialWeb(t, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := ws.Read(t.Context()); websocket.CloseStatus(err) != websocket.StatusPolicyViolation {
		t.Errorf("without a subprotocol: %v", err)
	}
}
