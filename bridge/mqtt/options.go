package mqtt

import (
	"cmp"
	"log/slog"
	"net"
	"slices"
	"time"

	"leveret/amqp"
	"leveret/amqp/broker"
	"leveret/bridge"
)

// Options is what a Door is made of. Broker, Authenticate and Now are needed;
// other zero fields take the defaults named here.
type Options struct {
	Broker *broker.Broker
	// VHost and Exchange are where topics live: "/" and "amq.topic".
	VHost    string
	Exchange string
	// Routes lead topics to other exchanges than that. They hold from the start:
	// the subscriptions of sessions that are kept are brought in line with them.
	Routes []Route
	// Dots says how topics are spelled as routing keys. Sessions that are kept
	// follow it; retained values whose keys are spelled otherwise stay so.
	Dots bridge.Dots
	// Authenticate says who a client is and what it may do. Any error refuses
	// it; the client is not told why, but for ErrClientID.
	Authenticate func(Login) (name string, access broker.Access, err error)
	// AnyTakesOver lets a client take over the connection and the session of
	// another user's client with its client id. Otherwise a session is of the
	// user that began it, as long as it lives; those of anonymous clients are
	// anybody's.
	AnyTakesOver bool
	// Redirect says at which server clients are to come in instead of here, and
	// whether for good; "" is nowhere else. nil never does.
	Redirect func() (server string, moved bool)
	// Listeners are closed by Run. Their connections may be TLS or WebSocket.
	Listeners []net.Listener
	Log       *slog.Logger
	// Version is what $SYS/broker/version says.
	Version string
	// Now is the boot's monotonic clock; messages are stamped with it.
	Now func() amqp.Instant

	// ConnectTimeout bounds the time from accepting a connection to its
	// CONNACK, 10 s.
	ConnectTimeout time.Duration
	// WriteTimeout is how long a client may take nothing of what is sent to it
	// before it counts as dead, 30 s.
	WriteTimeout time.Duration
	// KeepAliveMax caps the keep alive of MQTT 5 clients, who are told so in
	// CONNACK; 0 leaves it to them.
	KeepAliveMax time.Duration

	Limits  // of clients that are of no class
	Classes []Class

	// KeepQoS0 lets messages of QoS 0 wait for a client that is away and keeps
	// its session; they are in memory, within its bounds, and a restart drops
	// them. Otherwise they are for those who are connected. It counts when a
	// session begins.
	KeepQoS0 bool
	// NamePublisher puts the client id into each message, as the header
	// bridge.HeaderPublisher, for AMQP clients. Otherwise it is there only where
	// no-local asks for it.
	NamePublisher  bool
	ConnectionsMax int // 10,000
	// ConnectingMax bounds the connections that have not sent their CONNECT
	// yet, 512; beyond it the oldest of them is closed, so that idle
	// strangers do not keep others out.
	ConnectingMax int
}

func (o Options) orDefaults() Options {
	o.VHost = cmp.Or(o.VHost, broker.DefaultVHost)
	o.Exchange = cmp.Or(o.Exchange, "amq.topic")
	o.ConnectTimeout = cmp.Or(o.ConnectTimeout, 10*time.Second)
	o.WriteTimeout = cmp.Or(o.WriteTimeout, 30*time.Second)
	o.Limits = o.Limits.orDefaults()
	o.Classes = slices.Clone(o.Classes)
	for i := range o.Classes {
		o.Classes[i].Limits = o.Classes[i].Limits.or(o.Limits)
	}
	o.KeepAliveMax = min(o.KeepAliveMax, (1<<16-1)*time.Second)
	o.ConnectionsMax = cmp.Or(o.ConnectionsMax, 10_000)
	o.ConnectingMax = cmp.Or(o.ConnectingMax, 512)
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return o
}
