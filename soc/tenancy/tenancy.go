// Package tenancy knows the tenants: which government applications there are,
// what each is called, and under which account id of the lake its data lies.
// The catalogue entries are files, tenants/<slug>/tenant.yaml; the account ids
// are given out once and kept in the state for ever.
package tenancy

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/uptrace/bun"

	"icewatch/soc/state"
)

// The tenants that exist without a catalogue entry.
const (
	// Unassigned owns the events nobody could be found for. Only city-level
	// analysts see it.
	Unassigned = "unassigned"
	// City owns what is the city's own: shared networks and devices, the
	// audit trail, the suite's own logs.
	City = "city"
)

const (
	unassignedAccount = 1
	cityAccount       = 2
	// firstAccount is the first id of a catalogue tenant; those below are
	// kept for tenants that later releases may build in.
	firstAccount = 100
)

//go:embed migrations/*.sql
var migrations embed.FS

// Text is a name in the suite's two languages.
type Text struct {
	ZH string `json:"zh,omitempty" yaml:"zh"`
	EN string `json:"en,omitempty" yaml:"en"`
}

// Tenant is one monitored government application or unit with a data space of
// its own.
type Tenant struct {
	Slug            string    `json:"slug"`
	AccountID       uint32    `json:"account_id"` // of the lake; persisted, never reused
	Name            Text      `json:"name"`
	Domain          string    `json:"domain"`           // catalogue heading, e.g. "service-hall"
	ProtectionLevel int       `json:"protection_level"` // classified protection (等级保护), 1 to 5; 0 is not graded
	Retention       string    `json:"retention"`        // retention class of the lake
	CreatedAt       time.Time `json:"created_at"`       // when this installation first saw it
	BuiltIn         bool      `json:"built_in"`         // Unassigned and City
	Facts

	Subsystems      []Text   `json:"subsystems,omitempty"`
	Interfaces      []string `json:"interfaces,omitempty"`
	KeyTransactions []string `json:"key_transactions,omitempty"`
	SensitiveData   []string `json:"sensitive_data,omitempty"`

	removal *Removal // nil where nobody removed it
}

// Criticality is what a business system of this tenant starts with, 1 to 5,
// derived from the protection level: each level counts one more than itself,
// since level 1 systems are still production systems and level 4 already
// concerns national security (GB/T 22240). A tenant that is not graded is 3.
func (t Tenant) Criticality() int {
	if t.ProtectionLevel <= 0 {
		return 3
	}
	return min(t.ProtectionLevel+1, 5)
}

