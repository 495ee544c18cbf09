package lake

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"icewatch/soc/search"
	"icewatch/soc/veil"
)

// TestVeil asks through a veil: what comes back is what the rows as they are
// shown would answer, whatever the query tries.
func TestVeil(t *testing.T) {
	t.Parallel()
	l := shelf(t, time.Now().Add(-time.Minute),
		map[string]string{"raw": "call from 13812345678 by wang", "message": "call from 13812345678 by wang", "user.phone": "13812345678", "user.name": "wang", "host.name": "h1"},
		map[string]string{"raw": "call from 13987654321 by li", "message": "call from 13987654321 by li", "user.phone": "13987654321", "user.name": "li", "host.name": "h1"},
		map[string]string{"raw": "nothing to see", "message": "nothing to see", "host.name": "h2", "url.query": "tel=13812345678"})
	fields, err := veil.New([]veil.Rule{{ID: "1", Fields: []string{"user.phone"}, Method: veil.Full, Strict: true}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	patterns, err := veil.New([]veil.Rule{{ID: "2", Pattern: `\b1[3-9]\d{9}\b`, Method: veil.Keep, First: 3}, {ID: "3", Pattern: `\bwan\w\b`, Method: veil.Full}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	q := Query{Accounts: []uint32{7}, Start: time.Now().Add(-time.Hour), End: time.Now(), Limit: 100}
	ask := func(v *veil.Veil, query string) (found []string, err error) {
		q := q
		q.Veil, q.LogsQL = v, query
		err = l.Rows(t.Context(), q, func(row []byte) error {
			found = append(found, string(v.Row(row)))
			return nil
		})
		return found, err
	}
	for _, c := range []struct {
		veil  *veil.Veil
		query string
		want  int // rows
	}{
		{fields, "*", 3},
		{fields, `user.phone:="13812345678"`, 0},
		{fields, `!user.phone:="13812345678"`, 3},
		{fields, `user.phone:~"^138"`, 0},
		{fields, `!user.phone:~"^138"`, 3},
		{fields, `user.phone:*`, 2},
		{fields, `user.phone:"***"`, 2},
		{fields, `user.phone:="***"`, 2},
		{fields, `13812345678`, 1}, // the one in url.query, which no rule hides
		{fields, `message:wang`, 0},
		{fields, `user.name:wang`, 1},
		{fields, `host.name:h1 user.name:li`, 1},
		{fields, `user.phone:>13900000000`, 0},
		{fields, `user.phone:<13900000000`, 0},
		{fields, `user.phone:len_range(11, 11)`, 0},
		{fields, `user.phone:eq_field(user.phone)`, 3},
		{fields, `* | filter user.phone:~"^138"`, 0},
		{fields, `* | stats by (user.phone) count() n`, 2},
		{fields, `* | uniq by (user.phone)`, 2},
		{fields, `* | extract "138<rest>" from user.phone | filter rest:=12345678`, 0},
		{fields, `* | format "<user.phone>" as x | filter x:~"138"`, 0},
		{fields, `* | copy user.phone as x | filter x:~"138"`, 0},
		{fields, `* | math user.phone + 1 as x | filter x:>10`, 0},
		{fields, `* | stats count() if (user.phone:~"^138") n | filter n:>0`, 0},
		{fields, `icewatch.raw:~"call"`, 0},
		{fields, `{user.phone=~"138.*"}`, 0},
		{fields, `{user.phone="***"}`, 2},
		{patterns, "*", 3},
		{patterns, `13812345678`, 0},
		{patterns, `!url.query:~"13812345678"`, 3},
		{patterns, `url.query:~"tel="`, 1},
		{patterns, `message:~"138"`, 0},
		{patterns, `!message:~"138"`, 3},
		{patterns, `message:call`, 2},
		{patterns, `message:wang`, 0},
		{patterns, `message:li`, 1},
		{patterns, `user.name:=wang`, 0},
		{patterns, `user.name:=li`, 1},
		{patterns, `* | extract "tel=<n>" from url.query | filter n:~"138"`, 0},
		{patterns, `* | format "<url.query>" as x | filter x:~"138"`, 0},
		{patterns, `* | stats by (url.query) count() n | filter url.query:~"138"`, 0},
		{fields.With(patterns), `user.phone:="13812345678" or url.query:~"138"`, 0},
	} {
		found, err := ask(c.veil, c.query)
		if err != nil || len(found) != c.want {
			t.Errorf("%s finds %d, want %d (%v)\n%s", c.query, len(found), c.want, err, strings.Join(found, "\n"))
		}
		for _, row := range found {
			if c.veil != fields && strings.Contains(row, "3812345678") || strings.Contains(row, l.aside) || c.veil != patterns && strings.Contains(row, `"user.phone":"1`) {
				t.Errorf("%s shows %s", c.query, row)
			}
		}
	}
	// Rows left whole have their raw text, masked.
	found, err := ask(fields, `user.name:wang | sort by (_time) | limit 5`)
	if err != nil || len(found) != 1 || !strings.Contains(found[0], `"event.original":"call from *** by wang"`) || !strings.Contains(found[0], `"message":"call from *** by wang"`) {
		t.Errorf("%s %v", found, err)
	}
	for _, query := range []string{`user.name:in(user.phone:~"138" | fields user.name)`, `* | pack_json as x | filter x:~"138"`, `* | rename user.* as u.*`, `* | fields *`, `* | union (user.phone:~"138")`,
		`* | join by (user.name) (user.phone:~"138")`, `* | facets`, `* | field_names`, `* | block_stats`, `_stream:~"h1"`, `* | stats json_values(*) x`, `* | stats row_any(*) x`, `* | copy user.* as x.*`} {
		if found, err := ask(fields, query); !isRefused(err) && len(found) > 0 {
			t.Errorf("%s is not refused: %s %v", query, found, err)
		}
	}
	if found, err := ask(patterns, `user.name:="wan*"`); !isRefused(err) {
		t.Errorf("a text that may name many columns: %s %v", found, err)
	}
	// A field may have the letters of a stream in its name.
	if found, err := ask(fields, `!"data_stream.type":=traces | stats count() n`); err != nil || len(found) != 1 {
		t.Errorf("data_stream.type: %s %v", found, err)
	}
	// What stands beside rows.
	q.Veil, q.LogsQL = fields, `user.phone:~"^138"`
	if h, err := l.Histogram(t.Context(), q, 4); err != nil || h.Total != 0 {
		t.Errorf("histogram: %d %v", h.Total, err)
	}
	if v, err := l.Values(t.Context(), q, "user.name", 5); err != nil || len(v) != 0 {
		t.Errorf("values: %v %v", v, err)
	}
	if f, err := l.Facets(t.Context(), q, []string{"user.name"}, 5); err != nil || f.Total != 0 {
		t.Errorf("facets: %v %v", f, err)
	}
	if f, err := l.Fields(t.Context(), q, 100); err != nil || len(f) != 0 {
		t.Errorf("fields: %v %v", f, err)
	}
	q.LogsQL = "*"
	f, err := l.Fields(t.Context(), q, 100)
	if err != nil || !slices.ContainsFunc(f, func(v search.ValueHits) bool { return v.Value == "user.phone" && v.Hits == 2 }) ||
		slices.ContainsFunc(f, func(v search.ValueHits) bool { return strings.HasPrefix(v.Value, l.aside) }) {
		t.Errorf("fields: %v %v", f, err)
	}
	if v, err := l.Values(t.Context(), q, "user.phone", 5); err != nil || len(v) != 2 || v[0].Value == veil.Hidden {
		t.Errorf("values, which the centre masks: %v %v", v, err)
	}
	q.LogsQL = "*"
	for _, field := range []string{"message", "user.phone"} {
		if v, err := l.Values(t.Context(), q, field, 5); err != nil || field == "message" && (len(v) != 2 || slices.ContainsFunc(v, func(h search.ValueHits) bool { return strings.Contains(h.Value, "138") })) {
			t.Errorf("values of %s: %v %v", field, v, err)
		}
	}
	q.Group = `user.phone:~"^138"`
	if h, err := l.Histogram(t.Context(), q, 4); err != nil || h.Total != 0 {
		t.Errorf("a log group finds out %d (%v)", h.Total, err)
	}
	q.Group = `user.name:li`
	if h, err := l.Histogram(t.Context(), q, 4); err != nil || h.Total != 1 {
		t.Errorf("a log group finds %d (%v)", h.Total, err)
	}
}

func isRefused(err error) bool {
	var qe *search.QueryError
	return errors.As(err, &qe)
}
