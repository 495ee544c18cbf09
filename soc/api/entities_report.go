package api

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"icewatch/soc/entity"
	"icewatch/soc/identity"
	"icewatch/ticketing"
	"icewatch/ticketing/report"
)

// entityTerms are the words of reports about entities in Chinese.
var entityTerms = map[string]string{
	"ip": "IP 地址", "asset": "资产", "device": "设备", "website": "网站", "domain": "域名", "file": "文件", "mail": "邮箱", "app-user": "应用用户", "system-user": "系统用户", "organisation": "组织机构",
	"malicious": "恶意", "attacker": "攻击者", "compromised": "已失陷", "suspicious": "可疑", "benign": "正常", "exercise": "演练", "withdrawn": "已撤销",
	"success": "成功", "attempt": "尝试", "failed": "失败",
}

func (w reportWords) entityTerm(key string) string {
	if zh, ok := entityTerms[key]; ok && !w.en {
		return zh
	}
	return w.term(key)
}

var judgementHeader = []string{"type", "value", "zone", "tenant", "conclusion", "risk", "tags", "watched", "until", "sightings", "last_seen", "by", "at", "in_force", "note"}

func judgementRows(list []entity.Judgement) (rows [][]any) {
	when := func(t *time.Time) string {
		if t == nil {
			return ""
		}
		return t.Format(time.RFC3339)
	}
	for _, j := range list {
		rows = append(rows, []any{string(j.Type), j.Value, j.Zone, j.Tenant, j.Conclusion, j.Risk, strings.Join(j.Tags, " "), j.Watched, when(j.Until), j.Sightings, when(j.LastSeen), j.By, j.At.Format(time.RFC3339), j.InForce, j.Note})
	}
	return rows
}

// maxEntityFile is how many alerts or incidents a file holds.
const maxEntityFile = 10_000

// pages gathers the items of all pages of a list, so many at most.
func pages[T any](most int, read func(p ticketing.Page) (items []T, next string, err error)) (all []T, err error) {
	p := ticketing.Page{Limit: 1000}
	for {
		items, next, err := read(p)
		if err != nil {
			return nil, ticketProblem(err)
		}
		if all = append(all, items...); next == "" || len(all) >= most {
			return all, nil
		}
		p.Cursor = next
	}
}

// table is one list of an entity's page as a file.
func (r *entityReading) table(ctx context.Context, list, role string) (header []string, rows [][]any, err error) {
	stamp := func(t time.Time) string { return t.UTC().Format(time.RFC3339) }
	tickets := r.s.deps.Entities.Tickets
	switch list {
	case "alerts":
		q := r.alertsOf(role)
		all, err := pages(maxEntityFile, func(p ticketing.Page) ([]ticketing.Alert, string, error) {
			q.Page = p
			items, _, next, err := tickets.Alerts(ctx, q)
			return items, next, err
		})
		if err != nil {
			return nil, nil, err
		}
		for i := range all {
			a := &all[i]
			attacker, victim := sideOf(a.Attacker), sideOf(a.Victim)
			rows = append(rows, []any{a.ID, a.Tenant, string(a.Severity), a.Priority, string(a.Status), a.Resolution, a.Title.ZH, a.Title.EN, string(a.Verdict), attacker.IP, victim.IP, victim.Name,
				strings.Join(a.Techniques, " "), a.Count, stamp(a.FirstSeen.Time), stamp(a.LastSeen.Time), a.IncidentID})
		}
		return []string{"id", "tenant", "severity", "priority", "status", "resolution", "title_zh", "title_en", "verdict", "attacker", "victim", "victim_name", "techniques", "count", "first_seen", "last_seen", "incident"}, rows, nil
	case "incidents":
		all, err := pages(maxEntityFile, func(p ticketing.Page) ([]ticketing.Incident, string, error) {
			items, _, next, err := tickets.Incidents(ctx, ticketing.IncidentQuery{Reach: r.within, Alerts: r.involved, Since: r.start, Until: r.end.Add(-time.Millisecond), Page: p})
			return items, next, err
		})
		if err != nil {
			return nil, nil, err
		}
		for i := range all {
			x := &all[i]
			rows = append(rows, []any{x.ID, x.Tenant, string(x.Severity), x.Priority, string(x.Status), x.Resolution, x.Title.ZH, x.Title.EN, string(x.Verdict), x.AlertCount, stamp(x.FirstSeen.Time), stamp(x.LastSeen.Time)})
		}
		return []string{"id", "tenant", "severity", "priority", "status", "resolution", "title_zh", "title_en", "verdict", "alerts", "first_seen", "last_seen"}, rows, nil
	case "peers":
		view, err := r.peers(ctx)
		for _, p := range view.Items {
			rows = append(rows, []any{p.Address, p.Name, p.Internal, p.Code, p.Country, p.Abroad, p.Out, p.In, p.Bytes, strings.Join(p.Services, ", "), stamp(p.First), stamp(p.Last)})
		}
		return []string{"address", "name", "internal", "country_code", "country", "abroad", "events_out", "events_in", "bytes", "services", "first", "last"}, rows, err
	case "names":
		h, err := r.history(ctx)
		for _, n := range h.Names {
			rows = append(rows, []any{n.Field, n.Value, n.Events, stamp(n.First), stamp(n.Last)})
		}
		return []string{"field", "value", "events", "first", "last"}, rows, err
	case "changes":
		h, err := r.history(ctx)
		for _, c := range h.Changes {
			for _, x := range c.Changes {
				rows = append(rows, []any{stamp(c.Time), c.Name, c.Actor, c.Action, x.Field, x.Before, x.After})
			}
		}
		return []string{"time", "item", "actor", "action", "field", "before", "after"}, rows, err
	case "judgements":
		list, err := r.s.deps.Entities.Judgements.History(ctx, r.within, r.Entity)
		return judgementHeader, judgementRows(list), err
	}
	b, err := r.behaviour(ctx) // "values"
	for _, f := range b.Facets {
		for _, v := range f.Values {
			rows = append(rows, []any{f.Field, v.Value, int64(min(v.Hits, 1<<62))})
		}
	}
	return []string{"field", "value", "events"}, rows, err
}

