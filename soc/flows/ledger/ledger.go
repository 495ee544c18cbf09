// Package ledger keeps who has talked to whom: one compact row, an edge, for
// each pair of addresses of a network zone and each service between them, with
// when it was first and last seen, on which days, and how much it carried. It
// answers in milliseconds what the flows themselves could tell only by reading
// months of them.
//
// The ledger reads the events of the bus beside storage and detection and has
// a position of its own, which it commits together with the edges: however
// often the engine dies and reads the bus again, each flow counts once. It
// keeps edges apart by tenant and by the facts that data scopes look at, so
// that a reach sees of the ledger what it sees of the flows. It is bounded: of
// a tenant with too many edges those to the outside that were not seen for
// longest go first, and are counted.
package ledger

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/uptrace/bun"

	"icewatch/soc/event"
	"icewatch/soc/pipeline/parse"
	"icewatch/soc/reach"
	"icewatch/soc/state"
)

//go:embed migrations/*.sql
var migrations embed.FS

// DefaultZone is what a flow without a zone lies in.
const DefaultZone = "default"

// Options tune a Ledger.
type Options struct {
	// EdgesPerTenant bounds the edges of a tenant; 0 is 200,000, about 60 MB.
	EdgesPerTenant int
	// FlushInterval is how often edges go to the disk; 0 is 5 s. What is not
	// there yet is read from the bus again after a crash.
	FlushInterval time.Duration
	Log           *slog.Logger // nil logs nothing
}

// maxPending is how many edges may wait in memory for the disk.
const maxPending = 20_000

// Ledger is the opened ledger. Observe, Done and Save are for one goroutine; the
// other methods may be called by any.
type Ledger struct {
	opts Options
	db   *state.DB

	pending map[key]*sums
	through uint64 // last batch observed
	flushed time.Time

	epoch    string
	position atomic.Uint64 // last batch on the disk
	evicted  atomic.Uint64
	counting sync.Mutex // of counts, which the one goroutine alone changes
	counts   map[string]int
}

// key tells edges apart.
type key struct {
	tenant, unit, region, industry, labels string
	zone, client, server                   string
	port                                   uint16
	protocol                               int16
}

// sums are what the flows of an edge add up to.
type sums struct {
	first, last        int64 // Unix milliseconds
	days               days
	toServer, toClient int64
	packets, flows     int64
	clientIn, serverIn bool
}

// Open opens the ledger in the file at path, for the bus of the given epoch.
// The position on another bus is forgotten, the edges stay.
func Open(ctx context.Context, path, epoch string, opts Options) (*Ledger, error) {
	if opts.EdgesPerTenant <= 0 {
		opts.EdgesPerTenant = 200_000
	}
	if opts.FlushInterval <= 0 {
		opts.FlushInterval = 5 * time.Second
	}
	if opts.Log == nil {
		opts.Log = slog.New(slog.DiscardHandler)
	}
	db, err := state.Open(ctx, path)
	if err != nil {
		return nil, fmt.Errorf("ledger: %w", err)
	}
	l := &Ledger{opts: opts, db: db, epoch: epoch, pending: map[key]*sums{}, counts: map[string]int{}, flushed: time.Now()}
	if err := l.load(ctx); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return l, nil
}

func (l *Ledger) load(ctx context.Context) error {
	if err := l.db.Migrate(ctx, "flows", migrations); err != nil {
		return fmt.Errorf("ledger: %w", err)
	}
	var sound string
	if err := l.db.Read.NewRaw("PRAGMA quick_check(1)").Scan(ctx, &sound); err != nil || sound != "ok" {
		return errors.Join(fmt.Errorf("ledger: the file is damaged: %s", sound), err)
	}
	var at struct {
		Epoch    string
		Position uint64
	}
	err := l.db.Read.NewRaw("SELECT epoch, position FROM flow_ledger").Scan(ctx, &at)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return fmt.Errorf("ledger: position: %w", err)
	}
	if at.Epoch == l.epoch {
		l.position.Store(at.Position)
		l.through = at.Position
	}
	var counts []struct {
		Tenant string
		N      int
	}
	if err := l.db.Read.NewRaw("SELECT tenant, COUNT(*) AS n FROM flow_edges GROUP BY tenant").Scan(ctx, &counts); err != nil {
		return fmt.Errorf("ledger: count edges: %w", err)
	}
	for _, c := range counts {
		l.counts[c.Tenant] = c.N
	}
	var evicted uint64
	if err := l.db.Read.NewRaw("SELECT COALESCE(SUM(edges), 0) FROM flow_evicted").Scan(ctx, &evicted); err != nil {
		return fmt.Errorf("ledger: count evictions: %w", err)
	}
	l.evicted.Store(evicted)
	return nil
}

