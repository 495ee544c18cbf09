package cmdb

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/uptrace/bun"

	"icewatch/cmdb/model"
)

// originRule marks relations that a rule of the model made.
const originRule = "rule."

// pair is a relation that a rule wants.
type pair struct {
	From int32 `bun:"from_seq"`
	To   int32 `bun:"to_seq"`
}

// generate brings the relations that rules make up to date for items that were
// written: what a rule wants of them and is not there is added, what it does
// not want any more is taken away.
func (w *writer) generate(ctx context.Context, seqs []int32) error {
	m := w.s.Model()
	for i := range m.Rules {
		if m.Rules[i].Off {
			continue
		}
		for part := range slices.Chunk(seqs, chunk) {
			if err := w.apply(ctx, m, &m.Rules[i], part); err != nil {
				return fmt.Errorf("cmdb: relation rule %q: %w", m.Rules[i].Name, err)
			}
		}
	}
	return nil
}

// apply does so for one rule and some items, on either side of the rule.
func (w *writer) apply(ctx context.Context, m *model.Model, rule *model.Rule, seqs []int32) error {
	find := w.equalPairs
	if rule.Where[0].Op == model.Within {
		find = w.withinPairs
	}
	wanted, around, err := find(ctx, m, rule, seqs)
	if err != nil {
		return err
	}
	origin := originRule + rule.Name
	var have []relationRow
	read := func(column string, list []int32) error {
		for part := range slices.Chunk(list, chunk) {
			var rows []relationRow
			if err := w.tx.NewSelect().Model(&rows).Where("r.origin = ? AND r.type = ?", origin, rule.Type).Where("? IN (?)", bun.Ident("r."+column), bun.In(part)).Scan(ctx); err != nil {
				return err
			}
			have = append(have, rows...)
		}
		return nil
	}
	if err := read("from_seq", around); err != nil {
		return err
	}
	if err := read("to_seq", seqs); err != nil {
		return err
	}
	want := make(map[pair]bool, len(wanted))
	for _, p := range wanted {
		want[p] = p.From != p.To
	}
	seen := make(map[pair]bool, len(have))
	for _, r := range have {
		p := pair{r.From, r.To}
		if seen[p] {
			continue // it was read from both ends
		}
		seen[p] = true
		if want[p] {
			want[p] = false
		} else if err := w.dropRelations(ctx, "from_seq = ? AND type = ? AND to_seq = ? AND origin = ?", r.From, r.Type, r.To, origin); err != nil {
			return err
		}
	}
	var fresh []relationRow
	for _, p := range wanted {
		if want[p] {
			want[p] = false
			fresh = append(fresh, relationRow{From: p.From, Type: rule.Type, To: p.To, Origin: origin, Actor: w.actor, CreatedAt: w.s.now().UnixMilli()})
		}
	}
	return w.addRelations(ctx, fresh)
}

// anyClass is the class of the items that go by alias, for conditions that no
// index is to be used for: both databases take a list of classes for more
// telling than it is, and would read all items of them.
func anyClass(alias string) string { return "(" + alias + ".class || '')" }

// side is the SQL that joins the values of a field of one end of a rule.
func side(m *model.Model, alias, field string) (join, value string, args []any) {
	switch field {
	case "name":
		return "", "lower(" + alias + ".name)", nil
	case "zone":
		return "", "lower(" + alias + ".zone)", nil
	case "address":
		return " JOIN cmdb_addresses " + alias + "a ON " + alias + "a.item_id = " + alias + ".id", alias + "a.zone || ' ' || " + alias + "a.address", nil
	case "label":
		return " JOIN cmdb_labels " + alias + "l ON " + alias + "l.item_id = " + alias + ".id", "lower(" + alias + "l.label)", nil
	}
	// Of owner, hostname and attributes.
	return "", "", []any{field}
}

// equalPairs finds the pairs of a rule whose fields are all equal. Both ends
// are of one tenant, or one of them is shared.
func (w *writer) equalPairs(ctx context.Context, m *model.Model, rule *model.Rule, seqs []int32) ([]pair, []int32, error) {
	var out []pair
	for _, end := range []string{"f", "t"} {
		pairs, err := w.joined(ctx, m, rule, end, seqs)
		if err != nil {
			return nil, nil, err
		}
		out = append(out, pairs...)
	}
	return out, seqs, nil
}

