// Package config reads leveret's one configuration file, TOML, into a Config.
//
// It promises that every mistake of a file is told at once, each with its line,
// its column, the key, what is wrong and what would be right; that a key it does
// not know is a mistake; that a Config it returns is complete (defaults are
// filled in, files that hold secrets were read) and checked as far as a file can
// be checked without starting the broker; and that no secret and no Go type
// shows in what it says.
//
// The way of a file: read.go turns bytes into a tree of nodes that know their
// place, set.go lays the --set values of the command line over it, decode.go and
// topology.go walk the tree through a section for each table, and what is left
// unasked for is an unknown key. Diff compares two Configs for a reload; Watch
// tells when the file changed and is the only part that runs for longer.
//
// The comments of the fields below, in vhost.go, policy.go and devices.go are the manual of the keys; what they say in
// brackets is the default and whether a change needs a restart. The same keys
// stand in configs/leveret.toml.
package config

import (
	"io/fs"
	"log/slog"
	"slices"
	"time"

	"leveret/amqp"
	"leveret/edge/users"
)

// Config is a whole configuration.
type Config struct {
	// DataDir is the folder of the spool and of all else that is kept. It is
	// made when it is not there. A relative path starts at the folder that the
	// process was started in. One instance at a time may use it. [leveret-data;
	// restart]
	DataDir string // data_dir

	// Profile sets the bounds of memory together: tiny for a board of 512 MB,
	// small for 1 GB, server for more. "" chooses by the memory that this
	// process may use (its cgroup's limit, else the machine's); a Config read
	// by this package has the choice made. [""; restart]
	Profile Profile // profile

	Log   Log   // [log]
	AMQP  AMQP  // [amqp]
	MQTT  MQTT  // [mqtt]
	Admin Admin // [admin]
	Spool Spool // [spool]

	Devices Devices // [devices]

	// Users are the accounts. Without any there is one: guest, password guest,
	// with all rights and the tag administrator, from this machine only. As
	// soon as the file has a [[user]], guest is gone. [live]
	Users []User // [[user]]

	// Vhosts are made at start and at each reload, and their limits set. One
	// that is taken out of the file stays, with its limits and all that is in
	// it, until it is deleted by hand. [live]
	VHosts []VHost // [[vhost]]
	// What users may do in single vhosts, and with topics. The connections of
	// a user for whom this changes are ended. [none; live]
	Permissions      []Permission      // [[permission]]
	TopicPermissions []TopicPermission // [[topic_permission]]

	// Exchanges, queues, bindings and shovels that exist whenever the broker
	// runs. They are declared at start and at each reload. One that is taken
	// out of the file stays until it is deleted by hand, except for shovels,
	// which stop, and policies, which are taken away. [none; live]
	Exchanges []Exchange // [[exchange]]
	Queues    []Queue    // [[queue]]
	Bindings  []Binding  // [[binding]]
	Policies  []Policy   // [[policy]]
	Shovels   []Shovel   // [[shovel]]
}

// Log is what goes to standard error.
type Log struct {
	// Level is the least important kind of line that is written: debug, info,
	// warn or error. Nothing is written for each message below debug. [info;
	// live]
	Level slog.Level // level
}

// AMQP is the door for AMQP 0-9-1 clients.
type AMQP struct {
	// Listen is one address or a list of them, "host:port". Without a host
	// (":5672") it is every address of the machine; port 0 is any free one. An
	// empty list closes the door. "unix:" with a path is a Unix socket.
	// [127.0.0.1:5672; restart]
	Listen []string // listen
	// SocketMode is who may connect to the door's Unix sockets, as a file's mode
	// in octal: those who may write. [0660; restart]
	SocketMode fs.FileMode // socket_mode
	// TLSListen is where they come in over TLS; as listen. [none; restart]
	TLSListen []string // tls_listen
	TLS
	// ExternalLogin says what is the user's name when a client with a verified
	// certificate logs in with it (SASL EXTERNAL, no password): common_name,
	// distinguished_name ("CN=anna,O=plant") or subject_alternative_name (its
	// first DNS name, else e-mail address, else URI). [common_name; live]
	ExternalLogin ExternalLogin // external_login
	// Anonymous says whose clients may log in as nobody (SASL ANONYMOUS):
	// never, loopback (those on this machine) or always. [never; live]
	Anonymous Anonymous // anonymous
	// AnonymousUser is the name of the [[user]] that these then are. It must be
	// given if anonymous is not never. [""; live]
	AnonymousUser string // anonymous_user
	// Product and ProductVersion are what clients are told of the broker before
	// they log in. A few choose by them what they ask for, and know only
	// RabbitMQ. [leveret, and the version's numbers; restart]
	Product        string // product
	ProductVersion string // product_version
	Proxied
	// ChannelsMax bounds the channels of a connection, from 1 to 65535; clients
	// are told. [256; restart]
	ChannelsMax int // channels_max
	// MapQueueTypes is what becomes of queues that clients declare with another
	// x-queue-type than classic, by that type: classic is an ordinary queue,
	// quorum a durable one with a delivery limit of 20, and refuse refuses the
	// declaration. Queues that are there stay as they are, without what they
	// could not have been declared with. [{quorum = "quorum", stream =
	// "refuse"}; restart]
	MapQueueTypes MapQueueTypes // map_queue_types
}

