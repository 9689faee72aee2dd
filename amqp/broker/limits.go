package broker

import "leveret/amqp"

// Limits bounds everything in the core that can grow. Zero fields take the
// defaults below.
type Limits struct {
	// MessageBytesMax bounds one message's body.
	MessageBytesMax int
	// WindowMessages and WindowBytes bound what a queue holds in memory of
	// messages that are also in the spool; the rest is read back when needed.
	WindowMessages int
	WindowBytes    int
	// TransientBytesMax bounds the memory of all messages that are not in the
	// spool; further ones are spilled into it.
	TransientBytesMax int64
	// OutboxMessages and OutboxBytes bound what waits for one connection's
	// writer.
	OutboxMessages int
	OutboxBytes    int
	// UnackedMax and UnackedBytesMax bound what a session may hold unsettled;
	// a prefetch of 0 ("unlimited") means these.
	UnackedMax      int
	UnackedBytesMax int
	// ConnUnackedBytesMax bounds the same, and the messages of open
	// transactions, for all sessions of a connection together; four times
	// UnackedBytesMax by default.
	ConnUnackedBytesMax int
	// RetainedMax, RetainedBytesMax: values kept per vhost, and their bytes.
	RetainedMax      int
	RetainedBytesMax int64
	// HeldMax: messages that one exchange holds back (x-delayed-message).
	HeldMax int
	// Per vhost.
	QueuesMax    int
	ExchangesMax int
	BindingsMax  int
	// Per session.
	ConsumersMax int
	// UserConnectionsMax: connections of one user; 0 is no limit.
	UserConnectionsMax int

	changesMax int // of one batch of the log; see VHost.batchLarge
}

// defaultLimits are those of the small profile (1 GB of memory).
var defaultLimits = Limits{
	MessageBytesMax:   16 << 20,
	WindowMessages:    256,
	WindowBytes:       1 << 20,
	TransientBytesMax: 64 << 20,
	OutboxMessages:    1024,
	OutboxBytes:       512 << 10,
	UnackedMax:        1 << 16,
	UnackedBytesMax:   32 << 20,
	RetainedMax:       20_000,
	RetainedBytesMax:  16 << 20,
	HeldMax:           100_000,
	QueuesMax:         10_000,
	ExchangesMax:      1_000,
	BindingsMax:       50_000,
	ConsumersMax:      1_024,
	changesMax:        1_024,
}

func (l Limits) orDefaults() Limits {
	d := defaultLimits
	set(&d.MessageBytesMax, l.MessageBytesMax)
	set(&d.WindowMessages, l.WindowMessages)
	set(&d.WindowBytes, l.WindowBytes)
	set(&d.TransientBytesMax, l.TransientBytesMax)
	set(&d.OutboxMessages, l.OutboxMessages)
	set(&d.OutboxBytes, l.OutboxBytes)
	set(&d.UnackedMax, l.UnackedMax)
	set(&d.UnackedBytesMax, l.UnackedBytesMax)
	d.ConnUnackedBytesMax = 4 * d.UnackedBytesMax
	set(&d.ConnUnackedBytesMax, l.ConnUnackedBytesMax)
	set(&d.RetainedMax, l.RetainedMax)
	set(&d.RetainedBytesMax, l.RetainedBytesMax)
	set(&d.HeldMax, l.HeldMax)
	set(&d.QueuesMax, l.QueuesMax)
	set(&d.ExchangesMax, l.ExchangesMax)
	set(&d.BindingsMax, l.BindingsMax)
	set(&d.ConsumersMax, l.ConsumersMax)
	set(&d.UserConnectionsMax, l.UserConnectionsMax)
	set(&d.changesMax, l.changesMax)
	return d
}

func set[T int | int64](d *T, v T) {
	if v != 0 {
		*d = v
	}
}

// atMost refuses one more of a thing of which there are have already.
func atMost(what string, have, limit int) error {
	if have < limit {
		return nil
	}
	return amqp.Errorf(amqp.PreconditionFailed, "limit of %d %s is reached", limit, what)
}
