package source

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/grafana/grafana-foundation-sdk/go/bargauge"
	"github.com/grafana/grafana-foundation-sdk/go/cog"
	"github.com/grafana/grafana-foundation-sdk/go/cog/variants"
	"github.com/grafana/grafana-foundation-sdk/go/common"
	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
	"github.com/grafana/grafana-foundation-sdk/go/logs"
	"github.com/grafana/grafana-foundation-sdk/go/stat"
	"github.com/grafana/grafana-foundation-sdk/go/table"
	"github.com/grafana/grafana-foundation-sdk/go/timeseries"
)

// tag marks the suite's dashboards; the link in their heads lists those of it
// and of the language.
const tag = "icewatch"

// ref is the data source that the variable of a kind names.
func ref(s Source) common.DataSourceRef {
	kind, uid := string(s), "${"+s.variable()+"}"
	return common.DataSourceRef{Type: &kind, Uid: &uid}
}

// Build makes a dashboard in a language.
func (b *Board) Build(l Language) (dashboard.Dashboard, error) {
	from := b.From
	if from == "" {
		from = "now-6h"
	}
	d := dashboard.NewDashboardBuilder(b.Title.In(l)).Uid(b.UID(l)).Description(b.About.In(l)).
		Tags([]string{tag, tag + "-" + l.short()}).Timezone("browser").Time(from, "now").Refresh("30s").Tooltip(dashboard.DashboardCursorSyncCrosshair).
		WeekStart("monday").Version(1).
		Link(dashboard.NewDashboardLinkBuilder(Text{"icewatch 仪表盘", "icewatch dashboards"}.In(l)).Type(dashboard.DashboardLinkTypeDashboards).
			Tags([]string{tag + "-" + l.short()}).AsDropdown(true).KeepTime(true).IncludeVars(true).TargetBlank(false))
	for _, s := range b.sources() {
		text, value := sourceNames[s], s.UID()
		d = d.WithVariable(dashboard.NewDatasourceVariableBuilder(s.variable()).Label(sourceNames[s]).Type(string(s)).
			Current(dashboard.VariableOption{Text: dashboard.StringOrArrayOfString{String: &text}, Value: dashboard.StringOrArrayOfString{String: &value}}))
	}
	for i := range b.Vars {
		d = d.WithVariable(b.Vars[i].build(l))
	}
	id, place := uint32(0), grid{}
	for _, r := range b.Rows {
		id++
		d = d.WithRow(dashboard.NewRowBuilder(r.Title.In(l)).Id(id).GridPos(place.next(columns, 1)))
		for i := range r.Panels {
			id++
			p, err := r.Panels[i].build(l, id, place.next(r.Panels[i].size()))
			if err != nil {
				return dashboard.Dashboard{}, fmt.Errorf("%s: %s: %w", b.Name, r.Panels[i].Title.EN, err)
			}
			d = d.WithPanel(p)
		}
	}
	out, err := d.Build()
	if err != nil {
		return out, fmt.Errorf("%s: %w", b.Name, err)
	}
	return out, nil
}

// columns is the width of Grafana's grid.
const columns = 24

// grid lays panels out from left to right, and below each other where one has no
// room beside the last.
type grid struct{ x, y, high uint32 }

func (g *grid) next(w, h uint32) dashboard.GridPos {
	if g.x+w > columns {
		g.x, g.y, g.high = 0, g.y+g.high, 0
	}
	at := dashboard.GridPos{X: g.x, Y: g.y, W: w, H: h}
	g.x, g.high = g.x+w, max(g.high, h)
	return at
}

// size is a panel's width and height.
func (p *Panel) size() (w, h uint32) {
	switch p.Kind {
	case Stat:
		w, h = 4, 4
	case Logs, Alerts:
		w, h = columns, 10
	default:
		w, h = 12, 8
	}
	if p.Width > 0 {
		w = p.Width
	}
	if p.Height > 0 {
		h = p.Height
	}
	return w, h
}

// JSON is a dashboard as the file that Grafana loads.
func (b *Board) JSON(l Language) ([]byte, error) {
	d, err := b.Build(l)
	if err != nil {
		return nil, err
	}
	text, err := json.MarshalIndent(d, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("%s: %w", b.Name, err)
	}
	return append(text, '\n'), nil
}

