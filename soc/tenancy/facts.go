package tenancy

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Bounds of what is said of a tenant.
const (
	maxFact   = 64 // characters
	maxLabels = 32
)

// ErrNotFound says that there is no such tenant.
var ErrNotFound = errors.New("tenancy: there is no such tenant")

// ErrInvalid says that a value cannot be a tenant's; the error that wraps it
// names it.
var ErrInvalid = errors.New("invalid")

// Facts are what data scopes see of a tenant and, with it, of every row of the
// tenant that says nothing of its own. They are set at run time.
type Facts struct {
	Unit     string   `json:"unit"` // id of the organisation it belongs to; "" where it is not set, as in the others
	Region   string   `json:"region"`
	Industry string   `json:"industry"`
	Labels   []string `json:"labels"`
}

// Change changes what is not nil.
type Change struct {
	Unit, Region, Industry *string
	Labels                 *[]string
}

func (c Change) apply(f Facts) (Facts, error) {
	for _, x := range []struct {
		name string
		from *string
		to   *string
	}{{"unit", c.Unit, &f.Unit}, {"region", c.Region, &f.Region}, {"industry", c.Industry, &f.Industry}} {
		if x.from == nil {
			continue
		}
		v, err := checkFact(*x.from)
		if err != nil {
			return f, fmt.Errorf("%w: %s: %w", ErrInvalid, x.name, err)
		}
		*x.to = v
	}
	if c.Labels == nil {
		return f, nil
	}
	f.Labels = []string{}
	for _, l := range *c.Labels {
		v, err := checkFact(l)
		switch {
		case err != nil:
		case v == "":
			err = errors.New("a label is empty")
		case strings.ContainsAny(v, ";；"):
			err = fmt.Errorf("%q contains the sign that separates labels", v)
		}
		if err != nil {
			return f, fmt.Errorf("%w: labels: %w", ErrInvalid, err)
		}
		f.Labels = append(f.Labels, v)
	}
	slices.Sort(f.Labels)
	if f.Labels = slices.Compact(f.Labels); len(f.Labels) > maxLabels {
		return f, fmt.Errorf("%w: labels: %d of them, at most %d", ErrInvalid, len(f.Labels), maxLabels)
	}
	return f, nil
}

func checkFact(s string) (string, error) {
	t := strings.TrimSpace(s)
	switch {
	case !utf8.ValidString(t):
		return "", errors.New("it is not valid UTF-8")
	case utf8.RuneCountInString(t) > maxFact:
		return "", fmt.Errorf("%.20q… has %d characters, at most %d", t, utf8.RuneCountInString(t), maxFact)
	case strings.ContainsFunc(t, unicode.IsControl):
		return "", fmt.Errorf("%q has control characters", t)
	}
	return t, nil
}

// factRow is the part of a tenant's row that Describe writes.
type factRow struct {
	Unit     string `bun:"unit"`
	Region   string `bun:"region"`
	Industry string `bun:"industry"`
	Labels   string `bun:"labels"` // JSON array
}

func (r factRow) facts() (Facts, error) {
	f := Facts{Unit: r.Unit, Region: r.Region, Industry: r.Industry, Labels: []string{}}
	if err := json.Unmarshal([]byte(r.Labels), &f.Labels); err != nil {
		return f, fmt.Errorf("stored labels %q: %w", r.Labels, err)
	}
	return f, nil
}

// Describe changes what is said of a tenant, and tells whoever listens (see
// OnChange) before it returns.
func (r *Registry) Describe(ctx context.Context, slug string, c Change) (Tenant, error) {
	r.changing.Lock()
	defer r.changing.Unlock()
	before, ok := r.Get(slug)
	if !ok {
		return Tenant{}, fmt.Errorf("%w: %q", ErrNotFound, slug)
	}
	facts, err := c.apply(before.Facts)
	if err != nil {
		return Tenant{}, err
	}
	labels, err := json.Marshal(facts.Labels)
	if err != nil {
		return Tenant{}, fmt.Errorf("tenancy: describe %q: %w", slug, err)
	}
	x := row{AccountID: int64(before.AccountID), factRow: factRow{facts.Unit, facts.Region, facts.Industry, string(labels)}}
	if err := r.write(ctx, &x, "unit", "region", "industry", "labels"); err != nil {
		return Tenant{}, fmt.Errorf("tenancy: describe %q: %w", slug, err)
	}
	r.amend(slug, func(t *Tenant) { t.Facts = facts })
	after, _ := r.Get(slug)
	return after, nil
}

// OnChange has f called after each change of a tenant, before the change is
// answered. It is set once, before the registry is shared.
func (r *Registry) OnChange(f func()) { r.changed = f }
