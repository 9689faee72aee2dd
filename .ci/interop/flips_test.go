package interop

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
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
	rounds, folder := number(100, 1000), t.TempDir()
	var next, whole, told atomic.Int64
	var workers sync.WaitGroup
	for range damagedAtOnce {
		workers.Go(func() {
			for i := int(next.Add(1)) - 1; i < rounds; i = int(next.Add(1)) - 1 {
				random := rand.New(rand.NewPCG(seed, uint64(i)))
				file, how := files[i%len(files)], damages[random.IntN(len(damages))]
				g, complete, err := damageRound(origin, filepath.Join(folder, strconv.Itoa(i)), file, how, random, sent)
				switch {
				case err != nil:
					t.Errorf("round %d: %s of %s: %v\n%s", i, how.name, file, err, g.said())
				case complete:
					whole.Add(1)
				default:
					told.Add(1)
				}
			}
		})
	}
	workers.Wait()
	t.Logf("%d damages: %d cost no message, %d were told", rounds, whole.Load(), told.Load())
}

// damagedAtOnce is how many damaged gateways are looked at side by side: what
// they do is mostly to start.
const damagedAtOnce = 3

// damageRound damages a copy of the origin and looks at it.
func damageRound(origin *gateway, dir, file string, how damage, r *rand.Rand, sent int) (g *gateway, complete bool, err error) {
	if err := os.Mkdir(dir, 0o700); err != nil {
		return nil, false, err
	}
	defer os.RemoveAll(dir)
	if g, err = newGateway(dir, damagedConfig); err != nil {
		return g, false, err
	}
	if err = os.CopyFS(g.data(), os.DirFS(origin.data())); err == nil {
		err = damageFile(filepath.Join(g.data(), file), how, r)
	}
	if err == nil {
		complete, err = lookAtDamage(g, sent)
	}
	return g, complete, err
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

func damageFile(path string, how damage, r *rand.Rand) error {
	if how.do == nil {
		return os.Remove(path)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	return os.WriteFile(path, how.do(r, b), 0o600)
}

// damageQuiet is how long nothing comes when nothing more will.
const damageQuiet = 3 * time.Second

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
	// What is there comes, then nothing more does. Queues may count what can no
	// longer be read, so that empty ones are only the quick way to know.
	const bulks = 80
	for quiet, last := time.Now(), -1; time.Since(quiet) < damageQuiet; time.Sleep(10 * time.Millisecond) {
		now := got.count() + int(bulk.n.Load())
		if got.count() >= sent && bulk.n.Load() >= bulks {
			break
		}
		if now != last {
			last, quiet = now, time.Now()
			continue
		}
		held, err := heldMessages(g)
		if err != nil {
			return false, err
		}
		if held == 0 && time.Since(quiet) > damageQuiet/10 { // the last is counted when it is acknowledged
			break
		}
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

// heldMessages is how many messages the queues have, ready or delivered.
func heldMessages(g *gateway) (n int, err error) {
	reply, err := http.Get(g.admin() + "/api/status")
	if err != nil {
		return 0, err
	}
	defer reply.Body.Close()
	var status struct {
		Queues []struct{ Ready, Unacked int }
	}
	if err := json.NewDecoder(reply.Body).Decode(&status); err != nil {
		return 0, fmt.Errorf("the gateway's status: %w", err)
	}
	for _, q := range status.Queues {
		n += q.Ready + q.Unacked
	}
	return n, nil
}
