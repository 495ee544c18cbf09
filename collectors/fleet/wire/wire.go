// Package wire is what an agent on a host and the suite say to each other: the
// paths, headers and messages of the agents' API, the enrolment token and the
// document by which an agent is configured. It holds types, constants and the
// checks that both sides make, and imports neither telegraf nor the server.
//
// Records of PathLogs have an ID that is unique for the agent for all time, so that
// a record sent again in another batch is stored once. Of a record the server sets
// tenant, zone, collector and host itself.
//
// All of it travels over HTTP/2 on one TLS 1.3 connection that the agent opens.
// But for Enrol the agent shows its certificate; who it is, and whose, the
// server reads there alone. Bodies are JSON (UTF-8) unless said otherwise, answers
// that are no success are an Error with a status of HTTP.
package wire

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"strings"
	"time"
)

// Machine is what tells a host from others, made of its machine id: under a prefix of its
// own, so that it says nothing to others who know the id.
func Machine(id string) string {
	sum := sha256.Sum256([]byte("icewatch-agent machine\n" + strings.ToLower(id)))
	return hex.EncodeToString(sum[:])
}

// Paths of the agents' API.
const (
	PathEnrol     = "/agent/v1/enrol"     // POST EnrolRequest → EnrolAnswer; no client certificate
	PathRenew     = "/agent/v1/renew"     // POST RenewRequest → RenewAnswer
	PathCheckin   = "/agent/v1/checkin"   // POST Checkin → Orders, long poll
	PathLogs      = "/agent/v1/logs"      // POST a batch: records as soc/intake encodes a batch
	PathMetrics   = "/agent/v1/metrics"   // POST a batch: prometheus.WriteRequest, snappy block
	PathInventory = "/agent/v1/inventory" // POST a batch: one Inventory, zstd
	PathPackages  = "/agent/v1/packages/" // GET + hex SHA-256 → the package's bytes; Range is honoured
)

// DefaultPort is the suite's agents' port.
const DefaultPort = 8444

// HeaderBatch numbers a batch: "<epoch>-<seq>", see Batch.
const HeaderBatch = "Icewatch-Batch"

// Content types and encodings of batches.
const (
	TypeRecords   = "application/vnd.icewatch.batch"
	TypeMetrics   = "application/x-protobuf"
	TypeInventory = "application/json"
	EncodingZstd  = "zstd"
	EncodingSnap  = "snappy"
)

// Bounds that the server holds; an agent keeps below them.
const (
	MaxBody     = 4 << 20  // bytes of a batch as sent
	MaxUnpacked = 32 << 20 // bytes of a batch unpacked
	MaxRecords  = 20_000   // records of a batch
	MaxSamples  = 200_000  // samples of a batch
	MaxCheckin  = 256 << 10
	MaxDocument = 512 << 10 // bytes of a configuration document
)

// PollTime is the longest a checkin waits for something new. An agent gives its
// request PollTime and a half, and asks again at once after an answer.
const PollTime = 55 * time.Second

// OfflineAfter is how long an agent that was not heard of counts as online.
// Members of groups renew their leases more often, see Orders.Interval.
const OfflineAfter = 90 * time.Second

// Error is the body of an answer that is no success.
type Error struct {
	Code   string `json:"code"`   // one of the Code constants
	Detail string `json:"detail"` // what is wrong, where, and what would be right
}

// Codes of errors. With any other, and with a status of 5xx or 429 (which has
// Retry-After), the same request may be sent again later.
const (
	CodeToken     = "token"     // 401: the enrolment token is unknown, used up, expired or withdrawn: do not try again
	CodeRevoked   = "revoked"   // 403: the certificate was revoked: stop sending, keep what is queued
	CodeIdentity  = "identity"  // 401: no certificate, or not of this suite
	CodeMalformed = "malformed" // 400: the request cannot be read: sending it again is of no use
	CodeTooLarge  = "too_large" // 413: send it in smaller pieces
	CodeAbsent    = "absent"    // 404: there is no such package or path
	CodeBusy      = "busy"      // 429 or 503: the suite is full or stopping
	CodeQuota     = "quota"     // 429: the tenant's quota is used up
)

