package inputs

import (
	"regexp"
	"sort"
	"strings"
)

// redactor takes secrets out of texts: those that stand in an input's settings,
// and what looks like one anywhere.
type redactor struct{ values []string }

var (
	secretSetting = regexp.MustCompile(`(?im)^\s*"?[a-z0-9_.-]*(?:pass|secret|token|key|dsn|auth|community|credential|uri|url|address|server|connection)[a-z0-9_.-]*"?\s*=\s*(.+)$`)
	quotedValue   = regexp.MustCompile(`"((?:[^"\\]|\\.)*)"|'([^']*)'`)
	userInfo      = regexp.MustCompile(`([a-zA-Z][a-zA-Z0-9+.-]*://)[^/\s"'@]+@`)
	dsnUser       = regexp.MustCompile(`([A-Za-z0-9_.-]+):[^\s@/"']+@(tcp|unix|udp)\(`)
	keyValue      = regexp.MustCompile(`(?i)\b(pass(?:word|wd)?|pwd|secret|token|api[_-]?key|community)(["']?\s*[=:]\s*["']?)[^\s"',;&]+`)
	inURL         = regexp.MustCompile(`://[^/@\s:]*:([^/@\s]+)@|^[^:@\s/]+:([^@\s/][^@\s]*)@`)
	plainSecret   = regexp.MustCompile(`(?i)pass|secret|token|key|community|credential`)
)

// newRedactor finds the secrets of settings.
func newRedactor(settings string) *redactor {
	r := &redactor{}
	seen := map[string]bool{}
	add := func(v string) {
		v = strings.NewReplacer(`\"`, `"`, `\\`, `\`).Replace(v)
		if len(v) >= 4 && !seen[v] {
			seen[v] = true
			r.values = append(r.values, v)
		}
	}
	for _, m := range secretSetting.FindAllStringSubmatch(settings, -1) {
		name, _, _ := strings.Cut(m[0], "=")
		for _, q := range quotedValue.FindAllStringSubmatch(m[1], -1) {
			v := q[1] + q[2]
			if plainSecret.MatchString(name) {
				add(v)
				continue
			}
			for _, u := range inURL.FindAllStringSubmatch(v, -1) {
				add(u[1] + u[2])
			}
		}
	}
	sort.Slice(r.values, func(i, j int) bool { return len(r.values[i]) > len(r.values[j]) })
	return r
}

const hidden = "***"

// clean takes the secrets out of a text.
func (r *redactor) clean(text string) string {
	if r != nil {
		for _, v := range r.values {
			text = strings.ReplaceAll(text, v, hidden)
		}
	}
	return scrub(text)
}

// scrub takes out what looks like a secret.
func scrub(text string) string {
	text = userInfo.ReplaceAllString(text, "${1}"+hidden+"@")
	text = dsnUser.ReplaceAllString(text, "${1}:"+hidden+"@${2}(")
	return keyValue.ReplaceAllString(text, "${1}${2}"+hidden)
}
