package daily

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"icewatch/detections"
	"icewatch/soc/reach"
	"icewatch/ticketing"
	"icewatch/ticketing/report"
	"icewatch/ticketing/sla"
)

// Tickets is what reports are made of. *ticketing.Service is one.
type Tickets interface {
	Figures(ctx context.Context, q ticketing.FiguresQuery) (ticketing.Figures, error)
	Incidents(ctx context.Context, q ticketing.IncidentQuery) (items []ticketing.Incident, total int, next string, err error)
	Measures(ctx context.Context, within reach.Reach, team string, from, to time.Time) ([]ticketing.Measure, error)
	Records(ctx context.Context, q ticketing.RecordQuery) ([]ticketing.Record, int, error)
	TopItems(ctx context.Context, within reach.Reach, from, to time.Time, limit int) ([]ticketing.TopItem, error)
}

var _ Tickets = (*ticketing.Service)(nil)

// words of a report in one language.
type words struct {
	en   bool
	zone *time.Location
}

func (w words) say(zh, en string) string {
	if w.en {
		return en
	}
	return zh
}

func (w words) text(t detections.Text) string {
	if w.en && t.EN != "" || t.ZH == "" {
		return t.EN
	}
	return t.ZH
}

func (w words) time(t time.Time) string {
	if t.IsZero() || t.UnixMilli() == 0 {
		return "–"
	}
	return t.In(w.zone).Format("01-02 15:04")
}

// span writes a duration of seconds.
func (w words) span(seconds int64) string {
	if seconds == 0 {
		return "–"
	}
	return (time.Duration(seconds) * time.Second).String()
}

var terms = map[string]string{
	"open": "待处理", "acknowledged": "处理中", "closed": "已关闭", "critical": "紧急", "high": "高", "medium": "中", "low": "低", "informational": "提示",
	"true_positive": "确认为真", "false_positive": "误报", "benign": "正常行为", "test": "演练测试", "duplicate": "重复", "recovered": "已恢复",
}

func (w words) term(key string) string {
	if zh, ok := terms[key]; ok && !w.en {
		return zh
	}
	return strings.ReplaceAll(key, "_", " ")
}

const (
	maxListed  = 50
	maxRecords = 1000
	topItems   = 10
)

// full writes the report of the day that begins at day.
func full(ctx context.Context, t Tickets, within reach.Reach, w words, name, whose string, day, now time.Time) (*report.Document, string, error) {
	end := time.Date(day.Year(), day.Month(), day.Day()+1, 0, 0, 0, 0, w.zone)
	f, err := t.Figures(ctx, ticketing.FiguresQuery{Reach: within, To: end.Add(-time.Millisecond), Days: 1, Zone: w.zone})
	if err != nil {
		return nil, "", err
	}
	d := &report.Document{Title: name, Subtitle: day.Format(time.DateOnly) + " · " + whose, Made: now, Footer: w.say("由 icewatch 生成于 ", "Made by icewatch at ") + now.In(w.zone).Format("2006-01-02 15:04 -07:00")}
	closed := 0
	if len(f.Days) > 0 {
		closed = f.Days[0].ClosedOn
	}
	row := func(what string, today, before int) []string {
		return []string{what, fmt.Sprint(today), fmt.Sprint(before), fmt.Sprintf("%+d", today-before)}
	}
	d.Sections = append(d.Sections, report.Section{Heading: w.say("一、总体情况", "1 Summary"), Table: report.Table{
		Columns: []string{w.say("指标", "Figure"), w.say("当日", "Day"), w.say("前一日", "Day before"), w.say("变化", "Change")}, Weights: []float64{3, 1, 1, 1},
		Rows: [][]string{
			row(w.say("新增告警", "Alerts raised"), f.Total.Alerts, f.Before.Alerts), row(w.say("告警对应的日志事件", "Events behind them"), f.Total.Events, f.Before.Events),
			row(w.say("新增事件", "Incidents opened"), f.Total.Incidents, f.Before.Incidents), row(w.say("其中已处理完毕", "Of these closed by now"), f.Total.Closed, f.Before.Closed),
			row(w.say("其中超时", "Of these late"), f.Total.Breached, f.Before.Breached), row(w.say("误报告警", "False alerts"), f.Total.False, f.Before.False),
			{w.say("当日关闭的事件", "Incidents closed on the day"), fmt.Sprint(closed), "", ""}, {w.say("尚未关闭的事件（全部）", "Incidents not closed, of all"), fmt.Sprint(f.Backlog), "", ""},
			{w.say("平均响应时间 MTTA", "Mean time to acknowledge"), w.span(f.Total.MTTA), w.span(f.Before.MTTA), ""}, {w.say("平均解决时间 MTTR", "Mean time to resolve"), w.span(f.Total.MTTR), w.span(f.Before.MTTR), ""},
		}}})
	opened, err := openedOn(ctx, t, within, day, end)
	if err != nil {
		return nil, "", err
	}
	d.Sections = append(d.Sections, report.Section{Heading: w.say("二、发生了什么", "2 What happened"), Text: listedNote(w, len(opened)), Table: w.incidents(opened)})
	for _, by := range f.By {
		if by.By == ticketing.BySeverity || by.By == ticketing.BySource || by.By == ticketing.BySystem {
			d.Sections = append(d.Sections, report.Section{Table: w.shares(by)})
		}
	}
	who, err := handlers(ctx, t, within, day, end, w)
	if err != nil {
		return nil, "", err
	}
	d.Sections = append(d.Sections, report.Section{Heading: w.say("三、谁在处理", "3 Who handled it"), Text: w.unless(len(who.Rows), "当日没有人工处置记录。", "Nobody handled anything on the day."), Table: who})
	levels, err := kept(ctx, t, within, day, end, now, w)
	if err != nil {
		return nil, "", err
	}
	d.Sections = append(d.Sections, report.Section{Heading: w.say("四、服务水平", "4 Service levels"), Text: w.unless(len(levels.Rows), "当日没有新增事件。", "No incident opened on the day."), Table: levels})
	top, err := t.TopItems(ctx, within, day, end, topItems)
	if err != nil {
		return nil, "", err
	}
	items := report.Table{Columns: []string{w.say("资产", "Item"), w.say("业务系统", "System"), w.say("告警", "Alerts"), w.say("最高级别", "Gravest")}, Weights: []float64{3, 3, 1, 1}}
	for _, it := range top {
		items.Rows = append(items.Rows, []string{it.Name, it.System, fmt.Sprint(it.Alerts), w.term(string(it.Severity))})
	}
	d.Sections = append(d.Sections, report.Section{Heading: w.say("五、告警最多的资产", "5 Items with the most alerts"), Text: w.unless(len(items.Rows), "当日没有涉及资产的告警。", "No alert of the day is about an item."), Table: items})
	summary := fmt.Sprintf(w.say("%s：新增告警 %d 条、事件 %d 起，关闭事件 %d 起，超时 %d 起，尚未关闭 %d 起。", "%s: %d alerts, %d incidents opened, %d closed, %d late, %d not closed."),
		day.Format(time.DateOnly), f.Total.Alerts, f.Total.Incidents, closed, f.Total.Breached, f.Backlog)
	return d, summary, nil
}

