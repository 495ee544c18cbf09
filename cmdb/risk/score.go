// Package risk says how much an asset, a system or a unit is at risk, and why:
// a score out of 100 and a level, made of how much it matters, who reaches it,
// what is found wrong with it, what attacks it and what protects it. Score is
// a pure function of what is known; Service keeps the scores of the CMDB's
// items up to date, with their trend. The formula is in docs/risk.md.
package risk

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"icewatch/detections"
)

// Level is how bad it is.
type Level string

// The levels. Compromised is never a matter of points: it says that an alert
// with that verdict stands.
const (
	Low         Level = "low"
	Medium      Level = "medium"
	High        Level = "high"
	Compromised Level = "compromised"
)

// Levels lists the levels, the least first.
var Levels = []Level{Low, Medium, High, Compromised}

// Rank is a level's place in Levels.
func (l Level) Rank() int { return slices.Index(Levels, l) }

// Threat is an alert as it counts for the risk of what it is about.
type Threat struct {
	ID       string
	Name     detections.Text // of the attack or rule
	Severity detections.Level
	Verdict  detections.Verdict
	At       time.Time // last seen
	Closed   bool
	Real     bool // closed as a true positive; what was closed otherwise is no threat
	Incident bool // it is part of an incident
}

// Finding is something wrong with an asset: a weakness that a scan found, an
// assessment that is overdue.
type Finding struct {
	Severity detections.Level `json:"severity"`
	Title    detections.Text  `json:"title"`
}

// Subject is what is known of an asset, a system or a unit.
type Subject struct {
	Criticality     int  // 1 to 5; 0 is 3
	ProtectionLevel int  // of the multi-level protection scheme, 0 to 5
	CII, Key        bool // critical information infrastructure; a key asset

	Exposure  string // internet, extranet, internal, isolated; "" is unknown
	Doors     int    // ports and interfaces that are known to be open
	Threats   []Threat
	Findings  []Finding
	Controls  int     // protective controls in place
	Logging   float64 // share of its members whose logs arrive, 0 to 1
	Watchable bool    // whether logs could arrive from it
}

// Part is one part of a score.
type Part struct {
	Name    string            `json:"name" enum:"threat,finding,exposure,protection"`
	Points  float64           `json:"points"`
	Most    float64           `json:"most" doc:"Points that it can have"`
	Reasons []detections.Text `json:"reasons"`
}

// Result is a score with its reasons.
type Result struct {
	Score      int               `json:"score" doc:"0 to 100"`
	Level      Level             `json:"level" enum:"low,medium,high,compromised"`
	Importance float64           `json:"importance" doc:"What the parts' points are multiplied by, 0.5 to 1"`
	Matters    []detections.Text `json:"matters" doc:"Why that importance"`
	Parts      []Part            `json:"parts"`
	Floor      int               `json:"floor" doc:"What the worst verdict makes the score at least; 0 where nothing does"`
	Tags       []string          `json:"tags" doc:"Rating tags: compromised, breached, attacked, exposed, weak, unprotected, silent, cii, key"`
	Words      []Word            `json:"words" doc:"Names of attacks by weight, the heaviest first"`
}

// Word is the name of an attack in a cloud of words.
type Word struct {
	Name   detections.Text `json:"name"`
	Weight float64         `json:"weight" doc:"Sum of what its alerts contribute"`
	Alerts int             `json:"alerts"`
}

const maxWords = 30

// severityWeight is what one alert or finding of a severity takes of what is
// left to the full points.
var severityWeight = map[detections.Level]float64{"critical": 0.5, "high": 0.3, "medium": 0.15, "low": 0.05, "informational": 0.01}

// verdictFactor multiplies it by how far the attack got.
var verdictFactor = map[detections.Verdict]float64{"": 0.7, detections.Failed: 0.3, detections.Attempt: 0.6, detections.Success: 1.3, detections.Compromised: 1.8}

// exposureShare is the share of the exposure's points by who reaches the asset.
// What nobody has said counts as the internal network.
var exposureShare = map[string]float64{"internet": 0.7, "extranet": 0.45, "internal": 0.15, "": 0.15, "isolated": 0}

// enoughControls is how many controls take away the points of protection.
const enoughControls = 5

// weigh is what a threat takes of what is left, in [0, 0.95]. It halves with
// each half-life since the threat was last seen, and is less once the alert is
// closed; one closed as a false alarm takes nothing.
func (t *Threat) weigh(p Policy, now time.Time) float64 {
	w := severityWeight[t.Severity] * verdictFactor[t.Verdict]
	if t.Incident {
		w *= 1.2
	}
	switch {
	case t.Closed && !t.Real:
		return 0
	case t.Closed:
		w *= 0.4
	}
	age := max(0, now.Sub(t.At))
	return min(0.95, w) * math.Exp2(-age.Hours()/24/p.HalfLifeDays)
}

