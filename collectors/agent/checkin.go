package agent

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"time"

	"icewatch/collectors/agent/breaker"
	"icewatch/collectors/agent/inventory"
	"icewatch/collectors/agent/link"
	"icewatch/collectors/agent/supervise"
	"icewatch/collectors/fleet/wire"
)

// soon is when it is told how a new configuration does whose plug-ins are others'.
const soon = 5 * time.Second

// factsEvery is how often it is looked whether the facts changed.
const factsEvery = 10 * time.Minute

// revokedWait is how long an agent waits that the suite does not know (any more).
const revokedWait = 5 * time.Minute

// checkins speaks with the fleet until ctx ends or it orders the agent's end.
func (a *Agent) checkins(ctx context.Context) error {
	var wait link.Backoff
	var facts *wire.Facts
	var lookedAt time.Time
	tellFacts, offline := true, false
	for ctx.Err() == nil {
		if time.Since(lookedAt) > factsEvery {
			f := inventory.Facts(ctx)
			tellFacts = tellFacts || facts == nil || !reflect.DeepEqual(*facts, f)
			facts, lookedAt = &f, time.Now()
		}
		c := a.state()
		if tellFacts {
			c.Facts = facts
		}
		a.keepStatus(c, nil)
		asked := time.Now()
		orders, sent, err := a.checkin(ctx, c)
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, errAttention):
			continue
		case err != nil:
			a.keepStatus(c, err)
			least := time.Duration(0)
			var refused *link.Refused
			if errors.As(err, &refused) {
				least = refused.RetryAfter
				if refused.Code == wire.CodeRevoked || refused.Code == wire.CodeIdentity {
					least = revokedWait
				}
			}
			if !offline {
				a.Log.Warn("the suite is not reached; what is gathered waits on disk", "error", err)
				offline = true
			}
			if !wait.Wait(ctx, least) {
				return nil
			}
			continue
		}
		if offline {
			a.Log.Info("the suite is reached again")
			offline = false
		}
		wait.Reset()
		tellFacts = false
		a.orders.answered(c.Results)
		a.upgraded()
		if err := a.obey(ctx, orders, sent); err != nil {
			return err
		}
		if orders.Config == nil && len(orders.Commands) == 0 && orders.Leases == nil && time.Since(asked) < 500*time.Millisecond ||
			orders.Config != nil && c.ConfigError != nil && orders.Config.SHA256 == c.ConfigError.SHA256 {
			// A server that answers at once without anything new is not asked in a circle.
			select {
			case <-ctx.Done():
			case <-a.attention:
			case <-time.After(time.Second):
			}
		}
	}
	return nil
}

var errAttention = errors.New("there is something new to tell")

// checkin asks, until there is something new to tell.
func (a *Agent) checkin(ctx context.Context, c *wire.Checkin) (*wire.Orders, time.Time, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	done := make(chan struct{})
	defer close(done)
	go func() {
		// What is on its way at once is not cut off by what happened just before.
		select {
		case <-done:
			return
		case <-time.After(200 * time.Millisecond):
		}
		select {
		case <-done:
		case <-a.attention:
			cancel(errAttention)
		}
	}()
	orders, sent, err := a.client.Checkin(ctx, c)
	if err != nil && errors.Is(context.Cause(ctx), errAttention) {
		return nil, sent, errAttention
	}
	return orders, sent, err
}

// state is what the next checkin tells.
func (a *Agent) state() *wire.Checkin {
	c := &wire.Checkin{Version: a.Version, Modules: a.Modules, State: wire.StateHealthy, Leases: a.parts.Leases(), Inputs: a.parts.States(), Results: a.orders.results(), Extensions: a.extensions.Installed()}
	c.Config, c.ConfigError = a.parts.InForce()
	level, reasons, _ := a.breaker.State()
	if level != breaker.Full {
		c.State, c.Reasons = wire.StateTripped, reasons
	}
	degraded := func(part, text string) {
		if c.State == wire.StateHealthy {
			c.State = wire.StateDegraded
		}
		if len(c.Reasons) < 50 {
			c.Reasons = append(c.Reasons, wire.Reason{Part: part, Text: text})
		}
	}
	for _, in := range c.Inputs {
		if in.State == "failing" {
			degraded(in.Name, in.Error)
		}
	}
	lost, err := a.writer.Lost()
	if err != nil {
		degraded("disk", "samples cannot be kept: "+err.Error())
	}
	for _, f := range []*link.Feed{a.logs, a.metrics, a.inventory} {
		s := f.Queue.Stats()
		c.Queue.Bytes += s.Bytes
		c.Queue.Batches += int64(s.Batches)
		if !s.Oldest.IsZero() {
			c.Queue.OldestSeconds = max(c.Queue.OldestSeconds, int64(time.Since(s.Oldest).Seconds()))
		}
		if _, refused := f.Sent(); refused > 0 {
			degraded("queue", "batches were refused and are kept aside in the folder refused")
		}
		if s.Damaged > 0 {
			degraded("queue", "a part of the queue on disk could not be read back")
		}
	}
	total := a.total(lost)
	c.Queue.DroppedMetrics, c.Queue.DroppedLines, c.Queue.SentLines, c.Queue.SentSamples = total.DroppedMetrics, total.DroppedLines, total.SentLines, total.SentSamples
	last := a.breaker.Last()
	c.Usage = wire.Usage{CPUPercent: a.host.Minute(), MemoryBytes: uint64(max(0, last.MemoryBytes)), DiskBytes: uint64(c.Queue.Bytes), SentBytes: a.client.Sent(), Started: a.started.Unix(),
		Host: &wire.HostUsage{CPUPercent: last.HostCPU, MemoryPercent: last.HostMemory, DiskPercent: last.HostDisk, NetworkKBps: last.HostNetwork}}
	return c
}

