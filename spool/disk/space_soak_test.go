//go:build soak

package disk_test

var heaps = map[string]heap{
	"drained": {bytes: 256 << 20, size: 4000, batch: 250},
	"kept":    {bytes: 256 << 20, size: 1000, batch: 1000, keep: 500},
	"purged":  {bytes: 256 << 20, size: 4000, batch: 250, purge: true},
	"small":   {bytes: 64 << 20, size: 200, batch: 15},
}