// Close writes what is pending and closes the file.
func (l *Ledger) Close() error {
	return errors.Join(l.flush(context.Background()), l.db.Close())
}

// Position is the last batch of the bus of which every flow is on the disk.
// What comes after it must be observed (again).
func (l *Ledger) Position() uint64 { return l.position.Load() }

// Stats are the ledger's figures.
type Stats struct {
	Edges    int    `json:"edges"`
	Evicted  uint64 `json:"evicted"`  // taken out for want of room, ever
	Position uint64 `json:"position"` // last batch on the disk
}

// Stats returns the ledger's figures.
func (l *Ledger) Stats() Stats {
	l.counting.Lock()
	defer l.counting.Unlock()
	s := Stats{Evicted: l.evicted.Load(), Position: l.position.Load()}
	for _, n := range l.counts {
		s.Edges += n
	}
	return s
}

// longest is how far before its end a flow's beginning is believed to lie.
const longest = 24 * time.Hour

// Observe takes in an event of a batch beyond Position; what is no flow is
// passed over. It keeps nothing of ev.
func (l *Ledger) Observe(ev *event.Event) {
	if !IsFlow(ev.Text(event.EventDataset)) {
		return
	}
	k := key{tenant: ev.Tenant, protocol: -1}
	var start, source string
	var sourceIn, destIn bool
	var fromSource, fromDest, packets int64
	for i := range ev.Fields {
		f := &ev.Fields[i]
		switch f.ID {
		case event.Zone:
			k.zone = f.Value
		case event.ClientIP:
			k.client = f.Value
		case event.ServerIP:
			k.server = f.Value
		case event.SourceIP:
			source = f.Value
		case event.ServerPort:
			n, _ := strconv.ParseUint(f.Value, 10, 16)
			k.port = uint16(n)
		case event.NetworkIANANumber:
			n, err := strconv.ParseUint(f.Value, 10, 8)
			if err == nil {
				k.protocol = int16(n)
			}
		case event.FlowSourceBytes:
			fromSource = whole(f.Value)
		case event.FlowDestBytes:
			fromDest = whole(f.Value)
		case event.FlowPackets:
			packets = whole(f.Value)
		case event.EventStart:
			start = f.Value
		case event.SourceInternal:
			sourceIn = f.Value == "true"
		case event.DestInternal:
			destIn = f.Value == "true"
		case event.ReachUnit:
			k.unit = f.Value
		case event.ReachRegion:
			k.region = f.Value
		case event.ReachIndustry:
			k.industry = f.Value
		case event.ReachLabels:
			k.labels = f.Value
		}
	}
	if k.client == "" || k.server == "" {
		return
	}
	if k.zone == "" {
		k.zone = DefaultZone
	}
	s := l.pending[k]
	if s == nil {
		s = &sums{}
		l.pending[k.clone()] = s
	}
	last := ev.Time / int64(time.Millisecond)
	first := last
	if t, err := time.Parse(time.RFC3339, start); err == nil {
		if ms := t.UnixMilli(); ms < first && first-ms < longest.Milliseconds() {
			first = ms
		}
	}
	toServer, toClient := fromSource, fromDest
	s.clientIn, s.serverIn = sourceIn, destIn
	if source != k.client {
		toServer, toClient = toClient, toServer
		s.clientIn, s.serverIn = destIn, sourceIn
	}
	if s.flows == 0 || first < s.first {
		s.first = first
	}
	s.last = max(s.last, last)
	const day = int64(24 * time.Hour / time.Millisecond)
	s.days.add(last / day)
	s.toServer = plus(s.toServer, toServer)
	s.toClient = plus(s.toClient, toClient)
	s.packets = plus(s.packets, packets)
	s.flows++
}

