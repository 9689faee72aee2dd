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
	all, err := listen("amqp", c.Listen)
	if err != nil {
		return nil, err
	}
	for i := range all {
		all[i] = a.proxied("amqp", c.Proxied, all[i])
	}
	secure, err := listen("amqp", c.TLSListen)
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
		open, err := listen("mqtt", way.addrs)
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
