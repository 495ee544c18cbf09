package wef

import (
	"encoding/binary"
	"errors"
	"slices"
	"testing"
	"unicode/utf16"
	"unicode/utf8"
)

func split(doc string) (events []string, err error) {
	err = Split([]byte(doc), func(e []byte, at int) error {
		if doc[at:at+len(e)] != string(e) {
			return errors.New("the place is wrong")
		}
		events = append(events, string(e))
		return nil
	})
	return events, err
}

func TestSplit(t *testing.T) {
	t.Parallel()
	const a, b = `<Event xmlns='x'><System a="1>2"/><EventData><Data Name="Event">1</Data></EventData></Event>`, `<Event><UserData><Event>in</Event></UserData></Event>`
	for doc, want := range map[string][]string{
		a:            {a},
		a + "\n" + b: {a, b},
		"<?xml version=\"1.0\" encoding=\"utf-16\"?>\r\n<Events>" + a + b + "</Events>\r\n": {a, b},
		"<Events><!-- <Event> --><EventsX/>" + a + "</Events>":                              {a},
		"<Event><Data><![CDATA[</Event>]]></Data></Event>":                                  {"<Event><Data><![CDATA[</Event>]]></Data></Event>"},
		"<Event/>" + b: {b},
	} {
		got, err := split(doc)
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("%s: %q, %v", doc, got, err)
		}
	}
	for doc, want := range map[string]string{
		"":                               ErrNone.Error(),
		"<Events></Events>":              ErrNone.Error(),
		a + "<Event><System":             "byte 99: what begins here does not end",
		a + "<Event><System>":            "byte 92: the event that begins here does not end",
		"</Event>":                       "byte 0: an event ends that did not begin",
		`<!DOCTYPE x [<!ENTITY e "e">]>`: "byte 0: a document type is not read",
	} {
		if _, err := split(doc); err == nil || err.Error() != want {
			t.Errorf("%s: %v, want %s", doc, err, want)
		}
	}
}

func TestUTF8(t *testing.T) {
	t.Parallel()
	const text = "<Event>登录失败 𠀀</Event>"
	encode := func(order binary.AppendByteOrder, mark bool) []byte {
		var out []byte
		if mark {
			out = order.AppendUint16(out, 0xfeff)
		}
		for _, u := range utf16.Encode([]rune(text)) {
			out = order.AppendUint16(out, u)
		}
		return out
	}
	for name, doc := range map[string][]byte{
		"UTF-8": []byte(text), "UTF-8 with a mark": []byte("\ufeff" + text),
		"LE": encode(binary.LittleEndian, true), "BE": encode(binary.BigEndian, true),
		"LE without a mark": encode(binary.LittleEndian, false), "BE without a mark": encode(binary.BigEndian, false),
	} {
		if got, err := UTF8(doc); err != nil || string(got) != text {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
	for _, doc := range []string{"\xff\xfe<", "<Event>\xc4\xe3</Event>"} {
		if got, err := UTF8([]byte(doc)); err == nil {
			t.Errorf("%q was read as %q", doc, got)
		}
	}
	if got, _ := UTF8([]byte{0xff, 0xfe, 0x00, 0xd8, 'a', 0}); string(got) != "\ufffda" {
		t.Errorf("half a surrogate became %q", got)
	}
}

func FuzzSplit(f *testing.F) {
	f.Add([]byte(`<?xml version="1.0"?><Events><Event a='>'><![CDATA[x]]></Event></Events>`))
	f.Add([]byte("\xff\xfe<\x00E\x00"))
	f.Fuzz(func(t *testing.T, doc []byte) {
		doc, err := UTF8(doc)
		if err != nil {
			return
		}
		if !utf8.Valid(doc) {
			t.Fatal("UTF8 returned what is not UTF-8")
		}
		last := 0
		_ = Split(doc, func(e []byte, at int) error {
			if at < last || string(doc[at:at+len(e)]) != string(e) {
				t.Fatalf("event at %d of %d bytes after %d", at, len(e), last)
			}
			last = at + len(e)
			return nil
		})
	})
}
