// Package policy decides what a principal may do. The decision is a Rego policy
// (access.rego) that Open Policy Agent evaluates; it is part of the binary, so
// that nobody who may change detection rules can change it. What it decides on
// (operations, roles, grants, whether the three powers are apart) comes as data
// from the rooms that keep it.
package policy

import (
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/rego"
	"github.com/open-policy-agent/opa/v1/storage/inmem"
)

//go:embed access.rego
var module string

// ErrUnknownOperation says that the operation asked about does not exist.
var ErrUnknownOperation = errors.New("policy: there is no such operation")

// Operation is one thing the API can do.
type Operation struct {
	ID         string   `json:"id"`
	Scope      string   `json:"scope"`          // a scope of soc/identity, "any", or "public"
	Also       []string `json:"also,omitempty"` // other scopes whose holders may do it too: what one power keeps, another may have to look at
	Method     string   `json:"method"`
	Path       string   `json:"path"`
	Summary    string   `json:"summary,omitempty"`
	Tag        string   `json:"tag,omitempty"`
	Confinable bool     `json:"confinable,omitempty"` // a delegated administrator may do it in his part of the tree
}

// Role is what a role lets its holder do.
type Role struct {
	Scopes     []string `json:"scopes"`
	Operations []string `json:"operations"`
	Delegated  bool     `json:"delegated,omitempty"` // only in the holder's own unit and below
	Powers     []string `json:"powers"`              // filled by SetData: which of the three powers it reaches into
}

// Grant is a role that its holder has at times or in places only. What is not
// set does not bind.
type Grant struct {
	ID        string   `json:"id"`
	Role      string   `json:"role"`
	NotBefore int64    `json:"not_before,omitempty"` // Unix ms, inclusive
	NotAfter  int64    `json:"not_after,omitempty"`  // Unix ms, exclusive
	Weekdays  []int    `json:"weekdays,omitempty"`   // 1 is Monday, 7 Sunday
	From      *int     `json:"from,omitempty"`       // minute of the day in the server's time zone, inclusive
	To        *int     `json:"to,omitempty"`         // exclusive; less than From: over midnight
	Networks  []string `json:"networks,omitempty"`   // CIDRs the request must come from
}

// Limit bounds what a token may be used for.
type Limit struct {
	Scopes     []string `json:"scopes"`
	Operations []string `json:"operations"`
	Powers     []string `json:"powers"` // filled by Prepare
}

// Subject is who asks, as the policy sees it. Prepare it once and use it for
// many decisions.
type Subject struct {
	Roles   []string `json:"roles"`
	Grants  []Grant  `json:"grants"`
	Service bool     `json:"service,omitempty"` // a token without a user behind it: its limit is all it has
	Limit   *Limit   `json:"limit,omitempty"`   // of a token
}

// Prepared is a Subject in the policy's own terms. It remembers what was decided
// about it, as long as the data is the same.
type Prepared struct {
	value    ast.Value
	constant bool // neither the time nor the place of a request counts: there are no grants
	asked    atomic.Pointer[answers]
}

// answers are decisions about one subject on one state of the data: two for each
// operation, for a reach that is everything and one that is not. 0 is none.
type answers struct {
	on    uint64 // revision of the data
	known []atomic.Uint32
}

// The bits of an answer.
const (
	answered = 1 << iota
	allowed
	confinedTo
)

// answer is the place for a decision about a subject, nil where it has to be
// worked out each time.
func (c *compiled) answer(r *Request) *atomic.Uint32 {
	if !r.Subject.constant {
		return nil
	}
	a := r.Subject.asked.Load()
	if a == nil || a.on != c.revision {
		a = &answers{on: c.revision, known: make([]atomic.Uint32, 2*len(c.operations))}
		r.Subject.asked.Store(a)
	}
	n := 2 * c.places[r.Operation]
	if r.Everywhere {
		n++
	}
	return &a.known[n]
}

// Prepare turns the subject into terms.
func (s Subject) Prepare() (*Prepared, error) {
	if s.Limit != nil {
		l := *s.Limit
		l.Powers = powersOf(l.Scopes, nil, nil)
		s.Limit = &l
	}
	v, err := toValue(s)
	if err != nil {
		return nil, fmt.Errorf("policy: prepare the subject: %w", err)
	}
	return &Prepared{value: v, constant: len(s.Grants) == 0}, nil
}

// Data is everything the policy decides on beside the request itself.
type Data struct {
	Operations []Operation
	Roles      map[string]Role
	Separation bool     // the three powers are apart
	Admin      []string // what the scope admin stands for
}

