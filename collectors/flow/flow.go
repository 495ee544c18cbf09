// Package flow takes in flow records over UDP: NetFlow v5, v9 and IPFIX on one
// socket, sFlow v5 on another. goflow2's decoders read templates, NetFlow v5
// and sFlow; data sets are read here, with bounds on everything that a forged
// datagram could make us keep.
//
// Each flow becomes one record for the bus: a JSON object with what the
// message says (exporter, domain, sequence, sampling, times made absolute) and
// under "flow" every information element as it was exported, by its name in
// IANA's registry of IPFIX entities. The pipeline maps it to the suite's one
// schema of flows. Nothing is scaled here: the record is the evidence.
//
// UDP loses. What the kernel dropped is counted from its own figure, what was
// lost on the way from the exporters' sequence numbers, what came before its
// template waits a while and is counted where the template never comes.
// Templates, rates of sampling and interface names are kept on the disk, so
// that a restart decodes the first data set it sees.
package flow

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"icewatch/collectors"
	"icewatch/collectors/batch"
	"icewatch/collectors/datagram"
	"icewatch/soc/intake"
)

// What a listener speaks.
const (
	NetFlow = "netflow" // NetFlow v5, v9 and IPFIX, told apart by their version
	SFlow   = "sflow"   // sFlow v5
)

// Config is the configuration of one listener.
type Config struct {
	ID       string `yaml:"id" json:"-"` // unique name, stored as icewatch.collector
	Protocol string `yaml:"protocol" json:"protocol" enum:"netflow,sflow" doc:"netflow takes NetFlow v5, v9 and IPFIX"`
	Listen   string `yaml:"listen" json:"listen" maxLength:"300" doc:"Address and port, such as :2056 or 10.1.2.3:2056"`
	Tenant   string `yaml:"tenant" json:"-"` // slug of the tenant all flows belong to; empty leaves it to the pipeline
	Zone     string `yaml:"zone" json:"-"`   // network zone of the exporters and of what they see
	// ReceiveBuffer is the kernel's buffer in bytes.
	ReceiveBuffer int `yaml:"receive_buffer" json:"receive_buffer" minimum:"0" maximum:"1073741824" doc:"Bytes of the kernel's buffer; it gives what net.core.rmem_max allows"`
	// TemplateFile keeps what exporters announce now and then; "" keeps it in
	// memory only. Its folder must exist.
	TemplateFile string `yaml:"template_file" json:"-"`
	// FlushInterval is the longest a record waits in memory for others; at
	// most 50 ms.
	FlushInterval time.Duration `yaml:"flush_interval" json:"-"`
}

const maxFlushInterval = 50 * time.Millisecond

// DefaultListen is where each protocol is awaited.
func DefaultListen(protocol string) string {
	if protocol == SFlow {
		return ":6343"
	}
	return ":2055"
}

// NewFactory returns the factory of flow listeners, "flow".
func NewFactory() collectors.Factory {
	return collectors.Factory{
		Type: "flow",
		DefaultConfig: func() any {
			return &Config{ID: NetFlow, Protocol: NetFlow, Listen: DefaultListen(NetFlow), ReceiveBuffer: 16 << 20, FlushInterval: 20 * time.Millisecond}
		},
		New: func(cfg any, deps collectors.Deps) (collectors.Collector, error) {
			c, ok := cfg.(*Config)
			if !ok {
				return nil, fmt.Errorf("flow: configuration of a flow listener expected, not %T", cfg)
			}
			return New(*c, deps)
		},
	}
}

// Collector is one listener.
type Collector struct {
	cfg      Config
	deps     collectors.Deps
	counters *collectors.Counters
	decoder  *decoder
	decode   func(peer netip.Addr, data []byte) error
	batch    *batch.Batcher
	socket   *datagram.Socket
	now      time.Time // when the datagrams at hand came, by run alone
	counted  time.Time // when the kernel's drops were last read, by run alone
	warned   time.Time // when a malformed datagram was last told of, by run alone

	started, stopping atomic.Bool
	done              chan struct{}
	wg                sync.WaitGroup
}

