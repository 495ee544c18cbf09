// Package node speaks to one server of a remote store over HTTP: with its
// credentials and TLS, and with errors that name it.
package node

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/VictoriaMetrics/VictoriaMetrics/lib/promauth"
)

// Options name a server and say how it is spoken to.
type Options struct {
	// URL is where the server's own paths begin, such as http://10.0.0.5:9428.
	URL string `json:"url"`
	// Username and Password are for basic authentication, Token is a bearer
	// token. Files are read again when they change; their secrets go before those
	// given directly.
	Username     string `json:"username,omitempty"`
	Password     string `json:"password,omitempty"`
	PasswordFile string `json:"password_file,omitempty"`
	Token        string `json:"token,omitempty"`
	TokenFile    string `json:"token_file,omitempty"`
	// CAFile is who may have signed the server's certificate, in PEM; empty: the
	// system's authorities. CertFile and KeyFile are the suite's own certificate.
	CAFile     string `json:"ca_file,omitempty"`
	CertFile   string `json:"cert_file,omitempty"`
	KeyFile    string `json:"key_file,omitempty"`
	ServerName string `json:"server_name,omitempty"` // that the certificate must bear; empty: of the URL
}

// Node is one server. It is safe for concurrent use.
type Node struct {
	base *url.URL
	auth *promauth.Config
	http *http.Client
}

// Check tells what is wrong with the options, as far as they show it.
func (o Options) Check() error {
	u, err := url.Parse(o.URL)
	switch {
	case err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https":
		return fmt.Errorf("%q is not a URL; one such as http://10.0.0.5:9428 is expected", o.URL)
	case u.User != nil || u.RawQuery != "" || u.Fragment != "":
		return fmt.Errorf("the URL %s has more than scheme, host and path; credentials are options of their own", u.Redacted())
	case (o.Username != "" || o.Password != "" || o.PasswordFile != "") && (o.Token != "" || o.TokenFile != ""):
		return errors.New("both a user and a token are given; a server takes one of them")
	case o.Username == "" && (o.Password != "" || o.PasswordFile != ""):
		return errors.New("a password is given without a username")
	case (o.CertFile == "") != (o.KeyFile == ""):
		return errors.New("cert_file and key_file belong together; give both or neither")
	case u.Scheme == "http" && (o.CAFile != "" || o.CertFile != "" || o.ServerName != ""):
		return fmt.Errorf("settings of TLS are given, but %s is not https", u.Redacted())
	}
	return nil
}

// New makes a node. It does not connect.
func New(o Options) (*Node, error) {
	if err := o.Check(); err != nil {
		return nil, err
	}
	u, err := url.Parse(strings.TrimRight(o.URL, "/"))
	if err != nil {
		return nil, err
	}
	auth := promauth.Options{BearerToken: o.Token, BearerTokenFile: o.TokenFile,
		TLSConfig: &promauth.TLSConfig{CAFile: o.CAFile, CertFile: o.CertFile, KeyFile: o.KeyFile, ServerName: o.ServerName, MinVersion: "TLS12"}}
	if o.TokenFile != "" {
		auth.BearerToken = ""
	}
	if o.Username != "" {
		auth.BasicAuth = &promauth.BasicAuthConfig{Username: o.Username, PasswordFile: o.PasswordFile}
		if o.PasswordFile == "" {
			auth.BasicAuth.Password = promauth.NewSecret(o.Password)
		}
	}
	n := &Node{base: u}
	if n.auth, err = auth.NewConfig(); err != nil {
		return nil, fmt.Errorf("%s: %w", u.Host, err)
	}
	// A redirect would carry the credentials elsewhere, and lose the body.
	refuse := func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	n.http = &http.Client{CheckRedirect: refuse, Transport: n.auth.NewRoundTripper(&http.Transport{
		DialContext:         (&net.Dialer{Timeout: 5 * time.Second, KeepAlive: 15 * time.Second}).DialContext,
		TLSHandshakeTimeout: 10 * time.Second, MaxIdleConnsPerHost: 16, IdleConnTimeout: 90 * time.Second, DisableCompression: true,
	})}
	return n, nil
}

// Name is the server's host and port.
func (n *Node) Name() string { return n.base.Host }

// Error is what a server answered instead of success.
type Error struct {
	Node   string // host and port
	Status int    // of HTTP
	Body   string // the beginning of the answer
}

func (e *Error) Error() string {
	return fmt.Sprintf("the server %s answered %d: %s", e.Node, e.Status, e.Body)
}

// Do asks for a path below the node's URL. Its body must be closed; a status
// other than 2xx is an *Error. Other errors mean that no answer came.
func (n *Node) Do(ctx context.Context, method, path string, query url.Values, header http.Header, body io.Reader) (*http.Response, error) {
	u := *n.base
	u.RawQuery = query.Encode()
	// The path may hold an escaped slash, such as a label's name.
	plain, err := url.PathUnescape(path)
	if err != nil {
		return nil, fmt.Errorf("the path %q: %w", path, err)
	}
	u.RawPath = u.EscapedPath() + path
	u.Path += plain
	req, err := http.NewRequestWithContext(ctx, method, u.String(), body)
	if err != nil {
		return nil, fmt.Errorf("the server %s: %w", n.Name(), err)
	}
	for k, v := range header {
		req.Header[k] = v
	}
	if err := n.auth.SetHeaders(req, true); err != nil {
		return nil, fmt.Errorf("the credentials for the server %s: %w", n.Name(), err)
	}
	resp, err := n.http.Do(req)
	if err != nil {
		if cause := context.Cause(ctx); cause != nil {
			return nil, cause
		}
		// The URL in the error would repeat a query of many kilobytes.
		var ue *url.Error
		if errors.As(err, &ue) {
			err = ue.Err
		}
		return nil, fmt.Errorf("the server %s does not answer: %w", n.Name(), err)
	}
	if resp.StatusCode/100 != 2 {
		text, _ := io.ReadAll(io.LimitReader(resp.Body, 4<<10))
		_ = resp.Body.Close()
		return nil, &Error{Node: n.Name(), Status: resp.StatusCode, Body: strings.TrimSpace(string(text))}
	}
	return resp, nil
}

// Get reads the whole answer at a path, at most limit bytes.
func (n *Node) Get(ctx context.Context, path string, query url.Values, limit int64) ([]byte, error) {
	return n.read(ctx, http.MethodGet, path, query, nil, nil, limit)
}

// Post sends a form and reads the whole answer, at most limit bytes.
func (n *Node) Post(ctx context.Context, path string, form url.Values, limit int64) ([]byte, error) {
	return n.read(ctx, http.MethodPost, path, nil, http.Header{"Content-Type": {"application/x-www-form-urlencoded"}}, strings.NewReader(form.Encode()), limit)
}

// ErrTooLarge says that an answer has more bytes than were asked for at most.
var ErrTooLarge = errors.New("the answer is too large")

func (n *Node) read(ctx context.Context, method, path string, query url.Values, header http.Header, body io.Reader, limit int64) ([]byte, error) {
	resp, err := n.Do(ctx, method, path, query, header, body)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(io.LimitReader(resp.Body, limit+1))
	if err != nil {
		return nil, fmt.Errorf("the answer of the server %s broke off: %w", n.Name(), err)
	}
	if int64(len(b)) > limit {
		return nil, fmt.Errorf("the server %s: %w: it has more than %d bytes", n.Name(), ErrTooLarge, limit)
	}
	return b, nil
}

// Close ends idle connections.
func (n *Node) Close() { n.http.CloseIdleConnections() }
