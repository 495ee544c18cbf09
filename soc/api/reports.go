package api

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"icewatch/detections"
	"icewatch/soc/identity"
	"icewatch/ticketing"
	"icewatch/ticketing/report"
	"icewatch/ticketing/statutory"
)

// ReportInput says how a report is written. It is exported because inputs embed it.
type ReportInput struct {
	IDInput
	Format string `query:"format" enum:"pdf,docx" default:"pdf"`
	Lang   string `query:"lang" enum:"zh,en" default:"zh"`
}

// words of reports in one language.
type reportWords struct{ en bool }

func (w reportWords) say(zh, en string) string {
	if w.en {
		return en
	}
	return zh
}

func (w reportWords) text(t detections.Text) string {
	if w.en && t.EN != "" || t.ZH == "" {
		return t.EN
	}
	return t.ZH
}

func (w reportWords) time(t time.Time) string {
	if t.IsZero() || t.UnixMilli() == 0 {
		return "–"
	}
	return t.Local().Format("2006-01-02 15:04:05 -07:00")
}

func (w reportWords) millis(ms int64) string { return w.time(time.UnixMilli(ms)) }

// statuses and levels as reports say them in Chinese.
var reportTerms = map[string]string{
	"open": "待处理", "acknowledged": "处理中", "closed": "已关闭", "critical": "紧急", "high": "高", "medium": "中", "low": "低", "informational": "提示",
	"true_positive": "确认为真", "false_positive": "误报", "benign": "正常行为", "test": "演练测试", "duplicate": "重复", "recovered": "已恢复",
}

func (w reportWords) term(key string) string {
	if zh, ok := reportTerms[key]; ok && !w.en {
		return zh
	}
	return strings.ReplaceAll(key, "_", " ")
}

// written answers with a document in the format that was asked for.
func written(d *report.Document, format, name string) (*huma.StreamResponse, error) {
	var b bytes.Buffer
	write, media := report.WritePDF, "application/pdf"
	if format == "docx" {
		write, media = report.WriteDOCX, "application/vnd.openxmlformats-officedocument.wordprocessingml.document"
	}
	if err := write(&b, d); err != nil {
		return nil, err
	}
	return attachment(media, "icewatch-"+name+"-"+stamp(d.Made)+"."+format, b.Bytes()), nil
}

func (s *Server) reportRoutes() {
	op := caseOp("report-incident", http.MethodGet, "/report", "A report of an incident as PDF or DOCX")
	op.Responses = anyFile("application/pdf")
	Register(s, op, identity.ScopeRead,
		func(ctx context.Context, in *ReportInput) (*huma.StreamResponse, error) {
			c, err := s.openCase(ctx, in.ID, "")
			if err != nil {
				return nil, err
			}
			d, err := s.incidentReport(ctx, c, reportWords{in.Lang == "en"})
			if err != nil {
				return nil, err
			}
			return written(d, in.Format, c.ID)
		})
	s.statutoryRoutes()
}

