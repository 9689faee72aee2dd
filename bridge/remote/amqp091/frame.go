package amqp091

import (
	"fmt"

	"leveret/amqp/wire091"
)

// channelID is that of the one channel of a connection.
const channelID = 1

// methodIn takes the method of a frame that may carry one here: on channel 0 or
// on ours.
func methodIn(f wire091.Frame) (wire091.Method, error) {
	m, err := wire091.ParseMethod(f.Payload, nil)
	if err != nil {
		return nil, err
	}
	if f.Channel == 0 != (m.ID().Class() == wire091.ClassConnection) {
		return nil, unexpected(m, f.Channel)
	}
	return m, nil
}

func unexpected(m wire091.Method, channel uint16) error {
	return fmt.Errorf("the far side sent %s on channel %d", m.Name(), channel)
}

func misplaced(f wire091.Frame) error {
	return fmt.Errorf("the far side sent a frame of type %d on channel %d out of place", f.Type, f.Channel)
}
