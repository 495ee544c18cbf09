package ticketing

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"maps"
	"path"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"icewatch/detections"
	"icewatch/detections/policy"
	"icewatch/rules"
	"icewatch/soc/reach"
	"icewatch/soc/seal"
	"icewatch/soc/state"
	"icewatch/ticketing/outbox"
)

// clock is a clock that tests set.
type clock struct {
	mu sync.Mutex
	t  time.Time
}

func newClock() *clock { return &clock{t: time.Date(2026, 11, 23, 8, 0, 0, 0, time.UTC)} }

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.t
}

func (c *clock) forward(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.t = c.t.Add(d)
}

// realPolicy prepares the suite's own incident policy, once.
var realPolicy = sync.OnceValue(func() *policy.Set {
	var files []policy.File
	err := fs.WalkDir(rules.FS, "policy", func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || path.Ext(p) != ".rego" {
			return err
		}
		data, err := fs.ReadFile(rules.FS, p)
		files = append(files, policy.File{Path: p, Data: data})
		return err
	})
	if err != nil {
		panic(err)
	}
	set, problems := policy.New(files, policy.Keys{})
	if len(problems) > 0 {
		panic(fmt.Sprintf("the suite's policies: %+v", problems))
	}
	return set
})

// policyFunc is a policy in Go.
type policyFunc func(in policy.IncidentInput) (policy.Decision, error)

func (f policyFunc) Incident(_ context.Context, in policy.IncidentInput) (policy.Decision, error) {
	return f(in)
}

// simplePolicy opens on a high alert with another beside it, or a critical
// one; anything joins.
var simplePolicy = policyFunc(func(in policy.IncidentInput) (policy.Decision, error) {
	open := in.Alert.Rule.Level == detections.Critical || in.Alert.Rule.Level == detections.High && len(in.Related) > 0
	return policy.Decision{Open: open, Join: true, Reasons: []detections.Text{{ZH: "测试", EN: "test"}}}, nil
})

