// Package agent is the program on a host: it gathers figures with telegraf's
// inputs, follows files and the journal, watches files for changes and takes the
// inventory, as a document of the fleet says, and sends all of it over one
// connection. Its rooms: config (the document), inputs and plugins, filewatch,
// integrity, inventory, queue (what is not sent yet), link (the connection), breaker
// (what the agent may take) and supervise (documents in force). This package wires
// them, in one order, and speaks with the fleet.
package agent

import (
	"context"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"sync"
	"time"

	"github.com/klauspost/compress/zstd"

	"icewatch/collectors/agent/breaker"
	"icewatch/collectors/agent/config"
	"icewatch/collectors/agent/containers"
	"icewatch/collectors/agent/extension"
	"icewatch/collectors/agent/filewatch"
	"icewatch/collectors/agent/inputs"
	"icewatch/collectors/agent/integrity"
	"icewatch/collectors/agent/inventory"
	"icewatch/collectors/agent/link"
	"icewatch/collectors/agent/program"
	"icewatch/collectors/agent/queue"
	"icewatch/collectors/agent/supervise"
	"icewatch/collectors/fleet/wire"
)

// Options are what the host itself decides.
type Options struct {
	Dir      string            // of everything that the agent keeps
	Allowed  []string          // plug-ins that run commands and that documents may use here
	Version  string            // of this program
	Modules  map[string]string // versions of its parts
	Every    time.Duration     // of the breaker; breaker.Every where it is 0
	Trial    time.Duration     // of documents; supervise's own where it is 0
	Log      *slog.Logger
	Document string // in force until the fleet sends one; config.Default where it is empty
}

// What Run ends with when an order of the fleet is why.
var (
	ErrRestart   = errors.New("the fleet ordered a restart")
	ErrUninstall = errors.New("the fleet ordered the removal")
)

// Parts of the disk that the kinds of batches may take, in percent.
const (
	logsPercent      = 60
	metricsPercent   = 35
	inventoryPercent = 5
)

// Agent is one running agent.
type Agent struct {
	Options
	client    *link.Client
	logs      *link.Feed
	metrics   *link.Feed
	inventory *link.Feed
	writer    *inputs.Writer
	sink      *filewatch.Sink
	files     *filewatch.Watcher
	host      *breaker.Host
	breaker   *breaker.Breaker
	parts     *supervise.Supervisor
	started   time.Time
	counters  counters
	orders    *orders
	// extensions has the packages of extension plug-ins.
	extensions *extension.Store

	attention chan struct{} // something to tell at once
	take      chan struct{} // an inventory is due now
	contained string        // state of the containers that the last inventory told; inventories alone touches it

	mu   sync.Mutex
	plan *wire.InventoryPlan
}

// Run runs the agent until ctx ends or the fleet orders its end.
func Run(ctx context.Context, o Options) error {
	if _, err := link.LoadIdentity(o.Dir); err != nil {
		return err
	}
	unlock, err := program.Lock(filepath.Join(o.Dir, "lock"), "agent")
	if err != nil {
		return err
	}
	defer unlock()
	id, err := link.LoadIdentity(o.Dir)
	if err != nil {
		return err
	}
	// The agent is a guest: two cores and little memory are enough.
	// Its heap is small: collecting it more often than Go does would take more
	// processor time than the few megabytes are worth (make bench-agent).
	runtime.GOMAXPROCS(min(2, runtime.GOMAXPROCS(0)))
	a := &Agent{Options: o, started: time.Now(), attention: make(chan struct{}, 1), take: make(chan struct{}, 1)}
	pending, back := a.onTrial()
	if back {
		return ErrRestart
	}
	if pending {
		var end context.CancelCauseFunc
		ctx, end = context.WithCancelCause(ctx)
		defer time.AfterFunc(trialTime, func() {
			if _, err := os.Stat(filepath.Join(o.Dir, trialFile)); err == nil {
				end(ErrRestart)
			}
		}).Stop()
	}
	if a.client, err = link.NewClient(o.Dir, id, o.Log); err != nil {
		return err
	}
	defer a.client.Close()
	if err := a.open(); err != nil {
		return err
	}
	return a.run(ctx)
}

