package edge

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"strings"
	"syscall"

	"leveret/bridge/mqtt"
	"leveret/edge/config"
)

// listen opens a door's addresses, all or none.
func listen(door string, addrs []string) ([]net.Listener, error) {
	var open []net.Listener
	for _, addr := range addrs {
		l, err := listenOn(addr)
		if err != nil {
			closeAll(open)
			return nil, fmt.Errorf("%s door: %w", door, err)
		}
		open = append(open, l)
	}
	return open, nil
}

// listenOn opens a TCP address or a Unix socket. A socket that another process
// left behind is in nobody's way.
func listenOn(addr string) (net.Listener, error) {
	path, unix := strings.CutPrefix(addr, config.UnixPrefix)
	if !unix {
		return net.Listen("tcp", addr)
	}
	l, err := net.Listen("unix", path)
	if !errors.Is(err, syscall.EADDRINUSE) {
		return l, err
	}
	if c, dead := net.Dial("unix", path); dead == nil {
		_ = c.Close()
		return nil, err
	}
	if info, gone := os.Lstat(path); gone != nil || info.Mode().Type() != fs.ModeSocket {
		return nil, err
	}
	if err := os.Remove(path); err != nil {
		return nil, err
	}
	return net.Listen("unix", path)
}

// listenMQTT opens all addresses of the MQTT door, or none.
func (a *App) listenMQTT(c config.MQTT) (all []net.Listener, err error) {
	log := a.log.With("door", "mqtt")
	shown := func(protocol string) func(net.Listener) (net.Listener, error) {
		return func(l net.Listener) (net.Listener, error) {
			files := &certificates{cert: c.CertFile, key: c.KeyFile, clientCA: c.ClientCAFile, protocols: []string{protocol}, log: log}
			config, err := files.config()
			if err != nil {
				return l, fmt.Errorf("mqtt door: %w", err)
			}
			return tls.NewListener(l, config), nil
		}
	}
	plain := func(l net.Listener) (net.Listener, error) { return l, nil }
	for _, way := range []struct {
		addrs []string
		wrap  func(net.Listener) (net.Listener, error)
		web   bool
	}{
		{c.Listen, plain, false},
		{c.TLSListen, shown("mqtt"), false},
		{c.WebSocketListen, plain, true},
		{c.WebSocketTLSListen, shown("http/1.1"), true},
	} {
		open, err := listen("mqtt", way.addrs)
		for i := range open {
			if open[i], err = way.wrap(open[i]); err != nil {
				break
			}
			if way.web {
				open[i] = mqtt.WebSocketListener(open[i], c.WebSocketOrigins, log)
			}
		}
		all = append(all, open...)
		if err != nil {
			closeAll(all)
			return nil, err
		}
	}
	return all, nil
}

func closeAll(ls []net.Listener) {
	for _, l := range ls {
		if err := l.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
			slog.Debug("closing a listener failed", "addr", l.Addr().String(), "err", err)
		}
	}
}
