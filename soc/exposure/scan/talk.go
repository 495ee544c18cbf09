package scan

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/uptrace/bun"

	"icewatch/collectors/fleet"
	"icewatch/collectors/scanner/wire"
	"icewatch/detections"
	"icewatch/soc/exposure/finding"
	"icewatch/soc/reach"
)

// scannerState is what a scanner told last.
type scannerState struct {
	Checkin wire.Checkin
	At      time.Time
}

// Scanner is a scanner as the API shows it.
type Scanner struct {
	ID        string            `json:"id"`
	Name      string            `json:"name"`
	Tenant    string            `json:"tenant"`
	State     string            `json:"state" enum:"online,degraded,tripped,offline,never,revoked"`
	Reason    string            `json:"reason,omitempty"`
	Labels    []string          `json:"labels" nullable:"false"`
	Version   string            `json:"version,omitempty"`
	Engines   map[string]string `json:"engines,omitempty"`
	Checks    int               `json:"checks" doc:"That it has"`
	Templates []ScanTemplates   `json:"templates" nullable:"false"`
	Local     []string          `json:"local,omitempty" doc:"Ranges that its own host narrows it to"`
	Queued    int64             `json:"queued" doc:"Results that wait to be sent"`
	Runs      int               `json:"runs" doc:"Under way"`
	SeenAt    time.Time         `json:"seen_at,omitzero"`
}

// ScanTemplates is a source of checks of a scanner.
type ScanTemplates struct {
	Source string `json:"source"`
	Name   string `json:"name,omitempty"`
	Digest string `json:"digest"`
	Count  int    `json:"count"`
}

// Scanners lists the scanners in reach by name.
func (s *Service) Scanners(r reach.Reach) []Scanner {
	out := []Scanner{}
	for _, h := range s.Fleet.Hosts(fleet.Asker{Within: r}, fleet.HostQuery{Kind: fleet.Scanning}) {
		x := Scanner{ID: h.ID, Name: h.Name, Tenant: h.Tenant, State: h.State, Labels: h.Labels, Version: h.Version, SeenAt: h.SeenAt, Templates: []ScanTemplates{}}
		s.mu.Lock()
		if t := s.scanners[h.ID]; t != nil {
			c := &t.Checkin
			x.Engines, x.Local, x.Queued, x.Reason = c.Engines, c.Local, c.Queued, c.Reason
			if c.State == fleet.Degraded && x.State == fleet.Online {
				x.State = fleet.Degraded
			}
			for _, p := range c.Templates {
				x.Checks += p.Count
				x.Templates = append(x.Templates, ScanTemplates(p))
			}
		}
		for _, a := range s.active {
			if a.Scanner == h.ID {
				x.Runs++
			}
		}
		s.mu.Unlock()
		out = append(out, x)
	}
	return out
}

// errMalformed says that a scanner's request cannot be read.
func errMalformed(err error) error { return fmt.Errorf("%w: %w", fleet.ErrInvalid, err) }

