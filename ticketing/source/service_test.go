package source

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"icewatch/detections"
	"icewatch/rules"
	"icewatch/soc/reach"
	"icewatch/soc/seal"
	"icewatch/soc/state"
	"icewatch/soc/veil"
)

// desk is ticketing as the room sees it: it keeps what it is told, as the real
// one does, by key and once by id.
type desk struct {
	mu    sync.Mutex
	seen  map[string]bool
	open  map[string]detections.Occurrence
	count map[string]int
	ends  []string
	fails error
}

func (d *desk) Ingest(_ context.Context, occs []detections.Occurrence) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.fails != nil {
		return d.fails
	}
	for _, o := range occs {
		if !d.seen[o.ID] {
			d.seen[o.ID], d.open[o.Tenant+"/"+o.Key] = true, o
			d.count[o.Tenant+"/"+o.Key]++
		}
	}
	return nil
}

func (d *desk) Recover(_ context.Context, tenant, key string, why detections.Text) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.fails != nil {
		return d.fails
	}
	if _, there := d.open[tenant+"/"+key]; there {
		delete(d.open, tenant+"/"+key)
		d.ends = append(d.ends, key+": "+why.EN)
	}
	return nil
}

func (d *desk) firing() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Sorted(maps.Keys(d.open))
}

func (d *desk) fail(err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.fails = err
}

// room is a service on a database of its own, whose clock the test turns.
type room struct {
	*Service
	t    *testing.T
	desk *desk
	dir  string
	mu   sync.Mutex
	time time.Time
	deps Deps
	dict Dictionary
}

func newRoom(t *testing.T) *room {
	t.Helper()
	r := &room{t: t, desk: &desk{seen: map[string]bool{}, open: map[string]detections.Occurrence{}, count: map[string]int{}}, dir: t.TempDir(), time: noon}
	var d net.Dialer
	r.deps = Deps{Templates: rules.AlertSources, Dir: "alertsources", Tickets: r.desk, Box: seal.Ephemeral(Sealed()...), Log: slog.New(slog.DiscardHandler), Dial: d.DialContext, Client: http.DefaultClient,
		Place: func(w Where, fields map[string]string) string {
			if w.Host == "web-1" && (w.Tenant == "" || w.Tenant == "a") {
				fields["icewatch.ci.id"] = "ci-web-1"
				return "a"
			}
			if w.Tenant == "" {
				return "unassigned"
			}
			return w.Tenant
		},
		Tenant: func(slug string) bool { return slug == "a" || slug == "b" },
		Reach:  func(tenant string) (reach.Reach, error) { return reach.Tenants(tenant), nil },
		CheckFilter: func(f string) error {
			if strings.Contains(f, "|") {
				return errors.New("no pipes")
			}
			return nil
		},
		Dictionary: func() Dictionary { return r.dict },
		MailDomain: "soc.example",
		Clock:      r.now}
	r.reopen()
	return r
}

func (r *room) now() time.Time {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.time
}

func (r *room) turn(d time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.time = r.time.Add(d)
}

// reopen is a start after a stop without a word.
func (r *room) reopen() {
	r.t.Helper()
	db, err := state.Open(r.t.Context(), filepath.Join(r.dir, "state.db"))
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { _ = db.Close() })
	if r.Service, err = Open(r.t.Context(), db, r.deps); err != nil {
		r.t.Fatal(err)
	}
}

var boss = Asker{Name: "boss", Within: reach.All()}

func (r *room) make(c Content) (View, string) {
	r.t.Helper()
	c.Enabled = true
	v, token, err := r.Create(r.t.Context(), boss, c, nil)
	if err != nil {
		r.t.Fatal(err)
	}
	return v, token
}

func (r *room) take(id, body string) Receipt {
	r.t.Helper()
	out, err := r.Take(r.t.Context(), id, Message{Body: []byte(body)})
	if err != nil {
		r.t.Fatal(err)
	}
	r.tell(r.t.Context())
	return out
}

func generic(name, tenant string) Content {
	return Content{Name: name, Kind: KindWebhook, Tenant: tenant, Template: "generic-json"}
}

