// Package installed judges what is installed by the library of vulnerabilities: the
// packages of hosts that agents list, and the databases and middleware of the CMDB that
// have a product and a version. What agents found of the configuration baseline becomes
// findings too.
//
// It does so in the background, one host at a time, when an inventory is new or the
// library has changed. What a host is affected by becomes findings of the engine
// icewatch-inventory; what it is affected by no longer is closed by itself.
package installed

import (
	"cmp"
	"context"
	"embed"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/uptrace/bun"

	"icewatch/cmdb"
	"icewatch/collectors/fleet/wire"
	"icewatch/soc/exposure/baseline"
	"icewatch/soc/exposure/finding"
	"icewatch/soc/exposure/library"
	"icewatch/soc/exposure/version"
	"icewatch/soc/reach"
)

//go:embed migrations/*.sql
var migrations embed.FS

//go:embed postgres/*.sql
var postgresMigrations embed.FS

// Engine is what findings of inventories are reported by.
const Engine = "icewatch-inventory"

const (
	pause    = 30 * time.Second // between rounds
	again    = time.Hour        // after which a failed one is tried again
	maxCache = 300_000          // hits of the library that a round holds
	enough   = 20               // packages of which a library with data of their distribution knows something
)

// Host is a host whose packages are known.
type Host struct {
	ID      string // of its agent
	Tenant  string
	Item    string // of the CMDB, "" where it has none
	Name    string
	Zone    string
	Address string
	System  version.System
	Kernel  string // release of the one that runs, as uname -r has it
	Taken   time.Time
}

// Inventory is what a host's agent listed.
type Inventory struct {
	Packages []version.Package
	Baseline []wire.BaselineCheck // the configuration held against the baseline
}

// Product is software or a device that the CMDB knows with its version.
type Product struct {
	Item, Tenant, Name       string
	Host                     string // item that it runs on, "" where it is not known
	Vendor, Product, Version string
}

// Deps is what the room needs of others.
type Deps struct {
	Hosts     func(ctx context.Context) ([]Host, error)
	Inventory func(ctx context.Context, host string) (Inventory, error)
	// Products lists those of the CMDB; optional.
	Products func(ctx context.Context) ([]Product, error)
	Library  interface {
		version.Known
		Stamp(ctx context.Context) (stamp string, busy bool, err error)
	}
	Findings interface {
		Take(ctx context.Context, list []finding.Sighting, how finding.Take) (finding.Taken, error)
	}
	Log   *slog.Logger
	Clock func() time.Time
}

// Service judges. It is safe for concurrent use.
type Service struct {
	db *cmdb.Database
	Deps

	mu      sync.Mutex
	waiting map[string]int // tenant → hosts and products that are to be judged
}

type row struct {
	bun.BaseModel `bun:"table:exposure_installed,alias:j"`
	ID            string `bun:"id,pk"`
	Tenant        string `bun:"tenant"`
	Item          string `bun:"item"`
	Name          string `bun:"name"`
	Platform      string `bun:"platform"`
	Mark          string `bun:"mark"`
	JudgedAt      int64  `bun:"judged_at"`
	Packages      int    `bun:"packages"`
	Findings      int    `bun:"findings"`
	Covered       int    `bun:"covered"`
	Passed        int    `bun:"passed"`
	Failed        int    `bun:"failed"`
	Unread        int    `bun:"unread"`
	Error         string `bun:"error"`
}

// Open brings the table up to date. It is kept beside the CMDB's items.
func Open(ctx context.Context, db *cmdb.Database, d Deps) (*Service, error) {
	if d.Hosts == nil || d.Inventory == nil || d.Library == nil || d.Findings == nil {
		return nil, errors.New("installed: open: Hosts, Inventory, Library and Findings are required")
	}
	if d.Log == nil {
		d.Log = slog.Default()
	}
	if d.Clock == nil {
		d.Clock = time.Now
	}
	if err := db.Migrate(ctx, "exposure_installed", migrations, postgresMigrations); err != nil {
		return nil, fmt.Errorf("installed: %w", err)
	}
	return &Service{db: db, Deps: d, waiting: map[string]int{}}, nil
}

func (s *Service) now() time.Time { return s.Clock().UTC().Truncate(time.Millisecond) }

