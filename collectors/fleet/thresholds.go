package fleet

import (
	"context"
	"fmt"
	"slices"
	"time"

	"icewatch/collectors/fleet/configuration"
	"icewatch/collectors/fleet/roster"
	"icewatch/collectors/fleet/wire"
	"icewatch/detections"
)

// Subjects of thresholds.
const (
	OfAgent = "agent" // what the agent's process takes
	OfHost  = "host"  // what all of the host takes
	OfTask  = "task"  // what a collection task takes on a host
)

// measure is a figure that a threshold may be on.
type measure struct {
	unit, zh, en string
}

// measures are the figures, by subject and resource. Values come with the agent's checkins, at
// least once a minute.
var measures = map[string]map[string]measure{
	OfAgent: {
		"cpu":     {"%", "处理器（单核）", "processor, of one core"},
		"memory":  {"MB", "内存", "memory"},
		"disk":    {"MB", "磁盘队列", "queue on disk"},
		"network": {"KB/s", "发送", "sending"},
		"delay":   {"s", "最早数据等待", "wait of the oldest data"},
	},
	OfHost: {
		"cpu":     {"%", "处理器", "processor"},
		"memory":  {"%", "内存", "memory"},
		"disk":    {"%", "磁盘", "disk"},
		"network": {"KB/s", "网络收发", "network, in and out"},
	},
	OfTask: {
		"cpu":     {"%", "采集占用处理器（单核）", "processor that gathering takes, of one core"},
		"memory":  {"MB", "插件进程内存", "memory of plug-ins' own processes"},
		"network": {"KB/s", "采集数据量（压缩前）", "data gathered, before compression"},
		"time":    {"%", "采集耗时占比", "share of the time that gathering takes"},
		"rate":    {"/min", "采集量", "samples or lines a minute"},
	},
}

// taken is what a task takes on a host.
type taken struct {
	cpu     float64 // percent of a core
	memory  float64 // MB
	network float64 // KB/s
	time    float64 // percent
	rate    float64 // a minute
}

func (x *taken) add(in *wire.InputState) {
	x.cpu += in.CPU
	x.network += in.KBps
	x.time += in.Busy
	x.rate += float64(in.Rate)
	if in.Extension != nil {
		x.memory += float64(in.Extension.MemoryBytes) / (1 << 20)
	}
}

func (x *taken) of(resource string) float64 {
	return map[string]float64{"cpu": x.cpu, "memory": x.memory, "network": x.network, "time": x.time, "rate": x.rate}[resource]
}

// Threshold is a rule on what hosts, agents and tasks take.
type Threshold struct {
	ID       string                 `json:"id"`
	Tenant   string                 `json:"tenant"`
	Name     string                 `json:"name"`
	Of       string                 `json:"of" enum:"agent,host,task"`
	Resource string                 `json:"resource" enum:"cpu,memory,disk,network,delay,rate,time"`
	Above    float64                `json:"above"`
	Unit     string                 `json:"unit" doc:"Of above"`
	Minutes  int                    `json:"minutes" doc:"How long without a break"`
	Severity detections.Level       `json:"severity" enum:"critical,high,medium,low,informational"`
	Selector configuration.Selector `json:"selector" doc:"Hosts that it is for"`
	Enabled  bool                   `json:"enabled"`
	Revision int64                  `json:"revision"`
	At       time.Time              `json:"at"`
	By       string                 `json:"by"`
}

// ThresholdView is a threshold with how many are beyond it.
type ThresholdView struct {
	Threshold
	Beyond []ThresholdBeyond `json:"beyond" nullable:"false" doc:"Hosts that are beyond it for long enough, at most a hundred"`
}

// ThresholdBeyond is one host, agent or task beyond a threshold.
type ThresholdBeyond struct {
	Agent string    `json:"agent"`
	Host  string    `json:"host"`
	Task  string    `json:"task,omitempty" doc:"Name"`
	Value float64   `json:"value"`
	Since time.Time `json:"since"`
}

// ThresholdDraft is what is written of a threshold.
type ThresholdDraft struct {
	Tenant   string                 `json:"tenant" minLength:"1" maxLength:"63"`
	Name     string                 `json:"name" minLength:"1" maxLength:"64"`
	Of       string                 `json:"of" enum:"agent,host,task"`
	Resource string                 `json:"resource" enum:"cpu,memory,disk,network,delay,rate,time" doc:"Of agents cpu (percent of a core), memory, disk (MB), network (KB/s), delay (s); of hosts cpu, memory, disk (percent), network (KB/s); of tasks cpu (percent of a core), memory (MB, of plug-ins that run as processes), network (KB/s of data before compression), time (percent that gathering takes) and rate (a minute)"`
	Above    float64                `json:"above" minimum:"0" maximum:"1000000000"`
	Minutes  int                    `json:"minutes" minimum:"1" maximum:"1440"`
	Severity detections.Level       `json:"severity,omitempty" enum:"critical,high,medium,low,informational"`
	Selector configuration.Selector `json:"selector"`
	Enabled  *bool                  `json:"enabled,omitempty" doc:"true where it is absent"`
	Revision int64                  `json:"revision,omitempty" doc:"The one that was read: another one now is a conflict"`
}

