package outbox

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/uptrace/bun"

	"icewatch/soc/reach"
	"icewatch/ticketing/channel"
	"icewatch/ticketing/webhook"
	"icewatch/ticketing/wording"
)

// body is a notification's, as ticketing writes it.
func body(n int) []byte {
	data, _ := json.Marshal(webhook.New("r", "https://soc.example", map[string]string{"incident": "INC-1"}, []webhook.Alert{{Status: webhook.Firing,
		Labels: map[string]string{"alertname": "a"}, Annotations: map[string]string{"summary": fmt.Sprint("alert ", n)}}}, 1))
	return data
}

func (f *fixture) tell(b *Box, m Message, bodies ...[]byte) {
	f.t.Helper()
	err := f.db.RunInTx(f.t.Context(), nil, func(ctx context.Context, tx bun.Tx) error {
		for i, body := range bodies {
			m.Tenant, m.IncidentID, m.Kind, m.Unique = "tax", "INC-1", "opened", fmt.Sprint(m.Unique, i)
			m.Render = func(Addressee) ([]byte, error) { return body, nil }
			if _, err := b.Enqueue(ctx, tx, m); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		f.t.Fatal(err)
	}
	b.Wake()
}

func (f *fixture) deliveries(b *Box) []Delivery {
	f.t.Helper()
	list, _, _, err := b.Deliveries(f.t.Context(), DeliveryQuery{Reach: reach.All(), Limit: 1000})
	if err != nil {
		f.t.Fatal(err)
	}
	return list
}

func (f *fixture) settled(b *Box) bool {
	for _, d := range f.deliveries(b) {
		if d.State == pending {
			return false
		}
	}
	return true
}

func robot(k *sink, name string) Contact {
	settings, _ := json.Marshal(channel.DingTalk{URL: k.URL + "/robot/send?access_token=geheim", Secret: "SEC"})
	return Contact{Name: name, Kind: "dingtalk", Settings: settings, SendResolved: true, Every: true}
}

// TestRateLimit: of sixty notifications at once a robot that takes twenty a
// minute gets twenty messages, none more, that tell of all sixty in order; over
// a restart the count goes on.
func TestRateLimit(t *testing.T) {
	t.Parallel()
	k := newSink(t, nil)
	k.Config.Handler = answering(k, `{"errcode":0,"errmsg":"ok"}`)
	f := newFixture(t)
	b := f.open()
	if _, err := b.AddContact(t.Context(), "wang", robot(k, "ding")); err != nil {
		t.Fatal(err)
	}
	var bodies [][]byte
	for n := range 60 {
		bodies = append(bodies, body(n))
	}
	f.tell(b, Message{}, bodies...)
	stop := f.run(b)
	f.until("all are told of", func() bool { return f.settled(b) })
	got := k.got()
	if len(got) != 20 {
		t.Fatalf("%d messages within the minute, want 20", len(got))
	}
	for n := range 19 {
		if !strings.Contains(got[n], fmt.Sprintf("alert %d（", n)) {
			t.Errorf("message %d: %s", n, got[n])
		}
	}
	if !strings.Contains(got[19], "[合并通知] 41 条") || !strings.Contains(got[19], "alert 19") || !strings.Contains(got[19], "另有 31 条") {
		t.Errorf("the last message: %s", got[19])
	}
	stop()
	b = f.open()
	f.run(b)
	f.tell(b, Message{Unique: "late"}, body(60))
	f.until("it waits for the minute to pass", func() bool {
		d := f.deliveries(b)[0]
		return d.State == pending && d.Attempts == 0 && d.NextAt == f.now().Add(time.Minute).UnixMilli()+1
	})
	if n := len(k.got()); n != 20 {
		t.Fatalf("%d messages within the minute", n)
	}
	f.forward(time.Minute + time.Second)
	b.Wake()
	f.until("it is told of then", func() bool { return f.settled(b) })
	if n := len(k.got()); n != 21 {
		t.Errorf("%d messages, want 21", n)
	}
	for _, d := range f.deliveries(b) {
		if d.State != Delivered || d.Attempts != 1 || d.Channel != "dingtalk" || d.Title == "" {
			t.Errorf("%+v", d)
		}
	}
}

func answering(k *sink, answer string) http.Handler {
	inner := k.Config.Handler
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		inner.ServeHTTP(w, r)
		fmt.Fprint(w, answer)
	})
}

