package report

import (
	"bytes"
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/net/html/charset"

	"icewatch/detections"
	"icewatch/soc/exposure/finding"
	"icewatch/soc/exposure/library"
)

// place says where an error happened in XML.
func place(d *xml.Decoder, id string, err error) error {
	var fault *library.Fault
	if errors.As(err, &fault) || errors.Is(err, context.Canceled) {
		return err
	}
	line, _ := d.InputPos()
	f := &library.Fault{Line: max(line, 1), ID: clip(id, 100), What: err.Error()}
	var bad *xml.SyntaxError
	if errors.As(err, &bad) {
		f.Line, f.What = max(bad.Line, 1), "this is not XML: "+bad.Msg
	}
	return f
}

func (b *builder) xml(data []byte) error {
	d := xml.NewDecoder(bytes.NewReader(data))
	d.CharsetReader = charset.NewReaderLabel
	roots := map[string][]string{Nessus: {"NessusClientData_v2", "NessusClientData"}, Nmap: {"nmaprun"}, OpenVAS: {"report", "get_reports_response"}}[b.o.Format]
	root := ""
	for {
		t, err := d.Token()
		if errors.Is(err, io.EOF) {
			if root == "" {
				return &library.Fault{Line: 1, What: "the report holds no XML element"}
			}
			return nil
		}
		if err != nil {
			return place(d, "", err)
		}
		start, ok := t.(xml.StartElement)
		if !ok {
			continue
		}
		if root == "" {
			if root = start.Name.Local; !slices.Contains(roots, root) {
				return place(d, "", fmt.Errorf("the root element is %s; %s is expected", clip(root, 60), strings.Join(roots, " or ")))
			}
			continue
		}
		id := ""
		switch {
		case b.o.Format == Nessus && start.Name.Local == "ReportHost":
			id, err = b.nessusHost(d, &start)
		case b.o.Format == Nmap && start.Name.Local == "host":
			id, err = b.nmapHost(d, &start)
		case b.o.Format == OpenVAS && start.Name.Local == "result":
			id, err = b.openvasResult(d, &start)
		}
		if err != nil {
			return place(d, id, err)
		}
	}
}

type nessusItem struct {
	Port      int      `xml:"port,attr"`
	Service   string   `xml:"svc_name,attr"`
	Protocol  string   `xml:"protocol,attr"`
	Severity  int      `xml:"severity,attr"`
	ID        string   `xml:"pluginID,attr"`
	Name      string   `xml:"pluginName,attr"`
	Text      string   `xml:"description"`
	Synopsis  string   `xml:"synopsis"`
	Solution  string   `xml:"solution"`
	CVEs      []string `xml:"cve"`
	CWEs      []string `xml:"cwe"`
	CVSS3     string   `xml:"cvss3_base_score"`
	CVSS2     string   `xml:"cvss_base_score"`
	SeeAlso   string   `xml:"see_also"`
	Output    string   `xml:"plugin_output"`
	Exploited string   `xml:"exploited_by_malware"`
}

// nessusHost reads one ReportHost item by item: a host has thousands of them.
func (b *builder) nessusHost(d *xml.Decoder, start *xml.StartElement) (string, error) {
	name := attribute(start, "name")
	address, fqdn, at := "", "", time.Time{}
	if _, err := netip.ParseAddr(name); err == nil {
		address = name
	} else {
		fqdn = name
	}
	for {
		t, err := d.Token()
		if err != nil {
			return name, err
		}
		switch t := t.(type) {
		case xml.EndElement:
			if t.Name.Local == "ReportHost" {
				b.host(address, fqdn)
				return name, nil
			}
		case xml.StartElement:
			switch t.Name.Local {
			case "HostProperties":
				var p struct {
					Tags []struct {
						Name  string `xml:"name,attr"`
						Value string `xml:",chardata"`
					} `xml:"tag"`
				}
				if err := d.DecodeElement(&p, &t); err != nil {
					return name, err
				}
				for _, tag := range p.Tags {
					switch tag.Name {
					case "host-ip":
						address = strings.TrimSpace(tag.Value)
					case "host-fqdn":
						fqdn = strings.TrimSpace(tag.Value)
					case "HOST_END_TIMESTAMP":
						if n, err := strconv.ParseInt(strings.TrimSpace(tag.Value), 10, 64); err == nil && n > 0 && n < 1<<33 {
							at = time.Unix(n, 0).UTC()
						}
					}
				}
			case "ReportItem":
				var it nessusItem
				if err := d.DecodeElement(&it, &t); err != nil {
					return name, err
				}
				if err := b.nessusItem(&it, address, fqdn, at); err != nil {
					return name + ", plugin " + it.ID, err
				}
			default:
				if err := d.Skip(); err != nil {
					return name, err
				}
			}
		}
	}
}

