package inputs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"icewatch/collectors"
	"icewatch/collectors/collecttest"
	"icewatch/collectors/registry"
	"icewatch/soc/intake"
	"icewatch/soc/reach"
	"icewatch/soc/seal"
	"icewatch/soc/state"
)

// pullConfig is that of a kind that reaches out, as collectors/kafka's is: with
// secrets, a nested object and a list of objects.
type pullConfig struct {
	ID       string   `json:"-"`
	Tenant   string   `json:"-"`
	Zone     string   `json:"-"`
	Brokers  []string `json:"brokers" required:"true" minItems:"1" doc:"host:port"`
	Batch    int      `json:"batch" minimum:"1" maximum:"1000" doc:"Records at once"`
	Start    string   `json:"start" enum:"oldest,newest"`
	Password string   `json:"password" secret:"true"`
	SASL     pullSASL `json:"sasl"`
	Users    []pullUser
	People   []pullUser `json:"people"`
}

type pullSASL struct {
	User string `json:"user"`
	Key  string `json:"key" secret:"true" doc:"Of the user"`
}

type pullUser struct {
	Name string `json:"name" required:"true"`
	Pass string `json:"pass" secret:"true"`
}

// puller sends a record each few milliseconds, numbered from its place on.
type puller struct {
	cfg  pullConfig
	deps collectors.Deps
	by   *pulled
	stop chan struct{}
	done chan struct{}
}

// pulled is what the collectors made by a test's factory saw.
type pulled struct {
	mu   sync.Mutex
	made []pullConfig
}

func (p *pulled) configs() []pullConfig {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.made)
}

func (p *pulled) factory() collectors.Factory {
	return collectors.Factory{Type: "kafka",
		DefaultConfig: func() any { return &pullConfig{Batch: 10, Start: "oldest"} },
		New: func(cfg any, deps collectors.Deps) (collectors.Collector, error) {
			c := *cfg.(*pullConfig)
			if slices.Contains(c.Brokers, "bad") {
				return nil, errors.New("kafka: " + c.ID + ": brokers: \"bad\": host:port is right")
			}
			if slices.Contains(c.Brokers, "panic:1") {
				panic("a library's own fault")
			}
			return &puller{cfg: c, deps: deps, by: p, stop: make(chan struct{}), done: make(chan struct{})}, nil
		},
		Try: func(_ context.Context, cfg any, _ collectors.Deps) (collectors.Trial, error) {
			c := cfg.(*pullConfig)
			if c.Password != "right" {
				return collectors.Trial{Steps: []string{"connected"}}, errors.New("signing in: the password is wrong")
			}
			return collectors.Trial{Steps: []string{"connected", "signed in"}, Records: []string{"one", "two"}}, nil
		}}
}

func (p *puller) Start(context.Context) error {
	p.by.mu.Lock()
	p.by.made = append(p.by.made, p.cfg)
	p.by.mu.Unlock()
	go func() {
		defer close(p.done)
		for {
			select {
			case <-p.stop:
				return
			case <-time.After(2 * time.Millisecond):
			}
			ctx := context.Background()
			at, err := p.deps.Places.Place(ctx, "t/0")
			if err != nil {
				return
			}
			n := 0
			_, _ = fmt.Sscan(string(at), &n)
			if p.deps.Sink.Append(ctx, []intake.Record{{Collector: p.cfg.ID, Data: fmt.Appendf(nil, "%s %d", p.cfg.ID, n)}}) == nil {
				_ = p.deps.Places.Save(ctx, "t/0", fmt.Append(nil, n+1))
			}
		}
	}()
	return nil
}

func (p *puller) Stop(context.Context) error {
	close(p.stop)
	<-p.done
	return nil
}

func (p *puller) Health() collectors.Health {
	return collectors.Health{ID: p.cfg.ID, Kind: "kafka", Listen: strings.Join(p.cfg.Brokers, " "), State: collectors.StateOK}
}

// desk is a service on a database of its own.
type desk struct {
	*Service
	t    *testing.T
	path string
	db   *state.DB
	box  *seal.Box
	sink *collecttest.Sink
	pull *pulled
	end  func()
}

