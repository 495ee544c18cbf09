package reach_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"icewatch/soc/reach"
	"icewatch/soc/reach/reachtest"
	"icewatch/soc/state"
)

// town is a small city: a bureau with two units below it, one of them with a
// post of its own, and a hospital beside them.
func town() *reach.Directory {
	return reach.NewDirectory([]reach.Tenant{
		{Slug: "police", Unit: "u1", Region: "futian", Labels: []string{"core"}},
		{Slug: "traffic", Unit: "u2"},
		{Slug: "patrol", Unit: "u3", Region: "nanshan"},
		{Slug: "hospital", Unit: "u9", Industry: "health", Labels: []string{"citizen", "24h"}},
		{Slug: "city"},
	}, []reach.Unit{
		{ID: "u1", Code: "gaj", Names: []string{"公安局", "Public security"}, Region: "city", Industry: "security"},
		{ID: "u2", Parent: "u1", Code: "jt", Names: []string{"交通支队"}, Region: "luohu"},
		{ID: "u3", Parent: "u2", Names: []string{"巡逻岗"}},
		{ID: "u9", Names: []string{"市医院"}, Region: "futian"},
	})
}

func TestMeaning(t *testing.T) {
	t.Parallel()
	d := town()
	rows := []reach.Facts{
		{Tenant: "police"}, {Tenant: "traffic"}, {Tenant: "patrol"}, {Tenant: "hospital"}, {Tenant: "city"},
		{Tenant: "city", Unit: "u3", Region: "nanshan", Industry: "health", Labels: []string{"core", "北区"}},
		{Tenant: "police", Unit: "gone", Region: "luohu"},
	}
	f := func(text string, want ...int) {
		t.Helper()
		e, err := reach.Parse(text)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			return
		}
		got := []int{}
		r := e.Compile(d)
		for i, row := range rows {
			if r.Match(row) {
				got = append(got, i)
			}
		}
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("%s shows %v, want %v", text, got, want)
		}
	}
	f(`organisation = "u1"`, 0)
	f(`organisation = gaj`, 0)
	f(`organisation under u1`, 0, 1, 2, 5)
	f(`organisation under ("u2", "u9")`, 1, 2, 3, 5)
	f(`organisation under nobody`)
	f(`organisation = "gone"`, 6)
	f(`organisation not under gaj`, 3, 4, 6)
	f(`organisation contains "公安"`, 0)
	f(`organisation exists`, 0, 1, 2, 3, 5, 6)
	f(`organisation not exists`, 4)
	f(`region = futian`, 0, 3)             // the hospital's from its unit
	f(`region = "luohu"`, 1, 6)            // the traffic's from its unit, the last its own
	f(`region != "futian"`, 1, 2, 4, 5, 6) // none is not futian either
	f(`region contains "an"`, 0, 2, 3, 5)
	f(`region not contains "an" and region exists`, 1, 6)
	f(`industry in ("health","security")`, 0, 1, 2, 3, 5, 6)
	f(`industry not in ("health")`, 0, 1, 2, 4, 6)
	f(`tenant = "city"`, 4, 5)
	f(`tenant contains "p"`, 0, 2, 3, 6)
	f(`tenant exists`, 0, 1, 2, 3, 4, 5, 6)
	f(`label = core`, 0, 5, 6)
	f(`label = "cor"`)
	f(`label contains "cor"`, 0, 5, 6)
	f(`label contains "区"`, 5)
	f(`label contains ";"`)
	f(`label = "24h"`, 3)
	f(`label != "core"`, 1, 2, 3, 4)
	f(`label not exists`, 1, 2, 4)
	f(`tenant = "city" and label = "core" or tenant = "patrol"`, 2, 5)
	f(`tenant = "city" and (label = "core" or tenant = "patrol")`, 5)
	f(`not (tenant = "city" or label = "core")`, 1, 2, 3)
	f(`not not region = "futian"`, 0, 3)
	f(`region = "a" and region != "a"`)
}

