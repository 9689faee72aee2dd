package wire091

import (
	"errors"
	"os"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"leveret/amqp"
)

// args is the table {"a": true} and its bytes.
var args = amqp.Table{{Key: "a", Value: true}}

const (
	argsBytes = "\x00\x00\x00\x04\x01at\x01"
	noArgs    = "\x00\x00\x00\x00"
)

// methodBytes has every method as the payload of its frame.
var methodBytes = []struct {
	bytes  string
	method Method
}{
	{"\x00\x0a\x00\x0a\x00\x09" + argsBytes + "\x00\x00\x00\x0ePLAIN AMQPLAIN\x00\x00\x00\x05en_US",
		&ConnectionStart{VersionMajor: 0, VersionMinor: 9, ServerProperties: args, Mechanisms: "PLAIN AMQPLAIN", Locales: "en_US"}},
	{"\x00\x0a\x00\x0b" + argsBytes + "\x05PLAIN\x00\x00\x00\x04\x00u\x00p\x05en_US",
		&ConnectionStartOk{ClientProperties: args, Mechanism: "PLAIN", Response: "\x00u\x00p", Locale: "en_US"}},
	{"\x00\x0a\x00\x14\x00\x00\x00\x02\xff\x00", &ConnectionSecure{Challenge: "\xff\x00"}},
	{"\x00\x0a\x00\x15\x00\x00\x00\x01r", &ConnectionSecureOk{Response: "r"}},
	{"\x00\x0a\x00\x1e\x07\xff\x00\x02\x00\x00\x00\x3c", &ConnectionTune{ChannelMax: 2047, FrameMax: 131072, Heartbeat: 60}},
	{"\x00\x0a\x00\x1f\x07\xff\x00\x02\x00\x00\x00\x3c", &ConnectionTuneOk{ChannelMax: 2047, FrameMax: 131072, Heartbeat: 60}},
	{"\x00\x0a\x00\x28\x01/\x00\x00", &ConnectionOpen{VirtualHost: "/"}},
	{"\x00\x0a\x00\x29\x00", &ConnectionOpenOk{}},
	{"\x00\x0a\x00\x32\x01\x94\x02no\x00\x3c\x00\x28", &ConnectionClose{ReplyCode: 404, ReplyText: "no", ClassID: 60, MethodID: 40}},
	{"\x00\x0a\x00\x33", &ConnectionCloseOk{}},
	{"\x00\x0a\x00\x3c\x04disk", &ConnectionBlocked{Reason: "disk"}},
	{"\x00\x0a\x00\x3d", &ConnectionUnblocked{}},
	{"\x00\x0a\x00\x46\x00\x00\x00\x01s\x03due", &ConnectionUpdateSecret{NewSecret: "s", Reason: "due"}},
	{"\x00\x0a\x00\x47", &ConnectionUpdateSecretOk{}},

	{"\x00\x14\x00\x0a\x00", &ChannelOpen{}},
	{"\x00\x14\x00\x0b\x00\x00\x00\x00", &ChannelOpenOk{}},
	{"\x00\x14\x00\x14\x01", &ChannelFlow{Active: true}},
	{"\x00\x14\x00\x15\x00", &ChannelFlowOk{}},
	{"\x00\x14\x00\x28\x01\x94\x02no\x00\x3c\x00\x28", &ChannelClose{ReplyCode: 404, ReplyText: "no", ClassID: 60, MethodID: 40}},
	{"\x00\x14\x00\x29", &ChannelCloseOk{}},

	{"\x00\x1e\x00\x0a\x05/data\x1d", &AccessRequest{Realm: "/data", Exclusive: true, Active: true, Write: true, Read: true}},
	{"\x00\x1e\x00\x0b\x00\x01", &AccessRequestOk{Ticket: 1}},

	{"\x00\x28\x00\x0a\x00\x00\x01x\x05topic\x0a" + argsBytes,
		&ExchangeDeclare{Exchange: "x", Type: "topic", Durable: true, Internal: true, Arguments: args}},
	{"\x00\x28\x00\x0b", &ExchangeDeclareOk{}},
	{"\x00\x28\x00\x14\x00\x00\x01x\x03", &ExchangeDelete{Exchange: "x", IfUnused: true, NoWait: true}},
	{"\x00\x28\x00\x15", &ExchangeDeleteOk{}},
	{"\x00\x28\x00\x1e\x00\x00\x01d\x01s\x01k\x01" + argsBytes,
		&ExchangeBind{Destination: "d", Source: "s", RoutingKey: "k", NoWait: true, Arguments: args}},
	{"\x00\x28\x00\x1f", &ExchangeBindOk{}},
	{"\x00\x28\x00\x28\x00\x00\x01d\x01s\x01k\x00" + argsBytes,
		&ExchangeUnbind{Destination: "d", Source: "s", RoutingKey: "k", Arguments: args}},
	{"\x00\x28\x00\x33", &ExchangeUnbindOk{}},

	{"\x00\x32\x00\x0a\x00\x00\x01q\x12" + noArgs,
		&QueueDeclare{Queue: "q", Durable: true, NoWait: true, Arguments: amqp.Table{}}},
	{"\x00\x32\x00\x0b\x01q\x00\x00\x00\x05\x00\x00\x00\x02", &QueueDeclareOk{Queue: "q", MessageCount: 5, ConsumerCount: 2}},
	{"\x00\x32\x00\x14\x00\x00\x01q\x01x\x01k\x01" + argsBytes,
		&QueueBind{Queue: "q", Exchange: "x", RoutingKey: "k", NoWait: true, Arguments: args}},
	{"\x00\x32\x00\x15", &QueueBindOk{}},
	{"\x00\x32\x00\x1e\x00\x00\x01q\x01", &QueuePurge{Queue: "q", NoWait: true}},
	{"\x00\x32\x00\x1f\x00\x00\x01\x00", &QueuePurgeOk{MessageCount: 256}},
	{"\x00\x32\x00\x28\x00\x00\x01q\x03", &QueueDelete{Queue: "q", IfUnused: true, IfEmpty: true}},
	{"\x00\x32\x00\x29\x00\x00\x00\x07", &QueueDeleteOk{MessageCount: 7}},
	{"\x00\x32\x00\x32\x00\x00\x01q\x01x\x01k" + argsBytes,
		&QueueUnbind{Queue: "q", Exchange: "x", RoutingKey: "k", Arguments: args}},
	{"\x00\x32\x00\x33", &QueueUnbindOk{}},

	{"\x00\x3c\x00\x0a\x00\x00\x00\x00\x00\x0a\x01", &BasicQos{PrefetchCount: 10, Global: true}},
	{"\x00\x3c\x00\x0b", &BasicQosOk{}},
	{"\x00\x3c\x00\x14\x00\x00\x01q\x01t\x06" + argsBytes,
		&BasicConsume{Queue: "q", ConsumerTag: "t", NoAck: true, Exclusive: true, Arguments: args}},
	{"\x00\x3c\x00\x15\x01t", &BasicConsumeOk{ConsumerTag: "t"}},
	{"\x00\x3c\x00\x1e\x01t\x01", &BasicCancel{ConsumerTag: "t", NoWait: true}},
	{"\x00\x3c\x00\x1f\x01t", &BasicCancelOk{ConsumerTag: "t"}},
	{"\x00\x3c\x00\x28\x00\x00\x01x\x03a.b\x01", &BasicPublish{Exchange: "x", RoutingKey: "a.b", Mandatory: true}},
	{"\x00\x3c\x00\x32\x01\x38\x08NO_ROUTE\x01x\x01k",
		&BasicReturn{ReplyCode: 312, ReplyText: "NO_ROUTE", Exchange: "x", RoutingKey: "k"}},
	{"\x00\x3c\x00\x3c\x01t\x00\x00\x00\x00\x00\x00\x00\x09\x01\x01x\x01k",
		&BasicDeliver{ConsumerTag: "t", DeliveryTag: 9, Redelivered: true, Exchange: "x", RoutingKey: "k"}},
	{"\x00\x3c\x00\x46\x00\x00\x01q\x01", &BasicGet{Queue: "q", NoAck: true}},
	{"\x00\x3c\x00\x47\x00\x00\x00\x00\x00\x00\x00\x09\x00\x01x\x01k\x00\x00\x00\x03",
		&BasicGetOk{DeliveryTag: 9, Exchange: "x", RoutingKey: "k", MessageCount: 3}},
	{"\x00\x3c\x00\x48\x00", &BasicGetEmpty{}},
	{"\x00\x3c\x00\x50\x01\x02\x03\x04\x05\x06\x07\x08\x01", &BasicAck{DeliveryTag: 0x0102030405060708, Multiple: true}},
	{"\x00\x3c\x00\x5a\x00\x00\x00\x00\x00\x00\x00\x09\x01", &BasicReject{DeliveryTag: 9, Requeue: true}},
	{"\x00\x3c\x00\x64\x01", &BasicRecoverAsync{Requeue: true}},
	{"\x00\x3c\x00\x6e\x01", &BasicRecover{Requeue: true}},
	{"\x00\x3c\x00\x6f", &BasicRecoverOk{}},
	{"\x00\x3c\x00\x78\x00\x00\x00\x00\x00\x00\x00\x09\x02", &BasicNack{DeliveryTag: 9, Requeue: true}},

	{"\x00\x55\x00\x0a\x01", &ConfirmSelect{NoWait: true}},
	{"\x00\x55\x00\x0b", &ConfirmSelectOk{}},
	{"\x00\x5a\x00\x0a", &TxSelect{}},
	{"\x00\x5a\x00\x0b", &TxSelectOk{}},
	{"\x00\x5a\x00\x14", &TxCommit{}},
	{"\x00\x5a\x00\x15", &TxCommitOk{}},
	{"\x00\x5a\x00\x1e", &TxRollback{}},
	{"\x00\x5a\x00\x1f", &TxRollbackOk{}},
}

