package acceptance

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"icewatch/soc/client"
)

// bulk writes documents to a tenant.
func (s *suite) bulk(tenant string, docs ...map[string]any) {
	s.t.Helper()
	var body bytes.Buffer
	for _, d := range docs {
		b, err := json.Marshal(d)
		if err != nil {
			s.t.Fatal(err)
		}
		body.WriteString("{\"create\":{}}\n")
		body.Write(append(b, '\n'))
	}
	if status, answer := post(s.t, s.token(tenant, "ingest"), "/elastic/app/_bulk", map[string]string{"Content-Type": "application/x-ndjson"}, body.Bytes()); status != 200 {
		s.t.Fatalf("bulk: %d %s", status, answer)
	}
}

// live follows a tail as a browser would.
type live struct {
	mu     sync.Mutex
	events []string // test.n of what came
	ids    []string
	others []string // names of other events
	ended  chan struct{}
	cancel context.CancelFunc
}

func (s *suite) live(as *client.Client, query, tenant, after string) *live {
	s.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	s.t.Cleanup(cancel)
	header := http.Header{"Accept": {"text/event-stream"}}
	if after != "" {
		header.Set("Last-Event-ID", after)
	}
	q := url.Values{"query": {query}}
	if tenant != "" {
		q.Set("tenant", tenant)
	}
	resp, err := as.Do(ctx, http.MethodGet, "/api/v1/search/tail", q, header, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	if resp.StatusCode != 200 || resp.Header.Get("Content-Type") != "text/event-stream" {
		b, _ := io.ReadAll(resp.Body)
		s.t.Fatalf("tail: %d %s", resp.StatusCode, b)
	}
	l := &live{ended: make(chan struct{}), cancel: cancel}
	go func() {
		defer close(l.ended)
		defer resp.Body.Close()
		in := bufio.NewScanner(resp.Body)
		in.Buffer(nil, 4<<20)
		id, name := "", ""
		for in.Scan() {
			field, value, _ := strings.Cut(in.Text(), ": ")
			l.mu.Lock()
			switch field {
			case "id":
				id = value
			case "event":
				name = value
			case "data":
				if name != "event" {
					l.others = append(l.others, name+" "+value)
					break
				}
				var row map[string]any
				if err := json.Unmarshal([]byte(value), &row); err != nil {
					s.t.Errorf("tail: %s: %v", value, err)
				}
				l.events = append(l.events, text(row, "test.n"))
				l.ids = append(l.ids, id)
			}
			l.mu.Unlock()
		}
	}()
	return l
}

func (l *live) expect(t *testing.T, want ...string) {
	t.Helper()
	eventually(t, 20*time.Second, fmt.Sprintf("the tail shows %v", want), func() error {
		l.mu.Lock()
		defer l.mu.Unlock()
		if !slices.Equal(l.events, want) {
			return fmt.Errorf("%v; %v", l.events, l.others)
		}
		return nil
	})
}

// TestLiveTail follows searches over HTTP, within a reach, past a broken
// connection and past the end of the right to look.
func TestLiveTail(t *testing.T) {
	t.Parallel()
	s := newSuite(t, "")
	slugs := s.slugs(2)
	a, b := slugs[0], slugs[1]
	reader := s.token(a, "read")
	all := s.live(s.admin, "test.n:*", "", "")
	mine := s.live(reader, "test.n:*", "", "")
	some := s.live(s.admin, `message:登录失败`, b, "")
	old := time.Now().Add(-20 * 24 * time.Hour).UTC().Format(time.RFC3339)
	s.bulk(a, map[string]any{"message": "用户张三登录失败三次", "test.n": "1"}, map[string]any{"message": "long ago", "@timestamp": old, "test.n": "2"})
	all.expect(t, "1", "2")
	s.bulk(b, map[string]any{"message": "用户李四登录失败", "test.n": "3"}, map[string]any{"message": "登录成功", "test.n": "4"})
	all.expect(t, "1", "2", "3", "4")
	mine.expect(t, "1", "2")
	some.expect(t, "3")

	// A client that comes back misses nothing and gets nothing twice.
	last := mine.ids[0]
	mine.cancel()
	s.bulk(a, map[string]any{"message": "meanwhile", "test.n": "5"})
	s.expect("test.n:5", 1, 20*time.Second)
	again := s.live(reader, "test.n:*", "", last)
	again.expect(t, "2", "5")

	for query, status := range map[string]int{"* | stats count()": 400, "message:(": 400, "* | fields message": 400} {
		resp, err := s.admin.Do(context.Background(), http.MethodGet, "/api/v1/search/tail", url.Values{"query": {query}}, nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != status {
			t.Errorf("tail of %s: %d, want %d", query, resp.StatusCode, status)
		}
	}
	if resp, err := reader.Do(context.Background(), http.MethodGet, "/api/v1/search/tail", url.Values{"tenant": {b}}, nil, nil); err != nil || resp.StatusCode != 403 {
		t.Errorf("another tenant's tail: %v %v", resp.StatusCode, err)
	}

	// The tail ends soon after the token is revoked.
	made, err := s.admin.CreateToken(context.Background(), "short", a, []string{"read"}, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	ending := s.live(s.admin.With(made.Secret, ""), "*", "", "")
	if err := s.admin.RevokeToken(context.Background(), made.ID); err != nil {
		t.Fatal(err)
	}
	select {
	case <-ending.ended:
		if n := len(ending.others); n == 0 || !strings.Contains(ending.others[n-1], "signed-out") {
			t.Errorf("the tail ended with %v", ending.others)
		}
	case <-time.After(25 * time.Second):
		t.Error("the tail goes on 25 s after its token was revoked")
	}
}

// slugs are some tenants, without the city's own.
func (s *suite) slugs(n int) (list []string) {
	s.t.Helper()
	var page struct {
		Items []struct{ Slug, Domain string }
	}
	if err := s.admin.Get(context.Background(), "/api/v1/tenants", url.Values{"limit": {"1000"}}, &page); err != nil {
		s.t.Fatal(err)
	}
	for _, x := range page.Items {
		if x.Domain != "city" && len(list) < n {
			list = append(list, x.Slug)
		}
	}
	return list
}

// TestSearchAids drives click mode, suggestions, a marked text, facets and
// context on events of a real device log.
func TestSearchAids(t *testing.T) {
	t.Parallel()
	s := newSuite(t, "")
	tenant := s.slugs(1)[0]
	var docs []map[string]any
	base := time.Now().Add(-5 * time.Minute).Truncate(time.Second)
	for i := range 40 {
		docs = append(docs, map[string]any{"message": fmt.Sprintf("用户user%d登录失败", i%4), "@timestamp": base.Add(time.Duration(i/4) * time.Second).UTC().Format(time.RFC3339),
			"host.name": "vpn-1", "user.name": fmt.Sprint("user", i%4), "source.ip": "2001:db8::" + fmt.Sprint(i%8), "test.n": fmt.Sprint(i), "event.duration": i})
	}
	s.bulk(tenant, docs...)
	rows := s.expect("test.n:*", 40, 30*time.Second)
	call := func(method, path string, query url.Values, in, out any) {
		t.Helper()
		if err := s.admin.JSON(context.Background(), method, path, query, in, out); err != nil {
			t.Fatalf("%s %s: %v", method, path, err)
		}
	}
	// Click mode to text, and back.
	tree := map[string]any{"join": "all", "clauses": []any{
		map[string]any{"field": "message", "operator": "contains", "values": []string{"登录失败"}},
		map[string]any{"field": "source.ip", "operator": "cidr", "values": []string{"2001:db8::4/126"}}}}
	var written struct{ Query string }
	call(http.MethodPost, "/api/v1/search/render", nil, map[string]any{"clause": tree, "pipes": "sort by (_time)"}, &written)
	if n := len(s.find(written.Query)); n != 20 {
		t.Errorf("%s finds %d, want 20", written.Query, n)
	}
	var read struct {
		Clause json.RawMessage
		Pipes  string
		Whole  bool
		Error  *struct{ Position int }
	}
	call(http.MethodPost, "/api/v1/search/parse", nil, map[string]any{"query": written.Query}, &read)
	var back any
	_ = json.Unmarshal(read.Clause, &back)
	one, _ := json.Marshal(tree)
	two, _ := json.Marshal(back)
	if !read.Whole || read.Pipes != "sort by (_time)" || !bytes.Equal(one, two) {
		t.Errorf("%s\ncame back as\n%s | %s", one, two, read.Pipes)
	}
	call(http.MethodPost, "/api/v1/search/parse", nil, map[string]any{"query": "用户:( and"}, &read)
	if read.Error == nil || read.Error.Position < 3 {
		t.Errorf("a wrong query: %+v", read.Error)
	}
	// What may follow.
	var hints struct {
		From, To int
		Items    []struct{ Kind, Insert, Label string }
	}
	call(http.MethodGet, "/api/v1/search/suggest", url.Values{"text": {"message:失败 and user.na"}, "start": {"1h"}}, nil, &hints)
	if hints.From != 15 || !slices.ContainsFunc(hints.Items, func(i struct{ Kind, Insert, Label string }) bool {
		return i.Kind == "field" && i.Insert == "user.name:"
	}) {
		t.Errorf("fields: %+v", hints)
	}
	call(http.MethodGet, "/api/v1/search/suggest", url.Values{"text": {`user.name:="user2`}, "start": {"1h"}}, nil, &hints)
	if len(hints.Items) != 1 || hints.Items[0].Insert != `"user2"` {
		t.Errorf("values: %+v", hints)
	}
	// A marked text.
	var marked struct {
		Kind    string
		Fields  []struct{ Field string }
		Options []struct {
			ID, Query string
			Hits      *int
		}
	}
	call(http.MethodPost, "/api/v1/search/selection", url.Values{"start": {"1h"}}, map[string]any{"text": text(rows[0], "source.ip"), "event_id": text(rows[0], "event.id")}, &marked)
	if marked.Kind != "ip" || len(marked.Fields) == 0 || marked.Fields[0].Field != "source.ip" {
		t.Errorf("%+v", marked)
	}
	for _, o := range marked.Options {
		if o.ID == "equals" && (o.Hits == nil || *o.Hits != 5) {
			t.Errorf("%+v", o)
		}
	}
	// Facets and statistics.
	var facets struct {
		Total  int
		Facets []struct {
			Field  string
			Values []struct{ Hits int }
		}
	}
	call(http.MethodGet, "/api/v1/search/facets", url.Values{"query": {"test.n:*"}, "start": {"1h"}}, nil, &facets)
	if facets.Total != 40 || !slices.ContainsFunc(facets.Facets, func(f struct {
		Field  string
		Values []struct{ Hits int }
	}) bool {
		return f.Field == "user.name" && len(f.Values) == 4 && f.Values[0].Hits == 10
	}) {
		t.Errorf("%+v", facets)
	}
	var stats struct {
		Numeric  bool
		Avg, P95 float64
		Distinct int
	}
	call(http.MethodGet, "/api/v1/search/stats", url.Values{"query": {"test.n:*"}, "start": {"1h"}, "field": {"event.duration"}}, nil, &stats)
	if !stats.Numeric || stats.Avg != 19.5 || stats.Distinct != 40 || stats.P95 < 37 {
		t.Errorf("%+v", stats)
	}
	// What happened around one of four events of the same second.
	var around struct {
		Anchor        map[string]any
		Before, After []map[string]any
		By            string
	}
	at := slices.IndexFunc(rows, func(r map[string]any) bool { return text(r, "test.n") == "17" })
	call(http.MethodGet, "/api/v1/events/"+text(rows[at], "event.id")+"/context", url.Values{"before": {"3"}, "after": {"4"}}, nil, &around)
	var order []string
	for _, r := range slices.Concat(around.Before, []map[string]any{around.Anchor}, around.After) {
		order = append(order, text(r, "test.n"))
	}
	if want := []string{"14", "15", "16", "17", "18", "19", "20", "21"}; around.By != "host" || !slices.Equal(order, want) {
		t.Errorf("%v by %s, want %v", order, around.By, want)
	}
	var operators struct{ Total int }
	call(http.MethodGet, "/api/v1/search/operators", nil, nil, &operators)
	if operators.Total < 20 {
		t.Errorf("%d operators", operators.Total)
	}
}

// TestMasking hides phone numbers and a field from a viewer, and lets him try
// every road to them.
func TestMasking(t *testing.T) {
	t.Parallel()
	s := newSuite(t, "")
	tenant := s.slugs(1)[0]
	s.bulk(tenant, map[string]any{"message": "call 13812345678 by wangfang", "user.phone": "13812345678", "user.name": "wangfang", "test.n": "1"},
		map[string]any{"message": "call 13987654321 by lili", "user.phone": "13987654321", "user.name": "lili", "url.query": "t=13987654321", "test.n": "2"})
	rows := s.expect("test.n:*", 2, 30*time.Second)
	s.person("masked", "viewer")
	session, err := s.admin.Login(context.Background(), "masked", "Own-Word-2026-masked")
	if err != nil {
		t.Fatal(err)
	}
	viewer := s.admin.With(session.Token, "")
	send := func(method, path string, in any) map[string]any {
		t.Helper()
		var out map[string]any
		if err := s.admin.JSON(context.Background(), method, path, nil, in, &out); err != nil {
			t.Fatalf("%s %s: %v", method, path, err)
		}
		return out
	}
	send(http.MethodPost, "/api/v1/masking/rules/phone/enable", nil)
	made := send(http.MethodPost, "/api/v1/masking/rules", map[string]any{"name": map[string]string{"zh": "姓名", "en": "Names"}, "fields": []string{"user.name"}, "method": "hash",
		"enabled": true, "strict": true, "exempt_roles": []string{"admin"}})
	find := func(c *client.Client, query string) []map[string]any {
		t.Helper()
		list, err := c.Search(context.Background(), always(query))
		if err != nil {
			t.Fatalf("%s: %v", query, err)
		}
		return list
	}
	for _, secret := range []string{"13812345678", "3987654321", "wangfang", "lili"} {
		for _, path := range []string{"/api/v1/search?query=test.n:*", "/api/v1/events/" + text(rows[0], "event.id"), "/api/v1/events/" + text(rows[1], "event.id"),
			"/api/v1/events/" + text(rows[0], "event.id") + "/original", "/api/v1/events/" + text(rows[0], "event.id") + "/context?by=none",
			"/api/v1/search/values?field=user.name", "/api/v1/search/values?field=user.phone", "/api/v1/search/values?field=url.query", "/api/v1/search/facets?fields=user.name,user.phone,message",
			"/api/v1/search/stats?field=user.phone", "/api/v1/search/stats?field=user.name", "/api/v1/search/suggest?text=user.phone:1", "/api/v1/search/suggest?text=user.name:",
			"/api/v1/search?query=test.n:*+|+stats+by+(user.phone,user.name)+count()+n", "/api/v1/search?query=test.n:*+|+format+%22%3Curl.query%3E%22+as+x+|+fields+x"} {
			path, raw, _ := strings.Cut(path, "?")
			q, err := url.ParseQuery(raw)
			if err != nil {
				t.Fatal(err)
			}
			resp, err := viewer.Do(context.Background(), http.MethodGet, path, q, nil, nil)
			if err != nil {
				t.Fatal(err)
			}
			body, err := io.ReadAll(resp.Body)
			resp.Body.Close()
			if err != nil || resp.StatusCode != 200 || bytes.Contains(body, []byte(secret)) {
				t.Errorf("%s %v: %d %s (%v)", path, q, resp.StatusCode, body, err)
			}
		}
	}
	for query, want := range map[string]int{`user.name:=wangfang`: 0, `!user.name:=wangfang test.n:*`: 2, `user.phone:~"^138"`: 0, `test.n:* !user.phone:~"^138"`: 2, `13812345678`: 0, `url.query:~"9876"`: 0,
		`message:wangfang`: 0, `test.n:* | filter user.phone:~"138"`: 0, `test.n:=1`: 1} {
		if got := len(find(viewer, query)); got != want {
			t.Errorf("%s finds %d for whom it is masked, want %d", query, got, want)
		}
	}
	if row := find(viewer, "test.n:=1")[0]; text(row, "user.phone") != "138***5678" || !strings.HasPrefix(text(row, "user.name"), "#") || !strings.Contains(text(row, "message"), "call 138***5678 by #") {
		t.Errorf("%v", row)
	}
	if got := find(s.admin, `user.name:=wangfang user.phone:=13812345678`); len(got) != 1 || text(got[0], "user.phone") != "13812345678" {
		t.Errorf("an exempt role sees %v", got)
	}
	tail := s.live(viewer, "test.n:*", "", "")
	s.bulk(tenant, map[string]any{"message": "call 13512345678", "test.n": "13612345678"})
	tail.expect(t, "136***5678")
	if err := viewer.JSON(context.Background(), http.MethodPost, "/api/v1/masking/rules/phone/disable", nil, nil, nil); !isStatus(err, 403) {
		t.Errorf("a viewer disables a rule: %v", err)
	}
	var mine struct{ Total int }
	if err := viewer.Get(context.Background(), "/api/v1/masking/mine", nil, &mine); err != nil || mine.Total != 2 {
		t.Errorf("what is masked for the viewer: %+v %v", mine, err)
	}
	send(http.MethodPost, "/api/v1/masking/rules/"+fmt.Sprint(made["id"])+"/disable", nil)
	if got := find(viewer, `user.name:=wangfang`); len(got) != 1 {
		t.Errorf("disabled, the rule still hides: %v", got)
	}
	var audit struct {
		Items []struct{ Action, Object string }
	}
	if err := s.admin.Get(context.Background(), "/api/v1/audit", url.Values{"action": {"enable-masking-rule"}}, &audit); err != nil || len(audit.Items) != 1 || audit.Items[0].Object != "masking-rule:phone" {
		t.Errorf("the audit log has %+v (%v)", audit, err)
	}
}

func isStatus(err error, status int) bool {
	var e *client.Problem
	return errors.As(err, &e) && e.Status == status
}
