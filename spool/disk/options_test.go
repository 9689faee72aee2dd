package disk

import "testing"

// TestValueLogsFitTheVolume: one file is a small part of any volume, and what the
// profile says on a large one.
func TestValueLogsFitTheVolume(t *testing.T) {
	for _, c := range []struct{ profile, total, want int64 }{
		{8 << 20, 16 << 30, 8 << 20},
		{8 << 20, 256 << 20, 8 << 20},
		{24 << 20, 256 << 20, 8 << 20},
		{8 << 20, 64 << 20, 2 << 20},
		{8 << 20, 10 << 20, 1 << 20},
	} {
		o := Tiny()
		o.Dir, o.ValueLogFileSize = "spool", c.profile
		o.fit(c.total)
		if o.ValueLogFileSize != c.want {
			t.Errorf("value logs of %d bytes on a volume of %d become %d, want %d", c.profile, c.total, o.ValueLogFileSize, c.want)
		}
		if err := o.complete(); err != nil {
			t.Errorf("on a volume of %d bytes: %v", c.total, err)
		}
	}
}
