package scan

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/uptrace/bun"

	"icewatch/cmdb"
	"icewatch/collectors/fleet/roster"
	"icewatch/collectors/scanner/wire"
	"icewatch/soc/exposure/finding"
	"icewatch/soc/exposure/scope"
	"icewatch/soc/reach"
)

// ScanProgress counts what a scanner has done, durably, by its own word.
type ScanProgress struct {
	Stage       string `json:"stage,omitempty" doc:"discover, check or deep"`
	HostsDone   int64  `json:"hosts_done"`
	HostsTotal  int64  `json:"hosts_total"`
	ProbesDone  int64  `json:"probes_done"`
	ProbesTotal int64  `json:"probes_total"`
	ChecksDone  int64  `json:"checks_done"`
	ChecksTotal int64  `json:"checks_total" doc:"Grows while services are found"`
	Found       int64  `json:"found" doc:"Hosts that answered"`
	Services    int64  `json:"services"`
	Weaknesses  int64  `json:"weaknesses"`
	Refused     int64  `json:"refused" doc:"Targets and connections outside the approved ranges, which were not made"`
}

func progressOf(p wire.Progress) ScanProgress {
	return ScanProgress{clip(p.Stage, 40), p.HostsDone, p.HostsTotal, p.ProbesDone, p.ProbesTotal, p.ChecksDone, p.ChecksTotal, p.Found, p.Services, p.Weaknesses, p.Refused}
}

// ScanDiscovery is what came of the hosts of a run in the CMDB.
type ScanDiscovery struct {
	Hosts      int      `json:"hosts" doc:"That answered"`
	Known      int      `json:"known" doc:"Items of the CMDB"`
	Created    int      `json:"created"`
	Updated    int      `json:"updated"`
	Offered    int      `json:"offered" doc:"Put into the CMDB's inbox"`
	Software   int      `json:"software" doc:"Databases and middleware that became items"`
	Stale      int      `json:"stale" doc:"Did not answer, as before"`
	Vanished   int      `json:"vanished"`
	Conflicts  int      `json:"conflicts" doc:"Left to people, see the notes"`
	Changes    int      `json:"changes" doc:"Of the surface"`
	Duplicates int      `json:"duplicates,omitempty" doc:"Pairs of items that are one host, left to people"`
	Merged     int      `json:"merged,omitempty" doc:"Pairs of items that were certainly one host and are one item now"`
	Import     int64    `json:"import,omitempty" doc:"Of the CMDB: what undo of imports names"`
	Notes      []string `json:"notes" nullable:"false" doc:"What was left to people, the first 50"`
}

// ScanRun is one scan.
type ScanRun struct {
	ID         string        `json:"id"`
	Task       string        `json:"task,omitempty"`
	Name       string        `json:"name"`
	Kind       string        `json:"kind" enum:"discover,check,retest,deep"`
	Tenant     string        `json:"tenant"`
	Zone       string        `json:"zone"`
	State      string        `json:"state" enum:"waiting,running,paused,cancelling,judging,done,cancelled,expired,failed"`
	Reason     string        `json:"reason,omitempty" doc:"Why it rests or ended"`
	Trigger    string        `json:"trigger" enum:"hand,schedule,retest"`
	By         string        `json:"by,omitempty"`
	Scanner    string        `json:"scanner,omitempty"`
	Wanted     string        `json:"wanted_scanner,omitempty"`
	Label      string        `json:"label,omitempty"`
	PausedBy   string        `json:"paused_by,omitempty"`
	Unknown    string        `json:"unknown,omitempty"`
	Ranges     []string      `json:"ranges" nullable:"false" doc:"That it may touch"`
	Exclusions []string      `json:"exclusions" nullable:"false"`
	Targets    int           `json:"targets" doc:"As written: a range is one"`
	CreatedAt  time.Time     `json:"created_at"`
	StartedAt  time.Time     `json:"started_at,omitzero"`
	EndedAt    time.Time     `json:"ended_at,omitzero"`
	HeardAt    time.Time     `json:"heard_at,omitzero" doc:"When its scanner told of it last"`
	Progress   ScanProgress  `json:"progress"`
	New        int           `json:"new_findings"`
	Again      int           `json:"known_findings"`
	Closed     int           `json:"closed_findings" doc:"Re-tested and gone"`
	Discovery  ScanDiscovery `json:"discovery"`
	Notes      []string      `json:"notes" nullable:"false" doc:"What could not be looked at or taken over, the first 100"`
	EndState   string        `json:"end_state,omitempty" doc:"By the scanner's word, while it is judged"`
}

func (r *ScanRun) note(format string, args ...any) {
	if len(r.Notes) < 100 {
		text := clip(fmt.Sprintf(format, args...), 500)
		if !slices.Contains(r.Notes, text) {
			r.Notes = append(slices.Clone(r.Notes), text)
		}
	}
}

