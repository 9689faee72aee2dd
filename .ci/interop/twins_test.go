package interop

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	amqp091 "github.com/rabbitmq/amqp091-go"
)

// TestTwins says the same to RabbitMQ and to leveret and wants the same answers:
// sequences of commands by seed, right and wrong ones, over a small set of names
// so that they meet. TWINS_SEED replays one of them and prints what was said.
func TestTwins(t *testing.T) {
	urls := [2]string{lab.reference(t).url(), openGateway(t, "").amqp()}
	if s := os.Getenv("TWINS_SEED"); s != "" {
		seed, err := strconv.ParseUint(s, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		compareTwins(t, urls, seed)
		return
	}
	disagreed := 0
	for seed := range uint64(number(100, 3000)) {
		if !compareTwins(t, urls, seed) {
			if disagreed++; disagreed == twinsDisagreeMax {
				return
			}
		}
	}
}

const (
	twinSteps        = 40
	twinsDisagreeMax = 5 // seeds, then enough is known
	twinTries        = 5
)

// compareTwins plays one seed to both and reports whether they agreed. The
// commands are the same each time, and so is a difference between the brokers;
// that one of them was late with a delivery, or with a dead letter that it moves
// behind our back, is not, so a seed is played again before it counts.
func compareTwins(t *testing.T, urls [2]string, seed uint64) bool {
	t.Helper()
	differs := ""
	for try := range twinTries {
		before := differs
		if differs = playTwins(t, urls, seed); differs == "" {
			if try > 0 {
				t.Logf("SECOND TRY: seed %d agrees at try %d; before that:\n%s", seed, try+1, before)
			}
			return true
		}
	}
	t.Error(differs)
	return false
}

// playTwins plays one seed to both and says where they differ.
func playTwins(t *testing.T, urls [2]string, seed uint64) (differs string) {
	t.Helper()
	var twins [2]*twin
	for i, url := range urls {
		twins[i] = newTwin(t, url)
		defer twins[i].leave()
	}
	rng := rand.New(rand.NewPCG(seed, 1))
	var said []string
	for range twinSteps {
		act := chooseAct(rng)
		answers := [2]string{act.do(twins[0]), act.do(twins[1])}
		for end := time.Now().Add(2 * time.Second); act.again && answers[0] != answers[1] && time.Now().Before(end); {
			time.Sleep(10 * time.Millisecond) // RabbitMQ moves dead letters behind our back
			answers = [2]string{act.do(twins[0]), act.do(twins[1])}
		}
		said = append(said, fmt.Sprintf("%s\n\t\t%s", act.name, answers[1]))
		if answers[0] != answers[1] {
			return fmt.Sprintf("TWINS_SEED=%d:\n\t%s\nRabbitMQ says\n\t\t%s", seed, strings.Join(said, "\n\t"), answers[0])
		}
	}
	if os.Getenv("TWINS_SEED") != "" {
		t.Logf("both:\n\t%s", strings.Join(said, "\n\t"))
	}
	return ""
}

// twin is a client of one of the two. Its channel is opened anew when the
// broker closed it.
type twin struct {
	t        *testing.T
	url      string
	conn     *amqp091.Connection
	ch       *amqp091.Channel
	closed   chan *amqp091.Error
	returns  chan amqp091.Return
	confirms chan amqp091.Confirmation
	unacked  []uint64 // delivery tags
}

func newTwin(t *testing.T, url string) *twin {
	t.Helper()
	conn, err := amqp091.Dial(url)
	if err != nil {
		t.Fatal(err)
	}
	w := &twin{t: t, url: url, conn: conn}
	must(t, w.open())
	return w
}

func (w *twin) open() error {
	ch, err := w.conn.Channel()
	if err != nil {
		return err
	}
	w.ch = ch
	w.closed = w.ch.NotifyClose(make(chan *amqp091.Error, 1))
	w.returns = w.ch.NotifyReturn(make(chan amqp091.Return, 8))
	w.confirms = w.ch.NotifyPublish(make(chan amqp091.Confirmation, 8))
	w.unacked = nil
	return w.ch.Confirm(false)
}

// leave takes everything away that the sequence has made.
func (w *twin) leave() {
	if w.conn.IsClosed() {
		var err error
		w.conn, err = amqp091.Dial(w.url)
		must(w.t, err)
	}
	ch, err := w.conn.Channel()
	must(w.t, err)
	for _, q := range twinQueues {
		_, _ = ch.QueueDelete(q, false, false, false)
	}
	for _, x := range twinExchanges {
		_ = ch.ExchangeDelete(x, false, false)
	}
	w.conn.Close()
}

// outcome is what an answer says, or why the broker closed the channel. After a
// command without an answer the broker is asked something, so that it has had
// its say.
func (w *twin) outcome(answer string, err error) string {
	if err == nil {
		return answer
	}
	// RabbitMQ ends the connection when it is asked for a queue that is just
	// ending itself, with an internal error.
	if lost := w.open(); lost != nil {
		return fmt.Sprintf("%v, and the connection is lost: %v", err, lost)
	}
	refusal, ok := err.(*amqp091.Error)
	if !ok {
		return err.Error()
	}
	return fmt.Sprintf("%d %s", refusal.Code, refusal.Reason)
}

// settled waits for what a command without an answer has led to.
func (w *twin) settled() error {
	err := w.ch.Qos(0, 0, false)
	if err == nil {
		return nil
	}
	select {
	case refusal := <-w.closed:
		if refusal != nil {
			return refusal
		}
	case <-time.After(5 * time.Second):
	}
	return err
}
