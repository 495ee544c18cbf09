package wire

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"strings"

	"github.com/klauspost/compress/zstd"
)

// Kinds of results. Each has the field of Result by its name.
const (
	KindHost      = "host"
	KindService   = "service"
	KindWeakness  = "weakness"
	KindAbsent    = "absent"
	KindAttempts  = "attempts"
	KindRefused   = "refused"
	KindAttribute = "attribute"
	KindNote      = "note"
	KindEnd       = "end"
)

// Result is one line of what a run found. Run and Seq name it for all time: the
// same one sent again in another batch is the same result. Within a run Seq grows.
type Result struct {
	Run  string `json:"run"`
	Seq  uint64 `json:"seq"` // from 1
	Kind string `json:"kind"`
	At   int64  `json:"at"` // Unix milliseconds, when it was found

	Host      *Host      `json:"host,omitempty"`
	Service   *Service   `json:"service,omitempty"`
	Weakness  *Weakness  `json:"weakness,omitempty"`
	Absent    *Absent    `json:"absent,omitempty"`
	Attempts  *Attempts  `json:"attempts,omitempty"`
	Refused   *Refused   `json:"refused,omitempty"`
	Attribute *Attribute `json:"attribute,omitempty"`
	Note      *Note      `json:"note,omitempty"`
	End       *End       `json:"end,omitempty"`
}

// Host is an address that answered.
type Host struct {
	Address string   `json:"address"`
	Names   []string `json:"names,omitempty"`
	MAC     string   `json:"mac,omitempty"` // aa:bb:cc:dd:ee:ff; only of the scanner's own links
	Vendor  string   `json:"vendor,omitempty"`
	OS      string   `json:"os,omitempty"`      // a guess: "Debian GNU/Linux 12", "Linux"
	OSFrom  string   `json:"os_from,omitempty"` // what the guess is from: ssh-banner, snmp, http, smb
	Found   []string `json:"found,omitempty"`   // probes that it answered: ping, tcp, udp, snmp
	RTT     float64  `json:"rtt_ms,omitempty"`  // of the fastest answer, milliseconds
}

// Service is a port that is open.
type Service struct {
	Address  string `json:"address"`
	Port     int    `json:"port"`
	Protocol string `json:"proto"`             // tcp, udp
	Name     string `json:"service,omitempty"` // what it was seen to speak: http, ssh, redis …; "" not known
	Product  string `json:"product,omitempty"` // nginx, OpenSSH
	Version  string `json:"version,omitempty"`
	CPE      string `json:"cpe,omitempty"` // 2.3
	Banner   string `json:"banner,omitempty"`
	TLS      *TLS   `json:"tls,omitempty"`
	HTTP     *HTTP  `json:"http,omitempty"`
}

// TLS is what a service with TLS shows.
type TLS struct {
	Subject     string   `json:"subject"`
	Issuer      string   `json:"issuer"`
	Serial      string   `json:"serial,omitempty"` // hex
	SANs        []string `json:"sans,omitempty"`
	NotBefore   int64    `json:"not_before"`  // Unix seconds
	NotAfter    int64    `json:"not_after"`   // Unix seconds
	Fingerprint string   `json:"fingerprint"` // hex SHA-256 of the certificate
	Version     string   `json:"version"`     // the best both speak: "TLS 1.3"
	Versions    []string `json:"versions,omitempty"`
	Cipher      string   `json:"cipher,omitempty"`
	Key         string   `json:"key,omitempty"` // "RSA 2048"
	Signature   string   `json:"signature,omitempty"`
	SelfSigned  bool     `json:"self_signed,omitempty"`
}

// HTTP is what a web server shows.
type HTTP struct {
	URL          string   `json:"url"`
	Status       int      `json:"status"`
	Title        string   `json:"title,omitempty"`
	Server       string   `json:"server,omitempty"`
	Favicon      string   `json:"favicon_hash,omitempty"` // MurmurHash3 of the icon in base64, decimal, as search engines of the field write it
	Technologies []string `json:"technologies,omitempty"` // "Nginx:1.22.1"
	Location     string   `json:"location,omitempty"`     // where it sends to
}

// Severities.
const (
	SeverityInfo     = "info"
	SeverityLow      = "low"
	SeverityMedium   = "medium"
	SeverityHigh     = "high"
	SeverityCritical = "critical"
)

// Severities are all of them, the least first.
var Severities = []string{SeverityInfo, SeverityLow, SeverityMedium, SeverityHigh, SeverityCritical}

