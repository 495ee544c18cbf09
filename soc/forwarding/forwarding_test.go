package forwarding

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"icewatch/soc/event"
	"icewatch/soc/export"
	"icewatch/soc/intake"
	"icewatch/soc/pipeline/parse"
	"icewatch/soc/reach"
	"icewatch/soc/seal"
	"icewatch/soc/search"
	"icewatch/soc/state"
)

// river is a lake that has events in the order in which they came: one batch of
// ten events after the other.
type river struct {
	mu     sync.Mutex
	events []search.ArrivedEvent
	asked  []string // tenants of each reach that was asked with
}

const perBatch = 10

func (b *river) add(n int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for range n {
		i := len(b.events)
		id := event.ID{Epoch: "e1", Sequence: uint64(i/perBatch) + 1, Index: uint32(i % perBatch)}
		row := fmt.Sprintf(`{"@timestamp":"2026-11-26T03:00:00.%09dZ","event.id":%q,"message":"number %d","source.port":"%d","icewatch.tenant":"tax","event.dataset":"Test.Log"}`, i, id, i, i)
		b.events = append(b.events, search.ArrivedEvent{ID: id, Row: json.RawMessage(row)})
	}
}

func (b *river) end() search.Place {
	return search.Place{Epoch: "e1", Sequence: uint64(len(b.events)/perBatch) + 1}
}

func (b *river) Arrivals(_ context.Context, a search.Arriving) (search.Arrived, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	slugs, _ := a.Reach.TenantSlugs()
	b.asked = append(b.asked, strings.Join(slugs, ","))
	out := search.Arrived{Next: a.From}
	for _, e := range b.events {
		if e.ID.Sequence >= a.From.Sequence && e.ID.Sequence < a.From.Sequence+50 {
			out.Events = append(out.Events, e)
			out.Next = search.Place{Epoch: "e1", Sequence: e.ID.Sequence + 1}
		}
	}
	out.More = out.Next != b.end() && len(out.Events) > 0
	return out, nil
}

func (b *river) Locate(_ context.Context, when string) (search.Place, error) {
	if when == search.Newest {
		b.mu.Lock()
		defer b.mu.Unlock()
		return b.end(), nil
	}
	return search.Place{Epoch: "e1", Sequence: 1}, nil
}

func (b *river) Backlog(_ context.Context, from search.Place) (search.Arrived, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	out := search.Arrived{Next: from, Behind: (b.end().Sequence - min(from.Sequence, b.end().Sequence)) * perBatch}
	if out.Behind > 0 {
		out.Came = time.Now().Add(-time.Second)
	}
	return out, nil
}

// office is a service on a bus, with what it needs of others.
type office struct {
	*Service
	t      *testing.T
	bus    *river
	db     *state.DB
	box    *seal.Box
	cancel context.CancelFunc
	ended  chan struct{}
}

func newOffice(t *testing.T) *office {
	t.Helper()
	db, err := state.Open(t.Context(), filepath.Join(t.TempDir(), "state.db"))
	if err != nil {
		t.Fatal(err)
	}
	o := &office{t: t, bus: &river{}, db: db, box: seal.Ephemeral(Sealed()...)}
	t.Cleanup(func() { o.stop(); _ = db.Close() })
	o.start()
	return o
}

