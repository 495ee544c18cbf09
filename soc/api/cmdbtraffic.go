package api

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"icewatch/cmdb"
	"icewatch/cmdb/traffic"
	"icewatch/soc/identity"
)

func trafficProblem(err error) error {
	for of, status := range map[error]int{traffic.ErrNotFound: http.StatusNotFound, traffic.ErrInvalid: http.StatusUnprocessableEntity, cmdb.ErrInvalid: http.StatusUnprocessableEntity, cmdb.ErrConflict: http.StatusConflict} {
		if errors.Is(err, of) {
			return Problem(status, "%s", err.Error())
		}
	}
	return err
}

// TrafficFilter is what edges are chosen by. It is exported since parameters of
// embedded types are found of exported ones alone.
type TrafficFilter struct {
	State     string `query:"state" enum:"waiting,accepted,rejected,"`
	Item      string `query:"item" maxLength:"128" doc:"Id of one of the two items"`
	System    string `query:"system" maxLength:"128" doc:"Id of the business system of one of the two items"`
	Zone      string `query:"zone" maxLength:"64"`
	Port      int    `query:"port" minimum:"0" maximum:"65535" doc:"Served at; 0 does not narrow"`
	Protocol  string `query:"protocol" maxLength:"16" doc:"tcp, udp, or IANA's number"`
	Q         string `query:"q" maxLength:"200" doc:"Words that all occur in the items' names or ids, or in the annotation"`
	MinBytes  int64  `query:"min_bytes" minimum:"0" doc:"At least so many bytes"`
	Days      int    `query:"days" minimum:"0" maximum:"31" doc:"With traffic in so many days, today being one, by what it was in them; 0 for all time"`
	Silent    bool   `query:"silent" doc:"Accepted ones without traffic for longer than the setting cmdb-traffic says"`
	Annotated bool   `query:"annotated"`
	Sort      string `query:"sort" maxLength:"16" doc:"bytes, flows or last_seen, with - before it for the largest first; the newest first by default"`
}

func (f *TrafficFilter) query(limit int, cursor string) traffic.Query {
	return traffic.Query{State: f.State, Item: f.Item, System: f.System, Zone: f.Zone, Port: f.Port, Protocol: f.Protocol, Text: f.Q, MinBytes: f.MinBytes, Days: f.Days,
		Silent: f.Silent, Annotated: f.Annotated, Sort: f.Sort, Limit: limit, Cursor: cursor}
}

// trafficRows are the rows of an edge in a table.
func trafficRows(p *traffic.Proposal) [][]any {
	name := func(r *cmdb.Ref) string {
		if r == nil {
			return ""
		}
		return r.Name
	}
	out := make([][]any, len(p.Services))
	for i, x := range p.Services {
		out[i] = []any{p.ID, p.State, p.Zone, p.From.ID, p.From.Name, name(p.FromSystem), p.To.ID, p.To.Name, name(p.ToSystem), x.Port, x.Protocol, x.Name, x.Flows, x.Bytes, p.Flows, p.Bytes,
			p.FirstSeen.Format(time.RFC3339), p.LastSeen.Format(time.RFC3339), p.Type, p.DecidedBy, p.Note, p.Annotation, p.AnnotatedBy}
	}
	return out
}

