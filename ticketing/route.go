package ticketing

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/alertmanager/pkg/labels"
	"github.com/uptrace/bun"

	"icewatch/detections"
	"icewatch/soc/reach"
	"icewatch/ticketing/outbox"
	"icewatch/ticketing/routing"
	"icewatch/ticketing/silence"
	"icewatch/ticketing/webhook"
)

// Routes send alerts to contact points, beside the receivers that are told of
// every incident. An alert goes through them when its incident is told of, and
// when it is raised: who is muted here is muted there (mute.go).

// routable are the labels that routes match: those of silences, and beside them
// what an alert is about as far as it is known. They change, so that no alert
// is told from others by them.
func (a *alert) routable() map[string]string {
	set := a.matchable()
	put := func(name, value string) {
		if _, there := set[name]; !there && value != "" {
			set[name] = clipLabel(value)
		}
	}
	put("severity", string(severityOf(a.Severity)))
	put("rule_id", a.RuleID)
	put("unit", a.Unit)
	put("region", a.Region)
	put("industry", a.Industry)
	put("owner", a.doc.Owner)
	put("attack", a.Attack)
	put("threat", a.Threat)
	put("direction", a.Direction)
	put("risk", a.doc.Risk.Class)
	put("verdict", string(verdictOf(a.Verdict)))
	put("user", a.doc.User)
	if a.doc.CI != nil {
		put("ci_class", a.doc.CI.Class)
		if a.doc.CI.Criticality > 0 {
			put("criticality", strconv.Itoa(a.doc.CI.Criticality))
		}
	}
	return set
}

// RoutingLabels are what routes match of an alert within reach, and the same as
// the reader may see them.
func (s *Service) RoutingLabels(ctx context.Context, within reach.Reach, id string) (matched, shown map[string]string, err error) {
	view, err := s.Alert(ctx, within, id)
	if err != nil {
		return nil, nil, err
	}
	list, err := readAlerts(ctx, s.db, []string{id})
	if err != nil {
		return nil, nil, err
	}
	if len(list) == 0 {
		return nil, nil, fmt.Errorf("alert %s: %w", id, ErrNotFound)
	}
	matched, shown = list[0].routable(), map[string]string{}
	for name, value := range matched {
		shown[name] = view.routed(name, value)
	}
	return matched, shown, nil
}

// routed is the value of a label that routes match, as the reader of the view
// may see it.
func (v *Alert) routed(name, value string) string {
	if shown, own := v.Labels[name]; own {
		return shown
	}
	if name == "user" {
		return v.User
	}
	return value
}

// Routed is an open alert and the routes that take it as it stands.
type Routed struct {
	Alert
	Routes []routing.Hit
}

// MatchRouted returns the open alerts in reach that the matchers accept, the last
// seen first, with the routes that take each: an alert without an incident is
// taken by direct ones alone.
func (s *Service) MatchRouted(ctx context.Context, within reach.Reach, matchers labels.Matchers) ([]Routed, error) {
	now, out := s.now(), []Routed{}
	var wrong error
	err := s.eachOpen(ctx, within, func(a *alert) bool {
		if !silence.Matches(matchers, a.matchable()) {
			return true
		}
		one := Routed{Alert: s.shown(a)}
		one.veiled(within.Veil())
		if s.routes != nil && !s.routes.Idle() {
			set := a.routable()
			if one.Routes, wrong = s.routes.Where(ctx, set, now, routing.ScopesOf(a.Tenant), nil); wrong != nil {
				return false
			}
			one.Routes = slices.DeleteFunc(one.Routes, func(h routing.Hit) bool { return a.IncidentID == "" && !h.Direct })
			for _, h := range one.Routes {
				for name, value := range h.GroupLabels {
					h.GroupLabels[name] = one.routed(name, value)
				}
			}
		}
		out = append(out, one)
		return true
	})
	return out, cmp.Or(err, wrong)
}

// routed remembers which alerts went through the routes, and as what, so that
// one that fires again costs no look at them.
type routed struct {
	mu      sync.Mutex
	seen    map[string]routedAs
	pending map[string]routedAs // of the transaction under way
	any     bool                // it put an alert into a group
}

type routedAs struct {
	incident           string
	severity, priority int
}

// maxRouted bounds what is remembered; beyond it all is asked again.
const maxRouted = 200_000

// fresh tells whether an alert has to go through the routes, and remembers it
// once the transaction is done.
func (r *routed) fresh(a *alert) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	as := routedAs{a.IncidentID, a.Severity, a.Priority}
	if was, ok := r.seen[a.ID]; ok && was == as {
		return false
	}
	if r.pending == nil {
		r.pending = map[string]routedAs{}
	}
	r.pending[a.ID] = as
	return true
}

// settle ends a transaction, and tells whether it put an alert into a group that
// Run has to look at: it could not see it before.
func (r *routed) settle(done bool) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	any := r.any && done
	if done && len(r.pending) > 0 {
		if r.seen == nil || len(r.seen) >= maxRouted {
			r.seen = map[string]routedAs{}
		}
		maps.Copy(r.seen, r.pending)
	}
	r.any, r.pending = false, nil
	return any
}