func TestTenantsAreWholeInPartOrNot(t *testing.T) {
	t.Parallel()
	f := func(text, whole, part, logsql string) {
		t.Helper()
		e, err := reach.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		r := e.Compile(town())
		var wholes, parts []string
		slugs, _ := r.TenantSlugs()
		for _, s := range slugs {
			if r.CoversWhole(s) {
				wholes = append(wholes, s)
			} else {
				parts = append(parts, s)
			}
		}
		if strings.Join(wholes, " ") != whole || strings.Join(parts, " ") != part {
			t.Errorf("%s: wholly %v, in part %v; want %s and %s", text, wholes, parts, whole, part)
		}
		if got := r.LogsQL(); got != logsql {
			t.Errorf("%s: %s\nwant %s", text, got, logsql)
		}
	}
	f(`tenant in ("city", "patrol")`, "city patrol", "", "")
	f(`label = "citizen"`, "hospital", "city patrol police traffic",
		`(("icewatch.tenant":in("hospital")) or ("icewatch.tenant":in("city","patrol","police","traffic") and "icewatch.reach.labels":~";(?:citizen);"))`)
	f(`tenant != "city" and region = "futian"`, "", "hospital patrol police traffic",
		`(("icewatch.tenant":in("patrol","traffic") and "icewatch.reach.region":in("futian")) or ("icewatch.tenant":in("hospital","police") and ("icewatch.reach.region":"" or "icewatch.reach.region":in("futian"))))`)
	f(`tenant = "city" and not (region = "a\"b" or industry contains ".*")`, "", "city",
		`!(("icewatch.reach.region":in("a\"b") or "icewatch.reach.industry":~"(?:\\.\\*)"))`)
	f(`tenant = "nobody"`, "", "", "")
}

func TestAlgebra(t *testing.T) {
	t.Parallel()
	var zero reach.Reach
	if !zero.Nothing() || zero.Match(reach.Facts{}) || zero.CoversTenant("") || !reach.None().Nothing() || !reach.Tenants().Nothing() {
		t.Error("the zero value shows something")
	}
	if slugs, all := zero.TenantSlugs(); slugs == nil || len(slugs) != 0 || all {
		t.Error("the zero value names tenants")
	}
	all := reach.All()
	if !all.Everything() || !all.Match(reach.Facts{Tenant: "x"}) || !all.CoversWhole("x") || all.LogsQL() != "" {
		t.Error("All does not show everything")
	}
	a, ab := reach.Tenants("a"), reach.Tenants("a", "b")
	f := func(r reach.Reach, want ...string) {
		t.Helper()
		if slugs, all := r.TenantSlugs(); all || !slices.Equal(slugs, want) {
			t.Errorf("%v, want %v", slugs, want)
		}
	}
	f(ab.And(a), "a")
	f(all.And(ab), "a", "b")
	f(ab.And(all), "a", "b")
	f(ab.Narrow([]string{"b", "c"}), "b")
	f(all.Narrow([]string{"c"}), "c")
	f(a.And(reach.Tenants("b")), []string{}...)
	f(a.And(zero), []string{}...)
	keys := map[string]bool{}
	for _, r := range []reach.Reach{zero, all, a, ab} {
		keys[r.Key()] = true
	}
	if len(keys) != 4 || ab.Key() != reach.Tenants("b", "a", "a").Key() {
		t.Error("the keys do not tell the reaches apart", keys)
	}
	if reach.JoinLabels([]string{"b", "a;c", "", "a", "b"}) != ";a;b;" || reach.JoinLabels([]string{";"}) != "" || !slices.Equal(reach.SplitLabels(";a;b;"), []string{"a", "b"}) || len(reach.SplitLabels("")) != 0 {
		t.Error("labels are not joined and split alike")
	}
}

