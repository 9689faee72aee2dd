package config

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"leveret/amqp"
	"leveret/edge/users"
)

// topology reads what the broker declares at start: the lists of tables.
func (d *decoder) topology(s *section, c *Config) {
	d.rights(s, c)
	d.named(s, "user", func(s *section) (in, name string) {
		u := d.user(s, c)
		c.Users = append(c.Users, u)
		return "", u.Name
	})
	d.named(s, "exchange", func(s *section) (in, name string) {
		e := d.exchange(s)
		c.Exchanges = append(c.Exchanges, e)
		return e.VHost, e.Name
	})
	d.named(s, "queue", func(s *section) (in, name string) {
		q := d.queue(s)
		c.Queues = append(c.Queues, q)
		return q.VHost, q.Name
	})
	s.each("binding", func(s *section) { c.Bindings = append(c.Bindings, d.binding(s)) })
	d.named(s, "policy", func(s *section) (in, name string) {
		p := d.policy(s)
		c.Policies = append(c.Policies, p)
		return fmt.Sprint(p.Operator, p.VHost), p.Name
	})
	d.named(s, "shovel", func(s *section) (in, name string) {
		v := d.shovel(s)
		c.Shovels = append(c.Shovels, v)
		return "", v.Name
	})
}

// named reads a list of tables of which each has a name of its own among those
// that are in the same.
func (d *decoder) named(s *section, list string, read func(*section) (in, name string)) {
	first := map[[2]string]place{}
	s.each(list, func(s *section) {
		in, name := read(s)
		if name == "" {
			return // missing or wrong, which was told
		}
		at := s.table.get("name").value.at
		if other, twice := first[[2]string{in, name}]; !twice {
			first[[2]string{in, name}] = at
		} else {
			d.found.add(at, s.key("name"), "%q is there twice%s", name, other.first())
		}
	})
}

// must reads a name that may not be missing.
func (d *decoder) must(s *section, name string, to *string, example string) {
	s.name(name, to)
	if !s.has(name) {
		s.lacks(name, "is missing; write %s = %q", name, example)
	}
}

// mine reads the name of a thing that the file declares.
func (d *decoder) mine(s *section, to *string, example string) {
	d.must(s, "name", to, example)
	if strings.HasPrefix(*to, "amq.") {
		s.bad("name", s.table.get("name").value, `names that begin with "amq." belong to the broker`)
	}
}

func (d *decoder) user(s *section, c *Config) User {
	u := User{Tags: []string{}, Configure: ".*", Write: ".*", Read: ".*"}
	d.must(s, "name", &u.Name, "anna")
	d.password(s, &u.Hash)
	s.texts("tags", &u.Tags, false, checkTag)
	if slices.ContainsFunc(c.Permissions, func(p Permission) bool { return p.User == u.Name }) {
		u.Configure, u.Write, u.Read = "", "", "" // whoever lists vhosts means those
	}
	pattern(s, "configure", &u.Configure, users.CheckPattern)
	pattern(s, "write", &u.Write, users.CheckPattern)
	pattern(s, "read", &u.Read, users.CheckPattern)
	s.boolean("loopback_only", &u.LoopbackOnly)
	s.integer("connections_max", &u.ConnectionsMax, 0, limitMost)
	s.integer("channels_max", &u.ChannelsMax, 0, channelsMost)
	pattern(s, "client_ids", &u.ClientIDs, users.CheckClientPattern)
	return u
}

func checkTag(tag string) error {
	if tag == "" || len(tag) > shortMax || strings.ContainsAny(tag, " ,") {
		return errors.New("a tag is one word")
	}
	return nil
}

// password reads the one of three keys that is there.
func (d *decoder) password(s *section, to *users.Hash) {
	var secret string
	switch s.one("password", "password_hash", "password_file") {
	case "password":
		if s.text("password", &secret) {
			d.hash(s, "password", secret, to)
		}
	case "password_hash":
		if s.text("password_hash", &secret) {
			h, err := users.ParseHash(secret)
			if err != nil {
				s.bad("password_hash", s.table.get("password_hash").value, "%s", err)
			}
			*to = h
		}
	case "password_file":
		if d.secretFile(s, "password_file", &secret) {
			d.hash(s, "password_file", secret, to)
		}
	}
}