func openDB(t testing.TB) *state.DB {
	t.Helper()
	db, err := state.Open(t.Context(), filepath.Join(t.TempDir(), "state.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

func openService(t testing.TB, db *state.DB, c *clock, deps Deps) *Service {
	t.Helper()
	if deps.Policy == nil {
		deps.Policy = simplePolicy
	}
	if deps.Log == nil {
		deps.Log = slog.New(slog.NewTextHandler(io.Discard, nil))
	}
	deps.Clock, deps.Zone, deps.Seal = c.now, time.UTC, seal.Ephemeral(outbox.Sealed()...)
	s, err := Open(t.Context(), db, deps)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.countStanding(t.Context()); err != nil {
		t.Fatal(err)
	}
	latest.Store(db, s)
	t.Cleanup(func() {
		if now, _ := latest.Load(db); now == s {
			checkStanding(t, s)
		}
	})
	return s
}

// latest is the service that was opened last on each database: tests start them
// anew, and one that is as good as ended does not follow what the next one does.
var latest sync.Map

func newService(t testing.TB, p Policy) (*Service, *clock) {
	t.Helper()
	c := newClock()
	return openService(t, openDB(t), c, Deps{Policy: p}), c
}

// host is a configuration item of the stories.
type host struct{ id, name, tenant, systemID, system, addr string }

func (h host) fields() map[string]string {
	return map[string]string{
		"host.name": h.name, "icewatch.ci.id": h.id, "icewatch.ci.name": h.name, "icewatch.ci.class": "host",
		"icewatch.ci.criticality": "4", "icewatch.ci.owner": "周敏", "icewatch.ci.system.id": h.systemID,
		"icewatch.ci.system.name": h.system, "icewatch.zone": "dmz", "host.ip": h.addr,
	}
}

var (
	sealWeb  = host{"ci-seal-web-01", "seal-web-01", "e-seal", "sys-seal", "电子印章平台", "10.20.1.11"}
	sealDB   = host{"ci-seal-db-01", "seal-db-01", "e-seal", "sys-seal", "电子印章平台", "10.20.1.12"}
	sealApp  = host{"ci-seal-app-01", "seal-app-01", "e-seal", "sys-seal", "电子印章平台", "10.20.1.13"}
	taxWeb   = host{"ci-tax-web-01", "tax-web-01", "tax", "sys-tax", "税务申报", "10.21.1.11"}
	start    = time.Date(2026, 11, 23, 7, 30, 0, 0, time.UTC)
	testRule = detections.RuleRef{ID: "test", Level: detections.Medium, Kind: "sigma", Title: detections.Text{ZH: "测试", EN: "Test"}}
)

type rule struct {
	id, zh, en    string
	level         detections.Level
	tactic, tech  string
	tags          []string
	group         []string
	withoutSource bool
	priority      string
}

// The rules of the stories, as the rule repository has their kinds.
var (
	ruleScan     = rule{id: "scan", zh: "端口扫描", en: "Port scan", level: detections.Low, tactic: "reconnaissance", tech: "T1595", group: []string{"source.ip"}, priority: "P4"}
	ruleGuess    = rule{id: "guess", zh: "SSH 口令猜测", en: "SSH password guessing", level: detections.Medium, tactic: "credential-access", tech: "T1110.001", group: []string{"source.ip", "icewatch.ci.id"}, priority: "P3"}
	ruleLogin    = rule{id: "login", zh: "境外地址登录成功", en: "Sign-in from outside", level: detections.Low, tactic: "initial-access", tech: "T1078", tags: []string{"icewatch.login-success"}, group: []string{"source.ip", "icewatch.ci.id"}, priority: "P3"}
	ruleSudo     = rule{id: "sudo", zh: "以 root 打开 shell", en: "Shell as root", level: detections.Medium, tactic: "privilege-escalation", tech: "T1548", group: []string{"icewatch.ci.id", "user.name"}, withoutSource: true, priority: "P3"}
	ruleOutbound = rule{id: "outbound", zh: "异常外联", en: "Unusual outbound connection", level: detections.Medium, tactic: "command-and-control", tech: "T1571", group: []string{"icewatch.ci.id"}, withoutSource: true, priority: "P3"}
	ruleTypo     = rule{id: "typo", zh: "登录失败", en: "Failed sign-in", level: detections.Low, tactic: "credential-access", tech: "T1110", group: []string{"icewatch.ci.id", "user.name"}, priority: "P4"}
	ruleProbe    = rule{id: "probe", zh: "探测敏感路径", en: "Probe of sensitive paths", level: detections.Low, tactic: "reconnaissance", tech: "T1595.003", group: []string{"source.ip", "icewatch.ci.id"}, priority: "P4"}
	ruleCopy     = rule{id: "copy", zh: "大量数据外传", en: "Large outgoing copy", level: detections.Low, tactic: "exfiltration", tech: "T1048", group: []string{"icewatch.ci.id"}, withoutSource: true, priority: "P4"}
)

// fire makes an occurrence of a rule on a host by an actor.
func fire(r rule, h host, source string, at time.Duration, extra map[string]string) detections.Occurrence {
	f := h.fields()
	if source != "" {
		f["source.ip"] = source
		if strings.HasPrefix(source, "10.") {
			f["icewatch.source.internal"] = "true"
		}
	}
	f["user.name"] = "deploy"
	maps.Copy(f, extra)
	t := start.Add(at)
	o := detections.Occurrence{
		Rule: detections.RuleRef{ID: r.id, Title: detections.Text{ZH: r.zh, EN: r.en}, Level: r.level, Kind: "sigma",
			Sentence: detections.Text{ZH: fmt.Sprintf("%s 对 %s：%s", source, h.name, r.zh), EN: fmt.Sprintf("%s on %s by %s", r.en, h.name, source)},
			Tactics:  []string{r.tactic}, Techniques: []string{r.tech}, Tags: r.tags},
		Tenant: h.tenant, Time: t, From: t.Add(-2 * time.Second), Count: 3, Priority: r.priority, Fields: f,
		Evidence: []detections.Match{{Selection: "selection", Field: "event.action", Value: r.id}},
		Reasons:  []detections.Text{{ZH: "级别 " + string(r.level), EN: "level " + string(r.level)}},
	}
	key := []string{r.id, h.tenant}
	for _, g := range r.group {
		o.Group = append(o.Group, detections.Pair{Field: g, Value: f[g]})
		key = append(key, f[g])
	}
	o.Key = strings.Join(key, "|")
	o.ID = o.Key + "@" + fmt.Sprint(t.UnixNano())
	o.EventIDs = []string{fmt.Sprintf("e1-%d-0", t.UnixMilli()), fmt.Sprintf("e1-%d-1", t.UnixMilli())}
	return o
}

// intrusion is the story of one actor who gets into one host.
func intrusion(h host, source string, at time.Duration) []detections.Occurrence {
	var out []detections.Occurrence
	for i := range 3 {
		out = append(out, fire(ruleScan, h, source, at+time.Duration(i)*10*time.Second, nil))
	}
	for i := range 4 {
		out = append(out, fire(ruleGuess, h, source, at+time.Minute+time.Duration(i)*15*time.Second, nil))
	}
	out = append(out,
		fire(ruleLogin, h, source, at+3*time.Minute, nil),
		fire(ruleSudo, h, "", at+4*time.Minute, nil),
		fire(ruleOutbound, h, "", at+5*time.Minute, map[string]string{"source.ip": h.addr, "icewatch.source.internal": "true", "destination.ip": "198.51.100.66"}),
		fire(ruleOutbound, h, "", at+6*time.Minute, map[string]string{"source.ip": h.addr, "icewatch.source.internal": "true", "destination.ip": "198.51.100.66"}),
	)
	return out
}

func ingest(t testing.TB, s *Service, occs ...detections.Occurrence) {
	t.Helper()
	if err := s.Ingest(t.Context(), occs); err != nil {
		t.Fatal(err)
	}
}

func allAlerts(t testing.TB, s *Service) []Alert {
	t.Helper()
	items, total, _, err := s.Alerts(t.Context(), AlertQuery{Reach: reach.All(), Page: Page{Limit: 1000, Sort: "created_at"}})
	if err != nil {
		t.Fatal(err)
	}
	if total != len(items) {
		t.Fatalf("total %d, items %d", total, len(items))
	}
	return items
}

func allIncidents(t testing.TB, s *Service) []Incident {
	t.Helper()
	items, _, _, err := s.Incidents(t.Context(), IncidentQuery{Reach: reach.All(), Page: Page{Limit: 1000, Sort: "opened_at"}})
	if err != nil {
		t.Fatal(err)
	}
	return items
}
