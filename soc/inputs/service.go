package inputs

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/uptrace/bun"

	"icewatch/soc/intake"
)

// Query narrows a list.
type Query struct {
	Text    string // part of name, note, kind or a tag
	Kind    string
	Tenant  string
	State   string // of the health
	Deleted bool   // those that were deleted, instead
}

// sees tells whether an asker may look at an input.
func sees(a Asker, tenant string) bool {
	return a.Within.Everything() || tenant != "" && a.Within.CoversWhole(tenant)
}

// may tells why an asker may not have an input of a kind and a tenant.
func (s *Service) may(a Asker, k *kind, tenant string) error {
	switch {
	case a.Within.Everything():
		return nil
	case k.way != wayFetch:
		return fmt.Errorf("%w: an input that listens on this machine, or reads its files, needs the reach over all tenants", ErrForbidden)
	case tenant == "":
		return fmt.Errorf("%w: tenant: name yours: events without one may be anybody's", ErrForbidden)
	case !a.Within.CoversWhole(tenant):
		return fmt.Errorf("%w: tenant: %.64q is not, or not wholly, within your reach", ErrForbidden, tenant)
	}
	return nil
}

// row reads an input that the asker may look at, a deleted one where deleted
// says so.
func (s *Service) row(ctx context.Context, a Asker, id string, deleted bool) (*row, error) {
	var list []row
	q := s.db.NewSelect().Model(&list).Where("id = ?", id)
	if deleted {
		q = q.Where("deleted_at <> 0")
	} else {
		q = q.Where("deleted_at = 0")
	}
	if err := q.Scan(ctx); err != nil {
		return nil, fmt.Errorf("inputs: read %s: %w", id, err)
	}
	if len(list) == 0 || !sees(a, list[0].Tenant) {
		return nil, ErrNotFound
	}
	return &list[0], nil
}

// List lists the inputs within an asker's reach, by name.
func (s *Service) List(ctx context.Context, a Asker, q Query) ([]View, error) {
	var list []row
	sel := s.db.NewSelect().Model(&list).Order("name", "id")
	if q.Deleted {
		sel = sel.Where("deleted_at <> 0")
	} else {
		sel = sel.Where("deleted_at = 0")
	}
	if err := sel.Scan(ctx); err != nil {
		return nil, fmt.Errorf("inputs: read the list: %w", err)
	}
	out := []View{}
	for i := range list {
		r := &list[i]
		if !sees(a, r.Tenant) || q.Kind != "" && r.Kind != q.Kind || q.Tenant != "" && r.Tenant != q.Tenant {
			continue
		}
		if t := strings.ToLower(q.Text); t != "" && !strings.Contains(strings.ToLower(r.Name+"\x00"+r.Note+"\x00"+r.Kind+"\x00"+r.Tags), t) {
			continue
		}
		v, err := s.view(r)
		if err != nil {
			return nil, err
		}
		if q.State == "" || v.Health.State == q.State {
			out = append(out, v)
		}
	}
	return out, nil
}

// Get reads one input.
func (s *Service) Get(ctx context.Context, a Asker, id string) (View, error) {
	r, err := s.row(ctx, a, id, false)
	if err != nil {
		return View{}, err
	}
	return s.view(r)
}

