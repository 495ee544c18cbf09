package naive

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// condition tells whether an event is what a condition describes.
type condition = search

// parseCondition reads a condition over the selections. Condition: "Operator
// Precedence (least to most binding): or, and, not, x of search-identifier,
// ( expression )". The words are read in any letter case.
func parseCondition(text string, selections []selection) (condition, error) {
	text = strings.NewReplacer("(", " ( ", ")", " ) ").Replace(text)
	c := &conditionParser{words: strings.Fields(text), selections: selections}
	out, err := c.or()
	if err == nil && len(c.words) > 0 {
		err = fmt.Errorf("unexpected %q", c.words[0])
	}
	return out, err
}

type conditionParser struct {
	words      []string
	selections []selection
}

// take removes the next word if it is w.
func (c *conditionParser) take(w string) bool {
	if len(c.words) > 0 && strings.EqualFold(c.words[0], w) {
		c.words = c.words[1:]
		return true
	}
	return false
}

// or reads "keywords1 or keywords2".
func (c *conditionParser) or() (condition, error) {
	left, err := c.and()
	for err == nil && c.take("or") {
		var right condition
		before := left
		right, err = c.and()
		left = func(r *Rule, ev *Event) bool { return before(r, ev) || right(r, ev) }
	}
	return left, err
}

// and reads "keywords1 and keywords2".
func (c *conditionParser) and() (condition, error) {
	left, err := c.not()
	for err == nil && c.take("and") {
		var right condition
		before := left
		right, err = c.not()
		left = func(r *Rule, ev *Event) bool { return before(r, ev) && right(r, ev) }
	}
	return left, err
}

// not reads "Negation with 'not'".
func (c *conditionParser) not() (condition, error) {
	if !c.take("not") {
		return c.of()
	}
	inner, err := c.not()
	return func(r *Rule, ev *Event) bool { return !inner(r, ev) }, err
}

// of reads "1/all of them" and "1/all of search-identifier-pattern". Any is
// another word for 1, and other counts than 1 are allowed.
func (c *conditionParser) of() (condition, error) {
	if len(c.words) < 2 || !strings.EqualFold(c.words[1], "of") {
		return c.operand()
	}
	if len(c.words) < 3 {
		return nil, errors.New("there is nothing after of")
	}
	quantity, target := strings.ToLower(c.words[0]), c.words[2]
	c.words = c.words[3:]
	var among []search
	for _, s := range c.selections {
		if included(target, s.name) {
			among = append(among, s.search)
		}
	}
	if len(among) == 0 {
		return nil, fmt.Errorf("no selection is one of %q", target)
	}
	least := 1
	switch quantity {
	case "any":
	case "all":
		least = len(among)
	default:
		var err error
		if least, err = strconv.Atoi(quantity); err != nil || least < 1 || least > len(among) {
			return nil, fmt.Errorf("%q of %d selections cannot be", quantity, len(among))
		}
	}
	return func(r *Rule, ev *Event) bool {
		met := 0
		for _, s := range among {
			if s(r, ev) {
				met++
			}
		}
		return met >= least
	}, nil
}

// operand reads a search identifier or an expression in brackets.
func (c *conditionParser) operand() (condition, error) {
	if c.take("(") {
		inner, err := c.or()
		if err == nil && !c.take(")") {
			err = errors.New("a closing bracket is missing")
		}
		return inner, err
	}
	if len(c.words) == 0 {
		return nil, errors.New("it ends where a selection is expected")
	}
	name := c.words[0]
	for _, s := range c.selections {
		if s.name == name {
			c.words = c.words[1:]
			return s.search, nil
		}
	}
	return nil, fmt.Errorf("there is no selection %q", name)
}

// included tells whether a selection is meant by what follows "of". "1/all of
// them" is "across all defined search identifiers not starting with an
// underscore"; a pattern is the same "restricted to matching search
// identifiers. Matching is done with * wildcards (any number of characters) at
// arbitrary positions in the pattern." A pattern that starts with an underscore
// itself asks for them expressly.
func included(target, name string) bool {
	if strings.EqualFold(target, "them") {
		return !strings.HasPrefix(name, "_")
	}
	if strings.HasPrefix(name, "_") && !strings.HasPrefix(target, "_") {
		return false
	}
	var chars []rune
	for _, r := range target {
		if r == '*' {
			r = star
		}
		chars = append(chars, r)
	}
	return newPattern(chars).fits([]rune(name))
}
