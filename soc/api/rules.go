package api

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humafiber"

	"icewatch/detections"
	"icewatch/soc/identity"
	"icewatch/soc/rulebook"
)

// Where a rule comes from.
const (
	OriginBuiltIn = "builtin" // with the suite
	OriginFolder  = "folder"  // of a folder in the configuration
	OriginOwn     = "own"     // made in the console
)

// RuleKeeping is what is known of a rule beside its text.
type RuleKeeping struct {
	Origin    string        `json:"origin" enum:"builtin,folder,own"`
	Main      string        `json:"main,omitempty" doc:"Of an own rule: id of the main rule of its file, under which it is changed"`
	Revision  int           `json:"revision,omitempty" doc:"Of an own rule"`
	UpdatedAt *time.Time    `json:"updated_at,omitempty"`
	UpdatedBy string        `json:"updated_by,omitempty"`
	Off       *rulebook.Off `json:"off,omitempty" doc:"Who switched it off, when and why"`
	Stage     string        `json:"stage,omitempty" enum:"test" doc:"In test it only counts: its text is that of a proposal"`
	Trend     []int         `json:"trend" nullable:"false" doc:"Matches an hour over the last 24 hours, the oldest first; empty where there were none"`
}

// rule is a rule as it is shown alone.
type rule struct {
	RuleDetail
	File    string          `json:"file" doc:"The text that is changed and kept: of an own rule the whole file, else the rule's own"`
	Rules   []string        `json:"rules" nullable:"false" doc:"Ids of all rules in the file"`
	Meaning detections.Text `json:"meaning" doc:"What it looks for, in words, as it was understood"`
}

// ruleVersion is one line of a rule's history.
type ruleVersion struct {
	Revision int       `json:"revision,omitempty" doc:"None where the rule was switched"`
	At       time.Time `json:"at"`
	By       string    `json:"by,omitempty" doc:"Empty where the file was changed by hand"`
	Action   string    `json:"action" enum:"created,changed,deleted,restored,imported,outside,enabled,disabled"`
	Note     string    `json:"note,omitempty"`
	Source   string    `json:"source,omitempty"`
	ID       string    `json:"id"`
	Title    string    `json:"title,omitempty"`
}

func ruleProblem(err error) error {
	for of, status := range map[error]int{rulebook.ErrNotFound: http.StatusNotFound, rulebook.ErrInvalid: http.StatusUnprocessableEntity, rulebook.ErrConflict: http.StatusConflict,
		rulebook.ErrDecided: http.StatusConflict, rulebook.ErrOwn: http.StatusForbidden} {
		if errors.Is(err, of) {
			return Problem(status, "%s", err.Error())
		}
	}
	return err
}

// rulebook is the book where the caller may write in it: what he changes holds
// for everybody.
func (s *Server) rulebook(ctx context.Context) (*rulebook.Book, error) {
	if err := cityOnly(ctx); err != nil {
		return nil, err
	}
	if s.deps.Rulebook == nil || s.deps.Rules == nil {
		return nil, unavailable("the rule set")
	}
	return s.deps.Rulebook, nil
}

// showRule is the rule of an id with its file.
func (s *Server) showRule(ctx context.Context, id string) (rule, error) {
	if s.deps.Rules == nil {
		return rule{}, unavailable("the rule set")
	}
	detail, err := s.deps.Rules.Get(ctx, id)
	var own rulebook.Entry
	held := false
	if s.deps.Rulebook != nil {
		own, held = s.deps.Rulebook.Get(id)
	}
	if errors.Is(err, ErrNotFound) && held {
		// The rule set rejects it, or does not know it yet.
		at := own.UpdatedAt
		detail = RuleDetail{RuleInfo: RuleInfo{ID: own.ID, Status: "rejected", Path: rulebook.SourceName + "/" + own.File,
			RuleKeeping: RuleKeeping{Origin: OriginOwn, Main: own.ID, Revision: own.Revision, UpdatedAt: &at, UpdatedBy: own.UpdatedBy}}, Source: own.Source}
		v := s.deps.Rulebook.Check(own.Source, own.ID, s.deps.Rules.Surroundings())
		if at := slices.IndexFunc(v.Findings, func(f rulebook.Finding) bool { return f.Severity == rulebook.Fault }); at >= 0 {
			detail.Reason, detail.Line = v.Findings[at].Message, v.Findings[at].Line
		}
		if len(v.Rules) > 0 {
			detail.Title = detections.Text{ZH: v.Rules[0].Title, EN: v.Rules[0].Title}
		}
	} else if err != nil {
		return rule{}, err
	}
	detail.fill()
	out := rule{RuleDetail: detail, File: detail.Source, Rules: []string{detail.ID}}
	if detail.Origin == OriginOwn && held {
		out.File, out.Rules = own.Source, slices.Clone(own.Rules)
		if out.Rules == nil {
			out.Rules = []string{}
		}
	}
	if s.deps.Rulebook != nil {
		v := s.deps.Rulebook.Check(detail.Source, detail.ID, rulebook.Surroundings{})
		if len(v.Rules) > 0 {
			out.Meaning = v.Rules[0].Meaning
		}
	}
	return out, nil
}

