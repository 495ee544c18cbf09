package cmdb

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"icewatch/soc/reach"
)

const twins = `{"id":"net","class":"network","name":"Office","tenant":"a","zone":"office","addresses":["10.1.0.0/16"]}
{"id":"sys","class":"business_system","name":"Seal","tenant":"a","criticality":5}
{"id":"keep","class":"vm","name":"web-1","tenant":"a","zone":"office","addresses":["10.1.0.5"],"hostnames":["web-1"],"criticality":2,"owner":"王芳","labels":["linux"],"attributes":{"os":"Kylin V10","lifecycle":"in_service","mac":"aa:00:00:00:00:01"}}
{"id":"peer","class":"host","name":"peer","tenant":"a","zone":"office","addresses":["10.1.0.9"]}
{"id":"other","class":"host","name":"other","tenant":"b","zone":"office","addresses":["10.1.0.77"]}
{"id":"away","class":"host","name":"away","tenant":"a","zone":"dmz","addresses":["10.1.0.5"]}
`

// seenTwice makes a second item of the host keep as a discovery does, with what hangs on it.
func seenTwice(t *testing.T, s *Service) {
	t.Helper()
	mustImport(t, s, NDJSON, twins)
	r := doImport(t, s, NDJSON, `{"id":"gone","class":"host","name":"10.1.0.6","tenant":"a","zone":"office","addresses":["10.1.0.6"],"hostnames":["web-1","web-1b"],"system":"sys","labels":["linux","public"],"attributes":{"os":"Linux","os_version":"5.10","open_ports":"22;80","mac":"aa:00:00:00:00:01"}}
{"id":"redis","class":"database","name":"Redis 10.1.0.6:6379","tenant":"a","attributes":{"product":"Redis","port":"6379","host":"gone"}}`, ImportOptions{Actor: "scan night"})
	if len(r.Errors) > 0 {
		t.Fatal(r.Errors)
	}
	ctx := context.Background()
	if _, err := s.Relate(ctx, reach.All(), "li", []Link{{"gone", "connects_to", "peer"}, {"peer", "depends_on", "gone"}, {"keep", "depends_on", "gone"}, {"keep", "connects_to", "peer"}}); err != nil {
		t.Fatal(err)
	}
}

