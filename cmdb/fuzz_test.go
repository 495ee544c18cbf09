package cmdb

import (
	"bytes"
	"context"
	"strings"
	"testing"

	"github.com/uptrace/bun"
)

// fuzzImport checks what must hold for any file: the import says either what is
// wrong or how many items it took; a rejected file changes nothing; and what
// was taken can be exported in either format and imported again unchanged.
func fuzzImport(t *testing.T, s *Service, format Format, data []byte) {
	ctx := context.Background()
	opts := ImportOptions{Scope: AllTenants(), Actor: "fuzz", Class: Host}
	r, err := s.Import(ctx, format, bytes.NewReader(data), opts)
	if err != nil {
		if strings.Contains(err.Error(), "SQL") || strings.Contains(err.Error(), "constraint") {
			t.Fatalf("the plan let through what the tables refuse: %v", err)
		}
		return
	}
	p, err := s.Items(ctx, AllTenants(), Filter{Limit: 1000})
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Errors) > 0 {
		if r.Created+r.Updated+r.Unchanged > 0 || p.Total != 1 {
			t.Fatalf("rejected, but %+v, %d items", r, p.Total)
		}
		return
	}
	for _, f := range []Format{CSV, YAML} {
		var out bytes.Buffer
		if err := s.Export(ctx, AllTenants(), f, &out, Filter{}); err != nil {
			t.Fatal(err)
		}
		again, err := s.Import(ctx, f, bytes.NewReader(out.Bytes()), opts)
		if err != nil || len(again.Errors) > 0 || again.Created+again.Updated > 0 || again.Unchanged != p.Total {
			t.Fatalf("%s: %+v, %v; want %d unchanged\n%s", f, again, err, p.Total, out.Bytes())
		}
	}
	// Start over with the shipped system alone.
	err = s.db.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
		for _, q := range []string{
			"DELETE FROM cmdb_items WHERE id <> 'bs-a'", "DELETE FROM cmdb_history",
			"UPDATE cmdb_items SET name = 'a', owner = '', labels = '[]', attributes = '{}', organisation_id = NULL",
			"DELETE FROM cmdb_labels", "DELETE FROM cmdb_addresses",
		} {
			if _, err := tx.ExecContext(ctx, q); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func FuzzImportCSV(f *testing.F) {
	s := openNew(f, "a")
	f.Add([]byte(ledger))
	f.Add([]byte("id,class,name,tenant,attr.x\nbs-a,business_system,n,a,'=1\n"))
	f.Add([]byte("name;addresses\n'x;\"::1;10.0.0.1\"\n"))
	f.Add([]byte("\xef\xbb\xbfname,标签\n\"a\nb\",c；d\n"))
	f.Add([]byte("\xff\xfen\x00a\x00m\x00e\x00"))
	f.Add([]byte("name\n\xd6\xd0\xce\xc4\n"))
	f.Fuzz(func(t *testing.T, data []byte) { fuzzImport(t, s, CSV, data) })
}

func FuzzImportYAML(f *testing.F) {
	s := openNew(f, "a")
	f.Add([]byte(odd))
	f.Add([]byte("items:\n- &a {name: x, addresses: [10.0.0.1]}\n- <<: *a\n"))
	f.Add([]byte("name: x\n---\nname: y\n---\n[]\n---\n~\n"))
	f.Add([]byte("- {name: x, attributes: {a: |\n  b\n  c\n}}"))
	f.Add([]byte("- name: \"\\u2028\\ufeff x\"\n  owner: \"\\U0001F600\"\n"))
	f.Fuzz(func(t *testing.T, data []byte) { fuzzImport(t, s, YAML, data) })
}
