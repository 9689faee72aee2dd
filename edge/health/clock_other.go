//go:build !linux

package health

// synchronised: other systems do not boot without a clock.
func synchronised() bool { return true }
