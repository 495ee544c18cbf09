package forwarding

import (
	"testing"

	"icewatch/soc/metrics"
)

func TestSelector(t *testing.T) {
	t.Parallel()
	s := metrics.Series{Labels: []metrics.Label{{Name: "__name__", Value: "node_load1"}, {Name: "zone", Value: "a"}}}
	for text, want := range map[string]bool{"": true, "node_load1": true, `{__name__=~"node_.*"}`: true, `{zone!="a"}`: false, `node_load1{host=""}`: true, `up`: false} {
		selector, err := parseSelector(text)
		if err != nil || passes(&s, selector) != want {
			t.Errorf("%q: %v, %v", text, !want, err)
		}
	}
	if _, err := parseSelector("rate(x[5m])"); err == nil {
		t.Error("a query is taken for a selector")
	}
	got := ofTenant(s, "tax")
	if len(got.Labels) != 3 || got.Labels[1] != (metrics.Label{Name: "tenant", Value: "tax"}) || len(s.Labels) != 2 {
		t.Errorf("%+v", got)
	}
	if again := ofTenant(got, "health"); again.Labels[1].Value != "tax" {
		t.Errorf("%+v", again)
	}
}
