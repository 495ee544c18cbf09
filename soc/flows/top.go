package flows

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"icewatch/soc/search"
)

// Dimensions are what flows can be ranked by.
var Dimensions = []string{"source", "destination", "host", "port", "service", "protocol", "conversation", "exporter", "interface", "as"}

// dimension says how the rows of one dimension are made: the fields they are
// counted by, and where these are not those of the flows, the flows' fields
// that are summed up first and the pipes that make the one of the other. So
// the costly pipes see a row a pair of ends and not a row a flow.
type dimension struct {
	first   []string
	prepare string
	by      []string
}

// Where a flow counts for each of two values, both are put into one list and
// laid out as rows.
var dimensions = map[string]dimension{
	"source":       {by: []string{"icewatch.zone", "source.ip"}},
	"destination":  {by: []string{"icewatch.zone", "destination.ip"}},
	"host":         {first: ends, prepare: both("source.ip", "destination.ip"), by: []string{"icewatch.zone", "of"}},
	"port":         {by: []string{"server.port"}},
	"service":      {by: []string{"network.transport", "server.port"}},
	"protocol":     {by: []string{"network.iana_number"}},
	"conversation": {first: ends, prepare: ordered, by: []string{"icewatch.zone", "a", "b"}},
	"exporter":     {by: []string{"icewatch.zone", "observer.ip"}},
	"interface": {first: []string{"icewatch.zone", "observer.ip", "observer.ingress.interface.id", "observer.egress.interface.id"},
		prepare: both("observer.ingress.interface.id", "observer.egress.interface.id"), by: []string{"icewatch.zone", "observer.ip", "of"}},
	"as": {first: []string{"source.as.number", "destination.as.number"}, prepare: both("source.as.number", "destination.as.number"), by: []string{"of"}},
}

// ends are the two ends of a flow.
var ends = []string{"icewatch.zone", "source.ip", "destination.ip"}

// sumAgain adds up what sumUp has summed.
const sumAgain = `sum(bytes) bytes, sum(packets) packets, sum(flows) flows`

// both makes two rows of each: one for the value of each field, in the field
// "of". Where both are the same it counts once.
func both(first, second string) string {
	one := fmt.Sprintf(`format if (%q:eq_field(%q)) "[\"<%s>\"]" as of`, first, second, first)
	two := fmt.Sprintf(`format if (!%q:eq_field(%q)) "[\"<%s>\",\"<%s>\"]" as of`, first, second, first, second)
	return one + " | " + two + ` | unroll by (of) | filter of:*`
}

// ordered puts the two ends of a flow into a and b, the same way round for
// both directions.
const ordered = `filter "source.ip":* "destination.ip":*` +
	` | format if ("source.ip":le_field("destination.ip")) "<source.ip>" as a | format if ("source.ip":le_field("destination.ip")) "<destination.ip>" as b` +
	` | format if (!"source.ip":le_field("destination.ip")) "<destination.ip>" as a | format if (!"source.ip":le_field("destination.ip")) "<source.ip>" as b`

// pipes are the dimension's pipes up to its sums. step is the width of
// buckets of time, 0 for none.
func (d *dimension) pipes(step time.Duration, only string) string {
	var b strings.Builder
	stats := func(by []string, sums string) {
		b.WriteString(" | stats by (")
		if step > 0 {
			b.WriteString("_time:" + step.String() + ", ")
		}
		b.WriteString(quoteAll(by) + ") " + sums)
	}
	sums := sumUp
	if d.prepare != "" {
		stats(d.first, sumUp)
		b.WriteString(" | " + d.prepare)
		sums = sumAgain
	}
	if only != "" {
		b.WriteString(" | filter " + only)
	}
	stats(d.by, sums)
	return b.String()
}

// AS is an autonomous system.
type AS struct {
	Number int64 `json:"number"`
}

// Entry is one value of a dimension.
type Entry struct {
	Key       string  `json:"key" doc:"Unique within the answer"`
	Zone      string  `json:"zone,omitempty"`
	Peer      *Peer   `json:"peer,omitempty" doc:"Of source, destination and host"`
	A         *Peer   `json:"a,omitempty" doc:"Of conversation"`
	B         *Peer   `json:"b,omitempty" doc:"Of conversation"`
	Service   string  `json:"service,omitempty" doc:"Name of the service at the port"`
	Port      int     `json:"port,omitempty"`
	Transport string  `json:"transport,omitempty"`
	Exporter  string  `json:"exporter,omitempty"`
	Interface string  `json:"interface,omitempty"`
	AS        *AS     `json:"as,omitempty"`
	Share     float64 `json:"share" doc:"Of the total, by the metric. Flows that count at both ends make shares add up to more than 1"`
	Sums
}

