package entity

import (
	"context"
	"database/sql"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/uptrace/bun"

	"icewatch/soc/reach"
	"icewatch/soc/state"
)

//go:embed migrations/*.sql
var migrations embed.FS

// Conclusions are what an entity may be judged to be.
var Conclusions = []string{"malicious", "attacker", "compromised", "suspicious", "benign", "exercise", "withdrawn"}

// Risks are the levels of risk, the gravest first; "" is none.
var Risks = []string{"critical", "high", "medium", "low", ""}

// System is who judges where the suite does.
const System = "system"

// Bounds of judgements.
const (
	maxTags    = 20
	maxTag     = 40   // characters
	maxNote    = 2000 // characters
	maxWatched = 2000 // entities of all tenants
	maxHistory = 200  // judgements of an entity that are told
)

// ErrFull says that there are as many watched entities as there may be.
var ErrFull = errors.New("entity: too many are watched")

// Judgement is what was concluded of an entity, by somebody at a time. The
// newest of a tenant is in force; the others are its history.
type Judgement struct {
	Seq int64 `json:"seq"`
	Entity
	Tenant     string     `json:"tenant" doc:"Whose judgement it is: those whose reach covers the whole tenant see it"`
	Conclusion string     `json:"conclusion" enum:"malicious,attacker,compromised,suspicious,benign,exercise,withdrawn"`
	Risk       string     `json:"risk" enum:"critical,high,medium,low,"`
	Tags       []string   `json:"tags" nullable:"false"`
	Watched    bool       `json:"watched" doc:"Events that name it raise alerts"`
	Until      *time.Time `json:"until,omitempty" doc:"It is watched until then; without end where absent"`
	Note       string     `json:"note,omitempty"`
	Alert      string     `json:"alert,omitempty" doc:"Id of the alert that the suite formed it from"`
	By         string     `json:"by"`
	At         time.Time  `json:"at"`
	InForce    bool       `json:"in_force"`
	Sightings  int        `json:"sightings" doc:"Events found while it is watched"`
	LastSeen   *time.Time `json:"last_seen,omitempty" doc:"The last of these"`
}

type judgementRow struct {
	bun.BaseModel `bun:"table:entity_judgements,alias:j"`
	Seq           int64  `bun:"seq,pk,autoincrement"`
	Tenant        string `bun:"tenant"`
	Type          Type   `bun:"type"`
	Value         string `bun:"value"`
	Zone          string `bun:"zone"`
	Conclusion    string `bun:"conclusion"`
	Risk          string `bun:"risk"`
	Tags          string `bun:"tags"`
	Watched       bool   `bun:"watched"`
	Until         int64  `bun:"until"`
	Note          string `bun:"note"`
	Alert         string `bun:"alert"`
	Actor         string `bun:"actor"`
	At            int64  `bun:"at"`
	Newest        int    `bun:"newest"`
	Through       int64  `bun:"through,scanonly"`
	Sightings     int    `bun:"sightings,scanonly"`
	LastSeen      int64  `bun:"last_seen,scanonly"`
}

func (r *judgementRow) judgement() Judgement {
	j := Judgement{Seq: r.Seq, Entity: Entity{r.Type, r.Value, r.Zone}, Tenant: r.Tenant, Conclusion: r.Conclusion, Risk: r.Risk, Tags: []string{},
		Watched: r.Watched, Note: r.Note, Alert: r.Alert, By: r.Actor, At: moment(r.At), InForce: r.Newest == 1, Sightings: r.Sightings}
	_ = json.Unmarshal([]byte(r.Tags), &j.Tags) // Judge wrote it
	for _, x := range []struct {
		ms   int64
		into **time.Time
	}{{r.Until, &j.Until}, {r.LastSeen, &j.LastSeen}} {
		if x.ms != 0 {
			t := moment(x.ms)
			*x.into = &t
		}
	}
	return j
}

func moment(ms int64) time.Time { return time.UnixMilli(ms).UTC() }

// Store keeps judgements. It is safe for concurrent use.
type Store struct {
	db  *state.DB
	now func() time.Time
}

// Open brings the tables up to date.
func Open(ctx context.Context, db *state.DB) (*Store, error) {
	return &Store{db: db, now: time.Now}, db.Migrate(ctx, "entity", migrations)
}

