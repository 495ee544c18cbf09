package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/prometheus/alertmanager/pkg/labels"

	"icewatch/soc/alertmanager"
	"icewatch/soc/identity"
	"icewatch/ticketing"
	"icewatch/ticketing/silence"
)

// Limits of a file of silences.
const (
	maxSilenceFile = 8 << 20 // bytes
	maxSilenceRows = 1000
)

// silenceMatcher is a matcher as Alertmanager writes it.
type silenceMatcher struct {
	Name    string `json:"name" minLength:"1" maxLength:"256" doc:"Of a label"`
	Value   string `json:"value" maxLength:"4096"`
	IsRegex bool   `json:"isRegex" doc:"The value is a regular expression (RE2) for the whole label"`
	IsEqual *bool  `json:"isEqual,omitempty" doc:"false for a label that must not be so; true by default"`
}

// silenceView is a silence as the console shows it.
type silenceView struct {
	ID        string           `json:"id"`
	Matchers  []silenceMatcher `json:"matchers" nullable:"false"`
	StartsAt  ticketing.Time   `json:"starts_at" format:"date-time"`
	EndsAt    ticketing.Time   `json:"ends_at" format:"date-time"`
	UpdatedAt ticketing.Time   `json:"updated_at" format:"date-time"`
	CreatedBy string           `json:"created_by"`
	Comment   string           `json:"comment"`
	State     silence.State    `json:"state" enum:"pending,active,expired"`
	Tenants   []string         `json:"tenants" doc:"Whose alerts it may mute; null for all"`
	Editable  bool             `json:"editable" doc:"All that it mutes is within the caller's reach"`
	SilenceExtras
	Dropped int                 `json:"dropped" doc:"Firings that it dropped, where it collects no data"`
	Times   [][2]ticketing.Time `json:"times" nullable:"false" doc:"The next five times at most: from, to"`
}

// SilenceExtras are what a silence has beside Alertmanager's. It is exported
// because inputs embed it.
type SilenceExtras struct {
	Recurrence *SilenceRecurrence `json:"recurrence,omitempty" doc:"Absent for one that is once"`
	NoData     bool               `json:"no_data,omitempty" doc:"What it mutes is dropped and counted, not kept"`
	Owner      string             `json:"owner,omitempty" maxLength:"500" doc:"Who answers for it; its maker by default"`
	Receiver   string             `json:"receiver,omitempty" maxLength:"500" doc:"Receiver that is told an hour before it ends and when it has; nobody by default"`
}

// SilenceRecurrence makes a silence active again and again.
type SilenceRecurrence struct {
	Rule    string `json:"rule" minLength:"1" maxLength:"500" example:"FREQ=WEEKLY;BYDAY=SA,SU" doc:"RRULE of RFC 5545: daily, weekly, monthly or yearly, at the time of the day at which the silence starts"`
	Seconds int64  `json:"seconds" minimum:"60" maximum:"2678400" doc:"How long each time lasts"`
	Zone    string `json:"zone" minLength:"1" maxLength:"64" example:"Asia/Shanghai" doc:"IANA time zone by whose clock the times begin"`
}

// SilenceBody is a silence as it is written. It is exported because inputs embed
// it.
type SilenceBody struct {
	Matchers []silenceMatcher `json:"matchers" minItems:"1" maxItems:"64" nullable:"false"`
	StartsAt *time.Time       `json:"starts_at,omitempty" doc:"Now by default"`
	EndsAt   time.Time        `json:"ends_at"`
	Comment  string           `json:"comment" minLength:"1" maxLength:"10000" doc:"Why"`
	SilenceExtras
}

// silencePreview is what a silence would mute.
type silencePreview struct {
	Items []ticketing.Alert `json:"items" nullable:"false" doc:"The 50 last seen at most"`
	Total int               `json:"total"`
	Week  int               `json:"week" doc:"Alerts of the last seven days that the matchers accept"`
	Muted int               `json:"muted" doc:"Of these, those that fell into the silence's times; all where it is once"`

	Times [][2]ticketing.Time `json:"times,omitempty" doc:"Of one that recurs: the next five times at most: from, to"`
}

