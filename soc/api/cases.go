package api

import (
	"bytes"
	"context"
	"encoding/csv"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"icewatch/soc/identity"
	"icewatch/soc/spreadsheet"
	"icewatch/ticketing"
)

// csvFile answers with a table that spreadsheets open, Chinese included.
func csvFile(name string, header []string, rows func(add func(cells ...string))) (*huma.StreamResponse, error) {
	var b bytes.Buffer
	b.WriteString("\ufeff")
	w := csv.NewWriter(&b)
	_ = w.Write(header)
	rows(func(cells ...string) { _ = w.Write(spreadsheet.Row(cells)) })
	w.Flush()
	return attachment("text/csv; charset=utf-8", "icewatch-"+name+"-"+stamp(time.Now())+".csv", b.Bytes()), w.Error()
}

// maxExported is how many rows an export of alerts, attackers or records has.
const maxExported = 10_000

// bulkRoutes are actions on all alerts of a filter, and their way back.
func (t *tickets) bulkRoutes(s *Server) {
	tags := []string{"alerts"}
	type bulkInput struct {
		AlertFilter
		Body struct {
			Action     string `json:"action" enum:"acknowledge,assign,close,reopen,tag,untag"`
			Assignee   string `json:"assignee,omitempty" maxLength:"200" doc:"Of assign"`
			Resolution string `json:"resolution,omitempty" enum:"true_positive,false_positive,benign,test,duplicate" doc:"Of close"`
			Comment    string `json:"comment,omitempty" maxLength:"10000" doc:"Of acknowledge and close"`
			Tag        string `json:"tag,omitempty" maxLength:"40" doc:"Of tag and untag"`
			Expected   int    `json:"expected" minimum:"1" maximum:"10000" doc:"How many alerts the caller has seen to fit: where there are more now, nothing is done"`
		}
	}
	Register(s, huma.Operation{OperationID: "bulk-alerts", Method: http.MethodPost, Path: "/alerts/bulk", Tags: tags,
		Summary: "One action on all alerts of a filter, such as those by one attacker; it can be undone as a whole", Errors: []int{400, 409, 422}}, identity.ScopeRespond,
		func(ctx context.Context, in *bulkInput) (*Body[ticketing.Bulk], error) {
			AuditObject(ctx, "alerts", "", in.Body.Action)
			by, err := acting(ctx)
			if err != nil {
				return nil, err
			}
			query, err := t.query(ctx, s, in.AlertFilter)
			if err != nil {
				return nil, err
			}
			by.Reach = query.Reach // narrowed to the tenants that were named
			run, err := t.svc.BulkAlerts(ctx, by, query, ticketing.Batch{Action: in.Body.Action, Assignee: in.Body.Assignee, Tag: in.Body.Tag,
				Close: ticketing.Close{Resolution: in.Body.Resolution, Comment: in.Body.Comment}}, in.Body.Expected)
			if err != nil {
				return nil, ticketProblem(err)
			}
			AuditObject(ctx, "alerts", "", run.ID+" "+run.Action+" "+run.Detail+": "+strconv.Itoa(run.Changed))
			return Reply(run), nil
		})
	Register(s, huma.Operation{OperationID: "list-bulks", Method: http.MethodGet, Path: "/alerts/bulk", Tags: tags, Summary: "My latest actions on many alerts"}, identity.ScopeRespond,
		func(ctx context.Context, _ *Empty) (*Body[Page[ticketing.Bulk]], error) {
			by, err := acting(ctx)
			if err != nil {
				return nil, err
			}
			list, err := t.svc.Bulks(ctx, by)
			return Reply(PageOf(list, len(list), "")), err
		})
	type undone struct {
		ticketing.Bulk
		Left int `json:"left" doc:"Alerts that somebody has handled since: they stay as they are"`
	}
	Register(s, huma.Operation{OperationID: "undo-bulk", Method: http.MethodPost, Path: "/alerts/bulk/{id}/undo", Tags: tags,
		Summary: "Give the alerts of a bulk action back the state they had before", Errors: []int{404, 409}}, identity.ScopeRespond,
		func(ctx context.Context, in *IDInput) (*Body[undone], error) {
			AuditObject(ctx, "alerts", "", "undo "+clip(in.ID, 64))
			by, err := acting(ctx)
			if err != nil {
				return nil, err
			}
			run, left, err := t.svc.UndoBulk(ctx, by, in.ID)
			return Reply(undone{run, left}), ticketProblem(err)
		})
	export := huma.Operation{OperationID: "export-alerts", Method: http.MethodGet, Path: "/alerts.csv", Tags: tags, Summary: "Alerts of a filter as a table, 10000 at most", Responses: anyFile("text/csv"), Errors: []int{400, 422}}
	Register(s, export, identity.ScopeRead,
		func(ctx context.Context, in *struct{ AlertFilter }) (*huma.StreamResponse, error) {
			query, err := t.query(ctx, s, in.AlertFilter)
			if err != nil {
				return nil, err
			}
			query.Page = ticketing.Page{Limit: 1000}
			var all []ticketing.Alert
			for {
				items, _, next, err := t.svc.Alerts(ctx, query)
				if err != nil {
					return nil, ticketProblem(err)
				}
				if all = append(all, items...); next == "" || len(all) >= maxExported {
					break
				}
				query.Page.Cursor = next
			}
			return csvFile("alerts", []string{"id", "tenant", "severity", "priority", "status", "resolution", "title", "rule", "attacker", "victim", "item", "system", "assignee", "count", "first_seen", "last_seen", "incident", "tags", "key"},
				func(add func(cells ...string)) {
					for i := range all {
						a := &all[i]
						attacker, victim, item, system := "", "", "", ""
						if a.Attacker != nil {
							attacker = a.Attacker.IP
						}
						if a.Victim != nil {
							victim = a.Victim.IP
						}
						if a.CI != nil {
							item = a.CI.Name
						}
						if a.System != nil {
							system = a.System.Name
						}
						add(a.ID, a.Tenant, string(a.Severity), a.Priority, string(a.Status), a.Resolution, a.Title.ZH, a.Rule.ID, attacker, victim, item, system, a.Assignee, strconv.Itoa(a.Count),
							a.FirstSeen.Format(time.RFC3339), a.LastSeen.Format(time.RFC3339), a.IncidentID, strings.Join(a.Tags, " "), strconv.FormatBool(a.KeyAsset))
					}
				})
		})
	type attackersInput struct {
		AlertFilter
		Limit int `query:"limit" minimum:"1" maximum:"1000" default:"100"`
	}
	Register(s, huma.Operation{OperationID: "list-attackers", Method: http.MethodGet, Path: "/attackers", Tags: tags,
		Summary: "Who attacks: attacks, risks, severity and state of disposal by attacker", Errors: []int{400, 422}}, identity.ScopeRead,
		func(ctx context.Context, in *attackersInput) (*Body[Page[ticketing.Attacker]], error) {
			query, err := t.query(ctx, s, in.AlertFilter)
			if err != nil {
				return nil, err
			}
			list, err := t.svc.Attackers(ctx, query, in.Limit)
			return Reply(PageOf(list, len(list), "")), ticketProblem(err)
		})
	Register(s, huma.Operation{OperationID: "export-attackers", Method: http.MethodGet, Path: "/attackers.csv", Tags: tags, Summary: "Attackers as a table", Responses: anyFile("text/csv"), Errors: []int{400, 422}}, identity.ScopeRead,
		func(ctx context.Context, in *attackersInput) (*huma.StreamResponse, error) {
			query, err := t.query(ctx, s, in.AlertFilter)
			if err != nil {
				return nil, err
			}
			list, err := t.svc.Attackers(ctx, query, 1000)
			if err != nil {
				return nil, ticketProblem(err)
			}
			return csvFile("attackers", []string{"attacker", "alerts", "events", "open", "acknowledged", "closed", "false_positives", "severity", "risks", "attacks", "tenants", "first_seen", "last_seen"},
				func(add func(cells ...string)) {
					for _, a := range list {
						add(a.Attacker, strconv.Itoa(a.Alerts), strconv.Itoa(a.Events), strconv.Itoa(a.Open), strconv.Itoa(a.Handled), strconv.Itoa(a.Closed), strconv.Itoa(a.False), string(a.Severity),
							strings.Join(a.Risks, " "), strings.Join(a.Attacks, " "), strings.Join(a.Tenants, " "), a.FirstSeen.Format(time.RFC3339), a.LastSeen.Format(time.RFC3339))
					}
				})
		})
}

