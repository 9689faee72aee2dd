package config

import (
	"fmt"
	"strings"
	"testing"
)

// user and shovel are right but for the line that a test puts in.
func userWith(line string) string {
	return "[[user]]\nname = \"anna\"\npassword = \"secret\"\n" + line
}

func shovelWith(line string) string {
	return "[[shovel]]\nname = \"up\"\nsource = {queue = \"q\"}\ntarget = {uri = \"amqp://u:secret@h\", key = \"k\"}\n" + line
}

func targetWith(target string) string {
	return "[[shovel]]\nname = \"up\"\nsource = {queue = \"q\"}\ntarget = " + target
}

func sourceWith(source string) string {
	return "[[shovel]]\nname = \"up\"\nsource = " + source + "\ntarget = {exchange = \"x\"}"
}

// broken are files and all their problems, without the file's name.
var broken = []struct {
	name, file string
	want       []string
}{
	// not TOML
	{"no equals sign", "data_dir: x", []string{"1:9: not TOML: expected '=' after key"}},
	{"no value", "data_dir =\n", []string{`1:11: not TOML: a value is missing or is text without quotes; write key = "text"`}},
	{"no quotes", "[log]\nlevel = debug", []string{`2:9: not TOML: a value is missing or is text without quotes; write key = "text"`}},
	{"no quotes, number first", "[spool]\nmax_bytes = 2GB", []string{`2:14: not TOML: a value is missing or is text without quotes; write key = "text"`}},
	{"open text", "data_dir = \"x\n", []string{"1:14: not TOML: basic strings cannot have new lines"}},
	{"open list", "[amqp]\nlisten = [\"127.0.0.1:1\",", []string{"2:24: not TOML: array is incomplete"}},
	{"open header", "[amqp\nlisten = []", []string{"1:6: not TOML: expected ']' to close table name"}},
	{"cut in the middle", "[amqp]\nlisten = \"127.0.0.1:1\"\n[mqtt]\nlis", []string{"4:3: not TOML: expected '=' after key"}},
	{"reading goes on at the next table", "[log]\nlevel debug\nnoise = 1\n[amqp]\nlissen = []\n[[user]]\nname = \"a\"\npassword = secret\n[mqtt]\nanonymous = 1", []string{
		"2:7: not TOML: expected '=' after key",
		"5:1: amqp.lissen: no such key; did you mean listen?",
		`8:12: not TOML: a value is missing or is text without quotes; write key = "text"`,
		"10:13: mqtt.anonymous: must be text, found a whole number",
	}},
	{"not UTF-8", "[log]\nlevel = \"gr\xfc\xdf\"", []string{"2:12: not UTF-8; save the file as UTF-8 text"}},
	{"UTF-16", "\xff\xfe[\x00l\x00", []string{"1:1: not UTF-8; save the file as UTF-8 text"}},
	{"a zero byte", "data_dir = \"a\x00b\"", []string{"1:14: not TOML: basic strings cannot have control characters"}},
	{"columns are characters", "data_dir = \"äöü\" x", []string{"1:18: not TOML: expected newline but got U+0078 'x'"}},

	// keys
	{"unknown key", "data_dri = \"x\"", []string{"1:1: data_dri: no such key; did you mean data_dir?"}},
	{"unknown key, far from all", "[log]\nfile = \"x\"", []string{"2:1: log.file: no such key; known here are level"}},
	{"unknown keys, all of them", "colour = 1\n[amqp]\nport = 5672\n[telnet]\n[mqtt]\n  anonimous = 'never'", []string{
		"1:1: colour: no such key; known here are data_dir, profile, log, amqp, mqtt, admin, spool, devices, vhost, permission, topic_permission, user, exchange, queue, binding, policy, shovel",
		"3:1: amqp.port: no such key; known here are listen, socket_mode, tls_listen, cert_file, key_file, client_ca_file, external_login, anonymous, anonymous_user, product, product_version, proxy_protocol, proxy_from, channels_max, map_queue_types",
		"4:2: telnet: no such key; known here are data_dir, profile, log, amqp, mqtt, admin, spool, devices, vhost, permission, topic_permission, user, exchange, queue, binding, policy, shovel",
		"6:3: mqtt.anonimous: no such key; did you mean anonymous?",
	}},
	{"unknown key with odd letters", "\"a\\u001b[31m\" = 1", []string{`1:1: "a\x1b[31m": no such key; known here are data_dir, profile, log, amqp, mqtt, admin, spool, devices, vhost, permission, topic_permission, user, exchange, queue, binding, policy, shovel`}},
	{"route without an exchange", "[[mqtt.route]]\ntopic = 'z/#'", []string{`1:8: mqtt.route.exchange: is missing; write exchange = "home"`}},
	{"route of no filter", "[[mqtt.route]]\ntopic = 'z/#/a'\nexchange = 'amq.topic'", []string{`2:9: mqtt.route.topic: not a topic filter; write it like "zigbee2mqtt/#" or "plant/+/temp"`}},
	{"route of a group", "[[mqtt.route]]\ntopic = '$share/g/a'\nexchange = 'amq.topic'", []string{`2:9: mqtt.route.topic: not a topic filter; write it like "zigbee2mqtt/#" or "plant/+/temp"`}},
	{"route to nowhere", "[[mqtt.route]]\ntopic = 'z/#'\nexchange = 'home'", []string{`3:12: mqtt.route.exchange: there is no [[exchange]] with the name "home" in the vhost "/"`}},
	{"route to a fanout", "[[exchange]]\nname = 'home'\ntype = 'fanout'\n[[mqtt.route]]\ntopic = 'z/#'\nexchange = 'home'", []string{`6:12: mqtt.route.exchange: the exchange "home" is of type "fanout"; topics need one of type topic`}},
	{"route to what does not last", "[[exchange]]\nname = 'home'\ntype = 'topic'\ndurable = false\n[[mqtt.route]]\ntopic = 'z/#'\nexchange = 'home'", []string{`7:12: mqtt.route.exchange: the exchange "home" must be durable, and neither auto_delete nor internal`}},
	{"class without a name", "[[mqtt.class]]\nqos_max = 3", []string{`1:8: mqtt.class.name: is missing; write name = "sensors"`, "2:11: mqtt.class.qos_max: must be from 0 to 2"}},
	{"class twice", "[[mqtt.class]]\nname = 'a'\n[[mqtt.class]]\nname = 'a'", []string{`4:8: mqtt.class.name: "a" is there twice; the first is in line 2`}},
	{"class of no pattern", "[[mqtt.class]]\nname = 'a'\nclient = '('", []string{"3:10: mqtt.class.client: not a regular expression: missing closing ): \"(\""}},
	{"limits out of bounds", "[mqtt]\npacket_bytes_max = '512MiB'\ninflight_max = 0\noverflow = 'drop'\nkeep_alive_max = '24h'", []string{
		"2:20: mqtt.packet_bytes_max: must be from 1KiB to 256MiB", "3:16: mqtt.inflight_max: must be from 1 to 16383",
		`4:12: mqtt.overflow: must be "drop-head", "reject-publish", "thin" or "keep-last"`, "5:18: mqtt.keep_alive_max: must be from 0s to 18h12m15s",
	}},
	{"certificate that nobody asks for", "[mqtt]\ncertificate_login = 'common_name'", []string{"2:21: mqtt.certificate_login: needs client_ca_file: without it no certificate is asked for"}},
	{"no server to go to", "[mqtt]\nredirect_to = 'there'", []string{`2:15: mqtt.redirect_to: must be another server, like "broker2.example:8883"`}},
	{"no network", "[amqp]\nproxy_from = ['10.0.0.1']", []string{`2:15: amqp.proxy_from: not a network; write it like "10.1.0.0/16", or "10.1.2.3/32" for one address`}},
	{"queue of the door", "[[queue]]\nname = 'mqtt.a'", []string{`2:8: queue.name: queues that begin with "mqtt." belong to the MQTT door`}},
	{"plural list", "[[users]]\nname = 'a'", []string{"1:3: users: no such key; did you mean user?"}},
	{"twice", "[log]\nlevel = 'info'\nlevel = 'warn'", []string{"3:1: level: is there twice; the first is in line 2"}},
	{"table twice", "[log]\n[amqp]\n[log]\nlevel = 'info'", []string{"3:2: log: is there twice; the first is in line 1"}},
	{"table of a value", "log = 'info'\n[log]\nlevel = 'info'", []string{"1:7: log: must be a table, found text", "2:2: log: is there twice; the first is in line 1"}},
	{"table below a value", "data_dir = 'x'\n[data_dir.x]", []string{"2:2: data_dir.x: data_dir is a value already, it cannot be a table"}},
	{"added to a closed table", "log = {}\nlog.level = 'info'", []string{"2:1: log.level: log was given before, it cannot be added to"}},

	// types
	{"not text", "data_dir = true", []string{"1:12: data_dir: must be text, found a boolean"}},
	{"empty text", "data_dir = ''", []string{"1:12: data_dir: must not be empty"}},
	{"not a table", "amqp = 'x'", []string{"1:8: amqp: must be a table, found text"}},
	{"a list of a table", "[[amqp]]\nlisten = 'x'", []string{"1:3: amqp: must be a table, found a list"}},
	{"not a list of tables", "[user]\nname = 'a'", []string{"1:2: user: must be a list of tables; write [[user]]"}},
	{"no tables in the list", "queue = ['a']", []string{"1:10: queue: must be a table, found text"}},
	{"boolean address", "[amqp]\nlisten = true", []string{"2:10: amqp.listen: must be text or a list of texts, found a boolean"}},
	{"a date", "[log]\nlevel = 2026-11-21", []string{"2:9: log.level: must be text, found a date or time"}},
	{"boolean in quotes", userWith("loopback_only = 'true'"), []string{"4:17: user.loopback_only: must be true or false, found text"}},
	{"tags not a list", userWith("tags = 'administrator'"), []string{"4:8: user.tags: must be a list of texts, found text"}},
	{"a tag not text", userWith("tags = ['a', 7, 'b c']"), []string{"4:14: user.tags: must be text, found a whole number", "4:17: user.tags: a tag is one word"}},

	// values
	{"profile", "profile = 'huge'", []string{`1:11: profile: must be "", "tiny", "small" or "server"`}},
	{"level", "log.level = 'verbose'", []string{`1:13: log.level: must be "debug", "info", "warn" or "error"`}},
	{"anonymous", "mqtt.anonymous = 'yes'", []string{`1:18: mqtt.anonymous: must be "loopback", "never" or "always"`}},
	{"size", "spool.max_bytes = '5 apples'", []string{`1:19: spool.max_bytes: not a size; write a number of bytes or one with a unit, like "512MiB" or "2GB"`}},
	{"size too large", "spool.max_bytes = '9000000TiB'", []string{`1:19: spool.max_bytes: not a size; write a number of bytes or one with a unit, like "512MiB" or "2GB"`}},
	{"size too small", "spool.max_bytes = '1MiB'", []string{"1:19: spool.max_bytes: must be 0 or at least 16MiB"}},
	{"size negative", "spool.max_bytes = -1", []string{"1:19: spool.max_bytes: must be 0 or at least 16MiB"}},
	{"size of another type", "spool.max_bytes = 1.5", []string{`1:19: spool.max_bytes: must be a size like "512MiB", found a number`}},
	{"duration", "spool.commit_window = 'soon'", []string{`1:23: spool.commit_window: not a duration; write a number with a unit, like "20ms", "1.5s" or "2m"`}},
	{"duration without a unit", "spool.commit_window = 20", []string{`1:23: spool.commit_window: must be text like "20ms", found a whole number`}},
	{"duration too long", "spool.commit_window = '1m'", []string{"1:23: spool.commit_window: must be from 0s to 5s"}},

	{"a short silence", "devices.silent_after = '10ms'", []string{"1:24: devices.silent_after: must be 0s or from 1s to 8760h"}},
	{"a long silence", "devices.silent_after = '9000h'", []string{"1:24: devices.silent_after: must be from 0s to 8760h"}},
	{"devices without end", "devices.max = -1", []string{"1:15: devices.max: must be from 0 to 1000000"}},
	{"rule without anything", "[[devices.rule]]", []string{
		`1:11: devices.rule.client: is missing; write client = "meter-*"`,
		`1:11: devices.rule.silent_after: is missing; write silent_after = "1h"`,
	}},
	{"rule twice", "[[devices.rule]]\nclient = 'a'\nsilent_after = '1h'\n[[devices.rule]]\nclient = 'a'\nsilent_after = '2h'", []string{
		`4:11: devices.rule: "a" has one there already; the first is in line 1`,
	}},
	{"rule with a name", "[[devices.rule]]\nname = 'a'\nclient = 'a'\nsilent_after = '0s'", []string{"2:1: devices.rule.name: no such key; known here are client, silent_after"}},

	// addresses
	{"no port", "amqp.listen = 'localhost'", []string{`1:15: amqp.listen: not an address; write host:port, for example "127.0.0.1:5672" or "[::1]:5672"`}},
	{"empty address", "amqp.listen = ''", []string{"1:15: amqp.listen: the address is empty; write [] to close the door"}},
	{"port too large", "amqp.listen = ['127.0.0.1:5672', '127.0.0.1:70000']", []string{"1:34: amqp.listen: the port must be a number from 0 to 65535"}},
	{"port with a name", "mqtt.listen = '127.0.0.1:mqtt'", []string{"1:15: mqtt.listen: the port must be a number from 0 to 65535"}},
	{"bad host", "mqtt.listen = '127.0.0.256:1883'", []string{`1:15: mqtt.listen: the host must be an IP address or a name; for every address of the machine write ":5672"`}},
	{"host with a scheme", "mqtt.listen = 'tcp://127.0.0.1:1883'", []string{`1:15: mqtt.listen: not an address; write host:port, for example "127.0.0.1:5672" or "[::1]:5672"`}},
	{"address of another door", "[mqtt]\nlisten = '127.0.0.1:5672'", []string{"2:10: mqtt.listen: 127.0.0.1:5672 is taken by amqp.listen already"}},
	{"socket without a folder", "mqtt.listen = 'unix:mqtt.sock'", []string{`1:15: mqtt.listen: the path of a Unix socket must be absolute, like "unix:/run/leveret/mqtt.sock"`}},
	{"socket with a long path", "mqtt.listen = 'unix:/" + strings.Repeat("x", 107) + "'", []string{"1:15: mqtt.listen: the path of a Unix socket must be at most 107 bytes long"}},
	{"socket with TLS", "mqtt.websocket_listen = 'unix:/x'", []string{"1:25: mqtt.websocket_listen: the port must be a number from 0 to 65535"}},
	{"socket of two doors", "amqp.listen = 'unix:/x'\nadmin.listen = 'unix:/x'", []string{"2:16: admin.listen: unix:/x is taken by amqp.listen already"}},
	{"mode with letters", "amqp.socket_mode = 'rw-rw----'", []string{`1:20: amqp.socket_mode: must be a file's mode in octal, like "0660"`}},
	{"mode with more than permissions", "admin.socket_mode = '4755'", []string{`1:21: admin.socket_mode: must be a file's mode in octal, like "0660"`}},
	{"address of another way in", "[mqtt]\nwebsocket_listen = '127.0.0.1:1883'", []string{"2:20: mqtt.websocket_listen: 127.0.0.1:1883 is taken by mqtt.listen already"}},
	{"origin with a scheme", "mqtt.websocket_origins = ['https://a']", []string{`1:27: mqtt.websocket_origins: not the host of an origin; write it like "panel.example", "*.example:8080" or "*"`}},
	{"TLS without a certificate", "[mqtt]\ntls_listen = ':8883'", []string{
		"1:2: mqtt.cert_file: is missing; TLS needs cert_file and key_file",
		"1:2: mqtt.key_file: is missing; TLS needs cert_file and key_file",
	}},
	{"certificate without a key", "[mqtt]\ncert_file = '/missing.pem'", []string{"1:2: mqtt.key_file: is missing; TLS needs cert_file and key_file"}},
	{"no such certificate", "[mqtt]\ncert_file = '/missing.pem'\nkey_file = '/missing.key'", []string{"2:13: mqtt.cert_file: the certificate cannot be used: no such file or directory"}},
	{"address twice", "[amqp]\nlisten = [':1', ':1']", []string{"2:10: amqp.listen: :1 is taken by amqp.listen already"}},

	// users
	{"user without anything", "[[user]]", []string{
		`1:3: user.name: is missing; write name = "anna"`,
		"1:3: user.password: is missing; give one of password, password_hash or password_file",
	}},
	{"user twice", userWith("") + userWith("read = ''"), []string{`5:8: user.name: "anna" is there twice; the first is in line 2`}},
	{"name too long", "queue = [{name = '" + strings.Repeat("x", 256) + "'}]", []string{"1:18: queue.name: must be at most 255 bytes long, is 256"}},
	{"two passwords", userWith("password_hash = 'also secret'"), []string{"4:1: user.password_hash: password is there as well; give one of password, password_hash or password_file"}},
	{"empty password", "[[user]]\nname = 'a'\npassword = ''", []string{"3:12: user.password: the password is empty; nobody could log in with it"}},
	{"password not text", "[[user]]\nname = 'a'\npassword = 12345", []string{"3:12: user.password: must be text, found a whole number"}},
	{"password hash", "[[user]]\nname = 'a'\npassword_hash = 'secret'", []string{`3:17: user.password_hash: neither a bcrypt hash ("$2a$...") nor base64 of 4 bytes of salt and a SHA-256 sum`}},
	{"password file", "[[user]]\nname = 'a'\npassword_file = 'not there'", []string{`3:17: user.password_file: "not there" cannot be read: no such file or directory`}},
	{"password device", "[[user]]\nname = 'a'\npassword_file = '/dev/zero'", []string{`3:17: user.password_file: "/dev/zero" cannot be read: not a file`}},
	{"pattern", userWith("write = '(a'"), []string{`4:9: user.write: not a regular expression: missing closing ): "(a"`}},
	{"pattern of another dialect", userWith("read = '^(?!b)'"), []string{`4:8: user.read: not a regular expression: invalid or unsupported Perl syntax: "(?!"`}},

	// topology
	{"exchange without anything", "[[exchange]]", []string{
		`1:3: exchange.name: is missing; write name = "readings"`,
		`1:3: exchange.type: is missing; write type = "topic" (or "direct", "fanout", "headers")`,
	}},
	{"exchange type", "[[exchange]]\nname = 'a'\ntype = 'Topic'", []string{`3:8: exchange.type: must be "direct", "fanout", "topic", "headers", "x-consistent-hash", "x-random", "x-local-random", "x-message-deduplication" or "x-delayed-message"`}},
	{"the broker's exchange", "[[exchange]]\nname = 'amq.x'\ntype = 'topic'", []string{`2:8: exchange.name: names that begin with "amq." belong to the broker`}},
	{"queue twice", "[[queue]]\nname = 'a'\n[[queue]]\nname = 'b'\n[[queue]]\nname = 'a'", []string{`6:8: queue.name: "a" is there twice; the first is in line 2`}},
	{"queue without a name", "[[queue]]\nname = ''", []string{"2:8: queue.name: must not be empty"}},
	{"binding of nothing", "[[binding]]\nsource = ''", []string{
		`1:3: binding.destination: is missing; write destination = "readings"`,
		"2:10: binding.source: must not be empty",
	}},
	{"arguments not a table", "[[queue]]\nname = 'a'\narguments = 7", []string{"3:13: queue.arguments: must be a table, found a whole number"}},
	{"an argument of no AMQP type", "[[queue]]\nname = 'a'\narguments.x-at = 12:00:00", []string{"3:18: queue.arguments: must hold text, numbers, booleans, lists and tables, found a date or time"}},
	{"an argument out of range", "[[queue]]\nname = 'a'\narguments.x = 9223372036854775808", []string{"3:15: queue.arguments: must be from -9223372036854775808 to 9223372036854775807"}},
	{"arguments too deep", "[[queue]]\nname = 'a'\narguments.x = " + strings.Repeat("[", 17) + strings.Repeat("]", 17), []string{"3:15: queue.arguments: must be nested at most 16 deep"}},

	{"a queue of the name in another vhost", "[[vhost]]\nname = 'v'\n[[queue]]\nname = 'a'\n[[queue]]\nname = 'a'\nvhost = 'v'", nil},
	{"binding to what", "[[binding]]\nsource = 'a'\ndestination = 'b'\ndestination_type = 'topic'", []string{`4:20: binding.destination_type: must be "queue" or "exchange"`}},

	// vhosts and rights
	{"vhost without anything", "[[vhost]]", []string{`1:3: vhost.name: is missing; write name = "plant"`}},
	{"vhost twice", "[[vhost]]\nname = 'v'\n[[vhost]]\nname = 'v'", []string{`4:8: vhost.name: "v" is there twice; the first is in line 2`}},
	{"vhost's limits", "[[vhost]]\nname = 'v'\nconnections_max = -1\nqueues_max = 1000001", []string{
		"3:19: vhost.connections_max: must be from 0 to 1000000", "4:14: vhost.queues_max: must be from 0 to 1000000",
	}},
	{"vhosts that are not there", "[[queue]]\nname = 'a'\nvhost = 'v'\n[[binding]]\nvhost = 'w'\nsource = 'a'\ndestination = 'a'\n" + targetWith("{uri = 'amqp://h', key = 'k'}\n[shovel.x]"), []string{
		`3:9: queue.vhost: there is no [[vhost]] with the name "v"`, `5:9: binding.vhost: there is no [[vhost]] with the name "w"`,
		"12:9: shovel.x: no such key; known here are name, source, target, prefetch, reconnect_min, reconnect_max, on_refusal, refusal_tries",
	}},
	{"permission without anything", "[[permission]]", []string{`1:3: permission.user: is missing; write user = "anna"`}},
	{"permission of nobody", "[[permission]]\nuser = 'ann'\n" + userWith(""), []string{`2:8: permission.user: there is no [[user]] with the name "ann"`}},
	{"permission nowhere", userWith("[[permission]]\nuser = 'anna'\nvhost = 'v'"), []string{`6:9: permission.vhost: there is no [[vhost]] with the name "v"`}},
	{"permission twice", userWith("[[permission]]\nuser = 'anna'\n[[permission]]\nvhost = '/'\nuser = 'anna'"), []string{`6:3: permission: "anna" has one there already; the first is in line 4`}},
	{"permission's pattern", userWith("[[permission]]\nuser = 'anna'\nwrite = '('"), []string{`6:9: permission.write: not a regular expression: missing closing ): "("`}},
	{"topics of nobody", "[[topic_permission]]\nuser = 'ann'", []string{`2:8: topic_permission.user: there is no [[user]] with the name "ann"`}},
	{"topics twice", userWith("[[topic_permission]]\nuser = 'anna'\n[[topic_permission]]\nuser = 'anna'\nexchange = 'amq.topic'"), []string{
		`6:3: topic_permission: "anna" has one there already; the first is in line 4`,
	}},
	{"topics' pattern", userWith("[[topic_permission]]\nuser = 'anna'\nread = '{client_id}('"), []string{`6:8: topic_permission.read: not a regular expression: missing closing ): "("`}},
	{"user's limits", userWith("channels_max = 65536"), []string{"4:16: user.channels_max: must be from 0 to 65535"}},
	{"anonymous without a user", "[amqp]\nanonymous = 'always'", []string{`1:2: amqp.anonymous_user: is missing; write anonymous_user = "anna"`}},
	{"product without a name", "[amqp]\nproduct = ''", []string{`2:11: amqp.product: must not be empty`}},
	{"anonymous as nobody", "[amqp]\nanonymous_user = 'ann'", []string{`2:18: amqp.anonymous_user: there is no [[user]] with the name "ann"`}},
	{"no channels", "[amqp]\nchannels_max = 0", []string{`2:16: amqp.channels_max: must be from 1 to 65535`}},
	{"unknown type of queue", "[amqp]\nmap_queue_types = {quorum = 'raft', streams = 'classic'}", []string{
		`2:29: amqp.map_queue_types.quorum: must be "classic", "quorum" or "refuse"`,
		`2:37: amqp.map_queue_types.streams: no such key; did you mean stream?`,
	}},
	{"external login", "[amqp]\nexternal_login = 'cn'", []string{`2:18: amqp.external_login: must be "common_name", "distinguished_name" or "subject_alternative_name"`}},

	// policies
	{"policy without anything", "[[policy]]", []string{
		`1:3: policy.name: is missing; write name = "limits"`, "1:3: policy.definition: is missing; write definition = {max-length = 100000}",
	}},
	{"policy twice, and an operator's", "[[policy]]\nname = 'a'\ndefinition = {}\n[[policy]]\nname = 'a'\noperator = true\ndefinition = {}\n[[policy]]\nname = 'a'\ndefinition = {}", []string{
		`9:8: policy.name: "a" is there twice; the first is in line 2`,
	}},
	{"policy's words", "[[policy]]\nname = 'a'\npattern = '('\napply_to = 'streams'\npriority = 'high'\ndefinition = 1", []string{
		"3:11: policy.pattern: not a regular expression: missing closing ): \"(\"",
		`4:12: policy.apply_to: must be "all", "queues", "classic_queues", "quorum_queues" or "exchanges"`,
		"5:12: policy.priority: must be a whole number, found text",
		"6:14: policy.definition: must be a table, found a whole number",
	}},
	{"policy's definition", "[[policy]]\nname = 'a'\n[policy.definition]\nmax-lenght = 1\nmessage-ttl = 'x'\n[[policy]]\nname = 'b'\noperator = true\ndefinition = {overflow = 'drop-head'}", []string{
		`4:14: policy.definition: "max-lenght" is not recognised as a setting of such a policy`,
		`5:15: policy.definition: invalid arg 'x-message-ttl' for the policy's queues: "expected integer, got longstr"`,
		`9:26: policy.definition: "overflow" is not recognised as a setting of such a policy`,
	}},

	// shovels
	{"shovel without anything", "[[shovel]]\n  target = {}\n  source = {}", []string{
		`1:3: shovel.name: is missing; write name = "cloud"`,
		"2:12: shovel.target.exchange: is missing; write where to publish: exchange or key here, or the uri of a broker elsewhere",
		`3:12: shovel.source.queue: is missing; write queue = "readings", or the uri of a broker elsewhere`,
	}},
	{"shovel without source and target", "[[shovel]]\nname = 'up'", []string{
		`1:3: shovel.source: is missing; write source = {queue = "readings"}`,
		`1:3: shovel.target: is missing; write target = {uri = "amqps://user:password@host/vhost", exchange = "readings"}`,
	}},
	{"shovel's prefetch", shovelWith("prefetch = 0"), []string{"5:12: shovel.prefetch: must be from 1 to 65535"}},
	{"shovel's prefetch overflows", shovelWith("prefetch = 99999999999999999999"), []string{"5:12: shovel.prefetch: must be from 1 to 65535"}},
	{"shovel's pauses", shovelWith("reconnect_min = '2m'"), []string{"5:17: shovel.reconnect_min: must be at most reconnect_max, which is 1m"}},
	{"shovel's pause", shovelWith("reconnect_max = '25h'"), []string{"5:17: shovel.reconnect_max: must be from 10ms to 24h"}},
	{"uri's scheme", targetWith("{uri = 'http://u:secret@h', key = 'k'}"), []string{"4:17: shovel.target.uri: the URI must begin with amqp://, amqps://, mqtt:// or mqtts://"}},
	{"uri's host", targetWith("{uri = 'amqp://', key = 'k'}"), []string{"4:17: shovel.target.uri: the URI names no host; write amqp://user:password@host:port/vhost"}},
	{"uri's port", targetWith("{uri = 'amqp://u:secret@h:0', key = 'k'}"), []string{"4:17: shovel.target.uri: the URI's port must be from 1 to 65535"}},
	{"uri's path", targetWith("{uri = 'amqp://h/a/b', key = 'k'}"), []string{"4:17: shovel.target.uri: the URI's path is one virtual host; write %2F for a / in its name"}},
	{"uri's fragment", targetWith("{uri = 'amqp://h#secret', key = 'k'}"), []string{"4:17: shovel.target.uri: the URI has a #; write %23 if it belongs to the password"}},
	{"uri's options", targetWith("{uri = 'amqp://u:secret@h?heartbeat=10', key = 'k'}"), []string{
		"4:17: shovel.target.uri: the URI has options after a ?, which are not read: take them out, and write %3F for a ? in the password",
	}},
	{"nameless exchange without a key", targetWith("{uri = 'amqp://h', exchange = ''}"), []string{
		`4:40: shovel.target.exchange: the nameless exchange "" needs a key: the name of a queue there`,
	}},
	{"neither exchange nor key", targetWith("{uri = 'amqp://h', key = ''}"), []string{
		"4:10: shovel.target.exchange: is missing; write where to publish: exchange, or key with the name of a queue there",
	}},
	{"not a uri", targetWith("{uri = 'amqp://u:sec%ret@h', key = 'k'}"), []string{
		"4:17: shovel.target.uri: not a URI; write amqp://user:password@host:port/vhost, with %40 for @, %3A for : and %2F for / in the user and the password",
	}},
	{"uri of no variable", targetWith("{uri_env = 'LEVERET_NOT_THERE', key = 'k'}"), []string{`4:21: shovel.target.uri_env: the environment has no variable "LEVERET_NOT_THERE"`}},
	{"shovel's refusals", shovelWith("on_refusal = 'nack'\nrefusal_tries = 0"), []string{
		`5:14: shovel.on_refusal: must be "dead-letter", "hold" or "drop"`,
		"6:17: shovel.refusal_tries: must be from 1 to 1000",
	}},
	{"mqtt uri with a path", targetWith("{uri = 'mqtt://u:secret@h/x', topic = 'a'}"), []string{
		"4:17: shovel.target.uri: the URI of an MQTT broker has no path; topics stand in keys of their own",
	}},
	{"mqtt target with keys of AMQP", targetWith("{uri = 'mqtt://h', exchange = 'x', mandatory = true, prefix = 'a/#', ca_file = 'x'}"), []string{
		"4:29: shovel.target.exchange: is only for exchanges; write topic or prefix for MQTT",
		"4:45: shovel.target.mandatory: is only for a target here, without a uri",
		"4:72: shovel.target.prefix: must be a topic, not empty and without wildcards",
		"4:79: shovel.target.ca_file: is only for amqps:// and mqtts://",
	}},
	{"topic and prefix", targetWith("{uri = 'mqtt://h', topic = 'x', prefix = 'a'}"), []string{
		"4:51: shovel.target.prefix: topic is there as well, which replaces the whole topic",
	}},
	{"target here with keys of elsewhere", targetWith("{exchange = 'x', client_id = 'c', ca_file = 'x'}"), []string{
		"4:27: shovel.target.client_id: is only for a target with an mqtt:// uri",
		"4:44: shovel.target.ca_file: is only for a target with a uri",
	}},
	{"certificates that are not there", targetWith("{uri = 'amqps://h', key = 'k', ca_file = '/not/there', cert_file = '/not/there'}"), []string{
		"4:10: shovel.target.key_file: is missing: cert_file needs it",
		`4:51: shovel.target.ca_file: "/not/there" cannot be read: no such file or directory`,
	}},
	{"mqtt source without topics", sourceWith("{uri = 'mqtt://h'}"), []string{`3:10: shovel.source.topics: is missing; write topics = ["zigbee2mqtt/#"]`}},
	{"mqtt source, all wrong", sourceWith("{uri = 'mqtt://h', topics = ['a/#/b'], qos = 3, queue = 'q', packet_max = '1GiB', keep_alive = '2h', session_expiry = '0s', will = {qos = 1}}"), []string{
		"3:39: shovel.source.topics: not a topic filter that MQTT allows",
		"3:55: shovel.source.qos: must be from 0 to 2",
		"3:58: shovel.source.queue: is only for a source here, or one with an amqp:// uri",
		"3:84: shovel.source.packet_max: must be from 1KiB to 16MiB",
		"3:105: shovel.source.keep_alive: must be from 1s to 1h",
		"3:128: shovel.source.session_expiry: must be from 1s to 8760h",
		"3:141: shovel.source.will.topic: is missing",
	}},
	{"amqp source without a queue", sourceWith("{uri = 'amqp://u:secret@h', topics = 'a'}"), []string{
		`3:10: shovel.source.queue: is missing; write queue = "commands", or the exchange to which one is to be bound`,
		"3:38: shovel.source.topics: is only for a source with an mqtt:// uri",
	}},
	{"amqp source, all wrong", sourceWith("{uri = 'amqp://h', queue = '', vhost = '/', exclusive = 1, dead_letters = 'x', key = 'k', arguments = {a = 1}, stream_offset = 'now', ca_file = 'x'}"), []string{
		"3:37: shovel.source.queue: must not be empty",
		"3:41: shovel.source.vhost: is only for a source here, without a uri",
		"3:66: shovel.source.exclusive: must be true or false, found a whole number",
		"3:84: shovel.source.dead_letters: must be true or false, found text",
		"3:89: shovel.source.key: is only with an exchange, to which it binds the queue",
		"3:100: shovel.source.arguments: is only for a queue that is declared: with declare = true or an exchange",
		`3:137: shovel.source.stream_offset: must be "first", "last", "next", a number, a time like "2026-01-31T12:00:00Z" or an interval like "7D"`,
		"3:144: shovel.source.ca_file: is only for amqps:// and mqtts://",
	}},
	{"stream offset of no sense", sourceWith("{uri = 'amqp://h', queue = 'q', stream_offset = true}"), []string{
		"3:58: shovel.source.stream_offset: must be text or a whole number, found a boolean",
	}},
	{"stream offset before all", sourceWith("{uri = 'amqp://h', queue = 'q', stream_offset = -1}"), []string{
		`3:58: shovel.source.stream_offset: must be "first", "last", "next", a number, a time like "2026-01-31T12:00:00Z" or an interval like "7D"`,
	}},
	{"amqp keys of an mqtt source", sourceWith("{uri = 'mqtt://h', topics = 'a', exchange = 'x', declare = true}"), []string{
		"3:43: shovel.source.exchange: is only for a source with an amqp:// uri",
		"3:59: shovel.source.declare: is only for a source with an amqp:// uri",
	}},
	{"source of another kind", sourceWith("{uri = 'http://u:secret@h', queue = 'q'}"), []string{"3:17: shovel.source.uri: the URI must begin with amqp://, amqps://, mqtt:// or mqtts://"}},
	{"topics of a queue", sourceWith("{queue = 'q', topics = 'a', stream_offset = 'first'}"), []string{
		"3:24: shovel.source.topics: is only for a source with an mqtt:// uri",
		"3:38: shovel.source.stream_offset: is only for a source with an amqp:// uri",
	}},
	{"two uris", targetWith("{uri = 'amqp://h', uri_env = 'PATH', key = 'k'}"), []string{"4:29: shovel.target.uri_env: uri is there as well; give one of uri, uri_file or uri_env"}},
}

