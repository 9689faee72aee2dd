package strangers

import (
	"context"
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
