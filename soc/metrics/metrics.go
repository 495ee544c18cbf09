// Package metrics is the metric lake: time series of all tenants, asked in
// MetricsQL, of which PromQL is a part. A Store is the same for every driver;
// a driver (soc/metrics/embedded, soc/metrics/remote) is a Backend under it.
//
// # Tenants
//
// The engines below know no tenant within one database. A Store therefore
// writes two labels of its own with every sample, over whatever the sender
// gave: the tenant's account id (LabelAccount) and its slug (LabelTenant). A
// read names the accounts it may see, and they become a filter that the engine
// adds to every selector of the query and to the key of its result cache.
// Answers never show the account; they show the slug where the read covers more
// than one tenant, as series of two tenants would otherwise look the same.
//
// Metrics carry no organisation, region or industry of their own. Of a tenant
// of which a data scope shows a part only, no metric is shown: see Visible.
//
// # What a store refuses
//
// The engines drop what they cannot hold with no more than a counter: times
// outside retention, too many or too long labels. A Store refuses such samples
// with a reason instead, each by itself; the others of a write are stored.
//
// A sample written twice counts once: deduplication is set to a millisecond.
package metrics

import (
	"context"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"icewatch/soc/reach"
)

// Labels that only a Store sets.
const (
	LabelName    = "__name__"         // of the metric, as Prometheus has it
	LabelAccount = "icewatch_account" // account id; the boundary between tenants
	LabelTenant  = "icewatch_tenant"  // slug; for people, and to group by
)

// Limits of a series. They are the engines' own, less the labels of the store.
const (
	// MaxLabels is how many labels a sender may give, the name included.
	MaxLabels = 38
	// MaxLabelName is the longest name of a label in bytes.
	MaxLabelName = 256
	// MaxLabelValue is the longest value of a label in bytes.
	MaxLabelValue = 4 << 10
	// MaxSeriesSize bounds all names and values of a series in bytes: the index
	// leaves out entries of 64 KiB and more.
	MaxSeriesSize = 32 << 10
	// FutureLimit is how far ahead of now a sample may be.
	FutureLimit = time.Hour
)

// Tenant is whose samples are written.
type Tenant struct {
	Account uint32 `json:"account"`
	Slug    string `json:"slug"`
}

// Label is a name and a value. A label without value is the same as none.
type Label struct {
	Name  string
	Value string
}

// Sample is a value at a time.
type Sample struct {
	Time  int64 // Unix time in milliseconds
	Value float64
}

// Series is samples with the same labels.
type Series struct {
	Labels  []Label
	Samples []Sample
}

// Name is the series' metric, "" where it has none.
func (s *Series) Name() string {
	for _, l := range s.Labels {
		if l.Name == LabelName {
			return l.Value
		}
	}
	return ""
}

// Written is what became of a write.
type Written struct {
	Samples int       `json:"samples"`           // stored
	Refused []Refusal `json:"refused,omitempty"` // not stored; the first hundred
	// Dropped counts the samples of all refusals, and Reasons the same by kind
	// (ReasonLabels, ReasonTime).
	Dropped int            `json:"dropped"`
	Reasons map[string]int `json:"reasons,omitempty"`
	// Boot names the run of the engine that holds the samples. As long as it is
	// the same, nothing that was written is lost; when it changes, what was
	// written less than Unsettled ago must be written again. "" where the
	// backend cannot tell.
	Boot string `json:"boot,omitempty"`
}

// Unsettled is how long a sample may be in memory only: ten times what the
// engines take to write it to the disk.
const Unsettled = time.Minute

// Refusal is why samples of one series were not stored.
type Refusal struct {
	Metric string `json:"metric"`
	Reason string `json:"reason"`
}

// Stats are a store's figures.
type Stats struct {
	Samples   uint64 `json:"samples"`    // stored
	Active    uint64 `json:"active"`     // series with samples within the hour
	DiskBytes uint64 `json:"disk_bytes"` // of samples and index
	Unflushed uint64 `json:"unflushed"`  // samples in memory only
	Dropped   uint64 `json:"dropped"`    // samples the engine dropped by itself; must stay 0
	ReadOnly  bool   `json:"read_only"`  // too little disk is left: nothing is taken any more
	Boot      string `json:"boot"`       // as in Written
}

// Backend is what a driver brings. Its methods are safe for concurrent use.
type Backend interface {
	// Put stores samples of one tenant. The labels are complete and within the
	// limits, those of the store included.
	Put(ctx context.Context, account uint32, series []Series) (boot string, err error)
	// Ask runs one call of the Prometheus HTTP API, such as "query" or
	// "label/job/values", and returns its answer as JSON. form carries the filter
	// for accounts already; a driver whose engine knows tenants may add to that.
	// What is wrong with the query is a *QueryError.
	Ask(ctx context.Context, accounts []uint32, call string, form url.Values) ([]byte, error)
	// Flush makes what was written visible to reads at once.
	Flush(ctx context.Context) error
	Stats(ctx context.Context) (Stats, error)
	// Snapshot makes a copy of the store at this moment that does not change,
	// and returns its folder, in which data, indexdb and metadata together are a
	// store's folder again (partly by symbolic links). release removes it. It is
	// ErrElsewhere where the data is not on this machine.
	Snapshot(ctx context.Context) (dir string, release func() error, err error)
	Close() error
}

