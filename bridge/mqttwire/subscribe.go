package mqttwire

// FiltersMax bounds the filters of one SUBSCRIBE or UNSUBSCRIBE: decoded, a
// filter takes ten times the memory of its few bytes on the wire.
const FiltersMax = 4096

// Subscribe asks for messages (section 3.8).
type Subscribe struct {
	PacketID uint16
	Props    Properties
	Filters  []Subscription // kept by Decode as memory for the next one
}

// Subscription is one filter with its options. Before MQTT 5 there is only the
// QoS.
type Subscription struct {
	Filter            string
	QoS               byte
	NoLocal           bool
	RetainAsPublished bool
	RetainHandling    byte // 0: send retained at subscribe, 1: if it is new, 2: do not
}

const (
	subscribeQoS               = 3 << 0
	subscribeNoLocal           = 1 << 2
	subscribeRetainAsPublished = 1 << 3
	subscribeRetainHandling    = 3 << 4
	subscribeReserved          = 3 << 6
)

// Decode takes a SUBSCRIBE apart.
func (p *Subscribe) Decode(body []byte, version Version) error {
	*p = Subscribe{Filters: p.Filters[:0]}
	c := cursor{rest: body, packet: TypeSubscribe}
	p.PacketID = c.packetID()
	if version == V5 {
		p.Props = c.properties(place(TypeSubscribe))
	}
	if len(c.rest) == 0 { // [MQTT-3.8.3-2]
		c.refuse(ProtocolError, "no topic filter")
	}
	for len(c.rest) > 0 {
		s := Subscription{Filter: c.filter(version)}
		s.decodeOptions(&c, version)
		c.countFilters(len(p.Filters) + 1)
		p.Filters = append(p.Filters, s)
	}
	return c.end()
}

func (s *Subscription) decodeOptions(c *cursor, version Version) {
	options := c.u8("subscription options")
	s.QoS = options & subscribeQoS
	switch {
	case s.QoS < 3:
	case version == V5: // section 3.8.3.1
		c.refuse(ProtocolError, "QoS 3")
	default: // 3.1.1 [MQTT-3-8.3-4]
		c.refuse(MalformedPacket, "QoS 3")
	}
	switch version {
	case V31: // calls the other bits "not used"
		return
	case V311:
		if options&^subscribeQoS != 0 { // 3.1.1 [MQTT-3.8.3-4]
			c.refuse(MalformedPacket, "reserved bits in requested QoS 0x%02x", options)
		}
		return
	}
	s.NoLocal = options&subscribeNoLocal != 0
	s.RetainAsPublished = options&subscribeRetainAsPublished != 0
	s.RetainHandling = options & subscribeRetainHandling >> 4
	_, _, shared := SplitShare(s.Filter)
	switch {
	case options&subscribeReserved != 0:
		c.refuse(MalformedPacket, "reserved bits in subscription options 0x%02x", options)
	case s.RetainHandling == 3: // section 3.8.3.1
		c.refuse(ProtocolError, "retain handling 3")
	case shared && s.NoLocal: // [MQTT-3.8.3-4]
		c.refuse(ProtocolError, "no local for the shared subscription %q", s.Filter)
	}
}

// filter reads a topic filter. Shares came with MQTT 5; before that, $share is
// a level like any other.
func (c *cursor) filter(version Version) string {
	filter := string(c.text("topic filter"))
	if c.refusal != nil {
		return ""
	}
	if !validPlainFilter(filter) || version == V5 && !ValidFilter(filter) {
		c.refuse(TopicFilterInvalid, "topic filter %q", filter)
	}
	return filter
}

func (c *cursor) countFilters(n int) {
	if n > FiltersMax {
		c.refuse(QuotaExceeded, "more than %d topic filters", FiltersMax)
	}
}

// AppendSubscribe appends a SUBSCRIBE.
func AppendSubscribe(dst []byte, version Version, p *Subscribe) ([]byte, error) {
	b := build(dst, TypeSubscribe)
	b.packetID(p.PacketID)
	b.properties(version, p.Props)
	if len(p.Filters) == 0 {
		b.refuse(ProtocolError, "no topic filter")
	}
	for i := range p.Filters {
		b.text("topic filter", p.Filters[i].Filter)
		b.u8(p.Filters[i].options(version))
	}
	return b.finish(2)
}

func (s *Subscription) options(version Version) byte {
	options := s.QoS & subscribeQoS
	if version == V5 {
		options |= bit(s.NoLocal, subscribeNoLocal) | bit(s.RetainAsPublished, subscribeRetainAsPublished) | s.RetainHandling&3<<4
	}
	return options
}

// Suback answers a SUBSCRIBE with one reason for each filter (section 3.9).
type Suback struct {
	PacketID uint16
	Props    Properties
	Reasons  []ReasonCode // kept by Decode as memory for the next one
}

// Decode takes a SUBACK apart.
func (p *Suback) Decode(body []byte, version Version) error {
	*p = Suback{Reasons: p.Reasons[:0]}
	c := cursor{rest: body, packet: TypeSuback}
	p.PacketID = c.packetID()
	allowed := subackReasons
	switch version {
	case V31:
		allowed = subackReasons31
	case V311:
		allowed = subackReasons311
	default:
		p.Props = c.properties(place(TypeSuback))
	}
	p.Reasons = c.reasons(p.Reasons, allowed)
	return c.end()
}

// reasons reads one reason code for each filter, to the end of the body.
func (c *cursor) reasons(dst []ReasonCode, allowed string) []ReasonCode {
	if len(c.rest) == 0 {
		c.refuse(ProtocolError, "no reason code")
	}
	for len(c.rest) > 0 {
		dst = append(dst, c.reason(allowed))
	}
	return dst
}

// AppendSuback appends a SUBACK. MQTT 3.1.1 knows one failure, 0x80, which
// stands for all; 3.1 knows none and is given QoS 0, as servers of it did.
func AppendSuback(dst []byte, version Version, p *Suback) ([]byte, error) {
	b := build(dst, TypeSuback)
	b.packetID(p.PacketID)
	b.properties(version, p.Props)
	if len(p.Reasons) == 0 {
		b.refuse(ProtocolError, "no reason code")
	}
	for _, reason := range p.Reasons {
		switch {
		case reason.Failed() && version == V31:
			reason = GrantedQoS0
		case reason.Failed() && version == V311:
			reason = UnspecifiedError // 3.1.1, section 3.9.3: 0x80 is the only failure
		}
		b.u8(byte(reason))
	}
	return b.finish(0)
}
