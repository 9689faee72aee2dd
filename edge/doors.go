package edge

import (
	"cmp"
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"

	"leveret/amqp/broker"
	"leveret/amqp/front"
	"leveret/amqp/server091"
	"leveret/bridge/mqtt"
	"leveret/edge/admin"
	"leveret/edge/config"
	"leveret/edge/users"
)

// doors are what peers come in by.
type doors struct {
	amqpListeners, mqttListeners, adminListeners []net.Listener
	// commands is the admin door's, too, for the commands of this program; nil
	// when the door is closed, or no socket can be made.
	commands net.Listener

	amqp  *server091.Server
	front *front.Front
	mqtt  *mqtt.Door
	admin *admin.Server
}

// openDoors binds all addresses and builds what will serve them.
func (a *App) openDoors(size sizes) (err error) {
	cfg, d := a.cfg.Load(), &a.doors
	defer func() {
		if err != nil {
			d.close()
		}
	}()
	if d.amqpListeners, err = a.listenAMQP(cfg.AMQP); err != nil {
		return err
	}
	if d.mqttListeners, err = a.listenMQTT(cfg.MQTT); err != nil {
		return err
	}
	if d.adminListeners, err = listen("admin", cfg.Admin.Listen, cfg.Admin.SocketMode); err != nil {
		return err
	}
	a.openCommands(cfg)
	d.amqp = server091.New(server091.Options{
		Broker: a.broker, Authenticate: a.login, External: a.loginExternal, Anonymous: a.loginAnonymous,
		Now: a.clock.Now, Log: a.log.With("door", "amqp"),
		Product: cfg.AMQP.Product, Version: cmp.Or(cfg.AMQP.ProductVersion, numbers(a.version)),
		ChannelMax: cfg.AMQP.ChannelsMax, ContentBytesMax: contentBytesMax(size.core.MessageBytesMax, config.AvailableMemory()),
	})
	d.front = front.New(front.Options{
		Listeners: d.amqpListeners, Serve091: a.guests.serving(d.amqp.Serve), Evict: d.amqp.Evict, ConnectionsMax: size.connections,
		Log: a.log.With("door", "amqp"),
	})
	d.mqtt = mqtt.New(a.mqttOptions(cfg.MQTT))
	d.admin = admin.New(admin.Options{
		Listeners: d.forAdmin(), TrustLoopback: cfg.Admin.TrustLoopback, Status: a.status, Metrics: a.metrics,
		Troubles: a.troubles, Alarms: a.alarms, Login: a.loginAdmin,
		Broker: a.broker, Dots: a.dots, Devices: a.devices.Registry, Node: nodeName(),
		Log: a.log.With("door", "admin"),
	})
	wanted, err := a.checked(cfg.Shovels)
	if err != nil {
		return err
	}
	a.shovels = newShovels(a)
	a.shovels.want(wanted)
	return nil
}

// door is a name and its listeners.
type door struct {
	name      string
	listeners []net.Listener
}

func (d *doors) list() []door {
	return []door{{"amqp", d.amqpListeners}, {"mqtt", d.mqttListeners}, {"admin", d.adminListeners}}
}

func (d *doors) close() {
	for _, x := range d.list() {
		closeAll(x.listeners)
	}
	if d.commands != nil {
		_ = d.commands.Close()
	}
}

// commandSocket in the data folder is where the commands of this program ask.
const commandSocket = "admin.sock"

// openCommands opens the admin door for the commands. They have other ways, so
// that it is no failure when a file system has no sockets.
func (a *App) openCommands(cfg *config.Config) {
	if len(cfg.Admin.Listen) == 0 {
		return
	}
	path, err := filepath.Abs(filepath.Join(cfg.DataDir, commandSocket))
	if err == nil {
		a.doors.commands, err = listenOn(config.UnixPrefix+path, cfg.Admin.SocketMode)
	}
	if err != nil {
		a.doors.commands = nil
		a.log.Warn("the commands will need a login: there is no socket for them", "err", err)
	}
}

// forAdmin is all that the admin door listens on.
func (d *doors) forAdmin() []net.Listener {
	if d.commands == nil {
		return d.adminListeners
	}
	return append(slices.Clone(d.adminListeners), d.commands)
}

// addressFile in the data folder tells the status command where to ask.
const addressFile = "admin.addr"

func (d *doors) leaveAddress(dataDir string) error {
	path := filepath.Join(dataDir, addressFile)
	if len(d.adminListeners) == 0 {
		err := os.Remove(path)
		if errors.Is(err, os.ErrNotExist) {
			return nil
		}
		return err
	}
	addr := d.adminListeners[0].Addr()
	text := addr.String()
	if addr.Network() == "unix" {
		text = config.UnixPrefix + text
	}
	return os.WriteFile(path, []byte(text+"\n"), 0o644)
}

// login checks a user of the AMQP door.
func (a *App) login(name, password string, remote net.Addr) (string, broker.Access, error) {
	return a.admit(remote, func(book *users.Book) (*users.User, error) {
		return book.Authenticate(name, password, addrOf(remote))
	})
}

// admit asks the accounts who it is, and notes whose connection that is. When
// the accounts change meanwhile it asks again: whoever was noted too late to be
// ended by the change is judged by what is in force after it.
func (a *App) admit(remote net.Addr, ask func(*users.Book) (*users.User, error)) (string, broker.Access, error) {
	for {
		book := a.users.Load()
		u, err := ask(book)
		if err != nil {
			return "", nil, err
		}
		a.guests.is(remote, u.Name)
		if a.users.Load() == book {
			return u.Name, u, nil
		}
	}
}

// loginAdmin checks a user of the admin door. What its tags allow is decided
// there.
func (a *App) loginAdmin(name, password string, remote netip.Addr) (*users.User, error) {
	return a.users.Load().Authenticate(name, password, remote)
}

// nodeName is what the API calls this gateway.
func nodeName() string {
	host, err := os.Hostname()
	if err != nil {
		host = "localhost"
	}
	return "leveret@" + host
}

// addrOf is the address of a peer; the zero one, which is nobody's, when it
// has none. Who comes over a Unix socket is on this machine.
func addrOf(a net.Addr) netip.Addr {
	if _, unix := a.(*net.UnixAddr); unix {
		return netip.IPv6Loopback()
	}
	ap, err := netip.ParseAddrPort(a.String())
	if err != nil {
		return netip.Addr{}
	}
	return ap.Addr().Unmap()
}

// parts are what runs, but for the spool.
func (a *App) parts(o Options) []part {
	return []part{
		{"amqp door", a.doors.front.Run},
		{"mqtt door", a.doors.mqtt.Run},
		{"admin door", a.doors.admin.Run},
		{"shovels", a.shovels.run},
		{"ticker", func(ctx context.Context) error { return a.ticker.run(ctx, a.clock.Now, a.broker.Tick) }},
		{"devices", a.devices.run},
		{"mosquitto files", a.watchMosquitto},
		{"clock", func(ctx context.Context) error { return a.clock.Run(ctx, a.broker.CorrectClock) }},
		{"watchdog", a.watchdog},
		{"memory", a.memory.run},
		{"configuration watch", a.watchConfig(o)},
	}
}
