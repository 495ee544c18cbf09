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
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/fstest"

	"icewatch/cmdb/sheet"
	"icewatch/soc/enrich"
	"icewatch/soc/event"
	"icewatch/soc/reach"
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
	return openOn(t, path, cat, func(db *state.DB) *Database { return database(t, db, path) })
}

// openOld opens tables in SQLite, whatever the other tests run on.
func openOld(t testing.TB, path string, cat fs.FS) *Service {
	t.Helper()
	return openOn(t, path, cat, OnState)
}

func openOn(t testing.TB, path string, cat fs.FS, keep func(*state.DB) *Database) *Service {
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
	s, err := Open(ctx, keep(db), reg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

func openNew(t testing.TB, slugs ...string) *Service {
	t.Helper()
	return open(t, filepath.Join(t.TempDir(), "state.db"), catalogue(slugs...))
}

func doImport(t testing.TB, s *Service, format Format, text string, opts ImportOptions) Report {
	t.Helper()
	if opts.Within.Nothing() {
		opts.Within = reach.All()
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
	it, err := s.Get(context.Background(), reach.All(), id)
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
	p, err := s.Items(t.Context(), reach.All(), Filter{Classes: []string{BusinessSystem}, Limit: 1000})
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
	if _, err := s.Upsert(ctx, reach.All(), "wang", a); err != nil {
		t.Fatal(err)
	}
	if err := s.Delete(ctx, reach.All(), "wang", "bs-b"); err != nil {
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
	if _, err := s.Get(ctx, reach.All(), "bs-b"); !errors.Is(err, ErrNotFound) {
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
	if p, _ := s.Items(ctx, reach.All(), Filter{Classes: []string{Host}}); p.Total != 0 {
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

	p, err := s.Items(ctx, reach.All(), Filter{Query: "WEB-1"})
	if err != nil || len(p.Items) != 1 {
		t.Fatalf("%+v, %v", p, err)
	}
	web := p.Items[0]
	if !reflect.DeepEqual(web.Addresses, []string{"10.1.0.5", "2001:db8::5"}) || !reflect.DeepEqual(web.Hostnames, []string{"web-1", "web-1.gov.example"}) ||
		web.Zone != "office" || web.Attributes["os"] != "Kylin" || web.Criticality != 5 || !reflect.DeepEqual(web.Labels, []string{"public", "linux"}) {
		t.Errorf("%+v", web)
	}
	card, err := s.Card(ctx, reach.All(), web.ID)
	if err != nil || card.System.Name != "Seal" || card.Organisation.Name != "Unit" || card.Owner != "王芳" || card.Tenant.Slug != "a" {
		t.Errorf("%+v, %v", card, err)
	}
	p, _ = s.Items(ctx, reach.All(), Filter{Query: "db-1"})
	db := p.Items[0]
	if db.Tenant != "a" || db.Criticality != 5 || db.Owner != "李强" {
		t.Errorf("tenant and criticality must come from the system: %+v", db)
	}
	if p, _ = s.Items(ctx, reach.All(), Filter{Query: "lone"}); p.Items[0].Zone != DefaultZone || p.Items[0].Criticality != 3 {
		t.Errorf("%+v", p.Items[0])
	}

	// Only what the file has is changed.
	r := mustImport(t, s, CSV, "class,name,tenant,owner\nhost,web-1,a,赵敏\nhost,lone,a,\n")
	if r.Updated != 1 || r.Unchanged != 1 {
		t.Errorf("%+v", r)
	}
	got := mustGet(t, s, web.ID)
	web.Owner, web.UpdatedAt, web.Revision = "赵敏", got.UpdatedAt, 2
	if !reflect.DeepEqual(got, web) {
		t.Errorf("%+v, want %+v", got, web)
	}
	h, err := s.History(ctx, reach.All(), web.ID, 0, 0)
	if err != nil || len(h) != 2 || h[0].Action != "updated" || h[1].Action != "created" || h[0].Actor != "tester" ||
		!reflect.DeepEqual(h[0].Changes, []Change{{"owner", "", "赵敏"}}) {
		t.Errorf("%+v, %v", h, err)
	}
}

func export(t testing.TB, s *Service, format Format, within reach.Reach, f Filter) string {
	t.Helper()
	var b bytes.Buffer
	if err := s.Export(context.Background(), within, format, &b, f); err != nil {
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

// plain is a file as a person reads it: a workbook is its rows.
func plain(t testing.TB, format Format, file string) string {
	t.Helper()
	if format != XLSX {
		return file
	}
	b, err := sheet.Open([]byte(file))
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	err = bookTable(b)(func(sheet string, row int, cells []string) error {
		fmt.Fprintf(&out, "%s %d %q\n", sheet, row, cells)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func TestRoundTrip(t *testing.T) {
	t.Parallel()
	for _, format := range Formats {
		t.Run(string(format), func(t *testing.T) {
			t.Parallel()
			s := openNew(t, "a", "b")
			mustImport(t, s, CSV, ledger)
			mustImport(t, s, YAML, odd)
			total := 14
			out := export(t, s, format, reach.All(), Filter{})
			if r := mustImport(t, s, format, out); r.Unchanged != total || r.Created+r.Updated > 0 {
				t.Errorf("into itself: %+v\n%s", r, plain(t, format, out))
			}
			// Into an empty CMDB it makes the same items, down to the byte.
			other := openNew(t, "a", "b")
			if r := mustImport(t, other, format, out); r.Created != total-2 {
				t.Errorf("into another: %+v", r)
			}
			if again := export(t, other, format, reach.All(), Filter{}); plain(t, format, again) != plain(t, format, out) {
				t.Errorf("exported again:\n%s\nwant\n%s", plain(t, format, again), plain(t, format, out))
			}
			// What was taken away since comes back, what was added goes.
			mustImport(t, s, YAML, "- {class: host, name: web-1, tenant: a, owner: x, labels: [], addresses: [], attributes: {os: y}}")
			if r := mustImport(t, s, format, out); r.Updated != 1 {
				t.Errorf("restore: %+v", r)
			}
			if again := export(t, s, format, reach.All(), Filter{}); plain(t, format, again) != plain(t, format, out) {
				t.Errorf("restored:\n%s\nwant\n%s", plain(t, format, again), plain(t, format, out))
			}
		})
	}
}

func TestEmptyExport(t *testing.T) {
	t.Parallel()
	s := openNew(t)
	for _, format := range Formats {
		out := export(t, s, format, reach.All(), Filter{})
		if r := mustImport(t, s, format, out); !reflect.DeepEqual(r, Report{}) {
			t.Errorf("%s: %+v", format, r)
		}
	}
	if err := s.Export(t.Context(), reach.All(), "pdf", &bytes.Buffer{}, Filter{}); err == nil {
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
		// The query looks at ids as well, which may hold the name by chance.
		p, err := s.Items(t.Context(), reach.All(), Filter{Query: name, Classes: []string{Host}})
		p.Items = slices.DeleteFunc(p.Items, func(it Item) bool { return it.Name != name })
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

	if err := s.Delete(t.Context(), reach.All(), "me", "s-b"); !errors.Is(err, ErrConflict) {
		t.Errorf("a system with members was deleted: %v", err)
	}
	if err := s.Delete(t.Context(), reach.All(), "me", "x"); err != nil {
		t.Error(err)
	}
	h, err := s.History(t.Context(), reach.All(), "x", 0, 10)
	if err != nil || len(h) != 3 || h[0].Action != "deleted" || h[0].Actor != "me" {
		t.Errorf("%+v, %v", h, err)
	}
	if more, err := s.History(t.Context(), reach.All(), "x", h[1].ID, 10); err != nil || len(more) != 1 || more[0].Action != "created" {
		t.Errorf("%+v, %v", more, err)
	}
	mustImport(t, s, YAML, "- {class: host, name: z, tenant: a, addresses: 10.0.0.2}")
}

func TestUpsert(t *testing.T) {
	t.Parallel()
	s := openNew(t, "a")
	ctx := t.Context()
	it, err := s.Upsert(ctx, reach.All(), "me", Item{Class: Host, Name: " h ", Tenant: "a", Addresses: []string{"10.0.0.1"}, System: "bs-a", Attributes: map[string]string{"x": "1"}})
	if err != nil || it.Name != "h" || it.Criticality != 4 || !strings.HasPrefix(it.ID, "host-") || it.Zone != DefaultZone {
		t.Fatalf("%+v, %v", it, err)
	}
	if got := mustGet(t, s, it.ID); !reflect.DeepEqual(got, it) {
		t.Errorf("stored %+v, returned %+v", got, it)
	}
	again, err := s.Upsert(ctx, reach.All(), "me", Item{Class: Host, Name: "h", Tenant: "a", Criticality: 2})
	if err != nil || again.ID != it.ID || len(again.Addresses) > 0 || again.System != "" || len(again.Attributes) > 0 || again.Criticality != 2 {
		t.Errorf("an item is replaced as a whole: %+v, %v", again, err)
	}
	_, err = s.Upsert(ctx, reach.All(), "me", Item{Class: Host, Name: "x", Criticality: 9, Addresses: []string{"y"}})
	var invalid *InvalidError
	if !errors.As(err, &invalid) || len(invalid.Errors) != 2 || !errors.Is(err, ErrInvalid) {
		t.Errorf("%v", err)
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
				if _, err := s.Upsert(ctx, reach.All(), "me", it); err != nil {
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
	p, err := s.Items(ctx, reach.All(), Filter{Classes: []string{Host}})
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
	if ev.Text(event.CIName) != "web-1" || ev.Text(event.CIOwner) != "王芳" || ev.Text(event.CISystemName) != "Seal" || ev.Text(event.CICriticality) != "5" {
		t.Errorf("%+v: %+v", it, ev.Fields)
	}
	ev = &event.Event{Tenant: "a"}
	ev.Add(event.HostIP, "10.1.0.5")
	if it := x.Apply(ev); ev.Text(event.CIName) != "lone" {
		t.Errorf("the same address in the default zone: %+v", it)
	}
	ev = &event.Event{Tenant: "a"}
	ev.Add(event.HostName, "DB-1")
	if it := x.Apply(ev); ev.Text(event.CIName) != "db-1" {
		t.Errorf("a host goes by its name: %+v", it)
	}
	ev = &event.Event{Tenant: "b"}
	if it := x.Apply(ev); it != SystemID("b") {
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
	for _, want := range []string{Organisation, BusinessSystem, Host, Network, "vm", "database", "supplier"} {
		if !slices.Contains(names, want) {
			t.Errorf("no class %s in %v", want, names)
		}
	}
	if slices.Contains(names, "device") {
		t.Error("an abstract class is offered for items")
	}
}