// TestLife follows one alert from its first message to its second firing.
func TestLife(t *testing.T) {
	r := newRoom(t)
	v, _ := r.make(generic("ups", "a"))
	key := "a/source/" + v.ID + "/7"
	r.take(v.ID, `{"id":7,"name":"battery","host":"web-1","level":"warning"}`)
	if got := r.desk.firing(); !slices.Equal(got, []string{key}) {
		t.Fatalf("%q fire", got)
	}
	o := r.desk.open[key]
	if o.Rule.Level != detections.Medium || o.Fields["host.name"] != "web-1" || o.Fields["icewatch.ci.id"] != "ci-web-1" || o.Fields["event.provider"] != "ups" || o.Rule.Title.ZH == "" || o.Rule.Title.EN == "" {
		t.Errorf("%+v", o)
	}
	r.turn(time.Minute)
	r.take(v.ID, `{"id":7,"name":"battery","host":"web-1","level":"warning"}`)
	if n := r.desk.count[key]; n != 1 {
		t.Errorf("the same once more counts %d", n)
	}
	r.turn(time.Minute)
	r.take(v.ID, `{"id":7,"name":"battery","host":"web-1","level":"critical"}`)
	if o := r.desk.open[key]; o.Rule.Level != detections.Critical || r.desk.count[key] != 2 {
		t.Errorf("it got worse: %+v", o)
	}
	r.turn(time.Minute)
	r.take(v.ID, `{"id":7,"name":"battery","status":"ok"}`)
	if got := r.desk.firing(); len(got) != 0 || !strings.HasSuffix(r.desk.ends[0], "Its sender says that it is over") {
		t.Fatalf("%q fire, ends %q", got, r.desk.ends)
	}
	r.take(v.ID, `{"id":8,"name":"nobody knows it","status":"ok"}`)
	r.turn(time.Minute)
	r.take(v.ID, `{"id":7,"name":"battery","host":"web-1"}`)
	if got := r.desk.firing(); !slices.Equal(got, []string{key}) || r.desk.count[key] != 3 {
		t.Errorf("it fires again: %q, %d", got, r.desk.count[key])
	}
	got, err := r.Get(t.Context(), boss, v.ID)
	if h := got.Health; err != nil || h.Messages != 6 || h.Firing != 1 || h.Failed != 0 || h.State != StateOK || h.Every < 40 || h.Every > 60 {
		t.Errorf("%v %+v", err, h)
	}
}

// TestExpiry: an alert of Prometheus is over when it is not sent again.
func TestExpiry(t *testing.T) {
	r := newRoom(t)
	v, _ := r.make(Content{Name: "prom", Kind: KindAlertmanager, Tenant: "b"})
	body := `[{"labels":{"alertname":"x","instance":"h:1"}}]`
	r.take(v.ID, body)
	r.turn(4 * time.Minute)
	r.take(v.ID, body)
	r.turn(4 * time.Minute)
	r.tell(t.Context())
	if len(r.desk.firing()) != 1 {
		t.Fatal("it does not fire any more")
	}
	r.turn(2 * time.Minute)
	r.tell(t.Context())
	if len(r.desk.firing()) != 0 || !strings.HasSuffix(r.desk.ends[0], "does not send it any more") {
		t.Errorf("%q fire, ends %q", r.desk.firing(), r.desk.ends)
	}
}

// TestNothingIsLost: what was acknowledged is told although ticketing failed and
// the suite was stopped without a word.
func TestNothingIsLost(t *testing.T) {
	r := newRoom(t)
	v, _ := r.make(generic("ups", "a"))
	r.desk.fail(errors.New("away"))
	r.take(v.ID, `[{"id":1,"name":"a"},{"id":2,"name":"b"}]`)
	r.take(v.ID, `[{"id":2,"name":"b","status":"ok"}]`)
	r.reopen()
	r.desk.fail(nil)
	r.tell(t.Context())
	if got := r.desk.firing(); !slices.Equal(got, []string{"a/source/" + v.ID + "/1"}) || len(r.desk.ends) != 1 {
		t.Errorf("%q fire, ends %q", got, r.desk.ends)
	}
}

