package api

import (
	"context"
	"errors"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"icewatch/soc/backup"
	"icewatch/soc/identity"
)

// Backups is what the API asks of soc/backup.
type Backups interface {
	Overview() (backup.Overview, []backup.Summary)
	Get(name string) (backup.Summary, error)
	Start(ctx context.Context, req backup.Request) (backup.Job, error)
	Verify(ctx context.Context, name, by string) (backup.Job, error)
	Delete(ctx context.Context, name, by string) error
	Job() (backup.Job, error)
	Cancel() (backup.Job, error)
}

// BackupPage is the list of backups with everything else about them.
type BackupPage struct {
	backup.Overview
	Page[backup.Summary]
}

// BackupBody asks for a backup. All but the empty body is for the command line.
type BackupBody struct {
	Dir      string `json:"dir,omitempty" maxLength:"4096" doc:"Where to; only on the machine itself, over the suite's own socket. Without it the configured folder"`
	WithKeys bool   `json:"with_keys,omitempty" doc:"Take the master keys into a backup that is not encrypted; only over the suite's own socket"`
	RateMiB  int    `json:"rate_mib,omitempty" minimum:"0" maximum:"100000" doc:"MiB a second to read at most; 0 is no limit"`
}

// backupRoutes registers the operations on backups. Restoring is not among
// them: it needs an empty folder on which no suite runs (icewatch restore).
func (s *Server) backupRoutes() {
	if s.deps.Backups == nil {
		return
	}
	b := s.deps.Backups
	op := func(id, method, path, summary string, status int, errs ...int) huma.Operation {
		return huma.Operation{OperationID: id, Method: method, Path: path, Tags: []string{"backups"}, Summary: summary, DefaultStatus: status, Errors: errs}
	}
	Register(s, op("list-backups", http.MethodGet, "/backups", "The backups, newest first, the job at work and the schedule", http.StatusOK), identity.ScopeSystem,
		func(ctx context.Context, _ *Empty) (*Body[BackupPage], error) {
			if err := cityOnly(ctx); err != nil {
				return nil, err
			}
			o, list := b.Overview()
			return Reply(BackupPage{o, PageOf(list, len(list), "")}), nil
		})
	Register(s, op("start-backup", http.MethodPost, "/backups", "Take a backup in the background", http.StatusAccepted, 409, 422), identity.ScopeSystem,
		func(ctx context.Context, in *struct {
			Body *BackupBody
		}) (*Body[backup.Job], error) {
			if err := cityOnly(ctx); err != nil {
				return nil, err
			}
			req := backup.Request{Trigger: backup.TriggerAPI, By: Actor(ctx)}
			if b := in.Body; b != nil {
				req.Dir, req.WithKeys, req.Rate = b.Dir, b.WithKeys, int64(b.RateMiB)<<20
			}
			AuditObject(ctx, "backup", "", req.Dir)
			if stateOf(ctx).address == localAddress {
				req.Trigger = backup.TriggerCommand
			} else if req.Dir != "" || req.WithKeys {
				return nil, Problem(http.StatusForbidden, "over the network backups go to the configured folder and hold no bare keys; use icewatch backup on the machine itself")
			}
			j, err := b.Start(ctx, req)
			return Reply(j), backupProblem(err)
		})
	Register(s, op("get-backup-job", http.MethodGet, "/backups/job", "The job at work, or the last one", http.StatusOK, 404), identity.ScopeSystem,
		func(ctx context.Context, _ *Empty) (*Body[backup.Job], error) {
			if err := cityOnly(ctx); err != nil {
				return nil, err
			}
			j, err := b.Job()
			return Reply(j), backupProblem(err)
		})
	Register(s, op("cancel-backup-job", http.MethodDelete, "/backups/job", "Break the job at work off", http.StatusAccepted, 404), identity.ScopeSystem,
		func(ctx context.Context, _ *Empty) (*Body[backup.Job], error) {
			if err := cityOnly(ctx); err != nil {
				return nil, err
			}
			AuditObject(ctx, "backup", "", "")
			j, err := b.Cancel()
			return Reply(j), backupProblem(err)
		})
	type named struct {
		Name string `path:"name" maxLength:"64" doc:"Of the backup"`
	}
	Register(s, op("get-backup", http.MethodGet, "/backups/{name}", "One backup", http.StatusOK, 404, 422), identity.ScopeSystem,
		func(ctx context.Context, in *named) (*Body[backup.Summary], error) {
			if err := cityOnly(ctx); err != nil {
				return nil, err
			}
			sum, err := b.Get(in.Name)
			return Reply(sum), backupProblem(err)
		})
	Register(s, op("verify-backup", http.MethodPost, "/backups/{name}/verify", "Read every file of a backup and check it, in the background", http.StatusAccepted, 404, 409, 422), identity.ScopeSystem,
		func(ctx context.Context, in *named) (*Body[backup.Job], error) {
			if err := cityOnly(ctx); err != nil {
				return nil, err
			}
			AuditObject(ctx, "backup:"+clip(in.Name, 64), "", "")
			j, err := b.Verify(ctx, in.Name, Actor(ctx))
			return Reply(j), backupProblem(err)
		})
	Register(s, op("delete-backup", http.MethodDelete, "/backups/{name}", "Remove a backup and what no other one needs", http.StatusNoContent, 404, 409, 422), identity.ScopeSystem,
		func(ctx context.Context, in *named) (*Empty, error) {
			if err := cityOnly(ctx); err != nil {
				return nil, err
			}
			AuditObject(ctx, "backup:"+clip(in.Name, 64), "", "")
			return &Empty{}, backupProblem(b.Delete(ctx, in.Name, Actor(ctx)))
		})
}

// backupProblem says in HTTP's terms what keeps a backup from happening.
func backupProblem(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, backup.ErrBusy):
		return Problem(http.StatusConflict, "%s", err.Error())
	case errors.Is(err, backup.ErrNotFound), errors.Is(err, backup.ErrNoJob), errors.Is(err, backup.ErrNoRepository):
		return Problem(http.StatusNotFound, "%s", err.Error())
	case errors.Is(err, backup.ErrFull):
		return Problem(http.StatusInsufficientStorage, "%s", err.Error())
	}
	// What remains is about the folder, and for who keeps the machine.
	return Problem(http.StatusUnprocessableEntity, "%s", err.Error())
}
