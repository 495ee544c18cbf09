// Package lake stores events and answers queries about them. Rows lie in
// VictoriaLogs' storage, one store a retention class, with one account id a
// tenant, so that tenants are apart in the storage itself.
//
// The library drops what it cannot hold (rows beyond 2 MiB or 2,000 fields,
// times outside retention) with no more than a log line. The lake refuses such
// rows with an error before they reach it, and Stats proves that none was
// dropped behind our back.
package lake

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/VictoriaMetrics/VictoriaMetrics/lib/logstorage"

	"icewatch/soc/event"
)

// Limits of a stored row. The library's own are a little higher.
const (
	// MaxRowSize is the largest sum of a row's names and values in bytes.
	MaxRowSize = 2<<20 - 64<<10
	// MaxFields is the largest number of distinct fields in a row.
	MaxFields = 1900
	// MaxName is the longest field name in bytes.
	MaxName = 128
	// FutureLimit is how far ahead of now an event's time may be.
	FutureLimit = time.Hour
)

// Standard is the retention class of those that name none.
const Standard = "standard"

// Class is a retention class: how long the rows of its tenants are kept.
type Class struct {
	Name      string
	Retention time.Duration // a day at least
	// Backend holds the rows; nil is a folder of this machine named like the
	// class. Several classes may share one.
	Backend Backend
}

// Options configure the lake.
type Options struct {
	Dir string
	// Classes are the retention classes; Standard must be one of them.
	Classes []Class
	// FlushInterval is how long the library may hold rows in memory before
	// they reach the disk; at least a second, which is the default.
	FlushInterval time.Duration
	// Memory bounds the library's caches and query memory in bytes; 0 means a
	// quarter of the machine's memory.
	Memory int64
	// MinFree is how many bytes must stay free on the disk.
	MinFree int64
}

// Lake is the store of events. Its methods are safe for concurrent use.
type Lake struct {
	stores  []*store
	classes map[string]class
	names   names
	aside   string // prefix of columns that veiled queries keep aside
}

// class is where a class's rows go.
type class struct {
	retention time.Duration
	store     *store
}

// store is a backend and how much it was handed.
type store struct {
	Backend
	name  string
	taken atomic.Uint64
}

// className is what a class may be called: it names a folder.
var className = regexp.MustCompile(`^[a-z][a-z0-9-]{0,31}$`)

// Open opens the stores below opts.Dir and makes them where they are missing.
func Open(opts Options) (_ *Lake, err error) {
	if opts.FlushInterval < time.Second {
		opts.FlushInterval = time.Second
	}
	if err := configure(opts); err != nil {
		return nil, err
	}
	l := &Lake{classes: map[string]class{}, aside: asideNames()}
	l.names.load(filepath.Join(opts.Dir, namesFile))
	defer func() {
		if err != nil {
			l.closeStores()
		}
	}()
	if err := os.MkdirAll(opts.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("lake: %w", err)
	}
	if err := adoptSingleStore(opts.Dir); err != nil {
		return nil, err
	}
	for _, c := range opts.Classes {
		if !className.MatchString(c.Name) {
			return nil, fmt.Errorf("lake: the retention class %q: want lower-case letters, digits and '-', at most 32", c.Name)
		}
		if _, ok := l.classes[c.Name]; ok {
			return nil, fmt.Errorf("lake: the retention class %q is given twice", c.Name)
		}
		if c.Retention < 24*time.Hour {
			return nil, fmt.Errorf("lake: events of the class %s would be kept for %s; a day is the least", c.Name, c.Retention)
		}
		s := l.storeOf(c.Backend)
		if s == nil {
			if c.Backend == nil {
				if c.Backend, err = openEmbedded(filepath.Join(opts.Dir, c.Name), c, opts); err != nil {
					return nil, err
				}
			}
			s = &store{Backend: c.Backend, name: c.Name}
			l.stores = append(l.stores, s)
		}
		l.classes[c.Name] = class{c.Retention, s}
	}
	if _, ok := l.classes[Standard]; !ok {
		return nil, fmt.Errorf("lake: the retention class %q is missing: tenants that name none belong to it", Standard)
	}
	return l, nil
}

// storeOf finds the store that has the backend already.
func (l *Lake) storeOf(b Backend) *store {
	if b == nil {
		return nil
	}
	for _, s := range l.stores {
		if s.Backend == b {
			return s
		}
	}
	return nil
}

