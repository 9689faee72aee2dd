package amqp091

import (
	"errors"
	"fmt"
	"net"
	"os"
	"sync/atomic"
	"time"
)

// wire is the socket as the library sees it: it can read, write and close. It
// shows no deadlines, for the library would extend the one for reading only
// while it can write, which on a slow uplink it cannot for minutes.
type wire struct {
	stream  net.Conn // TLS over the socket, or the socket itself
	socket  net.Conn
	silence time.Duration // longest time without a byte
	// refused is why the far side is not believed any more; whoever fails at
	// the closed socket afterwards asks for it.
	refused atomic.Pointer[error]
	inspector
}

// Read gives what the far side said, as far as it may be believed.
func (w *wire) Read(p []byte) (int, error) {
	if w.bad != nil {
		return 0, w.bad
	}
	if err := w.stream.SetReadDeadline(time.Now().Add(w.silence)); err != nil {
		return 0, err
	}
	n, err := w.stream.Read(p)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		err = fmt.Errorf("nothing was heard for %v", w.silence)
	}
	if good := w.inspect(p[:n]); good < n {
		n, err = good, w.bad
		w.refused.Store(&w.bad)
	}
	return n, err
}

func (w *wire) Write(p []byte) (int, error) { return w.stream.Write(p) }

// Close ends the socket without a goodbye, which frees readers and writers.
func (w *wire) Close() error { return w.socket.Close() }
