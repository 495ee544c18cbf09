// Package forwarding sends events on to other systems: Elasticsearch, Kafka,
// syslog receivers, Grafana Loki. A target says which events it gets by a
// filter in LogsQL; whose they may be is decided by the reach that its owner
// has at the moment they are read, masking included.
//
// Each target has a place of its own in the order in which events came, kept
// in SQL. Events are read from the lake from that place on, so that a target
// that is slow or away holds back nobody, and gets everything that retention
// still holds once it is back. The place moves on when the target has
// acknowledged what lies before it; after a crash what was sent and not yet
// noted as acknowledged is sent again, under the same id.
package forwarding

import (
	"context"
	"crypto/rand"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/uptrace/bun"

	"icewatch/detections"
	"icewatch/soc/export"
	"icewatch/soc/reach"
	"icewatch/soc/seal"
	"icewatch/soc/search"
	"icewatch/soc/state"
)

//go:embed migrations/*.sql
var migrations embed.FS

var (
	// ErrNotFound says that there is no such target, or that it is not the
	// asker's.
	ErrNotFound = errors.New("there is no such forwarding target, or it is not yours")
	// ErrInvalid says that a target cannot be kept as it is; the error says
	// everything that is wrong.
	ErrInvalid = errors.New("the forwarding target is not valid")
	// ErrConflict says that a name is taken, or that the target was changed
	// since it was read.
	ErrConflict = errors.New("the forwarding target conflicts with what there is")
)

// maxTargets bounds how many targets there are.
const maxTargets = 50

// sealKind is the kind of the targets' sealed values.
const sealKind = "forward"

// Sealed are the places of the room's sealed values.
func Sealed() []seal.Place {
	return []seal.Place{seal.Column(sealKind, "forward_targets", "id", "secrets")}
}

// Asker is who asks, and whether he looks after everybody's targets.
type Asker struct {
	User   string
	Manage bool
}

// Alarm is something that people must know of a target.
type Alarm struct {
	Kind   string // forward-down, forward-blocked or forward-loss
	Key    string
	Detail detections.Text
}

// Deps is what the room needs of others.
type Deps struct {
	Arrivals search.Arrivals
	Samples  Samples
	// HoldSamples has the bus keep samples from a batch on for a target.
	HoldSamples func(ctx context.Context, who string, from uint64, d time.Duration) error
	// Event reads one event, for dead letters.
	Event func(ctx context.Context, within reach.Reach, id string) ([]byte, error)
	// CheckFilter reads a filter in LogsQL and says what is wrong with it.
	CheckFilter func(filter string) error
	// Tenant tells whether there is a tenant.
	Tenant func(slug string) bool
	// Keep is how long events of tenants are kept, the shortest of them; nil
	// are all tenants.
	Keep func(tenants []string) time.Duration
	Box  *seal.Box
	// Dial opens connections and CheckURL judges where a URL leads: targets are
	// named by users (soc/egress).
	Dial     Dialer
	CheckURL func(ctx context.Context, url string) error
	// Alarm and Clear tell people; the same alarm may be raised again.
	Alarm func(ctx context.Context, a Alarm)
	Clear func(key string)
	Log   *slog.Logger
}

// Service keeps targets and forwards to them. It is safe for concurrent use.
type Service struct {
	db   *state.DB
	deps Deps
	host string
	wake chan struct{}

	changing sync.Mutex // one change of which workers run at a time
	mu       sync.Mutex
	base     context.Context // of the workers; nil before Run
	as       export.As
	workers  map[string]*worker
	progress map[string]*progress
}

// Open prepares the tables. Nothing is sent before Run.
func Open(ctx context.Context, db *state.DB, deps Deps) (*Service, error) {
	if err := db.Migrate(ctx, "forward", migrations); err != nil {
		return nil, fmt.Errorf("forward: %w", err)
	}
	host, err := os.Hostname()
	if err != nil {
		host = "-"
	}
	return &Service{db: db, deps: deps, host: host, wake: make(chan struct{}, 1), workers: map[string]*worker{}, progress: map[string]*progress{}}, nil
}

type targetRow struct {
	bun.BaseModel `bun:"table:forward_targets,alias:t"`

	ID        string `bun:"id,pk"`
	Name      string `bun:"name"`
	Owner     string `bun:"owner"`
	OwnerName string `bun:"owner_name"`
	Bound     string `bun:"bound"`
	Doc       string `bun:"doc"`
	Secrets   string `bun:"secrets"`
	Enabled   bool   `bun:"enabled"`
	Revision  int64  `bun:"revision"`
	CreatedAt int64  `bun:"created_at"`
	UpdatedAt int64  `bun:"updated_at"`
}

