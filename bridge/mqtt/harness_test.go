package mqtt

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"leveret/amqp"
	"leveret/amqp/broker"
	"leveret/bridge/mqttwire"
	"leveret/spool"
	"leveret/spool/mem"
)

// stage is a door on a real broker, in a bubble of virtual time.
type stage struct {
	t      testing.TB
	log    *mem.Log
	b      *broker.Broker
	door   *Door
	dial   *pipeListener
	stop   context.CancelFunc
	done   chan error
	clocks time.Time
	short  *shortOfMemory // if not nil, what is around log from the next start on
}

// onStage runs a test in a bubble, with a log that is durable at once unless
// options say otherwise.
func onStage(t *testing.T, edit func(*Options), play func(*stage)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s := &stage{t: t, log: mem.New().Auto(), clocks: time.Now()}
		s.start(edit)
		defer s.shut()
		play(s)
	})
}

func (s *stage) start(edit func(*Options)) {
	s.t.Helper()
	var err error
	now := func() amqp.Instant { return amqp.Instant(time.Since(s.clocks)) }
	s.b, err = broker.Open(broker.Options{Log: s.seen(), Now: now, Boot: broker.BootRecord{Base: s.clocks, Synchronised: true}})
	if err != nil {
		s.t.Fatal(err)
	}
	s.dial = newPipeListener()
	o := Options{
		Broker:       s.b,
		Listeners:    []net.Listener{s.dial},
		Now:          now,
		Authenticate: authenticate,
	}
	if edit != nil {
		edit(&o)
	}
	s.door = New(o)
	var ctx context.Context
	ctx, s.stop = context.WithCancel(context.Background())
	s.done = make(chan error, 1)
	go func() { s.done <- s.door.Run(ctx) }()
}

// seen is the log as the door sees it.
func (s *stage) seen() spool.Log {
	if s.short == nil {
		return s.log
	}
	s.short.Log = s.log
	return s.short
}

// shortOfMemory is a log that has no room while over is not closed.
type shortOfMemory struct {
	spool.Log
	over atomic.Pointer[chan struct{}]
}

func (s *shortOfMemory) Room() <-chan struct{} {
	if over := s.over.Load(); over != nil {
		return *over
	}
	return s.Log.Room()
}

func (s *shortOfMemory) NoRoom() string {
	if s.over.Load() != nil {
		return "low on memory"
	}
	return ""
}

func (s *stage) shut() {
	s.stop()
	if err := <-s.done; err != nil {
		s.t.Errorf("Run() = %v", err)
	}
	if n := s.door.Stats().Panics; n > 0 {
		s.t.Errorf("%d connections ended by a panic", n)
	}
}

// cutPower throws away what is not durable and starts again.
func (s *stage) cutPower(edit func(*Options)) {
	s.t.Helper()
	synctest.Wait()
	crashed := s.log.Crash() // before clients leave in good order
	s.shut()
	s.log = crashed.Auto()
	s.clocks = time.Now()
	s.start(edit)
}

// readOnly may read and nothing else; blind may write.
type readOnly struct{}

func (readOnly) Allows(a broker.Action, _ string) bool { return a == broker.Read }

// gardener may do anything with topics below garden.
type gardener struct{}

func (gardener) Allows(broker.Action, string) bool { return true }
func (gardener) AllowsTopic(_ broker.Action, _, key string) bool {
	return strings.HasPrefix(key, "garden.")
}

type blind struct{}

func (blind) Allows(a broker.Action, _ string) bool { return a == broker.Write }

func authenticate(l Login) (string, broker.Access, error) {
	user, password, anonymous := l.User, l.Password, l.Anonymous
	switch {
	case anonymous:
		return "anonymous", nil, nil
	case user == "reader":
		return user, readOnly{}, nil
	case user == "gardener":
		return user, gardener{}, nil
	case user == "writer":
		return user, blind{}, nil
	case user == "bomb":
		panic("the door must survive this")
	case password != "right":
		return "", nil, errors.New("no")
	}
	return user, nil, nil
}