// cmdbTrafficRoutes registers the relations that traffic shows, and what people
// decide on them.
func (s *Server) cmdbTrafficRoutes() {
	watch := s.deps.Traffic
	if watch == nil {
		return
	}
	Register(s, cmdbOperation("list-cmdb-traffic", http.MethodGet, "/traffic", "Relations that traffic between items within reach shows, and what was decided on them, newest first", 400, 422), identity.ScopeRead,
		func(ctx context.Context, in *struct {
			PageInput
			TrafficFilter
		}) (*Body[Page[traffic.Proposal]], error) {
			within, err := Reach(ctx, "")
			if err != nil {
				return nil, err
			}
			p, err := watch.List(ctx, within, in.query(in.Limit, in.Cursor))
			return Reply(PageOf(p.Proposals, p.Total, p.Next)), trafficProblem(err)
		})
	export := cmdbOperation("export-cmdb-traffic", http.MethodGet, "/traffic/export", "The topology of who talks to whom as a table, one service of one edge a row, 10000 edges at most", 400, 422)
	export.Responses = binary("text/csv", cmdbFileTypes[cmdb.XLSX])
	Register(s, export, identity.ScopeRead,
		func(ctx context.Context, in *struct {
			TableInput
			TrafficFilter
		}) (*huma.StreamResponse, error) {
			within, err := Reach(ctx, "")
			if err != nil {
				return nil, err
			}
			var rows [][]any
			cursor := ""
			for n := 0; n < maxExported; {
				p, err := watch.List(ctx, within, in.query(1000, cursor))
				if err != nil {
					return nil, trafficProblem(err)
				}
				for i := range p.Proposals {
					rows = append(rows, trafficRows(&p.Proposals[i])...)
				}
				n += len(p.Proposals)
				if cursor = p.Next; cursor == "" {
					break
				}
			}
			return tableAnswer("cmdb-traffic", in.Format, []string{"id", "state", "zone", "from", "from_name", "from_system", "to", "to_name", "to_system", "port", "protocol", "service", "flows", "bytes", "edge_flows", "edge_bytes", "first_seen", "last_seen", "relation", "decided_by", "note", "annotation", "annotated_by"}, rows)
		})
	Register(s, cmdbOperation("list-cmdb-traffic-days", http.MethodGet, "/traffic/{id}/days", "How much went over an edge on each of the last 31 days", 404), identity.ScopeRead,
		func(ctx context.Context, in *struct {
			ID string `path:"id" maxLength:"20" doc:"Number of the edge"`
		}) (*Body[Page[traffic.Day]], error) {
			within, err := Reach(ctx, "")
			if err != nil {
				return nil, err
			}
			id, err := strconv.ParseInt(in.ID, 10, 64)
			if err != nil {
				return nil, trafficProblem(traffic.ErrNotFound)
			}
			days, err := watch.Days(ctx, within, id)
			return Reply(PageOf(days, len(days), "")), trafficProblem(err)
		})

	Register(s, cmdbOperation("look-cmdb-traffic", http.MethodPost, "/traffic/look", "Look at flows now, not only every five minutes", 503), identity.ScopeConfigure,
		func(ctx context.Context, _ *Empty) (*Empty, error) {
			stateOf(ctx).skipAudit = true
			return nil, watch.Look(ctx)
		})

	type trafficChosen struct {
		IDs  []int64 `json:"ids" minItems:"1" maxItems:"1000"`
		Note string  `json:"note,omitempty" maxLength:"2000"`
	}
	decision := func(id, path, summary string) huma.Operation {
		return cmdbOperation(id, http.MethodPost, "/traffic/"+path, summary, 404, 409, 422)
	}
	Register(s, decision("accept-cmdb-traffic", "accept", "Make relations of what traffic shows, all or none"), identity.ScopeConfigure,
		func(ctx context.Context, in *struct {
			Body struct {
				IDs  []int64 `json:"ids" minItems:"1" maxItems:"1000"`
				Note string  `json:"note,omitempty" maxLength:"2000"`
				Type string  `json:"type,omitempty" maxLength:"63" default:"depends_on" doc:"Of the relation from the item that asks to the one that serves"`
			}
		}) (*Body[struct {
			Made int `json:"made" doc:"New relations; those that were there stay whose they are"`
		}], error) {
			within, err := Reach(ctx, "")
			if err != nil {
				return nil, err
			}
			var out struct {
				Made int `json:"made" doc:"New relations; those that were there stay whose they are"`
			}
			AuditObject(ctx, "cmdb traffic", "", "accepted as "+in.Body.Type)
			out.Made, err = watch.Accept(ctx, within, Actor(ctx), in.Body.IDs, in.Body.Type, in.Body.Note)
			return Reply(out), trafficProblem(err)
		})
	Register(s, decision("reject-cmdb-traffic", "reject", "Say no to what traffic shows: it is not proposed again; relations made of it are taken away"), identity.ScopeConfigure,
		func(ctx context.Context, in *struct{ Body trafficChosen }) (*Empty, error) {
			within, err := Reach(ctx, "")
			if err != nil {
				return nil, err
			}
			AuditObject(ctx, "cmdb traffic", "", "rejected: "+clip(in.Body.Note, 200))
			return nil, trafficProblem(watch.Reject(ctx, within, Actor(ctx), in.Body.IDs, in.Body.Note))
		})
	Register(s, decision("reopen-cmdb-traffic", "reopen", "Take decisions back: relations made of them are taken away"), identity.ScopeConfigure,
		func(ctx context.Context, in *struct{ Body trafficChosen }) (*Empty, error) {
			within, err := Reach(ctx, "")
			if err != nil {
				return nil, err
			}
			AuditObject(ctx, "cmdb traffic", "", "reopened")
			return nil, trafficProblem(watch.Reopen(ctx, within, Actor(ctx), in.Body.IDs))
		})
	Register(s, decision("annotate-cmdb-traffic", "annotate", "Write beside edges what is known of them; an empty text takes it away"), identity.ScopeConfigure,
		func(ctx context.Context, in *struct {
			Body struct {
				IDs  []int64 `json:"ids" minItems:"1" maxItems:"1000"`
				Text string  `json:"text" maxLength:"2000"`
			}
		}) (*Empty, error) {
			within, err := Reach(ctx, "")
			if err != nil {
				return nil, err
			}
			AuditObject(ctx, "cmdb traffic", "", "annotated: "+clip(in.Body.Text, 200))
			return nil, trafficProblem(watch.Annotate(ctx, within, Actor(ctx), in.Body.IDs, in.Body.Text))
		})
}
