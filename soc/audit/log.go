package audit

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/uptrace/bun"

	"icewatch/soc/state"
)

//go:embed migrations/*.sql
var migrations embed.FS

const (
	// batch is how many records one transaction takes at most.
	batch = 256
	// checkpointRecords and checkpointAge are after how many records, or how
	// long after the first new one, a checkpoint is signed.
	checkpointRecords = 1000
	checkpointAge     = time.Minute
)

// systemActor stands for the suite itself.
const systemActor = "icewatch"

// ErrClosed says that the log takes no more records.
var ErrClosed = errors.New("audit: the log is closed")

// Options of a log.
type Options struct {
	// Dir is the folder outside the database for the signing key, the public
	// keys and the checkpoints.
	Dir string
	// Seal keeps the signing key unreadable on the disk; nil keeps it plain in
	// a file of mode 0600.
	Seal Sealer
	// Watch is given every record on its way, each repetition too, before
	// it is written. It must not block. nil watches nothing.
	Watch func(Record)
	Log   *slog.Logger
}

// Log is the audit log. All methods are safe for concurrent use.
type Log struct {
	db    *state.DB
	log   *slog.Logger
	sign  *signer
	watch func(Record)

	counts counts

	queue chan pending
	quit  chan struct{}
	done  chan struct{}
	once  sync.Once

	notes notes // of strangers
	reads notes // of sensitive data

	end  *end                       // of the chain; the writer's own, nil where it must be found again
	head atomic.Pointer[Checkpoint] // as last signed

	// marks guards what follows, and the file of checkpoints.
	marks    sync.Mutex
	n        int64 // number of the last checkpoint
	inFile   int64 // number of the last checkpoint in the file
	markedAt time.Time
	marked   int64 // Seq of the last checkpoint
}

// end is the last record's place and hash.
type end struct {
	seq  int64
	hash string
}

// pending is a record on its way; reply is nil where nobody waits for it.
type pending struct {
	row   row
	reply chan error
}

// Open prepares the tables and the key, compares the end of the chain with
// what was signed, and starts the one writer. A log that was tampered with is
// opened all the same, since what happens next must be recorded; that it was
// is then recorded first. Close it before the database.
func Open(ctx context.Context, db *state.DB, o Options) (*Log, error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if err := db.Migrate(ctx, "audit", migrations); err != nil {
		return nil, err
	}
	sign, err := openSigner(o.Dir, o.Seal)
	if err != nil {
		return nil, err
	}
	l := &Log{
		db: db, log: o.Log, sign: sign,
		queue: make(chan pending, 4*batch), quit: make(chan struct{}), done: make(chan struct{}),
		notes: notes{seen: map[noteKey]*note{}, now: time.Now},
		reads: notes{seen: map[noteKey]*note{}, now: time.Now},
	}
	l.watch = func(rec Record) {
		l.counts.add(rec)
		if o.Watch != nil {
			o.Watch(rec)
		}
	}
	fault, err := l.resume(ctx)
	if err != nil {
		return nil, err
	}
	if fault != nil {
		l.log.Error("the audit log is not what was signed: run icectl audit verify", "place", fault.Place, "record", fault.Seq, "reason", fault.Reason)
		rec := Record{Kind: KindSystem, Actor: systemActor, Action: "verify-audit", Object: "audit", Result: Failed, Address: "local", Detail: fault.Error()}
		l.watch(rec)
		if l.commit([]pending{{row: newRow(rec)}}); l.end == nil {
			return nil, fmt.Errorf("audit: the log is damaged (%w) and cannot be written", fault)
		}
		if err := l.checkpoint(ctx, checkBreak, fault.Error()); err != nil {
			return nil, err
		}
	}
	go l.write()
	return l, nil
}

// Close writes what is on its way, signs a last checkpoint and stops the writer.
func (l *Log) Close() error {
	l.once.Do(func() { close(l.quit) })
	<-l.done
	return nil
}

// Append adds the record and returns when it is durable. Records of many
// callers share a transaction.
func (l *Log) Append(ctx context.Context, rec Record) error {
	l.watch(rec)
	return l.append(ctx, rec)
}

func (l *Log) append(ctx context.Context, rec Record) error {
	p := pending{row: newRow(rec), reply: make(chan error, 1)}
	select {
	case l.queue <- p:
	case <-l.quit:
		return ErrClosed
	case <-ctx.Done():
		return fmt.Errorf("audit: append %s by %q: %w", rec.Action, rec.Actor, ctx.Err())
	}
	select {
	case err := <-p.reply:
		return err
	case <-l.done:
		// The writer may have answered just before it ended.
		select {
		case err := <-p.reply:
			return err
		default:
			return ErrClosed
		}
	case <-ctx.Done():
		return fmt.Errorf("audit: append %s by %q: %w", rec.Action, rec.Actor, ctx.Err())
	}
}

