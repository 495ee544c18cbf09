package daily

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"archive/zip"

	"github.com/uptrace/bun"

	"icewatch/detections"
	"icewatch/detections/policy"
	"icewatch/soc/reach"
	"icewatch/soc/seal"
	"icewatch/soc/state"
	"icewatch/ticketing"
	"icewatch/ticketing/outbox"
)

// opens is a policy by which each critical alert opens an incident.
type opens struct{}

func (opens) Incident(_ context.Context, in policy.IncidentInput) (policy.Decision, error) {
	return policy.Decision{Open: in.Alert.Rule.Level == detections.Critical, Reasons: []detections.Text{{ZH: "测试", EN: "test"}}}, nil
}

type fixture struct {
	*testing.T
	*Service
	db      *state.DB
	tickets *ticketing.Service
	now     time.Time
	plans   Plans
	told    []string
}

func open(t *testing.T, plans ...Plan) *fixture {
	t.Helper()
	db, err := state.Open(t.Context(), filepath.Join(t.TempDir(), "state.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	f := &fixture{T: t, db: db, now: time.Date(2026, 11, 25, 2, 0, 0, 0, time.UTC), plans: Plans{Reports: plans}}
	clock, log := func() time.Time { return f.now }, slog.New(slog.DiscardHandler)
	if f.tickets, err = ticketing.Open(t.Context(), db, ticketing.Deps{Policy: opens{}, Seal: seal.Ephemeral(outbox.Sealed()...), Log: log, Clock: clock, Zone: time.UTC}); err != nil {
		t.Fatal(err)
	}
	f.Service, err = Open(t.Context(), db, Deps{Tickets: f.tickets, Plans: func() Plans { return f.plans }, Log: log, Clock: clock,
		Reach: func(tenants []string) (reach.Reach, error) {
			if len(tenants) == 0 {
				return reach.All(), nil
			}
			return reach.Tenants(tenants...), nil
		},
		Tell: func(_ context.Context, _ bun.Tx, r *Report, receiver string) error {
			if receiver == "gone" {
				return errors.New("there is no such contact point")
			}
			f.told = append(f.told, receiver+" "+r.Plan+" "+r.Day)
			return nil
		}})
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func (f *fixture) fire(id, tenant string, level detections.Level) {
	f.Helper()
	err := f.tickets.Ingest(f.Context(), []detections.Occurrence{{ID: id, Key: id, Tenant: tenant, Time: f.now, From: f.now, Count: 3, Priority: "P1",
		Rule:   detections.RuleRef{ID: "rule", Title: detections.Text{ZH: "规则 " + id, EN: "Rule " + id}, Level: level, Kind: "sigma"},
		Fields: map[string]string{"host.name": "web", "icewatch.ci.id": "ci-web", "icewatch.ci.name": "web-01", "icewatch.ci.class": "host"}}})
	if err != nil {
		f.Fatal(err)
	}
}

func (f *fixture) step(at string) {
	f.Helper()
	zone, _ := time.LoadLocation("Asia/Shanghai")
	t, err := time.ParseInLocation("2006-01-02 15:04", at, zone)
	if err != nil {
		f.Fatal(err)
	}
	f.now = t
	if err := f.Step(f.Context()); err != nil {
		f.Fatal(err)
	}
}

// text is what a DOCX says.
func text(t *testing.T, docx []byte) string {
	t.Helper()
	z, err := zip.NewReader(bytes.NewReader(docx), int64(len(docx)))
	if err != nil {
		t.Fatal(err)
	}
	f, err := z.Open("word/document.xml")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	data, err := io.ReadAll(f)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func TestDaily(t *testing.T) {
	f := open(t, Plan{ID: "city", Name: "安全日报", Enabled: true, Content: Full, At: []string{"08:00"}, Zone: "Asia/Shanghai", Language: "zh", Receivers: []string{"mail", "gone"}},
		Plan{ID: "tax", Name: "Tax", Enabled: true, Content: Full, At: []string{"09:00"}, Zone: "Asia/Shanghai", Language: "en", Tenants: []string{"tax"}},
		Plan{ID: "risk", Name: "高风险", Enabled: true, Content: HighRisk, At: []string{"18:00", "10:00"}, Zone: "Asia/Shanghai", Language: "zh", Receivers: []string{"phone"}})
	ctx := t.Context()
	// On the 25th: two incidents, of which one is closed, and an alert.
	f.fire("a", "tax", detections.Critical)
	f.fire("b", "seal", detections.Critical)
	f.fire("c", "seal", detections.Low)
	list, _, _, err := f.tickets.Incidents(ctx, ticketing.IncidentQuery{Reach: reach.Tenants("tax")})
	if err != nil || len(list) == 0 {
		t.Fatalf("%d incidents: %v", len(list), err)
	}
	f.now = f.now.Add(time.Hour)
	if _, err := f.tickets.CloseIncident(ctx, ticketing.Actor{Name: "zhoumin", Reach: reach.All()}, list[0].ID, ticketing.Close{Resolution: "true_positive"}); err != nil {
		t.Fatal(err)
	}

	f.step("2026-11-25 23:00") // the times of the day before the first start have passed
	if all, err := f.List(ctx, reach.All(), "city"); err != nil || len(all) != 0 {
		t.Errorf("made of a time before the first start: %+v %v", all, err)
	}
	f.step("2026-11-26 07:59")
	f.step("2026-11-26 08:00")
	f.step("2026-11-26 08:01")
	f.step("2026-11-26 17:59")
	f.step("2026-11-26 18:30")
	f.step("2026-11-26 18:31")
	all, err := f.List(ctx, reach.All(), "")
	if err != nil {
		t.Fatal(err)
	}
	var made []string
	for _, r := range all {
		made = append(made, r.Plan+" "+r.Slot+" "+r.Day)
	}
	slices.Sort(made)
	if want := []string{"city 2026-11-26 08:00 2026-11-25", "risk 2026-11-25 18:00 2026-11-25", "risk 2026-11-26 10:00 2026-11-26", "risk 2026-11-26 18:00 2026-11-26", "tax 2026-11-26 09:00 2026-11-25"}; !slices.Equal(made, want) {
		t.Errorf("made %q, want %q", made, want)
	}
	if want := []string{"phone risk 2026-11-25", "mail city 2026-11-25", "phone risk 2026-11-26", "phone risk 2026-11-26"}; !slices.Equal(f.told, want) {
		t.Errorf("told %q, want %q", f.told, want)
	}
	of := func(plan string) Report {
		i := slices.IndexFunc(all, func(r Report) bool { return r.Plan == plan })
		r, err := f.Get(ctx, reach.All(), all[i].ID)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	city := of("city")
	if city.Summary != "2026-11-25：新增告警 3 条、事件 2 起，关闭事件 1 起，超时 0 起，尚未关闭 1 起。" && !strings.HasPrefix(city.Summary, "2026-11-25：新增告警 3 条、事件 2 起，关闭事件 1 起，") {
		t.Errorf("summary %q", city.Summary)
	}
	if !bytes.HasPrefix(city.PDF, []byte("%PDF-")) || !slices.Equal(city.Told, []string{"mail"}) {
		t.Errorf("%d bytes of PDF, told %v", len(city.PDF), city.Told)
	}
	says := text(t, city.DOCX)
	for _, want := range []string{"安全日报", "规则 a", "规则 b", "zhoumin", "web-01", "确认为真", "P1"} {
		if !strings.Contains(says, want) {
			t.Errorf("the city's report does not say %q", want)
		}
	}
	if tax := text(t, of("tax").DOCX); !strings.Contains(tax, "Rule a") || strings.Contains(tax, "Rule b") {
		t.Error("the tax bureau's report says what is not its own, or not what is")
	}

	// Who sees a part reads only what is about that part.
	if list, err := f.List(ctx, reach.Tenants("tax"), ""); err != nil || len(list) != 1 || list[0].Plan != "tax" {
		t.Errorf("the tax bureau lists %d: %v", len(list), err)
	}
	if _, err := f.Get(ctx, reach.Tenants("tax"), city.ID); !errors.Is(err, ErrNotFound) {
		t.Errorf("the tax bureau reads the city's: %v", err)
	}
	if _, err := f.Make(ctx, "li", reach.Tenants("tax"), "city", ""); !errors.Is(err, ErrNotFound) {
		t.Errorf("the tax bureau makes the city's: %v", err)
	}
	if r, err := f.Make(ctx, "li", reach.Tenants("tax"), "tax", "2026-11-24"); err != nil || r.Day != "2026-11-24" || r.Slot != "" || !strings.Contains(r.Summary, " 0 incidents opened") {
		t.Errorf("by hand: %+v %v", r, err)
	}
	if _, err := f.Make(ctx, "li", reach.All(), "tax", "tomorrow"); !errors.Is(err, ErrInvalid) {
		t.Errorf("of no day: %v", err)
	}
	files, err := Attachment(ctx, f.db, RefPrefix+city.ID)
	if err != nil || len(files) != 1 || files[0].Name != "icewatch-city-2026-11-25.pdf" || !bytes.Equal(files[0].Data, city.PDF) {
		t.Errorf("attached: %d %v", len(files), err)
	}
	if files, err := Attachment(ctx, f.db, RefPrefix+"gone"); err != nil || files != nil {
		t.Errorf("attached what is gone: %v %v", files, err)
	}
}

func TestPlans(t *testing.T) {
	if err := Default().Check(); err != nil {
		t.Fatal(err)
	}
	for want, change := range map[string]func(p *Plan){
		"reports[0].id":       func(p *Plan) { p.ID = "A b" },
		"reports[0].name":     func(p *Plan) { p.Name = "" },
		"reports[0].content":  func(p *Plan) { p.Content = "half" },
		"reports[0].language": func(p *Plan) { p.Language = "fr" },
		"reports[0].at:":      func(p *Plan) { p.At = []string{"08:00", "09:00"} },
		"reports[0].at[0]":    func(p *Plan) { p.At = []string{"8:00"} },
		"reports[0].zone":     func(p *Plan) { p.Zone = "Local" },
	} {
		p := Default()
		change(&p.Reports[0])
		if err := p.Check(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
	twice := Plans{Reports: slices.Repeat(Default().Reports, 2)}
	if err := twice.Check(); err == nil {
		t.Error(fmt.Sprint("two of one id are taken: ", twice))
	}
}
