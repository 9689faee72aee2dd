package interop

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	amqp091 "github.com/rabbitmq/amqp091-go"
)

// TestSockets: AMQP over a Unix socket, with confirms, a consumer and a queue that
// outlives a kill; the socket that is left then is in nobody's way. The status
// command needs neither an address nor a login, though loopback is not trusted.
func TestSockets(t *testing.T) {
	dir, err := os.MkdirTemp("", "sock") // a test's own folder may be too deep for a socket
	must(t, err)
	defer os.RemoveAll(dir)
	socket := filepath.Join(dir, "amqp.sock")
	g, err := newGateway(dir, "")
	must(t, err)
	for range 2 {
		g.doors["amqp"] = fmt.Sprintf(`["127.0.0.1:0", "unix:%s"]`, socket)
		g.distrust = true
		g.mustStart(t)
		t.Cleanup(g.kill)
		exchangeOver(t, socket)
		g.kill()
	}
	g.doors["amqp"] = fmt.Sprintf(`["127.0.0.1:0", "unix:%s"]`, socket)
	g.mustStart(t)
	out, code := runCommand(t, startMax, "", leveretCommand("status", "--config", g.config(), "--set", "data_dir="+g.data()))
	if code != 0 || !strings.Contains(out, "kept") || !strings.Contains(out, socket) {
		t.Errorf("leveret status ended with code %d:\n%s", code, out)
	}
	out, code = runCommand(t, startMax, "", leveretCommand("status", "--addr", g.doors["admin"]))
	if code != 1 || !strings.Contains(out, "a login is required") {
		t.Errorf("leveret status over loopback ended with code %d:\n%s", code, out)
	}
	g.mustStop(t)
	if _, err := os.Lstat(socket); err == nil {
		t.Error("the socket is left")
	}
}

// exchangeOver publishes with confirms, and consumes what was left before.
func exchangeOver(t *testing.T, socket string) {
	t.Helper()
	conn, err := amqp091.DialConfig("amqp://guest:guest@localhost/", amqp091.Config{
		Dial: func(string, string) (net.Conn, error) { return net.Dial("unix", socket) },
	})
	must(t, err)
	defer conn.Close()
	ch, err := conn.Channel()
	must(t, err)
	must(t, ch.Confirm(false))
	q, err := ch.QueueDeclare("kept", true, false, false, false, nil)
	must(t, err)
	for i := range 100 {
		c, err := ch.PublishWithDeferredConfirm("", "kept", false, false, amqp091.Publishing{DeliveryMode: amqp091.Persistent, Body: fmt.Append(nil, i)})
		must(t, err)
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		if acked, err := c.WaitContext(ctx); err != nil || !acked {
			t.Fatalf("message %d was not confirmed: %v", i, err)
		}
		cancel()
	}
	deliveries, err := ch.Consume("kept", "", true, false, false, false, nil)
	must(t, err)
	for range q.Messages + 100 {
		select {
		case <-deliveries:
		case <-time.After(patience):
			t.Fatal("what was confirmed did not come")
		}
	}
}
