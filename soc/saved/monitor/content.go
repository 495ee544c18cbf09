package monitor

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"icewatch/detections"
	"icewatch/soc/export"
	"icewatch/soc/saved"
)

// The kinds of conditions and actions.
const (
	OnRows  = "rows"  // how many rows there are
	OnValue = "value" // whether a row's field meets it

	Alert  = "alert"
	Export = "export"
)

// Condition is what makes a run count.
type Condition struct {
	Kind  string  `json:"kind" enum:"rows,value"`
	Op    string  `json:"op" enum:">,>=,<,<=,=,!="`
	Value float64 `json:"value"`
	Field string  `json:"field,omitempty" doc:"Of kind value: met where some row's field meets it"`
}

// holds tells whether a figure meets the condition.
func (c Condition) holds(x float64) bool {
	switch c.Op {
	case ">":
		return x > c.Value
	case ">=":
		return x >= c.Value
	case "<":
		return x < c.Value
	case "<=":
		return x <= c.Value
	case "=":
		return x == c.Value
	}
	return x != c.Value
}

// Action is what is done where the condition is met.
type Action struct {
	Kind     string           `json:"kind" enum:"alert,export"`
	Severity detections.Level `json:"severity,omitempty" doc:"Of an alert"`
	Title    detections.Text  `json:"title,omitzero" doc:"Of an alert; the monitor's name by default"`
	Format   string           `json:"format,omitempty" enum:"csv,xlsx,json,ndjson" doc:"Of an export"`
	Fields   []string         `json:"fields,omitempty" doc:"Of an export"`
	Kept     bool             `json:"kept,omitempty" doc:"The export does not expire"`
	Receiver string           `json:"receiver,omitempty" doc:"Webhook receiver that is told of the export"`
}

// Content is what a monitor says.
type Content struct {
	Name        string    `json:"name"`
	Description string    `json:"description,omitempty"`
	Tags        []string  `json:"tags,omitempty"`
	Search      string    `json:"search_id,omitempty" doc:"Saved search that it was made from"`
	Query       string    `json:"query,omitempty" doc:"LogsQL; that of the saved search by default"`
	Group       string    `json:"group,omitempty" doc:"Log group"`
	Tenant      string    `json:"tenant,omitempty" doc:"Searched in, and whose the alert is; the city's by default, for owners who reach everything"`
	Schedule    string    `json:"schedule" doc:"Cron: minute, hour, day of the month, month, day of the week"`
	TimeZone    string    `json:"time_zone,omitempty" doc:"IANA name; that of the server by default"`
	Window      string    `json:"window,omitempty" doc:"How much time before the time of the schedule a run looks at"`
	Delay       string    `json:"delay,omitempty" doc:"How long after it a run begins, for events that come late"`
	Condition   Condition `json:"condition"`
	Action      Action    `json:"action"`
}

// Content is what the monitor says.
func (m Monitor) Content() Content {
	return Content{m.Name, m.Description, m.Tags, m.Search, m.Query, m.Group, m.Tenant, m.Schedule, m.TimeZone, m.Window, m.Delay, m.Condition, m.Action}
}

