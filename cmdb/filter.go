package cmdb

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/uptrace/bun"

	"icewatch/cmdb/model"
	"icewatch/cmdb/query"
	"icewatch/soc/reach"
)

// FilterError says which part of a filter or a path asks for what there is not.
// It is ErrQuery.
type FilterError struct {
	Position int    `json:"position"` // character, from 1 on
	Reason   string `json:"reason"`
}

// Error implements error.
func (e *FilterError) Error() string {
	return fmt.Sprintf("cmdb: the query, at character %d: %s", e.Position, e.Reason)
}

// Is makes errors.Is(err, ErrQuery) true.
func (e *FilterError) Is(target error) bool { return target == ErrQuery }

func asFilterError(err error) error {
	if s, ok := err.(*query.SyntaxError); ok { // never wrapped by the parser
		return &FilterError{s.Position, s.Reason}
	}
	return err
}

// compiler makes SQL conditions of filters. What a filter asks of other items,
// it asks of those in reach only: it must not tell of what the caller may not
// see.
type compiler struct {
	m       *model.Model
	within  reach.Reach
	aliases int
}

// sqlText is a part of a statement with its values.
type sqlText struct {
	text string
	args []any
}

func (c *compiler) fail(e *query.Expr, format string, args ...any) error {
	return &FilterError{e.Pos, fmt.Sprintf(format, args...)}
}

func (c *compiler) alias(prefix string) string {
	c.aliases++
	return prefix + strconv.Itoa(c.aliases)
}

// reachOf is the reach as a condition on a table of items. No index by tenant is
// to be used for it: most tenants have more items than any other condition
// leaves.
func (c *compiler) reachOf(alias string) sqlText {
	if c.within.Everything() {
		return sqlText{text: "1 = 1"}
	}
	text, args := c.within.SQL(reach.Columns{Tenant: "(" + alias + ".tenant || '')", Unit: alias + ".reach_unit", Region: alias + ".reach_region",
		Industry: alias + ".reach_industry", Labels: alias + ".reach_labels"})
	return sqlText{text, args}
}

// where is a filter as a condition on the items that go by alias.
func (c *compiler) where(e *query.Expr, alias string) (sqlText, error) {
	switch e.Kind {
	case query.And, query.Or:
		var out sqlText
		for i, k := range e.Kids {
			part, err := c.where(k, alias)
			if err != nil {
				return sqlText{}, err
			}
			if i > 0 {
				out.text += " " + strings.ToUpper(e.Kind) + " "
			}
			out.text += part.text
			out.args = append(out.args, part.args...)
		}
		out.text = "(" + out.text + ")"
		return out, nil
	case query.Not:
		part, err := c.where(e.Kids[0], alias)
		part.text = "NOT " + part.text
		return part, err
	case query.Has:
		return c.has(e.Steps, alias)
	}
	if e.Of != "" {
		return c.superior(e, alias)
	}
	return c.condition(e, alias)
}

// superior is a condition on the system or organisation of an item.
func (c *compiler) superior(e *query.Expr, alias string) (sqlText, error) {
	up := c.alias("u")
	inner := *e
	inner.Of = ""
	cond, err := c.condition(&inner, up)
	if err != nil {
		return sqlText{}, err
	}
	may := c.reachOf(up)
	return sqlText{"EXISTS (SELECT 1 FROM cmdb_items " + up + " WHERE " + up + ".id = " + alias + "." + e.Of + "_id AND " + may.text + " AND " + cond.text + ")",
		append(may.args, cond.args...)}, nil
}

