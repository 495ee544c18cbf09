package cmdb

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"icewatch/soc/reach"
	"icewatch/soc/state"
	"icewatch/soc/tenancy"
	"icewatch/test/peers"
)

// TestDumpOfPostgreSQL takes the dump of docs/backup.md while the CMDB is in use,
// puts it into another database and goes on there: items, history and relations
// by hand are what they were, and numbers go on.
func TestDumpOfPostgreSQL(t *testing.T) {
	if os.Getenv(postgresEnv) != "" {
		t.Skip("it has a server of its own")
	}
	t.Parallel()
	dump, restore := peers.Program(t, "pg_dump"), peers.Program(t, "pg_restore")
	url := peers.StartPostgres(t, "-c", "fsync=off")
	run := func(name string, args ...string) {
		t.Helper()
		if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", strings.Join(args, " "), err, out)
		}
	}
	use := func(url string) *Service {
		t.Helper()
		state, err := state.Open(t.Context(), filepath.Join(t.TempDir(), "state.db"))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { state.Close() })
		tenants, err := tenancy.Open(t.Context(), state, catalogue("a"))
		if err != nil {
			t.Fatal(err)
		}
		db, err := OpenPostgres(t.Context(), url)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { db.Close() })
		s, err := Open(t.Context(), db, tenants)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(s.Close)
		return s
	}
	before := use(url)
	mustImport(t, before, CSV, "class,id,name,tenant,zone,addresses,attr.os\nhost,web,web,a,office,10.1.0.5,Kylin\nhost,db,db,a,office,10.1.0.6,\nnetwork,net,net,a,office,10.1.0.0/16,\n")
	mustImport(t, before, CSV, "class,id,name,tenant,attr.os\nhost,web,web,a,UOS\n")
	if _, err := before.Relate(t.Context(), reach.All(), "li", []Link{{From: "web", Type: "depends_on", To: "db"}}); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "cmdb.dump")
	run(dump, "--format=custom", "--no-owner", "--file="+file, url)
	mustImport(t, before, CSV, "class,id,name,tenant\nhost,late,late,a\n")

	other := strings.Replace(url, "/postgres?", "/restored?", 1)
	if _, err := before.db.ExecContext(t.Context(), "CREATE DATABASE restored"); err != nil {
		t.Fatal(err)
	}
	run(restore, "--no-owner", "--exit-on-error", "--dbname="+other, file)
	after := use(other)
	if err := before.Delete(t.Context(), reach.All(), "li", "late"); err != nil {
		t.Fatal(err)
	}
	told := func(s *Service) string {
		t.Helper()
		var out bytes.Buffer
		if err := s.Export(t.Context(), reach.All(), NDJSON, &out, Filter{}); err != nil {
			t.Fatal(err)
		}
		for _, id := range []string{"web", "db", "net"} {
			history, err := s.History(t.Context(), reach.All(), id, 0, 100)
			if err != nil {
				t.Fatal(err)
			}
			for _, h := range history {
				out.WriteString(h.Action + " " + h.ItemID + " " + h.Actor + "\n")
			}
			page, err := s.RelationsOf(t.Context(), reach.All(), id, RelationFilter{})
			if err != nil {
				t.Fatal(err)
			}
			for _, r := range page.Relations {
				out.WriteString(id + " " + r.Type + " " + r.Item.ID + " " + r.Origin + "\n")
			}
		}
		return out.String()
	}
	want, got := told(before), told(after)
	if got != want || !strings.Contains(got, "web depends_on db manual") || !strings.Contains(got, "updated web") {
		t.Errorf("restored\n%s\nwant\n%s", got, want)
	}
	mustImport(t, after, CSV, "class,id,name,tenant,zone,addresses\nhost,next,next,a,office,10.1.0.7\n")
	page, err := after.RelationsOf(t.Context(), reach.All(), "next", RelationFilter{})
	if err != nil || !slices.ContainsFunc(page.Relations, func(r Relation) bool { return r.Item.ID == "net" }) {
		t.Errorf("a new item after the restore: %+v, %v", page.Relations, err)
	}
}
