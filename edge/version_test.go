package edge

import "testing"

func TestNumbers(t *testing.T) {
	for version, want := range map[string]string{
		"1.2.3": "1.2.3", "v1.2.3-4-gabcdef0": "1.2.3", "0.1.0+9acc789-dirty": "0.1.0",
		"unreleased": "0.0.0", "": "0.0.0", "9acc789": "0.0.0",
	} {
		if got := numbers(version); got != want {
			t.Errorf("numbers(%q) = %q, want %q", version, got, want)
		}
	}
}
