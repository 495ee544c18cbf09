package acceptance

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"icewatch/test/peers"
)

// TestLogcli works with what was pushed by Grafana Loki's own command-line tool.
func TestLogcli(t *testing.T) {
	t.Parallel()
	program := peers.LokiProgram(t, "logcli")
	s := newSuite(t, "")
	writer, reader := s.token("", "ingest"), s.token("", "read")
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	command := func(args ...string) *exec.Cmd {
		cmd := exec.CommandContext(ctx, program, append([]string{"--addr=" + s.url, "--bearer-token=" + reader.Options().Token, "--quiet"}, args...)...)
		cmd.Env = append(cleanEnv(), "HOME="+s.dir)
		return cmd
	}
	logcli := func(args ...string) string {
		t.Helper()
		var out, errs bytes.Buffer
		cmd := command(args...)
		cmd.Stdout, cmd.Stderr = &out, &errs
		if err := cmd.Run(); err != nil {
			t.Fatalf("logcli %s: %v: %s", strings.Join(args, " "), err, errs.String())
		}
		return out.String()
	}
	now := time.Now().Add(-time.Minute)
	push := func(labels map[string]string, lines ...string) {
		t.Helper()
		var values [][]any
		for i, l := range lines {
			values = append(values, []any{strconv.FormatInt(now.Add(time.Duration(i)*time.Second).UnixNano(), 10), l, map[string]string{"trace_id": fmt.Sprint("t", i)}})
		}
		b, _ := json.Marshal(map[string]any{"streams": []any{map[string]any{"stream": labels, "values": values}}})
		if status, answer := post(t, writer, "/loki/api/v1/push", map[string]string{"Content-Type": "application/json"}, b); status != http.StatusNoContent {
			t.Fatalf("%d %s", status, answer)
		}
	}
	// What a parser would rather read otherwise comes back as it was sent.
	odd := []string{`{"time":"2020-01-01T00:00:00Z","labels":{"app":"no"},"level":"error"}`, "  two  spaces\tand a tab ", "<14>Nov 23 09:30:01 web-01 sshd[7]: Accepted publickey for root from 203.0.113.7 port 4022 ssh2", "Ünïcödé 中文 \\ \"quoted\""}
	push(map[string]string{"app": "shop", "env": "prod"}, odd...)
	push(map[string]string{"app": "bank", "env": "test"}, "one", "two")
	s.expect(`"icewatch.labels":*`, 6, 20*time.Second)

	since := "--since=1h"
	var lines []string
	for line := range strings.Lines(logcli("query", since, "--forward", "--include-common-labels", "--output=jsonl", `{app="shop"}`)) {
		var x struct {
			Line      string
			Labels    map[string]string
			Timestamp time.Time
		}
		if err := json.Unmarshal([]byte(line), &x); err != nil {
			t.Fatalf("%v in %s", err, line)
		}
		i := len(lines)
		if want := map[string]string{"app": "shop", "env": "prod", "trace_id": fmt.Sprint("t", i)}; fmt.Sprint(x.Labels) != fmt.Sprint(want) || !x.Timestamp.Equal(now.Add(time.Duration(i)*time.Second)) {
			t.Errorf("line %d has labels %v and time %s, want %v", i, x.Labels, x.Timestamp, want)
		}
		lines = append(lines, x.Line)
	}
	if !slices.Equal(lines, odd) {
		t.Errorf("logcli query: %q, want %q", lines, odd)
	}
	expect := func(want []string, args ...string) {
		t.Helper()
		got := strings.Fields(logcli(args...))
		slices.Sort(got)
		if !slices.Equal(got, want) {
			t.Errorf("logcli %s: %q, want %q", strings.Join(args, " "), got, want)
		}
	}
	for _, want := range []string{"app", "env", "tenant"} { // the suite's own doings are events, too
		if got := strings.Fields(logcli("labels", since)); !slices.Contains(got, want) {
			t.Errorf("logcli labels: no %s in %q", want, got)
		}
	}
	expect([]string{"bank", "shop"}, "labels", since, "app")
	if got := logcli("series", since, `{app=~".+"}`); !strings.Contains(got, `{app="bank", env="test"}`) || !strings.Contains(got, `{app="shop", env="prod"}`) || strings.Count(got, "\n") != 2 {
		t.Errorf("logcli series: %s", got)
	}
	if got := logcli("instant-query", `sum by (app) (count_over_time({app=~".+"}[1h]))`); !strings.Contains(got, `"4"`) || !strings.Contains(got, `"2"`) {
		t.Errorf("logcli instant-query: %s", got)
	}
	if got := logcli("query", since, "--step=60s", `sum(count_over_time({app="shop"} |= "spaces" [1h]))`); !strings.Contains(got, `"1"`) {
		t.Errorf("logcli query of a metric: %s", got)
	}
	if got := logcli("stats", since, `{app="shop"}`); !strings.Contains(got, "entries: 4") || !strings.Contains(got, "streams: 1") {
		t.Errorf("logcli stats: %s", got)
	}
	if got := logcli("volume", since, `{app=~".+"}`); !strings.Contains(got, `"shop"`) || !strings.Contains(got, `"bank"`) {
		t.Errorf("logcli volume: %s", got)
	}
	if got := logcli("volume_range", since, "--step=30m", `{app=~".+"}`); !strings.Contains(got, `"shop"`) {
		t.Errorf("logcli volume_range: %s", got)
	}
	if got := logcli("detected-fields", since, `{app="shop"}`); !strings.Contains(got, "trace_id") || !strings.Contains(got, "level") {
		t.Errorf("logcli detected-fields: %s", got)
	}
	wrong := command("query", since, `{app="shop"`)
	if out, err := wrong.CombinedOutput(); err == nil || !strings.Contains(string(out), "parse error at line 1, col 12: syntax error: unexpected $end, expecting } or ,") {
		t.Errorf("logcli with a wrong query: %v %s", err, out)
	}

	// The tail shows what there is, and then what comes.
	tail := command("query", "--tail", since, "--output=raw", `{app="bank"} |~ "one|three"`)
	out, err := tail.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := tail.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = tail.Process.Kill()
		_ = tail.Wait()
	}()
	seen := make(chan string, 10)
	go func() {
		for in := bufio.NewScanner(out); in.Scan(); {
			seen <- in.Text()
		}
		close(seen)
	}()
	next := func(want string) {
		t.Helper()
		select {
		case got := <-seen:
			if got != want {
				t.Errorf("the tail shows %q, want %q", got, want)
			}
		case <-time.After(20 * time.Second):
			t.Fatalf("the tail does not show %q", want)
		}
	}
	next("one")
	now = time.Now()
	push(map[string]string{"app": "bank", "env": "test"}, "three", "four")
	next("three")
}
