package surface

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"icewatch/cmdb"
	"icewatch/cmdb/discovered"
	"icewatch/cmdb/inbox"
	"icewatch/collectors/scanner/wire"
	"icewatch/soc/exposure/scan"
	"icewatch/soc/reach"
)

// Sources of what is written to items, the stronger first. What a person or an agent
// wrote is stronger than all of them: discovery changes only what is empty or what it
// wrote itself.
const (
	bySNMP = "deep" // read on the host, over SSH or SNMP
	byScan = "scan" // guessed from outside
)

// reconciling brings the hosts of a run into the CMDB.
//
// A host is the item at its address in its zone; else the one whose network card (MAC)
// answered at another address before and no longer does; else the one host of the
// tenant that has the name and no address; else the one that is certainly the same
// machine by serial number, machine id or SNMP engine. An address in two zones is two
// hosts.
type reconciling struct {
	s        *Service
	run      *scan.ScanRun
	mode     string
	hosts    []*kept
	had      map[string]*kept
	answered map[string]*kept
	out      *scan.ScanDiscovery

	items  map[string]*cmdb.Item
	moved  map[string]bool               // addresses that a host had before
	wrote  map[string]map[string]written // what this run writes to items
	byItem map[string][]*kept            // what is seen of items, at each of their addresses
	back   []*kept
}

func (r *reconciling) note(format string, args ...any) {
	r.out.Conflicts++
	if len(r.out.Notes) < 50 {
		r.out.Notes = append(r.out.Notes, clip(fmt.Sprintf(format, args...), 400))
	}
}

var computers = []string{"host", "vm", "container"}

func (r *reconciling) all(ctx context.Context) error {
	r.moved, r.items, r.wrote = map[string]bool{}, map[string]*cmdb.Item{}, map[string]map[string]written{}
	at, err := r.s.Items.At(ctx, places(r.run.Zone, r.hosts))
	if err != nil {
		return err
	}
	byMAC := map[string]*kept{}
	for _, o := range r.had {
		if o.MAC != "" && o.Item != "" && r.answered[o.Address] == nil {
			byMAC[o.MAC] = o
		}
	}
	from := map[string]*kept{} // by new address: where its host was before
	for _, h := range r.hosts {
		h.Item = at[cmdb.ZonedAddress{Zone: r.run.Zone, Address: h.Address}]
		if o := byMAC[h.MAC]; h.Item == "" && h.MAC != "" && o != nil {
			h.Item, from[h.Address] = o.Item, o
			delete(byMAC, h.MAC)
		}
		if h.Item == "" {
			if h.Item, err = r.byName(ctx, h.Names); err != nil {
				return err
			}
		}
	}
	if err := r.byMarks(ctx); err != nil {
		return err
	}
	var ids []string
	r.byItem = map[string][]*kept{}
	for _, h := range r.hosts {
		if h.Item != "" {
			ids = append(ids, h.Item)
			r.byItem[h.Item] = append(r.byItem[h.Item], h)
		}
	}
	left := map[*kept]bool{} // addresses that their hosts gave up
	for _, o := range from {
		left[o] = true
	}
	for _, o := range r.had {
		if o.Item != "" && r.answered[o.Address] == nil && o.State == Present && !left[o] {
			r.byItem[o.Item] = append(r.byItem[o.Item], o)
		}
	}
	slices.Sort(ids)
	items, err := r.s.Items.Some(ctx, slices.Compact(ids))
	if err != nil {
		return err
	}
	for i := range items {
		r.items[items[i].ID] = &items[i]
	}
	var list []cmdb.Fields
	var unknown []*kept
	var of []*kept              // whose the fields are
	changed := map[string]int{} // item → its change
	for _, h := range r.hosts {
		if h.Item != "" && r.items[h.Item] == nil {
			h.Item = "" // it went meanwhile
		}
		it := r.items[h.Item]
		if it == nil {
			unknown = append(unknown, h)
			continue
		}
		if it.Tenant != r.run.Tenant {
			r.note("%s is another tenant's in the CMDB: it is left as it is", h.Address)
			h.Item = "" // whose id is no business of this tenant
			continue
		}
		r.out.Known++
		if o := r.had[h.Address]; o != nil && o.State != Present {
			r.back = append(r.back, h)
		}
		f := r.change(h, it, from[h.Address])
		if f == nil {
			continue
		}
		// Of a host at several addresses there is one change.
		apply(it, f)
		if i, ok := changed[it.ID]; ok {
			list[i] = joined(list[i], f)
			continue
		}
		changed[it.ID] = len(list)
		list, of = append(list, *f), append(of, h)
	}
	switch r.mode {
	case scan.Create:
		for _, h := range unknown {
			list, of = append(list, r.fresh(h)), append(of, h)
		}
	case scan.ToInbox:
		if err := r.offer(ctx, unknown); err != nil {
			return err
		}
	}
	if err := r.upsert(ctx, list, of, "hosts"); err != nil {
		return err
	}
	for address := range from {
		if h := r.answered[address]; h.Item != "" {
			r.moved[from[address].Address] = true
		}
	}
	if r.mode == scan.Create {
		software, err := r.s.software(ctx, r.run.Tenant, r.hosts)
		if err != nil {
			return err
		}
		before := r.out.Created
		if err := r.upsert(ctx, software, nil, "services"); err != nil {
			return err
		}
		r.out.Software = r.out.Created - before
		r.out.Created = before
	}
	return nil
}

