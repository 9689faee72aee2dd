// Package edge is the appliance: it builds every part from the configuration,
// runs them, applies what changes, and stops them in the right order.
//
// All goroutines that live as long as the process are started here and awaited
// here, each as the run of a part:
//
//	spool       the committer, the one writer of the log
//	amqp        accepts AMQP connections; two goroutines for each
//	mqtt        accepts MQTT connections; two goroutines for each
//	shovels     keeps the configured shovels running; two goroutines for each
//	ticker      tells the core when the time has come for something
//	devices     tells the registry of devices the same
//	admin       HTTP: health, metrics, status
//	clock       watches whether the wall clock turns out to have been wrong
//	watchdog    answers systemd while the log still commits
//	memory      ends the alarm that holds publishers back when there is too much in memory
//	config      watches the configuration file, and hears SIGHUP
//
// The spool outlives all others: doors close and shovels finish first, then
// what they left is committed, then the log is closed.
package edge

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"leveret/amqp/broker"
	"leveret/bridge"
	"leveret/edge/config"
	"leveret/edge/health"
	"leveret/edge/users"
	"leveret/spool"
	"leveret/spool/disk"
)

// Options is what the appliance is made of.
type Options struct {
	Config *config.Config
	Log    *slog.Logger
	// Level is changed when the configuration's log.level changes; may be nil.
	Level *slog.LevelVar
	// Version is shown to clients and operators.
	Version string
	// Built is when the program was built: no clock before it can be right.
	Built time.Time
	// ConfigFile is watched for changes and read again by Reload; "" is none.
	ConfigFile string
	Reload     func() (*config.Config, error)
	// Hangup has it read again at once; nil never does.
	Hangup <-chan os.Signal
}

// App is the appliance.
type App struct {
	log     *slog.Logger
	version string
	started time.Time
	cfg     atomic.Pointer[config.Config]
	dots    bridge.Dots // as the configuration had it at the start
	level   *slog.LevelVar
	users   atomic.Pointer[users.Book]
	// mqttUsers are those of the MQTT door, with what Mosquitto's files add.
	mqttUsers atomic.Pointer[mqttAccounts]
	// otherFiles holds a note when the names of these files have changed.
	otherFiles chan struct{}
	clock      *health.Clock
	report     *health.Report
	store      *disk.Store
	memory     *memoryAlarm // the store, as the doors see it
	ticker     ticker
	broker     *broker.Broker
	doors      doors
	guests     guests
	shovels    *shovels
	offsets    *offsets
	devices    devicesPart

	reloadMu   sync.Mutex   // one reload at a time
	undeclared []undeclared // of the configuration in force; protected by reloadMu once it runs
}

// Run is the whole life of the appliance: it ends when ctx does (nil) or when
// a part fails. [spool.ErrLocked] and [spool.ErrNewer] are among the errors.
func Run(ctx context.Context, o Options) error {
	a, err := build(o)
	if err != nil {
		return err
	}
	return a.run(ctx, o)
}

// build opens everything; nothing runs yet.
func build(o Options) (*App, error) {
	a := &App{
		log: o.Log, version: o.Version, level: o.Level, started: time.Now(),
		clock: health.NewClock(o.Built), report: health.NewReport(o.Log), ticker: newTicker(),
		otherFiles: make(chan struct{}, 1),
	}
	a.cfg.Store(o.Config)
	a.dots = topicDots(o.Config)
	book, err := users.NewBook(o.Config.Accounts())
	if err != nil {
		return nil, err
	}
	a.users.Store(book)
	mqttUsers, err := readMQTTAccounts(o.Config, a.dots)
	if err != nil {
		return nil, err
	}
	a.mqttUsers.Store(mqttUsers)
	size := sizesOf(o.Config.Profile)
	limitHeap(size, config.AvailableMemory())
	if err := a.openSpool(); err != nil {
		return nil, err
	}
	if err := a.openBroker(size); err != nil {
		return nil, errors.Join(err, a.store.Close())
	}
	if err := a.openDoors(size); err != nil {
		return nil, errors.Join(err, a.store.Close())
	}
	return a, nil
}

// SpoolOptions are what a configuration says about the spool.
func SpoolOptions(cfg *config.Config) disk.Options {
	o := sizesOf(cfg.Profile).spool
	o.Dir = filepath.Join(cfg.DataDir, "spool")
	o.CommitWindow, o.CommitsPerSecond = cfg.Spool.CommitWindow, cfg.Spool.CommitsPerSecond
	o.BudgetBytes = int64(cfg.Spool.MaxBytes)
	o.NoSync = !cfg.Spool.Sync
	return o
}

func (a *App) openSpool() error {
	cfg := a.cfg.Load()
	o := SpoolOptions(cfg)
	o.Trouble = a.pressure
	o.Log = a.log.With("part", "spool")
	if err := os.MkdirAll(cfg.DataDir, 0o750); err != nil {
		return fmt.Errorf("data folder: %w", err)
	}
	last, err := health.Crash(filepath.Join(cfg.DataDir, "crash"))
	if err != nil {
		a.log.Warn("a crash will leave no word", "err", err)
	}
	if last != "" {
		a.log.Error("the process before this one crashed", "kept", filepath.Join(cfg.DataDir, "crash.last"))
		o.Crashed = strings.Contains(last, "dgraph-io/badger")
	}
	if o.BudgetBytes == 0 {
		o.BudgetBytes = quarterOfVolume(cfg.DataDir)
	}
	if o.NoSync {
		a.log.Warn("spool.sync is off: a power cut takes what was acknowledged in the last half minute")
	}
	a.store, err = disk.Open(o)
	return err
}