// target is a row, read.
type target struct {
	targetRow
	content Content
	secrets Secrets
	owner   export.Owner
}

func (s *Service) read(r targetRow) (*target, error) {
	t := &target{targetRow: r, secrets: Secrets{}, owner: export.Owner{ID: r.Owner, Name: r.OwnerName}}
	if err := json.Unmarshal([]byte(r.Doc), &t.content); err != nil {
		return nil, fmt.Errorf("forward: the target %s: %w", r.ID, err)
	}
	t.content.Enabled = r.Enabled
	if r.Bound != "" {
		if err := json.Unmarshal([]byte(r.Bound), &t.owner.Bound); err != nil {
			return nil, fmt.Errorf("forward: the target %s: %w", r.ID, err)
		}
	}
	if r.Secrets != "" {
		text, err := s.deps.Box.OpenString(r.Secrets, sealKind+":"+r.ID)
		if err != nil {
			return nil, fmt.Errorf("forward: the secrets of the target %s: %w", r.Name, err)
		}
		if err := json.Unmarshal([]byte(text), &t.secrets); err != nil {
			return nil, fmt.Errorf("forward: the secrets of the target %s: %w", r.Name, err)
		}
	}
	return t, nil
}

// fill puts content, owner and secrets into the row.
func (s *Service) fill(r *targetRow, o export.Owner, c Content, secrets Secrets) error {
	doc, err := json.Marshal(c)
	if err != nil {
		return fmt.Errorf("forward: %w", err)
	}
	r.Name, r.Doc, r.Enabled, r.Owner, r.OwnerName, r.Bound, r.Secrets = c.Name, string(doc), c.Enabled, o.ID, o.Name, "", ""
	if o.Bound != nil {
		b, _ := json.Marshal(o.Bound) // texts always encode
		r.Bound = string(b)
	}
	if len(secrets) == 0 {
		return nil
	}
	text, _ := json.Marshal(secrets) // texts always encode
	if r.Secrets, err = s.deps.Box.SealString(string(text), sealKind+":"+r.ID); err != nil {
		return fmt.Errorf("forward: %w", err)
	}
	return nil
}

// get reads a target that the asker may see.
func (s *Service) get(ctx context.Context, a Asker, id string) (*target, error) {
	var list []targetRow
	q := s.db.NewSelect().Model(&list).Where("id = ?", id)
	if !a.Manage {
		q = q.Where("owner = ?", a.User)
	}
	if err := q.Scan(ctx); err != nil {
		return nil, fmt.Errorf("forward: read the target %s: %w", id, err)
	}
	if len(list) == 0 {
		return nil, ErrNotFound
	}
	return s.read(list[0])
}

// check completes a target and says everything that is wrong with it.
func (s *Service) check(ctx context.Context, c *Content, secrets Secrets) error {
	c.complete()
	wrong := c.check(secrets)
	if c.Kind == RemoteWrite {
		if _, err := parseSelector(c.Filter); err != nil {
			wrong.add("filter", "a series selector such as {__name__=~\"node_.*\"} is right: %s", err)
		}
	} else if c.Filter != "" && s.deps.CheckFilter(c.Filter) != nil {
		wrong.add("filter", "%s", s.deps.CheckFilter(c.Filter))
	}
	for _, slug := range tenants(c.Tenant) {
		if !s.deps.Tenant(slug) {
			wrong.add("tenant", "there is no tenant %.64q", slug)
		}
	}
	if len(wrong) == 0 {
		for _, server := range c.servers() {
			if !strings.Contains(server, "://") || c.Kind == Syslog {
				_, hostPort, found := strings.Cut(server, "://")
				if !found {
					hostPort = server
				}
				server = "https://" + hostPort // judged by host and port alone
			}
			if err := s.deps.CheckURL(ctx, server); err != nil {
				wrong.add(strings.ReplaceAll(c.Kind, "-", "_"), "%s", err)
			}
		}
	}
	if len(wrong) > 0 {
		return fmt.Errorf("%w: %s", ErrInvalid, strings.Join(wrong, "; "))
	}
	return nil
}

// tenants are the slugs of a list.
func tenants(list string) []string {
	return strings.FieldsFunc(list, func(r rune) bool { return r == ',' || r == ' ' })
}

// merged are the secrets that a target has after a change: what is not given
// stays, and "" removes. Where the target itself changes, they are given anew:
// who may edit a target must not learn its secrets by pointing it at himself.
func merged(before *target, c *Content, given Secrets) (Secrets, error) {
	out := Secrets{}
	if before != nil {
		c.complete()
		same := before.content.Kind == c.Kind && slices.Equal(before.content.servers(), c.servers())
		for name, v := range before.secrets {
			if _, anew := given[name]; anew {
				continue
			}
			if !same {
				return nil, fmt.Errorf("%w: secrets.%s: the address changes, so the secret has to be given again", ErrInvalid, name)
			}
			out[name] = v
		}
	}
	for name, v := range given {
		if v != "" {
			out[name] = v
		}
	}
	return out, nil
}

