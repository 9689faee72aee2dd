//go:build race

package socket

// raceEnabled: under the race detector pools drop things at random.
const raceEnabled = true
