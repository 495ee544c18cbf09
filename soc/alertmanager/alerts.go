package alertmanager

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/gofiber/fiber/v2"
	"github.com/prometheus/alertmanager/pkg/labels"

	"icewatch/soc/reach"
	"icewatch/ticketing"
	"icewatch/ticketing/outbox"
	"icewatch/ticketing/silence"
	"icewatch/ticketing/webhook"
)

// receiver names somebody who is told of alerts.
type receiver struct {
	Name string `json:"name"`
}

// own is the receiver that every alert has: the suite's console.
const own = "icewatch"

// alert is an alert as Alertmanager writes it.
type alert struct {
	Annotations  map[string]string `json:"annotations"`
	EndsAt       ticketing.Time    `json:"endsAt"`
	Fingerprint  string            `json:"fingerprint"`
	Receivers    []receiver        `json:"receivers"`
	StartsAt     ticketing.Time    `json:"startsAt"`
	Status       alertStatus       `json:"status"`
	UpdatedAt    ticketing.Time    `json:"updatedAt"`
	GeneratorURL string            `json:"generatorURL,omitempty"`
	Labels       map[string]string `json:"labels"`

	groups []place
}

// place is a group that an alert belongs to: of which receiver, by which route.
type place struct {
	receiver string
	route    string // tells routes apart; "" of those that are told without a route
	labels   map[string]string
	muted    []string // intervals of time by which the route sends nothing now
}

type alertStatus struct {
	InhibitedBy []string `json:"inhibitedBy"`
	MutedBy     []string `json:"mutedBy"`
	SilencedBy  []string `json:"silencedBy"`
	State       string   `json:"state"`
}

// The states of an alert.
const (
	active     = "active"
	suppressed = "suppressed"
)

// group is the alerts that a receiver is told of together.
type group struct {
	Alerts      []alert           `json:"alerts"`
	Labels      map[string]string `json:"labels"`
	Receiver    receiver          `json:"receiver"`
	RouteLabels map[string]string `json:"routeLabels"`
}

// refreshed is how long an alert without an end lasts unless it is sent again.
const refreshed = 5 * time.Minute

// wanted reads the parameters that choose alerts.
type wanted struct {
	matchers                 labels.Matchers
	receiver                 *regexp.Regexp // nil for all
	nobody                   bool           // no receiver has the labels asked for
	active, silenced, inhibs bool
}

// maxReceiver bounds the expression that chooses receivers, in bytes.
const maxReceiver = 1024

func readWanted(c *fiber.Ctx) (w wanted, why string) {
	var err error
	if w.matchers, err = silence.ParseMatchers(repeated(c, "filter")); err != nil {
		return w, "bad matcher format: " + err.Error()
	}
	if expr := c.Query("receiver"); expr != "" {
		if len(expr) > maxReceiver {
			return w, fmt.Sprintf("failed to parse receiver param: it has %d bytes, at most %d", len(expr), maxReceiver)
		}
		if w.receiver, err = regexp.Compile("^(?:" + expr + ")$"); err != nil {
			return w, "failed to parse receiver param: " + err.Error()
		}
	}
	of, err := silence.ParseMatchers(repeated(c, "receiver_matchers"))
	if err != nil {
		return w, "failed to parse receiver_matchers param: " + err.Error()
	}
	// Receivers of ours have no labels.
	w.nobody = !silence.Matches(of, nil)
	w.active, w.silenced, w.inhibs = asked(c, "active"), asked(c, "silenced"), asked(c, "inhibited")
	return w, ""
}

// takes tells whether an alert in this status is asked for.
func (w *wanted) takes(st alertStatus) bool {
	return (w.active || st.State != active) && (w.silenced || len(st.SilencedBy) == 0) && (w.inhibs || len(st.InhibitedBy) == 0)
}

func (w *wanted) tells(r receiver) bool { return w.receiver == nil || w.receiver.MatchString(r.Name) }

// find returns the open alerts that are asked for within the caller's reach.
func (s *Service) find(c *fiber.Ctx, w wanted) ([]alert, error) {
	within, err := s.Caller.Reach(c)
	if err != nil {
		return nil, err
	}
	out := []alert{}
	if w.nobody {
		return out, nil
	}
	ctx := c.UserContext()
	receivers, err := s.receivers(ctx, within)
	if err != nil {
		return nil, err
	}
	list, err := s.Tickets.MatchRouted(ctx, within, w.matchers)
	if err != nil {
		return nil, err
	}
	pushed, err := s.sent(ctx, list)
	if err != nil {
		return nil, err
	}
	for i := range list {
		a := s.show(&list[i].Alert, pushed)
		a.groups = placesOf(&list[i], receivers)
		for _, p := range a.groups {
			if !slices.Contains(a.Receivers, receiver{p.receiver}) {
				a.Receivers = append(a.Receivers, receiver{p.receiver})
			}
		}
		if w.takes(a.Status) && slices.ContainsFunc(a.Receivers, w.tells) {
			out = append(out, a)
		}
	}
	slices.SortStableFunc(out, func(a, b alert) int { return strings.Compare(a.Fingerprint, b.Fingerprint) })
	return out, nil
}

