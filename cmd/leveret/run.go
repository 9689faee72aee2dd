package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"leveret/edge"
)

func runCommand() *cobra.Command {
	var s settings
	c := &cobra.Command{
		Use:   "run",
		Short: "Serve until SIGINT or SIGTERM",
		Long: `Run is the broker. It serves until SIGINT or SIGTERM, then lets connections and
shovels finish and commits what they left; a second signal ends it at once. The
configuration file is read again when it changes, and at SIGHUP.`,
		Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error { return run(c.Context(), s) },
	}
	s.flags(c)
	return c
}

func run(ctx context.Context, s settings) error {
	cfg, err := s.load()
	if err != nil {
		return err
	}
	log, level := newLogger(os.Stderr, cfg.Log.Level)
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // the second signal finds the default again
	hangup := make(chan os.Signal, 1)
	signal.Notify(hangup, syscall.SIGHUP)
	defer signal.Stop(hangup)
	b := thisBuild()
	return edge.Run(ctx, edge.Options{
		Config: cfg, ConfigFile: s.file, Reload: s.load, Hangup: hangup,
		Log: log, Level: level,
		Version: b.version, Built: b.time,
	})
}