// joined finds the pairs one of whose ends, f or t, is among seqs.
func (w *writer) joined(ctx context.Context, m *model.Model, rule *model.Rule, end string, seqs []int32) ([]pair, error) {
	other, classes, otherClasses := "t", rule.From, rule.To
	if end == "t" {
		other, classes, otherClasses = "f", rule.To, rule.From
	}
	// Most files hold items of one class, which most rules do not look at.
	n, err := w.tx.NewSelect().Model((*itemRow)(nil)).Where("i.seq IN (?)", bun.In(seqs)).Where(anyClass("i")+" IN (?)", bun.In(m.Concrete(classes...))).Count(ctx)
	if err != nil || n == 0 {
		return nil, err
	}
	var where strings.Builder
	var args []any
	tables := "cmdb_items " + end + " JOIN cmdb_items " + other + " ON (" + end + ".tenant = " + other + ".tenant OR f.tenant = '' OR t.tenant = '')"
	for i, c := range rule.Where {
		fields := map[string]string{"f": c.From, "t": c.To}
		values := map[string]string{}
		for _, alias := range []string{end, other} {
			join, value, named := side(m, alias, fields[alias])
			if named != nil {
				v := fmt.Sprintf("%sv%d", alias, i)
				join, value = " JOIN cmdb_values "+v+" ON "+v+".item = "+alias+".seq", v+".text"
				where.WriteString(" AND " + v + ".attribute = ?")
				args = append(args, fields[alias])
			}
			tables += join
			values[alias] = value
		}
		where.WriteString(" AND " + values["f"] + " = " + values["t"])
	}
	args = append([]any{bun.In(seqs), bun.In(m.Concrete(classes...)), bun.In(m.Concrete(otherClasses...))}, args...)
	var out []pair
	err = w.tx.NewRaw("SELECT DISTINCT f.seq AS from_seq, t.seq AS to_seq FROM "+tables+
		" WHERE "+end+".seq IN (?) AND "+anyClass(end)+" IN (?) AND "+anyClass(other)+" IN (?)"+where.String(), args...).Scan(ctx, &out)
	return out, err
}

// withinPairs finds for addresses the narrowest ranges around them. A range
// that came or went changes what the addresses in and around it belong to, so
// the second outcome names all first items that were looked at.
func (w *writer) withinPairs(ctx context.Context, m *model.Model, rule *model.Rule, seqs []int32) ([]pair, []int32, error) {
	fromClasses, toClasses := m.Concrete(rule.From...), m.Concrete(rule.To...)
	around := slices.Clone(seqs)
	var moved []struct {
		Zone    string `bun:"zone"`
		Address string `bun:"address"`
	}
	err := w.tx.NewRaw("SELECT a.zone, a.address FROM cmdb_addresses a JOIN cmdb_items i ON i.id = a.item_id WHERE i.seq IN (?) AND "+anyClass("i")+" IN (?)",
		bun.In(seqs), bun.In(toClasses)).Scan(ctx, &moved)
	if err != nil {
		return nil, nil, err
	}
	// What lay in a range so far may have to go to a wider one.
	var inside []int32
	err = w.tx.NewSelect().Model((*relationRow)(nil)).Column("from_seq").Where("r.to_seq IN (?) AND r.origin = ?", bun.In(seqs), originRule+rule.Name).Scan(ctx, &inside)
	if err != nil {
		return nil, nil, err
	}
	around = append(around, inside...)
	if len(moved) > 0 {
		// Ranges change seldom: all addresses of their zones are looked at.
		zones := map[string]bool{}
		for _, r := range moved {
			zones[r.Zone] = true
		}
		for zone := range zones {
			var more []int32
			err := w.tx.NewRaw("SELECT DISTINCT i.seq FROM cmdb_items i WHERE i.id IN (SELECT item_id FROM cmdb_addresses WHERE zone = ?) AND "+anyClass("i")+" IN (?)", zone, bun.In(fromClasses)).Scan(ctx, &more)
			if err != nil {
				return nil, nil, err
			}
			around = append(around, more...)
		}
	}
	slices.Sort(around)
	around = slices.Compact(around)
	var out []pair
	for part := range slices.Chunk(around, chunk) {
		var rows []struct {
			Seq     int32  `bun:"seq"`
			Tenant  string `bun:"tenant"`
			Zone    string `bun:"zone"`
			Address string `bun:"address"`
		}
		err := w.tx.NewRaw("SELECT i.seq, i.tenant, a.zone, a.address FROM cmdb_addresses a JOIN cmdb_items i ON i.id = a.item_id WHERE i.seq IN (?) AND "+anyClass("i")+" IN (?)",
			bun.In(part), bun.In(fromClasses)).Scan(ctx, &rows)
		if err != nil {
			return nil, nil, err
		}
		if len(rows) == 0 {
			continue
		}
		ranges, err := w.rangesAround(ctx, toClasses, func(yield func(zone, address string) bool) {
			for _, r := range rows {
				if !yield(r.Zone, r.Address) {
					return
				}
			}
		})
		if err != nil {
			return nil, nil, err
		}
		for _, r := range rows {
			addr, err := netip.ParseAddr(r.Address)
			if err != nil {
				continue
			}
			for bits := addr.BitLen(); bits >= 0; bits-- {
				p, _ := addr.Prefix(bits) // the bits are in range
				if in, ok := ranges[addressKey{r.Zone, p.String()}]; ok && (in.Tenant == "" || r.Tenant == "" || in.Tenant == r.Tenant) {
					out = append(out, pair{r.Seq, in.Seq})
					break
				}
			}
		}
	}
	return out, around, nil
}