// denyAnonymous is a rule that lets nobody in without a name.
func denyAnonymous(l Login) (string, broker.Access, error) {
	if l.Anonymous {
		return "", nil, fmt.Errorf("anonymous from %s", l.Remote)
	}
	return authenticate(l)
}

// pipeListener hands out the far ends of pipes.
type pipeListener struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func newPipeListener() *pipeListener {
	return &pipeListener{conns: make(chan net.Conn), closed: make(chan struct{})}
}

func (l *pipeListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *pipeListener) Close() error   { l.once.Do(func() { close(l.closed) }); return nil }
func (l *pipeListener) Addr() net.Addr { return pipeAddr{} }

type pipeAddr struct{}

func (pipeAddr) Network() string { return "pipe" }
func (pipeAddr) String() string  { return "pipe" }

// client is a scripted peer. A goroutine of its own reads, so that it never
// holds the door up, unless it is told to be deaf.
type client struct {
	s       *stage
	conn    net.Conn
	version mqttwire.Version
	packets chan string
	closed  bool
	whole   bool // describes all properties of CONNACK
}

// raw opens a connection that has sent nothing yet.
func (s *stage) raw(v mqttwire.Version) *client {
	s.t.Helper()
	near, far := net.Pipe()
	c := &client{s: s, conn: near, version: v, packets: make(chan string, 10_000)}
	s.dial.conns <- far
	go c.listen()
	return c
}

func (c *client) listen() {
	defer close(c.packets)
	r := mqttwire.NewReader(c.conn, 1<<24)
	r.SetVersion(c.version)
	for {
		p, err := r.Next()
		if err != nil {
			return
		}
		text := describe(p, c.version)
		if p.Type == mqttwire.TypeConnack {
			text += "\x00" + describeConnack(p, c.version)
		}
		c.packets <- text
	}
}

// connect opens a connection and sends CONNECT with a clean session.
func (s *stage) connect(v mqttwire.Version, id string, edits ...func(*mqttwire.Connect)) *client {
	s.t.Helper()
	c := s.raw(v)
	m := mqttwire.Connect{Version: v, ClientID: id, CleanStart: true}
	for _, edit := range edits {
		edit(&m)
	}
	packet, err := mqttwire.AppendConnect(nil, &m)
	if err != nil {
		s.t.Fatal(err)
	}
	c.send(packet)
	return c
}

// joined is a client that is connected.
func (s *stage) joined(v mqttwire.Version, id string, edits ...func(*mqttwire.Connect)) *client {
	s.t.Helper()
	c := s.connect(v, id, edits...)
	if got := c.got(); len(got) != 1 || !strings.HasPrefix(got[0], "CONNACK success") {
		s.t.Fatalf("CONNECT of %q answered by %q", id, got)
	}
	return c
}

func keep(m *mqttwire.Connect) { m.CleanStart = false }
func keepAlive(n uint16) func(*mqttwire.Connect) {
	return func(m *mqttwire.Connect) { m.KeepAlive = n }
}

func login(user, password string) func(*mqttwire.Connect) {
	return func(m *mqttwire.Connect) {
		m.HasUsername, m.Username, m.HasPassword, m.Password = true, user, true, []byte(password)
	}
}

func willTo(topic, payload string, retain bool) func(*mqttwire.Connect) {
	return func(m *mqttwire.Connect) {
		m.HasWill = true
		m.Will = mqttwire.Will{QoS: 1, Retain: retain, Topic: topic, Payload: []byte(payload)}
	}
}

// with sets a property of CONNECT that is a number.
func with(id mqttwire.PropertyID, n uint32) func(*mqttwire.Connect) {
	return func(m *mqttwire.Connect) {
		m.Props = append(m.Props, props(func(w *mqttwire.PropertyWriter) { w.Number(id, n) })...)
	}
}

