package transition

import (
	"errors"
	"slices"
	"strings"
	"testing"
)

func TestMay(t *testing.T) {
	strict := Table{Moves: []Move{
		{Of: Incident, From: "open", To: "acknowledged", Roles: []string{}},
		{Of: Incident, From: "acknowledged", To: "closed", Roles: []string{"operator", "chief"}},
	}}
	for _, c := range []struct {
		name     string
		table    Table
		of       string
		from, to string
		held     []string
		refused  string // part of what is said; "" for allowed
	}{
		{"everybody", strict, Incident, "open", "acknowledged", []string{"analyst"}, ""},
		{"one of the roles", strict, Incident, "acknowledged", "closed", []string{"analyst", "chief"}, ""},
		{"none of the roles", strict, Incident, "acknowledged", "closed", []string{"analyst"}, "the roles operator, chief"},
		{"no roles at all", strict, Incident, "acknowledged", "closed", nil, "the roles operator, chief"},
		{"no such move", strict, Incident, "open", "closed", []string{"operator"}, "no such move"},
		{"of something else", strict, Alert, "open", "acknowledged", []string{"operator"}, "no such move"},
		{"an administrator", strict, Incident, "open", "closed", []string{"admin"}, ""},
		{"default work", Default(), Incident, "closed", "open", []string{"analyst"}, ""},
		{"default approval", Default(), Notice, "review", "approved", []string{"analyst"}, "operator, security-admin"},
		{"default approval by an officer", Default(), Notice, "review", "approved", []string{"security-admin"}, ""},
		{"default leap", Default(), Notice, "draft", "published", []string{"operator"}, "no such move"},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := c.table.May(c.of, c.from, c.to, c.held)
			var r *Refused
			if c.refused == "" && err != nil || c.refused != "" && (!errors.As(err, &r) || !strings.Contains(err.Error(), c.refused)) {
				t.Errorf("%v, want %q", err, c.refused)
			}
		})
	}
	if got := strict.Open(Incident, "acknowledged", []string{"analyst"}); len(got) != 0 {
		t.Errorf("open to an analyst: %v", got)
	}
	if got := Default().Open(Incident, "open", nil); !slices.Equal(got, []string{"acknowledged", "closed"}) {
		t.Errorf("open to everybody: %v", got)
	}
}

func TestCheck(t *testing.T) {
	if err := Default().Check(); err != nil {
		t.Fatal(err)
	}
	for want, m := range map[string]Move{
		"moves[0].of":        {Of: "case", From: "open", To: "closed"},
		"moves[0].from":      {Of: Incident, From: "new", To: "closed"},
		"moves[0].to":        {Of: Incident, From: "open", To: "published"},
		"to itself":          {Of: Notice, From: "draft", To: "draft"},
		"moves[0].apart":     {Of: Alert, From: "open", To: "closed", Apart: true},
		"moves[0].roles[0]":  {Of: Alert, From: "open", To: "closed", Roles: []string{""}},
		"stands in moves[0]": {Of: Alert, From: "open", To: "closed"},
	} {
		moves := []Move{m}
		if strings.HasPrefix(want, "stands") {
			moves = append(moves, m)
		}
		if err := (Table{Moves: moves}).Check(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}
