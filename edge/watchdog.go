package edge

import (
	"context"

	"leveret/edge/health"
	"leveret/spool"
)

// watchdog proves to systemd that the log still commits: each time it asks, a
// small definition goes the way that everything durable goes.
func (a *App) watchdog(ctx context.Context) error {
	return health.Watchdog(ctx, a.commits)
}

// commits waits until something appended now is durable.
func (a *App) commits(ctx context.Context) error {
	lsn, err := a.store.Append(&spool.Batch{})
	if err != nil {
		return err
	}
	for {
		upTo, moved, err := a.store.Durable()
		switch {
		case err != nil:
			return err
		case upTo >= lsn:
			return nil
		}
		select {
		case <-moved:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
