package scenario_test

import (
	"context"
	"path/filepath"
	"testing"

	"github.com/uptrace/bun"

	"icewatch/detections"
	"icewatch/detections/ruleset"
	"icewatch/rules"
	"icewatch/soc/event"
	"icewatch/soc/state"
	"icewatch/ticketing/scenario"
)

// TestShippedRulesServeScenarios holds that each scenario that is shipped has rules
// that are shipped, and says how many.
func TestShippedRulesServeScenarios(t *testing.T) {
	t.Parallel()
	set, problems := ruleset.Compile(ruleset.Load([]ruleset.Source{{Name: "builtin", FS: rules.FS}}), event.NewRegistry(0))
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	ctx := t.Context()
	db, err := state.Open(ctx, filepath.Join(t.TempDir(), "state.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	type row struct {
		bun.BaseModel `bun:"table:alerts"`
		RuleID        string `bun:"rule_id"`
		Attack        string `bun:"attack"`
		Risk          string `bun:"risk"`
		Techniques    string `bun:"techniques"`
		Threat        string `bun:"threat"`
		Direction     string `bun:"direction"`
		Verdict       int    `bun:"verdict"`
	}
	if _, err := db.NewCreateTable().Model((*row)(nil)).Exec(ctx); err != nil {
		t.Fatal(err)
	}
	var named []scenario.Rule
	var rows []row
	for _, list := range [][]*ruleset.Rule{set.Detections(), set.Correlations()} {
		for _, r := range list {
			if r.Silent {
				continue
			}
			ref := detections.RuleRef{ID: r.ID, Title: r.Info.Title, Level: r.Info.Level, Tags: r.Info.Tags, Tactics: r.Info.Tactics, Techniques: r.Info.Techniques}
			class := set.Class(r, &ref)
			for rank := range len(detections.Verdicts) + 1 {
				o := detections.Occurrence{Rule: ref}
				j := set.Taxonomy().Judge(&class, &o, nil)
				out := row{RuleID: r.ID, Attack: j.Attack, Verdict: rank, Threat: "website", Direction: "lateral"}
				for _, code := range []string{j.Risk.Class, j.Risk.Subclass, j.Risk.Type} {
					if code != "" {
						out.Risk += code + "/"
					}
				}
				for i, tech := range r.Info.Techniques {
					if i > 0 {
						out.Techniques += ","
					}
					out.Techniques += tech
				}
				rows = append(rows, out)
			}
			named = append(named, scenario.Rule{ID: r.ID, Name: r.Name, Tags: r.Info.Tags})
		}
	}
	for start := 0; start < len(rows); start += 500 {
		part := rows[start:min(start+500, len(rows))]
		if _, err := db.NewInsert().Model(&part).Exec(ctx); err != nil {
			t.Fatal(err)
		}
	}
	src := &scenario.Source{Rules: func(context.Context) ([]scenario.Rule, error) { return named, nil },
		Values: func(ctx context.Context, column string) (out []string, err error) {
			err = db.NewSelect().Table("alerts").ColumnExpr("DISTINCT ?", bun.Ident(column)).Scan(ctx, &out)
			return out, err
		}}
	for _, s := range scenario.Shipped() {
		clause, err := scenario.Compile(ctx, s.Any, src)
		if err != nil {
			t.Errorf("%s: %v", s.ID, err)
			continue
		}
		var n int
		if err := db.NewSelect().Table("alerts").ColumnExpr("count(DISTINCT rule_id)").Where(clause.Where, clause.Args...).Scan(ctx, &n); err != nil {
			t.Fatal(err)
		}
		if t.Logf("%s: %d rules", s.ID, n); n < 2 {
			t.Errorf("the scenario %s has %d of the %d rules that are shipped", s.ID, n, len(named))
		}
		if _, err := scenario.Compile(ctx, s.Risks, src); err != nil {
			t.Errorf("%s: risks: %v", s.ID, err)
		}
	}
}
