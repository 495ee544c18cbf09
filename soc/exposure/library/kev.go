package library

import (
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// readKEV reads CISA's catalogue of known exploited vulnerabilities.
func readKEV(src *bounded, fn func(*Record) error) error {
	d := json.NewDecoder(src)
	if err := enter(d, "vulnerabilities", func(string) error { return skip(d) }); err != nil {
		return at(d, "", err)
	}
	for d.More() {
		var raw struct {
			CVEID             string   `json:"cveID"`
			VendorProject     string   `json:"vendorProject"`
			Product           string   `json:"product"`
			VulnerabilityName string   `json:"vulnerabilityName"`
			DateAdded         string   `json:"dateAdded"`
			ShortDescription  string   `json:"shortDescription"`
			RequiredAction    string   `json:"requiredAction"`
			DueDate           string   `json:"dueDate"`
			Ransomware        string   `json:"knownRansomwareCampaignUse"`
			Notes             string   `json:"notes"`
			CWEs              []string `json:"cwes"`
		}
		if err := d.Decode(&raw); err != nil {
			return at(d, "", err)
		}
		id, err := cve("cveID", raw.CVEID)
		if err != nil {
			return at(d, clip(raw.CVEID, 60), err)
		}
		if raw.DateAdded == "" {
			return at(d, id, errors.New("dateAdded is missing"))
		}
		r := &Record{ID: id, Source: KEV, Ref: id, Products: []string{strings.TrimSpace(clip(raw.VendorProject, 100) + " " + clip(raw.Product, 100))},
			Exploited: &KnownExploited{Since: raw.DateAdded, Due: raw.DueDate, Ransomware: raw.Ransomware == "Known"}}
		for _, day := range []*string{&r.Exploited.Since, &r.Exploited.Due} {
			when, err := moment("dateAdded or dueDate", *day)
			if err != nil {
				return at(d, id, err)
			}
			if *day = ""; !when.IsZero() {
				*day = when.Format("2006-01-02")
			}
		}
		r.Title.EN, r.Text.EN = raw.VulnerabilityName, raw.ShortDescription
		r.Exploited.Action.EN = clean(raw.RequiredAction)
		for _, w := range raw.CWEs {
			if strings.HasPrefix(w, "CWE-") {
				r.Weaknesses = append(r.Weaknesses, clip(w, 20))
			}
		}
		for _, u := range strings.FieldsFunc(raw.Notes, func(c rune) bool { return c == ';' || c == ' ' }) {
			if strings.HasPrefix(u, "https://") {
				r.References = append(r.References, VulnReference{URL: clip(u, 2000)})
			}
		}
		if err := fn(r); err != nil {
			return at(d, id, err)
		}
	}
	return at(d, "", leave(d))
}

// readEPSS reads the CSV of EPSS: a line of remarks, which tells the day, a head
// and a line a vulnerability.
func readEPSS(src *bounded, fn func(*Record) error) error {
	day, before := "", 0
	lines := csv.NewReader(&remark{src: src, tell: func(line string) {
		before = 1
		if _, rest, ok := strings.Cut(line, "score_date:"); ok && len(rest) >= 10 {
			if t, err := moment("score_date", rest[:10]); err == nil {
				day = t.Format("2006-01-02")
			}
		}
	}})
	lines.FieldsPerRecord, lines.ReuseRecord = -1, true
	place, read := map[string]int{}, 0
	for head := true; ; {
		row, err := lines.Read()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			var bad *csv.ParseError
			if errors.As(err, &bad) {
				return &Fault{Line: bad.Line + before, What: bad.Err.Error()}
			}
			return &Fault{Line: read + before + 1, What: err.Error()}
		}
		line, _ := lines.FieldPos(0)
		read = line
		fail := func(id, format string, args ...any) error {
			return &Fault{Line: line + before, ID: clip(id, 60), What: fmt.Sprintf(format, args...)}
		}
		if head {
			head = false
			for i, h := range row {
				place[strings.TrimSpace(h)] = i + 1
			}
			if place["cve"] == 0 || place["epss"] == 0 {
				return fail("", "the head has no columns cve and epss")
			}
			continue
		}
		get := func(name string) string {
			if i := place[name]; i > 0 && i <= len(row) {
				return row[i-1]
			}
			return ""
		}
		id, err := cve("cve", get("cve"))
		if err != nil {
			return fail("", "%s", err)
		}
		r := &Record{ID: id, Source: EPSS, Ref: id, Likelihood: &ExploitLikelihood{Day: day}}
		for name, to := range map[string]*float64{"epss": &r.Likelihood.Score, "percentile": &r.Likelihood.Percentile} {
			if name == "percentile" && place[name] == 0 {
				continue
			}
			v, err := strconv.ParseFloat(strings.TrimSpace(get(name)), 64)
			if err != nil || !(v >= 0 && v <= 1) {
				return fail(id, "%s %q is no number between 0 and 1", name, clip(get(name), 40))
			}
			*to = v
		}
		if err := fn(r); err != nil {
			return err
		}
	}
}

// remark takes the line of remarks off the front.
type remark struct {
	src  io.Reader
	tell func(string)
	off  bool
	rest []byte
}

func (r *remark) Read(p []byte) (int, error) {
	for !r.off {
		r.off = true
		var line []byte
		var one [1]byte
		for len(line) < 1000 {
			n, err := r.src.Read(one[:])
			if n == 1 {
				line = append(line, one[0])
			}
			if err != nil || (n == 1 && one[0] == '\n') || (len(line) > 0 && line[0] != '#') {
				break
			}
		}
		if len(line) > 0 && line[0] == '#' {
			r.tell(string(line))
		} else {
			r.rest = line
		}
	}
	if len(r.rest) > 0 {
		n := copy(p, r.rest)
		r.rest = r.rest[n:]
		return n, nil
	}
	return r.src.Read(p)
}
