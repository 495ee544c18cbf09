package acceptance

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"icewatch/soc/client"
)

// windowRules are correlations of all kinds over the test's own events: at once
// and when over, chains and absence. Their windows are far longer than what is
// sent between two kills.
const windowRules = `title: Kill Guess
id: kill-guess
name: kill_guess
logsource: {product: killtest}
detection:
  s: {event.outcome: failure}
  condition: s
---
title: Kill Entry
id: kill-entry
name: kill_entry
logsource: {product: killtest}
detection:
  s: {event.outcome: success}
  condition: s
---
title: Kill End
id: kill-end
logsource: {product: killtest}
detection:
  s: {event.outcome: end}
  condition: s
---
title: Kill Count
id: kill-count
name: kill_count
correlation: {type: event_count, rules: [kill_guess], group-by: [source.ip], timespan: 10m, condition: {gte: 4}}
---
title: Kill Users
id: kill-users
correlation: {type: value_count, rules: [kill_guess], group-by: [source.ip], timespan: 20m, condition: {field: user.name, gte: 4}}
---
title: Kill Order
id: kill-order
correlation: {type: temporal_ordered, rules: [kill_guess, kill_entry], group-by: [source.ip, user.name], timespan: 20m}
---
title: Kill Chain
id: kill-chain
correlation: {type: temporal_ordered, rules: [kill_count, kill_entry], group-by: [source.ip], timespan: 20m, generate: true}
---
title: Kill Sum
id: kill-sum
correlation: {type: value_sum, rules: [kill_guess, kill_entry], group-by: [user.name], timespan: 5m, condition: {field: source.bytes, gte: 4000}}
---
title: Kill Mean
id: kill-mean
correlation: {type: value_avg, rules: [kill_guess, kill_entry], group-by: [source.ip], timespan: 15m, condition: {field: source.bytes, gte: 500}}
---
title: Kill Few
id: kill-few
correlation: {type: event_count, rules: [kill_entry], group-by: [source.ip], timespan: 15m, condition: {gte: 1, lt: 3}}
---
title: Kill Silence
id: kill-silence
correlation: {type: event_count, rules: [kill_guess, kill_entry], group-by: [source.ip], timespan: 8m}
icewatch: {absence: true}
`

// windowAlert is what an alert of these rules has to be, whatever was killed
// meanwhile.
type windowAlert struct {
	Rule                string
	Count               int
	FirstSeen, LastSeen string
	// Of windows. Matches of single events are named after their place on the
	// bus, which is another one in each suite.
	Occurrences int
	Firings     string // ids of the last twenty
}

// TestWindowsOverKills sends the same events, three hours of some addresses in
// disorder, to a suite that is left alone and to one whose engine, centre or
// both are killed in the middle of windows: both have to raise the same alerts,
// by id, of the same firings. ICEWATCH_KILL_ROUNDS sets how often; make
// test-windows takes fifty.
func TestWindowsOverKills(t *testing.T) {
	t.Parallel()
	rounds := 3
	if v := os.Getenv("ICEWATCH_KILL_ROUNDS"); v != "" {
		n, err := strconv.Atoi(v)
		if err != nil || n < 1 {
			t.Fatalf("ICEWATCH_KILL_ROUNDS=%q is no number of rounds", v)
		}
		rounds = n
	}
	rnd := random(t)
	rules := t.TempDir()
	if err := os.WriteFile(filepath.Join(rules, "windows.yml"), []byte(windowRules), 0o644); err != nil {
		t.Fatal(err)
	}
	extra := fmt.Sprintf("rules:\n  dirs: [%s]\n", rules)
	parts := windowEvents(rnd, rounds+1)

	calm := newSuite(t, extra)
	writer := calm.token("e-seal", "ingest")
	for i := range parts {
		sendPart(t, writer, i, parts[i])
	}
	want := calm.windowAlerts()
	calm.stop()
	kinds := map[string]int{}
	for _, a := range want {
		kinds[a.Rule] += a.Occurrences
	}
	for _, rule := range []string{"kill-count", "kill-users", "kill-order", "kill-chain", "kill-sum", "kill-mean", "kill-few", "kill-silence"} {
		if kinds[rule] == 0 {
			t.Errorf("%s does not fire in a suite that is left alone: the test says nothing of it", rule)
		}
	}

	s := newSuite(t, extra)
	writer = s.token("e-seal", "ingest")
	for i := range parts {
		if i == len(parts)-1 { // the last part brings the end
			sendPart(t, writer, i, parts[i])
			break
		}
		sent := make(chan struct{})
		go func() {
			defer close(sent)
			sendPart(t, writer, i, parts[i])
		}()
		time.Sleep(time.Duration(rnd.Int64N(int64(300 * time.Millisecond))))
		kind := []string{"engine", "centre", "both"}[i%3]
		s.killPart(kind)
		<-sent
		t.Logf("round %d: the %s killed", i+1, kind)
	}
	s.ready(90 * time.Second)
	s.signIn()
	got := s.windowAlerts()
	for id, a := range want {
		if b, there := got[id]; !there {
			t.Errorf("after kills the alert %s is missing: %+v", id, a)
		} else if a != b {
			t.Errorf("after kills the alert %s is\n%+v, not\n%+v", id, b, a)
		}
	}
	for id, a := range got {
		if _, there := want[id]; !there {
			t.Errorf("after kills there is an alert too many, %s: %+v", id, a)
		}
	}
	t.Logf("%d alerts of %v firings, %d kills", len(want), kinds, rounds)
}

