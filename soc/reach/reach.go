// Package reach says which rows somebody may see: data scopes. A scope is
// written in a small language over the facts of a row,
//
//	organisation under "public-security" and not region in ("南山", "福田") or label contains "citizen"
//
// is compiled once for the tenants and organisations there are (Compile), and
// the outcome, a Reach, is enforced by whoever holds rows: Match in memory,
// LogsQL in the lake, SQL in the relational state. All three mean the same.
//
// # Facts
//
// A row (an event, a configuration item, an alert, an incident) has a tenant
// and may have an organisation, a region, an industry and labels of its own,
// those of the configuration item that it is about. Where it has no
// organisation, region or industry of its own, its tenant's count; its labels
// are its own and its tenant's together. What the tenant says is looked up when
// the scope is compiled, so that a change of it counts for what was stored
// before, too.
//
// # Meaning
//
// A condition on a fact that a row does not have is false; not turns that
// round, so region not in ("a") holds for rows without a region. Of several
// labels any one may fulfil a condition, and label != "a" says that none is a.
// Texts are compared as they are, case and all; contains looks for a part of
// them. An organisation goes by its id or code; contains looks at its names,
// too. under is the organisation itself and all below it.
//
// # Tenants
//
// Every tenant is one of three: wholly visible, so that the storage's own
// separation is enough; not visible at all, so that it is not even asked for;
// or in part, and then each row is looked at.
package reach

import (
	"crypto/sha256"
	"encoding/hex"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"

	"icewatch/soc/veil"
)

// The fields under which the lake stores a row's facts. Only enrichment sets
// them; a row that says nothing of its own has none of the last four.
const (
	FieldTenant   = "icewatch.tenant"
	FieldUnit     = "icewatch.reach.unit"
	FieldRegion   = "icewatch.reach.region"
	FieldIndustry = "icewatch.reach.industry"
	FieldLabels   = "icewatch.reach.labels" // as JoinLabels writes them
)

// Facts are a row's own, "" where it has none.
type Facts struct {
	Tenant   string   // slug
	Unit     string   // id of the organisation
	Region   string   //
	Industry string   //
	Labels   []string // without JoinLabels' separator
}

const labelSeparator = ";"

// JoinLabels writes labels as one text in which each stands between separators
// (";a;b;"), in order and each once, "" where there are none. A label with the
// separator in it is left out: the CMDB takes none.
func JoinLabels(labels []string) string {
	list := slices.DeleteFunc(slices.Clone(labels), func(l string) bool { return l == "" || strings.Contains(l, labelSeparator) })
	if len(list) == 0 {
		return ""
	}
	slices.Sort(list)
	return labelSeparator + strings.Join(slices.Compact(list), labelSeparator) + labelSeparator
}

// SplitLabels reads what JoinLabels wrote.
func SplitLabels(s string) []string {
	return strings.FieldsFunc(s, func(r rune) bool { return string(r) == labelSeparator })
}

// Reach is the set of rows that may be seen. The zero value holds none. It is
// safe for concurrent use and is never changed.
type Reach struct {
	v    *view
	logs string     // LogsQL that rows of the lake must meet as well; see WithLogs
	own  string     // the same, chosen by the caller; see WithGroup
	veil *veil.Veil // what of the rows is hidden; see WithVeil

	terms *Terms // how it came about; nil where that is All, or a view made by hand
}

type view struct {
	all    bool     // every row of every tenant, also of those to come
	but    []string // of all, the tenants that were removed, in order
	tests  map[string]*test
	slugs  []string // in order
	filter func() string
	key    func() string
}

var everything = &view{all: true}

// All is the reach over everything, tenants to come included.
func All() Reach { return Reach{v: everything} }

// None is the reach over nothing.
func None() Reach { return Reach{} }

