package extension

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/influxdata/telegraf"
	"github.com/influxdata/telegraf/plugins/parsers/influx"
	parsejson "github.com/influxdata/telegraf/plugins/parsers/json"

	format "icewatch/collectors/fleet/extension"
	"icewatch/collectors/fleet/wire"
	"icewatch/soc/intake"
)

// Bounds of what a program prints.
const (
	maxOutput = 4 << 20   // bytes of one run
	maxLine   = 256 << 10 // bytes of a line
	maxLines  = 1000      // lines given to the sink at once
)

// Waits between an end that was not wanted and the next start.
const (
	firstWait = time.Second
	lastWait  = 5 * time.Minute
	heldWait  = time.Minute // after it took too much; it doubles up to lastHeld
	lastHeld  = time.Hour
	wellAfter = 10 * time.Minute // that it ran: waits begin anew
)

const (
	lookEvery = 2 * time.Second
	endWait   = time.Second // between asking to end and killing
)

// Settings are those of an input that is an extension plug-in.
type Settings struct {
	Package, Version string
	Options          map[string]string
}

// Plugin runs the program of a package. It implements telegraf.ServiceInput.
type Plugin struct {
	Sink   intake.Sink   // where lines go
	Labels []intake.Attr // of lines

	store    *Store
	settings Settings
	manifest *format.PluginManifest
	program  string
	dir      string // the program's own
	env      []string
	parser   telegraf.Parser
	held     func() bool
	now      func() time.Time
	every    time.Duration // between looks at what it takes
	mark     string        // of the files as they were checked; of one run after another

	acc    telegraf.Accumulator
	ctx    context.Context //nolint:containedctx // from Start to Stop, as telegraf's interface wants it
	cancel context.CancelFunc
	done   sync.WaitGroup

	mu      sync.Mutex
	state   wire.ExtensionState
	trouble error         // why it does not run well
	wait    time.Duration // the last one after an end
	heldFor time.Duration // the last one after too much
	notNow  time.Time     // no start before
	used    float64       // seconds of processor time, of processes that ended
	live    usage         // of those that run, at the last look
	seen    float64       // seconds of processor time of those that run, as far as it was seen
	lines   uint64
}

var _ telegraf.ServiceInput = (*Plugin)(nil)

// New makes the input of a package that is installed, after it was checked.
func (s *Store) New(settings Settings) (*Plugin, error) {
	mark := s.mark(settings.Package, settings.Version)
	m, err := s.Check(settings.Package, settings.Version)
	if err != nil {
		return nil, err
	}
	program := m.Program(runtime.GOOS, runtime.GOARCH)
	if program == "" {
		return nil, fmt.Errorf("%w: %s %s has no program for %s/%s", ErrRefused, m.Name, m.Version, runtime.GOOS, runtime.GOARCH)
	}
	options, err := m.Environment(settings.Options)
	if err != nil {
		return nil, err
	}
	files := filepath.Join(s.versions(m.Name), m.Version, filesDir)
	p := &Plugin{store: s, settings: settings, manifest: m, program: filepath.Join(files, filepath.FromSlash(program)), dir: filepath.Join(s.dir, m.Name, "data"),
		held: func() bool { return false }, now: time.Now, every: lookEvery, mark: mark, state: wire.ExtensionState{Package: m.Name, Version: m.Version}}
	p.env = append(hostEnvironment(), "HOME="+p.dir, "TMPDIR="+p.dir, "ICEWATCH_PLUGIN="+m.Name, "ICEWATCH_PLUGIN_VERSION="+m.Version, "ICEWATCH_PLUGIN_DIR="+files)
	p.env = append(p.env, options...)
	switch m.Format {
	case format.FormatInflux:
		parser := &influx.Parser{}
		if err := parser.Init(); err != nil {
			return nil, err
		}
		p.parser = parser
	case format.FormatJSON:
		parser := &parsejson.Parser{MetricName: strings.ReplaceAll(m.Name, "-", "_"), TagKeys: m.Tags, Strict: true}
		if err := parser.Init(); err != nil {
			return nil, err
		}
		p.parser = parser
	}
	return p, nil
}

