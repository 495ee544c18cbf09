package alertmanager

import (
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/gofiber/fiber/v2"

	"icewatch/collectors/webbody"
	"icewatch/detections"
	"icewatch/ticketing"
)

// Limits of what one request may send, and of one alert.
const (
	maxAlerts = 10_000
	maxLabels = 100
	maxName   = 256       // bytes of a label's name
	maxValue  = 8 << 10   // bytes of a label's value
	maxNotes  = 64 << 10  // bytes of all annotations
	maxURL    = 4 << 10   // bytes of the URL of what raised it
	ahead     = time.Hour // how far in the future an alert may begin
)

// sentAlert is an alert as clients send it.
type sentAlert struct {
	Labels       map[string]string `json:"labels"` // nil where it is missing
	Annotations  map[string]string `json:"annotations"`
	StartsAt     time.Time         `json:"startsAt"`
	EndsAt       time.Time         `json:"endsAt"`
	GeneratorURL string            `json:"generatorURL"`
}

// malformed names the first field of a list that is not of the API's shape, with
// the code that Alertmanager answers; "" where none is.
func malformed(list []sentAlert) (why string, code int) {
	for i := range list {
		if list[i].Labels == nil {
			return fmt.Sprintf("%d.labels in body is required", i), codeRequired
		}
		if u := list[i].GeneratorURL; u != "" {
			if _, err := url.ParseRequestURI(u); err != nil || len(u) > maxURL {
				return fmt.Sprintf("%d.generatorURL in body must be of type uri: %.100q", i, u), codeType
			}
		}
	}
	return "", 0
}

// complete fills in when an alert begins and ends, takes empty labels away and
// tells what cannot be. As in Alertmanager an alert that does not say when it
// ends is over in five minutes unless it is sent again.
func (a *sentAlert) complete(now time.Time) error {
	maps.DeleteFunc(a.Labels, func(_, v string) bool { return v == "" })
	if a.StartsAt.IsZero() {
		a.StartsAt = now
		if !a.EndsAt.IsZero() {
			a.StartsAt = a.EndsAt
		}
	}
	if a.EndsAt.IsZero() {
		a.EndsAt = now.Add(refreshed)
	}
	switch {
	case len(a.Labels) == 0:
		return errors.New("at least one label pair required")
	case len(a.Labels) > maxLabels:
		return fmt.Errorf("an alert has %d labels, at most %d", len(a.Labels), maxLabels)
	case a.EndsAt.Before(a.StartsAt):
		return errors.New("start time must be before end time")
	case a.StartsAt.After(now.Add(ahead)):
		return fmt.Errorf("start time %s is more than %s in the future", a.StartsAt.Format(time.RFC3339), ahead)
	case a.StartsAt.Year() < 1970:
		return fmt.Errorf("start time %s: want 1970 or later", a.StartsAt.Format(time.RFC3339))
	}
	for _, name := range slices.Sorted(maps.Keys(a.Labels)) {
		switch value := a.Labels[name]; {
		case name == "" || len(name) > maxName || !utf8.ValidString(name):
			return fmt.Errorf("invalid name %.100q: want 1 to %d bytes of UTF-8", name, maxName)
		case len(value) > maxValue || !utf8.ValidString(value):
			return fmt.Errorf("invalid value of %q: want at most %d bytes of UTF-8", name, maxValue)
		}
	}
	size := 0
	for name, value := range a.Annotations {
		size += len(name) + len(value)
		if !utf8.ValidString(name) || !utf8.ValidString(value) {
			return fmt.Errorf("invalid annotation %.100q: want UTF-8", name)
		}
	}
	if size > maxNotes {
		return fmt.Errorf("the annotations have %d bytes, at most %d", size, maxNotes)
	}
	return nil
}

// postAlerts takes alerts in. They are durable before it answers; those that
// cannot be are named, and the rest is taken in all the same.
func (s *Service) postAlerts(c *fiber.Ctx) error {
	body, err := webbody.Read(c, s.Limits)
	if err != nil {
		var r *webbody.Refusal
		if errors.As(err, &r) {
			return refuse(c, r.Status, r.Reason)
		}
		return err
	}
	defer body.Release()
	var list []sentAlert
	if contentType(c) == fiber.MIMEApplicationJSON {
		list = plain(body.Bytes)
	}
	if list == nil {
		if answered, err := decode(c, "alerts", body.Bytes, &list); answered {
			return err
		}
	}
	if len(list) > maxAlerts {
		return text(c, http.StatusBadRequest, fmt.Sprintf("%d alerts in one request, at most %d: send them in several", len(list), maxAlerts))
	}
	if why, code := malformed(list); why != "" {
		return refused(c, http.StatusUnprocessableEntity, code, why)
	}
	now := s.Clock().UTC().Truncate(time.Millisecond)
	var good []sentAlert
	var wrong []error
	for i := range list {
		if err := list[i].complete(now); err != nil {
			if len(wrong) < 20 {
				wrong = append(wrong, err)
			}
			continue
		}
		good = append(good, list[i])
	}
	ctx := c.UserContext()
	news, err := s.take(ctx, s.Caller.Tenant(c), good, now)
	if err != nil {
		return err
	}
	if news {
		s.tell(ctx)
	}
	if len(wrong) > 0 {
		return text(c, http.StatusBadRequest, errors.Join(wrong...).Error())
	}
	return nil
}

