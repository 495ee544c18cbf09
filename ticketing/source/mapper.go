package source

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"math/big"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"icewatch/detections"
	"icewatch/ticketing/webhook"
)

// Limits of what one message may bring, and of one alert.
const (
	maxAlerts  = 10_000
	maxLabels  = 100
	maxValue   = 8 << 10          // bytes of a field or of a label's value
	maxPrint   = 512              // bytes of a fingerprint; a longer one is hashed
	mapTime    = 20 * time.Second // that mapping one message may take
	ahead      = time.Hour        // how far in the future an alert may begin
	maxReasons = 20               // that a message keeps of what went wrong
)

// Alert is an alert as every source's messages are brought to.
type Alert struct {
	Fingerprint string            `json:"fingerprint" doc:"The same for an alert and its end"`
	Status      string            `json:"status" enum:"firing,resolved"`
	Name        string            `json:"name"`
	Title       detections.Text   `json:"title"`
	Description detections.Text   `json:"description,omitzero"`
	Severity    detections.Level  `json:"severity" enum:"critical,high,medium,low,informational"`
	StartsAt    time.Time         `json:"starts_at"`
	EndsAt      time.Time         `json:"ends_at,omitzero" doc:"When it ended, or will unless it is sent again"`
	Fields      map[string]string `json:"fields" nullable:"false" doc:"The other fields of the schema that it has"`
	Labels      map[string]string `json:"labels" nullable:"false"`
}

// Mapper makes alerts of the messages of a source. It is safe for concurrent
// use, and its work is bounded in time and size whatever the message.
type Mapper struct {
	format      string
	mapping     mapping
	corrections []correction
	types       map[string]string // of the fields
}

// NewMapper puts a mapping and corrections over a template. The error names the
// place of what is wrong.
func NewMapper(t Template, over Mapping, corrections []Correction, dict Dictionary) (*Mapper, error) {
	m := &Mapper{format: t.Format, types: map[string]string{}}
	for _, f := range dict.Fields() {
		m.types[f.Name] = f.Type
	}
	var err error
	if m.mapping, err = compileMapping(over.over(t.Mapping), dict); err != nil {
		return nil, fmt.Errorf("mapping.%w", err)
	}
	m.corrections, err = compileCorrections(corrections, dict)
	return m, err
}

// Outcome is what became of one message.
type Outcome struct {
	Alerts    []Alert  `json:"alerts" nullable:"false"`
	Discarded []string `json:"discarded" nullable:"false" doc:"Why alerts were left out on purpose"`
	Failed    []string `json:"failed" nullable:"false" doc:"Why alerts could not be made"`
}

// Map makes alerts of a message. A message that cannot be read at all is an
// error; what is wrong with single alerts of it stands in the outcome.
func (m *Mapper) Map(ctx context.Context, msg Message, now time.Time) (Outcome, error) {
	out := Outcome{Alerts: []Alert{}, Discarded: []string{}, Failed: []string{}}
	ctx, cancel := context.WithTimeout(ctx, mapTime)
	defer cancel()
	message, err := msg.parse(m.format)
	if err != nil {
		return out, err
	}
	meta := msg.meta()
	n := 0
	err = m.mapping.alerts.each(context.WithoutCancel(ctx), message, message, meta, func(v any) error {
		if n++; n > maxAlerts {
			return fmt.Errorf("the message has more than %d alerts: have it sent in several", maxAlerts)
		}
		if ctx.Err() != nil {
			return fmt.Errorf("mapping takes longer than %s: it stopped after %d alerts", mapTime, n-1)
		}
		a, discarded, err := m.one(ctx, v, message, meta, now)
		switch {
		case err != nil:
			out.Failed = append(out.Failed, fmt.Sprintf("alert %d: %s", n, err))
		case discarded != "":
			out.Discarded = append(out.Discarded, fmt.Sprintf("alert %d: %s", n, discarded))
		default:
			out.Alerts = append(out.Alerts, a)
		}
		return nil
	})
	return out, err
}

// one makes one alert.
func (m *Mapper) one(ctx context.Context, v, message, meta any, now time.Time) (a Alert, discarded string, err error) {
	d := draft{fields: map[string]string{}, labels: map[string]string{}}
	for _, name := range slices.Sorted(maps.Keys(m.mapping.fields)) {
		x := m.mapping.fields[name]
		got, err := x.one(ctx, v, message, meta)
		if err != nil {
			return a, "", fmt.Errorf("%s: %w", name, err)
		}
		d.set(name, textOf(got))
	}
	if m.mapping.labels != nil {
		got, err := m.mapping.labels.one(ctx, v, message, meta)
		if err != nil {
			return a, "", fmt.Errorf("labels: %w", err)
		}
		labelsInto(d.labels, got)
	}
	if discarded = d.correct(m.corrections); discarded != "" {
		return a, discarded, nil
	}
	a, err = m.finish(&d, now)
	return a, "", err
}

