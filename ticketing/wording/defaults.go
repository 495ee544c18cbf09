package wording

import (
	"strconv"
	"strings"
)

// The templates that stand until somebody writes others.
const (
	titleZH = `[{{kindName "zh" .Kind}}] {{with .CommonLabels.severity}}{{severityName "zh" .}} · {{end}}{{.Summary | truncate 120}}{{with .Incident}} ({{.}}){{end}}`
	titleEN = `[{{kindName "en" .Kind}}] {{with .CommonLabels.severity}}{{severityName "en" .}} · {{end}}{{.Summary | truncate 120}}{{with .Incident}} ({{.}}){{end}}`

	plainZH = `[{{kindName "zh" .Kind}}] {{.Summary | truncate 100}}{{with .CommonLabels.priority}} 优先级 {{.}}{{end}}{{with .CommonLabels.ci}}，资产 {{.}}{{end}}{{with .CommonLabels.tenant}}，租户 {{.}}{{end}}{{with .Incident}}，{{.}}{{end}}{{with .AcknowledgeURL}} 确认：{{.}}{{else}}{{with .IncidentURL}} {{.}}{{end}}{{end}}`
	plainEN = `[{{kindName "en" .Kind}}] {{.Summary | truncate 100}}{{with .CommonLabels.priority}} {{.}}{{end}}{{with .CommonLabels.ci}}, {{.}}{{end}}{{with .CommonLabels.tenant}}, tenant {{.}}{{end}}{{with .Incident}}, {{.}}{{end}}{{with .AcknowledgeURL}} acknowledge: {{.}}{{else}}{{with .IncidentURL}} {{.}}{{end}}{{end}}`

	markdownZH = `### [{{kindName "zh" .Kind}}] {{.Summary | inert | truncate 120}}
{{with .Description}}
{{. | inert | truncate 600}}
{{end}}
{{with .CommonLabels.severity}}- 级别：{{severityName "zh" .}}
{{end}}{{with .CommonLabels.priority}}- 优先级：{{.}}
{{end}}{{with .CommonLabels.tenant}}- 租户：{{. | inert}}
{{end}}{{with .CommonLabels.system}}- 系统：{{. | inert}}
{{end}}{{with .CommonLabels.ci}}- 资产：{{. | inert}}
{{end}}{{with .CommonAnnotations.owner}}- 负责人：{{. | inert}}
{{end}}{{with .Incident}}- 事件：{{.}}
{{end}}{{with .OnCall}}- 值班：{{.}}
{{end}}
{{with .Alerts.Firing}}**未恢复 {{len .}} 条**

{{range $i, $a := .}}{{if lt $i 10}}- {{$a.Summary | inert | truncate 120}}（{{$a.StartsAt | date "01-02 15:04:05"}}）
{{end}}{{end}}{{end}}
{{with .Alerts.Resolved}}**已恢复 {{len .}} 条**

{{range $i, $a := .}}{{if lt $i 10}}- {{$a.Summary | inert | truncate 120}}（{{$a.EndsAt | date "01-02 15:04:05"}}）
{{end}}{{end}}{{end}}
{{with .AcknowledgeURL}}[确认并开始处理]({{.}}) {{end}}{{with .IncidentURL}}[查看事件]({{.}}){{end}}`
	markdownEN = `### [{{kindName "en" .Kind}}] {{.Summary | inert | truncate 120}}
{{with .Description}}
{{. | inert | truncate 600}}
{{end}}
{{with .CommonLabels.severity}}- Severity: {{severityName "en" .}}
{{end}}{{with .CommonLabels.priority}}- Priority: {{.}}
{{end}}{{with .CommonLabels.tenant}}- Tenant: {{. | inert}}
{{end}}{{with .CommonLabels.system}}- System: {{. | inert}}
{{end}}{{with .CommonLabels.ci}}- Item: {{. | inert}}
{{end}}{{with .CommonAnnotations.owner}}- Owner: {{. | inert}}
{{end}}{{with .Incident}}- Incident: {{.}}
{{end}}{{with .OnCall}}- On call: {{.}}
{{end}}
{{with .Alerts.Firing}}**{{len .}} firing**

{{range $i, $a := .}}{{if lt $i 10}}- {{$a.Summary | inert | truncate 120}} ({{$a.StartsAt | date "01-02 15:04:05"}})
{{end}}{{end}}{{end}}
{{with .Alerts.Resolved}}**{{len .}} resolved**

{{range $i, $a := .}}{{if lt $i 10}}- {{$a.Summary | inert | truncate 120}} ({{$a.EndsAt | date "01-02 15:04:05"}})
{{end}}{{end}}{{end}}
{{with .AcknowledgeURL}}[Acknowledge and begin]({{.}}) {{end}}{{with .IncidentURL}}[Open the incident]({{.}}){{end}}`
)

// maxDigest bounds how many of the merged notifications a digest shows.
const maxDigest = 10

// Digest writes several notifications as one, for a channel whose limits leave
// no room for each. All of them count, and the first are shown.
func Digest(language string, list []Said) Said {
	n := len(list)
	lines, heads := make([]string, 0, n), make([]string, 0, n)
	for i, s := range list {
		if i == maxDigest {
			break
		}
		lines, heads = append(lines, s.Plain), append(heads, "- "+inert(s.Title))
	}
	out := Said{Title: plural(language, n), Plain: plural(language, n) + "\n" + strings.Join(lines, "\n"), Markdown: "### " + plural(language, n) + "\n\n" + strings.Join(heads, "\n")}
	if n > maxDigest {
		rest := more(language, n-maxDigest)
		out.Plain, out.Markdown = out.Plain+"\n"+rest, out.Markdown+"\n\n"+rest
	}
	if made, err := html(out.Title, out.Markdown); err == nil {
		out.HTML = made
	}
	return out
}

func plural(language string, n int) string {
	if language == "en" {
		return "[Digest] " + strconv.Itoa(n) + " notifications"
	}
	return "[合并通知] " + strconv.Itoa(n) + " 条"
}

func more(language string, n int) string {
	if language == "en" {
		return "and " + strconv.Itoa(n) + " more, all in the console"
	}
	return "另有 " + strconv.Itoa(n) + " 条，见控制台"
}
