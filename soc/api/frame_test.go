package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"github.com/gofiber/fiber/v2"

	"icewatch/cmdb"
	"icewatch/collectors"
	"icewatch/detections/policy"
	"icewatch/soc/audit"
	"icewatch/soc/identity"
	"icewatch/soc/reach"
	"icewatch/soc/rulebook"
	"icewatch/soc/seal"
	"icewatch/soc/search"
	"icewatch/soc/settings"
	"icewatch/soc/state"
	"icewatch/soc/tenancy"
	"icewatch/soc/units"
	"icewatch/ticketing"
	"icewatch/ticketing/eventlevel"
	"icewatch/ticketing/outbox"
)

// adminPassword is good enough for the policy.
const adminPassword = "glacier-melt-73-otter"

// suite is a server with real identity and audit, and fakes for the rest.
type suite struct {
	t        *testing.T
	srv      *Server
	url      string
	identity *identity.Service
	units    *units.Store
	audit    *audit.Log
	search   *fakeSearch
	ingest   *fakeIngest
	cmdb     *fakeCMDB
	tickets  *ticketing.Service
}

func newSuite(t *testing.T, change func(*Deps)) *suite {
	t.Helper()
	ctx := t.Context()
	db, err := state.Open(ctx, filepath.Join(t.TempDir(), "state.db"))
	if err != nil {
		t.Fatal(err)
	}
	log := slog.New(slog.DiscardHandler)
	set, err := settings.Open(ctx, db)
	if err != nil {
		t.Fatal(err)
	}
	ids, err := identity.Open(ctx, db, set, log, identity.WithSeal(seal.Ephemeral(identity.Sealed()...)))
	if err != nil {
		t.Fatal(err)
	}
	tree, err := units.Open(ctx, db)
	if err != nil {
		t.Fatal(err)
	}
	own, err := DeclareSettings(ctx, set)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ids.EnsureAdmin(ctx, adminPassword); err != nil {
		t.Fatal(err)
	}
	trail, err := audit.Open(ctx, db, audit.Options{Dir: t.TempDir(), Log: log})
	if err != nil {
		t.Fatal(err)
	}
	s := &suite{t: t, identity: ids, units: tree, audit: trail, search: &fakeSearch{}, ingest: &fakeIngest{}, cmdb: &fakeCMDB{}}
	tickets, err := ticketing.Open(ctx, db, ticketing.Deps{Policy: fakePolicy{}, EventTerms: eventlevel.Default, Seal: seal.Ephemeral(outbox.Sealed()...), Log: log})
	if err != nil {
		t.Fatal(err)
	}
	s.tickets = tickets
	casework, err := OpenCasework(ctx, db, tickets, trail, nil)
	if err != nil {
		t.Fatal(err)
	}
	dispatch := openDispatch(t, db, tickets)
	scopes := &reach.Compiler{}
	scopes.SetDirectory(reach.NewDirectory([]reach.Tenant{{Slug: "a"}, {Slug: "b"}, {Slug: "unassigned"}}, nil))
	deps := Deps{
		Reach:     scopes,
		Ticketing: NewTicketing(tickets), Casework: casework, Dispatch: dispatch, Incidents: tickets,
		Identity: ids, Settings: set, Own: own, Units: tree, Audit: trail, Log: log, Version: "test",
		Tenants: fakeTenants{}, CMDB: s.cmdb, Search: s.search, Rules: fakeRules{}, Intake: fakeIntake{},
		Ingest:       []Ingest{s.ingest},
		Console:      fstest.MapFS{"index.html": {Data: []byte("<html>console</html>")}, "assets/app-1a2b.js": {Data: []byte(strings.Repeat("let x = 1;\n", 500))}},
		WriteMetrics: func(w io.Writer) { _, _ = io.WriteString(w, "icewatch_up 1\n") },
		MaxBody:      1 << 20,
	}
	if change != nil {
		change(&deps)
	}
	if s.srv, err = New(deps); err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.url = "http://" + ln.Addr().String()
	go func() { _ = s.srv.Serve(ln) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		_ = s.srv.Shutdown(ctx)
		_ = trail.Close()
		_ = db.Close()
	})
	return s
}