func props(fill func(*mqttwire.PropertyWriter)) mqttwire.Properties {
	var w mqttwire.PropertyWriter
	fill(&w)
	p, err := w.Properties()
	if err != nil {
		panic(err)
	}
	return p
}

// send writes bytes; a connection that was closed under it is noticed by got.
func (c *client) send(packets ...[]byte) {
	for _, p := range packets {
		_, _ = c.conn.Write(p)
	}
}

// got is what came since it was last asked, once everybody is at rest. The end
// of the connection is "closed".
func (c *client) got() []string {
	synctest.Wait()
	var got []string
	for !c.closed {
		select {
		case p, ok := <-c.packets:
			if !ok {
				c.closed = true
				p = "closed"
			}
			if short, all, connack := strings.Cut(p, "\x00"); connack && c.whole {
				p = all
			} else {
				p = short
			}
			got = append(got, p)
		default:
			return got
		}
	}
	return got
}

// describeConnack lists all that CONNACK offers.
func describeConnack(p mqttwire.Packet, v mqttwire.Version) string {
	var m mqttwire.Connack
	if err := m.Decode(p.Body, v); err != nil {
		return err.Error()
	}
	return "CONNACK " + m.Reason.String() + describeProps(m.Props)
}

func (c *client) expect(want ...string) {
	c.s.t.Helper()
	if got := c.got(); !slices.Equal(got, want) {
		c.s.t.Fatalf("client got\n\t%s\nwant\n\t%s", strings.Join(got, "\n\t"), strings.Join(want, "\n\t"))
	}
}

func (c *client) bye() {
	c.s.t.Helper()
	packet, err := mqttwire.AppendDisconnect(nil, c.version, &mqttwire.Disconnect{})
	c.must(packet, err)
	synctest.Wait()
}

func (c *client) drop() {
	_ = c.conn.Close()
	synctest.Wait()
}

func (c *client) must(packet []byte, err error) {
	c.s.t.Helper()
	if err != nil {
		c.s.t.Fatal(err)
	}
	c.send(packet)
}

func (c *client) publish(topic, payload string, qos byte, id uint16, edits ...func(*mqttwire.PublishOut)) {
	c.s.t.Helper()
	p := mqttwire.PublishOut{Topic: topic, Payload: []byte(payload), QoS: qos, PacketID: id}
	for _, edit := range edits {
		edit(&p)
	}
	c.must(mqttwire.AppendPublish(nil, c.version, &p))
}

func retain(p *mqttwire.PublishOut) { p.Retain = true }

func carrying(fill func(*mqttwire.PropertyWriter)) func(*mqttwire.PublishOut) {
	return func(p *mqttwire.PublishOut) { p.Props = props(fill) }
}

// subscribe sends a SUBSCRIBE with packet identifier 1.
func (c *client) subscribe(id uint32, filters ...mqttwire.Subscription) {
	c.s.t.Helper()
	m := mqttwire.Subscribe{PacketID: 1, Filters: filters}
	if id != 0 {
		m.Props = props(func(w *mqttwire.PropertyWriter) { w.Number(mqttwire.SubscriptionID, id) })
	}
	c.must(mqttwire.AppendSubscribe(nil, c.version, &m))
}

// listens is subscribed to a filter.
func (c *client) listens(filter string, qos byte) {
	c.s.t.Helper()
	c.subscribe(0, mqttwire.Subscription{Filter: filter, QoS: qos})
	c.expect(fmt.Sprintf("SUBACK 1 %d", qos))
}

func (c *client) unsubscribe(filters ...string) {
	c.s.t.Helper()
	c.must(mqttwire.AppendUnsubscribe(nil, c.version, &mqttwire.Unsubscribe{PacketID: 2, Filters: filters}))
}

func (c *client) puback(ids ...uint16) {
	c.s.t.Helper()
	for _, id := range ids {
		c.must(mqttwire.AppendAck(nil, mqttwire.TypePuback, c.version, &mqttwire.Ack{PacketID: id}))
	}
}

