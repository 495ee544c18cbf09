package logsource

import (
	"reflect"
	"strings"
	"testing"

	"icewatch/detections/sigma"
)

func parse(t *testing.T, text string) *Table {
	t.Helper()
	table, err := Parse([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return table
}

func TestResolve(t *testing.T) {
	t.Parallel()
	table := parse(t, "named: [z]\nlogsources:\n  - {product: w, any: [{c: '*'}]}\n  - {product: w, service: s, any: [{c: S}]}\n  - {category: k, any: [{m: [1, two]}]}\n  - {product: z, any: [{q: x}]}\n")
	if faults := table.Extend(parse(t, "unspecific: {m: json}\nlogsources:\n  - {product: w, any: [{d: x, e: y}]}\n")); len(faults) > 0 {
		t.Fatal(faults[0])
	}
	f := func(ls sigma.Logsource, clauses, firstAlternatives int) {
		t.Helper()
		got := table.Resolve(ls)
		if len(got) != clauses || clauses > 0 && len(got[0].Alternatives) != firstAlternatives {
			t.Errorf("%s: %+v", ls, got)
		}
	}
	f(sigma.Logsource{}, 0, 0)
	f(sigma.Logsource{Product: "w"}, 1, 2)
	f(sigma.Logsource{Product: "w", Service: "s"}, 2, 2)
	f(sigma.Logsource{Product: "w", Service: "other", Category: "k"}, 2, 2)
	f(sigma.Logsource{Product: "x", Category: "k"}, 1, 1)
	f(sigma.Logsource{Product: "z"}, 1, 1+len(nameFields))
	if len(table.Unspecific["m"]) != 1 {
		t.Errorf("unspecific %v", table.Unspecific)
	}
}

// Names of fields are those of the whole table: what extends it can use them
// and add to them.
func TestFields(t *testing.T) {
	t.Parallel()
	table := parse(t, "fields: {channel: [Channel, winlog.channel]}\nlogsources: [{product: w, any: [{channel: A, x!: 1}]}]")
	more := parse(t, "fields: {channel: [own.channel, Channel]}\nlogsources: [{product: v, any: [{channel: B}]}]")
	if faults := table.Extend(more); len(faults) > 0 {
		t.Fatal(faults[0])
	}
	names := []string{"Channel", "winlog.channel", "own.channel"}
	if got := table.Resolve(sigma.Logsource{Product: "w"})[0].Alternatives[0]; !reflect.DeepEqual(got, []Condition{{Fields: names, Values: []string{"A"}}, {Fields: []string{"x"}, Values: []string{"1"}, Needed: true}}) {
		t.Errorf("%+v", got)
	}
	if got := table.Resolve(sigma.Logsource{Product: "v"})[0].Alternatives[0]; !reflect.DeepEqual(got, []Condition{{Fields: names, Values: []string{"B"}}}) {
		t.Errorf("%+v", got)
	}
}

func TestExtend(t *testing.T) {
	t.Parallel()
	const base = "logsources:\n- {product: w, trust: true, any: [{c: A}]}\n- {product: v, any: [{c: B}]}"
	f := func(more, want string, product string, alternatives int, trust bool) {
		t.Helper()
		table := parse(t, base)
		faults := table.Extend(parse(t, more))
		got := ""
		for _, err := range faults {
			got += err.Error() + "\n"
		}
		if want == "" && got != "" || !strings.Contains(got, want) {
			t.Errorf("%s\n got %q\nwant %q", more, got, want)
		}
		if c := table.Resolve(sigma.Logsource{Product: product}); len(c) != 1 || len(c[0].Alternatives) != alternatives || c[0].Trust != trust {
			t.Errorf("%s\n%+v", more, c)
		}
	}
	f("logsources: [{product: w, any: [{d: A}]}]", "", "w", 2, true)
	f("logsources: [{product: v, trust: true, any: [{d: A}]}]", "", "v", 2, true)
	f("logsources: [{product: u, any: [{d: A}]}]", "", "u", 1, false)
	f("logsources:\n- {product: w, replace: true, any: [{d: A}]}", "", "w", 1, false)
	f("logsources:\n- {product: w, any: [{c: a}, {d: A}]}", "line 2: the table has this alternative for product=w already", "w", 2, true)
	f("logsources:\n- {product: w, trust: false, any: [{d: A}]}", "line 2: the entry for product=w says trust: false, and the one it extends says trust: true; with replace: true it takes its place", "w", 2, true)
	f("logsources:\n- {product: w, any: [{d: A}]}\n- {product: u, replace: true, any: [{d: A}]}", "line 3: replace: there is no entry for product=u to replace", "w", 2, true)
}

func TestParseErrors(t *testing.T) {
	t.Parallel()
	f := func(text, want string) {
		t.Helper()
		if _, err := Parse([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want %q", text, err, want)
		}
	}
	f("", "line 1: the file holds no table")
	f("named: [x]\n---\nnamed: [y]", "holds one document")
	f("logsources: {", "not valid YAML")
	f("logsources: {}", "line 1: logsources has to be a list")
	f("sources: []", `line 1: "sources" is not known`)
	f("logsources:\n- {any: [{a: b}]}", "line 2: an entry needs product")
	f("logsources:\n- {product: x}", "line 2: an entry needs product")
	f("logsources:\n- {product: x, any: []}", "at least one alternative")
	f("logsources:\n- {product: x, any: [{}]}", "line 2: an alternative has no condition")
	f("logsources:\n- {product: x, any: [{a: {b: c}}]}", `line 2: a value of "a" has to be a text or a number`)
	f("logsources:\n- {product: x, any: [{a: []}]}", `"a" has no value`)
	f("logsources:\n- {product: x, any: [{a: ~}]}", `a value of "a" has to be`)
	f("logsources:\n- {product: x, any: [{a: [b, B]}]}", `"B" stands twice among the values of "a"`)
	f("logsources:\n- product: x\n  any: [{a: b}]\n  trusts: true", `line 4: an entry has no "trusts"; known are`)
	f("logsources:\n- {product: x, any: [{a: b}], trust: maybe}", "trust is true or false")
	f("logsources:\n- {product: x, any: [{a: b}]}\n- {product: x, any: [{c: d}]}", "line 3: product=x has an entry in line 2 already")
	f("logsources:\n- product: x\n  any:\n  - {a: b}\n  - {a: B}", "line 5: the alternative is the same as that of line 4")
	f("logsources:\n- product: x\n  product: y\n  any: [{a: b}]", `line 3: "product" stands twice in an entry, first in line 2`)
	f("fields: {c: [C, D]}\nlogsources:\n- {product: x, any: [{c: A, D: B}]}", `line 3: "c" and "D" of one alternative are the same field`)
	f("fields: {c: [d], d: [e]}", `"c" of fields stands for "d", which stands for others itself`)
	f("named: [a, A]", `"A" stands twice among the values of named`)
}

func FuzzParse(f *testing.F) {
	f.Add("fields: {c: [C, w.c]}\nunspecific: {d: j}\nnamed: [n]\nlogsources:\n- {product: w, category: k, trust: true, any: [{c: '*', d!: [1, 2]}]}")
	f.Fuzz(func(t *testing.T, text string) {
		table, err := Parse([]byte(text))
		if err != nil {
			return
		}
		table.Resolve(sigma.Logsource{Product: "w", Category: "k"})
		more, _ := Parse([]byte(text))
		table.Extend(more)
	})
}
