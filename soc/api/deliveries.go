package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"icewatch/soc/identity"
	"icewatch/soc/reach"
	"icewatch/ticketing"
	"icewatch/ticketing/outbox"
	"icewatch/ticketing/webhook"
	"icewatch/ticketing/wording"
)

// deliveryView is one notification to one receiver.
type deliveryView struct {
	ID         string          `json:"id" doc:"The same over all attempts; receivers see it"`
	Receiver   string          `json:"receiver"`
	Channel    string          `json:"channel"`
	IncidentID string          `json:"incident_id"`
	Tenant     string          `json:"tenant"`
	Kind       string          `json:"kind"`
	Title      string          `json:"title" doc:"What it said; empty before the first attempt"`
	Route      string          `json:"route" doc:"Which route sent it; empty for none"`
	People     []string        `json:"people" nullable:"false" doc:"Whom it was for by name"`
	State      string          `json:"state" enum:"pending,delivered,failed"`
	Attempts   int             `json:"attempts"`
	Error      string          `json:"error" doc:"Of the last attempt"`
	CreatedAt  ticketing.Time  `json:"created_at" format:"date-time"`
	NextAt     *ticketing.Time `json:"next_at,omitempty" format:"date-time" doc:"Of the next attempt"`
	SettledAt  *ticketing.Time `json:"settled_at,omitempty" format:"date-time"`
	AgainBy    string          `json:"sent_again_by,omitempty"`
}

// viewOfDelivery shows a notification to a reader. From whom fields of events are
// hidden, what was said of them is hidden too: the words are not told apart.
func viewOfDelivery(d outbox.Delivery, within reach.Reach) deliveryView {
	if within.Veil() != nil {
		d.Title = "******"
	}
	v := deliveryView{ID: d.Delivery, Receiver: d.Receiver, Channel: d.Channel, IncidentID: d.IncidentID, Tenant: d.Tenant, Kind: d.Kind, Title: d.Title, Route: d.Route,
		People: words(d.People), State: d.State, Attempts: d.Attempts, Error: d.Error, CreatedAt: ticketing.Time{Time: time.UnixMilli(d.CreatedAt)}, AgainBy: d.SentAgainBy}
	if v.People == nil {
		v.People = []string{}
	}
	if d.State == "pending" {
		v.NextAt = &ticketing.Time{Time: time.UnixMilli(d.NextAt)}
	}
	if d.SettledAt > 0 {
		v.SettledAt = &ticketing.Time{Time: time.UnixMilli(d.SettledAt)}
	}
	return v
}

// deliveryDetail is one with what it says and its attempts.
type deliveryDetail struct {
	deliveryView
	Body     map[string]any `json:"body" doc:"Alertmanager's payload, of which the channel's words are made"`
	Log      []attemptView  `json:"log" nullable:"false" doc:"Oldest first"`
	Replayed bool           `json:"replayable" doc:"It can be sent again"`
}

type attemptView struct {
	Attempt    int             `json:"attempt"`
	At         ticketing.Time  `json:"at" format:"date-time"`
	Status     string          `json:"status" enum:"delivered,retrying,failed"`
	HTTPStatus int             `json:"http_status,omitempty"`
	Host       string          `json:"host"`
	Error      string          `json:"error"`
	NextAt     *ticketing.Time `json:"next_at,omitempty" format:"date-time"`
	Carried    string          `json:"merged_into,omitempty" doc:"Id of the notification whose message carried it, where the vendor's limit left no room for each"`
}

// DeliveryFilter chooses notifications. It is exported because inputs embed it.
type DeliveryFilter struct {
	Receiver string `query:"receiver" maxLength:"64"`
	Channel  string `query:"channel" maxLength:"32"`
	Kind     string `query:"kind" maxLength:"32"`
	State    string `query:"state" enum:"pending,delivered,failed"`
	Incident string `query:"incident" maxLength:"64"`
	Person   string `query:"person" maxLength:"64" doc:"Name of a user whom it was for"`
	Q        string `query:"q" maxLength:"200" doc:"Part of what it said, or of its error"`
	From     string `query:"from" maxLength:"64"`
	To       string `query:"to" maxLength:"64"`
	Tenant   string `query:"tenant" maxLength:"4096"`
}