// byMarks finds the items of hosts at addresses that no item has, by what tells their
// machines from others.
func (r *reconciling) byMarks(ctx context.Context) error {
	var d *directory
	for _, h := range r.hosts {
		if h.Item != "" || len(h.Attributes) == 0 {
			continue
		}
		if d == nil {
			var err error
			if d, err = r.directory(ctx); err != nil {
				return err
			}
		}
		h.Item = d.same(h)
	}
	return nil
}

// apply makes of an item what a change makes of it.
func apply(it *cmdb.Item, f *cmdb.Fields) {
	if f.Hostnames != nil {
		it.Hostnames = *f.Hostnames
	}
	if f.Addresses != nil {
		it.Addresses = *f.Addresses
	}
	for name, value := range f.Attributes {
		if it.Attributes == nil {
			it.Attributes = map[string]string{}
		}
		it.Attributes[name] = *value
	}
}

// joined is a change with a later one of the same item.
func joined(a cmdb.Fields, b *cmdb.Fields) cmdb.Fields {
	if b.Hostnames != nil {
		a.Hostnames = b.Hostnames
	}
	if b.Addresses != nil {
		a.Addresses = b.Addresses
	}
	maps.Copy(a.Attributes, b.Attributes)
	return a
}

// ports are the open ports of an item at all of its addresses.
func (r *reconciling) ports(item string, h *kept) string {
	var out []int
	add := func(o *kept) {
		for i := range o.Services {
			if p := o.Services[i].Port; !slices.Contains(out, p) && len(out) < 100 {
				out = append(out, p)
			}
		}
	}
	add(h)
	if item != "" {
		for _, o := range r.byItem[item] {
			if o != h {
				add(o)
			}
		}
	}
	slices.Sort(out)
	texts := make([]string, len(out))
	for i, p := range out {
		texts[i] = strconv.Itoa(p)
	}
	return strings.Join(texts, ";")
}

// byName is the one host of the tenant that is called so and has no address.
func (r *reconciling) byName(ctx context.Context, names []string) (string, error) {
	for _, n := range names {
		page, err := r.s.Items.Items(ctx, reach.Tenants(r.run.Tenant), cmdb.Filter{Classes: computers, Tenants: []string{r.run.Tenant}, Query: n, Limit: 20})
		if err != nil {
			return "", err
		}
		var same []string
		for i := range page.Items {
			it := &page.Items[i]
			if len(it.Addresses) == 0 && it.Zone == r.run.Zone && (strings.EqualFold(it.Name, n) || slices.Contains(it.Hostnames, n)) {
				same = append(same, it.ID)
			}
		}
		if len(same) == 1 {
			return same[0], nil
		}
	}
	return "", nil
}

