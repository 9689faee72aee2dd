package interop

import (
	"fmt"
	"strconv"
	"strings"
	"sync"
	"testing"
)

const (
	// flashReadings is how many messages wait for a client that is away.
	flashReadings = 20_000
	flashSensors  = 4
	flashWindow   = 50 // of each sensor: sent and not acknowledged

	// flashCommitsMax bounds the synced commits for a thousand acknowledged
	// messages: what wears the card out.
	flashCommitsMax = 20
)

// TestPubackIsOnTheFlash: what was acknowledged to the sensors while the
// subscriber was away is there after a kill, in order, and cost few syncs.
func TestPubackIsOnTheFlash(t *testing.T) {
	g := openGateway(t, "profile = \"small\"\n")
	leaveMQTT(t, g, "archive", 1)
	before := metric(t, g, "leveret_spool_commits_total")
	book := newLedger()
	var sensors sync.WaitGroup
	for i := range flashSensors {
		sensors.Go(func() {
			if err := publishAcked(g, "f"+strconv.Itoa(i), flashReadings/flashSensors, book); err != nil {
				t.Error(err)
			}
		})
	}
	sensors.Wait()
	commits := metric(t, g, "leveret_spool_commits_total") - before
	g.kill()
	if perThousand := commits * 1000 / flashReadings; perThousand > flashCommitsMax {
		t.Errorf("%.1f commits per 1,000 acknowledged messages, want at most %d", perThousand, flashCommitsMax)
	} else {
		t.Logf("%.1f commits per 1,000 acknowledged messages", perThousand)
	}
	g.mustStart(t)
	got := &arrivals{}
	must(t, collect(g, "archive", got, flashReadings, &mqttReceiver{}))
	book.judge(got).check(t, "the subscriber", 0)
	if book.count() != flashReadings {
		t.Errorf("%d were acknowledged, want %d", book.count(), flashReadings)
	}
}

// TestExactlyOnceOverKills kills the broker while a sensor publishes with QoS
// 2, before the subscriber comes, and while it reads: nothing is lost, nothing
// comes twice.
func TestExactlyOnceOverKills(t *testing.T) {
	t.Parallel()
	g := openGateway(t, "profile = \"small\"\n")
	leaveMQTT(t, g, "archive", 2)
	book := newLedger()
	book.offer("x", flashReadings)
	sender := &mqttExact{topic: "plant/x/temp", window: flashWindow, settled: func(text string) {
		r, _ := parseReading(text)
		book.promise(r)
	}}
	publishExact(t, g, sender, 1, flashReadings/2)
	g.kill() // with a window of messages under way
	g.mustStart(t)
	publishExact(t, g, sender, flashReadings/2+1, flashReadings)
	finishExact(t, g, sender)
	g.kill()
	g.mustStart(t)

	got, reader := &arrivals{}, &mqttReceiver{halfway: map[uint16]bool{}}
	must(t, collect(g, "archive", got, flashReadings/2, reader))
	g.kill()
	g.mustStart(t)
	must(t, collect(g, "archive", got, flashReadings, reader))
	must(t, nothingMore(g, "archive", got, reader))
	book.judge(got).check(t, "the subscriber", 0)
	if book.count() != flashReadings {
		t.Errorf("%d were acknowledged, want %d", book.count(), flashReadings)
	}
}

// leaveMQTT subscribes a client to all plants and goes away.
func leaveMQTT(t *testing.T, g *gateway, client string, qos byte) {
	t.Helper()
	c, err := connectMQTT(g.mqtt(), mqttConnect{client: client, keep: true})
	must(t, err)
	defer c.close()
	granted, err := c.subscribe("plant/#", qos)
	must(t, err)
	if granted != qos {
		t.Fatalf("QoS %d was granted, want %d", granted, qos)
	}
}

// publishAcked sends the sensor's first n readings, a window at a time.
func publishAcked(g *gateway, sensor string, n int, book *ledger) error {
	c, err := dialMQTT(g.mqtt(), sensor)
	if err != nil {
		return err
	}
	defer c.close()
	book.offer(sensor, n)
	for first := 1; first <= n; first += flashWindow {
		texts := make([]string, min(flashWindow, n-first+1))
		for i := range texts {
			texts[i] = reading{sensor, first + i}.String()
		}
		acked := func(i int) { book.promise(reading{sensor, first + i}) }
		if err := c.publish("plant/"+sensor+"/temp", texts, acked); err != nil {
			return fmt.Errorf("%s: %w", sensor, err)
		}
	}
	return nil
}

// publishExact sends readings first to last and leaves a window unanswered.
func publishExact(t *testing.T, g *gateway, e *mqttExact, first, last int) {
	t.Helper()
	c := exactSession(t, g, e, first > 1)
	defer c.close()
	for n := first; n <= last; n++ {
		must(t, e.publish(c, reading{"x", n}.String()))
	}
}

func finishExact(t *testing.T, g *gateway, e *mqttExact) {
	t.Helper()
	c := exactSession(t, g, e, true)
	defer c.close()
	must(t, e.finish(c))
}

// exactSession connects the sensor and sends again what was under way.
func exactSession(t *testing.T, g *gateway, e *mqttExact, present bool) *mqttPublisher {
	t.Helper()
	c, err := connectMQTT(g.mqtt(), mqttConnect{client: "x", keep: true})
	must(t, err)
	if c.present != present {
		t.Errorf("the sensor's session is there: %v, want %v", c.present, present)
	}
	must(t, e.resume(c))
	return c
}

// collect reads from the client's session until it got n messages in all.
func collect(g *gateway, client string, got *arrivals, n int, r *mqttReceiver) error {
	c, err := connectMQTT(g.mqtt(), mqttConnect{client: client, keep: true})
	if err != nil {
		return err
	}
	defer c.close()
	r.got = got.add
	for got.count() < n {
		if err := r.step(c); err != nil {
			return fmt.Errorf("after %d of %d messages: %w", got.count(), n, err)
		}
	}
	return nil
}

// nothingMore ends the handshakes that are open and makes sure that no message
// is left for the client: one sent to it now is the next that comes.
func nothingMore(g *gateway, client string, got *arrivals, r *mqttReceiver) error {
	c, err := connectMQTT(g.mqtt(), mqttConnect{client: client, keep: true})
	if err != nil {
		return err
	}
	defer c.close()
	last := ""
	r.got = func(text string) {
		if last = text; text != "the end" {
			got.add(text)
		}
	}
	p, err := dialMQTT(g.mqtt(), client+"-end")
	if err != nil {
		return err
	}
	defer p.close()
	if err := p.publish("plant/end", []string{"the end"}, func(int) {}); err != nil {
		return err
	}
	for last != "the end" {
		if err := r.step(c); err != nil {
			return err
		}
	}
	return nil
}

// metric reads one figure of the gateway.
func metric(t testing.TB, g *gateway, name string) float64 {
	t.Helper()
	_, body := fetch(t, g.admin()+"/metrics")
	for line := range strings.Lines(body) {
		if value, ok := strings.CutPrefix(line, name+" "); ok {
			n, err := strconv.ParseFloat(strings.TrimSpace(value), 64)
			must(t, err)
			return n
		}
	}
	t.Fatalf("/metrics has no %s", name)
	return 0
}
