package rulebook

import (
	"fmt"
	"slices"

	"icewatch/detections/ruleset"
	"icewatch/detections/sigma"
)

// Draft makes a rule set of a file of rules and of what these refer to, as they
// are in force: the rules that correlations count, the rules that filters narrow,
// and the filters that narrow them. ids are the rules whose alerts are the
// file's. A file that cannot be is ErrInvalid.
func Draft(source string, with Surroundings) (b *ruleset.Bundle, ids []string, err error) {
	rules, errs := sigma.Parse([]byte(source), nil)
	if len(errs) > 0 {
		return nil, nil, fmt.Errorf("%w: %w", ErrInvalid, errs[0])
	}
	b = draftBundle([]string{source}, rules, with)
	have := func(id string) bool {
		return slices.ContainsFunc(rules, func(r *sigma.Rule) bool { return r.ID == id || r.Name == id && id != "" })
	}
	counting := func(ref string) bool { // as the engine has it, a filter narrows what is counted
		for _, r := range rules {
			if r.ID == ref || r.Name == ref {
				return r.Correlation != nil
			}
		}
		if with.Rule == nil {
			return false
		}
		k, ok := with.Rule(ref)
		return ok && k.Info.Kind == ruleset.KindCorrelation
	}
	seen := map[string]bool{}
	// take takes a rule in force along, and what it needs: the rules that it counts
	// and the filters of each.
	var take func(ref string) (Known, bool)
	needs := func(k Known) {
		for _, id := range k.Info.Filters {
			take(id)
		}
		for _, id := range k.Info.Counts {
			take(id)
		}
	}
	take = func(ref string) (Known, bool) {
		if with.Rule == nil {
			return Known{}, false
		}
		k, ok := with.Rule(ref)
		if !ok || seen[k.Info.ID] {
			return k, ok
		}
		seen[k.Info.ID] = true
		f := ruleset.File{Source: "known", Path: "known/" + fileName(k.Info.ID) + ".yml", Data: []byte(k.Info.Source)}
		if !have(ref) && !have(k.Info.ID) && !slices.ContainsFunc(b.Files, func(x ruleset.File) bool { return x.Path == f.Path }) {
			b.Files = append([]ruleset.File{f}, b.Files...)
		}
		needs(k)
		return k, ok
	}
	for _, r := range rules {
		switch {
		case r.Filter != nil:
			for _, ref := range r.Filter.Rules {
				if counting(ref) {
					return nil, nil, fmt.Errorf("%w: the filter %q holds for no correlation: name the rules that %q counts", ErrInvalid, r.Title, ref)
				}
				if k, ok := take(ref); ok && !slices.Contains(ids, k.Info.ID) {
					ids = append(ids, k.Info.ID)
				}
			}
		default:
			if !slices.Contains(ids, r.ID) {
				ids = append(ids, r.ID)
			}
			if with.Rule != nil { // the filters of the one in force narrow this one, too
				if k, ok := with.Rule(r.ID); ok {
					for _, id := range k.Info.Filters {
						take(id)
					}
				}
			}
			if r.Correlation != nil {
				for _, ref := range r.Correlation.Rules {
					take(ref)
				}
			}
		}
	}
	if len(ids) == 0 {
		return nil, nil, fmt.Errorf("%w: there is no rule in it, or the filter names none that is in force", ErrInvalid)
	}
	b.SetDisabled(b.Disabled)
	return b, ids, nil
}
