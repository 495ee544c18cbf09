package finding

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"icewatch/cmdb"
	"icewatch/cmdb/cmdbtest"
	"icewatch/detections"
	"icewatch/soc/reach"
)

// A work order and its findings say to each other how they stand, both ways, and what
// was done is taken back.
func TestWorkOrderOfFindings(t *testing.T) {
	t.Parallel()
	cmdbtest.OnBoth(t, func(t *testing.T, c *cmdb.Service) {
		s, k := setup(t, c)
		ctx, all := t.Context(), reach.All()
		var told []string
		s.TellOrder = func(_ context.Context, e FindingOrderEvent) error {
			told = append(told, e.Order+" "+e.Text.EN)
			return nil
		}
		other := Sighting{Address: "10.0.0.3", Engine: "nessus", Check: "1", Title: detections.Text{EN: "x"}, Level: detections.High, At: k.at}
		low := Sighting{Address: "10.0.0.2", Engine: "nessus", Check: "2", Title: detections.Text{EN: "y"}, Level: detections.Low, At: k.at}
		take(t, s, Take{}, log4j("nessus", "10.0.0.1", k.at), low, other)
		got := list(t, s, all, Question{})
		ids := map[string]string{}
		for _, f := range got {
			ids[f.Item] = f.ID
		}
		state := func(item string) State {
			t.Helper()
			f, _, err := s.Get(ctx, all, ids[item])
			if err != nil {
				t.Fatal(err)
			}
			return f.State
		}
		order := func(id string) FindingOrder {
			t.Helper()
			o, _, _, err := s.Order(ctx, all, id)
			if err != nil {
				t.Fatal(err)
			}
			return o
		}
		both := []string{ids["web-1"], ids["db-1"]}
		if _, err := s.MakeOrder(ctx, all, "li", []string{ids["web-1"], ids["other"]}, "", ""); !errors.Is(err, ErrInvalid) {
			t.Errorf("an order of two tenants: %v", err)
		}
		if _, err := s.MakeOrder(ctx, reach.Tenants("b"), "li", both, "", ""); !errors.Is(err, ErrNotFound) {
			t.Errorf("an order beyond reach: %v", err)
		}
		o, err := s.MakeOrder(ctx, all, "li", both, "", "")
		if err != nil {
			t.Fatal(err)
		}
		if o.Owner != "张三" || o.Tenant != "a" || o.Findings != 2 || !o.Due.Equal(k.at.AddDate(0, 0, 3)) || !strings.Contains(o.Title, "web-1") {
			t.Errorf("%+v", o)
		}
		if state("web-1") != Repair || state("db-1") != Repair {
			t.Error("its findings are not in repair")
		}
		if _, err := s.MakeOrder(ctx, all, "li", both[:1], "", ""); !errors.Is(err, ErrConflict) {
			t.Errorf("a second open order: %v", err)
		}
		// Only who sees all its findings sees it.
		for _, r := range []reach.Reach{reach.Tenants("b"), {}} {
			if l, n, err := s.Orders(ctx, r, OrderQuestion{}); err != nil || n != 0 || len(l) != 0 {
				t.Errorf("beyond reach: %v %d %v", l, n, err)
			}
			if _, _, _, err := s.Order(ctx, r, o.ID); !errors.Is(err, ErrNotFound) {
				t.Errorf("beyond reach: %v", err)
			}
			if _, err := s.EndOrder(ctx, r, "x", o.ID, OrderDone, ""); !errors.Is(err, ErrNotFound) {
				t.Errorf("ended beyond reach: %v", err)
			}
		}
		if l, n, err := s.Orders(ctx, reach.Tenants("a"), OrderQuestion{Finding: ids["db-1"], Words: "WEB-1"}); err != nil || n != 1 || l[0].ID != o.ID || l[0].Left != 2 {
			t.Errorf("%v %d %v", l, n, err)
		}
		// Done: the findings are fixed; taken back: in repair again.
		done, err := s.EndOrder(ctx, all, "work-order:itsm", o.ID, OrderDone, "patched")
		if err != nil || done.State != OrderDone || done.Left != 0 || state("web-1") != Fixed || state("db-1") != Fixed {
			t.Fatalf("%+v, %v", done, err)
		}
		if _, err := s.EndOrder(ctx, all, "x", o.ID, OrderDone, ""); !errors.Is(err, ErrConflict) {
			t.Errorf("done twice: %v", err)
		}
		if n, err := s.Undo(ctx, all, "li", done.DoneChange); err != nil || n != 2 || order(o.ID).State != OrderOpen || state("web-1") != Repair {
			t.Errorf("%d, %v, %+v", n, err, order(o.ID))
		}
		// One finding after the other is closed: said on the order, which is done with the last.
		if _, err := s.Change(ctx, all, "li", both[:1], FindingChange{State: Closed}); err != nil {
			t.Fatal(err)
		}
		if err := s.Follow(ctx); err != nil {
			t.Fatal(err)
		}
		if x := order(o.ID); x.State != OrderOpen || x.Left != 1 {
			t.Errorf("%+v", x)
		}
		if !slices.Contains(told, o.ID+" Findings are closed: CVE-2021-44228 @ web-1:8080") {
			t.Errorf("told %q", told)
		}
		if _, err := s.Change(ctx, all, "li", both[1:], FindingChange{State: Fixed}); err != nil {
			t.Fatal(err)
		}
		n := len(told)
		for range 2 { // the second time nothing is new
			if err := s.Follow(ctx); err != nil {
				t.Fatal(err)
			}
		}
		if x := order(o.ID); x.State != OrderDone || len(told) != n+2 {
			t.Errorf("%+v, told %q", x, told[n:])
		}
		// It comes back: so does the order.
		k.at = k.at.Add(time.Hour)
		take(t, s, Take{}, log4j("nessus", "10.0.0.1", k.at))
		if err := s.Follow(ctx); err != nil {
			t.Fatal(err)
		}
		if x := order(o.ID); x.State != OrderOpen || x.Left != 1 {
			t.Errorf("%+v", x)
		}
		if err := s.NoteOrder(ctx, o.ID, "work-order:itsm", detections.Text{ZH: "受理", EN: "taken"}); err != nil {
			t.Error(err)
		}
		if _, err := s.EndOrder(ctx, all, "li", o.ID, OrderWithdrawn, ""); err != nil || state("web-1") != StateOpen {
			t.Errorf("%v, %s", err, state("web-1"))
		}
		// A new one, taken back as a whole.
		again, err := s.MakeOrder(ctx, all, "li", both[:1], "title", "wang")
		if err != nil || again.Title != "title" || again.Owner != "wang" {
			t.Fatalf("%+v, %v", again, err)
		}
		if _, err := s.Undo(ctx, all, "li", again.Change); err != nil || order(again.ID).State != OrderWithdrawn || state("web-1") != StateOpen {
			t.Errorf("%v, %+v", err, order(again.ID))
		}
		_, members, events, err := s.Order(ctx, all, o.ID)
		if err != nil || len(members) != 2 || len(events) < 8 || events[0].Text.EN != "Withdrawn" {
			t.Errorf("%d findings, %+v, %v", len(members), events, err)
		}
	})
}
