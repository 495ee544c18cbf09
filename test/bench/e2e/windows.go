package main

import (
	"bufio"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"strconv"
	"strings"
	"time"

	"icewatch/detections"
	rulesengine "icewatch/detections/engine"
	"icewatch/detections/ruleset"
	"icewatch/rules"
	"icewatch/soc/event"
	"icewatch/soc/intake"
	"icewatch/soc/pipeline"
	"icewatch/soc/retention"
)

// windowsEvents are Windows events in the shape of winlogbeat's documents, with
// <iso> for the time and <host> for the computer, parted by whether a single
// event makes a rule fire.
type windowsEvents struct {
	quiet, firing []string
	said          string
	rules         string // how many are in force
}

// plain are events for where no file of real ones is: those that Windows hosts
// write most.
var plain = []string{
	`{"Channel":"Microsoft-Windows-Sysmon/Operational","EventID":1,"Provider_Name":"Microsoft-Windows-Sysmon","Level":4,"Task":1,"CommandLine":"C:\\Windows\\system32\\svchost.exe -k netsvcs -p","Company":"Microsoft Corporation","CurrentDirectory":"C:\\Windows\\system32\\","Image":"C:\\Windows\\System32\\svchost.exe","IntegrityLevel":"System","ParentCommandLine":"C:\\Windows\\system32\\services.exe","ParentImage":"C:\\Windows\\System32\\services.exe","ProcessId":2124,"User":"NT AUTHORITY\\SYSTEM"}`,
	`{"Channel":"Microsoft-Windows-Sysmon/Operational","EventID":3,"Provider_Name":"Microsoft-Windows-Sysmon","Level":4,"Task":3,"DestinationIp":"10.10.3.7","DestinationPort":443,"Image":"C:\\Program Files\\Mozilla Firefox\\firefox.exe","Initiated":"true","Protocol":"tcp","SourceIp":"10.10.2.9","SourcePort":50122,"User":"CITY\\wangwei01"}`,
	`{"Channel":"Microsoft-Windows-Sysmon/Operational","EventID":13,"Provider_Name":"Microsoft-Windows-Sysmon","Level":4,"Task":13,"Details":"DWORD (0x00000001)","EventType":"SetValue","Image":"C:\\Windows\\explorer.exe","TargetObject":"HKU\\S-1-5-21-1\\Software\\Microsoft\\Windows\\CurrentVersion\\Explorer\\SessionInfo\\1\\WINUP","User":"CITY\\lina02"}`,
	`{"Channel":"Security","EventID":4624,"Provider_Name":"Microsoft-Windows-Security-Auditing","Level":0,"Task":12544,"AuthenticationPackageName":"Kerberos","IpAddress":"10.10.4.2","IpPort":"49832","LogonProcessName":"Kerberos","LogonType":3,"SubjectUserSid":"S-1-0-0","TargetDomainName":"CITY","TargetLogonId":"0x3e7ab","TargetUserName":"zhangmin03"}`,
	`{"Channel":"Security","EventID":4634,"Provider_Name":"Microsoft-Windows-Security-Auditing","Level":0,"Task":12545,"LogonType":3,"TargetDomainName":"CITY","TargetLogonId":"0x3e7ab","TargetUserName":"zhangmin03"}`,
	`{"Channel":"Security","EventID":5156,"Provider_Name":"Microsoft-Windows-Security-Auditing","Level":0,"Task":12810,"Application":"\\device\\harddiskvolume2\\windows\\system32\\svchost.exe","DestAddress":"10.10.3.7","DestPort":"443","Direction":"%%14593","ProcessID":"1044","Protocol":"6","SourceAddress":"10.10.2.9","SourcePort":"50121"}`,
	`{"Channel":"Security","EventID":4688,"Provider_Name":"Microsoft-Windows-Security-Auditing","Level":0,"Task":13312,"CommandLine":"\"C:\\Windows\\System32\\taskhostw.exe\" Install","NewProcessName":"C:\\Windows\\System32\\taskhostw.exe","ParentProcessName":"C:\\Windows\\System32\\svchost.exe","SubjectDomainName":"CITY","SubjectUserName":"WIN-00001$","TokenElevationType":"%%1936"}`,
	`{"Channel":"Microsoft-Windows-PowerShell/Operational","EventID":4104,"Provider_Name":"Microsoft-Windows-PowerShell","Level":5,"Task":2,"MessageNumber":1,"MessageTotal":1,"Path":"C:\\ops\\inventory.ps1","ScriptBlockId":"0d1c6b4e-8a7e-4c8e-9d0b-0c6f0a2f8e11","ScriptBlockText":"Get-Service | Where-Object Status -eq Running | Select-Object Name"}`,
}

func (b *bench) windowsEvents(folder string) (*windowsEvents, error) {
	w := &windowsEvents{}
	lines, origin := plain, fmt.Sprintf("made from %d; %s is absent", len(plain), b.windows)
	f, err := os.Open(b.windows)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return nil, err
	default:
		defer f.Close()
		if lines, err = readLines(f, strings.HasSuffix(b.windows, ".gz")); err != nil {
			return nil, fmt.Errorf("%s: %w", b.windows, err)
		}
		origin = fmt.Sprintf("%d of %s", len(lines), b.windows)
	}
	c := newClassifier(folder)
	for i, line := range lines {
		text, err := winlogbeat(line)
		if err != nil {
			return nil, fmt.Errorf("Windows event %d: %w", i+1, err)
		}
		if c.fires(text) {
			w.firing = append(w.firing, text)
		} else {
			w.quiet = append(w.quiet, text)
		}
	}
	share := b.firing
	if len(w.firing) == 0 {
		share = 0
	}
	w.rules = c.said
	w.said = fmt.Sprintf("%s; rules fire on %d of these, which are drawn for %g %%", origin, len(w.firing), share*100)
	return w, nil
}

