package main

import (
	"context"
	"net"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"leveret/bridge/mqttwire"
	"leveret/edge/admin"
	"leveret/edge/config"
	"leveret/edge/devices"
)

// running is the instance whose data folder that is.
func running(ts *testscript.TestScript, data string) *instance {
	for range 3000 { // a minute
		address, _, _ := strings.Cut(readIfThere(ts, data+"/"+addressFile), "\n")
		if nc, err := net.DialTimeout("tcp", address, time.Second); err == nil {
			nc.Close()
			return &instance{address: config.UnixPrefix + ts.MkAbs(data+"/"+commandSocket)}
		}
		time.Sleep(20 * time.Millisecond)
	}
	ts.Fatalf("no instance serves %s", data)
	return nil
}

func readIfThere(ts *testscript.TestScript, name string) string {
	text, _ := os.ReadFile(ts.MkAbs(name))
	return string(text)
}

// sensor DATA ID TOPIC PAYLOAD connects over MQTT, publishes at QoS 1, waits
// for the acknowledgement and leaves.
func sensor(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 4 {
		ts.Fatalf("usage: sensor DATA ID TOPIC PAYLOAD")
	}
	var st admin.Status
	ts.Check(running(ts, args[0]).get(context.Background(), "/api/status", &st))
	at := slices.IndexFunc(st.Listeners, func(l admin.Listener) bool { return l.Door == "mqtt" })
	nc, err := net.Dial("tcp", st.Listeners[at].Address)
	ts.Check(err)
	defer nc.Close()
	ts.Check(nc.SetDeadline(time.Now().Add(time.Minute)))
	b, err := mqttwire.AppendConnect(nil, &mqttwire.Connect{Version: mqttwire.V311, ClientID: args[1], CleanStart: true})
	ts.Check(err)
	b, err = mqttwire.AppendPublish(b, mqttwire.V311, &mqttwire.PublishOut{Topic: args[2], Payload: []byte(args[3]), QoS: 1, PacketID: 1})
	ts.Check(err)
	_, err = nc.Write(b)
	ts.Check(err)
	in := mqttwire.NewReader(nc, 1<<10)
	in.SetVersion(mqttwire.V311)
	for _, want := range []mqttwire.Type{mqttwire.TypeConnack, mqttwire.TypePuback} {
		p, err := in.Next()
		ts.Check(err)
		if p.Type != want {
			ts.Fatalf("%s came, want %s", p.Type, want)
		}
	}
	b, err = mqttwire.AppendDisconnect(nil, mqttwire.V311, &mqttwire.Disconnect{})
	ts.Check(err)
	_, err = nc.Write(b)
	ts.Check(err)
	_, _ = in.Next() // the end
}

// silence DATA ID waits until a device has fallen silent.
func silence(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: silence DATA ID")
	}
	i := running(ts, args[0])
	var v devices.View
	for range 3000 { // a minute
		ts.Check(i.get(context.Background(), "/api/devices/"+args[1], &v))
		if v.Silent {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
	ts.Fatalf("%s does not fall silent", args[1])
}
