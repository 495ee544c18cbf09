package workorder

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/uptrace/bun"

	"icewatch/detections"
	"icewatch/soc/egress"
	"icewatch/soc/reach"
	"icewatch/soc/seal"
	"icewatch/soc/state"
	"icewatch/ticketing/webhook"
)

// tickets are alerts and incidents in memory, with one timeline.
type tickets struct {
	mu       sync.Mutex
	subjects map[string]Subject
	line     []Change
}

func (k *tickets) Subject(_ context.Context, id string) (Subject, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	s, ok := k.subjects[id]
	if !ok {
		return s, fmt.Errorf("%w: %s", ErrNotFound, id)
	}
	return s, nil
}

func (k *tickets) Happened(_ context.Context, after int64, limit int) ([]Change, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return slices.Clone(k.line[after:min(len(k.line), int(after)+limit)]), nil
}

func (k *tickets) LastHappened(context.Context) (int64, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return int64(len(k.line)), nil
}

func (k *tickets) Note(_ context.Context, _ bun.IDB, object, kind, actor string, text detections.Text, _ map[string]any) error {
	k.happen(object, kind, actor, text.EN, "")
	return nil
}

func (k *tickets) happen(object, kind, actor, text, status string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.line = append(k.line, Change{Seq: int64(len(k.line)) + 1, Object: object, Kind: kind, Actor: actor, Text: text})
	if s := k.subjects[object]; status != "" {
		s.Status = status
		k.subjects[object] = s
	}
}

func (k *tickets) Close(_ context.Context, id, actor, resolution, comment string) error {
	if s, _ := k.Subject(context.Background(), id); s.Status != "closed" {
		k.happen(id, "closed", actor, resolution+": "+comment, "closed")
	}
	return nil
}

func (k *tickets) status(id string) string {
	s, _ := k.Subject(context.Background(), id)
	return s.Status
}

// desk is another system's work orders, over HTTP.
type desk struct {
	*httptest.Server
	mu     sync.Mutex
	down   int               // status that it answers instead; 0 while it works
	got    []string          // method, path and kind of change of each request it took
	seen   map[string]bool   // deliveries
	orders map[string]string // states by id
	wrong  []string
}

func newDesk(t *testing.T, token, key string) *desk {
	d := &desk{seen: map[string]bool{}, orders: map[string]string{}}
	d.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		d.mu.Lock()
		defer d.mu.Unlock()
		if d.down != 0 {
			w.WriteHeader(d.down)
			return
		}
		body, _ := io.ReadAll(r.Body)
		if r.Header.Get("Authorization") != "Bearer "+token {
			d.wrong = append(d.wrong, "token: "+r.Header.Get("Authorization"))
		}
		if r.Header.Get(webhook.SignatureHeader) != webhook.Sign(key, body) {
			d.wrong = append(d.wrong, "signature of "+r.Method)
		}
		var in Data
		_ = json.Unmarshal(body, &in)
		id := strings.TrimPrefix(r.URL.Path, "/orders/")
		switch {
		case r.Method == http.MethodPost:
			id = "T-" + fmt.Sprint(len(d.orders)+1)
			d.orders[id] = "new"
		case d.orders[id] == "":
			w.WriteHeader(http.StatusNotFound)
			return
		}
		if r.Method != http.MethodGet {
			if delivery := r.Header.Get(webhook.DeliveryHeader); d.seen[delivery] {
				d.wrong = append(d.wrong, "twice: "+delivery)
			} else {
				d.seen[delivery] = true
			}
			d.got = append(d.got, r.Method+" "+in.Subject.ID+" "+in.Change.Kind)
		}
		_ = json.NewEncoder(w).Encode(map[string]any{"id": id, "state": d.orders[id], "link": "https://desk.example/" + id})
	}))
	t.Cleanup(d.Close)
	return d
}

func (d *desk) set(f func(d *desk)) {
	d.mu.Lock()
	defer d.mu.Unlock()
	f(d)
}

func (d *desk) took() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.got)
}

type fixture struct {
	*testing.T
	*Service
	tickets *tickets
	now     time.Time
}

