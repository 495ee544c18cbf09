package source

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/uptrace/bun"

	"icewatch/soc/reach"
)

// Password is the secret of a source that signs in somewhere.
const Password = "password"

// Secrets are those of a source, by name.
type Secrets map[string]string

type row struct {
	bun.BaseModel `bun:"table:alert_sources,alias:s"`

	ID        string `bun:"id,pk"`
	Name      string `bun:"name"`
	Tenant    string `bun:"tenant"`
	Doc       string `bun:"doc"`
	Token     string `bun:"token"`
	Secrets   string `bun:"secrets"`
	Enabled   bool   `bun:"enabled"`
	Revision  int64  `bun:"revision"`
	CreatedAt int64  `bun:"created_at"`
	UpdatedAt int64  `bun:"updated_at"`
	UpdatedBy string `bun:"updated_by"`
	RemovedAt int64  `bun:"removed_at"`
}

// View is a source as it is shown.
type View struct {
	ID string `json:"id"`
	Content
	Builtin    bool       `json:"builtin,omitempty" doc:"Part of the suite: it cannot be changed"`
	SecretsSet []string   `json:"secrets_set" nullable:"false"`
	Revision   int64      `json:"revision"`
	CreatedAt  time.Time  `json:"created_at,omitzero"`
	UpdatedAt  time.Time  `json:"updated_at,omitzero"`
	UpdatedBy  string     `json:"updated_by,omitempty"`
	RemovedAt  *time.Time `json:"removed_at,omitempty"`
	Health     Health     `json:"health"`
}

// Asker is who asks, and what he may see.
type Asker struct {
	Name   string
	Within reach.Reach
}

// sees tells whether the asker may see a source: its messages are about anything
// of its tenant, so that all of that has to be within his reach.
func (a Asker) sees(tenant string) bool {
	if tenant == "" {
		return a.Within.Everything()
	}
	return a.Within.CoversWhole(tenant)
}

// read takes a row apart.
func (s *Service) read(r row) (*source, error) {
	one := &source{row: r, secrets: Secrets{}}
	if err := json.Unmarshal([]byte(r.Doc), &one.content); err != nil {
		return nil, fmt.Errorf("source: the alert source %s: %w", r.ID, err)
	}
	one.content.Enabled = r.Enabled
	if r.Secrets != "" {
		text, err := s.deps.Box.OpenString(r.Secrets, sealKind+":"+r.ID)
		if err != nil {
			return nil, fmt.Errorf("source: the secrets of %s: %w", r.Name, err)
		}
		if err := json.Unmarshal([]byte(text), &one.secrets); err != nil {
			return nil, fmt.Errorf("source: the secrets of %s: %w", r.Name, err)
		}
	}
	return one, nil
}

// fill puts content and secrets into the row.
func (s *Service) fill(r *row, a Asker, c Content, secrets Secrets) error {
	doc, err := json.Marshal(c)
	if err != nil {
		return fmt.Errorf("source: %w", err)
	}
	r.Name, r.Tenant, r.Doc, r.Enabled, r.UpdatedBy, r.UpdatedAt, r.Secrets = c.Name, c.Tenant, string(doc), c.Enabled, a.Name, s.now().UnixMilli(), ""
	if len(secrets) == 0 {
		return nil
	}
	text, _ := json.Marshal(secrets) // texts always encode
	if r.Secrets, err = s.deps.Box.SealString(string(text), sealKind+":"+r.ID); err != nil {
		return fmt.Errorf("source: %w", err)
	}
	return nil
}

func (one *source) view(h Health) View {
	v := View{ID: one.ID, Content: one.content, SecretsSet: []string{}, Revision: one.Revision, CreatedAt: time.UnixMilli(one.CreatedAt).UTC(), UpdatedAt: time.UnixMilli(one.UpdatedAt).UTC(), UpdatedBy: one.UpdatedBy, Health: h}
	for name := range one.secrets {
		v.SecretsSet = append(v.SecretsSet, name)
	}
	slices.Sort(v.SecretsSet)
	if one.RemovedAt > 0 {
		t := time.UnixMilli(one.RemovedAt).UTC()
		v.RemovedAt = &t
	}
	return v
}