// answer is what came back.
type answer struct {
	status int
	header http.Header
	body   []byte
}

func (a answer) json(t *testing.T) map[string]any {
	t.Helper()
	m := map[string]any{}
	if err := json.Unmarshal(a.body, &m); err != nil {
		t.Fatalf("the answer %d is no JSON object: %v: %s", a.status, err, a.body)
	}
	return m
}

// call sends a request; headers come in pairs.
func (s *suite) call(method, path, body string, headers ...string) answer {
	s.t.Helper()
	return s.with(http.DefaultClient, s.url, method, path, strings.NewReader(body), headers...)
}

func (s *suite) with(client *http.Client, base, method, path string, body io.Reader, headers ...string) answer {
	s.t.Helper()
	req, err := http.NewRequestWithContext(s.t.Context(), method, base+path, body)
	if err != nil {
		s.t.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	res, err := client.Do(req)
	if err != nil {
		s.t.Fatalf("%s %s: %v", method, path, err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		s.t.Fatalf("%s %s: read the answer: %v", method, path, err)
	}
	return answer{res.StatusCode, res.Header, b}
}

// login returns a session's token.
func (s *suite) login(user, password string) string {
	s.t.Helper()
	a := s.call("POST", "/api/v1/auth/login", fmt.Sprintf(`{"username":%q,"password":%q}`, user, password))
	if a.status != 200 {
		s.t.Fatalf("sign in as %s: %d %s", user, a.status, a.body)
	}
	return a.json(s.t)["token"].(string)
}

// token makes an API token directly.
func (s *suite) token(tenant string, scopes ...string) string {
	s.t.Helper()
	_, secret, err := s.identity.CreateToken(s.t.Context(), identity.NewToken{Name: "test " + tenant, Tenant: tenant, Scopes: scopes})
	if err != nil {
		s.t.Fatal(err)
	}
	return secret
}

func bearer(token string) []string { return []string{"Authorization", "Bearer " + token} }

// fakePolicy opens an incident for whatever comes.
type fakePolicy struct{}

func (fakePolicy) Incident(context.Context, policy.IncidentInput) (policy.Decision, error) {
	return policy.Decision{Open: true}, nil
}

// fakeTenants knows the tenants a and b beside the built-in ones.
type fakeTenants struct{}

func (fakeTenants) Get(slug string) (tenancy.Tenant, bool) {
	for _, t := range (fakeTenants{}).List() {
		if t.Slug == slug {
			return t, true
		}
	}
	return tenancy.Tenant{}, false
}

func (fakeTenants) Describe(context.Context, string, tenancy.Change) (tenancy.Tenant, error) {
	return tenancy.Tenant{}, tenancy.ErrNotFound
}

func (fakeTenants) SetClass(context.Context, string, string) (tenancy.Tenant, error) {
	return tenancy.Tenant{}, tenancy.ErrNotFound
}

func (fakeTenants) Remove(context.Context, string, string, string) (tenancy.Removal, error) {
	return tenancy.Removal{}, tenancy.ErrNotFound
}

func (fakeTenants) Restore(context.Context, string, time.Duration) (tenancy.Tenant, error) {
	return tenancy.Tenant{}, tenancy.ErrNotFound
}

func (fakeTenants) Removed() []tenancy.Removed { return nil }

func (fakeTenants) List() []tenancy.Tenant {
	return []tenancy.Tenant{{Slug: "a", AccountID: 11}, {Slug: "b", AccountID: 12}, {Slug: "unassigned", AccountID: 1}}
}

// fakeSearch holds one event for each tenant and keeps what it was asked.
type fakeSearch struct {
	mu    sync.Mutex
	asked []search.Request
	rows  int           // rows to make; 0 is one a tenant
	block chan struct{} // when set, Query waits here after its first row, or for its context
	ended chan error
}

func (f *fakeSearch) last(t *testing.T) search.Request {
	t.Helper()
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.asked) == 0 {
		t.Fatal("the store was not asked")
	}
	return f.asked[len(f.asked)-1]
}

func (f *fakeSearch) note(req search.Request) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.asked = append(f.asked, req)
	if strings.Contains(req.Query, "|||") {
		return fmt.Errorf("wrapped: %w", &search.QueryError{Query: req.Query, Position: 3, Reason: "a pipe's name is missing"})
	}
	if strings.Contains(req.Query, "panic") {
		panic("the store broke")
	}
	if strings.Contains(req.Query, "secret-fault") {
		return errors.New("dial unix /run/secret.sock: refused")
	}
	return nil
}

