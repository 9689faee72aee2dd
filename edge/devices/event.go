package devices

import (
	"encoding/json"
	"errors"
	"strings"
	"time"

	"leveret/amqp"
	"leveret/amqp/broker"
	"leveret/spool"
)

// Exchange is where events are published to: a durable topic exchange in the
// vhost /. The routing key is the kind and the id of the device
// (device.silent.meter-1); a queue bound with device.silent.# has all silences.
const Exchange = "leveret.event"

// Kind is what has happened to a device.
type Kind string

const (
	Silent       Kind = "device.silent"
	Back         Kind = "device.back"
	Connected    Kind = "device.connected"
	Disconnected Kind = "device.disconnected"
)

// Event is the body of an event message, as JSON (content-type
// application/json; the property type is the kind). Silences and their ends are
// persistent, the others are not. Times are RFC 3339 in UTC; null is unknown.
type Event struct {
	Kind     Kind   `json:"event"`
	Device   string `json:"device"`
	Client   string `json:"client,omitempty"`
	User     string `json:"user"`
	VHost    string `json:"vhost"`
	Protocol string `json:"protocol"`
	Address  string `json:"address"`
	// Time is when it happened, as far as the gateway knows.
	Time *time.Time `json:"time"`
	// Of silences and their ends: the last sign before it.
	SilentSince *time.Time `json:"silent_since,omitempty"`
	LastKey     string     `json:"last_key,omitempty"`
	SilentAfter int64      `json:"silent_after_seconds,omitempty"`
	// Unsure are the names of those times that may be wrong.
	Unsure []string `json:"unsure,omitempty"`

	at, since amqp.Stamp
}

// eventsMax bounds the events that wait to be published; of more the oldest are
// given up and counted.
const eventsMax = 4096

// tellLocked has an event published. When it happened is written out then: the
// clock may be corrected in between.
func (r *Registry) tellLocked(e *entry, kind Kind, at amqp.Stamp) {
	if len(r.told) >= eventsMax {
		r.told = r.told[1:]
		r.counts.EventsLost++
	}
	ev := Event{
		Kind: kind, Device: e.ID, Client: e.Client, User: e.User, VHost: e.VHost, Protocol: e.Protocol, Address: e.Address,
		at: at,
	}
	if kind == Silent || kind == Back {
		ev.since, ev.LastKey, ev.SilentAfter = e.SilentSince, e.LastKey, int64(e.SilentAfter.Seconds())
	}
	r.told = append(r.told, ev)
	r.o.Alarm(r.o.Now())
}

const noExchange = "events of devices cannot be published"

// declare makes the exchange, unless it is there.
func (r *Registry) declare() error {
	_, err := r.events.Conn().DeclareExchange(broker.ExchangeSpec{Name: Exchange, Type: "topic", Durable: true})
	return err
}

// publish brings events to the exchange, unless nobody would have them. It
// gives back those that must wait for room in the spool.
func (r *Registry) publish(events []Event) (left []Event) {
	if len(events) == 0 {
		return nil
	}
	if err := r.declare(); err != nil { // somebody may have deleted it, or made another of the name
		r.o.Log.Warn(noExchange, "err", err)
		return nil
	}
	if !r.core.Bound(broker.DefaultVHost, Exchange) {
		return nil
	}
	for i := range events {
		err := r.publishOne(&events[i])
		switch {
		case errors.Is(err, spool.ErrFull):
			return events[i:]
		case errors.Is(err, spool.ErrFailed): // the process ends
			return nil
		case err != nil:
			r.o.Log.Warn("an event was not published", "event", string(events[i].Kind), "device", events[i].Device, "err", err)
		}
	}
	return nil
}

func (r *Registry) publishOne(ev *Event) error {
	m, err := r.message(ev)
	if err != nil {
		return err
	}
	_, err = r.events.Publish(r.o.Now(), []broker.Publish{{Msg: m}})
	return err
}

func (r *Registry) message(ev *Event) (*amqp.Message, error) {
	ev.Unsure = nil
	ev.Time = r.wall(ev.at, "time", &ev.Unsure)
	ev.SilentSince = r.wall(ev.since, "silent_since", &ev.Unsure)
	body, err := json.Marshal(ev)
	if err != nil {
		return nil, err
	}
	props := amqp.PropertyList{ContentType: "application/json", Type: string(ev.Kind), AppID: "leveret", DeliveryMode: 1}
	if ev.Kind == Silent || ev.Kind == Back {
		props.DeliveryMode = 2
	}
	if t, sure := r.core.WallTime(ev.at); sure {
		props.Timestamp = amqp.Timestamp(max(0, t.Unix()))
	}
	key := string(ev.Kind) + "." + strings.ToValidUTF8(ev.Device, "?")
	return &amqp.Message{Exchange: Exchange, Key: key, Props: props.Encode(), Body: body}, nil
}
