package generation

import (
	"strings"
	"testing"
	"time"
)

func TestCheck(t *testing.T) {
	t.Parallel()
	good := RaisingPolicy{
		Focus:   []RiskOfFocus{{Name: "mining", When: []string{`attack=mining`, `technique=T1496, severity=~"high|critical"`}, Raise: true}},
		Periods: []RaisingPeriod{{Name: "digest", When: []string{`severity=~"low|informational"`}, Mode: At, Times: []string{"08:30", "17:00"}, Days: []int{1, 2, 3, 4, 5}}, {Name: "rest", Mode: Every, Minutes: 30}},
	}
	if err := good.Check(); err != nil {
		t.Fatal(err)
	}
	if err := Default().Check(); err != nil {
		t.Fatal(err)
	}
	for want, bad := range map[string]RaisingPolicy{
		"focus[0].name: it is empty":                                 {Focus: []RiskOfFocus{{When: []string{"severity=low"}}}},
		"focus[0].when: it is empty":                                 {Focus: []RiskOfFocus{{Name: "a"}}},
		`focus[1].name: "a" is given twice`:                          {Focus: []RiskOfFocus{{Name: "a", When: []string{"severity=low"}}, {Name: "a", When: []string{"severity=low"}}}},
		`focus[0].when[0]: "source_ip" is nothing`:                   {Focus: []RiskOfFocus{{Name: "a", When: []string{"source_ip=1.2.3.4"}}}},
		`focus[0].when[0]: matcher`:                                  {Focus: []RiskOfFocus{{Name: "a", When: []string{`severity=~"("`}}}},
		"focus[0].when[0]: the line is empty":                        {Focus: []RiskOfFocus{{Name: "a", When: []string{" , "}}}},
		"periods[0].minutes: 0: want 1 to 1440":                      {Periods: []RaisingPeriod{{Name: "a", Mode: Every}}},
		`periods[0].mode: "": want once, every, at or keep`:          {Periods: []RaisingPeriod{{Name: "a"}}},
		`periods[0].times: "25:00": want hours and minutes`:          {Periods: []RaisingPeriod{{Name: "a", Mode: At, Times: []string{"25:00"}}}},
		"periods[0].times: 0 of them: want 1 to 24":                  {Periods: []RaisingPeriod{{Name: "a", Mode: At}}},
		"periods[0].days: 8: want 1 (Monday) to 7":                   {Periods: []RaisingPeriod{{Name: "a", Mode: At, Times: []string{"08:00"}, Days: []int{8}}}},
		"101 risks of focus and 0 periods: at most 100 of each":      {Focus: make([]RiskOfFocus, 101)},
		"focus[0].when[0]: 5000 bytes: at most 4096":                 {Focus: []RiskOfFocus{{Name: "a", When: []string{strings.Repeat("x", 5000)}}}},
		"periods[0].name: want at most 100 characters":               {Periods: []RaisingPeriod{{Name: strings.Repeat("长", 101), Mode: Once}}},
		`periods[0].when[0]: "colour" is nothing that an alert is`:   {Periods: []RaisingPeriod{{Name: "a", When: []string{"colour=red"}, Mode: Once}}},
		"periods[0].times: \"8.30\": want hours and minutes such as": {Periods: []RaisingPeriod{{Name: "a", Mode: At, Times: []string{"8.30"}}}},
	} {
		if err := bad.Check(); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}

func facts(m map[string][]string) Facts { return func(name string) []string { return m[name] } }

func TestFirstDecides(t *testing.T) {
	t.Parallel()
	p := RaisingPolicy{
		Focus: []RiskOfFocus{
			{Name: "off", Off: true, When: []string{"severity=low"}},
			{Name: "seal", Tenants: []string{"seal"}, When: []string{"severity=low"}},
			{Name: "guess", When: []string{`technique=T1110, tactic!=impact`, `rule_tag="a,b"`}},
		},
		Periods: []RaisingPeriod{{Name: "rest", Mode: Keep}},
	}
	c, err := p.Compile(time.UTC)
	if err != nil {
		t.Fatal(err)
	}
	for name, x := range map[string]struct {
		tenant string
		facts  map[string][]string
		want   string
	}{
		"of a tenant":         {"seal", map[string][]string{"severity": {"low"}}, "seal"},
		"of another tenant":   {"tax", map[string][]string{"severity": {"low"}}, ""},
		"one of several":      {"tax", map[string][]string{"technique": {"T1110.001", "T1110"}, "tactic": {"credential-access"}}, "guess"},
		"none of several":     {"tax", map[string][]string{"technique": {"T1110"}, "tactic": {"credential-access", "impact"}}, ""},
		"a comma in quotes":   {"tax", map[string][]string{"rule_tag": {"a,b"}}, "guess"},
		"a value that is not": {"tax", nil, ""},
	} {
		f, is := c.Focus(x.tenant, facts(x.facts))
		if f.Name != x.want || is != (x.want != "") {
			t.Errorf("%s: %q, want %q", name, f.Name, x.want)
		}
	}
	if d, is := c.Period("any", facts(nil)); !is || d.Name != "rest" {
		t.Errorf("a period without conditions: %+v, %v", d, is)
	}
	if none, err := Default().Compile(time.UTC); err != nil || !none.Idle() || c.Idle() {
		t.Errorf("idle: %v, %v", none.Idle(), c.Idle())
	}
}

func TestDue(t *testing.T) {
	t.Parallel()
	zone := time.FixedZone("UTC+8", 8*3600)
	c, err := RaisingPolicy{}.Compile(zone)
	if err != nil {
		t.Fatal(err)
	}
	for _, x := range []struct {
		p         RaisingPeriod
		now, want string
	}{
		{RaisingPeriod{Mode: Every, Minutes: 30}, "2026-11-27T10:00:00+08:00", "2026-11-27T10:30:00+08:00"}, // at the very beginning
		{RaisingPeriod{Mode: Every, Minutes: 30}, "2026-11-27T10:29:59+08:00", "2026-11-27T10:30:00+08:00"},
		{RaisingPeriod{Mode: Every, Minutes: 7}, "2026-11-27T23:59:00+08:00", "2026-11-28T00:00:00+08:00"}, // the day ends it
		{RaisingPeriod{Mode: Every, Minutes: 1440}, "2026-11-27T10:00:00+08:00", "2026-11-28T00:00:00+08:00"},
		{RaisingPeriod{Mode: At, Times: []string{"17:00", "08:30"}}, "2026-11-27T08:30:00+08:00", "2026-11-27T17:00:00+08:00"},
		{RaisingPeriod{Mode: At, Times: []string{"08:30"}}, "2026-11-27T09:00:00+08:00", "2026-11-28T08:30:00+08:00"},
		{RaisingPeriod{Mode: At, Times: []string{"08:30"}, Days: []int{1, 2, 3, 4, 5}}, "2026-11-27T09:00:00+08:00", "2026-11-30T08:30:00+08:00"}, // a Friday
		{RaisingPeriod{Mode: At, Times: []string{"08:30"}, Days: []int{5}}, "2026-11-27T09:00:00+08:00", "2026-12-04T08:30:00+08:00"},
		{RaisingPeriod{Mode: Once}, "2026-11-27T09:00:00+08:00", ""},
		{RaisingPeriod{Mode: Keep}, "2026-11-27T09:00:00+08:00", ""},
	} {
		now, _ := time.Parse(time.RFC3339, x.now)
		got := ""
		if due := c.Due(x.p, now.UTC()); !due.IsZero() {
			got = due.Format(time.RFC3339)
		}
		if got != x.want {
			t.Errorf("%+v at %s: %q, want %q", x.p, x.now, got, x.want)
		}
	}
}

// FuzzLine: a line is read or refused, and what was read is of known names.
func FuzzLine(f *testing.F) {
	for _, s := range []string{`severity=low`, `attack="a,b", technique!~"T1.*"`, `",`, `a=\`, "severity=\xff"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		line, err := Line(text)
		if err == nil && len(line) == 0 {
			t.Errorf("%q: nothing, and no error", text)
		}
	})
}