// Request is one question.
type Request struct {
	Subject    *Prepared
	Operation  string
	Everywhere bool   // the subject's reach is all tenants, without condition
	Address    string // of the client; "" where it has none
	Time       time.Time
}

// Decision is the answer. Confined says that it holds for what belongs to the
// subject's own unit or those below it only.
type Decision struct {
	Allow    bool `json:"allow"`
	Confined bool `json:"confined"`
}

// Reason is one circumstance that spoke for or against.
type Reason struct {
	Code   string   `json:"code"`
	Role   string   `json:"role,omitempty"`
	Grant  string   `json:"grant,omitempty"`
	Roles  []string `json:"roles,omitempty"`  // those that would do
	Powers []string `json:"powers,omitempty"` // those held together
}

// Engine answers. It is safe for concurrent use; a change of the data takes
// effect with the next question.
type Engine struct {
	mu      sync.Mutex // one change at a time
	current atomic.Pointer[compiled]
}

type compiled struct {
	decision, reasons rego.PreparedEvalQuery
	operations        map[string]Operation
	places            map[string]int // of the operations among their answers
	revision          uint64         // another one for each, whichever engine it is of
}

var revisions atomic.Uint64

// New returns an engine that refuses everything until SetData is called.
func New() *Engine { return &Engine{} }

// SetData puts new data in force.
func (e *Engine) SetData(ctx context.Context, d Data) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	ops := make(map[string]Operation, len(d.Operations))
	data := map[string]any{}
	list := map[string]any{}
	for _, o := range d.Operations {
		ops[o.ID] = o
		list[o.ID] = map[string]any{"scope": o.Scope, "also": toAny(o.Also), "confinable": o.Confinable}
	}
	data["operations"] = list
	roles := map[string]any{}
	for id, r := range d.Roles {
		r.Powers = powersOf(expand(r.Scopes, d.Admin), r.Operations, ops)
		if r.Delegated {
			// Acting for one's own unit is no power over the suite.
			r.Powers = nil
		}
		v, err := roundTrip(r)
		if err != nil {
			return fmt.Errorf("policy: the role %q: %w", id, err)
		}
		roles[id] = v
	}
	data["roles"], data["separation"], data["admin"] = roles, d.Separation, toAny(d.Admin)
	table, err := tabulate(ctx, data)
	if err != nil {
		return err
	}
	data["table"] = table
	store := inmem.NewFromObjectWithOpts(data, inmem.OptReturnASTValuesOnRead(true))
	c := &compiled{operations: ops, revision: revisions.Add(1), places: make(map[string]int, len(ops))}
	for id := range ops {
		c.places[id] = len(c.places)
	}
	for query, into := range map[string]*rego.PreparedEvalQuery{"data.icewatch.access.decision": &c.decision, "data.icewatch.access.reasons": &c.reasons} {
		q, err := rego.New(rego.Query(query), rego.Module("access.rego", module), rego.Store(store)).PrepareForEval(ctx)
		if err != nil {
			return fmt.Errorf("policy: compile access.rego: %w", err)
		}
		*into = q
	}
	e.current.Store(c)
	return nil
}

// tabulate asks the policy which roles permit which operation.
func tabulate(ctx context.Context, data map[string]any) (any, error) {
	rs, err := rego.New(rego.Query("data.icewatch.access.table"), rego.Module("access.rego", module), rego.Store(inmem.NewFromObject(data))).Eval(ctx)
	if err != nil {
		return nil, fmt.Errorf("policy: tabulate the roles: %w", err)
	}
	if len(rs) != 1 || len(rs[0].Expressions) != 1 {
		return nil, errors.New("policy: tabulate the roles: the policy is undefined")
	}
	return rs[0].Expressions[0].Value, nil
}

