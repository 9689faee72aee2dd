package mqtt

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"leveret/amqp"
	"leveret/amqp/broker"
	"leveret/bridge/mqttwire"
)

// asQueue reads as another protocol would: from a queue that is bound to
// everything. next is its oldest message, in one line.
func (s *stage) asQueue() (next func() string) {
	s.t.Helper()
	c, err := s.b.Connect("/", broker.Identity{Protocol: "AMQP 0-9-1"}, func() {})
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { c.Close() })
	q, _, err := c.DeclareQueue(broker.QueueSpec{Name: "all", Durable: true})
	if err == nil {
		_, err = c.BindQueue(q.Name, "amq.topic", "#", nil)
	}
	if err != nil {
		s.t.Fatal(err)
	}
	in := c.Open()
	return func() string {
		s.t.Helper()
		d, _, ok, err := in.Get("all", true)
		if err != nil || !ok {
			s.t.Fatalf("no message in the queue: %v", err)
		}
		return describeAMQP(d.Msg)
	}
}

// describeAMQP lists what an AMQP client sees of a message.
func describeAMQP(m *amqp.Message) string {
	l := m.Props.List()
	var s strings.Builder
	fmt.Fprintf(&s, "%s=%s mode %d", m.Key, m.Body, l.DeliveryMode)
	for _, p := range []struct{ name, value string }{
		{"content-type", l.ContentType}, {"correlation-id", l.CorrelationID}, {"reply-to", l.ReplyTo}, {"expiration", l.Expiration},
		{"message-id", l.MessageID}, {"type", l.Type}, {"user-id", l.UserID}, {"app-id", l.AppID},
	} {
		if p.value != "" {
			fmt.Fprintf(&s, " [%s %s]", p.name, p.value)
		}
	}
	for _, h := range l.Headers {
		fmt.Fprintf(&s, " [%s: %v]", h.Key, h.Value)
	}
	return s.String()
}

