// Package supervise puts configuration documents in force on a running agent. A
// document is built whole before anything that runs is touched; what did not change
// goes on; where a part cannot start, everything stays as it was. After a change the
// agent is watched for a while, and goes back to the former document where the new
// one made it unhealthy, or killed it.
package supervise

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"icewatch/collectors/agent/breaker"
	"icewatch/collectors/agent/config"
	"icewatch/collectors/agent/extension"
	"icewatch/collectors/agent/filewatch"
	"icewatch/collectors/agent/inputs"
	"icewatch/collectors/agent/integrity"
	"icewatch/collectors/agent/link"
	"icewatch/collectors/fleet/wire"
	"icewatch/soc/intake"
)

// Parts are what documents steer.
type Parts struct {
	Dir       string // of documents
	Writer    *inputs.Writer
	Sink      *filewatch.Sink
	Files     *filewatch.Watcher
	Integrity *integrity.Watcher
	Breaker   *breaker.Breaker
	Inventory func(*wire.InventoryPlan)
	Limits    func(wire.Limits)
	// Extensions has the packages of extension plug-ins; nil where there are none.
	Extensions *extension.Store
	Allowed    []string      // plug-ins of inputs.NeedsLeave that this host allows
	Trial      time.Duration // how long a new document is watched; 30 s where it is 0
	Log        *slog.Logger
}

// Supervisor holds the document in force. Its methods are safe for concurrent use.
type Supervisor struct {
	Parts
	pace atomic.Int32 // of inputs

	mu     sync.Mutex // one change at a time
	now    inForce
	before *inForce // during a trial
	stop   context.CancelFunc
	fault  *wire.Fault
	leases map[string]*lease
	closed bool
	// booting says that the document of the last run is being put in force.
	booting bool
}

// inForce is a document that runs.
type inForce struct {
	text   string
	sha    string
	plan   *config.Plan
	inputs []*inputs.Input
}

// New supervises nothing yet.
func New(p Parts) *Supervisor {
	if p.Trial == 0 {
		p.Trial = 30 * time.Second
	}
	return &Supervisor{Parts: p, now: inForce{plan: &config.Plan{}}, leases: map[string]*lease{}}
}

// SHA is the name of a document, as the wire has it.
func SHA(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}

const (
	currentFile = "document.yaml"
	formerFile  = "former.yaml"
	trialFile   = "trial.json"
)

// stopWait is how long what is replaced may take to end.
const stopWait = 2 * time.Second

