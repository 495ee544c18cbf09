package audit

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/uptrace/bun"
)

const (
	// MinRetentionDays is the shortest time that records are kept: six months,
	// by article 21 (3) of the Cybersecurity Law of the PRC.
	MinRetentionDays = 180
	maxRetentionDays = 36500
	// pruneBatch is how many records one transaction removes at most, so that
	// no other writer waits long.
	pruneBatch = 5000
)

// Policy is what the audit administrator decides of the log.
type Policy struct {
	RetentionDays int `json:"retention_days"` // records older than this are removed, under a signed anchor
}

// DefaultPolicy keeps records for a year.
func DefaultPolicy() Policy { return Policy{RetentionDays: 365} }

// Check says what is wrong with the policy.
func (p Policy) Check() error {
	if p.RetentionDays < MinRetentionDays || p.RetentionDays > maxRetentionDays {
		return fmt.Errorf("retention_days is %d: audit records are kept at least %d days (Cybersecurity Law of the PRC, article 21) and at most %d",
			p.RetentionDays, MinRetentionDays, maxRetentionDays)
	}
	return nil
}

// Prune removes the records at the beginning of the log that are older than
// the policy says and leaves a signed anchor in their place, so that the rest
// still verifies. It returns how many it removed.
func (l *Log) Prune(ctx context.Context, p Policy) (removed int64, err error) {
	if err := p.Check(); err != nil {
		return 0, fmt.Errorf("audit: prune: %w", err)
	}
	cut := time.Now().Add(-time.Duration(p.RetentionDays) * 24 * time.Hour)
	for {
		n, err := l.pruneTo(ctx, cut)
		removed += n
		if err != nil {
			return removed, fmt.Errorf("audit: prune records before %s: %w", cut.UTC().Format(time.RFC3339), err)
		}
		if n == 0 {
			break
		}
	}
	if removed == 0 {
		return 0, nil
	}
	if err := l.compact(ctx); err != nil {
		return removed, err
	}
	rec := Record{Kind: KindSystem, Actor: systemActor, Action: "prune-audit", Object: "audit", Result: OK, Address: "local",
		Detail: fmt.Sprintf("%d records before %s were removed: kept for %d days", removed, cut.UTC().Format(time.RFC3339), p.RetentionDays)}
	return removed, l.Append(ctx, rec)
}

// pruneTo removes up to one batch.
func (l *Log) pruneTo(ctx context.Context, cut time.Time) (removed int64, err error) {
	l.marks.Lock()
	defer l.marks.Unlock()
	var anchor Checkpoint
	err = l.db.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
		// Up to the first record that is young enough, and never the last.
		var rows []row
		if err := tx.NewSelect().Model(&rows).Order("a.seq").Limit(pruneBatch + 1).Scan(ctx); err != nil {
			return err
		}
		n := 0
		for n < len(rows)-1 && rows[n].Time < cut.UnixMilli() {
			n++
		}
		if n == 0 {
			return nil
		}
		last := &rows[n-1]
		// Checkpoints of what stays are kept; where there are none this is the first.
		from := l.n + 1
		if err := tx.QueryRowContext(ctx, "SELECT coalesce(min(n), ?) FROM audit_checkpoints WHERE kind <> ? AND seq > ?", from, checkAnchor, last.Seq).Scan(&from); err != nil {
			return err
		}
		anchor = l.sign.sign(Checkpoint{N: l.n + 1, Kind: checkAnchor, Seq: last.Seq, Hash: last.Hash, Note: fmt.Sprintf(anchorNote, from)})
		if err := keep(ctx, tx, anchor); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, "DELETE FROM audit_records WHERE seq <= ?", last.Seq)
		removed = int64(n)
		return err
	})
	if err != nil || removed == 0 {
		return 0, err
	}
	l.n = anchor.N
	return removed, l.fill(ctx)
}

// anchorNote is an anchor's note: from which number on checkpoints are kept.
const anchorNote = "retention; checkpoints from %d are kept"

// keptFrom returns the number from which on checkpoints must be there without
// gaps: 1, or what the last anchor says.
func keptFrom(list []Checkpoint) int64 {
	for i := len(list) - 1; i >= 0; i-- {
		if list[i].Kind == checkAnchor {
			var from int64
			if _, err := fmt.Sscanf(list[i].Note, anchorNote, &from); err == nil {
				return from
			}
		}
	}
	return 1
}

// compact lets go of the checkpoints of records that are not there any more,
// in SQL and in the file.
func (l *Log) compact(ctx context.Context) error {
	l.marks.Lock()
	defer l.marks.Unlock()
	list, err := readLines[Checkpoint](l.sign.path())
	if err != nil {
		return err
	}
	from := keptFrom(list)
	var out []byte
	for _, c := range list {
		if c.N < from {
			continue
		}
		b, err := json.Marshal(c)
		if err != nil {
			return fmt.Errorf("audit: %w", err)
		}
		out = append(append(out, b...), '\n')
	}
	if err := replaceFile(l.sign.path(), out); err != nil {
		return err
	}
	if _, err := l.db.ExecContext(ctx, "DELETE FROM audit_checkpoints WHERE n < ?", from); err != nil {
		return fmt.Errorf("audit: remove old checkpoints: %w", err)
	}
	return nil
}

// Run removes what is too old and verifies the log, each once a day, until ctx
// ends. policy gives the policy in force.
func (l *Log) Run(ctx context.Context, policy func() Policy) {
	t := time.NewTimer(time.Minute)
	defer t.Stop()
	for {
		select {
		case <-t.C:
		case <-ctx.Done():
			return
		}
		if _, err := l.Check(ctx); err != nil && ctx.Err() == nil {
			l.log.Error("the audit log could not be verified", "error", err)
		}
		if n, err := l.Prune(ctx, policy()); err != nil && ctx.Err() == nil {
			l.log.Error("retention of the audit log", "error", err)
		} else if n > 0 {
			l.log.Info("audit records removed by retention", "records", n)
		}
		t.Reset(24 * time.Hour)
	}
}
