package acceptance

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/xuri/excelize/v2"
)

// workbook is an XLSX file of one sheet.
func workbook(t *testing.T, sheet string, rows ...[]any) []byte {
	t.Helper()
	f := excelize.NewFile()
	defer f.Close()
	if err := f.SetSheetName("Sheet1", sheet); err != nil {
		t.Fatal(err)
	}
	for i, row := range rows {
		if err := f.SetSheetRow(sheet, fmt.Sprintf("A%d", i+1), &row); err != nil {
			t.Fatal(err)
		}
	}
	var b bytes.Buffer
	if err := f.Write(&b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// TestCMDBData brings a ledger in over the API of the running suite: a broken
// workbook, a good one and the way back from it; then two people work on
// protected items at once.
func TestCMDBData(t *testing.T) {
	t.Parallel()
	s := newSuite(t, "")
	admin := s.admin.Options().Token
	count := func(q string) int {
		t.Helper()
		var page struct{ Total int }
		s.call(admin, "GET", "/api/v1/cmdb/items?q="+q, "", 200, &page)
		return page.Total
	}

	// A broken workbook: each bad cell is told, and nothing is changed.
	broken := workbook(t, "主机", []any{"名称", "IP地址", "重要性"}, []any{"xl-good", "10.77.0.1", 3}, []any{"xl-bad", "10.77.0.999", 9})
	var problem struct {
		Rejected int
		Errors   []struct{ Sheet, Cell, Column, Value, Message string }
	}
	if body := s.call(admin, "POST", "/api/v1/cmdb/import?format=xlsx&source=ledger.xlsx", string(broken), 422, &problem); len(problem.Errors) != 2 {
		t.Fatalf("%s", body)
	}
	for i, want := range []string{"B3 10.77.0.999", "C3 9"} {
		if e := problem.Errors[i]; e.Sheet != "主机" || e.Cell+" "+e.Value != want || e.Message == "" {
			t.Errorf("mistake %d: %+v, want %s", i, e, want)
		}
	}
	if n := count("xl-"); n != 0 {
		t.Fatalf("%d items of a broken workbook were imported", n)
	}
	f, err := excelize.OpenReader(bytes.NewReader(s.call(admin, "POST", "/api/v1/cmdb/import/marked?format=xlsx", string(broken), 200, nil)))
	if err != nil {
		t.Fatalf("the marked workbook: %v", err)
	}
	defer f.Close()
	if notes, err := f.GetComments("主机"); err != nil || len(notes) != 2 || notes[0].Cell != "B3" {
		t.Errorf("the marked workbook has the notes %+v, %v", notes, err)
	}

	// A good one, and all of it back again.
	good := workbook(t, "host", []any{"name", "addresses", "attr.os"}, []any{"xl-1", "10.77.0.1", "Kylin"}, []any{"xl-2", "10.77.0.2", ""})
	var report struct{ Created, Import int }
	if s.call(admin, "POST", "/api/v1/cmdb/import?format=xlsx&source=ledger.xlsx", string(good), 200, &report); report.Created != 2 || report.Import == 0 {
		t.Fatalf("the good workbook: %+v", report)
	}
	if n := count("xl-"); n != 2 {
		t.Errorf("%d items, want 2", n)
	}
	var imports struct {
		Items []struct {
			ID     int
			Source string
		}
	}
	s.call(admin, "GET", "/api/v1/cmdb/imports", "", 200, &imports)
	if len(imports.Items) != 1 || imports.Items[0].Source != "ledger.xlsx" {
		t.Errorf("%+v", imports)
	}
	undo := fmt.Sprintf("/api/v1/cmdb/imports/%d/undo", report.Import)
	s.call(admin, "POST", undo, "", 200, nil)
	if n := count("xl-"); n != 0 {
		t.Errorf("%d items are left of an import that was taken back", n)
	}
	s.call(admin, "POST", undo, "", 409, nil)

	// A file of an item, from the way in to the way back.
	s.call(admin, "POST", "/api/v1/cmdb/items", `{"id":"filed","class":"organisation","name":"filed"}`, 200, nil)
	const files = "/api/v1/cmdb/items/filed/attachments"
	s.call(admin, "POST", files+"?name=page.html", "<html>", 422, nil)
	var kept struct {
		ID   int
		Size int
	}
	s.call(admin, "POST", files+"?name=notes.txt", "twelve bytes", 201, &kept)
	one := fmt.Sprintf("%s/%d", files, kept.ID)
	if got := s.call(admin, "GET", one, "", 200, nil); string(got) != "twelve bytes" || kept.Size != 12 {
		t.Errorf("%q, %+v", got, kept)
	}
	s.call(admin, "DELETE", one, "", 200, nil)
	s.call(admin, "POST", one+"/restore", "", 200, nil)
	s.call(admin, "GET", "/api/v1/cmdb/items/guarded/attachments/"+fmt.Sprint(kept.ID), "", 404, nil)

	// Two people at one protected item.
	_, zhang := s.signedInUser("cmdb-zhang", "admin", "e-seal")
	_, li := s.signedInUser("cmdb-li", "admin", "e-seal")
	s.call(admin, "POST", "/api/v1/cmdb/items", `{"id":"guarded","class":"host","name":"guarded","tenant":"e-seal","owner":"nobody"}`, 200, nil)
	s.call(admin, "PUT", "/api/v1/settings/cmdb-approval", `{"classes":["host"],"days":7}`, 200, nil)
	s.call(admin, "PUT", "/api/v1/settings/cmdb-approval", `{"classes":["nothing"],"days":7}`, 422, nil)
	if body := s.call(zhang, "PATCH", "/api/v1/cmdb/items/guarded", `{"owner":"zhang"}`, 409, nil); !strings.Contains(string(body), `"protected"`) {
		t.Errorf("a change of a protected item: %s", body)
	}
	var request struct {
		ID    int
		State string
		Mine  bool
	}
	file := func(who, owner string) string {
		s.call(who, "POST", "/api/v1/cmdb/change-requests", `{"comment":"the owner has changed","items":[{"id":"guarded","class":"host","owner":"`+owner+`"}]}`, 201, &request)
		return fmt.Sprintf("/api/v1/cmdb/change-requests/%d", request.ID)
	}
	first, second := file(zhang, "zhang"), file(li, "li")
	s.call(zhang, "POST", first+"/approve", `{}`, 403, nil)
	s.call(li, "POST", first+"/approve", `{"comment":"right"}`, 200, &request)
	if request.State != "approved" {
		t.Errorf("%+v", request)
	}
	// The other one's request is of an item that has moved on.
	if body := s.call(zhang, "POST", second+"/approve", `{}`, 409, nil); !strings.Contains(string(body), "owner") {
		t.Errorf("the conflict does not name what was changed: %s", body)
	}
	s.call(li, "GET", second, "", 200, &request)
	var item struct{ Owner string }
	s.call(admin, "GET", "/api/v1/cmdb/items/guarded", "", 200, &item)
	if request.State != "conflict" || item.Owner != "zhang" {
		t.Errorf("the second request is %s and the owner is %q", request.State, item.Owner)
	}
}

// TestCMDBInbox sends events of a host that the CMDB does not know, finds its
// address and name in the inbox, and makes an item of it.
func TestCMDBInbox(t *testing.T) {
	t.Parallel()
	s := newSuite(t, "")
	admin := s.admin.Options().Token
	// The first look is at what was two minutes ago, so that the next one begins
	// there; without a delay it sees the events once they can be found.
	s.call(admin, "POST", "/api/v1/cmdb/inbox/look", "", 200, nil)
	s.bulk("e-seal",
		map[string]any{"message": "a", "event.dataset": "fw", "source.ip": "10.66.0.1", "destination.ip": "10.66.0.2", "destination.port": 5432},
		map[string]any{"message": "b", "event.dataset": "fw", "source.ip": "203.0.113.9", "destination.ip": "fd00::66", "destination.port": 443},
		map[string]any{"message": "c", "event.dataset": "sys", "host.name": "unknown-66"})
	eventually(t, 60*time.Second, "the events can be found", func() error {
		if rows := s.find(`"event.dataset":in(fw,sys) | stats count() n`); len(rows) != 1 || fmt.Sprint(rows[0]["n"]) != "3" {
			return fmt.Errorf("%v", rows)
		}
		return nil
	})
	s.call(admin, "PUT", "/api/v1/settings/cmdb-inbox", `{"enabled":true,"hostnames":true,"delay_seconds":0}`, 200, nil)
	type candidate struct {
		ID                          int
		Kind, Value, Tenant, ItemID string
		Events                      int
		Ports                       []struct{ Service string }
	}
	var page struct{ Items []candidate }
	found := func(state string) map[string]candidate {
		t.Helper()
		s.call(admin, "GET", "/api/v1/cmdb/inbox?limit=1000&state="+state, "", 200, &page)
		out := map[string]candidate{}
		for _, c := range page.Items {
			out[c.Value] = c
		}
		return out
	}
	eventually(t, 60*time.Second, "the unknown are in the inbox", func() error {
		s.call(admin, "POST", "/api/v1/cmdb/inbox/look", "", 200, nil)
		got := found("waiting")
		for _, want := range []string{"10.66.0.1", "10.66.0.2", "fd00::66", "unknown-66"} {
			if got[want].Tenant != "e-seal" {
				return fmt.Errorf("%s is missing among %v", want, got)
			}
		}
		return nil
	})
	got := found("waiting")
	if _, outside := got["203.0.113.9"]; outside {
		t.Error("an address of somebody else is in the inbox")
	}
	if c := got["10.66.0.2"]; len(c.Ports) != 1 || c.Ports[0].Service != "postgresql" {
		t.Errorf("%+v", c)
	}
	s.call(admin, "POST", "/api/v1/cmdb/inbox/approve", fmt.Sprintf(`{"ids":[%d],"class":"host","labels":["found"]}`, got["10.66.0.2"].ID), 200, nil)
	s.call(admin, "POST", "/api/v1/cmdb/inbox/ignore", fmt.Sprintf(`{"ids":[%d],"days":7,"note":"a visitor"}`, got["unknown-66"].ID), 204, nil)
	var items struct{ Items []struct{ Tenant string } }
	s.call(admin, "GET", "/api/v1/cmdb/items?q=10.66.0.2", "", 200, &items)
	if len(items.Items) != 1 || items.Items[0].Tenant != "e-seal" {
		t.Errorf("%+v", items)
	}
	if left := found("waiting"); len(left) != len(got)-2 {
		t.Errorf("%d wait, want %d", len(left), len(got)-2)
	}
}
