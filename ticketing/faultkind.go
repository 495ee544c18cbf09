package ticketing

import (
	"slices"
	"strings"
	"sync"
	"unicode"

	"icewatch/detections"
)

// Whether an alert tells of a fault, that is of a configuration item that is
// down, cannot be reached or does not answer in time, decides how it is grouped:
// faults by who depends on whom (see faults.go), all else by item and attacker.
// It is decided so, the first that tells:
//
//  1. what comes with an attack type, a tactic or technique, an attacker or a
//     verdict is none;
//  2. the label category (or alert_category, alert_type, event.category) of an
//     alert says it: availability, fault, connectivity, network or outage is
//     one, anything else, such as security, performance or capacity, is none;
//  3. the label alertname and the rule's title say it in words, in English or
//     Chinese: HostDown, "probe failed", 主机不可达.
//
// A full disk or a worn battery is none: it may bring things down, but nothing
// that is upstream of it explains it.

// categoryLabels are where an alert may say what kind it is.
var categoryLabels = []string{"category", "alert_category", "alert_type", "event.category"}

var faultCategories = []string{"availability", "fault", "connectivity", "network", "outage", "可用性", "故障", "连通性"}

// faultOf tells whether an occurrence tells of a fault.
func (f *faultNames) faultOf(o *detections.Occurrence) bool {
	if o.Attack != "" || o.Attacker != nil || o.Verdict != "" || len(o.Rule.Tactics)+len(o.Rule.Techniques) > 0 {
		return false
	}
	for _, name := range categoryLabels {
		if v := firstOf(label(o, name), o.Fields[name]); v != "" {
			return slices.Contains(faultCategories, strings.ToLower(v))
		}
	}
	return f.say(label(o, "alertname")) || f.say(o.Rule.Title.EN) || f.say(o.Rule.Title.ZH)
}

// label is a label that an alert came with.
func label(o *detections.Occurrence, name string) string {
	if o.Rule.Kind != Pushed {
		return ""
	}
	for _, p := range o.Group {
		if p.Field == PushedLabel+name {
			return p.Value
		}
	}
	return ""
}

// faultWords are what a name says of a fault: one word, or several that follow
// one another.
var faultWords = []string{
	"down", "unreachable", "offline", "unavailable", "unresponsive", "outage", "disconnected", "absent", "dead", "timeout", "timeouts", "timed out",
	"not reachable", "not responding", "not ready", "not answering", "not available", "no response", "no data", "nodata", "no heartbeat",
	"heartbeat missing", "heartbeat missed", "heartbeat lost", "connection lost", "connection refused", "connection failed", "link failed", "link failure",
	"probe failed", "probe failure", "probe failing", "ping failed", "ping failure", "check failed", "packet loss", "high latency", "error rate", "node failure", "host failure", "power failure",
}

// otherwise are words before "down" with which it tells of something else.
var otherwise = []string{"scale", "scaled", "scaling", "cool", "slow", "slowed", "count", "shut", "drill", "step"}

var faultTexts = []string{"宕机", "宕掉", "不可达", "离线", "超时", "失联", "不可用", "中断", "断开", "无响应", "没有响应", "掉线", "断网", "断电", "无数据", "丢包", "停机", "心跳丢失", "探测失败", "连接失败", "无法访问", "无法连接"}

// faultNames remembers what was read from names: those of rules come again and
// again. The zero value remembers nothing yet.
type faultNames struct {
	mu   sync.Mutex
	said map[string]bool
}

const (
	maxFaultNames = 10_000
	maxFaultName  = 200 // bytes of one that is remembered
)

// say is saysFault.
func (f *faultNames) say(name string) bool {
	if name == "" || len(name) > maxFaultName {
		return saysFault(name)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	says, known := f.said[name]
	if known {
		return says
	}
	if f.said == nil || len(f.said) >= maxFaultNames {
		f.said = map[string]bool{}
	}
	says = saysFault(name)
	f.said[strings.Clone(name)] = says
	return says
}

// saysFault tells whether a name tells of a fault.
func saysFault(name string) bool {
	if name == "" {
		return false
	}
	for _, t := range faultTexts {
		if strings.Contains(name, t) {
			return true
		}
	}
	words := wordsOf(name)
	for _, w := range faultWords {
		want := strings.Fields(w)
		for i := 0; i+len(want) <= len(words); i++ {
			if slices.Equal(words[i:i+len(want)], want) && !(w == "down" && i > 0 && slices.Contains(otherwise, words[i-1])) {
				return true
			}
		}
	}
	return false
}

// wordsOf cuts a name into words in lower case: where a sign stands between
// them, and within CamelCase.
func wordsOf(name string) []string {
	var words []string
	var word []rune
	end := func() {
		if len(word) > 0 {
			words = append(words, strings.ToLower(string(word)))
			word = word[:0]
		}
	}
	runes := []rune(name)
	for i, r := range runes {
		switch {
		case !unicode.IsLetter(r) && !unicode.IsDigit(r):
			end()
			continue
		case unicode.IsUpper(r) && i > 0 && (unicode.IsLower(runes[i-1]) || i+1 < len(runes) && unicode.IsLower(runes[i+1]) && unicode.IsUpper(runes[i-1])):
			end()
		}
		word = append(word, r)
	}
	end()
	return words
}

// standsIn tells whether an item only stands for the one that an occurrence is
// about: of a host that the CMDB does not know, its tenant's business system.
func standsIn(o *detections.Occurrence, ci *CI) bool {
	host := firstOf(lookup(o, "host.name"), lookup(o, "host.ip"))
	return ci.Class == "business_system" && host != "" && host != ci.Name && host != ci.ID
}
