package verdict_test

import (
	"encoding/json"
	"io/fs"
	"net/netip"
	"os"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"icewatch/detections"
	"icewatch/detections/sigma"
	"icewatch/detections/verdict"
	"icewatch/rules"
)

func builtin(t testing.TB) *verdict.Taxonomy {
	t.Helper()
	data, err := fs.ReadFile(rules.FS, verdict.FileName)
	if err != nil {
		t.Fatal(err)
	}
	tax, err := new(verdict.Taxonomy).With(data)
	if err != nil {
		t.Fatal(err)
	}
	return tax
}

type values []string

func (v *values) UnmarshalYAML(n *yaml.Node) error {
	if n.Kind == yaml.SequenceNode {
		return n.Decode((*[]string)(v))
	}
	*v = []string{n.Value}
	return nil
}

// TestJudge holds what is made of firings, case by case.
func TestJudge(t *testing.T) {
	t.Parallel()
	data, err := os.ReadFile("testdata/cases.yml")
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Places map[string]verdict.Place
		Rules  map[string]struct {
			Title, Level, Attacker string
			Tags                   []string
			Verdict                detections.Verdict
		}
		Cases []struct {
			Name, Rule string
			Count      int
			Bare       bool
			Event      map[string]values
			Want       map[string]string
		}
	}
	if err := yaml.Unmarshal(data, &file); err != nil {
		t.Fatal(err)
	}
	tax := builtin(t)
	places := func(_, _ string, addr netip.Addr) verdict.Place {
		p, ok := file.Places[addr.String()]
		p.Internal = ok || addr.IsPrivate()
		return p
	}
	for _, c := range file.Cases {
		t.Run(c.Name, func(t *testing.T) {
			t.Parallel()
			r, ok := file.Rules[c.Rule]
			if !ok {
				t.Fatalf("there is no rule %q", c.Rule)
			}
			ref := detections.RuleRef{ID: c.Rule, Title: detections.Text{EN: r.Title, ZH: r.Title}, Level: detections.Level(r.Level), Tags: r.Tags}
			ref.Tactics, ref.Techniques = (&sigma.Rule{Tags: r.Tags}).Attack()
			class := tax.Classify(&ref, verdict.Claims{Verdict: r.Verdict, Attacker: r.Attacker})
			o := detections.Occurrence{Tenant: "portal", Count: max(1, c.Count), Fields: map[string]string{}}
			for name, list := range c.Event {
				o.Fields[name] = list[0]
				if len(list) > 1 {
					data, _ := json.Marshal(list)
					o.Fields[name] = string(data)
				}
			}
			look := places
			if c.Bare {
				look = nil
			}
			j := tax.Judge(&class, &o, look)
			got := map[string]string{"verdict": string(j.Verdict), "why": j.VerdictReason.ZH + " " + j.VerdictReason.EN, "direction": j.Direction, "threat": j.Threat,
				"attack": j.Attack, "phase": j.Phase, "risk": risk(j.Risk), "attacker": party(j.Attacker), "victim": party(j.Victim)}
			for name, want := range c.Want {
				have, known := got[name]
				if !known {
					t.Fatalf("want.%s is nothing that a judgement has", name)
				}
				if name == "why" && strings.Contains(have, want) {
					continue
				}
				if have != want {
					t.Errorf("%s is %q, want %q (%s: %s)", name, have, want, j.Verdict, j.VerdictReason.EN)
				}
			}
			if j.Verdict != "" && (j.VerdictReason.ZH == "" || j.VerdictReason.EN == "") {
				t.Errorf("verdict %s without a reason in both languages: %+v", j.Verdict, j.VerdictReason)
			}
		})
	}
}

func risk(r detections.Risk) string {
	return strings.TrimRight(strings.Join([]string{r.Class, r.Subclass, r.Type}, "/"), "/")
}

func party(p *detections.Party) string {
	if p == nil {
		return ""
	}
	var parts []string
	for _, s := range []string{p.IP, p.User, p.Name, p.Zone, p.Item, p.System, p.Tenant} {
		if s != "" {
			parts = append(parts, s)
		}
	}
	return strings.Join(parts, " ")
}
