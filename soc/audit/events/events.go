// Package events makes the suite a source of its own: what the audit log
// records of sign-ins, refusals and changes goes into the suite's intake as
// ECS events of the tenant city, so that Sigma rules watch the watchers. It is
// a copy for detection: who, what, from where and with what outcome, without
// the values before and after, which only audit administrators read. Reads are
// not copied, so that searching for these events makes no more of them.
package events

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"icewatch/soc/audit"
	"icewatch/soc/intake"
	"icewatch/soc/tenancy"
)

const (
	// Dataset is event.dataset of the events.
	Dataset = "icewatch.audit"

	// maxWaiting bounds the records that wait for the intake one by one. Beyond
	// it those of the same kind are counted together, as syslog daemons do.
	maxWaiting = 4096
	// maxKinds bounds the kinds counted together.
	maxKinds = 1000
	// maxAccounts bounds the accounts whose failures are remembered, and
	// forgetAfter for how long.
	maxAccounts = 10_000
	forgetAfter = 15 * time.Minute
)

// Feed hands records to the intake. Watch never blocks; Run does the work.
type Feed struct {
	host string
	log  *slog.Logger
	wake chan struct{}
	now  func() time.Time
	role atomic.Pointer[func(id string) (zh, en string)]

	mu       sync.Mutex
	waiting  []audit.Record
	together map[kind]*audit.Record
	lost     int

	failures map[string]failures // by account; Run's own
}

// kind is what makes records count together.
type kind struct{ kind, actor, action, result, address string }

// failures of an account since its last success.
type failures struct {
	count int
	last  time.Time
}

// New makes a feed; host names this machine in the events.
func New(host string, log *slog.Logger) *Feed {
	return &Feed{host: host, log: log, wake: make(chan struct{}, 1), now: time.Now, together: map[kind]*audit.Record{}, failures: map[string]failures{}}
}

// NameRoles has events say what the roles are called that they tell of, in both
// languages: what an alert says is for people, who know roles by their names. A
// role without a name, or a scope, is told by its id.
func (f *Feed) NameRoles(name func(id string) (zh, en string)) { f.role.Store(&name) }

// named is what roles are called.
func (f *Feed) named(roles []string) (zh, en string) {
	var inChinese, inEnglish []string
	for _, id := range roles {
		zh, en := "", ""
		if name := f.role.Load(); name != nil {
			zh, en = (*name)(id)
		}
		inChinese = append(inChinese, cmp.Or(zh, en, id))
		inEnglish = append(inEnglish, cmp.Or(en, zh, id))
	}
	return strings.Join(inChinese, "、"), strings.Join(inEnglish, ", ")
}

// Watch takes a record; it is what audit.Options.Watch wants.
func (f *Feed) Watch(rec audit.Record) {
	if rec.Kind == audit.KindRead && rec.Result != audit.Denied {
		return
	}
	if rec.Time.IsZero() {
		rec.Time = f.now()
	}
	f.mu.Lock()
	k := kind{rec.Kind, rec.Actor, rec.Action, rec.Result, rec.Address}
	switch same := f.together[k]; {
	case len(f.waiting) < maxWaiting:
		f.waiting = append(f.waiting, rec)
	case same != nil:
		same.Count++
	case len(f.together) < maxKinds:
		rec.Count = 1
		f.together[k] = &rec
	default:
		f.lost++
	}
	f.mu.Unlock()
	select {
	case f.wake <- struct{}{}:
	default:
	}
}

// take empties what waits.
func (f *Feed) take() []audit.Record {
	f.mu.Lock()
	defer f.mu.Unlock()
	recs := f.waiting
	f.waiting = nil
	for k, rec := range f.together {
		recs = append(recs, *rec)
		delete(f.together, k)
	}
	if f.lost > 0 {
		f.log.Warn("audit events are not in the lake: more kinds at once than are counted", "records", f.lost)
		f.lost = 0
	}
	return recs
}

// Run hands over what was watched, until ctx ends; then it hands over the rest.
func (f *Feed) Run(ctx context.Context, sink intake.Sink) {
	for ctx.Err() == nil {
		select {
		case <-f.wake:
		case <-ctx.Done():
		}
		f.deliver(ctx, sink, f.take())
	}
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	f.deliver(last, sink, f.take())
}

// deliver hands the records over, again and again while the bus is full.
func (f *Feed) deliver(ctx context.Context, sink intake.Sink, recs []audit.Record) {
	if len(recs) == 0 {
		return
	}
	batch := make([]intake.Record, len(recs))
	for i := range recs {
		batch[i] = f.event(&recs[i])
	}
	for wait := 100 * time.Millisecond; ; wait = min(2*wait, 10*time.Second) {
		// What is on its way at the end must not be given up for it.
		err := sink.Append(context.WithoutCancel(ctx), batch)
		if err == nil {
			return
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			f.log.Error("audit events are not in the lake", "records", len(recs), "error", err)
			return
		}
	}
}

