package amqptest

import (
	"leveret/amqp"
	"leveret/amqp/wire091"
)

var channelTalk = []talk{
	{"second channel.open", steps(&wire091.ChannelOpen{}), "0 connection.close 504 20,10 CHANNEL_ERROR - second 'channel.open' seen"},
	{"method before channel.open", steps(On{2, Declare("q")}), "0 connection.close 504 50,10 CHANNEL_ERROR - expected 'channel.open'"},
	{"channel.close before channel.open", steps(On{2, &wire091.ChannelClose{}}), "0 connection.close 504 20,40 CHANNEL_ERROR - expected 'channel.open'"},
	{"content before channel.open", steps(Message{2, amqp.PropertyList{}, "x"}), "0 connection.close 505 0,0 UNEXPECTED_FRAME - expected method frame, got non method frame instead"},
	{"flow on", steps(&wire091.ChannelFlow{Active: true}), "1 channel.flow-ok true"},
	{"flow off", steps(&wire091.ChannelFlow{}), "0 connection.close 540 20,20 NOT_IMPLEMENTED - active=false"},
	{"close", steps(&wire091.ChannelClose{ReplyCode: 200, ReplyText: "Goodbye"}), "1 channel.close-ok"},
	{"close and open again", steps(&wire091.ChannelClose{}, &wire091.ChannelOpen{}), "1 channel.close-ok\n1 channel.open-ok"},
	{"high channel number", steps(On{65535, &wire091.ChannelOpen{}}), "65535 channel.open-ok"},
	{"connection method on a channel", steps(On{1, &wire091.ConnectionOpen{}}), "0 connection.close 503 10,40 COMMAND_INVALID - unimplemented method"},
	{"connection method on no channel", steps(On{9, &wire091.ConnectionClose{}}), "0 connection.close 504 10,50 CHANNEL_ERROR - expected 'channel.open'"},
	{"channel method on channel 0", steps(On{0, &wire091.ChannelOpen{}}), "0 connection.close 504 20,10 CHANNEL_ERROR - unexpected method in connection state running"},
	{"open again", steps(OpenVHost), "0 connection.close 504 10,40 CHANNEL_ERROR - unexpected method in connection state running"},
	{"method of a server", steps(&wire091.QueueDeclareOk{}), "0 connection.close 503 50,11 COMMAND_INVALID - unimplemented method"},
	{"unknown method", steps(Frame(1, 1, "\x00\x3c\x00\x63")), "0 connection.close 503 60,99 COMMAND_INVALID - unimplemented method"},
	{"unknown class on channel 0", steps(Frame(1, 0, "\x00\x63\x00\x0a")), "0 connection.close 503 99,10 COMMAND_INVALID - unimplemented method"},
	{"access.request", steps(&wire091.AccessRequest{Realm: "/data"}), "1 access.request-ok 1"},
	{"update-secret", steps(&wire091.ConnectionUpdateSecret{NewSecret: "guest"}), "0 connection.update-secret-ok"},
	{"wrong update-secret", steps(&wire091.ConnectionUpdateSecret{NewSecret: "no"}),
		"0 connection.close 530 10,70 NOT_ALLOWED - New secret was refused using authentication mechanism PLAIN. For details see the broker logfile."},
	{"close of the connection", steps(&wire091.ConnectionClose{ReplyCode: 200, ReplyText: "Goodbye"}), "0 connection.close-ok"},
}
