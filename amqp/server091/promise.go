package server091

import (
	"leveret/amqp"
	"leveret/amqp/broker"
	"leveret/amqp/wire091"
	"leveret/spool"
)

// Bounds of what is promised to one peer and not yet given. The reader waits
// at either of them.
const (
	promisesMax     = 8192
	promiseBytesMax = 1 << 20 // of messages in them; one more message may come on top
)

type promiseKind uint8

const (
	promiseAck     promiseKind = iota // confirms
	promiseNack                       // confirms of messages that a queue would not have
	promiseReply                      // a method
	promiseContent                    // a method with a message
)

// promise is something owed to the peer. Confirms are runs: count messages, the
// last of which is tag. A line of promises never has a tag of a channel behind
// a higher one, so what is at its head may be confirmed up to its tag.
type promise struct {
	kind    promiseKind
	channel uint16
	count   uint32
	tag     uint64
	reply   *reply // nil for confirms
}

type reply struct {
	method wire091.Method   // nil when none is wanted
	msg    *amqp.Message    // of a content
	start  *broker.Consumer // to be started when the method is written
	forget *broker.Session  // whose channel has ended with the method
}

// footprint is the memory that a promise keeps from being freed.
func (p *promise) footprint() int {
	if p.reply == nil || p.reply.msg == nil {
		return 0
	}
	return len(p.reply.msg.Body) + len(p.reply.msg.Props)
}

// owe adds a promise to the line and waits while the line is too long.
func (c *conn) owe(lsn spool.LSN, p promise) {
	c.push(lsn, p)
	c.awaitPromises()
}

// push adds a promise to the line. The writer need not be told when it waits for
// the log anyway.
func (c *conn) push(lsn spool.LSN, p promise) {
	if !c.out.push(lsn, p) {
		c.due = true
	}
}

// awaitPromises waits until the writer has given enough of them.
func (c *conn) awaitPromises() {
	if !c.out.crowded() {
		return
	}
	c.in.paused.Store(true)
	defer c.in.paused.Store(false)
	for c.out.crowded() {
		c.out.nudge()
		select {
		case <-c.out.given:
		case <-c.out.ended:
			return
		case <-c.out.over:
			return
		}
	}
}

// push adds a promise to the line, with the log's number from which on it may
// be given. watched says that the writer will look without being told.
func (w *writer) push(lsn spool.LSN, p promise) (watched bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.line.Push(lsn, p)
	w.lineBytes += p.footprint()
	return w.watches
}

func (w *writer) crowded() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.line.Len() >= promisesMax || w.lineBytes >= promiseBytesMax
}

// popLocked moves what may be given, up to a round's worth, to w.ready.
func (w *writer) popLocked(durable spool.LSN) {
	for len(w.ready) < roundPromisesMax {
		p, ok := w.line.Pop(durable)
		if !ok {
			break
		}
		w.lineBytes -= p.footprint()
		w.ready = append(w.ready, p)
	}
	if w.line.Len() == 0 && w.lineLong {
		w.line, w.lineLong = spool.Waiting[promise]{}, false // what a burst took is given back
	}
	w.lineLong = w.lineLong || w.line.Len() > roundPromisesMax
	if len(w.ready) > 0 {
		note(w.given)
	}
}

// give packs the promises in w.ready. Confirms that follow each other on a
// channel become one.
func (w *writer) give() error {
	var run promise
	for i := range w.ready {
		p := &w.ready[i]
		if p.reply == nil && p.kind == run.kind && p.channel == run.channel {
			run.tag = p.tag
			run.count += p.count
			continue
		}
		w.confirm(run)
		run = promise{}
		if p.reply == nil {
			run = *p
			continue
		}
		w.answer(p)
		if err := w.flushFull(); err != nil {
			return err
		}
	}
	w.confirm(run)
	clear(w.ready)
	w.ready = w.ready[:0]
	return nil
}

// confirm packs a basic.ack, or basic.nack, for a run of messages.
func (w *writer) confirm(run promise) {
	if run.count == 0 {
		return
	}
	if run.kind == promiseNack {
		w.pack.method(run.channel, &wire091.BasicNack{DeliveryTag: run.tag, Multiple: run.count > 1})
		return
	}
	w.ack = wire091.BasicAck{DeliveryTag: run.tag, Multiple: run.count > 1}
	w.pack.method(run.channel, &w.ack)
	w.counts.confirmed.Add(uint64(run.count))
}

func (w *writer) answer(p *promise) {
	if p.reply.method != nil {
		w.pack.method(p.channel, p.reply.method)
	}
	if p.kind == promiseContent {
		w.pack.content(p.channel, p.reply.msg)
	}
	if p.reply.start != nil {
		w.starts = append(w.starts, p.reply.start)
		w.consumes.Add(-1)
	}
	if p.reply.forget != nil {
		w.forget(p.reply.forget)
	}
}

// startConsumers lets deliveries flow to those whose consume-ok is written.
func (w *writer) startConsumers() {
	for _, c := range w.starts {
		c.Start()
	}
	clear(w.starts)
	w.starts = w.starts[:0]
}

// note leaves a note in a channel with one place.
func note(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
