package main

import (
	"fmt"
	"runtime"
	"runtime/debug"
	"time"

	"github.com/spf13/cobra"
)

// version is set by the linker (-X main.version=1.2.3) and by nothing else.
var version string

func versionCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Show what this program is",
		Args:  noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			b := thisBuild()
			_, err := fmt.Fprintf(c.OutOrStdout(), "leveret %s (%s, %s/%s%s)\n", b.version, runtime.Version(), runtime.GOOS, runtime.GOARCH, b.from())
			return err
		},
	}
}

// build is where this program comes from.
type build struct {
	version  string
	revision string    // of the sources; "" when unknown
	time     time.Time // of the revision; zero when unknown
}

func thisBuild() build {
	b := build{version: version}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return b.orUnknown()
	}
	if b.version == "" && info.Main.Version != "(devel)" {
		b.version = info.Main.Version
	}
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			b.revision = s.Value[:min(12, len(s.Value))]
		case "vcs.time":
			b.time, _ = time.Parse(time.RFC3339, s.Value) // zero: unknown
		}
	}
	return b.orUnknown()
}

func (b build) orUnknown() build {
	if b.version == "" {
		b.version = "unreleased"
	}
	return b
}

func (b build) from() string {
	if b.revision == "" {
		return ""
	}
	return ", " + b.revision
}
