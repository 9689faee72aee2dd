package amqp091

import (
	"hash/fnv"
	"strconv"
	"strings"

	"leveret/amqp"
	"leveret/bridge"
)

// received converts a message. It may still need an id. Its expiration stays
// what it was, so its time begins anew here: how long it has waited over there
// is not told.
func received(d *delivery) bridge.Message {
	m := bridge.Message{
		Tag: d.tag, Exchange: d.exchange, Key: d.key, Props: d.props.List(), Body: d.body, Redelivered: d.redelivered,
	}
	l := &m.Props
	if v, ok := l.Headers.Get(HeaderKey); ok { // the way back of a key that was cut
		if whole, _ := v.(string); len(whole) > shortMax && strings.HasPrefix(whole, m.Key) {
			m.Key, l.Headers = whole, l.Headers.Without(HeaderKey)
		}
	}
	if l.Flags&amqp.HasUserID != 0 {
		// It names a user of that broker. Here it would pass for one of ours.
		if _, there := l.Headers.Get(HeaderUser); !there && l.UserID != "" {
			l.Headers = l.Headers.With(HeaderUser, l.UserID)
		}
		l.UserID, l.Flags = "", l.Flags&^amqp.HasUserID
	}
	return m
}

// streamOffset is where the message stands in its stream; -1 when it is of none.
func streamOffset(m *bridge.Message) int64 {
	v, _ := m.Props.Headers.Get(headerStreamOffset)
	if n, ok := v.(int64); ok && n >= 0 {
		return n
	}
	return -1
}

// node names the far side in paths by a word that is made of its address:
// other boxes may have another broker there.
func (f *farSide) node() string {
	h := fnv.New64a()
	_, _ = h.Write([]byte(f.o.Node + " " + f.remote.address() + " " + f.remote.vhost))
	return "@" + strconv.FormatUint(h.Sum64(), 36)
}
