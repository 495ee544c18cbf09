package inputs

import (
	"encoding/binary"
	"math"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/influxdata/telegraf"
	"github.com/klauspost/compress/s2"

	"icewatch/collectors/fleet/wire"
)

// Store makes an encoded batch durable.
type Store func(body []byte, samples int) error

// Bounds of a batch: it goes to the store when it has one of them, or when Flush
// is called.
const (
	batchSamples = 20_000
	batchBytes   = 2 << 20
)

// Writer gathers samples into batches of remote write (prometheus.WriteRequest 1.0
// as a snappy block).
type Writer struct {
	Events *Events // for inputs that gather events; set before the first is started
	store  Store

	mu      sync.Mutex
	labels  []label // of the agent, on every sample
	body    []byte  // protobuf of the batch
	samples int
	lost    uint64 // samples that the store did not take
	failure error
	series  []byte // memory for one
	one     []label
}

type label struct{ name, value string }

// NewWriter hands batches to store. labels stand on every sample.
func NewWriter(store Store, labels map[string]string) *Writer {
	w := &Writer{store: store}
	w.SetLabels(labels)
	return w
}

// SetLabels changes the labels of every sample from now on.
func (w *Writer) SetLabels(labels map[string]string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.labels = w.labels[:0]
	for k, v := range labels {
		w.labels = append(w.labels, label{labelName(k), v})
	}
}

// Lost is how many samples the store did not take, and why the last ones.
func (w *Writer) Lost() (uint64, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.lost, w.failure
}

// Add takes the numbers of a metric in: field f of measurement m becomes the
// series m_f, its tags labels. Texts are left out. It returns how many samples
// came of it, and how many bytes they take before compression.
func (w *Writer) Add(m telegraf.Metric, extra map[string]string) (samples, bytes int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.one = w.one[:0]
	for _, t := range m.TagList() {
		if t.Value != "" {
			w.one = append(w.one, label{labelName(t.Key), t.Value})
		}
	}
	for k, v := range extra {
		w.one = append(w.one, label{labelName(k), v})
	}
	w.one = append(w.one, w.labels...)
	w.one = slices.DeleteFunc(w.one, func(l label) bool { return slices.Contains(wire.ReservedLabels, l.name) || l.name == "__name__" })
	n, before := 0, len(w.body)
	at := m.Time().UnixMilli()
	for _, f := range m.FieldList() {
		v, ok := number(f.Value)
		if !ok {
			continue
		}
		w.sample(metricName(m.Name(), f.Key), v, at)
		n++
	}
	bytes = len(w.body) - before
	if w.samples >= batchSamples || len(w.body) >= batchBytes {
		w.flush()
	}
	return n, bytes
}

// number is a field's value as a sample; ok is false for texts.
func number(v any) (float64, bool) {
	switch v := v.(type) {
	case float64:
		return v, !math.IsInf(v, 0) && !math.IsNaN(v)
	case int64:
		return float64(v), true
	case uint64:
		return float64(v), true
	case bool:
		if v {
			return 1, true
		}
		return 0, true
	}
	return 0, false
}

// metricName joins measurement and field as telegraf's own outputs for Prometheus
// do: what was scraped keeps its name.
func metricName(measurement, field string) string {
	if measurement == "prometheus" {
		return sanitize(field, true)
	}
	return sanitize(measurement+"_"+field, true)
}

func labelName(name string) string { return sanitize(name, false) }

func sanitize(name string, colon bool) string {
	good := func(i int, c byte) bool {
		return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '_' || i > 0 && c >= '0' && c <= '9' || colon && c == ':'
	}
	clean := true
	for i := range len(name) {
		if !good(i, name[i]) {
			clean = false
			break
		}
	}
	if clean && name != "" {
		return name
	}
	var b strings.Builder
	for i, r := range name {
		switch {
		case r < 0x80 && good(i, byte(r)):
			b.WriteByte(byte(r))
		case i == 0 && r >= '0' && r <= '9':
			b.WriteByte('_')
			b.WriteByte(byte(r))
		default:
			b.WriteByte('_')
		}
	}
	if b.Len() == 0 {
		return "_"
	}
	return b.String()
}

// sample appends a TimeSeries of one sample.
func (w *Writer) sample(name string, v float64, at int64) {
	s := appendLabel(w.series[:0], "__name__", name)
	slices.SortFunc(w.one, func(a, b label) int { return strings.Compare(a.name, b.name) })
	last := ""
	for _, l := range w.one {
		if l.name == last {
			continue // The plug-in's own stands before the agent's.
		}
		last = l.name
		s = appendLabel(s, l.name, l.value)
	}
	s = append(s, 2<<3|2) // samples
	size := 1 + 8
	if at != 0 {
		size += 1 + uvarintLen(uint64(at))
	}
	s = binary.AppendUvarint(s, uint64(size))
	s = append(s, 1<<3|1)
	s = binary.LittleEndian.AppendUint64(s, math.Float64bits(v))
	if at != 0 {
		s = append(s, 2<<3)
		s = binary.AppendUvarint(s, uint64(at))
	}
	w.series = s
	w.body = append(w.body, 1<<3|2)
	w.body = binary.AppendUvarint(w.body, uint64(len(s)))
	w.body = append(w.body, s...)
	w.samples++
}

func appendLabel(dst []byte, name, value string) []byte {
	dst = append(dst, 1<<3|2)
	dst = binary.AppendUvarint(dst, uint64(2+uvarintLen(uint64(len(name)))+len(name)+uvarintLen(uint64(len(value)))+len(value)))
	dst = append(dst, 1<<3|2)
	dst = binary.AppendUvarint(dst, uint64(len(name)))
	dst = append(dst, name...)
	dst = append(dst, 2<<3|2)
	dst = binary.AppendUvarint(dst, uint64(len(value)))
	return append(dst, value...)
}

func uvarintLen(v uint64) int {
	n := 1
	for ; v >= 0x80; v >>= 7 {
		n++
	}
	return n
}

// Flush hands what has come to the store. What it does not take is counted as
// lost: later figures are worth more than those.
func (w *Writer) Flush() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.flush()
}

func (w *Writer) flush() {
	if w.samples == 0 {
		return
	}
	if err := w.store(s2.EncodeSnappy(nil, w.body), w.samples); err != nil {
		w.lost += uint64(w.samples)
		w.failure = err
	} else {
		w.failure = nil
	}
	w.samples = 0
	if cap(w.body) > batchBytes/4 {
		w.body = nil // An idle agent keeps no memory for a busy moment.
	}
	w.body = w.body[:0]
}

// FlushEvery is how often samples are made durable, beside full batches.
const FlushEvery = 5 * time.Second