// incidentReport writes an incident down as the caller sees it.
func (s *Server) incidentReport(ctx context.Context, c *theCase, w reportWords) (*report.Document, error) {
	i, err := s.deps.Casework.Incidents.Incident(ctx, c.by.Reach, c.ID)
	if err != nil {
		return nil, ticketProblem(err)
	}
	now := time.Now()
	d := &report.Document{Title: w.text(i.Title), Subtitle: i.ID + " · " + i.Tenant, Made: now,
		Footer: w.say("由 icewatch 生成", "Made by icewatch") + " · " + c.by.Name + " · " + w.time(now)}
	names := func(list []detections.Party) string {
		var out []string
		for _, p := range list {
			out = append(out, strings.TrimSpace(p.IP+" "+p.Name))
		}
		return strings.Join(out, ", ")
	}
	facts := [][2]string{
		{w.say("级别", "Severity"), w.term(string(i.Severity)) + " · " + i.Priority}, {w.say("状态", "Status"), strings.TrimSpace(w.term(string(i.Status)) + " " + w.term(i.Resolution))},
		{w.say("发现时间", "Opened"), w.time(i.OpenedAt.Time)}, {w.say("活动时间", "Active"), w.time(i.FirstSeen.Time) + " – " + w.time(i.LastSeen.Time)},
		{w.say("责任人", "Assignee"), i.Assignee}, {w.say("攻击者", "Attackers"), names(i.Attackers)}, {w.say("受害者", "Victims"), names(i.Victims)},
		{w.say("技术", "Techniques"), strings.Join(i.Techniques, ", ")}, {w.say("首次响应期限", "Response due"), w.time(i.SLA.AckDue.Time)}, {w.say("解决期限", "Solution due"), w.time(i.SLA.ResolveDue.Time)},
	}
	if i.CI != nil {
		facts = append(facts, [2]string{w.say("资产", "Item"), i.CI.Name + " (" + i.CI.Class + ")"})
	}
	if i.System != nil {
		facts = append(facts, [2]string{w.say("业务系统", "System"), i.System.Name})
	}
	var reasons []string
	for _, r := range i.Reasons {
		reasons = append(reasons, w.text(r))
	}
	d.Sections = append(d.Sections, report.Section{Heading: w.say("概况", "Summary"), Facts: facts, Text: strings.Join(reasons, "\n")})
	alerts := report.Table{Columns: []string{w.say("时间", "Time"), w.say("级别", "Severity"), w.say("告警", "Alert"), w.say("次数", "Events"), w.say("状态", "Status")}, Weights: []float64{2.6, 1, 6, 0.9, 1.2}}
	for n := range i.Alerts {
		a := &i.Alerts[n]
		alerts.Rows = append(alerts.Rows, []string{w.time(a.FirstSeen.Time), w.term(string(a.Severity)), w.text(a.Title), fmt.Sprint(a.Count), w.term(string(a.Status))})
	}
	d.Sections = append(d.Sections, report.Section{Heading: w.say("告警", "Alerts"), Table: alerts})
	line := report.Table{Columns: []string{w.say("时间", "Time"), w.say("人员", "Who"), w.say("内容", "What")}, Weights: []float64{2.2, 1.2, 6}}
	for _, e := range i.Timeline {
		line.Rows = append(line.Rows, []string{w.time(e.Time.Time), e.Actor, w.text(e.Text)})
	}
	tasks, err := s.deps.Casework.Plans.Tasks(ctx, c.ID)
	if err != nil {
		return nil, err
	}
	done := report.Table{Columns: []string{w.say("任务", "Task"), w.say("负责人", "Owner"), w.say("期限", "Due"), w.say("完成", "Done"), w.say("结果", "Outcome")}, Weights: []float64{3.5, 1.2, 2.2, 2.2, 3}}
	for _, t := range tasks {
		if t.RemovedAt == 0 {
			done.Rows = append(done.Rows, []string{t.Title, t.Owner, w.millis(t.Due), w.millis(t.DoneAt), t.Outcome})
		}
	}
	if len(done.Rows) > 0 {
		d.Sections = append(d.Sections, report.Section{Heading: w.say("处置任务", "Tasks"), Table: done})
	}
	items, err := s.deps.Casework.Evidence.List(ctx, c.ID)
	if err != nil {
		return nil, err
	}
	proof := report.Table{Columns: []string{w.say("编号", "Id"), w.say("名称", "Name"), w.say("说明", "Shows"), "SHA-256"}, Weights: []float64{2, 2.4, 3, 4}}
	for _, it := range items {
		if it.WithdrawnAt == 0 && c.may(it.AddedBy) == nil {
			proof.Rows = append(proof.Rows, []string{it.ID, it.Name, it.Reason, it.SHA256})
		}
	}
	if len(proof.Rows) > 0 {
		d.Sections = append(d.Sections, report.Section{Heading: w.say("证据", "Evidence"), Table: proof})
	}
	d.Sections = append(d.Sections, report.Section{Heading: w.say("时间线", "Timeline"), Table: line})
	review, err := s.deps.Casework.Plans.Review(ctx, c.ID)
	if err != nil {
		return nil, err
	}
	if review.Revision > 0 {
		part := report.Section{Heading: w.say("复盘", "Review")}
		for _, sec := range review.Sections {
			if a := review.Answers[sec.Key]; a != "" {
				part.Facts = append(part.Facts, [2]string{w.text(sec.Title), a})
			}
		}
		d.Sections = append(d.Sections, part)
	}
	return d, nil
}

// StatutoryInput names a statutory report. It is exported because inputs embed it.
type StatutoryInput struct {
	IDInput
	Report string `path:"report" maxLength:"40" doc:"Id of a statutory report"`
}

