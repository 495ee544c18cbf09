package roster_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"icewatch/cmdb"
	"icewatch/cmdb/cmdbtest"
	"icewatch/collectors/fleet/roster"
)

// TestStore runs on both databases.
func TestStore(t *testing.T) {
	t.Parallel()
	cmdbtest.OnBoth(t, func(t *testing.T, items *cmdb.Service) {
		db := items.Database()
		ctx := t.Context()
		s, err := roster.Open(ctx, db)
		if err != nil {
			t.Fatal(err)
		}
		type doc struct{ Name string }
		if err := s.Write(ctx, roster.Document{Kind: roster.KindAgent, ID: "a", Tenant: "egov", Data: doc{"网关\"'\\"}}, roster.Document{Kind: roster.KindGroup, ID: "g", Data: doc{"g"}}); err != nil {
			t.Fatal(err)
		}
		var wg sync.WaitGroup
		for n := range 40 {
			wg.Go(func() {
				if err := s.Took(ctx, "a", "logs", "EPOCH001", uint64(n+1)); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		for n := range 12 {
			if err := s.Took(ctx, "a", "metrics", fmt.Sprintf("EPOCH%03d", n), 5); err != nil {
				t.Fatal(err)
			}
		}
		if err := s.PutInventory(ctx, "a", 1, []byte(`{"taken":1}`)); err != nil {
			t.Fatal(err)
		}
		if err := s.Log(ctx, roster.Operation{Tenant: "egov", Agent: "a", Kind: "enrolled", Time: time.Now()}, roster.Operation{Tenant: "seal", Agent: "b", Kind: "enrolled", Time: time.Now()}); err != nil {
			t.Fatal(err)
		}
		s.Close()
		if s, err = roster.Open(ctx, db); err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		docs, err := roster.Load[doc](ctx, s, roster.KindAgent)
		if err != nil || len(docs) != 1 || docs["a"].Name != "网关\"'\\" {
			t.Fatal(docs, err)
		}
		if !s.Taken("a", "logs", "EPOCH001", 40) || s.Taken("a", "logs", "EPOCH001", 41) || s.Taken("a", "inventory", "EPOCH001", 1) {
			t.Error("how far batches came is not remembered")
		}
		if !s.Taken("a", "metrics", "EPOCH011", 5) || s.Taken("a", "metrics", "EPOCH000", 1) {
			t.Error("the last runs of an agent, and no more, are to be remembered")
		}
		list, err := s.Operations(ctx, roster.OperationQuery{Tenants: []string{"egov"}, Limit: 10})
		if err != nil || len(list) != 1 || list[0].Agent != "a" {
			t.Fatal(list, err)
		}
		if list, err = s.Operations(ctx, roster.OperationQuery{Tenants: []string{}, Limit: 10}); err != nil || len(list) != 0 {
			t.Fatal("who reaches no tenant is told", list, err)
		}
		if err := errors.Join(s.Trim(ctx), s.Forget(ctx, "a")); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Inventory(ctx, "a"); !errors.Is(err, roster.ErrNotFound) || s.Taken("a", "logs", "EPOCH001", 1) {
			t.Error("something of a deleted agent is left", err)
		}
		ended, cancel := context.WithCancel(ctx)
		cancel()
		if err := s.Took(ended, "a", "logs", "EPOCH001", 1); err == nil {
			// It may have been written before it was noticed; that is no harm.
			t.Log("written in spite of an ended context")
		}
	})
}

func TestIDs(t *testing.T) {
	t.Parallel()
	last := ""
	for n := range 1000 {
		id := roster.NewID(time.UnixMilli(1_800_000_000_000 + int64(n)))
		if len(id) != 26 || id <= last {
			t.Fatalf("%s after %s", id, last)
		}
		last = id
	}
	if id := roster.NewID(time.UnixMilli(1<<48 - 1)); id[:10] != "7ZZZZZZZZZ" {
		t.Error(id)
	}
}
