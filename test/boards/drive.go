package boards

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"icewatch/soc/client"
)

// Suite is a running suite whose metrics.interval is one second, that takes
// NetFlow for the tenant city and may reach loopback addresses.
type Suite struct {
	URL     string
	Syslog  string // host:port, TCP
	NetFlow string // host:port, UDP
	Admin   *client.Client
	// Delivered counts the notifications that the only receiver, duty, took.
	Delivered func() int
	// Disk is where the data lies.
	Disk string
}

// document is an event as it was driven.
type document struct {
	round  int
	tenant string
	fields map[string]string
	bytes  float64 // of a flow
	own    bool    // the suite made it
}

// incident is what is read of one.
type incident struct {
	ID       string
	Tenant   string
	Alerts   int       `json:"alert_count"`
	OpenedAt time.Time `json:"opened_at"`
	SLA      struct {
		AckedAt    *time.Time `json:"acked_at"`
		ResolvedAt *time.Time `json:"resolved_at"`
	}
}

// sent is an alert that was sent.
type sent struct{ tenant, severity, name string }

// World is what was driven into a suite.
type World struct {
	Suite
	tenants   map[string][]string // by domain
	slugs     []string
	documents []document
	alerts    []sent
	incidents []incident
	refusals  int // of sign-ins, in all
	fired     int // how often the rule was met
	forwarded atomic.Int64
	token     string // ingests for every tenant
	reader    string
	other     string // reads for otherTenant alone
	samples   map[string][]measure
	from, to  time.Time
	page      map[string]map[string]float64 // of /metrics at the end: by name and labels
}

// Tenants of what only some have.
const (
	webTenant   = "e-licence"
	authTenant  = "one-id-service"
	spanTenant  = "e-seal"
	hostTenant  = "e-licence"
	otherTenant = "grid-management"
	decoyTenant = "ocr-form-recognition"
	dataset     = "app.orders"
)

// prepare reads who the tenants are, makes keys, and a target to forward to.
func (w *World) prepare(ctx context.Context) error {
	list, err := w.Admin.Raw(ctx, "/api/v1/tenants", nil, 500)
	if err != nil {
		return err
	}
	w.tenants = map[string][]string{}
	for _, text := range list {
		var x struct{ Slug, Domain string }
		if err := json.Unmarshal(text, &x); err != nil {
			return err
		}
		if x.Slug != "city" && x.Slug != "unassigned" {
			w.tenants[x.Domain] = append(w.tenants[x.Domain], x.Slug)
			w.slugs = append(w.slugs, x.Slug)
		}
	}
	for _, slugs := range w.tenants {
		slices.Sort(slugs)
	}
	slices.Sort(w.slugs)
	if len(w.slugs) < 40 || len(w.tenants) != 8 {
		return fmt.Errorf("%d tenants in %d domains", len(w.slugs), len(w.tenants))
	}
	ingest, err := w.Admin.CreateToken(ctx, "boards ingest", "", []string{"ingest"}, time.Hour)
	if err != nil {
		return err
	}
	read, err := w.Admin.CreateToken(ctx, "boards grafana", "", []string{"read"}, time.Hour)
	if err != nil {
		return err
	}
	w.samples = maps.Clone(measured)
	for _, slugs := range w.tenants {
		host := "host=app-" + slugs[0]
		w.samples[slugs[0]] = append(slices.Clone(w.samples[slugs[0]]), measure{"cpu_usage_idle", host + ",cpu=cpu-total", 50 + float64(len(slugs)), 0},
			measure{"mem_used_percent", host, 10 + float64(len(slugs)), 0})
	}
	// What others measure is the same, and nothing of it is to be shown.
	w.samples[decoyTenant] = slices.Concat(w.samples[decoyTenant], measured[hostTenant], measured[otherTenant])
	only, err := w.Admin.CreateToken(ctx, "boards of a tenant", otherTenant, []string{"read"}, time.Hour)
	if err != nil {
		return err
	}
	w.other = only.Secret
	w.token, w.reader = ingest.Secret, read.Secret
	return nil
}

