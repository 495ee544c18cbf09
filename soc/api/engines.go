package api

import (
	"context"
	"errors"
	"net/http"

	"icewatch/soc/exposure/engine"
	"icewatch/soc/identity"
	"icewatch/soc/reach"
)

func engineProblem(err error) error {
	switch {
	case errors.Is(err, engine.ErrNotFound):
		return Problem(http.StatusNotFound, "%s", err.Error())
	case errors.Is(err, engine.ErrInvalid):
		return Problem(http.StatusUnprocessableEntity, "%s", err.Error())
	case errors.Is(err, engine.ErrAway):
		return Problem(http.StatusBadGateway, "%s", err.Error())
	}
	return scanProblem(err)
}

// engineRoutes registers scanners of other makers.
func (s *Server) engineRoutes() {
	room := s.deps.Engines
	if room == nil {
		return
	}
	Register(s, exposureOperation("list-scan-engines", http.MethodGet, "/scan-engines", "Scanners of other makers, and how their connections fare; secrets are never told", 400), identity.ScopeRead,
		func(ctx context.Context, in *PageInput) (*Body[Page[engine.Engine]], error) {
			within, err := Reach(ctx, "")
			if err != nil {
				return nil, err
			}
			return pageFrom(room.List(within), *in)
		})
	put := func(ctx context.Context, id string, d engine.EngineDraft) (*Body[engine.Engine], error) {
		within, err := Reach(ctx, "")
		if err != nil {
			return nil, err
		}
		AuditObject(ctx, "scan-engine:"+id, d.Tenant, clip(d.Name+": "+d.Kind+" "+d.URL, 300))
		x, err := room.Put(ctx, within, Actor(ctx), id, d)
		return Reply(x), engineProblem(err)
	}
	Register(s, exposureOperation("create-scan-engine", http.MethodPost, "/scan-engines", "Add a scanner of another maker", 422), identity.ScopeConfigure,
		func(ctx context.Context, in *struct{ Body engine.EngineDraft }) (*Body[engine.Engine], error) {
			return put(ctx, "", in.Body)
		})
	Register(s, exposureOperation("change-scan-engine", http.MethodPut, "/scan-engines/{id}", "Change a scanner of another maker", 404, 422), identity.ScopeConfigure,
		func(ctx context.Context, in *struct {
			ID   string `path:"id" maxLength:"64"`
			Body engine.EngineDraft
		}) (*Body[engine.Engine], error) {
			return put(ctx, in.ID, in.Body)
		})
	Register(s, exposureOperation("delete-scan-engine", http.MethodDelete, "/scan-engines/{id}", "Delete a scanner of another maker; its findings stay", 404), identity.ScopeConfigure,
		func(ctx context.Context, in *ByID) (*Empty, error) {
			within, err := Reach(ctx, "")
			if err != nil {
				return nil, err
			}
			AuditObject(ctx, "scan-engine:"+in.ID, "", "")
			return nil, engineProblem(room.Delete(ctx, within, in.ID))
		})
	Register(s, exposureOperation("list-engine-scans", http.MethodGet, "/scan-engines/{id}/scans", "The scans that an engine knows, by its own word", 404, 422, 502), identity.ScopeConfigure,
		func(ctx context.Context, in *ByID) (*Body[Page[engine.EngineScan]], error) {
			within, err := Reach(ctx, "")
			if err != nil {
				return nil, err
			}
			list, err := room.Scans(ctx, within, in.ID)
			return Reply(PageOf(list, len(list), "")), engineProblem(err)
		})
	type engineScanChoice struct {
		Scan string `json:"scan,omitempty" maxLength:"200" doc:"The engine's own id; the one of its settings where empty"`
	}
	do := func(id, path, summary string, work func(ctx context.Context, within reach.Reach, id, scan string) (engine.Engine, error)) {
		Register(s, exposureOperation(id, http.MethodPost, "/scan-engines/{id}/"+path, summary, 404, 422, 502), identity.ScopeConfigure,
			func(ctx context.Context, in *struct {
				ID   string `path:"id" maxLength:"64"`
				Body engineScanChoice
			}) (*Body[engine.Engine], error) {
				within, err := Reach(ctx, "")
				if err != nil {
					return nil, err
				}
				AuditObject(ctx, "scan-engine:"+in.ID, "", clip(path+" "+in.Body.Scan, 300))
				x, err := work(ctx, within, in.ID, in.Body.Scan)
				return Reply(x), engineProblem(err)
			})
	}
	do("check-scan-engine", "check", "Test the connection now", func(ctx context.Context, within reach.Reach, id, _ string) (engine.Engine, error) {
		return room.Check(ctx, within, id)
	})
	do("launch-scan-engine", "launch", "Begin a scan of the engine; its report is fetched once it is through", room.Launch)
	do("fetch-scan-engine", "fetch", "Fetch the report of a scan of the engine and take its findings in", func(ctx context.Context, within reach.Reach, id, scan string) (engine.Engine, error) {
		return room.Fetch(ctx, within, Actor(ctx), id, scan)
	})
}
