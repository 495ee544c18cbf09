package lake

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"icewatch/soc/event"
	"icewatch/soc/reach"
	"icewatch/soc/reach/reachtest"
	"icewatch/soc/search"
)

// known is a row as the oracle knows it.
type known struct {
	id    string
	facts reach.Facts
	user  string
	n     int
	extra string // a field that only some rows have
}

// isolation is a lake of several tenants with rows of all kinds of facts, and
// the oracle's own copy of them.
type isolation struct {
	t          testing.TB
	lake       *Lake
	town       *reachtest.Town
	rows       []known
	accounts   map[string]uint32
	start, end time.Time
}

func newIsolation(t testing.TB, rnd *rand.Rand, rows int) *isolation {
	s := &isolation{t: t, lake: openLake(t, t.TempDir()), accounts: map[string]uint32{}}
	t.Cleanup(func() { s.lake.Close() })
	var slugs []string
	for i := range 12 {
		slug := "t" + strconv.Itoa(i)
		slugs = append(slugs, slug)
		s.accounts[slug] = uint32(100 + i)
	}
	s.town = reachtest.NewTown(rnd, slugs...)
	reg := event.NewRegistry(0)
	user, number := mustIntern(t, reg, "user.name"), mustIntern(t, reg, "test.n")
	w := s.lake.NewWriter(reg)
	now := time.Now()
	s.start, s.end = now.Add(-2*time.Hour), now
	for i := range rows {
		slug := s.town.Slug(rnd)
		k := known{facts: s.town.Row(rnd, slug), user: "u" + strconv.Itoa(rnd.IntN(20)), n: rnd.IntN(1000)}
		ev := event.Event{ID: event.ID{Epoch: "e1", Sequence: uint64(i/10 + 1), Index: uint32(i % 10)},
			Time: now.Add(-time.Duration(rnd.IntN(3600)+1) * time.Second).UnixNano(), Created: now.UnixNano(), Tenant: slug, Raw: "secret of " + slug}
		k.id = ev.ID.String()
		ev.Set(event.EventDataset, "test.log")
		ev.Set(user, k.user)
		ev.Set(number, strconv.Itoa(k.n))
		for id, v := range map[event.FieldID]string{event.ReachUnit: k.facts.Unit, event.ReachRegion: k.facts.Region,
			event.ReachIndustry: k.facts.Industry, event.ReachLabels: reach.JoinLabels(k.facts.Labels)} {
			ev.Set(id, v)
		}
		if rnd.IntN(4) == 0 {
			k.extra = "extra." + strconv.Itoa(rnd.IntN(30))
			ev.Set(mustIntern(t, reg, k.extra), "x")
		}
		if err := w.Add(&ev, Space{Account: s.accounts[slug]}, "host-"+strconv.Itoa(rnd.IntN(2))); err != nil {
			t.Fatal(err)
		}
		s.rows = append(s.rows, k)
	}
	w.Flush()
	s.lake.Flush()
	return s
}

func mustIntern(t testing.TB, reg *event.Registry, name string) event.FieldID {
	id, ok := reg.Intern(name)
	if !ok {
		t.Fatal("the registry is full")
	}
	return id
}

// condition is a filter that the lake and the oracle both understand.
type condition struct {
	logsql string
	holds  func(known) bool
}

func randomCondition(rnd *rand.Rand) condition {
	user, n := "u"+strconv.Itoa(rnd.IntN(20)), rnd.IntN(1000)
	tenant := "t" + strconv.Itoa(rnd.IntN(12))
	all := []condition{
		{"*", func(known) bool { return true }},
		{`user.name:="` + user + `"`, func(k known) bool { return k.user == user }},
		{`!user.name:="` + user + `"`, func(k known) bool { return k.user != user }},
		{fmt.Sprintf("test.n:>%d", n), func(k known) bool { return k.n > n }},
		{`icewatch.tenant:="` + tenant + `"`, func(k known) bool { return k.facts.Tenant == tenant }},
		{`"` + fieldOf("region") + `":*`, func(k known) bool { return k.facts.Region != "" }},
		{`secret or ` + `*`, func(known) bool { return true }},
	}
	return all[rnd.IntN(len(all))]
}

