package audit

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"github.com/uptrace/bun"
)

// checkpointRow is a Checkpoint as SQL holds it.
type checkpointRow struct {
	bun.BaseModel `bun:"table:audit_checkpoints,alias:c"`

	N         int64  `bun:"n,pk"`
	Kind      string `bun:"kind"`
	Seq       int64  `bun:"seq"`
	Hash      string `bun:"hash"`
	Time      int64  `bun:"time"`
	Note      string `bun:"note"`
	Key       string `bun:"key"`
	Signature string `bun:"signature"`
}

func (r *checkpointRow) checkpoint() Checkpoint {
	return Checkpoint{N: r.N, Kind: r.Kind, Seq: r.Seq, Hash: r.Hash, Time: time.UnixMilli(r.Time).UTC(), Note: r.Note, Key: r.Key, Signature: r.Signature}
}

func checkpointsIn(ctx context.Context, db bun.IDB, after int64) ([]Checkpoint, error) {
	var rows []checkpointRow
	if err := db.NewSelect().Model(&rows).Where("c.n > ?", after).Order("c.n").Scan(ctx); err != nil {
		return nil, fmt.Errorf("audit: read the checkpoints: %w", err)
	}
	out := make([]Checkpoint, len(rows))
	for i := range rows {
		out[i] = rows[i].checkpoint()
	}
	return out, nil
}

// headIn reads the signed head; nil where there is none.
func headIn(ctx context.Context, db bun.IDB) (*Checkpoint, error) {
	c := Checkpoint{Kind: checkHead}
	var ms int64
	err := db.QueryRowContext(ctx, "SELECT seq, hash, time, key, signature FROM audit_head").Scan(&c.Seq, &c.Hash, &ms, &c.Key, &c.Signature)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("audit: read the signed head: %w", err)
	}
	c.Time = time.UnixMilli(ms).UTC()
	return &c, nil
}

// resume finds where the chain goes on, and says what is wrong where that is
// not where the signed statements say it ends.
func (l *Log) resume(ctx context.Context) (fault *Break, err error) {
	l.marks.Lock()
	defer l.marks.Unlock()
	last := new(row)
	err = l.db.Read.NewSelect().Model(last).Order("a.seq DESC").Limit(1).Scan(ctx)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return nil, fmt.Errorf("audit: read the end of the chain: %w", err)
	}
	stored, err := checkpointsIn(ctx, l.db.Read, 0)
	if err != nil {
		return nil, err
	}
	if err := cutTorn(l.sign.path()); err != nil {
		return nil, err
	}
	var line *lineError
	filed, err := readLines[Checkpoint](l.sign.path())
	switch {
	case errors.As(err, &line):
		fault = &Break{Place: PlaceCheckpoint, Reason: line.Error()}
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return nil, err
	}
	head, err := headIn(ctx, l.db.Read)
	if err != nil {
		return nil, err
	}

	// What was signed last is the best word on where the chain ended.
	var signed *Checkpoint
	consider := func(c *Checkpoint) {
		if c != nil && (signed == nil || c.Seq > signed.Seq) && c.Kind != checkBreak && l.sign.ring.check(c) == "" {
			signed = c
		}
	}
	consider(l.head.Load())
	consider(head)
	for _, list := range [][]Checkpoint{stored, filed} {
		for i := range list {
			c := &list[i]
			consider(c)
			l.n = max(l.n, c.N)
			l.marked = max(l.marked, c.Seq)
		}
	}
	l.markedAt = time.Now()
	l.inFile = 0
	if len(filed) > 0 {
		l.inFile = filed[len(filed)-1].N
	}

	l.end = &end{last.Seq, last.Hash}
	switch {
	case fault != nil:
	case signed == nil && (last.Seq == 0 || l.sign.fresh && len(stored)+len(filed) == 0 && head == nil):
		// Nothing to sign yet, or records of a release that did not sign.
	case signed == nil:
		fault = &Break{Place: PlaceEnd, Seq: last.Seq, Reason: "there is no valid signed head or checkpoint, though records were signed"}
	case last.Seq < signed.Seq:
		fault = &Break{Place: PlaceEnd, Seq: last.Seq + 1, Reason: fmt.Sprintf("it is missing: the log was signed up to record %d", signed.Seq)}
	case last.Seq > signed.Seq:
		fault = &Break{Place: PlaceEnd, Seq: signed.Seq + 1, Reason: fmt.Sprintf("it was not written by this log: the signed head is record %d", signed.Seq)}
	case last.Hash != signed.Hash:
		fault = &Break{Place: PlaceRecord, Seq: last.Seq, Reason: "its hash is not the signed one"}
	case l.n > l.inFile+1:
		fault = &Break{Place: PlaceCheckpoint, Seq: l.inFile + 1, Reason: fmt.Sprintf("checkpoints %d to %d are missing in %s", l.inFile+1, l.n, l.sign.path())}
	}
	if signed != nil && last.Seq < signed.Seq {
		// Numbers are not given twice: the gap stays to be seen.
		l.end = &end{signed.Seq, signed.Hash}
	}
	return fault, nil
}

// cutTorn removes what a crash left of a line at the end of a file.
func cutTorn(path string) error {
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("audit: %w", err)
	}
	whole := len(data)
	for whole > 0 && data[whole-1] != '\n' {
		whole--
	}
	if whole == len(data) {
		return nil
	}
	if err := os.Truncate(path, int64(whole)); err != nil {
		return fmt.Errorf("audit: cut the unfinished line of %s: %w", path, err)
	}
	return nil
}

// mark signs a checkpoint where one is due.
func (l *Log) mark(closing bool) {
	if l.end == nil || l.end.seq == l.marked {
		return
	}
	if !closing && l.end.seq-l.marked < checkpointRecords && time.Since(l.markedAt) < checkpointAge {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	if err := l.checkpoint(ctx, checkPoint, ""); err != nil {
		l.log.Error("the audit log could not be signed", "error", err)
	}
}

// checkpoint signs the end of the chain and keeps the statement in SQL and
// then in the file. It is the writer's.
func (l *Log) checkpoint(ctx context.Context, kind, note string) error {
	l.marks.Lock()
	defer l.marks.Unlock()
	c := l.sign.sign(Checkpoint{N: l.n + 1, Kind: kind, Seq: l.end.seq, Hash: l.end.hash, Note: note})
	err := l.db.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error { return keep(ctx, tx, c) })
	if err != nil {
		return fmt.Errorf("audit: keep checkpoint %d: %w", c.N, err)
	}
	l.n, l.marked, l.markedAt = c.N, c.Seq, c.Time
	return l.fill(ctx)
}

func keep(ctx context.Context, tx bun.Tx, c Checkpoint) error {
	r := checkpointRow{N: c.N, Kind: c.Kind, Seq: c.Seq, Hash: c.Hash, Time: c.Time.UnixMilli(), Note: c.Note, Key: c.Key, Signature: c.Signature}
	_, err := tx.NewInsert().Model(&r).Exec(ctx)
	return err
}

// fill adds to the file the checkpoints that are in SQL and not in it: the
// newest, and those that a full disk kept out.
func (l *Log) fill(ctx context.Context) error {
	list, err := checkpointsIn(ctx, l.db.DB, l.inFile)
	if err != nil {
		return err
	}
	for i := range list {
		if err := appendLine(l.sign.path(), list[i]); err != nil {
			return err
		}
		l.inFile = list[i].N
	}
	return nil
}