func newDesk(t *testing.T) *desk {
	t.Helper()
	d := &desk{t: t, path: filepath.Join(t.TempDir(), "state.db"), box: seal.Ephemeral(Sealed()...), sink: new(collecttest.Sink), pull: new(pulled)}
	d.start()
	t.Cleanup(func() { d.end() })
	return d
}

func (d *desk) start() {
	d.t.Helper()
	var err error
	if d.db, err = state.Open(d.t.Context(), d.path); err != nil {
		d.t.Fatal(err)
	}
	// The test's own stands for the registry's.
	factories := slices.DeleteFunc(registry.Factories(), func(f collectors.Factory) bool { return f.Type == "kafka" })
	factories = append(factories, d.pull.factory())
	d.Service, err = Open(d.t.Context(), d.db, Deps{Factories: factories, Box: d.box,
		Collectors: func(bool) collectors.Deps { return collectors.Deps{Sink: d.sink} },
		Tenant:     func(slug string) bool { return slug == "tax" || slug == "health" }})
	if err != nil {
		d.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); _ = d.Run(ctx) }()
	waitFor(d.t, func() bool {
		d.mu.Lock()
		defer d.mu.Unlock()
		return d.ctx != nil
	})
	d.end = sync.OnceFunc(func() { cancel(); <-done; _ = d.db.Close() })
}

var city = Asker{Name: "root", Within: reach.All()}

func ofTenant(t *testing.T, slug string) Asker {
	t.Helper()
	var c reach.Compiler
	c.SetDirectory(reach.NewDirectory([]reach.Tenant{{Slug: "tax"}, {Slug: "health"}}, nil))
	r, err := c.Reach([]string{slug})
	if err != nil {
		t.Fatal(err)
	}
	return Asker{Name: "clerk", Within: r}
}

func kafka(name, tenant, settings string) Content {
	return Content{Name: name, Kind: "kafka", Tenant: tenant, Enabled: true, Settings: json.RawMessage(settings)}
}

func (d *desk) create(a Asker, c Content) View {
	d.t.Helper()
	v, err := d.Create(d.t.Context(), a, c)
	if err != nil {
		d.t.Fatal(err)
	}
	return v
}

func wants(t *testing.T, err, kind error, words ...string) {
	t.Helper()
	if !errors.Is(err, kind) {
		t.Fatalf("%v, want %v", err, kind)
	}
	for _, w := range words {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("the error %q does not say %q", err, w)
		}
	}
}

func TestFaultsNameTheFieldInWords(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	f := func(settings, field, word string) {
		t.Helper()
		_, err := d.Create(t.Context(), city, kafka("x", "tax", settings))
		var bad *Invalid
		if !errors.As(err, &bad) {
			t.Fatalf("%s: %v", settings, err)
		}
		if bad.Faults[0].Field != field || !strings.Contains(bad.Faults[0].Message, word) {
			t.Errorf("%s: %+v", settings, bad.Faults)
		}
	}
	f(`{}`, "settings.brokers", "missing")
	f(`{"brokers":[]}`, "settings.brokers", "length >= 1")
	f(`{"brokers":["a:1"],"batch":0}`, "settings.batch", ">= 1")
	f(`{"brokers":["a:1"],"batch":"many"}`, "settings.batch", "integer")
	f(`{"brokers":["a:1"],"start":"middle"}`, "settings.start", "oldest, newest")
	f(`{"brokers":["a:1"],"topics":["x"]}`, "settings.topics", "there is no such setting")
	f(`{"brokers":["a:1"],"sasl":{"user":1}}`, "settings.sasl.user", "string")
	f(`{"brokers":["a:1"],"sasl":{"pin":1}}`, "settings.sasl.pin", "no such setting")
	f(`{"brokers":["a:1"],"people":[{}]}`, "settings.people[0].name", "missing")
	f(`{"brokers":["bad"]}`, "settings.brokers", "host:port is right")
	f(`{"brokers":["panic:1"]}`, "settings", "a library's own fault")
	f(`["brokers"]`, "settings", "object")
	f(`{"brokers":["a:1"]} {}`, "settings", "more behind")
	f(`{"Users":[{"Pass":"x"}],"brokers":["a:1"]}`, "settings.Users", "no such setting")

	_, err := d.Create(t.Context(), city, Content{Name: " ", Kind: "pigeon", Tenant: "nobody"})
	wants(t, err, ErrInvalid, "name:", "kind: \"pigeon\"", "tenant: there is no tenant")
}

