package surface

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/uptrace/bun"

	"icewatch/cmdb"
	"icewatch/soc/reach"
)

// The states of a duplicate.
const (
	DuplicateOpen      = "open"
	DuplicateMerged    = "merged"
	DuplicateDismissed = "dismissed" // somebody said that they are two
	DuplicateUndone    = "undone"    // it was merged and taken back: discoveries leave it alone
)

// maxDuplicates bounds what one discovery proposes.
const maxDuplicates = 200

// SurfaceDuplicate is two items of the CMDB that a discovery holds to be one host.
type SurfaceDuplicate struct {
	ID      string    `json:"id"`
	Tenant  string    `json:"tenant"`
	Zone    string    `json:"zone"`
	Keep    cmdb.Ref  `json:"keep" doc:"The item that would stay, or stayed"`
	Gone    cmdb.Ref  `json:"gone" doc:"The other"`
	Marks   []string  `json:"marks" nullable:"false" doc:"In which they agree: serial_number, machine_id, snmp_engine, mac, hostname"`
	Certain bool      `json:"certain" doc:"Two marks agree, one of them of the machine itself, and none speaks against it"`
	State   string    `json:"state" enum:"open,merged,dismissed,undone"`
	Run     string    `json:"run" doc:"That saw it last"`
	Seen    time.Time `json:"seen_at"`
	By      string    `json:"decided_by,omitempty"`
	At      time.Time `json:"decided_at,omitzero"`
	Note    string    `json:"note,omitempty" doc:"Why it was decided so, or why it could not be merged"`
	Merge   string    `json:"merge,omitempty" doc:"Id of the CMDB's merge: what undo names"`
}

type duplicateRow struct {
	bun.BaseModel `bun:"table:exposure_surface_duplicates,alias:r"`
	ID            string `bun:"id,pk"`
	Tenant        string `bun:"tenant"`
	Zone          string `bun:"zone"`
	Keep          string `bun:"keep"`
	Gone          string `bun:"gone"`
	State         string `bun:"state"`
	Seen          int64  `bun:"seen"`
	Doc           string `bun:"doc"`
}

func duplicateID(tenant, a, b string) string {
	h := sha256.Sum256([]byte(tenant + "\x00" + min(a, b) + "\x00" + max(a, b)))
	return hex.EncodeToString(h[:12])
}

func refOf(it *cmdb.Item) cmdb.Ref { return cmdb.Ref{ID: it.ID, Class: it.Class, Name: it.Name} }

// duplicates finds items that are one host, at least one of them seen by the run, and
// merges those that are certainly one where nobody but discoveries made the one that
// goes. The others are proposed.
func (r *reconciling) duplicates(ctx context.Context) error {
	d, err := r.directory(ctx)
	if err != nil {
		return err
	}
	had, err := r.proposed(ctx)
	if err != nil {
		return err
	}
	var found []SurfaceDuplicate
	done := map[string]bool{}
	for _, h := range r.hosts {
		a := d.items[h.Item]
		if a == nil {
			continue
		}
		for _, id := range d.near(d.marks[a.ID]) {
			key := duplicateID(r.run.Tenant, a.ID, id)
			if id == a.ID || done[key] || len(found) >= maxDuplicates {
				continue
			}
			done[key] = true
			if by, certain := agree(d.marks[a.ID], d.marks[id]); len(by) > 0 {
				found = append(found, SurfaceDuplicate{ID: key, Tenant: r.run.Tenant, Zone: r.run.Zone, Keep: refOf(a), Gone: refOf(d.items[id]), Marks: by, Certain: certain, State: DuplicateOpen, Run: r.run.ID, Seen: r.s.now()})
			}
		}
	}
	var ids []string
	for i := range found {
		ids = append(ids, found[i].Keep.ID, found[i].Gone.ID)
	}
	slices.Sort(ids)
	only, err := r.s.Items.OnlyDiscovered(ctx, slices.Compact(ids))
	if err != nil {
		return err
	}
	var write []SurfaceDuplicate
	for i := range found {
		x := &found[i]
		if a, b := x.Keep.ID, x.Gone.ID; later(d.items[a], d.items[b], only) {
			x.Keep, x.Gone = x.Gone, x.Keep
		}
		switch o := had[x.ID]; {
		case o != nil && o.State == DuplicateMerged:
			// Both are there: somebody took the merge back.
			o.State, o.Seen, o.Run = DuplicateUndone, x.Seen, x.Run
			write = append(write, *o)
			continue
		case o != nil && o.State != DuplicateOpen:
			continue
		}
		if x.Certain && only[x.Gone.ID] && !r.s.Policy().ProposeOnly {
			if err := r.merge(ctx, x); err != nil {
				return err
			}
		}
		if x.State == DuplicateOpen {
			r.out.Duplicates++
		}
		write = append(write, *x)
	}
	return r.s.keepDuplicates(ctx, write)
}

