// Package eventlevel grades data-security events: from how far the impact reaches,
// how grave the harm is, the security level of the data, what the law asks for, and
// whatever else an administrator adds to the table of factors. It is a pure function
// of the table and of what is known about an event, so that the same answers give
// the same level, and each grade says why.
package eventlevel

import (
	"fmt"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"icewatch/detections"
	"icewatch/ticketing/generation"
)

// The sources of factors.
const (
	DataLevel = "data_level" // security level of the data, 1 to 5
	Severity  = "severity"   // of the incident, 0 informational to 4 critical
	Verdict   = "verdict"    // how far the attack got
	Alerts    = "alerts"     // how many there are
	Items     = "items"      // configuration items concerned
	Systems   = "systems"    // business systems concerned
	Field     = "field"      // of the alerts' events
	Attribute = "attribute"  // of the CMDB's items concerned, else of their systems
	Answer    = "answer"     // of a person
)

// Sources lists them.
var Sources = []string{DataLevel, Severity, Verdict, Alerts, Items, Systems, Field, Attribute, Answer}

// Terms are the table. It is a setting.
type Terms struct {
	From       int        `json:"from" minimum:"1" maximum:"5" doc:"Incidents about data of this security level and above are data-security events; so is one of which somebody answers a factor"`
	Factors    []Factor   `json:"factors" nullable:"false" maxItems:"50" doc:"What the level follows from"`
	Levels     []Level    `json:"levels" nullable:"false" maxItems:"9" doc:"The least grave first"`
	Activities []Activity `json:"activities" nullable:"false" maxItems:"50" doc:"Data-processing activities: the first that an alert of the event meets is the event's"`
}

// Factor is a line of the table.
type Factor struct {
	Key    string          `json:"key" pattern:"^[a-z][a-z0-9_]{0,39}$"`
	Name   detections.Text `json:"name"`
	Source string          `json:"source" enum:"data_level,severity,verdict,alerts,items,systems,field,attribute,answer" doc:"Where its value comes from: field and attribute are named by of, answer is given by a person"`
	Of     string          `json:"of,omitempty" maxLength:"200" doc:"Name of the field of the event, or of the attribute of the CMDB's item"`
	Weight float64         `json:"weight" minimum:"0" maximum:"100" doc:"How much it counts beside the others; with 0 it has its floors alone"`
	Steps  []Step          `json:"steps" nullable:"false" maxItems:"20" doc:"The first that a value meets counts"`
}

// Step is what a value of a factor counts.
type Step struct {
	AtLeast *float64        `json:"at_least,omitempty" doc:"Numbers from this on"`
	Is      string          `json:"is,omitempty" maxLength:"200" doc:"This value; of an answer its key"`
	Name    detections.Text `json:"name" doc:"What it means, and the answer as people choose it"`
	Points  float64         `json:"points" minimum:"0" maximum:"100"`
	Floor   int             `json:"floor,omitempty" minimum:"0" maximum:"9" doc:"The level is no less then, counted from 1: what the law asks for whatever the points"`
}

// Level is a level of events.
type Level struct {
	Name detections.Text `json:"name"`
	From float64         `json:"from" minimum:"0" maximum:"100" doc:"Points from which it holds; the first begins at 0"`
}

// Activity is a kind of data processing.
type Activity struct {
	Key  string          `json:"key" pattern:"^[a-z][a-z0-9_]{0,39}$"`
	Name detections.Text `json:"name"`
	When []string        `json:"when" nullable:"false" minItems:"1" maxItems:"50" doc:"Lines of matchers, as those of the policy of generation"`
}

func text(zh, en string) detections.Text { return detections.Text{ZH: zh, EN: en} }