type rangeRow struct {
	Seq     int32  `bun:"seq"`
	Tenant  string `bun:"tenant"`
	Zone    string `bun:"zone"`
	Address string `bun:"address"`
}

// rangesAround reads the ranges that could hold some addresses: of each, its
// prefixes of all lengths are looked up by key.
func (w *writer) rangesAround(ctx context.Context, classes []string, addresses func(yield func(zone, address string) bool)) (map[addressKey]rangeRow, error) {
	keys := map[addressKey]bool{}
	lengths, err := w.prefixLengths(ctx, classes)
	if err != nil {
		return nil, err
	}
	for zone, address := range addresses {
		addr, err := netip.ParseAddr(address)
		if err != nil {
			continue
		}
		for _, bits := range lengths {
			if p, err := addr.Prefix(bits); err == nil {
				keys[addressKey{zone, p.String()}] = true
			}
		}
	}
	list := make([][]any, 0, len(keys))
	for k := range keys {
		list = append(list, []any{k.zone, k.address})
	}
	out := map[addressKey]rangeRow{}
	for part := range slices.Chunk(list, chunk) {
		var rows []rangeRow
		err := w.tx.NewRaw("SELECT i.seq, i.tenant, a.zone, a.address FROM cmdb_addresses a JOIN cmdb_items i ON i.id = a.item_id WHERE (a.zone, a.address) IN (?) AND "+anyClass("i")+" IN (?)",
			bun.In(part), bun.In(classes)).Scan(ctx, &rows)
		if err != nil {
			return nil, err
		}
		for _, r := range rows {
			out[addressKey{r.Zone, r.Address}] = r
		}
	}
	return out, nil
}

// prefixLengths lists the lengths of the ranges there are: a city has a dozen,
// and only those need be looked up.
func (w *writer) prefixLengths(ctx context.Context, classes []string) ([]int, error) {
	key := strings.Join(classes, ",")
	if out, ok := w.lengths[key]; ok {
		return out, nil
	}
	var texts []string
	err := w.tx.NewRaw("SELECT DISTINCT substr(a.address, instr(a.address, '/') + 1) FROM cmdb_addresses a JOIN cmdb_items i ON i.id = a.item_id WHERE i.class IN (?)",
		bun.In(classes)).Scan(ctx, &texts)
	if err != nil {
		return nil, err
	}
	var out []int
	for _, t := range texts {
		var n int
		if _, err := fmt.Sscanf(t, "%d", &n); err == nil {
			out = append(out, n)
		}
	}
	if w.lengths == nil {
		w.lengths = map[string][]int{}
	}
	w.lengths[key] = out
	return out, nil
}
