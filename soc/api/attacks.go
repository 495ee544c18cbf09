package api

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	judging "icewatch/detections/verdict"
	"icewatch/soc/identity"
	"icewatch/ticketing"
)

// AlertFilter is what alerts are chosen by.
type AlertFilter struct {
	TicketFilter
	Incident   string `query:"incident" maxLength:"64"`
	Rule       string `query:"rule" maxLength:"200" doc:"Id of a rule"`
	SourceIP   string `query:"source_ip" maxLength:"64"`
	Verdict    string `query:"verdict" maxLength:"200" doc:"failed, attempt, success, compromised, none; several with commas"`
	Phase      string `query:"phase" maxLength:"400" doc:"Furthest phase of the kill chain: reconnaissance, weaponization, delivery, exploitation, installation, command-and-control, actions-on-objectives; several with commas"`
	Direction  string `query:"direction" maxLength:"200" doc:"inbound, outbound, lateral, internal, external; several with commas"`
	Threat     string `query:"threat" maxLength:"200" doc:"outbound, lateral, external, tunnel, website; several with commas"`
	Attack     string `query:"attack" maxLength:"1000" doc:"Types of attack by their ids in the taxonomy; several with commas"`
	Risk       string `query:"risk" maxLength:"1000" doc:"Risks of GB/Z 20986-2007 by the codes of their tiers with dots between them, such as NAI or NAI.VAI; several with commas"`
	Attacker   string `query:"attacker" maxLength:"64" doc:"Address of the attacker"`
	Victim     string `query:"victim" maxLength:"64" doc:"Address of the victim"`
	Flapping   bool   `query:"flapping" doc:"Those alone that flap"`
	Focus      bool   `query:"focus" doc:"Those alone of a risk of focus"`
	Gathered   bool   `query:"gathered" doc:"Those alone that the policy of generation keeps from people now"`
	Suppressed string `query:"suppressed" maxLength:"100" doc:"none: those alone that no suppression met; only: those alone that one met; else the id of a suppression. All by default"`
	Tag        string `query:"tag" maxLength:"40" doc:"That people gave it"`
	Unread     bool   `query:"unread" doc:"Those alone that the caller has not looked at"`
	Scenario   string `query:"scenario" maxLength:"64" doc:"Id of a scenario: those alone that belong to it"`
	Unit       string `query:"unit" maxLength:"200" doc:"Id, code or part of the name of an organisation: those of it and of what is below it"`
	IP         string `query:"ip" maxLength:"64" doc:"Address of the attacker, the victim or the source"`
	Until      string `query:"until" maxLength:"64" doc:"First seen until: a time, or a duration before now"`
}

// query is what the filter asks of ticketing, within the caller's reach.
func (f AlertFilter) query(ctx context.Context) (ticketing.AlertQuery, error) {
	within, err := Reach(ctx, f.Tenant)
	if err != nil {
		return ticketing.AlertQuery{}, err
	}
	since, err := f.since(time.Now())
	if err != nil {
		return ticketing.AlertQuery{}, err
	}
	var until time.Time
	if f.Until != "" {
		if until, err = ParseTime(f.Until, time.Now()); err != nil {
			return ticketing.AlertQuery{}, Problem(http.StatusBadRequest, "until: %s", err)
		}
	}
	levels, err := f.dataLevels()
	if err != nil {
		return ticketing.AlertQuery{}, err
	}
	var gathered time.Time
	if f.Gathered {
		gathered = time.Now()
	}
	unreadBy := ""
	if f.Unread {
		unreadBy = Actor(ctx)
	}
	return ticketing.AlertQuery{
		UnreadBy: unreadBy, Reach: within, Statuses: words(f.Status), Severities: words(f.Severity), Priorities: words(f.Priority),
		Incident: f.Incident, CI: f.CI, System: f.System, Rule: f.Rule, Assignee: assigneeIn(ctx, f.Assignee), SourceIP: f.SourceIP,
		Verdicts: words(f.Verdict), Phases: words(f.Phase), Directions: words(f.Direction), Threats: words(f.Threat), Attacks: words(f.Attack),
		Risks: words(f.Risk), Attacker: f.Attacker, Victim: f.Victim, Tag: f.Tag, Flapping: f.Flapping, Focus: f.Focus, Gathered: gathered, Suppressed: f.Suppressed, KeyAsset: f.Key, DataLevels: levels, Q: f.Q, Since: since, Until: until, IP: f.IP}, nil
}

func (t *tickets) attackRoutes(s *Server) {
	Register(s, huma.Operation{OperationID: "attack-statistics", Method: http.MethodGet, Path: "/attacks", Tags: []string{"alerts"},
		Summary: "Alerts by type of attack with what tells these apart, and by verdict, phase, direction, threat and risk"}, identity.ScopeRead,
		func(ctx context.Context, in *struct {
			AlertFilter
			Fields string `query:"fields" maxLength:"2000" doc:"Fields whose values are counted, with commas; those of the taxonomy by default"`
		}) (*Body[ticketing.Attacks], error) {
			query, err := t.query(ctx, s, in.AlertFilter)
			if err != nil {
				return nil, err
			}
			out, err := t.svc.Attacks(ctx, query, words(in.Fields))
			if err != nil {
				return nil, ticketProblem(err)
			}
			return Reply(out), nil
		})

	Register(s, huma.Operation{OperationID: "get-taxonomy", Method: http.MethodGet, Path: "/taxonomy", Tags: []string{"alerts"},
		Summary: "How alerts are classed: risks in three tiers, types of attack, names of tactics and techniques"}, identity.ScopeRead,
		func(context.Context, *struct{}) (*Body[*judging.Taxonomy], error) {
			return Reply(t.svc.Taxonomy()), nil
		})
}
