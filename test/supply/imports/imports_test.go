// Package imports holds what a program must not carry out of it: the suite itself
// links neither the agent's input plug-ins nor the scanner's engine, which would
// double its size and its attack surface.
package imports

import (
	"os/exec"
	"strings"
	"testing"
)

func TestTheSuiteCarriesNeitherPluginsNorScanEngine(t *testing.T) {
	t.Parallel()
	// Each program, and what it may not hold.
	for program, without := range map[string][]string{
		"icewatch":         {"github.com/influxdata/telegraf", "github.com/projectdiscovery/", "icewatch/collectors/scanner/templates", "icewatch/collectors/scanner/check"},
		"icectl":           {"github.com/influxdata/telegraf", "github.com/projectdiscovery/", "icewatch/collectors/scanner/templates", "icewatch/collectors/scanner/check"},
		"icewatch-agent":   {"github.com/projectdiscovery/"},
		"icewatch-scanner": {"github.com/influxdata/telegraf", "icewatch/soc/centre", "icewatch/soc/api"},
	} {
		out, err := exec.Command("go", "list", "-deps", "icewatch/cmd/"+program).CombinedOutput()
		if err != nil {
			t.Fatalf("%s: %v\n%s", program, err, out)
		}
		list := strings.Fields(string(out))
		if len(list) < 100 {
			t.Fatalf("%s: %d packages alone: the list is not whole", program, len(list))
		}
		for _, p := range list {
			for _, bad := range without {
				if strings.HasPrefix(p, bad) {
					t.Errorf("%s links %s", program, p)
				}
			}
		}
	}
}
