package edge

import (
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	amqp091 "github.com/rabbitmq/amqp091-go"

	"leveret/edge/admin"
)

// TestUnixSockets: the AMQP and the admin door over sockets, with the mode that is
// configured whatever the process's mask; a socket that a killed process left is
// in nobody's way, and none is left at the end.
func TestUnixSockets(t *testing.T) {
	defer syscall.Umask(syscall.Umask(0o077))
	dir, err := os.MkdirTemp("", "sock") // a test's own folder may be too deep for a socket
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	at := func(name string) string { return filepath.Join(dir, name) }
	stale, err := net.Listen("unix", at("amqp.sock"))
	if err != nil {
		t.Fatal(err)
	}
	stale.(*net.UnixListener).SetUnlinkOnClose(false)
	stale.Close()
	b := &box{t: t, dir: dir, file: at("leveret.toml")}
	text := fmt.Sprintf("data_dir = %q\nprofile = \"tiny\"\nmqtt.listen = []\namqp = {listen = \"unix:%s\", socket_mode = \"0666\"}\nadmin.listen = \"unix:%s\"\n",
		at("data"), at("amqp.sock"), at("admin.sock"))
	if err := os.WriteFile(b.file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	b.start()
	for name, want := range map[string]fs.FileMode{"amqp.sock": 0o666, "admin.sock": 0o660, "data/" + commandSocket: 0o660} {
		if info, err := os.Stat(at(name)); err != nil || info.Mode().Perm() != want {
			t.Errorf("%s: %v, %v, want the mode %v", name, info, err, want)
		}
	}
	conn, err := amqp091.DialConfig("amqp://guest:guest@localhost/", amqp091.Config{
		Dial: func(string, string) (net.Conn, error) { return net.Dial("unix", at("amqp.sock")) },
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, socket := range []string{"admin.sock", "data/" + commandSocket} {
		client := http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", at(socket))
		}}}
		r, err := client.Get("http://localhost/api/status")
		if err != nil {
			t.Fatal(err)
		}
		var st admin.Status
		if err := json.NewDecoder(r.Body).Decode(&st); err != nil || len(st.Listeners) != 2 || st.Listeners[0].Address != at("amqp.sock") {
			t.Errorf("the status over %s: %+v, %v", socket, st.Listeners, err)
		}
		r.Body.Close()
	}
	conn.Close()
	b.stop()
	for _, name := range []string{"amqp.sock", "admin.sock", "data/" + commandSocket} {
		if _, err := os.Lstat(at(name)); err == nil {
			t.Errorf("%s is left", name)
		}
	}
}
