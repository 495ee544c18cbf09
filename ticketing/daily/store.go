package daily

import (
	"bytes"
	"context"
	"crypto/rand"
	"database/sql"
	"embed"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/uptrace/bun"

	"icewatch/soc/reach"
	"icewatch/soc/state"
	"icewatch/ticketing/channel"
	"icewatch/ticketing/report"
)

//go:embed migrations/*.sql
var migrations embed.FS

// Deps is what the room needs.
type Deps struct {
	Tickets Tickets                                     // required
	Plans   func() Plans                                // required
	Reach   func(tenants []string) (reach.Reach, error) // of a report; none named are all. Required
	// Tell notifies a contact point of a report within the transaction that keeps
	// it. Optional.
	Tell  func(ctx context.Context, tx bun.Tx, r *Report, receiver string) error
	Told  func() // has what Tell wrote be sent at once; optional
	Log   *slog.Logger
	Clock func() time.Time
}

// Service makes and keeps reports. It is safe for concurrent use.
type Service struct {
	db   *state.DB
	deps Deps
	// begun is when the room was opened for the first time: what came due before
	// is not made.
	begun time.Time
}

// Open brings the tables up to date. Run must run.
func Open(ctx context.Context, db *state.DB, deps Deps) (*Service, error) {
	if deps.Tickets == nil || deps.Plans == nil || deps.Reach == nil {
		return nil, errors.New("daily: open: Deps.Tickets, Deps.Plans or Deps.Reach is nil")
	}
	if deps.Log == nil {
		deps.Log = slog.Default()
	}
	if deps.Clock == nil {
		deps.Clock = time.Now
	}
	if err := db.Migrate(ctx, "daily", migrations); err != nil {
		return nil, err
	}
	if _, err := db.ExecContext(ctx, "INSERT INTO daily_begun (one, at) VALUES (1, ?) ON CONFLICT DO NOTHING", deps.Clock().UnixMilli()); err != nil {
		return nil, fmt.Errorf("daily: note the first start: %w", err)
	}
	var begun int64
	if err := db.NewSelect().TableExpr("daily_begun").Column("at").Scan(ctx, &begun); err != nil {
		return nil, fmt.Errorf("daily: read the first start: %w", err)
	}
	return &Service{db: db, deps: deps, begun: time.UnixMilli(begun)}, nil
}

// Report is a report that was made, without its files.
type Report struct {
	bun.BaseModel `bun:"table:daily_reports,alias:r" json:"-"`
	ID            string   `bun:"id,pk" json:"id"`
	Plan          string   `bun:"plan" json:"plan"`
	Slot          string   `bun:"slot" json:"slot,omitempty" doc:"Day and time for which it was due; absent where a person had it made"`
	Name          string   `bun:"name" json:"name"`
	Content       string   `bun:"content" json:"content" enum:"full,high_risk"`
	Day           string   `bun:"day" json:"day" format:"date" doc:"That it is about"`
	Whose         string   `bun:"tenants" json:"-"`
	Tenants       []string `bun:"-" json:"tenants" nullable:"false" doc:"Whose; empty for all"`
	Language      string   `bun:"language" json:"language" enum:"zh,en"`
	Summary       string   `bun:"summary" json:"summary"`
	MadeAt        int64    `bun:"made_at" json:"made_at" doc:"Unix milliseconds"`
	MadeBy        string   `bun:"made_by" json:"made_by"`
	ToldTo        string   `bun:"told" json:"-"`
	Told          []string `bun:"-" json:"told" nullable:"false" doc:"Contact points that were told; the delivery log says what became of it"`
	PDF           []byte   `bun:"pdf" json:"-"`
	DOCX          []byte   `bun:"docx" json:"-"`
}

// listed are the columns of a report without its files.
var listed = []string{"id", "plan", "slot", "name", "content", "day", "tenants", "language", "summary", "made_at", "made_by", "told"}

func (r *Report) fill() {
	r.Tenants, r.Told = split(r.Whose), split(r.ToldTo)
}

