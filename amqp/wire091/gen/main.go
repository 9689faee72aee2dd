// Command gen writes methods_gen.go of package wire091 from methods.txt, the
// specification of the methods. It is run by go generate in the package's
// folder; a test of its own fails when the file is not up to date.
package main

import (
	"fmt"
	"os"
)

func main() {
	if err := run("methods.txt", "methods_gen.go"); err != nil {
		fmt.Fprintln(os.Stderr, "gen:", err)
		os.Exit(1)
	}
}

func run(spec, out string) error {
	text, err := os.ReadFile(spec)
	if err != nil {
		return err
	}
	classes, err := parse(string(text))
	if err != nil {
		return fmt.Errorf("read %s: %w", spec, err)
	}
	code, err := generate(classes)
	if err != nil {
		return fmt.Errorf("generate %s: %w", out, err)
	}
	return os.WriteFile(out, code, 0o644)
}
