package risk

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"icewatch/detections"
)

var now = time.Date(2026, 11, 26, 8, 0, 0, 0, time.UTC)

func alertOf(severity detections.Level, verdict detections.Verdict, days int) Threat {
	return Threat{Name: text("攻击", "attack"), Severity: severity, Verdict: verdict, At: now.AddDate(0, 0, -days)}
}

func TestScore(t *testing.T) {
	t.Parallel()
	closed := alertOf("critical", detections.Compromised, 0)
	closed.Closed = true
	confirmed := closed
	confirmed.Real = true
	for _, c := range []struct {
		name   string
		s      Subject
		score  int
		level  Level
		tags   string
		reason string
	}{
		{"nothing is known", Subject{}, 8, Low, "unprotected", "There are no recent alerts"},
		{"well kept", Subject{Criticality: 5, Exposure: "isolated", Controls: 5, Logging: 1, Watchable: true}, 0, Low, "", "Its logs arrive"},
		{"on the Internet without protection", Subject{Criticality: 5, Exposure: "internet", Doors: 10, Watchable: true}, 19, Low, "exposed unprotected silent", "10 ports or interfaces"},
		{"attacked", Subject{Criticality: 5, Exposure: "isolated", Controls: 5, Threats: []Threat{alertOf("critical", "", 0), alertOf("high", detections.Attempt, 0)}}, 25, Low, "attacked", "2 alerts are open"},
		{"attacked and of MLPS level 4", Subject{ProtectionLevel: 4, Exposure: "internet", Threats: []Threat{alertOf("critical", "", 0), alertOf("high", detections.Attempt, 0)}}, 44, Medium, "attacked exposed unprotected", "It is of MLPS level 4"},
		{"the same a half-life ago", Subject{Criticality: 5, Exposure: "isolated", Controls: 5, Threats: []Threat{alertOf("critical", "", 7)}}, 9, Low, "", "7 days ago"},
		{"an attack that succeeded", Subject{Criticality: 1, Threats: []Threat{alertOf("medium", detections.Success, 20)}}, 60, High, "breached unprotected", "it succeeded"},
		{"compromised", Subject{Criticality: 1, Threats: []Threat{alertOf("medium", detections.Compromised, 3)}}, 85, Compromised, "compromised unprotected", "compromised"},
		{"a false alarm", Subject{Criticality: 5, Exposure: "isolated", Controls: 5, Threats: []Threat{closed}}, 0, Low, "", "There are no recent alerts"},
		{"an attack that was dealt with", Subject{Criticality: 5, Exposure: "isolated", Controls: 5, Threats: []Threat{confirmed}}, 19, Low, "attacked", "0 alerts are open"},
		{"an overdue assessment", Subject{Criticality: 5, Exposure: "isolated", Controls: 5, Findings: []Finding{{"high", text("测评逾期", "Its assessment is overdue")}}}, 5, Low, "weak", "Its assessment is overdue"},
		{"CII counts in full", Subject{Criticality: 1, CII: true, Exposure: "internet"}, 18, Low, "exposed unprotected cii", "critical information infrastructure"},
	} {
		r := Score(c.s, DefaultPolicy, now)
		var why []string
		for _, p := range r.Parts {
			for _, x := range p.Reasons {
				if x.ZH == "" || x.EN == "" {
					t.Errorf("%s: a reason lacks a language: %+v", c.name, x)
				}
				why = append(why, x.EN)
			}
		}
		for _, x := range r.Matters {
			why = append(why, x.EN)
		}
		if r.Score != c.score || r.Level != c.level || strings.Join(r.Tags, " ") != c.tags || !strings.Contains(strings.Join(why, "; "), c.reason) {
			t.Errorf("%s: %d %s %v because %q; want %d %s %q because %q", c.name, r.Score, r.Level, r.Tags, why, c.score, c.level, c.tags, c.reason)
		}
	}
}

// subject makes one at random.
func subject(rnd *rand.Rand) Subject {
	s := Subject{Criticality: rnd.IntN(6), ProtectionLevel: rnd.IntN(6), CII: rnd.IntN(8) == 0, Key: rnd.IntN(8) == 0,
		Exposure: []string{"", "internet", "extranet", "internal", "isolated", "other"}[rnd.IntN(6)], Doors: rnd.IntN(30), Controls: rnd.IntN(8),
		Logging: rnd.Float64(), Watchable: rnd.IntN(2) == 0}
	for range rnd.IntN(12) {
		s.Threats = append(s.Threats, threatOf(rnd))
	}
	for range rnd.IntN(5) {
		s.Findings = append(s.Findings, Finding{Severity: detections.Levels[rnd.IntN(len(detections.Levels))], Title: text("隐患", "finding")})
	}
	return s
}

func threatOf(rnd *rand.Rand) Threat {
	verdicts := append([]detections.Verdict{""}, detections.Verdicts...)
	return Threat{Name: text("攻击", "attack"), Severity: detections.Levels[rnd.IntN(len(detections.Levels))], Verdict: verdicts[rnd.IntN(len(verdicts))],
		At: now.Add(-time.Duration(rnd.IntN(40*24)) * time.Hour), Closed: rnd.IntN(3) == 0, Real: rnd.IntN(2) == 0, Incident: rnd.IntN(2) == 0}
}

