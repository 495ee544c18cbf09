package clause

import (
	"slices"
	"strings"
	"testing"
)

// TestAt places the cursor, written ^, in queries that are being typed.
func TestAt(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]Place{
		`^`:                     {Kind: PlaceField},
		`use^`:                  {Kind: PlaceField, Typed: "use"},
		`a:b and us^er x`:       {Kind: PlaceField, Typed: "us", From: 8, To: 12},
		`!us^`:                  {Kind: PlaceField, Typed: "us", From: 1},
		`user.name:^`:           {Kind: PlaceValue, Field: "user.name", Operator: true, From: 10},
		`user.name:="ro^ot" x`:  {Kind: PlaceValue, Field: "user.name", Typed: "ro", From: 11, To: 17},
		`(a:b or c.d:ro^)`:      {Kind: PlaceValue, Field: "c.d", Typed: "ro", From: 12},
		`user.name:in("a", "b^`: {Kind: PlaceValue, Field: "user.name", Typed: "b", From: 18},
		`user.name:in(^`:        {Kind: PlaceValue, Field: "user.name", From: 13},
		`"a b":x^`:              {Kind: PlaceValue, Field: "a b", Typed: "x", From: 6},
		`* | st^`:               {Kind: PlacePipe, Typed: "st", From: 4},
		`* | stats by (us^`:     {Kind: PlaceField, Typed: "us", From: 14},
		`a:"b | c" | sort by ^`: {Kind: PlaceField, From: 20},
		`用户:登录 and 姓^`:          {Kind: PlaceField, Typed: "姓", From: 10},
	} {
		runes := []rune(text)
		cursor := slices.Index(runes, '^')
		if want.To == 0 {
			want.To = cursor
		}
		if got := At(strings.Replace(text, "^", "", 1), cursor); got != want {
			t.Errorf("%s\n%+v, want\n%+v", text, got, want)
		}
	}
	At("a", 99)
	At(`a:"`, -1)
}

func TestKindOf(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{"10.0.0.1": KindIP, "2001:db8::1": KindIP, "-1.5e3": KindNumber, "d41d8cd98f00b204e9800998ecf8427e": KindHash, "https://a.gov.cn/x": KindURL,
		"li@a.gov.cn": KindEmail, "www.a.gov.cn": KindDomain, "2026-01-02 03:04:05": KindTime, "登录失败": KindText, "login failed": KindText, "": KindText} {
		if got := KindOf(text); got != want {
			t.Errorf("%q is %s, want %s", text, got, want)
		}
	}
	if got := Words("sshd[12]: Failed 用户张三, x_y"); !slices.Equal(got, []string{"sshd", "12", "Failed", "用户张三", "x_y"}) {
		t.Errorf("%q", got)
	}
}

func FuzzAt(f *testing.F) {
	f.Add(`a:in("b | c`, 5)
	f.Fuzz(func(t *testing.T, text string, cursor int) {
		n := len([]rune(text))
		if p := At(text, cursor); p.From < 0 || p.From > p.To || p.To > n {
			t.Fatalf("%q at %d: %+v", text, cursor, p)
		}
	})
}