// hostEnvironment is what a program gets of the agent's: nothing but what programs need to run.
func hostEnvironment() []string {
	if runtime.GOOS == "windows" {
		out := []string{}
		for _, k := range []string{"SystemRoot", "SystemDrive", "windir", "PATH", "PATHEXT", "ComSpec", "NUMBER_OF_PROCESSORS"} {
			out = append(out, k+"="+os.Getenv(k))
		}
		return out
	}
	return []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG=C.UTF-8"}
}

// Manifest is that of the package.
func (p *Plugin) Manifest() *format.PluginManifest { return p.manifest }

// Hold sets what tells that the program is not to run now.
func (p *Plugin) Hold(held func() bool) { p.held = held }

// SampleConfig implements telegraf.Input.
func (*Plugin) SampleConfig() string { return "" }

// Start implements telegraf.ServiceInput.
func (p *Plugin) Start(acc telegraf.Accumulator) error {
	if err := os.MkdirAll(p.dir, 0o700); err != nil {
		return fmt.Errorf("the plug-in's own folder: %w", err)
	}
	p.acc = acc
	p.ctx, p.cancel = context.WithCancel(context.Background())
	p.store.add(p)
	if p.manifest.Run == format.RunProcess {
		p.done.Go(p.keep)
	}
	return nil
}

// Stop implements telegraf.ServiceInput: the processes have ended after it.
func (p *Plugin) Stop() {
	if p.cancel == nil {
		return
	}
	p.cancel()
	p.done.Wait()
	p.store.drop(p)
}

// Gather implements telegraf.Input: it runs the program once, or tells why the one that is to run all
// the time does not.
func (p *Plugin) Gather(telegraf.Accumulator) error {
	if p.manifest.Run == format.RunProcess {
		p.mu.Lock()
		defer p.mu.Unlock()
		return p.trouble
	}
	p.mu.Lock()
	early := p.now().Before(p.notNow)
	trouble := p.trouble
	p.mu.Unlock()
	if p.ctx.Err() != nil || p.held() {
		return nil
	}
	if early {
		return trouble
	}
	p.done.Add(1) // Stop waits for a run that is under way.
	defer p.done.Done()
	ctx, cancel := context.WithTimeout(p.ctx, time.Duration(p.manifest.Timeout))
	defer cancel()
	err := p.run(ctx)
	if err != nil && errors.Is(ctx.Err(), context.DeadlineExceeded) {
		err = fmt.Errorf("it did not end within %s and was ended", time.Duration(p.manifest.Timeout))
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.trouble = err
	if p.ctx.Err() != nil {
		return nil
	}
	return err
}

// keep runs the program all the time.
func (p *Plugin) keep() {
	for p.ctx.Err() == nil {
		p.mu.Lock()
		wait := p.notNow.Sub(p.now())
		p.mu.Unlock()
		if p.held() {
			wait = max(wait, 250*time.Millisecond)
		}
		if wait > 0 {
			select {
			case <-p.ctx.Done():
				return
			case <-time.After(min(wait, 250*time.Millisecond)):
			}
			continue
		}
		began := p.now()
		err := p.run(p.ctx)
		if p.ctx.Err() != nil {
			return
		}
		p.mu.Lock()
		ran := p.now().Sub(began)
		switch {
		case errors.Is(err, errHeld):
			p.trouble = nil
		case p.now().Before(p.notNow): // It took too much; the wait is set.
			p.trouble = err
			p.state.Restarts++
		default:
			if err == nil {
				err = errors.New("the program ended by itself")
			}
			if ran > wellAfter {
				p.wait = 0
			}
			p.wait = min(max(2*p.wait, firstWait), lastWait)
			p.notNow = p.now().Add(p.wait)
			p.trouble = fmt.Errorf("%w; it is started again in %s", err, p.wait)
			p.state.Restarts++
		}
		trouble := p.trouble
		p.mu.Unlock()
		if trouble != nil {
			p.fail(trouble)
		}
	}
}

var (
	errHeld = errors.New("held back by the breaker")
	errMuch = errors.New("it took too much")
)

func (p *Plugin) fail(err error) {
	p.mu.Lock()
	p.state.Errors++
	p.mu.Unlock()
	p.acc.AddError(err)
}

// run runs the program until it ends, or is ended.
func (p *Plugin) run(ctx context.Context) error {
	ctx, end := context.WithCancelCause(ctx)
	defer end(nil)
	if mark := p.store.mark(p.settings.Package, p.settings.Version); mark != p.mark || mark == "" {
		if _, err := p.store.Check(p.settings.Package, p.settings.Version); err != nil {
			return err
		}
		p.mark = mark
	}
	cmd := exec.Command(p.program, p.manifest.Args...)
	cmd.Dir, cmd.Env = p.dir, slices.Clone(p.env)
	apart(cmd)
	var complaint tail
	cmd.Stderr = &complaint
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("it cannot be started: %w", err)
	}
	pid := cmd.Process.Pid
	p.mu.Lock()
	p.state.PID, p.state.Started = pid, p.now().Unix()
	p.state.Starts++
	p.live, p.seen = usage{}, 0
	if p.manifest.Run == format.RunProcess {
		p.trouble = nil
	}
	p.mu.Unlock()
	var watching sync.WaitGroup
	ended := make(chan struct{})
	watching.Go(func() { p.look(ctx, pid, ended, end) })
	watching.Go(func() {
		select {
		case <-ended:
			return
		case <-ctx.Done():
		}
		askToEnd(cmd)
		select {
		case <-ended:
		case <-time.After(endWait):
			kill(cmd)
			_ = out.Close() // A child that left the group would hold it open.
		}
	})
	reading := p.read(ctx, out)
	if reading != nil {
		end(reading)
		_, _ = io.Copy(io.Discard, out)
	}
	err = cmd.Wait()
	close(ended)
	watching.Wait()
	kill(cmd) // What it left behind in its group.
	p.mu.Lock()
	p.state.PID = 0
	if s := cmd.ProcessState; s != nil {
		own := (s.UserTime() + s.SystemTime()).Seconds()
		own = max(own, p.seen)
		p.used += own
		p.state.MemoryBytes = max(p.live.most, peak(s))
		if p.manifest.Run == format.RunInterval {
			// Of one core over an interval: that is what it costs.
			p.state.CPUPercent = round(100 * own / time.Duration(p.manifest.Interval).Seconds())
		} else {
			p.state.MemoryBytes, p.state.CPUPercent = 0, 0
		}
	}
	p.live, p.seen = usage{}, 0
	p.mu.Unlock()
	switch cause := context.Cause(ctx); {
	case errors.Is(cause, errHeld), errors.Is(cause, errMuch):
		return cause
	case reading != nil:
		return reading
	case err != nil:
		if text := complaint.text(); text != "" {
			return fmt.Errorf("the program failed (%w): %s", err, text)
		}
		return fmt.Errorf("the program failed: %w", err)
	}
	return nil
}