// entry makes an entry of a row.
func entry(by string, m row) Entry {
	e := Entry{Sums: m.sums()}
	peer := func(address string) *Peer { return &Peer{Zone: m.zone(), Address: address} }
	switch by {
	case "source", "destination", "host":
		e.Zone, e.Peer = m.zone(), peer(m[map[string]string{"source": "source.ip", "destination": "destination.ip", "host": "of"}[by]])
		e.Key = e.Zone + "|" + e.Peer.Address
	case "conversation":
		e.Zone, e.A, e.B = m.zone(), peer(m["a"]), peer(m["b"])
		e.Key = e.Zone + "|" + m["a"] + "|" + m["b"]
	case "port", "service":
		e.Port, _ = strconv.Atoi(m["server.port"])
		e.Transport = m["network.transport"]
		e.Service = portOf(e.Port, "").Name
		e.Key = m["server.port"]
		if by == "service" {
			e.Key = e.Transport + "/" + e.Key
		}
	case "protocol":
		n, err := strconv.Atoi(m["network.iana_number"])
		if err != nil {
			n = -1
		}
		e.Transport = transportOf(n)
		e.Key = e.Transport
	case "exporter":
		e.Zone, e.Exporter = m.zone(), m["observer.ip"]
		e.Key = e.Zone + "|" + e.Exporter
	case "interface":
		e.Zone, e.Exporter, e.Interface = m.zone(), m["observer.ip"], m["of"]
		e.Key = e.Zone + "|" + e.Exporter + "|" + e.Interface
	case "as":
		n, _ := strconv.ParseInt(m["of"], 10, 64)
		e.AS = &AS{Number: n}
		e.Key = m["of"]
	}
	return e
}

// only is the filter, behind the dimension's preparing pipes, for rows of
// these entries.
func (d *dimension) only(by string, list []Entry) string {
	var parts []string
	for _, e := range list {
		var values []string
		switch by {
		case "source", "destination", "host":
			values = []string{e.Zone, e.Peer.Address}
		case "conversation":
			values = []string{e.Zone, e.A.Address, e.B.Address}
		case "port":
			values = []string{e.Key}
		case "service":
			transport, port, _ := strings.Cut(e.Key, "/")
			values = []string{transport, port}
		case "protocol":
			values = []string{strconv.Itoa(protocolOf(e.Transport))}
		case "exporter":
			values = []string{e.Zone, e.Exporter}
		case "interface":
			values = []string{e.Zone, e.Exporter, e.Interface}
		case "as":
			values = []string{e.Key}
		}
		var is []string
		for i, f := range d.by {
			switch {
			case f == "icewatch.zone":
				is = append(is, zoneIs(values[i]))
			case values[i] == "" || f == "network.iana_number" && values[i] == "-1":
				is = append(is, strconv.Quote(f)+`:""`)
			default:
				is = append(is, strconv.Quote(f)+":="+strconv.Quote(values[i]))
			}
		}
		parts = append(parts, "("+strings.Join(is, " ")+")")
	}
	return "(" + strings.Join(parts, " or ") + ")"
}

func dimensionOf(by string) (*dimension, error) {
	d, ok := dimensions[by]
	if !ok {
		return nil, fmt.Errorf("%w: by %q is not known; one of %s is expected", ErrInvalid, by, strings.Join(Dimensions, ", "))
	}
	return &d, nil
}

// Top is the largest values of a dimension.
type Top struct {
	By     string  `json:"by"`
	Metric string  `json:"metric"`
	Items  []Entry `json:"items" nullable:"false"`
	Total  Sums    `json:"total" doc:"Of all flows of the range"`
	TookMS int64   `json:"took_ms"`
}

// Top ranks the values of a dimension by a metric.
func (s *Service) Top(ctx context.Context, r Range, by, metric string, limit int) (Top, error) {
	begun := time.Now()
	t := Top{By: by, Metric: metric, Items: []Entry{}}
	d, err := dimensionOf(by)
	if err != nil {
		return t, err
	}
	if err := checkMetric(metric); err != nil {
		return t, err
	}
	f, err := r.filter()
	if err != nil {
		return t, err
	}
	if t.Total, err = s.total(ctx, &r); err != nil {
		return t, err
	}
	query := fmt.Sprintf("%s%s | sort by (%s desc, %s) limit %d", f, d.pipes(0, ""), metric, quoteAll(d.by), limit)
	err = s.ask(ctx, &r, query, limit, func(m row) error {
		e := entry(by, m)
		if whole := t.Total.of(metric); whole > 0 {
			e.Share = float64(e.of(metric)) / float64(whole)
		}
		t.Items = append(t.Items, e)
		return nil
	})
	if err != nil {
		return t, err
	}
	// The library sorts texts that are numbers as numbers, and sums as texts
	// where they are long: the order is ours to keep.
	slices.SortStableFunc(t.Items, func(a, b Entry) int { return compareSums(&b.Sums, &a.Sums, metric) })
	err = s.names(ctx, r.Reach, peersOf(t.Items))
	t.TookMS = time.Since(begun).Milliseconds()
	return t, err
}

