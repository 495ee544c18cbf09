package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"icewatch/detections/suppression"
	"icewatch/soc/backtest"
	"icewatch/soc/backtest/book"
	"icewatch/soc/engine"
	"icewatch/soc/identity"
	"icewatch/soc/reach"
	"icewatch/soc/rulebook"
)

// backtestBack is how far a backtest looks back where nothing is said.
const backtestBack = 30 * 24 * time.Hour

// Backtests keeps backtests and runs them.
type Backtests struct {
	Book *book.Book
	// Run judges the past.
	Run func(ctx context.Context, r engine.BacktestRequest, tell func(backtest.Advance)) (backtest.Findings, error)
	// Joins tells of the alerts which incidents they would have joined; nil where
	// that is not known.
	Joins func(ctx context.Context, within reach.Reach, list []backtest.FiredAlert) error
}

// backtestInput asks for a backtest.
type backtestInput struct {
	Rule        string `json:"rule,omitempty" maxLength:"256" doc:"Id of a rule in force, where source is empty"`
	Source      string `json:"source,omitempty" maxLength:"1048576" doc:"Rules, correlations or filters, YAML: judged as they are here"`
	Suppression string `json:"suppression,omitempty" maxLength:"1048576" doc:"Suppressions, YAML: what of the firings they meet is counted. Where neither rule nor source is given, the rules they name are judged"`
	Start       string `json:"start,omitempty" doc:"From this time on, of arrival"`
	End         string `json:"end,omitempty" doc:"Before this time; now by default"`
	Since       string `json:"since,omitempty" doc:"In place of start: a duration before the end, like 7d; 30d by default"`
	Tenant      string `json:"tenant,omitempty" maxLength:"4096" doc:"Tenants, separated by commas; all within reach by default"`
}

type backtestID struct {
	ID string `path:"id" maxLength:"64"`
}

func backtestProblem(err error) error {
	switch {
	case errors.Is(err, book.ErrNotFound):
		return Problem(http.StatusNotFound, "%s", err.Error())
	case errors.Is(err, book.ErrBusy):
		return Problem(http.StatusTooManyRequests, "%s", err.Error())
	}
	return err
}

func (s *Server) backtestRoutes() {
	if s.deps.Backtests == nil || s.deps.Rules == nil {
		return
	}
	b, tags := s.deps.Backtests, []string{"rules"}
	Register(s, huma.Operation{OperationID: "start-backtest", Method: http.MethodPost, Path: "/backtests", Tags: tags, MaxBodyBytes: 3 << 20, DefaultStatus: http.StatusAccepted, Errors: []int{400, 404, 403, 422, 429},
		Summary:     "Judge what came in the past by a rule, correlation, filter or suppression: a job in the background",
		Description: "Events are judged in the order in which they came, with the state that correlations keep; what is raised has the ids that the live engine gives. Backtests run one after the other with low priority. Who sees masked values only cannot run any."}, identity.ScopeRead,
		func(ctx context.Context, in *struct{ Body backtestInput }) (*Body[book.Backtest], error) {
			return s.startBacktest(ctx, in.Body)
		})
	Register(s, huma.Operation{OperationID: "list-backtests", Method: http.MethodGet, Path: "/backtests", Tags: tags, Summary: "My backtests, newest first"}, identity.ScopeRead,
		func(ctx context.Context, in *struct {
			Rule string `query:"rule" maxLength:"256" doc:"Id of a rule"`
		}) (*Body[Page[book.Backtest]], error) {
			list, err := b.Book.List(ctx, s.backtestAsker(ctx), in.Rule)
			return Reply(PageOf(list, len(list), "")), backtestProblem(err)
		})
	Register(s, huma.Operation{OperationID: "get-backtest", Method: http.MethodGet, Path: "/backtests/{id}", Tags: tags, Summary: "One of my backtests with what came of it", Errors: []int{404}}, identity.ScopeRead,
		func(ctx context.Context, in *backtestID) (*Body[book.Backtest], error) {
			t, err := b.Book.Get(ctx, s.backtestAsker(ctx), in.ID)
			return Reply(t), backtestProblem(err)
		})
	Register(s, huma.Operation{OperationID: "cancel-backtest", Method: http.MethodPost, Path: "/backtests/{id}/cancel", Tags: tags, Summary: "End one of my backtests", Errors: []int{404}}, identity.ScopeRead,
		func(ctx context.Context, in *backtestID) (*Body[book.Backtest], error) {
			AuditObject(ctx, "backtest:"+in.ID, "", "")
			t, err := b.Book.Cancel(ctx, s.backtestAsker(ctx), in.ID)
			return Reply(t), backtestProblem(err)
		})
	Register(s, huma.Operation{OperationID: "rerun-backtest", Method: http.MethodPost, Path: "/backtests/{id}/rerun", Tags: tags, Summary: "Run one of my backtests again, over a span as long that ends now", DefaultStatus: http.StatusAccepted, Errors: []int{404, 422, 429}}, identity.ScopeRead,
		func(ctx context.Context, in *backtestID) (*Body[book.Backtest], error) {
			t, err := b.Book.Get(ctx, s.backtestAsker(ctx), in.ID)
			if err != nil {
				return nil, backtestProblem(err)
			}
			r := t.Request
			again := backtestInput{Rule: r.Rule, Suppression: r.Suppression, Since: r.To.Sub(r.From).String(), Tenant: r.Tenant}
			if again.Rule == "" {
				again.Source = r.Source
			}
			return s.startBacktest(ctx, again)
		})
	Register(s, huma.Operation{OperationID: "delete-backtest", Method: http.MethodDelete, Path: "/backtests/{id}", Tags: tags, Summary: "Remove one of my backtests", Errors: []int{404, 429}}, identity.ScopeRead,
		func(ctx context.Context, in *backtestID) (*Empty, error) {
			AuditObject(ctx, "backtest:"+in.ID, "", "")
			return nil, backtestProblem(b.Book.Delete(ctx, s.backtestAsker(ctx), in.ID))
		})
}

