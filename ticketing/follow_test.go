package ticketing

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"icewatch/detections"
	"icewatch/soc/reach"
)

// stranger is the attacker of these stories.
const stranger = "203.0.113.9"

// judged is a firing with a judgement, as the engine makes it.
func judged(id, attack, phase, direction string, v detections.Verdict, source string, at time.Duration) detections.Occurrence {
	r := rule{id: id, zh: id, en: id, level: detections.Medium, tactic: "execution", tech: "T1190", group: []string{"icewatch.ci.id"}, priority: "P3"}
	o := fire(r, sealWeb, source, at, nil)
	o.Judgement = detections.Judgement{Verdict: v, VerdictReason: detections.Text{ZH: "应答", EN: "answered"}, Phase: phase, Direction: direction, Attack: attack,
		Victim: &detections.Party{IP: sealWeb.addr, Name: sealWeb.name, Item: sealWeb.id, Tenant: sealWeb.tenant}}
	if source != "" {
		o.Attacker = &detections.Party{IP: source}
	}
	return o
}

// TestFollow asks what becomes of an attack's verdict by what comes after it,
// in whatever order the two arrive.
func TestFollow(t *testing.T) {
	t.Parallel()
	sqli := func(v detections.Verdict, at time.Duration) detections.Occurrence {
		return judged("sqli", "sql-injection", "exploitation", "inbound", v, stranger, at)
	}
	home := func(v detections.Verdict, at time.Duration) detections.Occurrence {
		o := judged("c2", "command-and-control", "command-and-control", "outbound", v, "", at)
		o.Attacker = &detections.Party{IP: "198.51.100.66"}
		return o
	}
	back := home(detections.Failed, 2*time.Minute)
	back.Attacker = &detections.Party{IP: stranger}
	shell := judged("spawn", "web-shell", "installation", "internal", detections.Compromised, "", 2*time.Minute)
	called := judged("called", "web-shell", "installation", "inbound", detections.Success, "203.0.113.50", 2*time.Minute)
	guess := judged("guess", "brute-force", "exploitation", "inbound", detections.Failed, stranger, 0)
	signIn := judged("signin", "account-abuse", "exploitation", "inbound", detections.Success, stranger, time.Minute)
	other := judged("signin", "account-abuse", "exploitation", "inbound", detections.Success, "203.0.113.50", time.Minute)
	scan := judged("scan", "scan", "reconnaissance", "inbound", detections.Attempt, stranger, 0)
	elsewhere := home(detections.Compromised, 2*time.Minute)
	elsewhere.Fields["icewatch.ci.id"], elsewhere.Key, elsewhere.Group[0].Value = sealDB.id, "c2|elsewhere", sealDB.id

	for _, c := range []struct {
		name       string
		attack, by detections.Occurrence
		want       detections.Verdict
		why        string
	}{
		{"its victim calls home", sqli(detections.Attempt, 0), home(detections.Compromised, 2*time.Minute), detections.Compromised, "失陷行为"},
		{"its victim turns to the attacker, even in vain", sqli(detections.Attempt, 0), back, detections.Compromised, "与攻击者往来"},
		{"its victim runs a shell", sqli(detections.Success, 0), shell, detections.Compromised, "spawn"},
		{"a web shell answers there", sqli(detections.Attempt, 0), called, detections.Compromised, "called"},
		{"what was stopped stays stopped", sqli(detections.Failed, 0), home(detections.Compromised, 2*time.Minute), detections.Failed, "应答"},
		{"what came before it did not come of it", sqli(detections.Attempt, 0), home(detections.Compromised, -time.Minute), detections.Attempt, "应答"},
		{"nor what came long after", sqli(detections.Attempt, 0), home(detections.Compromised, 2*time.Hour), detections.Attempt, "应答"},
		{"nor what another machine does", sqli(detections.Attempt, 0), elsewhere, detections.Attempt, "应答"},
		{"a try to call home proves nothing", sqli(detections.Attempt, 0), home(detections.Attempt, 2*time.Minute), detections.Attempt, "应答"},
		{"looking around breaks nothing", scan, shell, detections.Attempt, "应答"},
		{"guessing that ended in a sign-in", guess, signIn, detections.Success, "随后成功"},
		{"a sign-in from elsewhere", guess, other, detections.Failed, "应答"},
		{"the same attack that worked", sqli(detections.Attempt, 0), judged("sqli2", "sql-injection", "exploitation", "inbound", detections.Success, stranger, time.Minute), detections.Success, "随后成功"},
	} {
		for _, order := range []string{"in order", "the other way round", "at once"} {
			t.Run(c.name+", "+order, func(t *testing.T) {
				t.Parallel()
				s, _ := newService(t, nil)
				switch order {
				case "in order":
					ingest(t, s, c.attack)
					ingest(t, s, c.by)
				case "the other way round":
					ingest(t, s, c.by)
					ingest(t, s, c.attack)
				default:
					ingest(t, s, c.by, c.attack)
				}
				for _, a := range allAlerts(t, s) {
					if a.Rule.ID != c.attack.Rule.ID {
						continue
					}
					if a.Verdict != c.want || !strings.Contains(a.VerdictReason.ZH, c.why) {
						t.Errorf("verdict %s because of %q, want %s because of %q", a.Verdict, a.VerdictReason.ZH, c.want, c.why)
					}
					d, err := s.Alert(t.Context(), reach.All(), a.ID)
					if err != nil {
						t.Fatal(err)
					}
					told := 0
					for _, e := range d.Timeline {
						if e.Kind == "verdict" {
							told++
							if !strings.Contains(e.Text.ZH, c.why) || e.Text.EN == "" || e.Data["to"] != string(c.want) {
								t.Errorf("the timeline tells %+v %v", e.Text, e.Data)
							}
						}
					}
					if want := map[bool]int{true: 1, false: 0}[c.want != c.attack.Verdict]; told != want {
						t.Errorf("the timeline tells of %d changes of the verdict, want %d", told, want)
					}
				}
			})
		}
	}
}

