package amqptest

import (
	"leveret/amqp/wire091"
)

var framesTalk = []talk{
	{"body first", steps(Body(1, "x")), "0 connection.close 505 0,0 UNEXPECTED_FRAME - expected method frame, got non method frame instead"},
	{"header first", steps(Header(1, 60, 1)), "0 connection.close 505 0,0 UNEXPECTED_FRAME - expected method frame, got non method frame instead"},
	{"content on channel 0", steps(Header(0, 60, 1)), "0 connection.close 505 0,0 UNEXPECTED_FRAME - expected method frame, got non method frame instead"},
	{"method for a header", steps(&wire091.BasicPublish{}, &wire091.BasicQos{}),
		"0 connection.close 505 60,40 UNEXPECTED_FRAME - expected content header for class 60, got non content header frame instead"},
	{"body for a header", steps(&wire091.BasicPublish{}, Body(1, "x")),
		"0 connection.close 505 60,40 UNEXPECTED_FRAME - expected content header for class 60, got non content header frame instead"},
	{"header of another class", steps(&wire091.BasicPublish{}, Header(1, 50, 1)),
		"0 connection.close 505 60,40 UNEXPECTED_FRAME - expected content header for class 60, got one for class 50 instead"},
	{"method for a body", steps(&wire091.BasicPublish{}, Header(1, 60, 1), &wire091.BasicQos{}),
		"0 connection.close 505 60,40 UNEXPECTED_FRAME - expected content body, got non content body frame instead"},
	{"more body than announced", steps(&wire091.BasicPublish{}, Header(1, 60, 1), Body(1, "xy")),
		"0 connection.close 501 60,40 FRAME_ERROR - content body of at least 2 octets, but 1 were announced"},
	{"heartbeat on a channel", steps(Frame(8, 1, "")), "0 connection.close 505 0,0 UNEXPECTED_FRAME - type 8, all octets = <<>>"},
	{"heartbeat", steps(Frame(8, 0, ""), &wire091.BasicQos{}), "1 basic.qos-ok"},
	{"unknown frame", steps(Frame(7, 1, "x")), `0 connection.close 501 0,0 FRAME_ERROR - type 7, all octets = <<"x">>: unknown_frame`},
	{"wrong end", steps([]byte("\x08\x00\x00\x00\x00\x00\x00\xcd")), "0 connection.close 501 0,0 FRAME_ERROR - type 8, all octets = <<>>: {invalid_frame_end_marker,205}"},
	{"too large a frame", steps([]byte("\x01\x00\x01\x00\x10\x00\x00")), "0 connection.close 501 0,0 FRAME_ERROR - type 1, all octets = <<>>: {frame_too_large,1048576,131064}"},
	{"a name that is no UTF-8", steps(Frame(1, 1, "\x00\x32\x00\x0a\x00\x00\x02\xc3\x28\x00\x00\x00\x00\x00")),
		"0 connection.close 501 50,10 FRAME_ERROR - Malformed UTF-8 in shortstr"},
	{"arguments too short", steps(Frame(1, 1, "\x00\x32\x00\x0a\x00")), "0 connection.close 501 50,10 FRAME_ERROR - cannot decode <<0>>: reserved goes past the end"},
}
