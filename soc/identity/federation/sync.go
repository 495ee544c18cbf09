package federation

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/uptrace/bun"

	"icewatch/soc/audit"
	"icewatch/soc/identity"
	"icewatch/soc/identity/federation/ldap"
	"icewatch/soc/identity/federation/peer"
	"icewatch/soc/units"
)

// The states of a sync.
const (
	StateRunning     = "running"
	StateOK          = "ok"
	StateRefused     = "refused"     // too many accounts would be disabled: none was
	StateFailed      = "failed"      // the directory or the database did not do its part
	StateInterrupted = "interrupted" // the suite stopped meanwhile
)

const (
	maxProblems = 100
	maxChanges  = 500
	// keepRuns is how many runs of a provider are remembered.
	keepRuns = 200
	// syncTime bounds one run.
	syncTime = 2 * time.Hour
)

// Run is one sync.
type Run struct {
	ID        string     `json:"id"`
	Provider  string     `json:"provider"`
	StartedAt time.Time  `json:"started_at"`
	EndedAt   *time.Time `json:"ended_at,omitempty"`
	By        string     `json:"by" doc:"Who asked for it; system where it was due"`
	Full      bool       `json:"full" doc:"All entries, not only those changed since the last run"`
	DryRun    bool       `json:"dry_run" doc:"Nothing was changed; changes says what would have been"`
	State     string     `json:"state" enum:"running,ok,refused,failed,interrupted"`
	Detail    string     `json:"detail,omitempty" doc:"Why it was refused or failed"`
	Progress  Progress   `json:"progress"`
	Report    Report     `json:"report"`
	Problems  []Problem  `json:"problems" nullable:"false" doc:"Entries that were left out, the first 100"`
	Changes   []Change   `json:"changes" nullable:"false" doc:"What was done, or would have been in a dry run, the first 500"`
}

// Progress is how far a run is.
type Progress struct {
	Read int `json:"read" doc:"Users read from the directory"`
	Done int `json:"done" doc:"Users dealt with"`
}

// Report is what a run did, or would have done.
type Report struct {
	UsersRead      int `json:"users_read"`
	UsersCreated   int `json:"users_created"`
	UsersChanged   int `json:"users_changed"`
	UsersUnchanged int `json:"users_unchanged"`
	UsersDisabled  int `json:"users_disabled" doc:"Disabled in the directory, or vanished from it"`
	UsersEnabled   int `json:"users_enabled" doc:"Back in the directory after they had vanished"`
	UsersSkipped   int `json:"users_skipped" doc:"Left out: without a role, or with a problem"`
	UnitsRead      int `json:"units_read"`
	UnitsCreated   int `json:"units_created"`
	UnitsChanged   int `json:"units_changed"`
	UnitsVanished  int `json:"units_vanished" doc:"No longer in the directory; they stay, since data refers to them"`
}

// Problem is an entry that was left out.
type Problem struct {
	Object  string `json:"object"`
	Problem string `json:"problem"`
}

// Change is what a run did to one account or unit, or would have done.
type Change struct {
	Object string `json:"object"`
	Change string `json:"change" enum:"create,change,disable,enable"`
	Detail string `json:"detail,omitempty"`
}

func (r *Run) problem(object string, why error) {
	r.Report.UsersSkipped++
	if len(r.Problems) < maxProblems {
		r.Problems = append(r.Problems, Problem{clip(object, 300), clip(why.Error(), 500)})
	}
}

func (r *Run) change(object, what, detail string) {
	if len(r.Changes) < maxChanges {
		r.Changes = append(r.Changes, Change{clip(object, 300), what, clip(detail, 500)})
	}
}

type syncRow struct {
	bun.BaseModel `bun:"table:federation_syncs,alias:s"`

	ID        string `bun:"id,pk"`
	Provider  string `bun:"provider"`
	StartedAt int64  `bun:"started_at"`
	State     string `bun:"state"`
	Full      bool   `bun:"is_full"`
	DryRun    bool   `bun:"dry_run"`
	Doc       string `bun:"doc"`
}

