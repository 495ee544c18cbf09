package api

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"icewatch/soc/event/catalogue"
	"icewatch/soc/identity"
	"icewatch/soc/search"
)

// describedField is a field of events as a rule or a search can use it.
type describedField struct {
	catalogue.Field
	Seen uint64 `json:"seen" doc:"Events of the last day that have it, within reach"`
}

// maxSeenFields is how many names of stored events are shown beside those that
// are described.
const maxSeenFields = 5000

// fieldRoutes registers the catalogue of fields.
func (s *Server) fieldRoutes() {
	Register(s, huma.Operation{OperationID: "list-fields", Method: http.MethodGet, Path: "/fields/catalogue", Tags: []string{"rules"},
		Summary: "The fields of events with their names, types and meanings, and those seen in the last day"}, identity.ScopeRead,
		func(ctx context.Context, _ *Empty) (*Body[Page[describedField]], error) {
			described, err := catalogue.Fields()
			if err != nil {
				return nil, err
			}
			seen, err := s.seenFields(ctx)
			if err != nil {
				return nil, err
			}
			count := make(map[string]uint64, len(seen))
			for _, f := range seen {
				count[f.Value] = f.Hits
			}
			items := make([]describedField, 0, len(described)+len(seen))
			for _, f := range described {
				items = append(items, describedField{f, count[f.Name]})
				delete(count, f.Name)
			}
			for _, f := range seen {
				if _, open := count[f.Value]; open {
					items = append(items, describedField{catalogue.Field{Name: f.Value, Type: catalogue.Keyword, Group: "seen"}, f.Hits})
				}
			}
			return Reply(PageOf(items, len(items), "")), nil
		})
}

// seenFields are the names in the events of the last day, some minutes behind
// at most. The catalogue does not fail for their sake.
func (s *Server) seenFields(ctx context.Context) ([]search.ValueHits, error) {
	if s.deps.Search == nil {
		return nil, nil
	}
	within, err := Reach(ctx, "")
	if err != nil || within.Nothing() {
		return nil, err
	}
	return s.seenNames.get(within.Key(), 2*time.Minute, func() ([]search.ValueHits, error) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
		now := time.Now()
		hits, err := s.deps.Search.Fields(ctx, search.Request{Reach: within, Query: "*", Start: now.Add(-24 * time.Hour), End: now.Add(aheadOfClock)}, maxSeenFields)
		if err != nil {
			s.log.Debug("could not read the names of the last day's fields", "error", err)
			return nil, nil
		}
		return hits, nil
	})
}
