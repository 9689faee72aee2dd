package edge

import (
	"cmp"
	"math"
	"os"
	"runtime/debug"

	"leveret/amqp/broker"
	"leveret/edge/config"
	"leveret/spool/disk"
)

// sizes are the bounds that a profile sets together.
type sizes struct {
	spool       disk.Options
	core        broker.Limits
	heapBytes   int64 // what the collector aims to stay under
	gcPercent   int   // how much garbage may gather, of the live heap
	connections int   // for each door
}

func sizesOf(p config.Profile) sizes {
	switch p {
	case config.Tiny:
		return sizes{
			spool: disk.Tiny(),
			core: broker.Limits{
				MessageBytesMax: 4 << 20, WindowMessages: 64, WindowBytes: 256 << 10,
				TransientBytesMax: 8 << 20, OutboxMessages: 256, OutboxBytes: 128 << 10,
				UnackedMax: 8 << 10, UnackedBytesMax: 4 << 20,
				RetainedMax: 5_000, RetainedBytesMax: 4 << 20,
			},
			heapBytes: 32 << 20, gcPercent: 25, connections: 1_000,
		}
	case config.Small:
		return sizes{
			spool: disk.Small(),
			core: broker.Limits{
				WindowMessages: 256, WindowBytes: 512 << 10,
				TransientBytesMax: 24 << 20, OutboxMessages: 1024, OutboxBytes: 256 << 10,
				UnackedMax: 32 << 10, UnackedBytesMax: 8 << 20,
			},
			heapBytes: 64 << 20, gcPercent: 50, connections: 4_000,
		}
	}
	return sizes{
		spool:     disk.Server(),
		core:      broker.Limits{TransientBytesMax: 256 << 20, OutboxBytes: 1 << 20, RetainedMax: 200_000, RetainedBytesMax: 128 << 20},
		heapBytes: math.MaxInt64, gcPercent: 100, connections: 20_000,
	}
}

// contentBytesMax bounds the memory of AMQP messages of which a part is there. It
// is what the door has by itself, and less where memory is so short that they alone
// would keep the memory alarm ringing: they may take twice that, see there. 0 leaves
// it to the door.
func contentBytesMax(message int, available int64) int {
	if most := share(available, contentShare); available > 0 && most < 4*int64(cmp.Or(message, messageBytesDefault)) {
		return int(most)
	}
	return 0
}

// messageBytesDefault is the core's, of the largest message.
const messageBytesDefault = 16 << 20

// contentShare is in percent of what the process may use; memoryCalm is more than
// twice that, and what an idle process has.
const contentShare = 12

// limitHeap has the collector keep within the profile, and where that is less
// within what the memory alarm calls calm, unless the operator set GOMEMLIMIT or
// GOGC himself. available is what the process may use; 0 is unknown.
func limitHeap(s sizes, available int64) {
	if os.Getenv("GOMEMLIMIT") == "" {
		most := s.heapBytes
		if available > 0 {
			most = min(most, share(available, memoryCalm))
		}
		debug.SetMemoryLimit(most)
	}
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(s.gcPercent)
	}
}
