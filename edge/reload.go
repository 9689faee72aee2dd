package edge

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"sync"

	"leveret/edge/config"
	"leveret/edge/users"
)

// watchConfig reads the configuration again when its file changes or somebody
// asks for it.
func (a *App) watchConfig(o Options) func(context.Context) error {
	return func(ctx context.Context) error {
		var wg sync.WaitGroup
		defer wg.Wait()
		if o.ConfigFile != "" {
			wg.Go(func() {
				err := config.Watch(ctx, o.ConfigFile, func() { a.reload(o.Reload) })
				if err != nil { // no watch to be had: the service itself is well
					a.report.Raise("configuration", err.Error())
				}
			})
		}
		for {
			select {
			case <-ctx.Done():
				return nil
			case <-o.Hangup:
				a.log.Info("asked to read the configuration again")
				a.reload(o.Reload)
			}
		}
	}
}

// reload applies a new configuration as a whole, or keeps the old one and says
// why.
func (a *App) reload(read func() (*config.Config, error)) {
	a.reloadMu.Lock()
	defer a.reloadMu.Unlock()
	old := a.cfg.Load()
	fresh, err := read()
	if err == nil {
		err = a.apply(old, fresh)
	}
	if err != nil {
		a.report.Raise("configuration", "the changed configuration is not in force: "+err.Error())
		return
	}
	a.report.Clear("configuration")
}

func (a *App) apply(old, fresh *config.Config) error {
	changes := config.Diff(old, fresh)
	if len(changes) == 0 {
		return nil
	}
	book, err := users.NewBook(fresh.Accounts()) // verified before anything changes
	if err != nil {
		return err
	}
	mqttUsers, err := readMQTTAccounts(fresh, a.dots)
	if err != nil {
		return err
	}
	wanted, err := a.checked(fresh.Shovels)
	if err != nil {
		return err
	}
	if err := conflicts(a.broker, old, fresh); err != nil {
		return err
	}
	if err := a.declare(fresh); err != nil {
		return err
	}
	a.users.Store(book)
	oldMQTT := a.mqttUsers.Swap(mqttUsers)
	if a.level != nil {
		a.level.Set(fresh.Log.Level)
	}
	a.cfg.Store(fresh)
	a.filesRenamed(old.MQTT, fresh.MQTT)
	a.shovels.want(wanted)
	a.devices.Configure(deviceRules(fresh.Devices))
	ended := changed(old.Accounts(), fresh.Accounts())
	maps.Copy(ended, changedGuests(oldMQTT, mqttUsers))
	if n := a.guests.end(ended); n > 0 {
		a.log.Info("connections of changed users are ended", "connections", n)
	}
	var later []error
	for _, c := range changes {
		a.log.Info("configuration changed", "key", c.Key, "old", c.Old, "new", c.New, "needs_restart", c.Restart)
		if c.Restart {
			later = append(later, fmt.Errorf("%s needs a restart", c.Key))
		}
	}
	if len(later) > 0 {
		a.log.Warn("part of the configuration waits for a restart", "keys", errors.Join(later...).Error())
	}
	return nil
}