// regroupRoutes merge and split incidents.
func (t *tickets) regroupRoutes(s *Server) {
	act := func(ctx context.Context, id, detail string, do func(by ticketing.Actor) (ticketing.Regroup, error)) (*Body[ticketing.Regroup], error) {
		AuditObject(ctx, "incident:"+clip(id, 64), "", clip(detail, 1000))
		by, err := acting(ctx)
		if err != nil {
			return nil, err
		}
		out, err := do(by)
		return Reply(out), ticketProblem(err)
	}
	Register(s, caseOp("merge-incidents", http.MethodPost, "/merge", "Take the alerts of other incidents of the same tenant into this one and close those as its duplicates"), identity.ScopeRespond,
		func(ctx context.Context, in *struct {
			IDInput
			Body struct {
				Incidents []string `json:"incidents" minItems:"1" maxItems:"20" nullable:"false"`
			}
		}) (*Body[ticketing.Regroup], error) {
			return act(ctx, in.ID, "merge: "+strings.Join(in.Body.Incidents, " "), func(by ticketing.Actor) (ticketing.Regroup, error) {
				return t.svc.Merge(ctx, by, in.ID, in.Body.Incidents)
			})
		})
	Register(s, caseOp("split-incident", http.MethodPost, "/split", "Take alerts out of an incident into one of their own"), identity.ScopeRespond,
		func(ctx context.Context, in *struct {
			IDInput
			Body struct {
				Alerts []string `json:"alerts" minItems:"1" maxItems:"500" nullable:"false"`
			}
		}) (*Body[ticketing.Regroup], error) {
			return act(ctx, in.ID, "split: "+strconv.Itoa(len(in.Body.Alerts)), func(by ticketing.Actor) (ticketing.Regroup, error) {
				return t.svc.Split(ctx, by, in.ID, in.Body.Alerts)
			})
		})
	type regroupInput struct {
		IDInput
		Regroup string `path:"regroup" maxLength:"40" doc:"Id of a merge or split"`
	}
	Register(s, caseOp("undo-regroup", http.MethodPost, "/regroups/{regroup}/undo", "Take a merge or a split back"), identity.ScopeRespond,
		func(ctx context.Context, in *regroupInput) (*Body[ticketing.Regroup], error) {
			return act(ctx, in.ID, "undo "+in.Regroup, func(by ticketing.Actor) (ticketing.Regroup, error) {
				return t.svc.UndoRegroup(ctx, by, in.ID, in.Regroup)
			})
		})
	Register(s, caseOp("list-regroups", http.MethodGet, "/regroups", "Merges and splits of an incident"), identity.ScopeRead,
		func(ctx context.Context, in *IDInput) (*Body[Page[ticketing.Regroup]], error) {
			by, err := acting(ctx)
			if err != nil {
				return nil, err
			}
			i, err := t.svc.Heading(ctx, by.Reach, in.ID)
			if err != nil {
				return nil, ticketProblem(err)
			}
			list, err := t.svc.Regroups(ctx, i.ID)
			if !by.Reach.CoversWhole(i.Tenant) {
				list = nil // they count alerts that may not be in reach
			}
			return Reply(PageOf(list, len(list), "")), err
		})
}

