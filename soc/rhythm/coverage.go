package rhythm

import (
	"cmp"
	"slices"
	"strings"
	"time"
)

// Kinds of logs that are expected of assets, by their class.
const (
	HostLog     = "host"     // of an operating system
	DatabaseLog = "database" //
	WebLog      = "web"      // of a web server or another middleware
	NetworkLog  = "network"  // of a switch, a router
	SecurityLog = "security" // of a firewall, a WAF, a bastion
)

// expected is what is expected of the classes of the shipped model. A host or a
// device must send itself; of a database or a middleware the log may come by the
// way of any source of its system.
var expected = map[string]string{"host": HostLog, "vm": HostLog, "database": DatabaseLog, "middleware": WebLog, "network_device": NetworkLog, "security_device": SecurityLog}

// Classes are those of which a log is expected.
func Classes() []string {
	out := make([]string, 0, len(expected))
	for c := range expected {
		out = append(out, c)
	}
	slices.Sort(out)
	return out
}

// modules are the first parts of datasets by kind of log, beside the categories
// of ECS.
var modules = map[string][]string{
	DatabaseLog: {"postgresql", "mysql", "mariadb", "mongodb", "redis", "dameng", "kingbase", "kingbasees", "oracle", "mssql", "elasticsearch", "opengauss", "gaussdb"},
	WebLog:      {"nginx", "apache", "tomcat", "haproxy", "iis", "caddy", "tongweb", "kafka", "rabbitmq", "redis", "elasticsearch", "keycloak", "squid"},
}

func tells(s *Source, kind string) bool {
	if strings.Contains(s.Category, kind) {
		return true
	}
	module, _, _ := strings.Cut(s.Dataset, ".")
	return slices.Contains(modules[kind], module)
}

// Asset is an item of the CMDB of which a log is expected.
type Asset struct {
	ID, Name, Class, Tenant, System string
	Names                           []string // host names and addresses, lower case
}

// Gap is a kind of log that is expected of assets, and does not come.
type Gap struct {
	Tenant string   `json:"tenant"`
	System string   `json:"system" doc:"Id of the business system; empty where the assets are of none"`
	Log    string   `json:"log" enum:"host,database,web,network,security"`
	Assets int      `json:"assets" doc:"Assets of which no such log came in the last 60 days"`
	Of     int      `json:"of" doc:"Of so many"`
	Some   []string `json:"some" nullable:"false" doc:"Names of the first twenty"`
}

// Gaps compare what is expected with what comes.
func Gaps(list []Source, assets []Asset) []Gap {
	byItem, byName := map[string]bool{}, map[[2]string]bool{}
	type place struct{ tenant, system, kind string }
	told := map[place]bool{}
	for i := range list {
		s := &list[i]
		byItem[s.Item] = s.Item != ""
		byName[[2]string{s.Tenant, strings.ToLower(s.Source)}] = true
		if s.Peer != "" {
			byName[[2]string{s.Tenant, s.Peer}] = true
		}
		for _, kind := range []string{DatabaseLog, WebLog} {
			if tells(s, kind) {
				told[place{s.Tenant, s.System, kind}] = true
			}
		}
	}
	gaps := map[place]*Gap{}
	for _, a := range assets {
		kind := expected[a.Class]
		if kind == "" {
			continue
		}
		k := place{a.Tenant, a.System, kind}
		g := gaps[k]
		if g == nil {
			g = &Gap{Tenant: a.Tenant, System: a.System, Log: kind, Some: []string{}}
			gaps[k] = g
		}
		g.Of++
		met := byItem[a.ID] || slices.ContainsFunc(a.Names, func(n string) bool { return byName[[2]string{a.Tenant, n}] })
		if kind == DatabaseLog || kind == WebLog {
			met = met || told[k]
		}
		if met {
			continue
		}
		g.Assets++
		if len(g.Some) < 20 {
			g.Some = append(g.Some, a.Name)
		}
	}
	out := []Gap{}
	for _, g := range gaps {
		if g.Assets > 0 {
			out = append(out, *g)
		}
	}
	slices.SortFunc(out, func(a, b Gap) int {
		return cmp.Or(cmp.Compare(a.Tenant, b.Tenant), cmp.Compare(a.System, b.System), cmp.Compare(a.Log, b.Log))
	})
	return out
}

// Part is what a tenant, or a business system of it, sends.
type Part struct {
	Tenant   string     `json:"tenant"`
	System   string     `json:"system,omitempty" doc:"Id of the business system"`
	Name     string     `json:"name,omitempty" doc:"Of the business system"`
	Sources  int        `json:"sources"`
	Silent   int        `json:"silent"`
	Flood    int        `json:"flood"`
	New      int        `json:"new"`
	Datasets int        `json:"datasets"`
	Rate     float64    `json:"events_per_second"`
	Usual    float64    `json:"usual_per_second"`
	Since    *time.Time `json:"since" doc:"When the first of them was seen; null where nothing ever came"`
	Last     *time.Time `json:"last_seen"`
}

func (p *Part) add(s *Source, datasets map[string]bool) {
	p.Sources++
	switch s.State {
	case Silent:
		p.Silent++
	case Flood:
		p.Flood++
	case New:
		p.New++
	}
	datasets[s.Dataset] = true
	p.Datasets = len(datasets)
	p.Rate, p.Usual = round(p.Rate+s.Rate), round(p.Usual+s.Usual)
	if p.Since == nil || s.FirstSeen.Before(*p.Since) {
		at := s.FirstSeen
		p.Since = &at
	}
	if p.Last == nil || s.LastSeen.After(*p.Last) {
		at := s.LastSeen
		p.Last = &at
	}
}

// Parts sums sources up by tenant and by business system. Every tenant named is
// there, also one that sends nothing.
func Parts(list []Source, tenants []string) (byTenant, bySystem []Part) {
	type key struct{ tenant, system string }
	at, sets := map[key]*Part{}, map[key]map[string]bool{}
	part := func(k key, name string) *Part {
		p := at[k]
		if p == nil {
			p = &Part{Tenant: k.tenant, System: k.system, Name: name}
			at[k], sets[k] = p, map[string]bool{}
		}
		return p
	}
	for _, t := range tenants {
		part(key{t, ""}, "")
	}
	for i := range list {
		s := &list[i]
		part(key{s.Tenant, ""}, "").add(s, sets[key{s.Tenant, ""}])
		if s.System != "" {
			k := key{s.Tenant, s.System}
			part(k, s.SystemName).add(s, sets[k])
		}
	}
	byTenant, bySystem = []Part{}, []Part{}
	for k, p := range at {
		if k.system == "" {
			byTenant = append(byTenant, *p)
		} else {
			bySystem = append(bySystem, *p)
		}
	}
	for _, l := range [][]Part{byTenant, bySystem} {
		slices.SortFunc(l, func(a, b Part) int {
			return cmp.Or(cmp.Compare(a.Tenant, b.Tenant), cmp.Compare(a.System, b.System))
		})
	}
	return byTenant, bySystem
}
