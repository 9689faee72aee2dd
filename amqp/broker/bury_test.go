package broker

import (
	"testing"

	"leveret/amqp"
	"leveret/spool/mem"
)

// TestBury: a message that nobody takes goes where its queue sends the dead,
// with the reason, or stays where it is when that would lose it.
func TestBury(t *testing.T) {
	tests := []struct {
		name string
		dead string // dead letter exchange of the queue; "" is none
		bind string // queue that is bound to it
		want bool
	}{
		{"no dead letter exchange", "", "", false},
		{"an exchange that is not there", "nowhere", "", false},
		{"an exchange without a queue", "dead", "", false},
		{"back into the queue itself", "dead", "q", false},
		{"a grave", "dead", "grave", true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b, err := Open(Options{Log: mem.New().Auto()})
			if err != nil {
				t.Fatal(err)
			}
			c, err := b.Connect(DefaultVHost, Identity{}, func() {})
			if err != nil {
				t.Fatal(err)
			}
			var args amqp.Table
			if tt.dead != "" {
				args = amqp.Table{{Key: "x-dead-letter-exchange", Value: tt.dead}}
			}
			for name, args := range map[string]amqp.Table{"q": args, "grave": nil} {
				if _, _, err := c.DeclareQueue(QueueSpec{Name: name, Durable: true, Args: args}); err != nil {
					t.Fatal(err)
				}
			}
			if _, err := c.DeclareExchange(ExchangeSpec{Name: "dead", Type: "fanout"}); err != nil {
				t.Fatal(err)
			}
			if tt.bind != "" {
				if _, err := c.BindQueue(tt.bind, "dead", "", nil); err != nil {
					t.Fatal(err)
				}
			}
			s := c.Open()
			if _, err := s.Publish(0, []Publish{{Msg: &amqp.Message{Key: "q", Body: []byte("x")}}, {Msg: &amqp.Message{Key: "q", Body: []byte("y")}}}); err != nil {
				t.Fatal(err)
			}
			d, _, ok, err := s.Get("q", false)
			if err != nil || !ok {
				t.Fatalf("Get = %v, %v", ok, err)
			}
			before := b.transient.Load()
			if got, err := s.Bury(d.Tag, "too hot"); got != tt.want || err != nil {
				t.Fatalf("Bury = %v, %v, want %v", got, err, tt.want)
			}
			if st, _ := b.QueueStatus(DefaultVHost, "q"); st.Ready != 1 || (st.Unacked == 0) != tt.want {
				t.Errorf("the queue has %+v", st)
			}
			if !tt.want {
				if err := s.Settle([]Settlement{{Tag: d.Tag}}); err != nil {
					t.Errorf("what was not buried cannot be settled: %v", err)
				}
				return
			}
			dead, _, ok, err := s.Get("grave", true)
			if err != nil || !ok {
				t.Fatalf("nothing in the grave: %v", err)
			}
			if why, _ := dead.Msg.Props.Header(HeaderRefused); why != "too hot" {
				t.Errorf("%s = %v", HeaderRefused, why)
			}
			death, _ := deathsOf(dead.Msg.Props)[0].(amqp.Table)
			if reason, _ := death.Get("reason"); reason != reasonRejected {
				t.Errorf("died of %v", reason)
			}
			if grown := b.transient.Load(); grown >= before {
				t.Errorf("%d bytes of transient messages, %d before one was taken out", grown, before)
			}
			if _, err := s.Bury(d.Tag, "again"); err == nil {
				t.Error("a second burial is taken")
			}
		})
	}
}
