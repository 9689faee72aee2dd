package bridge

import "strings"

const (
	// HeaderPath, in a message that came or goes over a remote broker, is
	// the nodes that it has been at, in order, with spaces between them. In MQTT it is
	// a user property of the same name. A message that has been
	// here is not taken again. Of those who come to our doors only one that names
	// its node is believed about it; a broker that a source goes to is in any case.
	HeaderPath = "x-leveret-path"
	// UserNode is a user property of CONNECT and CONNACK: the node of a broker of
	// our kind. One that says it is told ours. AMQP 0-9-1 has it among the client's
	// properties.
	UserNode = "leveret-node"

	// hopsMax bounds a path: who has been at more nodes than that is lost.
	hopsMax = 16
	nodeMax = 64 // bytes
)

// ValidNode reports whether a node's name can stand in a path.
func ValidNode(node string) bool {
	return node != "" && len(node) <= nodeMax && !strings.ContainsFunc(node, func(r rune) bool { return r <= ' ' || r > '~' })
}

// Path is what HeaderPath holds.
type Path string

// Loops reports a message that has been at the node before, or that has come
// too far.
func (p Path) Loops(node string) bool {
	if node == "" || p == "" {
		return false
	}
	return p.Has(node) || strings.Count(string(p), " ") >= hopsMax-1
}

// With is the path with the nodes at its end, as far as they are not in it.
func (p Path) With(nodes ...string) Path {
	for _, n := range nodes {
		switch {
		case n == "" || p.Has(n):
		case p == "":
			p = Path(n)
		default:
			p += Path(" " + n)
		}
	}
	return p
}

// Has reports whether a message has been at the node.
func (p Path) Has(node string) bool {
	for n := range strings.FieldsSeq(string(p)) {
		if n == node {
			return true
		}
	}
	return false
}

// PathOf is where a message has been, as far as it says so.
func PathOf(m *Message) Path {
	v, _ := m.Props.Headers.Get(HeaderPath)
	text, _ := v.(string)
	return Path(text)
}

// ComesIn reports whether a message that a node there hands over may come in here,
// and notes where it has been. No node here guards nothing.
func ComesIn(m *Message, there, here string) bool {
	if here == "" {
		return true
	}
	path := PathOf(m)
	if path.Loops(here) {
		return false
	}
	m.Props.Headers = m.Props.Headers.With(HeaderPath, string(path.With(there, here)))
	return true
}
