package broker

import (
	"slices"
	"strings"

	"leveret/amqp"
)

// headersRoutes compares binding arguments with the message's headers table
// (0-9-1, section 3.1.3.4, with RabbitMQ's x-match values).
type headersRoutes struct{ all []*binding }

func (r *headersRoutes) add(b *binding)    { r.all = append(r.all, b) }
func (r *headersRoutes) remove(b *binding) { r.all = without(r.all, b) }

func (r *headersRoutes) match(_ string, props amqp.Properties, found []*binding) []*binding {
	headers := props.Headers()
	for _, b := range r.all {
		if matchHeaders(b.args, headers) {
			found = append(found, b)
		}
	}
	return found
}

var xMatch = []string{"all", "any", "all-with-x", "any-with-x"}

// checkHeadersArgs refuses an x-match that is none of the four.
func checkHeadersArgs(args amqp.Table) error {
	v, ok := args.Get("x-match")
	if !ok {
		return nil
	}
	s, isText := v.(string)
	if !isText {
		return amqp.Errorf(amqp.PreconditionFailed, "Invalid x-match field type %s (value %s); expected longstr", amqp.TypeName(v), amqp.FormatValue(v))
	}
	if !slices.Contains(xMatch, s) {
		return amqp.Errorf(amqp.PreconditionFailed, "Invalid x-match field value <<%q>>; expected all, any, all-with-x, or any-with-x", s)
	}
	return nil
}

func matchHeaders(args, headers amqp.Table) bool {
	mode := "all"
	if v, ok := args.Get("x-match"); ok {
		mode, _ = v.(string)
	}
	withX := strings.HasSuffix(mode, "-with-x")
	all := strings.HasPrefix(mode, "all")
	for _, want := range args {
		if want.Key == "x-match" || !withX && strings.HasPrefix(want.Key, "x-") {
			continue
		}
		got, ok := headers.Get(want.Key)
		if ok && want.Value != nil { // a void argument asks only for presence
			ok = amqp.Equal(want.Value, got)
		}
		if ok != all {
			return !all
		}
	}
	return all
}
