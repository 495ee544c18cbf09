package engine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"icewatch/detections/ruleset"
	"icewatch/soc/bus"
	"icewatch/soc/enrich"
	"icewatch/soc/intake"
	"icewatch/soc/reach"
	"icewatch/soc/retention"
	"icewatch/soc/search"
)

// suite is a bus with an engine that can be stopped and started again.
type suite struct {
	t       *testing.T
	dir     string
	server  *bus.Server
	control *bus.Client
	sink    bus.Publisher
	client  *Client
	stop    func()
	unseen  time.Duration // of the options
}

func start(t *testing.T) *suite { return startWith(t, 0) }

func startWith(t *testing.T, unseen time.Duration) *suite {
	t.Helper()
	// A unix socket's path is short; t.TempDir has the test's long name in it.
	dir, err := os.MkdirTemp("", "iw")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	log := slog.New(slog.DiscardHandler)
	s := &suite{t: t, dir: dir, unseen: unseen}
	if s.server, err = bus.Open(t.Context(), bus.Options{Dir: filepath.Join(dir, "bus"), Log: log}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.server.Close)
	if err := s.server.ListenUnix(filepath.Join(dir, "bus.sock")); err != nil {
		t.Fatal(err)
	}
	if s.control, err = s.server.Client(); err != nil {
		t.Fatal(err)
	}
	if s.sink, err = s.server.Publisher(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.sink.Close)
	snapshot, err := enrich.Snapshot{}.Encode()
	if err != nil {
		t.Fatal(err)
	}
	rules, err := ruleset.Load(nil).Encode()
	if err != nil {
		t.Fatal(err)
	}
	for topic, data := range map[string][]byte{TopicTenants: []byte(`{"unassigned":{"account":1},"a":{"account":100},"b":{"account":101}}`), TopicEnrichment: snapshot, TopicRules: rules} {
		if err := s.control.PublishControl(t.Context(), topic, data); err != nil {
			t.Fatal(err)
		}
	}
	ids := map[string]uint32{"unassigned": 1, "a": 100, "b": 101}
	s.client = NewClient(filepath.Join(dir, "engine.sock"), func(slugs []string) []uint32 {
		if slugs == nil {
			return []uint32{1, 100, 101}
		}
		var out []uint32
		for _, slug := range slugs {
			out = append(out, ids[slug])
		}
		return out
	})
	s.start()
	return s
}

func (s *suite) start() {
	s.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() {
		done <- Run(ctx, Options{Dir: filepath.Join(s.dir, "engine"), BusSocket: filepath.Join(s.dir, "bus.sock"), QuerySocket: filepath.Join(s.dir, "engine.sock"),
			Keeping: retention.Policy{Classes: []retention.Class{{Name: retention.Standard, Keep: 30 * 24 * time.Hour}}}, LakeMemory: 128 << 20, Relays: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}, SenderIDs: 1000, Keep: 5,
			FieldsMax: 500, NamesMax: 50, Unseen: s.unseen}, slog.New(slog.DiscardHandler))
	}()
	stopped := false
	s.stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		if err := <-done; err != nil {
			s.t.Error(err)
		}
	}
	s.t.Cleanup(s.stop)
	deadline := time.Now().Add(20 * time.Second)
	for {
		if st, err := s.client.Status(s.t.Context()); err == nil && st.Ready {
			return
		}
		if time.Now().After(deadline) {
			s.t.Fatal("the engine is not ready within 20 s")
		}
		time.Sleep(20 * time.Millisecond)
	}
}

func (s *suite) send(recs ...intake.Record) {
	s.t.Helper()
	for i := range recs {
		recs[i].Received = time.Now().UnixNano()
		recs[i].Peer = netip.MustParseAddr("127.0.0.1")
	}
	if err := s.sink.Append(s.t.Context(), recs); err != nil {
		s.t.Fatal(err)
	}
}

