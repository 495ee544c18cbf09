package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"icewatch/soc/client"
)

type cmdbCmd struct {
	Import cmdbImportCmd `cmd:"" help:"Load an XLSX, CSV, JSON, NDJSON or YAML file: all of it, or nothing and the faults by row."`
	Export cmdbExportCmd `cmd:"" help:"Print configuration items as a file that can be imported again."`

	Path    cmdbPathCmd    `cmd:"" help:"The key path between two items: the whole chain of relations."`
	Impact  cmdbImpactCmd  `cmd:"" help:"What an item would take down."`
	Root    cmdbRootCmd    `cmd:"" help:"What could take an item down."`
	Query   cmdbQueryCmd   `cmd:"" help:"The items at the end of a path of relations."`
	Traffic cmdbTrafficCmd `cmd:"" help:"Who talks to whom, by totalled traffic."`
	Merge   cmdbMergeCmd   `cmd:"" help:"Make one of two items that are one."`
	Merges  cmdbMergesCmd  `cmd:"" help:"List items that were made one; with --undo take one back."`
}

type cmdbImportCmd struct {
	File   string `arg:"" help:"File to load; - is standard input (then give --format)."`
	Format string `help:"Format of the file: ${enum}. Default: by its ending." enum:"xlsx,csv,json,ndjson,yaml," default:""`
	Class  string `help:"What the rows of a CSV file are: host, network, business_system or organisation." placeholder:"CLASS"`
	DryRun bool   `help:"Check and count, but change nothing."`
}

// maxImport bounds an imported file in bytes.
const maxImport = 64 << 20

// Run sends the file.
func (m *cmdbImportCmd) Run(a *app) error {
	format := m.Format
	if format == "" {
		ending := strings.TrimPrefix(strings.ToLower(filepath.Ext(m.File)), ".")
		if ending == "yml" {
			ending = "yaml"
		}
		if !slices.Contains([]string{"xlsx", "csv", "json", "ndjson", "yaml"}, ending) {
			return usageError(fmt.Sprintf("%s: its ending is none of .xlsx, .csv, .json, .ndjson, .yaml and .yml: give --format", m.File))
		}
		format = ending
	}
	data, err := readFile(a, m.File)
	if err != nil {
		return err
	}
	c, err := a.connect()
	if err != nil {
		return err
	}
	rep, err := c.Import(a.ctx, format, m.Class, m.DryRun, data)
	if err != nil {
		return fmt.Errorf("%s was not imported: %w", m.File, err)
	}
	if a.cli.Output == "json" {
		return a.printJSON(rep)
	}
	verb := "imported"
	if m.DryRun {
		verb = "checked, nothing changed"
	}
	_, err = fmt.Fprintf(a.stdout, "%s %s: %d created, %d updated, %d unchanged\n", m.File, verb, rep.Created, rep.Updated, rep.Unchanged)
	return err
}

func readFile(a *app, name string) ([]byte, error) {
	in := a.stdin
	if name != "-" {
		f, err := os.Open(name)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		in = f
	}
	return readAll(in, name, maxImport)
}

type cmdbExportCmd struct {
	Class  string `help:"Only this class: host, network, business_system or organisation." placeholder:"CLASS"`
	Format string `help:"Format: ${enum}." enum:"xlsx,csv,json,ndjson,yaml" default:"yaml"`
}

// Run writes what the server exports to standard output.
func (x *cmdbExportCmd) Run(a *app) error {
	q := url.Values{"format": {x.Format}}
	set(q, "class", x.Class)
	set(q, "tenant", a.cli.Tenant)
	c, err := a.connect()
	if err != nil {
		return err
	}
	var out []byte
	if err := c.Send(a.ctx, http.MethodGet, "/api/v1/cmdb/export", q, nil, nil, &out); err != nil {
		return err
	}
	_, err = a.stdout.Write(out)
	return err
}

type tenantsCmd struct {
	List tenantsListCmd `cmd:"" default:"withargs" help:"List tenants."`
}

type tenantsListCmd struct{}

// Run lists tenants.
func (tenantsListCmd) Run(a *app) error {
	return a.list("/api/v1/tenants", nil, 0, []string{"SLUG", "NAME", "DOMAIN", "LEVEL", "ACCOUNT"}, func(raw json.RawMessage) ([]string, error) {
		var t struct {
			Slug            string      `json:"slug"`
			Name            client.Text `json:"name"`
			Domain          string      `json:"domain"`
			ProtectionLevel int         `json:"protection_level"`
			AccountID       uint32      `json:"account_id"`
		}
		err := json.Unmarshal(raw, &t)
		return []string{t.Slug, t.Name.In(a.lang()), or(t.Domain), strconv.Itoa(t.ProtectionLevel), strconv.FormatUint(uint64(t.AccountID), 10)}, err
	})
}

type tokensCmd struct {
	Create tokensCreateCmd `cmd:"" help:"Make a token. It is shown this once."`
	List   tokensListCmd   `cmd:"" help:"List tokens, without their secrets."`
	Revoke tokensRevokeCmd `cmd:"" help:"End a token at once."`
}

type tokensCreateCmd struct {
	Name    string   `arg:"" help:"What it is for, e.g. rsyslog-hall-07."`
	Scopes  []string `help:"What it may do: ingest, read, respond, admin." default:"ingest" placeholder:"SCOPE,…"`
	Expires string   `help:"How long it is valid, e.g. 720h or 90d; the server's default without." placeholder:"DURATION"`
}

