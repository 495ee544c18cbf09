package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"icewatch/cmdb"
	"icewatch/cmdb/inbox"
	"icewatch/soc/identity"
	"icewatch/soc/reach"
)

// Inbox is what the API asks of the inbox of what is unknown to the CMDB.
type Inbox interface {
	Status() inbox.Status
	Look(ctx context.Context) error
	List(ctx context.Context, r reach.Reach, f inbox.Filter) ([]inbox.Candidate, int, error)
	Approve(ctx context.Context, r reach.Reach, actor string, ids []int64, m inbox.Making) (cmdb.Report, error)
	Ignore(ctx context.Context, r reach.Reach, actor string, ids []int64, days int, note string) error
	Reopen(ctx context.Context, r reach.Reach, actor string, ids []int64) error
	Preview(ctx context.Context, r reach.Reach, rule inbox.Rule, limit int) ([]inbox.Candidate, int, error)
}

// InboxInput narrows a list of candidates.
type InboxInput struct {
	State string `query:"state" enum:"waiting,ignored,approved," default:"waiting"`
	Q     string `query:"q" maxLength:"200" doc:"Part of the address or name"`
}

// maxInboxExport is how many candidates one file holds.
const maxInboxExport = 50_000

// cmdbInboxRoutes registers the inbox.
func (s *Server) cmdbInboxRoutes() {
	box := s.deps.Inbox
	if box == nil {
		return
	}
	type inboxPage struct {
		Page[inbox.Candidate]
		Status inbox.Status `json:"status"`
	}
	Register(s, cmdbOperation("list-cmdb-inbox", http.MethodGet, "/inbox", "Addresses and host names that were seen in events and are unknown to the CMDB, the latest first", 400), identity.ScopeRead,
		func(ctx context.Context, in *struct {
			PageInput
			InboxInput
		}) (*Body[inboxPage], error) {
			within, err := Reach(ctx, "")
			if err != nil {
				return nil, err
			}
			before, err := numberCursor(in.Cursor)
			if err != nil {
				return nil, err
			}
			list, total, err := box.List(ctx, within, inbox.Filter{State: in.State, Text: in.Q, Before: before, Limit: in.Limit})
			if err != nil {
				return nil, err
			}
			next := ""
			if len(list) == in.Limit {
				next = strconv.FormatInt(list[len(list)-1].ID, 10)
			}
			return Reply(inboxPage{PageOf(list, total, next), box.Status()}), nil
		})

	export := cmdbOperation("export-cmdb-inbox", http.MethodGet, "/inbox/export", "What is in the inbox, as a file")
	export.Responses = binary("text/csv", cmdbFileTypes[cmdb.XLSX])
	Register(s, export, identity.ScopeRead,
		func(ctx context.Context, in *struct {
			TableInput
			InboxInput
		}) (*huma.StreamResponse, error) {
			within, err := Reach(ctx, "")
			if err != nil {
				return nil, err
			}
			list, _, err := box.List(ctx, within, inbox.Filter{State: in.State, Text: in.Q, Limit: maxInboxExport})
			if err != nil {
				return nil, err
			}
			rows := make([][]any, len(list))
			for i, c := range list {
				ports := make([]string, len(c.Ports))
				for j, p := range c.Ports {
					ports[j] = strings.TrimSuffix(fmt.Sprintf("%d/%s", p.Port, p.Service), "/")
				}
				rows[i] = []any{c.Tenant, c.Zone, c.Kind, c.Value, c.Other, c.State, c.FirstSeen.Format(time.RFC3339), c.LastSeen.Format(time.RFC3339), c.Events,
					strings.Join(c.Sources, ";"), strings.Join(ports, ";"), c.DecidedBy, c.Note, c.ItemID}
			}
			return tableAnswer("cmdb-inbox", in.Format, []string{"tenant", "zone", "kind", "value", "seen_with", "state", "first_seen", "last_seen", "events", "sources", "ports", "decided_by", "note", "item"}, rows)
		})

	type Chosen struct {
		IDs []int64 `json:"ids" minItems:"1" maxItems:"1000"`
	}
	Register(s, cmdbOperation("approve-cmdb-inbox", http.MethodPost, "/inbox/approve", "Make items of candidates, all or none", 409, 422), identity.ScopeConfigure,
		func(ctx context.Context, in *struct {
			Body struct {
				Chosen
				inbox.Making
			}
		}) (*Body[cmdb.Report], error) {
			within, err := Reach(ctx, "")
			if err != nil {
				return nil, err
			}
			AuditObject(ctx, "cmdb inbox", "", fmt.Sprintf("%d candidates made items of class %s", len(in.Body.IDs), in.Body.Class))
			report, err := box.Approve(ctx, within, Actor(ctx), in.Body.IDs, in.Body.Making)
			if err == nil && len(report.Errors) > 0 {
				err = rowsProblem(report)
			}
			return Reply(report), err
		})
	Register(s, cmdbOperation("ignore-cmdb-inbox", http.MethodPost, "/inbox/ignore", "Set candidates aside, for some days or for ever", 422), identity.ScopeConfigure,
		func(ctx context.Context, in *struct {
			Body struct {
				Chosen
				Days int    `json:"days,omitempty" minimum:"0" maximum:"3650" doc:"0 is for ever"`
				Note string `json:"note,omitempty" maxLength:"500"`
			}
		}) (*Empty, error) {
			within, err := Reach(ctx, "")
			if err != nil {
				return nil, err
			}
			AuditObject(ctx, "cmdb inbox", "", fmt.Sprintf("%d candidates set aside for %d days: %s", len(in.Body.IDs), in.Body.Days, in.Body.Note))
			return nil, box.Ignore(ctx, within, Actor(ctx), in.Body.IDs, in.Body.Days, in.Body.Note)
		})
	Register(s, cmdbOperation("reopen-cmdb-inbox", http.MethodPost, "/inbox/reopen", "Let candidates wait again that were set aside", 422), identity.ScopeConfigure,
		func(ctx context.Context, in *struct{ Body Chosen }) (*Empty, error) {
			within, err := Reach(ctx, "")
			if err != nil {
				return nil, err
			}
			AuditObject(ctx, "cmdb inbox", "", fmt.Sprintf("%d candidates wait again", len(in.Body.IDs)))
			return nil, box.Reopen(ctx, within, Actor(ctx), in.Body.IDs)
		})
	Register(s, cmdbOperation("look-cmdb-inbox", http.MethodPost, "/inbox/look", "Look at events now, not only once a minute", 503), identity.ScopeConfigure,
		func(ctx context.Context, _ *Empty) (*Body[inbox.Status], error) {
			stateOf(ctx).skipAudit = true
			if err := box.Look(ctx); err != nil {
				return nil, err
			}
			return Reply(box.Status()), nil
		})
	Register(s, cmdbOperation("preview-cmdb-inbox-rule", http.MethodPost, "/inbox/preview", "The waiting candidates that a rule would approve", 422), identity.ScopeConfigure,
		func(ctx context.Context, in *struct{ Body inbox.Rule }) (*Body[Page[inbox.Candidate]], error) {
			within, err := Reach(ctx, "")
			if err != nil {
				return nil, err
			}
			stateOf(ctx).skipAudit = true
			list, total, err := box.Preview(ctx, within, in.Body, 100)
			return Reply(PageOf(list, total, "")), err
		})
}

func inboxProblem(err error) error {
	if errors.Is(err, inbox.ErrInvalid) {
		return Problem(http.StatusUnprocessableEntity, "%s", err.Error())
	}
	return nil
}
