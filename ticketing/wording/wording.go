// Package wording writes notifications in words: a title, plain text, Markdown
// and HTML, in Chinese or English, by templates that users may replace. The
// templates are Go's, with Alertmanager's data and functions where they fit,
// and bounded, so that none of them can hold up what others wait for.
package wording

import (
	"bytes"
	"fmt"
	"html/template"
	"strings"
	"time"

	"github.com/yuin/goldmark"
	"github.com/yuin/goldmark/extension"

	"icewatch/ticketing/webhook"
)

// Data is what templates know.
type Data struct {
	Receiver          string
	Status            string // firing or resolved
	Kind              string // opened, changed, sla, resolved, firing, repeat, escalation, test, report, digest
	Language          string // zh or en
	Alerts            Alerts
	GroupLabels       KV
	CommonLabels      KV
	CommonAnnotations KV
	ExternalURL       string
	TruncatedAlerts   uint64
	Incident          string // id; empty where it is of alerts without an incident
	IncidentURL       string
	AcknowledgeURL    string // acknowledges the incident in the name of whoever is called
	OnCall            string // who is called
	Summary           string // what happened, in Language
	Description       string // more of it, in Language
	Count             int    // notifications that are merged into this one; 1 for an ordinary one
}

// Alert is one alert.
type Alert struct {
	Status       string
	Labels       KV
	Annotations  KV
	StartsAt     time.Time
	EndsAt       time.Time
	GeneratorURL string
	Fingerprint  string
	Summary      string // in the language
	Description  string // in the language
}

// Alerts are several.
type Alerts []Alert

// Firing are those that go on.
func (as Alerts) Firing() Alerts { return as.in(webhook.Firing) }

// Resolved are those that are over.
func (as Alerts) Resolved() Alerts { return as.in(webhook.Resolved) }

func (as Alerts) in(status string) Alerts {
	var out Alerts
	for _, a := range as {
		if a.Status == status {
			out = append(out, a)
		}
	}
	return out
}

// DataOf makes what templates know of a notification. zone is that of times.
func DataOf(p webhook.Payload, kind, language string, zone *time.Location) Data {
	d := Data{Receiver: p.Receiver, Status: p.Status, Kind: kind, Language: language, GroupLabels: p.GroupLabels, CommonLabels: p.CommonLabels,
		CommonAnnotations: p.CommonAnnotations, ExternalURL: p.ExternalURL, TruncatedAlerts: p.TruncatedAlerts, Count: 1}
	for _, a := range p.Alerts {
		one := Alert{Status: a.Status, Labels: a.Labels, Annotations: a.Annotations, StartsAt: a.StartsAt.In(zone), GeneratorURL: a.GeneratorURL, Fingerprint: a.Fingerprint,
			Summary: said(a.Annotations, "summary", language), Description: said(a.Annotations, "description", language)}
		if one.Summary == "" {
			one.Summary = a.Labels["alertname"]
		}
		if !a.EndsAt.IsZero() {
			one.EndsAt = a.EndsAt.In(zone)
		}
		d.Alerts = append(d.Alerts, one)
	}
	d.Incident, d.OnCall = first(d.CommonLabels["incident"], p.GroupLabels["incident"]), p.GroupLabels["on_call"]
	d.IncidentURL, d.AcknowledgeURL = d.CommonAnnotations["incident_url"], d.CommonAnnotations["acknowledge_url"]
	d.Summary, d.Description = said(d.CommonAnnotations, "summary", language), said(d.CommonAnnotations, "description", language)
	if d.Summary == "" && len(d.Alerts) > 0 {
		d.Summary = d.Alerts[0].Summary
	}
	return d
}

func said(annotations map[string]string, name, language string) string {
	if language == "en" {
		if s := annotations[name+"_en"]; s != "" {
			return s
		}
	}
	return annotations[name]
}

func first(texts ...string) string {
	for _, t := range texts {
		if t != "" {
			return t
		}
	}
	return ""
}

