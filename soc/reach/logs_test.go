package reach

import "testing"

func TestWithLogs(t *testing.T) {
	web, dns := `"event.dataset":="web"`, `"event.dataset":="dns"`
	ab := Tenants("a", "b").WithLogs(web)
	for name, c := range map[string]struct {
		got  Reach
		want string
	}{
		"of everything":     {All().WithLogs(web), web},
		"of nothing":        {None().WithLogs(web), ""},
		"twice the same":    {ab.WithLogs(web), web},
		"two filters":       {ab.WithLogs(dns), "(" + web + ") and (" + dns + ")"},
		"kept by Narrow":    {ab.Narrow([]string{"a"}), web},
		"kept under All":    {All().And(ab), web},
		"kept over All":     {ab.And(All()), web},
		"joined by And":     {Tenants("a").WithLogs(dns).And(ab), "(" + dns + ") and (" + web + ")"},
		"gone with the row": {ab.Narrow([]string{"c"}), ""},
	} {
		if got := c.got.LogsFilter(); got != c.want {
			t.Errorf("%s: LogsFilter is %q, want %q", name, got, c.want)
		}
	}
	if got := All().WithLogs(web).LogsQL(); got != web {
		t.Errorf("LogsQL of everything is %q: the filter is not in force", got)
	}
	if got, want := ab.LogsQL(), Tenants("a", "b").LogsQL(); got == want {
		t.Errorf("LogsQL is %q with the filter as without", got)
	}
	if ab.Key() == Tenants("a", "b").Key() || ab.Key() == Tenants("a", "b").WithLogs(dns).Key() {
		t.Error("reaches with different filters have the same key")
	}
	if r := All().WithLogs(web); !r.Everything() || !r.Match(Facts{Tenant: "x"}) {
		t.Error("a filter of logs must not touch what is not in the lake")
	}
}
