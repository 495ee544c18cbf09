package logsource_test

import (
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"icewatch/detections"
	"icewatch/detections/logsource"
	"icewatch/detections/match"
	"icewatch/detections/sigma"
	"icewatch/rules"
	"icewatch/soc/event"
)

func builtin(t *testing.T) *logsource.Table {
	t.Helper()
	data, err := fs.ReadFile(rules.FS, logsource.FileName)
	if err != nil {
		t.Fatal(err)
	}
	table, fault := logsource.Parse(data)
	if fault != nil {
		t.Fatal(fault)
	}
	return table
}

// router tells which log sources an event is of.
type router struct {
	reg     *event.Registry
	matcher *match.Matcher
	sources []sigma.Logsource
}

func newRouter(t *testing.T, table *logsource.Table, sources []sigma.Logsource) *router {
	t.Helper()
	r := &router{reg: event.NewRegistry(0), sources: sources}
	var list []*sigma.Rule
	for i, ls := range sources {
		text := fmt.Sprintf("title: R%d\nlogsource: {product: %q, category: %q, service: %q}\ndetection: {s: {there: 1}, condition: s}\n", i, ls.Product, ls.Category, ls.Service)
		text = strings.NewReplacer(`product: "", `, "", `category: "", `, "", `, service: ""`, "").Replace(text)
		parsed, errs := sigma.Parse([]byte(text), nil)
		if len(errs) > 0 {
			t.Fatal(errs[0])
		}
		list = append(list, parsed[0])
	}
	program, errs := match.Compile(list, r.reg, table)
	for _, err := range errs {
		if err != nil {
			t.Fatal(err)
		}
	}
	r.matcher = program.NewMatcher()
	return r
}

func (r *router) of(fields map[string]string) []sigma.Logsource {
	ev := event.Event{Fields: []event.Field{{ID: r.id("there"), Value: "1"}}}
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		ev.Fields = append(ev.Fields, event.Field{ID: r.id(name), Value: fields[name]})
	}
	var out []sigma.Logsource
	r.matcher.Match(&ev, func(rule int, _ func() []detections.Match) { out = append(out, r.sources[rule]) })
	return out
}

func (r *router) id(name string) event.FieldID {
	id, _ := r.reg.Intern(name)
	return id
}

