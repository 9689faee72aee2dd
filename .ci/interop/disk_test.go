package interop

import (
	"encoding/json"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// simDisk is cutpower's simulated disk, served beside a test: what is to
// happen to it is told over HTTP.
type simDisk struct {
	dir     string // the mount
	control string
	proc    *process
}

// noFaults lifts what was told before; what is not named stays as it is.
const noFaults = `{"space_bytes":0,"read_only":false,"read_eio":0,"write_eio":0,"fsync_eio":0,"fsync_lie":false,
	"fsync_delay_ns":0,"stall_every":0,"stall_time_ns":0,"write_delay_ns":0,"flip_read_bits":0}`

// diskStats are the calls that reached the disk, and those that it refused.
type diskStats struct {
	Writes, Fsyncs, FsyncDirs int64
	Eio, Enospc, Stalls       int64
}

func (s diskStats) syncs() int64 { return s.Fsyncs + s.FsyncDirs }

// serveDisk mounts an empty disk until the test ends. Gateways on it must be
// made later, so that they end earlier.
func serveDisk(t testing.TB, flags ...string) *simDisk {
	t.Helper()
	d := &simDisk{dir: filepath.Join(t.TempDir(), "disk"), control: freeAddr()}
	cmd := exec.Command(lab.tool(t, "cutpower", "./cmd/cutpower"),
		append([]string{"serve", "-dir", d.dir, "-listen", d.control}, flags...)...)
	ready := make(chan struct{}, 1)
	proc, err := startProcess(cmd, func(line string) {
		if strings.HasPrefix(line, "disk at") {
			ready <- struct{}{}
		}
	})
	must(t, err)
	d.proc = proc
	t.Cleanup(func() {
		if err := d.proc.signal(syscall.SIGTERM, stopMax); err != nil {
			t.Log(err)
		}
		_ = unix.Unmount(d.dir, unix.MNT_DETACH) // only needed when it was killed
	})
	select {
	case <-ready:
	case <-proc.done:
		t.Fatalf("cutpower ended: %s", proc.output())
	case <-time.After(startMax):
		t.Fatalf("cutpower shows no disk: %s", proc.output())
	}
	until(t, startMax, "the disk's control answers", func() bool {
		reply, err := http.Get("http://" + d.control + "/stats")
		if err == nil {
			reply.Body.Close()
		}
		return err == nil
	})
	return d
}

func (d *simDisk) tell(t testing.TB, path, body string) {
	t.Helper()
	reply, err := http.Post("http://"+d.control+path, "application/json", strings.NewReader(body))
	must(t, err)
	defer reply.Body.Close()
	if text, _ := io.ReadAll(reply.Body); reply.StatusCode != http.StatusOK {
		t.Fatalf("POST %s %s: %s", path, body, text)
	}
}

// faults changes the faults that are named, and leaves the others.
func (d *simDisk) faults(t testing.TB, body string) {
	t.Helper()
	d.tell(t, "/faults", body)
}

// cut turns the power off and on; who uses the disk must have ended.
func (d *simDisk) cut(t testing.TB, loss string) {
	t.Helper()
	d.tell(t, "/freeze", "")
	d.tell(t, "/cut?loss="+loss, "")
}

func (d *simDisk) stats(t testing.TB) (s diskStats) {
	t.Helper()
	reply, err := http.Get("http://" + d.control + "/stats")
	must(t, err)
	defer reply.Body.Close()
	must(t, json.NewDecoder(reply.Body).Decode(&s))
	return s
}

// await looks every fraction of a millisecond: with each call delayed by more
// than that, the very next call after seen can be given a fault.
func (d *simDisk) await(t testing.TB, limit time.Duration, seen func(diskStats) bool) bool {
	t.Helper()
	for end := time.Now().Add(limit); !seen(d.stats(t)); time.Sleep(200 * time.Microsecond) {
		if time.Now().After(end) {
			return false
		}
	}
	return true
}

// tmpfsVolume mounts a small volume in memory; it wants root.
func tmpfsVolume(t testing.TB, size string) string {
	t.Helper()
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size="+size); err != nil {
		t.Fatalf("mount: %v", err)
	}
	t.Cleanup(func() { _ = unix.Unmount(dir, unix.MNT_DETACH) })
	return dir
}

// ext4Volume mounts a small image with a real ext4 on a loop device; it wants
// root.
func ext4Volume(t testing.TB, size string) string {
	t.Helper()
	image, dir := filepath.Join(t.TempDir(), "image"), t.TempDir()
	for _, c := range [][]string{
		{"truncate", "-s", size, image},
		{"mkfs.ext4", "-q", "-F", "-m", "0", image},
		{"mount", "-o", "loop", image, dir},
	} {
		if out, err := exec.Command(c[0], c[1:]...).CombinedOutput(); err != nil {
			t.Fatalf("%q: %v: %s", c, err, out)
		}
	}
	t.Cleanup(func() {
		// Nobody uses it any more, so that the loop device goes as well.
		if out, err := exec.Command("umount", dir).CombinedOutput(); err != nil {
			t.Logf("umount: %v: %s", err, out)
			_ = unix.Unmount(dir, unix.MNT_DETACH)
		}
	})
	return dir
}

// occupy fills a volume but for so many bytes, as another program might.
func occupy(t testing.TB, dir string, leave int64) (free func()) {
	t.Helper()
	var st unix.Statfs_t
	must(t, unix.Statfs(dir, &st))
	path := filepath.Join(dir, "another's")
	if n := int64(st.Bavail)*st.Bsize - leave; n > 0 {
		must(t, os.WriteFile(path, make([]byte, n), 0o600))
	}
	return func() { must(t, os.RemoveAll(path)) }
}
