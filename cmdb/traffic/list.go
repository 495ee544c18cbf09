package traffic

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/uptrace/bun"

	"icewatch/cmdb"
	"icewatch/soc/reach"
)

// Query narrows a list of proposals. Empty fields do not narrow.
type Query struct {
	State     string // one of the states
	Item      string // id of one of the two items
	System    string // id of the business system of one of the two items
	Zone      string
	Port      int    // served at
	Protocol  string // tcp, udp, or IANA's number
	Text      string // part of an item's name or id, or of the annotation, whatever the case
	MinBytes  int64
	Days      int  // those with traffic in so many days, today being one, by what it was in them; 0 for all time, at most MaxDays
	Silent    bool // accepted ones without traffic for long
	Annotated bool
	Sort      string // bytes, flows or last_seen, a minus before it for the largest first; the newest first otherwise
	Limit     int
	Cursor    string // Next of the page before
}

// Page is one page of proposals.
type Page struct {
	Proposals []Proposal
	Total     int
	Next      string
}

// lineRow is a proposal with its ends as they are called now.
type lineRow struct {
	row        `bun:",extend"`
	FromClass  string `bun:"from_class"`
	FromName   string `bun:"from_name"`
	FromSystem string `bun:"from_system"`
	ToClass    string `bun:"to_class"`
	ToName     string `bun:"to_name"`
	ToSystem   string `bun:"to_system"`
	DayFlows   int64  `bun:"day_flows"`
	DayBytes   int64  `bun:"day_bytes"`
}

// between narrows proposals to those both of whose items are in reach.
func between(r reach.Reach, q *bun.SelectQuery) *bun.SelectQuery {
	q = q.Join("JOIN cmdb_items AS a ON a.id = p.from_item").Join("JOIN cmdb_items AS b ON b.id = p.to_item")
	return r.Within(r.Within(q, "a"), "b")
}

func (w *Watch) silentSince() int64 {
	return w.deps.Now().AddDate(0, 0, -w.deps.Policy().SilentDays).UnixMilli()
}

// order is how a list is sorted.
type order struct {
	column string
	desc   bool
}

func (q *Query) order() (order, error) {
	name, desc := strings.CutPrefix(q.Sort, "-")
	columns := map[string]string{"": "p.id", "bytes": "p.bytes", "flows": "p.flows", "last_seen": "p.last_seen"}
	if q.Days > 0 {
		columns["bytes"], columns["flows"] = "dd.bytes", "dd.flows"
	}
	column, ok := columns[name]
	if !ok {
		return order{}, fmt.Errorf("%w: sort %q: want bytes, flows or last_seen, a minus before it for the largest first", ErrInvalid, q.Sort)
	}
	return order{column, desc || name == ""}, nil
}

// services matches the services of a proposal as their JSON has them.
func (q *Query) services() string {
	protocol, _ := json.Marshal(q.Protocol)
	switch {
	case q.Port > 0 && q.Protocol != "":
		return fmt.Sprintf(`"port":%d,"protocol":%s,`, q.Port, protocol)
	case q.Port > 0:
		return fmt.Sprintf(`"port":%d,`, q.Port)
	case q.Protocol != "":
		return fmt.Sprintf(`"protocol":%s,`, protocol)
	}
	return ""
}

