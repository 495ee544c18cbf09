// Package remote keeps the lake's rows on the storage nodes of a VictoriaLogs
// cluster. It is to the nodes what the cluster's own vlinsert and vlselect are,
// and speaks their protocol, but for one thing: it knows what is on the nodes'
// disks.
//
// # What is on the disk
//
// A node answers an insert when the rows are in its memory, and has no call that
// brings them to the disk. So each block of rows goes to one node as a whole,
// and is remembered until the node tells three things of a time well after its
// answer: that it has not started anew since, that ten of its flush intervals
// have passed, and that no more rows are in its memory than came after the
// block. Until then the rows count as not durable, and stay on the bus. What a
// node holds already when the backend is opened is such a block, too: an engine
// before this one may have added it a moment ago.
//
// A node that has started anew may have lost what was not durable. Then, and
// also where no answer to an insert tells whether it was taken, the backend is
// done: Add and Durable answer lake.ErrLost, the engine starts over, asks all
// nodes which events they hold, and adds the others.
//
// # A node that is down
//
// A block goes to the next node where one certainly did not take it. So events
// are taken in as long as one node is up; when none is, they wait on the bus.
// Reads need every node: an answer without the rows of one would be wrong, so it
// is an error that names the node.
package remote

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/VictoriaMetrics/VictoriaMetrics/app/vlstorage/netinsert"
	"github.com/VictoriaMetrics/VictoriaMetrics/lib/encoding/zstd"
	"github.com/VictoriaMetrics/VictoriaMetrics/lib/logstorage"

	"icewatch/soc/lake"
	"icewatch/soc/node"
)

// Options name the nodes and what they must be able to hold.
type Options struct {
	Nodes     []node.Options // all nodes of the cluster
	Retention time.Duration  // of the longest class whose rows they hold
	// Timeout is the longest an insert may take before it is not known whether it
	// was taken; 0 is 30 seconds.
	Timeout time.Duration
	Log     *slog.Logger
}

// poll is how often the nodes are asked what they hold.
const poll = time.Second

// Backend implements lake.Backend.
type Backend struct {
	opts  Options
	nodes []*member
	next  atomic.Uint64 // picks the node of the next block
	stop  context.CancelFunc
	done  sync.WaitGroup

	mu      sync.Mutex
	taken   uint64  // rows taken over
	durable uint64  // of these, the first so many are on the disk
	blocks  []block // taken over and not known to be durable, in order
	lost    error   // why rows have to be added again
}

var _ lake.Backend = (*Backend)(nil)

// block is rows that one node took over.
type block struct {
	end  uint64 // rows taken over by all nodes, these included; 0 for what was there before
	rows uint64 // of these, its own
	node *member
	at   time.Time // when the node had answered
	// base is how many rows the node had counted at its first figures after
	// that; these rows are among them. counted tells whether there were any yet.
	base    float64
	counted bool
}

// member is one node and what it told last.
type member struct {
	*node.Node
	flush   time.Duration // its own flush interval
	dropped float64       // rows it had dropped by itself before Open

	// Under Backend.mu:
	started  int64   // its run
	ingested float64 // rows that its run has taken in
	answered float64 // what these must be at least: those before ours, and ours that it answered for
	figures  *node.Figures
	down     error // why its figures are not known at the moment
}

