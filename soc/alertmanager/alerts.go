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

	incident string
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
	list, _, err := s.Tickets.Match(ctx, within, w.matchers, 0)
	if err != nil {
		return nil, err
	}
	pushed, err := s.sent(ctx, list)
	if err != nil {
		return nil, err
	}
	for i := range list {
		a := s.show(&list[i], receivers, pushed)
		if w.takes(a.Status) && slices.ContainsFunc(a.Receivers, w.tells) {
			out = append(out, a)
		}
	}
	slices.SortStableFunc(out, func(a, b alert) int { return strings.Compare(a.Fingerprint, b.Fingerprint) })
	return out, nil
}

// show writes an alert as Alertmanager does.
func (s *Service) show(a *ticketing.Alert, receivers []outbox.ReceiverInfo, pushed map[string]*row) alert {
	now := s.Clock()
	out := alert{Labels: a.Labels, Fingerprint: webhook.Fingerprint(a.Labels), StartsAt: a.FirstSeen, UpdatedAt: a.LastSeen,
		EndsAt: ticketing.Time{Time: now.Add(refreshed)}, Receivers: []receiver{{own}}, GeneratorURL: s.link("alerts", a.ID), incident: a.IncidentID,
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
	if a.IncidentID != "" {
		for _, r := range receivers {
			if len(r.Tenants) == 0 || slices.Contains(r.Tenants, a.Tenant) {
				out.Receivers = append(out.Receivers, receiver{r.Name})
			}
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

// groupLabels are the labels that an alert's group has: a notification tells of
// an incident, and what is in none stands by its kind in the console.
func groupLabels(a *alert) map[string]string {
	if a.incident != "" {
		return map[string]string{"incident": a.incident}
	}
	return map[string]string{"alertname": a.Labels["alertname"], "tenant": a.Labels["tenant"]}
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
	byKey, keys := map[string]*group{}, []string(nil)
	for _, a := range list {
		set := groupLabels(&a)
		for _, r := range a.Receivers {
			if !w.tells(r) {
				continue
			}
			key := fmt.Sprint(slices.Sorted(maps.Keys(set)), set["incident"], "\x00", set["alertname"], "\x00", set["tenant"], "\x00", r.Name)
			g := byKey[key]
			if g == nil {
				g = &group{Labels: set, Receiver: r, RouteLabels: map[string]string{}}
				byKey[key], keys = g, append(keys, key)
			}
			g.Alerts = append(g.Alerts, a)
		}
	}
	slices.Sort(keys)
	out := []group{}
	for _, k := range keys {
		g := byKey[k]
		if muted || slices.ContainsFunc(g.Alerts, func(a alert) bool { return a.Status.State == active }) {
			out = append(out, *g)
		}
	}
	return c.JSON(out)
}