// has is a condition on what an item is related to.
func (c *compiler) has(steps []query.Step, alias string) (sqlText, error) {
	s := steps[0]
	if s.Min != 1 || s.Max != 1 {
		return sqlText{}, &FilterError{s.Pos, "a filter follows one relation a step: write the steps out, or ask for a path"}
	}
	for _, t := range s.Types {
		if c.m.Relation(t) == nil {
			return sqlText{}, &FilterError{s.Pos, fmt.Sprintf("unknown relation type %q: want one of %s", t, relationNames(c.m))}
		}
	}
	other := c.alias("o")
	var inner []sqlText
	if len(s.To.Classes) > 0 {
		names, err := c.classes(s.To.Classes, s.Pos)
		if err != nil {
			return sqlText{}, err
		}
		inner = append(inner, sqlText{other + ".class IN (?)", []any{bun.In(names)}})
	}
	if s.To.Filter != nil {
		part, err := c.where(s.To.Filter, other)
		if err != nil {
			return sqlText{}, err
		}
		inner = append(inner, part)
	}
	if len(steps) > 1 {
		part, err := c.has(steps[1:], other)
		if err != nil {
			return sqlText{}, err
		}
		inner = append(inner, part)
	}
	inner = append(inner, c.reachOf(other))
	var ways []string
	var args []any
	for _, way := range []struct {
		on        bool
		near, far string
	}{{s.Forward, "from_seq", "to_seq"}, {s.Backward, "to_seq", "from_seq"}} {
		if !way.on {
			continue
		}
		rel := c.alias("r")
		text := "EXISTS (SELECT 1 FROM cmdb_relations " + rel + " JOIN cmdb_items " + other + " ON " + other + ".seq = " + rel + "." + way.far +
			" WHERE " + rel + "." + way.near + " = " + alias + ".seq"
		if len(s.Types) > 0 {
			text += " AND " + rel + ".type IN (?)"
			args = append(args, bun.In(s.Types))
		}
		for _, part := range inner {
			text += " AND " + part.text
			args = append(args, part.args...)
		}
		ways = append(ways, text+")")
	}
	return sqlText{"(" + strings.Join(ways, " OR ") + ")", args}, nil
}

func relationNames(m *model.Model) string {
	names := make([]string, len(m.RelationTypes))
	for i, r := range m.RelationTypes {
		names[i] = r.Name
	}
	return strings.Join(names, ", ")
}

// classes are the classes that items can be of, of those named.
func (c *compiler) classes(names []string, pos int) ([]string, error) {
	for _, n := range names {
		if c.m.Class(n) == nil {
			return nil, &FilterError{pos, fmt.Sprintf("unknown class %q: want one of %s", n, classNames(c.m))}
		}
	}
	return c.m.Concrete(names...), nil
}

// columns are the fields that the table of items has itself.
var columns = map[string]string{"id": "id", "name": "name", "tenant": "tenant", "zone": "zone", "criticality": "criticality",
	"created": "created_at", "updated": "updated_at", "revision": "revision"}

// condition is one condition on an item's own fields.
func (c *compiler) condition(e *query.Expr, alias string) (sqlText, error) {
	if e.Op == query.NotEqual {
		equal := *e
		equal.Op = query.Equal
		part, err := c.condition(&equal, alias)
		part.text = "NOT " + part.text
		return part, err
	}
	if column, ok := columns[e.Field]; ok {
		return c.column(e, alias+"."+column)
	}
	switch e.Field {
	case colClass:
		if e.Op != query.Equal && e.Op != query.In {
			return sqlText{}, c.fail(e, "a class is compared by =, != and in, not by %s", e.Op)
		}
		names, err := c.classes(e.Values, e.Pos)
		if err != nil {
			return sqlText{}, err
		}
		if len(names) == 0 {
			return sqlText{text: "1 = 0"}, nil
		}
		return sqlText{alias + ".class IN (?)", []any{bun.In(names)}}, nil
	case colSystem, colOrganisation:
		return c.reference(e, alias)
	case "address":
		return c.listed(e, alias, "cmdb_addresses", "address", canonicalAddress)
	case "label":
		return c.listed(e, alias, "cmdb_labels", "label", func(s string) string { return s })
	}
	inner, err := c.value(e)
	if err != nil {
		return sqlText{}, err
	}
	v := c.alias("v")
	if e.Op != query.Equal && e.Op != query.In {
		// The index by item finds a handful of values; that by value would
		// find those of all items in the range, for each item again.
		inner.text = strings.Replace(inner.text, "$attribute = ?", "($attribute || '') = ?", 1)
	}
	return sqlText{"EXISTS (SELECT 1 FROM cmdb_values " + v + " WHERE " + v + ".item = " + alias + ".seq AND " + strings.ReplaceAll(inner.text, "$", v+".") + ")", inner.args}, nil
}