func (f DeliveryFilter) query(ctx context.Context) (q outbox.DeliveryQuery, err error) {
	q = outbox.DeliveryQuery{Receiver: f.Receiver, Channel: f.Channel, Kind: f.Kind, State: f.State, Incident: f.Incident, Person: f.Person, Text: f.Q}
	if q.Reach, err = Reach(ctx, f.Tenant); err != nil {
		return q, err
	}
	for _, t := range []struct {
		name, text string
		into       *time.Time
	}{{"from", f.From, &q.From}, {"to", f.To, &q.To}} {
		if t.text == "" {
			continue
		}
		if *t.into, err = ParseTime(t.text, time.Now()); err != nil {
			return q, Problem(http.StatusBadRequest, "%s: %s", t.name, err)
		}
	}
	if q.Reach.Veil() != nil {
		q.Text = "" // else what is hidden could be searched for
	}
	return q, nil
}

// maxDispatchRows bounds an exported dispatch log.
const maxDispatchRows = 50_000

func (n *notifying) deliveryRoutes() {
	s, tags := n.Server, []string{"notifications"}
	box := n.Tickets.Outbox()
	Register(s, huma.Operation{OperationID: "list-deliveries", Method: http.MethodGet, Path: "/deliveries", Tags: tags,
		Summary: "The dispatch log, newest first: who was told what, when, over what, and what became of it"}, identity.ScopeRead,
		func(ctx context.Context, in *struct {
			PageInput
			DeliveryFilter
		}) (*Body[Page[deliveryView]], error) {
			q, err := in.query(ctx)
			if err != nil {
				return nil, err
			}
			q.Limit = in.Limit
			if in.Cursor != "" {
				if q.Before, err = strconv.ParseInt(in.Cursor, 10, 64); err != nil || q.Before <= 0 {
					return nil, Problem(http.StatusBadRequest, "the cursor is none that a list gave")
				}
			}
			list, total, more, err := box.Deliveries(ctx, q)
			if err != nil {
				return nil, err
			}
			items := make([]deliveryView, 0, len(list))
			for _, d := range list {
				items = append(items, viewOfDelivery(d, q.Reach))
			}
			next := ""
			if more {
				next = strconv.FormatInt(list[len(list)-1].ID, 10)
			}
			return Reply(PageOf(items, total, next)), nil
		})
	Register(s, huma.Operation{OperationID: "export-deliveries", Method: http.MethodGet, Path: "/deliveries/export", Tags: tags,
		Summary: "The dispatch log as a table, the newest 50,000 at most"}, identity.ScopeRead,
		func(ctx context.Context, in *struct {
			TableInput
			DeliveryFilter
		}) (*huma.StreamResponse, error) {
			q, err := in.query(ctx)
			if err != nil {
				return nil, err
			}
			q.Limit = maxDispatchRows
			list, _, _, err := box.Deliveries(ctx, q)
			if err != nil {
				return nil, err
			}
			rows := make([][]any, 0, len(list))
			for _, d := range list {
				settled := ""
				if d.SettledAt > 0 {
					settled = time.UnixMilli(d.SettledAt).UTC().Format(time.RFC3339)
				}
				d.Title = viewOfDelivery(d, q.Reach).Title
				rows = append(rows, []any{time.UnixMilli(d.CreatedAt).UTC().Format(time.RFC3339), d.Receiver, d.Channel, strings.ReplaceAll(d.People, ",", ", "), d.Kind, d.Title, d.Route, d.Tenant, d.IncidentID, d.State, d.Attempts, d.Error, settled, d.Delivery})
			}
			return tableAnswer("deliveries", in.Format, []string{"时间 time", "联系点 contact_point", "渠道 channel", "人员 people", "类型 kind", "内容 title", "路由 route", "租户 tenant", "事件 incident", "结果 state", "次数 attempts", "原因 error", "完成 settled_at", "编号 delivery"}, rows)
		})
	Register(s, huma.Operation{OperationID: "get-delivery", Method: http.MethodGet, Path: "/deliveries/{id}", Tags: tags,
		Summary: "A notification with what it says and all attempts", Errors: []int{404}}, identity.ScopeRead,
		func(ctx context.Context, in *struct {
			ID string `path:"id" maxLength:"64"`
		}) (*Body[deliveryDetail], error) {
			within, err := Reach(ctx, "")
			if err != nil {
				return nil, err
			}
			d, attempts, err := box.Delivery(ctx, within, in.ID)
			if err != nil {
				return nil, notifyProblem(err)
			}
			v := deliveryDetail{deliveryView: viewOfDelivery(d, within), Log: []attemptView{}, Body: map[string]any{}, Replayed: d.Body != "" && d.State != "pending"}
			if err := json.Unmarshal([]byte(d.Body), &v.Body); err != nil && d.Body != "" {
				v.Body = map[string]any{"text": clip(d.Body, 4000)}
			}
			// The link acknowledges in another's name: it is his alone.
			hideLinks(v.Body)
			if within.Veil() != nil {
				v.Body = map[string]any{}
			}
			for _, a := range attempts {
				one := attemptView{Attempt: a.Attempt, At: ticketing.Time{Time: time.UnixMilli(a.At)}, Status: a.Status, HTTPStatus: a.HTTPStatus, Host: a.URLHost, Error: a.Error, Carried: a.Carried}
				if a.NextAt > 0 {
					one.NextAt = &ticketing.Time{Time: time.UnixMilli(a.NextAt)}
				}
				v.Log = append(v.Log, one)
			}
			return Reply(v), nil
		})
	Register(s, huma.Operation{OperationID: "resend-delivery", Method: http.MethodPost, Path: "/deliveries/{id}/resend", Tags: tags,
		Summary: "Send a notification again, under the same id", Errors: []int{404, 409}}, identity.ScopeConfigure,
		func(ctx context.Context, in *struct {
			ID string `path:"id" maxLength:"64"`
		}) (*Body[deliveryView], error) {
			AuditObject(ctx, "delivery:"+clip(in.ID, 64), "", "")
			within, err := Reach(ctx, "")
			if err != nil {
				return nil, err
			}
			d, err := box.Again(ctx, Actor(ctx), within, in.ID)
			if err != nil {
				return nil, notifyProblem(err)
			}
			return Reply(viewOfDelivery(d, within)), nil
		})
}