// answer sends acknowledgements of one kind.
func (c *client) answer(kind mqttwire.Type, ids ...uint16) {
	c.s.t.Helper()
	for _, id := range ids {
		c.must(mqttwire.AppendAck(nil, kind, c.version, &mqttwire.Ack{PacketID: id}))
	}
}

// describe says what a packet from the door is, in one line.
func describe(p mqttwire.Packet, v mqttwire.Version) string {
	var err error
	var s string
	switch p.Type {
	case mqttwire.TypeConnack:
		var m mqttwire.Connack
		err = m.Decode(p.Body, v)
		s = "CONNACK " + m.Reason.String()
		if m.SessionPresent {
			s += " present"
		}
		s += describeProps(m.Props, mqttwire.AssignedClientID, mqttwire.ServerKeepAlive, mqttwire.SessionExpiry)
	case mqttwire.TypePublish:
		s, err = describePublish(p, v)
	case mqttwire.TypePuback, mqttwire.TypePubrec, mqttwire.TypePubrel, mqttwire.TypePubcomp:
		var m mqttwire.Ack
		err = m.Decode(p.Type, p.Body, v)
		s = fmt.Sprintf("%s %d", p.Type, m.PacketID)
		if m.Reason != 0 {
			s += " " + m.Reason.String()
		}
	case mqttwire.TypeSuback:
		var m mqttwire.Suback
		err = m.Decode(p.Body, v)
		s = fmt.Sprintf("SUBACK %d", m.PacketID)
		for _, r := range m.Reasons {
			s += fmt.Sprintf(" %x", byte(r))
		}
	case mqttwire.TypeUnsuback:
		var m mqttwire.Unsuback
		err = m.Decode(p.Body, v)
		s = fmt.Sprintf("UNSUBACK %d", m.PacketID)
		for _, r := range m.Reasons {
			s += fmt.Sprintf(" %x", byte(r))
		}
	case mqttwire.TypeDisconnect:
		var m mqttwire.Disconnect
		err = m.DecodeFromServer(p.Body, v)
		s = "DISCONNECT " + m.Reason.String()
	default:
		s = p.Type.String()
	}
	if err != nil {
		return fmt.Sprintf("bad %s: %v", p.Type, err)
	}
	return s
}

func describePublish(p mqttwire.Packet, v mqttwire.Version) (string, error) {
	var m mqttwire.Publish
	err := m.DecodeFromServer(p.Flags, p.Body, v)
	s := fmt.Sprintf("PUBLISH %s=%s q%d", m.Topic, m.Payload, m.QoS)
	if m.PacketID != 0 {
		s += fmt.Sprintf(" #%d", m.PacketID)
	}
	if m.Dup {
		s += " dup"
	}
	if m.Retain {
		s += " retain"
	}
	return s + describeProps(m.Props), err
}

// describeProps lists properties; of only some if they are named.
func describeProps(p mqttwire.Properties, only ...mqttwire.PropertyID) string {
	var s strings.Builder
	for e := range p.Each {
		if len(only) > 0 && !slices.Contains(only, e.ID) {
			continue
		}
		switch {
		case e.ID == mqttwire.UserProperty:
			fmt.Fprintf(&s, " [%s: %s]", e.Name, e.Value)
		case e.ID == mqttwire.AssignedClientID:
			fmt.Fprintf(&s, " [%s]", e.ID)
		case e.Value != nil:
			fmt.Fprintf(&s, " [%s %s]", e.ID, e.Value)
		default:
			fmt.Fprintf(&s, " [%s %d]", e.ID, e.Number)
		}
	}
	return s.String()
}

func newAutoLog() *mem.Log { return mem.New().Auto() }

// loginAs lets everybody in with the same rights.
func loginAs(a broker.Access) func(Login) (string, broker.Access, error) {
	return func(l Login) (string, broker.Access, error) { return l.User, a, nil }
}