// checked completes and checks a content. before is the input as it was, nil
// for a new one. What comes back has settings without secrets.
func (s *Service) checked(a Asker, id string, c Content, before *row) (Content, secrets, error) {
	c.Name, c.Note, c.Zone = strings.TrimSpace(c.Name), strings.TrimSpace(c.Note), strings.TrimSpace(c.Zone)
	var wrong []Fault
	add := func(field, format string, args ...any) {
		wrong = append(wrong, Fault{field, fmt.Sprintf(format, args...)})
	}
	if n := utf8.RuneCountInString(c.Name); n == 0 || n > maxName || strings.ContainsFunc(c.Name, unicode.IsControl) {
		add("name", "1 to %d characters are right", maxName)
	}
	if utf8.RuneCountInString(c.Note) > maxNote {
		add("note", "%d characters are the most", maxNote)
	}
	if utf8.RuneCountInString(c.Zone) > maxName || strings.ContainsFunc(c.Zone, unicode.IsControl) {
		add("zone", "a name of at most %d characters is right", maxName)
	}
	if len(c.Tags) > maxTags {
		add("tags", "there are %d: %d are the most", len(c.Tags), maxTags)
	}
	for i, t := range c.Tags {
		if c.Tags[i] = strings.TrimSpace(t); c.Tags[i] == "" || utf8.RuneCountInString(t) > maxTag || strings.ContainsFunc(t, unicode.IsControl) {
			add(fmt.Sprintf("tags[%d]", i), "1 to %d characters are right", maxTag)
		}
	}
	if c.Tenant != "" && !s.deps.Tenant(c.Tenant) {
		add("tenant", "there is no tenant %.64q", c.Tenant)
	}
	k := s.kinds[c.Kind]
	if k == nil {
		add("kind", "%.64q is none: %s are there", c.Kind, strings.Join(s.order, ", "))
		return c, nil, &Invalid{wrong}
	}
	if before != nil && before.Kind != c.Kind {
		add("kind", "it is %s and stays so: make another input", before.Kind)
		return c, nil, &Invalid{wrong}
	}
	if err := s.may(a, k, c.Tenant); err != nil {
		return c, nil, err
	}
	doc, err := document(c.Settings)
	if err != nil {
		return c, nil, err
	}
	given := takeSecrets(k.schema, doc)
	if faults := k.check(doc); len(faults) > 0 {
		// A secret that is required and was taken out is not missing.
		for _, f := range faults {
			if path := strings.TrimPrefix(f.Field, "settings."); f.Message != "it is missing" || !k.secretAt(path) {
				wrong = append(wrong, f)
			}
		}
	}
	all, err := s.merged(k, before, doc, given)
	if err != nil {
		return c, nil, err
	}
	if len(wrong) > 0 {
		return c, nil, &Invalid{wrong}
	}
	bare, err := json.Marshal(doc)
	if err != nil {
		return c, nil, fmt.Errorf("inputs: %w", err)
	}
	c.Settings = bare
	all = putSecrets(k.schema, doc, all)
	if faults := k.check(doc); len(faults) > 0 {
		if c.Enabled || slices.ContainsFunc(faults, func(f Fault) bool { return f.Message != "it is missing" }) {
			return c, nil, &Invalid{faults}
		}
		return c, all, nil // paused until the secrets that it lacks are given
	}
	if err := s.makes(k, id, c, doc); err != nil {
		return c, nil, err
	}
	return c, all, nil
}

// secretAt tells whether a path without lists names a secret.
func (k *kind) secretAt(path string) bool {
	s := k.schema
	for name := range strings.SplitSeq(path, ".") {
		if s = s.Properties[name]; s == nil {
			return false
		}
	}
	return secret(s)
}

// merged are the secrets after a change: what is not given stays, null removes.
// Where the place changes that they are sent to, they have to be given anew: who
// may edit an input must not learn its secrets by pointing it at himself.
func (s *Service) merged(k *kind, before *row, doc map[string]any, given secrets) (secrets, error) {
	out := secrets{}
	if before != nil {
		kept, err := s.secrets(before)
		if err != nil {
			kept = secrets{} // lost with the key: they are given anew
		}
		old, err := document(json.RawMessage(before.Settings))
		if err != nil {
			return nil, err
		}
		room := putSecrets(k.schema, clone(doc), kept)
		same := k.way != wayFetch || reflect.DeepEqual(addresses(k.schema, old), addresses(k.schema, doc))
		for _, path := range room.names() {
			if _, anew := given[path]; anew {
				continue
			}
			if !same {
				return nil, invalid("settings."+path, "the address or its protection changes, so the secret has to be given again")
			}
			out[path] = kept[path]
		}
	}
	for path, v := range given {
		if v != nil {
			out[path] = v
		}
	}
	return out, nil
}

// clone copies a document of JSON.
func clone(doc map[string]any) map[string]any {
	text, _ := json.Marshal(doc) // it came out of JSON
	out := map[string]any{}
	_ = json.Unmarshal(text, &out)
	return out
}

// nowhere is a sink for collectors that are only made to see whether they can be.
type nowhere struct{}

// Append implements intake.Sink.
func (nowhere) Append(context.Context, []intake.Record) error { return intake.ErrClosed }

// makes sees whether a collector can be made of settings.
func (s *Service) makes(k *kind, id string, c Content, doc map[string]any) error {
	cfg, err := k.config(id, c.Tenant, c.Zone, doc)
	if err != nil {
		return err
	}
	if s.deps.Prepare != nil {
		if err := s.deps.Prepare(id, cfg); err != nil {
			return &Invalid{[]Fault{k.blame(id, err)}}
		}
	}
	deps := s.deps.Collectors(k.waits)
	deps.Sink, deps.Places, deps.Metrics = nowhere{}, s.places(id), nil
	err = guarded(func() error { _, err := k.factory.New(cfg, deps); return err })
	if err != nil {
		return &Invalid{[]Fault{k.blame(id, err)}}
	}
	return nil
}

