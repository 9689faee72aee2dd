package health_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"leveret/edge/health"
)

const crashEnv = "LEVERET_TEST_CRASH"

func TestMain(m *testing.M) {
	if path := os.Getenv(crashEnv); path != "" {
		if _, err := health.Crash(path); err != nil {
			os.Exit(3)
		}
		go panic("out of reach")
		select {}
	}
	os.Exit(m.Run())
}

// TestCrashIsFound: a panic in a goroutine that nobody watches is what the next
// process reads.
func TestCrashIsFound(t *testing.T) {
	path := filepath.Join(t.TempDir(), "crash")
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), crashEnv+"="+path)
	if err := cmd.Run(); err == nil || cmd.ProcessState.ExitCode() != 2 {
		t.Fatalf("child ended with %v", err)
	}
	last, err := health.Crash(path)
	if err != nil || !strings.Contains(last, "out of reach") {
		t.Errorf("Crash = %.80q, %v, want the panic", last, err)
	}
	if kept, err := os.ReadFile(path + ".last"); err != nil || !strings.Contains(string(kept), "out of reach") {
		t.Errorf("it was not kept: %v", err)
	}
	if last, err := health.Crash(path); err != nil || last != "" {
		t.Errorf("Crash = %q, %v once more", last, err)
	}
}
