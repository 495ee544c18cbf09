// Package wire is what a scanner and the suite say to each other: paths, runs,
// orders, results and their bounds. It holds types, constants and the checks that
// both sides make, and imports neither an engine of checks nor the server.
//
// A scanner enrols and renews as an agent does (collectors/fleet/wire); its
// certificate says that it is a scanner. Tenant and scanner are read there alone.
// Bodies are JSON (UTF-8) unless said otherwise, answers that are no success are
// the fleet's Error with a status of HTTP.
package wire

import (
	"encoding/json"
	"time"
)

// Paths of the scanners' API.
const (
	PathCheckin   = "/scanner/v1/checkin"    // POST Checkin → Orders, long poll as the fleet's
	PathResults   = "/scanner/v1/results"    // POST a batch of Result, one JSON a line, zstd
	PathTemplates = "/scanner/v1/templates/" // GET + hex SHA-256 → the package's bytes
)

// How batches of results travel. They are numbered by the fleet's HeaderBatch.
const (
	TypeResults     = "application/x-ndjson"
	EncodingResults = "zstd"
)

// Bounds that both sides hold.
const (
	MaxBody      = 4 << 20   // bytes of a batch as sent
	MaxUnpacked  = 32 << 20  // bytes of a batch unpacked
	MaxResults   = 5_000     // results of a batch
	MaxResult    = 64 << 10  // bytes of one result as JSON
	MaxCheckin   = 256 << 10 // bytes
	MaxOrders    = 8 << 20   // bytes
	MaxRuns      = 64        // runs that a scanner has at once
	MaxRanges    = 4_096     // ranges of a scope, exclusions counted apart
	MaxTargets   = 65_536    // targets of a run as written: a range is one
	MaxHosts     = 1 << 22   // addresses that a run's targets stand for
	MaxPorts     = 65_535    // of each protocol
	MaxChecks    = 10_000    // ids and tags of a run
	MaxRetests   = 10_000    // of a run
	MaxEvidence  = 4 << 10   // bytes of a weakness's evidence
	MaxBanner    = 1 << 10   // bytes of a service's banner
	MaxTemplates = 64 << 20  // bytes of a package of templates
)

// Kinds of runs.
const (
	KindDiscover = "discover" // hosts and services
	KindCheck    = "check"    // discover, then checks for weaknesses
	KindRetest   = "retest"   // the same checks once more on what was found: Run.Retest
	KindDeep     = "deep"     // discover, then what credentials let read of each host
)

// Probes of discovery.
const (
	ProbePing   = "ping"   // ICMP echo; ARP where the address is on the same link
	ProbeTCP    = "tcp"    // connects to Ports.TCP
	ProbeUDP    = "udp"    // asks services of Ports.UDP in their own protocol
	ProbeSNMP   = "snmp"   // reads the system group with the run's credentials of kind snmp, v2c or v3
	ProbeBanner = "banner" // reads what a service says of itself
	ProbeHTTP   = "http"   // fingerprints of web servers
	ProbeTLS    = "tls"    // certificates and versions
)

// Probes are all of them, in the order they are made.
var Probes = []string{ProbePing, ProbeTCP, ProbeUDP, ProbeSNMP, ProbeBanner, ProbeTLS, ProbeHTTP}

// Run is an order to scan.
type Run struct {
	ID     string `json:"id"` // ULID
	Kind   string `json:"kind"`
	Tenant string `json:"tenant"`         // slug
	Zone   string `json:"zone,omitempty"` // where the addresses mean what they mean
	Name   string `json:"name,omitempty"` // for show

	Scope   Scope    `json:"scope"`
	Targets []string `json:"targets,omitempty"` // IP, CIDR, host name or URL; the scope's ranges where it is empty
	Ports   Ports    `json:"ports"`             // the scanner's usual ones where it is empty
	Probes  []string `json:"probes,omitempty"`  // all where it is empty
	// Checks are ids and tags of checks; every check that Safe allows where it is empty. "-ID" or "-TAG" leaves out.
	Checks []string `json:"checks,omitempty"`
	// Unsafe allows checks that may disturb a service or change data. It is the
	// contract's "safe", turned round, so that what is absent is safe.
	Unsafe bool `json:"unsafe,omitempty"`

	Rate        Rate         `json:"rate"`
	Windows     []Window     `json:"windows,omitempty"` // always where it is empty
	Until       int64        `json:"until,omitempty"`   // Unix seconds; what is left then is not scanned, the run ends as expired
	Lockout     Lockout      `json:"lockout"`
	Credentials []Credential `json:"credentials,omitempty"` // in memory alone, see Checkin.Wants
	Retest      []Retest     `json:"retest,omitempty"`      // of KindRetest
}

