package similar

import "testing"

func TestRank(t *testing.T) {
	t.Parallel()
	one := Facts{ID: "1", Rules: []string{"guess", "login"}, Techniques: []string{"T1110"}, Items: []string{"web"}, Actors: []string{"203.0.113.7"}}
	got := Rank(one, []Facts{
		one,
		{ID: "other", Rules: []string{"scan"}, Techniques: []string{"T1595"}, Items: []string{"db"}},
		{ID: "half", Rules: []string{"guess"}, Techniques: []string{"T1110"}, Items: []string{"db"}, Actors: []string{"198.51.100.1"}},
		{ID: "same", Rules: one.Rules, Techniques: one.Techniques, Items: one.Items, Actors: one.Actors},
		{ID: "twin", Rules: one.Rules, Techniques: one.Techniques, Items: one.Items, Actors: one.Actors},
	}, 10)
	if len(got) != 3 || got[0].ID != "same" || got[1].ID != "twin" || got[2].ID != "half" || got[0].Score != 1 || len(got[0].Why) != 4 {
		t.Fatalf("%+v", got)
	}
	if want := 0.425; got[2].Score != want { // 0.35/2 + 0.25
		t.Errorf("half scores %v, want %v", got[2].Score, want)
	}
	// What neither has does not make them less alike.
	if got := Rank(Facts{ID: "1", Rules: []string{"a"}}, []Facts{{ID: "2", Rules: []string{"a"}}}, 1); got[0].Score != 1 {
		t.Errorf("%+v", got)
	}
	if got := Rank(Facts{ID: "1"}, []Facts{{ID: "2"}}, 5); len(got) != 0 {
		t.Errorf("two incidents of which nothing is known are alike: %+v", got)
	}
	// As much one way as the other.
	a, b := Facts{ID: "a", Rules: []string{"x", "y", "z"}, Items: []string{"i"}}, Facts{ID: "b", Rules: []string{"z"}, Techniques: []string{"T1"}}
	if x, y := measure(&a, &b).Score, measure(&b, &a).Score; x != y {
		t.Errorf("%v one way and %v the other", x, y)
	}
}
