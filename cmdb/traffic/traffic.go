// Package traffic proposes relations between items from what their flows show:
// who talks to whom, at which port, since when and how much. A proposal waits
// until somebody makes a relation of it or says no; the relation goes by the
// origin "traffic" and so is told apart from one made by hand. Nothing of the
// topology changes by itself.
//
// It asks the lake every few minutes for the sums of the flows since, and adds
// them up: an end is the item at the address in the flow's network zone, so
// equal addresses of two zones are two items. Proposals that nobody decided on
// are forgotten once their traffic is long over; accepted ones are marked as
// silent, for somebody to look at.
//
// All of them together are the topology of who talks to whom. How much it was is
// kept for each of the last days too, so that the topology of a day or a week can
// be asked for, and people write beside an edge what they know of it.
package traffic

import (
	"cmp"
	"context"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/uptrace/bun"

	"icewatch/cmdb"
	"icewatch/soc/flows/ports"
	"icewatch/soc/reach"
	"icewatch/soc/search"
)

//go:embed migrations/*.sql
var migrations embed.FS

//go:embed postgres/*.sql
var postgresMigrations embed.FS

// The states of a proposal.
const (
	Waiting  = "waiting"
	Accepted = "accepted"
	Rejected = "rejected"
)

var (
	// ErrInvalid says that a decision or a policy makes no sense.
	ErrInvalid = errors.New("traffic: invalid")
	// ErrNotFound says that there is no such proposal, or none between items
	// within reach.
	ErrNotFound = errors.New("traffic: no such proposal")
)

const (
	every       = 5 * time.Minute // between two looks
	longest     = 6 * time.Hour   // of one look, where the suite was down
	maxRows     = 20_000          // of one question to the lake, the largest by bytes
	maxWaiting  = 100_000         // proposals that wait; those beyond are not taken
	maxServices = 50              // of one proposal
	maxChosen   = 1_000           // of one decision
	// MaxDays is for how many days it is kept how much it was on each.
	MaxDays = 31
	chunk   = 200
)

// Policy says what is proposed. It is a setting.
type Policy struct {
	Enabled    bool  `json:"enabled" doc:"Flows are looked at"`
	Delay      int   `json:"delay_seconds" minimum:"0" maximum:"3600" doc:"So old are flows when they are looked at: those that come later are not counted"`
	MinFlows   int64 `json:"min_flows" minimum:"1" maximum:"1000000" doc:"Proposals with fewer flows are not listed as waiting"`
	SilentDays int   `json:"silent_days" minimum:"1" maximum:"3650" doc:"An accepted one without traffic for so long is marked"`
	ForgetDays int   `json:"forget_days" minimum:"1" maximum:"3650" doc:"A waiting one without traffic for so long is forgotten"`
}

// DefaultPolicy proposes what talked at least three times.
var DefaultPolicy = Policy{Enabled: true, Delay: 120, MinFlows: 3, SilentDays: 30, ForgetDays: 90}

// Check refuses a policy that makes no sense.
func (p Policy) Check() error {
	for _, x := range []struct {
		name              string
		value, from, upTo int64
	}{{"delay_seconds", int64(p.Delay), 0, 3600}, {"min_flows", p.MinFlows, 1, 1_000_000}, {"silent_days", int64(p.SilentDays), 1, 3650}, {"forget_days", int64(p.ForgetDays), 1, 3650}} {
		if x.value < x.from || x.value > x.upTo {
			return fmt.Errorf("%s: %d: want %d to %d", x.name, x.value, x.from, x.upTo)
		}
	}
	return nil
}

// Service is what one item asks another for.
type Service struct {
	Port      int       `json:"port"`
	Protocol  string    `json:"protocol" doc:"tcp, udp, or IANA's number"`
	Name      string    `json:"name,omitempty" doc:"By the port alone"`
	FirstSeen time.Time `json:"first_seen"`
	LastSeen  time.Time `json:"last_seen"`
	Flows     int64     `json:"flows"`
	Bytes     int64     `json:"bytes"`
}

