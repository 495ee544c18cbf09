package statutory

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"database/sql"
	"embed"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/uptrace/bun"

	"icewatch/detections"
	"icewatch/soc/state"
)

//go:embed migrations/*.sql
var migrations embed.FS

// Errors of this room; the error that wraps one says more.
var (
	ErrNotFound  = errors.New("statutory: not found")
	ErrInvalid   = errors.New("statutory: invalid")
	ErrConflict  = errors.New("statutory: conflict")
	ErrForbidden = errors.New("statutory: forbidden")
)

// The kinds of reports.
const (
	KindFirst   = "first"
	KindSummary = "summary" // after the end of the response
)

// The states of a report. It goes from each to the next; submitted and approved
// ones can come back to draft, and a sent one stays.
const (
	Draft     = "draft"
	Submitted = "submitted"
	Approved  = "approved"
	Sent      = "sent"
)

// Report is a report of an incident.
type Report struct {
	bun.BaseModel `bun:"table:statutory_reports" json:"-"`
	ID            string `bun:"id,pk" json:"id"`
	Incident      string `bun:"incident" json:"incident"`
	Kind          string `bun:"kind" json:"kind" enum:"first,summary"`
	Revision      int64  `bun:"revision" json:"revision"`
	State         string `bun:"state" json:"state" enum:"draft,submitted,approved,sent"`
	Level         string `bun:"level" json:"level"`
	Operator      string `bun:"operator" json:"operator"`
	KnownAt       int64  `bun:"known_at" json:"known_at" doc:"Unix milliseconds; the deadline counts from then"`
	Due           int64  `bun:"due" json:"due,omitempty" doc:"Unix milliseconds; absent where nothing has to be reported"`
	Stored        string `bun:"answers" json:"-"`
	DraftedBy     string `bun:"drafted_by" json:"drafted_by"`
	DraftedAt     int64  `bun:"drafted_at" json:"drafted_at"`
	SubmittedBy   string `bun:"submitted_by" json:"submitted_by,omitempty"`
	SubmittedAt   int64  `bun:"submitted_at" json:"submitted_at,omitempty"`
	ApprovedBy    string `bun:"approved_by" json:"approved_by,omitempty"`
	ApprovedAt    int64  `bun:"approved_at" json:"approved_at,omitempty"`
	Digest        string `bun:"digest" json:"digest,omitempty" doc:"SHA-256 of what was approved"`
	Refused       string `bun:"refused" json:"refused,omitempty" doc:"Why it came back"`
	SentBy        string `bun:"sent_by" json:"sent_by,omitempty"`
	SentAt        int64  `bun:"sent_at" json:"sent_at,omitempty"`
	Channel       string `bun:"channel" json:"channel,omitempty" doc:"Which way it went"`
	Receipt       string `bun:"receipt" json:"receipt,omitempty" doc:"Number of the receipt, or who took it"`
	Evidence      string `bun:"evidence" json:"evidence,omitempty" doc:"Id of the proof among the incident's evidence"`

	Answers map[string]string `bun:"-" json:"answers" doc:"By the keys of the fields"`
	Clock   string            `bun:"-" json:"clock" enum:"none,running,late,met,missed" doc:"How its deadline stands"`
}

// Timeline writes into an incident's timeline, within the transaction that it
// tells of. ticketing.Service is one.
type Timeline interface {
	Note(ctx context.Context, tx bun.IDB, object, kind, actor string, text detections.Text, data map[string]any) error
}

// Deps is what the room needs.
type Deps struct {
	Timeline Timeline         // required
	Terms    func() *Terms    // default Shipped
	Clock    func() time.Time // default time.Now
}

// Store keeps reports. It is safe for concurrent use. It does not ask who may
// see an incident: its callers do.
type Store struct {
	db   *state.DB
	deps Deps
}

// Open brings the tables up to date.
func Open(ctx context.Context, db *state.DB, deps Deps) (*Store, error) {
	if deps.Timeline == nil {
		return nil, errors.New("statutory: open: Deps.Timeline is nil")
	}
	if deps.Terms == nil {
		deps.Terms = Shipped
	}
	if deps.Clock == nil {
		deps.Clock = time.Now
	}
	return &Store{db: db, deps: deps}, db.Migrate(ctx, "statutory", migrations)
}