// Start puts the document of the last run in force, or otherwise. Where the agent
// died while it tried that document, the former one is taken.
func (s *Supervisor) Start(otherwise string) *wire.Fault {
	text, err := os.ReadFile(filepath.Join(s.Dir, currentFile))
	if err != nil {
		text = []byte(otherwise)
	}
	var died wire.Fault
	if data, err := os.ReadFile(filepath.Join(s.Dir, trialFile)); err == nil && json.Unmarshal(data, &died) == nil {
		former, err := os.ReadFile(filepath.Join(s.Dir, formerFile))
		if err != nil {
			former = []byte(otherwise)
		}
		died.Text, died.RolledBack, died.At = "the agent ended while this document was new; it went back to the former one", true, time.Now().Unix()
		s.mu.Lock()
		s.fault = &died
		s.mu.Unlock()
		text = former
		if err := link.WriteFile(filepath.Join(s.Dir, currentFile), text, 0o600); err != nil {
			s.Log.Error("the former document cannot be kept", "error", err)
		}
		_ = os.Remove(filepath.Join(s.Dir, trialFile))
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.booting = true
	fault := s.swap(string(text))
	s.booting = false
	if fault != nil && s.fault == nil {
		s.fault = fault
	}
	return fault
}

// Apply puts a document in force. What it is refused for is returned and shown
// until another is taken.
func (s *Supervisor) Apply(text string) *wire.Fault {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || SHA(text) == s.now.sha {
		if s.fault != nil && s.fault.SHA256 != s.now.sha {
			s.fault = nil // The server wants what runs.
		}
		return nil
	}
	s.endTrial()
	former := s.now
	// The marks stand before the change: whatever happens from here on, the next
	// start knows.
	marks := errors.Join(
		link.WriteFile(filepath.Join(s.Dir, formerFile), []byte(former.text), 0o600),
		link.WriteFile(filepath.Join(s.Dir, trialFile), wire.Encode(wire.Fault{SHA256: SHA(text), Part: "document"}), 0o600))
	if marks == nil {
		marks = link.WriteFile(filepath.Join(s.Dir, currentFile), []byte(text), 0o600)
	}
	if marks != nil {
		s.fault = s.faultOf(text, fmt.Errorf("the document cannot be kept on this host: %w", marks))
		_ = os.Remove(filepath.Join(s.Dir, trialFile))
		return s.fault
	}
	if fault := s.swap(text); fault != nil {
		s.fault = fault
		s.keep(former.text)
		_ = os.Remove(filepath.Join(s.Dir, trialFile))
		s.Log.Warn("a document is refused; the one in force stays", "part", fault.Part, "line", fault.Line, "error", fault.Text)
		return fault
	}
	s.fault = nil
	s.Log.Info("a document is in force", "sha256", s.now.sha[:12], "inputs", len(s.now.inputs))
	s.before = &former
	ctx, cancel := context.WithCancel(context.Background())
	s.stop = cancel
	go s.watch(ctx, s.now, former)
	return nil
}

func (s *Supervisor) keep(text string) {
	if err := link.WriteFile(filepath.Join(s.Dir, currentFile), []byte(text), 0o600); err != nil {
		s.Log.Error("the document in force cannot be kept", "error", err)
	}
}

func (s *Supervisor) faultOf(text string, err error) *wire.Fault {
	f := &wire.Fault{SHA256: SHA(text), Part: "document", Text: err.Error(), At: time.Now().Unix()}
	var d *wire.DocumentError
	if errors.As(err, &d) {
		f.Part, f.Line, f.Text = d.Part, d.Line, d.Text
		if f.Part == "" {
			f.Part = "document"
		}
	}
	return f
}

// swap builds a document whole, starts what is new of it, and ends what is no more.
func (s *Supervisor) swap(text string) *wire.Fault {
	next := inForce{text: text, sha: SHA(text)}
	var err error
	if next.plan, err = config.Read([]byte(text)); err != nil {
		return s.faultOf(text, err)
	}
	var fresh []*inputs.Input
	for _, in := range next.plan.Inputs {
		key := in.Key()
		if i := slices.IndexFunc(s.now.inputs, func(o *inputs.Input) bool { return o.Key() == key }); i >= 0 {
			next.inputs = append(next.inputs, s.now.inputs[i])
			continue
		}
		built, err := s.build(in)
		if err != nil {
			return s.faultOf(text, err)
		}
		next.inputs = append(next.inputs, built)
		fresh = append(fresh, built)
	}
	files, err := s.Files.Prepare(&next.plan.Document)
	if err == nil {
		err = integrity.Check(next.plan.Integrity)
	}
	if err != nil {
		return s.faultOf(text, err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), stopWait)
	defer cancel()
	for i, in := range fresh {
		if err := in.Start(s.Writer, &s.pace, s.Log); err != nil {
			end(ctx, fresh[:i])
			return s.faultOf(text, err)
		}
	}
	if err := s.Files.Swap(ctx, files); err != nil {
		end(ctx, fresh)
		return s.faultOf(text, err)
	}
	var gone []*inputs.Input
	for _, o := range s.now.inputs {
		if !slices.Contains(next.inputs, o) {
			gone = append(gone, o)
		}
	}
	end(ctx, gone)
	s.Writer.SetLabels(next.plan.Labels)
	s.Sink.SetLabels(next.plan.Labels)
	s.Integrity.Apply(next.plan.Integrity)
	s.Breaker.SetLimits(next.plan.Limits)
	s.Limits(next.plan.Limits)
	s.Inventory(next.plan.Inventory)
	s.now = next
	return nil
}

// build makes an input of telegraf's or of an extension plug-in.
func (s *Supervisor) build(in config.Input) (*inputs.Input, error) {
	if in.Extension == nil {
		return inputs.Build(in, s.Allowed)
	}
	if s.Extensions == nil {
		return nil, in.Fault(0, "extension plug-ins do not run here")
	}
	settings := extension.Settings{Package: in.Extension.Package, Version: in.Extension.Version, Options: in.Extension.Options}
	if settings.Version == "" {
		for _, x := range s.Extensions.Installed() {
			if x.Name == settings.Package {
				settings.Version = x.Version
			}
		}
	}
	if settings.Version == "" {
		return nil, in.Fault(0, "the plug-in %s is not installed on this host", settings.Package)
	}
	plugin, err := s.Extensions.New(settings)
	if err != nil && s.booting {
		// One plug-in that was tampered with does not take the others along.
		return inputs.Wrap(in, extension.Broken(settings, err)), nil
	}
	if err != nil {
		return nil, in.Fault(0, "%v", err)
	}
	plugin.Sink = s.Sink
	for _, k := range slices.Sorted(maps.Keys(in.Labels)) {
		plugin.Labels = append(plugin.Labels, intake.Attr{Name: "labels." + k, Value: in.Labels[k]})
	}
	return inputs.Wrap(in, plugin), nil
}

// Extended names the versions of a package that the document in force and the one before need.
func (s *Supervisor) Extended(name string) (versions []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	lists := [][]*inputs.Input{s.now.inputs}
	if s.before != nil {
		lists = append(lists, s.before.inputs)
	}
	for _, list := range lists {
		for _, in := range list {
			if x := in.State().Extension; x != nil && x.Package == name {
				versions = append(versions, x.Version)
			}
		}
	}
	return versions
}

// PauseExtension stops the inputs of a package, or starts them again; it tells how many there are.
func (s *Supervisor) PauseExtension(name string, on bool) (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, in := range s.now.inputs {
		if x := in.Config().Extension; x != nil && x.Package == name {
			in.Pause(on)
			n++
		}
	}
	return n
}

// Reinstalled starts the inputs of a package anew whose files were put in place again.
func (s *Supervisor) Reinstalled(name, version string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, in := range s.now.inputs {
		x := in.Config().Extension
		if x == nil || x.Package != name || in.State().Extension.Version != version {
			continue
		}
		fresh, err := s.build(*in.Config())
		if err == nil {
			ctx, cancel := context.WithTimeout(context.Background(), stopWait)
			end(ctx, []*inputs.Input{in})
			cancel()
			err = fresh.Start(s.Writer, &s.pace, s.Log)
		}
		if err != nil {
			s.Log.Error("a plug-in does not run again", "plugin", name, "error", err)
			continue
		}
		s.now.inputs[i] = fresh
	}
}

// end stops inputs together.
func end(ctx context.Context, list []*inputs.Input) {
	var all sync.WaitGroup
	for _, in := range list {
		all.Go(func() { in.Stop(ctx) })
	}
	all.Wait()
}

// watch looks after a new document until its trial is over.
func (s *Supervisor) watch(ctx context.Context, tried, former inForce) {
	over := time.NewTimer(s.Trial)
	defer over.Stop()
	look := time.NewTicker(min(s.Trial/20, time.Second))
	defer look.Stop()
	_, _, trips := s.Breaker.State()
	for {
		select {
		case <-ctx.Done():
			return
		case <-over.C:
			s.mu.Lock()
			if ctx.Err() == nil {
				s.endTrial()
			}
			s.mu.Unlock()
			return
		case <-look.C:
			err := s.unhealthy(tried, former, trips)
			if err == nil {
				continue
			}
			s.mu.Lock()
			if ctx.Err() == nil {
				s.rollBack(tried, former, err)
			}
			s.mu.Unlock()
			return
		}
	}
}

// unhealthy tells why a document on trial must go: a plug-in that broke down, an
// input that worked with its former settings and does not with the new ones, or
// an agent that takes more than its limits.
func (s *Supervisor) unhealthy(tried, former inForce, trips uint64) error {
	for _, in := range tried.inputs {
		if slices.Contains(former.inputs, in) {
			continue
		}
		o := in.Outcome()
		if o.Panic != "" {
			return in.Config().Fault(0, "the plug-in broke down: %s", o.Panic)
		}
		i := slices.IndexFunc(former.inputs, func(f *inputs.Input) bool { return f.Name() == in.Name() })
		if i >= 0 && former.inputs[i].Outcome().Good > 0 && former.inputs[i].Outcome().Failed == 0 && o.Good == 0 && o.Failed >= 2 {
			return in.Config().Fault(0, "it worked with its former settings and does not with these: %s", o.Error)
		}
	}
	if level, reasons, now := s.Breaker.State(); level == breaker.Held && now > trips {
		for _, r := range reasons {
			if r.Part == "cpu" && s.Breaker.Last().CPUPercent > tried.plan.Limits.CPUPercent ||
				r.Part == "memory" && s.Breaker.Last().MemoryBytes > float64(tried.plan.Limits.MemoryMB)*(1<<20) {
				return &wire.DocumentError{Part: "limits", Text: r.Text}
			}
		}
	}
	return nil
}

func (s *Supervisor) rollBack(tried, former inForce, why error) {
	s.stop()
	s.before, s.stop = nil, nil
	fault := s.faultOf(tried.text, why)
	fault.RolledBack = true
	if again := s.swap(former.text); again != nil {
		s.Log.Error("the former document cannot be put in force again", "part", again.Part, "error", again.Text)
		fault.Text += "; the former document cannot be put in force again: " + again.Text
		fault.RolledBack = false
	} else {
		s.keep(former.text)
	}
	s.fault = fault
	_ = os.Remove(filepath.Join(s.Dir, trialFile))
	s.Log.Warn("a document is rolled back", "part", fault.Part, "line", fault.Line, "error", fault.Text)
}

// endTrial takes the document in force as good.
func (s *Supervisor) endTrial() {
	if s.stop == nil {
		return
	}
	s.stop()
	s.stop, s.before = nil, nil
	_ = os.Remove(filepath.Join(s.Dir, trialFile))
}

// InForce is the document that runs, and what the last one was refused for.
func (s *Supervisor) InForce() (sha string, fault *wire.Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.now.sha, s.fault
}

// Pace steps everything back or forward.
func (s *Supervisor) Pace(level breaker.Level) {
	s.pace.Store(int32(level))
	s.Sink.Hold(level == breaker.Held)
}

// Level is how far it has stepped back.
func (s *Supervisor) Level() breaker.Level { return breaker.Level(s.pace.Load()) }

// Pause stops an input or a set of files by name, or starts it again.
func (s *Supervisor) Pause(name string, on bool) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, in := range s.now.inputs {
		if in.Name() == name {
			in.Pause(on)
			return nil
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), stopWait)
	defer cancel()
	ok, err := s.Files.Pause(ctx, name, on)
	if !ok {
		return fmt.Errorf("there is no input %q in the document in force", name)
	}
	return err
}

// States tell how all inputs fare.
func (s *Supervisor) States() []wire.InputState {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []wire.InputState
	for _, in := range s.now.inputs {
		out = append(out, in.State())
	}
	out = append(out, s.Files.States()...)
	if st, ok := s.Integrity.State(); ok {
		out = append(out, st)
	}
	return out
}

// Stop ends everything. A document on trial counts as good: it did not kill the
// agent.
func (s *Supervisor) Stop(ctx context.Context) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	s.endTrial()
	for task := range s.leases {
		s.endLease(ctx, task)
	}
	end(ctx, s.now.inputs)
	s.now.inputs = nil
	s.Integrity.Stop()
	s.Files.Stop(ctx)
}
