package check

import (
	"bufio"
	"context"
	"encoding/binary"
	"io"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"icewatch/collectors/scanner/scope"
	"icewatch/collectors/scanner/wire"
)

// told is what a check of a service finds where speak answers: evidence, by check.
func told(t testing.TB, name string, speak func(c net.Conn, r *bufio.Reader)) map[string]string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			_ = c.SetDeadline(time.Now().Add(2 * time.Second))
			speak(c, bufio.NewReader(c))
			_ = c.Close()
		}
	}()
	s, err := scope.New(wire.Scope{Ranges: []string{"127.0.0.1"}}, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	a := netip.MustParseAddrPort(l.Addr().String())
	out := map[string]string{}
	e := &Env{Dialer: scope.NewDialer(s, nil, time.Second), Answer: 500 * time.Millisecond, Found: func(w wire.Weakness) { out[w.Check] = w.Evidence }}
	e.Service(context.Background(), Target{Address: a.Addr(), Service: &wire.Service{Port: int(a.Port()), Protocol: "tcp", Name: name}})
	return out
}

// asked answers a line (or, of ZooKeeper, four letters) with what is said for it.
func asked(length int, answers map[string]string) func(net.Conn, *bufio.Reader) {
	return func(c net.Conn, r *bufio.Reader) {
		var word string
		if length > 0 {
			b := make([]byte, length)
			_, _ = io.ReadFull(r, b)
			word = string(b)
		} else {
			word, _ = r.ReadString('\n')
		}
		_, _ = c.Write([]byte(answers[word]))
	}
}

// rsyncd greets at once, and lists when it is asked, as rsync's daemon does.
func rsyncd(list string) func(net.Conn, *bufio.Reader) {
	return func(c net.Conn, r *bufio.Reader) {
		_, _ = c.Write([]byte("@RSYNCD: 31.0 sha512 sha256 sha1 md5 md4\n"))
		if version, _ := r.ReadString('\n'); !strings.HasPrefix(version, "@RSYNCD: ") {
			return
		}
		if module, _ := r.ReadString('\n'); module != "\n" && module != "#list\n" {
			_, _ = c.Write([]byte("@ERROR: Unknown module\n"))
			return
		}
		time.Sleep(20 * time.Millisecond) // It comes in parts.
		_, _ = c.Write([]byte(list))
		time.Sleep(20 * time.Millisecond)
		_, _ = c.Write([]byte("@RSYNCD: EXIT\n"))
	}
}

// vncd speaks RFB 3.3, 3.7 and 3.8 (RFC 6143): kinds are those of security that it has.
func vncd(version string, kinds ...byte) func(net.Conn, *bufio.Reader) {
	return func(c net.Conn, r *bufio.Reader) {
		_, _ = c.Write([]byte(version))
		client, _ := r.ReadString('\n')
		switch {
		case version == "RFB 003.003\n":
			if client != version {
				return // The older ones do not know what came later.
			}
			_, _ = c.Write([]byte{0, 0, 0, kinds[0]})
		case strings.HasPrefix(client, "RFB 003.00"):
			_, _ = c.Write(append([]byte{byte(len(kinds))}, kinds...))
		}
		_, _ = r.ReadByte()
	}
}

// mongod speaks OP_MSG: it lists its databases, or says that it does not.
func mongod(authorization bool) func(net.Conn, *bufio.Reader) {
	return func(c net.Conn, r *bufio.Reader) {
		head := make([]byte, 16)
		if _, err := io.ReadFull(r, head); err != nil || binary.LittleEndian.Uint32(head[12:]) != 2013 {
			return
		}
		body := make([]byte, binary.LittleEndian.Uint32(head)-16)
		if _, err := io.ReadFull(r, body); err != nil || !strings.Contains(string(body), "\x10listDatabases\x00") || !strings.Contains(string(body), "$db\x00\x06\x00\x00\x00admin\x00") {
			return
		}
		doc := func(elements string) string {
			return string(binary.LittleEndian.AppendUint32(nil, uint32(len(elements)+5))) + elements + "\x00"
		}
		text := func(name, s string) string {
			return "\x02" + name + "\x00" + string(binary.LittleEndian.AppendUint32(nil, uint32(len(s)+1))) + s + "\x00"
		}
		answer := doc("\x04databases\x00" + doc("\x030\x00"+doc(text("name", "admin")+"\x12sizeOnDisk\x00\x00\xa0\x00\x00\x00\x00\x00\x00\x08empty\x00\x00")) + "\x01ok\x00\x00\x00\x00\x00\x00\x00\xf0\x3f")
		if authorization {
			answer = doc("\x01ok\x00\x00\x00\x00\x00\x00\x00\x00\x00" + text("errmsg", "Command listDatabases requires authentication") + "\x10code\x00\x0d\x00\x00\x00" + text("codeName", "Unauthorized"))
		}
		m := binary.LittleEndian.AppendUint32(nil, uint32(21+len(answer)))
		m = append(m, 7, 0, 0, 0, head[4], head[5], head[6], head[7], 0xdd, 7, 0, 0, 0, 0, 0, 0, 0)
		m = append(m, answer...)
		_, _ = c.Write(m[:30])
		time.Sleep(20 * time.Millisecond)
		_, _ = c.Write(m[30:])
	}
}

