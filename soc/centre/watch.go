package centre

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/netip"
	"slices"
	"sync/atomic"
	"time"

	"icewatch/collectors"
	"icewatch/detections"
	"icewatch/soc/audit"
	"icewatch/soc/enrich"
	"icewatch/soc/identity"
	"icewatch/soc/retention"
	"icewatch/soc/rhythm"
	"icewatch/soc/search/slow"
	"icewatch/soc/settings"
	"icewatch/soc/storage"
	"icewatch/soc/tenancy"
	"icewatch/soc/usage"
	"icewatch/soc/watch"
	"icewatch/ticketing"
)

// The names under which the centre holds alarms.
const (
	heldConditions = "conditions"
	heldIntake     = "intake"
	heldDisks      = "disks"
	heldCold       = "cold"
	heldQuotas     = "quotas"
	heldSilence    = "silence"
)

// watched is what the centre knows of the suite's own state, of its disks and
// of what its tenants bring.
type watched struct {
	ledger  *usage.Ledger  // what the tenants bring, by day
	gate    *usage.Gate    // before the bus
	senders *usage.Sources // who sends
	rhythm  *rhythm.Keeper // when who sends how much
	storage *storage.Keeper
	assets  atomic.Pointer[enrich.Index] // of the CMDB, as the intake knows it
	relays  []netip.Prefix
	slow    *slow.Log // searches that took long
	past    history   // of the intake

	watchLimits *settings.Setting[watch.Limits]
	quota       *settings.Setting[usage.Quota] // of tenants without one of their own
	policy      *settings.Setting[storage.Policy]
	removal     *settings.Setting[tenancy.Rules]
}

// openWatch begins the watch over the suite itself, its disks and what its
// tenants bring.
func (c *centre) openWatch(ctx context.Context) (err error) {
	base := c.Config.Lake.Keeping()
	if c.watchLimits, err = settings.Declare(ctx, c.settings, "watch", identity.ScopeSystem, watch.DefaultLimits, watch.Limits.Check); err != nil {
		return err
	}
	if c.quota, err = settings.Declare(ctx, c.settings, "quota", identity.ScopeSystem, usage.NoQuota, usage.Quota.Check); err != nil {
		return err
	}
	if c.removal, err = settings.Declare(ctx, c.settings, "tenants", identity.ScopeSystem, tenancy.DefaultRules, tenancy.Rules.Check); err != nil {
		return err
	}
	inForce, _ := json.Marshal(storage.DefaultPolicy.Keeping(base))
	c.policy, err = settings.Declare(ctx, c.settings, "storage", identity.ScopeSystem, storage.DefaultPolicy, func(p storage.Policy) error { return p.Check(base) },
		func(p storage.Policy) {
			// Only what the engine's stores keep needs it to start anew.
			if next, _ := json.Marshal(p.Keeping(base)); string(next) != string(inForce) && c.super != nil {
				inForce = next
				c.super.Restart()
			}
		})
	if err != nil {
		return err
	}
	inForce, _ = json.Marshal(c.policy.Get().Keeping(base))
	if c.watch, err = watch.Open(ctx, c.db, c.tickets, c.log); err != nil {
		return err
	}
	c.background(c.watch.Run)
	c.slow, err = slow.Open(ctx, c.db, func() time.Duration { return time.Duration(c.watchLimits.Get().SlowSearchMS) * time.Millisecond }, c.log)
	if err != nil {
		return err
	}
	c.background(c.slow.Run)
	if c.ledger, err = usage.Open(ctx, c.db, c.quota.Get); err != nil {
		return err
	}
	if c.senders, err = usage.OpenSources(ctx, c.db, c.ownerOf); err != nil {
		return err
	}
	if c.rhythm, err = rhythm.Open(ctx, c.db, c.ledger.Zone()); err != nil {
		return err
	}
	c.storage, err = storage.Open(ctx, c.db, storage.Deps{Data: c.Config.Data, Cold: c.Config.Lake.ColdDir, Reserve: int64(c.Config.Bus.MinFree), Base: base, Policy: c.policy.Get,
		Restart: func() { c.super.Restart() }, Log: c.log})
	return err
}