func TestSecretsAreSealedAndStayWhereTheAddressDoes(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	ctx := t.Context()
	v := d.create(city, kafka("core", "tax", `{"brokers":["a:1"],"password":"hunter2","sasl":{"user":"u","key":"k3y"},"people":[{"name":"ann","pass":"of-ann"},{"name":"bob","pass":"of-bob"}]}`))
	if want := []string{"password", "people[ann].pass", "people[bob].pass", "sasl.key"}; !slices.Equal(v.SecretsSet, want) {
		t.Errorf("secrets %v, want %v", v.SecretsSet, want)
	}
	shown, _ := json.Marshal(v)
	var stored row
	if err := d.db.NewSelect().Model(&stored).Where("id = ?", v.ID).Scan(ctx); err != nil {
		t.Fatal(err)
	}
	for _, s := range []string{"hunter2", "k3y", "of-ann", "of-bob"} {
		if strings.Contains(string(shown)+stored.Settings+stored.Secrets, s) {
			t.Errorf("the secret %s can be read", s)
		}
	}
	out, err := d.Export(ctx, city, true)
	if err != nil || strings.Contains(string(out), "hunter2") || !strings.Contains(string(out), "people[ann].pass") {
		t.Errorf("export: %v\n%s", err, out)
	}

	// What is not given stays, in another order too; null removes.
	c := v.Content
	c.Settings = json.RawMessage(`{"brokers":["a:1"],"batch":7,"password":"","sasl":{"user":"u","key":null},"people":[{"name":"bob"},{"name":"ann","pass":"new"}]}`)
	_, v, err = d.Update(ctx, city, v.ID, v.Revision, c)
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{"password", "people[ann].pass", "people[bob].pass"}; !slices.Equal(v.SecretsSet, want) {
		t.Errorf("secrets %v, want %v", v.SecretsSet, want)
	}
	var last pullConfig
	waitFor(t, func() bool {
		made := d.pull.configs()
		if len(made) > 0 {
			last = made[len(made)-1]
		}
		return last.Batch == 7
	})
	if last.Password != "hunter2" || last.SASL.Key != "" || last.People[0].Pass != "of-bob" || last.People[1].Pass != "new" {
		t.Errorf("it runs with %+v", last)
	}

	// Another address does not get them.
	c.Settings = json.RawMessage(`{"brokers":["evil:1"],"people":[{"name":"bob"}]}`)
	_, _, err = d.Update(ctx, city, v.ID, v.Revision, c)
	wants(t, err, ErrInvalid, "settings.password", "given again")
	_, err = d.Try(ctx, city, v.ID, c)
	wants(t, err, ErrInvalid, "settings.password")
	c.Settings = json.RawMessage(`{"brokers":["evil:1"],"password":"mine"}`)
	if _, v, err = d.Update(ctx, city, v.ID, v.Revision, c); err != nil || !slices.Equal(v.SecretsSet, []string{"password"}) {
		t.Errorf("given again: %v %v", v.SecretsSet, err)
	}

	_, _, err = d.Update(ctx, city, v.ID, v.Revision-1, c)
	wants(t, err, ErrConflict, "changed since it was read")
}

