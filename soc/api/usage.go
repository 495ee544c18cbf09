package api

import (
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"icewatch/detections"
	"icewatch/soc/identity"
	"icewatch/soc/search/slow"
	"icewatch/soc/spreadsheet"
	"icewatch/soc/tenancy"
	"icewatch/soc/usage"
)

func itoa(n int) string { return strconv.Itoa(n) }

// Way is how the way of events stands, from the senders to the lake.
type Way struct {
	EventsPerSecond float64    `json:"events_per_second" doc:"Over the last ten seconds"`
	BytesPerSecond  float64    `json:"bytes_per_second"`
	Events          uint64     `json:"events_total" doc:"Taken in since the start"`
	QueueBatches    uint64     `json:"queue_batches" doc:"On the bus, not worked yet"`
	QueueBytes      uint64     `json:"queue_bytes"`
	QueuePercent    float64    `json:"queue_percent" doc:"Of what the bus may hold"`
	Lag             float64    `json:"lag_seconds"`
	Engine          WayEngine  `json:"engine"`
	DiskFull        bool       `json:"disk_full"`
	Drops           []WayDrop  `json:"drops" nullable:"false" doc:"Lost, by reason: quota, udp_kernel, stopped, unstored, damaged_batch, lake"`
	Refused         []WayDrop  `json:"refused" nullable:"false" doc:"Not taken, and the sender told so: quota, full"`
	Altered         uint64     `json:"altered_total" doc:"Events that carry a mark of what was altered"`
	Reduced         uint64     `json:"reduced_total" doc:"Of these, those of which only the raw text could be stored"`
	Repeats         uint64     `json:"repeated_total" doc:"Sent again under the sender's own id, and stored once"`
	History         []WayPoint `json:"history" nullable:"false" doc:"One a minute, of the last hour"`
}

// WayEngine is how the engine fares.
type WayEngine struct {
	Up       bool    `json:"up" doc:"It answers"`
	Ready    bool    `json:"ready"`
	Restarts uint64  `json:"restarts" doc:"Since the suite's start"`
	Uptime   float64 `json:"uptime_seconds"`
}

// WayDrop counts by a reason.
type WayDrop struct {
	Reason string `json:"reason"`
	Total  uint64 `json:"total" doc:"Since the start"`
}

// WayPoint is a minute of the history.
type WayPoint struct {
	At              time.Time `json:"at"`
	EventsPerSecond float64   `json:"events_per_second"`
	Lag             float64   `json:"lag_seconds"`
	QueueBatches    uint64    `json:"queue_batches"`
}

// quotaView is a tenant's quota and how it stands.
type quotaView struct {
	Tenant  string        `json:"tenant"`
	Own     bool          `json:"own" doc:"False where the setting quota counts"`
	Quota   usage.Quota   `json:"quota"`
	Today   usage.Figures `json:"today" doc:"As counted against the quota: taken in, even if not stored yet"`
	Percent *float64      `json:"percent" doc:"Null where there is no limit"`
	State   usage.State   `json:"state" enum:"ok,warning,reached,refusing"`
	Resets  time.Time     `json:"resets_at"`
}

func quotaOf(s usage.Standing) quotaView {
	v := quotaView{Tenant: s.Tenant, Own: s.Own, Quota: s.Quota, State: s.State, Resets: s.Until,
		Today: usage.Figures{Day: s.Day, Events: s.Events, Bytes: s.Bytes, RefusedEvents: s.RefusedEvents, RefusedBytes: s.RefusedBytes}}
	if s.Quota.Limited() {
		p := 100 * s.Quota.Share(s.Events, s.Bytes)
		v.Percent = &p
	}
	return v
}

// tenantUsage is what a tenant brought over several days.
type tenantUsage struct {
	usage.Figures
	Name    detections.Text `json:"name"`
	Stored  int64           `json:"stored_bytes" doc:"Estimate, at the mean size of its class"`
	Quota   *usage.Quota    `json:"quota" doc:"Null where there is no limit"`
	Percent *float64        `json:"percent" doc:"Of today's quota"`
	State   usage.State     `json:"state" enum:"ok,warning,reached,refusing" doc:"Today"`
}

