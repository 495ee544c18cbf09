// Package engine is the suite's second process: it takes raw batches from the
// bus, makes events of them, stores each once, raises occurrences, and answers
// the centre's searches over a private unix socket. When it dies, and its
// storage library does die on a failing disk, nothing is lost: it is started
// again and reads the bus from its checkpoint.
package engine

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"path/filepath"
	"runtime/debug"
	"sort"
	"sync"
	"sync/atomic"
	"time"

	"icewatch/detections"
	rules "icewatch/detections/engine"
	"icewatch/detections/ruleset"
	"icewatch/detections/suppression"
	"icewatch/soc/bus"
	"icewatch/soc/enrich"
	"icewatch/soc/event"
	"icewatch/soc/flows/ledger"
	"icewatch/soc/geo"
	"icewatch/soc/lake"
	"icewatch/soc/lake/arrivals"
	"icewatch/soc/pipeline"
	"icewatch/soc/pipeline/pack"
	"icewatch/soc/retention"
	"icewatch/soc/rhythm/beat"
)

// The control topics of the bus by which the centre steers the engine.
const (
	TopicRules      = "rules"      // ruleset.Bundle
	TopicEnrichment = "enrichment" // parts, each an enrich.Snapshot
	TopicTenants    = "tenants"    // pipeline.Directory as JSON

	TopicSuppressions = "suppressions" // JSON list of suppression.Suppression, those in force
)

// Options say where the engine works and within what bounds. They travel from
// the centre as JSON.
type Options struct {
	Dir           string           // the engine's own folder
	BusSocket     string           // where the centre's bus listens
	QuerySocket   string           // where the engine answers searches
	Keeping       retention.Policy // what is kept how long
	FlushInterval time.Duration    // of the lake
	Unseen        time.Duration    // rows wait so long for their block of the lake while nobody reads it; 0 is ten seconds
	LakeMemory    int64            // bytes for caches and queries; 0 is a quarter of the machine
	Garbage       int64            // bytes of garbage that may lie in memory; 0 is a share of the machine's (soc/garbage)
	MinFree       int64            // bytes to leave free on the disk
	Metrics       MetricOptions    // of the metric lake
	ColdDir       string           // folder for the lake's old days; "" is none
	LakeNodes     []LakeNode       // servers that hold the lake's rows; none: this machine does
	Relays        []netip.Prefix   // whose syslog HOSTNAME names the device
	FieldsMax     int              // fields an event may bring
	NamesMax      int              // field names a tenant may bring
	SenderIDs     int              // senders' ids remembered against repeats
	Keep          uint64           // batches kept on the bus after they are stored
	LogLevel      string           // as in the configuration
	LogFormat     string           // as in the configuration
	Damaged       string           // folder for what is set aside; "" is one below Dir
	ScrubPeriod   time.Duration    // in which every file of the lake is read and compared once; 0 never does
	ScrubRate     int64            // bytes a second that are read for it
	Flood         rules.Flood      // bounds what one rule may raise
	Slow          rules.Slow       // bounds what one rule may take of the time
	PackDirs      []string         // folders of parser packs, which go before the suite's own
	PackInterval  time.Duration    // in which these are looked at besides; 0 is two seconds
	GeoFiles      []string         // databases of where addresses are
	GeoEnglish    bool             // places have English names; Chinese otherwise

	CorrelationMemory int64         // bytes for groups of correlations; 0 is the default
	Lateness          time.Duration // of events that correlations still count; 0 is the default

	Died      string // last words of the engine before this one
	DiedInRow int    // how many engines did not stay up before this one
}