func TestEveryProblemHasItsPlace(t *testing.T) {
	for _, c := range broken {
		t.Run(c.name, func(t *testing.T) {
			_, err := Parse("x.toml", []byte(c.file), nil)
			problems, _ := err.(Problems)
			var got []string
			for _, p := range problems {
				got = append(got, strings.TrimPrefix(p.String(), "x.toml:"))
			}
			if strings.Join(got, "\n") != strings.Join(c.want, "\n") {
				t.Errorf("Parse(%q) found\n%s\nwant\n%s", c.file, strings.Join(got, "\n"), strings.Join(c.want, "\n"))
			}
			if strings.Contains(fmt.Sprint(err), "secret") {
				t.Errorf("a secret shows: %v", err)
			}
		})
	}
}

func TestProblemsOfSets(t *testing.T) {
	for _, c := range []struct{ set, want string }{
		{"amqp.listen", "--set: write KEY=VALUE, for example log.level=debug"},
		{"=x", "--set: write KEY=VALUE, for example log.level=debug"},
		{"a..b=x", "--set: write KEY=VALUE, for example log.level=debug"},
		{"amqp.listen=x", `--set: amqp.listen: not an address; write host:port, for example "127.0.0.1:5672" or "[::1]:5672"`},
		{`amqp.listen=["secret`, "--set: amqp.listen: the value begins like TOML but is not"},
		{"amqp.lissen=x", "--set: amqp.lissen: no such key; did you mean listen?"},
		{"data_dir.x=1", "--set: data_dir.x: data_dir is not a table; set it as a whole"},
		{"user={a=1, a=2}", "--set: user: a: is there twice\n--set: user: must be a list of tables; write [[user]]"},
		{"log.level=secret", `--set: log.level: must be "debug", "info", "warn" or "error"`},
		{"user=[{name='a',password='secret',x=1}]", "--set: user.x: no such key; known here are name, password, password_hash, password_file, tags, configure, write, read, loopback_only, connections_max, channels_max, client_ids"},
	} {
		_, err := Parse("x.toml", []byte("data_dir = 'x'"), []string{c.set})
		if fmt.Sprint(err) != c.want {
			t.Errorf("--set %s:\n%v\nwant\n%s", c.set, err, c.want)
		}
	}
	_, err := Parse("x.toml", []byte("a = 1"), []string{"log.level=loud"})
	if problems := err.(Problems); len(problems) != 2 || problems[0].File != "x.toml" || problems[1].File != "--set" {
		t.Errorf("the file's problems must come first: %v", err)
	}
}

func TestProblemsAreBounded(t *testing.T) {
	_, err := Parse("x.toml", []byte(strings.Repeat("[[queue]]\n", 1000)), nil)
	problems := err.(Problems)
	if len(problems) != problemsMax+1 || problems[problemsMax].String() != "x.toml: 900 more mistakes" {
		t.Errorf("%d problems, the last is %v", len(problems), problems[len(problems)-1])
	}
}
