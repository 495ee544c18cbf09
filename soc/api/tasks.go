package api

import (
	"context"
	"errors"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"icewatch/soc/identity"
	"icewatch/ticketing"
	"icewatch/ticketing/plan"
)

// PlanBody is a disposal plan as it is written. It is exported because inputs embed it.
type PlanBody struct {
	plan.Content
	Revision int64 `json:"revision,omitempty" doc:"Of what was read before the change; without it whatever is there is replaced"`
}

// planRoutes are the library of disposal plans.
func (s *Server) planRoutes() {
	plans, tags := s.deps.Casework.Plans, []string{"disposal plans"}
	one := func(ctx context.Context, id, detail string, do func(by string) (plan.Plan, error)) (*Body[plan.Plan], error) {
		AuditObject(ctx, "disposal-plan:"+clip(id, 64), "", detail)
		p, err := do(Actor(ctx))
		return Reply(p), caseProblem(err)
	}
	Register(s, huma.Operation{OperationID: "list-disposal-plans", Method: http.MethodGet, Path: "/disposal-plans", Tags: tags, Summary: "The library of disposal plans"}, identity.ScopeRead,
		func(ctx context.Context, in *struct {
			Deleted bool `query:"deleted" doc:"Those that were deleted, too"`
		}) (*Body[Page[plan.Plan]], error) {
			list, err := plans.Plans(ctx, in.Deleted)
			return Reply(PageOf(list, len(list), "")), err
		})
	Register(s, huma.Operation{OperationID: "create-disposal-plan", Method: http.MethodPost, Path: "/disposal-plans", Tags: tags, Summary: "Add a disposal plan", DefaultStatus: http.StatusCreated, Errors: []int{409, 422}}, identity.ScopeConfigure,
		func(ctx context.Context, in *struct{ Body plan.Content }) (*Body[plan.Plan], error) {
			return one(ctx, "", in.Body.Name, func(by string) (plan.Plan, error) { return plans.Create(ctx, by, in.Body) })
		})
	Register(s, huma.Operation{OperationID: "get-disposal-plan", Method: http.MethodGet, Path: "/disposal-plans/{id}", Tags: tags, Summary: "One disposal plan", Errors: []int{404}}, identity.ScopeRead,
		func(ctx context.Context, in *IDInput) (*Body[plan.Plan], error) {
			p, err := plans.Plan(ctx, in.ID)
			return Reply(p), caseProblem(err)
		})
	Register(s, huma.Operation{OperationID: "update-disposal-plan", Method: http.MethodPut, Path: "/disposal-plans/{id}", Tags: tags, Summary: "Change a disposal plan; the tasks it made stay as they are", Errors: []int{404, 409, 422}}, identity.ScopeConfigure,
		func(ctx context.Context, in *struct {
			IDInput
			Body PlanBody
		}) (*Body[plan.Plan], error) {
			return one(ctx, in.ID, in.Body.Name, func(by string) (plan.Plan, error) {
				return plans.Update(ctx, by, in.ID, in.Body.Revision, in.Body.Content)
			})
		})
	Register(s, huma.Operation{OperationID: "delete-disposal-plan", Method: http.MethodDelete, Path: "/disposal-plans/{id}", Tags: tags, Summary: "Take a disposal plan out of the library; it can be restored", Errors: []int{404, 409}}, identity.ScopeConfigure,
		func(ctx context.Context, in *IDInput) (*Body[plan.Plan], error) {
			return one(ctx, in.ID, "", func(by string) (plan.Plan, error) { return plans.Delete(ctx, by, in.ID) })
		})
	Register(s, huma.Operation{OperationID: "restore-disposal-plan", Method: http.MethodPost, Path: "/disposal-plans/{id}/restore", Tags: tags, Summary: "Bring a deleted disposal plan back", Errors: []int{404, 409}}, identity.ScopeConfigure,
		func(ctx context.Context, in *IDInput) (*Body[plan.Plan], error) {
			return one(ctx, in.ID, "", func(string) (plan.Plan, error) { return plans.Restore(ctx, in.ID) })
		})
}

