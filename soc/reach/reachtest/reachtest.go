// Package reachtest tests that data scopes hold: it makes towns, rows and scopes
// at random, and decides by itself which rows a scope shows. It shares no code
// with soc/reach but the types, so that both would have to be wrong alike.
package reachtest

import (
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"icewatch/soc/reach"
)

// Random returns a source that ICEWATCH_SEED repeats; the test's log tells it.
func Random(t testing.TB) *rand.Rand {
	t.Helper()
	seed := rand.Uint64()
	if s := os.Getenv("ICEWATCH_SEED"); s != "" {
		var err error
		if seed, err = strconv.ParseUint(s, 10, 64); err != nil {
			t.Fatalf("ICEWATCH_SEED=%q: %v", s, err)
		}
	}
	t.Logf("ICEWATCH_SEED=%d repeats this", seed)
	return rand.New(rand.NewPCG(seed, 0))
}

// Values are regions, industries and labels that ask for care somewhere on the
// way: cases, digits only, Chinese, and the signs of LogsQL, SQL, regular
// expressions and quoting.
var Values = []string{"a", "b", "ab", "A", "4403", "福田", "南 山", `q"uo'te`, `back\slash`, "%", ".*", "(x)", "a|b", "?", "*", "in", "'"}

// Town is a city of tenants and units.
type Town struct {
	Tenants []reach.Tenant
	Units   []reach.Unit
}

// NewTown makes a town whose tenants have the slugs given, and eight units u0
// to u7; what names u8 names nobody's.
func NewTown(rnd *rand.Rand, slugs ...string) *Town {
	t := &Town{}
	for i := range 8 {
		u := reach.Unit{ID: "u" + strconv.Itoa(i)}
		if i > 0 && rnd.IntN(4) > 0 {
			u.Parent = "u" + strconv.Itoa(rnd.IntN(i))
		}
		t.Units = append(t.Units, u)
	}
	for _, slug := range slugs {
		f := t.Row(rnd, slug)
		t.Tenants = append(t.Tenants, reach.Tenant{Slug: slug, Unit: f.Unit, Region: f.Region, Industry: f.Industry, Labels: f.Labels})
	}
	return t
}

// Directory is the town as data scopes are compiled for it.
func (t *Town) Directory() *reach.Directory { return reach.NewDirectory(t.Tenants, t.Units) }

// Row makes a row of the tenant with facts of its own, or none.
func (t *Town) Row(rnd *rand.Rand, tenant string) reach.Facts {
	maybe := func() string {
		if rnd.IntN(2) == 0 {
			return ""
		}
		return Values[rnd.IntN(len(Values))]
	}
	f := reach.Facts{Tenant: tenant, Region: maybe(), Industry: maybe()}
	if rnd.IntN(3) > 0 {
		f.Unit = "u" + strconv.Itoa(rnd.IntN(9))
	}
	for range rnd.IntN(3) {
		f.Labels = append(f.Labels, Values[rnd.IntN(len(Values))])
	}
	return f
}

// Slug picks one of the tenants.
func (t *Town) Slug(rnd *rand.Rand) string { return t.Tenants[rnd.IntN(len(t.Tenants))].Slug }

// Term is a scope as the oracle knows it.
type Term struct {
	word   string // and, or, not, or a fact
	kids   []*Term
	op     string
	values []string
}

// NewTerm makes a scope with and, or, not at most depth deep.
func (t *Town) NewTerm(rnd *rand.Rand, depth int) *Term {
	if depth > 0 && rnd.IntN(3) > 0 {
		x := &Term{word: []string{"and", "or", "not"}[rnd.IntN(3)]}
		x.kids = []*Term{t.NewTerm(rnd, depth-1), t.NewTerm(rnd, depth-1)}
		return x
	}
	x := &Term{word: []string{"organisation", "region", "industry", "tenant", "label"}[rnd.IntN(5)]}
	ops := []string{"=", "!=", "in", "not in", "contains", "not contains", "exists", "not exists"}
	if x.word == "organisation" {
		ops = []string{"=", "!=", "in", "not in", "under", "not under", "exists", "not exists"}
	}
	x.op = ops[rnd.IntN(len(ops))]
	for range 1 + rnd.IntN(3) {
		v := Values[rnd.IntN(len(Values))]
		switch x.word {
		case "organisation":
			v = "u" + strconv.Itoa(rnd.IntN(9))
		case "tenant":
			v = t.Slug(rnd)
		}
		x.values = append(x.values, v)
	}
	if x.op == "=" || x.op == "!=" {
		x.values = x.values[:1]
	}
	return x
}

// Text writes the scope down in the language.
func (x *Term) Text() string {
	switch x.word {
	case "not":
		return "not (" + x.kids[0].Text() + ")"
	case "and", "or":
		return "(" + x.kids[0].Text() + " " + x.word + " " + x.kids[1].Text() + ")"
	}
	quote := func(v string) string {
		return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(v) + `"`
	}
	switch x.op {
	case "exists", "not exists":
		return x.word + " " + x.op
	case "=", "!=":
		return x.word + " " + x.op + " " + quote(x.values[0])
	}
	list := make([]string, len(x.values))
	for i, v := range x.values {
		list[i] = quote(v)
	}
	return x.word + " " + x.op + " (" + strings.Join(list, ", ") + ")"
}

// Shows decides whether the scope shows a row, by the words of soc/reach's
// package comment.
func (x *Term) Shows(t *Town, row reach.Facts) bool {
	switch x.word {
	case "not":
		return !x.kids[0].Shows(t, row)
	case "and":
		return x.kids[0].Shows(t, row) && x.kids[1].Shows(t, row)
	case "or":
		return x.kids[0].Shows(t, row) || x.kids[1].Shows(t, row)
	}
	if op, ok := strings.CutPrefix(x.op, "not "); ok {
		return !(&Term{word: x.word, op: op, values: x.values}).Shows(t, row)
	}
	if x.op == "!=" {
		return !(&Term{word: x.word, op: "=", values: x.values}).Shows(t, row)
	}
	have := t.have(x.word, row)
	for _, h := range have {
		for _, v := range x.values {
			switch x.op {
			case "=", "in":
				if h == v {
					return true
				}
			case "contains":
				if strings.Contains(h, v) {
					return true
				}
			case "under":
				for at := h; at != ""; at = t.parent(at) {
					if at == v {
						return true
					}
				}
			}
		}
	}
	return x.op == "exists" && len(have) > 0
}

// have lists what a row has of a fact: its own, else its tenant's; labels of
// both.
func (t *Town) have(fact string, row reach.Facts) []string {
	var home reach.Tenant
	for _, x := range t.Tenants {
		if x.Slug == row.Tenant {
			home = x
		}
	}
	own := func(a, b string) []string {
		if a == "" {
			a = b
		}
		if a == "" {
			return nil
		}
		return []string{a}
	}
	switch fact {
	case "tenant":
		return []string{row.Tenant}
	case "organisation":
		return own(row.Unit, home.Unit)
	case "region":
		return own(row.Region, home.Region)
	case "industry":
		return own(row.Industry, home.Industry)
	}
	return append(slices.Clone(row.Labels), home.Labels...)
}

func (t *Town) parent(unit string) string {
	for _, u := range t.Units {
		if u.ID == unit {
			return u.Parent
		}
	}
	return ""
}
