// Package mqttwire is the bytes of MQTT 3.1, 3.1.1 and 5: it cuts a stream
// into packets, takes packets apart and puts them together. It knows no
// session and no broker.
//
// It is written for the server's side and strict: what a specification
// forbids is refused with an [*Error] that carries the MQTT 5 reason code, so
// that the door can answer with a CONNACK or DISCONNECT, or just close. MQTT
// 3.1 is looser where its text is. Section numbers in comments are those of
// OASIS MQTT 5.0, and [MQTT-x.y.z-n] its numbered statements, unless 3.1.1 or
// 3.1 is named.
//
// Layout of a packet:
//
//	type and flags    1 byte: type in the high 4 bits, flags in the low 4
//	remaining length  1 to 4 bytes, 7 bits each, least first; the high bit says more
//	body              as many bytes: variable header, then payload
//
// Strings and binary values are a 16-bit length and the bytes. A property list
// (MQTT 5) is its length as a variable byte integer and the bytes.
//
// Reading. A [Reader] has one buffer for each connection, small while the peer
// is quiet. Lengths are checked against the connection's limit before memory
// is taken, and memory grows only with bytes that have come: a peer that
// announces a megabyte and sends nothing costs nothing. Everything that is
// []byte in a decoded packet is a view into that buffer, as is a [Properties];
// strings are copies. Decoded structs may be used again for the next packet.
//
// Writing. The Append functions add a packet to a slice; if they fail, the
// slice is as before. Property lists made with [PropertyWriter] are trusted to
// fit the packet they are put in.
//
// There are no goroutines here, and no value is safe for concurrent use.
package mqttwire
