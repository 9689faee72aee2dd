package disk

import (
	"testing"
	"time"
)

// paced plays a board's writer in virtual time, a millisecond a step: sends
// says how many messages come in each, knowing when the last answer was. It
// answers the commits of each second and the longest wait of a message.
func paced(seconds int, sends func(ms, answered int) int) (commits []int, longest time.Duration) {
	o := Tiny()
	o.Dir = "none"
	base := time.Unix(1000, 0)
	s := &Store{opts: o, staged: newGroup()}
	c := &committer{Store: s, ended: base.Add(-o.CommitWindow)}
	commits = make([]int, seconds)
	last := -1
	for ms := range seconds * 1000 {
		now := base.Add(time.Duration(ms) * time.Millisecond)
		if n := sends(ms, last); n > 0 {
			if s.staged.last == 0 {
				s.staged.begun = now
			}
			s.staged.last++
			s.staged.live += n
			s.staged.asking += n
		}
		due, staged := c.due()
		if !staged || due.After(now) {
			continue
		}
		commits[ms/1000]++
		longest = max(longest, now.Sub(s.staged.begun))
		s.answered, last = s.staged.asking, ms
		s.staged = newGroup()
		c.ended = now
		c.spend(now)
	}
	return commits, longest
}

// TestPace: a trickle is held to the commits per second of the smallest boards,
// and whoever publishes alone does not notice.
func TestPace(t *testing.T) {
	limit := Tiny().CommitsPerSecond
	commits, longest := paced(60, func(ms, _ int) int { // 50 sensors, 2 a second each
		if ms%10 == 0 {
			return 1
		}
		return 0
	})
	for i, n := range commits {
		if n > limit+1 {
			t.Errorf("trickle: %d commits in second %d, want at most %d", n, i, limit)
		}
	}
	if longest > 200*time.Millisecond {
		t.Errorf("trickle: a message waited for %v", longest)
	}

	commits, longest = paced(60, func(ms, _ int) int { // now and then, alone
		if ms%700 == 0 {
			return 1
		}
		return 0
	})
	if longest > 0 {
		t.Errorf("alone: a message waited for %v", longest)
	}
	if n := commits[30]; n == 0 {
		t.Error("alone: nothing was committed")
	}

	commits, longest = paced(60, func(ms, answered int) int { // the next right after each answer
		if answered == ms-1 {
			return 1
		}
		return 0
	})
	all := 0
	for i, n := range commits {
		if all += n; all > limit*(commitBurst+i+1)+1 {
			t.Errorf("in turn: %d commits in %d seconds, want at most %d", all, i+1, limit*(commitBurst+i+1))
		}
	}
	if commits[0] < limit*commitBurst/2 {
		t.Errorf("in turn: only %d answers in the first second", commits[0])
	}
	if longest > 250*time.Millisecond {
		t.Errorf("in turn: a message waited for %v", longest)
	}
}
