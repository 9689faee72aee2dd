package mqtt

import (
	"context"
	"errors"
	"sync/atomic"

	"leveret/bridge"
	"leveret/bridge/mqttwire"
)

// TargetOptions says how to publish to a remote broker.
type TargetOptions struct {
	Options
	// Topic replaces the topic that a message's routing key stands for when it
	// is not "".
	Topic string
	// Prefix is put before that topic otherwise: "site7/".
	Prefix string
}

// Target is a remote broker that messages are published to, with QoS 1.
type Target struct {
	peer
	topic, prefix string
	ignored       atomic.Uint64
}

// Ignored is how many messages were not sent because they had come from there.
func (t *Target) Ignored() uint64 { return t.ignored.Load() }

var _ bridge.Target = (*Target)(nil)

// NewTarget checks the options. It does not connect.
func NewTarget(o TargetOptions) (*Target, error) {
	p, err := newPeer(o.Options)
	switch {
	case err != nil:
		return nil, err
	case o.Topic != "" && !mqttwire.ValidTopic(o.Topic):
		return nil, errors.New("topic of a remote broker must be one without wildcards")
	case o.Prefix != "" && !mqttwire.ValidTopic(o.Prefix):
		return nil, errors.New("prefix of a remote broker must be the beginning of a topic, without wildcards")
	}
	return &Target{peer: p, topic: o.Topic, prefix: o.Prefix}, nil
}

// Dial opens a link. Its session is a new one: what was under way before is
// sent again from the source.
func (t *Target) Dial(ctx context.Context, window int) (bridge.Link, error) {
	l := newLink(t, window)
	c, err := t.connect(ctx, wish{
		policy: policy{answers: true}, fresh: true, receiveMax: 1,
		session: &session{answer: l.answered, number: l.number}, made: func(c *conn) { l.conn = c },
	})
	if err != nil {
		return nil, err
	}
	if c.terms.qosMax == 0 {
		c.close()
		return nil, t.failed("connect to", errors.New("the far side takes QoS 0 alone, so it can confirm nothing"))
	}
	l.start()
	return l, nil
}
