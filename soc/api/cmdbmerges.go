package api

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"icewatch/cmdb"
	"icewatch/soc/identity"
)

// cmdbMergeRoutes registers items that are made one, and what takes that back.
func (s *Server) cmdbMergeRoutes() {
	Register(s, cmdbOperation("list-cmdb-merges", http.MethodGet, "/merges", "Items that were made one, the newest first: those whose item that stayed is within reach", 400), identity.ScopeRead,
		func(ctx context.Context, in *struct {
			PageInput
			Item string `query:"item" maxLength:"128" doc:"Id of one of the two items"`
		}) (*Body[Page[cmdb.Merge]], error) {
			c, within, err := s.cmdbFor(ctx)
			if err != nil {
				return nil, err
			}
			ms, err := offsetOf(in.Cursor)
			if err != nil {
				return nil, err
			}
			before := time.Time{}
			if ms > 0 {
				before = time.UnixMilli(int64(ms))
			}
			list, err := c.Merges(ctx, within, in.Item, before, in.Limit)
			next := ""
			if len(list) == in.Limit && len(list) > 0 {
				next = strconv.FormatInt(list[len(list)-1].Time.UnixMilli(), 10)
			}
			return Reply(PageOf(list, len(list), next)), err
		})
	Register(s, cmdbOperation("merge-cmdb-items", http.MethodPost, "/merges", "Make one of two items of a tenant: the one that stays gets what it does not have and what is of a better source, the addresses, names, labels and relations of the other; what referred to that one refers to it", 404, 409, 413, 422), identity.ScopeConfigure,
		func(ctx context.Context, in *struct {
			Body struct {
				Keep   string            `json:"keep" minLength:"1" maxLength:"128" doc:"Id of the item that stays"`
				Gone   string            `json:"gone" minLength:"1" maxLength:"128" doc:"Id of the one that goes"`
				Choose map[string]string `json:"choose,omitempty" doc:"Field → keep or gone, where another value is wanted than that of the better source"`
				Reason string            `json:"reason,omitempty" maxLength:"500"`
				DryRun bool              `json:"dry_run,omitempty" doc:"Say what would come of it, and change nothing"`
			}
		}) (*Body[cmdb.Merge], error) {
			c, within, err := s.cmdbFor(ctx)
			if err != nil {
				return nil, err
			}
			what := "merged with it: "
			if in.Body.DryRun {
				what = "a trial of a merge with "
			}
			AuditObject(ctx, "cmdb "+in.Body.Keep, "", what+in.Body.Gone)
			m, err := c.MergeItems(ctx, in.Body.Keep, in.Body.Gone, cmdb.MergeOptions{Within: within, Actor: Actor(ctx), Reason: in.Body.Reason, Choose: in.Body.Choose, DryRun: in.Body.DryRun})
			if err == nil {
				AuditObject(ctx, "cmdb "+in.Body.Keep, m.Tenant, what+in.Body.Gone)
			}
			if err == nil && !in.Body.DryRun && s.deps.Surface != nil {
				err = s.deps.Surface.Moved(ctx, Actor(ctx), m.Tenant, m.Gone.ID, m.Keep.ID)
			}
			return Reply(m), err
		})
	Register(s, cmdbOperation("undo-cmdb-merge", http.MethodPost, "/merges/{id}/undo", "Take a merge back: both items, what referred to them and their relations are what they were. Where a person changed since what the merge had changed, nothing is taken back", 404, 409, 422), identity.ScopeConfigure,
		func(ctx context.Context, in *struct {
			ID string `path:"id" maxLength:"64"`
		}) (*Body[cmdb.Merge], error) {
			c, within, err := s.cmdbFor(ctx)
			if err != nil {
				return nil, err
			}
			AuditObject(ctx, "cmdb merge "+in.ID, "", "")
			m, err := c.UndoMerge(ctx, within, Actor(ctx), in.ID)
			if err == nil {
				AuditObject(ctx, "cmdb merge "+in.ID, m.Tenant, fmt.Sprintf("undo: %s and %s are two again", m.Keep.ID, m.Gone.ID))
			}
			if err == nil && s.deps.Surface != nil {
				err = s.deps.Surface.Parted(ctx, &m)
			}
			return Reply(m), err
		})
}
