package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"leveret/edge/devices"
)

// devicesQuery is what is asked of the devices.
type devicesQuery struct {
	instance
	json   bool
	silent bool
	now    func() time.Time
}

func devicesCommand() *cobra.Command {
	q := devicesQuery{now: time.Now}
	c := &cobra.Command{
		Use:   "devices [ID]",
		Short: "Show the clients that a running instance has seen",
		Long: "Devices " + howToReach + `
It lists the clients that were seen on any door, or tells all that is known of
one. A ~ marks times that may be wrong: the gateway's clock was not set then.
From the same machine no login is needed; elsewhere give --user, and the
password in ` + passwordEnv + `.`,
		Args: atMostOne,
		RunE: func(c *cobra.Command, args []string) error {
			if len(args) == 1 {
				return q.showOne(c.Context(), c.OutOrStdout(), args[0])
			}
			return q.show(c.Context(), c.OutOrStdout())
		},
	}
	q.flags(c)
	c.Flags().BoolVar(&q.json, "json", false, "print the answer as JSON")
	c.Flags().BoolVar(&q.silent, "silent", false, "only those that have fallen silent")
	c.AddCommand(forgetCommand())
	return c
}

func forgetCommand() *cobra.Command {
	var i instance
	c := &cobra.Command{
		Use:   "forget ID",
		Short: "Take a client that is not connected out of the memory",
		Long:  "Forget " + howToReach + "\nIt needs the login of an administrator: --user, and the password in " + passwordEnv + ".",
		Args:  exactlyOne,
		RunE: func(c *cobra.Command, args []string) error {
			_, _, err := i.do(c.Context(), http.MethodDelete, "/api/devices/"+url.PathEscape(args[0]))
			return err
		},
	}
	i.flags(c)
	return c
}

// devicesPage is how many are asked for at a time.
const devicesPage = 500

// all asks for all devices, page by page. One that comes or goes meanwhile may
// be missed or be there twice.
func (q *devicesQuery) all(ctx context.Context) (list []*devices.View, err error) {
	for page, pages := 1, 1; page <= pages; page++ {
		var answer struct {
			Items []*devices.View `json:"items"`
			Pages int             `json:"page_count"`
		}
		err := q.get(ctx, fmt.Sprintf("/api/devices?page=%d&page_size=%d", page, devicesPage), &answer)
		if err != nil {
			return nil, err
		}
		list, pages = append(list, answer.Items...), answer.Pages
	}
	if q.silent {
		list = slices.DeleteFunc(list, func(v *devices.View) bool { return !v.Silent })
	}
	return list, nil
}

func (q *devicesQuery) show(ctx context.Context, to io.Writer) error {
	list, err := q.all(ctx)
	if err != nil {
		return err
	}
	if q.json {
		return printJSON(to, append([]*devices.View{}, list...))
	}
	var out bytes.Buffer
	printDevices(&out, list, q.now())
	_, err = to.Write(out.Bytes())
	return err
}

func printJSON(to io.Writer, v any) error {
	e := json.NewEncoder(to)
	e.SetIndent("", "  ")
	return e.Encode(v)
}

// idColumns is how much of an id a table shows: then a line has 80 columns with
// an IPv4 address. All of it is in --json.
const idColumns = 32

// printDevices writes a line for each.
func printDevices(to io.Writer, list []*devices.View, now time.Time) {
	connected, silent := 0, 0
	for _, v := range list {
		if v.Connected {
			connected++
		}
		if v.Silent {
			silent++
		}
	}
	fmt.Fprintf(to, "%d devices: %d connected, %d silent\n", len(list), connected, silent)
	sheet := newSheet("DEVICE", "STATE", "HEARD", "MESSAGES", "ADDRESS")
	for _, v := range list {
		sheet.row(cut(printable(v.ID), idColumns), deviceState(v), ago(v, "last_message", v.LastMessage, now), v.MessagesIn, hostOnly(v.Address))
	}
	sheet.print(to)
}

func deviceState(v *devices.View) string {
	switch {
	case v.Silent:
		return "SILENT"
	case v.Connected:
		return "connected"
	}
	return "away"
}

// cut is text in at most so many columns.
func cut(text string, columns int) string {
	if utf8.RuneCountInString(text) <= columns {
		return text
	}
	return string([]rune(text)[:columns-1]) + "…"
}

// ago is how long ago something was, in its largest unit.
func ago(v *devices.View, name string, at *time.Time, now time.Time) string {
	if at == nil {
		if name == "last_message" && v.MessagesIn == 0 {
			return "never"
		}
		return "unknown"
	}
	mark := ""
	if slices.Contains(v.Unsure, name) {
		mark = "~"
	}
	d := max(0, now.Sub(*at))
	for _, unit := range []struct {
		is   time.Duration
		name string
	}{{24 * time.Hour, "d"}, {time.Hour, "h"}, {time.Minute, "m"}} {
		if d >= unit.is {
			return mark + strconv.Itoa(int(d/unit.is)) + unit.name + " ago"
		}
	}
	return mark + strconv.Itoa(int(d/time.Second)) + "s ago"
}

// hostOnly leaves out the port, which says little.
func hostOnly(address string) string {
	if host, _, err := net.SplitHostPort(address); err == nil {
		return host
	}
	return address
}

func (q *devicesQuery) showOne(ctx context.Context, to io.Writer, id string) error {
	var v devices.View
	if err := q.get(ctx, "/api/devices/"+url.PathEscape(id), &v); err != nil {
		return err
	}
	if q.json {
		return printJSON(to, v)
	}
	var out bytes.Buffer
	printDevice(&out, &v, q.now())
	_, err := to.Write(out.Bytes())
	return err
}

// printDevice writes all that is known of one.
func printDevice(to io.Writer, v *devices.View, now time.Time) {
	when := func(name string, at *time.Time) string {
		if at == nil {
			return ago(v, name, at, now)
		}
		return at.Local().Format(time.DateTime) + " (" + ago(v, name, at, now) + ")"
	}
	line := func(name string, value any) { fmt.Fprintf(to, "%-14s%s\n", name, printable(fmt.Sprint(value))) }
	line("device", v.ID)
	line("state", deviceState(v))
	line("connections", v.Connections)
	line("user", v.User)
	line("vhost", v.VHost)
	line("protocol", v.Protocol)
	line("address", v.Address)
	line("first seen", when("first_seen", v.FirstSeen))
	line("last seen", when("last_seen", v.LastSeen))
	line("last message", when("last_message", v.LastMessage))
	if v.LastKey != "" {
		line("last key", v.LastKey)
	}
	line("published", fmt.Sprintf("%d messages, %s", v.MessagesIn, byteCount(int64(v.BytesIn))))
	line("received", fmt.Sprintf("%d messages, %s", v.MessagesOut, byteCount(int64(v.BytesOut))))
	watched := "never"
	if v.SilentAfter > 0 {
		watched = time.Duration(v.SilentAfter * float64(time.Second)).String()
	}
	line("silent after", watched)
	if v.Silent {
		line("silent since", when("silent_since", v.SilentSince))
	}
}
