package library

import (
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"strings"

	"golang.org/x/net/html/charset"

	"icewatch/detections"
)

type cnnvdEntry struct {
	Name      string `xml:"name"`
	ID        string `xml:"vuln-id"`
	Published string `xml:"published"`
	Modified  string `xml:"modified"`
	Severity  string `xml:"severity"`
	Type      string `xml:"vuln-type"`
	Text      string `xml:"vuln-descript"`
	Other     struct {
		CVE     []string `xml:"cve-id"`
		Bugtraq []string `xml:"bugtraq-id"`
	} `xml:"other-id"`
	Solution string `xml:"vuln-solution"`
	Refs     []struct {
		Source string `xml:"ref-source"`
		Name   string `xml:"ref-name"`
		URL    string `xml:"ref-url"`
	} `xml:"refs>ref"`
	Products []string `xml:"vuln-software-list>product"`
}

type cnvdEntry struct {
	Number string `xml:"number"`
	CVEs   []struct {
		Number string `xml:"cveNumber"`
		URL    string `xml:"cveUrl"`
	} `xml:"cves>cve"`
	Title     string   `xml:"title"`
	Serverity string   `xml:"serverity"` // as CNVD spells it
	Severity  string   `xml:"severity"`
	Products  []string `xml:"products>product"`
	Kind      string   `xml:"isEvent"`
	Submitted string   `xml:"submitTime"`
	Opened    string   `xml:"openTime"`
	Reference string   `xml:"referenceLink"`
	Way       string   `xml:"formalWay"`
	Text      string   `xml:"description"`
	Patch     string   `xml:"patchName"`
	PatchText string   `xml:"patchDescription"`
}

// readXML reads CNNVD's files (cnnvd/entry) and CNVD's (vulnerabilitys/vulnerability).
func readXML(src *bounded, fn func(*Record) error) error {
	d := xml.NewDecoder(src)
	d.CharsetReader = charset.NewReaderLabel
	root := ""
	for {
		t, err := d.Token()
		if errors.Is(err, io.EOF) {
			if root == "" {
				return &Fault{Line: 1, What: "the file holds no XML element"}
			}
			return nil
		}
		line, _ := d.InputPos()
		if err != nil {
			return xmlFault(line, "", err)
		}
		start, ok := t.(xml.StartElement)
		if !ok {
			continue
		}
		if root == "" {
			root = start.Name.Local
			switch root {
			case "cnnvd", "vulnerabilitys", "vulnerabilities":
			default:
				return &Fault{Line: line, What: fmt.Sprintf("the root element is %s; cnnvd or vulnerabilitys is expected", clip(root, 60))}
			}
			continue
		}
		var rec *Record
		id := ""
		switch start.Name.Local {
		case "entry":
			var e cnnvdEntry
			if err = d.DecodeElement(&e, &start); err == nil {
				id = strings.TrimSpace(clip(e.ID, 60))
				rec, err = e.record()
			}
		case "vulnerability":
			var e cnvdEntry
			if err = d.DecodeElement(&e, &start); err == nil {
				id = strings.TrimSpace(clip(e.Number, 60))
				rec, err = e.record()
			}
		default:
			err = d.Skip()
		}
		if err == nil && rec != nil {
			err = fn(rec)
		}
		if err != nil {
			var bad *xml.SyntaxError
			if errors.As(err, &bad) {
				line = bad.Line
			}
			return xmlFault(line, id, err)
		}
	}
}

func xmlFault(line int, id string, err error) error {
	var fault *Fault
	if errors.As(err, &fault) {
		return err
	}
	var bad *xml.SyntaxError
	if errors.As(err, &bad) {
		return &Fault{Line: max(bad.Line, 1), ID: id, What: "this is not XML: " + bad.Msg}
	}
	return &Fault{Line: max(line, 1), ID: id, What: err.Error()}
}

func (e *cnnvdEntry) record() (*Record, error) {
	id, err := name("vuln-id", e.ID)
	if err != nil {
		return nil, err
	}
	r := &Record{Source: CNNVD, Ref: id, Title: detections.Text{ZH: e.Name}, Text: detections.Text{ZH: e.Text}, Solution: detections.Text{ZH: e.Solution}, Class: detections.Text{ZH: e.Type}}
	if r.Level, err = level("severity", e.Severity); err != nil {
		return nil, err
	}
	if r.Published, err = moment("published", e.Published); err != nil {
		return nil, err
	}
	if r.Modified, err = moment("modified", e.Modified); err != nil {
		return nil, err
	}
	r.identify(id, e.Other.CVE...)
	for _, ref := range e.Refs {
		if u := strings.TrimSpace(ref.URL); u != "" {
			r.References = append(r.References, VulnReference{URL: clip(u, 2000), Kind: clip(strings.TrimSpace(ref.Source), 40)})
		}
	}
	for _, p := range e.Products {
		if p = strings.TrimSpace(p); p != "" && len(r.Products) < maxList {
			r.Products = append(r.Products, clip(p, 200))
		}
	}
	return r, nil
}

func (e *cnvdEntry) record() (*Record, error) {
	id, err := name("number", e.Number)
	if err != nil {
		return nil, err
	}
	r := &Record{Source: CNVD, Ref: id, Title: detections.Text{ZH: e.Title}, Text: detections.Text{ZH: e.Text}, Solution: detections.Text{ZH: e.Way}, Products: e.Products}
	if e.Severity == "" {
		e.Severity = e.Serverity
	}
	if r.Level, err = level("serverity", e.Severity); err != nil {
		return nil, err
	}
	if r.Published, err = moment("openTime", e.Opened); err != nil {
		return nil, err
	}
	if strings.TrimSpace(r.Solution.ZH) == "" {
		r.Solution.ZH = e.PatchText
	}
	var others []string
	for _, c := range e.CVEs {
		others = append(others, strings.ToUpper(strings.TrimSpace(c.Number)))
	}
	r.identify(id, others...)
	for _, u := range strings.Fields(e.Reference) {
		if strings.HasPrefix(u, "http") && len(r.References) < maxList {
			r.References = append(r.References, VulnReference{URL: clip(u, 2000)})
		}
	}
	return r, nil
}

// level reads a level in words; none is none.
func level(what, s string) (string, error) {
	if s = strings.TrimSpace(s); s == "" || s == "未知" {
		return "", nil
	}
	l, ok := levelWords[strings.ToLower(s)]
	if !ok {
		return "", fmt.Errorf("%s %q is no level: 超危, 高危, 中危 or 低危 is expected", what, clip(s, 40))
	}
	return string(l), nil
}