// Create adds a target in the owner's name.
func (s *Service) Create(ctx context.Context, o export.Owner, c Content, secrets Secrets) (Target, error) {
	secrets, err := merged(nil, &c, secrets)
	if err == nil {
		err = s.check(ctx, &c, secrets)
	}
	if err != nil {
		return Target{}, err
	}
	now := time.Now().UnixMilli()
	r := targetRow{ID: strings.ToLower(rand.Text()[:16]), Revision: 1, CreatedAt: now, UpdatedAt: now}
	if err := s.fill(&r, o, c, secrets); err != nil {
		return Target{}, err
	}
	at := positionRow{Target: r.ID}
	// An engine that is away is asked when it is back.
	if p, err := s.locate(ctx, c.Kind, ends[c.From]); err == nil {
		at.place(p)
	}
	err = s.db.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
		n, err := tx.NewSelect().Model((*targetRow)(nil)).Count(ctx)
		if err == nil && n >= maxTargets {
			return fmt.Errorf("%w: there are %d targets, which is the most", ErrConflict, n)
		}
		if err == nil {
			err = s.free(ctx, tx, r.Name, r.ID)
		}
		if err == nil {
			_, err = tx.NewInsert().Model(&r).Exec(ctx)
		}
		if err == nil {
			_, err = tx.NewInsert().Model(&at).Exec(ctx)
		}
		return err
	})
	if err != nil {
		return Target{}, err
	}
	s.poke()
	return s.Get(ctx, Asker{Manage: true}, r.ID)
}

// locate finds where events, or samples, came at a time. Samples have places
// only where they are still on the bus, from Oldest to Newest.
func (s *Service) locate(ctx context.Context, kind, when string) (search.Place, error) {
	if kind != RemoteWrite {
		return s.deps.Arrivals.Locate(ctx, when)
	}
	st, err := s.deps.Samples.MetricState(ctx)
	if err != nil {
		return search.Place{}, fmt.Errorf("forward: where samples are: %w", err)
	}
	p := search.Place{Epoch: st.Epoch, Sequence: max(st.First, 1)}
	switch when {
	case search.Newest:
		p.Sequence = st.Last + 1
	case search.Oldest:
	default:
		return p, fmt.Errorf("%w: to: samples are kept for minutes only: %s or %s is right", ErrInvalid, FromNow, FromBeginning)
	}
	return p, nil
}

// ends are the places where new targets begin, in the words of search.
var ends = map[string]string{FromNow: search.Newest, FromBeginning: search.Oldest}

// free sees that no other target has the name.
func (s *Service) free(ctx context.Context, tx bun.Tx, name, id string) error {
	taken, err := tx.NewSelect().Model((*targetRow)(nil)).Where("name = ?", name).Where("id <> ?", id).Exists(ctx)
	if err == nil && taken {
		return fmt.Errorf("%w: another target is called %s", ErrConflict, name)
	}
	return err
}

// Update replaces what a target says, where its revision is still the one that
// was read. From then on it reads in the name of o. It returns how it was.
func (s *Service) Update(ctx context.Context, a Asker, o export.Owner, id string, revision int64, c Content, given Secrets) (before Content, after Target, err error) {
	t, err := s.get(ctx, a, id)
	if err != nil {
		return before, after, err
	}
	before = t.content
	if t.Revision != revision {
		return before, after, fmt.Errorf("%w: it was changed since it was read: its revision is %d, not %d", ErrConflict, t.Revision, revision)
	}
	secrets, err := merged(t, &c, given)
	if err == nil {
		err = s.check(ctx, &c, secrets)
	}
	if err != nil {
		return before, after, err
	}
	r := t.targetRow
	if err := s.fill(&r, o, c, secrets); err != nil {
		return before, after, err
	}
	if err := s.change(ctx, &r); err != nil {
		return before, after, err
	}
	after, err = s.Get(ctx, Asker{Manage: true}, id)
	return before, after, err
}

// change writes a row anew with the next revision.
func (s *Service) change(ctx context.Context, r *targetRow) error {
	revision := r.Revision
	r.Revision, r.UpdatedAt = revision+1, time.Now().UnixMilli()
	err := s.db.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
		if err := s.free(ctx, tx, r.Name, r.ID); err != nil {
			return err
		}
		res, err := tx.NewUpdate().Model(r).WherePK().Where("revision = ?", revision).Exec(ctx)
		if err != nil {
			return err
		}
		if n, err := res.RowsAffected(); err != nil || n == 0 {
			return errors.Join(fmt.Errorf("%w: it was changed meanwhile", ErrConflict), err)
		}
		return nil
	})
	if err != nil {
		return err
	}
	s.poke()
	return nil
}

