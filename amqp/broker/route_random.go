package broker

import (
	"math/rand/v2"

	"leveret/amqp"
)

// randomRoutes: each message goes to one binding, whichever (types x-random and
// x-local-random, which are one where there is one node).
type randomRoutes struct{ all []*binding }

func (r *randomRoutes) add(b *binding)    { r.all = append(r.all, b) }
func (r *randomRoutes) remove(b *binding) { r.all = without(r.all, b) }

func (r *randomRoutes) match(_ string, _ amqp.Properties, found []*binding) []*binding {
	if len(r.all) == 0 {
		return found
	}
	return append(found, r.all[rand.IntN(len(r.all))])
}
