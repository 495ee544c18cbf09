package acceptance

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"time"

	"icewatch/soc/client"
	"icewatch/soc/reach"
)

// tryRule holds the trial of a rule against what the viewer may see: it counts
// no event beyond it and shows none.
func (c *city) tryRule(viewer *client.Client, shows func(reach.Facts) bool, wrong func(string, any, any)) {
	c.t.Helper()
	want, users := 0, map[string]bool{}
	for _, r := range c.rows {
		if shows(r.facts) {
			want++
			users[r.user] = true
		}
	}
	body, err := json.Marshal(map[string]any{"since": "1h", "source": "title: All\nid: all\nlogsource: {}\ndetection: {s: {test.n|exists: true}, condition: s}\n"})
	if err != nil {
		c.t.Fatal(err)
	}
	answer, err := viewer.Do(context.Background(), http.MethodPost, "/api/v1/rules/try", nil, http.Header{"Content-Type": {"application/json"}}, bytes.NewReader(body))
	if err != nil {
		c.t.Fatal(err)
	}
	defer answer.Body.Close()
	event := ""
	lines := bufio.NewScanner(answer.Body)
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		if name, ok := strings.CutPrefix(lines.Text(), "event: "); ok {
			event = name
		}
		data, ok := strings.CutPrefix(lines.Text(), "data: ")
		if !ok || event == "progress" {
			continue
		}
		var out struct {
			Matches int
			Detail  string
			Samples []struct{ Fields map[string]string }
		}
		if err := json.Unmarshal([]byte(data), &out); err != nil || event != "result" || out.Matches != want {
			wrong("the trial of a rule ("+event+")", data, want)
			return
		}
		for _, s := range out.Samples {
			if !users[s.Fields["user.name"]] {
				wrong("a sample of the trial of a rule", s.Fields, users)
			}
		}
		return
	}
	wrong("the trial of a rule", lines.Err(), want)
}

// keptBacktest is a backtest of the viewer's and how many events it judged.
type keptBacktest struct {
	id    string
	reads map[int]bool
}

// backtest holds a backtest against what the viewer may see: it counts no event
// beyond it and shows none, and those that he ran while he saw something else are
// not there for him. Neither does the preview of a suppression.
func (c *city) backtest(viewer *client.Client, shows func(reach.Facts) bool, wrong func(string, any, any)) {
	c.t.Helper()
	ctx := context.Background()
	status := func(as *client.Client, method, path string) int {
		answer, err := as.Do(ctx, method, "/api/v1/backtests"+path, nil, nil, nil)
		if err != nil {
			c.t.Fatal(err)
		}
		_ = answer.Body.Close()
		return answer.StatusCode
	}
	numbers, users, tenants := map[int]bool{}, map[string]bool{}, map[string]uint64{}
	for _, r := range c.rows {
		if shows(r.facts) {
			numbers[r.n], users[r.user] = true, true
			tenants[r.facts.Tenant]++
		}
	}
	type backtestRow struct{ ID, State, Error string }
	var mine struct{ Items []backtestRow }
	if err := viewer.Get(ctx, "/api/v1/backtests", nil, &mine); err != nil {
		c.t.Fatal(err)
	}
	listed := map[string]bool{}
	for _, x := range mine.Items {
		listed[x.ID] = true
	}
	for _, k := range c.backtests {
		beyond := false
		for n := range k.reads {
			beyond = beyond || !numbers[n]
		}
		code := status(viewer, http.MethodGet, "/"+k.id)
		if beyond && (code != http.StatusNotFound || listed[k.id] || status(viewer, http.MethodPost, "/"+k.id+"/rerun") != http.StatusNotFound) {
			wrong("a backtest of before", code, http.StatusNotFound)
		}
	}
	if len(numbers) == 0 {
		return // what was judged within nothing is nobody's to see
	}
	var made backtestRow
	const all = "title: All\nid: all\nlogsource: {}\ndetection: {s: {test.n|exists: true}, condition: s}\n"
	if err := viewer.JSON(ctx, http.MethodPost, "/api/v1/backtests", nil, map[string]any{"since": "1h", "source": all}, &made); err != nil {
		c.t.Fatal(err)
	}
	var out struct {
		backtestRow
		Findings struct {
			Events, Read uint64
			List         []struct {
				Tenant string
				Events uint64
			}
			Samples []struct {
				Tenant string
				Fields map[string]string
			}
		}
	}
	for range 600 {
		if err := viewer.Get(ctx, "/api/v1/backtests/"+made.ID, nil, &out); err != nil {
			c.t.Fatal(err)
		}
		if out.State != "queued" && out.State != "running" {
			break
		}
		time.Sleep(50 * time.Millisecond)
	}
	got := map[string]uint64{}
	for _, a := range out.Findings.List {
		got[a.Tenant] += a.Events
	}
	if out.State != "done" || !maps.Equal(got, tenants) {
		wrong("a backtest ("+out.State+" "+out.Error+")", got, tenants)
	}
	for _, s := range out.Findings.Samples {
		if !users[s.Fields["user.name"]] || tenants[s.Tenant] == 0 {
			wrong("a sample of a backtest", s, users)
		}
	}
	if len(numbers) < len(c.rows) && out.Findings.Events != out.Findings.Read {
		wrong("events of a backtest", out.Findings.Events, out.Findings.Read)
	}
	c.backtests = append(c.backtests, keptBacktest{made.ID, numbers})
	// Another's, whoever he is, is not there either.
	for _, try := range []struct{ method, path string }{{http.MethodGet, ""}, {http.MethodPost, "/rerun"}, {http.MethodPost, "/cancel"}, {http.MethodDelete, ""}} {
		if code := status(c.admin, try.method, "/"+made.ID+try.path); code != http.StatusNotFound {
			wrong("another's backtest: "+try.method+try.path, code, http.StatusNotFound)
		}
	}

	// The preview of a suppression shows firings of tenants in reach alone.
	var preview struct {
		Alerts  int
		Unsure  int `json:"unsure_alerts"`
		Samples []struct{ Tenant string }
	}
	body := map[string]any{"name": "all", "reason": "all", "expires": time.Now().Add(time.Hour), "rules": []string{ownID}, "detection": map[string]any{"any": map[string]any{"message|contains": "quetzal"}, "condition": "any"}}
	if err := viewer.JSON(ctx, http.MethodPost, "/api/v1/suppressions/preview", nil, body, &preview); err != nil {
		c.t.Fatal(err)
	}
	for _, s := range preview.Samples {
		if s.Tenant == "" || tenants[s.Tenant] == 0 {
			wrong("a sample of the preview of a suppression", s, tenants)
		}
	}
	// Of firings that the engine joined the last alone is known: the alerts that it
	// surely met and those that it may have met are those of the list.
	var raised struct{ Total int }
	if err := viewer.Get(ctx, "/api/v1/alerts", url.Values{"rule": {ownID}, "limit": {"1"}}, &raised); err != nil {
		c.t.Fatal(err)
	}
	if preview.Alerts+preview.Unsure != raised.Total {
		wrong("the preview of a suppression", []int{preview.Alerts, preview.Unsure}, raised.Total)
	}
}
