// Package finding follows what is wrong with assets from the day on which an engine
// reports it until it is repaired and looked at again.
//
// A finding is one weakness of one asset at one place: several engines that report
// it report the same finding. It has a state, an owner, a deadline and a priority
// whose reason is told in words. What people do to it is kept and can be undone.
package finding

import (
	"context"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/uptrace/bun"

	"icewatch/cmdb"
	"icewatch/detections"
	"icewatch/soc/exposure/library"
	"icewatch/soc/reach"
)

//go:embed migrations/*.sql
var migrations embed.FS

//go:embed postgres/*.sql
var postgresMigrations embed.FS

var (
	// ErrNotFound says that there is no such finding or change, or none in reach.
	ErrNotFound = errors.New("finding: there is no such finding or change")
	// ErrInvalid says that a change or a question makes no sense.
	ErrInvalid = errors.New("finding: invalid")
	// ErrConflict says that something happened meanwhile that forbids it.
	ErrConflict = errors.New("finding: conflict")
)

// State is how far a finding is.
type State string

// The states. Open, verified, in repair and fixed are those of a finding that
// counts.
const (
	StateOpen     State = "open"
	Verified      State = "verified"  // somebody looked: it is there
	Repair        State = "repair"    // it is being repaired
	Fixed         State = "fixed"     // said to be repaired, to be looked at again
	Closed        State = "closed"    // gone
	Exception     State = "exception" // accepted until a day
	FalsePositive State = "false_positive"
)

// States lists the states in the order of a finding's life.
var States = []State{StateOpen, Verified, Repair, Fixed, Closed, Exception, FalsePositive}

// counting are the states of findings that count as a risk.
var counting = []State{StateOpen, Verified, Repair, Fixed}

// ways are the states that people may move a finding to, by the state it is in.
var ways = map[State][]State{
	StateOpen:     {Verified, Repair, Fixed, Closed, Exception, FalsePositive},
	Verified:      {StateOpen, Repair, Fixed, Closed, Exception, FalsePositive},
	Repair:        {StateOpen, Verified, Fixed, Closed, Exception, FalsePositive},
	Fixed:         {StateOpen, Repair, Closed, Exception, FalsePositive},
	Closed:        {StateOpen},
	Exception:     {StateOpen, Verified, Repair, Fixed, Closed, FalsePositive},
	FalsePositive: {StateOpen},
}

// Sighting is what an engine reports of one weakness at one place.
type Sighting struct {
	Tenant   string // whose it is, where the CMDB knows nothing at the place
	Item     string // id of the CMDB, where the engine knows it
	Zone     string // network zone of the address; "" is the default one
	Address  string // IP address, or ""
	Host     string // name, or ""
	Port     int
	Protocol string // tcp or udp
	Service  string
	Path     string // of a web page, a file, a package: tells places of one port apart

	Engine   string // such as nessus, openvas, nuclei, inventory
	Check    string // the engine's own id of the check
	CVEs     []string
	CWEs     []string
	Title    detections.Text
	Text     detections.Text
	Solution detections.Text
	Level    detections.Level // "" is informational
	Score    float64          // CVSS base score, 0 is not known
	Evidence string
	Links    []string
	At       time.Time
}

