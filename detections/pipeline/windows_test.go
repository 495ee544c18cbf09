package pipeline_test

import (
	"io/fs"
	"slices"
	"strings"
	"testing"

	"icewatch/detections"
	"icewatch/detections/logsource"
	"icewatch/detections/match"
	"icewatch/detections/pipeline"
	"icewatch/detections/sigma"
	"icewatch/rules"
	"icewatch/soc/event"
	"icewatch/soc/intake"
	"icewatch/soc/pipeline/pack"
	"icewatch/soc/pipeline/parse"
)

// windows reads records as the suite does, and matches rules in Windows' own names.
type windows struct {
	*testing.T
	reg     *event.Registry
	parser  *parse.Parser
	matcher *match.Matcher
	titles  []string
}

func newWindows(t *testing.T, texts ...string) *windows {
	w := &windows{T: t, reg: event.NewRegistry(0)}
	var chain []*pipeline.Pipeline
	files, err := fs.Glob(rules.FS, pipeline.Folder+"/*.yml")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range files {
		data, err := fs.ReadFile(rules.FS, name)
		if err != nil {
			t.Fatal(err)
		}
		p, err := pipeline.Parse(data)
		if err != nil {
			t.Fatal(err)
		}
		chain = append(chain, p)
	}
	var list []*sigma.Rule
	for _, text := range texts {
		parsed, errs := sigma.Parse([]byte(text), nil)
		if len(errs) > 0 {
			t.Fatal(errs[0])
		}
		r, err := pipeline.Order(chain).Apply(parsed[0])
		if err != nil {
			t.Fatal(err)
		}
		list, w.titles = append(list, r), append(w.titles, r.Title)
	}
	data, err := fs.ReadFile(rules.FS, logsource.FileName)
	if err != nil {
		t.Fatal(err)
	}
	table, fault := logsource.Parse(data)
	if fault != nil {
		t.Fatal(fault)
	}
	table.Strict = true
	program, errs := match.Compile(list, w.reg, table)
	for _, err := range errs {
		if err != nil {
			t.Fatal(err)
		}
	}
	w.matcher = program.NewMatcher()
	set, problems := pack.Compile([]pack.Source{{Name: "built in", FS: rules.Parsers()}}, w.reg)
	if len(problems) > 0 {
		t.Fatal(problems[0])
	}
	live := &pack.Live{}
	live.Store(set)
	w.parser = parse.New(w.reg, parse.Options{Packs: live})
	return w
}

func (w *windows) read(format intake.Format, text string) (*event.Event, []string) {
	ev := &event.Event{}
	w.parser.Parse(&intake.Record{Format: format, Data: []byte(text), Received: 1}, ev)
	var fired []string
	w.matcher.Match(ev, func(rule int, _ func() []detections.Match) { fired = append(fired, w.titles[rule]) })
	slices.Sort(fired)
	return ev, fired
}

const schema = `<Event xmlns='http://schemas.microsoft.com/win/2004/08/events/event'>`

