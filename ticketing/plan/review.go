package plan

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"unicode/utf8"

	"github.com/uptrace/bun"

	"icewatch/detections"
)

// Section is a question of the review's template.
type Section struct {
	Key   string          `json:"key"`
	Title detections.Text `json:"title"`
	Asks  detections.Text `json:"asks" doc:"What belongs there"`
}

// Sections is the template of a post-incident review. It follows what NIST SP
// 800-61r2, 3.4.1, asks after an incident.
var Sections = []Section{
	{"summary", detections.Text{ZH: "经过", EN: "What happened"}, detections.Text{ZH: "发生了什么，何时，影响到谁", EN: "What happened, when, and who was affected"}},
	{"cause", detections.Text{ZH: "根本原因", EN: "Root cause"}, detections.Text{ZH: "为什么会发生", EN: "Why it could happen"}},
	{"detection", detections.Text{ZH: "发现", EN: "Detection"}, detections.Text{ZH: "如何发现，本可以怎样更早发现", EN: "How it was found, and how it could have been found sooner"}},
	{"response", detections.Text{ZH: "处置", EN: "Response"}, detections.Text{ZH: "做得好的与耽误时间的", EN: "What went well, and what cost time"}},
	{"information", detections.Text{ZH: "缺少的信息", EN: "Missing information"}, detections.Text{ZH: "当时需要而没有的信息", EN: "What would have been needed sooner"}},
	{"prevention", detections.Text{ZH: "改进", EN: "Prevention"}, detections.Text{ZH: "怎样避免再次发生（行动列为任务）", EN: "What keeps it from happening again; the actions are tasks"}},
}

// Review is what was learnt of an incident.
type Review struct {
	Incident  string            `json:"incident"`
	Revision  int64             `json:"revision" doc:"0 where nobody has written anything"`
	Answers   map[string]string `json:"answers" doc:"By the keys of the sections"`
	Sections  []Section         `json:"sections" nullable:"false"`
	UpdatedAt int64             `json:"updated_at,omitempty" doc:"Unix milliseconds"`
	UpdatedBy string            `json:"updated_by,omitempty"`
	EndedAt   int64             `json:"ended_at,omitempty" doc:"Unix milliseconds"`
	EndedBy   string            `json:"ended_by,omitempty"`
}

type reviewRow struct {
	bun.BaseModel `bun:"table:plan_reviews"`
	Incident      string `bun:"incident,pk"`
	Revision      int64  `bun:"revision"`
	Doc           string `bun:"doc"`
	UpdatedAt     int64  `bun:"updated_at"`
	UpdatedBy     string `bun:"updated_by"`
	EndedAt       int64  `bun:"ended_at"`
	EndedBy       string `bun:"ended_by"`
}

func (r *reviewRow) view() (Review, error) {
	v := Review{Incident: r.Incident, Revision: r.Revision, Answers: map[string]string{}, Sections: Sections, UpdatedAt: r.UpdatedAt, UpdatedBy: r.UpdatedBy, EndedAt: r.EndedAt, EndedBy: r.EndedBy}
	if r.Doc == "" {
		return v, nil
	}
	if err := json.Unmarshal([]byte(r.Doc), &v.Answers); err != nil {
		return v, fmt.Errorf("plan: read the review of %s: %w", r.Incident, err)
	}
	return v, nil
}

// Review returns the review of an incident, empty where nobody has begun it.
func (s *Store) Review(ctx context.Context, incident string) (Review, error) {
	r := reviewRow{Incident: incident}
	if err := s.db.NewSelect().Model(&r).Where("incident = ?", incident).Scan(ctx); err != nil && !errors.Is(err, sql.ErrNoRows) {
		return Review{}, fmt.Errorf("plan: read the review of %s: %w", incident, err)
	}
	return r.view()
}

// WriteReview replaces the answers of a review; revision is the one they were
// read at. A review that has ended is opened again first.
func (s *Store) WriteReview(ctx context.Context, incident, by string, revision int64, answers map[string]string) (Review, error) {
	known := map[string]bool{}
	for _, sec := range Sections {
		known[sec.Key] = true
	}
	for key, text := range answers {
		if !known[key] {
			return Review{}, fmt.Errorf("%w: there is no section %q", ErrInvalid, key)
		}
		if n := utf8.RuneCountInString(text); n > 20_000 {
			return Review{}, fmt.Errorf("%w: %s: %d characters, at most 20000", ErrInvalid, key, n)
		}
	}
	return s.review(ctx, incident, by, func(r *reviewRow) (detections.Text, error) {
		switch {
		case r.EndedAt != 0:
			return detections.Text{}, fmt.Errorf("%w: %s has ended the review: open it again first", ErrConflict, r.EndedBy)
		case r.Revision != revision:
			return detections.Text{}, fmt.Errorf("%w: %s wrote since: the review has the revision %d, you read %d", ErrConflict, r.UpdatedBy, r.Revision, revision)
		}
		doc, err := json.Marshal(answers)
		r.Revision, r.Doc, r.UpdatedAt, r.UpdatedBy = r.Revision+1, string(doc), s.now().UnixMilli(), by
		if r.Revision > 1 {
			return detections.Text{}, err // a draft is no news each time it is kept
		}
		return detections.Text{ZH: "开始复盘", EN: "Review begun"}, err
	})
}

// EndReview says that the review is done; with back it is open again.
func (s *Store) EndReview(ctx context.Context, incident, by string, back bool) (Review, error) {
	return s.review(ctx, incident, by, func(r *reviewRow) (detections.Text, error) {
		switch {
		case r.Revision == 0:
			return detections.Text{}, fmt.Errorf("%w: nobody has written the review", ErrConflict)
		case back == (r.EndedAt == 0):
			return detections.Text{}, fmt.Errorf("%w: the review is not in the state for that: ended %t", ErrConflict, !back)
		case back:
			r.EndedAt, r.EndedBy = 0, ""
			return detections.Text{ZH: "重新打开复盘", EN: "Review open again"}, nil
		}
		r.EndedAt, r.EndedBy = s.now().UnixMilli(), by
		return detections.Text{ZH: "完成复盘", EN: "Review done"}, nil
	})
}

func (s *Store) review(ctx context.Context, incident, by string, f func(r *reviewRow) (detections.Text, error)) (Review, error) {
	r := reviewRow{Incident: incident}
	err := s.db.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
		r = reviewRow{Incident: incident}
		if err := tx.NewSelect().Model(&r).Where("incident = ?", incident).Scan(ctx); err != nil && !errors.Is(err, sql.ErrNoRows) {
			return err
		}
		text, err := f(&r)
		if err != nil {
			return err
		}
		q := tx.NewInsert().Model(&r).On("CONFLICT (incident) DO UPDATE").Returning("NULL")
		for _, col := range []string{"revision", "doc", "updated_at", "updated_by", "ended_at", "ended_by"} {
			q = q.Set("? = EXCLUDED.?", bun.Ident(col), bun.Ident(col))
		}
		if _, err := q.Exec(ctx); err != nil || text == (detections.Text{}) {
			return err
		}
		return s.deps.Timeline.Note(ctx, tx, incident, "review", by, text, nil)
	})
	if err != nil {
		return Review{}, fmt.Errorf("plan: review of %s: %w", incident, err)
	}
	return r.view()
}
