package cmdb

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"testing"
	"testing/fstest"

	"golang.org/x/text/encoding/simplifiedchinese"
	"golang.org/x/text/encoding/unicode"

	"icewatch/soc/enrich"
	"icewatch/soc/event"
	"icewatch/soc/state"
	"icewatch/soc/tenancy"
	"icewatch/tenants"
)

func catalogue(slugs ...string) fs.FS {
	m := fstest.MapFS{}
	for _, s := range slugs {
		m[s+"/tenant.yaml"] = &fstest.MapFile{Data: []byte("slug: " + s + "\nname: {zh: " + s + "应用, en: App " + s + "}\ndomain: test\nprotection_level: 3\nsubsystems:\n  - {zh: 子, en: Sub}\n")}
	}
	return m
}

// open opens a CMDB at path with these tenants.
func open(t testing.TB, path string, cat fs.FS) *Service {
	t.Helper()
	ctx := context.Background()
	db, err := state.Open(ctx, path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	reg, err := tenancy.Open(ctx, db, cat)
	if err != nil {
		t.Fatal(err)
	}
	s, err := Open(ctx, db, reg)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func openNew(t testing.TB, slugs ...string) *Service {
	t.Helper()
	return open(t, filepath.Join(t.TempDir(), "state.db"), catalogue(slugs...))
}

func doImport(t testing.TB, s *Service, format Format, text string, opts ImportOptions) Report {
	t.Helper()
	if !opts.Scope.All && opts.Scope.Tenants == nil {
		opts.Scope = AllTenants()
	}
	r, err := s.Import(context.Background(), format, strings.NewReader(text), opts)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func mustImport(t testing.TB, s *Service, format Format, text string) Report {
	t.Helper()
	r := doImport(t, s, format, text, ImportOptions{Actor: "tester"})
	if len(r.Errors) > 0 {
		t.Fatalf("rejected: %v", r.Errors)
	}
	return r
}

func mustGet(t testing.TB, s *Service, id string) Item {
	t.Helper()
	it, err := s.Get(context.Background(), AllTenants(), id)
	if err != nil {
		t.Fatal(err)
	}
	return it
}

const ledger = `class,name,tenant,zone,addresses,hostnames,criticality,owner,labels,system,organisation,attr.os
organisation,Bureau,,,,,4,,,,,
organisation,Unit,,,,,,,,,Bureau,
business_system,Seal,a,,,,5,王芳,,,Unit,
host,web-1,a,office,10.1.0.5;2001:DB8::5,WEB-1;web-1.gov.example.,5,,public;linux,Seal,,Kylin
host,db-1,,office,10.1.0.6,,,李强,backup,Seal,Bureau,
host,lone,a,,10.1.0.5,,,,,,,
network,Office,a,office,10.1.0.0/16,,,,,,,
network,Shared,,office,10.0.0.0/8,,,,,,,
`

func TestShippedSystems(t *testing.T) {
	t.Parallel()
	s := open(t, filepath.Join(t.TempDir(), "s.db"), tenants.FS)
	p, err := s.Items(t.Context(), AllTenants(), Filter{Classes: []string{BusinessSystem}, Limit: 1000})
	if err != nil || p.Total != 46 || len(p.Items) != 46 {
		t.Fatalf("%d systems, %v; want 46", p.Total, err)
	}
	it := mustGet(t, s, SystemID("e-seal"))
	if it.Name != "电子印章升级及场景应用" || it.Tenant != "e-seal" || it.Criticality != 4 ||
		it.Attributes["name_en"] == "" || it.Attributes["protection_level"] != "3" || !strings.Contains(it.Attributes["subsystems"], "电子印章业务服务 / Seal business services") {
		t.Errorf("%+v", it)
	}
	for _, it := range p.Items {
		if len([]rune(it.Attributes["subsystems"])) >= maxAttrValue {
			t.Errorf("%s: subsystems were cut", it.ID)
		}
	}
}

// A release may change the catalogue and a user the item: both must last.
func TestShippedSystemsKeepEdits(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "s.db")
	ctx := t.Context()
	s := open(t, path, catalogue("a", "b", "c"))
	a := mustGet(t, s, "bs-a")
	a.Owner, a.Criticality = "王芳", 5
	a.Attributes["domain"] = "mine"
	a.Attributes["note"] = "kept"
	if _, err := s.Upsert(ctx, AllTenants(), "wang", a); err != nil {
		t.Fatal(err)
	}
	if err := s.Delete(ctx, AllTenants(), "wang", "bs-b"); err != nil {
		t.Fatal(err)
	}
	version := func(s *Service) int64 {
		snap, err := s.Snapshot(ctx)
		if err != nil {
			t.Fatal(err)
		}
		return snap.Version
	}
	before := version(s)
	s.db.Close()

	s = open(t, path, catalogue("a", "b", "c"))
	if got := mustGet(t, s, "bs-a"); !reflect.DeepEqual(got.Attributes, a.Attributes) || got.Owner != "王芳" || got.Criticality != 5 {
		t.Errorf("a restart changed %+v", got)
	}
	if v := version(s); v != before {
		t.Errorf("a restart made version %d of %d", v, before)
	}
	s.db.Close()

	newer := fstest.MapFS{}
	for _, slug := range []string{"a", "b", "c"} {
		newer[slug+"/tenant.yaml"] = &fstest.MapFile{Data: []byte("slug: " + slug + "\nname: {zh: 新" + slug + ", en: New " + slug + "}\ndomain: moved\nprotection_level: 1\n")}
	}
	s = open(t, path, newer)
	got := mustGet(t, s, "bs-a")
	if got.Name != "新a" || got.Attributes["name_en"] != "New a" || got.Attributes["protection_level"] != "1" {
		t.Errorf("the release's changes are missing: %+v", got)
	}
	if got.Owner != "王芳" || got.Criticality != 5 || got.Attributes["domain"] != "mine" || got.Attributes["note"] != "kept" {
		t.Errorf("the user's edits are gone: %+v", got)
	}
	if _, there := got.Attributes["subsystems"]; there {
		t.Error("an attribute the release dropped is still there")
	}
	if _, err := s.Get(ctx, AllTenants(), "bs-b"); !errors.Is(err, ErrNotFound) {
		t.Errorf("a deleted system came back: %v", err)
	}
	if c := mustGet(t, s, "bs-c"); c.Criticality != 2 || c.Attributes["domain"] != "moved" {
		t.Errorf("an untouched system is not up to date: %+v", c)
	}
}

func TestShippedSystemInTheWay(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "s.db")
	s := open(t, path, catalogue("a"))
	// A user makes room for a second system under the name a release wants.
	mustImport(t, s, CSV, "id,class,name,tenant\nmine,business_system,新a,a\n")
	s.db.Close()
	s = open(t, path, fstest.MapFS{
		"a/tenant.yaml": {Data: []byte("slug: a\nname: {zh: 新a, en: A}\ndomain: d\nprotection_level: 3\n")},
		"b/tenant.yaml": {Data: []byte("slug: b\nname: {zh: b, en: B}\ndomain: d\nprotection_level: 3\n")},
	})
	mustGet(t, s, "bs-b")
	if got := mustGet(t, s, "bs-a"); got.Name != "a应用" {
		t.Errorf("%+v", got)
	}
}

func TestImportLedger(t *testing.T) {
	t.Parallel()
	s := openNew(t, "a", "b")
	ctx := t.Context()
	dry := doImport(t, s, CSV, ledger, ImportOptions{DryRun: true})
	if want := (Report{Created: 8, DryRun: true}); !reflect.DeepEqual(dry, want) {
		t.Fatalf("dry run: %+v, want %+v", dry, want)
	}
	if p, _ := s.Items(ctx, AllTenants(), Filter{Classes: []string{Host}}); p.Total != 0 {
		t.Fatal("a dry run wrote")
	}
	select {
	case <-s.Changed(): // the shipped systems
	default:
		t.Fatal("no change was told after the first start")
	}
	if r := mustImport(t, s, CSV, ledger); r.Created != 8 || r.Updated != 0 || r.Unchanged != 0 {
		t.Fatalf("%+v", r)
	}
	<-s.Changed()
	if r := mustImport(t, s, CSV, ledger); r.Unchanged != 8 || r.Created+r.Updated != 0 {
		t.Fatalf("again: %+v", r)
	}
	select {
	case <-s.Changed():
		t.Error("an import without a change was told as one")
	default:
	}

	p, err := s.Items(ctx, AllTenants(), Filter{Query: "WEB-1"})
	if err != nil || len(p.Items) != 1 {
		t.Fatalf("%+v, %v", p, err)
	}
	web := p.Items[0]
	if !reflect.DeepEqual(web.Addresses, []string{"10.1.0.5", "2001:db8::5"}) || !reflect.DeepEqual(web.Hostnames, []string{"web-1", "web-1.gov.example"}) ||
		web.Zone != "office" || web.Attributes["os"] != "Kylin" || web.Criticality != 5 || !reflect.DeepEqual(web.Labels, []string{"public", "linux"}) {
		t.Errorf("%+v", web)
	}
	card, err := s.Card(ctx, AllTenants(), web.ID)
	if err != nil || card.System.Name != "Seal" || card.Organisation.Name != "Unit" || card.Owner != "王芳" || card.Tenant.Slug != "a" {
		t.Errorf("%+v, %v", card, err)
	}
	p, _ = s.Items(ctx, AllTenants(), Filter{Query: "db-1"})
	db := p.Items[0]
	if db.Tenant != "a" || db.Criticality != 5 || db.Owner != "李强" {
		t.Errorf("tenant and criticality must come from the system: %+v", db)
	}
	if p, _ = s.Items(ctx, AllTenants(), Filter{Query: "lone"}); p.Items[0].Zone != DefaultZone || p.Items[0].Criticality != 3 {
		t.Errorf("%+v", p.Items[0])
	}

	// Only what the file has is changed.
	r := mustImport(t, s, CSV, "class,name,tenant,owner\nhost,web-1,a,赵敏\nhost,lone,a,\n")
	if r.Updated != 1 || r.Unchanged != 1 {
		t.Errorf("%+v", r)
	}
	got := mustGet(t, s, web.ID)
	web.Owner, web.UpdatedAt = "赵敏", got.UpdatedAt
	if !reflect.DeepEqual(got, web) {
		t.Errorf("%+v, want %+v", got, web)
	}
	h, err := s.History(ctx, AllTenants(), web.ID, 0, 0)
	if err != nil || len(h) != 2 || h[0].Action != "updated" || h[1].Action != "created" || h[0].Actor != "tester" ||
		!reflect.DeepEqual(h[0].Changes, []Change{{"owner", "", "赵敏"}}) {
		t.Errorf("%+v, %v", h, err)
	}
}

func TestImportMistakes(t *testing.T) {
	t.Parallel()
	s := openNew(t, "a", "b")
	mustImport(t, s, CSV, ledger)
	const head = "class,name,tenant,zone,addresses,criticality,system,organisation\n"
	f := func(what, text string, want ...RowError) {
		t.Helper()
		r := doImport(t, s, CSV, "class,name,tenant\nhost,good,a\n", ImportOptions{DryRun: true})
		if r.Created != 1 {
			t.Fatalf("%s: %+v", what, r)
		}
		format := CSV
		if strings.HasPrefix(text, "- ") || strings.HasPrefix(text, "items:") || strings.HasPrefix(text, "?") {
			format = YAML
		}
		for _, dry := range []bool{true, false} {
			r = doImport(t, s, format, text, ImportOptions{DryRun: dry})
			ok := len(r.Errors) == len(want) && r.Rejected == len(want) && r.Created+r.Updated+r.Unchanged == 0
			for i := range min(len(want), len(r.Errors)) {
				ok = ok && r.Errors[i].Row == want[i].Row && r.Errors[i].Column == want[i].Column && strings.Contains(r.Errors[i].Message, want[i].Message)
			}
			if !ok {
				t.Errorf("%s: %+v, want %v", what, r, want)
			}
		}
		if p, err := s.Items(t.Context(), AllTenants(), Filter{}); err != nil || p.Total != 10 {
			t.Fatalf("%s: %d items, %v: something was imported", what, p.Total, err)
		}
	}
	e := func(row int, column, message string) RowError { return RowError{row, column, message} }

	f("bad IP", head+"host,good,a,,10.0.0.1,,,\nhost,x,a,,10.0.0,,,\n", e(3, "addresses", `"10.0.0" is not an IP address`))
	f("CIDR for a host", head+"host,x,a,,10.0.0.0/8,,,\n", e(2, "addresses", "not an IP address"))
	f("IP for a network", head+"network,x,a,,10.0.0.1,,,\n", e(2, "addresses", "not an address range"))
	f("host bits", head+"network,x,a,,10.0.0.1/24,,,\n", e(2, "addresses", "did you mean 10.0.0.0/24"))
	f("unknown class", head+"server,x,a,,,,,\n", e(2, "class", `unknown class "server": want one of organisation`))
	f("no class", "name\nx\n", e(2, "class", "missing"))
	f("unknown system", head+"host,x,a,,,,nowhere,\n", e(2, "system", `unknown business system "nowhere"`))
	f("unknown organisation", head+"host,x,a,,,,,nowhere\n", e(2, "organisation", "unknown organisation"))
	f("unknown tenant", head+"host,x,zz,,,,,\n", e(2, "tenant", `unknown tenant "zz"`))
	f("nobody's", head+"host,x,unassigned,,,,,\n", e(2, "tenant", "leave the tenant empty"))
	f("criticality", head+"host,x,a,,,6,,\nhost,y,a,,,high,,\nhost,z,a,,,0,,\n", e(2, "criticality", "6 is out of range"), e(3, "criticality", "not a whole number"), e(4, "criticality", "0 is out of range"))
	f("taken address", head+"host,x,b,office,2001:db8:0::5,,,\n", e(2, "addresses", `address 2001:db8::5 in zone "office" is taken by host "web-1"`))
	f("same address twice", head+"host,x,b,z,10.9.9.9,,,\nhost,y,b,z,10.9.9.9,,,\n", e(3, "addresses", "used in row 2"))
	f("same item twice", head+"host,x,b,,,,,\nhost,x,b,,,,,\n", e(3, "name", "used in row 2"))
	f("same stored item twice", head+"host,web-1,a,,,,,\nhost,web-1,a,,,,,\n", e(3, "name", "same item as in row 2"))
	f("no name", head+"host,,b,,,,,\n", e(2, "name", "missing"))
	f("another tenant's system", head+"host,x,b,,,,bs-a,\n", e(2, "system", `system "bs-a" is of tenant "a"`))
	f("not applicable", head+"organisation,x,,z,10.0.0.1,,bs-a,\n", e(2, "addresses", "has no addresses"), e(2, "zone", "no network zone"), e(2, "system", "belongs to no system"))
	f("own superior", head+"organisation,Bureau,,,,,,Unit\n", e(2, "organisation", "own superior"))
	f("own superior in one file", head+"organisation,o1,,,,,,o2\norganisation,o2,,,,,,o1\n", e(2, "organisation", "own superior"), e(3, "organisation", "own superior"))
	f("unknown column", "class,name,colour\nhost,x,red\n", e(1, "colour", "unknown column"))
	f("column twice", "class,name,名称\nhost,x,y\n", e(1, "名称", "twice"))
	f("no name column", "class,owner\nhost,x\n", e(1, "name", "missing"))
	f("too many cells", "class,name\nhost,x,10.0.0.1\n", e(2, "", "3 cells"))
	f("bad quotes", "class,name\nhost,good\nhost,\"x\"y\n", e(3, "", "cannot be read"))
	f("rows count as in a spreadsheet", "class,name,attr.note,criticality\nhost,x,\"one\ntwo\",3\n\nhost,y,,9\n", e(4, "criticality", "9 is out of range"))
	f("empty file", "", e(0, "", "the file is empty"))
	f("XLSX", "PK\x03\x04aaaa", e(0, "", "save it as CSV"))
	f("neither UTF-8 nor GBK", "class,name\nhost,\xff\xff\n", e(0, "", "neither UTF-8 nor GB18030"))
	f("control character", "class,name\nhost,a\x00b\n", e(2, "name", "control character"))
	f("attribute type", "class,name,tenant,attr.protection_level,attr.cii\nbusiness_system,x,a,9,perhaps\n", e(2, "attr.cii", "neither true nor false"), e(2, "attr.protection_level", "want 1 to 5"))
	f("bad id", "id,class,name\n../x,host,x\n", e(2, "id", "../x"))
	f("class cannot change", "id,class,name\nbs-a,host,x\n", e(2, "class", "cannot change"))
	f("name taken by another id", "id,class,name,tenant\nnew,host,web-1,a\n", e(2, "name", `is taken by host "web-1"`))
	f("all mistakes at once, and only the first cause", head+"business_system,bad,zz,,,,,\nhost,x,a,,nope,,bad,\nhost,y,a,,,,bad,\n",
		e(2, "tenant", "unknown tenant"), e(3, "addresses", "not an IP"))

	f("YAML syntax", "items:\n  - name: [\n", e(2, "", "no YAML"))
	f("YAML unknown key", "- class: host\n  name: x\n  tenant: a\n  colour: red\n", e(4, "colour", "unknown key"))
	f("YAML values", "- class: host\n  name: x\n  tenant: a\n  addresses:\n    - 10.0.0\n  criticality: 7\n", e(1, "addresses", "not an IP"), e(6, "criticality", "out of range"))
	f("YAML wrong shapes", "- class: [host]\n  labels: {a: b}\n- 7\n", e(1, "class", "want one text"), e(2, "labels", "want a list"), e(3, "", "want an item"))
}

func TestImportWholeFileErrors(t *testing.T) {
	t.Parallel()
	s := openNew(t, "a", "b")
	f := func(format Format, text string, opts ImportOptions, want error, message string) {
		t.Helper()
		if opts.Scope.Tenants == nil {
			opts.Scope = AllTenants()
		}
		_, err := s.Import(t.Context(), format, strings.NewReader(text), opts)
		if err == nil || want != nil && !errors.Is(err, want) || !strings.Contains(err.Error(), message) {
			t.Errorf("%v, want %v with %q", err, want, message)
		}
	}
	f("xlsx", "x", ImportOptions{}, nil, "unknown format")
	f(CSV, "x", ImportOptions{Class: "server"}, ErrInvalid, "unknown class")
	f(CSV, "x", ImportOptions{Tenant: "zz"}, ErrInvalid, "unknown tenant")
	f(CSV, "x", ImportOptions{Tenant: "b", Scope: Scope{Tenants: []string{"a"}}}, ErrInvalid, "unknown tenant")
	f(CSV, "name\n"+strings.Repeat("x\n", maxRows+1), ImportOptions{Class: Host}, ErrTooLarge, "rows")
	f(CSV, strings.Repeat("x", maxFile+1), ImportOptions{}, ErrTooLarge, "bytes")
	f(YAML, strings.Repeat("- x\n", maxRows+1), ImportOptions{Class: Host}, ErrTooLarge, "items")
	bomb := "- &i {labels: &l [" + strings.Repeat("a,", 999) + "a]}\n" + strings.Repeat("- *i\n", 10000)
	f(YAML, bomb, ImportOptions{Class: Host}, ErrTooLarge, "values")
}

func TestImportEncodings(t *testing.T) {
	t.Parallel()
	const text = "类别,名称,租户,网络区域,IP地址,负责人,标签\nhost,印章服务器,a,政务外网,10.0.0.1；10.0.0.2,王芳,核心；对外\n"
	gbk, _ := simplifiedchinese.GBK.NewEncoder().String(text)
	gb18030, _ := simplifiedchinese.GB18030.NewEncoder().String(text)
	utf16, _ := unicode.UTF16(unicode.LittleEndian, unicode.UseBOM).NewEncoder().String(strings.ReplaceAll(text, ",", "\t"))
	f := func(what, file string) {
		t.Helper()
		s := openNew(t, "a")
		mustImport(t, s, CSV, file)
		p, err := s.Items(t.Context(), AllTenants(), Filter{Classes: []string{Host}, Query: "印章 核心"})
		if err != nil || len(p.Items) != 1 {
			t.Fatalf("%s: %+v, %v", what, p, err)
		}
		it := p.Items[0]
		if it.Name != "印章服务器" || it.Zone != "政务外网" || it.Owner != "王芳" || len(it.Addresses) != 2 || !reflect.DeepEqual(it.Labels, []string{"核心", "对外"}) {
			t.Errorf("%s: %+v", what, it)
		}
	}
	f("UTF-8", text)
	f("UTF-8 with mark", "\ufeff"+text)
	f("GBK", gbk)
	f("GB18030", gb18030)
	f("UTF-16 with tabs", utf16)
	f("CRLF", strings.ReplaceAll(text, "\n", "\r\n"))
}

func export(t testing.TB, s *Service, format Format, scope Scope, f Filter) string {
	t.Helper()
	var b bytes.Buffer
	if err := s.Export(context.Background(), scope, format, &b, f); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

const odd = `
- {id: o:1, class: organisation, name: "=1+1", owner: "'quoted", labels: ["-x", "+y", "@z"]}
- {class: business_system, name: 'a, "b"', tenant: a, attributes: {note: "line one\n  line two\n\n: - #x", cii: yes, empty: ""}}
- class: host
  name: 007
  tenant: a
  system: 'a, "b"'
  addresses: ["::ffff:10.0.0.1", "fe80::1"]
  hostnames: no
  attributes: {"os": "~", other: "null", third: "'=x", fourth: "''@"}
- {class: network, name: "n;m", zone: " 专网 ", addresses: 10.0.0.0/8}
`

func TestRoundTrip(t *testing.T) {
	t.Parallel()
	for _, format := range []Format{CSV, YAML} {
		t.Run(string(format), func(t *testing.T) {
			t.Parallel()
			s := openNew(t, "a", "b")
			mustImport(t, s, CSV, ledger)
			mustImport(t, s, YAML, odd)
			total := 14
			out := export(t, s, format, AllTenants(), Filter{})
			if r := mustImport(t, s, format, out); r.Unchanged != total || r.Created+r.Updated > 0 {
				t.Errorf("into itself: %+v\n%s", r, out)
			}
			// Into an empty CMDB it makes the same items, down to the byte.
			other := openNew(t, "a", "b")
			if r := mustImport(t, other, format, out); r.Created != total-2 {
				t.Errorf("into another: %+v", r)
			}
			if again := export(t, other, format, AllTenants(), Filter{}); again != out {
				t.Errorf("exported again:\n%s\nwant\n%s", again, out)
			}
			// What was taken away since comes back, what was added goes.
			mustImport(t, s, YAML, "- {class: host, name: web-1, tenant: a, owner: x, labels: [], addresses: [], attributes: {os: y}}")
			if r := mustImport(t, s, format, out); r.Updated != 1 {
				t.Errorf("restore: %+v", r)
			}
			if again := export(t, s, format, AllTenants(), Filter{}); again != out {
				t.Errorf("restored:\n%s\nwant\n%s", again, out)
			}
		})
	}
}

func TestEmptyExport(t *testing.T) {
	t.Parallel()
	s := openNew(t)
	for _, format := range []Format{CSV, YAML} {
		out := export(t, s, format, AllTenants(), Filter{})
		if r := mustImport(t, s, format, out); !reflect.DeepEqual(r, Report{}) {
			t.Errorf("%s: %+v", format, r)
		}
	}
	if err := s.Export(t.Context(), AllTenants(), "xlsx", &bytes.Buffer{}, Filter{}); err == nil {
		t.Error("an unknown format was written")
	}
}

func TestReferences(t *testing.T) {
	t.Parallel()
	s := openNew(t, "a", "b")
	// In any order, by name or id, to what stands in the same file.
	mustImport(t, s, YAML, `
- {class: host, name: h1, system: Same, tenant: b}
- {class: host, name: h2, system: s-a}
- {id: s-a, class: business_system, name: Same, tenant: a, organisation: Unit}
- {id: s-b, class: business_system, name: Same, tenant: b}
- {id: u, class: organisation, name: Unit, organisation: City}
- {class: organisation, name: City}
`)
	find := func(name string) Item {
		t.Helper()
		p, err := s.Items(t.Context(), AllTenants(), Filter{Query: name, Classes: []string{Host}})
		if err != nil || len(p.Items) != 1 {
			t.Fatalf("%s: %+v, %v", name, p, err)
		}
		return p.Items[0]
	}
	if h := find("h1"); h.System != "s-b" {
		t.Errorf("%+v", h)
	}
	if h := find("h2"); h.System != "s-a" || h.Tenant != "a" {
		t.Errorf("%+v", h)
	}
	if r := doImport(t, s, YAML, "- {class: host, name: h3, system: Same}", ImportOptions{}); len(r.Errors) != 1 || !strings.Contains(r.Errors[0].Message, "2 business systems") {
		t.Errorf("%+v", r)
	}
	if r := doImport(t, s, YAML, "- {class: host, name: h3, system: Same}", ImportOptions{Tenant: "b", DryRun: true}); r.Created != 1 {
		t.Errorf("the default tenant must decide: %+v", r)
	}
	// A renamed item goes by its new name in the same file.
	mustImport(t, s, YAML, "- {id: s-a, class: business_system, name: New}\n- {class: host, name: h2, system: New}")
	if r := doImport(t, s, YAML, "- {id: s-a, class: business_system, name: Newer}\n- {class: host, name: h2, system: New}", ImportOptions{}); len(r.Errors) != 1 {
		t.Errorf("%+v", r)
	}
	// A system moves only together with what belongs to it.
	if r := doImport(t, s, YAML, "- {id: s-a, class: business_system, tenant: b}", ImportOptions{}); len(r.Errors) != 1 || r.Errors[0].Column != "tenant" {
		t.Errorf("%+v", r)
	}
	mustImport(t, s, YAML, "- {id: s-a, class: business_system, tenant: b}\n- {id: "+find("h2").ID+", class: host, tenant: b}")
	// An organisation of one tenant is not another's.
	mustImport(t, s, YAML, "- {id: oa, class: organisation, name: OA, tenant: a}")
	if r := doImport(t, s, YAML, "- {class: host, name: h1, tenant: b, organisation: oa}", ImportOptions{}); len(r.Errors) != 1 || r.Errors[0].Column != "organisation" {
		t.Errorf("%+v", r)
	}
	// Two items may swap names and addresses.
	mustImport(t, s, YAML, "- {id: x, class: host, name: x, tenant: a, addresses: 10.0.0.1}\n- {id: y, class: host, name: y, tenant: a, addresses: 10.0.0.2}")
	mustImport(t, s, YAML, "- {id: x, class: host, name: y, tenant: a, addresses: 10.0.0.2}\n- {id: y, class: host, name: x, tenant: a, addresses: 10.0.0.1}")
	if x := mustGet(t, s, "x"); x.Name != "y" || x.Addresses[0] != "10.0.0.2" {
		t.Errorf("%+v", x)
	}

	if err := s.Delete(t.Context(), AllTenants(), "me", "s-b"); !errors.Is(err, ErrConflict) {
		t.Errorf("a system with members was deleted: %v", err)
	}
	if err := s.Delete(t.Context(), AllTenants(), "me", "x"); err != nil {
		t.Error(err)
	}
	h, err := s.History(t.Context(), AllTenants(), "x", 0, 10)
	if err != nil || len(h) != 3 || h[0].Action != "deleted" || h[0].Actor != "me" {
		t.Errorf("%+v, %v", h, err)
	}
	if more, err := s.History(t.Context(), AllTenants(), "x", h[1].ID, 10); err != nil || len(more) != 1 || more[0].Action != "created" {
		t.Errorf("%+v, %v", more, err)
	}
	mustImport(t, s, YAML, "- {class: host, name: z, tenant: a, addresses: 10.0.0.2}")
}

// Nobody sees or changes what is not in scope, on any road.
func TestScope(t *testing.T) {
	t.Parallel()
	s := openNew(t, "a", "b")
	ctx := t.Context()
	mustImport(t, s, CSV, ledger)
	mustImport(t, s, YAML, "- {id: hb, class: host, name: hb, tenant: b, addresses: 10.5.5.5}\n- {id: org, class: organisation, name: Shared}\n- {id: sb, class: host, name: shared-box, organisation: org}")
	b := Scope{Tenants: []string{"b"}}

	p, err := s.Items(ctx, b, Filter{})
	if err != nil || p.Total != 2 || len(p.Items) != 2 {
		t.Errorf("%+v, %v", p, err)
	}
	for _, f := range []Filter{{Tenants: []string{"a"}}, {Query: "web-1"}, {Address: "10.1.0.5"}, {Label: "public"}, {Classes: []string{Organisation}}, {System: "bs-a"}, {Zone: "office"}} {
		if p, err := s.Items(ctx, b, f); err != nil || p.Total != 0 || len(p.Items) != 0 {
			t.Errorf("%+v: %+v, %v", f, p, err)
		}
		if out := export(t, s, CSV, b, f); strings.Count(out, "\n") != 1 {
			t.Errorf("%+v: exported %s", f, out)
		}
	}
	notFound := func(what string, err error) {
		t.Helper()
		if !errors.Is(err, ErrNotFound) {
			t.Errorf("%s: %v, want ErrNotFound", what, err)
		}
	}
	for _, scope := range []Scope{b, {}, {Tenants: []string{""}}} {
		for _, id := range []string{"bs-a", "org", "nothing"} {
			_, err = s.Get(ctx, scope, id)
			notFound("get "+id, err)
			_, err = s.Card(ctx, scope, id)
			notFound("card "+id, err)
			_, err = s.Relations(ctx, scope, id)
			notFound("relations "+id, err)
			notFound("delete "+id, s.Delete(ctx, scope, "b", id))
			if h, err := s.History(ctx, scope, id, 0, 0); err != nil || len(h) != 0 {
				t.Errorf("history of %s: %v, %v", id, h, err)
			}
		}
	}
	if p, err := s.Items(ctx, Scope{}, Filter{}); err != nil || p.Total != 0 {
		t.Errorf("nobody sees %+v, %v", p, err)
	}

	f := func(what, text, column string) {
		t.Helper()
		r := doImport(t, s, YAML, text, ImportOptions{Scope: b})
		if len(r.Errors) != 1 || r.Errors[0].Column != column || strings.Contains(r.Errors[0].Message, "web-1") || strings.Contains(r.Errors[0].Message, "of tenant") {
			t.Errorf("%s: %+v", what, r)
		}
	}
	f("another tenant's", "- {class: host, name: x, tenant: a}", "tenant")
	f("another's id", "- {id: bs-a, class: business_system, name: x, tenant: b}", "id")
	f("another's system", "- {class: host, name: x, tenant: b, system: Seal}", "system")
	f("another's system by id", "- {class: host, name: x, tenant: b, system: bs-a}", "system")
	f("taken address", "- {class: host, name: x, tenant: b, zone: office, addresses: 10.1.0.5}", "addresses")
	if _, err := s.Upsert(ctx, b, "b", Item{ID: "hb", Class: Host, Name: "hb", Tenant: "a"}); !errors.Is(err, ErrInvalid) {
		t.Errorf("moved out of scope: %v", err)
	}
	if _, err := s.Upsert(ctx, b, "b", Item{Class: Host, Name: "h"}); !errors.Is(err, ErrInvalid) {
		t.Errorf("a shared item by a tenant's user: %v", err)
	}
	// What names no tenant is the tenant's that the caller is bound to, and a
	// shared organisation may be named.
	r := doImport(t, s, CSV, "class,name,tenant,organisation\nhost,mine,,Shared\n", ImportOptions{Scope: b})
	if r.Created != 1 {
		t.Errorf("%+v", r)
	}
	rel, err := s.Relations(ctx, AllTenants(), "org")
	if err != nil || len(rel.Members) != 2 || rel.Counts[Host] != 2 {
		t.Errorf("%+v, %v", rel, err)
	}
	rel, err = s.Relations(ctx, b, "bs-b")
	if err != nil || len(rel.Members) != 0 || rel.Members == nil {
		t.Errorf("%+v, %v", rel, err)
	}
}

func TestUpsert(t *testing.T) {
	t.Parallel()
	s := openNew(t, "a")
	ctx := t.Context()
	it, err := s.Upsert(ctx, AllTenants(), "me", Item{Class: Host, Name: " h ", Tenant: "a", Addresses: []string{"10.0.0.1"}, System: "bs-a", Attributes: map[string]string{"x": "1"}})
	if err != nil || it.Name != "h" || it.Criticality != 4 || !strings.HasPrefix(it.ID, "host-") || it.Zone != DefaultZone {
		t.Fatalf("%+v, %v", it, err)
	}
	if got := mustGet(t, s, it.ID); !reflect.DeepEqual(got, it) {
		t.Errorf("stored %+v, returned %+v", got, it)
	}
	again, err := s.Upsert(ctx, AllTenants(), "me", Item{Class: Host, Name: "h", Tenant: "a", Criticality: 2})
	if err != nil || again.ID != it.ID || len(again.Addresses) > 0 || again.System != "" || len(again.Attributes) > 0 || again.Criticality != 2 {
		t.Errorf("an item is replaced as a whole: %+v, %v", again, err)
	}
	_, err = s.Upsert(ctx, AllTenants(), "me", Item{Class: Host, Name: "x", Criticality: 9, Addresses: []string{"y"}})
	var invalid *InvalidError
	if !errors.As(err, &invalid) || len(invalid.Errors) != 2 || !errors.Is(err, ErrInvalid) {
		t.Errorf("%v", err)
	}
}

func TestListFiltersAndPages(t *testing.T) {
	t.Parallel()
	s := openNew(t, "a", "b")
	ctx := t.Context()
	var text strings.Builder
	text.WriteString("class,name,tenant,zone,addresses,labels,system\n")
	for i := range 130 {
		fmt.Fprintf(&text, "host,h-%03d,a,z%d,10.0.0.%d,%s,bs-a\n", i, i%2, i, []string{"odd_x", "100%"}[i%2])
	}
	mustImport(t, s, CSV, text.String())
	f := func(want int, filter Filter) {
		t.Helper()
		var got []string
		filter.Limit = 17
		for {
			p, err := s.Items(ctx, AllTenants(), filter)
			if err != nil || p.Total != want || len(p.Items) > 17 {
				t.Fatalf("%+v: %d of %d, %v; want %d", filter, len(p.Items), p.Total, err, want)
			}
			for _, it := range p.Items {
				got = append(got, it.Class+it.Name)
			}
			if p.Next == "" {
				break
			}
			filter.Cursor = p.Next
		}
		seen := map[string]bool{}
		for i, n := range got {
			if seen[n] || i > 0 && got[i-1] > n {
				t.Fatalf("%+v: %s twice or out of order", filter, n)
			}
			seen[n] = true
		}
		if len(got) != want {
			t.Errorf("%+v: %d on all pages, want %d", filter, len(got), want)
		}
	}
	f(132, Filter{})
	f(130, Filter{Classes: []string{Host, Network}})
	f(2, Filter{Classes: []string{BusinessSystem}})
	f(1, Filter{Tenants: []string{"b"}})
	f(65, Filter{Zone: "z0"})
	f(1, Filter{Address: "10.0.0.7"})
	f(1, Filter{Address: " ::ffff:10.0.0.7"})
	f(65, Filter{Label: "100%"})
	f(65, Filter{Query: "100%"})
	f(65, Filter{Query: "odd_"})
	f(0, Filter{Query: "oddxx"})
	f(1, Filter{Query: "H-007 100%"})
	f(130, Filter{System: "bs-a"})
	f(0, Filter{System: "bs-b"})
	for _, bad := range []string{"x", "!!!", "W10"} {
		if _, err := s.Items(ctx, AllTenants(), Filter{Cursor: bad}); !errors.Is(err, ErrCursor) {
			t.Errorf("cursor %q: %v", bad, err)
		}
	}
}

func TestConcurrentWriters(t *testing.T) {
	t.Parallel()
	s := openNew(t, "a")
	ctx := t.Context()
	var wg sync.WaitGroup
	errs := make(chan error, 100)
	for w := range 8 {
		wg.Go(func() {
			for i := range 10 {
				// Half of them fight over the same items and addresses.
				name, addr := fmt.Sprintf("h-%d", i), fmt.Sprintf("10.0.0.%d", i)
				if w%2 == 0 {
					name, addr = fmt.Sprintf("h-%d-%d", w, i), fmt.Sprintf("10.0.%d.%d", w+1, i)
				}
				it := Item{Class: Host, Name: name, Tenant: "a", Addresses: []string{addr}, Owner: fmt.Sprint(w)}
				if _, err := s.Upsert(ctx, AllTenants(), "me", it); err != nil {
					errs <- err
				}
				if _, err := s.Snapshot(ctx); err != nil {
					errs <- err
				}
			}
		})
	}
	wg.Wait()
	close(errs)
	for err := range errs {
		t.Error(err)
	}
	p, err := s.Items(ctx, AllTenants(), Filter{Classes: []string{Host}})
	if err != nil || p.Total != 10+40 {
		t.Errorf("%d hosts, %v; want 50", p.Total, err)
	}
}

// The whole way: a ledger, a snapshot, an index, an event.
func TestSnapshotEnriches(t *testing.T) {
	t.Parallel()
	s := openNew(t, "a", "b")
	before, err := s.Snapshot(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	mustImport(t, s, CSV, ledger)
	snap, err := s.Snapshot(t.Context())
	if err != nil || snap.Version <= before.Version {
		t.Fatalf("version %d after %d, %v", snap.Version, before.Version, err)
	}
	x, err := enrich.NewIndex(snap)
	if err != nil {
		t.Fatal(err)
	}
	if slug, ok := x.Tenant("office", netip.MustParseAddr("10.1.7.7"), ""); slug != "a" || !ok {
		t.Errorf("network: %q", slug)
	}
	ev := &event.Event{Tenant: "a"}
	ev.Add(event.Zone, "office")
	ev.Add(event.HostIP, "10.1.0.5")
	it := x.Apply(ev)
	if it == nil || it.Name != "web-1" || ev.Text(event.CIOwner) != "王芳" || ev.Text(event.CISystemName) != "Seal" || ev.Text(event.CICriticality) != "5" {
		t.Errorf("%+v: %+v", it, ev.Fields)
	}
	ev = &event.Event{Tenant: "a"}
	ev.Add(event.HostIP, "10.1.0.5")
	if it := x.Apply(ev); it == nil || it.Name != "lone" {
		t.Errorf("the same address in the default zone: %+v", it)
	}
	ev = &event.Event{Tenant: "a"}
	ev.Add(event.HostName, "DB-1")
	if it := x.Apply(ev); it == nil || it.Name != "db-1" {
		t.Errorf("a host goes by its name: %+v", it)
	}
	ev = &event.Event{Tenant: "b"}
	if it := x.Apply(ev); it == nil || it.ID != SystemID("b") {
		t.Errorf("the tenant's own system at last: %+v", it)
	}
	if DefaultZone != enrich.DefaultZone {
		t.Error("two names for the default zone")
	}
}

func TestClasses(t *testing.T) {
	t.Parallel()
	s := openNew(t)
	var names []string
	for _, c := range s.Classes() {
		names = append(names, c.Name)
	}
	if !reflect.DeepEqual(names, []string{Organisation, BusinessSystem, Host, Network}) {
		t.Errorf("%v", names)
	}
	f := func(text, want string) {
		t.Helper()
		if _, err := loadClasses([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
	f("- {class: X}", "bad name")
	f("- {class: x, colour: red}", "colour")
	f("- {class: x, name: {zh: x, en: x}, prefix: x, addresses: mac}", "addresses")
	f("- {class: x, name: {zh: x, en: x}, prefix: x, attributes: [{name: a, type: float}]}", "float")
	f("- {class: x, name: {zh: x, en: x}, prefix: x}", "organisation")
	f("- {class: x, name: {zh: x, en: x}, prefix: x}\n- {class: x, name: {zh: x, en: x}, prefix: x}", "twice")
}
