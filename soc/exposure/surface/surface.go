// Package surface keeps what is to be seen of hosts from the network – addresses, ports,
// sites, certificates –, tells how that changed from one discovery to the next, and
// brings it into the CMDB.
package surface

import (
	"context"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/uptrace/bun"

	"icewatch/cmdb"
	"icewatch/cmdb/inbox"
	"icewatch/collectors/scanner/wire"
	"icewatch/soc/exposure/scan"
	"icewatch/soc/reach"
)

//go:embed migrations/*.sql
var migrations embed.FS

//go:embed postgres/*.sql
var postgresMigrations embed.FS

var (
	// ErrNotFound says that there is no such host, or none in reach.
	ErrNotFound = errors.New("surface: there is no such host")
	// ErrInvalid says that what is asked makes no sense.
	ErrInvalid = errors.New("surface: invalid")
)

// The states of a host.
const (
	Present  = "present"
	Stale    = "stale" // it did not answer some discoveries that it used to answer
	Vanished = "vanished"
)

// Policy says when hosts count as gone, and how early a certificate is told of. It is
// a setting.
type Policy struct {
	Stale       int `json:"stale_after" minimum:"1" maximum:"100" doc:"Discoveries of the same task that a host did not answer until it is stale"`
	Vanished    int `json:"vanished_after" minimum:"1" maximum:"1000" doc:"And until it has vanished"`
	Certificate int `json:"certificate_days" minimum:"1" maximum:"365" doc:"So many days before it expires a certificate is told of"`
	Alarm       int `json:"alarm_days" minimum:"1" maximum:"90" doc:"A change that nobody looked at is told of for so long"`
	// ProposeOnly leaves all duplicates to people.
	ProposeOnly bool `json:"propose_only" required:"false" doc:"Merge no items without asking: else those that are certainly one host are merged where only discoveries made the one that goes"`
}

// DefaultPolicy is the policy until somebody changes it.
var DefaultPolicy = Policy{Stale: 2, Vanished: 5, Certificate: 30, Alarm: 7}

// Check refuses a policy that makes no sense.
func (p Policy) Check() error {
	if p.Stale < 1 || p.Vanished <= p.Stale || p.Vanished > 1000 {
		return fmt.Errorf("stale_after %d, vanished_after %d: want the second above the first, from 1 to 1000", p.Stale, p.Vanished)
	}
	if p.Certificate < 1 || p.Certificate > 365 || p.Alarm < 1 || p.Alarm > 90 {
		return fmt.Errorf("certificate_days %d, alarm_days %d: want 1 to 365 and 1 to 90", p.Certificate, p.Alarm)
	}
	return nil
}

// Items is what is asked of the CMDB.
type Items interface {
	At(ctx context.Context, places []cmdb.ZonedAddress) (map[cmdb.ZonedAddress]string, error)
	Some(ctx context.Context, ids []string) ([]cmdb.Item, error)
	Items(ctx context.Context, r reach.Reach, f cmdb.Filter) (cmdb.Page, error)
	UpsertAll(ctx context.Context, list []cmdb.Fields, opts cmdb.ImportOptions) (cmdb.Report, error)
	MergeItems(ctx context.Context, keep, gone string, opts cmdb.MergeOptions) (cmdb.Merge, error)
	OnlyDiscovered(ctx context.Context, ids []string) (map[string]bool, error)
}

// Deps is what the room needs of others.
type Deps struct {
	Database *cmdb.Database
	Items    Items
	Offer    func(ctx context.Context, tenant, zone, source string, list []inbox.Offered) (int, error)
	// Findings gives what is wrong with an item to another one, see finding.Reassign. Optional.
	Findings func(ctx context.Context, actor, from, to string, hosts []string) error
	// Adopt gives what was found where the CMDB knew nothing to the items that are there
	// now, by address, see finding.Adopt. Optional.
	Adopt func(ctx context.Context, actor, tenant, zone string, items map[string]string) error
	// Samples takes the numbers that were read of a tenant's hosts. Optional.
	Samples func(ctx context.Context, tenant string, at time.Time, hosts []SurfaceHost) error
	Policy  func() Policy // default DefaultPolicy
	Log     *slog.Logger
	Now     func() time.Time
}

// Service keeps the surface. It is safe for concurrent use.
type Service struct {
	Deps
	taking sync.Mutex // one run at a time
}

// Open brings the tables up to date.
func Open(ctx context.Context, d Deps) (*Service, error) {
	if d.Policy == nil {
		d.Policy = func() Policy { return DefaultPolicy }
	}
	if d.Log == nil {
		d.Log = slog.Default()
	}
	if d.Now == nil {
		d.Now = time.Now
	}
	if err := d.Database.Migrate(ctx, "exposure_surface", migrations, postgresMigrations); err != nil {
		return nil, fmt.Errorf("surface: %w", err)
	}
	return &Service{Deps: d}, nil
}

