package ticketing

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/uptrace/bun"

	"icewatch/detections"
	"icewatch/detections/policy"
	"icewatch/soc/reach"
)

// TestAtHand: whatever happens in whatever order, what is at hand is what SQL
// has, and all that becomes of alerts and incidents is what becomes of them
// where nothing is at hand: firings, people's work, clocks, transactions that
// fail half-way, restarts.
func TestAtHand(t *testing.T) {
	t.Parallel()
	rounds := 6
	if testing.Short() {
		rounds = 2
	}
	for seed := range rounds {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			r := rand.New(rand.NewPCG(uint64(seed), 7))
			kept, bare := newTwin(t), newTwin(t)
			occs := shuffledStories(r)
			for step := 0; step < 120 && !t.Failed(); step++ {
				act := anyAct(r, occs)
				kept.do(t, act)
				bare.s.live.forget()
				bare.do(t, act)
				kept.matches(t)
			}
			a, b := kept.dump(t), bare.dump(t)
			for _, table := range slices.Sorted(maps.Keys(b)) {
				if len(b[table]) == 0 {
					t.Errorf("nothing happened to %s", table)
				}
				if !slices.Equal(a[table], b[table]) {
					t.Errorf("%s: with what is at hand\n%s\nwithout\n%s", table, strings.Join(differing(a[table], b[table]), "\n"), strings.Join(differing(b[table], a[table]), "\n"))
				}
			}
		})
	}
}

func differing(a, b []string) []string {
	return slices.DeleteFunc(slices.Clone(a), func(s string) bool { return slices.Contains(b, s) })
}

// twin is a service whose transactions can be made to fail.
type twin struct {
	s    *Service
	c    *clock
	fail context.CancelFunc // called when the policy is asked; nil in peace
}

func newTwin(t *testing.T) *twin {
	w := &twin{c: newClock()}
	db := openDB(t)
	w.s = openService(t, db, w.c, Deps{Policy: w})
	return w
}

// Incident implements Policy by the suite's own.
func (w *twin) Incident(ctx context.Context, in policy.IncidentInput) (policy.Decision, error) {
	if w.fail != nil {
		w.fail()
		w.fail = nil
	}
	return realPolicy().Incident(context.WithoutCancel(ctx), in)
}

func shuffledStories(r *rand.Rand) []detections.Occurrence {
	hosts := []host{sealWeb, sealDB, sealApp, taxWeb}
	var occs []detections.Occurrence
	for n, h := range hosts {
		occs = append(occs, intrusion(h, fmt.Sprintf("203.0.113.%d", n%3), time.Duration(n)*5*time.Hour)...)
	}
	for range 4 {
		occs = append(occs, noise(r, hosts)...)
	}
	r.Shuffle(len(occs), func(i, j int) { occs[i], occs[j] = occs[j], occs[i] })
	one := func(list ...string) string { return list[r.IntN(len(list))] }
	for n := range occs {
		o := &occs[n]
		o.Verdict = append(slices.Clone(detections.Verdicts), "")[r.IntN(len(detections.Verdicts)+1)]
		o.Phase, o.Direction = append(slices.Clone(detections.Phases), "")[r.IntN(len(detections.Phases)+1)], one("inbound", "outbound", "lateral", "internal", "")
		o.Attack = one(attackGuessing, attackAccount, attackWebShell, "")
		o.Attacker, o.Victim = &detections.Party{IP: one("203.0.113.1", "203.0.113.2"), User: one("", "deploy")}, &detections.Party{IP: o.Fields["host.ip"], Item: o.Fields["icewatch.ci.id"]}
	}
	return occs
}