// highRisk writes the list of what is of high risk and not closed; n is how many
// incidents that are.
func highRisk(ctx context.Context, t Tickets, within reach.Reach, w words, name, whose string, now time.Time) (d *report.Document, summary string, n int, err error) {
	list, total, _, err := t.Incidents(ctx, ticketing.IncidentQuery{Reach: within, Statuses: []string{"open", "acknowledged"}, Severities: []string{"critical", "high"},
		Page: ticketing.Page{Sort: "-severity", Limit: 200}})
	if err != nil {
		return nil, "", 0, err
	}
	made := now.In(w.zone).Format("2006-01-02 15:04 -07:00")
	d = &report.Document{Title: name, Subtitle: made + " · " + whose, Made: now, Footer: w.say("由 icewatch 生成于 ", "Made by icewatch at ") + made,
		Sections: []report.Section{{Heading: w.say("尚未关闭的高风险事件", "Incidents of high risk that are not closed"), Text: fmt.Sprintf(w.say("共 %d 起。", "%d in all."), total), Table: w.incidents(list)}}}
	return d, fmt.Sprintf(w.say("尚未关闭的高风险事件 %d 起。", "%d incidents of high risk are not closed."), total), total, nil
}

func (w words) unless(n int, zh, en string) string {
	if n > 0 {
		return ""
	}
	return w.say(zh, en)
}

func listedNote(w words, n int) string {
	if n < maxListed {
		return w.unless(n, "当日没有新增事件。", "No incident opened on the day.")
	}
	return fmt.Sprintf(w.say("只列出最紧急的 %d 起。", "The %d most urgent ones are listed."), maxListed)
}

// openedOn lists the incidents that opened within a time, the most urgent first.
func openedOn(ctx context.Context, t Tickets, within reach.Reach, from, to time.Time) (out []ticketing.Incident, err error) {
	for cursor := ""; ; {
		list, _, next, err := t.Incidents(ctx, ticketing.IncidentQuery{Reach: within, Archived: ticketing.ArchivedToo, Since: from, Page: ticketing.Page{Sort: "-opened_at", Limit: 1000, Cursor: cursor}})
		if err != nil {
			return nil, err
		}
		for _, i := range list {
			if !i.OpenedAt.Before(from) && i.OpenedAt.Before(to) {
				out = append(out, i)
			}
		}
		if cursor = next; cursor == "" || len(list) > 0 && list[len(list)-1].OpenedAt.Before(from) {
			break
		}
	}
	slices.SortStableFunc(out, func(a, b ticketing.Incident) int { return strings.Compare(a.Priority, b.Priority) })
	return out[:min(len(out), maxListed)], nil
}

