package acceptance

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// nativeEvent is an event in Windows' own names, and as winlogbeat's modules
// write it in ECS.
type nativeEvent struct {
	Rule   string          `json:"rule"`
	Times  int             `json:"times"`
	Native json.RawMessage `json:"native"`
	ECS    json.RawMessage `json:"ecs"`
}

// system are the members of an event that winlogbeat puts outside its data.
var system = map[string]string{"Channel": "channel", "EventID": "event_id", "Provider_Name": "provider_name", "Computer": "computer_name"}

// nested is the event as winlogbeat ships it without its modules.
func nested(t *testing.T, native []byte) []byte {
	t.Helper()
	var flat, data = map[string]any{}, map[string]any{}
	if err := json.Unmarshal(native, &flat); err != nil {
		t.Fatal(err)
	}
	winlog := map[string]any{"event_data": data, "api": "wineventlog"}
	for name, v := range flat {
		if to, ok := system[name]; ok {
			winlog[to] = v
		} else {
			data[name] = v
		}
	}
	out, err := json.Marshal(map[string]any{"winlog": winlog, "agent": map[string]any{"type": "winlogbeat"}})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// marked gives an event a mark to be found by, as its host's name.
func marked(t *testing.T, event []byte, mark string) []byte {
	t.Helper()
	m := map[string]any{}
	if err := json.Unmarshal(event, &m); err != nil {
		t.Fatal(err)
	}
	host, _ := m["host"].(map[string]any)
	if host == nil {
		host = map[string]any{}
		m["host"] = host
	}
	host["name"] = mark
	out, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func readJSON(t *testing.T, name string, into any) {
	t.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, into); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
}

// ship sends documents as winlogbeat does.
func (s *suite) ship(docs [][]byte) {
	s.t.Helper()
	var body bytes.Buffer
	for _, d := range docs {
		body.WriteString(`{"create":{"_index":"winlogbeat-8"}}` + "\n")
		body.Write(d)
		body.WriteByte('\n')
	}
	c := s.token("e-licence", "ingest")
	status, answer := post(s.t, c, "/elastic/_bulk", map[string]string{"Content-Type": "application/x-ndjson"}, body.Bytes())
	if status != 200 || !strings.Contains(answer, `"errors":false`) {
		s.t.Fatalf("_bulk: %d %.500s", status, answer)
	}
}

// rulesOf lists the rules by a part of their path, by id with their state.
func (s *suite) rulesOf(part string) (map[string]string, error) {
	raw, err := s.admin.Raw(context.Background(), "/api/v1/rules", nil, 0)
	if err != nil {
		return nil, err
	}
	out := map[string]string{}
	for _, r := range raw {
		var one struct{ ID, Status, Reason, Path string }
		if err := json.Unmarshal(r, &one); err != nil {
			return nil, err
		}
		if strings.Contains(one.Path, part) {
			out[one.ID] = strings.TrimSpace(one.Status + " " + one.Reason)
		}
	}
	return out, nil
}

// mark is what the hosts of these tests are called.
var mark = regexp.MustCompile(`(host-\d+|silent)-\d+|web-host`)

// alertHosts are the hosts of the alerts' events by the title of the rule.
func (s *suite) alertHosts(query string) (map[string][]string, error) {
	ctx := context.Background()
	alerts, err := s.admin.Alerts(ctx, url.Values{"q": {query}}, 0)
	if err != nil {
		return nil, err
	}
	out := map[string][]string{}
	for _, a := range alerts {
		for _, id := range a.EventIDs {
			var raw []byte
			if err := s.admin.Get(ctx, "/api/v1/events/"+url.PathEscape(id), nil, &raw); err != nil {
				return nil, err
			}
			out[a.Rule.Title.EN] = append(out[a.Rule.Title.EN], mark.FindString(string(raw)))
		}
	}
	return out, nil
}

// TestRulesInNativeNames sends Windows events in the three shapes in which
// they come through the Elasticsearch endpoint: rules in Windows' own names
// fire on each of them, and stay silent on events of other origin that carry
// the same values.
func TestRulesInNativeNames(t *testing.T) {
	t.Parallel()
	folder, err := filepath.Abs("testdata/native/rules")
	if err != nil {
		t.Fatal(err)
	}
	s := newSuite(t, fmt.Sprintf("rules:\n  built_in: false\n  dirs: [%q]\n", folder))
	eventually(t, 15*time.Second, "the rules are in force", func() error {
		states, err := s.rulesOf("testdata/native")
		for id, state := range states {
			if state != "active" {
				err = fmt.Errorf("rule %s is %s", id, state)
			}
		}
		if err == nil && len(states) != 11 {
			err = fmt.Errorf("%d rules are listed", len(states))
		}
		return err
	})

	var events []nativeEvent
	readJSON(t, "testdata/native/events.json", &events)
	var silent []struct {
		Why   string
		Event json.RawMessage
	}
	readJSON(t, "testdata/native/silent.json", &silent)
	var docs [][]byte
	for i, e := range silent {
		docs = append(docs, marked(t, e.Event, fmt.Sprintf("silent-%d", i)))
	}
	want := map[string][]string{}
	for i, e := range events {
		for j, shape := range [][]byte{e.Native, e.ECS, nested(t, e.Native)} {
			host := fmt.Sprintf("host-%d-%d", i, j)
			for n := range max(1, e.Times) {
				text := strings.NewReplacer("{n}", fmt.Sprint(n), "{shape}", fmt.Sprint(j+1)).Replace(string(shape))
				docs = append(docs, marked(t, []byte(text), host))
			}
			want[e.Rule] = append(want[e.Rule], host)
		}
	}
	s.ship(docs)
	s.sendTCP([]byte("<13>1 - web-host nginx - - - 192.0.2.1 - - [" + time.Now().Format("02/Jan/2006:15:04:05 -0700") + "] \"POST /acceptance-shell.jsp?cmd=id HTTP/1.1\" 200 12 \"-\" \"curl/8\"\n"))
	want["Native Web Shell Path"] = []string{"web-host"}
	// Collectors such as NXLog send the same JSON over syslog.
	s.sendTCP(append(append([]byte("<14>1 - host-5-9 nxlog - - - "), marked(t, events[5].Native, "host-5-9")...), '\n'))
	want[events[5].Rule] = append(want[events[5].Rule], "host-5-9")

	eventually(t, 30*time.Second, "the rules fire on every shape", func() error {
		got, err := s.alertHosts("Native")
		if err != nil {
			return err
		}
		for rule, hosts := range want {
			for _, h := range hosts {
				if !slices.Contains(got[rule], h) {
					return fmt.Errorf("%s does not fire on %s, only on %q", rule, h, got[rule])
				}
			}
		}
		return nil
	})
	s.expect(`host.name:="silent-0"`, 1, 20*time.Second)
	got, err := s.alertHosts("Native")
	if err != nil {
		t.Fatal(err)
	}
	for rule, hosts := range got {
		for _, h := range hosts {
			var i int
			if n, _ := fmt.Sscanf(h, "silent-%d", &i); n == 1 {
				t.Errorf("%s fires although %s", rule, silent[i].Why)
			} else if !slices.Contains(want[rule], h) {
				t.Errorf("%s fires on %s", rule, h)
			}
		}
	}
}

const sigmaCorpus = "../../../shared/corpora"

// TestSigmaHQsRules starts the suite with everything that SigmaHQ publishes:
// no file is rejected, and on Windows events as winlogbeat ships them the same
// rules fire as icectl finds for the events in their native names.
func TestSigmaHQsRules(t *testing.T) {
	t.Parallel()
	folder, err := filepath.Abs(filepath.Join(sigmaCorpus, "sigma/rules"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(folder); err != nil {
		t.Skip("the corpus of SigmaHQ's rules is not here")
	}
	s := newSuite(t, fmt.Sprintf("rules:\n  built_in: false\n  dirs: [%q]\n", folder))
	eventually(t, 30*time.Second, "all of SigmaHQ's rules are in force", func() error {
		states, err := s.rulesOf("sigma/rules")
		if err != nil {
			return err
		}
		for id, state := range states {
			if state != "active" {
				return fmt.Errorf("rule %s is %s", id, state)
			}
		}
		if len(states) != 3141 {
			return fmt.Errorf("%d rules are listed", len(states))
		}
		return nil
	})

	lines := sample(t, filepath.Join(sigmaCorpus, "windows/events.jsonl.gz"), 83, 400)
	file := filepath.Join(s.dir, "events.jsonl")
	if err := os.WriteFile(file, bytes.Join(lines, []byte("\n")), 0o600); err != nil {
		t.Fatal(err)
	}
	found := func(rules string) map[string]bool {
		out, err := s.icectl("rules", "match", "--rules", rules, "--events", file, "--routing", "on", "--pipeline", "ecs")
		if err != nil {
			t.Fatal(err)
		}
		ids := map[string]bool{}
		for line := range strings.Lines(out) {
			var m struct{ Rule string }
			if json.Unmarshal([]byte(line), &m) == nil && m.Rule != "" {
				ids[m.Rule] = true
			}
		}
		return ids
	}
	// icectl gives events that do not say where they come from the benefit of
	// the doubt, so that it also finds rules of other products.
	want, may := found(filepath.Join(folder, "windows")), found(folder)
	if len(want) < 15 {
		t.Fatalf("icectl finds %d rules: too few to compare", len(want))
	}
	var docs [][]byte
	for i, line := range lines {
		docs = append(docs, marked(t, nested(t, line), fmt.Sprintf("w-%d", i)))
	}
	s.ship(docs)
	eventually(t, 60*time.Second, "the rules that icectl finds fire in the suite", func() error {
		alerts, err := s.admin.Alerts(context.Background(), nil, 0)
		if err != nil {
			return err
		}
		got := map[string]bool{}
		for _, a := range alerts {
			if !strings.HasPrefix(a.Rule.ID, "icewatch-") { // of the suite about itself
				got[a.Rule.ID] = true
			}
		}
		var differ []string
		for id := range want {
			if !got[id] {
				differ = append(differ, "missing "+id)
			}
		}
		for id := range got {
			if !may[id] {
				differ = append(differ, "besides "+id)
			}
		}
		if slices.Sort(differ); len(differ) > 0 {
			return fmt.Errorf("%d of %d rules differ: %q", len(differ), len(want), differ[:min(10, len(differ))])
		}
		return nil
	})
	t.Logf("%d of SigmaHQ's rules fire", len(want))
}

// sample takes every nth line of a compressed file, up to a number of them.
func sample(t *testing.T, name string, nth, most int) [][]byte {
	t.Helper()
	f, err := os.Open(name)
	if err != nil {
		t.Skip("the corpus of Windows events is not here")
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	data, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	var out [][]byte
	n := 0
	for line := range bytes.Lines(data) {
		if n++; n%nth == 0 && len(out) < most {
			out = append(out, bytes.TrimSpace(line))
		}
	}
	return out
}
