package broker

import (
	"testing"

	"leveret/amqp"
	"leveret/spool"
	"leveret/spool/mem"
)

// Who asks again for what is there is answered no sooner than who made it.
func TestWhatIsThereMayNotBeDurableYet(t *testing.T) {
	log := mem.New()
	b, err := Open(Options{Log: log})
	if err != nil {
		t.Fatal(err)
	}
	c, err := b.Connect(DefaultVHost, Identity{}, func() {})
	if err != nil {
		t.Fatal(err)
	}
	for _, durable := range []bool{true, false} {
		name := map[bool]string{true: "lasting", false: "passing"}[durable]
		for what, ask := range map[string]func() (spool.LSN, error){
			"queue": func() (spool.LSN, error) {
				_, lsn, err := c.DeclareQueue(QueueSpec{Name: name, Durable: durable})
				return lsn, err
			},
			"exchange": func() (spool.LSN, error) {
				return c.DeclareExchange(ExchangeSpec{Name: name, Type: "topic", Durable: durable})
			},
		} {
			first, err := ask()
			again, err2 := ask()
			if err != nil || err2 != nil || (first > 0) != durable || (again > 0) != durable || again < first {
				t.Errorf("%s %s: LSN %d, %v, then %d, %v", name, what, first, err, again, err2)
			}
		}
		for _, args := range []amqp.Table{nil, {{Key: ArgRetained, Value: true}}} {
			first, err := c.BindQueue(name, name, "k", args)
			again, err2 := c.BindQueue(name, name, "k", args)
			if err != nil || err2 != nil || (first > 0) != durable || (again > 0) != durable || again < first {
				t.Errorf("%s binding %v: LSN %d, %v, then %d, %v", name, args, first, err, again, err2)
			}
		}
	}
	if upTo, _, _ := log.Durable(); upTo != 0 {
		t.Errorf("the log is durable up to %d: nothing was shown", upTo)
	}
}
