package disk

import (
	"errors"
	"fmt"
	"time"
)

const (
	closeLook = 100 * time.Millisecond
	// closeGrace is how long Badger may try to end after it has met an error.
	closeGrace = 500 * time.Millisecond
)

// errClosing: Badger does not come to its end.
var errClosing = errors.New("badger does not close")

// closeBadger ends the database. Badger tries a flush that fails again every
// second for as long as the disk is ill, and would keep the process from ending
// and from being started again; so it is left behind once it has told of an
// error. A slow disk may take its time.
func (e *badgerEngine) closeBadger() error {
	ended := make(chan error, 1)
	go func() { ended <- e.db.Close() }()
	for ill := time.Duration(0); ; {
		select {
		case err := <-ended:
			return err
		case <-time.After(closeLook):
		}
		if cause := e.latch.err(); cause != nil {
			if ill += closeLook; ill > closeGrace {
				return fmt.Errorf("%w: %w", errClosing, cause)
			}
		}
	}
}
