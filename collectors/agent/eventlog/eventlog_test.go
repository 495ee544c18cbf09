package eventlog_test

import (
	"encoding/json"
	"encoding/xml"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/influxdata/telegraf"
	"github.com/influxdata/telegraf/metric"
	"github.com/influxdata/telegraf/plugins/parsers/influx"

	"icewatch/collectors/agent/eventlog"
	"icewatch/rules"
	"icewatch/soc/event"
	"icewatch/soc/intake"
	"icewatch/soc/pipeline/pack"
	"icewatch/soc/pipeline/parse"
)

// reader reads records as the suite does, with the parser packs that are shipped.
type reader struct {
	reg  *event.Registry
	live *pack.Live
}

var shipped = sync.OnceValues(func() (*reader, error) {
	r := &reader{reg: event.NewRegistry(0), live: &pack.Live{}}
	set, problems := pack.Compile([]pack.Source{{Name: "built in", FS: rules.Parsers()}}, r.reg)
	if len(problems) > 0 {
		return nil, fmt.Errorf("%v", problems[0])
	}
	r.live.Store(set)
	return r, nil
})

// read tells an event's fields by name.
func read(t *testing.T, r intake.Record) map[string]string {
	t.Helper()
	s, err := shipped()
	if err != nil {
		t.Fatal(err)
	}
	var ev event.Event
	parse.New(s.reg, parse.Options{Packs: s.live}).Parse(&r, &ev)
	out := map[string]string{"@timestamp": time.Unix(0, ev.Time).UTC().Format(time.RFC3339Nano)}
	for _, f := range ev.Fields {
		out[s.reg.Name(f.ID)] = f.Value
	}
	return out
}

// TestRecordedByTelegraf reads what telegraf wrote on a Windows machine, as its documentation shows it.
func TestRecordedByTelegraf(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("testdata/telegraf.influx")
	if err != nil {
		t.Fatal(err)
	}
	p := &influx.Parser{}
	if err := p.Init(); err != nil {
		t.Fatal(err)
	}
	metrics, err := p.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	want := []map[string]string{
		{"event.dataset": "windows.system", "event.code": "105", "event.provider": "WudfUsbccidDriver", "host.name": "PC", "winlog.event_data.dwMaxCCIDMessageLength": "271", "winlog.user.name": "LOCAL SERVICE", "winlog.record_id": "1914688", "log.level": "information", "@timestamp": "2020-08-21T08:43:26.7481077Z"},
		{"event.dataset": "windows.security", "event.code": "4798", "event.outcome": "success", "winlog.event_data.TargetSid": "S-1-5-21-.-.-.-1001", "winlog.event_data.CallerProcessName": `C:\Windows\explorer.exe`, "winlog.activity_id": "{0d4cc11d-7099-0002-4dc1-4c0d9970d601}", "message": "A user's local group membership was enumerated."},
		{"event.dataset": "windows.dhcp_client_admin", "event.code": "1002", "log.level": "error", "winlog.opcode": "IpLeaseDenied", "winlog.user.identifier": "S-1-5-19"},
		{"event.dataset": "windows.system", "event.code": "10016", "log.level": "warning", "winlog.event_data.param1": "по умолчанию для компьютера", "winlog.event_data.param11": "S-1-15-2-.-.-.-.-.-.-2861478708"},
	}
	if len(metrics) != len(want) {
		t.Fatalf("%d metrics", len(metrics))
	}
	ids := map[string]bool{}
	for i, m := range metrics {
		r, ok := eventlog.Record(m)
		if !ok || r.Format != intake.JSON || r.ID == "" {
			t.Fatalf("%d: %v %+v", i, ok, r)
		}
		ids[r.ID] = true
		got := read(t, r)
		for name, value := range want[i] {
			if got[name] != value {
				t.Errorf("%d: %s is %q, want %q\n%s", i, name, got[name], value, r.Data)
			}
		}
		if again, _ := eventlog.Record(m); again.ID != r.ID {
			t.Errorf("%d: the same event has two ids", i)
		}
	}
	if len(ids) != len(want) {
		t.Errorf("%d ids", len(ids))
	}
}

