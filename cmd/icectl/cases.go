package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"icewatch/soc/client"
)

// Alerts and incidents are handled by the same five acts, told apart only by
// the collection they live in.

type alertsCmd struct {
	List    alertsListCmd `cmd:"" help:"List alerts, most recent first."`
	Get     getCmd        `cmd:"" help:"Show one alert in full."`
	Ack     ackCmd        `cmd:"" help:"Acknowledge: say that you have seen it."`
	Assign  assignCmd     `cmd:"" help:"Give to somebody."`
	Comment commentCmd    `cmd:"" help:"Write a comment into the timeline."`
	Close   closeCmd      `cmd:"" help:"Close with a resolution."`
	Reopen  reopenCmd     `cmd:"" help:"Open again."`
}

type incidentsCmd struct {
	List    incidentsListCmd `cmd:"" help:"List incidents, most urgent first."`
	Get     getCmd           `cmd:"" help:"Show one incident in full, with alerts and timeline."`
	Ack     ackCmd           `cmd:"" help:"Acknowledge: say that you are on it."`
	Assign  assignCmd        `cmd:"" help:"Give to somebody."`
	Comment commentCmd       `cmd:"" help:"Write a comment into the timeline."`
	Close   closeCmd         `cmd:"" help:"Close with a resolution."`
	Reopen  reopenCmd        `cmd:"" help:"Open again."`
}

// collection says which of the two a command works on.
type collection struct{ path, one string }

// collectionOf tells it from the command as kong names it, "incidents ack <id>".
func collectionOf(command string) collection {
	if strings.HasPrefix(command, "incidents") {
		return collection{"/api/v1/incidents", "incident"}
	}
	return collection{"/api/v1/alerts", "alert"}
}

type alertsListCmd struct {
	Status   []string `help:"Only these: ${enum}." enum:"open,acknowledged,closed" placeholder:"STATUS,…"`
	Severity []string `help:"Only these: ${enum}." enum:"critical,high,medium,low,informational" placeholder:"SEVERITY,…"`
	Incident string   `help:"Only those of this incident." placeholder:"ID"`
	CI       string   `help:"Only those on this configuration item." name:"ci" placeholder:"ID"`
	Search   string   `help:"Only those with this text." short:"q" placeholder:"TEXT"`
	Since    string   `help:"Only those seen in this time, e.g. 24h, 7d." placeholder:"DURATION"`
	Limit    int      `help:"At most this many; 0 for all." default:"50"`
}

// Run lists alerts.
func (l *alertsListCmd) Run(a *app, col collection) error {
	q := url.Values{}
	setList(q, "status", l.Status)
	setList(q, "severity", l.Severity)
	set(q, "incident", l.Incident)
	set(q, "ci", l.CI)
	set(q, "q", l.Search)
	set(q, "tenant", a.cli.Tenant)
	if l.Since != "" {
		d, err := parseDuration(l.Since)
		if err != nil {
			return usageError("--since " + err.Error())
		}
		q.Set("since", d.String())
	}
	return a.list(col.path, q, l.Limit, []string{"ID", "LAST SEEN", "SEVERITY", "PRIO", "STATUS", "COUNT", "TENANT", "ON", "INCIDENT", "WHAT HAPPENED"},
		func(raw json.RawMessage) ([]string, error) {
			var al client.Alert
			if err := json.Unmarshal(raw, &al); err != nil {
				return nil, err
			}
			return []string{al.ID, when(al.LastSeen), al.Severity, or(al.Priority), al.Status, strconv.Itoa(al.Count), or(al.Tenant),
				itemName(al.CI), or(al.IncidentID), al.Title.In(a.lang())}, nil
		})
}

type incidentsListCmd struct {
	Status []string `help:"Only these: ${enum}." enum:"open,acknowledged,closed" placeholder:"STATUS,…"`
	Mine   bool     `help:"Only those assigned to me."`
	Search string   `help:"Only those with this text." short:"q" placeholder:"TEXT"`
	Limit  int      `help:"At most this many; 0 for all." default:"50"`
}

// Run lists incidents.
func (l *incidentsListCmd) Run(a *app, col collection) error {
	q := url.Values{}
	setList(q, "status", l.Status)
	set(q, "q", l.Search)
	set(q, "tenant", a.cli.Tenant)
	if l.Mine {
		q.Set("mine", "true")
	}
	return a.list(col.path, q, l.Limit, []string{"ID", "OPENED", "SEVERITY", "PRIO", "STATUS", "SLA", "ALERTS", "TENANT", "SYSTEM", "ON", "ASSIGNEE", "TITLE"},
		func(raw json.RawMessage) ([]string, error) {
			var in client.Incident
			if err := json.Unmarshal(raw, &in); err != nil {
				return nil, err
			}
			return []string{in.ID, when(in.OpenedAt), in.Severity, or(in.Priority), in.Status, slaState(in.SLA), strconv.Itoa(in.AlertCount), or(in.Tenant),
				itemName(in.System), itemName(in.CI), or(in.Assignee), in.Title.In(a.lang())}, nil
		})
}

