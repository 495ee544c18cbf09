package channel

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	netmail "net/mail"
	"net/textproto"
	"slices"
	"strconv"
	"strings"

	"github.com/wneessen/go-mail"

	"icewatch/soc/egress"
	"icewatch/ticketing/webhook"
)

// Email sends mail over an SMTP server.
type Email struct {
	Host     string   `json:"host" form:"text!;SMTP 服务器;SMTP server"`
	Port     int      `json:"port,omitempty" form:"number;端口（默认 587 / 465 / 25）;Port (587, 465 or 25 by default)"`
	Security string   `json:"security,omitempty" form:"choice;加密;Encryption;starttls;starttls|tls|none"`
	CA       string   `json:"ca,omitempty" form:"long;信任的 CA 证书（PEM）;Certificates of the authority to trust (PEM)"`
	Username string   `json:"username,omitempty" form:"text;用户名;User name"`
	Password string   `json:"password,omitempty" secret:"true" form:"text;密码或授权码;Password"`
	Auth     string   `json:"auth,omitempty" form:"choice;认证方式;Authentication;auto;auto|plain|login|cram-md5|xoauth2"`
	From     string   `json:"from" form:"text!;发件人;From"`
	To       []string `json:"to,omitempty" form:"list;收件人;To"`
	OnCall   bool     `json:"on_call,omitempty" form:"switch;发送给被呼叫的值班人员;Send to who is on call"`
}

// How a connection to the mail server is encrypted.
const (
	SecurityStartTLS = "starttls" // required, not tried
	SecurityTLS      = "tls"
	SecurityNone     = "none"
)

var mailAuth = map[string]mail.SMTPAuthType{"": mail.SMTPAuthAutoDiscover, "auto": mail.SMTPAuthAutoDiscover, "plain": mail.SMTPAuthPlain,
	"login": mail.SMTPAuthLogin, "cram-md5": mail.SMTPAuthCramMD5, "xoauth2": mail.SMTPAuthXOAUTH2}

// Check implements Channel.
func (e *Email) Check() error {
	if e.Host == "" || strings.ContainsAny(e.Host, "/@ \t\r\n") {
		return fmt.Errorf("host: %q: want the name or address of a mail server", e.Host)
	}
	if e.Port < 0 || e.Port > 65535 {
		return fmt.Errorf("port: %d: want 1 to 65535", e.Port)
	}
	switch e.Security {
	case "", SecurityStartTLS, SecurityTLS:
	case SecurityNone:
		if e.Password != "" {
			return errors.New("security: none would send the password in the clear: use starttls or tls")
		}
	default:
		return fmt.Errorf("security: %q: want starttls, tls or none", e.Security)
	}
	if _, ok := mailAuth[e.Auth]; !ok {
		return fmt.Errorf("auth: %q: want auto, plain, login, cram-md5 or xoauth2", e.Auth)
	}
	if _, err := e.roots(); err != nil {
		return err
	}
	if _, err := netmail.ParseAddress(e.From); err != nil {
		return fmt.Errorf("from: %q is no address: want one such as icewatch <soc@example.gov.cn>", e.From)
	}
	for _, to := range e.To {
		if _, err := netmail.ParseAddress(to); err != nil {
			return fmt.Errorf("to: %q is no address", to)
		}
	}
	if len(e.To) == 0 && !e.OnCall {
		return errors.New("to: nobody is named: give addresses, or send to who is on call")
	}
	return nil
}

