// Package discovered brings what agents find on hosts into the CMDB: the host itself, and
// the databases and middleware that listen there. What a person wrote stays: only what
// the agent measures is set. Source and time are the change's, in the item's history.
//
// A host stays the item that it is over a new name and new addresses, since the agent
// remembers the item. Before it has one, the host is looked for by its
// address, then by its name, among the hosts of the agent's tenant.
package discovered

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"

	"icewatch/cmdb"
	"icewatch/collectors/fleet"
	"icewatch/collectors/fleet/wire"
	"icewatch/soc/reach"
)

// CMDB is what the room asks of the CMDB.
type CMDB interface {
	Items(ctx context.Context, scope reach.Reach, f cmdb.Filter) (cmdb.Page, error)
	Get(ctx context.Context, scope reach.Reach, id string) (cmdb.Item, error)
	UpsertAll(ctx context.Context, list []cmdb.Fields, opts cmdb.ImportOptions) (cmdb.Report, error)
}

// Feed takes inventories.
type Feed struct {
	cmdb CMDB
	zone string
	mu   sync.Mutex // one at a time: two hosts of one name must not both make the item
}

// New makes a feed for hosts in a network zone.
func New(c CMDB, zone string) *Feed { return &Feed{cmdb: c, zone: zone} }

var computers = []string{"host", "vm", "container"}

// Take brings an inventory into the CMDB and answers the id of the host's item, which
// may come with an error that says what of it was not taken.
func (f *Feed) Take(ctx context.Context, a fleet.Agent, inv *wire.Inventory) (string, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	it, err := f.find(ctx, a)
	if err != nil {
		return "", err
	}
	facts := a.Facts
	if inv.Facts.Hostname != "" {
		facts = inv.Facts
	}
	opts := cmdb.ImportOptions{Within: reach.Tenants(a.Tenant), Actor: "agent " + a.Name + " (" + a.ID + ")"}
	var taken error
	want := f.host(a, facts, it)
	if want != nil {
		report, err := f.upsert(ctx, []cmdb.Fields{*want}, opts)
		if err != nil && want.Addresses != nil {
			// An address that another item has stays with that one until a person decides;
			// the rest of what was found is kept.
			taken = fmt.Errorf("the addresses of %s are not in the CMDB: %w", a.Name, err)
			want.Addresses = nil
			report, err = f.upsert(ctx, []cmdb.Fields{*want}, opts)
		}
		if err != nil {
			return "", fmt.Errorf("the host's item: %w", err)
		}
		if it.ID == "" && len(report.IDs) > 0 {
			it.ID, it.Class = report.IDs[0], *want.Class
		}
	}
	if it.ID == "" {
		return "", errors.New("the host's item has no id")
	}
	if list, err := f.software(ctx, a, strings.ToLower(a.Name), it.ID, inv.Ports); err != nil {
		return it.ID, err
	} else if len(list) > 0 {
		if _, err := f.upsert(ctx, list, opts); err != nil {
			return it.ID, fmt.Errorf("the software on the host: %w", err)
		}
	}
	if err := f.cloud(ctx, a, it, inv.Cloud, opts); err != nil {
		return it.ID, err
	}
	if err := f.containers(ctx, a, it, inv, opts); err != nil {
		return it.ID, err
	}
	return it.ID, taken
}

// upsert writes items, all of them or none; what the CMDB refuses is the error.
func (f *Feed) upsert(ctx context.Context, list []cmdb.Fields, opts cmdb.ImportOptions) (cmdb.Report, error) {
	report, err := f.cmdb.UpsertAll(ctx, list, opts)
	if err == nil && len(report.Errors) > 0 {
		e := report.Errors[0]
		err = fmt.Errorf("%s: %s", e.Column, e.Message)
	}
	return report, err
}

