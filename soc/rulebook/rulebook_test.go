package rulebook

import (
	"archive/zip"
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"icewatch/detections/ruleset"
	"icewatch/detections/sigma"
)

const ruleID = "6f1e2d3c-0000-4000-8000-000000000001"

func ruleText(id, value string) string {
	return "title: T\nid: " + id + "\nlogsource: {category: application}\ndetection:\n  s:\n    user.name: " + value + "\n  condition: s\nlevel: high\n"
}

func open(t *testing.T) *Book {
	t.Helper()
	b, err := Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestRulesAreKeptWithEveryVersion(t *testing.T) {
	t.Parallel()
	b := open(t)
	made, err := b.Create(ruleText(ruleID, "root"), Change{By: "li", Note: "first"})
	if err != nil || made.ID != ruleID || made.Revision != 1 || made.File != ruleID+".yml" {
		t.Fatalf("created %+v, %v", made, err)
	}
	if _, err := b.Create(ruleText(ruleID, "admin"), Change{By: "li"}); !errors.Is(err, ErrConflict) {
		t.Errorf("a second rule of the same id: %v", err)
	}
	if _, _, err := b.Update(ruleID, ruleText(ruleID, "admin"), Change{By: "wu", Revision: 7}); !errors.Is(err, ErrConflict) {
		t.Errorf("a change of what was not read: %v", err)
	}
	if _, _, err := b.Update(ruleID, ruleText("other", "admin"), Change{By: "wu", Revision: 1}); !errors.Is(err, ErrInvalid) {
		t.Errorf("a change of the id: %v", err)
	}
	_, after, err := b.Update(ruleID, ruleText(ruleID, "admin"), Change{By: "wu", Revision: 1})
	if err != nil || after.Revision != 2 || after.UpdatedBy != "wu" {
		t.Fatalf("changed %+v, %v", after, err)
	}
	if _, err := b.Delete(ruleID, Change{By: "wu"}); err != nil {
		t.Fatal(err)
	}
	if _, ok := b.Get(ruleID); ok {
		t.Error("it is still there")
	}
	gone, err := b.Deleted()
	if err != nil || len(gone) != 1 || gone[0].ID != ruleID || !strings.Contains(gone[0].Source, "admin") {
		t.Errorf("deleted %+v, %v", gone, err)
	}
	back, err := b.Restore(ruleID, 1, Change{By: "li"})
	if err != nil || back.Revision != 4 || !strings.Contains(back.Source, "root") {
		t.Fatalf("restored %+v, %v", back, err)
	}
	if _, err := b.Restore(ruleID, 9, Change{}); !errors.Is(err, ErrNotFound) {
		t.Errorf("a version that never was: %v", err)
	}

	// Another start knows it all, and what was changed by hand meanwhile.
	file := filepath.Join(b.dir, rulesDir, back.File)
	if err := os.WriteFile(file, []byte(ruleText(ruleID, "guest")), 0o600); err != nil {
		t.Fatal(err)
	}
	again, err := Open(b.dir)
	if err != nil {
		t.Fatal(err)
	}
	versions, err := again.Versions(ruleID)
	var said []string
	for _, v := range versions {
		said = append(said, fmt.Sprint(v.Revision, " ", v.Action, " ", v.By))
	}
	if got, want := strings.Join(said, "; "), "5 outside ; 4 restored li; 3 deleted wu; 2 changed wu; 1 created li"; err != nil || got != want {
		t.Errorf("versions %s, %v, want %s", got, err, want)
	}
	bundle := ruleset.Load([]ruleset.Source{again.Source()})
	if len(bundle.Files) != 1 || bundle.Files[0].Path != "own/"+ruleID+".yml" || !strings.Contains(string(bundle.Files[0].Data), "guest") {
		t.Errorf("the source holds %+v", bundle.Files)
	}
}

func TestACutLastLineOfAHistoryIsNoVersion(t *testing.T) {
	t.Parallel()
	b := open(t)
	if _, err := b.Create(ruleText(ruleID, "root"), Change{By: "li"}); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(b.dir, historyDir, ruleID+".jsonl")
	f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteString(`{"revision":2,"act`); err != nil {
		t.Fatal(err)
	}
	f.Close()
	if _, _, err := b.Update(ruleID, ruleText(ruleID, "admin"), Change{By: "wu", Revision: 1}); err != nil {
		t.Fatal(err)
	}
	versions, err := b.Versions(ruleID)
	if err != nil || len(versions) != 2 || versions[0].Revision != 2 || versions[0].By != "wu" {
		t.Errorf("%+v, %v", versions, err)
	}
}

func TestRulesWithoutIDsGetThem(t *testing.T) {
	t.Parallel()
	b := open(t)
	text := "# ours\ntitle: Failed\nname: failed\nlogsource: {category: application}\ndetection: {s: {event.outcome: failure}, condition: s}\n---\ntitle: Many\ncorrelation:\n  type: event_count\n  rules: [failed]\n  group-by: [user.name]\n  timespan: 5m\n  condition: {gte: 3}\n"
	e, err := b.Create(text, Change{By: "li"})
	if err != nil || len(e.Rules) != 2 || e.ID != e.Rules[1] || len(e.ID) != 36 {
		t.Fatalf("%+v, %v", e, err)
	}
	if !strings.HasPrefix(e.Source, "# ours\ntitle: Failed\nid: ") || strings.Count(e.Source, "\nid: ") != 2 {
		t.Errorf("the file became %s", e.Source)
	}
	// A change that lost the id of the main rule is a change of the same rule.
	at := strings.LastIndex(e.Source, "id: ")
	_, after, err := b.Update(e.ID, e.Source[:at]+e.Source[at+41:], Change{By: "li", Revision: 1})
	if err != nil || after.ID != e.ID {
		t.Errorf("%+v, %v", after, err)
	}
	if got, ok := b.Get(e.Rules[0]); !ok || got.ID != e.ID {
		t.Errorf("the rule that is counted leads to %+v", got)
	}
}

func TestSwitching(t *testing.T) {
	t.Parallel()
	b := open(t)
	changed, err := b.Switch([]string{"a", "b"}, false, "li", "too loud")
	if err != nil || len(changed) != 2 {
		t.Fatal(changed, err)
	}
	if changed, err = b.Switch([]string{"a", "b", "c"}, false, "wu", ""); err != nil || len(changed) != 1 {
		t.Errorf("switched again: %v, %v", changed, err)
	}
	if changed, err = b.Switch([]string{"a", "z"}, true, "wu", ""); err != nil || len(changed) != 1 || changed[0] != "a" {
		t.Errorf("switched on: %v, %v", changed, err)
	}
	again, err := Open(b.dir)
	if err != nil {
		t.Fatal(err)
	}
	if off := again.Off(); len(off) != 2 || off["b"].By != "li" || off["b"].Reason != "too loud" {
		t.Errorf("off: %+v", off)
	}
	if v, err := again.Versions("a"); err != nil || len(v) != 2 || v[0].Action != Enabled || v[1].Action != Switched || v[1].Note != "too loud" {
		t.Errorf("history %+v, %v", v, err)
	}
	if err := os.WriteFile(filepath.Join(b.dir, offFile), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(b.dir); err == nil || !strings.Contains(err.Error(), offFile) {
		t.Errorf("a damaged list is taken for an empty one: %v", err)
	}
}

func TestCheck(t *testing.T) {
	t.Parallel()
	b := open(t)
	if _, err := b.Create(ruleText(ruleID, "root"), Change{}); err != nil {
		t.Fatal(err)
	}
	with := Surroundings{Rule: func(ref string) (Known, bool) {
		if ref != "shipped" {
			return Known{}, false
		}
		return Known{Info: ruleset.RuleInfo{ID: "shipped", Source: ruleText("shipped", "x")}, Source: "builtin"}, true
	}}
	for _, c := range []struct {
		name, text, id string
		ok             bool
		line, column   int
		says           string
	}{
		{"good", ruleText("new", "x"), "", true, 0, 0, ""},
		{"no yaml", "title: [\n", "", false, 0, 0, "not valid YAML"},
		{"bad modifier", "title: T\nid: n\nlogsource: {}\ndetection:\n  s:\n    user.name|containz: x\n  condition: s\n", "", false, 6, 15, "containz"},
		{"no such selection", "title: T\nid: n\nlogsource: {}\ndetection:\n  s:\n    a: x\n  condition: s and t\n", "", false, 7, 20, `"t"`},
		{"id of another", ruleText(ruleID, "x"), "", false, 2, 0, "already kept"},
		{"itself", ruleText(ruleID, "x"), ruleID, true, 0, 0, ""},
		{"another id", ruleText("new", "x"), ruleID, false, 2, 0, "a new rule"},
		{"overrides", ruleText("shipped", "x"), "", true, 2, 0, "overrides"},
		{"counts what is there", "title: M\nid: m\ncorrelation: {type: event_count, rules: [shipped], timespan: 1m, condition: {gte: 2}}\n", "", true, 0, 0, ""},
		{"counts what is not", "title: M\nid: m\ncorrelation: {type: event_count, rules: [nothing], timespan: 1m, condition: {gte: 2}}\n", "", false, 3, 0, "does not exist"},
	} {
		v := b.Check(c.text, c.id, with)
		if v.OK != c.ok {
			t.Errorf("%s: ok is %v: %+v", c.name, v.OK, v.Findings)
		}
		if c.says == "" {
			if len(v.Findings) > 0 {
				t.Errorf("%s: %+v", c.name, v.Findings)
			}
			continue
		}
		if len(v.Findings) == 0 || !strings.Contains(v.Findings[0].Message, c.says) || c.line > 0 && v.Findings[0].Line != c.line || c.column > 0 && v.Findings[0].Column != c.column {
			t.Errorf("%s: %+v, want line %d column %d %q", c.name, v.Findings, c.line, c.column, c.says)
		}
	}
}

func TestMeaning(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"s: {a: x}\n  condition: s":                                                   "In every event: a = 'x'",
		"s: {a|contains: [x, y], b|startswith: z}\n  condition: not s":                "In every event: not (a contains ['x', 'y'] and b starts with 'z')",
		"s: {a|contains|all: [x, y]}\n  condition: s":                                 "In every event: a contains ['x', 'y'] (all of them)",
		"s: [{a: 1}, {b: null}]\n  t: {c|cidr: 10.0.0.0/8}\n  condition: s and not t": "In every event: (a = 1 or b is null or absent) and not (c is an address in 10.0.0.0/8)",
		"s: [one, two]\n  condition: s":                                               "In every event: any value contains ['one', 'two']",
		"s: {n|gte: 5, f|fieldref: g, e|exists: false}\n  condition: s":               "In every event: n ≥ 5 and f = the field g and e is not there",
		"s: {a|endswith: '\\x.exe'}\n  condition: s":                                  `In every event: a ends with '\x.exe'`,
		"s: {a|endswith: '.exe'}\n  t: {a|re: 'x+'}\n  condition: 1 of them":          "In every event: a ends with '.exe' or a matches the expression /x+/",
	} {
		rules, errs := sigma.Parse([]byte("title: T\nid: n\nlogsource: {}\ndetection:\n  "+text+"\n"), nil)
		if len(errs) > 0 {
			t.Errorf("%s: %v", text, errs[0])
			continue
		}
		got := Meaning(rules[0])
		if got.EN != want {
			t.Errorf("%s\n got %s\nwant %s", text, got.EN, want)
		}
		if got.ZH == "" || got.ZH == got.EN {
			t.Errorf("%s: in Chinese %q", text, got.ZH)
		}
	}
}

func TestTry(t *testing.T) {
	t.Parallel()
	b := open(t)
	end := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	start := end.Add(-time.Hour)
	rows := func(_ context.Context, from, to time.Time, emit func([]byte) error) error {
		for at := start; at.Before(end); at = at.Add(10 * time.Second) {
			if at.Before(from) || !at.Before(to) {
				continue
			}
			user := "li"
			if at.Minute() < 2 { // twelve events of the first two minutes
				user = "root"
			}
			row := fmt.Sprintf(`{"@timestamp":%q,"event.id":"e-1-%d","icewatch.tenant":"t","user.name":%q,"tags":"[\"a\",\"b\"]","event.original":"raw %s"}`, at.Format(time.RFC3339Nano), at.Unix()%10000, user, user)
			if err := emit([]byte(row)); err != nil {
				return err
			}
		}
		return nil
	}
	quiet := func(Progress) error { return nil }
	var last Progress
	out, err := b.Try(t.Context(), ruleText("n", "ROOT"), Surroundings{}, start, end, rows, func(p Progress) error { last = p; return nil })
	if err != nil || !out.Whole || out.Events != 360 || out.Firings != 12 || out.Matches != 12 || len(out.Samples) != 12 || out.Alerts != 1 {
		t.Fatalf("%+v, %v", out, err)
	}
	if last.Share != 1 || !last.Reached.Equal(start) {
		t.Errorf("it came to %+v", last)
	}
	s := out.Samples[0]
	if len(s.Evidence) != 1 || s.Evidence[0].Value != "root" || s.Evidence[0].Field != "user.name" || s.Evidence[0].Selection != "s" || s.Tenant != "t" || !s.Time.After(out.Samples[11].Time) {
		t.Errorf("the latest sample is %+v", s)
	}
	if out.Buckets[0] != 6 || out.Buckets[1] != 6 || out.Buckets[2] != 0 {
		t.Errorf("over time %v", out.Buckets)
	}
	if out, err = b.Try(t.Context(), strings.Replace(ruleText("n", "x"), "user.name: x", "tags: b", 1), Surroundings{}, start, end, rows, quiet); err != nil || out.Firings != 360 || len(out.Samples) != TrialSamples {
		t.Errorf("an array kept as text: %d firings, %v", out.Firings, err)
	}
	counts := "title: B\nname: base\nid: base\nlogsource: {}\ndetection: {s: {user.name: root}, condition: s}\n---\ntitle: M\nid: m\ncorrelation: {type: event_count, rules: [base], group-by: [user.name], timespan: 1m, condition: {gte: 5}}\n"
	if out, err = b.Try(t.Context(), counts, Surroundings{}, start, end, rows, quiet); err != nil || out.Matches != 12 || out.Firings == 0 || out.Firings > 3 || out.Samples[0].Rule != "m" || out.Samples[0].Count < 5 {
		t.Errorf("a count: %d firings, %v, %+v", out.Firings, err, out.Samples)
	}
	// Windows that are over by the end of the range are judged, though no event comes behind them.
	for what, tail := range map[string]string{"distinct values": "{type: value_count, rules: [base], group-by: [user.name], timespan: 1m, condition: {field: user.name, eq: 1}}\nicewatch: {lateness: 1s}\n",
		"silence": "{type: event_count, rules: [base], group-by: [user.name], timespan: 10m}\nicewatch: {absence: true}\n"} {
		source := strings.SplitAfter(counts, "correlation: ")[0] + tail
		if out, err = b.Try(t.Context(), source, Surroundings{}, start, end, rows, quiet); err != nil || out.Firings == 0 || out.Samples[0].Rule != "m" {
			t.Errorf("%s: %d firings, %v", what, out.Firings, err)
		}
	}
	// Cut short, it says so and what it found.
	ctx, cancel := context.WithCancel(t.Context())
	out, err = b.Try(ctx, ruleText("n", "li"), Surroundings{}, start, end, rows, func(Progress) error { cancel(); return nil })
	if err != nil || out.Whole || out.Stopped != "cancelled" || out.Firings == 0 {
		t.Errorf("cancelled: %+v, %v", out, err)
	}
	if _, err = b.Try(t.Context(), "title: T\n", Surroundings{}, start, end, rows, quiet); !errors.Is(err, ErrInvalid) {
		t.Errorf("no rule: %v", err)
	}
	broken := errors.New("the lake is away")
	if _, err = b.Try(t.Context(), ruleText("n", "x"), Surroundings{}, start, end, func(context.Context, time.Time, time.Time, func([]byte) error) error { return broken }, quiet); !errors.Is(err, broken) {
		t.Errorf("a failing lake: %v", err)
	}
}

func TestImportAndExport(t *testing.T) {
	t.Parallel()
	b := open(t)
	var buf bytes.Buffer
	if err := Export(&buf, map[string]string{
		"a.yml": ruleText("a", "x"), "sub/b.yaml": ruleText("b", "y"), "broken.yml": "title: T\nid: c\ndetection:\n  s: {a|nope: 1}\n  condition: s\n", "README.md": "no rule",
		"count.yml": "title: M\nid: m\ncorrelation: {type: event_count, rules: [b], timespan: 1m, condition: {gte: 2}}\n",
	}, time.Now()); err != nil {
		t.Fatal(err)
	}
	dry, err := b.Import(buf.Bytes(), Surroundings{}, ImportOptions{By: "li", DryRun: true})
	if err != nil || dry.Created != 3 || len(b.List()) != 0 {
		t.Fatalf("%+v, %v", dry, err)
	}
	r, err := b.Import(buf.Bytes(), Surroundings{}, ImportOptions{By: "li"})
	if err != nil || r.Created != 3 || r.Invalid != 1 || len(b.List()) != 3 {
		t.Fatalf("%+v, %v", r, err)
	}
	for _, f := range r.Files {
		if f.File == "broken.yml" && (f.Result != FileInvalid || f.Line != 4 || !strings.Contains(f.Reason, "nope")) {
			t.Errorf("%+v", f)
		}
	}
	if r, err = b.Import([]byte(ruleText("a", "z")), Surroundings{}, ImportOptions{}); err != nil || r.Skipped != 1 {
		t.Errorf("%+v, %v", r, err)
	}
	if r, err = b.Import([]byte(ruleText("a", "z")), Surroundings{}, ImportOptions{Replace: true}); err != nil || r.Changed != 1 {
		t.Errorf("%+v, %v", r, err)
	}
	if r, err = b.Import([]byte(ruleText("a", "z")), Surroundings{}, ImportOptions{Replace: true}); err != nil || r.Same != 1 {
		t.Errorf("%+v, %v", r, err)
	}
	if _, err = b.Import([]byte("PK\x03\x04nonsense"), Surroundings{}, ImportOptions{}); !errors.Is(err, ErrInvalid) {
		t.Errorf("a broken archive: %v", err)
	}
	buf.Reset()
	files := map[string]string{}
	for _, e := range b.List() {
		files[e.File] = e.Source
	}
	if err := Export(&buf, files, time.Now()); err != nil {
		t.Fatal(err)
	}
	if z, err := zip.NewReader(bytes.NewReader(buf.Bytes()), int64(buf.Len())); err != nil || len(z.File) != 3 {
		t.Errorf("the export holds %v, %v", z, err)
	}
}

// TestSigmaHQImportsUnchanged takes in the rules of SigmaHQ as they are.
func TestSigmaHQImportsUnchanged(t *testing.T) {
	t.Parallel()
	root := "../../../shared/corpora/sigma/rules"
	if _, err := os.Stat(root); err != nil {
		t.Skip("the rules of SigmaHQ are not here")
	}
	files := map[string]string{}
	err := filepath.Walk(root, func(p string, info os.FileInfo, err error) error {
		if err != nil || info.IsDir() || !isRule(p) {
			return err
		}
		data, err := os.ReadFile(p)
		files[p[len(root)+1:]] = string(data)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	var buf bytes.Buffer
	if err := Export(&buf, files, time.Now()); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	b := open(t)
	r, err := b.Import(buf.Bytes(), Surroundings{}, ImportOptions{DryRun: true})
	if err != nil || r.Created != len(files) {
		t.Errorf("%d of %d: %v", r.Created, len(files), err)
	}
	for _, f := range r.Files {
		if f.Result != FileCreated {
			t.Errorf("%+v", f)
		}
	}
	t.Logf("%d rules judged in %s", len(files), time.Since(began).Round(time.Millisecond))
}