// The fields that an alert's item is looked up by, and those that tell of its
// sending.
const (
	fieldHost        = "host.name"
	fieldAddress     = "host.ip"
	fieldFingerprint = "icewatch.pushed.fingerprint"
	dataset          = "alertmanager"
)

// FieldItem holds what an alert calls the configuration item that it is about,
// where it names one: by its id or its name.
const FieldItem = "icewatch.pushed.item"

// itemLabels name a configuration item, the surest first.
var itemLabels = []string{"icewatch_ci_id", "ci_id", "ci", "item_id", "configuration_item", "device", "switch", "application", "app", "business_system", "system", "service"}

// hostLabels name the item that an alert is about, the surest first.
var hostLabels = []string{"host", "hostname", "host_name", "host.name", "nodename", "node", "exported_instance", "instance"}

// fieldsOf reads from an alert's labels the item that it is about.
func fieldsOf(labels map[string]string) map[string]string {
	fields := map[string]string{"event.dataset": dataset, "event.kind": "alert"}
	for _, name := range hostLabels {
		host := labels[name]
		if h, _, err := net.SplitHostPort(host); err == nil {
			host = h
		}
		if host == "" {
			continue
		}
		if addr, err := netip.ParseAddr(strings.Trim(host, "[]")); err == nil {
			if fields[fieldAddress] == "" {
				fields[fieldAddress] = addr.Unmap().WithZone("").String()
			}
		} else if fields[fieldHost] == "" {
			fields[fieldHost] = host
		}
	}
	if fields[fieldHost] == "" && fields[fieldAddress] == "" || labels["ci"] != "" || labels["ci_id"] != "" || labels["icewatch_ci_id"] != "" {
		for _, name := range itemLabels {
			if v := labels[name]; v != "" {
				fields[FieldItem] = v
				break
			}
		}
	}
	return fields
}

// levels are the suite's for the values that people give the label severity.
var levels = map[string]detections.Level{
	"critical": detections.Critical, "page": detections.Critical, "emergency": detections.Critical, "fatal": detections.Critical, "disaster": detections.Critical,
	"high": detections.High, "error": detections.High, "major": detections.High,
	"medium": detections.Medium, "warning": detections.Medium, "warn": detections.Medium, "minor": detections.Medium, "average": detections.Medium,
	"low": detections.Low, "notice": detections.Low,
	"info": detections.Informational, "informational": detections.Informational, "information": detections.Informational, "none": detections.Informational, "debug": detections.Informational,
}

// levelOf is the level of an alert; medium where it does not say.
func levelOf(labels map[string]string) detections.Level {
	if l, ok := levels[strings.ToLower(strings.TrimSpace(labels["severity"]))]; ok {
		return l
	}
	return detections.Medium
}

// occurrence is a firing as ticketing takes it in. Its id is derived, so that it
// counts once however often it is told.
func (s *Service) occurrence(r *row) detections.Occurrence {
	labels := r.labels()
	fields := fieldsOf(labels)
	s.Place(r.Tenant, fields)
	return occurrenceOf(r, labels, r.annotations(), fields)
}

// occurrenceOf makes it of what its row says, read, and of the fields of its
// place, which it takes over.
func occurrenceOf(r *row, labels, notes, fields map[string]string) detections.Occurrence {
	fields[fieldFingerprint] = r.Fingerprint
	if r.URL != "" {
		fields["event.url"] = r.URL
	}
	for name, value := range notes {
		fields["annotations."+name] = value
	}
	name := labels["alertname"]
	if name == "" {
		name = "alert " + r.Fingerprint
	}
	same := func(s string) detections.Text { return detections.Text{ZH: s, EN: s} }
	rule := detections.RuleRef{ID: "pushed-" + clip(name, 128), Title: same(clip(name, 256)), Sentence: same(clip(name, 256)), Level: levelOf(labels),
		Kind: ticketing.Pushed, Tags: []string{"icewatch.pushed"}}
	for _, note := range []string{"summary", "description", "message", "title"} {
		if v := notes[note]; v != "" {
			rule.Sentence = same(clip(v, 1000))
			break
		}
	}
	if v := notes["runbook_url"]; v != "" {
		rule.Advice = detections.Text{ZH: "处置手册：" + clip(v, 1000), EN: "Runbook: " + clip(v, 1000)}
	}
	o := detections.Occurrence{ID: fmt.Sprintf("pushed/%s/%s/%d/%d", r.Tenant, r.Fingerprint, r.Since, r.Firing), Key: r.key(), Tenant: r.Tenant,
		Time: time.UnixMilli(r.Since).UTC(), From: r.time(min(r.StartsAt, r.Since)).Time, Count: 1, Rule: rule, Fields: fields}
	for _, n := range slices.Sorted(maps.Keys(labels)) {
		o.Group = append(o.Group, detections.Pair{Field: ticketing.PushedLabel + n, Value: labels[n]})
	}
	return o
}

func clip(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n] + "…"
}
