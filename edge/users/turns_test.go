package users

import (
	"errors"
	"sync"
	"testing"
)

func TestStormOfLoginsFromOneAddressStopsNoOther(t *testing.T) {
	b := newBook(t, Account{Name: "slow", Hash: slowHash(t, "treacle")})
	first, ok := b.turns.take(outside)
	if !ok {
		t.Fatal("the first has no turn")
	}
	var storm sync.WaitGroup
	for range waitersMax - 1 {
		storm.Go(func() {
			if done, ok := b.turns.take(outside); ok {
				done()
			}
		})
	}
	for full := false; !full; {
		b.turns.mu.Lock()
		full = b.turns.of[outside].waiting == waitersMax
		b.turns.mu.Unlock()
	}
	if _, err := b.Authenticate("slow", "treacle", outside); !errors.Is(err, ErrBusy) || !errors.Is(err, ErrRefused) {
		t.Errorf("one too many from the address: %v, want ErrBusy", err)
	}
	if _, err := b.Authenticate("slow", "treacle", loopback); err != nil {
		t.Errorf("another address meanwhile: %v", err)
	}
	first()
	storm.Wait()
	if _, err := b.Authenticate("slow", "treacle", outside); err != nil {
		t.Errorf("after the storm: %v", err)
	}
	if len(b.turns.of) != 0 {
		t.Errorf("%d addresses are kept", len(b.turns.of))
	}
}
