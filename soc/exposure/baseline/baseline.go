// Package baseline defines the configuration baseline: what is held against hosts and
// their services, which clause of the Multi-Level Protection Scheme (GB/T 22239-2019,
// level 3) or recommendation of CIS asks for it, and how it is repaired. Agents check
// (collectors/agent/baseline); here their results become findings and a score.
package baseline

import (
	"bytes"
	_ "embed"
	"fmt"
	"strings"
	"sync"

	"go.yaml.in/yaml/v3"

	"icewatch/collectors/fleet/wire"
	"icewatch/detections"
	"icewatch/soc/exposure/finding"
)

// Engine is what findings of baselines are reported by.
const Engine = "icewatch-baseline"

//go:embed items.yaml
var text []byte

// BaselineItem is something that is held against a host.
type BaselineItem struct {
	ID      string           `json:"id" yaml:"id"`
	Product string           `json:"product" yaml:"product" enum:"Linux,Nginx,MySQL,PostgreSQL,Redis,Docker"`
	Level   detections.Level `json:"level" yaml:"level" enum:"informational,low,medium,high,critical"`
	MLPS    string           `json:"mlps,omitempty" yaml:"mlps" doc:"Clause of GB/T 22239-2019, level 3"`
	CIS     string           `json:"cis,omitempty" yaml:"cis" doc:"Recommendation of a CIS Benchmark, by its title"`
	Title   detections.Text  `json:"title" yaml:"title" doc:"What is wrong where it fails"`
	Fix     detections.Text  `json:"fix" yaml:"fix"`
}

var items = sync.OnceValue(func() []BaselineItem {
	var out []BaselineItem
	d := yaml.NewDecoder(bytes.NewReader(text))
	d.KnownFields(true)
	if err := d.Decode(&out); err != nil {
		panic("baseline: items.yaml: " + err.Error()) // it is compiled in, and a test reads it
	}
	return out
})

// Items lists all of them.
func Items() []BaselineItem { return items() }

// Item is one by its id.
func Item(id string) (BaselineItem, bool) {
	for _, x := range items() {
		if x.ID == id {
			return x, true
		}
	}
	return BaselineItem{}, false
}

// Score counts what came of a baseline. What is not known here counts for nothing: an
// agent may be newer than the suite.
type Score struct {
	Passed  int `json:"passed"`
	Failed  int `json:"failed"`
	Unknown int `json:"unknown" doc:"Could not be read"`
}

// Judge makes of an agent's results the findings of what fails, which checks could not
// be looked at, and the score. at says where the host is.
func Judge(at finding.Sighting, results []wire.BaselineCheck) (list []finding.Sighting, unsure []string, score Score) {
	for _, r := range results {
		item, ok := Item(r.ID)
		if !ok {
			continue
		}
		switch r.State {
		case wire.BaselinePass:
			score.Passed++
		case wire.BaselineFail:
			score.Failed++
			list = append(list, sighting(at, item, r))
		default:
			score.Unknown++
			unsure = append(unsure, Engine+":"+item.ID)
		}
	}
	return list, unsure, score
}

func sighting(at finding.Sighting, item BaselineItem, r wire.BaselineCheck) finding.Sighting {
	x := at
	x.Engine, x.Check, x.Path, x.Service = Engine, item.ID, r.Where, strings.ToLower(item.Product)
	x.Title, x.Solution, x.Level = item.Title, item.Fix, item.Level
	var zh, en []string
	if item.MLPS != "" {
		zh, en = append(zh, "等级保护 GB/T 22239-2019 第三级 "+item.MLPS), append(en, "MLPS, GB/T 22239-2019, level 3, "+item.MLPS)
	}
	if item.CIS != "" {
		zh, en = append(zh, "CIS "+item.CIS), append(en, "CIS "+item.CIS)
	}
	x.Text = detections.Text{ZH: "不符合配置基线：" + strings.Join(zh, "；"), EN: "It does not meet the baseline: " + strings.Join(en, "; ")}
	if r.Found != "" {
		x.Evidence = r.Found
		if r.Where != "" {
			x.Evidence = fmt.Sprintf("%s: %s", r.Where, r.Found)
		}
	}
	return x
}