// usagePage is the usage of several tenants.
type usagePage struct {
	Zone string `json:"zone" doc:"Time zone of the days"`
	From string `json:"from"`
	To   string `json:"to"`
	Page[tenantUsage]
}

// dayUsage is a day of one tenant.
type dayUsage struct {
	usage.Figures
	Stored int64 `json:"stored_bytes" doc:"Estimate, at the mean size of its class"`
}

// usageDays is the usage of one tenant by day.
type usageDays struct {
	Tenant string `json:"tenant"`
	Zone   string `json:"zone"`
	Page[dayUsage]
}

// Period is the input of what is asked by days.
type Period struct {
	From   string `query:"from" maxLength:"10" doc:"First day, such as 2026-11-01; by default 29 days before the last"`
	To     string `query:"to" maxLength:"10" doc:"Last day; by default today"`
	Format string `query:"format" enum:"json,csv" default:"json"`
}

// days reads a period.
func (s *Server) days(p Period) (first, last string, err error) {
	l := s.deps.Holdings.Ledger
	now := time.Now()
	read := func(name, text string, def time.Time) (time.Time, error) {
		if text == "" {
			return def, nil
		}
		t, err := time.ParseInLocation(time.DateOnly, text, l.Zone())
		if err != nil {
			return t, Problem(http.StatusBadRequest, "%s: %q is not a day; one such as 2026-11-25 is expected", name, clip(text, 32))
		}
		return t, nil
	}
	to, err := read("to", p.To, now)
	if err != nil {
		return "", "", err
	}
	from, err := read("from", p.From, to.AddDate(0, 0, -29))
	if err != nil {
		return "", "", err
	}
	if first, last = l.Day(from), l.Day(to); first > last {
		return "", "", Problem(http.StatusBadRequest, "from: %s lies after to, %s", first, last)
	}
	return first, last, nil
}

// zoneName names the time zone of the days.
func (s *Server) zoneName() string {
	zone := s.deps.Holdings.Ledger.Zone()
	if name := zone.String(); name != "Local" && name != "" {
		return name
	}
	return time.Now().In(zone).Format("MST -07:00")
}

func (s *Server) usageRoutes() {
	h := s.deps.Holdings
	if h == nil {
		return
	}
	file := map[string]*huma.Response{"200": {Description: "OK", Content: map[string]*huma.MediaType{
		"application/json": {Schema: &huma.Schema{Type: "object"}}, "text/csv": {Schema: &huma.Schema{Type: "string"}}}}}
	Register(s, huma.Operation{OperationID: "list-usage", Method: http.MethodGet, Path: "/usage", Tags: []string{"usage"}, Responses: file,
		Summary: "What each tenant brought, over some days"}, identity.ScopeRead,
		func(ctx context.Context, in *struct {
			Period
			Tenant string `query:"tenant" maxLength:"4096" doc:"Slugs, separated by commas; by default all within reach"`
		}) (*huma.StreamResponse, error) {
			page, err := s.usageOf(ctx, in.Period, in.Tenant)
			if err != nil {
				return nil, err
			}
			if in.Format != "csv" {
				return jsonAnswer(page)
			}
			rows := [][]string{{"tenant", "name_zh", "name_en", "events", "raw_bytes", "stored_bytes", "refused_events", "refused_bytes", "state"}}
			for _, t := range page.Items {
				rows = append(rows, append([]string{t.Tenant, t.Name.ZH, t.Name.EN}, append(figures(t.Figures, t.Stored), string(t.State))...))
			}
			return csvAnswer(rows)
		})
	Register(s, huma.Operation{OperationID: "get-tenant-usage", Method: http.MethodGet, Path: "/tenants/{slug}/usage", Tags: []string{"usage"}, Responses: file, Errors: []int{404},
		Summary: "What a tenant brought, by day"}, identity.ScopeRead,
		func(ctx context.Context, in *struct {
			Slug string `path:"slug" maxLength:"63"`
			Period
		}) (*huma.StreamResponse, error) {
			t, err := s.wholeTenant(ctx, in.Slug)
			if err != nil {
				return nil, err
			}
			first, last, err := s.days(in.Period)
			if err != nil {
				return nil, err
			}
			days, err := h.Ledger.Days(ctx, first, last, t.Slug)
			if err != nil {
				return nil, err
			}
			size := s.sizes(ctx)
			out := usageDays{Tenant: t.Slug, Zone: s.zoneName()}
			items := []dayUsage{}
			rows := [][]string{{"day", "events", "raw_bytes", "stored_bytes", "refused_events", "refused_bytes"}}
			for _, d := range days {
				x := dayUsage{Figures: d, Stored: int64(float64(d.Events) * size(t))}
				items = append(items, x)
				rows = append(rows, append([]string{d.Day}, figures(d, x.Stored)...))
			}
			out.Page = PageOf(items, len(items), "")
			if in.Format == "csv" {
				return csvAnswer(rows)
			}
			return jsonAnswer(out)
		})
	s.quotaRoutes()
	s.senderRoutes()
	s.coverageRoutes()
}

