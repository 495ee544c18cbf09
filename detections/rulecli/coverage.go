package rulecli

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"

	"icewatch/detections/ruleset"
	"icewatch/detections/sigma"
	"icewatch/soc/event"
)

// Covered is a rule as far as coverage goes.
type Covered struct {
	ID         string   `json:"id"`
	Title      string   `json:"title"`
	Logsource  string   `json:"logsource"` // of a correlation "correlation"
	Tactics    []string `json:"tactics"`
	Techniques []string `json:"techniques"`
	// Fed tells whether events of its log source come; nil where no server was
	// asked, or it does not know.
	Fed  *bool   `json:"fed,omitempty"`
	Hits *uint64 `json:"hits,omitempty"`
}

// Coverage is what rules cover of ATT&CK, and what feeds them.
type Coverage struct {
	Rules      int         `json:"rules"`
	Mapped     int         `json:"mapped"` // with a tactic or technique
	Tactics    []Tactic    `json:"tactics"`
	Techniques []Technique `json:"techniques"`
	Sources    []FedBy     `json:"logsources"`
	Unfed      []Covered   `json:"unfed"` // rules without data

	by map[string]*Technique
}

// Tactic is one with its numbers.
type Tactic struct {
	Name       string `json:"name"`
	Rules      int    `json:"rules"`
	Techniques int    `json:"techniques"` // that its rules name
}

// Technique is one with its rules.
type Technique struct {
	ID    string   `json:"id"`
	Rules []string `json:"rules"` // titles
	Fed   int      `json:"fed"`   // of these, known to have data
}

// FedBy is a log source with the rules that it feeds.
type FedBy struct {
	Logsource string `json:"logsource"`
	Rules     int    `json:"rules"`
	Fed       int    `json:"fed"`
	Unfed     int    `json:"unfed"`
}

// tacticOrder is that of the ATT&CK matrix.
var tacticOrder = []string{"reconnaissance", "resource-development", "initial-access", "execution", "persistence", "privilege-escalation", "defense-evasion", "stealth",
	"defense-impairment", "credential-access", "discovery", "lateral-movement", "collection", "command-and-control", "exfiltration", "impact",
	"evasion", "inhibit-response-function", "impair-process-control"}

// Local reads the rules of folders, the built-in ones where there are none.
func Local(dirs []string) ([]Covered, error) {
	b, err := load(dirs)
	if err != nil {
		return nil, err
	}
	set, _ := ruleset.CompileWith(b, event.NewRegistry(0), ruleset.Options{FaultsOnly: true, NoPolicies: true})
	var out []Covered
	for _, list := range [][]*ruleset.Rule{set.Detections(), set.Correlations()} {
		for _, r := range list {
			out = append(out, CoveredBy(native(r)))
		}
	}
	return out, nil
}

// CoveredBy is a rule as coverage sees it.
func CoveredBy(r *sigma.Rule) Covered {
	c := Covered{ID: r.ID, Title: r.Title, Logsource: r.Logsource.String()}
	if r.Correlation != nil {
		c.Logsource = "correlation"
	}
	c.Tactics, c.Techniques = r.Attack()
	return c
}

// Cover counts.
func Cover(list []Covered) *Coverage {
	c := &Coverage{Rules: len(list), Tactics: []Tactic{}, Techniques: []Technique{}, Sources: []FedBy{}, Unfed: []Covered{}, by: map[string]*Technique{}}
	tactics := map[string]map[string]bool{}
	count := map[string]int{}
	sources := map[string]*FedBy{}
	for _, r := range list {
		if len(r.Tactics)+len(r.Techniques) > 0 {
			c.Mapped++
		}
		for _, name := range r.Tactics {
			if tactics[name] == nil {
				tactics[name] = map[string]bool{}
			}
			count[name]++
			for _, id := range r.Techniques {
				tactics[name][id] = true
			}
		}
		for _, id := range r.Techniques {
			t := c.by[id]
			if t == nil {
				t = &Technique{ID: id}
				c.by[id] = t
			}
			t.Rules = append(t.Rules, r.Title)
			if r.Fed != nil && *r.Fed {
				t.Fed++
			}
		}
		s := sources[r.Logsource]
		if s == nil {
			s = &FedBy{Logsource: r.Logsource}
			sources[r.Logsource] = s
		}
		s.Rules++
		switch {
		case r.Fed == nil:
		case *r.Fed:
			s.Fed++
		default:
			s.Unfed++
			c.Unfed = append(c.Unfed, r)
		}
	}
	for name, techniques := range tactics {
		c.Tactics = append(c.Tactics, Tactic{name, count[name], len(techniques)})
	}
	slices.SortFunc(c.Tactics, func(a, b Tactic) int {
		return cmp.Or(cmp.Compare(slices.Index(tacticOrder, a.Name), slices.Index(tacticOrder, b.Name)), cmp.Compare(a.Name, b.Name))
	})
	for _, t := range c.by {
		c.Techniques = append(c.Techniques, *t)
	}
	slices.SortFunc(c.Techniques, func(a, b Technique) int { return cmp.Compare(a.ID, b.ID) })
	for _, s := range sources {
		c.Sources = append(c.Sources, *s)
	}
	slices.SortFunc(c.Sources, func(a, b FedBy) int {
		return cmp.Or(cmp.Compare(b.Rules, a.Rules), cmp.Compare(a.Logsource, b.Logsource))
	})
	return c
}

