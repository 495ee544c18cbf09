// Package run carries runs out: addresses in batches, each discovered and, where the
// run says so, checked, within its windows, until it is done, cancelled or over.
// What was found and how far the run has come are durable together after each
// batch, so that a scanner that is killed goes on where it was: at most the batch
// at work is looked at once more.
package run

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"icewatch/collectors/agent/link"
	"icewatch/collectors/scanner/check"
	"icewatch/collectors/scanner/discover"
	"icewatch/collectors/scanner/scope"
	"icewatch/collectors/scanner/templates"
	"icewatch/collectors/scanner/weak"
	"icewatch/collectors/scanner/wire"
)

// Options are what all runs of a scanner share.
type Options struct {
	Dir     string   // of the runs' states; "" keeps none
	Allow   []string // the host's own ranges; nil does not narrow
	Sources []templates.Source
	Ledger  *weak.Ledger
	Resolve scope.Resolve
	Log     *slog.Logger
	// Emit makes results durable. It may wait while there is no room.
	Emit    func(ctx context.Context, results []wire.Result) error
	Connect time.Duration // see discover.Options
	Answer  time.Duration
}

// What ends a run before it is done.
var (
	ErrCancelled = errors.New("cancelled")
	errExpired   = errors.New("expired")
)

// state is what is kept of a run beside its order.
type state struct {
	Starts   uint64        `json:"starts"` // how often it was begun; the upper part of Result.Seq
	Next     int64         `json:"next"`   // position of the first address that is not done; of a retest, of the first finding
	Total    int64         `json:"total"`
	Progress wire.Progress `json:"progress"`
	Secrets  bool          `json:"secrets"` // it had credentials
}

// Job is one run.
type Job struct {
	Options
	run    wire.Run
	mu     sync.Mutex
	st     state
	seq    uint64
	buffer []wire.Result
	paused string // by the suite's order
	status string

	scope   *scope.Scope
	dialer  *scope.Dialer
	targets *scope.Targets
	engine  *templates.Engine
	probes  atomic.Int64
	cancel  context.CancelCauseFunc
}

// Name of the folder and files of a run.
func (o *Options) dir(id string) string { return filepath.Join(o.Dir, "runs", id) }

// New takes an order, or goes on with one that is on disk.
func New(o Options, r wire.Run) (*Job, error) {
	if err := r.Check(); err != nil {
		return nil, err
	}
	if o.Resolve == nil {
		o.Resolve = scope.SystemResolve
	}
	j := &Job{Options: o, run: r, status: wire.StateWaiting}
	j.st.Secrets = len(r.Credentials) > 0
	if o.Dir == "" {
		return j, nil
	}
	if err := os.MkdirAll(o.dir(r.ID), 0o700); err != nil {
		return nil, fmt.Errorf("the scanner's folder: %w", err)
	}
	if data, err := os.ReadFile(filepath.Join(o.dir(r.ID), "state.json")); err == nil {
		if err := json.Unmarshal(data, &j.st); err != nil {
			return nil, fmt.Errorf("the state of run %s is damaged: %w", r.ID, err)
		}
		return j, nil
	} else if !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	kept := r
	kept.Credentials = nil // Never on disk.
	if err := link.WriteFile(filepath.Join(o.dir(r.ID), "run.json"), wire.Encode(kept), 0o600); err != nil {
		return nil, fmt.Errorf("keep run %s: %w", r.ID, err)
	}
	return j, j.save()
}