// TestVendorsWait: what a vendor answers in words holds for the queue: 20 a
// minute exceeded is ten minutes of silence, a wrong signature is final.
func TestVendorsWait(t *testing.T) {
	t.Parallel()
	for answer, want := range map[string]string{
		`{"errcode":130101,"errmsg":"send too fast"}`:  Retrying,
		`{"errcode":310000,"errmsg":"sign not match"}`: Failed,
	} {
		k := newSink(t, nil)
		k.Config.Handler = answering(k, answer)
		f := newFixture(t)
		b := f.open()
		if _, err := b.AddContact(t.Context(), "wang", robot(k, "ding")); err != nil {
			t.Fatal(err)
		}
		f.tell(b, Message{}, body(1))
		f.run(b)
		f.until("it was tried", func() bool { return len(f.log(b)) == 1 })
		a := f.log(b)[0]
		if a.Status != want || !strings.Contains(a.Error, "DingTalk answered") || strings.Contains(a.Error, "geheim") {
			t.Errorf("%s: %+v", answer, a)
		}
		if want == Retrying && a.NextAt-a.At < 600_000 {
			t.Errorf("it is tried again after %d ms", a.NextAt-a.At)
		}
	}
}

// TestAgain: a dead letter is sent again under its id, and what was delivered
// can be replayed.
func TestAgain(t *testing.T) {
	t.Parallel()
	k := newSink(t, func(n int, _ http.ResponseWriter) int {
		if n == 1 {
			return http.StatusNotFound
		}
		return http.StatusOK
	})
	settings, _ := json.Marshal(channel.Webhook{URL: k.URL})
	f := newFixture(t)
	b := f.open()
	if _, err := b.AddContact(t.Context(), "wang", Contact{Name: "hook", Kind: "webhook", Settings: settings, Every: true}); err != nil {
		t.Fatal(err)
	}
	f.tell(b, Message{}, body(1))
	f.run(b)
	f.until("it is dead", func() bool { l := f.deliveries(b); return l[0].State == Failed })
	dead := f.deliveries(b)[0]
	if dead.Error != "the receiver answered 404 Not Found" {
		t.Errorf("the reason is %q", dead.Error)
	}
	if _, err := b.Again(t.Context(), "wang", reach.Tenants("e-seal"), dead.Delivery); !errors.Is(err, ErrNoDelivery) {
		t.Errorf("another tenant's: %v", err)
	}
	f.forward(48 * time.Hour) // beyond the age of the first time
	for n := range 2 {
		if _, err := b.Again(t.Context(), "wang", reach.All(), dead.Delivery); err != nil {
			t.Fatal(err)
		}
		f.until("it is delivered", func() bool { return f.settled(b) && len(k.got()) == n+1 })
	}
	if k.ids[0] != dead.Delivery || k.ids[1] != dead.Delivery {
		t.Errorf("ids %q, want %s", k.ids, dead.Delivery)
	}
	d, attempts, err := b.Delivery(t.Context(), reach.All(), dead.Delivery)
	if err != nil || len(attempts) != 3 || d.Attempts != 3 || d.SentAgainBy != "wang" || !strings.Contains(d.Body, "alert 1") {
		t.Errorf("%+v, %d attempts, %v", d, len(attempts), err)
	}
	for _, q := range []DeliveryQuery{{Receiver: "x"}, {Channel: "email"}, {State: Failed}, {Incident: "x"}, {Person: "li"}, {Text: "nothing like it"}, {To: time.Unix(1, 0)}, {Kind: "sla"}} {
		q.Reach, q.Limit = reach.All(), 10
		if _, total, _, err := b.Deliveries(t.Context(), q); err != nil || total != 0 {
			t.Errorf("%+v finds %d, %v", q, total, err)
		}
	}
	for _, q := range []DeliveryQuery{{Receiver: "hook"}, {Channel: "webhook"}, {State: Delivered}, {Incident: "INC-1"}, {Text: "ALERT 1"}, {From: time.Unix(1, 0)}, {Kind: "opened"}} {
		q.Reach, q.Limit = reach.Tenants("tax"), 10
		if _, total, _, err := b.Deliveries(t.Context(), q); err != nil || total != 1 {
			t.Errorf("%+v finds %d, %v", q, total, err)
		}
	}
}

