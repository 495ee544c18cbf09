package api

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"icewatch/soc/identity"
	"icewatch/soc/seal"
)

// Keys is what the API asks of soc/seal.
type Keys interface {
	Keys(ctx context.Context) ([]seal.Key, error)
	Rotate(ctx context.Context) error
}

// keyRoutes registers the operations on the master keys. Dropping old keys is
// not among them: it needs nobody to hold an old one in memory, so it is done
// while the suite stands still (icewatch keys drop-old).
func (s *Server) keyRoutes() {
	if s.deps.Keys == nil {
		return
	}
	list := func(ctx context.Context) (*Body[Page[seal.Key]], error) {
		keys, err := s.deps.Keys.Keys(ctx)
		return Reply(PageOf(keys, len(keys), "")), err
	}
	Register(s, huma.Operation{OperationID: "list-keys", Method: http.MethodGet, Path: "/keys", Tags: []string{"security"},
		Summary: "The master keys by id, and how many secrets each seals"}, identity.ScopeSecurity,
		func(ctx context.Context, _ *Empty) (*Body[Page[seal.Key]], error) { return list(ctx) })
	Register(s, huma.Operation{OperationID: "rotate-keys", Method: http.MethodPost, Path: "/keys/rotate", Tags: []string{"security"},
		Summary: "Make a new master key and seal every secret anew with it"}, identity.ScopeSecurity,
		func(ctx context.Context, _ *Empty) (*Body[Page[seal.Key]], error) {
			AuditObject(ctx, "master-keys", "", "")
			if err := s.deps.Keys.Rotate(ctx); err != nil {
				return nil, err
			}
			return list(ctx)
		})
}
