package fleet

import (
	"fmt"
	"slices"

	"icewatch/collectors/fleet/configuration"
	"icewatch/collectors/fleet/wire"
	"icewatch/detections"
)

// Kinds of alarms.
const (
	AlarmOffline = "agent-offline"
	AlarmRefused = "agent-config-refused"
	AlarmTripped = "agent-tripped"
	AlarmLost    = "agent-lost"
	AlarmRollout = "rollout-rolled-back"
	AlarmTask    = "task-failing"
	AlarmBeyond  = "agent-threshold"
)

// Alarm is something wrong with an agent or a task.
type Alarm struct {
	Kind, Key, ZH, EN string
	Fields            map[string]string
	Severity          detections.Level // "" is the kind's
}

func alarm(kind, key, zh, en string, fields map[string]string) Alarm {
	return Alarm{Kind: kind, Key: key, ZH: zh, EN: en, Fields: fields}
}

// alarmsAtOnce bounds the alarms of a kind; beyond it one speaks for all.
const alarmsAtOnce = 100

// Alarms are what is wrong with the fleet at the moment.
func (s *Service) Alarms() []Alarm {
	now := s.now()
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []Alarm
	for _, m := range sorted(s.agents) {
		fields := map[string]string{"agent": m.ID, "host": m.Name, "tenant": m.Tenant}
		st := m.standing(now)
		switch st {
		case Revoked, Never:
			continue
		case Offline:
			out = append(out, alarm(AlarmOffline, m.ID, fmt.Sprintf("主机 %s（%s）的 Agent 已离线：最后一次上报 %s", m.Name, m.Tenant, m.SeenAt.Local().Format("2006-01-02 15:04:05")),
				fmt.Sprintf("The agent on %s (%s) is offline: last heard of at %s", m.Name, m.Tenant, m.SeenAt.Local().Format("2006-01-02 15:04:05")), fields))
			continue
		case Tripped:
			why := ""
			if len(m.Reasons) > 0 {
				why = m.Reasons[0].Part + ": " + m.Reasons[0].Text
			}
			out = append(out, alarm(AlarmTripped, m.ID, fmt.Sprintf("主机 %s（%s）的 Agent 已熔断：%s", m.Name, m.Tenant, why), fmt.Sprintf("The breaker of the agent on %s (%s) tripped: %s", m.Name, m.Tenant, why), fields))
		}
		if w := s.want(m); m.Fault != nil && m.Fault.SHA256 == w.sum {
			out = append(out, alarm(AlarmRefused, m.ID, fmt.Sprintf("主机 %s（%s）拒绝了配置：%s", m.Name, m.Tenant, faultText(m.Fault)), fmt.Sprintf("The agent on %s (%s) refused its configuration: %s", m.Name, m.Tenant, faultText(m.Fault)), fields))
		}
		if q := m.Queue; q.OldestSeconds > 600 || q.Bytes > 0 && m.Usage.DiskBytes > 0 && q.DroppedLines > 0 {
			out = append(out, alarm(AlarmLost, m.ID, fmt.Sprintf("主机 %s（%s）的 Agent 队列积压：最早的数据已等待 %d 秒，累计丢弃日志 %d 条、指标 %d 个", m.Name, m.Tenant, q.OldestSeconds, q.DroppedLines, q.DroppedMetrics),
				fmt.Sprintf("The queue of the agent on %s (%s) backs up: its oldest data waits for %d s; %d lines and %d samples were dropped so far", m.Name, m.Tenant, q.OldestSeconds, q.DroppedLines, q.DroppedMetrics), fields))
		}
	}
	for _, c := range s.allConfigurations() {
		if r := c.Rollout; r.State == configuration.RolledBack && r.Host != "" {
			out = append(out, alarm(AlarmRollout, versionKey(c.ID, r.Version), fmt.Sprintf("配置“%s”第 %d 版已自动回滚：主机 %s：%s", c.Name, r.Version, r.Host, r.Reason),
				fmt.Sprintf("Version %d of the configuration %q was rolled back by itself: %s: %s", r.Version, c.Name, r.Host, r.Reason), map[string]string{"configuration": c.ID, "host": r.Host, "tenant": c.Tenant}))
		}
	}
	for _, t := range sorted(s.tasks) {
		if v := s.viewTask(t); v.State == "failing" || v.State == "waiting" && t.Group != "" && now.Sub(s.started) > wire.OfflineAfter {
			why := v.Fault
			zh := why
			if why == "" {
				why, zh = "no member of its group is online", "分组内没有在线成员"
			}
			out = append(out, alarm(AlarmTask, t.ID, fmt.Sprintf("采集任务“%s”（%s）异常：%s", t.Name, t.Tenant, zh), fmt.Sprintf("The collection task %q (%s) fails: %s", t.Name, t.Tenant, why), map[string]string{"task": t.ID, "tenant": t.Tenant}))
		}
	}
	return bounded(append(out, s.stepThresholds(now)...))
}

// bounded keeps alarms of each kind to a number; the last tells of the others.
func bounded(list []Alarm) []Alarm {
	n := map[string]int{}
	for _, a := range list {
		n[a.Kind]++
	}
	kept := map[string]int{}
	out := slices.DeleteFunc(list, func(a Alarm) bool {
		kept[a.Kind]++
		return n[a.Kind] > alarmsAtOnce && kept[a.Kind] >= alarmsAtOnce
	})
	for _, kind := range []string{AlarmOffline, AlarmRefused, AlarmTripped, AlarmLost, AlarmRollout, AlarmTask, AlarmBeyond} {
		if more := n[kind] - alarmsAtOnce + 1; n[kind] > alarmsAtOnce {
			out = append(out, alarm(kind, "others", fmt.Sprintf("另有 %d 个同类告警", more), fmt.Sprintf("%d more of this kind", more), map[string]string{"more": fmt.Sprint(more)}))
		}
	}
	return out
}
