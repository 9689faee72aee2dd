package disk_test

import (
	"os"
	"strings"
	"testing"
	"time"

	"leveret/spool/disk"
)

func TestProbe(t *testing.T) {
	dir := t.TempDir()
	r, err := disk.Probe(dir, 20)
	if err != nil || r.Syncs != 20 || r.Median <= 0 || r.P99 < r.Median || r.Max < r.P99 {
		t.Errorf("Probe = %+v, %v", r, err)
	}
	if left, _ := os.ReadDir(dir); len(left) != 0 {
		t.Errorf("it left %v", left)
	}
}

func TestVerdict(t *testing.T) {
	for _, c := range []struct {
		r    disk.SelfTest
		want string
	}{
		{disk.SelfTest{BytesPerSync: 8192, Median: 5 * time.Millisecond}, "PLAUSIBLE"},
		{disk.SelfTest{BytesPerSync: 0, Median: 5 * time.Millisecond}, "SUSPECT"},
		{disk.SelfTest{BytesPerSync: -1, FlashBlind: true}, "UNSURE"},
		{disk.SelfTest{BytesPerSync: 8192, FlashBlind: true, WriteBack: "write back"}, "UNSURE"},
		{disk.SelfTest{BytesPerSync: 8192, FlashBlind: true, WriteBack: "write through"}, "SUSPECT"},
	} {
		if got := c.r.Verdict(); !strings.HasPrefix(got, c.want) {
			t.Errorf("Verdict of %+v = %q, want %s", c.r, got, c.want)
		}
	}
}