func (e *Email) roots() (*x509.CertPool, error) {
	if e.CA == "" {
		return nil, nil // the system's
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM([]byte(e.CA)) {
		return nil, errors.New("ca: it holds no certificate in PEM")
	}
	return pool, nil
}

func (e *Email) port() int {
	switch {
	case e.Port != 0:
		return e.Port
	case e.Security == SecurityTLS:
		return 465
	case e.Security == SecurityNone:
		return 25
	}
	return 587
}

// URLs implements Channel.
func (e *Email) URLs() []string {
	return []string{"tcp://" + net.JoinHostPort(e.Host, strconv.Itoa(e.port()))}
}

// Send implements Channel. Mail about one thing shares a reference, so that
// mail programs show it as one thread; a repeated attempt has the same
// Message-ID.
func (e *Email) Send(ctx context.Context, via *Via, n *Notice) Result {
	to := slices.Clone(e.To)
	if e.OnCall {
		for _, p := range n.People {
			if p.Email != "" {
				to = append(to, p.Email)
			}
		}
	}
	if len(to) == 0 {
		if len(n.People) > 0 {
			return final("%s has no e-mail address: enter it in the user's profile", n.People[0].Name)
		}
		return final("nobody is to get it: it is for no person, and the contact point names no addresses")
	}
	from, err := netmail.ParseAddress(e.From)
	if err != nil {
		return final("from: it is no address")
	}
	m := mail.NewMsg()
	if err := m.FromFormat(from.Name, from.Address); err != nil {
		return final("from: %w", err)
	}
	if err := m.To(to...); err != nil {
		return final("to: %w", err)
	}
	_, domain, _ := strings.Cut(from.Address, "@")
	m.Subject(clip(n.Title, 250))
	m.SetDateWithValue(n.At)
	m.SetMessageIDWithValue(n.Delivery + "@" + domain)
	if n.Thread != "" {
		sum := sha256.Sum256([]byte(n.Thread))
		root := "<" + hex.EncodeToString(sum[:12]) + ".thread@" + domain + ">"
		m.SetGenHeader(mail.HeaderReferences, root)
		m.SetGenHeader(mail.HeaderInReplyTo, root)
	}
	m.SetGenHeader("Auto-Submitted", "auto-generated") // RFC 3834: no vacation notices come back
	m.SetGenHeader(webhook.DeliveryHeader, n.Delivery)
	if n.Grave() {
		m.SetImportance(mail.ImportanceHigh)
	}
	m.SetBodyString(mail.TypeTextPlain, n.Text)
	if n.HTML != "" {
		m.AddAlternativeString(mail.TypeTextHTML, n.HTML)
	}
	for _, f := range n.Files {
		if err := m.AttachReader(f.Name, bytes.NewReader(f.Data), mail.WithFileContentType(mail.ContentType(f.Media))); err != nil {
			return final("attach %s: %w", f.Name, err)
		}
	}
	client, err := e.client(via)
	if err != nil {
		return final("%w", err)
	}
	if err := client.DialAndSendWithContext(ctx, m); err != nil {
		return e.judge(err)
	}
	return Result{}
}

func (e *Email) client(via *Via) (*mail.Client, error) {
	roots, err := e.roots()
	if err != nil {
		return nil, err
	}
	secure := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: e.Host, RootCAs: roots}
	options := []mail.Option{mail.WithPort(e.port()), mail.WithTimeout(via.limit), mail.WithTLSConfig(secure)}
	dial := via.dial
	switch e.Security {
	case "", SecurityStartTLS:
		options = append(options, mail.WithTLSPolicy(mail.TLSMandatory))
	case SecurityTLS:
		// The guard's dialler makes the connection, and TLS goes over it. The
		// library learns that it is encrypted where it may look for STARTTLS.
		options = append(options, mail.WithTLSPolicy(mail.TLSOpportunistic))
		dial = func(ctx context.Context, network, address string) (net.Conn, error) {
			plain, err := via.dial(ctx, network, address)
			if err != nil {
				return nil, err
			}
			conn := tls.Client(plain, secure)
			if err := conn.HandshakeContext(ctx); err != nil {
				_ = plain.Close()
				return nil, err
			}
			return conn, nil
		}
	default:
		options = append(options, mail.WithTLSPolicy(mail.NoTLS))
	}
	options = append(options, mail.WithDialContextFunc(dial))
	if e.Username != "" {
		options = append(options, mail.WithSMTPAuth(mailAuth[e.Auth]), mail.WithUsername(e.Username), mail.WithPassword(e.Password))
	}
	client, err := mail.NewClient(e.Host, options...)
	if err != nil {
		return nil, fmt.Errorf("the mail server cannot be used: %w", err)
	}
	return client, nil
}

// judge says what became of an attempt. Codes of 500 and above are final, as
// RFC 5321 (4.2.1) has it; whatever broke off may go better later.
func (e *Email) judge(err error) Result {
	r := Result{Result: webhook.Result{Retry: true}}
	var code int
	var se *mail.SendError
	var te *textproto.Error
	var certificate *tls.CertificateVerificationError
	switch {
	case errors.As(err, &se) && se.ErrorCode() != 0:
		code = se.ErrorCode()
	case errors.As(err, &te):
		code = te.Code
	case errors.Is(err, egress.ErrRefused):
		r.Retry = false
	case errors.As(err, &certificate):
		r.Err, r.Retry = fmt.Errorf("the mail server's certificate is not trusted: %w", certificate.Err), false
		return r
	}
	if code >= 500 {
		r.Retry = false
	}
	r.Err = fmt.Errorf("the mail server: %s", clip(strings.Join(strings.Fields(e.quiet(err.Error())), " "), 300))
	return r
}

// quiet takes the password out of a server's words.
func (e *Email) quiet(s string) string {
	if e.Password == "" {
		return s
	}
	return strings.ReplaceAll(s, e.Password, Mask)
}
