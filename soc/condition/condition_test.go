package condition

import (
	"testing"
	"time"
)

func TestABoardKeepsWhenAConditionBegan(t *testing.T) {
	t.Parallel()
	var b Board
	if len(b.List()) != 0 || b.Clear(DiskFull, "/lake") {
		t.Fatal("an empty board holds something")
	}
	if !b.Set(Condition{Kind: DiskFull, Key: "/lake", Text: Text{EN: "first"}}) {
		t.Fatal("a new condition was known")
	}
	began := b.List()[0].Since
	if began.IsZero() {
		t.Fatal("a condition without a beginning")
	}
	if b.Set(Condition{Kind: DiskFull, Key: "/lake", Text: Text{EN: "second"}}) {
		t.Fatal("a condition that stands was new")
	}
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	b.Set(Condition{Kind: Damage, Key: "part", Since: at})
	list := b.List()
	if len(list) != 2 || list[0].Kind != Damage || !list[0].Since.Equal(at) || !list[1].Since.Equal(began) || list[1].Text.EN != "second" {
		t.Fatalf("%+v", list)
	}
	if !b.Clear(DiskFull, "/lake") || len(b.List()) != 1 {
		t.Fatal("not cleared")
	}
}
