package forward

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"icewatch/soc/audit"
	"icewatch/soc/event"
	"icewatch/soc/intake"
	"icewatch/soc/pipeline/parse"
	"icewatch/soc/state"
)

func TestCheck(t *testing.T) {
	t.Parallel()
	f := func(want string, targets ...Target) {
		t.Helper()
		err := Config{targets}.Check()
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%+v: %v, want %q", targets, err, want)
		}
	}
	syslog := Target{Name: "siem", Kind: KindSyslog, Transport: "tls", Address: "siem.example:6514"}
	kafka := Target{Name: "lake", Kind: KindKafka, Brokers: []string{"k1:9092"}, Topic: "audit"}
	with := func(t Target, change func(*Target)) Target { change(&t); return t }
	f("")
	f("", syslog, kafka)
	f("given twice", syslog, syslog)
	f("the name", with(syslog, func(t *Target) { t.Name = "a b" }))
	f("kind is", with(syslog, func(t *Target) { t.Kind = "smoke" }))
	f("transport is", with(syslog, func(t *Target) { t.Transport = "relp" }))
	f("host:port", with(syslog, func(t *Target) { t.Address = "siem" }))
	f("host:port", with(syslog, func(t *Target) { t.Address = "siem:0" }))
	f("no certificate", with(syslog, func(t *Target) { t.CA = "x" }))
	f("from is", with(syslog, func(t *Target) { t.From = "yesterday" }))
	f("brokers", with(kafka, func(t *Target) { t.Brokers = nil }))
	f("broker is", with(kafka, func(t *Target) { t.Brokers = []string{"k1"} }))
	f("topic is", with(kafka, func(t *Target) { t.Topic = "a/b" }))
	f("needs username", with(kafka, func(t *Target) { t.Mechanism = "SCRAM-SHA-512" }))
	f("as it is", with(kafka, func(t *Target) { t.Mechanism, t.Username, t.PasswordFile = "PLAIN", "u", "p" }))
	f("password_file", with(kafka, func(t *Target) { t.PasswordFile = "../../state/icewatch.db" }))
	f("want at most", make([]Target, 11)...)
}

// The message is one that a strict parser of RFC 5424 takes, with the record in
// JSON as its text.
func TestMessage(t *testing.T) {
	t.Parallel()
	rec := audit.Record{Seq: 1 << 32, Time: time.Date(2026, 11, 25, 9, 0, 0, 5e6, time.UTC), Actor: "李 \"x\"", Action: "create user\n" + strings.Repeat("é", 50) + "x",
		Result: audit.Denied, Detail: "a ] b \\ c", Changes: json.RawMessage(`[{"field":"` + strings.Repeat("x", 16000) + `"}]`), Hash: "ab"}
	text, err := message(&rec, "soc-1", 0)
	if err != nil {
		t.Fatal(err)
	}
	var ev event.Event
	parse.New(event.NewRegistry(0), parse.Options{}).Parse(&intake.Record{Format: intake.Syslog, Data: text, Received: time.Now().UnixNano()}, &ev)
	for id, want := range map[event.FieldID]string{event.SyslogVersion: "1", event.SyslogPriority: "108", event.SyslogHostname: "soc-1", event.SyslogAppname: "icewatch",
		event.SyslogMsgID: "createuserx"} {
		if got := ev.Text(id); got != want {
			t.Errorf("field %d is %q, want %q", id, got, want)
		}
	}
	if sd := fmt.Sprintf(`[meta sequenceId="%d"] {`, (1<<32-1)%(1<<31-1)+1); !ev.Timestamp().Equal(rec.Time) || !bytes.Contains(text, []byte(sd)) {
		t.Errorf("time %s, want %s in %.200s", ev.Timestamp(), sd, text)
	}
	var back audit.Record
	if err := json.Unmarshal(text[bytes.IndexByte(text, '{'):], &back); err != nil || back.Actor != rec.Actor || back.Seq != rec.Seq || back.Hash != "ab" {
		t.Errorf("%+v, %v", back, err)
	}
	if text, err = message(&rec, "soc-1", 2000); err != nil || len(text) > 2000 || !strings.Contains(string(text), "left out") {
		t.Errorf("%d bytes, %v", len(text), err)
	}
}