var sourceNames = map[Source]string{Prometheus: "icewatch Prometheus", Loki: "icewatch Loki", Elasticsearch: "icewatch Elasticsearch",
	Jaeger: "icewatch Jaeger", Alertmanager: "icewatch Alertmanager"}

// sources are the kinds of data sources that a dashboard asks.
func (b *Board) sources() (list []Source) {
	asked := map[Source]bool{}
	for _, v := range b.Vars {
		asked[v.Source] = true
	}
	for _, r := range b.Rows {
		for _, p := range r.Panels {
			for _, q := range p.Targets {
				asked[q.Source] = true
			}
		}
	}
	for _, s := range []Source{Prometheus, Loki, Elasticsearch, Jaeger} {
		if asked[s] {
			list = append(list, s)
		}
	}
	return list
}

func (v *Var) build(l Language) cog.Builder[dashboard.VariableModel] {
	option := func(text, value string) dashboard.VariableOption {
		if v.Multi {
			return dashboard.VariableOption{Text: dashboard.StringOrArrayOfString{ArrayOfString: []string{text}}, Value: dashboard.StringOrArrayOfString{ArrayOfString: []string{value}}}
		}
		return dashboard.VariableOption{Text: dashboard.StringOrArrayOfString{String: &text}, Value: dashboard.StringOrArrayOfString{String: &value}}
	}
	all := option(Text{"全部", "All"}.In(l), "$__all")
	if v.Source == "" {
		var pairs []string
		for _, x := range v.Values {
			pairs = append(pairs, strings.NewReplacer(",", `\,`, ":", `\:`).Replace(x.Title.In(l))+" : "+x.Value)
		}
		list := strings.Join(pairs, ",")
		return dashboard.NewCustomVariableBuilder(v.Name).Label(v.Title.In(l)).Values(dashboard.StringOrMap{String: &list}).Multi(v.Multi).IncludeAll(true).Current(all)
	}
	q := v.Query
	x := dashboard.NewQueryVariableBuilder(v.Name).Label(v.Title.In(l)).Datasource(ref(v.Source)).Query(dashboard.StringOrMap{String: &q}).
		Definition(q).Refresh(dashboard.VariableRefreshOnTimeRangeChanged).Sort(dashboard.VariableSortAlphabeticalAsc).Multi(v.Multi)
	if v.All != "" {
		x = x.IncludeAll(true).AllValue(v.All).Current(all)
	}
	return x
}

// frame is what the builders of panels have in common.
type frame[B any] interface {
	Id(uint32) B
	Title(string) B
	Description(string) B
	Unit(string) B
	GridPos(dashboard.GridPos) B
	Datasource(common.DataSourceRef) B
	Targets([]cog.Builder[variants.Dataquery]) B
	Thresholds(cog.Builder[dashboard.ThresholdsConfig]) B
}

// framed fills in what all panels have.
func framed[B frame[B]](b B, p *Panel, l Language, id uint32, at dashboard.GridPos) (B, error) {
	unit := p.Unit
	if unit == "" {
		unit = "short"
	}
	about := p.About.In(l)
	if about == "" {
		about = p.Title.In(l)
	}
	targets := make([]cog.Builder[variants.Dataquery], len(p.Targets))
	for i := range p.Targets {
		q, err := p.Targets[i].build(p, l, string(rune('A'+i)))
		if err != nil {
			return b, err
		}
		targets[i] = q
	}
	return b.Id(id).Title(p.Title.In(l)).Description(about).Unit(unit).GridPos(at).
		Datasource(ref(p.Targets[0].Source)).Targets(targets).Thresholds(p.thresholds()), nil
}

// thresholds colour a panel's values.
func (p *Panel) thresholds() cog.Builder[dashboard.ThresholdsConfig] {
	at := func(v float64) *float64 { return &v }
	steps := []dashboard.Threshold{{Color: "green"}}
	switch {
	case p.Low:
		steps = []dashboard.Threshold{{Color: "red"}, {Color: "orange", Value: at(p.Bad)}, {Color: "green", Value: at(p.Warn)}}
	default:
		if p.Warn != 0 {
			steps = append(steps, dashboard.Threshold{Color: "orange", Value: at(p.Warn)})
		}
		if p.Bad != 0 {
			steps = append(steps, dashboard.Threshold{Color: "red", Value: at(p.Bad)})
		}
	}
	return dashboard.NewThresholdsConfigBuilder().Mode(dashboard.ThresholdsModeAbsolute).Steps(steps)
}