// Tenants is the reach over all rows of the tenants named.
func Tenants(slugs ...string) Reach {
	tests := make(map[string]*test, len(slugs))
	for _, s := range slugs {
		tests[s] = yes
	}
	r := newReach(tests)
	if r.v != nil {
		r.terms = &Terms{Tenants: slices.Clone(r.v.slugs)}
	}
	return r
}

func newReach(tests map[string]*test) Reach {
	if len(tests) == 0 {
		return Reach{}
	}
	v := &view{tests: tests, slugs: slices.Sorted(maps.Keys(tests))}
	v.filter = sync.OnceValue(v.logsql)
	v.key = sync.OnceValue(v.digest)
	return Reach{v: v}
}

// Everything tells whether this is All: the whole suite, not only all of the
// tenants there are.
func (r Reach) Everything() bool { return r.v != nil && r.v.all }

// Nothing tells whether no row can be visible.
func (r Reach) Nothing() bool { return r.v == nil }

// CoversTenant tells whether some row of the tenant may be visible.
func (r Reach) CoversTenant(slug string) bool {
	if r.v == nil || r.v.all {
		return r.v != nil && !slices.Contains(r.v.but, slug)
	}
	_, ok := r.v.tests[slug]
	return ok
}

// CoversWhole tells whether every row of the tenant is visible, whatever its
// facts.
func (r Reach) CoversWhole(slug string) bool {
	if r.v == nil || r.v.all {
		return r.v != nil && !slices.Contains(r.v.but, slug)
	}
	return r.v.tests[slug] == yes
}

// TenantSlugs lists the tenants of which some row may be visible, in order;
// all is true, and the list nil, where that is every tenant.
func (r Reach) TenantSlugs() (slugs []string, all bool) {
	switch {
	case r.v == nil:
		return []string{}, false
	case r.v.all:
		return nil, true
	}
	return slices.Clone(r.v.slugs), false
}

// Match tells whether a row with these facts is visible.
func (r Reach) Match(f Facts) bool {
	if r.v == nil || r.v.all {
		return r.v != nil && !slices.Contains(r.v.but, f.Tenant)
	}
	t, ok := r.v.tests[f.Tenant]
	return ok && t.match(&f)
}

// And is what both hold.
func (r Reach) And(other Reach) Reach {
	logs, own, hidden, terms := bothLogs(r.logs, other.logs), bothLogs(r.own, other.own), r.veil.With(other.veil), r.terms.with(other.terms)
	switch {
	case r.v == nil || other.v == nil:
		return Reach{}
	case r.v.all:
		both := other.Without(r.v.but...)
		if both.v != nil {
			both.logs, both.own, both.veil, both.terms = logs, own, hidden, terms
		}
		return both
	case other.v.all:
		return other.And(r)
	case r.v == other.v:
		return Reach{v: r.v, logs: logs, own: own, veil: hidden, terms: terms}
	}
	few, many := r.v.tests, other.v.tests
	if len(few) > len(many) {
		few, many = many, few
	}
	tests := make(map[string]*test, len(few))
	for slug, a := range few {
		if b, ok := many[slug]; ok {
			if t := combine(every, a, b); t != no {
				tests[slug] = t
			}
		}
	}
	both := newReach(tests)
	if both.v != nil {
		both.logs, both.own, both.veil, both.terms = logs, own, hidden, terms
	}
	return both
}

// Without is the reach less all rows of the tenants named: those that were
// removed. What was the reach over everything still is, for Everything.
func (r Reach) Without(slugs ...string) Reach {
	if r.v == nil || len(slugs) == 0 {
		return r
	}
	if r.v.all {
		but := slices.Compact(slices.Sorted(slices.Values(slices.Concat(r.v.but, slugs))))
		return Reach{v: &view{all: true, but: but}, logs: r.logs, own: r.own, veil: r.veil, terms: r.terms}
	}
	tests := maps.Clone(r.v.tests)
	for _, s := range slugs {
		delete(tests, s)
	}
	if len(tests) == len(r.v.tests) {
		return r
	}
	left := newReach(tests)
	if left.v != nil {
		left.logs, left.own, left.veil, left.terms = r.logs, r.own, r.veil, r.terms
	}
	return left
}

