//go:build !race

package socket

// raceEnabled: see the other file.
const raceEnabled = false
