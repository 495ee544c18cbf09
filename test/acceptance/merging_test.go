package acceptance

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"testing"
	"time"
)

// merging: alerts that nothing else puts together become one incident by a rule
// that was tried before, and one that comes and goes is held as flapping.
func (d *desk) merging(t *testing.T) {
	alert := func(name string, n int, ends time.Time) map[string]any {
		return map[string]any{"labels": map[string]string{"alertname": name, "instance": fmt.Sprintf("vol-%d", n), "app": "vault", "severity": "low"},
			"annotations": map[string]string{"summary": fmt.Sprintf("volume %d runs full", n)}, "startsAt": time.Now().Add(-time.Minute), "endsAt": ends}
	}
	soon := time.Now().Add(time.Hour)
	d.post(t, alert("MergeQuota", 1, soon), alert("MergeQuota", 2, soon), alert("MergeQuota", 3, soon))
	rule := map[string]any{"name": "vaults", "by": []string{"app"}, "window": 900, "least": 3, "similar": map[string]any{"on": "title", "at_least": 0.8}}
	body := func(v any) string {
		data, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		return string(data)
	}
	eventually(t, 30*time.Second, "the preview tells what the rule will do", func() error {
		var p struct{ Matched, Before, After, Groups int }
		d.call(d.secret, http.MethodPost, "/api/v1/merge-rules/preview", body(rule), 200, &p)
		if p.Matched != 3 || p.Before != 3 || p.After != 1 || p.Groups != 1 {
			return fmt.Errorf("%+v", p)
		}
		return nil
	})
	type kept struct {
		ID      string
		Version int64
	}
	var made kept
	d.call(d.secret, http.MethodPost, "/api/v1/merge-rules", body(rule), 201, &made)
	merged := func(n int) {
		t.Helper()
		eventually(t, 30*time.Second, fmt.Sprintf("one incident has %d alerts", n), func() error {
			var page struct {
				Items []struct {
					AlertCount int `json:"alert_count"`
					Merge      *struct {
						RuleID string `json:"rule_id"`
					}
				}
			}
			d.call(d.secret, http.MethodGet, "/api/v1/incidents?limit=1000", "", 200, &page)
			var counts []int
			for _, i := range page.Items {
				if i.Merge != nil && i.Merge.RuleID == made.ID {
					counts = append(counts, i.AlertCount)
				}
			}
			if !slices.Equal(counts, []int{n}) {
				return fmt.Errorf("incidents of the rule have %v alerts", counts)
			}
			return nil
		})
	}
	merged(3)
	d.post(t, alert("MergeQuota", 4, soon))
	merged(4)
	var rules struct{ Items []kept }
	d.call(d.secret, http.MethodGet, "/api/v1/merge-rules", "", 200, &rules)
	var ids []string
	for _, r := range rules.Items {
		ids = append(ids, r.ID)
	}
	slices.Reverse(ids)
	d.call(d.secret, http.MethodPut, "/api/v1/merge-rules/order", body(map[string]any{"ids": ids}), 200, &rules)
	if rules.Items[0].ID != ids[0] {
		t.Errorf("the order is %+v, want %v", rules.Items, ids)
	}
	d.call(d.secret, http.MethodDelete, "/api/v1/merge-rules/"+made.ID, "", 204, nil)
	d.call(d.secret, http.MethodPost, "/api/v1/merge-rules/"+made.ID+"/restore", body(map[string]any{"version": made.Version}), 200, &made)
	d.call(d.secret, http.MethodDelete, "/api/v1/merge-rules/shipped-attack", "", 422, nil)
	var report struct{ Firings, Alerts, Incidents int }
	d.call(d.secret, http.MethodGet, "/api/v1/alerts/compression?days=1&rule=pushed-MergeQuota", "", 200, &report)
	if report.Firings < 4 || report.Alerts != 4 || report.Incidents != 1 {
		t.Errorf("compression: %+v", report)
	}

	eventually(t, 60*time.Second, "an alert that comes and goes is held", func() error {
		d.post(t, alert("MergeLink", 1, soon))
		d.post(t, alert("MergeLink", 1, time.Now().Add(-time.Second)))
		var page struct {
			Items []struct {
				Status   string
				Flapping struct{ Changes int }
			}
		}
		d.call(d.secret, http.MethodGet, "/api/v1/alerts?flapping=true", "", 200, &page)
		if len(page.Items) != 1 || page.Items[0].Status != "open" || page.Items[0].Flapping.Changes < 7 {
			return fmt.Errorf("%+v", page.Items)
		}
		return nil
	})
}
