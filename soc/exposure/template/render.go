package template

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/xuri/excelize/v2"

	"icewatch/detections"
	"icewatch/soc/exposure/finding"
	"icewatch/ticketing/report"
)

// Bounds of a report.
const (
	MaxFindings = 5000
	maxRows     = 1000 // of a table in PDF and DOCX; XLSX has all of them
)

// Data is what a report is made of.
type Data struct {
	Findings []finding.Finding
	Total    int               // of which Findings are the first
	Units    map[string]string // id → name
	Made     time.Time
	By       string
	Chinese  bool
	Zone     *time.Location // of times as they are shown
}

// figureNames are the figures that a text may name.
var figureNames = []string{"made", "by", "total", "assets", "critical", "high", "medium", "low", "informational", "serious", "overdue", "exploited", "attacked", "open", "repair", "fixed", "closed"}

// columnNames are the columns of the table findings.
var columnNames = []string{"priority", "level", "title", "weakness", "aliases", "class", "score", "place", "asset", "unit", "state", "owner", "engines", "first_seen", "last_seen", "due", "solution", "evidence"}

var columnTitles = map[string]detections.Text{
	"priority": {ZH: "优先级", EN: "Priority"}, "level": {ZH: "等级", EN: "Level"}, "title": {ZH: "隐患", EN: "Finding"}, "weakness": {ZH: "编号", EN: "Id"}, "aliases": {ZH: "其他编号", EN: "Other ids"}, "class": {ZH: "类型", EN: "Class"}, "score": {ZH: "CVSS", EN: "CVSS"},
	"place": {ZH: "位置", EN: "Place"}, "asset": {ZH: "资产", EN: "Asset"}, "unit": {ZH: "单位", EN: "Unit"}, "state": {ZH: "状态", EN: "State"}, "owner": {ZH: "负责人", EN: "Owner"}, "engines": {ZH: "发现方", EN: "Reported by"},
	"first_seen": {ZH: "首次发现", EN: "First seen"}, "last_seen": {ZH: "最近发现", EN: "Last seen"}, "due": {ZH: "整改期限", EN: "Due"}, "solution": {ZH: "修复建议", EN: "Solution"}, "evidence": {ZH: "证据", EN: "Evidence"},
}

// widths are those of columns that take more room than others.
var widths = map[string]float64{"title": 3, "weakness": 1.8, "place": 1.8, "solution": 4, "evidence": 3, "aliases": 2, "asset": 1.6, "unit": 1.6, "priority": 0.8, "level": 0.8, "score": 0.8}

var levelTexts = map[detections.Level]detections.Text{detections.Critical: {ZH: "紧急", EN: "Critical"}, detections.High: {ZH: "高", EN: "High"}, detections.Medium: {ZH: "中", EN: "Medium"}, detections.Low: {ZH: "低", EN: "Low"}, detections.Informational: {ZH: "提示", EN: "Informational"}}

var stateTexts = map[finding.State]detections.Text{finding.StateOpen: {ZH: "待处理", EN: "Open"}, finding.Verified: {ZH: "已核实", EN: "Verified"}, finding.Repair: {ZH: "整改中", EN: "In repair"}, finding.Fixed: {ZH: "待复测", EN: "Fixed, to be re-tested"}, finding.Closed: {ZH: "已关闭", EN: "Closed"}, finding.Exception: {ZH: "例外", EN: "Exception"}, finding.FalsePositive: {ZH: "误报", EN: "False positive"}}

// levels from the worst on.
var levels = []detections.Level{detections.Critical, detections.High, detections.Medium, detections.Low, detections.Informational}

func (d *Data) say(t detections.Text) string {
	if d.Chinese {
		return cmp.Or(t.ZH, t.EN)
	}
	return cmp.Or(t.EN, t.ZH)
}

func (d *Data) day(t time.Time) string {
	if t.IsZero() {
		return "–"
	}
	return t.In(d.Zone).Format(time.DateOnly)
}

// figures are the values of figureNames.
func (d *Data) figures() map[string]string {
	n := map[string]int{}
	assets := map[string]bool{}
	for i := range d.Findings {
		f := &d.Findings[i]
		n[string(f.Level)]++
		n["state "+string(f.State)]++
		assets[assetOf(f)] = true
		for name, is := range map[string]bool{"overdue": f.Overdue, "exploited": f.Exploited, "attacked": !f.Attacked.IsZero()} {
			if is {
				n[name]++
			}
		}
	}
	out := map[string]string{"made": d.Made.In(d.Zone).Format("2006-01-02 15:04"), "by": d.By, "total": strconv.Itoa(d.Total), "assets": strconv.Itoa(len(assets)), "serious": strconv.Itoa(n["critical"] + n["high"]),
		"open": strconv.Itoa(n["state open"] + n["state verified"]), "repair": strconv.Itoa(n["state repair"]), "fixed": strconv.Itoa(n["state fixed"]), "closed": strconv.Itoa(n["state closed"])}
	for _, name := range []string{"critical", "high", "medium", "low", "informational", "overdue", "exploited", "attacked"} {
		out[name] = strconv.Itoa(n[name])
	}
	return out
}

