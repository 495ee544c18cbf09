package topology

import (
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"
	"time"
)

// net builds failures from relations: each may bring down the second by the
// first.
type net struct {
	down   map[int32][]int32
	mutual map[int32][]int32
	at     map[int32]int64 // of those that fail, seconds
}

func (n net) failures() []Failure {
	var out []Failure
	for item, at := range n.at {
		f := Failure{Item: item, First: at * 1000, Last: at * 1000}
		for from, list := range n.down {
			if slices.Contains(list, item) {
				f.Causes = append(f.Causes, Cause{Item: from})
			}
		}
		for from, list := range n.mutual {
			if slices.Contains(list, item) {
				f.Causes = append(f.Causes, Cause{Item: from, Mutual: true})
			}
		}
		out = append(out, f)
	}
	return out
}

func (n net) dependents(item int32) int { return len(n.down[item]) + len(n.mutual[item]) }

func items(from, to int32) (list []int32) {
	for i := from; i <= to; i++ {
		list = append(list, i)
	}
	return list
}

// star is a switch (1) with hosts behind it, whose cables carry failures both
// ways, and systems on the hosts.
func star(hosts, systems int32) net {
	n := net{down: map[int32][]int32{}, mutual: map[int32][]int32{}, at: map[int32]int64{1: 100}}
	for h := int32(10); h < 10+hosts; h++ {
		n.mutual[1], n.mutual[h] = append(n.mutual[1], h), []int32{1}
		n.at[h] = 90 + int64(h)%30 // some are noticed before the switch
		system := 10_000 + h%systems
		n.down[h] = append(n.down[h], system)
		n.at[system] = 120
	}
	return n
}

func TestPartition(t *testing.T) {
	t.Parallel()
	o := Options{Window: 10 * time.Minute, Least: 3, Share: 0.5}
	storm := star(200, 40)
	silent := star(200, 40)
	delete(silent.at, 1)
	few := star(200, 40)
	few.at = map[int32]int64{10: 100, 11: 100, 12: 100}
	apart := star(200, 40)
	apart.down[5000], apart.at[5000], apart.at[5001] = []int32{5001}, 100, 110 // two faults beside it
	apart.down[6000], apart.at[6000] = []int32{10_001}, 100                    // on a system that the storm hits as well
	for _, c := range []struct {
		name  string
		net   net
		sizes []int
		roots []int32
		why   []Why
	}{
		{"storm", storm, []int{241}, []int32{1}, []Why{Central}},
		{"the switch tells nothing", silent, []int{240}, []int32{1}, []Why{Inferred}},
		{"hosts on a switch that works", few, []int{1, 1, 1}, []int32{10, 11, 12}, []Why{Alone, Alone, Alone}},
		{"others stay apart", apart, []int{241, 2, 1}, []int32{1, 5000, 6000}, []Why{Central, Upstream, Alone}},
		{"chain", net{down: map[int32][]int32{1: {2}, 2: {3}, 3: {4}}, at: map[int32]int64{4: 1, 3: 2, 2: 3, 1: 4}}, []int{4}, []int32{1}, []Why{Upstream}},
		{"long before", net{down: map[int32][]int32{1: {2}}, at: map[int32]int64{1: 5000, 2: 100}}, []int{1, 1}, []int32{1, 2}, []Why{Alone, Alone}},
		{"long after", net{down: map[int32][]int32{1: {2}}, at: map[int32]int64{1: 100, 2: 5000}}, []int{1, 1}, []int32{1, 2}, []Why{Alone, Alone}},
		{"ring: the first", net{mutual: map[int32][]int32{1: {2, 3}, 2: {1, 3}, 3: {1, 2}}, at: map[int32]int64{1: 200, 2: 100, 3: 200}}, []int{3}, []int32{2}, []Why{Earliest}},
		{"core over two switches", net{mutual: map[int32][]int32{1: {2, 3}, 2: {1, 10, 11, 12, 13}, 3: {1, 20}, 10: {2}, 11: {2}, 12: {2}, 13: {2}, 20: {3}},
			at: map[int32]int64{1: 100, 2: 100, 3: 100, 10: 100, 11: 100, 12: 100, 13: 100, 20: 100}}, []int{8}, []int32{1}, []Why{Central}},
		{"two explain it: the one that explains more", net{down: map[int32][]int32{1: {3}, 2: {3, 4}}, at: map[int32]int64{1: 1, 2: 1, 3: 1, 4: 1}},
			[]int{3, 1}, []int32{2, 1}, []Why{Upstream, Alone}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			o := o
			o.Dependents = c.net.dependents
			groups := Partition(c.net.failures(), o)
			var sizes []int
			var roots []int32
			var why []Why
			for _, g := range groups {
				sizes, roots, why = append(sizes, len(g.Items)), append(roots, g.Root), append(why, g.Why)
			}
			if !slices.Equal(sizes, c.sizes) || !slices.Equal(roots, c.roots) || !slices.Equal(why, c.why) {
				t.Errorf("sizes %v, roots %v, %v; want %v, %v, %v", sizes, roots, why, c.sizes, c.roots, c.why)
			}
		})
	}
}

