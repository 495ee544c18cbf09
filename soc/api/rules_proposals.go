package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"icewatch/detections/ruleset"
	"icewatch/soc/identity"
	"icewatch/soc/rulebook"
)

// ruleProposed is a proposal with what became of each file.
type ruleProposed struct {
	Proposal *rulebook.RuleProposal `json:"proposal,omitempty" doc:"None where nothing changes, or for a dry run"`
	Changes  []ruleProposalItem     `json:"changes" nullable:"false" doc:"What would change, without texts"`
	Report   rulebook.Report        `json:"report"`
}

// ruleProposalItem is a change of a proposal without its texts.
type ruleProposalItem struct {
	Kind   string   `json:"kind,omitempty" doc:"Absent for rules; else suppressions"`
	ID     string   `json:"id"`
	Title  string   `json:"title"`
	Action string   `json:"action" enum:"created,changed,deleted"`
	Fields []string `json:"fields" nullable:"false" doc:"Which parts of the rule differ"`
}

// ruleApproval says whether rules are changed by approval only.
type ruleApproval struct {
	Required     bool `json:"required" doc:"Own rules are changed by proposals that a second person approves, and in no other way. Switching rules on and off stays possible"`
	Suppressions bool `json:"suppressions,omitempty" doc:"With required: suppressions, too. An analyst then proposes a false positive's suppression, and a second person approves it"`
}

// direct is the book where rules may be changed without a second person.
func (s *Server) direct(ctx context.Context) (*rulebook.Book, error) {
	book, err := s.rulebook(ctx)
	if err == nil && book.ApprovalRequired() {
		return nil, Problem(http.StatusConflict, "changes of rules need a second person here: file a proposal (POST /rule-proposals, icectl rules push)")
	}
	return book, err
}

// proposer is who asks, as the book knows him. Two tokens of one person are not
// four eyes.
func (s *Server) proposer(ctx context.Context) (*rulebook.Book, rulebook.Person, error) {
	book, err := s.rulebook(ctx)
	if err != nil {
		return nil, rulebook.Person{}, err
	}
	a, err := s.person(ctx)
	return book, rulebook.Person{ID: a.User, Name: a.Name}, err
}