// The events are written by the published schema, in the shapes in which they
// travel: forwarded by Windows as XML, as NXLog writes them, and as winlogbeat.
var windowsEvents = map[string]struct {
	rule, xml, nxlog, beat string
	fields                 map[string]string
}{
	"process": {
		`{title: process, logsource: {product: windows, category: process_creation}, detection: {s: {Image|endswith: '\whoami.exe', CommandLine|contains|all: ['/all', '"&"'], User|contains: SYSTEM}, condition: s}}`,
		schema + `<System><Provider Name='Microsoft-Windows-Sysmon' Guid='{5770385f-c22a-43e0-bf4c-06f5698ffbd9}'/><EventID>1</EventID><Version>5</Version><Level>4</Level><Task>1</Task><Opcode>0</Opcode><Keywords>0x8000000000000000</Keywords><TimeCreated SystemTime='2026-11-26T01:02:03.4567890Z'/><EventRecordID>77</EventRecordID><Correlation/><Execution ProcessID='2100' ThreadID='2208'/><Channel>Microsoft-Windows-Sysmon/Operational</Channel><Computer>pc7.example.gov.cn</Computer><Security UserID='S-1-5-18'/></System>` +
			`<EventData><Data Name='RuleName'>-</Data><Data Name='ProcessId'>4711</Data><Data Name='Image'>C:\Windows\System32\whoami.exe</Data><Data Name='CommandLine'>whoami /all &quot;&amp;&quot;</Data><Data Name='User'>NT AUTHORITY\SYSTEM</Data></EventData></Event>`,
		`{"EventTime":"2026-11-26T01:02:03.456789Z","Hostname":"pc7.example.gov.cn","EventID":1,"SourceName":"Microsoft-Windows-Sysmon","Channel":"Microsoft-Windows-Sysmon/Operational","Severity":"INFO","RecordNumber":77,"ProcessID":2100,"Message":"Process Create","Image":"C:\\Windows\\System32\\whoami.exe","ProcessId":"4711","CommandLine":"whoami /all \"&\"","User":"NT AUTHORITY\\SYSTEM"}`,
		`{"@timestamp":"2026-11-26T01:02:03.456Z","winlog":{"channel":"Microsoft-Windows-Sysmon/Operational","event_id":"1","provider_name":"Microsoft-Windows-Sysmon","computer_name":"pc7.example.gov.cn","event_data":{"Image":"C:\\Windows\\System32\\whoami.exe","ProcessId":"4711","CommandLine":"whoami /all \"&\"","User":"NT AUTHORITY\\SYSTEM"}}}`,
		map[string]string{"event.code": "1", "event.provider": "Microsoft-Windows-Sysmon", "host.name": "pc7.example.gov.cn", "process.executable": `C:\Windows\System32\whoami.exe`, "process.name": "whoami.exe", "process.pid": "4711", "event.module": "windows"},
	},
	"failed logon": {
		`{title: failed logon, logsource: {product: windows, service: security}, detection: {s: {EventID: 4625, TargetUserName: administrator, LogonType: 10}, condition: s}}`,
		schema + `<System><Provider Name="Microsoft-Windows-Security-Auditing" Guid="{54849625-5478-4994-a5ba-3e3b0328c30d}"/><EventID>4625</EventID><Level>0</Level><TimeCreated SystemTime="2026-11-26T01:02:03.4567890Z"/><EventRecordID>9</EventRecordID><Channel>Security</Channel><Computer>dc1</Computer></System>` +
			`<EventData><Data Name="TargetUserName">administrator</Data><Data Name="TargetDomainName">GOV</Data><Data Name="LogonType">10</Data><Data Name="IpAddress">192.0.2.7</Data><Data Name="IpPort">50123</Data></EventData><RenderingInfo Culture="zh-CN"><Message>帐户登录失败。</Message><Level>信息</Level><Keywords><Keyword>审核失败</Keyword></Keywords></RenderingInfo></Event>`,
		`{"EventTime":"2026-11-26T01:02:03.456789Z","Hostname":"dc1","EventID":4625,"SourceName":"Microsoft-Windows-Security-Auditing","Channel":"Security","Message":"帐户登录失败。","TargetUserName":"administrator","TargetDomainName":"GOV","LogonType":"10","IpAddress":"192.0.2.7","IpPort":"50123"}`,
		`{"@timestamp":"2026-11-26T01:02:03.456Z","message":"帐户登录失败。","host":{"name":"dc1"},"winlog":{"channel":"Security","event_id":4625,"provider_name":"Microsoft-Windows-Security-Auditing","event_data":{"TargetUserName":"administrator","TargetDomainName":"GOV","LogonType":"10","IpAddress":"192.0.2.7","IpPort":"50123"}}}`,
		map[string]string{"event.code": "4625", "user.name": "administrator", "user.domain": "GOV", "source.ip": "192.0.2.7", "source.port": "50123", "event.outcome": "failure", "event.category": "authentication", "message": "帐户登录失败。", "host.name": "dc1"},
	},
	"log cleared": {
		`{title: log cleared, logsource: {product: windows, service: security}, detection: {s: {EventID: 1102, SubjectUserName: mallory}, condition: s}}`,
		"<?xml version=\"1.0\" encoding=\"utf-8\"?>\r\n" + schema + "\r\n <System>\r\n  <Provider Name=\"Microsoft-Windows-Eventlog\"/><EventID Qualifiers=\"0\">1102</EventID><TimeCreated SystemTime=\"2026-11-26T01:02:03Z\"/><Channel>Security</Channel><Computer>dc1</Computer></System>" +
			`<UserData><LogFileCleared xmlns="http://manifests.microsoft.com/win/2004/08/windows/eventlog"><SubjectUserSid>S-1-5-21-1-2-3-500</SubjectUserSid><SubjectUserName>mallory</SubjectUserName></LogFileCleared></UserData></Event>` + "\r\n",
		`{"EventTime":"2026-11-26 09:02:03","Hostname":"dc1","EventID":1102,"SourceName":"Microsoft-Windows-Eventlog","Channel":"Security","SubjectUserName":"mallory"}`,
		`{"@timestamp":"2026-11-26T01:02:03Z","winlog":{"channel":"Security","event_id":"1102","computer_name":"dc1","provider_name":"Microsoft-Windows-Eventlog","user_data":{"xml_name":"LogFileCleared","SubjectUserSid":"S-1-5-21-1-2-3-500","SubjectUserName":"mallory","SubjectDomainName":"GOV","SubjectLogonId":"0x3e7"}}}`,
		map[string]string{"event.code": "1102", "host.name": "dc1", "user.name": "mallory"},
	},
	"downgrade": {
		`{title: downgrade, logsource: {product: windows, category: ps_classic_start}, detection: {s: {Data|contains: EngineVersion=2.0}, condition: s}}`,
		schema + `<System><Provider Name="PowerShell"/><EventID Qualifiers="0">400</EventID><Level>4</Level><TimeCreated SystemTime="2026-11-26T01:02:03Z"/><Channel>Windows PowerShell</Channel><Computer>pc7</Computer></System><EventData><Data>Available</Data><Data>None</Data><Data><![CDATA[	NewEngineState=Available
	EngineVersion=2.0]]></Data><Binary></Binary></EventData></Event>`,
		`{"Hostname":"pc7","EventID":400,"Channel":"Windows PowerShell","SourceName":"PowerShell","Data":"\tEngineVersion=2.0"}`,
		`{"winlog":{"channel":"Windows PowerShell","event_id":"400","computer_name":"pc7","event_data":{"param1":"Available","param2":"None","param3":"EngineVersion=2.0"}}}`,
		map[string]string{"event.code": "400", "host.name": "pc7"},
	},
}

