package centre

import (
	"context"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"time"

	"icewatch/cmdb"
	"icewatch/soc/enrich"
	"icewatch/soc/tenancy"
	"icewatch/ticketing"
	"icewatch/ticketing/topology"
)

// relations is the CMDB as ticketing asks who depends on whom.
type relations struct{ *cmdb.Service }

var _ ticketing.Relations = relations{}

// Causes implements ticketing.Relations.
func (r relations) Causes(ctx context.Context, item int32, depth, limit int) ([]topology.Cause, error) {
	list, err := r.Service.Causes(ctx, item, depth, limit)
	if err != nil {
		return nil, err
	}
	out := make([]topology.Cause, len(list))
	for i, c := range list {
		out[i] = topology.Cause(c)
	}
	return out, nil
}

// Named implements ticketing.Relations.
func (r relations) Named(ctx context.Context, items []int32) (map[int32]ticketing.NamedItem, error) {
	found, err := r.Service.Named(ctx, items)
	if err != nil {
		return nil, err
	}
	out := make(map[int32]ticketing.NamedItem, len(found))
	for n, ref := range found {
		out[n] = ticketing.NamedItem{ID: ref.ID, Name: ref.Name, Class: ref.Class, Tenant: ref.Tenant}
	}
	return out, nil
}

// namedFor is how long it is remembered which item a name means.
const namedFor = 10 * time.Second

// naming finds the items that alerts name: a system or a device without an
// address has no host name to be found by. It remembers what it found for a
// moment, since a storm names the same ones again and again.
type naming struct {
	cmdb *cmdb.Service
	log  *slog.Logger

	mu    sync.Mutex
	until time.Time
	known map[[2]string]*enrich.Item
}

// find returns the item of a tenant that has a name or an id; of any tenant
// where the alert is nobody's yet. It is nil where there is none, or several.
func (n *naming) find(ctx context.Context, tenant, name string) *enrich.Item {
	n.mu.Lock()
	defer n.mu.Unlock()
	if now := time.Now(); now.After(n.until) {
		n.until, n.known = now.Add(namedFor), map[[2]string]*enrich.Item{}
	}
	key := [2]string{tenant, name}
	if it, known := n.known[key]; known {
		return it
	}
	n.known[key] = nil
	tenants := []string{tenant}
	switch tenant {
	case tenancy.City, tenancy.Unassigned:
		tenants = nil
	default:
		tenants = append(tenants, tenancy.City)
	}
	ids, err := n.cmdb.Called(ctx, name, tenants...)
	if err != nil {
		n.log.Error("alerts: the item that an alert names is not looked up", "name", name, "error", err)
		return nil
	}
	if len(ids) != 1 {
		return nil
	}
	it, found, err := items{n.cmdb}.Item(ctx, ids[0])
	if err != nil {
		n.log.Error("alerts: the item that an alert names is not read", "item", ids[0], "error", err)
	}
	if err == nil && found {
		n.known[key] = &it
	}
	return n.known[key]
}

// tell writes an item into the fields of an alert, as enrichment does.
func (n *naming) tell(fields map[string]string, it *enrich.Item, tenant string) {
	for name := range fields {
		if strings.HasPrefix(name, "icewatch.ci.") || strings.HasPrefix(name, "icewatch.reach.") {
			delete(fields, name)
		}
	}
	put := func(name, value string) {
		if value != "" {
			fields[name] = value
		}
	}
	put("icewatch.ci.id", it.ID)
	put("icewatch.ci.name", it.Name)
	put("icewatch.ci.class", it.Class)
	if it.Criticality > 0 {
		put("icewatch.ci.criticality", strconv.Itoa(it.Criticality))
	}
	put("icewatch.ci.owner", it.Owner)
	put("icewatch.ci.labels", strings.Join(it.Labels, ","))
	put("icewatch.ci.system.id", it.SystemID)
	put("icewatch.ci.system.name", it.SystemName)
	if it.Tenant != tenant {
		put("icewatch.ci.tenant", it.Tenant)
	}
	put("icewatch.reach.unit", it.Unit)
	put("icewatch.reach.region", it.Region)
	put("icewatch.reach.industry", it.Industry)
	put("icewatch.reach.labels", it.ReachLabels)
}
