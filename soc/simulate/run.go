// Package simulate plays a small city: it loads an inventory into the CMDB and
// sends realistic telemetry of several tenants over the suite's real sockets,
// with attack stories from scenario files mixed in. The same seed gives the
// same stories; times are those of sending.
package simulate

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/netip"
	"net/url"
	"sync"
	"time"

	"icewatch/soc/client"
)

// Options say what to send where.
type Options struct {
	API       *client.Client // signed in; writes the inventory and the HTTP intakes' events
	SyslogTCP string         // host:port
	SyslogUDP string         // host:port
	NetFlow   string         // host:port; "" sends no flows
	Zone      string         // network zone of the inventory; "" is the suite's default zone
	Seed      int64
	Rate      float64 // background events a second
	Duration  time.Duration
	Stories   []*Story
	Noise     bool // whether there is background traffic
	Watch     bool // whether to look for the incidents that the stories should open
	Log       *slog.Logger
	Progress  io.Writer // lines for people; nil for none
}

// Summary is what Run prints at its end, as one JSON object.
type Summary struct {
	Seed      int64                `json:"seed"`
	Started   time.Time            `json:"started"`
	Seconds   float64              `json:"seconds"`
	Inventory *client.ImportReport `json:"inventory"`
	Channels  map[string]Counts    `json:"channels"`
	Stories   []StorySummary       `json:"stories"`
	Incidents []IncidentSeen       `json:"incidents"`
}

// StorySummary says what a story was and what should come of it.
type StorySummary struct {
	Name     string            `json:"name"`
	Kind     string            `json:"kind"`
	Steps    []string          `json:"steps"`
	Messages int               `json:"messages"`
	Actors   map[string]string `json:"actors"`
	From     time.Time         `json:"from"`
	To       time.Time         `json:"to"`
	Expected *Expected         `json:"expected_incident"`
}

// Expected is the incident that a story should open.
type Expected struct {
	Host       string `json:"host"`
	Address    string `json:"address"`
	System     string `json:"system"`
	SystemName string `json:"system_name"`
	Tenant     string `json:"tenant"`
}

// IncidentSeen is an incident that opened on a story's host while Run watched.
type IncidentSeen struct {
	ID    string  `json:"id"`
	Host  string  `json:"host"`
	After float64 `json:"seconds_after_start"`
}

// Run plays the city until the duration is over or ctx ends, and writes the
// summary to stdout.
func Run(ctx context.Context, o Options, stdout io.Writer) error {
	s, err := newSimulation(o)
	if err != nil {
		return err
	}
	if err := s.prepare(ctx); err != nil {
		return err
	}
	defer s.cleanUp()
	if err := s.play(ctx); err != nil {
		return err
	}
	enc := json.NewEncoder(stdout)
	enc.SetIndent("", "  ")
	return enc.Encode(s.summary())
}

type simulation struct {
	o        Options
	city     *City
	plans    []*Plan
	started  time.Time
	ended    time.Time
	run      string
	tcp      *tcpSender
	udp      *udpSender
	flows    *flowSender
	rnd      *rand.Rand // of the flows; pace alone uses it
	elastic  *batcher
	loki     *batcher
	n        int64
	imported client.ImportReport
	token    client.Token // made for this run, if it could be

	mu   sync.Mutex
	seen []IncidentSeen
}