// Default is the table as it is shipped: the four factors that the city's
// requirements name, four levels, and the seven activities of the Data Security Law,
// article 3.
func Default() Terms {
	at := func(n float64) *float64 { return &n }
	return Terms{
		From: 3,
		Factors: []Factor{
			{Key: "scope", Name: text("影响范围", "Scope of impact"), Source: Systems, Weight: 25, Steps: []Step{
				{AtLeast: at(5), Name: text("5 个及以上业务系统", "5 business systems and more"), Points: 100}, {AtLeast: at(2), Name: text("2 至 4 个业务系统", "2 to 4 business systems"), Points: 60}, {AtLeast: at(0), Name: text("单个业务系统", "One business system"), Points: 20}}},
			{Key: "harm", Name: text("危害程度", "Degree of harm"), Source: Verdict, Weight: 30, Steps: []Step{
				{Is: string(detections.Compromised), Name: text("已失陷", "Compromised"), Points: 100}, {Is: string(detections.Success), Name: text("攻击成功", "The attack succeeded"), Points: 80}, {Is: string(detections.Attempt), Name: text("仅有尝试", "An attempt"), Points: 30}, {Is: string(detections.Failed), Name: text("攻击失败", "It failed"), Points: 10}}},
			{Key: "data", Name: text("数据资产安全级别", "Security level of the data"), Source: DataLevel, Weight: 30, Steps: []Step{
				{AtLeast: at(5), Name: text("5 级（核心数据）", "Level 5 (core data)"), Points: 100, Floor: 3}, {AtLeast: at(4), Name: text("4 级（重要数据）", "Level 4 (important data)"), Points: 80, Floor: 2}, {AtLeast: at(3), Name: text("3 级", "Level 3"), Points: 50}, {AtLeast: at(1), Name: text("2 级及以下", "Level 2 and below"), Points: 20}}},
			{Key: "law", Name: text("法律法规要求", "Legal requirements"), Source: Answer, Weight: 15, Steps: []Step{
				{Is: "report_now", Name: text("须立即上报主管部门", "To be reported to the authority at once"), Points: 100, Floor: 3}, {Is: "report", Name: text("须告知个人或上报", "People or the authority are to be told"), Points: 60, Floor: 2}, {Is: "none", Name: text("无上报要求", "Nothing to be reported"), Points: 0}}},
		},
		Levels: []Level{{text("一般", "General"), 0}, {text("较大", "Considerable"), 40}, {text("重大", "Major"), 65}, {text("特别重大", "Especially grave"), 85}},
		Activities: []Activity{
			{"transmission", text("传输", "Transmission"), []string{"tactic=exfiltration", "tactic=command-and-control"}},
			{"collection", text("收集", "Collection"), []string{"tactic=collection", "tactic=reconnaissance"}},
			{"provision", text("提供", "Provision"), []string{`item_class=~"interface|service"`}},
			{"storage", text("存储", "Storage"), []string{`item_class=~"database|storage|middleware"`}},
			{"publication", text("公开", "Publication"), []string{`item_class=~"domain|application"`}},
			{"processing", text("加工", "Processing"), []string{"tactic=impact"}},
			{"use", text("使用", "Use"), []string{`severity=~".+"`}},
		},
	}
}

var keys = regexp.MustCompile(`^[a-z][a-z0-9_]{0,39}$`)

// Check names the first thing in the table that cannot be.
func (t Terms) Check() error {
	switch {
	case t.From < 1 || t.From > 5:
		return fmt.Errorf("from: %d: want a security level of data, 1 to 5", t.From)
	case len(t.Factors) == 0 || len(t.Factors) > 50:
		return fmt.Errorf("factors: %d: want 1 to 50", len(t.Factors))
	case len(t.Levels) < 2 || len(t.Levels) > 9:
		return fmt.Errorf("levels: %d: want 2 to 9, the least grave first", len(t.Levels))
	case len(t.Activities) > 50:
		return fmt.Errorf("activities: %d: want at most 50", len(t.Activities))
	}
	for i, l := range t.Levels {
		switch {
		case !named(l.Name):
			return fmt.Errorf("levels[%d].name: want zh or en, at most 100 characters", i)
		case i == 0 && l.From != 0:
			return fmt.Errorf("levels[0].from: %g: the first begins at 0", l.From)
		case i > 0 && !(l.From > t.Levels[i-1].From && l.From <= 100):
			return fmt.Errorf("levels[%d].from: %g: want more than %g, at most 100", i, l.From, t.Levels[i-1].From)
		}
	}
	seen, weights := map[string]bool{}, 0.0
	for i, f := range t.Factors {
		at := fmt.Sprintf("factors[%d]", i)
		switch {
		case !keys.MatchString(f.Key):
			return fmt.Errorf("%s.key: %.40q: want a small letter, then small letters, digits and _, at most 40", at, f.Key)
		case seen[f.Key]:
			return fmt.Errorf("%s.key: %q is given twice", at, f.Key)
		case !named(f.Name):
			return fmt.Errorf("%s.name: want zh or en, at most 100 characters", at)
		case !slices.Contains(Sources, f.Source):
			return fmt.Errorf("%s.source: %.20q: want one of %s", at, f.Source, strings.Join(Sources, ", "))
		case (f.Source == Field || f.Source == Attribute) && strings.TrimSpace(f.Of) == "":
			return fmt.Errorf("%s.of: the source %s needs a name", at, f.Source)
		case !(f.Weight >= 0 && f.Weight <= 100):
			return fmt.Errorf("%s.weight: %g: want 0 to 100", at, f.Weight)
		case len(f.Steps) == 0 || len(f.Steps) > 20:
			return fmt.Errorf("%s.steps: %d: want 1 to 20", at, len(f.Steps))
		}
		seen[f.Key] = true
		weights += f.Weight
		answers := map[string]bool{}
		for n, s := range f.Steps {
			at := fmt.Sprintf("%s.steps[%d]", at, n)
			switch {
			case (s.AtLeast == nil) == (s.Is == ""):
				return fmt.Errorf("%s: want at_least or is, and not both", at)
			case s.AtLeast != nil && (math.IsNaN(*s.AtLeast) || math.IsInf(*s.AtLeast, 0)):
				return fmt.Errorf("%s.at_least: want a number", at)
			case f.Source == Answer && !keys.MatchString(s.Is):
				return fmt.Errorf("%s.is: %.40q: an answer is chosen by its key, of small letters, digits and _", at, s.Is)
			case f.Source == Answer && answers[s.Is]:
				return fmt.Errorf("%s.is: %q is given twice", at, s.Is)
			case !(s.Points >= 0 && s.Points <= 100):
				return fmt.Errorf("%s.points: %g: want 0 to 100", at, s.Points)
			case s.Floor < 0 || s.Floor > len(t.Levels):
				return fmt.Errorf("%s.floor: %d: want 0 (none) to %d, the number of levels", at, s.Floor, len(t.Levels))
			case !named(s.Name):
				return fmt.Errorf("%s.name: want zh or en, at most 100 characters", at)
			}
			answers[s.Is] = true
		}
	}
	if weights <= 0 {
		return fmt.Errorf("factors: none has a weight: want one at least")
	}
	seen = map[string]bool{}
	for i, a := range t.Activities {
		at := fmt.Sprintf("activities[%d]", i)
		switch {
		case !keys.MatchString(a.Key):
			return fmt.Errorf("%s.key: %.40q: want a small letter, then small letters, digits and _, at most 40", at, a.Key)
		case seen[a.Key]:
			return fmt.Errorf("%s.key: %q is given twice", at, a.Key)
		case !named(a.Name):
			return fmt.Errorf("%s.name: want zh or en, at most 100 characters", at)
		case len(a.When) == 0 || len(a.When) > 50:
			return fmt.Errorf("%s.when: %d lines: want 1 to 50", at, len(a.When))
		}
		seen[a.Key] = true
		for n, line := range a.When {
			if _, err := generation.Line(line); err != nil {
				return fmt.Errorf("%s.when[%d]: %w", at, n, err)
			}
		}
	}
	return nil
}

