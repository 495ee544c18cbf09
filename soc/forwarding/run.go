package forwarding

import (
	"context"
	"fmt"
	"time"

	"icewatch/detections"
	"icewatch/soc/export"
)

const (
	// watchEvery is how often it is looked whether somebody must be told.
	watchEvery = 10 * time.Second
	// lossAt is the part of retention that a target may lie behind before it is
	// alarmed: what it lies behind further is removed before it gets it.
	lossAt = 0.8
)

// Run forwards to all targets that are enabled until ctx ends. as tells what
// their owners may read.
func (s *Service) Run(ctx context.Context, as export.As) {
	s.mu.Lock()
	s.base, s.as = ctx, as
	s.mu.Unlock()
	look := time.NewTicker(watchEvery)
	defer look.Stop()
	for {
		if err := s.reconcile(ctx); err != nil && ctx.Err() == nil {
			s.deps.Log.Error("forward: the targets cannot be read; what runs goes on", "error", err)
		}
		select {
		case <-s.wake:
		case <-look.C:
			s.watch(ctx)
		case <-ctx.Done():
			s.changing.Lock()
			defer s.changing.Unlock()
			s.mu.Lock()
			workers := s.workers
			s.workers = map[string]*worker{}
			s.mu.Unlock()
			for _, w := range workers {
				<-w.done
			}
			return
		}
	}
}

// reconcile starts and stops workers so that they are those of the enabled
// targets as they are now.
func (s *Service) reconcile(ctx context.Context) error {
	s.changing.Lock()
	defer s.changing.Unlock()
	var rows []targetRow
	if err := s.db.NewSelect().Model(&rows).Scan(ctx); err != nil {
		return err
	}
	wanted := map[string]targetRow{}
	for _, r := range rows {
		if r.Enabled {
			wanted[r.ID] = r
		}
	}
	s.mu.Lock()
	var ended []*worker
	for id, w := range s.workers {
		if r, ok := wanted[id]; ok && r.Revision == w.t.Revision {
			delete(wanted, id)
			continue
		}
		w.cancel()
		delete(s.workers, id)
		ended = append(ended, w)
	}
	s.mu.Unlock()
	for _, w := range ended {
		<-w.done
		s.over(w)
	}
	for id, r := range wanted {
		t, err := s.read(r)
		if err != nil {
			s.progressOf(id).failed(StateRetrying, err.Error())
			s.deps.Log.Error("forward: a target cannot be read", "target", r.Name, "error", err)
			continue
		}
		working, cancel := context.WithCancel(ctx)
		w := &worker{s: s, t: t, p: s.progressOf(id), cancel: cancel, done: make(chan struct{})}
		s.mu.Lock()
		s.workers[id] = w
		s.mu.Unlock()
		go w.run(working)
	}
	return nil
}

// resting stops the worker of a target and calls f while none runs.
func (s *Service) resting(id string, f func() error) error {
	s.changing.Lock()
	defer s.changing.Unlock()
	s.mu.Lock()
	w := s.workers[id]
	delete(s.workers, id)
	s.mu.Unlock()
	if w != nil {
		w.cancel()
		<-w.done
		s.over(w)
	}
	defer s.poke()
	return f()
}

// over forgets how the worker of a target fared.
func (s *Service) over(w *worker) {
	w.p.fine()
	for _, kind := range []string{"down", "blocked", "loss"} {
		s.deps.Clear(alarmKey(w.t, kind))
	}
}

func alarmKey(t *target, kind string) string { return "forward:" + kind + ":" + t.ID }

// watch tells people of targets that fail, and of events that may be lost.
func (s *Service) watch(ctx context.Context) {
	s.mu.Lock()
	workers := make([]*worker, 0, len(s.workers))
	for _, w := range s.workers {
		workers = append(workers, w)
	}
	s.mu.Unlock()
	for _, w := range workers {
		w.p.mu.Lock()
		state, fault, since, late := w.p.state, w.p.fault, w.p.since, w.p.behind
		w.p.mu.Unlock()
		c := &w.t.content
		raise := func(kind string, on bool, detail detections.Text) {
			if !on {
				s.deps.Clear(alarmKey(w.t, kind))
				return
			}
			s.deps.Alarm(ctx, Alarm{Kind: "forward-" + kind, Key: alarmKey(w.t, kind), Detail: detail})
		}
		lasts := time.Since(since).Round(time.Second)
		raise("down", fault != "" && state != StateBlocked && lasts > time.Duration(c.AlarmAfter)*time.Minute, detections.Text{
			ZH: fmt.Sprintf("转发目标 %s（%s）自 %s 起失败：%s", c.Name, c.Kind, since.Format(time.RFC3339), fault),
			EN: fmt.Sprintf("forwarding to %s (%s) has failed since %s: %s", c.Name, c.Kind, since.Format(time.RFC3339), fault)})
		raise("blocked", state == StateBlocked, detections.Text{
			ZH: fmt.Sprintf("转发目标 %s 的死信已达 %d 条，转发暂停：请重发或放弃死信", c.Name, maxDead),
			EN: fmt.Sprintf("forwarding to %s waits: it has %d dead letters; have them sent again or discard them", c.Name, maxDead)})
		if fault != "" && c.Kind != RemoteWrite {
			// What it is still to get grows older meanwhile.
			if b, err := s.behind(ctx, w.t.ID); err == nil {
				late = b
			}
		}
		var whose []string
		if c.Tenant != "" {
			whose = tenants(c.Tenant)
		}
		keep := s.deps.Keep(whose)
		raise("loss", keep > 0 && float64(late) > lossAt*float64(keep), detections.Text{
			ZH: fmt.Sprintf("转发目标 %s 落后 %s，而数据只保留 %s：再不恢复，未转发的事件将随保留期删除", c.Name, late.Round(time.Minute), keep),
			EN: fmt.Sprintf("forwarding to %s lies %s behind, and events are kept for %s: they will be removed before it gets them", c.Name, late.Round(time.Minute), keep)})
	}
}

// behind is how long what a target is still to get has waited.
func (s *Service) behind(ctx context.Context, id string) (time.Duration, error) {
	at, err := s.position(ctx, id)
	if err != nil {
		return 0, err
	}
	b, err := s.deps.Arrivals.Backlog(ctx, at.next())
	if err != nil || b.Came.IsZero() {
		return 0, err
	}
	return time.Since(b.Came), nil
}
