package users

import (
	"strings"
	"testing"

	"leveret/amqp/broker"
	"leveret/bridge"
)

// Made by mosquitto_passwd 2.0.11 of the password s3cret.
const mosquittoFile = `# users
anna:$7$101$23cR5lvVOaVZfJFp$JZjBwQk5rQcZ+qa1nhX1nK84CBxJtbo8XE8JRoJTHo021TU+NTErA3N/Ky2ERgE5FkwihiuXUR/Fz2Fke3lDMA==

ben:$6$huGjmAeXLdtPuzCY$z38xslpeHSty5EwoJf8CBn3kSsCF99/H2wbw0y769Nl5p8FYkhnBT698DZ3zl8p+8W6JY8BLd5UYGE9U0u25YQ==
`

func TestMosquittoPasswords(t *testing.T) {
	accounts, err := ReadMosquittoPasswords(strings.NewReader(mosquittoFile))
	if err != nil {
		t.Fatal(err)
	}
	b := newBook(t, accounts...)
	for _, c := range []struct {
		name, password string
		want           error
	}{
		{"anna", "s3cret", nil}, {"anna", "s3cret", nil}, {"anna", "S3cret", ErrRefused}, {"anna", "", ErrRefused},
		{"ben", "s3cret", nil}, {"ben", "s3cre", ErrRefused}, {"carl", "s3cret", ErrRefused},
	} {
		if _, err := b.Authenticate(c.name, c.password, outside); err != c.want {
			t.Errorf("Authenticate(%q, %q) = %v, want %v", c.name, c.password, err, c.want)
		}
	}
	if !accounts[0].Hash.slow() || accounts[1].Hash.slow() {
		t.Error("PBKDF2 must wait for its turn, one SHA-512 need not")
	}
	if again, err := ParseHash(accounts[0].Hash.Encode()); err != nil || again != accounts[0].Hash {
		t.Errorf("ParseHash of what it encodes: %v", err)
	}
}

func TestMosquittoPasswordsRefused(t *testing.T) {
	sum := strings.Repeat("A", 86) + "=="
	long := strings.Repeat("A", 87) + "A" // 66 bytes
	for _, c := range []struct{ file, want string }{
		{"anna", "line 1: must be a name, a colon and a hash"},
		{"# x\n\n:$6$AAAA$" + sum, "line 3: must be a name"},
		{"anna:s3cret", `line 1: user "anna": the password is not hashed`},
		{"anna:$6$AAAA", `user "anna": not a hash`},
		{"anna:$6$AAAA$AAAA", `user "anna": not a hash`},
		{"anna:$6$$" + sum, `user "anna": not a hash`},
		{"anna:$6$!$" + sum, `user "anna": not a hash`},
		{"anna:$6$" + long + "$" + sum, `user "anna": not a hash`},
		{"anna:$7$0$AAAA$" + sum, `user "anna": not a hash`},
		{"anna:$7$many$AAAA$" + sum, `user "anna": not a hash`},
		{"anna:$7$1000000$AAAA$" + sum, "would take seconds"},
		{"anna:$5$AAAA$" + sum, `user "anna": not a hash`},
		{"a:$6$AAAA$" + sum + "\na:$6$AAAA$" + sum, `line 2: user "a" is there twice`},
		{strings.Repeat("x", 256) + ":$6$AAAA$" + sum, "longer than 255 bytes"},
		{strings.Repeat("x", mosquittoLineMax+1), "line 1: "},
		{strings.Repeat("\n", mosquittoLinesMax+1), "more than 100000 lines"},
	} {
		_, err := ReadMosquittoPasswords(strings.NewReader(c.file))
		if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "s3cret") || strings.Contains(err.Error(), "AAAA") {
			t.Errorf("a file that begins %.40q: %v, want %q", c.file, err, c.want)
		}
	}
}

const aclFile = `# for those without a name
topic read public/#
topic deny public/secret
topic write in box

user anna
topic readwrite home/#
topic deny home/safe/#
topic	read	$SYS/#
topic plain

user ben
pattern write sensor/%u/%c/#
pattern read cmd/%c
pattern deny locked/#
user anna
topic write locked/anna
`