// maxActive is how many runs of a tenant are under way at once.
const maxActive = 100

// Start begins a task now.
func (s *Service) Start(ctx context.Context, r reach.Reach, actor, task string) (ScanRun, error) {
	return s.start(ctx, r, actor, task, "hand")
}

func (s *Service) start(ctx context.Context, r reach.Reach, actor, task, trigger string) (ScanRun, error) {
	s.mu.Lock()
	t := s.tasks[task]
	if t == nil || !r.CoversWhole(t.Tenant) {
		s.mu.Unlock()
		return ScanRun{}, ErrNotFound
	}
	d := *t
	s.mu.Unlock()
	orders := d.orders()
	orders.Targets = slices.Clone(d.Targets)
	if d.Query != "" {
		f := cmdb.Filter{Expression: d.Query, Tenants: []string{d.Tenant}, Limit: 1000}
		for {
			page, err := s.Items.Items(ctx, reach.Tenants(d.Tenant), f)
			if err != nil {
				return ScanRun{}, invalid("query: %w", err)
			}
			for i := range page.Items {
				if cmp.Or(page.Items[i].Zone, cmdb.DefaultZone) == d.Zone {
					orders.Targets = append(orders.Targets, page.Items[i].Addresses...)
				}
			}
			if page.Next == "" || len(orders.Targets) > maxQueried {
				break
			}
			f.Cursor = page.Next
		}
		if len(orders.Targets) == 0 {
			return ScanRun{}, fmt.Errorf("%w: no item of the CMDB that the query finds has an address in the zone %s", ErrConflict, d.Zone)
		}
	}
	if d.Hours > 0 {
		orders.Until = s.now().Add(time.Duration(d.Hours) * time.Hour).Unix()
	}
	x := &run{orders: orders, ScanRun: ScanRun{Task: task, Name: d.Name, Kind: d.Kind, Tenant: d.Tenant, Zone: d.Zone, Trigger: trigger, By: actor, Wanted: d.Scanner, Label: d.Label, Unknown: d.Unknown}}
	return x.ScanRun, s.begin(ctx, x)
}

// begin queues a run, within what is approved.
func (s *Service) begin(ctx context.Context, x *run) error {
	now := s.now()
	g := s.Scope.Of(x.Tenant, x.Zone)
	if len(g.Ranges) == 0 {
		return fmt.Errorf("%w: nothing of the tenant %s in the zone %s is approved for scanning: ask for ranges first", ErrConflict, x.Tenant, x.Zone)
	}
	inside := 0
	for _, t := range x.orders.Targets {
		p, err := scope.Parse(t)
		if err != nil {
			inside++ // a name: the scanner judges each of its addresses
			continue
		}
		if g.Covers(p) || p.IsSingleIP() && g.Allows(p.Addr()) || slices.ContainsFunc(g.Ranges, p.Overlaps) {
			inside++
		} else {
			x.note("%s is not within the approved ranges and is left out", t)
		}
	}
	if len(x.orders.Targets) > 0 && inside == 0 {
		return fmt.Errorf("%w: no target is within the approved ranges of the tenant %s in the zone %s", ErrConflict, x.Tenant, x.Zone)
	}
	x.ID, x.State, x.CreatedAt, x.Targets = roster.NewID(now), Waiting, now, len(x.orders.Targets)
	x.Ranges, x.Exclusions = []string{}, []string{}
	for _, p := range g.Ranges {
		x.Ranges = append(x.Ranges, p.String())
	}
	for _, p := range g.Exclusions {
		x.Exclusions = append(x.Exclusions, p.String())
	}
	if x.Targets == 0 && len(x.orders.Retest) == 0 {
		x.orders.Targets, x.Targets = slices.Clone(x.Ranges), len(x.Ranges)
	}
	if x.Notes == nil {
		x.Notes = []string{}
	}
	x.Discovery.Notes = []string{}
	x.orders.ID = x.ID
	x.orders.Scope = wire.Scope{Ranges: x.Ranges, Exclusions: x.Exclusions, ApprovedBy: g.ApprovedBy, ApprovedAt: g.ApprovedAt.Unix(), Expires: g.Expires.Unix()}
	if err := x.orders.Check(); err != nil {
		return invalid("%w", err)
	}
	s.changing.Lock()
	defer s.changing.Unlock()
	s.mu.Lock()
	n := 0
	for _, o := range s.active {
		if o.Task != "" && o.Task == x.Task {
			s.mu.Unlock()
			return fmt.Errorf("%w: the run %s of this task is not over yet", ErrConflict, o.ID)
		}
		if o.Tenant == x.Tenant {
			n++
		}
	}
	s.mu.Unlock()
	if n >= maxActive {
		return fmt.Errorf("%w: %d runs of the tenant are under way, the most there may be", ErrConflict, n)
	}
	if err := s.keep(ctx, x); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.active[x.ID] = x
	s.tell()
	return nil
}

