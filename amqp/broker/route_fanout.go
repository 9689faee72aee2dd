package broker

import "leveret/amqp"

// fanoutRoutes: every binding matches.
type fanoutRoutes struct{ all []*binding }

func (r *fanoutRoutes) add(b *binding)    { r.all = append(r.all, b) }
func (r *fanoutRoutes) remove(b *binding) { r.all = without(r.all, b) }

func (r *fanoutRoutes) match(_ string, _ amqp.Properties, found []*binding) []*binding {
	return append(found, r.all...)
}
