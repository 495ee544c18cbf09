// Package inhibition keeps rules by which one alert mutes others, as in
// Alertmanager: while an alert fires that the source matchers accept, nobody is
// told of alerts that the target matchers accept and whose labels named in Equal
// have the same values. A dead data centre so mutes what is dead in it.
//
// Two things differ from Alertmanager. A source mutes alerts of its own tenant
// only, or, where it is the city's, those of all tenants that the rule is for.
// And an alert never mutes itself, nor does another mute it that both sides of
// the rule accept as well (Alertmanager has the same exception).
package inhibition

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/prometheus/alertmanager/pkg/labels"

	"icewatch/soc/tenancy"
	"icewatch/ticketing/silence"
)

// Limits of what is kept.
const (
	MaxRules = 1000
	maxEqual = 32
	maxName  = 200  // characters
	maxText  = 2000 // characters
)

// Errors of this room. The text of ErrInvalid says what would be right.
var (
	ErrNotFound = errors.New("inhibition: not found")
	ErrInvalid  = errors.New("inhibition: invalid")
)

// Rule says which alerts mute which.
type Rule struct {
	ID          string          `json:"id"`
	Name        string          `json:"name"`
	Description string          `json:"description,omitempty"`
	Source      labels.Matchers `json:"source"`
	Target      labels.Matchers `json:"target"`
	Equal       []string        `json:"equal"`
	Tenants     []string        `json:"tenants"` // for whose alerts it is; empty for all
	Off         bool            `json:"off"`     // kept, and not in force
	UpdatedAt   time.Time       `json:"updated_at"`
	UpdatedBy   string          `json:"updated_by"`
}

// Check says what is wrong with a rule.
func (r *Rule) Check() error {
	switch {
	case strings.TrimSpace(r.Name) == "" || utf8.RuneCountInString(r.Name) > maxName:
		return fmt.Errorf("%w: name: want 1 to %d characters", ErrInvalid, maxName)
	case utf8.RuneCountInString(r.Description) > maxText:
		return fmt.Errorf("%w: description: want at most %d characters", ErrInvalid, maxText)
	case len(r.Equal) > maxEqual:
		return fmt.Errorf("%w: equal: %d labels, at most %d", ErrInvalid, len(r.Equal), maxEqual)
	case slices.Contains(r.Equal, ""):
		return fmt.Errorf("%w: equal: a label has no name", ErrInvalid)
	}
	for _, side := range []struct {
		name string
		list labels.Matchers
	}{{"source", r.Source}, {"target", r.Target}} {
		if err := silence.CheckMatchers(side.list); err != nil {
			return fmt.Errorf("%w: %s: %w", ErrInvalid, side.name, err)
		}
	}
	return nil
}

// key is what the labels named in Equal of an alert are together.
func (r *Rule) key(set map[string]string) string {
	var b strings.Builder
	for _, name := range r.Equal {
		v := set[name]
		fmt.Fprintf(&b, "%d:%s", len(v), v)
	}
	return b.String()
}

func (r *Rule) isFor(tenant string) bool {
	return len(r.Tenants) == 0 || slices.Contains(r.Tenants, tenant)
}

// Muted says that an alert is muted, and by what.
type Muted struct {
	Rule   string // id
	Source string // id of the alert that mutes it
}

// source is an alert that fires and that the source matchers of a rule accept.
type source struct {
	id, tenant string
	both       bool // the target matchers accept it too
}

// index finds the rules that may accept labels without asking each: a rule
// stands under one label value that it demands, where it demands one.
type index struct {
	by   map[[2]string][]*Rule
	rest []*Rule
}

func newIndex(rules []*Rule, side func(*Rule) labels.Matchers) index {
	x := index{by: map[[2]string][]*Rule{}}
	// The label that most rules demand tells them apart the least.
	often := map[[2]string]int{}
	demands := func(r *Rule, f func(k [2]string)) {
		for _, m := range side(r) {
			if m.Type == labels.MatchEqual && m.Value != "" {
				f([2]string{m.Name, m.Value})
			}
		}
	}
	for _, r := range rules {
		demands(r, func(k [2]string) { often[k]++ })
	}
	for _, r := range rules {
		var best [2]string
		demands(r, func(k [2]string) {
			if best == ([2]string{}) || often[k] < often[best] {
				best = k
			}
		})
		if best == ([2]string{}) {
			x.rest = append(x.rest, r)
		} else {
			x.by[best] = append(x.by[best], r)
		}
	}
	return x
}

// each calls f with the rules whose side accepts labels.
func (x *index) each(set map[string]string, side func(*Rule) labels.Matchers, f func(*Rule)) {
	try := func(list []*Rule) {
		for _, r := range list {
			if silence.Matches(side(r), set) {
				f(r)
			}
		}
	}
	for name, value := range set {
		try(x.by[[2]string{name, value}])
	}
	try(x.rest)
}

func sources(r *Rule) labels.Matchers { return r.Source }
func targets(r *Rule) labels.Matchers { return r.Target }

// Table is rules in force and the firing alerts that may mute others by them. It
// is not safe for concurrent use.
type Table struct {
	source, target index
	firing         map[string]map[string]map[string]source // rule id, key, alert id
	places         map[string][][2]string                  // of an alert: rule id and key
}

// NewTable makes a table of the rules that are not off.
func NewTable(rules []Rule) *Table {
	var list []*Rule
	for i := range rules {
		if !rules[i].Off {
			list = append(list, &rules[i])
		}
	}
	return &Table{source: newIndex(list, sources), target: newIndex(list, targets),
		firing: map[string]map[string]map[string]source{}, places: map[string][][2]string{}}
}

// Empty tells that no rule is in force.
func (t *Table) Empty() bool { return len(t.source.by) == 0 && len(t.source.rest) == 0 }

// Sources counts the alerts that fire and may mute others.
func (t *Table) Sources() int { return len(t.places) }

// Fires takes an alert that fires with these labels.
func (t *Table) Fires(id, tenant string, set map[string]string) {
	t.Ends(id)
	t.source.each(set, sources, func(r *Rule) {
		key := r.key(set)
		keys := t.firing[r.ID]
		if keys == nil {
			keys = map[string]map[string]source{}
			t.firing[r.ID] = keys
		}
		if keys[key] == nil {
			keys[key] = map[string]source{}
		}
		keys[key][id] = source{id, tenant, silence.Matches(r.Target, set)}
		t.places[id] = append(t.places[id], [2]string{r.ID, key})
	})
}

// Ends takes an alert out that fires no more.
func (t *Table) Ends(id string) {
	for _, p := range t.places[id] {
		keys := t.firing[p[0]]
		if delete(keys[p[1]], id); len(keys[p[1]]) == 0 {
			delete(keys, p[1])
		}
	}
	delete(t.places, id)
}

// Mutes tells by what an alert with these labels is muted, in the order of the
// rules' ids: of each rule the source with the least id.
func (t *Table) Mutes(id, tenant string, set map[string]string) (by []Muted) {
	t.target.each(set, targets, func(r *Rule) {
		keys := t.firing[r.ID]
		if len(keys) == 0 || !r.isFor(tenant) {
			return
		}
		both := silence.Matches(r.Source, set)
		least := ""
		for _, s := range keys[r.key(set)] {
			if s.id == id || both && s.both || s.tenant != tenant && s.tenant != tenancy.City {
				continue
			}
			if least == "" || s.id < least {
				least = s.id
			}
		}
		if least != "" {
			by = append(by, Muted{r.ID, least})
		}
	})
	slices.SortFunc(by, func(a, b Muted) int { return strings.Compare(a.Rule, b.Rule) })
	return by
}
