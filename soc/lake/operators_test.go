package lake

import (
	"math"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"icewatch/soc/event"
	"icewatch/soc/search/clause"
)

// shelf is a lake with rows of the given fields, one a row, numbered in n.
func shelf(t testing.TB, at time.Time, rows ...map[string]string) *Lake {
	t.Helper()
	l := openLake(t, t.TempDir())
	t.Cleanup(func() { l.Close() })
	reg := event.NewRegistry(0)
	w := l.NewWriter(reg)
	for i, fields := range rows {
		ev := event.Event{ID: event.ID{Epoch: "e1", Sequence: uint64(i + 1)}, Time: at.UnixNano(), Created: at.UnixNano(), Tenant: "a", Raw: fields["raw"]}
		if s := fields["at"]; s != "" {
			when, err := time.Parse(time.RFC3339, s)
			if err != nil {
				t.Fatal(err)
			}
			ev.Time = when.UnixNano()
		}
		ev.Set(mustIntern(t, reg, "n"), strconv.Itoa(i))
		for name, v := range fields {
			if name != "raw" && name != "at" {
				ev.Set(mustIntern(t, reg, name), v)
			}
		}
		if err := w.Add(&ev, Space{Account: 7}, "host-1"); err != nil {
			t.Fatal(err)
		}
	}
	w.Flush()
	l.Flush()
	return l
}

// numbers are the rows that a query finds, in order.
func numbers(t testing.TB, l *Lake, query string) []int {
	t.Helper()
	found := []int{}
	for _, row := range rows(t, l, []uint32{7}, query, 1000) {
		n, err := strconv.Atoi(row["n"])
		if err != nil {
			t.Fatalf("%s: %v", query, row)
		}
		found = append(found, n)
	}
	slices.Sort(found)
	return found
}

