package report

import (
	"encoding/json"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"icewatch/detections"
	"icewatch/soc/exposure/finding"
)

// several is a list, or one text, or null.
type several []string

// UnmarshalJSON implements json.Unmarshaler.
func (s *several) UnmarshalJSON(b []byte) error {
	if len(b) > 0 && b[0] == '"' {
		var one string
		if err := json.Unmarshal(b, &one); err != nil {
			return err
		}
		*s = strings.Split(one, ",")
		return nil
	}
	return json.Unmarshal(b, (*[]string)(s))
}

type nucleiResult struct {
	Template string `json:"template-id"`
	Info     struct {
		Name           string  `json:"name"`
		Severity       string  `json:"severity"`
		Description    string  `json:"description"`
		Remediation    string  `json:"remediation"`
		Reference      several `json:"reference"`
		Classification struct {
			CVE   several `json:"cve-id"`
			CWE   several `json:"cwe-id"`
			Score float64 `json:"cvss-score"`
		} `json:"classification"`
	} `json:"info"`
	Matcher   string   `json:"matcher-name"`
	Type      string   `json:"type"`
	Host      string   `json:"host"`
	Matched   string   `json:"matched-at"`
	IP        string   `json:"ip"`
	Port      any      `json:"port"`
	Scheme    string   `json:"scheme"`
	Extracted []string `json:"extracted-results"`
	Time      string   `json:"timestamp"`
}

// nuclei reads nuclei's JSON lines, or the list that it exports.
func (b *builder) nuclei(data []byte) error {
	return lines(data, func(raw json.RawMessage) (string, error) {
		list := []json.RawMessage{raw}
		if raw[0] == '[' {
			if err := json.Unmarshal(raw, &list); err != nil {
				return "", err
			}
		}
		for _, one := range list {
			var it nucleiResult
			if err := json.Unmarshal(one, &it); err != nil {
				return it.Template, err
			}
			if err := b.nucleiResult(&it); err != nil {
				return it.Template, err
			}
		}
		return "", nil
	})
}

func (b *builder) nucleiResult(it *nucleiResult) error {
	if it.Template == "" {
		return fmt.Errorf("template-id is missing: this is no result of nuclei")
	}
	level, ok := words[strings.ToLower(it.Info.Severity)]
	if !ok {
		return fmt.Errorf("info.severity %q is no level", clip(it.Info.Severity, 40))
	}
	host, port, path := target(it.Matched)
	if host == "" {
		host, port, _ = target(it.Host)
	}
	switch p := it.Port.(type) {
	case string:
		if n, err := strconv.Atoi(p); err == nil {
			port = n
		}
	case float64:
		port = int(p)
	}
	if level == detections.Informational && len(it.Info.Classification.CVE) == 0 {
		b.host(it.IP, host)
		b.r.Skipped++
		return nil
	}
	x := finding.Sighting{Address: it.IP, Host: host, Port: port, Protocol: "tcp", Service: it.Scheme, Path: path, Check: it.Template, Title: detections.Text{EN: it.Info.Name}, Text: detections.Text{EN: it.Info.Description},
		Solution: detections.Text{EN: it.Info.Remediation}, Level: level, Score: it.Info.Classification.Score, Links: it.Info.Reference, Evidence: strings.Join(append([]string{it.Matched}, it.Extracted...), "\n")}
	if it.Matcher != "" {
		x.Check += ":" + it.Matcher
	}
	if addr, err := netip.ParseAddr(host); err == nil {
		x.Host = ""
		if x.Address == "" {
			x.Address = addr.String()
		}
	}
	for _, c := range it.Info.Classification.CVE {
		x.CVEs = append(x.CVEs, strings.ToUpper(strings.TrimSpace(c)))
	}
	for _, c := range it.Info.Classification.CWE {
		x.CWEs = append(x.CWEs, clip(strings.ToUpper(strings.TrimSpace(c)), 20))
	}
	var err error
	if x.At, err = moment(it.Time); err != nil {
		return err
	}
	return b.add(x)
}

// target splits a URL, an address with a port, or a host.
func target(s string) (host string, port int, path string) {
	if strings.Contains(s, "://") {
		u, err := url.Parse(s)
		if err != nil {
			return "", 0, ""
		}
		port, _ = strconv.Atoi(u.Port()) // none is the scheme's
		if port == 0 {
			port = map[string]int{"http": 80, "https": 443, "ftp": 21, "ssh": 22}[u.Scheme]
		}
		return u.Hostname(), port, u.Path
	}
	if h, p, err := net.SplitHostPort(s); err == nil {
		port, _ = strconv.Atoi(p) // what is no number says nothing
		return h, port, ""
	}
	return s, 0, ""
}

type sarifText struct {
	Text string `json:"text"`
}

