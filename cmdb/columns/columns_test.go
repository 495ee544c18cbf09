package columns

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/bits-and-blooms/bitset"
)

func members(s *bitset.BitSet) []int32 {
	out := []int32{}
	for i, ok := s.NextSet(0); ok; i, ok = s.NextSet(i + 1) {
		out = append(out, int32(i))
	}
	return out
}

// TestAgainstPlainMaps changes a table at random and asks all it can be asked,
// of it and of maps that are looked through item by item.
func TestAgainstPlainMaps(t *testing.T) {
	t.Parallel()
	rnd := rand.New(rand.NewPCG(3, 4))
	words := []string{"", "a", "A", "ab", "Ab", "bc", "系统", "Ünï", "x", "0", "10", "9", "-3", "1.5"}
	for range 12 {
		words = append(words, fmt.Sprintf("w%d-%x", rnd.IntN(40), rnd.Uint64()))
	}
	table := New(map[string]string{"up": "id"})
	type item struct {
		many, one, up []string
		number        int64
	}
	plain := map[int32]item{}
	for round := range 60 {
		table.Change(func(e Editor) {
			for range 200 {
				at := int32(rnd.IntN(9000))
				if rnd.IntN(4) == 0 {
					e.Drop(at)
					delete(plain, at)
					continue
				}
				it := item{number: int64(rnd.IntN(5))}
				for range rnd.IntN(4) {
					if w := words[rnd.IntN(len(words))]; w != "" && !slices.Contains(it.many, w) {
						it.many = append(it.many, w)
					}
				}
				if rnd.IntN(3) > 0 {
					it.one = []string{fmt.Sprint(words[rnd.IntN(len(words))], round)}
				}
				if rnd.IntN(2) == 0 {
					it.up = []string{fmt.Sprint("i", rnd.IntN(9000))}
				}
				e.Put(at)
				e.Text(at, "id", fmt.Sprint("i", at))
				e.Text(at, "many", it.many...)
				e.Text(at, "one", it.one...)
				e.Text(at, "up", it.up...)
				e.Number(at, "n", it.number)
				plain[at] = it
			}
		})
		check := func(what string, got *bitset.BitSet, fn func(int32, item) bool) {
			t.Helper()
			want := []int32{}
			for at, it := range plain {
				if fn(at, it) {
					want = append(want, at)
				}
			}
			slices.Sort(want)
			if g := members(got); !slices.Equal(g, want) {
				t.Fatalf("round %d: %s: %d items, want %d", round, what, len(g), len(want))
			}
		}
		err := table.Read(func(v View) error {
			w := words[rnd.IntN(len(words))]
			many, one := v.Column("many"), v.Column("one")
			check("all", v.Items(), func(int32, item) bool { return true })
			check("equal", many.Equal(w, "bc"), func(_ int32, it item) bool {
				return w != "" && slices.Contains(it.many, w) || slices.Contains(it.many, "bc")
			})
			check("contain", one.Contain(strings.ToLower(w)), func(_ int32, it item) bool {
				return slices.ContainsFunc(it.one, func(s string) bool { return strings.Contains(strings.ToLower(s), strings.ToLower(w)) })
			})
			check("where", many.Where(func(b []byte) bool { return string(b) < w }), func(_ int32, it item) bool {
				return slices.ContainsFunc(it.many, func(s string) bool { return s < w })
			})
			check("judge", many.Judge("b", func(b []byte) bool { return string(b) > "b" }), func(_ int32, it item) bool {
				return slices.ContainsFunc(it.many, func(s string) bool { return s > "b" })
			})
			check("filled", many.Filled(), func(_ int32, it item) bool { return len(it.many) > 0 })
			check("numbers", v.Numbers("n", func(n int64) bool { return n > 2 }), func(_ int32, it item) bool { return it.number > 2 })
			some := many.Equal("a")
			check("to", v.Column("up").To(v.Column("id"), some), func(_ int32, it item) bool {
				if len(it.up) == 0 {
					return false
				}
				var at int32
				_, _ = fmt.Sscanf(it.up[0], "i%d", &at)
				return slices.Contains(plain[at].many, "a")
			})
			counts := 0
			many.Each(v.Items(), func(text string, n int) {
				for _, it := range plain {
					if slices.Contains(it.many, text) {
						n--
					}
				}
				if n != 0 {
					t.Fatalf("round %d: %q is counted wrong by %d", round, text, n)
				}
				counts++
			})
			if counts > len(words) {
				t.Fatalf("%d texts are counted of %d", counts, len(words))
			}
			for _, o := range []Order{{}, {Columns: []string{"one"}}, {Columns: []string{"one"}, Descending: true}, {Columns: []string{"many", "one"}}, {Number: "n", Descending: true}, {Columns: []string{"many"}, Numeric: true}} {
				var got []int32
				var after *Mark
				for {
					page := v.Sorted(v.Items(), o, after, 700)
					got = append(got, page...)
					if len(page) < 700 {
						break
					}
					m := v.Mark(page[len(page)-1], o)
					after = &m
				}
				if len(got) != len(plain) {
					t.Fatalf("round %d: %+v: %d on the pages, want %d", round, o, len(got), len(plain))
				}
				for i := 1; i < len(got); i++ {
					a, b := plain[got[i-1]], plain[got[i]]
					first := func(l []string) string { return append(l[:len(l):len(l)], "")[0] }
					bad := false
					switch {
					case o.Number != "":
						bad = a.number < b.number || a.number == b.number && got[i-1] > got[i]
					case len(o.Columns) == 0:
						bad = got[i-1] > got[i]
					case len(o.Columns) == 1 && !o.Numeric:
						x, y := first(a.one), first(b.one)
						if o.Descending {
							bad = x == "" && y != "" || x != "" && y != "" && x < y
						} else {
							bad = x == "" && y != "" || y != "" && x > y
						}
						bad = bad || x == y && got[i-1] > got[i]
					case o.Numeric:
						bad = numberKey(first(a.many)) > numberKey(first(b.many))
					}
					if bad {
						t.Fatalf("round %d: %+v: %v before %v", round, o, a, b)
					}
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if st := table.Stats(); st.Items != len(plain) || st.Texts > 3*9000+4*1024 || st.Bytes == 0 {
		t.Errorf("%+v: texts that no item has any more are not given up", st)
	}
}

// TestAMarkOutlivesItsText goes on with a list after the text that it ended
// with is gone and others have come.
func TestAMarkOutlivesItsText(t *testing.T) {
	t.Parallel()
	table := New(nil)
	names := map[int32]string{1: "d", 2: "b", 3: "c", 4: "a"}
	table.Change(func(e Editor) {
		for at, n := range names {
			e.Put(at)
			e.Text(at, "name", n)
		}
	})
	o := Order{Columns: []string{"name"}}
	m := Mark{Texts: []string{"bb"}, Item: 9}
	for _, c := range []struct {
		descending bool
		want       []int32
	}{{false, []int32{3, 1}}, {true, []int32{2, 4}}} {
		o.Descending = c.descending
		_ = table.Read(func(v View) error {
			if got := v.Sorted(v.Items(), o, &m, 10); !slices.Equal(got, c.want) {
				t.Errorf("%v, want %v", got, c.want)
			}
			return nil
		})
	}
}
