package health

import "github.com/coreos/go-systemd/v22/daemon"

// Ready, Stopping and Status speak to systemd; without it they do nothing
// (sd_notify(3)).

// Ready tells that the service serves.
func Ready(status string) {
	_, _ = daemon.SdNotify(false, daemon.SdNotifyReady+"\nSTATUS="+status)
}

// Stopping tells that it is about to end.
func Stopping() { _, _ = daemon.SdNotify(false, daemon.SdNotifyStopping) }