func among(list []string, v string) bool { return slices.Contains(list, v) }

// check brings a judgement into its form.
func (j *Judgement) check(now time.Time) error {
	bad := func(format string, args ...any) error {
		return fmt.Errorf("%w: "+format, append([]any{ErrInvalid}, args...)...)
	}
	var err error
	if j.Entity, err = Read(j.Type, j.Value, j.Zone); err != nil {
		return err
	}
	if !among(Conclusions, j.Conclusion) {
		return bad("conclusion %q: want one of %s", j.Conclusion, strings.Join(Conclusions, ", "))
	}
	if !among(Risks, j.Risk) {
		return bad("risk %q: want critical, high, medium, low or nothing", j.Risk)
	}
	if len(j.Tags) > maxTags {
		return bad("tags: %d of them, at most %d", len(j.Tags), maxTags)
	}
	tags := []string{}
	for _, t := range j.Tags {
		if t = strings.TrimSpace(t); t == "" || utf8.RuneCountInString(t) > maxTag || strings.ContainsAny(t, ",\n\r") {
			return bad("tag %q: want 1 to %d characters without commas", t, maxTag)
		}
		if !slices.Contains(tags, t) {
			tags = append(tags, t)
		}
	}
	j.Tags = tags
	if j.Note = strings.TrimSpace(j.Note); utf8.RuneCountInString(j.Note) > maxNote {
		return bad("note: %d characters, at most %d", utf8.RuneCountInString(j.Note), maxNote)
	}
	if j.Watched && (j.Conclusion == "benign" || j.Conclusion == "withdrawn") {
		return bad("what is judged %s is not watched: its sightings would raise alerts", j.Conclusion)
	}
	if j.Until != nil && (!j.Watched || !j.Until.After(now)) {
		return bad("until: want a time to come, of what is watched")
	}
	return nil
}

// Judge writes a judgement down: from now on it is the tenant's in force.
func (s *Store) Judge(ctx context.Context, j Judgement) (Judgement, error) {
	now := s.now()
	if err := j.check(now); err != nil {
		return j, err
	}
	tags, err := json.Marshal(j.Tags)
	if err != nil {
		return j, fmt.Errorf("entity: %w", err)
	}
	r := judgementRow{Tenant: j.Tenant, Type: j.Type, Value: j.Value, Zone: j.Zone, Conclusion: j.Conclusion, Risk: j.Risk, Tags: string(tags), Watched: j.Watched,
		Note: j.Note, Alert: j.Alert, Actor: j.By, At: now.UnixMilli(), Newest: 1}
	if j.Until != nil {
		r.Until = j.Until.UnixMilli()
	}
	err = s.db.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
		if j.Watched {
			n, err := tx.NewSelect().Model((*judgementRow)(nil)).Where("watched = 1 AND newest = 1").Where("NOT (tenant = ? AND type = ? AND value = ? AND zone = ?)", r.Tenant, r.Type, r.Value, r.Zone).Count(ctx)
			if err != nil {
				return err
			}
			if n >= maxWatched {
				return fmt.Errorf("%w: %d, the most there may be: end some that are watched", ErrFull, n)
			}
		}
		if _, err := tx.NewUpdate().Model((*judgementRow)(nil)).Set("newest = 0").Where("tenant = ? AND type = ? AND value = ? AND zone = ? AND newest = 1", r.Tenant, r.Type, r.Value, r.Zone).Exec(ctx); err != nil {
			return err
		}
		_, err := tx.NewInsert().Model(&r).ExcludeColumn("seq").Returning("seq").Exec(ctx)
		return err
	})
	if errors.Is(err, ErrFull) {
		return j, err
	}
	if err != nil {
		return j, fmt.Errorf("entity: judge %s %q: %w", j.Type, j.Value, err)
	}
	return r.judgement(), nil
}

func (s *Store) asked(rows *[]judgementRow) *bun.SelectQuery {
	return s.db.NewSelect().Model(rows).ColumnExpr("j.*").ColumnExpr("coalesce(w.through, 0) AS through, coalesce(w.sightings, 0) AS sightings, coalesce(w.last_seen, 0) AS last_seen").
		Join("LEFT JOIN entity_watch AS w ON w.judgement = j.seq")
}