// MapQueueTypes is a type of queue for each that a client may ask for.
type MapQueueTypes struct {
	Quorum QueueType // quorum
	Stream QueueType // stream
}

// MQTT is the door for MQTT clients.
type MQTT struct {
	// Listen and SocketMode are as amqp.listen and amqp.socket_mode.
	// [127.0.0.1:1883, 0660; restart]
	Listen     []string    // listen
	SocketMode fs.FileMode // socket_mode
	// TLSListen is where they come in over TLS, WebSocketListen over WebSocket
	// and WebSocketTLSListen over secure WebSocket; as amqp.listen. WebSocket
	// clients may use any path. [none; restart]
	TLSListen          []string // tls_listen
	WebSocketListen    []string // websocket_listen
	WebSocketTLSListen []string // websocket_tls_listen
	// WebSocketOrigins are the hosts whose pages may connect, with * for any
	// part; pages of the address that is connected to always may. [none;
	// restart]
	WebSocketOrigins []string // websocket_origins
	TLS
	// Anonymous says whose clients may come without a user name: loopback
	// (those on this machine), never or always. [loopback; live]
	Anonymous Anonymous // anonymous
	// KeepQoS0 lets messages of QoS 0 wait, in memory, for clients that keep
	// their session and are away. Otherwise they are for those who are there.
	// It counts when a session begins. [false; restart]
	KeepQoS0 bool // keep_qos0
	// PublisherHeader tells AMQP clients in the header x-mqtt-client by which
	// client a message was published, at the cost of its bytes in each message.
	// [false; restart]
	PublisherHeader bool // publisher_header
	// TopicDots says how topics are spelled as routing keys. exact: a dot of a
	// topic is escaped (a.b/c is a%2Eb.c), and comes back. rabbit, for programs
	// that were written for RabbitMQ: it is taken for a level (a.b.c, and back
	// a/b/c), but for Sparkplug's spBv1.0, which is spBv1___0. Sessions that are
	// kept follow a change; retained values and what waits in queues keep the
	// keys they have. [exact; restart]
	TopicDots TopicDots // topic_dots

	// ClientIDs is a regular expression, searched in the client id, that each
	// client must match; {username} in it stands for the user's name, letter by
	// letter. "^{username}$" makes the two the same, "^{username}-" lets a user
	// have several clients. A [[user]] may have one of its own. "" is any. [""; live]
	ClientIDs string // client_ids
	// ClientIDTakeover says who may take over a client id that is in use, with
	// its connection and its session: same_user (the user that began the
	// session; what anonymous clients began is anybody's) or any. [same_user;
	// restart]
	ClientIDTakeover Takeover // client_id_takeover
	// CertificateLogin says what of a client's verified certificate is the
	// user's name, in place of a user name and a password: none (nothing),
	// common_name, distinguished_name or subject_alternative_name, as
	// amqp.external_login. It needs client_ca_file. [none; live]
	CertificateLogin ExternalLogin // certificate_login
	// CertificateClientID likewise says what of it the client id must be. [none;
	// live]
	CertificateClientID ExternalLogin // certificate_client_id
	// RedirectTo is another server ("host:port"), to which MQTT 5 clients who
	// come in are sent; others are refused. "" is nowhere. [""; live]
	RedirectTo string // redirect_to
	// Redirect says for how long: temporary or moved. [temporary; live]
	Redirect Redirect // redirect
	// PasswordFile and ACLFile are Mosquitto's, for moving from it: users with
	// $6$ and $7$ passwords, and what they may do with which topics. Users of
	// the first may use this door alone; one who is a [[user]], too, is that.
	// With the second, MQTT clients whose user is no [[user]] may do what it
	// says and no more. They are read anew when they change; a relative path is
	// looked for like a password_file. [none; live]
	PasswordFile string // password_file
	ACLFile      string // acl_file

	// ConnectionsMax bounds the connections, 1 to 1000000. [by the profile: tiny
	// 1000, small 4000, server 20000; restart]
	ConnectionsMax int // connections_max
	// KeepAliveMax is the longest keep alive that MQTT 5 clients may have, up to
	// 65535s; they are told. 0s leaves it to them. [0s; restart]
	KeepAliveMax time.Duration // keep_alive_max
	MQTTLimits
	Classes []MQTTClass // [[mqtt.class]]
	Routes  []MQTTRoute // [[mqtt.route]]

	Proxied
}