// forwardTo makes a target that takes the events of one dataset by syslog.
func (w *World) forwardTo(ctx context.Context) (stop func(), err error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				buf := make([]byte, 64<<10)
				for {
					n, err := conn.Read(buf)
					w.forwarded.Add(int64(bytes.Count(buf[:n], []byte(forwardMark))))
					if err != nil {
						return
					}
				}
			}()
		}
	}()
	body := map[string]any{"name": "province", "kind": "syslog", "enabled": true, "filter": `event.dataset:="` + dataset + `"`,
		"syslog": map[string]any{"address": l.Addr().String(), "transport": "tcp"}}
	if err := w.Admin.JSON(ctx, http.MethodPost, "/api/v1/forwarding/targets", nil, body, nil); err != nil {
		l.Close()
		return nil, fmt.Errorf("make the target: %w", err)
	}
	return func() { l.Close() }, nil
}

// forwardMark is in each event that is forwarded, once.
const forwardMark = "order-number"

func (w *World) send(ctx context.Context, path, tenant, kind string, body []byte, more ...string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, w.URL+path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+w.token)
	req.Header.Set("Content-Type", kind)
	req.Header.Set("X-Scope-OrgID", tenant)
	for i := 0; i+1 < len(more); i += 2 {
		req.Header.Set(more[i], more[i+1])
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	var text bytes.Buffer
	_, _ = text.ReadFrom(resp.Body)
	if resp.StatusCode/100 != 2 || bytes.Contains(text.Bytes(), []byte(`"errors":true`)) {
		return fmt.Errorf("POST %s of %s: %d %.300s", path, tenant, resp.StatusCode, text.Bytes())
	}
	return nil
}

// bulk drives events of a tenant by the _bulk API and enters them.
func (w *World) bulk(ctx context.Context, round int, tenant string, at time.Time, list ...map[string]string) error {
	var b bytes.Buffer
	for i, f := range list {
		doc := map[string]any{"@timestamp": at.Add(time.Duration(i) * time.Millisecond).UTC().Format(time.RFC3339Nano)}
		for name, value := range f {
			doc[name] = value
			if n, err := strconv.Atoi(value); err == nil && (name == "http.response.status_code" || name == "event.duration") {
				doc[name] = n
			}
		}
		line, err := json.Marshal(doc)
		if err != nil {
			return err
		}
		fmt.Fprintf(&b, "{\"create\":{}}\n%s\n", line)
		f["icewatch.tenant"] = tenant
		w.documents = append(w.documents, document{round: round, tenant: tenant, fields: f})
	}
	return w.send(ctx, "/elastic/app/_bulk", tenant, "application/x-ndjson", b.Bytes())
}

