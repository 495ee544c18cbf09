package elastic

import (
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/gofiber/fiber/v2"

	"icewatch/soc/elastic/dates"
	"icewatch/soc/elastic/dsl"
	"icewatch/soc/elastic/filterpath"
	"icewatch/soc/elastic/wire"
)

// indices are the names in the path of a request: those here and, by cluster,
// those of other clusters.
type indices struct {
	here    []string
	asked   bool // some name is about the events here
	remote  map[string][]string
	cluster []string // the names of remote, in the order in which they were given
}

// indices reads the names of a path or of a header of _msearch.
func (s *Server) indices(list string) (indices, error) {
	in := indices{remote: map[string][]string{}}
	for name := range strings.SplitSeq(list, ",") {
		name = strings.TrimSpace(name)
		if name == "" {
			continue
		}
		if len(name) > 1024 {
			return in, wire.Invalid("invalid_index_name_exception", "Invalid index name [%.60s…], it is longer than 1024 characters", name)
		}
		name, err := dates.InName(name, s.Now())
		if err != nil {
			return in, err
		}
		alias, index, remote := strings.Cut(name, ":")
		if !remote {
			in.here, in.asked = append(in.here, name), true
			continue
		}
		if alias == "*" {
			return in, wire.Unsupported("the pattern [%s] for names of clusters", name)
		}
		if _, known := s.clusters[alias]; !known {
			return in, &wire.Fault{Status: http.StatusNotFound, Type: "no_such_remote_cluster_exception", Reason: "no such remote cluster: [" + alias + "]"}
		}
		if _, again := in.remote[alias]; !again {
			in.cluster = append(in.cluster, alias)
		}
		in.remote[alias] = append(in.remote[alias], index)
	}
	if len(in.cluster) == 0 {
		in.asked = true
	}
	if len(in.cluster) > 1 || len(in.cluster) == 1 && in.asked {
		return in, wire.Unsupported("a search in several clusters at once ([%s])", list)
	}
	return in, nil
}

// labels counts the events of each index.
type labels struct {
	name  string
	count uint64
}

// listIndices lists the indices that the names mean, with how many events each
// has, in order.
func (s *Server) listIndices(c *fiber.Ctx, names []string) ([]labels, error) {
	within, err := s.Caller.Reach(c)
	if err != nil {
		return nil, err
	}
	counts := map[string]uint64{}
	req := s.lake.Everywhere(within, dsl.IndexFilter(names)+fmt.Sprintf(" | stats by (%q, %q, %q, %q) count() hits", dsl.ColumnIndex, dsl.ColumnType, dsl.ColumnDataset, dsl.ColumnTenant))
	err = s.lake.Rows(c.UserContext(), req, func(row map[string]string) error {
		n, _ := strconv.ParseUint(row["hits"], 10, 64)
		counts[dsl.IndexOf(row)] += n
		return nil
	})
	if err != nil {
		return nil, err
	}
	list := make([]labels, 0, len(counts))
	for _, name := range slices.Sorted(maps.Keys(counts)) {
		list = append(list, labels{name, counts[name]})
	}
	return list, nil
}

// resolve answers GET /_resolve/index/{index}.
func (s *Server) resolve(c *fiber.Ctx) error {
	in, err := s.indices(wire.Param(c, "index"))
	if err != nil {
		return err
	}
	if len(in.cluster) > 0 {
		return wire.Unsupported("[_resolve/index] of another cluster")
	}
	list, err := s.listIndices(c, in.here)
	if err != nil {
		return err
	}
	found := []any{}
	for _, l := range list {
		found = append(found, map[string]any{"name": l.name, "attributes": []string{"open"}})
	}
	return wire.Respond(c, http.StatusOK, map[string]any{"indices": found, "aliases": []any{}, "data_streams": []any{}})
}

