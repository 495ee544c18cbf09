package detections

import (
	"encoding/json"
	"fmt"
	"reflect"
	"testing"
	"time"
)

// whole is an occurrence that has something in every part.
func whole(t testing.TB) Occurrence {
	t.Helper()
	var o Occurrence
	n := 0
	var fill func(v reflect.Value)
	fill = func(v reflect.Value) {
		n++
		switch v.Kind() {
		case reflect.String:
			v.SetString(fmt.Sprintf("值 <%d> & \"\\\n\u2028", n))
		case reflect.Int:
			v.SetInt(int64(n) - 7)
		case reflect.Pointer:
			v.Set(reflect.New(v.Type().Elem()))
			fill(v.Elem())
		case reflect.Slice:
			v.Set(reflect.MakeSlice(v.Type(), 2, 2))
			fill(v.Index(0))
			fill(v.Index(1))
		case reflect.Map:
			v.Set(reflect.ValueOf(map[string]string{"host.name": "web-1", "空": "", "message": "<a href=\"x\">\x00\x7f"}))
		case reflect.Struct:
			if v.Type() == reflect.TypeFor[time.Time]() {
				v.Set(reflect.ValueOf(time.Unix(int64(n)*1e6, 123456789).UTC()))
				return
			}
			for i := range v.NumField() {
				fill(v.Field(i))
			}
		default:
			t.Fatalf("a %s is not read", v.Type())
		}
	}
	fill(reflect.ValueOf(&o).Elem())
	return o
}

// Every part of an occurrence is read fast, and as encoding/json reads it.
func TestDecodeOccurrences(t *testing.T) {
	t.Parallel()
	o := whole(t)
	local := Occurrence{Time: time.Now(), Fields: map[string]string{}, Reasons: []Text{}, Rule: RuleRef{Tags: []string{}}}
	for _, list := range [][]Occurrence{{o}, {}, nil, {{}}, {o, {}, o, local}} {
		data, err := json.Marshal(list)
		if err != nil {
			t.Fatal(err)
		}
		var want []Occurrence
		if err := json.Unmarshal(data, &want); err != nil {
			t.Fatal(err)
		}
		got, fast := decodeFast(data)
		if !fast && list != nil {
			t.Errorf("%s is not read fast", data)
		}
		if got, err = DecodeOccurrences(data); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%v\n got %+v\nwant %+v", err, got, want)
		}
	}
	for _, text := range []string{`[{"ID":"a"}]`, `[{"id":"a","more":1}]`, `[{"fields":{"a":"1","a":"2"}}]`, `[{"id":"\ud800"}]`, "[{\"id\":\"\xff\"}]", `[{"rule":null}]`} {
		var want []Occurrence
		if err := json.Unmarshal([]byte(text), &want); err != nil {
			t.Fatal(text, err)
		}
		if got, err := DecodeOccurrences([]byte(text)); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %v\n got %+v\nwant %+v", text, err, got, want)
		}
	}
	for _, text := range []string{``, `[`, `{}`, `[{"id":1}]`, `[{"count":"1"}]`, `[{"count":1.5}]`, `[{"time":"yesterday"}]`, `[1]`, "[{\"id\":\"\n\"}]", `[{}] x`} {
		if got, err := DecodeOccurrences([]byte(text)); err == nil {
			t.Errorf("%q was read: %+v", text, got)
		}
	}
}

// FuzzDecodeOccurrences: whatever bytes are read as encoding/json reads them.
func FuzzDecodeOccurrences(f *testing.F) {
	data, err := json.Marshal([]Occurrence{whole(f), {}})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	f.Add([]byte(`[{"id":"a","time":"2026-01-02T03:04:05.6+08:00","attacker":null,"fields":null,"group":[{"field":"a"}]}]`))
	f.Fuzz(func(t *testing.T, data []byte) {
		var want []Occurrence
		wantErr := json.Unmarshal(data, &want)
		got, err := DecodeOccurrences(data)
		if (err == nil) != (wantErr == nil) || err == nil && !reflect.DeepEqual(got, want) {
			t.Errorf("%q\n got %+v, %v\nwant %+v, %v", data, got, err, want, wantErr)
		}
	})
}

// BenchmarkDecodeOccurrences reads a message of eight firings of sixty fields each.
func BenchmarkDecodeOccurrences(b *testing.B) {
	list := make([]Occurrence, 8)
	for i := range list {
		o := whole(b)
		o.ID, o.Fields = fmt.Sprint("id-", i), map[string]string{}
		for n := range 60 {
			o.Fields[fmt.Sprint("some.field.name", n)] = fmt.Sprint("a value of it ", n*(1+i%2))
		}
		list[i] = o
	}
	data, err := json.Marshal(list)
	if err != nil {
		b.Fatal(err)
	}
	f := func(name string, read func() ([]Occurrence, error)) {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(data)))
			b.ReportAllocs()
			for b.Loop() {
				if got, err := read(); err != nil || len(got) != len(list) {
					b.Fatal(len(got), err)
				}
			}
		})
	}
	f("here", func() ([]Occurrence, error) { return DecodeOccurrences(data) })
	f("encoding-json", func() (got []Occurrence, err error) { err = json.Unmarshal(data, &got); return got, err })
}