var slugPattern = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`)

// ValidSlug returns an error that says why s cannot be a tenant's slug. A slug
// is a DNS label (RFC 1123), so that it is safe in host names, headers, paths
// and bus subjects.
func ValidSlug(s string) error {
	if !slugPattern.MatchString(s) {
		return fmt.Errorf("slug %q: want 1 to 63 of a-z, 0-9 and '-', neither first nor last a '-'", s)
	}
	return nil
}

// Registry is the set of tenants. It is safe for concurrent use; look-ups take
// no lock.
type Registry struct {
	db       *state.DB
	view     atomic.Pointer[view]
	changing sync.Mutex // held by who changes the view
	changed  func()
}

type view struct {
	all       []Tenant // by slug, those removed too
	list      []Tenant // by slug
	bySlug    map[string]int
	byAccount map[uint32]int
}

// Open loads the catalogue entries from the file systems (each holds
// <slug>/tenant.yaml), gives every new slug an account id and keeps it. A
// tenant whose entry is gone is hidden, and comes back with its old id when the
// entry does. Any mistake in any entry stops the start, named by file and line.
func Open(ctx context.Context, db *state.DB, catalogues ...fs.FS) (*Registry, error) {
	if err := db.Migrate(ctx, "tenancy", migrations); err != nil {
		return nil, fmt.Errorf("tenancy: %w", err)
	}
	r := &Registry{db: db}
	if err := r.Reload(ctx, catalogues...); err != nil {
		return nil, err
	}
	return r, nil
}

// Reload reads the catalogues anew, as Open does. On an error the registry
// stays as it was.
func (r *Registry) Reload(ctx context.Context, catalogues ...fs.FS) error {
	r.changing.Lock()
	defer r.changing.Unlock()
	tenants := []Tenant{
		{Slug: City, AccountID: cityAccount, BuiltIn: true, Domain: "city", Retention: defaultRetention, Name: Text{ZH: "全市公共", EN: "City-wide"}},
		{Slug: Unassigned, AccountID: unassignedAccount, BuiltIn: true, Domain: "city", Retention: defaultRetention, Name: Text{ZH: "未归属", EN: "Unassigned"}},
	}
	seen := map[string]string{City: "the built-in tenants", Unassigned: "the built-in tenants"}
	var errs []error
	for i, c := range catalogues {
		loaded, err := loadCatalogue(c)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		for _, t := range loaded {
			if where, ok := seen[t.Slug]; ok {
				errs = append(errs, fmt.Errorf("%s/tenant.yaml of catalogue %d: the slug %q is taken by %s", t.Slug, i+1, t.Slug, where))
				continue
			}
			seen[t.Slug] = fmt.Sprintf("catalogue %d", i+1)
			tenants = append(tenants, t)
		}
	}
	if len(errs) > 0 {
		return fmt.Errorf("tenancy: load the tenants: %w", errors.Join(errs...))
	}
	slices.SortFunc(tenants, func(a, b Tenant) int { return strings.Compare(a.Slug, b.Slug) })
	if err := r.assign(ctx, tenants); err != nil {
		return fmt.Errorf("tenancy: keep account ids in %s: %w", r.db.Path(), err)
	}
	r.show(tenants)
	return nil
}

type row struct {
	bun.BaseModel `bun:"table:tenants,alias:t"`
	AccountID     int64  `bun:"account_id,pk"`
	Slug          string `bun:"slug"`
	CreatedAt     int64  `bun:"created_at"`
	RemovedAt     *int64 `bun:"removed_at"`
	factRow
	removalRow
}

// assign fills in AccountID and CreatedAt, and writes what is new or gone.
func (r *Registry) assign(ctx context.Context, tenants []Tenant) error {
	return r.db.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
		var rows []row
		if err := tx.NewSelect().Model(&rows).Order("account_id").Scan(ctx); err != nil {
			return err
		}
		known := make(map[string]row, len(rows))
		next := int64(firstAccount)
		for _, x := range rows {
			known[x.Slug] = x
			next = max(next, x.AccountID+1)
		}
		now := time.Now().UnixMilli()
		for i := range tenants {
			t := &tenants[i]
			x, ok := known[t.Slug]
			delete(known, t.Slug)
			switch {
			case !ok:
				x = row{AccountID: int64(t.AccountID), Slug: t.Slug, CreatedAt: now, factRow: factRow{Labels: "[]"}}
				if !t.BuiltIn {
					x.AccountID = next
					next++
				}
				if x.AccountID > math.MaxUint32 {
					return fmt.Errorf("tenant %q: all account ids are used up", t.Slug)
				}
				if _, err := tx.NewInsert().Model(&x).Exec(ctx); err != nil {
					return fmt.Errorf("add tenant %q: %w", t.Slug, err)
				}
			case x.RemovedAt != nil:
				x.RemovedAt = nil
				if _, err := tx.NewUpdate().Model(&x).Column("removed_at").WherePK().Exec(ctx); err != nil {
					return fmt.Errorf("bring back tenant %q: %w", t.Slug, err)
				}
			}
			t.AccountID, t.CreatedAt, t.removal = uint32(x.AccountID), time.UnixMilli(x.CreatedAt).UTC(), x.removal()
			if x.Class != "" {
				t.Retention = x.Class
			}
			var err error
			if t.Facts, err = x.facts(); err != nil {
				return fmt.Errorf("tenant %q: %w", t.Slug, err)
			}
		}
		for _, x := range known {
			if x.RemovedAt != nil {
				continue
			}
			x.RemovedAt = &now
			if _, err := tx.NewUpdate().Model(&x).Column("removed_at").WherePK().Exec(ctx); err != nil {
				return fmt.Errorf("hide tenant %q: %w", x.Slug, err)
			}
		}
		return nil
	})
}

// Get returns the tenant with this slug. A hidden tenant is not there.
func (r *Registry) Get(slug string) (Tenant, bool) {
	v := r.view.Load()
	i, ok := v.bySlug[slug]
	if !ok {
		return Tenant{}, false
	}
	return v.list[i], true
}

// ByAccount returns the tenant whose data lies under this account id.
func (r *Registry) ByAccount(id uint32) (Tenant, bool) {
	v := r.view.Load()
	i, ok := v.byAccount[id]
	if !ok {
		return Tenant{}, false
	}
	return v.list[i], true
}

// List returns all tenants, the built-in ones too, ordered by slug. The slice
// is the caller's.
func (r *Registry) List() []Tenant { return slices.Clone(r.view.Load().list) }