// save makes the run as it is now durable.
func (s *Service) save(ctx context.Context, r *Run) error {
	doc, err := json.Marshal(r)
	if err != nil {
		return fmt.Errorf("federation: %w", err)
	}
	row := &syncRow{ID: r.ID, Provider: r.Provider, StartedAt: r.StartedAt.UnixMilli(), State: r.State, Full: r.Full, DryRun: r.DryRun, Doc: string(doc)}
	if _, err := s.DB.NewInsert().Model(row).On("CONFLICT (id) DO UPDATE").Set("state = EXCLUDED.state, doc = EXCLUDED.doc").Exec(ctx); err != nil {
		return fmt.Errorf("federation: keep the sync %s: %w", r.ID, err)
	}
	return nil
}

// Syncs lists the runs of a provider, newest first.
func (s *Service) Syncs(ctx context.Context, provider string, limit int) ([]Run, error) {
	if _, err := s.get(provider); err != nil {
		return nil, err
	}
	return s.runs(ctx, func(q *bun.SelectQuery) *bun.SelectQuery {
		return q.Where("s.provider = ?", provider).Order("s.started_at DESC", "s.id").Limit(int64(limit))
	})
}

// Sync returns one run.
func (s *Service) Sync(ctx context.Context, provider, id string) (Run, error) {
	list, err := s.runs(ctx, func(q *bun.SelectQuery) *bun.SelectQuery {
		return q.Where("s.provider = ? AND s.id = ?", provider, id)
	})
	if err != nil {
		return Run{}, err
	}
	if len(list) == 0 {
		return Run{}, fmt.Errorf("%w: the run %.40q of %.40q", ErrNotFound, id, provider)
	}
	return list[0], nil
}

func (s *Service) runs(ctx context.Context, where func(*bun.SelectQuery) *bun.SelectQuery) ([]Run, error) {
	var rows []syncRow
	if err := where(s.DB.NewSelect().Model(&rows)).Scan(ctx); err != nil {
		return nil, fmt.Errorf("federation: read the syncs: %w", err)
	}
	out := make([]Run, 0, len(rows))
	for i := range rows {
		var r Run
		if err := json.Unmarshal([]byte(rows[i].Doc), &r); err != nil {
			return nil, fmt.Errorf("federation: the stored sync %s: %w", rows[i].ID, err)
		}
		out = append(out, r)
	}
	return out, nil
}

// interrupted marks the runs that a stop of the suite cut short.
func (s *Service) interrupted(ctx context.Context) error {
	list, err := s.runs(ctx, func(q *bun.SelectQuery) *bun.SelectQuery { return q.Where("s.state = ?", StateRunning) })
	if err != nil {
		return err
	}
	for i := range list {
		list[i].State, list[i].Detail = StateInterrupted, "the suite stopped during the run; what was done stays, the next run does the rest"
		if err := s.save(ctx, &list[i]); err != nil {
			return err
		}
	}
	return nil
}

// StartSync begins a run and returns at once. Where one of the provider runs,
// it is ErrRunning.
func (s *Service) StartSync(ctx context.Context, provider, by string, full, dryRun bool) (Run, error) {
	e, err := s.get(provider)
	if err != nil {
		return Run{}, err
	}
	if e.Kind != KindLDAP {
		return Run{}, invalid("kind", "only directories can be synchronised; %s tells of users when they sign in", e.Kind)
	}
	d, err := s.directory(e)
	if err != nil {
		return Run{}, err
	}
	r := Run{ID: "syn_" + strings.ToLower(rand.Text()[:16]), Provider: provider, StartedAt: s.now().UTC().Truncate(time.Millisecond),
		By: by, Full: full, DryRun: dryRun, State: StateRunning, Problems: []Problem{}, Changes: []Change{}}
	var since time.Time
	if !full {
		if since, err = s.lastRead(ctx, provider); err != nil {
			return Run{}, err
		}
		r.Full = since.IsZero() // the first run reads all
	}
	s.mu.Lock()
	if s.running[provider] != nil {
		s.mu.Unlock()
		return Run{}, fmt.Errorf("%w: wait for it to end", ErrRunning)
	}
	if s.base.Err() != nil {
		s.mu.Unlock()
		return Run{}, context.Canceled
	}
	working, cancel := context.WithTimeout(s.base, syncTime)
	s.running[provider] = cancel
	s.jobs.Add(1)
	s.mu.Unlock()
	if err := s.save(ctx, &r); err != nil {
		s.release(provider, cancel)
		s.jobs.Done()
		return Run{}, err
	}
	go func() {
		defer s.jobs.Done()
		run := r
		err := s.sync(working, e, d, &run, since)
		// Whoever sees that the run has ended can start the next.
		s.release(provider, cancel)
		s.finish(&run, err)
	}()
	return r, nil
}