// source opens a log with n records.
func source(t *testing.T, n int) (*audit.Log, *state.DB) {
	t.Helper()
	db, err := state.Open(t.Context(), filepath.Join(t.TempDir(), "state.db"))
	if err != nil {
		t.Fatal(err)
	}
	l, err := audit.Open(t.Context(), db, audit.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close(); _ = db.Close() })
	add(t, l, n)
	return l, db
}

func add(t *testing.T, l *audit.Log, n int) {
	t.Helper()
	for range n {
		if err := l.Append(context.Background(), audit.Record{Actor: "li", Action: "x", Result: audit.OK}); err != nil {
			t.Fatal(err)
		}
	}
}

// start runs a forwarder until stop or the test's end.
func start(t *testing.T, db *state.DB, l *audit.Log, c Config) (f *Forwarder, stop func()) {
	t.Helper()
	f = New(db, l, Options{Dial: (&net.Dialer{Timeout: time.Second}).DialContext})
	f.Set(c)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { f.Run(ctx); close(done) }()
	var once sync.Once
	stop = func() { once.Do(func() { cancel(); <-done }) }
	t.Cleanup(stop)
	return f, stop
}

// receiver is a syslog server by TCP that counts what it reads, octet counted.
type receiver struct {
	net.Listener
	mu   sync.Mutex
	seen map[int64]int
	cut  int // closes each connection after so many messages; 0 never
}

func receive(t *testing.T, l net.Listener) *receiver {
	t.Helper()
	r := &receiver{Listener: l, seen: map[int64]int{}}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go r.read(c)
		}
	}()
	return r
}

func (r *receiver) read(c net.Conn) {
	defer c.Close()
	br := bufio.NewReader(c)
	for n := 0; ; n++ {
		var length int
		if _, err := fmt.Fscanf(br, "%d ", &length); err != nil {
			return
		}
		msg := make([]byte, length)
		if _, err := io.ReadFull(br, msg); err != nil {
			return
		}
		var rec audit.Record
		if err := json.Unmarshal(msg[strings.IndexByte(string(msg), '{'):], &rec); err != nil {
			return
		}
		r.mu.Lock()
		r.seen[rec.Seq]++
		cut := r.cut
		r.mu.Unlock()
		if cut > 0 && n+1 >= cut {
			return
		}
	}
}

// wait waits until the records from first to last are there.
func (r *receiver) wait(t *testing.T, first, last int64) {
	t.Helper()
	var missing int64
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		missing = 0
		r.mu.Lock()
		for seq := first; seq <= last && missing == 0; seq++ {
			if r.seen[seq] == 0 {
				missing = seq
			}
		}
		r.mu.Unlock()
		if missing == 0 {
			return
		}
	}
	t.Fatalf("record %d did not come", missing)
}

func TestSyslogTCP(t *testing.T) {
	t.Parallel()
	l, db := source(t, 30)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := receive(t, ln)
	c := Config{[]Target{{Name: "siem", Kind: KindSyslog, Transport: "tcp", Address: ln.Addr().String(), From: "start"}}}
	f, stop := start(t, db, l, c)
	r.wait(t, 1, 30)
	add(t, l, 5)
	r.wait(t, 31, 35)
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) {
		list, err := f.Status(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if s := list[0]; s.State == StateOK && s.Position == 35 && s.Lag == 0 && s.Sent == 35 {
			break
		} else if time.Now().After(deadline) {
			t.Fatalf("%+v", s)
		}
	}
	stop()
	// The receiver is away while records come and the suite starts again; then
	// it hangs up in the middle, again and again.
	addr := ln.Addr().String()
	_ = ln.Close()
	add(t, l, 10)
	f, _ = start(t, db, l, c)
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) {
		list, err := f.Status(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if s := list[0]; s.State == StateRetrying && s.Error != "" && s.Lag == 10 && s.LagTime > 0 {
			break
		} else if time.Now().After(deadline) {
			t.Fatalf("%+v", s)
		}
	}
	if ln, err = net.Listen("tcp", addr); err != nil {
		t.Fatal(err)
	}
	again := receive(t, ln)
	again.mu.Lock()
	again.cut = 12
	again.mu.Unlock()
	again.wait(t, 36, 45)
	again.mu.Lock()
	again.cut = 0
	twice := again.seen[30] > 0
	again.mu.Unlock()
	if twice {
		t.Error("what the receiver had before the restart came again")
	}
}

