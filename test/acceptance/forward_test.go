package acceptance

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/klauspost/compress/snappy"
	"github.com/twmb/franz-go/pkg/kgo"

	"icewatch/soc/client"
	"icewatch/soc/forwarding"
	"icewatch/soc/metrics"
	"icewatch/test/peers"
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

// TestForwardingToKafkaAndSyslog forwards to a real Kafka and a real rsyslogd
// that are killed and come back, and holds what arrives against the filter and
// against the reach of who owns the targets.
func TestForwardingToKafkaAndSyslog(t *testing.T) {
	t.Parallel()
	port, file := peers.FreePort(t), filepath.Join(t.TempDir(), "received")
	endRsyslog := peers.StartRsyslog(t, port, file)
	kafka := peers.StartKafka(t)
	s := newSuite(t, loopback)
	ours, others := s.token("e-licence", "ingest"), s.token("city", "ingest")
	// The owner may read one tenant only.
	var made struct{ ID string }
	if err := s.admin.JSON(t.Context(), http.MethodPost, "/api/v1/users", nil, map[string]any{"username": "sender", "password": password, "roles": []string{"admin"}, "tenants": []string{"e-licence"}}, &made); err != nil {
		t.Fatal(err)
	}
	owner, admin := s.admin.With(s.newcomer("sender", password, password+"-2"), ""), s.admin
	s.admin = owner
	stream := s.target(map[string]any{"name": "stream", "kind": "kafka", "enabled": true, "filter": `event.dataset:="test.forward"`,
		"kafka": map[string]any{"brokers": []string{kafka.Address}, "topic": "icewatch.{tenant}"}})
	siem := s.target(map[string]any{"name": "siem", "kind": "syslog", "enabled": true, "filter": `event.dataset:="test.forward" event.severity:>=5`,
		"syslog": map[string]any{"address": "127.0.0.1:" + port, "transport": "tcp"}})
	lokiURL := peers.StartLoki(t)
	logs := s.target(map[string]any{"name": "logs", "kind": "loki", "enabled": true, "filter": `event.dataset:="test.forward"`, "loki": map[string]any{"url": lokiURL}})
	err := s.admin.JSON(t.Context(), http.MethodPost, "/api/v1/forwarding/targets", nil, map[string]any{"name": "x", "kind": "loki", "tenant": "city", "loki": map[string]any{"url": "http://127.0.0.1:1"}}, nil)
	if err == nil {
		t.Error("a tenant beyond the owner's reach is taken")
	}
	const wave = 1000
	feed(t, ours, "e-licence", 0, wave)
	feed(t, others, "city", 0, 50)
	time.Sleep(1500 * time.Millisecond)
	kafka.Kill()
	endRsyslog()
	feed(t, ours, "e-licence", wave, 2*wave)
	time.Sleep(time.Second)
	peers.StartRsyslog(t, port, file)
	kafka.Start()
	feed(t, ours, "e-licence", 2*wave, 3*wave)
	s.forwarded(stream.ID, 3*wave, 60*time.Second)
	s.forwarded(siem.ID, 3*wave/2, 60*time.Second)
	s.forwarded(logs.ID, 3*wave, 60*time.Second)
	s.admin = admin
	eventually(t, 20*time.Second, "every event is in Loki, once", func() error {
		resp, err := http.Get(lokiURL + "/loki/api/v1/query?query=" + url.QueryEscape(`sum by (tenant, dataset) (count_over_time({dataset="test.forward"}[1h]))`))
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		if err != nil || !bytes.Contains(body, fmt.Appendf(nil, `"%d"]`, 3*wave)) || bytes.Count(body, []byte(`"tenant"`)) != 1 {
			return fmt.Errorf("%s, %v", body, err)
		}
		return nil
	})

	consumer, err := kgo.NewClient(kgo.SeedBrokers(kafka.Address), kgo.ConsumeTopics("icewatch.e-licence", "icewatch.city"), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		t.Fatal(err)
	}
	defer consumer.Close()
	seen := map[string]int{}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	for total := 0; total < 3*wave && ctx.Err() == nil; {
		consumer.PollFetches(ctx).EachRecord(func(r *kgo.Record) {
			var doc struct {
				ID     string `json:"event.id"`
				Tenant string `json:"icewatch.tenant"`
			}
			if err := json.Unmarshal(r.Value, &doc); err != nil || doc.ID != string(r.Key) || doc.Tenant != "e-licence" {
				t.Fatalf("record %s: %s, %v", r.Key, r.Value, err)
			}
			seen[doc.ID]++
			total++
		})
	}
	for id, times := range seen {
		if times != 1 {
			t.Fatalf("%s is in Kafka %d times", id, times)
		}
	}
	if len(seen) != 3*wave {
		t.Errorf("%d of %d events are in Kafka", len(seen), 3*wave)
	}
	// A receiver of syslog tells nothing, so that what it was sent last before
	// it ended may be there twice; but nothing may be missing.
	eventually(t, 20*time.Second, "every number is in rsyslog's file", func() error {
		data, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		for i := range 3 * wave {
			if there := bytes.Contains(data, fmt.Appendf(nil, "forward e-licence number %d\n", i)); there != (i%10 >= 5) {
				return fmt.Errorf("the number %d: %v", i, there)
			}
		}
		if bytes.Contains(data, []byte("forward city")) {
			t.Fatal("another tenant's event was sent")
		}
		return nil
	})
}

