package pipeline

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"icewatch/detections/sigma"
	"icewatch/rules"
)

// builtin is the suite's own pipelines.
func builtin(t testing.TB) Chain {
	t.Helper()
	files, err := fs.Glob(rules.FS, Folder+"/*.yml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no pipelines among the rules: %v", err)
	}
	var list []*Pipeline
	for _, name := range files {
		data, err := fs.ReadFile(rules.FS, name)
		if err != nil {
			t.Fatal(err)
		}
		p, err := Parse(data)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		list = append(list, p)
	}
	return Order(list)
}

// The suite's own rules use the names of ECS: the pipelines leave them alone,
// but for those of programs whose own names everybody writes rules in.
func TestOwnRulesStayAsTheyAre(t *testing.T) {
	t.Parallel()
	chain := builtin(t)
	n := 0
	err := fs.WalkDir(rules.FS, "sigma", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || strings.HasSuffix(name, ".test.yml") {
			return err
		}
		data, err := fs.ReadFile(rules.FS, name)
		if err != nil {
			return err
		}
		parsed, errs := sigma.Parse(data, nil)
		if len(errs) > 0 {
			t.Fatalf("%s: %v", name, errs[0])
		}
		for _, r := range parsed {
			if l := r.Logsource; l.Product == "windows" || l.Product == "kubernetes" || l.Product == "zeek" || l.Service == "auditd" || l.Category == "process_creation" {
				continue
			}
			out, err := chain.Apply(r)
			if err != nil {
				t.Errorf("%s: %v", name, err)
			} else if r.Detection != nil && show(out) != show(r) {
				t.Errorf("%s:\n from %s\n   to %s", name, show(r), show(out))
			}
			n++
		}
		return nil
	})
	if err != nil || n == 0 {
		t.Fatalf("%d rules, %v", n, err)
	}
}

func TestBuiltinNames(t *testing.T) {
	t.Parallel()
	chain := builtin(t)
	f := func(logsource, item, want string) {
		t.Helper()
		out, err := chain.Apply(parseRule(t, "title: T\nlogsource: {"+logsource+"}\ndetection: {s: {"+item+"}, condition: s}\n"))
		if err != nil {
			t.Errorf("%s %s: %v", logsource, item, err)
		} else if got := show(out); got != want {
			t.Errorf("%s %s\n got %s\nwant %s", logsource, item, got, want)
		}
	}
	const process = "product: windows, category: process_creation"
	f(process, "CommandLine: a", `winlog.event_data.CommandLine/process.command_line/CommandLine=a`)
	f(process, "Image: a", `winlog.event_data.NewProcessName/NewProcessName/winlog.event_data.Image/process.executable/Image=a`)
	f(process, "SomethingNew: a", `winlog.event_data.SomethingNew/SomethingNew=a`)
	f(process, "process.name: a", `process.name=a`)
	f(process, "User: 'NT AUTHORITY\\SYSTEM'", `[winlog.event_data.User/User=NT AUTHORITY\SYSTEM | [user.domain=NT AUTHORITY & user.name=SYSTEM]]`)
	f(process, "User|contains: [AUTHORI, AUTORI]", `[winlog.event_data.User/User=*AUTHORI*,*AUTORI* | user.domain/user.name=*AUTHORI*,*AUTORI*]`)
	f(process, "Hashes|contains: [IMPHASH=BCCA3C247B619DCD13C8CDFF5F123932, MD5=0BADC0DE0BADC0DE0BADC0DE0BADC0DE]",
		`[winlog.event_data.Hashes/Hashes=*IMPHASH=BCCA3C247B619DCD13C8CDFF5F123932*,*MD5=0BADC0DE0BADC0DE0BADC0DE0BADC0DE* | [process.pe.imphash/process.hash.imphash/pe.imphash=BCCA3C247B619DCD13C8CDFF5F123932 | process.hash.md5=0BADC0DE0BADC0DE0BADC0DE0BADC0DE]]`)
	f("product: windows, category: image_load", "ImageLoaded: a", `winlog.event_data.ImageLoaded/file.path/dll.path/ImageLoaded=a`)
	f("product: windows, category: driver_load", "Hashes|contains: SHA256=01", `[winlog.event_data.Hashes/Hashes=*SHA256=01* | file.hash.sha256/dll.hash.sha256=01*]`)
	f("product: windows, category: network_connection", "Initiated: 'true'", `[winlog.event_data.Initiated/Initiated=true | network.direction=egress,outbound]`)
	f("product: windows, category: registry_set", "TargetObject: a", `winlog.event_data.TargetObject/registry.path/TargetObject=a`)
	f("product: windows, service: security", "EventID: 4624", `event.code/winlog.event_id/EventID=#4624`)
	f("product: windows, service: security", "LogonType: 3", `winlog.event_data.LogonType/winlog.user_data.LogonType/LogonType=#3`)
	f("product: windows, service: system", "Provider_Name: a", `winlog.provider_name/event.provider/Provider_Name=a`)
	f("product: windows, service: windefend", "NewValue: a", `winlog.event_data.New Value/New Value/winlog.event_data.NewValue/NewValue=a`)
	f("product: windows, category: ps_script", "ScriptBlockText: a", `winlog.event_data.ScriptBlockText/powershell.file.script_block_text/ScriptBlockText=a`)
	f("product: linux, category: process_creation", "Image: a", `process.executable/Image=a`)
	f("product: macos, category: file_event", "TargetFilename: a", `file.path/TargetFilename=a`)
	f("product: linux, service: auditd", "type: EXECVE, a1: x", `[auditd.log.type/auditd.data.type/auditd.log.record_type/auditd.message_type/event.action/type=EXECVE & auditd.log.a1/auditd.data.a1/a1=x]`)
	f("category: webserver", "cs-uri-query: a", `url.query/url.original/cs-uri-query=a`)
	f("category: proxy", "c-useragent: a", `user_agent.original/c-useragent=a`)
	f("category: dns", "query: a", `dns.question.name/query=a`)
	f("product: zeek, service: dns", "query: a", `zeek.dns.query/dns.question.name/query=a`)
	f("product: aws, service: cloudtrail", "eventName: a, requestParameters.attribute: b", `[event.action/eventName=a & aws.cloudtrail.flattened.request_parameters.attribute/requestParameters.attribute=b]`)
	f("product: azure, service: signinlogs", "ResultType: 50126", `azure.signinlogs.result_type/ResultType=#50126`)
	f("product: m365, service: audit", "Operation: a, ObjectId: b", `[o365.audit.Operation/event.action/Operation=a & o365.audit.ObjectId/ObjectId=b]`)
	f("product: okta, service: okta", "eventType: a", `okta.event_type/event.action/eventType=a`)
	f("product: kubernetes, service: audit", "verb: get, objectRef.resource: pods", `[kubernetes.audit.verb/event.action/verb=get & kubernetes.audit.objectRef.resource/objectRef.resource=pods]`)
	f("category: antivirus", "Signature: a", `ThreatName/Threat Name/winlog.event_data.Threat Name/winlog.event_data.ThreatName/threat.indicator.name/rule.name/Signature=a`)
}

