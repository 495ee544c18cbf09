package tenancy

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/uptrace/bun"
)

// ErrBuiltIn says that a tenant is the suite's own and cannot be removed.
var ErrBuiltIn = errors.New("tenancy: the tenant is built in and cannot be removed")

// ErrTooLate says that a removed tenant can no longer be restored.
var ErrTooLate = errors.New("tenancy: the time to restore the tenant is over")

// maxReason bounds why a tenant was removed, in characters.
const maxReason = 500

// Removal is when, by whom and why a tenant was removed.
type Removal struct {
	At     time.Time
	By     string
	Reason string
}

// Removed is a tenant that somebody removed.
type Removed struct {
	Tenant
	Removal
}

// removalRow is the part of a tenant's row that Remove and SetClass write.
type removalRow struct {
	DeletedAt *int64 `bun:"deleted_at"`
	DeletedBy string `bun:"deleted_by"`
	Reason    string `bun:"reason"`
	Class     string `bun:"class"`
}

func (r removalRow) removal() *Removal {
	if r.DeletedAt == nil {
		return nil
	}
	return &Removal{time.UnixMilli(*r.DeletedAt).UTC(), r.DeletedBy, r.Reason}
}

// Remove hides a tenant: from then on it is not there for anybody, and whoever
// listens (see OnChange) has been told so before Remove returns. Its data stays
// in the lake until retention takes it. Slug and account id are never given to
// another.
func (r *Registry) Remove(ctx context.Context, slug, by, reason string) (Removal, error) {
	reason = strings.TrimSpace(reason)
	if n := utf8.RuneCountInString(reason); n == 0 || n > maxReason || !utf8.ValidString(reason) {
		return Removal{}, fmt.Errorf("%w: reason: %d characters, 1 to %d are expected", ErrInvalid, n, maxReason)
	}
	r.changing.Lock()
	defer r.changing.Unlock()
	t, ok := r.Get(slug)
	switch {
	case !ok:
		return Removal{}, fmt.Errorf("%w: %q", ErrNotFound, slug)
	case t.BuiltIn:
		return Removal{}, fmt.Errorf("%w: %q", ErrBuiltIn, slug)
	}
	gone := Removal{time.Now().UTC().Truncate(time.Millisecond), by, reason}
	at := gone.At.UnixMilli()
	x := row{AccountID: int64(t.AccountID), removalRow: removalRow{DeletedAt: &at, DeletedBy: by, Reason: reason}}
	if err := r.write(ctx, &x, "deleted_at", "deleted_by", "reason"); err != nil {
		return Removal{}, fmt.Errorf("tenancy: remove %q: %w", slug, err)
	}
	r.amend(slug, func(t *Tenant) { t.removal = &gone })
	return gone, nil
}

// Restore brings a removed tenant back with all its data, if it was removed no
// longer than within ago.
func (r *Registry) Restore(ctx context.Context, slug string, within time.Duration) (Tenant, error) {
	r.changing.Lock()
	defer r.changing.Unlock()
	all := r.view.Load().all
	i := slices.IndexFunc(all, func(t Tenant) bool { return t.Slug == slug && t.removal != nil })
	if i < 0 {
		return Tenant{}, fmt.Errorf("%w: %q was not removed", ErrNotFound, slug)
	}
	if until := all[i].removal.At.Add(within); time.Now().After(until) {
		return Tenant{}, fmt.Errorf("%w: %q could be restored until %s", ErrTooLate, slug, until.Format(time.RFC3339))
	}
	x := row{AccountID: int64(all[i].AccountID)}
	if err := r.write(ctx, &x, "deleted_at", "deleted_by", "reason"); err != nil {
		return Tenant{}, fmt.Errorf("tenancy: restore %q: %w", slug, err)
	}
	r.amend(slug, func(t *Tenant) { t.removal = nil })
	t, _ := r.Get(slug)
	return t, nil
}

// Removed lists the removed tenants, the latest first.
func (r *Registry) Removed() []Removed {
	var out []Removed
	for _, t := range r.view.Load().all {
		if t.removal != nil {
			out = append(out, Removed{t, *t.removal})
		}
	}
	slices.SortFunc(out, func(a, b Removed) int { return b.At.Compare(a.At) })
	return out
}

// SetClass puts a tenant into another retention class. What it brought before
// stays where it is. Whether the class may be is for the caller to know.
func (r *Registry) SetClass(ctx context.Context, slug, class string) (Tenant, error) {
	r.changing.Lock()
	defer r.changing.Unlock()
	t, ok := r.Get(slug)
	if !ok {
		return Tenant{}, fmt.Errorf("%w: %q", ErrNotFound, slug)
	}
	x := row{AccountID: int64(t.AccountID), removalRow: removalRow{Class: class}}
	if err := r.write(ctx, &x, "class"); err != nil {
		return Tenant{}, fmt.Errorf("tenancy: put %q into the class %s: %w", slug, class, err)
	}
	r.amend(slug, func(t *Tenant) { t.Retention = class })
	t, _ = r.Get(slug)
	return t, nil
}

// write updates the columns of a tenant's row.
func (r *Registry) write(ctx context.Context, x *row, columns ...string) error {
	return r.db.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
		_, err := tx.NewUpdate().Model(x).Column(columns...).WherePK().Exec(ctx)
		return err
	})
}

// amend changes one tenant in a new view, puts that in force and tells of it.
func (r *Registry) amend(slug string, change func(t *Tenant)) {
	all := slices.Clone(r.view.Load().all)
	for i := range all {
		if all[i].Slug == slug {
			change(&all[i])
		}
	}
	r.show(all)
}

// show puts tenants in force: those that nobody removed.
func (r *Registry) show(all []Tenant) {
	v := &view{all: all, bySlug: make(map[string]int, len(all)), byAccount: make(map[uint32]int, len(all))}
	for _, t := range all {
		if t.removal == nil {
			v.bySlug[t.Slug], v.byAccount[t.AccountID] = len(v.list), len(v.list)
			v.list = append(v.list, t)
		}
	}
	r.view.Store(v)
	if r.changed != nil {
		r.changed()
	}
}
