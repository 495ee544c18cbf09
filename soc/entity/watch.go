package entity

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"time"

	"icewatch/detections"
	"icewatch/soc/reach"
	"icewatch/soc/search"
	"icewatch/soc/tenancy"
)

// RuleID is the rule of the alerts that sightings raise.
const RuleID = "icewatch-watched-entity"

// How sightings are looked for.
const (
	watchEvery  = 30 * time.Second
	settle      = 20 * time.Second // rows of a minute are stored by then
	lookBack    = 15 * time.Minute // events that come late are found within it
	perQuestion = 40               // entities that are asked for together
	perPass     = 60               // minutes with sightings that one entity raises alerts for in a pass
	sampled     = 10               // events that an alert names
	bucketWidth = time.Minute
	formedFor   = 30 * 24 * time.Hour // what the suite judged is watched so long
)

// Confirmed is an attacker of an alert that somebody closed as a true one.
type Confirmed struct {
	Tenant   string
	Attacker detections.Party
	Alert    string // id
	Rule     string // title
	Severity detections.Level
	ClosedAt time.Time
}

// WatchDeps is what watching needs.
type WatchDeps struct {
	Search interface {
		Query(ctx context.Context, req search.Request, emit func(row []byte) error) error
	}
	// Raise hands over a sighting, to become an alert. It returns once that is
	// durable; the same occurrence may be raised again.
	Raise func(ctx context.Context, o detections.Occurrence) error
	// Confirmed lists attackers of alerts closed as true ones after since, the
	// longest closed first, limit at most; nil where the suite forms none.
	Confirmed func(ctx context.Context, since time.Time, limit int) ([]Confirmed, error)
	Log       *slog.Logger
	Clock     func() time.Time // default time.Now
}

// Watch looks for events that name watched entities, and raises alerts of them:
// one for an entity, tenant and minute of event time, which merge while one is
// open. It also forms intelligence of its own: the outside attackers of alerts
// that somebody closed as true ones are judged attackers and watched for 30
// days.
type Watch struct {
	store  *Store
	deps   WatchDeps
	raised map[string]time.Time // occurrences of the last minutes by id, so that they are not raised in each pass
	begun  map[int64]bool       // judgements that were looked for since the start, by seq
}

// NewWatch makes a watch.
func NewWatch(store *Store, deps WatchDeps) *Watch {
	if deps.Clock == nil {
		deps.Clock = time.Now
	}
	if deps.Log == nil {
		deps.Log = slog.Default()
	}
	return &Watch{store: store, deps: deps, raised: map[string]time.Time{}, begun: map[int64]bool{}}
}

