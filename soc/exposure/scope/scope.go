// Package scope says which addresses of a tenant may be scanned: ranges that one
// person asked for and another one approved, for a time and for a reason, less what
// is excluded. Whatever is not approved is not scanned.
package scope

import (
	"cmp"
	"context"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/uptrace/bun"

	"icewatch/cmdb"
	"icewatch/collectors/fleet/roster"
	"icewatch/soc/reach"
)

//go:embed migrations/*.sql
var migrations embed.FS

//go:embed postgres/*.sql
var postgresMigrations embed.FS

var (
	// ErrNotFound says that there is no such range, or none in reach.
	ErrNotFound = errors.New("scope: there is no such range")
	// ErrInvalid says that what is asked makes no sense.
	ErrInvalid = errors.New("scope: invalid")
	// ErrConflict says that it was decided already.
	ErrConflict = errors.New("scope: conflict")
	// ErrForbidden says that somebody else has to do it.
	ErrForbidden = errors.New("scope: forbidden")
)

// The states of a range. An approved one whose time is over is expired.
const (
	Asked     = "asked"
	Approved  = "approved"
	Rejected  = "rejected"
	Withdrawn = "withdrawn"
	Expired   = "expired"
)

// Bounds.
const (
	MaxDays       = 366
	maxRanges     = 2_000 // of a tenant
	maxExclusions = 200
	maxText       = 1_000
	widest4       = 8  // prefix length
	widest6       = 32 // nobody scans more; what is sparse is found by lists
)

// ScanRange is a range of addresses that may be scanned, or is to be.
type ScanRange struct {
	ID         string    `json:"id"`
	Tenant     string    `json:"tenant"`
	Zone       string    `json:"zone" doc:"Network zone that the addresses are of"`
	CIDR       string    `json:"cidr"`
	Exclusions []string  `json:"exclusions" nullable:"false" doc:"Ranges within that are left alone; they hold for the tenant's other ranges of the zone too"`
	Reason     string    `json:"reason"`
	State      string    `json:"state" enum:"asked,approved,rejected,withdrawn,expired"`
	AskedBy    string    `json:"asked_by"`
	AskedAt    time.Time `json:"asked_at"`
	DecidedBy  string    `json:"decided_by,omitempty"`
	DecidedAt  time.Time `json:"decided_at,omitzero"`
	Note       string    `json:"note,omitempty" doc:"Of who decided"`
	Expires    time.Time `json:"expires_at"`
}

// ScanRangeDraft asks for a range.
type ScanRangeDraft struct {
	Tenant     string   `json:"tenant" minLength:"1" maxLength:"63"`
	Zone       string   `json:"zone,omitempty" maxLength:"200"`
	CIDR       string   `json:"cidr" minLength:"1" maxLength:"64" doc:"An address, or a range such as 10.1.0.0/16"`
	Exclusions []string `json:"exclusions,omitempty" nullable:"false" maxItems:"200"`
	Reason     string   `json:"reason" minLength:"1" maxLength:"1000"`
	Days       int      `json:"days" minimum:"1" maximum:"366" doc:"How long it is to hold"`
}

type row struct {
	bun.BaseModel `bun:"table:exposure_scopes"`
	ID            string `bun:"id,pk"`
	Tenant        string `bun:"tenant"`
	Asked         int64  `bun:"asked"`
	Doc           string `bun:"doc"`
}

// Service keeps the ranges. It is safe for concurrent use.
type Service struct {
	db  *cmdb.Database
	now func() time.Time

	changing sync.Mutex
	mu       sync.RWMutex
	ranges   map[string]ScanRange
}

// Open brings the table up to date and reads the ranges. now is time.Now where nil.
func Open(ctx context.Context, db *cmdb.Database, now func() time.Time) (*Service, error) {
	if now == nil {
		now = time.Now
	}
	if err := db.Migrate(ctx, "exposure_scopes", migrations, postgresMigrations); err != nil {
		return nil, fmt.Errorf("scope: %w", err)
	}
	s := &Service{db: db, now: now, ranges: map[string]ScanRange{}}
	var rows []row
	if err := db.NewSelect().Model(&rows).Scan(ctx); err != nil {
		return nil, fmt.Errorf("scope: read ranges: %w", err)
	}
	for _, r := range rows {
		var x ScanRange
		if err := json.Unmarshal([]byte(r.Doc), &x); err != nil {
			return nil, fmt.Errorf("scope: the range %s cannot be read: %w", r.ID, err)
		}
		s.ranges[r.ID] = x
	}
	return s, nil
}

