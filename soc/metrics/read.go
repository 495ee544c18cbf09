package metrics

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Kinds of reads, as the Prometheus API calls them.
const (
	KindQuery       = "query"        // at one time: Query, Time
	KindQueryRange  = "query_range"  // at times Step apart from Start to End: Query
	KindSeries      = "series"       // that match, with samples between Start and End: Match
	KindLabels      = "labels"       // names of labels of such series
	KindLabelValues = "label_values" // values of Label in such series
)

// Read is one read. Which fields count depends on Kind.
type Read struct {
	Kind  string        `json:"kind"`
	Query string        `json:"query,omitempty"` // MetricsQL
	Time  time.Time     `json:"time,omitzero"`
	Start time.Time     `json:"start,omitzero"`
	End   time.Time     `json:"end,omitzero"`
	Step  time.Duration `json:"step,omitempty"`
	Match []string      `json:"match,omitempty"` // selectors, of which one must fit; none: all series
	Label string        `json:"label,omitempty"`
	Limit int           `json:"limit,omitempty"` // of series, names or values; 0: MaxItems
}

// Bounds of one read.
const (
	MaxQuery  = 16 << 10 // bytes of a query
	MaxPoints = 11_000   // of one series in a range, as in Prometheus
	MaxItems  = 20_000   // series, names or values of one list
	// Timeout is the longest a read runs, where its context does not end sooner.
	Timeout = 30 * time.Second
)

// Answer is what a read found: Result for a query, Series or Items for a list.
type Answer struct {
	ResultType string              `json:"resultType,omitempty"` // vector or matrix
	Result     []Row               `json:"result,omitempty"`
	Series     []map[string]string `json:"series,omitempty"`
	Items      []string            `json:"items,omitempty"`
}

// Row is one series of a query's answer.
type Row struct {
	Metric map[string]string `json:"metric"`
	Value  *Point            `json:"value,omitempty"`  // of a vector
	Values []Point           `json:"values,omitempty"` // of a matrix
}

// Point is a value at a time, as the Prometheus API writes it: an array of the
// Unix time in seconds and the value as text.
type Point struct {
	Time  time.Time
	Value float64
}

// MarshalJSON implements json.Marshaler.
func (p Point) MarshalJSON() ([]byte, error) {
	b := append([]byte(nil), '[')
	b = strconv.AppendFloat(b, float64(p.Time.UnixMilli())/1000, 'f', -1, 64)
	b = append(b, `,"`...)
	switch {
	case math.IsInf(p.Value, 1):
		b = append(b, "+Inf"...)
	case math.IsInf(p.Value, -1):
		b = append(b, "-Inf"...)
	default:
		// As Prometheus writes numbers: with an exponent only where they are very
		// small or large.
		format := byte('f')
		if abs := math.Abs(p.Value); abs != 0 && (abs < 1e-6 || abs >= 1e21) {
			format = 'e'
		}
		b = strconv.AppendFloat(b, p.Value, format, -1, 64)
	}
	return append(b, `"]`...), nil
}

// UnmarshalJSON implements json.Unmarshaler.
func (p *Point) UnmarshalJSON(b []byte) error {
	var raw [2]json.RawMessage
	if err := json.Unmarshal(b, &raw); err != nil {
		return fmt.Errorf("metrics: the point %.60s: %w", b, err)
	}
	at, err := strconv.ParseFloat(string(raw[0]), 64)
	if err != nil {
		return fmt.Errorf("metrics: the time of the point %.60s: %w", b, err)
	}
	var text string
	if err := json.Unmarshal(raw[1], &text); err != nil {
		return fmt.Errorf("metrics: the value of the point %.60s: %w", b, err)
	}
	p.Time = time.UnixMilli(int64(math.Round(at * 1000))).UTC()
	if p.Value, err = strconv.ParseFloat(text, 64); err != nil {
		return fmt.Errorf("metrics: the value of the point %.60s: %w", b, err)
	}
	return nil
}

// Read answers a read of the tenants with these account ids. No account means
// an empty answer.
func (s *Store) Read(ctx context.Context, accounts []uint32, r Read) (Answer, error) {
	call, form, err := r.form()
	if err != nil {
		return Answer{}, err
	}
	accounts = slices.Clone(accounts)
	slices.Sort(accounts)
	accounts = slices.Compact(accounts)
	if len(accounts) == 0 {
		return r.empty(), nil
	}
	if r.Kind == KindLabelValues && hidden(r.Label, len(accounts) > 1) {
		return r.empty(), nil
	}
	ctx, cancel := context.WithTimeout(ctx, Timeout)
	defer cancel()
	form.Set("extra_filters[]", within(accounts))
	if len(form["match[]"]) == 0 && form.Get("query") == "" {
		// A server may be told to leave extra filters out of lists without a
		// selector; so there always is one, and it says the same.
		form.Set("match[]", within(accounts))
	}
	deadline, _ := ctx.Deadline()
	form.Set("timeout", strconv.Itoa(max(1, int(time.Until(deadline).Seconds())))+"s")
	body, err := s.Ask(ctx, accounts, call, form)
	if err != nil {
		return Answer{}, err
	}
	return r.answer(body, len(accounts) > 1)
}