const corpus = "../../../shared/corpora/sigma/rules"

// Every rule that SigmaHQ publishes goes through the pipelines, and of those
// for Windows every field is also looked for where shippers put it.
func TestCorpus(t *testing.T) {
	t.Parallel()
	if _, err := os.Stat(corpus); err != nil {
		t.Skip("the corpus of SigmaHQ's rules is not here")
	}
	chain := builtin(t)
	n := 0
	var spent time.Duration
	err := filepath.WalkDir(corpus, func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || filepath.Ext(name) != ".yml" {
			return err
		}
		data, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		parsed, errs := sigma.Parse(data, nil)
		if len(errs) > 0 {
			t.Fatalf("%s: %v", name, errs[0])
		}
		for _, r := range parsed {
			begun := time.Now()
			out, err := chain.Apply(r)
			spent += time.Since(begun)
			if n++; err != nil {
				t.Errorf("%s: %v", name, err)
				continue
			}
			if r.Logsource.Product != "windows" {
				continue
			}
			for _, s := range out.Detection.Selections {
				nested(t, name, s.Root)
			}
		}
		return nil
	})
	if err != nil || n == 0 {
		t.Fatalf("%d rules, %v", n, err)
	}
	t.Logf("%d rules in %v", n, spent)
}

// nested checks that an item in native names looks into the event data too.
func nested(t *testing.T, file string, g *sigma.Group) {
	for _, it := range g.Items {
		fine, native := false, false
		for _, name := range namesOf(it) {
			fine = fine || strings.Contains(name, ".") || name == "message"
			native = native || name != "" && !strings.Contains(name, ".")
		}
		if native && !fine {
			t.Errorf("%s: %s", file, showItem(it))
		}
	}
	for _, sub := range g.Groups {
		nested(t, file, sub)
	}
}

// The example of docs/logsources.md: events as evtx_dump writes them.
func TestExampleOfTheDocumentation(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../../docs/logsources.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(page), "```yaml\n# pipelines/")
	example, _, ok := strings.Cut(rest, "```")
	if !ok {
		t.Fatal("the page has no example of a pipeline")
	}
	p, err := Parse([]byte("# " + example))
	if err != nil {
		t.Fatal(err)
	}
	out, err := Order(append(builtin(t), p)).Apply(parseRule(t, "title: T\nlogsource: {product: windows, service: system}\ndetection: {s: {EventID: 7045, ImagePath: a}, condition: s}\n"))
	if err != nil {
		t.Fatal(err)
	}
	if got, want := show(out), `[event.code/winlog.event_id/Event.System.EventID/EventID=#7045 & winlog.event_data.ImagePath/winlog.user_data.ImagePath/Event.EventData.ImagePath/ImagePath=a]`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}