// round drives all kinds of events, as of a time.
func (w *World) round(ctx context.Context, n int, at time.Time) error {
	for i, slug := range w.slugs {
		var docs []map[string]string
		for k := range 1 + i%3 {
			level, outcome := "info", "success"
			if k == 0 {
				level, outcome = "error", "failure"
			}
			docs = append(docs, map[string]string{"message": fmt.Sprintf("%s %d", forwardMark, k), "event.dataset": dataset, "log.level": level, "event.outcome": outcome,
				"host.name": "app-" + slug, "source.ip": fmt.Sprintf("10.60.%d.%d", i, 10+k)})
		}
		if err := w.bulk(ctx, n, slug, at, docs...); err != nil {
			return err
		}
	}
	var web, auth, spans []map[string]string
	for k := range 5 {
		web = append(web, map[string]string{"message": "GET /", "event.category": "web", "event.dataset": "web.access", "http.response.status_code": []string{"200", "404"}[k%2], "source.ip": fmt.Sprintf("10.61.0.%d", 1+k/3), "url.path": "/"})
	}
	for k := range 4 {
		outcome, user := "failure", "wang"
		if k > 1 {
			outcome, user = "success", "li"
		}
		auth = append(auth, map[string]string{"message": "sign-in", "event.category": "authentication", "event.dataset": "portal.auth", "event.outcome": outcome, "user.name": user,
			"host.name": "portal-1", "source.ip": "10.62.0.7"})
	}
	for k := range 3 {
		outcome := "success"
		if k == 2 {
			outcome = "failure"
		}
		spans = append(spans, map[string]string{"data_stream.type": "traces", "event.dataset": "otlp.span", "trace.id": fmt.Sprintf("%032x", n*16+k+1), "span.id": fmt.Sprintf("%016x", n*16+k+1), "span.name": "POST /seal",
			"span.kind": "server", "service.name": "seal-api", "event.duration": fmt.Sprint((k + 1) * 1_000_000), "event.outcome": outcome})
	}
	// One that is no flow, no span and no access to a web server, with their fields.
	decoy := []map[string]string{{"message": "no flow, span or access", "event.category": "process", "event.dataset": "decoy", "observer.ip": "10.99.0.1", "network.transport": "sctp",
		"network.direction": "outbound", "source.ip": "10.99.0.2", "destination.ip": "10.99.0.3", "server.port": "99", "service.name": "decoy", "span.name": "decoy",
		"event.duration": "9000000", "http.response.status_code": "500"}}
	for tenant, docs := range map[string][]map[string]string{decoyTenant: decoy, webTenant: web, authTenant: auth, spanTenant: spans} {
		if err := w.bulk(ctx, n, tenant, at, docs...); err != nil {
			return err
		}
	}
	if err := w.syslog(n, at); err != nil {
		return err
	}
	w.fired++
	return w.flows(n, at)
}

// lines is how many lines of syslog a round has; the first meets the rule.
const lines = 5

// knownWord is what the rule looks for.
const knownWord = "boards-known-word"

// knownRule is the only rule that what is driven meets.
const knownRule = `title: Known Word of the Boards
id: 0b0f6a35-7f2c-4d18-9a0e-4c5d1f6f9b11
status: test
description: A rule of this test.
logsource: {product: linux}
detection:
  word:
    message|contains: ` + knownWord + `
  condition: word
level: high
`

// costlyRule is asked about many lines and met by none.
const costlyRule = `title: Costly Rule of the Boards
id: 0b0f6a35-7f2c-4d18-9a0e-4c5d1f6f9b12
status: test
description: A rule of this test.
logsource: {product: linux}
detection:
  word:
    message|re: 'boards-costly-word [0-9]+ (never|nowhere)$'
  condition: word
level: low
`

// costlyLines is about how many lines it is asked.
const costlyLines = 200

// quota is the daily quota of the tenant webTenant, in events.
const quota = 1000

// moreSamples are written within the times asked.
const moreSamples = 30

// strangersAtGate are requests without a credential.
const strangersAtGate = 2

// rule makes the rules and waits until they are in force.
func (w *World) rule(ctx context.Context) error {
	var before float64
	err := until(ctx, 20*time.Second, func() error {
		err := w.scrape(ctx)
		if before = sum(w.shown("icewatch_rules_in_force")); err == nil && before == 0 {
			err = errors.New("no rules are in force")
		}
		return err
	})
	if err != nil {
		return err
	}
	for _, source := range []string{knownRule, costlyRule} {
		if err := w.Admin.JSON(ctx, http.MethodPost, "/api/v1/rules", nil, map[string]any{"source": source}, nil); err != nil {
			return fmt.Errorf("make a rule: %w", err)
		}
	}
	w.alerts = append(w.alerts, sent{"unassigned", "high", "Known Word of the Boards"})
	return until(ctx, 20*time.Second, func() error {
		if err := w.scrape(ctx); err != nil {
			return err
		}
		if n := sum(w.shown("icewatch_rules_in_force")); n != before+2 {
			return fmt.Errorf("%v rules are in force, want %v", n, before+2)
		}
		return nil
	})
}

