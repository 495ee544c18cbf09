package routing

import (
	"context"
	"reflect"
	"slices"
	"time"
)

// RouteLine is a route as a line of a list: with what it has from those above it,
// and when it was changed last.
type RouteLine struct {
	Scope         string    `json:"scope" doc:"Whose tree; empty for the city's"`
	ID            string    `json:"id"`
	Name          string    `json:"name"`
	Path          []string  `json:"path" nullable:"false" doc:"Names from the root"`
	Description   string    `json:"description"`
	Type          string    `json:"type" enum:"direct,incident" doc:"direct sends alerts themselves, in an incident or not; incident sends those of incidents alone"`
	Matchers      []string  `json:"matchers" nullable:"false"`
	Receivers     []string  `json:"receivers" nullable:"false"`
	MergeBy       []string  `json:"merge_by" nullable:"false" doc:"Labels by whose values alerts are sent together; \"...\" for each by itself"`
	GroupWait     string    `json:"group_wait"`
	GroupInterval string    `json:"group_interval"`
	MuteTimes     []string  `json:"mute_time_intervals" nullable:"false"`
	ActiveTimes   []string  `json:"active_time_intervals" nullable:"false"`
	EscalateAfter string    `json:"escalate_after,omitempty"`
	EscalateTo    []string  `json:"escalate_to,omitempty"`
	Enabled       bool      `json:"enabled" doc:"Neither it nor one above it is switched off"`
	UpdatedAt     time.Time `json:"updated_at"`
	UpdatedBy     string    `json:"updated_by"`
}

// Policies lists the routes of a tree in force in their order, the root first.
func (s *Store) Policies(ctx context.Context, scope string) ([]RouteLine, error) {
	versions, err := s.Versions(ctx, scope)
	if err != nil || len(versions) == 0 {
		return []RouteLine{}, err
	}
	c, err := compile(versions[0].Tree, func() string { return "" }, nil) // each has an id, since it was saved
	if err != nil {
		return nil, err
	}
	changed := changes(versions)
	out := []RouteLine{}
	var walk func(n *node, on bool)
	walk = func(n *node, on bool) {
		r := n.route
		on = on && !r.Disabled
		p := RouteLine{Scope: scope, ID: r.ID, Name: n.path[len(n.path)-1], Path: n.path, Description: r.Description, Type: "incident", Matchers: listed(r.Matchers), Receivers: listed(n.receivers),
			MergeBy: listed(n.groupBy), GroupWait: short(n.wait), GroupInterval: short(n.interval), MuteTimes: listed(r.MuteTimes), ActiveTimes: listed(r.ActiveTimes),
			EscalateAfter: r.EscalateAfter, EscalateTo: r.EscalateTo, Enabled: on, UpdatedAt: changed[r.ID].At, UpdatedBy: changed[r.ID].By}
		if n.direct {
			p.Type = "direct"
		}
		out = append(out, p)
		for _, child := range n.children {
			walk(child, on)
		}
	}
	walk(c.root, true)
	return out, nil
}

func listed(list []string) []string { return append([]string{}, list...) }

// changes finds for each route of the newest version the one by which it became
// what it is, the oldest at hand where none says. What is below a route is no part
// of it.
func changes(versions []Version) map[string]Version {
	flat := func(t *Tree) map[string]Route {
		out := map[string]Route{}
		var walk func(r *Route)
		walk = func(r *Route) {
			own := *r
			own.Routes = nil
			out[r.ID] = own
			for i := range r.Routes {
				walk(&r.Routes[i])
			}
		}
		walk(&t.Root)
		return out
	}
	newest := flat(&versions[0].Tree)
	out := make(map[string]Version, len(newest))
	open := make([]string, 0, len(newest))
	for id := range newest {
		out[id], open = versions[0], append(open, id)
	}
	for i := 1; i < len(versions) && len(open) > 0; i++ {
		was := flat(&versions[i].Tree)
		open = slices.DeleteFunc(open, func(id string) bool {
			old, there := was[id]
			if !there || !reflect.DeepEqual(old, newest[id]) {
				return true
			}
			out[id] = versions[i]
			return false
		})
	}
	return out
}
