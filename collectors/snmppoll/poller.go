package snmppoll

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"icewatch/collectors"
	"icewatch/soc/intake"
	"icewatch/soc/metrics"
	"icewatch/soc/tenancy"
)

// Poller looks at devices.
type Poller struct {
	cfg      Config
	checked  checked
	deps     collectors.Deps
	counters *collectors.Counters
	devices  []*device
	slots    chan struct{}

	mu     sync.Mutex
	silent map[string]string // devices that do not answer, and why

	started, stopped atomic.Bool
	ctx              context.Context
	cancel           context.CancelFunc
	wg               sync.WaitGroup
}

var _ collectors.Collector = (*Poller)(nil)

// New makes a poller.
func New(cfg Config, deps collectors.Deps) (*Poller, error) {
	checked, err := cfg.check()
	if err != nil {
		return nil, err
	}
	if err := deps.Check(); err != nil {
		return nil, err
	}
	if cfg.Samples == nil {
		return nil, fmt.Errorf("snmppoll: %s: no store takes its metrics", cfg.ID)
	}
	p := &Poller{cfg: cfg, checked: checked, deps: deps, counters: collectors.NewCounters(deps.Metrics, cfg.ID), slots: make(chan struct{}, cfg.Concurrency), silent: map[string]string{}}
	for i, address := range checked.addresses {
		p.devices = append(p.devices, newDevice(cfg.Devices[i], address, &p.cfg, &p.checked, deps.Dial))
	}
	return p, nil
}

func newDevice(name, address string, cfg *Config, checked *checked, dial collectors.Dial) *device {
	if host, _, err := net.SplitHostPort(name); err == nil {
		name = host
	}
	return &device{name: name, address: address, cfg: cfg, checked: checked, dial: dial, counters: map[string]*counter32{}}
}

// tenant is whose the metrics are: samples have no address by which an owner
// could be found.
func (c *Config) tenant() string {
	if c.Tenant == "" {
		return tenancy.City
	}
	return c.Tenant
}

// Start begins to look. A device that does not answer is shown by Health.
func (p *Poller) Start(context.Context) error {
	p.ctx, p.cancel = context.WithCancel(context.Background())
	if p.cfg.Catalogue != nil {
		p.cfg.Catalogue.Add(p.cfg.tenant(), p.descriptions())
	}
	p.counters.Running(true)
	p.started.Store(true)
	for _, d := range p.devices {
		p.wg.Go(func() { p.follow(d) })
	}
	return nil
}

func (p *Poller) descriptions() []metrics.Description {
	list := slices.Clone(descriptions)
	for _, o := range p.checked.objects {
		kind := "gauge"
		if o.counter {
			kind = "counter"
		}
		list = append(list, metrics.Description{Metric: o.metric, Type: kind, Help: "The object " + o.oid + " over SNMP."})
	}
	return list
}

// Health tells how the devices fare.
func (p *Poller) Health() collectors.Health {
	return p.counters.Health(p.cfg.ID, Kind, fmt.Sprintf("%d devices", len(p.devices)))
}

// firstWithin is how soon after the start the devices are looked at first.
const firstWithin = 10 * time.Second

// follow looks at a device again and again, at its own moment of the interval.
func (p *Poller) follow(d *device) {
	interval := p.cfg.interval()
	wait := rand.N(min(interval, firstWithin))
	for {
		if !p.pause(wait) {
			return
		}
		begin := time.Now()
		select {
		case p.slots <- struct{}{}:
		case <-p.ctx.Done():
			return
		}
		p.visit(d)
		<-p.slots
		// A twentieth earlier or later, so that no two devices keep the same moment.
		next := interval - interval/20 + rand.N(interval/10+1)
		wait = max(next-time.Since(begin), interval/10)
	}
}

func (p *Poller) pause(d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-p.ctx.Done():
		return false
	}
}