// Checkin takes what a scanner tells and answers when there is something to tell it, or
// after wire.PollTime.
func (s *Service) Checkin(ctx context.Context, a fleet.Agent, body []byte) ([]byte, error) {
	var c wire.Checkin
	if err := json.Unmarshal(body, &c); err != nil {
		return nil, errMalformed(err)
	}
	if err := s.Fleet.Seen(a.ID, a.Address, c.Version); err != nil {
		return nil, err
	}
	c.Reason, c.Templates, c.Local = clip(c.Reason, 500), c.Templates[:min(len(c.Templates), 64)], c.Local[:min(len(c.Local), 1000)]
	if len(c.Engines) > 16 {
		c.Engines = nil
	}
	if err := s.heard(ctx, a, &c); err != nil {
		return nil, err
	}
	timer := time.NewTimer(wire.PollTime)
	defer timer.Stop()
	s.mu.Lock()
	packages := s.wired()
	s.mu.Unlock()
	for {
		s.mu.Lock()
		wake := s.wake
		s.mu.Unlock()
		orders, something, err := s.orders(ctx, a, &c)
		if err != nil {
			return nil, err
		}
		same := func(x, y wire.TemplatesFile) bool { return x.Name == y.Name && x.SHA256 == y.SHA256 }
		if something || !slices.EqualFunc(orders.Templates, packages, same) {
			return wire.Encode(orders), nil
		}
		select {
		case <-wake:
		case <-timer.C:
			return wire.Encode(orders), nil
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// saveEvery is how stale the kept progress of a run may be; what is told is newer.
const saveEvery = 20 * time.Second

// heard notes what a scanner says of its runs.
func (s *Service) heard(ctx context.Context, a fleet.Agent, c *wire.Checkin) error {
	now := s.now()
	s.mu.Lock()
	s.scanners[a.ID] = &scannerState{*c, now}
	var save []string
	told := map[string]wire.RunState{}
	for _, r := range c.Runs[:min(len(c.Runs), 1000)] {
		x := s.active[r.ID]
		if x == nil || x.Scanner != a.ID {
			continue
		}
		told[r.ID] = r
		next := *x
		next.Progress, next.HeardAt = progressOf(r.Progress), now
		state := next.State
		if state == Waiting || state == Running || state == Paused {
			switch {
			case r.State == wire.StatePaused || next.paused:
				state = Paused
			case r.State == wire.StateRunning:
				state = Running
			}
			if r.Progress.Started > 0 && next.StartedAt.IsZero() {
				next.StartedAt = time.Unix(r.Progress.Started, 0).UTC()
			}
			if !next.paused {
				next.Reason = clip(r.Progress.Paused, 300)
			}
		}
		if state != next.State || now.Sub(next.saved) > saveEvery {
			save = append(save, r.ID)
		}
		next.State = state
		s.active[r.ID] = &next
	}
	// A run that was being cancelled and that the scanner no longer has is over.
	for id, x := range s.active {
		if _, has := told[id]; !has && x.Scanner == a.ID && x.State == Cancelling && c.Queued == 0 {
			next := *x
			next.State, next.EndState = Judging, wire.EndCancelled
			s.active[id] = &next
			save = append(save, id)
			s.nudge()
		}
	}
	s.mu.Unlock()
	for _, id := range save {
		if _, err := s.alter(ctx, id, func(*run) error { return nil }); err != nil && !errors.Is(err, ErrNotFound) {
			return err
		}
	}
	return nil
}

func (s *Service) nudge() {
	select {
	case s.judge <- struct{}{}:
	default:
	}
}

// orders are what a scanner is to be told, and whether there is anything that it does
// not know.
func (s *Service) orders(ctx context.Context, a fleet.Agent, c *wire.Checkin) (wire.Orders, bool, error) {
	o := wire.Orders{Time: s.now().UnixMilli(), Interval: int(wire.PollTime / time.Second)}
	something := false
	has := map[string]wire.RunState{}
	for _, r := range c.Runs {
		has[r.ID] = r
	}
	s.mu.Lock()
	for id := range has {
		x := s.active[id]
		switch {
		case x == nil || x.Scanner != a.ID || x.State == Cancelling || x.State == Judging:
			o.Cancel = append(o.Cancel, id)
			something = something || x != nil && x.State == Cancelling
		case x.paused:
			o.Pause = append(o.Pause, id)
			something = something || has[id].State != wire.StatePaused
		default:
			something = something || has[id].State == wire.StatePaused && strings.HasPrefix(has[id].Progress.Paused, pausedByOrder)
		}
	}
	n := len(has)
	var fresh, again []string
	for _, id := range sortedRuns(s.active) {
		x := s.active[id]
		_, there := has[id]
		switch {
		case x.Tenant != a.Tenant || x.State == Cancelling || x.State == Judging:
		case there:
			if slices.Contains(c.Wants, id) && x.Scanner == a.ID {
				again = append(again, id)
			}
		case x.Scanner == a.ID:
			// It was told and does not have it: it was set up anew. What it still sends of
			// a run that it finished comes first.
			if c.Queued == 0 && n < wire.MaxRuns {
				n++
				again = append(again, id)
			}
		case x.Scanner == "" && !x.paused && (x.Wanted == "" || x.Wanted == a.ID) && (x.Label == "" || slices.Contains(a.Labels, x.Label)):
			if n < wire.MaxRuns {
				n++
				fresh = append(fresh, id)
			}
		}
	}
	s.mu.Unlock()
	for _, id := range fresh {
		_, err := s.alter(ctx, id, func(x *run) error {
			if x.Scanner != "" || x.State != Waiting {
				return ErrConflict
			}
			x.Scanner, x.HeardAt = a.ID, s.now()
			return nil
		})
		if errors.Is(err, ErrConflict) || errors.Is(err, ErrNotFound) {
			continue // another scanner was faster
		}
		if err != nil {
			return o, false, err
		}
		again = append(again, id)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	o.Templates = s.wired() // the scanner knows which it has
	size := 0
	for _, id := range again {
		x := s.active[id]
		if x == nil {
			continue
		}
		r := x.orders
		r.Credentials = s.secrets[x.Task]
		if size += len(wire.Encode(r)); size > wire.MaxOrders && len(o.Runs) > 0 {
			break // with the next answer
		}
		o.Runs = append(o.Runs, r)
	}
	slices.Sort(o.Cancel)
	slices.Sort(o.Pause)
	return o, something || len(o.Runs) > 0, nil
}

// pausedByOrder begins the reason of a scanner that rests because it was told to.
const pausedByOrder = "order"

func sortedRuns(m map[string]*run) []string {
	out := make([]string, 0, len(m))
	for id := range m {
		out = append(out, id)
	}
	slices.Sort(out)
	return out
}

// TakeResults keeps a batch of results and makes findings of its weaknesses. What was
// taken before is taken once: results by run and number, findings by what they are.
func (s *Service) TakeResults(ctx context.Context, a fleet.Agent, body []byte) error {
	list, err := wire.Unpack(body)
	if err != nil {
		return errMalformed(err)
	}
	byRun := map[string][]wire.Result{}
	for i := range list {
		byRun[list[i].Run] = append(byRun[list[i].Run], list[i])
	}
	for id, part := range byRun {
		s.mu.Lock()
		x := s.active[id]
		mine := x != nil && x.Scanner == a.ID && x.State != Judging
		s.mu.Unlock()
		if !mine {
			// Of a run that is over, or another's: nobody waits for it.
			s.Log.Warn("scan: results of a run that is not this scanner's, or over, are left out", "run", clip(id, 64), "scanner", a.ID, "results", len(part))
			continue
		}
		if err := s.takeRun(ctx, a, id, part); err != nil {
			return err
		}
	}
	return nil
}

func (s *Service) takeRun(ctx context.Context, a fleet.Agent, id string, list []wire.Result) error {
	s.mu.Lock()
	r := *s.active[id]
	s.mu.Unlock()
	rows := make([]resultRow, 0, len(list))
	for i := range list {
		x := &list[i]
		address, port := placeOf(x)
		// What is outside of the approved ranges was not to be touched: nothing of it is
		// believed.
		if x.Kind != wire.KindRefused && address != "" && !allowed(&r.orders.Scope, address) {
			s.Log.Error("scan: a result from outside of the approved ranges is left out", "run", id, "scanner", a.ID, "address", address)
			r.note("the scanner told of %s, which is not within the approved ranges: it was left out", address)
			continue
		}
		rows = append(rows, resultRow{Run: id, Seq: int64(x.Seq), Kind: x.Kind, Address: address, Port: port, At: x.At, Doc: string(wire.Encode(x))})
	}
	err := s.Database.Change(ctx, func(ctx context.Context, tx bun.Tx) error {
		for part := range slices.Chunk(rows, 200) {
			if _, err := tx.NewInsert().Model(&part).On("CONFLICT (run, seq) DO NOTHING").Exec(ctx); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("scan: keep results: %w", err)
	}
	var taken finding.Taken
	closed := 0
	var sightings []finding.Sighting
	var end *wire.End
	for i := range list {
		switch x := &list[i]; {
		case x.Weakness != nil && allowed(&r.orders.Scope, x.Weakness.Address):
			sightings = append(sightings, sighting(&r.ScanRun, x))
		case x.Absent != nil:
			gone, err := s.absent(ctx, &r, a, x.Absent)
			if err != nil {
				return err
			}
			closed += gone
		case x.Note != nil && x.Note.Level != wire.LevelInfo:
			r.note("%s", strings.TrimSpace(x.Note.Target+" "+x.Note.Text))
		case x.End != nil:
			end = x.End
		}
	}
	how := finding.Take{Within: reach.Tenants(r.Tenant), Actor: "scanner " + a.Name, Tenant: r.Tenant, Engine: Engine}
	if taken, err = s.Findings.Take(ctx, sightings, how); errors.Is(err, finding.ErrInvalid) {
		// One that cannot be taken does not keep the others away.
		for i := range sightings {
			one, err := s.Findings.Take(ctx, sightings[i:i+1], how)
			if errors.Is(err, finding.ErrInvalid) {
				r.note("%s at %s: %v", sightings[i].Check, sightings[i].Address, err)
				continue
			}
			if err != nil {
				return err
			}
			taken.New, taken.Again = taken.New+one.New, taken.Again+one.Again
		}
	} else if err != nil {
		return err
	}
	_, err = s.alter(ctx, id, func(x *run) error {
		x.New, x.Again, x.Closed = x.New+taken.New, x.Again+taken.Again, x.Closed+closed
		x.Notes = r.Notes
		if x.StartedAt.IsZero() {
			x.StartedAt = s.now()
		}
		if end != nil {
			x.Progress, x.State, x.EndState = progressOf(end.Progress), Judging, end.State
			x.Reason = cmp.Or(clip(end.Reason, 500), x.Reason)
		}
		return nil
	})
	if end != nil {
		s.nudge()
	}
	if errors.Is(err, ErrNotFound) {
		return nil
	}
	return err
}

func allowed(sc *wire.Scope, address string) bool {
	a, err := netip.ParseAddr(address)
	if err != nil {
		return false
	}
	a = a.Unmap().WithZone("")
	in := func(text string) bool { p, err := wire.ParseRange(text); return err == nil && p.Contains(a) }
	return slices.ContainsFunc(sc.Ranges, in) && !slices.ContainsFunc(sc.Exclusions, in)
}

func placeOf(x *wire.Result) (string, int) {
	switch x.Kind {
	case wire.KindHost:
		return x.Host.Address, 0
	case wire.KindService:
		return x.Service.Address, x.Service.Port
	case wire.KindWeakness:
		return x.Weakness.Address, x.Weakness.Port
	case wire.KindAttempts:
		return x.Attempts.Address, x.Attempts.Port
	case wire.KindAttribute:
		return x.Attribute.Address, 0
	}
	return "", 0
}

var levels = map[string]detections.Level{wire.SeverityInfo: detections.Informational, wire.SeverityLow: detections.Low, wire.SeverityMedium: detections.Medium, wire.SeverityHigh: detections.High, wire.SeverityCritical: detections.Critical}

func sighting(r *ScanRun, x *wire.Result) finding.Sighting {
	w := x.Weakness
	evidence := w.Evidence
	if w.Parameter != "" {
		evidence = "parameter " + w.Parameter + "\n" + evidence
	}
	if w.Item != "" {
		evidence = w.Item + "\n" + evidence
	}
	return finding.Sighting{Tenant: r.Tenant, Zone: r.Zone, Address: w.Address, Host: w.Host, Port: w.Port, Protocol: w.Protocol, Service: w.Service, Path: w.Path, Engine: Engine, Check: w.Check, CVEs: w.CVE, CWEs: w.CWE,
		Title: detections.Text{ZH: w.TitleZH, EN: w.Title}, Solution: detections.Text{ZH: w.SolutionZH, EN: w.Solution}, Level: levels[w.Severity], Score: w.CVSS, Evidence: evidence, Links: w.References, At: time.UnixMilli(x.At).UTC()}
}

// absent closes a finding that the check which reported it did not find again. It has
// to be one that the run was to look at.
func (s *Service) absent(ctx context.Context, r *run, a fleet.Agent, x *wire.Absent) (int, error) {
	asked := slices.ContainsFunc(r.orders.Retest, func(t wire.Retest) bool { return t.Finding == x.Finding && t.Check == x.Check })
	if !asked {
		r.note("the scanner told that the finding %s is gone, which it was not to look at", clip(x.Finding, 64))
		return 0, nil
	}
	within := reach.Tenants(r.Tenant)
	f, _, err := s.Findings.Get(ctx, within, x.Finding)
	if errors.Is(err, finding.ErrNotFound) || err == nil && (f.State == finding.Closed || f.State == finding.FalsePositive || f.LastSeen.After(r.CreatedAt)) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	_, err = s.Findings.Change(ctx, within, "scanner "+a.Name, []string{x.Finding}, finding.FindingChange{State: finding.Closed, Comment: "re-tested by the same check (" + clip(x.Check, 200) + "): " + clip(x.Reason, 200)})
	if errors.Is(err, finding.ErrConflict) || errors.Is(err, finding.ErrInvalid) || errors.Is(err, finding.ErrNotFound) {
		r.note("%v", err)
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	return 1, nil
}