// keeping is the retention in force.
func (c *centre) keeping() *retention.Policy { return c.storage.Keeping() }

// openGate puts the quotas before the bus, and begins to count.
func (c *centre) openGate(ctx context.Context) (err error) {
	for _, t := range c.tenants.List() {
		if err := c.keeping().Allows(t.Slug, t.Retention); err != nil {
			c.log.Error("tenants: the retention class cannot be; the events go to another", "tenant", t.Slug, "error", err)
		}
	}
	if c.gate, err = usage.NewGate(ctx, c.publisher, c.ledger, c.senders, c.log); err != nil {
		return err
	}
	c.later(func() error {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		c.count(ctx)
		return errors.Join(c.senders.Save(ctx), c.rhythm.Save(ctx))
	})
	c.gauge.more = func(w io.Writer) {
		c.figures(w)
		c.keeper.figures(w)
	}
	c.background(c.keepCount)
	c.background(c.keepWatch)
	c.background(c.keepDisks)
	if c.Config.Lake.ColdDir != "" {
		c.background(c.coolDays)
	}
	return nil
}

// ownerOf tells whose the device at an address is. A relay speaks for others.
func (c *centre) ownerOf(zone string, peer netip.Addr) (tenant, item, name string) {
	x := c.assets.Load()
	peer = peer.Unmap().WithZone("")
	if x == nil || !peer.IsValid() || slices.ContainsFunc(c.relays, func(p netip.Prefix) bool { return p.Contains(peer) }) {
		return "", "", ""
	}
	tenant, _ = x.Tenant(zone, peer, "")
	if it, ok := x.At(zone, peer); ok {
		item, name = it.ID, it.Name
	}
	return tenant, item, name
}

// count takes over what both ends counted.
func (c *centre) count(ctx context.Context) {
	if st, err := c.gauge.status(ctx); err == nil {
		c.gate.Count(st.Usage)
		if err := c.ledger.Take(ctx, st.Usage); err != nil && ctx.Err() == nil {
			c.log.Error("usage: not kept yet", "error", err)
		}
	}
	if err := c.gate.Save(ctx); err != nil && ctx.Err() == nil {
		c.log.Error("usage: not kept yet", "error", err)
	}
}

// keepCount counts every second, so that a quota holds for what is found to be
// a tenant's only by the engine, too.
func (c *centre) keepCount(ctx context.Context) {
	every(ctx, time.Second, func(n int) {
		if st, err := c.gauge.status(ctx); err == nil {
			c.gate.Count(st.Usage)
		}
		if n%5 == 4 {
			c.count(ctx)
		}
		if n%10 == 9 {
			c.senders.Tick(time.Now())
		}
		if n%60 == 0 {
			c.past.add(c.way(ctx))
		}
		if n%300 == 299 {
			if err := c.rhythm.Save(ctx); err != nil && ctx.Err() == nil {
				c.log.Error("rhythm: what was learnt is not kept yet", "error", err)
			}
		}
		if n%60 == 59 {
			if err := c.senders.Save(ctx); err != nil && ctx.Err() == nil {
				c.log.Error("usage: the sources are not kept yet", "error", err)
			}
		}
		if n%3600 == 60 {
			if err := c.ledger.Trim(ctx, time.Now()); err != nil && ctx.Err() == nil {
				c.log.Error("usage: old days are kept on", "error", err)
			}
		}
	})
}

// every calls f at once and then at the interval, until ctx ends.
func every(ctx context.Context, interval time.Duration, f func(n int)) {
	t := time.NewTicker(interval)
	defer t.Stop()
	for n := 0; ; n++ {
		f(n)
		select {
		case <-t.C:
		case <-ctx.Done():
			return
		}
	}
}