func TestSyntaxErrors(t *testing.T) {
	t.Parallel()
	f := func(text string, at int, want string) {
		t.Helper()
		_, err := reach.Parse(text)
		var se *reach.SyntaxError
		if !errors.As(err, &se) {
			t.Errorf("%q: %v", text, err)
			return
		}
		if se.Position != at || !strings.Contains(se.Reason, want) {
			t.Errorf("%q: at %d: %s; want at %d: …%s…", text, se.Position, se.Reason, at, want)
		}
	}
	f("", 0, "organisation, region, industry, tenant or label, not the end")
	f("colour = red", 0, `not "colour"`)
	f(`"region" = red`, 0, "not the value")
	f("region", 6, "want =, !=, in, not in, under, contains or exists after region, not the end")
	f("region like x", 7, `not "like"`)
	f("region under x", 7, "only an organisation")
	f("region = ", 9, "want a value, not the end")
	f(`region = ""`, 9, "region not exists")
	f("region = not", 9, `quote it if it is meant: "not"`)
	f("region = (a)", 9, "one value")
	f("region in a", 10, "list of values in brackets")
	f("region in ()", 11, "want a value")
	f("region in (a b)", 13, "want , or )")
	f("region not = a", 11, "after region not")
	f("(region = a", 11, "for the ( at character 1")
	f("地区 = a", 0, `not "地区"`)
	f(`region = "福田" region = b`, 14, "want and, or, or the end")
	f(`region = "a`, 9, "not closed")
	f("region = \"a\nb\"", 11, "control character")
	f("region = a & b", 11, "has no meaning")
	f("region = a\xff", 0, "UTF-8")
	f(strings.Repeat("(", 51)+"region = a"+strings.Repeat(")", 51), 50, "deep")
	f(strings.Repeat("not ", 60)+"region = a", 200, "deep")
	f(strings.Repeat("x", reach.MaxText+1), 0, "16384")
}

func TestCanonical(t *testing.T) {
	t.Parallel()
	f := func(text, want string) {
		t.Helper()
		e, err := reach.Parse(text)
		if err != nil {
			t.Errorf("%s: %v", text, err)
		} else if got := e.String(); got != want {
			t.Errorf("%s\nis  %s\nwant %s", text, got, want)
		}
	}
	f("REGION   In ( a )", `region = "a"`)
	f("NOT region = a AND not label exists", `region != "a" and label not exists`)
	f("region not in (a,'b',a)", `region not in ("a", "b")`)
	f("(region=a)or((region=b))", `region = "a" or region = "b"`)
	f("(region=a or region=b) and tenant contains c", `(region = "a" or region = "b") and tenant contains "c"`)
	f("not (region=a or region=b)", `not (region = "a" or region = "b")`)
	f("not not not region=a", `region != "a"`)
	f(`label = "say \"hi\" \\ 你好"`, `label = "say \"hi\" \\ 你好"`)
	f("label in（“甲”，乙、丙）", `label in ("甲", "乙", "丙")`)
	f("organisation not under (a, b)", `organisation not under ("a", "b")`)
}

