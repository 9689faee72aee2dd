package edge

import (
	"strings"
	"testing"

	amqp091 "github.com/rabbitmq/amqp091-go"
)

const plant = `
[[vhost]]
name = "plant"
connections_max = 50
[[user]]
name = "anna"
password = "one"
connections_max = 2
channels_max = 3
[[permission]]
user = "anna"
vhost = "plant"
[[topic_permission]]
user = "anna"
vhost = "plant"
write = "^{username}\\."
[[exchange]]
name = "all"
type = "fanout"
vhost = "plant"
[[queue]]
name = "q"
vhost = "plant"
[[queue]]
name = "q"
[[binding]]
source = "amq.topic"
destination = "all"
destination_type = "exchange"
key = "#"
vhost = "plant"
[[binding]]
source = "all"
destination = "q"
vhost = "plant"
`

const short = `
[[policy]]
name = "short"
vhost = "plant"
apply_to = "queues"
definition = {max-length = 1}
`

func TestVHostsOfTheConfiguration(t *testing.T) {
	b := newBox(t, plant+short)
	b.start()
	_, err := b.dial("anna:one")
	if err == nil || !strings.Contains(err.Error(), "no access to this vhost") && !strings.Contains(err.Error(), "access to vhost '/' refused for user 'anna'") {
		t.Errorf("entering a vhost without a permission: %v", err)
	}
	ch := b.dialVHost("anna:one", "plant")
	if err := ch.Confirm(false); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		c, err := ch.PublishWithDeferredConfirm("amq.topic", "anna.temp", true, false, amqp091.Publishing{DeliveryMode: amqp091.Persistent})
		if err != nil {
			t.Fatal(err)
		}
		c.Wait()
	}
	st := b.status()
	if len(st.VHosts) != 2 || st.VHosts[1].Name != "plant" || st.VHosts[1].ConnectionsMax != 50 || st.VHosts[1].Queues != 1 {
		t.Errorf("vhosts: %+v", st.VHosts)
	}
	if q := st.Queues[1]; len(st.Queues) != 2 || q.VHost != "plant" || q.Ready != 1 || q.Policy != "short" {
		t.Errorf("queues: %+v", st.Queues)
	}

	closed := ch.NotifyClose(make(chan *amqp091.Error, 1))
	if err := ch.Publish("amq.topic", "ben.temp", false, false, amqp091.Publishing{}); err != nil {
		t.Fatal(err)
	}
	if why := <-closed; why == nil || !strings.Contains(why.Reason, "write access to topic 'ben.temp' in exchange 'amq.topic' in vhost 'plant' refused") {
		t.Errorf("publishing to somebody else's topic: %v", why)
	}

	// Taken out while it was away, a policy is gone at the next start; what may
	// hold messages stays.
	b.stop()
	b.write("")
	b.start()
	defer b.stop()
	if st := b.status(); len(st.VHosts) != 2 || len(st.Queues) != 2 || st.Queues[1].Policy != "" || st.Queues[1].Ready != 1 {
		t.Errorf("after all was taken out of the file: %+v, %+v", st.VHosts, st.Queues)
	}
	b.write(plant + short)
	b.until("the policy is back", func() bool { return b.status().Queues[1].Policy == "short" })
	b.write(plant)
	b.until("the policy is gone", func() bool { return b.status().Queues[1].Policy == "" })
}

func TestLimitsOfAUser(t *testing.T) {
	b := newBox(t, plant)
	b.start()
	defer b.stop()
	b.dialVHost("anna:one", "plant")
	b.dialVHost("anna:one", "plant")
	for _, l := range b.status().Listeners {
		if l.Door != "amqp" {
			continue
		}
		if conn, err := amqp091.Dial("amqp://anna:one@" + l.Address + "/plant"); err == nil {
			conn.Close()
			t.Error("a third connection came in")
		}
	}
}
