package traffic

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"icewatch/cmdb"
	"icewatch/cmdb/cmdbtest"
	"icewatch/soc/reach"
	"icewatch/soc/search"
)

// lake answers the question for flows with its rows.
type lake struct {
	rows  []map[string]string
	asked []search.Request
	err   error
}

func (l *lake) Query(_ context.Context, req search.Request, emit func([]byte) error) error {
	l.asked = append(l.asked, req)
	if l.err != nil {
		return l.err
	}
	for _, r := range l.rows {
		text, _ := json.Marshal(r)
		if err := emit(text); err != nil {
			return err
		}
	}
	return nil
}

var start = time.Date(2026, 5, 1, 8, 0, 0, 0, time.UTC)

// flows is a row of the lake.
func flows(zone, client, server, port, bytes string, n int) map[string]string {
	return map[string]string{"icewatch.zone": zone, "client.ip": client, "server.ip": server, "server.port": port, "network.iana_number": "6", "bytes": bytes,
		"flows": fmt.Sprint(n), "first": start.Format(time.RFC3339Nano), "last": start.Add(time.Minute).Format(time.RFC3339Nano)}
}

const ledger = `{"id":"web","class":"host","name":"web","tenant":"a","zone":"office","addresses":["10.0.0.1"]}
{"id":"db","class":"host","name":"db","tenant":"a","zone":"office","addresses":["10.0.0.2","10.0.0.3"]}
{"id":"db-dmz","class":"host","name":"db-dmz","tenant":"b","zone":"dmz","addresses":["10.0.0.2"]}
{"id":"web-dmz","class":"host","name":"web-dmz","tenant":"a","zone":"dmz","addresses":["10.0.0.1"]}`

type world struct {
	*Watch
	t     *testing.T
	items *cmdb.Service
	lake  *lake
	now   time.Time
}

func onBoth(t *testing.T, test func(w *world)) {
	cmdbtest.OnBoth(t, func(t *testing.T, items *cmdb.Service) {
		cmdbtest.Import(t, items, ledger)
		w := &world{t: t, items: items, lake: &lake{}, now: start.Add(4 * time.Minute)}
		var err error
		w.Watch, err = Open(t.Context(), Deps{Lake: w.lake, Items: items, Policy: func() Policy { return DefaultPolicy }, Now: func() time.Time { return w.now }})
		if err != nil {
			t.Fatal(err)
		}
		test(w)
	})
}

func (w *world) look(rows ...map[string]string) {
	w.t.Helper()
	w.lake.rows = rows
	if err := w.Look(w.t.Context()); err != nil {
		w.t.Fatal(err)
	}
	w.now = w.now.Add(every)
}

// list says in words what is proposed, oldest first.
func (w *world) list(r reach.Reach, q Query) (out []string, ids []int64) {
	w.t.Helper()
	q.Limit = 100
	p, err := w.List(w.t.Context(), r, q)
	if err != nil {
		w.t.Fatal(err)
	}
	if p.Total != len(p.Proposals) {
		w.t.Errorf("%d proposals of %d", len(p.Proposals), p.Total)
	}
	for _, x := range slices.Backward(p.Proposals) {
		text := x.State + " " + x.From.Name + ">" + x.To.Name
		for _, s := range x.Services {
			text += fmt.Sprintf(" %s/%d=%d", s.Protocol, s.Port, s.Bytes)
		}
		out, ids = append(out, text), append(ids, x.ID)
	}
	return out, ids
}

func (w *world) expect(what string, r reach.Reach, q Query, want ...string) (ids []int64) {
	w.t.Helper()
	got, ids := w.list(r, q)
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		w.t.Errorf("%s: %q, want %q", what, got, want)
	}
	return ids
}

