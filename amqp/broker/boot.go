package broker

import (
	"sync"
	"time"

	"leveret/amqp"
	"leveret/spool"
)

// BootRecord describes one start: what the wall clock said at the base of its
// monotonic clock, and whether that could be trusted.
type BootRecord struct {
	ID           amqp.Boot
	Base         time.Time
	Synchronised bool
}

// boots are the starts that stored messages refer to.
type boots struct {
	current amqp.Boot

	mu      sync.Mutex // protects records
	records map[amqp.Boot]BootRecord
}

// bootsKept bounds the records: older ones are forgotten, and messages of
// those times leave without a time of their own.
const bootsKept = 1000

// Boot is the id of this start.
func (b *Broker) Boot() amqp.Boot { return b.boots.current }

// WallTime is the wall clock at a moment. known is false when its boot is not
// known or its clock was never synchronised; t is then the best guess, or zero.
func (b *Broker) WallTime(s amqp.Stamp) (t time.Time, known bool) {
	b.boots.mu.Lock()
	r, ok := b.boots.records[s.Boot]
	b.boots.mu.Unlock()
	if !ok {
		return time.Time{}, false
	}
	return r.Base.Add(time.Duration(s.At)), r.Synchronised
}

// wallNow is the wall clock as well as it is known.
func (b *Broker) wallNow() amqp.Timestamp {
	t, _ := b.WallTime(amqp.Stamp{Boot: b.boots.current, At: b.now()})
	return amqp.Timestamp(max(0, t.Unix()))
}

// CorrectClock tells what the wall clock was at this boot's base after all:
// messages that came before the clock was right leave with the right time.
func (b *Broker) CorrectClock(base time.Time, synchronised bool) {
	b.boots.mu.Lock()
	r := BootRecord{ID: b.boots.current, Base: base, Synchronised: synchronised}
	b.boots.records[r.ID] = r
	b.boots.mu.Unlock()
	// A failed log tells everybody by itself.
	_, _ = b.log.Append(&spool.Batch{Puts: []spool.Put{r.put()}})
}

func (r BootRecord) put() spool.Put {
	return spool.Put{Key: bootKey(r.ID), Value: encodeBoot(r)}
}

func bootKey(id amqp.Boot) string {
	return definitionKey(kindBoot, string([]byte{byte(id >> 24), byte(id >> 16), byte(id >> 8), byte(id)}))
}

// start makes the record of this start and forgets the oldest.
func (bs *boots) start(r BootRecord) []spool.Put {
	for id := range bs.records {
		bs.current = max(bs.current, id)
	}
	bs.current++
	r.ID = bs.current
	bs.records[r.ID] = r
	puts := []spool.Put{r.put()}
	for id := range bs.records {
		if id+bootsKept <= r.ID {
			delete(bs.records, id)
			puts = append(puts, spool.Put{Key: bootKey(id)})
		}
	}
	return puts
}
