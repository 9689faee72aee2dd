package edge

import (
	"context"

	"leveret/edge/admin"
	"leveret/edge/config"
	"leveret/edge/devices"
	"leveret/edge/metrics"
)

// devicesPart is the registry of devices and what calls it in time.
type devicesPart struct {
	*devices.Registry
	app    *App
	ticker ticker
}

func newDevices(a *App) devicesPart {
	d := devicesPart{app: a, ticker: newTicker()}
	d.Registry = devices.New(devices.Options{
		Rules: deviceRules(a.cfg.Load().Devices), Now: a.clock.Now, Alarm: d.ticker.ask, Deaf: a.deaf, Log: a.log.With("part", "devices"),
	})
	return d
}

// deviceRules are a configuration's in the words of package devices.
func deviceRules(c config.Devices) devices.Rules {
	r := devices.Rules{Max: c.Max, SilentAfter: c.SilentAfter}
	for _, rule := range c.Rules {
		r.Special = append(r.Special, devices.Rule{Client: rule.Client, SilentAfter: rule.SilentAfter})
	}
	return r
}

func (d devicesPart) run(ctx context.Context) error {
	return d.ticker.run(ctx, d.app.clock.Now, d.Tick)
}

func (d devicesPart) status() admin.Devices {
	c := d.Counts()
	return admin.Devices{Known: c.Known, Connected: c.Connected, Silent: c.Silent, Max: c.Max, Forgotten: c.Forgotten}
}

func (d devicesPart) metrics(w *metrics.Writer) {
	c := d.Counts()
	w.Gauge("leveret_devices", "Clients that are remembered.", float64(c.Known))
	w.Gauge("leveret_devices_connected", "Of those, with a connection.", float64(c.Connected))
	w.Gauge("leveret_devices_silent", "Of those, published nothing for longer than they may.", float64(c.Silent))
	w.Counter("leveret_devices_forgotten_total", "Clients that gave way to others.", c.Forgotten)
	w.Counter("leveret_devices_overlooked_total", "Connections of clients that there was no room to remember.", c.Overlooked)
	w.Counter("leveret_devices_events_lost_total", "Events given up because the spool stayed full.", c.EventsLost)
}

// deaf reports whether publishers wait, so that silence says nothing of them.
func (a *App) deaf() bool { return a.store.Full() || a.memory.NoRoom() != "" }
