package audit

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"embed"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/uptrace/bun"

	"icewatch/soc/state"
)

//go:embed migrations/*.sql
var migrations embed.FS

// maxField bounds each text of a record in bytes.
const maxField = 1000

// batch is how many records one transaction takes at most.
const batch = 256

// ErrClosed says that the log takes no more records.
var ErrClosed = errors.New("audit: the log is closed")

// row is a record as SQL holds it.
type row struct {
	bun.BaseModel `bun:"table:audit_records,alias:a"`

	Seq       int64  `bun:"seq,pk"`
	Time      int64  `bun:"time"`
	Actor     string `bun:"actor"`
	Action    string `bun:"action"`
	Object    string `bun:"object"`
	Result    string `bun:"result"`
	Address   string `bun:"address"`
	Tenant    string `bun:"tenant"`
	RequestID string `bun:"request_id"`
	Detail    string `bun:"detail"`
	Hash      string `bun:"hash"`
}

func (r *row) record() Record {
	return Record{
		Seq: r.Seq, Time: time.UnixMilli(r.Time).UTC(), Actor: r.Actor, Action: r.Action, Object: r.Object, Result: r.Result,
		Address: r.Address, Tenant: r.Tenant, RequestID: r.RequestID, Detail: r.Detail, Hash: r.Hash,
	}
}

// chain returns the record's hash: SHA-256 over the hash before it and every
// field, each with its length before it so that no two records read alike.
func (r *row) chain(previous string) string {
	h := sha256.New()
	var n [8]byte
	num := func(v int64) {
		binary.BigEndian.PutUint64(n[:], uint64(v))
		h.Write(n[:])
	}
	text := func(s string) {
		num(int64(len(s)))
		h.Write([]byte(s))
	}
	text(previous)
	num(r.Seq)
	num(r.Time)
	for _, s := range []string{r.Actor, r.Action, r.Object, r.Result, r.Address, r.Tenant, r.RequestID, r.Detail} {
		text(s)
	}
	return hex.EncodeToString(h.Sum(nil))
}

// Log is the audit log. All methods are safe for concurrent use.
type Log struct {
	db  *state.DB
	log *slog.Logger

	queue chan pending
	quit  chan struct{}
	done  chan struct{}
	once  sync.Once

	notes notes
}

// pending is a record on its way; reply is nil where nobody waits for it.
type pending struct {
	row   row
	reply chan error
}

// Open prepares the table and starts the one writer. Close it before the
// database.
func Open(ctx context.Context, db *state.DB, log *slog.Logger) (*Log, error) {
	if err := db.Migrate(ctx, "audit", migrations); err != nil {
		return nil, err
	}
	l := &Log{
		db: db, log: log,
		queue: make(chan pending, 4*batch), quit: make(chan struct{}), done: make(chan struct{}),
		notes: notes{seen: map[noteKey]*note{}, now: time.Now},
	}
	go l.write()
	return l, nil
}

// Close writes what is on its way and stops the writer.
func (l *Log) Close() error {
	l.once.Do(func() { close(l.quit) })
	<-l.done
	return nil
}

// toRow bounds and cleans the texts: an audit record must be storable whatever
// a stranger put into a path or a name.
func toRow(rec Record) row {
	clean := func(s string) string {
		if len(s) > maxField {
			s = s[:maxField] + "…"
		}
		return strings.ReplaceAll(strings.ToValidUTF8(s, "�"), "\x00", "�")
	}
	if rec.Time.IsZero() {
		rec.Time = time.Now()
	}
	return row{
		Time: rec.Time.UnixMilli(), Actor: clean(rec.Actor), Action: clean(rec.Action), Object: clean(rec.Object), Result: clean(rec.Result),
		Address: clean(rec.Address), Tenant: clean(rec.Tenant), RequestID: clean(rec.RequestID), Detail: clean(rec.Detail),
	}
}