// open opens the queues and what writes to them.
func (a *Agent) open() error {
	total := int64(512) << 20
	open := func(name string, percent int64, drop bool, path, kind, encoding string) (*link.Feed, error) {
		q, err := queue.Open(filepath.Join(a.Dir, "queue", name), queue.Options{MaxBytes: total * percent / 100, SegmentBytes: 2 << 20, DropOldest: drop})
		if err != nil {
			return nil, err
		}
		return &link.Feed{Queue: q, Path: path, Type: kind, Encoding: encoding, Aside: link.AsideDir(filepath.Join(a.Dir, "refused"), 32<<20, a.Log)}, nil
	}
	var err error
	if a.logs, err = open("logs", logsPercent, false, wire.PathLogs, wire.TypeRecords, ""); err != nil {
		return err
	}
	if a.metrics, err = open("metrics", metricsPercent, true, wire.PathMetrics, wire.TypeMetrics, wire.EncodingSnap); err != nil {
		return err
	}
	if a.inventory, err = open("inventory", inventoryPercent, true, wire.PathInventory, wire.TypeInventory, wire.EncodingZstd); err != nil {
		return err
	}
	a.counters = loadCounters(a.Dir)
	a.orders = loadOrders(a.Dir)
	a.writer = inputs.NewWriter(a.metrics.Queue.Append, nil)
	a.sink = filewatch.NewSink(a.logs.Queue, 50*time.Millisecond)
	a.writer.Events = &inputs.Events{Sink: a.sink, Dir: filepath.Join(a.Dir, "events")}
	if a.files, err = filewatch.New(filepath.Join(a.Dir, "positions"), a.sink, a.Log); err != nil {
		return err
	}
	a.extensions = extension.NewStore(filepath.Join(a.Dir, "extensions"), func() ed25519.PublicKey { return a.client.Identity().ReleaseKey })
	a.host = breaker.NewHost(a.Dir, a.queued, a.client.Waited)
	a.host.Programs = a.extensions.Usage
	a.breaker = breaker.New(a.host, wire.Limits{}, a.stepped)
	a.parts = supervise.New(supervise.Parts{Dir: a.Dir, Writer: a.writer, Sink: a.sink, Files: a.files,
		Integrity: integrity.New(a.Dir, a.sink, func() bool { return a.parts.Level() != breaker.Full }, a.Log),
		Breaker:   a.breaker, Inventory: a.schedule, Limits: a.limit, Extensions: a.extensions, Allowed: a.Allowed, Trial: a.Trial, Log: a.Log})
	return nil
}

func (a *Agent) queued() (n int64) {
	for _, f := range []*link.Feed{a.logs, a.metrics, a.inventory} {
		n += f.Queue.Stats().Bytes
	}
	return n
}

// stepped is called by the breaker.
func (a *Agent) stepped(level breaker.Level, reasons []wire.Reason) {
	a.parts.Pace(level)
	words := []string{"everything runs again", "the agent steps back", "the agent holds everything"}
	a.Log.Warn(words[level], "reasons", reasons)
	if level != breaker.Full {
		debug.FreeOSMemory()
	}
	a.tell()
}

// tell ends the checkin that waits, so that the next one tells what is new.
func (a *Agent) tell() {
	select {
	case a.attention <- struct{}{}:
	default:
	}
}

// limit puts a document's limits in force.
func (a *Agent) limit(l wire.Limits) {
	a.client.Limit(l.NetworkKBps << 10)
	disk := int64(l.DiskMB) << 20
	a.logs.Queue.Resize(disk * logsPercent / 100)
	a.metrics.Queue.Resize(disk * metricsPercent / 100)
	a.inventory.Queue.Resize(disk * inventoryPercent / 100)
	if os.Getenv("GOMEMLIMIT") == "" {
		// The rest is the program itself and what the kernel counts with it.
		debug.SetMemoryLimit(int64(l.MemoryMB) << 20 * 6 / 10)
	}
}

// schedule takes a document's plan for the inventory.
func (a *Agent) schedule(p *wire.InventoryPlan) {
	a.mu.Lock()
	before := a.plan
	a.plan = p
	a.mu.Unlock()
	if p != nil && (before == nil || before.Interval != p.Interval) {
		a.takeInventory()
	}
}

func (a *Agent) takeInventory() {
	select {
	case a.take <- struct{}{}:
	default:
	}
}

func (a *Agent) run(ctx context.Context) (err error) {
	work, cancel := context.WithCancel(context.Background())
	defer cancel()
	var all sync.WaitGroup
	document := a.Document
	if document == "" {
		document = config.Default
	}
	if fault := a.parts.Start(document); fault != nil {
		a.Log.Warn("the document of the last run is refused", "part", fault.Part, "line", fault.Line, "error", fault.Text)
	}
	every := a.Every
	if every == 0 {
		every = breaker.Every
	}
	for _, f := range []*link.Feed{a.logs, a.metrics, a.inventory} {
		all.Go(func() { a.client.Send(work, f) })
	}
	all.Go(func() { a.breaker.Run(work, every) })
	all.Go(func() { a.flush(work) })
	all.Go(func() { a.inventories(work) })
	all.Go(func() { a.renewals(work) })
	a.Log.Info("the agent runs", "agent", a.client.Identity().Agent, "tenant", a.client.Identity().Tenant, "version", a.Version)
	err = a.checkins(ctx)

	end, done := context.WithTimeout(context.Background(), 5*time.Second)
	defer done()
	a.parts.Stop(end)
	a.writer.Flush()
	cancel()
	all.Wait()
	a.keepCounters()
	for _, f := range []*link.Feed{a.logs, a.metrics, a.inventory} {
		err = errors.Join(err, f.Queue.Close())
	}
	if errors.Is(err, ErrRestart) || err == nil && errors.Is(context.Cause(ctx), ErrRestart) {
		return ErrRestart
	}
	return err
}

