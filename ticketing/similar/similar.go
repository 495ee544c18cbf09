// Package similar ranks past incidents by how much one resembles them, so that
// whoever handles it sees how those ended.
//
// The measure is a weighted mean of Jaccard indices, |A∩B| / |A∪B|, over what
// two incidents have: rules that fired (0.35), ATT&CK techniques (0.25), the
// item and system they are about (0.20), and the addresses behind them (0.20).
// A part that neither has does not count, and its weight goes to the others.
// It lies between 0 and 1; it says what is alike, not what happened.
package similar

import (
	"cmp"
	"math"
	"slices"
	"strings"

	"icewatch/detections"
)

// Facts are what an incident is compared by.
type Facts struct {
	ID         string
	Rules      []string
	Techniques []string
	Items      []string // configuration items and systems
	Actors     []string // addresses and other observables
}

// parts are the weights of the measure.
var parts = []struct {
	weight float64
	of     func(f *Facts) []string
	zh, en string
}{
	{0.35, func(f *Facts) []string { return f.Rules }, "相同规则", "same rules"},
	{0.25, func(f *Facts) []string { return f.Techniques }, "相同技术", "same techniques"},
	{0.20, func(f *Facts) []string { return f.Items }, "相同资产或系统", "same item or system"},
	{0.20, func(f *Facts) []string { return f.Actors }, "相同来源", "same origin"},
}

// Match is an incident that resembles.
type Match struct {
	ID    string            `json:"id"`
	Score float64           `json:"score" doc:"0 to 1"`
	Why   []detections.Text `json:"why" nullable:"false"`
}

// least is the score below which nothing is recommended.
const least = 0.2

// maxNamed is how many common values a reason names.
const maxNamed = 3

// Rank returns the incidents most like one, the most alike first, then the
// latest as others is ordered; n at most.
func Rank(one Facts, others []Facts, n int) []Match {
	out := []Match{}
	for i := range others {
		if others[i].ID == one.ID {
			continue
		}
		if m := measure(&one, &others[i]); m.Score >= least {
			out = append(out, m)
		}
	}
	slices.SortStableFunc(out, func(a, b Match) int { return cmp.Compare(b.Score, a.Score) })
	return out[:min(n, len(out))]
}

func measure(a, b *Facts) Match {
	m := Match{ID: b.ID, Why: []detections.Text{}}
	var sum, weights float64
	for _, p := range parts {
		common, all := overlap(p.of(a), p.of(b))
		if all == 0 {
			continue
		}
		weights += p.weight
		sum += p.weight * float64(len(common)) / float64(all)
		if len(common) > 0 {
			names := strings.Join(common[:min(maxNamed, len(common))], ", ")
			if len(common) > maxNamed {
				names += " …"
			}
			m.Why = append(m.Why, detections.Text{ZH: p.zh + "：" + names, EN: p.en + ": " + names})
		}
	}
	if weights > 0 {
		m.Score = math.Round(1000*sum/weights) / 1000
	}
	return m
}

// overlap returns what two sets have in common, sorted, and how many there are
// in both together.
func overlap(a, b []string) (common []string, all int) {
	in := map[string]int{}
	for _, v := range a {
		in[v] |= 1
	}
	for _, v := range b {
		in[v] |= 2
	}
	for v, sides := range in {
		if v == "" {
			continue
		}
		all++
		if sides == 3 {
			common = append(common, v)
		}
	}
	slices.Sort(common)
	return common, all
}
