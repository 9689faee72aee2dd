package socket

import (
	"fmt"
	"runtime/debug"
)

// Apart runs f on a stack of its own, which is given back when f returns: what
// needs a large one and is rare must not make the reader's grow.
func Apart(f func() error) (err error) {
	done := make(chan any, 1)
	go func() {
		defer func() {
			p := recover()
			if p != nil {
				p = fmt.Sprintf("%v\n%s", p, debug.Stack())
			}
			done <- p
		}()
		err = f()
	}()
	if p := <-done; p != nil {
		panic(p)
	}
	return err
}