// EnrolRequest asks for an identity.
type EnrolRequest struct {
	Secret string `json:"secret"` // Token.Secret
	CSR    []byte `json:"csr"`    // PKCS#10 in DER, signed by a key made on the host: Ed25519 or ECDSA P-256; its subject is ignored
	// Machine is what tells this host from others and stays: the hex SHA-256 of
	// the machine id (/etc/machine-id, MachineGuid) under a fixed prefix. A host that is enrolled
	// again with the same Machine, by a token of the same tenant, takes the place of
	// the former agent of it, whose certificate is revoked.
	Machine string `json:"machine,omitempty"`
	Facts   Facts  `json:"facts"`
	Version string `json:"version"` // of the agent
}

// EnrolAnswer is an identity. The same secret and the same key in a request
// that is repeated (the answer got lost) get the same answer for ten minutes.
type EnrolAnswer struct {
	Agent       string   `json:"agent"`       // ULID
	Tenant      string   `json:"tenant"`      // slug
	Certificate []byte   `json:"certificate"` // of the agent, DER
	Chain       [][]byte `json:"chain"`       // what lies between it and the CA, DER; usually none
	CA          []byte   `json:"ca"`          // the certificate of the suite's CA for agents, DER
	ServerName  string   `json:"server_name"` // what the server's certificate is made out to: tls.Config.ServerName, whatever the address
	ReleaseKey  []byte   `json:"release_key"` // Ed25519 public key by which upgrade packages are signed, 32 bytes
}

// RenewRequest asks for a new certificate, by the one still valid. An agent asks
// after two thirds of its validity.
type RenewRequest struct {
	CSR []byte `json:"csr"` // of a new key
}

// RenewAnswer is the next certificate. The old one stays valid until the new one
// is used, or its time is over.
type RenewAnswer struct {
	Certificate []byte   `json:"certificate"`
	Chain       [][]byte `json:"chain"`
	CA          []byte   `json:"ca"`          // may be another one than before: trust both until the next renewal
	ReleaseKey  []byte   `json:"release_key"` //
}

// Facts is what an agent knows of its host at once.
type Facts struct {
	Hostname  string   `json:"hostname"`
	Machine   string   `json:"machine,omitempty"` // as in EnrolRequest
	OS        string   `json:"os"`                // linux, windows
	Platform  string   `json:"platform"`          // debian, openEuler, kylin, Microsoft Windows Server 2022
	Release   string   `json:"release"`           // 12.5
	Kernel    string   `json:"kernel"`            //
	Arch      string   `json:"arch"`              // amd64, arm64, loong64
	Virtual   string   `json:"virtual,omitempty"` // physical, kvm, vmware, docker, …; "" is not known
	Cores     int      `json:"cores"`             // logical
	Memory    uint64   `json:"memory"`            // bytes
	Disk      uint64   `json:"disk"`              // bytes of all local file systems
	Addresses []string `json:"addresses"`         // IP addresses, the one of the default route first; no loopback, no link-local
	MACs      []string `json:"macs"`              // aa:bb:cc:dd:ee:ff, sorted
	Serial    string   `json:"serial,omitempty"`  // of the hardware
	Model     string   `json:"model,omitempty"`   // vendor and product
	Booted    int64    `json:"booted,omitempty"`  // Unix seconds
}

// States of an agent by its own word.
const (
	StateHealthy  = "healthy"
	StateDegraded = "degraded" // an input fails, or a part does not run
	StateTripped  = "tripped"  // the breaker holds inputs back
)

// Reason is why a state is not healthy.
type Reason struct {
	Part  string `json:"part"`            // cpu, memory, disk, network; or the name of an input, "nginx"
	Text  string `json:"text"`            // in words
	Since int64  `json:"since,omitempty"` // Unix seconds
}