func readLines(f io.Reader, packed bool) (lines []string, err error) {
	if packed {
		z, err := gzip.NewReader(f)
		if err != nil {
			return nil, err
		}
		f = z
	}
	in := bufio.NewScanner(f)
	in.Buffer(nil, 4<<20)
	for in.Scan() {
		lines = append(lines, in.Text())
	}
	return lines, in.Err()
}

// winlogbeat puts a flat Windows event into the shape of winlogbeat's documents
// (its reference, "Winlogbeat fields"), without the rendered message, which
// says the same once more.
func winlogbeat(line string) (string, error) {
	var flat map[string]any
	in := json.NewDecoder(strings.NewReader(line))
	in.UseNumber()
	if err := in.Decode(&flat); err != nil {
		return "", err
	}
	data := map[string]any{}
	log := map[string]any{"api": "wineventlog", "computer_name": "<host>", "event_data": data}
	for name, v := range flat {
		if v == nil {
			continue
		}
		text := fmt.Sprint(v)
		switch name {
		case "Channel":
			log["channel"] = text
		case "Provider_Name":
			log["provider_name"] = text
		case "Provider_Guid":
			log["provider_guid"] = text
		case "EventID":
			log["event_id"] = text
		case "EventRecordID":
			log["record_id"], _ = strconv.ParseInt(text, 10, 64)
		case "Version":
			log["version"] = v
		case "Task":
			log["task"] = text
		case "Opcode":
			log["opcode"] = text
		case "Keywords":
			log["keywords"] = []string{text}
		case "Security_UserID":
			log["user"] = map[string]any{"identifier": text}
		case "Computer", "SystemTime", "Level":
		case "Data":
			list, ok := v.([]any)
			if !ok {
				list = []any{v}
			}
			for i, e := range list {
				if pair, ok := e.(map[string]any); ok {
					data[fmt.Sprint(pair["Name"])] = fmt.Sprint(pair["Value"])
				} else {
					data[fmt.Sprintf("param%d", i+1)] = fmt.Sprint(e)
				}
			}
		default:
			data[name] = text
		}
	}
	doc := map[string]any{"@timestamp": "<iso>", "winlog": log,
		"event": map[string]any{"kind": "event", "code": log["event_id"], "provider": log["provider_name"]},
		"log":   map[string]any{"level": "information"},
		"host":  map[string]any{"name": "<host>"},
		"agent": map[string]any{"type": "winlogbeat", "version": "8.14.0"},
		"ecs":   map[string]any{"version": "8.0.0"}}
	var out strings.Builder
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(doc); err != nil {
		return "", err
	}
	return strings.TrimSpace(out.String()), nil
}

// windows writes a Windows event of a host of the chunk's tenant.
func (w *writer) windows(events *windowsEvents, firing float64) {
	list := events.quiet
	if len(events.firing) > 0 && w.r.Float64() < firing {
		list = events.firing
	}
	w.put("{\"create\":{}}\n%s", strings.ReplaceAll(pick(w, list), "<host>", w.ofTenant(w.c.windows).name+".gov.example"))
}

// classifier tells on which events the rules fire, by the suite's own packages.
type classifier struct {
	pipe  *pipeline.Pipeline
	rules *rulesengine.Engine
	ev    event.Event
	n     uint32
	said  string // of the rules
}

func newClassifier(folder string) *classifier {
	reg := event.NewRegistry(50_000)
	set, problems := ruleset.Compile(ruleset.Load([]ruleset.Source{{Name: "builtin", FS: rules.FS}, {Name: folder, FS: os.DirFS(folder)}}), reg)
	keeping := &retention.Policy{Classes: []retention.Class{{Name: retention.Standard, Keep: 180 * 24 * time.Hour}}}
	c := &classifier{pipe: pipeline.New(pipeline.Options{Registry: reg, Keeping: keeping, Future: time.Hour}),
		rules: rulesengine.New(rulesengine.Options{Registry: reg, Log: slog.New(slog.DiscardHandler)})}
	c.rules.Swap(set)
	c.said = fmt.Sprintf("%d of single events and %d that count are in force; %d files or rules are not", len(set.Detections()), len(set.Correlations()), len(problems))
	return c
}

func (c *classifier) fires(text string) (fired bool) {
	now := time.Now()
	text = strings.NewReplacer("<iso>", now.UTC().Format(layouts[isoTime]), "<host>", "WIN-00003.gov.example").Replace(text)
	c.n++
	rec := intake.Record{Collector: "elastic", Format: intake.JSON, Received: now.UnixNano(), Data: []byte(text)}
	c.pipe.Fill(&rec, event.ID{Epoch: "bench", Sequence: 1, Index: c.n}, &c.ev)
	c.rules.Process(&c.ev, func(detections.Occurrence) { fired = true })
	return fired
}
