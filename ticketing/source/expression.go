package source

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/itchyny/gojq"
)

// Expressions are jq's, of which they may use what picks, tests and shapes what
// is there: what repeats itself or makes much of little (reduce, range,
// recursion, definitions, assignments, products) is refused, so that an
// expression costs no more than the message it reads. What is left is bounded
// in time besides.
const (
	maxExpression  = 4 << 10
	expressionTime = time.Second
)

// functions are those of jq that an expression may call.
var functions = []string{
	"abs", "add", "all", "any", "arrays", "ascii_downcase", "ascii_upcase", "booleans", "capture", "ceil", "contains", "empty", "endswith",
	"error", "explode", "false", "first", "flatten", "floor", "format", "from_entries", "fromdate", "fromdateiso8601", "fromjson", "gsub", "has", "implode", "in", "index",
	"inside", "isempty", "iterables", "join", "keys", "keys_unsorted", "last", "length", "ltrimstr", "map", "map_values", "match", "max", "max_by",
	"min", "min_by", "not", "now", "null", "nulls", "numbers", "objects", "paths", "reverse", "round", "rtrimstr", "scalars", "scan", "select", "sort", "sort_by",
	"split", "splits", "startswith", "strings", "sub", "test", "to_entries", "todate", "tojson", "tonumber", "tostring", "trim", "ltrim", "rtrim", "true", "type",
	"unique", "unique_by", "utf8bytelength", "values", "with_entries",
}

// operators are those that an expression may use; the others multiply or assign.
var operators = []gojq.Operator{gojq.OpPipe, gojq.OpComma, gojq.OpAdd, gojq.OpSub, gojq.OpDiv, gojq.OpMod, gojq.OpEq, gojq.OpNe, gojq.OpGt, gojq.OpLt, gojq.OpGe, gojq.OpLe, gojq.OpAnd, gojq.OpOr, gojq.OpAlt}

// expression is a compiled expression. It is safe for concurrent use.
type expression struct {
	text string
	code *gojq.Code
}

// compile reads an expression. It may use $message, the whole message that the
// alert is part of, and $meta, how that came (its headers, its topic).
func compile(text string) (*expression, error) {
	if len(text) > maxExpression {
		return nil, fmt.Errorf("the expression has %d bytes, at most %d", len(text), maxExpression)
	}
	q, err := gojq.Parse(text)
	if err != nil {
		var p *gojq.ParseError
		if errors.As(err, &p) {
			return nil, fmt.Errorf("%q is no expression of jq: unexpected %q at byte %d", clip(text, 200), p.Token, p.Offset)
		}
		return nil, fmt.Errorf("%q is no expression of jq: %w", clip(text, 200), err)
	}
	if len(q.Imports) > 0 || q.Meta != nil {
		return nil, errors.New("an expression can import nothing")
	}
	if err := bounded(q); err != nil {
		return nil, fmt.Errorf("%q: %w", clip(text, 200), err)
	}
	code, err := gojq.Compile(q, gojq.WithVariables([]string{"$message", "$meta"}))
	if err != nil {
		return nil, fmt.Errorf("%q: %w", clip(text, 200), err)
	}
	return &expression{text, code}, nil
}

// each calls f with every value that the expression yields.
func (e *expression) each(ctx context.Context, v, message, meta any, f func(any) error) error {
	ctx, cancel := context.WithTimeout(ctx, expressionTime)
	defer cancel()
	it := e.code.RunWithContext(ctx, v, message, meta)
	for {
		v, more := it.Next()
		if !more {
			return nil
		}
		if err, failed := v.(error); failed {
			if errors.Is(err, context.DeadlineExceeded) {
				return fmt.Errorf("%s takes longer than %s", clip(e.text, 200), expressionTime)
			}
			return fmt.Errorf("%s: %s", clip(e.text, 200), clip(err.Error(), 300))
		}
		if err := f(v); err != nil {
			return err
		}
	}
}

// one is the first value that the expression yields; nil where there is none.
func (e *expression) one(ctx context.Context, v, message, meta any) (out any, err error) {
	err = e.each(ctx, v, message, meta, func(v any) error {
		out = v
		return errEnough
	})
	if errors.Is(err, errEnough) {
		err = nil
	}
	return out, err
}

var errEnough = errors.New("enough")

// bounded refuses what may cost more than the message it reads.
func bounded(q *gojq.Query) error {
	if q == nil {
		return nil
	}
	if len(q.FuncDefs) > 0 {
		return errors.New("an expression can define no function")
	}
	if q.Left != nil {
		if !slices.Contains(operators, q.Op) {
			return fmt.Errorf("the operator %s is not available here", q.Op)
		}
		return errors.Join(bounded(q.Left), bounded(q.Right))
	}
	return boundedTerm(q.Term)
}

func boundedTerm(t *gojq.Term) error {
	if t == nil {
		return nil
	}
	var errs []error
	switch t.Type {
	case gojq.TermTypeReduce, gojq.TermTypeForeach:
		return errors.New("reduce and foreach are not available here")
	case gojq.TermTypeLabel:
		return errors.New("label is not available here")
	case gojq.TermTypeFunc:
		name := t.Func.Name
		if !strings.HasPrefix(name, "$") && !slices.Contains(functions, name) {
			return fmt.Errorf("the function %s is not available here", name)
		}
		for _, a := range t.Func.Args {
			errs = append(errs, bounded(a))
		}
	case gojq.TermTypeObject:
		for _, kv := range t.Object.KeyVals {
			errs = append(errs, bounded(kv.KeyQuery), bounded(kv.Val), boundedString(kv.KeyString))
		}
	case gojq.TermTypeArray:
		errs = append(errs, bounded(t.Array.Query))
	case gojq.TermTypeUnary:
		errs = append(errs, boundedTerm(t.Unary.Term))
	case gojq.TermTypeIf:
		errs = append(errs, bounded(t.If.Cond), bounded(t.If.Then), bounded(t.If.Else))
		for _, e := range t.If.Elif {
			errs = append(errs, bounded(e.Cond), bounded(e.Then))
		}
	case gojq.TermTypeTry:
		errs = append(errs, bounded(t.Try.Body), bounded(t.Try.Catch))
	case gojq.TermTypeQuery:
		errs = append(errs, bounded(t.Query))
	case gojq.TermTypeString, gojq.TermTypeFormat:
		errs = append(errs, boundedString(t.Str))
	case gojq.TermTypeIndex:
		errs = append(errs, boundedIndex(t.Index))
	}
	for _, s := range t.SuffixList {
		errs = append(errs, boundedIndex(s.Index))
		if s.Bind != nil {
			errs = append(errs, boundedPatterns(s.Bind.Patterns), bounded(s.Bind.Body))
		}
	}
	return errors.Join(errs...)
}

func boundedIndex(i *gojq.Index) error {
	if i == nil {
		return nil
	}
	return errors.Join(bounded(i.Start), bounded(i.End), boundedString(i.Str))
}

func boundedString(s *gojq.String) error {
	if s == nil {
		return nil
	}
	var errs []error
	for _, q := range s.Queries {
		errs = append(errs, bounded(q))
	}
	return errors.Join(errs...)
}

func boundedPatterns(list []*gojq.Pattern) error {
	var errs []error
	for _, p := range list {
		errs = append(errs, boundedPatterns(p.Array))
		for _, o := range p.Object {
			errs = append(errs, bounded(o.KeyQuery), boundedString(o.KeyString))
			if o.Val != nil {
				errs = append(errs, boundedPatterns([]*gojq.Pattern{o.Val}))
			}
		}
	}
	return errors.Join(errs...)
}