// TestIncidentVerdict asks that an incident has the worst verdict of its alerts
// and all their phases, and that both follow what comes later.
func TestIncidentVerdict(t *testing.T) {
	t.Parallel()
	sqli := judged("sqli", "sql-injection", "exploitation", "inbound", detections.Attempt, stranger, 0)
	sqli.Rule.Level = detections.Critical
	home := judged("c2", "command-and-control", "command-and-control", "outbound", detections.Compromised, "", time.Minute)
	home.Attacker = &detections.Party{IP: "198.51.100.66"}
	story := []detections.Occurrence{sqli, judged("scan", "scan", "reconnaissance", "inbound", detections.Attempt, stranger, -time.Minute), home}
	for seed := range uint64(6) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			s, _ := newService(t, nil)
			cut(t, s, rand.New(rand.NewPCG(seed, 1)), story)
			list := allIncidents(t, s)
			if len(list) != 1 {
				t.Fatalf("%d incidents", len(list))
			}
			i := list[0]
			if i.Verdict != detections.Compromised || strings.Join(i.Phases, " ") != "reconnaissance exploitation command-and-control" {
				t.Errorf("verdict %s, phases %v", i.Verdict, i.Phases)
			}
			if len(i.Attackers) != 2 || i.Attackers[0].IP != "198.51.100.66" || i.Attackers[1].IP != stranger || len(i.Victims) != 1 || i.Victims[0].Item != sealWeb.id {
				t.Errorf("attackers %+v, victims %+v", i.Attackers, i.Victims)
			}
		})
	}
}

// TestDiscreet asks that an alert names no item of another tenant.
func TestDiscreet(t *testing.T) {
	t.Parallel()
	s, _ := newService(t, nil)
	o := judged("smb", "lateral-movement", "actions-on-objectives", "lateral", detections.Attempt, taxWeb.addr, 0)
	o.Attacker = &detections.Party{IP: taxWeb.addr, Name: taxWeb.name, Item: taxWeb.id, System: taxWeb.system, Zone: "税务专网", Tenant: taxWeb.tenant}
	ingest(t, s, o)
	a := allAlerts(t, s)[0]
	if *a.Attacker != (detections.Party{IP: taxWeb.addr}) || a.Victim.Name != sealWeb.name {
		t.Errorf("attacker %+v, victim %+v", a.Attacker, a.Victim)
	}
}