// route sends alerts through the routes, within the transaction of what
// happened to them. urgent is a kind of notification that does not wait.
func (s *Service) route(ctx context.Context, tx bun.Tx, alerts []*alert, urgent string, now time.Time) error {
	if s.routes == nil || s.routes.Idle() {
		return nil
	}
	subjects := make([]routing.Subject, 0, len(alerts))
	for _, a := range alerts {
		if a.Status != StatusClosed {
			subjects = append(subjects, routing.Subject{Alert: a.ID, Labels: a.routable(), Incident: a.IncidentID != "", Urgent: urgent})
		}
	}
	if len(subjects) > 0 {
		s.routed.mu.Lock()
		s.routed.any = true
		s.routed.mu.Unlock()
	}
	return s.routes.Take(ctx, tx, now, subjects)
}

// routeRaised sends those of the alerts through the routes that were raised or
// came into an incident, once it is known which incident they belong to.
func (s *Service) routeRaised(ctx context.Context, tx bun.Tx, touched []*alert, now time.Time) error {
	if s.routes == nil || s.routes.Idle() {
		return nil
	}
	direct := s.routes.Direct()
	var ids []string
	for _, a := range touched {
		if a.Status != StatusClosed && (direct || a.IncidentID != "") && s.routed.fresh(a) {
			ids = append(ids, a.ID)
		}
	}
	if len(ids) == 0 {
		return nil
	}
	alerts, err := s.live.wholes(ctx, tx, ids...)
	if err != nil {
		return err
	}
	// A muted one joins its group all the same: the group asks when it looks.
	return s.route(ctx, tx, alerts, "", now)
}

// urgentKind is the kind of a notification of an incident that groups do not
// wait for.
func urgentKind(kind string) string {
	if kind == "sla" || kind == "sla_warning" {
		return kind
	}
	return ""
}

// groups is what the routes ask of ticketing.
type groups struct{ s *Service }

// Standing implements routing.Host.
func (g groups) Standing(ctx context.Context, tx bun.Tx, ids []string) (map[string]routing.Standing, error) {
	list, err := readAlerts(ctx, tx, ids)
	if err != nil {
		return nil, err
	}
	incidents, err := incidentsOf(ctx, tx, list)
	if err != nil {
		return nil, err
	}
	out := make(map[string]routing.Standing, len(list))
	for _, a := range list {
		st := routing.Standing{Open: a.Status != StatusClosed, Acknowledged: a.Status == StatusAcknowledged}
		if i := incidents[a.IncidentID]; i != nil && i.Status == StatusAcknowledged {
			st.Acknowledged = true // who has the incident has its alerts
		}
		if st.Open && g.s.quiet() {
			st.Muted = len(g.s.mutersOf(a)) > 0
		}
		out[a.ID] = st
	}
	return out, nil
}

// Tell implements routing.Host.
func (g groups) Tell(ctx context.Context, tx bun.Tx, t routing.Telling, now time.Time) error {
	s := g.s
	members, err := readAlerts(ctx, tx, slices.Concat(t.Firing, t.Resolved))
	if err != nil {
		return err
	}
	slices.SortStableFunc(members, func(a, b *alert) int { return b.Severity - a.Severity })
	incidents, err := incidentsOf(ctx, tx, members)
	if err != nil {
		return err
	}
	over := map[string]bool{}
	for _, id := range t.Resolved {
		over[id] = true
	}
	alerts := make([]webhook.Alert, 0, len(members))
	common, facts := "", reach.Kept{}
	for n, a := range members {
		i := incidents[a.IncidentID]
		w := s.notifiedAlone(a)
		if i != nil {
			w = s.notified(i, a)
		}
		w.Status, w.EndsAt = webhook.Firing, time.Time{}
		if over[a.ID] {
			w.Status, w.EndsAt = webhook.Resolved, when(a.ClosedAt)
		}
		alerts = append(alerts, w)
		// Who may see that it was told of: all of it has to be within reach.
		switch {
		case n == 0:
			common, facts = a.IncidentID, a.Kept
		case a.IncidentID != common || a.Kept != facts:
			if a.IncidentID != common {
				common = ""
			}
			if a.Kept != facts {
				facts = reach.Kept{}
			}
		}
	}
	var waits []string // incidents of what fires that nobody has acknowledged
	if t.Kind != "resolved" {
		for _, a := range members {
			if i := incidents[a.IncidentID]; i != nil && i.Status == StatusOpen && !over[a.ID] && len(waits) < maxLinked && !slices.Contains(waits, i.ID) {
				waits = append(waits, i.ID)
			}
		}
	}
	m := outbox.Message{Acknowledgeable: len(waits) > 0, IncidentID: common, Tenant: t.Tenant, Facts: facts, Kind: t.Kind, Resolved: t.Kind == "resolved", Unique: t.Unique,
		Thread: "group/" + t.Key, Route: t.Route,
		Render: func(to outbox.Addressee) ([]byte, error) {
			p := webhook.New(to.Name, s.cfg.ExternalURL, t.Labels, linked(alerts, to.Link), maxNotified)
			p.GroupKey = "{" + t.Route + "}:" + t.Key
			return json.Marshal(p)
		}}
	if common == "" {
		m.Incidents = waits
	}
	var unknown []string
	for _, name := range t.Receivers {
		m.Only = name
		n, err := s.out.Enqueue(ctx, tx, m)
		if err != nil {
			return err
		}
		if n == 0 && t.Kind != "resolved" {
			unknown = append(unknown, name)
		}
	}
	if common == "" {
		if len(unknown) > 0 {
			s.log.Warn("ticketing: contact points of a route take nothing: they are gone, switched off or of other tenants", "route", t.Route, "contact_points", unknown)
		}
		return nil
	}
	if t.Kind == "escalation" || len(unknown) > 0 {
		text := detections.Text{ZH: "路由 " + t.Route + " 升级通知：" + strings.Join(t.Receivers, "、"), EN: "Route " + t.Route + " told those beyond: " + strings.Join(t.Receivers, ", ")}
		kind := "escalated"
		if t.Kind != "escalation" {
			kind = "notified"
			text = detections.Text{ZH: "路由 " + t.Route + " 的联系点无法接收（已停用、已删除或不属于该租户）：" + strings.Join(unknown, "、"), EN: "Contact points of route " + t.Route + " take nothing (switched off, gone or of other tenants): " + strings.Join(unknown, ", ")}
		}
		return saveTimeline(ctx, tx, []timelineRow{entry(common, now, kind, SystemActor, text, map[string]any{"route": t.Route, "receivers": t.Receivers})})
	}
	return nil
}