// finish reads what the texts of an alert mean.
func (m *Mapper) finish(d *draft, now time.Time) (a Alert, err error) {
	a = Alert{Status: Firing, Severity: detections.Medium, StartsAt: now, Fields: map[string]string{}, Labels: d.labels}
	take := func(name string) string {
		v := d.fields[name]
		delete(d.fields, name)
		return v
	}
	if s := take(fieldSeverity); s != "" {
		if a.Severity, err = m.level(s); err != nil {
			return a, err
		}
	}
	status := take(fieldStatus)
	if status != "" {
		if a.Status, err = m.state(status); err != nil {
			return a, err
		}
	}
	if err := m.span(&a, take(fieldStart), take(fieldEnd), status != "", now); err != nil {
		return a, err
	}
	a.Name = take(fieldName)
	a.Title, a.Description = detections.Text{ZH: take(fieldTitle), EN: take(fieldTitleEN)}, detections.Text{ZH: take(fieldText), EN: take(fieldTextEN)}
	if a.Name == "" {
		a.Name = first(a.Title.ZH, a.Title.EN)
	}
	if a.Name == "" {
		return a, errors.New("it has neither a name nor a title: map the field name or title")
	}
	if a.Title.ZH == "" && a.Title.EN == "" {
		a.Title = zhEN(a.Name, a.Name)
	}
	located(d.fields)
	for name, v := range d.fields {
		switch m.types[name] {
		case TypeIP:
			addr, err := netip.ParseAddr(withoutPort(strings.TrimSpace(v)))
			if err != nil {
				return a, fmt.Errorf("%s: %q is no IP address", name, clip(v, 64))
			}
			v = addr.Unmap().WithZone("").String()
		case TypeNumber:
			if _, err := strconv.ParseFloat(v, 64); err != nil {
				return a, fmt.Errorf("%s: %q is no number", name, clip(v, 64))
			}
		case TypeTime:
			t, err := m.mapping.parseTime(v)
			if err != nil {
				return a, fmt.Errorf("%s: %w", name, err)
			}
			v = t.UTC().Format(time.RFC3339)
		}
		if name != fieldFingerprint {
			a.Fields[name] = v
		}
	}
	a.Fingerprint = fingerprint(&a, d.fields[fieldFingerprint])
	return a, nil
}

// located puts a host's name and its address where they belong: senders write
// one in the place of the other, and ports behind both.
func located(fields map[string]string) {
	host, ip := withoutPort(strings.TrimSpace(fields[fieldHost])), withoutPort(strings.TrimSpace(fields[fieldIP]))
	if !isAddress(ip) {
		host, ip = first(host, ip), ""
	}
	if isAddress(host) {
		host, ip = "", first(ip, host)
	}
	for name, v := range map[string]string{fieldHost: host, fieldIP: ip} {
		if v == "" {
			delete(fields, name)
		} else {
			fields[name] = v
		}
	}
}

func isAddress(s string) bool {
	_, err := netip.ParseAddr(s)
	return err == nil
}

// span reads when an alert began and ends. Without a word of status, an end that
// has come is its end.
func (m *Mapper) span(a *Alert, start, end string, said bool, now time.Time) error {
	if start != "" && start != "0" {
		t, err := m.mapping.parseTime(start)
		if err != nil {
			return fmt.Errorf("starts_at: %w", err)
		}
		if t.Year() > 1 {
			a.StartsAt = t
		}
	}
	if a.StartsAt.After(now.Add(ahead)) {
		return fmt.Errorf("starts_at: %s is more than %s in the future: look at the sender's clock and at the time zone of the source", a.StartsAt.Format(time.RFC3339), ahead)
	}
	a.StartsAt = latest(a.StartsAt, time.Unix(0, 0)).UTC().Truncate(time.Millisecond)
	if a.StartsAt.After(now) {
		a.StartsAt = now
	}
	if end != "" && end != "0" {
		t, err := m.mapping.parseTime(end)
		if err != nil {
			return fmt.Errorf("ends_at: %w", err)
		}
		if t.Year() > 1970 {
			a.EndsAt = t.UTC().Truncate(time.Millisecond)
			if !said && !t.After(now) {
				a.Status = Resolved
			}
		}
	}
	switch {
	case a.Status == Resolved && (a.EndsAt.IsZero() || a.EndsAt.After(now)):
		a.EndsAt = now
	case a.Status == Firing && !a.EndsAt.After(now):
		a.EndsAt = time.Time{}
	}
	if a.Status == Firing && a.EndsAt.IsZero() && m.mapping.expires > 0 {
		a.EndsAt = now.Add(m.mapping.expires)
	}
	return nil
}

