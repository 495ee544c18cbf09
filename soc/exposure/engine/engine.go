// Package engine drives scanners of other makers: Nessus and Tenable by their REST API,
// Greenbone by GMP over TLS, any other by HTTP paths that people name. It tests the
// connection, lists and launches scans, and fetches their reports, which
// soc/exposure/report reads. All connections go through soc/egress.
package engine

import (
	"cmp"
	"context"
	"crypto/x509"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/robfig/cron/v3"
	"github.com/uptrace/bun"

	"icewatch/cmdb"
	"icewatch/collectors/fleet/roster"
	"icewatch/soc/egress"
	"icewatch/soc/exposure/credential"
	"icewatch/soc/exposure/finding"
	"icewatch/soc/exposure/report"
	"icewatch/soc/reach"
)

//go:embed migrations/*.sql
var migrations embed.FS

//go:embed postgres/*.sql
var postgresMigrations embed.FS

var (
	// ErrNotFound says that there is no such engine, or none in reach.
	ErrNotFound = errors.New("engine: there is no such engine")
	// ErrInvalid says that what is asked makes no sense.
	ErrInvalid = errors.New("engine: invalid")
	// ErrAway says that the engine did not do what was asked, and why.
	ErrAway = errors.New("engine: it did not answer as it should")
)

// Kinds of engines.
const (
	Nessus    = "nessus"    // Nessus, Tenable Security Center's and Tenable.io's scan API
	Greenbone = "greenbone" // GMP over TLS
	HTTP      = "http"      // paths and a mapping
)

// States of a connection.
const (
	Unchecked = "unchecked"
	OK        = "ok"
	Failing   = "failing"
)

// EngineDraft is what people say of an engine. Secrets are given and never told again.
type EngineDraft struct {
	Tenant   string `json:"tenant" minLength:"1" maxLength:"63" doc:"Whose is what the CMDB does not know"`
	Name     string `json:"name" minLength:"1" maxLength:"200"`
	Kind     string `json:"kind" enum:"nessus,greenbone,http"`
	URL      string `json:"url" minLength:"1" maxLength:"1000" doc:"https://host:8834; of Greenbone tls://host:9390"`
	Jump     string `json:"jump_url,omitempty" maxLength:"1000" doc:"The engine's own console, for people"`
	Zone     string `json:"zone,omitempty" maxLength:"200" doc:"Network zone of the addresses that it reports"`
	CA       string `json:"ca,omitempty" maxLength:"65536" doc:"PEM of who signed its certificate; the system's authorities where empty"`
	User     string `json:"user,omitempty" maxLength:"200" doc:"Of Greenbone; of Nessus the access key; of HTTP the name of the header, Authorization where empty"`
	Secret   string `json:"secret,omitempty" maxLength:"4096" doc:"Password, secret key, or the header's value; only written. One that is left out stays"`
	Scan     string `json:"scan,omitempty" maxLength:"200" doc:"Id of the engine's scan or task that cron launches; of HTTP what {scan} stands for in paths"`
	Cron     string `json:"cron,omitempty" maxLength:"100" doc:"Launch it then, by Shanghai's clock, and fetch the report once it is through; by hand alone where empty"`
	Check    string `json:"check_path,omitempty" maxLength:"500" doc:"Of HTTP: answers with 2xx when all is well"`
	Launch   string `json:"launch_path,omitempty" maxLength:"500" doc:"Of HTTP: a POST begins the scan"`
	Status   string `json:"status_path,omitempty" maxLength:"500" doc:"Of HTTP: tells how the scan fares; done once its text has done_text"`
	DoneText string `json:"done_text,omitempty" maxLength:"200"`
	Report   string `json:"report_path,omitempty" maxLength:"500" doc:"Of HTTP: the report"`
	Format   string `json:"format,omitempty" enum:"nessus,openvas,nuclei,nmap,sarif,csv,xlsx," doc:"Of HTTP's report"`
	Mapping  string `json:"mapping,omitempty" maxLength:"4000" doc:"Of a table: a JSON object of field and column heading"`
	Disabled bool   `json:"disabled,omitempty"`
}

