//go:build !linux

package disk

import "os"

// Elsewhere the kernel is left to its own judgement.

func adviseRandom(string) {}

func pageOut(string, int64) bool { return false }

func pull([]byte) {}

func letPagesGo([]byte) {}

func readAhead(*os.File, int64, int64) {}