// entityReport writes an entity down as the caller sees it.
func (r *entityReading) report(ctx context.Context, w reportWords) (*report.Document, error) {
	now := time.Now()
	head, err := r.s.entityHead(ctx, r.theEntity)
	if err != nil {
		return nil, err
	}
	d := &report.Document{Title: w.say("安全百科：", "Entity: ") + head.Shown, Subtitle: w.entityTerm(string(r.Type)) + " · " + w.time(r.start) + " – " + w.time(r.end), Made: now,
		Footer: w.say("由 icewatch 生成", "Made by icewatch") + " · " + Actor(ctx) + " · " + w.time(now)}
	add := func(s report.Section) { d.Sections = append(d.Sections, s) }
	count := func(n int64) string { return strconv.FormatInt(n, 10) }

	facts := [][2]string{{w.say("类型", "Type"), w.entityTerm(string(r.Type))}, {w.say("值", "Value"), r.Value}}
	if r.Zone != "" {
		facts = append(facts, [2]string{w.say("网络区域", "Zone"), r.Zone})
	}
	if head.Internal != nil {
		facts = append(facts, [2]string{w.say("内外部", "Whose"), map[bool]string{true: w.say("内部地址", "ours"), false: w.say("外部地址", "outside")}[*head.Internal]})
	}
	for _, it := range head.Items {
		text := it.Name + " (" + it.Class + ")"
		for _, more := range []string{it.Tenant, it.Owner} {
			if more != "" {
				text += " · " + more
			}
		}
		if it.SystemRef != nil {
			text += " · " + it.SystemRef.Name
		}
		facts = append(facts, [2]string{w.say("资产", "Item"), text})
	}
	facts = append(facts, [2]string{w.say("未关闭告警", "Open alerts"), count(int64(head.AlertsTotal))}, [2]string{w.say("未关闭事件", "Open incidents"), count(int64(head.IncidentsTotal))})
	if j := head.Judgement; j != nil {
		facts = append(facts, [2]string{w.say("研判结论", "Judgement"), strings.TrimSpace(w.entityTerm(j.Conclusion) + " " + w.term(j.Risk) + " " + strings.Join(j.Tags, ", "))})
	}
	add(report.Section{Heading: w.say("概况", "Summary"), Facts: facts})

	p, err := r.portrait(ctx, "any")
	if err != nil {
		return nil, err
	}
	list := func(facets []ticketing.Facet) string {
		var out []string
		for _, f := range facets {
			out = append(out, w.entityTerm(f.Value)+" "+strconv.Itoa(f.Alerts))
		}
		return strings.Join(out, ", ")
	}
	portrait := [][2]string{{w.say("告警", "Alerts"), strconv.Itoa(p.Alerts)}, {w.say("事件数", "Events"), strconv.Itoa(p.Events)}, {w.say("安全事件", "Incidents"), strconv.Itoa(p.Incidents)},
		{w.say("状态", "States"), fmt.Sprintf("%s %d, %s %d, %s %d", w.term("open"), p.Open, w.term("acknowledged"), p.Handled, w.term("closed"), p.Closed)},
		{w.say("确认为真", "True"), strconv.Itoa(p.True)}, {w.say("误报", "False"), strconv.Itoa(p.False)}, {w.say("级别", "Severity"), list(p.Severity)}, {w.say("攻击结果", "Verdicts"), list(p.Verdicts)}, {w.say("技术", "Techniques"), list(p.Techniques)}}
	if s := p.Suspicion; s != nil {
		from := w.say("时间不明", "unknown")
		if s.From != nil {
			from = w.time(*s.From)
		}
		portrait = append(portrait, [2]string{w.say("疑似最先失陷", "First broken into"), strings.TrimSpace(s.Asset.Name+" "+s.Asset.IP) + ": " + from + " – " + w.time(s.To)})
	}
	add(report.Section{Heading: w.say("攻击画像", "Portrait"), Facts: portrait})
	chain := report.Table{Columns: []string{w.say("时间", "Time"), w.say("级别", "Severity"), w.say("告警", "Alert"), w.say("结果", "Verdict"), w.say("状态", "Status")}, Weights: []float64{2.4, 1, 6, 1, 1.2}}
	for _, l := range p.Chain {
		chain.Rows = append(chain.Rows, []string{w.time(l.FirstSeen.Time), w.term(string(l.Severity)), w.text(l.Title), w.entityTerm(string(l.Verdict)), w.term(string(l.Status))})
	}
	add(report.Section{Heading: w.say("事件链", "Chain of events"), Table: chain})

	b, err := r.behaviour(ctx)
	if err != nil {
		return nil, err
	}
	did := [][2]string{{w.say("日志条数", "Events"), count(b.Events)}}
	if b.First != nil && b.Last != nil {
		did = append(did, [2]string{w.say("首次", "First"), w.time(*b.First)}, [2]string{w.say("末次", "Last"), w.time(*b.Last)})
	}
	for _, f := range b.Facets {
		var values []string
		for _, v := range f.Values {
			values = append(values, v.Value+" ("+strconv.FormatUint(v.Hits, 10)+")")
		}
		did = append(did, [2]string{f.Field, strings.Join(values, ", ")})
	}
	add(report.Section{Heading: w.say("行为", "Behaviour"), Facts: did})

	view, err := r.peers(ctx)
	if err != nil {
		return nil, err
	}
	peers := report.Table{Columns: []string{w.say("地址", "Address"), w.say("名称", "Name"), w.say("国家/地区", "Place"), w.say("发出", "Out"), w.say("收到", "In"), w.say("字节", "Bytes"), w.say("服务", "Services")}, Weights: []float64{2.2, 2, 1.2, 0.9, 0.9, 1.2, 3}}
	for _, x := range view.Items[:min(len(view.Items), 50)] {
		peers.Rows = append(peers.Rows, []string{x.Address, x.Name, x.Country, count(x.Out), count(x.In), count(x.Bytes), strings.Join(x.Services, ", ")})
	}
	add(report.Section{Heading: w.say("通信", "Communication"), Table: peers,
		Text: fmt.Sprintf(w.say("对端 %d 个，其中境外 %d 个。", "%d peers, %d of them abroad."), view.Total, view.Abroad)})

	judged, err := r.s.deps.Entities.Judgements.History(ctx, r.within, r.Entity)
	if err != nil {
		return nil, err
	}
	said := report.Table{Columns: []string{w.say("时间", "Time"), w.say("人员", "Who"), w.say("结论", "Conclusion"), w.say("风险", "Risk"), w.say("标签", "Tags"), w.say("说明", "Note")}, Weights: []float64{2.4, 1.2, 1.2, 0.8, 2, 4}}
	for _, j := range judged {
		said.Rows = append(said.Rows, []string{w.time(j.At), j.By, w.entityTerm(j.Conclusion), w.term(j.Risk), strings.Join(j.Tags, ", "), j.Note})
	}
	if len(said.Rows) > 0 {
		add(report.Section{Heading: w.say("研判记录", "Judgements"), Table: said})
	}
	d.Sections = slices.DeleteFunc(d.Sections, func(s report.Section) bool { return s.Text == "" && len(s.Facts) == 0 && len(s.Table.Rows) == 0 })
	return d, nil
}