func TestSyslogTLS(t *testing.T) {
	t.Parallel()
	l, db := source(t, 3)
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{"siem.example"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	ln, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}})
	if err != nil {
		t.Fatal(err)
	}
	r := receive(t, ln)
	target := Target{Name: "siem", Kind: KindSyslog, Transport: "tls", Address: ln.Addr().String(), From: "start", ServerName: "siem.example",
		CA: string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))}
	f, _ := start(t, db, l, Config{[]Target{target}})
	r.wait(t, 1, 3)
	// A certificate that nobody vouches for is not talked to.
	target.CA, target.Name = "", "other"
	f.Set(Config{[]Target{target}})
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) {
		if list, err := f.Status(t.Context()); err == nil && strings.Contains(list[0].Error, "certificate") && list[0].Position == 0 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("an unknown certificate was believed")
		}
	}
}

func TestSyslogUDP(t *testing.T) {
	t.Parallel()
	l, db := source(t, 3)
	pc, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer pc.Close()
	start(t, db, l, Config{[]Target{{Name: "siem", Kind: KindSyslog, Transport: "udp", Address: pc.LocalAddr().String(), From: "start"}}})
	buf := make([]byte, 64<<10)
	for want := int64(1); want <= 3; want++ {
		_ = pc.SetReadDeadline(time.Now().Add(10 * time.Second))
		n, _, err := pc.ReadFrom(buf)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(string(buf[:n]), fmt.Sprintf(`{"seq":%d,`, want)) {
			t.Errorf("got %s, want record %d", buf[:n], want)
		}
	}
}

// A new target begins with what comes, unless told otherwise; one that is off
// is not sent to.
func TestFromNow(t *testing.T) {
	t.Parallel()
	l, db := source(t, 5)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := receive(t, ln)
	target := Target{Name: "siem", Kind: KindSyslog, Transport: "tcp", Address: ln.Addr().String()}
	f, _ := start(t, db, l, Config{[]Target{target}})
	for {
		if list, err := f.Status(t.Context()); err == nil && list[0].Position == 5 {
			break
		}
		time.Sleep(5 * time.Millisecond)
	}
	add(t, l, 1)
	r.wait(t, 6, 6)
	r.mu.Lock()
	n := len(r.seen)
	r.mu.Unlock()
	if n != 1 {
		t.Errorf("%d records came, want the new one", n)
	}
	target.Off = true
	f.Set(Config{[]Target{target}})
	time.Sleep(50 * time.Millisecond)
	add(t, l, 1)
	list, err := f.Status(t.Context())
	if err != nil || list[0].State != StateOff || list[0].Lag != 1 {
		t.Errorf("%+v, %v", list, err)
	}
	target.Off = false
	f.Set(Config{[]Target{target}})
	r.wait(t, 7, 7)
}

// Against franz-go's own imitation of a broker; the acceptance tests use a
// real one.
func TestKafka(t *testing.T) {
	t.Parallel()
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(1, "audit"))
	if err != nil {
		t.Fatal(err)
	}
	defer cluster.Close()
	l, db := source(t, 25)
	c := Config{[]Target{{Name: "lake", Kind: KindKafka, Brokers: cluster.ListenAddrs(), Topic: "audit", From: "start"}}}
	_, stop := start(t, db, l, c)
	consumer, err := kgo.NewClient(kgo.SeedBrokers(cluster.ListenAddrs()...), kgo.ConsumeTopics("audit"), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		t.Fatal(err)
	}
	defer consumer.Close()
	next := int64(1)
	read := func(last int64) {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		for next <= last {
			fetches := consumer.PollFetches(ctx)
			if err := fetches.Err(); err != nil {
				t.Fatalf("record %d: %v", next, err)
			}
			fetches.EachRecord(func(k *kgo.Record) {
				var rec audit.Record
				if err := json.Unmarshal(k.Value, &rec); err != nil || rec.Seq != next || string(k.Headers[0].Value) != fmt.Sprint(next) {
					t.Errorf("record %d: %+v, %v", next, rec, err)
				}
				next++
			})
		}
	}
	read(25)
	stop()
	add(t, l, 5)
	start(t, db, l, c)
	read(30)
}
