package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"icewatch/detections"
	"icewatch/soc/identity"
	"icewatch/soc/lake"
	"icewatch/soc/lake/partition"
	"icewatch/soc/retention"
	"icewatch/soc/rhythm"
	"icewatch/soc/search/slow"
	"icewatch/soc/storage"
	"icewatch/soc/tenancy"
	"icewatch/soc/usage"
	"icewatch/soc/watch"
)

// Holdings are what the suite knows of its own disks, of what comes in and of
// what its tenants use.
type Holdings struct {
	Storage *storage.Keeper
	Ledger  *usage.Ledger
	Gate    *usage.Gate
	Senders *usage.Sources
	Rhythm  *rhythm.Keeper
	Slow    *slow.Log
	Lake    func(ctx context.Context) (lake.Stats, error)
	Way     func(ctx context.Context) Way
	Limits  func() watch.Limits
	Rules   func() tenancy.Rules
}

// classView is a retention class as it is shown.
type classView struct {
	Name       string   `json:"name"`
	Days       int      `json:"days" doc:"0: not configured any more; kept until somebody clears it"`
	Secure     bool     `json:"security" doc:"Long enough for security and audit logs"`
	Rows       uint64   `json:"rows"`
	Bytes      int64    `json:"bytes" doc:"On the disks, at most ten minutes old"`
	ColdBytes  int64    `json:"cold_bytes" doc:"Of these, in the cold folder"`
	ColdDays   int      `json:"cold_after_days" doc:"Age at which a day goes to the cold folder; 0 is never"`
	PerEvent   float64  `json:"bytes_per_event"`
	Partitions uint64   `json:"partitions" doc:"Days that hold events"`
	Growth     *float64 `json:"growth_bytes_per_day"`
	Tenants    []string `json:"tenants" nullable:"false"`
	ForFlows   bool     `json:"flows" doc:"Flow records of all tenants go here"`
	ReadOnly   bool     `json:"read_only"`
	Unflushed  uint64   `json:"unflushed_rows" doc:"In memory only; still on the bus"`
}

// tenantView is what a tenant takes up.
type tenantView struct {
	Slug      string          `json:"slug"`
	Name      detections.Text `json:"name"`
	Class     string          `json:"class"`
	RowsToday uint64          `json:"rows_today"`
	PerDay    float64         `json:"events_per_day" doc:"Mean of the last seven whole days of which anything is known"`
	RawPerDay float64         `json:"raw_bytes_per_day"`
	Stored    int64           `json:"stored_bytes" doc:"Estimate: its events within retention, at the mean size of its class"`
	Growth    float64         `json:"growth_bytes_per_day" doc:"Estimate: its events a day at the mean size of its class"`
}

// coldView is how the cold folder stands.
type coldView struct {
	Folder string `json:"folder"`
	Due    int    `json:"due" doc:"Days old enough to go there"`
}

// storageView is how the suite's storage stands.
type storageView struct {
	Now time.Time `json:"now"`
	storage.View
	AlertDays float64      `json:"days_left_alert"`
	Minimum   int          `json:"legal_minimum_days"`
	Classes   []classView  `json:"classes" nullable:"false"`
	Tenants   []tenantView `json:"tenants" nullable:"false"`
	Cold      *coldView    `json:"cold" doc:"null where no cold folder is configured"`
	LakeUp    bool         `json:"lake_up" doc:"False while the engine does not answer: rows are then missing"`
}

// meanDays is over how many days a tenant's events a day are the mean.
const meanDays = 7

