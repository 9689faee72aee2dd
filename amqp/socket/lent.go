package socket

import "unsafe"

// A pool keeps pointers without a memory of their own; a slice put into it
// would allocate one each time. The size is known by the pool.

func startOf(buf []byte) *byte { return unsafe.SliceData(buf) }

func sliceOf(start *byte, size int) []byte { return unsafe.Slice(start, size) }
