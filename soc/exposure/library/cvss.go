package library

import (
	"fmt"
	"math"
	"strings"
)

// check holds a score to its bounds, and computes the base score of a vector of
// CVSS 3 whose source gives none. Of the other versions it stays 0.
func (s CVSSScore) check() (CVSSScore, error) {
	if math.IsNaN(s.Score) || s.Score < 0 || s.Score > 10 {
		return s, fmt.Errorf("the CVSS score %v is not between 0 and 10", s.Score)
	}
	if rest, ok := strings.CutPrefix(s.Vector, "CVSS:"); ok && s.Version == "" {
		s.Version, _, _ = strings.Cut(rest, "/")
	}
	if s.Score == 0 && strings.HasPrefix(s.Vector, "CVSS:3") {
		v, err := baseScore(s.Vector)
		if err != nil {
			return s, err
		}
		s.Score = v
	}
	return s, nil
}

// cvss3 are the weights of CVSS 3.1's base metrics (specification, 7.4).
var cvss3 = map[string]float64{"AV:N": 0.85, "AV:A": 0.62, "AV:L": 0.55, "AV:P": 0.2, "AC:L": 0.77, "AC:H": 0.44, "UI:N": 0.85, "UI:R": 0.62,
	"C:H": 0.56, "C:L": 0.22, "C:N": 0, "I:H": 0.56, "I:L": 0.22, "I:N": 0, "A:H": 0.56, "A:L": 0.22, "A:N": 0,
	"PR:N": 0.85, "PR:L": 0.62, "PR:H": 0.27, "S:U": 0, "S:C": 1}

// baseScore computes the base score of a vector of CVSS 3.0 or 3.1.
func baseScore(vector string) (float64, error) {
	m := map[string]float64{}
	for _, p := range strings.Split(vector, "/")[1:] {
		key, value, _ := strings.Cut(p, ":")
		switch key {
		case "AV", "AC", "PR", "UI", "S", "C", "I", "A":
			w, ok := cvss3[p]
			if _, twice := m[key]; !ok || twice {
				return 0, fmt.Errorf("the CVSS vector %s: %s is none of %s's values", clip(vector, 100), clip(value, 20), key)
			}
			m[key] = w
		}
	}
	if len(m) != 8 {
		return 0, fmt.Errorf("the CVSS vector %s lacks base metrics: AV, AC, PR, UI, S, C, I and A are needed", clip(vector, 100))
	}
	changed := m["S"] == 1
	if changed {
		switch m["PR"] {
		case 0.62:
			m["PR"] = 0.68
		case 0.27:
			m["PR"] = 0.5
		}
	}
	iss := 1 - (1-m["C"])*(1-m["I"])*(1-m["A"])
	impact := 6.42 * iss
	if changed {
		impact = 7.52*(iss-0.029) - 3.25*math.Pow(iss-0.02, 15)
	}
	if impact <= 0 {
		return 0, nil
	}
	sum := impact + 8.22*m["AV"]*m["AC"]*m["PR"]*m["UI"]
	if changed {
		sum *= 1.08
	}
	return roundUp(min(sum, 10)), nil
}

// roundUp is the specification's Roundup, which no error of floating point moves.
func roundUp(x float64) float64 {
	i := int64(math.Round(x * 100_000))
	if i%10_000 == 0 {
		return float64(i) / 100_000
	}
	return float64(i/10_000+1) / 10
}