// fieldOf is the field with a row's own region and the like.
func fieldOf(fact string) string { return "icewatch.reach." + fact }

// answer runs a query and returns its rows.
func (s *isolation) answer(r reach.Reach, query string) []map[string]string {
	s.t.Helper()
	var out []map[string]string
	err := s.lake.Rows(s.t.Context(), s.query(r, query), func(b []byte) error {
		m := map[string]string{}
		if err := json.Unmarshal(b, &m); err != nil {
			return err
		}
		out = append(out, m)
		return nil
	})
	if err != nil {
		s.t.Fatalf("%s within %s: %v", query, r.LogsQL(), err)
	}
	return out
}

func (s *isolation) query(r reach.Reach, query string) Query {
	slugs, all := r.TenantSlugs()
	if all {
		slugs = slices.Collect(maps.Keys(s.accounts))
	}
	q := Query{Filter: r.LogsQL(), LogsQL: query, Start: s.start, End: s.end, Limit: 100_000}
	for _, slug := range slugs {
		if id, ok := s.accounts[slug]; ok {
			q.Accounts = append(q.Accounts, id)
		}
	}
	return q
}

// seen is what the oracle lets through, of the rows that hold.
func (s *isolation) seen(x *reachtest.Term, holds func(known) bool) []known {
	var out []known
	for _, k := range s.rows {
		if x.Shows(s.town, k.facts) && holds(k) {
			out = append(out, k)
		}
	}
	return out
}

func counts(rows []known, of func(known) string) map[string]string {
	n := map[string]int{}
	for _, k := range rows {
		if v := of(k); v != "" {
			n[v]++
		}
	}
	out := map[string]string{}
	for k, v := range n {
		out[k] = strconv.Itoa(v)
	}
	return out
}

func userOf(k known) string { return k.user }
func idOf(k known) string   { return k.id }

// column reads answers as a map from one column to another; a column named ""
// counts rows.
func column(rows []map[string]string, key, value string) map[string]string {
	out := map[string]string{}
	n := map[string]int{}
	for _, r := range rows {
		n[r[key]]++
		out[r[key]] = r[value]
		if value == "" {
			out[r[key]] = strconv.Itoa(n[r[key]])
		}
	}
	return out
}

// Whatever is asked, in whatever way, the answer is what an oracle makes of the
// rows that the scope shows.
func TestIsolation(t *testing.T) {
	t.Parallel()
	rnd := reachtest.Random(t)
	s := newIsolation(t, rnd, 3000)
	directory := s.town.Directory()
	for range 25 {
		x := s.town.NewTerm(rnd, 3)
		e, err := reach.Parse(x.Text())
		if err != nil {
			t.Fatal(err)
		}
		s.check(rnd, e.Compile(directory), x)
		if t.Failed() {
			return
		}
	}
}