func round(x float64) float64 { return math.Round(100*x) / 100 }

// look measures a run, and ends it where it takes too much or is to be held.
func (p *Plugin) look(ctx context.Context, pid int, ended <-chan struct{}, end context.CancelCauseFunc) {
	often := time.NewTicker(250 * time.Millisecond)
	defer often.Stop()
	at, over := p.now(), 0
	for {
		select {
		case <-ended:
			return
		case <-ctx.Done():
			return
		case <-often.C:
		}
		if p.held() {
			// One that the breaker had to stop is not started at once when the host breathes again.
			p.mu.Lock()
			if p.live.percent > p.manifest.Limits.CPUPercent/2 {
				p.later()
			}
			p.mu.Unlock()
			end(errHeld)
			return
		}
		now := p.now()
		span := now.Sub(at)
		if span < p.every {
			continue
		}
		u, ok := measure(pid)
		if !ok {
			continue
		}
		at = now
		p.mu.Lock()
		u.percent = round(100 * max(0, u.cpu-p.live.cpu) / span.Seconds())
		u.cpu = max(u.cpu, p.live.cpu)
		u.most = max(u.memory, p.live.most)
		p.live, p.seen = u, max(p.seen, u.cpu)
		if p.manifest.Run == format.RunProcess {
			p.state.CPUPercent = u.percent
		}
		p.state.MemoryBytes = u.memory
		l := p.manifest.Limits
		var why string
		switch {
		case p.manifest.Run == format.RunProcess && u.percent > l.CPUPercent:
			why = fmt.Sprintf("%.0f %% of a core; %.0f %% are its limit", u.percent, l.CPUPercent)
		case u.memory > uint64(l.MemoryMB)<<20:
			why = fmt.Sprintf("%d MB of memory; %d MB are its limit", u.memory>>20, l.MemoryMB)
		}
		if why == "" {
			over = 0
		} else if over++; over >= 2 {
			p.later()
			err := fmt.Errorf("%w: %s; it is started again in %s", errMuch, why, p.heldFor)
			p.mu.Unlock()
			end(err)
			return
		}
		p.mu.Unlock()
	}
}

