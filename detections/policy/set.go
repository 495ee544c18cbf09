package policy

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/metrics"
	"github.com/open-policy-agent/opa/v1/topdown"

	"icewatch/detections"
)

// The packages that are asked, and the rule in each that answers.
const (
	priorityPackage = "data.icewatch.priority"
	incidentPackage = "data.icewatch.incident"
	answerRule      = ".decision"
)

const (
	evalTimeout  = time.Second // a policy that takes longer is broken
	cacheEntries = 8192
	maxReasons   = 32
	maxLabels    = 16
	maxText      = 1024 // bytes of one reason, in one language
)

// Set holds the prepared queries. It is immutable but for its cache and
// counters, and safe for concurrent use.
type Set struct {
	priority *query
	incident *query
	packages []Package
	record   func(*Record) // may be nil

	mu    sync.Mutex
	cache map[string]Judgement

	read readings // of the incident policy

	stats stats
}

func newSet() *Set { return &Set{cache: map[string]Judgement{}} }

type stats struct{ decisions, cached, failed, nanos atomic.Int64 }

// Stats counts what a set was asked since it is in force.
type Stats struct {
	Decisions int64         `json:"decisions" doc:"That Rego was asked for"`
	Cached    int64         `json:"cached" doc:"Answered from an equal question before"`
	Failed    int64         `json:"failed"`
	Took      time.Duration `json:"took" doc:"All decisions together, nanoseconds"`
}

// Stats returns the counters.
func (s *Set) Stats() Stats {
	return Stats{Decisions: s.stats.decisions.Load(), Cached: s.stats.cached.Load(), Failed: s.stats.failed.Load(), Took: time.Duration(s.stats.nanos.Load())}
}

// Packages lists the packages in force, by name.
func (s *Set) Packages() []Package { return s.packages }

// ask evaluates a query; read takes the answer apart.
// watch, where it is not nil, learns what of the input was read.
func (s *Set) ask(ctx context.Context, q *query, input *ast.Term, watch *watch, read func(*answer)) error {
	begun := time.Now()
	err := q.eval(ctx, input, watch, read)
	s.stats.decisions.Add(1)
	s.stats.nanos.Add(int64(time.Since(begun)))
	if err != nil {
		s.stats.failed.Add(1)
		return fmt.Errorf("policy %s: %w", q.name, err)
	}
	return nil
}

func (q *query) eval(ctx context.Context, input *ast.Term, watch *watch, read func(*answer)) error {
	txn, err := q.store.NewTransaction(ctx)
	if err != nil {
		return fmt.Errorf("read its data: %w", err)
	}
	defer q.store.Abort(ctx, txn)
	cancel := topdown.NewCancel()
	late := time.AfterFunc(evalTimeout, cancel.Cancel)
	defer late.Stop()
	defer context.AfterFunc(ctx, cancel.Cancel)()

	var found *ast.Term
	asked := topdown.NewQuery(q.body).WithCompiler(q.compiler).WithInput(input).WithStore(q.store).WithTransaction(txn).WithCancel(cancel).WithMetrics(metrics.NoOp())
	if watch != nil {
		asked = asked.WithIndexing(false).WithQueryTracer(watch)
	}
	err = asked.
		Iter(ctx, func(r topdown.QueryResult) error {
			found = r[answerVar]
			return nil
		})
	switch {
	case topdown.IsCancel(err) && ctx.Err() != nil:
		return ctx.Err()
	case topdown.IsCancel(err):
		return fmt.Errorf("took longer than %v", evalTimeout)
	case err != nil:
		return err
	case found == nil:
		return errors.New("decision is undefined for this input")
	}
	a := answerOf(found)
	if read(a); a.err != nil {
		return fmt.Errorf("decision has the wrong shape: %w", a.err)
	}
	return nil
}

// Priority judges an alert: how urgent it is, and the rest of a Judgement.
// Where the policy fails to answer, the error says why and the priority follows
// the rule's level alone, for a security alert must not wait for a policy.
//
// The same question is answered from memory as long as the policy's answer
// depends on its input alone; of the alert only what the policy reads counts.
func (s *Set) Priority(ctx context.Context, a Alert) (Judgement, error) {
	q := s.priority
	if q == nil {
		return fallback(&a, fmt.Errorf("policy icewatch.priority: %w", errNoPolicy))
	}
	a = a.normal()
	var room [256]byte
	key := q.shape.key(room[:0], &a)
	if q.pure {
		s.mu.Lock()
		hit, ok := s.cache[string(key)]
		s.mu.Unlock()
		if ok {
			s.stats.cached.Add(1)
			if hit.Priority != a.Priority && s.record != nil {
				s.tell(q, &a, q.shape.term(&a), hit, nil, 0)
			}
			return hit, nil
		}
	}
	var j Judgement
	begun, input := time.Now(), q.shape.term(&a)
	err := s.ask(ctx, q, input, nil, func(a *answer) {
		j = Judgement{Priority: a.text(keyPriority), Verdict: a.text(keyVerdict), Muted: a.yes(keyMuted), Labels: a.labels(), Reasons: a.reasons()}
	})
	if err == nil {
		err = j.check()
	}
	if err != nil {
		j, err = fallback(&a, err)
	}
	if s.record != nil {
		s.tell(q, &a, input, j, err, time.Since(begun))
	}
	if err == nil && q.pure {
		s.mu.Lock()
		if len(s.cache) >= cacheEntries {
			clear(s.cache)
		}
		s.cache[string(key)] = j
		s.mu.Unlock()
	}
	return j, err
}

