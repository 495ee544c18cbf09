package silence

import (
	"maps"
	"slices"

	"github.com/prometheus/alertmanager/pkg/labels"
)

// finder finds the silences that may accept labels without asking each: a
// silence stands under one label value that it demands, where it demands one.
type finder struct {
	by   map[[2]string][]*Silence
	rest []*Silence
}

// newFinder makes a finder of silences by their ids.
func newFinder(list map[string]*Silence) *finder {
	f := &finder{by: map[[2]string][]*Silence{}}
	// The label value that most silences demand tells them apart the least.
	often := map[[2]string]int{}
	for _, l := range list {
		for _, k := range demanded(l.Matchers) {
			often[k]++
		}
	}
	for _, id := range slices.Sorted(maps.Keys(list)) {
		l := list[id]
		keys := demanded(l.Matchers)
		if len(keys) == 0 {
			f.rest = append(f.rest, l)
			continue
		}
		best := keys[0]
		for _, k := range keys[1:] {
			if often[k] < often[best] {
				best = k
			}
		}
		f.by[best] = append(f.by[best], l)
	}
	return f
}

// demanded lists the label values without which matchers accept nothing.
func demanded(list labels.Matchers) (keys [][2]string) {
	for _, m := range list {
		if m.Type == labels.MatchEqual && m.Value != "" {
			keys = append(keys, [2]string{m.Name, m.Value})
		}
	}
	return keys
}

// accepting lists the silences whose matchers accept labels, in no order.
func (f *finder) accepting(set map[string]string) (out []*Silence) {
	try := func(list []*Silence) {
		for _, l := range list {
			if Matches(l.Matchers, set) {
				out = append(out, l)
			}
		}
	}
	for name, value := range set {
		try(f.by[[2]string{name, value}])
	}
	try(f.rest)
	return out
}
