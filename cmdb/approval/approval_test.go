package approval

import (
	"errors"
	"strings"
	"testing"
	"time"

	"icewatch/cmdb"
	"icewatch/cmdb/cmdbtest"
	"icewatch/soc/reach"
)

var (
	zhang = Person{"u1", "zhang"}
	li    = Person{"u2", "li"}
)

func text(s string) *string { return &s }

// TestFourEyes files a change of protected items, sees that nothing changes by
// itself, that its author cannot approve it, and that it is made as shown.
func TestFourEyes(t *testing.T) {
	t.Parallel()
	cmdbtest.OnBoth(t, func(t *testing.T, s *cmdb.Service) {
		ctx := t.Context()
		now := time.Now()
		d, err := Open(ctx, s.Database(), s, func() time.Time { return now })
		if err != nil {
			t.Fatal(err)
		}
		cmdbtest.Import(t, s, `{"id":"h1","class":"host","name":"one","tenant":"a","owner":"x"}`+"\n"+`{"id":"h2","class":"host","name":"two","tenant":"a"}`)
		s.Protect([]string{"computer"}) // what host extends
		opts := cmdb.ImportOptions{Within: reach.All(), Actor: "zhang"}

		// No road past the approval.
		change := cmdb.Fields{ID: text("h1"), Class: text("host"), Owner: text("y")}
		if _, err := s.UpsertAll(ctx, []cmdb.Fields{change}, opts); !errors.Is(err, cmdb.ErrProtected) {
			t.Errorf("a protected item was changed: %v", err)
		}
		if _, err := s.Import(ctx, cmdb.CSV, strings.NewReader("id,class,name\nh1,host,uno\n"), opts); !errors.Is(err, cmdb.ErrProtected) {
			t.Errorf("a protected item was imported: %v", err)
		}
		if err := s.Delete(ctx, reach.All(), "zhang", "h2"); !errors.Is(err, cmdb.ErrProtected) {
			t.Errorf("a protected item was deleted: %v", err)
		}
		if _, err := s.UpsertAll(ctx, []cmdb.Fields{{Class: text("organisation"), Name: text("free")}}, opts); err != nil {
			t.Errorf("an item that is not protected: %v", err)
		}
		dry := opts
		dry.DryRun = true
		if r, err := s.UpsertAll(ctx, []cmdb.Fields{change}, dry); err != nil || r.Protected != 1 {
			t.Errorf("a dry run: %+v, %v", r, err)
		}

		file := func(list []cmdb.Fields, remove ...string) Request {
			t.Helper()
			p, report, err := s.Propose(ctx, list, remove, opts)
			if err != nil || len(report.Errors) > 0 {
				t.Fatal(err, report.Errors)
			}
			r, err := d.File(ctx, zhang, "because", p, time.Hour)
			if err != nil {
				t.Fatal(err)
			}
			return r
		}
		fresh := cmdb.Fields{Class: text("host"), Name: text("three"), Tenant: text("b")}
		r := file([]cmdb.Fields{change, fresh}, "h2")
		if r.State != Pending || r.Items != 3 || r.Proposals[0].Action != "updated" || r.Proposals[1].Action != "created" || r.Proposals[2].Action != "deleted" ||
			r.Proposals[0].Changes[0] != (cmdb.Change{Field: "owner", Before: "x", After: "y"}) {
			t.Fatalf("%+v", r)
		}
		if it, err := s.Get(ctx, reach.All(), "h1"); err != nil || it.Owner != "x" || it.Revision != 1 {
			t.Fatalf("filing changed something: %+v, %v", it, err)
		}
		// It is seen by who may see all of it.
		if list, err := d.List(ctx, reach.Tenants("a"), li, "", 0, 10); err != nil || len(list) != 0 {
			t.Errorf("%+v, %v", list, err)
		}
		if _, err := d.Get(ctx, reach.Tenants("a"), li, r.ID); !errors.Is(err, ErrNotFound) {
			t.Errorf("%v", err)
		}
		if list, err := d.List(ctx, reach.All(), li, Pending, 0, 10); err != nil || len(list) != 1 || list[0].Mine || list[0].Proposals != nil {
			t.Errorf("%+v, %v", list, err)
		}
		if _, err := d.Approve(ctx, reach.All(), zhang, r.ID, ""); !errors.Is(err, ErrOwn) {
			t.Errorf("approved by its author: %v", err)
		}
		if _, err := d.Reject(ctx, reach.All(), li, r.ID, " "); !errors.Is(err, ErrInvalid) {
			t.Errorf("rejected without a word: %v", err)
		}
		if _, err := d.Withdraw(ctx, reach.All(), li, r.ID); !errors.Is(err, ErrOwn) {
			t.Errorf("withdrawn by another: %v", err)
		}
		done, err := d.Approve(ctx, reach.All(), li, r.ID, "fine")
		if err != nil || done.State != Approved || done.Decider != "li" || done.Decision != "fine" {
			t.Fatalf("%+v, %v", done, err)
		}
		it, err := s.Get(ctx, reach.All(), "h1")
		if err != nil || it.Owner != "y" {
			t.Errorf("%+v, %v", it, err)
		}
		if h, err := s.History(ctx, reach.All(), "h1", 0, 1); err != nil || h[0].Actor != "zhang (approved by li)" {
			t.Errorf("%+v, %v", h, err)
		}
		if _, err := s.Get(ctx, reach.All(), "h2"); !errors.Is(err, cmdb.ErrNotFound) {
			t.Errorf("h2: %v", err)
		}
		if it, err := s.Get(ctx, reach.All(), r.Proposals[1].Item.ID); err != nil || it.Name != "three" {
			t.Errorf("%+v, %v", it, err)
		}
		if _, err := d.Approve(ctx, reach.All(), li, r.ID, ""); !errors.Is(err, ErrDecided) {
			t.Errorf("approved twice: %v", err)
		}

		// An item that moves on is a conflict, and nothing of the request is made.
		r = file([]cmdb.Fields{{ID: text("h1"), Class: text("host"), Owner: text("late")}, {Class: text("host"), Name: text("four"), Tenant: text("a")}})
		s.Protect(nil)
		if _, err := s.UpsertAll(ctx, []cmdb.Fields{{ID: text("h1"), Class: text("host"), Owner: text("quick")}}, opts); err != nil {
			t.Fatal(err)
		}
		if _, err := d.Approve(ctx, reach.All(), li, r.ID, ""); !errors.Is(err, cmdb.ErrStale) {
			t.Errorf("%v", err)
		}
		if r, err := d.Get(ctx, reach.All(), li, r.ID); err != nil || r.State != Conflict || !strings.Contains(r.Decision, "zhang updated owner") {
			t.Errorf("%+v, %v", r, err)
		}
		if p, err := s.Items(ctx, reach.All(), cmdb.Filter{Query: "four"}); err != nil || p.Total != 0 {
			t.Errorf("half of a request was made: %+v, %v", p, err)
		}

		// What was made and not noted is approved without a second change.
		r = file([]cmdb.Fields{{ID: text("h1"), Class: text("host"), Owner: text("again")}})
		if _, err := s.Apply(ctx, r.Proposals, opts); err != nil {
			t.Fatal(err)
		}
		if r, err := d.Approve(ctx, reach.All(), li, r.ID, ""); err != nil || r.State != Approved {
			t.Errorf("%+v, %v", r, err)
		}

		// Nobody's decision in time is no decision later.
		r = file([]cmdb.Fields{{ID: text("h1"), Class: text("host"), Owner: text("z")}})
		own := file([]cmdb.Fields{{ID: text("h1"), Class: text("host"), Owner: text("w")}})
		if r, err := d.Withdraw(ctx, reach.All(), zhang, own.ID); err != nil || r.State != Withdrawn {
			t.Errorf("%+v, %v", r, err)
		}
		now = now.Add(time.Hour)
		if _, err := d.Approve(ctx, reach.All(), li, r.ID, ""); !errors.Is(err, ErrDecided) || !strings.Contains(err.Error(), Expired) {
			t.Errorf("%v", err)
		}
		if list, err := d.List(ctx, reach.All(), li, Expired, 0, 10); err != nil || len(list) != 1 || list[0].ID != r.ID {
			t.Errorf("%+v, %v", list, err)
		}
	})
}

func TestPolicy(t *testing.T) {
	t.Parallel()
	for _, p := range []Policy{{Days: 0}, {Days: 91}, {Days: 1, Classes: []string{""}}, {Days: 1, Classes: []string{"a", "a"}}} {
		if p.Check() == nil {
			t.Errorf("%+v was taken", p)
		}
	}
	if err := DefaultPolicy.Check(); err != nil {
		t.Error(err)
	}
}
