// Package embedded keeps the metric lake in this process: VictoriaMetrics'
// storage library and its query engine, called as its own server calls them.
//
// The library is made for one store a process: it keeps store, caches and
// settings in global variables, so that Open refuses a second one. It ends the
// process on I/O errors and on damaged files, which is why it runs in the
// engine's, and why the engine counts the openings that it did not survive.
package embedded

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/VictoriaMetrics/VictoriaMetrics/app/vmselect/netstorage"
	"github.com/VictoriaMetrics/VictoriaMetrics/app/vmselect/prometheus"
	"github.com/VictoriaMetrics/VictoriaMetrics/app/vmselect/promql"
	"github.com/VictoriaMetrics/VictoriaMetrics/app/vmstorage"
	"github.com/VictoriaMetrics/VictoriaMetrics/lib/httpserver"
	"github.com/VictoriaMetrics/VictoriaMetrics/lib/prompbmarshal"
	"github.com/VictoriaMetrics/VictoriaMetrics/lib/storage"

	"icewatch/soc/metrics"
)

// Options configure the store.
type Options struct {
	Dir       string        // of the store alone; made where it is missing
	Retention time.Duration // how long samples are kept; a day at least
	// FlushInterval is how long samples may be in memory only; 0 is the library's
	// five seconds.
	FlushInterval time.Duration
	MinFree       int64 // bytes to leave free on the disk
}

// maxReads is how many reads run at a time; the others wait.
const maxReads = 4

// maxAnswer bounds one answer in bytes.
const maxAnswer = 64 << 20

// Store implements metrics.Backend.
type Store struct {
	dir   string
	boot  string
	slots chan struct{}
}

var _ metrics.Backend = (*Store)(nil)

// opened guards the library's global state, which holds one store.
var opened atomic.Bool

// Open opens the store and makes it where it is missing.
func Open(o Options) (*Store, error) {
	if o.Retention < 24*time.Hour {
		return nil, fmt.Errorf("metrics: samples would be kept for %s; a day is the least", o.Retention)
	}
	if err := writable(o.Dir); err != nil {
		return nil, err
	}
	if !opened.CompareAndSwap(false, true) {
		return nil, fmt.Errorf("metrics: a store is open in this process already; the library holds one")
	}
	if err := configure(o); err != nil {
		opened.Store(false)
		return nil, err
	}
	// The library would look into the caches that it left at its last end, and
	// complain of each whose size is another now. They fill again as they are used.
	if err := os.RemoveAll(filepath.Join(o.Dir, "cache")); err != nil {
		opened.Store(false)
		return nil, fmt.Errorf("metrics: %w", err)
	}
	if err := dropUnfinished(o.Dir); err != nil {
		opened.Store(false)
		return nil, err
	}
	vmstorage.Init(promql.ResetRollupResultCacheIfNeeded)
	// Nobody can use a snapshot of before any more; it would only hold space.
	for _, name := range vmstorage.Storage.MustListSnapshots() {
		if err := vmstorage.Storage.DeleteSnapshot(name); err != nil {
			vmstorage.Stop()
			opened.Store(false)
			return nil, fmt.Errorf("metrics: the snapshot %s of an earlier run: %w", name, err)
		}
	}
	netstorage.InitTmpBlocksDir(filepath.Join(o.Dir, "tmp"))
	promql.InitRollupResultCache("")
	prometheus.InitMaxUniqueTimeseries(maxReads)
	return &Store{dir: o.Dir, boot: fmt.Sprintf("%d-%d", os.Getpid(), time.Now().UnixNano()), slots: make(chan struct{}, maxReads)}, nil
}

// writable says as an error what the library would die of.
func writable(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("metrics: %w", err)
	}
	probe := filepath.Join(dir, ".writable")
	if err := os.WriteFile(probe, nil, 0o600); err != nil {
		return fmt.Errorf("metrics: %w", err)
	}
	return os.Remove(probe)
}

