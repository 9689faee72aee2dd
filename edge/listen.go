package edge

import (
	"context"
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

// listen opens a door's addresses, all or none. mode is that of Unix sockets.
func listen(door string, addrs []string, mode fs.FileMode) ([]net.Listener, error) {
	var open []net.Listener
	for _, addr := range addrs {
		l, err := listenOn(addr, mode)
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
func listenOn(addr string, mode fs.FileMode) (net.Listener, error) {
	path, unix := strings.CutPrefix(addr, config.UnixPrefix)
	if !unix {
		return net.Listen("tcp", addr)
	}
	l, err := listenUnix(path, mode)
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
	return listenUnix(path, mode)
}

// listenUnix makes a socket that only those may ever open whom its mode lets: it
// has as few rights as that before it has a name, and all of them afterwards,
// whatever the process's mask is.
func listenUnix(path string, mode fs.FileMode) (net.Listener, error) {
	narrow := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
		return c.Control(func(fd uintptr) { _ = syscall.Fchmod(int(fd), uint32(mode)) }) // Linux alone knows it
	}}
	l, err := narrow.Listen(context.Background(), "unix", path)
	if err != nil {
		return nil, err
	}
	if err := os.Chmod(path, mode); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return l, nil
}

// wrapping makes another listener of one; with an error it gives the old one.
type wrapping func(net.Listener) (net.Listener, error)

func plain(l net.Listener) (net.Listener, error) { return l, nil }

// overTLS shows the door's certificate.
func (a *App) overTLS(door string, c config.TLS, protocol string) wrapping {
	return func(l net.Listener) (net.Listener, error) {
		files := &certificates{
			cert: c.CertFile, key: c.KeyFile, clientCA: c.ClientCAFile,
			protocols: []string{protocol}, log: a.log.With("door", door),
		}
		config, err := files.config()
		if err != nil {
			return l, fmt.Errorf("%s door: %w", door, err)
		}
		return tls.NewListener(l, config), nil
	}
}

// listenAMQP opens all addresses of the AMQP door, or none.
func (a *App) listenAMQP(c config.AMQP) ([]net.Listener, error) {
	all, err := listen("amqp", c.Listen, c.SocketMode)
	if err != nil {
		return nil, err
	}
	for i := range all {
		all[i] = a.proxied("amqp", c.Proxied, all[i])
	}
	secure, err := listen("amqp", c.TLSListen, c.SocketMode)
	for i := range secure {
		if secure[i], err = a.overTLS("amqp", c.TLS, "amqp")(a.proxied("amqp", c.Proxied, secure[i])); err != nil {
			break
		}
	}
	if all = append(all, secure...); err != nil {
		closeAll(all)
		return nil, err
	}
	return all, nil
}

// listenMQTT opens all addresses of the MQTT door, or none.
func (a *App) listenMQTT(c config.MQTT) (all []net.Listener, err error) {
	log := a.log.With("door", "mqtt")
	for _, way := range []struct {
		addrs []string
		wrap  wrapping
		web   bool
	}{
		{c.Listen, plain, false},
		{c.TLSListen, a.overTLS("mqtt", c.TLS, "mqtt"), false},
		{c.WebSocketListen, plain, true},
		{c.WebSocketTLSListen, a.overTLS("mqtt", c.TLS, "http/1.1"), true},
	} {
		open, err := listen("mqtt", way.addrs, c.SocketMode)
		for i := range open {
			if open[i], err = way.wrap(a.guests.accepting(a.proxied("mqtt", c.Proxied, open[i]))); err != nil {
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
