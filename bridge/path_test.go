package bridge

import (
	"slices"
	"strings"
	"testing"

	"leveret/amqp"
	"leveret/bridge/mqttwire"
)

func TestPath(t *testing.T) {
	tests := []struct {
		path  string
		node  string
		loops bool
	}{
		{"", "a", false},
		{"a", "a", true},
		{"b a c", "a", true},
		{"ab b", "a", false},
		{"b", "", false},
		{strings.Repeat("x ", 14) + "x", "a", false},
		{strings.Repeat("x ", 15) + "x", "a", true}, // too far
	}
	for _, tt := range tests {
		if got := Path(tt.path).Loops(tt.node); got != tt.loops {
			t.Errorf("Path(%q).Loops(%q) = %v", tt.path, tt.node, got)
		}
	}
	if got := Path("").With("a", "", "b", "a"); got != "a b" {
		t.Errorf("With = %q", got)
	}
	for node, want := range map[string]bool{"": false, "a b": false, "\u00fc": false, "a-b_C.1": true, strings.Repeat("x", 65): false} {
		if ValidNode(node) != want {
			t.Errorf("ValidNode(%q) = %v", node, !want)
		}
	}
}

// TestThePathIsNeverHidden: what a message carries to be exact at the end has no
// path in it, old or forged, and the path goes on beside it.
func TestThePathIsNeverHidden(t *testing.T) {
	var in mqttwire.PropertyWriter
	for _, u := range [][2]string{{"k", "1"}, {HeaderPath, "a b"}, {"k", "2"}} {
		in.User(u[0], u[1])
	}
	came, err := in.Properties()
	if err != nil {
		t.Fatal(err)
	}
	list := PropertiesFromMQTT(came, 1, false, Told{Path: true}).List()
	if path, _ := list.Headers.Get(HeaderPath); path != "a b" {
		t.Errorf("the path came as %v", path)
	}
	if all, _ := list.Headers.Get(headerUserProperties); !slices.Equal(all.(amqp.Array), amqp.Array{"k", "1", "k", "2"}) {
		t.Errorf("kept to be exact: %v", all)
	}
	list.Headers = list.Headers.With(HeaderPath, "a b here").
		With(headerUserProperties, amqp.Array{"k", "1", HeaderPath, "forged", "k", "2"})
	var out mqttwire.PropertyWriter
	AppendMQTTProperties(&out, list.Encode(), 0)
	goes, err := out.Properties()
	if err != nil {
		t.Fatal(err)
	}
	var users []string
	for name, value := range goes.UserProperties {
		users = append(users, string(name)+"="+string(value))
	}
	if want := []string{HeaderPath + "=a b here", "k=1", "k=2"}; !slices.Equal(users, want) {
		t.Errorf("goes with %q, want %q", users, want)
	}
}
