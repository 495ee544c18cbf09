package api

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"icewatch/soc/identity"
)

func TestWatermark(t *testing.T) {
	t.Parallel()
	w := DefaultWatermark
	s := newSuite(t, func(d *Deps) { d.Watermark = func() Watermark { return w } })
	get := func() (u UI) {
		t.Helper()
		a := s.call("GET", "/api/v1/ui", "", bearer(s.token("a", identity.ScopeRead))...)
		if err := json.Unmarshal(a.body, &u); err != nil || a.status != 200 {
			t.Fatalf("%d %s", a.status, a.body)
		}
		return u
	}
	if u := get(); u.Watermark.Enabled || u.Watermark.ShowTime || len(u.Watermark.Lines) > 0 {
		t.Errorf("off: %+v", u)
	}
	w.Enabled = true
	if u := get().Watermark; !u.Enabled || !u.ShowTime || u.Opacity != w.Opacity || len(u.Lines) != 2 || u.Lines[1] != "127.0.0.1" {
		t.Errorf("on: %+v", u)
	}
	if a := s.call("GET", "/api/v1/ui", ""); a.status != 401 {
		t.Errorf("a stranger sees the mark: %d", a.status)
	}
}

func TestWatermarkLines(t *testing.T) {
	t.Parallel()
	p := &identity.Principal{Username: "wang.wei", DisplayName: "王伟"}
	f := func(w Watermark, want ...string) {
		t.Helper()
		w.Enabled = true
		if got := w.lines(p, "10.0.0.9"); !reflect.DeepEqual(got, want) {
			t.Errorf("%+v: %q, want %q", w, got, want)
		}
	}
	f(Watermark{Name: true, Username: true, Address: true, Text: "内部"}, "王伟 (wang.wei)", "内部", "10.0.0.9")
	f(Watermark{Name: true}, "王伟")
	f(Watermark{Username: true}, "wang.wei")
	for _, bad := range []Watermark{{Opacity: 0.01}, {Opacity: 0.9}, {Opacity: 0.1, Enabled: true}, {Opacity: 0.1, Text: "a\nb"}, {Opacity: 0.1, Text: strings.Repeat("字", 61)}} {
		if bad.Check() == nil {
			t.Errorf("%+v passes", bad)
		}
	}
	if err := DefaultWatermark.Check(); err != nil {
		t.Error(err)
	}
}