// want are the attributes that discovery knows of a host, with where each is from.
func want(h *kept, ports string) map[string]written {
	out := map[string]written{}
	set := func(name, value, source string) {
		if value != "" {
			out[name] = written{value, source}
		}
	}
	set("os", h.OS, byScan)
	set("mac", h.MAC, byScan)
	set("network_vendor", h.Vendor, byScan)
	set("open_ports", ports, byScan)
	set("discovery_source", scan.Engine, byScan)
	set("discovery_type", "active", byScan)
	for name, value := range h.Attributes {
		switch name {
		case "os", "os_version", "kernel", "location", "contact", "description", wire.AttributeMachine, wire.AttributeEngine:
			set(name, value, bySNMP)
		case "serial":
			set("serial_number", clip(value, 100), bySNMP)
		case "model":
			set("product", value, bySNMP)
		case "vendor":
			set("vendor", value, bySNMP)
		case "cores":
			if n, err := strconv.Atoi(value); err == nil && n > 0 {
				set("cpu_cores", value, bySNMP)
			}
		case "memory", "disk":
			if n, err := strconv.ParseFloat(value, 64); err == nil && n > 0 {
				set(name+"_gib", strings.TrimSuffix(strconv.FormatFloat(n/(1<<30), 'f', 1, 64), ".0"), bySNMP)
			}
		}
	}
	return out
}

// change is what is to be changed of a host's item, nil where all is as it was.
func (r *reconciling) change(h *kept, it *cmdb.Item, before *kept) *cmdb.Fields {
	f := &cmdb.Fields{ID: &it.ID, Class: &it.Class, Attributes: map[string]*string{}}
	changed := false
	if before != nil {
		h.Wrote, h.WroteNames, h.FirstSeen = before.Wrote, before.WroteNames, before.FirstSeen
	}
	wrote := map[string]written{}
	computer := slices.Contains(computers, it.Class)
	for name, w := range want(h, r.ports(it.ID, h)) {
		if !computer && (name == "os" || name == "os_version") {
			continue // of a switch or a camera a guess is none of its attributes
		}
		is, mine := it.Attributes[name], h.Wrote[name]
		switch {
		case is == w.Value:
			if now, ok := r.wrote[it.ID][name]; ok || mine.Value == is {
				if wrote[name] = mine; ok {
					wrote[name] = now // at another of its addresses
				}
				if w.Source == bySNMP {
					wrote[name] = w
				}
			}
		case is != "" && is != mine.Value:
			// A person, an agent or an import wrote it.
		case mine.Value == is && is != "" && mine.Source == bySNMP && w.Source == byScan:
			wrote[name] = mine // what was read on the host is better
		default:
			value := w.Value
			f.Attributes[name], wrote[name], changed = &value, w, true
			if r.wrote[it.ID] == nil {
				r.wrote[it.ID] = map[string]written{}
			}
			r.wrote[it.ID][name] = w
		}
	}
	h.Wrote = wrote
	// Names that discovery found before and that are no longer the host's go.
	hostnames := slices.DeleteFunc(slices.Clone(it.Hostnames), func(n string) bool {
		return slices.Contains(h.WroteNames, n) && len(h.Names) > 0 && !slices.Contains(h.Names, n)
	})
	added := slices.DeleteFunc(slices.Clone(h.WroteNames), func(n string) bool { return !slices.Contains(hostnames, n) })
	for _, n := range h.Names {
		if !slices.Contains(hostnames, n) {
			hostnames, added = append(hostnames, n), append(added, n)
		}
	}
	h.WroteNames = added
	if !same(hostnames, it.Hostnames) {
		f.Hostnames, changed = &hostnames, true
	}
	if !slices.Contains(it.Addresses, h.Address) {
		addresses := slices.Clone(it.Addresses)
		if before != nil {
			addresses = slices.DeleteFunc(addresses, func(a string) bool { return a == before.Address })
		}
		addresses = append(addresses, h.Address)
		f.Addresses, changed = &addresses, true
	}
	if !changed {
		return nil
	}
	return f
}

