package acceptance

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"icewatch/test/boards"
	"icewatch/test/peers"
)

// TestGrafanaDashboards drives known data through the suite's sockets, asks every
// query of every dashboard as Grafana does, and compares each answer with what
// the data has to give: see the package test/boards.
func TestGrafanaDashboards(t *testing.T) {
	t.Parallel()
	hook := newReceiver(t)
	hook.refused = 2 // none
	port := peers.FreePort(t)
	s := prepare(t, loopback+fmt.Sprintf(`flows: {netflow: "127.0.0.1:%s", sflow: off, tenant: city, zone: gov}
metrics: {interval: 1s}
notify:
  webhooks:
    - {name: duty, url: %q, secret: %q}
`, port, hook.URL, webhookSecret))
	// The day of the suite does not end during the test: figures of the day do.
	s.env = append(s.env, fmt.Sprintf("TZ=Etc/GMT%+d", time.Now().UTC().Hour()-12))
	s.start()
	s.signIn()

	// The programs carry the files that are asked below.
	dir := t.TempDir()
	if out, err := s.icectl("dashboards", "export", dir); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	exported, err := os.ReadFile(filepath.Join(dir, "zh-CN", "overview.json"))
	var archive []byte
	if err == nil {
		err = s.token("e-seal", "read").Get(t.Context(), "/api/v1/dashboards/grafana", nil, &archive)
	}
	if err != nil || !bytes.Contains(exported, []byte("icewatch-zh-overview")) || !bytes.HasPrefix(archive, []byte("PK")) {
		t.Errorf("the files of the programs: %v", err)
	}

	boards.Run(t, boards.Suite{URL: s.url, Syslog: s.syslog, NetFlow: "127.0.0.1:" + port, Admin: s.admin,
		Delivered: func() int { return len(hook.all()) }, Disk: s.data})
}
