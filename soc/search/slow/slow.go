// Package slow remembers searches that took long: who asked, what, how long it
// took and how it ended. A few such searches are what keeps all others waiting.
package slow

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync/atomic"
	"time"

	"github.com/uptrace/bun"

	"icewatch/soc/search"
	"icewatch/soc/state"
)

//go:embed migrations/*.sql
var migrations embed.FS

const (
	// keep is how many searches are remembered.
	keep = 10_000
	// maxQuery bounds the text of a query that is remembered, in bytes.
	maxQuery = 4096
)

// Outcomes of a search.
const (
	OK        = "ok"
	Timeout   = "timeout"
	Cancelled = "cancelled" // whoever asked went away
	Failed    = "failed"
)

// Search is one slow search.
type Search struct {
	At      time.Time `json:"at" doc:"When it began"`
	Who     string    `json:"user"`
	Kind    string    `json:"kind" doc:"rows, histogram, fields, values, …"`
	Query   string    `json:"query"`
	Start   time.Time `json:"from" doc:"Of the time range"`
	Stop    time.Time `json:"to"`
	Took    int64     `json:"took_ms"`
	Rows    int64     `json:"rows" doc:"Answered"`
	Outcome string    `json:"outcome" enum:"ok,timeout,cancelled,failed"`
}

type row struct {
	bun.BaseModel `bun:"table:slow_searches,alias:s"`
	Seq           int64  `bun:"seq,pk,autoincrement"`
	At            int64  `bun:"at"`
	Who           string `bun:"who"`
	Kind          string `bun:"kind"`
	Query         string `bun:"query"`
	Start         int64  `bun:"start"`
	Stop          int64  `bun:"stop"`
	Took          int64  `bun:"took_ms"`
	Rows          int64  `bun:"rows"`
	Outcome       string `bun:"outcome"`
}

// Log remembers slow searches. It is safe for concurrent use.
type Log struct {
	db    *state.DB
	log   *slog.Logger
	least func() time.Duration
	count atomic.Uint64
	queue chan row
}

// Open opens the log. least is from how long on a search is slow; 0 is never.
func Open(ctx context.Context, db *state.DB, least func() time.Duration, log *slog.Logger) (*Log, error) {
	if err := db.Migrate(ctx, "slow", migrations); err != nil {
		return nil, fmt.Errorf("slow: %w", err)
	}
	return &Log{db: db, log: log, least: least, queue: make(chan row, 100)}, nil
}

// Count is how many searches were slow since the start.
func (l *Log) Count() uint64 { return l.count.Load() }

// Run writes down what was slow, until ctx ends.
func (l *Log) Run(ctx context.Context) {
	for {
		select {
		case r := <-l.queue:
			err := l.db.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
				if _, err := tx.NewInsert().Model(&r).ExcludeColumn("seq").Returning("NULL").Exec(ctx); err != nil {
					return err
				}
				_, err := tx.ExecContext(ctx, "DELETE FROM slow_searches WHERE seq <= (SELECT max(seq) FROM slow_searches) - ?", keep)
				return err
			})
			if err != nil && ctx.Err() == nil {
				l.log.Warn("slow: a search is not remembered", "error", err)
			}
		case <-ctx.Done():
			return
		}
	}
}

// List returns the slow searches, the latest first: limit of them after the
// first skip, and how many there are.
func (l *Log) List(ctx context.Context, limit, skip int) (list []Search, total int, err error) {
	var rows []row
	n, err := l.db.NewSelect().Model(&rows).OrderExpr("seq DESC").Limit(int64(limit)).Offset(int64(skip)).ScanAndCount(ctx)
	if err != nil {
		return nil, 0, fmt.Errorf("slow: read: %w", err)
	}
	for _, r := range rows {
		list = append(list, Search{At: time.UnixMilli(r.At).UTC(), Who: r.Who, Kind: r.Kind, Query: r.Query, Start: time.UnixMilli(r.Start).UTC(), Stop: time.UnixMilli(r.Stop).UTC(),
			Took: r.Took, Rows: r.Rows, Outcome: r.Outcome})
	}
	return list, int(n), nil
}