// IsFlow tells whether events of a dataset are flows.
func IsFlow(dataset string) bool {
	switch dataset {
	case parse.DatasetNetFlow, parse.DatasetIPFIX, parse.DatasetSFlow, parse.DatasetSensor:
		return true
	}
	return false
}

// clone makes a key that lives on: its texts lie in the memory of a batch.
func (k key) clone() key {
	for _, s := range []*string{&k.tenant, &k.unit, &k.region, &k.industry, &k.labels, &k.zone, &k.client, &k.server} {
		*s = strings.Clone(*s)
	}
	return k
}

func whole(s string) int64 {
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		return 0
	}
	return n
}

// plus adds what is not negative; what would not fit is the most.
func plus(a, b int64) int64 {
	if sum := a + b; sum >= a {
		return sum
	}
	return 1<<63 - 1
}

// Done says that every event of the batch was observed.
func (l *Ledger) Done(batch uint64) { l.through = batch }

// Save writes to the disk when it is time, and must be called now and then.
// Where that fails it is tried again the next time; an error says that no more
// can wait.
func (l *Ledger) Save(ctx context.Context) error {
	if len(l.pending) < maxPending && time.Since(l.flushed) < l.opts.FlushInterval {
		return nil
	}
	err := l.flush(ctx)
	if err != nil && ctx.Err() == nil && len(l.pending) < 10*maxPending {
		l.opts.Log.Error("the ledger of flows is not written and tries again", "edges", len(l.pending), "error", err)
		return nil
	}
	return err
}

// flush writes what is pending together with the position.
func (l *Ledger) flush(ctx context.Context) error {
	l.flushed = time.Now()
	if len(l.pending) == 0 && l.through == l.position.Load() {
		return nil
	}
	var change map[string]int
	var evicted uint64
	err := l.db.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) (err error) {
		change, evicted, err = l.write(ctx, tx.Tx)
		return err
	})
	if err != nil {
		return fmt.Errorf("ledger: %d edges up to batch %d: %w", len(l.pending), l.through, err)
	}
	l.counting.Lock()
	for tenant, n := range change {
		l.counts[tenant] += n
	}
	l.counting.Unlock()
	l.evicted.Add(evicted)
	l.position.Store(l.through)
	clear(l.pending)
	return nil
}

const (
	findEdge = `SELECT id, first_day, days FROM flow_edges WHERE tenant = ? AND zone = ? AND client = ? AND server = ? AND port = ? AND protocol = ?
		AND reach_unit = ? AND reach_region = ? AND reach_industry = ? AND reach_labels = ?`
	insertEdge = `INSERT INTO flow_edges (tenant, zone, client, server, port, protocol, reach_unit, reach_region, reach_industry, reach_labels,
		first_seen, last_seen, first_day, days, bytes_to_server, bytes_to_client, packets, flows, client_internal, server_internal)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`
	// min with the largest number: a sum that would not fit is the most.
	updateEdge = `UPDATE flow_edges SET first_seen = min(first_seen, ?), last_seen = max(last_seen, ?), first_day = ?, days = ?,
		bytes_to_server = CAST(min(bytes_to_server + ?, 9223372036854775807) AS INTEGER), bytes_to_client = CAST(min(bytes_to_client + ?, 9223372036854775807) AS INTEGER),
		packets = CAST(min(packets + ?, 9223372036854775807) AS INTEGER), flows = flows + ?, client_internal = ?, server_internal = ? WHERE id = ?`
	savePosition = `INSERT INTO flow_ledger (id, epoch, position) VALUES (1, ?, ?) ON CONFLICT (id) DO UPDATE SET epoch = excluded.epoch, position = excluded.position`
	evictEdges   = `DELETE FROM flow_edges WHERE id IN (SELECT id FROM flow_edges WHERE tenant = ? ORDER BY client_internal + server_internal, last_seen LIMIT ?)`
	countEvicted = `INSERT INTO flow_evicted (tenant, edges) VALUES (?, ?) ON CONFLICT (tenant) DO UPDATE SET edges = edges + excluded.edges`
)

