package sigma

import "go.yaml.in/yaml/v3"

// Search reads searches that stand outside of a rule: a map of selections and a
// condition, with the meaning that they have under a rule's detection.
func Search(n *yaml.Node) (d *Detection, warnings []*Error, err *Error) {
	defer func() {
		if p := recover(); p != nil {
			d, err = nil, panicked(p)
		}
	}()
	n = resolve(n)
	budget := maxNodes
	if err := checkTree(n, &budget, 0); err != nil {
		return nil, nil, err
	}
	in := &reader{opts: &Options{}, room: maxRoom}
	d, err = in.detection(n, false)
	return d, in.warnings, err
}

// Names lists the fields that the searches look at, each once, in the order in
// which they are first named; "" stands for a search in all values.
func (d *Detection) Names() []string {
	var out []string
	seen := map[string]bool{}
	add := func(name string) {
		if !seen[name] {
			seen[name] = true
			out = append(out, name)
		}
	}
	var walk func(g *Group)
	walk = func(g *Group) {
		for _, it := range g.Items {
			add(it.Field)
			for _, also := range it.Also {
				add(also)
			}
			for i := range it.Values {
				if v := &it.Values[i]; v.Op == OpFieldRef {
					add(v.Field)
					for _, also := range v.Also {
						add(also)
					}
				}
			}
		}
		for _, sub := range g.Groups {
			walk(sub)
		}
	}
	for _, s := range d.Selections {
		walk(s.Root)
	}
	return out
}
