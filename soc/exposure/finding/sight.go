package finding

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/uptrace/bun"

	"icewatch/cmdb"
	"icewatch/detections"
	"icewatch/soc/exposure/library"
	"icewatch/soc/reach"
)

// MaxSightings is how many sightings are taken at once.
const MaxSightings = 200_000

// maxCVEs is how many vulnerabilities one check may report at once.
const maxCVEs = 100

// Take says what is to be taken in.
type Take struct {
	Within reach.Reach // who brings it; what is beyond is refused
	Actor  string
	Tenant string // whose is what the CMDB does not know
	DryRun bool
	// Complete says that the engine looked at these hosts for all it knows: what it
	// reported before, and alone, and does not report now, is gone there.
	Complete []Place
	Engine   string // of Complete
	// Sure says that what Complete lacks is gone for certain, as what is not installed
	// any more is: it is closed at once, and of what others report too the engine is
	// taken away.
	Sure bool
	// Looked are the hosts that the engine looked at beside those of Complete.
	Looked []Place
	// Report is the report that it comes from, for the list of imports; nil of what the
	// suite does by itself.
	Report *ReportNote
	// Unsure are weaknesses that could not be looked at: of them Complete says nothing.
	Unsure []string
	// Quiet is of what is looked at again and again by itself: that something was merely
	// seen again is no event, is written once a day at most and cannot be undone.
	Quiet bool
}

// Place is a host that was looked at: by its zone and address or name, or by its item.
type Place struct{ Zone, Host, Item string }

// Taken is what came of it.
type Taken struct {
	Change   string   `json:"change,omitempty" doc:"What undo names; absent of a dry run"`
	New      int      `json:"new"`
	Again    int      `json:"again" doc:"Known already"`
	Reopened int      `json:"reopened" doc:"Were closed, and came back"`
	Gone     int      `json:"gone" doc:"Are no longer reported: closed where they were fixed, else waiting for a look"`
	Unknown  []string `json:"unknown" nullable:"false" doc:"Hosts that the CMDB does not know, at most 100"`
}

// asset is where a sighting lies.
type asset struct {
	key, tenant, item, name, system, unit, owner, exposure string
	criticality                                            int
	facts                                                  reach.Kept
}

// resolver finds assets, each once.
type resolver struct {
	s       *Service
	within  reach.Reach
	tenant  string
	cards   map[string]*asset
	places  map[cmdb.ZonedAddress]string
	names   map[string]string
	unknown map[string]bool
}

// find says where a sighting lies.
func (r *resolver) find(ctx context.Context, x *Sighting) (*asset, error) {
	id := x.Item
	if id == "" && x.Address != "" {
		id = r.places[cmdb.ZonedAddress{Zone: cmp.Or(x.Zone, cmdb.DefaultZone), Address: x.Address}]
	}
	if id == "" && x.Host != "" {
		known, ok := r.names[x.Host]
		if !ok {
			ids, err := r.s.Items.Called(ctx, strings.ToLower(x.Host))
			if err != nil {
				return nil, err
			}
			if len(ids) == 1 {
				known = ids[0]
			}
			r.names[x.Host] = known
		}
		id = known
	}
	if id != "" {
		if a, ok := r.cards[id]; ok {
			if a == nil {
				return r.beyond(x)
			}
			return a, nil
		}
		card, err := r.s.Items.Card(ctx, r.within, id)
		if errors.Is(err, cmdb.ErrNotFound) {
			r.cards[id] = nil
			return r.beyond(x)
		}
		if err != nil {
			return nil, err
		}
		a := assetOf(&card)
		r.cards[id] = a
		return a, nil
	}
	host := cmp.Or(x.Address, strings.ToLower(x.Host))
	if host == "" {
		return nil, fmt.Errorf("%w: a finding names neither an address nor a host", ErrInvalid)
	}
	tenant := cmp.Or(x.Tenant, r.tenant)
	if tenant == "" {
		return nil, fmt.Errorf("%w: the CMDB knows nothing at %s: say whose it is (tenant)", ErrInvalid, clip(host, 100))
	}
	if !r.within.Match(reach.Facts{Tenant: tenant}) {
		return nil, fmt.Errorf("%w: the tenant %s is beyond your reach", ErrInvalid, clip(tenant, 100))
	}
	if len(r.unknown) < 100 {
		r.unknown[host] = true
	}
	return &asset{key: cmp.Or(x.Zone, cmdb.DefaultZone) + "|" + host, tenant: tenant}, nil
}

