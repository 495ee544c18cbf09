package storage

import (
	"context"
	"embed"
	"fmt"
	"time"

	"github.com/uptrace/bun"

	"icewatch/soc/state"
)

//go:embed migrations/*.sql
var migrations embed.FS

const (
	// History is how far back growth is looked at.
	History = 7 * 24 * time.Hour
	// leastHistory is how much must be known before growth means anything.
	leastHistory = time.Hour
	// fine is how long every sample is kept; then one an hour.
	fine = 2 * 24 * time.Hour
	// keepSamples is how long samples are kept at all.
	keepSamples = 400 * 24 * time.Hour
	// MostDays bounds a forecast: further ahead it says nothing.
	MostDays = 3650
)

// Sample is how much something held at a time.
type Sample struct {
	At    time.Time
	Bytes int64
}

// Growth is by how many bytes a day the samples grow: the slope of the line
// that fits them best, so that neither a partition that goes nor a burst that
// comes decides. ok is false where they span less than an hour or are fewer
// than three.
func Growth(samples []Sample) (perDay float64, ok bool) {
	if len(samples) < 3 || samples[len(samples)-1].At.Sub(samples[0].At) < leastHistory {
		return 0, false
	}
	var n, sumX, sumY, sumXX, sumXY float64
	for _, s := range samples {
		x, y := s.At.Sub(samples[0].At).Hours()/24, float64(s.Bytes-samples[0].Bytes)
		n, sumX, sumY, sumXX, sumXY = n+1, sumX+x, sumY+y, sumXX+x*x, sumXY+x*y
	}
	return (n*sumXY - sumX*sumY) / (n*sumXX - sumX*sumX), true
}

// DaysLeft is for how many days what grows by perDay bytes still fits into what
// is free without the reserve. ok is false where nothing grows, or so slowly
// that it takes longer than MostDays.
func DaysLeft(free, reserve int64, perDay float64) (days float64, ok bool) {
	room := float64(max(0, free-reserve))
	if perDay <= 0 || room/perDay > MostDays {
		return 0, false
	}
	return room / perDay, true
}

// Samples keeps how much the parts of the suite held over time.
type Samples struct{ db *state.DB }

// OpenSamples prepares the table.
func OpenSamples(ctx context.Context, db *state.DB) (*Samples, error) {
	if err := db.Migrate(ctx, "storage", migrations); err != nil {
		return nil, fmt.Errorf("storage: %w", err)
	}
	return &Samples{db}, nil
}

type sampleRow struct {
	bun.BaseModel `bun:"table:storage_samples,alias:s"`
	At            int64  `bun:"at,pk"`
	Part          string `bun:"part,pk"`
	Bytes         int64  `bun:"bytes"`
}

// Add writes down what the parts hold now, and thins out what is old.
func (s *Samples) Add(ctx context.Context, now time.Time, parts map[string]int64) error {
	if len(parts) == 0 {
		return nil
	}
	var rows []sampleRow
	for part, bytes := range parts {
		rows = append(rows, sampleRow{At: now.Unix(), Part: part, Bytes: bytes})
	}
	err := s.db.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
		if _, err := tx.NewInsert().Model(&rows).On("CONFLICT (at, part) DO UPDATE").Set("bytes = EXCLUDED.bytes").Returning("NULL").Exec(ctx); err != nil {
			return err
		}
		// Of each hour the first sample stays.
		_, err := tx.ExecContext(ctx, `DELETE FROM storage_samples WHERE at < ? OR at < ? AND EXISTS (
			SELECT 1 FROM storage_samples AS o WHERE o.part = storage_samples.part AND o.at < storage_samples.at AND o.at / 3600 = storage_samples.at / 3600)`,
			now.Add(-keepSamples).Unix(), now.Add(-fine).Unix())
		return err
	})
	if err != nil {
		return fmt.Errorf("storage: keep what the disk holds: %w", err)
	}
	return nil
}

// Since returns the samples of each part from a time on, oldest first.
func (s *Samples) Since(ctx context.Context, from time.Time) (map[string][]Sample, error) {
	var rows []sampleRow
	if err := s.db.NewSelect().Model(&rows).Where("at >= ?", from.Unix()).OrderExpr("at").Scan(ctx); err != nil {
		return nil, fmt.Errorf("storage: read what the disk held: %w", err)
	}
	out := map[string][]Sample{}
	for _, r := range rows {
		out[r.Part] = append(out[r.Part], Sample{time.Unix(r.At, 0).UTC(), r.Bytes})
	}
	return out, nil
}
