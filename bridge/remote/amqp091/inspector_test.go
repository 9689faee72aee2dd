package amqp091

import (
	"bytes"
	"testing"
)

// FuzzInspector: however a stream is cut into reads, the same octets pass and
// the same complaint is made.
func FuzzInspector(f *testing.F) {
	var good []byte
	for _, p := range [][]byte{
		rawFrame(frameMethod, 0, method(10, 10, uint8(0), uint8(9), []byte(nil), []byte("PLAIN"), []byte("en_US"))),
		rawFrame(frameHeartbeat, 0, nil),
		rawFrame(frameMethod, 1, method(60, 50, uint16(312), "NO_ROUTE", "x", "k")),
		rawFrame(frameHeader, 1, method(60, 0, uint64(3), uint16(0))),
		rawFrame(frameBody, 1, []byte("abc")),
		rawFrame(frameMethod, 1, method(60, 80, uint64(4), uint8(1))),
		rawFrame(frameMethod, 1, method(85, 11)),
	} {
		good = append(good, p...)
	}
	f.Add(good, uint8(1))
	f.Add(append(bytes.Clone(good), rawFrame(frameMethod, 1, method(60, 80, uint64(6), uint8(1)))...), uint8(3))
	f.Add([]byte("AMQP\x00\x00\x09\x01"), uint8(2))
	f.Fuzz(func(t *testing.T, stream []byte, step uint8) {
		whole, parts := newInspector(), newInspector()
		want := whole.inspect(stream)
		passed := 0
		for passed < len(stream) && parts.bad == nil {
			passed += parts.inspect(stream[passed:min(len(stream), passed+1+int(step))])
		}
		if (whole.bad == nil) != (parts.bad == nil) || whole.bad != nil && whole.bad.Error() != parts.bad.Error() {
			t.Fatalf("at once: %v; in steps of %d: %v", whole.bad, 1+int(step), parts.bad)
		}
		if passed < want {
			t.Fatalf("at once %d octets passed, in steps %d", want, passed)
		}
		if len(whole.refused) > 5 || len(whole.refused) != len(parts.refused) {
			t.Fatalf("refused %v, in steps %v", whole.refused, parts.refused)
		}
		if bytes.HasPrefix(stream, good) && want < len(good) {
			t.Fatalf("good frames were stopped: %v", whole.bad)
		}
	})
}

func newInspector() *inspector {
	in := &inspector{}
	for range 5 {
		in.expect(3)
	}
	return in
}