const maxThresholds = 500

// KeepThreshold makes a threshold (id is empty) or changes one.
func (s *Service) KeepThreshold(ctx context.Context, a Asker, id string, d ThresholdDraft) (ThresholdView, error) {
	if err := checkName(d.Name); err != nil {
		return ThresholdView{}, err
	}
	m, ok := measures[d.Of][d.Resource]
	switch {
	case !a.may(d.Tenant):
		return ThresholdView{}, ErrForbidden
	case !s.deps.Tenant(d.Tenant):
		return ThresholdView{}, invalid("there is no tenant %q", clip(d.Tenant, 63))
	case !ok:
		return ThresholdView{}, invalid("there is no figure %s of the %s; agents have cpu, memory, disk, network and delay, hosts cpu, memory, disk and network, tasks cpu, memory, network, time and rate", clip(d.Resource, 20), clip(d.Of, 20))
	case m.unit == "%" && d.Of == OfHost && d.Above >= 100:
		return ThresholdView{}, invalid("above: a percentage is never above 100")
	case !d.Selector.Everybody && len(d.Selector.Groups) == 0 && len(d.Selector.Labels) == 0:
		return ThresholdView{}, invalid("selector: choose hosts by label or group, or all of the tenant")
	}
	if d.Severity == "" {
		d.Severity = detections.Medium
	}
	s.changing.Lock()
	defer s.changing.Unlock()
	now := s.now().UTC()
	x := &Threshold{ID: roster.NewID(now)}
	s.mu.Lock()
	err := func() error {
		if id != "" {
			old := s.thresholds[id]
			if old == nil || !a.may(old.Tenant) {
				return ErrNotFound
			}
			if old.Tenant != d.Tenant {
				return invalid("the tenant of a rule does not change: make another one")
			}
			if d.Revision != 0 && d.Revision != old.Revision {
				return conflict("%s has changed the rule since it was read", old.By)
			}
			c := *old
			x = &c
		} else if len(s.thresholds) >= maxThresholds {
			return conflict("there are %d rules, the most there may be", len(s.thresholds))
		}
		for _, other := range s.thresholds {
			if other.ID != x.ID && other.Tenant == d.Tenant && other.Name == d.Name {
				return conflict("there is a rule %q already", d.Name)
			}
		}
		return nil
	}()
	s.mu.Unlock()
	if err != nil {
		return ThresholdView{}, err
	}
	x.Tenant, x.Name, x.Of, x.Resource, x.Above, x.Unit, x.Minutes = d.Tenant, d.Name, d.Of, d.Resource, d.Above, m.unit, min(max(d.Minutes, 1), 1440)
	x.Severity, x.Selector, x.Enabled = d.Severity, d.Selector, d.Enabled == nil || *d.Enabled
	x.Revision++
	x.At, x.By = now, a.Name
	if err := s.store.Write(ctx, roster.Document{Kind: roster.KindThreshold, ID: x.ID, Tenant: x.Tenant, Data: x}); err != nil {
		return ThresholdView{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.thresholds[x.ID] = x
	delete(s.beyond, x.ID)
	s.note(roster.Operation{Tenant: x.Tenant, Object: "threshold:" + x.ID, Kind: "threshold-changed", Actor: a.Name, OK: true, Text: x.Name})
	return s.viewThreshold(x), nil
}

// DeleteThreshold takes a threshold away; its alarms end.
func (s *Service) DeleteThreshold(ctx context.Context, a Asker, id string) (Threshold, error) {
	s.changing.Lock()
	defer s.changing.Unlock()
	s.mu.Lock()
	x := s.thresholds[id]
	s.mu.Unlock()
	if x == nil || !a.may(x.Tenant) {
		return Threshold{}, ErrNotFound
	}
	if err := s.store.Write(ctx, roster.Document{Kind: roster.KindThreshold, ID: id}); err != nil {
		return Threshold{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.thresholds, id)
	delete(s.beyond, id)
	s.note(roster.Operation{Tenant: x.Tenant, Object: "threshold:" + id, Kind: "threshold-deleted", Actor: a.Name, OK: true, Text: x.Name})
	return *x, nil
}

// Thresholds lists the thresholds within reach.
func (s *Service) Thresholds(a Asker) []ThresholdView {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := []ThresholdView{}
	for _, x := range sorted(s.thresholds) {
		if a.may(x.Tenant) {
			out = append(out, s.viewThreshold(x))
		}
	}
	return out
}

// viewThreshold tells who is beyond a threshold. s.mu is held.
func (s *Service) viewThreshold(x *Threshold) ThresholdView {
	v := ThresholdView{Threshold: *x, Beyond: []ThresholdBeyond{}}
	now := s.now()
	s.figures(x, now, func(m *member, t *Task, value float64) {
		if since, ok := s.beyond[x.ID][subjectKey(m, t)]; ok && now.Sub(since) >= time.Duration(x.Minutes)*time.Minute && len(v.Beyond) < alarmsAtOnce {
			b := ThresholdBeyond{Agent: m.ID, Host: m.Name, Value: value, Since: since.UTC()}
			if t != nil {
				b.Task = t.Name
			}
			v.Beyond = append(v.Beyond, b)
		}
	})
	slices.SortFunc(v.Beyond, func(p, q ThresholdBeyond) int { return cmpText(p.Host+p.Agent+p.Task, q.Host+q.Agent+q.Task) })
	return v
}

func subjectKey(m *member, t *Task) string {
	switch {
	case t != nil && t.Group != "": // It is the same when another member runs it.
		return t.ID
	case t != nil:
		return m.ID + "/" + t.ID
	}
	return m.ID
}

// figures calls f with each value of the figure that a threshold is on; hosts that are not
// heard of have none. s.mu is held.
func (s *Service) figures(x *Threshold, now time.Time, f func(*member, *Task, float64)) {
	if !x.Enabled {
		return
	}
	counts := func(m *member) bool {
		return m != nil && m.Tenant == x.Tenant && m.RevokedAt.IsZero() && now.Sub(m.SeenAt) <= wire.OfflineAfter && x.Selector.Match(m.subject())
	}
	names := map[*Task][]string{}
	if x.Of == OfTask {
		for _, t := range s.tasks {
			switch {
			case t.Tenant != x.Tenant || !t.Enabled:
			case t.Group == "":
				names[t] = t.inputs()
			default: // A group's task is one, on the member that runs it.
				if m := s.agents[s.leases.Holder(t.ID)]; counts(m) {
					f(m, t, t.taken.of(x.Resource))
				}
			}
		}
	}
	for _, m := range s.agents {
		if !counts(m) {
			continue
		}
		switch x.Of {
		case OfAgent:
			f(m, nil, map[string]float64{"cpu": m.Usage.CPUPercent, "memory": float64(m.Usage.MemoryBytes) / (1 << 20), "disk": float64(m.Usage.DiskBytes) / (1 << 20), "network": m.sending, "delay": float64(m.Queue.OldestSeconds)}[x.Resource])
		case OfHost:
			if h := m.Usage.Host; h != nil {
				f(m, nil, map[string]float64{"cpu": h.CPUPercent, "memory": h.MemoryPercent, "disk": h.DiskPercent, "network": h.NetworkKBps}[x.Resource])
			}
		case OfTask:
			for t, list := range names {
				if !t.runsOn(m) {
					continue
				}
				var all taken
				for i := range m.Inputs {
					if slices.Contains(list, m.Inputs[i].Name) {
						all.add(&m.Inputs[i])
					}
				}
				f(m, t, all.of(x.Resource))
			}
		}
	}
}

// stepThresholds notes who is beyond which threshold, and tells who is for long enough. s.mu is held.
func (s *Service) stepThresholds(now time.Time) (out []Alarm) {
	for _, x := range sorted(s.thresholds) {
		before, after := s.beyond[x.ID], map[string]time.Time{}
		w := measures[x.Of][x.Resource]
		s.figures(x, now, func(m *member, t *Task, value float64) {
			if value <= x.Above {
				return
			}
			key := subjectKey(m, t)
			since, ok := before[key]
			if !ok {
				since = now
			}
			after[key] = since
			if now.Sub(since) < time.Duration(x.Minutes)*time.Minute {
				return
			}
			fields := map[string]string{"agent": m.ID, "host": m.Name, "tenant": m.Tenant, "rule": x.Name, "of": x.Of, "resource": x.Resource, "value": fmt.Sprintf("%.1f", value), "above": fmt.Sprintf("%g", x.Above), "unit": w.unit}
			zh, en := map[string]string{OfAgent: "Agent ", OfHost: ""}[x.Of], map[string]string{OfAgent: "of the agent ", OfHost: ""}[x.Of]
			if t != nil {
				fields["task"] = t.Name
				zh, en = fmt.Sprintf("采集任务“%s”", t.Name), fmt.Sprintf("of the task %q ", t.Name)
			}
			out = append(out, Alarm{Kind: AlarmBeyond, Key: x.ID + "/" + key, Severity: x.Severity, Fields: fields,
				ZH: fmt.Sprintf("主机 %s（%s）%s%s为 %.1f %s，超过规则“%s”的阈值 %g 已 %d 分钟以上", m.Name, m.Tenant, zh, w.zh, value, w.unit, x.Name, x.Above, x.Minutes),
				EN: fmt.Sprintf("On %s (%s) the %s %sis at %.1f %s, above the %g of the rule %q for more than %d min", m.Name, m.Tenant, w.en, en, value, w.unit, x.Above, x.Name, x.Minutes)})
		})
		s.beyond[x.ID] = after
	}
	slices.SortFunc(out, func(a, b Alarm) int { return cmpText(a.Key, b.Key) })
	return out
}

// sendingRate is how much an agent sent between two checkins, in kilobytes a second.
func sendingRate(before, now wire.Usage, span time.Duration) float64 {
	if before.Started != now.Started || now.SentBytes < before.SentBytes || span <= 0 || span > time.Hour {
		return 0
	}
	return float64(now.SentBytes-before.SentBytes) / 1024 / max(span.Seconds(), 1)
}
