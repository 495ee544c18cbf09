package acceptance

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"icewatch/soc/client"
)

// disk mounts a file system of its own at dir, which holds so many MiB.
func disk(t *testing.T, dir string, size int) {
	t.Helper()
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("icewatch-test", dir, "tmpfs", 0, fmt.Sprintf("size=%dm", size)); err != nil {
		missing(t, fmt.Sprintf("no file system can be mounted here: %v", err))
	}
	t.Cleanup(func() {
		// The suite's own clean-up runs before this one.
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Errorf("unmount %s: %v", dir, err)
		}
	})
}

// remount makes the file system at dir read-only or writable again.
func remount(t *testing.T, dir string, readOnly bool) {
	t.Helper()
	flags := uintptr(syscall.MS_REMOUNT)
	if readOnly {
		flags |= syscall.MS_RDONLY
	}
	if err := syscall.Mount("", dir, "", flags, ""); err != nil {
		t.Fatalf("remount %s: %v", dir, err)
	}
}

// onDisk lays out a suite of which one folder is a small disk.
func onDisk(t *testing.T, folder string, size int, extra string) (*suite, string) {
	t.Helper()
	// The mount's clean-up is registered first, so that it runs last.
	root, err := os.MkdirTemp("", "iw-disk-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(root) })
	disk(t, root, size)
	s := prepare(t, extra)
	dir := filepath.Join(s.data, folder)
	if err := os.MkdirAll(s.data, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(root, dir); err != nil {
		t.Fatal(err)
	}
	return s, root
}

// fill leaves next to nothing free on the disk of dir.
func fill(t *testing.T, dir string) (empty func()) {
	t.Helper()
	path := filepath.Join(dir, "filler")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	block := make([]byte, 64<<10)
	for {
		if _, err := f.Write(block); err != nil {
			if len(block) == 4096 {
				return func() {
					if err := os.Remove(path); err != nil {
						t.Error(err)
					}
				}
			}
			block = block[:4096]
		}
	}
}

// notReady waits until /readyz says of a part that it is not ready, and why.
func (s *suite) notReady(part, why string, within time.Duration) {
	s.t.Helper()
	eventually(s.t, within, fmt.Sprintf("/readyz tells that the %s is not ready: %s", part, why), func() error {
		resp, err := http.Get(s.url + "/readyz")
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		if err != nil || resp.StatusCode != 503 || !strings.Contains(string(body), part) || !strings.Contains(string(body), why) {
			return fmt.Errorf("%d %s %v", resp.StatusCode, body, err)
		}
		return nil
	})
}

// condition waits until /metrics tells of a condition whose kind and key hold
// the words, or until it does not.
func (s *suite) condition(kind, key string, stands bool, within time.Duration) {
	s.t.Helper()
	eventually(s.t, within, fmt.Sprintf("the condition %s of %s stands: %v", kind, key, stands), func() error {
		var text []byte
		if err := s.admin.Get(context.Background(), "/metrics", nil, &text); err != nil {
			return err
		}
		found := false
		for line := range strings.Lines(string(text)) {
			found = found || strings.HasPrefix(line, "icewatch_condition{") && strings.Contains(line, kind) && strings.Contains(line, key)
		}
		if found != stands {
			return fmt.Errorf("found: %v", found)
		}
		return nil
	})
}

// flood posts documents that do not compress until one is refused; it returns
// the numbers that were acknowledged, and the refusal.
type flood struct {
	c     *client.Client
	rnd   *rand.Rand
	next  int
	acked map[int]bool
}

func (f *flood) post(t *testing.T) (status int, answer string) {
	t.Helper()
	const batch = 20
	var body bytes.Buffer
	noise := make([]byte, 20<<10)
	for n := f.next; n < f.next+batch; n++ {
		for i := range noise {
			noise[i] = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_-"[f.rnd.IntN(64)]
		}
		fmt.Fprintf(&body, "{\"create\":{\"_id\":\"flood-%d\"}}\n{\"message\":\"number=%d of the flood\",\"noise\":%q}\n", n, n, noise)
	}
	status, answer = post(t, f.c, "/elastic/flood/_bulk", map[string]string{"Content-Type": "application/x-ndjson"}, body.Bytes())
	if status == 200 {
		if strings.Count(answer, `"status":201`) != batch {
			t.Fatalf("a bulk request was taken in part: %.300s", answer)
		}
		for n := f.next; n < f.next+batch; n++ {
			f.acked[n] = true
		}
		f.next += batch
	}
	return status, answer
}

// check tells whether what was acknowledged is in the lake, each once.
func (f *flood) check(t *testing.T, s *suite) {
	t.Helper()
	s.settled()
	times := map[int]int{}
	missing := func() (n int) {
		clear(times)
		for _, row := range s.inventory() {
			if n, ok := number(row.message, "of the flood"); ok {
				times[n]++
			}
		}
		for k := range f.acked {
			if times[k] == 0 {
				n++
			}
		}
		return n
	}
	// A busy machine takes a while to make the last ones visible.
	for end := time.Now().Add(20 * time.Second); missing() > 0 && time.Now().Before(end); {
		time.Sleep(time.Second)
	}
	bad := 0
	for n := range f.acked {
		if times[n] != 1 {
			if bad++; bad <= 5 {
				t.Errorf("number %d was acknowledged and is in the lake %d times", n, times[n])
			}
		}
	}
	t.Logf("%d documents acknowledged, %d not in the lake once", len(f.acked), bad)
}

func newFlood(t *testing.T, s *suite) *flood {
	return &flood{c: s.token("e-seal", "ingest"), rnd: rand.New(rand.NewPCG(seed, 7)), acked: map[int]bool{}}
}

// TestAFullBusDiskStopsIntakeAndGoesOn fills the disk of the bus, with and
// without room left free. Senders hear why and wait, nothing acknowledged is
// lost, and intake goes on by itself once the engine has drained the bus.
func TestAFullBusDiskStopsIntakeAndGoesOn(t *testing.T) {
	t.Parallel()
	for name, free := range map[string]string{"the disk is full": "0", "less is free than is to be": "24MiB"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, _ := onDisk(t, "bus", 64, "bus:\n  keep: 1\n  min_free: "+free+"\n")
			s.start()
			s.signIn()
			f := newFlood(t, s)
			engine := s.enginePID()
			if err := syscall.Kill(engine, syscall.SIGSTOP); err != nil {
				t.Fatal(err)
			}
			resumed := false
			resume := func() {
				if !resumed {
					resumed = true
					_ = syscall.Kill(engine, syscall.SIGCONT)
				}
			}
			t.Cleanup(resume)
			status, answer := 200, ""
			for status == 200 && len(f.acked) < 20_000 {
				status, answer = f.post(t)
			}
			if status != http.StatusTooManyRequests || !strings.Contains(answer, "full") && !strings.Contains(answer, "free") || strings.Contains(answer, s.data) {
				t.Errorf("the refusal is %d %.300s", status, answer)
			}
			t.Logf("%d documents were acknowledged before the refusal: %.200s", len(f.acked), answer)
			s.notReady("intake", "stopped", 10*time.Second)
			s.condition("disk-full", "bus", true, 10*time.Second)
			// Syslog over TCP has no word for it: the sender's writes stand still.
			conn, err := net.Dial("tcp", s.syslog)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			lines := stall(t, conn)
			resume()
			s.condition("disk-full", "bus", false, 60*time.Second)
			eventually(t, 30*time.Second, "intake goes on", func() error {
				if status, answer := f.post(t); status != 200 {
					time.Sleep(200 * time.Millisecond)
					return fmt.Errorf("%d %.200s", status, answer)
				}
				return nil
			})
			conn.Close()
			f.check(t, s)
			s.ready(10 * time.Second)
			eventually(t, 30*time.Second, "the stream's lines are there", func() error {
				if n := text(s.find(`"stalled-line" | stats count() n`)[0], "n"); n != fmt.Sprint(lines) {
					return fmt.Errorf("%s of %d", n, lines)
				}
				return nil
			})
			s.balance()
		})
	}
}