func (b *builder) nessusItem(it *nessusItem, address, fqdn string, at time.Time) error {
	if it.Severity < 0 || it.Severity > 4 {
		return fmt.Errorf("severity %d is not between 0 and 4", it.Severity)
	}
	if it.Severity == 0 && len(it.CVEs) == 0 {
		b.r.Skipped++
		return nil
	}
	score, err := score(it.CVSS3, it.CVSS2)
	if err != nil {
		return err
	}
	x := finding.Sighting{Address: address, Host: fqdn, Port: it.Port, Protocol: it.Protocol, Service: it.Service, Check: it.ID, CVEs: it.CVEs, Title: detections.Text{EN: it.Name}, Text: detections.Text{EN: it.Text},
		Level: detections.Levels[it.Severity], Score: score, Evidence: it.Output, Links: strings.Fields(it.SeeAlso), At: at}
	if x.Text.EN == "" {
		x.Text.EN = it.Synopsis
	}
	if s := strings.TrimSpace(it.Solution); s != "n/a" {
		x.Solution.EN = s
	}
	for _, c := range it.CWEs {
		x.CWEs = append(x.CWEs, "CWE-"+clip(strings.TrimPrefix(strings.TrimSpace(c), "CWE-"), 10))
	}
	return b.add(x)
}

func attribute(start *xml.StartElement, name string) string {
	for _, a := range start.Attr {
		if a.Name.Local == name {
			return a.Value
		}
	}
	return ""
}

// score reads the first score that is given.
func score(list ...string) (float64, error) {
	for _, s := range list {
		if s = strings.TrimSpace(s); s != "" {
			v, err := strconv.ParseFloat(s, 64)
			if err != nil || !(v >= 0 && v <= 10) {
				return 0, fmt.Errorf("the score %q is no number from 0 to 10", clip(s, 40))
			}
			return v, nil
		}
	}
	return 0, nil
}

// openvasResult reads one result of a report of the Greenbone Management Protocol.
func (b *builder) openvasResult(d *xml.Decoder, start *xml.StartElement) (string, error) {
	var it struct {
		Name string `xml:"name"`
		Host struct {
			Address  string `xml:",chardata"`
			Hostname string `xml:"hostname"`
		} `xml:"host"`
		Port     string `xml:"port"`
		Threat   string `xml:"threat"`
		Severity string `xml:"severity"`
		Text     string `xml:"description"`
		Created  string `xml:"creation_time"`
		NVT      struct {
			OID      string `xml:"oid,attr"`
			Name     string `xml:"name"`
			Tags     string `xml:"tags"`
			Solution string `xml:"solution"`
			CVE      string `xml:"cve"`
			Refs     []struct {
				Type string `xml:"type,attr"`
				ID   string `xml:"id,attr"`
			} `xml:"refs>ref"`
		} `xml:"nvt"`
	}
	id := attribute(start, "id")
	if err := d.DecodeElement(&it, start); err != nil {
		return id, err
	}
	if it.NVT.OID == "" && strings.TrimSpace(it.Host.Address) == "" {
		return id, nil // a reference to a result elsewhere
	}
	v, err := score(it.Severity)
	if err != nil && strings.HasPrefix(strings.TrimSpace(it.Severity), "-") {
		v, err = 0, nil // an error or a false positive by GMP
	}
	if err != nil {
		return id, err
	}
	level, ok := words[strings.ToLower(strings.TrimSpace(it.Threat))]
	if !ok && strings.TrimSpace(it.Threat) != "" {
		b.r.Skipped++ // Error, Debug, False Positive
		return id, nil
	}
	if l := library.LevelOf(v); l != "" {
		level = l
	}
	if level == "" || level == detections.Informational {
		b.host(strings.TrimSpace(it.Host.Address), it.Host.Hostname)
		b.r.Skipped++ // GMP's Log
		return id, nil
	}
	x := finding.Sighting{Address: strings.TrimSpace(it.Host.Address), Host: it.Host.Hostname, Check: it.NVT.OID, Title: detections.Text{EN: it.NVT.Name}, Solution: detections.Text{EN: it.NVT.Solution}, Level: level, Score: v, Evidence: it.Text}
	if x.Title.EN == "" {
		x.Title.EN = it.Name
	}
	for tag := range strings.SplitSeq(it.NVT.Tags, "|") {
		if s, ok := strings.CutPrefix(tag, "summary="); ok {
			x.Text.EN = s
		}
		if s, ok := strings.CutPrefix(tag, "solution="); ok && strings.TrimSpace(x.Solution.EN) == "" {
			x.Solution.EN = s
		}
	}
	if n, proto, ok := strings.Cut(it.Port, "/"); ok {
		x.Protocol = strings.TrimSpace(proto)
		if n = strings.TrimSpace(n); n != "general" {
			// Older reports name the service: https (443/tcp).
			if i := strings.LastIndexByte(n, '('); i >= 0 {
				x.Service, n = strings.TrimSpace(n[:i]), n[i+1:]
				x.Protocol = strings.TrimSuffix(x.Protocol, ")")
			}
			if x.Port, err = strconv.Atoi(n); err != nil {
				return id, fmt.Errorf("the port %q is no number", clip(it.Port, 40))
			}
		}
	}
	for _, r := range it.NVT.Refs {
		switch r.Type {
		case "cve", "cve_id":
			x.CVEs = append(x.CVEs, strings.ToUpper(r.ID))
		case "url":
			x.Links = append(x.Links, clip(r.ID, 2000))
		}
	}
	for c := range strings.SplitSeq(it.NVT.CVE, ",") {
		x.CVEs = append(x.CVEs, strings.TrimSpace(c))
	}
	if x.At, err = moment(it.Created); err != nil {
		return id, err
	}
	return id, b.add(x)
}