// History lists what was judged of an entity, newest first, by tenants that the
// reach covers wholly. An address without a zone is asked for in all zones; one
// with a zone has the judgements without one, too.
func (s *Store) History(ctx context.Context, r reach.Reach, e Entity) ([]Judgement, error) {
	var rows []judgementRow
	q := s.asked(&rows).Where("j.type = ? AND j.value = ?", e.Type, e.Value)
	if e.Zone != "" {
		q = q.Where("j.zone IN (?, '')", e.Zone)
	}
	if err := q.OrderExpr("j.seq DESC").Limit(maxHistory).Scan(ctx); err != nil {
		return nil, fmt.Errorf("entity: what was judged of %s %q: %w", e.Type, e.Value, err)
	}
	return seen(rows, r), nil
}

func seen(rows []judgementRow, r reach.Reach) []Judgement {
	out := []Judgement{}
	for i := range rows {
		if r.CoversWhole(rows[i].Tenant) {
			out = append(out, rows[i].judgement())
		}
	}
	return out
}

// InForce lists the judgements in force, the latest first, watched ones alone
// where that is asked for, by tenants that the reach covers wholly.
func (s *Store) InForce(ctx context.Context, r reach.Reach, watched bool) ([]Judgement, error) {
	var rows []judgementRow
	q := s.asked(&rows).Where("j.newest = 1 AND j.conclusion <> 'withdrawn'")
	if watched {
		q = q.Where("j.watched = 1 AND (j.until = 0 OR j.until > ?)", s.now().UnixMilli())
	}
	if err := q.OrderExpr("j.seq DESC").Limit(5 * maxWatched).Scan(ctx); err != nil {
		return nil, fmt.Errorf("entity: judgements in force: %w", err)
	}
	return seen(rows, r), nil
}

// Known tells whether the tenant has ever judged the entity.
func (s *Store) Known(ctx context.Context, tenant string, e Entity) (bool, error) {
	n, err := s.db.NewSelect().Model((*judgementRow)(nil)).Where("tenant = ? AND type = ? AND value = ? AND zone = ?", tenant, e.Type, e.Value, e.Zone).Count(ctx)
	if err != nil {
		return false, fmt.Errorf("entity: is %s %q judged: %w", e.Type, e.Value, err)
	}
	return n > 0, nil
}

// formed is until when closed alerts were looked at; the zero time at first.
func (s *Store) formed(ctx context.Context) (time.Time, error) {
	var through int64
	err := s.db.NewSelect().Table("entity_formed").Column("through").Scan(ctx, &through)
	if errors.Is(err, sql.ErrNoRows) {
		return time.Time{}, nil
	}
	if err != nil {
		return time.Time{}, fmt.Errorf("entity: how far alerts were looked at: %w", err)
	}
	return moment(through), nil
}

func (s *Store) setFormed(ctx context.Context, through time.Time) error {
	_, err := s.db.NewRaw("INSERT INTO entity_formed (one, through) VALUES (1, ?) ON CONFLICT (one) DO UPDATE SET through = EXCLUDED.through", through.UnixMilli()).Exec(ctx)
	if err != nil {
		return fmt.Errorf("entity: note how far alerts were looked at: %w", err)
	}
	return nil
}

// saw notes how far a watched entity was looked for, and what was found.
func (s *Store) saw(ctx context.Context, seq int64, through time.Time, events int, last time.Time) error {
	var ms int64
	if !last.IsZero() {
		ms = last.UnixMilli()
	}
	_, err := s.db.NewRaw("INSERT INTO entity_watch (judgement, through, sightings, last_seen) VALUES (?, ?, ?, ?) ON CONFLICT (judgement) DO UPDATE SET "+
		"through = EXCLUDED.through, sightings = entity_watch.sightings + EXCLUDED.sightings, last_seen = max(entity_watch.last_seen, EXCLUDED.last_seen)",
		seq, through.UnixMilli(), events, ms).Exec(ctx)
	if err != nil {
		return fmt.Errorf("entity: note the sightings of judgement %d: %w", seq, err)
	}
	return nil
}
