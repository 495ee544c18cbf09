package forwarding

import (
	"bufio"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/valyala/fastjson"

	"icewatch/soc/event"
	"icewatch/soc/search"
	"icewatch/test/peers"
)

// Syslog over TLS is octet counted (RFC 5425), to a receiver whose certificate
// the target's own authority signed, and to no other.
func TestSyslogTLS(t *testing.T) {
	t.Parallel()
	authority := peers.NewAuthority(t)
	certFile, keyFile := authority.Issue(t, t.TempDir())
	pair, err := tls.LoadX509KeyPair(certFile, keyFile)
	if err != nil {
		t.Fatal(err)
	}
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{pair}})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	got := make(chan string, 100)
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				r := bufio.NewReader(conn)
				for {
					var size int
					if _, err := fmt.Fscanf(r, "%d ", &size); err != nil {
						return
					}
					msg := make([]byte, size)
					if _, err := io.ReadFull(r, msg); err != nil {
						return
					}
					got <- string(msg)
				}
			}()
		}
	}()
	o := newOffice(t)
	_, port, _ := net.SplitHostPort(l.Addr().String())
	c := Content{Name: "siem", Kind: Syslog, From: FromBeginning, Syslog: &SyslogOptions{Address: "localhost:" + port, Transport: "tls"}, TLS: &TLSOptions{CA: authority.PEM, ServerName: "localhost"}}
	result, err := o.Test(t.Context(), Asker{}, "", &c, nil)
	if err != nil || !result.OK || !strings.HasPrefix(result.Detail, "TLS 1.3") {
		t.Fatalf("%+v, %v", result, err)
	}
	select {
	case msg := <-got:
		if !strings.HasSuffix(msg, "nothing happened") {
			t.Error(msg)
		}
	case <-time.After(10 * time.Second):
		t.Error("the test message did not come")
	}
	c.TLS = nil
	if result, err := o.Test(t.Context(), Asker{}, "", &c, nil); err != nil || result.OK || !strings.Contains(result.Error, "certificate") {
		t.Errorf("a certificate that nobody known signed: %+v, %v", result, err)
	}
}

// BenchmarkDocument is what an event costs on its way from the lake's row to
// what is sent.
func BenchmarkDocument(b *testing.B) {
	row := json.RawMessage(`{"@timestamp":"2026-11-26T03:00:00.123456789Z","event.id":"e1-81234-12","event.original":"<38>Nov 26 03:00:00 db01 sshd[77]: Failed password for root from 10.0.0.1 port 4022 ssh2","message":"Failed password for root from 10.0.0.1 port 4022 ssh2","event.action":"ssh_login","event.category":"[\"authentication\"]","event.dataset":"sshd.auth","event.outcome":"failure","host.name":"db01","icewatch.tenant":"tax","log.syslog.facility.code":"4","log.syslog.severity.code":"6","process.name":"sshd","process.pid":"77","source.ip":"10.0.0.1","source.port":"4022","user.name":"root"}`)
	m := messages{host: "soc", facility: 16}
	var p fastjson.Parser
	var out []byte
	b.SetBytes(int64(len(row)))
	for b.Loop() {
		e, err := newEvent(&p, search.ArrivedEvent{ID: event.ID{Epoch: "e1", Sequence: 81234, Index: 12}, Row: row}, false)
		if err != nil {
			b.Fatal(err)
		}
		out = e.document(out[:0])
		out = m.append(out[:0], &e)
	}
}