const schema = `<Event xmlns='http://schemas.microsoft.com/win/2004/08/events/event'>`

// rendered are events as Windows renders them (EvtRender, and what forwarding adds).
var rendered = map[string]string{
	"process":         schema + `<System><Provider Name='Microsoft-Windows-Sysmon' Guid='{5770385f-c22a-43e0-bf4c-06f5698ffbd9}'/><EventID>1</EventID><Version>5</Version><Level>4</Level><Task>1</Task><Opcode>0</Opcode><Keywords>0x8000000000000000</Keywords><TimeCreated SystemTime='2026-11-26T01:02:03.4567890Z'/><EventRecordID>77</EventRecordID><Correlation/><Execution ProcessID='2100' ThreadID='2208'/><Channel>Microsoft-Windows-Sysmon/Operational</Channel><Computer>pc7.example.gov.cn</Computer><Security UserID='S-1-5-18'/></System><EventData><Data Name='RuleName'>-</Data><Data Name='ProcessId'>4711</Data><Data Name='Image'>C:\Windows\System32\whoami.exe</Data><Data Name='CommandLine'>whoami /all &quot;&amp;&quot;</Data><Data Name='User'>NT AUTHORITY\SYSTEM</Data></EventData></Event>`,
	"failed logon":    schema + `<System><Provider Name="Microsoft-Windows-Security-Auditing" Guid="{54849625-5478-4994-a5ba-3e3b0328c30d}"/><EventID>4625</EventID><Version>0</Version><Level>0</Level><Task>12544</Task><Opcode>0</Opcode><Keywords>0x8010000000000000</Keywords><TimeCreated SystemTime="2026-11-26T01:02:03.4567890Z"/><EventRecordID>9</EventRecordID><Channel>Security</Channel><Computer>dc1</Computer></System><EventData><Data Name="TargetUserName">administrator</Data><Data Name="TargetDomainName">GOV</Data><Data Name="LogonType">10</Data><Data Name="IpAddress">192.0.2.7</Data><Data Name="IpPort">50123</Data></EventData><RenderingInfo Culture="zh-CN"><Message>帐户登录失败。</Message><Level>信息</Level><Keywords><Keyword>审核失败</Keyword></Keywords></RenderingInfo></Event>`,
	"log cleared":     schema + `<System><Provider Name="Microsoft-Windows-Eventlog" Guid="{fc65ddd8-d6ef-4962-83d5-6e5cfe9ce148}"/><EventID>1102</EventID><Version>0</Version><Level>4</Level><Task>104</Task><Opcode>0</Opcode><Keywords>0x4020000000000000</Keywords><TimeCreated SystemTime="2026-11-26T01:02:03.0000000Z"/><EventRecordID>10</EventRecordID><Channel>Security</Channel><Computer>dc1</Computer></System><UserData><LogFileCleared xmlns="http://manifests.microsoft.com/win/2004/08/windows/eventlog"><SubjectUserSid>S-1-5-21-1</SubjectUserSid><SubjectUserName>zhang.wei</SubjectUserName><SubjectDomainName>GOV</SubjectDomainName><SubjectLogonId>0x3e7</SubjectLogonId></LogFileCleared></UserData></Event>`,
	"provider loaded": schema + `<System><Provider Name="Microsoft-Windows-WMI-Activity" Guid="{1418ef04-b0b4-4623-bf7e-d74ab47bbdaa}"/><EventID>5857</EventID><Version>0</Version><Level>0</Level><Task>0</Task><Opcode>0</Opcode><Keywords>0x4000000000000000</Keywords><TimeCreated SystemTime="2026-11-26T01:02:03.0000000Z"/><EventRecordID>12</EventRecordID><Channel>Microsoft-Windows-WMI-Activity/Operational</Channel><Computer>dc1</Computer></System><UserData><Operation_StartedOperational xmlns="http://manifests.microsoft.com/win/2006/windows/WMI"><ProviderName>CIMWin32</ProviderName><Code>0x0</Code><HostProcess>wmiprvse.exe</HostProcess><ProcessID>3720</ProcessID><ProviderPath>%systemroot%\system32\wbem\cimwin32.dll</ProviderPath></Operation_StartedOperational></UserData></Event>`,
	"one value":       schema + `<System><Provider Name="Microsoft-Windows-PrintService"/><EventID>307</EventID><Version>0</Version><Level>4</Level><Task>26</Task><Opcode>11</Opcode><Keywords>0x4000000000000840</Keywords><TimeCreated SystemTime="2026-11-26T01:02:03.0000000Z"/><EventRecordID>13</EventRecordID><Channel>Microsoft-Windows-PrintService/Operational</Channel><Computer>print-1</Computer></System><UserData><DocumentPrinted xmlns="http://manifests.microsoft.com/win/2005/08/windows/printing/spooler/core/events"><Param1>31</Param1></DocumentPrinted></UserData></Event>`,
	"no names":        schema + `<System><Provider Name="EventLog"/><EventID Qualifiers="32768">6008</EventID><Level>2</Level><Task>0</Task><Keywords>0x80000000000000</Keywords><TimeCreated SystemTime="2026-11-26T01:02:03.0000000Z"/><EventRecordID>11</EventRecordID><Channel>System</Channel><Computer>dc1</Computer></System><EventData><Data>8:11:02</Data><Data>2026/11/25</Data></EventData></Event>`,
}