func (o *office) start() {
	o.t.Helper()
	var err error
	o.Service, err = Open(o.t.Context(), o.db, Deps{Arrivals: o.bus, Box: o.box, Log: slog.New(slog.DiscardHandler),
		CheckFilter: func(f string) error {
			if strings.Contains(f, "|") {
				return fmt.Errorf("it holds a pipe")
			}
			return nil
		},
		Tenant: func(slug string) bool { return slug == "tax" }, Keep: func([]string) time.Duration { return 0 },
		Event: func(_ context.Context, _ reach.Reach, id string) ([]byte, error) {
			for _, e := range o.bus.events {
				if e.ID.String() == id {
					return e.Row, nil
				}
			}
			return nil, search.ErrNotFound
		},
		Dial:     (&net.Dialer{Timeout: time.Second}).DialContext,
		CheckURL: func(context.Context, string) error { return nil },
		Alarm:    func(context.Context, Alarm) {}, Clear: func(string) {}})
	if err != nil {
		o.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	o.cancel, o.ended = cancel, make(chan struct{})
	go func() {
		defer close(o.ended)
		o.Run(ctx, func(_ context.Context, _ export.Owner, tenant, _ string, at time.Time) (reach.Reach, time.Time, error) {
			return reach.Tenants(tenants(tenant)...), at, nil
		})
	}()
}

func (o *office) stop() { o.cancel(); <-o.ended }

func (o *office) make(c Content, s Secrets) Target {
	o.t.Helper()
	t, err := o.Create(o.t.Context(), export.Owner{ID: "u1", Name: "li"}, c, s)
	if err != nil {
		o.t.Fatal(err)
	}
	return t
}

// until waits until a target is as wanted.
func (o *office) until(id, what string, f func(Status) bool) Target {
	o.t.Helper()
	var last Target
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		var err error
		if last, err = o.Get(o.t.Context(), Asker{Manage: true}, id); err != nil {
			o.t.Fatal(err)
		}
		if f(last.Status) {
			return last
		}
	}
	o.t.Fatalf("not %s: %+v", what, last.Status)
	return last
}

// cluster answers _bulk as Elasticsearch does.
type cluster struct {
	*httptest.Server
	mu     sync.Mutex
	docs   map[string]string // by _id
	calls  [][]string        // ids of each request
	status func(id string) (int, string)
}

func newCluster(t *testing.T) *cluster {
	t.Helper()
	c := &cluster{docs: map[string]string{}, status: func(string) (int, string) { return 201, "" }}
	c.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c.mu.Lock()
		defer c.mu.Unlock()
		body := io.Reader(r.Body)
		if r.Header.Get("Content-Encoding") == "gzip" {
			body, _ = gzip.NewReader(r.Body)
		}
		var items []string
		var ids []string
		lines := bufio.NewScanner(body)
		lines.Buffer(nil, 1<<20)
		for lines.Scan() {
			var head struct {
				Create struct {
					Index string `json:"_index"`
					ID    string `json:"_id"`
				}
			}
			if err := json.Unmarshal(lines.Bytes(), &head); err != nil || head.Create.Index != "logs-tax" {
				t.Errorf("%s: %v", lines.Text(), err)
			}
			lines.Scan()
			id := head.Create.ID
			ids = append(ids, id)
			status, reason := c.status(id)
			if _, there := c.docs[id]; there {
				status = 409
			}
			if status == 201 {
				c.docs[id] = lines.Text()
			}
			item := fmt.Sprintf(`{"create":{"status":%d}}`, status)
			if reason != "" {
				item = fmt.Sprintf(`{"create":{"status":%d,"error":{"type":%q,"reason":"no","caused_by":{"type":"x","reason":"why"}}}}`, status, reason)
			}
			items = append(items, item)
		}
		c.calls = append(c.calls, ids)
		fmt.Fprintf(w, `{"items":[%s]}`, strings.Join(items, ","))
	}))
	t.Cleanup(c.Close)
	return c
}

func (c *cluster) content(name string) Content {
	return Content{Name: name, Kind: Elasticsearch, Enabled: true, From: FromBeginning, Tenant: "tax", Elasticsearch: &ElasticsearchOptions{URLs: []string{c.URL}, Index: "logs-{tenant}"}}
}

