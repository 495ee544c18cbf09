package centre

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"path/filepath"
	"sync/atomic"
	"time"

	"icewatch/detections"
	"icewatch/soc/backup"
	"icewatch/soc/bus"
	"icewatch/soc/config"
	"icewatch/soc/identity"
	"icewatch/soc/metrics"
	"icewatch/soc/reach"
	"icewatch/soc/search"
	"icewatch/soc/settings"
	"icewatch/soc/state"
	"icewatch/soc/watch"
)

// openBackups makes the service that takes backups of this suite.
func (c *centre) openBackups(ctx context.Context) error {
	schedule, err := settings.Declare(ctx, c.settings, "backup", identity.ScopeSystem, backup.DefaultSchedule, backup.Schedule.Check)
	if err != nil {
		return err
	}
	source := backupSource(c.Config, c.ConfigFile, c.Version)
	source.CopyState = c.db.CopyTo
	source.Running = &backup.Running{Hold: c.holdBus, Streams: c.copyBus, Metrics: c.freezeMetrics, Tenants: c.countTenants,
		// What the library has in memory for an interval and then writes, with
		// another interval for the writing.
		Settle: 3*time.Duration(c.Config.Lake.FlushInterval) + 2*time.Second}
	c.backups = backup.NewService(backup.ServiceOptions{Dir: c.Config.Backup.Dir, Source: source, Schedule: schedule.Get, Alarm: backupAlarm{c.watch}, Log: c.log})
	c.background(c.backups.Run)
	return nil
}

// backupSource is what the configuration says of the source of a backup.
func backupSource(cfg *config.Config, file, version string) backup.Source {
	s := backup.Source{Data: cfg.Data, KeyFile: cfg.KeyFile(), Config: file, Folders: map[string]string{}, Version: version}
	for i, dir := range cfg.Rules.Dirs {
		s.Folders[fmt.Sprintf("rules-%d", i+1)] = dir
	}
	for i, dir := range cfg.Parsers.Dirs {
		s.Folders[fmt.Sprintf("parsers-%d", i+1)] = dir
	}
	for i, dir := range cfg.Tenants.Dirs {
		s.Folders[fmt.Sprintf("tenants-%d", i+1)] = dir
	}
	if at := cfg.CMDB.Postgres; at != "" {
		s.Elsewhere = append(s.Elsewhere, "cmdb on "+at) // a password in it is refused
	}
	for _, stream := range bus.Streams {
		s.BusStreams = append(s.BusStreams, bus.StreamFolder(stream))
	}
	return s
}

// BackUpStopped takes a backup of a data folder on which no suite runs. Where
// one runs it is ErrRunning.
func BackUpStopped(ctx context.Context, cfg *config.Config, file, version string, repo *backup.Repository, o backup.Options, p *backup.Progress) (sum backup.Summary, err error) {
	if err := hasState(cfg); err != nil {
		return sum, err
	}
	lock, err := lockFolder(cfg.Data)
	if err != nil {
		return sum, err
	}
	defer func() { err = errors.Join(err, lock.Close()) }()
	db, err := state.Open(ctx, filepath.Join(cfg.Data, "state", "icewatch.db"))
	if err != nil {
		return sum, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	source := backupSource(cfg, file, version)
	source.CopyState = db.CopyTo
	return repo.Take(ctx, source, o, p)
}

const (
	// holdFor is how long engine and centre keep the bus whole without being
	// asked again, and holdAgain how often they are asked.
	holdFor   = 2 * time.Minute
	holdAgain = 20 * time.Second
	// holdPatience is how long a backup waits for an engine that does not
	// answer, such as one that is starting.
	holdPatience = 2 * time.Minute
)

// holdBus keeps everything on the bus that a backup needs.
func (c *centre) holdBus(ctx context.Context) (held func() error, release func(), err error) {
	ctx, cancel := context.WithCancel(ctx)
	c.holds.Add(1)
	end := func() {
		cancel()
		c.holds.Add(-1)
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
		// Where this fails the hold ends by itself.
		_ = c.engine.EndHold(ctx)
	}
	since, err := c.firstHold(ctx)
	if err == nil {
		err = c.reachesBack(ctx)
	}
	if err != nil {
		end()
		return nil, nil, err
	}
	var gap atomic.Pointer[error]
	ask := func() {
		at, err := c.engine.Hold(ctx, holdFor)
		if err == nil && !at.Equal(since) {
			err = errors.New("the engine was started again")
		}
		if err != nil && ctx.Err() == nil {
			gap.CompareAndSwap(nil, &err)
		}
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			select {
			case <-time.After(holdAgain):
				ask()
			case <-ctx.Done():
				return
			}
		}
	}()
	held = func() error {
		ask()
		if err := gap.Load(); err != nil {
			return *err
		}
		return nil
	}
	return held, func() { end(); <-done }, nil
}

