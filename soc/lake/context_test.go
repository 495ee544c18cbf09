package lake

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"icewatch/soc/event"
	"icewatch/soc/search"
)

// TestContext asks for the rows around many events, most of which share their
// time with others, and holds the answer against the order they were taken in.
func TestContext(t *testing.T) {
	t.Parallel()
	l := openLake(t, t.TempDir())
	defer l.Close()
	reg := event.NewRegistry(0)
	w := l.NewWriter(reg)
	host := mustIntern(t, reg, "host.name")
	rnd := rand.New(rand.NewPCG(1, 2))
	type stored struct {
		id, tenant, host, dataset string
		seq                       uint64
		index                     uint32
		at                        int64
	}
	base := time.Now().Add(-time.Hour).Truncate(time.Second)
	var all []stored
	// Batches come in whatever order of time; ids of several digits.
	for seq := uint64(90); seq < 115; seq++ {
		for index := range uint32(12) {
			s := stored{tenant: []string{"a", "b"}[rnd.IntN(2)], host: []string{"h1", "h2", ""}[rnd.IntN(3)], dataset: []string{"d1", "d2"}[rnd.IntN(2)],
				seq: seq, index: index, at: base.Add(time.Duration(rnd.IntN(6)) * time.Second * 200).UnixNano()}
			ev := event.Event{ID: event.ID{Epoch: "e1", Sequence: seq, Index: index}, Time: s.at, Created: s.at, Tenant: s.tenant, Raw: "x"}
			s.id = ev.ID.String()
			ev.Set(event.EventDataset, s.dataset)
			ev.Set(host, s.host)
			if err := w.Add(&ev, Space{Account: map[string]uint32{"a": 10, "b": 11}[s.tenant]}, s.host); err != nil {
				t.Fatal(err)
			}
			all = append(all, s)
		}
	}
	w.Flush()
	l.Flush()
	slices.SortFunc(all, func(a, b stored) int {
		if a.at != b.at {
			return int(a.at - b.at)
		}
		if a.seq != b.seq {
			return int(a.seq) - int(b.seq)
		}
		return int(a.index) - int(b.index)
	})
	ids := func(list []json.RawMessage) (out []string) {
		for _, b := range list {
			var row struct {
				ID string `json:"event.id"`
			}
			if err := json.Unmarshal(b, &row); err != nil {
				t.Fatal(err)
			}
			out = append(out, row.ID)
		}
		return out
	}
	for range 60 {
		at := rnd.IntN(len(all))
		anchor := all[at]
		width := time.Duration(rnd.IntN(4)) * 200 * time.Second
		n := 1 + rnd.IntN(40)
		accounts := [][]uint32{{10, 11}, {10}, {11}}[rnd.IntN(3)]
		by := []string{search.ByHost, search.ByStream, search.ByTenant, search.ByNone}[rnd.IntN(4)]
		got, err := l.Context(t.Context(), Query{Accounts: accounts}, search.Around{ID: anchor.id, By: by, Width: width, Before: n, After: n})
		visible := func(s stored) bool {
			return slices.Contains(accounts, map[string]uint32{"a": 10, "b": 11}[s.tenant])
		}
		if !visible(anchor) {
			if !errors.Is(err, search.ErrNotFound) {
				t.Fatalf("an event of another tenant: %v", err)
			}
			continue
		}
		did := by
		if by == search.ByHost && anchor.host == "" {
			did = search.ByStream
		}
		if err != nil || got.By != did {
			t.Fatalf("by %s: %s, %v", by, got.By, err)
		}
		same := func(s stored) bool {
			switch did {
			case search.ByHost:
				return s.tenant == anchor.tenant && s.host == anchor.host
			case search.ByStream:
				return s.tenant == anchor.tenant && s.host == anchor.host && s.dataset == anchor.dataset
			case search.ByTenant:
				return s.tenant == anchor.tenant
			}
			return true
		}
		var before, after []string
		for i, s := range all {
			if !visible(s) || !same(s) || i == at || time.Duration(s.at-anchor.at).Abs() > width {
				continue
			}
			if i < at {
				before = append(before, s.id)
			} else {
				after = append(after, s.id)
			}
		}
		moreBefore, moreAfter := len(before) > n, len(after) > n
		before, after = before[max(0, len(before)-n):], after[:min(n, len(after))]
		what := fmt.Sprintf("%d rows by %s within %s of %s", n, by, width, anchor.id)
		if g := ids(got.Before); !slices.Equal(g, before) || got.MoreBefore != moreBefore {
			t.Fatalf("before: %s\n%v %v\nwant %v %v", what, g, got.MoreBefore, before, moreBefore)
		}
		if g := ids(got.After); !slices.Equal(g, after) || got.MoreAfter != moreAfter {
			t.Fatalf("after: %s\n%v %v\nwant %v %v", what, g, got.MoreAfter, after, moreAfter)
		}
		if g := ids([]json.RawMessage{got.Anchor}); g[0] != anchor.id {
			t.Fatalf("anchor %s", g)
		}
	}
}