func TestTenantsKeepToThemselves(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	ctx := t.Context()
	tax, health := ofTenant(t, "tax"), ofTenant(t, "health")
	mine := d.create(tax, kafka("tax core", "tax", `{"brokers":["a:1"]}`))
	shared := d.create(city, kafka("of all", "", `{"brokers":["a:1"]}`))
	if list, err := d.List(ctx, health, Query{}); err != nil || len(list) != 0 {
		t.Errorf("health sees %v %v", list, err)
	}
	if list, _ := d.List(ctx, tax, Query{}); len(list) != 1 || list[0].ID != mine.ID {
		t.Errorf("tax sees %v", list)
	}
	if h := d.Health(health.Within); len(h) != 0 {
		t.Errorf("health sees how %v fare", h)
	}
	for name, err := range map[string]error{
		"get":     second(d.Get(ctx, health, mine.ID)),
		"shared":  second(d.Get(ctx, tax, shared.ID)),
		"pause":   second(d.Enable(ctx, health, mine.ID, false)),
		"restart": second(d.Restart(ctx, health, mine.ID)),
		"delete":  second(d.Delete(ctx, health, mine.ID)),
		"restore": second(d.Restore(ctx, health, mine.ID)),
		"try":     second(d.Try(ctx, health, mine.ID, kafka("x", "health", `{"brokers":["a:1"]}`))),
	} {
		if !errors.Is(err, ErrNotFound) {
			t.Errorf("%s: %v", name, err)
		}
	}
	f := func(c Content, words ...string) {
		t.Helper()
		_, err := d.Create(ctx, tax, c)
		wants(t, err, ErrForbidden, words...)
		_, err = d.Try(ctx, tax, "", c)
		wants(t, err, ErrForbidden)
	}
	f(kafka("x", "health", `{"brokers":["a:1"]}`), "health")
	f(kafka("x", "", `{"brokers":["a:1"]}`), "name yours")
	f(Content{Name: "x", Kind: "filetail", Tenant: "tax", Settings: json.RawMessage(`{"paths":["/etc/shadow"]}`)}, "all tenants")
	f(Content{Name: "x", Kind: "syslog_udp", Tenant: "tax", Settings: json.RawMessage(`{"listen":"127.0.0.1:0"}`)}, "all tenants")
	// Nor may he move his own to another, or take over one by its name.
	c := mine.Content
	c.Tenant = "health"
	_, _, err := d.Update(ctx, tax, mine.ID, mine.Revision, c)
	wants(t, err, ErrForbidden)
	r, err := d.Import(ctx, tax, []byte(`{"version":1,"inputs":[{"name":"of all","kind":"kafka","tenant":"tax","settings":{"brokers":["b:1"]}}]}`), false, false)
	if err != nil || r.Failed["of all"] == "" {
		t.Errorf("import: %+v %v", r, err)
	}
	for _, k := range d.Kinds(tax) {
		if k.Way != wayFetch {
			t.Errorf("tax is offered %s", k.Kind)
		}
	}
	if n := len(d.Kinds(city)); n < 6 {
		t.Errorf("the city is offered %d kinds", n)
	}
}

func second[T any](_ T, err error) error { return err }

func waitFor(t *testing.T, f func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !f(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("it did not come about")
		}
	}
}

