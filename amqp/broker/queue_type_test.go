package broker

import (
	"testing"

	"leveret/amqp"
	"leveret/spool/mem"
)

// declareTyped declares a durable queue of a type in a broker that maps types.
func declareTyped(t *testing.T, types QueueTypes, name, kind string) (*Conn, error) {
	t.Helper()
	b, err := Open(Options{Log: mem.New().Auto(), QueueTypes: types})
	if err != nil {
		t.Fatal(err)
	}
	c, _ := b.Connect(DefaultVHost, Identity{}, func() {})
	_, _, err = c.DeclareQueue(QueueSpec{Name: name, Durable: true, Args: amqp.Table{{Key: "x-queue-type", Value: kind}}})
	return c, err
}

func TestQueueTypesAreMapped(t *testing.T) {
	for _, tt := range []struct {
		kind    string
		types   QueueTypes
		limit   int64 // of deliveries, when it is taken
		refusal string
	}{
		{"quorum", QueueTypes{}, deliveryLimitDefault, ""},
		{"quorum", QueueTypes{Quorum: TypeClassic}, -1, ""},
		{"quorum", QueueTypes{Quorum: TypeRefused}, 0, "PRECONDITION_FAILED - invalid arg 'x-queue-type' for queue 'q' in vhost '/': quorum queues are not offered here; a durable queue is as safe"},
		{"stream", QueueTypes{}, 0, "PRECONDITION_FAILED - invalid arg 'x-queue-type' for queue 'q' in vhost '/': streams are not offered; a durable queue with x-max-length-bytes keeps the newest messages"},
		{"stream", QueueTypes{Stream: TypeClassic}, -1, ""},
		{"stream", QueueTypes{Stream: TypeQuorum}, deliveryLimitDefault, ""},
		{"classic", QueueTypes{Quorum: TypeRefused}, -1, ""},
	} {
		c, err := declareTyped(t, tt.types, "q", tt.kind)
		if tt.refusal != "" {
			if err == nil || err.Error() != tt.refusal {
				t.Errorf("%s as %+v: %v, want %s", tt.kind, tt.types, err, tt.refusal)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s as %+v: %v", tt.kind, tt.types, err)
		} else if got := c.v.queues["q"].args.deliveryLimit; got != tt.limit {
			t.Errorf("%s as %+v: delivery limit %d, want %d", tt.kind, tt.types, got, tt.limit)
		}
	}
}

// TestMappedQueuesStay: what a type becomes may change between two starts; the
// queues that are there are not lost over it.
func TestMappedQueuesStay(t *testing.T) {
	log := mem.New().Auto()
	types := QueueTypes{Stream: TypeQuorum}
	for _, limit := range []int64{deliveryLimitDefault, -1} {
		b, err := Open(Options{Log: log, QueueTypes: types})
		if err != nil {
			t.Fatal(err)
		}
		c, _ := b.Connect(DefaultVHost, Identity{}, func() {})
		spec := QueueSpec{Name: "q", Durable: true, Args: amqp.Table{{Key: "x-queue-type", Value: "stream"}}}
		if _, _, err := c.DeclareQueue(spec); err != nil {
			t.Fatal(err)
		}
		if got := c.v.queues["q"].args.deliveryLimit; got != limit {
			t.Errorf("mapped by %+v: delivery limit %d, want %d", types, got, limit)
		}
		log, types = log.Crash(), QueueTypes{}
	}
}