// moment reads a time; an empty one is none.
func moment(s string) (time.Time, error) {
	if s = strings.TrimSpace(s); s == "" {
		return time.Time{}, nil
	}
	for _, layout := range []string{time.RFC3339Nano, time.DateTime, time.DateOnly, "2006/1/2", "2006/1/2 15:04:05", "2006/1/2 15:04"} {
		if t, err := time.Parse(layout, s); err == nil && t.Year() >= 1990 && t.Year() < 2200 {
			return t.UTC(), nil
		}
	}
	return time.Time{}, fmt.Errorf("%q is no time such as 2024-03-29T17:15:21Z", clip(s, 40))
}

var (
	vulnerable = regexp.MustCompile(`(?m)^\s*State:\s*(LIKELY )?VULNERABLE`)
	cves       = regexp.MustCompile(`CVE-[0-9]{4}-[0-9]{4,19}`)
)

// nmapHost reads one host of Nmap: what listens, and what scripts found vulnerable.
func (b *builder) nmapHost(d *xml.Decoder, start *xml.StartElement) (string, error) {
	type script struct {
		ID     string `xml:"id,attr"`
		Output string `xml:"output,attr"`
	}
	var it struct {
		End    int64 `xml:"endtime,attr"`
		Status struct {
			State string `xml:"state,attr"`
		} `xml:"status"`
		Addresses []struct {
			Address string `xml:"addr,attr"`
			Type    string `xml:"addrtype,attr"`
		} `xml:"address"`
		Names []struct {
			Name string `xml:"name,attr"`
		} `xml:"hostnames>hostname"`
		Ports []struct {
			Protocol string `xml:"protocol,attr"`
			Port     int    `xml:"portid,attr"`
			State    struct {
				State string `xml:"state,attr"`
			} `xml:"state"`
			Service struct {
				Name    string `xml:"name,attr"`
				Product string `xml:"product,attr"`
				Version string `xml:"version,attr"`
			} `xml:"service"`
			Scripts []script `xml:"script"`
		} `xml:"ports>port"`
		Scripts []script `xml:"hostscript>script"`
	}
	if err := d.DecodeElement(&it, start); err != nil {
		return "", err
	}
	address, name := "", ""
	for _, a := range it.Addresses {
		if a.Type != "mac" && address == "" {
			address = a.Address
		}
	}
	if len(it.Names) > 0 {
		name = it.Names[0].Name
	}
	if it.Status.State == "down" {
		return address, nil
	}
	if _, err := netip.ParseAddr(address); err != nil {
		return name, fmt.Errorf("the host has no IP address: %q", clip(address, 60))
	}
	b.host(address, name)
	at := time.Time{}
	if it.End > 0 && it.End < 1<<33 {
		at = time.Unix(it.End, 0).UTC()
	}
	run := func(list []script, x finding.Sighting) error {
		for _, s := range list {
			if !vulnerable.MatchString(s.Output) {
				continue
			}
			x.Check, x.Title.EN, x.Evidence, x.Level, x.At = s.ID, s.ID, s.Output, detections.High, at
			x.CVEs = cves.FindAllString(s.Output, 100)
			if err := b.add(x); err != nil {
				return err
			}
		}
		return nil
	}
	for _, p := range it.Ports {
		if p.Port < 0 || p.Port > 65535 {
			return address, fmt.Errorf("the port %d is not between 0 and 65535", p.Port)
		}
		if p.State.State != "open" {
			continue
		}
		if len(b.r.Services) >= maxServices {
			return address, fmt.Errorf("more than %d services: split the report", maxServices)
		}
		b.r.Services = append(b.r.Services, Service{Address: address, Host: clip(name, 253), Port: p.Port, Protocol: clip(p.Protocol, 10), Name: clip(p.Service.Name, 100), Product: clip(p.Service.Product, 200), Version: clip(p.Service.Version, 100)})
		if err := run(p.Scripts, finding.Sighting{Address: address, Host: name, Port: p.Port, Protocol: p.Protocol, Service: p.Service.Name}); err != nil {
			return address, err
		}
	}
	return address, run(it.Scripts, finding.Sighting{Address: address, Host: name})
}