func newSimulation(o Options) (*simulation, error) {
	if o.Duration <= 0 || o.Rate < 0 || o.Rate > 100_000 {
		return nil, fmt.Errorf("duration %s and rate %g: want a duration above 0 and a rate from 0 to 100000 a second", o.Duration, o.Rate)
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Progress == nil {
		o.Progress = io.Discard
	}
	s := &simulation{o: o, city: NewCity(o.Seed, o.Zone), rnd: rand.New(rand.NewPCG(uint64(o.Seed), 0xf1))}
	// Stories begin one after the other over the first half, and each fits into
	// what is left.
	lead, tail := o.Duration/20, o.Duration/10
	for i, story := range o.Stories {
		p, err := story.Plan(s.city)
		if err != nil {
			return nil, err
		}
		p.Start = lead + time.Duration(i)*(o.Duration/2)/time.Duration(len(o.Stories))
		p.Fit(o.Duration - tail - p.Start)
		s.plans = append(s.plans, p)
	}
	return s, nil
}

// prepare loads the inventory and opens the channels.
func (s *simulation) prepare(ctx context.Context) error {
	file, err := s.city.Inventory(s.o.Zone)
	if err != nil {
		return err
	}
	if s.imported, err = s.o.API.Import(ctx, "yaml", "", false, file); err != nil {
		return fmt.Errorf("the city's inventory was not imported: %w", err)
	}
	fmt.Fprintf(s.o.Progress, "Inventory: %d items created, %d updated, %d as they were.\n", s.imported.Created, s.imported.Updated, s.imported.Unchanged)

	ingest, err := s.ingestClient(ctx)
	if err != nil {
		return err
	}
	s.tcp = &tcpSender{addr: s.o.SyslogTCP, log: s.o.Log}
	if s.o.Seed%2 != 0 {
		s.tcp.frame = NewlineFramed
	}
	if s.o.SyslogTCP != "" {
		conn, err := (&net.Dialer{Timeout: 5 * time.Second}).DialContext(ctx, "tcp", s.o.SyslogTCP)
		if err != nil {
			return fmt.Errorf("syslog over TCP: cannot reach %s (give its address with --syslog): %w", s.o.SyslogTCP, err)
		}
		s.tcp.conn = conn
	}
	if s.o.SyslogUDP != "" {
		conn, err := net.Dial("udp", s.o.SyslogUDP)
		if err != nil {
			return fmt.Errorf("syslog over UDP to %s: %w", s.o.SyslogUDP, err)
		}
		s.udp = &udpSender{conn: conn}
	}
	if s.o.NetFlow != "" {
		conn, err := net.Dial("udp", s.o.NetFlow)
		if err != nil {
			return fmt.Errorf("NetFlow to %s: %w", s.o.NetFlow, err)
		}
		firewall, _ := s.city.pick(RoleFirewall, s.rnd)
		s.flows = &flowSender{conn: conn, exporter: netip.MustParseAddr(firewall.Address), domain: uint32(s.o.Seed), started: time.Now().Add(-time.Hour)}
	}
	s.elastic = newBatcher(ChannelElastic, ingest, 200*time.Millisecond, 500, s.o.Log, postBulk)
	s.loki = newBatcher(ChannelLoki, ingest, 500*time.Millisecond, 500, s.o.Log, postLoki)
	return nil
}

// ingestClient returns a client for the HTTP intakes. They are used over the
// real socket, with a token that can do nothing but write: a local peer's
// connection and an administrator's session are more than a shipper has.
func (s *simulation) ingestClient(ctx context.Context) (*client.Client, error) {
	opts := s.o.API.Options()
	token, err := s.o.API.CreateToken(ctx, fmt.Sprintf("simulate-%d", s.o.Seed), "", []string{"ingest"}, s.o.Duration+time.Hour)
	switch {
	case err == nil:
		s.token = token
		opts.Token = token.Secret
	case opts.Socket == "" && client.Status(err) == 403:
		// Not an administrator: what the caller may write is written as the caller.
	default:
		return nil, fmt.Errorf("no token for the simulated shippers: %w", err)
	}
	opts.Socket = ""
	return client.New(opts)
}

func (s *simulation) cleanUp() {
	s.tcp.close()
	if s.udp != nil {
		s.udp.conn.Close()
	}
	if s.flows != nil {
		s.flows.conn.Close()
	}
	if s.token.ID != "" {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		if err := s.o.API.RevokeToken(ctx, s.token.ID); err != nil {
			s.o.Log.Warn("the simulated shippers' token was not revoked, it ends by itself", "id", s.token.ID, "error", err)
		}
	}
}

// play sends everything.
func (s *simulation) play(parent context.Context) error {
	s.started = time.Now()
	s.run = fmt.Sprintf("sim-%d-%x", s.o.Seed, s.started.UnixNano())
	for _, p := range s.plans {
		fmt.Fprintf(s.o.Progress, "Story %s: %d messages in %s, beginning in %s%s.\n", p.Story.Name, len(p.Messages),
			p.Length().Round(100*time.Millisecond), p.Start.Round(100*time.Millisecond), s.against(p))
	}
	ctx, stop := context.WithTimeout(parent, s.o.Duration)
	defer stop()
	drain, stopDrain := context.WithTimeout(context.WithoutCancel(parent), s.o.Duration+15*time.Second)
	defer stopDrain()
	var senders, watchers sync.WaitGroup
	senders.Go(func() { s.elastic.run(ctx, drain) })
	senders.Go(func() { s.loki.run(ctx, drain) })
	if s.flows != nil {
		senders.Go(func() { s.flows.run(ctx) })
	}
	watchers.Go(func() { s.progress(ctx) })
	if s.o.Watch {
		watchers.Go(func() { s.watch(ctx) })
	}
	err := s.pace(ctx)
	stop()
	senders.Wait()
	watchers.Wait()
	s.ended = time.Now()
	fmt.Fprintln(s.o.Progress, s.line())
	return err
}

func (s *simulation) against(p *Plan) string {
	if h, ok := p.Hosts[p.Story.Expect.On]; ok {
		return fmt.Sprintf(", against %s (%s, %s)", h.Name, h.Address, h.Tenant)
	}
	return ""
}

// pace sends each message when it is due.
func (s *simulation) pace(ctx context.Context) error {
	noise := newBackground(s.city, s.run)
	next := make([]int, len(s.plans))
	var sent int64 // background messages
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		elapsed := time.Since(s.started)
		for i, p := range s.plans {
			for next[i] < len(p.Messages) && p.Start+p.Messages[next[i]].At <= elapsed {
				if err := s.story(ctx, p, &p.Messages[next[i]]); err != nil {
					return err
				}
				next[i]++
			}
		}
		if s.o.Noise {
			for due := int64(elapsed.Seconds() * s.o.Rate); sent < due && ctx.Err() == nil; sent++ {
				s.send(ctx, noise.next(time.Now()))
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// story sends one message of a story.
func (s *simulation) story(ctx context.Context, p *Plan, m *Message) error {
	now := time.Now()
	text, pid, fields, err := m.Render(now)
	if err != nil {
		return fmt.Errorf("story %s, step %s: %w", p.Story.Name, m.Step, err)
	}
	s.n++
	o := output{channel: m.Line.Channel, host: m.Host, app: m.Line.App, pid: pid, facility: m.Line.Facility, severity: m.Line.Severity, text: text}
	modern, channel := dialect(m.Host)
	o.modern = modern
	if o.channel == "" || o.channel == "syslog" {
		o.channel = channel
	}
	if o.channel == ChannelElastic || o.channel == ChannelLoki {
		o.entry = entry{tenant: m.Host.Tenant, at: now, app: o.app, level: o.severity, host: m.Host.Name, id: fmt.Sprintf("%s-s%d", s.run, s.n), line: []byte(text)}
	}
	if o.channel == ChannelElastic {
		doc := map[string]any{"@timestamp": now.UTC().Format(time.RFC3339Nano), "message": text, "host.name": m.Host.Name, "process.name": o.app}
		for name, v := range fields {
			doc[name] = v
		}
		if o.entry.line, err = json.Marshal(doc); err != nil {
			return fmt.Errorf("story %s, step %s: %w", p.Story.Name, m.Step, err)
		}
	}
	s.send(ctx, o)
	return nil
}

// send hands a message to its channel; what has no channel of its kind goes
// over the other one.
func (s *simulation) send(ctx context.Context, o output) {
	switch o.channel {
	case ChannelElastic:
		s.elastic.add(o.entry)
		return
	case ChannelLoki:
		s.loki.add(o.entry)
		return
	}
	if s.flows != nil {
		s.flows.add(s.city.connections(o.host, o.app, o.text, s.rnd))
	}
	msg := syslogHeader(o.modern, o.facility, o.severity, o.host.Name, o.app, o.pid, o.text, time.Now())
	if s.udp != nil && (o.channel == ChannelUDP || s.o.SyslogTCP == "") {
		s.udp.send(msg)
		return
	}
	s.tcp.send(ctx, msg)
}

// progress tells every five seconds what has been sent.
func (s *simulation) progress(ctx context.Context) {
	tick := time.NewTicker(5 * time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			fmt.Fprintln(s.o.Progress, s.line())
		}
	}
}

func (s *simulation) line() string {
	udp := int64(0)
	if s.udp != nil {
		udp = s.udp.sent.Load()
	}
	line := fmt.Sprintf("%4.0f s  sent: syslog TCP %d, UDP %d, _bulk %d (%d acknowledged), Loki %d (%d acknowledged)", time.Since(s.started).Seconds(),
		s.tcp.sent.Load(), udp, s.elastic.sent.Load(), s.elastic.acked.Load(), s.loki.sent.Load(), s.loki.acked.Load())
	if s.flows != nil {
		line += fmt.Sprintf(", NetFlow %d", s.flows.sent.Load())
	}
	return line
}

// watch tells when an incident opens on a host that a story is about.
func (s *simulation) watch(ctx context.Context) {
	hosts := map[string]bool{}
	for _, p := range s.plans {
		if h, ok := p.Hosts[p.Story.Expect.On]; ok {
			hosts[h.Name] = true
		}
	}
	known := map[string]bool{}
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		list, err := s.o.API.Incidents(ctx, url.Values{"status": {"open,acknowledged"}}, 100)
		if err != nil {
			if st := client.Status(err); st == 403 || st == 404 {
				fmt.Fprintf(s.o.Progress, "Incidents cannot be watched: %v\n", err)
				return
			}
			if !errors.Is(err, context.Canceled) && !errors.Is(err, context.DeadlineExceeded) {
				s.o.Log.Debug("incidents", "error", err)
			}
			continue
		}
		for _, in := range list {
			if known[in.ID] || in.CI == nil || !hosts[in.CI.Name] || in.OpenedAt.Before(s.started.Add(-time.Minute)) {
				continue
			}
			known[in.ID] = true
			after := time.Since(s.started)
			s.mu.Lock()
			s.seen = append(s.seen, IncidentSeen{ID: in.ID, Host: in.CI.Name, After: after.Round(100 * time.Millisecond).Seconds()})
			s.mu.Unlock()
			o := s.o.API.Options()
			fmt.Fprintf(s.o.Progress, "%4.0f s  Incident %s opened: %s\n        %s/incidents/%s\n", after.Seconds(), in.ID, in.Title.In("en"), o.URL, in.ID)
		}
	}
}

func (s *simulation) summary() Summary {
	out := Summary{Seed: s.o.Seed, Started: s.started.UTC(), Seconds: s.ended.Sub(s.started).Round(time.Millisecond).Seconds(), Inventory: &s.imported,
		Channels: map[string]Counts{
			ChannelTCP: s.tcp.counts(false), ChannelElastic: s.elastic.counts(true), ChannelLoki: s.loki.counts(true)},
		Stories: []StorySummary{}, Incidents: []IncidentSeen{}}
	if s.udp != nil {
		out.Channels[ChannelUDP] = s.udp.counts(false)
	}
	if s.flows != nil {
		out.Channels[ChannelNetFlow] = s.flows.counts(false)
	}
	for _, p := range s.plans {
		one := StorySummary{Name: p.Story.Name, Kind: p.Story.Kind, Steps: p.Steps, Messages: len(p.Messages), Actors: map[string]string{},
			From: s.started.Add(p.Start).UTC(), To: s.started.Add(p.Start + p.Length()).UTC()}
		for name, party := range p.Parties {
			one.Actors[name] = party.Address
		}
		if h, ok := p.Hosts[p.Story.Expect.On]; ok && p.Story.Expect.Incident {
			one.Expected = &Expected{Host: h.Name, Address: h.Address, Tenant: h.Tenant}
			if h.System != nil {
				one.Expected.System, one.Expected.SystemName = h.System.ID, h.System.Name
			}
		}
		out.Stories = append(out.Stories, one)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	out.Incidents = append(out.Incidents, s.seen...)
	return out
}