// list prints a collection as lines of JSON or as a table.
func (a *app) list(path string, q url.Values, limit int, head []string, row func(json.RawMessage) ([]string, error)) error {
	if limit < 0 {
		return usageError(fmt.Sprintf("--limit %d: want a number, or 0 for all", limit))
	}
	c, err := a.connect()
	if err != nil {
		return err
	}
	items, err := c.Raw(a.ctx, path, q, limit)
	if err != nil {
		return err
	}
	t := table{head: head}
	for _, raw := range items {
		if a.cli.Output == "json" {
			if err := a.printLine(raw); err != nil {
				return err
			}
			continue
		}
		cells, err := row(raw)
		if err != nil {
			return fmt.Errorf("GET %s: the answer is not what was expected: %w", path, err)
		}
		t.add(cells...)
	}
	if a.cli.Output == "json" {
		return nil
	}
	if len(items) == 0 {
		fmt.Fprintln(a.stderr, "Nothing matches.")
		return nil
	}
	return t.write(a.stdout)
}

type getCmd struct {
	ID string `arg:"" help:"Its id."`
}

// Run prints one object: as one line of JSON, or indented for people.
func (g *getCmd) Run(a *app, col collection) error {
	c, err := a.connect()
	if err != nil {
		return err
	}
	var raw []byte
	if err := c.Get(a.ctx, col.path+"/"+url.PathEscape(g.ID), nil, &raw); err != nil {
		return err
	}
	if a.cli.Output == "json" {
		return a.printLine(raw)
	}
	if col.one == "incident" {
		return a.showIncident(raw)
	}
	return a.showAlert(raw)
}

type ackCmd struct {
	IDs     []string `arg:"" name:"id" help:"Which ones."`
	Comment string   `help:"Why, for the timeline." short:"m" placeholder:"TEXT"`
}

// Run acknowledges each.
func (k *ackCmd) Run(a *app, col collection) error {
	return a.act(col, k.IDs, "acknowledge", "acknowledged", comment(k.Comment))
}

type assignCmd struct {
	IDs []string `arg:"" name:"id" help:"Which ones."`
	To  string   `help:"User name of the new assignee." required:"" placeholder:"USER"`
}

// Run assigns each.
func (s *assignCmd) Run(a *app, col collection) error {
	return a.act(col, s.IDs, "assign", "assigned to "+s.To, map[string]string{"assignee": s.To})
}

type commentCmd struct {
	ID   string   `arg:"" help:"Which one."`
	Text []string `arg:"" help:"The comment."`
}

// Run adds a comment.
func (m *commentCmd) Run(a *app, col collection) error {
	return a.act(col, []string{m.ID}, "comments", "commented", map[string]string{"text": strings.Join(m.Text, " ")})
}

type closeCmd struct {
	IDs        []string `arg:"" name:"id" help:"Which ones."`
	Resolution string   `help:"What it was: ${enum}." enum:"true_positive,false_positive,benign,test,duplicate" required:"" placeholder:"WHAT"`
	Comment    string   `help:"Why, for the timeline." short:"m" placeholder:"TEXT"`
}

// Run closes each.
func (l *closeCmd) Run(a *app, col collection) error {
	body := comment(l.Comment)
	body["resolution"] = l.Resolution
	return a.act(col, l.IDs, "close", "closed", body)
}

type reopenCmd struct {
	IDs     []string `arg:"" name:"id" help:"Which ones."`
	Comment string   `help:"Why, for the timeline." short:"m" placeholder:"TEXT"`
}

// Run opens each again.
func (r *reopenCmd) Run(a *app, col collection) error {
	return a.act(col, r.IDs, "reopen", "reopened", comment(r.Comment))
}

func comment(text string) map[string]string {
	m := map[string]string{}
	if text != "" {
		m["comment"] = text
	}
	return m
}

// act does one thing to each of ids and goes on where one is refused, so that
// the list is done as far as it can be; what failed is reported at the end.
func (a *app) act(col collection, ids []string, verb, done string, body map[string]string) error {
	c, err := a.connect()
	if err != nil {
		return err
	}
	var failed []error
	for _, id := range ids {
		var raw []byte
		err := c.JSON(a.ctx, http.MethodPost, col.path+"/"+url.PathEscape(id)+"/"+verb, nil, body, &raw)
		switch {
		case err != nil:
			failed = append(failed, fmt.Errorf("%s %s: %w", col.one, id, err))
		case a.cli.Output == "json":
			err = a.printLine(raw)
		default:
			_, err = fmt.Fprintf(a.stdout, "%s %s %s\n", col.one, id, done)
		}
		if err != nil && len(failed) == 0 {
			return err
		}
	}
	return errors.Join(failed...)
}

func set(q url.Values, name, value string) {
	if value != "" {
		q.Set(name, value)
	}
}

func setList(q url.Values, name string, values []string) {
	if len(values) > 0 {
		q.Set(name, strings.Join(values, ","))
	}
}

func itemName(i *client.Item) string {
	if i == nil || i.Name == "" {
		return "-"
	}
	return i.Name
}

func slaState(s *client.SLA) string {
	if s == nil {
		return "-"
	}
	return or(s.State)
}