// TestSums: what flows show is added up over looks, by item and network zone.
func TestSums(t *testing.T) {
	t.Parallel()
	onBoth(t, func(w *world) {
		w.look(
			flows("office", "10.0.0.1", "10.0.0.2", "5432", "900", 2),
			flows("office", "10.0.0.1", "10.0.0.3", "5432", "100", 1), // another address of the same item
			flows("office", "::ffff:10.0.0.1", "10.0.0.2", "22", "50", 1),
			flows("dmz", "10.0.0.1", "10.0.0.2", "5432", "7", 9),     // the same addresses, and other items
			flows("", "10.0.0.1", "10.0.0.2", "5432", "8", 9),        // nothing is there in the default zone
			flows("office", "10.0.0.2", "10.0.0.3", "80", "8", 9),    // an item with itself
			flows("office", "10.0.0.1", "198.51.100.1", "1", "8", 9), // unknown
			flows("office", "nonsense", "10.0.0.2", "1", "8", 9),
			flows("office", "10.0.0.1", "10.0.0.2", "70000", "8", 9),
		)
		w.expect("first look", reach.All(), Query{}, "waiting web>db tcp/5432=1000 tcp/22=50", "waiting web-dmz>db-dmz tcp/5432=7")
		w.look(flows("office", "10.0.0.1", "10.0.0.2", "5432", "1000", 1))
		w.expect("second look", reach.All(), Query{Zone: "office"}, "waiting web>db tcp/5432=2000 tcp/22=50")
		if n := len(w.lake.asked); n != 2 || !w.lake.asked[0].End.Equal(w.lake.asked[1].Start) {
			t := w.lake.asked
			w.t.Errorf("flows were looked at from %v to %v and from %v to %v", t[0].Start, t[0].End, t[1].Start, t[1].End)
		}
		// A lake that is away costs nothing but time.
		w.lake.err = search.ErrUnavailable
		if err := w.Look(w.t.Context()); !errors.Is(err, search.ErrUnavailable) {
			w.t.Errorf("without a lake: %v", err)
		}
		w.lake.err = nil
		w.look()
		if last := w.lake.asked[3]; !last.Start.Equal(w.lake.asked[1].End) {
			w.t.Errorf("after the lake was away flows are looked at from %v, not from %v", last.Start, w.lake.asked[1].End)
		}
		// Who does not see both ends does not see what they say.
		w.expect("of tenant a", reach.Tenants("a"), Query{}, "waiting web>db tcp/5432=2000 tcp/22=50")
		w.expect("of tenant b", reach.Tenants("b"), Query{})
		w.expect("of an item", reach.All(), Query{Item: "db-dmz"}, "waiting web-dmz>db-dmz tcp/5432=7")
	})
}

