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
// not want any more is taken away. seqs were there before, fresh are new: no
// rule has joined those to anything yet.
func (w *writer) generate(ctx context.Context, seqs []int32, fresh []*Item) error {
	m := w.s.Model()
	for i := range m.Rules {
		rule := &m.Rules[i]
		if rule.Off {
			continue
		}
		from, to := m.Concrete(rule.From...), m.Concrete(rule.To...)
		within := rule.Where[0].Op == model.Within
		of, placed := slices.Clip(seqs), []located{}
		for _, it := range fresh {
			switch starts, ends := slices.Contains(from, it.Class), slices.Contains(to, it.Class); {
			case starts && !ends && within:
				for _, a := range it.Addresses {
					placed = append(placed, located{it.seq, it.Tenant, it.Zone, a})
				}
			case starts || ends:
				of = append(of, it.seq)
			}
		}
		// These first: a new range finds what lies in it already joined.
		var pairs []pair
		for part := range slices.Chunk(placed, chunk) {
			some, err := w.place(ctx, to, part)
			if err != nil {
				return fmt.Errorf("cmdb: relation rule %q: %w", rule.Name, err)
			}
			pairs = append(pairs, some...)
		}
		if err := w.addNewRelations(ctx, w.ruled(rule, pairs)); err != nil {
			return fmt.Errorf("cmdb: relation rule %q: %w", rule.Name, err)
		}
		for part := range slices.Chunk(of, chunk) {
			if err := w.apply(ctx, m, rule, part); err != nil {
				return fmt.Errorf("cmdb: relation rule %q: %w", rule.Name, err)
			}
		}
	}
	return nil
}

// ruled are the relations of a rule between pairs, each once.
func (w *writer) ruled(rule *model.Rule, pairs []pair) []relationRow {
	seen := make(map[pair]bool, len(pairs))
	var out []relationRow
	for _, p := range pairs {
		if p.From != p.To && !seen[p] {
			seen[p] = true
			out = append(out, relationRow{From: p.From, Type: rule.Type, To: p.To, Origin: originRule + rule.Name, Actor: w.actor, CreatedAt: w.s.now().UnixMilli()})
		}
	}
	return out
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
	wanted = slices.DeleteFunc(wanted, func(p pair) bool { return !want[p] })
	return w.addRelations(ctx, w.ruled(rule, wanted))
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
	for _, r := range moved {
		in, err := w.addressesIn(ctx, fromClasses, r.Zone, r.Address)
		if err != nil {
			return nil, nil, err
		}
		around = append(around, in...)
	}
	slices.Sort(around)
	around = slices.Compact(around)
	var out []pair
	for part := range slices.Chunk(around, chunk) {
		var rows []located
		err := w.tx.NewRaw("SELECT i.seq, i.tenant, a.zone, a.address FROM cmdb_addresses a JOIN cmdb_items i ON i.id = a.item_id WHERE i.seq IN (?) AND "+anyClass("i")+" IN (?)",
			bun.In(part), bun.In(fromClasses)).Scan(ctx, &rows)
		if err != nil {
			return nil, nil, err
		}
		pairs, err := w.place(ctx, toClasses, rows)
		if err != nil {
			return nil, nil, err
		}
		out = append(out, pairs...)
	}
	return out, around, nil
}

// addressesIn names the items of some classes with an address in a range of a
// network zone. The addresses that begin as the range does are read by their
// index, so that a range of a zone of a million costs what lies around it.
func (w *writer) addressesIn(ctx context.Context, classes []string, zone, cidr string) ([]int32, error) {
	within, err := netip.ParsePrefix(cidr)
	if err != nil {
		return nil, nil // nothing lies in what is no range
	}
	begin := commonText(within)
	var rows []located
	// The last byte of the beginning is a separator: what begins with it ends
	// before the separator's successor.
	q := w.tx.NewSelect().TableExpr("cmdb_addresses AS a").Join("JOIN cmdb_items AS i ON i.id = a.item_id").ColumnExpr("i.seq, a.address").
		Where("a.zone = ?", zone).Where(anyClass("i")+" IN (?)", bun.In(classes))
	if begin != "" {
		last := len(begin) - 1
		q = q.Where("a.address >= ? AND a.address < ?", begin, begin[:last]+string(begin[last]+1))
	}
	if err := q.Scan(ctx, &rows); err != nil {
		return nil, err
	}
	var out []int32
	for _, r := range rows {
		if addr, err := netip.ParseAddr(r.Address); err == nil && within.Contains(addr) {
			out = append(out, r.Seq)
		}
	}
	return out, nil
}

// commonText is what all addresses of a range begin with as they are written,
// up to a separator; "" where that is nothing.
func commonText(p netip.Prefix) string {
	var b strings.Builder
	if addr := p.Addr(); addr.Is4() {
		octets := addr.As4()
		for _, o := range octets[:min(p.Bits()/8, 3)] {
			fmt.Fprintf(&b, "%d.", o)
		}
		return b.String()
	}
	bytes := p.Addr().As16()
	for i := 0; i+2 <= p.Bits()/8; i += 2 {
		part := uint16(bytes[i])<<8 | uint16(bytes[i+1])
		if part == 0 || i == 14 {
			break // what is zero may be written as ::
		}
		fmt.Fprintf(&b, "%x:", part)
	}
	return b.String()
}

// located is an address, or a range, of an item.
type located struct {
	Seq     int32  `bun:"seq"`
	Tenant  string `bun:"tenant"`
	Zone    string `bun:"zone"`
	Address string `bun:"address"`
}

// place finds for addresses the narrowest ranges around them that items of some
// classes have.
func (w *writer) place(ctx context.Context, classes []string, addresses []located) ([]pair, error) {
	if len(addresses) == 0 {
		return nil, nil
	}
	lengths, err := w.prefixLengths(ctx, classes)
	if err != nil {
		return nil, err
	}
	ranges, err := w.rangesAround(ctx, classes, lengths, addresses)
	if err != nil {
		return nil, err
	}
	var out []pair
	for _, r := range addresses {
		addr, err := netip.ParseAddr(r.Address)
		if err != nil {
			continue
		}
		for _, bits := range lengths {
			p, err := addr.Prefix(bits)
			if err != nil {
				continue // of the other family
			}
			if in, ok := ranges[addressKey{r.Zone, p.String()}]; ok && (in.Tenant == "" || r.Tenant == "" || in.Tenant == r.Tenant) {
				out = append(out, pair{r.Seq, in.Seq})
				break
			}
		}
	}
	return out, nil
}

// rangesAround reads the ranges that could hold some addresses: of each, its
// prefixes of all lengths are looked up by key.
func (w *writer) rangesAround(ctx context.Context, classes []string, lengths []int, addresses []located) (map[addressKey]located, error) {
	keys := map[addressKey]bool{}
	for _, a := range addresses {
		addr, err := netip.ParseAddr(a.Address)
		if err != nil {
			continue
		}
		for _, bits := range lengths {
			if p, err := addr.Prefix(bits); err == nil {
				keys[addressKey{a.Zone, p.String()}] = true
			}
		}
	}
	list := make([][]any, 0, len(keys))
	for k := range keys {
		list = append(list, []any{k.zone, k.address})
	}
	out := map[addressKey]located{}
	for part := range slices.Chunk(list, chunk) {
		var rows []located
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

// prefixLengths lists the lengths of the ranges there are, the longest first: a
// city has a dozen, and only those need be looked up.
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
	slices.SortFunc(out, func(a, b int) int { return b - a })
	if w.lengths == nil {
		w.lengths = map[string][]int{}
	}
	w.lengths[key] = out
	return out, nil
}