func TestEveryMethodBothWays(t *testing.T) {
	for _, tt := range methodBytes {
		got, err := ParseMethod([]byte(tt.bytes), nil)
		if err != nil {
			t.Errorf("ParseMethod(%s) = %v", tt.method.Name(), err)
			continue
		}
		if !reflect.DeepEqual(got, tt.method) {
			t.Errorf("ParseMethod(%s) = %+v, want %+v", tt.method.Name(), got, tt.method)
		}
		frame := AppendMethod([]byte("before"), 0x0102, tt.method)
		size := []byte{0, 0, 0, byte(len(tt.bytes))}
		want := "before\x01\x01\x02" + string(size) + tt.bytes + "\xce"
		if string(frame) != want {
			t.Errorf("AppendMethod(%s) = %q, want %q", tt.method.Name(), frame, want)
		}
	}
}

// Every field is set by Decode, also those that the bytes leave at zero.
func TestDecodeIntoUsedStruct(t *testing.T) {
	for _, tt := range methodBytes {
		m := NewMethod(tt.method.ID())
		fill(reflect.ValueOf(m).Elem())
		var r Reader
		r.Reset([]byte(tt.bytes[4:]))
		if err := m.Decode(&r); err != nil || !reflect.DeepEqual(m, tt.method) {
			t.Errorf("%s decoded into a used struct = %+v, %v; want %+v", m.Name(), m, err, tt.method)
		}
	}
}

