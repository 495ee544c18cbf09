package acceptance

import (
	"sync"
	"testing"

	"icewatch/test/peers"
)

// TestConsoleJourneys holds, in real Chromium, the numbers on the pages against
// data that was driven through the sockets and things that were done, whose figures
// are known, on a suite that may reach servers of the test; then it
// drives what analysts do from end to end, on two attacks more: ten alerts
// triaged by keyboard alone; an alert, its attacker, the graph, the incident,
// its report; a search that becomes a rule and is backtested; the other
// language; a colleague who opens a shared address.
func TestConsoleJourneys(t *testing.T) {
	t.Parallel()
	peer(t, "pdftotext")
	netflow := "127.0.0.1:" + peers.FreePort(t)
	backups := t.TempDir()
	s, run := console(t, "flows: {netflow: "+netflow+", sflow: off}\nbackup: {dir: "+backups+"}\n"+loopback)
	run("numbers.test.mjs", s.url, "NETFLOW="+netflow, "BACKUPS="+backups)
	var wait sync.WaitGroup
	for _, seed := range []string{"42", "43"} {
		wait.Go(func() {
			if _, err := s.simulate("--seed", seed, "--duration", "10s", "--rate", "30"); err != nil {
				t.Error(err)
			}
		})
	}
	wait.Wait()
	run("journeys.test.mjs", s.url)
}
