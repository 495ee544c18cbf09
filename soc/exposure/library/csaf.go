package library

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"icewatch/detections"
)

func sortedKeys[T any](m map[string]T) []string { return slices.Sorted(maps.Keys(m)) }

type csafBranch struct {
	Category string       `json:"category"`
	Name     string       `json:"name"`
	Branches []csafBranch `json:"branches"`
	Product  *csafProduct `json:"product"`
}

type csafProduct struct {
	Name   string `json:"name"`
	ID     string `json:"product_id"`
	Helper struct {
		CPE  string `json:"cpe"`
		PURL string `json:"purl"`
	} `json:"product_identification_helper"`
}

type csafDocument struct {
	Document struct {
		Title    string `json:"title"`
		Severity struct {
			Text string `json:"text"`
		} `json:"aggregate_severity"`
		Tracking struct {
			ID      string `json:"id"`
			Initial string `json:"initial_release_date"`
			Current string `json:"current_release_date"`
		} `json:"tracking"`
		References []csafRef `json:"references"`
		Publisher  struct {
			Name string `json:"name"`
		} `json:"publisher"`
		Version string `json:"csaf_version"`
	} `json:"document"`
	Tree struct {
		Branches      []csafBranch  `json:"branches"`
		Products      []csafProduct `json:"full_product_names"`
		Relationships []struct {
			Product csafProduct `json:"full_product_name"`
			Of      string      `json:"product_reference"`
		} `json:"relationships"`
	} `json:"product_tree"`
	Vulnerabilities []struct {
		CVE   string `json:"cve"`
		Title string `json:"title"`
		IDs   []struct {
			Text string `json:"text"`
		} `json:"ids"`
		CWE *struct {
			ID   string `json:"id"`
			Name string `json:"name"`
		} `json:"cwe"`
		Notes []struct {
			Category string `json:"category"`
			Text     string `json:"text"`
		} `json:"notes"`
		References   []csafRef           `json:"references"`
		Status       map[string][]string `json:"product_status"`
		Remediations []struct {
			Category string `json:"category"`
			Details  string `json:"details"`
			URL      string `json:"url"`
		} `json:"remediations"`
		Scores []struct {
			V2 *csafScore `json:"cvss_v2"`
			V3 *csafScore `json:"cvss_v3"`
		} `json:"scores"`
		Threats []struct {
			Category string `json:"category"`
			Details  string `json:"details"`
		} `json:"threats"`
	} `json:"vulnerabilities"`
}

type csafRef struct {
	URL      string `json:"url"`
	Category string `json:"category"`
}

type csafScore struct {
	Version string  `json:"version"`
	Vector  string  `json:"vectorString"`
	Score   float64 `json:"baseScore"`
}

// maxBranches is how deep a tree of products may be.
const maxBranches = 30

// readCSAF reads a security advisory or VEX document of CSAF 2.0.
func readCSAF(src *bounded, fn func(*Record) error) error {
	d := json.NewDecoder(src)
	for n := 0; ; n++ {
		var doc csafDocument
		switch err := d.Decode(&doc); {
		case errors.Is(err, io.EOF) && n > 0:
			return nil
		case err != nil:
			return at(d, "", err)
		}
		id, err := name("document.tracking.id", strings.ReplaceAll(doc.Document.Tracking.ID, " ", "_"))
		if err != nil {
			return at(d, "", err)
		}
		if doc.Document.Version != "2.0" && doc.Document.Version != "2.1" {
			return at(d, id, fmt.Errorf("document.csaf_version is %q; 2.0 is read", clip(doc.Document.Version, 20)))
		}
		recs, err := doc.records(id)
		if err != nil {
			return at(d, id, err)
		}
		for _, r := range recs {
			if err := fn(r); err != nil {
				return at(d, id, err)
			}
		}
	}
}