// ErrElsewhere says that the samples are not on this machine, and to be backed
// up where they are.
var ErrElsewhere = fmt.Errorf("metrics: the samples are kept by a remote store, whose own backup is to be used")

// QueryError says what is wrong with a query. It is for whoever wrote it.
type QueryError struct {
	Query  string `json:"query"`
	Reason string `json:"reason"`
}

func (e *QueryError) Error() string {
	if e.Query == "" {
		return e.Reason
	}
	return fmt.Sprintf("the query %q: %s", e.Query, e.Reason)
}

// Store is the metric lake over one backend.
type Store struct {
	Backend
	retention time.Duration
}

// New puts a store over a backend that keeps samples for retention.
func New(b Backend, retention time.Duration) *Store { return &Store{b, retention} }

// Write stores samples of one tenant. What the store cannot hold is refused
// sample by sample; an error means that nothing is known to be stored, and that
// writing the same again is right.
func (s *Store) Write(ctx context.Context, tenant Tenant, series []Series) (Written, error) {
	var w Written
	now, limits := time.Now(), Limits{s.retention}
	good := make([]Series, 0, len(series))
	for i := range series {
		one := &series[i]
		labels, err := storedLabels(tenant, one.Labels)
		if err != nil {
			w.refuse(one, ReasonLabels, len(one.Samples), "%v", err)
			continue
		}
		if samples := limits.within(one, now, &w); len(samples) > 0 {
			good = append(good, Series{labels, samples})
			w.Samples += len(samples)
		}
	}
	if len(good) == 0 {
		return w, nil
	}
	var err error
	w.Boot, err = s.Put(ctx, tenant.Account, good)
	return w, err
}

// checkLabels tells what is wrong with a sender's labels.
func checkLabels(given []Label) error {
	if len(given) > MaxLabels {
		return fmt.Errorf("it has %d labels; %d is the most", len(given), MaxLabels)
	}
	size, named := 0, false
	for i, l := range given {
		switch {
		case l.Value == "" || reserved(l.Name):
			continue
		case l.Name == "" || len(l.Name) > MaxLabelName:
			return fmt.Errorf("the label name %q has %d bytes; 1 to %d are allowed", cut(l.Name, 60), len(l.Name), MaxLabelName)
		case len(l.Value) > MaxLabelValue:
			return fmt.Errorf("the label %s has a value of %d bytes; %d is the most", l.Name, len(l.Value), MaxLabelValue)
		case !utf8.ValidString(l.Name) || !utf8.ValidString(l.Value):
			return fmt.Errorf("the label %q is not UTF-8", cut(l.Name, 60))
		case slices.ContainsFunc(given[:i], func(o Label) bool { return o.Name == l.Name && o.Value != "" }):
			return fmt.Errorf("the label %s is given twice", l.Name)
		}
		size += len(l.Name) + len(l.Value)
		named = named || l.Name == LabelName
	}
	if size > MaxSeriesSize {
		return fmt.Errorf("its labels have %d bytes; %d is the most", size, MaxSeriesSize)
	}
	if !named {
		return fmt.Errorf("it has no name: the label %s is missing", LabelName)
	}
	return nil
}

// storedLabels checks a sender's labels, sorts them and puts the store's own in.
func storedLabels(tenant Tenant, given []Label) ([]Label, error) {
	if err := checkLabels(given); err != nil {
		return nil, err
	}
	out := make([]Label, 0, len(given)+2)
	for _, l := range given {
		if l.Value != "" && !reserved(l.Name) {
			out = append(out, l)
		}
	}
	slices.SortFunc(out, func(a, b Label) int { return strings.Compare(a.Name, b.Name) })
	return append(out, Label{LabelAccount, fmt.Sprint(tenant.Account)}, Label{LabelTenant, tenant.Slug}), nil
}

// reserved tells whether only a Store may set the label. The last two are what
// a cluster calls its tenants in answers of several.
func reserved(label string) bool {
	switch label {
	case LabelAccount, LabelTenant, "vm_account_id", "vm_project_id":
		return true
	}
	return false
}

// Visible lists those of the tenants, by slug, whose metrics the reach covers:
// the ones that it covers whole. all is true where it is everything.
func Visible(r reach.Reach) (slugs []string, all bool) {
	slugs, all = r.TenantSlugs()
	return slices.DeleteFunc(slugs, func(s string) bool { return !r.CoversWhole(s) }), all
}

func cut(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return strings.ToValidUTF8(s[:n], "") + "…"
}
