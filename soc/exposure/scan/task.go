package scan

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/robfig/cron/v3"
	"github.com/uptrace/bun"

	"icewatch/cmdb"
	"icewatch/collectors/fleet"
	"icewatch/collectors/fleet/roster"
	"icewatch/collectors/scanner/wire"
	"icewatch/soc/reach"
)

// What becomes of hosts that the CMDB does not know.
const (
	ToInbox = "inbox"  // they wait for somebody, or for a rule of the inbox
	Create  = "create" // they become hosts of the CMDB
	Nothing = "none"
)

// Days on which a schedule holds.
const (
	EveryDay = "every"
	Workdays = "workdays"
	RestDays = "restdays"
)

// ScanRate bounds how fast a run is.
type ScanRate struct {
	Packets int `json:"packets,omitempty" minimum:"0" maximum:"20000" doc:"Connects and datagrams a second of the whole run; 200 where 0"`
	PerHost int `json:"per_host,omitempty" minimum:"0" maximum:"2000" doc:"Of them to one address; 20 where 0"`
	Hosts   int `json:"hosts,omitempty" minimum:"0" maximum:"1024" doc:"Addresses at once; 16 where 0"`
}

// ScanWindow is a time of the week in which a run may scan.
type ScanWindow struct {
	Days []int  `json:"days,omitempty" nullable:"false" doc:"1 Monday to 7 Sunday; every day where empty"`
	From string `json:"from" doc:"Such as 22:00"`
	To   string `json:"to" doc:"Such as 06:00, the next day where it is not after from"`
	Zone string `json:"zone,omitempty" doc:"Time zone such as Asia/Shanghai; UTC where empty"`
}

// ScanCredential lets a scanner read hosts. The secret is given, and never told again.
type ScanCredential struct {
	Kind   string `json:"kind" enum:"ssh,snmp,mysql,postgres,redis"`
	Name   string `json:"name" minLength:"1" maxLength:"100" doc:"By which people know it; unique in the task"`
	User   string `json:"user,omitempty" maxLength:"200"`
	Secret string `json:"secret,omitempty" maxLength:"4096" doc:"Password or community; only written. One that is left out stays what it was"`
	Key    string `json:"key,omitempty" maxLength:"16384" doc:"Private key in PEM, of SSH; only written"`
	Host   string `json:"host,omitempty" maxLength:"64" doc:"Only for this address"`
	Port   int    `json:"port,omitempty" minimum:"0" maximum:"65535"`
	Held   bool   `json:"held,omitempty" readOnly:"true" doc:"There is a secret or a key"`
}