// Retest has findings looked at again by the check that reported them: a run for each
// tenant and zone. Findings of other engines are refused.
func (s *Service) Retest(ctx context.Context, r reach.Reach, actor string, ids []string) ([]ScanRun, error) {
	if len(ids) == 0 || len(ids) > 1000 {
		return nil, invalid("choose 1 to 1000 findings")
	}
	type place struct{ tenant, zone string }
	runs := map[place]*run{}
	var order []place
	for _, id := range ids {
		f, _, err := s.Findings.Get(ctx, r, id)
		if err != nil {
			return nil, err
		}
		t, err := retestOf(&f)
		if err != nil {
			return nil, err
		}
		k := place{f.Tenant, cmp.Or(f.Zone, cmdb.DefaultZone)}
		x := runs[k]
		if x == nil {
			x = &run{ScanRun: ScanRun{Name: "re-test", Kind: wire.KindRetest, Tenant: k.tenant, Zone: k.zone, Trigger: "retest", By: actor, Unknown: Nothing}, orders: wire.Run{Kind: wire.KindRetest, Tenant: k.tenant, Zone: k.zone, Name: "re-test"}}
			runs[k] = x
			order = append(order, k)
		}
		if g := s.Scope.Of(k.tenant, k.zone); len(g.Ranges) > 0 {
			if a, err := netip.ParseAddr(t.Target); err == nil && !g.Allows(a) {
				return nil, fmt.Errorf("%w: %s of the finding %s is not within the approved ranges of the tenant %s", ErrConflict, t.Target, f.ID, k.tenant)
			}
		}
		x.orders.Retest = append(x.orders.Retest, t)
		if !slices.Contains(x.orders.Targets, t.Target) {
			x.orders.Targets = append(x.orders.Targets, t.Target)
		}
	}
	out := []ScanRun{}
	for _, k := range order {
		if err := s.begin(ctx, runs[k]); err != nil {
			return out, err
		}
		out = append(out, runs[k].ScanRun)
	}
	return out, nil
}

func retestOf(f *finding.Finding) (wire.Retest, error) {
	for _, c := range f.Checks {
		if check, ok := strings.CutPrefix(c, Engine+":"); ok {
			return wire.Retest{Finding: f.ID, Check: check, Target: f.Host, Port: f.Port, Path: f.Path}, nil
		}
	}
	return wire.Retest{}, fmt.Errorf("%w: the finding %s is of %s: only what the suite's own scanner reported can be looked at again by it", ErrConflict, f.ID, strings.Join(f.Engines, ", "))
}

// Cancel ends a run.
func (s *Service) Cancel(ctx context.Context, r reach.Reach, actor, id string) (ScanRun, error) {
	if _, err := s.Get(ctx, r, id); err != nil {
		return ScanRun{}, err
	}
	x, err := s.end(ctx, id, actor, "cancelled by "+actor)
	if err == ErrNotFound {
		err = fmt.Errorf("%w: it is over", ErrConflict)
	}
	return x, err
}

func (s *Service) end(ctx context.Context, id, _, reason string) (ScanRun, error) {
	return s.alter(ctx, id, func(x *run) error {
		switch {
		case x.State == Judging || x.State == Cancelling:
			return fmt.Errorf("%w: it is %s already", ErrConflict, x.State)
		case x.Scanner == "":
			x.State, x.EndedAt = Cancelled, s.now()
		default:
			x.State = Cancelling
		}
		x.Reason = reason
		return nil
	})
}

// Pause lets a run rest, or go on.
func (s *Service) Pause(ctx context.Context, r reach.Reach, actor, id string, pause bool) (ScanRun, error) {
	if _, err := s.Get(ctx, r, id); err != nil {
		return ScanRun{}, err
	}
	x, err := s.alter(ctx, id, func(x *run) error {
		if x.State != Waiting && x.State != Running && x.State != Paused {
			return fmt.Errorf("%w: it is %s", ErrConflict, x.State)
		}
		if x.paused == pause {
			return nil
		}
		x.paused, x.PausedBy = pause, ""
		if pause {
			x.PausedBy, x.State, x.Reason = actor, Paused, "paused by "+actor
		} else if x.State == Paused {
			x.State, x.Reason = Waiting, ""
			if x.Scanner != "" {
				x.State = Running
			}
		}
		return nil
	})
	if err == ErrNotFound {
		err = fmt.Errorf("%w: it is over", ErrConflict)
	}
	return x, err
}

// RunQuestion narrows a list of runs.
type RunQuestion struct {
	Task, State   string
	Limit, Offset int
}