type sarifRule struct {
	ID         string    `json:"id"`
	Name       string    `json:"name"`
	Short      sarifText `json:"shortDescription"`
	Full       sarifText `json:"fullDescription"`
	Help       sarifText `json:"help"`
	URI        string    `json:"helpUri"`
	Properties struct {
		Severity any      `json:"security-severity"`
		Tags     []string `json:"tags"`
	} `json:"properties"`
	Default struct {
		Level string `json:"level"`
	} `json:"defaultConfiguration"`
}

// sarif reads a log of SARIF 2.1. It names no hosts: all of it is about one item.
func (b *builder) sarif(data []byte) error {
	return lines(data, func(raw json.RawMessage) (string, error) {
		var doc struct {
			Version string `json:"version"`
			Runs    []struct {
				Tool struct {
					Driver struct {
						Name  string      `json:"name"`
						Rules []sarifRule `json:"rules"`
					} `json:"driver"`
				} `json:"tool"`
				Results []struct {
					Rule      string    `json:"ruleId"`
					Index     *int      `json:"ruleIndex"`
					Level     string    `json:"level"`
					Kind      string    `json:"kind"`
					Message   sarifText `json:"message"`
					Locations []struct {
						Physical struct {
							Artifact struct {
								URI string `json:"uri"`
							} `json:"artifactLocation"`
							Region struct {
								Line int `json:"startLine"`
							} `json:"region"`
						} `json:"physicalLocation"`
					} `json:"locations"`
					Suppressions []json.RawMessage `json:"suppressions"`
				} `json:"results"`
			} `json:"runs"`
		}
		if err := json.Unmarshal(raw, &doc); err != nil {
			return "", err
		}
		if !strings.HasPrefix(doc.Version, "2.1") {
			return "", fmt.Errorf("version is %q; SARIF 2.1.0 is read", clip(doc.Version, 20))
		}
		for i, run := range doc.Runs {
			if name := strings.ToLower(strings.TrimSpace(run.Tool.Driver.Name)); name != "" {
				b.r.Engine = clip(name, 60)
			}
			for j, res := range run.Results {
				id := fmt.Sprintf("runs[%d].results[%d]", i, j)
				var rule sarifRule
				if res.Index != nil && *res.Index >= 0 && *res.Index < len(run.Tool.Driver.Rules) {
					rule = run.Tool.Driver.Rules[*res.Index]
				} else if at := slices.IndexFunc(run.Tool.Driver.Rules, func(r sarifRule) bool { return r.ID == res.Rule }); at >= 0 {
					rule = run.Tool.Driver.Rules[at]
				}
				if res.Rule == "" {
					res.Rule = rule.ID
				}
				if len(res.Suppressions) > 0 || res.Kind == "pass" || res.Kind == "notApplicable" {
					b.r.Skipped++
					continue
				}
				x := finding.Sighting{Check: res.Rule, Title: detections.Text{EN: rule.Short.Text}, Text: detections.Text{EN: rule.Full.Text}, Solution: detections.Text{EN: rule.Help.Text}, Evidence: res.Message.Text}
				if x.Title.EN == "" {
					x.Title.EN = res.Message.Text
				}
				if rule.URI != "" {
					x.Links = []string{clip(rule.URI, 2000)}
				}
				if len(res.Locations) > 0 {
					p := res.Locations[0].Physical
					x.Path = p.Artifact.URI
					if p.Region.Line > 0 {
						x.Evidence = fmt.Sprintf("%s:%d\n%s", p.Artifact.URI, p.Region.Line, x.Evidence)
					}
				}
				var err error
				if x.Score, err = score(strings.Trim(fmt.Sprint(orEmpty(rule.Properties.Severity)), " ")); err != nil {
					return id, err
				}
				level := res.Level
				if level == "" {
					level = rule.Default.Level
				}
				if x.Score == 0 {
					var ok bool
					if x.Level, ok = words[strings.ToLower(level)]; !ok && level != "" {
						return id, fmt.Errorf("level %q is none of error, warning, note, none", clip(level, 40))
					}
					if level == "" {
						x.Level = detections.Medium // SARIF's default is warning
					}
				}
				x.CVEs = cves.FindAllString(res.Rule, 10)
				for _, tag := range rule.Properties.Tags {
					if at := strings.Index(strings.ToLower(tag), "cwe-"); at >= 0 {
						x.CWEs = append(x.CWEs, strings.ToUpper(clip(tag[at:], 12)))
					}
				}
				if err := b.add(x); err != nil {
					return id, err
				}
			}
			if len(run.Results) == 0 {
				b.r.Skipped++ // a run that found nothing is a report too
			}
		}
		return "", nil
	})
}

func orEmpty(v any) any {
	if v == nil {
		return ""
	}
	return v
}
