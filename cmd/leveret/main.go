// Command leveret is a message broker for the gateway at the edge of a network.
//
//	leveret run      serve until SIGINT or SIGTERM
//	leveret check    tell every mistake of a configuration file
//	leveret status   show what a running instance does
//	leveret devices  show the clients that a running instance has seen
//	leveret queue    stop a queue from giving messages out, or let it go on
//	leveret spool    look into a spool, check it, carry its messages elsewhere
//	leveret version  show what this program is
//
// It ends with 0 when all went well, 1 after a failure, 2 when it was called
// wrongly, 75 when another instance uses the data folder, and 78 when the
// configuration is wrong or the data folder was written by a newer version: a
// restart would not help.
//
// The commands only read flags and call package edge; each has a file.
package main

import (
	"context"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"
)

func main() {
	cmd, err := root().ExecuteContextC(context.Background())
	if err != nil {
		report(os.Stderr, cmd.CommandPath(), err)
	}
	os.Exit(exitCode(err))
}

func root() *cobra.Command {
	c := &cobra.Command{
		Use:           "leveret",
		Short:         "A message broker for edge gateways: MQTT and AMQP in, everything confirmed on the flash",
		Args:          knownCommand,
		Run:           func(c *cobra.Command, _ []string) { c.Help() },
		SilenceErrors: true, // main reports them
		SilenceUsage:  true,

		SuggestionsMinimumDistance: 2,
	}
	c.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageError{err} })
	c.AddCommand(runCommand(), checkCommand(), statusCommand(), devicesCommand(), queueCommand(), spoolCommand(), versionCommand())
	return c
}

// knownCommand refuses words after the name that are no command.
func knownCommand(c *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	text := fmt.Sprintf("unknown command %q", args[0])
	if near := c.SuggestionsFor(args[0]); len(near) > 0 {
		text += ", did you mean " + strings.Join(near, " or ") + "?"
	}
	return usageErrorf("%s", text)
}
