package devices

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strconv"

	"leveret/amqp"
	"leveret/amqp/broker"
)

// owedKind names notes of events that happened and were not published when the
// process ended: their names are numbers, in the order in which it happened.
const owedKind = "device-event"

// A stored event is, version 1 (see stored.go for str and stamp):
//
//	u8 version, str kind, str device, str client, str user, str vhost, str
//	protocol, str address, str last key, stamps time and silent since, uvarint
//	silent after in seconds
const owedVersion = 1

func (ev *Event) encode() []byte {
	b := []byte{owedVersion}
	for _, s := range []string{string(ev.Kind), ev.Device, ev.Client, ev.User, ev.VHost, ev.Protocol, ev.Address, ev.LastKey} {
		b = append(binary.AppendUvarint(b, uint64(len(s))), s...)
	}
	for _, s := range []amqp.Stamp{ev.at, ev.since} {
		b = binary.BigEndian.AppendUint64(binary.AppendUvarint(b, uint64(s.Boot)), uint64(s.At))
	}
	return binary.AppendUvarint(b, uint64(max(0, ev.SilentAfter)))
}

func decodeEvent(b []byte) (ev Event, err error) {
	r := reader{b: b}
	if v := r.octet(); r.err == nil && v != owedVersion {
		return ev, fmt.Errorf("version %d is not known", v)
	}
	ev.Kind = Kind(r.text())
	for _, s := range []*string{&ev.Device, &ev.Client, &ev.User, &ev.VHost, &ev.Protocol, &ev.Address, &ev.LastKey} {
		*s = r.text()
	}
	for _, s := range []*amqp.Stamp{&ev.at, &ev.since} {
		s.Boot = amqp.Boot(r.uvarint())
		s.At = amqp.Instant(r.fixed())
	}
	ev.SilentAfter = int64(r.uvarint())
	return ev, r.err
}

// oweLocked takes over the events of the life before, which are the first to be
// told now.
func (r *Registry) oweLocked(notes []broker.Note) {
	if len(notes) == 0 {
		return
	}
	inOrder := make([]*Event, len(notes))
	for _, n := range notes {
		r.owed = append(r.owed, n.Name)
		ev, err := decodeEvent(n.Value)
		at, odd := strconv.Atoi(n.Name)
		if err = errors.Join(err, odd); err == nil && uint(at) >= uint(len(notes)) {
			err = errors.New("one before it is missing")
		}
		if err != nil {
			r.o.Log.Error("an event that was to be published cannot be read", "note", n.Name, "err", err)
			continue
		}
		inOrder[at] = &ev
	}
	for _, ev := range inOrder {
		if ev != nil {
			r.told = append(r.told, *ev)
		}
	}
	r.o.Alarm(r.o.Now())
}

// settledLocked are the notes of events of the life before, to be taken away.
func (r *Registry) settledLocked() (notes []broker.Note) {
	for _, name := range r.owed {
		notes = append(notes, broker.Note{Kind: owedKind, Name: name})
	}
	r.owed = nil
	return notes
}

// owedLocked are the notes of what is still to be told, in place of those that
// there are. What nobody would hear is not kept.
func (r *Registry) owedLocked() (notes []broker.Note) {
	gone := r.settledLocked()
	if len(r.told) > 0 && r.core.Bound(broker.DefaultVHost, Exchange) {
		for i := range r.told {
			name := strconv.Itoa(i)
			notes = append(notes, broker.Note{Kind: owedKind, Name: name, Value: r.told[i].encode()})
			r.owed = append(r.owed, name)
		}
	}
	for _, n := range gone {
		if !slices.Contains(r.owed, n.Name) {
			notes = append(notes, n)
		}
	}
	return notes
}