// applied puts what was kept in force and shows the rule.
func (s *Server) applied(ctx context.Context, id string) (*Body[rule], error) {
	if err := s.deps.Rules.Apply(ctx); err != nil {
		return nil, err
	}
	out, err := s.showRule(ctx, id)
	return Reply(out), err
}

// checked refuses a rule with faults, each at its line.
func (s *Server) checked(source, id string) error {
	v := s.deps.Rulebook.Check(source, id, s.deps.Rules.Surroundings())
	if v.OK {
		return nil
	}
	p := &huma.ErrorModel{Status: http.StatusUnprocessableEntity, Title: http.StatusText(http.StatusUnprocessableEntity)}
	for _, f := range v.Findings {
		if f.Severity != rulebook.Fault {
			continue
		}
		if p.Detail == "" {
			p.Detail = "the rule is not kept: " + f.Message
		}
		p.Errors = append(p.Errors, &huma.ErrorDetail{Location: fmt.Sprintf("line %d", f.Line), Message: f.Message, Value: Facts{"line": f.Line, "column": f.Column}})
	}
	return p
}

func (s *Server) ruleRoutes() {
	tags := []string{"rules"}
	Register(s, huma.Operation{OperationID: "list-rules", Method: http.MethodGet, Path: "/rules", Tags: tags,
		Summary: "The rules in force, those switched off, and those rejected with the reason"}, identity.ScopeRead,
		func(ctx context.Context, _ *Empty) (*Body[Page[RuleInfo]], error) {
			if s.deps.Rules == nil {
				return nil, unavailable("the rule set")
			}
			rules, err := s.deps.Rules.List(ctx)
			if err != nil {
				return nil, err
			}
			for i := range rules {
				rules[i].fill()
			}
			return Reply(PageOf(rules, len(rules), "")), nil
		})

	Register(s, huma.Operation{OperationID: "reload-rules", Method: http.MethodPost, Path: "/rules/reload", Tags: tags,
		Summary: "Read the rules again"}, identity.ScopeConfigure,
		func(ctx context.Context, _ *Empty) (*Body[RuleReload], error) {
			if err := cityOnly(ctx); err != nil {
				return nil, err
			}
			if s.deps.Rules == nil {
				return nil, unavailable("the rule set")
			}
			r, err := s.deps.Rules.Reload(ctx)
			return Reply(r), err
		})

	s.ruleProposalRoutes()
	s.ruleFileRoutes() // before the routes by id, which take any word
	s.ruleTrialRoutes()
	s.backtestRoutes()

	Register(s, huma.Operation{OperationID: "list-deleted-rules", Method: http.MethodGet, Path: "/rules/deleted", Tags: tags,
		Summary: "Own rules that were deleted, with their last text"}, identity.ScopeConfigure,
		func(ctx context.Context, _ *Empty) (*Body[Page[ruleVersion]], error) {
			book, err := s.rulebook(ctx)
			if err != nil {
				return nil, err
			}
			list, err := book.Deleted()
			items := versionsOf(list)
			return Reply(PageOf(items, len(items), "")), err
		})

	Register(s, huma.Operation{OperationID: "get-rule", Method: http.MethodGet, Path: "/rules/{id}", Tags: tags,
		Summary: "One rule with its text and its meaning", Errors: []int{404}}, identity.ScopeRead,
		func(ctx context.Context, in *RuleByID) (*Body[rule], error) {
			out, err := s.showRule(ctx, in.ID)
			return Reply(out), err
		})

	Register(s, huma.Operation{OperationID: "create-rule", Method: http.MethodPost, Path: "/rules", Tags: tags,
		Summary: "Make a rule; one without an id gets one", DefaultStatus: http.StatusCreated, MaxBodyBytes: 2 << 20, Errors: []int{409, 422}}, identity.ScopeConfigure,
		func(ctx context.Context, in *struct {
			Body struct {
				Source string `json:"source" maxLength:"1048576" doc:"YAML: a Sigma rule; or a correlation with the rules it counts, as documents of one file"`
				Note   string `json:"note,omitempty" maxLength:"1000" doc:"Why it is made"`
			}
		}) (*Body[rule], error) {
			book, err := s.direct(ctx)
			if err != nil {
				return nil, err
			}
			if err := s.checked(in.Body.Source, ""); err != nil {
				return nil, err
			}
			e, err := book.Create(in.Body.Source, rulebook.Change{By: Actor(ctx), Note: in.Body.Note})
			if err != nil {
				return nil, ruleProblem(err)
			}
			AuditObject(ctx, "rule:"+clip(e.ID, 200), "", clip(in.Body.Note, 1000))
			AuditChange(ctx, nil, Facts{"source": e.Source})
			return s.applied(ctx, e.ID)
		})

	Register(s, huma.Operation{OperationID: "update-rule", Method: http.MethodPut, Path: "/rules/{id}", Tags: tags,
		Summary: "Change a rule, where its revision is still the one that was read", MaxBodyBytes: 2 << 20, Errors: []int{404, 409, 422},
		Description: "A rule that is not an own one, such as one that comes with the suite, is overridden by an own rule of the same id; deleting that brings it back."},
		identity.ScopeConfigure,
		func(ctx context.Context, in *struct {
			RuleByID
			Body struct {
				Source   string `json:"source" maxLength:"1048576"`
				Note     string `json:"note,omitempty" maxLength:"1000" doc:"Why it is changed"`
				Revision int    `json:"revision" minimum:"0" doc:"0 for a rule that is not an own one yet"`
			}
		}) (*Body[rule], error) {
			book, err := s.direct(ctx)
			if err != nil {
				return nil, err
			}
			change := rulebook.Change{By: Actor(ctx), Note: in.Body.Note, Revision: in.Body.Revision}
			own, held := book.Get(in.ID)
			AuditObject(ctx, "rule:"+clip(in.ID, 200), "", clip(in.Body.Note, 1000))
			if err := s.checked(in.Body.Source, cmp.Or(own.ID, in.ID)); err != nil {
				return nil, err
			}
			if held {
				before, after, err := book.Update(in.ID, in.Body.Source, change)
				if err != nil {
					return nil, ruleProblem(err)
				}
				AuditChange(ctx, Facts{"source": before.Source}, Facts{"source": after.Source})
				return s.applied(ctx, after.ID)
			}
			had, err := s.deps.Rules.Get(ctx, in.ID)
			if err != nil {
				return nil, err
			}
			if in.Body.Revision != 0 {
				return nil, Problem(http.StatusConflict, "revision %d was read, and the own rule has been deleted meanwhile", in.Body.Revision)
			}
			e, err := book.Create(in.Body.Source, change)
			if err != nil {
				return nil, ruleProblem(err)
			}
			AuditChange(ctx, Facts{"source": had.Source}, Facts{"source": e.Source})
			return s.applied(ctx, e.ID)
		})

	Register(s, huma.Operation{OperationID: "delete-rule", Method: http.MethodDelete, Path: "/rules/{id}", Tags: tags,
		Summary: "Delete an own rule; its versions stay, and it can be restored", DefaultStatus: http.StatusNoContent, Errors: []int{404}}, identity.ScopeConfigure,
		func(ctx context.Context, in *RuleByID) (*struct{}, error) {
			book, err := s.direct(ctx)
			if err != nil {
				return nil, err
			}
			e, err := book.Delete(in.ID, rulebook.Change{By: Actor(ctx)})
			AuditObject(ctx, "rule:"+clip(in.ID, 200), "", "")
			if err != nil {
				return nil, ruleProblem(err)
			}
			AuditChange(ctx, Facts{"source": e.Source}, nil)
			return nil, s.deps.Rules.Apply(ctx)
		})

	Register(s, huma.Operation{OperationID: "list-rule-versions", Method: http.MethodGet, Path: "/rules/{id}/versions", Tags: tags,
		Summary: "What happened to a rule: its versions, and when it was switched"}, identity.ScopeRead,
		func(ctx context.Context, in *RuleByID) (*Body[Page[ruleVersion]], error) {
			if s.deps.Rulebook == nil {
				return nil, unavailable("the rule set")
			}
			list, err := s.deps.Rulebook.Versions(in.ID)
			items := versionsOf(list)
			return Reply(PageOf(items, len(items), "")), err
		})

	Register(s, huma.Operation{OperationID: "restore-rule", Method: http.MethodPost, Path: "/rules/{id}/restore", Tags: tags,
		Summary: "Put an earlier version of a rule in force again, also of one that was deleted", Errors: []int{404, 409, 422}}, identity.ScopeConfigure,
		func(ctx context.Context, in *struct {
			RuleByID
			Body struct {
				Revision int    `json:"revision" minimum:"1"`
				Note     string `json:"note,omitempty" maxLength:"1000"`
			}
		}) (*Body[rule], error) {
			book, err := s.direct(ctx)
			if err != nil {
				return nil, err
			}
			before, _ := book.Get(in.ID)
			e, err := book.Restore(in.ID, in.Body.Revision, rulebook.Change{By: Actor(ctx), Note: in.Body.Note})
			AuditObject(ctx, "rule:"+clip(in.ID, 200), "", fmt.Sprintf("revision %d", in.Body.Revision))
			if err != nil {
				return nil, ruleProblem(err)
			}
			AuditChange(ctx, Facts{"source": before.Source}, Facts{"source": e.Source})
			return s.applied(ctx, e.ID)
		})

	s.ruleSwitch("enable-rules", "/rules/enable", "Switch rules on", true)
	s.ruleSwitch("disable-rules", "/rules/disable", "Switch rules off, also those that come with the suite", false)
}

