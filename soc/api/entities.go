package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"icewatch/cmdb"
	"icewatch/cmdb/query"
	"icewatch/soc/entity"
	"icewatch/soc/flows"
	"icewatch/soc/identity"
	"icewatch/soc/reach"
	"icewatch/soc/search"
	"icewatch/soc/tenancy"
	"icewatch/ticketing"
	"icewatch/ticketing/observable"
)

// Entities is what the pages of entities need beside search and the CMDB.
type Entities struct {
	Judgements *entity.Store
	Tickets    *ticketing.Service
}

// EntityInput names an entity. It is exported because inputs embed it.
type EntityInput struct {
	Type  string `path:"type" enum:"ip,asset,device,website,domain,file,mail,app-user,system-user,organisation"`
	Value string `query:"value" required:"true" minLength:"1" maxLength:"2048" doc:"An address, a name, a hash, an account, or the id of an item of the CMDB"`
	Zone  string `query:"zone" maxLength:"64" doc:"Network zone of an address; all by default"`
}

// EntityPeriod is what a part of an entity's page is about. It is exported
// because inputs embed it.
type EntityPeriod struct {
	EntityInput
	TimeInput
}

// entityBack is how far back the pages look by default, and entityLongest the
// longest that they do.
const (
	entityBack    = 24 * time.Hour
	entityLongest = 400 * 24 * time.Hour
)

// Bounds of an entity.
const (
	maxEntityItems  = 20  // of the CMDB behind an address or name
	maxEntityPlaces = 100 // addresses of an asset or organisation that are asked for together
)

// theEntity is an entity as the caller may ask for it.
type theEntity struct {
	entity.Entity
	within   reach.Reach
	items    []cmdb.Item // what the CMDB knows by it, within reach
	members  []string    // ids of what belongs to it, itself too; of an organisation
	partial  bool        // more belongs to it than is looked at
	filter   string      // LogsQL of its events
	places   []string    // its addresses
	involved *ticketing.Involved
}

func entityProblem(err error, status int) error {
	switch {
	case errors.Is(err, entity.ErrInvalid):
		return Problem(status, "%s", plain(err, entity.ErrInvalid, ""))
	case errors.Is(err, entity.ErrFull):
		return Problem(http.StatusConflict, "%s", plain(err, entity.ErrFull, "too many are watched"))
	}
	return err
}

// openEntity reads the entity and what it is asked by. Whoever a value is masked
// for does not find out about it by asking for it.
func (s *Server) openEntity(ctx context.Context, in EntityInput) (*theEntity, error) {
	within, err := Reach(ctx, "")
	if err != nil {
		return nil, err
	}
	x := &theEntity{within: within}
	if x.Entity, err = entity.Read(entity.Type(in.Type), in.Value, in.Zone); err != nil {
		return nil, entityProblem(err, http.StatusBadRequest)
	}
	hidden := within.Veil()
	for _, f := range append(entity.Of(x.Type), entity.Field{Name: "message"}) {
		if hidden.Value(f.Name, x.Value) != x.Value {
			return nil, Problem(http.StatusForbidden, "this value is masked for you in the field %s: its page is not shown", f.Name)
		}
	}
	if err := s.itemsOf(ctx, x); err != nil {
		return nil, err
	}
	x.places = slices.DeleteFunc(x.places, func(ip string) bool { // what is masked is not asked for either
		return slices.ContainsFunc(append(entity.Of(entity.IP), entity.Field{Name: "message"}), func(f entity.Field) bool { return hidden.Value(f.Name, ip) != ip })
	})
	x.filter = x.Filter()
	if x.Type == entity.Organisation {
		if len(x.members) > 0 {
			x.filter = "(" + x.filter + " or " + entity.AnyOf("icewatch.ci.id", x.members) + " or " + entity.AnyOf("icewatch.ci.system.id", x.members) + " or " + entity.AnyOf("icewatch.reach.unit", x.members) + ")"
		}
	}
	x.involved = x.told()
	return x, nil
}

