package dsl

import (
	"regexp"
	"strings"

	"icewatch/soc/elastic/filterpath"
)

// An index is a label of an event, no place of storage: the index that the
// sender named to the bulk API, or, of events that came in otherwise,
// <type>-<dataset>-<tenant> as data streams are named: logs-nginx.access-tax.
// Type is data_stream.type, "logs" where there is none.

// IndexOf is the index of a row.
func IndexOf(row map[string]string) string {
	if name := row[ColumnIndex]; name != "" {
		return name
	}
	kind, dataset, tenant := row[ColumnType], row[ColumnDataset], row[ColumnTenant]
	if kind == "" {
		kind = "logs"
	}
	if dataset == "" {
		dataset = "generic"
	}
	if tenant == "" {
		tenant = "default"
	}
	return kind + "-" + dataset + "-" + tenant
}

// IndexFilter is the filter for the rows of indices: names or patterns, of which
// those with - in front leave out.
func IndexFilter(names []string) string {
	var in, out []string
	for _, n := range names {
		n = strings.TrimSpace(n)
		switch {
		case n == "":
		case n[0] == '-' && len(n) > 1:
			out = append(out, Not(oneIndex(n[1:])))
		default:
			in = append(in, oneIndex(n))
		}
	}
	wanted := Everything
	if len(in) > 0 {
		wanted = Or(in...)
	}
	return And(append(out, wanted)...)
}

// oneIndex is the filter for one name or pattern.
func oneIndex(name string) string {
	if name == "_all" || strings.Trim(name, "*") == "" {
		return Everything
	}
	labelled := like(ColumnIndex, name)
	unlabelled := []string{Exactly(ColumnIndex, "")}
	// What the pattern says of type, dataset and tenant.
	kind, rest, more := strings.Cut(name, "-")
	switch {
	case !more && !strings.HasSuffix(kind, "*"):
		return labelled
	case !more:
		unlabelled = append(unlabelled, likeType(kind))
	default:
		if strings.Contains(kind, "*") {
			// The star may reach beyond the type; then only what follows the last
			// hyphen is known, and it says nothing about the parts.
			return labelled
		}
		unlabelled = append(unlabelled, likeType(kind))
		at := strings.LastIndexByte(rest, '-')
		switch {
		case at >= 0:
			unlabelled = append(unlabelled, likePart(ColumnDataset, rest[:at], "generic"), likePart(ColumnTenant, rest[at+1:], "default"))
		case strings.HasSuffix(rest, "*"):
			unlabelled = append(unlabelled, likePart(ColumnDataset, rest, "generic"))
		default:
			return labelled
		}
	}
	return Or(labelled, And(unlabelled...))
}

// like compares a column with a pattern.
func like(column, pattern string) string {
	head, simple := strings.CutSuffix(pattern, "*")
	switch {
	case !strings.Contains(pattern, "*"):
		return Exactly(column, pattern)
	case head == "":
		return Present(column)
	case simple && !strings.Contains(head, "*"):
		return Quote(column) + ":=" + Quote(head) + "*"
	}
	return Matches(column, "^"+strings.ReplaceAll(regexp.QuoteMeta(pattern), `\*`, ".*")+"$")
}

// likePart is like where a row without the column has the value otherwise.
func likePart(column, pattern, otherwise string) string {
	if strings.Trim(pattern, "*") == "" {
		return Everything
	}
	if filterpath.Glob(pattern, otherwise) {
		return Or(like(column, pattern), Exactly(column, ""))
	}
	return like(column, pattern)
}

func likeType(pattern string) string { return likePart(ColumnType, pattern, "logs") }
