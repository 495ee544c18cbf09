package surface

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/uptrace/bun"

	"icewatch/cmdb"
	"icewatch/soc/exposure/scan"
)

// Take brings what a run saw into the CMDB and notes what changed since. A run that was
// taken before changes nothing.
func (s *Service) Take(ctx context.Context, run scan.ScanRun, mode string, seen []scan.Seen) (scan.ScanDiscovery, error) {
	s.taking.Lock()
	defer s.taking.Unlock()
	out := scan.ScanDiscovery{Hosts: len(seen), Notes: []string{}}
	var done []runRow
	if err := s.Database.NewSelect().Model(&done).Where("r.run = ?", run.ID).Scan(ctx); err != nil {
		return out, fmt.Errorf("surface: was the run %s taken: %w", run.ID, err)
	}
	if len(done) > 0 {
		return out, json.Unmarshal([]byte(done[0].Doc), &out)
	}
	first, err := s.Database.NewSelect().Model((*runRow)(nil)).Where("r.task = ?", run.Task).Count(ctx)
	if err != nil {
		return out, fmt.Errorf("surface: %w", err)
	}
	had, err := s.known(ctx, run.Tenant, run.Zone)
	if err != nil {
		return out, err
	}
	now, policy := s.now(), s.Policy()
	complete := run.EndState == "done"
	hosts := make([]*kept, 0, len(seen))
	var measured []*kept
	byAddress := map[string]*kept{}
	for i := range seen {
		h := &kept{SurfaceHost: hostOf(&run, &seen[i])}
		h.FirstSeen, h.LastSeen = now, now
		if len(h.Metrics) > 0 {
			measured = append(measured, h)
		}
		h.seen = slices.Clone(h.Services)
		if o := had[h.Address]; o != nil {
			h.inherit(o, run.Task)
			h.keepUnseen(o, run.Task, complete)
		}
		hosts = append(hosts, h)
		byAddress[h.Address] = h
	}
	r := &reconciling{s: s, run: &run, mode: mode, hosts: hosts, had: had, answered: byAddress, out: &out}
	if err := r.all(ctx); err != nil {
		return out, err
	}
	if err := r.duplicates(ctx); err != nil {
		return out, err
	}
	if s.Adopt != nil {
		items := map[string]string{}
		for _, h := range hosts {
			if h.Item != "" {
				items[h.Address] = h.Item
			}
		}
		if err := s.Adopt(ctx, "scan "+run.Name, run.Tenant, run.Zone, items); err != nil {
			return out, err
		}
	}
	changes := []SurfaceChange{}
	for _, h := range hosts {
		changes = append(changes, s.judge(had[h.Address], h, &run, complete, first > 0, now, policy)...)
	}
	var write []*kept
	write = append(write, hosts...)
	var silent []*kept
	if complete {
		for address, o := range had {
			if byAddress[address] != nil || !slices.Contains(o.Tasks, run.Task) || r.moved[address] {
				continue
			}
			next := *o
			next.Missed++
			was := next.State
			switch {
			case next.Missed >= policy.Vanished:
				next.State = Vanished
			case next.Missed >= policy.Stale:
				next.State = Stale
			}
			if next.State != was {
				changes = append(changes, SurfaceChange{Tenant: run.Tenant, Zone: run.Zone, Run: run.ID, At: now, Kind: HostSilent, Address: address, Item: next.Item, Before: was, After: next.State})
				silent = append(silent, &next)
			}
			switch next.State {
			case Stale:
				out.Stale++
			case Vanished:
				out.Vanished++
			}
			write = append(write, &next)
		}
	}
	if err := r.states(ctx, append(silent, r.back...)); err != nil {
		return out, err
	}
	out.Changes = len(changes)
	doc, err := json.Marshal(out)
	if err != nil {
		return out, fmt.Errorf("surface: %w", err)
	}
	err = s.Database.Change(ctx, func(ctx context.Context, tx bun.Tx) error {
		if err := writeHosts(ctx, tx, write); err != nil {
			return err
		}
		for address := range r.moved {
			if byAddress[address] == nil {
				if _, err := tx.NewDelete().Model((*hostRow)(nil)).Where("tenant = ? AND zone = ? AND address = ?", run.Tenant, run.Zone, address).Exec(ctx); err != nil {
					return err
				}
			}
		}
		rows := make([]changeRow, len(changes))
		for i := range changes {
			text, err := json.Marshal(changes[i])
			if err != nil {
				return err
			}
			rows[i] = changeRow{Tenant: run.Tenant, Run: run.ID, At: now.UnixMilli(), Kind: changes[i].Kind, Address: changes[i].Address, Doc: string(text)}
		}
		for part := range slices.Chunk(rows, 200) {
			if _, err := tx.NewInsert().Model(&part).Exec(ctx); err != nil {
				return err
			}
		}
		_, err := tx.NewInsert().Model(&runRow{Run: run.ID, Tenant: run.Tenant, Task: run.Task, At: now.UnixMilli(), Doc: string(doc)}).Exec(ctx)
		return err
	})
	if err != nil {
		return out, fmt.Errorf("surface: keep what the run %s saw: %w", run.ID, err)
	}
	s.measured(ctx, &run, measured)
	return out, nil
}

