package acceptance

import (
	"bytes"
	"encoding/binary"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"

	"icewatch/soc/client"
)

// clockZone writes a time zone in which it is midnight within a while, and
// names it as TZ takes it.
func clockZone(t *testing.T, dir string, midnight time.Time) string {
	t.Helper()
	into := int(midnight.UTC().Sub(midnight.UTC().Truncate(24 * time.Hour)).Seconds())
	offset := -into
	if offset < -12*3600 {
		offset += 24 * 3600
	}
	// RFC 9636, version 1: a header, one type of local time, its name.
	data := append([]byte("TZif"), make([]byte, 16)...)
	for _, n := range []uint32{0, 0, 0, 0, 1, 4} {
		data = binary.BigEndian.AppendUint32(data, n)
	}
	data = binary.BigEndian.AppendUint32(data, uint32(int32(offset)))
	data = append(data, 0, 0, 'T', 'S', 'T', 0)
	name := filepath.Join(dir, "zone")
	if err := os.WriteFile(name, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

// bulk posts n documents and returns the answer.
func bulk(t *testing.T, c *client.Client, marker string, n int) (status int, retry int, body string) {
	t.Helper()
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "{\"create\":{}}\n{\"message\":\"%s %d\"}\n", marker, i)
	}
	return postAs(t, c, "/elastic/logs/_bulk", "application/x-ndjson", b.String())
}

