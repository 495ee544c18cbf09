package source

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/emersion/go-smtp"
	"golang.org/x/net/netutil"
)

// Mail comes by SMTP and not from a mailbox that is polled: the sender gets its
// 250 once the alert is durable, no mail server has to be trusted with it or be
// up, and no password of a mailbox has to be kept. Who sends needs the source's
// token, which is the local part of the address; mail to any other address is
// refused, so that nothing can be relayed.

// Limits of mail.
const (
	maxMail        = 4 << 20
	maxRecipients  = 10
	maxMailLine    = 64 << 10 // RFC 5321 says 1,000; what writes HTML does not always keep to it
	maxMailClients = 64
	mailPatience   = time.Minute
)

// MailServer makes an SMTP server for the sources of the kind mail. With a
// configuration of TLS it offers STARTTLS.
func (s *Service) MailServer(domain string, conf *tls.Config) *smtp.Server {
	srv := smtp.NewServer(smtp.BackendFunc(func(c *smtp.Conn) (smtp.Session, error) {
		return &mailSession{s: s, peer: c.Conn().RemoteAddr()}, nil
	}))
	srv.Domain, srv.TLSConfig = domain, conf
	srv.MaxMessageBytes, srv.MaxRecipients, srv.MaxLineLength = maxMail, maxRecipients, maxMailLine
	srv.ReadTimeout, srv.WriteTimeout = mailPatience, mailPatience
	srv.EnableSMTPUTF8 = true
	srv.ErrorLog = mailLog{s.deps.Log}
	return srv
}

// ServeMail serves mail until the listener is closed.
func (s *Service) ServeMail(srv *smtp.Server, l net.Listener) error {
	err := srv.Serve(netutil.LimitListener(l, maxMailClients))
	if err != nil && !errors.Is(err, smtp.ErrServerClosed) && !errors.Is(err, net.ErrClosed) {
		return fmt.Errorf("mail of alert sources: %w", err)
	}
	return nil
}

// mailSession is one conversation.
type mailSession struct {
	s    *Service
	peer net.Addr
	from string
	to   []string // ids of sources
}

var _ smtp.Session = (*mailSession)(nil)

// Mail implements smtp.Session.
func (m *mailSession) Mail(from string, _ *smtp.MailOptions) error {
	m.from = strings.ToLower(from)
	return nil
}

// Rcpt implements smtp.Session.
func (m *mailSession) Rcpt(to string, _ *smtp.RcptOptions) error {
	local, _, _ := strings.Cut(to, "@")
	one, err := m.s.find(strings.ToLower(local), "")
	if err != nil || one.content.Kind != KindMail {
		return &smtp.SMTPError{Code: 550, EnhancedCode: smtp.EnhancedCode{5, 1, 1}, Message: "there is no alert source of this address"}
	}
	if !one.Enabled {
		return &smtp.SMTPError{Code: 450, EnhancedCode: smtp.EnhancedCode{4, 2, 1}, Message: "the alert source is disabled: send it again later"}
	}
	if one.content.Mail != nil && len(one.content.Mail.Senders) > 0 && !slices.ContainsFunc(one.content.Mail.Senders, func(allowed string) bool { return sender(m.from, strings.ToLower(allowed)) }) {
		return &smtp.SMTPError{Code: 550, EnhancedCode: smtp.EnhancedCode{5, 7, 1}, Message: "the alert source takes no mail of this sender"}
	}
	if !slices.Contains(m.to, one.ID) {
		m.to = append(m.to, one.ID)
	}
	return nil
}

// sender tells whether an address is the one allowed, or of the domain.
func sender(from, allowed string) bool {
	return from == allowed || strings.HasPrefix(allowed, "@") && strings.HasSuffix(from, allowed)
}

// Data implements smtp.Session. It answers 250 once the mail is durable.
func (m *mailSession) Data(r io.Reader) error {
	var body bytes.Buffer
	if _, err := body.ReadFrom(r); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), mailPatience)
	defer cancel()
	host, _, _ := net.SplitHostPort(m.peer.String())
	for _, id := range m.to {
		if _, err := m.s.Take(ctx, id, Message{Body: body.Bytes(), Meta: map[string]string{"peer": host, "mail_from": clip(m.from, 256)}}); err != nil {
			m.s.deps.Log.Warn("alert sources: a mail is not taken, and its sender is told to send it again", "source", id, "error", err)
			return &smtp.SMTPError{Code: 451, EnhancedCode: smtp.EnhancedCode{4, 3, 0}, Message: "the mail cannot be taken now: send it again"}
		}
	}
	return nil
}

// Reset implements smtp.Session.
func (m *mailSession) Reset() { m.from, m.to = "", nil }

// Logout implements smtp.Session.
func (m *mailSession) Logout() error { return nil }

// mailLog passes on what the SMTP server says.
type mailLog struct{ log *slog.Logger }

// Printf implements smtp.Logger.
func (l mailLog) Printf(format string, v ...any) {
	l.log.Debug("alert sources: mail: " + strings.TrimSpace(fmt.Sprintf(format, v...)))
}

// Println implements smtp.Logger.
func (l mailLog) Println(v ...any) {
	l.log.Debug("alert sources: mail: " + strings.TrimSpace(fmt.Sprintln(v...)))
}
