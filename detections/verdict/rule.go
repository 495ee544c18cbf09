package verdict

import (
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"icewatch/detections"
)

// Claims are what a rule says of itself, in its block icewatch. Empty is
// nothing: then the event tells.
type Claims struct {
	Verdict  detections.Verdict
	Attack   string // id of a type of attack
	Attacker string // which end attacks: source, destination or host
}

// Tags that class a rule begin so: gbz20986.NAI.VAI and attack-type.brute-force.
const (
	RiskTag   = "gbz20986."
	attackTag = "attack-type."
)

// Rule is what is known of a rule's firings before it fires. The zero value
// knows nothing.
type Rule struct {
	claims Claims
	attack *Attack
	risk   detections.Risk
	rest   bool // no class is for it: risk is that of the rest, unless the event names one
	phase  string
	grave  bool // of level high or critical
	leaves bool // what it tells of goes out from the victim
}

// Classify works out what is known of a rule.
func (t *Taxonomy) Classify(ref *detections.RuleRef, claims Claims) Rule {
	r := Rule{claims: claims, phase: Phase(ref.Tactics, ref.Techniques), grave: ref.Level == detections.High || ref.Level == detections.Critical}
	r.attack = t.attackOf(ref, claims.Attack)
	if r.attack != nil {
		r.risk = r.attack.risk
	}
	for _, tag := range ref.Tags {
		if path, ok := strings.CutPrefix(strings.ToLower(tag), RiskTag); ok {
			if risk, known := t.Find(path); known {
				r.risk = risk
			}
		}
	}
	if r.risk.Class == "" {
		// Whatever none of the classes is for is of the class for the rest.
		r.risk, _ = t.Find("OI")
		r.rest = true
	}
	r.leaves = r.phase == "command-and-control" || r.attack != nil && r.attack.Tunnel || slices.ContainsFunc(ref.Tactics, func(s string) bool {
		return s == "exfiltration" || s == "command-and-control"
	})
	return r
}

// attackOf finds the type of attack that a rule is about: what it says itself
// counts before its tags, these before words, techniques and tactics.
func (t *Taxonomy) attackOf(ref *detections.RuleRef, own string) *Attack {
	if a := t.Attack(own); a != nil {
		return a
	}
	for _, tag := range ref.Tags {
		if id, ok := strings.CutPrefix(strings.ToLower(tag), attackTag); ok {
			if a := t.Attack(id); a != nil {
				return a
			}
		}
		for i := range t.Attacks {
			if slices.Contains(t.Attacks[i].Tags, strings.ToLower(tag)) {
				return &t.Attacks[i]
			}
		}
	}
	text := strings.ToLower(ref.Title.EN + "\n" + ref.Title.ZH + "\n" + strings.NewReplacer("_", " ").Replace(ref.ID))
	techniques := make([]string, len(ref.Techniques))
	for i, id := range ref.Techniques {
		techniques[i] = strings.ToUpper(id)
	}
	for _, fits := range []func(a *Attack) bool{
		func(a *Attack) bool {
			return slices.ContainsFunc(a.Words, func(w string) bool { return hasWord(text, w) })
		},
		func(a *Attack) bool {
			return slices.ContainsFunc(techniques, func(id string) bool {
				return slices.ContainsFunc(a.Techniques, func(of string) bool { return id == of || strings.HasPrefix(id, of+".") })
			})
		},
		func(a *Attack) bool {
			return slices.ContainsFunc(ref.Tactics, func(tactic string) bool { return slices.Contains(a.Tactics, normal(tactic)) })
		},
	} {
		for i := range t.Attacks {
			if fits(&t.Attacks[i]) {
				return &t.Attacks[i]
			}
		}
	}
	return nil
}

// hasWord tells whether a word stands in a text, both in lower case: in scripts
// with spaces by itself, in Chinese anywhere.
func hasWord(text, word string) bool {
	for from := 0; ; {
		at := strings.Index(text[from:], word)
		if at < 0 {
			return false
		}
		at += from
		before, _ := utf8.DecodeLastRuneInString(text[:at])
		after, _ := utf8.DecodeRuneInString(text[at+len(word):])
		first, _ := utf8.DecodeRuneInString(word)
		last, _ := utf8.DecodeLastRuneInString(word)
		if !(joins(before) && joins(first)) && !(joins(last) && joins(after)) {
			return true
		}
		from = at + len(word)
	}
}

// joins tells whether a letter makes one word with its neighbour.
func joins(r rune) bool {
	return r != utf8.RuneError && (unicode.IsLetter(r) || unicode.IsDigit(r)) && !unicode.Is(unicode.Han, r)
}