// flush makes samples durable and keeps the counters.
func (a *Agent) flush(ctx context.Context) {
	t := time.NewTicker(inputs.FlushEvery)
	defer t.Stop()
	for n := 0; ; n++ {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
			a.writer.Flush()
			if n%12 == 0 {
				a.keepCounters()
			}
		}
	}
}

var pack, _ = zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithLowerEncoderMem(true)) // Its options are right.

// Containers come and go by the minute: how often they are looked at, and how soon after an inventory
// another is taken for them.
const (
	containersEvery = time.Minute
	containersAfter = 5 * time.Minute
)

// due waits until an inventory is to be taken: its time is there, one was asked for, or the
// containers of the host are others than those told. It answers false when ctx ends.
func (a *Agent) due(ctx context.Context) bool {
	planned := func() (plan *wire.InventoryPlan, every time.Duration) {
		a.mu.Lock()
		defer a.mu.Unlock()
		if a.plan != nil && a.plan.Interval > 0 {
			return a.plan, time.Duration(a.plan.Interval)
		}
		return a.plan, inventory.Every
	}
	_, every := planned()
	t, look := time.NewTimer(every), time.NewTicker(containersEvery)
	defer t.Stop()
	defer look.Stop()
	began := time.Now()
	for {
		select {
		case <-ctx.Done():
			return false
		case <-t.C:
			plan, every := planned()
			if plan != nil {
				return true
			}
			t.Reset(every)
		case <-a.take:
			return true
		case <-look.C:
			plan, _ := planned()
			if plan == nil || slices.Contains(plan.Skip, "containers") || time.Since(began) < containersAfter || a.parts.Level() == breaker.Held {
				continue
			}
			bounded, cancel := context.WithTimeout(ctx, 20*time.Second)
			list, err := containers.Host.Read(bounded)
			cancel()
			if err == nil && containers.State(list) != a.contained {
				return true
			}
		}
	}
}

// inventories takes the inventory when it is due.
func (a *Agent) inventories(ctx context.Context) {
	for {
		if !a.due(ctx) {
			return
		}
		for a.parts.Level() == breaker.Held && ctx.Err() == nil {
			select {
			case <-ctx.Done():
			case <-time.After(time.Second):
			}
		}
		var skip []string
		a.mu.Lock()
		if a.plan != nil {
			skip = a.plan.Skip
		}
		a.mu.Unlock()
		bounded, cancel := context.WithTimeout(ctx, 2*time.Minute)
		v := inventory.Take(bounded, skip)
		a.contained = containers.State(v.Containers)
		cancel()
		if ctx.Err() != nil {
			return
		}
		text, _ := json.Marshal(v) // Plain structs: it cannot fail.
		if err := a.inventory.Queue.Append(pack.EncodeAll(text, nil), 1); err != nil {
			a.Log.Error("the inventory cannot be kept", "error", err)
		}
	}
}

// renewals asks for the next certificate in time.
func (a *Agent) renewals(ctx context.Context) {
	var wait link.Backoff
	for {
		left := time.Until(a.client.Identity().RenewAt())
		t := time.NewTimer(min(max(left, 0), time.Hour))
		select {
		case <-ctx.Done():
			t.Stop()
			return
		case <-t.C:
		}
		if left > time.Hour {
			continue
		}
		if err := a.client.Renew(ctx); err != nil {
			_, until := a.client.Identity().Validity()
			a.Log.Warn("the certificate cannot be renewed yet", "valid until", until, "error", err)
			if !wait.Wait(ctx, time.Minute) {
				return
			}
			continue
		}
		wait.Reset()
		a.Log.Info("the certificate is renewed")
	}
}

// Test gathers once with a document and calls out with each batch.
func Test(document string, allowed []string, log *slog.Logger, out func(body []byte, samples int) error) error {
	plan, err := config.Read([]byte(document))
	if err != nil {
		return err
	}
	w := inputs.NewWriter(out, plan.Labels)
	var errs []error
	for _, in := range plan.Inputs {
		built, err := inputs.Build(in, allowed)
		if err == nil {
			err = built.Gather(w, log)
		}
		if err != nil {
			errs = append(errs, err)
		}
	}
	w.Flush()
	return errors.Join(errs...)
}

// Enrol makes the host an agent of the suite that a token names.
func Enrol(ctx context.Context, dir, token, version string, again bool) (*link.Identity, error) {
	id, err := link.Enrol(ctx, dir, token, inventory.Facts(ctx), version, again)
	if err != nil {
		return nil, fmt.Errorf("%w", err)
	}
	return id, nil
}