// statutoryRoutes are the reports that the law demands.
func (s *Server) statutoryRoutes() {
	store := s.deps.Casework.Statutory
	act := func(ctx context.Context, in StatutoryInput, detail string, do func(c *theCase) (statutory.Report, error)) (*Body[statutory.Report], error) {
		c, err := s.openCase(ctx, in.ID, strings.TrimSpace("statutory report "+clip(in.Report, 40)+" "+detail))
		if err != nil {
			return nil, err
		}
		r, err := do(c)
		return Reply(r), caseProblem(err)
	}
	Register(s, huma.Operation{OperationID: "get-statutory-terms", Method: http.MethodGet, Path: "/statutory-terms", Tags: []string{"incidents"},
		Summary: "What the law demands to be reported, to whom and by when, with the source"}, identity.ScopeRead,
		func(context.Context, *Empty) (*Body[statutory.Terms], error) { return Reply(*store.Terms()), nil })
	Register(s, huma.Operation{OperationID: "list-statutory-due", Method: http.MethodGet, Path: "/statutory-reports", Tags: []string{"incidents"}, Summary: "Statutory reports that have to be sent, the first due first"}, identity.ScopeRead,
		func(ctx context.Context, _ *Empty) (*Body[Page[statutory.Report]], error) {
			by, err := acting(ctx)
			if err != nil {
				return nil, err
			}
			all, err := store.Waiting(ctx)
			if err != nil {
				return nil, err
			}
			list := []statutory.Report{}
			for _, r := range all {
				switch _, err := s.deps.Casework.Incidents.Heading(ctx, by.Reach, r.Incident); {
				case err == nil:
					list = append(list, r)
				case !errors.Is(err, ticketing.ErrNotFound):
					return nil, err
				}
			}
			return Reply(PageOf(list, len(list), "")), nil
		})
	type drafted struct {
		Items []statutory.Report `json:"items" nullable:"false"`
		Draft statutory.Content  `json:"draft" doc:"What the suite knows of the incident, to begin with"`
	}
	Register(s, caseOp("list-statutory-reports", http.MethodGet, "/statutory", "Statutory reports of an incident, and a draft of what the suite knows"), identity.ScopeRead,
		func(ctx context.Context, in *IDInput) (*Body[drafted], error) {
			c, err := s.openCase(ctx, in.ID, "")
			if err != nil {
				return nil, err
			}
			list, err := store.Reports(ctx, c.ID)
			return Reply(drafted{list, statutoryDraft(c)}), err
		})
	begin := caseOp("begin-statutory-report", http.MethodPost, "/statutory", "Begin a statutory report")
	begin.DefaultStatus = http.StatusCreated
	Register(s, begin, identity.ScopeRespond,
		func(ctx context.Context, in *struct {
			IDInput
			Body struct {
				Kind string `json:"kind" enum:"first,summary"`
				statutory.Content
			}
		}) (*Body[statutory.Report], error) {
			return act(ctx, StatutoryInput{IDInput: in.IDInput}, in.Body.Kind, func(c *theCase) (statutory.Report, error) {
				return store.Begin(ctx, c.ID, c.by.Name, in.Body.Kind, in.Body.Content)
			})
		})
	Register(s, caseOp("write-statutory-report", http.MethodPut, "/statutory/{report}", "Change the draft of a statutory report", 409, 422), identity.ScopeRespond,
		func(ctx context.Context, in *struct {
			StatutoryInput
			Body struct {
				Revision int64 `json:"revision" minimum:"1" doc:"Of what was read"`
				statutory.Content
			}
		}) (*Body[statutory.Report], error) {
			return act(ctx, in.StatutoryInput, "write", func(c *theCase) (statutory.Report, error) {
				return store.Write(ctx, c.ID, in.Report, c.by.Name, in.Body.Revision, in.Body.Content)
			})
		})
	Register(s, caseOp("submit-statutory-report", http.MethodPost, "/statutory/{report}/submit", "Hand a statutory report to be approved"), identity.ScopeRespond,
		func(ctx context.Context, in *StatutoryInput) (*Body[statutory.Report], error) {
			return act(ctx, *in, "submit", func(c *theCase) (statutory.Report, error) { return store.Submit(ctx, c.ID, in.Report, c.by.Name) })
		})
	Register(s, caseOp("approve-statutory-report", http.MethodPost, "/statutory/{report}/approve", "Approve a statutory report that somebody else wrote", 403), identity.ScopeRespond,
		func(ctx context.Context, in *StatutoryInput) (*Body[statutory.Report], error) {
			return act(ctx, *in, "approve", func(c *theCase) (statutory.Report, error) { return store.Approve(ctx, c.ID, in.Report, c.by.Name) })
		})
	Register(s, caseOp("return-statutory-report", http.MethodPost, "/statutory/{report}/return", "Make a statutory report a draft again"), identity.ScopeRespond,
		func(ctx context.Context, in *struct {
			StatutoryInput
			Body struct {
				Why string `json:"why" minLength:"1" maxLength:"2000"`
			}
		}) (*Body[statutory.Report], error) {
			return act(ctx, in.StatutoryInput, "return", func(c *theCase) (statutory.Report, error) {
				return store.Return(ctx, c.ID, in.Report, c.by.Name, in.Body.Why)
			})
		})
	Register(s, caseOp("send-statutory-report", http.MethodPost, "/statutory/{report}/sent", "Say that an approved statutory report was sent, with the proof"), identity.ScopeRespond,
		func(ctx context.Context, in *struct {
			StatutoryInput
			Body statutory.Proof
		}) (*Body[statutory.Report], error) {
			return act(ctx, in.StatutoryInput, "sent", func(c *theCase) (statutory.Report, error) {
				if in.Body.Evidence != "" {
					if _, err := s.deps.Casework.Evidence.Item(ctx, c.ID, in.Body.Evidence); err != nil {
						return statutory.Report{}, err
					}
				}
				return store.Send(ctx, c.ID, in.Report, c.by.Name, in.Body)
			})
		})
	file := caseOp("export-statutory-report", http.MethodGet, "/statutory/{report}/file", "A statutory report as PDF or DOCX")
	file.Responses = anyFile("application/pdf")
	Register(s, file, identity.ScopeRead,
		func(ctx context.Context, in *struct {
			StatutoryInput
			Format string `query:"format" enum:"pdf,docx" default:"pdf"`
		}) (*huma.StreamResponse, error) {
			c, err := s.openCase(ctx, in.ID, "")
			if err != nil {
				return nil, err
			}
			r, err := store.Report(ctx, c.ID, in.Report)
			if err != nil {
				return nil, caseProblem(err)
			}
			return written(statutoryDocument(c, &r, store.Terms()), in.Format, c.ID+"-"+r.Kind)
		})
}