// guarded runs what a source's library does; where that panics, it is an error.
func guarded(f func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("the source's library failed: %v", p)
		}
	}()
	return f()
}

// newID makes an id that people can read in events.
func newID(name string) string {
	var b strings.Builder
	for _, r := range strings.ToLower(name) {
		switch {
		case r >= 'a' && r <= 'z' || r >= '0' && r <= '9':
			b.WriteRune(r)
		case b.Len() > 0 && !strings.HasSuffix(b.String(), "-"):
			b.WriteByte('-')
		}
		if b.Len() >= 32 {
			break
		}
	}
	tail := strings.ToLower(rand.Text()[:6])
	if word := strings.Trim(b.String(), "-"); word != "" {
		return "input-" + word + "-" + tail
	}
	return "input-" + tail
}

// Create adds an input, and starts it where it is enabled.
func (s *Service) Create(ctx context.Context, a Asker, c Content) (View, error) {
	id := newID(c.Name)
	c, all, err := s.checked(a, id, c, nil)
	if err != nil {
		return View{}, err
	}
	now := time.Now().UnixMilli()
	r := row{ID: id, Revision: 1, CreatedAt: now, CreatedBy: a.Name, UpdatedAt: now, UpdatedBy: a.Name}
	if err := s.fill(&r, c, all); err != nil {
		return View{}, err
	}
	err = s.db.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
		if err := s.room(ctx, tx, a, c.Tenant); err != nil {
			return err
		}
		if err := free(ctx, tx, r.Name, r.ID); err != nil {
			return err
		}
		_, err := tx.NewInsert().Model(&r).Exec(ctx)
		return err
	})
	if err != nil {
		return View{}, err
	}
	s.apply(r)
	return s.view(&r)
}

// room sees that there may be one more.
func (s *Service) room(ctx context.Context, tx bun.Tx, a Asker, tenant string) error {
	n, err := tx.NewSelect().Model((*row)(nil)).Where("deleted_at = 0").Count(ctx)
	if err != nil {
		return fmt.Errorf("inputs: count them: %w", err)
	}
	if n >= MaxInputs {
		return fmt.Errorf("%w: there are %d, which is the most", ErrConflict, n)
	}
	if a.Within.Everything() {
		return nil
	}
	if n, err = tx.NewSelect().Model((*row)(nil)).Where("deleted_at = 0").Where("tenant = ?", tenant).Count(ctx); err != nil {
		return fmt.Errorf("inputs: count them: %w", err)
	}
	if n >= MaxOfTenant {
		return fmt.Errorf("%w: the tenant has %d, which is the most that its own administrators may make", ErrConflict, n)
	}
	return nil
}

// free sees that no other input has the name.
func free(ctx context.Context, tx bun.Tx, name, id string) error {
	taken, err := tx.NewSelect().Model((*row)(nil)).Where("name = ?", name).Where("id <> ?", id).Where("deleted_at = 0").Exists(ctx)
	if err != nil {
		return fmt.Errorf("inputs: look for the name: %w", err)
	}
	if taken {
		return fmt.Errorf("%w: another input is called %s", ErrConflict, name)
	}
	return nil
}

// Update replaces what an input says, where its revision is still the one that
// was read, and restarts it alone. It returns how it was.
func (s *Service) Update(ctx context.Context, a Asker, id string, revision int64, c Content) (before Content, after View, err error) {
	r, err := s.managed(ctx, a, id, false)
	if err != nil {
		return before, after, err
	}
	before = r.content()
	if r.Revision != revision {
		return before, after, fmt.Errorf("%w: it was changed since it was read: its revision is %d, not %d", ErrConflict, r.Revision, revision)
	}
	c, all, err := s.checked(a, id, c, r)
	if err != nil {
		return before, after, err
	}
	if err := s.fill(r, c, all); err != nil {
		return before, after, err
	}
	if err := s.change(ctx, a, r); err != nil {
		return before, after, err
	}
	after, err = s.view(r)
	return before, after, err
}

