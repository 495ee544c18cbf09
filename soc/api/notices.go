package api

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"icewatch/soc/identity"
	"icewatch/ticketing/daily"
	"icewatch/ticketing/notice"
	"icewatch/ticketing/transition"
)

// noticeProblem says the errors of notices and daily reports as problems.
func noticeProblem(err error) error {
	for _, p := range []struct {
		kind   error
		status int
	}{
		{notice.ErrNotFound, http.StatusNotFound}, {notice.ErrInvalid, http.StatusUnprocessableEntity}, {notice.ErrConflict, http.StatusConflict},
		{daily.ErrNotFound, http.StatusNotFound}, {daily.ErrInvalid, http.StatusUnprocessableEntity},
	} {
		if errors.Is(err, p.kind) {
			return Problem(p.status, "%s", plain(err, p.kind, ""))
		}
	}
	return ticketProblem(err)
}

// NoticeFilter filters notices. It is exported because inputs embed it.
type NoticeFilter struct {
	Kind    string `query:"kind" enum:"circular,warning"`
	State   string `query:"state" maxLength:"200" doc:"draft, review, approved, published, closed; several with commas"`
	Level   string `query:"level" enum:"critical,high,medium,low,informational"`
	Region  string `query:"region" maxLength:"100"`
	Tag     string `query:"tag" maxLength:"40"`
	Q       string `query:"q" maxLength:"200" doc:"Part of the name"`
	Since   string `query:"since" maxLength:"64" doc:"Made since: a duration before now like 7d, or a time"`
	Until   string `query:"until" maxLength:"64"`
	Unread  bool   `query:"unread" doc:"Only those that the caller has not read"`
	Kept    bool   `query:"favourite" doc:"Only those that the caller keeps in view"`
	Deleted bool   `query:"deleted" doc:"Those that were deleted and can be restored, instead"`
}

func (f NoticeFilter) filter() (out notice.Filter, err error) {
	out = notice.Filter{Kind: f.Kind, States: words(f.State), Level: f.Level, Region: f.Region, Tag: f.Tag, Q: f.Q, Unread: f.Unread, Kept: f.Kept, Deleted: f.Deleted}
	for _, t := range []struct {
		name, text string
		to         *time.Time
	}{{"since", f.Since, &out.From}, {"until", f.Until, &out.To}} {
		if t.text == "" {
			continue
		}
		if *t.to, err = ParseTime(t.text, time.Now()); err != nil {
			return out, Problem(http.StatusBadRequest, "%s: %s", t.name, err)
		}
	}
	return out, nil
}

// reader is who asks for notices.
func reader(ctx context.Context) (notice.Who, error) {
	within, err := Reach(ctx, "")
	return notice.Who{Name: Actor(ctx), Reach: within}, err
}

// noticeDetail is a notice with what happened to it, and where the caller may
// move it.
type noticeDetail struct {
	Notice  notice.Notice `json:"notice"`
	History []notice.Step `json:"history" nullable:"false"`
	To      []string      `json:"to" nullable:"false" doc:"States that the caller may move it to: by his roles, and where another person has to, because he did not make the move before"`
}

// NoticeBody is a notice as it is written. It is exported because inputs embed it.
type NoticeBody struct {
	notice.Content
	Revision int64 `json:"revision,omitempty" doc:"Of what was read before the change; without it whatever is there is replaced"`
}

const maxNoticeBody = 12 << 20 // bytes; images are within

