package api

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"icewatch/collectors/fleet"
	"icewatch/soc/identity"
	"icewatch/ticketing/report"
)

// fleetReportRoutes registers what the centre measured of versions of the agent.
func (s *Server) fleetReportRoutes() {
	room := s.deps.Fleet
	const path = "/test-reports"
	Register(s, fleetOperation("list-fleet-test-reports", http.MethodGet, path, "Performance test reports of versions of the agent, newest first, without their hosts"), identity.ScopeRead,
		func(ctx context.Context, in *struct {
			PageInput
			Version string `query:"version" maxLength:"64"`
		}) (*Body[Page[fleet.TestReport]], error) {
			a, err := fleetAsker(ctx)
			if err != nil {
				return nil, err
			}
			return pageFrom(room.TestReports(a, in.Version), in.PageInput)
		})
	Register(s, fleetOperation("get-fleet-test-report", http.MethodGet, path+"/{id}", "A performance test report: what agents of a version took, beside the version before on the same hosts", 404), identity.ScopeRead,
		func(ctx context.Context, in *ByID) (*Body[fleet.TestReport], error) {
			a, err := fleetAsker(ctx)
			if err != nil {
				return nil, err
			}
			return ofFleet(room.TestReport(a, in.ID))
		})
	add := fleetOperation("create-fleet-test-report", http.MethodPost, path, "Make a performance test report of what was measured of a version so far, on chosen hosts or all", 404, 422)
	add.DefaultStatus = http.StatusCreated
	Register(s, add, identity.ScopeConfigure,
		func(ctx context.Context, in *struct{ Body fleet.TestReportDraft }) (*Body[fleet.TestReport], error) {
			AuditObject(ctx, "fleet-test-report", "", clip(in.Body.Version, 64))
			a, err := fleetAsker(ctx)
			if err != nil {
				return nil, err
			}
			r, err := room.MakeTestReport(ctx, a, in.Body)
			if err == nil {
				AuditObject(ctx, "fleet-test-report:"+r.ID, "", r.Version)
			}
			return ofFleet(r, err)
		})
	remove := fleetOperation("delete-fleet-test-report", http.MethodDelete, path+"/{id}", "Delete a performance test report", 404)
	remove.DefaultStatus = http.StatusNoContent
	Register(s, remove, identity.ScopeConfigure,
		func(ctx context.Context, in *ByID) (*struct{}, error) {
			AuditObject(ctx, "fleet-test-report:"+clip(in.ID, 64), "", "")
			a, err := fleetAsker(ctx)
			if err != nil {
				return nil, err
			}
			r, err := room.DeleteTestReport(ctx, a, in.ID)
			if err == nil {
				AuditObject(ctx, "fleet-test-report:"+r.ID, "", r.Version)
			}
			return nil, fleetProblem(err)
		})
	file := fleetOperation("export-fleet-test-report", http.MethodGet, path+"/{id}/export", "A performance test report as PDF or DOCX, or its figures by host as CSV or Excel", 404)
	file.Responses = anyFile("application/pdf")
	Register(s, file, identity.ScopeRead,
		func(ctx context.Context, in *struct {
			ByID
			Format string `query:"format" enum:"pdf,docx,csv,xlsx" default:"pdf"`
			Lang   string `query:"lang" enum:"zh,en" default:"zh"`
		}) (*huma.StreamResponse, error) {
			a, err := fleetAsker(ctx)
			if err != nil {
				return nil, err
			}
			r, err := room.TestReport(a, in.ID)
			if err != nil {
				return nil, fleetProblem(err)
			}
			if in.Format == "csv" || in.Format == "xlsx" {
				header, rows := testReportRows(&r)
				return tableAnswer("agent-test-report", in.Format, header, rows)
			}
			return written(testReportDocument(&r, reportWords{in.Lang == "en"}, Actor(ctx)), in.Format, "agent-test-report")
		})
}

// testReportRows are the figures of all hosts, then those of each host.
func testReportRows(r *fleet.TestReport) (header []string, rows [][]any) {
	add := func(host, platform, figure, unit, version string, x *fleet.TestSpread) {
		if x != nil {
			rows = append(rows, []any{host, platform, figure, unit, version, x.Minutes, x.P50, x.P95, x.Most})
		}
	}
	before := strings.Join(r.Before, " ")
	for _, f := range r.Figures {
		add("*", "", f.Name, f.Unit, r.Version, f.All)
		add("= *", "", f.Name, f.Unit, r.Version, f.After)
		add("= *", "", f.Name, f.Unit, before, f.Before)
	}
	for i := range r.Hosts {
		h := &r.Hosts[i]
		add(h.Host, h.Platform, "cpu", "%", r.Version, h.CPU)
		add(h.Host, h.Platform, "cpu", "%", h.Before, h.CPUBefore)
		add(h.Host, h.Platform, "memory", "MB", r.Version, h.Memory)
		add(h.Host, h.Platform, "memory", "MB", h.Before, h.MemoryBefore)
	}
	return []string{"host", "platform", "figure", "unit", "version", "minutes", "p50", "p95", "max"}, rows
}

