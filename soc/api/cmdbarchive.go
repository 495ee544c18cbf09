package api

import (
	"cmp"
	"context"
	"net/http"
	"net/netip"
	"slices"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"icewatch/cmdb"
	"icewatch/cmdb/risk"
	"icewatch/soc/identity"
	"icewatch/soc/reach"
)

// systemLabels is the attribute of a business system's labels.
const systemLabels = "system_labels"

// withLabel adds a label to a list of labels, or takes it away.
func withLabel(list, label string, present bool) string {
	labels := slices.DeleteFunc(strings.Split(list, ";"), func(l string) bool { return l == "" || l == label })
	if present {
		labels = append(labels, label)
	}
	return strings.Join(labels, ";")
}

// archive says how a class of items is looked for: a word may occur in any of
// the fields, a label may be a value of any of the others.
type archive struct {
	class  string
	kind   string // of risk
	words  []string
	labels []string
	within []string // filters with %s for a quoted word
}

var (
	unitArchive = archive{class: cmdb.Organisation, kind: risk.Unit,
		words:  []string{"name", "owner", "short_name", "industry", "unit_type", "status", "contact", "phone", "filing_number", "credit_code", "postal_address", "label"},
		labels: []string{"industry", "unit_type", "status", "label"}}
	systemArchive = archive{class: cmdb.BusinessSystem, kind: risk.System,
		words:  []string{"name", "owner", "name_en", "domain", "business_line", "site_domain", "site_ip", "system_type", "filing_number", "subsystems", "label", "organisation.name"},
		labels: []string{systemLabels, "risk_labels", "system_type", "importance", "exposure", "label"},
		// Its components by name and host name, and the item at an address.
		within: []string{`has <-belongs_to_system- *[name ~ %s or hostname ~ %s]`}}
)

// filter is the CMDB's filter for words and labels that all have to hold, and a
// filter of the caller's own.
func (a *archive) filter(q string, labels []string, own string) string {
	parts := []string{"class = " + a.class}
	for _, w := range strings.Fields(q) {
		quoted := quote(w)
		var any []string
		for _, f := range a.words {
			any = append(any, f+" ~ "+quoted)
		}
		for _, f := range a.within {
			any = append(any, strings.ReplaceAll(f, "%s", quoted))
		}
		if address, err := netip.ParseAddr(w); err == nil && a.class == cmdb.BusinessSystem {
			any = append(any, "has <-belongs_to_system- *[address = "+quote(address.String())+"]")
		}
		parts = append(parts, "("+strings.Join(any, " or ")+")")
	}
	for _, l := range labels {
		var any []string
		for _, f := range a.labels {
			any = append(any, f+" = "+quote(l))
		}
		parts = append(parts, "("+strings.Join(any, " or ")+")")
	}
	if strings.TrimSpace(own) != "" {
		parts = append(parts, "("+own+")")
	}
	return strings.Join(parts, " and ")
}

// archived is a unit or system as its card shows it.
type archived struct {
	cmdb.Item
	Risk    *risk.Line     `json:"risk,omitempty" doc:"Absent until it is scored, some seconds after it was made"`
	Unit    *cmdb.Ref      `json:"unit,omitempty" doc:"The organisation it belongs to"`
	Members map[string]int `json:"members" nullable:"false" doc:"Class → items within reach that belong to it"`
}

// maxArchived is how many units or systems one question finds.
const maxArchived = 5000

// ArchiveInput is what units or systems are looked for by.
type ArchiveInput struct {
	Q      string `query:"q" maxLength:"256" doc:"Words that all occur somewhere in it"`
	Labels string `query:"labels" maxLength:"1024" doc:"Labels that it all has, of whatever kind, separated by commas"`
	Level  string `query:"level" maxLength:"64" doc:"Levels of risk, separated by commas"`
	Filter string `query:"filter" maxLength:"8192" doc:"A filter of the CMDB besides"`
	Sort   string `query:"sort" enum:"score,alerts,incidents,findings,criticality,name" default:"score" doc:"The most first; name in its order"`
	Tenant string `query:"tenant" maxLength:"4096"`
}

