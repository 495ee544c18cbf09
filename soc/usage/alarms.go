package usage

import (
	"fmt"
	"strconv"
	"strings"

	"icewatch/detections"
	"icewatch/soc/watch"
)

// QuotaAlarms says which tenants near or have reached their quota.
func QuotaAlarms(list []Standing) (out []watch.Alarm) {
	for _, s := range list {
		if s.State == OK {
			continue
		}
		percent := strconv.Itoa(int(100 * s.Quota.Share(s.Events, s.Bytes)))
		a := watch.Alarm{Kind: "quota-reached", Key: "quota/" + s.Tenant + "/" + s.Day,
			Fields: map[string]string{"tenant": s.Tenant, "percent": percent, "events": strconv.FormatUint(s.Events, 10), "bytes": strconv.FormatUint(s.Bytes, 10), "refused": strconv.FormatUint(s.RefusedEvents, 10)}}
		zh, en := fmt.Sprintf("租户 %s 今日已用配额 %s%%（%d 条，%d 字节）", s.Tenant, percent, s.Events, s.Bytes),
			fmt.Sprintf("The tenant %s has used %s%% of its quota of today (%d events, %d bytes)", s.Tenant, percent, s.Events, s.Bytes)
		switch s.State {
		case Warning:
			a.Kind = "quota-warning"
			a.Key = "quota-warning/" + s.Tenant + "/" + s.Day
		case Refusing:
			a.Severity = detections.High
			zh += "；零点前不再接收其数据"
			en += "; nothing more of it is taken before midnight"
		}
		a.Detail = detections.Text{ZH: zh, EN: en}
		out = append(out, a)
	}
	return out
}

// maxSilent is how many silent sources have an alarm each; more of them at once
// are one fault, of a network or of a relay.
const maxSilent = 20

// SilenceAlarms says which sources fell silent.
func SilenceAlarms(list []Source) (out []watch.Alarm) {
	var names []string
	for _, s := range list {
		if s.SilentSince == nil {
			continue
		}
		name := s.Peer
		if s.Name != "" {
			name = s.Name + " (" + s.Peer + ")"
		} else if name == "" {
			name = s.Collector
		}
		names = append(names, name)
		since := s.SilentSince.Local().Format("2006-01-02 15:04:05")
		out = append(out, watch.Alarm{Kind: "source-silent", Key: "source-silent/" + s.ID,
			Fields: map[string]string{"collector": s.Collector, "peer": s.Peer, "tenant": s.Tenant, "item": s.Item, "last_seen": s.LastSeen.Format("2006-01-02T15:04:05Z07:00")},
			Detail: detections.Text{ZH: fmt.Sprintf("数据源 %s（%s）自 %s 起没有数据", name, s.Collector, since),
				EN: fmt.Sprintf("The source %s (%s) has sent nothing since %s", name, s.Collector, since)}})
	}
	if len(out) <= maxSilent {
		return out
	}
	first := strings.Join(names[:5], ", ")
	return []watch.Alarm{{Kind: "source-silent", Severity: detections.High, Fields: map[string]string{"sources": strconv.Itoa(len(names))},
		Detail: detections.Text{ZH: fmt.Sprintf("%d 个数据源同时静默：%s 等", len(names), first), EN: fmt.Sprintf("%d sources are silent at once: %s and more", len(names), first)}}}
}