// Terms are those in force.
func (s *Store) Terms() *Terms { return s.deps.Terms() }

func (s *Store) now() time.Time { return s.deps.Clock().UTC().Truncate(time.Millisecond) }

// Content is what people write of a report.
type Content struct {
	Level    string            `json:"level" maxLength:"40"`
	Operator string            `json:"operator" maxLength:"40"`
	KnownAt  int64             `json:"known_at" minimum:"1" doc:"Unix milliseconds; when the incident was found or told of"`
	Answers  map[string]string `json:"answers"`
}

func (s *Store) fill(r *Report, c Content) error {
	terms := s.Terms()
	l, err := terms.level(c.Level)
	if err != nil {
		return err
	}
	o, err := terms.operator(c.Operator)
	if err != nil {
		return err
	}
	if c.KnownAt <= 0 || c.KnownAt > s.now().UnixMilli() {
		return fmt.Errorf("%w: known_at: %s lies ahead: want when the incident was found", ErrInvalid, time.UnixMilli(c.KnownAt).UTC().Format(time.RFC3339))
	}
	known := map[string]bool{}
	for _, f := range terms.Fields {
		known[f.Key] = true
	}
	for key, text := range c.Answers {
		if !known[key] {
			return fmt.Errorf("%w: there is no field %q", ErrInvalid, key)
		}
		if n := utf8.RuneCountInString(text); n > 20_000 {
			return fmt.Errorf("%w: %s: %d characters, at most 20000", ErrInvalid, key, n)
		}
	}
	stored, err := json.Marshal(c.Answers)
	if err != nil {
		return err
	}
	r.Level, r.Operator, r.KnownAt, r.Answers, r.Stored, r.Due = c.Level, c.Operator, c.KnownAt, c.Answers, string(stored), 0
	if due := terms.due(r.Kind, l, o, time.UnixMilli(c.KnownAt)); !due.IsZero() {
		r.Due = due.UnixMilli()
	}
	return nil
}

func (r *Report) read(now time.Time) error {
	if err := json.Unmarshal([]byte(r.Stored), &r.Answers); err != nil {
		return fmt.Errorf("statutory: read %s: %w", r.ID, err)
	}
	switch {
	case r.Due == 0:
		r.Clock = "none"
	case r.SentAt != 0 && r.SentAt <= r.Due:
		r.Clock = "met"
	case r.SentAt != 0:
		r.Clock = "missed"
	case now.UnixMilli() > r.Due:
		r.Clock = "late"
	default:
		r.Clock = "running"
	}
	return nil
}

// digest is over all that an approver approves.
func (r *Report) digest() string {
	answers, _ := json.Marshal(r.Answers) // keys in their order
	sum := sha256.Sum256(fmt.Appendf(nil, "icewatch statutory 1\n%s\n%s\n%s\n%s\n%d\n%d\n%s\n", r.Incident, r.Kind, r.Level, r.Operator, r.KnownAt, r.Due, answers))
	return hex.EncodeToString(sum[:])
}