// later tells whether the first of two items is the one that goes: what only discoveries
// made, else what was made later.
func later(a, b *cmdb.Item, only map[string]bool) bool {
	if only[a.ID] != only[b.ID] {
		return only[a.ID]
	}
	if !a.CreatedAt.Equal(b.CreatedAt) {
		return a.CreatedAt.After(b.CreatedAt)
	}
	return a.ID > b.ID
}

// merge merges what is certainly one. What the CMDB refuses is left to people.
func (r *reconciling) merge(ctx context.Context, x *SurfaceDuplicate) error {
	actor := "scan " + r.run.Name
	m, err := r.s.Items.MergeItems(ctx, x.Keep.ID, x.Gone.ID, cmdb.MergeOptions{Within: reach.Tenants(r.run.Tenant), Actor: actor, Reason: "the same " + strings.Join(x.Marks, ", ")})
	if err != nil {
		if ctx.Err() != nil {
			return err
		}
		x.Note = clip(err.Error(), 400)
		r.note("%s and %s are one host and were not merged: %v", x.Keep.Name, x.Gone.Name, err)
		return nil
	}
	x.State, x.By, x.At, x.Merge = DuplicateMerged, actor, r.s.now(), m.ID
	r.out.Merged++
	for _, list := range []map[string]*kept{r.had, r.answered} {
		for _, h := range list {
			if h.Item == x.Gone.ID {
				h.Item = x.Keep.ID
			}
		}
	}
	return r.s.Moved(ctx, actor, r.run.Tenant, x.Gone.ID, x.Keep.ID)
}

// proposed are the duplicates of the run's tenant and zone that are known.
func (r *reconciling) proposed(ctx context.Context) (map[string]*SurfaceDuplicate, error) {
	// What is open of items that went is none any more.
	there := func(column string) *bun.SelectQuery {
		return r.s.Database.NewSelect().TableExpr("cmdb_items AS i").ColumnExpr("1").Where("i.id = r.?", bun.Ident(column))
	}
	q := r.s.Database.NewDelete().Model((*duplicateRow)(nil)).Where("r.tenant = ? AND r.state = ?", r.run.Tenant, DuplicateOpen)
	if _, err := q.Where("(NOT EXISTS (?) OR NOT EXISTS (?))", there("keep"), there("gone")).Exec(ctx); err != nil {
		return nil, fmt.Errorf("surface: clear duplicates: %w", err)
	}
	var rows []duplicateRow
	if err := r.s.Database.NewSelect().Model(&rows).Where("r.tenant = ? AND r.zone = ?", r.run.Tenant, r.run.Zone).Scan(ctx); err != nil {
		return nil, fmt.Errorf("surface: read duplicates: %w", err)
	}
	out := map[string]*SurfaceDuplicate{}
	for i := range rows {
		x, err := rows[i].told()
		if err != nil {
			return nil, err
		}
		out[x.ID] = x
	}
	return out, nil
}

func (r *duplicateRow) told() (*SurfaceDuplicate, error) {
	x := &SurfaceDuplicate{}
	if err := json.Unmarshal([]byte(r.Doc), x); err != nil {
		return nil, fmt.Errorf("surface: the duplicate %s cannot be read: %w", r.ID, err)
	}
	return x, nil
}