// node is an element of an event's data.
type node struct {
	XMLName xml.Name
	Name    string `xml:"Name,attr"`
	Text    string `xml:",chardata"`
	Nodes   []node `xml:",any"`
}

// gathered is the metric that the plug-in makes of an event: its structure of System (event.go of the
// plug-in), and data unrolled by name with a number where a name comes again (util.go).
func gathered(t *testing.T, text string) telegraf.Metric {
	t.Helper()
	type attrs struct {
		Name       string `xml:",attr"`
		SystemTime string `xml:",attr"`
		ProcessID  uint32 `xml:",attr"`
		UserID     string `xml:",attr"`
		Text       string `xml:",chardata"`
	}
	var e struct {
		System struct {
			Provider, TimeCreated, Execution, Security attrs
			Rest                                       []node `xml:",any"`
		}
		EventData, UserData struct {
			Nodes []node `xml:",any"`
		}
		RenderingInfo *struct {
			Message, Level string
			Keywords       []string `xml:"Keywords>Keyword"`
		}
	}
	if err := xml.Unmarshal([]byte(text), &e); err != nil {
		t.Fatal(err)
	}
	tags, fields := map[string]string{"Source": e.System.Provider.Name}, map[string]any{"TimeCreated": e.System.TimeCreated.SystemTime, "ProcessID": e.System.Execution.ProcessID, "Message": "", "UserID": e.System.Security.UserID}
	for _, n := range e.System.Rest {
		switch n.XMLName.Local {
		case "EventID", "Level", "Keywords", "Channel", "Computer":
			tags[n.XMLName.Local] = n.Text
		case "Version", "Task", "Opcode", "EventRecordID":
			v, err := strconv.Atoi(n.Text)
			if err != nil {
				t.Fatal(err)
			}
			fields[n.XMLName.Local] = v
		}
	}
	if i := e.RenderingInfo; i != nil {
		fields["Message"], tags["LevelText"], tags["Keywords"] = i.Message, i.Level, strings.Join(i.Keywords, ",")
	}
	type pair struct{ name, value string }
	var all []pair
	count := map[string]int{}
	var walk func(nodes []node, above string)
	walk = func(nodes []node, above string) {
		for _, n := range nodes {
			name := above + n.XMLName.Local
			if n.Name != "" {
				name += "_" + n.Name
			}
			if v := strings.TrimSpace(n.Text); v != "" {
				count[name]++
				all = append(all, pair{name, v})
			}
			walk(n.Nodes, name+"_")
		}
	}
	walk(e.UserData.Nodes, "")
	walk(e.EventData.Nodes, "")
	again := map[string]int{}
	for _, p := range all {
		name := p.name
		if count[name] > 1 {
			again[name]++
			name = fmt.Sprint(name, "_", again[name])
		}
		fields[name] = p.value
	}
	return metric.New(eventlog.Plugin, tags, fields, time.Unix(1, 0))
}

