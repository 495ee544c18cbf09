package main

import (
	"fmt"
	"strings"
	"testing/fstest"

	"icewatch/detections/ruleset"
	"icewatch/rules"
	"icewatch/soc/event"
)

// base is a kind of event that correlations count, by what a rule looks for.
type base struct {
	name, selection, number string // number is a numeric field of such events
	group, value            []string
}

// bases are what a city's correlations count: from seldom to very often.
var bases = []base{
	{"sign_in_failed", "{event.category: authentication, event.outcome: failure}", "event.duration", []string{"source.ip", "host.name", "user.name"}, []string{"user.name", "source.ip", "host.name"}},
	{"admin_sign_in", "{event.category: authentication, event.outcome: success, user.roles: administrator}", "event.duration", []string{"source.ip", "host.name", "user.name"}, []string{"user.name", "source.ip", "host.name"}},
	{"denied", "{event.category: network, event.type: denied}", "source.bytes", []string{"source.ip", "destination.ip", "host.name"}, []string{"destination.port", "destination.ip", "source.ip"}},
	{"large_transfer", "{event.category: network, source.bytes|gte: 1000000}", "source.bytes", []string{"source.ip", "destination.ip", "host.name"}, []string{"destination.port", "destination.ip", "source.ip"}},
	{"not_found", "{event.category: web, http.response.status_code: 404}", "http.response.body.bytes", []string{"source.ip", "host.name", "url.domain"}, []string{"url.path", "source.ip", "host.name"}},
	{"server_error", "{event.category: web, http.response.status_code|gte: 500}", "http.response.body.bytes", []string{"source.ip", "host.name", "url.domain"}, []string{"url.path", "source.ip", "host.name"}},
	{"shell", "{event.category: process, process.name: [bash, powershell.exe, cmd.exe]}", "process.pid", []string{"host.name", "user.name", "process.name"}, []string{"process.command_line", "user.name", "host.name"}},
	{"odd_name", "{event.category: dns, dns.question.type: TXT}", "dns.question.length", []string{"source.ip", "host.name", "dns.question.registered_domain"}, []string{"dns.question.name", "source.ip", "host.name"}},
}

// correlations are the bases and so many correlations over them: all types in
// turn, and one in ten over one that stands before it.
func correlations(count int) map[string]string {
	files := map[string]string{}
	for _, b := range bases {
		files["base_"+b.name+".yml"] = fmt.Sprintf("title: %s\nid: %s\nname: %s\nlogsource: {product: city}\ndetection:\n  s: %s\n  condition: s\n", b.name, b.name, b.name, b.selection)
	}
	for i := range count {
		b := bases[i%len(bases)]
		group, value := b.group[i/len(bases)%len(b.group)], b.value[(i/len(bases)+1)%len(b.value)]
		span := []string{"1m", "5m", "10m"}[i%3]
		kind, on, more, own := "event_count", b.name, "{gte: 10}", ""
		switch i % 10 {
		case 1:
			kind, more = "value_count", fmt.Sprintf("{field: %s, gte: 10}", value)
		case 2:
			kind, on, more = "temporal", stages(i), "{gte: 3}"
		case 3:
			kind, on, more = "temporal_ordered", stages(i), "{gte: 3}"
		case 4:
			kind, more = "value_sum", fmt.Sprintf("{field: %s, gte: 100000000}", b.number)
		case 5:
			kind, more = "value_avg", fmt.Sprintf("{field: %s, gte: 10000000}", b.number)
		case 6:
			kind, more = "value_percentile", fmt.Sprintf("{field: %s, percentile: 95, gte: 100000000}", b.number)
		case 7:
			more = "{gte: 1, lt: 2}"
		case 8:
			more, own = "", "icewatch: {absence: true}\n"
		case 9:
			on, more = fmt.Sprintf("count_%d", i/10*10), "{gte: 3}"
		}
		if more != "" {
			more = "  condition: " + more + "\n"
		}
		files[fmt.Sprintf("count_%03d.yml", i)] = fmt.Sprintf("title: Count %d\nid: count_%d\nname: count_%d\ncorrelation:\n  type: %s\n  rules: [%s]\n  group-by: [%s]\n  timespan: %s\n%s%s",
			i, i, i, kind, on, group, span, more, own)
	}
	return files
}

// stages names the rules of a sequence.
func stages(i int) string {
	return bases[i%len(bases)].name + ", " + bases[(i+1)%len(bases)].name + ", " + bases[(i+5)%len(bases)].name
}

// compile makes a set of rules and of the suite's own policies.
func compile(reg *event.Registry, files map[string]string) (*ruleset.Set, error) {
	folder := fstest.MapFS{}
	for name, text := range files {
		folder[name] = &fstest.MapFile{Data: []byte(text)}
	}
	bundle := ruleset.Load([]ruleset.Source{{Name: "builtin", FS: rules.FS}})
	kept := bundle.Files[:0]
	for _, f := range bundle.Files {
		if strings.HasSuffix(f.Path, ".rego") || strings.HasSuffix(f.Path, "logsources.yml") {
			kept = append(kept, f)
		}
	}
	bundle.Files = append(kept, ruleset.Load([]ruleset.Source{{Name: "bench", FS: folder}}).Files...)
	set, problems := ruleset.Compile(bundle, reg)
	if len(problems) > 0 {
		return nil, fmt.Errorf("the rules of the measurement: %s", problems[0])
	}
	return set, nil
}