func (s *Service) keepDuplicates(ctx context.Context, list []SurfaceDuplicate) error {
	return s.Database.Change(ctx, func(ctx context.Context, tx bun.Tx) error {
		for i := range list {
			x := &list[i]
			doc, err := json.Marshal(x)
			if err != nil {
				return fmt.Errorf("surface: %w", err)
			}
			row := duplicateRow{ID: x.ID, Tenant: x.Tenant, Zone: x.Zone, Keep: x.Keep.ID, Gone: x.Gone.ID, State: x.State, Seen: x.Seen.UnixMilli(), Doc: string(doc)}
			q := tx.NewInsert().Model(&row).On("CONFLICT (id) DO UPDATE")
			for _, c := range []string{"keep", "gone", "state", "seen", "doc"} {
				q = q.Set("? = EXCLUDED.?", bun.Ident(c), bun.Ident(c))
			}
			if _, err := q.Exec(ctx); err != nil {
				return fmt.Errorf("surface: keep duplicates: %w", err)
			}
		}
		return nil
	})
}

// Duplicates lists duplicates in reach, the latest first, and counts them. state narrows
// it where it is not empty.
func (s *Service) Duplicates(ctx context.Context, r reach.Reach, state string, limit, offset int) ([]SurfaceDuplicate, int, error) {
	narrow := func(q *bun.SelectQuery) *bun.SelectQuery {
		if q = tenants(q, r); state != "" {
			q = q.Where("r.state = ?", state)
		}
		return q
	}
	total, err := narrow(s.Database.NewSelect().Model((*duplicateRow)(nil))).Count(ctx)
	if err != nil {
		return nil, 0, fmt.Errorf("surface: count duplicates: %w", err)
	}
	var rows []duplicateRow
	if err := narrow(s.Database.NewSelect().Model(&rows)).Order("r.seen DESC", "r.id").Limit(int64(max(limit, 1))).Offset(int64(offset)).Scan(ctx); err != nil {
		return nil, 0, fmt.Errorf("surface: list duplicates: %w", err)
	}
	out := make([]SurfaceDuplicate, len(rows))
	for i := range rows {
		x, err := rows[i].told()
		if err != nil {
			return nil, 0, err
		}
		out[i] = *x
	}
	return out, int(total), nil
}

// DuplicateDecision is what somebody decides of a duplicate.
type DuplicateDecision struct {
	Action string            `json:"action" enum:"merge,dismiss,reopen" doc:"Make one of the two, say that they are two, or let it wait again"`
	Keep   string            `json:"keep,omitempty" maxLength:"128" doc:"Id of the item that stays, where it is not the one that is proposed"`
	Choose map[string]string `json:"choose,omitempty" doc:"Field → keep or gone, where another value is wanted than that of the better source"`
	Note   string            `json:"note,omitempty" maxLength:"400"`
}

// Decide merges a duplicate, dismisses it or lets it wait again.
func (s *Service) Decide(ctx context.Context, r reach.Reach, actor, id string, how DuplicateDecision) (SurfaceDuplicate, error) {
	s.taking.Lock()
	defer s.taking.Unlock()
	var rows []duplicateRow
	if err := tenants(s.Database.NewSelect().Model(&rows), r).Where("r.id = ?", id).Scan(ctx); err != nil {
		return SurfaceDuplicate{}, fmt.Errorf("surface: read a duplicate: %w", err)
	}
	if len(rows) == 0 {
		return SurfaceDuplicate{}, fmt.Errorf("%w: no duplicate %s", ErrNotFound, clip(id, 64))
	}
	x, err := rows[0].told()
	if err != nil {
		return SurfaceDuplicate{}, err
	}
	switch {
	case how.Action == "merge" && x.State != DuplicateMerged:
		if how.Keep == x.Gone.ID {
			x.Keep, x.Gone = x.Gone, x.Keep
		} else if how.Keep != "" && how.Keep != x.Keep.ID {
			return *x, fmt.Errorf("%w: keep: %q is none of the two", ErrInvalid, clip(how.Keep, 128))
		}
		m, err := s.Items.MergeItems(ctx, x.Keep.ID, x.Gone.ID, cmdb.MergeOptions{Within: r, Actor: actor, Reason: how.Note, Choose: how.Choose})
		if errors.Is(err, cmdb.ErrNotFound) {
			return *x, fmt.Errorf("%w: one of the two items is gone, or out of your reach", ErrInvalid)
		}
		if err != nil {
			return *x, err
		}
		x.State, x.Merge = DuplicateMerged, m.ID
		if err := s.Moved(ctx, actor, x.Tenant, x.Gone.ID, x.Keep.ID); err != nil {
			return *x, err
		}
	case how.Action == "dismiss" && x.State != DuplicateMerged:
		x.State = DuplicateDismissed
	case how.Action == "reopen" && (x.State == DuplicateDismissed || x.State == DuplicateUndone):
		x.State = DuplicateOpen
	default:
		return *x, fmt.Errorf("%w: it is %s", ErrInvalid, x.State)
	}
	x.By, x.At, x.Note = actor, s.now(), clip(how.Note, 400)
	return *x, s.keepDuplicates(ctx, []SurfaceDuplicate{*x})
}

