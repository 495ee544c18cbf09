package config

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
)

func write(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "icewatch.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestPrecedence(t *testing.T) {
	t.Parallel()
	file := write(t, "http:\n  listen: 127.0.0.1:1\nsyslog:\n  udp: \":2\"\n  tcp: \":3\"\nlake: {retention: 365d}\n")
	c, err := Load(file, []string{"ICEWATCH_SYSLOG_UDP=:20", "ICEWATCH_SYSLOG_TCP=:30", "ICEWATCH_RELAYS=10.0.0.0/8, 10.9.9.9", "HOME=/x", "ICEWATCH_TOKEN=t"},
		map[string]string{"syslog.tcp": ":300"})
	if err != nil {
		t.Fatal(err)
	}
	if c.HTTP.Listen != "127.0.0.1:1" || c.Syslog.UDP != ":20" || c.Syslog.TCP != ":300" || time.Duration(c.Lake.Retention) != 365*24*time.Hour || len(c.RelayPrefixes()) != 2 {
		t.Fatalf("%+v", c)
	}
}

func TestFaultsNameFileLineAndWhatWouldBeRight(t *testing.T) {
	t.Parallel()
	f := func(text, want string) {
		t.Helper()
		file := write(t, text)
		_, err := Load(file, nil, nil)
		var p Problems
		if !errors.As(err, &p) || !strings.Contains(err.Error(), file+want) {
			t.Errorf("%q:\n got %v\nwant %s", text, err, want)
		}
	}
	f("\nhttp:\n  lisen: x\n", ":3: http.lisen: there is no such option; listen is meant?")
	f("http:\n  zzzzzzzz: x\n", ":2: http.zzzzzzzz: there is no such option; external_url, insecure, listen")
	f("syslog:\n  udp: nonsense\n", `:2: syslog.udp: "nonsense" is not an address; host:port is expected`)
	f("syslog:\n  listeners: [{zone: office, tcp: nonsense}]\n", `:2: syslog.listeners[0].tcp: "nonsense" is not an address; host:port is expected, such as 127.0.0.1:8080 or :5514`)
	f("syslog:\n  listeners: [{zone: office, tcp: \":1\"}, {name: office, udp: \":1\"}]\n", `:2: syslog.listeners[1].name: "office" is given twice, or has other characters than letters, digits, dot, dash and underscore`)
	f("syslog:\n  listeners: [{zone: office}]\n", `:2: syslog.listeners[0]: none of udp, tcp, tls, relp and relp_tls is given; at least one address such as :5515 is expected`)
	f("syslog:\n  udp: \":70000\"\n", `:2: syslog.udp: the port "70000"`)
	f("data: /srv/x\nbackup:\n  dir: /srv/x/b\n", `:3: backup.dir: "/srv/x/b" lies in the data folder`)
	f("a: [1\n", ":")
	f("lake:\n  retention: soon\n", `:2: lake.retention: "soon" is not a length of time; one such as 90s`)
	f("lake:\n  retention: 1h\n", ":2: lake.retention:")
	f("relays: 10.0.0.0/8\n", ":1: relays: a list is expected")
	f("relays:\n- 10.0.0.0/8\n- here\n", `:3: relays[1]: "here" is not a network`)
	f("notify:\n  webhooks:\n  - {name: a, url: ftp://x}\n", ":3: notify.webhooks[0].url:")
	f("data: a\ndata: b\n", ":2: data: the option is given twice")
	f("http: 5\n", ":1: http: options with values are expected here")
	f("data: x\n---\ndata: y\n", ": one YAML document is expected")
	f("rules: {dirs: [/no/such/folder]}\n", `:1: rules.dirs[0]: "/no/such/folder" cannot be read`)
	_, err := Load("", []string{"ICEWATCH_SYSLOG_UPD=:1"}, nil)
	if err == nil || !strings.Contains(err.Error(), "ICEWATCH_SYSLOG_UDP is meant?") {
		t.Errorf("a misspelt variable: %v", err)
	}
	if _, err := Load("/no/such/file.yaml", nil, nil); err == nil || !strings.Contains(err.Error(), "cannot be read") {
		t.Errorf("a missing file: %v", err)
	}
}

