package broker

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"leveret/amqp"
	"leveret/spool"
	"leveret/spool/mem"
)

// TestWindowsOverPowerCuts publishes messages, and some of them again, in batches
// that the log may refuse, with power cuts, against a model that is a list of
// marks as they were taken: its newest are the window. A cut takes those out
// that were not stored or not safe, and they are taken anew.
func TestWindowsOverPowerCuts(t *testing.T) {
	for seed := uint64(1); seed <= 60; seed++ {
		if err := newRepeats(seed).play(300); err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
	}
}

type repeats struct {
	rng     *rand.Rand
	log     *mem.Log
	session *Session
	size    int
	kinds   map[string]*repeated // by exchange: "once" has a window, and "" leads to a queue that has one
	nextID  int
}

// repeated is the model of one window.
type repeated struct {
	taken []taking // oldest first
	safe  []taking // as of the last commit
	lost  []int    // taken and forgotten by a cut
}

type taking struct {
	id     int
	stored bool
}

// cut leaves what was stored and safe.
func (k *repeated) cut() {
	kept := map[int]bool{}
	k.safe = slices.DeleteFunc(k.safe, func(x taking) bool { return !x.stored })
	for _, x := range k.safe {
		kept[x.id] = true
	}
	for _, x := range k.taken {
		if !kept[x.id] {
			k.lost = append(k.lost, x.id)
		}
	}
	k.taken = slices.Clone(k.safe)
}

func newRepeats(seed uint64) *repeats {
	r := &repeats{rng: rand.New(rand.NewPCG(seed, 3)), log: mem.New(), kinds: map[string]*repeated{}}
	r.size = []int{1, 15, 16, 40, 200}[seed%5]
	for _, x := range []string{"once", ""} {
		r.kinds[x] = &repeated{}
	}
	r.start()
	return r
}

func (r *repeats) start() {
	b, err := Open(Options{Log: r.log, Boot: BootRecord{Base: time.Unix(1_700_000_000, 0)}})
	if err != nil {
		panic(err)
	}
	c, _ := b.Connect(DefaultVHost, Identity{}, func() {})
	r.session = c.Open()
	args := amqp.Table{{Key: argDeduplication, Value: true}, {Key: argDedupCacheSize, Value: int64(r.size)}}
	_, err1 := c.DeclareExchange(ExchangeSpec{Name: "once", Type: "fanout", Durable: true, Args: args})
	_, _, err2 := c.DeclareQueue(QueueSpec{Name: "plain", Durable: true})
	_, err3 := c.BindQueue("plain", "once", "", nil)
	_, _, err4 := c.DeclareQueue(QueueSpec{Name: "once", Durable: true, Args: args})
	if err := firstError(err1, err2, err3, err4); err != nil {
		panic(err)
	}
	r.log.Commit()
}

func (r *repeats) play(steps int) error {
	for range steps {
		switch n := r.rng.IntN(100); {
		case n < 80:
			if err := r.publish([]string{"once", ""}[r.rng.IntN(2)]); err != nil {
				return err
			}
		case n < 92:
			r.log.Commit()
			for _, k := range r.kinds {
				k.safe = slices.Clone(k.taken)
			}
		default:
			r.log = r.log.Crash()
			for _, k := range r.kinds {
				k.cut()
			}
			r.start()
		}
	}
	return nil
}

// publish sends a few messages: new ones, ones that the window has, and ones
// that a cut has made it forget.
func (r *repeats) publish(exchange string) error {
	k := r.kinds[exchange]
	taken, lost := slices.Clone(k.taken), slices.Clone(k.lost)
	var ps []Publish
	want := 0
	for range 1 + r.rng.IntN(30) {
		x := taking{r.nextID, r.rng.IntN(4) > 0}
		window := taken[max(0, len(taken)-r.size):]
		switch n := r.rng.IntN(6); {
		case n < 2 && len(window) > 0:
			x.id = window[r.rng.IntN(len(window))].id
			want++
		case n == 2 && len(lost) > 0:
			last := len(lost) - 1
			x.id, lost = lost[last], lost[:last]
			taken = append(taken, x)
		default:
			r.nextID++
			taken = append(taken, x)
		}
		props := amqp.PropertyList{DeliveryMode: 1, Headers: amqp.Table{{Key: argDedupHeader, Value: int64(x.id)}}}
		if x.stored {
			props.DeliveryMode = 2
		}
		ps = append(ps, Publish{Msg: &amqp.Message{Exchange: exchange, Key: "once", Props: props.Encode(), Body: []byte("x")}})
	}
	duplicates := &r.session.conn.v.b.counts.duplicates
	before := duplicates.Load()
	full := r.rng.IntN(6) == 0
	r.log.SetFull(full)
	defer r.log.SetFull(false)
	n, err := r.session.Publish(0, ps)
	switch got := int(duplicates.Load() - before); {
	case full && errors.Is(err, spool.ErrFull) && n == 0:
		return nil // and none of it is remembered
	case n != len(ps) || err != nil:
		return fmt.Errorf("Publish = %d, %v", n, err)
	case got != want:
		return fmt.Errorf("%d of %d messages are duplicates, want %d; window of %d", got, len(ps), want, r.size)
	}
	k.taken, k.lost = taken, lost
	return nil
}

// countedPuts counts what goes into the log as marks.
type countedPuts struct {
	spool.Log
	bytes, pages int
	keys         map[string]bool
}

func (l *countedPuts) Append(b *spool.Batch) (spool.LSN, error) {
	for _, p := range b.Puts {
		if strings.HasPrefix(p.Key, kindSeen+"/") {
			l.bytes += len(p.Key) + len(p.Value)
			l.pages++
			l.keys[p.Key] = true
		}
	}
	return l.Log.Append(b)
}

// TestWhatWindowsCost: marks of 36 bytes (a UUID) in a window that has gone
// round several times take a bounded number of pages and of bytes.
func TestWhatWindowsCost(t *testing.T) {
	for _, tt := range []struct{ batch, bytesMax int }{
		{1, 512}, {4, 176}, {32, 56}, {256, 52},
	} {
		log := &countedPuts{Log: mem.New().Auto(), keys: map[string]bool{}}
		x := newScene(t, log, Limits{})
		x.queue("q", amqp.Field{Key: argDeduplication, Value: true}, amqp.Field{Key: argDedupCacheSize, Value: int64(100)})
		const messages = 2048
		for first := 0; first < messages; first += tt.batch {
			ps := make([]Publish, tt.batch)
			for i := range ps {
				id := strconv.Itoa(1_000_000 + first + i)
				props := amqp.PropertyList{DeliveryMode: 2, Headers: amqp.Table{{Key: argDedupHeader, Value: "01890a5d-ac96-774b-bcce-b302099" + id[2:]}}}
				ps[i].Msg = &amqp.Message{Key: "q", Props: props.Encode(), Body: []byte("x")}
			}
			if _, err := x.s.Publish(0, ps); err != nil {
				t.Fatal(err)
			}
		}
		w := x.b.vhosts[DefaultVHost].queues["q"].window
		if got := log.bytes / messages; got > tt.bytesMax || len(log.keys) != 100/pageMarks+2 || len(w.known) > 100+tt.batch {
			t.Errorf("batches of %d: %d bytes for each message, want at most %d; %d pages; %d marks are known",
				tt.batch, got, tt.bytesMax, len(log.keys), len(w.known))
		} else {
			t.Logf("batches of %d: %d bytes for each message, %d pages written", tt.batch, got, log.pages)
		}
	}
}