func TestWindowsEventsInAllShapes(t *testing.T) {
	t.Parallel()
	var texts []string
	for _, e := range windowsEvents {
		texts = append(texts, e.rule)
	}
	w := newWindows(t, texts...)
	for name, e := range windowsEvents {
		for shape, r := range map[string]struct {
			format intake.Format
			text   string
		}{
			"XML": {intake.Line, e.xml}, "XML over syslog": {intake.Syslog, "<13>1 2026-11-26T01:02:04Z relay NXLog 1 - - " + e.xml}, "NXLog": {intake.JSON, e.nxlog}, "NXLog over syslog": {intake.Syslog, "<13>Nov 26 09:02:04 relay " + e.nxlog}, "winlogbeat": {intake.JSON, e.beat},
		} {
			if shape == "XML over syslog" {
				r.text = strings.ReplaceAll(r.text, "\r\n", "")
			}
			ev, fired := w.read(r.format, r.text)
			if !slices.Equal(fired, []string{name}) {
				t.Errorf("%s as %s: fired %q", name, shape, fired)
			}
			for field, want := range e.fields {
				id, _ := w.reg.Lookup(field)
				if got := ev.Text(id); got != want {
					t.Errorf("%s as %s: %s is %q, want %q", name, shape, field, got, want)
				}
			}
			if strings.HasPrefix(shape, "XML") && ev.Time/1e9 != 1795654923 {
				t.Errorf("%s as %s: time %v", name, shape, ev.Timestamp())
			}
		}
	}
}