// catShort are the short names of the columns of _cat/indices.
var catShort = map[string]string{"h": "health", "s": "status", "i": "index", "idx": "index", "id": "uuid", "p": "pri", "r": "rep", "dc": "docs.count",
	"docsCount": "docs.count", "dd": "docs.deleted", "ss": "store.size", "storeSize": "store.size"}

// catIndices answers GET /_cat/indices, as a table or, with format=json, as JSON.
func (s *Server) catIndices(c *fiber.Ctx) error {
	in, err := s.indices(wire.Param(c, "index"))
	if err != nil {
		return err
	}
	if len(in.cluster) > 0 {
		return wire.Unsupported("[_cat/indices] of another cluster")
	}
	list, err := s.listIndices(c, in.here)
	if err != nil {
		return err
	}
	columns := []string{"health", "status", "index", "uuid", "pri", "rep", "docs.count", "docs.deleted", "store.size", "pri.store.size"}
	if h := c.Query("h"); h != "" {
		columns = strings.Split(h, ",")
	}
	table := []map[string]string{}
	for _, l := range list {
		row := map[string]string{"health": "green", "status": "open", "index": l.name, "uuid": "_na_", "pri": "1", "rep": "0", "docs.count": strconv.FormatUint(l.count, 10),
			"docs.deleted": "0", "store.size": "", "pri.store.size": ""}
		shown := map[string]string{}
		for i, column := range columns {
			if whole, ok := catShort[column]; ok {
				column = whole
				columns[i] = column
			}
			if _, ok := row[column]; !ok {
				return wire.Unsupported("the column [%s] of [_cat/indices]", column)
			}
			shown[column] = row[column]
		}
		table = append(table, shown)
	}
	if c.Query("format") == "json" || strings.Contains(c.Get(fiber.HeaderAccept), "json") {
		return wire.Respond(c, http.StatusOK, table)
	}
	var b strings.Builder
	write := func(of func(string) string) {
		for i, column := range columns {
			if i > 0 {
				b.WriteByte(' ')
			}
			b.WriteString(of(column))
		}
		b.WriteByte('\n')
	}
	if c.Request().URI().QueryArgs().Has("v") {
		write(func(column string) string { return column })
	}
	for _, row := range table {
		write(func(column string) string { return row[column] })
	}
	c.Set(fiber.HeaderContentType, "text/plain; charset=UTF-8")
	return c.SendString(b.String())
}

// maxFields bounds the fields that are listed.
const maxFields = 5000

// fields lists the names of fields that events of the indices have.
func (s *Server) fields(c *fiber.Ctx, names []string) ([]string, error) {
	within, err := s.Caller.Reach(c)
	if err != nil {
		return nil, err
	}
	hits, err := s.Store.Fields(c.UserContext(), s.lake.Everywhere(within, dsl.IndexFilter(names)), maxFields)
	if err != nil {
		return nil, err
	}
	list := []string{dsl.FieldTime}
	for _, h := range hits {
		if h.Value != dsl.FieldTime && h.Value != "" {
			list = append(list, h.Value)
		}
	}
	slices.Sort(list)
	return slices.Compact(list), nil
}

// pass passes a question about the indices of a cluster on.
func (s *Server) pass(c *fiber.Ctx, in indices, path string) error {
	within, err := s.Caller.Reach(c)
	if err != nil {
		return err
	}
	name := in.cluster[0]
	out, err := s.clusters[name].About(c.UserContext(), within, in.remote[name], path)
	if err != nil {
		return err
	}
	return wire.Respond(c, http.StatusOK, out)
}