// anyAct chooses something that happens to a service. What it is done to is
// chosen by its place in a list, so that it is the same for both.
func anyAct(r *rand.Rand, occs []detections.Occurrence) func(t *testing.T, w *twin) {
	by := Actor{Name: "li.na", Reach: reach.All()}
	var batch []detections.Occurrence
	for range 1 + r.IntN(6) {
		o := occs[r.IntN(len(occs))]
		if r.IntN(3) > 0 { // again, later
			later := time.Duration(r.IntN(36*3600)) * time.Second
			o.Time, o.From = o.Time.Add(later), o.From.Add(later)
			o.ID = fmt.Sprint(o.Key, "@", o.Time.UnixNano())
		}
		batch = append(batch, o)
	}
	nth := r.IntN(1 << 20)
	alert := func(t *testing.T, w *twin) string {
		var ids []string
		if err := w.s.db.NewRaw("SELECT id FROM ticketing_alerts ORDER BY id").Scan(t.Context(), &ids); err != nil {
			t.Fatal(err)
		}
		return append(ids, "none")[nth%(len(ids)+1)]
	}
	incident := func(t *testing.T, w *twin) string {
		var ids []string
		if err := w.s.db.NewRaw("SELECT id FROM ticketing_incidents ORDER BY id").Scan(t.Context(), &ids); err != nil {
			t.Fatal(err)
		}
		return append(ids, "none")[nth%(len(ids)+1)]
	}
	keep := r.IntN(2) == 0
	acts := []func(t *testing.T, w *twin){
		func(t *testing.T, w *twin) { ingest(t, w.s, batch...) },
		func(t *testing.T, w *twin) { // a transaction fails, and its work is handed over again
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			w.fail = cancel
			_ = w.s.Ingest(ctx, batch)
			w.fail = nil
			ingest(t, w.s, batch...)
		},
		func(t *testing.T, w *twin) { _, _ = w.s.AcknowledgeAlert(t.Context(), by, alert(t, w), "") },
		func(t *testing.T, w *twin) {
			_, _ = w.s.CloseAlert(t.Context(), by, alert(t, w), Close{Resolution: "benign"})
		},
		func(t *testing.T, w *twin) { _, _ = w.s.ReopenAlert(t.Context(), by, alert(t, w)) },
		func(t *testing.T, w *twin) { _, _ = w.s.AssignIncident(t.Context(), by, incident(t, w), "li.na") },
		func(t *testing.T, w *twin) {
			_, _ = w.s.CloseIncident(t.Context(), by, incident(t, w), Close{Resolution: "benign", KeepAlerts: keep})
		},
		func(t *testing.T, w *twin) { _, _ = w.s.ReopenIncident(t.Context(), by, incident(t, w)) },
		func(t *testing.T, w *twin) {
			tenant, key, _ := strings.Cut(keyOf(&batch[0]), "/")
			if err := w.s.Recover(t.Context(), tenant, key, detections.Text{EN: "over"}); err != nil {
				t.Error(err)
			}
		},
		func(t *testing.T, w *twin) {
			w.c.forward(time.Duration(nth%600) * time.Second)
			for _, err := range []error{w.s.breaches(t.Context(), w.s.now()), w.s.tellDue(t.Context(), w.s.now()), w.s.judgeAgain(t.Context(), w.s.now())} {
				if err != nil {
					t.Error(err)
				}
			}
		},
		func(t *testing.T, w *twin) { // a restart
			w.s = openService(t, w.s.db, w.c, Deps{Policy: w})
		},
	}
	if r.IntN(2) == 0 {
		return acts[0]
	}
	return acts[r.IntN(len(acts))]
}

func (w *twin) do(t *testing.T, act func(t *testing.T, w *twin)) { act(t, w) }

// dump reads the room's tables, each row as a line. What only says how far a
// decision is from being asked again is left out.
func (w *twin) dump(t *testing.T) map[string][]string {
	t.Helper()
	out := map[string][]string{}
	for _, table := range []string{"ticketing_alerts", "ticketing_incidents", "ticketing_links", "ticketing_timeline", "ticketing_occurrences"} {
		var rows []map[string]any
		if err := w.s.db.NewSelect().ModelTableExpr(table).ColumnExpr("*").Scan(t.Context(), &rows); err != nil {
			t.Fatal(err)
		}
		for _, r := range rows {
			delete(r, "seq")
			line, err := json.Marshal(r)
			if err != nil {
				t.Fatal(err)
			}
			out[table] = append(out[table], string(line))
		}
		slices.Sort(out[table])
	}
	return out
}