// oldMongod is MongoDB before 3.6: it speaks OP_QUERY (2004), hangs up on OP_MSG, and
// answers by OP_REPLY.
func oldMongod(authorization bool) func(net.Conn, *bufio.Reader) {
	return func(c net.Conn, r *bufio.Reader) {
		head := make([]byte, 16)
		if _, err := io.ReadFull(r, head); err != nil || binary.LittleEndian.Uint32(head[12:]) != 2004 {
			return
		}
		body := make([]byte, binary.LittleEndian.Uint32(head)-16)
		// Flags, name of the collection, none skipped, one document: then the command.
		if _, err := io.ReadFull(r, body); err != nil || string(body[:27]) != "\x00\x00\x00\x00admin.$cmd\x00\x00\x00\x00\x00\xff\xff\xff\xff\x18\x00\x00\x00" || string(body[27:]) != "\x10listDatabases\x00\x01\x00\x00\x00\x00" {
			return
		}
		doc := func(elements string) string {
			return string(binary.LittleEndian.AppendUint32(nil, uint32(len(elements)+5))) + elements + "\x00"
		}
		answer := doc("\x04databases\x00" + doc("\x030\x00"+doc("\x02name\x00\x06\x00\x00\x00local\x00\x01sizeOnDisk\x00\x00\x00\x00\x00\x00\x00\x54\x41")) + "\x01ok\x00\x00\x00\x00\x00\x00\x00\xf0\x3f")
		if authorization {
			answer = doc("\x01ok\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02errmsg\x00\x10\x00\x00\x00not authorized.\x00\x10code\x00\x0d\x00\x00\x00")
		}
		m := binary.LittleEndian.AppendUint32(nil, uint32(36+len(answer)))
		m = append(m, 9, 0, 0, 0, head[4], head[5], head[6], head[7], 1, 0, 0, 0)
		m = append(m, make([]byte, 16)...) // flags, cursor, where it begins
		m = append(m, 1, 0, 0, 0)          // one document
		_, _ = c.Write(append(m, answer...))
	}
}

// Each service in its own protocol: open, and twins that are not.
func TestServicesWithoutAPassword(t *testing.T) {
	t.Parallel()
	for _, x := range []struct {
		what, name, check, evidence string // check "": nothing is found
		speak                       func(net.Conn, *bufio.Reader)
	}{
		{"open", "memcached", "memcached-no-password", "STAT pid", asked(0, map[string]string{"stats\r\n": "STAT pid 7\r\nSTAT uptime 5\r\nEND\r\n"})},
		{"with ASCII authentication", "memcached", "", "", asked(0, map[string]string{"stats\r\n": "CLIENT_ERROR unauthenticated\r\n"})},
		{"with SASL, which closes on ASCII", "memcached", "", "", asked(0, nil)},
		{"open", "zookeeper", "zookeeper-four-letter-words", "zookeeper.version=3.8.1", asked(4, map[string]string{"envi": "Environment:\nzookeeper.version=3.8.1-x, built on 2023\nhost.name=zk1\n"})},
		{"with a whitelist", "zookeeper", "", "", asked(4, map[string]string{"envi": "envi is not executed because it is not in the whitelist.\n"})},
		{"lists modules below a message of the day", "rsync", "rsync-modules", "backup", rsyncd("Welcome.\n\nbackup         \tnightly copies\na-name-that-is-longer\t\n")},
		{"lists none, with a message of the day", "rsync", "", "", rsyncd("Welcome to our\tserver.\nGo away.\n")},
		{"refuses this host", "rsync", "", "", func(c net.Conn, _ *bufio.Reader) {
			_, _ = c.Write([]byte("@RSYNCD: 31.0\n@ERROR: access denied\n"))
		}},
		{"3.8 with None", "vnc", "vnc-no-password", "None", vncd("RFB 003.008\n", 2, 1)},
		{"3.7 with None", "vnc", "vnc-no-password", "None", vncd("RFB 003.007\n", 1)},
		{"3.3 with None", "vnc", "vnc-no-password", "None", vncd("RFB 003.003\n", 1)},
		{"5.0 with None", "vnc", "vnc-no-password", "None", vncd("RFB 005.000\n", 1)},
		{"3.8 with a password", "vnc", "", "", vncd("RFB 003.008\n", 2, 16)},
		{"3.3 with a password", "vnc", "", "", vncd("RFB 003.003\n", 2)},
		{"3.8 that refuses", "vnc", "", "", vncd("RFB 003.008\n")},
		{"open", "mongodb", "mongodb-no-password", "listDatabases", mongod(false)},
		{"with authorization", "mongodb", "", "", mongod(true)},
		{"2.6, open", "mongodb", "mongodb-no-password", "listDatabases", oldMongod(false)},
		{"2.6, with authorization", "mongodb", "", "", oldMongod(true)},
	} {
		t.Run(x.name+" "+x.what, func(t *testing.T) {
			t.Parallel()
			got := told(t, x.name, x.speak)
			if x.check == "" && len(got) != 0 || x.check != "" && (len(got) != 1 || !strings.Contains(got[x.check], x.evidence)) {
				t.Errorf("%v", got)
			}
			if strings.Contains(got["rsync-modules"], "Welcome") {
				t.Errorf("the message of the day is no module: %v", got)
			}
		})
	}
}
