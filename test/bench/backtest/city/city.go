// Package city makes a stream of a city's events as they come off the bus, for
// backtests: the same for the same size, so that what was raised live can be
// compared with what is raised from the lake.
package city

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"icewatch/detections"
	"icewatch/detections/engine"
	"icewatch/detections/ruleset"
	"icewatch/soc/event"
	"icewatch/soc/lake"
	"icewatch/soc/lake/arrivals"
)

// Epoch is that of the stream.
const Epoch = "e1"

// Batch is how many events a batch of the bus has.
const Batch = 500

// Tenants of the stream and their accounts.
var Tenants = []string{"tax", "health", "traffic", "water"}

// Accounts are the tenants' in the lake.
var Accounts = []uint32{11, 12, 13, 14}

// Rules is what the stream is judged by: failed sign-ins from one address,
// followed by a success, a tool by its name, and one that floods at times.
const Rules = `title: Failed sign-in
id: 7a1d2c9e-0001-4c1e-9d55-000000000001
name: failed_signin
level: low
logsource: {category: test}
detection:
  sel: {event.dataset: sshd.auth, event.outcome: failure}
  condition: sel
---
title: Sign-in
id: 7a1d2c9e-0001-4c1e-9d55-000000000002
name: signin
level: low
logsource: {category: test}
detection:
  sel: {event.dataset: sshd.auth, event.outcome: success}
  condition: sel
---
title: Many failed sign-ins
id: 7a1d2c9e-0001-4c1e-9d55-000000000003
name: many_failed
level: medium
correlation:
  type: event_count
  rules: [failed_signin]
  group-by: [source.ip]
  timespan: 10m
  condition: {gte: 8}
---
title: Guessed
id: 7a1d2c9e-0001-4c1e-9d55-000000000004
level: high
correlation:
  type: temporal_ordered
  rules: [many_failed, signin]
  group-by: [source.ip]
  timespan: 30m
---
title: A tool for stealing credentials
id: 7a1d2c9e-0001-4c1e-9d55-000000000005
level: high
logsource: {category: test}
detection:
  sel: {process.command_line|contains: '\Mimikatz.exe'}
  condition: sel
---
title: Refused by the firewall on a port of databases
id: 7a1d2c9e-0001-4c1e-9d55-000000000006
level: low
logsource: {category: test}
detection:
  sel: {event.action: denied, destination.port: [1433, 3306, 5432]}
  condition: sel
icewatch: {group_by: [destination.ip]}
`

// The ids of the rules by what they are for.
const (
	Guessed = "7a1d2c9e-0001-4c1e-9d55-000000000004"
	Many    = "7a1d2c9e-0001-4c1e-9d55-000000000003"
	Tool    = "7a1d2c9e-0001-4c1e-9d55-000000000005"
	Floods  = "7a1d2c9e-0001-4c1e-9d55-000000000006"
)

// Bundle is the rules of the stream.
func Bundle() *ruleset.Bundle {
	b := &ruleset.Bundle{Files: []ruleset.File{{Source: "city", Path: "city/rules.yml", Data: []byte(Rules)}}}
	b.SetDisabled(nil)
	return b
}

// Stream makes events.
type Stream struct {
	Events int
	Start  time.Time
	Span   time.Duration
	Reg    *event.Registry

	rnd                                               *rand.Rand
	made                                              int
	dataset, outcome, ip, user, command, action, port event.FieldID
	dst, bytes, method, path, status                  event.FieldID
	evs                                               []event.Event
	spread                                            time.Duration
}

// New makes a stream of events that came evenly from start on, but for a burst
// now and then.
func New(events int, start time.Time, span time.Duration, reg *event.Registry) *Stream {
	s := &Stream{Events: events, Start: start, Span: span, Reg: reg, rnd: rand.New(rand.NewPCG(7, 11)), evs: make([]event.Event, Batch)}
	id := func(name string) event.FieldID {
		f, _ := reg.Intern(name)
		return f
	}
	s.dataset, s.outcome, s.ip, s.user = id("event.dataset"), id("event.outcome"), id("source.ip"), id("user.name")
	s.command, s.action, s.port, s.dst = id("process.command_line"), id("event.action"), id("destination.port"), id("destination.ip")
	s.bytes, s.method, s.path, s.status = id("http.response.bytes"), id("http.request.method"), id("url.path"), id("http.response.status_code")
	return s
}

