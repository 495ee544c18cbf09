package centre

import (
	"cmp"
	"context"
	"errors"
	"fmt"

	"github.com/uptrace/bun"

	"icewatch/detections"
	"icewatch/soc/identity"
	"icewatch/soc/reach"
	"icewatch/soc/settings"
	"icewatch/ticketing"
	"icewatch/ticketing/daily"
	"icewatch/ticketing/notice"
	"icewatch/ticketing/transition"
	"icewatch/ticketing/workorder"
)

// openNotices opens notices and daily reports.
func (c *centre) openNotices(ctx context.Context) (err error) {
	d, desk := &c.dispatch, ticketing.Desk{Service: c.tickets}
	d.Notices, err = notice.Open(ctx, c.db, notice.Deps{
		May:  func(ctx context.Context, from, to string) error { return c.mayMove(ctx, transition.Notice, from, to) },
		Move: func(from, to string) (transition.Move, bool) { return d.moves.Get().Find(transition.Notice, from, to) },
		Tell: func(ctx context.Context, tx bun.Tx, n *notice.Notice, tenant, only string) (int, error) {
			return desk.Announce(ctx, tx, only, ticketing.Announcement{ID: n.ID, Kind: "notice", Tenant: tenant, Title: n.Name, Text: n.Plain(), Severity: n.Level, Path: "/notices/" + n.ID})
		},
		Told: c.tickets.Woken,
		Belongs: func(slug string) (unit, industry notice.RankedGroup) {
			t, _ := c.tenants.Get(slug)
			tree := c.units.Tree()
			if u, ok := tree.Get(t.Unit); ok {
				unit = notice.RankedGroup{ID: u.ID, Name: detections.Text(u.Name)}
			}
			name := cmp.Or(t.Industry, tree.Industry(t.Unit))
			return unit, notice.RankedGroup{ID: name, Name: detections.Text{ZH: name, EN: name}}
		}})
	if err != nil {
		return err
	}
	plans, err := settings.Declare(ctx, c.settings, "daily-report", identity.ScopeConfigure, daily.Default(), daily.Plans.Check)
	if err != nil {
		return err
	}
	d.Daily, err = daily.Open(ctx, c.db, daily.Deps{Tickets: c.tickets, Plans: plans.Get, Log: c.log, Told: c.tickets.Woken,
		Reach: func(tenants []string) (reach.Reach, error) {
			if len(tenants) == 0 {
				return reach.All(), nil
			}
			return c.reach.Reach(tenants)
		},
		Tell: func(ctx context.Context, tx bun.Tx, r *daily.Report, receiver string) error {
			tenant := ""
			if len(r.Tenants) == 1 {
				tenant = r.Tenants[0]
			}
			n, err := desk.Announce(ctx, tx, receiver, ticketing.Announcement{ID: r.ID, Kind: "report", Tenant: tenant, Title: r.Name + " " + r.Day, Text: r.Summary, Path: "/daily-reports", Attachment: daily.RefPrefix + r.ID})
			if err == nil && n == 0 {
				err = fmt.Errorf("the contact point %q is gone, switched off, or not told of the tenant %q", receiver, tenant)
			}
			return err
		}})
	if err != nil {
		return err
	}
	c.background(d.Daily.Run)
	return nil
}

// draftWarning drafts an early warning of an alert or incident, for a disposal
// rule.
func (c *centre) draftWarning(ctx context.Context, sub workorder.Subject, rule string) error {
	content := notice.Content{Kind: notice.Warning, Name: sub.Title, Level: sub.Severity, Tenants: []string{sub.Tenant}, Evidence: []notice.Proof{{Kind: sub.Kind, ID: sub.ID, Title: sub.Title}},
		Body: []notice.Block{{Type: "text", Runs: []notice.Run{{Text: sub.Description}}}}}
	if r := []rune(content.Name); len(r) > 200 {
		content.Name = string(r[:200])
	}
	content.Evidence[0].Title = content.Name
	_, err := c.dispatch.Notices.Make(ctx, notice.Who{Name: "disposal-rule", Reach: reach.All()}, rule+"\x00"+sub.ID, content)
	if errors.Is(err, notice.ErrConflict) {
		return nil // it is drafted already
	}
	return err
}