// RuleByID names a rule. It is exported because inputs embed it.
type RuleByID struct {
	ID string `path:"id" maxLength:"256"`
}

// RuleSwitched tells which rules were switched.
type RuleSwitched struct {
	Changed []string `json:"changed" nullable:"false" doc:"Those that were not so already"`
}

func (s *Server) ruleSwitch(operation, path, summary string, on bool) {
	Register(s, huma.Operation{OperationID: operation, Method: http.MethodPost, Path: path, Tags: []string{"rules"}, Summary: summary, Errors: []int{404, 422}},
		identity.ScopeConfigure,
		func(ctx context.Context, in *struct {
			Body struct {
				IDs    []string `json:"ids" minItems:"1" maxItems:"10000"`
				Reason string   `json:"reason,omitempty" maxLength:"1000"`
			}
		}) (*Body[RuleSwitched], error) {
			book, err := s.rulebook(ctx)
			if err != nil {
				return nil, err
			}
			AuditObject(ctx, "rules", "", clip(in.Body.Reason, 1000))
			list, err := s.deps.Rules.List(ctx)
			if err != nil {
				return nil, err
			}
			known := make(map[string]bool, len(list))
			for i := range list {
				known[list[i].ID] = true
			}
			for _, id := range in.Body.IDs {
				if !known[id] {
					return nil, NotFound("rule", clip(id, 256))
				}
			}
			changed, err := book.Switch(in.Body.IDs, on, Actor(ctx), in.Body.Reason)
			if err != nil {
				return nil, ruleProblem(err)
			}
			if len(changed) == 1 {
				AuditObject(ctx, "rule:"+clip(changed[0], 200), "", clip(in.Body.Reason, 1000))
			}
			before, after := Facts{"off": []string{}}, Facts{"off": changed}
			if on {
				before, after = after, before
			}
			AuditChange(ctx, before, after)
			return Reply(RuleSwitched{changed}), s.deps.Rules.Apply(ctx)
		})
}