func same(a, b []string) bool {
	x, y := slices.Sorted(slices.Values(a)), slices.Sorted(slices.Values(b))
	return slices.Equal(slices.Compact(x), slices.Compact(y))
}

// fresh is the item that is made of a host.
func (r *reconciling) fresh(h *kept) cmdb.Fields {
	class, kind := classOf(h)
	name, tenant, zone := h.Address, h.Tenant, h.Zone
	if len(h.Names) > 0 {
		name = h.Names[0]
	}
	addresses, hostnames := []string{h.Address}, slices.Clone(h.Names)
	f := cmdb.Fields{Class: &class, Name: &name, Tenant: &tenant, Zone: &zone, Addresses: &addresses, Hostnames: &hostnames, Attributes: map[string]*string{}, Revision: cmdb.MustBeNew}
	h.Wrote, h.WroteNames = want(h, r.ports("", h)), slices.Clone(h.Names)
	if class != "host" { // of a switch or a camera a guess is none of its attributes
		delete(h.Wrote, "os")
		delete(h.Wrote, "os_version")
	}
	if kind != "" {
		h.Wrote["device_type"] = written{kind, byScan}
	}
	for k, w := range h.Wrote {
		value := w.Value
		f.Attributes[k] = &value
	}
	return f
}

// offer puts what the CMDB does not know into its inbox.
func (r *reconciling) offer(ctx context.Context, unknown []*kept) error {
	if len(unknown) == 0 || r.s.Offer == nil {
		return nil
	}
	list := make([]inbox.Offered, len(unknown))
	for i, h := range unknown {
		list[i] = inbox.Offered{Address: h.Address, At: h.LastSeen}
		if len(h.Names) > 0 {
			list[i].Host = h.Names[0]
		}
		for j := range h.Services {
			list[i].Ports = append(list[i].Ports, h.Services[j].Port)
		}
	}
	n, err := r.s.Offer(ctx, r.run.Tenant, r.run.Zone, scan.Engine, list)
	if err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		r.note("the inbox did not take %d addresses: %v", len(list), err)
		return nil
	}
	r.out.Offered = n
	return nil
}

// upsert writes items; one that the CMDB refuses is noted and does not keep the others
// away. of are the hosts whose items they are.
func (r *reconciling) upsert(ctx context.Context, list []cmdb.Fields, of []*kept, what string) error {
	report, refused, err := r.s.upsert(ctx, r.run.Tenant, "scan "+r.run.Name, fmt.Sprintf("scan %s: %s (%s)", r.run.Name, what, r.run.ID), list, func(i int, id string) {
		if of != nil {
			of[i].Item = id
		}
	})
	for _, text := range refused {
		r.note("%s", text)
	}
	r.out.Created, r.out.Updated = r.out.Created+report.Created, r.out.Updated+report.Updated
	r.out.Import = cmp.Or(r.out.Import, report.Import)
	return err
}

// upsert writes items in parts, without those that the CMDB refuses, and tells those.
func (s *Service) upsert(ctx context.Context, tenant, actor, source string, list []cmdb.Fields, done func(i int, id string)) (sum cmdb.Report, refused []string, err error) {
	const part = 2000
	for start := 0; start < len(list); start += part {
		left := make([]int, 0, part)
		for i := start; i < min(start+part, len(list)); i++ {
			left = append(left, i)
		}
		for len(left) > 0 {
			fields := make([]cmdb.Fields, len(left))
			for k, i := range left {
				fields[k] = list[i]
			}
			report, err := s.Items.UpsertAll(ctx, fields, cmdb.ImportOptions{Within: reach.Tenants(tenant), Actor: actor, Source: source})
			if err != nil && ctx.Err() != nil {
				return sum, refused, err
			}
			bad := map[int]bool{}
			for _, e := range report.Errors {
				if e.Row >= 1 && e.Row <= len(left) {
					if !bad[e.Row-1] {
						refused = append(refused, fmt.Sprintf("%s: %s: %s", label(&list[left[e.Row-1]]), e.Column, e.Message))
					}
					bad[e.Row-1] = true
				}
			}
			if len(bad) == 0 {
				if err != nil && len(left) == 1 {
					refused = append(refused, fmt.Sprintf("%s: %v", label(&list[left[0]]), err))
					break
				}
				if err != nil {
					// Which one it is the error does not say: one by one.
					for _, i := range left {
						one, why, err := s.upsert(ctx, tenant, actor, source, list[i:i+1], func(_ int, id string) { done(i, id) })
						if err != nil {
							return sum, refused, err
						}
						refused = append(refused, why...)
						sum.Created, sum.Updated, sum.Import = sum.Created+one.Created, sum.Updated+one.Updated, cmp.Or(sum.Import, one.Import)
					}
					break
				}
				for k, i := range left {
					if k < len(report.IDs) {
						done(i, report.IDs[k])
					}
				}
				sum.Created, sum.Updated, sum.Unchanged, sum.Import = sum.Created+report.Created, sum.Updated+report.Updated, sum.Unchanged+report.Unchanged, cmp.Or(sum.Import, report.Import)
				break
			}
			next := left[:0:0]
			for k, i := range left {
				if !bad[k] {
					next = append(next, i)
				}
			}
			left = next
		}
	}
	return sum, refused, nil
}