// maxLinked is how many incidents the link of one notification acknowledges.
const maxLinked = 200

// linked is the alerts of a notification with the link by which whoever reads it
// acknowledges their incidents.
func linked(alerts []webhook.Alert, link string) []webhook.Alert {
	out := slices.Clone(alerts)
	if link == "" {
		return out
	}
	for i := range out {
		out[i].Annotations = maps.Clone(out[i].Annotations)
		out[i].Annotations["acknowledge_url"] = link
	}
	return out
}

func incidentsOf(ctx context.Context, tx bun.Tx, members []*alert) (map[string]*incident, error) {
	var ids []string
	for _, a := range members {
		if a.IncidentID != "" {
			ids = append(ids, a.IncidentID)
		}
	}
	slices.Sort(ids)
	list, err := readIncidents(ctx, tx, slices.Compact(ids))
	if err != nil {
		return nil, err
	}
	out := make(map[string]*incident, len(list))
	for _, i := range list {
		out[i.ID] = i
	}
	return out, nil
}

// notifiedAlone makes an alert that belongs to no incident as a notification
// carries it.
func (s *Service) notifiedAlone(a *alert) webhook.Alert {
	w := webhook.Alert{Status: webhook.Firing, Labels: a.matchable(), StartsAt: when(a.FirstSeen), GeneratorURL: s.link("alerts", a.ID),
		Annotations: map[string]string{"summary": a.doc.Title.ZH, "summary_en": a.doc.Title.EN, "incident_url": s.link("alerts", a.ID)}}
	for name, value := range map[string]string{"rule_id": a.RuleID, "severity": string(severityOf(a.Severity)), "priority": priorityOf(a.Priority)} {
		if w.Labels[name] == "" {
			w.Labels[name] = value
		}
	}
	if a.doc.Owner != "" {
		w.Annotations["owner"] = a.doc.Owner
	}
	return w
}

// dispatch tells of the groups that are due and says when the next one is.
func (s *Service) dispatch(ctx context.Context, now time.Time) error {
	if s.routes == nil {
		return nil
	}
	told, next, err := s.routes.Look(ctx, now, groups{s})
	s.nextGroup = next
	if told {
		s.out.Wake()
	}
	return err
}

// PayloadOf makes the notification of an incident within reach as it stands, to
// try words with.
func (s *Service) PayloadOf(ctx context.Context, within reach.Reach, id string) (webhook.Payload, error) {
	if _, err := s.Incident(ctx, within, id); err != nil {
		return webhook.Payload{}, err
	}
	list, err := readIncidents(ctx, s.db, []string{id})
	if err != nil || len(list) == 0 {
		return webhook.Payload{}, fmt.Errorf("incident %s: %w", id, cmp.Or(err, error(ErrNotFound)))
	}
	members, err := alertsOf(ctx, s.db, id)
	if err != nil {
		return webhook.Payload{}, err
	}
	alerts := []webhook.Alert{}
	for _, a := range members {
		if within.Match(a.FactsOf(a.Tenant)) {
			alerts = append(alerts, s.notified(list[0], a))
		}
	}
	return webhook.New("preview", s.cfg.ExternalURL, map[string]string{"incident": id}, alerts, maxNotified), nil
}

// ExternalURL is where people reach the console.
func (s *Service) ExternalURL() string { return s.cfg.ExternalURL }
