package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"leveret/edge/config"
)

const (
	answerTimeout  = 10 * time.Second
	answerBytesMax = 32 << 20 // a broker full of queues with long names
	passwordEnv    = "LEVERET_PASSWORD"
	addressFile    = "admin.addr" // in the data folder, written by a running instance
	commandSocket  = "admin.sock" // likewise
)

// instance is how a running one is reached.
type instance struct {
	settings
	address string
	user    string
}

// howToReach is how the help of a command that asks begins.
const howToReach = `asks a running instance over HTTP. It is found by --addr, else by the
socket or the address in its data folder, else by the configuration.`

func (i *instance) flags(c *cobra.Command) {
	i.settings.flags(c)
	c.Flags().StringVar(&i.address, "addr", "", "`HOST:PORT` of the admin door, or unix:PATH")
	c.Flags().StringVar(&i.user, "user", "", "`NAME` to log in with")
}

// find is where the admin door is.
func (i *instance) find() (string, error) {
	if i.address != "" {
		if strings.HasPrefix(i.address, config.UnixPrefix) {
			return i.address, nil
		}
		if _, _, err := net.SplitHostPort(i.address); err != nil {
			return "", usageErrorf("--addr must be HOST:PORT or unix:PATH: %w", err)
		}
		return reachable(i.address), nil
	}
	cfg, err := i.load()
	if err != nil {
		return "", err
	}
	// Who may open it needs no login there. Others go on, as do all where it was
	// left behind by an instance that was killed.
	if path, err := filepath.Abs(filepath.Join(cfg.DataDir, commandSocket)); err == nil {
		if c, err := net.DialTimeout("unix", path, answerTimeout); err == nil {
			_ = c.Close()
			return config.UnixPrefix + path, nil
		}
	}
	if left, err := os.ReadFile(filepath.Join(cfg.DataDir, addressFile)); err == nil {
		first, _, _ := strings.Cut(string(left), "\n")
		if _, _, err := net.SplitHostPort(first); err == nil || strings.HasPrefix(first, config.UnixPrefix) {
			return reachable(first), nil
		}
	}
	if len(cfg.Admin.Listen) == 0 {
		return "", errors.New("the admin door is closed: admin.listen is empty")
	}
	return reachable(cfg.Admin.Listen[0]), nil
}

// reachable is where to connect to for what is listened on: an address that
// stands for all of the machine's is reached over loopback.
func reachable(address string) string {
	if strings.HasPrefix(address, config.UnixPrefix) {
		return address
	}
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return address
	}
	ip, err := netip.ParseAddr(host)
	switch {
	case host == "", err == nil && ip == netip.IPv4Unspecified():
		return net.JoinHostPort("127.0.0.1", port)
	case err == nil && ip == netip.IPv6Unspecified():
		return net.JoinHostPort("::1", port)
	}
	return address
}

// get asks for something and reads its JSON.
func (i *instance) get(ctx context.Context, path string, into any) error {
	what, answer, err := i.do(ctx, http.MethodGet, path)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(answer, into); err != nil {
		return fmt.Errorf("%s: not an answer of leveret: %w", what, err)
	}
	return nil
}

// do sends a request; path is escaped and may have a query. It goes straight to
// the address: a proxy or a redirect would see the password. what names it in
// errors.
func (i *instance) do(ctx context.Context, method, path string) (what string, answer []byte, err error) {
	address, err := i.find()
	if err != nil {
		return "", nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	transport, host := &http.Transport{DisableKeepAlives: true}, address
	if path, unix := strings.CutPrefix(address, config.UnixPrefix); unix {
		host = "localhost"
		transport.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", path)
		}
	}
	u, err := url.Parse("http://" + host + path)
	if err != nil {
		return "", nil, usageErrorf("%s: %w", address, err)
	}
	what = strings.TrimPrefix(strings.TrimPrefix(u.Path, "/api"), "/") + " of " + address
	request, err := http.NewRequestWithContext(ctx, method, u.String(), nil)
	if err != nil {
		return what, nil, fmt.Errorf("%s: %w", what, err)
	}
	if i.user != "" {
		request.SetBasicAuth(i.user, os.Getenv(passwordEnv))
	}
	client := http.Client{
		Transport:     transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	response, err := client.Do(request)
	if err != nil {
		return what, nil, fmt.Errorf("no instance answers (is it running?): %w", err)
	}
	defer response.Body.Close()
	answer, err = io.ReadAll(io.LimitReader(response.Body, answerBytesMax+1))
	if err == nil && len(answer) > answerBytesMax {
		err = fmt.Errorf("longer than %d bytes", answerBytesMax)
	}
	if err == nil {
		err = refused(response, answer)
	}
	if err != nil {
		return what, nil, fmt.Errorf("%s: %w", what, err)
	}
	return what, answer, nil
}

// refused is what a refusal says.
func refused(response *http.Response, answer []byte) error {
	var said struct{ Reason string }
	switch {
	case response.StatusCode < 300:
		return nil
	case response.StatusCode == http.StatusUnauthorized:
		return fmt.Errorf("a login is required; give --user NAME and the password in %s", passwordEnv)
	case json.Unmarshal(answer, &said) == nil && said.Reason != "":
		return fmt.Errorf("answered %s: %s", response.Status, printable(said.Reason))
	}
	return fmt.Errorf("answered %s", response.Status)
}