// Read adds a record of a read of sensitive data and returns when it is
// durable. Repetitions of the same within a minute, as of a page that renews
// itself, become one record that counts them.
func (l *Log) Read(ctx context.Context, rec Record) error {
	l.watch(rec)
	if l.reads.repeats(rec, false) {
		return nil
	}
	return l.append(ctx, rec)
}

// Note adds the record soon, without making the caller wait. Repetitions of
// the same within a minute become one record that counts them, so that a
// flood of refused requests fills neither the disk nor the queue. Use it for
// what strangers can cause at will.
func (l *Log) Note(rec Record) {
	l.watch(rec)
	if l.notes.repeats(rec, true) {
		return
	}
	select {
	case l.queue <- pending{row: newRow(rec)}:
	case <-l.quit:
	default:
		// The disk cannot keep up. It must not be silent, and must not block.
		l.log.Warn("the audit log is behind: a refusal is in this log only", "actor", rec.Actor, "action", rec.Action,
			"object", rec.Object, "result", rec.Result, "address", rec.Address, "request_id", rec.RequestID)
	}
}

// write is the one writer: the chain has one end.
func (l *Log) write() {
	defer close(l.done)
	tick := time.NewTicker(noteWindow / 4)
	defer tick.Stop()
	for {
		var todo []pending
		select {
		case p := <-l.queue:
			todo = append(todo, p)
		case <-tick.C:
			todo = l.due(false)
		case <-l.quit:
			todo = l.due(true)
			for more := true; more; todo = nil {
				more = l.drain(&todo)
				l.commit(todo)
			}
			l.mark(true)
			return
		}
		l.drain(&todo)
		l.commit(todo)
		l.mark(false)
	}
}

// due takes the merged records whose window is over.
func (l *Log) due(all bool) []pending {
	var todo []pending
	for _, n := range []*notes{&l.notes, &l.reads} {
		for _, rec := range n.due(all) {
			todo = append(todo, pending{row: newRow(rec)})
		}
	}
	return todo
}

// drain adds what is queued up to one batch and tells whether there may be more.
func (l *Log) drain(todo *[]pending) bool {
	for len(*todo) < batch {
		select {
		case p := <-l.queue:
			*todo = append(*todo, p)
		default:
			return false
		}
	}
	return true
}

// commit writes the records in one transaction and answers those who wait.
func (l *Log) commit(todo []pending) {
	if len(todo) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	var err error
	if l.end == nil {
		// An earlier transaction failed, and it is not known how it ended.
		var fault *Break
		if fault, err = l.resume(ctx); err == nil && fault != nil {
			l.log.Error("the audit log is not what was signed: run icectl audit verify", "place", fault.Place, "record", fault.Seq, "reason", fault.Reason)
		}
	}
	if err == nil {
		err = l.insert(ctx, todo)
	}
	if err != nil {
		err = fmt.Errorf("audit: write %d records: %w", len(todo), err)
		l.end = nil
	}
	for i := range todo {
		if todo[i].reply != nil {
			todo[i].reply <- err
		} else if err != nil {
			r := todo[i].row
			l.log.Error("a record is not in the audit log", "error", err, "actor", r.Actor, "action", r.Action, "object", r.Object,
				"result", r.Result, "address", r.Address)
		}
	}
}

func (l *Log) insert(ctx context.Context, todo []pending) error {
	rows := make([]row, len(todo))
	last := *l.end
	for i := range todo {
		rows[i] = todo[i].row
		rows[i].Seq = last.seq + 1
		rows[i].Hash = rows[i].chain(last.hash)
		last = end{rows[i].Seq, rows[i].Hash}
	}
	head := l.sign.sign(Checkpoint{Kind: checkHead, Seq: last.seq, Hash: last.hash})
	err := l.db.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
		if _, err := tx.NewInsert().Model(&rows).Exec(ctx); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, "INSERT OR REPLACE INTO audit_head (id, seq, hash, time, key, signature) VALUES (1, ?, ?, ?, ?, ?)",
			head.Seq, head.Hash, head.Time.UnixMilli(), head.Key, head.Signature)
		return err
	})
	if err != nil {
		return err
	}
	l.end = &last
	l.head.Store(&head)
	return nil
}

