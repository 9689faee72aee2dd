// Package remotetest is what the tests of the remote protocols share: a far side
// that a test plays by scripts, and waiting for what a source or a link gives.
package remotetest

import (
	"context"
	"net"
	"testing"
	"time"

	"leveret/bridge"
)

// Secret is the password of the tests. It must appear in no error.
const Secret = "canary-4711"

// Patience is how long anything may take on a machine that is busy with something
// else: what goes on for longer does not end.
const Patience = 30 * time.Second

// Serve serves each connection by the scripts in turn, the last one again and
// again, until the test ends, and answers the address. A connection ends with
// its script.
func Serve(t testing.TB, scripts ...func(net.Conn)) (address string) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for i := 0; ; i++ {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			_ = c.SetDeadline(time.Now().Add(2 * Patience))
			scripts[min(i, len(scripts)-1)](c)
			_ = c.Close()
		}
	}()
	t.Cleanup(func() {
		_ = ln.Close()
		<-done
	})
	return ln.Addr().String()
}

// Take waits for n messages; fewer when the reader fails.
func Take(t testing.TB, r bridge.Reader, n int) (got []bridge.Message, err error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), Patience)
	defer cancel()
	for len(got) < n {
		batch, err := r.Take(ctx)
		if err != nil {
			return got, err
		}
		got = append(got, batch...)
	}
	return got, nil
}

// Answers collects n answers, or fewer when the link ends.
func Answers(t testing.TB, l bridge.Link, n int) (got []bridge.Answer) {
	t.Helper()
	late := time.After(Patience)
	for len(got) < n {
		select {
		case a, ok := <-l.Answers():
			if !ok {
				return got
			}
			got = append(got, a)
		case <-late:
			t.Fatalf("%d of %d answers after %v", len(got), n, Patience)
		}
	}
	return got
}