// hideLinks takes the links that acknowledge out of a payload.
func hideLinks(v any) {
	switch v := v.(type) {
	case map[string]any:
		if _, there := v["acknowledge_url"]; there {
			v["acknowledge_url"] = "******"
		}
		for _, each := range v {
			hideLinks(each)
		}
	case []any:
		for _, each := range v {
			hideLinks(each)
		}
	}
}

// WordingKey names a wording. It is exported because inputs embed it.
type WordingKey struct {
	Name     string `json:"name" pattern:"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"`
	Language string `json:"language" enum:"zh,en"`
	Kind     string `json:"kind,omitempty" enum:",webhook,email,sms,dingtalk,wecom,wecom_app,feishu" doc:"Of channel; empty for all that have none of their own"`
}

// WordingQuery names a wording in a query.
type WordingQuery struct {
	Name     string `query:"name" maxLength:"64" required:"true"`
	Language string `query:"language" enum:"zh,en" default:"zh"`
	Kind     string `query:"kind" maxLength:"32"`
}

// previewView is what templates make of an incident or a sample.
type previewView struct {
	wording.Said
	Error *wording.PartError `json:"error,omitempty" doc:"What is wrong, by part and line"`
}

// wordingHelp describes what templates know.
type wordingHelp struct {
	Defaults  map[string]wording.Text `json:"defaults" doc:"By language"`
	Functions []string                `json:"functions" nullable:"false"`
	Data      map[string]any          `json:"data" doc:"What a sample's templates know"`
}

