package main

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"leveret/edge/config"
	"leveret/spool"
)

// Exit codes: those above 2 are of sysexits.h (EX_TEMPFAIL, EX_CONFIG), which
// systemd knows by name.
const (
	exitFailure = 1
	exitUsage   = 2
	exitInUse   = 75
	exitConfig  = 78
)

func exitCode(err error) int {
	_, usage := errors.AsType[usageError](err)
	_, problems := errors.AsType[config.Problems](err)
	switch {
	case err == nil:
		return 0
	case usage:
		return exitUsage
	case errors.Is(err, spool.ErrLocked):
		return exitInUse
	case problems, errors.Is(err, spool.ErrNewer):
		return exitConfig
	}
	return exitFailure
}

// usageError is a mistake on the command line.
type usageError struct{ cause error }

func usageErrorf(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }

func (e usageError) Error() string { return e.cause.Error() }
func (e usageError) Unwrap() error { return e.cause }

// noArgs refuses words that a command does not take.
func noArgs(_ *cobra.Command, args []string) error {
	if len(args) > 0 {
		return usageErrorf("unexpected argument %q", args[0])
	}
	return nil
}

// atMostOne refuses more words than one.
func atMostOne(c *cobra.Command, args []string) error {
	if len(args) > 1 {
		return noArgs(c, args[1:])
	}
	return nil
}

// exactlyOne wants one word.
func exactlyOne(c *cobra.Command, args []string) error {
	if len(args) == 0 {
		return usageErrorf("a name is missing")
	}
	return atMostOne(c, args)
}

// report tells why a command failed. Problems of a configuration stand for
// themselves, so that editors can jump to them.
func report(to *os.File, command string, err error) {
	text := "leveret: " + err.Error()
	if problems, ok := errors.AsType[config.Problems](err); ok {
		text = problems.Error()
	}
	if _, ok := errors.AsType[usageError](err); ok {
		text += fmt.Sprintf("\nsee %q", command+" --help")
	}
	mark := ""
	if goesToJournal(to) {
		mark = priorityError
	}
	for line := range strings.Lines(text + "\n") {
		fmt.Fprint(to, mark, line)
	}
}