// Only what a cluster says to send again is; what it refuses becomes a dead
// letter, and can be sent later.
func TestElasticsearch(t *testing.T) {
	t.Parallel()
	o, c := newOffice(t), newCluster(t)
	o.bus.add(100)
	busy := map[string]int{}
	c.status = func(id string) (int, string) {
		switch {
		case id == "e1-3-4":
			return 400, "mapper_parsing_exception"
		case strings.HasSuffix(id, "-7") && busy[id] < 2:
			busy[id]++
			return 429, "es_rejected_execution_exception"
		}
		return 201, ""
	}
	made := o.make(c.content("es"), nil)
	st := o.until(made.ID, "done", func(s Status) bool { return s.LagEvents == 0 && s.State == StateOK }).Status
	if st.Sent != 99 || st.Dead != 1 || st.Position != o.bus.end() || st.Repeated != 0 {
		t.Errorf("%+v", st)
	}
	if len(c.calls) != 3 || len(c.calls[0]) != 100 || len(c.calls[1]) != 10 || len(c.calls[2]) != 10 || !strings.HasSuffix(c.calls[1][0], "-7") {
		t.Errorf("%d calls: %v", len(c.calls), c.calls[1:])
	}
	if doc := c.docs["e1-1-3"]; doc != `{"@timestamp":"2026-11-26T03:00:00.000000003Z","event.id":"e1-1-3","event.dataset":"Test.Log","icewatch.tenant":"tax","message":"number 3","source.port":3}` {
		t.Error(doc)
	}
	list, total, _, err := o.Letters(t.Context(), Asker{User: "u1"}, made.ID, "", 10)
	if err != nil || total != 1 || list[0].Event != "e1-3-4" || !strings.Contains(list[0].Reason, "mapper_parsing_exception: no: x: why") {
		t.Fatalf("%+v, %v", list, err)
	}
	if done, err := o.Retry(t.Context(), Asker{User: "u1"}, made.ID, Choice{All: true}); err != nil || done.Done != 0 || done.Failed != 1 {
		t.Errorf("%+v, %v", done, err)
	}
	c.mu.Lock()
	c.status = func(string) (int, string) { return 201, "" }
	c.mu.Unlock()
	if done, err := o.Retry(t.Context(), Asker{User: "u1"}, made.ID, Choice{IDs: []int64{list[0].ID}}); err != nil || done.Done != 1 || c.docs["e1-3-4"] == "" {
		t.Errorf("%+v, %v", done, err)
	}
	if _, _, _, err := o.Letters(t.Context(), Asker{User: "somebody"}, made.ID, "", 10); err == nil {
		t.Error("somebody else sees the dead letters")
	}
	for _, whose := range o.bus.asked {
		if whose != "tax" {
			t.Fatalf("it read the tenants %q", whose)
		}
	}
}

// A start goes on where the place is, and a target that hangs holds back
// nobody.
func TestPlaces(t *testing.T) {
	t.Parallel()
	o, c := newOffice(t), newCluster(t)
	stuck := make(chan struct{})
	defer close(stuck)
	hanging := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-stuck:
		case <-r.Context().Done():
		}
	}))
	defer hanging.CloseClientConnections()
	o.bus.add(1000)
	slow := c.content("slow")
	slow.Elasticsearch = &ElasticsearchOptions{URLs: []string{hanging.URL}, Index: "logs-{tenant}"}
	held, good := o.make(slow, nil), o.make(c.content("good"), nil)
	all := func(s Status) bool { return s.LagEvents == 0 && s.State == StateOK }
	o.until(good.ID, "done", all)
	if st := o.until(held.ID, "seen", func(Status) bool { return true }).Status; st.Position.Sequence != 1 || st.Sent != 0 {
		t.Errorf("the target that hangs: %+v", st)
	}
	if _, err := o.Enable(t.Context(), Asker{Manage: true}, held.ID, false); err != nil {
		t.Fatal(err)
	}
	o.stop()
	o.bus.add(500)
	o.start()
	st := o.until(good.ID, "done", all).Status
	if st.Sent != 1500 || st.Repeated != 0 || len(c.docs) != 1500 {
		t.Errorf("%+v, %d documents", st, len(c.docs))
	}
	// What is sent again is there once.
	if _, err := o.Rewind(t.Context(), Asker{Manage: true}, good.ID, FromBeginning); err != nil {
		t.Fatal(err)
	}
	st = o.until(good.ID, "done again", func(s Status) bool { return all(s) && s.Repeated == 1500 }).Status
	if len(c.docs) != 1500 {
		t.Errorf("%+v, %d documents", st, len(c.docs))
	}
}

