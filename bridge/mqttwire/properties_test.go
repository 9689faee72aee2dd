package mqttwire

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

func TestPropertiesAreFound(t *testing.T) {
	var p Publish
	body := wire(t, `"t" ( 01 01 26 "a" "1" 02 0000012C 23 000A 09 0002 00FF 03 "text/plain" 26 "a" "2" 0B 8001 0B 07 )`)
	if err := p.DecodeFromServer(0, body, V5); err != nil {
		t.Fatal(err)
	}
	for id, want := range map[PropertyID]uint32{PayloadFormat: 1, MessageExpiry: 300, TopicAlias: 10, SubscriptionID: 128} {
		if got, ok := p.Props.Uint32(id); !ok || got != want {
			t.Errorf("Uint32(%s) = %d, %v, want %d", id, got, ok, want)
		}
	}
	if got, ok := p.Props.Text(ContentType); !ok || got != "text/plain" {
		t.Errorf("Text(content type) = %q, %v", got, ok)
	}
	if got, ok := p.Props.Binary(CorrelationData); !ok || string(got) != "\x00\xff" {
		t.Errorf("Binary(correlation data) = %q, %v", got, ok)
	}
	if got, ok := p.Props.Text(ResponseTopic); ok || got != "" || p.Props.Has(ResponseTopic) {
		t.Errorf("Text(response topic) = %q, %v, want none", got, ok)
	}
	var user []string
	for name, value := range p.Props.UserProperties {
		user = append(user, string(name)+"="+string(value))
	}
	if want := []string{"a=1", "a=2"}; !slices.Equal(user, want) {
		t.Errorf("user properties %v, want %v", user, want)
	}
	var ids []uint32
	for entry := range p.Props.Each {
		if entry.ID == SubscriptionID {
			ids = append(ids, entry.Number)
		}
	}
	if want := []uint32{128, 7}; !slices.Equal(ids, want) {
		t.Errorf("subscription identifiers %v, want %v", ids, want)
	}
}

func TestWalkingStopsWhenTold(t *testing.T) {
	props := Properties(wire(t, `26 "a" "1" 26 "b" "2"`))
	seen := 0
	for range props.UserProperties {
		seen++
		break
	}
	for range props.Each {
		seen++
		break
	}
	if seen != 2 {
		t.Errorf("%d steps after two breaks", seen)
	}
}

func TestPropertyWriterWritesWhatIsRead(t *testing.T) {
	var w PropertyWriter
	for range 2 { // the second time after Reset
		w.Reset()
		w.Number(PayloadFormat, 1)
		w.Number(MessageExpiry, 300)
		w.Number(TopicAlias, 10)
		w.Number(SubscriptionID, remainingMax)
		w.Text(ContentType, "text/plain")
		w.Text(ResponseTopic, "r/1")
		w.Binary(CorrelationData, []byte{0, 0xff})
		w.User("", "")
		w.User("name", "value")
		got, err := w.Properties()
		want := wire(t, `01 01 02 0000012C 23 000A 0B FFFFFF7F 03 "text/plain" 08 "r/1" 09 0002 00FF 26 "" "" 26 "name" "value"`)
		if err != nil || string(got) != string(want) {
			t.Errorf("wrote %x, %v, want %x", got, err, want)
		}
		if err := got.check(inServerPublish); err != nil {
			t.Errorf("what was written is refused: %v", err)
		}
	}
}

