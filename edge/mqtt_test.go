package edge

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"leveret/bridge/mqtt"
	"leveret/edge/config"
)

// Made by mosquitto_passwd of the password s3cret.
const fileUser = ":$7$101$23cR5lvVOaVZfJFp$JZjBwQk5rQcZ+qa1nhX1nK84CBxJtbo8XE8JRoJTHo021TU+NTErA3N/Ky2ERgE5FkwihiuXUR/Fz2Fke3lDMA==\n"

// mqttApp is an App that can answer logins of MQTT clients.
func mqttApp(t *testing.T, text string) *App {
	t.Helper()
	c, err := config.Parse("x.toml", []byte(text), nil)
	if err != nil {
		t.Fatal(err)
	}
	accounts, err := readMQTTAccounts(c, topicDots(c))
	if err != nil {
		t.Fatal(err)
	}
	a := new(App)
	a.cfg.Store(c)
	a.mqttUsers.Store(accounts)
	return a
}

func written(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestMQTTLogins(t *testing.T) {
	here, there := &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 1}, &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 1}
	cert := &x509.Certificate{Subject: pkix.Name{CommonName: "anna"}, DNSNames: []string{"dev1"}}
	moved := "mqtt.password_file = '" + written(t, "passwd", "file"+fileUser+"anna"+fileUser) + "'\n"
	acl := "mqtt.acl_file = '" + written(t, "acl", "topic read public\n") + "'\n"
	certified := func(rules string) *App {
		a := mqttApp(t, userAnna)
		c := *a.cfg.Load()
		if rules == "client" {
			c.MQTT.CertificateClientID = config.SubjectAlternativeName
		} else {
			c.MQTT.CertificateLogin = config.CommonName
		}
		a.cfg.Store(&c)
		return a
	}
	for _, c := range []struct {
		name    string
		a       *App
		l       mqtt.Login
		user    string // "" is refused
		wrongID bool
	}{
		{"password", mqttApp(t, userAnna), mqtt.Login{User: "anna", Password: "one", Remote: there}, "anna", false},
		{"wrong password", mqttApp(t, userAnna), mqtt.Login{User: "anna", Password: "two", Remote: there}, "", false},
		{"nobody from here", mqttApp(t, userAnna), mqtt.Login{Anonymous: true, Remote: here}, "anonymous", false},
		{"nobody from there", mqttApp(t, userAnna), mqtt.Login{Anonymous: true, Remote: there}, "", false},
		{"nobody with a list", mqttApp(t, acl), mqtt.Login{Anonymous: true, Remote: here}, "anonymous", false},
		{"client id as the user", mqttApp(t, "mqtt.client_ids='^{username}$'\n"+userAnna), mqtt.Login{User: "anna", Password: "one", Client: "anna", Remote: there}, "anna", false},
		{"client id of another", mqttApp(t, "mqtt.client_ids='^{username}$'\n"+userAnna), mqtt.Login{User: "anna", Password: "one", Client: "ben", Remote: there}, "", true},
		{"client id, wrong password", mqttApp(t, "mqtt.client_ids='^{username}$'\n"+userAnna), mqtt.Login{User: "anna", Password: "two", Client: "ben", Remote: there}, "", false},
		{"the user's own rule", mqttApp(t, "mqtt.client_ids='^{username}$'\n"+userAnna+"client_ids='^dev'\n"), mqtt.Login{User: "anna", Password: "one", Client: "dev1", Remote: there}, "anna", false},
		{"nobody by the rule", mqttApp(t, "mqtt.client_ids='^{username}$'\n"), mqtt.Login{Anonymous: true, Client: "x", Remote: here}, "", true},
		{"certificate", certified("login"), mqtt.Login{Anonymous: true, Certificate: cert, Remote: there}, "anna", false},
		{"certificate beats the name", certified("login"), mqtt.Login{User: "root", Password: "x", Certificate: cert, Remote: there}, "anna", false},
		{"no certificate", certified("login"), mqtt.Login{Anonymous: true, Remote: there}, "", false},
		{"client id of the certificate", certified("client"), mqtt.Login{User: "anna", Password: "one", Client: "dev1", Certificate: cert, Remote: there}, "anna", false},
		{"client id of another certificate", certified("client"), mqtt.Login{User: "anna", Password: "one", Client: "dev2", Certificate: cert, Remote: there}, "", true},
		{"no certificate for the id", certified("client"), mqtt.Login{User: "anna", Password: "one", Client: "dev1", Remote: there}, "", true},
		{"from Mosquitto's file", mqttApp(t, moved+userAnna), mqtt.Login{User: "file", Password: "s3cret", Remote: there}, "file", false},
		{"the configuration comes first", mqttApp(t, moved+userAnna), mqtt.Login{User: "anna", Password: "s3cret", Remote: there}, "", false},
		{"the configuration's password", mqttApp(t, moved+userAnna), mqtt.Login{User: "anna", Password: "one", Remote: there}, "anna", false},
	} {
		user, access, err := c.a.loginMQTT(c.l)
		if err == nil && user != c.user || (err == nil) != (c.user != "") || errors.Is(err, mqtt.ErrClientID) != c.wrongID {
			t.Errorf("%s: %q, %v, want %q", c.name, user, err, c.user)
		}
		if limited := access != nil; err == nil && limited == (c.name == "nobody from here") {
			t.Errorf("%s: access %v", c.name, access)
		}
	}
}

