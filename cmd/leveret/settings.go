package main

import (
	"github.com/spf13/cobra"

	"leveret/edge/config"
)

// settings are the flags that say what is configured.
type settings struct {
	file string
	sets []string
}

func (s *settings) flags(c *cobra.Command) {
	c.Flags().StringVarP(&s.file, "config", "c", "", "configuration `FILE` (TOML); without one the defaults hold")
	c.MarkFlagFilename("config", "toml")
	// An array, not a slice: commas belong to the values.
	c.Flags().StringArrayVar(&s.sets, "set", nil, "set `KEY=VALUE` over the file, e.g. log.level=debug (may be repeated)")
}

func (s *settings) load() (*config.Config, error) { return config.Load(s.file, s.sets) }
