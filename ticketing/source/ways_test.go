package source

import (
	"bytes"
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1" //nolint:gosec // version 1 of Amazon's signatures is made with it
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/smtp"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"icewatch/soc/event"
	"icewatch/soc/search"
)

// until waits for a state that is reached at some time.
func until(t *testing.T, what string, f func() bool) {
	t.Helper()
	for end := time.Now().Add(60 * time.Second); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		if f() {
			return
		}
	}
	t.Fatalf("never: %s", what)
}

// running runs the room until the test ends, or stop is called.
func (r *room) running() (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	service := r.Service
	go func() {
		defer close(done)
		service.Run(ctx)
	}()
	stop = sync.OnceFunc(func() { cancel(); <-done })
	r.t.Cleanup(stop)
	return stop
}

// TestKafka: records become alerts, the group's place moves on with them, and a
// record that came while nobody read is there afterwards.
func TestKafka(t *testing.T) {
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(2, "alarms"), kfake.EnableSASL(), kfake.Superuser("PLAIN", "reader", "hush"))
	if err != nil {
		t.Fatal(err)
	}
	defer cluster.Close()
	r := newRoom(t)
	stop := r.running()
	c := Content{Name: "bus", Kind: KindKafka, Tenant: "a", Template: "generic-json", Enabled: true,
		Kafka: &KafkaOptions{Brokers: cluster.ListenAddrs(), Topics: []string{"alarms"}, From: "earliest", Mechanism: "PLAIN", Username: "reader"}}
	if _, _, err := r.Create(t.Context(), boss, c, nil); !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), "secrets.password") {
		t.Fatalf("without a password: %v", err)
	}
	if got, err := r.Test(t.Context(), boss, "", c, Secrets{Password: "wrong"}); err != nil || got.OK {
		t.Errorf("a wrong password: %v %+v", err, got)
	}
	if got, err := r.Test(t.Context(), boss, "", c, Secrets{Password: "hush"}); err != nil || !got.OK || !strings.Contains(got.Detail, "alarms: 2 partitions") {
		t.Errorf("%v %+v", err, got)
	}
	other := c
	other.Kafka = &KafkaOptions{Brokers: cluster.ListenAddrs(), Topics: []string{"nothing"}, Mechanism: "PLAIN", Username: "reader"}
	if got, err := r.Test(t.Context(), boss, "", other, Secrets{Password: "hush"}); err != nil || got.OK || !strings.Contains(got.Detail, "topic nothing") {
		t.Errorf("%v %+v", err, got)
	}
	v, _, err := r.Create(t.Context(), boss, c, Secrets{Password: "hush"})
	if err != nil {
		t.Fatal(err)
	}
	producer, err := r.client(r.byID(v.ID), kgo.DefaultProduceTopic("alarms"))
	if err != nil {
		t.Fatal(err)
	}
	defer producer.Close()
	send := func(bodies ...string) {
		t.Helper()
		for _, b := range bodies {
			if err := producer.ProduceSync(t.Context(), kgo.StringRecord(b)).FirstErr(); err != nil {
				t.Fatal(err)
			}
		}
	}
	send(`{"id":1,"name":"a"}`, `{"id":2,"name":"b"}`, `broken`)
	until(t, "two alerts and a dead letter", func() bool {
		got, err := r.Get(t.Context(), boss, v.ID)
		return err == nil && got.Health.DeadLetters == 1 && len(r.desk.firing()) == 2
	})
	stop()
	send(`{"id":1,"name":"a","status":"ok"}`)
	r.reopen()
	r.running()
	until(t, "the end that came while nobody read", func() bool { return len(r.desk.firing()) == 1 })
	got, err := r.Get(t.Context(), boss, v.ID)
	if err != nil || got.Health.Messages != 4 {
		t.Errorf("%v: %d messages, want each of the four once", err, got.Health.Messages)
	}
}

// TestKafkaAway: brokers that do not answer are the source's error, and it goes
// on once they do.
func TestKafkaAway(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	_ = l.Close()
	r := newRoom(t)
	r.running()
	v, _ := r.make(Content{Name: "bus", Kind: KindKafka, Tenant: "a", Template: "generic-json", Kafka: &KafkaOptions{Brokers: []string{address}, Topics: []string{"t"}}})
	until(t, "an error", func() bool {
		got, err := r.Get(t.Context(), boss, v.ID)
		return err == nil && got.Health.State == StateError && strings.Contains(got.Health.Error, "no broker of")
	})
	if list, err := r.alarms(t.Context()); err != nil || len(list) != 1 || list[0].Kind != "alert-source-error" {
		t.Errorf("%v %+v", err, list)
	}
	if got, err := r.Enable(t.Context(), boss, v.ID, false); err != nil || got.Health.State != StateDisabled {
		t.Errorf("%v %+v", err, got.Health)
	}
}