// Run judges until ctx ends.
func (s *Service) Run(ctx context.Context) {
	for {
		if _, err := s.Round(ctx); err != nil && ctx.Err() == nil {
			s.Log.Error("installed: inventories are not judged; it is tried again", "error", err)
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return
		}
	}
}

// subject is something to be judged.
type subject struct {
	row
	host    *Host
	product *Product
}

// Round judges what is new, and forgets what is gone. It answers how many were judged.
func (s *Service) Round(ctx context.Context) (int, error) {
	stamp, busy, err := s.Library.Stamp(ctx)
	if err != nil {
		return 0, err
	}
	list, err := s.subjects(ctx, stamp)
	if err != nil {
		return 0, err
	}
	var had []row
	if err := s.db.NewSelect().Model(&had).Scan(ctx); err != nil {
		return 0, fmt.Errorf("installed: what was judged: %w", err)
	}
	old := make(map[string]row, len(had))
	for _, r := range had {
		old[r.ID] = r
	}
	now := s.now()
	var todo []*subject
	for i := range list {
		x := &list[i]
		was, ok := old[x.ID]
		delete(old, x.ID)
		switch {
		case ok && was.Mark == x.Mark && (was.Error == "" || now.Sub(time.UnixMilli(was.JudgedAt)) < again):
		case ok && busy && sameInventory(was.Mark, x.Mark):
			// The library is being written to: it is judged by it when that has ended.
		default:
			todo = append(todo, x)
		}
	}
	if err := s.forget(ctx, old); err != nil {
		return 0, err
	}
	s.await(todo)
	known := &cache{known: s.Library, has: map[string][]library.Hit{}}
	n := 0
	for i, x := range todo {
		if ctx.Err() != nil {
			return n, ctx.Err()
		}
		s.judge(ctx, known, x)
		if _, err := s.db.NewInsert().Model(&x.row).On("CONFLICT (id) DO UPDATE").Set("tenant = EXCLUDED.tenant, item = EXCLUDED.item, name = EXCLUDED.name, platform = EXCLUDED.platform, mark = EXCLUDED.mark, judged_at = EXCLUDED.judged_at").
			Set("packages = EXCLUDED.packages, findings = EXCLUDED.findings, covered = EXCLUDED.covered, error = EXCLUDED.error, passed = EXCLUDED.passed, failed = EXCLUDED.failed, unread = EXCLUDED.unread").Exec(ctx); err != nil {
			return n, fmt.Errorf("installed: keep that %s was judged: %w", x.Name, err)
		}
		n++
		s.await(todo[i+1:])
	}
	return n, nil
}

// sameInventory tells whether two marks are of one inventory.
func sameInventory(a, b string) bool {
	cut := func(s string) string {
		for i := range len(s) {
			if s[i] == '|' {
				return s[:i]
			}
		}
		return s
	}
	return cut(a) == cut(b)
}

func (s *Service) await(todo []*subject) {
	n := map[string]int{}
	for _, x := range todo {
		n[x.Tenant]++
	}
	s.mu.Lock()
	s.waiting = n
	s.mu.Unlock()
}

// subjects lists all that can be judged.
func (s *Service) subjects(ctx context.Context, stamp string) ([]subject, error) {
	hosts, err := s.Hosts(ctx)
	if err != nil {
		return nil, fmt.Errorf("installed: list hosts: %w", err)
	}
	var out []subject
	covered, agents := map[string]bool{}, map[string]bool{}
	for i := range hosts {
		h := &hosts[i]
		agents[h.Item] = true
		covered[h.Item] = covered[h.Item] || h.Item != "" && h.System.Covered()
		platform := h.System.Platform + " " + h.System.Release
		out = append(out, subject{host: h, row: row{ID: h.ID, Tenant: h.Tenant, Item: h.Item, Name: h.Name, Platform: platform, Mark: strconv.FormatInt(h.Taken.UnixMilli(), 10) + " " + h.Item + " " + platform + "|" + stamp}})
	}
	if s.Products == nil {
		return out, nil
	}
	products, err := s.Products(ctx)
	if err != nil {
		return nil, fmt.Errorf("installed: list products: %w", err)
	}
	for i := range products {
		p := &products[i]
		// What a distribution's packages judge better is left to them: they know of
		// repairs that were brought back.
		if covered[p.Host] || agents[p.Item] {
			continue
		}
		vendor, product, v, ok := known(p.Vendor, p.Product, p.Version)
		if !ok {
			continue
		}
		p.Vendor, p.Product, p.Version = vendor, product, v
		text := vendor + " " + product + " " + v
		out = append(out, subject{product: p, row: row{ID: "item:" + p.Item, Tenant: p.Tenant, Item: p.Item, Name: p.Name, Platform: text, Packages: 1, Covered: 1, Mark: text + "|" + stamp}})
	}
	slices.SortFunc(out, func(a, b subject) int { return cmp.Compare(a.ID, b.ID) })
	return out, nil
}

