package amqp091

import (
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"leveret/amqp"
	"leveret/bridge"
	"leveret/bridge/remote/remotetest"
)

// TestPropertiesArriveAsTheyWere sends every property and every kind of header
// value, what is there twice and what is there and empty.
func TestPropertiesArriveAsTheyWere(t *testing.T) {
	headers := amqp.Table{
		{Key: "void", Value: nil}, {Key: "bool", Value: true},
		{Key: "int8", Value: int8(-8)}, {Key: "uint8", Value: uint8(200)},
		{Key: "int16", Value: int16(-1600)}, {Key: "uint16", Value: uint16(60000)},
		{Key: "int32", Value: int32(math.MinInt32)}, {Key: "uint32", Value: uint32(math.MaxUint32)},
		{Key: "int64", Value: int64(math.MinInt64)},
		{Key: "float32", Value: float32(1.5)}, {Key: "float64", Value: math.Inf(-1)},
		{Key: "decimal", Value: amqp.Decimal{Scale: 3, Value: math.MaxUint32}},
		{Key: "string", Value: "sträng"}, {Key: "bytes", Value: []byte{0, 255}},
		{Key: "time", Value: amqp.Timestamp(1 << 40)}, {Key: "late", Value: amqp.Timestamp(math.MaxUint64)},
		{Key: "array", Value: amqp.Array{int8(1), "two", amqp.Array{}, amqp.Table{{Key: "x", Value: int16(3)}}}},
		{Key: "table", Value: amqp.Table{{Key: "inner", Value: amqp.Table{{Key: "t", Value: amqp.Timestamp(9)}}}}},
		{Key: "empty", Value: amqp.Table{}}, {Key: "bool", Value: false},
	}
	list := amqp.PropertyList{
		ContentType: "text/plain", ContentEncoding: "gzip", Headers: headers, DeliveryMode: 2, Priority: 7,
		CorrelationID: "c", ReplyTo: "r", Expiration: "60000", MessageID: "m", Timestamp: 1234567890, Type: "t",
		UserID: "gw", ClusterID: "k", Flags: amqp.HasAppID,
	}
	list = list.Encode().List() // with its flags
	got := transport(t, TargetOptions{}, &bridge.Message{Key: "a.b", Props: list, Body: []byte("body")})
	if got.exchange != "up" || got.key != "a.b" || string(got.body) != "body" {
		t.Errorf("came to %q with %q: %q", got.exchange, got.key, got.body)
	}
	if diff := cmp.Diff(list, got.props.List()); diff != "" {
		t.Errorf("properties (-sent +came):\n%s", diff)
	}
}

func TestWhatTheFarSideWouldNotTakeMovesToHeaders(t *testing.T) {
	long := strings.Repeat("level.", 50)
	tests := []struct {
		name    string
		o       TargetOptions
		m       bridge.Message
		key     string
		user    string
		headers amqp.Table
	}{
		{"own key", TargetOptions{Exchange: "x"}, bridge.Message{Key: "k"}, "k", "", nil},
		{"replaced key", TargetOptions{Exchange: "x", Key: "fixed"}, bridge.Message{Key: long}, "fixed", "", nil},
		{"long key", TargetOptions{Exchange: "x"}, bridge.Message{Key: long}, long[:255], "", amqp.Table{{Key: HeaderKey, Value: long}}},
		{"own user", TargetOptions{Exchange: "x"}, bridge.Message{Key: "k", Props: amqp.PropertyList{UserID: "gw"}}, "k", "gw", nil},
		{"foreign user", TargetOptions{Exchange: "x"}, bridge.Message{Key: "k", Props: amqp.PropertyList{UserID: "pump"}}, "k", "",
			amqp.Table{{Key: HeaderUser, Value: "pump"}}},
		{"guarded", TargetOptions{Options: Options{Node: "here"}, Exchange: "x", Noted: true}, bridge.Message{Key: "k", Props: amqp.PropertyList{Headers: amqp.Table{
			{Key: bridge.HeaderPath, Value: "there"}}}}, "k", "", amqp.Table{{Key: bridge.HeaderPath, Value: "there here"}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := transport(t, tt.o, &tt.m)
			if got.key != tt.key || got.props.UserID() != tt.user {
				t.Errorf("came with key %q, user %q", got.key, got.props.UserID())
			}
			back := got.props.Headers()
			for _, h := range tt.headers {
				if v, _ := back.Get(h.Key); v != h.Value {
					t.Errorf("header %s = %v, want %v", h.Key, v, h.Value)
				}
			}
			if len(back) != len(tt.headers) {
				t.Errorf("headers %v, want %v", back, tt.headers)
			}
		})
	}
}

// transport sends one message and answers what arrived.
func transport(t *testing.T, o TargetOptions, m *bridge.Message) published {
	t.Helper()
	got := make(chan published, 1)
	_, l, err := dial(t, o, func(p *peer) {
		if err := p.open(0); err != nil {
			t.Errorf("open: %v", err)
			return
		}
		m, err := p.receive()
		if err != nil {
			t.Errorf("receive: %v", err)
			return
		}
		got <- m
		p.ack(1, 0)
		p.goodbye()
	})
	if err != nil {
		t.Fatal(err)
	}
	send(t, l, *m)
	if a := remotetest.Answers(t, l, 1); len(a) != 1 || a[0].Outcome != bridge.Confirmed {
		t.Fatalf("answers %v, link %v", a, l.Err())
	}
	return <-got
}