// TestAgainstOracle makes random topologies and failures, and holds the groups
// to what simple reachability says.
func TestAgainstOracle(t *testing.T) {
	t.Parallel()
	for seed := range uint64(600) {
		rnd := rand.New(rand.NewPCG(seed, 8))
		n := 2 + rnd.IntN(40)
		net := net{down: map[int32][]int32{}, mutual: map[int32][]int32{}, at: map[int32]int64{}}
		for range rnd.IntN(3 * n) {
			a, b := int32(rnd.IntN(n)), int32(rnd.IntN(n))
			switch {
			case a == b:
			case rnd.IntN(4) == 0:
				net.mutual[a], net.mutual[b] = append(net.mutual[a], b), append(net.mutual[b], a)
			case rnd.IntN(8) > 0: // mostly downwards, cycles now and then
				net.down[min(a, b)] = append(net.down[min(a, b)], max(a, b))
			default:
				net.down[a] = append(net.down[a], b)
			}
		}
		for item := range int32(n) {
			if rnd.IntN(3) > 0 {
				net.at[item] = int64(rnd.IntN(2000))
			}
		}
		o := Options{Window: time.Duration(1+rnd.IntN(30)) * time.Minute, Dependents: net.dependents}
		failures := net.failures()
		groups := Partition(failures, o)
		check(t, seed, n, net, o, groups)
		rnd.Shuffle(len(failures), func(i, j int) { failures[i], failures[j] = failures[j], failures[i] })
		if again := Partition(failures, o); !reflect.DeepEqual(groups, again) {
			t.Fatalf("seed %d: another order, other groups: %+v, %+v", seed, groups, again)
		}
		if t.Failed() {
			return
		}
	}
}

