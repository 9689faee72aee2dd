package interop

import (
	"bytes"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"testing"
	"time"

	amqp091 "github.com/rabbitmq/amqp091-go"
)

// damage is something that happens to a file of the data folder.
type damage struct {
	name string
	do   func(*rand.Rand, []byte) []byte // nil: the file is gone
}

// damages: most flip a bit of what was written; zeros behind it are holes.
var damages = []damage{
	{"a flipped bit", flipBit}, {"a flipped bit", flipBit}, {"a flipped bit", flipBit}, {"a flipped bit", flipBit},
	{"a lost end", func(r *rand.Rand, b []byte) []byte { return b[:r.IntN(len(b)+1)] }},
	{"a torn end", func(r *rand.Rand, b []byte) []byte {
		tail := b[max(0, len(bytes.TrimRight(b, "\x00"))-512):]
		for i := range tail {
			tail[i] = byte(r.Uint32())
		}
		return b
	}},
	{"nothing in it", func(*rand.Rand, []byte) []byte { return []byte{} }},
	{"no such file", nil},
}

func flipBit(r *rand.Rand, b []byte) []byte {
	if used := len(bytes.TrimRight(b, "\x00")); used > 0 {
		b[r.IntN(used)] ^= 1 << r.IntN(8)
	}
	return b
}

// TestDamagedFiles damages one file of a stopped gateway after the other. It
// starts by itself, hands out nothing that is not as it was sent, and when
// something is missing it says so: in a figure, in its health, or in the log.
func TestDamagedFiles(t *testing.T) {
	const sent = 400
	origin := openGateway(t, damagedConfig)
	fillForDamage(t, origin, sent)
	origin.mustStop(t)
	files := dataFiles(t, origin.data())
	if len(files) < 10 {
		t.Fatalf("only %q are there", files)
	}
	seed := rand.Uint64()
	t.Logf("seed %d, files %q", seed, files)
	random := rand.New(rand.NewPCG(seed, 1))
	whole, told := 0, 0
	rounds := number(100, 1000)
	for i := range rounds {
		file, how := files[i%len(files)], damages[random.IntN(len(damages))]
		g, err := newGateway(t.TempDir(), damagedConfig)
		must(t, err)
		must(t, os.CopyFS(g.data(), os.DirFS(origin.data())))
		damageFile(t, filepath.Join(g.data(), file), how, random)
		complete, err := lookAtDamage(g, sent)
		switch {
		case err != nil:
			t.Errorf("%s of %s: %v\n%s", how.name, file, err, g.proc.output())
		case complete:
			whole++
		default:
			told++
		}
		_ = os.RemoveAll(g.dir)
	}
	t.Logf("%d damages: %d cost no message, %d were told", rounds, whole, told)
}

// damagedConfig is that of both lives.
const damagedConfig = "profile = \"tiny\"\n"

// fillForDamage leaves messages in several lives, so that there are tables, old
// and new logs; every fifth is consumed again.
func fillForDamage(t *testing.T, g *gateway, n int) {
	t.Helper()
	for life := range 4 {
		if life > 0 {
			g.mustStop(t)
			g.mustStart(t)
		}
		conn, err := amqp091.Dial(g.amqp())
		must(t, err)
		must(t, declareLoadQueue(conn))
		conn.Close()
		s, err := dialMQTT(g.mqtt(), "d")
		must(t, err)
		texts := make([]string, n/4)
		for i := range texts {
			texts[i] = reading{"d", life*n/4 + i + 1}.String()
		}
		for at := 0; at < len(texts); at += 10 {
			must(t, s.publish("plant/d/temp", texts[at:at+10], func(int) {}))
		}
		s.close()
		bulk, ch, err := confirming(t.Context(), g)
		must(t, err)
		_, err = ch.QueueDeclare(bulkQueue, true, false, false, false, nil)
		must(t, err)
		must(t, publishConfirmed(t.Context(), ch, "", bulkBody(bulkBytes), 20))
		bulk.Close()
	}
}

// dataFiles lists what may be damaged. The ballast has no meaning, the others
// are gone when the process is.
func dataFiles(t *testing.T, dir string) (list []string) {
	t.Helper()
	must(t, filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() || slices.Contains([]string{"ballast", "owner", "LOCK", "admin.addr", "crash"}, e.Name()) {
			return err
		}
		name, err := filepath.Rel(dir, path)
		list = append(list, name)
		return err
	}))
	return list
}

func damageFile(t *testing.T, path string, how damage, r *rand.Rand) {
	t.Helper()
	if how.do == nil {
		must(t, os.Remove(path))
		return
	}
	b, err := os.ReadFile(path)
	must(t, err)
	must(t, os.WriteFile(path, how.do(r, b), 0o600))
}

var toldLine = regexp.MustCompile(`level=(ERROR|WARN)`)

// lookAtDamage starts the gateway and reads everything. complete says that all
// came.
func lookAtDamage(g *gateway, sent int) (complete bool, err error) {
	if err := g.start(); err != nil {
		return false, fmt.Errorf("it does not start by itself: %w", err)
	}
	defer g.kill()
	var got arrivals
	conn, err := amqp091.Dial(g.amqp())
	if err != nil {
		return false, err
	}
	defer conn.Close()
	if err := declareLoadQueue(conn); err != nil {
		return false, err
	}
	if err := collectReadings(conn, &got); err != nil {
		return false, err
	}
	bulk := &filler{}
	ch, err := conn.Channel()
	if err == nil {
		_, err = ch.QueueDeclare(bulkQueue, true, false, false, false, nil)
	}
	if err == nil {
		err = bulk.consume(conn)
	}
	if err != nil {
		return false, err
	}
	// What is there comes at once; then nothing more does.
	const bulks = 80
	for quiet, last := 0, -1; quiet < 10 && (got.count() < sent || bulk.n.Load() < bulks); quiet++ {
		if now := got.count() + int(bulk.n.Load()); now != last {
			last, quiet = now, 0
		}
		time.Sleep(20 * time.Millisecond)
	}
	book := newLedger()
	book.offer("d", sent)
	for n := range sent {
		book.promise(reading{"d", n + 1})
	}
	v := book.judge(&got)
	if v.damaged+v.phantom > 0 || bulk.bad.Load() > 0 {
		return false, fmt.Errorf("wrong bodies were delivered: %v, %d large ones", v, bulk.bad.Load())
	}
	complete = v.lost == 0 && bulk.n.Load() >= bulks
	if complete || toldLine.MatchString(g.proc.output()) {
		return complete, g.alive()
	}
	return false, fmt.Errorf("%v and %d of %d large ones, and not a word", v, bulk.n.Load(), bulks)
}
