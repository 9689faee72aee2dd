package broker

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"leveret/amqp"
	"leveret/spool"
	"leveret/spool/mem"
)

var update = flag.Bool("update", false, "write the transcripts' answers anew; read them before you keep them")

// TestTranscripts plays the conversations in testdata: each line that is not
// indented is a command, the indented lines below are the answer.
func TestTranscripts(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("transcripts: %v, %v", files, err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			got := play(string(want))
			if *update {
				if err := os.WriteFile(file, got, 0o644); err != nil {
					t.Fatal(err)
				}
			} else if !bytes.Equal(got, want) {
				t.Errorf("%s: got\n%s", file, diffLines(string(want), string(got)))
			}
		})
	}
}

// diffLines shows the first place where two texts part.
func diffLines(want, got string) string {
	w, g := strings.Split(want, "\n"), strings.Split(got, "\n")
	for i := 0; i < len(w) && i < len(g); i++ {
		if w[i] != g[i] {
			return fmt.Sprintf("line %d: %q, want %q", i+1, g[i], w[i])
		}
	}
	return fmt.Sprintf("%d lines, want %d", len(g), len(w))
}

func play(script string) []byte {
	s := newStage()
	var out bytes.Buffer
	for line := range strings.Lines(script) {
		line = strings.TrimRight(line, "\n")
		if strings.HasPrefix(line, "  ") {
			continue // an old answer
		}
		out.WriteString(line + "\n")
		if words := strings.Fields(line); len(words) > 0 && words[0] != "#" {
			for _, answer := range s.do(words[0], words[1:]) {
				out.WriteString("  " + answer + "\n")
			}
		}
	}
	return out.Bytes()
}

// stage is the broker of one transcript and who acts in it.
type stage struct {
	log      *mem.Log
	b        *Broker
	conns    map[string]*Conn
	sessions map[string]*Session
	troubles []string
	now      amqp.Instant
	alarm    amqp.Instant // asked for since the last tick; 0 is none
}

func newStage() *stage {
	s := &stage{log: mem.New()}
	s.open()
	return s
}

func (s *stage) open() {
	s.conns, s.sessions = make(map[string]*Conn), make(map[string]*Session)
	s.now, s.alarm = 1, 0
	b, err := Open(Options{
		Log:    s.log,
		Limits: Limits{WindowMessages: 3, MessageBytesMax: 100, HeldMax: 8, TransientBytesMax: 5 * messageOverhead, OutboxMessages: 8},
		Boot:   BootRecord{Base: time.Unix(1_700_000_000, 0), Synchronised: true},
		Now:    func() amqp.Instant { return s.now },
		Alarm: func(at amqp.Instant) {
			if s.alarm == 0 || at < s.alarm {
				s.alarm = max(at, 1)
			}
		},
		Trouble: func(msg string, facts ...any) {
			s.troubles = append(s.troubles, "trouble: "+msg+" "+strings.TrimSpace(fmt.Sprintln(facts...)))
		},
	})
	if err != nil {
		panic(err)
	}
	s.b = b
}

func (s *stage) do(verb string, args []string) []string {
	answer := s.act(verb, args)
	answer = append(answer, s.troubles...)
	s.troubles = nil
	return answer
}

// options splits "a b c=1" into words and settings.
func options(args []string) (words []string, on map[string]string) {
	on = make(map[string]string)
	for _, a := range args {
		k, v, ok := strings.Cut(a, "=")
		if ok {
			on[k] = v
		} else {
			words = append(words, strings.Trim(a, `"`))
		}
	}
	return words, on
}

func has(words []string, w string) bool {
	for _, x := range words {
		if x == w {
			return true
		}
	}
	return false
}

func table(on map[string]string, keys ...string) (t amqp.Table) {
	for _, k := range keys {
		v, ok := on[k]
		if !ok {
			continue
		}
		var value any = v
		if n, err := strconv.ParseInt(v, 10, 64); err == nil {
			value = n
		} else if v == "true" {
			value = true
		} else if list, isList := strings.CutPrefix(v, "list:"); isList {
			var a amqp.Array
			for _, x := range strings.Split(list, "+") {
				a = append(a, x)
			}
			value = a
		}
		t = append(t, amqp.Field{Key: k, Value: value})
	}
	return t
}

// fields is what commands use as binding arguments and message headers.
var fields = append([]string{"x-match", "kind", "site", "alternate-exchange", "x-foo", "CC", "BCC",
	delayHeader, argDelayedType, argHashHeader, argHashProperty, "mark"}, comparedQueueArgs...)