func assetOf(f *finding.Finding) string { return cmp.Or(f.Item, f.Zone+"|"+f.Host) }

// Document makes the report, for PDF and DOCX.
func (t Template) Document(d *Data) *report.Document {
	return t.document(d, maxRows)
}

func (t Template) document(d *Data, most int) *report.Document {
	values := d.figures()
	fill := func(text detections.Text) string {
		return figure.ReplaceAllStringFunc(d.say(text), func(m string) string { return values[figure.FindStringSubmatch(m)[1]] })
	}
	out := &report.Document{Title: cmp.Or(fill(t.Title), d.say(t.Name)), Subtitle: values["made"], Made: d.Made, Footer: "icewatch · " + d.By + " · " + values["made"]}
	if d.Total > len(d.Findings) {
		out.Subtitle += " · " + d.say(detections.Text{ZH: fmt.Sprintf("共 %d 项，只列最紧急的 %d 项", d.Total, len(d.Findings)), EN: fmt.Sprintf("the %d most urgent of %d findings", len(d.Findings), d.Total)})
	}
	for _, s := range t.Sections {
		section := report.Section{Heading: fill(s.Heading), Text: strings.TrimSpace(fill(s.Text)), Table: d.table(s)}
		if n := len(section.Table.Rows); n > most {
			section.Table.Rows = section.Table.Rows[:most]
			section.Text = strings.TrimSpace(section.Text + "\n" + d.say(detections.Text{ZH: fmt.Sprintf("共 %d 行，只列前 %d 行；Excel 格式列出全部。", n, most), EN: fmt.Sprintf("The first %d of %d rows; the Excel file has all.", most, n)}))
		}
		if s.Table != "" && len(section.Table.Rows) == 0 {
			section.Text = strings.TrimSpace(section.Text + "\n" + d.say(detections.Text{ZH: "无。", EN: "None."}))
		}
		out.Sections = append(out.Sections, section)
	}
	return out
}

func (d *Data) table(s Section) report.Table {
	switch s.Table {
	case "findings":
		return d.findings(s.Columns)
	case "levels":
		return d.levels()
	case "assets":
		return d.groups(detections.Text{ZH: "资产", EN: "Asset"}, assetOf, func(f *finding.Finding) string { return cmp.Or(f.Name, f.Host) })
	case "units":
		return d.groups(detections.Text{ZH: "单位", EN: "Unit"}, func(f *finding.Finding) string { return f.Unit }, d.unit)
	case "solutions":
		return d.solutions()
	}
	return report.Table{}
}

func (d *Data) unit(f *finding.Finding) string {
	return cmp.Or(d.Units[f.Unit], f.Unit, d.say(detections.Text{ZH: "未登记单位", EN: "No unit recorded"}))
}

func (d *Data) findings(columns []string) report.Table {
	if len(columns) == 0 {
		columns = []string{"level", "title", "weakness", "place", "state", "due"}
	}
	var t report.Table
	for _, c := range columns {
		t.Columns = append(t.Columns, d.say(columnTitles[c]))
		t.Weights = append(t.Weights, cmp.Or(widths[c], 1.2))
	}
	for i := range d.Findings {
		row := make([]string, len(columns))
		for j, c := range columns {
			row[j] = d.cell(&d.Findings[i], c)
		}
		t.Rows = append(t.Rows, row)
	}
	return t
}

func (d *Data) cell(f *finding.Finding, column string) string {
	switch column {
	case "priority":
		return strconv.Itoa(f.Priority)
	case "level":
		return d.say(levelTexts[f.Level])
	case "title":
		return cmp.Or(d.say(f.Title), f.Weakness)
	case "weakness":
		return f.Weakness
	case "aliases":
		return strings.Join(f.Aliases, " ")
	case "class":
		return d.say(f.Class)
	case "score":
		if f.Score == 0 {
			return "–"
		}
		return strconv.FormatFloat(f.Score, 'f', 1, 64)
	case "place":
		at := f.Host
		if f.Port > 0 {
			at += ":" + strconv.Itoa(f.Port)
		}
		return at
	case "asset":
		return cmp.Or(f.Name, f.Host)
	case "unit":
		return d.unit(f)
	case "state":
		return d.say(stateTexts[f.State])
	case "owner":
		return cmp.Or(f.Owner, "–")
	case "engines":
		return strings.Join(f.Engines, ", ")
	case "first_seen":
		return d.day(f.FirstSeen)
	case "last_seen":
		return d.day(f.LastSeen)
	case "due":
		return d.day(f.Due)
	case "solution":
		return d.say(f.Solution)
	case "evidence":
		return f.Evidence
	}
	return ""
}

