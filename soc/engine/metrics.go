package engine

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"icewatch/soc/condition"
	"icewatch/soc/metrics"
	"icewatch/soc/metrics/embedded"
	"icewatch/soc/metrics/remote"
	"icewatch/soc/reach"
	"icewatch/soc/search"
)

// MetricOptions say where the engine keeps metrics.
type MetricOptions struct {
	Retention time.Duration
	Remote    *remote.Options // nil: below the engine's own folder
}

// metricLake is the engine's metric lake. It never keeps the engine from
// working events: it opens beside it, and again and again where it cannot be
// opened, and until then says why.
type metricLake struct {
	dir   string
	opts  MetricOptions
	free  int64
	log   *slog.Logger
	store atomic.Pointer[metrics.Store]
	board *condition.Board
	shut  atomic.Pointer[error]

	mu        sync.Mutex
	snapshots map[string]func() error // to be released, by folder
}

func newMetricLake(o Options, board *condition.Board, log *slog.Logger) *metricLake {
	m := &metricLake{dir: filepath.Join(o.Dir, "metrics"), opts: o.Metrics, free: o.MinFree, board: board, log: log, snapshots: map[string]func() error{}}
	opening := errors.New("it is being opened")
	m.shut.Store(&opening)
	return m
}

// run opens the store, has it take samples from the bus, and closes it when ctx
// ends.
func (m *metricLake) run(ctx context.Context, in *metricIntake) {
	for wait := time.Second; ; wait = min(2*wait, 30*time.Second) {
		err := m.open(ctx)
		if err == nil {
			break
		}
		if ctx.Err() != nil {
			return
		}
		m.shut.Store(&err)
		if m.board.Set(condition.Condition{Kind: m.kind(), Key: "metrics", Severity: condition.Medium, Text: condition.Text{
			ZH: "指标库无法打开：" + err.Error(), EN: "the metric lake cannot be opened: " + err.Error()}}) {
			m.log.Error("engine: the metric lake is not open; it is tried again", "error", err)
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return
		}
	}
	m.board.Clear(m.kind(), "metrics")
	in.run(ctx, m.store.Load())
	if err := m.store.Swap(nil).Close(); err != nil {
		m.log.Error("engine: the metric lake is not closed in order", "error", err)
	} else if m.opts.Remote == nil {
		in.closed()
	}
}

// kind is what is wrong while the store is not open.
func (m *metricLake) kind() string {
	if m.opts.Remote != nil {
		return condition.ServerDown
	}
	return condition.Unsaved
}

func (m *metricLake) open(ctx context.Context) error {
	var b metrics.Backend
	var err error
	if m.opts.Remote != nil {
		b, err = remote.Open(ctx, *m.opts.Remote, m.opts.Retention)
	} else {
		b, err = m.openHere()
	}
	if err != nil {
		return err
	}
	m.store.Store(metrics.New(b, m.opts.Retention))
	return nil
}

// fatalOpenings is how many openings in a row the engine may not survive
// before the metric lake is held to be damaged. One could be a power cut.
const fatalOpenings = 3

// openHere opens the embedded store. The library ends the process over a file
// that it cannot read; so the openings that came to no end are counted on the
// disk, and after some the store is set aside: metrics of the past are worth
// less than an engine that does not start.
func (m *metricLake) openHere() (metrics.Backend, error) {
	var tried int
	count := m.dir + ".openings"
	if err := readJSON(count, &tried); err != nil {
		m.log.Warn("engine: how often the metric lake was opened is not known", "error", err)
	}
	if tried >= fatalOpenings {
		aside := m.dir + time.Now().UTC().Format(".damaged-20060102T150405")
		if err := os.Rename(m.dir, aside); err != nil {
			return nil, fmt.Errorf("the metric lake is damaged and cannot be set aside: %w", err)
		}
		m.log.Error("engine: the metric lake could not be opened; it is set aside and begins anew", "tried", tried, "aside", aside)
		m.board.Set(condition.Condition{Kind: condition.Damage, Key: "metrics", Severity: condition.High, Text: condition.Text{
			ZH: "指标库已损坏，已移至 " + aside + "，并重新开始", EN: "the metric lake was damaged; it was moved to " + aside + " and begins anew"}})
		tried = 0
	}
	if err := writeJSON(count, tried+1); err != nil {
		return nil, err
	}
	b, err := embedded.Open(embedded.Options{Dir: m.dir, Retention: m.opts.Retention, MinFree: m.free})
	if removed := os.Remove(count); removed != nil {
		m.log.Warn("engine: the metric lake counts as not opened", "error", removed)
	}
	return b, err
}