// backtestAsker is whose backtests are meant, a person's, or a token's own where
// it stands for nobody, and which of them lie within the reach of the request.
func (s *Server) backtestAsker(ctx context.Context) book.Asker {
	now, err := Reach(ctx, "")
	return book.Asker{Owner: PrincipalFrom(ctx).UserID, Sees: func(w book.Within) bool { return err == nil && w.In(now, s.deps.Reach.Reach) }}
}

// hideOthers leaves out how much came of tenants beyond the asker's reach.
func hideOthers(within reach.Reach, a *backtest.Advance) {
	if !within.Everything() {
		a.Events = a.Read
	}
}

func (s *Server) startBacktest(ctx context.Context, in backtestInput) (*Body[book.Backtest], error) {
	if s.deps.Rulebook == nil {
		return nil, unavailable("the rule set")
	}
	within, err := Reach(ctx, in.Tenant)
	if err != nil {
		return nil, err
	}
	if within.Veil() != nil {
		return nil, Problem(http.StatusForbidden, "%s", engine.ErrMasked.Error())
	}
	from, to, err := TimeInput{Start: in.Start, End: in.End, Since: in.Since}.timeRange(time.Now(), backtestBack)
	if err != nil {
		return nil, err
	}
	if to.Sub(from) > backtest.MaxSpan {
		return nil, Problem(http.StatusUnprocessableEntity, "a backtest covers %d days at most", int(backtest.MaxSpan.Hours()/24))
	}
	var hush []suppression.Suppression
	if in.Suppression != "" {
		list, faults := suppression.Parse("suppression.yml", []byte(in.Suppression))
		if len(faults) > 0 {
			return nil, Problem(http.StatusUnprocessableEntity, "the suppression: %s", faults[0].Error())
		}
		hush = list
	}
	with := s.deps.Rules.Surroundings()
	known := func(id string) (rulebook.Known, error) {
		k, ok := with.Rule(id)
		if !ok {
			return k, Problem(http.StatusNotFound, "there is no rule %s", clip(id, 200))
		}
		return k, nil
	}
	r := book.BacktestSpec{Rule: in.Rule, Source: in.Source, Suppression: in.Suppression, From: from.UTC(), To: to.UTC(), Tenant: strings.Join(words(in.Tenant), ",")}
	title := ""
	var ids []string
	switch {
	case in.Source != "":
	case in.Rule != "":
		k, err := known(in.Rule)
		if err != nil {
			return nil, err
		}
		r.Source, title, ids = k.Info.Source, k.Info.Title.ZH, []string{k.Info.ID}
	default:
		for i := range hush {
			if title == "" {
				title = hush[i].Name
			}
			for _, id := range hush[i].Rules {
				k, err := known(id)
				if err != nil {
					return nil, err
				}
				ids = append(ids, k.Info.ID)
				r.Source += "---\n" + k.Info.Source + "\n"
			}
		}
		if r.Source == "" {
			return nil, Problem(http.StatusUnprocessableEntity, "nothing to judge: give a rule, source, or a suppression that names its rules")
		}
	}
	bundle, own, err := rulebook.Draft(r.Source, with)
	if err != nil {
		return nil, Problem(http.StatusUnprocessableEntity, "%s", err.Error())
	}
	if ids == nil {
		ids = own
	}
	if title == "" {
		if v := s.deps.Rulebook.Check(r.Source, "", rulebook.Surroundings{}); len(v.Rules) > 0 {
			title = v.Rules[len(v.Rules)-1].Title
		}
	}
	ask := engine.BacktestRequest{Reach: within, Bundle: bundle, Rules: ids, Suppressions: hush, From: r.From, To: r.To}
	b := s.deps.Backtests
	t, err := b.Book.Start(ctx, PrincipalFrom(ctx).UserID, title, book.WithinOf(within, s.deps.Reach.Reach), r, func(ctx context.Context, tell func(backtest.Advance)) (backtest.Findings, error) {
		found, err := b.Run(ctx, ask, func(p backtest.Advance) {
			hideOthers(within, &p)
			tell(p)
		})
		if hideOthers(within, &found.Advance); found.Cost.Seconds > 0 {
			found.Cost.PerSecond = float64(found.Events) / found.Cost.Seconds
		}
		if err == nil && b.Joins != nil {
			if err := b.Joins(ctx, within, found.List); err != nil {
				s.log.Warn("backtests: which incidents alerts would have joined is not known", "error", err)
			}
			for i := range found.List {
				if found.List[i].Incident != nil {
					found.Joined++
				}
			}
		}
		return found, err
	})
	AuditObject(ctx, "backtest:"+t.ID, r.Tenant, fmt.Sprintf("%s, %s to %s", clip(title, 200), r.From.Format(time.RFC3339), r.To.Format(time.RFC3339)))
	return Reply(t), backtestProblem(err)
}