func (r *resolver) beyond(x *Sighting) (*asset, error) {
	return nil, fmt.Errorf("%w: the asset at %s is not within your reach", ErrInvalid, clip(cmp.Or(x.Address, x.Host, x.Item), 100))
}

func assetOf(card *cmdb.Card) *asset {
	it := &card.Item
	a := &asset{key: it.ID, tenant: it.Tenant, item: it.ID, name: it.Name, system: it.System, owner: card.Owner, exposure: it.Attributes["exposure"], criticality: it.Criticality, facts: card.Facts}
	if card.Organisation != nil {
		a.unit = card.Organisation.ID
	}
	if card.System != nil && a.criticality == 0 {
		a.criticality = card.System.Criticality
	}
	return a
}

// Take takes in what an engine reports: findings that are new, and those that are
// known already. All or nothing.
func (s *Service) Take(ctx context.Context, list []Sighting, how Take) (Taken, error) {
	out := Taken{Unknown: []string{}}
	if len(list) > MaxSightings {
		return out, fmt.Errorf("%w: %d findings at once; at most %d are taken", ErrInvalid, len(list), MaxSightings)
	}
	now := s.now()
	r := &resolver{s: s, within: how.Within, tenant: how.Tenant, cards: map[string]*asset{}, places: map[cmdb.ZonedAddress]string{}, names: map[string]string{}, unknown: map[string]bool{}}
	var places []cmdb.ZonedAddress
	var names []string
	for i := range list {
		x := &list[i]
		if x.Address != "" {
			addr, err := netip.ParseAddr(x.Address)
			if err != nil {
				return out, fmt.Errorf("%w: %q is no IP address", ErrInvalid, clip(x.Address, 60))
			}
			x.Address = addr.Unmap().String()
			places = append(places, cmdb.ZonedAddress{Zone: cmp.Or(x.Zone, cmdb.DefaultZone), Address: x.Address})
		}
		names = append(names, x.CVEs...)
	}
	var err error
	if len(places) > 0 {
		if r.places, err = s.Items.At(ctx, places); err != nil {
			return out, err
		}
	}
	slices.Sort(names)
	known := map[string]library.VulnLine{}
	if names = slices.Compact(names); len(names) > 0 && s.Library != nil {
		if known, err = s.Library.Some(ctx, names); err != nil {
			return out, err
		}
	}
	found := map[string]*Finding{}
	items := map[[2]string]map[string]string{} // tenant and zone → address or name → item
	facts := map[string]reach.Kept{}
	for i := range list {
		x := &list[i]
		a, err := r.find(ctx, x)
		if err != nil {
			return out, err
		}
		if host := cmp.Or(x.Address, strings.ToLower(x.Host)); a.item != "" && host != "" {
			at := [2]string{a.tenant, cmp.Or(x.Zone, cmdb.DefaultZone)}
			if items[at] == nil {
				items[at] = map[string]string{}
			}
			items[at][host] = a.item
		}
		for _, f := range expand(x, a, known, now) {
			facts[f.ID] = a.facts
			if had, ok := found[f.ID]; ok {
				had.join(f)
				continue
			}
			found[f.ID] = f
		}
	}
	if !how.DryRun {
		for at, list := range items {
			if err := s.Adopt(ctx, how.Actor, at[0], at[1], list); err != nil {
				return out, err
			}
		}
	}
	looked, err := r.look(ctx, how, now)
	if err != nil {
		return out, err
	}
	change := rand.Text()
	err = s.db.Change(ctx, func(ctx context.Context, tx bun.Tx) error {
		if err := s.takeAll(ctx, tx, found, facts, how, change, now, &out); err != nil {
			return err
		}
		if err := s.sweep(ctx, tx, found, how, change, now, &out); err != nil {
			return err
		}
		if how.DryRun {
			return errDry
		}
		if err := noteLooked(ctx, tx, looked); err != nil {
			return err
		}
		return s.noteReport(ctx, tx, how, change, now, &out)
	})
	if errors.Is(err, errDry) {
		err = nil
	} else if err == nil {
		out.Change = change
	}
	for h := range r.unknown {
		out.Unknown = append(out.Unknown, h)
	}
	slices.Sort(out.Unknown)
	return out, err
}