// TestOneInputIsTouched changes, pauses and deletes one of two inputs while
// both send: the other goes on, and the first from its place.
func TestOneInputIsTouched(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	ctx := t.Context()
	one := d.create(city, kafka("one", "tax", `{"brokers":["a:1"]}`))
	two := d.create(city, kafka("two", "tax", `{"brokers":["a:1"]}`))
	count := func(id string) (n int) {
		for _, r := range d.sink.Records() {
			if r.Collector == id {
				n++
			}
		}
		return n
	}
	waitFor(t, func() bool { return count(one.ID) > 5 && count(two.ID) > 5 })
	run := d.runs[two.ID]
	c := one.Content
	c.Settings = json.RawMessage(`{"brokers":["a:1"],"batch":11}`)
	_, v, err := d.Update(ctx, city, one.ID, one.Revision, c)
	if err != nil {
		t.Fatal(err)
	}
	n := count(one.ID)
	waitFor(t, func() bool { return count(one.ID) > n+5 })
	if v, err = d.Enable(ctx, city, v.ID, false); err != nil || v.Health.State != collectors.StateOff {
		t.Errorf("paused: %+v %v", v.Health, err)
	}
	n = count(one.ID)
	if _, err := d.Restart(ctx, city, v.ID); !errors.Is(err, ErrConflict) {
		t.Errorf("a paused one restarts: %v", err)
	}
	if _, err := d.Enable(ctx, city, v.ID, true); err != nil {
		t.Fatal(err)
	}
	waitFor(t, func() bool { return count(one.ID) > n+5 })
	if _, err := d.Delete(ctx, city, v.ID); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Get(ctx, city, v.ID); !errors.Is(err, ErrNotFound) {
		t.Errorf("it is still there: %v", err)
	}
	n = count(one.ID)
	if v, err = d.Restore(ctx, city, v.ID); err != nil {
		t.Fatal(err)
	}
	waitFor(t, func() bool { return count(one.ID) > n+5 })
	if d.runs[two.ID] != run {
		t.Error("the other was restarted")
	}

	// After a restart of the suite each goes on from its place.
	d.end()
	d.start()
	n = count(one.ID)
	waitFor(t, func() bool { return count(one.ID) > n+5 && count(two.ID) > n+5 })
	d.end()
	seen := map[string]int{}
	for _, r := range d.sink.Records() {
		seen[string(r.Data)]++
	}
	for _, id := range []string{one.ID, two.ID} {
		for i := range count(id) {
			if key := fmt.Sprintf("%s %d", id, i); seen[key] != 1 {
				t.Errorf("%s came %d times", key, seen[key])
			}
		}
	}
}

// TestAnAddressInUseIsTriedAgain has an input wait for its port.
func TestAnAddressInUseIsTriedAgain(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	ctx := t.Context()
	other, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	listen := other.Addr().String()
	c := Content{Name: "printers", Kind: "syslog_tcp", Zone: "dmz", Enabled: true, Settings: json.RawMessage(fmt.Sprintf(`{"listen":%q}`, listen))}
	tried, err := d.Try(ctx, city, "", c)
	if err != nil || tried.OK || !strings.Contains(tried.Error, "cannot be opened") {
		t.Errorf("trial: %+v %v", tried, err)
	}
	v, err := d.Create(ctx, city, c)
	if err != nil {
		t.Fatal(err)
	}
	if v.Health.State != collectors.StateError || !strings.Contains(v.Health.Error, "in use") {
		t.Errorf("health: %+v", v.Health)
	}
	other.Close()
	waitFor(t, func() bool {
		v, err = d.Get(ctx, city, v.ID)
		return err == nil && v.Health.State == collectors.StateOK
	})
	conn, err := net.Dial("tcp", listen)
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(conn, "<13>Nov 26 21:00:00 printer lpd: out of paper\n")
	conn.Close()
	if r := d.sink.Wait(t, 1)[0]; r.Collector != v.ID || r.Zone != "dmz" || !strings.Contains(string(r.Data), "out of paper") {
		t.Errorf("record %+v", r)
	}
	if tried, err = d.Try(ctx, city, v.ID, c); err != nil || !tried.OK || !strings.Contains(strings.Join(tried.Steps, " "), "1 records") {
		t.Errorf("a trial of the running one: %+v %v", tried, err)
	}
	// Deleted, its port is free at once.
	if _, err := d.Delete(ctx, city, v.ID); err != nil {
		t.Fatal(err)
	}
	again, err := net.Listen("tcp", listen)
	if err != nil {
		t.Fatal(err)
	}
	again.Close()
}

func TestTrial(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	c := kafka("", "tax", `{"brokers":["a:1"],"password":"wrong"}`)
	r, err := d.Try(t.Context(), ofTenant(t, "tax"), "", c)
	if err != nil || r.OK || !strings.Contains(r.Error, "password is wrong") || !slices.Contains(r.Steps, "connected") {
		t.Errorf("%+v %v", r, err)
	}
	c.Settings = json.RawMessage(`{"brokers":["a:1"],"password":"right"}`)
	if r, err = d.Try(t.Context(), city, "", c); err != nil || !r.OK || !slices.Equal(r.Records, []string{"one", "two"}) {
		t.Errorf("%+v %v", r, err)
	}
	if list, _ := d.List(t.Context(), city, Query{}); len(list) != 0 {
		t.Errorf("a trial is kept: %v", list)
	}
	// With a kept input, its secret serves.
	c.Name = "kept"
	v := d.create(city, c)
	c.Settings = json.RawMessage(`{"brokers":["a:1"]}`)
	if r, err = d.Try(t.Context(), city, v.ID, c); err != nil || !r.OK {
		t.Errorf("%+v %v", r, err)
	}
}

