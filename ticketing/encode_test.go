package ticketing

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"reflect"
	"testing"
	"time"

	"icewatch/detections"
)

// fill puts something into every part of a value, or nothing into some of them:
// a part that the encoder does not know shows.
func fill(rnd *rand.Rand, v reflect.Value, sparse bool) {
	if sparse && rnd.IntN(3) == 0 {
		return
	}
	texts := []string{"a", "漏洞利用", `quote " and \ back`, "line\nbreak\ttab\x01", "<b>&</b>", "bad \xff utf8", "\u2028", "🙂", ""}
	switch {
	case v.Type() == reflect.TypeFor[time.Time]():
		v.Set(reflect.ValueOf(time.UnixMilli(1_700_000_000_000 + rnd.Int64N(1e12)).UTC()))
	case v.Kind() == reflect.Struct:
		for i := range v.NumField() {
			fill(rnd, v.Field(i), sparse)
		}
	case v.Kind() == reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(rnd, v.Elem(), sparse)
	case v.Kind() == reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), rnd.IntN(3)+1, 3))
		for i := range v.Len() {
			fill(rnd, v.Index(i), sparse)
		}
	case v.Kind() == reflect.Map:
		m := map[string]string{}
		for range rnd.IntN(80) {
			m[fmt.Sprint(texts[rnd.IntN(len(texts))], rnd.IntN(100))] = texts[rnd.IntN(len(texts))]
		}
		v.Set(reflect.ValueOf(m))
	case v.Kind() == reflect.String:
		v.SetString(texts[rnd.IntN(len(texts)-1)])
	case v.CanInt():
		v.SetInt(rnd.Int64N(1<<40) + 1)
	case v.Kind() == reflect.Bool:
		v.SetBool(true)
	default:
		panic("a kind that the encoder has not met: " + v.Type().String())
	}
}

// TestEncode holds the document of an alert against what encoding/json makes of it.
func TestEncode(t *testing.T) {
	t.Parallel()
	rnd := rand.New(rand.NewPCG(1, 2))
	for n := range 500 {
		var d alertDoc
		fill(rnd, reflect.ValueOf(&d).Elem(), n > 50)
		got, err := d.encode()
		if err != nil {
			t.Fatal(err)
		}
		want, err := json.Marshal(&d)
		if err != nil {
			t.Fatal(err)
		}
		var a, b any
		if err := json.Unmarshal([]byte(got), &a); err != nil {
			t.Fatalf("%v: %s", err, got)
		}
		if err := json.Unmarshal(want, &b); err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(a, b) {
			t.Fatalf("encode:\n%s\nencoding/json:\n%s", got, want)
		}
	}
	if got, want := encoded(detections.Text{ZH: "中", EN: `"x"`}), `{"zh":"中","en":"\"x\""}`; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}
