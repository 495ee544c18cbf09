package rhythm

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"icewatch/detections"
	"icewatch/soc/watch"
)

// maxAlarms is how many sources of a state have an alarm each; more of them at
// once are one fault, of a network or of a relay.
const maxAlarms = 20

// Alarms say which sources are silent or flood: one for each source, whatever
// number of its datasets is meant.
func Alarms(list []Source) (out []watch.Alarm) {
	for _, state := range []string{Silent, Flood} {
		type group struct {
			first    Source
			datasets []string
			others   bool // some of its datasets are as ever
		}
		groups := map[[2]string]*group{}
		var order []*group
		for _, s := range list {
			if s.State != state {
				continue
			}
			k := [2]string{s.Tenant, s.Source}
			g := groups[k]
			if g == nil {
				g = &group{first: s}
				groups[k] = g
				order = append(order, g)
			}
			g.datasets = append(g.datasets, s.Dataset)
			if s.Since.Before(*g.first.Since) {
				g.first.Since = s.Since
			}
		}
		for _, s := range list {
			if g := groups[[2]string{s.Tenant, s.Source}]; g != nil && s.State == OK {
				g.others = true
			}
		}
		var alarms []watch.Alarm
		var names []string
		for _, g := range order {
			names = append(names, name(g.first))
			slices.Sort(g.datasets)
			alarms = append(alarms, alarm(state, g.first, g.datasets, g.others))
		}
		if len(alarms) > maxAlarms {
			first := strings.Join(names[:5], ", ")
			n := strconv.Itoa(len(alarms))
			a := watch.Alarm{Kind: "source-" + state, Severity: detections.High, Fields: map[string]string{"sources": n},
				Detail: detections.Text{ZH: n + " 个数据源同时静默：" + first + " 等", EN: n + " sources are silent at once: " + first + " and more"}}
			if state == Flood {
				a.Detail = detections.Text{ZH: n + " 个数据源同时日志激增：" + first + " 等", EN: n + " sources flood at once: " + first + " and more"}
			}
			alarms = []watch.Alarm{a}
		}
		out = append(out, alarms...)
	}
	return out
}

// name is what a source is called: its item, and its business system.
func name(s Source) string {
	n := s.Source
	if n == "" {
		n = s.Collector
	}
	if s.ItemName != "" && s.ItemName != n {
		n = s.ItemName + " (" + n + ")"
	}
	return n
}

func alarm(state string, s Source, datasets []string, others bool) watch.Alarm {
	fields := map[string]string{"tenant": s.Tenant, "source": s.Source, "datasets": strings.Join(datasets[:min(len(datasets), 20)], ", "), "collector": s.Collector, "last_seen": s.LastSeen.Format(time.RFC3339)}
	for k, v := range map[string]string{"item": s.Item, "system": s.System, "system_name": s.SystemName, "owner": s.Owner, "peer": s.Peer} {
		if v != "" {
			fields[k] = v
		}
	}
	zh, en := name(s), name(s)
	if s.SystemName != "" {
		zh, en = s.SystemName+"的"+zh, en+" of "+s.SystemName
	}
	since := s.Since.Local().Format("2006-01-02 15:04")
	kinds := strings.Join(datasets[:min(len(datasets), 3)], ", ")
	if len(datasets) > 3 {
		kinds += ", …"
	}
	a := watch.Alarm{Kind: "source-" + state, Key: "source-" + state + "/" + s.Tenant + "/" + s.Source, Fields: fields}
	if state == Silent {
		a.Detail = detections.Text{ZH: fmt.Sprintf("%s（租户 %s）自 %s 起没有 %s 日志，超出其发送规律", zh, s.Tenant, since, kinds),
			EN: fmt.Sprintf("%s (tenant %s) has sent no %s since %s, longer than its rhythm explains", en, s.Tenant, kinds, since)}
		if others {
			a.Detail.ZH += "；其他类型日志正常"
			a.Detail.EN += "; its other logs go on"
		}
	} else {
		a.Detail = detections.Text{ZH: fmt.Sprintf("%s（租户 %s）自 %s 起 %s 日志激增：每秒 %.0f 条，平时约 %.1f 条", zh, s.Tenant, since, kinds, s.Rate, s.Usual),
			EN: fmt.Sprintf("%s (tenant %s) floods with %s since %s: %.0f events a second, usually some %.1f", en, s.Tenant, kinds, since, s.Rate, s.Usual)}
	}
	if s.Owner != "" {
		a.Detail.ZH += "；责任人 " + s.Owner
		a.Detail.EN += "; owner: " + s.Owner
	}
	return a
}