func (n *notifying) wordingRoutes() {
	s, tags := n.Server, []string{"notifications"}
	Register(s, huma.Operation{OperationID: "list-wordings", Method: http.MethodGet, Path: "/wordings", Tags: tags,
		Summary: "The wordings of notifications in force"}, identity.ScopeConfigure,
		func(ctx context.Context, _ *Empty) (*Body[Page[wording.Kept]], error) {
			list, err := n.Wordings.List(ctx)
			if err != nil {
				return nil, err
			}
			return Reply(PageOf(list, len(list), "")), nil
		})
	Register(s, huma.Operation{OperationID: "get-wording-help", Method: http.MethodGet, Path: "/wordings/help", Tags: tags,
		Summary: "The default wordings, and the functions and data of templates"}, identity.ScopeConfigure,
		func(ctx context.Context, _ *Empty) (*Body[wordingHelp], error) {
			v := wordingHelp{Defaults: map[string]wording.Text{"zh": wording.Defaults("zh"), "en": wording.Defaults("en")}, Functions: wording.FuncNames()}
			data, err := json.Marshal(wording.DataOf(samplePayload(time.Now()), "opened", "zh", time.Local))
			if err == nil {
				err = json.Unmarshal(data, &v.Data)
			}
			if err != nil {
				return nil, fmt.Errorf("api: write a sample: %w", err)
			}
			return Reply(v), nil
		})
	Register(s, huma.Operation{OperationID: "list-wording-versions", Method: http.MethodGet, Path: "/wordings/versions", Tags: tags,
		Summary: "All versions of a wording, newest first"}, identity.ScopeConfigure,
		func(ctx context.Context, in *WordingQuery) (*Body[Page[wording.Kept]], error) {
			list, err := n.Wordings.Versions(ctx, in.Name, in.Language, in.Kind)
			if err != nil {
				return nil, err
			}
			return Reply(PageOf(list, len(list), "")), nil
		})
	Register(s, huma.Operation{OperationID: "put-wording", Method: http.MethodPut, Path: "/wordings", Tags: tags,
		Summary: "Put a wording in force", Errors: []int{422}}, identity.ScopeConfigure,
		func(ctx context.Context, in *struct {
			Body struct {
				WordingKey
				Text wording.Text `json:"text"`
			}
		}) (*Body[wording.Kept], error) {
			AuditObject(ctx, "wording:"+clip(in.Body.Name, 64), "", in.Body.Language+" "+in.Body.Kind)
			if err := cityOnly(ctx); err != nil {
				return nil, err
			}
			k, err := n.Wordings.Put(ctx, Actor(ctx), wording.Kept{Name: in.Body.Name, Language: in.Body.Language, Kind: in.Body.Kind, Text: in.Body.Text})
			if err != nil {
				return nil, notifyProblem(err)
			}
			return Reply(k), nil
		})
	Register(s, huma.Operation{OperationID: "delete-wording", Method: http.MethodDelete, Path: "/wordings", Tags: tags,
		Summary: "Take a wording out of force: the default stands in its place, its versions stay", DefaultStatus: http.StatusNoContent, Errors: []int{404}}, identity.ScopeConfigure,
		func(ctx context.Context, in *WordingQuery) (*Empty, error) {
			AuditObject(ctx, "wording:"+clip(in.Name, 64), "", in.Language+" "+in.Kind)
			if err := cityOnly(ctx); err != nil {
				return nil, err
			}
			return nil, notifyProblem(n.Wordings.Remove(ctx, Actor(ctx), in.Name, in.Language, in.Kind))
		})
	Register(s, huma.Operation{OperationID: "preview-wording", Method: http.MethodPost, Path: "/wordings/preview", Tags: tags,
		Summary: "What templates make of an incident, or of a sample; errors by part and line", Errors: []int{404}}, identity.ScopeConfigure,
		func(ctx context.Context, in *struct {
			Body struct {
				Language string       `json:"language" enum:"zh,en"`
				Text     wording.Text `json:"text"`
				Incident string       `json:"incident,omitempty" maxLength:"64" doc:"Of the caller's reach; a sample by default"`
				Kind     string       `json:"kind,omitempty" maxLength:"32" doc:"Of notification; opened by default"`
			}
		}) (*Body[previewView], error) {
			payload := samplePayload(time.Now())
			if in.Body.Incident != "" {
				within, err := Reach(ctx, "")
				if err != nil {
					return nil, err
				}
				if within.Veil() != nil {
					return nil, Problem(http.StatusForbidden, "fields of events are hidden from you: preview with the sample")
				}
				if payload, err = n.Tickets.PayloadOf(ctx, within, in.Body.Incident); err != nil {
					return nil, notifyProblem(err)
				}
			}
			kind := in.Body.Kind
			if kind == "" {
				kind = "opened"
			}
			var v previewView
			w, err := wording.New(in.Body.Language, in.Body.Text)
			if err == nil {
				v.Said, err = w.Say(wording.DataOf(payload, kind, in.Body.Language, time.Local))
			}
			if errors.As(err, &v.Error) || err == nil {
				return Reply(v), nil
			}
			return nil, err
		})
}

// samplePayload is a notification to try templates with.
func samplePayload(now time.Time) webhook.Payload {
	alerts := []webhook.Alert{}
	for i, name := range []string{"SSH 口令爆破成功", "以 root 打开 shell"} {
		alerts = append(alerts, webhook.Alert{Status: webhook.Firing, StartsAt: now.Add(time.Duration(i-10) * time.Minute),
			Labels: map[string]string{"alertname": name, "severity": "high", "priority": "P2", "tenant": "e-seal", "system": "电子印章平台", "ci": "seal-web-01", "source_ip": "203.0.113.7", "incident": "INC-20261126-0007"},
			Annotations: map[string]string{"summary": "203.0.113.7 攻入电子印章平台 seal-web-01", "summary_en": "203.0.113.7 broke into seal-web-01 of the e-seal platform", "owner": "周敏",
				"description": "203.0.113.7 对 seal-web-01：" + name, "description_en": "203.0.113.7 on seal-web-01", "incident_url": "https://soc.example.gov.cn/incidents/INC-20261126-0007"}})
	}
	return webhook.New("sample", "https://soc.example.gov.cn", map[string]string{"incident": "INC-20261126-0007"}, alerts, 50)
}