// Next is the next batch with its sequence, from 1 on, and when it came; nil at
// the end. The events are valid until the next call.
func (s *Stream) Next() (seq uint64, came time.Time, evs []event.Event) {
	if s.made >= s.Events {
		return 0, time.Time{}, nil
	}
	n := min(Batch, s.Events-s.made)
	seq = uint64(s.made/Batch) + 1
	// Every 100th to 110th batch come at once.
	at, every := seq, uint64(100)
	if over := at % every; at > every && over < 10 {
		at -= over
	}
	came = s.Start.Add(time.Duration(float64(s.Span) * float64(at) * Batch / float64(s.Events+Batch)))
	burst := at != seq || seq%every == 0
	gap := s.Span / time.Duration(s.Events/Batch+1)
	for i := range n {
		ev := &s.evs[i]
		ev.Reset()
		ev.ID = event.ID{Epoch: Epoch, Sequence: seq, Index: uint32(i)}
		ev.Tenant = Tenants[s.rnd.IntN(len(Tenants))]
		// It came within the batch's time, in the order of the batch, and happened before.
		offset := gap * time.Duration(i) / time.Duration(n)
		if burst {
			offset = time.Duration(i)*137*time.Microsecond + time.Duration(seq-at)*70*time.Millisecond
		}
		ev.Created = came.Add(offset).UnixNano()
		ev.Time = ev.Created - int64(s.rnd.IntN(3000))*int64(time.Millisecond) - 12345
		s.fill(ev, burst)
	}
	s.made += n
	return seq, came, s.evs[:n]
}

func (s *Stream) fill(ev *event.Event, burst bool) {
	r := s.rnd
	host := fmt.Sprintf("h%03d", r.IntN(200))
	ev.Set(event.HostName, host)
	kind := r.IntN(100)
	if burst && kind >= 20 {
		kind = 60
	}
	switch {
	case kind < 8:
		// Most fail now and then; a few hundred addresses guess, some of them well.
		ip, out := fmt.Sprintf("10.%d.%d.%d", r.IntN(40), r.IntN(250), r.IntN(250)), "success"
		switch {
		case r.IntN(12) == 0:
			hour := ev.Created / int64(time.Hour)
			ip, out = fmt.Sprintf("203.0.%d.%d", hour%64, hour%7+int64(r.IntN(2))), "failure"
			if r.IntN(25) == 0 {
				out = "success"
			}
		case r.IntN(10) == 0:
			out = "failure"
		}
		ev.Set(s.dataset, "sshd.auth")
		ev.Set(s.outcome, out)
		ev.Set(s.ip, ip)
		ev.Set(s.user, fmt.Sprintf("u%d", r.IntN(900)))
		ev.Raw = "sshd: " + out + " for " + ev.Text(s.user) + " from " + ip
	case kind < 20:
		line := fmt.Sprintf(`C:\Windows\System32\svchost.exe -k netsvcs -s task%d`, r.IntN(5000))
		if r.IntN(2_000) == 0 {
			line = `C:\Users\Public\mimiKATZ.exe sekurlsa::logonpasswords`
		}
		ev.Set(s.dataset, "windows.sysmon")
		ev.Set(s.action, "process-created")
		ev.Set(s.command, line)
		ev.Set(s.user, fmt.Sprintf("u%d", r.IntN(900)))
		ev.Raw = `{"event_id":1,"process":{"command_line":"` + line + `"}}`
	case kind < 65:
		action, port := "allowed", "443"
		if r.IntN(20) == 0 || burst {
			action, port = "denied", []string{"22", "3306", "445", "1433", "5432"}[r.IntN(5)]
		}
		ev.Set(s.dataset, "firewall.traffic")
		ev.Set(s.action, action)
		ev.Set(s.ip, fmt.Sprintf("198.51.%d.%d", r.IntN(100), r.IntN(250)))
		ev.Set(s.dst, fmt.Sprintf("10.8.0.%d", r.IntN(60)))
		ev.Set(s.port, port)
		ev.Raw = "FW " + action + " src=" + ev.Text(s.ip) + " dst=" + ev.Text(s.dst) + " dport=" + port
	default:
		ev.Set(s.dataset, "nginx.access")
		ev.Set(s.ip, fmt.Sprintf("192.0.%d.%d", r.IntN(100), r.IntN(250)))
		ev.Set(s.method, []string{"GET", "GET", "GET", "POST"}[r.IntN(4)])
		ev.Set(s.path, fmt.Sprintf("/service/%d/item/%d", r.IntN(40), r.IntN(3000)))
		ev.Set(s.status, []string{"200", "200", "200", "304", "404"}[r.IntN(5)])
		ev.Raw = ev.Text(s.ip) + " " + ev.Text(s.method) + " " + ev.Text(s.path) + " " + ev.Text(s.status)
	}
	ev.Set(event.Message, ev.Raw)
}