func TestImport(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	ctx := t.Context()
	d.create(city, kafka("core", "tax", `{"brokers":["a:1"],"password":"p"}`))
	out, err := d.Export(ctx, city, true)
	if err != nil {
		t.Fatal(err)
	}
	if r, err := d.Import(ctx, city, out, true, false); err != nil || !slices.Equal(r.Unchanged, []string{"core"}) {
		t.Errorf("the same again: %+v %v", r, err)
	}
	// Into another suite it comes without its secret, and waits.
	e := newDesk(t)
	if r, err := e.Import(ctx, city, out, true, true); err != nil || !slices.Equal(r.Created, []string{"core"}) {
		t.Errorf("dry: %+v %v", r, err)
	}
	if list, _ := e.List(ctx, city, Query{}); len(list) != 0 {
		t.Errorf("a dry run made %v", list)
	}
	r, err := e.Import(ctx, city, out, true, false)
	if err != nil || r.Waiting["core"] != "password" {
		t.Errorf("%+v %v", r, err)
	}
	list, _ := e.List(ctx, city, Query{})
	if len(list) != 1 || list[0].Enabled {
		t.Errorf("%+v", list)
	}
	with := strings.Replace(string(out), "brokers:", "password: q\n        brokers:", 1)
	if r, err = e.Import(ctx, city, []byte(with), true, false); err != nil || !slices.Equal(r.Updated, []string{"core"}) || len(r.Waiting) != 0 {
		t.Errorf("%+v %v\n%s", r, err, with)
	}
	if list, _ = e.List(ctx, city, Query{}); !list[0].Enabled || !slices.Equal(list[0].SecretsSet, []string{"password"}) {
		t.Errorf("%+v", list)
	}
	f := func(text, want string) {
		t.Helper()
		_, err := e.Import(ctx, city, []byte(text), true, false)
		wants(t, err, ErrInvalid, want)
	}
	f("{", "YAML")
	f("version: 2", "1 is right")
	f("version: 1\ninputs:\n- names: x", "names")
	r, err = e.Import(ctx, city, []byte("version: 1\ninputs:\n- {name: a, kind: kafka, settings: {brokers: []}}\n- {name: b, kind: kafka, settings: {brokers: ['b:1']}}\n- {name: b, kind: kafka}"), true, false)
	if err != nil || len(r.Failed) != 2 || !slices.Equal(r.Created, []string{"b"}) || !strings.Contains(r.Failed["a"], "settings.brokers") {
		t.Errorf("%+v %v", r, err)
	}
}

func TestPlaces(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	ctx := t.Context()
	p, other := d.places("one"), d.places("two")
	if got, err := p.Place(ctx, "k"); got != nil || err != nil {
		t.Errorf("%q %v", got, err)
	}
	for _, v := range []string{"a", "b", ""} {
		if err := p.Save(ctx, "k", []byte(v)); err != nil {
			t.Fatal(err)
		}
		if got, err := p.Place(ctx, "k"); string(got) != v || got == nil || err != nil {
			t.Errorf("%q %v, want %q", got, err, v)
		}
	}
	if got, _ := other.Place(ctx, "k"); got != nil {
		t.Errorf("another input reads %q", got)
	}
	if err := p.Save(ctx, "k", make([]byte, maxPlace+1)); err == nil {
		t.Error("a place without bound is kept")
	}
}

