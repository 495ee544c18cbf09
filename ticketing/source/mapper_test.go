package source

import (
	"context"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"icewatch/detections"
	"icewatch/rules"
)

var update = flag.Bool("update", false, "write the golden files anew")

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func templates(t testing.TB) map[string]Template {
	t.Helper()
	list, err := Builtin(rules.AlertSources, "alertsources")
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]Template{}
	for _, one := range list {
		out[one.ID] = one
	}
	return out
}

func mapper(t testing.TB, id string, over Mapping, corrections ...Correction) *Mapper {
	t.Helper()
	m, err := NewMapper(templates(t)[id], over, corrections, Dictionary{})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// TestTemplates holds what every template of the suite makes of its own sample
// to a golden answer.
func TestTemplates(t *testing.T) {
	for id, tpl := range templates(t) {
		t.Run(id, func(t *testing.T) {
			if tpl.Title.ZH == "" || tpl.Title.EN == "" || tpl.Description.ZH == "" || tpl.Description.EN == "" || tpl.Setup.ZH == "" || tpl.Setup.EN == "" {
				t.Error("a text of it lacks one of the two languages")
			}
			m, err := NewMapper(tpl, Mapping{Zone: "Asia/Shanghai"}, nil, Dictionary{})
			if err != nil {
				t.Fatal(err)
			}
			out, err := m.Map(t.Context(), Message{Body: []byte(tpl.Sample)}, noon)
			if err != nil || len(out.Alerts) == 0 || len(out.Failed) > 0 {
				t.Fatalf("its own sample: %v %+v", err, out)
			}
			got, err := json.MarshalIndent(out.Alerts, "", "  ")
			if err != nil {
				t.Fatal(err)
			}
			file := filepath.Join("testdata", "golden", id+".json")
			if *update {
				if err := os.WriteFile(file, append(got, '\n'), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(file)
			if err != nil || strings.TrimSpace(string(want)) != string(got) {
				t.Errorf("%v: got\n%s\nwant\n%s", err, got, want)
			}
		})
	}
}

// TestSenders tells stories that the samples do not: ends, odd words, other
// shapes of the same sender.
func TestSenders(t *testing.T) {
	type want struct {
		status, severity, host, ip string
	}
	for _, c := range []struct {
		name, template, body string
		alerts               []want
		failed               string // part of the first reason
	}{
		{"zabbix recovery keeps the problem's id", "zabbix", `{"event_id":"9","event_value":"0","event_name":"CPU","event_nseverity":"5","event_time":"2026.03.01 08:00:00","recovery_time":"2026.03.01 09:00:00","host_name":"a"}`,
			[]want{{Resolved, "critical", "a", ""}}, ""},
		{"zabbix severities", "zabbix", `{"event_id":"9","event_value":"1","event_name":"CPU","event_nseverity":"0"}`, []want{{Firing, "low", "", ""}}, ""},
		{"nightingale of version 6", "nightingale", `{"hash":"1","rule_name":"x","severity":2,"is_recovered":true,"trigger_time":1772352000,"tags_map":{"ident":"h"}}`, []want{{Resolved, "medium", "h", ""}}, ""},
		{"aliyun's end", "aliyun", "alertName=a&alertState=OK&triggerLevel=OK&dimensions=%7BinstanceId%3Di-1%7D&timestamp=1772352000000", []want{{Resolved, "informational", "", ""}}, ""},
		{"tencent's event", "tencent", `{"alarmStatus":1,"alarmType":"event","alarmObjInfo":{"dimensions":{"unInstanceId":"ins-1","objDetail":{"deviceLanIp":"172.16.0.9"}}},"alarmPolicyInfo":{"policyId":"p","policyName":"n","conditions":{"eventName":"ping","eventShowName":"ping 不可达"}},"firstOccurTime":"2026-03-01 16:00:00"}`,
			[]want{{Firing, "medium", "ins-1", "172.16.0.9"}}, ""},
		{"prometheus' own end", "alertmanager-push", `[{"labels":{"alertname":"x","instance":"[2001:db8::1]:9100"},"startsAt":"2026-03-01T08:00:00Z","endsAt":"2026-03-01T09:00:00Z"}]`, []want{{Resolved, "medium", "", "2001:db8::1"}}, ""},
		{"a severity nobody knows", "alertmanager-push", `[{"labels":{"alertname":"x","severity":"purple"}}]`, []want{{Firing, "medium", "", ""}}, ""},
		{"no name at all", "alertmanager-push", `[{"labels":{"a":"b"}},{"labels":{"alertname":"x"}}]`, []want{{Firing, "medium", "", ""}}, "neither a name nor a title"},
		{"a mail that ends", "mail", "From: a@b\r\nSubject: =?utf-8?B?W+aBouWkjV0gVVBTIGJhdHRlcnkgbG93?=\r\n\r\nDevice: ups-2\r\n", []want{{Resolved, "medium", "ups-2", ""}}, ""},
		{"a generic array", "generic-json", `[{"name":"a","level":"P1","host":"h:80"},{"title":"b","state":"ok"}]`, []want{{Firing, "critical", "h", ""}, {Resolved, "medium", "", ""}}, ""},
		{"a clock that is ahead", "generic-json", `{"name":"a","time":"2026-03-02T00:00:00Z"}`, nil, "in the future"},
		{"a status nobody knows", "generic-json", `{"name":"a","status":"perhaps"}`, nil, `"perhaps" means neither`},
		{"a switch's syslog", "events", `{"host.name":"sw","message":"port 7 down","log.syslog.severity.code":1}`, []want{{Firing, "critical", "sw", ""}}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			out, err := mapper(t, c.template, Mapping{}).Map(t.Context(), Message{Body: []byte(c.body)}, noon)
			if err != nil {
				t.Fatal(err)
			}
			if len(out.Alerts) != len(c.alerts) {
				t.Fatalf("%+v", out)
			}
			for i, a := range out.Alerts {
				if got := (want{a.Status, string(a.Severity), a.Fields[fieldHost], a.Fields[fieldIP]}); got != c.alerts[i] {
					t.Errorf("alert %d: %+v, want %+v", i, got, c.alerts[i])
				}
			}
			if c.failed != "" && (len(out.Failed) == 0 || !strings.Contains(out.Failed[0], c.failed)) {
				t.Errorf("failed %q, want %q", out.Failed, c.failed)
			}
		})
	}
}

// TestFingerprint: an alert and its end have the same, two alerts have not.
func TestFingerprint(t *testing.T) {
	m := mapper(t, "alertmanager-push", Mapping{})
	print := func(body string) string {
		out, err := m.Map(t.Context(), Message{Body: []byte(body)}, noon)
		if err != nil || len(out.Alerts) != 1 {
			t.Fatal(err, out)
		}
		return out.Alerts[0].Fingerprint
	}
	begun := print(`[{"labels":{"alertname":"x","instance":"a:1","severity":"warning"},"annotations":{"summary":"1"}}]`)
	ended := print(`[{"labels":{"severity":"warning","alertname":"x","instance":"a:1"},"annotations":{"summary":"2"},"endsAt":"2026-03-01T09:00:00Z","startsAt":"2026-03-01T08:00:00Z"}]`)
	other := print(`[{"labels":{"alertname":"x","instance":"b:1","severity":"warning"}}]`)
	graver := print(`[{"labels":{"alertname":"x","instance":"a:1","severity":"critical"}}]`) // a rule of its own in Prometheus
	if begun != ended || begun == other || begun == graver {
		t.Errorf("%s %s %s %s", begun, ended, other, graver)
	}
}

func TestCorrections(t *testing.T) {
	body := `{"name":"  Link Down ","severity":"S1","host":"SW-1.city.example:22","message":"port ge-0/0/1 of sw","tags":{"env":"prod"}}`
	for _, c := range []struct {
		name string
		list []Correction
		want func(a Alert) bool
	}{
		{"map", []Correction{{Field: "severity", Op: OpMap, Values: map[string]string{"s1": "critical"}}}, func(a Alert) bool { return a.Severity == detections.Critical }},
		{"map of all others", []Correction{{Field: "severity", Op: OpMap, Values: map[string]string{"x": "high"}, With: "low"}}, func(a Alert) bool { return a.Severity == detections.Low }},
		{"host, then lower", []Correction{{Field: "host", Op: OpPort}, {Field: "host", Op: OpLower}, {Field: "host", Op: OpReplace, Pattern: `\..*$`}}, func(a Alert) bool { return a.Fields["host"] == "sw-1" }},
		{"extract into a label", []Correction{{Field: "labels.port", Op: OpExtract, From: "description", Pattern: `port (\S+)`}}, func(a Alert) bool { return a.Labels["port"] == "ge-0/0/1" }},
		{"extract nothing", []Correction{{Field: "labels.env", Op: OpExtract, Pattern: `^(x)$`}}, func(a Alert) bool { _, there := a.Labels["env"]; return !there }},
		{"copy and default", []Correction{{Field: "service", Op: OpCopy, From: "labels.env"}, {Field: "zone", Op: OpDefault, With: "dmz"}, {Field: "zone", Op: OpDefault, With: "x"}}, func(a Alert) bool { return a.Fields["service"] == "prod" && a.Fields["zone"] == "dmz" }},
		{"groups in a replacement", []Correction{{Field: "title", Op: OpSet, With: "a-b"}, {Field: "title", Op: OpReplace, Pattern: `(\w)-(\w)`, With: "$2-$1"}}, func(a Alert) bool { return a.Title.ZH == "b-a" }},
		{"trim and upper", []Correction{{Field: "name", Op: OpTrim}, {Field: "name", Op: OpUpper}}, func(a Alert) bool { return a.Name == "LINK DOWN" }},
		{"only when", []Correction{{Field: "severity", Op: OpSet, With: "high", When: &When{Field: "labels.env", Pattern: "^test$"}}}, func(a Alert) bool { return a.Severity == detections.Medium }},
	} {
		t.Run(c.name, func(t *testing.T) {
			out, err := mapper(t, "generic-json", Mapping{}, c.list...).Map(t.Context(), Message{Body: []byte(body)}, noon)
			if err != nil || len(out.Alerts) != 1 || !c.want(out.Alerts[0]) {
				t.Errorf("%v %+v", err, out)
			}
		})
	}
	out, err := mapper(t, "generic-json", Mapping{}, Correction{Field: "labels.env", Op: OpDiscard, Pattern: "prod"}).Map(t.Context(), Message{Body: []byte(body)}, noon)
	if err != nil || len(out.Alerts) != 0 || len(out.Discarded) != 1 || !strings.Contains(out.Discarded[0], "labels.env matches prod") {
		t.Errorf("%v %+v", err, out)
	}
}

// TestRefusals: what cannot work is told by its place and with what would be
// right.
func TestRefusals(t *testing.T) {
	dict := Dictionary{Own: []Field{{Name: "room", Type: TypeText, Title: zhEN("机房", "Room")}}}
	tpl := templates(t)["generic-json"]
	for _, c := range []struct {
		mapping Mapping
		list    []Correction
		want    string
	}{
		{Mapping{Fields: map[string]string{"colour": ".c"}}, nil, `mapping.fields: "colour" is no field of an alert: want one of fingerprint`},
		{Mapping{Fields: map[string]string{"name": ".a["}}, nil, "mapping.fields.name:"},
		{Mapping{Alerts: "range(1000000000)"}, nil, "the function range is not available here"},
		{Mapping{Alerts: "reduce .[] as $x (0; . + $x)"}, nil, "reduce and foreach"},
		{Mapping{Alerts: `"x" * 1000000000`}, nil, "the operator *"},
		{Mapping{Alerts: "def f: f; f"}, nil, "define no function"},
		{Mapping{Alerts: ".[900000000] = 1"}, nil, "the operator ="},
		{Mapping{Alerts: "env.HOME"}, nil, "the function env"},
		{Mapping{Labels: `{a: (1 | until(false; .))}`}, nil, "the function until"},
		{Mapping{Alerts: `.[(1|repeat(.)):]`}, nil, "the function repeat"},
		{Mapping{Alerts: `"\(input)"`}, nil, "the function input"},
		{Mapping{Alerts: `. as [$a, $b] | while(true; .)`}, nil, "the function while"},
		{Mapping{Alerts: `. as {(halt): $a} | $a`}, nil, "the function halt"},
		{Mapping{Severity: map[string]string{"a": "bad"}}, nil, `mapping.severity.a: "bad": want informational, low`},
		{Mapping{Zone: "Mars"}, nil, `mapping.zone: "Mars" is no time zone`},
		{Mapping{Expires: "soon"}, nil, `mapping.expires: "soon"`},
		{Mapping{}, []Correction{{Field: "name", Op: "shout"}}, `corrections[0].op: "shout": want one of set`},
		{Mapping{}, []Correction{{Field: "room", Op: OpTrim}, {Field: "name", Op: OpReplace, Pattern: "("}}, `corrections[1].pattern: "("`},
		{Mapping{}, []Correction{{Field: "name", Op: OpExtract, Pattern: "abc"}}, "has no group"},
	} {
		_, err := NewMapper(tpl, c.mapping, c.list, dict)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v %+v: %v, want %q", c.mapping, c.list, err, c.want)
		}
	}
}

func TestParseTemplate(t *testing.T) {
	good := "id: x\nversion: 1\nkinds: [webhook]\ntitle: {en: X}\nformat: json\n"
	if _, err := ParseTemplate([]byte(good), Dictionary{}); err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]string{
		good + "colour: red\n":                                  "field colour not found",
		strings.Replace(good, "id: x", "id: X Y", 1):            `id: "X Y": want 1 to 48`,
		strings.Replace(good, "version: 1", "version: 0", 1):    "version: 0",
		strings.Replace(good, "webhook", "pigeon", 1):           `kinds[0]: "pigeon": want one of webhook`,
		strings.Replace(good, "format: json", "format: xml", 1): `format: "xml"`,
		good + "fields: {name: '.a |'}\n":                       "fields.name",
	} {
		if _, err := ParseTemplate([]byte(text), Dictionary{}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
}

// TestOwnFields: a field of the operator is an alert's like any other.
func TestOwnFields(t *testing.T) {
	dict := Dictionary{Own: []Field{{Name: "room", Type: TypeText, Title: zhEN("机房", "Room")}, {Name: "rack", Type: TypeNumber, Title: zhEN("机柜", "Rack")}}}
	if err := dict.Check(); err != nil {
		t.Fatal(err)
	}
	m, err := NewMapper(templates(t)["generic-json"], Mapping{Fields: map[string]string{"room": ".tags.room", "rack": ".rack"}}, nil, dict)
	if err != nil {
		t.Fatal(err)
	}
	out, _ := m.Map(t.Context(), Message{Body: []byte(`[{"name":"a","tags":{"room":"B1"},"rack":7},{"name":"b","rack":"seven"}]`)}, noon)
	if len(out.Alerts) != 1 || out.Alerts[0].Fields["room"] != "B1" || out.Alerts[0].Fields["rack"] != "7" || len(out.Failed) != 1 || !strings.Contains(out.Failed[0], `rack: "seven" is no number`) {
		t.Errorf("%+v", out)
	}
	for _, bad := range []Dictionary{{Own: []Field{{Name: "host", Type: TypeText, Title: zhEN("", "x")}}}, {Own: []Field{{Name: "Room", Type: TypeText, Title: zhEN("", "x")}}}, {Own: []Field{{Name: "r", Type: "blob", Title: zhEN("", "x")}}}} {
		if bad.Check() == nil {
			t.Errorf("%+v is taken", bad)
		}
	}
}

// TestNumbers: ids of 64 bits and beyond stay what they are.
func TestNumbers(t *testing.T) {
	out, err := mapper(t, "generic-json", Mapping{}).Map(t.Context(), Message{Body: []byte(`{"id": 9223372036854775807, "name": "a", "value": 1.50, "threshold": 123456789012345678901234567890}`)}, noon)
	if err != nil || len(out.Alerts) != 1 {
		t.Fatal(err, out)
	}
	if a := out.Alerts[0]; a.Fingerprint != "9223372036854775807" || a.Fields["value"] != "1.5" || a.Fields["threshold"] != "123456789012345678901234567890" {
		t.Errorf("%+v", a)
	}
}

func TestMailText(t *testing.T) {
	body := "From: a@b\r\nSubject: =?gb18030?B?uOa+rw==?=\r\nContent-Type: multipart/alternative; boundary=x\r\n\r\n--x\r\nContent-Type: text/html; charset=gb18030\r\nContent-Transfer-Encoding: base64\r\n\r\nPHA+1veu+jogPGI+ZGItMTwvYj48L3A+\r\n--x--\r\n"
	v, err := parseMail([]byte(body))
	if err != nil {
		t.Fatal(err)
	}
	m := v.(map[string]any)
	if m["subject"] != "告警" || !strings.Contains(m["text"].(string), "db-1") {
		t.Errorf("%+v", m)
	}
}

// FuzzMap holds the mappers of all templates to their bounds whatever comes: no
// panic, no alert without a name, a fingerprint, a level or a status.
func FuzzMap(f *testing.F) {
	all := templates(f)
	mappers := map[string]*Mapper{}
	for id, t := range all {
		f.Add([]byte(t.Sample))
		m, err := NewMapper(t, Mapping{}, []Correction{{Field: "host", Op: OpPort}, {Field: "labels.x", Op: OpExtract, From: "description", Pattern: `(\d+)`}}, Dictionary{})
		if err != nil {
			f.Fatal(err)
		}
		mappers[id] = m
	}
	f.Add([]byte(`[[[[]]],{"a":1e999},{"labels":[1,"=",{"name":[],"value":{}}]}]`))
	f.Add([]byte("Subject: x\nContent-Type: multipart/mixed; boundary=\"\"\n\n----\n"))
	f.Fuzz(func(t *testing.T, body []byte) {
		for id, m := range mappers {
			out, err := m.Map(context.Background(), Message{Body: body}, noon)
			if err != nil {
				continue
			}
			for _, a := range out.Alerts {
				if a.Name == "" || a.Fingerprint == "" || len(a.Fingerprint) > maxPrint || a.Severity == "" || a.Status != Firing && a.Status != Resolved || a.StartsAt.After(noon) {
					t.Fatalf("%s makes %+v", id, a)
				}
			}
		}
	})
}