// Load finds the runs that are on disk. Those that had credentials are named in
// wants: they go on when the suite has sent them once more.
func Load(o Options) (jobs []*Job, wants []string, err error) {
	entries, err := os.ReadDir(filepath.Join(o.Dir, "runs"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil, nil
	}
	if err != nil {
		return nil, nil, err
	}
	for _, e := range entries {
		data, err := os.ReadFile(filepath.Join(o.Dir, "runs", e.Name(), "run.json"))
		var r wire.Run
		if err == nil {
			err = json.Unmarshal(data, &r)
		}
		var j *Job
		if err == nil {
			j, err = New(o, r)
		}
		if err != nil {
			o.Log.Error("a run on disk cannot be read and is left", "run", e.Name(), "error", err)
			continue
		}
		if j.st.Secrets {
			wants = append(wants, r.ID)
			continue
		}
		jobs = append(jobs, j)
	}
	return jobs, wants, nil
}

// ID is the run's.
func (j *Job) ID() string { return j.run.ID }

// State is what a checkin tells of the run.
func (j *Job) State() wire.RunState {
	j.mu.Lock()
	defer j.mu.Unlock()
	return wire.RunState{ID: j.run.ID, State: j.status, Progress: j.st.Progress}
}

// Pause holds the run, or lets it go on where reason is empty.
func (j *Job) Pause(reason string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.paused = reason
}

// Cancel ends the run.
func (j *Job) Cancel() {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.cancel != nil {
		j.cancel(ErrCancelled)
	}
}

func (j *Job) save() error {
	if j.Dir == "" {
		return nil
	}
	j.mu.Lock()
	data, err := json.Marshal(j.st)
	j.mu.Unlock()
	if err != nil {
		return err
	}
	return link.WriteFile(filepath.Join(j.dir(j.run.ID), "state.json"), data, 0o600)
}

// add keeps a result until the batch is committed.
func (j *Job) add(r wire.Result) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.seq++
	r.Run, r.Seq, r.At = j.run.ID, j.st.Starts<<32|j.seq, time.Now().UnixMilli()
	j.buffer = append(j.buffer, r)
}

func (j *Job) note(n wire.Note) { j.add(wire.Result{Kind: wire.KindNote, Note: &n}) }

// commit makes what was found durable, and then the position.
func (j *Job) commit(ctx context.Context, change func(*state)) error {
	j.mu.Lock()
	out := j.buffer
	j.buffer = nil
	j.mu.Unlock()
	for len(out) > 0 {
		n := min(len(out), wire.MaxResults/5)
		if err := j.Emit(ctx, out[:n]); err != nil {
			return fmt.Errorf("results cannot be kept: %w", err)
		}
		out = out[n:]
	}
	j.mu.Lock()
	change(&j.st)
	if j.scope != nil {
		j.st.Progress.Refused = max(j.st.Progress.Refused, j.scope.Refused())
	}
	j.mu.Unlock()
	return j.save()
}

// Do carries the run out. Its end is among the results when Do returns nil; with an
// error (ctx ended, the disk is full) the run goes on at the next start.
func (j *Job) Do(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	if j.run.Until > 0 {
		var stop context.CancelFunc
		ctx, stop = context.WithDeadlineCause(ctx, time.Unix(j.run.Until, 0), errExpired)
		defer stop()
	}
	j.mu.Lock()
	j.cancel = cancel
	j.st.Starts++
	j.seq = 0
	j.status = wire.StateRunning
	if j.st.Progress.Started == 0 {
		j.st.Progress.Started = time.Now().Unix()
	}
	j.mu.Unlock()
	if err := j.save(); err != nil {
		return err
	}
	err := j.work(ctx)
	end := wire.End{State: wire.EndDone}
	cause := context.Cause(ctx)
	switch {
	case err == nil:
	case errors.Is(cause, ErrCancelled):
		end.State = wire.EndCancelled
	case errors.Is(cause, errExpired) || errors.Is(err, errExpired):
		end.State, end.Reason = wire.EndExpired, "its time was over before all was scanned"
	case errors.Is(err, context.Canceled):
		return err
	default:
		end.State, end.Reason = wire.EndFailed, err.Error()
	}
	// What a batch that was cut off had found is kept; its addresses do not count as done.
	keep, stop := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
	defer stop()
	j.mu.Lock()
	end.Progress = j.st.Progress
	if j.scope != nil {
		end.Progress.Refused = max(end.Progress.Refused, j.scope.Refused())
	}
	j.mu.Unlock()
	j.add(wire.Result{Kind: wire.KindEnd, End: &end})
	if err := j.commit(keep, func(*state) {}); err != nil {
		return err
	}
	if j.Dir != "" {
		return os.RemoveAll(j.dir(j.run.ID))
	}
	return nil
}