// write returns by how much it changed the number of edges of each tenant, and
// how many it took out.
func (l *Ledger) write(ctx context.Context, tx *sql.Tx) (change map[string]int, evicted uint64, err error) {
	find, err := tx.PrepareContext(ctx, findEdge)
	if err != nil {
		return nil, 0, err
	}
	defer find.Close()
	insert, err := tx.PrepareContext(ctx, insertEdge)
	if err != nil {
		return nil, 0, err
	}
	defer insert.Close()
	update, err := tx.PrepareContext(ctx, updateEdge)
	if err != nil {
		return nil, 0, err
	}
	defer update.Close()
	change = map[string]int{}
	for k, s := range l.pending {
		id, have := int64(0), days{}
		err := find.QueryRowContext(ctx, k.tenant, k.zone, k.client, k.server, k.port, k.protocol, k.unit, k.region, k.industry, k.labels).Scan(&id, &have.first, &have.bits)
		switch {
		case errors.Is(err, sql.ErrNoRows):
			_, err = insert.ExecContext(ctx, k.tenant, k.zone, k.client, k.server, k.port, k.protocol, k.unit, k.region, k.industry, k.labels,
				s.first, s.last, s.days.first, s.days.bits, s.toServer, s.toClient, s.packets, s.flows, s.clientIn, s.serverIn)
			change[k.tenant]++
		case err == nil:
			have.merge(s.days)
			_, err = update.ExecContext(ctx, s.first, s.last, have.first, have.bits, s.toServer, s.toClient, s.packets, s.flows, s.clientIn, s.serverIn, id)
		}
		if err != nil {
			return nil, 0, err
		}
	}
	for tenant, n := range change {
		over := l.counts[tenant] + n - l.opts.EdgesPerTenant
		if over <= 0 {
			continue
		}
		// A little more than must be, so that not every flush evicts.
		over = min(over+l.opts.EdgesPerTenant/100, l.counts[tenant]+n)
		if _, err := tx.ExecContext(ctx, evictEdges, tenant, over); err != nil {
			return nil, 0, err
		}
		if _, err := tx.ExecContext(ctx, countEvicted, tenant, over); err != nil {
			return nil, 0, err
		}
		change[tenant] -= over
		evicted += uint64(over)
		l.opts.Log.Warn("the ledger of flows has no room for more edges of a tenant: those not seen for longest are taken out", "tenant", tenant, "edges", over)
	}
	_, err = tx.ExecContext(ctx, savePosition, l.epoch, l.through)
	return change, evicted, err
}

// Place is an address in a network zone.
type Place struct {
	Zone    string `json:"zone"`
	Address string `json:"address"`
}

// Edge is a service between two addresses.
type Edge struct {
	Zone           string    `json:"zone"`
	Client         string    `json:"client"`
	Server         string    `json:"server"`
	Port           int       `json:"port"`            // of the server; 0 where the protocol has none
	Protocol       int       `json:"protocol"`        // IANA's number; -1 where it is not known
	FirstSeen      time.Time `json:"first_seen"`      //
	LastSeen       time.Time `json:"last_seen"`       //
	Days           int       `json:"days"`            // on which it was seen, of the last 512
	BytesToServer  int64     `json:"bytes_to_server"` // estimates: sampling is multiplied in
	BytesToClient  int64     `json:"bytes_to_client"`
	Packets        int64     `json:"packets"`
	Flows          int64     `json:"flows"`
	ClientInternal bool      `json:"client_internal"`
	ServerInternal bool      `json:"server_internal"`
}

// Query asks for the edges of some places.
type Query struct {
	Places []Place   `json:"places"` // one end is one of these
	Since  time.Time `json:"since"`  // last seen at or after; zero is ever
	Limit  int       `json:"limit"`  // the largest by bytes

	// Where picks the edges that may be seen, as Within sets it.
	Where string   `json:"where"`
	Args  []string `json:"args"`
}

// Within narrows the query to what is in reach. A Query without sees nothing.
func (q *Query) Within(r reach.Reach) error {
	where, args := r.SQL(reach.Columns{Tenant: "tenant", Unit: "reach_unit", Region: "reach_region", Industry: "reach_industry", Labels: "reach_labels"})
	q.Where, q.Args = where, make([]string, len(args))
	for i, a := range args {
		s, ok := a.(string)
		if !ok {
			return fmt.Errorf("ledger: the reach compares with %v of type %T; only texts can be sent on", a, a)
		}
		q.Args[i] = s
	}
	return nil
}

