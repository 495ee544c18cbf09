package api

import (
	"context"
	"errors"
	"net/http"
	"slices"

	"icewatch/soc/identity"
	"icewatch/soc/reach"
	"icewatch/ticketing"
	"icewatch/ticketing/observable"
	"icewatch/ticketing/similar"
)

// caseObservable is an observable of an incident.
type caseObservable struct {
	observable.Observable
	Alerts    int      `json:"alerts" doc:"Alerts of the incident that it stands in; 0 where somebody added it"`
	Note      string   `json:"note,omitempty"`
	AddedBy   string   `json:"added_by,omitempty" doc:"Absent where it was taken out of alerts"`
	Sightings []string `json:"sightings" nullable:"false" doc:"Other incidents within reach that it was seen in, 20 at most"`
}

// Bounds of the sightings.
const (
	maxSighted    = 1000 // alerts looked at for one observable
	maxSightings  = 20
	maxObservable = 200 // of an incident
	maxCompared   = 2000
)

func (s *Server) observableRoutes() {
	store, incidents := s.deps.Casework.Observables, s.deps.Casework.Incidents
	Register(s, caseOp("list-observables", http.MethodGet, "/observables", "Addresses, domains, URLs, hashes, files and accounts of an incident, and where else they were seen", 403), identity.ScopeRead,
		func(ctx context.Context, in *IDInput) (*Body[Page[caseObservable]], error) {
			c, err := s.openCase(ctx, in.ID, "")
			if err != nil {
				return nil, err
			}
			if err := c.clear(); err != nil {
				return nil, err
			}
			list, err := s.observablesOf(ctx, c)
			return Reply(PageOf(list, len(list), "")), err
		})
	add := caseOp("add-observable", http.MethodPost, "/observables", "Add an observable to an incident")
	add.DefaultStatus = http.StatusCreated
	Register(s, add, identity.ScopeRespond,
		func(ctx context.Context, in *struct {
			IDInput
			Body struct {
				Type  string `json:"type" enum:"ip,domain,url,hash,file,user"`
				Value string `json:"value" minLength:"1" maxLength:"2048"`
				Note  string `json:"note,omitempty" maxLength:"1000"`
			}
		}) (*Body[observable.Noted], error) {
			c, err := s.openCase(ctx, in.ID, "observable: "+in.Body.Type+" "+clip(in.Body.Value, 200))
			if err != nil {
				return nil, err
			}
			n, err := store.Add(ctx, c.ID, c.by.Name, in.Body.Type, in.Body.Value, in.Body.Note)
			return Reply(n), caseProblem(err)
		})
	Register(s, caseOp("remove-observable", http.MethodPost, "/observables/remove", "Take an observable that somebody added off an incident; adding it brings it back"), identity.ScopeRespond,
		func(ctx context.Context, in *struct {
			IDInput
			Body observable.Observable
		}) (*Body[observable.Noted], error) {
			c, err := s.openCase(ctx, in.ID, "observable removed: "+in.Body.Type+" "+clip(in.Body.Value, 200))
			if err != nil {
				return nil, err
			}
			n, err := store.Remove(ctx, c.ID, c.by.Name, in.Body)
			return Reply(n), caseProblem(err)
		})
	type likeness struct {
		similar.Match
		Incident ticketing.Incident `json:"incident"`
	}
	Register(s, caseOp("list-similar", http.MethodGet, "/similar", "Past incidents that resemble this one, with the reasons and how they ended"), identity.ScopeRead,
		func(ctx context.Context, in *struct {
			IDInput
			Limit int `query:"limit" minimum:"1" maximum:"50" default:"8"`
		}) (*Body[Page[likeness]], error) {
			c, err := s.openCase(ctx, in.ID, "")
			if err != nil {
				return nil, err
			}
			cases, err := incidents.Cases(ctx, c.by.Reach, maxCompared)
			if err != nil {
				return nil, err
			}
			one := similar.Facts{ID: c.ID}
			facts, byID := make([]similar.Facts, 0, len(cases)), map[string]*ticketing.Case{}
			for i := range cases {
				f := factsOfCase(&cases[i], c.by.Reach)
				if byID[f.ID] = &cases[i]; f.ID == c.ID {
					one = f
				}
				facts = append(facts, f)
			}
			if byID[c.ID] == nil { // older than those that are compared
				rules, err := incidents.RulesOf(ctx, c.by.Reach, c.ID)
				if err != nil {
					return nil, err
				}
				one = factsOfCase(&ticketing.Case{Incident: c.Incident, Rules: rules}, c.by.Reach)
			}
			out := []likeness{}
			for _, m := range similar.Rank(one, facts, in.Limit) {
				i, err := incidents.Heading(ctx, c.by.Reach, m.ID)
				if errors.Is(err, ticketing.ErrNotFound) {
					continue
				}
				if err != nil {
					return nil, err
				}
				out = append(out, likeness{m, i})
			}
			return Reply(PageOf(out, len(out), "")), nil
		})
}

