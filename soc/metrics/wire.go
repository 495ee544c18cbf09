package metrics

import (
	"bytes"
	"fmt"

	"github.com/VictoriaMetrics/VictoriaMetrics/lib/prompb"
	"github.com/VictoriaMetrics/VictoriaMetrics/lib/prompbmarshal"
)

// Encode writes series as the WriteRequest of Prometheus remote write 1.0, not
// compressed. It keeps every bit of a value, such as the mark of a series that
// went stale.
func Encode(series []Series) []byte {
	wr := prompbmarshal.WriteRequest{Timeseries: make([]prompbmarshal.TimeSeries, len(series))}
	for i := range series {
		t := &wr.Timeseries[i]
		t.Labels = make([]prompbmarshal.Label, len(series[i].Labels))
		for j, l := range series[i].Labels {
			t.Labels[j] = prompbmarshal.Label{Name: l.Name, Value: l.Value}
		}
		t.Samples = make([]prompbmarshal.Sample, len(series[i].Samples))
		for j, x := range series[i].Samples {
			t.Samples[j] = prompbmarshal.Sample{Timestamp: x.Time, Value: x.Value}
		}
	}
	return wr.MarshalProtobuf(nil)
}

// Decode reads what Encode or any other sender of remote write 1.0 wrote.
func Decode(b []byte) ([]Series, error) { return decode(bytes.Clone(b)) }

// decode is Decode of bytes that nobody changes afterwards: the texts lie in
// them.
func decode(b []byte) ([]Series, error) {
	var wr prompb.WriteRequest
	if err := wr.UnmarshalProtobuf(b); err != nil {
		return nil, fmt.Errorf("metrics: the body is not a write request of Prometheus: %w", err)
	}
	list := make([]Series, len(wr.Timeseries))
	for i := range wr.Timeseries {
		t := &wr.Timeseries[i]
		s := Series{Labels: make([]Label, len(t.Labels)), Samples: make([]Sample, len(t.Samples))}
		for j, l := range t.Labels {
			s.Labels[j] = Label{l.Name, l.Value}
		}
		for j, x := range t.Samples {
			s.Samples[j] = Sample{x.Timestamp, x.Value}
		}
		list[i] = s
	}
	return list, nil
}
