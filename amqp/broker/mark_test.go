package broker

import (
	"errors"
	"slices"
	"testing"

	"leveret/amqp"
	"leveret/spool"
	"leveret/spool/mem"
)

// opened gives a broker on the log with a connection, a session and a durable
// queue "q".
func opened(t *testing.T, log *mem.Log) (*Conn, *Session) {
	t.Helper()
	b, err := Open(Options{Log: log})
	if err != nil {
		t.Fatal(err)
	}
	c, err := b.Connect(DefaultVHost, Identity{}, func() {})
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := c.DeclareQueue(QueueSpec{Name: "q", Durable: true}); err != nil {
		t.Fatal(err)
	}
	return c, c.Open()
}

func persistentTo(queue string) *amqp.Message {
	return &amqp.Message{Key: queue, Props: amqp.PropertyList{DeliveryMode: 2}.Encode(), Body: []byte("x")}
}

func marksOf(t *testing.T, c *Conn) []uint32 {
	t.Helper()
	marks, err := c.Marks("q")
	if err != nil {
		t.Fatal(err)
	}
	return marks
}

func TestMarkIsAsSafeAsItsMessage(t *testing.T) {
	log := mem.New()
	c, s := opened(t, log)
	log.Commit()
	ps := []Publish{{Msg: persistentTo("q"), Mark: Mark{Queue: "q", Number: 7}}, {Msg: persistentTo("nowhere"), Mark: Mark{Queue: "q", Number: 8}}}
	if _, err := s.Publish(0, ps); err != nil {
		t.Fatal(err)
	}
	if ps[0].LSN == 0 || ps[1].LSN != ps[0].LSN {
		t.Errorf("receipts %d and %d, want the one LSN of both", ps[0].LSN, ps[1].LSN)
	}
	if got := marksOf(t, c); !slices.Equal(got, []uint32{7, 8}) {
		t.Errorf("marks are %v", got)
	}

	lost, _ := opened(t, log.Crash())
	if got := marksOf(t, lost); len(got) != 0 {
		t.Errorf("marks %v survived a power cut before their commit", got)
	}
	if info, _ := lost.CheckQueue("q"); info.Messages != 0 {
		t.Errorf("%d messages survived", info.Messages)
	}

	log.Commit()
	log = log.Crash()
	c, s = opened(t, log)
	if got := marksOf(t, c); !slices.Equal(got, []uint32{7, 8}) {
		t.Errorf("after a power cut the marks are %v", got)
	}
	d, _, _, err := s.Get("q", false)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.SettleMarking([]Settlement{{Tag: d.Tag}}, []Mark{{Queue: "q", Number: 7, Clear: true}, {Queue: "q", Number: 9}}); err != nil {
		t.Fatal(err)
	}
	log.Commit()
	log = log.Crash()
	c, _ = opened(t, log)
	if got := marksOf(t, c); !slices.Equal(got, []uint32{8, 9}) {
		t.Errorf("after settling the marks are %v", got)
	}
	if info, _ := c.CheckQueue("q"); info.Messages != 0 {
		t.Errorf("%d messages are still there", info.Messages)
	}

	if _, _, err := c.DeleteQueue("q", false, false); err != nil {
		t.Fatal(err)
	}
	log.Commit()
	c, _ = opened(t, log.Crash())
	if got := marksOf(t, c); len(got) != 0 {
		t.Errorf("marks %v outlived their queue", got)
	}
}

func TestRefusedPublishMarksNothing(t *testing.T) {
	log := mem.New()
	c, s := opened(t, log)
	log.SetFull(true)
	if _, err := s.Publish(0, []Publish{{Msg: persistentTo("q"), Mark: Mark{Queue: "q", Number: 7}}}); !errors.Is(err, spool.ErrFull) {
		t.Fatalf("Publish() = %v, want ErrFull", err)
	}
	if got := marksOf(t, c); len(got) != 0 {
		t.Errorf("marks are %v", got)
	}
	if _, err := s.Publish(0, []Publish{{Msg: persistentTo("q"), Mark: Mark{Queue: "missing", Number: 7}}}); err == nil {
		t.Error("a mark on a queue that is not there was taken")
	}
}