// TestMappingFromMQTT pins what an AMQP client sees of an MQTT message, and that
// another MQTT client sees what was sent: to and fro by the same table.
func TestMappingFromMQTT(t *testing.T) {
	long, binary := strings.Repeat("x", 256), []byte{0xff, 1}
	text := func(id mqttwire.PropertyID, v string) func(*mqttwire.PropertyWriter) {
		return func(w *mqttwire.PropertyWriter) { w.Text(id, v) }
	}
	correlation := func(v []byte) func(*mqttwire.PropertyWriter) {
		return func(w *mqttwire.PropertyWriter) { w.Binary(mqttwire.CorrelationData, v) }
	}
	number := func(id mqttwire.PropertyID, n uint32) func(*mqttwire.PropertyWriter) {
		return func(w *mqttwire.PropertyWriter) { w.Number(id, n) }
	}
	users := func(pairs ...string) func(*mqttwire.PropertyWriter) {
		return func(w *mqttwire.PropertyWriter) {
			for i := 0; i < len(pairs); i += 2 {
				w.User(pairs[i], pairs[i+1])
			}
		}
	}
	for _, tc := range []struct {
		row    string
		topic  string // "t" if it does not matter
		qos    byte
		retain bool
		fill   func(*mqttwire.PropertyWriter)
		amqp   string // behind key, body and mode
		back   string // what MQTT sees, if it is not what was sent
	}{
		{row: "topic: levels", topic: "plant/1/temp"},
		{row: "topic: a dot, a wildcard of patterns and an empty level", topic: "a.b//*"},
		{row: "QoS 0: mode 1"},
		{row: "QoS 1: mode 2", qos: 1},
		{row: "QoS 2: mode 2 and a header", qos: 2, amqp: " [x-mqtt-qos: 2]"},
		{row: "retain flag: a header while it is set", retain: true, qos: 1, amqp: " [x-mqtt-retain: true]"},
		{row: "content type: short ASCII", fill: text(mqttwire.ContentType, "text/plain"), amqp: " [content-type text/plain]"},
		{row: "content type: of 255 bytes", fill: text(mqttwire.ContentType, long[:255]), amqp: " [content-type " + long[:255] + "]"},
		{row: "content type: longer, kept in a header", fill: text(mqttwire.ContentType, long), amqp: " [x-content-type: " + long + "]"},
		{row: "content type: not ASCII, kept in a header", fill: text(mqttwire.ContentType, "ü"), amqp: " [x-content-type: ü]"},
		{row: "correlation data: a short string", fill: correlation([]byte("ü7")), amqp: " [correlation-id ü7]"},
		{row: "correlation data: of 255 bytes", fill: correlation([]byte(long[:255])), amqp: " [correlation-id " + long[:255] + "]"},
		{row: "correlation data: longer, in a header", fill: correlation([]byte(long)), amqp: " [x-correlation-id: " + long + "]"},
		{row: "correlation data: not UTF-8, in a header", fill: correlation(binary), amqp: " [x-correlation-id: " + string(binary) + "]"},
		{row: "response topic: as a key", fill: text(mqttwire.ResponseTopic, "re/a.b/7"), amqp: " [x-reply-to-topic: re.a%2Eb.7]"},
		// Not sorted by name, as RabbitMQ has them: the order comes back without a list.
		{row: "user properties: headers in their order", fill: users("b", "1", "a", "2"), amqp: " [b: 1] [a: 2]"},
		{row: "user properties: the first of a name, and all in a list", fill: users("k", "1", "a", "2", "k", "3"),
			amqp: " [k: 1] [a: 2] [x-mqtt-user-properties: [k 1 a 2 k 3]]"},
		{row: "user properties: a long name only in the list", fill: users(long, "1", "a", "2"),
			amqp: " [a: 2] [x-mqtt-user-properties: [" + long + " 1 a 2]]"},
		// Nobody sets a header with a meaning by a user property of its name.
		{row: "user properties: names with a meaning only in the list", fill: users("x-mqtt-retain", "true", "timestamp", "now"),
			amqp: " [x-mqtt-user-properties: [x-mqtt-retain true timestamp now]]"},
		{row: "message expiry: milliseconds", fill: number(mqttwire.MessageExpiry, 90), amqp: " [expiration 90000]"},
		{row: "message expiry: the longest", fill: number(mqttwire.MessageExpiry, 1<<32-1), amqp: " [expiration 4294967295000]"},
		{row: "message expiry: 0 is sent at once or never, and not as 0", fill: number(mqttwire.MessageExpiry, 0), amqp: " [expiration 0]",
			back: " [message expiry interval 1]"},
		{row: "payload format: a header", fill: number(mqttwire.PayloadFormat, 1), amqp: " [x-mqtt-payload-format: 1]"},
		{row: "payload format: also 0", fill: number(mqttwire.PayloadFormat, 0), amqp: " [x-mqtt-payload-format: 0]"},
		{row: "topic alias: of one connection", fill: number(mqttwire.TopicAlias, 3), back: " "},
	} {
		t.Run(tc.row, func(t *testing.T) {
			onStage(t, nil, func(s *stage) {
				c := s.joined(mqttwire.V5, "c")
				c.subscribe(0, mqttwire.Subscription{Filter: "#", QoS: 2, RetainAsPublished: true})
				c.expect("SUBACK 1 2")
				queued := s.asQueue()
				p := s.joined(mqttwire.V5, "p")
				topic, id := tc.topic, uint16(0)
				if topic == "" {
					topic = "t"
				}
				if tc.qos > 0 {
					id = 1
				}
				fill := tc.fill
				if fill == nil {
					fill = func(*mqttwire.PropertyWriter) {}
				}
				p.publish(topic, "m", tc.qos, id, carrying(fill), func(o *mqttwire.PublishOut) { o.Retain = tc.retain })
				seen := fmt.Sprintf("PUBLISH %s=m q%d", topic, tc.qos)
				if tc.qos > 0 {
					seen += " #" + firstID[tc.qos]
				}
				if tc.retain {
					seen += " retain"
				}
				if tc.back == "" {
					tc.back = describeProps(props(fill))
				}
				c.expect(seen + strings.TrimRight(tc.back, " "))
				if strings.Contains(tc.row, "expiry: 0") {
					return // what is queued has no time left
				}
				key := strings.NewReplacer("/", ".", ".", "%2E", "*", "%2A").Replace(topic)
				if got, want := queued(), fmt.Sprintf("%s=m mode %d%s", key, 1+min(tc.qos, 1), tc.amqp); got != want {
					t.Errorf("AMQP sees\n\t%s\nwant\n\t%s", got, want)
				}
			})
		})
	}
}