// dropUnfinished removes the parts that a crash left unfinished in a month whose
// list of parts was not written yet. The library would take each folder of such
// a month for a part, and end the process over the unfinished ones. A part is
// finished when its metadata.json is there.
func dropUnfinished(dir string) error {
	months, err := filepath.Glob(filepath.Join(dir, "data", "small", "[0-9]*_[0-9]*"))
	if err != nil {
		return fmt.Errorf("metrics: %w", err)
	}
	for _, month := range months {
		if _, err := os.Stat(filepath.Join(month, "parts.json")); err == nil {
			continue
		}
		for _, kind := range []string{"small", "big"} {
			parts, err := filepath.Glob(filepath.Join(dir, "data", kind, filepath.Base(month), "*"))
			if err != nil {
				return fmt.Errorf("metrics: %w", err)
			}
			for _, part := range parts {
				if name := filepath.Base(part); name == "tmp" || name == "txn" || name == "snapshots" {
					continue
				}
				if _, err := os.Stat(filepath.Join(part, "metadata.json")); err == nil {
					continue
				}
				if err := os.RemoveAll(part); err != nil {
					return fmt.Errorf("metrics: a part that a crash left unfinished: %w", err)
				}
			}
		}
	}
	return nil
}

// configure hands the settings over in the only way the library takes them:
// flags of its own, of which the suite's command line knows nothing.
func configure(o Options) error {
	if !flag.Parsed() {
		if err := flag.CommandLine.Parse(nil); err != nil {
			return fmt.Errorf("metrics: %w", err)
		}
	}
	for name, value := range map[string]string{
		"loggerLevel":                   "WARN",
		"storageDataPath":               o.Dir,
		"retentionPeriod":               strconv.FormatInt(int64(o.Retention/time.Hour), 10) + "h",
		"storage.minFreeDiskSpaceBytes": strconv.FormatInt(o.MinFree, 10),
		"search.maxQueryDuration":       metrics.Timeout.String(),
		"search.maxLabelsAPIDuration":   metrics.Timeout.String(),
		"search.maxSeries":              strconv.Itoa(metrics.MaxItems),
		"search.logSlowQueryDuration":   "0",
	} {
		if flag.Lookup(name) == nil {
			continue
		}
		if err := flag.Set(name, value); err != nil {
			return fmt.Errorf("metrics: the library's setting %s=%s: %w", name, value, err)
		}
	}
	// A sample that is written again after a crash must not count twice.
	storage.SetDedupInterval(time.Millisecond)
	if o.FlushInterval > 0 {
		storage.SetDataFlushInterval(o.FlushInterval)
	}
	return nil
}

// Put implements metrics.Backend.
func (s *Store) Put(_ context.Context, _ uint32, series []metrics.Series) (string, error) {
	n := 0
	for i := range series {
		n += len(series[i].Samples)
	}
	rows := make([]storage.MetricRow, 0, n)
	var names []byte
	var labels []prompbmarshal.Label
	for i := range series {
		labels = labels[:0]
		for _, l := range series[i].Labels {
			labels = append(labels, prompbmarshal.Label{Name: l.Name, Value: l.Value})
		}
		start := len(names)
		names = storage.MarshalMetricNameRaw(names, labels)
		name := names[start:len(names):len(names)]
		for _, x := range series[i].Samples {
			rows = append(rows, storage.MetricRow{MetricNameRaw: name, Timestamp: x.Time, Value: x.Value})
		}
	}
	if err := vmstorage.AddRows(rows); err != nil {
		return "", fmt.Errorf("metrics: too little disk is left at %s: %w", s.dir, err)
	}
	return s.boot, nil
}

