package cmdb

import (
	"bytes"
	"context"
	"errors"
	"reflect"
	"strings"
	"testing"

	"github.com/uptrace/bun"

	"icewatch/soc/reach"
)

// fuzzImport checks what must hold for any file: the import says either what is
// wrong or how many items it took; a rejected file changes nothing; and what
// was taken can be exported in either format and imported again unchanged.
func fuzzImport(t *testing.T, s *Service, format Format, data []byte) {
	ctx := context.Background()
	opts := ImportOptions{Within: reach.All(), Actor: "fuzz", Class: Host}
	r, err := s.Import(ctx, format, bytes.NewReader(data), opts)
	if err != nil {
		if strings.Contains(err.Error(), "SQL") || strings.Contains(err.Error(), "constraint") {
			t.Fatalf("the plan let through what the tables refuse: %v", err)
		}
		return
	}
	p, err := s.Items(ctx, reach.All(), Filter{Limit: 1000})
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Errors) > 0 {
		if r.Created+r.Updated+r.Unchanged > 0 || p.Total != 1 {
			t.Fatalf("rejected, but %+v, %d items", r, p.Total)
		}
		return
	}
	checkRoundTrip(t, s, p.Total)
	reset(t, s)
}

// checkRoundTrip exports all items in either format and imports them again:
// nothing may change.
func checkRoundTrip(t *testing.T, s *Service, total int) {
	t.Helper()
	ctx := context.Background()
	opts := ImportOptions{Within: reach.All(), Actor: "fuzz"}
	for _, f := range []Format{CSV, YAML, NDJSON} {
		var out bytes.Buffer
		if err := s.Export(ctx, reach.All(), f, &out, Filter{}); err != nil {
			t.Fatal(err)
		}
		again, err := s.Import(ctx, f, bytes.NewReader(out.Bytes()), opts)
		if err != nil || len(again.Errors) > 0 || again.Created+again.Updated > 0 || again.Unchanged != total {
			t.Fatalf("%s: %+v, %v; want %d unchanged\n%s", f, again, err, total, out.Bytes())
		}
	}
}

// reset starts over with the shipped system alone.
func reset(t *testing.T, s *Service) {
	t.Helper()
	ctx := context.Background()
	err := s.db.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
		for _, q := range []string{
			"DELETE FROM cmdb_items WHERE id <> 'bs-a'", "DELETE FROM cmdb_history",
			"UPDATE cmdb_items SET name = 'a', owner = '', labels = '[]', attributes = '{}', organisation_id = NULL",
			"DELETE FROM cmdb_labels", "DELETE FROM cmdb_addresses", "UPDATE cmdb_version SET version = version + 1",
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

// FuzzValues puts any text into each field of an item by way of Upsert.
func FuzzValues(f *testing.F) {
	s := openNew(f, "a")
	f.Add("n", "o", "l", "h", "z", "v")
	f.Add("=1", "'", "'=x", "a.b", " z ", "line\n - x: |\n\tb")
	f.Add("null", "~", "true", "1e3", "0x10", "2026-01-01")
	f.Add("- a", "? b", "# c", "ü", "\u2028", "\ufeff\u00a0\U0001F600")
	f.Fuzz(func(t *testing.T, name, owner, label, hostname, zone, value string) {
		it, err := s.Upsert(context.Background(), reach.All(), "fuzz", Item{
			Class: Host, Name: name, Owner: owner, Labels: []string{label, label + "x"}, Hostnames: []string{hostname},
			Zone: zone, Addresses: []string{"10.0.0.1"}, Attributes: map[string]string{"a": value, "b": "x" + value + "y"},
		})
		if err != nil {
			if !errors.Is(err, ErrInvalid) {
				t.Fatal(err)
			}
			return
		}
		checkRoundTrip(t, s, 2)
		if got := mustGet(t, s, it.ID); !reflect.DeepEqual(got, it) {
			t.Fatalf("stored %+v, returned %+v", got, it)
		}
		reset(t, s)
	})
}
