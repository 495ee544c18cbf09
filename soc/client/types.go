package client

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// Text is a text in the suite's two languages.
type Text struct {
	ZH string `json:"zh"`
	EN string `json:"en"`
}

// In returns the text in a language ("zh" or "en"), else in the other.
func (t Text) In(lang string) string {
	if strings.HasPrefix(lang, "zh") && t.ZH != "" || t.EN == "" {
		return t.ZH
	}
	return t.EN
}

// Page is one page of a list.
type Page[T any] struct {
	Items []T    `json:"items"`
	Total int    `json:"total"`
	Next  string `json:"next"`
}

// User is an account as the API shows it.
type User struct {
	ID          string   `json:"id"`
	Username    string   `json:"username"`
	DisplayName string   `json:"display_name"`
	Roles       []string `json:"roles"`
	Scopes      []string `json:"scopes"`
	AllTenants  bool     `json:"all_tenants"`
	Tenants     []string `json:"tenants"`
	Reach       string   `json:"reach"` // data scope; "" is no condition
	MustChange  bool     `json:"must_change_password"`
}

// Session is what a sign-in gives.
type Session struct {
	Token     string    `json:"token"`
	ExpiresAt time.Time `json:"expires_at"`
	User      User      `json:"user"`
}

// Token is an access token; Secret is filled once, when it is made.
type Token struct {
	ID        string     `json:"id"`
	Name      string     `json:"name"`
	Secret    string     `json:"token,omitempty"`
	Tenant    string     `json:"tenant"`
	Scopes    []string   `json:"scopes"`
	ExpiresAt *time.Time `json:"expires_at,omitempty"`
}

// Item names a configuration item or a business system.
type Item struct {
	ID          string   `json:"id"`
	Name        string   `json:"name"`
	Class       string   `json:"class,omitempty"`
	Criticality int      `json:"criticality,omitempty"`
	Owner       string   `json:"owner,omitempty"`
	Labels      []string `json:"labels,omitempty"`
}

// Rule is what an alert keeps of its rule.
type Rule struct {
	ID    string `json:"id"`
	Title Text   `json:"title"`
	Level string `json:"level"`
}

// Alert is what the tools read of an alert.
type Alert struct {
	ID          string    `json:"id"`
	Tenant      string    `json:"tenant"`
	Rule        Rule      `json:"rule"`
	Title       Text      `json:"title"`
	Severity    string    `json:"severity"`
	Priority    string    `json:"priority"`
	Status      string    `json:"status"`
	FirstSeen   time.Time `json:"first_seen"`
	LastSeen    time.Time `json:"last_seen"`
	Count       int       `json:"count"`
	Occurrences int       `json:"occurrences"`
	SourceIP    string    `json:"source_ip"`
	CI          *Item     `json:"ci"`
	System      *Item     `json:"system"`
	Assignee    string    `json:"assignee"`
	IncidentID  string    `json:"incident_id"`
	EventIDs    []string  `json:"event_ids"`
}

// UnmarshalJSON takes the detail's list of occurrences for its length: the
// list of alerts gives the number alone.
func (a *Alert) UnmarshalJSON(data []byte) error {
	type plain Alert
	aux := struct {
		*plain
		Occurrences json.RawMessage `json:"occurrences"`
	}{plain: (*plain)(a)}
	if err := json.Unmarshal(data, &aux); err != nil {
		return err
	}
	if len(aux.Occurrences) == 0 || string(aux.Occurrences) == "null" {
		return nil
	}
	if aux.Occurrences[0] == '[' {
		var list []json.RawMessage
		if err := json.Unmarshal(aux.Occurrences, &list); err != nil {
			return err
		}
		a.Occurrences = len(list)
		return nil
	}
	return json.Unmarshal(aux.Occurrences, &a.Occurrences)
}

// TimelineEntry is one line of what happened to an incident.
type TimelineEntry struct {
	Time  time.Time `json:"time"`
	Kind  string    `json:"kind"`
	Actor string    `json:"actor"`
	Text  Text      `json:"text"`
}

// SLA is an incident's clock.
type SLA struct {
	AckDue     *time.Time `json:"ack_due"`
	ResolveDue *time.Time `json:"resolve_due"`
	State      string     `json:"state"`
}

// Incident is what the tools read of an incident.
type Incident struct {
	ID         string          `json:"id"`
	Tenant     string          `json:"tenant"`
	Title      Text            `json:"title"`
	Severity   string          `json:"severity"`
	Priority   string          `json:"priority"`
	Status     string          `json:"status"`
	CI         *Item           `json:"ci"`
	System     *Item           `json:"system"`
	Owner      string          `json:"owner"`
	Assignee   string          `json:"assignee"`
	OpenedAt   time.Time       `json:"opened_at"`
	FirstSeen  time.Time       `json:"first_seen"`
	LastSeen   time.Time       `json:"last_seen"`
	AlertCount int             `json:"alert_count"`
	SLA        *SLA            `json:"sla"`
	Alerts     []Alert         `json:"alerts"`
	Timeline   []TimelineEntry `json:"timeline"`
}

// ImportReport says what an import into the CMDB changed.
type ImportReport struct {
	Created   int  `json:"created"`
	Updated   int  `json:"updated"`
	Unchanged int  `json:"unchanged"`
	DryRun    bool `json:"dry_run"`
}

