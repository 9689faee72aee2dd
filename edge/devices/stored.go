package devices

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"leveret/amqp"
	"leveret/amqp/broker"
)

// noteKind names the registry's notes in the spool; each is named by its id.
const noteKind = "device"

// A stored device is, version 1 (str is a uvarint length and bytes, stamp a
// uvarint boot and an i64 in nanoseconds):
//
//	u8 version, str id, str client, str user, str vhost, str protocol,
//	str address, str last key, stamps first, last, last message and silent
//	since, uvarints in, in bytes, out and out bytes, u8 silent
const storedVersion = 1

func (d *Device) encode() []byte {
	b := []byte{storedVersion}
	for _, s := range []string{d.ID, d.Client, d.User, d.VHost, d.Protocol, d.Address, d.LastKey} {
		b = append(binary.AppendUvarint(b, uint64(len(s))), s...)
	}
	for _, s := range []amqp.Stamp{d.First, d.Last, d.LastMessage, d.SilentSince} {
		b = binary.BigEndian.AppendUint64(binary.AppendUvarint(b, uint64(s.Boot)), uint64(s.At))
	}
	for _, n := range []uint64{d.In, d.InBytes, d.Out, d.OutBytes} {
		b = binary.AppendUvarint(b, n)
	}
	if d.Silent {
		return append(b, 1)
	}
	return append(b, 0)
}

var errTorn = errors.New("ends too early")

func decodeDevice(b []byte) (d Device, err error) {
	r := reader{b: b}
	if v := r.octet(); r.err == nil && v != storedVersion {
		return d, fmt.Errorf("version %d is not known", v)
	}
	for _, s := range []*string{&d.ID, &d.Client, &d.User, &d.VHost, &d.Protocol, &d.Address, &d.LastKey} {
		*s = r.text()
	}
	for _, s := range []*amqp.Stamp{&d.First, &d.Last, &d.LastMessage, &d.SilentSince} {
		s.Boot = amqp.Boot(r.uvarint())
		s.At = amqp.Instant(r.fixed())
	}
	for _, n := range []*uint64{&d.In, &d.InBytes, &d.Out, &d.OutBytes} {
		*n = r.uvarint()
	}
	d.Silent = r.octet() == 1
	if r.err == nil && (d.ID == "" || len(d.ID) > idBytesMax) {
		r.err = errors.New("the id is no id")
	}
	return d, r.err
}

// reader keeps the first error and gives zero values after it.
type reader struct {
	b   []byte
	err error
}

func (r *reader) take(n uint64) []byte {
	if r.err != nil || n > uint64(len(r.b)) {
		r.b, r.err = nil, errTorn
		return nil
	}
	p := r.b[:n]
	r.b = r.b[n:]
	return p
}

func (r *reader) octet() byte {
	if p := r.take(1); p != nil {
		return p[0]
	}
	return 0
}

func (r *reader) fixed() uint64 {
	if p := r.take(8); p != nil {
		return binary.BigEndian.Uint64(p)
	}
	return 0
}

func (r *reader) uvarint() uint64 {
	v, n := binary.Uvarint(r.b)
	if n <= 0 {
		n = len(r.b) + 1 // more than there is
	}
	if r.take(uint64(n)) == nil {
		return 0
	}
	return v
}

func (r *reader) text() string { return string(r.take(r.uvarint())) }

// loadLocked takes over what was stored; of too many the newest.
func (r *Registry) loadLocked(notes []broker.Note) {
	var list []*entry
	for _, n := range notes {
		d, err := decodeDevice(n.Value)
		if err != nil || d.ID != n.Name {
			r.o.Log.Error("a stored device cannot be read and is forgotten", "device", n.Name, "err", err)
			r.removed = append(r.removed, n.Name)
			continue
		}
		list = append(list, &entry{Device: d, saved: d.In + d.Out})
	}
	slices.SortFunc(list, func(a, b *entry) int {
		switch {
		case before(a.Last, b.Last):
			return -1
		case before(b.Last, a.Last):
			return 1
		}
		return 0
	})
	for _, e := range list {
		e.SilentAfter = r.rules.after(&e.Device)
		e.away = r.away.PushBack(e)
		r.known[e.ID] = e
		if e.Silent {
			r.silent++
		}
	}
	for len(r.known) > max(r.rules.Max, 0) {
		r.counts.Forgotten++
		r.removeLocked(r.away.Front().Value.(*entry))
	}
}

// notesLocked are what has changed since they were last taken.
func (r *Registry) notesLocked() (notes []broker.Note) {
	r.saveAt = 0
	for _, id := range r.removed {
		if r.known[id] == nil { // it may have come again
			notes = append(notes, broker.Note{Kind: noteKind, Name: id})
		}
	}
	r.removed = nil
	for _, e := range r.known {
		d := e.now()
		if e.changed || d.In+d.Out != e.saved {
			notes = append(notes, broker.Note{Kind: noteKind, Name: e.ID, Value: d.encode()})
			e.changed, e.saved = false, d.In+d.Out
		}
	}
	if len(r.peers) > 0 {
		r.saveWithin(saveEvery)
	}
	return notes
}