func (w words) incidents(list []ticketing.Incident) report.Table {
	t := report.Table{Columns: []string{w.say("事件", "Incident"), w.say("级别", "Level"), w.say("内容", "What"), w.say("时间", "Opened"), w.say("处理人", "Handler"), w.say("状态", "State")}, Weights: []float64{2.2, 1, 5, 1.5, 1.3, 1.4}}
	for _, i := range list {
		t.Rows = append(t.Rows, []string{i.ID, w.term(string(i.Severity)) + " " + i.Priority, w.text(i.Title), w.time(i.OpenedAt.Time), i.Assignee, strings.TrimSpace(w.term(string(i.Status)) + " " + w.term(i.Resolution))})
	}
	return t
}

func (w words) shares(d ticketing.Dimension) report.Table {
	name := map[string][2]string{ticketing.BySeverity: {"按级别", "By level"}, ticketing.BySource: {"按来源", "By source"}, ticketing.BySystem: {"按业务系统", "By system"}}[d.By]
	t := report.Table{Columns: []string{w.say(name[0], name[1]), w.say("告警", "Alerts"), w.say("事件", "Incidents"), w.say("已关闭", "Closed")}, Weights: []float64{4, 1, 1, 1}}
	for n, sh := range d.Shares {
		key := sh.Name
		if key == "" {
			key = w.term(sh.Key)
		}
		if key == "" {
			key = w.say("（未归属）", "(none)")
		}
		if n < topItems {
			t.Rows = append(t.Rows, []string{key, fmt.Sprint(sh.Alerts), fmt.Sprint(sh.Incidents), fmt.Sprint(sh.Closed)})
		}
	}
	return t
}

// handlers counts what people did within a time.
func handlers(ctx context.Context, t Tickets, within reach.Reach, from, to time.Time, w words) (report.Table, error) {
	out := report.Table{Columns: []string{w.say("人员", "Who"), w.say("操作", "Actions"), w.say("确认", "Acknowledged"), w.say("关闭", "Closed"), w.say("批注", "Comments")}, Weights: []float64{3, 1, 1, 1, 1}}
	type count struct{ all, acked, closed, comments int }
	by := map[string]*count{}
	for before := int64(0); ; {
		list, _, err := t.Records(ctx, ticketing.RecordQuery{Reach: within, From: from, To: to, Limit: maxRecords, Before: before})
		if err != nil {
			return out, err
		}
		for i := range list {
			r := &list[i]
			c := by[r.Actor]
			if c == nil {
				c = &count{}
				by[r.Actor] = c
			}
			c.all++
			switch r.Kind {
			case "acknowledged":
				c.acked++
			case "closed":
				c.closed++
			case "comment":
				c.comments++
			}
		}
		if len(list) < maxRecords {
			break
		}
		before = list[len(list)-1].Seq
	}
	names := make([]string, 0, len(by))
	for name := range by {
		names = append(names, name)
	}
	slices.SortFunc(names, func(a, b string) int {
		if by[a].all != by[b].all {
			return by[b].all - by[a].all
		}
		return strings.Compare(a, b)
	})
	for _, name := range names {
		c := by[name]
		out.Rows = append(out.Rows, []string{name, fmt.Sprint(c.all), fmt.Sprint(c.acked), fmt.Sprint(c.closed), fmt.Sprint(c.comments)})
	}
	return out, nil
}

// kept is how far service levels of the incidents of a time were kept.
func kept(ctx context.Context, t Tickets, within reach.Reach, from, to, now time.Time, w words) (report.Table, error) {
	out := report.Table{Columns: []string{w.say("优先级", "Priority"), w.say("事件", "Incidents"), w.say("响应达标/超时", "Response met/missed"), w.say("解决达标/超时", "Solution met/missed"), w.say("响应达标率", "Response"), w.say("解决达标率", "Solution")}}
	list, err := t.Measures(ctx, within, "", from, to)
	if err != nil || len(list) == 0 {
		return out, err
	}
	cases := make([]sla.Case, 0, len(list))
	for _, m := range list {
		cases = append(cases, sla.Case{Group: m.Priority, Clock: m.Clock, Paused: m.Paused})
	}
	for _, l := range sla.Report(cases, now) {
		group := l.Group
		if group == "" {
			group = w.say("合计", "All")
		}
		out.Rows = append(out.Rows, []string{group, fmt.Sprint(l.Incidents), fmt.Sprintf("%d / %d", l.AckMet, l.AckMissed), fmt.Sprintf("%d / %d", l.ResolveMet, l.ResolveMissed), share(l.AckShare, l.AckMet+l.AckMissed), share(l.ResolveShare, l.ResolveMet+l.ResolveMissed)})
	}
	return out, nil
}

// share writes a share of what is decided; where nothing is there is none.
func share(percent float64, decided int) string {
	if decided == 0 {
		return "–"
	}
	return fmt.Sprintf("%.1f %%", percent)
}
