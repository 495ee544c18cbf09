// Package remote keeps the metric lake in VictoriaMetrics servers: a single one
// or a cluster, written to by Prometheus remote write and read through the
// Prometheus HTTP API.
//
// A cluster knows tenants: its URLs then hold {account}, which stands for the
// account id of the tenant. A read of several tenants at once goes to the
// cluster's "multitenant". The labels of the store and its filter are there all
// the same, so that one boundary stands behind the other.
package remote

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/golang/snappy"

	"icewatch/soc/metrics"
	"icewatch/soc/node"
)

// Account stands in a cluster's URLs for the account id.
const Account = "{account}"

// Options name the servers.
type Options struct {
	// Write is where remote write goes, such as http://10.0.0.5:8428 for a single
	// server and http://10.0.0.5:8480/insert/{account}/prometheus for a cluster.
	Write node.Options `json:"write"`
	// Read is where reads go, such as http://10.0.0.5:8428 or
	// http://10.0.0.6:8481/select/{account}/prometheus.
	Read node.Options `json:"read"`
}

// maxAnswer bounds one answer in bytes.
const maxAnswer = 64 << 20

// Store implements metrics.Backend.
type Store struct {
	write, read place
	root        *node.Node // where a single server tells of itself; nil with a cluster
}

var _ metrics.Backend = (*Store)(nil)

// place is a node and the path below it.
type place struct {
	*node.Node
	path string
}

// at is the path of a call for one account, or for "multitenant".
func (p place) at(account, call string) string {
	return strings.ReplaceAll(p.path, Account, account) + "/api/v1/" + call
}

func newPlace(o node.Options) (place, error) {
	if !strings.Contains(o.URL, Account) {
		n, err := node.New(o)
		return place{n, ""}, err
	}
	u, err := url.Parse(strings.ReplaceAll(o.URL, Account, "0"))
	if err != nil {
		return place{}, fmt.Errorf("%q is not a URL: %w", o.URL, err)
	}
	full := o.URL
	u.Path, u.RawPath = "", ""
	o.URL = u.String()
	n, err := node.New(o)
	if err != nil {
		return place{}, err
	}
	return place{n, strings.TrimRight(strings.TrimPrefix(full, o.URL), "/")}, nil
}

// Check tells what is wrong with the options, as far as they show it.
func (o Options) Check() error {
	for _, p := range []node.Options{o.Write, o.Read} {
		p.URL = strings.ReplaceAll(p.URL, Account, "0")
		if err := p.Check(); err != nil {
			return err
		}
	}
	if strings.Contains(o.Write.URL, Account) != strings.Contains(o.Read.URL, Account) {
		return fmt.Errorf("one of the URLs %s and %s names %s, the other does not: a cluster needs it in both, a single server in none", o.Write.URL, o.Read.URL, Account)
	}
	return nil
}

// Open makes the store and sees that a single server keeps samples as it must:
// for so long, and each once. A cluster is asked nothing: what it is made of
// tells that to its own operators only.
func Open(ctx context.Context, o Options, retention time.Duration) (*Store, error) {
	if err := o.Check(); err != nil {
		return nil, fmt.Errorf("metrics: %w", err)
	}
	s := &Store{}
	var err error
	if s.write, err = newPlace(o.Write); err != nil {
		return nil, fmt.Errorf("metrics: %w", err)
	}
	if s.read, err = newPlace(o.Read); err != nil {
		return nil, fmt.Errorf("metrics: %w", err)
	}
	if strings.Contains(o.Write.URL, Account) {
		return s, nil
	}
	s.root = s.write.Node
	f, err := s.root.Figures(ctx)
	if err != nil {
		return nil, fmt.Errorf("metrics: %w", err)
	}
	if err := fit(f, s.root.Name(), retention); err != nil {
		return nil, fmt.Errorf("metrics: %w", err)
	}
	return s, nil
}

func fit(f *node.Figures, name string, retention time.Duration) error {
	if _, err := f.Started(); err != nil {
		return err
	}
	kept, err := f.Retention()
	if err != nil {
		return err
	}
	if kept < retention {
		return fmt.Errorf("the server %s keeps samples for %s, but metrics.retention is %s: start it with -retentionPeriod=%dh or more", name, kept, retention, int(retention.Hours()))
	}
	dedup, err := f.Setting("dedup.minScrapeInterval")
	if err != nil {
		return err
	}
	if d, err := time.ParseDuration(dedup); err != nil || d <= 0 {
		return fmt.Errorf("the server %s keeps samples that are written again after a crash twice: start it with -dedup.minScrapeInterval=1ms", name)
	}
	return nil
}

