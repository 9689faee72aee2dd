package main

import (
	"net/http"
	"net/url"

	"github.com/spf13/cobra"
)

func queueCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "queue",
		Short: "Stop a queue from giving messages out, or let it go on",
		Args:  knownCommand,
		Run:   func(c *cobra.Command, _ []string) { c.Help() },
	}
	c.AddCommand(
		pauseCommand("pause", "Stop a queue from giving messages to anybody; it goes on to take them"),
		pauseCommand("resume", "Let a paused queue go on"),
	)
	return c
}

// pauseCommand is pause and resume. A pause outlives a restart.
func pauseCommand(verb, short string) *cobra.Command {
	var i instance
	var vhost string
	c := &cobra.Command{
		Use:   verb + " NAME",
		Short: short,
		Long: short + ".\n\nThe command " + howToReach + `
It needs the login of a user who may configure the queue and has the tag
administrator or policymaker: --user, and the password in ` + passwordEnv + `.`,
		Args: exactlyOne,
		RunE: func(c *cobra.Command, args []string) error {
			_, _, err := i.do(c.Context(), http.MethodPut, "/api/queues/"+url.PathEscape(vhost)+"/"+url.PathEscape(args[0])+"/"+verb)
			return err
		},
	}
	i.flags(c)
	c.Flags().StringVar(&vhost, "vhost", "/", "`NAME` of the queue's vhost")
	return c
}
