package wording

import (
	"crypto/hmac"
	"crypto/md5"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"text/template"
	"time"
	_ "time/tzdata" // zones on machines that have none
)

// Funcs are the functions of templates: Alertmanager's, under its names where
// they fit, and what texts for people need beside them.
// Source: https://prometheus.io/docs/alerting/latest/notifications/#functions
func Funcs() template.FuncMap {
	return template.FuncMap{
		"toUpper":   strings.ToUpper,
		"toLower":   strings.ToLower,
		"title":     title,
		"trimSpace": strings.TrimSpace,
		"join":      func(sep string, s []string) (string, error) { return bound(strings.Join(s, sep)) },
		"match": func(pattern, text string) (bool, error) {
			re, err := expression(pattern)
			return err == nil && re.MatchString(text), err
		},
		"reReplaceAll": func(pattern, with, text string) (string, error) {
			re, err := expression(pattern)
			if err != nil {
				return "", err
			}
			if len(with)*(len(text)+1) > 1<<20 {
				return "", ErrTooLong
			}
			return bound(re.ReplaceAllString(text, with))
		},
		"stringSlice": func(s ...string) []string { return s },
		"date":        func(layout string, t time.Time) (string, error) { return bound(t.Format(layout)) },
		"tz": func(name string, t time.Time) (time.Time, error) {
			zone, err := time.LoadLocation(name)
			if err != nil {
				return t, fmt.Errorf("the time zone %.40q is not known; one such as Asia/Shanghai is", name)
			}
			return t.In(zone), nil
		},
		"since":            func(t time.Time) time.Duration { return time.Since(t).Round(time.Second) },
		"humanizeDuration": humanize,
		"toJson":           toJSON,
		"urlquery":         func(s string) string { return url.QueryEscape(s) },
		"xml":              template.HTMLEscapeString,
		"base64":           func(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) },
		"md5":              func(s string) string { sum := md5.Sum([]byte(s)); return hex.EncodeToString(sum[:]) }, // gateways ask for it
		"sha256":           func(s string) string { sum := sha256.Sum256([]byte(s)); return hex.EncodeToString(sum[:]) },
		"hmacSha256": func(key, s string) string {
			mac := hmac.New(sha256.New, []byte(key))
			mac.Write([]byte(s))
			return hex.EncodeToString(mac.Sum(nil))
		},
		"truncate": func(n int, s string) string {
			if r := []rune(s); n >= 0 && len(r) > n {
				return string(r[:max(n-1, 0)]) + "…"
			}
			return s
		},
		"inert":        inert,
		"severityName": severityName,
		"kindName":     kindName,
		// text/template's own, bounded: a width would make texts of any length.
		"printf": func(format string, args ...any) (string, error) {
			if wide.MatchString(format) {
				return "", errors.New("printf: a width of more than three digits, or one that is an argument, is not allowed")
			}
			if len(args) > 50 {
				return "", errors.New("printf: more than 50 arguments")
			}
			return bound(fmt.Sprintf(format, args...))
		},
		"print":   func(args ...any) (string, error) { return bound(fmt.Sprint(args...)) },
		"println": func(args ...any) (string, error) { return bound(fmt.Sprintln(args...)) },
	}
}

var wide = regexp.MustCompile(`\d{4,}|%[^a-zA-Z%]*\*`)

// lifeless takes from a text what Markdown and the chat services would act on:
// links, mentions (<at id=all>, <@name>), headings and tables.
var lifeless = strings.NewReplacer("](", "] (", "<", "‹", ">", "›", "`", "'", "|", "¦", "\r", " ", "\n", " ", "*", "＊", "#", "＃")

// inert makes a text from outside, such as a field of a log, one line that is
// shown as it stands.
func inert(s string) string { return lifeless.Replace(s) }

func bound(s string) (string, error) {
	if len(s) > MaxOutput {
		return "", ErrTooLong
	}
	return s, nil
}

func expression(pattern string) (*regexp.Regexp, error) {
	if len(pattern) > 1024 {
		return nil, fmt.Errorf("an expression of %d bytes: at most 1024", len(pattern))
	}
	return regexp.Compile(pattern)
}