func open(t *testing.T) *fixture {
	t.Helper()
	db, err := state.Open(t.Context(), filepath.Join(t.TempDir(), "state.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	guard, err := egress.New(egress.Options{Allow: []string{"127.0.0.1/32"}})
	if err != nil {
		t.Fatal(err)
	}
	f := &fixture{T: t, now: time.Date(2026, 11, 26, 8, 0, 0, 0, time.UTC), tickets: &tickets{subjects: map[string]Subject{
		"INC-1": {ID: "INC-1", Kind: "incident", Tenant: "tax", Title: "入侵", Status: "open"}, "INC-2": {ID: "INC-2", Kind: "incident", Tenant: "seal", Title: "故障", Status: "open"}}}}
	f.Service, err = Open(t.Context(), db, Deps{Tickets: f.tickets, Seal: seal.Ephemeral(Sealed()...), Egress: guard, Log: slog.New(slog.DiscardHandler), Clock: func() time.Time { return f.now }})
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func (f *fixture) step() {
	f.Helper()
	if err := f.Step(f.Context()); err != nil {
		f.Fatal(err)
	}
}

func (f *fixture) connect(c Content, token, key string) (Connection, string) {
	f.Helper()
	made, hook, err := f.Add(f.Context(), "li", c, Secrets{Token: &token, Key: &key})
	if err != nil {
		f.Fatal(err)
	}
	return made, hook
}

func (f *fixture) order(id string) (Order, []Message) {
	f.Helper()
	o, list, err := f.Order(f.Context(), reach.All(), id)
	if err != nil {
		f.Fatal(err)
	}
	return o, list
}

func (f *fixture) expect(d *desk, want ...string) {
	f.Helper()
	if got := d.took(); !slices.Equal(got, want) {
		f.Errorf("the desk took\n%s, want\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// An order is made, told of changes in their order across an outage, and its
// result comes back by asking and by webhook.
func TestOrder(t *testing.T) {
	f, d := open(t), newDesk(t, "sesame", "key")
	ctx := t.Context()
	c, hook := f.connect(Content{Name: "desk", Enabled: true, URL: d.URL + "/orders", Poll: 60, Close: true}, "sesame", "key")
	if !slices.Equal(c.SecretsSet, []string{"token", "key"}) {
		t.Errorf("secrets: %v", c.SecretsSet)
	}
	f.tickets.happen("INC-1", "opened", "system", "before the order", "")
	o, err := f.Make(ctx, "li", c.ID, "INC-1", "")
	if err != nil {
		t.Fatal(err)
	}
	f.step()
	if o, _ := f.order(o.ID); o.External != "T-1" || o.State != StateOpen || o.Link != "https://desk.example/T-1" {
		t.Errorf("after creation: %+v", o)
	}

	// The desk is down for an hour: nothing is lost, nothing doubled, and the order stays.
	d.set(func(d *desk) { d.down = http.StatusServiceUnavailable })
	f.tickets.happen("INC-1", "acknowledged", "li", "", "acknowledged")
	f.tickets.happen("INC-1", "comment", "li", "looked at it", "")
	f.tickets.happen("INC-2", "comment", "li", "of another one", "")
	for range 12 {
		f.step()
		f.now = f.now.Add(5 * time.Minute)
	}
	f.tickets.happen("INC-1", "assigned", "li", "", "")
	if _, list := f.order(o.ID); len(list) != 3 || list[1].State != pending || list[1].HTTPStatus != 503 || list[1].Error == "" {
		t.Errorf("while it is down: %+v", list)
	}
	d.set(func(d *desk) { d.down = 0 })
	f.now = f.now.Add(10 * time.Minute)
	f.step()
	f.step()
	f.expect(d, "POST INC-1 ", "PUT INC-1 acknowledged", "PUT INC-1 comment", "PUT INC-1 assigned")

	// By asking.
	d.set(func(d *desk) { d.orders["T-1"] = "In Progress" })
	f.now = f.now.Add(2 * time.Minute)
	f.step()
	if o, _ := f.order(o.ID); o.State != StateWorking || o.TheirState != "In Progress" {
		t.Errorf("after asking: %+v", o)
	}
	// By webhook: with its own token only, and closing the incident; that is not told back.
	if _, ok := f.Known(ctx, "wh-other", ""); ok {
		t.Error("a stranger's token is taken")
	}
	id, ok := f.Known(ctx, hook, "")
	if by, again := f.Known(ctx, c.ID, hook); !ok || !again || id != c.ID || by != c.ID {
		t.Errorf("the token is not known: %q %q", id, by)
	}
	for range 2 { // they may say it again
		if _, err := f.Result(ctx, id, []byte(`{"id":"T-1","state":"已办结","handler":"王工","note":"更换硬盘"}`)); err != nil {
			t.Fatal(err)
		}
	}
	f.step()
	if o, _ := f.order(o.ID); o.State != StateDone || o.Handler != "王工" || o.Note != "更换硬盘" {
		t.Errorf("at the end: %+v", o)
	}
	if got := f.tickets.status("INC-1"); got != "closed" {
		t.Errorf("the incident is %s", got)
	}
	closed := 0
	for _, h := range f.tickets.line {
		if h.Kind == "closed" {
			closed++
		}
	}
	if closed != 1 {
		t.Errorf("closed %d times", closed)
	}
	f.expect(d, "POST INC-1 ", "PUT INC-1 acknowledged", "PUT INC-1 comment", "PUT INC-1 assigned")
	if len(d.wrong) > 0 {
		t.Errorf("the desk complains: %v", d.wrong)
	}
	for text, want := range map[string]error{`{"id":"T-9","state":"done"}`: ErrNotFound, `{"state":"done"}`: ErrInvalid, `{"id":"T-1"}`: ErrInvalid, `<xml/>`: ErrInvalid} {
		if _, err := f.Result(ctx, id, []byte(text)); !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", text, err, want)
		}
	}
}

// A system that refuses an order gets it again by hand, and what came after it,
// in its order.
func TestAgain(t *testing.T) {
	f, d := open(t), newDesk(t, "", "")
	ctx := t.Context()
	c, _, err := f.Add(ctx, "li", Content{Name: "desk", Enabled: true, URL: d.URL + "/orders"}, Secrets{})
	if err != nil {
		t.Fatal(err)
	}
	d.set(func(d *desk) { d.down = http.StatusBadRequest })
	o, err := f.Make(ctx, "li", c.ID, "INC-1", "rule-1")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Make(ctx, "system", c.ID, "INC-1", "rule-1"); !errors.Is(err, ErrConflict) {
		t.Errorf("by the same rule again: %v", err)
	}
	f.step()
	f.tickets.happen("INC-1", "comment", "li", "", "")
	f.step()
	if o, list := f.order(o.ID); o.State != StateFailed || list[0].State != failed || list[1].State != pending || list[1].Attempts != 0 {
		t.Errorf("refused: %+v %+v", o, list)
	}
	d.set(func(d *desk) { d.down, d.wrong = 0, nil })
	if err := f.Again(ctx, "li", o.ID); err != nil {
		t.Fatal(err)
	}
	f.step()
	if o, _ := f.order(o.ID); o.State != StateOpen || o.Waiting != 0 {
		t.Errorf("again: %+v", o)
	}
	f.expect(d, "POST INC-1 ", "PUT INC-1 comment")
	if err := f.Again(ctx, "li", o.ID); !errors.Is(err, ErrConflict) {
		t.Errorf("nothing to send: %v", err)
	}
	// Who sees only another tenant does not see it.
	if _, total, _, err := f.Orders(ctx, Query{Reach: reach.Tenants("seal")}); err != nil || total != 0 {
		t.Errorf("of another tenant: %d %v", total, err)
	}
	if list, total, next, err := f.Orders(ctx, Query{Reach: reach.Tenants("tax"), Q: "t-1", States: []string{StateOpen}}); err != nil || total != 1 || next != "" || list[0].ConnectionName != "desk" {
		t.Errorf("found: %+v %d %q %v", list, total, next, err)
	}
	if _, _, err := f.Order(ctx, reach.Tenants("seal"), o.ID); !errors.Is(err, ErrNotFound) {
		t.Errorf("of another tenant: %v", err)
	}
}

// A system of another make, by templates and expressions alone.
func TestTemplates(t *testing.T) {
	f := open(t)
	var got []string
	peer := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		got = append(got, r.Method+" "+r.URL.String()+" "+r.Header.Get("X-Api-Key")+" "+string(body))
		_, _ = io.WriteString(w, `{"code":0,"result":{"number":"CHG 7/1","status":"3"}}`)
	}))
	t.Cleanup(peer.Close)
	content := Content{Name: "itsm", Enabled: true, Tenants: []string{"tax"},
		Create: Request{URL: peer.URL + "/api/task?src={{.Subject.ID | query}}", Headers: map[string]string{"x-api-key": "{{.Vars.key}}", "Authorization": ""},
			Fields: map[string]string{"task.title": "[{{.Subject.Priority}}] {{.Subject.Title}}", "task.level": "{{.Subject.Severity}}", "source": "icewatch"}},
		Update: Request{Method: "PATCH", URL: peer.URL + "/api/task/{{.External | path}}", Body: `{"note":"{{.Change.Text | json}}"}`},
		Answer: Answer{ID: "result.number", State: "result.status", Success: "code == `0`"}, States: []State{{Theirs: "3", Ours: StateWorking}}}
	vars := Secrets{Vars: map[string]string{"key": "k-123456"}}
	// Trying it without sending shows the request, without secrets.
	trial, err := f.Try(t.Context(), "", content, vars, false)
	if err != nil || trial.Sent || trial.Headers["X-Api-Key"] != "***" || !strings.Contains(trial.Body, `"title":"[P2] 样例事件"`) {
		t.Errorf("tried: %+v %v", trial, err)
	}
	c, _, err := f.Add(t.Context(), "li", content, vars)
	if err != nil {
		t.Fatal(err)
	}
	if trial, err = f.Try(t.Context(), c.ID, content, Secrets{}, true); err != nil || trial.ID != "CHG 7/1" || trial.Means != StateWorking || trial.Error != "" {
		t.Errorf("sent: %+v %v", trial, err)
	}
	got = nil
	o, err := f.Make(t.Context(), "li", c.ID, "INC-1", "")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Make(t.Context(), "li", c.ID, "INC-2", ""); !errors.Is(err, ErrConflict) {
		t.Errorf("of a tenant that it may not be told of: %v", err)
	}
	f.step()
	f.tickets.happen("INC-1", "comment", "li", `said "so"`, "")
	f.step()
	if o, _ := f.order(o.ID); o.External != "CHG 7/1" || o.State != StateWorking {
		t.Errorf("%+v", o)
	}
	want := []string{`POST /api/task?src=INC-1 k-123456 {"source":"icewatch","task":{"level":"","title":"[] 入侵"}}`, `PATCH /api/task/CHG%207%2F1  {"note":"said \"so\""}`}
	if !slices.Equal(got, want) {
		t.Errorf("the peer took\n%s, want\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestConnections(t *testing.T) {
	f := open(t)
	ctx := t.Context()
	ok := Content{Name: "desk", Enabled: true, URL: "http://127.0.0.1:1/orders"}
	for want, change := range map[string]func(c *Content){
		"name: 0 characters": func(c *Content) { c.Name = " " },
		"url: it is empty":   func(c *Content) { c.URL = "" },
		"create.url: scheme": func(c *Content) { c.URL = "ftp://desk/" },
		"create.body":        func(c *Content) { c.Create.Body = "{{.Nothing}}" },
		"create.fields.a.b":  func(c *Content) { c.Create.Fields = map[string]string{"a": "1", "a.b": "2"} },
		"update.headers":     func(c *Content) { c.Update.Headers = map[string]string{"a b": "1"} },
		"answer.state":       func(c *Content) { c.Answer.State = "][" },
		"states[0]":          func(c *Content) { c.States = []State{{"3", "paused"}} },
		"poll_seconds: 3":    func(c *Content) { c.Poll = 3 },
		"not allowed":        func(c *Content) { c.URL = "http://169.254.169.254/latest" },
	} {
		c := ok
		change(&c)
		if _, _, err := f.Add(ctx, "li", c, Secrets{}); !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
	token := "secret-token"
	c, hook, err := f.Add(ctx, "li", ok, Secrets{Token: &token})
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := f.Add(ctx, "li", ok, Secrets{}); !errors.Is(err, ErrConflict) {
		t.Errorf("the same name: %v", err)
	}
	ok.Description = "changed"
	if c, err = f.Change(ctx, "wang", c.ID, c.Revision, ok, Secrets{}); err != nil || !slices.Equal(c.SecretsSet, []string{"token"}) {
		t.Errorf("changed: %+v %v", c, err)
	}
	if _, err = f.Change(ctx, "wang", c.ID, c.Revision-1, ok, Secrets{}); !errors.Is(err, ErrConflict) {
		t.Errorf("what was read is old: %v", err)
	}
	if _, err = f.Delete(ctx, "wang", c.ID); err != nil {
		t.Fatal(err)
	}
	if _, known := f.Known(ctx, hook, ""); known {
		t.Error("a deleted connection takes results")
	}
	if _, err := f.Make(ctx, "li", c.ID, "INC-1", ""); !errors.Is(err, ErrConflict) {
		t.Errorf("of a deleted connection: %v", err)
	}
	if _, err = f.Restore(ctx, "wang", c.ID); err != nil {
		t.Fatal(err)
	}
	if _, fresh, err := f.NewToken(ctx, "wang", c.ID); err != nil || fresh == hook {
		t.Errorf("a new token: %v", err)
	}
	if _, known := f.Known(ctx, hook, ""); known {
		t.Error("the old token is still known")
	}
	list, err := f.Connections(ctx, false)
	if err != nil || len(list) != 1 || list[0].Name != "desk" {
		t.Errorf("%+v %v", list, err)
	}
}

// What strangers send is read without harm, whatever it is.
func FuzzRead(f *testing.F) {
	f.Add("id", "state", `{"id":"1","state":"done","link":"javascript:alert(1)"}`)
	f.Add("a.b[0]", "length(@)", `{"a":{"b":[1]}}`)
	f.Fuzz(func(t *testing.T, id, state, body string) {
		a := Answer{ID: id, State: state}
		if a.check() != nil {
			return
		}
		out, err := a.read([]byte(body))
		if err == nil && out.link != "" && !strings.HasPrefix(strings.ToLower(out.link), "http") {
			t.Errorf("link %q", out.link)
		}
	})
}
