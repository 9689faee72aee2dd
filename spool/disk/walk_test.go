package disk

import (
	"bytes"
	"encoding/binary"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// TestWalkGoesOnBehindZeros: what a damaged record hides ends with it, even if
// its value has more zeros than the end of a log needs.
func TestWalkGoesOnBehindZeros(t *testing.T) {
	for _, meta := range []byte{0, 1 << 6} {
		damaged := logRecordOf(0, "ca", make([]byte, 20_000))
		damaged[len(damaged)-12_000] = 1
		log := slices.Concat(make([]byte, logHeader), logRecordOf(0, "cz", []byte("first")), damaged,
			logRecordOf(meta, "cb", bytes.Repeat([]byte("x"), 5000)), make([]byte, 1<<20))
		path := filepath.Join(t.TempDir(), "000001.vlog")
		if err := os.WriteFile(path, log, 0o600); err != nil {
			t.Fatal(err)
		}
		var keys []string
		holes, err := walkLog(path, func(r *logRecord) error {
			keys = append(keys, string(r.key))
			return nil
		})
		if want := []string{"cz", "cb"}; holes != 1 || err != nil || !slices.Equal(keys, want) {
			t.Errorf("meta %x: %q behind %d holes, %v; want %q behind one", meta, keys, holes, err, want)
		}
	}
}

// logRecordOf is a record as Badger writes it.
func logRecordOf(meta byte, key string, value []byte) []byte {
	k := be.AppendUint64([]byte(key), ^uint64(1))
	b := binary.AppendUvarint([]byte{meta, 0}, uint64(len(k)))
	b = binary.AppendUvarint(b, uint64(len(value)))
	b = append(binary.AppendUvarint(b, 0), k...)
	b = append(b, value...)
	return be.AppendUint32(b, crcOf(b))
}
