package scenario

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/uptrace/bun"

	"icewatch/detections"
	"icewatch/soc/state"
)

func openDB(t *testing.T) *state.DB {
	t.Helper()
	db, err := state.Open(t.Context(), filepath.Join(t.TempDir(), "state.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

// TestConditions asks a small table what conditions choose.
func TestConditions(t *testing.T) {
	t.Parallel()
	db, ctx := openDB(t), t.Context()
	_, err := db.ExecContext(ctx, `CREATE TABLE alerts (rule_id TEXT, attack TEXT, risk TEXT, techniques TEXT, tags TEXT, tenant TEXT, severity INTEGER, verdict INTEGER, key_asset INTEGER);
		INSERT INTO alerts VALUES ('r1', 'mining', 'MI/BI/mining/', 'T1496', 'seen,vip', 'tax', 3, 0, 1), ('r2', 'brute-force', 'NAI/ONAI/', 'T1110.003,T1078', '', 'tax', 1, 3, 0), ('r3', '', '', '', '', 'seal', 4, 4, 0)`)
	if err != nil {
		t.Fatal(err)
	}
	asked := 0
	src := func() *Source {
		return &Source{
			Rules: func(context.Context) ([]Rule, error) {
				asked++
				return []Rule{{"r1", "miner_started", []string{"attack.t1496", "gbz20986.MI.BI.mining"}}, {"r2", "ssh_bruteforce", nil}}, nil
			},
			Values: func(ctx context.Context, column string) (out []string, err error) {
				err = db.NewSelect().Table("alerts").ColumnExpr("DISTINCT ?", bun.Ident(column)).Scan(ctx, &out)
				return out, err
			}}
	}
	for _, c := range []struct{ lines, want string }{
		{`attack="mining"`, "r1"},
		{`attack!="mining"`, "r2 r3"},
		{`attack=""`, "r3"},
		{`attack=~"min.*|brute-force"`, "r1 r2"},
		{`attack!~"min.*"`, "r2 r3"},
		{`attack=~"nothing"`, ""},
		{`risk="MI"`, "r1"},
		{`risk="mi.bi"`, "r1"},
		{`risk="MI.B"`, ""},
		{`risk!="MI.BI"`, "r2 r3"},
		{`risk=~"MI\\.BI.*|NAI"`, "r1 r2"},
		{`technique="T1110"`, "r2"},
		{`technique="t1110.003"`, "r2"},
		{`technique="T1110.001"`, ""},
		{`technique!="T1110"`, "r1 r3"},
		{`tag="vip"`, "r1"},
		{`tag!="vip"`, "r2 r3"},
		{`severity=~"high|critical"`, "r1 r3"},
		{`severity!="critical"`, "r1 r2"},
		{`severity="odd"`, ""},
		{`verdict="none"`, "r1"},
		{`verdict=~"success|compromised"`, "r2 r3"},
		{`key_asset="true"`, "r1"},
		{`key_asset!="true"`, "r2 r3"},
		{`key_asset=~".*"`, "r1 r2 r3"},
		{`rule="ssh_bruteforce"`, "r2"},
		{`rule="r3"`, "r3"},
		{`rule!~"ssh_.*"`, "r1 r3"},
		{`rule_tag="GBZ20986.mi.bi.mining"`, "r1"},
		{`rule_tag=""`, "r2 r3"},
		{`attack="mining" tenant="tax"`, "r1"},
		{`attack="mining" tenant="seal"`, ""},
		{`attack="mining" | severity="critical"`, "r1 r3"},
	} {
		var lines [][]string
		for line := range strings.SplitSeq(c.lines, " | ") {
			lines = append(lines, strings.Fields(line))
		}
		clause, err := Compile(ctx, lines, src())
		if err != nil {
			t.Errorf("%s: %v", c.lines, err)
			continue
		}
		var ids []string
		if err := db.NewSelect().Table("alerts").Column("rule_id").Where(clause.Where, clause.Args...).OrderExpr("rule_id").Scan(ctx, &ids); err != nil {
			t.Errorf("%s: %v", c.lines, err)
		}
		if got := strings.Join(ids, " "); got != c.want {
			t.Errorf("%s: %q, want %q (%s)", c.lines, got, c.want, clause.Where)
		}
	}
	if clause, err := Compile(ctx, nil, src()); err != nil || !reflect.DeepEqual(clause, Nothing) {
		t.Errorf("no lines: %+v, %v", clause, err)
	}
	asked = 0
	one := src()
	if _, err := Compile(ctx, [][]string{{`rule=~"a.*"`, `rule_tag="x"`}, {`attack="x"`}}, one); err != nil || asked != 1 {
		t.Errorf("the rules in force were asked for %d times, %v", asked, err)
	}
	broken := src()
	broken.Rules = func(context.Context) ([]Rule, error) { return nil, errors.New("the engine is away") }
	if _, err := Compile(ctx, [][]string{{`rule="a"`}}, broken); err == nil || !strings.Contains(err.Error(), "away") {
		t.Errorf("rules that cannot be asked for: %v", err)
	}
}

func TestCheck(t *testing.T) {
	t.Parallel()
	good := func() Content {
		return Content{Name: detections.Text{ZH: "勒索"}, Any: [][]string{{`attack="ransomware"`}}}
	}
	c := good()
	if c.Tags = []string{" a ", "a"}; c.Check() != nil || c.Days != DefaultDays || !slices.Equal(c.Tags, []string{"a"}) {
		t.Errorf("%+v, %v", c, c.Check())
	}
	if c.Objects = `region = "南山" and (label = "mlps_3")`; c.Check() != nil || c.Objects != `region = "南山" and label = "mlps_3"` {
		t.Errorf("objects %q", c.Objects)
	}
	for want, change := range map[string]func(c *Content){
		"name:":               func(c *Content) { c.Name = detections.Text{ZH: " "} },
		"name: want at most":  func(c *Content) { c.Name.EN = strings.Repeat("名", 121) },
		"any: at least":       func(c *Content) { c.Any = nil },
		"any[0]:":             func(c *Content) { c.Any = [][]string{{}} },
		"any[0][0]:":          func(c *Content) { c.Any = [][]string{{"attack"}} },
		`"source_ip" is no`:   func(c *Content) { c.Any = [][]string{{`source_ip="10.0.0.1"`}} },
		"risks[1][0]:":        func(c *Content) { c.Risks = [][]string{{`attack="x"`}, {`attack=~"("`}} },
		"objects:":            func(c *Content) { c.Objects = "region ~ 1" },
		"days: 93":            func(c *Content) { c.Days = 93 },
		"tags[0]:":            func(c *Content) { c.Tags = []string{"a,b"} },
		"want 1 to 16":        func(c *Content) { c.Any = [][]string{slices.Repeat([]string{`attack="x"`}, 17)} },
		"any: 51 lines":       func(c *Content) { c.Any = slices.Repeat([][]string{{`attack="x"`}}, 51) },
		"objects, items: wan": func(c *Content) { c.Items = strings.Repeat("x", 4001) },
	} {
		c := good()
		change(&c)
		if err := c.Check(); !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}

func TestStore(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	now := time.Date(2026, 11, 27, 8, 0, 0, 0, time.UTC)
	s, err := Open(ctx, openDB(t), func() time.Time { return now })
	if err != nil {
		t.Fatal(err)
	}
	names := func() string {
		list, err := s.List(ctx)
		if err != nil {
			t.Fatal(err)
		}
		var out []string
		for _, k := range list[len(Shipped()):] {
			out = append(out, fmt.Sprint(k.Content.Name.ZH, k.Content.Off))
		}
		return strings.Join(out, " ")
	}
	mine := Scenario{Content: Content{Name: detections.Text{ZH: "我的"}, Any: [][]string{{`attack="mining"`}}, Tags: []string{"x"}}}
	made, err := s.Put(ctx, "amy", []Scenario{mine}, nil)
	if err != nil || made[0].ID == "" || made[0].Version == 0 || made[0].UpdatedBy != "amy" {
		t.Fatalf("%+v, %v", made, err)
	}
	changed := Scenario{ID: made[0].ID, Content: made[0].Content}
	changed.Off, changed.Days = true, 30
	if _, err := s.Put(ctx, "bob", []Scenario{changed}, nil); err != nil || names() != "我的true" {
		t.Fatalf("%v: %s", err, names())
	}
	no := errors.New("no")
	if _, err := s.Put(ctx, "bob", []Scenario{mine, changed}, func(*Kept) error { return no }); !errors.Is(err, no) || names() != "我的true" {
		t.Errorf("all or none: %v: %s", err, names())
	}
	if err := s.Delete(ctx, "amy", made[0].ID, nil); err != nil || names() != "" {
		t.Errorf("%v: %s", err, names())
	}
	if err := s.Delete(ctx, "amy", made[0].ID, nil); !errors.Is(err, ErrNotFound) {
		t.Errorf("deleted twice: %v", err)
	}
	versions, err := s.Versions(ctx, made[0].ID)
	if err != nil || len(versions) != 3 || !versions[0].Deleted || versions[0].Content.Days != 30 || versions[2].Content.Off {
		t.Fatalf("%+v, %v", versions, err)
	}
	if back, err := s.Restore(ctx, "amy", made[0].ID, versions[2].Version, nil); err != nil || back.Content.Off || names() != "我的false" {
		t.Errorf("%+v, %v: %s", back, err, names())
	}

	// What is shipped can be changed and be as it was shipped again.
	shipped := Shipped()[0]
	if err := s.Delete(ctx, "amy", shipped.ID, nil); !errors.Is(err, ErrInvalid) {
		t.Errorf("a shipped one was deleted: %v", err)
	}
	off := shipped
	off.Off = true
	if _, err := s.Put(ctx, "amy", []Scenario{off}, nil); err != nil {
		t.Fatal(err)
	}
	if k, err := s.Get(ctx, shipped.ID); err != nil || !k.Content.Off || !k.Shipped {
		t.Errorf("%+v, %v", k, err)
	}
	if _, err := s.Restore(ctx, "amy", shipped.ID, 0, nil); err != nil {
		t.Error(err)
	}
	k, err := s.Get(ctx, shipped.ID)
	if err != nil || !reflect.DeepEqual(k.Content, shipped.Content) {
		t.Errorf("as shipped: %+v, %v", k, err)
	}
}

func TestFile(t *testing.T) {
	t.Parallel()
	list := Shipped()
	if len(list) < 10 {
		t.Fatalf("%d scenarios are shipped", len(list))
	}
	data, err := Format(list)
	if err != nil {
		t.Fatal(err)
	}
	again, err := Parse(data)
	if err != nil {
		t.Fatal(err)
	}
	for i := range again {
		if again[i].ID == "" || again[i].Name.ZH == "" || again[i].Name.EN == "" || !reflect.DeepEqual(again[i], list[i]) {
			t.Errorf("%+v\n%+v", again[i], list[i])
		}
	}
	for want, text := range map[string]string{
		"line 2: field anything": "name: {zh: a}\nanything: 1\n",
		"document 2 (\"b\")":     "name: {zh: a}\nany: [['attack=\"x\"']]\n---\nname: {zh: b}\nany: []\n",
		"document 1: ":           "- 1\n",
		"bytes, at most":         strings.Repeat("#", MaxFile+1),
	} {
		if _, err := Parse([]byte(text)); !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add(shippedFile[:600])
	f.Add([]byte("name: {zh: a}\nany: [['attack=~\"x\"']]\nobjects: 'label = \"a\"'\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		list, err := Parse(data)
		if err != nil {
			return
		}
		out, err := Format(list)
		if err != nil {
			t.Fatal(err)
		}
		if again, err := Parse(out); err != nil || len(again) != len(list) {
			t.Fatalf("%q reads as %d, not %d: %v", out, len(again), len(list), err)
		}
	})
}
