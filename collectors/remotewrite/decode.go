package remotewrite

import (
	"errors"
	"fmt"

	"github.com/VictoriaMetrics/easyproto"

	"icewatch/soc/metrics"
)

// request is what one body holds. Its texts lie in the body.
type request struct {
	series     []metrics.Series
	metadata   []metrics.Description
	histograms []histograms // of series that bring native histograms
	exemplars  int

	labels  []metrics.Label  // of all series
	samples []metrics.Sample // of all series
	symbols []string
	refs    []uint32
}

// histograms are native histograms of one series, which is named for the
// refusal.
type histograms struct {
	metric string
	n      int
}

func (r *request) reset() {
	clear(r.series)
	clear(r.metadata)
	clear(r.histograms)
	clear(r.labels)
	clear(r.symbols)
	*r = request{series: r.series[:0], metadata: r.metadata[:0], histograms: r.histograms[:0], labels: r.labels[:0], samples: r.samples[:0], symbols: r.symbols[:0], refs: r.refs[:0]}
}

// kept bounds the memory of a request that waits for the next, in labels and
// samples.
const kept = 200_000

func (r *request) small() bool {
	return cap(r.labels) <= kept && cap(r.samples) <= kept && cap(r.symbols) <= kept
}

var errTooMany = errors.New("the request has too many samples")

// fields calls f with each field of a message.
func fields(message []byte, what string, f func(fc *easyproto.FieldContext) error) error {
	var fc easyproto.FieldContext
	for len(message) > 0 {
		var err error
		if message, err = fc.NextField(message); err != nil {
			return fmt.Errorf("%s is not protobuf: %w", what, err)
		}
		if err := f(&fc); err != nil {
			return err
		}
	}
	return nil
}

// message reads a field that is a message; what names it.
func message(fc *easyproto.FieldContext, what string, read func([]byte) error) error {
	data, ok := fc.MessageData()
	if !ok {
		return wrong(fc, what, "a message")
	}
	return read(data)
}

func wrong(fc *easyproto.FieldContext, what, kind string) error {
	n := fc.FieldNum
	return fmt.Errorf("field %d of the protobuf is not %s, which %s is: is it a request of remote write?", n, kind, what)
}

// take reads a field into a variable, and says where it is of another type.
func take[T any](fc *easyproto.FieldContext, into *T, read func() (T, bool), what, kind string) error {
	v, ok := read()
	if !ok {
		return wrong(fc, what, kind)
	}
	*into = v
	return nil
}

// readV1 reads a prometheus.WriteRequest of remote write 1.0.
func (r *request) readV1(body []byte, maxSamples int) error {
	return fields(body, "the body", func(fc *easyproto.FieldContext) error {
		switch fc.FieldNum {
		case 1:
			return message(fc, "a time series", func(b []byte) error { return r.seriesV1(b, maxSamples) })
		case 3:
			return message(fc, "metadata", r.metadataV1)
		}
		return nil
	})
}

func (r *request) seriesV1(body []byte, maxSamples int) error {
	labels, samples, found := len(r.labels), len(r.samples), 0
	err := fields(body, "a time series", func(fc *easyproto.FieldContext) error {
		switch fc.FieldNum {
		case 1:
			return message(fc, "a label", r.label)
		case 2:
			return message(fc, "a sample", func(b []byte) error { return r.sample(b, maxSamples) })
		case 3:
			r.exemplars++
		case 4:
			found++
		}
		return nil
	})
	r.add(labels, samples, found)
	return err
}

// Labels and samples are read without fields: it would cost memory for each.

// label reads a label of version 1.
func (r *request) label(body []byte) (err error) {
	var l metrics.Label
	var fc easyproto.FieldContext
	for len(body) > 0 {
		if body, err = fc.NextField(body); err != nil {
			return fmt.Errorf("a label is not protobuf: %w", err)
		}
		ok := true
		switch fc.FieldNum {
		case 1:
			l.Name, ok = fc.String()
		case 2:
			l.Value, ok = fc.String()
		}
		if !ok {
			return wrong(&fc, "a label's name or value", "text")
		}
	}
	r.labels = append(r.labels, l)
	return nil
}

// sample reads a sample, which is the same in both versions.
func (r *request) sample(body []byte, maxSamples int) (err error) {
	if len(r.samples) >= maxSamples {
		return errTooMany
	}
	var x metrics.Sample
	var fc easyproto.FieldContext
	for len(body) > 0 {
		if body, err = fc.NextField(body); err != nil {
			return fmt.Errorf("a sample is not protobuf: %w", err)
		}
		ok := true
		switch fc.FieldNum {
		case 1:
			x.Value, ok = fc.Double()
		case 2:
			x.Time, ok = fc.Int64()
		}
		if !ok {
			return wrong(&fc, "a sample's value or time", "a double or a number")
		}
	}
	r.samples = append(r.samples, x)
	return nil
}