// TestDeadLetters: what cannot be mapped waits with its reason, once however
// often it comes, is replayed when the mapping is right, and undoes nothing.
func TestDeadLetters(t *testing.T) {
	r := newRoom(t)
	ctx := t.Context()
	v, _ := r.make(generic("odd", "a"))
	odd := `[{"id":1,"label":"fan","sev":9},{"id":2,"name":"known"}]`
	out := r.take(v.ID, odd)
	if out.Alerts != 1 || out.Failed != 1 || !strings.Contains(out.Reasons[0], "alert 1: it has neither a name nor a title") {
		t.Fatalf("%+v", out)
	}
	r.take(v.ID, odd)
	r.take(v.ID, `{broken`)
	r.turn(time.Minute)
	r.take(v.ID, `{"id":2,"name":"known","status":"ok"}`)
	list, total, _, err := r.Messages(ctx, boss, v.ID, StateFailed, "", 10, false)
	if err != nil || total != 2 || list[1].Times != 2 || list[1].Alerts != 1 || !strings.Contains(list[0].Reasons[0], "no JSON") {
		t.Fatalf("%v %d %+v", err, total, list)
	}
	if done, err := r.Replay(ctx, boss, v.ID, Choice{}); err != nil || done.Failed != 2 || done.Done != 0 {
		t.Fatalf("%v %+v", err, done)
	}
	c := v.Content
	c.Mapping.Fields = map[string]string{"name": ".name // .label"}
	if _, _, err := r.Update(ctx, boss, v.ID, v.Revision, c, nil); err != nil {
		t.Fatal(err)
	}
	done, err := r.Replay(ctx, boss, v.ID, Choice{IDs: []int64{list[1].ID}})
	if err != nil || done.Done != 1 || done.Alerts != 2 {
		t.Fatalf("%v %+v", err, done)
	}
	r.tell(ctx)
	if got := r.desk.firing(); !slices.Equal(got, []string{"a/source/" + v.ID + "/1"}) {
		t.Errorf("%q fire: the end of 2 came after the letter", got)
	}
	if done, err := r.Discard(ctx, boss, v.ID, Choice{}); err != nil || done.Done != 1 {
		t.Errorf("%v %+v", err, done)
	}
	got, err := r.Get(ctx, boss, v.ID)
	if err != nil || got.Health.DeadLetters != 0 || got.Health.Error != "" || got.Health.State != StateOK {
		t.Errorf("%v %+v", err, got.Health)
	}
}

// TestBounds: messages that are kept are few, dead letters more, and what gives
// way is counted.
func TestBounds(t *testing.T) {
	r := newRoom(t)
	v, _ := r.make(generic("chatty", "a"))
	messages := make([]Message, 0, keptDead+50)
	for i := range keptDead + 50 {
		messages = append(messages, Message{Body: fmt.Appendf(nil, "{bad %d", i)})
	}
	for i := range keptMapped + 50 {
		messages = append(messages, Message{Body: fmt.Appendf(nil, `{"id":%d,"name":"x"}`, i)})
	}
	if _, err := r.Take(t.Context(), v.ID, messages...); err != nil {
		t.Fatal(err)
	}
	if err := r.tidy(t.Context()); err != nil {
		t.Fatal(err)
	}
	for state, want := range map[string]int{StateFailed: keptDead, StateMapped: keptMapped} {
		list, total, next, err := r.Messages(t.Context(), boss, v.ID, state, "", 10, false)
		if err != nil || total != want || len(list) != 10 || next == "" {
			t.Errorf("%s: %v %d, %d, %q", state, err, total, len(list), next)
		}
		if state == StateFailed && !strings.HasSuffix(list[0].Body, fmt.Sprint(keptDead+49)) {
			t.Errorf("the newest is %q", list[0].Body)
		}
	}
	got, err := r.Get(t.Context(), boss, v.ID)
	if err != nil || got.Health.Dropped != 50 {
		t.Errorf("%v %+v", err, got.Health)
	}
}

