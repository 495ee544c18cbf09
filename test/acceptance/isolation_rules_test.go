package acceptance

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"strings"

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
