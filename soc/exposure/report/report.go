// Package report reads the reports of scanners into sightings of weaknesses: Nessus,
// OpenVAS (GMP), nuclei, Nmap, SARIF, and tables of any other by a mapping of their
// columns. A report is read as a whole: the first fault ends it, with its place.
package report

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strings"

	"icewatch/detections"
	"icewatch/soc/exposure/finding"
	"icewatch/soc/exposure/library"
)

// The formats of reports. Auto finds out by the content; tables have to be named.
const (
	Auto    = ""
	Nessus  = "nessus"
	OpenVAS = "openvas"
	Nuclei  = "nuclei"
	Nmap    = "nmap"
	SARIF   = "sarif"
	CSV     = "csv"
	XLSX    = "xlsx"
)

// Formats lists the formats.
var Formats = []string{Nessus, OpenVAS, Nuclei, Nmap, SARIF, CSV, XLSX}

// Bounds of a report.
const (
	maxUnpacked = 256 << 20
	maxServices = 200_000
	maxText     = 32 << 10
)

// Service is something that listens.
type Service struct {
	Address  string `json:"address"`
	Host     string `json:"host,omitempty"`
	Port     int    `json:"port"`
	Protocol string `json:"protocol"`
	Name     string `json:"name,omitempty"`
	Product  string `json:"product,omitempty"`
	Version  string `json:"version,omitempty"`
}

// Report is what a scanner found.
type Report struct {
	Engine    string
	Sightings []finding.Sighting
	Hosts     []finding.Place // that it looked at
	Services  []Service
	Skipped   int // remarks without any weakness
}

// Options say how a report is read.
type Options struct {
	Format  string
	Mapping Mapping // of tables
	Item    string  // id of the CMDB's item that all of it is about, for reports without hosts
	Zone    string  // network zone of the addresses
	Engine  string  // name of the scanner that a table is of
}

// Read reads a report, plain or packed by gzip. Faults are *library.Fault.
func Read(ctx context.Context, data []byte, o Options) (*Report, error) {
	if bytes.HasPrefix(data, []byte{0x1f, 0x8b}) {
		z, err := gzip.NewReader(bytes.NewReader(data))
		if err != nil {
			return nil, &library.Fault{What: "gzip: " + err.Error()}
		}
		if data, err = io.ReadAll(io.LimitReader(z, maxUnpacked+1)); err != nil {
			return nil, &library.Fault{What: "gzip: " + err.Error()}
		}
		if len(data) > maxUnpacked {
			return nil, &library.Fault{Byte: maxUnpacked, What: "the report unpacks to more than 256 MiB"}
		}
	}
	data = bytes.TrimPrefix(data, []byte("\xef\xbb\xbf"))
	if o.Format == Auto {
		if o.Format = Detect(data); o.Format == "" {
			return nil, &library.Fault{What: "this is no report of Nessus, OpenVAS, nuclei, Nmap or SARIF; name the format of a table (csv, xlsx)"}
		}
	}
	b := &builder{ctx: ctx, o: o, r: &Report{Engine: o.Format}, hosts: map[finding.Place]bool{}}
	if (o.Format == CSV || o.Format == XLSX) && o.Engine != "" {
		b.r.Engine = clip(strings.ToLower(strings.TrimSpace(o.Engine)), 60)
	}
	var err error
	switch o.Format {
	case Nessus, OpenVAS, Nmap:
		err = b.xml(data)
	case Nuclei:
		err = b.nuclei(data)
	case SARIF:
		err = b.sarif(data)
	case CSV, XLSX:
		err = b.table(data)
	default:
		return nil, fmt.Errorf("%w: there is no format %q: %s", finding.ErrInvalid, clip(o.Format, 40), strings.Join(Formats, ", "))
	}
	if err != nil {
		return nil, err
	}
	if len(b.r.Hosts) == 0 && len(b.r.Sightings) == 0 && b.r.Skipped == 0 {
		return nil, &library.Fault{What: "the report holds neither hosts nor findings"}
	}
	return b.r, nil
}

// Detect tells a format by how a report begins.
func Detect(data []byte) string {
	head := string(bytes.TrimLeft(data[:min(len(data), 8<<10)], " \t\r\n"))
	switch {
	case strings.HasPrefix(head, "<"):
		switch {
		case strings.Contains(head, "<NessusClientData"):
			return Nessus
		case strings.Contains(head, "<nmaprun"):
			return Nmap
		case strings.Contains(head, "<report") || strings.Contains(head, "<get_reports_response"):
			return OpenVAS
		}
	case strings.HasPrefix(head, "{") || strings.HasPrefix(head, "["):
		switch {
		case strings.Contains(head, `"template-id"`) || strings.Contains(head, `"matched-at"`):
			return Nuclei
		case strings.Contains(head, `"runs"`) || strings.Contains(head, "sarif"):
			return SARIF
		}
	case strings.HasPrefix(head, "PK\x03\x04"):
		return XLSX
	}
	return ""
}

