package surface

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"

	"icewatch/cmdb"
	"icewatch/cmdb/cmdbtest"
	"icewatch/collectors/scanner/wire"
	"icewatch/soc/exposure/scan"
	"icewatch/soc/reach"
)

const machine = "5f0c6f4b2a9d4f8e8a7b6c5d4e3f2a1b5f0c6f4b2a9d4f8e8a7b6c5d4e3f2a1b"

func read(x scan.Seen, attributes ...string) scan.Seen {
	for i := 0; i < len(attributes); i += 2 {
		value, _ := json.Marshal(attributes[i+1]) // a text always can be
		x.Attributes = append(x.Attributes, wire.Attribute{Address: x.Address, Name: attributes[i], Value: value, Source: "ssh"})
	}
	return x
}

func (w *world) open(state string) []SurfaceDuplicate {
	w.t.Helper()
	list, n, err := w.Duplicates(w.t.Context(), reach.Tenants("a"), state, 100, 0)
	if err != nil || n != len(list) {
		w.t.Fatal(list, n, err)
	}
	return list
}

func TestDuplicates(t *testing.T) {
	t.Parallel()
	onBoth(t, func(w *world) {
		ctx := w.t.Context()
		// Before anybody could read on them, two addresses of one machine were two hosts.
		w.see("t", "default", scan.Create, seen("10.0.0.20", "", "", 22), seen("10.0.0.21", "", "", 22, 443))
		first, second := w.item("default", "10.0.0.20"), w.item("default", "10.0.0.21")
		if first.ID == second.ID || first.ID == "" {
			w.t.Fatal(first, second)
		}
		deep := func() scan.ScanDiscovery {
			return w.see("t", "default", scan.Create, read(seen("10.0.0.20", "", "", 22), wire.AttributeMachine, machine, "serial", "CN7016"), read(seen("10.0.0.21", "", "", 22, 443), wire.AttributeMachine, machine, "serial", "CN7016"))
		}
		d := deep()
		if d.Merged != 1 || d.Duplicates != 0 || d.Conflicts != 0 {
			w.t.Fatalf("%+v", d)
		}
		it := w.item("default", "10.0.0.21")
		if it.ID != first.ID || !slices.Equal(it.Addresses, []string{"10.0.0.20", "10.0.0.21"}) || w.item("default", "10.0.0.20").ID != first.ID {
			w.t.Fatalf("%+v", it)
		}
		merged := w.open(DuplicateMerged)
		if len(merged) != 1 || !merged[0].Certain || !slices.Equal(merged[0].Marks, []string{"serial_number", "machine_id"}) || merged[0].By != "scan t" || merged[0].Merge == "" {
			w.t.Fatalf("%+v", merged)
		}
		// The next discovery sees one host at two addresses, with the ports of both, and
		// after that nothing changes.
		if d := deep(); d.Merged+d.Duplicates+d.Conflicts+d.Created != 0 || d.Known != 2 {
			w.t.Errorf("%+v", d)
		}
		if it := w.item("default", "10.0.0.20"); it.Attributes["open_ports"] != "22;443" {
			w.t.Errorf("%v", it.Attributes)
		}
		if d := deep(); d.Updated+d.Conflicts+d.Changes != 0 {
			w.t.Errorf("%+v", d)
		}
		// Who takes it back is not overruled.
		m, err := w.cmdb.UndoMerge(ctx, reach.Tenants("a"), "li", merged[0].Merge)
		if err != nil {
			w.t.Fatal(err)
		}
		if err := w.Parted(ctx, &m); err != nil {
			w.t.Fatal(err)
		}
		if list, _, err := w.Hosts(ctx, reach.All(), HostQuestion{Words: "10.0.0.21", Limit: 5}); err != nil || len(list) != 1 || list[0].Item != second.ID {
			w.t.Errorf("%+v, %v", list, err)
		}
		if d := deep(); d.Merged+d.Duplicates != 0 || w.item("default", "10.0.0.21").ID != second.ID || len(w.open(DuplicateUndone)) != 1 {
			w.t.Errorf("%+v, %+v", d, w.open(""))
		}
		// A machine that is known and answers at one more address is no new host.
		d = w.see("t", "default", scan.Create, read(seen("10.0.0.30", "", "", 22), wire.AttributeMachine, strings.Repeat("ab", 32), "serial", "CN9999"))
		d = w.see("t", "default", scan.Create, read(seen("10.0.0.30", "", "", 22), wire.AttributeMachine, strings.Repeat("ab", 32), "serial", "CN9999"), read(seen("10.0.0.31", "", "", 22), wire.AttributeMachine, strings.Repeat("ab", 32), "serial", "CN9999"))
		if it := w.item("default", "10.0.0.31"); d.Created != 0 || it.ID != w.item("default", "10.0.0.30").ID || len(it.Addresses) != 2 {
			w.t.Errorf("%+v, %+v", d, it)
		}
	})
}

