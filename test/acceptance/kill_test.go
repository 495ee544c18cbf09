package acceptance

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"icewatch/soc/bus"
	"icewatch/soc/client"
	"icewatch/soc/intake"
)

const (
	killRounds = 20
	killLines  = 60_000           // numbered messages that rsyslog forwards
	killFeed   = 56 * time.Second // over which they come into being
)

// TestNothingDurableIsLostOrDoubled lets three senders write numbered messages
// at once: a real rsyslogd forwards from its disk queue, a bulk sender posts
// documents with ids of its own, and a Loki agent pushes lines. The HTTP
// senders log what was acknowledged, send again what was not, and now and then
// what was. Meanwhile the engine, or the whole suite, is killed twenty times at
// random moments.
//
// Plain TCP has no acknowledgement, so that what is in flight at a kill of the
// suite is lost: it is counted and stated. What the bus had made durable must
// be in the lake, once for each id of the bus; what _bulk or Loki push
// acknowledged must be in the lake exactly once.
//
// It runs alone: how much is in flight at a kill depends on how busy the
// machine is.
func TestNothingDurableIsLostOrDoubled(t *testing.T) {
	rsyslogd := peer(t, "rsyslogd")
	rnd := random(t)
	// All batches are kept on the bus, so that they can be compared at the end.
	s := newSuite(t, "bus:\n  keep: 100000000\n")
	sender := startRsyslog(t, rsyslogd, s)
	writer := s.token("e-seal", "ingest")
	http := []*numbered{startNumbered(t, "bulk stream", bulkTo(writer)), startNumbered(t, "loki stream", pushTo(writer))}

	began := time.Now()
	fed := make(chan error, 1)
	go func() { fed <- sender.feed(killLines, killFeed) }()
	s.killAtRandom(rnd, began)
	if err := <-fed; err != nil {
		t.Fatal(err)
	}
	for _, n := range http {
		n.finish(t)
	}
	sender.end(s)
	s.settled()

	lake := s.inventory()
	s.stop()
	if notes, err := os.ReadDir(filepath.Join(s.data, "damaged")); err == nil && len(notes) > 0 {
		t.Errorf("kills left what was taken for damage: %v", notes)
	}
	durable := readBus(t, filepath.Join(s.data, "bus"))
	sender.compare(t, durable, lake)
	for _, n := range http {
		n.compare(t, lake)
	}
	t.Logf("took %s", time.Since(began).Round(time.Second))
}

// killAtRandom kills engine and suite, ten times each in random order.
func (s *suite) killAtRandom(rnd *rand.Rand, began time.Time) {
	t := s.t
	t.Helper()
	kinds := make([]string, killRounds)
	for i := range kinds {
		kinds[i] = []string{"engine", "suite"}[i%2]
	}
	rnd.Shuffle(len(kinds), func(i, j int) { kinds[i], kinds[j] = kinds[j], kinds[i] })
	// The stream's time is cut into slices, with a random moment in each.
	slice := (killFeed - 4*time.Second) / time.Duration(len(kinds))
	for i, kind := range kinds {
		at := 2*time.Second + time.Duration(i)*slice + time.Duration(rnd.Int64N(int64(slice*3/4)))
		time.Sleep(time.Until(began.Add(at)))
		switch kind {
		case "engine":
			pid := 0
			eventually(t, 20*time.Second, "the engine runs", func() error {
				pid = s.enginePID()
				if pid == 0 || syscall.Kill(pid, 0) != nil {
					return fmt.Errorf("its process id is %d", pid)
				}
				return nil
			})
			if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
				t.Fatal(err)
			}
		case "suite":
			s.kill()
			time.Sleep(time.Duration(rnd.Int64N(int64(500 * time.Millisecond))))
			s.launch()
		}
		t.Logf("killed the %s at %.3f s", kind, time.Since(began).Seconds())
	}
	s.ready(60 * time.Second)
	s.signIn()
}

// settled waits until the engine has worked everything on the bus.
func (s *suite) settled() {
	s.t.Helper()
	last := -1.0
	eventually(s.t, 90*time.Second, "the engine has caught up", func() error {
		m := s.metrics()
		rows := s.find("* | stats count() n")
		n, _ := strconv.ParseFloat(fmt.Sprint(rows[0]["n"]), 64)
		still := n == last
		last = n
		if w, ok := m["icewatch_bus_waiting_messages"]; !ok || w != 0 || !still {
			time.Sleep(time.Second)
			return fmt.Errorf("%v batches wait (reported: %v), %.0f events stored", w, ok, n)
		}
		return nil
	})
}