// ScanTaskDraft is what people say of a task.
type ScanTaskDraft struct {
	Tenant      string           `json:"tenant" minLength:"1" maxLength:"63"`
	Name        string           `json:"name" minLength:"1" maxLength:"200"`
	Kind        string           `json:"kind" enum:"discover,check,deep" doc:"discover: hosts and services; check: weaknesses too; deep: what credentials let read of each host"`
	Zone        string           `json:"zone,omitempty" maxLength:"200" doc:"Network zone of the addresses"`
	Targets     []string         `json:"targets,omitempty" nullable:"false" maxItems:"10000" doc:"Addresses, ranges, host names, URLs; all approved ranges of the zone where this and query are empty"`
	Query       string           `json:"query,omitempty" maxLength:"4000" doc:"A filter of the CMDB: the addresses of its items are targets too"`
	TCP         []string         `json:"tcp,omitempty" nullable:"false" maxItems:"1000" doc:"Ports and ranges such as 8000-8100; the scanner's usual ones where empty"`
	UDP         []string         `json:"udp,omitempty" nullable:"false" maxItems:"1000"`
	Probes      []string         `json:"probes,omitempty" nullable:"false" maxItems:"20" doc:"ping, tcp, udp, snmp, banner, tls, http; all where empty"`
	Checks      []string         `json:"checks,omitempty" nullable:"false" maxItems:"10000" doc:"Ids and tags of checks; all where empty; with a minus before it one is left out"`
	Unsafe      bool             `json:"unsafe,omitempty" doc:"Allows checks that may disturb a service or change data"`
	Rate        ScanRate         `json:"rate,omitzero"`
	Windows     []ScanWindow     `json:"windows,omitempty" nullable:"false" maxItems:"100"`
	Hours       int              `json:"hours,omitempty" minimum:"0" maximum:"720" doc:"A run ends after so many; never where 0"`
	Attempts    int              `json:"attempts,omitempty" minimum:"0" maximum:"50" doc:"Passwords tried for one account within half an hour; 3 where 0"`
	Credentials []ScanCredential `json:"credentials,omitempty" nullable:"false" maxItems:"100"`
	Scanner     string           `json:"scanner,omitempty" maxLength:"64" doc:"Id of the scanner; any of the tenant's where empty"`
	Label       string           `json:"label,omitempty" maxLength:"128" doc:"Only scanners with this label"`
	Cron        string           `json:"cron,omitempty" maxLength:"100" doc:"Minute, hour, day of the month, month, day of the week; by hand alone where empty"`
	TimeZone    string           `json:"time_zone,omitempty" maxLength:"64" doc:"Of cron; Asia/Shanghai where empty"`
	Calendar    string           `json:"calendar,omitempty" enum:"every,workdays,restdays," doc:"Days on which cron holds"`
	Unknown     string           `json:"unknown,omitempty" enum:"inbox,create,none," doc:"What becomes of hosts that the CMDB does not know: they wait in its inbox, become hosts, or nothing"`
	Disabled    bool             `json:"disabled,omitempty" doc:"It does not run by its schedule"`
}

// ScanTask is a task.
type ScanTask struct {
	ScanTaskDraft
	ID        string    `json:"id"`
	CreatedAt time.Time `json:"created_at"`
	CreatedBy string    `json:"created_by"`
	UpdatedAt time.Time `json:"updated_at"`
	UpdatedBy string    `json:"updated_by"`
	Begun     time.Time `json:"begun_at,omitzero" doc:"When its schedule began it last"`
	Next      time.Time `json:"next_at,omitzero" doc:"When its schedule begins it next"`
	Fault     string    `json:"fault,omitempty" doc:"Why its schedule could not begin it"`
	LastRun   string    `json:"last_run,omitempty"`
	LastState string    `json:"last_state,omitempty"`
}

// Bounds.
const (
	maxTasks   = 2_000
	maxQueried = 65_536
)

