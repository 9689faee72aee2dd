//go:build !soak

package disk_test

// What stays in sparse chunks has a test of its own, TestSparseChunksAreMerged.
var heaps = map[string]heap{"drained": {bytes: 80 << 20, size: 4000, batch: 1000}}