// Text are the templates of one wording. An empty one is the default of the
// language.
type Text struct {
	Title    string `json:"title"`
	Plain    string `json:"plain" doc:"For text messages and for mail without HTML"`
	Markdown string `json:"markdown" doc:"For chat robots; mail in HTML is made of it too"`
}

// Parts names the templates of a wording, in the order of Text.
var Parts = []string{"title", "plain", "markdown"}

// Defaults are the templates of a language: zh or en.
func Defaults(language string) Text {
	if language == "en" {
		return Text{Title: titleEN, Plain: plainEN, Markdown: markdownEN}
	}
	return Text{Title: titleZH, Plain: plainZH, Markdown: markdownZH}
}

// Wording is a wording that was compiled. It is safe for concurrent use.
type Wording struct {
	Language              string
	title, plain, marking Template
}

// PartError is what is wrong with one of the templates.
type PartError struct {
	Part   string `json:"part" enum:"title,plain,markdown"`
	Line   int    `json:"line" doc:"1 is the first; 0 where it is of the whole"`
	Reason string `json:"reason"`
}

func (e *PartError) Error() string { return e.Part + ": " + (&Error{e.Line, e.Reason}).Error() }

// New compiles a wording. The error is a *PartError.
func New(language string, t Text) (*Wording, error) {
	if language != "en" {
		language = "zh"
	}
	d := Defaults(language)
	w := &Wording{Language: language}
	for _, p := range []struct {
		part, text, otherwise string
		into                  *Template
	}{{"title", t.Title, d.Title, &w.title}, {"plain", t.Plain, d.Plain, &w.plain}, {"markdown", t.Markdown, d.Markdown, &w.marking}} {
		var err error
		if *p.into, err = Compile(first(p.text, p.otherwise), nil); err != nil {
			return nil, in(p.part, err)
		}
	}
	return w, nil
}

func in(part string, err error) error {
	if e, ok := err.(*Error); ok {
		return &PartError{part, e.Line, e.Reason}
	}
	return &PartError{Part: part, Reason: err.Error()}
}

// Said is a notification in words.
type Said struct {
	Title    string `json:"title"`
	Plain    string `json:"plain"`
	Markdown string `json:"markdown"`
	HTML     string `json:"html"`
}

// Say writes a notification. The error is a *PartError.
func (w *Wording) Say(d Data) (s Said, err error) {
	d.Language = w.Language
	for _, p := range []struct {
		part string
		t    Template
		into *string
	}{{"title", w.title, &s.Title}, {"plain", w.plain, &s.Plain}, {"markdown", w.marking, &s.Markdown}} {
		if *p.into, err = p.t.Make(d); err != nil {
			return s, in(p.part, err)
		}
		*p.into = strings.TrimSpace(*p.into)
	}
	s.Title = strings.Join(strings.Fields(s.Title), " ") // one line
	if s.HTML, err = html(s.Title, s.Markdown); err != nil {
		return s, in("markdown", err)
	}
	return s, nil
}

// markdown leaves raw HTML out, so that no alert's text becomes mark-up.
var markdown = goldmark.New(goldmark.WithExtensions(extension.Table))

var page = template.Must(template.New("page").Parse(`<!doctype html>
<html><head><meta charset="utf-8"><title>{{.Title}}</title></head>
<body style="font-family:'PingFang SC','Microsoft YaHei','Noto Sans SC',sans-serif;font-size:14px;line-height:1.6;color:#1f1f1f;max-width:760px">
{{.Body}}
</body></html>
`))

func html(title, text string) (string, error) {
	var body, out bytes.Buffer
	if err := markdown.Convert([]byte(text), &body); err != nil {
		return "", fmt.Errorf("it cannot be made HTML: %w", err)
	}
	err := page.Execute(&out, struct {
		Title string
		Body  template.HTML
	}{title, template.HTML(body.String())}) // #nosec G203 -- goldmark escapes text and leaves raw HTML out
	return out.String(), err
}