// Run watches until ctx ends.
func (w *Watch) Run(ctx context.Context) {
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	for {
		if err := w.Form(ctx); err != nil && ctx.Err() == nil {
			w.deps.Log.Warn("entities: no intelligence is formed at the moment", "error", err)
		}
		if err := w.Pass(ctx); err != nil && ctx.Err() == nil {
			w.deps.Log.Warn("entities: sightings are looked for later", "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// Form judges the attackers of alerts that were confirmed since the last time.
// What a tenant has judged already stays as it is.
func (w *Watch) Form(ctx context.Context) error {
	if w.deps.Confirmed == nil {
		return nil
	}
	since, err := w.store.formed(ctx)
	if err != nil {
		return err
	}
	list, err := w.deps.Confirmed(ctx, since, 500)
	if err != nil {
		return err
	}
	for _, c := range list {
		if c.ClosedAt.After(since) {
			since = c.ClosedAt
		}
		e, err := Read(IP, c.Attacker.IP, "")
		if err != nil || c.Attacker.Item != "" || c.Attacker.Tenant != "" || c.Attacker.Zone != "" {
			continue // none, or a machine of ours: that is for people to judge
		}
		known, err := w.store.Known(ctx, c.Tenant, e)
		if err != nil {
			return err
		}
		if known {
			continue
		}
		until := w.deps.Clock().Add(formedFor)
		_, err = w.store.Judge(ctx, Judgement{Entity: e, Tenant: c.Tenant, Conclusion: "attacker", Risk: riskOf(c.Severity), Tags: []string{}, Watched: true, Until: &until, Alert: c.Alert, Note: c.Rule, By: System})
		if err != nil {
			return err
		}
	}
	if len(list) == 0 {
		return nil
	}
	return w.store.setFormed(ctx, since)
}

func riskOf(l detections.Level) string {
	switch l {
	case detections.Critical, detections.High, detections.Medium:
		return string(l)
	}
	return "low"
}

// reachOf is where a tenant's watched entities are looked for.
func reachOf(tenant string) reach.Reach {
	if tenant == tenancy.City {
		return reach.All()
	}
	return reach.Tenants(tenant)
}

type watched struct {
	row  judgementRow
	from time.Time // of the minutes that were not looked at
}

// Pass looks once for all that is watched.
func (w *Watch) Pass(ctx context.Context) error {
	now := w.deps.Clock()
	var rows []judgementRow
	if err := w.store.asked(&rows).Where("j.newest = 1 AND j.watched = 1 AND (j.until = 0 OR j.until > ?)", now.UnixMilli()).OrderExpr("j.tenant, j.seq").Scan(ctx); err != nil {
		return fmt.Errorf("entity: what is watched: %w", err)
	}
	to := now.Add(-settle).Truncate(bucketWidth)
	for id, at := range w.raised {
		if at.Before(to.Add(-2 * lookBack)) {
			delete(w.raised, id)
		}
	}
	for len(rows) > 0 {
		n := 1
		for n < len(rows) && n < perQuestion && rows[n].Tenant == rows[0].Tenant {
			n++
		}
		if err := w.some(ctx, rows[:n], to); err != nil {
			return err
		}
		rows = rows[n:]
	}
	return nil
}

// some looks for a few entities of one tenant: first for all together, since
// most are not seen most of the time.
func (w *Watch) some(ctx context.Context, rows []judgementRow, to time.Time) error {
	var list []watched
	var parts []string
	earliest := to
	for _, r := range rows {
		from := moment(r.At).Truncate(bucketWidth)
		if r.Through != 0 {
			from = moment(r.Through)
		}
		f := Entity{r.Type, r.Value, r.Zone}.Filter()
		if f == "" || !from.Before(to) {
			continue
		}
		start := from.Add(-lookBack)
		if begun := moment(r.At).Truncate(bucketWidth); start.Before(begun) {
			start = begun
		}
		if start.Before(earliest) {
			earliest = start
		}
		list = append(list, watched{r, from})
		parts = append(parts, "("+f+")")
	}
	if len(list) == 0 {
		return nil
	}
	var rowsFound int
	err := w.deps.Search.Query(ctx, search.Request{Reach: reachOf(rows[0].Tenant), Query: strings.Join(parts, " or ") + " | limit 1", Start: earliest, End: to, Limit: 1},
		func([]byte) error { rowsFound++; return nil })
	if err != nil {
		return fmt.Errorf("entity: look for %d watched entities: %w", len(list), err)
	}
	for _, x := range list {
		if rowsFound == 0 {
			if err := w.store.saw(ctx, x.row.Seq, to, 0, time.Time{}); err != nil {
				return err
			}
			w.begun[x.row.Seq] = true
			continue
		}
		if err := w.one(ctx, x, to); err != nil {
			return err
		}
	}
	return nil
}

// found is a minute in which events name an entity.
type found struct {
	tenant      string
	at          time.Time
	first, last time.Time
	n           int
}

// one raises what is found of one entity.
func (w *Watch) one(ctx context.Context, x watched, to time.Time) error {
	e := Entity{x.row.Type, x.row.Value, x.row.Zone}
	start := x.from.Add(-lookBack)
	if begun := moment(x.row.At).Truncate(bucketWidth); start.Before(begun) {
		start = begun
	}
	within := reachOf(x.row.Tenant)
	var list []found
	err := w.deps.Search.Query(ctx, search.Request{Reach: within, Start: start, End: to, Limit: perPass + 1,
		Query: e.Filter() + ` | stats by (_time:1m, "icewatch.tenant") count() n, min(_time) first, max(_time) last | sort by (_time, "icewatch.tenant") | limit ` + strconv.Itoa(perPass+1)},
		func(row []byte) error {
			var m map[string]string
			if err := json.Unmarshal(row, &m); err != nil {
				return fmt.Errorf("entity: a row of the lake: %w", err)
			}
			f := found{tenant: m["icewatch.tenant"]}
			f.n, _ = strconv.Atoi(m["n"])
			for text, into := range map[string]*time.Time{m["@timestamp"] + m["_time"]: &f.at, m["first"]: &f.first, m["last"]: &f.last} {
				t, err := time.Parse(time.RFC3339Nano, text)
				if err != nil {
					return fmt.Errorf("entity: a time of the lake: %w", err)
				}
				*into = t.UTC()
			}
			list = append(list, f)
			return nil
		})
	if err != nil {
		return fmt.Errorf("entity: count the sightings of %s %q: %w", e.Type, e.Value, err)
	}
	through, events := to, 0
	var last time.Time
	for i, f := range list {
		if i == perPass {
			through = f.at // the rest in the next pass
			break
		}
		sum := sha256.Sum256([]byte(strings.Join([]string{"entity", strconv.FormatInt(x.row.Seq, 10), f.tenant, f.at.Format(time.RFC3339)}, "\x00")))
		id := hex.EncodeToString(sum[:])
		if f.last.After(last) {
			last = f.last
		}
		if _, done := w.raised[id]; done {
			continue
		}
		if w.begun[x.row.Seq] || !f.at.Before(x.from) { // else it was counted before this start
			events += f.n
		}
		o, err := w.sighting(ctx, within, x.row.judgement(), f)
		if err != nil {
			return err
		}
		o.ID = id
		if err := w.deps.Raise(ctx, o); err != nil {
			return fmt.Errorf("entity: raise a sighting of %s %q: %w", e.Type, e.Value, err)
		}
		w.raised[id] = f.at
	}
	w.begun[x.row.Seq] = true
	if !through.After(x.from) {
		through = x.from.Add(bucketWidth) // more late sightings than a pass takes: go on all the same
	}
	return w.store.saw(ctx, x.row.Seq, through, events, last)
}

// sighting is what becomes an alert.
func (w *Watch) sighting(ctx context.Context, within reach.Reach, j Judgement, f found) (detections.Occurrence, error) {
	fields := map[string]string{}
	var ids []string
	err := w.deps.Search.Query(ctx, search.Request{Reach: within, Query: j.Filter() + ` "icewatch.tenant":=` + strconv.Quote(f.tenant), Start: f.at, End: f.at.Add(bucketWidth), Limit: sampled}, func(row []byte) error {
		var m map[string]any
		if err := json.Unmarshal(row, &m); err != nil {
			return fmt.Errorf("entity: a row of the lake: %w", err)
		}
		if id, ok := m["event.id"].(string); ok {
			ids = append([]string{id}, ids...)
		}
		if len(fields) == 0 { // the newest comes first
			for k, v := range m {
				text, ok := v.(string)
				if !ok {
					b, _ := json.Marshal(v) // it was unmarshalled
					text = string(b)
				}
				fields[k] = strings.ToValidUTF8(fmt.Sprintf("%.*s", 4096, text), "")
			}
		}
		return nil
	})
	if err != nil {
		return detections.Occurrence{}, fmt.Errorf("entity: read the sightings of %s %q: %w", j.Type, j.Value, err)
	}
	level := detections.High
	if j.Risk != "" {
		level = detections.Level(j.Risk)
	}
	field, value := "icewatch.entity", j.Value
	for _, x := range Of(j.Type) {
		if v := fields[x.Name]; v == j.Value || strings.EqualFold(v, j.Value) {
			field, value = x.Name, v
			break
		}
	}
	title := detections.Text{ZH: "重点关注对象出现活动", EN: "A watched entity was active"}
	zh, en := conclusionText(j.Conclusion)
	return detections.Occurrence{
		Tenant: f.tenant, Time: f.last, From: f.first, Count: max(f.n, 1), Fields: fields, EventIDs: ids,
		Rule: detections.RuleRef{ID: RuleID, Title: title, Level: level, Kind: "intelligence", Tags: []string{"icewatch.intelligence"},
			Sentence: detections.Text{ZH: fmt.Sprintf("重点关注对象 %s（研判为%s）出现活动", j.Shown(), zh), EN: fmt.Sprintf("%s, which is judged %s and watched, was active", j.Shown(), en)},
			Advice:   detections.Text{ZH: "打开该对象的安全百科页，查看其行为、通信对象和研判记录，确认影响范围。", EN: "Open the entity's page: what it did, whom it met and what was judged of it, and find out how far it got."}},
		Group:    []detections.Pair{{Field: "icewatch.entity.type", Value: string(j.Type)}, {Field: "icewatch.entity.value", Value: j.Value}},
		Evidence: []detections.Match{{Selection: "watched", Field: field, Value: value}},
		Priority: map[detections.Level]string{detections.Critical: "P1", detections.High: "P2", detections.Medium: "P3", detections.Low: "P4"}[level],
		Reasons:  []detections.Text{{ZH: "优先级由研判时给出的风险等级决定", EN: "The priority goes by the level of risk that was judged"}},
	}, nil
}

func conclusionText(c string) (zh, en string) {
	switch c {
	case "malicious":
		return "恶意", "malicious"
	case "attacker":
		return "攻击者", "an attacker"
	case "compromised":
		return "已失陷", "compromised"
	case "exercise":
		return "演练", "part of an exercise"
	}
	return "可疑", "suspicious"
}
