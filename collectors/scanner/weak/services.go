package weak

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/textproto"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/go-sql-driver/mysql"
	"github.com/jackc/pgx/v5/pgconn"
	sshlib "golang.org/x/crypto/ssh"

	"icewatch/collectors/scanner/check"
	"icewatch/collectors/scanner/discover"
	"icewatch/collectors/scanner/scope"
)

func (e *Env) dial(ctx context.Context, t check.Target) (net.Conn, error) {
	c, err := e.Dialer.DialBy(ctx, "weak", "tcp", t.Dial())
	if err == nil {
		_ = c.SetDeadline(time.Now().Add(2 * e.answer()))
	}
	return c, err
}

// errOnce ends a handshake in which one password was refused: it is not sent a second
// time by another way.
var errOnce = errors.New("one password, one way")

func ssh(ctx context.Context, e *Env, t check.Target, p pair) (verdict, string) {
	c, err := e.dial(ctx, t)
	if err != nil {
		return impossible, err.Error()
	}
	defer c.Close()
	asked := false
	conn, chans, reqs, err := sshlib.NewClientConn(c, t.Dial(), &sshlib.ClientConfig{User: p.user, HostKeyCallback: sshlib.InsecureIgnoreHostKey(), //nolint:gosec // Whose key it is does not matter for a default password.
		Auth: []sshlib.AuthMethod{
			sshlib.PasswordCallback(func() (string, error) { asked = true; return p.password, nil }),
			// Servers that ask through PAM, and network devices, take passwords this way alone.
			sshlib.KeyboardInteractive(func(_, _ string, questions []string, echos []bool) ([]string, error) {
				if len(questions) == 0 { // Only something to read.
					return nil, nil
				}
				if asked || len(questions) != 1 || echos[0] {
					return nil, errOnce
				}
				asked = true
				return []string{p.password}, nil
			}),
		}})
	if err == nil {
		go sshlib.DiscardRequests(reqs)
		go func() {
			for ch := range chans {
				_ = ch.Reject(sshlib.Prohibited, "")
			}
		}()
		_ = conn.Close()
		return accepted, string(conn.ServerVersion())
	}
	if !asked {
		return impossible, err.Error()
	}
	if errors.Is(err, errOnce) || strings.Contains(err.Error(), "unable to authenticate") {
		return refused, ""
	}
	return locked, err.Error() // It broke off when a password came: something counts.
}

// mysqlTry speaks TLS where the server offers it: accounts that want it are refused
// without, whatever their password. Where TLS does not come about no password was sent.
func mysqlTry(ctx context.Context, e *Env, t check.Target, p pair) (verdict, string) {
	v, what := mysqlBy(ctx, e, t, p, discover.Lenient("", tls.VersionTLS10, tls.VersionTLS13))
	if v == impossible && strings.Contains(what, "tls: ") {
		return mysqlBy(ctx, e, t, p, nil)
	}
	return v, what
}

func mysqlBy(ctx context.Context, e *Env, t check.Target, p pair, secure *tls.Config) (verdict, string) {
	cfg := mysql.NewConfig()
	cfg.TLS, cfg.AllowFallbackToPlaintext = secure, true
	cfg.User, cfg.Passwd, cfg.Net, cfg.Addr, cfg.AllowNativePasswords, cfg.AllowCleartextPasswords = p.user, p.password, "tcp", t.Dial(), true, false
	cfg.Timeout, cfg.ReadTimeout, cfg.WriteTimeout = time.Minute, 2*e.answer(), e.answer()
	cfg.Logger = &mysql.NopLogger{}
	cfg.DialFunc = func(ctx context.Context, _, _ string) (net.Conn, error) { return e.dial(ctx, t) }
	connector, err := mysql.NewConnector(cfg)
	if err != nil {
		return impossible, err.Error()
	}
	conn, err := connector.Connect(ctx)
	if err == nil {
		_ = conn.Close()
		return accepted, t.Service.Banner
	}
	var said *mysql.MySQLError
	if !errors.As(err, &said) {
		return impossible, err.Error()
	}
	switch said.Number {
	case 1045, 1698:
		return refused, ""
	case 1129, 3118, 3955, 4151: // The host is blocked; the account is locked, by hand or for failed attempts; by MariaDB.
		return locked, said.Message
	case 1130:
		return impossible, said.Message // This host may not come in at all.
	}
	if lockedWords(said.Message) {
		return locked, said.Message
	}
	return refused, ""
}

func postgres(ctx context.Context, e *Env, t check.Target, p pair) (verdict, string) {
	v, what := postgresBy(ctx, e, t, p, nil)
	if v == impossible && strings.Contains(what, "no encryption") { // It takes passwords over TLS alone; none was sent.
		return postgresBy(ctx, e, t, p, discover.Lenient("", tls.VersionTLS12, tls.VersionTLS13))
	}
	return v, what
}