func (s *Service) put(ctx context.Context, x ScanRange) error {
	doc, err := json.Marshal(x)
	if err != nil {
		return fmt.Errorf("scope: %w", err)
	}
	r := row{ID: x.ID, Tenant: x.Tenant, Asked: x.AskedAt.UnixMilli(), Doc: string(doc)}
	err = s.db.Change(ctx, func(ctx context.Context, tx bun.Tx) error {
		_, err := tx.NewInsert().Model(&r).On("CONFLICT (id) DO UPDATE").Set("doc = EXCLUDED.doc").Exec(ctx)
		return err
	})
	if err != nil {
		return fmt.Errorf("scope: keep a range: %w", err)
	}
	s.mu.Lock()
	s.ranges[x.ID] = x
	s.mu.Unlock()
	return nil
}

// shown is a range as it is now.
func (s *Service) shown(x ScanRange) ScanRange {
	if x.State == Approved && !s.now().Before(x.Expires) {
		x.State = Expired
	}
	if x.Exclusions == nil {
		x.Exclusions = []string{}
	}
	return x
}

// List lists the ranges in reach, the latest first.
func (s *Service) List(r reach.Reach) []ScanRange {
	s.mu.RLock()
	defer s.mu.RUnlock()
	out := []ScanRange{}
	for _, x := range s.ranges {
		if r.CoversWhole(x.Tenant) {
			out = append(out, s.shown(x))
		}
	}
	slices.SortFunc(out, func(a, b ScanRange) int { return cmp.Or(b.AskedAt.Compare(a.AskedAt), strings.Compare(b.ID, a.ID)) })
	return out
}

// Ask asks for a range.
func (s *Service) Ask(ctx context.Context, r reach.Reach, actor string, d ScanRangeDraft) (ScanRange, error) {
	if !r.CoversWhole(d.Tenant) {
		return ScanRange{}, fmt.Errorf("%w: the tenant %q is not within your reach as a whole", ErrForbidden, d.Tenant)
	}
	within, err := Parse(d.CIDR)
	if err != nil {
		return ScanRange{}, fmt.Errorf("%w: cidr: %w", ErrInvalid, err)
	}
	if widest := widest4; within.Bits() < widest && within.Addr().Is4() {
		return ScanRange{}, fmt.Errorf("%w: cidr: %s is wider than a /%d: ask for the parts that are yours", ErrInvalid, within, widest)
	} else if within.Addr().Is6() && within.Bits() < widest6 {
		return ScanRange{}, fmt.Errorf("%w: cidr: %s is wider than a /%d: ask for the parts that are yours", ErrInvalid, within, widest6)
	}
	if a := within.Addr(); a.IsMulticast() || a.IsUnspecified() || a == netip.AddrFrom4([4]byte{255, 255, 255, 255}) {
		return ScanRange{}, fmt.Errorf("%w: cidr: %s is no range of hosts", ErrInvalid, within)
	}
	if len(d.Exclusions) > maxExclusions {
		return ScanRange{}, fmt.Errorf("%w: exclusions: %d, at most %d", ErrInvalid, len(d.Exclusions), maxExclusions)
	}
	exclusions := []string{}
	for _, text := range d.Exclusions {
		p, err := Parse(text)
		if err != nil {
			return ScanRange{}, fmt.Errorf("%w: exclusions: %w", ErrInvalid, err)
		}
		if !within.Overlaps(p) {
			return ScanRange{}, fmt.Errorf("%w: exclusions: %s is not within %s", ErrInvalid, p, within)
		}
		if p.Bits() <= within.Bits() {
			return ScanRange{}, fmt.Errorf("%w: exclusions: %s leaves nothing of %s", ErrInvalid, p, within)
		}
		exclusions = append(exclusions, p.String())
	}
	reason := strings.TrimSpace(d.Reason)
	if reason == "" || len(reason) > 4*maxText {
		return ScanRange{}, fmt.Errorf("%w: reason: say why, in at most %d characters", ErrInvalid, maxText)
	}
	if d.Days < 1 || d.Days > MaxDays {
		return ScanRange{}, fmt.Errorf("%w: days: %d, want 1 to %d", ErrInvalid, d.Days, MaxDays)
	}
	s.changing.Lock()
	defer s.changing.Unlock()
	s.mu.RLock()
	n := 0
	for _, x := range s.ranges {
		if x.Tenant == d.Tenant {
			n++
		}
	}
	s.mu.RUnlock()
	if n >= maxRanges {
		return ScanRange{}, fmt.Errorf("%w: the tenant has %d ranges, the most there may be", ErrConflict, n)
	}
	now := s.now().UTC().Truncate(time.Millisecond)
	x := ScanRange{ID: roster.NewID(now), Tenant: d.Tenant, Zone: cmp.Or(strings.TrimSpace(d.Zone), cmdb.DefaultZone), CIDR: within.String(), Exclusions: exclusions, Reason: reason,
		State: Asked, AskedBy: actor, AskedAt: now, Expires: now.Add(time.Duration(d.Days) * 24 * time.Hour)}
	return x, s.put(ctx, x)
}