// TestReach: a source is for those who reach all of its tenant.
func TestReach(t *testing.T) {
	r := newRoom(t)
	ctx := t.Context()
	a, _ := r.make(generic("of a", "a"))
	all, _ := r.make(generic("of all", ""))
	compile := &reach.Compiler{}
	compile.SetDirectory(reach.NewDirectory([]reach.Tenant{{Slug: "a"}}, nil))
	part, err := compile.Reach([]string{"a"}, `label contains "x"`)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		within reach.Reach
		sees   []string
	}{
		"everything": {reach.All(), []string{"of a", "of all"}},
		"the tenant": {reach.Tenants("a"), []string{"of a"}},
		"another":    {reach.Tenants("b"), nil},
		"a part":     {part, nil},
	} {
		asker := Asker{Name: name, Within: c.within}
		list, err := r.List(ctx, asker, Query{})
		var names []string
		for _, v := range list {
			names = append(names, v.Name)
		}
		if err != nil || !slices.Equal(names, c.sees) {
			t.Errorf("%s sees %q, %v", name, names, err)
		}
		if slices.Contains(c.sees, "of a") {
			masks, err := veil.New([]veil.Rule{{Fields: []string{"user.name"}, Method: veil.Full}}, []byte("secret"))
			if err != nil {
				t.Fatal(err)
			}
			if _, _, _, err := r.Messages(ctx, Asker{Name: name, Within: c.within.WithVeil(masks)}, a.ID, "", "", 10, true); !errors.Is(err, ErrInvalid) {
				t.Errorf("%s, masked: messages as they came: %v", name, err)
			}
			continue
		}
		for what, err := range map[string]error{
			"get":      second(r.Get(ctx, asker, a.ID)),
			"update":   third(r.Update(ctx, asker, a.ID, 1, a.Content, nil)),
			"delete":   second(r.Delete(ctx, asker, a.ID)),
			"renew":    third(r.Renew(ctx, asker, a.ID)),
			"replay":   second(r.Replay(ctx, asker, a.ID, Choice{})),
			"discard":  second(r.Discard(ctx, asker, a.ID, Choice{})),
			"messages": fourth(r.Messages(ctx, asker, a.ID, "", "", 10, false)),
			"preview":  second(r.Preview(ctx, asker, a.ID, a.Content, "")),
			"all":      second(r.Get(ctx, asker, all.ID)),
		} {
			if !errors.Is(err, ErrNotFound) {
				t.Errorf("%s: %s: %v", name, what, err)
			}
		}
		if _, _, err := r.Create(ctx, asker, generic("mine", "a"), nil); !errors.Is(err, ErrInvalid) {
			t.Errorf("%s makes a source of a: %v", name, err)
		}
		if _, _, err := r.Create(ctx, asker, generic("mine", ""), nil); !errors.Is(err, ErrInvalid) {
			t.Errorf("%s makes a source of all: %v", name, err)
		}
	}
}

func second[A any](_ A, err error) error                 { return err }
func third[A, B any](_ A, _ B, err error) error          { return err }
func fourth[A, B, C any](_ A, _ B, _ C, err error) error { return err }

// TestTokens: a source is known by its token, or by its id with the token beside
// it, and by neither once it is renewed or gone. Disabled it takes nothing.
func TestTokens(t *testing.T) {
	r := newRoom(t)
	ctx := t.Context()
	v, token := r.make(generic("x", "a"))
	known := func(want bool, key, credential string) {
		t.Helper()
		if id, ok := r.Known(key, credential); ok != want || ok && id != v.ID {
			t.Errorf("known(%q, %q): %v", key, credential, ok)
		}
	}
	known(true, token, "")
	known(true, v.ID, token)
	known(false, v.ID, "")
	known(false, v.ID, "wrong")
	known(false, digest(token), "")
	_, fresh, err := r.Renew(ctx, boss, v.ID)
	if err != nil {
		t.Fatal(err)
	}
	known(false, token, "")
	known(true, fresh, "")
	if _, err := r.Enable(ctx, boss, v.ID, false); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Take(ctx, v.ID, Message{}); !errors.Is(err, ErrDisabled) {
		t.Error(err)
	}
	if _, err := r.Enable(ctx, boss, v.ID, true); err != nil {
		t.Fatal(err)
	}
	r.take(v.ID, `{"id":1,"name":"a"}`)
	if _, err := r.Delete(ctx, boss, v.ID); err != nil {
		t.Fatal(err)
	}
	r.tell(ctx)
	if len(r.desk.firing()) != 0 {
		t.Error("the alerts of a source that is gone fire on")
	}
	known(false, fresh, "")
	if _, err := r.Restore(ctx, boss, v.ID); err != nil {
		t.Fatal(err)
	}
	known(true, fresh, "")
}