// Engine is an engine with how its connection fares.
type Engine struct {
	EngineDraft
	ID        string    `json:"id"`
	Held      bool      `json:"secret_held" doc:"There is a secret"`
	State     string    `json:"state" enum:"unchecked,ok,failing"`
	Error     string    `json:"error,omitempty"`
	Version   string    `json:"version,omitempty"`
	CheckedAt time.Time `json:"checked_at,omitzero"`
	Launched  time.Time `json:"launched_at,omitzero"`
	Pending   bool      `json:"pending,omitempty" doc:"Its report is fetched once it is through"`
	Fetched   time.Time `json:"fetched_at,omitzero"`
	New       int       `json:"new_findings" doc:"Of the last report"`
	Again     int       `json:"known_findings"`
	Change    string    `json:"change,omitempty" doc:"What undo of findings names"`
	UpdatedAt time.Time `json:"updated_at"`
	UpdatedBy string    `json:"updated_by"`
}

// EngineScan is a scan that an engine knows.
type EngineScan struct {
	ID       string    `json:"id"`
	Name     string    `json:"name"`
	State    string    `json:"state" doc:"By the engine's own word"`
	Done     bool      `json:"done" doc:"There is a report to fetch"`
	Finished time.Time `json:"finished_at,omitzero"`
}

// driver speaks to one kind of engine.
type driver interface {
	// check tests the connection and the login, and answers the engine's version.
	check(ctx context.Context) (version string, err error)
	scans(ctx context.Context) ([]EngineScan, error)
	launch(ctx context.Context, scan string) error
	// fetch answers the report of a scan, and its format.
	fetch(ctx context.Context, scan string) (data []byte, format string, err error)
}

// maxReport bounds a report in bytes.
const maxReport = 256 << 20

// Bounds.
const (
	maxEngines = 200
	checkEvery = 5 * time.Minute
	askTime    = 30 * time.Second
)

type row struct {
	bun.BaseModel `bun:"table:exposure_engines"`
	ID            string `bun:"id,pk"`
	Tenant        string `bun:"tenant"`
	Doc           string `bun:"doc"`
}

// Deps is what the room needs of others.
type Deps struct {
	Database *cmdb.Database
	Secrets  *credential.Store
	Egress   *egress.Guard
	Findings *finding.Service
	Log      *slog.Logger
	Now      func() time.Time
}

// Service keeps the engines. It is safe for concurrent use; Run checks connections and
// follows schedules.
type Service struct {
	Deps
	changing sync.Mutex
	mu       sync.Mutex
	engines  map[string]*Engine
}

// Open brings the table up to date and reads the engines.
func Open(ctx context.Context, d Deps) (*Service, error) {
	if d.Log == nil {
		d.Log = slog.Default()
	}
	if d.Now == nil {
		d.Now = time.Now
	}
	if err := d.Database.Migrate(ctx, "exposure_engines", migrations, postgresMigrations); err != nil {
		return nil, fmt.Errorf("engine: %w", err)
	}
	s := &Service{Deps: d, engines: map[string]*Engine{}}
	var rows []row
	if err := d.Database.NewSelect().Model(&rows).Scan(ctx); err != nil {
		return nil, fmt.Errorf("engine: read engines: %w", err)
	}
	for _, r := range rows {
		e := &Engine{}
		if err := json.Unmarshal([]byte(r.Doc), e); err != nil {
			return nil, fmt.Errorf("engine: %s cannot be read: %w", r.ID, err)
		}
		s.engines[r.ID] = e
	}
	return s, nil
}

func (s *Service) now() time.Time { return s.Now().UTC().Truncate(time.Millisecond) }

type secret struct {
	Secret string `json:"secret"`
}

func secretID(id string) string { return "engine-" + id }

func (s *Service) held(id string) string {
	var x secret
	if ok, err := s.Secrets.Get(secretID(id), &x); err != nil || !ok {
		return ""
	}
	return x.Secret
}

