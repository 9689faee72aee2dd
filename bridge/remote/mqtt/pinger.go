package mqtt

import (
	"context"
	"fmt"
	"net"
	"time"

	"github.com/eclipse/paho.golang/paho/log"

	"leveret/bridge/mqttwire"
)

// pinger sends PINGREQ when for most of a keep alive either side was silent.
// Whether the far side answers is seen by the wire's deadline.
type pinger struct{ wire *wire }

// Run lives as long as the connection.
func (p *pinger) Run(ctx context.Context, _ net.Conn, _ uint16) error {
	var last time.Time
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-timer.C:
		}
		w := p.wire
		interval := time.Duration(w.patience.Load()) / 2 // three quarters of the keep alive
		due := time.Unix(0, min(w.lastIn.Load(), w.lastOut.Load())).Add(interval)
		if again := last.Add(interval); again.After(due) {
			due = again
		}
		if wait := time.Until(due); wait > 0 {
			timer.Reset(wait)
			continue
		}
		if err := w.send(mqttwire.AppendPingreq(nil)); err != nil {
			return fmt.Errorf("send PINGREQ: %w", err)
		}
		last = time.Now()
		timer.Reset(interval)
	}
}

func (p *pinger) PacketSent()         {}
func (p *pinger) PacketReceived()     {}
func (p *pinger) PingResp()           {}
func (p *pinger) SetDebug(log.Logger) {}