// Run makes a token. Standard output holds the secret and nothing else, so
// that a script can take it as it is.
func (t *tokensCreateCmd) Run(a *app) error {
	in := map[string]any{"name": t.Name, "scopes": t.Scopes}
	if a.cli.Tenant != "" {
		in["tenant"] = a.cli.Tenant
	}
	if t.Expires != "" {
		d, err := parseDuration(t.Expires)
		if err != nil {
			return usageError("--expires " + err.Error())
		}
		in["expires_in"] = d.String()
	}
	c, err := a.connect()
	if err != nil {
		return err
	}
	var raw []byte
	// The tenant is the token's own here, not the caller's choice of data.
	if err := c.With(c.Options().Token, "").JSON(a.ctx, http.MethodPost, "/api/v1/tokens", nil, in, &raw); err != nil {
		return err
	}
	if a.cli.Output == "json" {
		return a.printLine(raw)
	}
	var made client.Token
	if err := json.Unmarshal(raw, &made); err != nil {
		return fmt.Errorf("the token is not what was expected: %w", err)
	}
	tenant := made.Tenant
	if tenant == "" {
		tenant = "all tenants"
	}
	fmt.Fprintf(a.stderr, "Token %s (%s) for %s, scopes %s, ends %s. Keep it: it is not shown again.\n",
		plain(made.Name), made.ID, tenant, strings.Join(made.Scopes, " "), expires(made.ExpiresAt))
	_, err = fmt.Fprintln(a.stdout, made.Secret)
	return err
}

type tokensListCmd struct{}

// Run lists tokens.
func (tokensListCmd) Run(a *app) error {
	return a.list("/api/v1/tokens", nil, 0, []string{"ID", "NAME", "TENANT", "SCOPES", "ENDS"}, func(raw json.RawMessage) ([]string, error) {
		var t client.Token
		err := json.Unmarshal(raw, &t)
		return []string{t.ID, t.Name, or(t.Tenant), strings.Join(t.Scopes, " "), expires(t.ExpiresAt)}, err
	})
}

type tokensRevokeCmd struct {
	IDs []string `arg:"" name:"id" help:"Ids as listed."`
}

// Run revokes each token.
func (r *tokensRevokeCmd) Run(a *app) error {
	c, err := a.connect()
	if err != nil {
		return err
	}
	for _, id := range r.IDs {
		if err := c.RevokeToken(a.ctx, id); err != nil {
			return fmt.Errorf("token %s: %w", id, err)
		}
		fmt.Fprintf(a.stdout, "token %s revoked\n", id)
	}
	return nil
}

type usersCmd struct {
	List   usersListCmd   `cmd:"" help:"List users."`
	Create usersCreateCmd `cmd:"" help:"Create a user; the password comes as with login."`
}

type usersListCmd struct{}

// Run lists users.
func (usersListCmd) Run(a *app) error {
	return a.list("/api/v1/users", nil, 0, []string{"ID", "USERNAME", "NAME", "ROLES", "TENANTS", "DATA SCOPE"}, func(raw json.RawMessage) ([]string, error) {
		var u client.User
		err := json.Unmarshal(raw, &u)
		tenants := strings.Join(u.Tenants, " ")
		if u.AllTenants {
			tenants = "all"
		}
		return []string{u.ID, u.Username, or(u.DisplayName), or(strings.Join(u.Roles, " ")), or(tenants), or(u.Reach)}, err
	})
}

type usersCreateCmd struct {
	Username      string   `arg:"" help:"Name to sign in with."`
	Name          string   `help:"Name to show." placeholder:"NAME"`
	Roles         []string `help:"Roles: admin, analyst, viewer." default:"analyst" placeholder:"ROLE,…"`
	Tenants       []string `help:"Tenants whose data the user sees; * for all." default:"*" placeholder:"SLUG,…"`
	Reach         string   `help:"Data scope within the tenants, for example 'region = \"north\" and label exists'." placeholder:"EXPRESSION"`
	PasswordStdin bool     `help:"Read the password from the first line of standard input."`
}

// Run creates a user.
func (u *usersCreateCmd) Run(a *app) error {
	c, err := a.connect()
	if err != nil {
		return err
	}
	ask := loginCmd{Username: u.Username, PasswordStdin: u.PasswordStdin}
	password, err := ask.password(a, c.Where())
	if err != nil {
		return err
	}
	in := map[string]any{"username": u.Username, "display_name": u.Name, "password": password, "roles": u.Roles, "tenants": u.Tenants}
	if u.Reach != "" {
		in["reach"] = u.Reach
	}
	var raw []byte
	if err := c.JSON(a.ctx, http.MethodPost, "/api/v1/users", nil, in, &raw); err != nil {
		return err
	}
	if a.cli.Output == "json" {
		return a.printLine(raw)
	}
	_, err = fmt.Fprintf(a.stdout, "user %s created\n", u.Username)
	return err
}

type sourcesCmd struct{}

// Run lists the sources.
func (sourcesCmd) Run(a *app) error {
	return a.list("/api/v1/sources", nil, 0, []string{"ID", "LISTEN", "STATE", "RECEIVED", "REJECTED", "DROPPED", "ERROR"}, func(raw json.RawMessage) ([]string, error) {
		var s client.Source
		err := json.Unmarshal(raw, &s)
		n := func(v uint64) string { return strconv.FormatUint(v, 10) }
		return []string{s.ID, or(s.Listen), s.State, n(s.Received), n(s.Rejected), n(s.Dropped), or(s.Error)}, err
	})
}
