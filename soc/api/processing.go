package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"icewatch/soc/engine"
	"icewatch/soc/identity"
	"icewatch/soc/pipeline/processing"
	"icewatch/soc/pipeline/processing/rulestore"
	"icewatch/soc/search"
	"icewatch/soc/search/clause"
)

// Processing is what the API needs of those who process events.
type Processing interface {
	Rules() *rulestore.Store
	// Counts tells how often the rules were applied since the engine started.
	Counts(ctx context.Context) (engine.ProcessingCounts, error)
}

// keptProcessingRule is a rule as the console shows it.
type keptProcessingRule struct {
	rulestore.Kept
	Applied uint64 `json:"applied" doc:"Events it was applied to since the engine started"`
}

type processingPage struct {
	Items     []keptProcessingRule `json:"items" nullable:"false"`
	Operators []string             `json:"operators" nullable:"false" doc:"Ids of the operators that conditions may use"`
	Folded    uint64               `json:"folded" doc:"Events that others stand for since the engine started; 0 for callers who do not see all tenants"`
	Dropped   uint64               `json:"dropped" doc:"Events kept from the lake since the engine started, as folded"`
}

// processingPreview is what a rule would have done.
type processingPreview struct {
	Events uint64            `json:"events" doc:"Stored events of the time that the condition holds for"`
	Kept   uint64            `json:"kept" doc:"Events that would be stored of them"`
	Sample []json.RawMessage `json:"sample" nullable:"false" doc:"The newest of them"`
}

// previewTime bounds a preview, previewSample its examples.
const (
	previewTime   = 20 * time.Second
	previewSample = 5
)

// processingOf refuses rules beyond the caller's reach.
func (s *Server) processingOf(ctx context.Context, tenant string) error {
	if tenant == "" {
		if !seesEverything(ctx) {
			return Problem(http.StatusForbidden, "tenant: a rule for all tenants needs the reach over all of them; name one of yours")
		}
		return nil
	}
	within, err := Reach(ctx, "")
	if err != nil {
		return err
	}
	if !s.tenantExists(tenant) || !within.CoversWhole(tenant) {
		return Problem(http.StatusUnprocessableEntity, "tenant: there is no tenant %q, or it is not wholly within your reach", clip(tenant, 64))
	}
	return nil
}

func processingProblem(err error, id string) error {
	switch {
	case errors.Is(err, rulestore.ErrNotFound):
		return NotFound("processing rule", id)
	case errors.Is(err, rulestore.ErrStale):
		return Problem(http.StatusConflict, "%s; read it again", err.Error())
	case errors.Is(err, processing.ErrInvalid):
		return Problem(http.StatusUnprocessableEntity, "%s", plain(err, processing.ErrInvalid, ""))
	}
	return err
}

