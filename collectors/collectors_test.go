package collectors_test

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/VictoriaMetrics/metrics"

	"icewatch/collectors"
	"icewatch/collectors/collecttest"
	"icewatch/soc/intake"
)

func TestFit(t *testing.T) {
	t.Parallel()
	shared := make([]string, 1, 4)
	shared[0] = "earlier"
	whole := []byte(strings.Repeat("中", intake.MaxData/2))
	var aside collecttest.Aside
	rec := intake.Record{Tenant: "tax", Data: whole, Marks: shared}
	if err := collectors.Fit(&aside, &rec); err != nil {
		t.Fatal(err)
	}
	if len(rec.Data) > intake.MaxData || !utf8.Valid(rec.Data) || !slices.Equal(rec.Marks, []string{"earlier", "truncated"}) {
		t.Errorf("%d bytes, marks %q", len(rec.Data), rec.Marks)
	}
	if got, err := aside.Get("tax", rec.Aside); err != nil || !bytes.Equal(got, whole) {
		t.Errorf("aside: %d bytes, %v", len(got), err)
	}
	if shared[:2][1] != "" {
		t.Error("shared marks were written to")
	}

	aside.Err = errors.New("disk full")
	rec = intake.Record{Data: whole}
	if err := collectors.Fit(&aside, &rec); err == nil || !slices.Equal(rec.Marks, []string{"truncated", "aside_failed"}) || len(rec.Data) > intake.MaxData {
		t.Errorf("%v, marks %q", err, rec.Marks)
	}
	rec = intake.Record{Data: whole}
	if err := collectors.Fit(nil, &rec); err != nil || !slices.Equal(rec.Marks, []string{"truncated", "aside_failed"}) {
		t.Errorf("%v, marks %q", err, rec.Marks)
	}
	rec = intake.Record{Data: whole[:intake.MaxData]}
	if err := collectors.Fit(nil, &rec); err != nil || rec.Marks != nil {
		t.Errorf("%v, marks %q", err, rec.Marks)
	}
}

func TestCut(t *testing.T) {
	t.Parallel()
	f := func(text string, limit int, want string) {
		t.Helper()
		if got := collectors.Cut([]byte(text), limit); string(got) != want {
			t.Errorf("%q cut to %d is %q, want %q", text, limit, got, want)
		}
	}
	f("abc", 3, "abc")
	f("abcd", 3, "abc")
	f("a中", 3, "a")
	f("a中", 2, "a")
	f("\x80\x80\x80\x80\x80\x80\x80", 6, "\x80\x80\x80\x80\x80\x80")
	f("abc", 0, "")
}

func TestCountersAndHealth(t *testing.T) {
	t.Parallel()
	set := metrics.NewSet()
	c := collectors.NewCounters(set, "x")
	if h := c.Health("x", "k", "l"); h.State != collectors.StateOff || !h.LastSeen.IsZero() {
		t.Errorf("before the start %+v", h)
	}
	c.Running(true)
	c.Received(2, 10)
	c.Rejected(1)
	c.Dropped(3)
	c.Failed(errors.New("full"))
	h := c.Health("x", "k", "l")
	if h.State != collectors.StateError || h.Error != "full" || h.Received != 2 || h.Bytes != 10 || h.Rejected != 1 || h.Dropped != 3 || h.LastSeen.IsZero() {
		t.Errorf("failing %+v", h)
	}
	c.Failed(nil)
	if h := c.Health("x", "k", "l"); h.State != collectors.StateOK || h.Error != "" {
		t.Errorf("well again %+v", h)
	}
	var text bytes.Buffer
	set.WritePrometheus(&text)
	if !strings.Contains(text.String(), `icewatch_collector_dropped_total{collector="x"} 3`) {
		t.Errorf("metrics\n%s", text.String())
	}
}
