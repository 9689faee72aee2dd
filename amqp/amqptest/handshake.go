package amqptest

import (
	"time"

	"leveret/amqp"
	"leveret/amqp/wire091"
)

const (
	started = "0 connection.start PLAIN AMQPLAIN\n"
	tuned   = started + "0 connection.tune 2047 131072 60\n"
)

func amqplain(table amqp.Table) *wire091.ConnectionStartOk {
	return &wire091.ConnectionStartOk{ClientProperties: ClientProperties, Mechanism: "AMQPLAIN", Response: string(table.AppendTo(nil)[4:]), Locale: "en_US"}
}

func tune(channels uint16, frame uint32) *wire091.ConnectionTuneOk {
	return &wire091.ConnectionTuneOk{ChannelMax: channels, FrameMax: frame}
}

var guest = StartOk("guest", "guest")

const slow = 1100 * time.Millisecond // a refused login is answered late

var handshakeTalk = []talk{
	{"all of it", steps(Header091, guest, TuneOk, OpenVHost), tuned + "0 connection.open-ok"},
	{"0-9", steps([]byte("AMQP\x01\x01\x00\x09"), guest, TuneOk, OpenVHost), tuned + "0 connection.open-ok"},
	{"AMQPLAIN", steps(Header091, amqplain(args("LOGIN", "guest", "PASSWORD", "guest"))), tuned},
	{"AMQPLAIN without a password", steps(Header091, amqplain(args("LOGIN", "guest"))),
		started + "0 connection.close 502 10,11 SYNTAX_ERROR - AMQPLAIN response lacks LOGIN or PASSWORD"},
	{"AMQPLAIN of garbage", steps(Header091, &wire091.ConnectionStartOk{Mechanism: "AMQPLAIN", Response: "\x05LO"}),
		started + "0 connection.close 502 10,11 SYNTAX_ERROR - AMQPLAIN response is malformed"},
	{"PLAIN without a password", steps(Header091, plain("\x00guest")), started + "0 connection.close 502 10,11 SYNTAX_ERROR - PLAIN response is malformed"},
	{"PLAIN for somebody else", steps(Header091, plain("root\x00guest\x00guest")), started + "0 connection.close 502 10,11 SYNTAX_ERROR - PLAIN response is malformed"},
	{"unknown mechanism", steps(Header091, &wire091.ConnectionStartOk{Mechanism: "EXTERNAL"}),
		started + "0 connection.close 503 10,11 COMMAND_INVALID - unknown authentication mechanism 'EXTERNAL'"},
	{"wrong password", steps(Header091, plain("\x00guest\x00no"), slow),
		started + "0 connection.close 403 0,0 ACCESS_REFUSED - Login was refused using authentication mechanism PLAIN. For details see the broker logfile."},
	{"wrong password, old client", steps(Header091, &wire091.ConnectionStartOk{Mechanism: "PLAIN", Response: "\x00guest\x00no"}, slow), started},
	{"wrong method", steps(Header091, OpenVHost), started + "0 connection.close 504 0,0 CHANNEL_ERROR - unexpected method in connection state starting"},
	{"wrong method after login", steps(Header091, guest, OpenVHost), tuned + "0 connection.close 504 0,0 CHANNEL_ERROR - unexpected method in connection state tuning"},
	{"wrong method after tune", steps(Header091, guest, TuneOk, TuneOk), tuned + "0 connection.close 504 0,0 CHANNEL_ERROR - unexpected method in connection state opening"},
	{"content", steps(Header091, Header(0, 60, 1)), started + "0 connection.close 505 0,0 UNEXPECTED_FRAME - expected method frame, got non method frame instead"},
	{"close", steps(Header091, &wire091.ConnectionClose{ReplyCode: 200}), started + "0 connection.close-ok"},
	{"heartbeats", steps(Header091, Frame(8, 0, ""), guest), tuned},
	{"smallest frames", steps(Header091, guest, tune(1, 4096), OpenVHost), tuned + "0 connection.open-ok"},
	{"frames too small", steps(Header091, guest, tune(1, 4095)),
		tuned + "0 connection.close 530 10,31 NOT_ALLOWED - negotiated frame_max = 4095 is lower than the minimum allowed value (4096)"},
	{"frames too large", steps(Header091, guest, tune(1, 131073)),
		tuned + "0 connection.close 530 10,31 NOT_ALLOWED - negotiated frame_max = 131073 is higher than the maximum allowed value (131072)"},
	{"frames without limit", steps(Header091, guest, tune(1, 0)),
		tuned + "0 connection.close 530 10,31 NOT_ALLOWED - negotiated frame_max = 0 (no limit) is higher than the maximum allowed value (131072)"},
	{"channels without limit", steps(Header091, guest, tune(0, 131072)),
		tuned + "0 connection.close 530 10,31 NOT_ALLOWED - negotiated channel_max = 0 (no limit) is higher than the maximum allowed value (2047)"},
	{"too many channels", steps(Header091, guest, tune(2048, 131072)),
		tuned + "0 connection.close 530 10,31 NOT_ALLOWED - negotiated channel_max = 2048 is higher than the maximum allowed value (2047)"},
	{"unknown vhost", steps(Header091, guest, TuneOk, &wire091.ConnectionOpen{VirtualHost: "nov"}),
		tuned + "0 connection.close 530 10,40 NOT_ALLOWED - vhost nov not found"},
	{"forbidden vhost", steps(Header091, StartOk("nowhere", Password), TuneOk, OpenVHost),
		tuned + "0 connection.close 530 10,40 NOT_ALLOWED - access to vhost '/' refused for user 'nowhere'"},
}
