package api

import (
	"bytes"
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"icewatch/soc/identity"
	"icewatch/soc/spreadsheet"
	"icewatch/soc/units"
)

// userColumns are the columns of the file that users are imported from and
// exported to; password is never written.
var userColumns = []string{"username", "display_name", "email", "phone", "unit_code", "roles", "tags", "locale", "password"}

// maxUserRows bounds an import: each new password is hashed, some 20 ms apiece.
const maxUserRows = 5000

// userImport is the outcome of an import. Where Errors is not empty, nothing
// was imported.
type userImport struct {
	Created   int              `json:"created"`
	Updated   int              `json:"updated"`
	Unchanged int              `json:"unchanged"`
	DryRun    bool             `json:"dry_run"`
	Errors    []units.RowError `json:"errors" nullable:"false"`
	Passwords []madePassword   `json:"passwords" nullable:"false" doc:"Those that were made, shown this once"`
}

type madePassword struct {
	Username string `json:"username"`
	Password string `json:"password"`
}

func (r userImport) detail() string {
	return fmt.Sprintf("created %d, updated %d, unchanged %d, errors %d", r.Created, r.Updated, r.Unchanged, len(r.Errors))
}

// userRow is one line of the file as it was read.
type userLine struct {
	line   int
	fields map[string]string
}

// has tells whether the file has the column.
func (l userLine) pointer(column string) *string {
	if v, ok := l.fields[column]; ok {
		return &v
	}
	return nil
}

func (l userLine) list(column string) *[]string {
	v, ok := l.fields[column]
	if !ok {
		return nil
	}
	out := []string{}
	for w := range strings.SplitSeq(v, ";") {
		if w = strings.TrimSpace(w); w != "" {
			out = append(out, w)
		}
	}
	return &out
}

// importUsers checks every line first, and only then creates and changes.
func (s *Server) importUsers(ctx context.Context, r io.Reader, dryRun bool) (userImport, error) {
	out := userImport{DryRun: dryRun, Errors: []units.RowError{}, Passwords: []madePassword{}}
	fail := func(line int, column string, err error) {
		if len(out.Errors) < 1000 {
			out.Errors = append(out.Errors, units.RowError{Row: line, Column: column, Message: err.Error()})
		}
	}
	lines, err := readUsers(r)
	if err != nil {
		fail(1, "", err)
		return out, nil
	}
	type plan struct {
		create *identity.NewUser
		id     string
		change identity.UserChange
	}
	var plans []plan
	seen := map[string]int{}
	for _, l := range lines {
		name := strings.ToLower(strings.TrimSpace(l.fields["username"]))
		if at := seen[name]; at > 0 {
			fail(l.line, "username", fmt.Errorf("%q stands in row %d already", name, at))
			continue
		}
		seen[name] = l.line
		var unit *string
		if code := l.pointer("unit_code"); code != nil {
			u, ok := s.deps.Units.Tree().ByCode(*code)
			if *code != "" && !ok {
				fail(l.line, "unit_code", fmt.Errorf("there is no unit with the code %q", *code))
				continue
			}
			unit = &u.ID
		}
		old, err := s.deps.Identity.UserByName(ctx, name)
		exists := err == nil
		if err != nil && !errors.Is(err, identity.ErrNotFound) {
			return out, err
		}
		if exists {
			if old, err = s.userManaged(ctx, old.ID); err != nil {
				fail(l.line, "username", reason(s.toProblem(ctx, err)))
				continue
			}
		}
		at := old.Unit
		if unit != nil {
			at = *unit
		}
		roles := l.list("roles")
		if roles != nil && exists && slices.Equal(*roles, old.Roles) {
			roles = nil
		}
		if roles != nil && len(*roles) == 0 && !exists {
			roles = nil
		}
		if err := errors.Join(s.checkUnit(ctx, at), s.mayGiveAccess(ctx, at, &AccessBody{Roles: roles})); err != nil {
			fail(l.line, "", reason(err))
			continue
		}
		if !exists {
			n := identity.NewUser{Username: name, DisplayName: l.fields["display_name"], Email: l.fields["email"], Phone: l.fields["phone"], Unit: at,
				Roles: valueOf(roles), Tags: valueOf(l.list("tags")), Locale: l.fields["locale"], Password: l.fields["password"]}
			if n.Password == "" {
				n.Password = identity.GeneratePassword()
				out.Passwords = append(out.Passwords, madePassword{name, n.Password})
			}
			if err := s.deps.Identity.CheckUser(ctx, n); err != nil {
				fail(l.line, "", reason(s.toProblem(ctx, err)))
				continue
			}
			out.Created++
			plans = append(plans, plan{create: &n})
			continue
		}
		ch := identity.UserChange{DisplayName: l.pointer("display_name"), Email: l.pointer("email"), Phone: l.pointer("phone"), Unit: unit,
			Roles: roles, Tags: l.list("tags"), Locale: l.pointer("locale")}
		if p := l.fields["password"]; p != "" {
			fail(l.line, "password", errors.New("the user exists: a password is reset one at a time"))
			continue
		}
		if !ch.Changes(old) {
			out.Unchanged++
			continue
		}
		out.Updated++
		plans = append(plans, plan{id: old.ID, change: ch})
	}
	if len(out.Errors) > 0 || dryRun {
		out.Passwords = []madePassword{}
		return out, nil
	}
	for i, p := range plans {
		if p.create != nil {
			_, err = s.deps.Identity.CreateUser(ctx, *p.create)
		} else {
			_, err = s.deps.Identity.UpdateUser(ctx, p.id, p.change)
		}
		if err != nil {
			return out, fmt.Errorf("import users: %d of %d are done: %w", i, len(plans), err)
		}
	}
	return out, nil
}

