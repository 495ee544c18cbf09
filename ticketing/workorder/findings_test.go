package workorder

import (
	"testing"
	"time"
)

// An order of what no timeline is kept of is told by Tell, once each, and the thing ends
// with its order although the connection closes no alerts.
func TestOrderOfFindings(t *testing.T) {
	f, d := open(t), newDesk(t, "sesame", "key")
	ctx := t.Context()
	f.deps.Ends = func(object string) bool { return object == "FO-1" }
	f.tickets.subjects["FO-1"] = Subject{ID: "FO-1", Kind: "findings", Tenant: "tax", Title: "整改", Status: "open"}
	c, _ := f.connect(Content{Name: "desk", Enabled: true, URL: d.URL + "/orders", Poll: 60}, "sesame", "key")
	said := func(at time.Time, unique, actor string) {
		t.Helper()
		if err := f.Tell(ctx, unique, Change{Object: "FO-1", Kind: unique, Actor: actor, Text: "x", Time: at}); err != nil {
			t.Fatal(err)
		}
	}
	said(f.now, "before", "li") // nobody has an order of it
	if _, err := f.Make(ctx, "li", c.ID, "FO-1", ""); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Make(ctx, "li", c.ID, "INC-1", ""); err != nil {
		t.Fatal(err)
	}
	said(f.now.Add(-time.Second), "earlier", "li")
	said(f.now, "closed", "icewatch")
	said(f.now, "closed", "icewatch")
	said(f.now, "own", actorOf("desk"))
	f.step()
	f.expect(d, "POST FO-1 ", "POST INC-1 ", "PUT FO-1 closed")
	d.set(func(d *desk) { d.orders["T-1"], d.orders["T-2"] = "resolved", "resolved" })
	f.now = f.now.Add(2 * time.Minute)
	f.step()
	if f.tickets.status("FO-1") != "closed" || f.tickets.status("INC-1") != "open" {
		t.Errorf("once both orders are done: FO-1 is %s, INC-1 is %s", f.tickets.status("FO-1"), f.tickets.status("INC-1"))
	}
}