// syslog writes lines by TCP, of two hosts that nobody owns.
func (w *World) syslog(n int, at time.Time) error {
	conn, err := net.Dial("tcp", w.Syslog)
	if err != nil {
		return err
	}
	defer conn.Close()
	for k := range lines {
		host, said := "gate-1", "connection accepted"
		switch {
		case k == 0:
			said = knownWord
		case k > 2:
			host, said = "gate-2", "connection refused"
		}
		if err := w.line(conn, n, at.Add(time.Duration(k)*time.Millisecond), host, said, k); err != nil {
			return err
		}
	}
	if n == 1 {
		for k := range costlyLines {
			if err := w.line(conn, n, at.Add(time.Second), "gate-3", "boards-costly-word", k); err != nil {
				return err
			}
		}
	}
	return nil
}

func (w *World) line(conn net.Conn, round int, at time.Time, host, said string, k int) error {
	w.documents = append(w.documents, document{round: round, tenant: "unassigned", fields: map[string]string{"icewatch.tenant": "unassigned", "host.name": host, "message": said, "source": "syslog-tcp"}})
	_, err := fmt.Fprintf(conn, "<134>1 %s %s relay - - - %s %d\n", at.UTC().Format(time.RFC3339Nano), host, said, k)
	return err
}

// talk is a flow: who, to whom and which service, by which protocol.
type talk struct {
	from, to  string
	port      uint16
	protocol  byte
	transport string
	bytes     uint32
}

var talks = []talk{
	{"10.70.0.1", "10.70.0.9", 443, 6, "tcp", 120_000},
	{"10.70.0.2", "10.70.0.9", 443, 6, "tcp", 30_000},
	{"10.70.0.1", "10.70.0.8", 53, 17, "udp", 900},
}

// flows exports the talks as one datagram of NetFlow version 5.
func (w *World) flows(n int, at time.Time) error {
	var b bytes.Buffer
	put := func(v any) { _ = binary.Write(&b, binary.BigEndian, v) }
	const uptime = 3_600_000
	put(uint16(5))
	put(uint16(len(talks)))
	put(uint32(uptime))
	put(uint32(at.Unix()))
	put(uint32(at.Nanosecond()))
	put(uint32((n - 1) * len(talks))) // sequence of flows
	put([4]byte{})                    // engine and sampling
	for i, k := range talks {
		put(netip.MustParseAddr(k.from).As4())
		put(netip.MustParseAddr(k.to).As4())
		put(uint32(0)) // next hop
		put(uint16(1))
		put(uint16(2))
		put(uint32(10)) // packets
		put(k.bytes)
		put(uint32(uptime - 1000))
		put(uint32(uptime))
		put(uint16(50000 + i))
		put(k.port)
		put([]byte{0, 0x18, k.protocol, 0})
		put(uint64(0)) // autonomous systems and masks
		w.documents = append(w.documents, document{round: n, tenant: "city", bytes: float64(k.bytes), fields: map[string]string{"icewatch.tenant": "city", "source.ip": k.from, "destination.ip": k.to,
			"server.port": fmt.Sprint(k.port), "network.transport": k.transport, "event.dataset": "flow.netflow", "observer.ip": "127.0.0.1", "event.category": "network"}})
	}
	conn, err := net.Dial("udp", w.NetFlow)
	if err != nil {
		return err
	}
	defer conn.Close()
	if n == 1 {
		if _, err := conn.Write([]byte("no flow")); err != nil { // is rejected
			return err
		}
	}
	_, err = conn.Write(b.Bytes())
	return err
}