// forget drops what is no longer known, and closes what was found of it: a product of
// the CMDB that is gone or has no version now. What was found on a host whose agent is
// gone stays: nobody says that it was repaired.
func (s *Service) forget(ctx context.Context, gone map[string]row) error {
	for id, was := range gone {
		if was.Item != "" && id == "item:"+was.Item && was.Findings > 0 {
			if _, err := s.Findings.Take(ctx, nil, finding.Take{Within: reach.All(), Actor: Engine, Tenant: was.Tenant, Engine: Engine, Sure: true, Quiet: true, Complete: []finding.Place{{Item: was.Item}}}); err != nil {
				return err
			}
		}
		if _, err := s.db.NewDelete().Table("exposure_installed").Where("id = ?", id).Exec(ctx); err != nil {
			return fmt.Errorf("installed: forget %s: %w", id, err)
		}
	}
	return nil
}

// judge judges one and writes into its row what came of it.
func (s *Service) judge(ctx context.Context, known version.Known, x *subject) {
	x.JudgedAt, x.Error = s.now().UnixMilli(), ""
	err := func() error {
		how := finding.Take{Within: reach.All(), Actor: Engine, Tenant: x.Tenant, Engine: Engine, Sure: true, Quiet: true}
		at := finding.Sighting{Tenant: x.Tenant, Item: x.Item}
		var verdicts []version.Verdict
		var err error
		if h := x.host; h != nil {
			at.Zone, at.Address, at.Host, at.At = h.Zone, h.Address, h.Name, h.Taken
			inv, e := s.Inventory(ctx, h.ID)
			if e != nil {
				return e
			}
			if e := s.configuration(ctx, x, at, inv.Baseline); e != nil {
				return e
			}
			list := inv.Packages
			x.Packages = len(list)
			if !h.System.Covered() || h.System.Release == "" {
				return nil
			}
			x.Covered = 1
			if len(list) == 0 {
				return nil // not read: that says nothing of what was found before
			}
			verdicts, err = version.Judge(ctx, known, h.System, running(h.Kernel, list))
			if len(verdicts) == 0 && len(list) >= enough {
				// Nothing at all of so many packages: the library has no data of this release.
				x.Covered = 0
				return err
			}
		} else {
			at.At = s.now()
			verdicts, err = version.Product(ctx, known, x.product.Vendor, x.product.Product, x.product.Version)
		}
		if err != nil {
			return err
		}
		list := sightings(at, verdicts)
		how.Complete = []finding.Place{{Zone: at.Zone, Host: cmp.Or(at.Address, at.Host), Item: at.Item}}
		x.Findings = len(list)
		_, err = s.Findings.Take(ctx, list, how)
		return err
	}()
	if err != nil {
		x.Error = clip(err.Error(), 500)
		if ctx.Err() == nil {
			s.Log.Warn("installed: a host or product is not judged", "of", x.Name, "tenant", x.Tenant, "error", err)
		}
	}
}

// configuration makes findings of where a host does not meet the baseline. An agent
// that sent nothing of it did not look.
func (s *Service) configuration(ctx context.Context, x *subject, at finding.Sighting, results []wire.BaselineCheck) error {
	if len(results) == 0 {
		return nil
	}
	list, unsure, score := baseline.Judge(at, results)
	x.Passed, x.Failed, x.Unread = score.Passed, score.Failed, score.Unknown
	_, err := s.Findings.Take(ctx, list, finding.Take{Within: reach.All(), Actor: baseline.Engine, Tenant: x.Tenant, Engine: baseline.Engine, Sure: true, Quiet: true, Unsure: unsure,
		Complete: []finding.Place{{Zone: at.Zone, Host: cmp.Or(at.Address, at.Host), Item: at.Item}}})
	return err
}

