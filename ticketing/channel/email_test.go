package channel

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io"
	"math/big"
	"mime"
	"net"
	netmail "net/mail"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"

	"icewatch/soc/egress"
)

// post is a mail server that keeps what it took.
type post struct {
	mu     sync.Mutex
	taken  []string
	tls    []bool
	refuse *smtp.SMTPError
	addr   *net.TCPAddr
	ca     string
}

// NewSession implements smtp.Backend.
func (p *post) NewSession(c *smtp.Conn) (smtp.Session, error) { return &letter{p: p, c: c}, nil }

type letter struct {
	p      *post
	c      *smtp.Conn
	known  bool
	people []string
}

func (l *letter) AuthMechanisms() []string { return []string{sasl.Plain} }

func (l *letter) Auth(string) (sasl.Server, error) {
	return sasl.NewPlainServer(func(_, username, password string) error {
		if username != "soc" || password != "geheim" {
			return &smtp.SMTPError{Code: 535, EnhancedCode: smtp.EnhancedCode{5, 7, 8}, Message: "authentication failed for geheim"}
		}
		l.known = true
		return nil
	}), nil
}

func (l *letter) Mail(string, *smtp.MailOptions) error {
	if !l.known {
		return &smtp.SMTPError{Code: 530, Message: "authenticate first"}
	}
	return nil
}

func (l *letter) Rcpt(to string, _ *smtp.RcptOptions) error {
	l.people = append(l.people, to)
	l.p.mu.Lock()
	defer l.p.mu.Unlock()
	if l.p.refuse != nil {
		return l.p.refuse
	}
	return nil
}

func (l *letter) Data(r io.Reader) error {
	data, err := io.ReadAll(r)
	l.p.mu.Lock()
	defer l.p.mu.Unlock()
	_, secure := l.c.TLSConnectionState()
	l.p.taken, l.p.tls = append(l.p.taken, string(data)), append(l.p.tls, secure)
	return err
}

func (l *letter) Reset()        {}
func (l *letter) Logout() error { return nil }

func newPost(t testing.TB, implicit bool) *post {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true,
		BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	p := &post{ca: string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))}
	s := smtp.NewServer(p)
	s.Domain = "mail.example"
	s.TLSConfig = &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p.addr = l.Addr().(*net.TCPAddr)
	if implicit {
		l = tls.NewListener(l, s.TLSConfig)
	}
	go func() { _ = s.Serve(l) }()
	t.Cleanup(func() { _ = s.Close() })
	return p
}

func (p *post) email(security string) *Email {
	return &Email{Host: "127.0.0.1", Port: p.addr.Port, Security: security, CA: p.ca, Username: "soc", Password: "geheim",
		From: "冰眼 <soc@example.gov.cn>", To: []string{"wang@example.gov.cn"}, OnCall: true}
}

func TestEmail(t *testing.T) {
	t.Parallel()
	for _, implicit := range []bool{false, true} {
		p := newPost(t, implicit)
		e := p.email(map[bool]string{false: SecurityStartTLS, true: SecurityTLS}[implicit])
		if err := e.Check(); err != nil {
			t.Fatal(err)
		}
		n := notice("opened")
		n.People = []Person{{Name: "li", Email: "li@example.gov.cn"}, {Name: "zhao"}}
		for range 2 {
			if r := e.Send(t.Context(), via(t, nil), n); r.Err != nil {
				t.Fatal(r.Err)
			}
		}
		n.Delivery, n.Kind = "ffff", "resolved"
		if r := e.Send(t.Context(), via(t, nil), n); r.Err != nil {
			t.Fatal(r.Err)
		}
		var ids, threads []string
		for i, text := range p.taken {
			m, err := netmail.ReadMessage(strings.NewReader(text))
			if err != nil {
				t.Fatal(err)
			}
			ids, threads = append(ids, m.Header.Get("Message-Id")), append(threads, m.Header.Get("References")+m.Header.Get("In-Reply-To"))
			body, _ := io.ReadAll(m.Body)
			if !p.tls[i] || m.Header.Get("Auto-Submitted") != "auto-generated" || !strings.Contains(m.Header.Get("Content-Type"), "multipart/alternative") ||
				!strings.Contains(string(body), "text/html") || !strings.Contains(m.Header.Get("To"), "li@example.gov.cn") {
				t.Errorf("TLS %v, mail %s", p.tls[i], text)
			}
			subject, err := new(mime.WordDecoder).DecodeHeader(m.Header.Get("Subject"))
			if err != nil || subject != "新事件 “税务”" {
				t.Errorf("subject %q, %v", subject, err)
			}
		}
		if len(ids) != 3 || ids[0] != ids[1] || ids[0] == ids[2] {
			t.Errorf("a repeated attempt keeps its id, another notice has its own: %q", ids)
		}
		if threads[0] == "" || threads[0] != threads[2] {
			t.Errorf("threads %q", threads)
		}
	}
}

func TestEmailRefused(t *testing.T) {
	t.Parallel()
	p := newPost(t, false)
	f := func(what string, change func(e *Email), retry bool, want string) {
		t.Helper()
		e := p.email(SecurityStartTLS)
		change(e)
		r := e.Send(t.Context(), via(t, nil), notice("opened"))
		if r.Err == nil || r.Retry != retry || !strings.Contains(r.Err.Error(), want) || strings.Contains(r.Err.Error(), "geheim") {
			t.Errorf("%s: %+v", what, r.Result)
		}
	}
	f("wrong password", func(e *Email) { e.Username = "other" }, false, "535")
	f("untrusted", func(e *Email) { e.CA = "" }, false, "not trusted")
	f("nobody", func(e *Email) { e.To = nil }, false, "nobody")
	p.mu.Lock()
	p.refuse = &smtp.SMTPError{Code: 451, Message: "greylisted"}
	p.mu.Unlock()
	f("greylisted", func(*Email) {}, true, "greylisted")
	p.mu.Lock()
	p.refuse = &smtp.SMTPError{Code: 550, Message: "no such user"}
	p.mu.Unlock()
	f("unknown", func(*Email) {}, false, "no such user")
	f("no server", func(e *Email) { e.Port = 1 }, true, "refused")
	if len(p.taken) != 0 {
		t.Errorf("%d mails were taken", len(p.taken))
	}
	if r := (&Email{}).judge(errors.Join(egress.ErrRefused)); r.Retry {
		t.Error("an address that the guard refuses is tried again")
	}
}
