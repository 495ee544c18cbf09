package traffic

import (
	"errors"
	"strings"
	"testing"

	"icewatch/cmdb/cmdbtest"
	"icewatch/soc/reach"
)

// TestTopology: who talks to whom is asked for by port, protocol, volume, system,
// words and days, sorted and page by page, and people write beside it what they
// know.
func TestTopology(t *testing.T) {
	t.Parallel()
	onBoth(t, func(w *world) {
		ctx := w.t.Context()
		cmdbtest.Import(w.t, w.items, `{"id":"pay","class":"business_system","name":"payments","tenant":"a"}
{"id":"secret","class":"business_system","name":"secret","tenant":"b"}
{"id":"web","class":"host","name":"web","tenant":"a","system":"pay"}
{"id":"db-dmz","class":"host","name":"db-dmz","tenant":"b","system":"secret"}`)
		dns := flows("office", "10.0.0.2", "10.0.0.1", "53", "40", 9)
		dns["network.iana_number"] = "17"
		w.look(flows("office", "10.0.0.1", "10.0.0.2", "5432", "900", 3), flows("dmz", "10.0.0.1", "10.0.0.2", "443", "70", 5), dns)
		web, dmz, back := "waiting web>db tcp/5432=900", "waiting web-dmz>db-dmz tcp/443=70", "waiting db>web udp/53=40"
		ids := w.expect("all", reach.All(), Query{}, back, web, dmz)
		all := reach.All()
		w.expect("by port", all, Query{Port: 443}, dmz)
		w.expect("by another port that begins alike", all, Query{Port: 44})
		w.expect("by protocol", all, Query{Protocol: "udp"}, back)
		w.expect("by both", all, Query{Port: 53, Protocol: "tcp"})
		w.expect("by a protocol that is none", all, Query{Protocol: `tcp","x":"`})
		w.expect("by volume", all, Query{MinBytes: 71}, web)
		w.expect("by system", all, Query{System: "secret"}, dmz)
		w.expect("by words", all, Query{Text: "WEB dmz"}, dmz)
		w.expect("the largest last", all, Query{Sort: "bytes"}, web, dmz, back) // expect turns it round
		w.expect("most flows first", all, Query{Sort: "-flows"}, web, dmz, back)
		for _, q := range []Query{{Sort: "name"}, {Days: MaxDays + 1}, {Port: 70000}, {Cursor: "x"}, {Cursor: "1:"}, {MinBytes: -1}} {
			if _, err := w.List(ctx, all, q); !errors.Is(err, ErrInvalid) {
				w.t.Errorf("%+v: %v", q, err)
			}
		}
		var paged []string
		for q := (Query{Sort: "-bytes", Limit: 1}); ; {
			p, err := w.List(ctx, all, q)
			if err != nil || p.Total != 3 || len(paged) > 3 {
				w.t.Fatal(err, p.Total, paged)
			}
			for _, x := range p.Proposals {
				paged = append(paged, x.From.Name)
			}
			if q.Cursor = p.Next; q.Cursor == "" {
				break
			}
		}
		if got := strings.Join(paged, " "); got != "web web-dmz db" {
			w.t.Errorf("page by page: %s", got)
		}

		// Systems are named where they are within reach.
		page, err := w.List(ctx, all, Query{Item: "web", Limit: 10, Sort: "-bytes"})
		if err != nil || page.Proposals[0].FromSystem == nil || page.Proposals[0].FromSystem.Name != "payments" || page.Proposals[0].ToSystem != nil {
			w.t.Errorf("systems: %+v, %v", page.Proposals, err)
		}

		// What it was in the last days, and on each.
		w.now = w.now.AddDate(0, 0, 2)
		later := flows("office", "10.0.0.1", "10.0.0.2", "5432", "100", 1)
		later["first"], later["last"] = w.now.Format("2006-01-02T15:04:05Z07:00"), w.now.Format("2006-01-02T15:04:05Z07:00")
		w.look(later)
		page, err = w.List(ctx, all, Query{Days: 1, Limit: 10, Sort: "-bytes"})
		if err != nil || page.Total != 1 || page.Proposals[0].Bytes != 100 || page.Proposals[0].Flows != 1 {
			w.t.Errorf("of today: %+v, %v", page, err)
		}
		page, err = w.List(ctx, all, Query{Days: 3, Limit: 2, Sort: "-bytes"})
		if err != nil || page.Total != 3 || page.Proposals[0].Bytes != 1000 || page.Next == "" {
			w.t.Errorf("of three days: %+v, %v", page, err)
		}
		w.expect("of three days, large ones", all, Query{Days: 3, MinBytes: 1000}, "waiting web>db tcp/5432=1000")
		days, err := w.Days(ctx, all, ids[1])
		if err != nil || len(days) != MaxDays || days[MaxDays-1].Bytes != 100 || days[MaxDays-3].Bytes != 900 || days[MaxDays-2].Bytes != 0 {
			w.t.Errorf("days: %+v, %v", days, err)
		}
		if _, err := w.Days(ctx, reach.Tenants("a"), ids[2]); !errors.Is(err, ErrNotFound) {
			w.t.Errorf("the days of an edge that ends beyond reach: %v", err)
		}
		w.now = w.now.AddDate(0, 0, MaxDays+1)
		w.look()
		if n, err := w.db.NewSelect().Model((*dayRow)(nil)).Count(ctx); n != 0 || err != nil {
			w.t.Errorf("%d days are kept that are long over: %v", n, err)
		}

		// Annotations outlive decisions, and are nobody's who sees one end alone.
		if err := w.Annotate(ctx, reach.Tenants("a"), "li", ids[2:], "x"); !errors.Is(err, ErrNotFound) {
			w.t.Errorf("annotated beyond reach: %v", err)
		}
		if err := w.Annotate(ctx, all, "li", ids[1:2], strings.Repeat("长", maxNote+1)); !errors.Is(err, ErrInvalid) {
			w.t.Errorf("too long: %v", err)
		}
		if err := w.Annotate(ctx, all, "li", ids[1:2], " 夜间备份 "); err != nil {
			w.t.Fatal(err)
		}
		if err := w.Reject(ctx, all, "li", ids[1:2], "no"); err != nil {
			w.t.Fatal(err)
		}
		page, err = w.List(ctx, all, Query{Annotated: true, Text: "备份", Limit: 10})
		if err != nil || page.Total != 1 || page.Proposals[0].Annotation != "夜间备份" || page.Proposals[0].AnnotatedBy != "li" || page.Proposals[0].AnnotatedAt == nil {
			w.t.Errorf("annotated: %+v, %v", page, err)
		}
		if err := w.Annotate(ctx, all, "li", ids[1:2], ""); err != nil {
			w.t.Fatal(err)
		}
		w.expect("taken away", all, Query{Annotated: true})
	})
}