func (f *fakeSearch) Query(ctx context.Context, req search.Request, emit func([]byte) error) (err error) {
	if f.ended != nil {
		defer func() { f.ended <- err }()
	}
	if err := f.note(req); err != nil {
		return err
	}
	tenants, all := req.Reach.TenantSlugs()
	if all {
		tenants = []string{"a", "b"}
	}
	n := 0
	for i := 0; i < max(f.rows, len(tenants)) && n < req.Limit; i++ {
		if err := emit(fmt.Appendf(nil, `{"event.id":"e-1-%d","icewatch.tenant":%q,"message":"m"}`, i, tenants[i%len(tenants)])); err != nil {
			return err
		}
		n++
		if f.block != nil {
			select {
			case <-f.block:
			case <-ctx.Done():
				return ctx.Err()
			}
		}
	}
	return nil
}

func (f *fakeSearch) Histogram(_ context.Context, req search.Request, buckets int) (search.Histogram, error) {
	return search.Histogram{StepMS: req.End.Sub(req.Start).Milliseconds() / int64(buckets), Total: 2}, f.note(req)
}

func (f *fakeSearch) Fields(_ context.Context, req search.Request, _ int) ([]search.ValueHits, error) {
	return []search.ValueHits{{Value: "message", Hits: 2}}, f.note(req)
}

func (f *fakeSearch) Values(_ context.Context, req search.Request, _ string, _ int) ([]search.ValueHits, error) {
	return []search.ValueHits{{Value: "a", Hits: 2}}, f.note(req)
}

func (f *fakeSearch) Context(_ context.Context, within reach.Reach, a search.Around) (search.Surroundings, error) {
	if a.ID != "e-1-0" || !within.Match(reach.Facts{Tenant: "a"}) {
		return search.Surroundings{}, search.ErrNotFound
	}
	return search.Surroundings{Anchor: []byte(`{"event.id":"e-1-0"}`), By: a.By}, nil
}

func (f *fakeSearch) Facets(_ context.Context, req search.Request, fields []string, _ int) (search.Facets, error) {
	return search.Facets{Total: 2, Facets: []search.Facet{{Field: fields[0], Rows: 2, Values: []search.ValueHits{{Value: "a", Hits: 2}}}}}, f.note(req)
}

func (f *fakeSearch) FieldStats(_ context.Context, req search.Request, field string, _ int) (search.FieldStats, error) {
	return search.FieldStats{Field: field, Total: 2}, f.note(req)
}

func (f *fakeSearch) Tail(ctx context.Context, t search.Tailing, emit func(search.Tailed) error) error {
	if err := f.note(search.Request{Reach: t.Reach, Query: t.Query}); err != nil {
		return err
	}
	if err := emit(search.Tailed{}); err != nil {
		return err
	}
	if err := emit(search.Tailed{ID: "e-1-1", Row: []byte(`{"event.id":"e-1-1"}`)}); err != nil {
		return err
	}
	<-ctx.Done()
	return ctx.Err()
}

func (f *fakeSearch) Event(_ context.Context, within reach.Reach, id string) ([]byte, error) {
	if id != "e-1-0" || !within.Match(reach.Facts{Tenant: "a"}) {
		return nil, search.ErrNotFound
	}
	return []byte(`{"event.id":"e-1-0","icewatch.tenant":"a"}`), nil
}

