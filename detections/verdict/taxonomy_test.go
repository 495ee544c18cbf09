package verdict_test

import (
	"io/fs"
	"strings"
	"testing"

	"icewatch/detections"
	"icewatch/detections/sigma"
	"icewatch/detections/verdict"
	"icewatch/rules"
)

// TestStandard holds the shipped tree to GB/Z 20986-2007: seven classes with
// these numbers of subclasses, all with names in both languages.
func TestStandard(t *testing.T) {
	t.Parallel()
	tax := builtin(t)
	want := map[string]int{"MI": 7, "NAI": 7, "IDI": 6, "ICSI": 4, "FF": 4, "DI": 1, "OI": 1}
	if len(tax.Risks) != len(want) {
		t.Errorf("%d classes, want %d", len(tax.Risks), len(want))
	}
	var named func(c verdict.Class, tier int)
	named = func(c verdict.Class, tier int) {
		if c.Name.ZH == "" || c.Name.EN == "" {
			t.Errorf("%s has no name in both languages: %+v", c.Code, c.Name)
		}
		if tier == 3 && len(c.Below) > 0 {
			t.Errorf("%s has a fourth tier", c.Code)
		}
		for _, below := range c.Below {
			named(below, tier+1)
		}
	}
	for _, c := range tax.Risks {
		if len(c.Below) != want[c.Code] {
			t.Errorf("%s has %d subclasses, want %d", c.Code, len(c.Below), want[c.Code])
		}
		if c.Successor == nil {
			t.Errorf("%s has no class of GB/T 20986-2023", c.Code)
		}
		named(c, 1)
	}
	if len(tax.Attacks) < 13 {
		t.Errorf("%d types of attack, want 13 at least", len(tax.Attacks))
	}
	for _, a := range tax.Attacks {
		if len(a.Fields) == 0 {
			t.Errorf("attack %s names no fields", a.ID)
		}
	}
}