// TestForwardingOfSamples writes samples that came by OpenTelemetry on by
// Prometheus remote write, to a receiver that is busy at first, across a kill
// of the suite.
func TestForwardingOfSamples(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	calls, seen := 0, map[string]float64{}
	receiver := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err == nil {
			body, err = snappy.Decode(nil, body)
		}
		series, derr := metrics.Decode(body)
		if err != nil || derr != nil || r.Header.Get("Authorization") != "Bearer its-token" {
			t.Errorf("%v, %v, %v", err, derr, r.Header)
		}
		mu.Lock()
		defer mu.Unlock()
		if calls++; calls < 3 {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		for _, s := range series {
			labels := map[string]string{}
			for _, l := range s.Labels {
				labels[l.Name] = l.Value
			}
			if labels["tenant"] != "e-licence" {
				t.Errorf("a series of the tenant %q: %v", labels["tenant"], labels)
			}
			for _, x := range s.Samples {
				seen[labels["__name__"]+" "+strconv.FormatInt(x.Time, 10)] = x.Value
			}
		}
	}))
	defer receiver.Close()
	s := newSuite(t, loopback)
	ours, others := s.token("e-licence", "ingest"), s.token("city", "ingest")
	target := s.target(map[string]any{"name": "samples", "kind": "remote-write", "enabled": true, "filter": `{__name__=~"queue_.*"}`, "tenant": "e-licence",
		"secrets": map[string]any{"password": "its-token"}, "remote_write": map[string]any{"url": receiver.URL, "auth": "bearer"}})
	base := time.Now().Add(-time.Minute)
	gauge := func(c *client.Client, name string, i int) {
		t.Helper()
		status, answer := post(t, c, "/otlp/v1/metrics", map[string]string{"Content-Type": "application/json"}, fmt.Appendf(nil,
			`{"resourceMetrics":[{"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"shop"}}]},"scopeMetrics":[{"metrics":[{"name":%q,"gauge":{"dataPoints":[{"timeUnixNano":"%d","asDouble":%d}]}}]}]}]}`,
			name, base.Add(time.Duration(i)*time.Second).UnixNano(), i))
		if status != http.StatusOK {
			t.Fatalf("%d %s", status, answer)
		}
	}
	const n = 30
	for i := range n {
		gauge(ours, "queue_length", i)
		gauge(ours, "other", i)
		gauge(others, "queue_length", i)
		if i == n/2 {
			s.kill()
			s.start()
			s.signIn()
		}
	}
	eventually(t, 40*time.Second, "every sample is written on", func() error {
		mu.Lock()
		defer mu.Unlock()
		if len(seen) != n {
			return fmt.Errorf("%d of %d samples", len(seen), n)
		}
		return nil
	})
	s.forwarded(target.ID, n, 20*time.Second)
	for i := range n {
		if v, ok := seen[fmt.Sprint("queue_length ", base.Add(time.Duration(i)*time.Second).UnixMilli())]; !ok || v != float64(i) {
			t.Errorf("sample %d is %v (there: %v)", i, v, ok)
		}
	}
}