// builder gathers a report.
type builder struct {
	ctx   context.Context
	o     Options
	r     *Report
	hosts map[finding.Place]bool
}

// host notes that a host was looked at.
func (b *builder) host(address, name string) {
	h := address
	if h == "" {
		h = strings.ToLower(name)
	}
	p := finding.Place{Zone: b.o.Zone, Host: h}
	if h != "" && !b.hosts[p] && len(b.hosts) < finding.MaxSightings {
		b.hosts[p] = true
		b.r.Hosts = append(b.r.Hosts, p)
	}
}

// add adds a sighting, held to its bounds.
func (b *builder) add(x finding.Sighting) error {
	if len(b.r.Sightings)%512 == 0 && b.ctx.Err() != nil {
		return b.ctx.Err()
	}
	if len(b.r.Sightings) >= finding.MaxSightings {
		return fmt.Errorf("more than %d findings: split the report", finding.MaxSightings)
	}
	if x.Address != "" {
		addr, err := netip.ParseAddr(x.Address)
		if err != nil {
			return fmt.Errorf("%q is no IP address", clip(x.Address, 60))
		}
		x.Address = addr.Unmap().WithZone("").String()
	}
	if x.Port < 0 || x.Port > 65535 {
		return fmt.Errorf("the port %d is not between 0 and 65535", x.Port)
	}
	if x.Score < 0 || x.Score > 10 || x.Score != x.Score {
		return fmt.Errorf("the score %v is not between 0 and 10", x.Score)
	}
	x.Item, x.Zone, x.Engine = b.o.Item, b.o.Zone, b.r.Engine
	x.Host = clip(strings.ToLower(strings.TrimSpace(x.Host)), 253)
	if x.Address == "" && x.Host == "" && x.Item == "" {
		return errors.New("neither an address nor a host is named: say which item of the CMDB the report is about")
	}
	for _, t := range []*string{&x.Title.ZH, &x.Title.EN, &x.Text.ZH, &x.Text.EN, &x.Solution.ZH, &x.Solution.EN, &x.Evidence, &x.Check, &x.Service, &x.Path} {
		*t = strings.TrimSpace(clip(strings.ReplaceAll(*t, "\x00", ""), maxText))
	}
	// What is left of an id that is no text may be nothing.
	if x.Check == "" || len(x.Check) > 250 {
		return fmt.Errorf("the check has no id, or one longer than 250 bytes: %q", clip(x.Check, 40))
	}
	x.CVEs = slices.DeleteFunc(x.CVEs, func(c string) bool { return !library.IsCVE(c) })
	b.host(x.Address, x.Host)
	b.r.Sightings = append(b.r.Sightings, x)
	return nil
}

// words are levels as reports and tables name them.
var words = map[string]detections.Level{"critical": detections.Critical, "urgent": detections.Critical, "超危": detections.Critical, "紧急": detections.Critical, "严重": detections.Critical, "危急": detections.Critical,
	"high": detections.High, "高危": detections.High, "高": detections.High, "高风险": detections.High, "error": detections.High, "important": detections.High,
	"medium": detections.Medium, "moderate": detections.Medium, "warning": detections.Medium, "中危": detections.Medium, "中": detections.Medium, "中风险": detections.Medium,
	"low": detections.Low, "note": detections.Low, "低危": detections.Low, "低": detections.Low, "低风险": detections.Low,
	"info": detections.Informational, "informational": detections.Informational, "log": detections.Informational, "none": detections.Informational, "信息": detections.Informational, "提示": detections.Informational, "unknown": detections.Informational}

// lines reads JSON one value after the other.
func lines(data []byte, fn func(raw json.RawMessage) (id string, err error)) error {
	d := json.NewDecoder(bytes.NewReader(data))
	for {
		var raw json.RawMessage
		err := d.Decode(&raw)
		if errors.Is(err, io.EOF) {
			return nil
		}
		line := 1 + bytes.Count(data[:d.InputOffset()], []byte("\n"))
		if err != nil {
			what := "this is not JSON: " + err.Error()
			var bad *json.SyntaxError
			if errors.As(err, &bad) {
				line = 1 + bytes.Count(data[:min(max(bad.Offset, 0), int64(len(data)))], []byte("\n"))
			}
			if errors.Is(err, io.ErrUnexpectedEOF) {
				what = "the report ends in the middle"
			}
			return &library.Fault{Line: line, What: what}
		}
		id, err := fn(raw)
		var fault *library.Fault
		if err != nil && !errors.As(err, &fault) && !errors.Is(err, context.Canceled) {
			err = &library.Fault{Line: line, ID: clip(id, 100), What: err.Error()}
		}
		if err != nil {
			return err
		}
	}
}

func clip(s string, n int) string {
	if len(s) > n {
		s = s[:n]
	}
	return strings.ToValidUTF8(s, "")
}