// In a running suite an event is of the log sources that it shows, in each
// shape in which it can come.
func TestBuiltinRoutes(t *testing.T) {
	t.Parallel()
	table := builtin(t)
	table.Strict = true
	sources := []sigma.Logsource{
		{Product: "windows"}, {Product: "windows", Category: "process_creation"}, {Product: "windows", Category: "registry_set"}, {Product: "windows", Category: "registry_delete"},
		{Product: "windows", Category: "file_event"}, {Product: "windows", Category: "file_delete"}, {Product: "windows", Category: "ps_script"}, {Product: "windows", Service: "security"}, {Product: "windows", Service: "system"},
		{Product: "linux", Category: "process_creation"}, {Product: "linux", Service: "sshd"}, {Product: "macos", Category: "process_creation"},
		{Category: "webserver"}, {Category: "dns"}, {Product: "zeek", Service: "dns"}, {Product: "aws", Service: "cloudtrail"}, {Product: "azure", Service: "signinlogs"}, {Product: "azure", Service: "auditlogs"},
		{Product: "gcp", Service: "google_workspace.admin"}, {Product: "m365", Service: "audit"}, {Product: "okta", Service: "okta"}, {Product: "github", Service: "audit"}, {Product: "kubernetes", Category: "application", Service: "audit"},
		{Product: "fortigate", Service: "event"}, {Product: "python", Category: "application"},
	}
	r := newRouter(t, table, sources)
	f := func(want string, pairs ...string) {
		t.Helper()
		fields := map[string]string{}
		for i := 0; i < len(pairs); i += 2 {
			fields[pairs[i]] = pairs[i+1]
		}
		var got []string
		for _, ls := range r.of(fields) {
			got = append(got, strings.Join(slices.DeleteFunc([]string{ls.Product, ls.Category, ls.Service}, func(s string) bool { return s == "" }), "/"))
		}
		slices.Sort(got)
		expected := strings.Fields(want)
		slices.Sort(expected)
		if !slices.Equal(got, expected) {
			t.Errorf("%v\n got %s\nwant %s", pairs, got, expected)
		}
	}
	const sysmon = "Microsoft-Windows-Sysmon/Operational"
	const elsewhere = "linux/process_creation" // an event that says nothing may be of Linux
	f("windows windows/process_creation", "Channel", sysmon, "EventID", "1")
	f("windows windows/process_creation", "winlog.channel", sysmon, "event.code", "1")
	f("windows windows/process_creation", "winlog.channel", sysmon, "winlog.event_id", "1")
	f("windows windows/process_creation windows/security", "winlog.channel", "Security", "event.code", "4688")
	f("windows windows/security", "winlog.channel", "Security", "event.code", "1")
	f("windows windows/registry_set", "Channel", sysmon, "EventID", "13")
	f("windows windows/registry_delete", "Channel", sysmon, "EventID", "12", "EventType", "DeleteKey")
	f("windows", "Channel", sysmon, "EventID", "12", "EventType", "CreateKey")
	f("windows windows/ps_script", "winlog.channel", "Microsoft-Windows-PowerShell/Operational", "winlog.event_id", "4104", "event.category", "process", "event.type", "info")
	f("windows", "winlog.channel", "Windows PowerShell", "event.code", "400", "event.category", "process", "event.type", "start")
	f("windows windows/process_creation", "host.os.type", "windows", "event.dataset", "endpoint.events.process", "event.category", "process", "event.type", "start", "event.code", "x")
	f("windows windows/file_delete", "host.os.type", "windows", "event.dataset", "endpoint.events.file", "event.type", "deletion", "event.category", "file")
	f("linux/process_creation", "host.os.type", "linux", "event.category", "process", "event.type", "start")
	f("macos/process_creation", "host.os.type", "macos", "event.category", "process", "event.type", "start")
	f("linux/sshd", "event.module", "sshd", "event.category", "authentication", "event.type", "start")
	f("webserver", "event.module", "nginx", "event.dataset", "nginx.access", "event.category", "web")
	f("dns zeek/dns", "event.module", "zeek", "event.dataset", "zeek.dns", "event.category", "network")
	f("zeek/dns "+elsewhere, "_path", "dns")
	f("aws/cloudtrail", "event.module", "aws", "event.dataset", "aws.cloudtrail", "event.category", "iam")
	f("aws/cloudtrail "+elsewhere, "eventSource", "iam.amazonaws.com", "eventType", "AwsApiCall")
	f("azure/signinlogs", "event.module", "azure", "event.dataset", "azure.signinlogs", "event.category", "authentication")
	f("azure/auditlogs "+elsewhere, "category", "AuditLogs")
	f("gcp/google_workspace.admin", "event.module", "google_workspace", "event.dataset", "google_workspace.admin", "event.category", "iam")
	f("m365/audit", "event.module", "o365", "event.dataset", "o365.audit", "event.category", "web2")
	f("okta/okta", "event.module", "okta", "event.dataset", "okta.system", "event.category", "iam")
	f("github/audit", "event.module", "github", "event.dataset", "github.audit", "event.category", "configuration")
	f("kubernetes/application/audit "+elsewhere, "kind", "Event", "apiVersion", "audit.k8s.io/v1")
	f("fortigate/event "+elsewhere, "devid", "FGT60E", "type", "event")
	f("python/application "+elsewhere, "service.language.name", "python")
	// A code of Cisco's makes no Windows event, and plain JSON is of no source.
	f("", "event.module", "cisco", "event.dataset", "cisco.asa", "event.code", "106023", "event.category", "iam")
	f(elsewhere, "event.module", "json", "event.dataset", "json.log", "EventType", "x")
}

