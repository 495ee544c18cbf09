package metrics

import (
	"encoding/json"
	"math"
	"reflect"
	"testing"
	"time"

	"icewatch/soc/reach"
)

func TestWireKeepsEveryBit(t *testing.T) {
	t.Parallel()
	stale := math.Float64frombits(0x7ff0000000000002)
	in := []Series{{Labels: []Label{{"__name__", "上行"}, {"a", ""}}, Samples: []Sample{{1732579200123, 0.1}, {-1, math.Inf(-1)}, {2, stale}}}, {Labels: []Label{}, Samples: []Sample{}}}
	out, err := Decode(Encode(in))
	if err != nil || math.Float64bits(out[0].Samples[2].Value) != math.Float64bits(stale) {
		t.Fatalf("%v %v", out, err)
	}
	in[0].Samples[2], out[0].Samples[2] = Sample{}, Sample{}
	if !reflect.DeepEqual(in, out) {
		t.Errorf("got %v, want %v", out, in)
	}
	if _, err := Decode([]byte{0x0a, 0x7f}); err == nil {
		t.Error("a write request that breaks off passed")
	}
}

func FuzzDecode(f *testing.F) {
	f.Add(Encode([]Series{{Labels: []Label{{"__name__", "up"}}, Samples: []Sample{{1, 2}}}}))
	f.Add([]byte{0x0a, 0x03, 0x0a, 0x01, 0xff})
	f.Fuzz(func(t *testing.T, b []byte) {
		list, err := Decode(b)
		if err != nil {
			return
		}
		again, err := Decode(Encode(list))
		if err != nil || len(again) != len(list) {
			t.Errorf("%v: %d series became %d", err, len(list), len(again))
		}
	})
}

func TestPointsAreWrittenAsPrometheusDoes(t *testing.T) {
	t.Parallel()
	at := time.UnixMilli(1732579200123).UTC()
	for text, p := range map[string]Point{
		`[1732579200.123,"0.1"]`: {at, 0.1}, `[1732579200,"+Inf"]`: {at.Truncate(time.Second), math.Inf(1)},
		`[0,"-Inf"]`: {time.UnixMilli(0).UTC(), math.Inf(-1)}, `[1732579200.123,"1e+21"]`: {at, 1e21},
	} {
		b, err := json.Marshal(p)
		if err != nil || string(b) != text {
			t.Errorf("%v is written %s (%v), want %s", p, b, err, text)
		}
		var back Point
		if err := json.Unmarshal([]byte(text), &back); err != nil || back != p {
			t.Errorf("%s reads as %v (%v), want %v", text, back, err, p)
		}
	}
	for _, wrong := range []string{`[1]`, `1`, `["a","b"]`, `[1,2]`, `[1,"x"]`, `[null,"1"]`} {
		if err := new(Point).UnmarshalJSON([]byte(wrong)); err == nil {
			t.Errorf("%s passed as a point", wrong)
		}
	}
}

func TestOnlyWhollyVisibleTenantsShowMetrics(t *testing.T) {
	t.Parallel()
	expr, err := reach.Parse(`tenant = "a" or tenant = "b" and region = "南山"`)
	if err != nil {
		t.Fatal(err)
	}
	part := expr.Compile(reach.NewDirectory([]reach.Tenant{{Slug: "a"}, {Slug: "b"}, {Slug: "c"}}, nil))
	if slugs, all := Visible(part); all || !reflect.DeepEqual(slugs, []string{"a"}) {
		t.Errorf("of a scope over a and a part of b: %v %v", slugs, all)
	}
	if slugs, all := Visible(reach.All()); !all || slugs != nil {
		t.Errorf("of everything: %v %v", slugs, all)
	}
	if slugs, all := Visible(reach.None()); all || len(slugs) != 0 {
		t.Errorf("of nothing: %v %v", slugs, all)
	}
}
