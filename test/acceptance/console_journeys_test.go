package acceptance

import (
	"sync"
	"testing"
)

// TestConsoleJourneys drives in real Chromium what analysts do from end to end,
// on two attacks that came in through the sockets: ten alerts triaged by
// keyboard alone; an alert, its attacker, the graph, the incident, its report;
// a search that becomes a rule and is backtested; the other language; a
// colleague who opens a shared address.
func TestConsoleJourneys(t *testing.T) {
	t.Parallel()
	peer(t, "pdftotext")
	s, run := console(t, "")
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
