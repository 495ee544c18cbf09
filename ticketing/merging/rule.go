// Package merging says which alerts become one incident. The ways that are
// shipped, by attack and by fault, belong to ticketing, which asks a policy and
// the CMDB; they stand in the list of rules so that they can be seen and switched
// off. All other rules are data alone: which alerts, the labels whose values must
// be equal, how far apart in time they may be, how alike their texts, and how
// many it takes.
//
// A rule looks at alerts that no incident holds. Where several rules accept an
// alert, the first in their order has it. Alerts of different tenants never
// become one.
//
// Texts are compared by the Jaccard index of their character trigrams (see
// Similarity), each alert with the first of its group. Of the same alerts the
// same groups come, in whatever order they are given.
package merging

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/prometheus/alertmanager/pkg/labels"

	"icewatch/ticketing/silence"
)

// Limits of what is kept.
const (
	MaxRules  = 500
	MaxWindow = 7 * 24 * time.Hour
	maxBy     = 16
	maxLeast  = 10_000
	maxName   = 200  // characters
	maxText   = 2000 // characters
	maxLabel  = 256  // bytes of a label's name
	maxOpen   = 200  // groups of one key that texts are compared with at a time
)

// Errors of this room. The text of ErrInvalid says what would be right.
var (
	ErrNotFound = errors.New("merging: not found")
	ErrInvalid  = errors.New("merging: invalid")
)

// Kind is a way in which alerts are put together.
type Kind string

// The kinds of rules. Attack and Fault are shipped, one rule each, of which only
// whether it is off can be changed.
const (
	Attack Kind = "attack" // the incident policy decides about alerts on one item or by one attacker
	Fault  Kind = "fault"  // by who depends on whom
	Alerts Kind = "alerts" // by what a rule says
)

// Title is what Similar.On names to compare what the alerts tell.
const Title = "title"

// Similar asks for texts that are alike.
type Similar struct {
	On      string  `json:"on"`       // Title, or a label
	AtLeast float64 `json:"at_least"` // of Similarity, above 0 to 1
}

// Rule says which alerts become one.
type Rule struct {
	ID          string          `json:"id"`
	Name        string          `json:"name"`
	Description string          `json:"description,omitempty"`
	Kind        Kind            `json:"kind"`
	Shipped     bool            `json:"shipped,omitempty"`
	Off         bool            `json:"off,omitempty"`     // kept, and not in force
	Order       int             `json:"order"`             // the least comes first
	Matchers    labels.Matchers `json:"matchers"`          // which alerts; all where there is none
	By          []string        `json:"by"`                // labels whose values must be equal; an alert that lacks one is not merged
	Window      time.Duration   `json:"window"`            // from the end of one to the beginning of the next
	Similar     *Similar        `json:"similar,omitempty"` // nil does not ask for it
	Least       int             `json:"least"`             // alerts that make one
	Tenants     []string        `json:"tenants"`           // for whose alerts it is; empty for all

	Version   int64     `json:"-"`
	UpdatedAt time.Time `json:"-"`
	UpdatedBy string    `json:"-"`
}

