package server091

import (
	"leveret/amqp/broker"
	"leveret/amqp/wire091"
)

// know tells which channel a session's deliveries go to.
func (w *writer) know(s *broker.Session, channel uint16) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.channels[s] = channel
}

// deliver packs what the core has for the peer.
func (w *writer) deliver() error {
	if w.direct || w.ending.Load() || !w.outbox.Swap(false) {
		return nil
	}
	w.taken = w.core.Take(w.taken)
	sent := uint64(0)
	for i := range w.taken {
		d := &w.taken[i]
		channel, ok := w.channelOf(d.Session)
		switch {
		case !ok: // closed meanwhile
		case d.Msg != nil:
			w.pack.deliver(channel, d)
			sent++
		case w.cancelNotify:
			w.cancelled = append(w.cancelled, d.Consumer)
		}
		if err := w.flushFull(); err != nil {
			return err
		}
	}
	w.counts.delivered.Add(sent)
	clear(w.taken) // a quiet connection keeps no messages
	return nil
}

// notify packs the news of consumers that were ended. No consume may be
// unanswered then: it could be of one of them, and the peer would hear of its
// end before it heard of its beginning.
func (w *writer) notify() {
	if len(w.cancelled) == 0 || w.consumes.Load() > 0 {
		return
	}
	for _, c := range w.cancelled {
		if channel, ok := w.channelOf(c.Session()); ok {
			w.pack.method(channel, &wire091.BasicCancel{ConsumerTag: c.Tag, NoWait: true})
		}
	}
	w.cancelled = nil
}

// channelOf is the channel of a session, unless it has been closed.
func (w *writer) channelOf(s *broker.Session) (channel uint16, ok bool) {
	if s == w.lastSession {
		return w.lastChannel, true
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if channel, ok = w.channels[s]; ok {
		w.lastSession, w.lastChannel = s, channel
	}
	return channel, ok
}

func (w *writer) forget(s *broker.Session) {
	w.lastSession = nil
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.channels, s)
}
