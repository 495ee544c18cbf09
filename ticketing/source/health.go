package source

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/uptrace/bun"

	"icewatch/detections"
)

// The states of a source.
const (
	StateOK       = "ok"
	StateIdle     = "idle"     // nothing came yet
	StateSilent   = "silent"   // longer without a message than is usual
	StateError    = "error"    // what fetches it fails
	StateWrong    = "unmapped" // the last message could not be mapped as a whole
	StateDisabled = "disabled"
	StateBroken   = "broken" // its template or mapping does not work any more
)

// Health is how a source fares.
type Health struct {
	State        string     `json:"state" enum:"ok,idle,silent,error,unmapped,disabled,broken"`
	Messages     int64      `json:"messages"`
	Alerts       int64      `json:"alerts" doc:"That fired or ended, repetitions included"`
	Failed       int64      `json:"failed" doc:"Messages of which something could not be mapped"`
	Discarded    int64      `json:"discarded" doc:"Alerts that corrections left out"`
	DeadLetters  int64      `json:"dead_letters" doc:"Messages that wait to be replayed"`
	Dropped      int64      `json:"dropped" doc:"Dead letters that gave way to newer ones"`
	Firing       int64      `json:"firing" doc:"Alerts that fire now"`
	LastAt       *time.Time `json:"last_at,omitempty" doc:"Of the last message"`
	FailedAt     *time.Time `json:"failed_at,omitempty"`
	Error        string     `json:"error,omitempty"`
	Every        float64    `json:"every_seconds,omitempty" doc:"Usual seconds between messages, as learnt"`
	SilentAfter  float64    `json:"silent_after_seconds,omitempty" doc:"When it counts as silent; absent where it never does, or too little is known"`
	RunningSince *time.Time `json:"running_since,omitempty" doc:"Of a source that fetches: since when it runs without a fault"`
}

type healthRow struct {
	bun.BaseModel `bun:"table:alert_source_health,alias:h"`

	Source    string  `bun:"source,pk"`
	Messages  int64   `bun:"messages"`
	Alerts    int64   `bun:"alerts"`
	Failed    int64   `bun:"failed"`
	Discarded int64   `bun:"discarded"`
	Dropped   int64   `bun:"dropped"`
	LastAt    int64   `bun:"last_at"`
	FailedAt  int64   `bun:"failed_at"`
	Error     string  `bun:"error"`
	Gap       float64 `bun:"gap"`
	Learnt    int64   `bun:"learnt"`
	Place     string  `bun:"place"`
}

// Learning the rhythm: how fast the usual gap follows, and how many gaps have to
// be seen before silence means something.
const (
	learning   = 1.0 / 16
	leastGaps  = 10
	usualGaps  = 10        // that a source may be late
	leastQuiet = time.Hour // however often it sends
)

// count counts a message.
func (h *healthRow) count(m *mapped) {
	at := m.at.UnixMilli()
	if h.LastAt > 0 && at > h.LastAt {
		gap := float64(at - h.LastAt)
		h.Learnt++
		h.Gap += (gap - h.Gap) * math.Max(learning, 1/float64(h.Learnt))
	}
	h.Messages++
	h.Alerts += int64(len(m.outcome.Alerts))
	h.Discarded += int64(len(m.outcome.Discarded))
	h.LastAt = max(h.LastAt, at)
	if m.state() == StateFailed {
		h.Failed++
		h.FailedAt, h.Error = at, clip(m.reasons[0], 500)
	}
}

func (h *healthRow) save(ctx context.Context, tx bun.Tx) error {
	if _, err := tx.NewUpdate().Model(h).ExcludeColumn("place", "dropped").WherePK().Exec(ctx); err != nil {
		return fmt.Errorf("note how it fares: %w", err)
	}
	return nil
}

// known is what SQL knows of a source's health.
type knownHealth struct {
	healthRow
	dead, firing int64
}

func (s *Service) healths(ctx context.Context) (map[string]knownHealth, error) {
	var rows []healthRow
	if err := s.db.NewSelect().Model(&rows).Scan(ctx); err != nil {
		return nil, fmt.Errorf("source: read how the sources fare: %w", err)
	}
	out := make(map[string]knownHealth, len(rows))
	for _, r := range rows {
		out[r.Source] = knownHealth{healthRow: r}
	}
	var dead, firing []struct {
		Source string
		N      int64
	}
	if err := s.db.NewSelect().Model((*messageRow)(nil)).ColumnExpr("source, count(*) AS n").Where("state = ?", StateFailed).GroupExpr("source").Scan(ctx, &dead); err != nil {
		return nil, fmt.Errorf("source: count the dead letters: %w", err)
	}
	if err := s.db.NewSelect().Model((*alertRow)(nil)).ColumnExpr("source, count(*) AS n").Where("over < firing").GroupExpr("source").Scan(ctx, &firing); err != nil {
		return nil, fmt.Errorf("source: count the alerts that fire: %w", err)
	}
	for _, d := range dead {
		h := out[d.Source]
		h.dead = d.N
		out[d.Source] = h
	}
	for _, f := range firing {
		h := out[f.Source]
		h.firing = f.N
		out[f.Source] = h
	}
	return out, nil
}