var _ collectors.Collector = (*Collector)(nil)

// New makes a listener.
func New(cfg Config, deps collectors.Deps) (*Collector, error) {
	if cfg.ID == "" {
		return nil, fmt.Errorf("flow: a listener on %q has no id", cfg.Listen)
	}
	if _, _, err := net.SplitHostPort(cfg.Listen); err != nil {
		return nil, fmt.Errorf("flow: %s: listen must be [host]:port: %w", cfg.ID, err)
	}
	if cfg.FlushInterval <= 0 || cfg.FlushInterval > maxFlushInterval {
		return nil, fmt.Errorf("flow: %s: flush_interval must be above 0 and at most %v, not %v", cfg.ID, maxFlushInterval, cfg.FlushInterval)
	}
	if cfg.ReceiveBuffer < 0 || cfg.ReceiveBuffer > datagram.MaxBuffer {
		return nil, fmt.Errorf("flow: %s: receive_buffer must be between 0 and 1 GiB, not %d", cfg.ID, cfg.ReceiveBuffer)
	}
	if err := deps.Check(); err != nil {
		return nil, err
	}
	c := &Collector{cfg: cfg, deps: deps, counters: collectors.NewCounters(deps.Metrics, cfg.ID), done: make(chan struct{})}
	c.decoder = newDecoder(c.emit)
	switch cfg.Protocol {
	case NetFlow:
		c.decode = c.decoder.netflow
	case SFlow:
		c.decode = c.decoder.sflow
	default:
		return nil, fmt.Errorf("flow: %s: protocol must be %s or %s, not %q", cfg.ID, NetFlow, SFlow, cfg.Protocol)
	}
	c.publish(deps.Metrics)
	return c, nil
}

// publish registers the figures that only flows have.
func (c *Collector) publish(set *metrics.Set) {
	sum := func(name string, of func(*ExporterStats) uint64) {
		set.GetOrCreateGauge(fmt.Sprintf("icewatch_flow_%s{collector=%q}", name, c.cfg.ID), func() float64 {
			total := uint64(0)
			for _, e := range c.decoder.exporters() {
				total += of(&e)
			}
			return float64(total)
		})
	}
	sum("sequence_gaps_total", func(e *ExporterStats) uint64 { return e.Gaps })
	sum("lost_total", func(e *ExporterStats) uint64 { return e.Lost })
	sum("early_sets_total", func(e *ExporterStats) uint64 { return e.Early })
	sum("undecoded_sets_total", func(e *ExporterStats) uint64 { return e.Undecoded })
	sum("exporters", func(*ExporterStats) uint64 { return 1 })
}

// saveEvery is how often what exporters announced is written where it is new.
const saveEvery = 2 * time.Second

// Start listens.
func (c *Collector) Start(ctx context.Context) (err error) {
	if c.cfg.TemplateFile != "" {
		if err := c.decoder.load(c.cfg.TemplateFile); err != nil {
			// Exporters announce everything again within minutes: better than
			// not to start.
			c.deps.Log.Error("the templates kept on the disk cannot be used; flows wait until exporters announce them again", "collector", c.cfg.ID, "file", c.cfg.TemplateFile, "error", err)
		}
	}
	if c.socket, err = datagram.Listen(ctx, c.cfg.Listen, c.cfg.ReceiveBuffer, c.deps.Log, c.cfg.ID); err != nil {
		c.counters.Failed(err)
		return fmt.Errorf("flow: %s: %w", c.cfg.ID, err)
	}
	c.batch = batch.New(c.deps, c.counters, c.cfg.ID, c.cfg.FlushInterval)
	c.counters.Running(true)
	c.started.Store(true)
	c.wg.Go(func() {
		c.counted = time.Now()
		c.socket.Run(c.take, func(err error) {
			c.counters.Failed(err)
			c.deps.Log.Warn("reading flow datagrams failed", "collector", c.cfg.ID, "error", err)
		})
	})
	if c.cfg.TemplateFile != "" {
		c.wg.Go(c.keepTemplates)
	}
	return nil
}

