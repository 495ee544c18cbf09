package loki

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/grafana/loki/v3/pkg/loghttp"
	"github.com/grafana/loki/v3/pkg/storage/stores/index/seriesvolume"
	"github.com/grafana/loki/v3/pkg/util"
	"github.com/prometheus/prometheus/model/labels"
)

// stats tells how much a selector finds. There are no chunks here.
func (s service) stats(ctx context.Context, r *request) error {
	in, err := loghttp.ParseIndexStatsQuery(r.Request)
	if err != nil {
		return bad(err)
	}
	list, err := matchers(in.Query)
	if err != nil {
		return err
	}
	found, err := s.Engine.Streams(ctx, r.within, [][]*labels.Matcher{list}, in.Start, in.End)
	if err != nil {
		return err
	}
	var lines, bytes uint64
	for _, st := range found {
		lines += st.Lines
		bytes += st.Bytes
	}
	return r.json(map[string]uint64{"streams": uint64(len(found)), "chunks": 0, "bytes": bytes, "entries": lines})
}

// volume tells how many bytes there are of each series.
func (s service) volume(ctx context.Context, r *request) error {
	in, err := loghttp.ParseVolumeInstantQuery(r.Request)
	if err != nil {
		return bad(err)
	}
	v := volume{query: in.Query, start: in.Start, end: in.End, limit: in.Limit, targets: in.TargetLabels, by: in.AggregateBy}
	return s.volumes(ctx, r, v, "vector")
}

// volumeRange does so for each step.
func (s service) volumeRange(ctx context.Context, r *request) error {
	in, err := loghttp.ParseVolumeRangeQuery(r.Request)
	if err != nil {
		return bad(err)
	}
	v := volume{query: in.Query, start: in.Start, end: in.End, step: in.Step, limit: in.Limit, targets: in.TargetLabels, by: in.AggregateBy}
	if n := in.End.Sub(in.Start) / in.Step; n > maxVolumes {
		return bad(fmt.Errorf("the volume of %d steps was asked for; %d are the most: ask for a longer step", n, maxVolumes))
	}
	return s.volumes(ctx, r, v, "matrix")
}

// maxVolumes bounds the steps of a volume.
const maxVolumes = 500

// volume asks for bytes by labels.
type volume struct {
	query      string
	start, end time.Time
	step       time.Duration // 0 is one volume for the whole time
	limit      uint32
	targets    []string // labels that tell series apart; none are those of the matchers
	by         string
}

type volumeSeries struct {
	Metric map[string]string `json:"metric"`
	Value  []any             `json:"value,omitempty"`
	Values [][]any           `json:"values,omitempty"`
	name   string
}

func (s service) volumes(ctx context.Context, r *request, v volume, kind string) error {
	list, err := matchers(v.query)
	if err != nil {
		return err
	}
	given := list
	if len(given) == 0 {
		given = []*labels.Matcher{{}} // as Loki stands for {}
	}
	wanted, _, everything := util.PrepareLabelsAndMatchers(v.targets, given)
	series := map[string]*volumeSeries{}
	var order []*volumeSeries
	step := v.step
	if step <= 0 {
		step = max(v.end.Sub(v.start), 1)
	}
	var fail error
	util.ForInterval(step, v.start, v.end, true, func(start, end time.Time) {
		if fail != nil {
			return
		}
		found, err := s.Engine.Streams(ctx, r.within, [][]*labels.Matcher{list}, start, end)
		if err != nil {
			fail = err
			return
		}
		sum := seriesvolume.NewAccumulator(int32(v.limit), s.Engine.Limits().Series)
		metrics := map[string]map[string]string{}
		for _, st := range found {
			part := map[string]string{}
			st.Labels.Range(func(l labels.Label) {
				if _, ok := wanted[l.Name]; ok || everything {
					part[l.Name] = l.Value
				}
			})
			if seriesvolume.AggregateBySeries(v.by) {
				name := labels.FromMap(part).String()
				metrics[name] = part
				fail = sum.AddVolume(name, st.Bytes)
			} else {
				for name := range part {
					metrics[name] = map[string]string{name: ""}
					fail = sum.AddVolume(name, st.Bytes)
				}
			}
			if fail != nil {
				fail = bad(fail)
				return
			}
		}
		for _, x := range sum.Volumes().Volumes {
			one := series[x.Name]
			if one == nil {
				one = &volumeSeries{Metric: metrics[x.Name], name: x.Name}
				series[x.Name] = one
				order = append(order, one)
			}
			one.Values = append(one.Values, []any{float64(end.UnixMilli()) / 1000, strconv.FormatUint(x.Volume, 10)})
		}
	})
	if fail != nil {
		return fail
	}
	if kind == "vector" {
		for _, x := range order {
			x.Value, x.Values = x.Values[0], nil
		}
	}
	if order == nil {
		order = []*volumeSeries{}
	}
	return r.json(map[string]any{"status": "success", "data": map[string]any{"resultType": kind, "result": order, "stats": map[string]any{}}})
}