func (w *Watch) narrow(r reach.Reach, q *Query, s *bun.SelectQuery) *bun.SelectQuery {
	s = between(r, s)
	if q.Days > 0 {
		s = s.Join("JOIN (SELECT proposal, CAST(sum(flows) AS BIGINT) AS flows, CAST(sum(bytes) AS BIGINT) AS bytes FROM cmdb_traffic_days WHERE day > ? GROUP BY proposal) AS dd ON dd.proposal = p.id", dayOf(w.deps.Now())-int64(q.Days))
	}
	if q.State != "" {
		s = s.Where("p.state = ?", q.State)
	}
	s = s.Where("(p.state <> ? OR p.flows >= ?)", Waiting, w.deps.Policy().MinFlows)
	if q.Item != "" {
		s = s.Where("(p.from_item = ? OR p.to_item = ?)", q.Item, q.Item)
	}
	if q.System != "" {
		s = s.Where("(a.system_id = ? OR b.system_id = ?)", q.System, q.System)
	}
	if q.Zone != "" {
		s = s.Where("p.zone = ?", q.Zone)
	}
	if part := q.services(); part != "" {
		s = s.Where("instr(p.services, ?) > 0", part)
	}
	for _, word := range strings.Fields(strings.ToLower(q.Text)) {
		s = s.Where("instr(lower(a.name || ' ' || a.id || ' ' || b.name || ' ' || b.id || ' ' || p.annotation), ?) > 0", word)
	}
	if q.MinBytes > 0 && q.Days > 0 {
		s = s.Where("dd.bytes >= ?", q.MinBytes)
	} else if q.MinBytes > 0 {
		s = s.Where("p.bytes >= ?", q.MinBytes)
	}
	if q.Silent {
		s = s.Where("p.state = ? AND p.last_seen < ?", Accepted, w.silentSince())
	}
	if q.Annotated {
		s = s.Where("p.annotation <> ''")
	}
	return s
}

// List lists proposals between items in reach, the newest first unless asked
// otherwise.
func (w *Watch) List(ctx context.Context, r reach.Reach, q Query) (Page, error) {
	out := Page{Proposals: []Proposal{}}
	o, err := q.order()
	if err != nil {
		return out, err
	}
	if q.Days < 0 || q.Days > MaxDays || q.Port < 0 || q.Port >= 1<<16 || q.MinBytes < 0 {
		return out, fmt.Errorf("%w: %d days, port %d, %d bytes: want 0 to %d days, a port of 0 to 65535, and no less than 0 bytes", ErrInvalid, q.Days, q.Port, q.MinBytes, MaxDays)
	}
	n, err := w.narrow(r, &q, w.db.NewSelect().Model((*row)(nil))).Count(ctx)
	if err != nil {
		return out, fmt.Errorf("traffic: count proposals: %w", err)
	}
	out.Total = int(n)
	var rows []lineRow
	s := w.narrow(r, &q, w.db.NewSelect().Model(&rows).
		ColumnExpr("p.*, a.class AS from_class, a.name AS from_name, coalesce(a.system_id, '') AS from_system, b.class AS to_class, b.name AS to_name, coalesce(b.system_id, '') AS to_system"))
	if q.Days > 0 {
		s = s.ColumnExpr("dd.flows AS day_flows, dd.bytes AS day_bytes")
	}
	way, beyond := "ASC", ">"
	if o.desc {
		way, beyond = "DESC", "<"
	}
	if q.Cursor != "" {
		value, id, err := readCursor(q.Cursor)
		if err != nil {
			return out, err
		}
		s = s.Where("(?, p.id) "+beyond+" (?, ?)", bun.Safe(o.column), value, id)
	}
	if err := s.OrderExpr("? "+way+", p.id "+way, bun.Safe(o.column)).Limit(int64(q.Limit) + 1).Scan(ctx); err != nil {
		return out, fmt.Errorf("traffic: list proposals: %w", err)
	}
	more := len(rows) > q.Limit
	rows = rows[:min(len(rows), q.Limit)]
	for i := range rows {
		if q.Days > 0 {
			rows[i].Flows, rows[i].Bytes = rows[i].DayFlows, rows[i].DayBytes
		}
		p, err := w.told(&rows[i])
		if err != nil {
			return out, err
		}
		out.Proposals = append(out.Proposals, p)
	}
	if more {
		last := &rows[q.Limit-1]
		value := map[string]int64{"p.id": last.ID, "p.last_seen": last.LastSeen}[o.column]
		switch o.column {
		case "p.bytes", "dd.bytes":
			value = last.Bytes
		case "p.flows", "dd.flows":
			value = last.Flows
		}
		out.Next = strconv.FormatInt(value, 10) + ":" + strconv.FormatInt(last.ID, 10)
	}
	return out, w.nameSystems(ctx, r, rows, out.Proposals)
}

