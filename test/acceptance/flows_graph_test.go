package acceptance

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"
)

// chainHops is how many machines an intruder goes on to, one after the other.
const chainHops = 12

func chainAddress(i int) string { return fmt.Sprintf("10.77.0.%d", i+1) }

// chain is an intruder's way: from each machine on to the next.
func chain() (talks []*talk) {
	for i := range chainHops {
		talks = append(talks, &talk{client: chainAddress(i), server: chainAddress(i + 1), port: 22, sent: 2, answered: 1})
	}
	return talks
}

// checkChain drills the chain step by step on the graph of relations, and has
// it traced from its end and from its beginning.
func checkChain(t *testing.T, s *suite) {
	t.Helper()
	type edge struct {
		From, To, Kind string
		Port           int
	}
	node := func(i int) string { return "ip:gov|" + chainAddress(i) }
	for i := range chainHops {
		var g struct{ Edges []edge }
		// The ledger is written every few seconds.
		eventually(t, 20*time.Second, fmt.Sprintf("step %d of the chain is on the graph", i), func() error {
			if err := s.admin.JSON(t.Context(), http.MethodPost, "/api/v1/graph/neighbours", nil, map[string]any{"nodes": []string{node(i)}, "ports": "22", "kinds": []string{"flow"}}, &g); err != nil {
				return err
			}
			want := edge{node(i), node(i + 1), "flow", 22}
			if !slices.Contains(g.Edges, want) || len(g.Edges) > 2 {
				return fmt.Errorf("%+v, want %+v among them", g.Edges, want)
			}
			return nil
		})
	}
	for direction, from := range map[string]int{"backward": chainHops, "forward": 0} {
		data, err := json.Marshal(map[string]any{"node": "ip:" + chainAddress(from), "direction": direction}) // in whichever zone it was seen
		if err != nil {
			t.Fatal(err)
		}
		resp, err := s.admin.Do(t.Context(), http.MethodPost, "/api/v1/graph/trace", nil, http.Header{"Content-Type": {"application/json"}}, strings.NewReader(string(data)))
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil || resp.StatusCode != http.StatusOK {
			t.Fatalf("trace %s: %d %s %v", direction, resp.StatusCode, body, err)
		}
		lines := strings.Split(strings.TrimSpace(string(body)), "\n")
		var last struct {
			Result *struct {
				Paths []struct {
					Origin string
					Hops   int
					Weak   bool
					Steps  []struct {
						From, To string
						Why      []string
					}
				}
			}
		}
		if err := json.Unmarshal([]byte(lines[len(lines)-1]), &last); err != nil || last.Result == nil || len(last.Result.Paths) != 1 {
			t.Fatalf("trace %s ends with %s: %v", direction, lines[len(lines)-1], err)
		}
		p := last.Result.Paths[0]
		if p.Hops != chainHops || p.Origin != node(chainHops-from) || p.Weak || len(lines) < chainHops {
			t.Errorf("trace %s: %d lines, %+v", direction, len(lines), p)
			continue
		}
		for i, step := range p.Steps {
			if step.From != node(i) || step.To != node(i+1) || !slices.Contains(step.Why, "rare") {
				t.Errorf("trace %s, step %d: %+v", direction, i, step)
			}
		}
	}
}