// itemsOf finds what the CMDB knows by the entity.
func (s *Server) itemsOf(ctx context.Context, x *theEntity) error {
	c := s.deps.CMDB
	switch x.Type {
	case entity.Asset, entity.Organisation:
		if c == nil {
			return unavailable("the CMDB")
		}
		it, err := c.Get(ctx, x.within, x.Value)
		if err != nil {
			return err
		}
		if (it.Class == cmdb.Organisation) != (x.Type == entity.Organisation) {
			return NotFound(string(x.Type), clip(x.Value, 64))
		}
		x.items = []cmdb.Item{it}
		if x.Type == entity.Organisation {
			if x.members, x.partial, err = s.belonging(ctx, c, x.within, it.ID); err != nil {
				return err
			}
		}
	case entity.IP:
		x.places = []string{x.Value}
		if c == nil {
			return nil
		}
		page, err := c.Items(ctx, x.within, cmdb.Filter{Address: x.Value, Zone: x.Zone, Limit: maxEntityItems})
		if err != nil {
			return err
		}
		x.items = page.Items
		return nil
	case entity.Device, entity.Website, entity.Domain:
		if c == nil {
			return nil
		}
		name := query.Quote(x.Value)
		page, err := c.Items(ctx, x.within, cmdb.Filter{Expression: "hostname = " + name + " or site_domain = " + name, Limit: maxEntityItems})
		if errors.Is(err, cmdb.ErrQuery) { // the model has no such attribute any more
			page, err = c.Items(ctx, x.within, cmdb.Filter{Expression: "hostname = " + name, Limit: maxEntityItems})
		}
		if err != nil {
			return err
		}
		x.items = page.Items
	case entity.File, entity.Mail, entity.AppUser, entity.SystemUser:
		return nil
	}
	for _, it := range x.items {
		for _, a := range it.Addresses {
			if _, err := netip.ParseAddr(a); err == nil && len(x.places) < maxEntityPlaces { // a network's CIDR is none
				x.places = append(x.places, a)
			}
		}
	}
	return nil
}

func (x *theEntity) ids() []string {
	if len(x.members) > 0 {
		return x.members
	}
	out := make([]string, len(x.items))
	for i, it := range x.items {
		out[i] = it.ID
	}
	return out
}

