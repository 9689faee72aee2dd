package main

import (
	"fmt"

	"github.com/spf13/cobra"
)

func checkCommand() *cobra.Command {
	var s settings
	c := &cobra.Command{
		Use:   "check --config FILE",
		Short: "Tell every mistake of a configuration file",
		Long: `Check reads a configuration and tells every mistake as file:line:column: key:
text. It ends with 78 if there is one. Nothing is started or changed.`,
		Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if s.file == "" {
				return usageErrorf("which file? give --config FILE")
			}
			if _, err := s.load(); err != nil {
				return err
			}
			_, err := fmt.Fprintf(c.OutOrStdout(), "%s: ok\n", s.file)
			return err
		},
	}
	s.flags(c)
	return c
}
