package server091

import (
	"sync"

	"leveret/amqp"
)

// channelBound is what an Access may also be: one that says how many channels
// its user may have open, on all connections together (RabbitMQ's max-channels);
// 0 is no bound.
type channelBound interface {
	ChannelsMax() int
}

// userChannels counts the open channels of users that have a bound.
type userChannels struct {
	mu   sync.Mutex // protects open
	open map[string]int
}

// enter takes a place for one more channel of the connection's user.
func (u *userChannels) enter(c *conn) error {
	a, ok := c.who.Access.(channelBound)
	if !ok || a.ChannelsMax() == 0 {
		return nil
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	most := a.ChannelsMax()
	if u.open[c.who.User] >= most {
		return amqp.Errorf(amqp.NotAllowed, "number of channels opened for user '%s' has reached the maximum allowed user limit of (%d)", c.who.User, most)
	}
	if u.open == nil {
		u.open = make(map[string]int)
	}
	u.open[c.who.User]++
	return nil
}

// leave gives n places back.
func (u *userChannels) leave(c *conn, n int) {
	if a, ok := c.who.Access.(channelBound); !ok || a.ChannelsMax() == 0 || n == 0 {
		return
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.open[c.who.User] -= n; u.open[c.who.User] == 0 {
		delete(u.open, c.who.User)
	}
}