// keepWatch makes alarms of what is wrong.
func (c *centre) keepWatch(ctx context.Context) {
	var judge watch.Judge
	last := time.Now()
	every(ctx, 2*time.Second, func(n int) {
		list := []watch.Alarm{}
		for _, x := range c.conditions(ctx) {
			list = append(list, watch.Alarm{Kind: x.Kind, Key: x.Kind + "/" + x.Key, Severity: detections.Level(x.Severity), Detail: detections.Text(x.Text)})
		}
		if ctx.Err() != nil {
			return
		}
		c.watch.Hold(ctx, heldConditions, list)
		limits := c.watchLimits.Get()
		now := time.Now()
		o := c.gauge.observe(ctx)
		o.At, o.Jump = now, now.Round(0).Sub(last.Round(0))-now.Sub(last)
		o.Capacity = uint64(c.Config.Bus.MaxSize)
		o.Drops = c.drops(ctx)
		last = now
		c.watch.Hold(ctx, heldIntake, judge.Alarms(o, limits))
		c.watch.Hold(ctx, heldQuotas, usage.QuotaAlarms(c.gate.Standings()))
		// What is not worked yet may be what seems to be missing.
		if n%5 == 0 && !o.Silent && o.Lag < rhythmLag {
			c.beat(ctx, now, time.Duration(limits.SilenceMinutes)*time.Minute)
		}
	})
}

// rhythmLag is how far the engine may be behind intake for what it counted to be
// all that came.
const rhythmLag = 20 * time.Second

// beat learns from what the engine counted, and alarms about sources that do not
// keep to their rhythm.
func (c *centre) beat(ctx context.Context, now time.Time, least time.Duration) {
	since, slot := c.rhythm.From()
	counts, err := c.gauge.engine.Beats(ctx, since, slot)
	if err != nil {
		return // Nothing is learnt of this while, and nothing is missed.
	}
	c.rhythm.Take(counts, now.Add(-rhythmLag), least)
	c.watch.Hold(ctx, heldSilence, c.rhythm.Alarms(now))
}

// drops counts what was lost, by reason.
func (c *centre) drops(ctx context.Context) map[string]uint64 {
	out := c.gauge.drops(ctx)
	out["quota"], _ = c.gate.Lost()
	return out
}

// clearedFor is how long the alarm stands that data was cleared before its time.
const clearedFor = 24 * time.Hour

// keepDisks measures the disks, alarms about them, and clears the oldest data
// where the policy says so.
func (c *centre) keepDisks(ctx context.Context) {
	var measured, cleared time.Time
	every(ctx, 10*time.Second, func(int) {
		if time.Since(measured) >= storage.SampleEvery {
			if err := c.storage.Measure(ctx); err != nil && ctx.Err() == nil {
				c.log.Error("storage: not measured", "error", err)
			}
			measured = time.Now()
		}
		list, err := c.storage.Alarms()
		if err != nil {
			c.log.Error("storage: the disks cannot be seen", "error", err)
			return
		}
		plan, err := c.storage.Plan()
		if err != nil {
			c.log.Error("storage: nothing can be planned", "error", err)
			return
		}
		switch {
		case len(plan.Clear) > 0 && time.Since(cleared) > time.Minute:
			cleared = time.Now()
			c.clear(ctx, plan)
		case plan.Target > 0 && len(plan.Clear) == 0:
			list = append(list, watch.Alarm{Kind: "storage-stuck", Detail: detections.Text{
				ZH: fmt.Sprintf("数据湖所在磁盘剩余 %d MiB，低于清理阈值，但没有可清理的分区（%d 个分区受保护）", plan.Free>>20, len(plan.Refused)),
				EN: fmt.Sprintf("%d MiB are free on the lake's disk, less than the clearing threshold, but none of the %d days may be cleared", plan.Free>>20, len(plan.Refused))}})
		}
		c.watch.Hold(ctx, heldDisks, list)
		for _, a := range c.watch.Active() {
			if a.Kind == "storage-cleared" && time.Since(a.LastSeen) > clearedFor {
				c.watch.Clear(a.Key)
			}
		}
	})
}

