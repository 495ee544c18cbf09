package main

import (
	"strings"
	"testing"
	"time"
)

const report = `{"config":{"scanner_name":"govulncheck"}}
{"osv":{"id":"GO-1","summary":"one"}}
{"osv":{"id":"GO-2","summary":"two"}}
{"osv":{"id":"GO-3","summary":"three"}}
{"finding":{"osv":"GO-1","fixed_version":"v1.2.0","trace":[{"module":"example.org/m","version":"v1.0.0","function":"Parse"},{"function":"main"}]}}
{"finding":{"osv":"GO-2","fixed_version":"v1.2.0","trace":[{"module":"example.org/m","version":"v1.0.0","package":"m"}]}}
{"finding":{"osv":"GO-3","fixed_version":"v1.3.0","trace":[{"module":"stdlib","version":"v1.26.8","function":"Serve"}]}}
`

func TestOnlyWhatIsCalledCounts(t *testing.T) {
	found, err := called(strings.NewReader(report))
	if err != nil || len(found) != 2 || found["GO-1"] != (finding{"example.org/m", "v1.0.0", "v1.2.0", "one"}) || found["GO-3"].module != "stdlib" {
		t.Fatalf("%+v, %v", found, err)
	}
	if _, err := called(strings.NewReader(report[:len(report)-20])); err == nil {
		t.Error("a report that breaks off passes")
	}
	at := func(day string) time.Time {
		d, err := time.Parse(time.DateOnly, day)
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	f := func(list string, now string, fails ...string) {
		t.Helper()
		accepted, err := parseAccepted(list)
		if err != nil {
			t.Fatal(err)
		}
		err = judge(found, accepted, at(now))
		if (err != nil) != (len(fails) > 0) {
			t.Errorf("%q: %v", list, err)
		}
		for _, id := range fails {
			if err != nil && !strings.Contains(err.Error(), id) {
				t.Errorf("%q: %v; want %s in it", list, err, id)
			}
		}
	}
	f("", "2026-11-25", "GO-1", "GO-3")
	f("GO-1 2026-11-25 no way in", "2026-11-25", "GO-3")
	f("GO-1 2026-11-25 x\n# comment\n\nGO-3 2026-12-31 y", "2026-11-25")
	f("GO-1 2026-11-25 x\nGO-3 2026-12-31 y", "2026-11-27", "GO-1")
	for _, bad := range []string{"GO-1", "GO-1 2026-11-25", "GO-1 soon because"} {
		if _, err := parseAccepted(bad); err == nil {
			t.Errorf("%q passes", bad)
		}
	}
}

func TestAcceptedIsWellFormed(t *testing.T) {
	if _, err := parseAccepted(acceptedText); err != nil {
		t.Error(err)
	}
}