// alarm sends alerts of the first tenant of each domain, one critical and two
// medium ones, and of the second, where there is one, a medium one.
func (w *World) alarm(ctx context.Context) error {
	of := map[string][]string{}
	for _, slugs := range w.tenants {
		of[slugs[0]] = []string{"critical", "medium", "medium"}
		if len(slugs) > 1 {
			of[slugs[1]] = []string{"medium"}
		}
	}
	for tenant, severities := range of {
		var list []map[string]any
		for i, severity := range severities {
			name := fmt.Sprintf("Boards%s%d", severity, i)
			list = append(list, map[string]any{"labels": map[string]string{"alertname": name, "severity": severity, "service": tenant}, "annotations": map[string]string{"summary": name},
				"startsAt": time.Now().UTC(), "endsAt": time.Now().Add(time.Hour).UTC()})
			w.alerts = append(w.alerts, sent{tenant, severity, name})
		}
		body, err := json.Marshal(list)
		if err != nil {
			return err
		}
		if err := w.send(ctx, "/alertmanager/api/v2/alerts", tenant, "application/json", body); err != nil {
			return err
		}
	}
	return nil
}

// strangers is how many sign-ins fail in each round.
const strangers = 3

// strangers fail to sign in, which the suite makes events of.
func (w *World) strangers(ctx context.Context, round int) error {
	host, err := os.Hostname()
	if err != nil {
		return err
	}
	for range strangers {
		resp, err := http.Post(w.URL+"/api/v1/auth/login", "application/json", strings.NewReader(`{"username":"stranger","password":"not-the-word-2026"}`))
		if err != nil {
			return err
		}
		resp.Body.Close()
		if resp.StatusCode != http.StatusUnauthorized {
			return fmt.Errorf("a stranger's sign-in: %d", resp.StatusCode)
		}
		w.refusals++
		w.documents = append(w.documents, document{round: round, tenant: "city", own: true, fields: map[string]string{"icewatch.tenant": "city", "event.category": "authentication", "event.outcome": "failure",
			"user.name": "stranger", "source.ip": "127.0.0.1", "host.name": host}})
	}
	if round > 1 {
		return nil
	}
	for range strangersAtGate {
		resp, err := http.Get(w.URL + "/api/v1/alerts")
		if err != nil {
			return err
		}
		resp.Body.Close()
		if resp.StatusCode != http.StatusUnauthorized {
			return fmt.Errorf("a stranger at the gate: %d", resp.StatusCode)
		}
	}
	return nil
}

// states are those that incidents are brought to, by domain; the others are
// acknowledged.
var states = map[string]string{"innovative-apps": "closed", "data-resources": "closed", "service-hall": "open"}

// work acknowledges incidents and closes some.
func (w *World) work(ctx context.Context) error {
	list, err := w.readIncidents(ctx)
	if err != nil {
		return err
	}
	for _, i := range list {
		state := w.incident(i.Tenant)
		if state == "open" {
			continue
		}
		if err := w.Admin.JSON(ctx, http.MethodPost, "/api/v1/incidents/"+i.ID+"/acknowledge", nil, map[string]any{}, nil); err != nil {
			return err
		}
		if state != "closed" {
			continue
		}
		if err := w.Admin.JSON(ctx, http.MethodPost, "/api/v1/incidents/"+i.ID+"/close", nil, map[string]any{"resolution": "true_positive"}, nil); err != nil {
			return err
		}
	}
	return nil
}

// readIncidents lists the incidents in the order of their tenants.
func (w *World) readIncidents(ctx context.Context) ([]incident, error) {
	texts, err := w.Admin.Raw(ctx, "/api/v1/incidents", url.Values{}, 100)
	if err != nil {
		return nil, err
	}
	list := make([]incident, len(texts))
	for i := range texts {
		if err := json.Unmarshal(texts[i], &list[i]); err != nil {
			return nil, err
		}
	}
	slices.SortFunc(list, func(a, b incident) int { return strings.Compare(a.Tenant, b.Tenant) })
	return list, nil
}
