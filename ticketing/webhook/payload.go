// Package webhook speaks Alertmanager's webhook protocol, payload version 4,
// so that whatever already receives Prometheus' alerts receives ours. It makes
// the payload and sends one; queues, retries and order are the outbox's.
// Source of the format: https://prometheus.io/docs/alerting/latest/configuration/#webhook_config
package webhook

import (
	"fmt"
	"hash/fnv"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Version is the payload version that New makes.
const Version = "4"

// The states of a payload and of an alert in it.
const (
	Firing   = "firing"
	Resolved = "resolved"
)

// Payload is the body of a notification.
type Payload struct {
	Receiver          string            `json:"receiver"`
	Status            string            `json:"status"`
	Alerts            []Alert           `json:"alerts"`
	GroupLabels       map[string]string `json:"groupLabels"`
	CommonLabels      map[string]string `json:"commonLabels"`
	CommonAnnotations map[string]string `json:"commonAnnotations"`
	ExternalURL       string            `json:"externalURL"`
	Version           string            `json:"version"`
	GroupKey          string            `json:"groupKey"`
	TruncatedAlerts   uint64            `json:"truncatedAlerts"`
}

// Alert is one alert of a notification. EndsAt is the zero time while it
// fires, as Alertmanager writes it.
type Alert struct {
	Status       string            `json:"status"`
	Labels       map[string]string `json:"labels"`
	Annotations  map[string]string `json:"annotations"`
	StartsAt     time.Time         `json:"startsAt"`
	EndsAt       time.Time         `json:"endsAt"`
	GeneratorURL string            `json:"generatorURL"`
	Fingerprint  string            `json:"fingerprint"`
}

// New makes the payload of one group. It sets each alert's fingerprint, the
// group's key and status and what the alerts have in common. At most limit
// alerts go in, the first ones; the rest are counted as truncated, yet what is
// common and the status speak of all of them.
func New(receiver, externalURL string, groupLabels map[string]string, alerts []Alert, limit int) Payload {
	p := Payload{
		Receiver: receiver, Status: Resolved, Version: Version, ExternalURL: externalURL,
		GroupLabels: groupLabels, GroupKey: "{}:" + labelString(groupLabels),
		CommonLabels: map[string]string{}, CommonAnnotations: map[string]string{},
		Alerts: []Alert{},
	}
	if p.GroupLabels == nil {
		p.GroupLabels = map[string]string{}
	}
	for i := range alerts {
		a := &alerts[i]
		a.Fingerprint = Fingerprint(a.Labels)
		if a.Status == Firing {
			p.Status = Firing
		}
		if i == 0 {
			maps.Copy(p.CommonLabels, a.Labels)
			maps.Copy(p.CommonAnnotations, a.Annotations)
			continue
		}
		keepCommon(p.CommonLabels, a.Labels)
		keepCommon(p.CommonAnnotations, a.Annotations)
	}
	if limit > 0 && len(alerts) > limit {
		p.TruncatedAlerts = uint64(len(alerts) - limit)
		alerts = alerts[:limit]
	}
	p.Alerts = append(p.Alerts, alerts...)
	return p
}

func keepCommon(common, other map[string]string) {
	maps.DeleteFunc(common, func(k, v string) bool {
		w, ok := other[k]
		return !ok || w != v
	})
}

// labelString writes labels as Prometheus does: {a="1", b="2"}.
func labelString(labels map[string]string) string {
	parts := make([]string, 0, len(labels))
	for _, k := range slices.Sorted(maps.Keys(labels)) {
		parts = append(parts, k+"="+strconv.Quote(labels[k]))
	}
	return "{" + strings.Join(parts, ", ") + "}"
}

// Fingerprint identifies an alert by its labels: FNV-1a over the sorted names
// and values, the same number Prometheus' model.LabelSet gives.
func Fingerprint(labels map[string]string) string {
	h := fnv.New64a()
	separator := []byte{255}
	for _, k := range slices.Sorted(maps.Keys(labels)) {
		h.Write([]byte(k))
		h.Write(separator)
		h.Write([]byte(labels[k]))
		h.Write(separator)
	}
	return fmt.Sprintf("%016x", h.Sum64())
}