// Scope is what may be touched. The scanner holds every socket to it itself.
type Scope struct {
	Ranges     []string `json:"ranges"`               // CIDR or address
	Exclusions []string `json:"exclusions,omitempty"` // CIDR or address: never touched, whatever Ranges says
	ApprovedBy string   `json:"approved_by,omitempty"`
	ApprovedAt int64    `json:"approved_at,omitempty"` // Unix seconds
	Expires    int64    `json:"expires,omitempty"`     // Unix seconds; from then on nothing is touched; 0 never
}

// Ports are numbers and ranges: "22", "8000-8100".
type Ports struct {
	TCP []string `json:"tcp,omitempty"`
	UDP []string `json:"udp,omitempty"`
}

// Rate bounds a run. What is 0 is the scanner's usual bound, see the Default constants.
type Rate struct {
	Packets int `json:"packets,omitempty"`  // connects and datagrams a second, of the whole run
	PerHost int `json:"per_host,omitempty"` // of them to one address
	Hosts   int `json:"hosts,omitempty"`    // addresses at once
}

// Usual bounds, and the most that a run may ask for.
const (
	DefaultPackets = 200
	DefaultPerHost = 20
	DefaultHosts   = 16
	MostPackets    = 20_000
	MostPerHost    = 2_000
	MostHosts      = 1_024
)

// Window is a time of the week in which the run may scan; outside of all of them it pauses.
type Window struct {
	Days []int  `json:"days,omitempty"` // 1 Monday … 7 Sunday; every day where it is empty
	From string `json:"from"`           // "22:00"
	To   string `json:"to"`             // "06:00", the next day where it is not after From; "24:00" is allowed
	Zone string `json:"zone"`           // IANA: "Asia/Shanghai"; UTC where it is empty
}

// Lockout bounds how often passwords are tried. What is 0 is the usual bound.
type Lockout struct {
	Attempts int `json:"attempts,omitempty"` // for one account of one service within Window; never more than MostAttempts
	Window   int `json:"window,omitempty"`   // seconds after which an account's attempts count anew
}

// Usual bounds of attempts: below where systems commonly lock accounts.
const (
	DefaultAttempts = 3
	MostAttempts    = 50
	DefaultLockout  = 30 * 60 // seconds
)

// Kinds of credentials.
const (
	CredentialSSH      = "ssh"      // User and Secret (password) or Key
	CredentialSNMP     = "snmp"     // Secret is the community of v2c; with User, v3 (authPriv with SHA-256 and AES, Secret both)
	CredentialMySQL    = "mysql"    //
	CredentialPostgres = "postgres" //
	CredentialRedis    = "redis"    //
	CredentialWinRM    = "winrm"    // reserved
)

// Credential is filled in by the server for this scanner only. It is never logged and never on the scanner's disk.
type Credential struct {
	Kind   string `json:"kind"`
	Name   string `json:"name"` // by which it is known to people
	User   string `json:"user,omitempty"`
	Secret string `json:"secret,omitempty"`
	Key    string `json:"key,omitempty"`  // private key, PEM
	Host   string `json:"host,omitempty"` // only for this address; every address where it is empty
	Port   int    `json:"port,omitempty"` // the kind's own where it is 0
}

// String keeps the secret out of what is printed.
func (c Credential) String() string { return "credential " + c.Name + " (" + c.Kind + ")" }

// GoString keeps the secret out of %#v.
func (c Credential) GoString() string { return c.String() }

// Retest names one finding to look at again.
type Retest struct {
	Finding string `json:"finding"`        // the suite's id; comes back in Weakness and Absent
	Check   string `json:"check"`          // Weakness.Check
	Target  string `json:"target"`         // address or host name
	Port    int    `json:"port,omitempty"` //
	Path    string `json:"path,omitempty"` // path or URL where it was found
}