// find is the host's item; one without an id where there is none yet.
func (f *Feed) find(ctx context.Context, a fleet.Agent) (cmdb.Item, error) {
	within := reach.Tenants(a.Tenant)
	if a.Item != "" {
		it, err := f.cmdb.Get(ctx, within, a.Item)
		if err == nil || !errors.Is(err, cmdb.ErrNotFound) {
			return it, err
		}
		// It was deleted by a person, or given to another tenant: it is looked for anew.
	}
	for _, address := range usable(a.Facts.Addresses) {
		page, err := f.cmdb.Items(ctx, within, cmdb.Filter{Classes: computers, Tenants: []string{a.Tenant}, Zone: f.zone, Address: address, Limit: 2})
		if err != nil {
			return cmdb.Item{}, err
		}
		for _, it := range page.Items {
			if page.Total == 1 && slices.Contains(it.Addresses, address) {
				return it, nil
			}
		}
	}
	if name := strings.ToLower(a.Facts.Hostname); name != "" {
		page, err := f.cmdb.Items(ctx, within, cmdb.Filter{Classes: computers, Tenants: []string{a.Tenant}, Query: name, Limit: 50})
		if err != nil {
			return cmdb.Item{}, err
		}
		var same []cmdb.Item
		for _, it := range page.Items {
			if strings.EqualFold(it.Name, name) || slices.Contains(it.Hostnames, name) {
				same = append(same, it)
			}
		}
		if len(same) == 1 {
			return same[0], nil
		}
	}
	return cmdb.Item{}, nil
}

// usable are the addresses that tell a host from others.
func usable(list []string) []string {
	var out []string
	for _, text := range list {
		p, err := netip.ParseAddr(text)
		if err != nil || p.IsLoopback() || p.IsLinkLocalUnicast() || p.IsUnspecified() {
			continue
		}
		if text := p.Unmap().WithZone("").String(); !slices.Contains(out, text) {
			out = append(out, text)
		}
	}
	return out
}

// host is what is to be changed of the host's item; nil where it is all as it was.
func (f *Feed) host(a fleet.Agent, facts wire.Facts, it cmdb.Item) *cmdb.Fields {
	class, zone := it.Class, it.Zone
	if it.ID == "" {
		zone = f.zone
		switch facts.Virtual {
		case "", "physical":
			class = "host"
		case "docker", "podman", "lxc", "kubernetes", "containerd", "container":
			class = "container"
		default:
			class = "vm"
		}
	}
	name := strings.ToLower(strings.TrimSpace(facts.Hostname))
	if name == "" {
		name = a.ID
	}
	addresses, hostnames := usable(facts.Addresses), []string{name}
	attributes := map[string]string{}
	if class != "container" {
		attributes["os"], attributes["os_version"] = facts.Platform, strings.TrimSpace(facts.Release)
		if facts.Cores > 0 {
			attributes["cpu_cores"] = strconv.Itoa(facts.Cores)
		}
		if facts.Memory > 0 {
			attributes["memory_gib"] = gib(facts.Memory)
		}
		if facts.Disk > 0 {
			attributes["disk_gib"] = gib(facts.Disk)
		}
		// By these a discovery from the network finds that it is the same machine.
		attributes["machine_id"], attributes["macs"] = facts.Machine, strings.Join(facts.MACs[:min(len(facts.MACs), 32)], ";")
		if len(facts.Serial) <= 100 {
			attributes["serial_number"] = facts.Serial
		}
	}
	w := &cmdb.Fields{Attributes: map[string]*string{}}
	changed := it.ID == ""
	if changed {
		w.Class, w.Name, w.Tenant, w.Zone, w.Hostnames = &class, &name, &a.Tenant, &zone, &hostnames
	} else {
		w.ID, w.Class = &it.ID, &class
		if !slices.Contains(it.Hostnames, name) {
			// The item keeps a name that a person gave; one that was the host's own goes
			// with the host.
			if slices.Contains(it.Hostnames, strings.ToLower(it.Name)) && len(it.Hostnames) == 1 {
				w.Name = &name
			}
			w.Hostnames, changed = &hostnames, true
		}
	}
	if len(addresses) > 0 && !same(addresses, it.Addresses) {
		w.Addresses, changed = &addresses, true
	}
	for k, v := range attributes {
		if v != "" && it.Attributes[k] != v {
			w.Attributes[k], changed = &v, true
		}
	}
	if !changed {
		return nil
	}
	return w
}