// Proposal is a relation that traffic shows.
type Proposal struct {
	ID        int64      `json:"id"`
	From      cmdb.Ref   `json:"from" doc:"The item that asks"`
	To        cmdb.Ref   `json:"to" doc:"The item that serves"`
	Zone      string     `json:"zone"`
	Services  []Service  `json:"services" nullable:"false" doc:"The largest first, at most 50"`
	FirstSeen time.Time  `json:"first_seen"`
	LastSeen  time.Time  `json:"last_seen"`
	Flows     int64      `json:"flows"`
	Bytes     int64      `json:"bytes"`
	State     string     `json:"state" enum:"waiting,accepted,rejected"`
	Silent    bool       `json:"silent" doc:"Accepted, and without traffic for longer than the policy says"`
	Type      string     `json:"type,omitempty" doc:"Of the relation that was made"`
	DecidedBy string     `json:"decided_by,omitempty"`
	DecidedAt *time.Time `json:"decided_at,omitempty"`
	Note      string     `json:"note,omitempty"`

	FromSystem  *cmdb.Ref  `json:"from_system,omitempty" doc:"Business system of the item that asks, where it is within reach"`
	ToSystem    *cmdb.Ref  `json:"to_system,omitempty"`
	Annotation  string     `json:"annotation,omitempty" doc:"What somebody wrote beside it"`
	AnnotatedBy string     `json:"annotated_by,omitempty"`
	AnnotatedAt *time.Time `json:"annotated_at,omitempty"`
}

// Day is how much went over an edge on a day of the server's zone.
type Day struct {
	Day   string `json:"day" format:"date"`
	Flows int64  `json:"flows"`
	Bytes int64  `json:"bytes"`
}

type row struct {
	bun.BaseModel `bun:"table:cmdb_traffic,alias:p"`
	ID            int64  `bun:"id,pk,autoincrement"`
	From          string `bun:"from_item"`
	To            string `bun:"to_item"`
	Zone          string `bun:"zone"`
	Services      string `bun:"services"`
	FirstSeen     int64  `bun:"first_seen"`
	LastSeen      int64  `bun:"last_seen"`
	Flows         int64  `bun:"flows"`
	Bytes         int64  `bun:"bytes"`
	State         string `bun:"state"`
	Type          string `bun:"type"`
	DecidedBy     string `bun:"decided_by"`
	DecidedAt     int64  `bun:"decided_at"`
	Note          string `bun:"note"`
	Annotation    string `bun:"annotation"`
	AnnotatedBy   string `bun:"annotated_by"`
	AnnotatedAt   int64  `bun:"annotated_at"`

	days []dayRow // to be added
}

type dayRow struct {
	bun.BaseModel `bun:"table:cmdb_traffic_days,alias:d"`
	Proposal      int64 `bun:"proposal,pk"`
	Day           int64 `bun:"day,pk"`
	Flows         int64 `bun:"flows"`
	Bytes         int64 `bun:"bytes"`
}

// dayOf is the day of the server's zone that a moment is of.
func dayOf(t time.Time) int64 {
	y, m, d := t.Local().Date()
	return time.Date(y, m, d, 0, 0, 0, 0, time.UTC).Unix() / (24 * 60 * 60)
}

type placeRow struct {
	bun.BaseModel `bun:"table:cmdb_traffic_place"`
	ID            int   `bun:"id,pk"`
	Place         int64 `bun:"place"`
}

// Lake is what is asked of the events.
type Lake interface {
	Query(ctx context.Context, req search.Request, emit func(row []byte) error) error
}

// Items is what is asked of the CMDB.
type Items interface {
	Database() *cmdb.Database
	At(ctx context.Context, places []cmdb.ZonedAddress) (map[cmdb.ZonedAddress]string, error)
	RelateTraffic(ctx context.Context, r reach.Reach, actor string, links []cmdb.Link) (int, error)
	Unrelate(ctx context.Context, r reach.Reach, actor string, l cmdb.Link) error
}

// Deps is what the room needs.
type Deps struct {
	Lake   Lake
	Items  Items
	Policy func() Policy
	Log    *slog.Logger     // default slog.Default()
	Now    func() time.Time // default time.Now
}