// stall writes lines until the connection takes no more, then the rest of the
// line that was cut, and returns how many lines were written.
func stall(t *testing.T, conn net.Conn) (lines int) {
	t.Helper()
	pad := strings.Repeat("z", 8<<10)
	for ; lines < 20_000; lines++ {
		line := fmt.Sprintf("<13>1 - host app - - - stalled-line number=%d %s\n", lines, pad)
		_ = conn.SetWriteDeadline(time.Now().Add(2 * time.Second))
		n, err := conn.Write([]byte(line))
		if errors.Is(err, os.ErrDeadlineExceeded) {
			t.Logf("the stream stood still after %d lines", lines)
			_ = conn.SetWriteDeadline(time.Time{})
			if n > 0 {
				// In the background: it goes through once intake goes on.
				lines++
				done := make(chan error, 1)
				go func() { _, err := conn.Write([]byte(line[n:])); done <- err }()
				t.Cleanup(func() {
					select {
					case <-done:
					case <-time.After(time.Second):
					}
				})
			}
			return lines
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	t.Error("20,000 lines of 8 KiB were taken while the disk was full")
	return lines
}

// TestTheSuiteStartsOnAFullBusDisk kills the suite while the disk of the bus
// is full: it starts all the same, so that the engine can drain the bus.
func TestTheSuiteStartsOnAFullBusDisk(t *testing.T) {
	t.Parallel()
	s, root := onDisk(t, "bus", 48, "bus:\n  keep: 1\n  min_free: 0\n")
	s.start()
	s.signIn()
	f := newFlood(t, s)
	for range 20 {
		if status, answer := f.post(t); status != 200 {
			t.Fatalf("%d %.300s", status, answer)
		}
	}
	empty := fill(t, root)
	for range 3 {
		if status, _ := f.post(t); status == 200 {
			t.Log("there was still room in a block")
		}
	}
	s.kill()
	s.launch()
	eventually(t, 30*time.Second, "the suite answers", func() error {
		resp, err := http.Get(s.url + "/healthz")
		if err == nil {
			resp.Body.Close()
		} else if s.ended() {
			t.Fatal("the suite has ended")
		}
		return err
	})
	empty()
	s.ready(60 * time.Second)
	s.signIn()
	f.c = s.token("e-seal", "ingest")
	if status, answer := f.post(t); status != 200 {
		t.Errorf("%d %.300s", status, answer)
	}
	f.check(t, s)
}

// TestAFullLakeDiskMakesTheEngineWait fills the disk of the lake at once, so
// that the storage library dies of it. The engine does not die again and
// again: it waits, says why, and goes on once there is space.
func TestAFullLakeDiskMakesTheEngineWait(t *testing.T) {
	t.Parallel()
	s, root := onDisk(t, "engine", 96, "bus:\n  min_free: 0\n")
	s.start()
	s.signIn()
	f := newFlood(t, s)
	for range 5 {
		if status, answer := f.post(t); status != 200 {
			t.Fatalf("%d %.300s", status, answer)
		}
	}
	empty := fill(t, root)
	for range 10 {
		if status, answer := f.post(t); status != 200 {
			t.Fatalf("the bus has space, but: %d %.300s", status, answer)
		}
	}
	s.notReady("engine", "waiting", 30*time.Second)
	s.condition("disk-full", "lake", true, 10*time.Second)
	before := 0.0
	eventually(t, 20*time.Second, "the storage library dies", func() error {
		if before = s.metrics()["icewatch_engine_restarts_total"]; before == 0 {
			return errors.New("it lives")
		}
		return nil
	})
	s.notReady("engine", "waiting", 30*time.Second)
	for range 10 {
		if status, answer := f.post(t); status != 200 {
			t.Fatalf("the bus has space, but: %d %.300s", status, answer)
		}
		time.Sleep(300 * time.Millisecond)
	}
	if after := s.metrics()["icewatch_engine_restarts_total"]; after > before || before > 3 {
		t.Errorf("the engine was restarted %v times, then %v", before, after)
	}
	empty()
	s.ready(30 * time.Second)
	s.condition("disk-full", "lake", false, 10*time.Second)
	f.check(t, s)
	s.forgive("panic:") // the library's own word, which the engine died of
}

// forgive takes a word out of the suite's log that the test brought about.
func (s *suite) forgive(words ...string) { s.forgiven = append(s.forgiven, words...) }

// TestAFullStateDiskIsToldAndIntakeGoesOn fills the disk of users, rules and
// tickets: what comes in is stored all the same.
func TestAFullStateDiskIsToldAndIntakeGoesOn(t *testing.T) {
	t.Parallel()
	s, root := onDisk(t, "state", 32, "bus:\n  min_free: 0\n")
	s.start()
	s.signIn()
	f := newFlood(t, s)
	empty := fill(t, root)
	s.condition("disk-full", "state", true, 20*time.Second)
	for range 5 {
		if status, answer := f.post(t); status != 200 {
			t.Fatalf("%d %.300s", status, answer)
		}
	}
	f.check(t, s)
	// What must be written is refused with a word, not taken and lost. The
	// database has some room of its own yet: what it takes there is kept.
	var made []string
	var err error
	for err == nil && len(made) < 20_000 {
		var token client.Token
		if token, err = s.admin.CreateToken(context.Background(), "on a full disk", "e-seal", []string{"read"}, time.Hour); err == nil {
			made = append(made, token.Secret)
		}
	}
	if err == nil || !strings.Contains(err.Error(), "full") {
		t.Errorf("the token after %d others on a full disk: %v", len(made), err)
	}
	empty()
	for _, secret := range made {
		if _, err := s.admin.With(secret, "").Me(context.Background()); err != nil {
			t.Errorf("one of %d tokens that were made on a full disk: %v", len(made), err)
		}
	}
	s.condition("disk-full", "state", false, 20*time.Second)
	eventually(t, 20*time.Second, "tokens are made again", func() error {
		_, err := s.admin.CreateToken(context.Background(), "afterwards", "e-seal", []string{"ingest"}, time.Hour)
		return err
	})
}

// TestReadOnlyDisks starts on disks that cannot be written. Bus and state are
// refused by name; the lake's engine waits, and goes on when it can.
func TestReadOnlyDisks(t *testing.T) {
	t.Parallel()
	for _, folder := range []string{"bus", "state"} {
		t.Run(folder, func(t *testing.T) {
			t.Parallel()
			s, root := onDisk(t, folder, 64, "bus:\n  min_free: 0\n")
			s.start()
			s.stop()
			remount(t, root, true)
			s.launch()
			eventually(t, 30*time.Second, "the suite ends", func() error {
				if s.ended() {
					return nil
				}
				return errors.New("it runs")
			})
			log, _ := os.ReadFile(s.log.Name())
			if !bytes.Contains(log, []byte("read-only file system")) && !bytes.Contains(log, []byte("readonly database")) {
				t.Errorf("the log does not say why:\n%s", log[max(0, len(log)-2000):])
			}
			if !bytes.Contains(log, []byte(filepath.Join(s.data, folder))) {
				t.Errorf("the log does not name the folder")
			}
			remount(t, root, false)
			s.start()
			s.signIn()
		})
	}
	t.Run("lake", func(t *testing.T) {
		t.Parallel()
		s, root := onDisk(t, "engine", 64, "bus:\n  min_free: 0\n")
		s.start()
		s.signIn()
		writer := s.token("e-seal", "ingest")
		s.stop()
		remount(t, root, true)
		s.launch()
		s.notReady("engine", "waiting", 30*time.Second)
		s.signIn()
		s.condition("read-only", "lake", true, 10*time.Second)
		status, answer := post(t, writer, "/elastic/app/_bulk", map[string]string{"Content-Type": "application/x-ndjson"}, []byte("{\"create\":{}}\n{\"message\":\"while-the-lake-was-read-only\"}\n"))
		if status != 200 {
			t.Errorf("%d %.300s", status, answer)
		}
		if m := s.metrics(); m["icewatch_engine_restarts_total"] > 0 {
			t.Errorf("the engine was restarted %v times", m["icewatch_engine_restarts_total"])
		}
		remount(t, root, false)
		s.ready(30 * time.Second)
		s.expect(`"while-the-lake-was-read-only"`, 1, 10*time.Second)
		s.condition("read-only", "lake", false, 10*time.Second)
	})
}

// TestAStandstillNeitherLosesNorDoubles stops the engine, then the centre, for
// longer than anybody waits for an answer from a healthy disk.
func TestAStandstillNeitherLosesNorDoubles(t *testing.T) {
	t.Parallel()
	s := newSuite(t, "")
	writer := s.token("e-seal", "ingest")
	senders := []*numbered{startNumbered(t, "bulk stream", bulkTo(writer)), startNumbered(t, "loki stream", pushTo(writer))}
	for _, pause := range []struct {
		pid  int
		last time.Duration
	}{{s.enginePID(), 8 * time.Second}, {s.pid(), 11 * time.Second}} {
		time.Sleep(2 * time.Second)
		if err := syscall.Kill(pause.pid, syscall.SIGSTOP); err != nil {
			t.Fatal(err)
		}
		time.Sleep(pause.last)
		if err := syscall.Kill(pause.pid, syscall.SIGCONT); err != nil {
			t.Fatal(err)
		}
	}
	time.Sleep(4 * time.Second)
	for _, n := range senders {
		n.least = 1000
		n.finish(t)
	}
	s.settled()
	lake := s.inventory()
	for _, n := range senders {
		n.compare(t, lake)
	}
	if m := s.metrics(); m["icewatch_engine_restarts_total"] != 0 {
		t.Errorf("the engine was restarted %v times", m["icewatch_engine_restarts_total"])
	}
}
