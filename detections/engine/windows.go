package engine

import (
	"fmt"
	"slices"
	"time"

	"icewatch/detections"
	"icewatch/detections/correlation"
)

// Windows is what correlations hold, and what became of it, since the start of
// the engine but for what is said otherwise.
type Windows struct {
	Groups       int               `json:"groups" doc:"Groups of events that are held now"`
	Bytes        int64             `json:"bytes" doc:"Memory that these take"`
	Limit        int64             `json:"limit" doc:"Memory that they may take: rules.correlation.memory"`
	Evicted      uint64            `json:"evicted" doc:"Groups that were dropped to stay within the limit, the longest silent first"`
	EvictedBy    map[string]uint64 `json:"evicted_by" doc:"The same by rule id"`
	Late         uint64            `json:"late" doc:"Events too late to count"`
	Cut          uint64            `json:"cut" doc:"Events dropped from groups that held too many"`
	NoNumber     uint64            `json:"no_number" doc:"Events without a number where one is needed"`
	ClosedGroups uint64            `json:"closed_groups" doc:"Groups whose windows were closed because the rules changed"`
	Closed       []Closing         `json:"closed" nullable:"false" doc:"The last 50 changes of rules that had open windows, the newest first"`
}

// Closing says what became of a rule's open windows when it changed.
type Closing struct {
	At     time.Time       `json:"at"`
	Rule   string          `json:"rule"`
	Title  detections.Text `json:"title"`
	Why    correlation.Why `json:"why" enum:"gone,recount,rejudge,older"`
	Groups int             `json:"groups" doc:"Groups whose windows were closed unjudged"`
	Kept   int             `json:"kept" doc:"Groups whose windows go on, judged by the rule as it is now"`
	Reason detections.Text `json:"reason"`
}

// maxClosings is how many of the last closings are remembered.
const maxClosings = 50

// reasons tell people why windows were closed.
var reasons = map[correlation.Why]detections.Text{
	correlation.Gone:    {ZH: "规则已不在用", EN: "the rule is not in force any more"},
	correlation.Recount: {ZH: "规则的计数对象、分组或时间窗已变更", EN: "it counts something else, by other groups or over another time"},
	correlation.Rejudge: {ZH: "规则的条件已变更：事件齐全的分组按新条件继续，其余关闭", EN: "its condition changed: groups that hold all their events go on under the new one, the others are closed"},
	correlation.Older:   {ZH: "状态由旧版本保存，无法沿用", EN: "the state was saved by an earlier version of icewatch and cannot be read any more"},
}

// closed remembers and tells what became of open windows. titles are those of
// rules by id, as far as they are known.
func (e *Engine) closed(list []correlation.Closed, titles map[string]detections.Text) {
	for _, c := range list {
		e.closedGroups += uint64(c.Groups)
		e.closings = append(e.closings, Closing{At: e.opts.Now().UTC(), Rule: c.Rule, Title: titles[c.Rule], Why: c.Why, Groups: c.Groups, Kept: c.Kept, Reason: reasons[c.Why]})
		e.log.Info("the rules changed while correlation windows were open", "rule", c.Rule, "groups_closed", c.Groups, "groups_kept", c.Kept, "why", reasons[c.Why].EN)
	}
	if over := len(e.closings) - maxClosings; over > 0 {
		e.closings = slices.Delete(e.closings, 0, over)
	}
}

// titles gives the titles of the correlations in force.
func titles(counts ...[]compiled) map[string]detections.Text {
	m := map[string]detections.Text{}
	for _, list := range counts {
		for i := range list {
			m[list[i].ID] = list[i].Info.Title
		}
	}
	return m
}

// windows tells what the correlations hold.
func (e *Engine) windows() Windows {
	st := e.state.Stats()
	w := Windows{Groups: st.Groups, Bytes: st.Bytes, Limit: e.state.Limit(), Evicted: st.Evicted, EvictedBy: st.EvictedBy, Late: st.Late, Cut: st.Cut, NoNumber: st.NoNumber,
		ClosedGroups: e.closedGroups, Closed: slices.Clone(e.closings)}
	slices.Reverse(w.Closed)
	if w.Closed == nil {
		w.Closed = []Closing{}
	}
	return w
}

// Windows tells what the correlations hold.
func (e *Engine) Windows() Windows {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.windows()
}

// Foremost names the rule that lost most groups to the limit, "" where none did.
func (w *Windows) Foremost() (rule string) {
	for id, n := range w.EvictedBy {
		if rule == "" || n > w.EvictedBy[rule] || n == w.EvictedBy[rule] && id < rule {
			rule = id
		}
	}
	return rule
}

// Full says in two languages that groups were dropped.
func (w *Windows) Full() detections.Text {
	rule := w.Foremost()
	return detections.Text{
		ZH: fmt.Sprintf("关联检测的状态已达内存上限 %d MiB：引擎启动以来丢弃了 %d 个最久未活动的分组，最多的规则为 %s（%d 个）；被丢弃的分组重新计数，可能漏报", w.Limit>>20, w.Evicted, rule, w.EvictedBy[rule]),
		EN: fmt.Sprintf("correlations reached their memory of %d MiB: %d groups were dropped since the engine started, the longest silent first, most of the rule %s (%d); what was dropped counts anew, and attacks may go unseen", w.Limit>>20, w.Evicted, rule, w.EvictedBy[rule])}
}
