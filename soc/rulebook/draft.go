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
	var beside []string
	take := func(ref string) (Known, bool) {
		if with.Rule == nil || have(ref) || slices.Contains(beside, ref) {
			return Known{}, false
		}
		beside = append(beside, ref)
		k, ok := with.Rule(ref)
		if ok {
			b.Files = append([]ruleset.File{{Source: "known", Path: "known/" + fileName(k.Info.ID) + ".yml", Data: []byte(k.Info.Source)}}, b.Files...)
		}
		return k, ok
	}
	filters := func(k Known) {
		for _, id := range k.Info.Filters {
			take(id)
		}
	}
	for _, r := range rules {
		switch {
		case r.Filter != nil:
			for _, ref := range r.Filter.Rules {
				known, _ := with.Rule(ref)
				if k, ok := take(ref); ok {
					filters(k)
				}
				if known.Info.ID != "" && !slices.Contains(ids, known.Info.ID) {
					ids = append(ids, known.Info.ID)
				}
			}
		default:
			ids = append(ids, r.ID)
			if k, ok := with.Rule(r.ID); ok {
				filters(k)
			}
			if r.Correlation != nil {
				for _, ref := range r.Correlation.Rules {
					if k, ok := with.Rule(ref); ok {
						filters(k)
					}
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