func label(f *cmdb.Fields) string {
	switch {
	case f.Name != nil:
		return *f.Name
	case f.ID != nil:
		return *f.ID
	}
	return "?"
}

// states marks items of hosts that are silent, or back.
func (r *reconciling) states(ctx context.Context, hosts []*kept) error {
	var list []cmdb.Fields
	var ids []string
	state := map[string]string{}
	for _, h := range hosts {
		if h.Item != "" {
			ids = append(ids, h.Item)
			state[h.Item] = h.State
		}
	}
	items, err := r.s.Items.Some(ctx, ids)
	if err != nil {
		return err
	}
	for i := range items {
		it := &items[i]
		value := state[it.ID]
		if it.Tenant != r.run.Tenant || it.Attributes["discovery_state"] == value || value == Present && it.Attributes["discovery_state"] == "" {
			continue
		}
		list = append(list, cmdb.Fields{ID: &it.ID, Class: &it.Class, Attributes: map[string]*string{"discovery_state": &value}})
	}
	_, refused, err := r.s.upsert(ctx, r.run.Tenant, "scan "+r.run.Name, fmt.Sprintf("scan %s: states (%s)", r.run.Name, r.run.ID), list, func(int, string) {})
	for _, text := range refused {
		r.note("%s", text)
	}
	return err
}

// software are the databases and middleware on hosts that are items, which the CMDB
// does not have yet.
func (s *Service) software(ctx context.Context, tenant string, hosts []*kept) ([]cmdb.Fields, error) {
	var out []cmdb.Fields
	for _, h := range hosts {
		if h.Item == "" {
			continue
		}
		for i := range h.Services {
			v := &h.Services[i]
			class, product, ok := discovered.Product(cmp.Or(strings.ToLower(v.Service), byPort[v.Port]))
			if !ok {
				class, product, ok = discovered.Product(strings.ToLower(v.Product))
			}
			if !ok || v.Protocol != "tcp" {
				continue
			}
			port := strconv.Itoa(v.Port)
			page, err := s.Items.Items(ctx, reach.Tenants(tenant), cmdb.Filter{Classes: []string{class}, Tenants: []string{tenant}, Query: product + " " + port, Limit: 200})
			if err != nil {
				return nil, err
			}
			if slices.ContainsFunc(page.Items, func(it cmdb.Item) bool {
				return it.Attributes["host"] == h.Item && it.Attributes["port"] == port
			}) {
				continue
			}
			name, item := fmt.Sprintf("%s %s:%d", product, h.Address, v.Port), h.Item
			if len(h.Names) > 0 {
				name = fmt.Sprintf("%s %s:%d", product, h.Names[0], v.Port)
			}
			f := cmdb.Fields{Class: &class, Name: &name, Tenant: &h.Tenant, Attributes: map[string]*string{"product": &product, "port": &port, "host": &item}}
			if v.Version != "" {
				version := v.Version
				f.Attributes["version"] = &version
			}
			out = append(out, f)
		}
	}
	return out, nil
}