// killPart kills the engine, the centre, or both at once, and starts the suite
// again where that is needed.
func (s *suite) killPart(kind string) {
	s.t.Helper()
	switch kind {
	case "engine":
		eventually(s.t, 60*time.Second, "the engine runs", func() error {
			pid := s.enginePID()
			if pid == 0 {
				return fmt.Errorf("its process id is not known")
			}
			return syscall.Kill(pid, syscall.SIGKILL)
		})
	case "centre":
		s.mu.Lock()
		_ = s.cmd.Process.Kill()
		_ = s.cmd.Wait()
		s.cmd = nil
		s.mu.Unlock()
		s.launch()
	case "both":
		s.kill()
		s.launch()
	}
}

// windowEvents are _bulk documents of three hours, in parts: each address
// fails, gets in and falls silent now and then. They come up to two minutes
// too late or too early.
func windowEvents(rnd *rand.Rand, parts int) [][]string {
	type one struct {
		order time.Time
		text  string
	}
	begin := time.Now().UTC().Truncate(time.Second).Add(-4 * time.Hour)
	var all []one
	for address := range 20 {
		for at := begin; at.Before(begin.Add(3 * time.Hour)); {
			step := time.Duration(rnd.Int64N(int64(4 * time.Minute)))
			if rnd.IntN(20) == 0 {
				step += 10 * time.Minute
			}
			at = at.Add(step)
			outcome := "failure"
			if rnd.IntN(4) == 0 {
				outcome = "success"
			}
			all = append(all, one{at.Add(time.Duration(rnd.Int64N(int64(2 * time.Minute)))),
				fmt.Sprintf(`"@timestamp":%q,"event.module":"killtest","event.outcome":%q,"source.ip":"198.51.100.%d","user.name":"u%d","source.bytes":%d,"message":"window"}`,
					at.Format(time.RFC3339Nano), outcome, address+1, rnd.IntN(6), rnd.IntN(1000))})
		}
	}
	slices.SortFunc(all, func(a, b one) int { return a.order.Compare(b.order) })
	out := make([][]string, parts)
	for i, e := range all {
		part := i * parts / len(all)
		out[part] = append(out[part], fmt.Sprintf("{\"create\":{\"_id\":\"window-%d\"}}\n{%s\n", i, e.text))
	}
	out[parts-1] = append(out[parts-1], fmt.Sprintf("{\"create\":{\"_id\":\"window-end\"}}\n{\"@timestamp\":%q,\"event.module\":\"killtest\",\"event.outcome\":\"end\",\"message\":\"window\"}\n",
		begin.Add(3*time.Hour+30*time.Minute).Format(time.RFC3339)))
	return out
}

// sendPart posts documents a few at a time, again and again until all of them are
// acknowledged: their ids make each count once.
func sendPart(t *testing.T, writer *client.Client, part int, documents []string) {
	for some := range slices.Chunk(documents, max(1, len(documents)/8)) {
		deadline := time.Now().Add(3 * time.Minute)
		for {
			var answer struct {
				Errors bool             `json:"errors"`
				Items  []map[string]any `json:"items"`
			}
			err := writer.Send(context.Background(), http.MethodPost, "/elastic/windows/_bulk", nil, http.Header{"Content-Type": {"application/x-ndjson"}},
				bytes.NewBufferString(strings.Join(some, "")), &answer)
			if err == nil && !answer.Errors && len(answer.Items) == len(some) {
				break
			}
			if time.Now().After(deadline) {
				t.Errorf("part %d is not taken within three minutes: error %v, answer %.300v", part, err, answer)
				return
			}
			time.Sleep(100 * time.Millisecond)
		}
	}
}

// windowAlerts waits for the alert of the last event, which the engine raises
// behind all others, and gives the others.
func (s *suite) windowAlerts() map[string]windowAlert {
	s.t.Helper()
	ctx := context.Background()
	out := map[string]windowAlert{}
	eventually(s.t, 3*time.Minute, "the alert of the last event", func() error {
		alerts, err := s.admin.Alerts(ctx, url.Values{"tenant": {"e-seal"}}, 0)
		if err != nil {
			return err
		}
		clear(out)
		ended := false
		for _, a := range alerts {
			if a.Rule.ID == "kill-end" {
				ended = true
			} else if strings.HasPrefix(a.Rule.ID, "kill-") {
				one := windowAlert{Rule: a.Rule.ID, Count: a.Count, FirstSeen: a.FirstSeen.Format(time.RFC3339Nano), LastSeen: a.LastSeen.Format(time.RFC3339Nano)}
				if a.Rule.ID != "kill-entry" {
					one.Occurrences = a.Occurrences
				}
				out[a.ID] = one
			}
		}
		if !ended {
			return fmt.Errorf("%d others are there", len(out))
		}
		return nil
	})
	for id, a := range out {
		if a.Occurrences == 0 {
			continue
		}
		var detail struct {
			Occurrences []struct {
				ID string `json:"id"`
			} `json:"occurrences"`
		}
		if err := s.admin.Get(ctx, "/api/v1/alerts/"+id, nil, &detail); err != nil {
			s.t.Fatal(err)
		}
		var ids []string
		for _, o := range detail.Occurrences {
			ids = append(ids, o.ID)
		}
		slices.Sort(ids)
		a.Firings = strings.Join(ids, " ")
		out[id] = a
	}
	return out
}