// figures are the numbers of a row of CSV.
func figures(f usage.Figures, stored int64) []string {
	return []string{strconv.FormatUint(f.Events, 10), strconv.FormatUint(f.Bytes, 10), strconv.FormatInt(stored, 10), strconv.FormatUint(f.RefusedEvents, 10), strconv.FormatUint(f.RefusedBytes, 10)}
}

func csvAnswer(rows [][]string) (*huma.StreamResponse, error) {
	var buf bytes.Buffer
	w := csv.NewWriter(&buf)
	for _, r := range rows {
		if err := w.Write(spreadsheet.Row(r)); err != nil {
			return nil, fmt.Errorf("usage as CSV: %w", err)
		}
	}
	w.Flush()
	return bodyAnswer("text/csv; charset=utf-8", buf.Bytes()), w.Error()
}

func jsonAnswer(v any) (*huma.StreamResponse, error) {
	body, err := json.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("usage as JSON: %w", err)
	}
	return bodyAnswer("application/json", body), nil
}

// wholeTenant returns a tenant all of whose events the caller may see: counts
// tell of events too.
func (s *Server) wholeTenant(ctx context.Context, slug string) (tenancy.Tenant, error) {
	t, ok := s.deps.Tenants.Get(slug)
	if st := stateOf(ctx); !ok || st == nil || !st.reach.CoversWhole(slug) {
		return tenancy.Tenant{}, NotFound("tenant", slug)
	}
	return t, nil
}

// sizes tells how many bytes an event of a tenant takes up, by its class; 0
// while the lake does not answer.
func (s *Server) sizes(ctx context.Context) func(t tenancy.Tenant) float64 {
	stats, err := s.deps.Holdings.Lake(ctx)
	if err != nil {
		return func(tenancy.Tenant) float64 { return 0 }
	}
	return func(t tenancy.Tenant) float64 {
		st, ok := stats.Stores[t.Retention]
		if !ok || st.Stored == 0 {
			st = stats.BackendStats
		}
		if st.Stored == 0 {
			return 0
		}
		return float64(st.DiskBytes) / float64(st.Stored)
	}
}

