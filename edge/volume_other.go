//go:build !linux

package edge

// quarterOfVolume is not known elsewhere: no budget.
func quarterOfVolume(string) int64 { return 0 }
