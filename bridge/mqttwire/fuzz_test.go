package mqttwire

import (
	"bytes"
	"io"
	"testing"
)

// What is decoded, encoded and decoded again must be the same, whatever the
// peer sends, and nothing it sends may cause anything but an *Error.
func fuzzStream(f *testing.F, from sender) {
	for _, row := range acceptedPackets {
		f.Add(byte(row.version), wire(f, row.packet))
	}
	f.Add(byte(V311), append(wire(f, `10 ( "MQTT" 05 02 0000 00 "c" ) 82 ( 0001 00 "a/#" 00 )`), packets(f, 3, 10)...))
	f.Fuzz(func(t *testing.T, level byte, stream []byte) {
		version := V31 + Version(level%3)
		r := NewReader(bytes.NewReader(stream), ConnectSizeMax)
		r.SetVersion(version)
		for {
			packet, err := r.Next()
			if err == io.EOF || err == io.ErrUnexpectedEOF {
				return
			}
			decoded := fresh(packet.Type)
			if err == nil {
				err = decodeInto(decoded, packet, version, from)
			}
			if err != nil {
				if _, ok := codeOf(err); !ok {
					t.Fatalf("refused with %T %v", err, err)
				}
				return
			}
			if connect, ok := decoded.(*Connect); ok {
				version = connect.Version
				r.SetVersion(version)
			}
			checkEncodes(t, packet, version, from, decoded)
		}
	})
}

func checkEncodes(t *testing.T, packet Packet, version Version, from sender, decoded any) {
	t.Helper()
	encoded, err := encode(packet.Type, version, decoded)
	if err != nil {
		t.Fatalf("MQTT %s: encode %+v: %v", version, decoded, err)
	}
	again, second, err := decodeWire(encoded, version, from)
	if err != nil || again.Type != packet.Type || show(second) != show(decoded) {
		t.Fatalf("MQTT %s: %s %+v encoded as %x and decoded as %+v, %v", version, packet.Type, decoded, encoded, second, err)
	}
}

func FuzzFromClient(f *testing.F) { fuzzStream(f, client) }

func FuzzFromServer(f *testing.F) { fuzzStream(f, server) }

// A checked list must be walked to its end, and be the same when it is written
// property by property.
func FuzzProperties(f *testing.F) {
	f.Add(byte(TypeConnect), wire(f, `11 00000001 26 "n" "v" 15 "m" 16 "d"`))
	f.Add(byte(inServerPublish), wire(f, `0B 01 0B 8001 01 01 08 "t" 23 0001`))
	f.Fuzz(func(t *testing.T, at byte, list []byte) {
		props := Properties(list)
		if len(list) > stringMax || props.check(place(at%18)) != nil {
			return
		}
		var w PropertyWriter
		for p := range props.Each {
			switch p.ID.form() {
			case formText:
				w.Text(p.ID, string(p.Value))
			case formBinary:
				w.Binary(p.ID, p.Value)
			case formPair:
				w.User(string(p.Name), string(p.Value))
			default:
				w.Number(p.ID, p.Number)
			}
		}
		if got, err := w.Properties(); err != nil || !bytes.Equal(got, list) {
			t.Errorf("%x was written as %x, %v", list, got, err)
		}
	})
}
