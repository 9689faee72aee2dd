package edge

import (
	"errors"
	"fmt"
	"io"
	"time"

	"leveret/edge/admin"
	"leveret/edge/health"
	"leveret/edge/metrics"
	"leveret/spool"
)

// status collects what an operator wants to see.
func (a *App) status() admin.Status {
	cfg, core := a.cfg.Load(), a.broker.Status()
	st := admin.Status{
		Version: a.version, Profile: string(cfg.Profile), DataDir: cfg.DataDir,
		Started: a.started, Uptime: time.Since(a.started).Seconds(),
		Troubles: a.troubles(),
		Broker: admin.Broker{
			Connections: core.Connections, Consumers: core.Consumers,
			Published: core.Published, Unrouted: core.Unrouted, TransientBytes: core.TransientBytes,
		},
		Devices: a.devices.status(),
		Queues:  []admin.Queue{},
		Shovels: a.shovels.status(),
		Spool:   a.spoolStatus(),
	}
	connections := map[string]int{
		"amqp": int(a.doors.amqp.Counts().ConnectionsNow),
		"mqtt": a.doors.mqtt.Stats().Connections,
	}
	for _, d := range a.doors.list() {
		for _, l := range d.listeners {
			st.Listeners = append(st.Listeners, admin.Listener{Door: d.name, Address: l.Addr().String(), Connections: connections[d.name]})
		}
	}
	for _, v := range core.VHosts {
		st.VHosts = append(st.VHosts, admin.VHost{
			Name: v.Name, Connections: v.Connections, ConnectionsMax: v.Limits.ConnectionsMax,
			Queues: v.Queues, QueuesMax: v.Limits.QueuesMax, Ready: v.Ready,
		})
	}
	for _, q := range core.Queues {
		st.Queues = append(st.Queues, admin.Queue{
			VHost: q.VHost, Name: q.Name, Durable: q.Durable,
			Ready: q.Ready, Unacked: q.Unacked, Bytes: q.Bytes, Consumers: q.Consumers, In: q.In, Out: q.Out,
			Policy: q.Policy, OperatorPolicy: q.OperatorPolicy,
		})
	}
	return st
}

func (a *App) spoolStatus() admin.Spool {
	s := a.store.Stats()
	_, _, err := a.store.Durable()
	wear, now := a.store.Wear(), time.Now()
	return admin.Spool{
		Lost: s.Lost, Quarantined: s.Quarantined,
		WrittenBytes: wear.Process, DeviceBytes: wear.Device, Amplification: wear.Amplification(),
		CommitsPerHour: wear.CommitsPerHour(now), CardYears: wear.Years(a.cardEndurance(), now),
		DiskBytes: s.DiskBytes, BudgetBytes: s.BudgetBytes, Records: s.Records, StagedBytes: s.StagedBytes,
		Commits: s.Commits, Written: s.Written, Skipped: s.Skipped, BytesIn: s.BytesIn,
		SyncSeconds: time.Duration(s.SyncNanos).Seconds(), Corrupt: s.Corrupt,
		Failed: errors.Is(err, spool.ErrFailed),
	}
}

// troubles are those that were raised, and those that can be seen at any time.
func (a *App) troubles() []health.Trouble {
	list := a.report.Troubles()
	if _, _, err := a.store.Durable(); err != nil {
		list = append(list, health.Trouble{Name: "spool", Text: err.Error(), Since: time.Now()})
	}
	return append(list, a.cardTrouble()...)
}

// alarms are the resources that are short.
func (a *App) alarms() []string {
	if _, _, err := a.store.Durable(); err != nil || a.store.Full() {
		return []string{"disk"}
	}
	return nil
}

// cardEndurance is how many bytes the card stands; 0: unknown.
func (a *App) cardEndurance() int64 { return int64(a.cfg.Load().Spool.CardEndurance) * 1e12 }

// cardYearsMin is how long a card should last.
const cardYearsMin = 3

// cardTrouble is the card that will not last.
func (a *App) cardTrouble() []health.Trouble {
	now := time.Now()
	years := a.store.Wear().Years(a.cardEndurance(), now)
	if years == 0 || years >= cardYearsMin {
		return nil
	}
	return []health.Trouble{{Name: "card wear", Since: now, Text: fmt.Sprintf("at the present rate the card is worn out after %.1f years", years)}}
}

// metrics writes all figures for Prometheus.
func (a *App) metrics(out io.Writer) {
	w := metrics.To(out)
	w.Gauge("leveret_info", "Always 1; the label tells the version.", 1, "version", a.version)
	w.Gauge("leveret_uptime_seconds", "Time since the start.", time.Since(a.started).Seconds())
	w.Gauge("leveret_troubles", "Things that are wrong at present; see the status.", float64(len(a.troubles())))
	a.coreMetrics(w)
	a.doorMetrics(w)
	a.shovels.metrics(w)
	a.devices.metrics(w)
	a.spoolMetrics(w)
	w.Process()
}

