package acceptance

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/bundle"

	"icewatch/soc/api"
)

const quokkaRule = `
title: Quokka
id: 5b0c1f0e-8f0a-4c57-9a39-0d2f8f1f7a77
logsource: {product: linux}
detection:
  word:
    message|contains: quokka
  condition: word
level: high
`

// policyOf is a policy that always answers the priority.
func policyOf(priority string) string {
	return "package icewatch.priority\n\ndecision := {\"priority\": \"" + priority + "\", \"reasons\": [{\"zh\": \"自有策略\", \"en\": \"own policy says " + priority + "\"}]}\n"
}

// policySigner makes signed policy bundles.
type policySigner struct{ private, public string }

func newPolicySigner(t *testing.T) policySigner {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalECPrivateKey(k)
	if err != nil {
		t.Fatal(err)
	}
	public, err := x509.MarshalPKIXPublicKey(&k.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	return policySigner{string(pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: private})), string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: public}))}
}

func (p policySigner) bundle(t *testing.T, revision, module string) []byte {
	t.Helper()
	parsed, err := ast.ParseModule("p.rego", module)
	if err != nil {
		t.Fatal(err)
	}
	b := bundle.Bundle{Manifest: bundle.Manifest{Revision: revision}, Data: map[string]any{},
		Modules: []bundle.ModuleFile{{URL: "p.rego", Path: "p.rego", Raw: []byte(module), Parsed: parsed}}}
	b.Manifest.Init()
	if err := b.GenerateSignature(bundle.NewSigningConfig(p.private, "ES256", ""), "", false); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := bundle.NewWriter(&out).Write(b); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// TestPolicies has a running suite judge alerts by policies that come and go: an
// own one decides the next alert, a broken and a wrongly signed one are refused
// by name and leave the last good one in force, and an item that becomes
// critical, a maintenance window and an analyst's word count from then on.
func TestPolicies(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	ours, theirs := newPolicySigner(t), newPolicySigner(t)
	write := func(name string, data []byte) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name+".new"), data, 0o644); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(filepath.Join(dir, name+".new"), filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	write("quokka.yml", []byte(quokkaRule))
	key := filepath.Join(t.TempDir(), "ours.pem")
	if err := os.WriteFile(key, []byte(ours.public), 0o644); err != nil {
		t.Fatal(err)
	}
	s := newSuite(t, fmt.Sprintf("rules:\n  dirs: [%s]\n  policy:\n    keys: [{name: ours, file: %s, algorithm: ES256}]\n", dir, key))
	s.forgive("policies: refused", "rules: not in force", "condition: the policy")

	type alert struct {
		ID, Tenant, Priority string
		Muted                bool
		IncidentID           string `json:"incident_id"`
		Reasons              []struct{ EN string }
		Maintenance          []struct{ ID string }
		Routing              map[string]string
	}
	// fired sends a line of the host until its alert is as it should be.
	fired := func(host, what string, as func(a alert) bool) (found alert) {
		t.Helper()
		eventually(t, time.Minute, "the alert of "+host+" "+what, func() error {
			s.sendTCP([]byte("<13>1 - " + host + " app - - - a quokka was here\n"))
			time.Sleep(300 * time.Millisecond)
			var page struct{ Items []alert }
			get(t, s, "/api/v1/alerts?q="+url.QueryEscape(host), &page)
			if len(page.Items) == 0 {
				return fmt.Errorf("there is none")
			}
			if found = page.Items[0]; !as(found) {
				return fmt.Errorf("it is %+v", found)
			}
			return nil
		})
		return found
	}
	says := func(priority, why string) func(alert) bool {
		return func(a alert) bool {
			return a.Priority == priority && len(a.Reasons) > 0 && strings.Contains(fmt.Sprint(a.Reasons), why)
		}
	}
	status := func(what string, as func(st api.PolicyStatus) bool) {
		t.Helper()
		eventually(t, time.Minute, what, func() error {
			var st api.PolicyStatus
			get(t, s, "/api/v1/policies", &st)
			if !as(st) {
				return fmt.Errorf("%+v", st)
			}
			return nil
		})
	}
	inForce := func(source, revision, signedBy string) func(api.PolicyStatus) bool {
		return func(st api.PolicyStatus) bool {
			for _, p := range st.Packages {
				if p.Name == "icewatch.priority" {
					return strings.HasSuffix(p.Source, source) && (revision == "" || p.Revision == revision) && p.SignedBy == signedBy
				}
			}
			return false
		}
	}
	refused := func(name, why string) func(api.PolicyStatus) bool {
		return func(st api.PolicyStatus) bool {
			return len(st.Problems) > 0 && strings.HasSuffix(st.Problems[0].Path, "/"+name) && strings.Contains(st.Problems[0].Reason, why) && st.Problems[0].Kept
		}
	}

	fired("host-1", "is judged by the suite's own policy", says("P2", "The rule's level is high"))

	write("mine.rego", []byte(policyOf("P4")))
	status("the own policy is in force", inForce(dir, "", ""))
	fired("host-2", "is judged by the own policy", says("P4", "own policy says P4"))

	write("mine.rego", []byte("package icewatch.priority\n\ndecision := {\n"))
	status("the broken one is refused by name", refused("mine.rego", "eof"))
	fired("host-3", "is judged by the last good policy", says("P4", "own policy says P4"))
	var conditions struct{ Items []struct{ Kind, Key string } }
	eventually(t, time.Minute, "there is an alarm of it", func() error {
		get(t, s, "/api/v1/health/conditions", &conditions)
		for _, c := range conditions.Items {
			if c.Kind == "policy-refused" && strings.HasSuffix(c.Key, "/mine.rego") {
				return nil
			}
		}
		return fmt.Errorf("%+v", conditions.Items)
	})

	if err := os.Remove(filepath.Join(dir, "mine.rego")); err != nil {
		t.Fatal(err)
	}
	write("bundle.tar.gz", ours.bundle(t, "r7", policyOf("P3")))
	status("the signed bundle is in force", inForce("bundle.tar.gz", "r7", "ours"))
	fired("host-4", "is judged by the bundle", says("P3", "own policy says P3"))
	write("bundle.tar.gz", theirs.bundle(t, "r8", policyOf("P1")))
	status("a bundle by another key is refused by name", refused("bundle.tar.gz", "no key of rules.policy.keys (ours) verifies its signature"))
	status("the last good bundle stays", inForce("bundle.tar.gz", "r7", "ours"))
	fired("host-5", "is judged by the last good bundle", says("P3", "own policy says P3"))
	s.kill()
	s.start()
	s.signIn()
	status("after a kill too", inForce("bundle.tar.gz", "r7", "ours"))
	if err := os.Remove(filepath.Join(dir, "bundle.tar.gz")); err != nil {
		t.Fatal(err)
	}
	status("the suite's own policy is in force again", inForce("builtin", "", ""))

	item := func(criticality int) {
		t.Helper()
		text := fmt.Sprintf(`[{"id":"quokka-host","class":"host","name":"quokka-host","criticality":%d}]`, criticality)
		if err := s.admin.Send(t.Context(), http.MethodPost, "/api/v1/cmdb/import", url.Values{"format": {"yaml"}}, http.Header{"Content-Type": {"application/octet-stream"}}, strings.NewReader(text), nil); err != nil {
			t.Fatal(err)
		}
	}
	item(1)
	fired("quokka-host", "is about a minor item", says("P3", "criticality is 1 of 5"))
	item(5)
	urgent := fired("quokka-host", "is about a critical item", says("P1", "criticality is 5 of 5"))

	var log struct {
		Items []struct {
			Path   string
			Input  map[string]any
			Result struct{ Priority string }
			Custom struct {
				Digest string `json:"input_digest"`
			}
		}
	}
	get(t, s, "/api/v1/policy-decisions?path=icewatch/priority&alert="+urgent.ID, &log)
	if len(log.Items) < 2 || log.Items[0].Result.Priority != "P1" || len(log.Items[0].Custom.Digest) != 64 || log.Items[0].Input["item"] == nil {
		t.Errorf("the decisions on the alert: %+v", log.Items)
	}

	var incident struct {
		ID, Priority string
		Judged       string `json:"judged_priority"`
		Override     *struct{ Priority, Reason, By string }
	}
	eventually(t, time.Minute, "the most urgent alert opens an incident", func() error {
		var a alert
		get(t, s, "/api/v1/alerts/"+urgent.ID, &a)
		if a.IncidentID == "" {
			return fmt.Errorf("%+v", a)
		}
		get(t, s, "/api/v1/incidents/"+a.IncidentID, &incident)
		return nil
	})
	path := "/api/v1/incidents/" + incident.ID + "/priority"
	ordered(t, s, http.MethodPut, path, `{"priority":"P4","reason":"a drill"}`)
	fired("quokka-host", "goes on", func(alert) bool { return true })
	get(t, s, "/api/v1/incidents/"+incident.ID, &incident)
	if incident.Priority != "P4" || incident.Judged != "P1" || incident.Override == nil || incident.Override.Reason != "a drill" || incident.Override.By != "admin" {
		t.Errorf("overridden: %+v", incident)
	}
	ordered(t, s, http.MethodDelete, path, "")
	incident.Override = nil
	get(t, s, "/api/v1/incidents/"+incident.ID, &incident)
	if incident.Priority != "P1" || incident.Override != nil {
		t.Errorf("the override undone: %+v", incident)
	}

	now := time.Now().UTC()
	ordered(t, s, http.MethodPut, "/api/v1/maintenance-windows/upgrade", fmt.Sprintf(`{"id":"upgrade","name":"Upgrade","items":["quokka-host"],"start":%q,"end":%q}`,
		now.Add(-time.Hour).Format(time.RFC3339), now.Add(time.Hour).Format(time.RFC3339)))
	muted := fired("quokka-host", "is in maintenance", func(a alert) bool { return a.Muted })
	if len(muted.Maintenance) != 1 || muted.Maintenance[0].ID != "upgrade" || !strings.Contains(fmt.Sprint(muted.Reasons), "maintenance window") {
		t.Errorf("in maintenance: %+v", muted)
	}
	ordered(t, s, http.MethodDelete, "/api/v1/maintenance-windows/upgrade", "")
	fired("quokka-host", "is in maintenance no longer", func(a alert) bool { return !a.Muted && len(a.Maintenance) == 0 })
}