// check compares groups with who lies downstream of whom, worked out by Warshall.
func check(t *testing.T, seed uint64, n int, net net, o Options, groups []Group) {
	t.Helper()
	reach := make([][]bool, n)
	for a := range reach {
		reach[a] = make([]bool, n)
	}
	near := func(a, b int32) bool {
		d := time.Duration(net.at[b]-net.at[a]) * time.Second
		return d <= o.Window && d >= -o.Window
	}
	for _, lists := range []map[int32][]int32{net.down, net.mutual} {
		for a, list := range lists {
			for _, b := range list {
				_, fa := net.at[a]
				_, fb := net.at[b]
				if fa && fb && near(a, b) {
					reach[a][b] = true
				}
			}
		}
	}
	for k := range n {
		for i := range n {
			for j := range n {
				reach[i][j] = reach[i][j] || reach[i][k] && reach[k][j]
			}
		}
	}
	top := func(r int32) bool { // nothing brings it down that it does not bring down
		for x := range net.at {
			if x != r && reach[x][r] && !reach[r][x] {
				return false
			}
		}
		return true
	}
	covers := func(r int32) (c int) {
		for x := range net.at {
			if x == r || reach[r][x] {
				c++
			}
		}
		return c
	}
	tops := map[int32]int32{} // the least of those that bring each other down
	for r := range net.at {
		if top(r) {
			least := r
			for x := range net.at {
				if reach[x][r] && reach[r][x] {
					least = min(least, x)
				}
			}
			tops[least] = r
		}
	}
	if len(groups) != len(tops) {
		t.Errorf("seed %d: %d groups, want one for each of %d roots", seed, len(groups), len(tops))
	}
	of := map[int32]*Group{}
	for i := range groups {
		g := &groups[i]
		if !top(g.Root) || !slices.Contains(g.Items, g.Root) || g.Affected != len(g.Items)-1 || g.Around < g.Affected {
			t.Errorf("seed %d: %d is no root of %v", seed, g.Root, g.Items)
		}
		for _, item := range g.Items {
			if of[item] != nil {
				t.Errorf("seed %d: %d is in two groups", seed, item)
			}
			of[item] = g
			if item != g.Root && !reach[g.Root][item] {
				t.Errorf("seed %d: %d is not downstream of the root %d of its group", seed, item, g.Root)
			}
		}
	}
	for item := range net.at {
		g := of[item]
		if g == nil {
			t.Errorf("seed %d: %d is in no group", seed, item)
			continue
		}
		for r := range net.at {
			if top(r) && (r == item || reach[r][item]) && covers(r) > covers(g.Root) {
				t.Errorf("seed %d: %d went to %d, which explains %d; %d explains %d", seed, item, g.Root, covers(g.Root), r, covers(r))
			}
		}
	}
}

// TestInferredTogether: dependents that failed one by one over a day do not make
// a root of what they have in common.
func TestInferredTogether(t *testing.T) {
	t.Parallel()
	n := net{down: map[int32][]int32{1: items(10, 15)}, at: map[int32]int64{}}
	for i := range int64(6) {
		n.at[10+int32(i)] = i * 3600
	}
	o := Options{Window: 10 * time.Minute, Least: 3, Share: 0.5, Dependents: n.dependents}
	if groups := Partition(n.failures(), o); len(groups) != 6 {
		t.Errorf("%+v", groups)
	}
	for i := range n.at {
		n.at[i] = 100
	}
	groups := Partition(n.failures(), o)
	if len(groups) != 1 || groups[0].Root != 1 || groups[0].Why != Inferred || groups[0].Dependents != 6 || groups[0].Failing != 6 || groups[0].Affected != 6 {
		t.Errorf("%+v", groups)
	}
}

// BenchmarkStorm is a data centre that goes dark: 20 switches of 500 hosts each
// under a core, all of whose cables carry failures both ways.
func BenchmarkStorm(b *testing.B) {
	n := net{mutual: map[int32][]int32{}, at: map[int32]int64{1: 100}}
	var failures []Failure
	for s := int32(2); s < 22; s++ {
		failures = append(failures, Failure{Item: s, First: 1, Last: 1, Causes: []Cause{{1, true}}})
		for h := s * 1000; h < s*1000+500; h++ {
			failures = append(failures, Failure{Item: h, First: 1, Last: 1, Causes: []Cause{{s, true}}})
		}
	}
	failures = append(failures, Failure{Item: 1, First: 1, Last: 1})
	o := Options{Window: 10 * time.Minute, Least: 3, Share: 0.5, Dependents: n.dependents}
	for b.Loop() {
		if groups := Partition(failures, o); len(groups) != 1 || groups[0].Root != 1 {
			b.Fatalf("%d groups", len(groups))
		}
	}
}