// A receiver of syslog acknowledges nothing: what it was sent last before it
// broke is sent again, and nothing is left out.
func TestSyslogTCP(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	var mu sync.Mutex
	seen := map[string]int{}
	go func() {
		for n := 0; ; n++ {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func(limit int) {
				defer conn.Close()
				r := bufio.NewReader(conn)
				for range limit {
					var size int
					if _, err := fmt.Fscanf(r, "%d ", &size); err != nil {
						return
					}
					msg := make([]byte, size)
					if _, err := io.ReadFull(r, msg); err != nil {
						return
					}
					mu.Lock()
					seen[string(msg[bytes.LastIndex(msg, []byte("number ")):])]++
					mu.Unlock()
				}
			}([]int{250, 1 << 30}[min(n, 1)])
		}
	}()
	o.bus.add(1000)
	made := o.make(Content{Name: "siem", Kind: Syslog, Enabled: true, From: FromBeginning, Syslog: &SyslogOptions{Address: l.Addr().String(), Transport: "tcp"}}, nil)
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		mu.Lock()
		n := len(seen)
		mu.Unlock()
		if n == 1000 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d of 1000 messages came", n)
		}
	}
	o.until(made.ID, "well", func(s Status) bool { return s.State == StateOK })
	o.stop()
	// The connection was closed in order: nothing is sent again.
	before := len(seen)
	total := 0
	for _, n := range seen {
		total += n
	}
	o.start()
	time.Sleep(1500 * time.Millisecond)
	after := 0
	mu.Lock()
	for _, n := range seen {
		after += n
	}
	mu.Unlock()
	if after != total || before != 1000 {
		t.Errorf("after an orderly stop %d messages were sent again", after-total)
	}
}

func TestMessages(t *testing.T) {
	t.Parallel()
	e := Event{Key: "e1-2-3", Time: time.Date(2026, 11, 26, 3, 0, 0, 123456000, time.UTC), fields: []field{
		{"event.action", "log in"}, {"event.dataset", "sshd.auth"}, {"host.name", "db 01"}, {"icewatch.tenant", "tax"}, {"log.level", "Error"},
		{"log.syslog.facility.code", "4"}, {"message", "a|b\nc=d"}, {"process.pid", "77"}, {"source.ip", "10.0.0.1"}, {"user.name", `a"b\c]d`}}}
	m := messages{host: "soc", facility: 16}
	want := `<35>1 2026-11-26T03:00:00.123456Z db01 sshd.auth 77 login [icewatch@32473 event.id="e1-2-3" event.action="log in" event.dataset="sshd.auth" host.name="db 01"` +
		` icewatch.tenant="tax" log.level="Error" log.syslog.facility.code="4" process.pid="77" source.ip="10.0.0.1" user.name="a\"b\\c\]d"] a|b` + "\nc=d"
	got := string(m.append(nil, &e))
	if got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	var back event.Event
	parse.New(event.NewRegistry(0), parse.Options{}).Parse(&intake.Record{Format: intake.Syslog, Data: []byte(got), Received: time.Now().UnixNano()}, &back)
	if back.Text(event.SyslogHostname) != "db01" || !back.Timestamp().Equal(e.Time) || back.Text(event.SyslogPriority) != "35" {
		t.Errorf("our own parser reads %+v", back.Fields)
	}
	m.cef = true
	want = `<35>1 2026-11-26T03:00:00.123456Z db01 sshd.auth 77 login - CEF:0|icewatch|icewatch|1|sshd.auth|log in|7|rt=1795662000123 externalId=e1-2-3 act=log in dvchost=db 01 spid=77` +
		` src=10.0.0.1 suser=a"b\\c]d cs1=tax cs1Label=tenant cs2=sshd.auth cs2Label=dataset msg=a|b\nc\=d`
	if got := string(m.append(nil, &e)); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestCheck(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	base := func(change func(*Content)) Content {
		c := Content{Name: "x", Kind: Kafka, Enabled: true, Kafka: &KafkaOptions{Brokers: []string{"k:9092"}, Topic: "icewatch.{tenant}"}}
		change(&c)
		return c
	}
	for want, c := range map[string]Content{
		"":                         base(func(*Content) {}),
		"name: ":                   base(func(c *Content) { c.Name = "a b" }),
		"kind: ":                   base(func(c *Content) { c.Kind = "smoke" }),
		"syslog: the kind is":      base(func(c *Content) { c.Syslog = &SyslogOptions{} }),
		"loki: the options":        base(func(c *Content) { c.Kind, c.Kafka = Loki, nil }),
		"filter: it holds a pipe":  base(func(c *Content) { c.Filter = "* | limit 1" }),
		"there is no tenant":       base(func(c *Content) { c.Tenant = "tax,nobody" }),
		"kafka.brokers: ":          base(func(c *Content) { c.Kafka.Brokers = []string{"k"} }),
		"in braces one of":         base(func(c *Content) { c.Kafka.Topic = "{date}" }),
		"secrets.password: it is":  base(func(c *Content) { c.Kafka.Mechanism, c.Kafka.Username = "SCRAM-SHA-512", "li" }),
		"sends the password as it": base(func(c *Content) { c.Kafka.Mechanism, c.Kafka.Username = "PLAIN", "li" }),
		"no certificate":           base(func(c *Content) { c.TLS = &TLSOptions{CA: "x"} }),
		"user or password":         {Name: "x", Kind: Loki, Loki: &LokiOptions{URL: "http://a:b@loki"}},
		"lower case":               {Name: "x", Kind: Elasticsearch, Elasticsearch: &ElasticsearchOptions{URLs: []string{"http://es"}, Index: "Logs"}},
		"transport: ":              {Name: "x", Kind: Syslog, Syslog: &SyslogOptions{Address: "siem:514", Transport: "relp"}},
	} {
		c.complete()
		err := o.check(t.Context(), &c, nil)
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%q: %v", want, err)
		}
	}
}

