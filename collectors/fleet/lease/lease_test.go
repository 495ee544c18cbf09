package lease

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"
)

// agent is a member as the wire's contract has it: it runs what it holds until TTL
// after it asked.
type agent struct {
	id    string
	runs  map[string]time.Time // task → until
	fence map[string]int64
	dead  bool
	next  time.Time
}

// TestNoTaskRunsTwice kills, revives and delays members at random, and looks at every
// moment who runs what.
func TestNoTaskRunsTwice(t *testing.T) {
	t.Parallel()
	for seed := range uint64(6) {
		r := rand.New(rand.NewPCG(seed, 1))
		now := time.Unix(1_800_000_000, 0)
		table := New(now)
		const tasks, members = 40, 12
		for i := range tasks {
			table.SetTask(fmt.Sprint("t", i), "g", 1, now)
		}
		agents := make([]*agent, members)
		for i := range agents {
			agents[i] = &agent{id: fmt.Sprint("a", i), runs: map[string]time.Time{}, fence: map[string]int64{}, next: now}
		}
		idle := map[string]time.Time{}
		for step := range 3000 {
			now = now.Add(100 * time.Millisecond)
			if r.IntN(100) == 0 {
				agents[r.IntN(members)].dead = true
			}
			if r.IntN(60) == 0 {
				agents[r.IntN(members)].dead = false
			}
			if step == 1500 {
				// The suite is started anew and knows nothing.
				table = New(now)
				for i := range tasks {
					table.SetTask(fmt.Sprint("t", i), "g", 1, now)
				}
			}
			tell, _ := table.Step(now)
			for _, id := range tell {
				for _, a := range agents {
					if a.id == id {
						a.next = now
					}
				}
			}
			for _, a := range agents {
				for task, until := range a.runs {
					if !now.Before(until) {
						delete(a.runs, task)
					}
				}
				if a.dead || now.Before(a.next) {
					continue
				}
				var holds []Grant
				for task := range a.runs {
					holds = append(holds, Grant{task, a.fence[task]})
				}
				table.Ask(a.id, "g", holds, now)
				sent := now.Add(-time.Duration(r.IntN(2000)) * time.Millisecond) // the answer is late
				a.runs = map[string]time.Time{}
				for _, g := range table.Answer(a.id, now) {
					a.runs[g.Task], a.fence[g.Task] = sent.Add(TTL), g.Fence
				}
				a.next = now.Add(Renew)
			}
			who := map[string]string{}
			alive := 0
			for _, a := range agents {
				if !a.dead {
					alive++
				}
				for task, until := range a.runs {
					if now.Before(until) {
						if other, ok := who[task]; ok {
							t.Fatalf("seed %d, step %d: %s runs on %s and %s", seed, step, task, other, a.id)
						}
						who[task] = a.id
					}
				}
			}
			for i := range tasks {
				id := fmt.Sprint("t", i)
				if who[id] != "" || alive < members/2 {
					idle[id] = now
				} else if was, ok := idle[id]; ok && now.Sub(was) > 5*TTL {
					t.Fatalf("seed %d, step %d: %s runs nowhere for %s", seed, step, id, now.Sub(was))
				}
			}
		}
	}
}

func TestTakeover(t *testing.T) {
	t.Parallel()
	now := time.Unix(1_800_000_000, 0)
	table := New(now)
	for i := range 9 {
		table.SetTask(fmt.Sprint(i), "g", 1, now)
	}
	now = now.Add(TTL)
	for _, id := range []string{"a", "b", "c"} {
		table.Ask(id, "g", nil, now)
	}
	table.Step(now)
	for _, id := range []string{"a", "b", "c"} {
		if n := len(table.Answer(id, now)); n != 3 {
			t.Fatalf("%s holds %d of 9 tasks", id, n)
		}
	}
	died := now
	for table.Load("g", now)["a"] > 0 || table.Load("g", now)["b"]+table.Load("g", now)["c"] < 9 {
		now = now.Add(time.Second)
		if now.Sub(died) > 30*time.Second {
			t.Fatal("the tasks of a dead member did not move in 30 s")
		}
		for _, id := range []string{"b", "c"} {
			table.Ask(id, "g", nil, now)
			table.Answer(id, now)
		}
		table.Step(now)
	}
	load := table.Load("g", now)
	if load["b"]-load["c"] > 1 || load["c"]-load["b"] > 1 {
		t.Fatalf("the load is not even: %v", load)
	}
	// One comes back: it gets its share.
	for range 120 {
		now = now.Add(time.Second)
		for _, id := range []string{"a", "b", "c"} {
			table.Ask(id, "g", nil, now)
			table.Answer(id, now)
		}
		table.Step(now)
	}
	if load := table.Load("g", now); load["a"] < 2 {
		t.Fatalf("who came back carries %v", load)
	}
}