// Checkin is what an agent tells of itself.
type Checkin struct {
	Version string            `json:"version"`           // of the agent
	Modules map[string]string `json:"modules,omitempty"` // versions of its parts: "telegraf": "1.37.2"
	// Facts are sent with the first checkin of a process and whenever they changed.
	Facts *Facts `json:"facts,omitempty"`

	Config      string       `json:"config"`                 // SHA-256 of the document in force; "" none yet
	ConfigError *Fault       `json:"config_error,omitempty"` // of the document last offered, where it was refused or rolled back
	State       string       `json:"state"`
	Reasons     []Reason     `json:"reasons,omitempty"`
	Queue       Queue        `json:"queue"`
	Usage       Usage        `json:"usage"`
	Inputs      []InputState `json:"inputs,omitempty"`
	Results     []Result     `json:"results,omitempty"` // of commands; repeated until a checkin with them was answered
	Leases      []LeaseState `json:"leases,omitempty"`  // tasks of the group that run here now
	// Extensions are the plug-ins that are installed; null where the agent knows of none.
	Extensions []InstalledExtension `json:"extensions"`
	Leaving    bool                 `json:"leaving,omitempty"` // the process ends after this: it is answered at once
}

// Fault names why a document was not taken.
type Fault struct {
	SHA256     string `json:"sha256"`         // of the document refused
	Part       string `json:"part"`           // the input or section: "inputs.nginx", "limits"
	Line       int    `json:"line,omitempty"` // in the document, from 1
	Text       string `json:"text"`           // what is wrong and what would be right
	RolledBack bool   `json:"rolled_back"`    // it had been in force and made the agent unhealthy
	At         int64  `json:"at,omitempty"`   // Unix seconds
}

// Queue is how the agent's own queue fares.
type Queue struct {
	Bytes          int64  `json:"bytes"`
	Batches        int64  `json:"batches"`
	OldestSeconds  int64  `json:"oldest_seconds"`  // age of the oldest
	DroppedMetrics uint64 `json:"dropped_metrics"` // samples, since the agent was enrolled
	DroppedLines   uint64 `json:"dropped_lines"`
	SentLines      uint64 `json:"sent_lines"`
	SentSamples    uint64 `json:"sent_samples"`
}

// Usage is what the agent itself takes.
type Usage struct {
	CPUPercent  float64 `json:"cpu_percent"` // of one core, over the last minute
	MemoryBytes uint64  `json:"memory_bytes"`
	DiskBytes   uint64  `json:"disk_bytes"`
	SentBytes   uint64  `json:"sent_bytes"` // since the process started
	Started     int64   `json:"started"`    // Unix seconds
	// Host is what all of the host takes; nil where the agent does not tell it.
	Host *HostUsage `json:"host,omitempty"`
}

// HostUsage is what all that runs on a host takes. A negative value is not known.
type HostUsage struct {
	CPUPercent    float64 `json:"cpu_percent"`    // of all cores
	MemoryPercent float64 `json:"memory_percent"` // in use
	DiskPercent   float64 `json:"disk_percent"`   // in use, of the file system of the agent's folder
	NetworkKBps   float64 `json:"network_kbps"`   // kilobytes a second in and out, without the loopback
}

// InputState is how one input fares.
type InputState struct {
	Name   string `json:"name"` // as in the document
	Plugin string `json:"plugin"`
	State  string `json:"state"`           // running, failing, held (by the breaker), stopped
	Error  string `json:"error,omitempty"` // the last, without secrets
	Rate   uint64 `json:"rate"`            // samples or lines a minute
	// Busy is how much of the time since the last full minute gathering took, in percent.
	Busy float64 `json:"busy_percent,omitempty"`
	// CPU is the processor time of the thread that gathers, and of the processes of an extension, in
	// percent of one core since the last full minute. Threads that a plug-in begins itself are not in it.
	CPU float64 `json:"cpu_percent,omitempty"`
	// KBps is the data that it gave to the queue, in kilobytes a second before compression.
	KBps float64 `json:"sent_kbps,omitempty"`
	// Extension is how the program of an extension plug-in fares; nil of any other.
	Extension *ExtensionState `json:"extension,omitempty"`
}

