package config

import (
	"fmt"
	"reflect"
	"sort"
)

// Change is one key that two Configs differ in.
type Change struct {
	// Key is the dotted key, or the list and the name of an entry of it:
	// "log.level", "user anna".
	Key string
	// Old and New are what it was and is, without secrets. Entries of lists
	// that are only in one Config are "" in the other.
	Old, New string
	// Restart: the change takes effect when the process starts again.
	Restart bool
}

// setting is a key that stands once in a file.
type setting struct {
	key     string
	restart bool
	of      func(*Config) any
}

var settings = [...]setting{
	{"data_dir", true, func(c *Config) any { return c.DataDir }},
	{"profile", true, func(c *Config) any { return c.Profile }},
	{"log.level", false, func(c *Config) any { return c.Log.Level }},
	{"amqp.listen", true, func(c *Config) any { return c.AMQP.Listen }},
	{"amqp.socket_mode", true, func(c *Config) any { return c.AMQP.SocketMode }},
	{"amqp.tls_listen", true, func(c *Config) any { return c.AMQP.TLSListen }},
	{"amqp.cert_file", true, func(c *Config) any { return c.AMQP.CertFile }},
	{"amqp.key_file", true, func(c *Config) any { return c.AMQP.KeyFile }},
	{"amqp.client_ca_file", true, func(c *Config) any { return c.AMQP.ClientCAFile }},
	{"amqp.external_login", false, func(c *Config) any { return c.AMQP.ExternalLogin }},
	{"amqp.anonymous", false, func(c *Config) any { return c.AMQP.Anonymous }},
	{"amqp.anonymous_user", false, func(c *Config) any { return c.AMQP.AnonymousUser }},
	{"amqp.product", true, func(c *Config) any { return c.AMQP.Product }},
	{"amqp.product_version", true, func(c *Config) any { return c.AMQP.ProductVersion }},
	{"amqp.proxy_protocol", true, func(c *Config) any { return c.AMQP.ProxyProtocol }},
	{"amqp.proxy_from", true, func(c *Config) any { return c.AMQP.ProxyFrom }},
	{"amqp.channels_max", true, func(c *Config) any { return c.AMQP.ChannelsMax }},
	{"amqp.map_queue_types", true, func(c *Config) any { return c.AMQP.MapQueueTypes }},
	{"mqtt.listen", true, func(c *Config) any { return c.MQTT.Listen }},
	{"mqtt.socket_mode", true, func(c *Config) any { return c.MQTT.SocketMode }},
	{"mqtt.tls_listen", true, func(c *Config) any { return c.MQTT.TLSListen }},
	{"mqtt.websocket_listen", true, func(c *Config) any { return c.MQTT.WebSocketListen }},
	{"mqtt.websocket_tls_listen", true, func(c *Config) any { return c.MQTT.WebSocketTLSListen }},
	{"mqtt.websocket_origins", true, func(c *Config) any { return c.MQTT.WebSocketOrigins }},
	{"mqtt.cert_file", true, func(c *Config) any { return c.MQTT.CertFile }},
	{"mqtt.key_file", true, func(c *Config) any { return c.MQTT.KeyFile }},
	{"mqtt.client_ca_file", true, func(c *Config) any { return c.MQTT.ClientCAFile }},
	{"mqtt.keep_qos0", true, func(c *Config) any { return c.MQTT.KeepQoS0 }},
	{"mqtt.publisher_header", true, func(c *Config) any { return c.MQTT.PublisherHeader }},
	{"mqtt.topic_dots", true, func(c *Config) any { return c.MQTT.TopicDots }},
	{"mqtt.anonymous", false, func(c *Config) any { return c.MQTT.Anonymous }},
	{"mqtt.client_ids", false, func(c *Config) any { return c.MQTT.ClientIDs }},
	{"mqtt.client_id_takeover", true, func(c *Config) any { return c.MQTT.ClientIDTakeover }},
	{"mqtt.certificate_login", false, func(c *Config) any { return c.MQTT.CertificateLogin }},
	{"mqtt.certificate_client_id", false, func(c *Config) any { return c.MQTT.CertificateClientID }},
	{"mqtt.redirect_to", false, func(c *Config) any { return c.MQTT.RedirectTo }},
	{"mqtt.redirect", false, func(c *Config) any { return c.MQTT.Redirect }},
	{"mqtt.password_file", false, func(c *Config) any { return c.MQTT.PasswordFile }},
	{"mqtt.acl_file", false, func(c *Config) any { return c.MQTT.ACLFile }},
	{"mqtt.connections_max", true, func(c *Config) any { return c.MQTT.ConnectionsMax }},
	{"mqtt.keep_alive_max", true, func(c *Config) any { return c.MQTT.KeepAliveMax }},
	{"mqtt.packet_bytes_max", true, func(c *Config) any { return c.MQTT.PacketBytesMax }},
	{"mqtt.inflight_max", true, func(c *Config) any { return c.MQTT.InflightMax }},
	{"mqtt.subscriptions_max", true, func(c *Config) any { return c.MQTT.SubscriptionsMax }},
	{"mqtt.session_expiry_max", true, func(c *Config) any { return c.MQTT.SessionExpiryMax }},
	{"mqtt.messages_per_second", true, func(c *Config) any { return c.MQTT.MessagesPerSecond }},
	{"mqtt.qos_max", true, func(c *Config) any { return c.MQTT.QoSMax }},
	{"mqtt.queued_max", true, func(c *Config) any { return c.MQTT.QueuedMax }},
	{"mqtt.queued_bytes_max", true, func(c *Config) any { return c.MQTT.QueuedBytesMax }},
	{"mqtt.overflow", true, func(c *Config) any { return c.MQTT.Overflow }},
	{"mqtt.class", true, func(c *Config) any { return c.MQTT.Classes }},
	{"mqtt.route", true, func(c *Config) any { return c.MQTT.Routes }},
	{"mqtt.proxy_protocol", true, func(c *Config) any { return c.MQTT.ProxyProtocol }},
	{"mqtt.proxy_from", true, func(c *Config) any { return c.MQTT.ProxyFrom }},
	{"admin.listen", true, func(c *Config) any { return c.Admin.Listen }},
	{"admin.socket_mode", true, func(c *Config) any { return c.Admin.SocketMode }},
	{"admin.trust_loopback", true, func(c *Config) any { return c.Admin.TrustLoopback }},
	{"spool.max_bytes", true, func(c *Config) any { return c.Spool.MaxBytes }},
	{"spool.commit_window", true, func(c *Config) any { return c.Spool.CommitWindow }},
	{"spool.commits_per_second", true, func(c *Config) any { return c.Spool.CommitsPerSecond }},
	{"spool.sync", true, func(c *Config) any { return c.Spool.Sync }},
	{"spool.card_endurance", false, func(c *Config) any { return c.Spool.CardEndurance }},
	{"devices.max", false, func(c *Config) any { return c.Devices.Max }},
	{"devices.silent_after", false, func(c *Config) any { return c.Devices.SilentAfter }},
	{"devices.rule", false, func(c *Config) any { return c.Devices.Rules }}, // their order counts
}