func fill(v reflect.Value) {
	for i := range v.NumField() {
		switch f := v.Field(i); f.Kind() {
		case reflect.Bool:
			f.SetBool(true)
		case reflect.String:
			f.SetString("old")
		case reflect.Slice:
			f.Set(reflect.ValueOf(amqp.Table{{Key: "old"}}))
		default:
			f.SetUint(99)
		}
	}
}

// The specification's lines and the table above must name the same methods.
func TestTableCoversTheSpecification(t *testing.T) {
	text, err := os.ReadFile("methods.txt")
	if err != nil {
		t.Fatal(err)
	}
	lines := regexp.MustCompile(`(?m)^\d+ `).FindAllString(string(text), -1)
	seen := map[MethodID]bool{}
	for _, tt := range methodBytes {
		id := tt.method.ID()
		seen[id] = true
		if id.String() != tt.method.Name() || strings.Count(id.String(), ".") != 1 {
			t.Errorf("%v is called %q", id, tt.method.Name())
		}
	}
	if len(seen) != len(lines) {
		t.Errorf("%d methods tested, %d specified", len(seen), len(lines))
	}
}

func TestMethodMarks(t *testing.T) {
	for _, tt := range methodBytes {
		id := tt.method.ID()
		content := id == MethodBasicPublish || id == MethodBasicReturn || id == MethodBasicDeliver || id == MethodBasicGetOk
		if id.HasContent() != content {
			t.Errorf("%v.HasContent() = %v", id, !content)
		}
		if id.Synchronous() && strings.HasSuffix(id.String(), "-ok") {
			t.Errorf("%v, an answer, waits for an answer", id)
		}
	}
	if id := MethodID(60<<16 | 99); id.String() != "60.99" || NewMethod(id) != nil {
		t.Errorf("unknown method is %v, %v", id, NewMethod(id))
	}
}