// obey does what an answer says.
func (a *Agent) obey(ctx context.Context, o *wire.Orders, sent time.Time) error {
	if o.Config != nil {
		a.configure(o.Config)
	}
	if o.Leases != nil {
		a.parts.Lease(*o.Leases, sent)
	}
	for _, c := range o.Commands {
		if err := a.command(ctx, c); err != nil {
			return err
		}
	}
	return nil
}

// configure puts a document in force, but for one that was refused or rolled back
// before.
func (a *Agent) configure(c *wire.Config) {
	if got := supervise.SHA(c.Document); got != c.SHA256 {
		a.Log.Error("a document does not have the hash that the suite says; it is not taken", "said", c.SHA256, "has", got)
		return
	}
	if _, fault := a.parts.InForce(); fault != nil && fault.SHA256 == c.SHA256 {
		return
	}
	start := time.Now()
	if fault := a.parts.Apply(c.Document); fault == nil {
		a.Log.Info("a new configuration is in force", "version", c.Version, "took", time.Since(start))
		if len(a.extensions.Installed()) > 0 {
			// How plug-ins of others do is told when there is something to tell, not only with the next checkin.
			time.AfterFunc(soon, a.tell)
		}
	}
}

// counters are since the enrolment.
type counters struct {
	DroppedMetrics uint64 `json:"dropped_metrics"`
	DroppedLines   uint64 `json:"dropped_lines"`
	SentLines      uint64 `json:"sent_lines"`
	SentSamples    uint64 `json:"sent_samples"`
}

const countersFile = "counters.json"

func loadCounters(dir string) (c counters) {
	data, err := os.ReadFile(filepath.Join(dir, countersFile))
	if err == nil {
		_ = json.Unmarshal(data, &c) // Damaged ones begin anew.
	}
	return c
}

// total adds what this process counted.
func (a *Agent) total(lost uint64) counters {
	c := a.counters
	lines, refusedLines := a.logs.Sent()
	samples, refusedSamples := a.metrics.Sent()
	c.SentLines += lines
	c.SentSamples += samples
	c.DroppedLines += refusedLines
	c.DroppedMetrics += lost + a.metrics.Queue.Stats().Dropped + refusedSamples
	return c
}

func (a *Agent) keepCounters() {
	lost, _ := a.writer.Lost()
	if err := link.WriteFile(filepath.Join(a.Dir, countersFile), wire.Encode(a.total(lost)), 0o600); err != nil {
		a.Log.Warn("the counters cannot be kept", "error", err)
	}
}

// Status is what the agent last told, for icewatch-agent status.
type Status struct {
	At    time.Time    `json:"at"`
	PID   int          `json:"pid"`
	Error string       `json:"error,omitempty"` // why the suite is not reached
	Said  wire.Checkin `json:"said"`
}

const statusFile = "status.json"

// keepStatus leaves the state for the status command. It need not outlive a kill.
func (a *Agent) keepStatus(c *wire.Checkin, err error) {
	s := Status{At: time.Now(), PID: os.Getpid(), Said: *c}
	if err != nil {
		s.Error = err.Error()
	}
	path := filepath.Join(a.Dir, statusFile)
	if os.WriteFile(path+".new", wire.Encode(s), 0o600) == nil {
		_ = os.Rename(path+".new", path)
	}
}

// ReadStatus is the state that the agent of a folder last told.
func ReadStatus(dir string) (s Status, err error) {
	data, err := os.ReadFile(filepath.Join(dir, statusFile))
	if err != nil {
		return s, errors.Join(errors.New("the agent has not run here yet"), err)
	}
	return s, json.Unmarshal(data, &s)
}