func (d *ScanTaskDraft) check(now time.Time) error {
	d.Name, d.Zone = strings.TrimSpace(d.Name), cmp.Or(strings.TrimSpace(d.Zone), cmdb.DefaultZone)
	d.Calendar, d.Unknown, d.TimeZone = cmp.Or(d.Calendar, EveryDay), cmp.Or(d.Unknown, ToInbox), cmp.Or(d.TimeZone, "Asia/Shanghai")
	for _, l := range []*[]string{&d.Targets, &d.TCP, &d.UDP, &d.Probes, &d.Checks} {
		*l = slices.DeleteFunc(slices.Clone(*l), func(x string) bool { return strings.TrimSpace(x) == "" })
	}
	switch {
	case d.Name == "":
		return invalid("name: it is missing")
	case !slices.Contains([]string{wire.KindDiscover, wire.KindCheck, wire.KindDeep}, d.Kind):
		return invalid("kind: there is no %q", clip(d.Kind, 20))
	case !slices.Contains([]string{EveryDay, Workdays, RestDays}, d.Calendar):
		return invalid("calendar: there is no %q", clip(d.Calendar, 20))
	case !slices.Contains([]string{ToInbox, Create, Nothing}, d.Unknown):
		return invalid("unknown: there is no %q", clip(d.Unknown, 20))
	case d.Kind == wire.KindDeep && len(d.Credentials) == 0:
		return invalid("credentials: a deep scan reads hosts by SSH or SNMP and needs some")
	}
	for i, t := range d.Targets {
		if err := checkTarget(t); err != nil {
			return invalid("targets[%d]: %w", i, err)
		}
	}
	names := map[string]bool{}
	for i, c := range d.Credentials {
		if names[c.Name] || c.Name == "" {
			return invalid("credentials[%d]: a name of its own is needed, %q is there twice or empty", i, clip(c.Name, 100))
		}
		names[c.Name] = true
		if c.Host != "" {
			if _, err := netip.ParseAddr(c.Host); err != nil {
				return invalid("credentials[%d].host: %q is no address", i, clip(c.Host, 64))
			}
		}
	}
	zone, err := time.LoadLocation(d.TimeZone)
	if err != nil || d.TimeZone == "Local" {
		return invalid("time_zone: there is no %q", clip(d.TimeZone, 64))
	}
	if d.Cron != "" {
		when, err := cron.ParseStandard(d.Cron)
		if err != nil {
			return invalid("cron: %q is no time such as \"30 2 * * *\": %w", clip(d.Cron, 100), err)
		}
		first := when.Next(now.In(zone))
		if first.IsZero() {
			return invalid("cron: %q never comes", clip(d.Cron, 100))
		}
		if when.Next(first).Sub(first) < 5*time.Minute {
			return invalid("cron: %q comes more often than every five minutes", clip(d.Cron, 100))
		}
	}
	// The scanner's own check says what else is wrong.
	probe := d.orders()
	probe.ID, probe.Scope = "check", wire.Scope{Ranges: []string{"192.0.2.1"}}
	if err := probe.Check(); err != nil {
		return invalid("%w", err)
	}
	return nil
}

func checkTarget(t string) error {
	t = strings.TrimSpace(t)
	if _, err := netip.ParseAddr(t); err == nil {
		return nil
	}
	if strings.Contains(t, "://") {
		u, err := url.Parse(t)
		if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" {
			return fmt.Errorf("%q is no URL of http or https", clip(t, 200))
		}
		return nil
	}
	if strings.Contains(t, "/") {
		_, err := wire.ParseRange(t)
		return err
	}
	if len(t) > 253 || strings.ContainsAny(t, " \t\r\n,;\\\"'<>:") {
		return fmt.Errorf("%q is no address, range, host name or URL", clip(t, 200))
	}
	return nil
}

// orders are what a scanner is told of a task, without targets, scope and credentials.
func (d *ScanTaskDraft) orders() wire.Run {
	r := wire.Run{Kind: d.Kind, Tenant: d.Tenant, Zone: d.Zone, Name: d.Name, Ports: wire.Ports{TCP: d.TCP, UDP: d.UDP}, Probes: d.Probes, Checks: d.Checks, Unsafe: d.Unsafe,
		Rate: wire.Rate(d.Rate), Lockout: wire.Lockout{Attempts: d.Attempts}}
	for _, w := range d.Windows {
		r.Windows = append(r.Windows, wire.Window(w))
	}
	return r
}

// next is when the schedule of a task begins it next; zero where none does.
func (s *Service) next(t *ScanTask) time.Time {
	if t.Cron == "" || t.Disabled {
		return time.Time{}
	}
	zone, err := time.LoadLocation(t.TimeZone)
	if err != nil {
		return time.Time{}
	}
	when, err := cron.ParseStandard(t.Cron)
	if err != nil {
		return time.Time{}
	}
	from := t.UpdatedAt
	if t.Begun.After(from) {
		from = t.Begun
	}
	at := when.Next(from.In(zone))
	for range 400 {
		if at.IsZero() || t.Calendar == EveryDay || s.Workday == nil || s.Workday(at) == (t.Calendar == Workdays) {
			break
		}
		at = when.Next(at)
	}
	return at.UTC()
}