func (d *decoder) hash(s *section, key, secret string, to *users.Hash) {
	if secret == "" {
		s.bad(key, s.table.get(key).value, "the password is empty; nobody could log in with it")
		return
	}
	*to = users.HashPassword(secret)
}

func (d *decoder) exchange(s *section) Exchange {
	e := Exchange{Durable: true}
	d.mine(s, &e.Name, "readings")
	d.vhost(s, &e.VHost)
	choice(s, "type", &e.Type, "direct", "fanout", "topic", "headers",
		"x-consistent-hash", "x-random", "x-local-random", "x-message-deduplication", "x-delayed-message")
	if !s.has("type") {
		s.lacks("type", `is missing; write type = "topic" (or "direct", "fanout", "headers")`)
	}
	s.boolean("durable", &e.Durable)
	s.boolean("auto_delete", &e.AutoDelete)
	s.boolean("internal", &e.Internal)
	d.arguments(s, &e.Arguments)
	return e
}

func (d *decoder) queue(s *section) Queue {
	q := Queue{Durable: true}
	d.mine(s, &q.Name, "readings")
	if strings.HasPrefix(q.Name, "mqtt.") {
		s.bad("name", s.table.get("name").value, `queues that begin with "mqtt." belong to the MQTT door`)
	}
	d.vhost(s, &q.VHost)
	s.boolean("durable", &q.Durable)
	s.boolean("auto_delete", &q.AutoDelete)
	d.arguments(s, &q.Arguments)
	return q
}

func (d *decoder) binding(s *section) Binding {
	b := Binding{DestinationType: ToQueue}
	d.vhost(s, &b.VHost)
	d.must(s, "source", &b.Source, "amq.topic")
	d.must(s, "destination", &b.Destination, "readings")
	choice(s, "destination_type", &b.DestinationType, ToQueue, ToExchange)
	s.short("key", &b.Key)
	d.arguments(s, &b.Arguments)
	return b
}

// arguments reads the optional table of arguments.
func (d *decoder) arguments(s *section, to *amqp.Table) {
	d.fields(s, "arguments", to)
}

// fields reads a table of AMQP.
func (d *decoder) fields(s *section, name string, to *amqp.Table) {
	if n := s.value(name); n != nil && s.is(name, n, table) {
		v, _ := d.argument(s, name, n, 0).(amqp.Table)
		*to = v
	}
}

// argument is a node as a field value of AMQP; nil when that cannot be.
func (d *decoder) argument(s *section, name string, n *node, depth int) any {
	if depth > amqp.TableDepthMax {
		s.bad(name, n, "must be nested at most %d deep", amqp.TableDepthMax)
		return nil
	}
	switch n.kind {
	case text:
		return n.text
	case boolean:
		return n.text == "true"
	case integer:
		v, err := strconv.ParseInt(n.text, 0, 64)
		if err != nil {
			s.bad(name, n, "must be from %d to %d", int64(math.MinInt64), int64(math.MaxInt64))
		}
		return v
	case float:
		v, err := strconv.ParseFloat(strings.ReplaceAll(n.text, "_", ""), 64)
		if err != nil {
			s.bad(name, n, "the number is too large")
		}
		return v
	case list:
		values := make(amqp.Array, len(n.items))
		for i, item := range n.items {
			values[i] = d.argument(s, name, item, depth+1)
		}
		return values
	case table:
		return d.argumentTable(s, name, n, depth)
	}
	s.bad(name, n, "must hold text, numbers, booleans, lists and tables, found %s", n.kind)
	return nil
}

func (d *decoder) argumentTable(s *section, name string, n *node, depth int) any {
	if len(n.keys) > amqp.TableFieldsMax {
		s.bad(name, n, "must have at most %d fields", amqp.TableFieldsMax)
		return nil
	}
	fields := make(amqp.Table, len(n.keys))
	for i, f := range n.keys {
		if f.name == "" || len(f.name) > shortMax {
			d.found.add(f.at, s.key(name), "a field's name must have from 1 to %d bytes", shortMax)
		}
		fields[i] = amqp.Field{Key: f.name, Value: d.argument(s, name, f.value, depth+1)}
	}
	return fields
}
