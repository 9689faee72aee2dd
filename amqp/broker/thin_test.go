package broker

import (
	"fmt"
	"slices"
	"testing"

	"leveret/amqp"
	"leveret/spool/mem"
)

// TestThinKeepsTheWholeStretch publishes far more than a thinning queue takes
// and looks at what is left: all of the time is there, the newest of it dense.
func TestThinKeepsTheWholeStretch(t *testing.T) {
	for _, window := range []int{16, 100_000} { // in the spool, and in memory
		const limit, n = 500, 20_000
		b, err := Open(Options{Log: mem.New().Auto(), Limits: Limits{WindowMessages: window}})
		if err != nil {
			t.Fatal(err)
		}
		c, _ := b.Connect(DefaultVHost, Identity{}, func() {})
		s := c.Open()
		if _, _, err := c.DeclareQueue(QueueSpec{Name: "q", Durable: true, Args: amqp.Table{
			{Key: "x-max-length", Value: int64(limit)}, {Key: "x-overflow", Value: "thin"},
		}}); err != nil {
			t.Fatal(err)
		}
		props := amqp.PropertyList{DeliveryMode: 2}.Encode()
		for i := range n {
			if _, err := s.Publish(0, []Publish{{Msg: &amqp.Message{Key: "q", Props: props, Body: fmt.Append(nil, i)}}}); err != nil {
				t.Fatal(err)
			}
			b.Tick()
			if st, _ := b.QueueStatus(DefaultVHost, "q"); st.Ready > limit {
				t.Fatalf("window %d: %d messages after %d, want at most %d", window, st.Ready, i+1, limit)
			}
		}
		var left []int
		for {
			d, _, ok, err := s.Get("q", true)
			if err != nil {
				t.Fatal(err)
			}
			if !ok {
				break
			}
			id := 0
			fmt.Sscan(string(d.Msg.Body), &id)
			left = append(left, id)
		}
		if len(left) < limit/3 || !slices.IsSorted(left) || left[len(left)-1] != n-1 {
			t.Fatalf("window %d: %d left, sorted %v, the last is %d", window, len(left), slices.IsSorted(left), left[len(left)-1])
		}
		// What is old is sparse, and what is a few limits old is still there.
		for age := limit; age <= 8*limit; age *= 2 {
			from, to := n-2*age, n-age
			if !slices.ContainsFunc(left, func(id int) bool { return from <= id && id < to }) {
				t.Errorf("window %d: nothing is left of messages %d to %d", window, from, to)
			}
		}
	}
}