// TestContacts: who is told of what, and which secrets stay.
func TestContacts(t *testing.T) {
	t.Parallel()
	k := newSink(t, nil)
	k.Config.Handler = answering(k, `{"errcode":0}`)
	f := newFixture(t)
	b := f.open()
	c := robot(k, "ding")
	c.Every = false
	made, err := b.AddContact(t.Context(), "wang", c)
	if err != nil {
		t.Fatal(err)
	}
	if s := string(made.Settings); strings.Contains(s, "geheim") || strings.Contains(s, "SEC\"") || !strings.Contains(s, channel.Mask) {
		t.Errorf("shown %s", s)
	}
	f.tell(b, Message{}, body(1))
	f.tell(b, Message{Only: "ding", Unique: "route", Route: "night"}, body(2))
	f.run(b)
	f.until("what a route sends arrives", func() bool { return f.settled(b) && len(k.got()) == 1 })
	if l := f.deliveries(b); len(l) != 1 || l[0].Route != "night" {
		t.Errorf("%+v", l)
	}
	c.Settings, c.Note = made.Settings, "changed"
	if _, err := b.ChangeContact(t.Context(), "li", c); err != nil {
		t.Fatal(err)
	}
	f.tell(b, Message{Only: "ding", Unique: "again"}, body(3))
	f.until("the secrets stayed", func() bool { return f.settled(b) && len(k.got()) == 2 })
	moved := c
	moved.Settings = []byte(strings.Replace(string(made.Settings), k.URL, "http://127.0.0.2:1", 1))
	if _, err := b.ChangeContact(t.Context(), "li", moved); !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), "anew") {
		t.Errorf("a secret went along to another address: %v", err)
	}
	if _, err := b.Try(t.Context(), moved, channel.Notice{}); !errors.Is(err, ErrInvalid) {
		t.Errorf("a secret went along to another address in a trial: %v", err)
	}
	if _, err := b.AddContact(t.Context(), "li", Contact{Name: "new", Kind: "dingtalk", Settings: made.Settings}); !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), "mask") {
		t.Errorf("a mask for a secret: %v", err)
	}
	var notice channel.Notice
	_ = json.Unmarshal(body(9), &notice.Payload)
	notice.Kind = "test"
	if r, err := b.Try(t.Context(), c, notice); err != nil || r.Err != nil {
		t.Errorf("trial: %v, %v", r.Err, err)
	}
	c.Disabled = true
	if _, err := b.ChangeContact(t.Context(), "li", c); err != nil {
		t.Fatal(err)
	}
	f.tell(b, Message{Only: "ding", Unique: "off"}, body(4))
	if n := len(f.deliveries(b)); n != 2 {
		t.Errorf("one that is switched off was told: %d", n)
	}
	var sealed string
	if err := f.db.NewRaw("SELECT settings FROM outbox_settings").Scan(t.Context(), &sealed); err != nil || strings.Contains(sealed, "geheim") {
		t.Errorf("at rest: %s, %v", sealed, err)
	}
	if err := b.RemoveReceiver(t.Context(), "ding"); err != nil {
		t.Fatal(err)
	}
	if n, err := f.db.NewSelect().Model((*settingsRow)(nil)).Count(t.Context()); err != nil || n != 0 {
		t.Errorf("%d settings stay behind, %v", n, err)
	}
}

// TestWordingFails: a wording that fails keeps nothing back.
func TestWordingFails(t *testing.T) {
	t.Parallel()
	k := newSink(t, nil)
	k.Config.Handler = answering(k, `{"errcode":0}`)
	f := newFixture(t)
	b := f.open()
	b.deps.Wording = func(_ context.Context, name, language, kind string) (*wording.Wording, error) {
		return wording.New(language, wording.Text{Title: "{{index .Alerts 9}}"})
	}
	c := robot(k, "ding")
	c.Wording = "mine"
	if _, err := b.AddContact(t.Context(), "wang", c); err != nil {
		t.Fatal(err)
	}
	f.tell(b, Message{}, body(1))
	f.run(b)
	f.until("it is delivered", func() bool { return f.deliveries(b)[0].State == Delivered })
	if d := f.deliveries(b)[0]; len(k.got()) != 1 || !strings.Contains(d.Error, "the wording mine failed (title: line 1") {
		t.Errorf("%+v", d)
	}
}
