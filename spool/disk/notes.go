package disk

import "time"

// takeNotes does what is due of the small files: the copy of definitions, and
// the word that this start was a good one.
func (c *committer) takeNotes(now time.Time, next func(time.Time)) error {
	if !c.defsDue.IsZero() {
		if c.defsDue.After(now) {
			next(c.defsDue)
		} else {
			c.defsDue, c.defsDone = time.Time{}, now
			if err := c.copyDefs(); err != nil {
				return err
			}
		}
	}
	if c.settled.IsZero() || c.starts.failed == 0 {
		return nil
	}
	if c.settled.After(now) {
		next(c.settled)
		return nil
	}
	c.settled = time.Time{}
	return c.starts.good()
}