func (c *Collector) keepTemplates() {
	tick := time.NewTicker(saveEvery)
	defer tick.Stop()
	for {
		select {
		case <-c.done:
			return
		case <-tick.C:
		}
		if err := c.decoder.save(c.cfg.TemplateFile); err != nil {
			c.deps.Log.Error("templates are not kept on the disk", "collector", c.cfg.ID, "error", err)
		}
	}
}

// Addr is the address in use.
func (c *Collector) Addr() net.Addr { return c.socket.Addr() }

// Health tells how the listener fares, with the kernel's drops as of now.
func (c *Collector) Health() collectors.Health {
	listen := c.cfg.Listen
	if c.started.Load() {
		listen = c.Addr().String()
		c.counters.Dropped(int(c.socket.Dropped()))
	}
	return c.counters.Health(c.cfg.ID, "flow", listen)
}

// Exporters tells who has sent flows since the start, the busiest first.
func (c *Collector) Exporters() []ExporterStats { return c.decoder.exporters() }

// AtDefault tells whether the listener's address is the one its protocol has
// by default.
func (c *Collector) AtDefault() bool { return c.cfg.Listen == DefaultListen(c.cfg.Protocol) }

// Protocol is what the listener speaks.
func (c *Collector) Protocol() string { return c.cfg.Protocol }

// Zone is the network zone of the listener's exporters.
func (c *Collector) Zone() string { return c.cfg.Zone }

// Waits between readings of the kernel's figure and between warnings.
const (
	dropsEvery = 5 * time.Second
	warnEvery  = time.Minute
)

func (c *Collector) take(d *datagram.Datagrams) {
	c.now = time.Now()
	c.batch.Lock()
	for i := range d.Len() {
		data, cut := d.Data(i)
		err := c.decode(d.Peer(i), data)
		if cut && err == nil {
			err = errors.New("it is longer than a datagram can be")
		}
		if err == nil {
			continue
		}
		c.counters.Rejected(1)
		if c.now.Sub(c.warned) > warnEvery {
			c.warned = c.now
			c.deps.Log.Warn("a datagram is not the flow export it should be; more such ones are counted as rejected",
				"collector", c.cfg.ID, "peer", d.Peer(i), "bytes", len(data), "error", err)
		}
	}
	c.batch.Unlock()
	if c.now.Sub(c.counted) > dropsEvery {
		c.counted = c.now
		c.counters.Dropped(int(c.socket.Dropped()))
	}
}

// emit hands one record to the batcher, which take has locked.
func (c *Collector) emit(r record) {
	c.batch.Add(intake.Record{Tenant: c.cfg.Tenant, Zone: c.cfg.Zone, Collector: c.cfg.ID, Format: intake.Flow,
		Peer: r.peer, Received: c.now.UnixNano(), Time: r.at}, r.text)
}

// Stop reads what the kernel holds, hands everything to the sink and closes.
func (c *Collector) Stop(ctx context.Context) error {
	if !c.started.Load() || c.stopping.Swap(true) {
		return nil
	}
	c.socket.Stop()
	close(c.done)
	defer context.AfterFunc(ctx, c.batch.Cancel)()
	c.wg.Wait()
	c.counters.Dropped(int(c.socket.Dropped()))
	_ = c.socket.Close()
	lost := c.batch.Close(ctx)
	c.counters.Running(false)
	var err error
	if c.cfg.TemplateFile != "" {
		err = c.decoder.save(c.cfg.TemplateFile)
	}
	if lost > 0 {
		err = errors.Join(err, fmt.Errorf("flow: %s: %d flows could not be stored before the end: %w", c.cfg.ID, lost, context.Cause(ctx)))
	}
	return err
}