func (s *Server) noticeRoutes() {
	store, tags := s.deps.Dispatch.Notices, []string{"notices"}
	act := func(ctx context.Context, id, detail string, do func(by notice.Who) (notice.Notice, error)) (*Body[notice.Notice], error) {
		AuditObject(ctx, "notice:"+clip(id, 64), "", clip(detail, 200))
		by, err := reader(ctx)
		if err != nil {
			return nil, err
		}
		n, err := do(by)
		return Reply(n), noticeProblem(err)
	}
	Register(s, huma.Operation{OperationID: "list-notices", Method: http.MethodGet, Path: "/notices", Tags: tags, Summary: "Circulars and early warnings: drafts of one's own, and what was published for one's tenants, newest first", Errors: []int{400}}, identity.ScopeRead,
		func(ctx context.Context, in *struct {
			NoticeFilter
			PageInput
		}) (*Body[Page[notice.Notice]], error) {
			by, err := reader(ctx)
			if err != nil {
				return nil, err
			}
			f, err := in.filter()
			if err != nil {
				return nil, err
			}
			list, err := store.List(ctx, by, f)
			if err != nil {
				return nil, err
			}
			return pageFrom(list, in.PageInput)
		})
	Register(s, huma.Operation{OperationID: "get-notice-board", Method: http.MethodGet, Path: "/notices/board", Tags: tags, Summary: "How many circulars and early warnings there are for the caller, read and unread, by state, level and tag, how regions, units and industries answer, the latest and those kept in view", Errors: []int{400}}, identity.ScopeRead,
		func(ctx context.Context, in *NoticeFilter) (*Body[notice.Board], error) {
			by, err := reader(ctx)
			if err != nil {
				return nil, err
			}
			f, err := in.filter()
			if err != nil {
				return nil, err
			}
			b, err := store.Board(ctx, by, f)
			return Reply(b), err
		})
	Register(s, huma.Operation{OperationID: "create-notice", Method: http.MethodPost, Path: "/notices", Tags: tags, Summary: "Draft a circular or an early warning", DefaultStatus: http.StatusCreated, MaxBodyBytes: maxNoticeBody, Errors: []int{413, 422}}, identity.ScopeRespond,
		func(ctx context.Context, in *struct{ Body notice.Content }) (*Body[notice.Notice], error) {
			return act(ctx, "", in.Body.Name, func(by notice.Who) (notice.Notice, error) { return store.Make(ctx, by, "", in.Body) })
		})
	Register(s, huma.Operation{OperationID: "get-notice", Method: http.MethodGet, Path: "/notices/{id}", Tags: tags, Summary: "One notice, with its receipts and what happened to it, within the caller's reach", Errors: []int{404}}, identity.ScopeRead,
		func(ctx context.Context, in *IDInput) (*Body[noticeDetail], error) {
			by, err := reader(ctx)
			if err != nil {
				return nil, err
			}
			n, steps, err := store.Get(ctx, by, in.ID)
			if err != nil {
				return nil, noticeProblem(err)
			}
			d := noticeDetail{n, steps, []string{}}
			if by.Writes(&n) {
				moves := s.deps.Dispatch.Moves()
				d.To = slices.DeleteFunc(s.openMoves(ctx, transition.Notice, n.State), func(to string) bool {
					m, _ := moves.Find(transition.Notice, n.State, to)
					return m.Apart && n.MovedBy == by.Name
				})
			}
			return Reply(d), nil
		})
	Register(s, huma.Operation{OperationID: "update-notice", Method: http.MethodPut, Path: "/notices/{id}", Tags: tags, Summary: "Change what a draft says", MaxBodyBytes: maxNoticeBody, Errors: []int{404, 409, 413, 422}}, identity.ScopeRespond,
		func(ctx context.Context, in *struct {
			IDInput
			Body NoticeBody
		}) (*Body[notice.Notice], error) {
			return act(ctx, in.ID, in.Body.Name, func(by notice.Who) (notice.Notice, error) {
				return store.Write(ctx, by, in.ID, in.Body.Revision, in.Body.Content)
			})
		})
	Register(s, huma.Operation{OperationID: "move-notice", Method: http.MethodPost, Path: "/notices/{id}/move", Tags: tags, Summary: "Submit, approve, publish, close a notice, or take it back", Errors: []int{403, 404, 409, 422}}, identity.ScopeRespond,
		func(ctx context.Context, in *struct {
			IDInput
			Body struct {
				To      string `json:"to" enum:"draft,review,approved,published,closed"`
				Comment string `json:"comment,omitempty" maxLength:"10000"`
			}
		}) (*Body[notice.Notice], error) {
			return act(ctx, in.ID, in.Body.To, func(by notice.Who) (notice.Notice, error) {
				return store.Move(ctx, by, in.ID, in.Body.To, in.Body.Comment)
			})
		})
	Register(s, huma.Operation{OperationID: "read-notice", Method: http.MethodPost, Path: "/notices/{id}/read", Tags: tags, Summary: "Note that the caller has read a notice: the receipt of his tenants", Errors: []int{404, 409}}, identity.ScopeRead,
		func(ctx context.Context, in *IDInput) (*Body[notice.Notice], error) {
			return act(ctx, in.ID, "read", func(by notice.Who) (notice.Notice, error) { return store.Reading(ctx, by, in.ID) })
		})
	for _, x := range []struct {
		id, method, summary string
		keep                bool
	}{
		{"keep-notice", http.MethodPut, "Keep a notice in view: it is among the caller's favourites", true},
		{"let-go-of-notice", http.MethodDelete, "Take a notice out of the caller's favourites", false},
	} {
		Register(s, huma.Operation{OperationID: x.id, Method: x.method, Path: "/notices/{id}/favourite", Tags: tags, Summary: x.summary, Errors: []int{404, 409}}, identity.ScopeRead,
			func(ctx context.Context, in *IDInput) (*Body[notice.Notice], error) {
				stateOf(ctx).skipAudit = true // it changes nothing but the caller's own view
				return act(ctx, in.ID, "", func(by notice.Who) (notice.Notice, error) { return store.Keep(ctx, by, in.ID, x.keep) })
			})
	}
	Register(s, huma.Operation{OperationID: "reply-to-notice", Method: http.MethodPost, Path: "/notices/{id}/reply", Tags: tags, Summary: "Answer a circular for the caller's tenants", Errors: []int{404, 409, 422}}, identity.ScopeRespond,
		func(ctx context.Context, in *struct {
			IDInput
			Body textBody
		}) (*Body[notice.Notice], error) {
			return act(ctx, in.ID, "reply", func(by notice.Who) (notice.Notice, error) { return store.Reply(ctx, by, in.ID, in.Body.Text) })
		})
	Register(s, huma.Operation{OperationID: "delete-notice", Method: http.MethodDelete, Path: "/notices/{id}", Tags: tags, Summary: "Take a draft or a closed notice away; it can be restored", Errors: []int{404, 409}}, identity.ScopeRespond,
		func(ctx context.Context, in *IDInput) (*Body[notice.Notice], error) {
			return act(ctx, in.ID, "delete", func(by notice.Who) (notice.Notice, error) { return store.Delete(ctx, by, in.ID) })
		})
	Register(s, huma.Operation{OperationID: "restore-notice", Method: http.MethodPost, Path: "/notices/{id}/restore", Tags: tags, Summary: "Bring a deleted notice back", Errors: []int{404, 409}}, identity.ScopeRespond,
		func(ctx context.Context, in *IDInput) (*Body[notice.Notice], error) {
			return act(ctx, in.ID, "restore", func(by notice.Who) (notice.Notice, error) { return store.Restore(ctx, by, in.ID) })
		})
}

