package config

import "time"

// Profile is a size of machine; see Config.Profile.
type Profile string

const (
	Tiny   Profile = "tiny"
	Small  Profile = "small"
	Server Profile = "server"
)

// Memory up to which a machine is of a profile. A board of 512 MB shows 430 to
// 490 MiB of it, one of 1 GB up to 980, and a service's limit is often three
// quarters of what the machine shows.
const (
	tinyUpTo  = 640 << 20
	smallUpTo = 1280 << 20
)

// ProfileFor chooses by the memory that the process may use, in bytes; 0 is
// unknown and means a small machine.
func ProfileFor(memory int64) Profile {
	switch {
	case memory == 0:
		return Small
	case memory <= tinyUpTo:
		return Tiny
	case memory <= smallUpTo:
		return Small
	}
	return Server
}

// commitWindow is the profile's default of spool.commit_window: the smaller the
// board, the more its card is worth.
func (p Profile) commitWindow() time.Duration {
	switch p {
	case Tiny:
		return 100 * time.Millisecond
	case Small:
		return 20 * time.Millisecond
	}
	return 0
}

// commitsPerSecond is the profile's default of spool.commits_per_second.
func (p Profile) commitsPerSecond() int {
	if p == Tiny {
		return 10
	}
	return 0
}

// Anonymous says which clients need no user name.
type Anonymous string

const (
	AnonymousLoopback Anonymous = "loopback"
	AnonymousNever    Anonymous = "never"
	AnonymousAlways   Anonymous = "always"
)

// ExternalLogin says what of a client's certificate is the user's name.
type ExternalLogin string

const (
	NoName                 ExternalLogin = "none"
	CommonName             ExternalLogin = "common_name"
	DistinguishedName      ExternalLogin = "distinguished_name"
	SubjectAlternativeName ExternalLogin = "subject_alternative_name"
)

// Takeover says who may take a client id over.
type Takeover string

const (
	SameUser Takeover = "same_user"
	AnyUser  Takeover = "any"
)

// TopicDots says what the dots of MQTT topics become in routing keys.
type TopicDots string

const (
	ExactDots  TopicDots = "exact"
	RabbitDots TopicDots = "rabbit"
)

// Redirect says for how long clients are sent to another server.
type Redirect string

const (
	Temporary Redirect = "temporary"
	Moved     Redirect = "moved"
)

// connections is the profile's default for each door.
func (p Profile) connections() int {
	switch p {
	case Tiny:
		return 1_000
	case Small:
		return 4_000
	}
	return 20_000
}

// QueueType is what a declared type of queue becomes.
type QueueType string

const (
	QueueClassic QueueType = "classic"
	QueueQuorum  QueueType = "quorum"
	QueueRefused QueueType = "refuse"
)

// DestinationType says what a binding leads to.
type DestinationType string

const (
	ToQueue    DestinationType = "queue"
	ToExchange DestinationType = "exchange"
)