// adoptSingleStore makes the one store that earlier versions had that of the
// class Standard.
func adoptSingleStore(dir string) error {
	old, now := filepath.Join(dir, "logs"), filepath.Join(dir, Standard)
	if _, err := os.Stat(filepath.Join(old, "partitions")); err != nil {
		return nil
	}
	if _, err := os.Stat(now); !errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err := os.Rename(old, now); err != nil {
		return fmt.Errorf("lake: the store of an earlier version: %w", err)
	}
	return nil
}

// Close brings what it can to the disk and closes the stores. It tells whether
// all that was handed over is there.
func (l *Lake) Close() (durable bool) {
	l.names.save()
	return l.closeStores()
}

func (l *Lake) closeStores() (durable bool) {
	var wg sync.WaitGroup
	var behind atomic.Bool
	for _, s := range l.stores {
		wg.Go(func() {
			if !s.Close() {
				behind.Store(true)
			}
		})
	}
	wg.Wait()
	return !behind.Load()
}

// Flush makes what was written visible to queries at once.
func (l *Lake) Flush() {
	for _, s := range l.stores {
		s.Flush()
	}
}

// Stats are the lake's figures.
type Stats struct {
	Rows uint64 `json:"rows"` // handed over since Open
	BackendStats
	Stores map[string]BackendStats `json:"stores"` // by retention class
}

// Stats returns the lake's figures.
func (l *Lake) Stats() Stats {
	s := Stats{Stores: make(map[string]BackendStats, len(l.stores))}
	for _, st := range l.stores {
		s.Rows += st.taken.Load()
		b := st.Stats()
		s.Stores[st.name] = b
		s.add(b)
	}
	return s
}

// Mark is a moment in what was handed to the lake.
type Mark struct {
	at    time.Time
	taken []uint64 // by store
}

// Mark remembers what was handed over until now.
func (l *Lake) Mark() Mark {
	m := Mark{time.Now(), make([]uint64, len(l.stores))}
	for i, s := range l.stores {
		m.taken[i] = s.taken.Load()
	}
	return m
}

// Durable tells whether everything handed over before the mark is on the disk.
// An error means that a part of it was lost on its way there: it has to be read
// from the bus again.
func (l *Lake) Durable(m Mark) (bool, error) {
	for i, s := range l.stores {
		if ok, err := s.Durable(m.taken[i], m.at); !ok || err != nil {
			return false, err
		}
	}
	// The names of fields are remembered no later than the rows that have them.
	return l.names.save(), nil
}

// Indexes is a set of places in a batch, one bit each: a restart under load
// finds millions of them.
type Indexes []uint64

// Has tells whether the place is in the set.
func (x Indexes) Has(i uint32) bool {
	return int(i/64) < len(x) && x[i/64]&(1<<(i%64)) != 0
}

// With returns the set with the place in it.
func (x Indexes) With(i uint32) Indexes {
	for int(i/64) >= len(x) {
		x = append(x, 0)
	}
	x[i/64] |= 1 << (i % 64)
	return x
}

// Stored tells, for the raw batches after sequence seq of one epoch, which of
// their events the lake holds, by sequence.
func (l *Lake) Stored(ctx context.Context, epoch string, seq uint64, accounts []uint32) (map[uint64]Indexes, error) {
	found := map[uint64]Indexes{}
	query := fmt.Sprintf("%q:>%d | fields %q", fieldSequence, seq, fieldID)
	err := l.scan(ctx, accounts, query, func(row map[string]string) {
		id, ok := event.ParseID(row[fieldID])
		if !ok || id.Epoch != epoch {
			return
		}
		found[id.Sequence] = found[id.Sequence].With(id.Index)
	})
	if err != nil {
		return nil, fmt.Errorf("lake: which events after batch %d are stored: %w", seq, err)
	}
	return found, nil
}

// SenderIDs hands over the senders' own ids that came in the raw batches from
// sequence seq on, each with its event, so that a repeated one can be told.
func (l *Lake) SenderIDs(ctx context.Context, epoch string, seq uint64, accounts []uint32, each func(tenant, senderID string, id event.ID)) error {
	const fieldSender = "icewatch.sender_id"
	query := fmt.Sprintf("%q:>=%d %q:* | fields %q, %q, %q", fieldSequence, seq, fieldSender, fieldTenant, fieldSender, fieldID)
	err := l.scan(ctx, accounts, query, func(row map[string]string) {
		if id, ok := event.ParseID(row[fieldID]); ok && id.Epoch == epoch {
			each(row[fieldTenant], row[fieldSender], id)
		}
	})
	if err != nil {
		return fmt.Errorf("lake: sender ids since batch %d: %w", seq, err)
	}
	return nil
}