func (s *Server) usageOf(ctx context.Context, p Period, tenants string) (usagePage, error) {
	h := s.deps.Holdings
	within, err := Reach(ctx, tenants)
	if err != nil {
		return usagePage{}, err
	}
	first, last, err := s.days(p)
	if err != nil {
		return usagePage{}, err
	}
	days, err := h.Ledger.Days(ctx, first, last, "")
	if err != nil {
		return usagePage{}, err
	}
	sums := map[string]usage.Figures{}
	for _, f := range usage.Sum(days) {
		sums[f.Tenant] = f
	}
	size := s.sizes(ctx)
	items := []tenantUsage{}
	for _, t := range s.deps.Tenants.List() {
		if !within.CoversWhole(t.Slug) {
			continue
		}
		f := sums[t.Slug]
		f.Tenant = t.Slug
		q := quotaOf(h.Gate.Standing(t.Slug))
		x := tenantUsage{Figures: f, Name: detections.Text(t.Name), Stored: int64(float64(f.Events) * size(t)), Percent: q.Percent, State: q.State}
		if q.Quota.Limited() {
			x.Quota = &q.Quota
		}
		items = append(items, x)
	}
	slices.SortStableFunc(items, func(a, b tenantUsage) int { return -cmpUint(a.Bytes, b.Bytes) })
	return usagePage{Zone: s.zoneName(), From: first, To: last, Page: PageOf(items, len(items), "")}, nil
}

func cmpUint(a, b uint64) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

func (s *Server) quotaRoutes() {
	h := s.deps.Holdings
	type bySlug struct {
		Slug string `path:"slug" maxLength:"63"`
	}
	Register(s, huma.Operation{OperationID: "get-tenant-quota", Method: http.MethodGet, Path: "/tenants/{slug}/quota", Tags: []string{"usage"}, Errors: []int{404},
		Summary: "A tenant's daily quota and how it stands today"}, identity.ScopeRead,
		func(ctx context.Context, in *bySlug) (*Body[quotaView], error) {
			t, err := s.wholeTenant(ctx, in.Slug)
			if err != nil {
				return nil, err
			}
			return Reply(quotaOf(h.Gate.Standing(t.Slug))), nil
		})
	set := func(ctx context.Context, slug string, q *usage.Quota) error {
		AuditObject(ctx, "tenant:"+slug, slug, "quota")
		if err := cityOnly(ctx); err != nil {
			return err
		}
		if _, ok := s.deps.Tenants.Get(slug); !ok {
			return NotFound("tenant", slug)
		}
		before, own := h.Ledger.Quota(slug)
		if err := h.Ledger.SetQuota(ctx, slug, q); err != nil {
			if errors.Is(err, usage.ErrInvalid) {
				return Problem(http.StatusUnprocessableEntity, "%s", plain(err, usage.ErrInvalid, ""))
			}
			return err
		}
		var was, is any
		if own {
			was = before
		}
		if q != nil {
			is = *q
		}
		AuditChange(ctx, was, is)
		return nil
	}
	Register(s, huma.Operation{OperationID: "set-tenant-quota", Method: http.MethodPut, Path: "/tenants/{slug}/quota", Tags: []string{"usage"}, Errors: []int{404, 422},
		Summary: "Give a tenant a daily quota of its own"}, identity.ScopeConfigure,
		func(ctx context.Context, in *struct {
			Slug string `path:"slug" maxLength:"63"`
			Body struct {
				BytesPerDay  int64  `json:"bytes_per_day,omitempty" minimum:"0" doc:"Raw text as it came; 0 is no limit"`
				EventsPerDay int64  `json:"events_per_day,omitempty" minimum:"0" doc:"0 is no limit"`
				WarnPercent  int    `json:"warn_percent,omitempty" minimum:"1" maximum:"100" default:"80"`
				AtLimit      string `json:"at_limit,omitempty" enum:"accept,refuse" default:"accept"`
			}
		}) (*Body[quotaView], error) {
			q := usage.Quota(in.Body)
			if err := set(ctx, in.Slug, &q); err != nil {
				return nil, err
			}
			return Reply(quotaOf(h.Gate.Standing(in.Slug))), nil
		})
	Register(s, huma.Operation{OperationID: "delete-tenant-quota", Method: http.MethodDelete, Path: "/tenants/{slug}/quota", Tags: []string{"usage"}, DefaultStatus: http.StatusNoContent, Errors: []int{404},
		Summary: "Take a tenant's own quota away: the setting quota counts again"}, identity.ScopeConfigure,
		func(ctx context.Context, in *bySlug) (*Empty, error) { return nil, set(ctx, in.Slug, nil) })
}