// mapping answers GET /{index}/_mapping with the fields that events have: one
// mapping for all indices that have events.
func (s *Server) mapping(c *fiber.Ctx) error {
	in, err := s.indices(wire.Param(c, "index"))
	if err != nil {
		return err
	}
	if len(in.cluster) > 0 {
		return s.pass(c, in, "/_mapping")
	}
	names, err := s.fields(c, in.here)
	if err != nil {
		return err
	}
	list, err := s.listIndices(c, in.here)
	if err != nil {
		return err
	}
	out := map[string]any{}
	if patterns := wire.Param(c, "fields"); patterns != "" {
		found := map[string]any{}
		for _, n := range names {
			if filterpath.Any(strings.Split(patterns, ","), n) {
				found[n] = map[string]any{"full_name": n, "mapping": map[string]any{n[strings.LastIndexByte(n, '.')+1:]: map[string]any{"type": dsl.TypeOf(n)}}}
			}
		}
		for _, l := range list {
			out[l.name] = map[string]any{"mappings": found}
		}
		return wire.Respond(c, http.StatusOK, out)
	}
	properties := map[string]any{}
	for _, n := range names {
		at := properties
		parts := strings.Split(n, ".")
		for _, p := range parts[:len(parts)-1] {
			inner, ok := at[p].(map[string]any)
			if !ok {
				inner = map[string]any{}
				at[p] = inner
			}
			below, ok := inner["properties"].(map[string]any)
			if !ok {
				below = map[string]any{}
				inner["properties"] = below
			}
			at = below
		}
		last := parts[len(parts)-1]
		if inner, ok := at[last].(map[string]any); ok {
			inner["type"] = dsl.TypeOf(n)
			continue
		}
		at[last] = map[string]any{"type": dsl.TypeOf(n)}
	}
	for _, l := range list {
		out[l.name] = map[string]any{"mappings": map[string]any{"properties": properties}}
	}
	return wire.Respond(c, http.StatusOK, out)
}

// fieldCaps answers _field_caps: what the fields that events have are good for.
func (s *Server) fieldCaps(c *fiber.Ctx) error {
	in, err := s.indices(wire.Param(c, "index"))
	if err != nil {
		return err
	}
	patterns := []string{}
	body, err := wire.Decode(c.Body())
	if err != nil {
		return err
	}
	o := wire.NewObject("_field_caps", body)
	patterns = append(patterns, o.Texts("fields")...)
	if q := c.Query("fields"); q != "" {
		patterns = append(patterns, strings.Split(q, ",")...)
	}
	filter, filtered := o.Has("index_filter")
	if err := o.Done(); err != nil {
		return err
	}
	if len(patterns) == 0 {
		return wire.Invalid("action_request_validation_exception", "Validation Failed: 1: no fields specified;")
	}
	if len(in.cluster) > 0 {
		return s.pass(c, in, "/_field_caps?fields="+url.QueryEscape(strings.Join(patterns, ",")))
	}
	if filtered {
		// It may only leave out indices that have nothing that matches, and
		// whether one has is not known before.
		if _, err := (&dsl.Compiler{Now: s.Now()}).Query(filter); err != nil {
			return err
		}
	}
	names, err := s.fields(c, in.here)
	if err != nil {
		return err
	}
	list, err := s.listIndices(c, in.here)
	if err != nil {
		return err
	}
	out := map[string]any{}
	add := func(n string, k string, usable, metadata bool) {
		if !filterpath.Any(patterns, n) {
			return
		}
		out[n] = map[string]any{k: map[string]any{"type": k, "metadata_field": metadata, "searchable": usable, "aggregatable": usable && k != string(dsl.Text)}}
	}
	for _, n := range names {
		add(n, string(dsl.TypeOf(n)), true, false)
		for at := range len(n) {
			if n[at] == '.' {
				if parent := n[:at]; out[parent] == nil && !slices.Contains(names, parent) {
					add(parent, "object", false, false)
				}
			}
		}
	}
	add(dsl.FieldID, "_id", true, true)
	add(dsl.FieldIndex, "_index", true, true)
	indexNames := []string{}
	for _, l := range list {
		indexNames = append(indexNames, l.name)
	}
	return wire.Respond(c, http.StatusOK, map[string]any{"indices": indexNames, "fields": out})
}
