package main

import (
	"bytes"
	"cmp"
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
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"leveret/edge/admin"
)

const (
	statusTimeout  = 10 * time.Second
	statusBytesMax = 32 << 20 // a broker full of queues with long names
	passwordEnv    = "LEVERET_PASSWORD"
	addressFile    = "admin.addr" // in the data folder, written by a running instance
)

// statusQuery is how a running instance is asked.
type statusQuery struct {
	settings
	address string
	user    string
	json    bool
}

func statusCommand() *cobra.Command {
	var q statusQuery
	c := &cobra.Command{
		Use:   "status",
		Short: "Show what a running instance does",
		Long: `Status asks a running instance over HTTP. It is found by --addr, else by what it
wrote into its data folder, else by the configuration. From the same machine no
login is needed; elsewhere give --user, and the password in ` + passwordEnv + `.`,
		Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			return q.show(c.Context(), c.OutOrStdout())
		},
	}
	q.flags(c)
	c.Flags().StringVar(&q.address, "addr", "", "`HOST:PORT` of the admin door")
	c.Flags().StringVar(&q.user, "user", "", "`NAME` to log in with")
	c.Flags().BoolVar(&q.json, "json", false, "print the answer as JSON")
	return c
}

func (q *statusQuery) show(ctx context.Context, to io.Writer) error {
	address, err := q.find()
	if err != nil {
		return err
	}
	answer, err := q.ask(ctx, address)
	if err != nil {
		return err
	}
	var st admin.Status
	if err := json.Unmarshal(answer, &st); err != nil {
		return fmt.Errorf("status of %s: not an answer of leveret: %w", address, err)
	}
	var out bytes.Buffer
	if !q.json {
		printStatus(&out, &st)
	} else if err := json.Indent(&out, answer, "", "  "); err != nil {
		return err
	}
	_, err = to.Write(out.Bytes())
	return err
}

// find is where the admin door is.
func (q *statusQuery) find() (string, error) {
	if q.address != "" {
		if _, _, err := net.SplitHostPort(q.address); err != nil {
			return "", usageErrorf("--addr must be HOST:PORT: %w", err)
		}
		return reachable(q.address), nil
	}
	cfg, err := q.load()
	if err != nil {
		return "", err
	}
	if left, err := os.ReadFile(filepath.Join(cfg.DataDir, addressFile)); err == nil {
		first, _, _ := strings.Cut(string(left), "\n")
		if _, _, err := net.SplitHostPort(first); err == nil {
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

// ask gets the status. It goes straight to the address: a proxy or a redirect
// would see the password.
func (q *statusQuery) ask(ctx context.Context, address string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, statusTimeout)
	defer cancel()
	u := url.URL{Scheme: "http", Host: address, Path: "/api/status"}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return nil, fmt.Errorf("status of %s: %w", address, err)
	}
	if q.user != "" {
		request.SetBasicAuth(q.user, os.Getenv(passwordEnv))
	}
	client := http.Client{
		Transport:     &http.Transport{DisableKeepAlives: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	response, err := client.Do(request)
	if err != nil {
		return nil, fmt.Errorf("no instance answers (is it running?): %w", err)
	}
	defer response.Body.Close()
	switch {
	case response.StatusCode == http.StatusUnauthorized:
		return nil, fmt.Errorf("status of %s: a login is required; give --user NAME and the password in %s", address, passwordEnv)
	case response.StatusCode != http.StatusOK:
		return nil, fmt.Errorf("status of %s: answered %s", address, response.Status)
	}
	answer, err := io.ReadAll(io.LimitReader(response.Body, statusBytesMax+1))
	if err == nil && len(answer) > statusBytesMax {
		err = fmt.Errorf("longer than %d bytes", statusBytesMax)
	}
	if err != nil {
		return nil, fmt.Errorf("status of %s: %w", address, err)
	}
	return answer, nil
}

// printVHosts writes how full the vhosts are.
func printVHosts(to io.Writer, vhosts []admin.VHost) {
	of := func(n, most int) string {
		if most == 0 {
			return strconv.Itoa(n)
		}
		return fmt.Sprintf("%d of %d", n, most)
	}
	sheet := newSheet("VHOST", "CONNECTIONS", "QUEUES", "READY")
	for _, v := range vhosts {
		sheet.row(v.Name, of(v.Connections, v.ConnectionsMax), of(v.Queues, v.QueuesMax), v.Ready)
	}
	sheet.print(to)
}

// printStatus writes what an operator wants to see at once.
func printStatus(to io.Writer, st *admin.Status) {
	fmt.Fprintf(to, "leveret %s, profile %s, up %s\n", printable(st.Version), printable(st.Profile), time.Duration(st.Uptime*float64(time.Second)).Round(time.Second))
	for _, t := range st.Troubles {
		fmt.Fprintf(to, "TROUBLE since %s: %s: %s\n", t.Since.Local().Format(time.DateTime), printable(t.Name), printable(t.Text))
	}
	listeners := newSheet("DOOR", "ADDRESS", "CONNECTIONS")
	for _, l := range st.Listeners {
		listeners.row(l.Door, l.Address, l.Connections)
	}
	listeners.print(to)
	if len(st.VHosts) > 1 {
		printVHosts(to, st.VHosts)
	}
	queues := newSheet("QUEUE", "READY", "UNACKED", "BYTES", "CONSUMERS")
	for _, q := range st.Queues {
		name := q.Name
		if q.VHost != "/" && q.VHost != "" {
			name += " (" + q.VHost + ")"
		}
		queues.row(name, q.Ready, q.Unacked, byteCount(q.Bytes), q.Consumers)
	}
	queues.print(to)
	shovels := newSheet("SHOVEL", "STATE", "LAG", "LAST ERROR")
	for _, s := range st.Shovels {
		shovels.row(s.Name, s.State, s.Lag, cmp.Or(s.LastError, "-"))
	}
	shovels.print(to)
	budget := "none"
	if st.Spool.BudgetBytes > 0 {
		budget = byteCount(st.Spool.BudgetBytes)
	}
	spool := newSheet("SPOOL", "BUDGET", "RECORDS", "STAGED", "COMMITS", "FAILED")
	spool.row(byteCount(st.Spool.DiskBytes), budget, st.Spool.Records, byteCount(st.Spool.StagedBytes), st.Spool.Commits, map[bool]string{false: "no", true: "YES"}[st.Spool.Failed])
	spool.print(to)
}
