package edge

import (
	"strings"
	"testing"

	amqp091 "github.com/rabbitmq/amqp091-go"
)

// remake deletes the queue uplink and makes another of its name.
func (b *box) remake(args amqp091.Table) {
	b.t.Helper()
	ch, err := b.dial("guest:guest")
	if err != nil {
		b.t.Fatal(err)
	}
	if _, err := ch.QueueDelete("uplink", false, false, false); err != nil {
		b.t.Fatal(err)
	}
	if _, err := ch.QueueDeclare("uplink", true, false, false, false, args); err != nil {
		b.t.Fatal(err)
	}
}

func TestQueueThatIsNotAsDeclaredDoesNotStopTheStart(t *testing.T) {
	const later = "[[queue]]\nname = \"later\"\n"
	b := newBox(t, uplinkTopology)
	b.start()
	b.remake(amqp091.Table{"x-max-length": int32(5)})
	b.stop()
	b.write(uplinkTopology + later)
	b.start()
	defer b.stop()
	st := b.status()
	if len(st.Queues) != 2 {
		t.Errorf("what was declared beside it is not there: %+v", st.Queues)
	}
	if len(st.Troubles) != 1 || st.Troubles[0].Name != `queue "uplink" in vhost "/"` || !strings.Contains(st.Troubles[0].Text, "x-max-length") {
		t.Fatalf("the operator is not told what is wrong with it: %+v", st.Troubles)
	}

	// It does not stand in the way of another change either.
	b.write(uplinkTopology + later + "[[queue]]\nname = \"third\"\n")
	b.until("the change is in force", func() bool { return len(b.status().Queues) == 3 })
	if st := b.status(); len(st.Troubles) != 1 {
		t.Errorf("after a change of something else: %+v", st.Troubles)
	}

	b.remake(nil)
	b.write(uplinkTopology + later)
	b.until("the trouble is over", func() bool { return len(b.status().Troubles) == 0 })
}

func TestConflictingChangeIsRefusedAsAWhole(t *testing.T) {
	b := newBox(t, uplinkTopology)
	b.start()
	defer b.stop()
	b.write("[[exchange]]\nname = \"all\"\ntype = \"fanout\"\n[[vhost]]\nname = \"plant\"\n" +
		"[[queue]]\nname = \"first\"\n[[queue]]\nname = \"uplink\"\narguments = {x-max-length = 5}\n")
	b.until("the conflict is told", func() bool { return len(b.status().Troubles) == 1 })
	st := b.status()
	if tr := st.Troubles[0]; tr.Name != "configuration" || !strings.Contains(tr.Text, `queue "uplink" in vhost "/"`) {
		t.Errorf("the trouble: %+v", tr)
	}
	if len(st.VHosts) != 1 || len(st.Queues) != 1 {
		t.Errorf("half of the change is in force: %+v, %+v", st.VHosts, st.Queues)
	}
}
