package verdict_test

import (
	"strings"
	"testing"

	"icewatch/detections/verdict"
)

func TestPhase(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ tactics, techniques, want string }{
		{"reconnaissance", "T1595.001", "reconnaissance"},
		{"reconnaissance discovery", "T1046", "reconnaissance"},
		{"discovery", "T1046", "actions-on-objectives"},
		{"resource-development", "", "weaponization"},
		{"initial-access", "T1566.001", "delivery"},
		{"initial-access", "T1190", "exploitation"},
		{"Privilege_Escalation persistence", "", "installation"},
		{"execution command-and-control", "", "command-and-control"},
		{"", "t1105", "installation"},
		{"", "", ""},
		{"none", "T9999", ""},
	} {
		if got := verdict.Phase(strings.Fields(c.tactics), strings.Fields(c.techniques)); got != c.want {
			t.Errorf("%q %q: %q, want %q", c.tactics, c.techniques, got, c.want)
		}
	}
}
