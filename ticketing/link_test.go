package ticketing

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"icewatch/soc/reach"
	"icewatch/ticketing/outbox"
	"icewatch/ticketing/routing"
	"icewatch/ticketing/webhook"
)

// linkOf reads the link of the notification that a contact point got last.
func linkOf(t *testing.T, s *Service, contact string) (token string) {
	t.Helper()
	list, _, _, err := s.Outbox().Deliveries(t.Context(), outbox.DeliveryQuery{Reach: reach.All(), Receiver: contact, Limit: 1})
	if err != nil || len(list) == 0 {
		t.Fatalf("deliveries to %s: %v, %v", contact, list, err)
	}
	whole, _, err := s.Outbox().Delivery(t.Context(), reach.All(), list[0].Delivery)
	if err != nil {
		t.Fatal(err)
	}
	var p webhook.Payload
	if err := json.Unmarshal([]byte(whole.Body), &p); err != nil {
		t.Fatal(err)
	}
	link := p.CommonAnnotations["acknowledge_url"]
	if link == "" {
		return ""
	}
	token, ok := strings.CutPrefix(link, "https://soc.example"+outbox.LinkPath)
	if !ok || len(token) != 64 {
		t.Fatalf("the link is %q", link)
	}
	return token
}

// TestLinks: a link acknowledges once, while the contact point allows it, for a
// day, and only what its notification told of.
func TestLinks(t *testing.T) {
	t.Parallel()
	c := newClock()
	tree := routing.Tree{Root: routing.Route{GroupWait: "0s", GroupInterval: "1s", Receivers: []string{"a", "b", "c"}}}
	s, _, hooks := routedService(t, openDB(t), c, tree, nil)
	box := s.Outbox()
	set := func(name, how string) {
		t.Helper()
		settings, _ := json.Marshal(map[string]string{"url": hooks[name].URL})
		if _, err := box.ChangeContact(t.Context(), "test", outbox.Contact{Name: name, Kind: "webhook", Settings: settings, SendResolved: true, Acknowledge: how}); err != nil {
			t.Fatal(err)
		}
	}
	set("b", outbox.AcknowledgeAnyone)
	set("c", outbox.AcknowledgeNone)
	ingest(t, s, fire(criticalRule("P1"), sealWeb, "203.0.113.7", 0, nil))
	c.step(t, s, time.Second)
	id := allIncidents(t, s)[0].ID
	if token := linkOf(t, s, "c"); token != "" {
		t.Errorf("a contact point that gets no links got %s", token)
	}
	personal, open := linkOf(t, s, "a"), linkOf(t, s, "b")
	read := func(token string, want error) outbox.Link {
		t.Helper()
		l, err := box.Link(t.Context(), token)
		if !errors.Is(err, want) {
			t.Fatalf("link %s: %v, want %v", token, err, want)
		}
		return l
	}
	if l := read(personal, nil); l.Anyone || !slices.Equal(l.Incidents, []string{id}) || l.Receiver != "a" || !l.Expires.Equal(l.Made.Add(24*time.Hour)) {
		t.Errorf("%+v", l)
	}
	l := read(open, nil)
	if !l.Anyone || l.Receiver != "b" {
		t.Errorf("%+v", l)
	}
	for _, bad := range []string{"", "x", open[:63], strings.Repeat("A", 64), swapped(open, 0), swapped(open, 30), swapped(open, 60), personal[:32] + open[32:]} {
		read(bad, outbox.ErrLink)
	}
	// The setting counts as it is when the link is used.
	set("b", outbox.AcknowledgeNone)
	read(open, outbox.ErrLinkOver)
	set("b", outbox.AcknowledgeAnyone)

	by := Actor{Name: "contact-point:b", Reach: reach.All()}
	done, err := s.UseLink(t.Context(), by, l)
	if err != nil || len(done) != 1 || done[0].Status != StatusAcknowledged || done[0].AcknowledgedBy != by.Name {
		t.Fatalf("%+v, %v", done, err)
	}
	if used := read(open, outbox.ErrLinkUsed); used.UsedBy != by.Name {
		t.Errorf("%+v", used)
	}
	var conflict *Conflict
	if _, err := s.UseLink(t.Context(), Actor{Name: "li", Reach: reach.All()}, read(personal, nil)); !errors.As(err, &conflict) {
		t.Errorf("acknowledged twice: %v", err)
	}
	// Beyond reach there is no incident; opened anew the links of before are over.
	other := Actor{Name: "li", Reach: reach.Tenants("tax")}
	if _, err := s.Linked(t.Context(), other.Reach, l); !errors.Is(err, ErrNotFound) {
		t.Errorf("beyond reach: %v", err)
	}
	if _, err := s.CloseIncident(t.Context(), by, id, Close{Resolution: "false_positive", Comment: "none"}); err != nil {
		t.Fatal(err)
	}
	c.step(t, s, time.Minute)
	if token := linkOf(t, s, "a"); token != "" {
		t.Errorf("the end of an incident is told with the link %s", token)
	}
	if _, err := s.ReopenIncident(t.Context(), by, id); err != nil {
		t.Fatal(err)
	}
	for what, err := range map[string]error{
		"shown": func() error { _, err := s.Linked(t.Context(), reach.All(), read(personal, nil)); return err }(),
		"used":  func() error { _, err := s.UseLink(t.Context(), by, read(personal, nil)); return err }(),
	} {
		if !errors.Is(err, outbox.ErrLinkOver) {
			t.Errorf("a link of before the incident was opened anew is %s: %v", what, err)
		}
	}
	c.forward(24 * time.Hour)
	read(personal, outbox.ErrLinkOver)
}

