package acceptance

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"icewatch/test/peers"
)

// realAlertmanager starts Debian's Alertmanager and returns its address.
func realAlertmanager(t *testing.T) string {
	program := peer(t, "prometheus-alertmanager")
	dir := t.TempDir()
	config := filepath.Join(dir, "alertmanager.yml")
	if err := os.WriteFile(config, []byte("route: {receiver: icewatch, group_by: [alertname]}\nreceivers: [{name: icewatch}]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	port := peers.FreePort(t)
	cmd := exec.Command(program, "--config.file="+config, "--storage.path="+filepath.Join(dir, "data"), "--web.listen-address=127.0.0.1:"+port, "--cluster.listen-address=")
	var log bytes.Buffer
	cmd.Stdout, cmd.Stderr = &log, &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	base := "http://127.0.0.1:" + port
	eventually(t, 30*time.Second, "Alertmanager is ready", func() error {
		resp, err := http.Get(base + "/-/ready")
		if err != nil {
			return err
		}
		resp.Body.Close()
		if resp.StatusCode != 200 {
			return fmt.Errorf("status %d", resp.StatusCode)
		}
		return nil
	})
	return base
}

// exchange is a request to both. ID1, ID2, … in it stand for the silences that
// were made before, in their order, as each side called them.
type exchange struct {
	method, path, body string
	// differs says, where the answers are not the same, why that is meant so;
	// status is then ours.
	differs string
	status  int
}

// beside asks a real Alertmanager and the suite the same, step by step: the
// status and, but for what only the suite says, the answers are the same.
func (d *desk) beside(t *testing.T) {
	base := realAlertmanager(t)
	// A tenant that has nothing yet is as a new Alertmanager.
	secret := d.token(d.slugs(3)[2], "read", "respond", "ingest").Options().Token
	const later = "Alertmanager takes this parameter since 0.28"
	const far = `"startsAt":"2026-01-01T00:00:00Z","endsAt":"2036-01-01T00:00:00Z"`
	silence := func(matchers, times, rest string) string {
		return `{"matchers":[` + matchers + `],` + times + `,"createdBy":"zhang",` + rest + `}`
	}
	equal := func(name, value string) string {
		return fmt.Sprintf(`{"name":%q,"value":%q,"isRegex":false,"isEqual":true}`, name, value)
	}
	alerts := `[` +
		`{"labels":{"alertname":"Beside","host":"b1","severity":"critical"},"annotations":{"summary":"one"},"startsAt":"2026-01-01T00:00:00Z","endsAt":"2036-01-01T00:00:00Z","generatorURL":"http://p/1"},` +
		`{"labels":{"alertname":"Beside","host":"b2","severity":"warning","empty":""},"startsAt":"2026-01-01T00:00:00Z","endsAt":"2036-01-01T00:00:00Z"},` +
		`{"labels":{"alertname":"BesideToo","host":"b1","team":"网络"},"startsAt":"2026-01-01T00:00:00Z","endsAt":"2036-01-01T00:00:00Z"}]`
	get := func(path string) exchange { return exchange{method: http.MethodGet, path: path} }
	find := func(more string, matchers ...string) exchange {
		return get("/api/v2/alerts?" + filter(append([]string{`alertname=~"Beside.*"`}, matchers...)...) + more)
	}
	post := func(path, body string) exchange {
		return exchange{method: http.MethodPost, path: path, body: body}
	}
	list := []exchange{
		get("/-/healthy"), get("/-/ready"),
		post("/api/v2/alerts", alerts),
		post("/api/v2/alerts", alerts), // once more is the same
		find(""),
		find("", `host="b1"`), find("", `host!="b1"`), find("", `host=~"b(1|2)"`, `severity=critical`), find("", `host!~".*2"`), find("", `team=网络`),
		find("", `severity=""`), find("", `severity!=""`), find("", `nothing="x"`),
		find("&receiver=icewatch"), find("&receiver=no.*"), find("&active=false"), find("&silenced=false&inhibited=false&unprocessed=false"),
		get("/api/v2/alerts?filter=%7B%7B"), get("/api/v2/alerts?receiver=%5B"), get("/api/v2/alerts/groups?receiver=%5B"), get("/api/v2/silences?filter=x"),
		post("/api/v2/silences", silence(equal("host", "b1")+","+equal("alertname", "Beside"), far, `"comment":"first"`)),
		find(""), find("&silenced=false"), find("&active=false"),
		get("/api/v2/silences"), get("/api/v2/silence/ID1"),
		get("/api/v2/silences?filter=host%3Db1"), get("/api/v2/silences?filter=host%3D~b1"), {method: http.MethodGet, path: "/api/v2/silences?active=false&expired=false&pending=false", differs: later, status: 200},
		// The same matchers go on under the same id, others do not.
		post("/api/v2/silences", strings.Replace(silence(equal("host", "b1")+","+equal("alertname", "Beside"), `"startsAt":"START1","endsAt":"2035-01-01T00:00:00Z"`, `"comment":"longer"`), "{", `{"id":"ID1",`, 1)),
		get("/api/v2/silence/ID1"),
		post("/api/v2/silences", strings.Replace(silence(`{"name":"alertname","value":"Beside.+","isRegex":true}`, far, `"comment":"other"`), "{", `{"id":"ID1",`, 1)),
		get("/api/v2/silences"), find(""),
		{method: http.MethodDelete, path: "/api/v2/silence/ID3"},
		find(""), get("/api/v2/silences?expired=true"), {method: http.MethodGet, path: "/api/v2/silences?expired=false", differs: later, status: 200}, get("/api/v2/silence/ID3"),
		post("/api/v2/silences", silence(equal("a", "b"), `"startsAt":"2036-01-01T00:00:00Z","endsAt":"2037-01-01T00:00:00Z"`, `"comment":"to come"`)),
		get("/api/v2/silences"), {method: http.MethodGet, path: "/api/v2/silences?active=false&expired=false", differs: later, status: 200},
		// What is wrong.
		post("/api/v2/silences", silence(``, far, `"comment":"x"`)),
		post("/api/v2/silences", silence(equal("a", ""), far, `"comment":"x"`)),
		post("/api/v2/silences", silence(`{"name":"a","value":"(","isRegex":true}`, far, `"comment":"x"`)),
		post("/api/v2/silences", silence(`{"name":"a","value":"b"}`, far, `"comment":"x"`)),
		post("/api/v2/silences", silence(equal("a", "b"), `"startsAt":"2036-01-01T00:00:00Z","endsAt":"2035-01-01T00:00:00Z"`, `"comment":"x"`)),
		post("/api/v2/silences", silence(equal("a", "b"), `"startsAt":"2025-01-01T00:00:00Z","endsAt":"2026-01-01T00:00:00Z"`, `"comment":"x"`)),
		post("/api/v2/silences", silence(equal("a", "b"), `"startsAt":"2026-01-01T00:00:00Z"`, `"comment":"x"`)),
		post("/api/v2/silences", strings.Replace(silence(equal("a", "b"), far, `"comment":"x"`), "{", `{"id":"7e5d9c1e-5f5e-4a8e-9d3d-0f2f5f1f1f1f",`, 1)),
		post("/api/v2/silences", `{"matchers":`), post("/api/v2/alerts", `{`), post("/api/v2/alerts", `[{}]`), post("/api/v2/alerts", `[{"labels":{}}]`),
		post("/api/v2/alerts", `[{"labels":{"a":"b"},"generatorURL":"::"}]`),
		post("/api/v2/alerts", `[{"labels":{"a":"b"},"startsAt":"2026-01-02T00:00:00Z","endsAt":"2026-01-01T00:00:00Z"}]`),
		post("/api/v2/alerts", `[]`),
		get("/api/v2/silence/nonsense"), get("/api/v2/silence/7e5d9c1e-5f5e-4a8e-9d3d-0f2f5f1f1f1f"), get("/api/v2/nothing"),
		{method: http.MethodDelete, path: "/api/v2/silence/7e5d9c1e-5f5e-4a8e-9d3d-0f2f5f1f1f1f", differs: "Alertmanager 0.25 answers 500; later ones answer 404, as its description says", status: 404},
		{method: http.MethodDelete, path: "/api/v2/silence/ID3"},
		{method: http.MethodPut, path: "/api/v2/alerts", body: `[]`},
		// It is over.
		post("/api/v2/alerts", strings.ReplaceAll(alerts, `"endsAt":"2036-01-01T00:00:00Z"`, `"endsAt":"2026-02-01T00:00:00Z"`)),
		find(""),
	}
	ids := map[string][]string{}
	starts := map[string]string{}
	same := 0
	for _, x := range list {
		side := func(name, base, secret string) (int, string) {
			fill := func(s string) string {
				for i, id := range ids[name] {
					s = strings.ReplaceAll(s, fmt.Sprintf("ID%d", i+1), id)
				}
				return strings.ReplaceAll(s, "START1", starts[name])
			}
			status, answer := ask(t, base, secret, x.method, fill(x.path), fill(x.body))
			var made struct{ SilenceID string }
			if json.Unmarshal([]byte(answer), &made) == nil && made.SilenceID != "" {
				ids[name] = append(ids[name], made.SilenceID)
			}
			if len(ids[name]) == 1 && starts[name] == "" {
				_, one := ask(t, base, secret, http.MethodGet, "/api/v2/silence/"+ids[name][0], "")
				var l struct{ StartsAt string }
				if json.Unmarshal([]byte(one), &l) == nil {
					starts[name] = l.StartsAt
				}
			}
			return status, comparable(t, answer, ids[name])
		}
		theirs, said := side("theirs", base, "")
		ours, ourSaid := side("ours", d.url+"/alertmanager", secret)
		switch {
		case x.differs != "":
			if ours != x.status || theirs == ours && said == ourSaid {
				t.Errorf("%s %s: %d, Alertmanager %d: %s", x.method, x.path, ours, theirs, x.differs)
			}
		case ours != theirs || said != ourSaid:
			t.Errorf("%s %s %s:\nthe suite answers %d %s\nAlertmanager      %d %s", x.method, x.path, x.body, ours, ourSaid, theirs, said)
		default:
			same++
		}
	}
	t.Logf("%d answers are the same, of %d", same, len(list))
}

// wording is what only says in other words what is wrong.
var wording = regexp.MustCompile(`(?s)^".*"$`)

// comparable takes out of an answer what only the suite says (the tenant, the
// item and system, the alert and incident), what was made up by each side (ids,
// fingerprints, times of writing), and the words of errors; and puts lists whose
// order is by such values into one of their own.
func comparable(t *testing.T, answer string, ids []string) string {
	t.Helper()
	answer = strings.TrimSpace(answer)
	for i, id := range ids {
		answer = strings.ReplaceAll(answer, id, fmt.Sprintf("ID%d", i+1))
	}
	if answer != "" && wording.MatchString(answer) {
		return "words"
	}
	var v any
	if json.Unmarshal([]byte(answer), &v) != nil {
		return answer
	}
	list, isList := v.([]any)
	if !isList {
		list = []any{v}
	}
	for _, x := range list {
		m, ok := x.(map[string]any)
		if !ok {
			continue
		}
		if _, failed := m["code"]; failed {
			delete(m, "message")
		}
		delete(m, "updatedAt")
		delete(m, "fingerprint")
		if set, ok := m["labels"].(map[string]any); ok {
			for _, name := range []string{"tenant", "ci", "system"} {
				delete(set, name)
			}
			delete(m, "receivers")
			if u, ok := m["generatorURL"].(string); ok && u == "" {
				delete(m, "generatorURL")
			}
			notes := m["annotations"].(map[string]any)
			for _, name := range []string{"alert", "incident", "priority", "owner"} {
				delete(notes, name)
			}
			delete(m["status"].(map[string]any), "mutedBy") // since 0.28
		}
		if by, ok := m["createdBy"].(string); ok && strings.HasSuffix(by, "(zhang)") {
			m["createdBy"] = "zhang"
		}
		if start, ok := m["startsAt"].(string); ok && !strings.Contains(start, "-01-01T00:00:00") {
			m["startsAt"] = "now"
		}
		if end, ok := m["endsAt"].(string); ok && !strings.Contains(end, "-01-01T00:00:00") {
			m["endsAt"] = "now"
		}
	}
	if isList {
		key := func(v any) string {
			text, _ := json.Marshal(v)
			return string(text)
		}
		// Silences are ordered by what they mean; alerts by their fingerprints.
		if len(list) > 0 && strings.Contains(key(list[0]), `"labels"`) {
			slices.SortFunc(list, func(a, b any) int { return strings.Compare(key(a), key(b)) })
		}
	}
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