// stored is what the lake holds of one event.
type stored struct{ id, message string }

// inventory reads the whole lake.
func (s *suite) inventory() []stored {
	s.t.Helper()
	var all []stored
	var row struct {
		ID      string `json:"event.id"`
		Message string `json:"message"`
	}
	q := always("* | fields event.id, message")
	err := s.admin.Stream(context.Background(), "/api/v1/search", q, func(line []byte) error {
		row.ID, row.Message = "", ""
		if err := json.Unmarshal(line, &row); err != nil {
			return err
		}
		all = append(all, stored{row.ID, strings.Clone(row.Message)})
		return nil
	})
	if err != nil {
		s.t.Fatal(err)
	}
	return all
}

// rsyslog is a real rsyslogd with a configuration and a folder of its own.
type rsyslog struct {
	t    *testing.T
	file string
	end_ string
}

func startRsyslog(t *testing.T, binary string, s *suite) *rsyslog {
	t.Helper()
	dir, err := os.MkdirTemp("", "iw-rsyslog-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	r := &rsyslog{t: t, file: filepath.Join(dir, "numbers.log"), end_: "the-end-of-the-stream"}
	if err := os.WriteFile(r.file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	host, port, _ := strings.Cut(s.syslog, ":")
	config := filepath.Join(dir, "rsyslog.conf")
	// A pure disk queue: every message is on rsyslog's disk before it is sent.
	text := fmt.Sprintf(`global(workDirectory=%q maxMessageSize="64k")
module(load="imfile" mode="inotify")
input(type="imfile" file=%q tag="numbers:" severity="info" facility="local0" ruleset="forward" freshStartTail="off")
ruleset(name="forward") {
  action(type="omfwd" target=%q port=%q protocol="tcp" TCP_Framing="octet-counted" template="RSYSLOG_SyslogProtocol23Format"
         action.resumeRetryCount="-1" action.resumeInterval="1" action.reportSuspension="off"
         queue.type="Disk" queue.filename="forward" queue.maxDiskSpace="500m" queue.saveOnShutdown="on" queue.dequeueBatchSize="256")
}
`, dir, r.file, host, port)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	cmd := exec.Command(binary, "-n", "-f", config, "-i", filepath.Join(dir, "pid"))
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, &log, &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		done := make(chan struct{})
		go func() { _ = cmd.Wait(); close(done) }()
		select {
		case <-done:
		case <-time.After(10 * time.Second):
			_ = cmd.Process.Kill()
			<-done
		}
		if t.Failed() {
			t.Logf("rsyslogd: %s", log.String())
		}
	})
	return r
}