func postgresBy(ctx context.Context, e *Env, t check.Target, p pair, secure *tls.Config) (verdict, string) {
	cfg, err := pgconn.ParseConfig("host=127.0.0.1 port=1 user=x database=postgres sslmode=disable passfile=/dev/null connect_timeout=60")
	if err != nil {
		return impossible, err.Error()
	}
	cfg.Host, cfg.Port, cfg.User, cfg.Password, cfg.Database, cfg.TLSConfig, cfg.Fallbacks = t.Address.Unmap().String(), uint16(t.Service.Port), p.user, p.password, "postgres", secure, nil
	cfg.DialFunc = func(ctx context.Context, _, _ string) (net.Conn, error) { return e.dial(ctx, t) }
	cfg.LookupFunc = func(_ context.Context, host string) ([]string, error) { return []string{host}, nil }
	conn, err := pgconn.ConnectConfig(ctx, cfg)
	if err == nil {
		version := conn.ParameterStatus("server_version")
		_ = conn.Close(ctx)
		return accepted, "PostgreSQL " + version
	}
	var said *pgconn.PgError
	if !errors.As(err, &said) {
		return impossible, err.Error()
	}
	switch {
	case said.Code == "3D000": // The password was right, the database is not there.
		return accepted, said.Message
	case lockedWords(said.Message):
		return locked, said.Message
	case said.Code == "28P01":
		return refused, ""
	case said.Code == "28000":
		if strings.Contains(said.Message, "pg_hba.conf") {
			return impossible, said.Message
		}
		return refused, ""
	case said.Code == "53300":
		return impossible, said.Message
	}
	return impossible, said.Message
}

func redis(ctx context.Context, e *Env, t check.Target, p pair) (verdict, string) {
	c, err := e.dial(ctx, t)
	if err != nil {
		return impossible, err.Error()
	}
	defer c.Close()
	say := func(words ...string) string {
		var b bytes.Buffer
		fmt.Fprintf(&b, "*%d\r\n", len(words))
		for _, w := range words {
			fmt.Fprintf(&b, "$%d\r\n%s\r\n", len(w), w)
		}
		if _, err := c.Write(b.Bytes()); err != nil {
			return ""
		}
		return string(scope.Read(c, 512, e.answer()))
	}
	if !strings.HasPrefix(say("PING"), "-NOAUTH") {
		return impossible, "no password is wanted" // See the check redis-no-password.
	}
	switch answer := say("AUTH", p.password); {
	case strings.HasPrefix(answer, "+OK"):
		return accepted, "AUTH → +OK"
	case answer == "":
		return locked, "it broke off when a password came"
	case lockedWords(answer):
		return locked, answer
	}
	return refused, ""
}

// ftpTLS is what servers say that take passwords over TLS alone.
var ftpTLS = regexp.MustCompile(`(?i)encrypt|\btls\b|\bssl\b|\bsecur`)

func ftp(ctx context.Context, e *Env, t check.Target, p pair) (verdict, string) {
	return ftpBy(ctx, e, t, p, false)
}

func ftpBy(ctx context.Context, e *Env, t check.Target, p pair, secure bool) (verdict, string) {
	c, err := e.dial(ctx, t)
	if err != nil {
		return impossible, err.Error()
	}
	defer func() { _ = c.Close() }()
	if t.Service.TLS != nil { // From the first byte on, as at port 990.
		over := tls.Client(c, discover.Lenient("", tls.VersionTLS10, tls.VersionTLS13))
		if err := over.HandshakeContext(ctx); err != nil {
			return impossible, err.Error()
		}
		c = over
	}
	r := textproto.NewReader(bufio.NewReader(c))
	say := func(words string) (int, string, error) {
		if _, err := c.Write([]byte(words + "\r\n")); err != nil {
			return 0, "", err
		}
		return r.ReadResponse(0)
	}
	if code, text, err := r.ReadResponse(0); err != nil || code != 220 {
		if lockedWords(text) || code == 421 {
			return locked, text
		}
		return impossible, strconv.Itoa(code) + " " + text
	}
	if secure {
		if code, text, err := say("AUTH TLS"); err != nil || code != 234 {
			return impossible, "AUTH TLS → " + strconv.Itoa(code) + " " + text
		}
		over := tls.Client(c, discover.Lenient("", tls.VersionTLS10, tls.VersionTLS13))
		if err := over.HandshakeContext(ctx); err != nil {
			return impossible, err.Error()
		}
		c, r = over, textproto.NewReader(bufio.NewReader(over))
	}
	code, text, err := say("USER " + p.user)
	if err == nil && code >= 400 && !secure && t.Service.TLS == nil && ftpTLS.MatchString(text) { // No password was sent; some hang up then.
		_ = c.Close()
		return ftpBy(ctx, e, t, p, true)
	}
	switch {
	case err != nil:
		return impossible, err.Error()
	case code == 421 || code >= 400 && lockedWords(text):
		return locked, text
	case code == 530 || code == 230: // This account may not come in, or comes in without a password, which is another check's matter.
		return closed, text
	case code != 331:
		return impossible, text
	}
	code, text, err = say("PASS " + p.password)
	switch {
	case err == nil && code == 230:
		if p.user == "ftp" && p.password != anyPassword && ftpAnyone(ctx, e, t) {
			return closed, text // It is anyone's account there; any password is right. The check ftp-anonymous tells of it.
		}
		return accepted, "PASS → 230 " + text
	case code == 421 || lockedWords(text):
		return locked, text
	case code == 0:
		return locked, "it broke off when a password came"
	}
	return refused, ""
}

// anyPassword is one that no account has.
const anyPassword = "scanner@icewatch.invalid"

// ftpAnyone tells whether the account "ftp" is the one that lets anyone in.
func ftpAnyone(ctx context.Context, e *Env, t check.Target) bool {
	v, _ := ftp(ctx, e, t, pair{"ftp", anyPassword})
	return v == accepted
}