// use hands over the store, or an error that says why it is not there.
func (m *metricLake) use() (*metrics.Store, error) {
	if s := m.store.Load(); s != nil {
		return s, nil
	}
	return nil, fmt.Errorf("the metric lake is not open: %w", *m.shut.Load())
}

// stats are the figures of an embedded store; those of servers are asked for
// when they are wanted.
func (m *metricLake) stats() metrics.Stats {
	s := m.store.Load()
	if s == nil || m.opts.Remote != nil {
		return metrics.Stats{}
	}
	st, err := s.Stats(context.Background())
	if err != nil {
		m.log.Warn("engine: figures of the metric lake", "error", err)
	}
	return st
}

// metricAnswer is what the socket answers about metrics.
type metricAnswer struct {
	Answer  *metrics.Answer     `json:"answer,omitempty"`
	Written *metrics.Written    `json:"written,omitempty"`
	Stats   *metrics.Stats      `json:"stats,omitempty"`
	Dir     string              `json:"dir,omitempty"`
	Query   *metrics.QueryError `json:"query_error,omitempty"`
	Away    bool                `json:"away,omitempty"` // metrics.ErrElsewhere
	Error   string              `json:"error,omitempty"`
}

// metricQuestion is a read. The accounts are those that may be seen.
type metricQuestion struct {
	Accounts []uint32     `json:"accounts"`
	Read     metrics.Read `json:"read"`
}

// maxMetrics bounds one write in bytes.
const maxMetrics = 64 << 20

// handlers registers what the socket answers about metrics.
func (m *metricLake) handlers(mux *http.ServeMux) {
	handle := func(pattern string, answer func(s *metrics.Store, r *http.Request) (metricAnswer, error)) {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			var a metricAnswer
			s, err := m.use()
			if err == nil {
				a, err = answer(s, r)
			}
			var qe *metrics.QueryError
			switch {
			case errors.As(err, &qe):
				a = metricAnswer{Query: qe}
			case errors.Is(err, metrics.ErrElsewhere):
				a = metricAnswer{Away: true}
			case err != nil:
				a = metricAnswer{Error: err.Error()}
			}
			_ = json.NewEncoder(w).Encode(a)
		})
	}
	handle("POST /metrics/read", func(s *metrics.Store, r *http.Request) (metricAnswer, error) {
		var q metricQuestion
		if err := json.NewDecoder(io.LimitReader(r.Body, maxQuestion)).Decode(&q); err != nil {
			return metricAnswer{}, err
		}
		a, err := s.Read(r.Context(), q.Accounts, q.Read)
		return metricAnswer{Answer: &a}, err
	})
	handle("POST /metrics/write", func(s *metrics.Store, r *http.Request) (metricAnswer, error) {
		var tenant metrics.Tenant
		if err := json.Unmarshal([]byte(r.URL.Query().Get("tenant")), &tenant); err != nil {
			return metricAnswer{}, fmt.Errorf("whose the samples are: %w", err)
		}
		body, err := io.ReadAll(http.MaxBytesReader(nil, r.Body, maxMetrics))
		if err != nil {
			return metricAnswer{}, err
		}
		series, err := metrics.Decode(body)
		if err != nil {
			return metricAnswer{}, err
		}
		w, err := s.Write(r.Context(), tenant, series)
		return metricAnswer{Written: &w}, err
	})
	handle("GET /metrics/stats", func(s *metrics.Store, r *http.Request) (metricAnswer, error) {
		st, err := s.Stats(r.Context())
		return metricAnswer{Stats: &st}, err
	})
	handle("POST /metrics/snapshot", func(s *metrics.Store, r *http.Request) (metricAnswer, error) {
		dir, release, err := s.Snapshot(r.Context())
		if err != nil {
			return metricAnswer{}, err
		}
		m.mu.Lock()
		defer m.mu.Unlock()
		m.snapshots[dir] = release
		return metricAnswer{Dir: dir}, nil
	})
	handle("DELETE /metrics/snapshot", func(_ *metrics.Store, r *http.Request) (metricAnswer, error) {
		dir := r.URL.Query().Get("dir")
		m.mu.Lock()
		release, ok := m.snapshots[dir]
		delete(m.snapshots, dir)
		m.mu.Unlock()
		if !ok {
			return metricAnswer{}, fmt.Errorf("no snapshot of metrics lies in %q", dir)
		}
		return metricAnswer{}, release()
	})
}

