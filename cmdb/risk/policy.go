package risk

import (
	"fmt"
	"math"
)

// Policy is what an administrator decides of the formula. The four parts share
// 100 points.
type Policy struct {
	Threat     float64 `json:"threat" doc:"Points of alerts and incidents, 20 to 80"`
	Finding    float64 `json:"finding" doc:"Points of what is found wrong, 5 to 50"`
	Exposure   float64 `json:"exposure" doc:"Points of who reaches it, 5 to 40"`
	Protection float64 `json:"protection" doc:"Points of missing protection, 5 to 40"`

	HalfLifeDays     float64 `json:"half_life_days" doc:"Days after which an alert counts half, 1 to 30"`
	MediumAt         int     `json:"medium_at" doc:"Score from which the level is medium, 10 to 50"`
	HighAt           int     `json:"high_at" doc:"Score from which the level is high, and at least which an attack that succeeded makes it; 40 to 80"`
	CompromisedFloor int     `json:"compromised_floor" doc:"Score that whatever is compromised has at least, 80 to 100"`
}

// DefaultPolicy is in force until an administrator decides otherwise.
var DefaultPolicy = Policy{Threat: 60, Finding: 18, Exposure: 12, Protection: 10, HalfLifeDays: 7, MediumAt: 30, HighAt: 60, CompromisedFloor: 85}

// Check says what is wrong with a policy.
func (p Policy) Check() error {
	for _, x := range []struct {
		name               string
		value, least, most float64
	}{{"threat", p.Threat, 20, 80}, {"finding", p.Finding, 5, 50}, {"exposure", p.Exposure, 5, 40}, {"protection", p.Protection, 5, 40},
		{"half_life_days", p.HalfLifeDays, 1, 30}, {"medium_at", float64(p.MediumAt), 10, 50}, {"high_at", float64(p.HighAt), 40, 80},
		{"compromised_floor", float64(p.CompromisedFloor), 80, 100}} {
		if math.IsNaN(x.value) || x.value < x.least || x.value > x.most {
			return fmt.Errorf("%s: %g: %g to %g is expected", x.name, x.value, x.least, x.most)
		}
	}
	if sum := p.Threat + p.Finding + p.Exposure + p.Protection; math.Abs(sum-100) > 1e-6 {
		return fmt.Errorf("threat, finding, exposure and protection share 100 points; they add up to %g", sum)
	}
	if p.MediumAt >= p.HighAt {
		return fmt.Errorf("medium_at: %d: less than high_at, %d, is expected", p.MediumAt, p.HighAt)
	}
	return nil
}