// Finding is one weakness of one asset at one place.
type Finding struct {
	ID       string           `json:"id"`
	Tenant   string           `json:"tenant"`
	Item     string           `json:"item,omitempty" doc:"Id of the CMDB's item; absent where it knows nothing there"`
	Name     string           `json:"name,omitempty" doc:"Of the item"`
	System   string           `json:"system,omitempty"`
	Unit     string           `json:"unit,omitempty" doc:"Id of the organisation"`
	Zone     string           `json:"zone,omitempty"`
	Host     string           `json:"host" doc:"Address or name"`
	Port     int              `json:"port,omitempty"`
	Protocol string           `json:"protocol,omitempty"`
	Service  string           `json:"service,omitempty"`
	Path     string           `json:"path,omitempty"`
	Weakness string           `json:"weakness" doc:"CVE id, or the engine's own id of the check"`
	Aliases  []string         `json:"aliases" nullable:"false" doc:"CNNVD and other ids of the vulnerability"`
	CWEs     []string         `json:"cwes" nullable:"false"`
	Title    detections.Text  `json:"title"`
	Text     detections.Text  `json:"text"`
	Solution detections.Text  `json:"solution"`
	Class    detections.Text  `json:"class"`
	Level    detections.Level `json:"level" enum:"informational,low,medium,high,critical"`
	Score    float64          `json:"score,omitempty"`
	EPSS     float64          `json:"epss,omitempty"`
	State    State            `json:"state" enum:"open,verified,repair,fixed,closed,exception,false_positive"`
	Owner    string           `json:"owner,omitempty"`
	Engines  []string         `json:"engines" nullable:"false" doc:"Who reports it"`
	Checks   []string         `json:"checks" nullable:"false" doc:"Their checks, as engine:id"`
	Evidence string           `json:"evidence,omitempty"`
	Links    []string         `json:"links" nullable:"false"`

	Priority  int             `json:"priority" doc:"0 to 100"`
	Why       detections.Text `json:"why" doc:"Why that priority"`
	Exploited bool            `json:"exploited,omitempty" doc:"Attackers are known to use the vulnerability"`
	Attacked  time.Time       `json:"attacked_at,omitzero" doc:"When an attack on it was seen last"`
	Alerts    []string        `json:"alerts,omitempty" doc:"Ids of alerts about such attacks, the latest first, at most ten"`

	FirstSeen time.Time `json:"first_seen"`
	LastSeen  time.Time `json:"last_seen"`
	Due       time.Time `json:"due_at,omitzero"`
	Overdue   bool      `json:"overdue,omitempty"`
	Closed    time.Time `json:"closed_at,omitzero"`
	Until     time.Time `json:"until,omitzero" doc:"Until when the exception holds"`
	Reopened  int       `json:"reopened,omitempty" doc:"How often it came back"`
	Revision  int64     `json:"revision"`

	exposure    string // of the asset
	criticality int
}

// kept is what a row keeps of a finding beside its columns.
type kept struct {
	Finding
	Exposure    string `json:"exposure,omitempty"`
	Criticality int    `json:"criticality,omitempty"`
}

type row struct {
	bun.BaseModel `bun:"table:exposure_findings,alias:f"`
	ID            string `bun:"id,pk"`
	Tenant        string `bun:"tenant"`
	ItemID        string `bun:"item_id"`
	SystemID      string `bun:"system_id"`
	UnitID        string `bun:"unit_id"`
	Zone          string `bun:"zone"`
	Host          string `bun:"host"`
	Port          int    `bun:"port"`
	Weakness      string `bun:"weakness"`
	State         State  `bun:"state"`
	Level         int    `bun:"level"`
	Priority      int    `bun:"priority"`
	Owner         string `bun:"owner"`
	Engines       string `bun:"engines"`
	Exploited     int    `bun:"exploited"`
	AttackedAt    int64  `bun:"attacked_at"`
	FirstSeen     int64  `bun:"first_seen"`
	LastSeen      int64  `bun:"last_seen"`
	DueAt         int64  `bun:"due_at"`
	ClosedAt      int64  `bun:"closed_at"`
	Until         int64  `bun:"until"`
	Reminded      int    `bun:"reminded"`
	Revision      int64  `bun:"revision"`
	Words         string `bun:"words"`
	Doc           string `bun:"doc"`
	reach.Kept
}

// Items is what is asked of the CMDB.
type Items interface {
	Card(ctx context.Context, r reach.Reach, id string) (cmdb.Card, error)
	At(ctx context.Context, places []cmdb.ZonedAddress) (map[cmdb.ZonedAddress]string, error)
	Called(ctx context.Context, name string, tenants ...string) ([]string, error)
	// Reachable counts items with an address by unit.
	Reachable(ctx context.Context, r reach.Reach) (map[string]int, error)
}

// Attack is an alert about an asset that says what was tried.
type Attack struct {
	Alert      string
	Item       string
	CVEs       []string
	Techniques []string // of ATT&CK
	At         time.Time
}

// Deps is what findings need of others.
type Deps struct {
	Items   Items
	Library interface {
		Some(ctx context.Context, names []string) (map[string]library.VulnLine, error)
		Get(ctx context.Context, id string) (library.Vulnerability, error)
	} // optional
	// Attacks lists attacks seen since then; optional.
	Attacks func(ctx context.Context, since time.Time) ([]Attack, error)
	// Tell has a receiver told of findings; unique tells it from others. Optional.
	Tell func(ctx context.Context, receiver, unique string, list []Finding, over bool) error
	// TellOrder tells the systems that have a work order what happened to it; what was
	// told may be told again. Optional.
	TellOrder func(ctx context.Context, e FindingOrderEvent) error
	Policy    func() Policy // default DefaultPolicy
	Log       *slog.Logger
	Clock     func() time.Time
}

