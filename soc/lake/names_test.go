package lake

import (
	"math/rand/v2"
	"strings"
	"testing"

	"icewatch/soc/reach"
)

// The names of fields that only rows out of reach have stay unknown, whatever
// pipe makes a list of columns.
func TestNamesOfHiddenFields(t *testing.T) {
	t.Parallel()
	rnd := rand.New(rand.NewPCG(3, 3))
	s := newIsolation(t, rnd, 1500)
	e, err := reach.Parse(`region in ("a", "b") and industry = "ab"`)
	if err != nil {
		t.Fatal(err)
	}
	r := e.Compile(s.town.Directory())
	visible, hidden := map[string]bool{}, map[string]bool{}
	rows := 0
	for _, k := range s.rows {
		if r.Match(k.facts) {
			visible[k.extra] = true
			rows++
		}
	}
	for _, k := range s.rows {
		if k.extra != "" && !visible[k.extra] {
			hidden[k.extra] = true
		}
	}
	if rows == 0 || len(hidden) < 5 {
		t.Fatalf("%d rows and %d names to hide", rows, len(hidden))
	}
	for _, pipe := range []string{"", "| pack_json as x", "| pack_json as x | fields x", "| pack_logfmt as x", "| stats row_any(*) x", "| stats row_any() x", "| stats json_values(*) x",
		"| stats json_values() x", "| stats row_max(test.n) x", "| stats row_min(test.n, *) x", "| facets", "| facets 100 keep_const_fields", "| uniq by (*)", "| top 100 by (*)", "| first 10 by (test.n)",
		"| sort by (test.n)", "| stats count(*) x", "| stats by (user.name) row_any(*) x", "| fields extra.*", "| field_values extra.1", "| union (*) | stats row_any(*) x", "| drop_empty_fields", "| stats values(extra.*) x",
		"| unroll by (user.name)", "| sample 2", "| stats uniq_values(extra.*) x", "| rename user.name as y", "| copy * as z.*", "| format \"<user.name>\" as x"} {
		_ = s.lake.Rows(t.Context(), s.query(r, "* "+pipe), func(row []byte) error {
			for _, word := range strings.FieldsFunc(string(row), func(r rune) bool { return !strings.ContainsRune("extra.0123456789", r) }) {
				if hidden[word] {
					t.Errorf("%q shows %s in %.300s", pipe, word, row)
					return errEnough
				}
			}
			return nil
		})
	}
}
