package finding

import (
	"fmt"
	"math"
	"strings"
	"time"

	"icewatch/detections"
)

// Policy is what administrators decide of findings.
type Policy struct {
	Critical  int    `json:"critical" doc:"Days within which a critical finding is repaired, 1 to 365"`
	High      int    `json:"high" doc:"The same of a high one"`
	Medium    int    `json:"medium" doc:"The same of a medium one"`
	Low       int    `json:"low" doc:"The same of a low one"`
	Exploited int    `json:"exploited" doc:"Days at most where attackers are known to use it, or an attack on it was seen"`
	Remind    int    `json:"remind" doc:"Days before the deadline on which a reminder is sent, 0 to 30"`
	Receiver  string `json:"receiver" doc:"Contact point that is reminded; nobody where it is empty"`
}

// DefaultPolicy is in force until an administrator decides otherwise.
var DefaultPolicy = Policy{Critical: 7, High: 15, Medium: 30, Low: 90, Exploited: 3, Remind: 2}

// Check says what is wrong with a policy.
func (p Policy) Check() error {
	for _, x := range []struct {
		name  string
		value int
	}{{"critical", p.Critical}, {"high", p.High}, {"medium", p.Medium}, {"low", p.Low}, {"exploited", p.Exploited}} {
		if x.value < 1 || x.value > 365 {
			return fmt.Errorf("%s: %d: 1 to 365 days are expected", x.name, x.value)
		}
	}
	if p.Critical > p.High || p.High > p.Medium || p.Medium > p.Low {
		return fmt.Errorf("a worse level may not have more days than a lesser one: %d, %d, %d and %d", p.Critical, p.High, p.Medium, p.Low)
	}
	if p.Remind < 0 || p.Remind > 30 {
		return fmt.Errorf("remind: %d: 0 to 30 days are expected", p.Remind)
	}
	if len(p.Receiver) > 200 {
		return fmt.Errorf("receiver: it is longer than 200 characters")
	}
	return nil
}

// due is when a finding has to be repaired; the zero time of what is informational.
func (p Policy) due(f *Finding) time.Time {
	days := map[detections.Level]int{detections.Critical: p.Critical, detections.High: p.High, detections.Medium: p.Medium, detections.Low: p.Low}[f.Level]
	if days == 0 {
		return time.Time{}
	}
	due := f.FirstSeen.AddDate(0, 0, days)
	if f.Exploited || !f.Attacked.IsZero() {
		from := f.FirstSeen
		if f.Attacked.After(from) {
			from = f.Attacked
		}
		if sooner := from.AddDate(0, 0, p.Exploited); sooner.Before(due) {
			due = sooner
		}
	}
	return due
}

// What the parts of a priority are worth.
var (
	levelWorth    = map[detections.Level]float64{detections.Critical: 0.95, detections.High: 0.8, detections.Medium: 0.55, detections.Low: 0.3, detections.Informational: 0.05}
	exposureWorth = map[string]float64{"internet": 1, "extranet": 0.8, "internal": 0.55, "isolated": 0.3, "": 0.55}
	exposureWords = map[string]detections.Text{"internet": {ZH: "暴露在互联网", EN: "reached from the Internet"}, "extranet": {ZH: "政务外网可达", EN: "reached from the government extranet"},
		"internal": {ZH: "仅内网可达", EN: "reached from the internal network only"}, "isolated": {ZH: "位于隔离网", EN: "in an isolated network"}, "": {ZH: "暴露面未登记", EN: "who reaches it is not recorded"}}
	levelWords = map[detections.Level]detections.Text{detections.Critical: {ZH: "紧急", EN: "critical"}, detections.High: {ZH: "高危", EN: "high"}, detections.Medium: {ZH: "中危", EN: "medium"},
		detections.Low: {ZH: "低危", EN: "low"}, detections.Informational: {ZH: "提示", EN: "informational"}}
)

// rate gives a finding its priority: how bad it is, times the square roots of how
// likely it is exploited, of who reaches the asset and of how much that matters. The
// roots keep one small part from hiding the others.
func (f *Finding) rate() {
	worth, ok := levelWorth[f.Level]
	if !ok {
		worth = levelWorth[detections.Informational]
	}
	if f.Score > 0 {
		worth = f.Score / 10
	}
	zh, en := []string{levelWords[f.Level].ZH}, []string{levelWords[f.Level].EN}
	if f.Score > 0 {
		zh, en = append(zh, fmt.Sprintf("CVSS %.1f", f.Score)), append(en, fmt.Sprintf("CVSS %.1f", f.Score))
	}
	likely := 0.45
	switch {
	case !f.Attacked.IsZero():
		likely = 1
		zh, en = append(zh, "已发现针对它的攻击"), append(en, "an attack on it was seen")
	case f.Exploited:
		likely = 1
		zh, en = append(zh, "已知被利用"), append(en, "attackers are known to use it")
	case f.EPSS > 0:
		likely = 0.35 + 0.6*math.Min(1, f.EPSS/0.5)
		zh, en = append(zh, fmt.Sprintf("30 天内被利用概率 %.1f%%", 100*f.EPSS)), append(en, fmt.Sprintf("exploited within 30 days with %.1f %%", 100*f.EPSS))
	default:
		zh, en = append(zh, "利用情况未知"), append(en, "whether it is exploited is not known")
	}
	reached, ok := exposureWorth[f.exposure]
	word := exposureWords[f.exposure]
	if !ok {
		reached, word = exposureWorth[""], exposureWords[""]
	}
	zh, en = append(zh, word.ZH), append(en, word.EN)
	matters := 0.7
	if f.criticality > 0 {
		matters = 0.4 + 0.12*float64(min(f.criticality, 5))
		zh, en = append(zh, fmt.Sprintf("资产重要性 %d/5", f.criticality)), append(en, fmt.Sprintf("criticality %d of 5", f.criticality))
	} else {
		zh, en = append(zh, "资产重要性未登记"), append(en, "its criticality is not recorded")
	}
	f.Priority = int(math.Round(100 * min(worth, 1) * math.Sqrt(likely*reached*matters)))
	f.Why = detections.Text{ZH: strings.Join(zh, "，"), EN: strings.Join(en, ", ")}
}