func policyOf(rnd *rand.Rand) Policy {
	p := DefaultPolicy
	p.Threat = 20 + float64(rnd.IntN(50))
	rest := 100 - p.Threat
	p.Finding, p.Exposure, p.Protection = rest/2, rest/4, rest/4
	p.HalfLifeDays, p.MediumAt, p.HighAt, p.CompromisedFloor = 1+29*rnd.Float64(), 10+rnd.IntN(30), 41+rnd.IntN(40), 80+rnd.IntN(21)
	return p
}

// What makes things worse never lowers a score or a level, whatever else is
// known and whatever policy is in force; and scores stay within 0 and 100.
func TestWorseIsNeverLess(t *testing.T) {
	t.Parallel()
	for seed := range uint64(20_000) {
		rnd := rand.New(rand.NewPCG(seed, 1))
		s, p := subject(rnd), policyOf(rnd)
		before := Score(s, p, now)
		if before.Score < 0 || before.Score > 100 || (before.Level == Compromised) != slices.Contains(before.Tags, "compromised") {
			t.Fatalf("seed %d: %+v", seed, before)
		}
		worse := s
		worse.Threats = slices.Clone(s.Threats)
		what := rnd.IntN(11)
		var at *Threat
		if len(worse.Threats) > 0 {
			at = &worse.Threats[rnd.IntN(len(worse.Threats))]
		}
		switch {
		case what == 0:
			worse.Threats = append(worse.Threats, threatOf(rnd))
		case what == 1 && at != nil:
			at.Severity = detections.Levels[max(rnd.IntN(len(detections.Levels)), slices.Index(detections.Levels, at.Severity))]
		case what == 2 && at != nil && at.Verdict != "":
			at.Verdict = detections.Verdicts[max(rnd.IntN(4), at.Verdict.Rank()-1)]
		case what == 3 && at != nil:
			at.At = at.At.Add(time.Duration(rnd.IntN(100)) * time.Hour)
		case what == 4 && at != nil:
			at.Closed = false
		case what == 5:
			worse.Findings = append(slices.Clone(s.Findings), Finding{Severity: detections.Levels[rnd.IntN(len(detections.Levels))], Title: text("隐患", "finding")})
		case what == 6:
			worse.Exposure = "internet"
		case what == 7:
			worse.Doors += rnd.IntN(10)
		case what == 8:
			worse.Controls, worse.Logging = rnd.IntN(s.Controls+1), s.Logging*rnd.Float64()
		case what == 9:
			worse.Criticality = 5
		case what == 10:
			worse.CII, worse.ProtectionLevel = true, 5
		}
		if after := Score(worse, p, now); after.Score < before.Score || after.Level.Rank() < before.Level.Rank() {
			t.Fatalf("seed %d, case %d: %d %s became %d %s\n%+v\n%+v", seed, what, before.Score, before.Level, after.Score, after.Level, s, worse)
		}
		// Time alone never makes it worse.
		if later := Score(s, p, now.AddDate(0, 0, 1)); later.Score > before.Score {
			t.Fatalf("seed %d: a day later %d is %d", seed, before.Score, later.Score)
		}
	}
}

func TestWhole(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		scores      []int
		compromised bool
		score       int
		level       Level
	}{
		{nil, false, 0, Low},
		{[]int{70}, false, 59, Medium},
		{[]int{0, 70, 0}, false, 59, Medium},
		{[]int{70, 70, 70, 70, 70, 70}, false, 70, High},
		{[]int{100, 100, 100, 100, 100}, false, 100, High},
		{[]int{85, 3}, true, 85, Compromised},
	} {
		if score, level := Whole(c.scores, c.compromised, DefaultPolicy); score != c.score || level != c.level {
			t.Errorf("%v: %d %s, want %d %s", c.scores, score, level, c.score, c.level)
		}
	}
	for seed := range uint64(2000) {
		rnd := rand.New(rand.NewPCG(seed, 1))
		var scores []int
		for range 1 + rnd.IntN(9) {
			scores = append(scores, rnd.IntN(101))
		}
		before, _ := Whole(scores, false, DefaultPolicy)
		i := rnd.IntN(len(scores))
		scores[i] = min(100, scores[i]+rnd.IntN(30))
		if after, _ := Whole(append(scores, rnd.IntN(101)), false, DefaultPolicy); after < before {
			t.Fatalf("seed %d: %d became %d", seed, before, after)
		}
	}
}

func TestPolicy(t *testing.T) {
	t.Parallel()
	if err := DefaultPolicy.Check(); err != nil {
		t.Error(err)
	}
	for want, change := range map[string]func(*Policy){
		"threat: 90: 20 to 80":                 func(p *Policy) { p.Threat = 90 },
		"half_life_days: 0: 1 to 30":           func(p *Policy) { p.HalfLifeDays = 0 },
		"share 100 points; they add up to 110": func(p *Policy) { p.Threat = 70 },
		"medium_at: 45: less than high_at, 45": func(p *Policy) { p.MediumAt, p.HighAt = 45, 45 },
		"compromised_floor: 101: 80 to 100":    func(p *Policy) { p.CompromisedFloor = 101 },
	} {
		p := DefaultPolicy
		change(&p)
		if err := p.Check(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v, want %q", p, err, want)
		}
	}
}
