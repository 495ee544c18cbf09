package cmdb

import (
	"slices"
	"strings"

	"icewatch/cmdb/model"
)

// The classes that the fields system and organisation refer to.
var (
	systemClasses       = []string{BusinessSystem}
	organisationClasses = []string{Organisation}
)

// titles names classes, for error messages.
func (p *planner) titles(classes []string) string {
	if len(classes) > 3 {
		return "item"
	}
	names := make([]string, len(classes))
	for i, c := range classes {
		names[i] = c
		if t := p.model.Class(c).Title.EN; t != "" {
			names[i] = strings.ToLower(t)
		}
	}
	return strings.Join(names, " or ")
}

// target is an item that a reference may mean, stored or in the same file.
type target struct{ id, tenant string }

// targets lists what a reference may mean: the item of that id, else the items
// of that name.
func (p *planner) targets(classes []string, ref string) []target {
	var out []target
	if d := p.byID[ref]; d != nil && slices.Contains(classes, d.want.Class) {
		out = append(out, target{d.want.ID, d.want.Tenant})
	} else if it := p.stored[ref]; it != nil && slices.Contains(classes, it.Class) && d == nil {
		out = append(out, target{it.ID, it.Tenant})
	} else {
		out = p.namesakes(classes, ref)
	}
	return slices.DeleteFunc(out, func(t target) bool {
		switch {
		case t.tenant == "":
			return false // everybody may refer to what the city shares
		case p.stored[t.id] != nil:
			return !p.visible(t.id)
		}
		return !p.coversTenant(t.tenant)
	})
}

// namesakes lists the items of those classes and that name, in the file and stored.
func (p *planner) namesakes(classes []string, ref string) []target {
	var out []target
	for _, d := range p.byName[ref] {
		if slices.Contains(classes, d.want.Class) {
			out = append(out, target{d.want.ID, d.want.Tenant})
		}
	}
	for _, it := range p.storedByRef[ref] {
		// An item that is in the file too goes by its name there.
		if slices.Contains(classes, it.Class) && p.byID[it.ID] == nil {
			out = append(out, target{it.ID, it.Tenant})
		}
	}
	return out
}

// broken tells whether a reference means a row that has mistakes of its own.
// Then only those are worth telling.
func (p *planner) broken(classes []string, ref string) bool {
	if p.raw == nil {
		p.raw = map[string][]*draft{}
		for _, d := range p.drafts {
			p.raw[d.want.ID] = append(p.raw[d.want.ID], d)
			p.raw[d.want.Name] = append(p.raw[d.want.Name], d)
		}
	}
	return slices.ContainsFunc(p.raw[ref], func(d *draft) bool {
		return d.bad && (slices.Contains(classes, d.want.Class) || d.class == nil)
	})
}

// tenantOfSystem derives the tenant of an item that names only its system.
func (p *planner) tenantOfSystem(d *draft) (string, bool) {
	found := p.targets(systemClasses, d.want.System)
	// Of several systems of one name, the item's present or default tenant
	// decides.
	if len(found) > 1 {
		prefer := p.tenant
		if d.old != nil {
			prefer = d.old.Tenant
		}
		if i := slices.IndexFunc(found, func(t target) bool { return t.tenant == prefer }); i >= 0 {
			found = found[i : i+1]
		}
	}
	switch len(found) {
	case 0:
		if d.bad = true; !p.broken(systemClasses, d.want.System) {
			p.fail(d, colSystem, "unknown business system %q", d.want.System)
		}
		return "", false
	case 1:
		return found[0].tenant, true
	}
	p.fail(d, colSystem, "%d business systems are called %q: give the id or the tenant", len(found), d.want.System)
	return "", false
}

// resolve turns a reference into an id. own is the tenant of the referring item.
func (p *planner) resolve(d *draft, column string, classes []string, ref, own string) string {
	var near, shared, far []target
	for _, t := range p.targets(classes, ref) {
		switch t.tenant {
		case own:
			near = append(near, t)
		case "":
			shared = append(shared, t)
		default:
			far = append(far, t)
		}
	}
	for _, group := range [][]target{near, shared} {
		switch len(group) {
		case 0:
		case 1:
			return group[0].id
		default:
			p.fail(d, column, "%d items are called %q: give the id", len(group), ref)
			return ""
		}
	}
	switch {
	case len(far) == 0:
		if d.bad = true; !p.broken(classes, ref) {
			p.fail(d, column, "unknown %s %q", p.titles(classes), ref)
		}
		return ""
	case len(far) > 1:
		p.fail(d, column, "%d items are called %q: give the id", len(far), ref)
		return ""
	}
	// checkReferences says whether one of another tenant will do.
	return far[0].id
}

// resolveAll turns what a reference attribute names, ids or names, into ids.
func (p *planner) resolveAll(d *draft, a *model.Attribute, value, own string) string {
	var ids []string
	for _, ref := range a.Each(value) {
		if id := p.resolve(d, attrPrefix+a.Name, p.model.Concrete(a.Targets()...), ref, own); id != "" && !slices.Contains(ids, id) {
			ids = append(ids, id)
		}
	}
	return strings.Join(ids, ";")
}
