package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"icewatch/cmdb"
	"icewatch/cmdb/approval"
	"icewatch/soc/identity"
	"icewatch/soc/reach"
)

// Approvals is what the API asks of the desk where changes of protected items
// wait.
type Approvals interface {
	File(ctx context.Context, by approval.Person, why string, list []cmdb.Proposal, lasts time.Duration) (approval.Request, error)
	List(ctx context.Context, within reach.Reach, who approval.Person, state string, before int64, limit int) ([]approval.Request, error)
	Get(ctx context.Context, within reach.Reach, who approval.Person, id int64) (approval.Request, error)
	Approve(ctx context.Context, within reach.Reach, by approval.Person, id int64, why string) (approval.Request, error)
	Reject(ctx context.Context, within reach.Reach, by approval.Person, id int64, why string) (approval.Request, error)
	Withdraw(ctx context.Context, within reach.Reach, by approval.Person, id int64) (approval.Request, error)
}

// approver is who asks, as the desk knows him. Two tokens of one person are not
// four eyes.
func (s *Server) approver(ctx context.Context) (approval.Person, reach.Reach, error) {
	if s.deps.Approvals == nil {
		return approval.Person{}, reach.None(), unavailable("the approval of changes")
	}
	a, err := s.person(ctx)
	if err != nil {
		return approval.Person{}, reach.None(), err
	}
	within, err := Reach(ctx, "")
	return approval.Person{ID: a.User, Name: a.Name}, within, err
}

// fileRequest files what somebody proposes.
func (s *Server) fileRequest(ctx context.Context, why string, list []cmdb.Proposal) (approval.Request, error) {
	who, _, err := s.approver(ctx)
	if err != nil {
		return approval.Request{}, err
	}
	return s.deps.Approvals.File(ctx, who, why, list, time.Duration(s.deps.ApprovalPolicy().Days)*24*time.Hour)
}

func approvalProblem(err error) error {
	for of, status := range map[error]int{approval.ErrNotFound: http.StatusNotFound, approval.ErrInvalid: http.StatusUnprocessableEntity,
		approval.ErrDecided: http.StatusConflict, approval.ErrOwn: http.StatusForbidden} {
		if errors.Is(err, of) {
			return Problem(status, "%s", err.Error())
		}
	}
	return nil
}

// cmdbRequestRoutes registers change requests.
func (s *Server) cmdbRequestRoutes() {
	type policyView struct {
		Classes []string `json:"classes" nullable:"false" doc:"Classes whose items are changed by approval only"`
		Days    int      `json:"days" doc:"After so many days without a decision a request expires"`
	}
	Register(s, cmdbOperation("get-cmdb-approval", http.MethodGet, "/change-requests/policy", "Which classes are changed by approval only"), identity.ScopeRead,
		func(ctx context.Context, _ *Empty) (*Body[policyView], error) {
			if s.deps.Approvals == nil {
				return nil, unavailable("the approval of changes")
			}
			p := s.deps.ApprovalPolicy()
			return Reply(policyView{append([]string{}, p.Classes...), p.Days}), nil
		})

	file := cmdbOperation("file-cmdb-request", http.MethodPost, "/change-requests", "Ask for changes of items that somebody else approves; nothing is changed yet", 404, 409, 413, 422)
	file.MaxBodyBytes, file.DefaultStatus = maxAPIBody, http.StatusCreated
	Register(s, file, identity.ScopeConfigure,
		func(ctx context.Context, in *struct {
			Body struct {
				Comment string        `json:"comment" minLength:"1" maxLength:"1000" doc:"Why the change is wanted"`
				Items   []cmdb.Fields `json:"items,omitempty" maxItems:"1000" doc:"Made, or changed by id or key: what is not given stays"`
				Delete  []string      `json:"delete,omitempty" maxItems:"1000" doc:"Ids of items to delete"`
			}
		}) (*Body[approval.Request], error) {
			c, within, err := s.cmdbFor(ctx)
			if err != nil {
				return nil, err
			}
			AuditObject(ctx, "cmdb change request", "", "")
			list, report, err := c.Propose(ctx, in.Body.Items, in.Body.Delete, cmdb.ImportOptions{Within: within, Actor: Actor(ctx), Tenant: SelectedTenant(ctx)})
			if err != nil {
				return nil, err
			}
			if len(report.Errors) > 0 {
				return nil, rowsProblem(report)
			}
			r, err := s.fileRequest(ctx, in.Body.Comment, list)
			AuditObject(ctx, fmt.Sprintf("cmdb change request %d", r.ID), "", fmt.Sprintf("%d items: %s", r.Items, r.Comment))
			return Reply(r), err
		})

	Register(s, cmdbOperation("list-cmdb-requests", http.MethodGet, "/change-requests", "Change requests whose items are all within reach, newest first", 400), identity.ScopeConfigure,
		func(ctx context.Context, in *struct {
			PageInput
			State string `query:"state" enum:"pending,approved,rejected,withdrawn,conflict,expired,"`
		}) (*Body[Page[approval.Request]], error) {
			who, within, err := s.approver(ctx)
			if err != nil {
				return nil, err
			}
			before, err := numberCursor(in.Cursor)
			if err != nil {
				return nil, err
			}
			list, err := s.deps.Approvals.List(ctx, within, who, in.State, before, in.Limit)
			if err != nil {
				return nil, err
			}
			next := ""
			if len(list) == in.Limit {
				next = strconv.FormatInt(list[len(list)-1].ID, 10)
			}
			return Reply(PageOf(list, len(list), next)), nil
		})

	Register(s, cmdbOperation("get-cmdb-request", http.MethodGet, "/change-requests/{id}", "One change request, and what would change", 404), identity.ScopeConfigure,
		func(ctx context.Context, in *ByNumber) (*Body[approval.Request], error) {
			who, within, err := s.approver(ctx)
			if err != nil {
				return nil, err
			}
			id, err := in.number()
			if err != nil {
				return nil, err
			}
			r, err := s.deps.Approvals.Get(ctx, within, who, id)
			return Reply(r), err
		})

	type decision struct {
		ByNumber
		Body struct {
			Comment string `json:"comment,omitempty" maxLength:"1000"`
		}
	}
	decide := func(id, verb, summary string, do func(ctx context.Context, within reach.Reach, who approval.Person, id int64, why string) (approval.Request, error)) {
		Register(s, cmdbOperation(id, http.MethodPost, "/change-requests/{id}/"+verb, summary, 403, 404, 409, 422), identity.ScopeConfigure,
			func(ctx context.Context, in *decision) (*Body[approval.Request], error) {
				AuditObject(ctx, "cmdb change request "+clip(in.ID, 64), "", in.Body.Comment)
				who, within, err := s.approver(ctx)
				if err != nil {
					return nil, err
				}
				number, err := in.number()
				if err != nil {
					return nil, err
				}
				r, err := do(ctx, within, who, number, in.Body.Comment)
				return Reply(r), err
			})
	}
	desk := s.deps.Approvals
	if desk == nil {
		return
	}
	decide("approve-cmdb-request", "approve", "Approve a change that somebody else asks for: it is made as it was shown, or is in conflict", desk.Approve)
	decide("reject-cmdb-request", "reject", "Reject a change that somebody else asks for, with a reason", desk.Reject)
	decide("withdraw-cmdb-request", "withdraw", "Take one's own change request back",
		func(ctx context.Context, within reach.Reach, who approval.Person, id int64, _ string) (approval.Request, error) {
			return desk.Withdraw(ctx, within, who, id)
		})
}