func (d *EngineDraft) check() error {
	bad := func(format string, args ...any) error {
		return fmt.Errorf("%w: %w", ErrInvalid, fmt.Errorf(format, args...))
	}
	u, err := url.Parse(d.URL)
	scheme := "https"
	if d.Kind == Greenbone {
		scheme = "tls"
	}
	switch {
	case strings.TrimSpace(d.Name) == "":
		return bad("name: it is missing")
	case !slices.Contains([]string{Nessus, Greenbone, HTTP}, d.Kind):
		return bad("kind: there is no %q", d.Kind)
	case err != nil || u.Scheme != scheme || u.Hostname() == "" || u.User != nil:
		return bad("url: want %s://host:port, without a password", scheme)
	case d.Kind == HTTP && d.Report == "":
		return bad("report_path: it is missing")
	case d.Cron != "" && d.Scan == "" && d.Kind != HTTP:
		return bad("scan: cron needs to know which scan to launch")
	}
	for name, p := range map[string]string{"check_path": d.Check, "launch_path": d.Launch, "status_path": d.Status, "report_path": d.Report} {
		if p != "" && !strings.HasPrefix(p, "/") {
			return bad("%s: want a path that begins with /", name)
		}
	}
	if d.Jump != "" {
		if j, err := url.Parse(d.Jump); err != nil || j.Scheme != "https" && j.Scheme != "http" || j.Hostname() == "" {
			return bad("jump_url: want a URL of http or https")
		}
	}
	if d.CA != "" && !x509.NewCertPool().AppendCertsFromPEM([]byte(d.CA)) {
		return bad("ca: it holds no certificate in PEM")
	}
	if d.Cron != "" {
		if _, err := cron.ParseStandard(d.Cron); err != nil {
			return bad("cron: %q is no time such as \"30 2 * * *\": %w", d.Cron, err)
		}
	}
	if d.Mapping != "" {
		var m report.Mapping
		if err := json.Unmarshal([]byte(d.Mapping), &m); err != nil {
			return bad("mapping: it is no JSON object of texts")
		}
	}
	return nil
}

// driver makes what speaks to an engine.
func (s *Service) driver(e *Engine) (driver, error) {
	var roots *x509.CertPool
	if e.CA != "" {
		roots = x509.NewCertPool()
		roots.AppendCertsFromPEM([]byte(e.CA))
	}
	switch e.Kind {
	case Greenbone:
		return &gmp{address: e.URL, roots: roots, user: e.User, password: s.held(e.ID), dial: s.Egress.Dialer(10 * time.Second)}, nil
	case Nessus:
		return &nessus{rest{base: strings.TrimRight(e.URL, "/"), client: s.Egress.ClientTrusting(2*time.Minute, roots), header: "X-ApiKeys", value: "accessKey=" + e.User + "; secretKey=" + s.held(e.ID)}}, nil
	case HTTP:
		return &generic{rest{base: strings.TrimRight(e.URL, "/"), client: s.Egress.ClientTrusting(2*time.Minute, roots), header: cmp.Or(e.User, "Authorization"), value: s.held(e.ID)}, &e.EngineDraft}, nil
	}
	return nil, fmt.Errorf("%w: kind %q", ErrInvalid, e.Kind)
}

func (s *Service) get(r reach.Reach, id string) (Engine, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.engines[id]
	if e == nil || !r.CoversWhole(e.Tenant) {
		return Engine{}, ErrNotFound
	}
	return *e, nil
}

// List lists the engines in reach by name.
func (s *Service) List(r reach.Reach) []Engine {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := []Engine{}
	for _, e := range s.engines {
		if r.CoversWhole(e.Tenant) {
			out = append(out, *e)
		}
	}
	slices.SortFunc(out, func(a, b Engine) int { return cmp.Or(strings.Compare(a.Name, b.Name), strings.Compare(a.ID, b.ID)) })
	return out
}