func TestDeletedOnesAreForgottenInTime(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	ctx := t.Context()
	v := d.create(city, kafka("core", "tax", `{"brokers":["a:1"]}`))
	waitFor(t, func() bool { return len(d.sink.Records()) > 3 })
	if _, err := d.Delete(ctx, city, v.ID); err != nil {
		t.Fatal(err)
	}
	d.create(city, kafka("core", "tax", `{"brokers":["a:1"]}`)) // the name is free
	if _, err := d.Restore(ctx, city, v.ID); !errors.Is(err, ErrConflict) {
		t.Errorf("two of one name: %v", err)
	}
	if err := d.purge(ctx); err != nil {
		t.Fatal(err)
	}
	if list, _ := d.List(ctx, city, Query{Deleted: true}); len(list) != 1 {
		t.Fatalf("deleted: %v", list)
	}
	if _, err := d.db.NewUpdate().Model((*row)(nil)).Set("deleted_at = ?", time.Now().Add(-keepDeleted-time.Hour).UnixMilli()).Where("id = ?", v.ID).Exec(ctx); err != nil {
		t.Fatal(err)
	}
	if err := d.purge(ctx); err != nil {
		t.Fatal(err)
	}
	if list, _ := d.List(ctx, city, Query{Deleted: true}); len(list) != 0 {
		t.Errorf("deleted: %v", list)
	}
	if got, err := d.places(v.ID).Place(ctx, "t/0"); got != nil || err != nil {
		t.Errorf("its place is still there: %q %v", got, err)
	}
}

// TestKindsOfTheRegistry holds every listed source against the rules for
// inputs: schemas that stand by themselves, defaults that are valid.
func TestKindsOfTheRegistry(t *testing.T) {
	t.Parallel()
	for _, f := range registry.Factories() {
		k, err := newKind(f)
		if err != nil {
			t.Errorf("%s: %v", f.Type, err)
			continue
		}
		if k == nil {
			t.Logf("%s is for the configuration file alone", f.Type)
			continue
		}
		text, err := json.Marshal(k.schema)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(text), "$ref") {
			t.Errorf("%s: the schema refers elsewhere: %s", f.Type, text)
		}
		defaults, err := json.Marshal(f.DefaultConfig())
		if err != nil {
			t.Fatal(err)
		}
		doc, err := document(defaults)
		if err != nil {
			t.Fatal(err)
		}
		for name, v := range doc {
			if v == nil || v == "" {
				delete(doc, name) // nothing to begin with
			}
		}
		for _, fault := range k.check(doc) {
			if !slices.Contains(k.schema.Required, strings.TrimPrefix(fault.Field, "settings.")) {
				t.Errorf("%s: its own defaults are refused: %+v", f.Type, fault)
			}
		}
		for name, p := range k.schema.Properties {
			if p.Description == "" && p.Type != "object" {
				t.Errorf("%s: the setting %s says nothing of itself (tag doc)", f.Type, name)
			}
		}
	}
}

func FuzzSettings(f *testing.F) {
	for _, s := range []string{`{}`, `{"brokers":["a:1"],"password":"x"}`, `{"people":[{"name":"a","pass":"b"},{"name":"a"},7]}`, `{"sasl":null}`, `{"password":{"a":1}}`, `[`, `{"people":{"0":{}}}`} {
		f.Add(s)
	}
	k, err := newKind(new(pulled).factory())
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, text string) {
		doc, err := document(json.RawMessage(text))
		if err != nil {
			return
		}
		all := takeSecrets(k.schema, doc)
		bare, err := json.Marshal(doc)
		if err != nil {
			t.Fatal(err)
		}
		if again := takeSecrets(k.schema, doc); len(again) > 0 {
			t.Fatalf("secrets stay in %s: %v", bare, again)
		}
		_ = k.check(doc)
		if put := putSecrets(k.schema, doc, all); len(put) != len(all) {
			t.Fatalf("%v went back, %v came out of %s", put, all, text)
		}
		if faults := k.check(doc); len(faults) == 0 {
			if _, err := k.config("id", "t", "z", doc); err != nil {
				t.Fatalf("%s is valid and cannot be read: %v", text, err)
			}
		}
	})
}
