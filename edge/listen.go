package edge

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
)

// listen opens a door's addresses, all or none.
func listen(door string, addrs []string) ([]net.Listener, error) {
	var open []net.Listener
	for _, addr := range addrs {
		l, err := net.Listen("tcp", addr)
		if err != nil {
			closeAll(open)
			return nil, fmt.Errorf("%s door: %w", door, err)
		}
		open = append(open, l)
	}
	return open, nil
}

func closeAll(ls []net.Listener) {
	for _, l := range ls {
		if err := l.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
			slog.Debug("closing a listener failed", "addr", l.Addr().String(), "err", err)
		}
	}
}
