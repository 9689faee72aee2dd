package mqttwire

import "encoding/binary"

// Properties is the bytes of a property list without its length. A list that
// comes from a decoder is checked: every property is one its packet may carry,
// stands there once if it may only once, and has a value in range.
type Properties []byte

// Each goes through the list in its order.
func (p Properties) Each(yield func(Property) bool) {
	for len(p) > 0 {
		entry := Property{ID: PropertyID(p[0])}
		rest, ok := entry.read(p[1:])
		if !ok || !yield(entry) {
			return
		}
		p = rest
	}
}

// Uint32 is a property that is a number of any width.
func (p Properties) Uint32(id PropertyID) (value uint32, ok bool) {
	entry, ok := p.find(id)
	return entry.Number, ok
}

// Text is a property that is a string.
func (p Properties) Text(id PropertyID) (value string, ok bool) {
	entry, ok := p.find(id)
	return string(entry.Value), ok
}

// Binary is a property that is a string or binary data, as a view.
func (p Properties) Binary(id PropertyID) (value []byte, ok bool) {
	entry, ok := p.find(id)
	return entry.Value, ok
}

// Has reports whether the list has the property.
func (p Properties) Has(id PropertyID) bool {
	_, ok := p.find(id)
	return ok
}

// UserProperties goes through the user properties in their order; names may
// repeat.
func (p Properties) UserProperties(yield func(name, value []byte) bool) {
	for entry := range p.Each {
		if entry.ID == UserProperty && !yield(entry.Name, entry.Value) {
			return
		}
	}
}

func (p Properties) find(id PropertyID) (Property, bool) {
	for entry := range p.Each {
		if entry.ID == id {
			return entry, true
		}
	}
	return Property{}, false
}

// check checks a foreign list. Identifiers are one byte in MQTT 5, though
// formally variable byte integers: larger ones are unknown.
func (p Properties) check(at place) *Error {
	var seen uint64
	for len(p) > 0 {
		entry := Property{ID: PropertyID(p[0])}
		id := entry.ID
		if id.form() == noForm || propertyRules[id].places&(1<<at) == 0 {
			return misplaced(id, at)
		}
		if seen&(1<<id) != 0 && !repeats(id, at) {
			return errorf(ProtocolError, "%s stands there twice", id)
		}
		seen |= 1 << id
		rest, ok := entry.read(p[1:])
		if !ok {
			return errorf(MalformedPacket, "%s is cut short", id)
		}
		if err := entry.check(); err != nil {
			return err
		}
		p = rest
	}
	if seen&(1<<AuthenticationData) != 0 && seen&(1<<AuthenticationMethod) == 0 {
		return errorf(ProtocolError, "authentication data without method") // section 3.1.2.11.10
	}
	return nil
}

// misplaced tells a property that only the other side may send from one that
// its packet never has (section 2.2.2.2).
func misplaced(id PropertyID, at place) *Error {
	switch {
	case id == SubscriptionID && at == place(TypePublish), // [MQTT-3.3.4-6]
		id == SessionExpiry && at == inServerDisconnect,      // [MQTT-3.14.2-2]
		id == ServerReference && at == place(TypeDisconnect): // section 3.14.2.2.5
		return errorf(ProtocolError, "%s is for the other side to send", id)
	}
	return errorf(MalformedPacket, "%s is not allowed here", id)
}

func repeats(id PropertyID, at place) bool {
	return id == UserProperty || id == SubscriptionID && at == inServerPublish
}

// PropertyWriter makes a property list. It keeps the first error; the zero
// value is ready, and Reset makes it so again with its memory kept.
type PropertyWriter struct {
	list Properties
	err  error
}

// Reset forgets the list.
func (w *PropertyWriter) Reset() { w.list, w.err = w.list[:0], nil }

// Properties is the list, valid until Reset, or the first error.
func (w *PropertyWriter) Properties() (Properties, error) {
	if w.err != nil {
		return nil, w.err
	}
	return w.list, nil
}

// Number adds a property that is a number of any width.
func (w *PropertyWriter) Number(id PropertyID, value uint32) {
	fits := true
	list := append(w.list, byte(id))
	switch id.form() {
	case formU8:
		fits = value < 1<<8
		list = append(list, byte(value))
	case formU16:
		fits = value < 1<<16
		list = binary.BigEndian.AppendUint16(list, uint16(value))
	case formU32:
		list = binary.BigEndian.AppendUint32(list, value)
	case formVarint:
		fits = value <= remainingMax
		list = appendVarint(list, int(value&remainingMax))
	default:
		panic("BUG: " + id.String() + " is not a number")
	}
	if !fits {
		w.fail(errorf(MalformedPacket, "encode %s %d: out of range", id, value))
		return
	}
	w.add(list, &Property{ID: id, Number: value})
}

// Text adds a property that is a string.
func (w *PropertyWriter) Text(id PropertyID, value string) {
	if id.form() != formText {
		panic("BUG: " + id.String() + " is not a text")
	}
	if list, ok := w.appendString(append(w.list, byte(id)), id, value); ok {
		w.add(list, &Property{ID: id, Value: list[len(list)-len(value):]})
	}
}

// Binary adds a property that is binary data.
func (w *PropertyWriter) Binary(id PropertyID, value []byte) {
	if id.form() != formBinary {
		panic("BUG: " + id.String() + " is not binary data")
	}
	if list, ok := w.appendString(append(w.list, byte(id)), id, view(value)); ok {
		w.add(list, &Property{ID: id})
	}
}

// User adds a user property.
func (w *PropertyWriter) User(name, value string) {
	list, ok := w.appendString(append(w.list, byte(UserProperty)), UserProperty, name)
	if !ok {
		return
	}
	if list, ok = w.appendString(list, UserProperty, value); ok {
		w.add(list, &Property{
			ID:    UserProperty,
			Name:  list[len(w.list)+3:][:len(name)],
			Value: list[len(list)-len(value):],
		})
	}
}

// add takes the list over if its last property, which is p, has a good value.
func (w *PropertyWriter) add(list Properties, p *Property) {
	if err := p.check(); err != nil {
		w.fail(err)
		return
	}
	if w.err == nil {
		w.list = list
	}
}

func (w *PropertyWriter) appendString(list Properties, id PropertyID, s string) (Properties, bool) {
	if len(s) > stringMax {
		w.fail(errorf(MalformedPacket, "encode %s of %d bytes: at most %d fit", id, len(s), stringMax))
		return nil, false
	}
	list = binary.BigEndian.AppendUint16(list, uint16(len(s)))
	return append(list, s...), true
}

func (w *PropertyWriter) fail(err error) {
	if w.err == nil {
		w.err = err
	}
}