// What Match and SQL let through equals what the oracle does, for any scopes,
// and the canonical form means the same.
func TestEqualsOracle(t *testing.T) {
	t.Parallel()
	rnd := reachtest.Random(t)
	db, err := state.Open(t.Context(), filepath.Join(t.TempDir(), "a.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.ExecContext(t.Context(), "CREATE TABLE facts (town INTEGER, row INTEGER, tenant TEXT, unit TEXT, region TEXT, industry TEXT, labels TEXT)"); err != nil {
		t.Fatal(err)
	}
	var (
		town *reachtest.Town
		d    *reach.Directory
		rows []reach.Facts
	)
	compile := func(x *reachtest.Term) (reach.Reach, reach.Reach) {
		e, err := reach.Parse(x.Text())
		if err != nil {
			t.Fatalf("%s: %v", x.Text(), err)
		}
		again, err := reach.Parse(e.String())
		if err != nil || again.String() != e.String() {
			t.Fatalf("%s is written %s and then %s: %v", x.Text(), e, again, err)
		}
		return e.Compile(d), again.Compile(d)
	}
	for round := range 300 {
		if round%20 == 0 {
			town = reachtest.NewTown(rnd, "t0", "t1", "t2", "t3", "t4")
			d, rows = town.Directory(), nil
			for i := range 60 {
				r := town.Row(rnd, town.Slug(rnd))
				rows = append(rows, r)
				if _, err := db.ExecContext(t.Context(), "INSERT INTO facts VALUES (?, ?, ?, ?, ?, ?, ?)", round, i, r.Tenant, r.Unit, r.Region, r.Industry, reach.JoinLabels(r.Labels)); err != nil {
					t.Fatal(err)
				}
			}
		}
		x, y := town.NewTerm(rnd, 4), town.NewTerm(rnd, 1)
		first, again := compile(x)
		other, _ := compile(y)
		for _, r := range []reach.Reach{first, again} {
			r = r.And(other)
			var want, got []int
			for i, row := range rows {
				visible := x.Shows(town, row) && y.Shows(town, row)
				if visible {
					want = append(want, i)
				}
				if got := r.Match(row); got != visible {
					t.Fatalf("%s\nand %s\nshow %+v: %v, want %v", x.Text(), y.Text(), row, got, visible)
				}
				if visible && !r.CoversTenant(row.Tenant) || !visible && r.CoversWhole(row.Tenant) {
					t.Fatalf("%s: wrong about the tenant %s", x.Text(), row.Tenant)
				}
			}
			where, args := r.SQL(reach.Columns{Tenant: "tenant", Unit: "unit", Region: "region", Industry: "industry", Labels: "labels"})
			if err := db.NewSelect().Table("facts").Column("row").Where("town = ?", round-round%20).Where(where, args...).Order("row").Scan(t.Context(), &got); err != nil {
				t.Fatalf("%s: %v", where, err)
			}
			if !slices.Equal(got, want) {
				t.Fatalf("%s\nand %s\nSQL %s %v\nrows %v, want %v", x.Text(), y.Text(), where, args, got, want)
			}
		}
	}
}

func FuzzParse(f *testing.F) {
	rnd := rand.New(rand.NewPCG(1, 2))
	for range 30 {
		f.Add(reachtest.NewTown(rnd, "city", "police").NewTerm(rnd, 3).Text())
	}
	f.Add("label in（“甲”，乙、丙）")
	f.Add(`region = "a\"` + "\x00")
	d := town()
	f.Fuzz(func(t *testing.T, text string) {
		e, err := reach.Parse(text)
		if err != nil {
			var se *reach.SyntaxError
			if !errors.As(err, &se) || se.Position < 0 || se.Position > len(text) || se.Reason == "" {
				t.Fatalf("%q: %#v", text, err)
			}
			return
		}
		again, err := reach.Parse(e.String())
		if err != nil || again.String() != e.String() {
			t.Fatalf("%q is written %q and then %q: %v", text, e, again, err)
		}
		a, b := e.Compile(d), again.Compile(d)
		if a.Key() != b.Key() {
			t.Fatalf("%q does not mean what its canonical form %q does", text, e)
		}
		for _, row := range []reach.Facts{{Tenant: "city", Unit: "u2"}, {Tenant: "police", Region: "x", Labels: []string{"a"}}} {
			if a.Match(row) && !a.CoversTenant(row.Tenant) {
				t.Fatalf("%q shows a row of a tenant it does not cover", text)
			}
		}
	})
}

func TestCompiler(t *testing.T) {
	t.Parallel()
	var c reach.Compiler
	if r, err := c.Reach(nil, `tenant exists`); err != nil || !r.Nothing() {
		t.Errorf("without a directory: %v %v", r.Key(), err)
	}
	c.SetDirectory(town())
	f := func(want string, tenants []string, expressions ...string) {
		t.Helper()
		for range 2 { // once compiled, once kept
			r, err := c.Reach(tenants, expressions...)
			slugs, all := r.TenantSlugs()
			if got := strings.Join(slugs, " "); err != nil || got != want && !(all && want == "*") {
				t.Errorf("%v %q: %v %v, want %s", tenants, expressions, slugs, err, want)
			}
		}
	}
	f("*", nil)
	f("*", nil, "", " ")
	f("", []string{})
	f("a police", []string{"police", "a"})
	f("police", []string{"police", "a"}, "tenant exists")
	f("city police", nil, `tenant in ("city", "police", "patrol")`, "", `tenant != "patrol"`)
	if r, err := c.Reach(nil, "tenant exists", "tenant ="); err == nil || !r.Nothing() {
		t.Error("a wrong expression shows something")
	}
	c.SetDirectory(reach.NewDirectory([]reach.Tenant{{Slug: "new"}}, nil))
	f("new", nil, `tenant not in ("city")`)
	if e, err := reach.Parse(`organisation under gaj and not organisation = "u9" or organisation = nobody`); err != nil || !slices.Equal(e.Units(town()), []string{"u1", "u2", "u3", "u9"}) {
		t.Errorf("units: %v %v", e.Units(town()), err)
	}
	e, err := reach.Parse(`organisation under ("gaj", "gajj") and tenant in ("police", "polis") and region = "any"`)
	if got := e.Unknown(town()); err != nil || !slices.Equal(got, []string{"gajj", "polis"}) {
		t.Errorf("unknown names: %v", got)
	}
}

// TestRemoved: what is removed is in nobody's reach, by whatever way it is asked.
func TestRemoved(t *testing.T) {
	t.Parallel()
	var c reach.Compiler
	c.SetDirectory(reach.NewDirectory([]reach.Tenant{{Slug: "a"}, {Slug: "b"}}, nil).WithRemoved("gone", "lost"))
	columns := reach.Columns{Tenant: "t"}
	f := func(r reach.Reach, err error, everything bool, where string) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		for _, slug := range []string{"gone", "lost"} {
			if r.CoversTenant(slug) || r.CoversWhole(slug) || r.Match(reach.Facts{Tenant: slug}) || !r.Narrow([]string{slug}).Nothing() || !reach.Tenants(slug).And(r).Nothing() {
				t.Errorf("%s: %s is in it", r.Key(), slug)
			}
		}
		if r.Everything() != everything || everything && !(r.CoversTenant("a") && r.CoversWhole("to come") && r.Match(reach.Facts{Tenant: "b"}) && r.Narrow([]string{"a"}).CoversWhole("a")) {
			t.Errorf("%s: everything %v, want %v, with all that is left", r.Key(), r.Everything(), everything)
		}
		if got, args := r.SQL(columns); got != where || strings.Count(got, "?") != len(args) {
			t.Errorf("%s: %s %v, want %s", r.Key(), got, args, where)
		}
	}
	r, err := c.Reach(nil)
	f(r, err, true, "(t NOT IN (?, ?))")
	f(r.And(reach.All()), nil, true, "(t NOT IN (?, ?))")
	f(reach.All().And(r), nil, true, "(t NOT IN (?, ?))")
	f(r.WithLogs("x"), nil, true, "(t NOT IN (?, ?))")
	if logs := r.WithLogs("x").LogsQL(); logs != "x" {
		t.Errorf("the filter of logs is %q", logs)
	}
	if r.Key() == reach.All().Key() || r.Key() == reach.All().Without("gone").Key() {
		t.Errorf("the key %q is also another reach's", r.Key())
	}
	r, err = c.Reach([]string{"gone", "a"})
	f(r, err, false, "((t IN (?)))")
	r, err = c.Reach([]string{"gone"})
	f(r, err, false, "1 = 0")
	r, err = c.Reach(nil, "tenant exists")
	f(r, err, false, "((t IN (?, ?)))")
}