func viewOfSilence(l ticketing.Silence) silenceView {
	v := silenceView{ID: l.ID, Matchers: []silenceMatcher{}, StartsAt: ticketing.Time{Time: l.StartsAt}, EndsAt: ticketing.Time{Time: l.EndsAt},
		UpdatedAt: ticketing.Time{Time: l.UpdatedAt}, CreatedBy: l.CreatedBy, Comment: l.Comment, State: l.State, Tenants: l.Tenants, Editable: l.Editable, Dropped: l.Dropped, Times: timesOf(l.Silence, time.Now())}
	v.NoData, v.Owner, v.Receiver = l.NoData, l.Owner, l.Receiver
	if r := l.Recurrence; r != nil {
		v.Recurrence = &SilenceRecurrence{Rule: r.Rule, Seconds: int64(r.Lasts.Seconds()), Zone: r.Zone}
	}
	for _, m := range l.Matchers {
		equal := m.Type == labels.MatchEqual || m.Type == labels.MatchRegexp
		v.Matchers = append(v.Matchers, silenceMatcher{Name: m.Name, Value: m.Value, IsRegex: m.Type == labels.MatchRegexp || m.Type == labels.MatchNotRegexp, IsEqual: &equal})
	}
	return v
}

// timesOf are the next five times of a silence at most, itself where it is once.
func timesOf(l *silence.Silence, now time.Time) [][2]ticketing.Time {
	times := [][2]ticketing.Time{}
	for _, t := range l.Times(now, 5) {
		times = append(times, [2]ticketing.Time{{Time: t[0]}, {Time: t[1]}})
	}
	return times
}

func matchersOf(list []silenceMatcher) (labels.Matchers, error) {
	out, err := anyMatchersOf(list)
	if err != nil {
		return nil, err
	}
	if err := silence.CheckMatchers(out); err != nil {
		return nil, Problem(http.StatusUnprocessableEntity, "%s", err)
	}
	return out, nil
}

// anyMatchersOf reads matchers that together may match anything.
func anyMatchersOf(list []silenceMatcher) (labels.Matchers, error) {
	var out labels.Matchers
	for i, m := range list {
		kind := labels.MatchEqual
		switch equal := m.IsEqual == nil || *m.IsEqual; {
		case equal && m.IsRegex:
			kind = labels.MatchRegexp
		case m.IsRegex:
			kind = labels.MatchNotRegexp
		case !equal:
			kind = labels.MatchNotEqual
		}
		matcher, err := labels.NewMatcher(kind, m.Name, m.Value)
		if err != nil {
			return nil, Problem(http.StatusUnprocessableEntity, "matchers[%d].value: %s", i, err)
		}
		out = append(out, matcher)
	}
	return out, nil
}

func (r *SilenceRecurrence) recurrence() *silence.Recurrence {
	if r == nil {
		return nil
	}
	return &silence.Recurrence{Rule: r.Rule, Lasts: time.Duration(r.Seconds) * time.Second, Zone: r.Zone}
}

func (b SilenceBody) silence(id, actor string) (silence.Silence, error) {
	l := silence.Silence{ID: id, EndsAt: b.EndsAt, Comment: b.Comment, CreatedBy: actor, NoData: b.NoData, Owner: b.Owner, Receiver: b.Receiver}
	if l.Owner == "" {
		l.Owner = actor
	}
	l.Recurrence = b.Recurrence.recurrence()
	if b.StartsAt != nil {
		l.StartsAt = *b.StartsAt
	}
	var err error
	l.Matchers, err = matchersOf(b.Matchers)
	return l, err
}

// silenceProblem says a refusal as a problem.
func silenceProblem(err error, id string) error {
	switch {
	case errors.Is(err, silence.ErrNotFound):
		return NotFound("silence", clip(id, 64))
	case errors.Is(err, silence.ErrInvalid):
		return Problem(http.StatusUnprocessableEntity, "%s", plain(err, silence.ErrInvalid, ""))
	case errors.Is(err, silence.ErrForbidden):
		return Problem(http.StatusForbidden, "the silence mutes more than is within your reach")
	}
	return err
}

