package node

import (
	"context"
	"fmt"
	"time"

	"github.com/VictoriaMetrics/VictoriaMetrics/lib/flagutil"
	"github.com/VictoriaMetrics/VictoriaMetrics/lib/protoparser/prometheus"
)

// Figures are what a server of the VictoriaMetrics family tells of itself at
// /metrics: counters, its settings, and when it started.
type Figures struct {
	node string
	at   time.Time
	rows prometheus.Rows
}

// FiguresKept is how long a server gives the same figures again, by
// VictoriaMetrics' lib/appmetrics.
const FiguresKept = time.Second

// Figures asks the server.
func (n *Node) Figures(ctx context.Context) (*Figures, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, 10*time.Second, fmt.Errorf("the server %s does not answer at /metrics within 10 s", n.Name()))
	defer cancel()
	at := time.Now().Add(-FiguresKept)
	b, err := n.Get(ctx, "/metrics", nil, 16<<20)
	if err != nil {
		return nil, err
	}
	return ParseFigures(n.Name(), at, string(b)), nil
}

// ParseFigures reads the text format of Prometheus. Lines that are not of it
// are left out. at is a time before the figures were taken.
func ParseFigures(node string, at time.Time, text string) *Figures {
	f := &Figures{node: node, at: at}
	f.rows.UnmarshalWithErrLogger(text, func(string) {})
	return f
}

// At is a time before the figures were taken, by little more than FiguresKept.
func (f *Figures) At() time.Time { return f.at }

// Sum adds up the values of a metric whose labels include those given, as
// pairs of name and value.
func (f *Figures) Sum(metric string, labels ...string) (sum float64) {
	for i := range f.rows.Rows {
		r := &f.rows.Rows[i]
		if r.Metric == metric && includes(r.Tags, labels) {
			sum += r.Value
		}
	}
	return sum
}

func includes(tags []prometheus.Tag, labels []string) bool {
next:
	for i := 0; i+1 < len(labels); i += 2 {
		for _, t := range tags {
			if t.Key == labels[i] && t.Value == labels[i+1] {
				continue next
			}
		}
		return false
	}
	return true
}

// Setting is the value of one of the server's command-line flags.
func (f *Figures) Setting(name string) (string, error) {
	for i := range f.rows.Rows {
		r := &f.rows.Rows[i]
		if r.Metric != "flag" || !includes(r.Tags, []string{"name", name}) {
			continue
		}
		for _, t := range r.Tags {
			if t.Key == "value" {
				return t.Value, nil
			}
		}
	}
	return "", fmt.Errorf("the server %s does not tell its setting -%s at /metrics; it is not of the kind that is expected, or something between leaves it out", f.node, name)
}

// Retention is the setting -retentionPeriod, which counts months where it has
// no unit.
func (f *Figures) Retention() (time.Duration, error) {
	text, err := f.Setting("retentionPeriod")
	if err != nil {
		return 0, err
	}
	var d flagutil.RetentionDuration
	if err := d.Set(text); err != nil {
		return 0, fmt.Errorf("the server %s: its setting -retentionPeriod=%s: %w", f.node, text, err)
	}
	return d.Duration(), nil
}

// Started is when the server started, to a second.
func (f *Figures) Started() (int64, error) {
	if s := f.Sum("vm_app_start_timestamp"); s > 0 {
		return int64(s), nil
	}
	return 0, fmt.Errorf("the server %s does not tell at /metrics when it started (vm_app_start_timestamp); it is not of the kind that is expected", f.node)
}
