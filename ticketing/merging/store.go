package merging

import (
	"cmp"
	"context"
	"embed"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"icewatch/soc/state"
)

//go:embed migrations/*.sql
var migrations embed.FS

// maxVersions is how many versions of a rule are listed.
const maxVersions = 100

// Shipped are the rules that every suite has. Those that would change what
// becomes an incident are off until somebody wants them.
func Shipped() []Rule {
	return []Rule{
		{ID: "shipped-attack", Name: "攻击事件 Attacks", Kind: Attack, Order: 0,
			Description: "同一资产或同一来源的告警，由事件策略判断是否构成入侵。Alerts on one asset or by one attacker, where the incident policy finds an intrusion in them."},
		{ID: "shipped-fault", Name: "故障事件 Faults", Kind: Fault, Order: 1,
			Description: "相互依赖的配置项同时故障的告警，按拓扑归并并标出根因。Alerts of items that fail together and depend on one another, with the likely root."},
		{ID: "shipped-wave", Name: "同一规则波及多个资产 One rule on many assets", Kind: Alerts, Order: 2, Off: true, By: []string{"alertname"}, Window: 30 * time.Minute, Least: 20,
			Description: "同一规则在半小时内命中至少 20 次不同对象。One rule that raises 20 alerts and more, each within half an hour of the one before."},
		{ID: "shipped-alike", Name: "同一业务系统的相似告警 Similar alerts of one system", Kind: Alerts, Order: 3, Off: true, By: []string{"system"}, Window: 15 * time.Minute, Least: 5,
			Similar:     &Similar{On: Title, AtLeast: 0.7},
			Description: "同一业务系统内内容相似的告警。Alerts of one business system that tell nearly the same."},
	}
}

// Store keeps the rules in SQL with all their versions. It is safe for concurrent
// use.
type Store struct {
	db    *state.DB
	clock func() time.Time
}

type row struct {
	bun.BaseModel `bun:"table:merging_rules,alias:r"`
	Version       int64  `bun:"version,pk,autoincrement"`
	ID            string `bun:"id"`
	Doc           string `bun:"doc"`
	At            int64  `bun:"at"`
	By            string `bun:"by"`
}

// Version is a rule as it was once.
type Version struct {
	Rule
	Deleted bool // it was deleted then; the rule is as it was before
}

// Open brings the table up to date.
func Open(ctx context.Context, db *state.DB, clock func() time.Time) (*Store, error) {
	if err := db.Migrate(ctx, "merging", migrations); err != nil {
		return nil, err
	}
	return &Store{db, clock}, nil
}

// List reads the rules in their order.
func (s *Store) List(ctx context.Context) ([]Rule, error) { return list(ctx, s.db) }

func list(ctx context.Context, db bun.IDB) ([]Rule, error) {
	var rows []row
	if err := db.NewSelect().Model(&rows).Where("version IN (SELECT max(version) FROM merging_rules GROUP BY id)").Scan(ctx); err != nil {
		return nil, fmt.Errorf("merging: read the rules: %w", err)
	}
	byID := map[string]row{}
	for _, r := range rows {
		byID[r.ID] = r
	}
	var out []Rule
	for _, r := range Shipped() {
		r.Shipped = true
		r.fill()
		if changed, there := byID[r.ID]; there {
			delete(byID, r.ID)
			kept, err := changed.rule()
			if err != nil {
				return nil, err
			}
			if r.Kind != Alerts { // its words are ours
				kept.Name, kept.Description, kept.Kind = r.Name, r.Description, r.Kind
			}
			kept.Shipped = true
			r = kept
		}
		out = append(out, r)
	}
	for _, r := range byID {
		if r.Doc == "" {
			continue
		}
		rule, err := r.rule()
		if err != nil {
			return nil, err
		}
		out = append(out, rule)
	}
	slices.SortFunc(out, func(a, b Rule) int { return cmp.Or(cmp.Compare(a.Order, b.Order), strings.Compare(a.ID, b.ID)) })
	return out, nil
}

func (r *row) rule() (out Rule, err error) {
	if err = json.Unmarshal([]byte(r.Doc), &out); err != nil {
		return out, fmt.Errorf("merging: read version %d of rule %s: %w", r.Version, r.ID, err)
	}
	out.ID, out.Version, out.UpdatedAt, out.UpdatedBy = r.ID, r.Version, time.UnixMilli(r.At).UTC(), r.By
	out.fill()
	return out, nil
}

// fill puts empty lists in the place of none.
func (r *Rule) fill() {
	if r.By == nil {
		r.By = []string{}
	}
	if r.Tenants == nil {
		r.Tenants = []string{}
	}
}

// Get reads a rule that is there.
func (s *Store) Get(ctx context.Context, id string) (Rule, error) { return get(ctx, s.db, id) }

func get(ctx context.Context, db bun.IDB, id string) (Rule, error) {
	rules, err := list(ctx, db)
	if err != nil {
		return Rule{}, err
	}
	if i := slices.IndexFunc(rules, func(r Rule) bool { return r.ID == id }); i >= 0 {
		return rules[i], nil
	}
	return Rule{}, fmt.Errorf("rule %.64q: %w", id, ErrNotFound)
}

