package inbox

import (
	"fmt"
	"net/netip"
	"path"
	"strings"
)

// Policy says what is gathered and what is approved without asking. It is a
// setting.
type Policy struct {
	Enabled   bool     `json:"enabled" doc:"Events are looked at"`
	Hostnames bool     `json:"hostnames" doc:"Host names are gathered too"`
	Delay     int      `json:"delay_seconds" minimum:"0" maximum:"3600" doc:"So old are events when they are looked at: those that come later are not counted"`
	Ranges    []string `json:"ranges" doc:"The city's own ranges beside the private ones, such as 203.0.113.0/24"`
	Rules     []Rule   `json:"rules" doc:"What is approved without asking; the first that matches decides"`
}

// DefaultPolicy gathers and approves nothing.
var DefaultPolicy = Policy{Enabled: true, Hostnames: true, Delay: 120, Ranges: []string{}, Rules: []Rule{}}

// Rule approves candidates. Empty conditions match everything.
type Rule struct {
	Name      string   `json:"name"`
	Kind      string   `json:"kind,omitempty" enum:"address,hostname,"`
	Tenants   []string `json:"tenants,omitempty"`
	Zone      string   `json:"zone,omitempty"`
	Range     string   `json:"range,omitempty" doc:"Addresses within"`
	Hostname  string   `json:"hostname,omitempty" doc:"A name with * and ?, of the candidate or seen with it"`
	MinEvents int64    `json:"min_events,omitempty" minimum:"0" doc:"Seen at least so often"`
	Making
}

// private are the ranges for use within networks (RFC 1918, RFC 4193, and RFC
// 6598 for what carriers translate).
var private = []netip.Prefix{
	netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("172.16.0.0/12"), netip.MustParsePrefix("192.168.0.0/16"),
	netip.MustParsePrefix("100.64.0.0/10"), netip.MustParsePrefix("fc00::/7"),
}

const maxRanges, maxRules = 200, 100

// Check refuses a policy that makes no sense.
func (p Policy) Check() error {
	if len(p.Ranges) > maxRanges || len(p.Rules) > maxRules {
		return fmt.Errorf("%d ranges and %d rules: want at most %d and %d", len(p.Ranges), len(p.Rules), maxRanges, maxRules)
	}
	if p.Delay < 0 || p.Delay > 3600 {
		return fmt.Errorf("delay_seconds: %d: want 0 to 3600", p.Delay)
	}
	for _, r := range p.Ranges {
		if err := checkRange(r); err != nil {
			return fmt.Errorf("ranges: %w", err)
		}
	}
	names := map[string]bool{}
	for i := range p.Rules {
		r := &p.Rules[i]
		if names[r.Name] {
			return fmt.Errorf("rules: %q is there twice", r.Name)
		}
		names[r.Name] = true
		if err := r.check(); err != nil {
			return fmt.Errorf("rules: %q: %w", r.Name, err)
		}
	}
	return nil
}

func checkRange(text string) error {
	p, err := netip.ParsePrefix(text)
	switch {
	case err != nil:
		return fmt.Errorf("%q is no range such as 203.0.113.0/24", text)
	case p != p.Masked():
		return fmt.Errorf("%q: did you mean %s?", text, p.Masked())
	}
	return nil
}

func (r *Rule) check() error {
	switch {
	case strings.TrimSpace(r.Name) == "":
		return fmt.Errorf("the name is missing")
	case r.Class == "":
		return fmt.Errorf("the class is missing: of what the items are that it makes")
	case r.Kind != "" && r.Kind != Address && r.Kind != Hostname:
		return fmt.Errorf("kind %q: want %s or %s", r.Kind, Address, Hostname)
	case r.MinEvents < 0:
		return fmt.Errorf("min_events: %d: want 0 or more", r.MinEvents)
	case r.Kind == "" && len(r.Tenants) == 0 && r.Zone == "" && r.Range == "" && r.Hostname == "":
		return fmt.Errorf("it would approve everything: give a kind, tenants, a zone, a range or a hostname")
	}
	if r.Range != "" {
		if err := checkRange(r.Range); err != nil {
			return fmt.Errorf("range: %w", err)
		}
	}
	if _, err := path.Match(r.Hostname, ""); err != nil {
		return fmt.Errorf("hostname %q: %w", r.Hostname, err)
	}
	return nil
}

// Match tells whether a rule takes a candidate.
func (r *Rule) Match(c *Candidate) bool {
	if r.Kind != "" && r.Kind != c.Kind || r.Zone != "" && r.Zone != c.Zone || c.Events < r.MinEvents {
		return false
	}
	if len(r.Tenants) > 0 {
		found := false
		for _, t := range r.Tenants {
			found = found || t == c.Tenant
		}
		if !found {
			return false
		}
	}
	address, name := c.Value, c.Other
	if c.Kind == Hostname {
		address, name = c.Other, c.Value
	}
	if r.Range != "" {
		p, err := netip.ParsePrefix(r.Range)
		if err != nil || !within(address, []netip.Prefix{p}) {
			return false
		}
	}
	if r.Hostname != "" {
		if ok, err := path.Match(strings.ToLower(r.Hostname), strings.ToLower(name)); err != nil || !ok {
			return false
		}
	}
	return true
}

// ranges are all that addresses are gathered from.
func (p Policy) ranges() []netip.Prefix {
	out := append([]netip.Prefix{}, private...)
	for _, text := range p.Ranges {
		if r, err := netip.ParsePrefix(text); err == nil {
			out = append(out, r)
		}
	}
	return out
}

func within(address string, ranges []netip.Prefix) bool {
	a, err := netip.ParseAddr(address)
	if err != nil {
		return false
	}
	a = a.WithZone("").Unmap()
	for _, r := range ranges {
		if r.Contains(a) {
			return true
		}
	}
	return false
}

// inRanges is the lake's filter for a field within ranges. It knows ranges of
// IPv4 only: of IPv6 it gives all addresses, and within decides.
func inRanges(field string, ranges []netip.Prefix) string {
	parts := []string{fmt.Sprintf(`%q:~":"`, field)}
	for _, r := range ranges {
		if r.Addr().Is4() {
			parts = append(parts, fmt.Sprintf(`%q:ipv4_range(%q)`, field, r.String()))
		}
	}
	return "(" + strings.Join(parts, " or ") + ")"
}
