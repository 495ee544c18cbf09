package ticketing

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/uptrace/bun"

	"icewatch/detections"
	"icewatch/soc/reach"
	"icewatch/ticketing/eventlevel"
	"icewatch/ticketing/generation"
)

// Attributes know what the CMDB's items say of themselves. It is asked outside of
// transactions.
type Attributes interface {
	Attribute(ctx context.Context, item, name string) (string, error)
}

// dataCategory is the attribute that names the category of an item's data.
const dataCategory = "data_category"

// maxEventAlerts is how many alerts of an event are looked at, the gravest first.
const maxEventAlerts = 500

type eventLevelRow struct {
	bun.BaseModel `bun:"table:ticketing_event_levels,alias:v"`
	Incident      string `bun:"incident,pk"`
	Level         int    `bun:"level"`
	Category      string `bun:"category"`
	Activity      string `bun:"activity"`
	Stamp         string `bun:"stamp"`
	JudgedAt      int64  `bun:"judged_at"`
	Doc           string `bun:"doc"`
}

type eventAnswerRow struct {
	bun.BaseModel `bun:"table:ticketing_event_answers,alias:w"`
	Incident      string `bun:"incident,pk"`
	Factor        string `bun:"factor,pk"`
	Answer        string `bun:"answer"`
	By            string `bun:"by"`
	At            int64  `bun:"at"`
}

// EventAnswer is what somebody answered of an event.
type EventAnswer struct {
	Factor string `json:"factor"`
	Answer string `json:"answer"`
	By     string `json:"by"`
	At     Time   `json:"at" format:"date-time"`
}

// EventQuestion is a factor that a person answers.
type EventQuestion struct {
	Factor  string          `json:"factor"`
	Name    detections.Text `json:"name"`
	Choices []EventChoice   `json:"choices" nullable:"false"`
}

// EventChoice is an answer that can be given.
type EventChoice struct {
	Key  string          `json:"key"`
	Name detections.Text `json:"name"`
}

// EventLevel is the level of a data-security event and why.
type EventLevel struct {
	Judged    bool             `json:"judged" doc:"The incident is a data-security event: it is about data of a level that counts, or somebody answered a factor"`
	Grade     eventlevel.Grade `json:"grade"`
	Category  string           `json:"category,omitempty" doc:"Category of the data, as the CMDB has it"`
	Activity  string           `json:"activity,omitempty" doc:"Key of the data-processing activity"`
	Doing     detections.Text  `json:"activity_name,omitzero"`
	JudgedAt  *Time            `json:"judged_at,omitempty" format:"date-time"`
	Answers   []EventAnswer    `json:"answers" nullable:"false"`
	Questions []EventQuestion  `json:"questions" nullable:"false" doc:"What people may answer"`
}

// stampOf tells from what an incident was judged: with another stamp it is judged
// anew.
func stampOf(i *incidentRow, terms string) string {
	return fmt.Sprintf("%d/%d/%d/%d/%d/%s", i.LastSeen, i.AlertCount, i.Severity, i.DataLevel, i.Verdict, terms)
}

const stampExpr = `CAST(i.last_seen AS TEXT) || '/' || CAST(i.alert_count AS TEXT) || '/' || CAST(i.severity AS TEXT) || '/' || CAST(i.data_level AS TEXT) || '/' || CAST(i.verdict AS TEXT) || '/' || ?`

// termsID stands for a table of factors.
func termsID(t eventlevel.Terms) (string, error) {
	doc, err := json.Marshal(t)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(doc)
	return hex.EncodeToString(sum[:6]), nil
}

// maxEventsAtOnce bounds how many events are judged between two looks at what else
// is due.
const maxEventsAtOnce = 100