func (s *stage) act(verb string, args []string) []string {
	words, on := options(args)
	num := func(key string) int { n, _ := strconv.Atoi(on[key]); return n }
	at := func(i int) string {
		if i < len(words) {
			return words[i]
		}
		return ""
	}
	c, ses := s.conns[at(0)], s.sessions[at(0)]
	switch verb {
	case "connect":
		c, err := s.b.Connect(DefaultVHost, Identity{User: at(0), Access: access(on)}, func() {})
		s.conns[at(0)] = c
		return said(err)
	case "open":
		conn, _, _ := strings.Cut(at(0), ".")
		s.sessions[at(0)] = s.conns[conn].Open()
	case "exchange":
		lsn, err := c.DeclareExchange(ExchangeSpec{Name: at(1), Type: at(2), Durable: has(words, "durable"),
			AutoDelete: has(words, "auto-delete"), Internal: has(words, "internal"), Args: table(on, fields...)})
		return receipt(lsn, err)
	case "delete-exchange":
		return receipt(c.DeleteExchange(at(1), has(words, "if-unused")))
	case "queue":
		info, lsn, err := c.DeclareQueue(QueueSpec{Name: at(1), Durable: has(words, "durable"),
			Exclusive: has(words, "exclusive"), AutoDelete: has(words, "auto-delete"), Args: table(on, fields...)})
		if err != nil {
			return said(err)
		}
		return []string{fmt.Sprintf("%s messages=%d consumers=%d %s", shown(info.Name), info.Messages, info.Consumers, lsnText(lsn))}
	case "delete":
		n, lsn, err := c.DeleteQueue(at(1), has(words, "if-unused"), has(words, "if-empty"))
		return counted(n, lsn, err)
	case "purge":
		return counted(c.Purge(at(1)))
	case "bind":
		return receipt(c.BindQueue(at(1), at(2), at(3), table(on, fields...)))
	case "unbind":
		return receipt(c.UnbindQueue(at(1), at(2), at(3), table(on, fields...)))
	case "bind-exchange":
		return receipt(c.BindExchange(at(1), at(2), at(3), nil))
	case "publish": // session exchange key body...
		return s.publish(ses, words[1:], on)
	case "consume":
		_, err := ses.Consume(at(1), ConsumerSpec{Tag: at(2), NoAck: has(words, "no-ack"), Exclusive: has(words, "exclusive"),
			Priority: num("priority"), Prefetch: num("prefetch")})
		if err != nil {
			return said(err)
		}
		if !has(words, "wait") {
			ses.consumers[at(2)].Start()
		}
	case "start":
		ses.consumers[at(1)].Start()
	case "wait": // milliseconds
		ms, _ := strconv.Atoi(at(0))
		s.now += amqp.Instant(time.Duration(ms) * time.Millisecond)
	case "tick": // as long as an alarm is due
		for s.alarm != 0 && s.alarm <= s.now {
			s.alarm = 0
			if next := s.b.Tick(); next != 0 {
				s.alarm = next
			}
		}
	case "tx": // session queue body tag: publish and ack as one
		tag, _ := strconv.ParseUint(at(3), 10, 64)
		m := &amqp.Message{Key: at(1), Props: amqp.PropertyList{DeliveryMode: 2}.Encode(), Body: []byte(at(2))}
		return receipt(ses.Commit(s.now, []Publish{{Msg: m}}, []Settlement{{Tag: tag}}))
	case "policy": // name pattern applies-to
		p := Policy{Name: at(0), Pattern: at(1), ApplyTo: at(2), Priority: num("priority"), Operator: has(words, "operator")}
		p.Definition = table(on, slices.Sorted(maps.Keys(policyKeys))...)
		p.Definition = append(p.Definition, table(on, "x-foo")...)
		return receipt(s.b.SetPolicy(DefaultVHost, p))
	case "pause", "resume": // queue
		_, err := s.b.PauseQueue(DefaultVHost, at(0), verb == "pause")
		return said(err)
	case "drop-policy":
		return receipt(s.b.DeletePolicy(DefaultVHost, at(0), has(words, "operator")))
	case "cancel":
		ses.Cancel(at(1))
	case "prefetch":
		ses.SetPrefetch(num("all"))
	case "take":
		return taken(c.Take(nil))
	case "get":
		d, left, ok, err := ses.Get(at(1), has(words, "no-ack"))
		switch {
		case err != nil:
			return said(err)
		case !ok:
			return []string{"empty"}
		}
		return []string{fmt.Sprintf("%s left=%d", delivery(d), left)}
	case "ack", "requeue", "reject":
		tag, _ := strconv.ParseUint(at(1), 10, 64)
		outcome := map[string]Outcome{"ack": Accepted, "requeue": Returned, "reject": Rejected}[verb]
		return said(ses.Settle([]Settlement{{Tag: tag, Multiple: has(words, "multiple"), Outcome: outcome}}))
	case "recover":
		ses.Recover()
	case "retained":
		var out []string
		for _, m := range c.Retained(at(1)) {
			out = append(out, fmt.Sprintf("%s %s", m.Key, m.Body))
		}
		return out
	case "close":
		if ses != nil {
			ses.Close()
		} else {
			c.Close()
		}
	case "status":
		return s.status()
	case "commit":
		s.log.Commit()
	case "full":
		s.log.SetFull(at(0) == "yes")
	case "floor": // the lowest priority that the spool takes
		floor, _ := strconv.Atoi(at(0))
		s.log.SetFloor(floor)
	case "crash":
		s.log = s.log.Crash()
		s.open()
	default:
		return []string{"no such command"}
	}
	return nil
}