// Reports lists the reports of an incident.
func (s *Store) Reports(ctx context.Context, incident string) ([]Report, error) {
	out := []Report{}
	if err := s.db.NewSelect().Model(&out).Where("incident = ?", incident).OrderExpr("kind").Scan(ctx); err != nil {
		return nil, fmt.Errorf("statutory: list the reports of %s: %w", incident, err)
	}
	for i := range out {
		if err := out[i].read(s.now()); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// Waiting lists reports that are not sent and have to be, the first due first,
// 500 at most.
func (s *Store) Waiting(ctx context.Context) ([]Report, error) {
	out := []Report{}
	if err := s.db.NewSelect().Model(&out).Where("sent_at = 0 AND due > 0").OrderExpr("due, id").Limit(500).Scan(ctx); err != nil {
		return nil, fmt.Errorf("statutory: list what is due: %w", err)
	}
	for i := range out {
		if err := out[i].read(s.now()); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// Report returns one report.
func (s *Store) Report(ctx context.Context, incident, id string) (Report, error) {
	r, err := find(ctx, s.db, incident, id)
	if err != nil {
		return r, err
	}
	return r, r.read(s.now())
}

func find(ctx context.Context, db bun.IDB, incident, id string) (r Report, err error) {
	err = db.NewSelect().Model(&r).Where("incident = ? AND id = ?", incident, id).Scan(ctx)
	if errors.Is(err, sql.ErrNoRows) {
		return r, fmt.Errorf("%w: the incident %s has no report %q", ErrNotFound, incident, id)
	}
	if err != nil {
		return r, fmt.Errorf("statutory: read %q: %w", id, err)
	}
	return r, nil
}

// Begin begins a report; there is one of each kind for an incident.
func (s *Store) Begin(ctx context.Context, incident, by, kind string, c Content) (Report, error) {
	if kind != KindFirst && kind != KindSummary {
		return Report{}, fmt.Errorf("%w: kind %q: want first or summary", ErrInvalid, kind)
	}
	r := Report{ID: "SR-" + token(), Incident: incident, Kind: kind, Revision: 1, State: Draft, DraftedBy: by, DraftedAt: s.now().UnixMilli()}
	if err := s.fill(&r, c); err != nil {
		return Report{}, err
	}
	err := s.db.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
		there, err := tx.NewSelect().Model((*Report)(nil)).Where("incident = ? AND kind = ?", incident, kind).Exists(ctx)
		if err != nil {
			return err
		}
		if there {
			return fmt.Errorf("%w: %s has a report of the kind %s already", ErrConflict, incident, kind)
		}
		if _, err := tx.NewInsert().Model(&r).Returning("NULL").Exec(ctx); err != nil {
			return err
		}
		return s.note(ctx, tx, &r, by, "起草", "begun")
	})
	if err != nil {
		return Report{}, fmt.Errorf("statutory: begin a report of %s: %w", incident, err)
	}
	return r, r.read(s.now())
}

func (s *Store) note(ctx context.Context, tx bun.Tx, r *Report, by, zh, en string) error {
	name := detections.Text{ZH: "网络安全事件报告", EN: "Statutory report"}
	if r.Kind == KindSummary {
		name = detections.Text{ZH: "网络安全事件处置总结报告", EN: "Statutory summary"}
	}
	return s.deps.Timeline.Note(ctx, tx, r.Incident, "report", by, detections.Text{ZH: name.ZH + zh, EN: name.EN + " " + en}, map[string]any{"report": r.ID, "state": r.State})
}

// Write changes a draft; revision is the one it was read at.
func (s *Store) Write(ctx context.Context, incident, id, by string, revision int64, c Content) (Report, error) {
	return s.change(ctx, incident, id, []string{Draft}, func(r *Report) (string, string, error) {
		if revision != r.Revision {
			return "", "", fmt.Errorf("%w: %s wrote since: the report has the revision %d, you read %d", ErrConflict, r.DraftedBy, r.Revision, revision)
		}
		r.DraftedBy, r.DraftedAt = by, s.now().UnixMilli()
		return "", "", s.fill(r, c)
	}, by)
}

// Submit hands a draft to be approved. What the first report must have has to be
// there.
func (s *Store) Submit(ctx context.Context, incident, id, by string) (Report, error) {
	return s.change(ctx, incident, id, []string{Draft}, func(r *Report) (string, string, error) {
		var missing []string
		for _, f := range s.Terms().Fields {
			if (f.First || r.Kind == KindSummary) && strings.TrimSpace(r.Answers[f.Key]) == "" {
				missing = append(missing, f.ZH+" ("+f.Key+")")
			}
		}
		if len(missing) > 0 {
			return "", "", fmt.Errorf("%w: these fields are empty: %s", ErrInvalid, strings.Join(missing, ", "))
		}
		r.State, r.SubmittedBy, r.SubmittedAt, r.Refused = Submitted, by, s.now().UnixMilli(), ""
		return "提交审批", "submitted", nil
	}, by)
}

// Approve approves a report: by somebody else than who wrote or submitted it.
func (s *Store) Approve(ctx context.Context, incident, id, by string) (Report, error) {
	return s.change(ctx, incident, id, []string{Submitted}, func(r *Report) (string, string, error) {
		if by == r.SubmittedBy || by == r.DraftedBy {
			return "", "", fmt.Errorf("%w: %s wrote or submitted the report: somebody else has to approve it", ErrForbidden, by)
		}
		r.State, r.ApprovedBy, r.ApprovedAt, r.Digest = Approved, by, s.now().UnixMilli(), r.digest()
		return "已审批", "approved", nil
	}, by)
}

// Return makes a submitted or approved report a draft again, and says why.
func (s *Store) Return(ctx context.Context, incident, id, by, why string) (Report, error) {
	if why = strings.TrimSpace(why); why == "" || utf8.RuneCountInString(why) > 2000 {
		return Report{}, fmt.Errorf("%w: why: want 1 to 2000 characters", ErrInvalid)
	}
	return s.change(ctx, incident, id, []string{Submitted, Approved}, func(r *Report) (string, string, error) {
		r.State, r.Refused, r.ApprovedBy, r.ApprovedAt, r.Digest = Draft, why, "", 0, ""
		return "退回：" + why, "returned: " + why, nil
	}, by)
}

// Proof is how a report was sent.
type Proof struct {
	Channel  string `json:"channel" minLength:"1" maxLength:"200" doc:"Which way it went: a portal, a telephone number, an address"`
	Receipt  string `json:"receipt" minLength:"1" maxLength:"400" doc:"Number of the receipt, or who took it"`
	SentAt   int64  `json:"sent_at,omitempty" minimum:"0" doc:"Unix milliseconds; now by default"`
	Evidence string `json:"evidence,omitempty" maxLength:"40" doc:"Id of the proof among the incident's evidence"`
}

// Send says that an approved report was sent, with the proof. The report does
// not change any more.
func (s *Store) Send(ctx context.Context, incident, id, by string, p Proof) (Report, error) {
	if strings.TrimSpace(p.Channel) == "" || strings.TrimSpace(p.Receipt) == "" {
		return Report{}, fmt.Errorf("%w: want the channel and the receipt: without them nothing proves that it was sent", ErrInvalid)
	}
	return s.change(ctx, incident, id, []string{Approved}, func(r *Report) (string, string, error) {
		now := s.now().UnixMilli()
		if p.SentAt == 0 {
			p.SentAt = now
		}
		if p.SentAt > now || p.SentAt < r.ApprovedAt {
			return "", "", fmt.Errorf("%w: sent_at: want a time between the approval and now", ErrInvalid)
		}
		if r.Digest != r.digest() {
			return "", "", fmt.Errorf("%w: the report is not what was approved: return it to a draft", ErrConflict)
		}
		r.State, r.SentBy, r.SentAt, r.Channel, r.Receipt, r.Evidence = Sent, by, p.SentAt, p.Channel, p.Receipt, p.Evidence
		return "已报送（" + p.Channel + "，回执 " + p.Receipt + "）", "sent (" + p.Channel + ", receipt " + p.Receipt + ")", nil
	}, by)
}

// change carries f out on a report in one of the states. What f says enters the
// timeline.
func (s *Store) change(ctx context.Context, incident, id string, states []string, f func(r *Report) (zh, en string, err error), by string) (r Report, err error) {
	err = s.db.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) (err error) {
		if r, err = find(ctx, tx, incident, id); err != nil {
			return err
		}
		if err := r.read(s.now()); err != nil {
			return err
		}
		allowed := false
		for _, st := range states {
			allowed = allowed || st == r.State
		}
		if !allowed {
			return fmt.Errorf("%w: the report is %s: this needs one that is %s", ErrConflict, r.State, strings.Join(states, " or "))
		}
		zh, en, err := f(&r)
		if err != nil {
			return err
		}
		r.Revision++
		if _, err := tx.NewUpdate().Model(&r).WherePK().Exec(ctx); err != nil || zh == "" {
			return err
		}
		return s.note(ctx, tx, &r, by, zh, en)
	})
	if err != nil {
		return Report{}, fmt.Errorf("statutory: report %s: %w", id, err)
	}
	return r, r.read(s.now())
}

// token is an id that nobody guesses.
func token() string {
	var b [6]byte
	_, _ = rand.Read(b[:]) // never fails, says crypto/rand
	return hex.EncodeToString(b[:])
}
