package policy

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/open-policy-agent/opa/v1/ast"
)

// Record is a decision that was made, for a log of them: each that was worked
// out anew, each that changed an alert, and of the incident policy's those that
// open an incident or failed.
type Record struct {
	ID       string
	At       time.Time
	Path     string // icewatch/priority/decision
	Package  string // icewatch.priority
	Revision string
	Tenant   string
	Alert    string // id of the alert it is about
	Result   any    // Judgement or Decision
	Err      error  // why the result is not the policy's own
	Took     time.Duration
	Cached   bool // answered from an equal question before

	input ast.Value
}

func (s *Set) tell(q *query, a *Alert, input *ast.Term, result any, err error, took time.Duration) {
	s.record(&Record{ID: uuid.NewString(), At: time.Now().UTC(), Path: q.path, Package: q.name, Revision: q.revision, Tenant: a.Tenant, Alert: a.ID,
		Result: result, Err: err, Took: took, Cached: took == 0, input: input.Value})
}

// Event is a decision in the format of OPA's decision logs, with what is ours
// under custom.
type Event struct {
	Labels     map[string]string `json:"labels"`
	DecisionID string            `json:"decision_id"`
	Bundles    map[string]Bundle `json:"bundles"`
	Path       string            `json:"path"`
	Input      any               `json:"input"`
	Result     any               `json:"result,omitempty"`
	Erased     []string          `json:"erased,omitempty"`
	Masked     []string          `json:"masked,omitempty"`
	Error      string            `json:"error,omitempty"`
	Timestamp  time.Time         `json:"timestamp"`
	Metrics    map[string]int64  `json:"metrics"`
	Custom     Custom            `json:"custom"`
}

// Bundle names the state of the policy that decided.
type Bundle struct {
	Revision string `json:"revision"`
}

// Custom is what OPA's format has no place for.
type Custom struct {
	Tenant      string `json:"tenant"`
	Alert       string `json:"alert,omitempty"`
	InputDigest string `json:"input_digest" doc:"SHA-256 of the input as it was, before secrets were taken out"`
	Cached      bool   `json:"cached" doc:"Answered from an equal question before"`
}

// Event renders the record, secrets in its input taken out: values under names
// such as password are erased, and in texts what follows such a name is masked.
// service labels the process that decided.
func (r *Record) Event(service string) (Event, error) {
	input, err := ast.JSON(r.input)
	if err != nil {
		return Event{}, fmt.Errorf("policy: decision %s: %w", r.ID, err)
	}
	data, err := json.Marshal(input)
	if err != nil {
		return Event{}, fmt.Errorf("policy: decision %s: %w", r.ID, err)
	}
	sum := sha256.Sum256(data)
	e := Event{Labels: map[string]string{"app": "icewatch", "id": service}, DecisionID: r.ID, Bundles: map[string]Bundle{r.Package: {Revision: r.Revision}},
		Path: r.Path, Result: r.Result, Timestamp: r.At, Metrics: map[string]int64{"timer_rego_query_eval_ns": r.Took.Nanoseconds()},
		Custom: Custom{Tenant: r.Tenant, Alert: r.Alert, InputDigest: hex.EncodeToString(sum[:]), Cached: r.Cached}}
	if r.Err != nil {
		e.Error = r.Err.Error()
	}
	e.Input = e.clean("/input", "", input)
	return e, nil
}

// Secrets in inputs: names whose values are erased, and the same names in
// texts such as command lines.
var (
	secretName = regexp.MustCompile(`(?i)(^|[._-])(password|passwd|pwd|passphrase|secret|token|api[_-]?key|private[_-]?key|credentials?|authorization|cookie)$`)
	secretText = regexp.MustCompile(`(?i)((?:password|passwd|pwd|passphrase|secret|token|api[_-]?key|authorization)["']?\s*[=:]\s*(?:bearer\s+|basic\s+)?["']?|(?:--?(?:password|passwd|secret|token)|\bbearer)\s+["']?)[^\s"'&;]+`)
)

// pointers escapes what is special in a JSON pointer.
var pointers = strings.NewReplacer("~", "~0", "/", "~1")

// clean returns the value without secrets. name is the key that it is under.
func (e *Event) clean(at, name string, v any) any {
	switch v := v.(type) {
	case map[string]any:
		out := make(map[string]any, len(v))
		for _, k := range slices.Sorted(maps.Keys(v)) {
			path := at + "/" + pointers.Replace(k)
			if _, isText := v[k].(string); isText && secretName.MatchString(k) {
				e.Erased = append(e.Erased, path)
				continue
			}
			out[k] = e.clean(path, k, v[k])
		}
		return out
	case []any:
		for i := range v {
			v[i] = e.clean(fmt.Sprintf("%s/%d", at, i), name, v[i])
		}
		return v
	case string:
		// Between name and secret stands one of these.
		if !strings.ContainsAny(v, "=: \t\n\f\r") {
			return v
		}
		if masked := secretText.ReplaceAllString(v, "${1}***"); masked != v {
			e.Masked = append(e.Masked, at)
			return masked
		}
	}
	return v
}