func BenchmarkMatch(b *testing.B) {
	e, err := reach.Parse(`(organisation under "u1" or industry = "health") and region not in ("nanshan", "luohu") and label != "test"`)
	if err != nil {
		b.Fatal(err)
	}
	r := e.Compile(town())
	row := reach.Facts{Tenant: "city", Unit: "u3", Region: "futian", Labels: []string{"core", "北区"}}
	b.ReportAllocs()
	for b.Loop() {
		if !r.Match(row) {
			b.Fatal("not visible")
		}
	}
}

// A city of 10,000 units and 50 tenants.
func BenchmarkCompile(b *testing.B) {
	var units []reach.Unit
	for i := range 10_000 {
		units = append(units, reach.Unit{ID: "unit-" + strconv.Itoa(i), Parent: "unit-" + strconv.Itoa(i/10)})
	}
	units[0].Parent = ""
	var tenants []reach.Tenant
	for i := range 50 {
		tenants = append(tenants, reach.Tenant{Slug: "t" + strconv.Itoa(i), Unit: "unit-" + strconv.Itoa(i*7)})
	}
	d := reach.NewDirectory(tenants, units)
	b.Run("anew", func(b *testing.B) {
		for b.Loop() {
			e, _ := reach.Parse(`organisation under "unit-3" and region not in ("nanshan", "luohu")`)
			if e.Compile(d).LogsQL() == "" {
				b.Fatal("nothing compiled")
			}
		}
	})
	b.Run("kept", func(b *testing.B) {
		var c reach.Compiler
		c.SetDirectory(d)
		for b.Loop() {
			if r, err := c.Reach(nil, `organisation under "unit-3"`, `region not in ("nanshan", "luohu")`); err != nil || r.Nothing() {
				b.Fatal(err)
			}
		}
	})
}