func TestParseMethodRefuses(t *testing.T) {
	tests := []struct {
		name string
		in   string
		code amqp.Code
		text string
	}{
		{"nothing", "", amqp.FrameError, "type 1, all octets = <<>>: unknown_frame"},
		{"half an id", "\x00\x0a\x00", amqp.FrameError, "type 1, all octets = <<0,10,0>>: unknown_frame"},
		{"unknown class", "\x00\x63\x00\x0a", amqp.CommandInvalid, "unimplemented method"},
		{"unknown method", "\x00\x3c\x00\x63", amqp.CommandInvalid, "unimplemented method"},
		{"exchange.unbind-ok under 41", "\x00\x28\x00\x29", amqp.CommandInvalid, "unimplemented method"},
		{"argument cut short", "\x00\x3c\x00\x50\x00", amqp.FrameError, "cannot decode <<0>>: delivery-tag goes past the end"},
		{"string cut short", "\x00\x0a\x00\x28\x05/\x00", amqp.FrameError, "cannot decode <<5,47,0>>: virtual-host goes past the end"},
		{"long string cut short", "\x00\x0a\x00\x15\xff\xff\xff\xffab", amqp.FrameError, "response goes past the end"},
		{"bits missing", "\x00\x14\x00\x14", amqp.FrameError, "cannot decode <<>>: active goes past the end"},
		{"arguments left over", "\x00\x3c\x00\x0bx", amqp.FrameError, `cannot decode <<"x">>: arguments are left over`},
		{"long arguments shown in part", "\x00\x3c\x00\x0b0123456789abcdefgh", amqp.FrameError, `cannot decode <<"0123456789abcdef">>: arguments`},
		{"no UTF-8", "\x00\x0a\x00\x28\x02\xc3\x28\x00\x00", amqp.FrameError, "Malformed UTF-8 in shortstr"},
		{"table of unknown type", "\x00\x32\x00\x32\x00\x00\x00\x00\x00\x00\x00\x00\x03\x01aZ", amqp.SyntaxError, "unknown field type"},
		{"table cut short", "\x00\x32\x00\x32\x00\x00\x00\x00\x00\x00\x00\x00\x04\x01a", amqp.FrameError, "cannot decode table"},
	}
	for _, tt := range tests {
		m, err := ParseMethod([]byte(tt.in), nil)
		e, ok := errors.AsType[*amqp.Error](err)
		if m != nil || !ok || e.Code != tt.code || !strings.Contains(e.Text, tt.text) {
			t.Errorf("%s: ParseMethod(%q) = %v, want %v with %q", tt.name, tt.in, err, tt.code, tt.text)
		}
	}
	for _, tt := range methodBytes {
		for n := 4; n < len(tt.bytes); n++ {
			if _, err := ParseMethod([]byte(tt.bytes[:n]), nil); err == nil {
				t.Errorf("%s: the first %d of %d bytes were taken", tt.method.Name(), n, len(tt.bytes))
			}
		}
	}
}

func TestReaderKeepsTheFirstError(t *testing.T) {
	var r Reader
	r.Reset([]byte("\x01\x00\x00"))
	if r.U8("one") != 1 || r.Err() != nil {
		t.Fatalf("one octet: %v", r.Err())
	}
	if r.U32("two") != 0 || r.U8("three") != 0 || r.U16("four") != 0 || r.U64("five") != 0 ||
		r.ShortStr("six") != "" || r.LongStr("seven") != "" || r.Table("eight") != nil {
		t.Error("values after an error")
	}
	if err := r.Done(); err != r.Err() || !strings.Contains(err.Error(), "two goes past the end") {
		t.Errorf("Done() = %v, want the first error", err)
	}
	r.Reset(nil)
	if r.Done() != nil {
		t.Errorf("Done() after Reset = %v", r.Done())
	}
}

func TestInternIsAskedForShortStrings(t *testing.T) {
	var asked []string
	intern := func(b []byte) string {
		asked = append(asked, string(b))
		return "interned"
	}
	m, err := ParseMethod([]byte("\x00\x3c\x00\x28\x00\x00\x00\x03a.b\x00"), intern)
	want := &BasicPublish{RoutingKey: "interned"}
	if err != nil || !reflect.DeepEqual(m, want) || !reflect.DeepEqual(asked, []string{"a.b"}) {
		t.Errorf("ParseMethod = %+v, %v after %q", m, err, asked)
	}
}

func FuzzParseMethod(f *testing.F) {
	for _, tt := range methodBytes {
		f.Add([]byte(tt.bytes))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := ParseMethod(b, nil)
		if err != nil {
			if _, ok := errors.AsType[*amqp.Error](err); !ok {
				t.Fatalf("error %T is no *amqp.Error", err)
			}
			return
		}
		once := AppendMethod(nil, 1, m)
		again, err := ParseMethod(once[frameHeaderSize:len(once)-1], nil)
		if err != nil {
			t.Fatalf("own %s refused: %v", m.Name(), err)
		}
		if twice := AppendMethod(nil, 1, again); string(once) != string(twice) {
			t.Fatalf("%s: %q became %q", m.Name(), once, twice)
		}
	})
}
