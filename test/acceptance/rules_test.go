package acceptance

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// ownID is the id of ownRule.
const ownID = "6f0c1f0e-0d5c-4a6b-9a53-2f6a5a8f1e01"

// ownRule is a rule as an author writes it; WORD is what it looks for.
const ownRule = `title: Own Rule
id: 6f0c1f0e-0d5c-4a6b-9a53-2f6a5a8f1e01
status: test
description: A rule of this test.
logsource: {product: linux}
detection:
  word:
    message|contains: WORD
  condition: word
level: high
`

// TestRulesAreTakenInWhileRunning changes a rule folder under a running suite:
// a new rule fires, a changed one looks for the new word, a broken one is named
// with its file and leaves the others in force.
func TestRulesAreTakenInWhileRunning(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := newSuite(t, fmt.Sprintf("rules:\n  dirs: [%s]\n", dir))
	ctx := context.Background()
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	fires := func(word string) {
		t.Helper()
		// The rule comes into force a moment after its file was written, so that
		// the line is sent until it is met.
		eventually(t, 15*time.Second, "the rule fires on "+word, func() error {
			s.sendTCP([]byte("<13>1 - own-host app - - - something with " + word + " in it\n"))
			time.Sleep(500 * time.Millisecond)
			alerts, err := s.admin.Alerts(ctx, url.Values{"q": {"Own Rule"}}, 0)
			if err != nil {
				return err
			}
			for _, a := range alerts {
				for _, id := range a.EventIDs {
					var raw []byte
					if err := s.admin.Get(ctx, "/api/v1/events/"+url.PathEscape(id), nil, &raw); err == nil && strings.Contains(string(raw), word) {
						return nil
					}
				}
			}
			return fmt.Errorf("%d alerts", len(alerts))
		})
	}
	write("own.yml", strings.ReplaceAll(ownRule, "WORD", "quetzal"))
	fires("quetzal")

	write("broken.yml", strings.ReplaceAll(strings.ReplaceAll(ownRule, "6f0c1f0e", "7f0c1f0e"), "condition: word", "condition: word and (nothing"))
	var broken struct{ Status, Reason, Path string }
	eventually(t, 15*time.Second, "the broken rule is named", func() error {
		raw, err := s.admin.Raw(ctx, "/api/v1/rules", nil, 0)
		if err != nil {
			return err
		}
		active := 0
		for _, r := range raw {
			var one struct{ Status, Reason, Path string }
			if err := json.Unmarshal(r, &one); err != nil {
				return err
			}
			if one.Status == "active" {
				active++
			}
			if strings.HasSuffix(one.Path, "/broken.yml") { // with the slash: a rule of the suite ends so, too
				broken = one
			}
		}
		if broken.Status != "rejected" || broken.Reason == "" {
			return fmt.Errorf("%+v", broken)
		}
		if active < 20 {
			return fmt.Errorf("%d rules are active", active)
		}
		return nil
	})
	t.Logf("named: %+v", broken)

	write("own.yml", strings.ReplaceAll(ownRule, "WORD", "axolotl"))
	fires("axolotl")
	if err := s.admin.JSON(ctx, http.MethodPost, "/api/v1/rules/reload", nil, nil, nil); err != nil {
		t.Errorf("reload by hand: %v", err)
	}
	s.suppresses(t)
	s.proposes(t)
}