// Weakness is something that is wrong with an address.
type Weakness struct {
	Check    string   `json:"check"`             // id of the check, stable
	Engine   string   `json:"engine"`            // icewatch, nuclei
	Finding  string   `json:"finding,omitempty"` // Retest.Finding, where it was looked at again
	Title    string   `json:"title"`
	TitleZH  string   `json:"title_zh,omitempty"`
	Severity string   `json:"severity"`
	CVE      []string `json:"cve,omitempty"`
	CWE      []string `json:"cwe,omitempty"` // "CWE-306"
	CVSS     float64  `json:"cvss,omitempty"`
	Tags     []string `json:"tags,omitempty"`

	Address    string   `json:"address"`
	Host       string   `json:"host,omitempty"` // the name it was reached by
	Port       int      `json:"port,omitempty"`
	Protocol   string   `json:"proto,omitempty"`     // tcp, udp
	Service    string   `json:"service,omitempty"`   // as Service.Name
	Path       string   `json:"path,omitempty"`      // path or URL
	Parameter  string   `json:"parameter,omitempty"` // of a form or query
	Evidence   string   `json:"evidence,omitempty"`  // bounded by MaxEvidence; secrets are masked
	Item       string   `json:"item,omitempty"`      // of MLPS-3 or CIS: "MLPS-3 8.1.4.1"
	Solution   string   `json:"solution,omitempty"`
	SolutionZH string   `json:"solution_zh,omitempty"`
	References []string `json:"references,omitempty"`
}

// Absent is a finding that the same check did not find again. It is said only
// where the service answered, or where the port is closed and the host answers
// otherwise; what could not be looked at is a Note.
type Absent struct {
	Finding string `json:"finding"`
	Check   string `json:"check"`
	Target  string `json:"target"`
	Port    int    `json:"port,omitempty"`
	Path    string `json:"path,omitempty"`
	Reason  string `json:"reason"` // "closed", "clean"
}

// Attempts counts passwords that were tried, for the proof that no account was locked by it.
type Attempts struct {
	Address string `json:"address"`
	Port    int    `json:"port"`
	Service string `json:"service"`
	Account string `json:"account"`           // "" the service has none (Redis, SNMP)
	Count   int    `json:"count"`             // that were refused or accepted, since the run began
	Stopped string `json:"stopped,omitempty"` // why no more are tried: "limit", "locked" (a sign of it), "found"
}

// Refused is a target or a socket outside the scope, which was not touched.
type Refused struct {
	Target string `json:"target"` // as it was asked for
	Why    string `json:"why"`
	By     string `json:"by,omitempty"` // what asked: targets, nuclei, http …
}

// Names of attributes that tell a machine from others.
const (
	AttributeMachine = "machine_id"  // of the installation: 64 hex digits, see MachineOf
	AttributeEngine  = "snmp_engine" // of the SNMP agent, hex
	AttributeMACs    = "macs"        // of its network cards, separated by ;
	// AttributeMetrics is how a host does: an object of numbers, by names of small letters,
	// digits and _, with the unit at their end.
	AttributeMetrics = "metrics"
)

// Attribute is what deep discovery read of a host, for the CMDB.
type Attribute struct {
	Address string          `json:"address"`
	Name    string          `json:"name"` // hostname, os, os_version, kernel, serial, model, cores, memory, disk, software, interface …
	Value   json.RawMessage `json:"value"`
	Source  string          `json:"source"` // ssh, snmp
}

// Levels of notes.
const (
	LevelInfo  = "info"
	LevelWarn  = "warn"
	LevelError = "error"
)

// Note is what people should know of a run: what could not be looked at, and why.
type Note struct {
	Level  string `json:"level"`
	Text   string `json:"text"`
	Target string `json:"target,omitempty"`
}

// Ends of runs.
const (
	EndDone      = "done"
	EndCancelled = "cancelled"
	EndExpired   = "expired" // Run.Until or Scope.Expires came
	EndFailed    = "failed"
)

// End is the last result of a run.
type End struct {
	State    string   `json:"state"`
	Reason   string   `json:"reason,omitempty"`
	Progress Progress `json:"counts"`
}