func (s *Server) storageRoutes() {
	h := s.deps.Holdings
	if h == nil {
		return
	}
	get := func(id, path, summary string) huma.Operation {
		return huma.Operation{OperationID: id, Method: http.MethodGet, Path: path, Tags: []string{"storage"}, Summary: summary}
	}
	Register(s, get("get-storage", "/storage", "How the storage stands: disks, days left, classes, tenants"), identity.ScopeRead,
		func(ctx context.Context, _ *Empty) (*Body[storageView], error) {
			if err := cityOnly(ctx); err != nil {
				return nil, err
			}
			v, err := s.storageView(ctx)
			return Reply(v), err
		})
	Register(s, get("list-partitions", "/storage/partitions", "The days of the lake, oldest first, and which may be cleared"), identity.ScopeRead,
		func(ctx context.Context, in *struct {
			PageInput
			Class string `query:"class" maxLength:"32"`
		}) (*Body[Page[storage.Day]], error) {
			if err := cityOnly(ctx); err != nil {
				return nil, err
			}
			list, err := h.Storage.Days(in.Class)
			if err != nil {
				return nil, err
			}
			page, err := paged(list, in.PageInput)
			return Reply(page), err
		})
	plan := huma.Operation{OperationID: "preview-clearing", Method: http.MethodPost, Path: "/storage/clear/preview", Tags: []string{"storage"},
		Summary: "What the storage policy would clear now"}
	Register(s, plan, identity.ScopeSystem,
		func(ctx context.Context, _ *Empty) (*Body[storage.Plan], error) {
			if err := cityOnly(ctx); err != nil {
				return nil, err
			}
			stateOf(ctx).skipAudit = true
			p, err := h.Storage.Plan()
			return Reply(p), err
		})
	clear := huma.Operation{OperationID: "clear-storage", Method: http.MethodPost, Path: "/storage/clear", Tags: []string{"storage"}, Errors: []int{404, 409},
		Summary: "Clear days of the lake", Description: "The engine restarts for it, which takes seconds; intake goes on. There is no way back."}
	type cleared struct {
		Freed      int64                 `json:"freed_bytes"`
		Partitions []partition.Partition `json:"partitions" nullable:"false"`
	}
	Register(s, clear, identity.ScopeSystem,
		func(ctx context.Context, in *struct {
			Body struct {
				Partitions []struct {
					Class string `json:"class" maxLength:"32"`
					Day   string `json:"day" maxLength:"10"`
				} `json:"partitions" minItems:"1" maxItems:"10000"`
			}
		}) (*Body[cleared], error) {
			if err := cityOnly(ctx); err != nil {
				return nil, err
			}
			var want []partition.Partition
			var names []string
			for _, p := range in.Body.Partitions {
				want = append(want, partition.Partition{Class: p.Class, Day: p.Day})
				names = append(names, p.Class+"/"+p.Day)
			}
			AuditObject(ctx, "lake", "", clip(strings.Join(names, " "), 4096))
			gone, err := h.Storage.Clear(ctx, want)
			switch {
			case errors.Is(err, storage.ErrNoPartition):
				return nil, Problem(http.StatusNotFound, "%s", err.Error())
			case errors.Is(err, storage.ErrProtected):
				return nil, Problem(http.StatusConflict, "%s", err.Error())
			case err != nil:
				return nil, err
			}
			out := cleared{Partitions: append([]partition.Partition{}, gone...)}
			for _, p := range gone {
				out.Freed += p.Bytes
			}
			return Reply(out), nil
		})
	type cooling struct {
		Partitions []partition.Partition `json:"partitions" nullable:"false" doc:"That will be moved"`
	}
	cool := huma.Operation{OperationID: "cool-storage", Method: http.MethodPost, Path: "/storage/cool", Tags: []string{"storage"}, Errors: []int{409}, DefaultStatus: http.StatusAccepted,
		Summary: "Move the days that are old enough to the cold folder now", Description: "They are copied while the lake is open, which may take hours; then the engine restarts, which takes seconds. Intake goes on. Of what goes wrong the alarm cold-stuck tells."}
	Register(s, cool, identity.ScopeSystem,
		func(ctx context.Context, _ *Empty) (*Body[cooling], error) {
			if err := cityOnly(ctx); err != nil {
				return nil, err
			}
			if h.Storage.Deps.Cold == "" {
				return nil, Problem(http.StatusConflict, "there is no cold folder: name one as lake.cold_dir in the configuration")
			}
			due, err := h.Storage.CoolSoon()
			if errors.Is(err, partition.ErrForeign) {
				return nil, Problem(http.StatusConflict, "%s", err.Error())
			}
			if err != nil {
				return nil, err
			}
			AuditObject(ctx, "lake", "", fmt.Sprintf("%d days", len(due)))
			return Reply(cooling{append([]partition.Partition{}, due...)}), nil
		})
	s.retentionRoutes()
}

// storageView gathers how the storage stands.
func (s *Server) storageView(ctx context.Context) (storageView, error) {
	h := s.deps.Holdings
	disks, err := h.Storage.View()
	if err != nil {
		return storageView{}, err
	}
	out := storageView{Now: time.Now().UTC(), View: disks, AlertDays: h.Storage.Policy().AlertDays, Minimum: int(retention.LegalMinimum / retention.Day), Tenants: []tenantView{}}
	stats, err := h.Lake(ctx)
	out.LakeUp = err == nil
	out.Classes = s.classes(disks, stats)
	if folder := h.Storage.Deps.Cold; folder != "" {
		due, err := h.Storage.Due()
		if err != nil {
			return storageView{}, err
		}
		out.Cold = &coldView{Folder: folder, Due: len(due)}
	}
	tenants, err := s.tenantsStored(ctx, out.Classes)
	if err != nil {
		return storageView{}, err
	}
	out.Tenants = append(out.Tenants, tenants...)
	return out, nil
}