// matches holds what is at hand against SQL.
func (w *twin) matches(t *testing.T) {
	t.Helper()
	err := w.s.write(t.Context(), func(ctx context.Context, tx bun.Tx) error {
		l := w.s.live
		var rows []alertRow
		if err := tx.NewSelect().Model(&rows).Scan(ctx); err != nil {
			return err
		}
		open, last := map[string]string{}, map[string]int{}
		cohorts, members := map[tenantLink][]string{}, map[string][]string{}
		for _, r := range rows {
			last[r.Key] = max(last[r.Key], r.Generation)
			if r.IncidentID != "" {
				members[r.IncidentID] = append(members[r.IncidentID], r.ID)
			}
			if r.Status != StatusClosed {
				open[r.Key] = r.ID
				for _, by := range r.ofLinks() {
					if by.value != "" {
						cohorts[tenantLink{r.Tenant, by}] = append(cohorts[tenantLink{r.Tenant, by}], r.ID)
					}
				}
			}
			a := l.alerts[r.ID]
			if a == nil {
				continue
			}
			if a.whole {
				a.Doc, a.Search, a.Facts = r.Doc, r.Search, r.Facts
				if a.alertRow != r {
					t.Errorf("alert %s is at hand as\n%+v\nand in SQL as\n%+v", r.ID, a.alertRow, r)
				}
				doc, _ := a.doc.encode()
				if doc != r.Doc {
					t.Errorf("the doc of alert %s is at hand as\n%s\nand in SQL as\n%s", r.ID, doc, r.Doc)
				}
				a.Doc, a.Search, a.Facts = "", "", ""
				if a.facts == nil {
					a.Facts = r.Facts
				}
			} else if a.shaped() != r.shaped() || a.Status != r.Status || a.Held != r.Held || a.Joins != r.Joins || a.IncidentID != r.IncidentID || a.LastSeen != r.LastSeen || a.Count != r.Count {
				t.Errorf("alert %s is at hand as\n%+v\nand in SQL as\n%+v", r.ID, a.alertRow, r)
			}
		}
		for key, generation := range l.last {
			a := l.open[key]
			if generation != last[key] || a == nil && open[key] != "" || a != nil && a.ID != open[key] {
				t.Errorf("key %s: generation %d and alert %v at hand, %d and %q in SQL", key, generation, a, last[key], open[key])
			}
		}
		for by := range l.drawn {
			for _, tenant := range []string{"e-seal", "tax"} {
				var ids []string
				if c := l.cohort(tenant, by); c != nil {
					for _, a := range c.alerts {
						ids = append(ids, a.ID)
					}
				}
				slices.Sort(ids)
				want := cohorts[tenantLink{tenant, by}]
				slices.Sort(want)
				if !slices.Equal(ids, want) {
					t.Errorf("%s %v: alerts %v at hand, %v in SQL", tenant, by, ids, want)
				}
			}
		}
		incidents, err := readIncidents(ctx, tx, slices.Sorted(maps.Keys(members)))
		if err != nil {
			return err
		}
		for _, i := range incidents {
			have := l.incidents[i.ID]
			if have == nil {
				if i.Status == StatusClosed {
					continue
				}
				for _, by := range linksOf(i) {
					if l.drawn[by] {
						t.Errorf("incident %s is open and not at hand, though %v is", i.ID, by)
					}
				}
				continue
			}
			if have.LastSeen != i.LastSeen || have.Status != i.Status || have.AlertCount != i.AlertCount || have.TellAt != i.TellAt ||
				!slices.Equal(have.items, i.items) || !slices.Equal(have.actors, i.actors) || have.fresh {
				t.Errorf("incident at hand as\n%+v\nand in SQL as\n%+v", have, i)
			}
			if m := l.members[i.ID]; m != nil {
				ids := slices.Sorted(maps.Keys(m))
				slices.Sort(members[i.ID])
				if !slices.Equal(ids, members[i.ID]) {
					t.Errorf("members of %s: %v at hand, %v in SQL", i.ID, ids, members[i.ID])
				}
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func linksOf(i *incident) []link {
	var out []link
	for _, v := range i.items {
		out = append(out, link{linkItem, v})
	}
	for _, v := range i.actors {
		out = append(out, link{linkActor, v})
	}
	return out
}

// TestAskedAgain: the policy is asked again at once where an alert beside one is
// new or graver, and at the latest with the next round where an alert has only
// fired on.
func TestAskedAgain(t *testing.T) {
	t.Parallel()
	asked := map[string]int{}
	s, c := newService(t, policyFunc(func(in policy.IncidentInput) (policy.Decision, error) {
		asked[in.Alert.Rule.ID]++
		return policy.Decision{Open: in.Alert.Rule.ID == "sudo" && in.Alert.Count > 6}, nil
	}))
	expect := func(what string, id string, times, incidents int) {
		t.Helper()
		if asked[id] != times || len(allIncidents(t, s)) != incidents {
			t.Errorf("%s: asked %d times about %s, want %d; %d incidents, want %d", what, asked[id], id, times, len(allIncidents(t, s)), incidents)
		}
	}
	for n := range 3 { // three events each
		ingest(t, s, fire(ruleSudo, sealDB, "", time.Duration(n)*time.Second, nil))
	}
	expect("fired on", "sudo", 1, 0)
	if err := s.judgeAgain(t.Context(), s.now()); err != nil {
		t.Fatal(err)
	}
	expect("the next round", "sudo", 2, 1)

	ingest(t, s, fire(ruleGuess, sealWeb, "203.0.113.7", 0, nil))
	ingest(t, s, fire(ruleProbe, sealWeb, "203.0.113.8", 0, nil))
	expect("another alert on its item", "guess", 2, 1)
	ingest(t, s, fire(ruleProbe, sealWeb, "203.0.113.8", time.Second, nil))
	expect("the other fired on", "guess", 2, 1)
	graver := fire(ruleProbe, sealWeb, "203.0.113.8", 2*time.Second, nil)
	graver.Rule.Level = detections.Medium
	ingest(t, s, graver)
	expect("the other is graver", "guess", 3, 1)
	ingest(t, s, fire(ruleGuess, sealWeb, "203.0.113.7", time.Second, nil))
	expect("fired on beside it", "guess", 3, 1)
	c.forward(judgeEvery)
	ingest(t, s, fire(ruleGuess, sealWeb, "203.0.113.7", 2*time.Second, nil))
	expect("fired on later", "guess", 4, 1)
}