// measured hands on the numbers that a run read. What is lost of them the next run
// brings anew.
func (s *Service) measured(ctx context.Context, run *scan.ScanRun, hosts []*kept) {
	if s.Samples == nil || len(hosts) == 0 {
		return
	}
	list := make([]SurfaceHost, len(hosts))
	for i, h := range hosts {
		list[i] = h.SurfaceHost
	}
	at := run.EndedAt
	if at.IsZero() {
		at = s.now()
	}
	if err := s.Samples(ctx, run.Tenant, at, list); err != nil {
		s.Log.Warn("surface: what was measured of hosts is not among the metrics", "run", run.ID, "hosts", len(list), "error", err)
	}
}

// judge tells what changed of a host. The first discovery of a task tells of no change:
// all of it is new; only what is wrong as it is.
func (s *Service) judge(o, h *kept, run *scan.ScanRun, complete, again bool, now time.Time, p Policy) []SurfaceChange {
	was := &SurfaceHost{Tenant: h.Tenant, Zone: h.Zone, Address: h.Address}
	if o != nil {
		was = &o.SurfaceHost
	}
	looked := h.SurfaceHost
	looked.Services = h.seen
	out := diff(was, &looked, func(v *SurfaceService) bool { return complete && slices.Contains(v.Tasks, run.Task) }, now, p.Certificate)
	whole := func(kind, before string) {
		out = append(out, SurfaceChange{Tenant: h.Tenant, Zone: h.Zone, Run: run.ID, At: now, Kind: kind, Address: h.Address, Item: h.Item, Before: before, After: strings.Join(h.Names, " ")})
	}
	switch {
	case o == nil:
		// What listens on a new host is told by the host.
		out = slices.DeleteFunc(out, func(c SurfaceChange) bool { return c.Kind == PortOpened || c.Kind == SiteNew })
		whole(HostNew, "")
	case o.State != Present:
		whole(HostBack, o.State)
	}
	if h.Item == "" && (o == nil || o.Item != "") {
		whole(HostUnknown, "")
	}
	if !again {
		out = slices.DeleteFunc(out, func(c SurfaceChange) bool {
			return c.Kind != CertExpired && c.Kind != CertExpiring && c.Kind != HostUnknown
		})
	}
	return out
}

// inherit takes over what stays of a host from one discovery to the next.
func (h *kept) inherit(o *kept, task string) {
	h.FirstSeen, h.Wrote, h.WroteNames, h.Item = o.FirstSeen, o.Wrote, o.WroteNames, o.Item
	if h.MAC == "" {
		h.MAC, h.Vendor = o.MAC, o.Vendor
	}
	if h.OS == "" {
		h.OS = o.OS
	}
	if h.Attributes == nil {
		h.Attributes = o.Attributes
	}
	if h.Metrics == nil {
		h.Metrics = o.Metrics
	}
	if h.Programs == nil {
		h.Programs = o.Programs
	}
	h.Tasks = slices.Clone(o.Tasks)
	if !slices.Contains(h.Tasks, task) {
		h.Tasks = append(h.Tasks, task)
		slices.Sort(h.Tasks)
	}
}

