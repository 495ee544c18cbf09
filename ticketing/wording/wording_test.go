package wording

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"icewatch/ticketing/webhook"
)

func sample(n int) Data {
	at := time.Date(2026, 11, 26, 2, 3, 4, 0, time.UTC)
	alerts := make([]webhook.Alert, 0, n)
	for i := range n {
		alerts = append(alerts, webhook.Alert{Status: webhook.Firing, StartsAt: at,
			Labels:      map[string]string{"alertname": "SSH brute force", "severity": "high", "priority": "P2", "tenant": "tax", "ci": "web-01", "n": fmt.Sprint(i)},
			Annotations: map[string]string{"summary": "口令爆破 [点此](https://evil.example) <at id=all>", "summary_en": "Brute force", "description": "来自 203.0.113.7", "incident_url": "https://soc.example/incidents/INC-1"}})
	}
	return DataOf(webhook.New("r", "https://soc.example", map[string]string{"incident": "INC-1"}, alerts, 50), "opened", "zh", time.FixedZone("", 8*3600))
}

func TestDefaults(t *testing.T) {
	t.Parallel()
	for language, want := range map[string][]string{
		"zh": {"[新事件] 高 · 口令爆破", "(INC-1)", "优先级 P2", "- 级别：高", "11-26 10:03:04", "未恢复 2 条", "[查看事件](https://soc.example/incidents/INC-1)"},
		"en": {"[Opened] high · Brute force", "(INC-1)", "tenant tax", "- Severity: high", "2 firing"},
	} {
		w, err := New(language, Text{})
		if err != nil {
			t.Fatal(err)
		}
		d := sample(2)
		if language == "en" {
			d.Summary = "Brute force"
		}
		s, err := w.Say(d)
		if err != nil {
			t.Fatal(err)
		}
		all := s.Title + "\n" + s.Plain + "\n" + s.Markdown
		for _, each := range want {
			if !strings.Contains(all, each) {
				t.Errorf("%s lacks %q:\n%s", language, each, all)
			}
		}
		if strings.Contains(s.Markdown, "](https://evil") || strings.Contains(s.Markdown, "<at id") || strings.Contains(s.HTML, `href="https://evil`) {
			t.Errorf("%s: an alert's text became mark-up: %s\n%s", language, s.Markdown, s.HTML)
		}
		if !strings.Contains(s.HTML, `<a href="https://soc.example/incidents/INC-1">`) || strings.Contains(s.Title, "\n") {
			t.Errorf("%s: %q, %s", language, s.Title, s.HTML)
		}
	}
}

// TestBounds: templates that would cost much are refused or broken off, with
// the line at fault.
func TestBounds(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"\n\n{{nope}}":   `line 3: function "nope" not defined`,
		"{{if .Alerts}}": "line 1: unexpected EOF",
		"{{define \"a\"}}x{{end}}\n{{template \"a\"}}": "line 2: a template that calls a template",
		strings.Repeat("x", MaxTemplate+1):             "it has 32769 bytes",
	} {
		_, err := Compile(text, nil)
		var e *Error
		if !errors.As(err, &e) || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%.60q: %v, want %s", text, err, want)
		}
	}
	for text, want := range map[string]string{
		"{{range .Alerts}}{{range $.Alerts}}{{.Labels.ci}} {{range $.Alerts}}{{.Labels.alertname}}{{end}}{{end}}{{end}}": ErrTooLong.Error(),
		"a\n{{range 99999999}}{{end}}":                                               "line 2: ",
		"{{$x := 1000}}{{range $x}}{{range $x}}{{range $x}}{{end}}{{end}}{{end}}":    "line 1: ",
		"{{range .Alerts}}{{range $.Alerts}}{{range $.Alerts}}{{end}}{{end}}{{end}}": "line 1: ",
		"{{printf \"%9999d\" 1}}":                                                    "line 1: ",
		"{{printf \"%*d\" 9999 1}}":                                                  "line 1: ",
		"ok\n{{.Nope}}":                                                              "line 2: ",
		"{{match \"(\" .Kind}}":                                                      "line 1: ",
		"{{index .Alerts 77}}":                                                       "line 1: ",
		"{{\"x\" | tz \"Mars/Olympus\"}}":                                            "line 1: ",
	} {
		c, err := Compile(text, nil)
		if err != nil {
			t.Errorf("%q: %v", text, err)
			continue
		}
		if _, err = c.Make(sample(50)); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%q: %v, want %s", text, err, want)
		}
	}
}

func TestFuncs(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		`{{.CommonLabels.alertname | toUpper}}`:                          "SSH BRUTE FORCE",
		`{{"hello world" | title}}`:                                      "Hello World",
		`{{(stringSlice "a" "b") | join "-"}}`:                           "a-b",
		`{{match "^SSH" .CommonLabels.alertname}}`:                       "true",
		`{{reReplaceAll "(b.*) (f)" "$2 $1" "brute f"}}`:                 "f brute",
		`{{(index .Alerts 0).StartsAt | tz "UTC" | date "15:04"}}`:       "02:03",
		`{{humanizeDuration 93784}}`:                                     "1d 2h 3m 4s",
		`{{(.CommonLabels.Remove (stringSlice "ci" "priority")).Names}}`: "[alertname n severity tenant]",
		`{{range .GroupLabels.SortedPairs}}{{.Name}}={{.Value}}{{end}}`:  "incident=INC-1",
		`{{"a&b" | urlquery}} {{"a\"b" | toJson}} {{"税" | base64}}`:      `a%26b "a\"b" 56iO`,
		`{{md5 "a"}}`:           "0cc175b9c0f1b6a831c399e269772661",
		`{{truncate 3 "税务系统"}}`: "税务…",
		`{{len .Alerts.Firing}}{{len .Alerts.Resolved}}{{.Nothing | printf "%v"}}`: "",
	} {
		c, err := Compile(text, nil)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		got, err := c.Make(sample(1))
		if want == "" {
			if err == nil {
				t.Errorf("%s: a field that there is not made %q", text, got)
			}
			continue
		}
		if err != nil || got != want {
			t.Errorf("%s: %q, %v, want %q", text, got, err, want)
		}
	}
}

func TestDigest(t *testing.T) {
	t.Parallel()
	var list []Said
	for i := range 12 {
		list = append(list, Said{Title: fmt.Sprint("t", i), Plain: fmt.Sprint("p", i)})
	}
	d := Digest("zh", list)
	if d.Title != "[合并通知] 12 条" || !strings.Contains(d.Markdown, "- t9") || strings.Contains(d.Markdown, "t10") || !strings.Contains(d.Plain, "另有 2 条") || d.HTML == "" {
		t.Errorf("%+v", d)
	}
}

// FuzzCompile: whatever a template says, it ends with little.
func FuzzCompile(f *testing.F) {
	for _, s := range []string{titleZH, plainEN, markdownZH, "{{range .Alerts}}{{.Labels.SortedPairs}}{{end}}", "{{range 10000}}x{{end}}", "{{printf \"%d\" 3}}"} {
		f.Add(s)
	}
	d := sample(50)
	f.Fuzz(func(t *testing.T, text string) {
		c, err := Compile(text, nil)
		if err != nil {
			return
		}
		if out, err := c.Make(d); err == nil && len(out) > MaxOutput {
			t.Fatalf("%d bytes", len(out))
		}
	})
}
