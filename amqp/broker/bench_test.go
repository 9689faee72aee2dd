package broker

import (
	"fmt"
	"testing"

	"leveret/amqp"
	"leveret/spool"
)

// nullLog is a log that forgets: the core's own cost remains.
type nullLog struct{ lsn spool.LSN }

func (l *nullLog) Append(b *spool.Batch) (spool.LSN, error)                       { l.lsn++; return l.lsn, nil }
func (*nullLog) Takes(*spool.Batch) error                                         { return nil }
func (l *nullLog) Durable() (spool.LSN, <-chan struct{}, error)                   { return l.lsn, nil, nil }
func (l *nullLog) Room() <-chan struct{}                                          { return nil }
func (l *nullLog) Stats() spool.Stats                                             { return spool.Stats{} }
func (l *nullLog) Load(func(string, []byte) error, func(spool.Depth) error) error { return nil }
func (l *nullLog) Read(spool.QueueID, spool.Pos, []spool.Item, int) (int, error) {
	return 0, nil
}

// flow publishes batches of 32 to one queue and takes and acks them.
func flow(b *testing.B, exchange, key string, mode uint8, noAck bool, prepare func(*Conn)) {
	br, err := Open(Options{Log: &nullLog{}})
	if err != nil {
		b.Fatal(err)
	}
	c, _ := br.Connect(DefaultVHost, Identity{}, func() {})
	if _, _, err := c.DeclareQueue(QueueSpec{Name: "q", Durable: true}); err != nil {
		b.Fatal(err)
	}
	prepare(c)
	s := c.Open()
	consumer, err := s.Consume("q", ConsumerSpec{NoAck: noAck})
	if err != nil {
		b.Fatal(err)
	}
	consumer.Start()
	const batch = 32
	props := amqp.PropertyList{DeliveryMode: mode}.Encode()
	ps := make([]Publish, batch)
	var out []Delivery
	body := make([]byte, 100)
	b.ReportAllocs()
	for b.Loop() {
		msgs := make([]amqp.Message, batch) // as a door does
		for i := range ps {
			msgs[i] = amqp.Message{Exchange: exchange, Key: key, Props: props, Body: body}
			ps[i] = Publish{Msg: &msgs[i]}
		}
		if n, err := s.Publish(0, ps); n != batch || err != nil {
			b.Fatal(n, err)
		}
		out = c.Take(out)
		if len(out) != batch {
			b.Fatalf("took %d", len(out))
		}
		if !noAck {
			if err := s.Settle([]Settlement{{Tag: out[batch-1].Tag, Multiple: true}}); err != nil {
				b.Fatal(err)
			}
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*batch), "ns/msg")
}

func BenchmarkFlow(b *testing.B) {
	b.Run("transient/noack", func(b *testing.B) { flow(b, "", "q", 1, true, func(*Conn) {}) })
	b.Run("transient/ack", func(b *testing.B) { flow(b, "", "q", 1, false, func(*Conn) {}) })
	b.Run("persistent/ack", func(b *testing.B) { flow(b, "", "q", 2, false, func(*Conn) {}) })
	b.Run("topic/1000bindings", func(b *testing.B) {
		flow(b, "amq.topic", "site.7.kitchen.temp.now", 1, true, func(c *Conn) {
			for i := range 1000 {
				if _, err := c.BindQueue("q", "amq.topic", fmt.Sprintf("site.%d.*.temp.#", i), nil); err != nil {
					b.Fatal(err)
				}
			}
		})
	})
}

// BenchmarkTopicMatch walks the trie without the cache of routes.
func BenchmarkTopicMatch(b *testing.B) {
	var r topicRoutes
	for i := range 1000 {
		r.add(&binding{key: fmt.Sprintf("site.%d.*.temp.#", i)})
	}
	var found []*binding
	b.ReportAllocs()
	for b.Loop() {
		if found = r.match("site.500.kitchen.temp.now", nil, found[:0]); len(found) != 1 {
			b.Fatal(len(found))
		}
	}
}
