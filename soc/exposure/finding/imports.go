package finding

import (
	"context"
	"fmt"
	"time"

	"github.com/uptrace/bun"

	"icewatch/soc/reach"
)

// maxImports is how many imports are kept.
const maxImports = 2000

// ReportNote says which report is taken in, for the list of imports.
type ReportNote struct {
	Name  string // of the file
	Hosts int    // that the scanner looked at
}

// FindingReport is a report that was taken in.
type FindingReport struct {
	Change   string    `json:"change" doc:"What undo names"`
	Tenant   string    `json:"tenant,omitempty" doc:"Whose is what the CMDB did not know"`
	Name     string    `json:"name" doc:"Of the file"`
	Engine   string    `json:"engine"`
	Actor    string    `json:"actor"`
	At       time.Time `json:"at"`
	Hosts    int       `json:"hosts"`
	New      int       `json:"new"`
	Again    int       `json:"again" doc:"Known already"`
	Reopened int       `json:"reopened"`
	Gone     int       `json:"gone"`
	Undone   bool      `json:"undone,omitempty"`
}

type reportRow struct {
	bun.BaseModel `bun:"table:exposure_finding_imports,alias:m"`
	Change        string `bun:"change,pk"`
	Tenant        string `bun:"tenant"`
	Name          string `bun:"name"`
	Engine        string `bun:"engine"`
	Actor         string `bun:"actor"`
	At            int64  `bun:"at"`
	Hosts         int    `bun:"hosts"`
	New           int    `bun:"new"`
	Again         int    `bun:"again"`
	Reopened      int    `bun:"reopened"`
	Gone          int    `bun:"gone"`
	Undone        int    `bun:"undone"`
}

// noteReport keeps that a report was taken in, and forgets the oldest.
func (s *Service) noteReport(ctx context.Context, tx bun.Tx, how Take, change string, now time.Time, out *Taken) error {
	if how.Report == nil {
		return nil
	}
	r := reportRow{Change: change, Tenant: how.Tenant, Name: clip(how.Report.Name, 200), Engine: clip(how.Engine, 100), Actor: how.Actor, At: now.UnixMilli(), Hosts: how.Report.Hosts, New: out.New, Again: out.Again, Reopened: out.Reopened, Gone: out.Gone}
	if _, err := tx.NewInsert().Model(&r).Exec(ctx); err != nil {
		return fmt.Errorf("finding: keep the import: %w", err)
	}
	if _, err := tx.NewDelete().Table("exposure_finding_imports").Where("change IN (SELECT change FROM exposure_finding_imports ORDER BY at DESC LIMIT 1000000 OFFSET ?)", maxImports).Exec(ctx); err != nil {
		return fmt.Errorf("finding: forget old imports: %w", err)
	}
	return nil
}

// Reports lists the reports that were taken in, the newest first, at most 200: those that
// the asker brought, and those of tenants that are wholly within his reach.
func (s *Service) Reports(ctx context.Context, r reach.Reach, actor string) ([]FindingReport, error) {
	var rows []reportRow
	if err := s.db.NewSelect().Model(&rows).Order("m.at DESC", "m.change").Limit(maxImports).Scan(ctx); err != nil {
		return nil, fmt.Errorf("finding: list imports: %w", err)
	}
	out := []FindingReport{}
	for _, x := range rows {
		if x.Actor != actor && !r.Everything() && (x.Tenant == "" || !r.CoversWhole(x.Tenant)) {
			continue
		}
		if len(out) == 200 {
			break
		}
		out = append(out, FindingReport{Change: x.Change, Tenant: x.Tenant, Name: x.Name, Engine: x.Engine, Actor: x.Actor, At: when(x.At), Hosts: x.Hosts, New: x.New, Again: x.Again, Reopened: x.Reopened, Gone: x.Gone, Undone: x.Undone != 0})
	}
	return out, nil
}