// TestLinkOfSeveral: the link of a group acknowledges all incidents that its
// notification told of, each where whoever uses it may, and holds for the others.
func TestLinkOfSeveral(t *testing.T) {
	t.Parallel()
	c := newClock()
	tree := routing.Tree{Root: routing.Route{GroupWait: "1s", GroupInterval: "1s", GroupBy: []string{"rule_id"}, Receivers: []string{"a"}}}
	s, _, _ := routedService(t, openDB(t), c, tree, nil)
	ingest(t, s, fire(criticalRule("P1"), sealWeb, "203.0.113.7", 0, map[string]string{reach.FieldRegion: "east"}), fire(criticalRule("P1"), sealDB, "203.0.113.8", 0, map[string]string{reach.FieldRegion: "west"}))
	c.step(t, s, time.Second)
	c.step(t, s, time.Second)
	all := allIncidents(t, s)
	if len(all) != 2 {
		t.Fatalf("%d incidents", len(all))
	}
	l, err := s.Outbox().Link(t.Context(), linkOf(t, s, "a"))
	if err != nil || len(l.Incidents) != 2 {
		t.Fatalf("%+v, %v", l, err)
	}
	scope, err := reach.Parse(`region = east`)
	if err != nil {
		t.Fatal(err)
	}
	none := Actor{Name: "zhao", Reach: reach.Tenants("health")}
	east := Actor{Name: "li", Reach: scope.Compile(reach.NewDirectory([]reach.Tenant{{Slug: "e-seal"}}, nil))}
	city := Actor{Name: "wang", Reach: reach.All()}
	if _, err := s.Linked(t.Context(), none.Reach, l); !errors.Is(err, ErrNotFound) {
		t.Errorf("who sees none: %v", err)
	}
	if _, err := s.UseLink(t.Context(), none, l); !errors.Is(err, ErrNotFound) {
		t.Errorf("who sees none: %v", err)
	}
	if seen, err := s.Linked(t.Context(), east.Reach, l); err != nil || len(seen) != 1 || seen[0].CI.ID != sealWeb.id {
		t.Errorf("%+v, %v", seen, err)
	}
	if done, err := s.UseLink(t.Context(), east, l); err != nil || len(done) != 1 || done[0].CI.ID != sealWeb.id || done[0].AcknowledgedBy != "li" {
		t.Fatalf("%+v, %v", done, err)
	}
	var conflict *Conflict
	if _, err := s.UseLink(t.Context(), east, l); !errors.As(err, &conflict) {
		t.Errorf("acknowledged twice: %v", err)
	}
	if done, err := s.UseLink(t.Context(), city, l); err != nil || len(done) != 1 || done[0].CI.ID != sealDB.id || done[0].AcknowledgedBy != "wang" {
		t.Fatalf("%+v, %v", done, err)
	}
	if _, err := s.Outbox().Link(t.Context(), linkOf(t, s, "a")); !errors.Is(err, outbox.ErrLinkUsed) {
		t.Errorf("nothing is left: %v", err)
	}
	for _, i := range allIncidents(t, s) {
		if want := map[string]string{sealWeb.id: "li", sealDB.id: "wang"}[i.CI.ID]; i.AcknowledgedBy != want {
			t.Errorf("%s was acknowledged by %q, want %q", i.ID, i.AcknowledgedBy, want)
		}
	}
}

// swapped is a token with another letter at one place.
func swapped(token string, at int) string {
	b := []byte(token)
	if b[at] == 'A' {
		b[at] = 'B'
	} else {
		b[at] = 'A'
	}
	return string(b)
}