// Open asks every node what it is and whether it can hold the lake's rows. ctx
// bounds that alone. An error that is search.ErrUnavailable says that a node is
// down, and that trying again later is right.
func Open(ctx context.Context, o Options) (*Backend, error) {
	if len(o.Nodes) == 0 {
		return nil, errors.New("lake: no node is named")
	}
	if o.Timeout <= 0 {
		o.Timeout = 30 * time.Second
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	b := &Backend{opts: o}
	for _, no := range o.Nodes {
		n, err := node.New(no)
		if err != nil {
			return nil, fmt.Errorf("lake: %w", err)
		}
		b.nodes = append(b.nodes, &member{Node: n})
	}
	errs := make([]error, len(b.nodes))
	var wg sync.WaitGroup
	for i, m := range b.nodes {
		wg.Go(func() { errs[i] = m.enter(ctx, o.Retention) })
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		return nil, fmt.Errorf("lake: %w", err)
	}
	for _, m := range b.nodes {
		b.blocks = append(b.blocks, block{node: m, at: m.figures.At(), base: m.ingested, counted: true})
	}
	watch, stop := context.WithCancel(context.Background())
	b.stop = stop
	b.done.Go(func() { b.watch(watch) })
	return b, nil
}

// enter learns what a node is, and waits for inserts of an earlier engine that
// it may still be at work on: whoever asks afterwards what it holds must be told
// all of it.
func (m *member) enter(ctx context.Context, retention time.Duration) error {
	f, err := m.Figures(ctx)
	if err != nil {
		return m.failed(ctx, err)
	}
	if err := m.fit(f, retention); err != nil {
		return err
	}
	if err := m.speaks(ctx); err != nil {
		return err
	}
	for asked, deadline := time.Now(), time.Now().Add(5*time.Second); ; {
		before := f.Sum("vl_rows_ingested_total")
		select {
		case <-time.After(node.FiguresKept + 100*time.Millisecond):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		if f, err = m.Figures(ctx); err != nil {
			return err
		}
		busy := f.Sum("vm_concurrent_insert_current") > 0 || f.Sum("vl_rows_ingested_total") != before || !f.At().After(asked)
		// Starts are told to a second: of a node as old as this, one that starts
		// anew is told from this run of it.
		young := f.Sum("vm_app_uptime_seconds") < 2
		if !busy && !young || time.Now().After(deadline) {
			break
		}
	}
	if m.started, err = f.Started(); err != nil {
		return err
	}
	m.figures, m.ingested, m.dropped = f, f.Sum("vl_rows_ingested_total"), f.Sum("vl_rows_dropped_total")
	m.answered = m.ingested
	return nil
}

// fit sees that a node's settings lose no rows.
func (m *member) fit(f *node.Figures, retention time.Duration) error {
	kept, err := f.Retention()
	if err != nil {
		return err
	}
	if kept < retention {
		return fmt.Errorf("the server %s keeps rows for %s, but those of the suite are kept for %s: start it with -retentionPeriod=%dd or more, or give the longer classes nodes of their own",
			m.Name(), kept, retention, (retention+23*time.Hour)/(24*time.Hour))
	}
	text, err := f.Setting("insert.maxFieldsPerLine")
	if err != nil {
		return err
	}
	if n, err := strconv.Atoi(text); err != nil || n < lake.MaxFields {
		return fmt.Errorf("the server %s silently drops rows of more than %s fields, but those of the suite have up to %d: start it with -insert.maxFieldsPerLine=2000", m.Name(), text, lake.MaxFields)
	}
	if text, err = f.Setting("defaultMsgValue"); err != nil {
		return err
	}
	if text != "" {
		return fmt.Errorf("the server %s puts the text %.40q… into rows without a message: start it with -defaultMsgValue=", m.Name(), text)
	}
	if text, err = f.Setting("inmemoryDataFlushInterval"); err != nil {
		return err
	}
	if m.flush, err = time.ParseDuration(text); err != nil || m.flush <= 0 {
		return fmt.Errorf("the server %s: its setting -inmemoryDataFlushInterval=%s is no duration", m.Name(), text)
	}
	m.flush = max(m.flush, time.Second)
	return nil
}

// speaks sees that a node speaks the version of the protocol that we do: an
// insert of no rows and a query that finds none.
func (m *member) speaks(ctx context.Context) error {
	resp, err := m.insert(ctx, nil)
	if err == nil {
		err = resp.Body.Close()
	}
	if err == nil {
		q, perr := logstorage.ParseQuery("_time:1s | limit 1")
		if perr != nil {
			return perr
		}
		err = m.RunQuery(ctx, nil, q, func(uint, *logstorage.DataBlock) {})
	}
	if err != nil {
		return fmt.Errorf("the server %s does not take part as a storage node of VictoriaLogs v1.2x: %w", m.Name(), err)
	}
	return nil
}

// insert sends rows as netinsert lays them out.
func (m *member) insert(ctx context.Context, rows []byte) (*http.Response, error) {
	return m.Do(ctx, http.MethodPost, "/internal/insert", url.Values{"version": {netinsert.ProtocolVersion}},
		http.Header{"Content-Type": {"application/octet-stream"}, "Content-Encoding": {"zstd"}}, bytes.NewReader(zstd.CompressLevel(nil, rows, 1)))
}

// Add implements lake.Backend.
func (b *Backend) Add(rows []*logstorage.LogRows) error {
	b.mu.Lock()
	lost := b.lost
	b.mu.Unlock()
	if lost != nil {
		return lost
	}
	var body []byte
	count := 0
	for _, list := range rows {
		list.ForEachRow(func(_ uint64, r *logstorage.InsertRow) { body = r.Marshal(body) })
		count += list.RowsCount()
	}
	first := b.next.Add(1)
	var refused []error
	for i := range b.nodes {
		m := b.nodes[(first+uint64(i))%uint64(len(b.nodes))]
		taken, err := b.offer(m, body)
		switch {
		case err == nil:
			b.mu.Lock()
			defer b.mu.Unlock()
			b.taken += uint64(count)
			b.blocks = append(b.blocks, block{end: b.taken, rows: uint64(count), node: m, at: time.Now()})
			return b.lost
		case taken:
			return b.lose("whether the server %s took %d rows is not known: %w", m.Name(), count, err)
		}
		refused = append(refused, err)
	}
	return fmt.Errorf("lake: no node takes rows: %w", errors.Join(refused...))
}

// offer sends rows to a node. maybe tells, where there is an error, that the
// node may have taken them all the same.
func (b *Backend) offer(m *member, body []byte) (maybe bool, err error) {
	ctx, cancel := context.WithTimeoutCause(context.Background(), b.opts.Timeout, fmt.Errorf("the server %s did not answer an insert within %s", m.Name(), b.opts.Timeout))
	defer cancel()
	resp, err := m.insert(ctx, body)
	if err == nil {
		return false, resp.Body.Close()
	}
	var answered *node.Error
	if errors.As(err, &answered) {
		switch answered.Status {
		case http.StatusUnauthorized, http.StatusForbidden, http.StatusNotFound, http.StatusTooManyRequests:
			// The node refused before it read a row; 429 is a full disk.
			return false, err
		}
		return true, err
	}
	var dial *net.OpError
	if errors.As(err, &dial) && dial.Op == "dial" {
		return false, err // it was never reached
	}
	return true, err
}

// lose notes why rows have to be added again, once, and returns it.
func (b *Backend) lose(format string, args ...any) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.lost == nil {
		b.lost = fmt.Errorf("%w: "+format, append([]any{lake.ErrLost}, args...)...)
		b.opts.Log.Warn("lake: rows are read from the bus and added again", "reason", b.lost)
	}
	return b.lost
}

// watch asks the nodes what they hold until ctx ends.
func (b *Backend) watch(ctx context.Context) {
	tick := time.NewTicker(poll)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		var wg sync.WaitGroup
		for _, m := range b.nodes {
			wg.Go(func() {
				f, err := m.Figures(ctx)
				b.told(m, f, err)
			})
		}
		wg.Wait()
		b.settle()
	}
}