// Note remembers a search that began at a time, if it was slow.
func (l *Log) Note(who, kind string, req search.Request, began time.Time, rows int, err error) {
	took := time.Since(began)
	least := l.least()
	if least <= 0 || took < least {
		return
	}
	l.count.Add(1)
	outcome := OK
	switch {
	case errors.Is(err, context.Canceled):
		outcome = Cancelled
	case errors.Is(err, context.DeadlineExceeded):
		outcome = Timeout
	case err != nil:
		outcome = Failed
	}
	query := req.Query
	if len(query) > maxQuery {
		query = strings.ToValidUTF8(query[:maxQuery], "")
	}
	l.log.Warn("search: slow", "user", who, "kind", kind, "query", query, "took", took.Round(time.Millisecond), "rows", rows, "outcome", outcome)
	select {
	case l.queue <- row{At: began.UnixMilli(), Who: who, Kind: kind, Query: query, Start: req.Start.UnixMilli(), Stop: req.End.UnixMilli(), Took: took.Milliseconds(), Rows: int64(rows), Outcome: outcome}:
	default: // so many are slow that the log cannot follow: the count tells
	}
}

// Store is a search.Store whose slow searches are noted. What it does not name
// goes to the store below as it is.
type Store struct {
	search.Store
	log *Log
	who func(ctx context.Context) string
}

// Watch makes such a store. who names the caller of a request; "" where there
// is none.
func (l *Log) Watch(s search.Store, who func(ctx context.Context) string) *Store {
	return &Store{s, l, who}
}

func (s *Store) note(ctx context.Context, kind string, req search.Request, began time.Time, rows int, err error) {
	if ctx.Err() != nil && err == nil {
		err = ctx.Err()
	}
	s.log.Note(s.who(ctx), kind, req, began, rows, err)
}

// Query implements search.Store.
func (s *Store) Query(ctx context.Context, req search.Request, emit func(row []byte) error) error {
	began, rows := time.Now(), 0
	err := s.Store.Query(ctx, req, func(row []byte) error {
		rows++
		return emit(row)
	})
	s.note(ctx, "rows", req, began, rows, err)
	return err
}

// Histogram implements search.Store.
func (s *Store) Histogram(ctx context.Context, req search.Request, buckets int) (search.Histogram, error) {
	began := time.Now()
	h, err := s.Store.Histogram(ctx, req, buckets)
	s.note(ctx, "histogram", req, began, len(h.Buckets), err)
	return h, err
}

// Fields implements search.Store.
func (s *Store) Fields(ctx context.Context, req search.Request, limit int) ([]search.ValueHits, error) {
	began := time.Now()
	list, err := s.Store.Fields(ctx, req, limit)
	s.note(ctx, "fields", req, began, len(list), err)
	return list, err
}

// Values implements search.Store.
func (s *Store) Values(ctx context.Context, req search.Request, field string, limit int) ([]search.ValueHits, error) {
	began := time.Now()
	list, err := s.Store.Values(ctx, req, field, limit)
	s.note(ctx, "values", req, began, len(list), err)
	return list, err
}

// Facets implements search.Store.
func (s *Store) Facets(ctx context.Context, req search.Request, fields []string, limit int) (search.Facets, error) {
	began := time.Now()
	f, err := s.Store.Facets(ctx, req, fields, limit)
	s.note(ctx, "facets", req, began, len(fields), err)
	return f, err
}

// FieldStats implements search.Store.
func (s *Store) FieldStats(ctx context.Context, req search.Request, field string, limit int) (search.FieldStats, error) {
	began := time.Now()
	f, err := s.Store.FieldStats(ctx, req, field, limit)
	s.note(ctx, "statistics", req, began, 1, err)
	return f, err
}