// ExtensionState is how the program of an extension plug-in fares.
type ExtensionState struct {
	Package     string  `json:"package"`
	Version     string  `json:"version"`
	PID         int     `json:"pid,omitempty"`     // of the process that runs now
	Started     int64   `json:"started,omitempty"` // Unix seconds, of the last start
	Starts      uint64  `json:"starts"`            // of the program, since the input began
	Restarts    uint64  `json:"restarts"`          // starts after an end that was not wanted
	Samples     uint64  `json:"samples"`           // samples or lines, since the input began
	Errors      uint64  `json:"errors"`            // since the input began
	CPUPercent  float64 `json:"cpu_percent"`       // of one core, of all its processes, over the last looks
	MemoryBytes uint64  `json:"memory_bytes"`      // of all its processes now; of a run that is over its highest
}

// Orders is the answer to a checkin. What is nil or empty says nothing new.
type Orders struct {
	Config   *Config   `json:"config,omitempty"` // to be in force from now on, where it differs from Checkin.Config
	Commands []Command `json:"commands,omitempty"`
	// Leases are all tasks of the group that this agent holds now, or nil where
	// nothing changed. A task that is not among them stops at once; see Lease.
	Leases   *[]Lease `json:"leases,omitempty"`
	Interval int      `json:"interval"` // seconds that a checkin may wait at most from now on: an agent with leases gets less than PollTime
	Time     int64    `json:"time"`     // the server's clock, Unix milliseconds
}

// Config is a configuration document for this agent alone, with secrets filled in.
type Config struct {
	Version  int64  `json:"version"`  // grows; for show
	SHA256   string `json:"sha256"`   // hex, of Document as it travels
	Document string `json:"document"` // YAML, see Document
}

// Kinds of commands.
const (
	CommandRestart   = "restart"   // the agent's process
	CommandReload    = "reload"    // the configuration in force
	CommandUpgrade   = "upgrade"   // Package
	CommandUninstall = "uninstall" // stop and disable; the server revokes after the result
	CommandInventory = "inventory" // collect and send now
	CommandStart     = "start"     // Input
	CommandStop      = "stop"      // Input, until start or a restart

	CommandInstallExtension = "plugin-install" // Extension; a version that is there already stays
	CommandRemoveExtension  = "plugin-remove"  // Extension's name
	CommandStartExtension   = "plugin-start"   // Extension's name
	CommandStopExtension    = "plugin-stop"    // Extension's name
)

// Command is one order. It is sent again until its Result came; an agent runs an
// ID once and repeats the result of one it ran.
type Command struct {
	ID      string   `json:"id"` // ULID
	Kind    string   `json:"kind"`
	Input   string   `json:"input,omitempty"`
	Package *Package `json:"package,omitempty"`
	// Extension is the plug-in that a command is about; of all but the installation its name alone.
	Extension *Extension `json:"extension,omitempty"`
	Until     int64      `json:"until"` // Unix seconds; not begun by then, it is refused as late
}

// Extension is a package of an extension plug-in, see collectors/fleet/extension. It is
// fetched from PathPackages + SHA256.
type Extension struct {
	Name      string `json:"name"`
	Version   string `json:"version"`
	SHA256    string `json:"sha256"` // hex, of the archive
	Size      int64  `json:"size"`
	Signature []byte `json:"signature"` // Ed25519 by the release key over Signed
}

// Signed is the text that the signature is over.
func (e Extension) Signed() []byte {
	return []byte("icewatch-agent plug-in\n" + e.Name + "\n" + e.Version + "\n" + e.SHA256 + "\n")
}

// InstalledExtension is an extension plug-in that a host has.
type InstalledExtension struct {
	Name    string `json:"name"`
	Version string `json:"version"`
	Error   string `json:"error,omitempty"` // why it cannot be used
}

// ExtensionPlugin is the name by which inputs of a document name extension plug-ins. Their
// settings are package, version and options.
const ExtensionPlugin = "extension"

// Package is an upgrade package: the agent's executable itself.
type Package struct {
	Version   string `json:"version"`
	OS        string `json:"os"`
	Arch      string `json:"arch"`
	SHA256    string `json:"sha256"` // hex
	Size      int64  `json:"size"`
	URL       string `json:"url"`       // PathPackages + SHA256, on the server the agent speaks to
	Signature []byte `json:"signature"` // Ed25519 by the release key over Signed
}

// Signed is the text that a package's signature is over.
func (p Package) Signed() []byte {
	return []byte("icewatch-agent package\n" + p.Version + "\n" + p.OS + "/" + p.Arch + "\n" + p.SHA256 + "\n")
}