// firstID is the packet identifier of a session's first message.
var firstID = [...]string{1: "1", 2: fmt.Sprint(exactFromQueue + 1)}

// TestMappingFromAMQP pins what MQTT clients see of an AMQP message.
func TestMappingFromAMQP(t *testing.T) {
	one := func(key string, v any) amqp.Table { return amqp.Table{{Key: key, Value: v}} }
	long := strings.Repeat("x", 256)
	for _, tc := range []struct {
		row  string
		key  string // "t" if it does not matter
		list amqp.PropertyList
		want string // "q0" and properties; "" is nothing
	}{
		{row: "key: words, and a slash in one", key: "plant.a/b", want: "plant/a%2Fb=m q0"},
		{row: "mode: none is QoS 0", want: "t=m q0"},
		{row: "mode 1: QoS 0", list: amqp.PropertyList{DeliveryMode: 1}, want: "t=m q0"},
		{row: "mode 2: QoS 1", list: amqp.PropertyList{DeliveryMode: 2}, want: "t=m q1 #1"},
		{row: "QoS 2 with the header", list: amqp.PropertyList{DeliveryMode: 2, Headers: one("x-mqtt-qos", int32(2))}, want: "t=m q2 #" + firstID[2]},
		{row: "QoS 2 is not of what may be lost", list: amqp.PropertyList{DeliveryMode: 1, Headers: one("x-mqtt-qos", int32(2))}, want: "t=m q0"},
		{row: "QoS by a text: no", list: amqp.PropertyList{DeliveryMode: 2, Headers: one("x-mqtt-qos", "2")}, want: "t=m q1 #1"},
		{row: "retain header", list: amqp.PropertyList{Headers: one("x-mqtt-retain", true)}, want: "t=m q0 retain"},
		{row: "retain header that is false", list: amqp.PropertyList{Headers: one("x-mqtt-retain", false)}, want: "t=m q0"},
		{row: "retain header that is no bool", list: amqp.PropertyList{Headers: one("x-mqtt-retain", "true")}, want: "t=m q0"},
		{row: "content-type", list: amqp.PropertyList{ContentType: "application/json"}, want: "t=m q0 [content type application/json]"},
		{row: "content type in a header", list: amqp.PropertyList{Headers: one("x-content-type", long)}, want: "t=m q0 [content type " + long + "]"},
		{row: "content-type goes before its header", list: amqp.PropertyList{ContentType: "a", Headers: one("x-content-type", "b")}, want: "t=m q0 [content type a]"},
		{row: "correlation-id", list: amqp.PropertyList{CorrelationID: "7"}, want: "t=m q0 [correlation data 7]"},
		{row: "correlation id in a header", list: amqp.PropertyList{Headers: one("x-correlation-id", "\xff")}, want: "t=m q0 [correlation data \xff]"},
		{row: "correlation-id goes before its header", list: amqp.PropertyList{CorrelationID: "7", Headers: one("x-correlation-id", "8")}, want: "t=m q0 [correlation data 7]"},
		{row: "reply topic in a header", list: amqp.PropertyList{Headers: one("x-reply-to-topic", "re.a%2Eb")}, want: "t=m q0 [response topic re/a.b]"},
		{row: "reply-to names a queue, which is no topic", list: amqp.PropertyList{ReplyTo: "amq.gen-7"}, want: "t=m q0"},
		{row: "headers: a text", list: amqp.PropertyList{Headers: one("k", "v")}, want: "t=m q0 [k: v]"},
		{row: "headers: bytes that are one", list: amqp.PropertyList{Headers: one("k", []byte("v"))}, want: "t=m q0 [k: v]"},
		{row: "headers: bytes that are none", list: amqp.PropertyList{Headers: one("k", []byte("\xff"))}, want: "t=m q0"},
		{row: "headers: a bool", list: amqp.PropertyList{Headers: one("k", false)}, want: "t=m q0 [k: false]"},
		{row: "headers: whole numbers", list: amqp.PropertyList{Headers: amqp.Table{{Key: "a", Value: int8(-1)}, {Key: "b", Value: uint16(2)}, {Key: "c", Value: int64(1 << 60)}}},
			want: "t=m q0 [a: -1] [b: 2] [c: 1152921504606846976]"},
		{row: "headers: numbers with a point", list: amqp.PropertyList{Headers: amqp.Table{{Key: "a", Value: 0.1}, {Key: "b", Value: float32(0.1)},
			{Key: "c", Value: amqp.Decimal{Scale: 2, Value: 1234}}, {Key: "d", Value: amqp.Decimal{Scale: 3, Value: 5}}, {Key: "e", Value: amqp.Decimal{Value: 7}}}},
			want: "t=m q0 [a: 0.1] [b: 0.1] [c: 12.34] [d: 0.005] [e: 7]"},
		{row: "headers: a time", list: amqp.PropertyList{Headers: one("k", amqp.Timestamp(0))}, want: "t=m q0 [k: 1970-01-01T00:00:00Z]"},
		{row: "headers: what has no text", list: amqp.PropertyList{Headers: amqp.Table{{Key: "a", Value: amqp.Table{}}, {Key: "b", Value: amqp.Array{"x"}}, {Key: "c", Value: nil}}}, want: "t=m q0"},
		{row: "headers: repeats", list: amqp.PropertyList{Headers: amqp.Table{{Key: "k", Value: "1"}, {Key: "k", Value: "2"}}}, want: "t=m q0 [k: 1] [k: 2]"},
		{row: "headers: the list goes before them", list: amqp.PropertyList{Headers: amqp.Table{{Key: "k", Value: "1"}, {Key: "x-mqtt-user-properties", Value: amqp.Array{"k", "1", "k", "2"}}}},
			want: "t=m q0 [k: 1] [k: 2]"},
		{row: "headers: ours are not shown", list: amqp.PropertyList{Headers: amqp.Table{{Key: "x-mqtt-client", Value: "c"}, {Key: "x-mqtt-topic", Value: "t"}, {Key: "message-id", Value: "1"}}}, want: "t=m q0"},
		{row: "expiration: rounded up", list: amqp.PropertyList{Expiration: "1001"}, want: "t=m q0 [message expiry interval 2]"},
		{row: "expiration: never to 0", list: amqp.PropertyList{Expiration: "1"}, want: "t=m q0 [message expiry interval 1]"},
		{row: "expiration: longer than MQTT can say", list: amqp.PropertyList{Expiration: "4294967296000"}, want: "t=m q0"},
		{row: "payload format in a header", list: amqp.PropertyList{Headers: one("x-mqtt-payload-format", int64(1))}, want: "t=m q0 [payload format indicator 1]"},
		{row: "payload format that there is not", list: amqp.PropertyList{Headers: one("x-mqtt-payload-format", int64(2))}, want: "t=m q0"},
		{row: "payload format is not guessed", list: amqp.PropertyList{ContentType: "text/plain"}, want: "t=m q0 [content type text/plain]"},
		{row: "message-id, timestamp, type, app-id", list: amqp.PropertyList{MessageID: "1", Timestamp: 1700000000, Type: "t", AppID: "a"},
			want: "t=m q0 [message-id: 1] [timestamp: 2023-11-14T22:13:20Z] [type: t] [app-id: a]"},
		{row: "not user-id, priority, content-encoding, cluster-id", list: amqp.PropertyList{UserID: "u", Priority: 5, ContentEncoding: "gzip", ClusterID: "c"}, want: "t=m q0"},
	} {
		t.Run(tc.row, func(t *testing.T) {
			onStage(t, nil, func(s *stage) {
				c := s.joined(mqttwire.V5, "c")
				c.subscribe(0, mqttwire.Subscription{Filter: "#", QoS: 2, RetainAsPublished: true})
				c.expect("SUBACK 1 2")
				old := s.joined(mqttwire.V311, "old")
				old.listens("#", 2)
				key := tc.key
				if key == "" {
					key = "t"
				}
				s.asAMQP(key, tc.list, "m")
				c.expect("PUBLISH " + tc.want)
				plain, _, _ := strings.Cut(strings.Replace(tc.want, " retain", "", 1), " [")
				old.expect("PUBLISH " + plain)
			})
		})
	}
}