// Ask implements metrics.Backend: it calls the handlers of the library's own
// server, without a network between.
func (s *Store) Ask(ctx context.Context, _ []uint32, call string, form url.Values) ([]byte, error) {
	select {
	case s.slots <- struct{}{}:
		defer func() { <-s.slots }()
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "/api/v1/"+call, nil)
	if err != nil {
		return nil, fmt.Errorf("metrics: %w", err)
	}
	r.Form, r.PostForm = form, url.Values{}
	var w answer
	now := time.Now()
	switch call {
	case "query":
		err = prometheus.QueryHandler(nil, now, &w, r)
	case "query_range":
		err = prometheus.QueryRangeHandler(nil, now, &w, r)
	case "series":
		err = prometheus.SeriesHandler(nil, now, &w, r)
	case "labels":
		err = prometheus.LabelsHandler(nil, now, &w, r)
	default:
		label, ok := strings.CutSuffix(strings.TrimPrefix(call, "label/"), "/values")
		if label, err = url.PathUnescape(label); err != nil || !ok {
			return nil, fmt.Errorf("metrics: the call %q is not one of the Prometheus API's", call)
		}
		err = prometheus.LabelValuesHandler(nil, now, label, &w, r)
	}
	var status *httpserver.ErrorWithStatusCode
	switch {
	case w.full:
		return nil, &metrics.QueryError{Query: form.Get("query"), Reason: fmt.Sprintf("the answer has more than %d bytes; ask for fewer series or a longer step", maxAnswer)}
	case errors.As(err, &status) && status.StatusCode/100 == 5:
		return nil, fmt.Errorf("metrics: %w", err)
	case err != nil:
		return nil, &metrics.QueryError{Query: form.Get("query"), Reason: err.Error()}
	}
	return w.body.Bytes(), nil
}

// answer takes up what a handler writes.
type answer struct {
	body   bytes.Buffer
	header http.Header
	full   bool
}

func (a *answer) Header() http.Header {
	if a.header == nil {
		a.header = http.Header{}
	}
	return a.header
}

func (a *answer) WriteHeader(int) {}

func (a *answer) Write(b []byte) (int, error) {
	if a.full || a.body.Len()+len(b) > maxAnswer {
		a.full = true
		return 0, errors.New("the answer is too large")
	}
	return a.body.Write(b)
}

// Flush implements metrics.Backend.
func (s *Store) Flush(context.Context) error {
	vmstorage.WG.Add(1)
	defer vmstorage.WG.Done()
	vmstorage.Storage.DebugFlush()
	return nil
}

// Stats implements metrics.Backend.
func (s *Store) Stats(context.Context) (metrics.Stats, error) {
	vmstorage.WG.Add(1)
	defer vmstorage.WG.Done()
	var m storage.Metrics
	vmstorage.Storage.UpdateMetrics(&m)
	t := &m.TableMetrics
	return metrics.Stats{
		Samples: t.SmallRowsCount + t.BigRowsCount + t.InmemoryRowsCount + t.PendingRows, Active: m.HourMetricIDCacheSize,
		DiskBytes: t.SmallSizeBytes + t.BigSizeBytes + m.IndexDBMetrics.FileSizeBytes, Unflushed: t.InmemoryRowsCount + t.PendingRows,
		Dropped:  m.TooSmallTimestampRows + m.TooBigTimestampRows + m.InvalidRawMetricNames + m.HourlySeriesLimitRowsDropped + m.DailySeriesLimitRowsDropped,
		ReadOnly: vmstorage.Storage.IsReadOnly(), Boot: s.boot,
	}, nil
}

// Snapshot implements metrics.Backend.
func (s *Store) Snapshot(context.Context) (dir string, release func() error, err error) {
	vmstorage.WG.Add(1)
	defer vmstorage.WG.Done()
	vmstorage.Storage.DebugFlush()
	name := vmstorage.Storage.MustCreateSnapshot()
	return filepath.Join(s.dir, "snapshots", name), func() error {
		vmstorage.WG.Add(1)
		defer vmstorage.WG.Done()
		if err := vmstorage.Storage.DeleteSnapshot(name); err != nil {
			return fmt.Errorf("metrics: the snapshot %s is not removed: %w", name, err)
		}
		return nil
	}, nil
}

// Close writes everything to the disk and closes the store.
func (s *Store) Close() error {
	vmstorage.Stop()
	promql.StopRollupResultCache()
	opened.Store(false)
	return nil
}