// classes shows the retention classes, those that are configured and those that
// still hold something.
func (s *Server) classes(disks storage.View, stats lake.Stats) []classView {
	keeping := s.deps.Holdings.Storage.Keeping()
	members := map[string][]string{}
	for _, t := range s.deps.Tenants.List() {
		class := t.Retention
		if _, ok := keeping.Class(class); !ok {
			class = retention.Standard
		}
		members[class] = append(members[class], t.Slug)
	}
	out := []classView{}
	show := func(name string, days int) {
		st, cold := stats.Stores[name], disks.Parts["cold/"+name]
		class, _ := keeping.Class(name)
		v := classView{Name: name, Days: days, Secure: keeping.Secure(name), Rows: st.Stored + st.Unflushed, Bytes: disks.Parts["lake/"+name] + cold, ColdBytes: cold, ColdDays: int(class.Cold / retention.Day), Partitions: st.Partitions,
			Tenants: append([]string{}, members[name]...), ForFlows: keeping.Flows == name, ReadOnly: st.ReadOnly, Unflushed: st.Unflushed}
		if v.Bytes == 0 {
			v.Bytes = int64(st.DiskBytes)
		}
		if st.Stored > 0 {
			v.PerEvent = float64(st.DiskBytes) / float64(st.Stored)
		}
		if g, ok := disks.ByPart["lake/"+name]; ok {
			g += disks.ByPart["cold/"+name]
			v.Growth = &g
		}
		out = append(out, v)
	}
	for _, c := range keeping.Classes {
		show(c.Name, c.Days())
	}
	for name := range stats.Stores {
		if _, ok := keeping.Class(name); !ok {
			show(name, 0)
		}
	}
	slices.SortFunc(out, func(a, b classView) int { return strings.Compare(a.Name, b.Name) })
	return out
}

// tenantsStored estimates what each tenant takes up.
func (s *Server) tenantsStored(ctx context.Context, classes []classView) ([]tenantView, error) {
	h := s.deps.Holdings
	now := time.Now()
	today := h.Ledger.Day(now)
	days, err := h.Ledger.Days(ctx, h.Ledger.Day(now.AddDate(0, 0, -usage.Keep)), today, "")
	if err != nil {
		return nil, err
	}
	byName := map[string]classView{}
	for _, c := range classes {
		byName[c.Name] = c
	}
	byTenant := map[string][]usage.Figures{}
	for _, d := range days {
		byTenant[d.Tenant] = append(byTenant[d.Tenant], d)
	}
	var out []tenantView
	for _, t := range s.deps.Tenants.List() {
		class, ok := byName[t.Retention]
		if !ok {
			class = byName[retention.Standard]
		}
		v := tenantView{Slug: t.Slug, Name: detections.Text(t.Name), Class: class.Name}
		oldest, recent := h.Ledger.Day(now.AddDate(0, 0, -class.Days)), h.Ledger.Day(now.AddDate(0, 0, -meanDays))
		var events, raw, within uint64
		whole := map[string]bool{}
		for _, d := range byTenant[t.Slug] {
			if d.Day >= oldest {
				within += d.Events
			}
			if d.Day == today {
				v.RowsToday = d.Events
			} else if d.Day >= recent {
				events, raw = events+d.Events, raw+d.Bytes
				whole[d.Day] = true
			}
		}
		switch n := float64(len(whole)); {
		case n > 0:
			v.PerDay, v.RawPerDay = float64(events)/n, float64(raw)/n
		case v.RowsToday > 0: // its first day: what there is, for the day so far
			v.PerDay = float64(v.RowsToday)
			for _, d := range byTenant[t.Slug] {
				if d.Day == today {
					v.RawPerDay = float64(d.Bytes)
				}
			}
		}
		v.Stored, v.Growth = int64(float64(within)*class.PerEvent), v.PerDay*class.PerEvent
		out = append(out, v)
	}
	return out, nil
}

// className is a retention class as a list shows it.
type className struct {
	Name    string `json:"name"`
	Days    int    `json:"days"`
	Secure  bool   `json:"security" doc:"Long enough for security and audit logs"`
	Tenants int    `json:"tenants"`
}

// classChange is what putting a tenant into another class would mean.
type classChange struct {
	From    className         `json:"from"`
	To      className         `json:"to"`
	Allowed bool              `json:"allowed"`
	Reason  string            `json:"reason" doc:"Why it is not allowed"`
	Effects []detections.Text `json:"effects" nullable:"false"`
}

