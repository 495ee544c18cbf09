package saved

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"
	"time"

	"icewatch/soc/reach"
)

// Scope is what a group leaves of a search.
type Scope struct {
	Name    string
	Filter  string        // LogsQL; "" for every row
	Tenants []string      // nil for all
	Span    time.Duration // the furthest back; 0 without bound
}

// Within narrows r to the group's rows.
func (s Scope) Within(r reach.Reach) reach.Reach {
	if s.Tenants != nil {
		r = r.Narrow(s.Tenants)
	}
	return r.WithGroup(s.Filter)
}

// Start is where a search in the group begins that would begin at start.
func (s Scope) Start(start, now time.Time) time.Time {
	if first := now.Add(-s.Span); s.Span > 0 && start.Before(first) {
		return first
	}
	return start
}

// Scope tells what a group leaves of a search of the asker's.
func (s *Store) Scope(a Asker, id string) (Scope, error) {
	n, ok := s.groups.Load().byID[id]
	switch {
	case !ok:
		return Scope{}, fmt.Errorf("%w: log group %.64q", ErrNotFound, id)
	case !n.usable(a):
		return Scope{}, fmt.Errorf("%w: the log group %.64q is not yours to search in", ErrForbidden, id)
	case n.Kind != KindGroup:
		return Scope{}, invalid("%q is a directory: search in one of its log groups", n.Name)
	}
	out := Scope{Name: n.Name, Filter: n.Filter}
	if len(n.Tenants) > 0 {
		out.Tenants = n.Tenants
	}
	if n.Span != "" {
		span, err := ParseSpan(n.Span)
		if err != nil {
			return Scope{}, fmt.Errorf("saved: the span of log group %s: %w", n.ID, err)
		}
		out.Span = span
	}
	return out, nil
}

// Confinement is the filter that bounds whatever the asker reads of the lake:
// the rows of the confining groups that name him, "" where none does.
func (s *Store) Confinement(a Asker) string {
	var parts []string
	for _, n := range s.groups.Load().confining {
		if !n.Access.names(a) {
			continue
		}
		filter := cmp.Or(n.Filter, "*")
		if len(n.Tenants) > 0 {
			quoted := make([]string, len(n.Tenants))
			for i, t := range n.Tenants {
				quoted[i] = strconv.Quote(t)
			}
			filter = strconv.Quote(reach.FieldTenant) + ":in(" + strings.Join(quoted, ",") + ") and (" + filter + ")"
		}
		parts = append(parts, "("+filter+")")
	}
	if len(parts) == 0 {
		return ""
	}
	return strings.Join(parts, " or ")
}