func tenantsOf(q *bun.SelectQuery, r reach.Reach) *bun.SelectQuery {
	slugs, all := r.TenantSlugs()
	if all {
		return q
	}
	whole := []string{}
	for _, t := range slugs {
		if r.CoversWhole(t) {
			whole = append(whole, t)
		}
	}
	if len(whole) == 0 {
		return q.Where("1 = 0")
	}
	return q.Where("r.tenant IN (?)", bun.In(whole))
}

// Runs lists the runs in reach, the latest first.
func (s *Service) Runs(ctx context.Context, r reach.Reach, q RunQuestion) ([]ScanRun, int, error) {
	var rows []runRow
	narrow := func(x *bun.SelectQuery) *bun.SelectQuery {
		x = tenantsOf(x, r)
		if q.Task != "" {
			x = x.Where("r.task = ?", q.Task)
		}
		if q.State != "" {
			x = x.Where("r.state = ?", q.State)
		}
		return x
	}
	total, err := narrow(s.Database.NewSelect().Model((*runRow)(nil))).Count(ctx)
	if err != nil {
		return nil, 0, fmt.Errorf("scan: count runs: %w", err)
	}
	if err := narrow(s.Database.NewSelect().Model(&rows)).ExcludeColumn("orders").Order("r.created DESC", "r.id DESC").Limit(int64(max(q.Limit, 1))).Offset(int64(q.Offset)).Scan(ctx); err != nil {
		return nil, 0, fmt.Errorf("scan: list runs: %w", err)
	}
	out := make([]ScanRun, 0, len(rows))
	for i := range rows {
		x, err := s.told(&rows[i])
		if err != nil {
			return nil, 0, err
		}
		if r.CoversWhole(x.Tenant) {
			out = append(out, x)
		}
	}
	return out, int(total), nil
}

// told is a run as it is now: of one under way the progress is newer than its row.
func (s *Service) told(row *runRow) (ScanRun, error) {
	s.mu.Lock()
	if a := s.active[row.ID]; a != nil {
		x := a.ScanRun
		s.mu.Unlock()
		return x, nil
	}
	s.mu.Unlock()
	var x ScanRun
	if err := json.Unmarshal([]byte(row.Doc), &x); err != nil {
		return x, fmt.Errorf("scan: the run %s cannot be read: %w", row.ID, err)
	}
	return x, nil
}

// Get is one run in reach.
func (s *Service) Get(ctx context.Context, r reach.Reach, id string) (ScanRun, error) {
	var rows []runRow
	if err := s.Database.NewSelect().Model(&rows).ExcludeColumn("orders").Where("r.id = ?", id).Scan(ctx); err != nil {
		return ScanRun{}, fmt.Errorf("scan: read a run: %w", err)
	}
	if len(rows) == 0 || !r.CoversWhole(rows[0].Tenant) {
		return ScanRun{}, ErrNotFound
	}
	return s.told(&rows[0])
}

type resultRow struct {
	bun.BaseModel `bun:"table:exposure_scan_results,alias:x"`
	Run           string `bun:"run,pk"`
	Seq           int64  `bun:"seq,pk"`
	Kind          string `bun:"kind"`
	Address       string `bun:"address"`
	Port          int    `bun:"port"`
	At            int64  `bun:"at"`
	Doc           string `bun:"doc"`
}

// ResultQuestion narrows a list of results.
type ResultQuestion struct {
	Kind, Address string
	After         int64 // seq of the last one of the page before
	Limit         int
}

// Results lists what a run found, as the scanner told it, and counts it.
func (s *Service) Results(ctx context.Context, r reach.Reach, id string, q ResultQuestion) ([]wire.Result, int, error) {
	if _, err := s.Get(ctx, r, id); err != nil {
		return nil, 0, err
	}
	narrow := func(x *bun.SelectQuery) *bun.SelectQuery {
		x = x.Where("x.run = ?", id)
		if q.Kind != "" {
			x = x.Where("x.kind = ?", q.Kind)
		}
		if q.Address != "" {
			x = x.Where("x.address = ?", q.Address)
		}
		return x
	}
	total, err := narrow(s.Database.NewSelect().Model((*resultRow)(nil))).Count(ctx)
	if err != nil {
		return nil, 0, fmt.Errorf("scan: count results: %w", err)
	}
	var rows []resultRow
	if err := narrow(s.Database.NewSelect().Model(&rows)).Where("x.seq > ?", q.After).Order("x.seq").Limit(int64(max(q.Limit, 1))).Scan(ctx); err != nil {
		return nil, 0, fmt.Errorf("scan: list results: %w", err)
	}
	out := make([]wire.Result, len(rows))
	for i := range rows {
		if err := json.Unmarshal([]byte(rows[i].Doc), &out[i]); err != nil {
			return nil, 0, fmt.Errorf("scan: a result of %s cannot be read: %w", id, err)
		}
	}
	return out, int(total), nil
}
