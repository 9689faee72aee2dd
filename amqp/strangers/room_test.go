package strangers

import (
	"errors"
	"io"
	"net"
	"testing"
	"time"
)

func TestTheFirstToComeGoes(t *testing.T) {
	r := NewRoom(2)
	var ours [4]net.Conn
	for i := range ours {
		ours[i], _ = net.Pipe()
	}
	ended := func(i int) bool {
		return errors.Is(ours[i].SetDeadline(time.Time{}), io.ErrClosedPipe)
	}
	for i, evicts := range []bool{false, false, true} {
		if got := r.Enter(ours[i]); got != evicts {
			t.Errorf("Enter(%d) = %v, want %v", i, got, evicts)
		}
	}
	if !ended(0) || ended(1) || ended(2) {
		t.Errorf("ended: %v %v %v, want the first alone", ended(0), ended(1), ended(2))
	}
	if r.Leave(ours[0]) || !r.Leave(ours[1]) {
		t.Error("the first has a place, or the second has none")
	}
	if r.Enter(ours[3]) || r.Len() != 2 {
		t.Errorf("the place that became free was not given: %d are here", r.Len())
	}
	if !r.Evict() || !ended(2) || ended(3) || ended(1) {
		t.Error("Evict did not end the one who came first of those who are here")
	}
	if !r.Evict() || r.Evict() {
		t.Error("Evict ended nobody, or somebody who is not here")
	}
}