// Result is what came of a command.
type Result struct {
	ID   string `json:"id"`
	OK   bool   `json:"ok"`
	Text string `json:"text,omitempty"` // what happened, why it failed
	At   int64  `json:"at"`             // Unix seconds
}

// Lease is a task of a group that this agent runs until Until unless it is
// prolonged by Orders that hold it again. TTL counts from when the checkin
// that the Orders answer was *sent*, so that clocks need not agree: an agent that gets no
// word stops the task at that moment, and the server gives it to another member
// only later.
type Lease struct {
	Task  string `json:"task"`
	Fence int64  `json:"fence"` // grows with each new holder
	TTL   int64  `json:"ttl_ms"`
	// Document is a document with inputs alone; with secrets filled in.
	Document string `json:"document"`
	SHA256   string `json:"sha256"`
}

// LeaseState is a task that runs, or does not.
type LeaseState struct {
	Task  string `json:"task"`
	Fence int64  `json:"fence"`
	Error string `json:"error,omitempty"`
	// These are those of its inputs together, as in InputState; MemoryBytes is of extensions alone.
	Rate        uint64  `json:"rate,omitempty"`
	Busy        float64 `json:"busy_percent,omitempty"`
	CPU         float64 `json:"cpu_percent,omitempty"`
	KBps        float64 `json:"sent_kbps,omitempty"`
	MemoryBytes uint64  `json:"memory_bytes,omitempty"`
}

// Inventory is what a host has. It replaces what was known.
type Inventory struct {
	Taken        int64          `json:"taken"` // Unix seconds
	Facts        Facts          `json:"facts"`
	Disks        []Disk         `json:"disks,omitempty"`
	Interfaces   []Interface    `json:"interfaces,omitempty"`
	Packages     []Installed    `json:"packages,omitempty"`
	Processes    []Process      `json:"processes,omitempty"`
	Ports        []Port         `json:"ports,omitempty"`
	Users        []User         `json:"users,omitempty"`
	Certificates []Certificate  `json:"certificates,omitempty"`
	Containers   []Container    `json:"containers,omitempty"`
	Services     []Service      `json:"services,omitempty"`
	Cloud        *CloudInstance `json:"cloud,omitempty"`  // what the host is in a cloud; nil where it is in none that is known
	Errors       []Reason       `json:"errors,omitempty"` // parts that could not be read
	// Baseline is the configuration held against the items of soc/exposure/baseline; what
	// the host does not have is not in it.
	Baseline []BaselineCheck `json:"baseline,omitempty"`
}

// CloudInstance is what a host is in its cloud, by the cloud's own word.
type CloudInstance struct {
	Provider string `json:"provider"` // alibaba, aws, tencent, huawei, openstack
	Instance string `json:"instance"` // id
	Type     string `json:"type,omitempty"`
	Region   string `json:"region,omitempty"`
	Zone     string `json:"zone,omitempty"`
	Account  string `json:"account,omitempty"` // id of the account or project that it is of
}

// States of an item of a baseline.
const (
	BaselinePass    = "pass"
	BaselineFail    = "fail"
	BaselineUnknown = "unknown" // it could not be read
)

// BaselineCheck is what an item of a baseline came to.
type BaselineCheck struct {
	ID    string `json:"id"`
	State string `json:"state" enum:"pass,fail,unknown"`
	Where string `json:"where,omitempty"` // file; tells several of one product apart
	Found string `json:"found,omitempty"` // the setting, or why it could not be read; no secrets
}

// Disk is a mounted file system.
type Disk struct {
	Device string `json:"device"`
	Mount  string `json:"mount"`
	Type   string `json:"type"`
	Size   uint64 `json:"size"`
	Used   uint64 `json:"used"`
}

// Interface is a network interface.
type Interface struct {
	Name      string   `json:"name"`
	MAC       string   `json:"mac,omitempty"`
	Addresses []string `json:"addresses,omitempty"` // with prefix length
	Up        bool     `json:"up"`
}

