package ticketing

import (
	"cmp"
	"reflect"
	"slices"
	"strings"

	"icewatch/detections/policy"
)

// link is what alerts have in common: an item or an actor.
type link struct{ kind, value string }

// tenantLink is a link of one tenant's.
type tenantLink struct {
	tenant string
	link
}

// cohort is the open alerts of a tenant that have a link in common; where there
// are many, the gravest and latest of them.
type cohort struct {
	alerts  []*alert
	more    bool   // SQL has further ones, which rank below
	version uint64 // another one once anything changes that decisions rest on
	sorted  bool   // by rank
}

// span is the event times of an alert, in Unix milliseconds.
type span struct{ first, last int64 }

func (a *alertRow) spanned() span { return span{a.FirstSeen, a.LastSeen} }

// ofLinks are the links of an alert; one of a fault has none: what it belongs to
// is decided by who depends on whom.
func (a *alertRow) ofLinks() [2]link {
	if a.Fault {
		return [2]link{}
	}
	return [2]link{{linkItem, a.Item}, {linkActor, a.Actor}}
}

// trim keeps the gravest and latest of a large cohort.
func (c *cohort) trim() {
	if len(c.alerts) <= 2*maxPerKey {
		return
	}
	c.sort()
	clear(c.alerts[maxPerKey:])
	c.alerts, c.more = c.alerts[:maxPerKey], true
}

func (c *cohort) sort() {
	if !c.sorted {
		slices.SortFunc(c.alerts, rank)
		c.sorted = true
	}
}

// rank orders alerts by what of them matters most.
func rank(a, b *alert) int {
	if d := cmp.Or(cmp.Compare(b.Severity, a.Severity), cmp.Compare(b.LastSeen, a.LastSeen)); d != 0 {
		return d
	}
	return strings.Compare(a.ID, b.ID)
}

// ranked returns the alerts of a cohort by rank.
func (l *live) ranked(tenant string, by link) []*alert {
	c := l.cohort(tenant, by)
	if c == nil {
		return nil
	}
	c.sort()
	return c.alerts
}

func (l *live) cohort(tenant string, by link) *cohort {
	if by.value == "" {
		return nil
	}
	return l.cohorts[by][tenant]
}

// version tells the versions of an alert's cohorts.
func (l *live) version(a *alert) (item, actor uint64) {
	if c := l.cohort(a.Tenant, link{linkItem, a.Item}); c != nil {
		item = c.version
	}
	if c := l.cohort(a.Tenant, link{linkActor, a.Actor}); c != nil {
		actor = c.version
	}
	return item, actor
}

func (l *live) changed(c *cohort) {
	l.versions++
	c.version = l.versions
}

// join puts an alert into the cohort of a link, which is made where it is
// missing.
func (l *live) join(a *alert, by link) {
	tenants := l.cohorts[by]
	if tenants == nil {
		tenants = map[string]*cohort{}
		l.cohorts[by] = tenants
	}
	c := tenants[a.Tenant]
	if c == nil {
		c = &cohort{}
		tenants[a.Tenant] = c
	}
	c.alerts, c.sorted = append(c.alerts, a), false
	l.changed(c)
	l.grown[c] = true
}

// seat brings an alert's cohorts into line with it: they are at hand. Their
// versions change where it is new to them, where what a policy sees of it is
// not what it was, or where its times stand in another relation to another's.
// That it fired once more, by the same values, changes none.
func (l *live) seat(a *alert) {
	facts := a.related()
	same := a.facts != nil && sameKind(*a.facts, *facts)
	a.facts = facts
	if !same {
		a.decided, a.saved = decided{}, nil // former releases kept the facts beside it
	}
	now := a.ofLinks()
	for n, by := range now {
		if was := a.links[n]; was != by {
			if c := l.cohort(a.Tenant, was); c != nil {
				if i := slices.Index(c.alerts, a); i >= 0 {
					c.alerts = slices.Delete(c.alerts, i, i+1)
					l.changed(c)
				}
				if c.more {
					l.short = append(l.short, was)
				}
			}
		}
		switch c := l.cohort(a.Tenant, by); {
		case by.value == "" || !l.drawn[by]:
		case c == nil || !slices.Contains(c.alerts, a):
			l.join(a, by)
		default:
			c.sorted = false // it was seen later
			if !same || l.crosses(c, a) {
				l.changed(c)
			}
		}
	}
	a.links, a.span = now, a.spanned()
}

// sameKind tells whether a policy sees the same in two states of an alert, but
// for how often and how long it fired.
func sameKind(a, b policy.Alert) bool {
	a.First, a.Last, a.Count = b.First, b.Last, b.Count
	return reflect.DeepEqual(a.Thawed(), b.Thawed())
}

// crosses tells whether an alert's times have come to stand in another relation
// to those of another alert of the cohort: which of them began before the other
// ended, or whether they are near each other.
func (l *live) crosses(c *cohort, a *alert) bool {
	was, is := a.span, a.spanned()
	return was != is && slices.ContainsFunc(c.alerts, func(b *alert) bool {
		return b != a && (was.last >= b.span.first != (is.last >= b.span.first) || b.span.last >= was.first != (b.span.last >= is.first) ||
			l.near(was, b.span) != l.near(is, b.span))
	})
}

// near tells whether two spans are within the window.
func (l *live) near(a, b span) bool {
	return a.first-l.window <= b.last && b.first-l.window <= a.last
}

func sliceOf(pair [2]link) []link { return pair[:] }