// Put implements metrics.Backend.
func (s *Store) Put(ctx context.Context, account uint32, series []metrics.Series) (string, error) {
	// The run is asked for first: if the server restarts in between, the next
	// write shows it.
	boot, err := s.boot(ctx)
	if err != nil {
		return "", err
	}
	header := http.Header{"Content-Type": {"application/x-protobuf"}, "Content-Encoding": {"snappy"}, "X-Prometheus-Remote-Write-Version": {"0.1.0"}}
	resp, err := s.write.Do(ctx, http.MethodPost, s.write.at(strconv.FormatUint(uint64(account), 10), "write"), nil, header,
		bytes.NewReader(snappy.Encode(nil, metrics.Encode(series))))
	if err != nil {
		return "", fmt.Errorf("metrics: %w", err)
	}
	return boot, resp.Body.Close()
}

// boot names the run of a single server.
func (s *Store) boot(ctx context.Context) (string, error) {
	if s.root == nil {
		return "", nil
	}
	f, err := s.root.Figures(ctx)
	if err != nil {
		return "", fmt.Errorf("metrics: %w", err)
	}
	at, err := f.Started()
	if err != nil {
		return "", fmt.Errorf("metrics: %w", err)
	}
	return s.root.Name() + "@" + strconv.FormatInt(at, 10), nil
}

// Ask implements metrics.Backend.
func (s *Store) Ask(ctx context.Context, accounts []uint32, call string, form url.Values) ([]byte, error) {
	account := "multitenant"
	if len(accounts) == 1 {
		account = strconv.FormatUint(uint64(accounts[0]), 10)
	}
	// A cluster of which a part is down answers with what is left, unless told.
	form.Set("deny_partial_response", "1")
	body, err := s.read.Post(ctx, s.read.at(account, call), form, maxAnswer)
	var answered *node.Error
	switch {
	case err == nil:
		return body, nil
	case errors.Is(err, node.ErrTooLarge):
		return nil, &metrics.QueryError{Query: form.Get("query"), Reason: err.Error() + "; ask for fewer series or a longer step"}
	case errors.As(err, &answered) && (answered.Status == http.StatusUnprocessableEntity || answered.Status == http.StatusBadRequest):
		return nil, &metrics.QueryError{Query: form.Get("query"), Reason: reason(answered.Body)}
	}
	return nil, fmt.Errorf("metrics: %w", err)
}

// reason takes the text out of an error of the Prometheus API.
func reason(body string) string {
	var e struct {
		Error string `json:"error"`
	}
	if json.Unmarshal([]byte(body), &e) == nil && e.Error != "" {
		return e.Error
	}
	return body
}

// Flush implements metrics.Backend. A cluster makes samples visible by itself
// within a few seconds.
func (s *Store) Flush(ctx context.Context) error {
	if s.root == nil {
		return nil
	}
	if _, err := s.root.Get(ctx, "/internal/force_flush", nil, 1<<10); err != nil {
		return fmt.Errorf("metrics: %w", err)
	}
	return nil
}

// Stats implements metrics.Backend. Of a cluster nothing is known.
func (s *Store) Stats(ctx context.Context) (metrics.Stats, error) {
	if s.root == nil {
		return metrics.Stats{}, nil
	}
	f, err := s.root.Figures(ctx)
	if err != nil {
		return metrics.Stats{}, fmt.Errorf("metrics: %w", err)
	}
	kinds := func(metric string, kinds ...string) (n uint64) {
		for _, k := range kinds {
			n += uint64(f.Sum(metric, "type", k))
		}
		return n
	}
	at, err := f.Started()
	if err != nil {
		return metrics.Stats{}, fmt.Errorf("metrics: %w", err)
	}
	memory := kinds("vm_rows", "storage/inmemory") + kinds("vm_pending_rows", "storage")
	return metrics.Stats{
		Samples: memory + kinds("vm_rows", "storage/small", "storage/big"), Unflushed: memory,
		Active:    kinds("vm_cache_entries", "storage/hour_metric_ids"),
		DiskBytes: kinds("vm_data_size_bytes", "storage/small", "storage/big", "indexdb/file"),
		Dropped:   uint64(f.Sum("vm_rows_ignored_total")), ReadOnly: f.Sum("vm_storage_is_read_only") > 0,
		Boot: s.root.Name() + "@" + strconv.FormatInt(at, 10),
	}, nil
}

// Snapshot implements metrics.Backend.
func (s *Store) Snapshot(context.Context) (string, func() error, error) {
	return "", nil, metrics.ErrElsewhere
}

// Close implements metrics.Backend.
func (s *Store) Close() error {
	s.write.Close()
	s.read.Close()
	return nil
}