func clip(s string, n int) string {
	if r := []rune(s); len(r) > n {
		return string(r[:n])
	}
	return s
}

// cache remembers within a round what the library knows of a package, since hosts have
// much in common.
type cache struct {
	known version.Known
	has   map[string][]library.Hit
	n     int
}

// Of implements version.Known.
func (c *cache) Of(ctx context.Context, packages []string) ([]library.Hit, error) {
	var ask []string
	var out []library.Hit
	for _, p := range packages {
		if hits, ok := c.has[p]; ok {
			out = append(out, hits...)
		} else {
			ask = append(ask, p)
		}
	}
	if len(ask) == 0 {
		return out, nil
	}
	hits, err := c.known.Of(ctx, ask)
	if err != nil {
		return nil, err
	}
	if c.n+len(hits) > maxCache {
		c.has, c.n = map[string][]library.Hit{}, 0
	}
	for _, p := range ask {
		c.has[p] = nil
	}
	for _, h := range hits {
		c.has[h.Package] = append(c.has[h.Package], h)
	}
	c.n += len(hits)
	return append(out, hits...), nil
}

// JudgedHost is a host or product, and how it was judged.
type JudgedHost struct {
	ID       string         `json:"id" doc:"Of the agent; item: and the id of a product of the CMDB"`
	Tenant   string         `json:"tenant"`
	Item     string         `json:"item,omitempty" doc:"Of the CMDB"`
	Name     string         `json:"name"`
	Platform string         `json:"platform" doc:"Distribution and release, or product and version"`
	Judged   time.Time      `json:"judged_at"`
	Packages int            `json:"packages"`
	Findings int            `json:"findings" doc:"Vulnerabilities that it is affected by"`
	Covered  bool           `json:"covered" doc:"There are data to judge it by"`
	Baseline baseline.Score `json:"baseline" doc:"The configuration held against the baseline"`
	Error    string         `json:"error,omitempty"`
}

// InventoryJudgement is how far inventories are judged.
type InventoryJudgement struct {
	Hosts     int          `json:"hosts" doc:"Hosts and products within reach that were judged"`
	Waiting   int          `json:"waiting" doc:"Of which there is something new to judge"`
	Uncovered int          `json:"uncovered" doc:"Whose distribution has no data to judge by"`
	Failed    int          `json:"failed"`
	Packages  int          `json:"packages"`
	Items     []JudgedHost `json:"items" nullable:"false" doc:"Failed ones first, then uncovered ones, then by findings; at most 500"`
}

// Judgement tells how far inventories of tenants that are wholly within reach are judged.
func (s *Service) Judgement(ctx context.Context, r reach.Reach) (InventoryJudgement, error) {
	out := InventoryJudgement{Items: []JudgedHost{}}
	var rows []row
	if err := s.db.NewSelect().Model(&rows).OrderExpr("CASE WHEN j.error <> '' THEN 0 WHEN j.covered = 0 THEN 1 ELSE 2 END, j.findings DESC, j.name, j.id").Scan(ctx); err != nil {
		return out, fmt.Errorf("installed: what was judged: %w", err)
	}
	for i := range rows {
		x := &rows[i]
		if !r.Everything() && !r.CoversWhole(x.Tenant) {
			continue
		}
		out.Hosts++
		out.Packages += x.Packages
		switch {
		case x.Error != "":
			out.Failed++
		case x.Covered == 0:
			out.Uncovered++
		}
		if len(out.Items) < 500 {
			out.Items = append(out.Items, JudgedHost{ID: x.ID, Tenant: x.Tenant, Item: x.Item, Name: x.Name, Platform: x.Platform, Judged: time.UnixMilli(x.JudgedAt).UTC(), Packages: x.Packages, Findings: x.Findings, Covered: x.Covered != 0, Baseline: baseline.Score{Passed: x.Passed, Failed: x.Failed, Unknown: x.Unread}, Error: x.Error})
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for tenant, n := range s.waiting {
		if r.Everything() || r.CoversWhole(tenant) {
			out.Waiting += n
		}
	}
	return out, nil
}
