package simulate

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strings"

	"go.yaml.in/yaml/v3"

	"icewatch/cmdb"
)

// Roles a host can have in the city. A story names its actors by role.
const (
	RoleAttacked = "attacked" // the host an intrusion is aimed at, another one for each seed
	RoleWeb      = "web"
	RoleApp      = "app"
	RoleDB       = "db"
	RoleFirewall = "firewall"
	RoleAdmin    = "admin" // administrators' workstations
	RoleScanner  = "scanner"
	RoleBackup   = "backup"
)

// Item is one configuration item as the CMDB's import reads it.
type Item struct {
	Class       string   `yaml:"class"`
	ID          string   `yaml:"id,omitempty"`
	Name        string   `yaml:"name"`
	Tenant      string   `yaml:"tenant,omitempty"`
	Zone        string   `yaml:"zone,omitempty"`
	Addresses   []string `yaml:"addresses,omitempty"`
	Hostnames   []string `yaml:"hostnames,omitempty"`
	Criticality int      `yaml:"criticality,omitempty"`
	Owner       string   `yaml:"owner,omitempty"`
	Labels      []string `yaml:"labels,omitempty"`
	System      string   `yaml:"system,omitempty"`
}

// Host is a machine of the simulated city, as stories and background traffic
// use it.
type Host struct {
	Name    string
	Address string
	Role    string
	Tenant  string // slug; "" for what belongs to the city as a whole
	System  *System
	item    Item
}

// FQDN is the host's full name.
func (h *Host) FQDN() string { return h.Name + ".gov.example" }

// System is a business system of the simulated city.
type System struct {
	ID          string
	Name        string
	Tenant      string
	Code        string // short, for host names
	Service     string // the application's name in its own logs
	Criticality int
	Owner       string
}

// City is the simulated inventory. All seeds share it but for the attacked
// host, so that many simulations can run on one suite side by side.
type City struct {
	Seed     int64
	Systems  []*System
	Hosts    []*Host
	Attacked *Host
	byRole   map[string][]*Host
}

// catalogue lists the systems that live in the simulated city: some of the
// government applications that every suite has as tenants, each with a business
// system of its own in the CMDB.
var catalogue = []System{
	{Tenant: "e-seal", Code: "eseal", Service: "seal-sign", Name: "电子印章升级及场景应用", Criticality: 5, Owner: "电子印章运维组"},
	{Tenant: "unified-identity", Code: "uid", Service: "sso", Name: "统一身份认证升级改造", Criticality: 5, Owner: "身份认证运维组"},
	{Tenant: "e-licence", Code: "elic", Service: "licence-issue", Name: "电子证照升级改造", Criticality: 5, Owner: "电子证照运维组"},
	{Tenant: "data-sharing-exchange", Code: "dse", Service: "exchange-gw", Name: "政务数据共享交换平台建设", Criticality: 4, Owner: "数据共享运维组"},
	{Tenant: "integrated-service-platform", Code: "isp", Service: "case-intake", Name: "一体化政务服务平台", Criticality: 4, Owner: "一体化平台运维组"},
	{Tenant: "population-legal-entity-library", Code: "pop", Service: "pop-query", Name: "人口、法人库应用升级", Criticality: 5, Owner: "基础库运维组"},
	{Tenant: "one-thing-once", Code: "oto", Service: "joint-handling", Name: "一件事一次办", Criticality: 4, Owner: "联办业务运维组"},
	{Tenant: "smart-service-hall", Code: "hall", Service: "queue-call", Name: "智慧政务大厅管理系统", Criticality: 4, Owner: "政务大厅运维组"},
}

// opsNet is the administrators' network, shared by all tenants.
const opsNet = 90

// firstNet is the second octet of the first tenant's network, 10.firstNet.0.0/16.
const firstNet = 100