// told takes in what a node told of itself.
func (b *Backend) told(m *member, f *node.Figures, err error) {
	var started int64
	if err == nil {
		started, err = f.Started()
	}
	b.mu.Lock()
	if (err != nil) != (m.down != nil) {
		if err != nil {
			b.opts.Log.Warn("lake: a node is down; reads fail until it is back", "node", m.Name(), "error", err)
		} else {
			b.opts.Log.Info("lake: a node is back", "node", m.Name())
		}
	}
	if m.down = err; err != nil {
		b.mu.Unlock()
		return
	}
	ingested := f.Sum("vl_rows_ingested_total")
	// The start is told to a second; so the rows must be there, too, that the
	// node has answered for.
	pending := 0
	for i := range b.blocks {
		if k := &b.blocks[i]; k.node == m {
			pending++
			if !k.counted && f.At().After(k.at) {
				k.base, k.counted = ingested, true
				m.answered += float64(k.rows)
			}
		}
	}
	anew := started != m.started || ingested < max(m.ingested, m.answered)
	m.started, m.ingested, m.figures = started, ingested, f
	if anew {
		m.dropped, m.answered = 0, ingested
	}
	b.mu.Unlock()
	if anew && pending > 0 {
		_ = b.lose("the server %s has started anew and may have lost what it had not written to its disk", m.Name())
	}
}