func (s *Service) release(provider string, cancel context.CancelFunc) {
	cancel()
	s.mu.Lock()
	delete(s.running, provider)
	s.mu.Unlock()
}

// finish writes how a run ended.
func (s *Service) finish(r *Run, err error) {
	ended := s.now().UTC().Truncate(time.Millisecond)
	r.EndedAt = &ended
	var refused refusal
	switch {
	case err == nil:
		r.State = StateOK
	case errors.As(err, &refused):
		r.State, r.Detail = StateRefused, err.Error()
	case errors.Is(err, context.Canceled):
		r.State, r.Detail = StateInterrupted, "the run was stopped; what was done stays, the next run does the rest"
	default:
		r.State, r.Detail = StateFailed, clip(err.Error(), 1000)
	}
	level := s.Log.Info
	if r.State != StateOK {
		level = s.Log.Warn
	}
	level("directory synchronised", "provider", r.Provider, "run", r.ID, "state", r.State, "detail", r.Detail, "dry_run", r.DryRun, "full", r.Full,
		"created", r.Report.UsersCreated, "changed", r.Report.UsersChanged, "disabled", r.Report.UsersDisabled, "skipped", r.Report.UsersSkipped)
	// The run has happened whether or not the suite is stopping.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(s.base), 10*time.Second)
	defer cancel()
	if err := s.save(ctx, r); err != nil {
		s.Log.Error("federation: how a sync ended could not be kept", "provider", r.Provider, "error", err)
	}
	s.record(ctx, r)
	if _, err := s.DB.ExecContext(ctx, `DELETE FROM federation_syncs WHERE provider = ? AND id NOT IN
		(SELECT id FROM federation_syncs WHERE provider = ? ORDER BY started_at DESC LIMIT ?)`, r.Provider, r.Provider, keepRuns); err != nil {
		s.Log.Warn("federation: old syncs could not be forgotten", "provider", r.Provider, "error", err)
	}
}

// record writes into the audit log what a run did; the run itself lists the
// accounts.
func (s *Service) record(ctx context.Context, r *Run) {
	if r.DryRun {
		return
	}
	n := r.Report
	rec := audit.Record{Time: s.now(), Kind: audit.KindChange, Actor: r.By, Action: "sync-accounts", Object: "identity-provider:" + r.Provider, Result: audit.OK,
		Detail: fmt.Sprintf("run %s, %s: accounts created %d, changed %d, disabled %d, enabled %d, left out %d; units created %d, changed %d", r.ID, r.State,
			n.UsersCreated, n.UsersChanged, n.UsersDisabled, n.UsersEnabled, n.UsersSkipped, n.UnitsCreated, n.UnitsChanged)}
	if r.State != StateOK {
		rec.Result = audit.Failed
		rec.Detail += "; " + r.Detail
	}
	if err := s.Audit.Append(ctx, rec); err != nil {
		s.Log.Error("federation: a sync could not be written to the audit log", "provider", r.Provider, "run", r.ID, "error", err)
	}
}

// lastRead is when the newest run began that took everything over; what changed
// since is what an incremental run reads. Clocks differ, so it is some minutes
// early.
func (s *Service) lastRead(ctx context.Context, provider string) (time.Time, error) {
	list, err := s.runs(ctx, func(q *bun.SelectQuery) *bun.SelectQuery {
		return q.Where("s.provider = ? AND s.state = ? AND NOT s.dry_run", provider, StateOK).Order("s.started_at DESC").Limit(1)
	})
	if err != nil || len(list) == 0 {
		return time.Time{}, err
	}
	return list[0].StartedAt.Add(-5 * time.Minute), nil
}

// startDue begins the runs whose time has come.
func (s *Service) startDue(ctx context.Context) {
	s.mu.RLock()
	var list []*entry
	for _, e := range s.known {
		if e.Enabled && e.Kind == KindLDAP && e.Sync.Enabled && s.running[e.ID] == nil {
			list = append(list, e)
		}
	}
	s.mu.RUnlock()
	for _, e := range list {
		due, full, err := s.due(ctx, e)
		if err == nil && due {
			_, err = s.StartSync(ctx, e.ID, "system", full, false)
		}
		if err != nil && ctx.Err() == nil && !errors.Is(err, ErrRunning) {
			s.Log.Error("federation: a sync that is due could not begin", "provider", e.ID, "error", err)
		}
	}
}