// fakeIngest keeps which tenant wrote what.
type fakeIngest struct {
	mu   sync.Mutex
	took []string // "tenant:body"
}

func (f *fakeIngest) Mount(r fiber.Router) {
	take := func(c *fiber.Ctx) error {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.took = append(f.took, IngestTenant(c)+":"+string(c.Request().Body()))
		return c.JSON(fiber.Map{"errors": false})
	}
	r.Get("/elastic", func(c *fiber.Ctx) error { return c.SendString("{}") })
	r.Post("/elastic/_bulk", take)
	r.Post("/elastic/:index/_bulk", take)
	r.Post("/loki/api/v1/push", take)
}

type fakeRules struct{}

func (fakeRules) RuleSet(context.Context) (RuleSet, error) { return RuleSet{}, nil }
func (fakeRules) List(context.Context) ([]RuleInfo, error) { return []RuleInfo{{ID: "r1"}}, nil }
func (fakeRules) Get(_ context.Context, id string) (RuleDetail, error) {
	if id != "r1" {
		return RuleDetail{}, fmt.Errorf("rule %q: %w", id, ErrNotFound)
	}
	return RuleDetail{RuleInfo: RuleInfo{ID: "r1"}, Source: "title: x"}, nil
}
func (fakeRules) Reload(context.Context) (RuleReload, error) { return RuleReload{Active: 1}, nil }
func (fakeRules) Apply(context.Context) error                { return nil }
func (fakeRules) Surroundings() rulebook.Surroundings        { return rulebook.Surroundings{} }

type fakeIntake struct{}

func (fakeIntake) Sources(context.Context) []collectors.Health {
	return []collectors.Health{{ID: "syslog-tcp", State: "ok"}}
}
func (fakeIntake) Stats(context.Context) IntakeStats { return IntakeStats{EventsTotal: 7} }

// fakeCMDB remembers the scope it was asked with.
type fakeCMDB struct {
	CMDB   // what no test here asks for
	mu     sync.Mutex
	scopes []reach.Reach
}

func (f *fakeCMDB) see(s reach.Reach) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.scopes = append(f.scopes, s)
}
func (f *fakeCMDB) Classes() []cmdb.Class { return []cmdb.Class{{Name: cmdb.Host}} }
func (f *fakeCMDB) Items(_ context.Context, s reach.Reach, _ cmdb.Filter) (cmdb.Page, error) {
	f.see(s)
	return cmdb.Page{Items: []cmdb.Item{{ID: "sys_1", Class: cmdb.BusinessSystem, Tenant: "a"}}, Total: 1}, nil
}
func (f *fakeCMDB) Get(_ context.Context, s reach.Reach, id string) (cmdb.Item, error) {
	f.see(s)
	if id != "sys_1" || !s.CoversTenant("a") {
		return cmdb.Item{}, cmdb.ErrNotFound
	}
	return cmdb.Item{ID: id}, nil
}
func (f *fakeCMDB) Relations(context.Context, reach.Reach, string) (cmdb.Relations, error) {
	return cmdb.Relations{}, nil
}
func (f *fakeCMDB) Import(_ context.Context, _ cmdb.Format, r io.Reader, o cmdb.ImportOptions) (cmdb.Report, error) {
	b, err := io.ReadAll(r)
	if bytes.Contains(b, []byte("bad")) {
		return cmdb.Report{Errors: []cmdb.RowError{{Row: 3, Column: "criticality", Message: "9 is not 1 to 5"}}, Rejected: 1}, err
	}
	return cmdb.Report{Created: 2, DryRun: o.DryRun}, err
}
func (f *fakeCMDB) Export(_ context.Context, s reach.Reach, _ cmdb.Format, w io.Writer, _ cmdb.Filter) error {
	f.see(s)
	_, err := io.WriteString(w, "class,name\n")
	return err
}
