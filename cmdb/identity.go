package cmdb

import (
	"cmp"
	"fmt"
	"strings"

	"icewatch/cmdb/model"
)

// identitySeparator joins the parts of a key. No part can hold it: texts have
// no control characters but lines and tabs.
const identitySeparator = "\x1f"

// identityOf is what the class's key makes of an item: within class and tenant
// it is unique.
func identityOf(c *Class, it *Item) string {
	parts := make([]string, len(c.Key))
	for i, k := range c.Key {
		switch k {
		case colName:
			parts[i] = it.Name
		case colZone:
			parts[i] = it.Zone
		default:
			parts[i] = it.Attributes[k]
		}
	}
	return strings.Join(parts, identitySeparator)
}

// keyOf is the identity that a draft gives. What it refers to must have been
// identified; tenant is that of the draft. missing is the column that it would
// need for one and does not have.
func (p *planner) keyOf(d *draft, tenant string) (key string, ok bool, missing string) {
	parts := make([]string, len(d.class.Key))
	for i, k := range d.class.Key {
		switch k {
		case colName:
			parts[i], missing = d.want.Name, colName
		case colZone:
			if parts[i], missing = d.want.Zone, colZone; parts[i] == "" {
				parts[i] = DefaultZone
			}
		default:
			parts[i], missing = d.attrs[k], attrPrefix+k
			if a := d.class.Attribute(k); a.Type == model.Reference && parts[i] != "" {
				parts[i] = p.resolveAll(d, a, parts[i], tenant)
			}
		}
		if parts[i] == "" {
			return "", false, missing
		}
	}
	return strings.Join(parts, identitySeparator), true, ""
}

// maxPossible is how many stored items of one name a reference in a key is
// tried with beforehand; where there are more, the tables are asked later.
const maxPossible = 100

// possibleKeys are the identities that a draft may give, whichever of the stored
// items of its name a reference in it means. What is new has no identity yet,
// and none that is stored.
func (p *planner) possibleKeys(d *draft) []string {
	keys := []string{""}
	for i, k := range d.class.Key {
		var parts []string
		a := d.class.Attribute(k)
		switch {
		case k == colName:
			parts = []string{d.want.Name}
		case k == colZone:
			parts = []string{cmp.Or(d.want.Zone, DefaultZone)}
		case a.Type == model.Reference:
			if it := p.stored[d.attrs[k]]; it != nil {
				parts = append(parts, it.ID)
			}
			for _, it := range p.storedByRef[d.attrs[k]] {
				parts = append(parts, it.ID)
			}
		default:
			parts = []string{d.attrs[k]}
		}
		if len(keys)*len(parts) > maxPossible {
			return nil
		}
		var longer []string
		for _, key := range keys {
			for _, part := range parts {
				if part == "" {
					continue
				}
				if i > 0 {
					part = key + identitySeparator + part
				}
				longer = append(longer, part)
			}
		}
		keys = longer
	}
	return keys
}

// keyText says in words what an identity is of.
func keyText(c *Class, identity string) string {
	if len(c.Key) == 1 && c.Key[0] == colName {
		return fmt.Sprintf("the name %q", identity)
	}
	return fmt.Sprintf("the key %s = %q", strings.Join(c.Key, ", "), strings.ReplaceAll(identity, identitySeparator, ", "))
}

// references lists what a draft refers to, as written.
func (d *draft) references() []string {
	var out []string
	for _, ref := range []string{d.want.System, d.want.Organisation} {
		if ref != "" {
			out = append(out, ref)
		}
	}
	if d.class == nil {
		return out
	}
	for name, value := range d.attrs {
		if a := d.class.Attribute(name); a != nil && a.Type == model.Reference && value != "" {
			out = append(out, a.Each(value)...)
		}
	}
	return out
}

// referencesOf lists the ids of the items that an item refers to.
func referencesOf(c *Class, it *Item) []string {
	var out []string
	for _, id := range []string{it.System, it.Organisation} {
		if id != "" {
			out = append(out, id)
		}
	}
	if c == nil {
		return out
	}
	for i := range c.Attributes {
		if a := &c.Attributes[i]; a.Type == model.Reference && it.Attributes[a.Name] != "" {
			out = append(out, a.Each(it.Attributes[a.Name])...)
		}
	}
	return out
}