func (s *stage) publish(ses *Session, words []string, on map[string]string) []string {
	var ps []Publish
	props := amqp.PropertyList{Headers: table(on, fields...), Expiration: on["expiration"], UserID: on["user"], MessageID: on["message-id"]}
	if p, err := strconv.Atoi(on["priority"]); err == nil {
		props.Priority = uint8(p)
	}
	if has(words, "persistent") {
		props.DeliveryMode = 2
	}
	for _, body := range strings.Split(words[2], ",") {
		m := &amqp.Message{Exchange: words[0], Key: words[1], Props: props.Encode(), Body: []byte(body)}
		ps = append(ps, Publish{Msg: m, Retain: has(words, "retain")})
	}
	n, err := ses.Publish(s.now, ps)
	var out []string
	for _, p := range ps[:n] {
		routed := ""
		if !p.Routed {
			routed = " unroutable"
		}
		if p.Refused {
			routed += " refused"
		}
		out = append(out, lsnText(p.LSN)+routed)
	}
	return append(out, said(err)...)
}

func (s *stage) status() (out []string) {
	st := s.b.Status()
	for _, q := range st.Queues {
		line := fmt.Sprintf("%s ready=%d unacked=%d bytes=%d consumers=%d", shown(q.Name), q.Ready, q.Unacked, q.Bytes, q.Consumers)
		if q.Resting > 0 {
			line += fmt.Sprintf(" resting=%d", q.Resting)
		}
		if q.Policy+q.OperatorPolicy != "" {
			line += fmt.Sprintf(" policy=%q %q", q.Policy, q.OperatorPolicy)
		}
		out = append(out, line)
	}
	if st.Held > 0 {
		out = append(out, fmt.Sprintf("%d held back", st.Held))
	}
	up, _, _ := s.log.Durable()
	return append(out, fmt.Sprintf("durable %d, %d in the spool, %d B transient", up, s.log.Stats().Records, st.TransientBytes))
}

// shown is a name, with the random part of a made up one left out.
func shown(name string) string {
	if n, ok := strings.CutPrefix(name, "amq.gen-"); ok {
		return fmt.Sprintf("amq.gen-(%d characters)", len(n))
	}
	return name
}

// access of "deny=write:logs" refuses one thing.
func access(on map[string]string) Access {
	if d, ok := on["deny"]; ok {
		return deny(d)
	}
	if d, ok := on["deny-topic"]; ok {
		return denyTopic{deny("nothing"), d}
	}
	return nil
}

type deny string

func (d deny) Allows(a Action, resource string) bool { return a.String()+":"+resource != string(d) }

// denyTopic refuses one key of one topic exchange, as in "write:amq.topic:a.b".
type denyTopic struct {
	deny
	topic string
}

func (d denyTopic) AllowsTopic(a Action, exchange, key string) bool {
	return a.String()+":"+exchange+":"+key != d.topic
}

func said(err error) []string {
	var e *amqp.Error
	switch {
	case err == nil:
		return nil
	case errors.As(err, &e):
		return []string{fmt.Sprintf("%d %s", e.Code, e.Error())}
	}
	return []string{err.Error()}
}

func lsnText(lsn spool.LSN) string {
	if lsn == 0 {
		return "at once"
	}
	return fmt.Sprintf("lsn %d", lsn)
}

func receipt(lsn spool.LSN, err error) []string {
	if err != nil {
		return said(err)
	}
	return []string{lsnText(lsn)}
}

func counted(n int, lsn spool.LSN, err error) []string {
	if err != nil {
		return said(err)
	}
	return []string{fmt.Sprintf("%d messages, %s", n, lsnText(lsn))}
}

func taken(ds []Delivery) (out []string) {
	for _, d := range ds {
		out = append(out, delivery(d))
	}
	return out
}

func delivery(d Delivery) string {
	if d.Msg == nil {
		return "cancelled " + d.Consumer.Tag
	}
	text := fmt.Sprintf("%d: %q key=%q", d.Tag, d.Msg.Body, d.Msg.Key)
	if d.Consumer != nil {
		text += " to " + d.Consumer.Tag
	}
	if d.Redelivered {
		text += " redelivered"
	}
	if n, ok := d.Msg.Props.Header("x-delivery-count"); ok {
		text += fmt.Sprintf(" x-delivery-count=%v", n)
	}
	for _, x := range deathsOf(d.Msg.Props) {
		death := x.(amqp.Table)
		get := func(k string) any { v, _ := death.Get(k); return v }
		text += fmt.Sprintf("\n    death: %v of %v, %v times, by %q %v, expiration %v", get("reason"), get("queue"), get("count"),
			get("exchange"), get("routing-keys"), get("original-expiration"))
	}
	if d.Msg.Props.Has(amqp.HasHeaders) {
		for _, k := range append(copyHeaders[:], delayHeader) {
			if v, ok := d.Msg.Props.Header(k); ok {
				text += fmt.Sprintf(" %s=%v", k, v)
			}
		}
	}
	return text
}