// A rule folder teaches the suite the shape in which another collector writes
// Windows events: the example of docs/logsources.md.
func TestExtendingTheTable(t *testing.T) {
	t.Parallel()
	table := builtin(t)
	table.Strict = true
	page, err := os.ReadFile("../../docs/logsources.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(page), "```yaml\n# logsources.yml\n")
	example, _, ok := strings.Cut(rest, "```")
	if !ok {
		t.Fatal("the page has no example of a logsources.yml")
	}
	more, fault := logsource.Parse([]byte(example))
	if fault != nil {
		t.Fatal(fault)
	}
	if faults := table.Extend(more); len(faults) > 0 {
		t.Fatal(faults[0])
	}
	r := newRouter(t, table, []sigma.Logsource{{Product: "windows", Category: "process_creation"}, {Product: "scada", Service: "historian"}, {Category: "proxy"}})
	if got := r.of(map[string]string{"Event.System.Channel": "Microsoft-Windows-Sysmon/Operational", "Event.System.EventID": "1"}); len(got) != 1 || got[0].Product != "windows" {
		t.Errorf("a process creation of evtx_dump is of %v", got)
	}
	if got := r.of(map[string]string{"plc.vendor": "acme", "plc.log": "historian"}); len(got) != 1 || got[0].Product != "scada" {
		t.Errorf("an event of the plant is of %v", got)
	}
	if got := r.of(map[string]string{"plc.log": "historian"}); len(got) != 0 {
		t.Errorf("an event without the vendor is of %v", got)
	}
}

const corpus = "../../../shared/corpora/sigma"

// Every log source that SigmaHQ's rules name is in the table.
func TestCorpusIsRouted(t *testing.T) {
	t.Parallel()
	if _, err := os.Stat(corpus); err != nil {
		t.Skip("the corpus of SigmaHQ's rules is not here")
	}
	table := builtin(t)
	unknown := map[sigma.Logsource]int{}
	err := filepath.WalkDir(filepath.Join(corpus, "rules"), func(name string, d fs.DirEntry, err error) error {
		if err != nil || filepath.Ext(name) != ".yml" {
			return err
		}
		data, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		parsed, _ := sigma.Parse(data, nil)
		for _, r := range parsed {
			clauses := table.Resolve(r.Logsource)
			parts := 0
			for _, p := range []string{r.Logsource.Product, r.Logsource.Category, r.Logsource.Service} {
				if p != "" {
					parts++
				}
			}
			if len(clauses) == 0 || parts > 1 && len(clauses) < 2 && !wide[r.Logsource] {
				unknown[r.Logsource]++
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for ls, n := range unknown {
		t.Errorf("%d rules are for %s, of which the table knows a part only", n, ls)
	}
}

// wide are the log sources that are all of their product's events: nothing
// distinguishes them further.
var wide = map[sigma.Logsource]bool{
	{Product: "cisco", Service: "bgp"}: true, {Product: "cisco", Service: "ldp"}: true, {Product: "huawei", Service: "bgp"}: true, {Product: "juniper", Service: "bgp"}: true,
	{Product: "okta", Service: "okta"}: true, {Product: "onelogin", Service: "onelogin.events"}: true,
	{Product: "m365", Service: "exchange"}: true, {Product: "m365", Service: "threat_detection"}: true, {Product: "m365", Service: "threat_management"}: true,
	{Product: "django", Category: "application"}: true, {Product: "jvm", Category: "application"}: true, {Product: "nodejs", Category: "application"}: true, {Product: "opencanary", Category: "application"}: true,
	{Product: "python", Category: "application"}: true, {Product: "rpc_firewall", Category: "application"}: true, {Product: "ruby_on_rails", Category: "application"}: true,
	{Product: "spring", Category: "application"}: true, {Product: "sql", Category: "application"}: true, {Product: "velocity", Category: "application"}: true,
}

// thor is what SigmaHQ itself says of channels and event ids.
type thor struct {
	Logsources map[string]struct {
		Product, Category, Service string
		Conditions                 struct {
			EventID   ids    `yaml:"EventID"`
			EventType string `yaml:"EventType"`
		}
		Rewrite struct{ Service string }
		Sources []string
	}
}

type ids []string

func (l *ids) UnmarshalYAML(n *yaml.Node) error {
	if n.Kind == yaml.ScalarNode {
		*l = ids{n.Value}
		return nil
	}
	for _, c := range n.Content {
		*l = append(*l, c.Value)
	}
	return nil
}

// Where SigmaHQ's thor.yml says that an event is of a log source, so does the
// table, in the native shape and in winlogbeat's.
func TestThor(t *testing.T) {
	t.Parallel()
	data, err := os.ReadFile(filepath.Join(corpus, "tests/thor.yml"))
	if err != nil {
		t.Skip("SigmaHQ's thor.yml is not here")
	}
	var file thor
	if err := yaml.Unmarshal(data, &file); err != nil {
		t.Fatal(err)
	}
	channels := map[string][]string{}
	for _, s := range file.Logsources {
		for _, source := range s.Sources {
			if channel, ok := strings.CutPrefix(source, "WinEventLog:"); ok {
				channels[s.Service] = append(channels[s.Service], channel)
			}
		}
	}
	table := builtin(t)
	table.Strict = true
	n := 0
	check := func(r *router, fields map[string]string) {
		t.Helper()
		n++
		if len(r.of(fields)) == 0 {
			t.Errorf("%s does not hold for %v", r.sources[0], fields)
		}
	}
	for name, s := range file.Logsources {
		service := s.Service
		if s.Rewrite.Service != "" {
			service = s.Rewrite.Service
		}
		if s.Product != "windows" && s.Category != "antivirus" || len(channels[service]) == 0 {
			continue
		}
		r := newRouter(t, table, []sigma.Logsource{{Product: s.Product, Category: s.Category, Service: s.Service}})
		events := s.Conditions.EventID
		if len(events) == 0 {
			events = ids{"4711"}
		}
		for _, channel := range channels[service] {
			for _, id := range events {
				native := map[string]string{"Channel": channel, "EventID": id}
				beat := map[string]string{"winlog.channel": channel, "event.code": id, "event.provider": "any"}
				if s.Conditions.EventType != "" {
					native["EventType"], beat["winlog.event_data.EventType"] = s.Conditions.EventType, s.Conditions.EventType
				}
				check(r, native)
				check(r, beat)
				if len(s.Conditions.EventID) > 0 && len(r.of(map[string]string{"Channel": channel, "EventID": "999999"})) > 0 {
					t.Errorf("%s (%s) holds for another event of %s", r.sources[0], name, channel)
				}
			}
		}
		if len(r.of(map[string]string{"Channel": "Another/Operational", "EventID": events[0]})) > 0 {
			t.Errorf("%s (%s) holds for another channel", r.sources[0], name)
		}
	}
	if n < 100 {
		t.Errorf("only %d events were tried", n)
	}
}