func (s *isolation) check(rnd *rand.Rand, r reach.Reach, x *reachtest.Term) {
	t := s.t
	c, d := randomCondition(rnd), randomCondition(rnd)
	f := func(query string, got, want map[string]string) {
		t.Helper()
		if !maps.Equal(got, want) {
			brief := func(m map[string]string) string { return fmt.Sprintf("%d: %.300s", len(m), fmt.Sprint(m)) }
			t.Errorf("scope %s\nfilter %s\nquery %s\nshows %s\nwant %s", x.Text(), r.LogsQL(), query, brief(got), brief(want))
		}
	}
	both := func(k known) bool { return c.holds(k) && d.holds(k) }
	first, second := s.seen(x, c.holds), s.seen(x, d.holds)
	users := map[string]bool{}
	for _, k := range second {
		users[k.user] = true
	}
	hasUser := func(k known) bool { return c.holds(k) && users[k.user] }

	number := func(n int) map[string]string {
		if r.Nothing() {
			return map[string]string{} // the lake is not even asked
		}
		return map[string]string{"": strconv.Itoa(n)}
	}
	ask := func(query string) []map[string]string { return s.answer(r, query) }
	f(c.logsql, column(ask(c.logsql), "event.id", ""), counts(first, idOf))
	for _, q := range []string{"(" + c.logsql + ") (" + d.logsql + ")", c.logsql + " | filter " + d.logsql, c.logsql + " | where (" + d.logsql + ")"} {
		f(q, column(ask(q), "event.id", ""), counts(s.seen(x, both), idOf))
	}
	q := c.logsql + " | stats by (user.name) count() n"
	f(q, column(ask(q), "user.name", "n"), counts(first, userOf))
	q = c.logsql + " | count() n"
	f(q, column(ask(q), "", "n"), number(len(first)))
	q = c.logsql + " | uniq by (user.name) with hits"
	f(q, column(ask(q), "user.name", "hits"), counts(first, userOf))
	q = c.logsql + " | top 1000 by (user.name) hits as n"
	f(q, column(ask(q), "user.name", "n"), counts(first, userOf))
	q = c.logsql + " | field_values user.name"
	f(q, column(ask(q), "user.name", "hits"), counts(first, userOf))
	for _, sub := range []string{"(" + c.logsql + ") user.name:in(" + d.logsql + " | fields user.name)",
		"(" + c.logsql + ") user.name:contains_any(" + d.logsql + " | fields user.name)",
		c.logsql + " | filter user.name:in(" + d.logsql + " | uniq by (user.name) | fields user.name)"} {
		if strings.Contains(sub, "contains_any") && len(users) == 0 {
			continue
		}
		f(sub, column(ask(sub), "event.id", ""), counts(s.seen(x, hasUser), idOf))
	}
	q = c.logsql + " | stats count() if (user.name:in(" + d.logsql + " | fields user.name)) n"
	f(q, column(ask(q), "", "n"), number(len(s.seen(x, hasUser))))
	q = "(" + c.logsql + ") !user.name:in(" + d.logsql + " | fields user.name)"
	f(q, column(ask(q), "event.id", ""), counts(s.seen(x, func(k known) bool { return c.holds(k) && !users[k.user] }), idOf))
	q = c.logsql + " | fields event.id | union (" + d.logsql + " | fields event.id)"
	f(q, column(ask(q), "event.id", ""), counts(slices.Concat(first, second), idOf))
	q = c.logsql + " | stats by (user.name) count() n | join by (user.name) (" + d.logsql + " | stats by (user.name) count() m) inner"
	want := counts(second, userOf)
	here := counts(first, userOf)
	maps.DeleteFunc(want, func(user, _ string) bool { return here[user] == "" })
	f(q, column(ask(q), "user.name", "m"), want)
	q = "_stream_id:in(" + d.logsql + " | fields _stream_id) | stats by (icewatch.tenant) count() n"
	for tenant := range column(ask(q), "icewatch.tenant", "n") {
		if !r.CoversTenant(tenant) {
			t.Errorf("scope %s: streams of the tenant %s", x.Text(), tenant)
		}
	}
	if len(first) > 0 {
		low, high := first[0].n, first[0].n
		for _, k := range first {
			low, high = min(low, k.n), max(high, k.n)
		}
		q = c.logsql + " | stats min(test.n) a, max(test.n) b, row_max(test.n, test.n) c"
		got := ask(q)[0]
		delete(got, "c")
		f(q, got, map[string]string{"a": strconv.Itoa(low), "b": strconv.Itoa(high)})
	}
	q = c.logsql + " | facets 100 max_values_per_field 5000 | filter field_name:=user.name"
	facets := column(ask(q), "field_value", "hits")
	if want := counts(first, userOf); len(want) > 1 {
		f(q, facets, want)
	}

	h, err := s.lake.Histogram(t.Context(), s.query(r, c.logsql), 20)
	var sum uint64
	for _, b := range h.Buckets {
		sum += b.Count
	}
	if err != nil || h.Total != uint64(len(first)) || sum != h.Total {
		t.Errorf("scope %s: %s: a histogram of %d, bars of %d, want %d: %v", x.Text(), c.logsql, h.Total, sum, len(first), err)
	}
	hits := func(list []search.ValueHits, err error) map[string]string {
		if err != nil {
			t.Errorf("scope %s: %s: %v", x.Text(), c.logsql, err)
		}
		out := map[string]string{}
		for _, v := range list {
			out[v.Value] = strconv.FormatUint(v.Hits, 10)
		}
		return out
	}
	f("values of user.name", hits(s.lake.Values(t.Context(), s.query(r, c.logsql), "user.name", 1000)), counts(first, userOf))
	fields := hits(s.lake.Fields(t.Context(), s.query(r, c.logsql), 5000))
	maps.DeleteFunc(fields, func(name, _ string) bool { return !strings.HasPrefix(name, "extra.") })
	extra := func(k known) string { return k.extra }
	if r.LogsQL() != "" {
		f("fields", fields, counts(first, extra))
	} else {
		// Without rows to hide the library may count whole blocks.
		for name := range fields {
			if counts(first, extra)[name] == "" && c.logsql == "*" {
				t.Errorf("scope %s: the field %s of nobody", x.Text(), name)
			}
		}
	}
	for range 10 {
		k := s.rows[rnd.IntN(len(s.rows))]
		asked := s.query(r, "")
		_, err := s.lake.Event(t.Context(), asked.Accounts, asked.Filter, k.id)
		if visible := x.Shows(s.town, k.facts); visible != (err == nil) || err != nil && !errors.Is(err, search.ErrNotFound) {
			t.Errorf("scope %s: the event %+v by its id: %v, want visible %v", x.Text(), k, err, visible)
		}
	}
	for _, pipe := range []string{"field_names", "block_stats", "blocks_count", "stream_context before 5", "BLOCK_STATS", "pack_logfmt as x", "union (* | field_names)"} {
		err := s.lake.Rows(t.Context(), s.query(r, "* | "+pipe), func([]byte) error { return nil })
		var qe *search.QueryError
		if r.LogsQL() != "" && !errors.As(err, &qe) {
			t.Errorf("scope %s: %s: %v, want a refusal", x.Text(), pipe, err)
		}
	}
}