// TestOperators asks the lake with every operator there is.
func TestOperators(t *testing.T) {
	t.Parallel()
	// A Monday, 07:30 in UTC and 15:30 in Beijing; the lake keeps 30 days.
	now := time.Now().UTC()
	monday := now.AddDate(0, 0, -int((now.Weekday()+6)%7)-7).Truncate(24 * time.Hour).Add(7*time.Hour + 30*time.Minute)
	sunday := monday.Add(-17 * time.Hour) // Sunday 14:30 in UTC, 22:30 in Beijing
	l := shelf(t, monday,
		map[string]string{"raw": "Login failed for root from 10.1.2.3", "message": "Login failed for root", "user.name": "root", "source.ip": "10.1.2.3", "source.port": "22", "destination.port": "443"},
		map[string]string{"raw": "login ok for alice", "message": "login ok, was failed", "user.name": "alice", "source.ip": "192.168.0.9", "source.port": "50001", "destination.port": "50001", "url.path": "/admin/a.php"},
		map[string]string{"raw": "connection refused", "message": "Connection refused (connect)", "source.ip": "2001:db8:0:1::7", "source.port": "8080", "destination.port": "80", "url.path": "/static/ADMIN.js"},
		map[string]string{"raw": "用户张三登录失败三次", "message": "用户张三登录失败三次,源地址10.1.2.30", "user.name": "张三", "source.ip": "2001:db8:1::1", "source.port": "7", "at": sunday.Format(time.RFC3339)},
		map[string]string{"raw": "用户admin登录成功", "message": "用户admin登录成功", "user.name": "rooted", "source.ip": "fe80::1%eth0"})
	leaf := func(field, operator string, values ...string) clause.Clause {
		return clause.Clause{Field: field, Operator: operator, Values: values}
	}
	tested := map[string]bool{clause.All: true, clause.Any: true, clause.Not: true}
	for _, c := range []struct {
		clause clause.Clause
		want   []int
	}{
		{leaf("message", "contains", "failed"), []int{0, 1}},
		{leaf("message", "contains", "Login failed"), []int{0}},
		{leaf("message", "contains", "fail"), []int{}},
		{leaf("message", "contains", "登录失败"), []int{3}},
		{leaf("message", "contains", "登录"), []int{3, 4}},
		{leaf("message", "contains", "admin登录"), []int{4}},
		{leaf("message", "contains", "源地址10.1.2.3"), []int{}},
		{leaf("", "contains", "登录失败"), []int{3}},
		{leaf("message", "not_contains", "登录"), []int{0, 1, 2}},
		{leaf("message", "contains_prefix", "connect"), []int{2}},
		{leaf("message", "contains_prefix", "登录失"), []int{3}},
		{leaf("message", "contains_all", "failed", "root"), []int{0}},
		{leaf("message", "contains_all", "三次", "登录"), []int{3}},
		{leaf("message", "contains_any", "refused", "root", "成功"), []int{0, 2, 4}},
		{leaf("message", "sequence", "login", "failed"), []int{1}},
		{leaf("message", "sequence", "登录", "三次"), []int{3}},
		{leaf("message", "sequence", "三次", "登录"), []int{}},
		{leaf("message", "ignore_case", "LOGIN FAILED"), []int{0}},
		{leaf("message", "ignore_case_prefix", "CONNECT"), []int{2}},
		{leaf("url.path", "substring", "min/a"), []int{1}},
		{leaf("user.name", "equals", "root"), []int{0}},
		{leaf("user.name", "equals", "张三"), []int{3}},
		{leaf("user.name", "not_equals", "root"), []int{1, 2, 3, 4}},
		{leaf("user.name", "starts_with", "root"), []int{0, 4}},
		{leaf("url.path", "ends_with", ".js"), []int{2}},
		{leaf("url.path", "wildcard", "/*/?.php"), []int{1}},
		{leaf("url.path", "matches", "(?i)admin"), []int{1, 2}},
		{leaf("url.path", "not_matches", "(?i)admin"), []int{0, 3, 4}},
		{leaf("user.name", "in", "root", "alice"), []int{0, 1}},
		{leaf("user.name", "not_in", "root", "alice"), []int{2, 3, 4}},
		{leaf("source.port", "greater", "8080"), []int{1}},
		{leaf("source.port", "greater_equal", "8080"), []int{1, 2}},
		{leaf("source.port", "less", "22"), []int{3}},
		{leaf("source.port", "less_equal", "22"), []int{0, 3}},
		{leaf("source.port", "range", "22", "8080"), []int{0, 2}},
		{leaf("user.name", "text_range", "a", "b"), []int{1}},
		{leaf("source.ip", "cidr", "10.0.0.0/8"), []int{0}},
		{leaf("source.ip", "cidr", "192.168.0.9"), []int{1}},
		{leaf("source.ip", "cidr", "2001:db8::/32"), []int{2, 3}},
		{leaf("source.ip", "cidr", "2001:db8::/47"), []int{2, 3}},
		{leaf("source.ip", "cidr", "2001:db8::/48"), []int{2}},
		{leaf("source.ip", "cidr", "fe80::/10"), []int{4}},
		{leaf("source.ip", "ip_range", "10.1.2.2", "10.1.2.4"), []int{0}},
		{leaf("user.name", "exists"), []int{0, 1, 3, 4}},
		{leaf("user.name", "missing"), []int{2}},
		{leaf("source.port", "equals_field", "destination.port"), []int{1, 4}},
		{leaf("source.port", "less_field", "destination.port"), []int{0}},
		{leaf("source.port", "less_equal_field", "destination.port"), []int{0, 1, 4}},
		{leaf("user.name", "length", "2", "4"), []int{0, 3}},
		{leaf("@timestamp", "day_range", "07:00", "08:00"), []int{0, 1, 2, 4}},
		{leaf("@timestamp", "day_range", "22:00", "23:00", "8h"), []int{3}},
		{leaf("@timestamp", "week_range", "Sun", "Sun"), []int{3}},
		{leaf("@timestamp", "week_range", "Mon", "Tue", "10h"), []int{0, 1, 2, 3, 4}},
		{leaf("@timestamp", "week_range", "Sun", "Sun", "-8h"), []int{0, 1, 2, 3, 4}},
		{clause.Clause{Join: clause.All, Clauses: []clause.Clause{leaf("message", "contains", "failed"), leaf("user.name", "equals", "root")}}, []int{0}},
		{clause.Clause{Join: clause.Any, Clauses: []clause.Clause{leaf("user.name", "equals", "alice"), leaf("user.name", "equals", "root")}}, []int{0, 1}},
		{clause.Clause{Join: clause.Not, Clauses: []clause.Clause{{Join: clause.Any, Clauses: []clause.Clause{leaf("user.name", "equals", "alice"), leaf("message", "contains", "登录")}}}}, []int{0, 2}},
	} {
		tested[c.clause.Operator] = true
		query, err := clause.Render(&c.clause)
		if err != nil {
			t.Errorf("%+v: %v", c.clause, err)
			continue
		}
		if got := numbers(t, l, query); !slices.Equal(got, c.want) {
			t.Errorf("%s finds %v, want %v", query, got, c.want)
		}
	}
	for _, op := range clause.Operators() {
		if !tested[op.ID] {
			t.Errorf("the operator %s is not tested", op.ID)
		}
		if op.Name.ZH == "" || op.Name.EN == "" || op.Explain.ZH == "" || op.Explain.EN == "" {
			t.Errorf("the operator %s is not explained in both languages", op.ID)
		}
		numbers(t, l, op.Example) // must be a query
	}
}