// taskRoutes are the tasks of incidents and their reviews.
func (s *Server) taskRoutes() {
	plans := s.deps.Casework.Plans
	Register(s, caseOp("suggest-plans", http.MethodGet, "/plans", "Disposal plans that fit an incident, with the reasons"), identity.ScopeRead,
		func(ctx context.Context, in *IDInput) (*Body[Page[plan.Choice]], error) {
			c, err := s.openCase(ctx, in.ID, "")
			if err != nil {
				return nil, err
			}
			of := plan.Subject{Severity: string(c.Severity), Techniques: c.Techniques}
			if c.CI != nil {
				of.Class = c.CI.Class
			}
			if of.Rules, err = s.deps.Casework.Incidents.RulesOf(ctx, c.by.Reach, c.ID); err != nil {
				return nil, err
			}
			list, err := plans.Suggest(ctx, of)
			return Reply(PageOf(list, len(list), "")), err
		})
	Register(s, caseOp("apply-plan", http.MethodPost, "/plans", "Choose a disposal plan: its steps become tasks of the incident"), identity.ScopeRespond,
		func(ctx context.Context, in *struct {
			IDInput
			Body struct {
				Plan string `json:"plan" minLength:"1" maxLength:"64" doc:"Id of the plan"`
			}
		}) (*Body[Page[plan.Task]], error) {
			c, err := s.openCase(ctx, in.ID, "plan: "+clip(in.Body.Plan, 64))
			if err != nil {
				return nil, err
			}
			list, err := plans.Apply(ctx, c.ID, c.by.Name, in.Body.Plan, c.Assignee)
			return Reply(PageOf(list, len(list), "")), caseProblem(err)
		})
	Register(s, caseOp("list-tasks", http.MethodGet, "/tasks", "Tasks of an incident"), identity.ScopeRead,
		func(ctx context.Context, in *IDInput) (*Body[Page[plan.Task]], error) {
			c, err := s.openCase(ctx, in.ID, "")
			if err != nil {
				return nil, err
			}
			list, err := plans.Tasks(ctx, c.ID)
			return Reply(PageOf(list, len(list), "")), err
		})
	add := caseOp("add-task", http.MethodPost, "/tasks", "Add a task to an incident")
	add.DefaultStatus = http.StatusCreated
	Register(s, add, identity.ScopeRespond,
		func(ctx context.Context, in *struct {
			IDInput
			Body plan.TaskContent
		}) (*Body[plan.Task], error) {
			return s.withCase(ctx, in.ID, "task: "+clip(in.Body.Title, 200), func(c *theCase) (plan.Task, error) { return plans.AddTask(ctx, c.ID, c.by.Name, in.Body) })
		})
	Register(s, caseOp("edit-task", http.MethodPut, "/tasks/{task}", "Change a task", 409, 422), identity.ScopeRespond,
		func(ctx context.Context, in *struct {
			TaskInput
			Body plan.TaskContent
		}) (*Body[plan.Task], error) {
			return s.withCase(ctx, in.ID, "task "+clip(in.Task, 40), func(c *theCase) (plan.Task, error) { return plans.EditTask(ctx, c.ID, in.Task, c.by.Name, in.Body) })
		})
	Register(s, caseOp("do-task", http.MethodPost, "/tasks/{task}/done", "Say that a task is done, and how it came out"), identity.ScopeRespond,
		func(ctx context.Context, in *struct {
			TaskInput
			Body *struct {
				Outcome string `json:"outcome,omitempty" maxLength:"4000"`
			}
		}) (*Body[plan.Task], error) {
			outcome := ""
			if in.Body != nil {
				outcome = in.Body.Outcome
			}
			return s.withCase(ctx, in.ID, "task "+clip(in.Task, 40), func(c *theCase) (plan.Task, error) { return plans.Do(ctx, c.ID, in.Task, c.by.Name, outcome) })
		})
	for _, act := range []struct {
		id, path, summary string
		do                func(ctx context.Context, c *theCase, task string) (plan.Task, error)
	}{
		{"undo-task", "undone", "Take back that a task is done", func(ctx context.Context, c *theCase, task string) (plan.Task, error) {
			return plans.Undo(ctx, c.ID, task, c.by.Name)
		}},
		{"remove-task", "remove", "Take a task off the list; it can be restored", func(ctx context.Context, c *theCase, task string) (plan.Task, error) {
			return plans.Remove(ctx, c.ID, task, c.by.Name, false)
		}},
		{"restore-task", "restore", "Bring a removed task back", func(ctx context.Context, c *theCase, task string) (plan.Task, error) {
			return plans.Remove(ctx, c.ID, task, c.by.Name, true)
		}},
	} {
		Register(s, caseOp(act.id, http.MethodPost, "/tasks/{task}/"+act.path, act.summary), identity.ScopeRespond,
			func(ctx context.Context, in *TaskInput) (*Body[plan.Task], error) {
				return s.withCase(ctx, in.ID, "task "+clip(in.Task, 40), func(c *theCase) (plan.Task, error) { return act.do(ctx, c, in.Task) })
			})
	}
	Register(s, huma.Operation{OperationID: "list-my-tasks", Method: http.MethodGet, Path: "/tasks", Tags: []string{"incidents"}, Summary: "What I have to do about incidents, the first due first"}, identity.ScopeRead,
		func(ctx context.Context, _ *Empty) (*Body[Page[plan.Task]], error) {
			by, err := acting(ctx)
			if err != nil {
				return nil, err
			}
			all, err := plans.Waiting(ctx, by.Name)
			if err != nil {
				return nil, err
			}
			list, seen := []plan.Task{}, map[string]bool{}
			for _, t := range all {
				visible, asked := seen[t.Incident]
				if !asked {
					_, err := s.deps.Casework.Incidents.Heading(ctx, by.Reach, t.Incident)
					if err != nil && !errors.Is(err, ticketing.ErrNotFound) {
						return nil, err
					}
					visible = err == nil
					seen[t.Incident] = visible
				}
				if visible {
					list = append(list, t)
				}
			}
			return Reply(PageOf(list, len(list), "")), nil
		})
	Register(s, caseOp("get-review", http.MethodGet, "/review", "The review of an incident, with its template"), identity.ScopeRead,
		func(ctx context.Context, in *IDInput) (*Body[plan.Review], error) {
			c, err := s.openCase(ctx, in.ID, "")
			if err != nil {
				return nil, err
			}
			r, err := plans.Review(ctx, c.ID)
			return Reply(r), err
		})
	Register(s, caseOp("write-review", http.MethodPut, "/review", "Write the review of an incident", 409, 422), identity.ScopeRespond,
		func(ctx context.Context, in *struct {
			IDInput
			Body struct {
				Revision int64             `json:"revision" minimum:"0" doc:"Of what was read; 0 where nobody has written anything"`
				Answers  map[string]string `json:"answers" doc:"By the keys of the sections"`
			}
		}) (*Body[plan.Review], error) {
			c, err := s.openCase(ctx, in.ID, "review")
			if err != nil {
				return nil, err
			}
			r, err := plans.WriteReview(ctx, c.ID, c.by.Name, in.Body.Revision, in.Body.Answers)
			return Reply(r), caseProblem(err)
		})
	for _, act := range []struct {
		id, path, summary string
		back              bool
	}{{"end-review", "end", "Say that the review is done", false}, {"reopen-review", "reopen", "Open a review again", true}} {
		Register(s, caseOp(act.id, http.MethodPost, "/review/"+act.path, act.summary), identity.ScopeRespond,
			func(ctx context.Context, in *IDInput) (*Body[plan.Review], error) {
				c, err := s.openCase(ctx, in.ID, act.path)
				if err != nil {
					return nil, err
				}
				r, err := plans.EndReview(ctx, c.ID, c.by.Name, act.back)
				return Reply(r), caseProblem(err)
			})
	}
}

// TaskInput names a task. It is exported because inputs embed it.
type TaskInput struct {
	IDInput
	Task string `path:"task" maxLength:"40" doc:"Id of a task"`
}

// withCase does something to an incident's task in the caller's reach.
func (s *Server) withCase(ctx context.Context, id, detail string, do func(c *theCase) (plan.Task, error)) (*Body[plan.Task], error) {
	c, err := s.openCase(ctx, id, detail)
	if err != nil {
		return nil, err
	}
	out, err := do(c)
	return Reply(out), caseProblem(err)
}
