package cmdb

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"icewatch/soc/enrich"
	"icewatch/soc/reach"
	"icewatch/soc/state"
)

// TestOldTablesAreMoved opens tables that earlier releases left, with items, and
// finds everything again: by each field, by relations that those releases did
// not have, within scopes, and in history.
func TestOldTablesAreMoved(t *testing.T) {
	t.Parallel()
	if os.Getenv(postgresEnv) != "" {
		t.Skip("earlier releases kept their items in SQLite")
	}
	for _, last := range []string{"00001_cmdb.sql", "00002_facts.sql", "00003_models.sql"} {
		t.Run(last, func(t *testing.T) {
			t.Parallel()
			old := fstest.MapFS{}
			names, err := fs.Glob(migrations, "migrations/*.sql")
			if err != nil {
				t.Fatal(err)
			}
			for _, name := range names {
				if filepath.Base(name) > last {
					continue
				}
				data, err := migrations.ReadFile(name)
				if err != nil {
					t.Fatal(err)
				}
				old[name] = &fstest.MapFile{Data: data}
			}
			path := filepath.Join(t.TempDir(), "s.db")
			db, err := state.Open(t.Context(), path)
			if err != nil {
				t.Fatal(err)
			}
			if err := db.Migrate(t.Context(), "cmdb", old); err != nil {
				t.Fatal(err)
			}
			exec := func(format string, args ...any) {
				t.Helper()
				if _, err := db.ExecContext(t.Context(), fmt.Sprintf(format, args...)); err != nil {
					t.Fatal(err)
				}
			}
			modern := last >= "00003"
			item := func(seq int, id, class, name, zone, addresses, labels, system, organisation, attributes string) {
				t.Helper()
				ref := func(s string) string {
					if s == "" {
						return "NULL"
					}
					return "'" + s + "'"
				}
				columns, values := "", ""
				if modern {
					columns, values = ", seq, identity, revision", fmt.Sprintf(", %d, '%s', 1", seq, name)
				}
				exec(`INSERT INTO cmdb_items (id, class, tenant, name, zone, addresses, hostnames, criticality, owner, labels, system_id, organisation_id, attributes, search, created_at, updated_at%s)
					VALUES ('%s', '%s', 'a', '%s', '%s', '%s', '[]', 4, 'Wang', '%s', %s, %s, '%s', '%s', 1700000000000, 1700000000000%s)`,
					columns, id, class, name, zone, addresses, labels, ref(system), ref(organisation), attributes, strings.ToLower(name), values)
				for _, a := range strings.FieldsFunc(strings.Trim(addresses, `[]`), func(r rune) bool { return r == ',' || r == '"' }) {
					exec(`INSERT INTO cmdb_addresses (zone, address, item_id) VALUES ('%s', '%s', '%s')`, zone, a, id)
				}
				for _, l := range strings.FieldsFunc(strings.Trim(labels, `[]`), func(r rune) bool { return r == ',' || r == '"' }) {
					exec(`INSERT INTO cmdb_labels (label, item_id) VALUES ('%s', '%s')`, l, id)
				}
				exec(`INSERT INTO cmdb_history (item_id, class, tenant, name, time, actor, action, changes) VALUES ('%s', '%s', 'a', '%s', 1700000000000, 'li', 'created', '[{"field":"name","after":"%s"}]')`, id, class, name, name)
				switch {
				case modern:
					exec(`INSERT INTO cmdb_unindexed VALUES (%d)`, seq)
					exec(`UPDATE cmdb_version SET next_seq = %d`, seq+1)
					fallthrough
				case last >= "00002":
					exec(`INSERT INTO cmdb_unsettled VALUES ('%s')`, id)
				}
			}
			item(1, "org", Organisation, "大数据局", "", "[]", "[]", "", "", `{"unit":"org"}`)
			item(2, "sys", BusinessSystem, "医保", "", "[]", "[]", "", "org", `{"business_line":"tax","cii":"true"}`)
			item(3, "net", Network, "office", "z1", `["10.1.0.0/16"]`, "[]", "", "", "{}")
			item(4, "h1", Host, "Web-1", "z1", `["10.1.0.5"]`, `["public","linux"]`, "sys", "", `{"os":"Kylin V10","cpu_cores":"8"}`)
			item(5, "h2", Host, "web-2", "z1", `["10.2.0.5"]`, "[]", "sys", "org", `{"os":"UOS"}`)
			item(6, "zone", "network_zone", "一区", "", "[]", "[]", "", "", `{"zone_code":"Z1"}`)
			exec("UPDATE cmdb_version SET version = 6")
			db.Close()

			s := openOld(t, path, catalogue("a"))
			for expression, want := range map[string]string{
				`class = host and os ^= kylin`:       "h1",
				`cpu_cores >= 8`:                     "h1",
				`address = 10.1.0.5`:                 "h1",
				`label = public`:                     "h1",
				`name ~ WEB`:                         "h1 h2",
				`system.cii = true and class = host`: "h1 h2",
				`organisation = 大数据局`:                "h2 sys",
				`has -belongs_to_system-> business_system[name = 医保]`: "h1 h2",
				`has -in_network-> network[name = office]`:            "h1",
				`has -in_zone-> network_zone[name = 一区]`:              "net",
				`created < 2024-01-01`:                                "h1 h2 net org sys zone",
			} {
				if got := strings.Join(found(t, s, reach.All(), expression), " "); got != want {
					t.Errorf("%s: %s, want %s", expression, got, want)
				}
			}
			e, err := reach.Parse(`label = "line:tax"`)
			if err != nil {
				t.Fatal(err)
			}
			if got := found(t, s, e.Compile(reach.NewDirectory([]reach.Tenant{{Slug: "a"}}, nil)), "name exists"); !slices.Equal(got, []string{"h1", "h2", "sys"}) {
				t.Errorf("of the business line: %v", got)
			}
			p, err := s.KeyPath(t.Context(), reach.All(), "h1", "h2", 8, Scope{})
			if err != nil || !p.Found || p.Hops != 2 {
				t.Errorf("%+v, %v", p, err)
			}
			h, err := s.History(t.Context(), reach.All(), "h1", 0, 10)
			if err != nil || len(h) != 1 || h[0].Actor != "li" {
				t.Errorf("%+v, %v", h, err)
			}
			snap, err := s.Snapshot(t.Context())
			if err != nil || len(snap.Networks) != 1 {
				t.Fatalf("%+v, %v", snap, err)
			}
			at := slices.IndexFunc(snap.Items, func(x enrich.Item) bool { return x.ID == "h1" })
			if at < 0 || snap.Items[at].SystemName != "医保" || snap.Items[at].Unit != "org" {
				t.Errorf("what enrichment knows: %+v", snap.Items)
			}
			// Old keys hold, and numbers go on.
			if _, err := s.Upsert(t.Context(), reach.All(), "t", Item{ID: "new", Class: Host, Name: "Web-1", Tenant: "a"}); !errors.Is(err, ErrConflict) && !errors.Is(err, ErrInvalid) {
				t.Errorf("a second item of one key: %v", err)
			}
			if _, err := s.Upsert(t.Context(), reach.All(), "t", Item{ID: "new", Class: Host, Name: "web-3", Tenant: "a", Zone: "z1", Addresses: []string{"10.1.0.6"}}); err != nil {
				t.Error(err)
			}
			if got := found(t, s, reach.All(), `has -in_network-> network[id = net]`); !slices.Equal(got, []string{"h1", "new"}) {
				t.Errorf("after a new item: %v", got)
			}
		})
	}
}