// List returns records, newest first.
func (l *Log) List(ctx context.Context, q Query) (Page, error) {
	if q.Limit <= 0 {
		q.Limit = 50
	}
	q.Limit = min(q.Limit, 1000)
	total, err := q.where(l.db.NewSelect().Model((*row)(nil))).Count(ctx)
	if err != nil {
		return Page{}, fmt.Errorf("audit: count the records: %w", err)
	}
	var rows []row
	sel := q.where(l.db.NewSelect().Model(&rows)).Order("a.seq DESC").Limit(int64(q.Limit) + 1)
	if q.Before > 0 {
		sel = sel.Where("a.seq < ?", q.Before)
	}
	if err := sel.Scan(ctx); err != nil {
		return Page{}, fmt.Errorf("audit: list the records: %w", err)
	}
	page := Page{Items: make([]Record, 0, len(rows)), Total: int(total)}
	for i := range rows {
		if i == q.Limit {
			page.Next = rows[i-1].Seq
			break
		}
		page.Items = append(page.Items, rows[i].record())
	}
	return page, nil
}

// where turns the query into conditions.
func (q Query) where(sel *bun.SelectQuery) *bun.SelectQuery {
	if !q.Start.IsZero() {
		sel = sel.Where("a.time >= ?", q.Start.UnixMilli())
	}
	if !q.End.IsZero() {
		sel = sel.Where("a.time < ?", q.End.UnixMilli())
	}
	for _, f := range []struct{ column, value string }{
		{"kind", q.Kind}, {"actor", q.Actor}, {"action", q.Action}, {"result", q.Result}, {"address", q.Address}, {"tenant", q.Tenant},
		{"channel", q.Channel}, {"session", q.Session},
	} {
		if f.value != "" {
			sel = sel.Where("a.? = ?", bun.Ident(f.column), f.value)
		}
	}
	if q.Object != "" {
		sel = sel.Where(`a.object LIKE ? ESCAPE '\'`, part(q.Object))
	}
	for word := range strings.FieldsSeq(q.Text) {
		sel = sel.Where(`a.actor || ' ' || a.action || ' ' || a.object || ' ' || a.result || ' ' || a.address || ' ' || a.tenant || ' ' ||
			a.unit || ' ' || a.client || ' ' || a.findings || ' ' || a.detail || ' ' || a.changes || ' ' || a.request_id || ' ' || a.session LIKE ? ESCAPE '\'`, part(word))
	}
	return sel
}

var likeEscape = strings.NewReplacer(`\`, `\\`, `%`, `\%`, `_`, `\_`)

// part is the LIKE pattern of a text that holds s.
func part(s string) string { return "%" + likeEscape.Replace(s) + "%" }

// Actions returns the different actions there are, in order.
func (l *Log) Actions(ctx context.Context) ([]string, error) {
	rows, err := l.db.Read.QueryContext(ctx, "SELECT DISTINCT action FROM audit_records ORDER BY action")
	if err != nil {
		return nil, fmt.Errorf("audit: list the actions: %w", err)
	}
	defer rows.Close()
	out := []string{}
	for rows.Next() {
		var s string
		if err := rows.Scan(&s); err != nil {
			return nil, fmt.Errorf("audit: list the actions: %w", err)
		}
		out = append(out, s)
	}
	return out, rows.Err()
}

// After returns up to limit records that follow the one at seq, oldest first.
func (l *Log) After(ctx context.Context, seq int64, limit int) ([]Record, error) {
	rows, err := rowsAfter(ctx, l.db.Read, seq, limit)
	if err != nil {
		return nil, err
	}
	out := make([]Record, len(rows))
	for i := range rows {
		out[i] = rows[i].record()
	}
	return out, nil
}

func rowsAfter(ctx context.Context, db bun.IDB, seq int64, limit int) ([]row, error) {
	var rows []row
	if err := db.NewSelect().Model(&rows).Where("a.seq > ?", seq).Order("a.seq").Limit(int64(limit)).Scan(ctx); err != nil {
		return nil, fmt.Errorf("audit: read the records after %d: %w", seq, err)
	}
	return rows, nil
}

// Head returns the place and time of the newest record; 0 where there is none.
func (l *Log) Head(ctx context.Context) (seq int64, at time.Time, err error) {
	var ms int64
	err = l.db.Read.QueryRowContext(ctx, "SELECT seq, time FROM audit_records ORDER BY seq DESC LIMIT 1").Scan(&seq, &ms)
	if errors.Is(err, sql.ErrNoRows) {
		return 0, time.Time{}, nil
	}
	if err != nil {
		return 0, time.Time{}, fmt.Errorf("audit: read the newest record: %w", err)
	}
	return seq, time.UnixMilli(ms).UTC(), nil
}
