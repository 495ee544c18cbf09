package surface

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"
)

func clip(s string, n int) string {
	s = strings.TrimSpace(s)
	if len(s) > n {
		s = s[:n]
	}
	return strings.ToValidUTF8(s, "\uFFFD")
}

func list(l []string) []string {
	out := []string{}
	for _, x := range l[:min(len(l), 50)] {
		if x = clip(x, 253); x != "" && !slices.Contains(out, x) {
			out = append(out, x)
		}
	}
	return out
}

// names are host names as the CMDB has them.
func names(l []string) []string {
	out := list(l)
	for i := range out {
		out[i] = strings.TrimSuffix(strings.ToLower(out[i]), ".")
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// textOf makes of an attribute's JSON what an attribute of the CMDB holds.
func textOf(raw json.RawMessage) string {
	var s string
	if json.Unmarshal(raw, &s) == nil {
		return clip(s, 1000)
	}
	var n json.Number
	if json.Unmarshal(raw, &n) == nil {
		return n.String()
	}
	return clip(string(raw), 1000)
}

func sortServices(l []SurfaceService) {
	slices.SortFunc(l, func(a, b SurfaceService) int {
		return cmp.Or(cmp.Compare(a.Port, b.Port), strings.Compare(a.Protocol, b.Protocol))
	})
}

var categories = map[string]string{
	"http": "web", "https": "web", "http-proxy": "web", "mysql": "database", "postgresql": "database", "redis": "database", "mongodb": "database", "mssql": "database", "oracle": "database", "elasticsearch": "database", "memcached": "database",
	"dameng": "database", "kingbase": "database", "clickhouse": "database", "kafka": "middleware", "amqp": "middleware", "zookeeper": "middleware", "etcd": "middleware", "mqtt": "middleware", "activemq": "middleware",
	"ssh": "remote", "telnet": "remote", "rdp": "remote", "vnc": "remote", "winrm": "remote", "smtp": "mail", "pop3": "mail", "imap": "mail", "ftp": "file", "smb": "file", "nfs": "file", "tftp": "file", "rsync": "file",
	"snmp": "management", "docker": "management", "kubernetes": "management", "ipmi": "management", "zabbix": "management", "ntp": "other", "dns": "other",
}

var byPort = map[int]string{22: "ssh", 23: "telnet", 80: "http", 443: "https", 3389: "rdp", 3306: "mysql", 5432: "postgresql", 6379: "redis", 27017: "mongodb", 9200: "elasticsearch", 445: "smb", 21: "ftp", 161: "snmp", 2375: "docker", 6443: "kubernetes", 9092: "kafka"}

// category is the kind of a service by its name, or by its port where nobody knows it.
func category(service string, port int) string {
	return cmp.Or(categories[strings.ToLower(cmp.Or(service, byPort[port]))], "other")
}

func (v *SurfaceService) place() string { return fmt.Sprintf("%s/%d", v.Protocol, v.Port) }

func (v *SurfaceService) said() string {
	return strings.TrimSpace(strings.Join(strings.Fields(cmp.Or(v.Service, "?")+" "+v.Product+" "+v.Version), " "))
}

func (v *SurfaceService) site() string {
	if v.URL == "" {
		return ""
	}
	return strings.TrimSpace(fmt.Sprintf("%d %s", v.Status, cmp.Or(v.Title, v.Server)))
}

func (v *SurfaceService) certificate() string {
	if v.Fingerprint == "" {
		return ""
	}
	return fmt.Sprintf("%s, until %s", v.Subject, v.Expires.Format(time.DateOnly))
}

// diff tells what is not as it was, of one host. What gone says to be no more counts as
// closed; other services that now lacks were not looked at.
func diff(was, now *SurfaceHost, gone func(*SurfaceService) bool, at time.Time, days int) []SurfaceChange {
	var out []SurfaceChange
	add := func(kind string, v *SurfaceService, before, after string) {
		out = append(out, SurfaceChange{Tenant: now.Tenant, Zone: now.Zone, Run: now.Run, At: at, Kind: kind, Address: now.Address, Item: now.Item, Port: v.Port, Protocol: v.Protocol, Before: clip(before, 500), After: clip(after, 500)})
	}
	old := map[string]*SurfaceService{}
	for i := range was.Services {
		old[was.Services[i].place()] = &was.Services[i]
	}
	for i := range now.Services {
		v := &now.Services[i]
		o := old[v.place()]
		delete(old, v.place())
		if o == nil {
			add(PortOpened, v, "", v.said())
			if v.URL != "" {
				add(SiteNew, v, "", v.site())
			}
			o = &SurfaceService{}
		} else {
			if o.said() != v.said() && v.Service != "" {
				add(Software, v, o.said(), v.said())
			}
			switch {
			case o.URL == "" && v.URL != "":
				add(SiteNew, v, "", v.site())
			case o.URL != "" && v.URL == "":
				if v.Service != "" && v.Category != "web" {
					add(SiteGone, v, o.site(), "")
				}
			case o.Title != v.Title || o.Status != v.Status || o.Server != v.Server:
				add(SiteChanged, v, o.site(), v.site())
			}
			if o.Fingerprint != "" && v.Fingerprint != "" && o.Fingerprint != v.Fingerprint {
				add(CertChanged, v, o.certificate(), v.certificate())
			}
		}
		// Told once: when it was not yet so at the discovery before, or is another certificate.
		if kind := validity(v, at, days); kind != "" && (o.Fingerprint != v.Fingerprint || validity(o, was.LastSeen, days) != kind) {
			add(kind, v, "", v.certificate())
		}
	}
	for _, o := range old {
		if gone(o) {
			add(PortClosed, o, o.said(), "")
			if o.URL != "" {
				add(SiteGone, o, o.site(), "")
			}
		}
	}
	slices.SortFunc(out, func(a, b SurfaceChange) int {
		return cmp.Or(cmp.Compare(a.Port, b.Port), strings.Compare(a.Kind, b.Kind))
	})
	return out
}

func validity(v *SurfaceService, at time.Time, days int) string {
	switch {
	case v.Expires.IsZero() || v.Fingerprint == "":
		return ""
	case !at.Before(v.Expires):
		return CertExpired
	case at.AddDate(0, 0, days).After(v.Expires):
		return CertExpiring
	}
	return ""
}
