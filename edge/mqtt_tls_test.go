package edge

import (
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/coder/websocket"
)

// Over TLS and over secure WebSocket a client is the user of its certificate,
// without a password, and has the client id that the rule wants.
func TestMQTTClientsWithCertificates(t *testing.T) {
	cert, key := issue(t, t.TempDir(), "anna", time.Now()) // the door's and the client's, its own authority
	own, err := tls.LoadX509KeyPair(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	for _, way := range []string{"tls_listen", "websocket_tls_listen"} {
		b := newBox(t, fmt.Sprintf("mqtt.%s = \"127.0.0.1:0\"\nmqtt.cert_file = %q\nmqtt.key_file = %q\nmqtt.client_ca_file = %q\n"+
			"mqtt.certificate_login = \"common_name\"\nmqtt.client_ids = \"^{username}$\"\n%s", way, cert, key, cert, userAnna+userBert))
		b.start()
		var addr string // the last one of the door
		for _, l := range b.status().Listeners {
			if l.Door == "mqtt" {
				addr = l.Address
			}
		}
		for _, c := range []struct {
			id, login string
			want      byte // CONNACK's code
		}{
			{"anna", "", 0},
			{"bert", "", 2}, // identifier rejected
			{"anna", "\x00\x04bert\x00\x03two", 0},
		} {
			nc := dialTLS(t, way, addr, own)
			flags := byte(2)
			if c.login != "" { // the certificate counts all the same
				flags = 0xc2
			}
			body := append([]byte("\x00\x04MQTT\x04"), flags)
			body = append(body, "\x00\x00\x00\x04"+c.id+c.login...)
			packet := append([]byte{0x10, byte(len(body))}, body...)
			if _, err := nc.Write(packet); err != nil {
				t.Fatal(err)
			}
			connack := make([]byte, 4)
			if _, err := io.ReadFull(nc, connack); err != nil || connack[3] != c.want {
				t.Errorf("%s, client %q, login %q: answer % x, %v, want code %d", way, c.id, c.login, connack, err, c.want)
			}
			nc.Close()
		}
		b.stop()
	}
}

func dialTLS(t *testing.T, way, addr string, own tls.Certificate) net.Conn {
	t.Helper()
	config := &tls.Config{InsecureSkipVerify: true, Certificates: []tls.Certificate{own}} // it is the client that is looked at here
	if way == "tls_listen" {
		nc, err := tls.Dial("tcp", addr, config)
		if err != nil {
			t.Fatal(err)
		}
		_ = nc.SetDeadline(time.Now().Add(time.Minute))
		return nc
	}
	ws, _, err := websocket.Dial(t.Context(), "wss://"+addr+"/mqtt", &websocket.DialOptions{
		Subprotocols: []string{"mqtt"}, HTTPClient: &http.Client{Transport: &http.Transport{TLSClientConfig: config}},
	})
	if err != nil {
		t.Fatal(err)
	}
	nc := websocket.NetConn(t.Context(), ws, websocket.MessageBinary)
	_ = nc.SetDeadline(time.Now().Add(time.Minute))
	return nc
}