// rows waits until the query finds want rows, and gives them; any number where
// want is below 0.
func (s *suite) rows(within reach.Reach, query string, want int) []map[string]string {
	s.t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for {
		var got []map[string]string
		err := s.client.Query(s.t.Context(), search.Request{Reach: within, Query: query, Start: time.Now().Add(-29 * 24 * time.Hour), End: time.Now().Add(time.Hour), Limit: 5000},
			func(b []byte) error {
				m := map[string]string{}
				if err := json.Unmarshal(b, &m); err != nil {
					return fmt.Errorf("%s: %w", b, err)
				}
				got = append(got, m)
				return nil
			})
		if err != nil {
			s.t.Fatal(err)
		}
		if len(got) == want || want < 0 {
			return got
		}
		if time.Now().After(deadline) {
			s.t.Fatalf("%s: %d rows, want %d", query, len(got), want)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

func TestEachEventIsStoredOnceAcrossRestarts(t *testing.T) {
	t.Parallel()
	s := start(t)
	var recs []intake.Record
	for i := range 300 {
		recs = append(recs, intake.Record{Tenant: "a", Collector: "test", Data: fmt.Appendf(nil, "event number %d.", i)})
	}
	s.send(recs...)
	for range 3 {
		s.send(intake.Record{Tenant: "a", Collector: "elastic", ID: "same", Data: []byte("with an id")})
	}
	s.send(intake.Record{Tenant: "b", Collector: "elastic", ID: "same", Data: []byte("with an id")})
	s.rows(reach.All(), `"event number"`, 300)
	s.rows(reach.Tenants("a"), `"with an id"`, 1)
	s.rows(reach.Tenants("b"), `"with an id"`, 1)

	// A crash leaves an old checkpoint behind: everything is met again.
	s.stop()
	if err := os.Remove(filepath.Join(s.dir, "engine", "checkpoint.json")); err != nil {
		t.Fatal(err)
	}
	s.start()
	s.send(intake.Record{Tenant: "a", Collector: "elastic", ID: "same", Data: []byte("with an id")}, intake.Record{Tenant: "a", Data: []byte("the last one")})
	s.rows(reach.All(), `"the last one"`, 1)
	s.rows(reach.Tenants("a"), `"with an id"`, 1)
	seen := map[string]bool{}
	for _, row := range s.rows(reach.All(), `"event number"`, 300) {
		if seen[row["message"]] {
			t.Fatalf("%s is stored twice", row["message"])
		}
		seen[row["message"]] = true
	}
	st, err := s.client.Status(t.Context())
	if err != nil || st.Replayed < 300 || st.Repeats < 3 || st.Lake.Dropped != 0 || st.Unstored != 0 {
		t.Fatalf("%+v %v", st, err)
	}

	// With its checkpoint it meets nothing again, and still knows the ids.
	s.stop()
	s.start()
	s.send(intake.Record{Tenant: "a", Collector: "elastic", ID: "same", Data: []byte("with an id")}, intake.Record{Tenant: "a", Data: []byte("the very last")})
	s.rows(reach.All(), `"the very last"`, 1)
	s.rows(reach.Tenants("a"), `"with an id"`, 1)
	if st, err := s.client.Status(t.Context()); err != nil || st.Replayed != 0 || st.Repeats != 1 {
		t.Fatalf("%+v %v", st, err)
	}
}

func TestWhatTheLakeWouldDropIsMarkedAndStored(t *testing.T) {
	t.Parallel()
	s := start(t)
	many := []byte(`{"message":"many names"`)
	for i := range 5000 {
		many = fmt.Appendf(many, `,"name_%d":%d`, i, i)
	}
	many = append(many, '}')
	huge := []byte(`{"message":"huge","text":"` + strings.Repeat("x", intake.MaxData-100) + `"}`)
	s.send(
		intake.Record{Tenant: "a", Format: intake.JSON, Data: many},
		intake.Record{Tenant: "a", Format: intake.JSON, Data: huge},
		intake.Record{Tenant: "a", Format: intake.JSON, Data: []byte(`{"message":"long ago","@timestamp":"1970-01-01T00:00:00Z"}`)},
		intake.Record{Tenant: "a", Format: intake.JSON, Data: []byte(`{"message":"far ahead","@timestamp":"2100-01-01T00:00:00Z"}`)},
		intake.Record{Tenant: "gone", Data: []byte("of a tenant that is not there")},
		intake.Record{Tenant: "a", Format: intake.JSON, Data: []byte(`{"message":"broken`)},
		intake.Record{Tenant: "a", Data: []byte{}},
	)
	marks := func(query, want string) map[string]string {
		t.Helper()
		row := s.rows(reach.All(), query, 1)[0]
		if !strings.Contains(row["icewatch.marks"], want) {
			t.Errorf("%s: marks %q, want %q", query, row["icewatch.marks"], want)
		}
		return row
	}
	row := marks(`message:="many names"`, "fields_overflow")
	var over map[string]any
	if err := json.Unmarshal([]byte(row["icewatch.overflow"]), &over); err != nil && !strings.Contains(row["icewatch.marks"], "cut") {
		t.Errorf("overflow: %v", err)
	}
	marks(`message:="huge"`, "fields_cut")
	if row := marks(`message:="long ago"`, "time_clamped"); !strings.HasPrefix(row["icewatch.time_original"], "1970") {
		t.Errorf("time_original %q", row["icewatch.time_original"])
	}
	marks(`message:="far ahead"`, "time_clamped")
	if row := marks(`"tenant that is not there"`, "unknown_tenant"); row["icewatch.tenant"] != "unassigned" {
		t.Errorf("tenant %q", row["icewatch.tenant"])
	}
	s.rows(reach.All(), "broken", 1)
	s.rows(reach.All(), "*", 7)
	st, err := s.client.Status(t.Context())
	if err != nil || st.Events != 7 || st.Lake.Rows != 7 || st.Lake.Dropped != 0 {
		t.Fatalf("%+v %v", st, err)
	}
}

func TestQueriesAreAnsweredWithVerdicts(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.send(intake.Record{Tenant: "a", Data: []byte("hello")})
	row := s.rows(reach.All(), "hello", 1)[0]
	now := search.Request{Reach: reach.Tenants("a"), Query: "hello", Start: time.Now().Add(-time.Hour), End: time.Now().Add(time.Hour), Limit: 10}
	if b, err := s.client.Event(t.Context(), reach.Tenants("a"), row["event.id"]); err != nil || !strings.Contains(string(b), "hello") {
		t.Errorf("%s %v", b, err)
	}
	if _, err := s.client.Event(t.Context(), reach.Tenants("b"), row["event.id"]); !errors.Is(err, search.ErrNotFound) {
		t.Errorf("another tenant's event: %v", err)
	}
	if h, err := s.client.Histogram(t.Context(), now, 10); err != nil || h.Total != 1 {
		t.Errorf("%+v %v", h, err)
	}
	if v, err := s.client.Values(t.Context(), now, "icewatch.tenant", 10); err != nil || len(v) != 1 || v[0].Value != "a" {
		t.Errorf("%+v %v", v, err)
	}
	if f, err := s.client.Fields(t.Context(), now, 100); err != nil || len(f) < 5 {
		t.Errorf("%+v %v", f, err)
	}
	bad := now
	bad.Query = "(("
	var qe *search.QueryError
	if err := s.client.Query(t.Context(), bad, nil); !errors.As(err, &qe) {
		t.Errorf("a wrong query: %v", err)
	}
	s.stop()
	if err := s.client.Query(t.Context(), now, nil); !errors.Is(err, search.ErrUnavailable) {
		t.Errorf("without an engine: %v", err)
	}
}