// judgeEvents grades the open incidents that are data-security events and that
// have changed since they were graded, or that the table has changed for.
func (s *Service) judgeEvents(ctx context.Context) (more bool, err error) {
	if s.eventTerms == nil {
		return false, nil
	}
	terms := s.eventTerms()
	id, err := termsID(terms)
	if err != nil {
		return false, err
	}
	var ids []string
	err = s.db.NewSelect().Model((*incidentRow)(nil)).Column("i.id").Join("LEFT JOIN ticketing_event_levels AS v ON v.incident = i.id").
		Where("i.status <> ?", StatusClosed).Where("(i.data_level >= ? OR v.incident IS NOT NULL)", terms.From).
		Where("(v.stamp IS NULL OR v.stamp <> "+stampExpr+")", id).OrderExpr("i.last_seen").Limit(maxEventsAtOnce).Scan(ctx, &ids)
	if err != nil {
		return false, fmt.Errorf("look for data-security events: %w", err)
	}
	var failed error
	for _, one := range ids {
		if err := s.judgeEvent(ctx, one, terms, id, ""); err != nil {
			failed = errors.Join(failed, err)
		}
	}
	return len(ids) == maxEventsAtOnce, failed
}

// judgeEvent grades one incident. by is who made it change; "" for the suite.
func (s *Service) judgeEvent(ctx context.Context, id string, terms eventlevel.Terms, termsID, by string) error {
	i := &incident{}
	if err := s.db.NewSelect().Model(&i.incidentRow).Where("id = ?", id).Scan(ctx); err != nil {
		return fmt.Errorf("read incident %s: %w", id, err)
	}
	if err := i.unpack(); err != nil {
		return err
	}
	var rows []alertRow
	if err := s.db.NewSelect().Model(&rows).Where("incident_id = ?", id).OrderExpr("severity DESC, first_seen, id").Limit(maxEventAlerts).Scan(ctx); err != nil {
		return fmt.Errorf("read the alerts of %s: %w", id, err)
	}
	alerts := make([]*alert, 0, len(rows))
	for _, r := range rows {
		a := &alert{alertRow: r}
		if err := a.unpack(); err != nil {
			return err
		}
		alerts = append(alerts, a)
	}
	answers, err := s.answersOf(ctx, s.db, id)
	if err != nil {
		return err
	}
	var failed error
	attribute := func(name string) (out []string) {
		if s.attributes == nil {
			return nil
		}
		seen := map[string]bool{"": true}
		for _, a := range alerts {
			for _, item := range []string{a.CIID, a.SystemID} {
				if seen[item] {
					continue
				}
				seen[item] = true
				v, err := s.attributes.Attribute(ctx, item, name)
				failed = errors.Join(failed, err)
				if v != "" && !slices.Contains(out, v) {
					out = append(out, v)
				}
			}
		}
		return out
	}
	counted := func(of func(a *alert) string) []string {
		seen := map[string]bool{}
		for _, a := range alerts {
			if v := of(a); v != "" {
				seen[v] = true
			}
		}
		return []string{strconv.Itoa(len(seen))}
	}
	grade := terms.Judge(func(f eventlevel.Factor) []string {
		switch f.Source {
		case eventlevel.DataLevel:
			return generation.DataLevel(i.DataLevel)
		case eventlevel.Severity:
			return []string{strconv.Itoa(i.Severity), string(severityOf(i.Severity))}
		case eventlevel.Verdict:
			return []string{string(verdictOf(i.Verdict))}
		case eventlevel.Alerts:
			return []string{strconv.Itoa(i.AlertCount)}
		case eventlevel.Items:
			return counted(func(a *alert) string { return a.CIID })
		case eventlevel.Systems:
			return counted(func(a *alert) string { return a.SystemID })
		case eventlevel.Field:
			var out []string
			for _, a := range alerts {
				if v := a.doc.Fields[f.Of]; v != "" && !slices.Contains(out, v) {
					out = append(out, v)
				}
			}
			return out
		case eventlevel.Attribute:
			return attribute(f.Of)
		case eventlevel.Answer:
			for _, w := range answers {
				if w.Factor == f.Key {
					return []string{w.Answer}
				}
			}
		}
		return nil
	})
	row := eventLevelRow{Incident: id, Level: grade.Level, Stamp: stampOf(&i.incidentRow, termsID), JudgedAt: s.now().UnixMilli()}
	if categories := attribute(dataCategory); len(categories) > 0 {
		row.Category = categories[0]
	}
	row.Activity = activityOf(terms, alerts)
	if failed != nil {
		return fmt.Errorf("grade incident %s: %w", id, failed)
	}
	doc, err := json.Marshal(grade)
	if err != nil {
		return err
	}
	row.Doc = string(doc)
	return s.write(ctx, func(ctx context.Context, tx bun.Tx) error {
		var before eventLevelRow
		known, err := tx.NewSelect().Model((*eventLevelRow)(nil)).Where("incident = ?", id).Exists(ctx)
		if err == nil && known {
			err = tx.NewSelect().Model(&before).Where("incident = ?", id).Scan(ctx)
		}
		if err != nil {
			return fmt.Errorf("read the level of %s: %w", id, err)
		}
		if _, err := tx.NewInsert().Model(&row).On("CONFLICT (incident) DO UPDATE").Set("level = EXCLUDED.level, category = EXCLUDED.category, activity = EXCLUDED.activity, stamp = EXCLUDED.stamp, judged_at = EXCLUDED.judged_at, doc = EXCLUDED.doc").Returning("NULL").Exec(ctx); err != nil {
			return fmt.Errorf("write the level of %s: %w", id, err)
		}
		if known && before.Level == row.Level {
			return nil
		}
		said := detections.Text{ZH: "数据安全事件级别：" + firstOf(grade.Name.ZH, grade.Name.EN), EN: "Level of the data-security event: " + firstOf(grade.Name.EN, grade.Name.ZH)}
		if known && before.Level <= len(terms.Levels) && before.Level > 0 {
			was := terms.Levels[before.Level-1].Name
			said = detections.Text{ZH: "数据安全事件级别由" + firstOf(was.ZH, was.EN) + "改为" + firstOf(grade.Name.ZH, grade.Name.EN), EN: "Level of the data-security event: " + firstOf(grade.Name.EN, grade.Name.ZH) + " in place of " + firstOf(was.EN, was.ZH)}
		}
		return saveTimeline(ctx, tx, []timelineRow{entry(id, s.now(), "level", cmp.Or(by, SystemActor), said, map[string]any{"level": grade.Level, "score": grade.Score})})
	})
}