// TestMail speaks SMTP as a device does, by TLS, and is refused what it may not.
func TestMail(t *testing.T) {
	r := newRoom(t)
	v, token := r.make(Content{Name: "ups", Kind: KindMail, Tenant: "a", Template: "mail", Mail: &MailOptions{Senders: []string{"@devices.example", "boss@x.cn"}}})
	_, hook := r.make(generic("hook", "a"))
	key, cert := certificateFor1(t)
	srv := r.MailServer("soc.example", &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{{Certificate: [][]byte{cert.Raw}, PrivateKey: key}}})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- r.ServeMail(srv, l) }()
	defer func() {
		_ = srv.Close()
		if err := <-served; err != nil {
			t.Error(err)
		}
	}()
	roots := x509.NewCertPool()
	roots.AddCert(cert)
	send := func(from, to, body string) error {
		c, err := smtp.Dial(l.Addr().String())
		if err != nil {
			return err
		}
		defer c.Close()
		if err := c.StartTLS(&tls.Config{RootCAs: roots, ServerName: "127.0.0.1", MinVersion: tls.VersionTLS12}); err != nil {
			return err
		}
		if err := errors.Join(c.Mail(from), c.Rcpt(to)); err != nil {
			return err
		}
		w, err := c.Data()
		if err != nil {
			return err
		}
		_, err = io.WriteString(w, body)
		return errors.Join(err, w.Close(), c.Quit())
	}
	mail := "Subject: [CRITICAL] UPS battery low\r\n\r\nHost: ups-2\r\n"
	if err := send("ups@Devices.example", strings.ToUpper(token)+"@soc.example", mail); err != nil {
		t.Fatal(err)
	}
	r.tell(t.Context())
	if got := r.desk.firing(); len(got) != 1 || !strings.HasPrefix(got[0], "a/source/"+v.ID) {
		t.Errorf("%q fire", got)
	}
	for name, c := range map[string]struct{ from, to, want string }{
		"a relay":             {"ups@devices.example", "somebody@elsewhere.example", "550"},
		"a stranger":          {"x@elsewhere.example", token + "@soc.example", "550"},
		"a source of another": {"ups@devices.example", hook + "@soc.example", "550"},
		"its id":              {"ups@devices.example", v.ID + "@soc.example", "550"},
	} {
		if err := send(c.from, c.to, mail); err == nil || !strings.HasPrefix(err.Error(), c.want) {
			t.Errorf("%s: %v, want %s", name, err, c.want)
		}
	}
	// The server may hang up while the rest of it is still on its way.
	if err := send("boss@x.cn", token+"@soc.example", "Subject: x\r\n\r\n"+strings.Repeat(strings.Repeat("x", 70)+"\r\n", maxMail/72+100)); err == nil {
		t.Error("a mail too large is taken")
	}
	if got, err := r.Get(t.Context(), boss, v.ID); err != nil || got.Health.Messages != 1 {
		t.Errorf("%v: %d messages, want the one that was taken", err, got.Health.Messages)
	}
	if _, err := r.Enable(t.Context(), boss, v.ID, false); err != nil {
		t.Fatal(err)
	}
	if err := send("boss@x.cn", token+"@soc.example", mail); err == nil || !strings.HasPrefix(err.Error(), "450") {
		t.Errorf("a source that is off: %v, want an answer to try again", err)
	}
}

// certificateFor1 makes a certificate for 127.0.0.1.
func certificateFor1(t *testing.T) (*rsa.PrivateKey, *x509.Certificate) {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	tpl := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "127.0.0.1"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: noon.Add(-24 * time.Hour), NotAfter: noon.Add(20 * 365 * 24 * time.Hour), KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign}
	raw, err := x509.CreateCertificate(rand.Reader, tpl, tpl, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(raw)
	if err != nil {
		t.Fatal(err)
	}
	return key, cert
}

// cloud stands for a message service: it signs, shows its certificate and hears
// who accepts its invitations.
type cloud struct {
	key      *rsa.PrivateKey
	server   *httptest.Server
	accepted atomic.Int32
	asked    atomic.Int32
	down     atomic.Bool
}

func newCloud(t *testing.T) *cloud {
	key, cert := certificateFor1(t)
	c := &cloud{key: key}
	c.server = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		switch {
		case c.down.Load():
			http.Error(w, "away", http.StatusBadGateway)
		case req.URL.Path == "/cert.pem":
			c.asked.Add(1)
			_ = pem.Encode(w, &pem.Block{Type: "CERTIFICATE", Bytes: cert.Raw})
		case req.URL.Path == "/confirm":
			c.accepted.Add(1)
		}
	}))
	t.Cleanup(c.server.Close)
	return c
}

