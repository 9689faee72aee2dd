//go:build soak

package disk_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"leveret/spool"
	"leveret/spool/disk"
)

// telemetry is what gateways collect: the same names again and again, values
// that change a little.
func telemetry(n, size int) []spool.Record {
	rng := rand.New(rand.NewPCG(3, 4))
	list := make([]spool.Record, n)
	for i := range list {
		s := fmt.Sprintf(`{"device":"pump-%02d","site":"plant/north","ts":%d,"seq":%d,"readings":[`, rng.IntN(40), 1790000000000+int64(i)*37, i)
		for k := 0; len(s) < size-70; k++ {
			s += fmt.Sprintf(`{"name":"temperature_%d","value":%.2f,"unit":"C","ok":true},`, k%8, 20+rng.Float64())
		}
		list[i] = raw(fmt.Sprintf("%s{}]%*s", s, max(1, size-len(s)-3), "}"))
	}
	return list
}

func payload(list []spool.Record) (n int64) {
	for _, r := range list {
		n += int64(r.Size())
	}
	return n
}

// appended is what a plain file costs: one write and one fdatasync for each
// batch.
func appended(t *testing.T, d *device, list []spool.Record, batch int) int64 {
	t.Helper()
	path := filepath.Join(d.dir, "plain")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer os.Remove(path)
	defer f.Close()
	before := d.written(t)
	var b []byte
	for i, r := range list {
		if b = r.AppendTo(b); (i+1)%batch == 0 {
			if _, err := f.Write(b); err != nil {
				t.Fatal(err)
			}
			if err := unix.Fdatasync(int(f.Fd())); err != nil {
				t.Fatal(err)
			}
			b = b[:0]
		}
	}
	return d.written(t) - before
}

// onDevice is a running spool on the device, without a budget or a window.
func onDevice(t *testing.T, d *device, o disk.Options) *life {
	o.Dir = filepath.Join(d.dir, "spool")
	o.CommitWindow, o.CommitsPerSecond, o.ReserveBytes = 0, 0, 1<<20
	return start(t, o)
}

func (d *device) remove(t *testing.T, l *life) {
	t.Helper()
	if err := l.stop(t); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(l.opts.Dir); err != nil {
		t.Fatal(err)
	}
}

// put commits a list, a batch at a time.
func put(t *testing.T, l *life, list []spool.Record, batch int) {
	t.Helper()
	var b spool.Batch
	for i, r := range list {
		b.Enters = append(b.Enters, spool.Enter{Record: r, Size: r.Size(), To: []spool.Dest{{Queue: 1, Pos: spool.Pos(i + 1)}}})
		if (i+1)%batch == 0 {
			appendAwait(t, l, &b)
			b.Reset()
		}
	}
}

// TestWriteAmplification compares, on the device's own count, what the spool
// writes with what a file would to which the same batches are appended and
// synced.
func TestWriteAmplification(t *testing.T) {
	d := newDevice(t, 1024)
	plain := disk.Tiny()
	plain.NoCompression = true
	for _, c := range []struct {
		name  string
		o     disk.Options
		list  []spool.Record
		batch int
		most  float64 // of what the file costs
	}{
		{"100 x 1 kB, packing off", plain, telemetry(40_000, 1000), 100, 1.10},
		{"100 x 100 B, packing off", plain, readings(100_000, 100), 100, 1.30},
		{"100 x 1 kB that does not pack", disk.Tiny(), noise(40_000, 1000), 100, 1.10},
		{"100 x 100 B that does not pack", disk.Tiny(), noise(100_000, 100), 100, 1.30},
		{"100 x 1 kB of telemetry", disk.Tiny(), telemetry(40_000, 1000), 100, 0.5},
		{"100 x 200 B of telemetry", disk.Tiny(), telemetry(40_000, 200), 100, 0.5},
		{"trickle, 5 x 200 B, tiny", disk.Tiny(), readings(50_000, 200), 5, 0.6},
		{"trickle, 5 x 200 B, small", disk.Small(), readings(50_000, 200), 5, 0.6},
		{"one by one, 200 B", disk.Tiny(), readings(5_000, 200), 1, 0.5},
	} {
		file, bytes := appended(t, d, c.list, c.batch), payload(c.list)
		l := onDevice(t, d, c.o)
		before, was := d.written(t), l.Wear().Device
		put(t, l, c.list, c.batch)
		spooled := d.written(t) - before
		if told := l.Wear().Device - was; told < spooled*97/100 || told > spooled*103/100 {
			t.Errorf("%s: Wear tells %d bytes on the device, which counts %d", c.name, told, spooled)
		}
		ratio := float64(spooled) / float64(file)
		t.Logf("%-31s file %.2f B/B, spool %.2f, ratio %.2f; %d B a message", c.name,
			float64(file)/float64(bytes), float64(spooled)/float64(bytes), ratio, spooled/int64(len(c.list)))
		if ratio > c.most {
			t.Errorf("%s: %.2f times what a plain file costs, want at most %.2f", c.name, ratio, c.most)
		}
		d.remove(t, l)
	}
}

// TestConsumedInTime: what leaves within the window costs next to nothing.
func TestConsumedInTime(t *testing.T) {
	d := newDevice(t, 512)
	o := disk.Tiny()
	o.Dir, o.ReserveBytes = filepath.Join(d.dir, "spool"), 1<<20
	l := start(t, o)
	list := noise(1000, 1000)
	put(t, l, list[:1], 1)
	before := d.written(t)
	const batches, batch = 2000, 30
	for i := range batches {
		var in, out spool.Batch
		for k := range batch {
			pos := spool.Pos(10 + i*batch + k)
			in.Enters = append(in.Enters, spool.Enter{Record: list[pos%1000], Size: 1000, To: []spool.Dest{{Queue: 2, Pos: pos}}})
			out.Leaves = append(out.Leaves, spool.Leave{Queue: 2, Pos: pos, Size: 1000})
		}
		if _, err := l.Append(&in); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Millisecond)
		if _, err := l.Append(&out); err != nil {
			t.Fatal(err)
		}
	}
	share := float64(d.written(t)-before) / (batches * batch * 1000)
	t.Logf("%.2f %% of the payload was written", 100*share)
	if share > 0.05 {
		t.Errorf("%.1f %% of the payload was written, want less than 5", 100*share)
	}
	d.remove(t, l)
}

// TestDrainCost: letting a backlog go writes little.
func TestDrainCost(t *testing.T) {
	d := newDevice(t, 1024)
	o := disk.Tiny()
	o.Dir, o.ReserveBytes = filepath.Join(d.dir, "spool"), 1<<20
	l := start(t, o)
	const n = 500_000
	fillQueue(t, l, n)
	before := d.written(t)
	var b spool.Batch
	for pos := spool.Pos(1); pos <= n; pos++ {
		if b.Leaves = append(b.Leaves, spool.Leave{Queue: 1, Pos: pos, Size: 200}); pos%100 == 0 {
			if _, err := l.Append(&b); err != nil {
				t.Fatal(err)
			}
			b.Reset()
			if room := l.Room(); room != nil {
				<-room
			}
		}
	}
	time.Sleep(10 * time.Second) // space is won back meanwhile
	each := float64(d.written(t)-before) / n
	t.Logf("%.1f B a message", each)
	if each > 10 {
		t.Errorf("%.1f bytes were written for each message that left, want at most 10", each)
	}
	d.remove(t, l)
}
