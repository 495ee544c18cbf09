package supervise

import (
	"context"
	"slices"
	"time"

	"icewatch/collectors/agent/config"
	"icewatch/collectors/agent/inputs"
	"icewatch/collectors/fleet/wire"
)

// lease is a task of a group that runs here until it ends or is prolonged.
type lease struct {
	wire.Lease
	inputs []*inputs.Input
	err    string
	timer  *time.Timer
}

// Lease runs exactly these tasks from now on. sent is when the checkin was sent
// that brought them: a task ends TTL after that, whether or not anything more comes.
func (s *Supervisor) Lease(leases []wire.Lease, sent time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), stopWait)
	defer cancel()
	for task := range s.leases {
		if !slices.ContainsFunc(leases, func(l wire.Lease) bool { return l.Task == task }) {
			s.endLease(ctx, task)
		}
	}
	for _, l := range leases {
		left := time.Until(sent.Add(time.Duration(l.TTL) * time.Millisecond))
		held := s.leases[l.Task]
		if held != nil && held.SHA256 != l.SHA256 {
			s.endLease(ctx, l.Task)
			held = nil
		}
		switch {
		case left <= 0:
			s.endLease(ctx, l.Task)
		case held != nil:
			held.Lease = l
			held.timer.Reset(left)
		default:
			s.begin(ctx, l, left)
		}
	}
}

// begin starts a task.
func (s *Supervisor) begin(ctx context.Context, l wire.Lease, left time.Duration) {
	t := &lease{Lease: l}
	s.leases[l.Task] = t
	t.timer = time.AfterFunc(left, func() { s.expire(t) })
	plan, err := config.Read([]byte(l.Document))
	if err == nil {
		for _, in := range plan.Inputs {
			var built *inputs.Input
			if built, err = s.build(in); err == nil {
				err = built.Start(s.Writer, &s.pace, s.Log)
			}
			if err != nil {
				break
			}
			t.inputs = append(t.inputs, built)
		}
	}
	if err != nil {
		t.err = err.Error()
		end(ctx, t.inputs)
		t.inputs = nil
		s.Log.Warn("a task of the group cannot run", "task", l.Task, "error", err)
	}
}

// expire ends a task whose time is over.
func (s *Supervisor) expire(t *lease) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.leases[t.Task] != t {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), stopWait)
	defer cancel()
	s.Log.Info("a task of the group ends: it was not prolonged in time", "task", t.Task)
	s.endLease(ctx, t.Task)
}

func (s *Supervisor) endLease(ctx context.Context, task string) {
	t := s.leases[task]
	if t == nil {
		return
	}
	delete(s.leases, task)
	t.timer.Stop()
	end(ctx, t.inputs)
}

// Leases are the tasks that run here.
func (s *Supervisor) Leases() []wire.LeaseState {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []wire.LeaseState
	for _, t := range s.leases {
		st := wire.LeaseState{Task: t.Task, Fence: t.Fence, Error: t.err}
		for _, in := range t.inputs {
			if o := in.Outcome(); st.Error == "" && o.Failed > 0 {
				st.Error = o.Error
			}
			state := in.State()
			st.Rate += state.Rate
			st.Busy += state.Busy
			st.CPU += state.CPU
			st.KBps += state.KBps
			if x := state.Extension; x != nil {
				st.MemoryBytes += x.MemoryBytes
			}
		}
		out = append(out, st)
	}
	return out
}