// A message of MQTT that an AMQP program takes and publishes again as it was is
// the same message to MQTT clients.
func TestMappingThereAndBack(t *testing.T) {
	onStage(t, nil, func(s *stage) {
		fill := func(w *mqttwire.PropertyWriter) {
			w.Number(mqttwire.PayloadFormat, 1)
			w.Number(mqttwire.MessageExpiry, 60)
			w.Text(mqttwire.ContentType, "ü")
			w.Text(mqttwire.ResponseTopic, "a.b/c")
			w.Binary(mqttwire.CorrelationData, []byte{0xff})
			w.User("k", "1")
			w.User("k", "2")
		}
		admin, err := s.b.Connect("/", broker.Identity{Protocol: "AMQP 0-9-1"}, func() {})
		if err != nil {
			t.Fatal(err)
		}
		defer admin.Close()
		if _, _, err := admin.DeclareQueue(broker.QueueSpec{Name: "all"}); err != nil {
			t.Fatal(err)
		}
		if _, err := admin.BindQueue("all", "amq.topic", "#", nil); err != nil {
			t.Fatal(err)
		}
		p := s.joined(mqttwire.V5, "p")
		p.publish("a.b/c", "m", 2, 1, carrying(fill))
		p.expect("PUBREC 1")
		in := admin.Open()
		d, _, ok, err := in.Get("all", true)
		if err != nil || !ok {
			t.Fatalf("nothing in the queue: %v", err)
		}
		c := s.joined(mqttwire.V5, "c")
		c.listens("#", 2)
		time.Sleep(10 * time.Second) // what is published again lives as long again
		s.asAMQP(d.Msg.Key, d.Msg.Props.List(), string(d.Msg.Body))
		got := c.got()
		want := []string{
			"[payload format indicator 1]", "[message expiry interval 60]", "[content type ü]", "[response topic a.b/c]",
			"[correlation data \xff]", "[k: 1] [k: 2]",
		}
		if len(got) != 1 || !strings.HasPrefix(got[0], "PUBLISH a.b/c=m q2 #"+firstID[2]) {
			t.Fatalf("got %q", got)
		}
		for _, w := range want {
			if !strings.Contains(got[0], w) {
				t.Errorf("%q lacks %q", got[0], w)
			}
		}
	})
}

// With NamePublisher AMQP clients see who published a message or left a will;
// MQTT clients do not, and nobody can say to be another.
func TestMappingNamesThePublisher(t *testing.T) {
	onStage(t, func(o *Options) { o.NamePublisher = true }, func(s *stage) {
		queued := s.asQueue()
		c := s.joined(mqttwire.V5, "c")
		c.listens("#", 0)
		p := s.joined(mqttwire.V5, "p", willTo("w", "gone", false))
		p.publish("a", "1", 0, 0, carrying(func(w *mqttwire.PropertyWriter) { w.User("x-mqtt-client", "me") }))
		p.drop()
		c.publish("a", "2", 0, 0)
		c.expect("PUBLISH a=1 q0 [x-mqtt-client: me]", "PUBLISH w=gone q0", "PUBLISH a=2 q0")
		for _, want := range []string{
			"a=1 mode 1 [x-mqtt-client: p] [x-mqtt-user-properties: [x-mqtt-client me]]", "w=gone mode 2 [x-mqtt-client: p]", "a=2 mode 1 [x-mqtt-client: c]",
		} {
			if got := queued(); got != want {
				t.Errorf("AMQP sees %q, want %q", got, want)
			}
		}
	})
}