// clear refuses where parts of events are masked for the caller: an observable
// is a part of an event.
func (c *theCase) clear() error {
	if c.by.Reach.Veil() == nil {
		return nil
	}
	return Problem(http.StatusForbidden, "parts of events are masked for you: what was taken out of them cannot be shown")
}

func factsOfCase(c *ticketing.Case, r reach.Reach) similar.Facts {
	f := similar.Facts{ID: c.ID, Rules: c.Rules, Techniques: c.Techniques}
	if c.CI != nil {
		f.Items = append(f.Items, c.CI.ID)
	}
	if c.System != nil {
		f.Items = append(f.Items, c.System.ID)
	}
	if r.Veil() == nil {
		f.Actors = c.Actors
	}
	return f
}

func addressesOf(a *ticketing.Alert) (out []string) {
	out = append(out, a.SourceIP)
	if a.Attacker != nil {
		out = append(out, a.Attacker.IP)
	}
	if a.Victim != nil {
		out = append(out, a.Victim.IP)
	}
	return out
}

// observablesOf are those of the alerts in reach and those that people added.
func (s *Server) observablesOf(ctx context.Context, c *theCase) ([]caseObservable, error) {
	store, incidents := s.deps.Casework.Observables, s.deps.Casework.Incidents
	detail, err := incidents.Incident(ctx, c.by.Reach, c.ID)
	if err != nil {
		return nil, ticketProblem(err)
	}
	out := []caseObservable{}
	at := map[observable.Observable]int{}
	entry := func(o observable.Observable) *caseObservable {
		n, ok := at[o]
		if !ok {
			n = len(out)
			at[o], out = n, append(out, caseObservable{Observable: o, Sightings: []string{}})
		}
		return &out[n]
	}
	noted, err := store.Noted(ctx, c.ID)
	if err != nil {
		return nil, err
	}
	for _, n := range noted {
		if n.RemovedAt == 0 {
			e := entry(observable.Observable{Type: n.Type, Value: n.Value})
			e.Note, e.AddedBy = n.Note, n.AddedBy
		}
	}
	for i := range detail.Alerts {
		a := &detail.Alerts[i]
		for _, o := range observable.Extract(a.Fields, addressesOf(a)...) {
			if len(out) < maxObservable || at[o] > 0 {
				entry(o).Alerts++
			}
		}
	}
	for i := range out {
		e := &out[i]
		alerts, added, err := store.Seen(ctx, e.Observable, maxSighted)
		if err != nil {
			return nil, err
		}
		others, err := incidents.IncidentsOf(ctx, c.by.Reach, alerts)
		if err != nil {
			return nil, err
		}
		for _, id := range added {
			others[id]++
		}
		delete(others, c.ID)
		ids := make([]string, 0, len(others))
		for id := range others {
			ids = append(ids, id)
		}
		slices.Sort(ids)
		slices.Reverse(ids) // their numbers begin with the day
		for _, id := range ids {
			if len(e.Sightings) == maxSightings {
				break
			}
			if _, err := incidents.Heading(ctx, c.by.Reach, id); err == nil {
				e.Sightings = append(e.Sightings, id)
			} else if !errors.Is(err, ticketing.ErrNotFound) {
				return nil, err
			}
		}
	}
	return out, nil
}