// later puts the next start off, each time for longer. p.mu is held.
func (p *Plugin) later() {
	p.heldFor = min(max(2*p.heldFor, heldWait), lastHeld)
	p.notNow = p.now().Add(p.heldFor)
}

// tail keeps the end of what a program complains about.
type tail struct {
	mu   sync.Mutex
	data []byte
}

func (t *tail) Write(b []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.data = append(t.data, b[max(0, len(b)-500):]...)
	t.data = t.data[max(0, len(t.data)-500):]
	return len(b), nil
}

func (t *tail) text() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return strings.TrimSpace(strings.ToValidUTF8(string(t.data), "\uFFFD"))
}

// State tells how the program fares.
func (p *Plugin) State() *wire.ExtensionState {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := p.state
	s.Samples += p.lines
	return &s
}

// usage is what processes take.
type usage struct {
	cpu     float64 // seconds, since they began
	percent float64 // of a core, since the look before
	memory  uint64  // bytes, resident
	most    uint64  // the highest
}

func (s *Store) add(p *Plugin) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.programs[p.settings.Package] == nil {
		s.programs[p.settings.Package] = map[*Plugin]bool{}
	}
	s.programs[p.settings.Package][p] = true
}

func (s *Store) drop(p *Plugin) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.programs[p.settings.Package][p] {
		s.gone += p.used // Nothing of it runs any more.
		delete(s.programs[p.settings.Package], p)
	}
}

// Usage is what all programs took of processors since the start, in seconds, and take of
// memory now, in bytes. It is for the agent's breaker.
func (s *Store) Usage() (cpu float64, memory uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	cpu = s.gone
	for _, list := range s.programs {
		for p := range list {
			p.mu.Lock()
			if p.state.PID != 0 {
				if u, ok := measure(p.state.PID); ok {
					p.seen = max(p.seen, u.cpu)
					memory += u.memory
				}
			}
			cpu += p.used + p.seen
			p.mu.Unlock()
		}
	}
	return cpu, memory
}

// read takes what the program prints, until it ends.
func (p *Plugin) read(ctx context.Context, out io.Reader) error {
	if p.manifest.Format == format.FormatLines {
		return p.readLines(ctx, out)
	}
	if p.manifest.Run == format.RunProcess {
		return each(out, func(line []byte) { p.parse(line) })
	}
	data, err := io.ReadAll(io.LimitReader(out, maxOutput+1))
	if err != nil && !errors.Is(err, os.ErrClosed) {
		return err
	}
	if len(data) > maxOutput {
		return fmt.Errorf("it printed more than %d MiB in one run", maxOutput>>20)
	}
	if ctx.Err() == nil {
		p.parse(data)
	}
	return nil
}

// parse takes figures in.
func (p *Plugin) parse(data []byte) {
	if len(bytes.TrimSpace(data)) == 0 {
		return
	}
	metrics, err := func() (m []telegraf.Metric, err error) {
		defer func() {
			if x := recover(); x != nil {
				err = fmt.Errorf("what it printed cannot be read: %v", x)
			}
		}()
		return p.parser.Parse(data)
	}()
	if err != nil {
		p.fail(fmt.Errorf("what it printed is no %s: %.300w", p.manifest.Format, err))
		return
	}
	p.mu.Lock()
	for _, m := range metrics {
		p.state.Samples += uint64(len(m.FieldList()))
	}
	p.mu.Unlock()
	for _, m := range metrics {
		p.acc.AddMetric(m)
	}
}

// broken stands for a plug-in that must not run.
type broken struct {
	settings Settings
	why      error
}

// Broken stands for a plug-in that must not run: it tells why, each time.
func Broken(settings Settings, why error) interface {
	telegraf.Input
	Hold(func() bool)
	State() *wire.ExtensionState
} {
	return &broken{settings, why}
}

func (*broken) SampleConfig() string                { return "" }
func (b *broken) Gather(telegraf.Accumulator) error { return b.why }
func (*broken) Hold(func() bool)                    {}
func (b *broken) State() *wire.ExtensionState {
	return &wire.ExtensionState{Package: b.settings.Package, Version: b.settings.Version, Errors: 1}
}
