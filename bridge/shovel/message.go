package shovel

import "leveret/bridge"

// mark tells the far side that it may have seen the message.
func mark(m *bridge.Message) {
	m.Props.Headers = m.Props.Headers.With(bridge.HeaderRedelivered, true)
}

// footprint is what a message counts in the window of bytes: its body and
// about what its properties take.
func footprint(m *bridge.Message) int { return len(m.Body) + messageOverhead }

const messageOverhead = 256