// activityOf is the first of the activities that an alert meets, the gravest alert
// first; within one alert the table's order counts.
func activityOf(terms eventlevel.Terms, alerts []*alert) string {
	policy := generation.RaisingPolicy{}
	for _, a := range terms.Activities {
		policy.Periods = append(policy.Periods, generation.RaisingPeriod{Name: a.Key, When: a.When, Mode: generation.Once})
	}
	p, err := policy.Compile(time.UTC)
	if err != nil {
		return "" // the setting was checked
	}
	for _, a := range alerts {
		if d, is := p.Period(a.Tenant, a.generates); is {
			return d.Name
		}
	}
	return ""
}

func (s *Service) answersOf(ctx context.Context, db bun.IDB, id string) ([]eventAnswerRow, error) {
	var rows []eventAnswerRow
	if err := db.NewSelect().Model(&rows).Where("incident = ?", id).OrderExpr("factor").Scan(ctx); err != nil {
		return nil, fmt.Errorf("read the answers of %s: %w", id, err)
	}
	return rows, nil
}

// EventLevel tells the level of an incident within reach as a data-security event.
// Whoever does not see all of it is told no values.
func (s *Service) EventLevel(ctx context.Context, r reach.Reach, id string) (EventLevel, error) {
	out := EventLevel{Answers: []EventAnswer{}, Questions: []EventQuestion{}, Grade: eventlevel.Grade{Reasons: []eventlevel.Reason{}}}
	if s.eventTerms == nil {
		return out, fmt.Errorf("incident %q: %w", id, ErrNotFound)
	}
	d, err := s.Incident(ctx, r, id)
	if err != nil {
		return out, err
	}
	terms := s.eventTerms()
	for _, f := range terms.Factors {
		if f.Source != eventlevel.Answer {
			continue
		}
		q := EventQuestion{Factor: f.Key, Name: f.Name, Choices: []EventChoice{}}
		for _, st := range f.Steps {
			q.Choices = append(q.Choices, EventChoice{Key: st.Is, Name: st.Name})
		}
		out.Questions = append(out.Questions, q)
	}
	answers, err := s.answersOf(ctx, s.db, id)
	if err != nil {
		return out, fmt.Errorf("ticketing: %w", err)
	}
	for _, w := range answers {
		out.Answers = append(out.Answers, EventAnswer{Factor: w.Factor, Answer: w.Answer, By: w.By, At: at(w.At)})
	}
	var rows []eventLevelRow
	if err := s.db.NewSelect().Model(&rows).Where("incident = ?", id).Scan(ctx); err != nil {
		return out, fmt.Errorf("ticketing: read the level of %s: %w", id, err)
	}
	if len(rows) == 0 {
		return out, nil
	}
	row := rows[0]
	if err := json.Unmarshal([]byte(row.Doc), &out.Grade); err != nil {
		return out, fmt.Errorf("ticketing: read the level of %s: %w", id, err)
	}
	judged := at(row.JudgedAt)
	out.Judged, out.Category, out.Activity, out.JudgedAt = true, row.Category, row.Activity, &judged
	for _, a := range terms.Activities {
		if a.Key == row.Activity {
			out.Doing = a.Name
		}
	}
	whole, veil := r.CoversWhole(d.Tenant), r.Veil()
	for n := range out.Grade.Reasons {
		reason := &out.Grade.Reasons[n]
		f, _ := terms.Factor(reason.Factor)
		switch {
		case !whole || veil != nil && f.Source == eventlevel.Attribute:
			reason.Value = ""
		case f.Source == eventlevel.Field:
			reason.Value = veil.Value(f.Of, reason.Value)
		}
	}
	if !whole {
		out.Category = ""
	}
	return out, nil
}