// TestChanges: two people at once, a name twice, a template in use, a field in
// use.
func TestChanges(t *testing.T) {
	r := newRoom(t)
	ctx := t.Context()
	v, _ := r.make(generic("x", "a"))
	if _, _, err := r.Update(ctx, boss, v.ID, v.Revision, v.Content, nil); err != nil {
		t.Fatal(err)
	}
	if _, _, err := r.Update(ctx, boss, v.ID, v.Revision, v.Content, nil); !errors.Is(err, ErrConflict) {
		t.Errorf("an old revision: %v", err)
	}
	if _, _, err := r.Create(ctx, boss, generic("x", "b"), nil); !errors.Is(err, ErrConflict) {
		t.Errorf("a name twice: %v", err)
	}
	text := "id: mine\nversion: 1\nkinds: [webhook]\ntitle: {zh: 自建}\nformat: json\nfields: {name: .n}\n"
	if _, err := r.PutTemplate(ctx, boss, text); err != nil {
		t.Fatal(err)
	}
	c := generic("y", "a")
	c.Template = "mine"
	y, _ := r.make(c)
	if out := r.take(y.ID, `{"n":"a"}`); out.Alerts != 1 {
		t.Errorf("%+v", out)
	}
	if err := r.DeleteTemplate(ctx, boss, "mine"); !errors.Is(err, ErrConflict) {
		t.Errorf("a template in use: %v", err)
	}
	if err := r.DeleteTemplate(ctx, boss, "zabbix"); !errors.Is(err, ErrInvalid) {
		t.Errorf("one of the suite's: %v", err)
	}
	k, err := r.PutTemplate(ctx, boss, strings.Replace(text, ".n}", ".m}", 1))
	if err != nil || k.Version != 2 {
		t.Fatal(err, k.Version)
	}
	if out := r.take(y.ID, `{"m":"a"}`); out.Alerts != 1 {
		t.Errorf("%+v", out)
	}
	if _, versions, err := r.GetTemplate(ctx, "mine"); err != nil || len(versions) != 2 || !strings.Contains(versions[1].YAML, ".n}") {
		t.Errorf("%v %+v", err, versions)
	}
	if _, err := r.PutTemplate(ctx, boss, strings.Replace(text, "webhook", "mail", 1)); !errors.Is(err, ErrInvalid) {
		t.Errorf("a template that its source cannot use: %v", err)
	}
	r.dict = Dictionary{Own: []Field{{Name: "room", Type: TypeText, Title: zhEN("机房", "Room")}}}
	d := generic("z", "a")
	d.Mapping.Fields = map[string]string{"room": ".room"}
	r.make(d)
	if err := r.CheckDictionary(Dictionary{}); err == nil || !strings.Contains(err.Error(), `"z" needs it`) {
		t.Errorf("a field in use: %v", err)
	}
}

// TestPortable: what is exported makes the same sources elsewhere, without the
// secrets.
func TestPortable(t *testing.T) {
	r := newRoom(t)
	ctx := t.Context()
	c := generic("x", "a")
	c.Corrections = []Correction{{Field: "severity", Op: OpMap, Values: map[string]string{"a": "high"}}}
	r.make(c)
	if _, _, err := r.Create(ctx, boss, Content{Name: "k", Kind: KindKafka, Tenant: "b", Template: "generic-json", Enabled: true, Kafka: &KafkaOptions{Brokers: []string{"k:9092"}, Topics: []string{"t"}, Mechanism: "PLAIN", Username: "u"}}, Secrets{Password: "hush"}); err != nil {
		t.Fatal(err)
	}
	out, err := r.Export(ctx, boss)
	if err != nil || strings.Contains(string(out), "hush") {
		t.Fatalf("%v\n%s", err, out)
	}
	o := newRoom(t)
	dry, err := o.Import(ctx, boss, out, true)
	if list, _ := o.List(ctx, boss, Query{}); err != nil || len(list) != 0 || len(dry.Created) != 2 {
		t.Fatal(err, list, dry)
	}
	done, err := o.Import(ctx, boss, out, false)
	if err != nil || len(done.Created) != 2 || len(done.Tokens) != 2 {
		t.Fatal(err, done)
	}
	again, err := o.Export(ctx, boss)
	if want := strings.Replace(string(out), "enabled: true", "enabled: false", 1); err != nil || string(again) != want {
		t.Errorf("%v\n%s\nwant\n%s", err, again, want)
	}
	if done, err := r.Import(ctx, boss, out, false); err != nil || len(done.Updated) != 2 || len(done.Failed) != 0 {
		t.Error(err, done)
	}
	if v, _ := r.List(ctx, boss, Query{Text: "k"}); len(v) != 1 || !v[0].Enabled || !slices.Equal(v[0].SecretsSet, []string{Password}) {
		t.Errorf("the secret is gone: %+v", v)
	}
	if _, err := r.Import(ctx, boss, []byte("version: 1\nsources: [{nam: x}]"), false); !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), "nam not found") {
		t.Error(err)
	}
}

