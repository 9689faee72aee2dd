//go:build !linux

package disk

import "os"

// Elsewhere there is no ballast.
func fallocate(*os.File, int64) (bool, error) { return false, nil }