// form is the call of the Prometheus HTTP API that a read is.
func (r Read) form() (call string, form url.Values, err error) {
	bad := func(format string, args ...any) (string, url.Values, error) {
		return "", nil, &QueryError{Query: cut(r.Query, 200), Reason: fmt.Sprintf(format, args...)}
	}
	form = url.Values{}
	at := func(name string, t time.Time) {
		if !t.IsZero() {
			form.Set(name, strconv.FormatFloat(float64(t.UnixMilli())/1000, 'f', 3, 64))
		}
	}
	if r.Kind == KindQuery || r.Kind == KindQueryRange {
		if strings.TrimSpace(r.Query) == "" {
			return bad("it is empty; a query such as up or rate(http_requests_total[5m]) is expected")
		}
		if len(r.Query) > MaxQuery {
			return bad("it has %d bytes; %d is the most", len(r.Query), MaxQuery)
		}
		form.Set("query", r.Query)
		// What was stored a second ago is shown; the engine's own default holds
		// back half a minute.
		form.Set("latency_offset", "1s")
	}
	switch r.Kind {
	case KindQuery:
		at("time", r.Time)
		return "query", form, nil
	case KindQueryRange:
		switch {
		case r.Step < time.Millisecond:
			return bad("the step is %s; a millisecond is the least", r.Step)
		case r.End.Before(r.Start):
			return bad("the range is empty: it starts %s and ends %s", r.Start.Format(time.RFC3339), r.End.Format(time.RFC3339))
		case r.End.Sub(r.Start)/r.Step >= MaxPoints:
			return bad("a step of %s makes %d points a series; %d is the most: use a longer step", r.Step, r.End.Sub(r.Start)/r.Step+1, MaxPoints)
		}
		at("start", r.Start)
		at("end", r.End)
		form.Set("step", strconv.FormatFloat(r.Step.Seconds(), 'f', -1, 64))
		if r.Start.UnixMilli()%r.Step.Milliseconds() != 0 {
			// The engine's cache holds multiples of the step; asked for others, it
			// would answer for those.
			form.Set("nocache", "1")
		}
		return "query_range", form, nil
	case KindSeries, KindLabels, KindLabelValues:
		for _, m := range r.Match {
			if len(m) > MaxQuery {
				return bad("a selector has %d bytes; %d is the most", len(m), MaxQuery)
			}
			form.Add("match[]", m)
		}
		at("start", r.Start)
		at("end", r.End)
		limit := r.Limit
		if limit <= 0 || limit > MaxItems {
			limit = MaxItems
		}
		form.Set("limit", strconv.Itoa(limit))
		if r.Kind == KindLabelValues {
			if r.Label == "" {
				return bad("no label is named; one such as job is expected")
			}
			return "label/" + url.PathEscape(r.Label) + "/values", form, nil
		}
		return r.Kind, form, nil
	}
	return bad("a read of kind %q is not known; one of %s, %s, %s, %s, %s is expected", r.Kind, KindQuery, KindQueryRange, KindSeries, KindLabels, KindLabelValues)
}

// within is the selector of all series of the accounts.
func within(accounts []uint32) string {
	if len(accounts) == 1 {
		return fmt.Sprintf("{%s=\"%d\"}", LabelAccount, accounts[0])
	}
	var b strings.Builder
	b.WriteString("{" + LabelAccount + "=~\"")
	for i, a := range accounts {
		if i > 0 {
			b.WriteByte('|')
		}
		b.WriteString(strconv.FormatUint(uint64(a), 10))
	}
	b.WriteString("\"}")
	return b.String()
}

// hidden tells whether answers leave the label out.
func hidden(label string, many bool) bool { return reserved(label) && !(many && label == LabelTenant) }

func (r Read) empty() Answer {
	switch r.Kind {
	case KindQuery:
		return Answer{ResultType: "vector", Result: []Row{}}
	case KindQueryRange:
		return Answer{ResultType: "matrix", Result: []Row{}}
	case KindSeries:
		return Answer{Series: []map[string]string{}}
	}
	return Answer{Items: []string{}}
}

// answer takes the engine's JSON apart and the store's labels out.
func (r Read) answer(body []byte, many bool) (Answer, error) {
	var whole struct {
		Partial bool            `json:"isPartial"`
		Data    json.RawMessage `json:"data"`
	}
	if err := json.Unmarshal(body, &whole); err != nil {
		return Answer{}, fmt.Errorf("metrics: the answer %.120q is not one of the Prometheus API: %w", body, err)
	}
	if whole.Partial {
		return Answer{}, fmt.Errorf("metrics: the store answered in part only: some of its nodes are down")
	}
	strip := func(labels map[string]string) {
		maps.DeleteFunc(labels, func(name, _ string) bool { return hidden(name, many) })
	}
	a := r.empty()
	var err error
	switch r.Kind {
	case KindQuery, KindQueryRange:
		err = json.Unmarshal(whole.Data, &a)
		for i := range a.Result {
			if a.Result[i].Metric == nil {
				a.Result[i].Metric = map[string]string{}
			}
			strip(a.Result[i].Metric)
		}
	case KindSeries:
		err = json.Unmarshal(whole.Data, &a.Series)
		for _, labels := range a.Series {
			strip(labels)
		}
	default:
		err = json.Unmarshal(whole.Data, &a.Items)
		if r.Kind == KindLabels {
			a.Items = slices.DeleteFunc(a.Items, func(name string) bool { return hidden(name, many) })
		}
	}
	if err != nil {
		return Answer{}, fmt.Errorf("metrics: the answer %.120q is not one of the Prometheus API: %w", body, err)
	}
	return a, nil
}