func postAs(t *testing.T, c *client.Client, path, kind, text string) (status int, retry int, body string) {
	t.Helper()
	req, err := http.NewRequest(http.MethodPost, c.Options().URL+path, strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", kind)
	req.Header.Set("Authorization", "Bearer "+c.Options().Token)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	retry, _ = strconv.Atoi(resp.Header.Get("Retry-After"))
	return resp.StatusCode, retry, string(data)
}

// ownCondition is one thing wrong with the suite, as the API shows it.
type ownCondition struct {
	Kind    string `json:"kind"`
	Key     string `json:"key"`
	AlertID string `json:"alert_id"`
	Detail  struct {
		ZH string `json:"zh"`
		EN string `json:"en"`
	} `json:"detail"`
}

// wrong waits until a condition whose key holds the word stands, or until it
// does not, and returns it as it is or was.
func (s *suite) wrong(key string, stands bool, within time.Duration) (found ownCondition) {
	s.t.Helper()
	eventually(s.t, within, fmt.Sprintf("the condition %s stands: %v", key, stands), func() error {
		for _, state := range []string{"active", "cleared"} {
			var page struct{ Items []ownCondition }
			s.call(s.admin.Options().Token, "GET", "/api/v1/health/conditions?limit=1000&state="+state, "", 200, &page)
			for _, c := range page.Items {
				if strings.Contains(c.Key, key) && (state == "active") == stands && c.AlertID != "" {
					found = c
					return nil
				}
			}
		}
		return fmt.Errorf("it is not among them")
	})
	return found
}

// alertOf returns status and resolution of an alert, and its rule.
func (s *suite) alertOf(id string) (status, resolution, rule string) {
	s.t.Helper()
	var a struct {
		Status, Resolution, Tenant string
		Rule                       struct{ ID string }
	}
	s.call(s.admin.Options().Token, "GET", "/api/v1/alerts/"+id, "", 200, &a)
	if a.Tenant != "city" {
		s.t.Errorf("the alert %s about the suite is %q's", id, a.Tenant)
	}
	return a.Status, a.Resolution, a.Rule.ID
}

// TestQuota holds a tenant to its daily quota through a crash until midnight:
// what was acknowledged is stored, what was refused is not, and is counted.
func TestQuota(t *testing.T) {
	t.Parallel()
	s := prepare(t, "")
	midnight := time.Now().Add(75 * time.Second).Truncate(time.Second)
	s.env = []string{"TZ=" + clockZone(t, s.dir, midnight)}
	s.start()
	s.signIn()
	const strict, lax = "case-sub-library", "acceptance-centre"
	put := func(slug, quota string, want int) []byte {
		t.Helper()
		return s.call(s.admin.Options().Token, "PUT", "/api/v1/tenants/"+slug+"/quota", quota, want, nil)
	}
	put(strict, `{"events_per_day":10,"at_limit":"refuse"}`, 200)
	put(lax, `{"bytes_per_day":50}`, 200)
	put("unassigned", `{"events_per_day":10,"at_limit":"refuse"}`, 422)
	put("nobody", `{"events_per_day":10}`, 404)
	put(strict, `{"events_per_day":10,"at_limit":"drop"}`, 422)

	tight, loose := s.token(strict, "ingest"), s.token(lax, "ingest")
	take := func(c *client.Client, marker string, n int) {
		t.Helper()
		if status, _, body := bulk(t, c, marker, n); status != 200 || strings.Contains(body, `"errors":true`) {
			t.Fatalf("%s: %d %s", marker, status, body)
		}
	}
	refused := func() {
		t.Helper()
		left := int(time.Until(midnight).Seconds())
		status, retry, body := bulk(t, tight, "refused", 2)
		if status != 429 || retry < 1 || retry > left+2 || !strings.Contains(body, "es_rejected_execution_exception") || !strings.Contains(body, "10 events a day") {
			t.Fatalf("over the quota, %d s before midnight: %d, retry after %d s, %s", left, status, retry, body)
		}
	}
	take(tight, "first", 6)
	take(tight, "second", 6) // begun below the limit
	refused()
	push := fmt.Sprintf(`{"streams":[{"stream":{"app":"x"},"values":[["%d","refused"]]}]}`, time.Now().UnixNano())
	if status, retry, body := postAs(t, tight, "/loki/api/v1/push", "application/json", push); status != 429 || retry < 1 || !strings.Contains(body, "daily quota of the tenant "+strict) {
		t.Errorf("a push over the quota: %d, retry after %d s, %s", status, retry, body)
	}
	take(loose, "loose", 6)
	take(loose, "loose", 6)
	c := s.wrong("quota/"+strict, true, 20*time.Second)
	if status, _, rule := s.alertOf(c.AlertID); status != "open" || rule != "icewatch-self-quota-reached" || !strings.Contains(c.Detail.ZH, "零点前不再接收") {
		t.Errorf("the alert of the quota is %s by %s: %+v", status, rule, c)
	}
	s.wrong("quota/"+lax, true, 20*time.Second)

	// A power cut does not give the day back.
	s.expect(`"first" or "second" or "loose"`, 24, 20*time.Second)
	time.Sleep(6 * time.Second) // the engine's own place is saved every five
	s.kill()
	s.start()
	if time.Until(midnight) < 3*time.Second {
		t.Fatal("the machine is too slow for this test: midnight is here")
	}
	refused()

	time.Sleep(time.Until(midnight) + time.Second)
	take(tight, "tomorrow", 4)
	s.wrong("quota/"+strict, false, 20*time.Second)
	if status, resolution, _ := s.alertOf(c.AlertID); status != "closed" || resolution != "recovered" {
		t.Errorf("after midnight the alert is %s as %q", status, resolution)
	}
	s.expect(`"first" or "second" or "tomorrow"`, 16, 20*time.Second)
	if rows := s.find(`"refused"`); len(rows) != 0 {
		t.Errorf("%d events are stored that were refused", len(rows))
	}
	eventually(t, 20*time.Second, "the usage of both days is known", func() error {
		text := s.call(s.admin.Options().Token, "GET", "/api/v1/tenants/"+strict+"/usage?format=csv", "", 200, nil)
		rows, err := csv.NewReader(strings.NewReader(string(text))).ReadAll()
		if err != nil || len(rows) != 3 || rows[0][0] != "day" {
			return fmt.Errorf("%d rows, %v: %s", len(rows), err, text)
		}
		if rows[1][1] != "12" || rows[1][4] != "5" || rows[2][1] != "4" || rows[2][4] != "0" {
			return fmt.Errorf("%q, want 12 events with 5 refused, then 4", rows)
		}
		return nil
	})
	var page struct {
		Items []struct {
			Tenant  string
			Events  int
			State   string
			Percent *float64
		}
	}
	s.call(s.admin.Options().Token, "GET", "/api/v1/usage?tenant="+strict+","+lax, "", 200, &page)
	if len(page.Items) != 2 || page.Items[0].Events+page.Items[1].Events != 28 || page.Items[0].Percent == nil {
		t.Errorf("the usage of both is %+v", page.Items)
	}
	s.call(s.admin.Options().Token, "DELETE", "/api/v1/tenants/"+strict+"/quota", "", 204, nil)
	take(tight, "free", 20)
}

// TestRemoveTenant removes a tenant with data and tokens, looks for it on every
// path, and brings it back.
func TestRemoveTenant(t *testing.T) {
	t.Parallel()
	s := newSuite(t, "")
	const slug = "case-sub-library"
	admin := s.admin.Options().Token
	writer, reader := s.token(slug, "ingest"), s.token(slug, "read")
	if status, _, body := bulk(t, writer, "needle", 5); status != 200 {
		t.Fatalf("%d %s", status, body)
	}
	s.expect(`"needle"`, 5, 20*time.Second)
	s.call(admin, "POST", "/api/v1/cmdb/import?format=csv", "class,id,name,addresses,tenant\nhost,gone-1,gone-1,10.77.0.1,"+slug+"\n", 200, nil)
	account := s.tenantAccount(slug)

	s.call(admin, "DELETE", "/api/v1/tenants/"+slug, `{}`, 422, nil)
	s.call(admin, "DELETE", "/api/v1/tenants/city", `{"reason":"no"}`, 409, nil)
	s.call(reader.Options().Token, "DELETE", "/api/v1/tenants/"+slug, `{"reason":"no"}`, 403, nil)
	s.call(admin, "DELETE", "/api/v1/tenants/"+slug, `{"reason":"the bureau was dissolved"}`, 200, nil)

	for _, path := range []string{
		"/api/v1/search?query=needle&start=1970-01-01T00:00:00Z", "/api/v1/search/values?field=icewatch.tenant&query=*&start=1970-01-01T00:00:00Z",
		"/api/v1/tenants", "/api/v1/cmdb/items?q=gone-1", "/api/v1/usage", "/api/v1/intake/sources?limit=1000",
	} {
		for who, token := range map[string]string{"the administrator": admin, "its own token": reader.Options().Token} {
			if text := s.call(token, "GET", path, "", 200, nil); strings.Contains(string(text), "needle 1") || strings.Contains(string(text), slug) {
				t.Errorf("%s still sees it at %s: %.300s", who, path, text)
			}
		}
	}
	s.call(admin, "GET", "/api/v1/cmdb/items/gone-1", "", 404, nil)
	s.call(admin, "GET", "/api/v1/tenants/"+slug+"/usage", "", 404, nil)
	s.call(admin, "DELETE", "/api/v1/tenants/"+slug, `{"reason":"again"}`, 404, nil)
	if status, _, body := bulk(t, writer, "late", 3); status != 403 || !strings.Contains(body, "removed") {
		t.Errorf("its token writes on: %d %s", status, body)
	}
	if rows := s.find(`"late"`); len(rows) != 0 {
		t.Errorf("%d events of the token are stored", len(rows))
	}
	// It stays removed after a restart, though its catalogue entry is there.
	s.stop()
	s.start()
	if rows := s.find(`"needle"`); len(rows) != 0 {
		t.Errorf("after a restart %d events are there again", len(rows))
	}
	var gone struct {
		Items []struct {
			Slug, Reason string
			Restorable   bool
		}
	}
	s.call(admin, "GET", "/api/v1/tenants/removed", "", 200, &gone)
	if len(gone.Items) != 1 || gone.Items[0].Slug != slug || !gone.Items[0].Restorable || gone.Items[0].Reason != "the bureau was dissolved" {
		t.Errorf("removed are %+v", gone.Items)
	}
	s.call(admin, "PUT", "/api/v1/settings/tenants", `{"restore_days":0}`, 200, nil)
	s.call(admin, "POST", "/api/v1/tenants/"+slug+"/restore", "", 410, nil)
	s.call(admin, "PUT", "/api/v1/settings/tenants", `{"restore_days":30}`, 200, nil)
	s.call(admin, "POST", "/api/v1/tenants/"+slug+"/restore", "", 200, nil)
	s.expect(`"needle"`, 5, 20*time.Second)
	if now := s.tenantAccount(slug); now != account {
		t.Errorf("its account was %v and is %v", account, now)
	}
	if status, _, body := bulk(t, writer, "comeback", 2); status != 200 {
		t.Errorf("its token: %d %s", status, body)
	}
	rows := s.expect(`"comeback"`, 2, 20*time.Second)
	if rows[0]["icewatch.tenant"] != slug {
		t.Errorf("what it writes now is %v's", rows[0]["icewatch.tenant"])
	}
}

func (s *suite) tenantAccount(slug string) float64 {
	s.t.Helper()
	var page struct {
		Items []struct {
			Slug    string
			Account float64 `json:"account_id"`
		}
	}
	s.call(s.admin.Options().Token, "GET", "/api/v1/tenants", "", 200, &page)
	for _, x := range page.Items {
		if x.Slug == slug {
			return x.Account
		}
	}
	s.t.Fatalf("there is no tenant %s", slug)
	return 0
}

// TestWatch looks at what the suite tells of itself: storage, intake, sources,
// slow searches, and an alarm from its beginning to its end.
func TestWatch(t *testing.T) {
	t.Parallel()
	s := newSuite(t, "")
	admin := s.admin.Options().Token
	const slug = "case-sub-library"
	if status, _, body := bulk(t, s.token(slug, "ingest"), "watched", 50); status != 200 {
		t.Fatalf("%d %s", status, body)
	}
	s.expect(`"watched"`, 50, 20*time.Second)

	// An engine that is killed again and again is alarmed about, on a path that
	// does not need it; the alarm ends with what it was about.
	s.call(admin, "PUT", "/api/v1/settings/watch", `{"restarts_per_hour":2}`, 200, nil)
	for range 2 {
		pid := s.enginePID()
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		eventually(t, 20*time.Second, "another engine runs", func() error {
			if now := s.enginePID(); now == 0 || now == pid {
				return fmt.Errorf("the process is %d", now)
			}
			return nil
		})
		time.Sleep(time.Second)
	}
	c := s.wrong("engine-restarts", true, 30*time.Second)
	if status, _, rule := s.alertOf(c.AlertID); status != "open" || rule != "icewatch-self-engine-restarts" {
		t.Errorf("the alert is %s by %s", status, rule)
	}
	s.call(admin, "PUT", "/api/v1/settings/watch", `{"restarts_per_hour":0,"slow_search_ms":1}`, 200, nil)
	s.wrong("engine-restarts", false, 20*time.Second)
	if status, resolution, _ := s.alertOf(c.AlertID); status != "closed" || resolution != "recovered" {
		t.Errorf("then the alert is %s as %q", status, resolution)
	}
	s.ready(30 * time.Second)

	// The legal minimum holds on every way to a shorter retention.
	for body, want := range map[string]string{`{"class_days":{"standard":90}}`: "article 21", `{"logs_days":100}`: "article 21", `{"class_days":{"weekly":7}}`: "no retention class"} {
		if text := s.call(admin, "PUT", "/api/v1/settings/storage", body, 422, nil); !strings.Contains(string(text), want) {
			t.Errorf("%s: %s", body, text)
		}
	}
	if text := s.call(admin, "PUT", "/api/v1/tenants/city/retention", `{"class":"short"}`, 422, nil); !strings.Contains(string(text), "180 days") {
		t.Errorf("the city's events in a short class: %s", text)
	}
	var preview struct {
		Allowed bool
		Effects []any
		To      struct{ Days int }
	}
	s.call(admin, "POST", "/api/v1/tenants/"+slug+"/retention/preview", `{"class":"short"}`, 200, &preview)
	if !preview.Allowed || preview.To.Days != 30 || len(preview.Effects) != 3 {
		t.Errorf("the preview is %+v", preview)
	}
	s.call(admin, "PUT", "/api/v1/tenants/"+slug+"/retention", `{"class":"short"}`, 200, nil)
	if status, _, body := bulk(t, s.token(slug, "ingest"), "shortly", 7); status != 200 {
		t.Fatalf("%d %s", status, body)
	}
	s.expect(`"shortly"`, 7, 20*time.Second)

	var st struct {
		Disks []struct {
			Mount string
			Total int64 `json:"total_bytes"`
			Free  int64 `json:"free_bytes"`
			Holds []string
		}
		DaysLeft *float64 `json:"days_left"`
		Minimum  int      `json:"legal_minimum_days"`
		LakeUp   bool     `json:"lake_up"`
		Classes  []struct {
			Name string
			Days int
			Rows int
		}
		Tenants []struct {
			Slug, Class string
			RowsToday   int `json:"rows_today"`
		}
		Parts map[string]int64
	}
	eventually(t, 20*time.Second, "the storage knows the rows by class and tenant", func() error {
		s.call(admin, "GET", "/api/v1/storage", "", 200, &st)
		rows := map[string]int{}
		for _, c := range st.Classes {
			rows[c.Name] = c.Rows
		}
		if rows["short"] != 7 || rows["standard"] < 50 {
			return fmt.Errorf("rows by class: %v", rows)
		}
		for _, x := range st.Tenants {
			if x.Slug == slug && x.RowsToday == 57 && x.Class == "short" {
				return nil
			}
		}
		return fmt.Errorf("tenants: %+v", st.Tenants)
	})
	if len(st.Disks) == 0 || st.Disks[0].Total <= 0 || st.Disks[0].Free <= 0 || st.Minimum != 180 || !st.LakeUp || st.Parts["state"] == 0 {
		t.Errorf("the storage is %+v", st)
	}
	today := time.Now().UTC().Format(time.DateOnly)
	eventually(t, 20*time.Second, "the partition of today is listed and protected", func() error {
		var days struct {
			Items []struct {
				Class, Day string
				Protected  bool
			}
		}
		s.call(admin, "GET", "/api/v1/storage/partitions?class=short", "", 200, &days)
		if len(days.Items) != 1 || days.Items[0].Day != today || !days.Items[0].Protected {
			return fmt.Errorf("%+v", days.Items)
		}
		return nil
	})
	s.call(admin, "POST", "/api/v1/storage/clear", fmt.Sprintf(`{"partitions":[{"class":"short","day":%q}]}`, today), 409, nil)
	s.call(admin, "POST", "/api/v1/storage/clear", `{"partitions":[{"class":"short","day":"2001-01-01"}]}`, 404, nil)

	var way struct {
		Events int `json:"events_total"`
		Engine struct {
			Up       bool
			Restarts int
		}
		Drops []struct {
			Reason string
			Total  int
		}
		History []any
	}
	s.call(admin, "GET", "/api/v1/intake", "", 200, &way)
	if way.Events < 57 || !way.Engine.Up || way.Engine.Restarts < 2 || len(way.Drops) < 4 || len(way.History) == 0 {
		t.Errorf("the intake is %+v", way)
	}
	var senders struct {
		Items []struct {
			Tenant, Collector, Peer, ID string
			Events                      int `json:"events_total"`
		}
	}
	s.call(admin, "GET", "/api/v1/intake/sources?tenant="+slug, "", 200, &senders)
	if len(senders.Items) != 1 || senders.Items[0].Events != 57 || senders.Items[0].Peer != "127.0.0.1" || senders.Items[0].Collector != "elastic-bulk" {
		t.Errorf("the sources are %+v", senders.Items)
	}
	var slow struct {
		Items []struct {
			User, Query, Outcome string
			Rows                 int
		}
	}
	eventually(t, 20*time.Second, "the slow search is listed with who asked", func() error {
		s.find(`"watched" and not nothing`)
		s.call(admin, "GET", "/api/v1/search/slow", "", 200, &slow)
		for _, x := range slow.Items {
			if x.User == "admin" && x.Query == `"watched" and not nothing` && x.Rows == 50 && x.Outcome == "ok" {
				return nil
			}
		}
		return fmt.Errorf("%+v", slow.Items)
	})

	// The metrics pass Prometheus' own linter, and tell of all of it.
	text := s.call(admin, "GET", "/metrics", "", 200, nil)
	problems, err := promlint.New(bytes.NewReader(text)).Lint()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("/metrics: %s: %s", p.Metric, p.Text)
	}
	for _, want := range []string{`icewatch_disk_free_bytes{`, `icewatch_intake_dropped_events_total{reason="quota"} 0`, `icewatch_lake_class_rows{class="short"} 7`,
		`icewatch_tenant_day_events{tenant="case-sub-library"} 57`, `icewatch_source_events_total{tenant="case-sub-library",collector="elastic-bulk"`, `icewatch_storage_part_bytes{part="state"}`, "icewatch_slow_searches_total"} {
		if !strings.Contains(string(text), want) {
			t.Errorf("/metrics does not tell of %s", want)
		}
	}

	// A viewer of one tenant sees none of what is the whole suite's.
	viewer := s.token(slug, "read").Options().Token
	for _, path := range []string{"/storage", "/storage/partitions", "/intake", "/health/conditions"} {
		s.call(viewer, "GET", "/api/v1"+path, "", 403, nil)
	}
	s.call(viewer, "GET", "/api/v1/intake/sources", "", 200, &senders)
	if len(senders.Items) != 1 || senders.Items[0].Tenant != slug {
		t.Errorf("the tenant's own sources are %+v", senders.Items)
	}
	s.call(viewer, "GET", "/api/v1/tenants/acceptance-centre/usage", "", 404, nil)

	// What each source sends is seen by dataset, within the reach.
	var covered struct {
		Items []struct{ ID, Tenant, Dataset, State string }
	}
	eventually(t, 40*time.Second, "the tenant's sources are covered", func() error {
		s.call(admin, "GET", "/api/v1/coverage/sources?tenant="+slug, "", 200, &covered)
		if len(covered.Items) == 0 {
			return errors.New("none is")
		}
		return nil
	})
	if x := covered.Items[0]; x.State != "new" || x.Dataset == "" {
		t.Errorf("the source is %+v", x)
	}
	gone := covered.Items[0].ID
	s.call(viewer, "GET", "/api/v1/coverage/sources", "", 200, &covered)
	for _, x := range covered.Items {
		if x.Tenant != slug {
			t.Errorf("a viewer of %s sees %+v", slug, x)
		}
	}
	var coverage struct {
		Tenants []struct {
			Tenant  string
			Sources int
		}
	}
	s.call(viewer, "GET", "/api/v1/coverage", "", 200, &coverage)
	if len(coverage.Tenants) != 1 || coverage.Tenants[0].Tenant != slug || coverage.Tenants[0].Sources == 0 {
		t.Errorf("the tenant's coverage is %+v", coverage)
	}
	if file := string(s.call(viewer, "GET", "/api/v1/coverage/export", "", 200, nil)); !strings.HasPrefix(file, "tenant,system,source,") || strings.Count(file, "\n") != len(covered.Items)+1 {
		t.Errorf("the export is %q", file)
	}
	s.call(viewer, "GET", "/api/v1/coverage?tenant=acceptance-centre", "", 403, nil)
	var unfed struct{ Total, Of int }
	s.call(admin, "GET", "/api/v1/coverage/rules", "", 200, &unfed)
	if unfed.Of == 0 || unfed.Total == 0 || unfed.Total > unfed.Of {
		t.Errorf("%d of %d rules lack data, though next to nothing came", unfed.Total, unfed.Of)
	}
	s.call(viewer, "DELETE", "/api/v1/coverage/sources/"+gone, "", 403, nil)
	s.call(admin, "DELETE", "/api/v1/coverage/sources/"+gone, "", 204, nil)
}
