package library

import (
	"encoding/json"
	"slices"
	"strings"
	"time"
)

type nvdItem struct {
	CVE struct {
		ID           string   `json:"id"`
		Published    string   `json:"published"`
		LastModified string   `json:"lastModified"`
		VulnStatus   string   `json:"vulnStatus"`
		Descriptions []nvdTxt `json:"descriptions"`
		Metrics      struct {
			V40 []nvdMetric `json:"cvssMetricV40"`
			V31 []nvdMetric `json:"cvssMetricV31"`
			V30 []nvdMetric `json:"cvssMetricV30"`
			V2  []nvdMetric `json:"cvssMetricV2"`
		} `json:"metrics"`
		Weaknesses []struct {
			Description []nvdTxt `json:"description"`
		} `json:"weaknesses"`
		Configurations []struct {
			Operator string `json:"operator"`
			Nodes    []struct {
				CPEMatch []nvdMatch `json:"cpeMatch"`
			} `json:"nodes"`
		} `json:"configurations"`
		References []struct {
			URL  string   `json:"url"`
			Tags []string `json:"tags"`
		} `json:"references"`
		VendorComments []nvdTxt `json:"vendorComments"`
		KEVAdded       string   `json:"cisaExploitAdd"`
		KEVDue         string   `json:"cisaActionDue"`
		KEVAction      string   `json:"cisaRequiredAction"`
		KEVName        string   `json:"cisaVulnerabilityName"`
	} `json:"cve"`
}

type nvdTxt struct{ Lang, Value string }

type nvdMetric struct {
	Source   string `json:"source"`
	Type     string `json:"type"`
	CVSSData struct {
		Version      string  `json:"version"`
		VectorString string  `json:"vectorString"`
		BaseScore    float64 `json:"baseScore"`
	} `json:"cvssData"`
}

type nvdMatch struct {
	Vulnerable            bool   `json:"vulnerable"`
	Criteria              string `json:"criteria"`
	VersionStartIncluding string `json:"versionStartIncluding"`
	VersionStartExcluding string `json:"versionStartExcluding"`
	VersionEndIncluding   string `json:"versionEndIncluding"`
	VersionEndExcluding   string `json:"versionEndExcluding"`
}

// readNVD reads an answer or a yearly file of NVD's API 2.0.
func readNVD(src *bounded, fn func(*Record) error) error {
	d := json.NewDecoder(src)
	if err := enter(d, "vulnerabilities", func(string) error { return skip(d) }); err != nil {
		return at(d, "", err)
	}
	for d.More() {
		var it nvdItem
		if err := d.Decode(&it); err != nil {
			return at(d, "", err)
		}
		rec, err := it.record()
		if err == nil {
			err = fn(rec)
		}
		if err != nil {
			return at(d, clip(it.CVE.ID, 60), err)
		}
	}
	return at(d, "", leave(d))
}

func (it *nvdItem) record() (*Record, error) {
	c := &it.CVE
	id, err := cve("cve.id", c.ID)
	if err != nil {
		return nil, err
	}
	r := &Record{ID: id, Source: NVD, Ref: id, Withdrawn: c.VulnStatus == "Rejected"}
	if r.Published, err = moment("published", c.Published); err != nil {
		return nil, err
	}
	if r.Modified, err = moment("lastModified", c.LastModified); err != nil {
		return nil, err
	}
	for _, t := range c.Descriptions {
		switch {
		case t.Lang == "en":
			r.Text.EN = t.Value
		case strings.HasPrefix(t.Lang, "zh"):
			r.Text.ZH = t.Value
		}
	}
	for _, list := range [][]nvdMetric{c.Metrics.V40, c.Metrics.V31, c.Metrics.V30, c.Metrics.V2} {
		for _, m := range list {
			s := CVSSScore{Version: m.CVSSData.Version, Score: m.CVSSData.BaseScore, Vector: clip(m.CVSSData.VectorString, 300), By: clip(m.Source, 100)}
			if s, err = s.check(); err != nil {
				return nil, err
			}
			// NVD's own rating comes before that of others.
			if m.Type == "Primary" {
				r.Scores = append([]CVSSScore{s}, r.Scores...)
			} else {
				r.Scores = append(r.Scores, s)
			}
		}
	}
	for _, w := range c.Weaknesses {
		for _, t := range w.Description {
			if strings.HasPrefix(t.Value, "CWE-") && !slices.Contains(r.Weaknesses, t.Value) {
				r.Weaknesses = append(r.Weaknesses, clip(t.Value, 20))
			}
		}
	}
	for _, ref := range c.References {
		r.References = append(r.References, VulnReference{URL: clip(ref.URL, 2000), Kind: clip(strings.Join(ref.Tags, ", "), 200)})
	}
	places := map[string]int{}
	for _, conf := range c.Configurations {
		for _, node := range conf.Nodes {
			for _, m := range node.CPEMatch {
				if m.Vulnerable {
					r.cpe(places, &m)
				}
			}
		}
	}
	if c.KEVAdded != "" {
		r.Exploited = &KnownExploited{Since: clip(c.KEVAdded, 10), Due: clip(c.KEVDue, 10)}
		r.Exploited.Action.EN = clean(c.KEVAction)
		r.Title.EN = c.KEVName
	}
	return r, nil
}