func TestReferenceIsTheDefaultAndDocumentsEveryOption(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	if err := Reference(&b); err != nil {
		t.Fatal(err)
	}
	c, err := Load(write(t, b.String()), nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	want := Default()
	want.Files, want.Rules.Dirs, want.Parsers.Dirs, want.Tenants.Dirs, want.Geo.Files, want.Notify.Webhooks = []File{}, []string{}, []string{}, []string{}, []string{}, []Webhook{}
	want.Rules.Policy.Keys, want.Syslog.Listeners = []PolicyKey{}, []SyslogListener{}
	want.SNMP.Sources, want.Agents.URLs = []string{}, []string{}
	want.Security.Egress.Allow, want.Lake.SecurityOwners = []string{}, []string{}
	want.Lake.Remote.Nodes, want.Elastic.Clusters = []LakeNode{}, []ElasticCluster{}
	if !reflect.DeepEqual(c, want) {
		t.Fatalf("the reference reads as\n%+v\nwant\n%+v", c, want)
	}
	shipped, err := os.ReadFile("../../icewatch.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(shipped, b.Bytes()) {
		t.Error("icewatch.yaml is not what `icewatch config print` writes; write it anew")
	}
	var walk func(reflect.Type)
	walk = func(ty reflect.Type) {
		for i := range ty.NumField() {
			f := ty.Field(i)
			if f.Tag.Get("doc") == "" || f.Tag.Get("yaml") == "" {
				t.Errorf("%s.%s has no doc or yaml tag", ty.Name(), f.Name)
			}
			ft := f.Type
			if ft.Kind() == reflect.Slice {
				ft = ft.Elem()
			}
			if ft.Kind() == reflect.Struct {
				walk(ft)
			}
		}
	}
	walk(reflect.TypeOf(Config{}))
}

func TestLegalMinimumOfRetention(t *testing.T) {
	t.Parallel()
	_, err := Load(write(t, "lake:\n  retention: 90d\n  flows_class: weekly\n  classes:\n    - {name: short, keep: 12h}\n"), nil, nil)
	for _, want := range []string{":2: lake.retention: 90 days are too few", "article 21", ":3: lake.flows_class", ":5: lake.classes[0].keep: 12h0m0s is not a number of whole days"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q in it", err, want)
		}
	}
	c, err := Load(write(t, "lake:\n  retention: 200d\n  classes:\n    - {name: weekly, keep: 1w}\n  flows_class: weekly\n"), nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	if p := c.Lake.Keeping(); len(p.Classes) != 2 || p.For("tax", "weekly", "sshd.auth") != "standard" || p.For("tax", "standard", "flow.netflow") != "weekly" {
		t.Errorf("the policy is %+v", p)
	}
}

func TestUnits(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]Size{"64KiB": 65536, "1.5MiB": 3 << 19, "7": 7, "1 GB": 1e9} {
		if got, err := ParseSize(text); err != nil || got != want {
			t.Errorf("%s: %d %v", text, got, err)
		}
	}
	for _, text := range []string{"", "x", "-1", "9999999TiB", "NaN", "nanGiB", "Inf"} {
		if _, err := ParseSize(text); err == nil {
			t.Errorf("%q is taken for a size", text)
		}
	}
	for _, text := range []string{"", "x", "d", "NaNd", "Infw", "-infd", "200000d", "1e9w"} {
		if got, err := ParseDuration(text); err == nil {
			t.Errorf("%q is taken for a length of time: %s", text, got)
		}
	}
	for text, want := range map[string]string{"180d": "180d", "90m": "1h30m", "2w": "14d", "1h": "1h", "45s": "45s"} {
		if got, err := ParseDuration(text); err != nil || got.String() != want {
			t.Errorf("%s: %s %v", text, got, err)
		}
	}
}

func FuzzLoad(f *testing.F) {
	f.Add("http:\n  listen: 127.0.0.1:1\n")
	f.Add("relays: [a, b]\nsla: [{priority: P1}]")
	f.Add("a: &x [*x]")
	f.Fuzz(func(t *testing.T, text string) {
		c := Default()
		decode(c, "f", []byte(text), map[string]int{})
		c.Validate()
	})
}