// visit looks at a device once and stores what it says.
func (p *Poller) visit(d *device) {
	begin := time.Now()
	// A look ends before the next is due, but a slow device may have some time.
	ctx, cancel := context.WithTimeout(p.ctx, max(p.cfg.interval(), 30*time.Second))
	defer cancel()
	f, err := d.visit(ctx)
	if p.ctx.Err() != nil {
		return
	}
	f.add("snmp_up", boolean(err == nil))
	f.add("snmp_look_duration_seconds", time.Since(begin).Seconds())
	p.reached(d, err)
	if err == nil && len(f.errs) > 0 {
		err = f.errs[0]
		p.deps.Log.Warn("a part of a device's figures was not read", "collector", p.cfg.ID, "device", d.name, "errors", len(f.errs), "error", err)
	}
	p.note(d, err)
	p.store(f)
}

// visit looks at the device. f is never nil.
func (d *device) visit(ctx context.Context) (f *figures, err error) {
	s, err := d.open(ctx)
	if err != nil {
		return &figures{d: d, at: time.Now().UnixMilli()}, err
	}
	defer s.close()
	return d.look(s)
}

// note keeps which devices are in trouble, for Health.
func (p *Poller) note(d *device, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err == nil {
		delete(p.silent, d.name)
	} else {
		p.silent[d.name] = plain(err)
	}
	if len(p.silent) == 0 {
		p.counters.Failed(nil)
		return
	}
	names := make([]string, 0, len(p.silent))
	for name := range p.silent {
		names = append(names, name)
	}
	slices.Sort(names)
	first := names[0]
	more := ""
	if len(names) > 5 {
		names, more = names[:5], " and others"
	}
	p.counters.Failed(fmt.Errorf("%d of %d devices cannot be read (%s%s); %s: %s", len(p.silent), len(p.devices), strings.Join(names, ", "), more, first, p.silent[first]))
}

// plain words the library's errors.
func plain(err error) string {
	s := err.Error()
	switch {
	case strings.Contains(s, "timeout"), errors.Is(err, context.DeadlineExceeded):
		return "no answer: it is down, not reached over UDP, or does not know the community or the user"
	case strings.Contains(s, "not in time window"):
		return "its clock of SNMP differs too much (" + s + ")"
	}
	return s
}

// store hands the samples over; what cannot be stored before the next look is
// counted as dropped.
func (p *Poller) store(f *figures) {
	good, refused := p.cfg.Held.Screen(f.series, time.Now())
	if refused.Dropped > 0 {
		p.counters.Rejected(refused.Dropped)
	}
	size := 0
	for i := range good {
		size += good[i].Size()
	}
	ctx, cancel := context.WithTimeout(p.ctx, p.cfg.interval())
	defer cancel()
	for wait := 50 * time.Millisecond; ; wait = min(2*wait, 5*time.Second) {
		err := p.cfg.Samples.Append(ctx, p.cfg.tenant(), good)
		if err == nil {
			p.counters.Received(len(good), size)
			return
		}
		if !errors.Is(err, intake.ErrFull) || ctx.Err() != nil {
			p.counters.Dropped(len(good))
			p.counters.Failed(fmt.Errorf("store samples: %w", err))
			p.deps.Log.Error("samples of a device could not be stored", "collector", p.cfg.ID, "device", f.d.name, "error", err)
			return
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
		}
	}
}

// alarm is the event that a device stopped answering, or answers again.
type alarm struct {
	Message string `json:"message"`
	Event   struct {
		Kind     string    `json:"kind"`
		Module   string    `json:"module"`
		Dataset  string    `json:"dataset"`
		Action   string    `json:"action"`
		Category []string  `json:"category"`
		Type     []string  `json:"type"`
		Outcome  string    `json:"outcome"`
		Reason   string    `json:"reason,omitempty"`
		Start    time.Time `json:"start"`
	} `json:"event"`
	Log struct {
		Level string `json:"level"`
	} `json:"log"`
	Host struct {
		Name string `json:"name"`
		IP   string `json:"ip,omitempty"`
	} `json:"host"`
}

// reached notes whether a device answered, and tells of the change.
func (p *Poller) reached(d *device, err error) {
	now := time.Now()
	if err == nil {
		if d.down {
			p.tell(d, now, nil)
		}
		d.missed, d.down = 0, false
		return
	}
	if d.missed++; d.missed == 1 {
		d.since = now
	}
	if d.missed >= p.cfg.DownAfter && !d.down {
		d.down = true
		p.tell(d, now, err)
	}
}