// statutoryDraft is what the suite knows of an incident, in the fields of a
// report. What it does not know stays empty: nobody signs what a program made up.
func statutoryDraft(c *theCase) statutory.Content {
	w := reportWords{}
	level := map[detections.Level]string{detections.Critical: "grave", detections.High: "major"}[c.Severity]
	if level == "" {
		level = "general"
	}
	unit := "单位：" + c.Tenant
	if c.System != nil {
		unit += "\n系统：" + c.System.Name
	}
	if c.CI != nil {
		unit += "\n资产：" + c.CI.Name
	}
	traces := ""
	if len(c.Actors) > 0 {
		traces = "来源地址：" + strings.Join(c.Actors, "、")
	}
	if len(c.Techniques) > 0 {
		traces = strings.TrimSpace(traces + "\n攻击技术：" + strings.Join(c.Techniques, "、"))
	}
	return statutory.Content{Level: level, Operator: "other", KnownAt: c.OpenedAt.UnixMilli(), Answers: map[string]string{
		"unit": unit, "found": w.time(c.OpenedAt.Time) + " 发现：" + c.Title.ZH, "traces": traces}}
}

func statutoryDocument(c *theCase, r *statutory.Report, terms *statutory.Terms) *report.Document {
	w := reportWords{}
	title := "网络安全事件报告"
	if r.Kind == statutory.KindSummary {
		title = "网络安全事件处置总结报告"
	}
	level, operator, to := r.Level, r.Operator, ""
	for _, l := range terms.Levels {
		if l.Key == r.Level {
			level = l.ZH
		}
	}
	for _, o := range terms.Operators {
		if o.Key == r.Operator {
			operator, to = o.ZH, o.To
		}
	}
	states := map[string]string{statutory.Draft: "草稿", statutory.Submitted: "待审批", statutory.Approved: "已审批", statutory.Sent: "已报送"}
	d := &report.Document{Title: title, Subtitle: c.ID + " · " + c.Title.ZH, Made: time.Now(), Footer: "依据：" + terms.Source}
	d.Sections = []report.Section{{Facts: [][2]string{{"事件级别", level + "网络安全事件"}, {"运营者", operator}, {"报送对象", to}, {"获知时间", w.millis(r.KnownAt)}, {"报送期限", w.millis(r.Due)},
		{"状态", states[r.State]}, {"起草", r.DraftedBy + " " + w.millis(r.DraftedAt)}, {"审批", strings.TrimSpace(r.ApprovedBy + " " + w.millis(r.ApprovedAt))},
		{"报送", strings.TrimSpace(r.SentBy + " " + w.millis(r.SentAt) + " " + r.Channel + " " + r.Receipt)}, {"审批内容 SHA-256", r.Digest}}}}
	for _, f := range terms.Fields {
		if text := r.Answers[f.Key]; text != "" || f.First {
			d.Sections = append(d.Sections, report.Section{Heading: f.ZH, Text: text})
		}
	}
	return d
}
