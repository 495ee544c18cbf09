package acceptance

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"strconv"
	"syscall"
	"testing"
	"time"

	"icewatch/soc/client"
	"icewatch/soc/forwarding"
)

// target makes a forwarding target and returns it.
func (s *suite) target(body map[string]any) forwarding.Target {
	s.t.Helper()
	var made forwarding.Target
	if err := s.admin.JSON(context.Background(), http.MethodPost, "/api/v1/forwarding/targets", nil, body, &made); err != nil {
		s.t.Fatalf("make the target %v: %v", body["name"], err)
	}
	return made
}

// forwarded waits until a target has everything, and returns it.
func (s *suite) forwarded(id string, sent int64, within time.Duration) (t forwarding.Target) {
	s.t.Helper()
	eventually(s.t, within, "the target has everything", func() error {
		if err := s.admin.Get(context.Background(), "/api/v1/forwarding/targets/"+id, nil, &t); err != nil {
			return err
		}
		if st := t.Status; st.State != forwarding.StateOK || st.LagEvents > 0 || st.Sent < sent {
			return fmt.Errorf("%s: %+v", t.Name, st)
		}
		return nil
	})
	return t
}

// feed writes numbered events by the bulk API until they are acknowledged.
func feed(t *testing.T, c *client.Client, tenant string, from, to int) {
	t.Helper()
	var b bytes.Buffer
	for i := from; i < to; i++ {
		fmt.Fprintf(&b, `{"create":{"_id":"%s-%d"}}`+"\n"+`{"@timestamp":%q,"message":"forward %s number %d","event":{"dataset":"test.forward","severity":%d},"number":%d}`+"\n",
			tenant, i, time.Now().UTC().Format(time.RFC3339Nano), tenant, i, i%10, i)
	}
	eventually(t, 60*time.Second, "the events are taken", func() error {
		resp, err := c.Do(context.Background(), http.MethodPost, "/elastic/app/_bulk", nil, http.Header{"Content-Type": {"application/x-ndjson"}}, bytes.NewReader(b.Bytes()))
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			return fmt.Errorf("status %d", resp.StatusCode)
		}
		return nil
	})
}

// numbers counts how often each number is there, by the rows of a query.
func (s *suite) numbers(query string) map[int]int {
	s.t.Helper()
	out := map[int]int{}
	for _, row := range s.find(query + " | stats by (number) count() times") {
		n, err := strconv.Atoi(text(row, "number"))
		times, terr := strconv.Atoi(text(row, "times"))
		if err != nil || terr != nil {
			s.t.Fatalf("row %v", row)
		}
		out[n] = times
	}
	return out
}

// TestForwardingToAnotherSuite forwards to a second suite by the bulk API and
// by Loki's push API, while engine, suite and receiver are killed.
func TestForwardingToAnotherSuite(t *testing.T) {
	t.Parallel()
	to := newSuite(t, "")
	s := newSuite(t, loopback)
	in := to.token("e-licence", "ingest").Options().Token
	source := s.token("e-licence", "ingest")
	secret := map[string]any{"password": in}
	elastic := s.target(map[string]any{"name": "bulk", "kind": "elasticsearch", "enabled": true, "secrets": secret, "filter": `event.dataset:="test.forward"`,
		"elasticsearch": map[string]any{"urls": []string{to.url + "/elastic"}, "index": "bulk-{tenant}", "auth": "basic", "username": "e-licence"}})
	loki := s.target(map[string]any{"name": "push", "kind": "loki", "enabled": true, "secrets": secret, "filter": `event.dataset:="test.forward" number:<100`,
		"loki": map[string]any{"url": to.url, "auth": "bearer", "labels": map[string]string{"way": "event.dataset"}}})
	slow := s.target(map[string]any{"name": "nobody", "kind": "loki", "enabled": true, "loki": map[string]any{"url": "http://127.0.0.1:1"}})

	const wave = 2000
	feed(t, source, "e-licence", 0, wave)
	time.Sleep(time.Second)
	if pid := s.enginePID(); pid > 0 {
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
	feed(t, source, "e-licence", wave, 2*wave)
	to.kill()
	feed(t, source, "e-licence", 2*wave, 3*wave)
	time.Sleep(500 * time.Millisecond)
	s.kill()
	s.start()
	s.signIn()
	to.start()
	to.signIn()
	feed(t, source, "e-licence", 3*wave, 4*wave)
	s.forwarded(elastic.ID, 4*wave, 60*time.Second)
	s.forwarded(loki.ID, 100, 30*time.Second)

	eventually(t, 20*time.Second, "every number is at the receiver", func() error {
		if n := len(to.numbers(`"forward e-licence number" icewatch.collector:="elastic-bulk"`)); n < 4*wave {
			return fmt.Errorf("%d numbers", n)
		}
		return nil
	})
	for n, times := range to.numbers(`"forward e-licence number" icewatch.collector:="elastic-bulk"`) {
		if times != 1 || n >= 4*wave {
			t.Fatalf("the number %d is there %d times", n, times)
		}
	}
	if pushed := to.numbers(`"forward e-licence number" icewatch.collector:="loki-push"`); len(pushed) != 100 {
		t.Errorf("%d numbers came by Loki's push, want 100", len(pushed))
	}
	var dead forwarding.Target
	if err := s.admin.Get(t.Context(), "/api/v1/forwarding/targets/"+slow.ID, nil, &dead); err != nil {
		t.Fatal(err)
	}
	if dead.Status.State != forwarding.StateRetrying || dead.Status.LagEvents < wave || dead.Status.Error == "" {
		t.Errorf("the target that is away: %+v", dead.Status)
	}
}
