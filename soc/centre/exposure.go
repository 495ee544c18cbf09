package centre

import (
	"context"
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"icewatch/soc/exposure/engine"
	"icewatch/soc/exposure/finding"
	"icewatch/soc/exposure/installed"
	"icewatch/soc/exposure/library"
	"icewatch/soc/exposure/scan"
	"icewatch/soc/exposure/scope"
	"icewatch/soc/exposure/surface"
	"icewatch/soc/exposure/template"
	"icewatch/soc/identity"
	"icewatch/soc/settings"
	"icewatch/ticketing/webhook"
)

// exposure is what is known of weaknesses, and of those that assets have.
type exposure struct {
	library   *library.Library
	findings  *finding.Service
	scope     *scope.Service // what may be scanned
	scans     *scan.Service
	surface   *surface.Service // what scans saw of hosts
	engines   *engine.Service  // scanners of other makers
	installed *installed.Service
	templates *template.Shelf
}

// openExposure opens the library of vulnerabilities and the findings.
func (c *centre) openExposure(ctx context.Context) (err error) {
	c.exposure.library, err = library.Open(ctx, c.cmdb.Database(), library.Options{Dir: filepath.Join(c.Config.Data, "vulnerabilities"), Log: c.log})
	if err != nil {
		return err
	}
	policy, err := settings.Declare(ctx, c.settings, "findings", identity.ScopeSystem, finding.DefaultPolicy, finding.Policy.Check)
	if err != nil {
		return err
	}
	c.exposure.findings, err = finding.Open(ctx, c.cmdb.Database(), finding.Deps{Items: c.cmdb, Library: c.exposure.library, Attacks: c.attacksOn, Tell: c.tellFindings, TellOrder: c.tellFindingOrder, Policy: policy.Get, Log: c.log})
	if err != nil {
		return err
	}
	if c.exposure.templates, err = template.Open(ctx, c.cmdb.Database()); err != nil {
		return err
	}
	c.background(c.exposure.library.Run)
	c.background(c.exposure.findings.Run)
	c.background(c.dispatch.Orders.Run) // whose orders may be of findings
	return nil
}

// attacksOn lists alerts of rules that name a vulnerability, and those of techniques
// that are tried on weaknesses.
func (c *centre) attacksOn(ctx context.Context, since time.Time) ([]finding.Attack, error) {
	list, err := c.keeper.List(ctx)
	if err != nil {
		return nil, err
	}
	named := map[string][]string{}
	var rules []string
	for i := range list {
		for _, tag := range list[i].Tags {
			// Sigma writes CVE-2021-44228 as cve.2021-44228.
			rest, ok := strings.CutPrefix(strings.ToLower(tag), "cve.")
			if !ok {
				continue
			}
			id := "CVE-" + strings.TrimPrefix(strings.ReplaceAll(rest, ".", "-"), "cve-")
			if !library.IsCVE(id) {
				continue
			}
			if len(named[list[i].ID]) == 0 {
				rules = append(rules, list[i].ID)
			}
			named[list[i].ID] = append(named[list[i].ID], id)
		}
	}
	attacks, err := c.tickets.AttacksOn(ctx, rules, finding.Techniques(), since)
	if err != nil {
		return nil, err
	}
	out := make([]finding.Attack, len(attacks))
	for i, a := range attacks {
		out[i] = finding.Attack{Alert: a.Alert, Item: a.Item, CVEs: named[a.Rule], Techniques: a.Techniques, At: a.LastSeen}
	}
	return out, nil
}

// tellFindings reminds a contact point of deadlines.
func (c *centre) tellFindings(ctx context.Context, receiver, unique string, list []finding.Finding, over bool) error {
	name, zh, en := "FindingsDue", "隐患整改即将到期", "findings are due soon"
	if over {
		name, zh, en = "FindingsOverdue", "隐患整改已超期", "findings are overdue"
	}
	url := strings.TrimRight(c.Config.HTTP.ExternalURL, "/")
	alerts := make([]webhook.Alert, len(list))
	for i := range list {
		f := &list[i]
		title := f.Title.ZH
		if title == "" {
			title = f.Title.EN
		}
		where := f.Host
		if f.Name != "" {
			where = f.Name + " (" + f.Host + ")"
		}
		alerts[i] = webhook.Alert{Status: webhook.Firing, StartsAt: f.Due, GeneratorURL: url + "/findings/" + f.ID,
			Labels: map[string]string{"alertname": name, "tenant": f.Tenant, "severity": string(f.Level), "finding": f.ID, "weakness": f.Weakness, "owner": f.Owner},
			Annotations: map[string]string{"summary": fmt.Sprintf("%s：%s %s", zh, where, title), "summary_en": fmt.Sprintf("%s: %s %s", en, where, f.Weakness),
				"description": f.Why.ZH, "description_en": f.Why.EN, "due_at": f.Due.Format(time.RFC3339)}}
	}
	body, err := json.Marshal(webhook.New(receiver, c.Config.HTTP.ExternalURL, map[string]string{"alertname": name, "tenant": list[0].Tenant}, alerts, len(alerts)))
	if err != nil {
		return fmt.Errorf("centre: encode a reminder of findings: %w", err)
	}
	return c.tickets.TellReceiver(ctx, receiver, list[0].Tenant, "findings", unique, body)
}