// add closes a series whose labels and samples begin at the places given.
func (r *request) add(labels, samples, found int) {
	s := metrics.Series{Labels: r.labels[labels:len(r.labels):len(r.labels)], Samples: r.samples[samples:len(r.samples):len(r.samples)]}
	if found > 0 {
		r.histograms = append(r.histograms, histograms{s.Name(), found})
	}
	if len(s.Samples) > 0 {
		r.series = append(r.series, s)
	}
}

// types are the types of metrics by their number in both versions.
var types = []string{"unknown", "counter", "gauge", "histogram", "gaugehistogram", "summary", "info", "stateset"}

func typeName(n int32) string {
	if n < 0 || int(n) >= len(types) {
		return types[0]
	}
	return types[n]
}

func (r *request) metadataV1(body []byte) error {
	var d metrics.Description
	var kind int32
	err := fields(body, "metadata", func(fc *easyproto.FieldContext) error {
		switch fc.FieldNum {
		case 1:
			return take(fc, &kind, fc.Int32, "a metric's type", "a number")
		case 2:
			return take(fc, &d.Metric, fc.String, "a metric's name", "text")
		case 4:
			return take(fc, &d.Help, fc.String, "a metric's help", "text")
		case 5:
			return take(fc, &d.Unit, fc.String, "a metric's unit", "text")
		}
		return nil
	})
	d.Type = typeName(kind)
	if d.Metric != "" {
		r.metadata = append(r.metadata, d)
	}
	return err
}

// readV2 reads an io.prometheus.write.v2.Request.
func (r *request) readV2(body []byte, maxSamples int) error {
	// Series refer to the symbols, wherever these stand.
	err := fields(body, "the body", func(fc *easyproto.FieldContext) error {
		if fc.FieldNum != 4 {
			return nil
		}
		var s string
		err := take(fc, &s, fc.String, "a symbol", "text")
		r.symbols = append(r.symbols, s)
		return err
	})
	if err != nil {
		return err
	}
	if len(r.symbols) > 0 && r.symbols[0] != "" {
		return fmt.Errorf("the first symbol is %q; it must be empty", cut(r.symbols[0]))
	}
	return fields(body, "the body", func(fc *easyproto.FieldContext) error {
		if fc.FieldNum != 5 {
			return nil
		}
		return message(fc, "a time series", func(b []byte) error { return r.seriesV2(b, maxSamples) })
	})
}

func (r *request) symbol(ref uint32) (string, error) {
	if int64(ref) >= int64(len(r.symbols)) {
		return "", fmt.Errorf("a series refers to symbol %d of %d", ref, len(r.symbols))
	}
	return r.symbols[ref], nil
}

func (r *request) seriesV2(body []byte, maxSamples int) error {
	labels, samples, found := len(r.labels), len(r.samples), 0
	r.refs = r.refs[:0]
	var d metrics.Description
	err := fields(body, "a time series", func(fc *easyproto.FieldContext) error {
		switch fc.FieldNum {
		case 1:
			var ok bool
			if r.refs, ok = fc.UnpackUint32s(r.refs); !ok {
				return wrong(fc, "a list of references to symbols", "a packed list of numbers")
			}
		case 2:
			return message(fc, "a sample", func(b []byte) error { return r.sample(b, maxSamples) })
		case 3:
			found++
		case 4:
			r.exemplars++
		case 5:
			return message(fc, "metadata", func(b []byte) (err error) { d, err = r.metadataV2(b); return err })
		}
		return nil
	})
	if err != nil {
		return err
	}
	if len(r.refs)%2 != 0 {
		return fmt.Errorf("a series has %d references to symbols; names and values come in pairs", len(r.refs))
	}
	for i := 0; i < len(r.refs); i += 2 {
		var l metrics.Label
		if l.Name, err = r.symbol(r.refs[i]); err != nil {
			return err
		}
		if l.Value, err = r.symbol(r.refs[i+1]); err != nil {
			return err
		}
		if l.Name == metrics.LabelName {
			d.Metric = l.Value
		}
		r.labels = append(r.labels, l)
	}
	if d.Metric != "" && (d.Type != "" && d.Type != types[0] || d.Help != "" || d.Unit != "") {
		r.metadata = append(r.metadata, d)
	}
	r.add(labels, samples, found)
	return nil
}

func (r *request) metadataV2(body []byte) (d metrics.Description, err error) {
	var kind int32
	var help, unit uint32
	err = fields(body, "metadata", func(fc *easyproto.FieldContext) error {
		switch fc.FieldNum {
		case 1:
			return take(fc, &kind, fc.Int32, "a metric's type", "a number")
		case 3:
			return take(fc, &help, fc.Uint32, "a reference to help", "a number")
		case 4:
			return take(fc, &unit, fc.Uint32, "a reference to a unit", "a number")
		}
		return nil
	})
	if err != nil {
		return d, err
	}
	d.Type = typeName(kind)
	if d.Help, err = r.symbol(help); err != nil && help != 0 {
		return d, err
	}
	if d.Unit, err = r.symbol(unit); err != nil && unit != 0 {
		return d, err
	}
	return d, nil
}

func cut(s string) string {
	if len(s) > 200 {
		return s[:200] + "…"
	}
	return s
}