// testFigures names figures in reports.
var testFigures = map[string][2]string{
	"cpu": {"CPU（单核）", "Processor, of one core"}, "memory": {"内存", "Memory"}, "network": {"发送", "Sending"}, "samples": {"采集量", "Samples and lines"},
	"gather": {"采集耗时占比", "Share of time gathering"}, "queue": {"磁盘队列", "Queue on disk"}, "dropped": {"丢弃", "Dropped"},
}

// testReportDocument writes a report down.
func testReportDocument(r *fleet.TestReport, w reportWords, who string) *report.Document {
	now := time.Now()
	d := &report.Document{Title: w.say("Agent 性能测试报告：", "Performance of the agent: ") + r.Version, Subtitle: w.time(r.At), Made: now, Footer: w.say("由 icewatch 生成", "Made by icewatch") + " · " + who + " · " + w.time(now)}
	verdict := map[string]string{fleet.TestPass: w.say("通过", "Pass"), fleet.TestFail: w.say("不通过", "Fail"), fleet.TestInsufficient: w.say("数据不足", "Too little was measured")}[r.Verdict]
	var why []string
	for _, t := range r.Reasons {
		why = append(why, w.text(t))
	}
	number := func(v float64) string { return strconv.FormatFloat(v, 'f', -1, 64) }
	none := w.say("数据不足", "–")
	middle := func(x *fleet.TestSpread) string {
		if x == nil {
			return none
		}
		return number(x.P50) + " / " + number(x.P95)
	}
	d.Sections = append(d.Sections, report.Section{Heading: w.say("结论", "Verdict") + w.say("：", ": ") + verdict, Text: strings.Join(why, "\n"), Facts: [][2]string{
		{w.say("版本", "Version"), r.Version}, {w.say("前一版本", "Version before"), strings.Join(r.Before, ", ")},
		{w.say("上限", "Ceiling"), fmt.Sprintf(w.say("CPU 中位数 %s %%（单核），内存 P95 %s MB", "median of the processor %s %% of one core, p95 of memory %s MB"), number(r.CPU), number(r.Memory))},
		{w.say("主机", "Hosts"), fmt.Sprintf(w.say("%d 台，计入 %d 台，可比 %d 台", "%d, %d count, %d compared"), len(r.Hosts), r.Measured, r.Compared)},
		{w.say("数据来源", "What it is made of"), w.say("中心按分钟记录的 Agent 自报值，每台每版本最近 60 分钟；启动后 90 秒不计", "What agents told the centre, minute by minute: the last hour of a version on each host, without the 90 s after a start")},
	}})
	figures := report.Table{Columns: []string{w.say("指标", "Figure"), w.say("单位", "Unit"), w.say("全部主机 P50 / P95", "All hosts, p50 / p95"), w.say("可比主机 P50 / P95", "Compared, p50 / p95"), w.say("前一版本 P50 / P95", "Before, p50 / p95"), w.say("变差", "Worse")}, Weights: []float64{2.6, 0.9, 2.2, 2.2, 2.2, 0.9}}
	for _, f := range r.Figures {
		name := testFigures[f.Name]
		worse := ""
		if f.Worse {
			worse = w.say("是", "yes")
		}
		figures.Rows = append(figures.Rows, []string{w.say(name[0], name[1]), f.Unit, middle(f.All), middle(f.After), middle(f.Before), worse})
	}
	hosts := report.Table{Columns: []string{w.say("主机", "Host"), w.say("平台", "Platform"), w.say("分钟", "Minutes"), w.say("CPU % P50 / P95", "CPU %, p50 / p95"), w.say("内存 MB P50 / P95", "Memory MB, p50 / p95"), w.say("前一版本", "Before"), w.say("CPU %（前）", "CPU % before"), w.say("内存 MB（前）", "MB before")}, Weights: []float64{2.4, 1.5, 0.9, 1.7, 1.9, 1.3, 1.6, 1.8}}
	for i := range r.Hosts {
		h := &r.Hosts[i]
		before := none
		if h.Before != "" {
			before = h.Before
		}
		hosts.Rows = append(hosts.Rows, []string{h.Host, h.Platform, strconv.Itoa(h.Minutes), middle(h.CPU), middle(h.Memory), before, middle(h.CPUBefore), middle(h.MemoryBefore)})
	}
	d.Sections = append(d.Sections, report.Section{Heading: w.say("指标", "Figures"), Table: figures}, report.Section{Heading: w.say("主机", "Hosts"), Table: hosts})
	return d
}
