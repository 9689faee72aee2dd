package metrics

import (
	"strings"
	"testing"
)

func TestWriter(t *testing.T) {
	var b strings.Builder
	w := To(&b)
	w.Gauge("leveret_queue_messages_ready", "Messages ready for delivery.", 3, "vhost", "/", "queue", "a")
	w.Gauge("leveret_queue_messages_ready", "Messages ready for delivery.", 4, "vhost", "/", "queue", `b"\`+"\n")
	w.Counter("leveret_spool_commits_total", "Group commits.", 1<<40)
	want := `# HELP leveret_queue_messages_ready Messages ready for delivery.
# TYPE leveret_queue_messages_ready gauge
leveret_queue_messages_ready{vhost="/",queue="a"} 3
leveret_queue_messages_ready{vhost="/",queue="b\"\\\n"} 4
# HELP leveret_spool_commits_total Group commits.
# TYPE leveret_spool_commits_total counter
leveret_spool_commits_total 1.099511627776e+12
`
	if b.String() != want {
		t.Errorf("got\n%s\nwant\n%s", b.String(), want)
	}
}

func TestProcess(t *testing.T) {
	var b strings.Builder
	To(&b).Process()
	for _, name := range []string{"go_goroutines ", "go_memstats_sys_bytes ", "process_resident_memory_bytes ", "process_cpu_seconds_total ", "process_open_fds "} {
		if !strings.Contains(b.String(), "\n"+name) {
			t.Errorf("no %sin\n%s", name, b.String())
		}
	}
}