func TestDuplicatesForPeople(t *testing.T) {
	t.Parallel()
	onBoth(t, func(w *world) {
		ctx := w.t.Context()
		// What a person made is merged by a person; what is not certain, too.
		cmdbtest.Import(w.t, w.cmdb, `{"id":"book","class":"host","name":"core-db","tenant":"a","zone":"default","owner":"周敏","attributes":{"serial_number":"2102351ABC"}}`)
		hosts := []scan.Seen{read(seen("10.0.0.40", "aa:00:00:00:00:40", "db-40", 22), "serial", "2102351ABC"), seen("10.0.0.41", "aa:00:00:00:00:41", "", 22), seen("10.0.0.42", "aa:00:00:00:00:41", "", 22)}
		d := w.see("t", "default", scan.Create, hosts...)
		if d.Duplicates != 2 || d.Merged != 0 {
			w.t.Fatalf("%+v", d)
		}
		if d := w.see("t", "default", scan.Create, hosts...); d.Duplicates != 2 || len(w.open(DuplicateOpen)) != 2 {
			w.t.Errorf("%+v, %+v", d, w.open(""))
		}
		var book, cards SurfaceDuplicate
		for _, x := range w.open(DuplicateOpen) {
			if x.Keep.ID == "book" {
				book = x
			} else {
				cards = x
			}
		}
		if book.Certain || !slices.Equal(book.Marks, []string{"serial_number"}) || !slices.Equal(cards.Marks, []string{"mac"}) {
			w.t.Fatalf("%+v, %+v", book, cards)
		}
		if _, err := w.Decide(ctx, reach.Tenants("b"), "ma", book.ID, DuplicateDecision{Action: "merge"}); !errors.Is(err, ErrNotFound) {
			w.t.Error("another tenant's duplicate was decided on:", err)
		}
		if _, err := w.Decide(ctx, reach.Tenants("a"), "li", book.ID, DuplicateDecision{Action: "merge", Keep: "nobody"}); !errors.Is(err, ErrInvalid) {
			w.t.Error(err)
		}
		got, err := w.Decide(ctx, reach.Tenants("a"), "li", book.ID, DuplicateDecision{Action: "merge", Note: "seen on site"})
		if it := w.item("default", "10.0.0.40"); err != nil || got.State != DuplicateMerged || it.ID != "book" || it.Name != "core-db" || it.Owner != "周敏" || it.Attributes["mac"] != "aa:00:00:00:00:40" {
			w.t.Fatalf("%+v, %+v, %v", got, it, err)
		}
		if _, err := w.Decide(ctx, reach.Tenants("a"), "li", cards.ID, DuplicateDecision{Action: "dismiss", Note: "two machines behind one card"}); err != nil {
			w.t.Fatal(err)
		}
		if d := w.see("t", "default", scan.Create, hosts...); d.Duplicates+d.Merged+d.Created != 0 || len(w.open(DuplicateDismissed)) != 1 || w.item("default", "10.0.0.41").ID == w.item("default", "10.0.0.42").ID {
			w.t.Errorf("%+v, %+v", d, w.open(""))
		}
		if x, err := w.Decide(ctx, reach.Tenants("a"), "li", cards.ID, DuplicateDecision{Action: "reopen"}); err != nil || x.State != DuplicateOpen {
			w.t.Errorf("%+v, %v", x, err)
		}
		// What is open of an item that went is none any more.
		if err := w.cmdb.Delete(ctx, reach.All(), "li", cards.Gone.ID); err != nil {
			w.t.Fatal(err)
		}
		w.see("t", "default", scan.Nothing, hosts[:2]...)
		if list := w.open(DuplicateOpen); len(list) != 0 {
			w.t.Errorf("%+v", list)
		}
	})
}