func TestFacetsAndStatistics(t *testing.T) {
	t.Parallel()
	var list []map[string]string
	for i := range 100 {
		row := map[string]string{"raw": "x", "size": strconv.Itoa(i), "word": "w" + strconv.Itoa(i%3)}
		if i%2 == 0 {
			row["rare"] = "yes"
		}
		if i == 0 {
			row["mixed"] = "text"
		} else {
			row["mixed"] = strconv.Itoa(i)
		}
		list = append(list, row)
	}
	l := shelf(t, time.Now().Add(-time.Minute), list...)
	q := Query{Accounts: []uint32{7}, LogsQL: "n:<90 | limit 1", Start: time.Now().Add(-time.Hour), End: time.Now()}
	f, err := l.Facets(t.Context(), q, []string{"word", "none", "rare"}, 2)
	if err != nil || f.Total != 90 || len(f.Facets) != 2 {
		t.Fatalf("%+v %v", f, err)
	}
	if w := f.Facets[0]; w.Field != "word" || w.Rows != 90 || len(w.Values) != 2 || w.Values[0].Hits != 30 || w.Others != 30 {
		t.Errorf("%+v", w)
	}
	if w := f.Facets[1]; w.Field != "rare" || w.Rows != 45 || w.Others != 0 {
		t.Errorf("%+v", w)
	}
	s, err := l.FieldStats(t.Context(), q, "size", 3)
	if err != nil || s.Total != 90 || s.Rows != 90 || s.Distinct != 90 || !s.DistinctExact || !s.Numeric || s.Min != "0" || s.Max != "89" || len(s.Values) != 3 {
		t.Fatalf("%+v %v", s, err)
	}
	if *s.Sum != 89*45 || *s.Average != 44.5 || math.Abs(*s.P50-45) > 1 || math.Abs(*s.P95-85) > 1 || math.Abs(*s.P99-89) > 1 {
		t.Errorf("sum %v average %v percentiles %v %v %v", *s.Sum, *s.Average, *s.P50, *s.P95, *s.P99)
	}
	if s, err = l.FieldStats(t.Context(), q, "rare", 3); err != nil || s.Missing != 45 || s.Numeric || s.Sum != nil || s.Min != "yes" {
		t.Errorf("%+v %v", s, err)
	}
	if s, err = l.FieldStats(t.Context(), q, "mixed", 3); err != nil || s.Numeric {
		t.Errorf("%+v %v", s, err)
	}
	if s, err = l.FieldStats(t.Context(), q, "none", 3); err != nil || s.Rows != 0 || s.Missing != 90 || s.Numeric {
		t.Errorf("%+v %v", s, err)
	}
	if q.LogsQL = "word:("; true {
		if _, err = l.Facets(t.Context(), q, []string{"word"}, 2); err == nil || !strings.Contains(err.Error(), "at character") {
			t.Errorf("a wrong query: %v", err)
		}
	}
}
