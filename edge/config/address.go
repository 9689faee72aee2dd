package config

import (
	"errors"
	"net"
	"net/netip"
	"strconv"
	"strings"
)

var (
	errNoPort  = errors.New(`not an address; write host:port, for example "127.0.0.1:5672" or "[::1]:5672"`)
	errBadPort = errors.New("the port must be a number from 0 to 65535")
	errBadHost = errors.New(`the host must be an IP address or a name; for every address of the machine write ":5672"`)
	errEmpty   = errors.New("the address is empty; write [] to close the door")
)

func checkAddress(address string) error {
	if address == "" {
		return errEmpty
	}
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return errNoPort
	}
	if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		return errBadPort
	}
	if _, err := netip.ParseAddr(host); err != nil && !hostName(host) {
		return errBadHost
	}
	return nil
}

// hostName reports whether host may be a name; whether it is one is seen when
// it is listened on. All digits and dots is a mistyped address, not a name.
func hostName(host string) bool {
	if host == "" {
		return true
	}
	for _, c := range []byte(host) {
		if !bare(string(c)) && c != '.' {
			return false
		}
	}
	return len(host) <= shortMax && strings.Trim(host, "0123456789.") != ""
}

// unshared notes each address that two doors, or one twice, would listen on.
// The default of a door that the file leaves alone counts too.
func (d *decoder) unshared(s *section, c *Config) {
	taken := map[string]string{} // address: the key that has it
	for _, door := range []struct {
		name, setting string
		listen        []string
	}{
		{"amqp", "listen", c.AMQP.Listen},
		{"amqp", "tls_listen", c.AMQP.TLSListen},
		{"mqtt", "listen", c.MQTT.Listen},
		{"mqtt", "tls_listen", c.MQTT.TLSListen},
		{"mqtt", "websocket_listen", c.MQTT.WebSocketListen},
		{"mqtt", "websocket_tls_listen", c.MQTT.WebSocketTLSListen},
		{"admin", "listen", c.Admin.Listen},
	} {
		key := door.name + "." + door.setting
		for _, address := range door.listen {
			if strings.HasSuffix(address, ":0") {
				continue
			}
			if other := taken[address]; other != "" {
				d.found.add(d.placeOf(s.table, door.name, door.setting), key, "%s is taken by %s already", address, other)
			}
			taken[address] = key
		}
	}
}

// placeOf is where a door's setting stands in the file, if it does.
func (d *decoder) placeOf(root *node, door, setting string) place {
	if f := root.get(door); f != nil && f.value.kind == table {
		if l := f.value.get(setting); l != nil {
			return l.value.at
		}
		return f.at
	}
	return root.at
}
