package edge

import (
	"context"
	"fmt"
	"io"
	"os"
	"sync"

	"leveret/bridge"
	"leveret/edge/config"
	"leveret/edge/users"
)

// mqttAccounts are who may come into the MQTT door: the accounts of the
// configuration, and what a site that moves from Mosquitto brings along.
type mqttAccounts struct {
	book  *users.Book
	acl   *users.ACL      // of all who are no [[user]]; nil if there is none
	added []users.Account // those from the password file that are no [[user]]
}

// readMQTTAccounts reads Mosquitto's files, if there are any. An error names the
// file and the line.
func readMQTTAccounts(cfg *config.Config, dots bridge.Dots) (*mqttAccounts, error) {
	m, all := &mqttAccounts{}, cfg.Accounts()
	own := make(map[string]bool, len(all))
	for _, a := range all {
		own[a.Name] = true
	}
	var err error
	if m.acl, err = readFile(cfg.MQTT.ACLFile, users.ReadMosquittoACL); err != nil {
		return nil, err
	}
	if m.acl != nil {
		m.acl.Dots = dots
	}
	more, err := readFile(cfg.MQTT.PasswordFile, users.ReadMosquittoPasswords)
	if err != nil {
		return nil, err
	}
	for _, a := range more {
		if !own[a.Name] {
			a.ACL = m.acl
			m.added = append(m.added, a)
		}
	}
	m.book, err = users.NewBook(append(all, m.added...))
	return m, err
}

func readFile[T any](path string, read func(io.Reader) (T, error)) (none T, _ error) {
	if path == "" {
		return none, nil
	}
	f, err := os.Open(path)
	if err != nil {
		return none, err
	}
	defer f.Close()
	got, err := read(f)
	if err != nil {
		return none, fmt.Errorf("%s: %w", path, err)
	}
	return got, nil
}

// rereadMQTTAccounts: one of Mosquitto's files may have changed. Connections of
// users who changed with it are ended. A file that cannot be read changes
// nothing.
func (a *App) rereadMQTTAccounts() {
	a.reloadMu.Lock()
	defer a.reloadMu.Unlock()
	old := a.mqttUsers.Load()
	fresh, err := readMQTTAccounts(a.cfg.Load(), a.dots)
	if err != nil {
		a.report.Raise("mosquitto files", "the changed file is not in force: "+err.Error())
		return
	}
	a.report.Clear("mosquitto files")
	a.mqttUsers.Store(fresh)
	if n := a.guests.end(changedGuests(old, fresh)); n > 0 {
		a.log.Info("connections of changed mqtt users are ended", "connections", n)
	}
}

// changedGuests are the users whose rights Mosquitto's files have changed.
func changedGuests(old, fresh *mqttAccounts) map[string]bool {
	names := changed(old.added, fresh.added)
	for name := range changed(fresh.added, old.added) { // who is new may have come in as another
		names[name] = true
	}
	if !sameACL(old.acl, fresh.acl) {
		names[anonymousName] = true
	}
	return names
}

// watchMosquitto reads the files anew whenever they change, also those that a
// later configuration names.
func (a *App) watchMosquitto(ctx context.Context) error {
	for ctx.Err() == nil {
		a.watchMosquittoFiles(ctx)
	}
	return nil
}

// watchMosquittoFiles watches the files that are named now, until others are.
func (a *App) watchMosquittoFiles(ctx context.Context) {
	ctx, stop := context.WithCancel(ctx)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer stop()
	cfg := a.cfg.Load().MQTT
	for _, path := range []string{cfg.PasswordFile, cfg.ACLFile} {
		if path == "" {
			continue
		}
		wg.Go(func() {
			if err := config.Watch(ctx, path, a.rereadMQTTAccounts); err != nil {
				a.report.Raise("mosquitto files", err.Error())
			}
		})
	}
	select {
	case <-a.otherFiles:
	case <-ctx.Done():
	}
}

// filesRenamed has the files watched that the configuration in force names, when
// they are not those of the old one.
func (a *App) filesRenamed(old, fresh config.MQTT) {
	if old.PasswordFile == fresh.PasswordFile && old.ACLFile == fresh.ACLFile {
		return
	}
	a.report.Clear("mosquitto files") // it was about others
	select {
	case a.otherFiles <- struct{}{}:
	default:
	}
}
