package admin

import (
	"time"

	"leveret/edge/health"
)

// Status is the answer of GET /api/status: what an operator wants to see at
// once. Fields may be added; they are not renamed and do not change meaning.
type Status struct {
	Version string    `json:"version"`
	Profile string    `json:"profile"`  // tiny, small, server
	DataDir string    `json:"data_dir"` // as configured
	Started time.Time `json:"started"`
	Uptime  float64   `json:"uptime_seconds"`
	// Troubles are what is wrong at present, oldest first; none is healthy.
	Troubles  []health.Trouble `json:"troubles"`
	Listeners []Listener       `json:"listeners"`
	Broker    Broker           `json:"broker"`
	Devices   Devices          `json:"devices"`
	VHosts    []VHost          `json:"vhosts"` // by name
	Queues    []Queue          `json:"queues"` // by vhost and name
	Shovels   []Shovel         `json:"shovels"`
	Spool     Spool            `json:"spool"`
}

// Listener is one address that is listened on.
type Listener struct {
	Door        string `json:"door"`    // amqp, mqtt, admin
	Address     string `json:"address"` // with the real port
	Connections int    `json:"connections"`
}

// Broker are figures of the core; counters count since the start.
type Broker struct {
	Connections    int    `json:"connections"`
	Consumers      int    `json:"consumers"`
	Published      uint64 `json:"published"`
	Unrouted       uint64 `json:"unrouted"`
	TransientBytes int64  `json:"transient_bytes"`
}

// Devices are how many clients are remembered; counters count since the start.
type Devices struct {
	Known     int    `json:"known"`
	Connected int    `json:"connected"`
	Silent    int    `json:"silent"`
	Max       int    `json:"max"`
	Forgotten uint64 `json:"forgotten"` // gave way to others
}

// VHost is one vhost; a bound of 0 is none of its own.
type VHost struct {
	Name           string `json:"name"`
	Connections    int    `json:"connections"` // with the product's own
	ConnectionsMax int    `json:"connections_max"`
	Queues         int    `json:"queues"`
	QueuesMax      int    `json:"queues_max"`
	Ready          int    `json:"ready"`
}

// Queue is one queue.
type Queue struct {
	VHost     string `json:"vhost"`
	Name      string `json:"name"`
	Durable   bool   `json:"durable"`
	Ready     int    `json:"ready"`
	Unacked   int    `json:"unacked"`
	Bytes     int64  `json:"bytes"` // bodies of the ready ones
	Consumers int    `json:"consumers"`
	In        uint64 `json:"in"`  // messages since the start
	Out       uint64 `json:"out"` // messages since the start
	// Policy and OperatorPolicy name those in force.
	Policy         string `json:"policy,omitempty"`
	OperatorPolicy string `json:"operator_policy,omitempty"`
}

// Shovel is one shovel.
type Shovel struct {
	Name   string `json:"name"`
	State  string `json:"state"`  // down, dialing, draining, live
	Source string `json:"source"` // without the password
	Target string `json:"target"` // without the password
	// Held is why the other side takes nothing at the moment.
	Held string `json:"held,omitempty"`
	// Lag is how many messages wait for the other side's confirm: those in the
	// source queue and those under way. Not every source can tell: then it is 0
	// and unknown.
	Lag        int64  `json:"lag_messages"`
	LagUnknown bool   `json:"lag_unknown,omitempty"`
	Sent       uint64 `json:"sent"` // confirmed since the start
	// Since the start: answers that a message is not taken, messages that were
	// never taken and are dead-lettered or dropped, and messages that had been
	// here or there before or that nobody asked for.
	Refused      uint64     `json:"refused"`
	DeadLettered uint64     `json:"dead_lettered"`
	Dropped      uint64     `json:"dropped"`
	Ignored      uint64     `json:"ignored"`
	Since        time.Time  `json:"since"`
	LastError    string     `json:"last_error,omitempty"`
	ErrorAt      *time.Time `json:"error_at,omitempty"`
}

// Spool is the durable log; counters count since the start.
type Spool struct {
	DiskBytes   int64   `json:"disk_bytes"`
	BudgetBytes int64   `json:"budget_bytes"` // 0 is none
	Records     int64   `json:"records"`
	StagedBytes int64   `json:"staged_bytes"` // accepted, not yet on the disk
	Commits     uint64  `json:"commits"`
	Written     uint64  `json:"written_records"`
	Skipped     uint64  `json:"skipped_records"` // gone before they were written
	BytesIn     uint64  `json:"bytes_in"`
	SyncSeconds float64 `json:"sync_seconds"`
	Corrupt     uint64  `json:"corrupt_records"`
	Failed      bool    `json:"failed"` // nothing is promised any more

	Lost        uint64 `json:"lost_records"`       // confirmed in an earlier life and not there
	Quarantined uint64 `json:"quarantined_pieces"` // damaged, and kept aside

	// What the flash had to bear since the start; -1 and 0 are unknown.
	WrittenBytes   int64   `json:"written_bytes"`        // by this process
	DeviceBytes    int64   `json:"device_written_bytes"` // by all
	Amplification  float64 `json:"write_amplification"`
	CommitsPerHour float64 `json:"commits_per_hour"`
	CardYears      float64 `json:"card_years"` // that the card lasts at this rate
}
