package disk

import (
	"io"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/dgraph-io/badger/v4/pb"
)

// TestMendAfterACut: what a power cut leaves in the middle of Badger's own work
// is no damage, so that nothing has to be brought back; what is really lost is.
func TestMendAfterACut(t *testing.T) {
	create := func(id uint64) *pb.ManifestChange {
		return &pb.ManifestChange{Id: id, Op: pb.ManifestChange_CREATE, EncryptionAlgo: pb.EncryptionAlgo_aes}
	}
	remove := func(id uint64) *pb.ManifestChange {
		return &pb.ManifestChange{Id: id, Op: pb.ManifestChange_DELETE}
	}
	for _, c := range []struct {
		name      string
		now, copy []*pb.ManifestChange
		files     map[string]string
		suspect   bool
		left      []string // tables and logs
	}{
		{"a table's name is not safe, its log is there", []*pb.ManifestChange{create(1)}, nil,
			map[string]string{"00001.mem": "log"}, false, []string{"00001.mem"}},
		{"a table is gone and its log too", []*pb.ManifestChange{create(1)}, nil,
			map[string]string{"00001.mem": ""}, true, nil},
		{"a table is gone that was safe", []*pb.ManifestChange{create(1)}, []*pb.ManifestChange{create(1)},
			map[string]string{"00001.mem": "log"}, true, []string{"00001.mem"}},
		{"a replaced table was cut to nothing", []*pb.ManifestChange{create(1), remove(1)}, []*pb.ManifestChange{create(1)},
			map[string]string{"000001.sst": ""}, false, nil},
		{"a table was not finished", nil, nil, map[string]string{"000001.sst": "half"}, false, nil},
		{"a table is damaged", []*pb.ManifestChange{create(1)}, []*pb.ManifestChange{create(1)},
			map[string]string{"000001.sst": "half"}, true, nil},
		{"a table is damaged and the manifest lost its end", nil, []*pb.ManifestChange{create(1)},
			map[string]string{"000001.sst": "half"}, true, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			for path, changes := range map[string][]*pb.ManifestChange{
				filepath.Join(dir, manifestName): c.now, guardFile(dir, manifestName): c.copy,
			} {
				if err := keep(osFiles{}, path, manifestOf(t, changes)); err != nil {
					t.Fatal(err)
				}
			}
			for name, content := range c.files {
				if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			m := mender{dir: dir, log: slog.New(slog.NewTextHandler(io.Discard, nil)), tell: func(_, text string) { t.Log(text) }}
			if err := m.run(); err != nil {
				t.Fatal(err)
			}
			if m.suspect != c.suspect {
				t.Errorf("suspect = %v, want %v", m.suspect, c.suspect)
			}
			after, err := readManifest(filepath.Join(dir, manifestName))
			if err != nil || !after.whole || len(after.live) > 0 {
				t.Errorf("manifest names %v, whole %v (%v): Badger would not open", after.tables(), after.whole, err)
			}
			sizes, err := osFiles{}.list(dir)
			if err != nil {
				t.Fatal(err)
			}
			var left []string
			for _, name := range slices.Sorted(maps.Keys(sizes)) {
				if ext := filepath.Ext(name); ext == ".sst" || ext == ".mem" {
					left = append(left, name)
				}
			}
			if !slices.Equal(left, c.left) {
				t.Errorf("left are %q, want %q", left, c.left)
			}
		})
	}
}

// manifestOf is a file with one set of changes for each change.
func manifestOf(t *testing.T, changes []*pb.ManifestChange) []byte {
	t.Helper()
	var b []byte
	for i := range max(1, len(changes)) {
		m := &manifest{magic: manifestHeader()}
		one, err := m.encodeSet(changes[min(i, len(changes)):min(i+1, len(changes))])
		if err != nil {
			t.Fatal(err)
		}
		if i > 0 {
			one = one[manifestMagic:]
		}
		b = append(b, one...)
	}
	return b
}
