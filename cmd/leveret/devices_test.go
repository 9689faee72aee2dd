package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"leveret/edge/devices"
)

func before(now time.Time, d time.Duration) *time.Time {
	t := now.Add(-d)
	return &t
}

var devicesNow = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

var exampleDevices = []*devices.View{
	{ID: "amqp:logger@collector", Address: "127.0.0.1:50112", Connected: true, MessagesIn: 70, LastMessage: before(devicesNow, 90*time.Minute)},
	{ID: strings.Repeat("long/", 20), Address: "192.168.178.100:1", MessagesIn: 18446744, LastMessage: before(devicesNow, 40*24*time.Hour), Unsure: []string{"last_message"}},
	{ID: "meter-1", Address: "10.0.0.7:4711", Connected: true, Silent: true, MessagesIn: 9, LastMessage: before(devicesNow, 59*time.Second)},
	{ID: "evil\x1b[2J", Address: "@"},
	{ID: "old", Address: "[fe80::1]:7", MessagesIn: 3},
}

const devicesShown = `5 devices: 2 connected, 1 silent

DEVICE                            STATE      HEARD     MESSAGES  ADDRESS
amqp:logger@collector             connected  1h ago    70        127.0.0.1
long/long/long/long/long/long/l…  away       ~40d ago  18446744  192.168.178.100
meter-1                           SILENT     59s ago   9         10.0.0.7
"evil\x1b[2J"                     away       never     0         @
old                               away       unknown   3         fe80::1
`

func TestDevicesShow(t *testing.T) {
	var out bytes.Buffer
	printDevices(&out, exampleDevices, devicesNow)
	if out.String() != devicesShown {
		t.Errorf("devices show as\n%s\nwant\n%s", out.String(), devicesShown)
	}
	for line := range strings.Lines(out.String()) {
		if n := utf8.RuneCountInString(strings.TrimRight(line, "\n")); n > 80 {
			t.Errorf("%d columns: %s", n, line)
		}
	}
	out.Reset()
	printDevice(&out, exampleDevices[2], devicesNow)
	if !strings.Contains(out.String(), "state         SILENT\n") || !strings.Contains(out.String(), "last message  "+exampleDevices[2].LastMessage.Local().Format(time.DateTime)+" (59s ago)\n") {
		t.Errorf("one device shows as\n%s", out.String())
	}
}

// TestDevicesOfManyPages asks until it has all.
func TestDevicesOfManyPages(t *testing.T) {
	address := serve(t, func(w http.ResponseWriter, r *http.Request) {
		var page int
		fmt.Sscan(r.URL.Query().Get("page"), &page)
		var items []devices.View
		for i := range 2 {
			items = append(items, devices.View{ID: fmt.Sprint(page, i), Silent: i == 1})
		}
		json.NewEncoder(w).Encode(map[string]any{"items": items, "page_count": 3})
	})
	for silent, want := range map[bool]string{false: "1 0,1 1,2 0,2 1,3 0,3 1", true: "1 1,2 1,3 1"} {
		q := devicesQuery{instance: instance{address: address}, json: true, silent: silent}
		var out bytes.Buffer
		if err := q.show(t.Context(), &out); err != nil {
			t.Fatal(err)
		}
		var got []devices.View
		if err := json.Unmarshal(out.Bytes(), &got); err != nil {
			t.Fatal(err)
		}
		var ids []string
		for _, v := range got {
			ids = append(ids, v.ID)
		}
		if all := strings.Join(ids, ","); all != want {
			t.Errorf("silent %v: %s, want %s", silent, all, want)
		}
	}
}
