package library

import (
	"encoding/json"
	"fmt"

	"icewatch/detections"
)

// debianReleases are the numbers of Debian's releases by their names.
var debianReleases = map[string]string{"jessie": "8", "stretch": "9", "buster": "10", "bullseye": "11", "bookworm": "12", "trixie": "13", "forky": "14", "sid": "unstable"}

type debianEntry struct {
	Description string        `json:"description"`
	Releases    debianOutcome `json:"releases"`
}

// debianOutcome is what became of it by release; the tracker writes an empty list
// where there is none.
type debianOutcome map[string]debianReleaseOf

// UnmarshalJSON implements json.Unmarshaler.
func (o *debianOutcome) UnmarshalJSON(b []byte) error {
	if string(b) == "[]" {
		return nil
	}
	return json.Unmarshal(b, (*map[string]debianReleaseOf)(o))
}

type debianReleaseOf struct {
	Status string `json:"status"`
	Fixed  string `json:"fixed_version"`
	NoDSA  string `json:"nodsa"`
	Urgent string `json:"urgency"`
}

// readDebian reads the Debian security tracker's JSON: packages, in each the
// vulnerabilities, in each what became of it in each release.
func readDebian(src *bounded, fn func(*Record) error) error {
	d := json.NewDecoder(src)
	t, err := d.Token()
	if err != nil {
		return at(d, "", err)
	}
	if t != json.Delim('{') {
		return at(d, "", fmt.Errorf("the file begins with %v where an object of packages is expected", t))
	}
	for d.More() {
		t, err := d.Token()
		if err != nil {
			return at(d, "", err)
		}
		pkg, _ := t.(string)
		if pkg == "" || len(pkg) > 200 {
			return at(d, "", fmt.Errorf("%q is no name of a package", clip(pkg, 60)))
		}
		if t, err = d.Token(); err != nil || t != json.Delim('{') {
			if err == nil {
				err = fmt.Errorf("package %s: %v where an object of vulnerabilities is expected", pkg, t)
			}
			return at(d, "", err)
		}
		for d.More() {
			t, err := d.Token()
			if err != nil {
				return at(d, "", err)
			}
			id, _ := t.(string)
			var e debianEntry
			if err := d.Decode(&e); err != nil {
				return at(d, clip(id, 60), err)
			}
			rec, err := e.record(pkg, id)
			if err == nil {
				err = fn(rec)
			}
			if err != nil {
				return at(d, clip(id, 60), err)
			}
		}
		if _, err := d.Token(); err != nil {
			return at(d, "", err)
		}
	}
	if _, err := d.Token(); err != nil {
		return at(d, "", err)
	}
	return at(d, "", ended(d))
}

func (e *debianEntry) record(pkg, id string) (*Record, error) {
	id, err := name("the vulnerability's id", id)
	if err != nil {
		return nil, err
	}
	r := &Record{ID: id, Source: Debian, Ref: pkg, Text: detections.Text{EN: e.Description}, Products: []string{pkg}}
	for _, codename := range sortedKeys(e.Releases) {
		is := e.Releases[codename]
		number, ok := debianReleases[codename]
		if !ok {
			number = clip(codename, 60)
		}
		a := AffectedPackage{Ecosystem: "Debian:" + number, Package: pkg, Note: clip(is.Urgent, 60)}
		switch is.Status {
		case "open":
			a.Status, a.Ranges = StatusOpen, []VersionRange{{}}
		case "resolved":
			// "0" says that the release was never affected.
			if is.Fixed == "0" {
				a.Status = StatusNotAffected
			} else {
				a.Ranges = []VersionRange{{Fixed: clip(is.Fixed, 200)}}
			}
			if is.Fixed == "" {
				return nil, fmt.Errorf("package %s, %s: resolved without fixed_version", pkg, clip(codename, 40))
			}
		case "undetermined":
			a.Status = StatusUndetermined
		default:
			return nil, fmt.Errorf("package %s, %s: status %q is none of open, resolved, undetermined", pkg, clip(codename, 40), clip(is.Status, 40))
		}
		r.Affected = append(r.Affected, a)
	}
	return r, nil
}