// keepUnseen keeps the services that the run did not look at, and what it could not
// tell of those that it saw.
func (h *kept) keepUnseen(o *kept, task string, complete bool) {
	at := map[string]int{}
	for i := range h.Services {
		at[h.Services[i].place()] = i
	}
	for _, v := range o.Services {
		i, seen := at[v.place()]
		if seen {
			n := &h.Services[i]
			n.Tasks = slices.Clone(v.Tasks)
			if !slices.Contains(n.Tasks, task) {
				n.Tasks = append(n.Tasks, task)
				slices.Sort(n.Tasks)
			}
			if n.Service == "" {
				n.Service, n.Product, n.Version, n.Category = v.Service, v.Product, v.Version, v.Category
				n.URL, n.Status, n.Title, n.Server = cmp.Or(n.URL, v.URL), cmp.Or(n.Status, v.Status), cmp.Or(n.Title, v.Title), cmp.Or(n.Server, v.Server)
			}
			if n.Fingerprint == "" {
				n.Subject, n.Issuer, n.Fingerprint, n.Expires = v.Subject, v.Issuer, v.Fingerprint, v.Expires
			}
			continue
		}
		if !complete || !slices.Contains(v.Tasks, task) {
			h.Services = append(h.Services, v)
		}
	}
	sortServices(h.Services)
}

func writeHosts(ctx context.Context, tx bun.Tx, hosts []*kept) error {
	rows := make([]hostRow, len(hosts))
	for i, h := range hosts {
		doc, err := json.Marshal(h)
		if err != nil {
			return err
		}
		words := append([]string{h.Address, h.MAC, h.Vendor, h.OS, h.Item}, h.Names...)
		for j := range h.Services {
			v := &h.Services[j]
			words = append(words, fmt.Sprint(v.Port), v.Service, v.Product, v.Title, v.Subject)
		}
		rows[i] = hostRow{Tenant: h.Tenant, Zone: h.Zone, Address: h.Address, Item: h.Item, MAC: h.MAC, State: h.State, Seen: h.LastSeen.UnixMilli(), Words: clip(strings.ToLower(strings.Join(words, "\n")), 4000), Doc: string(doc)}
	}
	for part := range slices.Chunk(rows, 100) {
		q := tx.NewInsert().Model(&part).On("CONFLICT (tenant, zone, address) DO UPDATE")
		for _, c := range []string{"item", "mac", "state", "seen", "words", "doc"} {
			q = q.Set("? = EXCLUDED.?", bun.Ident(c), bun.Ident(c))
		}
		if _, err := q.Exec(ctx); err != nil {
			return err
		}
	}
	return nil
}

// known are all hosts of a tenant in a zone, by address.
func (s *Service) known(ctx context.Context, tenant, zone string) (map[string]*kept, error) {
	var rows []hostRow
	if err := s.Database.NewSelect().Model(&rows).Where("r.tenant = ? AND r.zone = ?", tenant, zone).Scan(ctx); err != nil {
		return nil, fmt.Errorf("surface: read hosts: %w", err)
	}
	out := make(map[string]*kept, len(rows))
	for i := range rows {
		k := &kept{}
		if err := json.Unmarshal([]byte(rows[i].Doc), k); err != nil {
			return nil, fmt.Errorf("surface: the host %s cannot be read: %w", rows[i].Address, err)
		}
		out[k.Address] = k
	}
	return out, nil
}

func places(zone string, hosts []*kept) []cmdb.ZonedAddress {
	out := make([]cmdb.ZonedAddress, len(hosts))
	for i, h := range hosts {
		out[i] = cmdb.ZonedAddress{Zone: zone, Address: h.Address}
	}
	return out
}
