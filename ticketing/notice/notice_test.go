package notice

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/uptrace/bun"

	"icewatch/detections"
	"icewatch/soc/reach"
	"icewatch/soc/state"
	"icewatch/ticketing/transition"
)

type fixture struct {
	*testing.T
	*Store
	now   time.Time
	roles []string // of whoever acts
	told  []string
}

func open(t *testing.T) *fixture {
	t.Helper()
	db, err := state.Open(t.Context(), filepath.Join(t.TempDir(), "state.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	f := &fixture{T: t, now: time.Date(2026, 11, 26, 8, 0, 0, 0, time.UTC)}
	table := transition.Default()
	f.Store, err = Open(t.Context(), db, Deps{Clock: func() time.Time { return f.now },
		May:  func(_ context.Context, from, to string) error { return table.May(transition.Notice, from, to, f.roles) },
		Move: func(from, to string) (transition.Move, bool) { return table.Find(transition.Notice, from, to) },
		Belongs: func(tenant string) (unit, industry RankedGroup) {
			return map[string]RankedGroup{"tax": taxOffice}[tenant], government
		},
		Tell: func(_ context.Context, _ bun.Tx, n *Notice, tenant, only string) (int, error) {
			f.told = append(f.told, strings.TrimSpace(n.Name+" "+tenant+" "+only))
			return 1, nil
		}})
	if err != nil {
		t.Fatal(err)
	}
	return f
}

var (
	author  = Who{"li", reach.All()}
	officer = Who{"wang", reach.All()}
	tax     = Who{"tax-user", reach.Tenants("tax")}
	seal    = Who{"seal-user", reach.Tenants("seal")}
	health  = Who{"health-user", reach.Tenants("health")}

	taxOffice  = RankedGroup{"unit-tax", detections.Text{ZH: "税务局", EN: "Tax office"}}
	government = RankedGroup{"government", detections.Text{ZH: "政务", EN: "Government"}}
)

func (f *fixture) move(by Who, role, id, to string) error {
	f.roles = []string{role}
	_, err := f.Move(f.Context(), by, id, to, "")
	return err
}

func sample() Content {
	return Content{Kind: Circular, Name: "漏洞通报", Level: "high", Tags: []string{"漏洞"}, Region: "城东区", Tenants: []string{"tax", "seal"}, Receivers: []string{"phone"},
		Evidence: []Proof{{Kind: "incident", ID: "INC-1"}}, Body: []Block{{Type: "text", Runs: []Run{{Text: "请尽快", Bold: true, Color: "#c00000", Size: 14}, {Text: "修复"}}},
			{Type: "table", Rows: [][]string{{"主机", "补丁"}, {"web-01", "KB1"}}}, {Type: "code", Text: "apt upgrade"}, {Type: "link", URL: "https://example.gov.cn/", Text: "公告"}, {Type: "image", Image: "data:image/png;base64,aWNl"}}}
}

// A notice from its draft to the answers of two tenants, as each of them sees it.
func TestLife(t *testing.T) {
	f, ctx := open(t), t.Context()
	c := sample()
	c.Due = f.now.Add(time.Hour).UnixMilli()
	n, err := f.Make(ctx, author, "", c)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := f.Get(ctx, tax, n.ID); !errors.Is(err, ErrNotFound) {
		t.Errorf("a tenant sees a draft: %v", err)
	}
	var refused *transition.Refused
	if err := f.move(author, "operator", n.ID, Published); !errors.As(err, &refused) {
		t.Errorf("a leap: %v", err)
	}
	if err := f.move(author, "analyst", n.ID, Review); err != nil {
		t.Fatal(err)
	}
	if err := f.move(officer, "analyst", n.ID, Approved); !errors.As(err, &refused) {
		t.Errorf("approved by an analyst: %v", err)
	}
	if err := f.move(author, "operator", n.ID, Approved); !errors.Is(err, ErrConflict) {
		t.Errorf("approved by who submitted it: %v", err)
	}
	if _, err := f.Write(ctx, author, n.ID, 0, c); !errors.Is(err, ErrConflict) {
		t.Errorf("written under review: %v", err)
	}
	if err := errors.Join(f.move(officer, "security-admin", n.ID, Approved), f.move(officer, "security-admin", n.ID, Published)); err != nil {
		t.Fatal(err)
	}
	if want := []string{"漏洞通报 seal", "漏洞通报 seal phone", "漏洞通报 tax", "漏洞通报 tax phone"}; !slices.Equal(f.told, want) {
		t.Errorf("told %v, want %v", f.told, want)
	}

	// Each sees his own part.
	got, steps, err := f.Get(ctx, tax, n.ID)
	if err != nil || !slices.Equal(got.Tenants, []string{"tax"}) || len(got.Recipients) != 1 || len(got.Receivers) != 0 || len(steps) != 1 || steps[0].Action != Published {
		t.Errorf("a tenant sees %+v %+v %v", got, steps, err)
	}
	if list, err := f.List(ctx, health, Filter{}); err != nil || len(list) != 0 {
		t.Errorf("whom it is not for sees %d: %v", len(list), err)
	}
	if b, err := f.Board(ctx, tax, Filter{}); err != nil || b.Unread != 1 || b.Read != 0 {
		t.Errorf("before reading: %+v %v", b, err)
	}
	if _, err := f.Reading(ctx, tax, n.ID); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Reading(ctx, author, n.ID); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Reply(ctx, tax, n.ID, "已修复"); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Reply(ctx, tax, n.ID, "再次"); !errors.Is(err, ErrConflict) {
		t.Errorf("answered twice: %v", err)
	}
	f.now = f.now.Add(2 * time.Hour)
	b, err := f.Board(ctx, author, Filter{Region: "城东区"})
	if want := (RegionLine{"城东区", AnswerTally{1, 2, 1, 1, 1, 50, 100}}); err != nil || len(b.Regions) != 1 || b.Regions[0] != want || b.Read != 1 {
		t.Errorf("the board: %+v %v", b, err)
	}
	if want := []RankLine{{1, taxOffice, AnswerTally{1, 1, 1, 1, 0, 100, 100}}, {2, RankedGroup{}, AnswerTally{1, 1, 0, 0, 1, 0, 0}}}; !slices.Equal(b.Units, want) {
		t.Errorf("units: %+v", b.Units)
	}
	if want := []RankLine{{1, government, AnswerTally{1, 2, 1, 1, 1, 50, 100}}}; !slices.Equal(b.Industries, want) {
		t.Errorf("industries: %+v", b.Industries)
	}
	if b, err = f.Board(ctx, tax, Filter{}); err != nil || len(b.Units) != 1 || b.Units[0].RankedGroup != taxOffice {
		t.Errorf("a unit sees how others answer: %+v %v", b.Units, err)
	}
	// What somebody keeps in view is his alone.
	if n, err := f.Keep(ctx, tax, n.ID, true); err != nil || !n.Favourite {
		t.Errorf("kept: %+v %v", n, err)
	}
	if _, err := f.Keep(ctx, health, n.ID, true); !errors.Is(err, ErrNotFound) {
		t.Errorf("keeps what he does not see: %v", err)
	}
	if b, err = f.Board(ctx, tax, Filter{}); err != nil || len(b.Favourites) != 1 || len(b.Latest) != 1 || b.Latest[0].ID != n.ID || b.Latest[0].Body != nil {
		t.Errorf("favourites %d, latest %+v: %v", len(b.Favourites), b.Latest, err)
	}
	if list, err := f.List(ctx, seal, Filter{Kept: true}); err != nil || len(list) != 0 {
		t.Errorf("another one's favourites: %d %v", len(list), err)
	}
	if list, err := f.List(ctx, tax, Filter{Kept: true}); err != nil || len(list) != 1 {
		t.Errorf("favourites: %d %v", len(list), err)
	}
	if n, err := f.Keep(ctx, tax, n.ID, false); err != nil || n.Favourite {
		t.Errorf("kept no longer: %+v %v", n, err)
	}
	got, steps, _ = f.Get(ctx, author, n.ID)
	if r := got.Recipients; len(r) != 2 || r[0].Tenant != "seal" || r[0].ReadAt != 0 || r[1].ReadBy != "tax-user" || r[1].Reply != "已修复" || len(steps) != 6 {
		t.Errorf("the receipts: %+v, %d steps", r, len(steps))
	}
	if _, err := f.Reply(ctx, seal, n.ID, "晚了"); err != nil {
		t.Fatal(err)
	}

	// Closed, deleted, and back: nobody is told again.
	if err := f.move(officer, "operator", n.ID, Closed); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Delete(ctx, author, n.ID); err != nil {
		t.Fatal(err)
	}
	if list, _ := f.List(ctx, tax, Filter{}); len(list) != 0 {
		t.Error("a deleted notice is listed")
	}
	if _, err := f.Restore(ctx, author, n.ID); err != nil {
		t.Fatal(err)
	}
	if err := f.move(officer, "operator", n.ID, Published); err != nil || len(f.told) != 4 {
		t.Errorf("published again: %v, told %d times", err, len(f.told))
	}
	if list, err := f.List(ctx, tax, Filter{Unread: true}); err != nil || len(list) != 0 {
		t.Errorf("unread: %d %v", len(list), err)
	}
}

func TestDrafts(t *testing.T) {
	f, ctx := open(t), t.Context()
	if _, err := f.Make(ctx, tax, "", sample()); !errors.Is(err, ErrInvalid) {
		t.Errorf("for a tenant that the author does not see: %v", err)
	}
	empty := Content{Kind: Warning, Name: "草稿", Level: "low"}
	n, err := f.Make(ctx, tax, "", empty)
	if err != nil {
		t.Fatal(err)
	}
	if err := f.move(tax, "analyst", n.ID, Review); !errors.Is(err, ErrConflict) {
		t.Errorf("for nobody: %v", err)
	}
	if _, _, err := f.Get(ctx, seal, n.ID); !errors.Is(err, ErrNotFound) {
		t.Errorf("somebody else's draft: %v", err)
	}
	if _, err := f.Make(ctx, author, "rule\x00INC-1", empty); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Make(ctx, author, "rule\x00INC-1", empty); !errors.Is(err, ErrConflict) {
		t.Errorf("the rule drafts it twice: %v", err)
	}
	list, err := f.List(ctx, author, Filter{States: []string{Draft}, Q: "草"})
	if err != nil || len(list) != 2 || list[0].Origin+list[1].Origin != "rule" {
		t.Errorf("%+v %v", list, err)
	}
}

func TestRefused(t *testing.T) {
	for want, change := range map[string]func(c *Content){
		"name":          func(c *Content) { c.Name = "" },
		"kind":          func(c *Content) { c.Kind = "letter" },
		"level":         func(c *Content) { c.Level = "worst" },
		"tags[0]":       func(c *Content) { c.Tags = []string{""} },
		"evidence[0]":   func(c *Content) { c.Evidence = []Proof{{Kind: "rumour", ID: "1"}} },
		"body[0].type":  func(c *Content) { c.Body = []Block{{Type: "script"}} },
		"body[0].url":   func(c *Content) { c.Body = []Block{{Type: "link", URL: "javascript:alert(1)"}} },
		"body[0].image": func(c *Content) { c.Body = []Block{{Type: "image", Image: "data:image/svg+xml;base64,aWNl"}} },
		"body[0].rows":  func(c *Content) { c.Body = []Block{{Type: "table", Rows: [][]string{{"a", "b"}, {"c"}}}} },
		"body[0].runs":  func(c *Content) { c.Body = []Block{{Type: "text", Runs: []Run{{Color: "red"}}}} },
		"body[0].text":  func(c *Content) { c.Body = []Block{{Type: "text", Text: "nobody would see it"}} },
		"runs: what":    func(c *Content) { c.Body = []Block{{Type: "code", Runs: []Run{{Text: "nor this"}}}} },
		"runs[0].size":  func(c *Content) { c.Body = []Block{{Type: "text", Runs: []Run{{Size: 99}}}} },
		"bytes of image": func(c *Content) {
			c.Body = slices.Repeat([]Block{{Type: "image", Image: "data:image/png;base64," + strings.Repeat("aWNl", 600_000)}}, 4)
		},
	} {
		c := sample()
		change(&c)
		if err := c.check(); !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
	c := sample()
	if got, want := c.Plain(), "请尽快修复\n主机 | 补丁\nweb-01 | KB1\napt upgrade\n公告 https://example.gov.cn/\n[图片 image] "; got != want || c.check() != nil {
		t.Errorf("%q, want %q; %v", got, want, fmt.Sprint(c.check()))
	}
}

// An administrator, whom no table shuts out, cannot pass over the approval by
// another person, whichever way he takes.
func TestNoWayRoundApproval(t *testing.T) {
	f, ctx := open(t), t.Context()
	n, err := f.Make(ctx, author, "", sample())
	if err != nil {
		t.Fatal(err)
	}
	conflict := func(to string) {
		t.Helper()
		if err := f.move(author, "admin", n.ID, to); !errors.Is(err, ErrConflict) {
			t.Errorf("to %s: %v", to, err)
		}
	}
	conflict(Published)
	conflict(Approved)
	if err := f.move(author, "admin", n.ID, Review); err != nil {
		t.Fatal(err)
	}
	conflict(Published)
	conflict(Approved)
	if err := f.move(author, "admin", n.ID, Closed); err != nil {
		t.Fatal(err)
	}
	conflict(Published)
	if err := errors.Join(f.move(author, "admin", n.ID, Review), f.move(officer, "admin", n.ID, Published)); err != nil {
		t.Errorf("approved and published by another person: %v", err)
	}
	if len(f.told) == 0 {
		t.Error("nobody was told")
	}
}