// Engine is one running engine.
type Engine struct {
	opts   Options
	log    *slog.Logger
	client *bus.Client
	lake   *lake.Lake
	loads  chan load // rows on their way to the lake
	left   []load    // of these, what storage could not send when it ended
	pipe   *pipeline.Pipeline
	geo    *geo.Index // nil without databases
	packs  *pack.Live
	seen   *pipeline.Seen
	detect *rules.Engine
	tails  *tails
	reg    *event.Registry
	meter  *meter
	beats  *beat.Counter
	looks  *looks
	edges  *ledger.Ledger // of flows
	health *healed
	metric *metricLake
	series *metricIntake // into the metric lake
	ready  atomic.Bool

	arrivals *arrivals.Ledger // of the batches stored
	shown    shown

	sampleHolds sampleHolds // of what is forwarded on the stream of samples

	hold     hold // of what a backup needs on the bus
	epoch    string
	started  time.Time
	swapped  sync.Mutex                                // one rule set compiles at a time
	rules    ruleset.Cache                             // what is parsed of the set in force
	phases   atomic.Pointer[rules.Phases]              // of the last change of the rules
	problems atomic.Pointer[[]ruleset.Problem]         //
	version  atomic.Pointer[string]                    // of the rules in force
	stored   map[uint64]lake.Indexes                   // what the lake held beyond the checkpoint at the start
	through  uint64                                    // last batch that stored knows of
	marks    []mark                                    // batches handed to the lake, not yet known to be on the disk
	ckpt     checkpoint                                // what is known to be on the disk
	settled  atomic.Uint64                             // ckpt.Stored, for other stages
	treat    treatment                                 // processing rules
	folded   atomic.Uint64                             // events that another stands for
	dropped  atomic.Uint64                             // events that processing rules keep from the lake
	from     uint64                                    // first batch to read
	detected atomic.Uint64                             // last batch whose occurrences are durable
	snapshot atomic.Uint64                             // last batch that the saved state of detection knows of
	halfway  bool                                      // detection has seen a part of the batch at hand
	pending  []detections.Occurrence                   // raised by the batch at hand
	byKey    map[string]int                            // place in pending by occurrence key and rule
	parsed   uint64                                    // last batch parsed
	parsedAt time.Time                                 // when the bus took it
	begun    checkpoint                                // as it was at the start
	handed   position                                  // up to which the lake was given everything
	stuck    bool                                      // a load could not be handed over: none after it may be
	last     atomic.Uint64                             // last batch handed to the lake
	lastTime atomic.Int64                              // when the bus took it
	events   atomic.Uint64                             // events made
	repeats  atomic.Uint64                             // events dropped as repeats of a sender id
	replayed atomic.Uint64                             // events met again that the lake already held
	reduced  atomic.Uint64                             // events whose fields the lake could not hold
	unstored atomic.Uint64                             // events the lake refused even so
	badBatch atomic.Uint64                             // batches that could not be decoded
	raised   atomic.Uint64                             // occurrences published
	restored atomic.Uint64                             // events stored again that a damaged part had held
	tenants  atomic.Pointer[map[string]*atomic.Uint64] // events by tenant since the start
}

// position is a place on the bus.
type position struct {
	seq   uint64    // of the batch
	floor uint64    // sender ids are remembered from this batch on
	at    time.Time // when the bus took the batch
	// folds are the batches up to which windows of folding are over, by their
	// length, where that is not seq.
	folds map[int64]uint64
}

// stored is the batch after which the bus has to be read again.
func (p *position) stored() uint64 {
	seq := p.seq
	for _, s := range p.folds {
		seq = min(seq, s)
	}
	return seq
}

// mark remembers what had been handed to the lake at a position.
type mark struct {
	position
	lake lake.Mark
}

// checkpoint is the engine's memory of its place on the bus.
type checkpoint struct {
	Epoch    string `json:"epoch"`
	Stored   uint64 `json:"stored"`    // batches up to this one are on the lake's disk
	IDsFloor uint64 `json:"ids_floor"` // sender ids are remembered from this batch on
	// Folds are the batches up to which windows of folding are over, by their
	// length in seconds, where that is not Stored.
	Folds   map[int64]uint64 `json:"folds,omitempty"`
	Reached uint64           `json:"reached,omitempty"` // the newest batch of which everything is on the disk, be its repeats not counted out
	// Was is Stored before it was put back for what a damaged part had held; 0
	// where it was not.
	Was uint64 `json:"was,omitempty"`
}

// detectState goes to the disk as one file: what detection remembers and the
// batch after which it remembered that.
type detectState struct {
	Epoch string          `json:"epoch"`
	After uint64          `json:"after"`
	State []byte          `json:"state"`
	Usage json.RawMessage `json:"usage,omitempty"` // what was counted so far
}

