//go:build !linux

package disk

// Elsewhere the kernel is left to its own judgement.

func adviseRandom(string) {}

func pageOut(string, int64) bool { return false }

func pull([]byte) {}

func letPagesGo([]byte) {}