// The longest expression there may be must not keep a processor busy.
func TestLongExpression(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	for i := 0; b.Len() < reach.MaxText-64; i++ {
		if i > 0 {
			b.WriteString(" or ")
		}
		b.WriteString("region=r" + strconv.Itoa(i) + " and label=x")
	}
	e, err := reach.Parse(b.String())
	if err != nil {
		t.Fatal(err)
	}
	var tenants []reach.Tenant
	for i := range 50 {
		tenants = append(tenants, reach.Tenant{Slug: "t" + strconv.Itoa(i)})
	}
	began := time.Now()
	r := e.Compile(reach.NewDirectory(tenants, nil))
	if took := time.Since(began); took > time.Second {
		t.Errorf("compiled in %s", took)
	}
	if !r.Match(reach.Facts{Tenant: "t7", Region: "r3", Labels: []string{"x"}}) || r.Match(reach.Facts{Tenant: "t7", Region: "r3"}) {
		t.Error("it means something else")
	}
}

// A scope over the whole of a large city's tree becomes long filters; the
// relational state must still take them, two at once.
func TestManyUnits(t *testing.T) {
	t.Parallel()
	var list []reach.Unit
	for i := range 10_000 {
		list = append(list, reach.Unit{ID: "unit-with-a-long-id-" + strconv.Itoa(i), Parent: "unit-with-a-long-id-" + strconv.Itoa(i/10)})
	}
	list[0].Parent = ""
	var c reach.Compiler
	c.SetDirectory(reach.NewDirectory([]reach.Tenant{{Slug: "a", Unit: list[7].ID}, {Slug: "b"}}, list))
	r, err := c.Reach(nil, `organisation under "unit-with-a-long-id-0"`, `organisation not under "unit-with-a-long-id-99"`)
	if err != nil {
		t.Fatal(err)
	}
	db, err := state.Open(t.Context(), filepath.Join(t.TempDir(), "a.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	for _, stmt := range []string{"CREATE TABLE f (tenant TEXT, reach_unit TEXT, reach_region TEXT, reach_industry TEXT, reach_labels TEXT)",
		"INSERT INTO f VALUES ('a', '', '', '', ''), ('a', 'unit-with-a-long-id-995', '', '', ''), ('b', '', '', '', ''), ('b', 'unit-with-a-long-id-12', '', '', '')"} {
		if _, err := db.ExecContext(t.Context(), stmt); err != nil {
			t.Fatal(err)
		}
	}
	n, err := r.Within(db.NewSelect().Table("f"), "f").Count(t.Context())
	if err != nil || n != 2 {
		t.Errorf("%d rows, %.300v; want the two of the tree but for the branch", n, err)
	}
}

// A reach cannot be made from outside: what cannot be decoded shows nothing.
func TestNotDecoded(t *testing.T) {
	t.Parallel()
	var r reach.Reach
	if err := json.Unmarshal([]byte(`{"v":{"all":true}}`), &r); err != nil || !r.Nothing() {
		t.Errorf("decoded: %v", err)
	}
}