func TestAgree(t *testing.T) {
	t.Parallel()
	of := func(serial, machine, engine, mac string, names ...string) *marks {
		m := &marks{}
		m.add(serial, machine, engine, mac, names)
		return m
	}
	for name, c := range map[string]struct {
		a, b    *marks
		by      string
		certain bool
	}{
		"nothing":              {of("", "", "", ""), of("", "", "", ""), "", false},
		"a name alone":         {of("", "", "", "", "web"), of("", "", "", "", "web"), "", false},
		"a card":               {of("", "", "", "aa:00:00:00:00:01"), of("", "", "", "aa:00:00:00:00:02;AA:00:00:00:00:01"), "mac", false},
		"a card of routers":    {of("", "", "", "00:00:5e:00:01:0a"), of("", "", "", "00:00:5e:00:01:0a"), "", false},
		"serial and card":      {of("CN1234", "", "", "aa:00:00:00:00:01"), of("cn1234", "", "", "aa:00:00:00:00:01"), "serial_number mac", true},
		"serial alone":         {of("CN1234", "", "", ""), of("CN1234", "", "", ""), "serial_number", false},
		"serial and name":      {of("CN1234", "", "", "", "web"), of("CN1234", "", "", "", "WEB"), "serial_number hostname", true},
		"a placeholder":        {of("To be filled by O.E.M.", "", "", "", "web"), of("To be filled by O.E.M.", "", "", "", "web"), "", false},
		"other serials":        {of("CN1234", machine, "", "aa:00:00:00:00:01"), of("CN9999", machine, "", "aa:00:00:00:00:01"), "", false},
		"a cloned disk":        {of("", machine, "", "", "web"), of("", machine, "", "", "db"), "machine_id", false},
		"other installations":  {of("", machine, "", "aa:00:00:00:00:01"), of("", strings.Repeat("ab", 32), "", "aa:00:00:00:00:01"), "", false},
		"installed anew":       {of("CN1234", machine, "", "aa:00:00:00:00:01"), of("CN1234", strings.Repeat("ab", 32), "", "aa:00:00:00:00:01"), "serial_number mac", false},
		"an engine and a name": {of("", "", "80001f8804", "", "sw"), of("", "", "80001f8804", "", "sw"), "snmp_engine hostname", true},
	} {
		by, certain := agree(c.a, c.b)
		if strings.Join(by, " ") != c.by || certain != c.certain {
			t.Errorf("%s: %v %v, want %s %v", name, by, certain, c.by, c.certain)
		}
	}
	// One card at very many addresses is a router's that answers for others.
	d := &directory{items: map[string]*cmdb.Item{}, marks: map[string]*marks{}, by: map[string][]string{}}
	for _, id := range []string{"1", "2", "3", "4", "5"} {
		d.marks[id] = of("", "", "", "aa:00:00:00:00:01")
	}
	d.index()
	if got := d.near(of("", "", "", "aa:00:00:00:00:01")); len(got) != 0 {
		t.Errorf("%v", got)
	}
}