func (a *App) openBroker(size sizes) error {
	var err error
	a.memory = newMemoryAlarm(a.store, config.AvailableMemory(), newMemoryGauge().used,
		func(text string) { a.pressure(troubleMemory, text) })
	a.devices = newDevices(a)
	a.broker, err = broker.Open(broker.Options{
		Log: a.memory, Limits: size.core, QueueTypes: queueTypes(a.cfg.Load().AMQP.MapQueueTypes),
		Boot: broker.BootRecord{Base: a.clock.Base, Synchronised: a.clock.Synchronised},
		Now:  a.clock.Now, Alarm: a.ticker.ask, Trouble: a.trouble,
		Watcher: a.devices.Registry,
	})
	if err != nil {
		return err
	}
	if err := a.devices.Attach(a.broker); err != nil {
		return err
	}
	a.offsets = readOffsets(a.broker, a.cfg.Load().Shovels)
	return a.declare(a.cfg.Load())
}

// queueTypes says it in the core's words.
func queueTypes(m config.MapQueueTypes) broker.QueueTypes {
	return broker.QueueTypes{Quorum: string(m.Quorum), Stream: string(m.Stream)}
}

// trouble is what the core cannot tell a caller: messages that were stored and
// do not read back.
func (a *App) trouble(msg string, facts ...any) {
	a.log.Error(msg, facts...)
	a.report.Raise("spool", msg)
}

// pressure is what the log and the memory have to tell the operator; an empty
// text says that it is over.
func (a *App) pressure(name, text string) {
	if (name == disk.TroubleBudget || name == troubleMemory) && a.devices.Registry != nil {
		a.devices.Pardon() // publishers may have had to wait until now
	}
	if text == "" {
		a.report.Clear(name)
	} else {
		a.report.Raise(name, text)
	}
}

// part is something that runs until its context ends.
type part struct {
	name string
	run  func(context.Context) error
}

const (
	drainTimeout  = 8 * time.Second // of doors and shovels; systemd is told to wait longer
	commitTimeout = 5 * time.Second // of the spool after them
)

// run starts the parts, waits for the end, and stops them: everything that
// talks to peers first, the spool last.
func (a *App) run(ctx context.Context, o Options) error {
	spoolCtx, endSpool := context.WithCancel(context.WithoutCancel(ctx))
	defer endSpool()
	ctx, end := context.WithCancelCause(ctx)
	defer end(nil)

	spoolDone := make(chan error, 1)
	go func() {
		err := a.store.Run(spoolCtx)
		end(err)
		spoolDone <- err
	}()
	outer := make(chan struct{})
	go func() {
		defer close(outer)
		var wg sync.WaitGroup
		for _, p := range a.parts(o) {
			wg.Go(func() {
				if err := p.run(ctx); err != nil && ctx.Err() == nil {
					end(fmt.Errorf("%s: %w", p.name, err))
				} else if ctx.Err() == nil {
					end(fmt.Errorf("%s ended by itself", p.name))
				}
			})
		}
		wg.Wait()
	}()
	a.announce()

	<-ctx.Done()
	health.Stopping()
	a.log.Info("stopping")
	if !within(outer, drainTimeout) {
		a.log.Warn("some connections did not end in time", "waited", drainTimeout.String())
	}
	_ = a.devices.Stop() // a log that has failed tells by itself
	endSpool()
	err := a.closeSpool(spoolDone)
	if cause := context.Cause(ctx); cause != nil && !errors.Is(cause, context.Canceled) {
		return cause
	}
	return err
}

// within waits for done, but not longer than d.
func within(done <-chan struct{}, d time.Duration) bool {
	select {
	case <-done:
		return true
	case <-time.After(d):
		return false
	}
}

// closeSpool awaits the last commit and closes the log.
func (a *App) closeSpool(done <-chan error) error {
	select {
	case err := <-done:
		err = errors.Join(err, a.store.Close())
		if err == nil {
			a.log.Info("stopped", "everything", "committed")
		}
		return err
	case <-time.After(commitTimeout):
		return fmt.Errorf("%w: the last commit did not end within %s", spool.ErrFailed, commitTimeout)
	}
}

// announce tells where the doors are and that the service serves.
func (a *App) announce() {
	cfg := a.cfg.Load()
	for _, d := range a.doors.list() {
		for _, l := range d.listeners {
			a.log.Info("listening", "door", d.name, "addr", l.Addr().String())
		}
	}
	if err := a.doors.leaveAddress(cfg.DataDir); err != nil {
		a.log.Warn("the status command will not find the admin address by itself", "err", err)
	}
	st := a.broker.Status()
	messages := 0
	for _, q := range st.Queues {
		messages += q.Ready
	}
	a.log.Info("serving", "version", a.version, "profile", string(cfg.Profile), "data", cfg.DataDir,
		"queues", len(st.Queues), "messages", messages, "after", time.Since(a.started).Round(time.Millisecond).String())
	health.Ready(fmt.Sprintf("%d queues, %d messages", len(st.Queues), messages))
}
