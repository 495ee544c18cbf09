package library

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"icewatch/detections"
)

type osvItem struct {
	ID         string   `json:"id"`
	Modified   string   `json:"modified"`
	Published  string   `json:"published"`
	Withdrawn  string   `json:"withdrawn"`
	Aliases    []string `json:"aliases"`
	Upstream   []string `json:"upstream"`
	Related    []string `json:"related"`
	Summary    string   `json:"summary"`
	Details    string   `json:"details"`
	Severity   []osvSev `json:"severity"`
	References []struct {
		Type string `json:"type"`
		URL  string `json:"url"`
	} `json:"references"`
	Affected []struct {
		Package struct {
			Ecosystem string `json:"ecosystem"`
			Name      string `json:"name"`
		} `json:"package"`
		Severity []osvSev `json:"severity"`
		Ranges   []struct {
			Type   string              `json:"type"`
			Events []map[string]string `json:"events"`
		} `json:"ranges"`
		Versions  []string `json:"versions"`
		Ecosystem struct {
			Urgency string `json:"urgency"`
		} `json:"ecosystem_specific"`
	} `json:"affected"`
	Own struct {
		Severity any      `json:"severity"`
		CWEs     []string `json:"cwe_ids"`
	} `json:"database_specific"`
}

type osvSev struct {
	Type  string `json:"type"`
	Score string `json:"score"`
}

// readOSV reads one OSV document, a list of them, or one after the other as in
// JSON lines.
func readOSV(src *bounded, fn func(*Record) error) error {
	d := json.NewDecoder(src)
	for {
		var raw json.RawMessage
		switch err := d.Decode(&raw); {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return at(d, "", err)
		}
		list := []json.RawMessage{raw}
		if len(raw) > 0 && raw[0] == '[' {
			if err := json.Unmarshal(raw, &list); err != nil {
				return at(d, "", err)
			}
		}
		for _, one := range list {
			var it osvItem
			if err := json.Unmarshal(one, &it); err != nil {
				return at(d, clip(it.ID, 60), err)
			}
			recs, err := it.records()
			if err != nil {
				return at(d, clip(it.ID, 60), err)
			}
			for _, rec := range recs {
				if err := fn(rec); err != nil {
					return at(d, rec.Ref, err)
				}
			}
		}
	}
}

// records makes of an OSV document one record, or one for each CVE where it is a
// distribution's advisory on several.
func (it *osvItem) records() ([]*Record, error) {
	id, err := name("id", it.ID)
	if err != nil {
		return nil, err
	}
	if it.Modified == "" {
		return nil, errors.New("modified is missing: this is no OSV document")
	}
	base := Record{Source: OSV, Ref: id, Withdrawn: it.Withdrawn != "", Title: detections.Text{EN: it.Summary}, Text: detections.Text{EN: it.Details}}
	if base.Published, err = moment("published", it.Published); err != nil {
		return nil, err
	}
	if base.Modified, err = moment("modified", it.Modified); err != nil {
		return nil, err
	}
	sev := it.Severity
	for i := range it.Affected {
		if a := &it.Affected[i]; len(sev) == 0 {
			sev = a.Severity
		}
	}
	for _, s := range sev {
		switch {
		case strings.HasPrefix(s.Type, "CVSS"):
			v := CVSSScore{Vector: clip(s.Score, 300), Version: map[string]string{"CVSS_V2": "2.0"}[s.Type], By: "OSV"}
			if v, err = v.check(); err != nil {
				return nil, err
			}
			base.Scores = append(base.Scores, v)
		case base.Level == "":
			base.Level = string(levelWords[strings.ToLower(s.Score)])
		}
	}
	if s, ok := it.Own.Severity.(string); ok {
		base.Level = string(levelWords[strings.ToLower(s)])
	}
	for _, w := range it.Own.CWEs {
		if strings.HasPrefix(w, "CWE-") {
			base.Weaknesses = append(base.Weaknesses, clip(w, 20))
		}
	}
	for _, r := range it.References {
		base.References = append(base.References, VulnReference{URL: clip(r.URL, 2000), Kind: clip(strings.ToLower(r.Type), 40)})
	}
	if base.Affected, err = it.affected(); err != nil {
		return nil, err
	}
	for _, a := range base.Affected {
		base.Products = append(base.Products, clip(a.Package, 200))
	}
	own := id
	// DEBIAN-CVE-2024-3094 is what Debian says of CVE-2024-3094.
	if !IsCVE(id) {
		if c := anyCVE.FindString(id); c != "" {
			own = c
		}
	}
	cves := map[string]bool{}
	for _, a := range append(append([]string{}, it.Aliases...), it.Upstream...) {
		if IsCVE(a) {
			cves[a] = true
		}
	}
	if own == id && !IsCVE(id) && len(it.Upstream) > 0 && len(cves) > 0 {
		// An advisory: what it says holds for each of its CVEs, and its own id is
		// nobody's other name.
		out := make([]*Record, 0, len(cves))
		for _, c := range sortedKeys(cves) {
			r := base
			r.ID, r.Aliases = c, nil
			out = append(out, &r)
		}
		return cut(out, maxList), nil
	}
	base.identify(own, append([]string{id}, it.Aliases...)...)
	return []*Record{&base}, nil
}

func (it *osvItem) affected() ([]AffectedPackage, error) {
	var out []AffectedPackage
	for i := range it.Affected {
		from := &it.Affected[i]
		if from.Package.Name == "" || from.Package.Ecosystem == "" {
			continue // by commits of a repository alone
		}
		a := AffectedPackage{Ecosystem: clip(from.Package.Ecosystem, 100), Package: clip(from.Package.Name, 200), Versions: cut(from.Versions, maxList), Note: clip(from.Ecosystem.Urgency, 100)}
		for _, r := range from.Ranges {
			if r.Type == "GIT" {
				continue
			}
			var span *VersionRange
			for _, e := range r.Events {
				for what, v := range e {
					v = clip(v, 200)
					switch what {
					case "introduced":
						a.Ranges = append(a.Ranges, VersionRange{From: v})
						span = &a.Ranges[len(a.Ranges)-1]
						if v == "0" {
							span.From = ""
						}
					case "fixed", "last_affected":
						if span == nil {
							return nil, fmt.Errorf("affected[%d]: %s comes before introduced", i, what)
						}
						if what == "fixed" {
							span.Fixed = v
						} else {
							span.Last = v
						}
					case "limit":
					default:
						return nil, fmt.Errorf("affected[%d]: there is no event %q", i, clip(what, 40))
					}
				}
			}
			if len(a.Ranges) > maxRanges {
				return nil, fmt.Errorf("affected[%d] has more than %d ranges", i, maxRanges)
			}
		}
		if len(a.Ranges) > 0 {
			// The list of versions repeats the ranges, and knows none that came later.
			a.Versions = nil
		}
		out = append(out, a)
	}
	return out, nil
}
