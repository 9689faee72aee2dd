package metrics

import (
	"runtime/metrics"
)

// Process writes the figures of the Go runtime and of the process under the
// names that Prometheus' own clients use, so that the usual boards show them.
func (w *Writer) Process() {
	for _, r := range runtimeFamilies {
		s := []metrics.Sample{{Name: r.from}}
		metrics.Read(s)
		switch s[0].Value.Kind() {
		case metrics.KindUint64:
			w.sample(r.kind, r.name, r.help, float64(s[0].Value.Uint64()), nil)
		case metrics.KindFloat64:
			w.sample(r.kind, r.name, r.help, s[0].Value.Float64(), nil)
		}
	}
	w.system()
}

var runtimeFamilies = [...]struct{ kind, name, help, from string }{
	{"gauge", "go_goroutines", "Goroutines that exist.", "/sched/goroutines:goroutines"},
	{"gauge", "go_memstats_heap_alloc_bytes", "Heap in use by objects.", "/memory/classes/heap/objects:bytes"},
	{"gauge", "go_memstats_sys_bytes", "Memory taken from the system by the runtime.", "/memory/classes/total:bytes"},
	{"gauge", "go_gc_gomemlimit_bytes", "What the collector aims to stay under.", "/gc/gomemlimit:bytes"},
	{"counter", "go_gc_cycles_total_gc_cycles_total", "Garbage collections.", "/gc/cycles/total:gc-cycles"},
	{"counter", "go_memstats_alloc_bytes_total", "Heap allocated since the start.", "/gc/heap/allocs:bytes"},
}
