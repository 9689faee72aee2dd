package mqtt

// outAliasesMax bounds the topic aliases that are used towards a client,
// whatever it offers; outAliasLeast is the shortest topic that gets one, since
// the property costs three bytes.
const (
	outAliasesMax = 64
	outAliasLeast = 4
	aliasBytes    = 3 // of the property
)

// outAliases are the topic aliases of a connection that the client was told (5.0,
// section 3.3.2.3.4): those of the first topics that were sent to it. A client
// with more topics than aliases gets the others in full; to give an alias to
// another topic each time would only make all of them longer. They are
// protected as the writer is.
type outAliases struct {
	max   int // what the client takes; 0 is none
	known map[string]uint16
}

// find gives the alias for a topic, 0 if it has none. told: the client knows it.
func (a *outAliases) find(topic string) (alias uint16, told bool) {
	if a.max == 0 || len(topic) < outAliasLeast {
		return 0, false
	}
	if alias, told = a.known[topic]; told || len(a.known) >= a.max {
		return alias, told
	}
	return uint16(len(a.known) + 1), false
}

// tell: the client is told the alias of a topic.
func (a *outAliases) tell(topic string, alias uint16) {
	if a.known == nil {
		a.known = make(map[string]uint16)
	}
	a.known[topic] = alias
}
