package broker

import (
	"strings"

	"leveret/amqp"
)

// ReplyTo is the name under which a client consumes the answers to what it asks
// without declaring a queue ("direct reply-to", an extension of RabbitMQ's).
// What it publishes with this name as its reply-to carries another one instead,
// which nobody can guess and which leads to its consumer.
//
// That other name is the name of a queue like any: transient, of this
// connection alone, gone with its consumer. So answers are routed, returned when
// the asker is gone, bounded and delivered as everything else is. RabbitMQ hands
// them from channel to channel without a queue; the peers cannot tell.
const ReplyTo = "amq.rabbitmq.reply-to"

const replyPrefix = ReplyTo + "."

// isReply reports whether a queue is the private one of a consumer of answers.
func (q *queue) isReply() bool { return strings.HasPrefix(q.name, replyPrefix) }

// replyQueueLocked makes the queue of a consumer of answers.
func (v *VHost) replyQueueLocked(s *Session, spec ConsumerSpec) (*queue, error) {
	switch {
	case !spec.NoAck:
		return nil, amqp.Errorf(amqp.PreconditionFailed, "reply consumer cannot acknowledge")
	case s.answers != nil && !s.answers.deleted:
		return nil, amqp.Errorf(amqp.PreconditionFailed, "reply consumer already set")
	}
	if err := v.roomForQueueLocked(ReplyTo); err != nil {
		return nil, err
	}
	q, err := v.makeQueueLocked(s.conn, QueueSpec{Name: newReplyName(), Exclusive: true, AutoDelete: true})
	s.answers = q
	return q, err
}

// newReplyName has the form of RabbitMQ's, which some programs check: two parts,
// each in base64, the second with its padding.
func newReplyName() string { return newName(newName(replyPrefix)+".") + "==" }

// addressLocked gives a message that asks for an answer the true name in the
// place of [ReplyTo].
func (v *VHost) addressLocked(s *Session, p *Publish) error {
	if !p.Msg.Props.Has(amqp.HasReplyTo) || p.Msg.Props.ReplyTo() != ReplyTo {
		return nil
	}
	if s.answers == nil || s.answers.deleted {
		return errNoReplyConsumer
	}
	list := p.Msg.Props.List()
	list.ReplyTo = s.answers.name
	addressed := *p.Msg
	addressed.Props = list.Encode()
	p.Msg = &addressed
	return nil
}

var errNoReplyConsumer = amqp.Errorf(amqp.PreconditionFailed, "fast reply consumer does not exist")

// checkReplyLocked answers a declaration of such a name, which only asks
// whether somebody waits for answers there.
func (v *VHost) checkReplyLocked(name string) (QueueInfo, error) {
	if name == ReplyTo || v.queues[name] != nil {
		return QueueInfo{Name: name, Consumers: 1}, nil
	}
	return QueueInfo{}, amqp.Errorf(amqp.NotFound, "no %s", v.named("queue", name))
}

func isReplyName(name string) bool { return name == ReplyTo || strings.HasPrefix(name, replyPrefix) }
