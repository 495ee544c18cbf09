// Package lake stores events and answers queries about them. The embedded
// driver is VictoriaLogs' storage library, with one account id a tenant, so
// that tenants are apart in the storage itself.
//
// The library drops what it cannot hold (rows beyond 2 MiB or 2,000 fields,
// times outside retention) with no more than a log line. The lake refuses such
// rows with an error before they reach it, and Stats proves that none was
// dropped behind our back.
package lake

import (
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
	"unsafe"

	"github.com/VictoriaMetrics/VictoriaMetrics/lib/logstorage"

	"icewatch/soc/event"
)

// Field names that only the stored form has.
const (
	fieldTenant   = "icewatch.tenant"
	fieldSequence = "icewatch.seq"
	fieldID       = "event.id"
	fieldCreated  = "event.created"
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

// Options configure the embedded lake.
type Options struct {
	Dir string
	// Retention is how long events are kept; a day at least.
	Retention time.Duration
	// FlushInterval is how long the library may hold rows in memory before
	// they reach the disk; at least a second, which is the default.
	FlushInterval time.Duration
	// Memory bounds the library's caches and query memory in bytes; 0 means a
	// quarter of the machine's memory.
	Memory int64
	// MinFree is how many bytes must stay free on the disk.
	MinFree int64
}

// Lake is the embedded store of events. Its methods are safe for concurrent use.
type Lake struct {
	opts  Options
	store *logstorage.Storage
	rows  atomic.Uint64 // rows handed to the library since Open
}

var parseFlags sync.Once

// Open opens the stores below opts.Dir and makes them where they are missing.
func Open(opts Options) (*Lake, error) {
	if opts.FlushInterval < time.Second {
		opts.FlushInterval = time.Second
	}
	if opts.Retention < 24*time.Hour {
		return nil, fmt.Errorf("lake: events would be kept for %s; a day is the least", opts.Retention)
	}
	// The library dies on a folder it cannot write; say so as an error first.
	if err := os.MkdirAll(opts.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("lake: %w", err)
	}
	probe := filepath.Join(opts.Dir, ".writable")
	if err := os.WriteFile(probe, nil, 0o600); err != nil {
		return nil, fmt.Errorf("lake: %w", err)
	}
	_ = os.Remove(probe)
	parseFlags.Do(func() {
		// The library reads its settings from flags of its own, which must
		// count as parsed; the suite's own command line is not flag's.
		if !flag.Parsed() {
			_ = flag.CommandLine.Parse(nil)
		}
		_ = flag.Set("loggerLevel", "WARN")
		if opts.Memory > 0 {
			_ = flag.Set("memory.allowedBytes", strconv.FormatInt(opts.Memory, 10))
		} else {
			_ = flag.Set("memory.allowedPercent", "25")
		}
	})
	return &Lake{opts: opts, store: logstorage.MustOpenStorage(filepath.Join(opts.Dir, "logs"), &logstorage.StorageConfig{
		Retention: opts.Retention, FlushInterval: opts.FlushInterval,
		FutureRetention: 2 * 24 * time.Hour, MinFreeDiskSpaceBytes: opts.MinFree,
	})}, nil
}

// Close flushes everything to the disk and closes the store.
func (l *Lake) Close() { l.store.MustClose() }

// Flush makes what was written visible to queries at once.
func (l *Lake) Flush() { l.store.DebugFlush() }

// FlushInterval is the interval the lake was opened with.
func (l *Lake) FlushInterval() time.Duration { return l.opts.FlushInterval }

// Stats are the lake's figures.
type Stats struct {
	Rows       uint64 // handed over since Open
	Unflushed  uint64 // of these, still in memory only
	Stored     uint64 // rows on the disk
	DiskBytes  uint64
	Dropped    uint64 // rows the library dropped; must stay 0
	Partitions uint64
	ReadOnly   bool // too little disk is left: nothing is taken any more
}

// Stats returns the lake's figures.
func (l *Lake) Stats() Stats {
	// The rows are read first, so that what is in flight counts as unflushed.
	s := Stats{Rows: l.rows.Load()}
	var ss logstorage.StorageStats
	l.store.UpdateStats(&ss)
	s.Unflushed = ss.InmemoryRowsCount
	s.Stored = ss.SmallPartRowsCount + ss.BigPartRowsCount
	s.DiskBytes = ss.CompressedSmallPartSize + ss.CompressedBigPartSize
	s.Dropped = ss.RowsDroppedTooBigTimestamp + ss.RowsDroppedTooSmallTimestamp
	s.Partitions = ss.PartitionsCount
	s.ReadOnly = ss.IsReadOnly
	return s
}

// Handed is how many rows were handed over since Open.
func (l *Lake) Handed() uint64 { return l.rows.Load() }

// Writer gathers rows and hands them to the store. It is not safe for
// concurrent use.
type Writer struct {
	lake   *Lake
	reg    *event.Registry
	rows   *logstorage.LogRows
	fields []logstorage.Field
	stream [2]logstorage.Field
	buf    []byte
	seen   map[event.FieldID]int
}

// NewWriter makes a writer for events whose fields reg names.
func (l *Lake) NewWriter(reg *event.Registry) *Writer {
	return &Writer{lake: l, reg: reg, rows: logstorage.GetLogRows(nil, nil, nil, nil, ""), seen: map[event.FieldID]int{}}
}

// Add takes in one event of the tenant with the given account id. An error
// means that the lake cannot hold the event as it is; nothing of it was kept.
// host names the stream beside event.dataset; it must be of few kinds.
func (w *Writer) Add(ev *event.Event, account uint32, host string) error {
	if keep := w.lake.opts.Retention; ev.Time < time.Now().Add(-keep).UnixNano() {
		return fmt.Errorf("lake: the time %s lies before the retention of %s", ev.Timestamp().Format(time.RFC3339), keep)
	}
	if ev.Time > time.Now().Add(FutureLimit+time.Minute).UnixNano() {
		return fmt.Errorf("lake: the time %s lies in the future", ev.Timestamp().Format(time.RFC3339))
	}
	if err := w.convert(ev); err != nil {
		return err
	}
	w.stream[0] = logstorage.Field{Name: "event.dataset", Value: ev.Text(event.EventDataset)}
	w.stream[1] = logstorage.Field{Name: "host.name", Value: host}
	stream := w.stream[:]
	if host == "" {
		stream = w.stream[:1]
	}
	w.rows.MustAdd(logstorage.TenantID{AccountID: account}, ev.Time, w.fields, stream)
	if w.rows.NeedFlush() {
		w.Flush()
	}
	return nil
}

// Flush hands everything taken in to the store.
func (w *Writer) Flush() {
	n := w.rows.RowsCount()
	if n == 0 {
		return
	}
	w.lake.store.MustAddRows(w.rows)
	w.rows.ResetKeepSettings()
	w.lake.rows.Add(uint64(n))
}

// convert lays the event out as the library's fields. An array becomes a JSON
// array in one field.
func (w *Writer) convert(ev *event.Event) error {
	w.fields, w.buf = w.fields[:0], w.buf[:0]
	clear(w.seen)
	size := 0
	add := func(name, value string) {
		w.fields = append(w.fields, logstorage.Field{Name: name, Value: value})
		size += len(name) + len(value) + 8
	}
	add("_msg", ev.Raw)
	add(fieldTenant, ev.Tenant)
	add(fieldSequence, w.text(func(b []byte) []byte { return strconv.AppendUint(b, ev.ID.Sequence, 10) }))
	add(fieldID, w.text(func(b []byte) []byte {
		b = append(append(b, ev.ID.Epoch...), '-')
		b = append(strconv.AppendUint(b, ev.ID.Sequence, 10), '-')
		return strconv.AppendUint(b, uint64(ev.ID.Index), 10)
	}))
	add(fieldCreated, w.text(func(b []byte) []byte {
		return time.Unix(0, ev.Created).UTC().AppendFormat(b, "2006-01-02T15:04:05.000Z")
	}))
	for i := range ev.Fields {
		f := &ev.Fields[i]
		if f.Kind == event.Null || f.Value == "" {
			continue
		}
		if _, ok := w.seen[f.ID]; ok {
			continue
		}
		name := w.reg.Name(f.ID)
		if name == "" || len(name) > MaxName {
			return fmt.Errorf("lake: the field name %.40q… has %d bytes; 1 to %d are allowed", name, len(name), MaxName)
		}
		w.seen[f.ID] = i
		value := f.Value
		if many := laterValue(ev.Fields[i+1:], f.ID); many {
			value = w.array(ev.Fields[i:], f.ID)
		}
		add(name, value)
	}
	if len(w.fields) > MaxFields {
		return fmt.Errorf("lake: the event has %d fields; %d is the most", len(w.fields), MaxFields)
	}
	if size > MaxRowSize {
		return fmt.Errorf("lake: the event has %d bytes; %d is the most", size, MaxRowSize)
	}
	return nil
}

// text renders into the writer's buffer. The string stays valid until the
// next row: a buffer that grows leaves the old one to the strings made of it.
func (w *Writer) text(render func([]byte) []byte) string {
	start := len(w.buf)
	w.buf = render(w.buf)
	b := w.buf[start:]
	return unsafe.String(unsafe.SliceData(b), len(b))
}

func laterValue(fields []event.Field, id event.FieldID) bool {
	for i := range fields {
		if fields[i].ID == id && fields[i].Kind != event.Null {
			return true
		}
	}
	return false
}

func (w *Writer) array(fields []event.Field, id event.FieldID) string {
	return w.text(func(b []byte) []byte {
		b = append(b, '[')
		first := true
		for i := range fields {
			if fields[i].ID != id || fields[i].Kind == event.Null {
				continue
			}
			if !first {
				b = append(b, ',')
			}
			first = false
			if k := fields[i].Kind; k == event.Number || k == event.Bool {
				b = append(b, fields[i].Value...)
			} else {
				b = event.AppendJSON(b, fields[i].Value)
			}
		}
		return append(b, ']')
	})
}

// Stored tells, for the raw batches after sequence seq of one epoch, which of
// their events the lake holds: index numbers by sequence.
func (l *Lake) Stored(ctx context.Context, epoch string, seq uint64, accounts []uint32) (map[uint64]map[uint32]struct{}, error) {
	found := map[uint64]map[uint32]struct{}{}
	query := fmt.Sprintf("%q:>%d | fields %q", fieldSequence, seq, fieldID)
	err := l.scan(ctx, accounts, query, func(row map[string]string) {
		id, ok := event.ParseID(row[fieldID])
		if !ok || id.Epoch != epoch {
			return
		}
		set := found[id.Sequence]
		if set == nil {
			set = map[uint32]struct{}{}
			found[id.Sequence] = set
		}
		set[id.Index] = struct{}{}
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
	return l.store.RunQuery(ctx, tenantIDs(accounts), q, func(_ uint, db *logstorage.DataBlock) {
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
