package audit

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"
)

const (
	// sessionGap parts the steps of those who have no session, such as tokens.
	sessionGap = 30 * time.Minute
	// maxSteps bounds one Track.
	maxSteps = 5000
)

// Track is what a user did, step by step.
type Track struct {
	Sessions  []Visit `json:"sessions" nullable:"false"`
	Total     int     `json:"total" doc:"Records that match"`
	Truncated bool    `json:"truncated" doc:"There are more than the limit: the latest are left out"`
}

// Visit is a series of steps of one session, oldest first.
type Visit struct {
	Session  string    `json:"session_id,omitempty"`
	Channel  string    `json:"channel,omitempty" doc:"How the user signed in"`
	Address  string    `json:"address" doc:"Of the first step"`
	Others   []string  `json:"other_addresses,omitempty" doc:"Further addresses within the session"`
	Client   string    `json:"client,omitempty"`
	Start    time.Time `json:"start"`
	End      time.Time `json:"end"`
	Duration float64   `json:"duration_seconds"`
	Changes  int       `json:"changes"`
	Reads    int       `json:"reads"`
	Denied   int       `json:"denied"`
	Failed   int       `json:"failed"`
	Steps    []Step    `json:"steps" nullable:"false"`
}

// Step is one record in its place.
type Step struct {
	Record Record  `json:"record"`
	Kind   string  `json:"kind" doc:"sign-in, sign-out, change, read, access, denied or failed"`
	Gap    float64 `json:"gap_seconds" doc:"Since the step before in the session"`
}

// Track replays what matches the query, at most limit records (0 means, and at
// most, 5,000), oldest first.
func (l *Log) Track(ctx context.Context, q Query, limit int) (Track, error) {
	if limit <= 0 || limit > maxSteps {
		limit = maxSteps
	}
	total, err := q.where(l.db.NewSelect().Model((*row)(nil))).Count(ctx)
	if err != nil {
		return Track{}, fmt.Errorf("audit: count the steps of %q: %w", q.Actor, err)
	}
	var rows []row
	if err := q.where(l.db.NewSelect().Model(&rows)).Order("a.seq").Limit(int64(limit)).Scan(ctx); err != nil {
		return Track{}, fmt.Errorf("audit: read the steps of %q: %w", q.Actor, err)
	}
	records := make([]Record, len(rows))
	for i := range rows {
		records[i] = rows[i].record()
	}
	return Track{Sessions: visits(records), Total: int(total), Truncated: int(total) > len(rows)}, nil
}

// visits parts records, oldest first, into sessions.
func visits(records []Record) []Visit {
	type key struct{ actor, session, channel, address string }
	open := map[key]*Visit{}
	var all []*Visit
	for _, rec := range records {
		k := key{rec.Actor, rec.Session, rec.Channel, rec.Address}
		if rec.Session != "" {
			k.channel, k.address = "", ""
		}
		v := open[k]
		if v == nil || rec.Session == "" && rec.Time.Sub(v.End) > sessionGap {
			v = &Visit{Session: rec.Session, Channel: rec.Channel, Address: rec.Address, Client: rec.Client, Start: rec.Time, End: rec.Time}
			open[k] = v
			all = append(all, v)
		}
		v.add(rec)
	}
	out := make([]Visit, len(all))
	for i, v := range all {
		out[i] = *v
	}
	slices.SortStableFunc(out, func(a, b Visit) int { return cmp.Compare(a.Start.UnixNano(), b.Start.UnixNano()) })
	return out
}

func (v *Visit) add(rec Record) {
	s := Step{Record: rec, Kind: rec.Kind}
	if s.Kind == "" { // of version 1
		switch rec.Action {
		case "login":
			s.Kind = KindSignIn
		case "logout":
			s.Kind = KindSignOut
		default:
			s.Kind = KindChange
		}
	}
	switch {
	case rec.Result == Denied:
		s.Kind = Denied
		v.Denied++
	case rec.Result == Failed:
		s.Kind = Failed
		v.Failed++
	case s.Kind == KindRead:
		v.Reads++
	case s.Kind == KindChange:
		v.Changes++
	case s.Kind == KindSignIn:
		// The channel by which the session began says more than how its
		// later requests were known.
		v.Channel = rec.Channel
	}
	if len(v.Steps) > 0 {
		s.Gap = max(0, rec.Time.Sub(v.End).Seconds())
	}
	if rec.Address != v.Address && !slices.Contains(v.Others, rec.Address) {
		v.Others = append(v.Others, rec.Address)
	}
	if v.Client == "" {
		v.Client = rec.Client
	}
	if rec.Time.After(v.End) {
		v.End = rec.Time
	}
	v.Duration = v.End.Sub(v.Start).Seconds()
	v.Steps = append(v.Steps, s)
}
