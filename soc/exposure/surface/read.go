package surface

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/uptrace/bun"

	"icewatch/cmdb"
	"icewatch/detections"
	"icewatch/soc/exposure/scan"
	"icewatch/soc/reach"
	"icewatch/soc/watch"
)

// tenants keeps the rows of tenants that are in reach as a whole.
func tenants(q *bun.SelectQuery, r reach.Reach) *bun.SelectQuery {
	slugs, all := r.TenantSlugs()
	if all {
		return q
	}
	whole := slices.DeleteFunc(slices.Clone(slugs), func(t string) bool { return !r.CoversWhole(t) })
	if len(whole) == 0 {
		return q.Where("1 = 0")
	}
	return q.Where("r.tenant IN (?)", bun.In(whole))
}

// HostQuestion narrows a list of hosts.
type HostQuestion struct {
	Words, State, Zone string
	Unknown            bool // only those that the CMDB does not know
	Limit, Offset      int
}

// Hosts lists the hosts in reach by address, and counts them.
func (s *Service) Hosts(ctx context.Context, r reach.Reach, q HostQuestion) ([]SurfaceHost, int, error) {
	narrow := func(x *bun.SelectQuery) *bun.SelectQuery {
		x = tenants(x, r)
		if q.State != "" {
			x = x.Where("r.state = ?", q.State)
		}
		if q.Zone != "" {
			x = x.Where("r.zone = ?", q.Zone)
		}
		if q.Unknown {
			x = x.Where("r.item = ''")
		}
		for _, w := range strings.Fields(strings.ToLower(clip(q.Words, 300))) {
			x = x.Where(`r.words LIKE ? ESCAPE '\'`, "%"+strings.NewReplacer(`\`, `\\`, `%`, `\%`, `_`, `\_`).Replace(w)+"%")
		}
		return x
	}
	total, err := narrow(s.Database.NewSelect().Model((*hostRow)(nil))).Count(ctx)
	if err != nil {
		return nil, 0, fmt.Errorf("surface: count hosts: %w", err)
	}
	var rows []hostRow
	if err := narrow(s.Database.NewSelect().Model(&rows)).Order("r.tenant", "r.zone", "r.address").Limit(int64(max(q.Limit, 1))).Offset(int64(q.Offset)).Scan(ctx); err != nil {
		return nil, 0, fmt.Errorf("surface: list hosts: %w", err)
	}
	out := make([]SurfaceHost, len(rows))
	for i := range rows {
		if err := json.Unmarshal([]byte(rows[i].Doc), &out[i]); err != nil {
			return nil, 0, fmt.Errorf("surface: the host %s cannot be read: %w", rows[i].Address, err)
		}
	}
	return out, int(total), nil
}

// ChangeQuestion narrows a list of changes.
type ChangeQuestion struct {
	Kinds   []string
	Since   time.Time
	Run     string
	Address string
	Open    bool // only those that nobody looked at
	Limit   int
	Before  int64 // id of the last one of the page before
}

// Changes lists what changed in reach, the latest first, and counts it.
func (s *Service) Changes(ctx context.Context, r reach.Reach, q ChangeQuestion) ([]SurfaceChange, int, error) {
	narrow := func(x *bun.SelectQuery) *bun.SelectQuery {
		x = tenants(x, r)
		if len(q.Kinds) > 0 {
			x = x.Where("r.kind IN (?)", bun.In(q.Kinds))
		}
		if !q.Since.IsZero() {
			x = x.Where("r.at >= ?", q.Since.UnixMilli())
		}
		if q.Run != "" {
			x = x.Where("r.run = ?", q.Run)
		}
		if q.Address != "" {
			x = x.Where("r.address = ?", q.Address)
		}
		if q.Open {
			x = x.Where("r.acked = 0")
		}
		return x
	}
	total, err := narrow(s.Database.NewSelect().Model((*changeRow)(nil))).Count(ctx)
	if err != nil {
		return nil, 0, fmt.Errorf("surface: count changes: %w", err)
	}
	var rows []changeRow
	x := narrow(s.Database.NewSelect().Model(&rows))
	if q.Before > 0 {
		x = x.Where("r.id < ?", q.Before)
	}
	if err := x.Order("r.id DESC").Limit(int64(max(q.Limit, 1))).Scan(ctx); err != nil {
		return nil, 0, fmt.Errorf("surface: list changes: %w", err)
	}
	out := make([]SurfaceChange, len(rows))
	for i := range rows {
		if err := json.Unmarshal([]byte(rows[i].Doc), &out[i]); err != nil {
			return nil, 0, fmt.Errorf("surface: a change cannot be read: %w", err)
		}
		out[i].ID = rows[i].ID
	}
	return out, int(total), nil
}

// Acknowledge notes that somebody looked at changes; all or none.
func (s *Service) Acknowledge(ctx context.Context, r reach.Reach, actor string, ids []int64) error {
	if len(ids) == 0 || len(ids) > 1000 {
		return fmt.Errorf("%w: choose 1 to 1000 changes", ErrInvalid)
	}
	ids = slices.Compact(slices.Sorted(slices.Values(ids)))
	now := s.now()
	return s.Database.Change(ctx, func(ctx context.Context, tx bun.Tx) error {
		var rows []changeRow
		if err := tenants(tx.NewSelect().Model(&rows), r).Where("r.id IN (?)", bun.In(ids)).Scan(ctx); err != nil {
			return fmt.Errorf("surface: read changes: %w", err)
		}
		if len(rows) != len(ids) {
			return fmt.Errorf("%w: %d of %d changes are not there, or not within your reach", ErrNotFound, len(ids)-len(rows), len(ids))
		}
		for i := range rows {
			if rows[i].Acked > 0 {
				continue
			}
			var c SurfaceChange
			if err := json.Unmarshal([]byte(rows[i].Doc), &c); err != nil {
				return fmt.Errorf("surface: a change cannot be read: %w", err)
			}
			c.AckedBy, c.AckedAt = actor, now
			doc, err := json.Marshal(c)
			if err != nil {
				return fmt.Errorf("surface: %w", err)
			}
			rows[i].Acked, rows[i].Doc = now.UnixMilli(), string(doc)
			if _, err := tx.NewUpdate().Model(&rows[i]).Column("acked", "doc").WherePK().Exec(ctx); err != nil {
				return fmt.Errorf("surface: keep a change: %w", err)
			}
		}
		return nil
	})
}

// SurfaceFigures are figures of the surface in reach.
type SurfaceFigures struct {
	Hosts      int            `json:"hosts"`
	Unknown    int            `json:"unknown" doc:"That the CMDB does not know"`
	States     map[string]int `json:"states"`
	Categories map[string]int `json:"categories" doc:"Open ports by the kind of service"`
	Changes    map[string]int `json:"changes" doc:"Since yesterday, by kind"`
	Open       int            `json:"open_changes" doc:"That nobody looked at"`
}

// Figures counts the surface in reach.
func (s *Service) Figures(ctx context.Context, r reach.Reach) (SurfaceFigures, error) {
	out := SurfaceFigures{States: map[string]int{}, Categories: map[string]int{}, Changes: map[string]int{}}
	fail := func(err error) (SurfaceFigures, error) { return out, fmt.Errorf("surface: figures: %w", err) }
	offset := 0
	for {
		list, total, err := s.Hosts(ctx, r, HostQuestion{Limit: 1000, Offset: offset})
		if err != nil {
			return fail(err)
		}
		for i := range list {
			out.Hosts++
			out.States[list[i].State]++
			if list[i].Item == "" {
				out.Unknown++
			}
			for j := range list[i].Services {
				out.Categories[list[i].Services[j].Category]++
			}
		}
		if offset += len(list); len(list) == 0 || offset >= total || offset >= 100_000 {
			break
		}
	}
	var rows []struct {
		Kind string
		N    int
	}
	if err := tenants(s.Database.NewSelect().Model((*changeRow)(nil)), r).ColumnExpr("r.kind AS kind, count(*) AS n").Where("r.at >= ?", s.now().Add(-24*time.Hour).UnixMilli()).Group("r.kind").Scan(ctx, &rows); err != nil {
		return fail(err)
	}
	for _, x := range rows {
		out.Changes[x.Kind] = x.N
	}
	n, err := tenants(s.Database.NewSelect().Model((*changeRow)(nil)), r).Where("r.acked = 0").Count(ctx)
	if err != nil {
		return fail(err)
	}
	out.Open = int(n)
	return out, nil
}

// Compare tells what differs between what two runs saw. Only where both looked at the
// same ports a port that is missing is one that closed.
func Compare(a, b *scan.ScanRun, before, after []scan.Seen, at time.Time, days int) []SurfaceChange {
	old := map[string]*SurfaceHost{}
	for i := range before {
		h := hostOf(a, &before[i])
		h.LastSeen = a.EndedAt
		old[h.Address] = &h
	}
	out := []SurfaceChange{}
	for i := range after {
		h := hostOf(b, &after[i])
		o := old[h.Address]
		if o == nil {
			out = append(out, SurfaceChange{Tenant: h.Tenant, Zone: h.Zone, Run: b.ID, At: at, Kind: HostNew, Address: h.Address, After: strings.Join(h.Names, " ")})
			continue
		}
		delete(old, h.Address)
		out = append(out, diff(o, &h, func(*SurfaceService) bool { return true }, at, days)...)
	}
	for _, address := range slices.Sorted(maps.Keys(old)) {
		out = append(out, SurfaceChange{Tenant: b.Tenant, Zone: b.Zone, Run: b.ID, At: at, Kind: HostSilent, Address: address, Before: strings.Join(old[address].Names, " ")})
	}
	return out
}

// HostPlace names a host.
type HostPlace struct {
	Tenant  string `json:"tenant" minLength:"1" maxLength:"63"`
	Zone    string `json:"zone" minLength:"1" maxLength:"200"`
	Address string `json:"address" minLength:"1" maxLength:"64"`
}

// SurfaceImport is what came of hosts that were chosen for the CMDB.
type SurfaceImport struct {
	Hosts    int      `json:"hosts" doc:"Made of hosts"`
	Known    int      `json:"known" doc:"Were there already"`
	Software int      `json:"software" doc:"Made of services"`
	Import   int64    `json:"import,omitempty" doc:"What undo of the CMDB's imports names"`
	Refused  []string `json:"refused" nullable:"false" doc:"Why the CMDB took some not"`
}

// Import makes items of hosts that were chosen, and where it is asked of the databases
// and middleware on them. What is there already stays as it is.
func (s *Service) Import(ctx context.Context, r reach.Reach, actor string, chosen []HostPlace, software bool) (SurfaceImport, error) {
	out := SurfaceImport{Refused: []string{}}
	if len(chosen) == 0 || len(chosen) > 1000 {
		return out, fmt.Errorf("%w: choose 1 to 1000 hosts", ErrInvalid)
	}
	s.taking.Lock()
	defer s.taking.Unlock()
	byTenant := map[string][]*kept{}
	for _, p := range chosen {
		var rows []hostRow
		if err := s.Database.NewSelect().Model(&rows).Where("r.tenant = ? AND r.zone = ? AND r.address = ?", p.Tenant, p.Zone, p.Address).Scan(ctx); err != nil {
			return out, fmt.Errorf("surface: read a host: %w", err)
		}
		if len(rows) == 0 || !r.CoversWhole(p.Tenant) {
			return out, fmt.Errorf("%w: %s", ErrNotFound, clip(p.Address, 64))
		}
		k := &kept{}
		if err := json.Unmarshal([]byte(rows[0].Doc), k); err != nil {
			return out, fmt.Errorf("surface: the host %s cannot be read: %w", p.Address, err)
		}
		byTenant[p.Tenant] = append(byTenant[p.Tenant], k)
	}
	for _, tenant := range slices.Sorted(maps.Keys(byTenant)) {
		hosts := byTenant[tenant]
		var list []cmdb.Fields
		var of []*kept
		for _, h := range hosts {
			at, err := s.Items.At(ctx, []cmdb.ZonedAddress{{Zone: h.Zone, Address: h.Address}})
			if err != nil {
				return out, err
			}
			if h.Item = at[cmdb.ZonedAddress{Zone: h.Zone, Address: h.Address}]; h.Item != "" {
				out.Known++
				continue
			}
			list, of = append(list, (&reconciling{s: s}).fresh(h)), append(of, h)
		}
		source := fmt.Sprintf("discovery: %d hosts", len(hosts))
		report, refused, err := s.upsert(ctx, tenant, actor, source, list, func(i int, id string) { of[i].Item = id })
		if err != nil {
			return out, err
		}
		out.Hosts, out.Refused = out.Hosts+report.Created, append(out.Refused, refused...)
		if out.Import == 0 {
			out.Import = report.Import
		}
		if software {
			list, err := s.software(ctx, tenant, hosts)
			if err != nil {
				return out, err
			}
			report, refused, err := s.upsert(ctx, tenant, actor, source+", services", list, func(int, string) {})
			if err != nil {
				return out, err
			}
			out.Software, out.Refused = out.Software+report.Created, append(out.Refused, refused...)
		}
		if err := s.Database.Change(ctx, func(ctx context.Context, tx bun.Tx) error { return writeHosts(ctx, tx, hosts) }); err != nil {
			return out, fmt.Errorf("surface: keep hosts: %w", err)
		}
	}
	return out, nil
}

// alarmOf are the alarms by the kinds of changes that they tell of.
var alarmOf = []struct {
	alarm  string
	kinds  []string
	zh, en string
}{
	{"surface-ports", []string{PortOpened, Software}, "新开放端口或服务变更", "ports that opened or services that changed"},
	{"surface-sites", []string{SiteNew, SiteChanged}, "新增或变更的网站", "sites that are new or changed"},
	{"surface-certificates", []string{CertChanged, CertExpiring, CertExpired}, "证书变更、即将过期或已过期", "certificates that changed, expire or have expired"},
	{"surface-unknown", []string{HostUnknown, HostNew}, "新出现或未登记的资产", "assets that are new or unknown to the CMDB"},
	{"surface-silent", []string{HostSilent}, "失联资产", "assets that fell silent"},
}

// Alarms tell, by tenant and kind, of changes that nobody looked at yet.
func (s *Service) Alarms(ctx context.Context) ([]watch.Alarm, error) {
	since := s.now().AddDate(0, 0, -s.Policy().Alarm).UnixMilli()
	out := []watch.Alarm{}
	for _, a := range alarmOf {
		var rows []struct {
			Tenant  string
			N       int
			Address string
		}
		if err := s.Database.NewSelect().Model((*changeRow)(nil)).ColumnExpr("r.tenant AS tenant, count(*) AS n, max(r.address) AS address").Where("r.acked = 0 AND r.at >= ? AND r.kind IN (?)", since, bun.In(a.kinds)).Group("r.tenant").Order("r.tenant").Limit(100).Scan(ctx, &rows); err != nil {
			return nil, fmt.Errorf("surface: count what nobody looked at: %w", err)
		}
		for _, x := range rows {
			out = append(out, watch.Alarm{Kind: a.alarm, Key: a.alarm + "/" + x.Tenant, Fields: map[string]string{"tenant": x.Tenant, "changes": fmt.Sprint(x.N), "address": x.Address},
				Detail: detections.Text{ZH: fmt.Sprintf("租户 %s 的暴露面有 %d 处%s未确认，例如 %s", x.Tenant, x.N, a.zh, x.Address), EN: fmt.Sprintf("The surface of %s has %d %s that nobody looked at, %s for one", x.Tenant, x.N, a.en, x.Address)}})
		}
	}
	return out, nil
}
