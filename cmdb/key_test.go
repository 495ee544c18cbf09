package cmdb_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"icewatch/cmdb"
	"icewatch/cmdb/cmdbtest"
	"icewatch/soc/reach"
)

// TestKeyAssets: what is marked is a key asset before the call that marks it
// returns, what rules name a moment later, and what belongs to a key system too;
// they are counted within a reach alone.
func TestKeyAssets(t *testing.T) {
	t.Parallel()
	cmdbtest.OnBoth(t, func(t *testing.T, s *cmdb.Service) {
		ctx, all := t.Context(), reach.All()
		cmdbtest.Import(t, s, `{"id":"sys","class":"business_system","name":"sys","tenant":"a"}
{"id":"web","class":"host","name":"web","tenant":"a","system":"sys","criticality":2}
{"id":"db","class":"host","name":"db","tenant":"b","criticality":5}
{"id":"odd","class":"host","name":"odd \"key_asset\":\"true\"","tenant":"b","criticality":1,"attributes":{"os":"\"key_asset\":\"true\""}}`)
		mark := func(id, class, v string) {
			t.Helper()
			f := cmdb.Fields{ID: &id, Class: &class, Attributes: map[string]*string{"key_asset": &v}}
			if v == "" {
				f.Attributes["key_asset"] = nil
			}
			if r, err := s.UpsertAll(ctx, []cmdb.Fields{f}, cmdb.ImportOptions{Within: all, Actor: "li"}); err != nil || len(r.Errors) > 0 {
				t.Fatal(err, r.Errors)
			}
		}
		is := func(what, item, system string, want bool) {
			t.Helper()
			if got := s.KeyAsset(item, system); got != want {
				t.Errorf("%s: whether %q of %q is a key asset: %v, want %v", what, item, system, got, want)
			}
		}
		is("at first", "web", "sys", false)
		is("of nothing", "", "", false)
		mark("sys", "business_system", "true")
		is("its system is marked", "web", "sys", true)
		is("of another system", "web", "", false)
		mark("sys", "business_system", "")
		is("taken away", "web", "sys", false)
		mark("web", "host", "true")

		run, end := context.WithCancel(ctx)
		defer end()
		policy, nudge := cmdb.KeyPolicy{Rules: []cmdb.KeyRule{{Name: "grave", Filter: "criticality >= 5"}, {Name: "gone", Filter: "has <-no_such_type- vm"}}}, make(chan struct{})
		if err := policy.Check(); err != nil {
			t.Fatal(err)
		}
		if err := s.CheckKeyRules(ctx, policy); err == nil || !strings.Contains(err.Error(), "rules[1]") {
			t.Errorf("a rule that follows relations that there are not: %v", err)
		}
		go s.RunKeyAssets(run, func() cmdb.KeyPolicy { return policy }, nudge)
		within := func(id string, want bool) {
			t.Helper()
			for deadline := time.Now().Add(20 * time.Second); s.KeyAsset(id, "") != want; time.Sleep(10 * time.Millisecond) {
				if time.Now().After(deadline) {
					t.Fatalf("whether %s is a key asset does not become %v", id, want)
				}
			}
		}
		within("db", true)
		is("marks outlast the reading of the tables", "web", "", true)
		is("a text that looks like the mark", "odd", "", false)
		got, err := s.KeyAssets(ctx, all)
		if err != nil || got.Items != 2 || got.Marked != 1 || got.Classes["host"] != 2 || got.Tenants["b"] != 1 || len(got.Rules) != 2 || got.Rules[0].Items != 1 || got.Rules[1].Error == "" {
			t.Errorf("key assets: %+v, %v", got, err)
		}
		if got, err = s.KeyAssets(ctx, reach.Tenants("a")); err != nil || got.Items != 1 || got.Rules[0].Items != 0 || got.Tenants["b"] != 0 {
			t.Errorf("key assets of tenant a: %+v, %v", got, err)
		}
		three := 3
		id, class := "db", "host"
		if r, err := s.UpsertAll(ctx, []cmdb.Fields{{ID: &id, Class: &class, Criticality: &three}}, cmdb.ImportOptions{Within: all, Actor: "li"}); err != nil || len(r.Errors) > 0 {
			t.Fatal(err, r.Errors)
		}
		within("db", false)
	})
	for what, p := range map[string]cmdb.KeyPolicy{
		"rules[0].name":   {Rules: []cmdb.KeyRule{{Name: " ", Filter: "criticality = 5"}}},
		"two rules":       {Rules: []cmdb.KeyRule{{Name: "x", Filter: "criticality = 5"}, {Name: "x", Filter: "criticality = 4"}}},
		"every item":      {Rules: []cmdb.KeyRule{{Name: "x", Filter: " "}}},
		"rules[0].filter": {Rules: []cmdb.KeyRule{{Name: "x", Filter: "criticality >"}}},
	} {
		if err := p.Check(); err == nil || !strings.Contains(err.Error(), what) {
			t.Errorf("want an error that says %q: %v", what, err)
		}
	}
}

// TestDataLevels: what an item says of its data counts before what its system says,
// from the change on and after a start.
func TestDataLevels(t *testing.T) {
	t.Parallel()
	cmdbtest.OnBoth(t, func(t *testing.T, s *cmdb.Service) {
		cmdbtest.Import(t, s, `{"id":"sys","class":"business_system","name":"sys","tenant":"a","attributes":{"data_level":"3"}}
{"id":"web","class":"host","name":"web","tenant":"a","system":"sys"}
{"id":"db","class":"database","name":"db","tenant":"a","system":"sys","attributes":{"data_level":"4","data_category":"population"}}`)
		is := func(what, item, system string, want int) {
			t.Helper()
			if got := s.DataLevel(item, system); got != want {
				t.Errorf("%s: %q of %q has level %d, want %d", what, item, system, got, want)
			}
		}
		is("its system's", "web", "sys", 3)
		is("its own", "db", "sys", 4)
		is("nothing", "", "", 0)
		id, class := "db", "database"
		f := cmdb.Fields{ID: &id, Class: &class, Attributes: map[string]*string{"data_level": nil}}
		if r, err := s.UpsertAll(t.Context(), []cmdb.Fields{f}, cmdb.ImportOptions{Within: reach.All(), Actor: "li"}); err != nil || len(r.Errors) > 0 {
			t.Fatal(err, r.Errors)
		}
		is("taken away", "db", "sys", 3)
		// Read anew from the tables, as at a start.
		run, end := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() {
			defer close(done)
			s.RunKeyAssets(run, func() cmdb.KeyPolicy { return cmdb.DefaultKeyPolicy }, nil)
		}()
		time.Sleep(50 * time.Millisecond)
		end()
		<-done
		is("read anew", "web", "sys", 3)
		level := "6"
		f.Attributes["data_level"] = &level
		if r, err := s.UpsertAll(t.Context(), []cmdb.Fields{f}, cmdb.ImportOptions{Within: reach.All(), Actor: "li"}); err == nil && len(r.Errors) == 0 {
			t.Error("level 6 is taken")
		}
	})
}
