package config

import "time"

// Devices is the memory of clients.
type Devices struct {
	// Max is how many clients are remembered, at most 1000000; the one that
	// has been away for longest gives way. 0 goes by the profile: tiny 1000,
	// small 5000, server 50000; a Config read by this package has it filled in.
	// [0; live]
	Max int // max
	// SilentAfter is how long a client that has published before may publish
	// nothing until it counts as silent, from 1s to 8760h. That shows in the
	// status, and is told by a message to the exchange leveret.event, as is its
	// return. 0s is for ever. [0s; live]
	SilentAfter time.Duration // silent_after
	// Rules are for some clients; the first that matches counts. [none; live]
	Rules []DeviceRule // [[devices.rule]]
}

// DeviceRule says when some clients count as silent.
type DeviceRule struct {
	// Client is a pattern for the MQTT client id or the name of the AMQP
	// connection: * stands for any text, ? for one character. At most 255
	// bytes.
	Client string // client
	// SilentAfter is as that of all devices, and must be given. It counts from
	// when the client is first seen, whether it ever published or not.
	SilentAfter time.Duration // silent_after
}

const (
	devicesMost    = 1_000_000
	deviceRulesMax = 1000
	silentLeast    = time.Second
	silentMost     = 8760 * time.Hour
)

// devices is the profile's default of devices.max.
func (p Profile) devices() int {
	switch p {
	case Tiny:
		return 1_000
	case Small:
		return 5_000
	}
	return 50_000
}

func (d *decoder) devices(s *section, to *Devices) {
	s.integer("max", &to.Max, 0, devicesMost)
	d.silence(s, &to.SilentAfter)
	d.single(s, "rule", func(s *section) [3]string {
		r := DeviceRule{}
		d.must(s, "client", &r.Client, "meter-*")
		if d.silence(s, &r.SilentAfter); !s.has("silent_after") {
			s.lacks("silent_after", `is missing; write silent_after = "1h"`)
		}
		if to.Rules = append(to.Rules, r); len(to.Rules) == deviceRulesMax+1 {
			d.found.add(s.table.at, s.path, "there may be at most %d rules", deviceRulesMax)
		}
		return [3]string{r.Client}
	})
}

// silence reads how long a device may be silent.
func (d *decoder) silence(s *section, to *time.Duration) {
	var v time.Duration
	if !s.duration("silent_after", &v, 0, silentMost) {
		return
	}
	if v > 0 && v < silentLeast {
		s.bad("silent_after", s.table.get("silent_after").value, "must be 0s or from %s to %s", shortly(silentLeast), shortly(silentMost))
		return
	}
	*to = v
}
