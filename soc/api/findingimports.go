package api

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"icewatch/cmdb"
	"icewatch/cmdb/inbox"
	"icewatch/soc/exposure/finding"
	"icewatch/soc/exposure/library"
	"icewatch/soc/exposure/report"
	"icewatch/soc/identity"
)

// findingImport is what came of a report, or would.
type findingImport struct {
	finding.Taken
	Engine   string           `json:"engine"`
	Hosts    int              `json:"hosts" doc:"That the scanner looked at"`
	Found    int              `json:"found" doc:"Weaknesses in the report"`
	Skipped  int              `json:"skipped" doc:"Remarks without any weakness"`
	Services []report.Service `json:"services" nullable:"false" doc:"What listens, by Nmap: at most 200"`
	Offered  int              `json:"offered" doc:"Addresses that the CMDB does not know, put into its inbox"`
	Sample   []findingSample  `json:"sample" nullable:"false" doc:"The first 20"`
}

type findingSample struct {
	Host  string `json:"host"`
	Port  int    `json:"port,omitempty"`
	Check string `json:"check"`
	Title string `json:"title"`
	Level string `json:"level,omitempty"`
	CVE   string `json:"cve,omitempty"`
}

// findingImportRoutes registers the reports of scanners.
func (s *Server) findingImportRoutes() {
	f := s.deps.Weaknesses
	if f == nil {
		return
	}
	op := exposureOperation("import-findings", http.MethodPost, "/finding-imports", "Take in a scanner's report: Nessus, OpenVAS (GMP), nuclei JSON lines, Nmap, SARIF 2.1, or a table by a mapping; plain or gzip, at most 32 MiB. A broken one names the place and imports nothing. The answer's change is what undo names", 400, 413, 422)
	op.MaxBodyBytes, op.BodyReadTimeout = maxAPIBody, 2*time.Minute
	Register(s, op, identity.ScopeConfigure,
		func(ctx context.Context, in *struct {
			Format   string `query:"format" enum:"nessus,openvas,nuclei,nmap,sarif,csv,xlsx," doc:"Found out by the content where it is absent; a table in CSV has to be named"`
			Name     string `query:"name" maxLength:"200" doc:"Of the file"`
			Engine   string `query:"engine" maxLength:"60" doc:"Of a table: the scanner's name"`
			Mapping  string `query:"mapping" maxLength:"4000" doc:"Of a table: a JSON object of field → column heading"`
			Zone     string `query:"zone" maxLength:"200" doc:"Network zone of the addresses"`
			Item     string `query:"item" maxLength:"256" doc:"Item of the CMDB that all of it is about"`
			Owner    string `query:"tenant" maxLength:"100" doc:"Whose is what the CMDB does not know"`
			Complete bool   `query:"complete" doc:"The scanner looked for all it knows: what it alone reported before at these hosts, and does not now, is gone"`
			DryRun   bool   `query:"dry_run" doc:"Read, count and keep nothing"`
			RawBody  []byte `contentType:"application/octet-stream"`
		}) (*Body[findingImport], error) {
			within, err := Reach(ctx, "")
			if err != nil {
				return nil, err
			}
			stateOf(ctx).skipAudit = in.DryRun
			o := report.Options{Format: in.Format, Item: in.Item, Zone: in.Zone, Engine: in.Engine}
			if in.Mapping != "" {
				if err := json.Unmarshal([]byte(in.Mapping), &o.Mapping); err != nil {
					return nil, Problem(http.StatusUnprocessableEntity, "mapping: it is no JSON object of texts, such as {\"title\": \"漏洞名称\"}")
				}
			}
			r, err := report.Read(ctx, in.RawBody, o)
			var fault *library.Fault
			if errors.As(err, &fault) {
				return nil, Problem(http.StatusUnprocessableEntity, "%s", fault.Error())
			}
			if err != nil {
				return nil, findingProblem(err)
			}
			tenant := cmp.Or(in.Owner, SelectedTenant(ctx))
			take := finding.Take{Within: within, Actor: Actor(ctx), Tenant: tenant, DryRun: in.DryRun, Engine: r.Engine, Looked: r.Hosts, Report: &finding.ReportNote{Name: in.Name, Hosts: len(r.Hosts)}}
			if in.Complete {
				take.Complete = r.Hosts
			}
			out := findingImport{Engine: r.Engine, Hosts: len(r.Hosts), Found: len(r.Sightings), Skipped: r.Skipped, Services: r.Services[:min(len(r.Services), 200)], Sample: []findingSample{}}
			if out.Services == nil {
				out.Services = []report.Service{}
			}
			for _, x := range r.Sightings[:min(len(r.Sightings), 20)] {
				one := findingSample{Host: cmp.Or(x.Address, x.Host, x.Item), Port: x.Port, Check: x.Check, Title: cmp.Or(x.Title.ZH, x.Title.EN), Level: string(x.Level)}
				if len(x.CVEs) > 0 {
					one.CVE = x.CVEs[0]
				}
				out.Sample = append(out.Sample, one)
			}
			if out.Taken, err = f.Take(ctx, r.Sightings, take); err != nil {
				return nil, findingProblem(err)
			}
			if !in.DryRun && len(r.Services) > 0 && tenant != "" && within.CoversTenant(tenant) {
				if out.Offered, err = s.offerServices(ctx, r, tenant, in.Zone); err != nil {
					// The findings are kept; the inbox can be filled by the report again.
					s.log.Warn("findings: addresses of a report are not in the inbox", "error", err)
				}
			}
			AuditObject(ctx, "findings", tenant, fmt.Sprintf("%s %s: %d new, %d known, %d gone, change %s", r.Engine, clip(in.Name, 200), out.New, out.Again, out.Gone, out.Change))
			return Reply(out), nil
		})
}