func same(a, b []string) bool {
	x, y := slices.Clone(a), slices.Clone(b)
	slices.Sort(x)
	slices.Sort(y)
	return slices.Equal(x, y)
}

// gib is a size with one digit behind the point, so that it does not change all the time.
func gib(n uint64) string {
	text := strconv.FormatFloat(float64(n)/(1<<30), 'f', 1, 64)
	return strings.TrimSuffix(text, ".0")
}

// products are which class of the CMDB a service that listens is, and what it is called.
var products = map[string]struct{ class, product string }{
	"postgresql": {"database", "PostgreSQL"}, "postgres": {"database", "PostgreSQL"}, "mysql": {"database", "MySQL"}, "mysqld": {"database", "MySQL"}, "mariadb": {"database", "MariaDB"}, "mariadbd": {"database", "MariaDB"},
	"redis": {"database", "Redis"}, "mongodb": {"database", "MongoDB"}, "oracle": {"database", "Oracle"}, "dameng": {"database", "DM8"}, "kingbase": {"database", "KingbaseES"}, "elasticsearch": {"database", "Elasticsearch"}, "clickhouse": {"database", "ClickHouse"},
	"nginx": {"middleware", "nginx"}, "apache": {"middleware", "Apache HTTP Server"}, "tomcat": {"middleware", "Apache Tomcat"}, "kafka": {"middleware", "Apache Kafka"}, "rabbitmq": {"middleware", "RabbitMQ"},
	"zookeeper": {"middleware", "Apache ZooKeeper"}, "haproxy": {"middleware", "HAProxy"}, "memcached": {"middleware", "Memcached"}, "etcd": {"middleware", "etcd"}, "nacos": {"middleware", "Nacos"},
}

// Product tells which class of the CMDB a service that listens is, and what it is
// called; ok is false of one that is no item of its own.
func Product(service string) (class, product string, ok bool) {
	p, ok := products[service]
	return p.class, p.product, ok
}

// maxSoftware bounds the items of one host.
const maxSoftware = 100

// software is what is new of the databases and middleware that listen on a host or in a container,
// by the name that they are called by.
func (f *Feed) software(ctx context.Context, a fleet.Agent, called, host string, ports []wire.Port) ([]cmdb.Fields, error) {
	var out []cmdb.Fields
	seen := map[string]bool{}
	for _, p := range ports {
		known, ok := products[p.Service]
		if !ok || p.Port <= 0 || p.Port > 65535 || p.Protocol != "tcp" {
			continue
		}
		name := fmt.Sprintf("%s %s:%d", known.product, called, p.Port)
		if seen[name] || len(seen) >= maxSoftware {
			continue
		}
		seen[name] = true
		page, err := f.cmdb.Items(ctx, reach.Tenants(a.Tenant), cmdb.Filter{Classes: []string{known.class}, Tenants: []string{a.Tenant}, Query: known.product + " " + strconv.Itoa(p.Port), Limit: 200})
		if err != nil {
			return nil, err
		}
		port := strconv.Itoa(p.Port)
		w := cmdb.Fields{Class: &known.class, Name: &name, Tenant: &a.Tenant, Attributes: map[string]*string{"product": &known.product, "port": &port, "host": &host}}
		if p.Version != "" {
			w.Attributes["version"] = &p.Version
		}
		there := false
		for _, it := range page.Items {
			// The host's, whatever it is called.
			if it.Attributes["host"] == host && it.Attributes["port"] == port {
				if there = p.Version == "" || it.Attributes["version"] == p.Version; !there {
					w = cmdb.Fields{ID: &it.ID, Class: &known.class, Attributes: map[string]*string{"version": &p.Version}}
				}
				break
			}
		}
		if !there {
			out = append(out, w)
		}
	}
	return out, nil
}
