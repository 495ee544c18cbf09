package run

import (
	"context"
	"errors"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"

	"icewatch/collectors/scanner/check"
	"icewatch/collectors/scanner/discover"
	"icewatch/collectors/scanner/scope"
	"icewatch/collectors/scanner/weak"
	"icewatch/collectors/scanner/wire"
)

// examine makes the checks of a host's services.
func (j *Job) examine(ctx context.Context, a netip.Addr, f *discover.Found) (int64, error) {
	var n atomic.Int64
	for i := range f.Services {
		s := &f.Services[i]
		targets := []check.Target{{Address: a, Service: s}}
		for _, site := range j.sites(a) {
			if _, err := netip.ParseAddr(site.Host); (site.Port == 0 || site.Port == s.Port) && s.HTTP != nil {
				t := check.Target{Address: a, Service: s}
				if err != nil {
					t.Host = site.Host
				}
				if u, err := url.Parse(site.URL); err == nil {
					t.Path = u.RequestURI()
				}
				if t.Host != "" || t.Path != "" && t.Path != "/" {
					targets = append(targets, t)
				}
			}
		}
		known := map[string]bool{}
		for k, t := range targets {
			if err := j.gate(ctx); err != nil {
				return n.Load(), err
			}
			j.examineOne(ctx, t, check.Selection(j.run.Checks), k == 0, func(w wire.Weakness) {
				key := w.Check + "\x00" + w.Path + "\x00" + w.Parameter
				if known[key] {
					return // By its name as by its address.
				}
				known[key] = true
				n.Add(1)
				j.add(wire.Result{Kind: wire.KindWeakness, Weakness: &w})
			})
		}
	}
	return n.Load(), nil
}

// examineOne makes all checks of one service; passwords are tried once for each.
func (j *Job) examineOne(ctx context.Context, t check.Target, want check.Selection, passwords bool, found func(wire.Weakness)) {
	e := &check.Env{Dialer: j.dialer, Unsafe: j.run.Unsafe, Answer: j.Answer, Select: want, Found: found, Note: j.note}
	e.Service(ctx, t)
	if j.engine != nil {
		j.engine.Service(ctx, t, func(w wire.Weakness) {
			if want.Takes(w.Check, w.Tags) {
				found(w)
			}
		}, j.note)
	}
	if passwords && j.Ledger != nil {
		w := &weak.Env{Dialer: j.dialer, Ledger: j.Ledger, Lockout: j.run.Lockout, Answer: j.Answer, Select: want, Found: found, Note: j.note,
			Attempts: func(a wire.Attempts) { j.add(wire.Result{Kind: wire.KindAttempts, Attempts: &a}) }}
		w.Service(ctx, t)
	}
}

// silent asks an address whose port of SNMP did not answer by the communities that
// devices come with, see weak.Env.Silent.
func (j *Job) silent(ctx context.Context, a netip.Addr, f *discover.Found, port int, want check.Selection, found func(wire.Weakness)) (s *wire.Service, whole bool) {
	if j.Ledger == nil || slices.ContainsFunc(f.Services, func(s wire.Service) bool { return s.Protocol == "udp" && s.Port == port }) {
		return nil, true
	}
	w := &weak.Env{Dialer: j.dialer, Ledger: j.Ledger, Lockout: j.run.Lockout, Answer: j.Answer, Select: want, Found: found, Note: j.note,
		Attempts: func(a wire.Attempts) { j.add(wire.Result{Kind: wire.KindAttempts, Attempts: &a}) }}
	return w.Silent(ctx, check.Target{Address: a, Service: &wire.Service{Port: port, Protocol: "udp"}})
}

// retests looks at findings again, each by its own check.
func (j *Job) retests(ctx context.Context, o *discover.Options) error {
	total := int64(len(j.run.Retest))
	if err := j.commit(ctx, func(s *state) {
		s.Progress.Stage, s.Progress.ChecksTotal = wire.StageCheck, total
	}); err != nil {
		return err
	}
	for j.st.Next < total {
		if err := j.gate(ctx); err != nil {
			return err
		}
		again, err := j.retest(ctx, o, j.run.Retest[j.st.Next])
		if err != nil {
			return err
		}
		if err := j.commit(ctx, func(s *state) {
			s.Next++
			s.Progress.ChecksDone = s.Next
			if again {
				s.Progress.Weaknesses++
			}
		}); err != nil {
			return err
		}
	}
	return nil
}

func (j *Job) retest(ctx context.Context, o *discover.Options, r wire.Retest) (again bool, err error) {
	list, err := j.scope.Targets(ctx, []string{r.Target}, j.Resolve, func(target string, err error) {
		j.note(wire.Note{Level: wire.LevelWarn, Target: target, Text: "the name cannot be looked up: " + err.Error()})
	})
	if err != nil || list.Len() == 0 {
		j.note(wire.Note{Level: wire.LevelWarn, Target: r.Target, Text: "finding " + r.Finding + " cannot be looked at again: its target is none of this run"})
		return false, nil
	}
	j.targets = list
	a := list.At(0)
	one := *o
	one.Probes = nil
	if r.Port > 0 {
		one.TCP, one.UDP = []int{r.Port}, []int{r.Port}
	}
	f, err := one.Host(ctx, a)
	if err != nil && !errors.Is(err, scope.ErrOutside) {
		return false, err
	}
	if f == nil || f.Host == nil {
		j.note(wire.Note{Level: wire.LevelWarn, Target: r.Target, Text: "finding " + r.Finding + " cannot be looked at again: the host does not answer"})
		return false, nil
	}
	absent := wire.Absent{Finding: r.Finding, Check: r.Check, Target: r.Target, Port: r.Port, Path: r.Path, Reason: "closed"}
	path := r.Path
	if _, after, ok := strings.Cut(path, "://"); ok {
		path = "/"
		if i := strings.IndexByte(after, '/'); i >= 0 {
			path = after[i:]
		}
	}
	limited := false
	report := func(w wire.Weakness) {
		if w.Check != r.Check || path != "" && w.Path != "" && w.Path != path || again {
			return
		}
		again = true
		w.Finding = r.Finding
		j.add(wire.Result{Kind: wire.KindWeakness, Weakness: &w})
	}
	if r.Check == "weak-password-snmp" && r.Port > 0 {
		_, whole := j.silent(ctx, a, f, r.Port, check.Selection{r.Check}, report)
		limited = !whole
	}
	for i := range f.Services {
		absent.Reason = "clean"
		t := check.Target{Address: a, Service: &f.Services[i]}
		if _, err := netip.ParseAddr(r.Target); err != nil && len(list.Sites) > 0 {
			t.Host = list.Sites[0].Host
		}
		j.examineOne(ctx, t, check.Selection{r.Check}, true, report)
		limited = limited || j.limited(a)
	}
	if err := ctx.Err(); err != nil {
		return false, context.Cause(ctx)
	}
	if again {
		return true, nil
	}
	if limited {
		// Not all passwords were tried: that none worked proves nothing.
		j.note(wire.Note{Level: wire.LevelWarn, Target: r.Target, Text: "finding " + r.Finding + " cannot be looked at again yet: the limit of attempts is reached"})
		return false, nil
	}
	j.add(wire.Result{Kind: wire.KindAbsent, Absent: &absent})
	return false, nil
}

// limited tells whether passwords of an address were left untried, in this batch.
func (j *Job) limited(a netip.Addr) bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	return slices.ContainsFunc(j.buffer, func(r wire.Result) bool {
		return r.Attempts != nil && r.Attempts.Address == a.String() && (r.Attempts.Stopped == "limit" || r.Attempts.Stopped == "locked")
	})
}