// Check says what is wrong with a rule.
func (r *Rule) Check() error {
	switch {
	case strings.TrimSpace(r.Name) == "" || utf8.RuneCountInString(r.Name) > maxName:
		return fmt.Errorf("%w: name: want 1 to %d characters", ErrInvalid, maxName)
	case utf8.RuneCountInString(r.Description) > maxText:
		return fmt.Errorf("%w: description: want at most %d characters", ErrInvalid, maxText)
	case r.Kind != Alerts && !r.Shipped:
		return fmt.Errorf("%w: kind: %q: only rules of the kind %q can be made", ErrInvalid, r.Kind, Alerts)
	case r.Kind != Alerts:
		return nil
	case len(r.By) > maxBy:
		return fmt.Errorf("%w: by: %d labels, at most %d", ErrInvalid, len(r.By), maxBy)
	case r.Window < time.Second || r.Window > MaxWindow:
		return fmt.Errorf("%w: window: %s: want 1s to %s", ErrInvalid, r.Window, MaxWindow)
	case r.Least < 2 || r.Least > maxLeast:
		return fmt.Errorf("%w: least: %d: want 2 to %d alerts", ErrInvalid, r.Least, maxLeast)
	case len(r.By) == 0 && r.Similar == nil && len(r.Matchers) == 0:
		return fmt.Errorf("%w: a rule without matchers, by and similar would make one incident of all alerts: say at least one of them", ErrInvalid)
	}
	for i, name := range r.By {
		if name == "" || len(name) > maxLabel {
			return fmt.Errorf("%w: by[%d]: want the name of a label, 1 to %d bytes", ErrInvalid, i, maxLabel)
		}
		if slices.Contains(r.By[:i], name) {
			return fmt.Errorf("%w: by[%d]: %q is there twice", ErrInvalid, i, name)
		}
	}
	if s := r.Similar; s != nil {
		if s.On == "" || len(s.On) > maxLabel {
			return fmt.Errorf("%w: similar.on: want %q or the name of a label, 1 to %d bytes", ErrInvalid, Title, maxLabel)
		}
		if !(s.AtLeast > 0 && s.AtLeast <= 1) {
			return fmt.Errorf("%w: similar.at_least: %g: want more than 0, at most 1", ErrInvalid, s.AtLeast)
		}
	}
	if err := silence.CheckEach(r.Matchers); err != nil {
		return fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	return nil
}

// Key tells which alerts may become one with an alert of these labels: those of
// the same key. ok is false where the rule is not for it.
func (r *Rule) Key(tenant string, set map[string]string) (key string, ok bool) {
	if len(r.Tenants) > 0 && !slices.Contains(r.Tenants, tenant) || !silence.Matches(r.Matchers, set) {
		return "", false
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%d:%s", len(tenant), tenant)
	for _, name := range r.By {
		v := set[name]
		if v == "" {
			return "", false
		}
		fmt.Fprintf(&b, "%d:%s", len(v), v)
	}
	return b.String(), true
}

// TextOf is the text of an alert that a rule compares; nil where it asks for
// none. title is what the alert tells.
func (r *Rule) TextOf(title string, set map[string]string) Text {
	switch {
	case r.Similar == nil:
		return nil
	case r.Similar.On == Title:
		return TextOf(title)
	default:
		return TextOf(set[r.Similar.On])
	}
}

// Alert is an alert as it is put into groups.
type Alert struct {
	ID          string
	First, Last int64 // Unix milliseconds
	Text        Text
}

// group is alerts that belong together, while they are gathered.
type group struct {
	members []Alert
	last    int64
}

// Groups puts alerts of one key into groups, small ones among them; the caller
// asks whether a group has Least members. Groups and their members come by when
// they began.
func (r *Rule) Groups(alerts []Alert) [][]Alert {
	alerts = slices.Clone(alerts)
	slices.SortFunc(alerts, func(a, b Alert) int {
		return cmp.Or(cmp.Compare(a.First, b.First), strings.Compare(a.ID, b.ID))
	})
	var all, open []*group
	for _, a := range alerts {
		open = slices.DeleteFunc(open, func(g *group) bool { return a.First-g.last > r.Window.Milliseconds() })
		var best *group
		most := 0.0
		for _, g := range open {
			alike := 1.0
			if r.Similar != nil {
				if alike = Similarity(g.members[0].Text, a.Text); alike < r.Similar.AtLeast {
					continue
				}
			}
			if alike > most { // of equals the older one
				best, most = g, alike
			}
		}
		if best == nil {
			best = &group{last: a.Last}
			all, open = append(all, best), append(open, best)
			if len(open) > maxOpen {
				open = slices.Delete(open, 0, 1)
			}
		}
		best.members, best.last = append(best.members, a), max(best.last, a.Last)
	}
	out := make([][]Alert, 0, len(all))
	for _, g := range all {
		out = append(out, g.members)
	}
	return out
}