// TestEveryRuleIsClassed asks that each shipped rule that tells of an attack has
// a phase, a type of attack and a risk, and that names of its techniques are there.
func TestEveryRuleIsClassed(t *testing.T) {
	t.Parallel()
	tax := builtin(t)
	for _, dir := range []string{"sigma", "correlation"} {
		err := fs.WalkDir(rules.FS, dir, func(name string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || !strings.HasSuffix(name, ".yml") || strings.HasSuffix(name, ".test.yml") {
				return err
			}
			data, err := fs.ReadFile(rules.FS, name)
			if err != nil {
				return err
			}
			list, _ := sigma.Parse(data, nil)
			for _, r := range list {
				tactics, techniques := r.Attack()
				if len(tactics) == 0 {
					continue
				}
				ref := detections.RuleRef{ID: r.ID, Title: detections.Text{EN: r.Title}, Tags: r.Tags, Tactics: tactics, Techniques: techniques}
				class := tax.Classify(&ref, verdict.Claims{Verdict: r.Custom.Verdict, Attack: r.Custom.Attack, Attacker: r.Custom.Attacker})
				j := tax.Judge(&class, &detections.Occurrence{Fields: map[string]string{"source.ip": "203.0.113.9", "host.name": "web-1"}}, nil)
				if j.Phase == "" || j.Attack == "" || j.Risk.Subclass == "" {
					t.Errorf("%s: %q: phase %q, attack %q, risk %+v", name, r.Title, j.Phase, j.Attack, j.Risk)
				}
				for _, id := range techniques {
					of, _, _ := strings.Cut(id, ".")
					if n, whole := tax.Techniques[id], tax.Techniques[of]; n.ZH == "" && whole.ZH == "" || n.EN == "" && whole.EN == "" {
						t.Errorf("%s: neither technique %s nor the one it belongs to has a name", name, id)
					}
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

// TestExtend adds a user's own third-tier type, attack and words.
func TestExtend(t *testing.T) {
	t.Parallel()
	tax, err := builtin(t).With([]byte(`
risks:
  - code: NAI
    subclasses:
      - code: vai
        types: [{code: portal-login, name: {zh: 统一门户登录绕过}}]
attacks:
  - id: portal-bypass
    name: {zh: 门户绕过, en: Portal bypass}
    risk: NAI.VAI.portal-login
    words: [sso bypass]
    fields: [portal.ticket]
refused: [geblockt]
`))
	if err != nil {
		t.Fatal(err)
	}
	risk, ok := tax.Find("nai/vai/Portal-Login")
	if !ok || risk != (detections.Risk{Class: "NAI", Subclass: "VAI", Type: "portal-login"}) {
		t.Fatalf("found %+v, %v", risk, ok)
	}
	class := tax.Classify(&detections.RuleRef{ID: "x", Title: detections.Text{EN: "SSO Bypass by SQL Injection"}}, verdict.Claims{})
	j := tax.Judge(&class, &detections.Occurrence{Fields: map[string]string{"event.category": "web", "waf.action": "GEBLOCKT", "source.ip": "203.0.113.9"}}, nil)
	if j.Attack != "portal-bypass" || j.Risk != risk || j.Verdict != detections.Failed {
		t.Errorf("judged %+v", j)
	}
	if builtin(t).Attack("portal-bypass") != nil {
		t.Error("the taxonomy that was extended changed itself")
	}
}

func TestMistakesAreNamed(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ text, want string }{
		{"risks: [{code: 'A B', name: {zh: x}}]", `risk: code "A B"`},
		{"risks: [{code: NEW}]", "risk NEW is new and has no name"},
		{"risks: [{code: MI, types: [{code: x, name: {zh: x}}]}]", "risk MI: a risk has subclasses"},
		{"risks: [{code: MI, subclasses: [{code: CVI, types: [{code: y}]}]}]", "type y is new and has no name"},
		{"attacks: [{id: x, name: {zh: x}, risk: NAI.NONE}]", `there is no risk "NAI.NONE"`},
		{"attacks: [{id: x, name: {zh: x}, risk: NAI, success: ['(']}]", "attack x: success"},
		{"attacks: [{id: x, risk: NAI}]", "attack x has no name"},
		{"block_pages: ['[']", "block_pages"},
		{"riskz: []", "riskz"},
		{"a: [", "line"},
	} {
		if _, err := builtin(t).With([]byte(c.text)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: the error is %v, want one with %q", c.text, err, c.want)
		}
	}
}

func FuzzWith(f *testing.F) {
	data, err := fs.ReadFile(rules.FS, verdict.FileName)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	f.Add([]byte("risks: [{code: MI}]"))
	f.Add([]byte("attacks: [{id: x, name: {zh: x}, risk: NAI}]"))
	f.Fuzz(func(t *testing.T, data []byte) {
		tax, err := new(verdict.Taxonomy).With(data)
		if err == nil && tax == nil {
			t.Fatal("neither a taxonomy nor an error")
		}
	})
}

// FuzzJudge asks that no event makes Judge panic, and that a verdict never
// comes without its reason.
func FuzzJudge(f *testing.F) {
	tax := builtin(f)
	f.Add("source.ip", "203.0.113.9", "http.response.status_code", "200", "event.category", `["network","web"]`)
	f.Add("destination.ip", "[", "waf.action", "未", "network.forwarded_ip", ",,")
	class := tax.Classify(&detections.RuleRef{ID: "r", Level: detections.High, Tactics: []string{"command-and-control"}}, verdict.Claims{})
	f.Fuzz(func(t *testing.T, a, b, c, d, e, g string) {
		o := detections.Occurrence{Fields: map[string]string{a: b, c: d, e: g}}
		j := tax.Judge(&class, &o, nil)
		if j.Verdict != "" && j.VerdictReason.ZH == "" {
			t.Fatalf("verdict %s without a reason", j.Verdict)
		}
	})
}

func BenchmarkJudge(b *testing.B) {
	tax := builtin(b)
	class := tax.Classify(&detections.RuleRef{ID: "r", Title: detections.Text{EN: "SQL Injection"}, Tactics: []string{"initial-access"}, Techniques: []string{"T1190"}}, verdict.Claims{})
	o := detections.Occurrence{Fields: map[string]string{}}
	for _, name := range strings.Fields("@timestamp event.id event.category event.type event.action event.outcome event.dataset host.name host.ip source.ip source.port url.original url.path user_agent.original http.request.method http.version icewatch.tenant icewatch.zone icewatch.ci.id icewatch.ci.name icewatch.ci.class icewatch.source.internal observer.name log.file.path") {
		o.Fields[name] = "x"
	}
	o.Fields["source.ip"], o.Fields["host.ip"], o.Fields["event.category"], o.Fields["http.response.status_code"] = "203.0.113.9", "10.1.2.10", "web", "200"
	b.ReportAllocs()
	for b.Loop() {
		tax.Judge(&class, &o, nil)
	}
}

// TestTheProductsOwnClass takes the risk of a firing whose rule has none from
// the event, and never over the rule's own.
func TestTheProductsOwnClass(t *testing.T) {
	t.Parallel()
	tax := builtin(t)
	fields := map[string]string{"icewatch.risk.class": "NAI", "icewatch.risk.subclass": "VAI", "icewatch.risk.type": "sql-injection"}
	for _, c := range []struct {
		tags   []string
		fields map[string]string
		want   detections.Risk
	}{
		{nil, fields, detections.Risk{Class: "NAI", Subclass: "VAI", Type: "sql-injection"}},
		{[]string{"gbz20986.mi.cvi"}, fields, detections.Risk{Class: "MI", Subclass: "CVI"}},
		{nil, map[string]string{"icewatch.risk.class": "NONE"}, detections.Risk{Class: "OI"}},
		{nil, map[string]string{}, detections.Risk{Class: "OI"}},
	} {
		class := tax.Classify(&detections.RuleRef{ID: "z", Title: detections.Text{EN: "Zzz"}, Tags: c.tags}, verdict.Claims{})
		if j := tax.Judge(&class, &detections.Occurrence{Fields: c.fields}, nil); j.Risk != c.want {
			t.Errorf("%v %v: %+v, want %+v", c.tags, c.fields, j.Risk, c.want)
		}
	}
}