func TestMosquittoACL(t *testing.T) {
	acl, err := ReadMosquittoACL(strings.NewReader(aclFile))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		user, client, topic string
		write, read         bool
	}{
		{"", "c", "public/a", false, true},
		{"", "c", "public/secret", false, false},
		{"", "c", "in box", true, false},
		{"", "c", "home/a", false, false},
		{"", "c", "sensor//c/t", false, false}, // nobody has no name
		{"", "c", "cmd/c", false, true},
		{"anna", "c", "public/a", false, false}, // that is for those without a name
		{"anna", "c", "home", true, true},
		{"anna", "c", "home/a/b", true, true},
		{"anna", "c", "home/safe/x", false, false},
		{"anna", "c", "$SYS/broker/uptime", false, true},
		{"anna", "c", "plain", true, true},
		{"anna", "c", "locked/anna", true, false}, // her own line comes before the pattern
		{"anna", "c", "locked/x", false, false},
		{"anna", "c", "sensor/anna/c/t", true, false},
		{"anna", "c", "sensor/anna/d/t", false, false},
		{"anna", "c", "sensor/ben/c/t", false, false},
		{"ben", "c", "sensor/ben/c", true, false},
		{"ben", "c", "cmd/c", false, true},
		{"ben", "+", "sensor/ben/x", false, false},
		{"ben", "#", "sensor/ben/x", false, false},
		{"ben", "c/d", "sensor/ben/c/d", false, false},
		{"carl", "c", "sensor/carl/c", true, false}, // of no line, but of the patterns
		{"carl", "c", "home", false, false},
	} {
		a := acl.For(c.user, c.client).(*aclAccess)
		if got := a.AllowsTopic(broker.Write, "amq.topic", bridge.KeyFromTopic(c.topic)); got != c.write {
			t.Errorf("%q of %q may write %q: %v", c.client, c.user, c.topic, got)
		}
		if got := a.MayReceive(c.topic); got != c.read {
			t.Errorf("%q of %q may read %q: %v", c.client, c.user, c.topic, got)
		}
	}
	anna := acl.For("anna", "c").(*aclAccess)
	for filter, want := range map[string]bool{
		"#": true, "home/+": true, "home/safe/x": true, "cmd/c": true, "cmd/+": true, "other": false, "cmd/d": false, "sensor/#": false,
	} {
		if got := anna.AllowsTopic(broker.Read, "amq.topic", bridge.PatternFromFilter(filter)); got != want {
			t.Errorf("anna may subscribe to %q: %v", filter, got)
		}
	}
	if anna.Allows(broker.Configure, "x") || !anna.Allows(broker.Write, "amq.topic") {
		t.Error("rights to exchanges")
	}
}

// With RabbitMQ's spelling of topics the lines mean what the keys say.
func TestMosquittoACLWithRabbitDots(t *testing.T) {
	acl, err := ReadMosquittoACL(strings.NewReader("topic write a.b/#\ntopic read spBv1.0/+\ntopic deny spBv1.0/x"))
	if err != nil {
		t.Fatal(err)
	}
	acl.Dots = bridge.DotsRabbit
	a := acl.For("", "c").(*aclAccess)
	for _, c := range []struct {
		action broker.Action
		key    string
		want   bool
	}{
		{broker.Write, "a.b.c", true}, {broker.Write, "a.b", true}, {broker.Write, "a.c", false},
		{broker.Read, "spBv1___0.*", true}, {broker.Read, "spBv1.0.*", false}, {broker.Read, "a.b", false},
	} {
		if got := a.AllowsTopic(c.action, "amq.topic", c.key); got != c.want {
			t.Errorf("AllowsTopic(%v, %q) = %v", c.action, c.key, got)
		}
	}
	if !a.MayReceive("spBv1.0/y") || a.MayReceive("spBv1.0/x") || a.MayReceive("spBv1/0/y") {
		t.Error("what may be received")
	}
}

func TestMosquittoACLRefused(t *testing.T) {
	for file, want := range map[string]string{
		"user":                "line 1: user without a name",
		"topic":               `line 1: "" is not a topic filter`,
		"\ntopic read a/#/b":  `line 2: "a/#/b" is not a topic filter`,
		"topic read":          "",
		"pattern $share/g/a":  "is not a topic filter",
		"listener 1883":       `line 1: "listener" is not one of topic, user and pattern`,
		"topic read a\nuser ": "line 2: user without a name",
	} {
		_, err := ReadMosquittoACL(strings.NewReader(file))
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%q: %v, want %q", file, err, want)
		}
	}
}

func FuzzMosquittoFiles(f *testing.F) {
	f.Add(mosquittoFile, aclFile)
	f.Fuzz(func(t *testing.T, passwords, acl string) {
		if accounts, err := ReadMosquittoPasswords(strings.NewReader(passwords)); err == nil {
			for _, a := range accounts {
				if _, err := parseMosquitto(a.Hash.crypt); err != nil {
					t.Fatalf("taken, but %v", err)
				}
			}
		}
		if a, err := ReadMosquittoACL(strings.NewReader(acl)); err == nil {
			a.For("u", "c").(*aclAccess).MayReceive("a/b")
		}
	})
}

func TestMayBeClient(t *testing.T) {
	for _, c := range []struct {
		pattern, user, client string
		want                  bool
	}{
		{"", "anna", "x", true},
		{"^{username}$", "anna", "anna", true},
		{"^{username}$", "anna", "anna2", false},
		{"^{username}-", "anna", "anna-1", true},
		{"^{username}-", "a.*", "abc-1", false}, // the name means itself
		{"^{username}-", "a.*", "a.*-1", true},
		{"^dev[0-9]+$", "anna", "dev12", true},
		{"^dev[0-9]+$", "anna", "dev", false},
	} {
		b := newBook(t, Account{Name: c.user}, Account{Name: "own", ClientIDs: "^mine$"})
		u, _ := b.User(c.user)
		if got := u.MayBeClient(c.client, c.pattern); got != c.want {
			t.Errorf("user %q may be client %q by %q: %v", c.user, c.client, c.pattern, got)
		}
		own, _ := b.User("own")
		if own.MayBeClient("anna", c.pattern) || !own.MayBeClient("mine", c.pattern) {
			t.Error("an account's own pattern must count")
		}
	}
}
