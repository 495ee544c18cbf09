package wording

import (
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"text/template"
	"text/template/parse"
)

// Templates are written by users, and run where notifications leave. So a
// template may cost little, whatever it says: its text, its output and the
// rounds of its loops are bounded, and none calls itself.
const (
	// MaxTemplate bounds a template's text, in bytes.
	MaxTemplate = 32 << 10
	// MaxOutput bounds what one makes, in bytes.
	MaxOutput = 64 << 10
	maxRounds = 20000 // of all its loops together
)

// ErrTooLong says that a template made more than MaxOutput.
var ErrTooLong = fmt.Errorf("it makes more than %d KiB: show fewer alerts or shorten their texts", MaxOutput>>10)

// Error is what is wrong with a template, by line.
type Error struct {
	Line   int    `json:"line"` // 1 is the first; 0 where it is of the whole
	Reason string `json:"reason"`
}

func (e *Error) Error() string {
	if e.Line == 0 {
		return e.Reason
	}
	return fmt.Sprintf("line %d: %s", e.Line, e.Reason)
}

var errRounds = fmt.Errorf("its loops go round more than %d times", maxRounds)

// round is the function that counts rounds: a call of it is put into each loop.
const round = "icewatch_round"

// bounded is a template that costs little.
type bounded struct{ t *template.Template }

// Compile reads a template. funcs come beside Funcs; the error is an *Error.
func Compile(text string, funcs template.FuncMap) (Template, error) {
	if len(text) > MaxTemplate {
		return nil, &Error{Reason: fmt.Sprintf("it has %d bytes: at most %d", len(text), MaxTemplate)}
	}
	t, err := template.New("template").Option("missingkey=zero").Funcs(Funcs()).Funcs(funcs).Funcs(rounds(maxRounds)).Parse(text)
	if err != nil {
		return nil, placed(err)
	}
	for _, each := range t.Templates() {
		if each.Tree == nil {
			continue
		}
		c := &checker{text: each.Tree}
		if err := c.node(each.Root); err != nil {
			return nil, err
		}
	}
	return bounded{t}, nil
}

// Template is a template that was compiled.
type Template interface {
	// Make runs it; the error is an *Error or ErrTooLong.
	Make(data any) (string, error)
}

// Make implements Template.
func (b bounded) Make(data any) (string, error) {
	w := &limited{left: MaxOutput}
	t, err := b.t.Clone()
	if err != nil {
		return "", placed(err)
	}
	if err := t.Funcs(rounds(maxRounds)).Execute(w, data); err != nil {
		if errors.Is(err, ErrTooLong) {
			return "", ErrTooLong
		}
		return "", placed(err)
	}
	return w.b.String(), nil
}

// rounds makes the function that counts rounds, for one run.
func rounds(left int) template.FuncMap {
	return template.FuncMap{round: func() (string, error) {
		if left--; left < 0 {
			return "", errRounds
		}
		return "", nil
	}}
}

type limited struct {
	b    strings.Builder
	left int
}

// Write implements io.Writer.
func (l *limited) Write(p []byte) (int, error) {
	if len(p) > l.left {
		return 0, ErrTooLong
	}
	l.left -= len(p)
	return l.b.Write(p)
}

var _ io.Writer = (*limited)(nil)

// at finds the line in errors of text/template: template: NAME:LINE[:COLUMN]: REASON.
var at = regexp.MustCompile(`^template: template:(\d+)(?::\d+)?: (?s:(.*))$`)

func placed(err error) error {
	if m := at.FindStringSubmatch(err.Error()); m != nil {
		line, _ := strconv.Atoi(m[1])
		return &Error{line, strings.TrimPrefix(m[2], `executing "template" at `)}
	}
	return &Error{Reason: strings.TrimPrefix(err.Error(), "template: ")}
}

// checker walks a template before it runs.
type checker struct{ text *parse.Tree }

func (c *checker) fail(n parse.Node, format string, args ...any) error {
	location, _ := c.text.ErrorContext(n)
	line := 0
	if parts := strings.Split(location, ":"); len(parts) > 1 {
		line, _ = strconv.Atoi(parts[1])
	}
	return &Error{line, fmt.Sprintf(format, args...)}
}

func (c *checker) node(n parse.Node) error {
	switch n := n.(type) {
	case *parse.ListNode:
		if n == nil {
			return nil
		}
		for _, each := range n.Nodes {
			if err := c.node(each); err != nil {
				return err
			}
		}
	case *parse.RangeNode:
		if err := c.branch(&n.BranchNode); err != nil {
			return err
		}
		call := &parse.CommandNode{NodeType: parse.NodeCommand, Pos: n.Pos, Args: []parse.Node{parse.NewIdentifier(round).SetPos(n.Pos).SetTree(c.text)}}
		n.List.Nodes = slices.Insert(n.List.Nodes, 0, parse.Node(&parse.ActionNode{NodeType: parse.NodeAction, Pos: n.Pos, Line: n.Line,
			Pipe: &parse.PipeNode{NodeType: parse.NodePipe, Pos: n.Pos, Line: n.Line, Cmds: []*parse.CommandNode{call}}}))
	case *parse.IfNode:
		return c.branch(&n.BranchNode)
	case *parse.WithNode:
		return c.branch(&n.BranchNode)
	case *parse.TemplateNode:
		return c.fail(n, "a template that calls a template ({{template}}) is not allowed")
	}
	return nil
}

func (c *checker) branch(n *parse.BranchNode) error {
	if err := c.node(n.List); err != nil {
		return err
	}
	if n.ElseList == nil {
		return nil
	}
	return c.node(n.ElseList)
}
