package mqtt

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"hash/maphash"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/eclipse/paho.golang/packets"
	"github.com/eclipse/paho.golang/paho"

	"leveret/bridge"
	"leveret/bridge/mqttwire"
)

// SourceOptions says what to take from a remote broker. Zero fields take the
// defaults named.
type SourceOptions struct {
	Options
	// Topics are the filters to subscribe to, at least one. Messages of other
	// topics, which an earlier configuration may have asked for, are
	// acknowledged and not taken.
	Topics []string
	// QoS is the most that messages come with: 0, 1 or 2. A far side that
	// grants less is not taken from.
	QoS byte
	// SessionExpiry is how long messages wait there while we are away: 7 days.
	SessionExpiry time.Duration
}

const (
	sessionExpiryDefault = 7 * 24 * time.Hour
	topicsMax            = 256
	subackTimeout        = time.Minute
	// inboxBytesMax bounds what is taken from the socket and not settled; one
	// message is always read.
	inboxBytesMax = 8 << 20
	// rememberedMax bounds how many of the last messages are remembered by
	// their packet identifier.
	rememberedMax = 1024
)

// Source is a remote broker whose messages are taken. It belongs to one shovel.
type Source struct {
	peer
	topics  []string
	qos     byte
	expiry  time.Duration
	ignored atomic.Uint64
	epoch   string // begins the ids that are made up
	seed    maphash.Seed

	// patience is how long SUBACK is waited for.
	patience time.Duration

	// Of the one open reader.
	made       uint64 // ids made up
	remembered memory
	released   map[uint16]bool // of QoS 2: PUBREC was sent, PUBREL has not come
}

var _ bridge.Source = (*Source)(nil)

// NewSource checks the options. It does not connect.
func NewSource(o SourceOptions) (*Source, error) {
	p, err := newPeer(o.Options)
	switch {
	case err != nil:
		return nil, err
	case len(o.Topics) == 0 || len(o.Topics) > topicsMax:
		return nil, fmt.Errorf("a source takes from 1 to %d topics", topicsMax)
	case o.QoS > 2:
		return nil, errors.New("qos must be 0, 1 or 2")
	}
	for _, topic := range o.Topics {
		if !mqttwire.ValidFilter(topic) {
			return nil, fmt.Errorf("topic %q is no filter that MQTT allows", topic)
		}
	}
	if o.SessionExpiry <= 0 {
		o.SessionExpiry = sessionExpiryDefault
	}
	return &Source{
		peer: p, topics: o.Topics, qos: o.QoS, expiry: o.SessionExpiry, epoch: rand.Text()[:8], seed: maphash.MakeSeed(), patience: subackTimeout,
		remembered: memory{of: map[uint16]sight{}}, released: map[uint16]bool{},
	}, nil
}

// Backlog is not known: MQTT has no word for it.
func (s *Source) Backlog() (messages int, known bool) { return 0, false }

// Ignored is how many messages were acknowledged and not taken: they had been
// here before, or are of topics that are not asked for.
func (s *Source) Ignored() uint64 { return s.ignored.Load() }

// Open connects to the session and subscribes anew, which changes nothing where
// the far side has it already.
func (s *Source) Open(ctx context.Context, prefetch int) (bridge.Reader, error) {
	prefetch = min(max(prefetch, 1), 65535)
	r := &reader{source: s, prefetch: prefetch, arrived: make(chan struct{}, 1), room: make(chan struct{}, 1)}
	own := &session{begin: r.begin, release: r.release}
	c, err := s.connect(ctx, wish{
		policy: policy{messages: true}, keep: s.expiry, receiveMax: prefetch, session: own,
		messages: r.receive, admit: r.admit, passed: r.passed, made: func(c *conn) { r.conn = c },
	})
	if err != nil {
		return nil, err
	}
	// The answer may stand behind all that has waited for us, which is taken
	// only when we have returned: it is waited for meanwhile.
	r.subscribed = make(chan struct{})
	go func() {
		defer close(r.subscribed)
		ctx, cancel := context.WithTimeoutCause(context.Background(), s.patience, errNoAnswer)
		defer cancel()
		err := r.subscribe(ctx, c)
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		if err != nil {
			c.distrust(fmt.Errorf("subscribe: %w", err))
		}
	}()
	return r, nil
}

// subscribe asks for the topics. Retained values come when a subscription is
// new, not at each reconnect.
func (r *reader) subscribe(ctx context.Context, c *conn) error {
	s := r.source
	ask := &paho.Subscribe{}
	for _, topic := range s.topics {
		_, _, shared := mqttwire.SplitShare(topic)
		ask.Subscriptions = append(ask.Subscriptions, paho.SubscribeOptions{
			Topic: topic, QoS: s.qos, NoLocal: !shared, RetainAsPublished: true, RetainHandling: 1,
		})
	}
	got, err := c.client.Subscribe(ctx, ask)
	if got == nil {
		if why := c.why(); why != nil {
			return why
		}
		return err
	}
	if len(got.Reasons) != len(s.topics) {
		return fmt.Errorf("the far side answered %d of %d topics", len(got.Reasons), len(s.topics))
	}
	for i, code := range got.Reasons {
		text := ""
		if got.Properties != nil {
			text = got.Properties.ReasonString
		}
		switch reason := mqttwire.ReasonCode(code); {
		case reason.Failed():
			return fmt.Errorf("topic %q: %s", s.topics[i], worded(reason, text))
		case code < s.qos:
			return fmt.Errorf("topic %q: the far side grants QoS %d and not %d; with qos = %d it may lose messages of this topic", s.topics[i], code, s.qos, code)
		}
	}
	return nil
}

// wanted reports whether a message is of a topic that is asked for.
func (s *Source) wanted(topic string) bool {
	for _, f := range s.topics {
		if _, filter, shared := mqttwire.SplitShare(f); shared {
			f = filter
		}
		if mqttwire.MatchFilter(f, topic) {
			return true
		}
	}
	return false
}

// name gives a message an id that it keeps when it comes again on another
// connection, as far as this process remembers it.
func (s *Source) name(p *packets.Publish, m *bridge.Message) {
	if p.QoS == 0 {
		if m.Props.MessageID == "" {
			m.Props.MessageID = s.makeID()
		}
		return
	}
	mark := maphash.Bytes(s.seed, p.Payload) ^ maphash.String(s.seed, p.Topic)
	if m.Props.MessageID == "" {
		if old, ok := s.remembered.of[p.PacketID]; p.Duplicate && ok && old.mark == mark {
			m.Props.MessageID = old.id
		} else {
			m.Props.MessageID = s.makeID()
		}
	}
	s.remembered.add(p.PacketID, sight{mark, m.Props.MessageID})
}

func (s *Source) makeID() string {
	s.made++
	id := s.o.ClientID
	if len(id) > 200 {
		id = id[:200]
	}
	return id + "-" + s.epoch + "-" + strconv.FormatUint(s.made, 10)
}

// memory is the last messages by packet identifier.
type memory struct {
	of    map[uint16]sight
	order []uint16 // in which they came; an identifier may stand there twice
}

type sight struct {
	mark uint64 // of topic and payload
	id   string
}

func (m *memory) add(id uint16, s sight) {
	if _, again := m.of[id]; !again {
		m.order = append(m.order, id)
	}
	m.of[id] = s
	if len(m.order) > rememberedMax {
		delete(m.of, m.order[0])
		m.order = m.order[1:]
	}
}

func (m *memory) forget() {
	clear(m.of)
	m.order = nil
}