// Source is the health of one intake.
type Source struct {
	ID       string `json:"id"`
	Kind     string `json:"kind"`
	Listen   string `json:"listen"`
	State    string `json:"state"`
	Error    string `json:"error"`
	Received uint64 `json:"received"`
	Rejected uint64 `json:"rejected"`
	Dropped  uint64 `json:"dropped"`
	Bytes    uint64 `json:"bytes"`
}

// Login signs in. The client itself keeps its old credential: see With.
func (c *Client) Login(ctx context.Context, username, password string) (Session, error) {
	var s Session
	in := map[string]string{"username": username, "password": password}
	err := c.With("", "").JSON(ctx, http.MethodPost, "/api/v1/auth/login", nil, in, &s)
	return s, err
}

// LoginFactor answers the challenge of a sign-in that asks for a second
// factor, "totp" or "recovery", with its code.
func (c *Client) LoginFactor(ctx context.Context, factor, challenge, code string) (Session, error) {
	var s Session
	in := map[string]string{"challenge": challenge, "code": code}
	err := c.With("", "").JSON(ctx, http.MethodPost, "/api/v1/auth/login/"+factor, nil, in, &s)
	return s, err
}

// Me tells whom the server takes the caller for.
func (c *Client) Me(ctx context.Context) (User, error) {
	var u User
	err := c.Get(ctx, "/api/v1/me", nil, &u)
	return u, err
}

// CreateToken makes an access token. tenant "" is city level; validity 0
// leaves the server's default.
func (c *Client) CreateToken(ctx context.Context, name, tenant string, scopes []string, validity time.Duration) (Token, error) {
	var t Token
	in := map[string]any{"name": name, "scopes": scopes}
	if tenant != "" {
		in["tenant"] = tenant
	}
	if validity > 0 {
		in["expires_in"] = validity.String()
	}
	err := c.JSON(ctx, http.MethodPost, "/api/v1/tokens", nil, in, &t)
	return t, err
}

// RevokeToken ends an access token.
func (c *Client) RevokeToken(ctx context.Context, id string) error {
	return c.JSON(ctx, http.MethodDelete, "/api/v1/tokens/"+url.PathEscape(id), nil, nil, nil)
}

// Import loads a file into the CMDB: all of it or, with a *Problem that lists
// the faults by row, nothing. format is one of "xlsx", "csv",
// "json", "ndjson" and "yaml"; class tells what rows are that name none.
func (c *Client) Import(ctx context.Context, format, class string, dryRun bool, file []byte) (ImportReport, error) {
	q := url.Values{"format": {format}}
	if class != "" {
		q.Set("class", class)
	}
	if dryRun {
		q.Set("dry_run", strconv.FormatBool(dryRun))
	}
	var rep ImportReport
	err := c.Send(ctx, http.MethodPost, "/api/v1/cmdb/import", q,
		http.Header{"Content-Type": {"application/octet-stream"}, "Accept": {"application/json"}}, strings.NewReader(string(file)), &rep)
	return rep, err
}

// Alerts lists alerts, following the pages up to limit (0: all of them).
func (c *Client) Alerts(ctx context.Context, query url.Values, limit int) ([]Alert, error) {
	return list[Alert](ctx, c, "/api/v1/alerts", query, limit)
}

// Incidents lists incidents, following the pages up to limit (0: all).
func (c *Client) Incidents(ctx context.Context, query url.Values, limit int) ([]Incident, error) {
	return list[Incident](ctx, c, "/api/v1/incidents", query, limit)
}

// Incident returns one incident with its alerts and timeline.
func (c *Client) Incident(ctx context.Context, id string) (Incident, error) {
	var in Incident
	err := c.Get(ctx, "/api/v1/incidents/"+url.PathEscape(id), nil, &in)
	return in, err
}

// Sources lists the intakes.
func (c *Client) Sources(ctx context.Context) ([]Source, error) {
	return list[Source](ctx, c, "/api/v1/sources", nil, 0)
}

// Raw lists the items of any list as the server wrote them, following the
// pages up to limit (0: all of them).
func (c *Client) Raw(ctx context.Context, path string, query url.Values, limit int) ([]json.RawMessage, error) {
	return list[json.RawMessage](ctx, c, path, query, limit)
}

func list[T any](ctx context.Context, c *Client, path string, query url.Values, limit int) ([]T, error) {
	q := url.Values{}
	for k, v := range query {
		q[k] = v
	}
	var all []T
	for {
		if limit > 0 {
			q.Set("limit", strconv.Itoa(min(limit-len(all), 200)))
		}
		var p Page[T]
		if err := c.Get(ctx, path, q, &p); err != nil {
			return nil, err
		}
		all = append(all, p.Items...)
		if limit > 0 && len(all) >= limit {
			return all[:limit], nil
		}
		if p.Next == "" || len(p.Items) == 0 {
			return all, nil
		}
		q.Set("cursor", p.Next)
	}
}

// Search returns matching events, newest first, as flat objects.
func (c *Client) Search(ctx context.Context, query url.Values) ([]map[string]any, error) {
	var out []map[string]any
	err := c.Stream(ctx, "/api/v1/search", query, func(line []byte) error {
		var row map[string]any
		if err := json.Unmarshal(line, &row); err != nil {
			return err
		}
		out = append(out, row)
		return nil
	})
	return out, err
}