func (s *Server) entityReportRoutes() {
	file := entityOperation("report-entity", "/report", "An entity's page as a report, PDF or DOCX")
	file.Responses = anyFile("application/pdf")
	Register(s, file, identity.ScopeRead,
		func(ctx context.Context, in *struct {
			EntityPeriod
			Format string `query:"format" enum:"pdf,docx" default:"pdf"`
			Lang   string `query:"lang" enum:"zh,en" default:"zh"`
		}) (*huma.StreamResponse, error) {
			d, err := partOfEntity(s, ctx, in.EntityPeriod, func(ctx context.Context, r *entityReading) (*report.Document, error) {
				return r.report(ctx, reportWords{in.Lang == "en"})
			})
			if err != nil {
				return nil, err
			}
			return written(d, in.Format, "entity-"+in.Type)
		})
	table := entityOperation("export-entity", "/export", "A list of an entity's page as a file")
	table.Responses = anyFile("text/csv")
	Register(s, table, identity.ScopeRead,
		func(ctx context.Context, in *struct {
			EntityPeriod
			TableInput
			List string `query:"list" required:"true" enum:"alerts,incidents,peers,names,changes,judgements,values" doc:"values: the most frequent values of the fields of its events"`
			Role string `query:"role" enum:"any,attacker,victim" default:"any" doc:"Of alerts"`
		}) (*huma.StreamResponse, error) {
			type file struct {
				header []string
				rows   [][]any
			}
			f, err := partOfEntity(s, ctx, in.EntityPeriod, func(ctx context.Context, r *entityReading) (file, error) {
				header, rows, err := r.table(ctx, in.List, in.Role)
				return file{header, rows}, err
			})
			if err != nil {
				return nil, err
			}
			return tableAnswer("entity-"+in.List, in.Format, f.header, f.rows)
		})
}