// FuzzQuery asks what nobody thought of: no answer names a row out of reach.
func FuzzQuery(f *testing.F) {
	rnd := rand.New(rand.NewPCG(7, 7))
	s := newIsolation(f, rnd, 500)
	for _, q := range []string{"*", "secret", "* or !*", `user.name:in(*|fields user.name)`, "* | stats by (event.id) count()", "* | union (*)", "!(secret)",
		"* | fields event.id | join by (user.name) (*) prefix x", "_stream_id:in(*|fields _stream_id)", "{event.dataset=\"test.log\"}", "options(ignore_global_time_filter=true) *",
		"* | stats row_any(*) x", "* | pack_json as x | fields x", "* | stats json_values(*) x", "* | stats uniq_values(event.id) x", "* | first 10 by (test.n)", "* | sort by (test.n) rank r"} {
		f.Add(q)
	}
	const expression = `region in ("a", "b") or label = "ab" and tenant != "t3"`
	e, err := reach.Parse(expression)
	if err != nil {
		f.Fatal(err)
	}
	r := e.Compile(s.town.Directory())
	hidden := map[string]bool{}
	for _, k := range s.rows {
		if !r.Match(k.facts) {
			hidden[k.id] = true
		}
	}
	f.Fuzz(func(t *testing.T, query string) {
		if len(query) > 1000 {
			return
		}
		_ = s.lake.Rows(t.Context(), s.query(r, query), func(row []byte) error {
			for _, word := range strings.FieldsFunc(string(row), func(r rune) bool { return !strings.ContainsRune("e-0123456789", r) }) {
				if hidden[word] && !strings.Contains(query, word) {
					t.Fatalf("%q shows %s", query, row)
				}
			}
			return nil
		})
	})
}

// What a scope adds to a query, which is parsed and run either way.
func BenchmarkReach(b *testing.B) {
	rnd := rand.New(rand.NewPCG(1, 1))
	s := newIsolation(b, rnd, 20_000)
	e, err := reach.Parse(`organisation under ("u0", "u3") or region in ("a", "b", "4403") and label != "ab"`)
	if err != nil {
		b.Fatal(err)
	}
	for name, r := range map[string]reach.Reach{"whole": reach.All(), "scope": e.Compile(s.town.Directory())} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				if len(s.answer(r, "* | stats by (user.name) count() n")) == 0 {
					b.Fatal("no answer")
				}
			}
		})
	}
}