// known are words that senders use for the suite's levels.
var known = map[string]detections.Level{
	"critical": detections.Critical, "page": detections.Critical, "emergency": detections.Critical, "fatal": detections.Critical, "disaster": detections.Critical, "alert": detections.Critical, "p1": detections.Critical, "严重": detections.Critical, "紧急": detections.Critical, "致命": detections.Critical, "灾难": detections.Critical,
	"high": detections.High, "error": detections.High, "err": detections.High, "major": detections.High, "important": detections.High, "p2": detections.High, "高": detections.High, "重要": detections.High,
	"medium": detections.Medium, "warning": detections.Medium, "warn": detections.Medium, "minor": detections.Medium, "average": detections.Medium, "p3": detections.Medium, "中": detections.Medium, "警告": detections.Medium, "次要": detections.Medium,
	"low": detections.Low, "notice": detections.Low, "p4": detections.Low, "低": detections.Low, "提示": detections.Low,
	"info": detections.Informational, "informational": detections.Informational, "information": detections.Informational, "none": detections.Informational, "debug": detections.Informational, "ok": detections.Informational, "信息": detections.Informational,
}

func (m *Mapper) level(word string) (detections.Level, error) {
	w := strings.ToLower(strings.TrimSpace(word))
	if l, ok := m.mapping.severity[w]; ok {
		return detections.Level(l), nil
	}
	if l, ok := known[w]; ok {
		return l, nil
	}
	if l, ok := m.mapping.severity["*"]; ok {
		return detections.Level(l), nil
	}
	return "", fmt.Errorf("severity: %q is no level that the source knows: name it in the mapping's severity, or give * a level", clip(word, 64))
}

var endings = []string{"resolved", "ok", "recovered", "recovery", "closed", "cleared", "inactive", "normal", "恢复", "已恢复"}
var beginnings = []string{"firing", "alerting", "alarm", "alert", "problem", "triggered", "active", "open", "告警", "故障"}

func (m *Mapper) state(word string) (string, error) {
	w := strings.ToLower(strings.TrimSpace(word))
	if s, ok := m.mapping.status[w]; ok {
		return s, nil
	}
	switch {
	case slices.Contains(endings, w):
		return Resolved, nil
	case slices.Contains(beginnings, w):
		return Firing, nil
	}
	if s, ok := m.mapping.status["*"]; ok {
		return s, nil
	}
	return "", fmt.Errorf("status: %q means neither firing nor resolved: name it in the mapping's status", clip(word, 64))
}

// fingerprint tells an alert from all others of its source. Without one of the
// sender's it is made of what does not change from its beginning to its end.
func fingerprint(a *Alert, given string) string {
	if given != "" && len(given) <= maxPrint {
		return given
	}
	set := map[string]string{"": given}
	if given == "" {
		for k, v := range a.Labels {
			set[labelPrefix+k] = v
		}
		set[fieldName] = a.Name
		for _, name := range []string{fieldHost, fieldIP, fieldItem, fieldZone, "service", "metric", "source_ip", "destination_ip"} {
			set[name] = a.Fields[name]
		}
	}
	return webhook.Fingerprint(set)
}

// textOf writes a value of JSON as a field has it.
func textOf(v any) string {
	switch v := v.(type) {
	case nil:
		return ""
	case string:
		return strings.ToValidUTF8(v, "�")
	case bool:
		return strconv.FormatBool(v)
	case int:
		return strconv.Itoa(v)
	case *big.Int:
		return v.String()
	case float64:
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return ""
		}
		return strconv.FormatFloat(v, 'f', -1, 64)
	case []any:
		parts := make([]string, 0, len(v))
		for _, p := range v {
			switch p.(type) {
			case []any, map[string]any:
				return jsonOf(v)
			}
			parts = append(parts, textOf(p))
		}
		return strings.Join(parts, ", ")
	default:
		return jsonOf(v)
	}
}

func jsonOf(v any) string {
	out, err := json.Marshal(v)
	if err != nil { // a value of jq that JSON has not, such as NaN within
		return ""
	}
	return string(out)
}

// labelsInto reads labels from an object or a list.
func labelsInto(into map[string]string, v any) {
	put := func(name, value string) {
		name = strings.ToValidUTF8(strings.TrimSpace(name), "�")
		if name != "" && len(name) <= maxLabelName && value != "" && len(into) < maxLabels {
			into[name] = clip(value, maxValue)
		}
	}
	switch v := v.(type) {
	case map[string]any:
		for _, name := range slices.Sorted(maps.Keys(v)) {
			put(name, textOf(v[name]))
		}
	case []any:
		for _, one := range v {
			switch one := one.(type) {
			case string:
				name, value, _ := strings.Cut(one, "=")
				put(name, value)
			case map[string]any:
				put(first(textOf(one["name"]), textOf(one["tag"]), textOf(one["key"])), textOf(one["value"]))
			}
		}
	}
}

func first(list ...string) string {
	for _, s := range list {
		if s != "" {
			return s
		}
	}
	return ""
}

func latest(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// clip cuts a text to at most n bytes, at a character's end.
func clip(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n] + "…"
}