// placesOf lists the groups an alert belongs to: the console's, then those of
// the receivers that are told of every incident, then those of routes.
func placesOf(a *ticketing.Routed, receivers []outbox.ReceiverInfo) []place {
	alone := map[string]string{"alertname": a.Labels["alertname"], "tenant": a.Labels["tenant"]}
	if a.IncidentID != "" {
		alone = map[string]string{"incident": a.IncidentID}
	}
	out := []place{{receiver: own, labels: alone}}
	told := map[string]bool{}
	for _, r := range receivers {
		told[r.Name] = !r.Disabled && (len(r.Tenants) == 0 || slices.Contains(r.Tenants, a.Tenant))
		if told[r.Name] && r.Every && a.IncidentID != "" {
			out = append(out, place{receiver: r.Name, labels: alone})
		}
	}
	for _, h := range a.Routes {
		for _, name := range h.Receivers {
			if !told[name] {
				continue
			}
			p := place{receiver: name, route: h.Scope + "/" + h.Route, labels: h.GroupLabels}
			if h.HeldBy != "" {
				p.muted = []string{h.HeldBy}
			}
			out = append(out, p)
		}
	}
	return out
}

// show writes an alert as Alertmanager does.
func (s *Service) show(a *ticketing.Alert, pushed map[string]*row) alert {
	now := s.Clock()
	out := alert{Labels: a.Labels, Fingerprint: webhook.Fingerprint(a.Labels), StartsAt: a.FirstSeen, UpdatedAt: a.LastSeen,
		EndsAt: ticketing.Time{Time: now.Add(refreshed)}, Receivers: []receiver{}, GeneratorURL: s.link("alerts", a.ID),
		Status: alertStatus{InhibitedBy: []string{}, MutedBy: []string{}, SilencedBy: a.SilencedBy, State: active}}
	for _, by := range a.InhibitedBy {
		out.Status.InhibitedBy = append(out.Status.InhibitedBy, by.RuleID)
	}
	if len(a.SilencedBy)+len(a.InhibitedBy) > 0 {
		out.Status.State = suppressed
	}
	if r := pushed[rowKey(a.Tenant, a.Fields[fieldFingerprint])]; r != nil {
		out.StartsAt, out.UpdatedAt, out.EndsAt, out.GeneratorURL = r.time(r.StartsAt), r.time(r.UpdatedAt), r.time(r.EndsAt), r.URL
		out.Annotations = r.annotations()
	}
	if out.Annotations == nil {
		out.Annotations = map[string]string{}
	}
	for name, value := range map[string]string{"summary": a.Rule.Title.ZH, "summary_en": a.Rule.Title.EN, "description": a.Title.ZH, "description_en": a.Title.EN} {
		if a.Rule.Kind != ticketing.Pushed && value != "" {
			out.Annotations[name] = value
		}
	}
	for name, value := range map[string]string{"alert": a.ID, "incident": a.IncidentID, "priority": a.Priority, "owner": a.Owner} {
		if _, own := out.Annotations[name]; !own && value != "" {
			out.Annotations[name] = value
		}
	}
	return out
}

func (s *Service) link(kind, id string) string {
	return strings.TrimRight(s.ExternalURL, "/") + "/" + kind + "/" + url.PathEscape(id)
}

// receivers lists the receivers that are told of something within reach.
func (s *Service) receivers(ctx context.Context, r reach.Reach) ([]outbox.ReceiverInfo, error) {
	list, err := s.Tickets.Outbox().Receivers(ctx)
	return slices.DeleteFunc(list, func(i outbox.ReceiverInfo) bool {
		return len(i.Tenants) > 0 && !slices.ContainsFunc(i.Tenants, r.CoversTenant)
	}), err
}

func (s *Service) listReceivers(c *fiber.Ctx) error {
	of, err := silence.ParseMatchers(repeated(c, "receiver_matchers"))
	if err != nil {
		return text(c, http.StatusBadRequest, "failed to parse receiver_matchers param: "+err.Error())
	}
	within, err := s.Caller.Reach(c)
	if err != nil {
		return err
	}
	out := []receiver{}
	if !silence.Matches(of, nil) {
		return c.JSON(out)
	}
	list, err := s.receivers(c.UserContext(), within)
	if err != nil {
		return err
	}
	out = append(out, receiver{own})
	for _, r := range list {
		out = append(out, receiver{r.Name})
	}
	return c.JSON(out)
}

func (s *Service) listAlerts(c *fiber.Ctx) error {
	w, why := readWanted(c)
	if why != "" {
		return text(c, http.StatusBadRequest, why)
	}
	list, err := s.find(c, w)
	if err != nil {
		return err
	}
	return c.JSON(list)
}

func (s *Service) listGroups(c *fiber.Ctx) error {
	w, why := readWanted(c)
	if why != "" {
		return text(c, http.StatusBadRequest, why)
	}
	list, err := s.find(c, w)
	if err != nil {
		return err
	}
	muted := asked(c, "muted")
	byKey := map[string]*group{}
	for _, a := range list {
		for _, p := range a.groups {
			if !w.tells(receiver{p.receiver}) {
				continue
			}
			g := byKey[p.key()]
			if g == nil {
				g = &group{Labels: p.labels, Receiver: receiver{p.receiver}, RouteLabels: map[string]string{}}
				byKey[p.key()] = g
			}
			g.Alerts = append(g.Alerts, a.in(p))
		}
	}
	out := []group{}
	for _, k := range slices.Sorted(maps.Keys(byKey)) {
		g := byKey[k]
		if muted || slices.ContainsFunc(g.Alerts, func(a alert) bool { return a.Status.State == active }) {
			out = append(out, *g)
		}
	}
	return c.JSON(out)
}

// key orders groups by their labels, then by receiver and route.
func (p place) key() string {
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(p.labels)) {
		fmt.Fprintf(&b, "%q=%q,", name, p.labels[name])
	}
	fmt.Fprintf(&b, "\x00%q\x00%q", p.receiver, p.route)
	return b.String()
}

// in is the alert as one of a group: while the group's route sends nothing it is
// suppressed there.
func (a alert) in(p place) alert {
	if len(p.muted) > 0 {
		a.Status.MutedBy, a.Status.State = p.muted, suppressed
	}
	return a
}