// feed writes numbered lines into the file that rsyslog follows.
func (r *rsyslog) feed(lines int, over time.Duration) error {
	f, err := os.OpenFile(r.file, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	w := bufio.NewWriter(f)
	began := time.Now()
	for n := 0; n < lines; {
		due := min(lines, int(float64(lines)*time.Since(began).Seconds()/over.Seconds()))
		for ; n < due; n++ {
			fmt.Fprintf(w, "number=%d of the rsyslog stream\n", n)
		}
		if err := w.Flush(); err != nil {
			return err
		}
		time.Sleep(20 * time.Millisecond)
	}
	return nil
}

// end sends a last line and waits for it: the queue keeps order, so that all
// before it has been sent.
func (r *rsyslog) end(s *suite) {
	f, err := os.OpenFile(r.file, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		r.t.Fatal(err)
	}
	defer f.Close()
	if _, err := fmt.Fprintln(f, r.end_); err != nil {
		r.t.Fatal(err)
	}
	eventually(r.t, 120*time.Second, "rsyslog has sent everything", func() error {
		rows, err := s.admin.Search(context.Background(), always(`"`+r.end_+`"`))
		if err == nil && len(rows) == 0 {
			time.Sleep(500 * time.Millisecond)
			err = fmt.Errorf("its last line is not there")
		}
		return err
	})
}

// number reads a stream's number from a message.
func number(message, stream string) (int, bool) {
	_, rest, ok := strings.Cut(message, "number=")
	if !ok || !strings.Contains(message, stream) {
		return 0, false
	}
	digits, _, _ := strings.Cut(rest, " ")
	n, err := strconv.Atoi(digits)
	return n, err == nil
}

// durableRecord is one record on the bus.
type durableRecord struct {
	id, data string
	syslog   bool
}

// readBus reads all records of the raw stream from a stopped suite's folder.
func readBus(t *testing.T, dir string) []durableRecord {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	server, err := bus.Open(ctx, bus.Options{Dir: dir, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	c, err := server.Client()
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	state, err := c.RawState(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if state.First != 1 {
		t.Fatalf("the bus begins with batch %d: it was trimmed", state.First)
	}
	var all []durableRecord
	var recs []intake.Record
	done := io.EOF
	err = c.Raw(ctx, 1, func(m bus.Message) error {
		var err error
		if recs, err = intake.DecodeBatch(recs[:0], m.Data); err != nil {
			return err
		}
		for i := range recs {
			all = append(all, durableRecord{id: fmt.Sprintf("%d-%d", m.Sequence, i), data: string(recs[i].Data), syslog: recs[i].Format == intake.Syslog})
		}
		if m.Sequence >= state.Last {
			return done
		}
		return nil
	})
	if err != done {
		t.Fatal(err)
	}
	return all
}

// compare checks that each record of the bus is in the lake once, and states
// what was lost before it reached the bus.
func (r *rsyslog) compare(t *testing.T, durable []durableRecord, lake []stored) {
	t.Helper()
	inLake := map[string]int{}
	for _, row := range lake {
		if _, ok := number(row.message, "rsyslog stream"); ok {
			// An id is the stream's epoch, then the place on the bus.
			_, place, _ := strings.Cut(row.id, "-")
			inLake[place]++
		}
	}
	onBus := map[int]int{}
	missing, doubled, records := 0, 0, 0
	for _, rec := range durable {
		n, ok := number(rec.data, "rsyslog stream")
		if !ok || !rec.syslog {
			continue
		}
		records++
		onBus[n]++
		switch times := inLake[rec.id]; {
		case times == 0:
			if missing++; missing <= 5 {
				t.Errorf("number %d is durable as %s and not in the lake", n, rec.id)
			}
		case times > 1:
			if doubled++; doubled <= 5 {
				t.Errorf("%s is in the lake %d times", rec.id, times)
			}
		}
		delete(inLake, rec.id)
	}
	for id := range inLake {
		t.Errorf("%s is in the lake and was never on the bus", id)
	}
	again := records - len(onBus)
	inFlight, longest := lost(onBus)
	t.Logf("rsyslog: %d numbers sent, %d durable, all of these in the lake but %d, doubled %d; %d were sent again by rsyslog; %d were in flight at a kill of the suite and lost (in runs of up to %d)",
		killLines, len(onBus), missing, doubled, again, inFlight, longest)
	// What one kill can take is what the sockets' buffers hold.
	if inFlight > killLines/5 {
		t.Errorf("%d of %d numbers never became durable: more than what can be in flight", inFlight, killLines)
	}
}

// lost counts the numbers that are not on the bus, and the longest run of them.
func lost(onBus map[int]int) (count, longest int) {
	run := 0
	for n := range killLines {
		if onBus[n] > 0 {
			run = 0
			continue
		}
		count++
		run++
		longest = max(longest, run)
	}
	return count, longest
}

// numbered is a sender that logs which of its numbers were acknowledged.
type numbered struct {
	stream string // words that its messages carry beside the number
	stop   atomic.Bool
	done   chan struct{}
	acked  []int
	tries  int
	again  int // numbers that were sent once more although they were acknowledged
	least  int // how many must have been acknowledged
}

// send posts messages, a number and a text each, and returns the numbers that
// were not acknowledged.
type send func(ctx context.Context, messages map[int]string, numbers []int) (refused []int)

func startNumbered(t *testing.T, stream string, post send) *numbered {
	t.Helper()
	n := &numbered{stream: stream, done: make(chan struct{}), least: 5000}
	go func() {
		defer close(n.done)
		const batch = 40
		for first := 0; !n.stop.Load(); first += batch {
			messages, numbers := map[int]string{}, make([]int, batch)
			for i := range numbers {
				numbers[i] = first + i
				// The text and its time stay the same when it is sent again.
				messages[first+i] = fmt.Sprintf("%s number=%d of the %s", time.Now().UTC().Format(time.RFC3339Nano), first+i, stream)
			}
			whole := numbers
			// A batch is sent until all of it is acknowledged.
			for wait := time.Duration(0); len(numbers) > 0; wait = 100 * time.Millisecond {
				time.Sleep(wait)
				n.tries++
				refused := n.post(post, messages, numbers)
				for _, k := range numbers {
					if !slices.Contains(refused, k) {
						n.acked = append(n.acked, k)
					}
				}
				numbers = refused
			}
			if first/batch%10 == 3 {
				// A sender that did not hear the answer sends all of it again.
				n.again += len(whole)
				n.post(post, messages, whole)
			}
			time.Sleep(25 * time.Millisecond)
		}
	}()
	return n
}

func (n *numbered) post(post send, messages map[int]string, numbers []int) []int {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	return post(ctx, messages, numbers)
}

// bulkTo posts documents with ids to _bulk, where each is acknowledged apart.
func bulkTo(c *client.Client) send {
	return func(ctx context.Context, messages map[int]string, numbers []int) (refused []int) {
		var body bytes.Buffer
		for _, n := range numbers {
			at, text, _ := strings.Cut(messages[n], " ")
			fmt.Fprintf(&body, "{\"create\":{\"_id\":\"kill-%d\"}}\n{\"message\":%q,\"@timestamp\":%q}\n", n, text, at)
		}
		var answer struct {
			Items []struct {
				Create struct {
					Status int `json:"status"`
				} `json:"create"`
			} `json:"items"`
		}
		err := c.Send(ctx, http.MethodPost, "/elastic/kill/_bulk", nil, http.Header{"Content-Type": {"application/x-ndjson"}}, &body, &answer)
		if err != nil || len(answer.Items) != len(numbers) {
			return numbers
		}
		for i, item := range answer.Items {
			if item.Create.Status != 201 && item.Create.Status != 200 {
				refused = append(refused, numbers[i])
			}
		}
		return refused
	}
}

// pushTo pushes lines as a Loki agent does, which are acknowledged together.
func pushTo(c *client.Client) send {
	return func(ctx context.Context, messages map[int]string, numbers []int) []int {
		var values []string
		for _, n := range numbers {
			at, text, _ := strings.Cut(messages[n], " ")
			when, err := time.Parse(time.RFC3339Nano, at)
			if err != nil {
				return numbers
			}
			values = append(values, fmt.Sprintf("[%q,%q]", strconv.FormatInt(when.UnixNano(), 10), text))
		}
		body := fmt.Sprintf(`{"streams":[{"stream":{"app":"kill"},"values":[%s]}]}`, strings.Join(values, ","))
		resp, err := c.Do(ctx, http.MethodPost, "/loki/api/v1/push", nil, http.Header{"Content-Type": {"application/json"}}, strings.NewReader(body))
		if err != nil {
			return numbers
		}
		defer resp.Body.Close()
		if resp.StatusCode != http.StatusNoContent {
			return numbers
		}
		return nil
	}
}

// finish stops the sender once its last batch is acknowledged.
func (n *numbered) finish(t *testing.T) {
	t.Helper()
	n.stop.Store(true)
	select {
	case <-n.done:
	case <-time.After(60 * time.Second):
		t.Fatalf("the last batch of the %s was not acknowledged within 60 s", n.stream)
	}
}

func (n *numbered) compare(t *testing.T, lake []stored) {
	t.Helper()
	times := map[int]int{}
	for _, row := range lake {
		if k, ok := number(row.message, n.stream); ok {
			times[k]++
		}
	}
	missing, doubled := 0, 0
	for _, k := range n.acked {
		switch {
		case times[k] == 0:
			if missing++; missing <= 5 {
				t.Errorf("%s: number %d was acknowledged and is not in the lake", n.stream, k)
			}
		case times[k] > 1:
			if doubled++; doubled <= 5 {
				t.Errorf("%s: number %d was acknowledged and is in the lake %d times", n.stream, k, times[k])
			}
		}
	}
	slices.Sort(n.acked)
	if len(n.acked) < n.least || len(slices.Compact(n.acked)) != len(n.acked) {
		t.Errorf("%s: only %d numbers were acknowledged, or one was twice", n.stream, len(n.acked))
	}
	t.Logf("%s: %d acknowledged in %d requests, %d of them sent again afterwards; %d missing, %d doubled", n.stream, len(n.acked), n.tries, n.again, missing, doubled)
}