// Diff lists what differs from old to new: the settings in the order of the
// file, then the entries of the lists by name.
func Diff(old, new *Config) []Change {
	var changes []Change
	for _, s := range settings {
		a, b := s.of(old), s.of(new)
		if !reflect.DeepEqual(a, b) {
			changes = append(changes, Change{s.key, fmt.Sprint(a), fmt.Sprint(b), s.restart})
		}
	}
	changes = append(changes, entries("user", old.Users, new.Users, func(u User) string { return u.Name })...)
	changes = append(changes, entries("vhost", old.VHosts, new.VHosts, func(v VHost) string { return v.Name })...)
	changes = append(changes, entries("permission", old.Permissions, new.Permissions, func(p Permission) string { return within(p.User, p.VHost) })...)
	changes = append(changes, entries("topic_permission", old.TopicPermissions, new.TopicPermissions, func(p TopicPermission) string {
		return within(p.User+" for "+p.Exchange, p.VHost)
	})...)
	changes = append(changes, entries("exchange", old.Exchanges, new.Exchanges, func(e Exchange) string { return within(e.Name, e.VHost) })...)
	changes = append(changes, entries("queue", old.Queues, new.Queues, func(q Queue) string { return within(q.Name, q.VHost) })...)
	changes = append(changes, entries("binding", old.Bindings, new.Bindings, bindingName)...)
	changes = append(changes, entries("policy", old.Policies, new.Policies, policyName)...)
	changes = append(changes, entries("shovel", old.Shovels, new.Shovels, func(s Shovel) string { return s.Name })...)
	return changes
}

// within is a name with its vhost, unless that is the default one.
func within(name, vhost string) string {
	if vhost == DefaultVHost {
		return name
	}
	return fmt.Sprintf("%s (vhost %s)", name, vhost)
}

// policyName tells policies and operators' ones of a name apart.
func policyName(p Policy) string {
	name := within(p.Name, p.VHost)
	if p.Operator {
		name += ", operator's"
	}
	return name
}

// bindingName is all of a binding: two that differ in anything are two.
func bindingName(b Binding) string {
	to := b.Destination
	if b.DestinationType == ToExchange {
		to = "exchange " + to
	}
	name := within(fmt.Sprintf("%s -> %s, key %q", b.Source, to, b.Key), b.VHost)
	if len(b.Arguments) > 0 {
		name += fmt.Sprintf(", arguments %v", b.Arguments)
	}
	return name
}

// entries compares two lists by the names of their entries. A password that
// changed shows as a change with the same text before and after.
func entries[T any](list string, old, new []T, name func(T) string) []Change {
	return compared(list, byName(old, name), byName(new, name))
}

func byName[T any](list []T, name func(T) string) map[string]any {
	m := make(map[string]any, len(list))
	for _, e := range list {
		m[name(e)] = e
	}
	return m
}

func compared(list string, before, after map[string]any) []Change {
	var changes []Change
	for n, a := range before {
		b, kept := after[n]
		switch {
		case !kept:
			changes = append(changes, Change{Key: list + " " + n, Old: fmt.Sprintf("%+v", a)})
		case !reflect.DeepEqual(a, b):
			changes = append(changes, Change{Key: list + " " + n, Old: fmt.Sprintf("%+v", a), New: fmt.Sprintf("%+v", b)})
		}
	}
	for n, b := range after {
		if _, kept := before[n]; !kept {
			changes = append(changes, Change{Key: list + " " + n, New: fmt.Sprintf("%+v", b)})
		}
	}
	sort.Slice(changes, func(i, j int) bool { return changes[i].Key < changes[j].Key })
	return changes
}