// silenceStates reads the states asked for.
func silenceStates(names string) ([]silence.State, error) {
	var states []silence.State
	for _, n := range words(names) {
		if !slices.Contains(silence.States, silence.State(n)) {
			return nil, Problem(http.StatusBadRequest, "state %q: want active, pending or expired", clip(n, 64))
		}
		states = append(states, silence.State(n))
	}
	return states, nil
}

func (t *tickets) silenceRoutes(s *Server) {
	tags := []string{"silences"}
	list := func(ctx context.Context, states, q string) ([]ticketing.Silence, error) {
		of, err := silenceStates(states)
		if err != nil {
			return nil, err
		}
		within, err := Reach(ctx, "")
		if err != nil {
			return nil, err
		}
		all, err := t.svc.Silences(ctx, within, of...)
		want := strings.Fields(strings.ToLower(q))
		return slices.DeleteFunc(all, func(l ticketing.Silence) bool {
			text := strings.ToLower(l.Comment + " " + l.CreatedBy + " " + l.Matchers.String() + " " + l.ID)
			return slices.ContainsFunc(want, func(w string) bool { return !strings.Contains(text, w) })
		}), err
	}
	Register(s, huma.Operation{OperationID: "list-silences", Method: http.MethodGet, Path: "/silences", Tags: tags,
		Summary: "Silences: those that mute nothing beyond my reach, and those that mute an open alert of mine now"}, identity.ScopeRead,
		func(ctx context.Context, in *struct {
			PageInput
			State string `query:"state" maxLength:"64" doc:"active, pending, expired; several with commas; all by default"`
			Q     string `query:"q" maxLength:"200" doc:"Words that must all occur in comment, maker, matchers or id"`
		}) (*Body[Page[silenceView]], error) {
			all, err := list(ctx, in.State, in.Q)
			if err != nil {
				return nil, err
			}
			total, from, next := len(all), 0, ""
			if in.Cursor != "" {
				if from = slices.IndexFunc(all, func(l ticketing.Silence) bool { return l.ID == in.Cursor }) + 1; from == 0 {
					return nil, Problem(http.StatusUnprocessableEntity, "cursor: the silence after which the page began is gone: list from the start")
				}
			}
			if all = all[from:]; len(all) > in.Limit {
				all = all[:in.Limit]
				next = all[in.Limit-1].ID
			}
			items := make([]silenceView, 0, len(all))
			for _, l := range all {
				items = append(items, viewOfSilence(l))
			}
			return Reply(PageOf(items, total, next)), nil
		})
	Register(s, huma.Operation{OperationID: "export-silences", Method: http.MethodGet, Path: "/silences/export", Tags: tags,
		Summary: "Silences as a file that amtool silence import reads", Responses: fileResponses()}, identity.ScopeRead,
		func(ctx context.Context, in *struct {
			State string `query:"state" maxLength:"64"`
		}) (*huma.StreamResponse, error) {
			all, err := list(ctx, in.State, "")
			if err != nil {
				return nil, err
			}
			out, err := alertmanager.Export(all)
			if err != nil {
				return nil, err
			}
			return fileAnswer("silences", formatJSON, out), nil
		})
	Register(s, huma.Operation{OperationID: "import-silences", Method: http.MethodPost, Path: "/silences/import", Tags: tags,
		Summary:      "Make silences from such a file, all or nothing",
		Description:  "One whose id exists is changed, another is made anew; what is over by the file is left out. They are bounded to the caller's reach.",
		MaxBodyBytes: maxSilenceFile, SkipValidateBody: true, Errors: []int{403, 413, 422}}, identity.ScopeRespond,
		func(ctx context.Context, in *struct {
			RawBody []byte `contentType:"application/json"`
		}) (*Body[silenceImport], error) {
			out, err := t.importSilences(ctx, in.RawBody)
			AuditObject(ctx, "silences", "", fmt.Sprintf("import: created %d, updated %d, skipped %d", out.Created, out.Updated, out.Skipped))
			return Reply(out), err
		})
	Register(s, huma.Operation{OperationID: "preview-silence", Method: http.MethodPost, Path: "/silences/preview", Tags: tags,
		Summary: "The open alerts that a silence with these matchers would mute", Errors: []int{403, 422}}, identity.ScopeRead,
		func(ctx context.Context, in *struct {
			Body struct {
				Matchers   []silenceMatcher   `json:"matchers" minItems:"1" maxItems:"64" nullable:"false"`
				Tenants    []string           `json:"tenants,omitempty" maxItems:"1000" doc:"Of these alone; all within reach by default"`
				StartsAt   *time.Time         `json:"starts_at,omitempty" doc:"Now by default"`
				EndsAt     *time.Time         `json:"ends_at,omitempty" doc:"In ten years by default"`
				Recurrence *SilenceRecurrence `json:"recurrence,omitempty"`
			}
		}) (*Body[silencePreview], error) {
			stateOf(ctx).skipAudit = true // it changes nothing
			matchers, err := matchersOf(in.Body.Matchers)
			if err != nil {
				return nil, err
			}
			within, err := Reach(ctx, strings.Join(in.Body.Tenants, ","))
			if err != nil {
				return nil, err
			}
			now := time.Now()
			l := silence.Silence{Matchers: matchers, StartsAt: now, EndsAt: now.AddDate(10, 0, 0), Recurrence: in.Body.Recurrence.recurrence()}
			if in.Body.StartsAt != nil {
				l.StartsAt = *in.Body.StartsAt
			}
			if in.Body.EndsAt != nil {
				l.EndsAt = *in.Body.EndsAt
			}
			if err := l.Compile(); err != nil {
				return nil, silenceProblem(err, "")
			}
			out := silencePreview{}
			if l.Recurrence != nil {
				out.Times = timesOf(&l, now)
			}
			if out.Items, out.Total, err = t.svc.Match(ctx, within, matchers, 50); err != nil {
				return nil, err
			}
			out.Week, out.Muted, err = t.svc.Lately(ctx, within, l, 7*24*time.Hour)
			return Reply(out), err
		})
	Register(s, huma.Operation{OperationID: "create-silence", Method: http.MethodPost, Path: "/silences", Tags: tags,
		Summary: "Mute alerts for a time", DefaultStatus: http.StatusCreated, Errors: []int{403, 422},
		Description: "While the silence is active the alerts that all of its matchers accept raise no notifications. They are shown as ever and join incidents. It mutes nothing beyond the reach of its maker."},
		identity.ScopeRespond,
		func(ctx context.Context, in *struct {
			Body struct {
				SilenceBody
				Tenants []string `json:"tenants,omitempty" maxItems:"1000" doc:"It mutes alerts of these alone; all within reach by default"`
			}
		}) (*Body[silenceView], error) {
			for _, slug := range in.Body.Tenants {
				if !s.tenantExists(slug) {
					return nil, Problem(http.StatusUnprocessableEntity, "tenants: there is no tenant %q", clip(slug, 64))
				}
			}
			return t.setSilence(ctx, "", in.Body.SilenceBody, in.Body.Tenants)
		})
	Register(s, huma.Operation{OperationID: "update-silence", Method: http.MethodPut, Path: "/silences/{id}", Tags: tags,
		Summary: "Change a silence: when it ends and why; another start or other matchers end it and make a new one, whose id is answered", Errors: []int{403, 404, 422},
		Description: "One that is over is made again under a new id. Whose alerts it mutes at most stays as it was."}, identity.ScopeRespond,
		func(ctx context.Context, in *struct {
			IDInput
			Body SilenceBody
		}) (*Body[silenceView], error) {
			return t.setSilence(ctx, in.ID, in.Body, nil)
		})
	Register(s, huma.Operation{OperationID: "expire-silence", Method: http.MethodPost, Path: "/silences/{id}/expire", Tags: tags,
		Summary: "End a silence now; what it held back is told", Errors: []int{403, 404}}, identity.ScopeRespond,
		func(ctx context.Context, in *IDInput) (*Body[silenceView], error) {
			AuditObject(ctx, "silence:"+in.ID, "", "")
			by, err := acting(ctx)
			if err != nil {
				return nil, err
			}
			l, err := t.svc.ExpireSilence(ctx, by, in.ID)
			if err != nil {
				return nil, silenceProblem(err, in.ID)
			}
			AuditObject(ctx, "silence:"+in.ID, "", l.Matchers.String())
			return Reply(viewOfSilence(l)), nil
		})
	// The last, since it takes any word for an id.
	Register(s, huma.Operation{OperationID: "get-silence", Method: http.MethodGet, Path: "/silences/{id}", Tags: tags,
		Summary: "One silence", Errors: []int{404}}, identity.ScopeRead,
		func(ctx context.Context, in *IDInput) (*Body[silenceView], error) {
			within, err := Reach(ctx, "")
			if err != nil {
				return nil, err
			}
			l, err := t.svc.Silence(ctx, within, in.ID)
			if err != nil {
				return nil, silenceProblem(err, in.ID)
			}
			return Reply(viewOfSilence(l)), nil
		})
}