// RecordFilter filters records of disposal. It is exported because inputs embed it.
type RecordFilter struct {
	Tenant string `query:"tenant" maxLength:"4096" doc:"Tenants, separated by commas; all within reach by default"`
	Kind   string `query:"kind" maxLength:"200" doc:"Such as acknowledged, assigned, closed, reopened, task, evidence; several with commas"`
	Actor  string `query:"actor" maxLength:"200" doc:"Who did it, or me"`
	Object string `query:"object" maxLength:"64" doc:"Id of an alert or incident"`
	Q      string `query:"q" maxLength:"200" doc:"Part of the text"`
	Since  string `query:"since" maxLength:"64" doc:"A duration before now like 24h or 7d, or a time"`
	Until  string `query:"until" maxLength:"64"`
	System bool   `query:"system" doc:"Also what the suite did by itself"`
}

func (f RecordFilter) query(ctx context.Context) (q ticketing.RecordQuery, err error) {
	if q.Reach, err = Reach(ctx, f.Tenant); err != nil {
		return q, err
	}
	q.Kinds, q.Actor, q.Object, q.Q, q.System = words(f.Kind), assigneeIn(ctx, f.Actor), f.Object, f.Q, f.System
	for _, t := range []struct {
		name, text string
		to         *time.Time
	}{{"since", f.Since, &q.From}, {"until", f.Until, &q.To}} {
		if t.text == "" {
			continue
		}
		if *t.to, err = ParseTime(t.text, time.Now()); err != nil {
			return q, Problem(http.StatusBadRequest, "%s: %s", t.name, err)
		}
	}
	return q, nil
}