// Proxied is for doors behind a proxy that tells in the PROXY protocol, versions
// 1 and 2, who its clients are.
type Proxied struct {
	// ProxyProtocol makes every connection to the door's addresses begin with
	// such a header. Unix sockets are as ever. [false; restart]
	ProxyProtocol bool // proxy_protocol
	// ProxyFrom are the networks that proxies may come from; connections of
	// others are closed. [["127.0.0.0/8", "::1/128"]; restart]
	ProxyFrom []string // proxy_from
}

// TLS is what a door shows those who come over TLS.
type TLS struct {
	// CertFile and KeyFile are in PEM form, the certificate first and then what
	// leads to its root. They are read anew when they change. A relative path
	// is looked for like a password_file. [none; restart for the names]
	CertFile string // cert_file
	KeyFile  string // key_file
	// ClientCAFile makes clients show a certificate that is signed by one in
	// this file. [none; restart for the name]
	ClientCAFile string // client_ca_file
}

// Admin is the door for the HTTP API, the page and the metrics.
type Admin struct {
	// Listen and SocketMode are as amqp.listen and amqp.socket_mode. While the
	// door is open it is, too, at the Unix socket admin.sock in the data folder,
	// for the commands of this program. [127.0.0.1:15672, 0660; restart]
	Listen     []string    // listen
	SocketMode fs.FileMode // socket_mode
	// TrustLoopback lets who asks over the loopback interface look without a
	// login. It must be off where a reverse proxy on this machine passes
	// requests on without saying so (Forwarded, X-Forwarded-For, X-Real-IP,
	// Via): that one would let everybody look. Who may open the Unix socket
	// may look in any case. [true; restart]
	TrustLoopback bool // trust_loopback
}

// Spool is the durable log on the disk.
type Spool struct {
	// MaxBytes is the disk budget: "512MiB", "2GB" or a number of bytes, at
	// least 16MiB. When it is spent publishers wait; consumers and shovels are
	// never stopped. 0 is a quarter of the volume that the folder is on. [0;
	// restart]
	MaxBytes Size // max_bytes
	// CommitWindow is how long a publisher's message may wait for others to
	// share one write to the flash: "20ms", from 0s to 5s. Longer is gentler to
	// a card, and confirms come that much later. "" goes by the profile: server
	// 0s, small 20ms, tiny 100ms; a Config read by this package has it filled
	// in. [""; restart]
	CommitWindow time.Duration // commit_window
	// CommitsPerSecond bounds how often small groups of messages are written to
	// the flash, from 0, no bound, to 100000. Ten seconds' worth may come at
	// once. It goes by the profile when it is left out: tiny 10, the others 0.
	// [by the profile; restart]
	CommitsPerSecond int // commits_per_second
	// Sync has everything on the flash before it is acknowledged. Without it
	// acknowledgements outlive the process, but not a power cut: that takes what
	// the kernel has not written yet, the last half minute. It saves the time of
	// a sync for each group of messages, and little of the card. [true; restart]
	Sync bool // sync
	// CardEndurance is how many terabytes may be written to the card before it
	// is worn out, as its maker says; health and status then tell how long it
	// will last. 0 is unknown. [0; live]
	CardEndurance int // card_endurance
}

// User is one account.
type User struct {
	// Name is what the client logs in with, at most 255 bytes.
	Name string // name
	// Hash is the password, given as exactly one of password (hashed as soon as
	// it is read), password_hash (RabbitMQ's SHA-256 form or bcrypt) and
	// password_file (a file with the password alone; a relative path is looked
	// for in the service's credentials folder, else beside this file).
	Hash users.Hash // password, password_hash, password_file
	// Tags give rights to the admin API: administrator, monitoring, management,
	// policymaker; impersonator lets the user publish under any user-id; others
	// are kept and mean nothing. [none]
	Tags []string // tags
	// Configure, Write and Read are regular expressions, searched in the names
	// of queues and exchanges: which ones the user may declare and delete,
	// publish to or bind, consume from. "" is none. They hold in all vhosts for
	// which the user has no [[permission]]; where there is none and these are
	// all "", the user may not enter. [".*"; "" for a user who has a
	// [[permission]] anywhere]
	Configure, Write, Read string // configure, write, read
	// LoopbackOnly accepts the login only from this machine. [false]
	LoopbackOnly bool // loopback_only
	// ConnectionsMax bounds the user's connections, at most 1000000; 0 is no
	// bound. Those that are there when it is lowered stay. [0]
	ConnectionsMax int // connections_max
	// ChannelsMax bounds the user's AMQP channels, on all its connections
	// together, at most 65535. 0 is no bound. [0]
	ChannelsMax int // channels_max
	// ClientIDs is as mqtt.client_ids, in place of it. [""]
	ClientIDs string // client_ids
}

