package ftp

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/textproto"
	"path"
	"strings"
	"time"

	jftp "github.com/jlaffaye/ftp"
	"github.com/pkg/sftp"

	"icewatch/collectors"
)

// remote is a server that one is signed in to. It is used by one goroutine, and
// one file is open at a time.
type remote interface {
	list(dir string) ([]entry, error)
	// open reads a file from an offset on. Close tells whether the server sent
	// all of it.
	open(path string, offset int64) (io.ReadCloser, error)
	rename(from, to string) error
	mkdir(dir string) error
	remove(path string) error
	io.Closer
}

const (
	dialWait = 30 * time.Second
	idleWait = 2 * time.Minute // without a byte of an answer
)

// lasting tells whether an error is about one file or folder, and the
// connection is as good as before.
func lasting(err error) bool {
	var reply *textproto.Error
	var status *sftp.StatusError
	var one *fileError
	return errors.As(err, &reply) && reply.Code >= 500 || errors.As(err, &reply) && reply.Code == 450 ||
		errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) || errors.As(err, &status) || errors.As(err, &one)
}

// patient is a connection that fails where nothing comes for too long.
type patient struct{ net.Conn }

func (p patient) Read(b []byte) (int, error) {
	if err := p.SetReadDeadline(time.Now().Add(idleWait)); err != nil {
		return 0, err
	}
	return p.Conn.Read(b)
}

func (p patient) Write(b []byte) (int, error) {
	if err := p.SetWriteDeadline(time.Now().Add(idleWait)); err != nil {
		return 0, err
	}
	return p.Conn.Write(b)
}

// dial opens a connection that ends with ctx.
func dial(ctx context.Context, d collectors.Dial, address string) (net.Conn, error) {
	short, cancel := context.WithTimeout(ctx, dialWait)
	defer cancel()
	conn, err := d(short, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("connect to %s: %w", address, err)
	}
	context.AfterFunc(ctx, func() { _ = conn.Close() })
	return patient{conn}, nil
}

// connect signs in. step is told what went well. The connection ends with ctx.
func (s *settings) connect(ctx context.Context, d collectors.Dial, step func(string)) (remote, error) {
	if s.Protocol == SFTP {
		return s.connectSFTP(ctx, d, step)
	}
	var conf *tls.Config
	if s.Protocol != FTP {
		var err error
		if conf, err = s.secure().Config("tls_"); err != nil {
			return nil, err
		}
		if conf.ServerName == "" {
			conf.ServerName, _, _ = net.SplitHostPort(s.Address)
		}
		// Servers want the data connections to take up the session of the control
		// connection, which proves that both are of one client.
		conf.ClientSessionCache = tls.NewLRUClientSessionCache(8)
	}
	control := true
	opts := []jftp.DialOption{jftp.DialWithLocation(s.location), jftp.DialWithShutTimeout(dialWait),
		jftp.DialWithDialFunc(func(_, address string) (net.Conn, error) {
			first := control
			control = false
			conn, err := dial(ctx, d, address)
			if err != nil || conf == nil || first && s.Protocol == FTPS {
				return conn, err
			}
			secure := tls.Client(conn, conf)
			if first {
				if err := secure.HandshakeContext(ctx); err != nil {
					return nil, errors.Join(fmt.Errorf("TLS with %s: %w", address, err), conn.Close())
				}
			}
			return withAddress{secure, conn}, nil // The server answers a data connection's handshake only after the command.
		})}
	switch s.Protocol {
	case FTPS:
		opts = append(opts, jftp.DialWithExplicitTLS(conf))
	case Implicit:
		opts = append(opts, jftp.DialWithTLS(conf))
	}
	conn, err := jftp.Dial(s.Address, opts...)
	if err != nil {
		return nil, err
	}
	step("connected to " + s.Address + s.security())
	if err := conn.Login(s.Username, s.Password); err != nil {
		_ = conn.Quit()
		return nil, fmt.Errorf("sign in as %s: %w", s.Username, err)
	}
	step("signed in as " + s.Username)
	return &ftpServer{conn}, nil
}

// withAddress is a TLS connection.
type withAddress struct {
	*tls.Conn
	under net.Conn
}

// RemoteAddr is the server's, as the library wants it.
func (w withAddress) RemoteAddr() net.Addr { return w.under.RemoteAddr() }

func (s *settings) security() string {
	switch s.Protocol {
	case FTPS, Implicit:
		return " over TLS"
	case FTP:
		return ", unprotected"
	}
	return ""
}

type ftpServer struct{ c *jftp.ServerConn }

func (f *ftpServer) list(dir string) ([]entry, error) {
	got, err := f.c.List(dir)
	if err != nil {
		return nil, err
	}
	out := make([]entry, 0, len(got))
	for _, e := range got {
		name := e.Name
		if strings.Contains(name, "/") && path.Dir(name) == path.Clean(dir) { // Some servers answer with whole paths.
			name = path.Base(name)
		}
		if !plain(name) {
			continue
		}
		one := entry{path: path.Join(dir, name), size: int64(e.Size), time: e.Time, folder: e.Type == jftp.EntryTypeFolder, regular: e.Type == jftp.EntryTypeFile}
		if e.Type == jftp.EntryTypeLink { // Links to files are followed, those to folders not: they may lead in circles.
			if size, err := f.c.FileSize(one.path); err == nil {
				one.size, one.regular = size, true
			}
		}
		out = append(out, one)
	}
	return out, nil
}

func (f *ftpServer) open(path string, offset int64) (io.ReadCloser, error) {
	r, err := f.c.RetrFrom(path, uint64(offset))
	if err != nil {
		return nil, err
	}
	return r, nil
}

func (f *ftpServer) rename(from, to string) error { return f.c.Rename(from, to) }
func (f *ftpServer) mkdir(dir string) error       { return f.c.MakeDir(dir) }
func (f *ftpServer) remove(path string) error     { return f.c.Delete(path) }
func (f *ftpServer) Close() error                 { return f.c.Quit() }