// Query chooses sources.
type Query struct {
	Text, Kind, State string
	Removed           bool // those that were deleted, instead
}

// List lists the sources that the asker may see, by name.
func (s *Service) List(ctx context.Context, a Asker, q Query) ([]View, error) {
	var rows []row
	sel := s.db.NewSelect().Model(&rows).OrderExpr("name")
	if q.Removed {
		sel = sel.Where("removed_at > 0")
	} else {
		sel = sel.Where("removed_at = 0")
	}
	if err := sel.Scan(ctx); err != nil {
		return nil, fmt.Errorf("source: list the alert sources: %w", err)
	}
	health, err := s.healths(ctx)
	if err != nil {
		return nil, err
	}
	out := []View{}
	if s.deps.Others != nil && a.Within.Everything() && !q.Removed {
		others, err := s.deps.Others(ctx)
		if err != nil {
			return nil, err
		}
		for _, v := range others {
			if matches(v, q) {
				out = append(out, v)
			}
		}
	}
	for _, r := range rows {
		if !a.sees(r.Tenant) {
			continue
		}
		one, err := s.read(r)
		if err != nil {
			return nil, err
		}
		v := one.view(s.judge(one, health[r.ID]))
		if matches(v, q) {
			out = append(out, v)
		}
	}
	return out, nil
}

func matches(v View, q Query) bool {
	text := strings.ToLower(q.Text)
	return (text == "" || strings.Contains(strings.ToLower(v.Name+"\n"+v.Description), text)) && (q.Kind == "" || v.Kind == q.Kind) && (q.State == "" || v.Health.State == q.State)
}

// get reads a source that the asker may see.
func (s *Service) get(ctx context.Context, a Asker, id string, removed bool) (*source, error) {
	var rows []row
	if err := s.db.NewSelect().Model(&rows).Where("id = ?", id).Scan(ctx); err != nil {
		return nil, fmt.Errorf("source: read the alert source %s: %w", id, err)
	}
	if len(rows) == 0 || !a.sees(rows[0].Tenant) || removed != (rows[0].RemovedAt > 0) {
		return nil, ErrNotFound
	}
	return s.read(rows[0])
}

// Get returns one source.
func (s *Service) Get(ctx context.Context, a Asker, id string) (View, error) {
	one, err := s.get(ctx, a, id, false)
	if err != nil {
		return View{}, err
	}
	health, err := s.healths(ctx)
	return one.view(s.judge(one, health[id])), err
}