// Score says how much a subject is at risk.
func Score(s Subject, p Policy, now time.Time) Result {
	r := Result{}
	r.Importance, r.Matters = importance(&s)
	threat, worst, words := threats(&s, p, now)
	r.Words = words
	r.Parts = []Part{threat, findings(&s, p), exposure(&s, p), protection(&s, p)}
	total := 0.0
	for _, part := range r.Parts {
		total += part.Points
	}
	r.Score = int(math.Round(total * r.Importance))
	for i := range r.Parts {
		r.Parts[i].Points = math.Round(10*r.Parts[i].Points) / 10
	}
	r.Importance = math.Round(100*r.Importance) / 100
	switch worst {
	case detections.Compromised:
		r.Floor = p.CompromisedFloor
	case detections.Success:
		r.Floor = p.HighAt
	}
	r.Score = min(100, max(r.Score, r.Floor))
	r.Level = p.level(r.Score, worst == detections.Compromised)
	r.Tags = tags(&s, &r, worst)
	return r
}

func (p *Policy) level(score int, compromised bool) Level {
	switch {
	case compromised:
		return Compromised
	case score >= p.HighAt:
		return High
	case score >= p.MediumAt:
		return Medium
	}
	return Low
}

func text(zh, en string) detections.Text { return detections.Text{ZH: zh, EN: en} }

func textf(zh, en string, args ...any) detections.Text {
	return text(fmt.Sprintf(zh, args...), fmt.Sprintf(en, args...))
}

// importance is between 0.5 and 1: risk is what may happen times what it would
// mean (GB/T 20984).
func importance(s *Subject) (float64, []detections.Text) {
	criticality := s.Criticality
	if criticality < 1 || criticality > 5 {
		criticality = 3
	}
	f := 0.4 + 0.1*float64(criticality)
	why := []detections.Text{textf("重要性 %d（共 5 级）", "Its criticality is %d of 5", criticality)}
	if level := s.ProtectionLevel; level > 0 {
		f = max(f, []float64{0.5, 0.5, 0.6, 0.85, 0.95, 1}[min(level, 5)])
		why = append(why, textf("等保%d级", "It is of MLPS level %d", level))
	}
	if s.Key {
		f = max(f, 0.95)
		why = append(why, text("重点资产", "It is a key asset"))
	}
	if s.CII {
		f = 1
		why = append(why, text("关键信息基础设施", "It is critical information infrastructure"))
	}
	return f, why
}

// threats makes the part of attacks, the worst verdict that stands, and the
// words.
func threats(s *Subject, p Policy, now time.Time) (Part, detections.Verdict, []Word) {
	part := Part{Name: "threat", Most: p.Threat}
	left, open, incidents := 1.0, 0, 0
	var worst detections.Verdict
	words := map[detections.Text]*Word{}
	heaviest, weight := (*Threat)(nil), 0.0
	for i := range s.Threats {
		t := &s.Threats[i]
		w := t.weigh(p, now)
		if w == 0 {
			continue
		}
		left *= 1 - w
		if !t.Closed {
			open++
			if t.Verdict.Rank() > worst.Rank() {
				worst = t.Verdict
			}
		}
		if t.Incident {
			incidents++
		}
		if w > weight {
			heaviest, weight = t, w
		}
		word := words[t.Name]
		if word == nil {
			word = &Word{Name: t.Name}
			words[t.Name] = word
		}
		word.Weight += w
		word.Alerts++
	}
	part.Points = p.Threat * (1 - left)
	cloud := []Word{}
	for _, w := range words {
		cloud = append(cloud, *w)
	}
	slices.SortFunc(cloud, func(a, b Word) int {
		return cmp.Or(cmp.Compare(b.Weight, a.Weight), strings.Compare(a.Name.EN, b.Name.EN), strings.Compare(a.Name.ZH, b.Name.ZH))
	})
	for i := range cloud {
		cloud[i].Weight = math.Round(cloud[i].Weight*1000) / 1000
	}
	if heaviest == nil {
		part.Reasons = []detections.Text{text("近期没有告警", "There are no recent alerts")}
		return part, worst, cloud
	}
	part.Reasons = []detections.Text{textf("%[1]d 条未关闭告警，%[2]d 条属于事件", "%[1]d alerts are open, %[2]d belong to incidents", open, incidents)}
	verdict := detections.Text{}
	if v := heaviest.Verdict; v != "" {
		verdict = detections.Text{ZH: "，" + verdictNames[v].ZH, EN: ", " + verdictNames[v].EN}
	}
	days := int(max(0, now.Sub(heaviest.At)).Hours() / 24)
	severity := severityNames[heaviest.Severity]
	ago := textf("%d 天前", "%d days ago", days)
	switch days {
	case 0:
		ago = text("24 小时内", "within 24 hours")
	case 1:
		ago = text("1 天前", "1 day ago")
	}
	part.Reasons = append(part.Reasons, text(
		fmt.Sprintf("影响最大：%s（%s级别%s，%s）", heaviest.Name.ZH, severity.ZH, verdict.ZH, ago.ZH),
		fmt.Sprintf("The heaviest is %s (%s%s, %s)", heaviest.Name.EN, severity.EN, verdict.EN, ago.EN)))
	return part, worst, cloud[:min(len(cloud), maxWords)]
}

