// Package source is where Grafana's dashboards are written: what each shows, in
// Chinese and English, and the queries behind it. dashboards/grafana/generate
// makes the JSON that Grafana loads of it, with Grafana's own SDK, so that a
// misspelt option does not compile.
//
// Every query here is asked on known data by the test TestGrafanaDashboards
// (test/acceptance), which knows what each has to answer: a panel without an
// expectation there fails it.
package source

// Text is a text in both languages of the suite.
type Text struct{ ZH, EN string }

// t is a text.
func t(zh, en string) Text { return Text{zh, en} }

// both is a text that both languages write alike.
func both(text string) Text { return Text{text, text} }

// In is the text in a language.
func (x Text) In(l Language) string {
	if l == Chinese {
		return x.ZH
	}
	return x.EN
}

// Language is one that dashboards are made in; the name of their folder.
type Language string

// The languages.
const (
	Chinese Language = "zh-CN"
	English Language = "en-US"
)

// Languages are all of them, the suite's default first.
var Languages = []Language{Chinese, English}

// short is the part of a dashboard's uid that tells the languages apart, since
// both sets may be loaded into one Grafana.
func (l Language) short() string { return string(l[:2]) }

// Board is a dashboard.
type Board struct {
	Name  string // of its file, and the end of its uid
	Title Text
	About Text
	Vars  []Var
	Rows  []Row
	From  string // how far back it shows at first; "now-6h" where empty
}

// UID is a dashboard's uid in Grafana.
func (b *Board) UID(l Language) string { return "icewatch-" + l.short() + "-" + b.Name }

// Row is a titled row of panels.
type Row struct {
	Title  Text
	Panels []Panel
}

// Kind is how a panel shows what it found.
type Kind int

// The kinds of panels.
const (
	Series Kind = iota // lines over time
	Stack              // areas over time, one on the other
	Bars               // bars over time, one on the other
	Stat               // one number
	Gauge              // a bar for each series
	Table
	Logs
	Alerts // the alerts of Alertmanager
)

// Panel is a panel. Its title in English names it within its dashboard.
type Panel struct {
	Kind    Kind
	Title   Text
	About   Text
	Unit    string // as Grafana calls it; "short" where empty
	Width   uint32 // of 24; by kind where 0
	Height  uint32
	Targets []Target
	Warn    float64 // from which value on it is amber; 0 for never
	Bad     float64 // from which value on it is red; 0 for never
	Low     bool    // Warn and Bad count downwards
	Columns []Column
	Sum     bool // a Stat shows the sum of its points, not the last
}

// Column renames a column of a table. A table of several targets joins them by
// the first one.
type Column struct {
	Field string
	Title Text
	Unit  string
	Link  string // opens a dashboard by its name with the value as $tenant
}

// Var is a variable of a dashboard.
type Var struct {
	Name   string
	Title  Text
	Source Source // whose values it lists; "" for a fixed list
	Query  string
	Values []Value // of a fixed list
	Multi  bool
	All    string // what all stands for: a regular expression, or "" for each value
}

// Value is a value of a fixed list.
type Value struct {
	Title Text
	Value string
}

// Source is a kind of data source, as Grafana calls it.
type Source string

// The data sources, all of them the suite's own endpoints.
const (
	Prometheus    Source = "prometheus"
	Loki          Source = "loki"
	Elasticsearch Source = "elasticsearch"
	Jaeger        Source = "jaeger"
	Alertmanager  Source = "alertmanager"
)

// UID is the uid by which provisioning makes the data source.
func (s Source) UID() string { return "icewatch-" + string(s) }

// variable is the name of the variable that chooses a data source of the kind.
func (s Source) variable() string { return string(s) + "_datasource" }

// Target is a query.
type Target struct {
	Source  Source
	Expr    string // PromQL, LogQL, or Lucene
	Legend  Text
	Instant bool

	// Of Elasticsearch: what is counted, and by what.
	Figure  string // count, sum, p95, cardinality or logs
	Field   string
	By      []string // terms, outermost first
	Overall bool     // not over time
	// Of Jaeger.
	Service string
}

func prom(expr string, legend Text) Target {
	return Target{Source: Prometheus, Expr: expr, Legend: legend}
}

// now is a query that asks for the moment alone.
func now(expr string, legend Text) Target {
	return Target{Source: Prometheus, Expr: expr, Legend: legend, Instant: true}
}

func logql(expr string, legend Text) Target {
	return Target{Source: Loki, Expr: expr, Legend: legend}
}

func lucene(query, figure, field string, by ...string) Target {
	return Target{Source: Elasticsearch, Expr: query, Figure: figure, Field: field, By: by}
}

// overall is an Elasticsearch query for a table.
func overall(query, figure, field string, by ...string) Target {
	x := lucene(query, figure, field, by...)
	x.Overall = true
	return x
}

func panel(k Kind, title Text, unit string, targets ...Target) Panel {
	return Panel{Kind: k, Title: title, Unit: unit, Targets: targets}
}

func (p Panel) about(zh, en string) Panel        { p.About = Text{zh, en}; return p }
func (p Panel) wide(w uint32) Panel              { p.Width = w; return p }
func (p Panel) high(h uint32) Panel              { p.Height = h; return p }
func (p Panel) alarm(warn, bad float64) Panel    { p.Warn, p.Bad = warn, bad; return p }
func (p Panel) alarmLow(warn, bad float64) Panel { p.Warn, p.Bad, p.Low = warn, bad, true; return p }
func (p Panel) columns(list ...Column) Panel     { p.Columns = list; return p }
func (p Panel) summed() Panel                    { p.Sum = true; return p }

// Boards are all dashboards, in the order of Grafana's list.
func Boards() ([]Board, error) {
	domains, err := domains()
	if err != nil {
		return nil, err
	}
	list := []Board{overview(), tenants(), tenant()}
	for _, d := range domains {
		list = append(list, d.board())
	}
	return append(list, intake(), lake(), storage(), detections(), incidents(), notifications(), flows(), hosts(), databases(), middleware(), traces(), audit()), nil
}