// check says what is wrong with a content that the asker wants.
func (s *Service) check(ctx context.Context, a Asker, c *Content) (Template, error) {
	c.complete()
	t, err := s.template(ctx, c.Template)
	if err != nil {
		return t, fmt.Errorf("%w: template: %w", ErrInvalid, err)
	}
	if err := c.check(t); err != nil {
		return t, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	if c.Tenant != "" && s.deps.Tenant != nil && !s.deps.Tenant(c.Tenant) || !a.sees(c.Tenant) {
		if c.Tenant == "" {
			return t, fmt.Errorf("%w: tenant: name one: only who reaches everything may leave it to the items", ErrInvalid)
		}
		return t, fmt.Errorf("%w: tenant: %q is none that you reach as a whole", ErrInvalid, clip(c.Tenant, 64))
	}
	if _, err := NewMapper(t, c.Mapping, c.Corrections, s.deps.Dictionary()); err != nil {
		return t, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	if c.Kind == KindMail && c.Enabled && s.deps.MailDomain == "" {
		return t, fmt.Errorf("%w: kind: no mail is taken here: set alert_mail.listen in the configuration first", ErrInvalid)
	}
	if c.Events != nil && s.deps.CheckFilter != nil {
		if err := s.deps.CheckFilter(c.Events.Filter); err != nil {
			return t, fmt.Errorf("%w: events.filter: %w", ErrInvalid, err)
		}
	}
	if c.Kafka != nil && c.Kafka.CA != "" {
		if _, err := roots(c.Kafka.CA); err != nil {
			return t, fmt.Errorf("%w: kafka.ca: %w", ErrInvalid, err)
		}
	}
	return t, nil
}

// lacks names the secrets that a source needs and has not.
func (c *Content) lacks(secrets Secrets) error {
	if c.Kafka != nil && c.Kafka.Mechanism != "" && secrets[Password] == "" {
		return fmt.Errorf("%w: secrets.password: signing in by %s needs one", ErrInvalid, c.Kafka.Mechanism)
	}
	return nil
}

// newToken makes a token of 160 random bits; it fits where only letters and
// digits do: a path, the local part of a mail address.
func newToken() string {
	b := make([]byte, 20)
	_, _ = rand.Read(b) // never fails since Go 1.24
	return hex.EncodeToString(b)
}

func newID() string {
	b := make([]byte, 8)
	_, _ = rand.Read(b)
	return hex.EncodeToString(b)
}

// Create makes a source. Its token is told this once.
func (s *Service) Create(ctx context.Context, a Asker, c Content, secrets Secrets) (v View, token string, err error) {
	if _, err := s.check(ctx, a, &c); err != nil {
		return v, "", err
	}
	if err := c.lacks(secrets); err != nil && c.Enabled {
		return v, "", err
	}
	token = newToken()
	r := row{ID: newID(), Token: digest(token), Revision: 1, CreatedAt: s.now().UnixMilli()}
	if err := s.fill(&r, a, c, secrets); err != nil {
		return v, "", err
	}
	err = s.db.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
		if err := free(ctx, tx, c.Name, r.ID); err != nil {
			return err
		}
		if _, err := tx.NewInsert().Model(&r).Exec(ctx); err != nil {
			return err
		}
		_, err := tx.NewInsert().Model(&healthRow{Source: r.ID}).Exec(ctx)
		return err
	})
	if err != nil {
		return v, "", fmt.Errorf("source: make an alert source: %w", err)
	}
	if err := s.Reload(ctx); err != nil {
		return v, "", err
	}
	v, err = s.Get(ctx, a, r.ID)
	return v, token, err
}

// free refuses a name that another source has.
func free(ctx context.Context, tx bun.Tx, name, id string) error {
	taken, err := tx.NewSelect().Model((*row)(nil)).Where("name = ? AND removed_at = 0 AND id <> ?", name, id).Exists(ctx)
	if err == nil && taken {
		err = fmt.Errorf("%w: there is an alert source %q already", ErrConflict, name)
	}
	return err
}

// Update replaces what a source says, where its revision is still the one that
// was read. Secrets that are not named stay, empty ones are removed; they go
// where the brokers change, which must not get the password of others.
func (s *Service) Update(ctx context.Context, a Asker, id string, revision int64, c Content, secrets Secrets) (before, after View, err error) {
	one, err := s.get(ctx, a, id, false)
	if err != nil {
		return before, after, err
	}
	before = one.view(Health{})
	if _, err := s.check(ctx, a, &c); err != nil {
		return before, after, err
	}
	if c.Kind != one.content.Kind {
		return before, after, fmt.Errorf("%w: kind: it stays %s: make another source", ErrInvalid, one.content.Kind)
	}
	if c.Tenant != one.content.Tenant { // The messages that came are the former tenant's, and are read by the source.
		return before, after, fmt.Errorf("%w: tenant: it stays %q: make another source", ErrInvalid, one.content.Tenant)
	}
	merged := merge(one, &c, secrets)
	if err := c.lacks(merged); err != nil && c.Enabled {
		return before, after, err
	}
	r := one.row
	if err := s.fill(&r, a, c, merged); err != nil {
		return before, after, err
	}
	if err := s.save(ctx, &r, revision); err != nil {
		return before, after, err
	}
	after, err = s.Get(ctx, a, id)
	return before, after, err
}

// merge puts the secrets given over those there are.
func merge(one *source, c *Content, given Secrets) Secrets {
	out := Secrets{}
	if one.content.Kafka == nil || c.Kafka == nil || slices.Equal(one.content.Kafka.Brokers, c.Kafka.Brokers) && one.content.Kafka.Username == c.Kafka.Username && (c.Kafka.TLS || !one.content.Kafka.TLS) {
		for k, v := range one.secrets {
			out[k] = v
		}
	}
	for k, v := range given {
		if v == "" {
			delete(out, k)
		} else if k == Password {
			out[k] = v
		}
	}
	return out
}