// archived finds units or systems, in their order, with their risk.
func (s *Server) archived(ctx context.Context, a *archive, in *ArchiveInput) (within reach.Reach, list []archived, err error) {
	if s.deps.CMDB == nil {
		return within, nil, unavailable("the CMDB")
	}
	if within, err = Reach(ctx, in.Tenant); err != nil {
		return within, nil, err
	}
	f := cmdb.Filter{Expression: a.filter(in.Q, words(in.Labels), in.Filter), Limit: 1000}
	var ids []string
	for len(list) < maxArchived {
		page, err := s.deps.CMDB.Items(ctx, within, f)
		if err != nil {
			return within, nil, err
		}
		for _, it := range page.Items {
			list, ids = append(list, archived{Item: it}), append(ids, it.ID)
		}
		if f.Cursor = page.Next; f.Cursor == "" {
			break
		}
	}
	lines, err := s.deps.Risk.Lines(ctx, within, ids)
	if err != nil {
		return within, nil, err
	}
	levels := words(in.Level)
	list = slices.DeleteFunc(list, func(x archived) bool {
		return len(levels) > 0 && !slices.Contains(levels, string(lines[x.ID].Level))
	})
	slices.SortStableFunc(list, func(x, y archived) int {
		p, q := lines[x.ID], lines[y.ID]
		by := map[string]int{"alerts": q.Alerts - p.Alerts, "incidents": q.Incidents - p.Incidents, "findings": q.Findings - p.Findings,
			"criticality": y.Criticality - x.Criticality, "score": cmp.Or(q.Level.Rank()-p.Level.Rank(), q.Score-p.Score)}[in.Sort]
		return cmp.Or(by, strings.Compare(x.Name, y.Name), strings.Compare(x.ID, y.ID))
	})
	for i := range list {
		if l, ok := lines[list[i].ID]; ok {
			list[i].Risk = &l
		}
	}
	return within, list, nil
}

// archiveRoute registers an archive as a list and as a file, both by the same
// filters.
func (s *Server) archiveRoute(id, path, summary string, a archive) {
	Register(s, cmdbOperation("list-cmdb-"+id, http.MethodGet, path, summary, 400), identity.ScopeRead,
		func(ctx context.Context, in *struct {
			PageInput
			ArchiveInput
		}) (*Body[Page[archived]], error) {
			from, err := offsetOf(in.Cursor)
			if err != nil {
				return nil, err
			}
			within, list, err := s.archived(ctx, &a, &in.ArchiveInput)
			if err != nil {
				return nil, err
			}
			total := len(list)
			list = list[min(from, total):min(from+in.Limit, total)]
			for i := range list {
				x := &list[i]
				around, err := s.deps.CMDB.Relations(ctx, within, x.ID)
				if err != nil {
					return nil, err
				}
				x.Unit, x.Members = around.Organisation, around.Counts
			}
			return Reply(PageOf(list, total, after(from, len(list), total))), nil
		})
	export := cmdbOperation("export-cmdb-"+id, http.MethodGet, path+"/export", "The same as a file, at most 5,000 rows", 400)
	export.Responses = binary("text/csv", cmdbFileTypes[cmdb.XLSX])
	Register(s, export, identity.ScopeRead,
		func(ctx context.Context, in *struct {
			TableInput
			ArchiveInput
		}) (*huma.StreamResponse, error) {
			_, list, err := s.archived(ctx, &a, &in.ArchiveInput)
			if err != nil {
				return nil, err
			}
			header := []string{"id", "name", "tenant", "owner", "criticality", "labels", "organisation", "score", "level", "alerts", "incidents", "findings", "why_zh", "why_en"}
			// The attributes that any of them has, in their order of the model.
			var attributes []string
			for _, c := range s.deps.CMDB.Classes() {
				for i := range c.Attributes {
					name := c.Attributes[i].Name
					if c.Name == a.class && slices.ContainsFunc(list, func(x archived) bool { return x.Attributes[name] != "" }) {
						attributes = append(attributes, name)
					}
				}
			}
			rows := make([][]any, len(list))
			for i := range list {
				x := &list[i]
				l := risk.Line{}
				if x.Risk != nil {
					l = *x.Risk
				}
				rows[i] = []any{x.ID, x.Name, x.Tenant, x.Owner, x.Criticality, strings.Join(x.Labels, ";"), x.Organisation, l.Score, string(l.Level), l.Alerts, l.Incidents, l.Findings, l.Why.ZH, l.Why.EN}
				for _, name := range attributes {
					rows[i] = append(rows[i], x.Attributes[name])
				}
			}
			return tableAnswer(id, in.Format, append(header, attributes...), rows)
		})
}

// quote writes a value as a filter reads it.
func quote(s string) string { return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s) + `"` }