// reference is a condition on what an item belongs to, by id or name.
func (c *compiler) reference(e *query.Expr, alias string) (sqlText, error) {
	column := alias + "." + e.Field + "_id"
	switch e.Op {
	case query.Exists:
		return sqlText{text: column + " IS NOT NULL"}, nil
	case query.Equal, query.In:
		up := c.alias("u")
		may := c.reachOf(up)
		return sqlText{"(" + column + " IS NOT NULL AND " + column + " IN (SELECT " + up + ".id FROM cmdb_items " + up + " WHERE (" + up + ".id IN (?) OR " + up + ".name IN (?)) AND " + may.text + "))",
			append([]any{bun.In(e.Values), bun.In(e.Values)}, may.args...)}, nil
	}
	return sqlText{}, c.fail(e, "%s is an item: want =, !=, in or exists, or a field of it such as %s.name", e.Field, e.Field)
}

// listed is a condition on a value that the item has in a table of its own.
func (c *compiler) listed(e *query.Expr, alias, table, column string, canonical func(string) string) (sqlText, error) {
	l := c.alias("l")
	var inner sqlText
	switch e.Op {
	case query.Exists:
		inner.text = "1 = 1"
	case query.Equal, query.In:
		values := make([]string, len(e.Values))
		for i, v := range e.Values {
			values[i] = canonical(v)
		}
		inner = sqlText{l + "." + column + " IN (?)", []any{bun.In(values)}}
	case query.Prefix:
		inner = prefixOf(l+"."+column, e.Values[0])
	case query.Contains:
		inner = sqlText{l + "." + column + ` LIKE ? ESCAPE '\'`, []any{likeAny(e.Values[0])}}
	default:
		return sqlText{}, c.fail(e, "%s is compared by =, !=, ~, ^=, in and exists, not by %s", e.Field, e.Op)
	}
	return sqlText{alias + ".id IN (SELECT " + l + ".item_id FROM " + table + " " + l + " WHERE " + inner.text + ")", inner.args}, nil
}

// column is a condition on a column of the table of items.
func (c *compiler) column(e *query.Expr, column string) (sqlText, error) {
	values := make([]any, len(e.Values))
	for i, v := range e.Values {
		switch e.Field {
		case colCriticality, "revision":
			n, err := strconv.ParseInt(v, 10, 64)
			if err != nil {
				return sqlText{}, c.fail(e, "%q is not a whole number, which %s is", v, e.Field)
			}
			values[i] = n
		case "created", "updated":
			t, err := parseTime(v)
			if err != nil {
				return sqlText{}, c.fail(e, "%v", err)
			}
			values[i] = t.UnixMilli()
		default:
			values[i] = v
		}
	}
	text := e.Field != colCriticality && e.Field != "revision" && e.Field != "created" && e.Field != "updated"
	switch {
	case e.Op == query.Exists:
		if text {
			return sqlText{text: column + " <> ''"}, nil
		}
		return sqlText{text: "1 = 1"}, nil
	case e.Op == query.In:
		return sqlText{column + " IN (?)", []any{bun.In(values)}}, nil
	case e.Op == query.Contains && text:
		return sqlText{"lower(" + column + `) LIKE ? ESCAPE '\'`, []any{likeAny(strings.ToLower(e.Values[0]))}}, nil
	case e.Op == query.Prefix && text:
		return prefixOf(column, e.Values[0]), nil
	case e.Op == query.Contains, e.Op == query.Prefix:
		return sqlText{}, c.fail(e, "%s is no text: want =, !=, <, <=, > or >=", e.Field)
	}
	return sqlText{column + " " + e.Op + " ?", values}, nil
}

// value is a condition on the index of values, whose columns are marked by $.
func (c *compiler) value(e *query.Expr) (sqlText, error) {
	a := c.m.Attribute(e.Field)
	out := sqlText{"$attribute = ?", []any{e.Field}}
	and := func(text string, args ...any) sqlText {
		return sqlText{"(" + out.text + " AND " + text + ")", append(out.args, args...)}
	}
	if e.Op == query.Exists {
		return sqlText{"(" + out.text + ")", out.args}, nil
	}
	numeric := a != nil && a.Type.Numeric() && e.Op != query.Contains && e.Op != query.Prefix
	values := make([]any, len(e.Values))
	for i, v := range e.Values {
		switch {
		case numeric:
			n, err := strconv.ParseFloat(v, 64)
			if err != nil {
				return sqlText{}, c.fail(e, "%q is not a number, which %s is", v, e.Field)
			}
			values[i] = n
		case a != nil && a.Type != model.Text && a.Type != model.Reference && e.Op != query.Contains && e.Op != query.Prefix:
			// A value is looked for by any of its names, as it is given.
			one := *a
			one.Multiple = false
			canonical, err := one.Check(v)
			if err != nil {
				return sqlText{}, c.fail(e, "%v", err)
			}
			values[i] = indexText(canonical)
		default:
			values[i] = indexText(v)
		}
	}
	column := "$text"
	if numeric {
		column = "$number"
	}
	switch e.Op {
	case query.In:
		return and(column+" IN (?)", bun.In(values)), nil
	case query.Contains:
		return and(`$text LIKE ? ESCAPE '\'`, likeAny(indexText(e.Values[0]))), nil
	case query.Prefix:
		p := prefixOf("$text", indexText(e.Values[0]))
		return and(p.text, p.args...), nil
	}
	return and(column+" "+e.Op+" ?", values...), nil
}