// settle finds what is durable by now.
func (b *Backend) settle() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.lost != nil {
		return
	}
	n := 0
	for _, k := range b.blocks {
		f := k.node.figures
		if k.node.down != nil || !k.counted || f.At().Sub(k.at) < 10*k.node.flush ||
			k.node.ingested-k.base < f.Sum("vl_storage_rows", "type", "storage/inmemory") {
			break
		}
		b.durable = k.end
		n++
	}
	b.blocks = b.blocks[n:]
}

// Durable implements lake.Backend.
func (b *Backend) Durable(n uint64, _ time.Time) (bool, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.lost != nil {
		return false, b.lost
	}
	before := len(b.blocks) > 0 && b.blocks[0].end == 0
	return n <= b.durable && !before, nil
}

// Sources implements lake.Backend: each node answers for its own rows.
func (b *Backend) Sources() []lake.Source {
	list := make([]lake.Source, len(b.nodes))
	for i, m := range b.nodes {
		list[i] = m
	}
	return list
}

// Flush implements lake.Backend.
func (b *Backend) Flush() {
	ctx, cancel := context.WithTimeout(context.Background(), b.opts.Timeout)
	defer cancel()
	var wg sync.WaitGroup
	for _, m := range b.nodes {
		wg.Go(func() {
			if _, err := m.Get(ctx, "/internal/force_flush", nil, 1<<10); err != nil {
				// It may ask for a key. Rows show by themselves after a second.
				time.Sleep(2 * time.Second)
			}
		})
	}
	wg.Wait()
}

// Stats implements lake.Backend. The figures are of the last second; they are
// the nodes', who may hold rows of others, too.
func (b *Backend) Stats() lake.BackendStats {
	b.mu.Lock()
	defer b.mu.Unlock()
	var s lake.BackendStats
	readOnly := 0
	for _, m := range b.nodes {
		f := m.figures
		sum := func(metric string, kinds ...string) (n uint64) {
			for _, k := range kinds {
				n += uint64(f.Sum(metric, "type", k))
			}
			return n
		}
		s.Stored += sum("vl_storage_rows", "storage/small", "storage/big")
		s.DiskBytes += sum("vl_compressed_data_size_bytes", "storage/small", "storage/big") + sum("vl_data_size_bytes", "indexdb")
		s.RawBytes += sum("vl_uncompressed_data_size_bytes", "storage/small", "storage/big")
		s.Dropped += uint64(max(0, f.Sum("vl_rows_dropped_total")-m.dropped))
		s.Partitions = max(s.Partitions, uint64(f.Sum("vl_partitions")))
		if f.Sum("vl_storage_is_read_only") > 0 {
			readOnly++
		}
		if m.down != nil {
			if s.Down == nil {
				s.Down = map[string]string{}
			}
			s.Down[m.Name()] = m.down.Error()
		}
	}
	s.Unflushed = b.taken - b.durable
	s.ReadOnly = readOnly == len(b.nodes)
	return s
}

// Close implements lake.Backend. The nodes bring to their disks what they have
// by themselves; what is not known to be there yet stays on the bus.
func (b *Backend) Close() bool {
	b.stop()
	b.done.Wait()
	for _, m := range b.nodes {
		m.Node.Close()
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.lost == nil && len(b.blocks) == 0
}