// askMetrics asks the engine about metrics.
func (c *Client) askMetrics(ctx context.Context, method, path string, body io.Reader) (a metricAnswer, err error) {
	req, err := http.NewRequestWithContext(ctx, method, "http://engine/metrics/"+path, body)
	if err != nil {
		return a, fmt.Errorf("engine: %w", err)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		if ctx.Err() != nil {
			return a, ctx.Err()
		}
		return a, fmt.Errorf("%w: %w", search.ErrUnavailable, err)
	}
	defer resp.Body.Close()
	if err := json.NewDecoder(resp.Body).Decode(&a); err != nil {
		return a, fmt.Errorf("%w: the answer broke off: %w", search.ErrUnavailable, err)
	}
	switch {
	case a.Query != nil:
		return a, a.Query
	case a.Away:
		return a, metrics.ErrElsewhere
	case a.Error != "":
		return a, fmt.Errorf("%w: %s", search.ErrUnavailable, a.Error)
	}
	return a, nil
}

// ReadMetrics answers a read of the tenants that the reach covers whole; of
// those that it covers in part no metric is shown (metrics.Visible).
func (c *Client) ReadMetrics(ctx context.Context, within reach.Reach, r metrics.Read) (metrics.Answer, error) {
	slugs, all := metrics.Visible(within)
	if all {
		slugs = nil
	}
	body, err := json.Marshal(metricQuestion{Accounts: c.accounts(slugs), Read: r})
	if err != nil {
		return metrics.Answer{}, fmt.Errorf("engine: %w", err)
	}
	a, err := c.askMetrics(ctx, http.MethodPost, "read", bytes.NewReader(body))
	if err != nil || a.Answer == nil {
		return metrics.Answer{}, err
	}
	return *a.Answer, nil
}

// WriteMetrics stores samples of the tenant with the slug.
func (c *Client) WriteMetrics(ctx context.Context, slug string, series []metrics.Series) (metrics.Written, error) {
	accounts := c.accounts([]string{slug})
	if len(accounts) != 1 {
		return metrics.Written{}, fmt.Errorf("engine: metrics of the tenant %q, which there is not", slug)
	}
	tenant, err := json.Marshal(metrics.Tenant{Account: accounts[0], Slug: slug})
	if err != nil {
		return metrics.Written{}, fmt.Errorf("engine: %w", err)
	}
	a, err := c.askMetrics(ctx, http.MethodPost, "write?"+url.Values{"tenant": {string(tenant)}}.Encode(), bytes.NewReader(metrics.Encode(series)))
	if err != nil || a.Written == nil {
		return metrics.Written{}, err
	}
	return *a.Written, nil
}

// MetricStats are the metric lake's figures.
func (c *Client) MetricStats(ctx context.Context) (metrics.Stats, error) {
	a, err := c.askMetrics(ctx, http.MethodGet, "stats", nil)
	if err != nil || a.Stats == nil {
		return metrics.Stats{}, err
	}
	return *a.Stats, nil
}

// SnapshotMetrics makes a copy of the metric lake as it is now, for a backup:
// see metrics.Backend.
func (c *Client) SnapshotMetrics(ctx context.Context) (dir string, release func(context.Context) error, err error) {
	a, err := c.askMetrics(ctx, http.MethodPost, "snapshot", nil)
	if err != nil {
		return "", nil, err
	}
	return a.Dir, func(ctx context.Context) error {
		_, err := c.askMetrics(ctx, http.MethodDelete, "snapshot?"+url.Values{"dir": {a.Dir}}.Encode(), nil)
		return err
	}, nil
}