// recordRoutes list what people did to alerts and incidents, and how the alerts
// of rules ended.
func (t *tickets) recordRoutes(s *Server) {
	tags := []string{"incidents"}
	Register(s, huma.Operation{OperationID: "list-disposals", Method: http.MethodGet, Path: "/disposals", Tags: tags,
		Summary: "Records of disposal: who did what to which alert or incident, newest first", Errors: []int{400, 422}}, identity.ScopeRead,
		func(ctx context.Context, in *struct {
			RecordFilter
			PageInput
		}) (*Body[Page[ticketing.Record]], error) {
			q, err := in.query(ctx)
			if err != nil {
				return nil, err
			}
			if in.Cursor != "" {
				if q.Before, err = strconv.ParseInt(in.Cursor, 10, 64); err != nil || q.Before < 1 {
					return nil, Problem(http.StatusUnprocessableEntity, "cursor: %q is not the next of a page", clip(in.Cursor, 40))
				}
			}
			q.Limit = in.Limit
			items, total, err := t.svc.Records(ctx, q)
			if err != nil {
				return nil, ticketProblem(err)
			}
			next := ""
			if len(items) == in.Limit && len(items) < total {
				next = strconv.FormatInt(items[len(items)-1].Seq, 10)
			}
			return Reply(PageOf(items, total, next)), nil
		})
	Register(s, huma.Operation{OperationID: "export-disposals", Method: http.MethodGet, Path: "/disposals.csv", Tags: tags, Summary: "Records of disposal as a table, 10000 at most", Responses: anyFile("text/csv"), Errors: []int{400, 422}}, identity.ScopeRead,
		func(ctx context.Context, in *struct{ RecordFilter }) (*huma.StreamResponse, error) {
			q, err := in.query(ctx)
			if err != nil {
				return nil, err
			}
			var all []ticketing.Record
			for q.Limit = 1000; len(all) < maxExported; {
				items, _, err := t.svc.Records(ctx, q)
				if err != nil {
					return nil, ticketProblem(err)
				}
				if all = append(all, items...); len(items) < q.Limit {
					break
				}
				q.Before = items[len(items)-1].Seq
			}
			return csvFile("disposals", []string{"time", "actor", "action", "of", "object", "tenant", "title", "text"}, func(add func(cells ...string)) {
				for i := range all {
					r := &all[i]
					add(r.Time.Format(time.RFC3339), r.Actor, r.Kind, r.Of, r.Object, r.Tenant, r.Title, r.Text.ZH)
				}
			})
		})
	type concludeInput struct {
		Tenant string `query:"tenant" maxLength:"4096"`
		Rule   string `query:"rule" maxLength:"200" doc:"One rule, with its weeks; all by default"`
		Since  string `query:"since" maxLength:"64" default:"90d" doc:"Alerts last seen since: a duration before now, or a time"`
	}
	Register(s, huma.Operation{OperationID: "list-conclusions", Method: http.MethodGet, Path: "/conclusions", Tags: tags,
		Summary: "How the alerts of rules ended: true, false, benign, test; those with the most false ones first", Errors: []int{400}}, identity.ScopeRead,
		func(ctx context.Context, in *concludeInput) (*Body[Page[ticketing.Conclusions]], error) {
			within, err := Reach(ctx, in.Tenant)
			if err != nil {
				return nil, err
			}
			since, err := ParseTime(in.Since, time.Now())
			if err != nil {
				return nil, Problem(http.StatusBadRequest, "since: %s", err)
			}
			list, err := t.svc.Conclude(ctx, within, in.Rule, since)
			return Reply(PageOf(list, len(list), "")), ticketProblem(err)
		})
}