// prefixOf says by a range, which an index finds, that a text begins so.
func prefixOf(column, prefix string) sqlText {
	if prefix == "" {
		return sqlText{text: "1 = 1"}
	}
	return sqlText{"(" + column + " >= ? AND " + column + " < ?)", []any{prefix, prefix + "\U0010FFFF"}}
}

func likeAny(s string) string { return "%" + likeEscaper.Replace(s) + "%" }

// searchPlan is how a filter is looked for: through an index, where one narrows
// it down, and item by item for the rest.
type searchPlan struct {
	from  string // tables besides cmdb_items i, with a comma after
	where []sqlText
}

// fewItems is how many items of an index a search is ready to put in order.
const fewItems = 2000

// plan decides how to look for the items of a filter: of the conditions that all
// must hold, the one that the fewest items fulfil leads.
func (s *Service) plan(ctx context.Context, db bun.IDB, c *compiler, e *query.Expr) (searchPlan, error) {
	parts := []*query.Expr{e}
	if e.Kind == query.And {
		parts = e.Kids
	}
	out := searchPlan{where: []sqlText{c.reachOf("i")}}
	lead, fewest := -1, int64(0)
	var leading sqlText
	for i, p := range parts {
		if p.Kind != query.Condition || p.Of != "" || p.Op == query.NotEqual || columns[p.Field] != "" ||
			slices.Contains([]string{colClass, colSystem, colOrganisation, "address", "label"}, p.Field) {
			continue
		}
		inner, err := c.value(p)
		if err != nil {
			return searchPlan{}, err
		}
		inner.text = strings.ReplaceAll(inner.text, "$", "d.")
		if p.Op == query.Contains {
			// Counting it costs as much as looking for it: it leads only where
			// nothing else does.
			if lead < 0 {
				lead, fewest, leading = i, fewItems+1, inner
			}
			continue
		}
		var n int64
		if err := db.NewRaw("SELECT count(*) FROM (SELECT 1 FROM cmdb_values d WHERE "+inner.text+" LIMIT ?) AS found", append(inner.args, fewItems+1)...).Scan(ctx, &n); err != nil {
			return searchPlan{}, fmt.Errorf("cmdb: plan a search: %w", err)
		}
		if lead < 0 || n < fewest || parts[lead].Op == query.Contains {
			lead, fewest, leading = i, n, inner
		}
	}
	for i, p := range parts {
		if i == lead {
			continue
		}
		part, err := c.where(p, "i")
		if err != nil {
			return searchPlan{}, err
		}
		out.where = append(out.where, part)
	}
	switch {
	case lead < 0:
	case fewest > fewItems && parts[lead].Op == query.Equal && !c.numeric(parts[lead].Field):
		// The index has the items of one value in order: it is walked.
		out.from = "cmdb_values AS d CROSS JOIN "
		out.where = append([]sqlText{{"i.seq = d.item", nil}, leading}, out.where...)
	case fewest <= fewItems || parts[lead].Op == query.Contains:
		out.where = append([]sqlText{{"i.seq IN (SELECT d.item FROM cmdb_values d WHERE " + leading.text + ")", leading.args}}, out.where...)
	default:
		// So many that the items themselves are walked, and most fulfil it soon.
		part, err := c.where(parts[lead], "i")
		if err != nil {
			return searchPlan{}, err
		}
		out.where = append(out.where, part)
	}
	return out, nil
}

func (c *compiler) numeric(field string) bool {
	a := c.m.Attribute(field)
	return a != nil && a.Type.Numeric()
}
