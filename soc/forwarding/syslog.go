package forwarding

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// maxDatagram bounds a message by UDP in bytes: what IPv4 carries, less its
	// and UDP's header and some room.
	maxDatagram = 60_000
	// closeTimeout is how long a receiver may take to read what it was sent
	// last.
	closeTimeout = 3 * time.Second
)

// syslogSender writes to one connection, octet counted where it is a stream
// (RFC 6587, 3.4.1 and RFC 5425, 4.3).
type syslogSender struct {
	content Content
	secrets Secrets
	dial    Dialer
	writer  messages

	conn  net.Conn     // nil where it is not open
	tcp   *net.TCPConn // beneath TLS; nil by UDP
	ended chan struct{}
	gone  *atomic.Bool // the receiver has closed
}

func openSyslog(c *Content, secrets Secrets, dial Dialer, host string) (sender, error) {
	return &syslogSender{content: *c, secrets: secrets, dial: dial, writer: messages{host: host, facility: *c.Syslog.Facility, cef: c.Syslog.Format == CEF}}, nil
}

func (s *syslogSender) where() string {
	return s.content.Syslog.Transport + "://" + s.content.Syslog.Address
}

// connect opens the connection where there is none.
func (s *syslogSender) connect(ctx context.Context) error {
	if s.conn != nil {
		return nil
	}
	o := s.content.Syslog
	network := o.Transport
	if network == "tls" {
		network = "tcp"
	}
	conn, err := s.dial(ctx, network, o.Address)
	if err != nil {
		return fmt.Errorf("connect to %s: %w", s.where(), err)
	}
	s.tcp, _ = conn.(*net.TCPConn)
	if o.Transport == "tls" {
		host, _, _ := net.SplitHostPort(o.Address)
		conf, err := s.content.tlsConfig(host, s.secrets)
		if err != nil {
			return errors.Join(err, conn.Close())
		}
		secure := tls.Client(conn, conf)
		if err := secure.HandshakeContext(ctx); err != nil {
			return errors.Join(fmt.Errorf("TLS with %s: %w", s.where(), err), conn.Close())
		}
		conn = secure
	}
	s.conn, s.gone, s.ended = conn, &atomic.Bool{}, make(chan struct{})
	if s.tcp != nil {
		// Receivers say nothing; what can be read is that they have closed.
		go func(conn net.Conn, gone *atomic.Bool, ended chan struct{}) {
			_, err := io.Copy(io.Discard, conn)
			gone.Store(true)
			if err == nil {
				close(ended) // in order
			}
		}(conn, s.gone, s.ended)
	}
	return nil
}

// Send implements sender: it writes the messages and, where there is a
// connection, waits until the receiver's machine has taken every byte.
func (s *syslogSender) Send(ctx context.Context, b *Batch) (err error) {
	ctx, cancel := context.WithTimeout(ctx, sendTimeout)
	defer cancel()
	defer func() {
		if err != nil && s.conn != nil {
			_ = s.conn.Close()
			s.conn = nil
		}
	}()
	if err := s.connect(ctx); err != nil {
		return err
	}
	if s.gone.Load() {
		return fmt.Errorf("send to %s: the receiver has closed the connection", s.where())
	}
	// A stop must not wait for a receiver that hangs.
	conn := s.conn
	stop := context.AfterFunc(ctx, func() { _ = conn.SetWriteDeadline(time.Now()) })
	defer stop()
	open := b.Open()
	var frames, msg []byte
	sizes := make([]int, len(open))
	for k, i := range open {
		msg = s.writer.append(msg[:0], &b.Events[i])
		sizes[k] = len(msg)
		if s.tcp == nil {
			msg = cut(msg, maxDatagram)
			if _, err := conn.Write(msg); err != nil {
				return fmt.Errorf("send to %s: %w", s.where(), err)
			}
			b.Take(i, len(msg))
			continue
		}
		frames = append(strconv.AppendInt(frames, int64(len(msg)), 10), ' ')
		frames = append(frames, msg...)
	}
	if s.tcp == nil {
		return nil
	}
	if _, err := conn.Write(frames); err != nil {
		return fmt.Errorf("send to %s: %w", s.where(), err)
	}
	if err := s.settle(ctx); err != nil {
		return err
	}
	for k, i := range open {
		b.Take(i, sizes[k])
	}
	return nil
}

// cut shortens a message to a length, at the end of a character.
func cut(msg []byte, n int) []byte {
	if len(msg) <= n {
		return msg
	}
	for n > 0 && msg[n]&0xc0 == 0x80 {
		n--
	}
	return msg[:n]
}

// settle waits until the receiver's machine has acknowledged what was written:
// a write alone only fills this machine's buffer.
func (s *syslogSender) settle(ctx context.Context) error {
	raw, err := s.tcp.SyscallConn()
	if err != nil {
		return fmt.Errorf("send to %s: %w", s.where(), err)
	}
	for wait := time.Millisecond; ; wait = min(2*wait, 100*time.Millisecond) {
		var queued int
		var qerr error
		if err := raw.Control(func(fd uintptr) { queued, qerr = unix.IoctlGetInt(int(fd), unix.TIOCOUTQ) }); err != nil || qerr != nil {
			return fmt.Errorf("send to %s: %w", s.where(), errors.Join(err, qerr))
		}
		switch {
		case s.gone.Load():
			return fmt.Errorf("send to %s: the receiver has closed the connection", s.where())
		case queued == 0:
			return nil
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return fmt.Errorf("send to %s: %d bytes are not taken within %s", s.where(), queued, sendTimeout)
		}
	}
}

// Probe implements sender.
func (s *syslogSender) Probe(ctx context.Context) (string, error) {
	b := newBatch([]Event{testEvent(time.Now())})
	if err := s.Send(ctx, b); err != nil {
		return "", err
	}
	detail := "a test message was sent; UDP tells nothing of whether it arrived"
	if s.tcp != nil {
		detail = "the receiver's machine has taken a test message; syslog has no acknowledgement of the receiver's own"
	}
	if secure, ok := s.conn.(*tls.Conn); ok {
		st := secure.ConnectionState()
		detail = fmt.Sprintf("%s, certificate of %s; %s", tls.VersionName(st.Version), st.PeerCertificates[0].Subject, detail)
	}
	return detail, nil
}

// Sure implements sender: that the machine took the bytes does not say that the
// program there has read them.
func (s *syslogSender) Sure() bool { return false }

// Close implements sender. A receiver that closes in order after we did has
// read everything before.
func (s *syslogSender) Close() bool {
	if s.conn == nil || s.tcp == nil {
		return s.tcp == nil
	}
	conn := s.conn
	s.conn = nil
	defer conn.Close()
	half, ok := conn.(interface{ CloseWrite() error })
	if !ok || half.CloseWrite() != nil {
		return false
	}
	if _, ok := conn.(*tls.Conn); ok {
		_ = s.tcp.CloseWrite()
	}
	select {
	case <-s.ended:
		return true
	case <-time.After(closeTimeout):
		return false
	}
}