// Enable lets a target go on, or pauses it. Its place stays.
func (s *Service) Enable(ctx context.Context, a Asker, id string, on bool) (Target, error) {
	t, err := s.get(ctx, a, id)
	if err != nil {
		return Target{}, err
	}
	if t.Enabled != on {
		if lacks := t.content.lacks(t.secrets); on && len(lacks) > 0 {
			return Target{}, fmt.Errorf("%w: secrets.%s: it is missing: an enabled target needs it to sign in", ErrInvalid, lacks[0])
		}
		r := t.targetRow
		r.Enabled = on
		if err := s.change(ctx, &r); err != nil {
			return Target{}, err
		}
	}
	return s.Get(ctx, a, id)
}

// Delete removes a target with its place and its dead letters.
func (s *Service) Delete(ctx context.Context, a Asker, id string) (before Content, err error) {
	t, err := s.get(ctx, a, id)
	if err != nil {
		return before, err
	}
	err = s.resting(id, func() error {
		_, err := s.db.NewDelete().Model((*targetRow)(nil)).Where("id = ?", id).Exec(ctx)
		return err
	})
	if err != nil {
		return before, fmt.Errorf("forward: remove the target %s: %w", t.Name, err)
	}
	return t.content, nil
}

// Rewind puts a target to where events came at a time (RFC 3339), or to
// FromNow or FromBeginning. What lies between is sent again, or not at all.
func (s *Service) Rewind(ctx context.Context, a Asker, id, to string) (Target, error) {
	t, err := s.get(ctx, a, id)
	if err != nil {
		return Target{}, err
	}
	when, ok := ends[to]
	if !ok {
		at, err := time.Parse(time.RFC3339, to)
		if err != nil {
			return Target{}, fmt.Errorf("%w: to: %.40q: a time such as 2026-11-26T03:00:00Z, %s or %s is right", ErrInvalid, to, FromNow, FromBeginning)
		}
		when = at.UTC().Format(time.RFC3339)
	}
	p, err := s.locate(ctx, t.content.Kind, when)
	if err != nil {
		return Target{}, err
	}
	err = s.resting(id, func() error {
		_, err := s.db.NewUpdate().Model((*positionRow)(nil)).Set("epoch = ?, sequence = ?, idx = ?", p.Epoch, p.Sequence, p.Index).Where("target = ?", id).Exec(ctx)
		return err
	})
	if err != nil {
		return Target{}, fmt.Errorf("forward: put %s back: %w", t.Name, err)
	}
	return s.Get(ctx, a, id)
}

// Test sees that a target can be reached. id names a target whose secrets are
// taken where none are given; "" is none.
func (s *Service) Test(ctx context.Context, a Asker, id string, c *Content, given Secrets) (TestResult, error) {
	var before *target
	if id != "" {
		var err error
		if before, err = s.get(ctx, a, id); err != nil {
			return TestResult{}, err
		}
		if c == nil {
			c = &before.content
		}
	}
	secrets, err := merged(before, c, given)
	if err == nil {
		c.Enabled = true // as it would have to be
		err = s.check(ctx, c, secrets)
	}
	if err != nil {
		return TestResult{}, err
	}
	snd, err := open(c, secrets, s.deps.Dial, s.host)
	if err != nil {
		return TestResult{}, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	defer snd.Close()
	ctx, cancel := context.WithTimeout(ctx, testTimeout)
	defer cancel()
	begun := time.Now()
	detail, err := snd.Probe(ctx)
	out := TestResult{OK: err == nil, TookMS: time.Since(begun).Milliseconds(), Detail: detail}
	if err != nil {
		out.Error = err.Error()
		if t, ok := snd.(interface{ Trouble() error }); ok && t.Trouble() != nil {
			out.Error += ": " + t.Trouble().Error()
		}
	}
	return out, nil
}

const testTimeout = 20 * time.Second

// TestResult is how a test of a target went.
type TestResult struct {
	OK     bool   `json:"ok"`
	TookMS int64  `json:"took_ms"`
	Detail string `json:"detail" doc:"What was found there"`
	Error  string `json:"error"`
}

// secretNames are the names of the secrets that a target has.
func (t *target) secretNames() []string {
	return append([]string{}, slices.Sorted(maps.Keys(t.secrets))...)
}

// poke has Run look at the targets again.
func (s *Service) poke() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}
