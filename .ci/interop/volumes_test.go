package interop

import (
	"context"
	"encoding/binary"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	amqp091 "github.com/rabbitmq/amqp091-go"
)

const (
	fillBatch = 8               // large messages between two waits for confirms
	fullMax   = 3 * time.Minute // to fill the volume
	resumeMax = 2 * time.Minute // from the first message consumed
)

// TestFullVolumes fills a volume of 40 MB under the gateway and frees it again,
// every second time with somebody else's file that fills it before the start.
// Nothing crashes (a mapped file on a full volume ends a process), publishers
// are held, each in its protocol's way, consumers drain, publishers go on by
// themselves, and nothing confirmed is lost.
func TestFullVolumes(t *testing.T) {
	volumes := []struct {
		name  string
		mount func(testing.TB, string) string
	}{{"tmpfs", tmpfsVolume}, {"ext4", ext4Volume}}
	for _, v := range volumes {
		t.Run(v.name, func(t *testing.T) {
			t.Parallel()
			dir := v.mount(t, "40m")
			g, err := newGateway(dir, "profile = \"tiny\"\n[spool]\nmax_bytes = \"1GiB\"\n")
			must(t, err)
			t.Cleanup(func() {
				if g.proc != nil {
					g.kill()
				}
			})
			for round := range number(3, 20) {
				fillAndFree(t, g, dir, round)
				if t.Failed() {
					t.Fatalf("round %d:\n%s", round, g.proc.output())
				}
			}
		})
	}
}

// fillAndFree is one life of the gateway.
func fillAndFree(t *testing.T, g *gateway, dir string, round int) {
	t.Helper()
	free := func() {}
	if round%2 == 1 {
		free = occupy(t, dir, 6<<20)
		defer free()
	}
	g.mustStart(t)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()

	// amqp091-go panics when it is told to wait while it closes, so this one is
	// closed when all is quiet.
	conn, ch, err := confirming(context.Background(), g)
	must(t, err)
	must(t, declareLoadQueue(conn))
	_, err = ch.QueueDeclare(bulkQueue, true, false, false, false, nil)
	must(t, err)
	var blocked atomic.Bool
	told := conn.NotifyBlocked(make(chan amqp091.Blocking, 16))
	go func() {
		for b := range told {
			blocked.Store(b.Active)
		}
	}()
	book := newLedger()
	l := &load{suffix: fmt.Sprint("-v", round), promised: book.promise, settled: book.settle}
	sensor, err := dialMQTT(g.mqtt(), l.mqttSensor())
	must(t, err)
	defer sensor.close()
	sensorEnd := make(chan error, 1)
	go func() { sensorEnd <- l.publishMQTT(sensor) }()
	f := &filler{}
	fillerEnd := make(chan error, 1)
	go func() { fillerEnd <- f.run(ctx, ch) }()

	until(t, fullMax, "the AMQP publisher is told to wait", func() bool { return blocked.Load() || g.alive() != nil })
	must(t, g.alive())
	// Who wins back some space lets somebody in, so one that is told yes asks again.
	five := 0
	until(t, fullMax, "MQTT 5 is answered 0x97 on a full volume", func() bool {
		must(t, g.alive())
		five++
		book.offer("five", five)
		code, err := publishV5(g.mqtt(), reading{"five", five}.String())
		must(t, err)
		if code == 0 {
			book.promise(reading{"five", five})
		}
		return code == 0x97
	})
	held := book.count()
	until(t, fullMax, "the MQTT 3.1.1 publisher is held", func() bool {
		time.Sleep(time.Second)
		before := held
		held = book.count()
		return held == before
	})
	if body := metric(t, g, "leveret_spool_staged_bytes"); body > 4<<20 {
		t.Errorf("%.0f bytes wait for the disk", body)
	}

	free()
	read := &filler{}
	in, err := amqp091.Dial(g.amqp())
	must(t, err)
	defer in.Close()
	must(t, read.consume(in))
	var got arrivals
	must(t, collectReadings(in, &got))
	atFull := f.n.Load()
	until(t, resumeMax, "both publishers go on", func() bool {
		return g.alive() != nil || f.n.Load() > atFull+16 && book.count() > held+loadBatch
	})
	must(t, g.alive())
	cancel()
	<-fillerEnd
	sensor.close()
	<-sensorEnd
	book.offer(l.mqttSensor(), 1<<30)
	until(t, resumeMax, "all is consumed", func() bool { return read.n.Load() >= f.n.Load() && got.covers(book) })
	until(t, resumeMax, "the AMQP publisher may go on", func() bool { return !blocked.Load() })
	time.Sleep(300 * time.Millisecond)
	conn.Close()
	in.Close()
	if n := read.bad.Load(); n > 0 {
		t.Errorf("%d large messages were damaged", n)
	}
	v := book.judge(&got)
	t.Logf("round %d: full at %d large messages, then %d went through; %v", round, atFull, f.n.Load(), v)
	if v.lost+v.damaged+v.phantom+v.disordered+v.duplicate > 0 {
		t.Error(v)
	}
	g.mustStop(t)
}

// filler counts large messages that were confirmed, or consumed.
type filler struct{ n, bad atomic.Int64 }

func (f *filler) run(ctx context.Context, ch *amqp091.Channel) error {
	for {
		if err := publishConfirmed(ctx, ch, "", bulkBody(bulkBytes), fillBatch); err != nil {
			return err
		}
		f.n.Add(fillBatch)
	}
}

// consume takes large messages until the connection closes.
func (f *filler) consume(conn *amqp091.Connection) error {
	ch, err := conn.Channel()
	if err != nil {
		return err
	}
	if err := ch.Qos(64, 0, false); err != nil {
		return err
	}
	deliveries, err := ch.Consume(bulkQueue, "", false, false, false, false, nil)
	if err != nil {
		return err
	}
	go func() {
		for d := range deliveries {
			if !soundBulk(d.Body) {
				f.bad.Add(1)
			}
			if d.Ack(false) == nil {
				f.n.Add(1)
			}
		}
	}()
	return nil
}

// collectReadings consumes the load's queue: both kinds of messages are in the
// same chunks, whose space comes back when all have left.
func collectReadings(conn *amqp091.Connection, into *arrivals) error {
	ch, err := conn.Channel()
	if err != nil {
		return err
	}
	if err := ch.Qos(64, 0, false); err != nil {
		return err
	}
	deliveries, err := ch.Consume(loadQueue, "", false, false, false, false, nil)
	if err != nil {
		return err
	}
	go func() {
		for d := range deliveries {
			into.add(string(d.Body))
			_ = d.Ack(false)
		}
	}()
	return nil
}

// publishV5 sends one message of QoS 1 as an MQTT 5 client and returns the
// reason code of its PUBACK.
func publishV5(addr, text string) (code byte, err error) {
	p, err := dialMQTTv5(addr, "five")
	if err != nil {
		return 0, err
	}
	defer p.close()
	body := binary.BigEndian.AppendUint16(mqttString(nil, "plant/five/temp"), 7)
	if err := p.send(0x32, append(append(body, 0), text...)); err != nil {
		return 0, err
	}
	kind, body, err := p.receive()
	if err != nil {
		return 0, err
	}
	if kind != 0x40 || len(body) < 2 {
		return 0, fmt.Errorf("PUBLISH answered by %#x % x", kind, body)
	}
	if len(body) == 2 {
		return 0, nil
	}
	return body[2], nil
}
