package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strings"

	"icewatch/soc/client"
	"icewatch/soc/version"
)

type loginCmd struct {
	Username      string `help:"Who signs in." short:"u" default:"admin" env:"ICEWATCH_USERNAME"`
	Code          string `help:"Code of the second factor, where one is asked for. Else it is asked for at the terminal." placeholder:"CODE"`
	PasswordStdin bool   `help:"Read the password from the first line of standard input. Else it is ICEWATCH_PASSWORD, else it is asked for."`
}

// Run signs in and keeps the session's token for the server.
func (l *loginCmd) Run(a *app) error {
	path, err := client.CredentialsPath(a.getenv)
	if err != nil {
		return err
	}
	kept, err := client.LoadCredentials(path)
	if err != nil {
		return err
	}
	address := a.cli.URL
	if address == "" {
		address = kept.Default
	}
	if address == "" {
		address = client.DefaultURL
	}
	c, err := a.dial(client.Options{URL: address, CAFile: a.cli.CA, Insecure: a.cli.Insecure, UserAgent: "icectl/" + version.Number})
	if err != nil {
		return err
	}
	password, err := l.password(a, c.Where())
	if err != nil {
		return err
	}
	s, err := c.Login(a.ctx, l.Username, password)
	var p *client.Problem
	switch {
	case !errors.As(err, &p):
	case p.Code == "factor_required":
		if s, err = l.factor(a, c, p); err != nil {
			return err
		}
	case p.Code == "captcha_required":
		return deniedError(c.Where() + " asks for a CAPTCHA after failed sign-ins: sign in with the browser, or wait and try again")
	}
	if err != nil {
		if client.Status(err) == http.StatusUnauthorized {
			return deniedError(fmt.Sprintf("%s did not sign in %s: wrong user name or password", c.Where(), l.Username))
		}
		return err
	}
	kept.Default = client.Key(address)
	kept.Servers[client.Key(address)] = client.Credential{Token: s.Token, Username: l.Username, ExpiresAt: s.ExpiresAt}
	if err := kept.Save(path); err != nil {
		return err
	}
	if a.cli.Output == "json" {
		return a.printJSON(map[string]any{"url": client.Key(address), "username": l.Username, "expires_at": s.ExpiresAt})
	}
	fmt.Fprintf(a.stdout, "Signed in to %s as %s until %s.\n", client.Key(address), l.Username, when(s.ExpiresAt))
	if s.User.MustChange {
		fmt.Fprintln(a.stderr, "This password must be changed: open the console to do so.")
	}
	return nil
}

func (l *loginCmd) password(a *app, where string) (string, error) {
	if !l.PasswordStdin {
		if p := a.getenv("ICEWATCH_PASSWORD"); p != "" {
			return p, nil
		}
		if f, ok := a.stdin.(*os.File); ok && isTerminal(f) {
			fmt.Fprintf(a.stderr, "Password of %s at %s: ", l.Username, where)
			p, err := readPassword(a.ctx, f)
			fmt.Fprintln(a.stderr)
			return p, err
		}
		return "", usageError("no terminal to ask for the password: use --password-stdin or ICEWATCH_PASSWORD")
	}
	line, err := bufio.NewReader(io.LimitReader(a.stdin, 4096)).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return "", fmt.Errorf("password from standard input: %w", err)
	}
	if line = strings.TrimRight(line, "\r\n"); line == "" {
		return "", usageError("the password on standard input is empty")
	}
	return line, nil
}

// factor asks for the code of the user's second factor and goes on with it. A
// security key answers browsers only.
func (l *loginCmd) factor(a *app, c *client.Client, p *client.Problem) (client.Session, error) {
	kind, what := "", ""
	switch {
	case slices.Contains(p.Factors, "totp"):
		kind, what = "totp", "Code of the authenticator, or a recovery code"
	case slices.Contains(p.Factors, "recovery"):
		kind, what = "recovery", "Recovery code"
	default:
		return client.Session{}, deniedError(c.Where() + " asks for a security key, which this tool cannot: make an API token in the browser and set ICEWATCH_TOKEN")
	}
	code := l.Code
	if code == "" {
		f, ok := a.stdin.(*os.File)
		if !ok || !isTerminal(f) {
			return client.Session{}, usageError(c.Where() + " asks for a second factor: give --code")
		}
		fmt.Fprintf(a.stderr, "%s: ", what)
		line, err := bufio.NewReader(io.LimitReader(f, 256)).ReadString('\n')
		if err != nil && !errors.Is(err, io.EOF) {
			return client.Session{}, fmt.Errorf("code from the terminal: %w", err)
		}
		code = line
	}
	if code = strings.TrimSpace(code); kind == "totp" && strings.Contains(code, "-") {
		kind = "recovery"
	}
	s, err := c.LoginFactor(a.ctx, kind, p.Challenge, code)
	if client.Status(err) == http.StatusUnauthorized {
		return s, deniedError(c.Where() + " did not take the code: sign in again with the next one")
	}
	return s, err
}

type logoutCmd struct{}

// Run ends the session at the server and forgets it here, even where the
// server cannot be told.
func (logoutCmd) Run(a *app) error {
	path, err := client.CredentialsPath(a.getenv)
	if err != nil {
		return err
	}
	kept, err := client.LoadCredentials(path)
	if err != nil {
		return err
	}
	address := a.cli.URL
	if address == "" {
		address = kept.Default
	}
	cred, ok := kept.Servers[client.Key(address)]
	if address == "" || !ok {
		fmt.Fprintln(a.stderr, "There is no sign-in to end.")
		return nil
	}
	c, err := client.New(client.Options{URL: address, CAFile: a.cli.CA, Insecure: a.cli.Insecure, Token: cred.Token, UserAgent: "icectl/" + version.Number})
	if err == nil {
		err = c.JSON(a.ctx, http.MethodPost, "/api/v1/auth/logout", nil, nil, nil)
	}
	if err != nil && client.Status(err) != http.StatusUnauthorized {
		fmt.Fprintf(a.stderr, "icectl: the server was not told, the session ends there by itself at %s: %v\n", when(cred.ExpiresAt), err)
	}
	delete(kept.Servers, client.Key(address))
	if kept.Default == client.Key(address) {
		kept.Default = ""
	}
	if err := kept.Save(path); err != nil {
		return err
	}
	fmt.Fprintf(a.stdout, "Signed out of %s.\n", client.Key(address))
	return nil
}

type whoamiCmd struct{}

// Run shows the account behind the credential.
func (whoamiCmd) Run(a *app) error {
	c, err := a.connect()
	if err != nil {
		return err
	}
	if a.cli.Output == "json" {
		var raw []byte
		if err := c.Get(a.ctx, "/api/v1/me", nil, &raw); err != nil {
			return err
		}
		return a.printLine(raw)
	}
	u, err := c.Me(a.ctx)
	if err != nil {
		return err
	}
	tenants := strings.Join(u.Tenants, ", ")
	if u.AllTenants {
		tenants = "all"
	}
	_, err = fmt.Fprintf(a.stdout, "%s at %s\nroles:   %s\nscopes:  %s\ntenants: %s\n",
		plain(u.Username), c.Where(), or(strings.Join(u.Roles, ", ")), or(strings.Join(u.Scopes, ", ")), or(plain(tenants)))
	return err
}