// Set makes a rule, which comes last, or changes the one whose id it carries; its
// place in the order stays.
func (s *Store) Set(ctx context.Context, actor string, r Rule) (out Rule, err error) {
	err = s.db.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
		rules, err := list(ctx, tx)
		if err != nil {
			return err
		}
		if r.ID == "" {
			if len(rules) >= MaxRules {
				return fmt.Errorf("%w: there are %d rules, at most %d: delete some that are not needed", ErrInvalid, len(rules), MaxRules)
			}
			id, err := uuid.NewV7()
			if err != nil {
				return fmt.Errorf("merging: make an id: %w", err)
			}
			r.ID, r.Order, r.Shipped = id.String(), rules[len(rules)-1].Order+1, false
		} else {
			old, err := get(ctx, tx, r.ID)
			if err != nil {
				return err
			}
			if r.Order, r.Shipped, r.Kind = old.Order, old.Shipped, cmp.Or(r.Kind, old.Kind); r.Kind != old.Kind {
				return fmt.Errorf("%w: kind: it is %q and stays so", ErrInvalid, old.Kind)
			}
			if old.Kind != Alerts { // of these only one thing can be changed
				old.Off = r.Off
				r = old
			}
		}
		if err := r.Check(); err != nil {
			return err
		}
		out, err = s.put(ctx, tx, actor, r)
		return err
	})
	return out, err
}

// put writes a further version of a rule.
func (s *Store) put(ctx context.Context, tx bun.Tx, actor string, r Rule) (Rule, error) {
	r.fill()
	doc, err := json.Marshal(r)
	if err != nil {
		return r, fmt.Errorf("merging: encode rule %s: %w", r.ID, err)
	}
	return r, s.write(ctx, tx, actor, &r, string(doc))
}

func (s *Store) write(ctx context.Context, tx bun.Tx, actor string, r *Rule, doc string) error {
	now := s.clock().UTC().Truncate(time.Millisecond)
	kept := row{ID: r.ID, Doc: doc, At: now.UnixMilli(), By: actor}
	if _, err := tx.NewInsert().Model(&kept).Exec(ctx); err != nil {
		return fmt.Errorf("merging: write rule %s: %w", r.ID, err)
	}
	r.Version, r.UpdatedAt, r.UpdatedBy = kept.Version, now, actor
	return nil
}

// Delete takes a rule away; Restore brings it back. What is shipped can only be
// switched off.
func (s *Store) Delete(ctx context.Context, actor, id string) error {
	return s.db.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
		r, err := get(ctx, tx, id)
		if err != nil {
			return err
		}
		if r.Shipped {
			return fmt.Errorf("%w: rule %s is shipped and cannot be deleted: switch it off", ErrInvalid, id)
		}
		return s.write(ctx, tx, actor, &r, "")
	})
}

// Versions lists the versions of a rule, the newest first, maxVersions at most.
// One that was deleted has them still.
func (s *Store) Versions(ctx context.Context, id string) ([]Version, error) {
	var rows []row
	if err := s.db.NewSelect().Model(&rows).Where("id = ?", id).OrderExpr("version DESC").Limit(maxVersions + 1).Scan(ctx); err != nil {
		return nil, fmt.Errorf("merging: read the versions of rule %.64q: %w", id, err)
	}
	out := make([]Version, 0, len(rows))
	for i := range rows[:min(len(rows), maxVersions)] {
		r, v := &rows[i], Version{}
		if v.Deleted = r.Doc == ""; v.Deleted && i+1 < len(rows) {
			r.Doc = rows[i+1].Doc
		}
		if r.Doc != "" {
			rule, err := r.rule()
			if err != nil {
				return nil, err
			}
			v.Rule = rule
		}
		out = append(out, v)
	}
	for _, r := range Shipped() {
		if r.ID == id && len(rows) <= maxVersions {
			r.Shipped = true
			r.fill()
			out = append(out, Version{Rule: r})
		}
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("rule %.64q: %w", id, ErrNotFound)
	}
	return out, nil
}

// Restore makes a rule again what a version of it was; version 0 is what was
// shipped. Its place in the order stays where it still has one.
func (s *Store) Restore(ctx context.Context, actor, id string, version int64) (out Rule, err error) {
	versions, err := s.Versions(ctx, id)
	if err != nil {
		return Rule{}, err
	}
	i := slices.IndexFunc(versions, func(v Version) bool { return v.Version == version })
	if i < 0 {
		return Rule{}, fmt.Errorf("version %d of rule %.64q: %w", version, id, ErrNotFound)
	}
	r := versions[i].Rule
	err = s.db.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
		if now, err := get(ctx, tx, id); err == nil {
			r.Order = now.Order
		}
		out, err = s.put(ctx, tx, actor, r)
		return err
	})
	return out, err
}

// Reorder puts the rules into the order of ids, which must be all that there are.
func (s *Store) Reorder(ctx context.Context, actor string, ids []string) error {
	return s.db.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
		rules, err := list(ctx, tx)
		if err != nil {
			return err
		}
		have := make([]string, 0, len(rules))
		for _, r := range rules {
			have = append(have, r.ID)
		}
		if a, b := slices.Sorted(slices.Values(have)), slices.Sorted(slices.Values(ids)); !reflect.DeepEqual(a, b) {
			return fmt.Errorf("%w: ids: want each of the %d rules once: %s", ErrInvalid, len(have), strings.Join(have, ", "))
		}
		for _, r := range rules {
			if at := slices.Index(ids, r.ID); at != r.Order {
				r.Order = at
				if _, err := s.put(ctx, tx, actor, r); err != nil {
					return err
				}
			}
		}
		return nil
	})
}
