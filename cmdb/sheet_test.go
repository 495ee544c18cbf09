package cmdb

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"reflect"
	"strconv"
	"strings"
	"testing"

	"github.com/xuri/excelize/v2"

	"icewatch/soc/reach"
)

// book makes a workbook of sheets of rows; each sheet's name stands before its
// rows.
func book(t testing.TB, sheets ...any) string {
	t.Helper()
	f := excelize.NewFile()
	defer f.Close()
	for i := 0; i < len(sheets); i += 2 {
		name := sheets[i].(string)
		if _, err := f.NewSheet(name); err != nil {
			t.Fatal(err)
		}
		for r, row := range sheets[i+1].([][]any) {
			if err := f.SetSheetRow(name, fmt.Sprintf("A%d", r+1), &row); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := f.DeleteSheet("Sheet1"); err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := f.Write(&b); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// TestBrokenWorkbook imports a workbook with a mistake of each kind: each bad
// cell is told with sheet, row, cell, what stands there and what would be right,
// nothing is changed, and the marked workbook has the mistakes at the cells.
func TestBrokenWorkbook(t *testing.T) {
	t.Parallel()
	s := openNew(t, "a", "b")
	mustImport(t, s, CSV, ledger)
	before := export(t, s, NDJSON, reach.All(), Filter{})
	data := book(t,
		"主机", [][]any{
			{"名称 *", "租户", "IP地址", "重要性", "业务系统", "attr.os"},
			{"good", "a", "10.1.0.77", 3, "Seal", "Kylin"},
			{"bad-ip", "a", "10.1.0.777", 3, "Seal", ""},
			{},
			{"bad-level", "a", "", 9, "Seal", "#REF!"},
			{"", "a", "", 3, "nowhere", ""},
		},
		"network", [][]any{
			{"name", "tenant", "addresses", "zone"},
			{"n1", "a", "10.7.0.1/16", "z"},
			{"n2", "zz", "10.8.0.0/16", "z"},
			{"n3", "a", "10.9.0.0/16", "z", "beyond"},
		})
	r := doImport(t, s, XLSX, data, ImportOptions{Actor: "tester"})
	type cell struct{ sheet, cell, value, message string }
	want := []cell{
		{"主机", "C3", "10.1.0.777", "is not an IP address"},
		{"主机", "D5", "9", "want 1"},
		{"主机", "F5", "#REF!", "error #REF!"},
		{"主机", "A6", "", "the name is missing"},
		{"network", "C2", "10.7.0.1/16", "did you mean 10.7.0.0/16"},
		{"network", "B3", "zz", `unknown tenant "zz"`},
		{"network", "", "", "give each column a head"},
	}
	if r.Rejected != len(want) || len(r.Errors) != len(want) || r.Created+r.Updated+r.Unchanged > 0 {
		t.Fatalf("%+v", r)
	}
	for i, e := range r.Errors {
		w := want[i]
		if e.Sheet != w.sheet || e.Cell != w.cell || e.Value != w.value || !strings.Contains(e.Message, w.message) {
			t.Errorf("mistake %d: %+v, want %+v", i, e, w)
		}
	}
	if after := export(t, s, NDJSON, reach.All(), Filter{}); after != before {
		t.Error("a rejected workbook changed items")
	}

	var marked bytes.Buffer
	if err := s.Marked(XLSX, []byte(data), r, &marked); err != nil {
		t.Fatal(err)
	}
	if got := plain(t, XLSX, marked.String()); got != plain(t, XLSX, data) {
		t.Errorf("the marked workbook reads\n%s\nwant\n%s", got, plain(t, XLSX, data))
	}
	f, err := excelize.OpenReader(&marked)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	noted := 0
	for _, name := range []string{"主机", "network"} {
		list, err := f.GetComments(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range list {
			noted++
			for _, e := range r.Errors {
				if e.Sheet == name && e.Cell == c.Cell && c.Paragraph[0].Text != e.Message {
					t.Errorf("note at %s: %q, want %q", c.Cell, c.Paragraph[0].Text, e.Message)
				}
			}
		}
	}
	if noted != len(want) {
		t.Errorf("%d notes, want %d", noted, len(want))
	}
	// The same holds of a CSV file, whose marked form is a workbook too.
	text := "class,name,addresses\nhost,x,nope\n"
	r = doImport(t, s, CSV, text, ImportOptions{DryRun: true})
	if len(r.Errors) != 1 || r.Errors[0].Cell != "C2" || r.Errors[0].Value != "nope" {
		t.Errorf("%+v", r)
	}
	marked.Reset()
	if err := s.Marked(CSV, []byte(text), r, &marked); err != nil {
		t.Error(err)
	}
	if err := s.Marked(XLSX, []byte("no workbook"), r, &marked); !errors.Is(err, ErrInvalid) {
		t.Errorf("a file that is no workbook: %v", err)
	}
	if err := s.Marked(JSON, nil, r, &marked); !errors.Is(err, ErrInvalid) {
		t.Errorf("a JSON file was marked: %v", err)
	}
}

// TestTemplate fills in the template of every class and imports it.
func TestTemplate(t *testing.T) {
	t.Parallel()
	for _, language := range []string{"zh", "en"} {
		s := openNew(t, "a")
		var out bytes.Buffer
		if err := s.Template(&out, language); err != nil {
			t.Fatal(err)
		}
		f, err := excelize.OpenReader(&out)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		classes := s.Model().Concrete()
		for _, c := range classes {
			rows, err := f.GetRows(c)
			if err != nil || len(rows) != 1 {
				t.Fatalf("%s: %d rows, %v", c, len(rows), err)
			}
			class := s.Model().Class(c)
			columns := map[string]bool{}
			for _, h := range rows[0] {
				column, err := headOf(h, class)
				if err != nil || columns[column] {
					t.Fatalf("%s: head %q is not understood: %v", c, h, err)
				}
				columns[column] = true
			}
			for _, a := range class.Attributes {
				if !columns[attrPrefix+a.Name] {
					t.Errorf("%s: attribute %s has no column", c, a.Name)
				}
			}
		}
		// Whoever fills in nothing imports nothing.
		var b bytes.Buffer
		if err := f.Write(&b); err != nil {
			t.Fatal(err)
		}
		if r := mustImport(t, s, XLSX, b.String()); !reflect.DeepEqual(r, Report{}) {
			t.Errorf("empty template: %+v", r)
		}
		if err := f.SetSheetRow("organisation", "A2", &[]any{"", "Bureau"}); err != nil {
			t.Fatal(err)
		}
		b.Reset()
		if err := f.Write(&b); err != nil {
			t.Fatal(err)
		}
		if r := mustImport(t, s, XLSX, b.String()); r.Created != 1 {
			t.Errorf("filled in: %+v", r)
		}
	}
	if err := openNew(t).Template(&bytes.Buffer{}, "en", "nothing"); !errors.Is(err, ErrInvalid) {
		t.Errorf("a template of no class: %v", err)
	}
}

func TestJSON(t *testing.T) {
	t.Parallel()
	s := openNew(t, "a")
	one := `{"class":"host","name":"h1","tenant":"a","criticality":4,"addresses":["10.0.0.1"],"labels":"x;y","attributes":{"cpu":8,"os":"Kylin"},"created_at":"2026-01-01T00:00:00Z"}`
	for _, c := range []struct {
		format Format
		text   string
	}{
		{JSON, "[" + one + "]"}, {JSON, `{"items": [` + one + `]}`}, {NDJSON, "\n" + one + "\n\n"},
	} {
		r := doImport(t, s, c.format, c.text, ImportOptions{DryRun: true})
		if len(r.Errors) > 0 || r.Created != 1 {
			t.Errorf("%s %s: %+v", c.format, c.text, r)
		}
	}
	mustImport(t, s, JSON, "["+one+"]")
	page, err := s.Items(t.Context(), reach.All(), Filter{Query: "h1"})
	if err != nil || page.Total != 1 {
		t.Fatalf("%+v, %v", page, err)
	}
	if it := page.Items[0]; it.Criticality != 4 || len(it.Labels) != 2 || it.Attributes["os"] != "Kylin" || it.Attributes["cpu"] != "8" {
		t.Errorf("%+v", it)
	}
	for _, c := range []struct {
		format Format
		text   string
		want   string
	}{
		{JSON, ``, "want an array"}, {JSON, `7`, "want an array"}, {JSON, `{"x":[]}`, "want an array"}, {JSON, `{"items":[],"more":1}`, `unknown key "more"`},
		{JSON, `[{"name":}]`, "this is no JSON"}, {JSON, "[\n{\"name\":\"x\"}", "ends before"}, {JSON, `[] []`, "goes on"},
		{JSON, `[{"class":"host","name":"x","colour":"red"}]`, "row 1, column colour: unknown key"},
		{JSON, `["x"]`, "want an object"}, {JSON, `[{"class":"host","name":["x"]}]`, "want one text"},
		{JSON, `[{"class":"host","name":"x","addresses":[{}]}]`, "want a list"},
		{JSON, `[{"class":"host","name":"x","revision":"one"}]`, "revision"},
		{NDJSON, one + "\n{\"class\":\"host\",\"name\":\"x\",\"criticality\":7}\n", "row 2, column criticality: 7 is out of range"},
	} {
		r := doImport(t, s, c.format, c.text, ImportOptions{DryRun: true})
		if len(r.Errors) == 0 || !strings.Contains(r.Errors[0].Error(), c.want) {
			t.Errorf("%s %s: %v, want %q", c.format, c.text, r.Errors, c.want)
		}
	}
	// A revision that is not the present one is a conflict, as everywhere.
	_, err = s.Import(t.Context(), JSON, strings.NewReader(`[{"class":"host","name":"h1","tenant":"a","owner":"z","revision":9}]`), ImportOptions{Within: reach.All()})
	if !errors.Is(err, ErrStale) {
		t.Errorf("a stale item was imported: %v", err)
	}
}

func FuzzJSON(f *testing.F) {
	f.Add([]byte(`[{"class":"host","name":"x","labels":["a"],"attributes":{"os":"b"}}]`))
	f.Add([]byte(`{"items":[{"class":"network","name":"n","addresses":"10.0.0.0/8;11.0.0.0/8"}]}`))
	s := openNew(f)
	f.Fuzz(func(t *testing.T, data []byte) { fuzzImport(t, s, JSON, data) })
}

// TestUndoImport takes back an import that made items, changed others, swapped
// names and hung one on another; the second time it is a conflict.
func TestUndoImport(t *testing.T) {
	t.Parallel()
	s := openNew(t, "a", "b")
	mustImport(t, s, CSV, ledger)
	before := export(t, s, NDJSON, reach.All(), Filter{})
	opts := ImportOptions{Actor: "tester", Source: "more.csv"}
	r := doImport(t, s, CSV, `class,name,tenant,zone,addresses,system,organisation,owner
organisation,New,,,,,Bureau,
business_system,Fresh,a,,,,New,
host,fresh-1,a,office,10.1.9.9,Fresh,,x
host,web-1,a,office,10.1.9.8,Fresh,,someone
`, opts)
	if len(r.Errors) > 0 || r.Created != 3 || r.Updated != 1 || r.Import == 0 {
		t.Fatalf("%+v", r)
	}
	list, err := s.Imports(t.Context(), "", 0, 0)
	if err != nil || len(list) != 1 || list[0].Source != "more.csv" || list[0].Created != 3 || list[0].Updated != 1 {
		t.Fatalf("%+v, %v", list, err)
	}
	if other, err := s.Imports(t.Context(), "somebody", 0, 0); err != nil || len(other) != 0 {
		t.Errorf("%+v, %v", other, err)
	}
	// Something newer on one of its items stands in the way, by name.
	changed := mustGet(t, s, id(t, s, "fresh-1"))
	changed.Owner = "later"
	if _, err := s.Upsert(t.Context(), reach.All(), "li", changed); err != nil {
		t.Fatal(err)
	}
	var stands *UndoError
	if _, err := s.UndoImport(t.Context(), reach.All(), "tester", r.Import); !errors.As(err, &stands) || stands.Total != 1 ||
		stands.Conflicts[0].Item.Name != "fresh-1" || !strings.Contains(stands.Conflicts[0].Reason, "li updated it") {
		t.Fatalf("undone in spite of a newer change: %v", err)
	}
	if err := s.Delete(t.Context(), reach.All(), "li", changed.ID); err != nil {
		t.Fatal(err)
	}
	if _, err := s.UndoImport(t.Context(), reach.All(), "tester", r.Import); !errors.As(err, &stands) {
		t.Fatalf("undone though an item was deleted: %v", err)
	}

	// So does an item that hangs on a new one.
	r = doImport(t, s, CSV, "class,name,tenant\nbusiness_system,Base,a\n", opts)
	mustImport(t, s, CSV, "class,name,tenant,system\nhost,on-base,a,Base\n")
	if _, err := s.UndoImport(t.Context(), reach.All(), "tester", r.Import); !errors.As(err, &stands) || stands.Conflicts[0].Item.Name != "Base" {
		t.Fatalf("undone from under an item: %v", err)
	}

	// A clean one goes back to the letter, swapped names and addresses too.
	s = openNew(t, "a", "b")
	mustImport(t, s, CSV, ledger)
	before = export(t, s, NDJSON, reach.All(), Filter{})
	web, lone := id(t, s, "web-1"), id(t, s, "lone")
	r = doImport(t, s, CSV, "id,class,name,tenant,zone,addresses,system\n"+
		web+",host,lone,a,office,10.1.0.5,\n"+lone+",host,web-1,a,office,2001:db8::5,Fresh\n,business_system,Fresh,a,,,\n,host,db-1,a,office,10.1.0.6,Fresh\n", opts)
	if len(r.Errors) > 0 || r.Created != 1 || r.Updated != 3 {
		t.Fatalf("%+v", r)
	}
	im, err := s.UndoImport(t.Context(), reach.All(), "li", r.Import)
	if err != nil || im.UndoneBy != "li" || im.UndoneAt == nil {
		t.Fatalf("%+v, %v", im, err)
	}
	if after := export(t, s, NDJSON, reach.All(), Filter{}); after != before {
		t.Errorf("undone:\n%s\nwant\n%s", after, before)
	}
	if _, err := s.UndoImport(t.Context(), reach.All(), "li", r.Import); !errors.Is(err, ErrConflict) || !strings.Contains(err.Error(), "taken back by li") {
		t.Errorf("undone twice: %v", err)
	}
	if _, err := s.UndoImport(t.Context(), reach.All(), "li", 999); !errors.Is(err, ErrNotFound) {
		t.Errorf("an unknown import: %v", err)
	}
}

// TestUndoImportWithinReach keeps an import of several tenants from being taken
// back by somebody of one.
func TestUndoImportWithinReach(t *testing.T) {
	t.Parallel()
	s := openNew(t, "a", "b")
	r := doImport(t, s, CSV, "class,name,tenant\nhost,x,a\nhost,y,b\n", ImportOptions{Source: "two.csv"})
	if _, err := s.UndoImport(t.Context(), reach.Tenants("a"), "zhang", r.Import); !errors.Is(err, ErrConflict) || !strings.Contains(err.Error(), "outside of your reach") {
		t.Errorf("%v", err)
	}
	if p, err := s.Items(t.Context(), reach.All(), Filter{Classes: []string{Host}}); err != nil || p.Total != 2 {
		t.Errorf("%+v, %v", p, err)
	}
}

func id(t testing.TB, s *Service, name string) string {
	t.Helper()
	p, err := s.Items(t.Context(), reach.All(), Filter{Query: name, Classes: []string{Host}})
	if err != nil {
		t.Fatal(err)
	}
	for _, it := range p.Items {
		if it.Name == name {
			return it.ID
		}
	}
	t.Fatalf("there is no host %q", name)
	return ""
}

// TestModelChangeOfManyIsUndone moves many items to another model and back:
// 4,000 of them, or as many as ICEWATCH_CMDB_MANY says.
func TestModelChangeOfManyIsUndone(t *testing.T) {
	t.Parallel()
	n := 4_000
	if text := os.Getenv("ICEWATCH_CMDB_MANY"); text != "" {
		var err error
		if n, err = strconv.Atoi(text); err != nil {
			t.Fatal(err)
		}
	}
	s := openNew(t, "a")
	var text strings.Builder
	text.WriteString("class,name,tenant,zone,addresses,attr.site\n")
	for i := range n {
		fmt.Fprintf(&text, "host,h%06d,a,z,10.%d.%d.%d,R%d\n", i, i>>16, i>>8&255, i&255, i%40)
	}
	mustImport(t, s, CSV, text.String())
	sum := func() string {
		p, err := s.Items(t.Context(), reach.All(), Filter{Classes: []string{Host}, Limit: 1})
		if err != nil {
			t.Fatal(err)
		}
		return fmt.Sprint(p.Total, p.Items[0].Attributes)
	}
	before := export(t, s, NDJSON, reach.All(), Filter{})
	first := mustChange(t, s, ModelChange{Document: document(t, `{"classes": [{"class": "host", "attributes": [{"name": "spot", "type": "text", "renamed_from": "site"}]}]}`)})
	if first.Changed != int64(n) || !strings.Contains(sum(), "spot:R") {
		t.Fatalf("the change moved %d items, the first is now %s", first.Changed, sum())
	}
	if _, err := s.UndoModel(t.Context(), "tester", first.Revision, false); err != nil {
		t.Fatal(err)
	}
	settled(t, s)
	if after := export(t, s, NDJSON, reach.All(), Filter{}); after != before {
		t.Errorf("after the undo the export differs: %d bytes, want %d", len(after), len(before))
	}
}
