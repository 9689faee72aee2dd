package disk

import "time"

// takeNotes does what is due of the small files: the copy of definitions, and
// the word that this start was a good one. They wait for space: a full volume
// must not end what can do without them.
func (c *committer) takeNotes(now time.Time, next func(time.Time)) error {
	if !c.defsDue.IsZero() {
		if c.defsDue.After(now) {
			next(c.defsDue)
		} else if wait, err := c.putOff(defCopyMax); wait || err != nil {
			next(now.Add(idleLook))
			return err
		} else {
			err := c.copyDefs()
			if noRoom(err) { // less than it seemed
				next(now.Add(idleLook))
				return nil
			}
			if err != nil {
				return err
			}
			c.defsDue, c.defsDone = time.Time{}, now
		}
	}
	if c.settled.IsZero() || c.starts.failed == 0 {
		return nil
	}
	if c.settled.After(now) {
		next(c.settled)
		return nil
	}
	if wait, err := c.putOff(0); wait || err != nil {
		next(now.Add(idleLook))
		return err
	}
	err := c.starts.good()
	if noRoom(err) {
		next(now.Add(idleLook))
		return nil
	}
	c.settled = time.Time{}
	return err
}