func (s *Server) dailyRoutes() {
	reports, tags := s.deps.Dispatch.Daily, []string{"reports"}
	Register(s, huma.Operation{OperationID: "list-daily-reports", Method: http.MethodGet, Path: "/daily-reports", Tags: tags, Summary: "Daily reports and lists of high risk that were made, newest first; what is made, when and for whom, the setting daily-report says"}, identity.ScopeRead,
		func(ctx context.Context, in *struct {
			PageInput
			Plan string `query:"plan" maxLength:"40" doc:"Id of one report of the setting"`
		}) (*Body[Page[daily.Report]], error) {
			within, err := Reach(ctx, "")
			if err != nil {
				return nil, err
			}
			list, err := reports.List(ctx, within, in.Plan)
			if err != nil {
				return nil, err
			}
			return pageFrom(list, in.PageInput)
		})
	Register(s, huma.Operation{OperationID: "make-daily-report", Method: http.MethodPost, Path: "/daily-reports", Tags: tags, Summary: "Make a report of the setting now; nobody is told of it", DefaultStatus: http.StatusCreated, Errors: []int{404, 422}}, identity.ScopeRespond,
		func(ctx context.Context, in *struct {
			Body struct {
				Plan string `json:"plan" minLength:"1" maxLength:"40" doc:"Id of one report of the setting"`
				Day  string `json:"day,omitempty" maxLength:"10" doc:"Such as 2026-11-26; yesterday by default"`
			}
		}) (*Body[daily.Report], error) {
			AuditObject(ctx, "daily-report", "", clip(in.Body.Plan, 40)+" "+clip(in.Body.Day, 10))
			within, err := Reach(ctx, "")
			if err != nil {
				return nil, err
			}
			r, err := reports.Make(ctx, Actor(ctx), within, in.Body.Plan, in.Body.Day)
			return Reply(r), noticeProblem(err)
		})
	Register(s, huma.Operation{OperationID: "download-daily-report", Method: http.MethodGet, Path: "/daily-reports/{id}/file", Tags: tags, Summary: "A daily report as PDF or DOCX", Responses: anyFile("application/pdf"), Errors: []int{404}}, identity.ScopeRead,
		func(ctx context.Context, in *struct {
			IDInput
			Format string `query:"format" enum:"pdf,docx" default:"pdf"`
		}) (*huma.StreamResponse, error) {
			within, err := Reach(ctx, "")
			if err != nil {
				return nil, err
			}
			r, err := reports.Get(ctx, within, in.ID)
			if err != nil {
				return nil, noticeProblem(err)
			}
			name := "icewatch-" + r.Plan + "-" + r.Day + "." + in.Format
			if in.Format == "docx" {
				return attachment("application/vnd.openxmlformats-officedocument.wordprocessingml.document", name, r.DOCX), nil
			}
			return attachment("application/pdf", name, r.PDF), nil
		})
}
