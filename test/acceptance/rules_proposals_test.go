package acceptance

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"icewatch/soc/client"
)

// proposes files a rule, has it in test, where it counts and raises nothing,
// approves it as somebody else, and takes it back.
func (s *suite) proposes(t *testing.T) {
	t.Helper()
	ctx := context.Background()
	_, token := s.signedInUser("proposer", "admin", "*")
	first := s.admin.With(token, "")
	_, token = s.signedInUser("approver", "admin", "*")
	second := s.admin.With(token, "")
	type proposal struct {
		ID      int
		State   string
		Stage   string
		Changes []struct {
			ID   string
			Hits *uint64
		}
	}
	text := strings.NewReplacer("WORD", "capybara", "Own Rule", "Proposed Rule", "6f0c1f0e", "8f0c1f0e").Replace(ownRule)
	var filed struct{ Proposal *proposal }
	err := first.Send(ctx, http.MethodPost, "/api/v1/rule-proposals", url.Values{"comment": {"capybaras are about"}}, http.Header{"Content-Type": {"application/octet-stream"}}, bytes.NewReader([]byte(text)), &filed)
	if err != nil || filed.Proposal == nil {
		t.Fatal(err, filed)
	}
	path := fmt.Sprintf("/api/v1/rule-proposals/%d", filed.Proposal.ID)
	decide := func(c *client.Client, verb string) (p proposal, err error) {
		err = c.JSON(ctx, http.MethodPost, path+"/"+verb, nil, map[string]string{"comment": "well"}, &p)
		return p, err
	}
	line := func() { s.sendTCP([]byte("<13>1 - own-host app - - - a capybara\n")) }
	raised := func() int {
		t.Helper()
		alerts, err := s.admin.Alerts(ctx, url.Values{"q": {"Proposed Rule"}}, 0)
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		for _, a := range alerts {
			n += a.Count
		}
		return n
	}

	if p, err := decide(first, "test"); err != nil || p.Stage != "test" {
		t.Fatal(p, err)
	}
	eventually(t, 20*time.Second, "the rule in test counts", func() error {
		line()
		time.Sleep(500 * time.Millisecond)
		var p proposal
		if err := second.Get(ctx, path, nil, &p); err != nil {
			return err
		}
		if h := p.Changes[0].Hits; h == nil || *h == 0 {
			return fmt.Errorf("%+v", p)
		}
		return nil
	})
	if n := raised(); n != 0 {
		t.Errorf("a rule in test raised %d alerts", n)
	}
	if _, err := decide(first, "approve"); client.Status(err) != http.StatusForbidden {
		t.Errorf("approved by who filed it: %v", err)
	}
	if p, err := decide(second, "approve"); err != nil || p.State != "approved" {
		t.Fatal(p, err)
	}
	eventually(t, 20*time.Second, "the approved rule fires", func() error {
		line()
		time.Sleep(500 * time.Millisecond)
		if raised() == 0 {
			return fmt.Errorf("no alert")
		}
		return nil
	})

	begun := time.Now()
	var back proposal
	if err := second.JSON(ctx, http.MethodPost, "/api/v1/rule-proposals/rollback", nil, map[string]any{"comment": "too many"}, &back); err != nil || back.State != "rolled_back" {
		t.Fatal(back, err)
	}
	eventually(t, 20*time.Second, "the rule is gone", func() error {
		var set struct {
			InForce bool `json:"in_force"`
		}
		if err := s.admin.Get(ctx, "/api/v1/rule-set", nil, &set); err != nil || !set.InForce {
			return fmt.Errorf("the set is not in force yet: %w", err)
		}
		list, err := s.admin.Raw(ctx, "/api/v1/rules", nil, 0)
		if err != nil {
			return err
		}
		for _, raw := range list {
			var r struct{ ID string }
			if err := json.Unmarshal(raw, &r); err != nil {
				return err
			}
			if r.ID == "8f0c1f0e-0d5c-4a6b-9a53-2f6a5a8f1e01" {
				return fmt.Errorf("%s is still there", r.ID)
			}
		}
		return nil
	})
	if took := time.Since(begun); took > 5*time.Second {
		t.Errorf("the rollback took %s", took)
	}
}