func toJSON(v any) (string, error) {
	data, err := json.Marshal(v)
	if err != nil {
		return "", err
	}
	return bound(string(data))
}

func title(s string) string {
	words := strings.Fields(s)
	for i, w := range words {
		r := []rune(w)
		words[i] = strings.ToUpper(string(r[:1])) + string(r[1:])
	}
	return strings.Join(words, " ")
}

// humanize writes a duration as Alertmanager does: 1d 2h 3m 4s.
func humanize(v any) (string, error) {
	var d time.Duration
	switch v := v.(type) {
	case time.Duration:
		d = v
	case int:
		d = time.Duration(v) * time.Second
	case float64:
		d = time.Duration(v * float64(time.Second))
	default:
		return "", fmt.Errorf("humanizeDuration: %T is no duration", v)
	}
	sign := ""
	if d < 0 {
		sign, d = "-", -d
	}
	s := int64(d / time.Second)
	switch days, h, m, sec := s/86400, s/3600%24, s/60%60, s%60; {
	case days > 0:
		return fmt.Sprintf("%s%dd %dh %dm %ds", sign, days, h, m, sec), nil
	case h > 0:
		return fmt.Sprintf("%s%dh %dm %ds", sign, h, m, sec), nil
	case m > 0:
		return fmt.Sprintf("%s%dm %ds", sign, m, sec), nil
	}
	return fmt.Sprintf("%s%ds", sign, s), nil
}

var severities = map[string][2]string{"critical": {"紧急", "critical"}, "high": {"高", "high"}, "medium": {"中", "medium"}, "low": {"低", "low"}, "informational": {"提示", "informational"}}

// severityName writes a level in a language: zh or en.
func severityName(language, level string) string {
	if names, ok := severities[level]; ok {
		return names[pick(language)]
	}
	return level
}

var kindNames = map[string][2]string{"opened": {"新事件", "Opened"}, "changed": {"事件有变化", "Changed"}, "sla": {"超时", "Late"}, "sla_warning": {"即将超时", "Due soon"}, "resolved": {"已恢复", "Resolved"},
	"firing": {"告警", "Firing"}, "repeat": {"仍未恢复", "Still firing"}, "escalation": {"呼叫值班", "Call"}, "test": {"测试", "Test"}, "report": {"日报", "Daily report"}, "notice": {"通报预警", "Notice"}, "digest": {"合并通知", "Digest"}}

func kindName(language, kind string) string {
	if names, ok := kindNames[kind]; ok {
		return names[pick(language)]
	}
	return kind
}

func pick(language string) int {
	if language == "en" {
		return 1
	}
	return 0
}

// KV are labels or annotations, as Alertmanager's templates know them.
type KV map[string]string

// Pair is one of them.
type Pair struct{ Name, Value string }

// Pairs are several, in order.
type Pairs []Pair

// SortedPairs orders them by name, with alertname first.
func (kv KV) SortedPairs() Pairs {
	out := make(Pairs, 0, len(kv))
	for name, value := range kv {
		out = append(out, Pair{name, value})
	}
	slices.SortFunc(out, func(a, b Pair) int {
		switch "alertname" {
		case a.Name:
			return -1
		case b.Name:
			return 1
		}
		return strings.Compare(a.Name, b.Name)
	})
	return out
}

// Remove leaves out the names given.
func (kv KV) Remove(names []string) KV {
	out := KV{}
	for name, value := range kv {
		if !slices.Contains(names, name) {
			out[name] = value
		}
	}
	return out
}

// Names lists the names in order.
func (kv KV) Names() []string { return kv.SortedPairs().Names() }

// Values lists the values in the order of their names.
func (kv KV) Values() []string { return kv.SortedPairs().Values() }

// Names lists the names.
func (ps Pairs) Names() []string {
	out := make([]string, 0, len(ps))
	for _, p := range ps {
		out = append(out, p.Name)
	}
	return out
}

// Values lists the values.
func (ps Pairs) Values() []string {
	out := make([]string, 0, len(ps))
	for _, p := range ps {
		out = append(out, p.Value)
	}
	return out
}

// FuncNames lists the functions of templates.
func FuncNames() []string {
	return slices.Sorted(maps.Keys(Funcs()))
}