// managed reads an input that the asker may change.
func (s *Service) managed(ctx context.Context, a Asker, id string, deleted bool) (*row, error) {
	r, err := s.row(ctx, a, id, deleted)
	if err != nil {
		return nil, err
	}
	k := s.kinds[r.Kind]
	if k == nil {
		if a.Within.Everything() {
			return r, nil // of a kind that this release does not have: it may be paused and deleted
		}
		return nil, fmt.Errorf("%w: its kind %.40q is none of this release", ErrForbidden, r.Kind)
	}
	return r, s.may(a, k, r.Tenant)
}

// change writes a row anew with the next revision and puts it in force.
func (s *Service) change(ctx context.Context, a Asker, r *row) error {
	revision := r.Revision
	r.Revision, r.UpdatedAt, r.UpdatedBy = revision+1, time.Now().UnixMilli(), a.Name
	err := s.db.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
		if r.DeletedAt == 0 {
			if err := free(ctx, tx, r.Name, r.ID); err != nil {
				return err
			}
		}
		res, err := tx.NewUpdate().Model(r).WherePK().Where("revision = ?", revision).Exec(ctx)
		if err != nil {
			return fmt.Errorf("inputs: keep %s: %w", r.Name, err)
		}
		if n, err := res.RowsAffected(); err != nil || n == 0 {
			return errors.Join(fmt.Errorf("%w: it was changed meanwhile", ErrConflict), err)
		}
		return nil
	})
	if err != nil {
		return err
	}
	s.apply(*r)
	return nil
}

// Enable lets an input run, or pauses it. Its places stay.
func (s *Service) Enable(ctx context.Context, a Asker, id string, on bool) (View, error) {
	r, err := s.managed(ctx, a, id, false)
	if err != nil {
		return View{}, err
	}
	if r.Enabled != on {
		r.Enabled = on
		if on {
			c, all, err := s.checked(a, id, r.content(), r)
			if err == nil {
				err = s.fill(r, c, all)
			}
			if err != nil {
				return View{}, err
			}
		}
		if err := s.change(ctx, a, r); err != nil {
			return View{}, err
		}
	}
	return s.view(r)
}

// Restart stops an input and starts it at once, however long its pause after a
// failure would be.
func (s *Service) Restart(ctx context.Context, a Asker, id string) (View, error) {
	r, err := s.managed(ctx, a, id, false)
	if err != nil {
		return View{}, err
	}
	if !r.Enabled {
		return View{}, fmt.Errorf("%w: it is paused: resume it", ErrConflict)
	}
	s.apply(*r)
	return s.view(r)
}

// Delete stops an input. It can be restored, places and secrets included, for a
// week.
func (s *Service) Delete(ctx context.Context, a Asker, id string) (before Content, err error) {
	r, err := s.managed(ctx, a, id, false)
	if err != nil {
		return before, err
	}
	before = r.content()
	r.DeletedAt = time.Now().UnixMilli()
	return before, s.change(ctx, a, r)
}

// Restore brings back an input that was deleted.
func (s *Service) Restore(ctx context.Context, a Asker, id string) (View, error) {
	r, err := s.managed(ctx, a, id, true)
	if err != nil {
		return View{}, err
	}
	err = s.db.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error { return s.room(ctx, tx, a, r.Tenant) })
	if err != nil {
		return View{}, err
	}
	r.DeletedAt = 0
	if err := s.change(ctx, a, r); err != nil {
		return View{}, err
	}
	return s.view(r)
}

// purge forgets inputs that were deleted longer ago than they can be restored.
func (s *Service) purge(ctx context.Context) error {
	var list []row
	if err := s.db.NewSelect().Model(&list).Column("id").Where("deleted_at <> 0").Where("deleted_at < ?", time.Now().Add(-keepDeleted).UnixMilli()).Scan(ctx); err != nil {
		return fmt.Errorf("inputs: look for deleted ones: %w", err)
	}
	for _, r := range list {
		err := s.db.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
			if _, err := tx.NewDelete().Model((*placeRow)(nil)).Where("input = ?", r.ID).Exec(ctx); err != nil {
				return err
			}
			_, err := tx.NewDelete().Model((*row)(nil)).Where("id = ?", r.ID).Where("deleted_at <> 0").Exec(ctx)
			return err
		})
		if err != nil {
			return fmt.Errorf("inputs: forget %s: %w", r.ID, err)
		}
		if s.deps.Forget != nil {
			s.deps.Forget(r.ID)
		}
	}
	return nil
}
