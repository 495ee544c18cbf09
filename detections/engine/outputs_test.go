package engine

import (
	"strings"
	"testing"
	"time"

	"icewatch/detections"
	"icewatch/soc/event"
)

// graded says other things of the same sign-in by who does it, and from where.
const graded = `
title: Sign-in
id: signin
tags: [attack.initial-access]
level: low
logsource: {product: t}
detection: {s: {event.outcome: success}, condition: s}
icewatch:
  group_by: [source.ip]
  knowledge: account-abuse
  sentence: {zh: '{user.name} 登录', en: '{user.name} signed in'}
  outputs:
    - when: {root: {user.name: root}, condition: root}
      level: critical
      title: {zh: 管理员登录, en: Administrator signed in}
      advice: {zh: '核对 {source.ip}', en: 'Ask {source.ip}'}
      tags: [grade.a]
      knowledge: privilege-escalation
      fields: {grade: 'A of {user.name}', where: 'x {no.such} y'}
      then:
        - when: {out: {source.ip|startswith: '203.'}, condition: out}
          sentence: {zh: '{user.name} 从外部登录', en: '{user.name} from outside, {count}'}
    - when: {svc: {user.name|startswith: svc-}, condition: svc}
      level: medium
---
title: Many
id: many
level: medium
correlation: {type: event_count, rules: [signin], group-by: [source.ip], timespan: 1h, condition: {gte: 2}, generate: true}
icewatch:
  outputs:
    - when: {root: {user.name: root}, condition: root}
      level: high
`

func TestOutputs(t *testing.T) {
	t.Parallel()
	reg := event.NewRegistry(0)
	e, _ := fresh(t, reg, map[string]string{"a.yml": graded})
	say := func(seq uint64, user, ip string) map[string]detections.Occurrence {
		ev := makeEvent(seq, 0, "success", ip)
		ev.Set(event.UserName, user)
		out := map[string]detections.Occurrence{}
		for _, o := range collect(e, ev) {
			out[o.Rule.ID] = o
		}
		return out
	}
	root := say(1, "root", "203.0.113.9")["signin"]
	if r := root.Rule; r.Output != "1.1" || r.Level != detections.Critical || r.Title.EN != "Administrator signed in" || r.Sentence.EN != "root from outside, 1" || r.Advice.ZH != "核对 203.0.113.9" ||
		r.Knowledge != "privilege-escalation" || strings.Join(r.Tags, " ") != "attack.initial-access grade.a" || root.Fields["icewatch.output.grade"] != "A of root" || root.Fields["icewatch.output.where"] != "x  y" {
		t.Errorf("%+v %v", r, root.Fields)
	}
	inside := say(2, "root", "10.0.0.9")["signin"]
	if r := inside.Rule; r.Output != "1" || r.Sentence.EN != "Administrator signed in" {
		t.Errorf("%+v", r)
	}
	svc := say(3, "svc-backup", "10.0.0.8")["signin"]
	if r := svc.Rule; r.Output != "2" || r.Level != detections.Medium || r.Sentence.EN != "svc-backup signed in" || r.Knowledge != "account-abuse" || strings.Join(r.Tags, " ") != "attack.initial-access" {
		t.Errorf("%+v", r)
	}
	amy := say(4, "amy", "10.0.0.7")["signin"]
	if r := amy.Rule; r.Output != "" || r.Level != detections.Low || len(amy.Fields["icewatch.output.grade"]) > 0 {
		t.Errorf("%+v", r)
	}
	// What is grouped is grouped as before: an output changes what is said and not what is one alert.
	if again := say(5, "amy", "10.0.0.9")["signin"]; again.Key != inside.Key {
		t.Errorf("keys %s, %s", again.Key, inside.Key)
	}
	// A correlation's outputs look at its last event.
	if many := say(6, "root", "10.0.0.7")["many"]; many.Rule.Output != "1" || many.Rule.Level != detections.High {
		t.Errorf("%+v", many.Rule)
	}
}

// TestAFloodKeepsOutputsApart holds that what stands for many firings says what holds
// for all of them.
func TestAFloodKeepsOutputsApart(t *testing.T) {
	t.Parallel()
	reg := event.NewRegistry(0)
	e := New(Options{Registry: reg, Log: quiet, Flood: Flood{Rate: 1, Window: 10 * time.Second, Interval: 10 * time.Second}})
	e.Swap(compileFiles(t, reg, map[string]string{"a.yml": strings.Replace(noisy, "icewatch:\n", "icewatch:\n  outputs: [{when: {m: {user.name: mallory}, condition: m}, level: critical}]\n", 1)}))
	s := newStream()
	counts := map[detections.Level]int{}
	for n := range 400 {
		ev := s.next(100*time.Millisecond, "10.0.0.1")
		ev.Set(event.UserName, map[bool]string{true: "mallory", false: "scanner"}[n%40 == 7])
		for _, o := range collect(e, ev) {
			counts[o.Rule.Level] += o.Count
		}
	}
	last := s.next(time.Minute, "10.0.0.9")
	last.Set(event.EventOutcome, "failure")
	for _, o := range collect(e, last) {
		counts[o.Rule.Level] += o.Count
	}
	if counts[detections.Critical] != 10 || len(counts) != 2 {
		t.Errorf("%v, want 10 critical", counts)
	}
}