func versionsOf(list []rulebook.Version) []ruleVersion {
	out := make([]ruleVersion, len(list))
	for i, v := range list {
		out[i] = ruleVersion{v.Revision, v.At, v.By, v.Action, v.Note, v.Source, v.ID, ""}
		for line := range strings.SplitSeq(v.Source, "\n") {
			if title, ok := strings.CutPrefix(line, "title:"); ok { // of the last document, which is the main one
				out[i].Title = strings.Trim(strings.TrimSpace(title), `'"`)
			}
		}
	}
	return out
}

func (s *Server) ruleFileRoutes() {
	tags := []string{"rules"}
	Register(s, huma.Operation{OperationID: "export-rules", Method: http.MethodGet, Path: "/rules/export", Tags: tags,
		Summary:   "Rules as a ZIP archive that can be imported again",
		Responses: map[string]*huma.Response{"200": {Description: "OK", Content: map[string]*huma.MediaType{"application/zip": {Schema: &huma.Schema{Type: "string", Format: "binary"}}}}}},
		identity.ScopeRead,
		func(ctx context.Context, in *struct {
			IDs    []string `query:"id,explode" maxItems:"5000" doc:"Only these"`
			Origin string   `query:"origin" enum:"builtin,folder,own" doc:"Only those"`
			Tag    string   `query:"tag" maxLength:"200" doc:"Only those with this tag"`
		}) (*huma.StreamResponse, error) {
			if s.deps.Rules == nil || s.deps.Rulebook == nil {
				return nil, unavailable("the rule set")
			}
			list, err := s.deps.Rules.List(ctx)
			if err != nil {
				return nil, err
			}
			files := map[string]string{}
			for i := range list {
				r := &list[i]
				if len(in.IDs) > 0 && !slices.Contains(in.IDs, r.ID) || in.Origin != "" && r.Origin != in.Origin || in.Tag != "" && !slices.Contains(r.Tags, in.Tag) {
					continue
				}
				if own, ok := s.deps.Rulebook.Get(r.ID); ok && r.Origin == OriginOwn {
					files[path.Join(OriginOwn, own.File)] = own.Source
					continue
				}
				detail, err := s.deps.Rules.Get(ctx, r.ID)
				if err != nil || detail.Source == "" {
					continue // it was rejected before it could be read
				}
				name := path.Join(r.Origin, path.Base(path.Dir(r.Path)), path.Base(r.Path))
				if had, twice := files[name]; twice { // rules of one file
					detail.Source = strings.TrimRight(had, "\n") + "\n---\n" + detail.Source
				}
				files[name] = detail.Source
			}
			now := time.Now().UTC()
			return &huma.StreamResponse{Body: func(hc huma.Context) {
				hc.SetStatus(http.StatusOK)
				hc.SetHeader("Content-Type", "application/zip")
				hc.SetHeader("Content-Disposition", fmt.Sprintf(exportPattern, "rules", now.Format("20060102T150405Z"), "zip"))
				if err := rulebook.Export(humafiber.Unwrap(hc).Response().BodyWriter(), files, now); err != nil {
					s.log.Warn("an export of rules broke off", "error", err)
				}
			}}, nil
		})

	Register(s, huma.Operation{OperationID: "import-rules", Method: http.MethodPost, Path: "/rules/import", Tags: tags,
		Summary: "Take in rules: a ZIP archive, or a YAML file with one or more", MaxBodyBytes: maxAPIBody, BodyReadTimeout: 2 * time.Minute, Errors: []int{413, 422},
		Description: "Rules of SigmaHQ are taken as they are. A file that is wrong is named, with the line and the reason, and does not keep the others out."},
		identity.ScopeConfigure,
		func(ctx context.Context, in *struct {
			DryRun     bool   `query:"dry_run" doc:"Judge and count, keep nothing"`
			OnConflict string `query:"on_conflict" enum:"skip,replace" default:"skip" doc:"What to do with rules of which another version is kept"`
			Name       string `query:"name" maxLength:"256" doc:"Of the file"`
			RawBody    []byte `contentType:"application/octet-stream"`
		}) (*Body[rulebook.Report], error) {
			book, err := s.direct(ctx)
			if in.DryRun {
				book, err = s.rulebook(ctx)
			}
			if err != nil {
				return nil, err
			}
			st := stateOf(ctx)
			st.object, st.skipAudit = "rules", in.DryRun
			r, err := book.Import(in.RawBody, s.deps.Rules.Surroundings(), rulebook.ImportOptions{By: Actor(ctx), Note: in.Name, Name: in.Name, DryRun: in.DryRun, Replace: in.OnConflict == "replace"})
			if !in.DryRun {
				// Also where it broke off: some of it may be kept, and what others
				// kept meanwhile waited for it.
				err = errors.Join(err, s.deps.Rules.Apply(ctx))
			}
			if err != nil {
				return nil, ruleProblem(err)
			}
			st.detail = fmt.Sprintf("created %d, changed %d, same %d, skipped %d, invalid %d", r.Created, r.Changed, r.Same, r.Skipped, r.Invalid)
			return Reply(r), nil
		})
}

func (r *RuleInfo) fill() {
	for _, list := range []*[]string{&r.Tactics, &r.Techniques, &r.Tags} {
		if *list == nil {
			*list = []string{}
		}
	}
	if r.Trend == nil {
		r.Trend = []int{}
	}
}