// save writes a row whose revision is still the one that was read; 0 is any.
func (s *Service) save(ctx context.Context, r *row, revision int64) error {
	if revision != 0 && revision != r.Revision {
		return fmt.Errorf("%w: it was changed meanwhile by %s: read it again", ErrConflict, r.UpdatedBy)
	}
	was := r.Revision
	r.Revision++
	err := s.db.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
		if r.RemovedAt == 0 {
			if err := free(ctx, tx, r.Name, r.ID); err != nil {
				return err
			}
		}
		res, err := tx.NewUpdate().Model(r).WherePK().Where("revision = ?", was).Exec(ctx)
		if err != nil {
			return err
		}
		if n, err := res.RowsAffected(); err == nil && n == 0 {
			return fmt.Errorf("%w: it was changed meanwhile: read it again", ErrConflict)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("source: save %s: %w", r.Name, err)
	}
	return s.Reload(ctx)
}

// change changes one thing of a source.
func (s *Service) change(ctx context.Context, a Asker, id string, removed bool, f func(one *source) error) (View, error) {
	one, err := s.get(ctx, a, id, removed)
	if err != nil {
		return View{}, err
	}
	if err := f(one); err != nil {
		return View{}, err
	}
	one.UpdatedBy, one.UpdatedAt = a.Name, s.now().UnixMilli()
	if err := s.save(ctx, &one.row, 0); err != nil {
		return View{}, err
	}
	if one.RemovedAt > 0 {
		return one.view(Health{}), nil
	}
	return s.Get(ctx, a, id)
}

// Enable starts or stops a source. One that is stopped takes nothing: who pushes
// is told so, what is fetched waits where it is.
func (s *Service) Enable(ctx context.Context, a Asker, id string, on bool) (View, error) {
	return s.change(ctx, a, id, false, func(one *source) error {
		one.Enabled = on
		if on {
			return one.content.lacks(one.secrets)
		}
		return nil
	})
}

// Renew gives a source a new token; the one before is worth nothing from then on.
func (s *Service) Renew(ctx context.Context, a Asker, id string) (v View, token string, err error) {
	token = newToken()
	v, err = s.change(ctx, a, id, false, func(one *source) error {
		one.Token = digest(token)
		return nil
	})
	return v, token, err
}

// keepRemoved is how long a source that was deleted can be restored.
const keepRemoved = 30 * 24 * time.Hour

// Delete takes a source away. Its alerts that fire end; it can be restored for
// 30 days.
func (s *Service) Delete(ctx context.Context, a Asker, id string) (View, error) {
	v, err := s.change(ctx, a, id, false, func(one *source) error {
		one.RemovedAt = s.now().UnixMilli()
		return nil
	})
	if err != nil {
		return v, err
	}
	_, err = s.db.NewUpdate().Model((*alertRow)(nil)).Set("ends_at = ?", s.now().UnixMilli()).Set("said = ?", false).
		Where("source = ? AND over < firing AND (ends_at = 0 OR ends_at > ?)", id, s.now().UnixMilli()).Exec(ctx)
	if err != nil {
		return v, fmt.Errorf("source: end the alerts of %s: %w", v.Name, err)
	}
	poke(s.wake)
	return v, nil
}

// Restore brings a source back that was deleted.
func (s *Service) Restore(ctx context.Context, a Asker, id string) (View, error) {
	return s.change(ctx, a, id, true, func(one *source) error {
		one.RemovedAt = 0
		return nil
	})
}

// purge forgets what was deleted long ago, and alerts that were over.
func (s *Service) purge(ctx context.Context) error {
	old := s.now().Add(-keepRemoved).UnixMilli()
	_, err1 := s.db.NewDelete().Model((*row)(nil)).Where("removed_at > 0 AND removed_at < ?", old).Exec(ctx)
	_, err2 := s.db.NewDelete().Model((*alertRow)(nil)).Where("over = firing AND updated_at < ?", old).Exec(ctx)
	return errors.Join(err1, err2)
}