func TestPropertyWriterRefusesWhatDoesNotFit(t *testing.T) {
	long := strings.Repeat("x", stringMax+1)
	for name, write := range map[string]func(*PropertyWriter){
		"number too wide for u16":      func(w *PropertyWriter) { w.Number(ServerKeepAlive, 1<<16) },
		"number too wide for u8":       func(w *PropertyWriter) { w.Number(MaximumQoS, 1<<8) },
		"number too wide for varint":   func(w *PropertyWriter) { w.Number(SubscriptionID, remainingMax+1) },
		"number out of range":          func(w *PropertyWriter) { w.Number(RetainAvailable, 2) },
		"subscription id 0":            func(w *PropertyWriter) { w.Number(SubscriptionID, 0) },
		"topic alias 0":                func(w *PropertyWriter) { w.Number(TopicAlias, 0) },
		"long text":                    func(w *PropertyWriter) { w.Text(ReasonString, long) },
		"text not UTF-8":               func(w *PropertyWriter) { w.Text(ReasonString, "\xff") },
		"response topic with wildcard": func(w *PropertyWriter) { w.Text(ResponseTopic, "a/#") },
		"long binary":                  func(w *PropertyWriter) { w.Binary(CorrelationData, []byte(long)) },
		"long user name":               func(w *PropertyWriter) { w.User(long, "v") },
		"long user value":              func(w *PropertyWriter) { w.User("n", long) },
		"user name with U+0000":        func(w *PropertyWriter) { w.User("a\x00", "v") },
		"user value not UTF-8":         func(w *PropertyWriter) { w.User("n", "\xff") },
	} {
		var w PropertyWriter
		w.User("before", "1")
		write(&w)
		w.User("after", "1")
		if p, err := w.Properties(); err == nil || p != nil {
			t.Errorf("%s: %x, %v, want an error alone", name, p, err)
		}
		w.Reset()
		w.Number(PayloadFormat, 1)
		if p, err := w.Properties(); err != nil || string(p) != "\x01\x01" {
			t.Errorf("%s: after Reset %x, %v", name, p, err)
		}
	}
}

func TestPropertyWriterPanicsOnTheWrongForm(t *testing.T) {
	for name, write := range map[string]func(*PropertyWriter){
		"number": func(w *PropertyWriter) { w.Number(ContentType, 1) },
		"text":   func(w *PropertyWriter) { w.Text(TopicAlias, "x") },
		"binary": func(w *PropertyWriter) { w.Binary(UserProperty, nil) },
	} {
		func() {
			defer func() {
				if r := recover(); !strings.HasPrefix(fmt.Sprint(r), "BUG: ") {
					t.Errorf("%s: recovered %v", name, r)
				}
			}()
			write(new(PropertyWriter))
		}()
	}
}

// Which property may stand where, column by column of section 2.2.2.2.
func TestPropertyTable(t *testing.T) {
	for at, want := range map[place]string{
		place(TypeConnect):     "11 15 16 17 19 21 22 26 27",
		place(TypeConnack):     "11 12 13 15 16 1a 1c 1f 21 22 24 25 26 27 28 29 2a",
		place(TypePublish):     "01 02 03 08 09 23 26",
		inServerPublish:        "01 02 03 08 09 0b 23 26",
		inWill:                 "01 02 03 08 09 18 26",
		place(TypePuback):      "1f 26",
		place(TypePubrec):      "1f 26",
		place(TypePubrel):      "1f 26",
		place(TypePubcomp):     "1f 26",
		place(TypeSubscribe):   "0b 26",
		place(TypeSuback):      "1f 26",
		place(TypeUnsubscribe): "26",
		place(TypeUnsuback):    "1f 26",
		place(TypeDisconnect):  "11 1f 26",
		inServerDisconnect:     "1c 1f 26",
		place(TypeAuth):        "15 16 1f 26",
	} {
		var allowed []string
		for id := range PropertyID(0x80) {
			// A value of ones is good for every form; the method goes with the data.
			list := Properties{byte(id), 1}
			switch id.form() {
			case formU16:
				list = Properties{byte(id), 0, 1}
			case formU32:
				list = Properties{byte(id), 0, 0, 0, 1}
			case formText, formBinary:
				list = Properties{byte(id), 0, 1, 'x'}
			case formPair:
				list = Properties{byte(id), 0, 0, 0, 0}
			}
			if id == AuthenticationData {
				list = append(list, byte(AuthenticationMethod), 0, 1, 'x')
			}
			if list.check(at) == nil {
				allowed = append(allowed, fmt.Sprintf("%02x", byte(id)))
			}
		}
		if got := strings.Join(allowed, " "); got != want {
			t.Errorf("place %d allows %s, want %s", at, got, want)
		}
	}
}