// Decide approves or rejects a range. Who asked for it cannot approve it.
func (s *Service) Decide(ctx context.Context, r reach.Reach, actor, id string, approve bool, note string) (ScanRange, error) {
	s.changing.Lock()
	defer s.changing.Unlock()
	x, err := s.get(r, id)
	switch {
	case err != nil:
		return x, err
	case x.State != Asked:
		return x, fmt.Errorf("%w: it is %s already", ErrConflict, x.State)
	case approve && x.AskedBy == actor:
		return x, fmt.Errorf("%w: you asked for it yourself: somebody else has to approve it", ErrForbidden)
	case approve && !s.now().Before(x.Expires):
		return x, fmt.Errorf("%w: its time is over: ask anew", ErrConflict)
	}
	x.State = Rejected
	if approve {
		x.State = Approved
	}
	x.DecidedBy, x.DecidedAt, x.Note = actor, s.now().UTC().Truncate(time.Millisecond), clip(note)
	return x, s.put(ctx, x)
}

// Withdraw ends a range at once: nothing of it is scanned from then on.
func (s *Service) Withdraw(ctx context.Context, r reach.Reach, actor, id, note string) (ScanRange, error) {
	s.changing.Lock()
	defer s.changing.Unlock()
	x, err := s.get(r, id)
	if err != nil {
		return x, err
	}
	if x.State != Asked && x.State != Approved {
		return x, fmt.Errorf("%w: it is %s already", ErrConflict, x.State)
	}
	x.State, x.DecidedBy, x.DecidedAt, x.Note = Withdrawn, actor, s.now().UTC().Truncate(time.Millisecond), clip(note)
	return x, s.put(ctx, x)
}

func (s *Service) get(r reach.Reach, id string) (ScanRange, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	x, ok := s.ranges[id]
	if !ok || !r.CoversWhole(x.Tenant) {
		return ScanRange{}, ErrNotFound
	}
	return s.shown(x), nil
}

// Grant is all that may be scanned of a tenant in a zone.
type Grant struct {
	Ranges, Exclusions []netip.Prefix
	ApprovedBy         string // of the range that ends first
	ApprovedAt         time.Time
	Expires            time.Time // of the range that ends first; zero where nothing is approved
}

// Of tells what may be scanned of a tenant in a zone now.
func (s *Service) Of(tenant, zone string) Grant {
	s.mu.RLock()
	defer s.mu.RUnlock()
	var g Grant
	zone = cmp.Or(zone, cmdb.DefaultZone)
	for _, x := range s.ranges {
		if x.Tenant != tenant || x.Zone != zone || s.shown(x).State != Approved {
			continue
		}
		if p, err := Parse(x.CIDR); err == nil {
			g.Ranges = append(g.Ranges, p)
		}
		for _, e := range x.Exclusions {
			if p, err := Parse(e); err == nil {
				g.Exclusions = append(g.Exclusions, p)
			}
		}
		if g.Expires.IsZero() || x.Expires.Before(g.Expires) {
			g.Expires, g.ApprovedBy, g.ApprovedAt = x.Expires, x.DecidedBy, x.DecidedAt
		}
	}
	by := func(a, b netip.Prefix) int {
		return cmp.Or(a.Addr().Compare(b.Addr()), cmp.Compare(a.Bits(), b.Bits()))
	}
	slices.SortFunc(g.Ranges, by)
	slices.SortFunc(g.Exclusions, by)
	g.Ranges, g.Exclusions = slices.Compact(g.Ranges), slices.Compact(g.Exclusions)
	return g
}

// Allows tells whether an address may be scanned.
func (g Grant) Allows(a netip.Addr) bool {
	a = a.Unmap().WithZone("")
	in := func(p netip.Prefix) bool { return p.Contains(a) }
	return slices.ContainsFunc(g.Ranges, in) && !slices.ContainsFunc(g.Exclusions, in)
}

// Covers tells whether a range lies in one that is approved; exclusions within it do
// not matter, since they are left out of it.
func (g Grant) Covers(p netip.Prefix) bool {
	return slices.ContainsFunc(g.Ranges, func(r netip.Prefix) bool { return r.Bits() <= p.Bits() && r.Contains(p.Addr()) })
}

// Parse reads an address or a range; a range's host bits have to be zero.
func Parse(text string) (netip.Prefix, error) {
	text = strings.TrimSpace(text)
	if a, err := netip.ParseAddr(text); err == nil && a.Zone() == "" {
		a = a.Unmap()
		return netip.PrefixFrom(a, a.BitLen()), nil
	}
	p, err := netip.ParsePrefix(text)
	if err != nil {
		return p, fmt.Errorf("%.64q is neither an address nor a range such as 10.1.0.0/16", text)
	}
	if p.Addr().Is4In6() {
		return p, fmt.Errorf("%s: write it as a range of IPv4", p)
	}
	if p != p.Masked() {
		return p, fmt.Errorf("%s: did you mean %s?", p, p.Masked())
	}
	return p, nil
}

func clip(s string) string {
	s = strings.TrimSpace(s)
	if len(s) > maxText {
		s = strings.ToValidUTF8(s[:maxText], "")
	}
	return s
}
