package interop

// unlikeRabbitMQ are the conversations in which RabbitMQ 3.10 answers otherwise
// than leveret, and why that is so.
var unlikeRabbitMQ = map[string]string{
	"handshake/content":                     silent,
	"handshake/too many channels":           silent,
	"handshake/channels without limit":      silent,
	"handshake/frames without limit":        silent,
	"handshake/frames too large":            silent,
	"handshake/frames too small":            silent,
	"handshake/close":                       silent,
	"handshake/unknown mechanism":           silent,
	"handshake/wrong method after login":    silent,
	"handshake/wrong method":                silent,
	"handshake/AMQPLAIN of garbage":         silent,
	"handshake/PLAIN for somebody else":     silent,
	"handshake/PLAIN without a password":    silent,
	"handshake/AMQPLAIN without a password": silent,
	"handshake/wrong method after tune":     "it names the method",

	"channel/unknown method":             "it drops the connection without a word",
	"channel/unknown class on channel 0": "it drops the connection without a word",
	"channel/wrong update-secret":        "it takes any secret from who has logged in with a password",

	"exchange/unknown type": "it closes the connection (503); version 4 closes the channel, as we do",

	"arguments/stream":                   "it has streams",
	"arguments/consumer timeout of text": "it does not know the argument; newer versions do",
	"arguments/unknown retry type":       "it does not know the argument; newer versions do",
	"arguments/retries that shrink":      "it does not know the argument; newer versions do",
	"arguments/spool priority too high":  "the argument is ours",

	"publish/immediate": "it waits for the content of a message that it will refuse",
	"publish/too large": "its default is 128 MiB, and 16 MiB from version 4 on",

	"tx/a full queue refuses the whole tx": "it commits the part that is not refused",

	"frames/content on channel 0":             "it shows the frame",
	"frames/more body than announced":         "it waits for ever",
	"frames/arguments too short":              "we say which argument",
	"frames/a name that is no UTF-8":          "it does not name the method",
	"delivery/delivery limit":                 "it sends x-delivery-count 0 with the first delivery of a quorum queue",
	"access/topics copies to another's topic": "it does not ask for the topics of copies",
	"between peers/exclusive queue, unbind":   "it finds that there is no such binding first",
}

// silent: peers that have not logged in, or not agreed on limits, hear nothing.
const silent = "it waits for three seconds and drops the connection without a word"
