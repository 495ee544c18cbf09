package acceptance

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"
)

// suppresses: of what the rule raises, what a backup does is suppressed and what
// somebody else does is not, although both are of one group and come in one batch.
// What the preview said of the firings before is what the same firings bring after.
func (s *suite) suppresses(t *testing.T) {
	t.Helper()
	ctx := context.Background()
	const rule = ownID
	type alert struct {
		ID, Tenant, Status, Resolution string
		Count                          int
		IncidentID                     string `json:"incident_id"`
	}
	counts := func(which string) (list []alert, events int) {
		t.Helper()
		var page struct{ Items []alert }
		if err := s.admin.Get(ctx, "/api/v1/alerts", url.Values{"rule": {rule}, "suppressed": {which}}, &page); err != nil {
			t.Fatal(err)
		}
		for _, a := range page.Items {
			events += a.Count
		}
		return page.Items, events
	}
	_, all := counts("")
	// send sends lines and waits until they are counted, so that those sent one by one
	// fire one by one.
	send := func(who ...string) {
		t.Helper()
		var text strings.Builder
		for _, w := range who {
			fmt.Fprintf(&text, "<13>1 - own-host app - - - something with axolotl by %s\n", w)
		}
		all += len(who)
		s.sendTCP([]byte(text.String()))
		eventually(t, 20*time.Second, "lines fire", func() error {
			if _, n := counts(""); n != all {
				return fmt.Errorf("%d events counted, want %d", n, all)
			}
			return nil
		})
	}
	for _, who := range []string{"borg", "mallory", "borg"} {
		send(who)
	}
	raised, before := counts("none")
	var draft map[string]any
	if err := s.admin.JSON(ctx, http.MethodPost, "/api/v1/suppressions/draft", nil, map[string]any{"alerts": []string{raised[0].ID}}, &draft); err != nil {
		t.Fatal(err)
	}
	if rules, _ := draft["rules"].([]any); len(rules) != 1 || rules[0] != rule || draft["detection"] == nil {
		t.Fatalf("drafted %+v", draft)
	}
	draft["detection"] = map[string]any{"job": map[string]any{"message|contains": "by borg", "host.name": "own-host"}, "condition": "job"}
	draft["reason"] = "the nightly backup"
	var preview struct {
		Suppressed, Unsure int
		Complete           bool
	}
	if err := s.admin.JSON(ctx, http.MethodPost, "/api/v1/suppressions/preview", nil, draft, &preview); err != nil {
		t.Fatal(err)
	}
	if preview.Suppressed != 2 || !preview.Complete {
		t.Errorf("preview %+v, want 2 firings", preview)
	}
	type kept struct {
		ID     string
		State  string
		Effect struct{ Firings, Events int }
	}
	var made kept
	if err := s.admin.JSON(ctx, http.MethodPost, "/api/v1/suppressions", nil, draft, &made); err != nil {
		t.Fatal(err)
	}
	for _, who := range []string{"borg", "mallory", "borg"} {
		send(who)
	}
	effect := func() kept {
		t.Helper()
		var k kept
		if err := s.admin.Get(ctx, "/api/v1/suppressions/"+made.ID, nil, &k); err != nil {
			t.Fatal(err)
		}
		return k
	}
	if k := effect(); k.Effect.Firings != preview.Suppressed || k.State != "active" {
		t.Errorf("previewed %d, suppressed %+v", preview.Suppressed, k)
	}
	// Many in one batch: none of the others hides behind the backup's.
	var many []string
	for n := range 60 {
		many = append(many, map[bool]string{true: "mallory", false: "borg"}[n%3 == 0])
	}
	send(many...)
	hidden, events := counts(made.ID)
	if k := effect(); k.Effect.Events != 42 || events != 42 || len(hidden) != 1 || hidden[0].Status != "closed" || hidden[0].Resolution != "suppressed" || hidden[0].IncidentID != "" {
		t.Errorf("suppressed %+v in %+v, want 42 events in one closed alert", k.Effect, hidden)
	}
	if _, n := counts("none"); n != before+21 {
		t.Errorf("%d events raised, want %d", n, before+21)
	}
	draft["disabled"] = true
	if err := s.admin.JSON(ctx, http.MethodPut, "/api/v1/suppressions/"+made.ID, nil, draft, nil); err != nil {
		t.Fatal(err)
	}
	send("borg")
	if _, n := counts("none"); n != before+22 {
		t.Errorf("disabled at once, %d events raised, want %d", n, before+22)
	}
}