// check completes a content and says everything that is wrong with it.
func (s *Service) check(ctx context.Context, a saved.Asker, c *Content) error {
	var wrong []string
	bad := func(field, format string, args ...any) {
		wrong = append(wrong, field+": "+fmt.Sprintf(format, args...))
	}
	c.Name, c.Description, c.Query, c.Tenant = strings.TrimSpace(c.Name), strings.TrimSpace(c.Description), strings.TrimSpace(c.Query), strings.TrimSpace(c.Tenant)
	if n := utf8.RuneCountInString(c.Name); n < 1 || n > maxName || strings.ContainsFunc(c.Name, unicode.IsControl) {
		bad("name", "1 to %d characters without control characters are right", maxName)
	}
	if utf8.RuneCountInString(c.Description) > 2000 {
		bad("description", "2000 characters are the most")
	}
	if len(c.Tags) > 20 || slices.ContainsFunc(c.Tags, func(t string) bool { return t == "" || utf8.RuneCountInString(t) > maxName }) {
		bad("tags", "20 of 1 to %d characters are the most", maxName)
	}
	if len(c.Query) > saved.MaxQuery {
		bad("query", "it has %d bytes: %d are the most", len(c.Query), saved.MaxQuery)
	} else if _, err := s.deps.Shape(c.Query); err != nil {
		bad("query", "%s", err)
	}
	if c.Group != "" {
		if _, err := s.deps.Searches.Scope(a, c.Group); err != nil {
			bad("group", "%s", err)
		}
	}
	if strings.Contains(c.Tenant, ",") {
		bad("tenant", "one tenant is right, whose the alert will be; or none, for a search over the whole city")
	}
	if _, err := ParseSchedule(c.Schedule, c.TimeZone, s.now()); err != nil {
		bad("schedule", "%s", err)
	}
	if d, err := saved.ParseSpan(c.Window); err != nil || d > longest {
		bad("window", "%.32q: a duration of at most 366d is right", c.Window)
	}
	if c.Delay != "" {
		if d, err := saved.ParseSpan(c.Delay); err != nil || d > maxDelay {
			bad("delay", "%.32q: a duration of at most 24h is right", c.Delay)
		}
	}
	cond := &c.Condition
	if !slices.Contains([]string{">", ">=", "<", "<=", "=", "!="}, cond.Op) {
		bad("condition.op", "%.8q: >, >=, <, <=, = or != are right", cond.Op)
	}
	switch cond.Kind {
	case OnRows:
		cond.Field = ""
		if cond.Value < 0 || cond.Value > maxRows {
			bad("condition.value", "it is %v: 0 to %d rows are right", cond.Value, maxRows)
		}
	case OnValue:
		if cond.Field == "" || len(cond.Field) > 512 {
			bad("condition.field", "name the field that is looked at")
		}
	default:
		bad("condition.kind", "%.32q: rows or value are right", cond.Kind)
	}
	switch act := &c.Action; act.Kind {
	case Alert:
		if act.Severity == "" {
			act.Severity = detections.Medium
		}
		if !slices.Contains(detections.Levels, act.Severity) {
			bad("action.severity", "%.32q: one of %v is right", act.Severity, detections.Levels)
		}
		if utf8.RuneCountInString(act.Title.ZH)+utf8.RuneCountInString(act.Title.EN) > 2*maxName {
			bad("action.title", "%d characters are the most", maxName)
		}
		act.Format, act.Fields, act.Receiver, act.Kept = "", nil, "", false
	case Export:
		act.Severity, act.Title = "", detections.Text{}
		if !slices.Contains([]string{export.CSV, export.XLSX, export.JSON, export.NDJSON}, act.Format) {
			bad("action.format", "%.32q: csv, xlsx, json or ndjson are right", act.Format)
		}
		if err := export.CheckFields(act.Fields); err != nil {
			bad("action.fields", "%s", err)
		}
		if act.Receiver != "" {
			if there, err := s.deps.Receiver(ctx, act.Receiver); err != nil {
				return err
			} else if !there {
				bad("action.receiver", "there is no webhook receiver %.64q", act.Receiver)
			}
		}
	default:
		bad("action.kind", "%.32q: alert or export are right", act.Kind)
	}
	if len(wrong) > 0 {
		return fmt.Errorf("%w: %s", saved.ErrInvalid, strings.Join(wrong, "; "))
	}
	return nil
}

// resolve takes what is left out from the saved search that is named, and
// returns that search's revision.
func (s *Service) resolve(ctx context.Context, a saved.Asker, c *Content) (int64, error) {
	if c.Search == "" {
		return 0, nil
	}
	from, err := s.deps.Searches.Search(ctx, a, c.Search)
	if err != nil {
		return 0, err
	}
	if c.Query == "" {
		c.Query = from.Query
		if c.Group == "" {
			c.Group = from.Group
		}
		if c.Tenant == "" {
			c.Tenant = from.Tenant
		}
	}
	if c.Window == "" {
		c.Window = from.Time.Since
	}
	return from.Revision, nil
}