// TestSecretsStay: a password goes to no other brokers than it was given for.
func TestSecretsStay(t *testing.T) {
	r := newRoom(t)
	ctx := t.Context()
	c := Content{Name: "k", Kind: KindKafka, Tenant: "b", Template: "generic-json", Kafka: &KafkaOptions{Brokers: []string{"k:9092"}, Topics: []string{"t"}, Mechanism: "PLAIN", Username: "u", TLS: true}}
	v, _, err := r.Create(ctx, boss, c, Secrets{Password: "hush"})
	if err != nil {
		t.Fatal(err)
	}
	change := func(f func(k *KafkaOptions)) View {
		k := *c.Kafka
		f(&k)
		next := c
		next.Kafka = &k
		_, after, err := r.Update(ctx, boss, v.ID, 0, next, nil)
		if err != nil {
			t.Fatal(err)
		}
		return after
	}
	if got := change(func(k *KafkaOptions) { k.Topics = []string{"u"} }); len(got.SecretsSet) != 1 {
		t.Error("another topic takes the secret away")
	}
	if got := change(func(k *KafkaOptions) { k.TLS = false }); len(got.SecretsSet) != 0 {
		t.Error("the secret would go over the wire in the clear")
	}
}

// TestSilence: a source that is silent beyond its rhythm is an alarm.
func TestSilence(t *testing.T) {
	r := newRoom(t)
	ctx := t.Context()
	v, _ := r.make(generic("beat", "a"))
	state := func() string {
		t.Helper()
		got, err := r.Get(ctx, boss, v.ID)
		if err != nil {
			t.Fatal(err)
		}
		return got.Health.State
	}
	if got := state(); got != StateIdle {
		t.Errorf("at first: %s", got)
	}
	for i := range 12 {
		r.take(v.ID, fmt.Sprintf(`{"id":%d,"name":"x"}`, i))
		r.turn(10 * time.Minute)
	}
	r.turn(80 * time.Minute)
	if got := state(); got != StateOK {
		t.Errorf("within ten gaps: %s", got)
	}
	r.turn(20 * time.Minute)
	list, err := r.alarms(ctx)
	if got := state(); got != StateSilent || err != nil || len(list) != 1 || list[0].Kind != "alert-source-silent" || !strings.Contains(list[0].Detail.EN, "beat is silent") {
		t.Errorf("%s, %v, %+v", got, err, list)
	}
	r.take(v.ID, `{"id":1,"name":"x"}`)
	if list, err := r.alarms(ctx); err != nil || len(list) != 0 {
		t.Errorf("%v %+v", err, list)
	}
	r.take(v.ID, `{`)
	if list, err := r.alarms(ctx); err != nil || len(list) != 1 || list[0].Kind != "alert-source-dead" {
		t.Errorf("%v %+v", err, list)
	}
	var b strings.Builder
	if err := r.WriteMetrics(ctx, &b); err != nil || !strings.Contains(b.String(), `icewatch_alert_source_messages_total{source="beat",kind="webhook"} 14`) || !strings.Contains(b.String(), `unmapped_messages_total{source="beat",kind="webhook"} 1`) {
		t.Errorf("%v %s", err, b.String())
	}
}

// TestPreview shows what a draft would make of a sample, of the last messages,
// and of the template's own.
func TestPreview(t *testing.T) {
	r := newRoom(t)
	ctx := t.Context()
	v, _ := r.make(generic("x", "a"))
	list, err := r.Preview(ctx, boss, "", v.Content, `{"name":"n","host":"web-1"}`)
	if err != nil || len(list) != 1 || len(list[0].Alerts) != 1 || list[0].Placed[0].Fields["icewatch.ci.id"] != "ci-web-1" || list[0].Placed[0].Tenant != "a" {
		t.Fatalf("%v %+v", err, list)
	}
	if list, err = r.Preview(ctx, boss, v.ID, v.Content, ""); err != nil || len(list) != 1 || len(list[0].Alerts) != 1 {
		t.Fatalf("%v %+v", err, list)
	}
	r.take(v.ID, `{"n":1}`)
	r.take(v.ID, `nonsense`)
	if list, err = r.Preview(ctx, boss, v.ID, v.Content, ""); err != nil || len(list) != 2 || list[0].Error == "" || len(list[1].Failed) != 1 {
		t.Errorf("%v %+v", err, list)
	}
	if len(r.desk.firing()) != 0 {
		t.Error("a preview fires")
	}
	c := v.Content
	c.Corrections = []Correction{{Field: "x", Op: OpTrim}}
	if _, err := r.Preview(ctx, boss, v.ID, c, ""); !errors.Is(err, ErrInvalid) {
		t.Error(err)
	}
}