// ruleProposalRoutes serve proposals of changes of rules.
func (s *Server) ruleProposalRoutes() {
	tags := []string{"rules"}
	operation := func(id, method, path, summary string, errs ...int) huma.Operation {
		return huma.Operation{OperationID: id, Method: method, Path: "/rule-proposals" + path, Tags: tags, Summary: summary, Errors: errs}
	}

	Register(s, operation("get-rule-approval", http.MethodGet, "/policy", "Whether rules are changed by approval only"), identity.ScopeRead,
		func(ctx context.Context, _ *Empty) (*Body[ruleApproval], error) {
			if s.deps.Rulebook == nil {
				return nil, unavailable("the rule set")
			}
			return Reply(ruleApproval{s.deps.Rulebook.ApprovalRequired(), s.deps.Rulebook.SuppressionsRequired()}), nil
		})
	Register(s, operation("set-rule-approval", http.MethodPut, "/policy", "Say whether rules are changed by approval only"), identity.ScopeSystem,
		func(ctx context.Context, in *struct{ Body ruleApproval }) (*Body[ruleApproval], error) {
			book, err := s.rulebook(ctx)
			if err != nil {
				return nil, err
			}
			AuditObject(ctx, "rule approval", "", "")
			AuditChange(ctx, Facts{"required": book.ApprovalRequired(), "suppressions": book.SuppressionsRequired()}, Facts{"required": in.Body.Required, "suppressions": in.Body.Suppressions})
			return Reply(in.Body), book.RequireApproval(in.Body.Required, in.Body.Suppressions)
		})

	file := operation("file-rule-proposal", http.MethodPost, "", "Propose changes of rules, which somebody else approves: a ZIP archive, or a YAML file with one or more", 404, 409, 413, 422)
	file.Description = "Files in a folder suppressions hold suppressions, as import-suppressions reads them. Rules of SigmaHQ are taken as they are. A file that is wrong is named, with the line and the reason, and does not keep the others out. What is kept as it is already is no change; where nothing changes, nothing is filed."
	file.MaxBodyBytes, file.BodyReadTimeout = maxAPIBody, 2*time.Minute
	Register(s, file, identity.ScopeConfigure,
		func(ctx context.Context, in *struct {
			Comment string   `query:"comment" maxLength:"1000" doc:"Why the change is wanted; needed unless dry_run"`
			Name    string   `query:"name" maxLength:"256" doc:"Of the file"`
			Delete  []string `query:"delete,explode" maxItems:"5000" doc:"Ids of own rules to delete, or suppressions/ID"`
			DryRun  bool     `query:"dry_run" doc:"Judge and compare, file nothing"`
			RawBody []byte   `contentType:"application/octet-stream"`
		}) (*Body[ruleProposed], error) {
			book, who, err := s.proposer(ctx)
			if err != nil {
				return nil, err
			}
			st := stateOf(ctx)
			st.object, st.skipAudit = "rule proposal", in.DryRun
			p, report, err := book.Propose(in.RawBody, s.deps.Rules.Surroundings(), rulebook.ProposeOptions{By: who, Note: in.Comment, Name: in.Name, Delete: in.Delete, DryRun: in.DryRun})
			if err != nil {
				return nil, ruleProblem(err)
			}
			out := ruleProposed{Report: report, Changes: make([]ruleProposalItem, len(p.Changes))}
			for i, c := range p.Changes {
				out.Changes[i] = ruleProposalItem{c.Kind, c.ID, c.Title, c.Action, c.Fields}
			}
			if p.Changes = nil; p.ID != 0 {
				out.Proposal = &p
				AuditObject(ctx, fmt.Sprintf("rule proposal %d", p.ID), "", fmt.Sprintf("created %d, changed %d, deleted %d, invalid %d: %s", p.Created, p.Changed, p.Deleted, report.Invalid, p.Comment))
			}
			return Reply(out), nil
		})

	Register(s, operation("list-rule-proposals", http.MethodGet, "", "Proposals of changes of rules, newest first"), identity.ScopeConfigure,
		func(ctx context.Context, in *struct {
			State string `query:"state" enum:"pending,approved,rejected,withdrawn,conflict,expired,rolled_back,"`
		}) (*Body[Page[rulebook.RuleProposal]], error) {
			book, who, err := s.proposer(ctx)
			if err != nil {
				return nil, err
			}
			list, err := book.Proposals(who, in.State)
			return Reply(PageOf(list, len(list), "")), err
		})

	Register(s, operation("get-rule-proposal", http.MethodGet, "/{id}", "One proposal with the texts before and after, and the hits of what is in test", 404), identity.ScopeConfigure,
		func(ctx context.Context, in *ByNumber) (*Body[rulebook.RuleProposal], error) {
			book, who, err := s.proposer(ctx)
			if err != nil {
				return nil, err
			}
			id, err := in.number()
			if err != nil {
				return nil, err
			}
			p, err := book.Proposal(who, int(id))
			if err != nil {
				return nil, ruleProblem(err)
			}
			if p.Stage == "test" {
				err = s.testHits(ctx, &p)
			}
			return Reply(p), err
		})

	type decision struct {
		ByNumber
		Body struct {
			Comment string `json:"comment,omitempty" maxLength:"1000"`
		}
	}
	// decide registers what is done to a proposal and puts it in force.
	decide := func(id, verb, summary string, do func(book *rulebook.Book, who rulebook.Person, id int, why string) (rulebook.RuleProposal, error)) {
		Register(s, operation(id, http.MethodPost, "/{id}/"+verb, summary, 403, 404, 409, 422), identity.ScopeConfigure,
			func(ctx context.Context, in *decision) (*Body[rulebook.RuleProposal], error) {
				AuditObject(ctx, "rule proposal "+clip(in.ID, 64), "", in.Body.Comment)
				book, who, err := s.proposer(ctx)
				if err != nil {
					return nil, err
				}
				number, err := in.number()
				if err != nil {
					return nil, err
				}
				p, err := do(book, who, int(number), in.Body.Comment)
				return s.decided(ctx, p, err)
			})
	}
	decide("test-rule-proposal", "test", "Put a proposal's rules in test: they are asked and their hits counted, and raise nothing",
		func(book *rulebook.Book, who rulebook.Person, id int, _ string) (rulebook.RuleProposal, error) {
			return book.Test(who, id, true)
		})
	decide("untest-rule-proposal", "untest", "Take a proposal's rules out of test",
		func(book *rulebook.Book, who rulebook.Person, id int, _ string) (rulebook.RuleProposal, error) {
			return book.Test(who, id, false)
		})
	decide("approve-rule-proposal", "approve", "Approve what somebody else proposes: it is in force as it was shown, or in conflict", (*rulebook.Book).Approve)
	decide("reject-rule-proposal", "reject", "Reject what somebody else proposes, with a reason", (*rulebook.Book).Reject)
	decide("withdraw-rule-proposal", "withdraw", "Take one's own proposal back",
		func(book *rulebook.Book, who rulebook.Person, id int, _ string) (rulebook.RuleProposal, error) {
			return book.Withdraw(who, id)
		})

	Register(s, operation("rollback-rule-proposal", http.MethodPost, "/rollback", "Take an approved proposal back: each rule is again as it was before", 404, 409, 422), identity.ScopeConfigure,
		func(ctx context.Context, in *struct {
			Body struct {
				ID      int    `json:"id,omitempty" minimum:"0" doc:"The one that came in force last where there is none"`
				Comment string `json:"comment" minLength:"1" maxLength:"1000" doc:"Why"`
				Force   bool   `json:"force,omitempty" doc:"Also where a rule was changed since, which is lost"`
			}
		}) (*Body[rulebook.RuleProposal], error) {
			AuditObject(ctx, fmt.Sprintf("rule proposal %d", in.Body.ID), "", "rollback: "+in.Body.Comment)
			book, who, err := s.proposer(ctx)
			if err != nil {
				return nil, err
			}
			p, err := book.Rollback(who, in.Body.ID, in.Body.Comment, in.Body.Force)
			return s.decided(ctx, p, err)
		})
}

// decided puts in force what a decision changed, also where it broke off, and
// shows the proposal.
func (s *Server) decided(ctx context.Context, p rulebook.RuleProposal, err error) (*Body[rulebook.RuleProposal], error) {
	if p.ID != 0 {
		AuditObject(ctx, fmt.Sprintf("rule proposal %d", p.ID), "", fmt.Sprintf("%s, stage %s", p.State, p.Stage))
	}
	if err = errors.Join(err, s.deps.Rules.Apply(ctx)); err != nil {
		return nil, ruleProblem(err)
	}
	return Reply(p), nil
}

// testHits adds what the rules in test met. Where a file holds several it is
// the main rule's.
func (s *Server) testHits(ctx context.Context, p *rulebook.RuleProposal) error {
	list, err := s.deps.Rules.List(ctx)
	if err != nil {
		return err
	}
	hits := map[string]uint64{}
	for i := range list {
		if id, ok := strings.CutSuffix(list[i].ID, ruleset.TestSuffix); ok {
			hits[id] = list[i].Hits
		}
	}
	for i := range p.Changes {
		if n, ok := hits[p.Changes[i].ID]; ok {
			p.Changes[i].Hits = &n
		}
	}
	return nil
}