// due starts the tasks whose time has come.
func (s *Service) due(ctx context.Context) {
	now := s.now()
	var list []string
	s.mu.Lock()
	for id, t := range s.tasks {
		if at := s.next(t); !at.IsZero() && !at.After(now) {
			list = append(list, id)
		}
	}
	s.mu.Unlock()
	slices.Sort(list)
	for _, id := range list {
		fault := ""
		if _, err := s.start(ctx, reach.All(), "", id, "schedule"); err != nil {
			if ctx.Err() != nil {
				return
			}
			fault = err.Error()
			s.Log.Warn("scan: a task could not begin by its schedule", "task", id, "error", err)
		}
		s.changing.Lock()
		s.mu.Lock()
		t := s.tasks[id]
		if t == nil {
			s.mu.Unlock()
			s.changing.Unlock()
			continue
		}
		next := *t
		s.mu.Unlock()
		next.Begun, next.Fault = now, clip(fault, 1000)
		if err := s.putTask(ctx, &next); err != nil && ctx.Err() == nil {
			s.Log.Error("scan: a task could not be kept", "task", id, "error", err)
		}
		s.changing.Unlock()
	}
}

func (s *Service) putTask(ctx context.Context, t *ScanTask) error {
	doc, err := json.Marshal(t)
	if err != nil {
		return fmt.Errorf("scan: %w", err)
	}
	r := taskRow{ID: t.ID, Tenant: t.Tenant, Doc: string(doc)}
	err = s.Database.Change(ctx, func(ctx context.Context, tx bun.Tx) error {
		_, err := tx.NewInsert().Model(&r).On("CONFLICT (id) DO UPDATE").Set("tenant = EXCLUDED.tenant").Set("doc = EXCLUDED.doc").Exec(ctx)
		return err
	})
	if err != nil {
		return fmt.Errorf("scan: keep a task: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tasks[t.ID] = t
	return nil
}

// shown is a task as the API tells it.
func (s *Service) shown(t *ScanTask) ScanTask {
	x := *t
	x.Next = s.next(t)
	x.Credentials = slices.Clone(x.Credentials)
	for i := range x.Credentials {
		c := &x.Credentials[i]
		c.Secret, c.Key = "", ""
		c.Held = slices.ContainsFunc(s.secrets[t.ID], func(w wire.Credential) bool { return w.Name == c.Name && (w.Secret != "" || w.Key != "") })
	}
	for _, r := range s.active {
		if r.Task == t.ID {
			x.LastRun, x.LastState = r.ID, r.State
		}
	}
	return x
}

// Tasks lists the tasks in reach by name.
func (s *Service) Tasks(r reach.Reach) []ScanTask {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := []ScanTask{}
	for _, t := range s.tasks {
		if r.CoversWhole(t.Tenant) {
			out = append(out, s.shown(t))
		}
	}
	slices.SortFunc(out, func(a, b ScanTask) int { return cmp.Or(strings.Compare(a.Name, b.Name), strings.Compare(a.ID, b.ID)) })
	return out
}

// Task is one task in reach.
func (s *Service) Task(r reach.Reach, id string) (ScanTask, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.tasks[id]
	if t == nil || !r.CoversWhole(t.Tenant) {
		return ScanTask{}, ErrNotFound
	}
	return s.shown(t), nil
}

// PutTask makes a task, or changes the one of an id.
func (s *Service) PutTask(ctx context.Context, r reach.Reach, actor, id string, d ScanTaskDraft) (ScanTask, error) {
	now := s.now()
	if !r.CoversWhole(d.Tenant) {
		return ScanTask{}, invalid("tenant: %q is not within your reach as a whole", clip(d.Tenant, 63))
	}
	if err := d.check(now); err != nil {
		return ScanTask{}, err
	}
	if d.Scanner != "" && len(s.Fleet.Hosts(fleet.Asker{Within: reach.Tenants(d.Tenant)}, fleet.HostQuery{Kind: fleet.Scanning, Text: d.Scanner, Exact: true, Tenant: d.Tenant})) == 0 {
		return ScanTask{}, invalid("scanner: the tenant %s has no scanner %q", d.Tenant, clip(d.Scanner, 64))
	}
	s.changing.Lock()
	defer s.changing.Unlock()
	t := &ScanTask{ID: id, CreatedAt: now, CreatedBy: actor}
	s.mu.Lock()
	n := len(s.tasks)
	if id != "" {
		had := s.tasks[id]
		if had == nil || !r.CoversWhole(had.Tenant) {
			s.mu.Unlock()
			return ScanTask{}, ErrNotFound
		}
		*t = *had
	}
	secrets := s.secrets[id]
	s.mu.Unlock()
	if id != "" && t.Tenant != d.Tenant {
		return ScanTask{}, invalid("tenant: a task stays its tenant's")
	}
	if id == "" {
		if n >= maxTasks {
			return ScanTask{}, fmt.Errorf("%w: there are %d tasks, the most there may be", ErrConflict, n)
		}
		t.ID = roster.NewID(now)
	}
	kept := []wire.Credential{}
	for i := range d.Credentials {
		c := &d.Credentials[i]
		w := wire.Credential{Kind: c.Kind, Name: c.Name, User: c.User, Secret: c.Secret, Key: c.Key, Host: c.Host, Port: c.Port}
		if at := slices.IndexFunc(secrets, func(o wire.Credential) bool { return o.Name == c.Name }); w.Secret == "" && w.Key == "" && at >= 0 {
			// A secret stays where it was meant for: not with another account or host.
			if o := secrets[at]; o.Kind == w.Kind && o.User == w.User && o.Host == w.Host {
				w.Secret, w.Key = o.Secret, o.Key
			}
		}
		if w.Secret == "" && w.Key == "" && w.Kind != wire.CredentialRedis {
			return ScanTask{}, invalid("credentials[%d]: %q has neither secret nor key; where kind, user or host change it is given anew", i, c.Name)
		}
		kept = append(kept, w)
		c.Secret, c.Key, c.Held = "", "", false
	}
	t.ScanTaskDraft, t.UpdatedAt, t.UpdatedBy, t.Fault = d, now, actor, ""
	if err := s.seal(ctx, t.ID, kept); err != nil {
		return ScanTask{}, err
	}
	if err := s.putTask(ctx, t); err != nil {
		return ScanTask{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.shown(t), nil
}

// seal keeps the credentials of a task.
func (s *Service) seal(ctx context.Context, id string, list []wire.Credential) error {
	var v any
	if len(list) > 0 {
		v = list
	}
	if err := s.Secrets.Set(ctx, id, v); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.secrets[id] = list
	return nil
}

// DeleteTask deletes a task; its runs stay. One that runs is refused.
func (s *Service) DeleteTask(ctx context.Context, r reach.Reach, id string) error {
	s.changing.Lock()
	defer s.changing.Unlock()
	s.mu.Lock()
	t := s.tasks[id]
	running := false
	for _, x := range s.active {
		running = running || x.Task == id
	}
	s.mu.Unlock()
	if t == nil || !r.CoversWhole(t.Tenant) {
		return ErrNotFound
	}
	if running {
		return fmt.Errorf("%w: it runs: cancel the run first", ErrConflict)
	}
	if err := s.Database.Change(ctx, func(ctx context.Context, tx bun.Tx) error {
		_, err := tx.NewDelete().Model((*taskRow)(nil)).Where("id = ?", id).Exec(ctx)
		return err
	}); err != nil {
		return fmt.Errorf("scan: delete a task: %w", err)
	}
	if err := s.seal(ctx, id, nil); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.tasks, id)
	delete(s.secrets, id)
	return nil
}