// Mosquitto's files are read anew when they change: new users come in, those who
// changed go, and a mistake changes nothing.
func TestMosquittoFilesAreReadAnew(t *testing.T) {
	passwords := written(t, "passwd", "bert"+fileUser)
	b := newBox(t, "mqtt.password_file = '"+passwords+"'\n"+userAnna)
	b.start()
	defer b.stop()
	other := b.dialMQTT("anna", "one")
	if b.dialFileUser("bert") == nil {
		t.Fatal("bert is not let in")
	}
	replace := func(text string) {
		t.Helper()
		if err := os.WriteFile(passwords, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	replace("bert:nonsense\n")
	b.until("the mistake is told", func() bool { return len(b.status().Troubles) > 0 })
	one := b.dialFileUser("bert")
	if one == nil {
		t.Fatal("a mistake in the file locked bert out")
	}
	replace("carl" + fileUser)
	if err := one.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	if _, err := one.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Errorf("bert, who was taken out, is still connected: %v", err)
	}
	b.until("the file is in force", func() bool { return b.dialFileUser("carl") != nil && b.dialFileUser("bert") == nil })
	_ = other.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
	if _, err := other.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("anna was disturbed: %v", err)
	}
}

// A file of another name is in force, and watched, when the configuration says so.
func TestMosquittoFilesOfOtherNames(t *testing.T) {
	first, second := written(t, "first", "bert"+fileUser), written(t, "second", "carl"+fileUser)
	b := newBox(t, "mqtt.password_file = '"+first+"'\n")
	b.start()
	defer b.stop()
	b.write("mqtt.password_file = '" + second + "'\n")
	b.until("the other file is in force", func() bool { return b.dialFileUser("carl") != nil && b.dialFileUser("bert") == nil })
	if err := os.WriteFile(second, []byte("dora"+fileUser), 0o600); err != nil {
		t.Fatal(err)
	}
	b.until("the other file is read anew", func() bool { return b.dialFileUser("dora") != nil && b.dialFileUser("carl") == nil })
}

// dialFileUser is a connection of a user with the file's password, nil if it is
// refused.
func (b *box) dialFileUser(name string) net.Conn {
	b.t.Helper()
	for _, l := range b.status().Listeners {
		if l.Door != "mqtt" {
			continue
		}
		nc, err := net.Dial("tcp", l.Address)
		if err != nil {
			b.t.Fatal(err)
		}
		b.t.Cleanup(func() { nc.Close() })
		connect := "\x10\x1b\x00\x04MQTT\x04\xc2\x00\x00\x00\x01" + name[3:] + "\x00\x04" + name + "\x00\x06s3cret"
		if _, err := io.WriteString(nc, connect); err != nil {
			b.t.Fatal(err)
		}
		connack := make([]byte, 4)
		if _, err := io.ReadFull(nc, connack); err != nil || connack[3] != 0 {
			return nil
		}
		return nc
	}
	return nil
}