// TestDecisions: a proposal becomes a relation that is told apart, and each
// decision has its way back.
func TestDecisions(t *testing.T) {
	t.Parallel()
	onBoth(t, func(w *world) {
		ctx := w.t.Context()
		w.look(flows("office", "10.0.0.1", "10.0.0.2", "5432", "900", 3), flows("dmz", "10.0.0.1", "10.0.0.2", "5432", "7", 3), flows("office", "10.0.0.2", "10.0.0.1", "80", "7", 2))
		// One with too few flows is not worth a decision yet.
		ids := w.expect("waiting", reach.All(), Query{State: Waiting}, "waiting web>db tcp/5432=900", "waiting web-dmz>db-dmz tcp/5432=7")
		related := func() string {
			w.t.Helper()
			p, err := w.items.RelationsOf(ctx, reach.All(), "web", cmdb.RelationFilter{Limit: 10})
			if err != nil {
				w.t.Fatal(err)
			}
			var out []string
			for _, r := range p.Relations {
				out = append(out, r.Type+" "+r.Origin+" "+r.Actor)
			}
			return strings.Join(out, ", ")
		}
		want := func(what string, err, of error) {
			w.t.Helper()
			if !errors.Is(err, of) {
				w.t.Errorf("%s: %v, want %v", what, err, of)
			}
		}
		_, err := w.Accept(ctx, reach.Tenants("a"), "li", ids, "depends_on", "")
		want("one end is another's", err, ErrNotFound)
		_, err = w.Accept(ctx, reach.All(), "li", ids[:1], "calls", "")
		want("a type that hosts do not have", err, cmdb.ErrInvalid)
		_, err = w.Accept(ctx, reach.All(), "li", nil, "depends_on", "")
		want("nothing", err, ErrInvalid)
		if made, err := w.Accept(ctx, reach.Tenants("a"), "li", ids[:1], "depends_on", "seen"); err != nil || made != 1 || related() != "depends_on traffic li" {
			w.t.Errorf("accepted %d, %v: %s", made, err, related())
		}
		_, err = w.Accept(ctx, reach.All(), "li", ids[:1], "connects_to", "")
		want("once more", err, ErrInvalid)
		w.expect("accepted", reach.All(), Query{State: Accepted}, "accepted web>db tcp/5432=900")
		if err := w.Reopen(ctx, reach.All(), "li", ids[:1]); err != nil || related() != "" {
			w.t.Errorf("reopened: %v: %q", err, related())
		}

		// What somebody made by hand stays his, and is not made twice.
		link := cmdb.Link{From: "web", Type: "depends_on", To: "db"}
		if _, err := w.items.Relate(ctx, reach.All(), "wang", []cmdb.Link{link}); err != nil {
			w.t.Fatal(err)
		}
		if made, err := w.Accept(ctx, reach.All(), "li", ids[:1], "depends_on", ""); err != nil || made != 0 || related() != "depends_on manual wang" {
			w.t.Errorf("accepted what is there: %d, %v: %s", made, err, related())
		}

		if err := w.Reject(ctx, reach.All(), "li", ids[1:], "a scanner"); err != nil {
			w.t.Fatal(err)
		}
		w.look(flows("dmz", "10.0.0.1", "10.0.0.2", "5432", "7", 3))
		w.expect("rejected is not proposed again", reach.All(), Query{State: Waiting})
		w.expect("rejected", reach.All(), Query{State: Rejected}, "rejected web-dmz>db-dmz tcp/5432=14")
	})
}

// TestAge: what is silent for long is marked where somebody took it over, and
// forgotten where nobody did; what an item had is gone with it.
func TestAge(t *testing.T) {
	t.Parallel()
	onBoth(t, func(w *world) {
		ctx := w.t.Context()
		w.look(flows("office", "10.0.0.1", "10.0.0.2", "5432", "900", 3), flows("dmz", "10.0.0.1", "10.0.0.2", "5432", "7", 3), flows("office", "10.0.0.2", "10.0.0.1", "80", "7", 3))
		ids := w.expect("waiting", reach.All(), Query{}, "waiting db>web tcp/80=7", "waiting web>db tcp/5432=900", "waiting web-dmz>db-dmz tcp/5432=7")
		if _, err := w.Accept(ctx, reach.All(), "li", ids[1:2], "depends_on", ""); err != nil {
			w.t.Fatal(err)
		}
		w.expect("not silent yet", reach.All(), Query{Silent: true})
		w.now = start.AddDate(0, 0, DefaultPolicy.SilentDays+1)
		w.expect("silent", reach.All(), Query{Silent: true}, "accepted web>db tcp/5432=900")
		w.now = start.AddDate(0, 0, DefaultPolicy.ForgetDays+1)
		w.look()
		w.expect("forgotten", reach.All(), Query{}, "accepted web>db tcp/5432=900")
		if err := w.items.Unrelate(ctx, reach.All(), "li", cmdb.Link{From: "web", Type: "depends_on", To: "db"}); err != nil {
			w.t.Fatal(err)
		}
		if err := w.items.Delete(ctx, reach.All(), "li", "web"); err != nil {
			w.t.Fatal(err)
		}
		w.look()
		w.expect("gone", reach.All(), Query{})
	})
}

func TestPolicy(t *testing.T) {
	t.Parallel()
	if err := DefaultPolicy.Check(); err != nil {
		t.Error(err)
	}
	for _, change := range []func(*Policy){func(p *Policy) { p.Delay = -1 }, func(p *Policy) { p.MinFlows = 0 }, func(p *Policy) { p.SilentDays = 0 }, func(p *Policy) { p.ForgetDays = 4000 }} {
		p := DefaultPolicy
		change(&p)
		if p.Check() == nil {
			t.Errorf("%+v is taken", p)
		}
	}
}