// firstHold asks the engine until it answers.
func (c *centre) firstHold(ctx context.Context) (since time.Time, err error) {
	for began := time.Now(); ; {
		since, err = c.engine.Hold(ctx, holdFor)
		if err == nil || time.Since(began) > holdPatience {
			return since, err
		}
		select {
		case <-time.After(time.Second):
		case <-ctx.Done():
			return since, ctx.Err()
		}
	}
}

// reachesBack waits until the engine's files know of everything that has been
// let go of already: it saves what detection remembers every few seconds only.
func (c *centre) reachesBack(ctx context.Context) error {
	for began := time.Now(); ; {
		st, err := c.client.RawState(ctx)
		if err != nil {
			return err
		}
		at, err := backup.PlaceOf(c.Config.Data)
		if err != nil {
			return err
		}
		next := min(at.Stored, at.Detected) + 1
		if st.Messages == 0 || st.First <= next {
			return nil
		}
		if time.Since(began) > holdPatience {
			return fmt.Errorf("centre: the bus begins at batch %d, and the engine's files say that it goes on at %d", st.First, next)
		}
		select {
		case <-time.After(500 * time.Millisecond):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// copyBus hands over the files of all streams.
func (c *centre) copyBus(ctx context.Context, each func(p string, size int64, r io.Reader) error) (at backup.Place, err error) {
	for i, stream := range bus.Streams {
		st, err := c.client.Snapshot(ctx, stream, func(name string, size int64, r io.Reader) error {
			return each(path.Join(bus.StreamFolder(stream), name), size, r)
		})
		if err != nil {
			return at, err
		}
		if i == 0 { // the raw batches
			at = backup.Place{Epoch: st.Epoch, First: st.First, Last: st.Last}
		}
	}
	return at, nil
}

// freezeMetrics has the engine freeze the metric lake.
func (c *centre) freezeMetrics(ctx context.Context) (dir string, release func(), err error) {
	dir, thaw, err := c.engine.SnapshotMetrics(ctx)
	if errors.Is(err, metrics.ErrElsewhere) {
		return "", nil, nil
	}
	if err != nil {
		return "", nil, err
	}
	return dir, func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
		defer cancel()
		if err := thaw(ctx); err != nil {
			c.log.Warn("backup: the metric lake stays frozen beside the living one, and takes room", "error", err)
		}
	}, nil
}

// countTenants counts the events of each tenant up to a time.
func (c *centre) countTenants(ctx context.Context, until time.Time) ([]backup.Tenant, error) {
	var longest time.Duration
	for _, class := range c.Config.Lake.Keeping().Classes {
		longest = max(longest, class.Keep)
	}
	start := until.Add(-longest)
	var out []backup.Tenant
	for _, t := range c.tenants.List() {
		h, err := c.engine.Histogram(ctx, search.Request{Reach: reach.Tenants(t.Slug), Query: "*", Start: start, End: until}, 1)
		if err != nil {
			return nil, err
		}
		if h.Total > 0 {
			out = append(out, backup.Tenant{Tenant: t.Slug, Events: h.Total})
		}
	}
	return out, nil
}

// backupAlarm makes alarms of backups that failed or are overdue.
type backupAlarm struct{ watch *watch.Watch }

// Failed implements backup.Alarmer.
func (a backupAlarm) Failed(ctx context.Context, dir string, err error) {
	a.watch.Raise(ctx, watch.Alarm{Kind: "backup-failed", Fields: map[string]string{"dir": dir},
		Detail: detections.Text{ZH: fmt.Sprintf("备份到 %s 失败：%v", dir, err), EN: fmt.Sprintf("The backup to %s failed: %v", dir, err)}})
}

// Overdue implements backup.Alarmer.
func (a backupAlarm) Overdue(ctx context.Context, dir string, since time.Time) {
	at := since.Format("2006-01-02 15:04")
	a.watch.Raise(ctx, watch.Alarm{Kind: "backup-overdue", Fields: map[string]string{"dir": dir, "due": since.UTC().Format(time.RFC3339)},
		Detail: detections.Text{ZH: fmt.Sprintf("计划于 %s 进行的备份（%s）没有完成", at, dir), EN: fmt.Sprintf("The backup to %s that was due at %s has not been taken", dir, at)}})
}

// Well implements backup.Alarmer.
func (a backupAlarm) Well(kind string) {
	if kind == backup.AlarmFailed {
		a.watch.Clear("backup-failed")
	} else {
		a.watch.Clear("backup-overdue")
	}
}

var _ backup.Alarmer = backupAlarm{}
