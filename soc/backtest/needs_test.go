package backtest_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"icewatch/detections"
	"icewatch/detections/engine"
	"icewatch/detections/ruleset"
	"icewatch/soc/backtest"
	"icewatch/soc/event"
	"icewatch/soc/lake"
	"icewatch/soc/lake/arrivals"
)

// odd are values that are stored otherwise than they are compared, or look like it.
var odd = []string{
	`C:\Windows\System32\cmd.exe`, `c:\WINDOWS\system32\CMD.EXE`, `\\host\share\a b.exe`, `cmd.exe`, `xcmd.exe`, `cmd.exe2`, `say "hi there"`, "tab\there", "line\nbreak cmd", `["one", "two"]`,
	`443`, `0443`, `4430`, `443.0`, `10.1.2.3`, `10.1.2.33`, `2026-11-27T00:00:00Z`, `powershell -Enc AAAA`, `powershell –enc AAAA`, `POWERSHELL /enc AAAA`, "\u212Aelvin", `kelvin`, `Kelvin`,
	`中文 cmd.exe 命令`, `中文cmd.exe`, `a_cmd.exe`, `a-cmd.exe`, `{"k":"v"}`, `true`, `-1`, `<script>alert(1)</script>`, `%3Cscript%3E`, `../../etc/passwd`, `i`, `İstanbul`, `ſystem`, `system`,
}

// TestFilterLetsThrough holds backtests to the matcher: whatever form the lake keeps
// a value in, an event that a rule matches is not passed over. Each value stands
// alone, in arrays and in a row of few kinds of values, which columns keep otherwise.
func TestFilterLetsThrough(t *testing.T) {
	t.Parallel()
	reg := event.NewRegistry(0)
	f, _ := reg.Intern("odd.value")
	l, err := lake.Open(lake.Options{Dir: filepath.Join(t.TempDir(), "lake"), Classes: []lake.Class{{Name: lake.Standard, Retention: 48 * time.Hour}}, Memory: 64 << 20})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	a, err := arrivals.Open(t.Context(), filepath.Join(t.TempDir(), "a.db"), "e1", 0, 48*time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	w := l.NewWriter(reg)
	start := time.Now().Add(-2 * time.Hour).Truncate(time.Second)
	var evs []event.Event
	add := func(stream string, values ...string) {
		n := len(evs)
		ev := event.Event{ID: event.ID{Epoch: "e1", Sequence: uint64(n/50 + 1), Index: uint32(n % 50)}, Tenant: "a", Created: start.Add(time.Duration(n) * 100 * time.Millisecond).UnixNano(), Raw: "raw " + fmt.Sprint(n)}
		ev.Time = ev.Created - 5
		ev.Set(event.EventDataset, "odd."+stream)
		for _, v := range values {
			ev.Add(f, v)
		}
		if err := w.Add(&ev, lake.Space{Account: 1}, stream); err != nil {
			t.Fatal(err)
		}
		if n%50 == 0 {
			a.Add(ev.ID.Sequence, time.Unix(0, ev.Created), 50, []lake.Span{{From: start.Add(-time.Minute).UnixNano(), To: start.Add(time.Hour).UnixNano()}})
		}
		evs = append(evs, ev)
	}
	for i, v := range odd {
		add("alone", v)
		add("array", v, odd[(i+7)%len(odd)])
		add("array", "x", v)
		add("one"+fmt.Sprint(i), v) // a column of one value
	}
	for i := range 300 { // a column of numbers, and one of addresses
		add("number", fmt.Sprint(i+300))
		add("address", fmt.Sprintf("10.1.2.%d", i%256))
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	l.Flush()
	if err := a.Save(t.Context(), evs[len(evs)-1].ID.Sequence); err != nil {
		t.Fatal(err)
	}
	var rules []string
	for _, v := range odd {
		for _, modifier := range []string{"", "|contains", "|startswith", "|endswith", "|cased", "|contains|cased", "|contains|windash"} {
			parts := []string{v}
			if n := len(v) / 2; n > 2 && v[n] < 0x80 && v[n-1] < 0x80 {
				parts = append(parts, v[:n], v[n:], v[1:len(v)-1])
			}
			for _, p := range parts {
				if !utf8.ValidString(p) || strings.ContainsAny(p, "\n\t") || !strings.ContainsFunc(p, func(r rune) bool { return r > 0x20 && r < 0x7f }) && modifier != "" {
					continue
				}
				rules = append(rules, "'odd.value"+modifier+"': '"+strings.NewReplacer("'", "''", `\`, `\\`).Replace(p)+"'")
			}
		}
	}
	for _, r := range []string{`'odd.value|re': '(?i)cmd\.exe'`, `'odd.value|cidr': '10.1.2.0/27'`, `'odd.value': 443`, `'odd.value|gt': 500`, `'odd.value': 'c*cmd*exe'`, `'odd.value|exists': true`} {
		rules = append(rules, r)
	}
	var text strings.Builder
	for i, r := range rules {
		fmt.Fprintf(&text, "---\ntitle: R%d\nid: %08d-0000-4000-8000-000000000000\nlevel: low\nlogsource: {category: test}\ndetection:\n  s:\n    %s\n  condition: s\n", i, i, r)
	}
	whole := &ruleset.Bundle{Files: []ruleset.File{{Source: "t", Path: "t/all.yml", Data: []byte(text.String())}}}
	whole.SetDisabled(nil)
	set, problems := ruleset.CompileWith(whole, reg, ruleset.Options{NoPolicies: true})
	for _, p := range problems {
		t.Fatal(p)
	}
	e := engine.New(engine.Options{Registry: reg})
	e.Swap(set)
	want := map[string][]string{}
	for i := range evs {
		e.Process(&evs[i], func(o detections.Occurrence) {
			want[o.Rule.ID] = append(want[o.Rule.ID], o.EventIDs...)
		})
	}
	pruned, met, judged := 0, 0, 0
	for i, doc := range strings.Split(text.String(), "---\n")[1:] {
		if i%6 != 0 && os.Getenv("BACKTEST_RULES") != "all" {
			continue // each sixth is enough to see that nothing broke
		}
		judged++
		id := fmt.Sprintf("%08d-0000-4000-8000-000000000000", i)
		b := &ruleset.Bundle{Files: []ruleset.File{{Source: "t", Path: "t/one.yml", Data: []byte(doc)}}}
		b.SetDisabled(nil)
		var got []string
		j, err := backtest.NewJudge(backtest.Options{Bundle: b, From: start, To: start.Add(time.Hour), Each: func(o *detections.Occurrence) { got = append(got, o.EventIDs...) }})
		if err != nil {
			t.Fatal(err)
		}
		r := backtest.Reader{Lake: l, Arrivals: a, Epoch: "e1", Last: evs[len(evs)-1].ID.Sequence, Accounts: []uint32{1}, Everyone: []uint32{1}}
		out, err := r.Run(t.Context(), j, nil)
		if err != nil {
			t.Fatal(err)
		}
		slices.Sort(got)
		slices.Sort(want[id])
		if !slices.Equal(got, want[id]) {
			t.Errorf("%s\n%d events from the lake, %d live; filter %s", rules[i], len(got), len(want[id]), out.Filter)
		}
		if met += len(got); out.Read < uint64(len(evs)) {
			pruned++
		}
	}
	t.Logf("%d rules, %d of them pruned, %d matches", judged, pruned, met)
	if pruned < judged*8/10 || met == 0 {
		t.Errorf("of %d rules %d are pruned", judged, pruned)
	}
}