// Print writes the numbers as tables.
func (c *Coverage) Print(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(t, "TACTIC\tRULES\tTECHNIQUES\n")
	for _, x := range c.Tactics {
		fmt.Fprintf(t, "%s\t%d\t%d\n", x.Name, x.Rules, x.Techniques)
	}
	fmt.Fprintf(t, "\t\t\nLOG SOURCE\tRULES\tFED\tWITHOUT DATA\n")
	for _, x := range c.Sources {
		fed, unfed := "-", "-"
		if x.Fed+x.Unfed > 0 {
			fed, unfed = fmt.Sprint(x.Fed), fmt.Sprint(x.Unfed)
		}
		fmt.Fprintf(t, "%s\t%d\t%s\t%s\n", x.Logsource, x.Rules, fed, unfed)
	}
	if err := t.Flush(); err != nil {
		return fmt.Errorf("coverage: %w", err)
	}
	for _, r := range c.Unfed {
		fmt.Fprintf(w, "without data: %s  %s\n", r.ID, r.Title)
	}
	_, err := fmt.Fprintf(w, "%d rules, %d mapped to ATT&CK, %d tactics, %d techniques, %d without data\n", c.Rules, c.Mapped, len(c.Tactics), len(c.Techniques), len(c.Unfed))
	return err
}

// Layer writes a layer of the ATT&CK Navigator, format 4.5: each technique with
// its number of rules as score, and their titles as comment.
func (c *Coverage) Layer(w io.Writer, name string) error {
	type technique struct {
		ID      string `json:"techniqueID"`
		Score   int    `json:"score"`
		Comment string `json:"comment"`
		Enabled bool   `json:"enabled"`
		Show    bool   `json:"showSubtechniques"`
	}
	most := 1
	list := []technique{}
	parents := map[string]bool{}
	for _, t := range c.Techniques {
		if parent, _, sub := strings.Cut(t.ID, "."); sub {
			parents[parent] = true
		}
	}
	for _, t := range c.Techniques {
		most = max(most, len(t.Rules))
		titles := slices.Sorted(slices.Values(t.Rules))
		if more := len(titles) - 20; more > 0 {
			titles = append(titles[:20], fmt.Sprintf("and %d more", more))
		}
		list = append(list, technique{t.ID, len(t.Rules), strings.Join(titles, "\n"), true, parents[t.ID]})
	}
	for parent := range parents {
		if c.by[parent] == nil { // it is shown open, without a score of its own
			list = append(list, technique{ID: parent, Enabled: true, Show: true})
		}
	}
	slices.SortFunc(list, func(a, b technique) int { return cmp.Compare(a.ID, b.ID) })
	layer := map[string]any{
		"name":         name,
		"description":  fmt.Sprintf("%d rules, %d of them mapped", c.Rules, c.Mapped),
		"versions":     map[string]string{"attack": "17", "navigator": "5.1.0", "layer": "4.5"},
		"domain":       "enterprise-attack",
		"techniques":   list,
		"gradient":     map[string]any{"colors": []string{"#dbe9ff", "#1f5fbf"}, "minValue": 1, "maxValue": most},
		"sorting":      3,
		"hideDisabled": false,
	}
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", " ")
	return enc.Encode(layer)
}