// NewCity makes the inventory for a seed. zone is the network zone all of it
// sits in; "" is the suite's default zone.
func NewCity(seed int64, zone string) *City {
	c := &City{Seed: seed, byRole: map[string][]*Host{}}
	ops := func(role, name string, last int, criticality int, labels ...string) {
		c.add(&Host{Name: name, Address: fmt.Sprintf("10.%d.0.%d", opsNet, last), Role: role,
			item: Item{Criticality: criticality, Owner: "市政务云运维中心", Labels: labels}}, zone)
	}
	ops(RoleFirewall, "fw-border-01", 1, 4, "firewall")
	ops(RoleScanner, "vulnscan-01", 20, 2, "approved-scanner")
	ops(RoleBackup, "backup-01", 30, 3, "backup")
	for i := range 4 {
		ops(RoleAdmin, fmt.Sprintf("admin-ws-%02d", i+1), 41+i, 3, "admin-workstation")
	}
	for i := range catalogue {
		s := catalogue[i]
		s.ID = cmdb.SystemID(s.Tenant)
		c.Systems = append(c.Systems, &s)
		host := func(role string, n, third, last int) {
			c.add(&Host{Name: fmt.Sprintf("%s-%s-%02d", s.Code, role, n), Address: fmt.Sprintf("10.%d.%d.%d", firstNet+i, third, last),
				Role: role, Tenant: s.Tenant, System: &s, item: Item{Criticality: s.Criticality, Owner: s.Owner}}, zone)
		}
		host(RoleWeb, 1, 1, 11)
		host(RoleWeb, 2, 1, 12)
		host(RoleApp, 1, 2, 21)
		host(RoleApp, 2, 2, 22)
		host(RoleDB, 1, 3, 31)
	}
	// 32,000 addresses are left for attacked hosts. The factor is coprime with
	// their number, so that seeds that differ by less never share one.
	const places = 128 * 250
	n := int(mod(seed, places) * 12347 % places)
	s := c.Systems[mod(seed, int64(len(c.Systems)))]
	net := firstNet + int(mod(seed, int64(len(c.Systems))))
	c.Attacked = c.add(&Host{Name: fmt.Sprintf("%s-srv-%d", s.Code, seed), Address: fmt.Sprintf("10.%d.%d.%d", net, 128+n/250, 3+n%250),
		Role: RoleAttacked, Tenant: s.Tenant, System: s, item: Item{Criticality: s.Criticality, Owner: s.Owner}}, zone)
	if seed < 0 {
		c.Attacked.Name = fmt.Sprintf("%s-srv-n%d", s.Code, uint64(-seed))
		c.Attacked.item.Name = c.Attacked.Name
		c.Attacked.item.Hostnames = []string{c.Attacked.Name, c.Attacked.FQDN()}
	}
	return c
}

func (c *City) add(h *Host, zone string) *Host {
	h.item.Class, h.item.Name, h.item.Zone, h.item.Tenant = "host", h.Name, zone, h.Tenant
	h.item.Addresses, h.item.Hostnames = []string{h.Address}, []string{h.Name, h.FQDN()}
	if h.System != nil {
		h.item.System = h.System.ID
	}
	c.Hosts = append(c.Hosts, h)
	c.byRole[h.Role] = append(c.byRole[h.Role], h)
	return h
}

// pick chooses a host of a role.
func (c *City) pick(role string, rnd *rand.Rand) (*Host, bool) {
	hosts := c.byRole[role]
	if len(hosts) == 0 {
		return nil, false
	}
	return hosts[rnd.IntN(len(hosts))], true
}

// Inventory is the city as a file for the CMDB's import.
func (c *City) Inventory(zone string) ([]byte, error) {
	var items []Item
	items = append(items, Item{Class: "network", Name: "sim-ops", Zone: zone, Addresses: []string{fmt.Sprintf("10.%d.0.0/16", opsNet)}})
	for i, s := range c.Systems {
		items = append(items,
			Item{Class: "network", Name: "sim-" + s.Code, Zone: zone, Tenant: s.Tenant, Addresses: []string{fmt.Sprintf("10.%d.0.0/16", firstNet+i)}})
	}
	for _, h := range c.Hosts {
		items = append(items, h.item)
	}
	var b strings.Builder
	enc := yaml.NewEncoder(&b)
	enc.SetIndent(2)
	if err := enc.Encode(map[string]any{"items": items}); err != nil {
		return nil, fmt.Errorf("inventory: %w", err)
	}
	return []byte(b.String()), enc.Close()
}

// outside lists the networks that attackers come from: those set aside for
// documentation, so that no real machine is ever accused.
var outside = []netip.Prefix{
	netip.MustParsePrefix("203.0.113.0/24"), netip.MustParsePrefix("198.51.100.0/24"), netip.MustParsePrefix("192.0.2.0/24"),
}

// outsider is the n-th outside address of a seed. Seeds that differ by less
// than 750 do not share one for the same n.
func outsider(seed int64, n int) string {
	k := mod(mod(seed, 750)*7+int64(n)*251, 750)
	p := outside[k/250].Addr().As4()
	p[3] = byte(2 + k%250)
	return netip.AddrFrom4(p).String()
}

// citizen is an address of an ordinary visitor: 198.18.0.0/15 is set aside for
// tests of network devices, so that it is nobody's either.
func citizen(rnd *rand.Rand) string {
	n := rnd.Uint32N(1 << 17)
	return netip.AddrFrom4([4]byte{198, byte(18 + n>>16), byte(n >> 8), byte(1 + n%254)}).String()
}

func mod(a, n int64) int64 { return (a%n + n) % n }
