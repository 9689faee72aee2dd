package disk

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"

	"leveret/spool"
)

// format is the version of everything that is described in the package comment.
const format = 1

// Classes of keys: the first byte.
const (
	classSchema  = 's'
	classDef     = 'd'
	classEntry   = 'i'
	classChunk   = 'c'
	classPurge   = 'p'
	classRedo    = 'r'
	classMark    = 'm'
	classScratch = '~'
)

var (
	be = binary.BigEndian
	le = binary.LittleEndian // of pointers into value logs
)

func chunkKey(id uint64) []byte { return be.AppendUint64([]byte{classChunk}, id) }

func partKey(id uint64, part int) []byte {
	return be.AppendUint16(chunkKey(id), uint16(part))
}

func queuePrefix(q spool.QueueID) []byte { return be.AppendUint32([]byte{classEntry}, uint32(q)) }

func entryKey(q spool.QueueID, first spool.Pos) []byte {
	k := make([]byte, 0, 13)
	k = append(k, classEntry)
	k = be.AppendUint32(k, uint32(q))
	return be.AppendUint64(k, uint64(first))
}

func splitEntryKey(k []byte) (q spool.QueueID, first spool.Pos, ok bool) {
	if len(k) != 13 || k[0] != classEntry {
		return 0, 0, false
	}
	return spool.QueueID(be.Uint32(k[1:])), spool.Pos(be.Uint64(k[5:])), true
}

func purgeKey(q spool.QueueID) []byte { return be.AppendUint32([]byte{classPurge}, uint32(q)) }

func redoKey(part int) []byte { return be.AppendUint32([]byte{classRedo}, uint32(part)) }

func redoPartOf(key []byte) int {
	if len(key) != 5 {
		return 0
	}
	return int(be.Uint32(key[1:]))
}

func defKey(name string) []byte { return append([]byte{classDef}, name...) }

func defValue(name string, v []byte) []byte {
	out := make([]byte, 4, 4+len(v))
	be.PutUint32(out, defSum(name, v))
	return append(out, v...)
}

func defSum(name string, v []byte) uint32 {
	return crc32.Update(crc32.Checksum([]byte(name), castagnoli), castagnoli, v)
}

// decodeDef checks a stored definition. The value is part of b.
func decodeDef(name string, b []byte) ([]byte, error) {
	if len(b) < 4 || be.Uint32(b) != defSum(name, b[4:]) {
		return nil, fmt.Errorf("%w: definition %q", spool.ErrCorrupt, name)
	}
	return b[4:], nil
}

// newer tells of something whose format is not known. A folder of a newer
// version is refused as a whole, by its format record, so it is damage, unless
// that record is damaged as well.
func newer(what string, version byte) error {
	return fmt.Errorf("%w, or %w: %s is of format %d", spool.ErrCorrupt, spool.ErrNewer, what, version)
}

func schemaValue(version byte) []byte {
	return be.AppendUint32([]byte{version}, crc32.Checksum([]byte{version}, castagnoli))
}

func decodeSchema(b []byte) (byte, error) {
	if len(b) < 5 || be.Uint32(b[1:]) != crc32.Checksum(b[:1], castagnoli) {
		return 0, fmt.Errorf("%w: format record", spool.ErrCorrupt)
	}
	return b[0], nil
}
