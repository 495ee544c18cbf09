package journal

import (
	"encoding/json"
	"errors"
	"io"
	"strings"
	"testing"

	"icewatch/collectors"
	"icewatch/soc/intake"
)

func TestReader(t *testing.T) {
	t.Parallel()
	r := NewReader(strings.NewReader(strings.Join(entries, "\n")))
	n := 0
	for {
		e, err := r.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if n++; e.Time.UnixMicro() != int64(1795654923000000+n) || e.Cut || !strings.HasPrefix(e.Cursor, "s=0f9e;i=") {
			t.Errorf("%+v", e)
		}
	}
	if n != len(entries) {
		t.Errorf("%d entries", n)
	}
	for text, want := range map[string]string{
		"MESSAGE=x":         "unexpected EOF",
		"MESSAGE=x\n":       "unexpected EOF",
		"MESSAGE\n\x05\x00": "unexpected EOF",
		"A B=x\n\n":         `byte 6: this is not the journal's export format: a field has the name "A B"; names have upper-case letters, digits and underscores`,
		"A\n\x01\x00\x00\x00\x00\x00\x00\x00xy\n": "byte 12: this is not the journal's export format: a value is not followed by a line end",
		"A\n\x01\x00\x00\x00\x00\x00\x00\x01x\n":  "byte 10: this is not the journal's export format: a value says that it has 72057594037927937 bytes; 1073741824 are the most",
		strings.Repeat("A", 100) + "\n\n":         "byte 101: this is not the journal's export format: a line has no =, and is no name of a field either",
	} {
		if _, err := NewReader(strings.NewReader(text)).Next(); err == nil || err.Error() != want {
			t.Errorf("%q: %v", text, err)
		}
	}
}

// Long values are read past, and what fits is kept.
func TestLongEntries(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 3<<20)
	for _, text := range []string{"A=1\nMESSAGE=" + long + "\nB=2\n\nC=3\n\n", "A=1\nMESSAGE\n\x00\x00\x30\x00\x00\x00\x00\x00" + long + "\nB=2\n\nC=3\n\n"} {
		r := NewReader(strings.NewReader(text))
		e, err := r.Next()
		if err != nil || !e.Cut || len(e.fields) < 2 || len(e.fields[1].value) != maxKept-1 {
			t.Fatalf("%v, cut %v, %d fields", err, e.Cut, len(e.fields))
		}
		rec := e.Record(intake.Record{})
		if rec.Marks[0] != collectors.MarkTruncated || rec.Format != intake.Line {
			t.Errorf("marks %q, format %d", rec.Marks, rec.Format)
		}
		if e, err = r.Next(); err != nil || e.Cut || e.fields[0] != (field{"C", "3"}) {
			t.Errorf("the next entry: %+v, %v", e, err)
		}
	}
	e, err := NewReader(strings.NewReader(strings.Repeat("A=1\n", 3*maxFields) + "\n")).Next()
	if err != nil || !e.Cut || len(e.fields) != maxFields {
		t.Errorf("%v, cut %v, %d fields", err, e.Cut, len(e.fields))
	}
}

func TestSettings(t *testing.T) {
	t.Parallel()
	for want, c := range map[string]Config{
		"journal: a reader has no id":                       {},
		`journal: x: directory: "var" is not the full path`: {ID: "x", Directory: "var"},
		`journal: x: units: "--all" is not the name`:        {ID: "x", Units: []string{"--all"}},
		"journal: x: read_from must be":                     {ID: "x", ReadFrom: "middle"},
	} {
		if err := c.check(); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
}

func FuzzReader(f *testing.F) {
	f.Add([]byte(strings.Join(entries, "")))
	f.Add([]byte("A\n\x01\x00\x00\x00\x00\x00\x00\x00x\nB=\n\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		r := NewReader(strings.NewReader(string(data)))
		for {
			e, err := r.Next()
			var syntax *SyntaxError
			switch {
			case err == io.EOF, err == io.ErrUnexpectedEOF, errors.As(err, &syntax):
				return
			case err != nil:
				t.Fatal(err)
			}
			if rec := e.Record(intake.Record{}); !json.Valid(rec.Data) {
				t.Fatalf("%q", rec.Data)
			}
		}
	})
}