func readCursor(s string) (value, id int64, err error) {
	first, second, _ := strings.Cut(s, ":")
	if value, err = strconv.ParseInt(first, 10, 64); err == nil {
		id, err = strconv.ParseInt(second, 10, 64)
	}
	if err != nil {
		return 0, 0, fmt.Errorf("%w: cursor %q: it is not one that this list gave", ErrInvalid, s)
	}
	return value, id, nil
}

// nameSystems says which systems the items are of, where these are in reach.
func (w *Watch) nameSystems(ctx context.Context, r reach.Reach, rows []lineRow, list []Proposal) error {
	names := map[string]*cmdb.Ref{}
	for i := range rows {
		names[rows[i].FromSystem], names[rows[i].ToSystem] = nil, nil
	}
	delete(names, "")
	for part := range slices.Chunk(slices.Sorted(maps.Keys(names)), chunk) {
		var found []struct {
			ID    string `bun:"id"`
			Class string `bun:"class"`
			Name  string `bun:"name"`
		}
		if err := r.Within(w.db.NewSelect().TableExpr("cmdb_items AS i").Column("i.id", "i.class", "i.name"), "i").Where("i.id IN (?)", bun.In(part)).Scan(ctx, &found); err != nil {
			return fmt.Errorf("traffic: read the systems: %w", err)
		}
		for _, f := range found {
			names[f.ID] = &cmdb.Ref{ID: f.ID, Class: f.Class, Name: f.Name}
		}
	}
	for i := range rows {
		list[i].FromSystem, list[i].ToSystem = names[rows[i].FromSystem], names[rows[i].ToSystem]
	}
	return nil
}

func (w *Watch) told(r *lineRow) (Proposal, error) {
	p := Proposal{ID: r.ID, From: cmdb.Ref{ID: r.From, Class: r.FromClass, Name: r.FromName}, To: cmdb.Ref{ID: r.To, Class: r.ToClass, Name: r.ToName}, Zone: r.Zone,
		FirstSeen: time.UnixMilli(r.FirstSeen).UTC(), LastSeen: time.UnixMilli(r.LastSeen).UTC(), Flows: r.Flows, Bytes: r.Bytes,
		State: r.State, Type: r.Type, DecidedBy: r.DecidedBy, Note: r.Note, Silent: r.State == Accepted && r.LastSeen < w.silentSince(),
		Annotation: r.Annotation, AnnotatedBy: r.AnnotatedBy, DecidedAt: moment(r.DecidedAt), AnnotatedAt: moment(r.AnnotatedAt)}
	if err := json.Unmarshal([]byte(r.Services), &p.Services); err != nil {
		return p, fmt.Errorf("traffic: proposal %d: %w", r.ID, err)
	}
	return p, nil
}

// moment is a time as rows have it, nil where there is none.
func moment(ms int64) *time.Time {
	if ms == 0 {
		return nil
	}
	at := time.UnixMilli(ms).UTC()
	return &at
}

// Days tells how much went over an edge between items in reach on each of the
// last days, the oldest first, those without traffic too.
func (w *Watch) Days(ctx context.Context, r reach.Reach, id int64) ([]Day, error) {
	if _, err := w.chosen(ctx, r, []int64{id}); err != nil {
		return nil, err
	}
	last := dayOf(w.deps.Now())
	var rows []dayRow
	if err := w.db.NewSelect().Model(&rows).Where("d.proposal = ? AND d.day > ?", id, last-MaxDays).Scan(ctx); err != nil {
		return nil, fmt.Errorf("traffic: read the days of %d: %w", id, err)
	}
	out := make([]Day, MaxDays)
	for i := range out {
		out[i].Day = time.Unix((last-MaxDays+1+int64(i))*24*60*60, 0).UTC().Format(time.DateOnly)
	}
	for _, d := range rows {
		if i := d.Day - last + MaxDays - 1; i >= 0 && i < MaxDays {
			out[i].Flows, out[i].Bytes = d.Flows, d.Bytes
		}
	}
	return out, nil
}
