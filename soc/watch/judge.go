package watch

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	"icewatch/detections"
)

// Limits are when the suite alarms about the way of its events. They are a
// setting.
type Limits struct {
	SilentSeconds   int `json:"engine_silent_seconds" doc:"Alarm when the engine has not answered for so long; 0 is never"`
	LagSeconds      int `json:"lag_seconds" doc:"Alarm when the engine is so far behind intake; 0 is never"`
	BacklogPercent  int `json:"backlog_percent" doc:"Alarm when the bus is filled so far, of bus.max_size; 0 is never"`
	RestartsPerHour int `json:"restarts_per_hour" doc:"Alarm when the engine was started again so often within an hour; 0 is never"`
	SilenceMinutes  int `json:"silence_minutes" doc:"Alarm when a source has been silent for so long and for longer than its learnt rhythm explains; 0 is never"`
	ClockSeconds    int `json:"clock_seconds" doc:"Alarm when the machine's clock jumps by so much; 0 is never"`
	SlowSearchMS    int `json:"slow_search_ms" doc:"Searches that take longer are listed as slow; 0 lists none"`
}

// DefaultLimits alarm about what needs somebody.
var DefaultLimits = Limits{SilentSeconds: 120, LagSeconds: 60, BacklogPercent: 50, RestartsPerHour: 3, SilenceMinutes: 15, ClockSeconds: 5, SlowSearchMS: 5000}

// Check says what is wrong with the limits.
func (l Limits) Check() error {
	for _, x := range []struct {
		name        string
		value, most int
	}{{"engine_silent_seconds", l.SilentSeconds, 86400}, {"lag_seconds", l.LagSeconds, 86400}, {"backlog_percent", l.BacklogPercent, 100}, {"restarts_per_hour", l.RestartsPerHour, 1000},
		{"silence_minutes", l.SilenceMinutes, 43200}, {"clock_seconds", l.ClockSeconds, 86400}, {"slow_search_ms", l.SlowSearchMS, 3_600_000}} {
		if x.value < 0 || x.value > x.most {
			return fmt.Errorf("%s: %d: 0 to %d is expected", x.name, x.value, x.most)
		}
	}
	return nil
}

// Observation is what is seen of the way of events at one moment.
type Observation struct {
	At       time.Time
	Jump     time.Duration     // by which the clock went differently from the time that passed since the observation before
	Silent   bool              // the engine does not answer
	Lag      time.Duration     // of the engine behind intake
	Held     uint64            // bytes on the bus that are not worked yet
	Capacity uint64            // bytes that the bus may hold
	Restarts uint64            // of the engine, since the suite's start
	Drops    map[string]uint64 // events lost by reason, since some start
	Failing  map[string]string // ways in that do not work, with their last error
}

// UDP is the reason of packets that the kernel dropped: a kind of its own,
// since it calls for something else.
const UDP = "udp_kernel"

const (
	// steady is how long lag and failing ways in must last: a burst is no fault.
	steady = 30 * time.Second
	// recent is how long a drop, or a jump of the clock, is news.
	recent = 15 * time.Minute
)

// Judge turns observations into alarms. It remembers what it has to: since when
// something lasts. It is for one goroutine.
type Judge struct {
	started  bool
	restarts []time.Time
	counted  uint64
	drops    map[string]*drop
	since    map[string]time.Time
	jumped   time.Time
	jump     time.Duration
}

type drop struct {
	total, news uint64
	first, last time.Time
}