// Service keeps the findings. It is safe for concurrent use; Run follows time and
// attacks.
type Service struct {
	db *cmdb.Database
	Deps
}

// Open brings the tables up to date.
func Open(ctx context.Context, db *cmdb.Database, d Deps) (*Service, error) {
	if d.Items == nil {
		return nil, errors.New("finding: open: Items is required")
	}
	if d.Policy == nil {
		d.Policy = func() Policy { return DefaultPolicy }
	}
	if d.Log == nil {
		d.Log = slog.Default()
	}
	if d.Clock == nil {
		d.Clock = time.Now
	}
	if err := db.Migrate(ctx, "exposure_findings", migrations, postgresMigrations); err != nil {
		return nil, fmt.Errorf("finding: %w", err)
	}
	return &Service{db: db, Deps: d}, nil
}

func (s *Service) now() time.Time { return s.Clock().UTC().Truncate(time.Millisecond) }

// identity is a finding's id: tenant, asset, weakness and place.
func identity(tenant, asset, weakness, place string) string {
	h := sha256.Sum256([]byte(tenant + "\x00" + asset + "\x00" + weakness + "\x00" + place))
	return "f" + hex.EncodeToString(h[:12])
}

// rank is a level's place from the least on: 1 to 5.
func rank(l detections.Level) int { return max(slices.Index(detections.Levels, l), 0) + 1 }

func levelOf(n int) detections.Level {
	return detections.Levels[min(max(n, 1), len(detections.Levels))-1]
}

func millis(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}

func when(ms int64) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms).UTC()
}

// pack makes a finding its row. facts are what data scopes see of it.
func (f *Finding) pack(facts reach.Kept, reminded int) (*row, error) {
	doc, err := json.Marshal(kept{Finding: *f, Exposure: f.exposure, Criticality: f.criticality})
	if err != nil {
		return nil, fmt.Errorf("finding: %w", err)
	}
	engines, err := json.Marshal(f.Engines)
	if err != nil {
		return nil, fmt.Errorf("finding: %w", err)
	}
	exploited := 0
	if f.Exploited {
		exploited = 1
	}
	words := []string{f.Weakness, f.Host, f.Name, f.Title.ZH, f.Title.EN, f.Class.ZH, f.Class.EN, f.Service, f.Path, f.Owner}
	words = append(append(append(words, f.Aliases...), f.Checks...), f.CWEs...)
	return &row{ID: f.ID, Tenant: f.Tenant, ItemID: f.Item, SystemID: f.System, UnitID: f.Unit, Zone: f.Zone, Host: f.Host, Port: f.Port, Weakness: f.Weakness, State: f.State, Level: rank(f.Level), Priority: f.Priority,
		Owner: f.Owner, Engines: string(engines), Exploited: exploited, AttackedAt: millis(f.Attacked), FirstSeen: millis(f.FirstSeen), LastSeen: millis(f.LastSeen), DueAt: millis(f.Due), ClosedAt: millis(f.Closed),
		Until: millis(f.Until), Reminded: reminded, Revision: f.Revision, Words: clip(strings.ToLower(strings.Join(words, "\n")), 4000), Doc: string(doc), Kept: facts}, nil
}

// unpack reads a row.
func (r *row) unpack(now time.Time) (Finding, error) {
	var k kept
	if err := json.Unmarshal([]byte(r.Doc), &k); err != nil {
		return Finding{}, fmt.Errorf("finding: %s cannot be read: %w", r.ID, err)
	}
	f := k.Finding
	f.exposure, f.criticality = k.Exposure, k.Criticality
	f.Overdue = r.DueAt > 0 && r.DueAt < now.UnixMilli() && slices.Contains(counting, r.State)
	for _, l := range []*[]string{&f.Aliases, &f.CWEs, &f.Engines, &f.Checks, &f.Links} {
		if *l == nil {
			*l = []string{}
		}
	}
	return f, nil
}

func clip(s string, n int) string {
	if len(s) <= n {
		return strings.ToValidUTF8(s, "\uFFFD")
	}
	return strings.ToValidUTF8(s[:n], "")
}
