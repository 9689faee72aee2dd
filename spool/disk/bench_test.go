package disk_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"leveret/spool"
	"leveret/spool/disk"
)

// raw is a record that is there already, so that only the spool is measured.
type raw []byte

func (r raw) AppendTo(dst []byte) []byte { return append(dst, r...) }
func (r raw) Size() int                  { return len(r) }

// reading looks like what sensors send: it packs a little.
func reading(rng *rand.Rand, n int) raw {
	s := fmt.Sprintf(`{"device":"%08x","at":17%08d,"temperature":%.3f,"humidity":%.3f,"key":"`,
		rng.Uint32(), rng.Uint32()%1e8, 20+5*rng.Float64(), 60*rng.Float64())
	for len(s) < n-2 {
		s += strconv.FormatUint(rng.Uint64(), 36)
	}
	return raw(s[:n-2] + `"}`)
}

func readings(n, size int) []spool.Record {
	rng := rand.New(rand.NewPCG(1, 2))
	list := make([]spool.Record, n)
	for i := range list {
		list[i] = reading(rng, size)
	}
	return list
}

// noise does not pack.
func noise(n, size int) []spool.Record {
	rng := rand.NewChaCha8([32]byte{7})
	list := make([]spool.Record, n)
	for i := range list {
		b := make([]byte, size)
		rng.Read(b)
		list[i] = raw(b)
	}
	return list
}

// cost is the CPU time and the bytes written by this process.
type cost struct {
	cpu     time.Duration
	written int64
}

func spent() (c cost) {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) == nil {
		c.cpu = time.Duration(u.Utime.Nano() + u.Stime.Nano())
	}
	b, _ := os.ReadFile("/proc/self/io")
	for line := range strings.Lines(string(b)) {
		if v, ok := strings.CutPrefix(line, "write_bytes: "); ok {
			c.written, _ = strconv.ParseInt(strings.TrimSpace(v), 10, 64)
		}
	}
	return c
}

func report(b *testing.B, since cost, messages int) {
	now := spent()
	b.ReportMetric(float64(now.cpu-since.cpu)/float64(messages), "cpu-ns/msg")
	b.ReportMetric(float64(now.written-since.written)/float64(messages), "written-B/msg")
}

func opened(b *testing.B, o disk.Options) *life {
	o.Dir = b.TempDir()
	l := start(b, o)
	b.Cleanup(func() {
		if err := l.stop(b); err != nil {
			b.Errorf("Run: %v", err)
		}
	})
	return l
}

// BenchmarkCycle appends, commits, reads nothing, and lets go: 100 messages of
// 200 bytes in a batch, each group waited for with several batches under way.
func BenchmarkCycle(b *testing.B) {
	for _, profile := range []struct {
		name string
		o    disk.Options
	}{{"tiny", disk.Tiny()}, {"server", disk.Server()}} {
		for _, plain := range []bool{false, true} {
			name := profile.name
			if plain {
				name += "/unpacked"
			}
			b.Run(name, func(b *testing.B) {
				o := profile.o
				o.NoCompression = plain
				l := opened(b, o)
				const batch, ahead = 100, 30
				list := readings(50*batch, 200)
				b.ReportAllocs()
				before := spent()
				var bt spool.Batch
				pos := spool.Pos(1)
				messages := 0
				for b.Loop() {
					bt.Reset()
					dests := make([]spool.Dest, batch)
					for i := range batch {
						dests[i] = spool.Dest{Queue: 1, Pos: pos}
						bt.Enters = append(bt.Enters, spool.Enter{Record: list[(messages+i)%len(list)], Size: 200, To: dests[i : i+1]})
						if pos > ahead*batch {
							bt.Leaves = append(bt.Leaves, spool.Leave{Queue: 1, Pos: pos - ahead*batch, Size: 200})
						}
						pos++
					}
					messages += batch
					lsn, err := l.Append(&bt)
					if err != nil {
						b.Fatal(err)
					}
					if lsn > ahead/2 {
						await(b, l, lsn-ahead/2)
					}
				}
				report(b, before, messages)
			})
		}
	}
}

// fillQueue puts n messages of 200 bytes into queue 1.
func fillQueue(b testing.TB, l *life, n int) { fillBehind(b, l, 0, n) }

// fillBehind does so with the positions behind last.
func fillBehind(b testing.TB, l *life, last, n int) {
	list := readings(1000, 200)
	var lsn spool.LSN
	for pos := last + 1; pos <= last+n; {
		var bt spool.Batch
		for range 500 {
			bt.Enters = append(bt.Enters, spool.Enter{Record: list[pos%1000], Size: 200, To: []spool.Dest{{Queue: 1, Pos: spool.Pos(pos)}}})
			pos++
		}
		var err error
		if lsn, err = l.Append(&bt); err != nil {
			b.Fatal(err)
		}
		if room := l.Room(); room != nil {
			<-room
		}
	}
	await(b, l, lsn)
}

// BenchmarkDrain reads a backlog, 100 messages at a time, and lets go.
func BenchmarkDrain(b *testing.B) {
	for _, acks := range []bool{false, true} {
		b.Run(fmt.Sprintf("acks=%t", acks), func(b *testing.B) {
			l := opened(b, disk.Tiny())
			const n = 200_000
			fillQueue(b, l, n)
			b.ReportAllocs()
			before := spent()
			items := make([]spool.Item, 100)
			from, messages, last := spool.Pos(0), 0, n
			var bt spool.Batch
			for b.Loop() {
				k, err := l.Read(1, from, items, 1<<20)
				if err != nil {
					b.Fatal(err)
				}
				if k == 0 {
					from = 0
					if acks {
						b.StopTimer()
						paused := spent()
						fillBehind(b, l, last, n)
						last += n
						now := spent()
						before.cpu += now.cpu - paused.cpu
						before.written += now.written - paused.written
						b.StartTimer()
					}
					continue
				}
				bt.Reset()
				for _, it := range items[:k] {
					from = it.Pos + 1
					if acks {
						bt.Leaves = append(bt.Leaves, spool.Leave{Queue: 1, Pos: it.Pos, Size: 200})
					}
				}
				if _, err := l.Append(&bt); err != nil {
					b.Fatal(err)
				}
				messages += k
			}
			report(b, before, messages)
		})
	}
}