// Alarms says what is wrong. It is asked every few seconds.
func (j *Judge) Alarms(o Observation, l Limits) []Alarm {
	if j.drops == nil {
		j.drops, j.since = map[string]*drop{}, map[string]time.Time{}
	}
	out := j.engine(o, l)
	if j.lasts("silent engine", l.SilentSeconds > 0 && o.Silent, o.At, time.Duration(l.SilentSeconds)*time.Second) {
		out = append(out, Alarm{Kind: "engine-down", Key: "engine-down/silent", Detail: detections.Text{
			ZH: fmt.Sprintf("引擎超过 %d 秒没有应答", l.SilentSeconds), EN: fmt.Sprintf("The engine has not answered for more than %d s", l.SilentSeconds)}})
	}
	if j.lasts("lag", l.LagSeconds > 0 && o.Lag > time.Duration(l.LagSeconds)*time.Second, o.At, steady) {
		s := strconv.Itoa(int(o.Lag.Seconds()))
		out = append(out, Alarm{Kind: "bus-lag", Fields: map[string]string{"lag_seconds": s}, Detail: detections.Text{
			ZH: fmt.Sprintf("引擎处理落后接收 %s 秒（阈值 %d 秒）", s, l.LagSeconds), EN: fmt.Sprintf("The engine is %s s behind intake (limit %d s)", s, l.LagSeconds)}})
	}
	if o.Capacity > 0 && l.BacklogPercent > 0 {
		if p := int(100 * o.Held / o.Capacity); p >= l.BacklogPercent {
			a := Alarm{Kind: "bus-backlog", Fields: map[string]string{"percent": strconv.Itoa(p), "bytes": strconv.FormatUint(o.Held, 10)}, Detail: detections.Text{
				ZH: fmt.Sprintf("总线已用 %d%%（%d MiB / %d MiB）", p, o.Held>>20, o.Capacity>>20), EN: fmt.Sprintf("The bus is %d%% full (%d of %d MiB)", p, o.Held>>20, o.Capacity>>20)}}
			if p >= 90 {
				a.Severity = detections.Critical
			}
			out = append(out, a)
		}
	}
	out = append(out, j.lost(o)...)
	for _, id := range slices.Sorted(maps.Keys(o.Failing)) {
		if j.lasts("way in "+id, true, o.At, steady) {
			out = append(out, Alarm{Kind: "source-error", Key: "source-error/" + id, Fields: map[string]string{"collector": id}, Detail: detections.Text{
				ZH: "采集入口 " + id + " 出错：" + o.Failing[id], EN: "The way in " + id + " does not work: " + o.Failing[id]}})
		}
	}
	for name := range j.since {
		if id, ok := cutWayIn(name); ok {
			if _, still := o.Failing[id]; !still {
				delete(j.since, name)
			}
		}
	}
	if abs := o.Jump.Abs(); l.ClockSeconds > 0 && abs >= time.Duration(l.ClockSeconds)*time.Second {
		j.jumped, j.jump = o.At, o.Jump
	}
	if since := o.At.Sub(j.jumped); !j.jumped.IsZero() && since >= 0 && since < recent {
		s := strconv.FormatFloat(j.jump.Seconds(), 'f', 1, 64)
		out = append(out, Alarm{Kind: "clock-jump", Fields: map[string]string{"seconds": s}, Detail: detections.Text{
			ZH: fmt.Sprintf("系统时钟在 %s 跳变 %s 秒", j.jumped.Format(time.TimeOnly), s), EN: fmt.Sprintf("The clock jumped by %s s at %s", s, j.jumped.Format(time.TimeOnly))}})
	}
	return out
}

func cutWayIn(name string) (string, bool) {
	const prefix = "way in "
	if len(name) < len(prefix) || name[:len(prefix)] != prefix {
		return "", false
	}
	return name[len(prefix):], true
}

// engine counts restarts.
func (j *Judge) engine(o Observation, l Limits) []Alarm {
	for ; j.started && j.counted < o.Restarts; j.counted++ {
		j.restarts = append(j.restarts, o.At)
	}
	j.started, j.counted = true, o.Restarts
	j.restarts = slices.DeleteFunc(j.restarts, func(t time.Time) bool { return o.At.Sub(t) > time.Hour })
	n := len(j.restarts)
	if l.RestartsPerHour == 0 || n < l.RestartsPerHour {
		return nil
	}
	return []Alarm{{Kind: "engine-restarts", Fields: map[string]string{"restarts": strconv.Itoa(n)}, Detail: detections.Text{
		ZH: fmt.Sprintf("最近一小时引擎重启 %d 次", n), EN: fmt.Sprintf("The engine was started again %d times within the last hour", n)}}}
}

// lost tells of drops by reason. A total that is less than before is one that
// began anew.
func (j *Judge) lost(o Observation) (out []Alarm) {
	for _, reason := range slices.Sorted(maps.Keys(o.Drops)) {
		total := o.Drops[reason]
		d := j.drops[reason]
		if d == nil {
			d = &drop{}
			j.drops[reason] = d
		}
		before := d.total
		if total < before {
			before = 0
		}
		if total > before {
			if d.news == 0 {
				d.first = o.At
			}
			d.news += total - before
			d.last = o.At
		}
		d.total = total
		if d.news > 0 && o.At.Sub(d.last) >= recent {
			d.news = 0
		}
		if d.news == 0 {
			continue
		}
		kind := "events-dropped"
		if reason == UDP {
			kind = "udp-drops"
		}
		n := strconv.FormatUint(d.news, 10)
		out = append(out, Alarm{Kind: kind, Key: kind + "/" + reason, Fields: map[string]string{"reason": reason, "dropped": n}, Detail: detections.Text{
			ZH: fmt.Sprintf("自 %s 起丢弃 %s 条（原因：%s）", d.first.Format(time.TimeOnly), n, reason),
			EN: fmt.Sprintf("%s dropped since %s (reason: %s)", n, d.first.Format(time.TimeOnly), reason)}})
	}
	return out
}

// lasts tells whether something has been so for a time.
func (j *Judge) lasts(name string, is bool, now time.Time, least time.Duration) bool {
	if !is {
		delete(j.since, name)
		return false
	}
	if _, ok := j.since[name]; !ok {
		j.since[name] = now
	}
	return now.Sub(j.since[name]) >= least
}
