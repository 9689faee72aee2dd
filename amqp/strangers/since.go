package strangers

import (
	"context"
	"net"
	"time"
)

type sinceKey struct{}

// WithSince notes in a connection's context when it was accepted, so that all
// who have a part in its beginning count from there.
func WithSince(ctx context.Context, accepted time.Time) context.Context {
	return context.WithValue(ctx, sinceKey{}, accepted)
}

// Since is when the connection of a context was accepted; now, if nobody has
// noted it.
func Since(ctx context.Context) time.Time {
	if t, ok := ctx.Value(sinceKey{}).(time.Time); ok {
		return t
	}
	return time.Now()
}

// Accepted is when a connection was accepted, as whoever has read the first of it
// knows (a PROXY header, an upgrade to WebSocket), under TLS and other wraps, too;
// now, if nobody has.
func Accepted(nc net.Conn) time.Time {
	for {
		switch c := nc.(type) {
		case interface{ Since() time.Time }:
			return c.Since()
		case interface{ NetConn() net.Conn }:
			nc = c.NetConn()
		default:
			return time.Now()
		}
	}
}
