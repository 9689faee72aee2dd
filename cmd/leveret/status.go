package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"leveret/edge/admin"
)

// statusQuery is how a running instance is asked.
type statusQuery struct {
	instance
	json bool
}

func statusCommand() *cobra.Command {
	var q statusQuery
	c := &cobra.Command{
		Use:   "status",
		Short: "Show what a running instance does",
		Long: "Status " + howToReach + ` Who may open the socket
needs no login; others give --user, and the password in ` + passwordEnv + `.`,
		Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			return q.show(c.Context(), c.OutOrStdout())
		},
	}
	q.flags(c)
	c.Flags().BoolVar(&q.json, "json", false, "print the answer as JSON")
	return c
}

func (q *statusQuery) show(ctx context.Context, to io.Writer) error {
	what, answer, err := q.do(ctx, http.MethodGet, "/api/status")
	if err != nil {
		return err
	}
	var st admin.Status
	if err := json.Unmarshal(answer, &st); err != nil {
		return fmt.Errorf("%s: not an answer of leveret: %w", what, err)
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
	if st.Devices.Known > 0 {
		devices := newSheet("DEVICES", "CONNECTED", "SILENT", "AT MOST")
		devices.row(st.Devices.Known, st.Devices.Connected, st.Devices.Silent, st.Devices.Max)
		devices.print(to)
	}
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
	shovels := newSheet("SHOVEL", "FROM", "TO", "STATE", "LAG", "SENT", "REFUSED", "LAST ERROR")
	for _, s := range st.Shovels {
		lag := strconv.FormatInt(s.Lag, 10)
		if s.LagUnknown {
			lag = "?"
		}
		shovels.row(s.Name, cmp.Or(s.Source, "-"), cmp.Or(s.Target, "-"), s.State, lag, s.Sent, s.Refused, cmp.Or(s.Held, s.LastError, "-"))
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
