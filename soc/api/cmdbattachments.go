package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/danielgtaylor/huma/v2"

	shelf "icewatch/cmdb/attachment"
	"icewatch/soc/identity"
)

// Attachments is what the API asks of the shelf of items' files.
type Attachments interface {
	Add(ctx context.Context, item, actor, name string, data []byte) (shelf.File, error)
	List(ctx context.Context, item string) ([]shelf.File, error)
	Read(ctx context.Context, item string, id int64) (shelf.File, []byte, error)
	Remove(ctx context.Context, item, actor string, id int64) (shelf.File, error)
	Restore(ctx context.Context, item string, id int64) (shelf.File, error)
}

func attachmentProblem(err error) error {
	for of, status := range map[error]int{shelf.ErrNotFound: http.StatusNotFound, shelf.ErrInvalid: http.StatusUnprocessableEntity, shelf.ErrFull: http.StatusInsufficientStorage} {
		if errors.Is(err, of) {
			return Problem(status, "%s", err.Error())
		}
	}
	return nil
}

// cmdbAttachmentRoutes registers the files of items. Who may see an item may
// see its files.
func (s *Server) cmdbAttachmentRoutes() {
	files := s.deps.Attachments
	if files == nil {
		return
	}
	type OfItem struct {
		ID string `path:"id" maxLength:"256"`
	}
	type OneFile struct {
		OfItem
		File string `path:"file" maxLength:"64" doc:"A number"`
	}
	// item sees that the caller may see the item.
	item := func(ctx context.Context, in *OfItem, detail string) error {
		AuditObject(ctx, "cmdb "+clip(in.ID, 128), "", detail)
		c, within, err := s.cmdbFor(ctx)
		if err == nil {
			_, err = c.Get(ctx, within, in.ID)
		}
		return err
	}
	file := func(ctx context.Context, in *OneFile) (int64, error) {
		if err := item(ctx, &in.OfItem, "attachment "+clip(in.File, 64)); err != nil {
			return 0, err
		}
		id, err := strconv.ParseInt(in.File, 10, 64)
		if err != nil {
			return 0, ErrNotFound
		}
		return id, nil
	}
	Register(s, cmdbOperation("list-cmdb-attachments", http.MethodGet, "/items/{id}/attachments", "The files of an item, those too that were removed within thirty days", 404), identity.ScopeRead,
		func(ctx context.Context, in *OfItem) (*Body[Page[shelf.File]], error) {
			if err := item(ctx, in, ""); err != nil {
				return nil, err
			}
			list, err := files.List(ctx, in.ID)
			return Reply(PageOf(list, len(list), "")), err
		})
	add := cmdbOperation("add-cmdb-attachment", http.MethodPost, "/items/{id}/attachments", "Attach a file to an item: a document, picture, text or archive of at most 20 MiB", 404, 413, 422, 507)
	add.MaxBodyBytes, add.BodyReadTimeout, add.DefaultStatus = shelf.MaxFile+1, 2*time.Minute, http.StatusCreated
	Register(s, add, identity.ScopeConfigure,
		func(ctx context.Context, in *struct {
			OfItem
			Name    string `query:"name" maxLength:"1024" doc:"Name of the file, with its ending"`
			RawBody []byte `contentType:"application/octet-stream"`
		}) (*Body[shelf.File], error) {
			if err := item(ctx, &in.OfItem, "attached "+clip(in.Name, 200)); err != nil {
				return nil, err
			}
			f, err := files.Add(ctx, in.ID, Actor(ctx), in.Name, in.RawBody)
			return Reply(f), err
		})
	read := cmdbOperation("get-cmdb-attachment", http.MethodGet, "/items/{id}/attachments/{file}", "A file of an item", 404)
	read.Responses = binary("application/octet-stream")
	Register(s, read, identity.ScopeRead,
		func(ctx context.Context, in *OneFile) (*huma.StreamResponse, error) {
			id, err := file(ctx, in)
			if err != nil {
				return nil, err
			}
			f, data, err := files.Read(ctx, in.ID, id)
			if err != nil {
				return nil, err
			}
			out := namedFile(f.Type, f.Name, data)
			send := out.Body
			out.Body = func(hc huma.Context) {
				// Whatever it holds runs nowhere.
				hc.SetHeader("Content-Security-Policy", "sandbox; default-src 'none'")
				send(hc)
			}
			return out, nil
		})
	Register(s, cmdbOperation("remove-cmdb-attachment", http.MethodDelete, "/items/{id}/attachments/{file}", "Remove a file of an item; it can be brought back for thirty days", 404), identity.ScopeConfigure,
		func(ctx context.Context, in *OneFile) (*Body[shelf.File], error) {
			id, err := file(ctx, in)
			if err != nil {
				return nil, err
			}
			f, err := files.Remove(ctx, in.ID, Actor(ctx), id)
			AuditObject(ctx, "cmdb "+clip(in.ID, 128), "", fmt.Sprintf("removed attachment %d %s", f.ID, f.Name))
			return Reply(f), err
		})
	Register(s, cmdbOperation("restore-cmdb-attachment", http.MethodPost, "/items/{id}/attachments/{file}/restore", "Bring a removed file of an item back", 404, 507), identity.ScopeConfigure,
		func(ctx context.Context, in *OneFile) (*Body[shelf.File], error) {
			id, err := file(ctx, in)
			if err != nil {
				return nil, err
			}
			f, err := files.Restore(ctx, in.ID, id)
			return Reply(f), err
		})
}
