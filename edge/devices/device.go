package devices

import (
	"crypto/sha256"
	"encoding/hex"
	"net"
	"slices"
	"strings"
	"time"

	"leveret/amqp"
	"leveret/amqp/broker"
)

// Device is what is known of one.
type Device struct {
	ID string
	// Client is the MQTT client id or the name of the AMQP connection; "" is a
	// client without one.
	Client string
	// What was so at the last connection.
	User, VHost, Protocol, Address string

	First       amqp.Stamp // seen
	Last        amqp.Stamp // seen: a connection's begin or end, or a message
	LastMessage amqp.Stamp // published by it; Boot is 0 when there was none
	LastKey     string     // routing key of that message, at most keyBytesMax

	Connections int // open now
	// Messages and the bytes of their bodies: published by it, and handed to it.
	In, InBytes, Out, OutBytes uint64

	Silent      bool
	SilentSince amqp.Stamp    // the last sign of it before
	SilentAfter time.Duration // by the rules; 0 is not watched
}

// Bounds of what is kept of a device.
const (
	idBytesMax  = 220 // with "device.disconnected." a routing key takes it
	keyBytesMax = 255
)

// Prefixes of ids that are not just an MQTT client id.
const (
	amqpPrefix     = "amqp:"     // amqp:user@name or amqp:user@address
	namelessPrefix = "nameless:" // nameless:user@address: MQTT without a client id
	mqttPrefix     = "mqtt:"     // a client id that begins with one of these
)

// idOf names the device behind a connection.
func idOf(who *broker.Identity) string {
	isMQTT := strings.HasPrefix(who.Protocol, "MQTT")
	var id string
	switch {
	case isMQTT && who.Client != "" && !who.Assigned:
		if id = who.Client; strings.HasPrefix(id, amqpPrefix) || strings.HasPrefix(id, namelessPrefix) || strings.HasPrefix(id, mqttPrefix) {
			id = mqttPrefix + id
		}
	case isMQTT:
		id = namelessPrefix + who.User + "@" + hostOf(who.Peer)
	case clientOf(who) != "":
		id = amqpPrefix + who.User + "@" + clientOf(who)
	default:
		id = amqpPrefix + who.User + "@" + hostOf(who.Peer)
	}
	return short(id)
}

// clientOf is the name that a client has given itself.
func clientOf(who *broker.Identity) string {
	switch {
	case who.Assigned:
		return ""
	case who.Client != "":
		return who.Client
	}
	return who.Name
}

// short makes of a long id one that fits, and is nobody else's.
func short(id string) string {
	if len(id) <= idBytesMax {
		return id
	}
	sum := sha256.Sum256([]byte(id))
	return id[:idBytesMax-17] + "~" + hex.EncodeToString(sum[:8])
}

// hostOf is an address without its port, which is another one each time.
func hostOf(address string) string {
	if host, _, err := net.SplitHostPort(address); err == nil {
		return host
	}
	return address
}

// meet takes over what a new connection says of the device.
func (e *entry) meet(who *broker.Identity, c *broker.Conn) {
	e.Client, e.User, e.VHost, e.Protocol, e.Address = clientOf(who), who.User, c.VHost(), who.Protocol, who.Peer
	e.Last = c.Opened()
}

// hear takes the newest message of a connection into account.
func (e *entry) hear(c *broker.Conn, t broker.Traffic) {
	at := amqp.Stamp{Boot: c.Opened().Boot, At: t.LastIn}
	if t.In == 0 || !before(e.LastMessage, at) {
		return
	}
	e.LastMessage, e.LastKey, e.changed = at, t.LastKey[:min(len(t.LastKey), keyBytesMax)], true
	if before(e.Last, at) {
		e.Last = at
	}
}

// refresh takes the newest messages of all connections into account.
func (e *entry) refresh() {
	for _, c := range e.conns {
		e.hear(c, c.Traffic())
	}
}

// leave takes a connection's counts over and lets go of it.
func (e *entry) leave(c *broker.Conn) {
	t := c.Traffic()
	e.hear(c, t)
	e.count(t)
	e.conns = slices.DeleteFunc(e.conns, func(one *broker.Conn) bool { return one == c })
}

func (d *Device) count(t broker.Traffic) {
	d.In += t.In
	d.InBytes += t.InBytes
	d.Out += t.Out
	d.OutBytes += t.OutBytes
}

// now is the device with what its open connections have counted.
func (e *entry) now() Device {
	e.refresh()
	d := e.Device
	for _, c := range e.conns {
		d.count(c.Traffic())
	}
	d.Connections = len(e.conns)
	return d
}

// published reports whether anything ever came from the device.
func (d *Device) published() bool { return d.LastMessage.Boot != 0 }

// before orders stamps: by boot, then by the boot's clock.
func before(a, b amqp.Stamp) bool {
	return a.Boot < b.Boot || a.Boot == b.Boot && a.At < b.At
}
