//go:build !soak

package disk_test

var heaps = map[string]heap{
	"drained": {bytes: 96 << 20, size: 4000, batch: 250},
	"kept":    {bytes: 96 << 20, size: 1000, batch: 1000, keep: 500},
}