func (s *Service) now() time.Time { return s.Now().UTC().Truncate(time.Millisecond) }

// SurfaceService is an open port of a host.
type SurfaceService struct {
	Port        int       `json:"port"`
	Protocol    string    `json:"protocol"`
	Service     string    `json:"service,omitempty"`
	Category    string    `json:"category" enum:"web,database,middleware,remote,mail,file,management,other"`
	Product     string    `json:"product,omitempty"`
	Version     string    `json:"version,omitempty"`
	URL         string    `json:"url,omitempty"`
	Status      int       `json:"status,omitempty"`
	Title       string    `json:"title,omitempty"`
	Server      string    `json:"server,omitempty"`
	Subject     string    `json:"subject,omitempty" doc:"Of the certificate"`
	Issuer      string    `json:"issuer,omitempty"`
	Fingerprint string    `json:"fingerprint,omitempty"`
	Expires     time.Time `json:"expires_at,omitzero" doc:"Of the certificate"`
	Tasks       []string  `json:"tasks" nullable:"false" doc:"That saw it last: only these can tell that it is gone"`
}

// SurfaceProgram is a program that listens, as it is read on the host.
type SurfaceProgram struct {
	Address string `json:"address"`
	Port    int    `json:"port,string"`
	Program string `json:"program,omitempty"`
	Version string `json:"version,omitempty" doc:"What it says of itself"`
}

// written is what discovery wrote to an attribute of an item.
type written struct{ Value, Source string }

// SurfaceHost is a host as it is seen from the network.
type SurfaceHost struct {
	Tenant     string             `json:"tenant"`
	Zone       string             `json:"zone"`
	Address    string             `json:"address"`
	Item       string             `json:"item,omitempty"`
	Names      []string           `json:"names" nullable:"false"`
	MAC        string             `json:"mac,omitempty"`
	Vendor     string             `json:"vendor,omitempty"`
	OS         string             `json:"os,omitempty" doc:"A guess"`
	Found      []string           `json:"found_by" nullable:"false" doc:"Probes that it answered"`
	Services   []SurfaceService   `json:"services" nullable:"false"`
	Attributes map[string]string  `json:"attributes,omitempty" doc:"Read by deep discovery"`
	Metrics    map[string]float64 `json:"metrics,omitempty" doc:"How it did when it was read last, by deep discovery: the unit is at the end of the name"`
	Programs   []SurfaceProgram   `json:"programs,omitempty" doc:"What listens on it by TCP, as it was read there: on the loopback address, too"`
	State      string             `json:"state" enum:"present,stale,vanished"`
	Missed     int                `json:"missed,omitempty" doc:"Discoveries in a row that it did not answer"`
	FirstSeen  time.Time          `json:"first_seen"`
	LastSeen   time.Time          `json:"last_seen"`
	Run        string             `json:"run" doc:"That saw it last"`
	Tasks      []string           `json:"tasks" nullable:"false" doc:"That see it"`
}

// kept is what a row keeps beside.
type kept struct {
	SurfaceHost
	Wrote      map[string]written `json:"wrote,omitempty"`
	WroteNames []string           `json:"wrote_names,omitempty"`

	seen []SurfaceService // by the run; Services has those too that it did not look at
}

type hostRow struct {
	bun.BaseModel `bun:"table:exposure_surface_hosts,alias:r"`
	Tenant        string `bun:"tenant,pk"`
	Zone          string `bun:"zone,pk"`
	Address       string `bun:"address,pk"`
	Item          string `bun:"item"`
	MAC           string `bun:"mac"`
	State         string `bun:"state"`
	Seen          int64  `bun:"seen"`
	Words         string `bun:"words"`
	Doc           string `bun:"doc"`
}

type changeRow struct {
	bun.BaseModel `bun:"table:exposure_surface_changes,alias:r"`
	ID            int64  `bun:"id,pk,autoincrement"`
	Tenant        string `bun:"tenant"`
	Run           string `bun:"run"`
	At            int64  `bun:"at"`
	Kind          string `bun:"kind"`
	Address       string `bun:"address"`
	Acked         int64  `bun:"acked"`
	Doc           string `bun:"doc"`
}

type runRow struct {
	bun.BaseModel `bun:"table:exposure_surface_runs,alias:r"`
	Run           string `bun:"run,pk"`
	Tenant        string `bun:"tenant"`
	Task          string `bun:"task"`
	At            int64  `bun:"at"`
	Doc           string `bun:"doc"`
}