// maxPlaces bounds the places of one statement.
const maxPlaces = 500

// Edges answers a query, the largest edges first. more is true where there are
// others. What is not on the disk yet, of the last seconds, is left out.
func (l *Ledger) Edges(ctx context.Context, q Query) (edges []Edge, more bool, err error) {
	if q.Where == "" || len(q.Places) == 0 || q.Limit <= 0 {
		return nil, false, nil
	}
	if len(q.Places) > maxPlaces {
		return nil, false, fmt.Errorf("ledger: %d places in one query; %d are the most", len(q.Places), maxPlaces)
	}
	var clients, servers strings.Builder
	var args []any
	for i, p := range q.Places {
		if i > 0 {
			clients.WriteString(", ")
			servers.WriteString(", ")
		}
		clients.WriteString("(?, ?)")
		servers.WriteString("(?, ?)")
		if p.Zone == "" {
			p.Zone = DefaultZone
		}
		args = append(args, p.Address, p.Zone)
	}
	args = append(args, args...)
	for _, a := range q.Args {
		args = append(args, a)
	}
	since := int64(0)
	if !q.Since.IsZero() {
		since = q.Since.UnixMilli()
	}
	args = append(args, since)
	rows, err := l.db.Read.DB.QueryContext(ctx, `SELECT zone, client, server, port, protocol, first_seen, last_seen, first_day, days, bytes_to_server, bytes_to_client,
		packets, flows, client_internal, server_internal FROM flow_edges
		WHERE id IN (SELECT id FROM flow_edges WHERE (client, zone) IN (VALUES `+clients.String()+`) UNION SELECT id FROM flow_edges WHERE (server, zone) IN (VALUES `+servers.String()+`))
		AND `+q.Where+` AND last_seen >= ? ORDER BY CAST(bytes_to_server AS REAL) + bytes_to_client DESC, id`, args...)
	if err != nil {
		return nil, false, fmt.Errorf("ledger: edges: %w", err)
	}
	defer rows.Close()
	type ends struct {
		zone, client, server string
		port, protocol       int
	}
	at := map[ends]int{}
	var seen []days
	for rows.Next() {
		var e Edge
		var d days
		var first, last int64
		if err := rows.Scan(&e.Zone, &e.Client, &e.Server, &e.Port, &e.Protocol, &first, &last, &d.first, &d.bits, &e.BytesToServer, &e.BytesToClient,
			&e.Packets, &e.Flows, &e.ClientInternal, &e.ServerInternal); err != nil {
			return nil, false, fmt.Errorf("ledger: edges: %w", err)
		}
		e.FirstSeen, e.LastSeen = time.UnixMilli(first).UTC(), time.UnixMilli(last).UTC()
		// Rows of several tenants, or of items with other facts, are one edge
		// to whoever sees them all.
		k := ends{e.Zone, e.Client, e.Server, e.Port, e.Protocol}
		i, known := at[k]
		if !known {
			if len(edges) >= q.Limit {
				more = true
				continue
			}
			at[k] = len(edges)
			edges, seen = append(edges, e), append(seen, d)
			continue
		}
		have := &edges[i]
		have.BytesToServer, have.BytesToClient = plus(have.BytesToServer, e.BytesToServer), plus(have.BytesToClient, e.BytesToClient)
		have.Packets, have.Flows = plus(have.Packets, e.Packets), have.Flows+e.Flows
		if e.FirstSeen.Before(have.FirstSeen) {
			have.FirstSeen = e.FirstSeen
		}
		if e.LastSeen.After(have.LastSeen) {
			have.LastSeen, have.ClientInternal, have.ServerInternal = e.LastSeen, e.ClientInternal, e.ServerInternal
		}
		seen[i].merge(d)
	}
	if err := rows.Err(); err != nil {
		return nil, false, fmt.Errorf("ledger: edges: %w", err)
	}
	for i := range edges {
		edges[i].Days = seen[i].count()
	}
	return edges, more, nil
}