// cpe notes which versions of a product are affected.
func (r *Record) cpe(places map[string]int, m *nvdMatch) {
	f := splitCPE(m.Criteria)
	if len(f) < 6 {
		return
	}
	product := strings.ToLower(f[3] + ":" + f[4])
	i, known := places[product]
	if !known {
		i = len(r.Affected)
		if i >= maxList {
			return
		}
		places[product] = i
		r.Affected = append(r.Affected, AffectedPackage{Ecosystem: "cpe", Package: clip(product, 200)})
		r.Products = append(r.Products, clip(strings.ReplaceAll(f[3]+" "+f[4], "_", " "), 200))
	}
	a := &r.Affected[i]
	span := VersionRange{From: m.VersionStartIncluding, After: m.VersionStartExcluding, Fixed: m.VersionEndExcluding, Last: m.VersionEndIncluding}
	switch {
	case span != VersionRange{}:
		if len(a.Ranges) < 500 {
			a.Ranges = append(a.Ranges, span)
		}
	case f[5] == "*" || f[5] == "":
		if len(a.Ranges) < 500 {
			a.Ranges = append(a.Ranges, VersionRange{})
		}
	case f[5] != "-" && len(a.Versions) < 500:
		v := f[5]
		if len(f) > 6 && f[6] != "*" && f[6] != "-" && f[6] != "" {
			v += "-" + f[6]
		}
		a.Versions = append(a.Versions, v)
	}
}

// splitCPE is the parts of a CPE 2.3 name, without their escapes; of a 2.2 URI
// they are brought to the same places.
func splitCPE(s string) []string {
	if rest, ok := strings.CutPrefix(s, "cpe:/"); ok {
		s = "cpe:2.3:" + rest
	}
	var out []string
	var b strings.Builder
	for i := 0; i < len(s) && len(out) < 16; i++ {
		switch {
		case s[i] == '\\' && i+1 < len(s):
			i++
			b.WriteByte(s[i])
		case s[i] == ':':
			out = append(out, b.String())
			b.Reset()
		default:
			b.WriteByte(s[i])
		}
	}
	// cpe, 2.3, part, vendor, product, version, update …
	return append(out, b.String())
}

// moments are how the sources write times.
var moments = []string{time.RFC3339Nano, "2006-01-02T15:04:05.999999999", "2006-01-02T15:04Z", "2006-01-02T15:04:05-0700", "2006-01-02 15:04:05", time.DateOnly, "2006/1/2"}

// moment reads a time; an empty one is none.
func moment(what, s string) (time.Time, error) {
	if s = strings.TrimSpace(s); s == "" {
		return time.Time{}, nil
	}
	for _, layout := range moments {
		if t, err := time.Parse(layout, s); err == nil && t.Year() >= 1970 && t.Year() < 2200 {
			return t.UTC(), nil
		}
	}
	return time.Time{}, &badTime{what, s}
}

type badTime struct{ what, text string }

func (b *badTime) Error() string {
	return b.what + " " + strings.ToValidUTF8(clip(b.text, 40), "?") + " is no time such as 2024-03-29T17:15:21Z"
}
