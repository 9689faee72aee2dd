//go:build !linux

package config

// AvailableMemory is how many bytes this process may use; 0 is unknown.
func AvailableMemory() int64 { return 0 }