func orDefault(n, usual, most int) int {
	if n <= 0 {
		n = usual
	}
	return min(n, most)
}

// prepare makes scope, dialer and engine.
func (j *Job) prepare(ctx context.Context) (*discover.Options, error) {
	var err error
	j.scope, err = scope.New(j.run.Scope, j.Allow, func(r wire.Refused) { j.add(wire.Result{Kind: wire.KindRefused, Refused: &r}) })
	if err != nil {
		return nil, err
	}
	packets := orDefault(j.run.Rate.Packets, wire.DefaultPackets, wire.MostPackets)
	pace := scope.NewPace(packets, orDefault(j.run.Rate.PerHost, wire.DefaultPerHost, wire.MostPerHost))
	connect := j.Connect
	if connect <= 0 {
		connect = 1500 * time.Millisecond
	}
	j.dialer = scope.NewDialer(j.scope, pace, connect)
	tcp, udp := j.run.Ports.TCP, j.run.Ports.UDP
	if len(tcp) == 0 && len(udp) == 0 {
		tcp, udp = discover.UsualTCP, discover.UsualUDP
	}
	o := &discover.Options{Dialer: j.dialer, Probes: j.run.Probes, Credentials: j.run.Credentials, Connect: connect, Answer: j.Answer, Gate: j.gate, Probed: func(n int) { j.probes.Add(int64(n)) }}
	if o.TCP, err = wire.ParsePorts(tcp); err != nil {
		return nil, err
	}
	if o.UDP, err = wire.ParsePorts(udp); err != nil {
		return nil, err
	}
	if j.checks() {
		want := check.Selection(j.run.Checks)
		if j.run.Kind == wire.KindRetest {
			want = nil
			for _, r := range j.run.Retest {
				want = append(want, r.Check)
			}
		}
		j.engine, err = templates.New(ctx, j.dialer, j.Sources, want, j.run.Unsafe, packets)
		if err != nil {
			return nil, err
		}
	}
	return o, nil
}

func (j *Job) checks() bool { return j.run.Kind == wire.KindCheck || j.run.Kind == wire.KindRetest }

func (j *Job) work(ctx context.Context) error {
	o, err := j.prepare(ctx)
	if err != nil {
		return err
	}
	if j.engine != nil {
		defer j.engine.Close()
	}
	if j.run.Kind == wire.KindRetest {
		return j.retests(ctx, o)
	}
	j.targets, err = j.scope.Targets(ctx, j.run.Targets, j.Resolve, func(target string, err error) {
		j.note(wire.Note{Level: wire.LevelWarn, Target: target, Text: "the name cannot be looked up: " + err.Error()})
	})
	if err != nil {
		return err
	}
	total := j.targets.Len()
	if j.st.Total != 0 && j.st.Total != total {
		// Names have other addresses than before the restart: positions mean nothing any more.
		j.note(wire.Note{Level: wire.LevelWarn, Text: fmt.Sprintf("the targets were %d addresses and are %d: the run begins anew", j.st.Total, total)})
		j.st.Next, j.st.Progress = 0, wire.Progress{Started: j.st.Progress.Started}
	}
	if err := j.commit(ctx, func(s *state) {
		s.Total = total
		s.Progress.Stage = wire.StageDiscover
		s.Progress.HostsTotal, s.Progress.ProbesTotal = total, total*o.PerHost()
	}); err != nil {
		return err
	}
	if total == 0 {
		return errors.New("no target lies within the approved ranges")
	}
	hosts := orDefault(j.run.Rate.Hosts, wire.DefaultHosts, wire.MostHosts)
	// Larger batches keep all places busy longer; smaller ones lose less with a kill.
	size := int64(hosts)
	if !j.checks() {
		size = max(size, min(4*size, 256))
	}
	for j.st.Next < total {
		if err := j.batch(ctx, o, j.st.Next, min(j.st.Next+size, total), hosts); err != nil {
			return err
		}
	}
	return nil
}