// setSilence makes a silence, or changes the one of the id.
func (t *tickets) setSilence(ctx context.Context, id string, b SilenceBody, tenants []string) (*Body[silenceView], error) {
	AuditObject(ctx, "silence:"+id, "", "")
	by, err := acting(ctx)
	if err != nil {
		return nil, err
	}
	if len(tenants) > 0 {
		if by.Reach, err = Reach(ctx, strings.Join(tenants, ",")); err != nil {
			return nil, err
		}
	}
	l, err := b.silence(id, by.Name)
	if err != nil {
		return nil, err
	}
	made, err := t.svc.SetSilence(ctx, by, l)
	if err != nil {
		return nil, silenceProblem(err, id)
	}
	detail := fmt.Sprintf("%s until %s", made.Matchers, made.EndsAt.Format(time.RFC3339))
	if id != "" && id != made.ID {
		detail += " in place of " + id
	}
	AuditObject(ctx, "silence:"+made.ID, "", clip(detail, 4096))
	return Reply(viewOfSilence(made)), nil
}

// silenceImport tells what an import did.
type silenceImport struct {
	Created int `json:"created"`
	Updated int `json:"updated"`
	Skipped int `json:"skipped" doc:"They are over by the file"`
}

func (t *tickets) importSilences(ctx context.Context, body []byte) (out silenceImport, err error) {
	var file []alertmanager.Posted
	if err := json.Unmarshal(body, &file); err != nil {
		return out, Problem(http.StatusUnprocessableEntity, "the file is no list of silences as amtool writes them: %s", err)
	}
	if len(file) > maxSilenceRows {
		return out, Problem(http.StatusUnprocessableEntity, "%d silences in one file, at most %d", len(file), maxSilenceRows)
	}
	by, err := acting(ctx)
	if err != nil {
		return out, err
	}
	var list []silence.Silence
	for i := range file {
		p := &file[i]
		if missing := p.Incomplete(); missing != "" {
			return out, Problem(http.StatusUnprocessableEntity, "silence %d: %s is missing", i+1, missing)
		}
		if !p.EndsAt.After(time.Now()) {
			out.Skipped++
			continue
		}
		l, err := p.Silence(by.Name)
		if err != nil {
			return out, Problem(http.StatusUnprocessableEntity, "silence %d: %s", i+1, plain(err, silence.ErrInvalid, ""))
		}
		if l.ID != "" {
			_, err := t.svc.Silence(ctx, by.Reach, l.ID)
			switch {
			case errors.Is(err, silence.ErrNotFound):
				l.ID = ""
			case err != nil:
				return out, err
			}
		}
		list = append(list, l)
	}
	if len(list) == 0 {
		return out, nil
	}
	if _, err := t.svc.SetSilences(ctx, by, list); err != nil {
		out.Skipped = 0
		return out, silenceProblem(err, "")
	}
	for _, l := range list {
		if l.ID == "" {
			out.Created++
		} else {
			out.Updated++
		}
	}
	return out, nil
}
