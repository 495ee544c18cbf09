package ruleset

import "slices"

// Disabled is the state of a rule that somebody switched off: it is read and
// listed, and takes no part in detection.
const Disabled = "disabled"

// SetDisabled names the rules that are switched off, by id, and renews the
// bundle's version. Ids that no rule has do no harm: a rule may come back.
func (b *Bundle) SetDisabled(ids []string) {
	b.Disabled = slices.Clone(ids)
	slices.Sort(b.Disabled)
	b.Disabled = slices.Compact(b.Disabled)
	b.Version = b.version()
}

// switchOff takes out the rules that are switched off. A correlation over one
// of them is not in force either, and says so.
func (c *compiler) switchOff(ids []string) {
	if len(ids) == 0 {
		return
	}
	c.off = map[string]bool{}
	kept := c.found[:0:0]
	for _, r := range c.found {
		if _, off := slices.BinarySearch(ids, r.ID); !off {
			kept = append(kept, r)
			continue
		}
		c.off[r.ID] = true
		if r.Name != "" {
			c.off[r.Name] = true
		}
		r.Info.Status = Disabled
		c.set.infos = append(c.set.infos, r.Info)
	}
	c.found = kept
}