// batch looks at the addresses of positions from up to, hosts of them at once.
func (j *Job) batch(ctx context.Context, o *discover.Options, from, to int64, hosts int) error {
	var found, services, weaknesses, checked atomic.Int64
	j.probes.Store(0)
	var next atomic.Int64
	next.Store(from)
	var wg sync.WaitGroup
	errs := make(chan error, hosts)
	for range min(int64(hosts), to-from) {
		wg.Go(func() {
			for {
				i := next.Add(1) - 1
				if i >= to {
					return
				}
				if err := j.gate(ctx); err != nil {
					errs <- err
					return
				}
				a := j.targets.At(i)
				f, err := o.Host(ctx, a)
				if errors.Is(err, scope.ErrOutside) {
					if j.scope.Allows(a) != nil && j.run.Scope.Expires > 0 && time.Now().Unix() >= j.run.Scope.Expires {
						errs <- errExpired
						return
					}
					continue
				}
				if err != nil {
					errs <- err
					return
				}
				if f.Host == nil {
					continue
				}
				found.Add(1)
				services.Add(int64(len(f.Services)))
				j.tell(a, f)
				if j.checks() && slices.Contains(o.UDP, 161) && (len(o.Probes) == 0 || slices.Contains(o.Probes, wire.ProbeUDP)) {
					s, _ := j.silent(ctx, a, f, 161, check.Selection(j.run.Checks), func(w wire.Weakness) {
						weaknesses.Add(1)
						j.add(wire.Result{Kind: wire.KindWeakness, Weakness: &w})
					})
					if s != nil {
						services.Add(1)
						j.add(wire.Result{Kind: wire.KindService, Service: s})
					}
				}
				if j.checks() {
					n, err := j.examine(ctx, a, f)
					weaknesses.Add(n)
					checked.Add(int64(len(f.Services)))
					if err != nil {
						errs <- err
						return
					}
				}
				if j.run.Kind == wire.KindDeep {
					j.deep(ctx, a, f)
				}
			}
		})
	}
	wg.Wait()
	select {
	case err := <-errs:
		return err
	default:
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	return j.commit(ctx, func(s *state) {
		s.Next = to
		p := &s.Progress
		p.HostsDone, p.ProbesDone = to, p.ProbesDone+j.probes.Load()
		p.Found += found.Load()
		p.Services += services.Load()
		p.Weaknesses += weaknesses.Load()
		p.ChecksDone += checked.Load()
		p.ChecksTotal += checked.Load()
	})
}

func (j *Job) tell(a netip.Addr, f *discover.Found) {
	for _, s := range j.sites(a) {
		if _, err := netip.ParseAddr(s.Host); err != nil && !slices.Contains(f.Host.Names, s.Host) {
			f.Host.Names = append(f.Host.Names, s.Host)
		}
	}
	j.add(wire.Result{Kind: wire.KindHost, Host: f.Host})
	for i := range f.Services {
		j.add(wire.Result{Kind: wire.KindService, Service: &f.Services[i]})
	}
	for i := range f.Attributes {
		j.add(wire.Result{Kind: wire.KindAttribute, Attribute: &f.Attributes[i]})
	}
	for _, n := range f.Notes {
		j.note(n)
	}
}

func (j *Job) sites(a netip.Addr) (out []scope.Site) {
	if j.targets == nil {
		return nil
	}
	for _, s := range j.targets.Sites {
		if slices.Contains(s.Addresses, a) {
			out = append(out, s)
		}
	}
	return out
}

// gate waits while the run may not scan, and tells why.
func (j *Job) gate(ctx context.Context) error {
	for {
		if err := ctx.Err(); err != nil {
			return context.Cause(ctx)
		}
		j.mu.Lock()
		why := j.paused
		if why == "" && !j.run.Within(time.Now()) {
			why = "outside the run's windows"
		}
		j.st.Progress.Paused = why
		j.status = wire.StateRunning
		if why != "" {
			j.status = wire.StatePaused
		}
		j.mu.Unlock()
		if why == "" {
			return nil
		}
		select {
		case <-ctx.Done():
		case <-time.After(500 * time.Millisecond):
		}
	}
}
