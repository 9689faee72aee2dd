package config

import "leveret/edge/users"

// DefaultVHost is where everything is that names no other vhost.
const DefaultVHost = "/"

// VHost is a namespace of its own for exchanges and queues. "/" is always
// there; an entry for it sets its limits.
type VHost struct {
	// Name is at most 255 bytes.
	Name string // name
	// ConnectionsMax bounds the connections to it, at most 1000000; 0 is no
	// bound but the profile's. [0]
	ConnectionsMax int // connections_max
	// QueuesMax bounds its queues, likewise. [0]
	QueuesMax int // queues_max
}

// Permission is what a user may do in one vhost, in place of the user's own
// configure, write and read.
type Permission struct {
	// User is the name of a [[user]].
	User string // user
	// VHost is the name of a vhost. ["/"]
	VHost string // vhost
	// Configure, Write and Read are as a user's. An entry lets the user enter
	// the vhost even when all of them are "". [".*"]
	Configure, Write, Read string // configure, write, read
}

// TopicPermission narrows what a user may do with the topics of an exchange. An
// exchange without one is open for all topics.
type TopicPermission struct {
	// User is the name of a [[user]].
	User string // user
	// VHost is the name of a vhost. ["/"]
	VHost string // vhost
	// Exchange is the name of a topic exchange. What MQTT clients publish and
	// subscribe to is in amq.topic. ["amq.topic"]
	Exchange string // exchange
	// Write and Read are regular expressions, searched in the routing key: with
	// which the user may publish, and which it may bind or subscribe to (MQTT's
	// filter as a binding key). {username}, {vhost} and {client_id} stand for
	// those of the connection, letter by letter; AMQP 0-9-1 clients have no
	// client id, and match no pattern with one. "" is none. [".*"]
	Write, Read string // write, read
}

// limitMost bounds what a limit may be set to.
const limitMost = 1_000_000

// rights reads the lists of vhosts and of who may do what in them.
func (d *decoder) rights(s *section, c *Config) {
	d.named(s, "vhost", func(s *section) (in, name string) {
		v := VHost{}
		d.must(s, "name", &v.Name, "plant")
		s.integer("connections_max", &v.ConnectionsMax, 0, limitMost)
		s.integer("queues_max", &v.QueuesMax, 0, limitMost)
		c.VHosts = append(c.VHosts, v)
		return "", v.Name
	})
	d.single(s, "permission", func(s *section) [3]string {
		p := d.permission(s)
		c.Permissions = append(c.Permissions, p)
		return [3]string{p.User, p.VHost}
	})
	d.single(s, "topic_permission", func(s *section) [3]string {
		p := d.topicPermission(s)
		c.TopicPermissions = append(c.TopicPermissions, p)
		return [3]string{p.User, p.VHost, p.Exchange}
	})
}

func (d *decoder) permission(s *section) Permission {
	p := Permission{Configure: ".*", Write: ".*", Read: ".*"}
	d.account(s, "user", &p.User)
	d.vhost(s, &p.VHost)
	pattern(s, "configure", &p.Configure, users.CheckPattern)
	pattern(s, "write", &p.Write, users.CheckPattern)
	pattern(s, "read", &p.Read, users.CheckPattern)
	return p
}

func (d *decoder) topicPermission(s *section) TopicPermission {
	p := TopicPermission{Exchange: "amq.topic", Write: ".*", Read: ".*"}
	d.account(s, "user", &p.User)
	d.vhost(s, &p.VHost)
	s.name("exchange", &p.Exchange)
	pattern(s, "write", &p.Write, users.CheckTopicPattern)
	pattern(s, "read", &p.Read, users.CheckTopicPattern)
	return p
}

// single reads a list of tables of which no two are for the same.
func (d *decoder) single(s *section, list string, read func(*section) [3]string) {
	first := map[[3]string]place{}
	s.each(list, func(s *section) {
		id := read(s)
		if id[0] == "" {
			return // missing or wrong, which was told
		}
		if other, twice := first[id]; twice {
			d.found.add(s.table.at, s.path, "%q has one there already%s", id[0], other.first())
			return
		}
		first[id] = s.table.at
	})
}

// pattern reads a regular expression.
func pattern(s *section, name string, to *string, check func(string) error) {
	if !s.text(name, to) {
		return
	}
	if err := check(*to); err != nil {
		s.bad(name, s.table.get(name).value, "%s", err)
	}
}

// mention is a name that something else of the file must have.
type mention struct {
	at        place
	key, name string
}

// vhost reads in which vhost something is.
func (d *decoder) vhost(s *section, to *string) {
	*to = DefaultVHost
	if s.name("vhost", to) {
		d.inVHosts = append(d.inVHosts, mention{s.table.get("vhost").value.at, s.key("vhost"), *to})
	}
}

// account reads whose something is.
func (d *decoder) account(s *section, key string, to *string) {
	d.must(s, key, to, "anna")
	if *to != "" {
		d.ofUsers = append(d.ofUsers, mention{s.table.get(key).value.at, s.key(key), *to})
	}
}

// mentioned reports the names of vhosts and users that the file does not have.
// A vhost that was made in another way has to be declared here too before the
// file can put something into it.
func (d *decoder) mentioned(c *Config) {
	vhosts, accounts := map[string]bool{DefaultVHost: true}, map[string]bool{}
	for _, v := range c.VHosts {
		vhosts[v.Name] = true
	}
	for _, u := range c.Users {
		accounts[u.Name] = true
	}
	d.missing("vhost", vhosts, d.inVHosts)
	d.missing("user", accounts, d.ofUsers)
}

func (d *decoder) missing(list string, known map[string]bool, mentions []mention) {
	for _, m := range mentions {
		if !known[m.name] {
			d.found.add(m.at, m.key, "there is no [[%s]] with the name %q", list, m.name)
		}
	}
}
