// Package retention decides how long what is kept. A retention class is a name
// and a length of time, with a store of its own in the lake; a tenant belongs
// to one. Security and audit logs are kept for half a year at least, as the
// Cybersecurity Law of the PRC demands in article 21: no class that is shorter
// can hold them, whatever class their tenant is in.
package retention

import (
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"
	"time"

	"icewatch/soc/tenancy"
)

const (
	// Standard is the class of tenants that name none, and of the suite's own
	// events. It is always there, and never shorter than LegalMinimum.
	Standard = "standard"
	// LegalMinimum is how long security and audit logs are kept at least:
	// "not less than six months" (Cybersecurity Law of the PRC, article 21).
	LegalMinimum = 180 * Day
	// Day is the unit of the lake's partitions.
	Day = 24 * time.Hour
	// Longest bounds a class.
	Longest = 100 * 365 * Day
	// flows begins the dataset of every flow record.
	flows = "flow."
)

// Class is a retention class.
type Class struct {
	Name string
	Keep time.Duration
	Cold time.Duration // after which a day goes to the cold folder; 0 is never
}

// Days is how long the class keeps, in whole days.
func (c Class) Days() int { return int(c.Keep / Day) }

// Policy is what the configuration says of retention.
type Policy struct {
	Classes  []Class  // Standard is one of them
	Flows    string   // class of the flow records of all tenants; "" is the tenant's own
	Security []string // patterns of event.dataset, as path.Match takes them, of security and audit logs
	Tenants  []string // slugs whose events all are security or audit logs; City and Unassigned are in any case
}

// Fault is one thing wrong with a policy. Option is lake's part of the
// configuration.
type Fault struct{ Option, Reason string }

var className = regexp.MustCompile(`^[a-z][a-z0-9-]{0,31}$`)

// Check returns all that is wrong with the policy. Standard is the option
// lake.retention, the others stand in lake.classes in their order.
func (p *Policy) Check() []Fault {
	var out []Fault
	bad := func(option, format string, args ...any) {
		out = append(out, Fault{option, fmt.Sprintf(format, args...)})
	}
	seen := map[string]bool{}
	n := 0
	for _, c := range p.Classes {
		name, keep, cold := fmt.Sprintf("lake.classes[%d].name", n), fmt.Sprintf("lake.classes[%d].keep", n), fmt.Sprintf("lake.classes[%d].cold_after", n)
		if c.Name == Standard && !seen[Standard] {
			name, keep, cold = "lake.retention", "lake.retention", "lake.cold_after"
			if c.Keep < LegalMinimum {
				bad(keep, "%d days are too few: the audit trail and the city's own logs are kept in the class standard, for %d days at least (Cybersecurity Law of the PRC, article 21)", c.Days(), int(LegalMinimum/Day))
			}
		} else {
			n++
		}
		switch {
		case !className.MatchString(c.Name):
			bad(name, "%q is not a name: lower-case letters, digits and '-', 32 at most, are expected", c.Name)
		case seen[c.Name]:
			bad(name, "the class %q is given twice", c.Name)
		}
		seen[c.Name] = true
		switch {
		case c.Keep < Day || c.Keep%Day != 0:
			bad(keep, "%s is not a number of whole days, one at least", c.Keep)
		case c.Keep > Longest:
			bad(keep, "%s is too long; a hundred years is the most", c.Keep)
		}
		if c.Cold != 0 && (c.Cold < Day || c.Cold%Day != 0) {
			bad(cold, "%s is not a number of whole days, one at least, or 0 for never", c.Cold)
		}
	}
	if _, ok := p.Class(p.Flows); p.Flows != "" && !ok {
		bad("lake.flows_class", "there is no class %q; one of %s is expected", p.Flows, strings.Join(p.names(), ", "))
	}
	for i, pattern := range p.Security {
		if _, err := path.Match(pattern, ""); err != nil || pattern == "" {
			bad(fmt.Sprintf("lake.security_datasets[%d]", i), "%q is not a pattern; one such as *.auth is expected", pattern)
		}
	}
	for i, slug := range p.Tenants {
		if err := tenancy.ValidSlug(slug); err != nil {
			bad(fmt.Sprintf("lake.security_tenants[%d]", i), "%v", err)
		}
	}
	return out
}

func (p *Policy) names() []string {
	out := make([]string, len(p.Classes))
	for i, c := range p.Classes {
		out[i] = c.Name
	}
	return out
}

// Class returns a class by its name.
func (p *Policy) Class(name string) (Class, bool) {
	i := slices.IndexFunc(p.Classes, func(c Class) bool { return c.Name == name })
	if i < 0 {
		return Class{}, false
	}
	return p.Classes[i], true
}

// Secure tells whether the class may hold security and audit logs.
func (p *Policy) Secure(name string) bool {
	c, ok := p.Class(name)
	return ok && c.Keep >= LegalMinimum
}

// Confidential tells whether all events of the tenant are security or audit
// logs. Unassigned is, since nobody knows what it holds.
func (p *Policy) Confidential(tenant string) bool {
	return tenant == tenancy.City || tenant == tenancy.Unassigned || slices.Contains(p.Tenants, tenant)
}

// Allows returns an error that says why the tenant cannot be in the class.
func (p *Policy) Allows(tenant, class string) error {
	c, ok := p.Class(class)
	switch {
	case !ok:
		return fmt.Errorf("there is no retention class %q; one of %s is expected", class, strings.Join(p.names(), ", "))
	case c.Keep < LegalMinimum && p.Confidential(tenant):
		return fmt.Errorf("the class %s keeps %d days, but the events of %s are security or audit logs, which are kept for %d days at least (Cybersecurity Law of the PRC, article 21)",
			class, c.Days(), tenant, int(LegalMinimum/Day))
	}
	return nil
}

// For returns the class that an event of a tenant goes to. Flow records go to
// the class of flows; security and audit logs to the shortest class that may
// hold them where the tenant's may not. A class that is not there, because the
// configuration lost it, is Standard.
func (p *Policy) For(tenant, class, dataset string) string {
	if _, ok := p.Class(class); !ok {
		class = Standard
	}
	if strings.HasPrefix(dataset, flows) && p.Flows != "" {
		return p.Flows
	}
	if p.Secure(class) || !p.Confidential(tenant) && !p.security(dataset) {
		return class
	}
	best := Class{Name: Standard, Keep: Longest + Day}
	for _, c := range p.Classes {
		if c.Keep >= LegalMinimum && c.Keep < best.Keep {
			best = c
		}
	}
	return best.Name
}

func (p *Policy) security(dataset string) bool {
	return slices.ContainsFunc(p.Security, func(pattern string) bool {
		ok, _ := path.Match(pattern, dataset)
		return ok
	})
}

// maxRoutes bounds what a Router remembers.
const maxRoutes = 10_000

// Router returns For with a memory, for one goroutine that asks for each event.
func (p *Policy) Router() func(tenant, class, dataset string) string {
	type question struct{ tenant, class, dataset string }
	known := map[question]string{}
	return func(tenant, class, dataset string) string {
		q := question{tenant, class, dataset}
		to, ok := known[q]
		if !ok {
			if len(known) >= maxRoutes {
				clear(known)
			}
			// The texts may point into a batch that is reused.
			q = question{strings.Clone(tenant), strings.Clone(class), strings.Clone(dataset)}
			to = p.For(q.tenant, q.class, q.dataset)
			known[q] = to
		}
		return to
	}
}