// Watch keeps the proposals. It is safe for concurrent use.
type Watch struct {
	db      *cmdb.Database
	deps    Deps
	looking sync.Mutex
}

// Open brings the tables up to date. The CMDB's own must be there already.
func Open(ctx context.Context, deps Deps) (*Watch, error) {
	db := deps.Items.Database()
	if err := db.Migrate(ctx, "cmdb_traffic", migrations, postgresMigrations); err != nil {
		return nil, fmt.Errorf("traffic: %w", err)
	}
	if deps.Log == nil {
		deps.Log = slog.Default()
	}
	if deps.Now == nil {
		deps.Now = time.Now
	}
	return &Watch{db: db, deps: deps}, nil
}

// Run looks at flows until ctx ends.
func (w *Watch) Run(ctx context.Context) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		// That search is away is told by who watches it.
		if err := w.Look(ctx); err != nil && ctx.Err() == nil && !errors.Is(err, search.ErrUnavailable) {
			w.deps.Log.Warn("relations could not be proposed from traffic; it is tried again", "error", err)
		}
	}
}

// Look adds up the flows since the last time, and forgets what is long over.
func (w *Watch) Look(ctx context.Context) error {
	policy := w.deps.Policy()
	if !policy.Enabled {
		return nil
	}
	w.looking.Lock()
	defer w.looking.Unlock()
	now := w.deps.Now()
	until := now.Add(-time.Duration(policy.Delay) * time.Second).Truncate(time.Second)
	var places []placeRow
	if err := w.db.NewSelect().Model(&places).Scan(ctx); err != nil {
		return fmt.Errorf("traffic: read up to where flows were looked at: %w", err)
	}
	from := until.Add(-every)
	if len(places) > 0 {
		from = time.UnixMilli(places[0].Place)
	}
	if from.Before(until.Add(-longest)) {
		from = until.Add(-longest)
	}
	if !from.Before(until) {
		return nil
	}
	seen, err := w.seen(ctx, from, until)
	if err != nil {
		return err
	}
	err = w.db.Change(ctx, func(ctx context.Context, tx bun.Tx) error {
		if err := note(ctx, tx, seen); err != nil {
			return err
		}
		over := now.AddDate(0, 0, -policy.ForgetDays).UnixMilli()
		if _, err := tx.NewDelete().Model((*row)(nil)).Where("state = ? AND last_seen < ?", Waiting, over).Exec(ctx); err != nil {
			return err
		}
		// What an item was part of that is gone is gone with it.
		gone := "NOT EXISTS (SELECT 1 FROM cmdb_items AS i WHERE i.id = cmdb_traffic.from_item) OR NOT EXISTS (SELECT 1 FROM cmdb_items AS i WHERE i.id = cmdb_traffic.to_item)"
		if _, err := tx.NewDelete().Table("cmdb_traffic").Where(gone).Exec(ctx); err != nil {
			return err
		}
		if _, err := tx.NewDelete().Model((*dayRow)(nil)).Where("d.day <= ?", dayOf(now)-MaxDays).Exec(ctx); err != nil {
			return err
		}
		place := placeRow{ID: 1, Place: until.UnixMilli()}
		_, err := tx.NewInsert().Model(&place).On("CONFLICT (id) DO UPDATE").Set("place = EXCLUDED.place").Exec(ctx)
		return err
	})
	if err != nil {
		return fmt.Errorf("traffic: note what was seen: %w", err)
	}
	return nil
}

// ends are the two items of a proposal.
type ends struct{ from, to, zone string }

func (r *row) ends() ends { return ends{r.From, r.To, r.Zone} }

// pair is what one look saw between two items.
type pair struct {
	ends
	services []Service
}

// question sums up flows by who asks whom for what.
const question = `"event.dataset":in("flow.netflow","flow.ipfix","flow.sflow","flow.sensor") "client.ip":* "server.ip":*` +
	` | stats by ("icewatch.zone", "client.ip", "server.ip", "server.port", "network.iana_number") sum("icewatch.flow.bytes") bytes, count() flows, min(_time) first, max(_time) last` +
	` | sort by (bytes desc, "client.ip", "server.ip", "server.port") limit `