func (s *Server) senderRoutes() {
	h := s.deps.Holdings
	Register(s, huma.Operation{OperationID: "get-intake", Method: http.MethodGet, Path: "/intake", Tags: []string{"storage"},
		Summary: "How the way of events stands: rate, queue, lag, drops by reason"}, identity.ScopeRead,
		func(ctx context.Context, _ *Empty) (*Body[Way], error) {
			if err := cityOnly(ctx); err != nil {
				return nil, err
			}
			return Reply(h.Way(ctx)), nil
		})
	Register(s, huma.Operation{OperationID: "list-senders", Method: http.MethodGet, Path: "/intake/sources", Tags: []string{"storage"},
		Summary: "Who sends how much, and who fell silent"}, identity.ScopeRead,
		func(ctx context.Context, in *struct {
			PageInput
			State     string `query:"state" enum:"all,active,silent" default:"all" doc:"Active has sent within the last minute"`
			Tenant    string `query:"tenant" maxLength:"4096"`
			Collector string `query:"collector" maxLength:"64"`
			Q         string `query:"q" maxLength:"256" doc:"Part of address, name or zone"`
		}) (*Body[Page[usage.Source]], error) {
			within, err := Reach(ctx, in.Tenant)
			if err != nil {
				return nil, err
			}
			everything := seesEverything(ctx)
			list := h.Senders.List(time.Now(), time.Duration(h.Limits().SilenceMinutes)*time.Minute)
			q := strings.ToLower(in.Q)
			list = slices.DeleteFunc(list, func(x usage.Source) bool {
				seen := x.Tenant == "" && everything && in.Tenant == "" || x.Tenant != "" && within.CoversWhole(x.Tenant)
				return !seen || in.Collector != "" && x.Collector != in.Collector ||
					in.State == "active" && x.Rate == 0 || in.State == "silent" && x.SilentSince == nil ||
					q != "" && !strings.Contains(strings.ToLower(x.Peer+" "+x.Name+" "+x.Zone+" "+x.Item), q)
			})
			page, err := paged(list, in.PageInput)
			return Reply(page), err
		})
	Register(s, huma.Operation{OperationID: "forget-sender", Method: http.MethodDelete, Path: "/intake/sources/{id}", Tags: []string{"storage"}, DefaultStatus: http.StatusNoContent, Errors: []int{404},
		Summary: "Take a sender off the list that will not send again, and with it the alarm that it is silent"}, identity.ScopeConfigure,
		func(ctx context.Context, in *struct {
			ID string `path:"id" maxLength:"64"`
		}) (*Empty, error) {
			AuditObject(ctx, "source:"+in.ID, "", "")
			if err := cityOnly(ctx); err != nil {
				return nil, err
			}
			err := h.Senders.Forget(ctx, in.ID)
			if errors.Is(err, usage.ErrNoSource) {
				return nil, NotFound("source", in.ID)
			}
			return nil, err
		})
	Register(s, huma.Operation{OperationID: "list-slow-searches", Method: http.MethodGet, Path: "/search/slow", Tags: []string{"search"},
		Summary: "Searches that took longer than the setting watch says, the latest first"}, identity.ScopeSystem,
		func(ctx context.Context, in *struct{ PageInput }) (*Body[Page[slow.Search]], error) {
			if err := cityOnly(ctx); err != nil {
				return nil, err
			}
			from, err := offset(in.Cursor)
			if err != nil {
				return nil, err
			}
			list, total, err := h.Slow.List(ctx, in.Limit, from)
			if err != nil {
				return nil, err
			}
			return Reply(PageOf(list, total, following(from+len(list), total))), nil
		})
}