func split(s string) []string {
	if s == "" {
		return []string{}
	}
	return strings.Split(s, ",")
}

// seen tells whether somebody may read a report: he sees all of whose it is.
func (r *Report) seen(within reach.Reach) bool {
	if within.Veil() != nil {
		return false // reports cite alerts
	}
	if len(r.Tenants) == 0 {
		return within.Everything()
	}
	return !slices.ContainsFunc(r.Tenants, func(t string) bool { return !within.CoversWhole(t) })
}

// keep is how long reports are kept.
const keep = 400 * 24 * time.Hour

// Run makes reports as they come due until ctx ends.
func (s *Service) Run(ctx context.Context) {
	tick := time.NewTicker(20 * time.Second)
	defer tick.Stop()
	for {
		if err := s.Step(ctx); err != nil && ctx.Err() == nil {
			s.deps.Log.Error("daily reports", "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// Step makes what is due, and drops what is old. A slot that passed while the
// suite was off is made up for on its day; those of earlier days are not.
func (s *Service) Step(ctx context.Context) error {
	now := s.deps.Clock()
	for _, p := range s.deps.Plans().Reports {
		if !p.Enabled {
			continue
		}
		slot, came, day, ok := p.due(now)
		if !ok || came.Before(s.begun) {
			continue
		}
		made, err := s.db.NewSelect().Model((*Report)(nil)).Where("plan = ? AND slot = ?", p.ID, slot).Exists(ctx)
		if err != nil {
			return fmt.Errorf("daily: look for the report %s of %s: %w", p.ID, slot, err)
		}
		if made {
			continue
		}
		if _, err := s.write(ctx, p, slot, "system", day, now); err != nil {
			return err
		}
	}
	if _, err := s.db.NewDelete().Model((*Report)(nil)).Where("made_at < ?", now.Add(-keep).UnixMilli()).Exec(ctx); err != nil {
		return fmt.Errorf("daily: drop old reports: %w", err)
	}
	return nil
}

// Make makes a report of a day by hand; it is told to nobody. day is
// 2006-01-02 in the plan's zone, "" for yesterday.
func (s *Service) Make(ctx context.Context, by string, within reach.Reach, plan, day string) (Report, error) {
	plans := s.deps.Plans().Reports
	i := slices.IndexFunc(plans, func(p Plan) bool { return p.ID == plan })
	if i < 0 || !(&Report{Tenants: plans[i].Tenants}).seen(within) {
		return Report{}, fmt.Errorf("%w: there is no report %q", ErrNotFound, plan)
	}
	p, now := plans[i], s.deps.Clock()
	zone, err := time.LoadLocation(p.Zone)
	if err != nil {
		return Report{}, fmt.Errorf("%w: zone: %w", ErrInvalid, err)
	}
	local := now.In(zone)
	at := time.Date(local.Year(), local.Month(), local.Day()-1, 0, 0, 0, 0, zone)
	if day != "" {
		if at, err = time.ParseInLocation(time.DateOnly, day, zone); err != nil || at.After(now) {
			return Report{}, fmt.Errorf("%w: day: %q: want a day until today, such as 2026-11-26", ErrInvalid, day)
		}
	}
	p.Receivers = nil
	return s.write(ctx, p, "", by, at, now)
}

func (s *Service) write(ctx context.Context, p Plan, slot, by string, day, now time.Time) (Report, error) {
	within, err := s.deps.Reach(p.Tenants)
	if err != nil {
		return Report{}, fmt.Errorf("daily: whose the report %s is: %w", p.ID, err)
	}
	w := words{en: p.Language == "en", zone: day.Location()}
	whose := w.say("全市", "the whole city")
	if len(p.Tenants) > 0 {
		whose = strings.Join(p.Tenants, ", ")
	}
	var d *report.Document
	var id [10]byte
	_, _ = rand.Read(id[:]) // it never fails
	r := Report{ID: "rp" + hex.EncodeToString(id[:]), Plan: p.ID, Slot: slot, Name: p.Name, Content: p.Content, Day: day.Format(time.DateOnly), Whose: strings.Join(p.Tenants, ","), Language: p.Language, MadeAt: now.UnixMilli(), MadeBy: by}
	if p.Content == HighRisk {
		n := 0
		if d, r.Summary, n, err = highRisk(ctx, s.deps.Tickets, within, w, p.Name, whose, now); n == 0 {
			p.Receivers = nil // nobody is told that there is nothing
		}
		r.Day = now.In(w.zone).Format(time.DateOnly)
	} else {
		d, r.Summary, err = full(ctx, s.deps.Tickets, within, w, p.Name, whose, day, now)
	}
	if err != nil {
		return Report{}, fmt.Errorf("daily: write the report %s of %s: %w", p.ID, r.Day, err)
	}
	var pdf, docx bytes.Buffer
	if err := errors.Join(report.WritePDF(&pdf, d), report.WriteDOCX(&docx, d)); err != nil {
		return Report{}, fmt.Errorf("daily: write the report %s of %s: %w", p.ID, r.Day, err)
	}
	r.PDF, r.DOCX = pdf.Bytes(), docx.Bytes()
	err = s.db.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
		told := []string{}
		for _, to := range p.Receivers {
			if s.deps.Tell == nil {
				break
			}
			if err := s.deps.Tell(ctx, tx, &r, to); err != nil {
				s.deps.Log.Warn("daily reports: a contact point is not told", "report", p.ID, "receiver", to, "error", err)
				continue
			}
			told = append(told, to)
		}
		r.ToldTo = strings.Join(told, ",")
		_, err := tx.NewInsert().Model(&r).Returning("NULL").Exec(ctx)
		return err
	})
	if err != nil {
		return Report{}, fmt.Errorf("daily: keep the report %s of %s: %w", p.ID, r.Day, err)
	}
	if s.deps.Told != nil {
		s.deps.Told()
	}
	r.fill()
	return r, nil
}

// List lists the reports that somebody may read, newest first; plan "" are all.
func (s *Service) List(ctx context.Context, within reach.Reach, plan string) ([]Report, error) {
	var rows []Report
	q := s.db.NewSelect().Model(&rows).Column(listed...).OrderExpr("made_at DESC, id DESC")
	if plan != "" {
		q = q.Where("plan = ?", plan)
	}
	if err := q.Scan(ctx); err != nil {
		return nil, fmt.Errorf("daily: list reports: %w", err)
	}
	out := []Report{}
	for i := range rows {
		if rows[i].fill(); rows[i].seen(within) {
			out = append(out, rows[i])
		}
	}
	return out, nil
}

// Get returns a report that somebody may read, with its files.
func (s *Service) Get(ctx context.Context, within reach.Reach, id string) (Report, error) {
	var r Report
	err := s.db.NewSelect().Model(&r).Where("id = ?", id).Scan(ctx)
	if err == nil {
		r.fill()
	}
	if errors.Is(err, sql.ErrNoRows) || err == nil && !r.seen(within) {
		return Report{}, fmt.Errorf("%w: there is no report %q", ErrNotFound, id)
	}
	if err != nil {
		return Report{}, fmt.Errorf("daily: read report %q: %w", id, err)
	}
	return r, nil
}

// RefPrefix begins what an attachment of a report is called in a notification.
const RefPrefix = "daily-report:"

// Attachment is the file that a notification of a report carries; one that is
// dropped by now carries none.
func Attachment(ctx context.Context, db *state.DB, ref string) ([]channel.File, error) {
	id, ok := strings.CutPrefix(ref, RefPrefix)
	if !ok {
		return nil, nil
	}
	var r Report
	err := db.NewSelect().Model(&r).Column("day", "plan", "pdf").Where("id = ?", id).Scan(ctx)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("daily: read the file of report %q: %w", id, err)
	}
	return []channel.File{{Name: "icewatch-" + r.Plan + "-" + r.Day + ".pdf", Media: "application/pdf", Data: r.PDF}}, nil
}