// told is how alerts tell of the entity.
func (x *theEntity) told() *ticketing.Involved {
	i := &ticketing.Involved{}
	see := func(typ string, values ...string) {
		for _, v := range values {
			if o, err := observable.Read(typ, v); err == nil && !slices.Contains(i.Seen, o) {
				i.Seen = append(i.Seen, o)
			}
		}
	}
	switch x.Type {
	case entity.IP:
		i.Address = x.Value
		see(observable.IP, x.Value)
		if len(x.items) == 1 { // of several, in different zones, nobody knows which
			i.About = x.ids()
		}
	case entity.Asset, entity.Organisation:
		i.About, i.Attackers = x.ids(), x.places
	case entity.Device:
		i.About, i.Seen = x.ids(), []observable.Observable{ticketing.SeenHost(x.Value)}
	case entity.Website, entity.Domain:
		see(observable.Domain, x.Value, x.Shown())
		see(observable.IP, x.Value)
		if x.Type == entity.Website {
			i.About = x.ids()
		}
	case entity.File:
		if entity.IsHash(x.Value) {
			see(observable.Hash, x.Value)
		} else {
			see(observable.File, x.Value)
		}
	case entity.Mail:
		i.Seen = []observable.Observable{ticketing.SeenMail(x.Value)}
	case entity.SystemUser, entity.AppUser:
		name := x.Value
		if _, account, found := strings.Cut(name, `\`); found {
			see(observable.User, account) // Windows writes the domain apart
		}
		see(observable.User, name, strings.ToLower(name), strings.ToUpper(name))
		if x.Type == entity.AppUser {
			i.Seen = append(i.Seen, ticketing.SeenAccount(name))
		}
	}
	return i
}

// entityReading is a part of an entity's page in the making.
type entityReading struct {
	*theEntity
	s          *Server
	start, end time.Time
}

// readEntity answers with a part of an entity's page, within the bounds of
// searches.
func readEntity[T any](s *Server, ctx context.Context, in EntityPeriod, read func(ctx context.Context, r *entityReading) (T, error)) (*Body[T], error) {
	out, err := partOfEntity(s, ctx, in, read)
	if err != nil {
		return nil, err
	}
	return Reply(out), nil
}

func partOfEntity[T any](s *Server, ctx context.Context, in EntityPeriod, read func(ctx context.Context, r *entityReading) (T, error)) (out T, err error) {
	x, err := s.openEntity(ctx, in.EntityInput)
	if err != nil {
		return out, err
	}
	r := &entityReading{theEntity: x, s: s}
	if r.start, r.end, err = in.timeRange(time.Now(), entityBack); err != nil {
		return out, err
	}
	if r.end.Sub(r.start) > entityLongest {
		return out, Problem(http.StatusBadRequest, "start: the time is longer than the 400 days that a page of an entity shows at most")
	}
	ctx, leave, err := s.enterSearch(ctx, s.deps.SearchTimeout)
	if err != nil {
		return out, err
	}
	defer leave()
	return read(ctx, r)
}

// ask runs a query over the entity's events; the pipes stand behind its filter.
// An empty reach, and a lake that is not there, have no events.
func (r *entityReading) ask(ctx context.Context, filter, pipes string, limit int, each func(row map[string]string) error) error {
	if r.s.deps.Search == nil {
		return unavailable("search")
	}
	if r.within.Nothing() || filter == "" {
		return nil
	}
	return r.s.deps.Search.Query(ctx, search.Request{Reach: r.within, Query: filter + pipes, Start: r.start, End: r.end, Limit: limit}, func(b []byte) error {
		var m map[string]string
		if err := json.Unmarshal(b, &m); err != nil {
			return fmt.Errorf("entities: a row of the lake: %w", err)
		}
		return each(m)
	})
}

// entityItem is an item of the CMDB behind an entity.
type entityItem struct {
	cmdb.Item
	SystemRef       *cmdb.Ref `json:"system_ref,omitempty"`
	OrganisationRef *cmdb.Ref `json:"organisation_ref,omitempty"`
	Score           *int      `json:"score,omitempty" doc:"How much it is at risk, 0 to 100; absent where it is not scored"`
	Level           string    `json:"level,omitempty"`
}

// entityHead is who an entity is.
type entityHead struct {
	Entity         entity.Entity     `json:"entity"`
	Shown          string            `json:"shown" doc:"The value as people read it"`
	Items          []entityItem      `json:"items" nullable:"false" doc:"What the CMDB knows by it within reach"`
	Members        int               `json:"members,omitempty" doc:"Of an organisation: items that belong to it"`
	Partial        bool              `json:"partial,omitempty" doc:"More belongs to it than is looked at"`
	Internal       *bool             `json:"internal,omitempty" doc:"Of an address: it is ours"`
	Judgement      *entity.Judgement `json:"judgement,omitempty" doc:"In force, the latest"`
	AlertsTotal    int               `json:"alerts_total" doc:"Of the last 30 days that are not closed"`
	IncidentsTotal int               `json:"incidents_total" doc:"As alerts_total"`
	Related        []entity.Entity   `json:"related" nullable:"false" doc:"The same thing by another name, 20 at most"`
}

// headBack is the time whose open alerts a head counts.
const headBack = 30 * 24 * time.Hour

func (s *Server) entityHead(ctx context.Context, x *theEntity) (entityHead, error) {
	out := entityHead{Entity: x.Entity, Shown: x.Shown(), Items: []entityItem{}, Members: max(0, len(x.members)-1), Partial: x.partial, Related: []entity.Entity{}}
	relate := func(t entity.Type, value, zone string) {
		if e, err := entity.Read(t, value, zone); err == nil && e != x.Entity && len(out.Related) < 20 && !slices.Contains(out.Related, e) {
			out.Related = append(out.Related, e)
		}
	}
	for _, it := range x.items {
		e := entityItem{Item: it}
		rel, err := s.deps.CMDB.Relations(ctx, x.within, it.ID)
		if err != nil && !errors.Is(err, cmdb.ErrNotFound) {
			return out, err
		}
		e.SystemRef, e.OrganisationRef = rel.System, rel.Organisation
		if s.deps.Risk != nil {
			if d, err := s.deps.Risk.Of(ctx, x.within, it.ID); err == nil { // one that is not scored yet is none
				e.Score, e.Level = &d.Score, string(d.Level)
			}
		}
		out.Items = append(out.Items, e)
		if it.Class == cmdb.Organisation {
			relate(entity.Organisation, it.ID, "")
			continue
		}
		relate(entity.Asset, it.ID, "")
		for _, a := range it.Addresses {
			if a != x.Value {
				relate(entity.IP, a, it.Zone)
			}
		}
		for _, h := range it.Hostnames {
			relate(entity.Device, h, "")
		}
		if it.Organisation != "" {
			relate(entity.Organisation, it.Organisation, "")
		}
	}
	switch x.Type {
	case entity.Domain:
		relate(entity.Website, x.Value, "")
	case entity.Website:
		relate(entity.Domain, x.Value, "")
		relate(entity.IP, x.Value, "")
	case entity.AppUser:
		relate(entity.SystemUser, x.Value, "")
	case entity.SystemUser:
		relate(entity.AppUser, x.Value, "")
	case entity.Mail:
		_, domain, _ := strings.Cut(x.Value, "@")
		relate(entity.Domain, domain, "")
	case entity.IP:
		if s.deps.Flows != nil {
			place, _ := flows.ParsePlace(x.Value, x.Zone)
			peer := flows.Peer{Zone: place.Zone, Address: place.Address}
			err := s.deps.Flows.Names(ctx, x.within, []*flows.Peer{&peer})
			if err != nil && !errors.Is(err, search.ErrUnavailable) {
				return out, err
			}
			if err == nil {
				internal := peer.Internal || len(x.items) > 0
				out.Internal = &internal
			}
		}
	case entity.Asset, entity.Device, entity.File, entity.Organisation:
	}
	e := s.deps.Entities
	list, err := e.Judgements.History(ctx, x.within, x.Entity)
	if err != nil {
		return out, err
	}
	if i := slices.IndexFunc(list, func(j entity.Judgement) bool { return j.InForce && j.Conclusion != "withdrawn" }); i >= 0 {
		out.Judgement = &list[i]
	}
	open := []string{string(ticketing.StatusOpen), string(ticketing.StatusAcknowledged)}
	since := time.Now().Add(-headBack)
	if _, out.AlertsTotal, _, err = e.Tickets.Alerts(ctx, ticketing.AlertQuery{Reach: x.within, Statuses: open, Involved: x.involved, Since: since, Page: ticketing.Page{Limit: 1}}); err != nil {
		return out, ticketProblem(err)
	}
	_, out.IncidentsTotal, _, err = e.Tickets.Incidents(ctx, ticketing.IncidentQuery{Reach: x.within, Statuses: open, Alerts: x.involved, Since: since, Page: ticketing.Page{Limit: 1}})
	return out, ticketProblem(err)
}

func entityOperation(id, path, summary string) huma.Operation {
	return huma.Operation{OperationID: id, Method: http.MethodGet, Path: "/entities/{type}" + path, Tags: []string{"entities"}, Summary: summary, Errors: []int{400, 404, 429, 503, 504}}
}

// entityRoutes registers the pages of entities.
func (s *Server) entityRoutes() {
	if s.deps.Entities == nil {
		return
	}
	Register(s, entityOperation("get-entity", "/head", "Who an address, asset, account or other entity is: items of the CMDB, judgement in force, open alerts"), identity.ScopeRead,
		func(ctx context.Context, in *EntityInput) (*Body[entityHead], error) {
			x, err := s.openEntity(ctx, *in)
			if err != nil {
				return nil, err
			}
			out, err := s.entityHead(ctx, x)
			return Reply(out), err
		})
	s.entityReadRoutes()
	s.entityJudgementRoutes()
	s.entityReportRoutes()
}

// judgeInput is a judgement as it is written.
type judgeInput struct {
	Value      string     `json:"value" minLength:"1" maxLength:"2048"`
	Zone       string     `json:"zone,omitempty" maxLength:"64"`
	Tenant     string     `json:"tenant,omitempty" maxLength:"63" doc:"Whose judgement it is; by default the city's for callers who see everything, else the caller's only tenant"`
	Conclusion string     `json:"conclusion" enum:"malicious,attacker,compromised,suspicious,benign,exercise,withdrawn"`
	Risk       string     `json:"risk,omitempty" enum:"critical,high,medium,low,"`
	Tags       []string   `json:"tags,omitempty" maxItems:"20"`
	Watched    bool       `json:"watched,omitempty" doc:"Events that name it raise alerts"`
	Until      *time.Time `json:"until,omitempty" doc:"It is watched until then; without end where absent"`
	Note       string     `json:"note,omitempty" maxLength:"8000"`
}

func (s *Server) entityJudgementRoutes() {
	store := s.deps.Entities.Judgements
	Register(s, entityOperation("list-entity-judgements", "/judgements", "What was judged of an entity, newest first, by tenants that the caller sees wholly"), identity.ScopeRead,
		func(ctx context.Context, in *EntityInput) (*Body[Page[entity.Judgement]], error) {
			x, err := s.openEntity(ctx, *in)
			if err != nil {
				return nil, err
			}
			list, err := store.History(ctx, x.within, x.Entity)
			return Reply(PageOf(list, len(list), "")), err
		})

	judge := entityOperation("judge-entity", "/judgements", "Judge an entity: conclusion, risk, tags, and whether it is watched")
	judge.Method, judge.DefaultStatus, judge.Errors = http.MethodPost, http.StatusCreated, []int{403, 404, 409, 422}
	Register(s, judge, identity.ScopeRespond,
		func(ctx context.Context, in *struct {
			Type string `path:"type" enum:"ip,asset,device,website,domain,file,mail,app-user,system-user,organisation"`
			Body judgeInput
		}) (*Body[entity.Judgement], error) {
			b := &in.Body
			AuditObject(ctx, "entity:"+in.Type+":"+clip(b.Value, 200), b.Tenant, b.Conclusion)
			x, err := s.openEntity(ctx, EntityInput{in.Type, b.Value, b.Zone})
			if err != nil {
				return nil, err
			}
			tenant, err := s.judgesFor(ctx, x.within, b.Tenant)
			if err != nil {
				return nil, err
			}
			history, err := store.History(ctx, x.within, x.Entity)
			if err != nil {
				return nil, err
			}
			j, err := store.Judge(ctx, entity.Judgement{Entity: x.Entity, Tenant: tenant, Conclusion: b.Conclusion, Risk: b.Risk, Tags: b.Tags, Watched: b.Watched, Until: b.Until, Note: b.Note, By: Actor(ctx)})
			if err != nil {
				return nil, entityProblem(err, http.StatusUnprocessableEntity)
			}
			AuditObject(ctx, "entity:"+in.Type+":"+clip(j.Value, 200), tenant, j.Conclusion)
			var before any
			if i := slices.IndexFunc(history, func(o entity.Judgement) bool { return o.InForce && o.Tenant == tenant }); i >= 0 {
				before = history[i]
			}
			AuditChange(ctx, before, j)
			return Reply(j), nil
		})

	type listInput struct {
		Watched bool `query:"watched" doc:"Those alone that are watched now"`
	}
	all := func(ctx context.Context, in listInput) ([]entity.Judgement, error) {
		within, err := Reach(ctx, "")
		if err != nil {
			return nil, err
		}
		list, err := store.InForce(ctx, within, in.Watched)
		if err != nil {
			return nil, err
		}
		hidden := within.Veil()
		return slices.DeleteFunc(list, func(j entity.Judgement) bool {
			return slices.ContainsFunc(entity.Of(j.Type), func(f entity.Field) bool { return hidden.Value(f.Name, j.Value) != j.Value })
		}), nil
	}
	Register(s, huma.Operation{OperationID: "list-judgements", Method: http.MethodGet, Path: "/entity-judgements", Tags: []string{"entities"},
		Summary: "Own intelligence: judgements in force, the latest first, and the sightings of what is watched"}, identity.ScopeRead,
		func(ctx context.Context, in *struct {
			Watched bool `query:"watched" doc:"Those alone that are watched now"`
		}) (*Body[Page[entity.Judgement]], error) {
			list, err := all(ctx, listInput{in.Watched})
			return Reply(PageOf(list, len(list), "")), err
		})
	Register(s, huma.Operation{OperationID: "export-judgements", Method: http.MethodGet, Path: "/entity-judgements/export", Tags: []string{"entities"}, Summary: "The same as a file", Responses: anyFile("text/csv")}, identity.ScopeRead,
		func(ctx context.Context, in *struct {
			TableInput
			Watched bool `query:"watched"`
		}) (*huma.StreamResponse, error) {
			list, err := all(ctx, listInput{in.Watched})
			if err != nil {
				return nil, err
			}
			return tableAnswer("judgements", in.Format, judgementHeader, judgementRows(list))
		})
}

// judgesFor is the tenant that the caller judges for.
func (s *Server) judgesFor(ctx context.Context, within reach.Reach, tenant string) (string, error) {
	if tenant == "" {
		if seesEverything(ctx) {
			return tenancy.City, nil
		}
		for _, t := range s.deps.Tenants.List() {
			if !within.CoversWhole(t.Slug) {
				continue
			}
			if tenant != "" {
				return "", Problem(http.StatusUnprocessableEntity, "tenant: you see several; say whose judgement this is")
			}
			tenant = t.Slug
		}
		if tenant == "" {
			return "", Problem(http.StatusForbidden, "a judgement is a whole tenant's, and you see none wholly")
		}
		return tenant, nil
	}
	if !within.CoversWhole(tenant) || !s.tenantExists(tenant) {
		return "", Problem(http.StatusForbidden, "you do not see the whole tenant %q", clip(tenant, 63))
	}
	return tenant, nil
}