// reason is what a problem says to the client, as an error.
func reason(err error) error {
	var p *huma.ErrorModel
	if errors.As(err, &p) {
		return errors.New(p.Detail)
	}
	return err
}

func readUsers(r io.Reader) ([]userLine, error) {
	data, err := io.ReadAll(r)
	if err != nil {
		return nil, err
	}
	c := csv.NewReader(bytes.NewReader(bytes.TrimPrefix(data, []byte("\xef\xbb\xbf"))))
	header, err := c.Read()
	if err != nil {
		return nil, fmt.Errorf("the first row must name the columns: %w", err)
	}
	for i, h := range header {
		header[i] = strings.ToLower(strings.TrimSpace(h))
		if !slices.Contains(userColumns, header[i]) || slices.Contains(header[:i], header[i]) {
			return nil, fmt.Errorf("the column %.60q is none of %s, or given twice", h, strings.Join(userColumns, ", "))
		}
	}
	if !slices.Contains(header, "username") {
		return nil, errors.New("the column username is missing")
	}
	var out []userLine
	for {
		rec, err := c.Read()
		if errors.Is(err, io.EOF) {
			return out, nil
		}
		if err != nil {
			return nil, err
		}
		if len(out) == maxUserRows {
			return nil, fmt.Errorf("the file has more than %d users: import it in parts", maxUserRows)
		}
		line, _ := c.FieldPos(0)
		l := userLine{line: line, fields: map[string]string{}}
		for i, v := range rec {
			l.fields[header[i]] = strings.TrimSpace(spreadsheet.Unguard(v))
		}
		out = append(out, l)
	}
}

// exportUsers writes the users as importUsers reads them.
func (s *Server) exportUsers(ctx context.Context, q identity.UserQuery, w io.Writer) error {
	c := csv.NewWriter(w)
	_ = c.Write(userColumns[:len(userColumns)-1]) // an error stays until Flush
	q.Limit = 1000
	for {
		page, err := s.deps.Identity.Users(ctx, q)
		if err != nil {
			return err
		}
		for _, u := range page.Items {
			unit, _ := s.deps.Units.Tree().Get(u.Unit)
			rec := []string{u.Username, u.DisplayName, u.Email, u.Phone, unit.Code, strings.Join(u.Roles, ";"), strings.Join(u.Tags, ";"), u.Locale}
			_ = c.Write(spreadsheet.Row(rec))
		}
		if page.Next == "" {
			c.Flush()
			return c.Error()
		}
		q.Cursor = page.Next
	}
}