func compareSums(a, b *Sums, metric string) int {
	switch x, y := a.of(metric), b.of(metric); {
	case x < y:
		return -1
	case x > y:
		return 1
	}
	return 0
}

func quoteAll(names []string) string {
	quoted := make([]string, len(names))
	for i, n := range names {
		quoted[i] = strconv.Quote(n)
	}
	return strings.Join(quoted, ", ")
}

func peersOf(list []Entry) (peers []*Peer) {
	for i := range list {
		for _, p := range []*Peer{list[i].Peer, list[i].A, list[i].B} {
			if p != nil {
				peers = append(peers, p)
			}
		}
	}
	return peers
}

// Curve is one value of a dimension over time.
type Curve struct {
	Entry
	Values []int64 `json:"values" nullable:"false" doc:"One a point of time"`
}

// Series is the largest values of a dimension over time.
type Series struct {
	By     string      `json:"by"`
	Metric string      `json:"metric"`
	StepMS int64       `json:"step_ms"`
	Times  []time.Time `json:"times" nullable:"false" doc:"Beginnings of the buckets"`
	Series []Curve     `json:"series" nullable:"false"`
	Other  []int64     `json:"other" nullable:"false" doc:"All flows but those of the series; 0 where flows that count at both ends make the series more than the whole"`
	Total  []int64     `json:"total" nullable:"false" doc:"All flows"`
}

// maxBuckets bounds the points of a series.
const maxBuckets = 500

// Series shows the largest values of a dimension over time.
func (s *Service) Series(ctx context.Context, r Range, by, metric string, limit, buckets int) (Series, error) {
	out := Series{By: by, Metric: metric, Series: []Curve{}}
	top, err := s.Top(ctx, r, by, metric, limit)
	if err != nil {
		return out, err
	}
	d, err := dimensionOf(by)
	if err != nil {
		return out, err
	}
	f, err := r.filter()
	if err != nil {
		return out, err
	}
	step := search.Step(r.End.Sub(r.Start), min(max(buckets, 1), maxBuckets))
	out.StepMS = step.Milliseconds()
	first := floor(r.Start, step)
	for t := first; t.Before(r.End); t = t.Add(step) {
		out.Times = append(out.Times, t.UTC())
	}
	out.Total, out.Other = make([]int64, len(out.Times)), make([]int64, len(out.Times))
	place := func(m row) int {
		at := int(m.time("@timestamp").Sub(first) / step)
		if at < 0 || at >= len(out.Times) {
			return -1
		}
		return at
	}
	err = s.ask(ctx, &r, fmt.Sprintf("%s | stats by (_time:%s) %s", f, step, sumUp), len(out.Times)+2, func(m row) error {
		if at := place(m); at >= 0 {
			sums := m.sums()
			out.Total[at] += sums.of(metric)
			out.Other[at] = out.Total[at]
		}
		return nil
	})
	if err != nil || len(top.Items) == 0 {
		return out, err
	}
	index := map[string]int{}
	for i, e := range top.Items {
		index[e.Key] = i
		out.Series = append(out.Series, Curve{Entry: e, Values: make([]int64, len(out.Times))})
	}
	err = s.ask(ctx, &r, f+d.pipes(step, d.only(by, top.Items)), (len(out.Times)+2)*len(top.Items)*2, func(m row) error {
		e := entry(by, m)
		i, known := index[e.Key]
		at := place(m)
		if !known || at < 0 {
			return nil
		}
		n := e.of(metric)
		out.Series[i].Values[at] += n
		out.Other[at] = max(0, out.Other[at]-n)
		return nil
	})
	return out, err
}

// floor is the beginning of the bucket that holds t; buckets are counted from
// 1970, as the lake does.
func floor(t time.Time, step time.Duration) time.Time {
	n := t.UnixNano()
	return time.Unix(0, n-n%int64(step)).UTC()
}
