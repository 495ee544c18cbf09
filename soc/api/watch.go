package api

import (
	"context"
	"net/http"
	"strconv"

	"github.com/danielgtaylor/huma/v2"

	"icewatch/soc/identity"
	"icewatch/soc/watch"
)

// Watch is what the API asks of soc/watch.
type Watch interface {
	Active() []watch.Condition
	Past(ctx context.Context, limit, skip int) ([]watch.Condition, int, error)
}

// offset reads the cursor of a list that is paged by counting.
func offset(cursor string) (int, error) {
	if cursor == "" {
		return 0, nil
	}
	n, err := strconv.Atoi(cursor)
	if err != nil || n < 0 {
		return 0, Problem(http.StatusBadRequest, "cursor: %q is not the next of a page before", clip(cursor, 64))
	}
	return n, nil
}

// paged cuts a page out of a whole list.
func paged[T any](list []T, in PageInput) (Page[T], error) {
	from, err := offset(in.Cursor)
	if err != nil {
		return Page[T]{}, err
	}
	total := len(list)
	from = min(from, total)
	to := min(from+in.Limit, total)
	return PageOf(list[from:to], total, following(to, total)), nil
}

// following is the cursor of the page that begins at to.
func following(to, total int) string {
	if to >= total {
		return ""
	}
	return strconv.Itoa(to)
}

func (s *Server) watchRoutes() {
	Register(s, huma.Operation{OperationID: "list-conditions", Method: http.MethodGet, Path: "/health/conditions", Tags: []string{"health"},
		Summary: "What is wrong with the suite itself, and what was"}, identity.ScopeRead,
		func(ctx context.Context, in *struct {
			PageInput
			State string `query:"state" enum:"active,cleared" default:"active" doc:"What lasts, the gravest first; or what is over, the latest first"`
		}) (*Body[Page[watch.Condition]], error) {
			if err := cityOnly(ctx); err != nil {
				return nil, err
			}
			if s.deps.Watch == nil {
				return nil, unavailable("the watch over the suite")
			}
			if in.State == "active" {
				page, err := paged(s.deps.Watch.Active(), in.PageInput)
				return Reply(page), err
			}
			from, err := offset(in.Cursor)
			if err != nil {
				return nil, err
			}
			list, total, err := s.deps.Watch.Past(ctx, in.Limit, from)
			if err != nil {
				return nil, err
			}
			return Reply(PageOf(list, total, following(from+len(list), total))), nil
		})
}