// seen asks the lake what items said to each other.
func (w *Watch) seen(ctx context.Context, from, until time.Time) ([]pair, error) {
	type flow struct {
		client, server cmdb.ZonedAddress
		Service
	}
	var list []flow
	places := map[cmdb.ZonedAddress]bool{}
	req := search.Request{Reach: reach.All(), Query: question + strconv.Itoa(maxRows), Start: from, End: until, Limit: maxRows}
	err := w.deps.Lake.Query(ctx, req, func(raw []byte) error {
		var fields map[string]string
		if err := json.Unmarshal(raw, &fields); err != nil {
			return fmt.Errorf("row %.200q: %w", raw, err)
		}
		client, server, s, ok := read(fields)
		if ok {
			list = append(list, flow{client, server, s})
			places[client], places[server] = true, true
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("traffic: ask the lake for flows: %w", err)
	}
	asked := make([]cmdb.ZonedAddress, 0, len(places))
	for p := range places {
		asked = append(asked, p)
	}
	at, err := w.deps.Items.At(ctx, asked)
	if err != nil {
		return nil, err
	}
	found := map[ends][]Service{}
	for _, f := range list {
		k := ends{at[f.client], at[f.server], f.client.Zone}
		if k.from != "" && k.to != "" && k.from != k.to {
			found[k] = append(found[k], f.Service)
		}
	}
	out := make([]pair, 0, len(found))
	for k, services := range found {
		out = append(out, pair{k, services})
	}
	slices.SortFunc(out, func(a, b pair) int {
		return cmp.Or(cmp.Compare(a.from, b.from), cmp.Compare(a.to, b.to), cmp.Compare(a.zone, b.zone))
	})
	return out, nil
}

// protocols are IANA's numbers that have a name here.
var protocols = map[string]string{"1": "icmp", "6": "tcp", "17": "udp", "58": "ipv6-icmp", "132": "sctp"}

// read makes a service between two places of a row of the lake; a row that is
// none is passed over.
func read(fields map[string]string) (client, server cmdb.ZonedAddress, s Service, ok bool) {
	zone := cmp.Or(fields["icewatch.zone"], cmdb.DefaultZone)
	for _, x := range []struct {
		field string
		place *cmdb.ZonedAddress
	}{{"client.ip", &client}, {"server.ip", &server}} {
		a, err := netip.ParseAddr(fields[x.field])
		if err != nil {
			return client, server, s, false
		}
		*x.place = cmdb.ZonedAddress{Zone: zone, Address: a.WithZone("").Unmap().String()}
	}
	var errs [4]error
	s.Flows, errs[0] = strconv.ParseInt(fields["flows"], 10, 64)
	s.FirstSeen, errs[1] = time.Parse(time.RFC3339Nano, fields["first"])
	s.LastSeen, errs[2] = time.Parse(time.RFC3339Nano, fields["last"])
	var bytes float64
	bytes, errs[3] = strconv.ParseFloat(cmp.Or(fields["bytes"], "0"), 64)
	if bytes > 0 && bytes < 1e18 {
		s.Bytes = int64(bytes)
	}
	s.Port, _ = strconv.Atoi(fields["server.port"]) // ICMP has none
	s.Protocol = cmp.Or(protocols[fields["network.iana_number"]], fields["network.iana_number"])
	return client, server, s, errors.Join(errs[:]...) == nil && s.Port >= 0 && s.Port < 1<<16
}

// note adds what was seen to the proposals.
func note(ctx context.Context, tx bun.Tx, seen []pair) error {
	n, err := tx.NewSelect().Model((*row)(nil)).Where("state = ?", Waiting).Count(ctx)
	if err != nil {
		return err
	}
	waiting := int(n)
	for part := range slices.Chunk(seen, chunk) {
		keys := make([][]any, len(part))
		for i, p := range part {
			keys[i] = []any{p.from, p.to, p.zone}
		}
		var rows []row
		if err := tx.NewSelect().Model(&rows).Where("(from_item, to_item, zone) IN (?)", bun.In(keys)).Scan(ctx); err != nil {
			return err
		}
		had := make(map[ends]*row, len(rows))
		for i := range rows {
			had[rows[i].ends()] = &rows[i]
		}
		var fresh []row
		var days []dayRow
		for _, p := range part {
			r := had[p.ends]
			if r == nil && waiting+len(fresh) >= maxWaiting {
				continue
			}
			if r == nil {
				fresh = append(fresh, row{From: p.from, To: p.to, Zone: p.zone, State: Waiting})
				r = &fresh[len(fresh)-1]
			}
			if err := r.add(p.services); err != nil {
				return err
			}
			if r.ID == 0 {
				continue
			}
			days = append(days, r.days...)
			if _, err := tx.NewUpdate().Model(r).Column("services", "first_seen", "last_seen", "flows", "bytes").WherePK().Exec(ctx); err != nil {
				return err
			}
		}
		if len(fresh) > 0 {
			of := make(map[ends][]dayRow, len(fresh))
			for i := range fresh {
				of[fresh[i].ends()] = fresh[i].days
			}
			// Rows may be returned in any order: each says which it is.
			if _, err := tx.NewInsert().Model(&fresh).Returning("id, from_item, to_item, zone").Exec(ctx); err != nil {
				return err
			}
			waiting += len(fresh)
			for i := range fresh {
				for _, d := range of[fresh[i].ends()] {
					d.Proposal = fresh[i].ID
					days = append(days, d)
				}
			}
		}
		for some := range slices.Chunk(days, chunk) {
			_, err := tx.NewInsert().Model(&some).On("CONFLICT (proposal, day) DO UPDATE").Set("flows = d.flows + EXCLUDED.flows").Set("bytes = d.bytes + EXCLUDED.bytes").Returning("NULL").Exec(ctx)
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// add adds services to those of a row; of too many the smallest go.
func (r *row) add(list []Service) error {
	var have []Service
	if r.Services != "" {
		if err := json.Unmarshal([]byte(r.Services), &have); err != nil {
			return fmt.Errorf("proposal %d: %w", r.ID, err)
		}
	}
	for _, s := range list {
		r.Flows, r.Bytes = r.Flows+s.Flows, r.Bytes+s.Bytes
		if first := s.FirstSeen.UnixMilli(); r.FirstSeen == 0 || first < r.FirstSeen {
			r.FirstSeen = first
		}
		r.LastSeen = max(r.LastSeen, s.LastSeen.UnixMilli())
		r.onDay(dayOf(s.LastSeen), s.Flows, s.Bytes)
		i := slices.IndexFunc(have, func(h Service) bool { return h.Port == s.Port && h.Protocol == s.Protocol })
		if i < 0 {
			s.Name = ports.Name(uint16(s.Port))
			have = append(have, s)
			continue
		}
		h := &have[i]
		h.Flows, h.Bytes = h.Flows+s.Flows, h.Bytes+s.Bytes
		if s.FirstSeen.Before(h.FirstSeen) {
			h.FirstSeen = s.FirstSeen
		}
		if s.LastSeen.After(h.LastSeen) {
			h.LastSeen = s.LastSeen
		}
	}
	slices.SortFunc(have, func(a, b Service) int {
		return cmp.Or(cmp.Compare(b.Bytes, a.Bytes), cmp.Compare(a.Port, b.Port), cmp.Compare(a.Protocol, b.Protocol))
	})
	text, err := json.Marshal(have[:min(len(have), maxServices)])
	r.Services = string(text)
	return err
}

// onDay adds to what it was on a day.
func (r *row) onDay(day, flows, bytes int64) {
	i := slices.IndexFunc(r.days, func(d dayRow) bool { return d.Day == day })
	if i < 0 {
		r.days = append(r.days, dayRow{Proposal: r.ID, Day: day})
		i = len(r.days) - 1
	}
	r.days[i].Flows, r.days[i].Bytes = r.days[i].Flows+flows, r.days[i].Bytes+bytes
}