// Run runs the engine until ctx ends. It returns an error where it cannot go
// on; whoever supervises it starts it again.
func Run(ctx context.Context, opts Options, log *slog.Logger) error {
	if opts.Unseen <= 0 {
		opts.Unseen = handUnseen
	}
	health, err := heal(ctx, opts, log)
	if err != nil || ctx.Err() != nil {
		return err
	}
	client, err := bus.Connect(opts.BusSocket, log)
	if err != nil {
		return fmt.Errorf("engine: %w", err)
	}
	defer client.Close()
	lakeDir := filepath.Join(opts.Dir, "lake")
	kept, err := health.settle(ctx, opts, lakeDir, log)
	if ctx.Err() != nil {
		return nil
	}
	if err != nil {
		return fmt.Errorf("engine: %w", err)
	}
	lk, err := lake.Open(lake.Options{Dir: lakeDir, Classes: kept,
		FlushInterval: opts.FlushInterval, Memory: opts.LakeMemory, MinFree: opts.MinFree})
	if err != nil {
		return fmt.Errorf("engine: %w", err)
	}
	reg := event.NewRegistry(50_000)
	packs := &pack.Live{}
	e := &Engine{opts: opts, log: log, client: client, lake: lk, loads: make(chan load, loadsWaiting), reg: reg, health: health, started: time.Now(), metric: newMetricLake(opts, health.board, log),
		pipe: pipeline.New(pipeline.Options{Registry: reg, Keeping: &opts.Keeping, Future: lake.FutureLimit, Relays: opts.Relays,
			NamesPerTenant: opts.NamesMax, Parse: parseOptions(opts, packs)}),
		packs: packs,
		seen:  pipeline.NewSeen(opts.SenderIDs), byKey: map[string]int{}, meter: newMeter(), beats: beat.NewCounter(rand.Text()), tails: newTails(), looks: newLooks()}
	e.detect = rules.New(rules.Options{Registry: reg, Log: log, Flood: opts.Flood, Slow: opts.Slow, Places: e.place, Enrich: e.enrich,
		MaxBytes: opts.CorrelationMemory, Lateness: opts.Lateness})
	e.series = newMetricIntake(opts, client, &e.hold, &e.sampleHolds, health.board, log)
	e.takePacks()
	e.openPlaces()
	e.tenants.Store(&map[string]*atomic.Uint64{})
	empty := ""
	e.version.Store(&empty)
	e.problems.Store(&[]ruleset.Problem{})

	ctx, end := context.WithCancelCause(ctx)
	defer end(nil)
	var wg sync.WaitGroup
	defer func() {
		end(nil)
		wg.Wait()
		if e.ready.Load() {
			ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
			if err := e.rest(ctx); err != nil {
				log.Warn("engine: the last events are read from the bus again at the next start", "error", err)
			}
			cancel()
		}
		if e.ready.Load() {
			// Of rows on other machines it is known later whether they are on a disk.
			if err := e.advance(); err != nil {
				log.Warn("engine: the next start reads events from the bus again", "error", err)
			}
		}
		durable := lk.Close()
		if e.edges != nil {
			if err := e.edges.Close(); err != nil {
				log.Error("engine: the last flows are not in the ledger yet; the next start reads them again", "error", err)
			}
		}
		if e.ready.Load() {
			if durable {
				e.settle(e.handed)
			}
			if err := errors.Join(e.saveCheckpoint(), e.saveDetection()); err != nil {
				log.Error("engine: the checkpoint is not saved; the next start replays more", "error", err)
			}
		}
		if e.arrivals != nil {
			if err := e.arrivals.Close(); err != nil {
				log.Error("engine: the list of arrivals is not closed", "error", err)
			}
		}
	}()

	wg.Go(func() { e.metric.run(ctx, e.series) })
	if err := e.control(ctx, &wg); err != nil {
		return err
	}
	if err := e.recover(ctx); err != nil {
		return err
	}
	if ctx.Err() != nil {
		return nil // it was told to stop before it had found its place
	}
	stopQueries, err := e.serveQueries(opts.QuerySocket)
	if err != nil {
		return err
	}
	defer stopQueries()
	wg.Go(func() { health.room.watch(ctx) })
	wg.Go(func() { e.scrubbing(ctx, end) })
	wg.Go(func() { e.watchRules(ctx) })
	wg.Go(func() { e.watchPacks(ctx) })
	wg.Go(func() { e.runPlaces(ctx) })
	e.ready.Store(true)
	wg.Go(func() {
		debug.FreeOSMemory() // packs and rules compile with much that is not needed again
		select {
		case <-time.After(5 * time.Second): // the first rules came from the bus meanwhile
			debug.FreeOSMemory()
		case <-ctx.Done():
		}
	})
	log.Info("engine: ready", "from_batch", e.from, "rules", *e.version.Load())
	err = e.consume(ctx)
	if errors.Is(context.Cause(ctx), errDamaged) {
		return errDamaged
	}
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// control follows the centre's topics, and returns once each has been heard.
func (e *Engine) control(ctx context.Context, wg *sync.WaitGroup) error {
	heard := make(chan string, 16)
	follow := func(topic string, apply func([]byte) error) {
		wg.Go(func() {
			once := sync.Once{}
			err := e.client.Control(ctx, topic, func(data []byte) {
				if err := apply(data); err != nil {
					e.log.Error("engine: a control message is not usable, the one before stays in force", "topic", topic, "error", err)
				}
				once.Do(func() { heard <- topic })
			})
			if err != nil && ctx.Err() == nil {
				e.log.Error("engine: control", "topic", topic, "error", err)
			}
		})
	}
	follow(TopicTenants, func(b []byte) error {
		var d pipeline.Directory
		if err := json.Unmarshal(b, &d); err != nil {
			return err
		}
		e.pipe.SetDirectory(d)
		return nil
	})
	wg.Go(func() {
		index := enrich.EmptyIndex()
		err := e.client.ControlParts(ctx, TopicEnrichment, func(part string, data []byte) {
			s, err := enrich.Decode(data)
			if err == nil {
				err = index.Update(s)
			}
			if err != nil {
				e.log.Error("engine: a control message is not usable, the one before stays in force", "topic", TopicEnrichment, "part", part, "error", err)
			}
		}, func() {
			e.pipe.SetIndex(index)
			heard <- TopicEnrichment
		})
		if err != nil && ctx.Err() == nil {
			e.log.Error("engine: control", "topic", TopicEnrichment, "error", err)
		}
	})
	follow(TopicRules, e.takeRules)
	follow(TopicSuppressions, e.takeSuppressions)
	follow(TopicProcessing, e.takeProcessing) // until it is heard those of the last time are in force
	missing := map[string]bool{TopicTenants: true, TopicEnrichment: true, TopicRules: true}
	timeout := time.After(60 * time.Second)
	for len(missing) > 0 {
		select {
		case topic := <-heard:
			delete(missing, topic)
		case <-ctx.Done():
			return nil
		case <-timeout:
			return fmt.Errorf("engine: heard nothing from the centre within 60 s on %v", missing)
		}
	}
	return nil
}

// recover finds the engine's place on the bus and what the lake already holds
// of the batches after it.
func (e *Engine) recover(ctx context.Context) error {
	if ctx.Err() != nil {
		return nil
	}
	st, err := e.client.RawState(ctx)
	if err != nil {
		return err
	}
	e.epoch = st.Epoch
	if e.trusted("checkpoint.json", &e.ckpt, "引擎检查点文件损坏，已隔离；总线上的全部批次将与日志库比对后补存，不会丢失或重复", "the checkpoint is damaged and set aside; everything on the bus is compared with the lake, so that nothing is lost or doubled") != nil {
		e.ckpt = checkpoint{}
	}
	if e.ckpt.Epoch != e.epoch {
		e.ckpt = checkpoint{Epoch: e.epoch}
	}
	e.ckpt.rewound(st)
	if e.ckpt.Stored > st.Last {
		return fmt.Errorf("engine: the bus ends at batch %d, but %d were stored: its folder was put back to an earlier state; remove it to begin a new one", st.Last, e.ckpt.Stored)
	}
	var ds detectState
	if e.trusted("detection.json", &ds, "检测状态文件损坏，已隔离；关联检测从头开始，正在累计的计数与序列会重新计起", "the state of detection is damaged and set aside; correlation begins anew, and counts and sequences under way start over") != nil {
		ds = detectState{Epoch: e.epoch, After: e.ckpt.Stored}
	}
	if ds.Epoch == e.epoch {
		if len(ds.State) > 0 {
			if err := e.detect.Restore(ds.State); err != nil {
				e.log.Error("engine: the state of detection is not usable; correlation begins anew", "error", err)
			}
		}
		e.detected.Store(ds.After)
	}
	e.snapshot.Store(e.detected.Load())
	if err := e.meter.restore(ds.Usage); err != nil {
		e.log.Error("engine: the count of what the tenants used is not readable; a new one begins", "error", err)
	}
	accounts := e.pipe.Accounts()
	e.stored, err = e.lake.Stored(ctx, e.epoch, e.ckpt.Stored, accounts)
	if err != nil {
		return err
	}
	for seq := range e.stored {
		e.through = max(e.through, seq)
	}
	type sent struct {
		tenant, id string
		at         event.ID
	}
	var ids []sent
	err = e.lake.SenderIDs(ctx, e.epoch, e.ckpt.IDsFloor, accounts, func(tenant, id string, at event.ID) {
		at.Epoch = e.epoch
		ids = append(ids, sent{clone(tenant), clone(id), at})
	})
	if err != nil {
		return err
	}
	sort.Slice(ids, func(i, j int) bool {
		a, b := ids[i].at, ids[j].at
		return a.Sequence < b.Sequence || a.Sequence == b.Sequence && a.Index < b.Index
	})
	for _, s := range ids {
		e.seen.Repeated(s.tenant, s.id, s.at)
	}
	e.from = min(e.ckpt.Stored, e.detected.Load()) + 1
	if err := e.openEdges(ctx, st); err != nil {
		return err
	}
	if err := e.openArrivals(ctx); err != nil {
		return err
	}
	e.openProcessing()
	e.last.Store(e.ckpt.Stored)
	e.handed = position{seq: e.ckpt.Stored, floor: e.ckpt.IDsFloor, folds: e.ckpt.Folds}
	e.settled.Store(e.ckpt.Stored)
	e.begun = e.ckpt
	e.log.Info("engine: recovered", "epoch", e.epoch, "stored", e.ckpt.Stored, "detected", e.detected.Load(),
		"batches_ahead", len(e.stored), "sender_ids", len(ids), "bus_first", st.First, "bus_last", st.Last)
	if first := e.from; st.Messages > 0 && st.First > first && st.First > e.ckpt.Stored+1 {
		e.missed(first, st.First, time.Time{}, time.Time{})
	}
	if st.Messages > 0 {
		// The first batch that comes must be this one; else there is a gap.
		e.parsed = max(e.from, st.First) - 1
	}
	return nil
}

func (e *Engine) path(name string) string { return filepath.Join(e.opts.Dir, name) }

// advance moves the storage checkpoint to the newest batch all of whose rows
// are on the disk. An error says that rows were lost on their way there: then
// the engine starts again, from the checkpoint.
func (e *Engine) advance() error {
	moved := false
	for len(e.marks) > 0 {
		ok, err := e.lake.Durable(e.marks[0].lake)
		if err != nil {
			return fmt.Errorf("engine: events since batch %d have to be stored again: %w", e.ckpt.Stored+1, err)
		}
		if !ok {
			break
		}
		e.settle(e.marks[0].position)
		e.marks = e.marks[1:]
		moved = true
	}
	if moved {
		if err := e.saveCheckpoint(); err != nil {
			e.log.Error("engine: the checkpoint is not saved", "error", err)
		}
	}
	return nil
}

// settle moves the checkpoint.
func (e *Engine) settle(p position) {
	e.ckpt.Stored, e.ckpt.IDsFloor, e.ckpt.Folds = max(e.ckpt.Stored, p.stored()), p.floor, p.folds
	e.ckpt.Reached = max(e.ckpt.Reached, p.seq)
	e.settled.Store(e.ckpt.Stored)
}

func (e *Engine) saveCheckpoint() error {
	e.ckpt.Epoch = e.epoch
	// No batch lies before the checkpoint of which it is not noted when it came.
	if err := e.saved(arrivalsFolder, e.arrivals.Save(context.Background(), e.ckpt.Stored)); err != nil {
		return err
	}
	if e.ckpt.Stored >= e.ckpt.Was {
		e.ckpt.Was = 0 // all that a damaged part had held is stored again, or cannot be
	}
	return e.saved("checkpoint.json", writeJSON(e.path("checkpoint.json"), e.ckpt))
}

func (e *Engine) saveDetection() error {
	write, err := e.takeDetection()
	if write == nil || err != nil {
		return err
	}
	return write()
}

// takeDetection takes the state of detection and returns what writes it down, which
// needs nothing that detection changes; nil where there is none to be taken.
func (e *Engine) takeDetection() (write func() error, err error) {
	if e.halfway {
		return nil, nil // a batch was left half done: the state before it stands
	}
	state, err := e.detect.Snapshot()
	if err != nil {
		return nil, fmt.Errorf("engine: snapshot of detection: %w", err)
	}
	after, usage := e.detected.Load(), e.meter.snapshot()
	return func() error {
		err := writeJSON(e.path("detection.json"), detectState{Epoch: e.epoch, After: after, State: state, Usage: usage})
		if err == nil {
			e.meter.saved()
			e.snapshot.Store(after)
		}
		return e.saved("detection.json", err)
	}, nil
}

// trim lets go of the batches that are stored and that detection will not ask
// for again after a kill, but for the newest: the bus must never be empty, or its numbering could start over.
func (e *Engine) trim(ctx context.Context) {
	done := min(e.ckpt.Stored, e.snapshot.Load(), e.edges.Position())
	if done <= e.opts.Keep+1 {
		return
	}
	e.hold.unlessHeld(func() {
		ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
		defer cancel()
		if err := e.client.TrimRaw(ctx, done-e.opts.Keep); err != nil && ctx.Err() == nil {
			e.log.Warn("engine: trimming the bus", "error", err)
		}
	})
}

func (e *Engine) count(tenant string) {
	m := *e.tenants.Load()
	c, ok := m[tenant]
	if !ok {
		next := make(map[string]*atomic.Uint64, len(m)+1)
		for k, v := range m {
			next[k] = v
		}
		c = &atomic.Uint64{}
		next[clone(tenant)] = c
		e.tenants.Store(&next)
	}
	c.Add(1)
}

// takeSuppressions keeps apart from now on what these suppressions tell apart.
func (e *Engine) takeSuppressions(data []byte) error {
	var list []suppression.Suppression
	if err := json.Unmarshal(data, &list); err != nil {
		return fmt.Errorf("engine: suppressions: %w", err)
	}
	set, _ := suppression.Compile(list) // the centre has told of faults
	e.detect.Suppress(set)
	return nil
}

// maxEventIDs is how many events an occurrence names.
const maxEventIDs = 100

// raise gathers the occurrences of a batch. Matches of one rule for one group
// within the batch become one occurrence that counts them: a rule that meets
// every event raises as many occurrences as it has groups, not as events. A
// replay reads the same batch and so raises the same.
//
// Windows that are over, and what was held back in a flood, come due in a batch
// or while nothing comes, as the clock has it: each keeps the id by which the
// centre knows it again, or a replay that meets two of them at once would hide
// the second behind the first.
func (e *Engine) raise(o detections.Occurrence) {
	if o.Rule.Kind != ruleset.KindSigma || o.Held > 0 {
		e.pending = append(e.pending, o)
		return
	}
	key := o.Key + suppression.Apart(&o, o.Shared)
	if o.Rule.Output != "" {
		key += "\x00" + o.Rule.Output // another of the rule's outputs says another thing
	}
	at, ok := e.byKey[key]
	if !ok {
		e.byKey[key] = len(e.pending)
		e.pending = append(e.pending, o)
		return
	}
	p := &e.pending[at]
	p.Count += o.Count
	p.Firings = max(1, p.Firings) + 1
	p.EventIDs = append(p.EventIDs, o.EventIDs...)
	if n := len(p.EventIDs); n > maxEventIDs {
		p.EventIDs = p.EventIDs[n-maxEventIDs:]
	}
	if o.From.Before(p.From) {
		p.From = o.From
	}
	if o.Time.After(p.Time) {
		p.Time, p.Fields, p.Evidence, p.Rule = o.Time, o.Fields, o.Evidence, o.Rule
	}
	if o.Priority < p.Priority {
		p.Priority, p.Reasons = o.Priority, o.Reasons
	}
}

// maxMessage is how many bytes of occurrences go into one message.
const maxMessage = 4 << 20

// publish makes the occurrences of the batch durable before detection counts
// the batch as done.
func (e *Engine) publish(ctx context.Context) error {
	for i := 0; i < len(e.pending); {
		b, count := []byte{'['}, 0
		for ; i < len(e.pending) && len(b) < maxMessage; i++ {
			one, err := json.Marshal(&e.pending[i])
			if err != nil {
				return fmt.Errorf("engine: occurrence of rule %s: %w", e.pending[i].Rule.ID, err)
			}
			if count++; count > 1 {
				b = append(b, ',')
			}
			b = append(b, one...)
		}
		b = append(b, ']')
		for wait := 50 * time.Millisecond; ; wait = min(2*wait, 5*time.Second) {
			err := e.client.PublishOccurrences(ctx, b)
			if err == nil {
				break
			}
			e.log.Warn("engine: occurrences wait for the bus", "error", err)
			select {
			case <-time.After(wait):
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		e.raised.Add(uint64(count))
	}
	return nil
}
