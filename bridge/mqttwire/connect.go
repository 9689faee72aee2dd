package mqttwire

// Connect is a client's first packet (section 3.1).
type Connect struct {
	Version     Version
	Bridge      bool // the level had bit 0x80, with which Mosquitto's bridges say that they are one
	CleanStart  bool // "clean session" before MQTT 5
	KeepAlive   uint16
	Props       Properties
	ClientID    string
	HasWill     bool
	Will        Will
	HasUsername bool
	Username    string
	HasPassword bool
	Password    []byte // view; may be empty
}

// Will is the message to be sent when the client is gone.
type Will struct {
	QoS     byte
	Retain  bool
	Props   Properties
	Topic   string
	Payload []byte // view; may be empty
}

// The connect flags (section 3.1.2.3).
const (
	connectReserved   = 1 << 0
	connectCleanStart = 1 << 1
	connectWill       = 1 << 2
	connectWillQoS    = 3 << 3
	connectWillRetain = 1 << 5
	connectPassword   = 1 << 6
	connectUsername   = 1 << 7

	bridgeBit = 0x80
)

// Decode takes a CONNECT apart. If it refuses, Version is the one to answer in
// as far as that is known, else 0.
func (p *Connect) Decode(body []byte) error {
	*p = Connect{}
	c := cursor{rest: body, packet: TypeConnect}
	p.decodeProtocol(&c)
	flags := c.u8("connect flags")
	p.decodeFlags(&c, flags)
	p.KeepAlive = c.u16("keep alive")
	if p.Version == V5 {
		p.Props = c.properties(place(TypeConnect))
	}
	p.ClientID = string(c.text("client identifier"))
	if p.HasWill {
		p.decodeWill(&c)
	}
	p.decodeLogin(&c)
	if err := c.end(); err != nil {
		return err
	}
	return p.checkClientID()
}

// decodeProtocol reads name and level. MQTT 3.1 was "MQIsdp" with level 3.
func (p *Connect) decodeProtocol(c *cursor) {
	name := c.binary("protocol name")
	level := c.u8("protocol level")
	if c.refusal != nil {
		return
	}
	ok := false
	switch string(name) {
	case "MQIsdp":
		p.Version = V31
		ok = level&^bridgeBit == byte(V31)
	case "MQTT":
		p.Version = V311
		if level&^bridgeBit >= byte(V5) {
			p.Version = V5
		}
		ok = level&^bridgeBit == byte(V311) || level == byte(V5)
	}
	if !ok {
		c.refuse(UnsupportedProtocolVersion, "protocol %q level 0x%02x", name, level)
		return
	}
	p.Bridge = level&bridgeBit != 0
}

func (p *Connect) decodeFlags(c *cursor, flags byte) {
	p.CleanStart = flags&connectCleanStart != 0
	p.HasWill = flags&connectWill != 0
	p.HasUsername = flags&connectUsername != 0
	p.HasPassword = flags&connectPassword != 0
	if p.HasWill {
		p.Will.QoS = flags & connectWillQoS >> 3
		p.Will.Retain = flags&connectWillRetain != 0
	}
	switch {
	case p.Will.QoS == 3: // [MQTT-3.1.2-12]
		c.refuse(MalformedPacket, "will QoS 3")
	case p.HasPassword && !p.HasUsername && p.Version != V5: // 3.1.1 [MQTT-3.1.2-22], and 3.1
		c.refuse(MalformedPacket, "password without user name")
	case p.Version == V31: // calls the other bits "not used"
	case flags&connectReserved != 0: // [MQTT-3.1.2-3]
		c.refuse(MalformedPacket, "reserved connect flag")
	case !p.HasWill && flags&(connectWillQoS|connectWillRetain) != 0: // [MQTT-3.1.2-11] and -13
		c.refuse(MalformedPacket, "will flags without a will")
	}
}

func (p *Connect) decodeWill(c *cursor) {
	if p.Version == V5 {
		p.Will.Props = c.properties(inWill)
	}
	p.Will.Topic = string(c.text("will topic"))
	p.Will.Payload = c.binary("will payload")
	if c.refusal == nil && !ValidTopic(p.Will.Topic) {
		c.refuse(TopicNameInvalid, "will topic %q", p.Will.Topic)
	}
}

// decodeLogin reads user name and password. In MQTT 3.1 the remaining length
// takes precedence over the flags: what they announce may be missing (3.1,
// section 3.1), for the sake of still older clients.
func (p *Connect) decodeLogin(c *cursor) {
	if p.Version == V31 && c.refusal == nil && len(c.rest) == 0 {
		p.HasUsername = false
	}
	if p.HasUsername {
		p.Username = string(c.text("user name"))
	}
	if p.Version == V31 && c.refusal == nil && len(c.rest) == 0 {
		p.HasPassword = false
	}
	if p.HasPassword {
		p.Password = c.binary("password")
	}
}

// checkClientID refuses an empty client identifier where the server may not
// choose one: in 3.1 always, in 3.1.1 for a session that is to be kept
// [3.1.1 MQTT-3.1.3-8].
func (p *Connect) checkClientID() error {
	if p.ClientID == "" && (p.Version == V31 || p.Version == V311 && !p.CleanStart) {
		return errorf(ClientIDNotValid, "CONNECT: empty client identifier")
	}
	return nil
}

// AppendConnect appends a CONNECT. A Version of 0 is written as 3.1.1.
func AppendConnect(dst []byte, p *Connect) ([]byte, error) {
	version := p.Version
	if version == 0 {
		version = V311
	}
	b := build(dst, TypeConnect)
	level := byte(version)
	if p.Bridge {
		level |= bridgeBit
	}
	if version == V31 {
		b.text("protocol name", "MQIsdp")
	} else {
		b.text("protocol name", "MQTT")
	}
	b.u8(level)
	b.u8(p.flags())
	b.u16(p.KeepAlive)
	b.properties(version, p.Props)
	b.text("client identifier", p.ClientID)
	if p.HasWill {
		b.properties(version, p.Will.Props)
		b.text("will topic", p.Will.Topic)
		b.binary("will payload", p.Will.Payload)
	}
	if p.HasUsername {
		b.text("user name", p.Username)
	}
	if p.HasPassword {
		b.binary("password", p.Password)
	}
	return b.finish(0)
}

func (p *Connect) flags() byte {
	flags := bit(p.CleanStart, connectCleanStart) | bit(p.HasUsername, connectUsername) | bit(p.HasPassword, connectPassword)
	if p.HasWill {
		flags |= connectWill | p.Will.QoS&3<<3 | bit(p.Will.Retain, connectWillRetain)
	}
	return flags
}

func bit(set bool, mask byte) byte {
	if set {
		return mask
	}
	return 0
}