// due tells whether a run is due, and whether a full one.
func (s *Service) due(ctx context.Context, e *entry) (due, full bool, err error) {
	every, fullEvery := e.Sync.intervals()
	newest := func(where string, args ...any) (time.Time, error) {
		list, err := s.runs(ctx, func(q *bun.SelectQuery) *bun.SelectQuery {
			return q.Where("s.provider = ? AND NOT s.dry_run", e.ID).Where(where, args...).Order("s.started_at DESC").Limit(1)
		})
		if err != nil || len(list) == 0 {
			return time.Time{}, err
		}
		return list[0].StartedAt, nil
	}
	any, err := newest("TRUE")
	if err != nil {
		return false, false, err
	}
	whole, err := newest("s.is_full AND s.state IN (?, ?)", StateOK, StateRefused)
	if err != nil {
		return false, false, err
	}
	now := s.now()
	return now.Sub(any) >= every, now.Sub(whole) >= fullEvery, nil
}

// refusal is why a run disables nobody.
type refusal struct{ vanished, known, percent int }

// Error says what would have happened and what to do.
func (r refusal) Error() string {
	return fmt.Sprintf("%d of the %d accounts of this directory are not in it any more, more than the %d %% that a run may disable: no account was disabled. "+
		"Look at base_dn, user_filter and the bind account; raise max_vanished_percent where it is so", r.vanished, r.known, r.percent)
}

// sync takes the units and users of a directory over.
func (s *Service) sync(ctx context.Context, e *entry, d *ldap.Directory, r *Run, since time.Time) error {
	if r.Full {
		since = time.Time{}
	}
	accounts, err := s.Accounts.ExternalAccounts(ctx, e.ID)
	if err != nil {
		return err
	}
	if e.Sync.Units == UnitsOU {
		if err := s.syncUnits(ctx, e, d, r); err != nil {
			return err
		}
	}
	known := make(map[string]struct{}, len(accounts))
	for _, a := range accounts {
		known[a.Subject] = struct{}{}
	}
	seen := make(map[string]struct{}, len(accounts))
	err = d.Users(ctx, since, func(page []ldap.Entry) error {
		r.Report.UsersRead += len(page)
		r.Progress.Read = r.Report.UsersRead
		if e.Sync.Units == UnitsAttribute {
			if err := s.unitsOfPage(ctx, e, r, page); err != nil {
				return err
			}
		}
		batch := make([]identity.ExternalUser, 0, len(page))
		for _, entry := range page {
			seen[entry.Subject] = struct{}{}
			u, err := s.user(e, entry.Identity, entry.DN)
			if errors.Is(err, ErrUnmapped) {
				// Most people of a directory have nothing to do here; one who had
				// a role and has none any more must not keep it.
				if _, has := known[entry.Subject]; !has {
					r.Report.UsersSkipped++
					continue
				}
				u = identity.ExternalUser{Provider: e.ID, Subject: entry.Subject, Disabled: true}
			} else if err != nil {
				r.problem(entry.DN, err)
				continue
			}
			batch = append(batch, u)
		}
		if err := s.takeOver(ctx, r, batch); err != nil {
			return err
		}
		r.Progress.Done = r.Report.UsersRead
		return s.save(ctx, r)
	}, func(dn string, why error) { r.problem(dn, why) })
	if err != nil || !r.Full {
		return err
	}
	return s.disableVanished(ctx, e, r, accounts, seen)
}

// takeOver hands a page of users to soc/identity and counts what became of
// them.
func (s *Service) takeOver(ctx context.Context, r *Run, batch []identity.ExternalUser) error {
	results, err := s.Accounts.SyncExternal(ctx, batch, r.DryRun)
	if err != nil {
		return err
	}
	for i, res := range results {
		name := batch[i].Username
		if name == "" {
			name = res.Username
		}
		switch res.Outcome {
		case identity.ExternalCreated:
			r.Report.UsersCreated++
			r.change(name, "create", "roles "+strings.Join(batch[i].Roles, ", "))
		case identity.ExternalChanged:
			r.Report.UsersChanged++
			r.change(name, "change", res.Detail)
		case identity.ExternalDisabled:
			r.Report.UsersDisabled++
			r.change(name, "disable", res.Detail)
		case identity.ExternalEnabled:
			r.Report.UsersEnabled++
			r.change(name, "enable", res.Detail)
		case identity.ExternalFailed:
			r.problem(name, errors.New(res.Detail))
		default:
			r.Report.UsersUnchanged++
		}
	}
	return nil
}

