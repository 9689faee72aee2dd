package users

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/crypto/bcrypt"

	"leveret/amqp/broker"
)

var (
	loopback = netip.MustParseAddr("127.0.0.1")
	mapped   = netip.MustParseAddr("::ffff:127.0.0.1")
	outside  = netip.MustParseAddr("192.0.2.7")
)

// rabbitHash is salt 90 8d c6 0a and the sum of it and "test12", the example
// that RabbitMQ's manual computes.
const rabbitHash = "kI3GCqW5JLMJa4iX1lo7X4D6XbYqlLgxIs30+P6tENUV2POR"

func slowHash(t *testing.T, password string) Hash {
	t.Helper()
	text, err := bcrypt.GenerateFromPassword([]byte(password), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	h, err := ParseHash(string(text))
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func newBook(t *testing.T, accounts ...Account) *Book {
	t.Helper()
	b, err := NewBook(accounts)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestAuthenticate(t *testing.T) {
	old, err := ParseHash(rabbitHash)
	if err != nil {
		t.Fatal(err)
	}
	b := newBook(t,
		Account{Name: "guest", Hash: HashPassword("guest"), LoopbackOnly: true},
		Account{Name: "anna", Hash: HashPassword("würzig")},
		Account{Name: "old", Hash: old},
		Account{Name: "slow", Hash: slowHash(t, "treacle")},
		Account{Name: "blank", Hash: HashPassword("")},
		Account{Name: "none"},
	)
	for _, c := range []struct {
		name, password string
		remote         netip.Addr
		want           error
	}{
		{"guest", "guest", loopback, nil},
		{"guest", "guest", mapped, nil},
		{"guest", "guest", netip.IPv6Loopback(), nil},
		{"guest", "guest", outside, ErrLoopbackOnly},
		{"guest", "guest", netip.Addr{}, ErrLoopbackOnly},
		{"guest", "wrong", outside, ErrRefused},
		{"anna", "würzig", outside, nil},
		{"anna", "würzig ", outside, ErrRefused},
		{"Anna", "würzig", outside, ErrRefused},
		{"old", "test12", outside, nil},
		{"old", "test1", outside, ErrRefused},
		{"slow", "treacle", outside, nil},
		{"slow", "treacle", outside, nil}, // remembered
		{"slow", "honey", outside, ErrRefused},
		{"blank", "", outside, ErrRefused},
		{"none", "", loopback, ErrRefused},
		{"", "", loopback, ErrRefused},
		{"nobody", "guest", loopback, ErrRefused},
	} {
		u, err := b.Authenticate(c.name, c.password, c.remote)
		if err != c.want {
			t.Errorf("Authenticate(%q, %q, %s) = %v, want %v", c.name, c.password, c.remote, err, c.want)
		}
		if (u != nil) != (err == nil) || u != nil && u.Name != c.name {
			t.Errorf("Authenticate(%q, %q, %s) gave user %v", c.name, c.password, c.remote, u)
		}
	}
	if !errors.Is(ErrLoopbackOnly, ErrRefused) {
		t.Error("a refusal by place is not a refusal")
	}
}

func TestZeroBookRefuses(t *testing.T) {
	var b Book
	if _, err := b.Authenticate("guest", "guest", loopback); err != ErrRefused {
		t.Errorf("the zero book answered %v", err)
	}
}

// A refusal must take as many hashes of each cost for a name that is not there
// as for one that is.
func TestUnknownUserCostsTheSame(t *testing.T) {
	cheap := Account{Name: "cheap", Hash: HashPassword("a")}
	slow := Account{Name: "slow", Hash: slowHash(t, "b")}
	b := newBook(t, cheap, slow, Account{Name: "cheap2", Hash: HashPassword("c")})
	if len(b.decoys) != 2 {
		t.Fatalf("%d decoys for two costs", len(b.decoys))
	}
	// The shortest of many attempts is what the hashes cost, without what others
	// do on the machine meanwhile. It only falls, so that costs that are the same
	// come together sooner or later, and a hash too many (twice as much) never does.
	const attemptsMax = 2000
	names := []string{"cheap", "slow", "nobody"}
	shortest := []time.Duration{time.Hour, time.Hour, time.Hour}
	for attempt := 0; ; attempt++ {
		for i, name := range names {
			start := time.Now()
			b.Authenticate(name, "wrong", loopback)
			shortest[i] = min(shortest[i], time.Since(start))
		}
		if attempt >= 20 && 2*slices.Max(shortest) < 3*slices.Min(shortest) {
			return
		}
		if attempt == attemptsMax {
			t.Fatalf("refusing %q took %v", names, shortest)
		}
	}
}

func TestSlowHashIsRememberedForAWhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBook(t, Account{Name: "slow", Hash: slowHash(t, "treacle")})
		u, err := b.Authenticate("slow", "treacle", outside)
		if err != nil {
			t.Fatal(err)
		}
		if !u.remembers("treacle", b.now()) || u.remembers("honey", b.now()) {
			t.Fatal("the right password alone must be remembered")
		}
		time.Sleep(rememberedFor + time.Second)
		if u.remembers("treacle", b.now()) {
			t.Fatal("still remembered")
		}
		if _, err := b.Authenticate("slow", "treacle", outside); err != nil {
			t.Fatalf("after a while: %v", err)
		}
	})
}