func (p *Panel) build(l Language, id uint32, at dashboard.GridPos) (cog.Builder[dashboard.Panel], error) {
	last := []string{"lastNotNull"}
	if p.Sum {
		last = []string{"sum"}
	}
	reduce := common.NewReduceDataOptionsBuilder().Calcs(last)
	switch p.Kind {
	case Stat:
		b, err := framed(stat.NewPanelBuilder(), p, l, id, at)
		return b.ReduceOptions(reduce).ColorMode(common.BigValueColorModeValue).GraphMode(common.BigValueGraphModeArea).TextMode(common.BigValueTextModeValue), err
	case Gauge:
		b, err := framed(bargauge.NewPanelBuilder(), p, l, id, at)
		return b.ReduceOptions(reduce).Orientation(common.VizOrientationHorizontal).DisplayMode(common.BarGaugeDisplayModeLcd), err
	case Table:
		b, err := framed(table.NewPanelBuilder(), p, l, id, at)
		return p.tabled(b, l), err
	case Logs:
		b, err := framed(logs.NewPanelBuilder(), p, l, id, at)
		return b.ShowTime(true).WrapLogMessage(true).EnableLogDetails(true).SortOrder(common.LogsSortOrderDescending), err
	case Alerts:
		return p.alerts(l, id, at), nil
	}
	b, err := framed(timeseries.NewPanelBuilder(), p, l, id, at)
	b = b.Min(0).LineWidth(1).ShowPoints(common.VisibilityModeNever).
		Legend(common.NewVizLegendOptionsBuilder().ShowLegend(true).DisplayMode(common.LegendDisplayModeList).Placement(common.LegendPlacementBottom)).
		Tooltip(common.NewVizTooltipOptionsBuilder().Mode(common.TooltipDisplayModeMulti).Sort(common.SortOrderDescending))
	switch p.Kind {
	case Stack:
		b = b.FillOpacity(30).Stacking(common.NewStackingConfigBuilder().Mode(common.StackingModeNormal))
	case Bars:
		b = b.DrawStyle(common.GraphDrawStyleBars).FillOpacity(70).Stacking(common.NewStackingConfigBuilder().Mode(common.StackingModeNormal))
	default:
		b = b.FillOpacity(8)
	}
	return b, err
}

// tabled names the columns of a table and joins its targets.
func (p *Panel) tabled(b *table.PanelBuilder, l Language) *table.PanelBuilder {
	if len(p.Targets) > 1 {
		b = b.WithTransformation(dashboard.DataTransformerConfig{Id: "merge", Options: map[string]any{}})
	}
	hidden, names, order := map[string]any{"Time": true}, map[string]any{}, map[string]any{}
	for i, c := range p.Columns {
		names[c.Field], order[c.Field] = c.Title.In(l), i
	}
	b = b.WithTransformation(dashboard.DataTransformerConfig{Id: "organize", Options: map[string]any{"excludeByName": hidden, "renameByName": names, "indexByName": order}})
	for _, c := range p.Columns {
		var set []dashboard.DynamicConfigValue
		if c.Unit != "" {
			set = append(set, dashboard.DynamicConfigValue{Id: "unit", Value: c.Unit})
		}
		if c.Link != "" {
			url := "/d/icewatch-" + l.short() + "-" + c.Link + "?var-tenant=${__value.raw}&${__url_time_range}"
			set = append(set, dashboard.DynamicConfigValue{Id: "links", Value: []map[string]any{{"title": c.Title.In(l), "url": url}}})
		}
		if len(set) > 0 {
			b = b.OverrideByName(c.Title.In(l), set)
		}
	}
	return b
}

// alerts is Grafana's panel of groups of alerts, of the suite's Alertmanager
// API, which it finds by the name of the data source.
func (p *Panel) alerts(l Language, id uint32, at dashboard.GridPos) cog.Builder[dashboard.Panel] {
	about := p.About.In(l)
	if about == "" {
		about = p.Title.In(l)
	}
	return dashboard.NewPanelBuilder().Type("alertGroups").Id(id).Title(p.Title.In(l)).Description(about).GridPos(at).
		Options(map[string]any{"alertmanager": sourceNames[Alertmanager], "labels": "", "expandAll": false})
}
