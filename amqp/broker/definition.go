package broker

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"

	"leveret/amqp"
	"leveret/spool"
)

// Definitions are what the spool keeps beside messages. A definition's key is
// its kind, a '/', and the names that tell it apart; its value starts with a
// version octet and holds everything, the names included, so that a key only
// has to be unique. Values (version 1; str is a uvarint length and bytes, table
// a field table as in amqp.Table.AppendTo):
//
//	boot      u32 id, i64 wall clock at its base (ns since 1970), u8 synchronised
//	exchange  str vhost, str name, str type, u8 flags (1 auto-delete, 2 internal), table
//	binding   str vhost, str source, u8 to an exchange, str destination, str key, table
//	holding   str vhost, str exchange, uvarint id of the queue of held messages
//	policy    str vhost, str name, u8 operator's, str pattern, str applies to, i64 priority, table
//	queue     str vhost, str name, uvarint id, u8 flags (1 auto-delete, 2 paused), table
//	mark      str vhost, str queue, u32 number
//	vhost     str name, uvarint connections at most, uvarint queues at most (0: any)
//	value     str vhost, a stored message (see stored.go)
//	~note     str kind, str name, the note (see notes.go)
//	~delivered uvarint id of a lane, uvarint: positions below may have been delivered
//	~seen     str vhost, u8 owner (0 exchange, 1 queue), str its name, uvarint page,
//	          then for each mark: str, uvarint boot, uvarint instant (see window_pages.go)
//	node      text, the name of this spool among all others
//	ids       uvarint, no queue has a higher id
const (
	kindBoot      = "boot"
	kindExchange  = "exchange"
	kindBinding   = "binding"
	kindHolding   = "holding"
	kindPolicy    = "policy"
	kindQueue     = "queue"
	kindMark      = "mark"
	kindVHost     = "vhost"
	kindValue     = "value"
	kindNote      = spool.Minor + "note"      // the log keeps no copy of them
	kindDelivered = spool.Minor + "delivered" // nor of these
	kindSeen      = spool.Minor + "seen"
	kindNode      = "node"
	kindIDs       = "ids"
)

const definitionVersion = 1

// keyMax is the longest key that is written out; longer ones are hashed.
const keyMax = 512

// definitionKey names a definition.
func definitionKey(kind string, names ...string) string {
	key := kind + "/" + joined(names...)
	if len(key) <= keyMax {
		return key
	}
	sum := sha256.Sum256([]byte(key))
	return kind + "/sha256:" + hex.EncodeToString(sum[:])
}

// joined makes one string of several so that no two lists give the same.
func joined(parts ...string) string {
	var b []byte
	for _, p := range parts {
		b = appendText(b, p)
	}
	return string(b)
}

func appendText(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

func flags(on ...bool) (b byte) {
	for i, set := range on {
		if set {
			b |= 1 << i
		}
	}
	return b
}

func encodeExchange(vhost string, spec ExchangeSpec) []byte {
	b := appendText([]byte{definitionVersion}, vhost)
	b = appendText(b, spec.Name)
	b = appendText(b, spec.Type)
	b = append(b, flags(spec.AutoDelete, spec.Internal))
	return spec.Args.AppendTo(b)
}

func (q *queue) encode() []byte {
	b := appendText([]byte{definitionVersion}, q.v.name)
	b = appendText(b, q.name)
	b = binary.AppendUvarint(b, uint64(q.id))
	b = append(b, flags(q.spec.AutoDelete, q.paused))
	return q.spec.Args.AppendTo(b)
}

func (q *queue) put() spool.Put {
	return spool.Put{Key: definitionKey(kindQueue, q.v.name, q.name), Value: q.encode()}
}

func encodeHolding(vhost, exchange string, id spool.QueueID) []byte {
	b := appendText([]byte{definitionVersion}, vhost)
	b = appendText(b, exchange)
	return binary.AppendUvarint(b, uint64(id))
}

func encodeBinding(vhost string, d *binding) []byte {
	b := appendText([]byte{definitionVersion}, vhost)
	b = appendText(b, d.source.Name)
	if d.queue != nil {
		b = appendText(append(b, 0), d.queue.name)
	} else {
		b = appendText(append(b, 1), d.exchange.Name)
	}
	b = appendText(b, d.key)
	return d.args.AppendTo(b)
}

func encodeValue(vhost string, m *amqp.Message) []byte {
	return (*stored)(m).AppendTo(appendText([]byte{definitionVersion}, vhost))
}

func encodeBoot(r BootRecord) []byte {
	b := binary.BigEndian.AppendUint32([]byte{definitionVersion}, uint32(r.ID))
	b = binary.BigEndian.AppendUint64(b, uint64(r.Base.UnixNano()))
	return append(b, flags(r.Synchronised))
}

// decoder reads a definition or a stored message. It keeps the first error and
// gives zero values after it.
type decoder struct {
	b   []byte
	err error
}

var errShort = errors.New("ends too early")

func decode(value []byte) *decoder {
	d := &decoder{b: value}
	if v := d.u8(); d.err == nil && v != definitionVersion {
		d.err = fmt.Errorf("version %d is not known", v)
	}
	return d
}

func (d *decoder) take(n uint64) []byte {
	if d.err != nil || n > uint64(len(d.b)) {
		if d.err == nil {
			d.err = errShort
		}
		return nil
	}
	p := d.b[:n:n]
	d.b = d.b[n:]
	return p
}

func (d *decoder) u8() byte {
	if p := d.take(1); p != nil {
		return p[0]
	}
	return 0
}

func (d *decoder) u32() uint32 {
	if p := d.take(4); p != nil {
		return binary.BigEndian.Uint32(p)
	}
	return 0
}

func (d *decoder) u64() uint64 {
	if p := d.take(8); p != nil {
		return binary.BigEndian.Uint64(p)
	}
	return 0
}

func (d *decoder) uvarint() uint64 {
	v, n := binary.Uvarint(d.b)
	if d.err != nil || n <= 0 {
		if d.err == nil {
			d.err = errShort
		}
		return 0
	}
	d.b = d.b[n:]
	return v
}

func (d *decoder) raw() []byte  { return d.take(d.uvarint()) }
func (d *decoder) text() string { return string(d.raw()) }

func (d *decoder) table() amqp.Table {
	if d.err != nil {
		return nil
	}
	t, n, err := amqp.ParseTable(d.b)
	if err != nil {
		d.err = err
		return nil
	}
	d.b = d.b[n:]
	return t
}