// Check tells what is wrong with a result that came over the wire.
func (r *Result) Check() error {
	if r.Run == "" || len(r.Run) > 64 {
		return errors.New("run: missing or longer than 64 bytes")
	}
	if r.Seq == 0 {
		return errors.New("seq: counts from 1")
	}
	has := func(name string, present bool) error {
		if present != (r.Kind == name) {
			return fmt.Errorf("kind %q: field %q is present: %v", r.Kind, name, present)
		}
		return nil
	}
	switch r.Kind {
	case KindHost, KindService, KindWeakness, KindAbsent, KindAttempts, KindRefused, KindAttribute, KindNote, KindEnd:
	default:
		return fmt.Errorf("kind: there is no %q", r.Kind)
	}
	if err := errors.Join(has(KindHost, r.Host != nil), has(KindService, r.Service != nil), has(KindWeakness, r.Weakness != nil),
		has(KindAbsent, r.Absent != nil), has(KindAttempts, r.Attempts != nil), has(KindRefused, r.Refused != nil),
		has(KindAttribute, r.Attribute != nil), has(KindNote, r.Note != nil), has(KindEnd, r.End != nil)); err != nil {
		return err
	}
	switch r.Kind {
	case KindHost:
		return address("host.address", r.Host.Address)
	case KindService:
		if err := address("service.address", r.Service.Address); err != nil {
			return err
		}
		if r.Service.Protocol != "tcp" && r.Service.Protocol != "udp" {
			return fmt.Errorf("service.proto: %q is neither tcp nor udp", r.Service.Protocol)
		}
		return port("service.port", r.Service.Port, 1)
	case KindWeakness:
		w := r.Weakness
		if w.Check == "" || w.Title == "" {
			return errors.New("weakness: check and title are needed")
		}
		if !oneOf(w.Severity, Severities) {
			return fmt.Errorf("weakness.severity: %q is none of %s", w.Severity, strings.Join(Severities, ", "))
		}
		if len(w.Evidence) > MaxEvidence {
			return fmt.Errorf("weakness.evidence: %d bytes, %d at most", len(w.Evidence), MaxEvidence)
		}
		if err := address("weakness.address", w.Address); err != nil {
			return err
		}
		return port("weakness.port", w.Port, 0)
	case KindAbsent:
		if r.Absent.Finding == "" || r.Absent.Check == "" {
			return errors.New("absent: finding and check are needed")
		}
		return port("absent.port", r.Absent.Port, 0)
	case KindAttempts:
		if r.Attempts.Count < 0 {
			return errors.New("attempts.count: below 0")
		}
		if err := address("attempts.address", r.Attempts.Address); err != nil {
			return err
		}
		return port("attempts.port", r.Attempts.Port, 1)
	case KindAttribute:
		if r.Attribute.Name == "" || len(r.Attribute.Value) == 0 {
			return errors.New("attribute: name and value are needed")
		}
		return address("attribute.address", r.Attribute.Address)
	case KindEnd:
		if !oneOf(r.End.State, []string{EndDone, EndCancelled, EndExpired, EndFailed}) {
			return fmt.Errorf("end.state: there is no %q", r.End.State)
		}
	}
	return nil
}

func oneOf(s string, of []string) bool {
	for _, o := range of {
		if s == o {
			return true
		}
	}
	return false
}

func address(field, s string) error {
	if a, err := netip.ParseAddr(s); err != nil || a.Zone() != "" && !a.IsLinkLocalUnicast() {
		return fmt.Errorf("%s: %q is no IP address", field, s)
	}
	return nil
}

func port(field string, n, least int) error {
	if n < least || n > 65535 {
		return fmt.Errorf("%s: %d is no port", field, n)
	}
	return nil
}

// ErrBatch says that a batch of results cannot be read.
var ErrBatch = errors.New("the batch of results cannot be read")

// Pack writes results as the body of a batch.
func Pack(results []Result) ([]byte, error) {
	var lines bytes.Buffer
	for i := range results {
		line := Encode(&results[i])
		if len(line) > MaxResult {
			return nil, fmt.Errorf("a result (%s) has %d bytes, %d at most", results[i].Kind, len(line), MaxResult)
		}
		lines.Write(line)
		lines.WriteByte('\n')
	}
	w, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1))
	if err != nil {
		return nil, err
	}
	defer w.Close()
	return w.EncodeAll(lines.Bytes(), nil), nil
}

// Unpack reads a batch's body, at most MaxUnpacked bytes and MaxResults results of
// it, and checks each. An error names the line.
func Unpack(body []byte) ([]Result, error) {
	if len(body) > MaxBody {
		return nil, fmt.Errorf("%w: %d bytes, %d at most", ErrBatch, len(body), MaxBody)
	}
	r, err := zstd.NewReader(bytes.NewReader(body), zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(MaxUnpacked), zstd.WithDecoderMaxWindow(8<<20))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrBatch, err)
	}
	defer r.Close()
	var out []Result
	lines := bufio.NewScanner(io.LimitReader(r, MaxUnpacked+1))
	lines.Buffer(make([]byte, 0, 16<<10), MaxResult+1)
	read := 0
	for n := 1; lines.Scan(); n++ {
		line := lines.Bytes()
		if read += len(line) + 1; read > MaxUnpacked {
			return nil, fmt.Errorf("%w: more than %d bytes unpacked", ErrBatch, MaxUnpacked)
		}
		if len(bytes.TrimSpace(line)) == 0 {
			continue
		}
		if len(out) == MaxResults {
			return nil, fmt.Errorf("%w: more than %d results", ErrBatch, MaxResults)
		}
		var result Result
		if err := json.Unmarshal(line, &result); err != nil {
			return nil, fmt.Errorf("%w: line %d: %w", ErrBatch, n, err)
		}
		if err := result.Check(); err != nil {
			return nil, fmt.Errorf("%w: line %d: %w", ErrBatch, n, err)
		}
		out = append(out, result)
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("%w: line %d: %w", ErrBatch, len(out)+1, err)
	}
	return out, nil
}
