package metrics

import (
	"reflect"
	"strings"
	"testing"
	"time"
)

// many is a series with n samples, a second apart.
func many(name string, n int) Series {
	s := Series{Labels: []Label{{LabelName, name}}}
	for i := range n {
		s.Samples = append(s.Samples, Sample{int64(i) * 1000, float64(i)})
	}
	return s
}

func TestABatchGivesBackWhatWasPutIn(t *testing.T) {
	t.Parallel()
	in := []Portion{{Tenant{7, "a"}, []Series{many("x", 3), many("y", 1)}}, {Tenant{8, "b"}, []Series{many("z", 2)}}}
	b := AppendBatch([]byte("before"), in)
	out, err := DecodeBatch(b[len("before"):])
	if err != nil || !reflect.DeepEqual(in, out) {
		t.Fatalf("%v: %+v", err, out)
	}
	for n := range b[len("before"):] {
		if _, err := DecodeBatch(b[len("before"):][:n]); err == nil {
			t.Errorf("the first %d bytes of a batch passed for one", n)
		}
	}
}

func FuzzDecodeBatch(f *testing.F) {
	f.Add(AppendBatch(nil, []Portion{{Tenant{7, "a"}, []Series{many("x", 3)}}}))
	f.Add([]byte{codecVersion, 1, 0, 1})
	f.Fuzz(func(t *testing.T, b []byte) {
		list, err := DecodeBatch(b)
		if err != nil {
			return
		}
		again, err := DecodeBatch(AppendBatch(nil, list))
		if err != nil || len(again) != len(list) {
			t.Errorf("%v: %d portions became %d", err, len(list), len(again))
		}
	})
}

func TestCutLosesNothingAndKeepsPartsSmall(t *testing.T) {
	t.Parallel()
	const target = 100_000
	in := []Series{many("long", 3*MaxCut+1), many("empty", 0)}
	for range 500 {
		in = append(in, many(strings.Repeat("m", 1000), 1))
	}
	got := map[string]int{}
	for _, part := range Cut(in, target) {
		size := 0
		for i := range part {
			got[part[i].Name()] += len(part[i].Samples)
			size += part[i].Size()
		}
		if size > target+(&Series{Samples: make([]Sample, MaxCut)}).Size() || len(part) == 0 {
			t.Errorf("a part of %d series has %d bytes", len(part), size)
		}
	}
	if want := map[string]int{"long": 3*MaxCut + 1, strings.Repeat("m", 1000): 500}; !reflect.DeepEqual(got, want) {
		t.Errorf("got %v", got)
	}
}

func TestScreenPartsWhatIsHeldFromWhatIsNot(t *testing.T) {
	t.Parallel()
	now := time.UnixMilli(1_700_000_000_000)
	at := func(d time.Duration) Sample { return Sample{now.Add(d).UnixMilli(), 1} }
	good := Series{[]Label{{LabelName, "good"}, {"empty", ""}, {LabelTenant, "forged"}}, []Sample{at(0), at(-25 * time.Hour), at(2 * time.Hour), at(-time.Hour)}}
	bad := []Series{
		{[]Label{{"job", "nameless"}}, []Sample{at(0), at(0)}},
		{[]Label{{LabelName, "twice"}, {"a", "1"}, {"a", "2"}}, []Sample{at(0)}},
		{[]Label{{LabelName, "old"}}, []Sample{at(-48 * time.Hour)}},
	}
	kept, w := Limits{24 * time.Hour}.Screen(append([]Series{good}, bad...), now)
	if len(kept) != 1 || w.Samples != 2 || w.Dropped != 6 || len(w.Refused) != 4 || w.Reasons[ReasonLabels] != 3 || w.Reasons[ReasonTime] != 3 {
		t.Errorf("kept %v, %+v", kept, w)
	}
	if len(good.Samples) != 4 {
		t.Error("the sender's series was changed")
	}
}
