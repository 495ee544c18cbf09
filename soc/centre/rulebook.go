package centre

import (
	"cmp"
	"context"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"icewatch/detections/logsource"
	"icewatch/detections/ruleset"
	"icewatch/detections/verdict"
	"icewatch/soc/api"
	"icewatch/soc/rulebook"
)

const builtinSource = "builtin"

// openRulebook opens the rules that people make in the console.
func (c *centre) openRulebook() (*rulebook.Book, error) {
	return rulebook.Open(filepath.Join(c.Config.Data, "rules"))
}

// support are the files of a bundle that say how rules and events meet.
func support(b *ruleset.Bundle) []ruleset.File {
	var out []ruleset.File
	for _, f := range b.Files {
		if path.Base(f.Path) == logsource.FileName || path.Base(f.Path) == verdict.FileName || slices.Contains(strings.Split(path.Dir(f.Path), "/"), "pipelines") {
			out = append(out, f)
		}
	}
	return out
}

// Surroundings implements api.Rules.
func (k *keeper) Surroundings() rulebook.Surroundings {
	st := k.state.Load()
	return rulebook.Surroundings{Support: st.support, Off: k.book.OffIDs(), Rule: func(ref string) (rulebook.Known, bool) {
		at := slices.IndexFunc(st.rules, func(r ruleset.RuleInfo) bool { return r.ID == ref && r.Source != "" })
		if at < 0 {
			at = slices.IndexFunc(st.rules, func(r ruleset.RuleInfo) bool { return r.Name == ref && ref != "" && r.Source != "" })
		}
		if at < 0 {
			return rulebook.Known{}, false
		}
		return rulebook.Known{Info: st.rules[at], Source: sourceName(st.rules[at].Path)}, true
	}}
}

// sourceName is a rule's source by its path, as far as a caller cares.
func sourceName(p string) string {
	name, _, _ := strings.Cut(p, "/")
	switch name {
	case builtinSource, rulebook.SourceName, ruleset.TestSource:
		return name
	}
	return path.Dir(p)
}

// Apply implements api.Rules: what was changed in the book is in force once
// the engine has it, within moments.
func (k *keeper) Apply(ctx context.Context) error { return k.load(context.WithoutCancel(ctx), false) }

// listed tells whether a problem is that of a rule in the list.
func listed(list []api.RuleInfo, p ruleset.Problem) bool {
	return slices.ContainsFunc(list, func(r api.RuleInfo) bool {
		return r.Status == ruleset.Rejected && r.Path == p.Path && r.Line == p.Line && r.Reason == p.Reason || r.Status == ruleset.Rejected && p.RuleID != "" && r.ID == p.RuleID && r.Path == p.Path
	})
}

// complete adds what the book and the trend know of rules.
func (k *keeper) complete(list []api.RuleInfo) {
	off := k.book.Off()
	now := time.Now()
	for i := range list {
		r := &list[i]
		r.Origin = api.OriginFolder
		switch sourceName(r.Path) {
		case builtinSource:
			r.Origin = api.OriginBuiltIn
		case ruleset.TestSource:
			r.Origin, r.Stage = api.OriginOwn, ruleset.TestSource
		case rulebook.SourceName:
			if e, ok := k.book.Get(cmp.Or(r.ID, strings.TrimSuffix(path.Base(r.Path), path.Ext(r.Path)))); ok {
				at := e.UpdatedAt
				r.Origin, r.Main, r.Revision, r.UpdatedAt, r.UpdatedBy = api.OriginOwn, e.ID, e.Revision, &at, e.UpdatedBy
			}
		}
		if o, is := off[r.ID]; is {
			r.Off = &o
		}
		r.Trend = k.trend.of(r.ID, now)
	}
}
