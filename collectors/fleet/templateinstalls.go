package fleet

import (
	"cmp"
	"context"
	"errors"
	"slices"
)

// TemplateInstall applies a template to hosts that have no agent yet: the agent is installed on them over
// SSH, or they enrol by a line, and they collect at once. It is one task.
type TemplateInstall struct {
	Task       TaskDraft        `json:"task" doc:"What is collected; hosts that have an agent can be named in it, too"`
	Deployment *DeploymentDraft `json:"deployment,omitempty" doc:"Hosts and how to sign in on them; kind is install"`
	Token      *TokenDraft      `json:"token,omitempty" doc:"Instead: a token whose line installs a host of the task"`
}

// TemplateInstalled is what came of it.
type TemplateInstalled struct {
	Task       TaskView        `json:"task"`
	Deployment *DeploymentView `json:"deployment,omitempty"`
	Token      *MadeToken      `json:"token,omitempty"`
}

// InstallTemplate begins it. Where the installation cannot begin there is no task either.
func (s *Service) InstallTemplate(ctx context.Context, a Asker, d TemplateInstall) (out TemplateInstalled, err error) {
	switch {
	case (d.Deployment == nil) == (d.Token == nil):
		return out, invalid("want one of deployment and token")
	case d.Task.Group != "":
		return out, invalid("a group's task is on no host of its own")
	case d.Deployment != nil && d.Deployment.Kind != "" && d.Deployment.Kind != "install":
		return out, invalid("deployment: kind is %q: want install", clip(d.Deployment.Kind, 20))
	case d.Deployment != nil && cmp.Or(d.Deployment.Tenant, d.Task.Tenant) != d.Task.Tenant, d.Token != nil && cmp.Or(d.Token.Tenant, d.Task.Tenant) != d.Task.Tenant:
		return out, invalid("the task and its hosts are of different tenants")
	}
	if out.Task, err = s.KeepTask(ctx, a, "", 0, d.Task); err != nil {
		return out, err
	}
	id := out.Task.ID
	if d.Deployment != nil {
		x := *d.Deployment
		x.Kind, x.Tenant, x.Tasks = "install", d.Task.Tenant, append(slices.Clone(x.Tasks), id)
		var v DeploymentView
		if v, err = s.Deploy(ctx, a, x); err == nil {
			out.Deployment = &v
			out.Task, err = s.installs(ctx, a, id, v.ID)
		}
	} else {
		x := *d.Token
		x.Tenant, x.Tasks = d.Task.Tenant, append(slices.Clone(x.Tasks), id)
		var v MadeToken
		if v, err = s.CreateToken(ctx, a, x); err == nil {
			out.Token = &v
		}
	}
	if err != nil && out.Deployment == nil {
		_, gone := s.DeleteTask(context.WithoutCancel(ctx), a, id)
		return TemplateInstalled{}, errors.Join(err, gone)
	}
	return out, err
}

// installs notes by which deployment a task's hosts come.
func (s *Service) installs(ctx context.Context, a Asker, task, deployment string) (TaskView, error) {
	s.changing.Lock()
	defer s.changing.Unlock()
	s.mu.Lock()
	t := s.tasks[task]
	if t == nil {
		s.mu.Unlock()
		return TaskView{}, ErrNotFound
	}
	x := *t
	s.mu.Unlock()
	x.Deployment = deployment
	return s.putTask(ctx, a, &x, "task-installing")
}
