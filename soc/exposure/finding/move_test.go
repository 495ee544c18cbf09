package finding

import (
	"testing"

	"icewatch/cmdb"
	"icewatch/cmdb/cmdbtest"
	"icewatch/detections"
	"icewatch/soc/reach"
)

// TestReassign follows a merge of two items and its undo: findings go on with their
// history and their order, what both had is one, and what is seen again is no new one.
func TestReassign(t *testing.T) {
	t.Parallel()
	cmdbtest.OnBoth(t, func(t *testing.T, c *cmdb.Service) {
		s, k := setup(t, c)
		ctx, all := t.Context(), reach.All()
		weak := func(address, check string) Sighting {
			return Sighting{Address: address, Port: 22, Protocol: "tcp", Engine: "nessus", Check: check, Path: "/x", Title: detections.Text{EN: "weak"}, Level: detections.High, At: k.at}
		}
		take(t, s, Take{}, log4j("nessus", "10.0.0.1", k.at), log4j("nessus", "10.0.0.2", k.at), weak("10.0.0.2", "7"))
		only := list(t, s, all, Question{Weakness: "nessus:7"})[0]
		order, err := s.MakeOrder(ctx, all, "li", []string{only.ID}, "", "")
		if err != nil {
			t.Fatal(err)
		}
		m, err := c.MergeItems(ctx, "web-1", "db-1", cmdb.MergeOptions{Within: all, Actor: "li"})
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Reassign(ctx, "li", "db-1", "web-1", nil); err != nil {
			t.Fatal(err)
		}
		if got := list(t, s, all, Question{Item: "db-1"}); len(got) != 0 {
			t.Errorf("%+v", got)
		}
		open := list(t, s, all, Question{Item: "web-1", States: counting})
		if len(open) != 2 {
			t.Fatalf("%+v", open)
		}
		moved := list(t, s, all, Question{Item: "web-1", Weakness: "nessus:7"})[0]
		f, history, err := s.Get(ctx, all, moved.ID)
		if err != nil || moved.ID == only.ID || f.Name != "web-1" || !f.FirstSeen.Equal(only.FirstSeen) || len(history) < 3 || history[0].Action != "asset web-1" {
			t.Errorf("%+v, %+v, %v", f, history, err)
		}
		if orders, _, err := s.Orders(ctx, all, OrderQuestion{Finding: moved.ID}); err != nil || len(orders) != 1 || orders[0].ID != order.ID {
			t.Errorf("%+v, %v", orders, err)
		}
		if got := take(t, s, Take{}, weak("10.0.0.2", "7"), log4j("nessus", "10.0.0.2", k.at)); got.New != 0 || got.Again != 2 {
			t.Errorf("what is seen again: %+v", got)
		}
		// Taken back, those at its address are the other's again.
		if _, err := c.UndoMerge(ctx, all, "li", m.ID); err != nil {
			t.Fatal(err)
		}
		if err := s.Reassign(ctx, "li", "web-1", "db-1", []string{"10.0.0.2"}); err != nil {
			t.Fatal(err)
		}
		if back := list(t, s, all, Question{Item: "db-1", Weakness: "nessus:7"}); len(back) != 1 || back[0].ID != only.ID {
			t.Errorf("%+v, want %s", back, only.ID)
		}
		if got := take(t, s, Take{}, weak("10.0.0.2", "7"), log4j("nessus", "10.0.0.1", k.at)); got.New != 0 || got.Again != 2 {
			t.Errorf("%+v", got)
		}
	})
}

// TestAdopt gives what was found before the CMDB knew a host to the host's item, so that
// it is not found a second time.
func TestAdopt(t *testing.T) {
	t.Parallel()
	cmdbtest.OnBoth(t, func(t *testing.T, c *cmdb.Service) {
		s, k := setup(t, c)
		all := reach.All()
		if got := take(t, s, Take{Tenant: "a"}, log4j("nessus", "10.0.0.70", k.at), log4j("nessus", "10.0.0.71", k.at)); got.New != 2 || len(got.Unknown) != 2 {
			t.Fatalf("%+v", got)
		}
		cmdbtest.Import(t, c, `{"id":"new","class":"host","name":"new","tenant":"a","addresses":["10.0.0.70"],"owner":"周敏"}
{"id":"theirs","class":"host","name":"theirs","tenant":"b","addresses":["10.0.0.71"]}`)
		if got := take(t, s, Take{Tenant: "a", DryRun: true}, log4j("nessus", "10.0.0.70", k.at)); len(list(t, s, all, Question{Item: "new"})) != 0 {
			t.Errorf("a dry run: %+v", got)
		}
		if got := take(t, s, Take{Tenant: "a"}, log4j("nessus", "10.0.0.70", k.at)); got.New != 0 || got.Again != 1 {
			t.Errorf("%+v", got)
		}
		if f := list(t, s, all, Question{Host: "10.0.0.70"}); len(f) != 1 || f[0].Item != "new" || f[0].Owner != "周敏" || f[0].State != StateOpen {
			t.Errorf("%+v", f)
		}
		// What is another tenant's stays where it is; who knows the item may ask at once.
		if err := s.Adopt(t.Context(), "scan", "a", "", map[string]string{"10.0.0.71": "theirs"}); err != nil {
			t.Fatal(err)
		}
		if f := list(t, s, all, Question{Host: "10.0.0.71"}); len(f) != 1 || f[0].Item != "" || f[0].Tenant != "a" {
			t.Errorf("%+v", f)
		}
	})
}