// event writes a record as an ECS event.
func (f *Feed) event(rec *audit.Record) intake.Record {
	set := map[string]any{
		"@timestamp": rec.Time.UTC().Format(time.RFC3339Nano), "event.kind": "event", "event.module": "icewatch", "event.dataset": Dataset,
		"event.action": action(rec), "event.category": category(rec), "event.outcome": outcome(rec), "host.name": f.host, "service.name": "icewatch",
		"message":               sentence(rec),
		"icewatch.audit.action": rec.Action, "icewatch.audit.kind": rec.Kind,
	}
	add := func(name, value string) {
		if value != "" {
			set[name] = value
		}
	}
	add("user.name", rec.Actor)
	add("user_agent.original", rec.Client)
	add("icewatch.audit.object", rec.Object)
	add("icewatch.audit.channel", rec.Channel)
	add("icewatch.audit.session", rec.Session)
	add("icewatch.audit.reason", reason(rec))
	add("http.request.id", rec.RequestID)
	if a, err := netip.ParseAddr(rec.Address); err == nil {
		set["source.ip"] = a.Unmap().WithZone("").String()
	} else {
		add("source.address", rec.Address)
	}
	if name, ok := strings.CutPrefix(rec.Object, "user:"); ok {
		add("user.target.name", name)
	}
	if len(rec.Findings) > 0 {
		set["icewatch.audit.findings"] = rec.Findings
	}
	if granted := granted(rec.Changes); len(granted) > 0 {
		set["user.changes.roles"] = granted
		set["icewatch.audit.roles.zh"], set["icewatch.audit.roles.en"] = f.named(granted)
	}
	if rec.Count > 1 {
		set["icewatch.repeat"] = rec.Count
	}
	if rec.Kind == audit.KindSignIn {
		if n := f.before(rec); n > 0 {
			set["icewatch.audit.failures_before"] = n
		}
	}
	data, err := json.Marshal(set)
	if err != nil {
		data = fmt.Appendf(nil, `{"event.dataset":%q,"message":"a record of the audit log cannot be written as an event"}`, Dataset)
	}
	return intake.Record{Tenant: tenancy.City, Collector: intake.Own, Format: intake.JSON, Received: f.now().UnixNano(), Time: rec.Time.UnixNano(), Data: data}
}

// before counts the failures of an account since its last success, and returns
// for a success how many there were.
func (f *Feed) before(rec *audit.Record) int {
	account := strings.ToLower(rec.Actor)
	was := f.failures[account]
	if f.now().Sub(was.last) > forgetAfter {
		was = failures{}
	}
	if rec.Result == audit.OK {
		delete(f.failures, account)
		return was.count
	}
	if len(f.failures) >= maxAccounts {
		for name, x := range f.failures {
			if f.now().Sub(x.last) > forgetAfter || x.count == 1 {
				delete(f.failures, name)
			}
		}
		if len(f.failures) >= maxAccounts {
			return 0
		}
	}
	f.failures[account] = failures{was.count + max(1, int(rec.Count)), f.now()}
	return 0
}

// action is the operation's id, but one word for all ways to sign in.
func action(rec *audit.Record) string {
	if rec.Kind == audit.KindSignIn || rec.Kind == audit.KindSignOut {
		return rec.Kind
	}
	return rec.Action
}

func outcome(rec *audit.Record) string {
	if rec.Result == audit.OK {
		return "success"
	}
	return "failure"
}

// reason tells why something was not done. Of what was done the detail is the
// audit log's alone.
func reason(rec *audit.Record) string {
	if rec.Result == audit.OK || rec.Kind == audit.KindRead {
		return ""
	}
	return rec.Detail
}

// accounts are the nouns of operations on who may do what.
var accounts = []string{"user", "role", "group", "post", "grant", "unit", "token", "session", "factor", "password", "device", "lock", "profile", "me"}

// category is the event's place in ECS.
func category(rec *audit.Record) []string {
	switch rec.Kind {
	case audit.KindSignIn:
		return []string{"authentication"}
	case audit.KindSignOut:
		return []string{"session"}
	case audit.KindAccess:
		return []string{"web"}
	case audit.KindRead:
		return []string{"database"}
	}
	for word := range strings.SplitSeq(rec.Action, "-") {
		if slices.Contains(accounts, strings.TrimSuffix(word, "s")) || slices.Contains(accounts, word) {
			return []string{"iam"}
		}
	}
	return []string{"configuration"}
}

// granted lists the roles and scopes that the changes give.
func granted(changes json.RawMessage) []string {
	if len(changes) == 0 {
		return nil
	}
	var list []audit.Change
	if json.Unmarshal(changes, &list) != nil {
		return nil
	}
	var out []string
	for _, c := range list {
		switch c.Field[strings.LastIndexByte(c.Field, '.')+1:] {
		case "roles", "role", "scopes":
			had := words(c.Before)
			for _, w := range words(c.After) {
				if !slices.Contains(had, w) && !slices.Contains(out, w) {
					out = append(out, w)
				}
			}
		}
	}
	return out
}

// words reads a text or a list of texts.
func words(raw json.RawMessage) []string {
	var list []string
	if json.Unmarshal(raw, &list) == nil {
		return list
	}
	var one string
	if json.Unmarshal(raw, &one) == nil && one != "" {
		return []string{one}
	}
	return nil
}

// sentence is the event's line for people.
func sentence(rec *audit.Record) string {
	who := rec.Actor
	if who == "" {
		who = "somebody unknown"
	}
	text := fmt.Sprintf("icewatch: %s by %s from %s: %s", action(rec), who, rec.Address, rec.Result)
	if rec.Object != "" && rec.Kind != audit.KindSignIn {
		text += " (" + rec.Object + ")"
	}
	if why := reason(rec); why != "" {
		text += ": " + why
	}
	return text
}