func (d *Data) levels() report.Table {
	states := []finding.State{finding.StateOpen, finding.Verified, finding.Repair, finding.Fixed, finding.Closed, finding.Exception, finding.FalsePositive}
	t := report.Table{Columns: []string{d.say(columnTitles["level"])}, Weights: []float64{1.4}}
	for _, s := range states {
		t.Columns, t.Weights = append(t.Columns, d.say(stateTexts[s])), append(t.Weights, 1)
	}
	for _, l := range levels {
		row := []string{d.say(levelTexts[l])}
		for _, s := range states {
			n := 0
			for i := range d.Findings {
				if d.Findings[i].Level == l && d.Findings[i].State == s {
					n++
				}
			}
			row = append(row, strconv.Itoa(n))
		}
		t.Rows = append(t.Rows, row)
	}
	return t
}

// groups counts findings of assets or units by level, the worst first.
func (d *Data) groups(title detections.Text, key, name func(*finding.Finding) string) report.Table {
	type group struct {
		name string
		n    [5]int
	}
	by := map[string]*group{}
	var keys []string
	for i := range d.Findings {
		f := &d.Findings[i]
		g := by[key(f)]
		if g == nil {
			g = &group{name: name(f)}
			by[key(f)] = g
			keys = append(keys, key(f))
		}
		if at := slices.Index(levels, f.Level); at >= 0 {
			g.n[at]++
		}
	}
	slices.SortStableFunc(keys, func(a, b string) int {
		for i := range levels {
			if c := cmp.Compare(by[b].n[i], by[a].n[i]); c != 0 {
				return c
			}
		}
		return cmp.Compare(by[a].name, by[b].name)
	})
	t := report.Table{Columns: []string{d.say(title)}, Weights: []float64{3}}
	for _, l := range levels {
		t.Columns, t.Weights = append(t.Columns, d.say(levelTexts[l])), append(t.Weights, 1)
	}
	for _, k := range keys {
		row := []string{by[k].name}
		for _, n := range by[k].n {
			row = append(row, strconv.Itoa(n))
		}
		t.Rows = append(t.Rows, row)
	}
	return t
}

// solutions tells what helps against each weakness, once.
func (d *Data) solutions() report.Table {
	t := report.Table{Columns: []string{d.say(columnTitles["title"]), d.say(detections.Text{ZH: "涉及", EN: "On"}), d.say(columnTitles["solution"])}, Weights: []float64{2, 1.6, 4}}
	at := map[string]int{}
	hosts := [][]string{}
	for i := range d.Findings {
		f := &d.Findings[i]
		key := f.Weakness + "\n" + d.say(f.Solution)
		n, ok := at[key]
		if !ok {
			n = len(t.Rows)
			at[key] = n
			hosts = append(hosts, nil)
			t.Rows = append(t.Rows, []string{cmp.Or(d.say(f.Title), f.Weakness) + " " + f.Weakness, "", cmp.Or(clip(d.say(f.Solution), 2000), "–")})
		}
		if h := cmp.Or(f.Name, f.Host); !slices.Contains(hosts[n], h) {
			hosts[n] = append(hosts[n], h)
		}
	}
	for i, list := range hosts {
		t.Rows[i][1] = strings.Join(list[:min(len(list), 5)], ", ")
		if len(list) > 5 {
			t.Rows[i][1] += d.say(detections.Text{ZH: fmt.Sprintf(" 等 %d 项", len(list)), EN: fmt.Sprintf(" and others, %d in all", len(list))})
		}
	}
	return t
}

// WriteXLSX writes the report as a workbook: a sheet of its texts, and one a table.
func (t Template) WriteXLSX(w io.Writer, d *Data) error {
	doc := t.document(d, MaxFindings)
	f := excelize.NewFile()
	defer f.Close()
	first := d.say(detections.Text{ZH: "说明", EN: "About"})
	if err := f.SetSheetName(f.GetSheetName(0), first); err != nil {
		return fmt.Errorf("template: %w", err)
	}
	lines := []string{doc.Title, doc.Subtitle}
	for i, s := range doc.Sections {
		lines = append(lines, "", s.Heading)
		if s.Text != "" {
			lines = append(lines, strings.Split(s.Text, "\n")...)
		}
		if len(s.Table.Columns) == 0 {
			continue
		}
		name := fmt.Sprintf("%d", i+1)
		if _, err := f.NewSheet(name); err != nil {
			return fmt.Errorf("template: %w", err)
		}
		sw, err := f.NewStreamWriter(name)
		if err != nil {
			return fmt.Errorf("template: %w", err)
		}
		for r, row := range append([][]string{s.Table.Columns}, s.Table.Rows...) {
			cells := make([]any, len(row))
			for c, v := range row {
				cells[c] = clip(v, 32_000)
			}
			if err := sw.SetRow("A"+strconv.Itoa(r+1), cells); err != nil {
				return fmt.Errorf("template: %w", err)
			}
		}
		if err := sw.Flush(); err != nil {
			return fmt.Errorf("template: %w", err)
		}
	}
	for i, l := range lines {
		if err := f.SetCellStr(first, "A"+strconv.Itoa(i+1), l); err != nil {
			return fmt.Errorf("template: %w", err)
		}
	}
	if err := f.Write(w); err != nil {
		return fmt.Errorf("template: %w", err)
	}
	return nil
}
