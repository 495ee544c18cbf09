package reach

import "github.com/uptrace/bun"

// Kept are a row's own facts as the suite's tables keep them; a row's model
// embeds it.
type Kept struct {
	Unit     string `bun:"reach_unit"`
	Region   string `bun:"reach_region"`
	Industry string `bun:"reach_industry"`
	Labels   string `bun:"reach_labels"` // as JoinLabels writes them
}

// KeptColumns are the columns of Kept.
var KeptColumns = []string{"reach_unit", "reach_region", "reach_industry", "reach_labels"}

// FactsOf are the facts of a row of the tenant.
func (k Kept) FactsOf(tenant string) Facts {
	return Facts{Tenant: tenant, Unit: k.Unit, Region: k.Region, Industry: k.Industry, Labels: SplitLabels(k.Labels)}
}

// Within keeps of a query's rows those in reach. alias is that of a table with
// a column tenant and those of Kept. A row of no tenant is in All only.
func (r Reach) Within(q *bun.SelectQuery, alias string) *bun.SelectQuery {
	if r.Everything() && len(r.v.but) == 0 {
		return q
	}
	where, args := r.SQL(Columns{Tenant: alias + ".tenant", Unit: alias + ".reach_unit", Region: alias + ".reach_region",
		Industry: alias + ".reach_industry", Labels: alias + ".reach_labels"})
	return q.Where(where, args...)
}
