package loki

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/grafana/loki/v3/pkg/loghttp"
	"github.com/grafana/loki/v3/pkg/logproto"
	lokilog "github.com/grafana/loki/v3/pkg/logql/log"
	"github.com/grafana/loki/v3/pkg/logqlmodel"
	"github.com/grafana/loki/v3/pkg/util/httpreq"
	"github.com/prometheus/prometheus/model/labels"

	"icewatch/soc/loki/logql"
)

// detected is a field found in lines.
type detected struct {
	values  map[string]bool
	kind    logproto.DetectedFieldType
	parsers []string
	path    []string // where it stands in JSON
}

// detectedFields lists the fields of the newest lines that a query finds: their
// structured metadata, and what lines hold that are JSON or logfmt.
func (s service) detectedFields(ctx context.Context, r *request) error {
	in, err := loghttp.ParseDetectedFieldsQuery(r.Request)
	if err != nil {
		return bad(err)
	}
	found, err := s.detect(ctx, r, in)
	if err != nil {
		return err
	}
	type field struct {
		Label       string                     `json:"label"`
		Type        logproto.DetectedFieldType `json:"type"`
		Cardinality int                        `json:"cardinality"`
		Parsers     []string                   `json:"parsers"`
		JSONPath    []string                   `json:"jsonPath,omitempty"`
	}
	fields := []field{}
	for _, name := range slices.Sorted(maps.Keys(found)) {
		d := found[name]
		fields = append(fields, field{name, d.kind, len(d.values), d.parsers, d.path})
	}
	return r.json(map[string]any{"fields": fields, "limit": in.Limit})
}

// detectedValues lists the values of such a field.
func (s service) detectedValues(ctx context.Context, r *request) error {
	in, err := loghttp.ParseDetectedFieldsQuery(r.Request)
	if err != nil {
		return bad(err)
	}
	found, err := s.detect(ctx, r, in)
	if err != nil {
		return err
	}
	values := []string{}
	if d := found[r.name]; d != nil {
		values = append(values, sorted(d.values)...)
		values = values[:min(len(values), int(in.Limit))]
	}
	return r.json(map[string]any{"values": values, "limit": in.Limit})
}

func (s service) detect(ctx context.Context, r *request, in *logproto.DetectedFieldsRequest) (map[string]*detected, error) {
	p, err := logql.Params(in.Query, in.Start, in.End, time.Duration(in.Step)*time.Millisecond, 0, logproto.BACKWARD, in.LineLimit)
	if err != nil {
		return nil, bad(err)
	}
	ctx = httpreq.AddEncodingFlagsToContext(ctx, httpreq.NewEncodingFlags(httpreq.FlagCategorizeLabels))
	res, err := s.Engine.Query(ctx, r.within, p)
	if err != nil {
		return nil, err
	}
	streams, ok := res.Data.(logqlmodel.Streams)
	if !ok {
		return nil, bad(fmt.Errorf("only log selector is supported"))
	}
	found := map[string]*detected{}
	add := func(name, value, parser string, path []string) {
		if name == logqlmodel.ErrorLabel || name == logqlmodel.ErrorDetailsLabel || name == logqlmodel.PreserveErrorLabel {
			return
		}
		d := found[name]
		if d == nil {
			if r.name == "" && len(found) >= int(in.Limit) || r.name != "" && name != r.name {
				return
			}
			d = &detected{values: map[string]bool{}, kind: kindOf(value), path: path}
			found[name] = d
		}
		if parser != "" && !slices.Contains(d.parsers, parser) {
			d.parsers = append(d.parsers, parser)
		}
		d.values[value] = true
	}
	for _, st := range streams {
		set, err := labelsOf(st.Labels)
		if err != nil {
			return nil, err
		}
		builder := lokilog.NewBaseLabelsBuilder().ForLabels(set, labels.StableHash(set))
		for i := range st.Entries {
			e := &st.Entries[i]
			for _, m := range e.StructuredMetadata {
				add(m.Name, m.Value, "", nil)
			}
			for _, m := range e.Parsed {
				add(m.Name, m.Value, "", nil)
			}
			parser := parse(builder, e.Line)
			if parser == "" {
				continue
			}
			builder.LabelsResult().Parsed().Range(func(l labels.Label) {
				var path []string
				if parser == "json" {
					path = slices.Clone(builder.GetJSONPath(l.Name))
				}
				add(l.Name, l.Value, parser, path)
			})
		}
	}
	return found, nil
}

// parse has Loki's parsers read a line into the builder and says which did, ""
// for none.
func parse(b *lokilog.LabelsBuilder, line string) string {
	b.Reset()
	if strings.HasPrefix(strings.TrimLeft(line, " \t"), "{") {
		if _, ok := lokilog.NewJSONParser(true).Process(0, []byte(line), b); ok && !b.HasErr() {
			return "json"
		}
		b.Reset()
	}
	if _, ok := lokilog.NewLogfmtParser(false, false).Process(0, []byte(line), b); ok && !b.HasErr() {
		return "logfmt"
	}
	return ""
}

// kindOf is the type of a value as Loki tells it.
func kindOf(value string) logproto.DetectedFieldType {
	if _, err := strconv.ParseInt(value, 10, 64); err == nil {
		return logproto.DetectedFieldInt
	}
	if _, err := strconv.ParseFloat(value, 64); err == nil {
		return logproto.DetectedFieldFloat
	}
	if _, err := strconv.ParseBool(value); err == nil {
		return logproto.DetectedFieldBoolean
	}
	if _, err := time.ParseDuration(value); err == nil {
		return logproto.DetectedFieldDuration
	}
	if _, err := humanize.ParseBytes(value); err == nil {
		return logproto.DetectedFieldBytes
	}
	return logproto.DetectedFieldString
}

// detectedLabels lists the labels and how many values each has.
func (s service) detectedLabels(ctx context.Context, r *request) error {
	values := map[string]map[string]bool{}
	err := s.streams(ctx, r, func(st *logql.Stream) {
		st.Labels.Range(func(l labels.Label) {
			if values[l.Name] == nil {
				values[l.Name] = map[string]bool{}
			}
			values[l.Name][l.Value] = true
		})
	})
	if err != nil {
		return err
	}
	type label struct {
		Label       string `json:"label"`
		Cardinality int    `json:"cardinality"`
	}
	list := []label{}
	for _, name := range slices.Sorted(maps.Keys(values)) {
		list = append(list, label{name, len(values[name])})
	}
	return r.json(map[string]any{"detectedLabels": list})
}