func named(t detections.Text) bool {
	return t.ZH+t.EN != "" && utf8.RuneCountInString(t.ZH) <= 100 && utf8.RuneCountInString(t.EN) <= 100
}

// Factor returns a factor by its key.
func (t Terms) Factor(key string) (Factor, bool) {
	i := slices.IndexFunc(t.Factors, func(f Factor) bool { return f.Key == key })
	if i < 0 {
		return Factor{}, false
	}
	return t.Factors[i], true
}

// Reason is what one factor did to a level.
type Reason struct {
	Factor string          `json:"factor" doc:"Its key"`
	Name   detections.Text `json:"name"`
	Value  string          `json:"value,omitempty" doc:"What was known; absent where nothing was, and then the factor counts nothing"`
	Means  detections.Text `json:"means,omitzero" doc:"The step that the value met"`
	Points float64         `json:"points"`
	Weight float64         `json:"weight"`
	Floor  int             `json:"floor,omitempty" doc:"The level is no less because of it"`
	Asked  bool            `json:"asked,omitempty" doc:"A person has to answer, and nobody has"`
}

// Grade is the level of an event.
type Grade struct {
	Level   int             `json:"level" doc:"From 1, the least grave"`
	Name    detections.Text `json:"name"`
	Score   float64         `json:"score" doc:"Points of the factors that are known, by their weights: 0 to 100"`
	Floor   int             `json:"floor,omitempty" doc:"The level is this and not what the points say, because of a factor's floor"`
	Reasons []Reason        `json:"reasons" nullable:"false" doc:"In the order of the table"`
}

// Judge grades an event by the values of its factors. Of several values the
// first step of the table that one of them meets counts.
func (t Terms) Judge(values func(Factor) []string) Grade {
	g := Grade{Level: 1, Reasons: []Reason{}}
	points, weights := 0.0, 0.0
	for _, f := range t.Factors {
		known := slices.DeleteFunc(slices.Clone(values(f)), func(v string) bool { return v == "" })
		r := Reason{Factor: f.Key, Name: f.Name, Weight: f.Weight, Asked: f.Source == Answer && len(known) == 0}
		if i, value := f.step(known); i >= 0 {
			s := f.Steps[i]
			r.Value, r.Means, r.Points, r.Floor = value, s.Name, s.Points, s.Floor
			points += s.Points * f.Weight
			weights += f.Weight
			g.Floor = max(g.Floor, s.Floor)
		} else if len(known) > 0 {
			r.Value = known[0] // no step says what it counts
		}
		g.Reasons = append(g.Reasons, r)
	}
	if weights > 0 {
		g.Score = math.Round(points/weights*10) / 10
	}
	for i, l := range t.Levels {
		if g.Score >= l.From {
			g.Level = i + 1
		}
	}
	if g.Floor > g.Level {
		g.Level = g.Floor
	} else {
		g.Floor = 0
	}
	g.Name = t.Levels[g.Level-1].Name
	return g
}

// step finds the first step that a value meets, and that value.
func (f Factor) step(values []string) (at int, value string) {
	for i, s := range f.Steps {
		for _, v := range values {
			if s.Is != "" && strings.EqualFold(v, s.Is) {
				return i, v
			}
			if n, err := strconv.ParseFloat(v, 64); s.AtLeast != nil && err == nil && n >= *s.AtLeast {
				return i, v
			}
		}
	}
	return -1, ""
}
