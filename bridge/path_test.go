package bridge

import (
	"strings"
	"testing"
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