// judge says how a source fares.
func (s *Service) judge(one *source, k knownHealth) Health {
	h := Health{State: StateOK, Messages: k.Messages, Alerts: k.Alerts, Failed: k.Failed, Discarded: k.Discarded, Dropped: k.Dropped, DeadLetters: k.dead, Firing: k.firing, Error: k.Error, Every: math.Round(k.Gap) / 1000}
	stamp := func(ms int64) *time.Time {
		if ms == 0 {
			return nil
		}
		t := time.UnixMilli(ms).UTC()
		return &t
	}
	h.LastAt, h.FailedAt = stamp(k.LastAt), stamp(k.FailedAt)
	after, never, _ := one.content.silence()
	if after == 0 && !never && k.Learnt >= leastGaps {
		after = max(leastQuiet, time.Duration(usualGaps*k.Gap)*time.Millisecond)
	}
	h.SilentAfter = after.Seconds()
	running := s.byID(one.ID)
	task := s.taskOf(one.ID)
	var since time.Time
	var fault string
	if task != nil {
		since, fault = task.status()
		if !since.IsZero() {
			h.RunningSince = &since
		}
	}
	switch {
	case !one.Enabled:
		h.State = StateDisabled
	case running != nil && running.broken != nil:
		h.State, h.Error = StateBroken, running.broken.Error()
	case fault != "":
		h.State, h.Error = StateError, fault
	case after > 0 && s.now().Sub(time.UnixMilli(max(k.LastAt, one.UpdatedAt))) > after:
		h.State = StateSilent
	case k.Messages == 0:
		h.State = StateIdle
	case k.Error != "":
		h.State = StateWrong
	}
	return h
}

// alarms are what people have to know of the sources now.
func (s *Service) alarms(ctx context.Context) ([]Alarm, error) {
	health, err := s.healths(ctx)
	if err != nil {
		return nil, err
	}
	out := []Alarm{}
	s.mu.RLock()
	list := make([]*source, 0, len(s.sources))
	for _, one := range s.sources {
		list = append(list, one)
	}
	s.mu.RUnlock()
	slices.SortFunc(list, byName)
	for _, one := range list {
		h := s.judge(one, health[one.ID])
		a := Alarm{Fields: map[string]string{"source": one.Name, "tenant": one.Tenant, "dead_letters": strconv.FormatInt(h.DeadLetters, 10)}}
		switch h.State {
		case StateSilent:
			a.Kind = "alert-source-silent"
			last := "从未收到"
			lastEN := "nothing ever came"
			if h.LastAt != nil {
				last, lastEN = "最后一条 "+h.LastAt.Local().Format(time.DateTime), "the last message came at "+h.LastAt.Format(time.RFC3339)
			}
			a.Detail = detections.Text{ZH: fmt.Sprintf("告警源 %s 静默：%s，超过 %s", one.Name, last, time.Duration(h.SilentAfter)*time.Second), EN: fmt.Sprintf("The alert source %s is silent: %s, longer ago than %s", one.Name, lastEN, time.Duration(h.SilentAfter)*time.Second)}
		case StateError, StateBroken:
			a.Kind = "alert-source-error"
			a.Detail = detections.Text{ZH: fmt.Sprintf("告警源 %s 无法工作：%s", one.Name, h.Error), EN: fmt.Sprintf("The alert source %s does not work: %s", one.Name, h.Error)}
		case StateWrong:
			a.Kind = "alert-source-dead"
			a.Detail = detections.Text{ZH: fmt.Sprintf("告警源 %s 的消息无法映射（待处理 %d 条）：%s", one.Name, h.DeadLetters, h.Error), EN: fmt.Sprintf("Messages of the alert source %s cannot be mapped (%d wait): %s", one.Name, h.DeadLetters, h.Error)}
		default:
			continue
		}
		a.Key = a.Kind + "/" + one.ID
		out = append(out, a)
	}
	return out, nil
}

// byName orders sources by name, those of one name by id.
func byName(a, b *source) int {
	return cmp.Or(strings.Compare(a.Name, b.Name), strings.Compare(a.ID, b.ID))
}

// WriteMetrics prints how the sources fare, for Prometheus.
func (s *Service) WriteMetrics(ctx context.Context, w io.Writer) error {
	health, err := s.healths(ctx)
	if err != nil {
		return err
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	for _, one := range slices.SortedFunc(maps.Values(s.sources), byName) {
		h := health[one.ID]
		print := func(name string, v any) {
			fmt.Fprintf(w, "icewatch_alert_source_%s{source=%q,kind=%q} %v\n", name, one.Name, one.content.Kind, v)
		}
		print("messages_total", h.Messages)
		print("alerts_total", h.Alerts)
		print("unmapped_messages_total", h.Failed)
		print("discarded_alerts_total", h.Discarded)
		print("dead_letters", h.dead)
		print("firing_alerts", h.firing)
		print("last_message_timestamp_seconds", float64(h.LastAt)/1000)
	}
	return nil
}