func (doc *csafDocument) records(advisory string) ([]*Record, error) {
	products := map[string]csafProduct{}
	if err := walkBranches(doc.Tree.Branches, products, 0); err != nil {
		return nil, err
	}
	for _, p := range doc.Tree.Products {
		products[p.ID] = p
	}
	for _, r := range doc.Tree.Relationships {
		p := r.Product
		if of, ok := products[r.Of]; ok && p.Helper.CPE == "" && p.Helper.PURL == "" {
			p.Helper = of.Helper
		}
		products[p.ID] = p
	}
	published, err := moment("initial_release_date", doc.Document.Tracking.Initial)
	if err != nil {
		return nil, err
	}
	modified, err := moment("current_release_date", doc.Document.Tracking.Current)
	if err != nil {
		return nil, err
	}
	out := make([]*Record, 0, len(doc.Vulnerabilities))
	for i := range doc.Vulnerabilities {
		v := &doc.Vulnerabilities[i]
		r := &Record{Source: CSAF, Ref: advisory, Published: published, Modified: modified, Title: detections.Text{EN: v.Title}, Level: string(levelWords[strings.ToLower(doc.Document.Severity.Text)])}
		if r.Title.EN == "" && len(doc.Vulnerabilities) == 1 {
			r.Title.EN = doc.Document.Title
		}
		var others []string
		for _, x := range v.IDs {
			others = append(others, x.Text)
		}
		switch {
		case v.CVE != "":
			id, err := cve(fmt.Sprintf("vulnerabilities[%d].cve", i), v.CVE)
			if err != nil {
				return nil, err
			}
			r.identify(id, others...)
		case len(others) > 0:
			id, err := name(fmt.Sprintf("vulnerabilities[%d].ids", i), others[0])
			if err != nil {
				return nil, err
			}
			r.identify(id, others...)
		default:
			r.identify(fmt.Sprintf("%s/%d", advisory, i+1))
		}
		if v.CWE != nil && strings.HasPrefix(v.CWE.ID, "CWE-") {
			r.Weaknesses, r.Class.EN = []string{clip(v.CWE.ID, 20)}, v.CWE.Name
		}
		for _, n := range v.Notes {
			if (n.Category == "description" || n.Category == "summary") && r.Text.EN == "" {
				r.Text.EN = n.Text
			}
		}
		for _, ref := range append(v.References, doc.Document.References...) {
			r.References = append(r.References, VulnReference{URL: clip(ref.URL, 2000), Kind: clip(ref.Category, 40)})
		}
		var help []string
		for _, m := range v.Remediations {
			text := strings.TrimSpace(m.Details)
			if m.Category == "no_fix_planned" || m.Category == "none_available" || text == "" {
				continue
			}
			if m.URL != "" {
				text += " " + m.URL
			}
			if !slices.Contains(help, text) && len(help) < 20 {
				help = append(help, text)
			}
		}
		r.Solution.EN = strings.Join(help, "\n")
		for _, s := range v.Scores {
			for _, x := range []*csafScore{s.V3, s.V2} {
				if x == nil {
					continue
				}
				sc, err := CVSSScore{Version: x.Version, Vector: clip(x.Vector, 300), Score: x.Score, By: clip(doc.Document.Publisher.Name, 100)}.check()
				if err != nil {
					return nil, fmt.Errorf("vulnerabilities[%d]: %w", i, err)
				}
				if !slices.Contains(r.Scores, sc) {
					r.Scores = append(r.Scores, sc)
				}
			}
		}
		for _, t := range v.Threats {
			if t.Category == "impact" && r.Level == "" {
				r.Level = string(levelWords[strings.ToLower(t.Details)])
			}
		}
		for _, state := range []string{"known_affected", "first_affected", "last_affected", "fixed", "first_fixed", "known_not_affected", "under_investigation"} {
			for _, p := range v.Status[state] {
				r.csafProduct(products[p], state)
			}
		}
		out = append(out, r)
	}
	return out, nil
}

func walkBranches(list []csafBranch, into map[string]csafProduct, depth int) error {
	if depth > maxBranches {
		return fmt.Errorf("product_tree is more than %d branches deep", maxBranches)
	}
	for _, b := range list {
		if b.Product != nil {
			into[b.Product.ID] = *b.Product
		}
		if err := walkBranches(b.Branches, into, depth+1); err != nil {
			return err
		}
	}
	return nil
}

// csafProduct notes what a status says of a product with a CPE that names a
// version.
func (r *Record) csafProduct(p csafProduct, state string) {
	if p.ID == "" {
		return
	}
	if state != "known_not_affected" && state != "under_investigation" && len(r.Products) < maxList && !slices.Contains(cut(r.Products, 200), p.Name) {
		r.Products = append(r.Products, clip(p.Name, 200))
	}
	f := splitCPE(p.Helper.CPE)
	if len(f) < 6 || f[5] == "*" || f[5] == "" || len(r.Affected) >= maxList || state != "known_affected" {
		return
	}
	product := clip(strings.ToLower(f[3]+":"+f[4]), 200)
	at := slices.IndexFunc(r.Affected, func(a AffectedPackage) bool { return a.Package == product })
	if at < 0 {
		r.Affected = append(r.Affected, AffectedPackage{Ecosystem: "cpe", Package: product})
		at = len(r.Affected) - 1
	}
	if a := &r.Affected[at]; len(a.Versions) < 500 && !slices.Contains(a.Versions, f[5]) {
		a.Versions = append(a.Versions, f[5])
	}
}
