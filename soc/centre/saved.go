package centre

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"path/filepath"
	"strings"

	"icewatch/detections"
	"icewatch/soc/audit"
	"icewatch/soc/export"
	"icewatch/soc/identity"
	"icewatch/soc/lake"
	"icewatch/soc/saved"
	"icewatch/soc/saved/monitor"
	"icewatch/soc/settings"
	"icewatch/soc/watch"
)

// openSaved opens what people keep of their searches, and the exports.
func (c *centre) openSaved(ctx context.Context) (err error) {
	c.saved, err = saved.Open(ctx, c.db, saved.Checks{
		Query:  func(query string) error { _, err := lake.ShapeOf(query); return err },
		Filter: lake.CheckFilter,
		Tenant: func(slug string) bool { _, ok := c.tenants.Get(slug); return ok },
		Role:   func(id string) bool { _, err := c.identity.Access().Role(id); return err == nil },
		Unit:   func(id string) bool { _, ok := c.units.Tree().Get(id); return ok },
		User: func(ctx context.Context, idOrName string) (string, bool) {
			u, err := c.identity.User(ctx, idOrName)
			if err != nil {
				u, err = c.identity.UserByName(ctx, idOrName)
			}
			return u.ID, err == nil
		},
	}, c.log)
	if err != nil {
		return err
	}
	c.background(c.saved.Run)
	limits, err := settings.Declare(ctx, c.settings, "exports", identity.ScopeSystem, export.DefaultLimits, export.Limits.Check)
	if err != nil {
		return err
	}
	c.exports, err = export.Open(ctx, c.db, export.Deps{Search: c.engine, Limits: limits.Get, MinFree: int64(c.Config.Bus.MinFree),
		Dir: filepath.Join(c.Config.Data, "exports"), Log: c.log, Finished: c.exported, Shape: shapeOf,
		Gone: func(ctx context.Context, owner string) (bool, error) {
			_, err := c.identity.User(ctx, owner)
			if errors.Is(err, identity.ErrNotFound) {
				return owner != identity.Local().UserID, nil
			}
			return false, err
		}})
	if err != nil {
		return err
	}
	return c.openMonitors(ctx)
}

// bySchedule stands for the user where slow searches are noted.
func bySchedule(context.Context) string { return "(schedule)" }

// openMonitors opens the scheduled searches.
func (c *centre) openMonitors(ctx context.Context) (err error) {
	c.monitors, err = monitor.Open(ctx, c.db, monitor.Deps{Search: c.slow.Watch(c.engine, bySchedule), Shape: shapeOf, Searches: c.saved, Export: c.exports.Create, Log: c.log,
		Raise: func(ctx context.Context, o detections.Occurrence) error {
			data, err := json.Marshal([]detections.Occurrence{o})
			if err != nil {
				return fmt.Errorf("centre: raise an occurrence: %w", err)
			}
			return c.client.PublishOccurrences(ctx, data)
		},
		Receiver: c.tickets.HasReceiver,
		Tell: func(ctx context.Context, receiver, tenant, unique string, body []byte) error {
			return c.tickets.TellReceiver(ctx, receiver, tenant, "export", unique, body)
		},
		Alarm: func(ctx context.Context, a monitor.Alarm) {
			c.watch.Raise(ctx, watch.Alarm{Kind: "search-failed", Key: a.Key, Detail: a.Detail})
		},
		Clear: c.watch.Clear,
		Link: func(page, id string) string {
			return strings.TrimRight(c.Config.HTTP.ExternalURL, "/") + "/" + page + "/" + url.PathEscape(id)
		}})
	return err
}

func shapeOf(query string) (export.Shape, error) {
	shape, err := lake.ShapeOf(query)
	return export.Shape{Pipes: shape.Pipes, Slices: shape.Slices}, err
}

// runSaved runs exports and scheduled searches once it is known who may read
// what.
func (c *centre) runSaved(context.Context) error {
	c.background(func(ctx context.Context) { c.exports.Run(ctx, c.server.ReachAs) })
	c.background(func(ctx context.Context) { c.monitors.Run(ctx, c.server.ReachAs) })
	return nil
}

// exported writes into the audit log how an export ended: who took how much of
// what out of the suite.
func (c *centre) exported(ctx context.Context, j export.Job) {
	result := map[string]string{export.Done: audit.OK}[j.State]
	if result == "" {
		result = audit.Failed
	}
	detail := fmt.Sprintf("%s, %d rows, %d bytes, format %s, from %s to %s, query %.600q", j.State, j.Rows, j.Bytes, j.Format,
		j.Start.Format("2006-01-02T15:04:05Z"), j.End.Format("2006-01-02T15:04:05Z"), j.Query)
	if j.Error != "" {
		detail += ": " + j.Error
	}
	err := c.audit.Append(ctx, audit.Record{Time: *j.FinishedAt, Kind: audit.KindRead, Actor: j.Owner.Name, Action: "run-export", Object: "export:" + j.ID, Result: result,
		Tenant: j.Tenant, Detail: detail})
	if err != nil {
		c.log.Error("an export is not in the audit log", "export", j.ID, "owner", j.Owner.Name, "rows", j.Rows, "error", err)
	}
	c.monitors.Exported(ctx, j, func() (io.ReadCloser, error) {
		_, f, err := c.exports.File(ctx, j.Owner.ID, j.ID)
		return f, err
	})
}