var errDry = errors.New("finding: dry run")

// expand makes of a sighting a finding for each of its vulnerabilities, or one of the
// check itself.
func expand(x *Sighting, a *asset, known map[string]library.VulnLine, now time.Time) []*Finding {
	place := "host"
	if x.Port > 0 {
		place = cmp.Or(strings.ToLower(x.Protocol), "tcp") + "/" + strconv.Itoa(x.Port)
	}
	at := x.At
	if at.IsZero() || at.After(now) {
		at = now
	}
	base := Finding{Tenant: a.tenant, Item: a.item, Name: a.name, System: a.system, Unit: a.unit, Owner: a.owner, Zone: x.Zone, Host: cmp.Or(x.Address, strings.ToLower(x.Host), a.name), Port: x.Port, Protocol: strings.ToLower(x.Protocol),
		Service: clip(x.Service, 100), Path: clip(x.Path, 500), CWEs: x.CWEs, Title: x.Title, Text: x.Text, Solution: x.Solution, Level: x.Level, Score: x.Score, State: StateOpen, Engines: []string{x.Engine},
		Checks: []string{clip(x.Engine+":"+x.Check, 300)}, Evidence: clip(x.Evidence, 4000), Links: x.Links, FirstSeen: at, LastSeen: at, Revision: 1, exposure: a.exposure, criticality: a.criticality}
	if base.Level == "" {
		base.Level = detections.Informational
		if base.Score > 0 {
			base.Level = library.LevelOf(base.Score)
		}
	}
	if len(base.Links) > 50 {
		base.Links = base.Links[:50]
	}
	clipText(&base.Title, 500)
	clipText(&base.Text, 16<<10)
	clipText(&base.Solution, 16<<10)
	seen := map[string]bool{}
	var out []*Finding
	for _, id := range x.CVEs {
		id = strings.ToUpper(strings.TrimSpace(id))
		f := base
		v, ok := known[id]
		if ok {
			id = v.ID
		}
		if id == "" || seen[id] || len(seen) >= maxCVEs {
			continue
		}
		seen[id] = true
		if ok {
			f.Aliases, f.Class, f.EPSS, f.Exploited = v.Aliases, v.Class, v.EPSS, v.Exploited
			f.Title = detections.Text{ZH: cmp.Or(v.Title.ZH, f.Title.ZH), EN: cmp.Or(v.Title.EN, f.Title.EN)}
			if v.Level != "" {
				f.Level, f.Score = v.Level, cmp.Or(v.Score, f.Score)
			}
			if len(v.Weaknesses) > 0 {
				f.CWEs = v.Weaknesses
			}
		}
		f.Weakness = id
		f.ID = identity(a.tenant, a.key, id, place)
		out = append(out, &f)
	}
	if len(out) == 0 {
		// What has no CVE is told apart by the engine's check and by the path.
		f := base
		f.Weakness = clip(x.Engine+":"+x.Check, 300)
		f.ID = identity(a.tenant, a.key, f.Weakness, place+" "+x.Path)
		out = append(out, &f)
	}
	return out
}

