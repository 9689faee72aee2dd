package mqttwire

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
)

// wire writes bytes as the tests spell them: hexadecimal digits; "text" for a
// string with its 16-bit length; 'text' for the bare text; ( ) around what is
// to have its length in front as a variable byte integer, so that a packet is
// `30 ( "topic" 'payload' )`. Inside quotes ~ stands for U+0000.
func wire(t testing.TB, spelled string) []byte {
	t.Helper()
	out, rest := spell(t, spelled)
	if rest != "" {
		t.Fatalf("wire(%q): %q is left over", spelled, rest)
	}
	return out
}

func spell(t testing.TB, s string) (out []byte, rest string) {
	t.Helper()
	for s != "" {
		switch c := s[0]; c {
		case ' ', '\n', '\t':
			s = s[1:]
		case '"', '\'':
			text, after, ok := strings.Cut(s[1:], s[:1])
			if !ok {
				t.Fatalf("wire: no end of text in %q", s)
			}
			text = strings.ReplaceAll(text, "~", "\x00")
			if c == '"' {
				out = binary.BigEndian.AppendUint16(out, uint16(len(text)))
			}
			out, s = append(out, text...), after
		case '(':
			inner, after := spell(t, s[1:])
			if !strings.HasPrefix(after, ")") {
				t.Fatalf("wire: no ) in %q", s)
			}
			out, s = append(appendVarint(out, len(inner)), inner...), after[1:]
		case ')':
			return out, s
		default:
			if len(s) < 2 {
				t.Fatalf("wire: half a byte in %q", s)
			}
			b, err := hex.DecodeString(s[:2])
			if err != nil {
				t.Fatalf("wire: %q: %v", s, err)
			}
			out, s = append(out, b...), s[2:]
		}
	}
	return out, ""
}

// sender is the side a packet came from.
type sender bool

const (
	client sender = false
	server sender = true
)

// fresh is a struct for a packet of the type; nil for those without content.
func fresh(kind Type) any {
	switch kind {
	case TypeConnect:
		return new(Connect)
	case TypeConnack:
		return new(Connack)
	case TypePublish:
		return new(Publish)
	case TypePuback, TypePubrec, TypePubrel, TypePubcomp:
		return new(Ack)
	case TypeSubscribe:
		return new(Subscribe)
	case TypeSuback:
		return new(Suback)
	case TypeUnsubscribe:
		return new(Unsubscribe)
	case TypeUnsuback:
		return new(Unsuback)
	case TypeDisconnect:
		return new(Disconnect)
	case TypeAuth:
		return new(Auth)
	}
	return nil
}

func decodeInto(dst any, p Packet, v Version, from sender) error {
	switch d := dst.(type) {
	case *Connect:
		return d.Decode(p.Body)
	case *Connack:
		return d.Decode(p.Body, v)
	case *Publish:
		if from == server {
			return d.DecodeFromServer(p.Flags, p.Body, v)
		}
		return d.Decode(p.Flags, p.Body, v)
	case *Ack:
		return d.Decode(p.Type, p.Body, v)
	case *Subscribe:
		return d.Decode(p.Body, v)
	case *Suback:
		return d.Decode(p.Body, v)
	case *Unsubscribe:
		return d.Decode(p.Body, v)
	case *Unsuback:
		return d.Decode(p.Body, v)
	case *Disconnect:
		if from == server {
			return d.DecodeFromServer(p.Body, v)
		}
		return d.Decode(p.Body, v)
	case *Auth:
		return d.Decode(p.Body)
	}
	return DecodePing(p.Type, p.Body)
}

// encode is the way back of decodeInto.
func encode(kind Type, v Version, decoded any) ([]byte, error) {
	switch d := decoded.(type) {
	case *Connect:
		return AppendConnect(nil, d)
	case *Connack:
		return AppendConnack(nil, v, d)
	case *Publish:
		return AppendPublish(nil, v, &PublishOut{
			Dup: d.Dup, QoS: d.QoS, Retain: d.Retain, Topic: string(d.Topic),
			PacketID: d.PacketID, Props: d.Props, Payload: d.Payload,
		})
	case *Ack:
		return AppendAck(nil, kind, v, d)
	case *Subscribe:
		return AppendSubscribe(nil, v, d)
	case *Suback:
		return AppendSuback(nil, v, d)
	case *Unsubscribe:
		return AppendUnsubscribe(nil, v, d)
	case *Unsuback:
		return AppendUnsuback(nil, v, d)
	case *Disconnect:
		return AppendDisconnect(nil, v, d)
	case *Auth:
		return AppendAuth(nil, d)
	}
	if kind == TypePingreq {
		return AppendPingreq(nil), nil
	}
	return AppendPingresp(nil), nil
}

// decodeWire reads and decodes one packet, which must be all of b.
func decodeWire(b []byte, v Version, from sender) (Packet, any, error) {
	r := NewReader(bytes.NewReader(b), 1<<20)
	if b[0]>>4 != byte(TypeConnect) {
		r.SetVersion(v)
	}
	p, err := r.Next()
	if err != nil {
		return p, nil, err
	}
	if _, err := r.Next(); err != io.EOF {
		return p, nil, fmt.Errorf("after the packet: %v, want EOF", err)
	}
	decoded := fresh(p.Type)
	return p, decoded, decodeInto(decoded, p, v, from)
}

// codeOf is the reason code an error carries; not ok for any other error.
func codeOf(err error) (ReasonCode, bool) {
	e, ok := errors.AsType[*Error](err)
	if !ok {
		return 0, false
	}
	return e.Code, true
}