// put keeps an engine. s.changing is held.
func (s *Service) put(ctx context.Context, e Engine) error {
	doc, err := json.Marshal(e)
	if err != nil {
		return fmt.Errorf("engine: %w", err)
	}
	r := row{ID: e.ID, Tenant: e.Tenant, Doc: string(doc)}
	if err := s.Database.Change(ctx, func(ctx context.Context, tx bun.Tx) error {
		_, err := tx.NewInsert().Model(&r).On("CONFLICT (id) DO UPDATE").Set("tenant = EXCLUDED.tenant").Set("doc = EXCLUDED.doc").Exec(ctx)
		return err
	}); err != nil {
		return fmt.Errorf("engine: keep an engine: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.engines[e.ID] = &e
	return nil
}

// alter changes what is known of an engine that is still there.
func (s *Service) alter(ctx context.Context, id string, f func(e *Engine)) (Engine, error) {
	s.changing.Lock()
	defer s.changing.Unlock()
	e, err := s.get(reach.All(), id)
	if err != nil {
		return e, err
	}
	f(&e)
	return e, s.put(ctx, e)
}

// Put makes an engine, or changes the one of an id. The secret stays only while it goes
// to the same place.
func (s *Service) Put(ctx context.Context, r reach.Reach, actor, id string, d EngineDraft) (Engine, error) {
	if !r.CoversWhole(d.Tenant) {
		return Engine{}, fmt.Errorf("%w: tenant: %q is not within your reach as a whole", ErrInvalid, d.Tenant)
	}
	if err := d.check(); err != nil {
		return Engine{}, err
	}
	s.changing.Lock()
	defer s.changing.Unlock()
	e := Engine{State: Unchecked}
	if id != "" {
		had, err := s.get(r, id)
		if err != nil {
			return e, err
		}
		e = had
		if d.Secret == "" && e.Held && (e.URL != d.URL || e.Kind != d.Kind || e.User != d.User || e.CA != d.CA) {
			return e, fmt.Errorf("%w: secret: give it anew: it would go to another place or for another user", ErrInvalid)
		}
	} else {
		s.mu.Lock()
		n := len(s.engines)
		s.mu.Unlock()
		if n >= maxEngines {
			return e, fmt.Errorf("%w: there are %d engines, the most there may be", ErrInvalid, n)
		}
		e.ID = roster.NewID(s.now())
	}
	if d.Secret != "" {
		if err := s.Secrets.Set(ctx, secretID(e.ID), secret{d.Secret}); err != nil {
			return e, err
		}
		e.Held = true
	}
	d.Secret = ""
	e.EngineDraft, e.State, e.Error, e.CheckedAt, e.UpdatedAt, e.UpdatedBy = d, Unchecked, "", time.Time{}, s.now(), actor
	return e, s.put(ctx, e)
}

// Delete deletes an engine. Its findings stay.
func (s *Service) Delete(ctx context.Context, r reach.Reach, id string) error {
	s.changing.Lock()
	defer s.changing.Unlock()
	if _, err := s.get(r, id); err != nil {
		return err
	}
	if err := s.Database.Change(ctx, func(ctx context.Context, tx bun.Tx) error {
		_, err := tx.NewDelete().Model((*row)(nil)).Where("id = ?", id).Exec(ctx)
		return err
	}); err != nil {
		return fmt.Errorf("engine: delete an engine: %w", err)
	}
	if err := s.Secrets.Set(ctx, secretID(id), nil); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.engines, id)
	return nil
}

// Check tests an engine's connection and keeps how it fares.
func (s *Service) Check(ctx context.Context, r reach.Reach, id string) (Engine, error) {
	e, err := s.get(r, id)
	if err != nil {
		return e, err
	}
	d, err := s.driver(&e)
	if err != nil {
		return e, err
	}
	asking, cancel := context.WithTimeout(ctx, askTime)
	version, failed := d.check(asking)
	cancel()
	if ctx.Err() != nil {
		return e, ctx.Err()
	}
	return s.alter(ctx, id, func(e *Engine) {
		e.CheckedAt, e.State, e.Error = s.now(), OK, ""
		if failed != nil {
			e.State, e.Error = Failing, clip(failed.Error(), 1000)
			return
		}
		e.Version = clip(version, 100)
	})
}

// Scans lists the scans that an engine knows.
func (s *Service) Scans(ctx context.Context, r reach.Reach, id string) ([]EngineScan, error) {
	e, err := s.get(r, id)
	if err != nil {
		return nil, err
	}
	d, err := s.driver(&e)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	return d.scans(ctx)
}

// Launch begins a scan of an engine; its report is fetched once it is through.
func (s *Service) Launch(ctx context.Context, r reach.Reach, id, scan string) (Engine, error) {
	e, err := s.get(r, id)
	if err != nil {
		return e, err
	}
	scan = cmp.Or(scan, e.Scan)
	if scan == "" && e.Kind != HTTP {
		return e, fmt.Errorf("%w: scan: say which one", ErrInvalid)
	}
	d, err := s.driver(&e)
	if err != nil {
		return e, err
	}
	at := s.now()
	asking, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	if err := d.launch(asking, scan); err != nil {
		return e, err
	}
	return s.alter(ctx, id, func(e *Engine) { e.Launched, e.Pending, e.Scan = at, true, scan })
}

// Fetch fetches the report of a scan and takes its findings in.
func (s *Service) Fetch(ctx context.Context, r reach.Reach, actor, id, scan string) (Engine, error) {
	e, err := s.get(r, id)
	if err != nil {
		return e, err
	}
	d, err := s.driver(&e)
	if err != nil {
		return e, err
	}
	scan = cmp.Or(scan, e.Scan)
	if scan == "" && e.Kind != HTTP {
		return e, fmt.Errorf("%w: scan: say which one", ErrInvalid)
	}
	asking, cancel := context.WithTimeout(ctx, 10*time.Minute)
	defer cancel()
	data, format, err := d.fetch(asking, scan)
	if err != nil {
		return e, err
	}
	o := report.Options{Format: format, Zone: e.Zone, Engine: e.Name}
	if e.Mapping != "" {
		if err := json.Unmarshal([]byte(e.Mapping), &o.Mapping); err != nil {
			return e, fmt.Errorf("%w: mapping: %w", ErrInvalid, err)
		}
	}
	got, err := report.Read(ctx, data, o)
	if err != nil {
		return e, fmt.Errorf("%w: its report: %w", ErrAway, err)
	}
	taken, err := s.Findings.Take(ctx, got.Sightings, finding.Take{Within: reach.Tenants(e.Tenant), Actor: cmp.Or(actor, "engine "+e.Name), Tenant: e.Tenant, Engine: got.Engine})
	if err != nil {
		return e, err
	}
	return s.alter(ctx, id, func(e *Engine) {
		e.Fetched, e.Pending, e.New, e.Again, e.Change = s.now(), false, taken.New, taken.Again, taken.Change
	})
}

// Run checks connections and follows schedules until ctx ends.
func (s *Service) Run(ctx context.Context) {
	tick := time.NewTicker(30 * time.Second)
	defer tick.Stop()
	for {
		s.Step(ctx)
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// Step does what Run does, once.
func (s *Service) Step(ctx context.Context) {
	now := s.now()
	for _, e := range s.List(reach.All()) {
		if e.Disabled || ctx.Err() != nil {
			continue
		}
		if now.Sub(e.CheckedAt) >= checkEvery {
			if _, err := s.Check(ctx, reach.All(), e.ID); err != nil && ctx.Err() == nil && !errors.Is(err, ErrNotFound) {
				s.Log.Error("engine: how a connection fares could not be kept", "engine", e.ID, "error", err)
			}
		}
		var err error
		switch {
		case e.Pending:
			err = s.fetchDone(ctx, e)
		case s.due(&e, now):
			_, err = s.Launch(ctx, reach.All(), e.ID, "")
			if err != nil {
				// It is launched at the next time, not every half minute.
				_, _ = s.alter(ctx, e.ID, func(e *Engine) { e.Launched = now })
			}
		}
		if err != nil && ctx.Err() == nil {
			s.Log.Warn("engine: it does not do what its schedule says", "engine", e.Name, "error", err)
			_, _ = s.alter(ctx, e.ID, func(e *Engine) { e.Error = clip(err.Error(), 1000) })
		}
	}
}

func (s *Service) due(e *Engine, now time.Time) bool {
	if e.Cron == "" {
		return false
	}
	when, err := cron.ParseStandard(e.Cron)
	if err != nil {
		return false
	}
	zone, err := time.LoadLocation("Asia/Shanghai")
	if err != nil {
		zone = time.UTC
	}
	from := e.UpdatedAt
	if e.Launched.After(from) {
		from = e.Launched
	}
	at := when.Next(from.In(zone))
	return !at.IsZero() && !at.After(now)
}

// fetchDone fetches the report of a scan that was launched, once it is through.
func (s *Service) fetchDone(ctx context.Context, e Engine) error {
	list, err := s.Scans(ctx, reach.All(), e.ID)
	if err != nil {
		return err
	}
	at := slices.IndexFunc(list, func(x EngineScan) bool { return x.ID == e.Scan || e.Kind == HTTP })
	if at < 0 {
		return fmt.Errorf("%w: it knows no scan %q any more", ErrAway, e.Scan)
	}
	if x := list[at]; !x.Done || !x.Finished.IsZero() && x.Finished.Before(e.Launched.Add(-time.Minute)) {
		return nil // not yet
	}
	_, err = s.Fetch(ctx, reach.All(), "", e.ID, e.Scan)
	return err
}

func clip(s string, n int) string {
	if len(s) > n {
		s = s[:n]
	}
	return strings.ToValidUTF8(s, "\uFFFD")
}

func away(format string, args ...any) error {
	return fmt.Errorf("%w: %w", ErrAway, fmt.Errorf(format, args...))
}

// said is what an HTTP server answered in place of success.
func said(resp *http.Response, body []byte) error {
	text := strings.Join(strings.Fields(clip(string(body), 200)), " ")
	switch resp.StatusCode {
	case http.StatusUnauthorized, http.StatusForbidden:
		return away("the keys are refused: %s %s", resp.Status, text)
	}
	return away("%s %s: %s %s", resp.Request.Method, resp.Request.URL.Path, resp.Status, text)
}