func clipText(t *detections.Text, n int) { t.ZH, t.EN = clip(t.ZH, n), clip(t.EN, n) }

// join adds what another engine, or the same one again, says of a finding.
func (f *Finding) join(g *Finding) {
	for _, e := range g.Engines {
		if !slices.Contains(f.Engines, e) {
			f.Engines = append(f.Engines, e)
		}
	}
	for _, c := range g.Checks {
		if !slices.Contains(f.Checks, c) && len(f.Checks) < 50 {
			f.Checks = append(f.Checks, c)
		}
	}
	if g.LastSeen.After(f.LastSeen) {
		f.LastSeen = g.LastSeen
	}
	if g.FirstSeen.Before(f.FirstSeen) {
		f.FirstSeen = g.FirstSeen
	}
	f.Exploited, f.EPSS, f.Score = f.Exploited || g.Exploited, max(f.EPSS, g.EPSS), max(f.Score, g.Score)
	if rank(g.Level) > rank(f.Level) {
		f.Level = g.Level
	}
	f.Text = detections.Text{ZH: cmp.Or(f.Text.ZH, g.Text.ZH), EN: cmp.Or(f.Text.EN, g.Text.EN)}
	f.Title = detections.Text{ZH: cmp.Or(f.Title.ZH, g.Title.ZH), EN: cmp.Or(f.Title.EN, g.Title.EN)}
	f.Solution = detections.Text{ZH: cmp.Or(f.Solution.ZH, g.Solution.ZH), EN: cmp.Or(f.Solution.EN, g.Solution.EN)}
	if g.Evidence != "" {
		f.Evidence = g.Evidence
	}
}