var errNoPolicy = errors.New("there is none")

// tryPriority and tryIncident ask once, to see whether there is an answer of
// the right shape.
func (s *Set) tryPriority() error {
	_, err := s.Priority(context.Background(), probe)
	return err
}

func (s *Set) tryIncident() error {
	_, err := s.Incident(context.Background(), IncidentInput{Alert: probe})
	return err
}

// Priorities and verdicts that a policy may answer.
var (
	priorities = []string{"P1", "P2", "P3", "P4"}
	verdicts   = []string{"", "attempt", "failed", "success", "compromised"}
)

// check says what is wrong with a judgement.
func (j *Judgement) check() error {
	if !slices.Contains(priorities, j.Priority) {
		return fmt.Errorf("policy icewatch.priority: priority %q is not P1 to P4", j.Priority)
	}
	if !slices.Contains(verdicts, j.Verdict) {
		return fmt.Errorf("policy icewatch.priority: verdict %q is not attempt, failed, success, compromised or empty", j.Verdict)
	}
	if len(j.Labels) > maxLabels {
		return fmt.Errorf("policy icewatch.priority: %d labels: %d at most", len(j.Labels), maxLabels)
	}
	for name := range j.Labels {
		if !labelName(name) {
			return fmt.Errorf("policy icewatch.priority: label %q: a name is letters, digits and _, and begins with no digit", name)
		}
	}
	return nil
}

func labelName(s string) bool {
	for i, r := range s {
		if r != '_' && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (i == 0 || r < '0' || r > '9') {
			return false
		}
	}
	return s != "" && len(s) <= 64
}

// clip cuts a text at a letter's border.
func clip(s string) string {
	if len(s) <= maxText {
		return s
	}
	for i := range s {
		if i > maxText-3 {
			return s[:i] + "…"
		}
	}
	return s
}

func fallback(a *Alert, err error) (Judgement, error) {
	priority := "P4"
	switch a.Rule.Level {
	case detections.Critical:
		priority = "P1"
	case detections.High:
		priority = "P2"
	case detections.Medium:
		priority = "P3"
	}
	return Judgement{Priority: priority, Reasons: []detections.Text{{
		ZH: "优先级策略未能给出结果，按规则级别取 " + priority + "。",
		EN: "The priority policy gave no answer; " + priority + " follows from the rule's level.",
	}}}, err
}

// Incident answers whether an alert makes an incident. On an error nothing
// opens or joins. A question that agrees with an earlier one in all that the
// policy read then is answered from memory; see readings.
func (s *Set) Incident(ctx context.Context, in IncidentInput) (Decision, error) {
	if s.incident == nil {
		return Decision{}, fmt.Errorf("policy icewatch.incident: %w", errNoPolicy)
	}
	var d Decision
	begun := time.Now()
	plain, told := in.Alert.normal(), storyOf(&in)
	var watching *watch
	if s.incident.pure {
		known, met, watchIt := s.read.find(&plain, &told)
		if met && !known.deep {
			s.stats.cached.Add(1)
			if known.Open && s.record != nil {
				s.tell(s.incident, &in.Alert, in.term(&plain, &told), known.Decision, nil, 0)
			}
			return known.Decision, nil
		}
		if watchIt {
			watching = &watch{paths: map[[3]string]bool{}}
		}
	}
	input := in.term(&plain, &told)
	err := s.ask(ctx, s.incident, input, watching, func(a *answer) {
		d = Decision{Open: a.yes(keyOpen), Join: a.yes(keyJoin), Severity: detections.Level(a.text(keySeverity)), Priority: a.text(keyPriority), Reasons: a.reasons()}
	})
	switch {
	case err != nil:
		d = Decision{}
	case d.Priority != "" && !slices.Contains(priorities, d.Priority):
		d, err = Decision{}, fmt.Errorf("policy icewatch.incident: priority %q is not P1 to P4 or empty", d.Priority)
	case d.Severity != "" && !slices.Contains(detections.Levels, d.Severity):
		d, err = Decision{}, fmt.Errorf("policy icewatch.incident: severity %q is not %v or empty", d.Severity, detections.Levels)
	}
	if watching != nil && err == nil {
		got := remembered{deep: watching.deep}
		if !got.deep {
			got.Decision = d
		}
		s.read.keep(watching, &plain, &told, got)
	}
	if s.record != nil && (err != nil || d.Open) {
		s.tell(s.incident, &in.Alert, input, d, err, time.Since(begun))
	}
	return d, err
}

// digest is how a text is told from another where it has no other name.
func digest(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:8])
}