// scan hands over the rows of a query one at a time. A row's texts are valid
// during the call only.
func (l *Lake) scan(ctx context.Context, accounts []uint32, query string, each func(row map[string]string)) error {
	l.Flush()
	var mu sync.Mutex
	row := map[string]string{}
	q, err := logstorage.ParseQuery(query)
	if err != nil {
		return err
	}
	return l.run(ctx, accounts, q, func(_ uint, db *logstorage.DataBlock) {
		mu.Lock()
		defer mu.Unlock()
		for i := range db.RowsCount() {
			clear(row)
			for _, c := range db.Columns {
				row[c.Name] = c.Values[i]
			}
			each(row)
		}
	})
}

// holding lists the sources that have any rows.
func (l *Lake) holding() []Source {
	var list []Source
	for _, s := range l.stores {
		if st := s.Stats(); len(l.stores) == 1 || st.Stored+st.Unflushed > 0 {
			list = append(list, s.Sources()...)
		}
	}
	return list
}

// run answers a query from all sources together.
func (l *Lake) run(ctx context.Context, accounts []uint32, q *logstorage.Query, emit logstorage.WriteDataBlockFunc) error {
	write := func(worker uint, db *logstorage.DataBlock) {
		showIDs(db)
		emit(worker, db)
	}
	sources := l.holding()
	switch len(sources) {
	case 0:
		sources = l.stores[0].Sources()[:1] // a query may answer without any rows, as count() does
		fallthrough
	case 1:
		return sources[0].RunQuery(ctx, tenantIDs(accounts), q, write)
	}
	return runTogether(ctx, sources, tenantIDs(accounts), q, write)
}

// runTogether has each source answer its part of a query and puts the parts
// together, as the nodes of a cluster would.
func runTogether(ctx context.Context, sources []Source, tenants []logstorage.TenantID, q *logstorage.Query, write logstorage.WriteDataBlockFunc) error {
	whole := func(ctx context.Context, tenants []logstorage.TenantID, q *logstorage.Query, write logstorage.WriteDataBlockFunc) error {
		return runTogether(ctx, sources, tenants, q, write)
	}
	runner, err := logstorage.NewNetQueryRunner(ctx, tenants, q, whole, write)
	if err != nil {
		return err
	}
	return runner.Run(ctx, q.GetConcurrency(), func(stop <-chan struct{}, part *logstorage.Query, write logstorage.WriteDataBlockFunc) error {
		whole := ctx
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		go func() {
			select {
			case <-stop:
				cancel()
			case <-ctx.Done():
			}
		}()
		// Each worker writes under a number of its own: the library keeps the
		// state of each apart by it.
		workers := uint(q.GetConcurrency())
		errs := make([]error, len(sources))
		var wg sync.WaitGroup
		for i, s := range sources {
			wg.Go(func() {
				first := uint(i) * workers
				errs[i] = s.RunQuery(ctx, tenants, part.Clone(part.GetTimestamp()), func(worker uint, db *logstorage.DataBlock) { write(first+worker, db) })
				if errs[i] != nil {
					cancel()
				}
			})
		}
		wg.Wait()
		for _, err := range errs {
			if err != nil && !errors.Is(err, context.Canceled) {
				return err
			}
		}
		return whole.Err() // a source that stopped because enough was found has not failed
	})
}

// fieldNames lists the names of fields in matching rows of all stores.
func (l *Lake) fieldNames(ctx context.Context, accounts []uint32, q *logstorage.Query) ([]logstorage.ValueWithHits, error) {
	var parts [][]logstorage.ValueWithHits
	for _, s := range l.holding() {
		part, err := s.GetFieldNames(ctx, tenantIDs(accounts), q)
		if err != nil {
			return nil, err
		}
		parts = append(parts, part)
	}
	return logstorage.MergeValuesWithHits(parts, 0, false), nil
}

// tenantIDs names the accounts to the library, which searches among them and
// so needs them in order, each once.
func tenantIDs(accounts []uint32) []logstorage.TenantID {
	sorted := slices.Clone(accounts)
	slices.Sort(sorted)
	sorted = slices.Compact(sorted)
	ids := make([]logstorage.TenantID, len(sorted))
	for i, a := range sorted {
		ids[i] = logstorage.TenantID{AccountID: a}
	}
	return ids
}