// TestAsForwarded has an event of the agent say what the same event says that Windows forwards.
func TestAsForwarded(t *testing.T) {
	t.Parallel()
	for name, text := range rendered {
		r, ok := eventlog.Record(gathered(t, text))
		if !ok {
			t.Fatal(name)
		}
		got, want := read(t, r), read(t, intake.Record{Format: intake.Line, Data: []byte(text)})
		n := 0
		for field, value := range want {
			switch first, _, _ := strings.Cut(field, "."); first {
			case "@timestamp", "event", "host", "user", "process", "source", "destination", "log", "message", "related":
				switch {
				case field == "event.original",
					field == "message" && strings.HasPrefix(value, "<Event"), // there is none
					field == "log.level" && value == "信息",                    // ours is of no language
					field == "user.id" && name == "process":                  // of forwarded events it is that of Sysmon itself
					continue
				}
				n++
				if got[field] != value {
					t.Errorf("%s: %s is %q, forwarded it is %q\n%s", name, field, got[field], value, r.Data)
				}
			}
		}
		if n < 6 {
			t.Errorf("%s: the forwarded event has %v alone", name, want)
		}
	}
	var doc struct {
		Winlog struct {
			EventData map[string]string `json:"event_data"`
			UserData  map[string]string `json:"user_data"`
		}
	}
	for name, want := range map[string]string{"no names": "map[param1:8:11:02 param2:2026/11/25] map[]", "log cleared": "map[] map[SubjectDomainName:GOV SubjectLogonId:0x3e7 SubjectUserName:zhang.wei SubjectUserSid:S-1-5-21-1 xml_name:LogFileCleared]",
		"provider loaded": "map[] map[Code:0x0 HostProcess:wmiprvse.exe ProcessID:3720 ProviderName:CIMWin32 ProviderPath:%systemroot%\\system32\\wbem\\cimwin32.dll xml_name:Operation_StartedOperational]", "one value": "map[] map[Param1:31 xml_name:DocumentPrinted]"} {
		r, _ := eventlog.Record(gathered(t, rendered[name]))
		doc.Winlog.EventData, doc.Winlog.UserData = nil, nil
		if err := json.Unmarshal(r.Data, &doc); err != nil {
			t.Fatal(err)
		}
		if got := fmt.Sprint(doc.Winlog.EventData, " ", doc.Winlog.UserData); got != want {
			t.Errorf("%s: %s", name, got)
		}
	}
}

// TestOutcome goes by the words of two languages and by the number where there is none of a word.
func TestOutcome(t *testing.T) {
	t.Parallel()
	for keywords, want := range map[string]string{"Audit Failure": "failure", "审核成功": "success", "0x8010000000000000": "failure", "0x8020000000000000": "success", "Classic": "", "0x8000000000000000": "", "Klassisch,Audit Success": "success"} {
		r, ok := eventlog.Record(metric.New(eventlog.Plugin, map[string]string{"Channel": "Application", "EventID": "7", "Keywords": keywords}, map[string]any{"EventRecordID": int64(1)}, time.Unix(1, 0)))
		if got := read(t, r)["event.outcome"]; !ok || got != want {
			t.Errorf("%s: %q", keywords, got)
		}
	}
	for _, m := range []telegraf.Metric{metric.New("cpu", nil, map[string]any{"Channel": "x"}, time.Now()), metric.New(eventlog.Plugin, nil, map[string]any{"Message": "x"}, time.Now())} {
		if _, ok := eventlog.Record(m); ok {
			t.Errorf("%v is taken for an event", m)
		}
	}
}