// Account is the user in the words of package users, without what is said of it
// elsewhere in the file.
func (u User) Account() users.Account {
	return users.Account{
		Name: u.Name, Hash: u.Hash, Tags: u.Tags, Configure: u.Configure, Write: u.Write, Read: u.Read,
		LoopbackOnly: u.LoopbackOnly, ConnectionsMax: u.ConnectionsMax, ChannelsMax: u.ChannelsMax,
		ClientIDs: u.ClientIDs,
	}
}

// Accounts are all users in the words of package users, with their permissions.
func (c *Config) Accounts() []users.Account {
	accounts := make([]users.Account, len(c.Users))
	for i, u := range c.Users {
		a := u.Account()
		for _, p := range c.Permissions {
			if p.User == u.Name {
				a.Permissions = append(a.Permissions, users.Permission{VHost: p.VHost, Configure: p.Configure, Write: p.Write, Read: p.Read})
			}
		}
		for _, p := range c.TopicPermissions {
			if p.User == u.Name {
				a.Topics = append(a.Topics, users.TopicPermission{VHost: p.VHost, Exchange: p.Exchange, Write: p.Write, Read: p.Read})
			}
		}
		accounts[i] = a
	}
	return accounts
}

// Exchange is declared at start.
type Exchange struct {
	// Name is at most 255 bytes; names that begin with "amq." are the broker's.
	Name string // name
	// VHost is the name of a vhost. ["/"]
	VHost string // vhost
	// Type is direct, fanout, topic or headers, or one of x-consistent-hash,
	// x-random, x-local-random, x-message-deduplication and x-delayed-message,
	// which RabbitMQ has as plugins.
	Type string // type
	// Durable exchanges outlive a restart on their own. [true]
	Durable bool // durable
	// AutoDelete deletes it with its last binding. [false]
	AutoDelete bool // auto_delete
	// Internal ones take messages only from other exchanges. [false]
	Internal bool // internal
	// Arguments are the optional ones, such as alternate-exchange. [none]
	Arguments amqp.Table // arguments
}

// Queue is declared at start.
type Queue struct {
	// Name is at most 255 bytes; names that begin with "amq." are the broker's.
	Name string // name
	// VHost is the name of a vhost. ["/"]
	VHost string // vhost
	// Durable queues and their persistent messages outlive a restart. [true]
	Durable bool // durable
	// AutoDelete deletes it with its last consumer. [false]
	AutoDelete bool // auto_delete
	// Arguments are the optional ones, such as x-max-length. [none]
	Arguments amqp.Table // arguments
}

// Binding leads from an exchange to a queue, or on to another exchange.
type Binding struct {
	// VHost is the name of the vhost of both. ["/"]
	VHost string // vhost
	// Source is the name of an exchange, which may be one of the broker's own
	// (amq.topic). The nameless exchange cannot be bound.
	Source string // source
	// Destination is the name of a queue or an exchange.
	Destination string // destination
	// DestinationType says which: queue or exchange. [queue]
	DestinationType DestinationType // destination_type
	// Key is the routing or binding key, at most 255 bytes. [""]
	Key string // key
	// Arguments are what a headers exchange matches. [none]
	Arguments amqp.Table // arguments
}

// Redacted is a copy to show: without the hashes of passwords, and with stars
// for the passwords of URIs.
func (c *Config) Redacted() *Config {
	r := *c
	r.Users = slices.Clone(c.Users)
	for i := range r.Users {
		r.Users[i].Hash = users.Hash{}
	}
	r.Shovels = slices.Clone(c.Shovels)
	for i := range r.Shovels {
		r.Shovels[i].Source.URI = r.Shovels[i].Source.URI.Redacted()
		r.Shovels[i].Target.URI = r.Shovels[i].Target.URI.Redacted()
	}
	return &r
}