// findingReportRoutes registers the list of reports that were taken in.
func (s *Server) findingReportRoutes() {
	f := s.deps.Weaknesses
	if f == nil {
		return
	}
	Register(s, exposureOperation("list-finding-imports", http.MethodGet, "/finding-imports", "Reports that were taken in, the newest first, at most 200: your own, and those of tenants that are wholly within reach"), identity.ScopeConfigure,
		func(ctx context.Context, _ *struct{}) (*Body[Page[finding.FindingReport]], error) {
			within, err := Reach(ctx, "")
			if err != nil {
				return nil, err
			}
			list, err := f.Reports(ctx, within, Actor(ctx))
			return Reply(PageOf(list, len(list), "")), findingProblem(err)
		})
}

// offerServices puts the addresses of a report that the CMDB does not know into its
// inbox, with the ports that they listen at.
func (s *Server) offerServices(ctx context.Context, r *report.Report, tenant, zone string) (int, error) {
	box, ok := s.deps.Inbox.(interface {
		Offer(ctx context.Context, tenant, zone, source string, list []inbox.Offered) (int, error)
	})
	items, known := s.deps.CMDB.(interface {
		At(ctx context.Context, places []cmdb.ZonedAddress) (map[cmdb.ZonedAddress]string, error)
	})
	if !ok || !known {
		return 0, nil
	}
	at := map[string]*inbox.Offered{}
	var places []cmdb.ZonedAddress
	for _, x := range r.Services {
		o := at[x.Address]
		if o == nil {
			o = &inbox.Offered{Address: x.Address, Host: x.Host}
			at[x.Address] = o
			places = append(places, cmdb.ZonedAddress{Zone: cmp.Or(zone, cmdb.DefaultZone), Address: x.Address})
		}
		if !slices.Contains(o.Ports, x.Port) {
			o.Ports = append(o.Ports, x.Port)
		}
	}
	had, err := items.At(ctx, places)
	if err != nil {
		return 0, err
	}
	var list []inbox.Offered
	for _, p := range places {
		if had[p] == "" {
			list = append(list, *at[p.Address])
		}
	}
	if len(list) == 0 {
		return 0, nil
	}
	return box.Offer(ctx, tenant, zone, r.Engine, list)
}