// Append adds the record and returns when it is durable. Records of many
// callers share a transaction.
func (l *Log) Append(ctx context.Context, rec Record) error {
	p := pending{row: toRow(rec), reply: make(chan error, 1)}
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

// Note adds the record soon, without making the caller wait. Repetitions of
// the same within a minute become one record that counts them, so that a
// flood of refused requests fills neither the disk nor the queue. Use it for
// what strangers can cause at will.
func (l *Log) Note(rec Record) {
	if l.notes.repeats(rec) {
		return
	}
	l.enqueue(rec)
}

func (l *Log) enqueue(rec Record) {
	select {
	case l.queue <- pending{row: toRow(rec)}:
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
	var last *row
	for {
		var todo []pending
		select {
		case p := <-l.queue:
			todo = append(todo, p)
		case <-tick.C:
			for _, rec := range l.notes.due(false) {
				todo = append(todo, pending{row: toRow(rec)})
			}
		case <-l.quit:
			for _, rec := range l.notes.due(true) {
				todo = append(todo, pending{row: toRow(rec)})
			}
			for {
				more := l.drain(&todo)
				last = l.commit(last, todo)
				todo = nil
				if !more {
					return
				}
			}
		}
		l.drain(&todo)
		if len(todo) > 0 {
			last = l.commit(last, todo)
		}
	}
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

// commit writes the records in one transaction and returns the new end of the
// chain, or nil where it must be read again.
func (l *Log) commit(last *row, todo []pending) *row {
	if len(todo) == 0 {
		return last
	}
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	end, err := l.insert(ctx, last, todo)
	if err != nil {
		err = fmt.Errorf("audit: write %d records: %w", len(todo), err)
		end = nil
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
	return end
}

func (l *Log) insert(ctx context.Context, last *row, todo []pending) (*row, error) {
	rows := make([]row, len(todo))
	err := l.db.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
		end := last
		if end == nil {
			end = new(row)
			err := tx.NewSelect().Model(end).Order("a.seq DESC").Limit(1).Scan(ctx)
			if err != nil && !errors.Is(err, sql.ErrNoRows) {
				return err
			}
		}
		seq, hash := end.Seq, end.Hash
		for i := range todo {
			rows[i] = todo[i].row
			seq++
			rows[i].Seq = seq
			rows[i].Hash = rows[i].chain(hash)
			hash = rows[i].Hash
		}
		_, err := tx.NewInsert().Model(&rows).Exec(ctx)
		return err
	})
	if err != nil {
		return nil, err
	}
	return &rows[len(rows)-1], nil
}

// List returns records, newest first.
func (l *Log) List(ctx context.Context, q Query) (Page, error) {
	if q.Limit <= 0 {
		q.Limit = 50
	}
	q.Limit = min(q.Limit, 1000)
	where := func(sel *bun.SelectQuery) *bun.SelectQuery {
		if !q.Start.IsZero() {
			sel = sel.Where("a.time >= ?", q.Start.UnixMilli())
		}
		if !q.End.IsZero() {
			sel = sel.Where("a.time < ?", q.End.UnixMilli())
		}
		for _, f := range []struct{ column, value string }{
			{"actor", q.Actor}, {"action", q.Action}, {"result", q.Result}, {"address", q.Address}, {"tenant", q.Tenant},
		} {
			if f.value != "" {
				sel = sel.Where("a.? = ?", bun.Ident(f.column), f.value)
			}
		}
		if q.Object != "" {
			sel = sel.Where(`a.object LIKE ? ESCAPE '\'`, "%"+likeEscape.Replace(q.Object)+"%")
		}
		return sel
	}
	total, err := where(l.db.NewSelect().Model((*row)(nil))).Count(ctx)
	if err != nil {
		return Page{}, fmt.Errorf("audit: count the records: %w", err)
	}
	var rows []row
	sel := where(l.db.NewSelect().Model(&rows)).Order("a.seq DESC").Limit(int64(q.Limit) + 1)
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

var likeEscape = strings.NewReplacer(`\`, `\\`, `%`, `\%`, `_`, `\_`)

// BrokenError names the first record at which the chain does not hold.
type BrokenError struct {
	Seq    int64
	Reason string
}

// Error names the place.
func (e *BrokenError) Error() string {
	return fmt.Sprintf("audit: the chain breaks at record %d: %s", e.Seq, e.Reason)
}

// Verify walks the whole chain and returns how many records it holds. A record
// that was changed, removed, put in between or moved is a *BrokenError. What
// was cut off at the end is found only by comparing with a count and hash that
// were kept elsewhere.
func (l *Log) Verify(ctx context.Context) (records int64, head string, err error) {
	for {
		var rows []row
		if err := l.db.NewSelect().Model(&rows).Where("a.seq > ?", records).Order("a.seq").Limit(1000).Scan(ctx); err != nil {
			return records, head, fmt.Errorf("audit: read the chain after record %d: %w", records, err)
		}
		for i := range rows {
			r := &rows[i]
			if r.Seq != records+1 {
				return records, head, &BrokenError{Seq: records + 1, Reason: "it is missing"}
			}
			if r.Hash != r.chain(head) {
				return records, head, &BrokenError{Seq: r.Seq, Reason: "its hash does not fit its content and its predecessor"}
			}
			records, head = r.Seq, r.Hash
		}
		if len(rows) == 0 {
			return records, head, nil
		}
	}
}