// States of a run by the scanner's word.
const (
	StateWaiting = "waiting" // not begun
	StateRunning = "running"
	StatePaused  = "paused" // Progress.Paused says why
)

// Stages of a run.
const (
	StageDiscover = "discover"
	StageCheck    = "check"
	StageDeep     = "deep"
)

// Checkin is what a scanner tells of itself.
type Checkin struct {
	Version   string            `json:"version"`           // of the scanner
	Engines   map[string]string `json:"engines,omitempty"` // "nuclei": "3.10.0"
	Templates []Templates       `json:"templates,omitempty"`
	State     string            `json:"state"`            // healthy, degraded
	Reason    string            `json:"reason,omitempty"` // why it is degraded
	Runs      []RunState        `json:"runs,omitempty"`   // that it has, all of them
	// Wants are ids of runs that the scanner has on disk but without their
	// credentials, after a restart: the server sends them once more, whole.
	Wants  []string `json:"wants,omitempty"`
	Queued int64    `json:"queued"`          // results that wait to be sent
	Local  []string `json:"local,omitempty"` // ranges that the host's own file narrows every run to; nil no narrowing
}

// Sources of templates.
const (
	SourceShipped   = "shipped"   // part of the scanner
	SourceUpdate    = "update"    // a signed package of the suite
	SourceCommunity = "community" // a folder on the scanner's host
)

// Templates is one source of checks.
type Templates struct {
	Source string `json:"source"`
	Name   string `json:"name,omitempty"` // of the package or folder
	Digest string `json:"digest"`         // hex SHA-256 over names and contents
	Count  int    `json:"count"`
}

// RunState is how a run fares.
type RunState struct {
	ID       string   `json:"id"`
	State    string   `json:"state"`
	Progress Progress `json:"progress"`
}

// Progress counts what is done and durable, never what is only planned. Totals
// are known from the first moment: addresses that are never going to be
// touched do not count.
type Progress struct {
	Stage       string `json:"stage"`
	HostsDone   int64  `json:"hosts_done"`
	HostsTotal  int64  `json:"hosts_total"`
	ProbesDone  int64  `json:"probes_done"`  // connects and datagrams of discovery
	ProbesTotal int64  `json:"probes_total"` //
	ChecksDone  int64  `json:"checks_done"`  // hosts or services that were checked, by stage
	ChecksTotal int64  `json:"checks_total"` // grows while services are found
	Found       int64  `json:"found"`        // hosts that answered
	Services    int64  `json:"services"`
	Weaknesses  int64  `json:"weaknesses"`
	Refused     int64  `json:"refused"`           // targets and sockets outside the scope
	Started     int64  `json:"started,omitempty"` // Unix seconds
	Paused      string `json:"paused,omitempty"`  // why, in words; "" it is not paused
}

// Orders is the answer to a checkin. What is empty says nothing new.
type Orders struct {
	Runs   []Run    `json:"runs,omitempty"`   // new ones, and those of Checkin.Wants
	Cancel []string `json:"cancel,omitempty"` // ids of runs to end; repeated until the scanner does not list them
	// Pause are all ids of runs that are to rest; those that are no longer named go on.
	Pause []string `json:"pause,omitempty"`
	// Templates are all packages that the scanner should have; others are removed.
	Templates []TemplatesFile `json:"templates,omitempty"`
	Interval  int             `json:"interval,omitempty"` // seconds that a checkin may wait at most
	Time      int64           `json:"time"`               // the server's clock, Unix milliseconds
}

// TemplatesFile is a package of templates: a gzipped tar of *.yaml files.
type TemplatesFile struct {
	Name      string `json:"name"`
	SHA256    string `json:"sha256"` // hex
	Size      int64  `json:"size"`
	URL       string `json:"url"`       // PathTemplates + SHA256
	Signature []byte `json:"signature"` // Ed25519 by the release key over Signed
}

// Signed is the text that the package's signature is over.
func (t TemplatesFile) Signed() []byte {
	return []byte("icewatch-scanner templates\n" + t.Name + "\n" + t.SHA256 + "\n")
}

// PollTime is the longest that a checkin waits for something new.
const PollTime = 25 * time.Second

// Encode writes a message as JSON; none of this package's cannot be.
func Encode(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err) // only channels, functions and cycles cannot
	}
	return b
}