// Secrets are sealed and never told, and an address that changes does not get
// those of the one before; a file of targets has none.
func TestSecrets(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	c := Content{Name: "push", Kind: Loki, Loki: &LokiOptions{URL: "http://loki:3100", Auth: AuthBearer}}
	made := o.make(c, Secrets{Password: "very secret"})
	if !slices.Equal(made.SecretsSet, []string{Password}) {
		t.Errorf("%+v", made)
	}
	var rows []targetRow
	if err := o.db.NewSelect().Model(&rows).Scan(t.Context()); err != nil || strings.Contains(rows[0].Secrets+rows[0].Doc, "secret") {
		t.Errorf("%+v, %v", rows, err)
	}
	li := export.Owner{ID: "u1", Name: "li"}
	moved := c
	moved.Loki = &LokiOptions{URL: "http://elsewhere", Auth: AuthBearer}
	if _, _, err := o.Update(t.Context(), Asker{Manage: true}, li, made.ID, 1, moved, nil); err == nil || !strings.Contains(err.Error(), "given again") {
		t.Errorf("an address that changes keeps its secret: %v", err)
	}
	c.Description = "the city's"
	if _, after, err := o.Update(t.Context(), Asker{Manage: true}, li, made.ID, 1, c, nil); err != nil || len(after.SecretsSet) != 1 {
		t.Errorf("%+v, %v", after, err)
	}
	if _, _, err := o.Update(t.Context(), Asker{Manage: true}, li, made.ID, 1, c, nil); err == nil {
		t.Error("a change of what was changed meanwhile is taken")
	}
	for round, yaml := range []bool{true, false} {
		data, err := o.Export(t.Context(), Asker{Manage: true}, yaml)
		if err != nil || bytes.Contains(data, []byte("very secret")) {
			t.Fatalf("%s, %v", data, err)
		}
		got, err := o.Import(t.Context(), Asker{Manage: true}, li, data, yaml, false)
		if err != nil || len(got.Updated) != 1+round || len(got.Created)+len(got.Failed) != 0 {
			t.Errorf("%+v, %v", got, err)
		}
		data = bytes.ReplaceAll(data, []byte("push"), []byte("copy"))
		data = bytes.ReplaceAll(bytes.ReplaceAll(data, []byte(`"enabled": false`), []byte(`"enabled": true`)), []byte("enabled: false"), []byte("enabled: true"))
		got, err = o.Import(t.Context(), Asker{Manage: true}, li, data, yaml, false)
		if err != nil || len(got.Created) != 1-round || len(got.Failed) != 0 {
			t.Errorf("%+v, %v", got, err)
		}
	}
	list, err := o.List(t.Context(), Asker{Manage: true}, Query{Text: "copy"})
	if err != nil || len(list) != 1 || list[0].Enabled || len(list[0].SecretsSet) != 0 {
		t.Errorf("%+v, %v", list, err)
	}
}