// takeAll writes what was found.
func (s *Service) takeAll(ctx context.Context, tx bun.Tx, found map[string]*Finding, facts map[string]reach.Kept, how Take, change string, now time.Time, out *Taken) error {
	ids := make([]string, 0, len(found))
	for id := range found {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	for part := range slices.Chunk(ids, 300) {
		had, err := s.rows(ctx, tx, reach.All(), part)
		if err != nil {
			return err
		}
		w := writing{change: change, actor: how.Actor, at: now}
		for _, id := range part {
			f := found[id]
			old := had[id]
			if old == nil {
				out.New++
				f.rate()
				if how.Quiet {
					f.FirstSeen = now // it may be known of an old inventory since today
				}
				f.Due = s.Policy().due(f)
				if err := w.put(f, nil, facts[id], 0, "found", f.Engines[0]); err != nil {
					return err
				}
				continue
			}
			out.Again++
			was, err := old.unpack(now)
			if err != nil {
				return err
			}
			next := was
			next.Engines, next.Checks = slices.Clone(was.Engines), slices.Clone(was.Checks)
			if slices.Equal(was.Engines, f.Engines) {
				// Its only engine may know more by now, such as a version that repairs it.
				next.Solution = detections.Text{ZH: cmp.Or(f.Solution.ZH, was.Solution.ZH), EN: cmp.Or(f.Solution.EN, was.Solution.EN)}
			}
			if how.Quiet {
				f.FirstSeen = was.FirstSeen
			}
			next.join(f)
			next.Item, next.Name, next.System, next.Unit, next.exposure, next.criticality = f.Item, f.Name, f.System, f.Unit, f.exposure, f.criticality
			next.Owner = cmp.Or(was.Owner, f.Owner)
			if len(f.Aliases) > 0 {
				next.Aliases, next.Class = f.Aliases, f.Class
			}
			action, reminded := "seen", old.Reminded
			newer := f.LastSeen.After(was.LastSeen)
			if newer && (was.State == Closed || was.State == Fixed) {
				action = "came back"
				if was.State == Closed {
					out.Reopened++
					next.FirstSeen = f.LastSeen // its deadline begins anew
				}
				next.State, next.Closed, reminded = StateOpen, time.Time{}, 0
				next.Reopened++
			}
			next.rate()
			next.Due = s.Policy().due(&next)
			if how.Quiet && action == "seen" {
				if err := w.quiet(&was, &next, old, facts[id]); err != nil {
					return err
				}
				continue
			}
			if err := w.put(&next, old, facts[id], reminded, action, f.Engines[0]); err != nil {
				return err
			}
		}
		if err := w.flush(ctx, tx); err != nil {
			return err
		}
	}
	return nil
}

// sweep looks for what an engine no longer reports where it looked.
func (s *Service) sweep(ctx context.Context, tx bun.Tx, found map[string]*Finding, how Take, change string, now time.Time, out *Taken) error {
	if len(how.Complete) == 0 || how.Engine == "" {
		return nil
	}
	for part := range slices.Chunk(how.Complete, 200) {
		byZone := map[string][]string{}
		var items []string
		for _, p := range part {
			if p.Item != "" {
				items = append(items, p.Item)
				continue
			}
			byZone[p.Zone] = append(byZone[p.Zone], p.Host)
		}
		if len(items) > 0 {
			if err := s.missed(ctx, tx, found, how, change, now, out, func(q *bun.SelectQuery) *bun.SelectQuery { return q.Where("f.item_id IN (?)", bun.In(items)) }); err != nil {
				return err
			}
		}
		for zone, hosts := range byZone {
			if err := s.missed(ctx, tx, found, how, change, now, out, func(q *bun.SelectQuery) *bun.SelectQuery {
				if how.Sure {
					q = q.Where("f.tenant = ? AND f.item_id = ''", how.Tenant)
				}
				return q.Where("f.zone = ? AND f.host IN (?)", zone, bun.In(hosts))
			}); err != nil {
				return err
			}
		}
	}
	return nil
}

// missed changes the findings of an engine at places that it did not report again.
func (s *Service) missed(ctx context.Context, tx bun.Tx, found map[string]*Finding, how Take, change string, now time.Time, out *Taken, at func(*bun.SelectQuery) *bun.SelectQuery) error {
	only, err := json.Marshal([]string{how.Engine})
	if err != nil {
		return err
	}
	var rows []row
	q := at(tx.NewSelect().Model(&rows)).Where("f.state IN (?)", bun.In(counting))
	if how.Sure {
		q = q.Where("f.engines LIKE ? ESCAPE '!'", `%"`+escape.Replace(how.Engine)+`"%`)
	} else {
		q = q.Where("f.engines = ?", string(only))
	}
	if err := how.Within.Within(q, "f").Scan(ctx); err != nil {
		return fmt.Errorf("finding: what is no longer reported: %w", err)
	}
	w := writing{change: change, actor: how.Actor, at: now}
	for i := range rows {
		if found[rows[i].ID] != nil || slices.Contains(how.Unsure, rows[i].Weakness) {
			continue
		}
		f, err := rows[i].unpack(now)
		if err != nil {
			return err
		}
		action := "no longer reported"
		switch {
		case len(f.Engines) > 1:
			f.Engines = slices.DeleteFunc(f.Engines, func(e string) bool { return e == how.Engine })
			f.Checks = slices.DeleteFunc(f.Checks, func(c string) bool { return strings.HasPrefix(c, how.Engine+":") })
		case f.State == Fixed:
			f.State, f.Closed, action = Closed, now, "re-tested: gone"
			out.Gone++
		case how.Sure:
			f.State, f.Closed, action = Closed, now, "gone"
			out.Gone++
		default:
			f.State = Fixed
			out.Gone++
		}
		if err := w.put(&f, &rows[i], rows[i].Kept, rows[i].Reminded, action, how.Engine); err != nil {
			return err
		}
	}
	return w.flush(ctx, tx)
}
