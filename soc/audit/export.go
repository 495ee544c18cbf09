package audit

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"time"
)

// exportFormat names the format and its version.
const exportFormat = "icewatch-audit-export/1"

// exportLine is one line of an export: exactly one of its members.
type exportLine struct {
	Header     *exportHeader `json:"header,omitempty"`
	Record     *Record       `json:"record,omitempty"`
	Checkpoint *Checkpoint   `json:"checkpoint,omitempty"`
	End        *Checkpoint   `json:"end,omitempty"`
}

// exportHeader says where the chain begins and who signs.
type exportHeader struct {
	Format     string    `json:"format"`
	ExportedAt time.Time `json:"exported_at"`
	Keys       []Key     `json:"keys"`
	After      int64     `json:"after"` // Seq of the record before the first
	Hash       string    `json:"hash"`  // its hash; "" before record 1
}

// exportNote is what the signed end says of the lines before it.
func exportNote(sum hash.Hash) string { return "sha256 " + hex.EncodeToString(sum.Sum(nil)) }

// Export writes the records with from <= time < to, as one unbroken stretch of
// the chain, with the checkpoints within it and a signed end: JSON, one object
// a line. Zero times do not bound. VerifyExport verifies it anywhere. It
// returns how many records it wrote.
func (l *Log) Export(ctx context.Context, w io.Writer, from, to time.Time) (records int64, err error) {
	fail := func(err error) (int64, error) { return records, fmt.Errorf("audit: export: %w", err) }
	tx, err := l.db.Read.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
	if err != nil {
		return fail(err)
	}
	defer func() { _ = tx.Rollback() }()
	// Times need not ascend with the numbers when a clock is set, so the
	// stretch is bounded by numbers.
	var first, last sql.NullInt64
	end := int64(1) << 62
	if !to.IsZero() {
		end = to.UnixMilli()
	}
	start := int64(-1) << 62
	if !from.IsZero() {
		start = from.UnixMilli()
	}
	if err := tx.QueryRowContext(ctx, "SELECT min(seq), max(seq) FROM audit_records WHERE time >= ? AND time < ?", start, end).Scan(&first, &last); err != nil {
		return fail(err)
	}
	checkpoints, err := checkpointsIn(ctx, tx, 0)
	if err != nil {
		return fail(err)
	}
	header := exportHeader{Format: exportFormat, ExportedAt: time.Now().UTC().Truncate(time.Millisecond), Keys: l.sign.keys}
	if first.Valid && first.Int64 > 1 {
		header.After = first.Int64 - 1
		err := tx.QueryRowContext(ctx, "SELECT hash FROM audit_records WHERE seq = ?", header.After).Scan(&header.Hash)
		if errors.Is(err, sql.ErrNoRows) {
			// It was removed by retention, or by somebody; the anchor tells.
			err = nil
			for i := range checkpoints {
				if c := &checkpoints[i]; c.Kind == checkAnchor && c.Seq == header.After {
					header.Hash = c.Hash
				}
			}
		}
		if err != nil {
			return fail(err)
		}
	}
	sum := sha256.New()
	both := io.MultiWriter(w, sum)
	write := func(w io.Writer, line exportLine) error {
		b, err := json.Marshal(line)
		if err != nil {
			return err
		}
		_, err = w.Write(append(b, '\n'))
		return err
	}
	if err := write(both, exportLine{Header: &header}); err != nil {
		return fail(err)
	}
	for len(checkpoints) > 0 && checkpoints[0].Seq <= header.After {
		checkpoints = checkpoints[1:]
	}
	seq, hash := header.After, header.Hash
	for seq < last.Int64 {
		rows, err := rowsAfter(ctx, tx, seq, 1000)
		if err != nil {
			return fail(err)
		}
		if len(rows) == 0 {
			break
		}
		for i := range rows {
			if rows[i].Seq > last.Int64 {
				break
			}
			rec := rows[i].record()
			if err := write(both, exportLine{Record: &rec}); err != nil {
				return fail(err)
			}
			records++
			seq, hash = rec.Seq, rec.Hash
			for len(checkpoints) > 0 && checkpoints[0].Seq <= seq {
				if err := write(both, exportLine{Checkpoint: &checkpoints[0]}); err != nil {
					return fail(err)
				}
				checkpoints = checkpoints[1:]
			}
		}
	}
	signed := l.sign.sign(Checkpoint{Kind: checkExport, Seq: seq, Hash: hash, Note: exportNote(sum)})
	if err := write(w, exportLine{End: &signed}); err != nil {
		return fail(err)
	}
	return records, nil
}
