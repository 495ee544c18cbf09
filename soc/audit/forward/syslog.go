package forward

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"icewatch/soc/audit"
)

const (
	// facility is "log audit" (RFC 5424, table 1).
	facility = 13
	// maxDatagram bounds a message by UDP in bytes: what IPv4 carries, less its
	// and UDP's header and some room.
	maxDatagram = 60_000
	// sendTimeout bounds handing over one batch.
	sendTimeout = 30 * time.Second
)

// message writes a record as a syslog message (RFC 5424) whose text is the
// record in JSON. Only the structured data that IANA has registered is used.
func message(rec *audit.Record, host string, limit int) ([]byte, error) {
	severity := 6 // informational
	switch {
	case rec.Kind == audit.KindSystem && rec.Result != audit.OK:
		severity = 2 // critical: the log is broken
	case rec.Result != audit.OK:
		severity = 4 // warning
	}
	// The id of the message is at most 32 printable ASCII characters.
	id := strings.Map(func(r rune) rune {
		if r <= ' ' || r > '~' {
			return -1
		}
		return r
	}, rec.Action)
	if id == "" {
		id = "-"
	}
	id = id[:min(len(id), 32)]
	head := fmt.Appendf(nil, "<%d>1 %s %s icewatch %d %s [meta sequenceId=\"%d\"] ", facility*8+severity,
		rec.Time.UTC().Format("2006-01-02T15:04:05.000Z"), host, os.Getpid(), id, (rec.Seq-1)%(1<<31-1)+1)
	text, err := json.Marshal(rec)
	if err != nil {
		return nil, fmt.Errorf("write record %d: %w", rec.Seq, err)
	}
	if limit > 0 && len(head)+len(text) > limit {
		// The values before and after stay in the log itself.
		short := *rec
		short.Changes = json.RawMessage(`[{"field":"(left out: too long for a datagram)"}]`)
		if text, err = json.Marshal(&short); err != nil {
			return nil, fmt.Errorf("write record %d: %w", rec.Seq, err)
		}
		text = text[:min(len(text), limit-len(head))]
	}
	return append(head, text...), nil
}

// syslogSender sends over one connection.
type syslogSender struct {
	target Target
	host   string
	conn   net.Conn
	tcp    *net.TCPConn // beneath TLS; nil by UDP
	gone   atomic.Bool  // the peer has closed
}

func openSyslog(ctx context.Context, t *Target, host string, o Options) (sender, error) {
	network := t.Transport
	if network == "tls" {
		network = "tcp"
	}
	ctx, cancel := context.WithTimeout(ctx, sendTimeout)
	defer cancel()
	conn, err := o.Dial(ctx, network, t.Address)
	if err != nil {
		return nil, fmt.Errorf("connect to %s: %w", t.where(), err)
	}
	s := &syslogSender{target: *t, host: host, conn: conn}
	s.tcp, _ = conn.(*net.TCPConn)
	if t.Transport == "tls" {
		name, _, _ := net.SplitHostPort(t.Address)
		secure := tls.Client(conn, t.tlsConfig(name))
		if err := secure.HandshakeContext(ctx); err != nil {
			return nil, errors.Join(fmt.Errorf("TLS with %s: %w", t.where(), err), conn.Close())
		}
		s.conn = secure
	}
	if s.tcp != nil {
		// Receivers say nothing; what can be read is that they have closed.
		go func() {
			_, _ = io.Copy(io.Discard, s.conn)
			s.gone.Store(true)
		}()
	}
	return s, nil
}

// send writes the records and, where there is a connection, waits until the
// receiver's machine has taken every byte.
func (s *syslogSender) send(ctx context.Context, recs []audit.Record) error {
	if s.gone.Load() {
		return fmt.Errorf("send to %s: the receiver has closed the connection", s.target.where())
	}
	deadline := time.Now().Add(sendTimeout)
	if err := s.conn.SetWriteDeadline(deadline); err != nil {
		return fmt.Errorf("send to %s: %w", s.target.where(), err)
	}
	// A stop must not wait for a receiver that hangs.
	stop := context.AfterFunc(ctx, func() { _ = s.conn.SetWriteDeadline(time.Now()) })
	defer stop()
	var frames []byte
	for i := range recs {
		limit := 0
		if s.tcp == nil {
			limit = maxDatagram
		}
		msg, err := message(&recs[i], s.host, limit)
		if err != nil {
			return err
		}
		if s.tcp == nil {
			if _, err := s.conn.Write(msg); err != nil {
				return fmt.Errorf("send to %s: %w", s.target.where(), err)
			}
			continue
		}
		frames = append(strconv.AppendInt(frames, int64(len(msg)), 10), ' ')
		frames = append(frames, msg...)
	}
	if s.tcp == nil {
		return nil
	}
	if _, err := s.conn.Write(frames); err != nil {
		return fmt.Errorf("send to %s: %w", s.target.where(), err)
	}
	return s.settle(ctx, deadline)
}

// settle waits until the peer has acknowledged what was written: a write
// alone only fills this machine's buffer.
func (s *syslogSender) settle(ctx context.Context, deadline time.Time) error {
	raw, err := s.tcp.SyscallConn()
	if err != nil {
		return fmt.Errorf("send to %s: %w", s.target.where(), err)
	}
	for wait := time.Millisecond; ; wait = min(2*wait, 100*time.Millisecond) {
		var queued int
		var qerr error
		if err := raw.Control(func(fd uintptr) { queued, qerr = unix.IoctlGetInt(int(fd), unix.TIOCOUTQ) }); err != nil || qerr != nil {
			return fmt.Errorf("send to %s: %w", s.target.where(), errors.Join(err, qerr))
		}
		switch {
		case s.gone.Load():
			return fmt.Errorf("send to %s: the receiver has closed the connection", s.target.where())
		case queued == 0:
			return nil
		case time.Now().After(deadline):
			return fmt.Errorf("send to %s: %d bytes are not taken within %s", s.target.where(), queued, sendTimeout)
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// sure implements sender: that the machine took the bytes does not say that
// the program there has stored them.
func (s *syslogSender) sure() bool { return false }

func (s *syslogSender) close() { _ = s.conn.Close() }