// Moved notes that what discoveries saw of an item is another's now, as is what is wrong
// with it.
func (s *Service) Moved(ctx context.Context, actor, tenant, from, to string) error {
	if s.Findings != nil {
		if err := s.Findings(ctx, actor, from, to, nil); err != nil {
			return err
		}
	}
	return s.reassign(ctx, tenant, from, func(*kept) string { return to })
}

// Parted notes that a merge was taken back: what is seen at the addresses of an item is
// its own again. A duplicate of the two is left alone from now on.
func (s *Service) Parted(ctx context.Context, m *cmdb.Merge) error {
	list, err := s.Items.Some(ctx, []string{m.Gone.ID})
	if err != nil || len(list) == 0 {
		return err
	}
	back := &list[0]
	if s.Findings != nil {
		if err := s.Findings(ctx, m.UndoneBy, m.Keep.ID, back.ID, append(append([]string{back.Name}, back.Addresses...), back.Hostnames...)); err != nil {
			return err
		}
	}
	err = s.reassign(ctx, m.Tenant, m.Keep.ID, func(h *kept) string {
		if h.Zone == back.Zone && slices.Contains(back.Addresses, h.Address) {
			return back.ID
		}
		return h.Item
	})
	if err != nil {
		return err
	}
	var rows []duplicateRow
	if err := s.Database.NewSelect().Model(&rows).Where("r.id = ? AND r.state = ?", duplicateID(m.Tenant, m.Keep.ID, m.Gone.ID), DuplicateMerged).Scan(ctx); err != nil {
		return fmt.Errorf("surface: read a duplicate: %w", err)
	}
	for i := range rows {
		x, err := rows[i].told()
		if err != nil {
			return err
		}
		x.State, x.By, x.At = DuplicateUndone, m.UndoneBy, s.now()
		if err := s.keepDuplicates(ctx, []SurfaceDuplicate{*x}); err != nil {
			return err
		}
	}
	return nil
}

// reassign gives the hosts of an item the items that fn says.
func (s *Service) reassign(ctx context.Context, tenant, item string, fn func(*kept) string) error {
	return s.Database.Change(ctx, func(ctx context.Context, tx bun.Tx) error {
		var rows []hostRow
		if err := tx.NewSelect().Model(&rows).Where("r.tenant = ? AND r.item = ?", tenant, item).Scan(ctx); err != nil {
			return fmt.Errorf("surface: read the hosts of an item: %w", err)
		}
		var write []*kept
		for i := range rows {
			h := &kept{}
			if err := json.Unmarshal([]byte(rows[i].Doc), h); err != nil {
				return fmt.Errorf("surface: the host %s cannot be read: %w", rows[i].Address, err)
			}
			if to := fn(h); to != h.Item {
				h.Item = to
				write = append(write, h)
			}
		}
		if len(write) == 0 {
			return nil
		}
		return writeHosts(ctx, tx, write)
	})
}
