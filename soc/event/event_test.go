package event

import (
	"encoding/json"
	"slices"
	"testing"
	"unicode/utf8"
)

func TestID(t *testing.T) {
	t.Parallel()
	id := ID{Epoch: "mwt", Sequence: 1 << 40, Index: 7}
	if got, ok := ParseID(id.String()); !ok || got != id {
		t.Fatalf("%s reads as %+v", id, got)
	}
	for _, s := range []string{"", "-1-2", "a-1", "a-b-1", "a-1-b", "a-1-2-3", "a-1-4294967296", "a--1"} {
		if id, ok := ParseID(s); ok {
			t.Errorf("%q reads as %+v", s, id)
		}
	}
}

func TestFields(t *testing.T) {
	t.Parallel()
	r := NewRegistry(2)
	a, _ := r.Intern("a.b")
	if again, ok := r.Intern("a.b"); !ok || again != a || r.Name(a) != "a.b" || IsKnown(a) {
		t.Fatal("a name is interned twice")
	}
	if id, ok := r.Lookup("source.ip"); !ok || id != SourceIP || !IsKnown(id) {
		t.Fatal("a field of the schema is not known")
	}
	r.Intern("second")
	if _, ok := r.Intern("third"); ok {
		t.Fatal("the limit of names does not hold")
	}
	for id := FieldID(1); id < lastKnown; id++ {
		if name := r.Name(id); name == "" {
			t.Errorf("field %d has no name", id)
		} else if back, _ := r.Lookup(name); back != id {
			t.Errorf("%s belongs to two fields", name)
		}
	}
	var ev Event
	ev.Add(a, "1")
	ev.Add(Tags, "x")
	ev.Add(a, "2")
	ev.Set(a, "3")
	ev.SetDefault(a, "4")
	ev.SetDefault(Message, "m")
	ev.SetInt(SourcePort, 42)
	ev.Mark("cut")
	ev.Mark("cut")
	want := []Field{{a, String, "3"}, {Tags, String, "x"}, {Message, String, "m"}, {SourcePort, Number, "42"}, {Marks, String, "cut"}}
	if !slices.Equal(ev.Fields, want) {
		t.Fatalf("%+v", ev.Fields)
	}
	ev.Fields = append(ev.Fields, Field{ID: UserName, Kind: Null})
	if _, ok := ev.Get(UserName); ok || !ev.Has(UserName) {
		t.Error("null is there, and no value")
	}
	ev.Delete(Marks)
	ev.Reset()
	if len(ev.Fields) != 0 || ev.Text(a) != "" {
		t.Error("Reset leaves something behind")
	}
}

func FuzzAppendJSON(f *testing.F) {
	for _, s := range []string{"", "plain", "\"\\\n\r\t\x00\x1f", "中文", "\xff\xfe", "a\u2028b"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		var got string
		b := AppendJSON(nil, s)
		if err := json.Unmarshal(b, &got); err != nil || !utf8.Valid(b) {
			t.Fatalf("%q gives %q: %v", s, b, err)
		}
		if utf8.ValidString(s) && got != s {
			t.Fatalf("%q comes back as %q", s, got)
		}
	})
}
