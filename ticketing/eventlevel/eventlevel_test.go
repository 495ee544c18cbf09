package eventlevel

import (
	"strings"
	"testing"
)

func judge(t Terms, known map[string][]string) Grade {
	return t.Judge(func(f Factor) []string { return known[f.Key] })
}

func TestJudge(t *testing.T) {
	t.Parallel()
	terms := Default()
	if err := terms.Check(); err != nil {
		t.Fatal(err)
	}
	for name, x := range map[string]struct {
		known map[string][]string
		level int
		score float64
		floor int
	}{
		"nothing is known":                 {nil, 1, 0, 0},
		"the answer alone":                 {map[string][]string{"law": {"none"}}, 1, 0, 0},
		"a small matter":                   {map[string][]string{"scope": {"1"}, "harm": {"attempt"}, "data": {"3"}}, 1, 34.1, 0}, // (20·25+30·30+50·30)/85
		"all of the gravest":               {map[string][]string{"scope": {"7"}, "harm": {"compromised"}, "data": {"5"}, "law": {"report_now"}}, 4, 100, 0},
		"the law lifts what is small":      {map[string][]string{"scope": {"1"}, "harm": {"failed"}, "data": {"1"}, "law": {"report_now"}}, 3, 29, 3}, // (500+300+600+1500)/100
		"important data, and it failed":    {map[string][]string{"scope": {"1"}, "harm": {"failed"}, "data": {"4"}}, 2, 37.6, 2},
		"the first step of several values": {map[string][]string{"harm": {"failed", "success"}}, 3, 80, 0},
		"a value that no step knows":       {map[string][]string{"harm": {"somehow"}, "data": {"x"}}, 1, 0, 0},
	} {
		g := judge(terms, x.known)
		if g.Level != x.level || g.Score != x.score || g.Floor != x.floor || g.Name != terms.Levels[x.level-1].Name || len(g.Reasons) != 4 {
			t.Errorf("%s: level %d, %g points, floor %d, want %d, %g, %d", name, g.Level, g.Score, g.Floor, x.level, x.score, x.floor)
		}
	}
	g := judge(terms, map[string][]string{"data": {"4"}})
	if r := g.Reasons[2]; r.Value != "4" || r.Means.EN != "Level 4 (important data)" || r.Points != 80 || r.Weight != 30 || r.Floor != 2 {
		t.Errorf("the reason: %+v", r)
	}
	if !g.Reasons[3].Asked || g.Reasons[2].Asked {
		t.Errorf("who is asked: %+v", g.Reasons)
	}
	// The table can be extended.
	at := 10_000.0
	terms.Factors = append(terms.Factors, Factor{Key: "people", Name: text("涉及人数", "People concerned"), Source: Field, Of: "data.subjects", Weight: 100, Steps: []Step{{AtLeast: &at, Name: text("万人以上", "10,000 and more"), Points: 100, Floor: 4}}})
	if err := terms.Check(); err != nil {
		t.Fatal(err)
	}
	if g := judge(terms, map[string][]string{"data": {"3"}, "people": {"12000"}}); g.Level != 4 || g.Score != 88.5 {
		t.Errorf("with a factor of one's own: %+v", g)
	}
}

func TestCheck(t *testing.T) {
	t.Parallel()
	for want, change := range map[string]func(*Terms){
		"from: 6":                            func(t *Terms) { t.From = 6 },
		"factors: 0":                         func(t *Terms) { t.Factors = nil },
		"levels: 1":                          func(t *Terms) { t.Levels = t.Levels[:1] },
		"levels[0].from: 5":                  func(t *Terms) { t.Levels[0].From = 5 },
		"levels[2].from: 10":                 func(t *Terms) { t.Levels[2].From = 10 },
		"levels[1].name":                     func(t *Terms) { t.Levels[1].Name = text("", "") },
		`factors[1].key: "Harm"`:             func(t *Terms) { t.Factors[1].Key = "Harm" },
		`factors[1].key: "scope" is given`:   func(t *Terms) { t.Factors[1].Key = "scope" },
		`factors[0].source: "guess"`:         func(t *Terms) { t.Factors[0].Source = "guess" },
		"factors[0].of: the source field":    func(t *Terms) { t.Factors[0].Source = Field },
		"factors[0].weight: 101":             func(t *Terms) { t.Factors[0].Weight = 101 },
		"factors[0].steps: 0":                func(t *Terms) { t.Factors[0].Steps = nil },
		"factors[0].steps[0]: want at_least": func(t *Terms) { t.Factors[0].Steps[0].Is = "x" },
		"factors[0].steps[1].points: -1":     func(t *Terms) { t.Factors[0].Steps[1].Points = -1 },
		"factors[2].steps[0].floor: 5":       func(t *Terms) { t.Factors[2].Steps[0].Floor = 5 },
		`factors[3].steps[1].is: "must we?"`: func(t *Terms) { t.Factors[3].Steps[1].Is = "must we?" },
		`factors[3].steps[1].is: "none" is`:  func(t *Terms) { t.Factors[3].Steps[0].Is, t.Factors[3].Steps[1].Is = "none", "none" },
		"factors: none has a weight": func(t *Terms) {
			for i := range t.Factors {
				t.Factors[i].Weight = 0
			}
		},
		`activities[1].key: "transmission" is`: func(t *Terms) { t.Activities[1].Key = "transmission" },
		"activities[0].when: 0 lines":          func(t *Terms) { t.Activities[0].When = nil },
		`activities[0].when[0]: "user"`:        func(t *Terms) { t.Activities[0].When[0] = "user=x" },
	} {
		terms := Default()
		change(&terms)
		if err := terms.Check(); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}
