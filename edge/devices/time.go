package devices

import (
	"time"

	"leveret/amqp"
)

// wall is the wall time of a stamp; nil when nothing is known of it. Where the
// gateway's clock was never right in that boot it is a guess, and the name that
// it is shown under goes to unsure.
func (r *Registry) wall(s amqp.Stamp, name string, unsure *[]string) *time.Time {
	if s.Boot == 0 {
		return nil
	}
	t, sure := r.core.WallTime(s)
	if t.IsZero() {
		return nil
	}
	if !sure {
		*unsure = append(*unsure, name)
	}
	t = t.UTC().Truncate(time.Millisecond)
	return &t
}