func (a *App) coreMetrics(w *metrics.Writer) {
	st := a.broker.Status()
	w.Counter("leveret_messages_published_total", "Messages taken from all doors.", st.Published)
	w.Counter("leveret_messages_unrouted_total", "Messages that matched no queue.", st.Unrouted)
	w.Counter("leveret_messages_damaged_total", "Stored messages that did not read back and were left out.", st.Damaged)
	w.Counter("leveret_messages_missing_total", "Messages that were counted in the spool and are not there.", st.Missing)
	w.Gauge("leveret_transient_bytes", "Memory of messages that are not in the spool.", float64(st.TransientBytes))
	w.Gauge("leveret_retained_values", "Retained values.", float64(st.Retained))
	w.Counter("leveret_retained_refused_total", "Values not kept because the store was full.", st.Unretained)
	for _, q := range st.Queues {
		w.Gauge("leveret_queue_messages_ready", "Messages ready for delivery.", float64(q.Ready), "vhost", q.VHost, "queue", q.Name)
	}
	for _, q := range st.Queues {
		w.Gauge("leveret_queue_messages_unacked", "Messages delivered and not settled.", float64(q.Unacked), "vhost", q.VHost, "queue", q.Name)
	}
	for _, q := range st.Queues {
		w.Gauge("leveret_queue_bytes", "Bodies of the ready messages.", float64(q.Bytes), "vhost", q.VHost, "queue", q.Name)
	}
	for _, q := range st.Queues {
		w.Gauge("leveret_queue_consumers", "Consumers.", float64(q.Consumers), "vhost", q.VHost, "queue", q.Name)
	}
}

func (a *App) doorMetrics(w *metrics.Writer) {
	c, m := a.doors.amqp.Counts(), a.doors.mqtt.Stats()
	const now = "leveret_connections"
	w.Gauge(now, "Open connections.", float64(c.ConnectionsNow), "door", "amqp")
	w.Gauge(now, "Open connections.", float64(m.Connections), "door", "mqtt")
	const all = "leveret_connections_total"
	w.Counter(all, "Clients that were let in.", c.Connections, "door", "amqp")
	w.Counter(all, "Clients that were let in.", m.Connected, "door", "mqtt")
	const refused = "leveret_connections_refused_total"
	w.Counter(refused, "Connections that were refused.", c.Refused, "door", "amqp")
	w.Counter(refused, "Connections that were refused.", m.Refused, "door", "mqtt")
	const panics = "leveret_connection_panics_total"
	w.Counter(panics, "Connections that a mistake of ours ended.", c.Panics, "door", "amqp")
	w.Counter(panics, "Connections that a mistake of ours ended.", m.Panics, "door", "mqtt")
	const received = "leveret_messages_received_total"
	w.Counter(received, "Messages that clients published.", c.Published, "door", "amqp")
	w.Counter(received, "Messages that clients published.", m.Received[0]+m.Received[1]+m.Received[2], "door", "mqtt")
	const sent = "leveret_messages_sent_total"
	w.Counter(sent, "Messages sent to clients.", c.Delivered, "door", "amqp")
	w.Counter(sent, "Messages sent to clients.", m.Sent[0]+m.Sent[1]+m.Sent[2], "door", "mqtt")
	w.Counter("leveret_amqp_confirmed_total", "Messages confirmed to their publisher.", c.Confirmed)
	w.Gauge("leveret_amqp_channels", "Open channels.", float64(c.ChannelsNow))
	w.Counter("leveret_mqtt_rejected_total", "Messages from clients that were refused.", m.Rejected)
	w.Counter("leveret_mqtt_dropped_total", "Messages a subscriber could not be given.", m.Expired+m.TooLarge+m.Unmatched+m.Foreign)
	w.Counter("leveret_mqtt_subscriptions_lost_total", "Subscriptions of kept sessions whose users lost the right to them.", m.SubscriptionsLost)
	w.Counter("leveret_mqtt_long_topics_total", "Messages whose topic AMQP 0-9-1 clients see cut.", m.LongTopics)
}

func (a *App) spoolMetrics(w *metrics.Writer) {
	s := a.store.Stats()
	w.Gauge("leveret_spool_disk_bytes", "What the spool takes on the disk.", float64(s.DiskBytes))
	w.Gauge("leveret_spool_budget_bytes", "What it may take; 0 is no budget.", float64(s.BudgetBytes))
	w.Gauge("leveret_spool_records", "Messages in queues that the spool holds.", float64(s.Records))
	w.Gauge("leveret_spool_staged_bytes", "Accepted and not yet on the disk.", float64(s.StagedBytes))
	w.Counter("leveret_spool_commits_total", "Group commits that wrote.", s.Commits)
	w.Counter("leveret_spool_written_records_total", "Records written.", s.Written)
	w.Counter("leveret_spool_skipped_records_total", "Records that were gone before they were written.", s.Skipped)
	w.Counter("leveret_spool_written_bytes_total", "Bytes handed to the store.", s.BytesIn)
	w.Gauge("leveret_spool_commit_seconds_total", "Time spent in commits.", time.Duration(s.SyncNanos).Seconds())
	w.Counter("leveret_spool_corrupt_records_total", "Records found damaged.", s.Corrupt)
	w.Counter("leveret_spool_lost_records_total", "Confirmed in an earlier life and not there.", s.Lost)
	w.Counter("leveret_spool_quarantined_total", "Damaged pieces that were kept aside.", s.Quarantined)
	wear, now := a.store.Wear(), time.Now()
	w.Gauge("leveret_spool_process_written_bytes", "Written to the disk by this process since the start; -1 is unknown.", float64(wear.Process))
	w.Gauge("leveret_spool_device_written_bytes", "Written to the spool's device since the start; -1 is unknown.", float64(wear.Device))
	w.Gauge("leveret_spool_write_amplification", "Bytes written for each byte handed to the store; 0 is unknown.", wear.Amplification())
	w.Gauge("leveret_spool_commits_per_hour", "Mean since the start.", wear.CommitsPerHour(now))
	w.Gauge("leveret_card_life_years", "How long the card lasts at this rate; 0 is unknown.", wear.Years(a.cardEndurance(), now))
}