// Installed is a package of the operating system.
type Installed struct {
	Name    string `json:"name"`
	Version string `json:"version"`
	Arch    string `json:"arch,omitempty"`
	Source  string `json:"source"` // dpkg, rpm, apk, windows
	// What it was built from, by which distributions tell of vulnerabilities; empty
	// where it is as the package.
	SourcePackage string `json:"source_package,omitempty"`
	SourceVersion string `json:"source_version,omitempty"`
}

// Process is a running process. Command holds no arguments that look like secrets.
type Process struct {
	PID     int     `json:"pid"`
	Parent  int     `json:"parent,omitempty"`
	Name    string  `json:"name"`
	Path    string  `json:"path,omitempty"`
	Command string  `json:"command,omitempty"`
	User    string  `json:"user,omitempty"`
	Started int64   `json:"started,omitempty"`
	CPU     float64 `json:"cpu_percent"`
	Memory  uint64  `json:"memory_bytes"`
}

// Port is a socket that listens.
type Port struct {
	Protocol string `json:"protocol"` // tcp, udp
	Address  string `json:"address"`
	Port     int    `json:"port"`
	PID      int    `json:"pid,omitempty"`
	Process  string `json:"process,omitempty"`
	Service  string `json:"service,omitempty"` // what it is known as: postgresql, redis, nginx …; "" not known
	Version  string `json:"version,omitempty"`
}

// User is an account of the host.
type User struct {
	Name   string   `json:"name"`
	ID     string   `json:"id"`
	Home   string   `json:"home,omitempty"`
	Shell  string   `json:"shell,omitempty"`
	Groups []string `json:"groups,omitempty"`
	Login  bool     `json:"login"` // may sign in
}

// Certificate is a certificate found in a file or store.
type Certificate struct {
	Path     string `json:"path"`
	Subject  string `json:"subject"`
	Issuer   string `json:"issuer"`
	Serial   string `json:"serial"`
	SHA256   string `json:"sha256"`
	NotAfter int64  `json:"not_after"` // Unix seconds
}

// Container is a container that the host's engine or its kubelet knows.
type Container struct {
	ID        string             `json:"id"`
	Name      string             `json:"name"`
	Image     string             `json:"image"`
	State     string             `json:"state"` // running, exited, paused, created, restarting, dead, waiting
	Ports     []string           `json:"ports,omitempty"`
	Engine    string             `json:"engine,omitempty"`  // docker, podman, kubernetes
	Health    string             `json:"health,omitempty"`  // healthy, unhealthy, starting; "" where it is not checked
	Reason    string             `json:"reason,omitempty"`  // why it waits or ended, by the engine's word
	Started   int64              `json:"started,omitempty"` // Unix seconds
	Restarts  int                `json:"restarts,omitempty"`
	ExitCode  int                `json:"exit_code,omitempty"` // of one that ended
	PID       int                `json:"pid,omitempty"`       // its first process, on the host
	Pod       string             `json:"pod,omitempty"`
	Namespace string             `json:"namespace,omitempty"` // of the pod
	Addresses []string           `json:"addresses,omitempty"`
	Service   string             `json:"service,omitempty"` // what the image is: postgresql, redis …; "" not known
	Version   string             `json:"version,omitempty"` // by the image's tag
	Services  []ContainerService `json:"services,omitempty"`
}

// ContainerService is a port on which something in a container listens.
type ContainerService struct {
	Protocol  string `json:"protocol"` // tcp, udp
	Address   string `json:"address,omitempty"`
	Port      int    `json:"port"`                // within the container
	Published string `json:"published,omitempty"` // address and port of the host that lead there
	PID       int    `json:"pid,omitempty"`       // on the host
	Process   string `json:"process,omitempty"`
	Service   string `json:"service,omitempty"` // as in Port; "" not known
	Version   string `json:"version,omitempty"`
	// Listening tells that a socket was seen; else the port is one that the image or the engine names alone.
	Listening bool `json:"listening"`
}

// Service is a service of systemd or Windows.
type Service struct {
	Name  string `json:"name"`
	State string `json:"state"` // active, failed, inactive
	Start string `json:"start,omitempty"`
}

// Encode writes a message as JSON; none of this package's cannot be.
func Encode(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err) // only channels, functions and cycles cannot
	}
	return b
}