func (c *cloud) host() string {
	u, _ := url.Parse(c.server.URL)
	return u.Host
}

// sign writes a message as the service does.
func (c *cloud) sign(t *testing.T, kind, version string, m map[string]string) []byte {
	t.Helper()
	e := envelopes[kind]
	m[e.names[mVersion]] = version
	if m[e.names[mCert]] == "" {
		m[e.names[mCert]] = c.server.URL + "/cert.pem"
	}
	var text strings.Builder
	for _, i := range e.signed[m[e.names[mType]]] {
		if v, there := m[e.names[i]]; there {
			fmt.Fprintf(&text, "%s\n%s\n", e.names[i], v)
		}
	}
	sum256 := sha256.Sum256([]byte(text.String()))
	hash, sum := crypto.SHA256, sum256[:]
	if version == "1" {
		sum1 := sha1.Sum([]byte(text.String())) //nolint:gosec // as the sender makes it
		hash, sum = crypto.SHA1, sum1[:]
	}
	signature, err := rsa.SignPKCS1v15(rand.Reader, c.key, hash, sum)
	if err != nil {
		t.Fatal(err)
	}
	m[e.names[mSignature]] = base64.StdEncoding.EncodeToString(signature)
	out, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// TestEnvelopes: what the clouds sign is taken, what anybody changed is not.
func TestEnvelopes(t *testing.T) {
	for _, x := range []struct{ kind, template, version, topic string }{
		{EnvelopeSNS, "aws", "1", "arn:aws-cn:sns:cn-north-1:1:alarms"},
		{EnvelopeSNS, "aws", "2", "arn:aws-cn:sns:cn-north-1:1:alarms"},
		{EnvelopeSMN, "huawei", "v1", "urn:smn:cn-north-4:1:alarms"},
	} {
		t.Run(x.kind+" "+x.version, func(t *testing.T) {
			r := newRoom(t)
			c := newCloud(t)
			r.deps.Client = c.server.Client()
			r.reopen()
			v, _ := r.make(Content{Name: "cloud", Kind: KindWebhook, Tenant: "a", Template: x.template, Cloud: &CloudOptions{Topic: x.topic, Hosts: []string{c.host()}}})
			n := envelopes[x.kind].names
			message := func(more map[string]string) map[string]string {
				m := map[string]string{n[mType]: typeNotification, n[mID]: "1", n[mTopic]: x.topic, n[mSubject]: "alarm", n[mMessage]: templates(t)[x.template].Sample, n[mTime]: "2026-03-01T12:00:00Z"}
				for k, v := range more {
					m[k] = v
				}
				return m
			}
			push := func(body []byte) (Receipt, error) { return r.Push(t.Context(), v.ID, Message{Body: body}) }
			invitation := message(map[string]string{n[mType]: typeInvitation, n[mConfirm]: c.server.URL + "/confirm"})
			delete(invitation, n[mSubject])
			if n[mToken] != "" {
				invitation[n[mToken]] = "t"
			}
			if out, err := push(c.sign(t, x.kind, x.version, invitation)); err != nil || out.Alerts != 0 || c.accepted.Load() != 1 {
				t.Fatalf("an invitation: %v %+v, accepted %d times", err, out, c.accepted.Load())
			}
			if out, err := push(c.sign(t, x.kind, x.version, message(nil))); err != nil || out.Alerts != 1 || out.Failed != 0 {
				t.Fatalf("an alarm: %v %+v", err, out)
			}
			plain := message(nil)
			delete(plain, n[mSubject])
			if out, err := push(c.sign(t, x.kind, x.version, plain)); err != nil || out.Alerts != 1 {
				t.Errorf("an alarm without a subject: %v %+v", err, out)
			}
			if c.asked.Load() != 1 {
				t.Errorf("the certificate was read %d times", c.asked.Load())
			}
			good := c.sign(t, x.kind, x.version, message(nil))
			for name, body := range map[string][]byte{
				"a changed message":    bytes.Replace(good, []byte("cpu-high"), []byte("cpu-lowe"), 1),
				"another topic":        c.sign(t, x.kind, x.version, message(map[string]string{n[mTopic]: x.topic + "x"})),
				"another type":         c.sign(t, x.kind, x.version, message(map[string]string{n[mType]: "Order"})),
				"a certificate's host": c.sign(t, x.kind, x.version, message(map[string]string{n[mCert]: "https://evil.example/cert.pem"})),
				"a host's look-alike":  c.sign(t, x.kind, x.version, message(map[string]string{n[mCert]: "https://sns.cn-north-1.amazonaws.com.evil.example/cert.pem"})),
				"http":                 c.sign(t, x.kind, x.version, message(map[string]string{n[mCert]: "http://" + c.host() + "/cert.pem"})),
				"no signature":         bytes.Replace(good, []byte(`"`+n[mSignature]+`"`), []byte(`"x"`), 1),
				"no envelope":          []byte(templates(t)[x.template].Sample),
				"no JSON":              []byte("alarm"),
			} {
				if _, err := push(body); !errors.Is(err, ErrSeal) {
					t.Errorf("%s: %v, want a refusal", name, err)
				}
			}
			fake := message(map[string]string{n[mType]: typeInvitation, n[mConfirm]: "https://evil.example/confirm"})
			if _, err := push(c.sign(t, x.kind, x.version, fake)); !errors.Is(err, ErrSeal) || c.accepted.Load() != 1 {
				t.Errorf("an invitation elsewhere: %v", err)
			}
			c.down.Store(true)
			if _, err := push(c.sign(t, x.kind, x.version, invitation)); err == nil || errors.Is(err, ErrSeal) {
				t.Errorf("an invitation that cannot be accepted now: %v, want an error that has it sent again", err)
			}
		})
	}
}

// river is the lake as the room sees it.
type river struct {
	mu     sync.Mutex
	events []search.ArrivedEvent
	fails  error
}

func (b *river) add(rows ...string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, row := range rows {
		b.events = append(b.events, search.ArrivedEvent{ID: event.ID{Epoch: "e", Sequence: uint64(len(b.events) + 1)}, Row: json.RawMessage(row)})
	}
}

func (b *river) Arrivals(_ context.Context, a search.Arriving) (search.Arrived, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.fails != nil {
		return search.Arrived{}, b.fails
	}
	out := search.Arrived{Next: a.From}
	for _, e := range b.events {
		if !a.From.Before(e.ID) && len(out.Events) < 2 { // small pages
			out.Events, out.Next = append(out.Events, e), search.Place{Epoch: "e", Sequence: e.ID.Sequence + 1}
		}
	}
	out.More = int(out.Next.Sequence) <= len(b.events)
	return out, nil
}

func (b *river) Locate(_ context.Context, when string) (search.Place, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	p := search.Place{Epoch: "e", Sequence: 1}
	if when == search.Newest {
		p.Sequence += uint64(len(b.events))
	}
	return p, b.fails
}

func (b *river) Backlog(context.Context, search.Place) (search.Arrived, error) {
	return search.Arrived{}, nil
}

// TestEvents: events become alerts once each, from where the source began,
// across restarts.
func TestEvents(t *testing.T) {
	r := newRoom(t)
	lake := &river{}
	r.deps.Arrivals = lake
	r.reopen()
	lake.add(`{"message":"before","host.name":"old"}`)
	stop := r.running()
	c := Content{Name: "syslog", Kind: KindEvents, Tenant: "a", Template: "events", Events: &EventsOptions{Filter: "a | b"}}
	if _, _, err := r.Create(t.Context(), boss, c, nil); !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), "events.filter: no pipes") {
		t.Fatal(err)
	}
	c.Events = &EventsOptions{Filter: "*"}
	v, _ := r.make(c)
	messages := func(n int64) func() bool {
		return func() bool {
			got, err := r.Get(t.Context(), boss, v.ID)
			return err == nil && got.Health.Messages == n
		}
	}
	until(t, "it runs", func() bool {
		got, err := r.Get(t.Context(), boss, v.ID)
		return err == nil && got.Health.RunningSince != nil
	})
	lake.add(`{"message":"port 7 down","host.name":"sw-1","log.syslog.severity.code":"2"}`, `{"message":"port 8 down","host.name":"sw-1"}`, `{"message":"port 7 down","host.name":"sw-2"}`)
	until(t, "three events", messages(3))
	stop()
	lake.add(`{"message":"port 9 down","host.name":"sw-1"}`)
	r.reopen()
	r.running()
	until(t, "the fourth, once", messages(4))
	until(t, "four alerts", func() bool { return len(r.desk.firing()) == 4 })
	lake.mu.Lock()
	lake.fails = errors.New("the engine is away")
	lake.mu.Unlock()
	until(t, "an error", func() bool {
		got, err := r.Get(t.Context(), boss, v.ID)
		return err == nil && got.Health.State == StateError && strings.Contains(got.Health.Error, "the engine is away")
	})
}