var (
	verdictNames = map[detections.Verdict]detections.Text{detections.Failed: text("攻击失败", "it failed"), detections.Attempt: text("攻击尝试", "an attempt"),
		detections.Success: text("攻击成功", "it succeeded"), detections.Compromised: text("已失陷", "compromised")}
	severityNames = map[detections.Level]detections.Text{"critical": text("紧急", "critical"), "high": text("高", "high"), "medium": text("中", "medium"),
		"low": text("低", "low"), "informational": text("提示", "informational")}
)

func findings(s *Subject, p Policy) Part {
	part := Part{Name: "finding", Most: p.Finding, Reasons: []detections.Text{}}
	left := 1.0
	list := slices.Clone(s.Findings)
	slices.SortStableFunc(list, func(a, b Finding) int { return cmp.Compare(severityWeight[b.Severity], severityWeight[a.Severity]) })
	for i, f := range list {
		left *= 1 - severityWeight[f.Severity]
		if i < 5 {
			part.Reasons = append(part.Reasons, f.Title)
		}
	}
	part.Points = p.Finding * (1 - left)
	switch {
	case len(list) == 0:
		part.Reasons = append(part.Reasons, text("没有已知隐患", "Nothing is known to be wrong with it"))
	case len(list) > 5:
		part.Reasons = append(part.Reasons, textf("另有 %d 项隐患", "and %d findings more", len(list)-5))
	}
	return part
}

var exposureNames = map[string]detections.Text{"internet": text("暴露在互联网", "It is reached from the Internet"), "extranet": text("可从政务外网访问", "It is reached from the government extranet"),
	"internal": text("仅内网可达", "It is reached from the internal network only"), "isolated": text("位于隔离网", "It is in an isolated network"),
	"": text("暴露面未登记，按内网计", "Who reaches it is not recorded; it counts as internal")}

func exposure(s *Subject, p Policy) Part {
	share, known := exposureShare[s.Exposure]
	name := exposureNames[s.Exposure]
	if !known {
		share, name = exposureShare[""], exposureNames[""]
	}
	part := Part{Name: "exposure", Most: p.Exposure, Reasons: []detections.Text{name}}
	if s.Doors > 0 {
		// Each further door counts less than the one before.
		share += 0.3 * (1 - math.Pow(0.85, float64(s.Doors)))
		part.Reasons = append(part.Reasons, textf("已知开放 %d 个端口或接口", "%d ports or interfaces are known to be open", s.Doors))
	}
	part.Points = p.Exposure * share
	return part
}

func protection(s *Subject, p Policy) Part {
	part := Part{Name: "protection", Most: p.Protection}
	gap := 1 - min(1, float64(s.Controls)/enoughControls)
	part.Reasons = []detections.Text{textf("已登记 %[1]d 项防护措施（%[2]d 项为足够）", "%[1]d protective controls are recorded, %[2]d are enough", s.Controls, enoughControls)}
	if s.Watchable {
		gap = (gap + 1 - s.Logging) / 2
		switch {
		case s.Logging <= 0:
			part.Reasons = append(part.Reasons, text("近一天没有收到日志", "No logs came from it within a day"))
		case s.Logging < 1:
			part.Reasons = append(part.Reasons, textf("%.0f%% 的资产有日志", "Logs come from %.0f %% of it", 100*s.Logging))
		default:
			part.Reasons = append(part.Reasons, text("日志正常上报", "Its logs arrive"))
		}
	}
	part.Points = p.Protection * gap
	return part
}

func tags(s *Subject, r *Result, worst detections.Verdict) []string {
	out := []string{}
	add := func(yes bool, tag string) {
		if yes {
			out = append(out, tag)
		}
	}
	add(worst == detections.Compromised, "compromised")
	add(worst == detections.Success, "breached")
	add(r.Parts[0].Points >= r.Parts[0].Most/4, "attacked")
	add(s.Exposure == "internet", "exposed")
	add(r.Parts[1].Points >= r.Parts[1].Most/4, "weak")
	add(s.Controls == 0, "unprotected")
	add(s.Watchable && s.Logging <= 0, "silent")
	add(s.CII, "cii")
	add(s.Key, "key")
	return out
}

// Whole is the risk of what has parts of its own, such as a unit with its
// systems: four fifths of the worst part's and one fifth of the mean of the five
// worst. A part without risk does not lower it.
func Whole(scores []int, compromised bool, p Policy) (int, Level) {
	list := slices.Clone(scores)
	slices.SortFunc(list, func(a, b int) int { return b - a })
	if len(list) == 0 {
		return 0, p.level(0, compromised)
	}
	sum := 0
	for _, s := range list[:min(5, len(list))] {
		sum += s
	}
	score := min(100, int(math.Round(0.8*float64(list[0])+0.2*float64(sum)/5)))
	if compromised {
		score = max(score, p.CompromisedFloor)
	}
	return score, p.level(score, compromised)
}