// Narrow is what of the reach lies in the tenants named.
func (r Reach) Narrow(slugs []string) Reach { return r.And(Tenants(slugs...)) }

// Key tells reaches apart: equal keys mean equal rows. It is short and made to
// be a key of caches.
func (r Reach) Key() string {
	key := ""
	switch {
	case r.v == nil:
		return "none"
	case r.v.all:
		key = strings.Join(append([]string{"all"}, r.v.but...), " but ")
	default:
		key = r.v.key()
	}
	if logs := r.LogsFilter(); logs != "" {
		sum := sha256.Sum256([]byte(logs))
		key += "+" + hex.EncodeToString(sum[:16])
	}
	if k := r.veil.Key(); k != "" {
		key += "-" + k
	}
	return key
}

func (v *view) digest() string {
	h := sha256.New()
	for _, s := range v.slugs {
		_, _ = h.Write([]byte(strconv.Quote(s) + v.tests[s].logsql + "\n"))
	}
	return hex.EncodeToString(h.Sum(nil)[:16])
}

// group is tenants with the same test.
type group struct {
	test  *test
	slugs []string
}

// groups brings together the tenants with the same test, the wholly visible
// ones first.
func (v *view) groups() []group {
	var list []group
	at := map[string]int{}
	for _, s := range v.slugs {
		t := v.tests[s]
		i, ok := at[t.logsql]
		if !ok {
			i = len(list)
			at[t.logsql] = i
			list = append(list, group{test: t})
		}
		list[i].slugs = append(list[i].slugs, s)
	}
	slices.SortFunc(list, func(a, b group) int { return strings.Compare(a.test.logsql, b.test.logsql) })
	return list
}

// LogsQL is the filter that picks the visible rows out of those of TenantSlugs,
// "" where all of them are. Values are quoted.
func (r Reach) LogsQL() string {
	if r.v == nil {
		return ""
	}
	if r.v.all {
		return r.LogsFilter()
	}
	return bothLogs(r.v.filter(), r.LogsFilter())
}

func (v *view) logsql() string {
	groups := v.groups()
	if len(groups) == 1 {
		return groups[0].test.logsql
	}
	var b strings.Builder
	b.WriteByte('(')
	for i, g := range groups {
		if i > 0 {
			b.WriteString(" or ")
		}
		b.WriteByte('(')
		writeIn(&b, strconv.Quote(FieldTenant), g.slugs)
		if g.test != yes {
			b.WriteString(" and " + g.test.logsql)
		}
		b.WriteByte(')')
	}
	b.WriteByte(')')
	return b.String()
}

// Columns names the columns, or expressions, that hold a row's facts. They are
// never NULL; Labels is as JoinLabels writes them.
type Columns struct{ Tenant, Unit, Region, Industry, Labels string }

// SQL is the condition that picks the visible rows, with its arguments in the
// order of its question marks. It stands in brackets where it must.
func (r Reach) SQL(c Columns) (where string, args []any) {
	switch {
	case r.v == nil:
		return "1 = 0", nil
	case r.v.all && len(r.v.but) == 0:
		return "1 = 1", nil
	}
	var b strings.Builder
	if r.v.all {
		b.WriteString("(" + c.Tenant + " NOT IN (")
		placeholders(&b, &args, r.v.but)
		b.WriteString("))")
		return b.String(), args
	}
	b.WriteByte('(')
	for i, g := range r.v.groups() {
		if i > 0 {
			b.WriteString(" OR ")
		}
		b.WriteString("(" + c.Tenant + " IN (")
		placeholders(&b, &args, g.slugs)
		b.WriteByte(')')
		if g.test != yes {
			b.WriteString(" AND ")
			g.test.sql(&b, &args, &c)
		}
		b.WriteByte(')')
	}
	b.WriteByte(')')
	return b.String(), args
}
