package centre

import (
	"context"
	"fmt"
	"time"

	"icewatch/soc/api"
	"icewatch/soc/identity"
	"icewatch/soc/preferences"
	"icewatch/soc/settings"
	"icewatch/ticketing"
	"icewatch/ticketing/disposal"
	"icewatch/ticketing/transition"
	"icewatch/ticketing/workorder"
)

// dispatch is what hands alerts and incidents on.
type dispatch struct {
	api.Dispatch
	moves   *settings.Setting[transition.Table]
	archive *settings.Setting[archiving]
}

// archiving is the setting by which incidents go into the archive.
type archiving struct {
	AfterDays int `json:"after_days"` // since they were closed; 0 for never
}

func (a archiving) check() error {
	if a.AfterDays < 0 || a.AfterDays > 3650 {
		return fmt.Errorf("after_days: %d, want 0 for never, or 1 to 3650", a.AfterDays)
	}
	return nil
}

// mayMove asks the table of transitions for whoever acts in ctx; ticketing asks
// it, which opens before the API.
func (c *centre) mayMove(ctx context.Context, of, from, to string) error {
	if api.PrincipalFrom(ctx) == nil {
		return nil
	}
	return c.server.MayMove(ctx, c.dispatch.moves.Get(), of, from, to)
}

// openDispatch opens work orders and disposal rules, after ticketing and duty.
func (c *centre) openDispatch(ctx context.Context) (err error) {
	d := &c.dispatch
	if d.moves, err = settings.Declare(ctx, c.settings, "transitions", identity.ScopeSecurity, transition.Default(), transition.Table.Check); err != nil {
		return err
	}
	if d.archive, err = settings.Declare(ctx, c.settings, "incident-archive", identity.ScopeConfigure, archiving{AfterDays: 90}, archiving.check); err != nil {
		return err
	}
	d.Moves = d.moves.Get
	if d.Preferences, err = preferences.Open(ctx, c.db); err != nil {
		return err
	}
	desk := ticketing.Desk{Service: c.tickets}
	if d.Orders, err = workorder.Open(ctx, c.db, workorder.Deps{Tickets: orderTickets{desk, c}, Ends: ofFindings, Seal: c.seal, Egress: c.egress, Log: c.log}); err != nil {
		return err
	}
	d.Rules, err = disposal.Open(ctx, c.db, disposal.Deps{Tickets: desk, Log: c.log, Owner: c.ownerUser, OnDuty: c.onDuty, Notice: c.draftWarning,
		WorkOrder: func(ctx context.Context, connection, object, rule string) error {
			return d.Orders.MakeOnce(ctx, "disposal-rule", connection, object, rule)
		}})
	if err != nil {
		return err
	}
	if err := c.openNotices(ctx); err != nil {
		return err
	}
	c.background(d.Rules.Run)
	c.background(c.archiveIncidents)
	return nil
}

// ownerUser finds the user whom an owner of the CMDB means: by his user name, or
// by the name he is shown under where he alone has it.
func (c *centre) ownerUser(ctx context.Context, owner string) string {
	if u, err := c.identity.UserByName(ctx, owner); err == nil && !u.Disabled {
		return u.Username
	}
	enabled := false
	page, err := c.identity.Users(ctx, identity.UserQuery{Query: owner, Disabled: &enabled, Limit: 1000})
	if err != nil {
		return ""
	}
	found := ""
	for _, u := range page.Items {
		if u.DisplayName != owner {
			continue
		}
		if found != "" {
			return "" // two of one name
		}
		found = u.Username
	}
	return found
}

// onDuty is who is on duty in a team.
func (c *centre) onDuty(team string, at time.Time) string {
	roster := c.duty.Roster()
	t, ok := roster.Team(team)
	if !ok {
		return ""
	}
	for i := range t.Lines {
		if on := roster.On(t, &t.Lines[i], at); len(on.People) > 0 {
			return on.People[0]
		}
	}
	return t.Head
}

// archiveIncidents archives what has been closed for long, every hour.
func (c *centre) archiveIncidents(ctx context.Context) {
	tick := time.NewTicker(time.Hour)
	defer tick.Stop()
	for {
		if days := c.dispatch.archive.Get().AfterDays; days > 0 {
			n, err := c.tickets.ArchiveClosed(ctx, time.Now().AddDate(0, 0, -days))
			switch {
			case err != nil && ctx.Err() == nil:
				c.log.Error("incidents are not archived", "error", err)
			case n > 0:
				c.log.Info("incidents archived", "incidents", n)
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}