func (s *Server) classNames() []className {
	out := []className{}
	keeping := s.deps.Holdings.Storage.Keeping()
	for _, c := range keeping.Classes {
		v := className{Name: c.Name, Days: c.Days(), Secure: keeping.Secure(c.Name)}
		for _, t := range s.deps.Tenants.List() {
			if t.Retention == c.Name {
				v.Tenants++
			}
		}
		out = append(out, v)
	}
	slices.SortFunc(out, func(a, b className) int { return a.Days - b.Days })
	return out
}

func (s *Server) retentionRoutes() {
	h := s.deps.Holdings
	Register(s, huma.Operation{OperationID: "list-retention-classes", Method: http.MethodGet, Path: "/retention/classes", Tags: []string{"storage"},
		Summary: "The retention classes, shortest first"}, identity.ScopeRead,
		func(context.Context, *Empty) (*Body[Page[className]], error) {
			list := s.classNames()
			return Reply(PageOf(list, len(list), "")), nil
		})
	type input struct {
		Slug string `path:"slug" maxLength:"63"`
		Body struct {
			Class string `json:"class" maxLength:"32"`
		}
	}
	change := func(ctx context.Context, in *input) (tenancy.Tenant, classChange, error) {
		if err := cityOnly(ctx); err != nil {
			return tenancy.Tenant{}, classChange{}, err
		}
		t, ok := s.deps.Tenants.Get(in.Slug)
		if !ok {
			return t, classChange{}, NotFound("tenant", in.Slug)
		}
		keeping := h.Storage.Keeping()
		named := func(name string) className {
			c, _ := keeping.Class(name)
			return className{Name: name, Days: c.Days(), Secure: keeping.Secure(name)}
		}
		out := classChange{From: named(t.Retention), To: named(in.Body.Class), Allowed: true, Effects: []detections.Text{}}
		if err := keeping.Allows(t.Slug, in.Body.Class); err != nil {
			out.Allowed, out.Reason = false, err.Error()
			return t, out, nil
		}
		out.Effects = append(out.Effects, classEffects(out.From, out.To)...)
		return t, out, nil
	}
	Register(s, huma.Operation{OperationID: "preview-tenant-retention", Method: http.MethodPost, Path: "/tenants/{slug}/retention/preview", Tags: []string{"storage"}, Errors: []int{404},
		Summary: "What putting a tenant into another retention class would mean"}, identity.ScopeConfigure,
		func(ctx context.Context, in *input) (*Body[classChange], error) {
			stateOf(ctx).skipAudit = true
			_, out, err := change(ctx, in)
			return Reply(out), err
		})
	type classed struct {
		Slug  string `json:"slug"`
		Class string `json:"class"`
		Days  int    `json:"days"`
	}
	Register(s, huma.Operation{OperationID: "set-tenant-retention", Method: http.MethodPut, Path: "/tenants/{slug}/retention", Tags: []string{"storage"}, Errors: []int{404, 422},
		Summary: "Put a tenant into another retention class"}, identity.ScopeConfigure,
		func(ctx context.Context, in *input) (*Body[classed], error) {
			AuditObject(ctx, "tenant:"+in.Slug, in.Slug, "")
			before, out, err := change(ctx, in)
			if err != nil {
				return nil, err
			}
			if !out.Allowed {
				return nil, Problem(http.StatusUnprocessableEntity, "%s", out.Reason)
			}
			after, err := s.deps.Tenants.SetClass(ctx, in.Slug, in.Body.Class)
			if err != nil {
				return nil, err
			}
			AuditChange(ctx, map[string]string{"retention": before.Retention}, map[string]string{"retention": after.Retention})
			return Reply(classed{after.Slug, after.Retention, out.To.Days}), nil
		})
}

// classEffects says what happens to old and new events.
func classEffects(from, to className) []detections.Text {
	if from.Name == to.Name {
		return []detections.Text{{ZH: "没有变化", EN: "Nothing changes"}}
	}
	plural := func(n int) string { return itoa(n) + " days" }
	out := []detections.Text{
		{ZH: "新事件保留 " + itoa(to.Days) + " 天", EN: "New events are kept for " + plural(to.Days)},
		{ZH: "已有事件留在原保留类，仍按其期限（" + itoa(from.Days) + " 天）删除，在此之前照常可查", EN: "Events that are there stay in their class and go after its " + plural(from.Days) + "; until then they are found as before"},
	}
	if !to.Secure {
		out = append(out, detections.Text{ZH: "安全与审计日志不受影响：它们至少保留 180 天", EN: "Security and audit logs are not affected: they are kept for 180 days at least"})
	}
	return out
}