// AnswerEvent notes what somebody answers of an incident, or takes the answer back
// where it is empty, and grades it anew.
func (s *Service) AnswerEvent(ctx context.Context, by Actor, id, factor, answer string) (EventLevel, error) {
	if s.eventTerms == nil {
		return EventLevel{}, fmt.Errorf("incident %q: %w", id, ErrNotFound)
	}
	terms := s.eventTerms()
	f, ok := terms.Factor(factor)
	if !ok || f.Source != eventlevel.Answer {
		return EventLevel{}, fmt.Errorf("%w: factor: %.40q is none that people answer", ErrInvalid, factor)
	}
	at := slices.IndexFunc(f.Steps, func(st eventlevel.Step) bool { return st.Is == answer })
	if answer != "" && at < 0 {
		return EventLevel{}, fmt.Errorf("%w: answer: %.40q is none of those of %s", ErrInvalid, answer, factor)
	}
	_, err := s.oneIncident(ctx, by, id, "level", factor+"="+answer, func(ctx context.Context, tx bun.Tx, i *incident, now time.Time) ([]timelineRow, error) {
		if i.Status == StatusClosed {
			return nil, incidentConflict(i, "graded")
		}
		if answer == "" {
			_, err := tx.NewDelete().Model((*eventAnswerRow)(nil)).Where("incident = ? AND factor = ?", id, factor).Exec(ctx)
			return []timelineRow{entry(id, now, "level", by.Name, detections.Text{ZH: firstOf(f.Name.ZH, f.Name.EN) + "：撤回答复", EN: firstOf(f.Name.EN, f.Name.ZH) + ": the answer is taken back"}, map[string]any{"factor": factor})}, err
		}
		row := eventAnswerRow{Incident: id, Factor: factor, Answer: answer, By: by.Name, At: now.UnixMilli()}
		if _, err := tx.NewInsert().Model(&row).On("CONFLICT (incident, factor) DO UPDATE").Set("answer = EXCLUDED.answer, by = EXCLUDED.by, at = EXCLUDED.at").Returning("NULL").Exec(ctx); err != nil {
			return nil, fmt.Errorf("write the answer: %w", err)
		}
		means := f.Steps[at].Name
		return []timelineRow{entry(id, now, "level", by.Name, detections.Text{ZH: firstOf(f.Name.ZH, f.Name.EN) + "：" + firstOf(means.ZH, means.EN), EN: firstOf(f.Name.EN, f.Name.ZH) + ": " + firstOf(means.EN, means.ZH)},
			map[string]any{"factor": factor, "answer": answer})}, nil
	})
	if err != nil {
		return EventLevel{}, err
	}
	terms = s.eventTerms()
	stamp, err := termsID(terms)
	if err == nil {
		err = s.judgeEvent(ctx, id, terms, stamp, by.Name)
	}
	if err != nil {
		return EventLevel{}, fmt.Errorf("ticketing: %w", err)
	}
	return s.EventLevel(ctx, by.Reach, id)
}