// coolDays moves old days to the cold folder, some minutes after the start, then
// every hour and when it is asked for.
func (c *centre) coolDays(ctx context.Context) {
	wait := 5 * time.Minute
	for {
		select {
		case <-time.After(wait):
		case <-c.storage.Asked():
		case <-ctx.Done():
			return
		}
		wait = time.Hour
		moved, err := c.storage.Cool(ctx)
		if ctx.Err() != nil {
			return
		}
		var alarms []watch.Alarm
		if err != nil {
			c.log.Error("storage: old days do not go to the cold folder", "error", err)
			alarms = append(alarms, watch.Alarm{Kind: "cold-stuck", Detail: detections.Text{ZH: "旧日志未能迁移到冷存储：" + err.Error(), EN: "Old days do not go to the cold storage: " + err.Error()}})
		}
		c.watch.Hold(ctx, heldCold, alarms)
		if len(moved) == 0 {
			continue
		}
		rec := audit.Record{Kind: audit.KindSystem, Actor: ticketing.SystemActor, Action: "cool-storage", Object: "lake", Result: audit.OK}
		for _, p := range moved {
			rec.Detail += " " + p.Class + "/" + p.Day
		}
		if err := c.audit.Append(ctx, rec); err != nil {
			c.log.Error("storage: the move is not in the audit log", "moved", rec.Detail, "error", err)
		}
	}
}

// clear carries a plan out, and says so in the audit log and by an alarm.
func (c *centre) clear(ctx context.Context, plan storage.Plan) {
	gone, err := c.storage.Clear(ctx, plan.Clear)
	rec := audit.Record{Kind: audit.KindSystem, Actor: ticketing.SystemActor, Action: "clear-storage", Object: "lake", Result: audit.OK,
		Detail: fmt.Sprintf("%d MiB were free, less than the clearing threshold; cleared:", plan.Free>>20)}
	bytes := int64(0)
	for _, p := range gone {
		bytes += p.Bytes
		rec.Detail += " " + p.Class + "/" + p.Day
	}
	if err != nil {
		rec.Result, rec.Detail = audit.Failed, rec.Detail+"; "+err.Error()
		c.log.Error("storage: not all that should go was cleared", "error", err)
	}
	if err := c.audit.Append(ctx, rec); err != nil {
		c.log.Error("storage: the clearing is not in the audit log", "cleared", rec.Detail, "error", err)
	}
	if len(gone) == 0 {
		return
	}
	c.watch.Raise(ctx, watch.Alarm{Kind: "storage-cleared", Fields: map[string]string{"partitions": fmt.Sprint(len(gone)), "bytes": fmt.Sprint(bytes)}, Detail: detections.Text{
		ZH: fmt.Sprintf("存储策略清理了 %d 个分区（%s/%s 起，共 %d MiB）", len(gone), gone[0].Class, gone[0].Day, bytes>>20),
		EN: fmt.Sprintf("The storage policy cleared %d days (from %s/%s on, %d MiB)", len(gone), gone[0].Class, gone[0].Day, bytes>>20)}})
}

// observe tells how the way of events stands.
func (g *gauge) observe(ctx context.Context) watch.Observation {
	st, err := g.status(ctx)
	g.mu.Lock()
	raw := g.raw
	g.mu.Unlock()
	o := watch.Observation{Silent: err != nil, Restarts: g.restarts(), Failing: map[string]string{}}
	if err == nil && raw.Messages > 0 && raw.Last > st.LastBatch {
		waiting := min(raw.Last-st.LastBatch, raw.Messages)
		o.Held = uint64(float64(raw.Bytes) * float64(waiting) / float64(raw.Messages))
		o.Lag = g.lag(st)
	} else if err != nil {
		o.Held = raw.Bytes
	}
	for _, x := range g.ways() {
		if x.State == collectors.StateError {
			o.Failing[x.ID] = x.Error
		}
	}
	return o
}

// drops counts by reason what was lost between sender and lake.
func (g *gauge) drops(ctx context.Context) map[string]uint64 {
	out := map[string]uint64{}
	for _, x := range g.ways() {
		if x.Kind == "syslog_udp" || x.Kind == "flow" {
			out[watch.UDP] += x.Dropped
		} else {
			out["stopped"] += x.Dropped
		}
	}
	st, err := g.status(ctx)
	if err == nil {
		g.mu.Lock()
		g.lost = map[string]uint64{"unstored": st.Unstored, "damaged_batch": st.BadBatches, "lake": st.Lake.Dropped}
		g.mu.Unlock()
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	maps.Copy(out, g.lost) // as last known, while the engine does not answer
	return out
}