func (p *Poller) tell(d *device, now time.Time, err error) {
	var a alarm
	e := &a.Event
	e.Kind, e.Module, e.Dataset, e.Category, e.Type, e.Start = "event", "snmp", "snmp.poll", []string{"host"}, []string{"change"}, d.since.UTC()
	a.Host.Name = d.name
	rec := intake.Record{Tenant: p.cfg.Tenant, Zone: p.cfg.Zone, Collector: p.cfg.ID, Format: intake.JSON, Received: now.UnixNano(), Time: now.UnixNano()}
	if host, _, splitErr := net.SplitHostPort(d.address); splitErr == nil {
		if addr, parseErr := netip.ParseAddr(host); parseErr == nil {
			rec.Peer, a.Host.IP = addr.Unmap(), addr.Unmap().String()
		}
	}
	if err != nil {
		e.Kind, e.Action, e.Outcome, e.Reason, a.Log.Level = "alert", "device-unreachable", "failure", plain(err), "error"
		a.Message = fmt.Sprintf("The device %s does not answer over SNMP since %s: %s", d.name, d.since.UTC().Format(time.RFC3339), e.Reason)
	} else {
		e.Action, e.Outcome, a.Log.Level = "device-reachable", "success", "notice"
		a.Message = fmt.Sprintf("The device %s answers over SNMP again; it had not since %s", d.name, d.since.UTC().Format(time.RFC3339))
	}
	rec.ID = fmt.Sprintf("snmppoll/%s/%s/%s/%d", p.cfg.ID, d.name, e.Action, d.since.UnixMilli())
	text, marshalErr := json.Marshal(&a)
	if marshalErr != nil {
		return // Texts and times always marshal.
	}
	rec.Data = text
	ctx, cancel := context.WithTimeout(p.ctx, p.cfg.interval())
	defer cancel()
	for wait := 50 * time.Millisecond; ; wait = min(2*wait, 5*time.Second) {
		failure := p.deps.Sink.Append(ctx, []intake.Record{rec})
		if failure == nil {
			return
		}
		if ctx.Err() != nil || errors.Is(failure, intake.ErrClosed) {
			p.deps.Log.Error(a.Message, "collector", p.cfg.ID, "not stored", failure)
			return
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
		}
	}
}

// Stop ends the looks. What a device would have said is asked for again later.
func (p *Poller) Stop(ctx context.Context) error {
	if !p.started.Load() || p.stopped.Swap(true) {
		return nil
	}
	p.cancel()
	done := make(chan struct{})
	go func() { p.wg.Wait(); close(done) }()
	select {
	case <-done:
	case <-ctx.Done():
		return fmt.Errorf("snmppoll: %s: a look at a device does not end: %w", p.cfg.ID, context.Cause(ctx))
	}
	p.counters.Running(false)
	return nil
}

// try looks at the first device once.
func try(ctx context.Context, cfg any, deps collectors.Deps) (t collectors.Trial, err error) {
	given, ok := cfg.(*Config)
	if !ok {
		return t, fmt.Errorf("snmppoll: configuration of a poller expected, not %T", cfg)
	}
	c := *given
	if c.ID == "" {
		c.ID = "trial"
	}
	checked, err := c.check()
	if err != nil {
		return t, err
	}
	dial := deps.Dial
	if dial == nil {
		dial = new(net.Dialer).DialContext
	}
	d := newDevice(c.Devices[0], checked.addresses[0], &c, &checked, dial)
	f, err := d.visit(ctx)
	if err != nil {
		return t, fmt.Errorf("%s: %s", d.name, plain(err))
	}
	t.Steps = append(t.Steps, fmt.Sprintf("%s answers as %q: %s", d.name, f.info.name, f.info.descr), fmt.Sprintf("%d figures were read", len(f.series)))
	for _, failure := range f.errs {
		t.Steps = append(t.Steps, "not read: "+plain(failure))
	}
	for i := range f.series[:min(len(f.series), collectors.MaxTrial)] {
		t.Records = append(t.Records, render(&f.series[i]))
	}
	return t, nil
}