// processingRoutes registers the rules by which events are processed.
func (s *Server) processingRoutes() {
	p := s.deps.Processing
	if p == nil {
		return
	}
	tags := []string{"processing"}
	// mine reads a rule that the caller may change.
	mine := func(ctx context.Context, id string) (rulestore.Kept, error) {
		k, err := p.Rules().Get(ctx, id)
		if err != nil {
			return k, processingProblem(err, clip(id, 64))
		}
		if s.processingOf(ctx, k.Tenant) != nil {
			return k, NotFound("processing rule", clip(id, 64))
		}
		return k, nil
	}
	Register(s, huma.Operation{OperationID: "list-processing-rules", Method: http.MethodGet, Path: "/processing-rules", Tags: tags,
		Summary: "The rules by which events are tagged, folded and left out, in their order: those for all and those of the tenants within reach"}, identity.ScopeConfigure,
		func(ctx context.Context, _ *Empty) (*Body[processingPage], error) {
			within, err := Reach(ctx, "")
			if err != nil {
				return nil, err
			}
			list, err := p.Rules().List(ctx)
			if err != nil {
				return nil, err
			}
			counts, err := p.Counts(ctx)
			if err != nil {
				s.log.Warn("the engine does not tell how often processing rules were applied", "error", err)
			}
			out := processingPage{Items: []keptProcessingRule{}, Operators: processing.Operators}
			all := seesEverything(ctx)
			if all {
				out.Folded, out.Dropped = counts.Folded, counts.Dropped
			}
			for _, k := range list {
				switch {
				case k.Tenant == "" && all, k.Tenant != "" && within.CoversWhole(k.Tenant):
					out.Items = append(out.Items, keptProcessingRule{k, counts.Rules[k.ID]})
				case k.Tenant == "":
					out.Items = append(out.Items, keptProcessingRule{k, 0}) // how often tells of others' events
				}
			}
			return Reply(out), nil
		})
	Register(s, huma.Operation{OperationID: "create-processing-rule", Method: http.MethodPost, Path: "/processing-rules", Tags: tags,
		Summary: "Add a processing rule, behind the others", DefaultStatus: http.StatusCreated, Errors: []int{403, 422}}, identity.ScopeConfigure,
		func(ctx context.Context, in *struct{ Body processing.Rule }) (*Body[rulestore.Kept], error) {
			if err := s.processingOf(ctx, in.Body.Tenant); err != nil {
				return nil, err
			}
			k, err := p.Rules().Create(ctx, in.Body, Actor(ctx))
			AuditObject(ctx, "processing-rule:"+k.ID, k.Tenant, in.Body.Name)
			return Reply(k), processingProblem(err, "")
		})
	Register(s, huma.Operation{OperationID: "order-processing-rules", Method: http.MethodPut, Path: "/processing-rules/order", Tags: tags, // before rules by their ids
		Summary: "Put the processing rules into another order", Errors: []int{403, 422}}, identity.ScopeConfigure,
		func(ctx context.Context, in *struct {
			Body struct {
				IDs []string `json:"ids" maxItems:"200" nullable:"false" doc:"Each rule once"`
			}
		}) (*Empty, error) {
			AuditObject(ctx, "processing-rules", "", "")
			if err := cityOnly(ctx); err != nil {
				return nil, err
			}
			return &Empty{}, processingProblem(p.Rules().Order(ctx, in.Body.IDs), "")
		})
	Register(s, huma.Operation{OperationID: "preview-processing-rule", Method: http.MethodPost, Path: "/processing-rules/preview", Tags: tags,
		Summary: "What a rule would have done with the events of the last hours", Errors: []int{403, 422, 504}}, identity.ScopeConfigure,
		func(ctx context.Context, in *struct {
			Body struct {
				Rule  processing.Rule `json:"rule"`
				Hours int             `json:"hours" minimum:"1" maximum:"168" default:"24" required:"false"`
			}
		}) (*Body[processingPreview], error) {
			stateOf(ctx).skipAudit = true // it changes nothing
			if err := s.processingOf(ctx, in.Body.Rule.Tenant); err != nil {
				return nil, err
			}
			if err := in.Body.Rule.Check(); err != nil {
				return nil, processingProblem(err, "")
			}
			within, err := Reach(ctx, in.Body.Rule.Tenant)
			if err != nil {
				return nil, err
			}
			out, err := s.previewProcessing(ctx, search.Request{Reach: within, End: time.Now(), Start: time.Now().Add(-time.Duration(in.Body.Hours) * time.Hour)}, &in.Body.Rule)
			if err != nil {
				return nil, err
			}
			return Reply(out), nil
		})
	Register(s, huma.Operation{OperationID: "get-processing-rule", Method: http.MethodGet, Path: "/processing-rules/{id}", Tags: tags,
		Summary: "One processing rule", Errors: []int{404}}, identity.ScopeConfigure,
		func(ctx context.Context, in *struct {
			ID string `path:"id" maxLength:"64"`
		}) (*Body[rulestore.Kept], error) {
			k, err := mine(ctx, in.ID)
			return Reply(k), err
		})
	Register(s, huma.Operation{OperationID: "update-processing-rule", Method: http.MethodPut, Path: "/processing-rules/{id}", Tags: tags,
		Summary: "Change a processing rule", Errors: []int{403, 404, 409, 422}}, identity.ScopeConfigure,
		func(ctx context.Context, in *struct {
			ID       string `path:"id" maxLength:"64"`
			Revision int64  `query:"revision" required:"true" doc:"The one that was read"`
			Body     processing.Rule
		}) (*Body[rulestore.Kept], error) {
			AuditObject(ctx, "processing-rule:"+clip(in.ID, 64), in.Body.Tenant, in.Body.Name)
			if _, err := mine(ctx, in.ID); err != nil {
				return nil, err
			}
			if err := s.processingOf(ctx, in.Body.Tenant); err != nil {
				return nil, err
			}
			k, err := p.Rules().Update(ctx, in.ID, in.Revision, in.Body, Actor(ctx))
			return Reply(k), processingProblem(err, clip(in.ID, 64))
		})
	Register(s, huma.Operation{OperationID: "delete-processing-rule", Method: http.MethodDelete, Path: "/processing-rules/{id}", Tags: tags,
		Summary: "Remove a processing rule", Errors: []int{404}}, identity.ScopeConfigure,
		func(ctx context.Context, in *struct {
			ID string `path:"id" maxLength:"64"`
		}) (*Empty, error) {
			k, err := mine(ctx, in.ID)
			AuditObject(ctx, "processing-rule:"+clip(in.ID, 64), k.Tenant, k.Name)
			if err != nil {
				return nil, err
			}
			return &Empty{}, processingProblem(p.Rules().Delete(ctx, in.ID), clip(in.ID, 64))
		})
}

// previewProcessing asks the lake about a rule.
func (s *Server) previewProcessing(ctx context.Context, req search.Request, r *processing.Rule) (out processingPreview, err error) {
	ctx, cancel := context.WithTimeout(ctx, previewTime)
	defer cancel()
	filter, err := clause.Render(r.When)
	if err != nil {
		return out, Problem(http.StatusUnprocessableEntity, "when: %s", err.Error())
	}
	out.Sample = []json.RawMessage{}
	req.Query, req.Limit = filter, previewSample
	err = s.deps.Search.Query(ctx, req, func(b []byte) error {
		out.Sample = append(out.Sample, json.RawMessage(strings.Clone(string(b))))
		return nil
	})
	if err != nil {
		return out, err
	}
	req.Limit = 1
	if f := r.Fold; f != nil {
		by := make([]string, len(f.Keys))
		for i, k := range f.Keys {
			by[i] = strconv.Quote(k)
		}
		// Of each group the first is kept, and one that stands for the others.
		req.Query = fmt.Sprintf(`%s | stats by (_time:%ds, "icewatch.tenant", %s) count() as n | math min(n, 2) as kept | stats sum(n) as events, sum(kept) as kept`, filter, f.Seconds, strings.Join(by, ", "))
	} else {
		req.Query = filter + ` | stats count() as events`
	}
	err = s.deps.Search.Query(ctx, req, func(b []byte) error {
		var n struct{ Events, Kept string }
		if err := json.Unmarshal(b, &n); err != nil {
			return err
		}
		out.Events, _ = strconv.ParseUint(n.Events, 10, 64)
		out.Kept, _ = strconv.ParseUint(n.Kept, 10, 64)
		return nil
	})
	switch {
	case r.Drop:
		out.Kept = 0
	case r.Fold == nil:
		out.Kept = out.Events
	}
	return out, err
}