// Live judges the whole stream as it comes, as soc/engine does, and returns the
// ids of the occurrences by rule, in order: those of one rule and key within a
// batch are one. flood is what the live engine has by default.
func Live(s *Stream, flood engine.Flood, each func(seq uint64, came time.Time, evs []event.Event) error) (map[string][]string, error) {
	e := engine.New(engine.Options{Registry: s.Reg, Flood: flood})
	set, problems := ruleset.CompileWith(Bundle(), s.Reg, ruleset.Options{NoPolicies: true})
	if len(problems) > 0 {
		return nil, fmt.Errorf("city: %s", problems[0])
	}
	e.Swap(set)
	ids := map[string][]string{}
	seen := map[string]bool{}
	raise := func(o detections.Occurrence) {
		if o.Rule.Kind == ruleset.KindSigma && o.Held == 0 {
			if seen[o.Key] {
				return
			}
			seen[o.Key] = true
		}
		ids[o.Rule.ID] = append(ids[o.Rule.ID], o.ID)
	}
	for {
		seq, came, evs := s.Next()
		if evs == nil {
			break
		}
		clear(seen)
		for i := range evs {
			e.Process(&evs[i], raise)
		}
		if err := each(seq, came, evs); err != nil {
			return nil, err
		}
	}
	clear(seen)
	e.Tick(s.Start.Add(s.Span+time.Hour), raise)
	return ids, nil
}

// Store puts batches into a lake through its own writer, and into the list of
// arrivals, in the order in which they came.
type Store struct {
	Lake     *lake.Lake
	Arrivals *arrivals.Ledger
	writer   *lake.Writer
	last     uint64
}

// NewStore begins.
func NewStore(l *lake.Lake, a *arrivals.Ledger, reg *event.Registry) *Store {
	return &Store{Lake: l, Arrivals: a, writer: l.NewWriter(reg)}
}

// Take stores a batch.
func (s *Store) Take(ctx context.Context, seq uint64, came time.Time, evs []event.Event) error {
	span := lake.Span{From: evs[0].Time, To: evs[0].Time}
	for i := range evs {
		ev := &evs[i]
		span.From, span.To = min(span.From, ev.Time), max(span.To, ev.Time)
		account := uint32(0)
		for t, name := range Tenants {
			if name == ev.Tenant {
				account = Accounts[t]
			}
		}
		if err := s.writer.Add(ev, lake.Space{Account: account}, ev.Tenant+"."+ev.Fields[1].Value); err != nil {
			return err
		}
	}
	s.Arrivals.Add(seq, came, len(evs), []lake.Span{span})
	s.last = seq
	if s.writer.Size() > 96<<20 {
		if err := s.writer.Flush(); err != nil {
			return err
		}
		return s.Arrivals.Save(ctx, seq)
	}
	if s.writer.Full() {
		return s.writer.Take(time.Time{}).Hand()
	}
	return nil
}

// Finish makes all of it visible.
func (s *Store) Finish(ctx context.Context) error {
	if err := s.writer.Flush(); err != nil {
		return err
	}
	s.Lake.Flush()
	return s.Arrivals.Save(ctx, s.last)
}