// Kinds of changes.
const (
	HostNew      = "host_new"
	HostUnknown  = "host_unknown" // it answers, and the CMDB does not know it
	HostSilent   = "host_silent"
	HostBack     = "host_back"
	PortOpened   = "port_opened"
	PortClosed   = "port_closed"
	Software     = "software_changed"
	SiteNew      = "site_new"
	SiteChanged  = "site_changed"
	SiteGone     = "site_gone"
	CertChanged  = "certificate_changed"
	CertExpiring = "certificate_expiring"
	CertExpired  = "certificate_expired"
)

// Kinds lists them.
var Kinds = []string{HostNew, HostUnknown, HostSilent, HostBack, PortOpened, PortClosed, Software, SiteNew, SiteChanged, SiteGone, CertChanged, CertExpiring, CertExpired}

// SurfaceChange is something that is not as it was.
type SurfaceChange struct {
	ID       int64     `json:"id,omitempty"`
	Tenant   string    `json:"tenant"`
	Zone     string    `json:"zone"`
	Run      string    `json:"run,omitempty"`
	At       time.Time `json:"at"`
	Kind     string    `json:"kind" enum:"host_new,host_unknown,host_silent,host_back,port_opened,port_closed,software_changed,site_new,site_changed,site_gone,certificate_changed,certificate_expiring,certificate_expired"`
	Address  string    `json:"address"`
	Item     string    `json:"item,omitempty"`
	Port     int       `json:"port,omitempty"`
	Protocol string    `json:"protocol,omitempty"`
	Before   string    `json:"before,omitempty"`
	After    string    `json:"after,omitempty"`
	AckedBy  string    `json:"acknowledged_by,omitempty"`
	AckedAt  time.Time `json:"acknowledged_at,omitzero"`
}

// read takes attributes that are no text. It is false of those that are.
func (h *SurfaceHost) read(a *wire.Attribute) bool {
	switch a.Name {
	case wire.AttributeMetrics:
		var list map[string]float64
		if json.Unmarshal(a.Value, &list) != nil {
			return true // It is none, and no text either.
		}
		for name, n := range list {
			if wire.IsMetric(name) && len(h.Metrics) < wire.MaxMetrics {
				if h.Metrics == nil {
					h.Metrics = map[string]float64{}
				}
				h.Metrics[name] = n
			}
		}
	case "services":
		var list []SurfaceProgram
		if json.Unmarshal(a.Value, &list) != nil {
			return true
		}
		for _, p := range list[:min(len(list), 200)] {
			p.Address, p.Program, p.Version = clip(p.Address, 64), clip(p.Program, 64), clip(p.Version, 120)
			h.Programs = append(h.Programs, p)
		}
	case "software":
		// What is installed is judged by the library; it is no attribute of a host.
	default:
		return false
	}
	return true
}

// hostOf makes a surface host of what a run saw.
func hostOf(run *scan.ScanRun, x *scan.Seen) SurfaceHost {
	h := SurfaceHost{Tenant: run.Tenant, Zone: run.Zone, Address: x.Address, Names: names(x.Names), MAC: x.MAC, Vendor: x.Vendor, OS: x.OS, Found: list(x.Found), Services: []SurfaceService{}, State: Present, Run: run.ID, Tasks: []string{run.Task}}
	for i := range x.Services {
		v := &x.Services[i]
		o := SurfaceService{Port: v.Port, Protocol: v.Protocol, Service: v.Name, Category: category(v.Name, v.Port), Product: v.Product, Version: v.Version, Tasks: []string{run.Task}}
		if v.HTTP != nil {
			o.URL, o.Status, o.Title, o.Server, o.Category = clip(v.HTTP.URL, 500), v.HTTP.Status, clip(v.HTTP.Title, 200), clip(v.HTTP.Server, 200), "web"
		}
		if v.TLS != nil {
			o.Subject, o.Issuer, o.Fingerprint = clip(v.TLS.Subject, 300), clip(v.TLS.Issuer, 300), clip(v.TLS.Fingerprint, 64)
			if v.TLS.NotAfter > 0 {
				o.Expires = time.Unix(v.TLS.NotAfter, 0).UTC()
			}
		}
		h.Services = append(h.Services, o)
	}
	sortServices(h.Services)
	for i := range x.Attributes {
		if h.read(&x.Attributes[i]) {
			continue
		}
		if text := textOf(x.Attributes[i].Value); text != "" {
			if h.Attributes == nil {
				h.Attributes = map[string]string{}
			}
			if len(h.Attributes) < 200 {
				h.Attributes[clip(x.Attributes[i].Name, 64)] = text
			}
		}
	}
	return h
}