// disableVanished disables the accounts whose users are no longer in the
// directory, unless they are suspiciously many: an empty answer of a directory
// whose rights changed must not lock the city out.
func (s *Service) disableVanished(ctx context.Context, e *entry, r *Run, accounts []identity.ExternalAccount, seen map[string]struct{}) error {
	var subjects []string
	active := 0
	for _, a := range accounts {
		if a.Disabled {
			continue
		}
		active++
		if _, there := seen[a.Subject]; !there {
			subjects = append(subjects, a.Subject)
			r.change(a.Username, "disable", "it is no longer in the directory")
		}
	}
	if len(subjects)*100 > active*e.Sync.MaxVanished {
		return refusal{len(subjects), active, e.Sync.MaxVanished}
	}
	r.Report.UsersDisabled += len(subjects)
	if r.DryRun {
		return nil
	}
	return s.Accounts.DisableExternal(ctx, e.ID, subjects)
}

// unitID names a unit of a directory by its path, so that each run and each
// sign-in finds the same one.
func unitID(provider string, path []string) string {
	return provider + ":" + digest(provider, strings.ToLower(strings.Join(path, "\x1f")))[:20]
}

// unitPath is where a user stands in the directory's tree.
func (e *entry) unitPath(who peer.Identity, dn string) []string {
	if e.Sync.Units == UnitsAttribute {
		var path []string
		for part := range strings.SplitSeq(who.Claims.String(e.Attributes.Unit), e.Sync.Separator) {
			if part = strings.TrimSpace(part); part != "" {
				path = append(path, part)
			}
		}
		return path
	}
	e.mu.Lock()
	d := e.ldap
	e.mu.Unlock()
	if d == nil {
		return nil
	}
	return d.UnitPath(dn)
}

// syncUnits takes the organisational units over.
func (s *Service) syncUnits(ctx context.Context, e *entry, d *ldap.Directory, r *Run) error {
	list, err := d.Units(ctx)
	if err != nil {
		return err
	}
	paths := make([][]string, 0, len(list))
	for _, u := range list {
		if len(u.Path) > 0 {
			paths = append(paths, u.Path)
		}
	}
	return s.ensureUnits(ctx, e, r, paths, true)
}

// unitsOfPage takes over the units that a page of users names.
func (s *Service) unitsOfPage(ctx context.Context, e *entry, r *Run, page []ldap.Entry) error {
	paths := make([][]string, 0, len(page))
	for _, entry := range page {
		if p := e.unitPath(entry.Identity, entry.DN); len(p) > 0 {
			paths = append(paths, p)
		}
	}
	return s.ensureUnits(ctx, e, r, paths, false)
}

// ensureUnits makes the units at the paths and those above them. What people
// added to one here (region, labels, ceiling) stays.
func (s *Service) ensureUnits(ctx context.Context, e *entry, r *Run, paths [][]string, all bool) error {
	tree := s.Units.Tree()
	var list []units.Unit
	met := map[string]struct{}{}
	for _, path := range paths {
		parent := e.Sync.RootUnit
		for i := range path {
			id := unitID(e.ID, path[:i+1])
			if _, done := met[id]; done {
				parent = id
				continue
			}
			met[id] = struct{}{}
			name := clip(path[i], 200)
			u, there := tree.Get(id)
			switch {
			case !there:
				list = append(list, units.Unit{ID: id, Parent: parent, Name: units.Text{ZH: name, EN: name}, Source: e.ID})
				r.Report.UnitsCreated++
				r.change(strings.Join(path[:i+1], "/"), "create", "a unit")
			case u.Parent != parent || u.Source != e.ID:
				u.Parent, u.Source = parent, e.ID
				list = append(list, u)
				r.Report.UnitsChanged++
				r.change(strings.Join(path[:i+1], "/"), "change", "a unit")
			}
			parent = id
		}
	}
	if all {
		r.Report.UnitsRead = len(met)
		for _, u := range tree.All() {
			if _, there := met[u.ID]; !there && u.Source == e.ID {
				r.Report.UnitsVanished++
			}
		}
	} else {
		r.Report.UnitsRead += len(list)
	}
	if len(list) == 0 || r.DryRun {
		return nil
	}
	_, err := s.Units.Apply(ctx, list)
	return err
}