// bytesOf are items and all relations of them as bytes, but for the count of changes.
func bytesOf(t *testing.T, s *Service, ids ...string) string {
	t.Helper()
	var b strings.Builder
	for _, id := range ids {
		it, err := s.Get(context.Background(), reach.All(), id)
		if errors.Is(err, ErrNotFound) {
			fmt.Fprintf(&b, "%s is gone\n", id)
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		it.Revision = 0
		text, err := json.Marshal(it)
		if err != nil {
			t.Fatal(err)
		}
		page, err := s.RelationsOf(context.Background(), reach.All(), id, RelationFilter{Limit: 100})
		if err != nil {
			t.Fatal(err)
		}
		lines := []string{}
		for _, r := range page.Relations {
			line, err := json.Marshal(r)
			if err != nil {
				t.Fatal(err)
			}
			lines = append(lines, string(line))
		}
		slices.Sort(lines) // they come by the age of the other item, which a restored one begins anew
		fmt.Fprintf(&b, "%s\n%s\n", text, strings.Join(lines, "\n"))
	}
	return b.String()
}

func TestMergeAndUndo(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	s := openNew(t, "a", "b")
	seenTwice(t, s)
	all := []string{"keep", "gone", "redis", "peer", "sys", "net"}
	before := bytesOf(t, s, all...)
	opts := MergeOptions{Within: reach.Tenants("a"), Actor: "li", Reason: "one machine"}

	dry := opts
	dry.DryRun = true
	if m, err := s.MergeItems(ctx, "keep", "gone", dry); err != nil || m.ID != "" || len(m.Referring) != 1 {
		t.Fatalf("%+v, %v", m, err)
	}
	if got := bytesOf(t, s, all...); got != before {
		t.Fatalf("a dry run changed\n%s\nto\n%s", before, got)
	}
	m, err := s.MergeItems(ctx, "keep", "gone", opts)
	if err != nil {
		t.Fatal(err)
	}
	it := mustGet(t, s, "keep")
	if it.Name != "web-1" || it.Class != "vm" || !slices.Equal(it.Addresses, []string{"10.1.0.5", "10.1.0.6"}) || !slices.Equal(it.Hostnames, []string{"web-1", "web-1b"}) || !slices.Equal(it.Labels, []string{"linux", "public"}) ||
		it.System != "sys" || it.Owner != "王芳" || it.Criticality != 5 {
		t.Errorf("%+v", it)
	}
	// What a person wrote is better than what a discovery saw; what only that knows is taken.
	if a := it.Attributes; a["os"] != "Kylin V10" || a["os_version"] != "5.10" || a["open_ports"] != "22;80" || a["lifecycle"] != "in_service" {
		t.Errorf("%v", a)
	}
	if got := mustGet(t, s, "redis"); got.Attributes["host"] != "keep" {
		t.Errorf("%+v", got)
	}
	if _, err := s.Get(ctx, reach.All(), "gone"); !errors.Is(err, ErrNotFound) {
		t.Error(err)
	}
	var rel []string
	page, err := s.RelationsOf(ctx, reach.All(), "keep", RelationFilter{})
	for _, r := range page.Relations {
		rel = append(rel, fmt.Sprint(r.Forward, " ", r.Type, " ", r.Item.ID, " ", r.Origin))
	}
	slices.Sort(rel)
	if want := []string{"false depends_on peer manual", "false runs_on redis field.host", "true belongs_to_system sys field.system", "true connects_to peer manual", "true in_network net rule.addresses_in_networks"}; err != nil || !slices.Equal(rel, want) {
		t.Errorf("%v, want %v, %v", rel, want, err)
	}
	if m.Relations != 1 || m.Dropped != 0 || len(m.Referring) != 1 || m.Referring[0].ID != "redis" {
		t.Errorf("%+v", m)
	}
	at := slices.IndexFunc(m.Fields, func(f MergeField) bool { return f.Field == "attr.os" })
	if at < 0 || m.Fields[at] != (MergeField{Field: "attr.os", Keep: "Kylin V10", Gone: "Linux", Value: "Kylin V10", KeepSource: "tester", GoneSource: "scan night"}) {
		t.Errorf("%+v", m.Fields)
	}
	// Who does not see the item that stays sees no merge of it, and takes none back.
	if list, err := s.Merges(ctx, reach.Tenants("b"), "", time.Time{}, 10); err != nil || len(list) != 0 {
		t.Errorf("%+v, %v", list, err)
	}
	if _, err := s.UndoMerge(ctx, reach.Tenants("b"), "ma", m.ID); !errors.Is(err, ErrNotFound) {
		t.Error(err)
	}
	if _, err := s.UndoMerge(ctx, reach.Tenants("a"), "li", m.ID); err != nil {
		t.Fatal(err)
	}
	if got := bytesOf(t, s, all...); got != before {
		t.Errorf("before\n%s\nafter the undo\n%s", before, got)
	}
	if now := mustGet(t, s, "keep"); now.Revision != it.Revision+1 {
		t.Errorf("revision %d after %d", now.Revision, it.Revision)
	}
	list, err := s.Merges(ctx, reach.Tenants("a"), "gone", time.Time{}, 10)
	if err != nil || len(list) != 1 || list[0].UndoneBy != "li" || list[0].Reason != "one machine" {
		t.Errorf("%+v, %v", list, err)
	}
	if _, err := s.UndoMerge(ctx, reach.Tenants("a"), "li", m.ID); !errors.Is(err, ErrConflict) {
		t.Error(err)
	}
	// Searches and paths follow, and the two can be merged again, the other way round.
	if p, err := s.Items(ctx, reach.All(), Filter{Address: "10.1.0.6"}); err != nil || p.Total == 0 || !slices.ContainsFunc(p.Items, func(x Item) bool { return x.ID == "gone" }) {
		t.Errorf("%+v, %v", p, err)
	}
	opts.Choose = map[string]string{"attr.os": "keep", "owner": "gone"}
	m, err = s.MergeItems(ctx, "gone", "keep", opts)
	if it := mustGet(t, s, "gone"); err != nil || it.Attributes["os"] != "Linux" || it.Owner != "王芳" || it.Name != "10.1.0.6" {
		t.Errorf("%+v, %v", it, err)
	}
	if _, err := s.UndoMerge(ctx, reach.All(), "li", m.ID); err != nil {
		t.Fatal(err)
	}
	if got := bytesOf(t, s, all...); got != before {
		t.Errorf("before\n%s\nafter the second undo\n%s", before, got)
	}
}

func TestUndoAfterChanges(t *testing.T) {
	t.Parallel()
	ctx, all := t.Context(), reach.All()
	s := openNew(t, "a", "b")
	seenTwice(t, s)
	m, err := s.MergeItems(ctx, "keep", "gone", MergeOptions{Within: all, Actor: "scan night"})
	if err != nil {
		t.Fatal(err)
	}
	set := func(actor, field, value string) {
		t.Helper()
		id, class := "keep", "vm"
		if r, err := s.UpsertAll(ctx, []Fields{{ID: &id, Class: &class, Attributes: map[string]*string{field: &value}}}, ImportOptions{Within: all, Actor: actor}); err != nil || len(r.Errors) > 0 {
			t.Fatal(r, err)
		}
	}
	set("scan night", "open_ports", "443") // measured again: no reason to keep it merged
	set("li", "asset_number", "A-7")       // none of the merge's
	set("li", "os_version", "V10 SP1")     // the merge's
	_, err = s.UndoMerge(ctx, all, "li", m.ID)
	if !errors.Is(err, ErrConflict) || !strings.Contains(err.Error(), "li changed the field attr.os_version") {
		t.Fatal(err)
	}
	set("scan night", "os_version", "V10 SP1")
	set("agent x", "os_version", "V10")
	if _, err = s.UndoMerge(ctx, all, "li", m.ID); err != nil {
		t.Fatal(err)
	}
	if a := mustGet(t, s, "keep").Attributes; a["open_ports"] != "" || a["asset_number"] != "A-7" || a["os_version"] != "" || a["os"] != "Kylin V10" {
		t.Errorf("%v", a)
	}
}

func TestMergeRefuses(t *testing.T) {
	t.Parallel()
	ctx, all := t.Context(), reach.All()
	s := openNew(t, "a", "b")
	seenTwice(t, s)
	version := bytesOf(t, s, "keep", "gone", "other", "away", "sys", "redis")
	for name, c := range map[string]struct {
		keep, gone string
		opts       MergeOptions
		want       error
	}{
		"itself":            {"keep", "keep", MergeOptions{Within: all}, ErrInvalid},
		"another tenant":    {"keep", "other", MergeOptions{Within: all}, ErrInvalid},
		"out of reach":      {"keep", "other", MergeOptions{Within: reach.Tenants("a")}, ErrNotFound},
		"another zone":      {"keep", "away", MergeOptions{Within: all}, ErrInvalid},
		"systems":           {"sys", "keep", MergeOptions{Within: all}, ErrInvalid},
		"no address at all": {"keep", "redis", MergeOptions{Within: all}, ErrInvalid},
		"unknown":           {"keep", "nobody", MergeOptions{Within: all}, ErrNotFound},
		"a choice of none":  {"keep", "gone", MergeOptions{Within: all, Choose: map[string]string{"attr.os": "both"}}, ErrInvalid},
		"a field of none":   {"keep", "gone", MergeOptions{Within: all, Choose: map[string]string{"attr.nothing": "keep"}}, ErrInvalid},
		"a long reason":     {"keep", "gone", MergeOptions{Within: all, Reason: strings.Repeat("长", 501)}, ErrInvalid},
	} {
		if _, err := s.MergeItems(ctx, c.keep, c.gone, c.opts); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
	if got := bytesOf(t, s, "keep", "gone", "other", "away", "sys", "redis"); got != version {
		t.Errorf("what was refused changed\n%s\nto\n%s", version, got)
	}
	if only, err := s.OnlyDiscovered(ctx, []string{"keep", "gone", "redis"}); err != nil || only["keep"] || only["gone"] || !only["redis"] {
		t.Errorf("%v, %v", only, err) // somebody related the second
	}
}

// TestMergeOfTwoWithTheSameUnderThem: what belongs to both and would be one
// item then is named, with what to do first, and nothing is changed.
func TestMergeOfTwoWithTheSameUnderThem(t *testing.T) {
	t.Parallel()
	s := openNew(t, "a", "b")
	mustChange(t, s, ModelChange{Document: document(t, "classes: [{class: database, key: [host, port]}]")})
	seenTwice(t, s)
	mustImport(t, s, NDJSON, `{"id":"redis-2","class":"database","name":"Redis of web-1","tenant":"a","attributes":{"product":"Redis","port":"6379","host":"keep"}}`)
	ids := []string{"keep", "gone", "redis", "redis-2"}
	before := bytesOf(t, s, ids...)
	for _, dry := range []bool{true, false} {
		_, err := s.MergeItems(t.Context(), "keep", "gone", MergeOptions{Within: reach.All(), Actor: "li", DryRun: dry})
		if !errors.Is(err, ErrConflict) || !strings.Contains(err.Error(), "redis-2") || !strings.Contains(err.Error(), "merge these two first") {
			t.Errorf("%v", err)
		}
	}
	if got := bytesOf(t, s, ids...); got != before {
		t.Errorf("what was refused changed\n%s\nto\n%s", before, got)
	}
}