func TestNewBookRefuses(t *testing.T) {
	for _, c := range []struct {
		accounts []Account
		want     string
	}{
		{[]Account{{Name: ""}}, `user "": the name is empty`},
		{[]Account{{Name: strings.Repeat("x", 256)}}, "longer than 255 bytes"},
		{[]Account{{Name: "a"}, {Name: "a"}}, `user "a": the name is there twice`},
		{[]Account{{Name: "a", Write: "("}}, `user "a": write: not a regular expression`},
		{[]Account{{Name: "a", Read: "^(?!b)"}}, `user "a": read: not a regular expression`},
		{[]Account{{Name: "a", Configure: strings.Repeat("a", patternMax+1)}}, "longer than 4096 bytes"},
	} {
		if _, err := NewBook(c.accounts); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("NewBook(%+v) = %v, want %q", c.accounts, err, c.want)
		}
	}
}

func TestAllows(t *testing.T) {
	for _, c := range []struct {
		pattern, resource string
		want              bool
	}{
		{".*", "anything", true},
		{".*", "", true},
		{"", "anything", false},
		{"", "", false}, // the nameless exchange is amq.default
		{"temp", "room.temperature", true},
		{"^temp$", "room.temperature", false},
		{"^temp$", "temp", true},
		{"^(amq\\.default|site\\..*)$", "", true},
		{"^(amq\\.default|site\\..*)$", "site.1", true},
		{"^(amq\\.default|site\\..*)$", "amq.topic", false},
		{"^$", "x", false},
	} {
		b := newBook(t, Account{Name: "u", Read: c.pattern})
		u, _ := b.User("u")
		for range 2 { // the second answer is a kept one
			if got := u.Allows(broker.Read, c.resource); got != c.want {
				t.Errorf("Allows(%q, %q) = %v, want %v", c.pattern, c.resource, got, c.want)
			}
		}
		if u.Allows(broker.Write, c.resource) || u.Allows(broker.Action(9), c.resource) {
			t.Errorf("read rights %q gave other rights", c.pattern)
		}
	}
}

func TestVerdictsAreBounded(t *testing.T) {
	b := newBook(t, Account{Name: "u", Read: "7$"})
	u, _ := b.User("u")
	for i := range 3 * verdictsMax {
		name := fmt.Sprintf("queue %d", i)
		if got, want := u.Allows(broker.Read, name), i%10 == 7; got != want {
			t.Fatalf("Allows(%q) = %v", name, got)
		}
	}
	if n := len(u.grants.own[broker.Read].verdicts); n > verdictsMax {
		t.Errorf("%d verdicts kept, at most %d are allowed", n, verdictsMax)
	}
}

func TestParseHashRefuses(t *testing.T) {
	for _, text := range []string{
		"", "secret", "kI3GCqW5", rabbitHash + "AAAA", "$", "$2a$", "$1$abc",
		"$2a$99$" + strings.Repeat("a", 53),
		"$2a$15$" + strings.Repeat("a", 53),
		"$2a$10$" + strings.Repeat("a", 52),
		"$2a$10$" + strings.Repeat("!", 53),
	} {
		h, err := ParseHash(text)
		if err == nil {
			t.Errorf("ParseHash(%q) = %q", text, h.Encode())
		} else if len(text) > 3 && strings.Contains(err.Error(), text) {
			t.Errorf("ParseHash(%q) shows the text: %v", text, err)
		}
	}
}

func TestHashRoundTripAndSecrecy(t *testing.T) {
	for _, h := range []Hash{HashPassword("s3cret"), slowHash(t, "s3cret")} {
		again, err := ParseHash(h.Encode())
		if err != nil || again != h {
			t.Errorf("ParseHash(%q) = %q, %v", h.Encode(), again.Encode(), err)
		}
		asJSON, _ := json.Marshal(Account{Hash: h})
		var logged strings.Builder
		slog.New(slog.NewTextHandler(&logged, nil)).Info("x", "hash", h, "account", Account{Hash: h})
		shown := fmt.Sprintf("%v %+v %#v %s %q %x %d %v", h, h, h, h, h, h, h, Account{Hash: h}) + string(asJSON) + logged.String()
		for _, secret := range []string{h.Encode(), "s3cret", fmt.Sprint(h.salt[:]), fmt.Sprintf("%x", h.sum[:4])} {
			if strings.Contains(shown, secret) {
				t.Errorf("%q shows in %s", secret, shown)
			}
		}
	}
	if first, again := HashPassword("a"), HashPassword("a"); first != again || first == HashPassword("b") {
		t.Error("a hash must follow its password within a process")
	}
}

func FuzzParseHash(f *testing.F) {
	f.Add(rabbitHash)
	f.Add("$2a$04$" + strings.Repeat("a", 53))
	f.Fuzz(func(t *testing.T, text string) {
		h, err := ParseHash(text)
		if err != nil {
			return
		}
		if again, err := ParseHash(h.Encode()); err != nil || again != h {
			t.Fatalf("ParseHash(%q) = %q; read again: %v", text, h.Encode(), err)
		}
	})
}