// Decide answers one request. Whatever goes wrong is a refusal. What was decided
// before on the same data about the same subject is not worked out again, where
// nothing of it depends on when and whence it asks.
func (e *Engine) Decide(ctx context.Context, r Request) (Decision, error) {
	c := e.current.Load()
	if c == nil {
		return Decision{}, errors.New("policy: there is no data to decide on yet")
	}
	if _, known := c.operations[r.Operation]; !known {
		return Decision{}, fmt.Errorf("%w: %q", ErrUnknownOperation, r.Operation)
	}
	known := c.answer(&r)
	if known != nil {
		if is := known.Load(); is != 0 {
			return Decision{Allow: is&allowed != 0, Confined: is&confinedTo != 0}, nil
		}
	}
	rs, err := c.decision.Eval(ctx, rego.EvalParsedInput(r.input()))
	if err != nil {
		return Decision{}, fmt.Errorf("policy: decide on %s: %w", r.Operation, err)
	}
	if len(rs) != 1 || len(rs[0].Expressions) != 1 {
		return Decision{}, fmt.Errorf("policy: decide on %s: the policy is undefined", r.Operation)
	}
	m, _ := rs[0].Expressions[0].Value.(map[string]any)
	allow, _ := m["allow"].(bool)
	confined, _ := m["confined"].(bool)
	if known != nil {
		is := uint32(answered)
		if allow {
			is |= allowed
		}
		if confined {
			is |= confinedTo
		}
		known.Store(is)
	}
	return Decision{Allow: allow, Confined: confined}, nil
}

// Explain answers like Decide and says why.
func (e *Engine) Explain(ctx context.Context, r Request) (Decision, []Reason, error) {
	d, err := e.Decide(ctx, r)
	if err != nil {
		return d, nil, err
	}
	rs, err := e.current.Load().reasons.Eval(ctx, rego.EvalParsedInput(r.input()))
	if err != nil {
		return d, nil, fmt.Errorf("policy: explain %s: %w", r.Operation, err)
	}
	reasons := []Reason{}
	if len(rs) == 1 && len(rs[0].Expressions) == 1 {
		b, err := json.Marshal(rs[0].Expressions[0].Value)
		if err == nil {
			err = json.Unmarshal(b, &reasons)
		}
		if err != nil {
			return d, nil, fmt.Errorf("policy: explain %s: %w", r.Operation, err)
		}
	}
	slices.SortFunc(reasons, func(a, b Reason) int { return strings.Compare(a.Code+a.Role+a.Grant, b.Code+b.Role+b.Grant) })
	return d, reasons, nil
}

// Operations lists the operations known, by id.
func (e *Engine) Operations() []Operation {
	c := e.current.Load()
	if c == nil {
		return nil
	}
	out := make([]Operation, 0, len(c.operations))
	for _, o := range c.operations {
		out = append(out, o)
	}
	slices.SortFunc(out, func(a, b Operation) int { return strings.Compare(a.ID, b.ID) })
	return out
}

var (
	termSubject    = ast.InternedTerm("subject")
	termOperation  = ast.InternedTerm("operation")
	termEverywhere = ast.InternedTerm("everywhere")
	termAddress    = ast.InternedTerm("address")
	termNow        = ast.InternedTerm("now")
	termWeekday    = ast.InternedTerm("weekday")
	termMinute     = ast.InternedTerm("minute")
)

func (r Request) input() ast.Value {
	local := r.Time.Local()
	weekday := int(local.Weekday())
	if weekday == 0 {
		weekday = 7
	}
	return ast.NewObject(
		[2]*ast.Term{termSubject, ast.NewTerm(r.Subject.value)},
		[2]*ast.Term{termOperation, ast.StringTerm(r.Operation)},
		[2]*ast.Term{termEverywhere, ast.InternedTerm(r.Everywhere)},
		[2]*ast.Term{termAddress, ast.StringTerm(r.Address)},
		[2]*ast.Term{termNow, ast.IntNumberTerm(int(r.Time.UnixMilli()))},
		[2]*ast.Term{termWeekday, ast.InternedTerm(weekday)},
		[2]*ast.Term{termMinute, ast.InternedTerm(60*local.Hour() + local.Minute())},
	)
}

// powersOf tells which of the three powers scopes and operations reach into.
func powersOf(scopes, operations []string, ops map[string]Operation) []string {
	out := []string{}
	for _, p := range Powers {
		if slices.Contains(scopes, p) || slices.ContainsFunc(operations, func(id string) bool { return ops[id].Scope == p }) {
			out = append(out, p)
		}
	}
	return out
}

func expand(scopes, admin []string) []string {
	if !slices.Contains(scopes, ScopeAdmin) {
		return scopes
	}
	return append(slices.Clone(scopes), admin...)
}

func roundTrip(v any) (any, error) {
	b, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	var out any
	err = json.Unmarshal(b, &out)
	return out, err
}

func toAny(list []string) []any {
	out := make([]any, len(list))
	for i, s := range list {
		out[i] = s
	}
	return out
}

func toValue(v any) (ast.Value, error) {
	a, err := roundTrip(v)
	if err != nil {
		return nil, err
	}
	return ast.InterfaceToValue(a)
}
