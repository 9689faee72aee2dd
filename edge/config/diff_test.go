package config

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestDiffTellsEachKey(t *testing.T) {
	const base = "profile = 'tiny'\n"
	for _, c := range []struct {
		set  string
		want []Change
	}{
		{"data_dir=/x", []Change{{"data_dir", "leveret-data", "/x", true}}},
		{"profile=server", []Change{{"profile", "tiny", "server", true}, {"mqtt.connections_max", "1000", "20000", true},
			{"mqtt.inflight_max", "32", "100", true}, {"mqtt.subscriptions_max", "200", "1000", true}, {"spool.commit_window", "100ms", "0s", true}, {"spool.commits_per_second", "10", "0", true},
			{"devices.max", "1000", "50000", false}}},
		{"log.level=warn", []Change{{"log.level", "INFO", "WARN", false}}},
		{"amqp.listen=[]", []Change{{"amqp.listen", "[127.0.0.1:5672]", "[]", true}}},
		{"amqp.external_login=distinguished_name", []Change{{"amqp.external_login", "common_name", "distinguished_name", false}}},
		{"amqp.channels_max=9", []Change{{"amqp.channels_max", "256", "9", true}}},
		{"amqp.map_queue_types.stream=classic", []Change{{"amqp.map_queue_types", "{quorum refuse}", "{quorum classic}", true}}},
		{"amqp={anonymous='always',anonymous_user='guest'}", []Change{
			{"amqp.anonymous", "never", "always", false}, {"amqp.anonymous_user", "", "guest", false},
		}},
		{"mqtt.listen=:1", []Change{{"mqtt.listen", "[127.0.0.1:1883]", "[:1]", true}}},
		{"mqtt.route=[{topic='z/#',exchange='amq.topic'}]", []Change{{"mqtt.route", "[]", "[{z/# amq.topic}]", true}}},
		{"mqtt.client_ids='^{username}$'", []Change{{"mqtt.client_ids", "", "^{username}$", false}}},
		{"mqtt.anonymous=never", []Change{{"mqtt.anonymous", "loopback", "never", false}}},
		{"admin.listen=:1", []Change{{"admin.listen", "[127.0.0.1:15672]", "[:1]", true}}},
		{"spool.max_bytes=1GiB", []Change{{"spool.max_bytes", "0B", "1GiB", true}}},
		{"devices={silent_after='1h',rule=[{client='a',silent_after='2h'}]}", []Change{
			{"devices.silent_after", "0s", "1h0m0s", false}, {"devices.rule", "[]", "[{a 2h0m0s}]", false},
		}},
		{"spool.commit_window=1s", []Change{{"spool.commit_window", "100ms", "1s", true}}},
	} {
		if diff := cmp.Diff(c.want, Diff(mustParse(t, base), mustParse(t, base, c.set))); diff != "" {
			t.Errorf("Diff after --set %s (-want +got):\n%s", c.set, diff)
		}
	}
	if got := Diff(mustParse(t, ""), mustParse(t, "")); got != nil {
		t.Errorf("Diff of the same: %v", got)
	}
}

func TestDiffOfLists(t *testing.T) {
	old := mustParse(t, userWith("")+shovelWith("")+`
[[queue]]
name = "gone"
[[queue]]
name = "kept"
[[binding]]
source = "amq.topic"
destination = "kept"
`)
	new := mustParse(t, strings.Replace(userWith("")+shovelWith("prefetch = 7"), `password = "secret"`, `password = "secret2"`, 1)+`
[[queue]]
name = "kept"
durable = true
[[exchange]]
name = "new"
type = "topic"
[[binding]]
source = "amq.topic"
destination = "kept"
key = "a"
`)
	var got []string
	for _, c := range Diff(old, new) {
		got = append(got, fmt.Sprintf("%s: before %v, after %v, restart %v", c.Key, c.Old != "", c.New != "", c.Restart))
		if strings.Contains(c.Old+c.New, "secret") {
			t.Errorf("a secret shows: %+v", c)
		}
	}
	want := []string{
		"user anna: before true, after true, restart false",
		"exchange new: before false, after true, restart false",
		"queue gone: before true, after false, restart false",
		`binding amq.topic -> kept, key "": before true, after false, restart false`,
		`binding amq.topic -> kept, key "a": before false, after true, restart false`,
		"shovel up: before true, after true, restart false",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("Diff (-want +got):\n%s", diff)
	}
}

// Nothing that prints, logs or encodes a Config shows a secret, redacted or not.
func TestConfigShowsNoSecret(t *testing.T) {
	c := mustParse(t, userWith("")+shovelWith(""))
	for _, c := range []*Config{c, c.Redacted()} {
		var logged strings.Builder
		slog.New(slog.NewJSONHandler(&logged, nil)).Info("x", "config", c, "uri", c.Shovels[0].Target.URI)
		asJSON, err := json.Marshal(c)
		if err != nil {
			t.Fatal(err)
		}
		shown := fmt.Sprintf("%v %+v %#v %v", c, *c, c.Shovels, c.Users) + logged.String() + string(asJSON)
		for _, secret := range []string{"secret", c.Users[0].Hash.Encode()} {
			if strings.Contains(shown, secret) {
				t.Errorf("%q shows in %s", secret, shown)
			}
		}
		if !strings.Contains(shown, "amqp://u:***@h") {
			t.Errorf("the URI does not show: %s", shown)
		}
	}
	if got := c.Redacted().Shovels[0].Target.URI.Reveal(); got != "amqp://u:***@h" {
		t.Errorf("the redacted copy holds %q", got)
	}
	if c.Shovels[0].Target.URI.Reveal() != "amqp://u:secret@h" {
		t.Error("redacting changed the original")
	}
}

func TestSizes(t *testing.T) {
	for text, want := range map[string]Size{
		"0": 0, "1": 1, "10B": 10, "1kB": 1000, "1KB": 1000, "1KiB": 1024, "512MiB": 512 << 20,
		"2GB": 2e9, "1.5 GiB": 3 << 29, "7TiB": 7 << 40, "9223372036854775807": 1<<63 - 1,
	} {
		if got, err := ParseSize(text); err != nil || got != want {
			t.Errorf("ParseSize(%q) = %d, %v, want %d", text, got, err, want)
		}
		if got, err := ParseSize(want.String()); err != nil || got != want {
			t.Errorf("ParseSize(%q) = %d, %v, want %d", want.String(), got, err, want)
		}
	}
	for _, text := range []string{"", " ", "MiB", "-1", "1e9", "0x10", "1..2", "12XB", "9223372036854775808", "9000000TiB", "1 2", "inf", "NaN", "+1"} {
		if got, err := ParseSize(text); err == nil {
			t.Errorf("ParseSize(%q) = %d", text, got)
		}
	}
}

func TestNearest(t *testing.T) {
	keys := []string{"name", "type", "durable", "auto_delete", "internal", "arguments"}
	for word, want := range map[string]string{
		"nmae": "name", "Name": "name", "durabel": "durable", "autodelete": "auto_delete",
		"argument": "arguments", "args": "", "x": "", "": "", "exclusive": "",
		strings.Repeat("name", 1000): "",
	} {
		if got := nearest(word, keys); got != want {
			t.Errorf("nearest(%q) = %q, want %q", word, got, want)
		}
	}
}
